//! Adopting: an uploaded bundle becomes that of a git commit with the same content, by a new root over the same pages.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::commit::{Dataset, NoBundle, bundle_of, git_id, parents};
use super::draft::Draft;
use super::resolve;
use crate::bundle::{Content, Facts, Step};
use crate::catalog::{Catalog, CatalogError};
use crate::git::{ObjectId, Objects, TreeItem};
use crate::id::{BundleId, Oid, RepoId};
use crate::ops::upload::upload_bundle;
use crate::progress::Silent;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// The commit has this bundle from now on.
    Made(BundleId),
    /// It had one already.
    Already(BundleId),
    /// Bundle and commit differ at these paths.
    Unlike(Vec<Unlike>),
}

/// A path at which they differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlike {
    /// The path, relative to the dataset.
    pub path: Vec<u8>,
    /// How.
    pub why: &'static str,
}

/// What is compared of a path: mode, size, and oid, target or commit.
type Look = (u32, u64, Vec<u8>);

/// Make a bundle of `commit` with the pages of `bundle`, if both have the same content.
pub fn adopt(
    catalog: &mut Catalog,
    objects: &Objects,
    repo: RepoId,
    dataset: &Dataset,
    bundle: BundleId,
    commit: ObjectId,
    facts: Facts,
) -> Result<Adopted, NoBundle> {
    let tree = objects.tree_at(commit, &dataset.path)?.ok_or_else(|| NoBundle::NoDataset {
        commit,
        path: String::from_utf8_lossy(&dataset.path).into_owned(),
    })?;
    let (root, there) = {
        let bundle = resolve::open(catalog, bundle)?;
        let mut there = BTreeMap::new();
        let look = |content: &Content| (content.mode(), content.size(), content.name().to_vec());
        let read = bundle.walk(b"", |entry| {
            there.insert(entry.path, look(&entry.content));
            Step::Next
        });
        read.map_err(CatalogError::from)?;
        (bundle.root().clone(), there)
    };
    let unlike = unlike(there, looks(objects, dataset, tree)?);
    if !unlike.is_empty() {
        return Ok(Adopted::Unlike(unlike));
    }
    if let Some(made) = bundle_of(catalog, objects, repo, dataset, commit)? {
        return Ok(Adopted::Already(made));
    }
    let mut from = vec![bundle];
    from.extend(
        parents(catalog, objects, repo, dataset, commit, u64::MAX)?.into_iter().filter(|it| *it != bundle),
    );
    let facts = Facts {
        message: root.facts.message.clone(),
        parents: from,
        commit: Some(git_id(commit)),
        tree: Some(git_id(tree)),
        path: dataset.path.clone(),
        include: dataset.lfs_only.then(|| "lfs".to_owned()),
        ..facts
    };
    let drafting = |_: &_| Draft::new(Some(root.clone()), facts.clone(), BTreeMap::new());
    let made = upload_bundle(catalog, repo, &[], &drafting, &Silent)?;
    Ok(Adopted::Made(made.bundle.expect("there was no file to fail")))
}

/// What a bundle of the tree would have at each path.
fn looks(objects: &Objects, dataset: &Dataset, tree: ObjectId) -> Result<BTreeMap<Vec<u8>, Look>, NoBundle> {
    let mut looks = BTreeMap::new();
    for (path, item) in objects.delta(None, tree)? {
        if let Some(look) = item.map(|item| look(objects, dataset, item)).transpose()?.flatten() {
            looks.insert(Vec::from(path), look);
        }
    }
    Ok(looks)
}

fn look(objects: &Objects, dataset: &Dataset, item: TreeItem) -> Result<Option<Look>, NoBundle> {
    let TreeItem { mode, id } = item;
    if mode == 0o160_000 {
        return Ok((!dataset.lfs_only).then(|| (mode, 0, id.as_bytes().to_vec())));
    }
    if mode != 0o120_000
        && let Some(pointer) = objects.pointer(id)?
    {
        return Ok(Some((mode, pointer.size, pointer.oid.as_bytes().to_vec())));
    }
    if dataset.lfs_only {
        return Ok(None);
    }
    let bytes = objects.blob(id)?;
    let size = bytes.len() as u64;
    let name = if mode == 0o120_000 {
        bytes
    } else {
        Oid::from_bytes(Sha256::digest(&bytes).into()).as_bytes().to_vec()
    };
    Ok(Some((mode, size, name)))
}

fn unlike(mut bundle: BTreeMap<Vec<u8>, Look>, commit: BTreeMap<Vec<u8>, Look>) -> Vec<Unlike> {
    let mut found: Vec<Unlike> = Vec::new();
    for (path, wanted) in commit {
        let why = match bundle.remove(&path) {
            None => "only in the commit",
            Some(there) if there == wanted => continue,
            Some(there) if there.0 != wanted.0 => "of another mode",
            Some(_) => "of other content",
        };
        found.push(Unlike { path, why });
    }
    found.extend(bundle.into_keys().map(|path| Unlike { path, why: "only in the bundle" }));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

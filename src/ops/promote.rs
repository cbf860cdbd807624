//! Promotion: a dataset version into another store. Its entries and facts go as they are, with the same bundle id; of its data only
//! chunks go that the other store lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::bundle::{Draft, NotFound, Planned};
use super::carry::{batches, fetch_into};
use super::fetch::{FetchError, Source, Wanted};
use super::ingest::Failed;
use super::receipt::UploadStats;
use super::upload::{Upload, name_repo, upload, upload_bundle};
use super::{bundle, open};
use crate::bundle::{Content, Difference, Root, diff};
use crate::catalog::{Catalog, CatalogError};
use crate::id::{BundleId, Oid, RepoId};
use crate::progress::Progress;
use crate::table::{Recipe, Row};

/// A version that did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum NotPromoted {
    /// A store cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The version cannot be read.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// A file cannot be fetched from the first store.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Fetched files cannot be read again.
    #[error("{} of the files could not be read on their way, the first: {}", .0.len(), .0[0].error)]
    Unread(Vec<Failed>),
    /// There is no room on the way.
    #[error("cannot keep files on their way in {path}: {source}; free space and run the command again")]
    Scratch {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What came of a promotion.
#[derive(Debug, Clone, Copy)]
pub struct Promoted {
    /// Whether the version was there before.
    pub was_there: bool,
    /// What it cost.
    pub stats: UploadStats,
}

/// Copy bundle `id` from one store into another, files on their way in the directory `scratch`.
pub fn promote(
    from: &Catalog,
    to: &mut Catalog,
    id: BundleId,
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<Promoted, NotPromoted> {
    let mut stats = UploadStats::default();
    // An earlier one may have been killed on its last step.
    to.settle()?;
    if to.state().bundles().contains_key(&id) {
        return Ok(Promoted { was_there: true, stats });
    }
    let source = bundle::open(from, id)?;
    let (repo, root) = (source.root().repo, source.root());
    open::probe_once(to)?;
    let name = from.state().repos().get(&repo).map_or_else(|| repo.to_string(), |it| it.name.clone());
    name_repo(to, repo, &name)?;
    let base = newest(to, repo)?;
    let changes = {
        let pages = base.as_ref().map_or(&[][..], |base| &base.pages);
        let at_home = |page: &crate::bundle::PageRef| page.read(to.frames());
        diff(pages, &root.pages, at_home, |page| source.page(page)).map_err(CatalogError::from)?
    };
    let files = files(from, &changes)?;
    for batch in missing(to, repo, &files)? {
        stats.add(carry(from, to, repo, &batch, scratch, progress)?);
    }
    let uploads: Vec<Upload> = files
        .values()
        .map(|file| Upload { oid: Some(file.oid), size: file.size, path: file.path.clone(), previous: None })
        .collect();
    let planned = planned(changes);
    let drafting = |_: &_| Draft { id, ..Draft::new(base.clone(), root.facts.clone(), planned.clone()) };
    let uploaded = match upload_bundle(to, repo, &uploads, &drafting, &crate::progress::Silent) {
        // Somebody else copied it at the same time.
        Err(CatalogError::Refused(_)) if to.state().bundles().contains_key(&id) => {
            return Ok(Promoted { was_there: true, stats });
        }
        uploaded => uploaded?,
    };
    if !uploaded.failed.is_empty() {
        return Err(NotPromoted::Unread(uploaded.failed));
    }
    Ok(Promoted { was_there: false, stats })
}

/// The bundle whose pages the copy shares: the newest that the other store has of the repo.
fn newest(to: &Catalog, repo: RepoId) -> Result<Option<Root>, NotPromoted> {
    let own = to.state().bundles().iter().filter(|(_, it)| it.repo == repo);
    let newest = own.max_by_key(|(id, it)| (it.seq, **id)).map(|(id, _)| *id);
    Ok(newest.map(|id| Ok::<_, NotFound>(bundle::open(to, id)?.root().clone())).transpose()?)
}

/// The files that are new in the other store's tree, each once, with the recipes of the first store.
fn files(from: &Catalog, changes: &[Difference]) -> Result<BTreeMap<Oid, Wanted>, CatalogError> {
    let mut files = BTreeMap::new();
    for change in changes {
        let Some(Content::File { oid, size, recipe, .. }) = &change.new else { continue };
        if !files.contains_key(oid) {
            let terms = terms(from, *oid, *size, recipe)?;
            files.insert(*oid, Wanted { oid: *oid, size: *size, terms, path: oid.to_string().into() });
        }
    }
    Ok(files)
}

fn terms(
    from: &Catalog,
    oid: Oid,
    size: u64,
    recipe: &Recipe,
) -> Result<Vec<crate::pack::Term>, CatalogError> {
    from.terms(&Row { oid, repo: RepoId::NIL, born: 0, size, recipe: recipe.clone() })
}

/// Files whose bytes the other store lacks, as many at a time as may lie here.
fn missing(
    to: &Catalog,
    repo: RepoId,
    files: &BTreeMap<Oid, Wanted>,
) -> Result<Vec<Vec<Wanted>>, CatalogError> {
    let oids: Vec<Oid> = files.keys().copied().collect();
    let rows = to.find(repo, &oids)?;
    let known: BTreeSet<Oid> = rows.values().filter(|row| to.borrowable(row)).map(|row| row.oid).collect();
    Ok(batches(files.values().filter(|file| !known.contains(&file.oid)).cloned().collect()))
}

/// Some files from one store into the other.
fn carry(
    from: &Catalog,
    to: &mut Catalog,
    repo: RepoId,
    batch: &[Wanted],
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<UploadStats, NotPromoted> {
    // It goes away after each batch, so that no more than one lies here.
    let here = tempfile::tempdir_in(scratch)
        .map_err(|source| NotPromoted::Scratch { path: scratch.display().to_string(), source })?;
    let (uploads, failed) = fetch_into(&Source::of(from), batch, here.path());
    if let Some(error) = failed.into_iter().next() {
        return Err(error.into());
    }
    let uploaded = upload(to, repo, &uploads, &[], progress)?;
    if !uploaded.failed.is_empty() {
        return Err(NotPromoted::Unread(uploaded.failed));
    }
    Ok(uploaded.stats)
}

fn planned(changes: Vec<Difference>) -> BTreeMap<Vec<u8>, Option<Planned>> {
    let plan = |content| match content {
        Content::File { executable, oid, size, .. } => Planned::File { executable, oid, size },
        Content::Link { target } => Planned::Link(target),
        Content::Module { commit } => Planned::Module(commit),
    };
    changes.into_iter().map(|change| (change.path, change.new.map(plan))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cache::Cache;
    use crate::catalog::Journal;
    use crate::ops::fetch::fetch;
    use crate::ops::tree::{Tree, upload_tree};
    use crate::progress::Silent;
    use crate::store::{Store, StoreUrl};

    fn catalog(name: &str) -> Catalog {
        let url = StoreUrl::parse(&format!("memory:promote-{name}")).expect("a URL");
        Catalog::create(Store::open(&url).expect("memory"), Cache::none(), Journal::none())
            .expect("a new store")
    }

    #[test]
    fn a_version_arrives_whole_and_brings_only_what_is_missing() {
        let repo = RepoId::from_bytes([9; 16]);
        let (folder, mut dev, mut prod) =
            (tempfile::tempdir().expect("a directory"), catalog("dev"), catalog("prod"));
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("made");
        let noise = |n: u64| {
            let mut bytes = vec![0; 1 << 20];
            blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut bytes);
            bytes
        };
        for n in 0..8 {
            fs::write(data.join(format!("{n}")), noise(n)).expect("written");
        }
        name_repo(&mut dev, repo, "weather").expect("named");
        let (_, _) = upload_tree(&mut dev, repo, &data, &Tree::default(), &Silent).expect("uploads");
        let mut make = |changes: BTreeMap<Vec<u8>, Option<Planned>>, base: Option<Root>| {
            let files: Vec<Upload> = changes
                .values()
                .flatten()
                .filter_map(|it| match it {
                    Planned::File { oid, size, .. } => {
                        Some(Upload { oid: Some(*oid), size: *size, path: "gone".into(), previous: None })
                    }
                    _ => None,
                })
                .collect();
            let drafting = |_: &_| Draft::new(base.clone(), Default::default(), changes.clone());
            upload_bundle(&mut dev, repo, &files, &drafting, &Silent).expect("made").bundle.expect("a bundle")
        };
        let file = |n: u64| {
            use sha2::{Digest, Sha256};
            let oid = Oid::from_bytes(Sha256::digest(noise(n)).into());
            (format!("{n}").into_bytes(), Some(Planned::File { executable: n == 3, oid, size: 1 << 20 }))
        };
        let mut all: BTreeMap<_, _> = (0..7).map(file).collect();
        all.insert(b"link".to_vec(), Some(Planned::Link(b"3".to_vec())));
        let one = make(all, None);
        let first = promote(&dev, &mut prod, one, folder.path(), &Silent).expect("arrives");
        assert!(!first.was_there && first.stats.new_raw == 7 << 20, "{first:?}");
        assert!(promote(&dev, &mut prod, one, folder.path(), &Silent).expect("again").was_there);
        assert_eq!(prod.state().repo_named("weather"), Some(repo));

        let base = bundle::open(&dev, one).expect("opens").root().clone();
        drop(dev);
        let mut dev = catalog("dev");
        let changes = [file(7), (b"0".to_vec(), None)].into();
        let drafting = |_: &_| Draft::new(Some(base.clone()), Default::default(), BTreeMap::clone(&changes));
        let (_, seven) = file(7);
        let Some(Planned::File { oid, size, .. }) = seven else { unreachable!("a file") };
        let known = [Upload { oid: Some(oid), size, path: "gone".into(), previous: None }];
        let two = upload_bundle(&mut dev, repo, &known, &drafting, &Silent)
            .expect("made")
            .bundle
            .expect("a bundle");
        let second = promote(&dev, &mut prod, two, folder.path(), &Silent).expect("arrives");
        assert_eq!(second.stats.new_raw, 1 << 20, "the one file that is new");
        let there = bundle::open(&prod, two).expect("opens");
        let home = bundle::open(&dev, two).expect("opens");
        let shown = |it: &crate::bundle::Bundle<'_>| -> Vec<(Vec<u8>, u32, Vec<u8>)> {
            let entries = it.below(b"").expect("reads");
            entries.into_iter().map(|it| (it.path, it.content.mode(), it.content.name().to_vec())).collect()
        };
        assert_eq!(shown(&there), shown(&home));
        let content = there.find(b"7").expect("reads").expect("there").content;
        let Content::File { oid, size, recipe, .. } = content else { panic!("a file") };
        let out = folder.path().join("out");
        let wanted =
            Wanted { oid, size, terms: terms(&prod, oid, size, &recipe).expect("terms"), path: out.clone() };
        fetch(&Source::of(&prod), &[wanted], &Silent, &|_, result| result.expect("fetches"));
        assert_eq!(fs::read(out).expect("there"), noise(7));
    }
}

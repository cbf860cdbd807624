//! The bundle of a git commit: what its tree has at the dataset's path, differing from the bundle of an ancestor by as much as
//! the trees do.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::draft::{Draft, Planned};
use super::resolve::{self, NotFound};
use crate::bundle::{BadPath, Facts, Root, check_path};
use crate::catalog::{Catalog, CatalogError};
use crate::git::{self, Datasets, GitFailed, ObjectId, Objects, ObjectsError, Pointer, Repo, TreeItem};
use crate::id::{BundleId, GitId, Oid, RepoId};
use crate::ops::here::Here;
use crate::ops::kinship::Stranger;
use crate::ops::upload::Upload;

/// Ancestors that are looked at for a bundle to start from.
const ANCESTORS: usize = 10_000;

/// A dataset in a git repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Its path; empty for the whole repository.
    pub path: Vec<u8>,
    /// Whether only what git-lfs tracks is in its bundles.
    pub lfs_only: bool,
}

impl From<&git::Dataset> for Dataset {
    fn from(named: &git::Dataset) -> Dataset {
        Dataset { path: named.path.clone().into(), lfs_only: named.lfs_only }
    }
}

/// A commit that no bundle can be made of.
#[derive(Debug, thiserror::Error)]
pub enum NoBundle {
    /// The store cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Git objects cannot be read.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// Git does not tell of the commit.
    #[error(transparent)]
    Git(#[from] GitFailed),
    /// An older bundle cannot be read.
    #[error(transparent)]
    Base(#[from] NotFound),
    /// A path that no bundle may have.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// There is no such directory in the commit.
    #[error("commit {commit} has no directory {path}, where its dataset should be")]
    NoDataset {
        /// The commit.
        commit: ObjectId,
        /// The path of the dataset.
        path: String,
    },
    /// The dataset is somebody else's.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    /// The dataset takes no more of them.
    #[error(
        "its dataset {name:?} was deleted in the store: bring it back with `git datamon repo undelete {repo}`, or take it out of datamon.toml"
    )]
    Deleted {
        /// The repo.
        repo: RepoId,
        /// What it was called.
        name: String,
    },
    /// A plain file of git could not be written for reading.
    #[error("cannot write {path}: {source}; free space and run the command again")]
    Scratch {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of it could not be uploaded.
    #[error("no bundle of {commit} was made: {why}")]
    Upload {
        /// The commit.
        commit: ObjectId,
        /// What happened to the first file.
        why: String,
    },
    /// Data is neither here nor in the store.
    #[error("{} of the files of {commit} are neither here nor in the store, {} first: `git datamon push` where they are", .paths.len(), .paths[0])]
    DataElsewhere {
        /// The commit.
        commit: ObjectId,
        /// Their paths, at least one.
        paths: Vec<String>,
    },
}

/// What a bundle of a commit will be: files to upload, and what lies at each path once they are.
pub struct Planning {
    base: Option<Root>,
    facts: Facts,
    links: BTreeMap<Vec<u8>, Option<Planned>>,
    /// Files by path: the executable bit, and where its bytes or its oid come from.
    files: Vec<(Vec<u8>, bool, Upload)>,
}

/// The bundle that a commit has already: made for it, or for a commit with the same tree.
pub fn bundle_of(
    catalog: &Catalog,
    objects: &Objects,
    repo: RepoId,
    dataset: &Dataset,
    commit: ObjectId,
) -> Result<Option<BundleId>, NoBundle> {
    bundle_before(catalog, objects, repo, dataset, commit, u64::MAX)
}

/// The same of those that came before an entry.
fn bundle_before(
    catalog: &Catalog,
    objects: &Objects,
    repo: RepoId,
    dataset: &Dataset,
    commit: ObjectId,
    seq: u64,
) -> Result<Option<BundleId>, NoBundle> {
    let state = catalog.state();
    let is_older = |id: &BundleId| state.bundles()[id].seq < seq;
    if let Some(made) = state.bundles_of_commit(repo, git_id(commit)).into_iter().rfind(is_older) {
        return Ok(Some(made));
    }
    let tree = objects.tree_at(commit, &dataset.path)?;
    Ok(tree.and_then(|tree| state.bundles_of_tree(repo, git_id(tree)).into_iter().rfind(is_older)))
}

/// The newest bundle on the first-parent history of the default branch, wherever the dataset lay at the time.
pub fn latest(
    catalog: &Catalog,
    objects: &Objects,
    repo: RepoId,
    datasets: &Datasets<'_>,
) -> Result<Option<BundleId>, NoBundle> {
    let mut next = objects.default_tip()?;
    while let Some(commit) = next {
        if let Some(place) = datasets.place(repo, commit)
            && let Some(bundle) = bundle_of(catalog, objects, repo, &Dataset::from(&place), commit)?
        {
            return Ok(Some(bundle));
        }
        next = objects.first_parent(commit)?;
    }
    Ok(None)
}

/// The same id as the log writes it.
pub fn git_id(id: ObjectId) -> GitId {
    GitId::from_slice(id.as_bytes()).expect("git ids have 20 or 32 bytes")
}

/// The newest bundles among the ancestors of `commit` that came before entry `seq`, one on each line of descent, the first parent's first.
pub fn parents(
    catalog: &Catalog,
    objects: &Objects,
    repo: RepoId,
    dataset: &Dataset,
    commit: ObjectId,
    seq: u64,
) -> Result<Vec<BundleId>, NoBundle> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut next: VecDeque<ObjectId> = objects.parents(commit)?.into();
    while let Some(commit) = next.pop_front() {
        if !seen.insert(commit) || seen.len() > ANCESTORS {
            continue;
        }
        match bundle_before(catalog, objects, repo, dataset, commit, seq)? {
            Some(bundle) if !found.contains(&bundle) => found.push(bundle),
            Some(_) => {}
            None => next.extend(objects.parents(commit)?),
        }
    }
    Ok(found)
}

impl Planning {
    /// What the bundle of `commit` takes. Plain files of git are written below `scratch` to be read from there.
    pub fn of(
        catalog: &Catalog,
        git: (&Repo, &Objects),
        repo: RepoId,
        dataset: &Dataset,
        commit: ObjectId,
        facts: Facts,
        scratch: &Path,
    ) -> Result<Planning, NoBundle> {
        let objects = git.1;
        let tree = objects.tree_at(commit, &dataset.path)?.ok_or_else(|| NoBundle::NoDataset {
            commit,
            path: String::from_utf8_lossy(&dataset.path).into_owned(),
        })?;
        let parents = parents(catalog, objects, repo, dataset, commit, u64::MAX)?;
        let include = dataset.lfs_only.then(|| "lfs".to_owned());
        let base = match parents.first() {
            Some(bundle) => Some(resolve::open(catalog, *bundle)?.root().clone()),
            None => None,
        };
        // What is in it follows other rules, or git does not have its tree any more: begin with nothing.
        let same_rules = |root: &Root| root.facts.include == include && root.facts.path == dataset.path;
        let tree_of = |root: &Root| objects.known(ObjectId::try_from(root.facts.tree?.as_bytes()).ok()?);
        let base = base.filter(same_rules).and_then(|root| Some((tree_of(&root)?, root)));
        let delta = objects.delta(base.as_ref().map(|(tree, _)| *tree), tree)?;
        let facts = Facts {
            parents,
            commit: Some(git_id(commit)),
            tree: Some(git_id(tree)),
            path: dataset.path.clone(),
            include,
            ..facts
        };
        let base = base.map(|(_, root)| root);
        let mut planning = Planning { base, facts, links: BTreeMap::new(), files: vec![] };
        let here = Here::of(git.0)?;
        for (path, item) in delta {
            let path = Vec::from(path);
            check_path(&path)?;
            match item {
                Some(item) => planning.add(git, &here, dataset, path, item, scratch)?,
                None => drop(planning.links.insert(path, None)),
            }
        }
        Ok(planning)
    }

    /// All files of the commit, without a bundle that some of them are in.
    pub fn of_all(
        git: (&Repo, &Objects),
        dataset: &Dataset,
        commit: ObjectId,
        scratch: &Path,
    ) -> Result<Planning, NoBundle> {
        let (facts, here) = (Facts::default(), Here::of(git.0)?);
        let mut planning = Planning { base: None, facts, links: BTreeMap::new(), files: vec![] };
        let Some(tree) = git.1.tree_at(commit, &dataset.path)? else { return Ok(planning) };
        for (path, item) in git.1.delta(None, tree)? {
            if let Some(item) = item {
                planning.add(git, &here, dataset, path.into(), item, scratch)?;
            }
        }
        Ok(planning)
    }

    fn add(
        &mut self,
        (repo, objects): (&Repo, &Objects),
        here: &Here,
        dataset: &Dataset,
        path: Vec<u8>,
        item: TreeItem,
        scratch: &Path,
    ) -> Result<(), NoBundle> {
        let plain = |planning: &mut Planning, path, link| drop(planning.links.insert(path, Some(link)));
        match item.mode {
            0o120_000 if !dataset.lfs_only => {
                let target = objects.blob(item.id)?;
                plain(self, path, Planned::Link(target));
            }
            0o160_000 if !dataset.lfs_only => plain(self, path, Planned::Module(git_id(item.id))),
            0o100_644 | 0o100_755 => {
                let executable = item.mode == 0o100_755;
                let upload = match objects.pointer(item.id)? {
                    // git-lfs keeps no object for it.
                    Some(Pointer { size: 0, .. }) => scratch_file(scratch, "empty", b"")?,
                    Some(Pointer { oid, size }) => {
                        let pointer = Pointer { oid, size };
                        let path = here.to_send(&pointer).unwrap_or_else(|| repo.lfs_object_path(&oid));
                        Upload { oid: Some(oid), size, path, previous: None }
                    }
                    None if dataset.lfs_only => {
                        // What git-lfs does not track any more is gone from the bundle.
                        self.links.insert(path, None);
                        return Ok(());
                    }
                    None => plain_file(objects, item.id, scratch)?,
                };
                self.files.push((path, executable, upload));
            }
            // Left out by the rules of the dataset.
            _ => drop(self.links.insert(path, None)),
        }
        Ok(())
    }

    /// The files to upload, each once, and what is to be touched only because it is not here.
    pub fn uploads(&self) -> Vec<Upload> {
        let mut seen = HashSet::new();
        let uploads = self.files.iter().map(|(_, _, upload)| upload);
        uploads.filter(|upload| seen.insert(upload.path.clone())).cloned().collect()
    }

    /// Paths whose data is neither on this machine nor known to the store.
    pub fn elsewhere(&self, catalog: &Catalog, repo: RepoId) -> Result<Vec<String>, CatalogError> {
        let absent = |upload: &Upload| upload.oid.filter(|_| !upload.path.is_file());
        let oids: Vec<Oid> = self.files.iter().filter_map(|(_, _, upload)| absent(upload)).collect();
        let known = catalog.find(repo, &oids)?;
        let lost = self.files.iter().filter(|(_, _, upload)| {
            absent(upload).is_some_and(|oid| known.get(&oid).is_none_or(|row| row.size != upload.size))
        });
        Ok(lost.map(|(path, _, _)| String::from_utf8_lossy(path).into_owned()).collect())
    }

    /// The draft, once every file was read: `read` says what those without an oid were.
    pub fn draft(&self, read: &BTreeMap<PathBuf, (Oid, u64)>) -> Draft {
        Draft::new(self.base.clone(), self.facts.clone(), self.changes(read))
    }

    /// What lies at each path from then on.
    pub fn changes(&self, read: &BTreeMap<PathBuf, (Oid, u64)>) -> BTreeMap<Vec<u8>, Option<Planned>> {
        let mut changes = self.links.clone();
        for (path, executable, upload) in &self.files {
            let (oid, size) = match upload.oid {
                Some(oid) => (oid, upload.size),
                None => read[&upload.path],
            };
            changes.insert(path.clone(), Some(Planned::File { executable: *executable, oid, size }));
        }
        changes
    }
}

/// A plain file of git, written where an upload can read it. Git knows it by another hash, so what it is shows when it is read.
fn plain_file(objects: &Objects, blob: ObjectId, scratch: &Path) -> Result<Upload, NoBundle> {
    scratch_file(scratch, &blob.to_string(), &objects.blob(blob)?)
}

fn scratch_file(scratch: &Path, name: &str, bytes: &[u8]) -> Result<Upload, NoBundle> {
    let path = scratch.join(name);
    let failed = |source| NoBundle::Scratch { path: path.display().to_string(), source };
    fs::write(&path, bytes).map_err(failed)?;
    Ok(Upload { oid: None, size: bytes.len() as u64, path, previous: None })
}

//! The bundle of a directory, without git.
//!
//! What the last upload of the same directory found is kept in the cache of the store: files that look untouched cost a stat.
//! What the parent has already, as the same content at the same path, is neither read nor promised anew: its pages are shared.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::draft::{Draft, Planned};
use super::resolve::{self, NotFound};
use crate::bundle::{BadPath, Bundle, Content, Facts, Root, Step, check_path, not_on_windows};
use crate::cache::Cache;
use crate::catalog::{Catalog, CatalogError};
use crate::id::{BundleId, RepoId};
use crate::ops::receipt::UploadStats;
use crate::ops::tree::{Scan, Tree, TreeError};
use crate::ops::upload::{Read, Upload, upload_bundle};
use crate::progress::Progress;

/// Entries of one file of the cache.
const PART: usize = 100_000;

/// A directory that did not become a bundle.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be walked or read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It has a path that no bundle may have.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// The parent cannot be opened.
    #[error(transparent)]
    Parent(#[from] NotFound),
    /// The store could not do its part.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A bundle of a directory.
#[derive(Debug)]
pub struct Made {
    /// The bundle.
    pub bundle: BundleId,
    /// Files and links in it.
    pub entries: u64,
    /// Of those, the ones that the parent does not have like that.
    pub changed: u64,
    /// Paths that the parent had and the directory has not.
    pub gone: u64,
    /// Paths that the parent has not, and Windows cannot have.
    pub not_on_windows: Vec<Vec<u8>>,
    /// What was left out, as it lies on this machine: sockets, pipes, devices and `.git`.
    pub skipped: Vec<PathBuf>,
    /// What it cost.
    pub stats: UploadStats,
}

/// Make a bundle of what lies below `folder`. It shares pages with `parent`, and is said to come from it; with `is_latest` it is what
/// `latest` means from then on.
pub fn upload_directory(
    catalog: &mut Catalog,
    repo: RepoId,
    folder: &Path,
    parent: Option<BundleId>,
    facts: Facts,
    is_latest: bool,
    progress: &dyn Progress,
) -> Result<Made, DirectoryError> {
    let kept = Kept::load(catalog, repo, folder).unwrap_or_default();
    let scan = Scan::of(folder, &kept.tree)?;
    let looked = scan.tree(&Read::new());
    for (path, _) in looked.contents() {
        check_path(path)?;
    }
    let base = Base::of(catalog, parent, kept)?;
    let maybe_changed = base.changes(&looked);
    let is_needed = |file: &&Upload| {
        let name = file.path.strip_prefix(folder).expect("it was found below").as_os_str();
        maybe_changed.contains_key(name.as_bytes())
    };
    let files: Vec<Upload> = scan.files.iter().filter(is_needed).cloned().collect();
    progress.expect(files.iter().map(|file| file.size).fold(0, u64::saturating_add));
    let facts = Facts { parents: parent.into_iter().collect(), ..facts };
    let drafting = |read: &Read| Draft {
        is_latest,
        ..Draft::new(base.root.clone(), facts.clone(), base.changes(&scan.tree(read)))
    };
    let uploaded = upload_bundle(catalog, repo, &files, &drafting, progress)?;
    if !uploaded.failed.is_empty() {
        return Err(TreeError::Unread(uploaded.failed).into());
    }
    let bundle = uploaded.bundle.expect("nothing failed, so it was made");
    let tree = scan.tree(&uploaded.read);
    let changes = base.changes(&tree);
    let gone = changes.values().filter(|change| change.is_none()).count() as u64;
    let is_new = |path: &Vec<u8>| changes[path].is_some() && !base.contents.contains_key(path);
    let odd = changes.keys().filter(|path| not_on_windows(path).is_some() && is_new(path));
    let made = Made {
        not_on_windows: odd.cloned().collect(),
        bundle,
        entries: tree.len() as u64,
        changed: changes.len() as u64 - gone,
        gone,
        skipped: scan.skipped,
        stats: uploaded.stats,
    };
    Kept { bundle: Some(bundle), tree }.save(catalog, repo, folder);
    Ok(made)
}

/// What the parent has.
struct Base {
    root: Option<Root>,
    contents: BTreeMap<Vec<u8>, Planned>,
}

impl Base {
    /// From the list that was kept if that is of the parent, else from its pages; something may have been taken out of it since.
    fn of(catalog: &Catalog, parent: Option<BundleId>, kept: Kept) -> Result<Base, DirectoryError> {
        let Some(parent) = parent else { return Ok(Base { root: None, contents: BTreeMap::new() }) };
        let bundle = resolve::open(catalog, parent)?;
        let is_whole = bundle.root().facts.redacted.is_empty();
        let contents = if kept.bundle == Some(parent) && is_whole {
            kept.tree.contents().map(|(path, it)| (path.to_vec(), it)).collect()
        } else {
            contents(&bundle)?
        };
        Ok(Base { root: Some(bundle.root().clone()), contents })
    }

    /// How `tree` differs; what was not read yet always does.
    fn changes(&self, tree: &Tree) -> BTreeMap<Vec<u8>, Option<Planned>> {
        let mut changes: BTreeMap<Vec<u8>, Option<Planned>> =
            self.contents.keys().map(|path| (path.clone(), None)).collect();
        for (path, planned) in tree.contents() {
            if self.contents.get(path) == Some(&planned) {
                changes.remove(path);
            } else {
                changes.insert(path.to_vec(), Some(planned));
            }
        }
        changes
    }
}

fn contents(bundle: &Bundle<'_>) -> Result<BTreeMap<Vec<u8>, Planned>, CatalogError> {
    let mut found = BTreeMap::new();
    bundle.walk(b"", |entry| {
        let planned = match entry.content {
            Content::File { executable, oid, size, .. } => Planned::File { executable, oid, size },
            Content::Link { target } => Planned::Link(target),
            Content::Module { commit } => Planned::Module(commit),
        };
        found.insert(entry.path, planned);
        Step::Next
    })?;
    Ok(found)
}

/// What an upload found, and the bundle it became.
#[derive(Default)]
struct Kept {
    bundle: Option<BundleId>,
    tree: Tree,
}

/// The bundle, and the names of the parts of its tree.
#[derive(Serialize, Deserialize)]
struct Head(BundleId, Vec<String>);

impl Kept {
    fn place(catalog: &Catalog, repo: RepoId, folder: &Path) -> (Cache, String) {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let folder = folder.as_os_str().as_bytes();
        let name = blake3::hash(&[repo.as_bytes(), folder].concat()).to_hex()[..32].to_owned();
        (catalog.cache().part("trees"), name)
    }

    fn head(cache: &Cache, name: &str) -> Option<Head> {
        rmp_serde::from_slice(&cache.get(name)?).ok()
    }

    fn load(catalog: &Catalog, repo: RepoId, folder: &Path) -> Option<Kept> {
        let (cache, name) = Kept::place(catalog, repo, folder);
        let Head(bundle, parts) = Kept::head(&cache, &name)?;
        let part = |part: &String| Tree::decode_part(&cache.get(part)?).ok();
        let parts: Vec<Tree> = parts.iter().map(part).collect::<Option<_>>()?;
        Some(Kept { bundle: Some(bundle), tree: Tree::join(parts) })
    }

    fn save(&self, catalog: &Catalog, repo: RepoId, folder: &Path) {
        let (cache, name) = Kept::place(catalog, repo, folder);
        let old = Kept::head(&cache, &name).map_or(vec![], |Head(_, parts)| parts);
        let Some(bundle) = self.bundle else { return };
        let part = |tree: Tree| {
            let bytes = tree.encode();
            let part = format!("{name}-{}", &blake3::hash(&bytes).to_hex()[..32]);
            cache.put(&part, &bytes);
            part
        };
        let parts: Vec<String> = self.tree.split(PART).into_iter().map(part).collect();
        let head = Head(bundle, parts);
        cache.put(&name, &rmp_serde::to_vec(&head).expect("plain values always encode"));
        old.iter().filter(|part| !head.1.contains(part)).for_each(|part| cache.remove(part));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;
    use crate::catalog::Journal;
    use crate::progress::Progress;
    use crate::store::{Store, StoreUrl};

    /// What is done, and how much there is to do.
    #[derive(Default)]
    struct Counted(AtomicU64, AtomicU64);

    impl Progress for Counted {
        fn add(&self, bytes: u64) {
            self.0.fetch_add(bytes, Relaxed);
        }

        fn expect(&self, bytes: u64) {
            self.1.store(bytes, Relaxed);
        }
    }

    #[test]
    fn what_looks_untouched_is_neither_read_nor_promised_anew() {
        let (folder, repo) = (tempfile::tempdir().expect("a directory"), RepoId::from_bytes([3; 16]));
        let (data, cache) = (folder.path().join("data"), folder.path().join("cache"));
        let url = StoreUrl::parse("memory:directory-kept").expect("a URL");
        let store = Store::open(&url).expect("memory");
        let mut catalog =
            Catalog::create(store, Cache::at(cache.clone()), Journal::none()).expect("a new store");
        fs::create_dir(&data).expect("made");
        (0..20).for_each(|n| fs::write(data.join(n.to_string()), n.to_string()).expect("written"));
        let upload = |catalog: &mut Catalog, parent| {
            let (done, facts) = (Counted::default(), Facts::default());
            let made = upload_directory(catalog, repo, &data, parent, facts, true, &done).expect("uploads");
            assert_eq!(done.0.into_inner(), done.1.into_inner(), "all of what was expected was done");
            made
        };
        let first = upload(&mut catalog, None);
        let settle = |catalog: &Catalog| {
            let kept = Kept::load(catalog, repo, &data).expect("kept");
            Kept { tree: kept.tree.settled(), ..kept }.save(catalog, repo, &data);
            kept.bundle
        };
        assert_eq!(settle(&catalog), Some(first.bundle));
        fs::write(data.join("7"), "changed").expect("written");
        let before = catalog.store().requests();
        let second = upload(&mut catalog, Some(first.bundle));
        let cost = catalog.store().requests().since(before);
        assert_eq!((second.stats.files, second.changed, second.entries), (1, 1, 20));
        assert!(cost.put <= 3, "{cost:?}");
        // Another parent than the one that is kept: its pages say what it has, and still nothing is read.
        settle(&catalog);
        let third = upload(&mut catalog, Some(first.bundle));
        assert_eq!((third.stats.files, third.stats.known, third.changed), (1, 1, 1));
        // What was kept and is damaged is as if it were not there.
        settle(&catalog);
        let trees = cache.join(catalog.identity().store.to_string()).join("trees");
        for part in fs::read_dir(trees).expect("kept") {
            let part = part.expect("an entry").path();
            fs::write(part, "damaged").expect("written");
        }
        let fourth = upload(&mut catalog, Some(third.bundle));
        assert_eq!((fourth.stats.files, fourth.stats.known, fourth.changed), (20, 0, 0));
        assert_eq!(fourth.stats.new_raw, 0);
    }
}

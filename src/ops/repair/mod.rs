//! Repair: what the store promises and cannot give, promised anew from wherever its bytes still are. It only ever adds (R13).
//!
//! What is damaged is what verifications on this machine have found so (`catalog/suspects`). Such a file is looked for, nearest first:
//!
//! 1. in clones on this machine, among git-lfs's objects, in the work tree, and as a plain file of git;
//! 2. in the store itself: a pack may be damaged in one place only, and this machine may have kept the frames in question;
//! 3. in the mirrors of the store;
//! 4. in other stores.
//!
//! Whatever is found is hashed while it is read, so that nothing wrong is promised. Before that, what versions consist of is taken out of
//! damaged packs (`metadata`), and afterwards versions are made anew from their commits (`versions`) and the data that they lead to is taken
//! out too (`data`). Tables that were lost come from a copy of the store, or are made again from what the
//! pushes said, as long as all of that is there; else a row of a file that a version still leads to is promised again. What nobody has is
//! named, with the versions it is missing from.

mod data;
mod metadata;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub use data::move_data;
pub use metadata::move_metadata;

use super::bundle::{Pages, labels_of};
use super::carry::{batches, fetch_into};
use super::fetch::{FetchError, Source, Wanted};
use super::here::Here;
use super::publish::{Versions, publish};
use super::receipt::UploadStats;
use super::upload::{Upload, upload};
use crate::bundle::{Content, Entry, Root};
use crate::catalog::{Catalog, CatalogError};
use crate::git::{BStr, ObjectId, Objects, ObjectsError, Pointer, Repo};
use crate::id::{BundleId, GitId, Oid, RepoId};
use crate::progress::Progress;
use crate::store::Store;
use crate::table::Row;

/// Rows whose newest promise is looked up at a time.
const TOGETHER: usize = 1 << 14;

/// A store that could not be repaired; what was done before stays.
#[derive(Debug, thiserror::Error)]
pub enum NotRepaired {
    /// A store cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// There is no room for what is on its way.
    #[error("cannot keep files on their way in {path}: {source}; free space and run the command again")]
    Scratch {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What was written anew of the log and what it leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// `datamon.json`.
    pub identity: bool,
    /// `log/HEAD`, which leads to the newest entry.
    pub hint: bool,
    /// What its newest entry said.
    pub head: bool,
    /// Its checkpoint.
    pub checkpoint: bool,
    /// Rows of damaged tables.
    pub rows: u64,
    /// Roots and pages of versions, and lists of terms, which lie elsewhere now.
    pub frames: u64,
}

/// Writes anew what is damaged of the log and what it leads to, as far as the log itself, this machine, `mirrors` of the store or other
/// `stores` with the same packs have it.
pub fn mend(catalog: &mut Catalog, stores: &[Catalog], mirrors: &[Store]) -> Result<Mended, CatalogError> {
    let copies: Vec<Store> =
        mirrors.iter().cloned().chain(stores.iter().map(|other| other.store().clone())).collect();
    Ok(Mended {
        identity: catalog.mend_identity()?,
        hint: catalog.mend_hint()?,
        head: catalog.mend_head()? && catalog.write_checkpoint()?,
        checkpoint: catalog.has_damaged_checkpoint() && catalog.write_checkpoint()?,
        rows: catalog.replace_damaged_tables(&copies)?,
        frames: move_metadata(catalog, &copies)?,
    })
}

/// Where a version has a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The dataset.
    pub repo: RepoId,
    /// The version.
    pub bundle: BundleId,
    /// Its path in the version.
    pub path: Vec<u8>,
}

/// A file that the store promises and cannot give.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Its length, bytes.
    pub size: u64,
    /// For whom it is promised.
    pub repo: RepoId,
    /// Where versions have it.
    pub places: Vec<Place>,
}

/// A version whose root or pages cannot be read, as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The dataset.
    pub repo: RepoId,
    /// The git commit that it was made for.
    pub commit: Option<GitId>,
    /// Its pages that cannot: the first path of each, and how many it has. Where there are none it is the root, and so all of it.
    pub pages: Vec<(Vec<u8>, u32)>,
}

/// What is damaged in a store, as far as is known.
#[derive(Debug, Default)]
pub struct Damage {
    /// Files that cannot be read.
    pub files: BTreeMap<Oid, Hit>,
    /// Rows that were lost with their segments, and that versions still have.
    pub rows: Vec<Row>,
    /// Versions whose root or pages cannot be read.
    pub versions: BTreeMap<BundleId, Unreadable>,
    /// Entries of the log that nobody has as they were written.
    pub entries: Vec<u64>,
}

/// What a repair did.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Files stored anew.
    pub stored: BTreeSet<Oid>,
    /// Rows written again: from what pushes said, and from versions.
    pub rows: u64,
    /// Versions made anew from their commits.
    pub versions: u64,
    /// Damaged packs of data that versions led to, and do no more.
    pub moved: u64,
    /// What it cost.
    pub stats: UploadStats,
}

impl Damage {
    /// Looks through everything the store promises for what verifications have found damaged.
    pub fn of(catalog: &Catalog) -> Result<Damage, CatalogError> {
        let mut damage = Damage::default();
        if !catalog.has_suspects() {
            return Ok(damage);
        }
        let mut found: BTreeMap<Oid, RepoId> = BTreeMap::new();
        catalog.readable_rows(|rows| {
            let damaged = rows.iter().filter(|row| catalog.is_damaged(row));
            found.extend(damaged.map(|row| (row.oid, row.repo)));
        })?;
        let found: Vec<(Oid, RepoId)> = found.into_iter().collect();
        for some in found.chunks(TOGETHER) {
            let oids: Vec<Oid> = some.iter().map(|(oid, _)| *oid).collect();
            // What has a sound row elsewhere, or was dropped, is no damage.
            let rows = catalog.find(RepoId::NIL, &oids)?;
            let damaged = rows.into_values().filter(|row| catalog.is_damaged(row));
            damage
                .files
                .extend(damaged.map(|row| (row.oid, Hit { size: row.size, repo: row.repo, places: vec![] })));
        }
        damage.add_versions(catalog)?;
        Ok(damage)
    }

    /// What versions have: files whose rows are gone, and the places of files that are hit.
    fn add_versions(&mut self, catalog: &Catalog) -> Result<(), CatalogError> {
        let pages = Pages::of(catalog);
        let known = |id: BundleId| {
            let bundle = &catalog.state().bundles()[&id];
            Unreadable { repo: bundle.repo, commit: bundle.commit, pages: vec![] }
        };
        self.versions.extend(pages.unread.iter().map(|(version, _)| (*version, known(*version))));
        let files = |entries: Vec<Entry>, versions: &[std::sync::Arc<Root>]| {
            let rows = entries.into_iter().filter_map(|entry| row_of(entry, versions[0].repo));
            let rows: Vec<(Vec<u8>, Row)> = rows.collect();
            let oids: Vec<Oid> = rows.iter().map(|(_, row)| row.oid).collect();
            let known = catalog.find(RepoId::NIL, &oids)?;
            let whole = |row: &Row| known.get(&row.oid).is_some_and(|known| !catalog.is_damaged(known));
            let hit = rows.into_iter().filter(|(_, row)| !whole(row));
            let versions: Vec<BundleId> = versions.iter().map(|root| root.id).collect();
            Ok::<_, CatalogError>((hit.collect::<Vec<_>>(), versions))
        };
        let mut again: BTreeMap<Oid, Row> = BTreeMap::new();
        for page in pages.each(files) {
            match page {
                Ok(found) => {
                    let (hit, versions) = found?;
                    for (path, row) in hit {
                        self.add_file(path, row, &versions, catalog, &mut again);
                    }
                }
                Err(unread) => {
                    for root in unread.versions {
                        let version = self.versions.entry(root.id).or_insert_with(|| known(root.id));
                        version.pages.push((unread.page.first.clone(), unread.page.rows));
                    }
                }
            }
        }
        // What can be promised by another recipe is not hit.
        self.files.retain(|oid, _| !again.contains_key(oid));
        self.rows = again.into_values().collect();
        Ok(())
    }

    fn add_file(
        &mut self,
        path: Vec<u8>,
        mut row: Row,
        versions: &[BundleId],
        catalog: &Catalog,
        again: &mut BTreeMap<Oid, Row>,
    ) {
        let (oid, repo) = (row.oid, row.repo);
        catalog.lead_on(&mut row);
        if catalog.borrowable(&row) {
            again.insert(oid, row);
            return;
        }
        let hit = self.files.entry(oid).or_insert(Hit { size: row.size, repo, places: vec![] });
        hit.places.extend(versions.iter().map(|bundle| Place { repo, bundle: *bundle, path: path.clone() }));
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.rows.is_empty() && self.versions.is_empty() && self.entries.is_empty()
    }

    /// The labels of the versions that lack a file, or cannot be read.
    pub fn labels(&self, catalog: &Catalog) -> BTreeSet<String> {
        let lacking = self.files.values().flat_map(|hit| &hit.places).map(|place| place.bundle);
        let versions: BTreeSet<BundleId> = lacking.chain(self.versions.keys().copied()).collect();
        versions.into_iter().flat_map(|bundle| labels_of(catalog, bundle)).collect()
    }
}

/// The row that a file of a version would have.
fn row_of(entry: Entry, repo: RepoId) -> Option<(Vec<u8>, Row)> {
    let Content::File { oid, size, recipe, .. } = entry.content else { return None };
    Some((entry.path, Row { oid, repo, born: 0, size, recipe }))
}

/// A clone on this machine, which may have files.
pub struct Clone {
    repo: Repo,
    here: Here,
    objects: Objects,
}

impl Clone {
    /// The clone of a repository.
    pub fn of(repo: &Repo) -> Result<Clone, ObjectsError> {
        Ok(Clone { repo: repo.clone(), here: Here::of(repo)?, objects: repo.objects()?.only_local() })
    }

    /// Where a file of this content lies, one of git written out into `folder`.
    fn path(
        &self,
        oid: Oid,
        hit: &Hit,
        catalog: &Catalog,
        folder: &Path,
    ) -> Result<Option<PathBuf>, NotRepaired> {
        match self.here.path(&Pointer { oid, size: hit.size }) {
            None => self.plain(oid, hit, catalog, folder),
            found => Ok(found),
        }
    }

    /// A plain file of git at the place where a version has it.
    fn plain(
        &self,
        oid: Oid,
        hit: &Hit,
        catalog: &Catalog,
        folder: &Path,
    ) -> Result<Option<PathBuf>, NotRepaired> {
        let bytes = hit.places.iter().find_map(|place| {
            let facts = super::bundle::open(catalog, place.bundle).ok()?.root().facts.clone();
            let commit = ObjectId::try_from(facts.commit?.as_bytes()).ok()?;
            let path = [&facts.path[..], &place.path].into_iter().filter(|part| !part.is_empty());
            let path = path.collect::<Vec<_>>().join(&b'/');
            let blob = self.objects.blob_at(commit, BStr::new(&path)).ok()??;
            self.objects.blob(blob).ok().filter(|bytes| bytes.len() as u64 == hit.size)
        });
        let Some(bytes) = bytes else { return Ok(None) };
        let path = folder.join(oid.to_string());
        let failed = |source| NotRepaired::Scratch { path: path.display().to_string(), source };
        fs::write(&path, bytes).map_err(failed)?;
        Ok(Some(path))
    }
}

/// Promises anew what can be, from `clones`, `mirrors` and other `stores`; what is left in `damage` afterwards is beyond help.
pub fn repair(
    catalog: &mut Catalog,
    damage: &mut Damage,
    clones: &[Clone],
    stores: &[Catalog],
    mirrors: &[Store],
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<Repaired, NotRepaired> {
    let mut repaired = Repaired::default();
    promise(catalog, damage, &mut repaired)?;
    from_clones(clones, (catalog, damage), scratch, &mut repaired, progress)?;
    for mirror in [None].into_iter().chain(mirrors.iter().map(Some)) {
        let of_mirror = |mirror| Source::bare(mirror).on(catalog.cache().disk().clone());
        let source = mirror.map_or_else(|| Source::of(catalog), of_mirror);
        let wanted = readable(catalog, damage)?;
        fetch_and_store(&source, wanted, (catalog, damage), scratch, &mut repaired, progress)?;
    }
    for other in stores {
        let wanted = readable(other, damage)?;
        fetch_and_store(&Source::of(other), wanted, (catalog, damage), scratch, &mut repaired, progress)?;
    }
    repaired.versions = versions::remake(catalog, damage, clones, scratch)?;
    if repaired.versions > 0 && !damage.files.is_empty() {
        // Only by now versions say which plain files of git they have, and where.
        let entries = std::mem::take(&mut damage.entries);
        *damage = Damage { entries, ..Damage::of(catalog)? };
        promise(catalog, damage, &mut repaired)?;
        from_clones(clones, (catalog, damage), scratch, &mut repaired, progress)?;
    }
    let others = stores.iter().map(|other| other.store().clone());
    repaired.moved = move_data(catalog, &mirrors.iter().cloned().chain(others).collect::<Vec<_>>())?;
    Ok(repaired)
}

fn from_clones(
    clones: &[Clone],
    (catalog, damage): (&mut Catalog, &mut Damage),
    scratch: &Path,
    repaired: &mut Repaired,
    progress: &dyn Progress,
) -> Result<(), NotRepaired> {
    for clone in clones {
        let folder = folder(scratch)?;
        let mut found = Vec::new();
        for (oid, hit) in &damage.files {
            let path = clone.path(*oid, hit, catalog, folder.path())?;
            found.extend(path.map(|path| Upload { oid: Some(*oid), size: hit.size, path, previous: None }));
        }
        store(catalog, damage, found, repaired, progress)?;
    }
    Ok(())
}

fn fetch_and_store(
    source: &Source,
    wanted: Vec<Wanted>,
    (catalog, damage): (&mut Catalog, &mut Damage),
    scratch: &Path,
    repaired: &mut Repaired,
    progress: &dyn Progress,
) -> Result<(), NotRepaired> {
    for batch in batches(wanted) {
        let folder = folder(scratch)?;
        let (found, failed) = fetch_into(source, &batch, folder.path());
        store(catalog, damage, found, repaired, progress)?;
        // What the source cannot give another one may. What this machine cannot keep would be told as lost.
        for error in failed {
            if let FetchError::Write { source, .. } = error {
                return Err(NotRepaired::Scratch { path: scratch.display().to_string(), source });
            }
        }
    }
    Ok(())
}

fn folder(scratch: &Path) -> Result<tempfile::TempDir, NotRepaired> {
    tempfile::tempdir_in(scratch)
        .map_err(|source| NotRepaired::Scratch { path: scratch.display().to_string(), source })
}

/// Writes rows again that were lost.
fn promise(catalog: &mut Catalog, damage: &mut Damage, repaired: &mut Repaired) -> Result<(), CatalogError> {
    let mut by_repo: BTreeMap<RepoId, Vec<Row>> = BTreeMap::new();
    for row in damage.rows.drain(..) {
        let repo = living(catalog, row.repo);
        by_repo.entry(repo).or_default().push(Row { repo, ..row });
    }
    for (repo, rows) in by_repo {
        repaired.rows += rows.len() as u64;
        publish(catalog, catalog.head().seq(), repo, rows, &[], &[], Versions::default())?;
    }
    Ok(())
}

/// Stores files that were found, and forgets the damage they mend.
fn store(
    catalog: &mut Catalog,
    damage: &mut Damage,
    found: Vec<Upload>,
    repaired: &mut Repaired,
    progress: &dyn Progress,
) -> Result<(), CatalogError> {
    let mut by_repo: BTreeMap<RepoId, Vec<Upload>> = BTreeMap::new();
    for file in found {
        let repo = file.oid.and_then(|oid| damage.files.get(&oid)).map(|hit| hit.repo);
        by_repo.entry(living(catalog, repo.unwrap_or(RepoId::NIL))).or_default().push(file);
    }
    for (repo, files) in by_repo {
        let uploaded = upload(catalog, repo, &files, &[], progress)?;
        repaired.stats.add(uploaded.stats);
        for oid in uploaded.receipt.oids {
            damage.files.remove(&oid);
            repaired.stored.insert(oid);
        }
    }
    Ok(())
}

/// The repo, or where it was deleted the one that is none: nothing is promised to what is deleted (R14), and it may be undeleted.
fn living(catalog: &Catalog, repo: RepoId) -> RepoId {
    let deleted = catalog.state().repos().get(&repo).is_some_and(|repo| repo.deleted);
    if deleted { RepoId::NIL } else { repo }
}

/// What a store may have of the files that are hit.
fn readable(from: &Catalog, damage: &Damage) -> Result<Vec<Wanted>, CatalogError> {
    let oids: Vec<Oid> = damage.files.keys().copied().collect();
    let rows = from.find(RepoId::NIL, &oids)?;
    let wanted = |row: &Row| {
        // A recipe that cannot be read leads nowhere.
        let terms = from.terms(row).ok()?;
        Some(Wanted { oid: row.oid, size: row.size, terms, path: PathBuf::new() })
    };
    Ok(rows.values().filter(|row| damage.files[&row.oid].size == row.size).filter_map(wanted).collect())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::cache::Cache;
    use crate::catalog::Journal;
    use crate::disk::{Disk, Verb};
    use crate::progress::Silent;
    use crate::store::StoreUrl;

    #[test]
    fn a_full_disk_is_told_as_that_and_not_as_files_that_are_lost() {
        let (here, repo) = (tempfile::tempdir().expect("a temporary directory"), RepoId::from_bytes([9; 16]));
        let bytes = [7; 10_000];
        let (oid, path) = (Oid::from_bytes(Sha256::digest(bytes).into()), here.path().join("file"));
        fs::write(&path, bytes).expect("written");
        let store = Store::open(&StoreUrl::parse("memory:repair-full").expect("a URL")).expect("memory");
        let mut catalog = Catalog::create(store.clone(), Cache::none(), Journal::none()).expect("made");
        let file = Upload { oid: Some(oid), size: 10_000, path, previous: None };
        upload(&mut catalog, repo, &[file], &[], &Silent).expect("uploaded");
        let full = Disk::watched(|verb, _, _| match verb {
            Verb::Append => Err(std::io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        });
        let on_full = Catalog::open(store, Cache::none().on(full), Journal::none()).expect("opens");
        let repaired = |mut catalog: Catalog| {
            let hit = Hit { size: 10_000, repo, places: vec![] };
            let mut damage = Damage { files: [(oid, hit)].into(), ..Damage::default() };
            let done = repair(&mut catalog, &mut damage, &[], &[], &[], here.path(), &Silent);
            (done.map(|it| it.stored.len()), damage.files.len())
        };
        let (told, left) = repaired(on_full);
        let told = told.expect_err("it is full").to_string();
        assert!(told.contains("files on their way") && told.contains("no storage space"), "{told}");
        assert_eq!(left, 1);
        assert!(matches!(repaired(catalog), (Ok(1), 0)));
    }
}

//! What every test here needs: files with known bytes, machines that keep caches and journals, and the proofs about a store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use datamon::bundle::Content;
use datamon::cache::Cache;
use datamon::catalog::{Catalog, CatalogError, Change, Entry, Journal};
use datamon::id::{BundleId, EntryHash, Oid, RepoId};
use datamon::ops::bundle::open;
use datamon::ops::download::{rows, wanted};
use datamon::ops::fetch::{Source, Wanted, fetch};
use datamon::ops::upload::{Upload, Uploaded, upload};
use datamon::pack::verify_pack;
use datamon::progress::Silent;
use datamon::store::{Backend, Settings, Store, StoreUrl, key};
use datamon::table::Row;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The repo that pushes.
pub const REPO: RepoId = RepoId::from_bytes([7; 16]);

/// Local files by oid.
pub struct Shelf {
    folder: TempDir,
    sizes: HashMap<Oid, u64>,
}

impl Shelf {
    pub fn new() -> Self {
        Shelf { folder: scratch(), sizes: HashMap::new() }
    }

    /// A local file with these bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Oid {
        let oid = Oid::from_bytes(Sha256::digest(bytes).into());
        fs::write(self.path(oid), bytes).expect("the temporary directory is writable");
        self.sizes.insert(oid, bytes.len() as u64);
        oid
    }

    pub fn path(&self, oid: Oid) -> PathBuf {
        self.folder.path().join(oid.to_string())
    }

    pub fn file(&self, oid: Oid, previous: Option<Oid>) -> Upload {
        Upload { oid: Some(oid), size: self.sizes[&oid], path: self.path(oid), previous }
    }

    pub fn files(&self, oids: &[Oid]) -> Vec<Upload> {
        oids.iter().map(|oid| self.file(*oid, None)).collect()
    }

    /// What comes out of the store for each of `oids`: the very bytes, or an error; never other bytes, never a rest of a file.
    pub fn download(&self, catalog: &mut Catalog, oids: &[Oid]) -> BTreeMap<Oid, Result<(), String>> {
        let out = scratch();
        let mut results: BTreeMap<Oid, Result<(), String>> = BTreeMap::new();
        let found = match rows(catalog, REPO, oids) {
            Ok(found) => found,
            Err(error) => return oids.iter().map(|oid| (*oid, Err(error.to_string()))).collect(),
        };
        let mut plan = Vec::new();
        for oid in oids.iter().filter(|oid| results.insert(**oid, Ok(())).is_none()).collect::<Vec<_>>() {
            let path = out.path().join(oid.to_string());
            match wanted(catalog, found.get(oid), *oid, self.sizes[oid], path) {
                Ok(file) => plan.push(file),
                Err(error) => drop(results.insert(*oid, Err(error.to_string()))),
            }
        }
        let told = Mutex::new(HashMap::new());
        fetch(&Source::of(catalog), &plan, &Silent, &|file, result| {
            let result = result.map_err(|error| error.to_string());
            assert!(told.lock().expect("no panic").insert(file.oid, result).is_none(), "told twice");
        });
        let mut told = told.into_inner().expect("no panic");
        for file in &plan {
            let result = told.remove(&file.oid).expect("each file is told of");
            match &result {
                Ok(()) => {
                    let same = fs::read(&file.path).expect("verified, so written")
                        == fs::read(self.path(file.oid)).expect("on the shelf");
                    assert!(same, "{} came back with other bytes", file.oid);
                }
                Err(error) => assert!(!file.path.exists(), "{error}, and a rest of the file is there"),
            }
            results.insert(file.oid, result);
        }
        results
    }

    /// Every one of `oids` comes out bit for bit.
    pub fn assert_download(&self, catalog: &mut Catalog, oids: &[Oid], context: &str) {
        for (oid, result) in self.download(catalog, oids) {
            assert_eq!(result, Ok(()), "{context}: {oid}");
        }
    }
}

/// A folder on the disk, for stores.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A folder in memory where there is one, for thousands of small files and journals that are synced.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder())
}

/// What one machine keeps between processes. Like the program itself it keeps the store at each URL apart.
pub struct Machine(TempDir);

impl Machine {
    pub fn new() -> Self {
        Machine(scratch())
    }

    /// A machine that has kept the same.
    pub fn twin(&self) -> Self {
        let twin = Machine::new();
        copy(self.0.path(), twin.0.path());
        twin
    }

    fn of(&self, kind: &str, store: &Store) -> PathBuf {
        self.0.path().join(kind).join(blake3::hash(store.url().canonical().as_bytes()).to_string())
    }

    pub fn cache(&self, store: &Store) -> Cache {
        Cache::at(self.cache_folder(store))
    }

    pub fn cache_folder(&self, store: &Store) -> PathBuf {
        self.of("cache", store)
    }

    pub fn journal(&self, store: &Store) -> Journal {
        Journal::at(self.of("journal", store))
    }

    /// Forget what was cached, not what was journalled.
    pub fn chill(&self, store: &Store) {
        self.cache(store).clear();
    }

    /// Journal files that wait to be resolved.
    pub fn journals(&self, store: &Store) -> Vec<PathBuf> {
        self.kept(store, false)
    }

    /// What sessions wrote down of packs that no entry names.
    pub fn stranded(&self, store: &Store) -> Vec<PathBuf> {
        self.kept(store, true)
    }

    fn kept(&self, store: &Store, packs: bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.of("journal", store), &mut found);
        let of_packs = |path: &PathBuf| path.parent().is_some_and(|folder| folder.ends_with("packs"));
        found.retain(|path| of_packs(path) == packs);
        found
    }

    pub fn create(&self, store: &Store) -> Result<Catalog, CatalogError> {
        Catalog::create(store.clone(), self.cache(store), self.journal(store))
    }

    pub fn open(&self, store: &Store) -> Result<Catalog, CatalogError> {
        Catalog::open(store.clone(), self.cache(store), self.journal(store))
    }
}

/// A process that never saw the store before.
pub fn fresh(store: &Store) -> Result<Catalog, CatalogError> {
    Catalog::open(store.clone(), Cache::none(), Journal::none())
}

/// A version has these files, and each comes out bit for bit, by the version alone.
pub fn assert_version(catalog: &Catalog, id: BundleId, files: &BTreeSet<Oid>, context: &str) {
    let bundle = open(catalog, id).unwrap_or_else(|error| panic!("{context}: {error}"));
    let entries = bundle.below(b"").unwrap_or_else(|error| panic!("{context}: {error}"));
    let out = tempfile::tempdir().expect("a temporary directory");
    let mut wanted = Vec::new();
    for entry in entries {
        let Content::File { oid, size, recipe, .. } = entry.content else { continue };
        let row = Row { oid, repo: RepoId::NIL, born: 0, size, recipe };
        let terms = catalog.terms(&row).unwrap_or_else(|error| panic!("{context}: {error}"));
        wanted.push(Wanted { oid, size, terms, path: out.path().join(oid.to_string()) });
    }
    assert_eq!(wanted.iter().map(|it| it.oid).collect::<BTreeSet<_>>(), *files, "{context}");
    fetch(&Source::of(catalog), &wanted, &Silent, &|file, result| {
        if let Err(error) = result {
            panic!("{context}: version {id}: {}: {error}", file.oid);
        }
    });
}

/// An upload for the repo of these tests.
pub fn push(catalog: &mut Catalog, files: &[Upload]) -> Result<Uploaded, CatalogError> {
    upload(catalog, REPO, files, &[], &Silent)
}

/// A store over any backend; requests that fail are tried again at once.
pub fn store(backend: Arc<dyn Backend>) -> Store {
    Store::over(StoreUrl::parse("memory:durability").expect("a URL"), backend).without_waits()
}

/// The directory store at `path`, made where there is none.
pub fn directory(path: &Path) -> Store {
    let url = StoreUrl::parse(path.to_str().expect("a plain path")).expect("absolute");
    Store::create_place(&url, &Settings::default()).expect("a directory can be made here").without_waits()
}

/// All files below a folder.
pub fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("listed").path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
    files.sort();
}

/// Copy a directory, as somebody would with `cp -a` or a snapshot.
pub fn copy(from: &Path, to: &Path) {
    let mut files = Vec::new();
    collect(from, &mut files);
    for file in files {
        let target = to.join(file.strip_prefix(from).expect("below"));
        fs::create_dir_all(target.parent().expect("has one")).expect("writable");
        fs::copy(file, target).expect("copied");
    }
}

/// The log is dense from log/0 to its head, each entry names the hash of the one before, and the tails carry every change as
/// it was written. Gives the number of entries.
pub fn assert_chain(store: &Store) -> u64 {
    let listed = store.list(key::LOG, "").expect("lists");
    let mut seqs: Vec<u64> = listed.iter().filter_map(|it| key::log_seq(&it.key)).collect();
    seqs.sort_unstable();
    let mut prev = EntryHash::NONE;
    let mut changes: Vec<Vec<u8>> = Vec::new();
    for (at, seq) in seqs.iter().enumerate() {
        assert_eq!(at as u64, *seq, "the log has a hole");
        let bytes = store.get(&key::log(*seq)).expect("reads").expect("listed");
        let entry = Entry::decode(*seq, &bytes).expect("an entry");
        assert_eq!(entry.prev(), prev, "entry {seq} names another predecessor");
        for (before, change) in changes.iter().enumerate() {
            if let Some(carried) = entry.carried(before as u64) {
                assert_eq!(carried, change, "entry {seq} carries another change {before}");
            }
        }
        changes.push(entry.change().to_vec());
        prev = EntryHash::of(&bytes);
    }
    if let Some(hint) = store.get(key::HEAD).expect("reads") {
        let seq = u64::from_str_radix(std::str::from_utf8(&hint).expect("text").trim(), 16).expect("a seq");
        assert!(seq < seqs.len() as u64, "the hint names entry {seq}, which is not there");
    }
    seqs.len() as u64
}

/// Everything that the catalog promises is there: every byte of every pack in the table.
pub fn assert_packs(store: &Store) {
    let catalog = fresh(store).expect("opens");
    for (pack, info) in catalog.state().packs() {
        verify_pack(store, *pack, *info).expect("whole");
    }
}

/// Every change in the log.
pub fn changes(store: &Store) -> Vec<Change> {
    let listed = store.list(key::LOG, "").expect("lists");
    let change = |seq: u64| {
        let bytes = store.get(&key::log(seq)).expect("reads").expect("listed");
        Entry::decode(seq, &bytes).expect("an entry").own().expect("a change").change
    };
    listed.iter().filter_map(|it| key::log_seq(&it.key)).map(change).collect()
}

/// How often tables were merged.
pub fn merges(store: &Store) -> usize {
    changes(store).iter().filter(|change| matches!(change, Change::Compact(_))).count()
}

/// What this test needs is missing here: say so where nobody overlooks it.
#[allow(clippy::print_stderr)]
pub fn skipped<T>(why: &str) -> Option<T> {
    eprintln!("SKIPPED: {why}");
    None
}

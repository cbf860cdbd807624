//! What dataset versions cost where there are many entries, and where there are many versions: a table of Markdown.
//!
//! ```text
//! versions FOLDER [ENTRIES [VERSIONS [LABELS]]]     an empty folder, by default 1000000, 100000 and 10000
//! ```
//!
//! Entries are synthetic: many paths that share few contents, whose recipes the store has. All versions but the first and the last
//! are made a hundred to an entry of the log and share one page, which is what the log and the lists in its checkpoints see of
//! them. Memory is the highest of the process so far, with what it holds to describe the entries. A cold machine has no
//! cache, a warm one has opened the store before.

#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use datamon::bundle::{Facts, Root};
use datamon::cache::Cache;
use datamon::catalog::change::{BundleRef, Push};
use datamon::catalog::{Catalog, Change, Journal};
use datamon::id::{BundleId, GitId, Oid, RepoId};
use datamon::ops::bundle::{Draft, Name, Planned, children, compare, find, open};
use datamon::ops::label::{Expected, set};
use datamon::ops::repo;
use datamon::ops::upload::{Upload, upload, upload_bundle};
use datamon::progress::Silent;
use datamon::store::{Counts, Store, StoreUrl};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const REPO: RepoId = RepoId::from_bytes([9; 16]);
/// Contents that the paths share.
const CONTENTS: usize = 500;
/// Files of a directory.
const FOLDER: usize = 100;
/// Versions to an entry of the log.
const AT_ONCE: usize = 100;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, counts @ ..] = words.as_slice() else {
        return Err("versions FOLDER [ENTRIES [VERSIONS [LABELS]]]".into());
    };
    let count = |at: usize, usual: usize| counts.get(at).map_or(Ok(usual), |word| word.parse());
    let place = Place { folder: PathBuf::from(folder) };
    println!("| figure | limit | measured |\n|---|---|---|");
    entries(&place, count(0, 1_000_000)?)?;
    versions(&place, count(1, 100_000)?, count(2, 10_000)?)
}

/// Where the stores are.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn url(&self, name: &str) -> Result<StoreUrl> {
        let at = self.folder.join(name);
        fs::create_dir_all(&at)?;
        Ok(StoreUrl::of_directory(&at)?)
    }

    /// A new store, and contents for the files of its versions.
    fn create(&self, name: &str) -> Result<(Catalog, Vec<(Oid, u64)>)> {
        let cache = Cache::at(self.folder.join(format!("{name}-cache")));
        let mut catalog = Catalog::create(Store::open(&self.url(name)?)?, cache, Journal::none())?;
        repo::create(&mut catalog, REPO, "many")?;
        let file = |n: usize| -> Result<Upload> {
            let path = self.folder.join(format!("{name}-{n}"));
            fs::write(&path, n.to_string().repeat(50))?;
            Ok(Upload { oid: None, size: 0, path, previous: None })
        };
        let files: Vec<Upload> = (0..CONTENTS).map(file).collect::<Result<_>>()?;
        let done = upload(&mut catalog, REPO, &files, &[], &Silent)?;
        Ok((catalog, done.read.into_values().collect()))
    }

    fn open(&self, name: &str, cache: Cache) -> Result<Catalog> {
        Ok(Catalog::open(Store::open(&self.url(name)?)?, cache, Journal::none())?)
    }
}

type Changes = BTreeMap<Vec<u8>, Option<Planned>>;

fn make(catalog: &mut Catalog, base: Option<&Root>, facts: &Facts, changes: &Changes) -> Result<BundleId> {
    let drafting = |_: &_| Draft::new(base.cloned(), facts.clone(), changes.clone());
    let made = upload_bundle(catalog, REPO, &[], &drafting, &Silent)?;
    made.bundle.ok_or_else(|| "no version was made".into())
}

fn path(n: usize) -> Vec<u8> {
    format!("part-{:03}/set-{:04}/file-{n:07}.bin", n / 20_000, n / FOLDER).into_bytes()
}

fn planned((oid, size): (Oid, u64)) -> Option<Planned> {
    Some(Planned::File { executable: false, oid, size })
}

/// One version of many entries, one with a change, and what reads of them cost.
fn entries(place: &Place, entries: usize) -> Result<()> {
    let (mut catalog, contents) = place.create("entries")?;
    let all: Changes = (0..entries).map(|n| (path(n), planned(contents[n % CONTENTS]))).collect();
    let facts = Facts::default();
    let (first, cost) = measured(&catalog.store().clone(), || make(&mut catalog, None, &facts, &all))?;
    row(&format!("a version of {entries} entries"), "60 s, 1 GiB", &format!("{cost}; memory {}", memory()?));
    drop(all);

    let base = open(&catalog, first)?.root().clone();
    let change = BTreeMap::from([(path(entries / 2), planned(contents[1 + entries / 2 % (CONTENTS - 1)]))]);
    let (second, cost) =
        measured(&catalog.store().clone(), || make(&mut catalog, Some(&base), &facts, &change))?;
    row("one file of it changed", "3 objects, 1 MiB", &cost.to_string());

    let cold = place.open("entries", Cache::none())?;
    let store = cold.store().clone();
    let (listed, cost) = measured(&store, || Ok(children(&open(&cold, second)?, b"part-000/set-0007")?))?;
    row(&format!("`ls` of a directory of {}", listed.len()), "3 requests", &cost.to_string());
    let (_, cost) = measured(&store, || Ok(open(&cold, second)?.find(&path(entries / 3))?))?;
    row("`cat` of a path, until its recipe is known", "3 requests", &cost.to_string());
    let (found, cost) = measured(&store, || Ok(compare(&open(&cold, first)?, &open(&cold, second)?)?))?;
    row(&format!("`diff` of both, {} changed", found.changes.len()), "2 s", &cost.to_string());
    Ok(())
}

/// Many versions and labels: how one is found, and how labels are listed.
fn versions(place: &Place, versions: usize, labels: usize) -> Result<()> {
    let (mut catalog, contents) = place.create("versions")?;
    let first =
        make(&mut catalog, None, &Facts::default(), &BTreeMap::from([(path(0), planned(contents[0]))]))?;
    for n in 0..labels {
        set(&mut catalog, REPO, &format!("label-{n:05}"), first, Expected::Anything)?;
        catalog.upkeep()?;
    }
    let root = catalog.state().bundles()[&first].root;
    let named = BTreeSet::from([root.pack]);
    for entry in 0..versions / AT_ONCE {
        let bundle = |n: usize| {
            let commit = Some(git_id(entry * AT_ONCE + n));
            BundleRef { id: BundleId::new(), repo: REPO, base: Some(first), root, commit, tree: commit }
        };
        let bundles = (0..AT_ONCE).map(bundle).collect();
        let push = Push { repo: REPO, rows: None, segments: vec![], labels: vec![], bundles };
        let mut record = catalog.record(catalog.head().seq(), Change::Push(push));
        record.named = named.iter().copied().collect();
        catalog.commit(&record)?;
        catalog.upkeep()?;
    }
    let facts = Facts { commit: Some(git_id(usize::MAX)), ..Facts::default() };
    let last = make(&mut catalog, None, &facts, &BTreeMap::from([(path(1), planned(contents[1]))]))?;
    let (size, commit) = (catalog.state().bundles().len(), git_id(usize::MAX).to_string());
    drop(catalog);

    let store = Store::open(&place.url("versions")?)?;
    let reader = place.folder.join("reader-cache");
    Catalog::open(store.clone(), Cache::at(reader.clone()), Journal::none())?;
    for (machine, limit, cache) in
        [("cold", "6 requests", Cache::none()), ("warm", "2 requests", Cache::at(reader))]
    {
        let ((), cost) = measured(&store, || {
            let catalog = Catalog::open(store.clone(), cache, Journal::none())?;
            let found = find(&catalog, REPO, &commit, Name::default())?;
            assert_eq!(
                (found.id, open(&catalog, last)?.root().id),
                (last, last),
                "another version was found"
            );
            Ok(())
        })?;
        row(
            &format!("one of {size} versions found by its commit and opened, {machine}"),
            limit,
            &cost.to_string(),
        );
    }
    println!("\nThe store with {labels} labels: {}", place.url("versions")?);
    Ok(())
}

fn git_id(n: usize) -> GitId {
    let mut id = [7; 20];
    id[..8].copy_from_slice(&n.to_be_bytes());
    GitId::from_slice(&id).expect("20 bytes")
}

/// Of one action.
struct Cost {
    took: Duration,
    asked: Counts,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { put, get, head, list, written, .. } = self.asked;
        write!(
            f,
            "{:.3} s; {put} PUT, {get} GET, {head} HEAD, {list} LIST; {} KiB written",
            self.took.as_secs_f64(),
            written >> 10
        )
    }
}

fn measured<T>(store: &Store, action: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let (before, begin) = (store.requests(), Instant::now());
    let done = action()?;
    Ok((done, Cost { took: begin.elapsed(), asked: store.requests().since(before) }))
}

fn row(figure: &str, limit: &str, measured: &str) {
    println!("| {figure} | {limit} | {measured} |");
}

/// The most that this process ever held.
fn memory() -> Result<String> {
    let status = fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.ok_or("this system does not say")?.trim().to_owned())
}

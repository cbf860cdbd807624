//! Ingest and fetch together: what goes in comes out, in few bytes and few requests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::fetch::{FetchError, Wanted, fetch};
use super::ingest::{ChunkIndex, Ingested, Known, Source, Taken, ingest};
use crate::chunk::Sizes;
use crate::id::{ChunkId, Oid, PackId, PackKind};
use crate::pack::Footer;
use crate::progress::Silent;
use crate::store::{Store, StoreUrl, key};

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_keyed(blake3::hash(&seed.to_le_bytes()).as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn hour() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

fn oid(bytes: &[u8]) -> Oid {
    Oid::from_bytes(Sha256::digest(bytes).into())
}

fn memory(name: &str) -> Store {
    Store::open(&StoreUrl::parse(&format!("memory:round-trip-{name}")).expect("a URL")).expect("memory")
}

fn source(folder: &Path, bytes: &[u8], near: Vec<PackId>) -> Source {
    let oid = oid(bytes);
    let path = folder.join(oid.to_string());
    fs::write(&path, bytes).expect("writable");
    Source { expected: Some((oid, bytes.len() as u64)), path, near }
}

/// Knows the packs it was given.
struct Packs<'a>(&'a BTreeMap<PackId, Footer>);

impl Known for Packs<'_> {
    fn learn(&mut self, pack: PackId, index: &mut ChunkIndex) {
        index.learn(pack, &self.0[&pack]);
    }

    fn look_up(&mut self, _unknown: &[(ChunkId, u32)], _index: &mut ChunkIndex) {}
}

fn take(store: &Store, sources: &[Source], footers: &BTreeMap<PackId, Footer>) -> Ingested {
    ingest(store, Sizes::DEFAULT, sources, ChunkIndex::default(), &mut Packs(footers), &Silent, hour())
        .expect("ingests")
}

fn give(store: &Store, made: &Ingested, folder: &Path) -> BTreeMap<Oid, Result<Vec<u8>, FetchError>> {
    let wanted: Vec<Wanted> = made
        .files
        .iter()
        .map(|Taken { oid, size, terms, .. }| {
            let path = folder.join(format!("{oid}.out"));
            Wanted { oid: *oid, size: *size, terms: terms.clone(), path }
        })
        .collect();
    let results = Mutex::new(BTreeMap::new());
    fetch(store, &wanted, &Silent, &|file, result| {
        let bytes = result.map(|()| fs::read(&file.path).expect("written"));
        let _ = fs::remove_file(&file.path);
        assert!(results.lock().expect("no panic").insert(file.oid, bytes).is_none(), "told once");
    });
    results.into_inner().expect("no panic")
}

fn assert_round_trip(store: &Store, contents: &[Vec<u8>]) -> Ingested {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut contents = contents.to_vec();
    contents.sort();
    contents.dedup();
    let sources: Vec<Source> = contents.iter().map(|bytes| source(folder.path(), bytes, vec![])).collect();
    let made = take(store, &sources, &BTreeMap::new());
    assert!(made.failed.is_empty(), "{:?}", made.failed);
    let given = give(store, &made, folder.path());
    assert_eq!(given.len(), contents.len());
    for bytes in &contents {
        assert!(given[&oid(bytes)].as_ref().expect("fetched") == bytes, "{} bytes differ", bytes.len());
    }
    made
}

#[test]
fn large_small_and_repeated_files_come_back() {
    let mut contents = vec![noise(1, 40 << 20), vec![0; 30 << 20], vec![], vec![7], noise(2, 64 << 10)];
    contents.extend((0..500).map(|n| noise(100 + n, 20_000)));
    contents.push(b"a line of text\n".repeat(1 << 20));
    let store = memory("mixed");
    let made = assert_round_trip(&store, &contents);
    assert_eq!(made.packs.len(), 2);
    let zeros = made.files.iter().find(|it| it.size == 30 << 20).expect("there");
    assert!(zeros.terms.len() <= 2, "a run of zeros is one term: {:?}", zeros.terms);
}

#[test]
fn an_insert_at_the_head_costs_one_chunk() {
    let (store, folder) = (memory("insert"), tempfile::tempdir().expect("a temporary directory"));
    let old = noise(3, 20 << 20);
    let made = take(&store, &[source(folder.path(), &old, vec![])], &BTreeMap::new());
    let footers: BTreeMap<_, _> = made.packs.iter().map(|pack| (pack.id, pack.footer.clone())).collect();
    let new: Vec<u8> = [b"x".to_vec(), old].concat();
    let next = take(&store, &[source(folder.path(), &new, footers.keys().copied().collect())], &footers);
    assert!(next.new_raw < 128 << 10, "{} new bytes", next.new_raw);
    assert!(give(&store, &next, folder.path())[&oid(&new)].as_ref().expect("fetched") == &new);
}

#[test]
fn a_wrong_local_object_fails_alone() {
    let (store, folder) = (memory("wrong"), tempfile::tempdir().expect("a temporary directory"));
    let mut sources: Vec<Source> = (0..3).map(|n| source(folder.path(), &noise(n, 30_000), vec![])).collect();
    fs::write(&sources[0].path, noise(9, 30_000)).expect("writable");
    fs::remove_file(&sources[1].path).expect("there");
    let made = take(&store, &sources, &BTreeMap::new());
    assert_eq!(made.files.len(), 1);
    let failed: BTreeMap<_, _> = made.failed.iter().map(|it| (it.oid, it.error.to_string())).collect();
    let oid = |at: usize| sources[at].expected.map(|(oid, _)| oid);
    assert!(failed[&oid(0)].contains("damaged"), "{failed:?}");
    assert!(failed[&oid(1)].contains("cannot read"), "{failed:?}");
    // A size that lies is found too.
    sources[2].expected.as_mut().expect("set above").1 += 1;
    assert_eq!(take(&store, &sources[2..], &BTreeMap::new()).failed.len(), 1);
}

#[test]
fn when_time_is_up_what_is_done_can_be_committed() {
    let (store, folder) = (memory("late"), tempfile::tempdir().expect("a temporary directory"));
    let sources: Vec<Source> = (0..3).map(|n| source(folder.path(), &noise(n, 30_000), vec![])).collect();
    let made = ingest(
        &store,
        Sizes::DEFAULT,
        &sources,
        ChunkIndex::default(),
        &mut Packs(&BTreeMap::new()),
        &Silent,
        Instant::now(),
    );
    let made = made.expect("ingests");
    assert_eq!((made.files.len(), made.left), (1, 2));
}

#[test]
fn damage_costs_only_the_files_it_touches() {
    let (store, folder) = (memory("damage"), tempfile::tempdir().expect("a temporary directory"));
    let sources: Vec<Source> = (0..100).map(|n| source(folder.path(), &noise(n, 20_000), vec![])).collect();
    let made = take(&store, &sources, &BTreeMap::new());
    let name = key::pack(PackKind::Data, made.packs[0].id);
    let mut bytes = store.get(&name).expect("memory").expect("there").to_vec();
    bytes[100_000] ^= 1;
    store.overwrite(&name, bytes.into()).expect("memory");
    let given = give(&store, &made, folder.path());
    let bad = given.values().filter(|result| result.is_err()).count();
    assert!((1..20).contains(&bad), "{bad} of 100 files failed");
    assert!(
        !fs::read_dir(folder.path()).expect("there").any(|e| e.expect("an entry").path().ends_with(".out"))
    );
    store.delete(&name).expect("memory");
    assert!(give(&store, &made, folder.path()).values().all(Result::is_err));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_set_of_files_comes_back(
        files in prop::collection::vec((0u64..6, 0usize..400_000, 0usize..40_000, 1usize..40), 1..12)
    ) {
        // Files share seeds, so they share chunks, at shifted places, repeated, cut short.
        let contents: Vec<Vec<u8>> = files
            .iter()
            .map(|(seed, length, skip, repeat)| noise(*seed, *length)[(*skip).min(*length)..].repeat(1 + repeat % 3))
            .collect();
        assert_round_trip(&memory("any"), &contents);
    }
}

//! A million files in one store: opening it and finding a file in it cost as few requests as ever.
//!
//! The rows are made up, and so are the data packs that they name; tables, log, merges and lookups are the real ones.

use datamon::catalog::change::{Change, ChangeRecord, Push, TableKind};
use datamon::catalog::log::{now, writer};
use datamon::catalog::plan::{MOST_RUNS, runs};
use datamon::catalog::{Catalog, CatalogError};
use datamon::id::{Oid, PackId, PackKind};
use datamon::ops::publish::publish;
use datamon::pack::{PackInfo, Term};
use datamon::store::{Counts, Store, key, memory};
use datamon::table::{Recipe, Row};

use super::world::{Machine, REPO, fresh, merges, store};

/// Files of each data pack.
const PER_PACK: usize = 1_600;
/// What each push adds, in parts of a thousand: a large one, some of middle size, many small ones.
const PUSHES: [(usize, usize); 4] = [(1, 500), (2, 100), (4, 40), (70, 2)];

/// File number `n`.
pub fn oid(n: usize) -> Oid {
    Oid::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

/// The pack that has file number `n`.
fn pack(n: usize) -> PackId {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&(n / PER_PACK).to_be_bytes());
    PackId::from_bytes(bytes)
}

fn row(n: usize) -> Row {
    let stored = 5_000 + n as u64 * 7_919 % 10_000;
    let offset = 16 + (n % PER_PACK) as u64 * 16_000;
    let term = Term { pack: pack(n), offset, stored, skip: 0, raw: 20_000, repeat: 1 };
    Row { oid: oid(n), repo: REPO, born: 0, size: 20_000, recipe: Recipe::Inline(vec![term]) }
}

/// Says that the packs of so many files are there.
pub fn add_packs(catalog: &mut Catalog, files: usize) -> Result<(), CatalogError> {
    let push = Push { repo: REPO, rows: None, segments: vec![], labels: vec![], bundles: vec![] };
    let mut record = ChangeRecord::new(catalog.head().seq(), Change::Push(push), writer(), now());
    let info = PackInfo { kind: PackKind::Data, size: 32 << 20, footer: 60_000 };
    record.added = (0..files).step_by(PER_PACK).map(|n| (pack(n), info)).collect();
    catalog.commit(&record).map(drop)
}

/// Pushes the files with these numbers.
pub fn add_files(catalog: &mut Catalog, files: std::ops::Range<usize>) {
    let base = catalog.head().seq();
    publish(catalog, base, REPO, files.map(row).collect(), &[], Default::default(), Default::default())
        .expect("pushed");
}

fn run_count(catalog: &Catalog) -> usize {
    runs(catalog.state(), TableKind::Files).len()
}

/// A store with so many files, pushed by one machine in pushes of all sizes.
fn grown(files: usize) -> Store {
    let store = store(memory());
    let machine = Machine::new();
    let mut catalog = machine.create(&store).expect("made");
    add_packs(&mut catalog, files).expect("added");
    let mut done = 0;
    for (times, part) in PUSHES {
        for _ in 0..times {
            let count = files * part / 1000;
            add_files(&mut catalog, done..done + count);
            done += count;
            assert!(run_count(&catalog) <= MOST_RUNS + 1);
            catalog.upkeep().expect("done");
            assert!(run_count(&catalog) <= MOST_RUNS);
        }
    }
    assert_eq!(done, files);
    // As hard as it gets: as many runs as there may be. The checkpoint is the newest entry, so that the search for the head is
    // equally long in every store.
    while run_count(&catalog) < MOST_RUNS {
        add_files(&mut catalog, 0..files / 1000);
        assert!(catalog.write_checkpoint().expect("written"));
    }
    assert!(catalog.write_checkpoint().expect("written"));
    store
}

fn gets(store: &Store, work: impl FnOnce()) -> u64 {
    let before = store.requests();
    work();
    let counts = store.requests().since(before);
    assert_eq!(Counts { get: counts.get, read: counts.read, ..Counts::default() }, counts);
    counts.get
}

fn find(catalog: &Catalog, wanted: &[usize]) -> usize {
    let oids: Vec<Oid> = wanted.iter().map(|n| oid(*n)).collect();
    let found = catalog.find(REPO, &oids).expect("reads");
    for (oid, row) in &found {
        assert_eq!((row.oid, row.size), (*oid, 20_000));
    }
    found.len()
}

fn few_requests_at_any_size(files: usize) {
    let small = grown(1_000);
    let store = grown(files);
    let open = |store: &Store| {
        let before = store.requests();
        let catalog = fresh(store).expect("opens");
        let counts = store.requests().since(before);
        println!("open: {counts:?}");
        (catalog, (counts.get, counts.head, counts.list))
    };
    assert_eq!(open(&store).1, open(&small).1, "opening costs the same");

    let machine = Machine::new();
    let catalog = machine.open(&store).expect("opens");
    let (mut most, mut all) = (0, 0);
    let sample: Vec<usize> = (0..300).map(|n| (n * 7_919 + 13) % files).collect();
    for n in &sample {
        catalog.cache().clear();
        let get = gets(&store, || assert_eq!(find(&catalog, &[*n]), 1));
        (most, all) = (most.max(get), all + get);
    }
    println!("cold: at most {most}, {all} for {}", sample.len());
    assert!(most <= 6, "{most} requests for one oid");

    // What is in no run is asked for in all of them.
    catalog.cache().clear();
    let get = gets(&store, || assert_eq!(find(&catalog, &[files + 1]), 0));
    println!("cold and missing: {get}");
    assert!(get <= 6, "{get} requests for an oid that is missing");

    // Many at once: each fence once, and no block to speak of.
    let others: Vec<usize> = (files..files + 5_000).collect();
    println!("warming: {}", gets(&store, || assert_eq!(find(&catalog, &others), 0)));
    let (mut most, mut all) = (0, 0);
    for n in &sample {
        let get = gets(&store, || assert_eq!(find(&catalog, &[*n]), 1));
        (most, all) = (most.max(get), all + get);
    }
    println!("warm: at most {most}, {all} for {}", sample.len());
    assert!(most <= 1, "{most} requests for one oid with a warm cache");
    assert_eq!(gets(&store, || assert_eq!(find(&catalog, &sample), sample.len())), 0, "all is cached by now");

    let everything: Vec<usize> = (0..files).collect();
    let before = store.requests();
    assert_eq!(find(&fresh(&store).expect("opens"), &everything), files);
    let counts = store.requests().since(before);
    println!("all at once: {counts:?}");
    let metas = store.list(key::META, "").expect("lists");
    let written: u64 = metas.iter().map(|it| it.size).sum();
    println!("{} meta packs, {written} bytes, {} merges", metas.len(), merges(&store));
    // Superseded segments stay until a collection: a row was written a few times.
    assert!(written < 6 * counts.read, "{written} bytes for {} that live", counts.read);
}

#[test]
fn a_million_files_cost_as_few_requests_as_a_thousand() {
    few_requests_at_any_size(1_000_000);
}

#[test]
fn seven_hundred_thousand_packs_have_checkpoints() {
    const AT_ONCE: u32 = 140_000;
    let store = store(memory());
    let mut catalog = Machine::new().create(&store).expect("made");
    let pack = |n: u32| {
        let mut bytes = [1; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        // Few of them are data packs, for whose hooks a checkpoint would look.
        let kind = if n.is_multiple_of(500) { PackKind::Data } else { PackKind::Meta };
        (PackId::from_bytes(bytes), PackInfo { kind, size: 32 << 20, footer: 60_000 })
    };
    let mut written = 0;
    for part in 0..5 {
        let push = Push { repo: REPO, rows: None, segments: vec![], labels: vec![], bundles: vec![] };
        let mut record = ChangeRecord::new(catalog.head().seq(), Change::Push(push), writer(), now());
        record.added = (part * AT_ONCE..(part + 1) * AT_ONCE).map(pack).collect();
        catalog.commit(&record).expect("lands");
        let before = store.requests();
        assert!(catalog.write_checkpoint().expect("written"), "{part}");
        written = store.requests().since(before).written;
    }
    // One entry with what was added, and the parts of the list that changed.
    assert!(written < 17 << 20, "{written} bytes");
    let (_, newest) = catalog.state().checkpoint().expect("written");
    assert!(newest.blobs.contains_key("packs.5"), "{:?}", newest.blobs.keys());
    let cold = fresh(&store).expect("opens");
    assert_eq!(cold.state().packs().len(), catalog.state().packs().len());
    assert!(cold.state().packs().len() >= 5 * AT_ONCE as usize);
    assert_eq!(cold.state().unknown(), None, "every part is one that this version would write");
    assert_eq!(cold.state(), catalog.state());
}

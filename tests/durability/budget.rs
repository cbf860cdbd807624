//! Requests are what a distant bucket costs: each operation has its budget.

use datamon::catalog::Change;
use datamon::catalog::change::TableKind;
use datamon::id::Oid;
use datamon::store::{Counts, Store, memory};
use datamon_test_support::seeded_bytes;

use super::around::Around;
use super::world::{Machine, Shelf, changes, fresh, push, store};

/// What `work` asked of the store.
fn cost<T>(store: &Store, work: impl FnOnce() -> T) -> (T, Counts) {
    let before = store.requests();
    let done = work();
    (done, store.requests().since(before))
}

/// Get, head, put, list, delete.
fn calls(counts: Counts) -> [u64; 5] {
    [counts.get, counts.head, counts.put, counts.list, counts.delete]
}

/// A store with `pushes` pushes by one machine, a checkpoint whenever one is due.
fn grown(pushes: u64) -> (Store, Machine, Shelf, Vec<Oid>) {
    let (store, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let mut catalog = machine.create(&store).expect("made");
    let mut oids = Vec::new();
    for n in 0..pushes {
        oids.push(shelf.put(&seeded_bytes(n, 2_000)));
        push(&mut catalog, &shelf.files(&oids[oids.len() - 1..])).expect("pushed");
        catalog.upkeep().expect("done");
    }
    (store, machine, shelf, oids)
}

#[test]
fn a_warm_open_is_one_request() {
    let (store, machine, ..) = grown(5);
    let (_, counts) = cost(&store, || machine.open(&store).expect("opens"));
    assert_eq!(calls(counts), [1, 0, 0, 0, 0]);
}

#[test]
fn a_warm_push_of_what_is_known_is_three_requests_and_a_look_after() {
    for pushes in [5, 200] {
        let (store, machine, shelf, oids) = grown(pushes);
        // The rows of a checkpoint are read once by each machine.
        shelf.assert_download(&mut machine.open(&store).expect("opens"), &oids, "warms the cache");
        let (done, counts) = cost(&store, || {
            let mut catalog = machine.open(&store).expect("opens");
            push(&mut catalog, &shelf.files(&oids)).expect("pushed")
        });
        assert_eq!(done.stats.known, pushes);
        // The HEAD is R6: does an entry after ours follow ours?
        assert_eq!(calls(counts), [2, 1, 1, 0, 0], "{pushes} pushes");
    }
}

#[test]
fn a_cold_open_is_six_requests() {
    for pushes in [1, 5, 60, 64, 200, 300] {
        let (store, ..) = grown(pushes);
        let (catalog, counts) = cost(&store, || fresh(&store).expect("opens"));
        assert!(catalog.head().seq() > pushes);
        // Without a hint, which the first checkpoint leaves, the end is searched for.
        let search = if pushes < 64 { 13 } else { 1 };
        let Counts { get, head, list, .. } = counts;
        assert!(get <= 4 && head <= search && list <= 1, "{pushes} pushes: {counts:?}");
        assert_eq!((counts.put, counts.delete), (0, 0), "{pushes} pushes");
    }
}

/// As in a directory, where a listing behind a name is one of everything.
#[test]
fn a_cold_open_without_a_listing_is_five_requests_and_a_search() {
    for (pushes, heads) in [(1, 5), (5, 7), (60, 13), (64, 13), (200, 13), (300, 13)] {
        let (store, ..) = grown(pushes);
        let store = Store::over(store.url().clone(), Around::new(store.backend()).shared());
        let (catalog, counts) = cost(&store, || fresh(&store).expect("opens"));
        assert!(catalog.head().seq() > pushes);
        assert!(counts.get <= 5 && counts.head <= heads, "{pushes} pushes: {counts:?}");
        assert_eq!(calls(counts)[2..], [0, 0, 0], "{pushes} pushes");
    }
}

#[test]
fn a_cold_lookup_is_few_requests() {
    let (store, _, shelf, oids) = grown(200);
    let mut catalog = fresh(&store).expect("opens");
    let (rows, counts) = cost(&store, || catalog.find(super::world::REPO, &oids[..1]).expect("reads"));
    assert_eq!(rows.len(), 1);
    // Three checkpoints left a small segment each, and the file is in the oldest.
    assert_eq!(calls(counts), [3, 0, 0, 0, 0]);
    shelf.assert_download(&mut catalog, &oids, "all");
}

#[test]
fn ten_thousand_small_files_are_few_requests_each_way() {
    let (store, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let oids: Vec<Oid> = (0..10_000).map(|n| shelf.put(&seeded_bytes(n, 20_000))).collect();
    let mut catalog = machine.create(&store).expect("made");
    let (done, counts) = cost(&store, || push(&mut catalog, &shelf.files(&oids)).expect("pushed"));
    assert_eq!((done.receipt.oids.len(), done.receipt.entries.len()), (10_000, 1));
    // Seven packs of data, one with the rows and the hooks, the entry; and what the first write of a machine tries.
    let probed = 4;
    assert!(counts.put <= 9 + probed, "{counts:?}");
    assert_eq!(catalog.state().table(TableKind::Hooks).count(), 1);
    let pushes = changes(&store).iter().filter(|change| matches!(change, Change::Push(_))).count();
    assert_eq!(pushes, 1);
    let mut catalog = fresh(&store).expect("opens");
    let ((), counts) = cost(&store, || shelf.assert_download(&mut catalog, &oids, "all"));
    assert!(counts.get <= 60, "{counts:?}");
}

fn insert_at_head(length: usize) {
    let (store, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let old = seeded_bytes(1, length);
    let first = shelf.put(&old);
    let second = shelf.put(&[b"x".to_vec(), old].concat());
    push(&mut machine.create(&store).expect("made"), &shelf.files(&[first])).expect("pushed");
    // On another machine: what was there before is found by the previous version alone.
    let other = Machine::new();
    push(&mut other.open(&store).expect("opens"), &shelf.files(&[first])).expect("probes once, touches");
    let mut catalog = other.open(&store).expect("opens");
    let (done, counts) =
        cost(&store, || push(&mut catalog, &[shelf.file(second, Some(first))]).expect("pushed"));
    assert!(done.stats.stored < 1 << 20, "{} new stored bytes", done.stats.stored);
    assert!(counts.put <= 5 && counts.written < 1 << 20, "{counts:?}");
    shelf.assert_download(&mut fresh(&store).expect("opens"), &[first, second], "both");
}

#[test]
fn a_byte_at_the_head_of_64_mib_costs_a_chunk() {
    insert_at_head(64 << 20);
}

#[test]
#[ignore = "nightly"]
fn a_byte_at_the_head_of_1_gib_costs_a_chunk() {
    insert_at_head(1 << 30);
}

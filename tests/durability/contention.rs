//! Many writers at once: every receipt holds, the log stays one dense chain.

use std::sync::Barrier;

use datamon::catalog::Catalog;
use datamon::catalog::change::TableKind;
use datamon::catalog::plan::{MOST_RUNS, runs};
use datamon::id::Oid;
use datamon::ops::receipt::Receipt;
use datamon::store::{Store, key, memory};
use datamon_test_support::seeded_bytes;

use super::around::{Around, Verb};
use super::world::{Machine, Shelf, assert_chain, assert_packs, directory, folder, fresh, push, store};

const WRITERS: u64 = 4;
const PUSHES: u64 = 10;

/// Each writer pushes files of its own and files that everybody pushes, and writes a checkpoint every few entries.
fn contend(store: &Store, machines: &[Machine]) {
    let mut shelf = Shelf::new();
    let shared: Vec<Oid> = (0..PUSHES).map(|n| shelf.put(&seeded_bytes(n, 6_000))).collect();
    let own: Vec<Vec<Oid>> = (0..WRITERS)
        .map(|writer| (0..PUSHES).map(|n| shelf.put(&seeded_bytes(1000 * (writer + 1) + n, 4_000))).collect())
        .collect();
    machines[0].create(store).expect("made");
    let start = Barrier::new(own.len());
    let receipts: Vec<Receipt> = std::thread::scope(|scope| {
        let writers: Vec<_> = own
            .iter()
            .enumerate()
            .map(|(writer, own)| {
                let (start, shelf, shared) = (&start, &shelf, &shared);
                let machine = &machines[writer % machines.len()];
                scope.spawn(move || {
                    let mut catalog = machine.open(store).expect("opens");
                    start.wait();
                    let mut receipts = Vec::new();
                    for n in 0..own.len() {
                        let done = push(&mut catalog, &shelf.files(&[own[n], shared[n]])).expect("pushed");
                        assert_eq!(done.receipt.oids, [own[n], shared[n]].into());
                        receipts.push(done.receipt);
                        if n % 3 == 2 {
                            catalog.write_checkpoint().expect("written, or somebody was faster");
                            catalog.merge_runs().expect("merged, or somebody was faster");
                        }
                    }
                    receipts
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect()
    });
    assert_eq!(receipts.len() as u64, WRITERS * PUSHES);
    let entries = assert_chain(store);
    // Init, the repo, one entry a push, and checkpoints.
    assert!(entries >= 2 + WRITERS * PUSHES, "{entries} entries");
    for (seq, hash) in receipts.iter().flat_map(|receipt| &receipt.entries) {
        let bytes = store.get(&key::log(*seq)).expect("reads").expect("acknowledged");
        assert_eq!(datamon::id::EntryHash::of(&bytes), *hash, "entry {seq} is not the one acknowledged");
    }
    let all: Vec<Oid> = shared.iter().chain(own.iter().flatten()).copied().collect();
    shelf.assert_download(&mut fresh(store).expect("opens"), &all, "cold");
    for machine in machines {
        shelf.assert_download(&mut machine.open(store).expect("opens"), &all, "warm");
        assert!(machine.journals(store).is_empty());
    }
    // Who was second again and again left runs behind; who comes alone leaves few.
    let mut last = fresh(store).expect("opens");
    last.merge_runs().expect("merged, or nothing to do");
    assert!(runs(last.state(), TableKind::Files).len() <= MOST_RUNS);
    shelf.assert_download(&mut last, &all, "merged");
    assert_packs(store);
}

fn machines(count: u64) -> Vec<Machine> {
    (0..count).map(|_| Machine::new()).collect()
}

#[test]
fn writers_on_their_own_machines_lose_nothing_in_memory() {
    contend(&store(memory()), &machines(WRITERS));
}

#[test]
fn writers_on_their_own_machines_lose_nothing_in_a_directory() {
    let root = folder();
    contend(&directory(&root.path().join("store")), &machines(WRITERS));
}

#[test]
fn writers_on_one_machine_share_its_cache_and_resolve_each_others_slots() {
    let root = folder();
    contend(&directory(&root.path().join("store")), &machines(1));
    contend(&store(memory()), &machines(1));
}

#[test]
fn inits_at_once_make_one_store() {
    for round in 0..25 {
        let root = folder();
        let store = directory(&root.path().join("store"));
        let machines = machines(1 + round % 3);
        let start = Barrier::new(3);
        let made: Vec<Catalog> = std::thread::scope(|scope| {
            let inits: Vec<_> = (0..3)
                .map(|n| {
                    let (store, start) = (store.clone(), &start);
                    let machine = &machines[n % machines.len()];
                    scope.spawn(move || {
                        start.wait();
                        machine.create(&store).expect("one of them makes it, all open it")
                    })
                })
                .collect();
            inits.into_iter().map(|init| init.join().expect("no panic")).collect()
        });
        assert!(made.iter().all(|catalog| catalog.identity() == made[0].identity()), "round {round}");
        assert_eq!(assert_chain(&store), 1, "round {round}");
    }
}

#[test]
fn an_init_that_is_overtaken_opens_what_the_other_made() {
    let backend = memory();
    let other = store(backend.clone());
    // Another init makes the store just before the first listing.
    let overtaken = Around::new(backend.clone()).before(move |verb, _| {
        if verb == Verb::List {
            Machine::new().create(&other).expect("the other one is not in anybody's way");
        }
        Ok(())
    });
    let made = Machine::new().create(&store(overtaken.shared())).expect("opens it");
    assert_eq!(made.identity(), fresh(&store(backend.clone())).expect("opens").identity());
    assert_eq!(assert_chain(&store(backend)), 1);
}

//! Merges race with pushes, drops, readers and other merges, and nobody loses anything.

use std::sync::Barrier;

use datamon::catalog::change::{ChangeRecord, Drop, TableKind};
use datamon::catalog::log::{now, writer};
use datamon::catalog::plan::{MOST_RUNS, runs};
use datamon::catalog::{Catalog, Change};
use datamon::id::{Oid, PackKind};
use datamon::store::{Store, key, memory};
use datamon::table::Row;
use datamon_test_support::seeded_bytes;

use super::world::{
    Machine, REPO, Shelf, assert_chain, assert_packs, directory, folder, fresh, merges, push, store,
};

/// A store with one run more than there should be, and what is in it.
struct Due {
    store: Store,
    shelf: Shelf,
    oids: Vec<Oid>,
    /// Five who opened it now.
    seen: Vec<Catalog>,
}

fn due(store: Store) -> Due {
    let (mut shelf, mut oids) = (Shelf::new(), Vec::new());
    let mut catalog = Machine::new().create(&store).expect("made");
    for n in 0..=MOST_RUNS as u64 {
        let new: Vec<Oid> = (0..3).map(|file| shelf.put(&seeded_bytes(10 * n + file, 2_000))).collect();
        // One of the version before is touched: two runs have a row of its key.
        let touched = oids.last().copied();
        push(&mut catalog, &shelf.files(&new.iter().copied().chain(touched).collect::<Vec<_>>()))
            .expect("pushed");
        oids.extend(new);
        assert!(catalog.write_checkpoint().expect("written"));
    }
    assert_eq!(run_count(&catalog), MOST_RUNS + 1);
    let seen = (0..5).map(|_| fresh(&store).expect("opens")).collect();
    Due { store, shelf, oids, seen }
}

fn run_count(catalog: &Catalog) -> usize {
    runs(catalog.state(), TableKind::Files).len()
}

fn live_rows(catalog: &Catalog) -> Vec<Row> {
    catalog.live_rows().expect("readable").flat_map(|rows| rows.expect("readable")).collect()
}

fn drop_of(catalog: &Catalog, oid: Oid) -> ChangeRecord {
    let planned_on = catalog.head().seq();
    let drop = Drop { planned_on, keys: vec![(oid, REPO)], bundles: vec![] };
    ChangeRecord::new(planned_on, Change::Drop(drop), writer(), now())
}

#[test]
fn a_merge_changes_no_row() {
    let Due { store, shelf, oids, mut seen } = due(store(memory()));
    let before = live_rows(&seen[0]);
    assert!(seen[0].merge_runs().expect("merged"));
    assert_eq!(run_count(&seen[0]), 1);
    assert_eq!(live_rows(&seen[0]), before);
    assert!(!seen[0].merge_runs().expect("nothing to do"));
    assert_eq!(merges(&store), 1);
    shelf.assert_download(&mut fresh(&store).expect("opens"), &oids, "merged");
    assert_packs(&store);
}

#[test]
fn the_second_of_two_merges_gives_up() {
    let Due { store, shelf, oids, mut seen } = due(store(memory()));
    assert!(seen[0].merge_runs().expect("merged"));
    assert!(!seen[1].merge_runs().expect("somebody was faster, which is no error"));
    assert_eq!((merges(&store), run_count(&seen[1])), (1, 1));
    // Who still has the state of before reads the old segments.
    for (who, catalog) in seen.iter_mut().enumerate() {
        shelf.assert_download(catalog, &oids, &format!("{who}"));
    }
    assert_chain(&store);
}

#[test]
fn a_push_that_lands_beside_a_merge_stays() {
    let Due { store, mut shelf, mut oids, mut seen } = due(store(memory()));
    // Planned before the push, landed after it; and a push that was planned before the merge.
    oids.push(shelf.put(b"pushed before the merge lands"));
    push(&mut seen[0], &shelf.files(&oids[oids.len() - 2..])).expect("pushed");
    assert!(seen[1].merge_runs().expect("merged"));
    oids.push(shelf.put(b"pushed after the merge landed"));
    push(&mut seen[2], &shelf.files(&oids[oids.len() - 3..])).expect("pushed");
    for (who, mut catalog) in [fresh(&store).expect("opens")].into_iter().chain(seen).enumerate() {
        shelf.assert_download(&mut catalog, &oids, &format!("{who}"));
    }
    assert_chain(&store);
    assert_packs(&store);
}

#[test]
fn a_drop_that_lands_beside_a_merge_holds() {
    for drop_first in [false, true] {
        let Due { store, mut shelf, oids, mut seen } = due(store(memory()));
        let (gone, others) = oids.split_first().expect("some");
        let record = drop_of(&seen[0], *gone);
        if drop_first {
            seen[0].commit(&record).expect("dropped");
            assert!(seen[1].merge_runs().expect("merged by one who has not seen the drop"));
        } else {
            assert!(seen[1].merge_runs().expect("merged"));
            seen[0].commit(&record).expect("dropped by one who has not seen the merge");
        }
        let rows = |catalog: &Catalog| live_rows(catalog).iter().filter(|row| row.oid == *gone).count();
        let mut catalog = fresh(&store).expect("opens");
        assert_eq!((rows(&catalog), catalog.state().drops().len()), (0, 1), "drop first: {drop_first}");
        assert!(catalog.find(REPO, &[*gone]).expect("reads").is_empty());
        shelf.assert_download(&mut catalog, others, "the others");
        // The next merge leaves the dead row out and lets go of the drop.
        for n in 0..MOST_RUNS as u64 {
            let new = shelf.put(&seeded_bytes(500 + n, 2_000));
            push(&mut catalog, &shelf.files(&[new])).expect("pushed");
            assert!(catalog.write_checkpoint().expect("written"));
        }
        assert!(catalog.merge_runs().expect("merged"));
        assert_eq!((rows(&catalog), catalog.state().drops().len()), (0, 0), "drop first: {drop_first}");
        // And pushed again it is back.
        push(&mut catalog, &shelf.files(&[*gone])).expect("pushed");
        shelf.assert_download(&mut fresh(&store).expect("opens"), &oids, "pushed again");
    }
}

/// Mergers, pushers and a reader, all at once, round after round.
fn race(store: &Store) {
    let Due { store, mut shelf, oids, seen } = due(store.clone());
    let new: Vec<Oid> = (0..6).map(|n| shelf.put(&seeded_bytes(900 + n, 2_000))).collect();
    let start = Barrier::new(seen.len());
    std::thread::scope(|scope| {
        for (who, mut catalog) in seen.into_iter().enumerate() {
            let (start, shelf, oids, new) = (&start, &shelf, &oids, &new);
            scope.spawn(move || {
                start.wait();
                match who {
                    0 | 1 => drop(catalog.merge_runs().expect("merged, or somebody was faster")),
                    2 | 3 => {
                        for new in new.iter().skip(who % 2).step_by(2) {
                            push(&mut catalog, &shelf.files(&[*new, oids[0]])).expect("pushed");
                            catalog.write_checkpoint().expect("written, or somebody was faster");
                            catalog.merge_runs().expect("merged, or somebody was faster");
                        }
                    }
                    _ => {
                        for _ in 0..10 {
                            shelf.assert_download(&mut catalog, oids, "an old state");
                        }
                    }
                }
            });
        }
    });
    assert!(merges(&store) > 0);
    assert_chain(&store);
    assert_packs(&store);
    let mut catalog = fresh(&store).expect("opens");
    shelf.assert_download(&mut catalog, &[oids, new].concat(), "after the race");
    let rows = live_rows(&catalog);
    let mut keys: Vec<_> = rows.iter().map(Row::key).collect();
    keys.dedup();
    assert_eq!(keys.len(), rows.len(), "each key once");
}

#[test]
fn mergers_pushers_and_readers_at_once_lose_nothing() {
    for _ in 0..5 {
        race(&store(memory()));
    }
    let root = folder();
    race(&directory(&root.path().join("store")));
}

#[test]
fn what_is_damaged_or_not_understood_is_not_merged() {
    let Due { store: damaged, shelf, mut seen, .. } = due(store(memory()));
    let run = runs(seen[0].state(), TableKind::Files)[MOST_RUNS].segments[0].at.clone();
    let name = key::pack(PackKind::Meta, run.pack);
    let mut bytes = damaged.get(&name).expect("reads").expect("there").to_vec();
    bytes[run.start as usize + 40] ^= 1;
    damaged.overwrite(&name, bytes.into()).expect("memory");
    let said = seen[0].merge_runs().expect_err("damaged").to_string();
    assert!(said.contains(&run.pack.to_string()), "{said}");
    // Known to be damaged it is left alone.
    seen[0].suspect([run.pack]);
    assert!(!seen[0].merge_runs().expect("left alone"));
    assert_eq!((merges(&damaged), run_count(&seen[0])), (0, MOST_RUNS + 1));
    drop(shelf);

    let Due { store: newer, shelf, oids, mut seen } = due(store(memory()));
    let mut record = drop_of(&seen[0], Oid::from_bytes([1; 32]));
    record.flags = vec!["of-a-newer-version".to_owned()];
    seen[0].commit(&record).expect("landed");
    assert!(!seen[0].merge_runs().expect("left alone"));
    // Who finds out only where it would land gives up there.
    let said = seen[1].merge_runs().expect_err("refused").to_string();
    assert!(said.contains("upgrade"), "{said}");
    assert_eq!(merges(&newer), 0);
    shelf.assert_download(&mut fresh(&newer).expect("opens"), &oids, "not merged");
}

//! Merges race with pushes, drops, readers and other merges, and nobody loses anything.

use std::sync::Barrier;

use datamon::catalog::change::{ChangeRecord, Drop, Push, SegmentRef, TableKind};
use datamon::catalog::log::{now, writer};
use datamon::catalog::plan::{MOST_RUNS, runs};
use datamon::catalog::{Catalog, Change};
use datamon::id::{ChunkId, Oid, PackKind};
use datamon::pack::{Footer, FrameEntry, PackWriter};
use datamon::store::{Store, key, memory};
use datamon::table::{Hooks, Row};
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

/// Flips a bit of the segment, in its first block or in its fence.
fn damage(store: &Store, segment: &SegmentRef, fence: bool) {
    let name = key::pack(PackKind::Meta, segment.pack);
    let mut bytes = store.get(&name).expect("reads").expect("there").to_vec();
    bytes[if fence { segment.fence.offset } else { segment.start } as usize + 40] ^= 1;
    store.overwrite(&name, bytes.into()).expect("memory");
}

/// Meta packs in the store that the catalog does not know.
fn orphans(store: &Store) -> usize {
    let catalog = fresh(store).expect("opens");
    let known =
        |name: &str| key::pack_id(name).is_some_and(|(_, id)| catalog.state().packs().contains_key(&id));
    store.list(key::META, "").expect("lists").iter().filter(|it| !known(&it.key)).count()
}

#[test]
fn beside_a_damaged_segment_pushes_and_merges_go_on_and_leave_nothing_behind() {
    for fence in [false, true] {
        let Due { store, mut shelf, oids, .. } = due(store(memory()));
        let machine = Machine::new();
        let mut catalog = machine.open(&store).expect("opens");
        // The middle one: two runs are newer, two are older.
        let run = runs(catalog.state(), TableKind::Files)[2].segments[0].at.clone();
        damage(&store, &run, fence);
        let said = catalog.merge_runs().expect_err("damaged").to_string();
        assert!(said.contains(&run.pack.to_string()), "{said}");
        let mut new = Vec::new();
        for n in 0..3 * MOST_RUNS as u64 {
            new.push(shelf.put(&seeded_bytes(700 + n, 2_000)));
            push(&mut catalog, &shelf.files(&new[new.len() - 1..])).expect("pushed");
            assert!(catalog.write_checkpoint().expect("written"));
            catalog.merge_runs().expect("what is newer, or nothing");
            let count = run_count(&catalog);
            assert!(count <= 3 + MOST_RUNS, "{count} runs");
        }
        assert!(merges(&store) >= 2);
        let hooks = runs(catalog.state(), TableKind::Hooks).len();
        assert!(hooks <= 9, "{hooks} runs of hooks");
        assert_eq!(orphans(&store), 0, "each merge took back what it could not use");
        // The next process of this machine knows, another one finds out once.
        machine.open(&store).expect("opens").merge_runs().expect("nothing to do");
        let mut other = Machine::new().open(&store).expect("opens");
        if other.merge_runs().is_err() {
            other.merge_runs().expect("it found out once");
        }
        assert_eq!(orphans(&store), 0);
        shelf.assert_download(&mut fresh(&store).expect("opens"), &new, "pushed beside the damage");
        // Who has the files heals the store by pushing them.
        push(&mut catalog, &shelf.files(&oids)).expect("pushed");
        shelf.assert_download(&mut machine.open(&store).expect("opens"), &oids, "pushed again");
        assert_chain(&store);
    }
}

#[test]
fn hooks_are_merged_though_files_cannot_be() {
    let Due { store, mut shelf, .. } = due(store(memory()));
    let mut catalog = Machine::new().open(&store).expect("opens");
    let mut n = 0;
    while runs(catalog.state(), TableKind::Hooks).len() <= 8 {
        n += 1;
        let new = shelf.put(&seeded_bytes(800 + n, 2_000));
        push(&mut catalog, &shelf.files(&[new])).expect("pushed");
        assert!(catalog.write_checkpoint().expect("written"));
    }
    damage(&store, &runs(catalog.state(), TableKind::Files)[0].segments[0].at.clone(), false);
    let files = run_count(&catalog);
    catalog.merge_runs().expect_err("a segment of files is damaged");
    assert_eq!(run_count(&catalog), files);
    assert!(runs(catalog.state(), TableKind::Hooks).len() <= 8, "hooks were merged all the same");
    assert_eq!(orphans(&store), 0);
}

#[test]
fn very_many_overlapping_hooks_are_merged_a_few_at_a_time() {
    let Due { store, mut seen, .. } = due(store(memory()));
    let catalog = &mut seen[0];
    let mut meta = PackWriter::new(PackKind::Meta);
    let segments: Vec<SegmentRef> = (0..40u64)
        .map(|n| {
            let mut hooks = Hooks::with_room(10);
            let chunks = (0..5u64).map(|c| (ChunkId::of(&(n * 5 + c).to_le_bytes()), 1)).collect();
            let frame = FrameEntry { offset: 16, stored: 1, raw: 5, chunks };
            hooks.add(
                *catalog.state().packs().keys().next().expect("some"),
                &Footer { kind: PackKind::Data, frames: vec![frame] },
            );
            SegmentRef::new(TableKind::Hooks, &hooks.write(&mut meta))
        })
        .collect();
    let meta = meta.finish();
    meta.put(&store).expect("written");
    let change = Change::Push(Push { repo: REPO, rows: None, segments, labels: vec![], bundles: vec![] });
    let mut record = ChangeRecord::new(catalog.head().seq(), change, writer(), now());
    record.added = vec![(meta.id, meta.info)];
    catalog.commit(&record).expect("lands");
    let count = |catalog: &Catalog| runs(catalog.state(), TableKind::Hooks).len();
    let rows = |catalog: &Catalog| catalog.state().table(TableKind::Hooks).map(|it| it.at.rows).sum::<u64>();
    let (mut before, all) = (count(catalog), rows(catalog));
    assert!(before > 30, "{before}");
    while before > 8 {
        assert!(catalog.merge_runs().expect("merged"));
        let after = count(catalog);
        assert!(after < before && before - after < 16, "{before} became {after}");
        before = after;
    }
    assert_eq!(rows(catalog), all);
}

#[test]
fn what_is_not_understood_is_not_merged() {
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

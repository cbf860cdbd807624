//! R6: entries that were there and are not, and hints that say too much.

use std::sync::Arc;

use datamon::catalog::CatalogError;
use datamon::id::Oid;
use datamon::store::{Backend, Store, key, memory};
use datamon_test_support::seeded_bytes;

use super::around::Around;
use super::world::{Machine, Shelf, assert_chain, fresh, push, store};

/// A store with log/0 to log/`pushes` + 1 (the repo comes first), one file each.
fn filled(machine: &Machine, shelf: &mut Shelf, pushes: u64) -> (Arc<dyn Backend>, Vec<Oid>) {
    let backend = memory();
    let mut catalog = machine.create(&store(backend.clone())).expect("made");
    let mut oids = Vec::new();
    for n in 0..pushes {
        oids.push(shelf.put(&seeded_bytes(n, 3_000)));
        push(&mut catalog, &shelf.files(&oids[oids.len() - 1..])).expect("pushed");
    }
    (backend, oids)
}

fn entries(store: &Store) -> usize {
    store.list(key::LOG, "").expect("lists").iter().filter(|it| key::log_seq(&it.key).is_some()).count()
}

#[test]
fn no_cold_writer_fills_a_hole() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let (backend, oids) = filled(&machine, &mut shelf, 20);
    let new = shelf.put(b"something new");
    let whole = store(backend.clone());
    let last = assert_chain(&whole) - 1;
    let (mut refused, mut went_on) = (0, 0);
    // All but the newest: that one is gone without a trace for whoever kept nothing.
    for lost in 0..last {
        let bytes = whole.get(&key::log(lost)).expect("reads").expect("there");
        whole.delete(&key::log(lost)).expect("deleted");
        let before = entries(&whole);
        match fresh(&whole).and_then(|mut catalog| push(&mut catalog, &shelf.files(&[new]))) {
            // The search jumped over the hole to the true head, where every change is carried.
            Ok(done) => {
                let (seq, _) = done.receipt.entries[0];
                assert_eq!(seq, last + 1, "without entry {lost}");
                shelf.assert_download(&mut fresh(&whole).expect("opens"), &oids, "beyond the hole");
                whole.delete(&key::log(seq)).expect("deleted");
                went_on += 1;
            }
            Err(CatalogError::Holed { .. } | CatalogError::Lost { .. }) => {
                assert_eq!(entries(&whole), before, "without entry {lost}");
                refused += 1;
            }
            Err(error) => panic!("without entry {lost}: {error}"),
        }
        assert!(whole.get(&key::log(lost)).expect("reads").is_none(), "{lost} was filled");
        whole.create_own(&key::log(lost), bytes.into()).expect("back");
    }
    assert!(refused > 0 && went_on > 0, "{refused} refused, {went_on} went on");
}

#[test]
fn a_writer_who_meets_the_hole_warm_acknowledges_nothing() {
    let (late, busy, mut shelf) = (Machine::new(), Machine::new(), Shelf::new());
    let (backend, oids) = filled(&late, &mut shelf, 4);
    let whole = store(backend);
    let mut catalog = busy.open(&whole).expect("opens");
    for n in 0..3 {
        let oid = shelf.put(&seeded_bytes(70 + n, 3_000));
        push(&mut catalog, &shelf.files(&[oid])).expect("pushed");
    }
    // What comes right after the last entry that `late` has seen is lost: to it the slot looks free.
    let lost = late_head(&late, &whole, 6);
    let new = shelf.put(b"something new");
    let error = late
        .open(&whole)
        .and_then(|mut catalog| push(&mut catalog, &shelf.files(&[new])))
        .expect_err("the slot was somebody's");
    assert!(error.to_string().contains("does not follow") || error.to_string().contains("hole"), "{error}");
    assert!(lost > 0);
    // Whoever stands at the true head is not concerned.
    let done = push(&mut catalog, &shelf.files(&oids)).expect("pushed");
    assert_eq!(done.receipt.oids.len(), oids.len());
}

/// Lose the entry after the head that the machine has kept.
fn late_head(late: &Machine, whole: &Store, lost: u64) -> u64 {
    let kept = late.open(&store_without_news(whole, lost)).expect("opens").head().seq();
    assert_eq!(kept + 1, lost);
    whole.delete(&key::log(lost)).expect("deleted");
    lost
}

/// The store as it was before entry `from`.
fn store_without_news(whole: &Store, from: u64) -> Store {
    let old = store(memory());
    for it in whole.list("", "").expect("lists") {
        if key::log_seq(&it.key).is_none_or(|seq| seq < from) {
            let bytes = whole.get(&it.key).expect("reads").expect("listed");
            old.create_own(&it.key, bytes.into()).expect("copied");
        }
    }
    old
}

#[test]
fn a_lost_first_entry_is_not_made_again() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let (backend, oids) = filled(&machine, &mut shelf, 3);
    let holed = store(backend);
    holed.delete(&key::log(0)).expect("deleted");
    let error = Machine::new().create(&holed).expect_err("no second beginning").to_string();
    assert!(error.contains("lacks log entry 0"), "{error}");
    assert_eq!(holed.get(&key::log(0)).expect("reads"), None);
    assert!(matches!(fresh(&holed), Err(CatalogError::Lost { seq: 0, .. })));
    // Whoever knows the head reads, and writes: every change is carried.
    let mut catalog = machine.open(&holed).expect("warm");
    shelf.assert_download(&mut catalog, &oids, "warm");
    // With the hint of a checkpoint a cold reader finds the head too.
    catalog.write_checkpoint().expect("written");
    shelf.assert_download(&mut fresh(&holed).expect("by the hint"), &oids, "cold, by the hint");
}

#[test]
fn a_hint_beyond_the_log_stops_and_a_hint_that_is_none_is_ignored() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let (backend, oids) = filled(&machine, &mut shelf, 3);
    let hinted = store(backend);
    let new = shelf.put(b"something new");
    for beyond in ["0000000000000009\n", "ffffffffffffffff\n"] {
        hinted.overwrite(key::HEAD, beyond.into()).expect("written");
        let before = entries(&hinted);
        let error = fresh(&hinted).expect_err("damage").to_string();
        assert!(error.contains("lacks log entry") && !error.contains('\n'), "{error}");
        assert_eq!(entries(&hinted), before);
    }
    for garbage in [&b""[..], b"\n", b"\xff\xfe\x00", b"-1", b"1ffffffffffffffff", b"head", &[b'0'; 1 << 20]]
    {
        hinted.overwrite(key::HEAD, garbage.to_vec().into()).expect("written");
        let mut catalog = fresh(&hinted).expect("no hint");
        shelf.assert_download(&mut catalog, &oids, "without a hint");
        push(&mut catalog, &shelf.files(&[new])).expect("pushed");
    }
    // An old hint only costs a few requests.
    hinted.overwrite(key::HEAD, "0000000000000000\n".into()).expect("written");
    shelf.assert_download(&mut fresh(&hinted).expect("opens"), &[new], "with an old hint");
    assert_chain(&hinted);
}

#[test]
fn a_listing_in_no_order_and_not_of_one_moment_is_no_proof_of_a_hole() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let (backend, oids) = filled(&machine, &mut shelf, 3);
    // Made while others write, a listing may lack an entry that a later one follows.
    let unordered = Around::new(backend.clone()).lists(|mut listed| {
        listed.sort_by(|a, b| b.key.cmp(&a.key));
        listed.pop();
        listed
    });
    let whole = store(unordered.shared());
    // Others push between the open of a cold writer and its first commit.
    let mut cold = fresh(&whole).expect("opens");
    let mut busy = machine.open(&whole).expect("opens");
    for _ in 0..3 {
        push(&mut busy, &shelf.files(&oids)).expect("pushed");
    }
    let new = shelf.put(b"something new");
    push(&mut cold, &shelf.files(&[new])).expect("the log has no hole");
    assert_chain(&store(backend));
    // A hole is one in any order.
    let mut cold = fresh(&whole).expect("opens");
    let head = cold.head().seq();
    for seq in [head + 2, head + 3, head + 4] {
        whole.overwrite(&key::log(seq), "from a log that went on".into()).expect("written");
    }
    let error = push(&mut cold, &shelf.files(&oids)).expect_err("a hole");
    assert!(matches!(error, CatalogError::Holed { .. }), "{error}");
    assert_eq!(whole.get(&key::log(head + 1)).expect("reads"), None);
}

//! R6: the log at a URL is not the one that was seen there before: copied, rolled back, exchanged.

use std::fs;
use std::path::Path;

use datamon::catalog::{Catalog, CatalogError};
use datamon::id::Oid;
use datamon::store::{Store, key};
use datamon_test_support::seeded_bytes;

use super::journal::die_before_landing;
use super::world::{
    Machine, Shelf, assert_chain, assert_packs, collect, copy, directory, folder, fresh, push,
};

/// One push of one new file.
fn push_one(catalog: &mut Catalog, shelf: &mut Shelf, seed: u64) -> Oid {
    let oid = shelf.put(&seeded_bytes(seed, 20_000));
    let done = push(catalog, &shelf.files(&[oid])).expect("pushed");
    assert!(done.receipt.oids.contains(&oid));
    oid
}

/// A store at `path` with `pushes` pushes by `machine`.
fn filled(path: &Path, machine: &Machine, shelf: &mut Shelf, seed: u64, pushes: u64) -> (Store, Vec<Oid>) {
    let store = directory(path);
    let mut catalog = machine.create(&store).expect("made");
    let oids = (0..pushes).map(|n| push_one(&mut catalog, shelf, seed + n)).collect();
    (store, oids)
}

fn log_names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> =
        store.list(key::LOG, "").expect("lists").into_iter().map(|it| it.key).collect();
    names.sort();
    names
}

fn replace(old: &Path, new: &Path) {
    fs::remove_dir_all(old).expect("removed");
    copy(new, old);
}

#[test]
fn a_copied_bucket_and_its_original_go_their_own_ways() {
    let (root, machine, mut shelf) = (folder(), Machine::new(), Shelf::new());
    let (one, two) = (root.path().join("one"), root.path().join("two"));
    let (original, shared) = filled(&one, &machine, &mut shelf, 1, 3);
    copy(&one, &two);
    let copied = directory(&two);
    // Turn by turn, from one machine, both warm.
    let (mut of_original, mut of_copy) = (shared.clone(), shared.clone());
    for turn in 0..3 {
        for (store, oids, seed) in [(&original, &mut of_original, 100), (&copied, &mut of_copy, 200)] {
            let mut catalog = machine.open(store).expect("opens");
            oids.push(push_one(&mut catalog, &mut shelf, seed + turn));
            if turn == 1 {
                assert!(catalog.write_checkpoint().expect("written"));
            }
        }
    }
    for (store, oids, others) in [(&original, &of_original, &of_copy), (&copied, &of_copy, &of_original)] {
        assert_chain(store);
        assert_packs(store);
        for mut catalog in [fresh(store).expect("opens"), machine.open(store).expect("opens")] {
            shelf.assert_download(&mut catalog, oids, store.url().as_str());
            for oid in others.iter().skip(shared.len()) {
                let told =
                    shelf.download(&mut catalog, &[*oid])[oid].clone().expect_err("of the other store");
                assert!(told.contains("does not have"), "{told}");
            }
        }
    }
}

/// A store, its older copy restored over it, and a machine that saw the newer one.
struct RolledBack {
    _root: tempfile::TempDir,
    machine: Machine,
    shelf: Shelf,
    store: Store,
    lost: Oid,
    kept: Oid,
}

fn rolled_back() -> RolledBack {
    let (root, machine, mut shelf) = (folder(), Machine::new(), Shelf::new());
    let (path, snapshot) = (root.path().join("store"), root.path().join("snapshot"));
    let (store, oids) = filled(&path, &machine, &mut shelf, 1, 2);
    copy(&path, &snapshot);
    let mut catalog = machine.open(&store).expect("opens");
    push_one(&mut catalog, &mut shelf, 50);
    let lost = push_one(&mut catalog, &mut shelf, 51);
    replace(&path, &snapshot);
    RolledBack { _root: root, machine, shelf, store, lost, kept: oids[0] }
}

#[test]
fn a_store_rolled_back_under_a_warm_writer_is_not_written() {
    let RolledBack { machine, shelf, store, lost, .. } = &mut rolled_back();
    let before = log_names(store);
    // The lost file is "known" to the warm cache: nothing may acknowledge it.
    let mut catalog = machine.open(store).expect("one 404 shows nothing");
    let error = push(&mut catalog, &shelf.files(&[*lost])).expect_err("rolled back");
    assert!(matches!(error, CatalogError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("rolled back"), "{error}");
    assert_eq!(log_names(store), before);
    // What was known of the other log is gone: the next push sends it again, and now it stays.
    let mut catalog = machine.open(store).expect("as if cold");
    let done = push(&mut catalog, &shelf.files(&[*lost])).expect("pushed");
    assert_eq!(done.stats.known, 0);
    shelf.assert_download(&mut fresh(store).expect("opens"), &[*lost], "pushed again");
    assert_chain(store);
}

#[test]
fn a_store_rolled_back_under_a_warm_reader_gives_no_wrong_answer() {
    let RolledBack { machine, shelf, store, lost, kept, .. } = &mut rolled_back();
    let mut catalog = machine.open(store).expect("one 404 shows nothing");
    shelf.assert_download(&mut catalog, &[*kept], "still there");
    let told = shelf.download(&mut catalog, &[*lost])[lost].clone().expect_err("its pack is gone");
    assert!(told.contains("has no object data/"), "{told}");
    // Before anything is called missing the head is asked for, and that tells.
    let never = shelf.put(b"never pushed");
    let told = shelf.download(&mut catalog, &[never])[&never].clone().expect_err("rolled back");
    assert!(told.contains("rolled back"), "{told}");
    let mut catalog = machine.open(store).expect("as if cold");
    let told = shelf.download(&mut catalog, &[*lost])[lost].clone().expect_err("rolled back");
    assert!(told.contains("does not have"), "{told}");
}

#[test]
fn a_store_rolled_back_and_gone_on_elsewhere_is_told_from_the_one_seen() {
    for others in [1, 2, 3, 7] {
        let RolledBack { machine, shelf, store, lost, .. } = &mut rolled_back();
        let mut elsewhere = Machine::new().open(store).expect("cold");
        let theirs: Vec<Oid> = (0..others).map(|n| push_one(&mut elsewhere, shelf, 900 + n)).collect();
        let before = log_names(store);
        // The log is now shorter than, as long as, or longer than the one seen.
        let error = match machine.open(store) {
            Ok(mut catalog) => push(&mut catalog, &shelf.files(&[*lost])).expect_err("another log"),
            Err(error) => error,
        };
        let text = error.to_string();
        assert!(text.contains("restored") || text.contains("rolled back"), "{others}: {text}");
        assert_eq!(log_names(store), before, "{others}");
        let mut catalog = machine.open(store).expect("as if cold");
        shelf.assert_download(&mut catalog, &theirs, "theirs");
        assert_eq!(push(&mut catalog, &shelf.files(&[*lost])).expect("pushed").stats.known, 0);
        assert_chain(store);
        assert_packs(store);
    }
}

#[test]
fn a_journal_does_not_reach_into_a_log_that_was_rolled_back() {
    let (root, machine, mut shelf) = (folder(), Machine::new(), Shelf::new());
    let (path, snapshot) = (root.path().join("store"), root.path().join("snapshot"));
    let (store, _) = filled(&path, &machine, &mut shelf, 1, 2);
    copy(&path, &snapshot);
    let mut catalog = machine.open(&store).expect("opens");
    push_one(&mut catalog, &mut shelf, 50);
    die_before_landing(&store, &machine, &mut shelf);
    replace(&path, &snapshot);
    // Only the journal knows that there was more.
    machine.chill(&store);
    let before = log_names(&store);
    let mut catalog = machine.open(&store).expect("opens");
    let oid = shelf.put(&seeded_bytes(60, 5_000));
    let error = push(&mut catalog, &shelf.files(&[oid])).expect_err("rolled back").to_string();
    assert!(error.contains("rolled back"), "{error}");
    assert_eq!(log_names(&store), before);
    // It was told; the journal of the other log is gone.
    let mut catalog = machine.open(&store).expect("opens");
    push(&mut catalog, &shelf.files(&[oid])).expect("pushed");
    assert_chain(&store);
}

#[test]
fn another_store_at_the_same_url_is_opened_as_if_cold() {
    // The other store has fewer entries than the one seen, as many, and more.
    for pushes in [0, 1, 3, 4, 5, 9] {
        let (root, machine, mut shelf) = (folder(), Machine::new(), Shelf::new());
        let (path, other) = (root.path().join("store"), root.path().join("other"));
        let (store, old) = filled(&path, &machine, &mut shelf, 1, 3);
        die_before_landing(&store, &machine, &mut shelf);
        let (_, new) = filled(&other, &Machine::new(), &mut shelf, 500, pushes);
        replace(&path, &other);
        let mut catalog = machine.open(&store).expect("opens");
        shelf.assert_download(&mut catalog, &new, "the new store");
        let told = shelf.download(&mut catalog, &old);
        if pushes > 0 {
            assert!(
                told.values().all(|it| it.as_ref().is_err_and(|e| e.contains("does not have"))),
                "{told:?}"
            );
        }
        // A writer is told once, because its user trusted another store; then it is a writer like any other.
        let mut catalog = machine.open(&store).expect("opens");
        if let Err(error) = push(&mut catalog, &shelf.files(&old)) {
            assert!(error.to_string().contains("lacks log entry"), "{error}");
            catalog = machine.open(&store).expect("opens");
            push(&mut catalog, &shelf.files(&old)).expect("pushed");
        }
        shelf.assert_download(&mut fresh(&store).expect("opens"), &old, "pushed into the new store");
        assert_chain(&store);
        assert_packs(&store);
        let mut staged = Vec::new();
        collect(&path, &mut staged);
        assert!(!staged.iter().any(|it| it.to_string_lossy().contains('#')), "{staged:?}");
    }
}

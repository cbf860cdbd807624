//! Blanking beside those who find what they need where nothing live leads: by an older row, by a page of a version that was dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use datamon::bundle::{Facts, Root};
use datamon::catalog::{Catalog, CatalogError, Change};
use datamon::id::{BundleId, ChunkId, Oid, PackKind};
use datamon::ops::bundle::{Draft, Planned, open};
use datamon::ops::collection::{Limits, NotCollected};
use datamon::ops::upload::upload_bundle;
use datamon::pack::read_footer;
use datamon::progress::Silent;
use datamon::store::{Store, memory};
use datamon_test_support::seeded_bytes;

use super::collection::{AT_ONCE, beside, collected, drop_of};
use super::world::{Machine, REPO, Shelf, assert_version, fresh, push, store};

const BLANK: Limits = Limits { blank: true, ..AT_ONCE };

/// Data packs with a chunk of these bytes.
fn packs_with(store: &Store, bytes: &[u8]) -> usize {
    let catalog = fresh(store).expect("opens");
    let data = catalog.state().packs().iter().filter(|(_, info)| info.kind == PackKind::Data);
    let has = |(pack, info): &(&_, &_)| {
        let footer = read_footer(store, **pack, **info).expect("reads");
        footer.frames.iter().flat_map(|it| &it.chunks).any(|(id, _)| *id == ChunkId::of(bytes))
    };
    data.filter(has).count()
}

/// Two pushes of one file at the same time, each beside another file; the second begins before the request number `at` of the first.
/// How many requests there were, and whether each stored it.
fn pushed_twice(at: u64) -> (u64, bool) {
    let backend = memory();
    let whole = store(backend.clone());
    let mut shelf = Shelf::new();
    let bytes = seeded_bytes(1, 5_000);
    let file = shelf.put(&bytes);
    let beside_it: Vec<Oid> = (2..4).map(|n| shelf.put(&seeded_bytes(n, 6_000))).collect();
    let (here, there) = (Machine::new(), Machine::new());
    here.create(&whole).expect("made");
    let (other, files) = (whole.clone(), shelf.files(&[file, beside_it[1]]));
    let (slow, served) = beside(backend, at, move || {
        push(&mut there.open(&other).expect("opens"), &files).expect("pushed");
    });
    let mut catalog = here.open(&slow).expect("opens");
    push(&mut catalog, &shelf.files(&[file, beside_it[0]])).expect("pushed");
    let (count, context) = (packs_with(&whole, &bytes), format!("at request {at}"));
    collected(&whole, BLANK).expect("collected");
    assert_eq!(packs_with(&whole, &bytes), count, "{context}: what an older row reads is gone");
    let mut catalog = fresh(&whole).expect("opens");
    shelf.assert_download(&mut catalog, &[file], &context);
    if count == 2 {
        let newest = catalog.find(REPO, &[file]).expect("reads")[&file].packs();
        catalog.suspect(newest);
        shelf.assert_download(&mut catalog, &[file], &format!("{context}, by the older row"));
    }
    // A Drop means both.
    let mut catalog = fresh(&whole).expect("opens");
    catalog.commit(&drop_of(&catalog, &[file])).expect("dropped");
    collected(&whole, BLANK).expect("collected");
    assert_eq!(packs_with(&whole, &bytes), 0, "{context}");
    if at < served.load(SeqCst) {
        shelf.assert_download(&mut fresh(&whole).expect("opens"), &beside_it, &context);
    }
    (served.load(SeqCst), count == 2)
}

#[test]
fn what_an_older_row_of_a_file_reads_stays_until_the_file_is_given_up() {
    let (reached, _) = pushed_twice(u64::MAX);
    let twice = (0..reached).filter(|at| pushed_twice(*at).1).count();
    assert!(twice > 0, "it was never stored twice");
}

fn version(
    catalog: &mut Catalog,
    shelf: &Shelf,
    base: Option<&Root>,
    files: &[Oid],
) -> Result<BundleId, CatalogError> {
    let planned = |oid: &Oid| {
        let file = Planned::File { executable: false, oid: *oid, size: shelf.file(*oid, None).size };
        (oid.to_string().into_bytes(), Some(file))
    };
    let changes: BTreeMap<_, _> = files.iter().map(planned).collect();
    let drafting = |_: &_| Draft::new(base.cloned(), Facts::default(), changes.clone());
    let done = upload_bundle(catalog, REPO, &shelf.files(files), &drafting, &Silent)?;
    Ok(done.bundle.expect("a version was made"))
}

/// A version on a base that is dropped, with a file that only it has, and blanked before the request number `at` of so many. Whether
/// the version could be made.
fn base_blanked(at: u64) -> (u64, bool) {
    let backend = memory();
    let whole = store(backend.clone());
    let mut shelf = Shelf::new();
    let [gone, stays, new] = [1, 2, 3].map(|n| shelf.put(&seeded_bytes(n, 6_000)));
    let (here, there) = (Machine::new(), Machine::new());
    let mut catalog = here.create(&whole).expect("made");
    let base = version(&mut catalog, &shelf, None, &[gone, stays]).expect("made");
    let root = open(&catalog, base).expect("there").root().clone();
    let mut catalog = here.open(&whole).expect("opens");
    version(&mut catalog, &shelf, None, &[stays]).expect("made");
    let other = whole.clone();
    let (slow, served) = beside(backend, at, move || {
        let mut catalog = there.open(&other).expect("opens");
        let mut record = drop_of(&catalog, &[gone]);
        if let Change::Drop(it) = &mut record.change {
            it.bundles.push(base);
        }
        catalog.commit(&record).expect("dropped");
        // Its pages can be read still.
        collected(&other, Limits { grace: Duration::from_secs(3600), ..BLANK }).expect("collected");
    });
    let mut catalog = here.open(&slow).expect("opens");
    let context = format!("at request {at}");
    let made = match version(&mut catalog, &shelf, Some(&root), &[new]) {
        Ok(id) => {
            let all = BTreeSet::from([gone, stays, new]);
            assert_version(&fresh(&whole).expect("opens"), id, &all, &context);
            collected(&whole, BLANK).expect("collected");
            assert_version(&fresh(&whole).expect("opens"), id, &all, &context);
            true
        }
        Err(CatalogError::NoData { oid }) => {
            assert_eq!(oid, gone, "{context}");
            false
        }
        Err(error) => panic!("{context}: {error}"),
    };
    shelf.assert_download(&mut fresh(&whole).expect("opens"), &[stays], &context);
    (served.load(SeqCst), made)
}

#[test]
fn a_version_whose_base_is_dropped_takes_nothing_from_where_it_was_blanked() {
    let (reached, made) = base_blanked(u64::MAX);
    assert!(made);
    let missed = (0..reached).filter(|at| !base_blanked(*at).1).count();
    assert!(missed > 0 && missed < reached as usize, "it could not be made {missed} of {reached} times");
}

/// A collection that blanks a file, and before its request number `at` the push of a session that had seen the file. How many requests
/// there were.
fn frozen_blanking(at: u64) -> u64 {
    let backend = memory();
    let whole = store(backend.clone());
    let mut shelf = Shelf::new();
    let bytes = seeded_bytes(1, 5_000);
    let (file, stays) = (shelf.put(&bytes), shelf.put(&seeded_bytes(2, 6_000)));
    let machine = Machine::new();
    push(&mut machine.create(&whole).expect("made"), &shelf.files(&[file, stays])).expect("pushed");
    let mut early = machine.open(&whole).expect("opens");
    let mut catalog = fresh(&whole).expect("opens");
    catalog.commit(&drop_of(&catalog, &[file])).expect("dropped");
    let files = shelf.files(&[file]);
    let (slow, served) = beside(backend, at, move || {
        push(&mut early, &files).expect("pushed");
    });
    let (frozen, context) = (collected(&slow, BLANK).map(drop), format!("frozen at request {at}"));
    assert!(!matches!(frozen, Err(NotCollected::Canary { .. })), "{context}: {frozen:?}");
    if at == u64::MAX {
        assert_eq!(packs_with(&whole, &bytes), 0, "it was not blanked");
    } else {
        shelf.assert_download(&mut fresh(&whole).expect("opens"), &[file, stays], &context);
        collected(&whole, BLANK).expect("collected");
        shelf.assert_download(&mut fresh(&whole).expect("opens"), &[file, stays], &context);
    }
    served.load(SeqCst)
}

#[test]
fn a_blanking_frozen_at_any_request_takes_nothing_that_a_push_names_meanwhile() {
    let reached = frozen_blanking(u64::MAX);
    assert!(reached > 20, "{reached} requests");
    for at in 0..reached {
        frozen_blanking(at);
    }
}

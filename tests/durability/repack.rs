//! Repacking beside pushes, readers and other collections: what was promised and not dropped comes out bit for bit, by rows and by
//! versions, from wherever it lies; what is copied is what is live, and nothing else is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::process::Stdio;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use datamon::bundle::{Content, Facts};
use datamon::catalog::change::{ChangeRecord, Drop};
use datamon::catalog::log::{now, writer};
use datamon::catalog::{Catalog, Change};
use datamon::id::{BundleId, Oid, PackId, PackKind};
use datamon::ops::bundle::{Draft, Planned, open, wanted_at};
use datamon::ops::collection::{Collected, Limits, NotCollected, collect, plan};
use datamon::ops::copy::copy;
use datamon::ops::fetch::{Source, fetch};
use datamon::ops::repair::Damage;
use datamon::ops::upload::{upload, upload_bundle};
use datamon::ops::verify::{Depth, verify};
use datamon::progress::Silent;
use datamon::store::fail::{Failing, Fault};
use datamon::store::{Backend, Store, key, memory};
use datamon::table::Recipe;
use datamon_test_support::{Hermetic, run, seeded_bytes};

use super::around::Around;
use super::collection::{AT_ONCE, beside, collected, drop_of, packs};
use super::world::{Machine, REPO, Shelf, assert_chain, assert_packs, directory, folder, fresh, push, store};

/// A store with one large pack, of which some is dropped.
struct Holed {
    shelf: Shelf,
    objects: Vec<(String, Bytes)>,
    /// Files with rows that stay, each with some of the pack.
    kept: Vec<Oid>,
    /// Files that are dropped.
    gone: Vec<Oid>,
    /// A version, with its first kept file and one whose row is dropped.
    version: BundleId,
    only_there: Oid,
    /// A file that nobody pushed yet, made of parts of what is dropped and of what stays.
    new: Oid,
}

fn planned(size: u64, oid: Oid) -> Option<Planned> {
    Some(Planned::File { executable: false, oid, size })
}

impl Holed {
    /// Made once: each test begins with a copy.
    fn get() -> &'static Holed {
        static WORLD: OnceLock<Holed> = OnceLock::new();
        WORLD.get_or_init(Holed::make)
    }

    fn make() -> Holed {
        let (mut shelf, machine, store) = (Shelf::new(), Machine::new(), store(memory()));
        let large: Vec<Vec<u8>> = [300_000, 700_000, 400_000, 600_000, 350_000]
            .iter()
            .zip(0..)
            .map(|(size, seed)| seeded_bytes(seed, *size))
            .collect();
        let oids: Vec<Oid> = large.iter().map(|bytes| shelf.put(bytes)).collect();
        let small: Vec<Oid> = (10..18).map(|seed| shelf.put(&seeded_bytes(seed, 6_000))).collect();
        let new = shelf.put(&[&large[1][100_000..500_000], b"new", &large[2][50_000..]].concat());
        let mut catalog = machine.create(&store).expect("made");
        push(&mut catalog, &shelf.files(&[&oids[..], &small].concat())).expect("pushed");
        let changes: BTreeMap<Vec<u8>, Option<Planned>> =
            [(b"first".to_vec(), planned(300_000, oids[0])), (b"only".to_vec(), planned(350_000, oids[4]))]
                .into();
        let drafting = |_: &_| Draft::new(None, Facts::default(), changes.clone());
        let made = upload_bundle(&mut catalog, REPO, &shelf.files(&[oids[0], oids[4]]), &drafting, &Silent);
        let version = made.expect("made").bundle.expect("a version");
        catalog.write_checkpoint().expect("written");
        let listed = store.list("", "").expect("lists");
        let bytes = |key: &str| store.get(key).expect("reads").expect("listed");
        let objects = listed.iter().map(|it| (it.key.clone(), bytes(&it.key))).collect();
        let kept = [&[oids[0], oids[2]], &small[..5]].concat();
        let gone = [&[oids[1], oids[3], oids[4]], &small[5..]].concat();
        Holed { shelf, objects, kept, gone, version, only_there: oids[4], new }
    }

    /// The store before anything was dropped.
    fn whole(&self) -> Arc<dyn Backend> {
        let backend = memory();
        let copy = store(backend.clone());
        for (key, bytes) in &self.objects {
            copy.overwrite(key, bytes.clone().into()).expect("memory");
        }
        backend
    }

    fn drop_some(&self, store: &Store) {
        let mut catalog = fresh(store).expect("opens");
        catalog.commit(&drop_of(&catalog, &self.gone)).expect("dropped");
    }

    fn dropped(&self) -> Arc<dyn Backend> {
        let backend = self.whole();
        self.drop_some(&store(backend.clone()));
        backend
    }

    /// Nothing that was promised is lost, whatever else is there.
    fn check(&self, store: &Store, promised: &[Oid], context: &str) {
        assert_chain(store);
        let mut catalog = fresh(store).unwrap_or_else(|error| panic!("{context}: {error}"));
        self.shelf.assert_download(&mut catalog, &[&self.kept, promised].concat(), context);
        self.check_version(&catalog, context);
        assert_packs(store);
        let found = verify(&catalog, Depth::Data(100), &Silent).expect("verified");
        assert!(found.problems.is_empty(), "{context}: {:?}", found.problems);
    }

    /// Both files of the version, by its pages alone.
    fn check_version(&self, catalog: &Catalog, context: &str) {
        let out = tempfile::tempdir().expect("a temporary directory");
        let version = open(catalog, self.version).unwrap_or_else(|error| panic!("{context}: {error}"));
        for (path, oid) in [("first", self.kept[0]), ("only", self.only_there)] {
            let entry = version.find(path.as_bytes()).expect("reads").expect("there");
            let wanted = wanted_at(catalog, &entry.content, out.path().join(path)).expect("leads somewhere");
            let wanted = wanted.expect("a file");
            assert_eq!(wanted.oid, oid);
            fetch(&Source::of(catalog), &[wanted], &Silent, &|file, result| {
                assert!(result.is_ok(), "{context}: {path} of the version, {}: {result:?}", file.oid);
            });
        }
    }

    /// Collections without a fault come to an end at which nothing is left to do.
    fn settle(&self, store: &Store, context: &str) {
        let mut catalog = fresh(store).expect("opens");
        for _ in 0..3 {
            collect(&mut catalog, AT_ONCE).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        let last = collect(&mut catalog, AT_ONCE).expect("collected");
        let idle = (last.condemned.count, last.deleted.count, last.repacked.count, last.unused_bytes);
        assert_eq!(idle, (0, 0, 0, 0), "{context}");
        let table: BTreeSet<PackId> = catalog.state().packs().keys().copied().collect();
        assert_eq!(packs(store), table, "{context}: the store has what the log knows");
    }
}

/// Ranges of data packs, by key.
type Reads = Vec<(String, Range<u64>)>;

#[test]
fn what_is_live_is_copied_and_no_other_data_is_read() {
    let (world, inner) = (Holed::get(), Holed::get().dropped());
    let reads: Arc<Mutex<Reads>> = Arc::default();
    let seen = reads.clone();
    let around = Around::new(inner.clone()).reads(move |key, range| {
        if key.starts_with(key::DATA) {
            seen.lock().expect("no panic").push((key.to_owned(), range.expect("no pack is read as a whole")));
        }
    });
    let (store, raw) = (store(around.shared()), store(inner));
    let table = fresh(&raw).expect("opens").state().packs().clone();
    let data = |reads: &mut Reads| -> u64 {
        let frames = reads.drain(..).filter(|(key, range)| {
            let (_, pack) = key::pack_id(key).expect("a pack");
            table.get(&pack).is_some_and(|info| range.start < info.size - u64::from(info.footer))
        });
        frames.map(|(_, range)| range.end - range.start).sum()
    };
    // Nothing is copied where so much is tolerated, and then no data is read.
    for max_unused in [None, Some(100)] {
        let done = collected(&store, Limits { max_unused, ..AT_ONCE }).expect("collected");
        assert_eq!((done.repacked.count, done.copied.bytes), (0, 0));
        assert!(done.unused_bytes > 400_000, "{done:?}");
        assert_eq!(data(&mut reads.lock().expect("no panic")), 0);
    }
    let planned = plan(&fresh(&raw).expect("opens"), AT_ONCE).expect("planned");
    let before = raw.list(key::DATA, "").expect("lists").iter().map(|it| it.size).sum::<u64>();
    let done = collected(&store, AT_ONCE).expect("collected");
    assert_eq!((done.repacked, done.copied.bytes), (planned.repacked, planned.copied_bytes), "as it says");
    assert_eq!(done.repacked.count, 1);
    assert_eq!(done.condemned, done.deleted);
    // Three large files, the frames that small ones share, and what begins or ends in one of theirs.
    assert!((1_050_000..2_000_000).contains(&done.copied.bytes), "{done:?}");
    assert_eq!(data(&mut reads.lock().expect("no panic")), done.copied.bytes);
    let after = raw.list(key::DATA, "").expect("lists").iter().map(|it| it.size).sum::<u64>();
    assert!(before - after > 400_000, "{before} then {after}");
    world.check(&raw, &[], "repacked");
    world.settle(&raw, "again");
    world.check(&raw, &[], "and again");
}

/// A run of the collection over a store that fails once, and what must hold then.
fn fail_once(fault: Fault, at: u64) -> (u64, u64) {
    let (world, backend) = (Holed::get(), Holed::get().dropped());
    let failing = Arc::new(Failing::new(backend.clone(), fault, at));
    let machine = Machine::new();
    let failed = machine
        .open(&store(failing.clone()))
        .map_err(NotCollected::from)
        .and_then(|mut catalog| collect(&mut catalog, AT_ONCE))
        .err();
    let context = format!("{fault:?} at request {at}: {failed:?}");
    // To be given only half of a footer is reason enough to delete nothing.
    let alarmed = matches!(failed, Some(NotCollected::Canary { .. }));
    assert!(fault == Fault::Torn || !alarmed, "{context}");
    let whole = store(backend);
    world.check(&whole, &[], &context);
    let mut again = machine.open(&whole).expect("opens");
    collect(&mut again, AT_ONCE).unwrap_or_else(|error| panic!("{context}: then {error}"));
    assert!(machine.journals(&whole).is_empty(), "{context}: a journal stays");
    world.settle(&whole, &context);
    world.check(&whole, &[], &context);
    (failing.hits(), failing.served())
}

#[test]
fn a_repack_that_fails_anywhere_loses_nothing_and_is_gone_on_with() {
    let faults =
        [Fault::Before, Fault::After, Fault::Dead, Fault::Torn, Fault::LostAnswer, Fault::FalseExists];
    let (_, reached) = fail_once(Fault::Before, u64::MAX);
    assert!(reached > 40, "{reached} requests");
    for fault in faults {
        let hits: u64 = (0..reached).map(|at| fail_once(fault, at).0).sum();
        assert!(hits > 2, "{fault:?} hit {hits} times");
    }
}

/// A push by a session that began before the drop, of what borrows from dead and live parts of the pack, frozen at its request number
/// `at` while another machine repacks with no wait at all.
fn frozen_push(at: u64) -> u64 {
    let (world, backend) = (Holed::get(), Holed::get().whole());
    let whole = store(backend.clone());
    let collector = whole.clone();
    let (slow, served) = beside(backend, at, move || {
        collected(&collector, AT_ONCE).expect("collected");
    });
    let machine = Machine::new();
    let mut catalog = machine.open(&slow).expect("opens");
    world.drop_some(&whole);
    let promised = [world.new, world.kept[1], world.gone[0]];
    let done = push(&mut catalog, &world.shelf.files(&promised)).expect("pushed, again if need be");
    assert_eq!(done.receipt.oids.len(), 3);
    let context = format!("frozen at request {at}");
    world.check(&whole, &promised, &context);
    collected(&whole, AT_ONCE).expect("collected");
    world.check(&whole, &promised, &format!("{context}, collected again"));
    served.load(SeqCst)
}

#[test]
fn a_push_frozen_at_any_request_while_another_repacks_keeps_its_promise() {
    let reached = frozen_push(u64::MAX);
    assert!(reached > 8, "{reached} requests");
    for at in 0..reached {
        frozen_push(at);
    }
}

/// A repack, frozen at its request number `at` while others push what borrows from dead parts of the pack, give up what is live,
/// write checkpoints and repack the same.
fn frozen_repack(at: u64) -> u64 {
    let (world, backend) = (Holed::get(), Holed::get().whole());
    let others = store(backend.clone());
    let mut early = fresh(&others).expect("opens");
    world.drop_some(&others);
    let (slow, served) = beside(backend.clone(), at, move || {
        let world = Holed::get();
        push(&mut early, &world.shelf.files(&[world.gone[1], world.new])).expect("pushed");
        early.write_checkpoint().expect("written");
        collected(&others, AT_ONCE).expect("collected");
        let mut catalog = fresh(&others).expect("opens");
        catalog.commit(&drop_of(&catalog, &[world.gone[1]])).expect("dropped");
        collected(&others, AT_ONCE).expect("collected");
        push(&mut catalog, &world.shelf.files(&[world.gone[0]])).expect("pushed");
    });
    let outcome = fresh(&slow)
        .map_err(NotCollected::from)
        .and_then(|mut catalog| collect(&mut catalog, AT_ONCE).map(drop));
    let context = format!("frozen at request {at}: {outcome:?}");
    assert!(!matches!(outcome, Err(NotCollected::Canary { .. })), "{context}");
    // What others have emptied and deleted meanwhile is no loss.
    assert!(!context.contains("Missing") || !context.contains("data/"), "{context}");
    let promised = if at < u64::MAX { vec![world.new, world.gone[0]] } else { vec![] };
    let whole = store(backend);
    world.check(&whole, &promised, &context);
    world.settle(&whole, &context);
    world.check(&whole, &promised, &format!("{context}, settled"));
    served.load(SeqCst)
}

#[test]
fn a_repack_frozen_at_any_request_while_others_push_and_repack_takes_nothing_live() {
    let reached = frozen_repack(u64::MAX);
    assert!(reached > 40, "{reached} requests");
    for at in 0..reached {
        frozen_repack(at);
    }
}

#[test]
fn repacks_at_once_copy_what_is_live_and_lose_nothing() {
    for _ in 0..5 {
        let (world, backend) = (Holed::get(), Holed::get().dropped());
        let whole = store(backend);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                // With no grace at all one may find a table gone that it was about to read; then it begins again.
                scope.spawn(|| {
                    let again = |_: NotCollected| collected(&whole, AT_ONCE);
                    collected(&whole, AT_ONCE).or_else(again).expect("collected, or somebody was faster");
                });
            }
            scope.spawn(|| {
                let mut catalog = fresh(&whole).expect("opens");
                push(&mut catalog, &world.shelf.files(&[world.new, world.gone[0]])).expect("pushed");
            });
        });
        world.check(&whole, &[world.new, world.gone[0]], "after the race");
        world.settle(&whole, "after the race");
        world.check(&whole, &[world.new, world.gone[0]], "settled");
    }
}

#[test]
fn a_reader_frozen_at_any_request_gets_what_is_live() {
    let reader = |at: u64| {
        let (world, backend) = (Holed::get(), Holed::get().dropped());
        let collector = store(backend.clone());
        let (slow, served) = beside(backend, at, move || {
            collected(&collector, AT_ONCE).expect("collected");
        });
        // With no grace at all a reader may find a pack gone that it was about to read; then it looks again.
        let context = format!("frozen at request {at}");
        for attempt in 0.. {
            let read = fresh(&slow).map(|mut catalog| world.shelf.download(&mut catalog, &world.kept));
            match read {
                Ok(all) if all.values().all(Result::is_ok) => break,
                other => assert!(attempt < 1, "{context}: {other:?}"),
            }
        }
        served.load(SeqCst)
    };
    let reached = reader(u64::MAX);
    assert!(reached > 5, "{reached} requests");
    for at in 0..reached {
        reader(at);
    }
}

/// Data that is copied again and again, in between touched, merged, and put into checkpoints; in the end it is given up.
#[test]
fn chains_of_forwards_lead_to_the_data_as_long_as_something_names_it_and_then_go() {
    let (world, backend) = (Holed::get(), Holed::get().dropped());
    let (store, mut shelf) = (store(backend), Shelf::new());
    let extra: Vec<Oid> = (0..4).map(|n| shelf.put(&seeded_bytes(500 + n, 600_000))).collect();
    let mut catalog = fresh(&store).expect("opens");
    push(&mut catalog, &shelf.files(&extra)).expect("pushed");
    // What is copied lies in one pack with what goes next.
    for (round, gone) in extra.iter().enumerate() {
        catalog.commit(&drop_of(&catalog, &[*gone])).expect("dropped");
        let done = collect(&mut catalog, AT_ONCE).expect("collected");
        assert!(done.repacked.count > 0 && done.deleted.count > 0, "round {round}: {done:?}");
        world.check(&store, &[], &format!("round {round}"));
        shelf.assert_download(&mut catalog, &extra[round + 1..], "what goes later");
        if round % 2 == 1 {
            catalog.write_checkpoint().expect("written");
        }
        upload(&mut catalog, REPO, &[], &world.kept[..round.min(2)], &Silent).expect("touched");
        catalog.merge_runs().expect("merged");
    }
    let version = open(&catalog, world.version).expect("opens");
    let Content::File { recipe: Recipe::Inline(terms), .. } =
        version.find(b"only").expect("reads").expect("there").content
    else {
        panic!("a short recipe")
    };
    let places = catalog.state().places((&terms[0]).into());
    assert_eq!(places.len(), 5, "each round made it longer: {places:?}");
    let keys = world.kept.iter().map(|oid| (*oid, REPO)).collect();
    let planned_on = catalog.head().seq();
    let all = Drop { planned_on, keys, bundles: vec![world.version] };
    catalog.commit(&ChangeRecord::new(planned_on, Change::Drop(all), writer(), now())).expect("dropped");
    for _ in 0..3 {
        collect(&mut catalog, AT_ONCE).expect("collected");
    }
    assert!(catalog.state().forwards().is_empty(), "nothing leads through them any more");
}

/// Rows and recipes of all lengths are promised anew, by people who do not have the bytes, and new versions share old pages.
#[test]
fn what_was_repacked_is_touched_and_borrowed_from_where_it_lies_now() {
    let (world, backend) = (Holed::get(), Holed::get().whole());
    let (store, mut shelf) = (store(backend), Shelf::new());
    let mut catalog = fresh(&store).expect("opens");
    // Known and new parts in turn: more terms than a row holds.
    let base = seeded_bytes(70, 1 << 20);
    let part = |(n, part): (usize, &[u8])| [seeded_bytes(800 + n as u64, 1 << 16), part.to_vec()].concat();
    let mixed: Vec<u8> = base.chunks(1 << 16).enumerate().flat_map(part).collect();
    let (base, mixed) = (shelf.put(&base), shelf.put(&mixed));
    let gone = shelf.put(&seeded_bytes(71, 700_000));
    push(&mut catalog, &shelf.files(&[base, gone])).expect("pushed");
    push(&mut catalog, &[shelf.file(mixed, Some(base))]).expect("pushed");
    let long = |catalog: &Catalog| catalog.find(REPO, &[mixed]).expect("reads")[&mixed].clone();
    assert!(matches!(long(&catalog).recipe, Recipe::Out { .. }), "{:?}", long(&catalog));
    world.drop_some(&store);
    catalog.refresh().expect("reads");
    catalog.commit(&drop_of(&catalog, &[gone, base])).expect("dropped");
    let done = collect(&mut catalog, AT_ONCE).expect("collected");
    assert!(done.repacked.count >= 2, "{done:?}");
    let there = |catalog: &Catalog, pack: &PackId| catalog.state().packs().contains_key(pack);
    assert!(long(&catalog).packs().iter().all(|pack| there(&catalog, pack)), "found where it lies now");

    let touch = [world.kept[0], world.kept[1], mixed];
    let done = upload(&mut catalog, REPO, &[], &touch, &Silent).expect("touched");
    assert_eq!(done.receipt.oids.len(), 3, "nobody needs the bytes for it");
    assert!(matches!(long(&catalog).recipe, Recipe::Out { .. }), "written as a long one again");
    let whole = shelf.download(&mut catalog, &[mixed]);
    assert!(whole.values().all(Result::is_ok), "{whole:?}");
    // A version of files that only the store has, on pages that name packs which are gone.
    let base = open(&catalog, world.version).expect("opens").root().clone();
    let size = 2 << 20;
    let changes: BTreeMap<Vec<u8>, Option<Planned>> =
        [(b"mixed".to_vec(), planned(size, mixed)), (b"second".to_vec(), planned(400_000, world.kept[1]))]
            .into();
    let drafting = |_: &_| Draft::new(Some(base.clone()), Facts::default(), changes.clone());
    let made = upload_bundle(&mut catalog, REPO, &[], &drafting, &Silent).expect("made");
    let version = open(&catalog, made.bundle.expect("a version")).expect("opens");
    let entries = version.below(b"").expect("reads");
    assert_eq!(entries.len(), 4);
    let out = tempfile::tempdir().expect("a temporary directory");
    for entry in entries {
        let path = out.path().join(String::from_utf8(entry.path.clone()).expect("plain"));
        let wanted = wanted_at(&catalog, &entry.content, path).expect("leads somewhere").expect("a file");
        assert!(wanted.terms.iter().all(|term| there(&catalog, &term.pack)));
        fetch(&Source::of(&catalog), &[wanted], &Silent, &|_, result| result.expect("comes"));
    }
    world.check(&store, &[], "touched");
}

#[test]
fn a_store_that_is_moved_takes_its_forwards_along() {
    let (world, backend) = (Holed::get(), Holed::get().dropped());
    let from = store(backend);
    collected(&from, AT_ONCE).expect("collected");
    let to = store(memory());
    copy(&mut fresh(&from).expect("opens"), &to, &Silent).expect("copied");
    world.check(&to, &[], "the copy");
    world.settle(&to, "the copy");
    world.check(&to, &[], "the copy, collected");
}

#[test]
fn a_pack_that_cannot_be_read_stays_and_is_told() {
    let (world, backend) = (Holed::get(), Holed::get().dropped());
    let store = store(backend);
    let mut catalog = fresh(&store).expect("opens");
    let planned = plan(&catalog, AT_ONCE).expect("planned");
    let shown = planned.packs.iter().find(|it| it.unused > 0 && !it.kept).expect("one is to be emptied");
    let name = key::pack(PackKind::Data, shown.pack.parse().expect("a pack"));
    let mut bytes = store.get(&name).expect("reads").expect("there").to_vec();
    // Within the first file, which stays.
    bytes[1_000] ^= 1;
    store.overwrite(&name, bytes.into()).expect("damaged");
    let done: Collected = collect(&mut catalog, AT_ONCE).expect("collected");
    assert_eq!((done.unread, done.repacked.count, done.copied.count), (1, 0, 0));
    assert!(store.size(&name).expect("asked").is_some(), "it may be mended still");
    assert!(catalog.is_suspect(shown.pack.parse().expect("a pack")));
    // What lies elsewhere in it comes out still.
    world.shelf.assert_download(&mut fresh(&store).expect("opens"), &world.kept[1..], "the others");
}

/// What is damaged where a forward leads is damage of the files that named the old pack.
#[test]
fn damage_in_a_copy_is_found_and_mended_by_who_has_the_files() {
    let (world, backend) = (Holed::get(), Holed::get().dropped());
    let store = store(backend);
    let mut catalog = fresh(&store).expect("opens");
    collect(&mut catalog, AT_ONCE).expect("collected");
    let copies: Vec<PackId> = catalog.state().forwards().values().flatten().map(|it| it.to).collect();
    let name = key::pack(PackKind::Data, copies[0]);
    let mut bytes = store.get(&name).expect("reads").expect("there").to_vec();
    bytes[1_000] ^= 1;
    store.overwrite(&name, bytes.into()).expect("damaged");
    let found = verify(&catalog, Depth::Data(100), &Silent).expect("verified");
    assert_eq!(found.bad_packs, [copies[0]]);
    assert!(found.notes.iter().all(|note| !note.contains(&name)), "it is needed: {:?}", found.notes);
    assert!(found.problems.iter().any(|it| it.oids.contains(&world.kept[0])), "{:?}", found.problems);
    catalog.keep_in_mind(&found.bad_packs, &found.good_packs, &found.wrong);
    let damage = Damage::of(&catalog).expect("looked through");
    let hit: BTreeSet<Oid> = damage.files.keys().copied().collect();
    assert!(hit.contains(&world.kept[0]) && hit.contains(&world.only_there), "{hit:?}");
    let lost: Vec<Oid> = hit.into_iter().collect();
    let done = push(&mut catalog, &world.shelf.files(&lost)).expect("pushed");
    assert!(done.stats.stored > 1_000_000, "stored anew: {:?}", done.stats);
    world.shelf.assert_download(&mut catalog, &world.kept, "mended");
    world.check_version(&catalog, "mended");
    assert!(Damage::of(&catalog).expect("looked through").is_empty());
}

/// The real program, killed while it copies, commits or deletes.
#[test]
fn a_program_that_is_killed_while_it_repacks_is_gone_on_with() {
    let mut hit = BTreeSet::new();
    for round in 0..6_u64 {
        let root = folder();
        let store = directory(&root.path().join("store"));
        let (mut shelf, machine) = (Shelf::new(), Machine::new());
        let mut catalog = machine.create(&store).expect("made");
        let oids: Vec<Oid> = (0..24).map(|n| shelf.put(&seeded_bytes(1000 * round + n, 600_000))).collect();
        for some in oids.chunks(6) {
            push(&mut catalog, &shelf.files(some)).expect("pushed");
        }
        let (gone, kept): (Vec<_>, Vec<_>) = oids.iter().zip(0..).partition(|(_, n)| n % 2 == 0);
        let [gone, kept] = [gone, kept].map(|of| of.into_iter().map(|(oid, _)| *oid).collect::<Vec<Oid>>());
        catalog.commit(&drop_of(&catalog, &gone)).expect("dropped");
        let before = packs(&store);
        let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
        let place = root.path().join("store");
        let mut args = vec!["gc", "run", "--grace", "0", "--orphans", "0", "--max-unused", "0"];
        args.extend(["--store", place.to_str().expect("plain")]);
        let mut child = env.command("git-datamon").args(&args).stdout(Stdio::null()).spawn().expect("runs");
        // Killed as soon as a new pack is there, or so many entries, or an old pack is gone.
        let entries = |store: &Store| store.list(key::LOG, "").expect("lists").len() as u64;
        let first = entries(&store);
        while child.try_wait().expect("a child").is_none() {
            let now = packs(&store);
            let reached = match round % 3 {
                0 => now.difference(&before).next().is_some(),
                1 => entries(&store) > first,
                _ => before.difference(&now).next().is_some(),
            };
            if reached {
                let _ = child.kill();
            }
        }
        if child.wait().expect("a child").code().is_none() {
            hit.insert(round % 3);
        }
        shelf.assert_download(&mut fresh(&store).expect("opens"), &kept, "killed");
        assert_packs(&store);
        run(env.command("git-datamon").args(&args));
        run(env.command("git-datamon").args(&args));
        let table = fresh(&store).expect("opens").state().packs().keys().copied().collect();
        assert_eq!(packs(&store), table, "the store has what the log knows");
        shelf.assert_download(&mut fresh(&store).expect("opens"), &kept, "gone on with");
    }
    assert!(hit.len() >= 2, "killed at {hit:?}");
}

#[test]
fn a_share_of_dead_data_is_tolerated_and_no_more() {
    let (_, backend) = (Holed::get(), Holed::get().dropped());
    let store = store(backend);
    let share = |store: &Store| {
        let plan =
            plan(&fresh(store).expect("opens"), Limits { max_unused: None, ..AT_ONCE }).expect("planned");
        let table = fresh(store).expect("opens").state().packs().clone();
        let data = table.values().filter(|it| it.kind == PackKind::Data).map(|it| it.size).sum::<u64>();
        plan.unused_bytes * 100 / data
    };
    let dead = share(&store);
    assert!((15..60).contains(&dead), "{dead}");
    let limit = |percent: u64| Limits { max_unused: Some(percent as u8), ..AT_ONCE };
    assert_eq!(collected(&store, limit(dead + 1)).expect("collected").repacked.count, 0);
    assert_eq!(collected(&store, limit(dead - 1)).expect("collected").repacked.count, 1);
    assert_eq!(share(&store), 0);
}

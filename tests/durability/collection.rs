//! Collection beside pushes, readers and other collections: what was promised and not dropped stays, whoever freezes, dies or has
//! a wrong clock, and what was dropped goes in the end.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datamon::catalog::change::{ChangeRecord, Drop};
use datamon::catalog::log::{now, writer};
use datamon::catalog::{Catalog, CatalogError, Change};
use datamon::id::{Oid, PackId, PackKind};
use datamon::ops::collection::{Collected, Limits, NotCollected, collect, plan};
use datamon::ops::verify::{Depth, verify};
use datamon::pack::{Frame, PackWriter};
use datamon::progress::Silent;
use datamon::store::fail::{Failing, Fault};
use datamon::store::{Backend, Listed, Store, key, memory};
use datamon_test_support::{Hermetic, run, seeded_bytes};

use super::around::Around;
use super::world::{Machine, REPO, Shelf, assert_chain, assert_packs, directory, folder, fresh, push, store};

/// Nothing waits, and nothing dead is tolerated.
pub const AT_ONCE: Limits = Limits {
    grace: Duration::ZERO,
    orphans: Duration::ZERO,
    tombstones: Duration::ZERO,
    max_unused: Some(0),
    blank: false,
};

const DAY: u64 = 24 * 3600 * 1000;

pub fn drop_of(catalog: &Catalog, oids: &[Oid]) -> ChangeRecord {
    let planned_on = catalog.head().seq();
    let keys = oids.iter().map(|oid| (*oid, REPO)).collect();
    ChangeRecord::new(planned_on, Change::Drop(Drop { planned_on, keys, bundles: vec![] }), writer(), now())
}

/// A store where three of six files were dropped, each in packs of its own, and somebody left a pack that nothing names.
pub struct Dropped {
    pub shelf: Shelf,
    pub kept: Vec<Oid>,
    pub gone: Vec<Oid>,
    /// A file that nobody pushed yet.
    pub new: Oid,
    /// Sessions that began before the drop.
    seen: Mutex<Vec<Catalog>>,
}

impl Dropped {
    fn make(backend: Arc<dyn Backend>) -> Dropped {
        Dropped::with(&store(backend))
    }

    pub fn with(store: &Store) -> Dropped {
        let world = Dropped::begin(store);
        world.drop_some(store);
        world
    }

    pub fn begin(store: &Store) -> Dropped {
        let (mut shelf, machine) = (Shelf::new(), Machine::new());
        let oids: Vec<Oid> = (0..6).map(|n| shelf.put(&seeded_bytes(n, 40_000))).collect();
        let mut catalog = machine.create(store).expect("made");
        for oid in &oids {
            push(&mut catalog, &shelf.files(&[*oid])).expect("pushed");
        }
        catalog.write_checkpoint().expect("written");
        let (gone, kept) = oids.split_at(3);
        let new = shelf.put(&seeded_bytes(77, 50_000));
        let seen = Mutex::new((0..2).map(|_| fresh(store).expect("opens")).collect());
        Dropped { shelf, kept: kept.to_vec(), gone: gone.to_vec(), new, seen }
    }

    pub fn drop_some(&self, store: &Store) {
        let mut catalog = fresh(store).expect("opens");
        catalog.commit(&drop_of(&catalog, &self.gone)).expect("dropped");
        catalog.write_checkpoint().expect("written");
        orphan().put(store).expect("put");
    }

    /// Pushes the new file.
    pub fn push_new(&self, store: &Store) {
        let mut catalog = fresh(store).expect("opens");
        push(&mut catalog, &self.shelf.files(&[self.new])).expect("pushed");
    }

    /// A session that began before the drop.
    fn early(&self) -> Catalog {
        self.seen.lock().expect("no panic").pop().expect("one is left")
    }

    /// Nothing that was promised is lost, whatever else is there.
    pub fn check(&self, store: &Store, promised: &[Oid], context: &str) {
        assert_chain(store);
        let mut catalog = fresh(store).unwrap_or_else(|error| panic!("{context}: {error}"));
        self.shelf.assert_download(&mut catalog, &[&self.kept, promised].concat(), context);
        assert_packs(store);
        let found = verify(&catalog, Depth::Data(100), &Silent).expect("verified");
        assert!(found.problems.is_empty(), "{context}: {:?}", found.problems);
    }

    /// Collections without a fault come to an end at which nothing is left to do and every pack in the store is live.
    pub fn settle(&self, store: &Store, context: &str) {
        let mut catalog = fresh(store).expect("opens");
        for _ in 0..3 {
            collect(&mut catalog, AT_ONCE).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        let last = collect(&mut catalog, AT_ONCE).expect("collected");
        assert_eq!((last.condemned.count, last.deleted.count, last.forgotten), (0, 0, 0), "{context}");
        let table: BTreeSet<PackId> = catalog.state().packs().keys().copied().collect();
        assert_eq!(packs(store), table, "{context}: the store has what the log knows");
        for oid in &self.gone {
            let found = catalog.find(REPO, &[*oid]).expect("reads");
            assert!(found.is_empty(), "{context}: {oid} came back");
        }
    }
}

/// A pack that nothing names.
fn orphan() -> datamon::pack::Pack {
    let mut pack = PackWriter::new(PackKind::Data);
    pack.add(&Frame::encode(seeded_bytes(99, 1000)), vec![]);
    pack.finish()
}

pub fn packs(store: &Store) -> BTreeSet<PackId> {
    let listed = [key::DATA, key::META].map(|folder| store.list(folder, "").expect("lists"));
    listed.iter().flatten().filter_map(|it| key::pack_id(&it.key)).map(|(_, pack)| pack).collect()
}

/// What a machine that never saw the store before collects there.
pub fn collected(store: &Store, limits: Limits) -> Result<Collected, NotCollected> {
    collect(&mut fresh(store)?, limits)
}

/// A backend beside whose request number `at` something else happens, once.
pub fn beside(
    inner: Arc<dyn Backend>,
    at: u64,
    what: impl FnOnce() + Send + 'static,
) -> (Store, Arc<AtomicU64>) {
    let (served, what) = (Arc::new(AtomicU64::new(0)), Mutex::new(Some(what)));
    let count = served.clone();
    let around = Around::new(inner).before(move |_, _| {
        if count.fetch_add(1, SeqCst) == at
            && let Some(what) = what.lock().expect("no panic").take()
        {
            what();
        }
        Ok(())
    });
    (store(around.shared()), served)
}

#[test]
fn what_was_dropped_goes_and_what_was_not_stays() {
    let backend = memory();
    let world = Dropped::make(backend.clone());
    let store = store(backend);
    let before = packs(&store).len();
    let planned = plan(&fresh(&store).expect("opens"), AT_ONCE).expect("planned");
    let done = collected(&store, AT_ONCE).expect("collected");
    assert_eq!(planned.condemned, done.condemned, "it does what it says");
    assert_eq!(planned.orphans.count, 1);
    assert_eq!(done.condemned, done.deleted);
    assert!(done.deleted.count >= 4, "three files, an orphan: {done:?}");
    assert_eq!(before - packs(&store).len(), done.deleted.count as usize);
    assert_eq!(done.forgotten, done.deleted.count);
    world.check(&store, &[], "collected");
    world.settle(&store, "again");
    // Who pushes a dropped file again has it again.
    let mut catalog = fresh(&store).expect("opens");
    push(&mut catalog, &world.shelf.files(&world.gone)).expect("pushed");
    world.check(&store, &world.gone, "pushed again");
}

#[test]
fn without_a_drop_nothing_is_garbage_but_what_no_entry_names() {
    let (backend, machine, mut shelf) = (memory(), Machine::new(), Shelf::new());
    let store = store(backend);
    let mut catalog = machine.create(&store).expect("made");
    let oids: Vec<Oid> = (0..4).map(|n| shelf.put(&seeded_bytes(n, 9000))).collect();
    for oid in &oids {
        push(&mut catalog, &shelf.files(&[*oid])).expect("pushed");
    }
    let before = packs(&store);
    let done = collected(&store, AT_ONCE).expect("collected");
    assert_eq!((done.condemned.count, packs(&store)), (0, before));
    shelf.assert_download(&mut fresh(&store).expect("opens"), &oids, "nothing was dropped");
}

/// A store whose clock can be put on: what was written before it was stays as old as it was.
struct Later {
    inner: Arc<dyn Backend>,
    /// What was written later than this is so much later.
    jumps: Arc<Mutex<(u64, u64)>>,
}

impl Later {
    fn new(inner: Arc<dyn Backend>) -> Later {
        Later { inner, jumps: Arc::new(Mutex::new((u64::MAX, 0))) }
    }

    fn store(&self) -> Store {
        let jumps = self.jumps.clone();
        let clock = move |time: u64| {
            let (since, by) = *jumps.lock().expect("no panic");
            if time > since { time + by } else { time }
        };
        store(Around::new(self.inner.clone()).clock(clock).shared())
    }

    /// So much time goes by.
    fn wait(&self, by: u64) {
        let raw = store(self.inner.clone());
        let (listed, mut jumps) = (raw.list("", "").expect("lists"), self.jumps.lock().expect("no panic"));
        if jumps.0 == u64::MAX {
            jumps.0 = listed.iter().map(|it| it.modified).max().expect("some");
            while raw.clock().expect("a clock") <= jumps.0 {}
        }
        jumps.1 += by;
    }
}

#[test]
fn condemned_packs_wait_for_their_grace_and_tombstones_for_a_month() {
    let inner = memory();
    let world = Dropped::make(inner.clone());
    let later = Later::new(inner);
    let store = later.store();
    let young = collected(&store, Limits::default()).expect("collected");
    assert_eq!((young.young.count, young.deleted.count), (1, 0), "the orphan is young: {young:?}");
    assert!(young.condemned.count >= 3 && young.waiting == young.condemned, "{young:?}");
    let all = packs(&store).len();
    later.wait(DAY - 60_000);
    let early = collected(&store, Limits::default()).expect("collected");
    assert_eq!((early.condemned.count, early.deleted.count, early.waiting), (0, 0, young.waiting));
    assert_eq!(packs(&store).len(), all);
    later.wait(60_000);
    let swept = collected(&store, Limits::default()).expect("collected");
    assert_eq!((swept.deleted, swept.forgotten), (young.condemned, 0));
    world.check(&store, &[], "swept");
    later.wait(6 * DAY);
    assert_eq!(collected(&store, Limits::default()).expect("collected").condemned.count, 1, "the orphan");
    later.wait(23 * DAY - 60_000);
    assert_eq!(collected(&store, Limits::default()).expect("collected").forgotten, 0);
    later.wait(60_000);
    let last = collected(&store, Limits::default()).expect("collected");
    // The Condemn of the orphan was written when the clock was put on before: it is as old as all that was since.
    assert!(last.forgotten >= young.condemned.count, "{last:?}");
    world.check(&store, &[], "forgotten");
    world.settle(&store, "forgotten");
}

/// A run of the collection over a store that fails once, and what must hold then.
fn fail_once(fault: Fault, at: u64) -> (u64, u64) {
    let backend = memory();
    let world = Dropped::make(backend.clone());
    let failing = Arc::new(Failing::new(backend.clone(), fault, at));
    let context = format!("{fault:?} at request {at}");
    let machine = Machine::new();
    let failed = machine
        .open(&store(failing.clone()))
        .map_err(NotCollected::from)
        .and_then(|mut catalog| collect(&mut catalog, AT_ONCE))
        .err();
    let whole = store(backend);
    let context = format!("{context}: {failed:?}");
    world.check(&whole, &[], &context);
    // The same machine again, whose journal may hold what is not resolved.
    let mut again = machine.open(&whole).expect("opens");
    collect(&mut again, AT_ONCE).unwrap_or_else(|error| panic!("{context}: then {error}"));
    assert!(machine.journals(&whole).is_empty(), "{context}: a journal stays");
    world.settle(&whole, &context);
    world.check(&whole, &[], &context);
    (failing.hits(), failing.served())
}

#[test]
fn a_collection_that_fails_anywhere_loses_nothing_and_is_gone_on_with() {
    let faults =
        [Fault::Before, Fault::After, Fault::Dead, Fault::Torn, Fault::LostAnswer, Fault::FalseExists];
    let (_, reached) = fail_once(Fault::Before, u64::MAX);
    assert!(reached > 40, "{reached} requests");
    for fault in faults {
        let hits: u64 = (0..reached).map(|at| fail_once(fault, at).0).sum();
        assert!(hits > 2, "{fault:?} hit {hits} times");
    }
}

/// A push of a new file, of one that is kept and of one that is dropped just now, by a session that began before: frozen at its
/// request number `at` while another machine collects with no wait at all.
fn frozen_push(at: u64) -> u64 {
    let backend = memory();
    let whole = store(backend.clone());
    let world = Dropped::begin(&whole);
    let collector = whole.clone();
    let (slow, served) = beside(backend, at, move || {
        collected(&collector, AT_ONCE).expect("collected");
    });
    let machine = Machine::new();
    let mut catalog = machine.open(&slow).expect("opens");
    let begun = served.load(SeqCst);
    world.drop_some(&whole);
    let promised = [world.new, world.kept[0], world.gone[0]];
    let done = push(&mut catalog, &world.shelf.files(&promised)).expect("pushed, again if need be");
    assert_eq!(done.receipt.oids.len(), 3);
    let context = format!("frozen at request {at} of which {begun} are the beginning");
    world.check(&whole, &promised, &context);
    collected(&whole, AT_ONCE).expect("collected");
    world.check(&whole, &promised, &format!("{context}, collected again"));
    served.load(SeqCst)
}

#[test]
fn a_push_frozen_at_any_request_while_a_collection_runs_to_its_end_keeps_its_promise() {
    let reached = frozen_push(u64::MAX);
    assert!(reached > 10, "{reached} requests");
    for at in 0..reached {
        frozen_push(at);
    }
}

/// A collection, frozen at its request number `at` while another machine pushes (files of all kinds, among them the dropped ones)
/// and another one collects, writes a checkpoint and merges.
fn frozen_collection(at: u64) -> u64 {
    let backend = memory();
    let world = Arc::new(Dropped::make(backend.clone()));
    let (others, theirs) = (store(backend.clone()), world.clone());
    let (slow, served) = beside(backend.clone(), at, move || {
        // It touches what it saw as live: with that push it is.
        let mut catalog = theirs.early();
        push(&mut catalog, &theirs.shelf.files(&[theirs.gone[0], theirs.kept[0]])).expect("pushed");
        catalog.write_checkpoint().expect("written");
        push(&mut catalog, &theirs.shelf.files(&[theirs.new])).expect("pushed");
        catalog.write_checkpoint().expect("written");
        collected(&others, AT_ONCE).expect("collected");
        push(&mut catalog, &theirs.shelf.files(&[theirs.gone[1]])).expect("pushed");
    });
    let machine = Machine::new();
    let outcome = machine
        .open(&slow)
        .map_err(NotCollected::from)
        .and_then(|mut catalog| collect(&mut catalog, AT_ONCE).map(drop));
    assert!(!matches!(outcome, Err(NotCollected::Canary { .. })), "frozen at request {at}: {outcome:?}");
    let promised = if at < u64::MAX { vec![world.gone[0], world.gone[1], world.new] } else { vec![] };
    let context = format!("frozen at request {at}: {outcome:?}");
    let whole = store(backend);
    world.check(&whole, &promised, &context);
    collected(&whole, AT_ONCE).expect("collected");
    world.check(&whole, &promised, &format!("{context}, collected again"));
    served.load(SeqCst)
}

#[test]
fn a_collection_frozen_at_any_request_while_others_push_and_collect_takes_nothing_live() {
    let reached = frozen_collection(u64::MAX);
    assert!(reached > 40, "{reached} requests");
    for at in 0..reached {
        frozen_collection(at);
    }
}

#[test]
fn two_collections_at_once_take_the_same_and_nothing_else() {
    for _ in 0..5 {
        let backend = memory();
        let world = Dropped::make(backend.clone());
        let whole = store(backend);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| collected(&whole, AT_ONCE).expect("collected, or somebody was faster"));
            }
            scope.spawn(|| world.push_new(&whole));
        });
        world.check(&whole, &[world.new], "after the race");
        world.settle(&whole, "after the race");
    }
}

#[test]
fn a_reader_frozen_at_any_request_gets_what_is_live() {
    let reader = |at: u64| {
        let backend = memory();
        let world = Arc::new(Dropped::make(backend.clone()));
        let collector = store(backend.clone());
        let (slow, served) = beside(backend, at, move || {
            collected(&collector, AT_ONCE).expect("collected");
        });
        // With no grace at all a reader may find a table gone that it was about to read; then it looks again.
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
    assert!(reached > 8, "{reached} requests");
    for at in 0..reached {
        reader(at);
    }
}

#[test]
fn clocks_that_are_wrong_by_ten_years_cost_no_data() {
    const TEN_YEARS: u64 = 3652 * DAY;
    let clocks: [fn(u64) -> u64; 4] = [
        |time| time + TEN_YEARS,
        |time| time - TEN_YEARS,
        |_| 0,
        // It jumps with every look.
        |time| if time % 2 == 0 { time + TEN_YEARS } else { time - TEN_YEARS },
    ];
    for (n, clock) in clocks.into_iter().enumerate() {
        let backend = memory();
        let world = Arc::new(Dropped::make(backend.clone()));
        let wrong = store(Around::new(backend.clone()).clock(clock).shared());
        let (slow, _) = beside(backend.clone(), 12, move || {
            for _ in 0..4 {
                collected(&wrong, Limits::default()).expect("collected");
            }
        });
        let mut catalog = fresh(&slow).expect("opens");
        push(&mut catalog, &world.shelf.files(&[world.new, world.gone[2]])).expect("pushed");
        let whole = store(backend);
        world.check(&whole, &[world.new, world.gone[2]], &format!("clock {n}"));
    }
}

#[test]
fn a_session_from_before_a_forget_begins_again() {
    let backend = memory();
    let world = Dropped::make(backend.clone());
    let whole = store(backend.clone());
    let old = fresh(&whole).expect("opens");
    let record = drop_of(&old, &world.kept[..1]);
    let mut late = fresh(&whole).expect("opens");
    let done = collected(&whole, AT_ONCE).expect("collected");
    assert!(done.forgotten > 0);
    let error = late.commit(&record).expect_err("its base is below the floor").to_string();
    assert!(error.contains("before the floor"), "{error}");
    world.check(&whole, &[], "nothing was dropped");
}

#[test]
fn a_listing_that_fails_or_lacks_something_deletes_nothing() {
    let backend = memory();
    let world = Dropped::make(backend.clone());
    let before = packs(&store(backend.clone()));
    // One that leaves out half of the packs.
    let short = |listed: Vec<Listed>| -> Vec<Listed> {
        let odd = |it: &Listed| key::pack_id(&it.key).is_none_or(|(_, pack)| pack.as_bytes()[15] % 2 == 1);
        listed.into_iter().filter(odd).collect()
    };
    let around = Around::new(backend.clone()).lists(short);
    let outcome = collected(&store(around.shared()), AT_ONCE);
    let whole = store(backend);
    world.check(&whole, &[], &format!("half a listing: {outcome:?}"));
    // What was left out of it is not deleted, and what is needed was asked for by name.
    let left = packs(&whole);
    assert!(before.difference(&left).all(|pack| pack.as_bytes()[15] % 2 == 1));
    world.settle(&whole, "then all of it");
}

#[test]
fn a_store_that_lacks_what_is_live_is_not_swept() {
    let backend = memory();
    let world = Dropped::make(backend.clone());
    let whole = store(backend);
    let row = fresh(&whole).expect("opens").find(REPO, &world.kept[..1]).expect("reads");
    let pack = *row[&world.kept[0]].packs().first().expect("one");
    whole.delete(&key::pack(PackKind::Data, pack)).expect("deleted by somebody");
    let before = packs(&whole);
    let error = collected(&whole, AT_ONCE).expect_err("something is missing");
    assert!(matches!(error, NotCollected::Canary { .. }), "{error}");
    assert!(error.to_string().contains(&pack.to_string()), "{error}");
    assert_eq!(packs(&whole), before, "nothing was deleted");
    // Who has been told by fsck goes on.
    let mut catalog = fresh(&whole).expect("opens");
    catalog.suspect([pack]);
    assert!(collect(&mut catalog, AT_ONCE).expect("collected").deleted.count > 0);
    world.shelf.assert_download(&mut fresh(&whole).expect("opens"), &world.kept[1..], "the others");
}

#[test]
fn what_is_not_ours_stays_and_half_written_files_go_in_their_time() {
    let root = folder();
    let store = directory(&root.path().join("store"));
    let world = Dropped::with(&store);
    let half = root.path().join("store").join(format!("{}#1", key::pack(PackKind::Data, PackId::new())));
    std::fs::create_dir_all(half.parent().expect("has one")).expect("made");
    std::fs::write(&half, b"half a pack").expect("written");
    let note = root.path().join("store/data/README");
    std::fs::write(&note, b"hands off").expect("written");
    let young = collected(&store, Limits { grace: Duration::ZERO, ..Limits::default() }).expect("collected");
    assert_eq!((young.unfinished.count, young.young.count), (0, 1), "both are young");
    assert!(half.exists());
    let done = collected(&store, AT_ONCE).expect("collected");
    assert_eq!((done.unfinished.count, done.unfinished.bytes), (1, 11));
    assert!(!half.exists() && note.exists());
    world.check(&store, &[], "a directory");
    world.settle(&store, "a directory");
}

/// The real program, killed while it deletes.
#[test]
fn a_program_that_is_killed_while_it_deletes_is_gone_on_with() {
    let mut hit = false;
    for round in 0..4 {
        let root = folder();
        let store = directory(&root.path().join("store"));
        let (mut shelf, machine) = (Shelf::new(), Machine::new());
        let oids: Vec<Oid> = (0..70).map(|n| shelf.put(&seeded_bytes(1000 * round + n, 3_000))).collect();
        let mut catalog = machine.create(&store).expect("made");
        for oid in &oids {
            push(&mut catalog, &shelf.files(&[*oid])).expect("pushed");
        }
        let (gone, kept) = oids.split_at(60);
        catalog.commit(&drop_of(&catalog, gone)).expect("dropped");
        let before = packs(&store).len();
        let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
        let place = root.path().join("store");
        let args = ["gc", "run", "--grace", "0", "--orphans", "0", "--store", place.to_str().expect("plain")];
        let mut child = env.command("git-datamon").args(args).stdout(Stdio::null()).spawn().expect("runs");
        while child.try_wait().expect("a child").is_none() {
            if packs(&store).len() + 5 * (round as usize) < before {
                let _ = child.kill();
            }
        }
        let left = packs(&store).len();
        hit |= left < before && left + 55 > before;
        shelf.assert_download(&mut fresh(&store).expect("opens"), kept, "killed");
        assert_packs(&store);
        run(env.command("git-datamon").args(args));
        let table = fresh(&store).expect("opens").state().packs().keys().copied().collect();
        assert_eq!(packs(&store), table, "the store has what the log knows");
        shelf.assert_download(&mut fresh(&store).expect("opens"), kept, "gone on with");
    }
    assert!(hit, "no program was killed in the middle");
}

#[test]
fn what_a_newer_version_wrote_is_not_collected() {
    let backend = memory();
    let world = Dropped::make(backend.clone());
    let whole = store(backend);
    let mut catalog = fresh(&whole).expect("opens");
    let mut record = drop_of(&catalog, &[]);
    record.flags = vec!["of-a-newer-version".to_owned()];
    catalog.commit(&record).expect("landed");
    let before = packs(&whole);
    let error = collected(&whole, AT_ONCE).expect_err("refused");
    assert!(matches!(error, NotCollected::Catalog(CatalogError::Refused(_))), "{error}");
    assert_eq!(packs(&whole), before);
    world.check(&whole, &[], "left alone");
}

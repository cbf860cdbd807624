//! Mirrors over the library: whatever fails on the way, the next run makes the copy whole, and nothing that the log needs is removed.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use datamon::id::Oid;
use datamon::ops::collection::collect;
use datamon::ops::mirror::{Compare, NotMirrored, Promoted, Synced, promote, standing, sync};
use datamon::ops::verify::{Depth, verify};
use datamon::progress::Silent;
use datamon::store::fail::{Failing, Fault};
use datamon::store::{BackendError, Failure, Settings, Store, StoreUrl, key, memory};
use datamon_test_support::seeded_bytes;

use super::around::{Around, Verb};
use super::collection::{AT_ONCE, Dropped, drop_of};
use super::world::{Machine, Shelf, assert_chain, directory, folder, fresh, push, store};

fn place() -> Store {
    Store::over(StoreUrl::parse("memory:mirror").expect("a URL"), memory()).without_waits()
}

/// The packs and the log of a place.
fn content(place: &Store) -> BTreeMap<String, Vec<u8>> {
    let listed = place.list("", "").expect("lists").into_iter().map(|it| it.key);
    let ours = listed.filter(|key| key::pack_id(key).is_some() || key::log_seq(key).is_some());
    ours.map(|key| (key.clone(), place.get(&key).expect("reads").expect("listed").to_vec())).collect()
}

/// The packs that the log of a store names, and the log.
fn named(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let catalog = fresh(store).expect("opens");
    let packs = catalog.state().packs();
    let is_named = |key: &str| key::pack_id(key).is_none_or(|(_, pack)| packs.contains_key(&pack));
    content(store).into_iter().filter(|(key, _)| is_named(key)).collect()
}

fn synced(from: &Store, to: &Store) -> Synced {
    sync(&mut fresh(from).expect("opens"), to, Compare::New, &Silent).expect("synced")
}

/// Another place with the same objects.
fn twin(of: &Store) -> Store {
    let twin = Store::over(of.url().clone(), memory()).without_waits();
    for key in of.list("", "").expect("lists").into_iter().map(|it| it.key) {
        let bytes = of.get(&key).expect("reads").expect("listed");
        twin.overwrite(&key, bytes.into()).expect("copied");
    }
    twin
}

/// Everything that the store at a place promises is there.
#[track_caller]
fn assert_whole(place: &Store, context: &str) {
    let found = verify(&fresh(place).expect(context), Depth::Files, &Silent).expect(context);
    assert!(found.problems.is_empty(), "{context}: {:?}", found.problems);
}

#[test]
fn what_was_collected_leaves_a_mirror_when_the_log_forgets_it() {
    let (from, to) = (store(memory()), place());
    let _world = Dropped::with(&from);
    let first = synced(&from, &to);
    assert!(first.lacking.is_empty() && first.objects > 6);
    assert_eq!(named(&from), content(&to));
    let before = content(&to).len();
    let mut removed = 0;
    for _ in 0..6 {
        collect(&mut fresh(&from).expect("opens"), AT_ONCE).expect("collected");
        removed += synced(&from, &to).removed;
    }
    assert!(removed > 0, "nothing was forgotten");
    assert_eq!(named(&from), content(&to));
    assert!(content(&to).keys().filter(|key| key::pack_id(key).is_some()).count() < before);
    let standing = standing(&fresh(&from).expect("opens"), &to).expect("a mirror");
    assert_eq!((standing.behind, standing.head), (0, Some(fresh(&from).expect("opens").head().seq())));
}

#[test]
fn a_copy_that_failed_at_any_request_is_made_whole_by_the_next() {
    let (from, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let mut catalog = machine.create(&from).expect("made");
    let mut oids = Vec::new();
    for n in 0..3 {
        oids.push(shelf.put(&seeded_bytes(n, 30_000)));
        push(&mut catalog, &shelf.files(&oids[oids.len() - 1..])).expect("pushed");
    }
    let mut hits = 0;
    for fault in [
        Fault::Before,
        Fault::After,
        Fault::Dead,
        Fault::Torn,
        Fault::Flipped(401),
        Fault::LostAnswer,
        Fault::FalseExists,
    ] {
        for side in ["from", "to"] {
            for at in 0.. {
                let to = place();
                let failing = |of: &Store| {
                    let failing = Arc::new(Failing::new(of.backend(), fault, at));
                    (Store::over(of.url().clone(), failing.clone()).without_waits(), failing)
                };
                let ((source, failing), target) = match side {
                    "from" => (failing(&from), to.clone()),
                    _ => {
                        let (target, failing) = failing(&to);
                        ((from.clone(), failing), target)
                    }
                };
                let done =
                    fresh(&source).ok().map(|mut catalog| sync(&mut catalog, &target, Compare::New, &Silent));
                if failing.hits() == 0 {
                    break;
                }
                hits += 1;
                if let Some(Ok(done)) = &done {
                    assert!(done.lacking.is_empty(), "{fault:?} {side} {at}");
                }
                sync(&mut fresh(&from).expect("opens"), &to, Compare::New, &Silent).expect("synced");
                assert_eq!(named(&from), content(&to), "{fault:?} {side} {at}");
                assert_eq!(to.list(key::LACKING, "").expect("lists"), [], "{fault:?} {side} {at}");
            }
        }
    }
    assert!(hits > 100, "{hits} faults");
}

#[test]
fn a_copy_that_reads_wrong_bytes_takes_nothing_for_another_log() {
    let (from, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let mut catalog = machine.create(&from).expect("made");
    let oids: Vec<_> = (0..4).map(|n| shelf.put(&seeded_bytes(n, 30_000))).collect();
    push(&mut catalog, &shelf.files(&oids[..2])).expect("pushed");
    let before = place();
    synced(&from, &before);
    push(&mut catalog, &shelf.files(&oids[2..])).expect("pushed");
    let mut hits = 0;
    for (side, bit) in [("from", 3), ("from", 900), ("to", 3), ("to", 900)] {
        for at in 0.. {
            let to = twin(&before);
            let failing = |of: &Store| {
                let failing = Arc::new(Failing::new(of.backend(), Fault::Flipped(bit), at));
                (Store::over(of.url().clone(), failing.clone()).without_waits(), failing)
            };
            let ((one, failing), is_from) =
                if side == "from" { (failing(&from), true) } else { (failing(&to), false) };
            let (source, target) = if is_from { (one, to.clone()) } else { (from.clone(), one) };
            let done =
                fresh(&source).ok().map(|mut catalog| sync(&mut catalog, &target, Compare::New, &Silent));
            if failing.hits() == 0 && failing.served() <= at {
                break;
            }
            hits += failing.hits();
            let lies = matches!(
                done,
                Some(Err(NotMirrored::Diverged { .. }
                    | NotMirrored::NotEmpty { .. }
                    | NotMirrored::IsStore { .. }))
            );
            assert!(!lies, "{side} {at}: {done:?}");
            synced(&from, &to);
            assert_eq!(named(&from), content(&to), "{side} {at}");
        }
    }
    assert!(hits > 12, "{hits} faults");
}

#[test]
fn no_entry_is_built_on_what_only_a_mirror_can_read() {
    let (root, mut shelf) = (folder(), Shelf::new());
    let (from, to) = (directory(&root.path().join("store")), directory(&root.path().join("mirror")));
    let oid = shelf.put(&seeded_bytes(1, 20_000));
    // It has seen the head, so that it need not list the log before it writes.
    let machine = Machine::new();
    push(&mut machine.create(&from).expect("made"), &shelf.files(&[oid])).expect("pushed");
    synced(&from, &to);
    let settings = Settings { mirrors: vec![(to.url().clone(), Settings::default())], ..Settings::default() };
    let store = Store::open_to_read(from.url(), &settings).expect("opens").without_waits();
    let mut catalog = machine.open(&store).expect("opens");
    let head = key::log(catalog.head().seq());
    let newest = root.path().join("store").join(&head);
    fs::remove_file(&newest).expect("removed");
    std::os::unix::fs::symlink(&newest, &newest).expect("what cannot be read");
    assert!(store.get(&head).expect("the mirror has it").is_some() && store.silence().is_none());
    let new = shelf.put(b"something new");
    push(&mut catalog, &shelf.files(&[new])).expect_err("nobody may follow it");
    assert_eq!(from.get(&key::log(catalog.head().seq() + 1)).expect("reads"), None);
}

#[test]
fn a_mirror_without_its_hint_is_known_by_its_entries() {
    let (from, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let mut catalog = machine.create(&from).expect("made");
    let oids: Vec<_> = (0..7).map(|n| shelf.put(&seeded_bytes(n, 30_000))).collect();
    oids[..3].iter().for_each(|oid| drop(push(&mut catalog, &shelf.files(&[*oid])).expect("pushed")));
    // Two that know less than the mirror: one was rolled back, one was and went on.
    let (rolled_back, other) = (twin(&from), twin(&from));
    push(&mut fresh(&other).expect("opens"), &shelf.files(&oids[6..])).expect("pushed");
    oids[3..6].iter().for_each(|oid| drop(push(&mut catalog, &shelf.files(&[*oid])).expect("pushed")));
    let whole = place();
    synced(&from, &whole);
    let newest = catalog.head().seq();
    // Whatever else of the log is lost with the hint, as long as one entry is left that the others have not.
    for lost in (0..=newest).map(Some).chain([None]) {
        let to = twin(&whole);
        to.delete(key::HEAD).expect("lost");
        lost.iter().for_each(|seq| to.delete(&key::log(*seq)).expect("lost"));
        let before = content(&to);
        for from in [&rolled_back, &other] {
            let done = sync(&mut fresh(from).expect("opens"), &to, Compare::New, &Silent);
            assert!(matches!(done, Err(NotMirrored::Diverged { .. })), "{lost:?}: {done:?}");
            assert_eq!(content(&to), before, "{lost:?}");
        }
        // It was complete once, and can become a store, which begins where the mirror ended.
        let stands = standing(&fresh(&from).expect("opens"), &to).expect("a mirror");
        assert_eq!(stands.head, Some(newest - u64::from(lost == Some(newest))), "{lost:?}");
        let promoted = twin(&to);
        promote(&promoted).expect("promoted");
        assert_eq!(Some(fresh(&promoted).expect("opens").head().seq()), stands.head, "{lost:?}");
        if lost.is_none_or(|lost| lost == newest) {
            assert_whole(&promoted, "without its hint");
        }
        synced(&from, &to);
        assert_eq!(content(&to), content(&whole), "{lost:?}");
        assert_eq!(to.get(key::HEAD).expect("reads"), whole.get(key::HEAD).expect("reads"), "{lost:?}");
        assert_eq!(to.list(key::LACKING, "").expect("lists"), [], "{lost:?}");
    }
}

#[test]
fn a_first_copy_that_was_killed_is_not_taken_for_one_that_lost_its_hint() {
    let (from, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let mut catalog = machine.create(&from).expect("made");
    for n in 0..3 {
        let oid = shelf.put(&seeded_bytes(n, 30_000));
        push(&mut catalog, &shelf.files(&[oid])).expect("pushed");
    }
    let mut with_entries = 0;
    for at in 0.. {
        let to = place();
        let dying = Arc::new(Failing::new(to.backend(), Fault::Dead, at));
        let target = Store::over(to.url().clone(), dying).without_waits();
        if sync(&mut fresh(&from).expect("opens"), &target, Compare::New, &Silent).is_ok() {
            break;
        }
        if to.get(key::HEAD).expect("reads").is_some() {
            continue;
        }
        with_entries += usize::from(content(&to).keys().any(|key| key::log_seq(key).is_some()));
        let stands = standing(&fresh(&from).expect("opens"), &to);
        let gone = content(&to).is_empty() && matches!(stands, Err(NotMirrored::Gone { .. }));
        assert!(gone || stands.is_ok_and(|it| it.head.is_none()), "{at}");
        let error = promote(&to).expect_err("it is not complete");
        let gone = gone || matches!(error, NotMirrored::None { .. });
        assert!(gone || matches!(error, NotMirrored::Unfinished { .. }), "{at}: {error}");
    }
    assert!(with_entries > 3, "{with_entries}");
}

/// A store, a mirror of it as it is before a copy, and what that compares.
struct Scene {
    name: &'static str,
    from: Store,
    mirror: Store,
    compare: Compare,
}

/// Files that are pushed one after the other.
struct Files {
    shelf: Shelf,
    oids: Vec<Oid>,
}

impl Files {
    fn new() -> Files {
        let mut shelf = Shelf::new();
        let oids = (0..6).map(|n| shelf.put(&seeded_bytes(n, 9_000))).collect();
        Files { shelf, oids }
    }

    fn push(&self, to: &Store, which: std::ops::Range<usize>) {
        for oid in &self.oids[which] {
            push(&mut fresh(to).expect("opens"), &self.shelf.files(&[*oid])).expect("pushed");
        }
    }

    fn store(&self) -> Store {
        let from = store(memory());
        Machine::new().create(&from).expect("made");
        self.push(&from, 0..3);
        from
    }

    /// Drops a file, and everything that goes with it.
    fn collect(&self, from: &Store, which: usize) {
        let mut catalog = fresh(from).expect("opens");
        catalog.commit(&drop_of(&catalog, &self.oids[which..=which])).expect("dropped");
        let last =
            (0..4).map(|_| collect(&mut fresh(from).expect("opens"), AT_ONCE).expect("collected").forgotten);
        assert!(last.sum::<u64>() > 0, "nothing was forgotten");
    }

    /// Everything that a copy meets.
    fn scenes(&self) -> Vec<Scene> {
        let mirrored = |from: &Store| {
            let mirror = place();
            synced(from, &mirror);
            mirror
        };
        let scene = |name, from: Store, mirror: Store, compare| Scene { name, from, mirror, compare };
        let mut scenes = Vec::new();
        let from = self.store();
        let mirror = mirrored(&from);
        scenes.push(scene("nothing new", twin(&from), twin(&mirror), Compare::Sizes));
        scenes.push(scene("read back", twin(&from), twin(&mirror), Compare::Bytes));
        self.push(&from, 3..5);
        scenes.push(scene("behind", from.clone(), twin(&mirror), Compare::New));
        mirror.delete(key::HEAD).expect("lost");
        scenes.push(scene("without its hint", from, mirror, Compare::New));

        let from = self.store();
        let mirror = mirrored(&from);
        self.collect(&from, 0);
        scenes.push(scene("something is forgotten", from, mirror, Compare::New));

        let from = self.store();
        let mirror = mirrored(&from);
        self.push(&from, 3..4);
        self.collect(&from, 3);
        scenes.push(scene("something came and went", from, mirror, Compare::New));

        let from = self.store();
        let mirror = mirrored(&from);
        for key in mirror.list(key::LOG, "").expect("lists").into_iter().map(|it| it.key) {
            mirror.delete(&key).expect("never written");
        }
        self.collect(&from, 0);
        scenes.push(scene("a first copy was killed", from, mirror, Compare::New));
        scenes
    }
}

#[test]
fn a_mirror_that_becomes_a_store_while_it_is_copied_to_loses_nothing() {
    let files = Arc::new(Files::new());
    let (mut ends, mut promotions) = (0, 0);
    for Scene { name, from, mirror, compare } in files.scenes() {
        // Somebody makes a store of it before this request of the copy, and pushes and collects there before that one.
        for (at, later) in (0_u64..).flat_map(|at| [0, 1, 4, u64::MAX].map(move |later| (at, later))) {
            let then = at.saturating_add(later);
            let context = format!("{name}: a store at {at}, pushed to at {then}");
            let (to, served) = (twin(&mirror), Arc::new(AtomicU64::new(0)));
            let promoted: Arc<Mutex<Option<Promoted>>> = Arc::default();
            let go_on = {
                let (to, files) = (to.clone(), files.clone());
                // A new file, and one that the other store has given up.
                move || {
                    files.push(&to, 5..6);
                    files.push(&to, 0..1);
                    // Where something is missing, and is said to, it may refuse.
                    drop(collect(&mut fresh(&to).expect("opens"), AT_ONCE));
                }
            };
            let around = |of: &Store| {
                let (served, promoted, to, go_on) =
                    (served.clone(), promoted.clone(), to.clone(), go_on.clone());
                let before = move |_, _: &str| {
                    let now = served.fetch_add(1, SeqCst);
                    if now == at {
                        *promoted.lock().expect("no panic") = promote(&to).ok();
                    }
                    if now == then && promoted.lock().expect("no panic").is_some() {
                        go_on();
                    }
                    Ok(())
                };
                Store::over(of.url().clone(), Around::new(of.backend()).before(before).shared())
                    .without_waits()
            };
            let done = sync(&mut fresh(&around(&from)).expect("opens"), &around(&to), compare, &Silent);
            let served = served.load(SeqCst);
            if at >= served {
                break;
            }
            let Some(promoted) = *promoted.lock().expect("no panic") else {
                assert!(done.is_ok(), "{context}: {done:?}");
                continue;
            };
            promotions += 1;
            if then >= served {
                ends += 1;
                // What came and went is missing from a log that ends between the two, and the store says so.
                if !promoted.lacking {
                    assert_whole(&to, &context);
                }
                go_on();
            }
            assert!(matches!(done, Ok(_) | Err(NotMirrored::IsStore { .. })), "{context}: {done:?}");
            assert_chain(&to);
            if !(promoted.lacking && name == "something came and went") {
                assert_whole(&to, &context);
            }
        }
    }
    assert!(promotions > 300 && ends > 10, "{promotions} promotions, {ends} of them at the end");
}

#[test]
fn packs_of_which_the_log_says_nothing_stay_in_a_mirror() {
    let files = Files::new();
    let from = files.store();
    let (to, rolled_back) = (place(), twin(&from));
    synced(&from, &to);
    // A copy brought packs and died before the entry that names them; then the store was rolled back.
    files.push(&from, 3..4);
    let dying = Around::new(to.backend()).before(|verb, key| match verb {
        Verb::Create if key.starts_with(key::LOG) => {
            Err(BackendError { failure: Failure::Denied, message: "killed".to_owned() })
        }
        _ => Ok(()),
    });
    let dying = Store::over(to.url().clone(), dying.shared()).without_waits();
    sync(&mut fresh(&from).expect("opens"), &dying, Compare::New, &Silent).expect_err("it dies");
    let before = content(&to);
    assert_ne!(before, named(&rolled_back));
    sync(&mut fresh(&rolled_back).expect("opens"), &to, Compare::Sizes, &Silent).expect("synced");
    assert_eq!(content(&to), before, "the only copy of a push that was acknowledged");
    synced(&from, &to);
    assert_eq!(content(&to), named(&from));
}

/// Something other than what was written.
fn harm(to: &Store, key: &str, how: &str) {
    let whole = to.get(key).expect("reads").expect("there");
    let bytes = match how {
        "gone" => return to.delete(key).expect("lost"),
        "flip" => {
            let mut bytes = whole.to_vec();
            bytes[whole.len() / 2] ^= 1;
            bytes
        }
        _ => whole[..whole.len() / 2].to_vec(),
    };
    to.overwrite(key, bytes.into()).expect("harmed");
}

fn verified(from: &Store, to: &Store) -> Result<Synced, NotMirrored> {
    sync(&mut fresh(from).expect("opens"), to, Compare::Bytes, &Silent)
}

#[test]
fn whatever_is_damaged_in_a_mirror_is_mended_from_the_store() {
    let files = Files::new();
    let from = files.store();
    let whole = place();
    synced(&from, &whole);
    let all: Vec<String> = whole.list("", "").expect("lists").into_iter().map(|it| it.key).collect();
    let is_lost = |how: &str, key: &str| how == "gone" && key == key::MIRROR;
    for how in ["gone", "flip", "cut"] {
        for key in all.iter().filter(|key| !is_lost(how, key)) {
            let to = twin(&whole);
            harm(&to, key, how);
            let done = verified(&from, &to).unwrap_or_else(|error| panic!("{key} {how}: {error}"));
            assert_eq!((content(&to), done.lacking.len()), (content(&whole), 0), "{key} {how}");
            assert_eq!(
                to.get(key::MIRROR).expect("reads"),
                whole.get(key::MIRROR).expect("reads"),
                "{key} {how}"
            );
            let told = done.mended.iter().any(|(name, _)| name == key) || done.objects > 0;
            assert!(told || key == key::HEAD, "{key} {how}: {done:?}");
            let again = verified(&from, &to).expect("whole");
            assert_eq!((again.objects, again.mended.len()), (0, 0), "{key} {how}");
        }
        // All of it at once, but what says that it is a mirror.
        let to = twin(&whole);
        all.iter().filter(|key| **key != key::MIRROR).for_each(|key| harm(&to, key, how));
        verified(&from, &to).expect("mended");
        assert_eq!(content(&to), content(&whole), "{how}");
    }
}

#[test]
fn what_neither_has_whole_stays_as_it_is_and_is_told_until_the_store_has_it() {
    let files = Files::new();
    let from = files.store();
    let whole = place();
    synced(&from, &whole);
    for key in content(&whole).into_keys() {
        // The newest entry is what the store is opened by.
        if key == key::log(fresh(&from).expect("opens").head().seq()) {
            continue;
        }
        let (to, store) = (twin(&whole), twin(&from));
        let mut catalog = fresh(&store).expect("opens");
        harm(&to, &key, "flip");
        harm(&store, &key, "cut");
        let before = content(&to);
        let is_told = |done: &Synced| done.lacking.iter().map(|(name, _)| name).eq([&key]);
        let done = sync(&mut catalog, &to, Compare::Bytes, &Silent).expect("verified");
        assert!(is_told(&done) && done.mended.is_empty(), "{key}: {done:?}");
        assert_eq!(content(&to), before, "{key}");
        assert!(standing(&catalog, &to).expect("a mirror").lacking, "{key}");
        // What looks at sizes only says so still.
        let done = sync(&mut catalog, &to, Compare::New, &Silent).expect("synced");
        assert!(is_told(&done), "{key}: {done:?}");
        assert_eq!(content(&to), before, "{key}");
        store.overwrite(&key, whole.get(&key).expect("reads").expect("there").into()).expect("healed");
        let done = sync(&mut catalog, &to, Compare::New, &Silent).expect("synced");
        assert_eq!((done.mended.len(), done.lacking.len()), (1, 0), "{key}");
        assert_eq!(content(&to), content(&whole), "{key}");
        assert!(!standing(&catalog, &to).expect("a mirror").lacking, "{key}");
    }
}

#[test]
fn a_mirror_that_knows_more_is_not_mended_by_a_store_that_was_rolled_back() {
    let files = Files::new();
    let from = files.store();
    let (to, rolled_back, other) = (place(), twin(&from), twin(&from));
    files.push(&from, 3..5);
    files.push(&other, 5..6);
    files.push(&other, 3..5);
    synced(&from, &to);
    let newest = fresh(&from).expect("opens").head().seq();
    for seq in 0..=newest {
        for how in ["flip", "cut", "gone"] {
            let to = twin(&to);
            harm(&to, &key::log(seq), how);
            let before = content(&to);
            for from in [&rolled_back, &other] {
                let done = verified(from, &to);
                assert!(matches!(done, Err(NotMirrored::Diverged { .. })), "{seq} {how}: {done:?}");
                assert_eq!(content(&to), before, "{seq} {how}");
            }
        }
    }
}

#[test]
fn a_mending_that_failed_at_any_request_lost_nothing_and_is_ended_by_the_next() {
    let files = Files::new();
    let from = files.store();
    let whole = place();
    synced(&from, &whole);
    let damaged = twin(&whole);
    for (n, key) in content(&whole).into_keys().enumerate() {
        harm(&damaged, &key, ["flip", "cut"][n % 2]);
    }
    let mut hits = 0;
    for fault in [
        Fault::Before,
        Fault::After,
        Fault::Dead,
        Fault::Torn,
        Fault::Flipped(401),
        Fault::LostAnswer,
        Fault::FalseExists,
        Fault::Twice,
    ] {
        for side in ["from", "to"] {
            for at in 0.. {
                let to = twin(&damaged);
                let failing = |of: &Store| {
                    let failing = Arc::new(Failing::new(of.backend(), fault, at));
                    (Store::over(of.url().clone(), failing.clone()).without_waits(), failing)
                };
                let is_from = side == "from";
                let (one, failing) = failing(if is_from { &from } else { &to });
                let (source, target) = if is_from { (one, to.clone()) } else { (from.clone(), one) };
                let done = fresh(&source)
                    .ok()
                    .map(|mut catalog| sync(&mut catalog, &target, Compare::Bytes, &Silent));
                if failing.hits() == 0 && failing.served() <= at {
                    break;
                }
                hits += failing.hits();
                let context = format!("{fault:?} {side} {at}");
                if let Some(Ok(done)) = &done {
                    assert!(done.lacking.is_empty(), "{context}: {done:?}");
                }
                assert!(!matches!(done, Some(Err(NotMirrored::Diverged { .. }))), "{context}: {done:?}");
                // What is there is as it was before, or as it should be.
                for (key, bytes) in content(&damaged) {
                    let now = to.get(&key).expect("reads").map(|it| it.to_vec());
                    let should = whole.get(&key).expect("reads").map(|it| it.to_vec());
                    assert!(now == should || now == Some(bytes), "{context}: {key}");
                }
                verified(&from, &to).unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(content(&to), content(&whole), "{context}");
                assert_eq!(to.list(key::LACKING, "").expect("lists"), [], "{context}");
            }
        }
    }
    assert!(hits > 200, "{hits} faults");
}

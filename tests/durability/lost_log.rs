//! Objects of the log that are gone or damaged, put back byte for byte: from the entries round them, from a mirror, from a machine that saw
//! them. What nothing proves is left alone.

use bytes::Bytes;
use datamon::catalog::change::Drop;
use datamon::catalog::healing::{Proven, find, put_back};
use datamon::catalog::{Change, Entry};
use datamon::id::Oid;
use datamon::ops::mirror::{Compare, sync};
use datamon::progress::Silent;
use datamon::store::{Store, StoreUrl, key, memory};
use datamon_test_support::seeded_bytes;

use super::world::{Machine, Shelf, assert_chain, fresh, push, store};

/// A log with two checkpoints in it, and the machine that wrote it.
struct World {
    objects: Vec<(String, Bytes)>,
    entries: u64,
    machine: Machine,
    shelf: Shelf,
    /// A file that nobody has pushed.
    new: [Oid; 1],
}

impl World {
    fn new() -> World {
        let (store, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
        let mut catalog = machine.create(&store).expect("made");
        for n in 0..9 {
            let oid = shelf.put(&seeded_bytes(n, 2_000));
            push(&mut catalog, &shelf.files(&[oid])).expect("pushed");
            if n % 3 == 2 && n < 8 {
                assert!(catalog.write_checkpoint().expect("written"));
            }
        }
        let listed = store.list("", "").expect("lists");
        let objects =
            listed.iter().map(|it| (it.key.clone(), store.get(&it.key).expect("reads").expect("there")));
        World {
            objects: objects.collect(),
            entries: assert_chain(&store),
            machine,
            new: [shelf.put(b"something new")],
            shelf,
        }
    }

    fn store(&self) -> Store {
        let store = store(memory());
        self.fill(&store);
        store
    }

    fn mirror(&self) -> Store {
        let mirror = Store::over(StoreUrl::parse("memory:mirror").expect("a URL"), memory()).without_waits();
        self.fill(&mirror);
        let identity = mirror.get(key::STORE).expect("reads").expect("there");
        mirror.overwrite(key::MIRROR, identity.into()).expect("memory");
        mirror.delete(key::STORE).expect("memory");
        mirror
    }

    fn fill(&self, store: &Store) {
        for (name, bytes) in &self.objects {
            store.overwrite(name, bytes.clone().into()).expect("memory");
        }
    }

    fn newest(&self) -> u64 {
        self.entries - 1
    }

    /// Who never saw the store looks for what is lost, with these copies, and puts it back.
    fn healed(&self, store: &Store, machine: &Machine, copies: &[Store]) -> Vec<Proven> {
        let found = find(store, &machine.cache(store), copies).expect("looked through");
        put_back(store, &found).expect("put back");
        found
    }

    #[track_caller]
    fn assert_whole(&self, store: &Store, context: &str) {
        for (name, bytes) in self.objects.iter().filter(|(name, _)| key::log_seq(name).is_some()) {
            assert_eq!(store.get(name).expect("reads").as_ref(), Some(bytes), "{context}: {name}");
        }
        assert_eq!(assert_chain(store), self.entries, "{context}");
    }
}

fn harm(store: &Store, seq: u64, how: &str) {
    let name = key::log(seq);
    let mut bytes = store.get(&name).expect("reads").expect("there").to_vec();
    match how {
        "gone" => return store.delete(&name).expect("deleted"),
        "cut" => bytes.truncate(bytes.len() / 2),
        "empty" => bytes.clear(),
        "version" => bytes[6] ^= 2,
        "provisional" => bytes[6] = 0,
        "length" => bytes[9] ^= 1,
        _ => *bytes.last_mut().expect("some") ^= 1,
    }
    store.overwrite(&name, bytes.into()).expect("memory");
}

const HARMS: [&str; 7] = ["gone", "cut", "empty", "version", "provisional", "length", "flip"];

#[test]
fn an_entry_is_written_again_from_those_round_it() {
    let world = World::new();
    for seq in 0..world.newest() {
        for how in HARMS {
            let (store, context) = (world.store(), format!("entry {seq} {how}"));
            harm(&store, seq, how);
            assert_eq!(world.healed(&store, &Machine::new(), &[]).len(), 1, "{context}");
            world.assert_whole(&store, &context);
            assert_eq!(world.healed(&store, &Machine::new(), &[]), [], "{context}: done twice");
        }
    }
}

#[test]
fn several_in_a_row_are_proven_by_the_one_after_them_or_come_from_a_mirror() {
    let world = World::new();
    let mut alone = 0;
    for first in 0..world.newest() {
        for last in first + 1..world.newest() {
            let store = world.store();
            (first..=last).for_each(|seq| harm(&store, seq, HARMS[(seq % 3) as usize]));
            let context = format!("entries {first} to {last}");
            let found = world.healed(&store, &Machine::new(), &[]);
            // What a checkpoint has folded away is carried by nobody any more.
            let all = found.len() as u64 == last - first + 1;
            if all {
                world.assert_whole(&store, &context);
            }
            alone += usize::from(all);
            world.healed(&store, &Machine::new(), &[world.mirror()]);
            world.assert_whole(&store, &context);
        }
    }
    assert!(alone > 10, "{alone} runs were written again");
}

#[test]
fn the_newest_entries_come_from_who_saw_them() {
    let world = World::new();
    for lost in 1..4 {
        for how in ["gone", "cut", "flip"] {
            let harmed = || {
                let store = world.store();
                (world.entries - lost..world.entries).for_each(|seq| harm(&store, seq, how));
                store
            };
            let context = format!("the last {lost} {how}");
            let store = harmed();
            world.healed(&store, &Machine::new(), &[world.mirror()]);
            world.assert_whole(&store, &context);
            // The machine that wrote it has the newest only, which carries what the ones before it said: also after it has met the
            // damage, and let go of what it knew of the log.
            let store = harmed();
            let machine = world.machine.twin();
            let oid = world.shelf.files(&world.new);
            machine.open(&store).and_then(|mut it| push(&mut it, &oid)).expect_err("it is damaged");
            world.healed(&store, &machine, &[]);
            world.assert_whole(&store, &context);
            // Nobody else knows anything of it.
            let store = harmed();
            assert_eq!(world.healed(&store, &Machine::new(), &[]), [], "{context}");
        }
    }
}

#[test]
fn a_flipped_version_of_the_newest_entry_is_damage_and_a_newer_program_is_not() {
    let world = World::new();
    for how in ["version", "provisional"] {
        let store = world.store();
        harm(&store, world.newest(), how);
        fresh(&store).expect_err("nobody reads it");
        assert_eq!(world.healed(&store, &Machine::new(), &[]).len(), 1);
        world.assert_whole(&store, how);
    }
    // With something that this version does not know it was a newer program, whatever its version.
    let (store, name) = (world.store(), key::log(world.newest()));
    let whole = store.get(&name).expect("reads").expect("there");
    let mut body = whole[44..].to_vec();
    body[0] += 1;
    body.extend_from_slice(b"\xa5later\xc3");
    let mut newer = whole[..6].to_vec();
    newer.extend_from_slice(&2_u16.to_le_bytes());
    newer.extend_from_slice(&(body.len() as u32).to_le_bytes());
    newer.extend_from_slice(blake3::hash(&body).as_bytes());
    newer.extend_from_slice(&body);
    let mut ours = newer.clone();
    ours[6] = 1;
    assert!(Entry::decode(world.newest(), &ours).expect("an entry").is_unknown());
    store.overwrite(&name, newer.clone().into()).expect("memory");
    assert_eq!(world.healed(&store, &Machine::new(), &[]), []);
    assert_eq!(store.get(&name).expect("reads").expect("there"), newer);
    // An entry that does not follow the one before it is none of this log, whatever its version says.
    let other = World::new();
    let (store, mut strange) =
        (world.store(), other.store().get(&name).expect("reads").expect("there").to_vec());
    strange[6] = 3;
    store.overwrite(&name, strange.into()).expect("memory");
    assert_eq!(world.healed(&store, &Machine::new(), &[other.mirror()]), []);
}

#[test]
fn another_log_is_neither_put_back_nor_written_over() {
    let (world, other) = (World::new(), World::new());
    let store = world.store();
    let strange = other.store().get(&key::log(4)).expect("reads").expect("there");
    store.overwrite(&key::log(4), strange.clone().into()).expect("memory");
    let error = find(&store, &Machine::new().cache(&store), &[world.mirror()]).expect_err("two logs");
    assert!(error.to_string().contains("does not follow"), "{error}");
    assert_eq!(store.get(&key::log(4)).expect("reads"), Some(strange));
    // A mirror of something else proves nothing, before or after the newest entry.
    let store = world.store();
    harm(&store, world.newest(), "gone");
    assert_eq!(world.healed(&store, &Machine::new(), &[other.mirror()]), []);
    harm(&store, world.newest() - 1, "flip");
    assert_eq!(world.healed(&store, &Machine::new(), &[other.mirror()]), []);
}

/// Somebody may be writing: what landed in the slot meanwhile stays.
#[test]
fn what_landed_meanwhile_is_not_written_over() {
    let world = World::new();
    let store = world.store();
    harm(&store, world.newest(), "gone");
    let found = find(&store, &Machine::new().cache(&store), &[world.mirror()]).expect("looked through");
    assert_eq!(found.iter().map(|it| it.seq).collect::<Vec<_>>(), [world.newest()]);
    let mut catalog = fresh(&store).expect("opens");
    let base = catalog.head().seq();
    let change = Change::Drop(Drop { planned_on: base, keys: vec![], bundles: vec![] });
    let done = catalog.commit(&catalog.record(base, change));
    let landed = done.expect("the slot is free").seq;
    let there = store.get(&key::log(landed)).expect("reads").expect("there");
    put_back(&store, &found).expect_err("the slot is somebody's");
    assert_eq!(store.get(&key::log(landed)).expect("reads").expect("there"), there);
}

#[test]
fn a_damaged_entry_is_not_copied_to_a_mirror() {
    let (world, mirror) =
        (World::new(), Store::over(StoreUrl::parse("memory:new").expect("a URL"), memory()));
    let mirror = mirror.without_waits();
    let store = world.store();
    harm(&store, 3, "flip");
    let mut catalog = fresh(&store).expect("opens");
    let error = sync(&mut catalog, &mirror, Compare::New, &Silent).expect_err("it is damaged").to_string();
    assert!(error.contains("log entry 3 is damaged"), "{error}");
    assert_eq!(mirror.get(&key::log(3)).expect("reads"), None);
    world.healed(&store, &Machine::new(), &[]);
    sync(&mut catalog, &mirror, Compare::New, &Silent).expect("synced");
    world.assert_whole(&mirror, "the mirror");
}

#[test]
fn a_mirror_that_became_a_store_says_nothing_of_the_log_it_left() {
    let (world, mut shelf) = (World::new(), Shelf::new());
    let (store, mirror) = (world.store(), world.mirror());
    datamon::ops::mirror::promote(&mirror).expect("promoted");
    let mut other = Machine::new().open(&mirror).expect("opens");
    let oid = shelf.put(&seeded_bytes(77, 2_000));
    push(&mut other, &shelf.files(&[oid])).expect("pushed");
    assert!(mirror.size(&key::log(world.entries)).expect("asks").is_some());
    // What came there follows our newest entry, and is none of ours: neither behind it nor in its place.
    assert_eq!(world.healed(&store, &Machine::new(), std::slice::from_ref(&mirror)), []);
    store.overwrite(&key::log(world.newest()), b"damaged".to_vec().into()).expect("memory");
    assert_eq!(world.healed(&store, &Machine::new(), &[mirror]), []);
}

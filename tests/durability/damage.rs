//! Damage to any object: an error of one line that names it, or the right bytes; never a panic, never other bytes.

use datamon::catalog::plan::held;
use datamon::catalog::state::Segment;
use datamon::catalog::{Catalog, Rules};
use datamon::id::Oid;
use datamon::store::{Store, key, memory};
use datamon::table::{Recipe, Row};
use datamon_test_support::seeded_bytes;

use super::collection::drop_of;
use super::world::{Machine, REPO, Shelf, assert_chain, fresh, push, store};

/// A store with one of everything: data packs, a long recipe in a meta pack, a segment and a checkpoint, inline rows.
struct Small {
    store: Store,
    machine: Machine,
    shelf: Shelf,
    oids: Vec<Oid>,
}

fn small() -> Small {
    let (store, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let large = seeded_bytes(1, 1 << 20);
    // Known and new parts in turn, long enough to be chunks of their own: more terms than a row holds.
    let patched: Vec<u8> = large
        .chunks(1 << 16)
        .enumerate()
        .flat_map(|(n, part)| [seeded_bytes(n as u64 + 50, 1 << 16), part.to_vec()].concat())
        .collect();
    let first =
        vec![shelf.put(&large), shelf.put(&[0; 200_000]), shelf.put(b"a,b\n1,2\n".repeat(9_000).as_slice())];
    let second = shelf.put(&patched);
    let third = shelf.put(b"inline after the checkpoint");
    let mut catalog = machine.create(&store).expect("made");
    push(&mut catalog, &shelf.files(&first)).expect("pushed");
    push(&mut catalog, &[shelf.file(second, Some(first[0]))]).expect("pushed");
    assert!(catalog.write_checkpoint().expect("written"));
    push(&mut catalog, &shelf.files(&[third])).expect("pushed");
    let metas = store.list(key::META, "").expect("lists");
    assert_eq!(metas.len(), 2, "a long recipe and a checkpoint: {metas:?}");
    let oids = [first, vec![second, third]].concat();
    Small { store, machine, shelf, oids }
}

/// The damaged forms of an object.
fn damaged(bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut forms = vec![("gone".to_owned(), None), ("twice as long".to_owned(), Some(bytes.repeat(2)))];
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        forms.push((format!("cut to {length} bytes"), Some(bytes[..length].to_vec())));
    }
    let step = (bytes.len() / 8).max(1) | 1;
    for at in
        (0..64.min(bytes.len())).step_by(7).chain((64..bytes.len()).step_by(step)).chain([bytes.len() - 1])
    {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        forms.push((format!("bit {} of byte {at} flipped", at % 8), Some(flipped)));
    }
    forms
}

/// What an error about the object must say.
fn name_of(object: &str) -> String {
    match (key::log_seq(object), key::pack_id(object)) {
        (Some(seq), _) => format!("log entry {seq}"),
        (_, Some((_, id))) => id.to_string(),
        _ if object == key::HEAD => "log entry".to_owned(),
        _ => object.to_owned(),
    }
}

fn assert_clear(object: &str, form: &str, error: &str) {
    assert!(!error.contains('\n'), "{object} {form}: {error:?}");
    let not_a_store = object == key::STORE && error.contains("is not a datamon store");
    assert!(error.contains(&name_of(object)) || not_a_store, "{object} {form}: {error}");
}

impl Small {
    /// Read everything and push something; errors seen.
    fn use_it(&self, catalog: Result<Catalog, datamon::catalog::CatalogError>) -> Vec<String> {
        let mut catalog = match catalog {
            Ok(catalog) => catalog,
            Err(error) => return vec![error.to_string()],
        };
        let read = self.shelf.download(&mut catalog, &self.oids);
        let mut errors: Vec<String> = read.into_values().filter_map(Result::err).collect();
        // Everything is known, so this is a touch: it reads rows and appends to the log.
        match push(&mut catalog, &self.shelf.files(&self.oids)) {
            Ok(done) => {
                for (seq, _) in &done.receipt.entries {
                    self.store.delete(&key::log(*seq)).expect("deleted");
                }
                let known: Vec<Oid> = done.receipt.oids.into_iter().collect();
                assert_eq!(known.len(), self.oids.len());
            }
            Err(error) => errors.push(error.to_string()),
        }
        errors
    }
}

fn damage_all(wanted: impl Fn(&str) -> bool) -> usize {
    let small = small();
    let (Small { store, machine, .. }, entries) = (&small, assert_chain(&small.store));
    let listed = store.list("", "").expect("lists");
    let mut seen = 0;
    for object in listed.iter().map(|it| it.key.as_str()).filter(|key| wanted(key)) {
        let bytes = store.get(object).expect("reads").expect("listed");
        let mut told = 0;
        for (form, content) in damaged(&bytes) {
            match content {
                Some(content) => store.overwrite(object, content.into()).expect("written"),
                None => store.delete(object).expect("deleted"),
            }
            // An entry that nobody has kept and nothing follows is gone without a trace: only the warm machine can tell.
            let traceless = object == key::log(entries - 1) && form == "gone";
            let cold = if traceless { vec![] } else { small.use_it(fresh(store)) };
            let warm = small.use_it(machine.twin().open(store));
            for error in cold.iter().chain(&warm) {
                assert_clear(object, &form, error);
            }
            told += usize::from(!cold.is_empty());
            store.overwrite(object, bytes.clone().into()).expect("back");
            assert_eq!(assert_chain(store), entries, "{object} {form}");
        }
        seen += told;
    }
    small.shelf.assert_download(&mut fresh(store).expect("opens"), &small.oids, "undamaged again");
    seen
}

#[test]
fn damaged_log_objects_are_named() {
    assert!(damage_all(|key| key.starts_with(key::LOG)) > 20);
}

#[test]
fn damaged_meta_packs_are_named() {
    assert!(damage_all(|key| key.starts_with(key::META)) > 20);
}

#[test]
fn damaged_data_packs_are_named() {
    assert!(damage_all(|key| key.starts_with(key::DATA)) > 20);
}

#[test]
fn a_damaged_identity_is_named() {
    assert!(damage_all(|key| key == key::STORE) > 5);
}

#[test]
fn no_entry_follows_a_damaged_head() {
    let small = small();
    let (store, head) = (&small.store, assert_chain(&small.store) - 1);
    let name = key::log(head);
    let bytes = store.get(&name).expect("reads").expect("there").to_vec();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    for content in [flipped, bytes[..bytes.len() - 7].to_vec(), vec![]] {
        store.overwrite(&name, content.into()).expect("written");
        let new = small.machine.open(store).expect("warm");
        for catalog in [Ok(new), fresh(store)] {
            let outcome = catalog.and_then(|mut it| push(&mut it, &small.shelf.files(&small.oids)));
            let error = outcome.expect_err("nothing may follow it").to_string();
            assert!(error.contains(&format!("log entry {head} is damaged")), "{error}");
            assert_eq!(store.get(&key::log(head + 1)).expect("reads"), None);
        }
    }
}

#[test]
fn a_store_of_the_provisional_format_is_refused_with_the_line_that_makes_a_new_one() {
    let small = small();
    let older = br#"{"format": 0, "store": "9a3c7e0e-55f1-4c2e-8d57-0a9d7f3f1c11", "epoch": 0}"#;
    small.store.overwrite(key::STORE, older.to_vec().into()).expect("written");
    for outcome in [fresh(&small.store), Machine::new().create(&small.store)] {
        let error = outcome.expect_err("older").to_string();
        assert!(error.contains("git datamon init --store") && !error.contains("damaged"), "{error}");
    }
}

#[test]
fn a_store_of_a_later_version_asks_for_an_upgrade() {
    let small = small();
    let newer = br#"{"format": 2, "something": {"new": true}}"#;
    small.store.overwrite(key::STORE, newer.to_vec().into()).expect("written");
    for outcome in [fresh(&small.store), Machine::new().create(&small.store)] {
        let error = outcome.expect_err("newer").to_string();
        assert!(error.contains("upgrade git-datamon") && !error.contains("damaged"), "{error}");
    }
    let small = self::small();
    let name = key::log(assert_chain(&small.store) - 1);
    let mut bytes = small.store.get(&name).expect("reads").expect("there").to_vec();
    bytes[6] = 9;
    small.store.overwrite(&name, bytes.into()).expect("written");
    let error = fresh(&small.store).expect_err("newer").to_string();
    assert!(error.contains("upgrade git-datamon") && !error.contains("damaged"), "{error}");
}

/// The state forgets a Drop once no segment holds what it killed; pushes say for ever what they promised.
#[test]
fn what_was_given_up_does_not_come_back_with_a_table_that_is_built_again() {
    let (store, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
    let mut oids: Vec<Oid> = (0..30).map(|n| shelf.put(&seeded_bytes(n, 3_000))).collect();
    oids.sort();
    // In the middle of those that stay, so that their table covers it.
    let gone = oids.remove(15);
    oids.swap(1, 28);
    let mut rest = oids.iter();
    let mut catalog = machine.create(&store).expect("made");
    let mut next = |catalog: &mut Catalog| {
        let oid = *rest.next().expect("merged long before");
        push(catalog, &shelf.files(&[oid])).expect("pushed");
        catalog.write_checkpoint().expect("written");
        catalog.merge_runs().expect("merged, or nothing to do");
        oid
    };
    let born = push(&mut catalog, &shelf.files(&[gone])).expect("pushed").receipt.entries[0].0;
    let mut kept = vec![next(&mut catalog)];
    catalog.commit(&drop_of(&catalog, &[gone])).expect("dropped");
    while !catalog.state().drops().is_empty() {
        kept.push(next(&mut catalog));
    }
    let segments: Vec<Segment> = catalog.state().segments().values().cloned().collect();
    let promised = Row { oid: gone, repo: REPO, born, size: 3_000, recipe: Recipe::Inline(vec![]) };
    assert!(held(Rules::ALL, &segments, &promised), "its push would be read for this table");
    catalog.suspect(segments.iter().map(|it| it.at.fence.pack));
    assert_eq!(catalog.replace_damaged_tables(&[]).expect("replaced"), kept.len() as u64);
    assert!(catalog.find(REPO, &[gone]).expect("reads").is_empty(), "it came back");
    let mut cold = fresh(&store).expect("opens");
    assert!(cold.find(REPO, &[gone]).expect("reads").is_empty(), "it came back");
    shelf.assert_download(&mut cold, &kept, "built again");
}

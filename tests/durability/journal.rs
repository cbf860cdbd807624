//! R5: a process that died in the middle of a commit leaves a journal, and the next one resolves its slot first.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use datamon::catalog::{CatalogError, Entry};
use datamon::id::{Oid, PackKind};
use datamon::store::fail::{Failing, Fault};
use datamon::store::{Backend, BackendError, Failure, Store, key, memory};
use datamon_test_support::seeded_bytes;

use super::around::{Around, Verb};
use super::world::{Machine, Shelf, assert_chain, assert_packs, fresh, push, store};

/// A process dies when its log entry has landed, before it knows. Gives what it pushed and where.
fn die_after_landing(whole: &Store, machine: &Machine, shelf: &mut Shelf) -> (Oid, u64) {
    let oid = shelf.put(&seeded_bytes(4242, 9_000));
    let slot = machine.open(whole).expect("opens").head().seq() + 1;
    for at in 0.. {
        let failing = Arc::new(Failing::new(whole.backend(), Fault::Dead, at));
        let dying = Store::over(whole.url().clone(), failing).without_waits();
        let outcome = machine.open(&dying).and_then(|mut catalog| push(&mut catalog, &shelf.files(&[oid])));
        let error = outcome.expect_err("dies");
        if whole.get(&key::log(slot)).expect("reads").is_some() {
            assert!(matches!(error, CatalogError::Unknown { slot: at, .. } if at == slot), "{error}");
            break;
        }
    }
    assert_eq!(machine.journals(whole).len(), 1);
    (oid, slot)
}

/// A process dies when it has sent its log entry, which is still under way: the slot is open.
pub fn die_before_landing(whole: &Store, machine: &Machine, shelf: &mut Shelf) -> (Oid, u64) {
    let (oid, slot) = die_after_landing(whole, machine, shelf);
    whole.delete(&key::log(slot)).expect("deleted");
    (oid, slot)
}

fn filled(machine: &Machine, shelf: &mut Shelf) -> Store {
    let whole = store(memory());
    let oid = shelf.put(b"the first file");
    let mut catalog = machine.create(&whole).expect("made");
    push(&mut catalog, &shelf.files(&[oid])).expect("pushed");
    whole
}

#[test]
fn an_entry_that_landed_before_the_process_died_is_found() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let whole = filled(&machine, &mut shelf);
    let (oid, slot) = die_after_landing(&whole, &machine, &mut shelf);
    let next = shelf.put(b"what the next process pushes");
    let done = push(&mut machine.open(&whole).expect("opens"), &shelf.files(&[next])).expect("pushed");
    assert_eq!(done.receipt.entries[0].0, slot + 1);
    assert!(machine.journals(&whole).is_empty());
    shelf.assert_download(&mut fresh(&whole).expect("opens"), &[oid, next], "both");
    assert_chain(&whole);
}

#[test]
fn an_entry_under_way_when_the_process_died_takes_its_slot_first() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let whole = filled(&machine, &mut shelf);
    let (oid, slot) = die_before_landing(&whole, &machine, &mut shelf);
    let next = shelf.put(b"what the next process pushes");
    let done = push(&mut machine.open(&whole).expect("opens"), &shelf.files(&[next])).expect("pushed");
    assert_eq!(done.receipt.entries[0].0, slot + 1);
    assert!(machine.journals(&whole).is_empty());
    shelf.assert_download(&mut fresh(&whole).expect("opens"), &[oid, next], "both");
    assert_chain(&whole);
    assert_packs(&whole);
}

#[test]
fn the_same_file_again_finds_what_the_process_that_died_had_sent_and_said() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let whole = filled(&machine, &mut shelf);
    let (oid, slot) = die_before_landing(&whole, &machine, &mut shelf);
    let done = push(&mut machine.open(&whole).expect("opens"), &shelf.files(&[oid])).expect("pushed");
    assert_eq!(
        (done.receipt.entries[0].0, done.stats.known),
        (slot + 1, 1),
        "its packs have an entry by then"
    );
    assert!(machine.journals(&whole).is_empty());
    shelf.assert_download(&mut fresh(&whole).expect("opens"), &[oid], "once");
    assert_chain(&whole);
    assert_packs(&whole);
}

#[test]
fn a_slot_that_went_to_somebody_else_is_given_up() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let whole = filled(&machine, &mut shelf);
    let (oid, slot) = die_before_landing(&whole, &machine, &mut shelf);
    let theirs = shelf.put(b"somebody else's");
    let done =
        push(&mut Machine::new().open(&whole).expect("opens"), &shelf.files(&[theirs])).expect("pushed");
    assert_eq!(done.receipt.entries[0].0, slot);
    let done = push(&mut machine.open(&whole).expect("opens"), &shelf.files(&[oid])).expect("pushed");
    assert_eq!((done.receipt.entries[0].0, done.stats.known), (slot + 1, 0));
    assert!(machine.journals(&whole).is_empty());
    shelf.assert_download(&mut fresh(&whole).expect("opens"), &[oid, theirs], "both");
    assert_chain(&whole);
}

#[test]
fn an_entry_whose_packs_were_taken_for_garbage_is_given_up() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let whole = filled(&machine, &mut shelf);
    let (oid, slot) = die_before_landing(&whole, &machine, &mut shelf);
    let catalog = machine.open(&whole).expect("opens");
    let journalled = catalog.packs_in_journal();
    assert!(
        !journalled.is_empty() && journalled.iter().all(|pack| !catalog.state().packs().contains_key(pack))
    );
    for pack in journalled {
        whole.delete(&key::pack(PackKind::Data, pack)).expect("deleted");
    }
    let done = push(&mut machine.open(&whole).expect("opens"), &shelf.files(&[oid])).expect("pushed");
    assert_eq!((done.receipt.entries[0].0, done.stats.known), (slot, 0), "stored anew");
    assert!(machine.journals(&whole).is_empty());
    shelf.assert_download(&mut fresh(&whole).expect("opens"), &[oid], "what was pushed again");
    assert_chain(&whole);
    assert_packs(&whole);
}

#[test]
fn the_same_process_resolves_what_it_left_open() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let whole = filled(&machine, &mut shelf);
    let (one, two) = (shelf.put(b"one"), shelf.put(b"two"));
    let silence = Arc::new(AtomicBool::new(false));
    let quiet = quiet(whole.backend(), silence.clone());
    let mut catalog = machine.open(&store(quiet.shared())).expect("opens");
    let slot = catalog.head().seq() + 1;
    silence.store(true, SeqCst);
    let error = push(&mut catalog, &shelf.files(&[one])).expect_err("no answer");
    assert!(matches!(error, CatalogError::Unknown { .. }), "{error}");
    silence.store(false, SeqCst);
    let done = push(&mut catalog, &shelf.files(&[two])).expect("pushed");
    assert_eq!(done.receipt.entries[0].0, slot + 1, "the open slot was resolved first");
    assert!(machine.journals(&whole).is_empty());
    shelf.assert_download(&mut fresh(&whole).expect("opens"), &[one, two], "both");
    assert_chain(&whole);
}

#[test]
fn a_torn_journal_and_a_strangers_file_are_no_reason_to_stop() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let whole = filled(&machine, &mut shelf);
    let (oid, _) = die_before_landing(&whole, &machine, &mut shelf);
    let journal = machine.journals(&whole).remove(0);
    let bytes = fs::read(&journal).expect("there");
    fs::write(&journal, &bytes[..bytes.len() / 2]).expect("writable");
    fs::write(journal.with_file_name("notes.txt"), b"a stranger's").expect("writable");
    push(&mut machine.open(&whole).expect("opens"), &shelf.files(&[oid])).expect("pushed");
    assert_eq!(machine.journals(&whole), [journal.with_file_name("notes.txt")]);
    // Bytes of a version to come stay for it to resolve.
    let mut newer = Entry::first(vec![]).encode().expect("short").0;
    newer[6..8].copy_from_slice(&9u16.to_le_bytes());
    let kept = [&3u64.to_le_bytes()[..], blake3::hash(&newer).as_bytes(), &newer].concat();
    fs::write(&journal, kept).expect("writable");
    push(&mut machine.open(&whole).expect("opens"), &shelf.files(&[oid])).expect("pushed");
    assert_eq!(machine.journals(&whole).len(), 2);
    assert_chain(&whole);
}

#[test]
fn a_journal_that_cannot_be_written_stops_before_anything_is_sent() {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let whole = filled(&machine, &mut shelf);
    let before = assert_chain(&whole);
    let blocked = tempfile::NamedTempFile::new().expect("a temporary file");
    let journal = datamon::catalog::Journal::at(blocked.path().join("below-a-file"));
    let mut catalog =
        datamon::catalog::Catalog::open(whole.clone(), machine.cache(&whole), journal).expect("opens");
    let oid = shelf.put(b"a file");
    let error = push(&mut catalog, &shelf.files(&[oid])).expect_err("no journal").to_string();
    assert!(error.contains("cannot write the journal"), "{error}");
    assert_eq!(assert_chain(&whole), before);
}

/// A backend that, while there is silence, carries out nothing of the log's creates and answers nothing about them.
fn quiet(inner: Arc<dyn Backend>, silence: Arc<AtomicBool>) -> Around {
    let below = inner.clone();
    Around::new(inner).before(move |verb, key| {
        // The entries that were there are read; the slot is not.
        let slot = matches!(verb, Verb::Get | Verb::Size | Verb::Create)
            && key::log_seq(key).is_some()
            && !matches!(below.size(key), Ok(Some(_)));
        match slot && silence.load(SeqCst) {
            true => Err(BackendError { failure: Failure::Other, message: "no answer".to_owned() }),
            false => Ok(()),
        }
    })
}

//! Bytes: the golden entry, damage, and what newer versions may write.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::catalog::change::*;
use crate::catalog::entry::{BadEntry, Entry};
use crate::catalog::{Change, Rules, State, checkpoint};
use crate::id::{BundleId, EntryHash, GitId, StoreId};
use crate::table::MOST_SHIFT;

/// One change of every kind.
fn changes() -> Vec<ChangeRecord> {
    let blobs = |n| BTreeMap::from([("packs".to_owned(), CheckpointBlob { at: frame(n), hash: [n; 32] })]);
    let parent = Parent { seq: 2, covers: 1, blobs: blobs(1) };
    let forward = Forward { from: pack(2), offset: 16, stored: 70_000, to: pack(4), at: 16 };
    let mut changes = vec![
        record(0, &[], Change::Init { store: StoreId::from_bytes([9; 16]) }),
        record(0, &[], Change::Repo(RepoChange::Create { repo: repo(1), name: "weather".into() })),
        record(1, &[], Change::Repo(RepoChange::Rename { repo: repo(1), name: "climate".into() })),
        record(2, &[], Change::Repo(RepoChange::Delete { repo: repo(1) })),
        record(3, &[], Change::Repo(RepoChange::Undelete { repo: repo(1) })),
        record(4, &[2, 3], Change::Push(Push { segments: vec![segment(3)], ..inline(RepoId::NIL) })),
        record(5, &[5], Change::Push(Push { bundles: vec![bundle_on(1, Some(2), 5)], ..push(repo(1)) })),
        record(
            6,
            &[4, 7],
            Change::Compact(Compact {
                outs: vec![frame(3)],
                segments: vec![segment(7)],
                forwards: vec![forward],
                ..Compact::default()
            }),
        ),
        record(
            7,
            &[],
            Change::Drop(Drop { planned_on: 7, keys: vec![(oid(1), repo(1))], bundles: vec![bundle(1)] }),
        ),
        record(8, &[], Change::Condemn(Condemn { mark: 7, packs: vec![pack(2)] })),
        record(9, &[], Change::Forget(Forget { packs: vec![pack(2)], floor: 9, forwards: vec![pack(2)] })),
        record(
            10,
            &[9],
            Change::Checkpoint(Checkpoint {
                covers: 10,
                parent: Some(parent),
                blobs: blobs(9),
                segment: Some(segment(9)),
                hooks: Some(SegmentRef { table: TableKind::Hooks, ..segment(9) }),
            }),
        ),
    ];
    changes[6].named = vec![pack(2)];
    changes
}

/// An entry with one change of every kind: the last is its own.
fn entry() -> Entry {
    let mut changes = changes().into_iter().map(|change| change.encode());
    let mut entry = Entry::first(changes.next().expect("there is one"));
    for change in changes {
        let (_, hash) = entry.encode().expect("short");
        entry = entry.next(hash, change, Rules::ALL).expect("decodes");
    }
    entry
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/format-1/log-entry.bin")
}

#[test]
fn an_entry_has_the_golden_bytes() {
    let wanted = std::fs::read(golden()).expect("run the ignored test `bless` once and commit the file");
    assert_eq!(
        entry().encode().expect("short").0,
        wanted,
        "the entry format changed; golden files are for ever"
    );
    assert_eq!(Entry::decode(11, &wanted).expect("decodes"), entry());
}

#[test]
#[ignore = "writes the golden file"]
fn bless() {
    std::fs::create_dir_all(golden().parent().expect("has a parent")).expect("made");
    std::fs::write(golden(), entry().encode().expect("short").0).expect("written");
}

#[test]
fn changes_come_back() {
    let (bytes, hash) = entry().encode().expect("short");
    let read = Entry::decode(11, &bytes).expect("decodes");
    assert!(!read.is_unknown());
    assert_eq!(hash, EntryHash::of(&bytes));
    let records = read.records().expect("decode");
    assert_eq!(records.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
    assert_eq!(records.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), changes());
    assert_eq!(read.own().expect("decodes"), changes()[11]);
    assert_eq!(read.carried(4), Some(&*changes()[4].encode()));
    assert_eq!((read.carried(11), read.carried(12)), (None, None));
}

#[test]
fn the_entry_after_a_checkpoint_leads_to_it() {
    let (_, hash) = entry().encode().expect("short");
    let next = entry().next(hash, changes()[4].encode(), Rules::ALL).expect("decodes");
    let (bytes, _) = next.encode().expect("short");
    let next = Entry::decode(12, &bytes).expect("decodes");
    let (seq, checkpoint) = next.checkpoint().expect("is whole").expect("there is one");
    assert_eq!((seq, checkpoint.covers), (11, 10));
    let tail: Vec<u64> = next.records().expect("decode").iter().map(|(seq, _)| *seq).collect();
    assert_eq!(tail, [11, 12]);
}

#[test]
fn no_prefix_and_no_flipped_bit_is_taken_for_an_entry() {
    let (bytes, _) = entry().encode().expect("short");
    for end in 0..bytes.len() {
        assert!(matches!(Entry::decode(11, &bytes[..end]), Err(BadEntry::Damaged { .. })), "{end} bytes");
    }
    for bit in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        let error = Entry::decode(11, &wrong).expect_err("a flipped bit");
        assert_eq!(matches!(error, BadEntry::Newer { .. }), (49..64).contains(&bit), "bit {bit}: {error}");
    }
    assert!(Entry::decode(11, &[&bytes[..], b"x"].concat()).is_err());
    assert!(Entry::decode(10, &bytes).is_err(), "an entry belongs to its slot");
}

/// An entry with any body at all, framed and hashed as it should be.
fn framed(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("short").to_le_bytes();
    [b"gdmlog\x01\0", &len[..], blake3::hash(body).as_bytes(), body].concat()
}

proptest! {
    #[test]
    fn a_hostile_body_does_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (bytes, _) = entry().encode().expect("short");
        let mut body = bytes[44..].to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let bytes = framed(&body);
        if let Ok(entry) = Entry::decode(11, &bytes) {
            if !entry.is_unknown() {
                prop_assert_eq!(entry.encode().expect("short").0, bytes);
            }
            let _ = entry.checkpoint();
            for (_, record) in entry.records().unwrap_or_default() {
                let _ = record.is_unknown() || !record.encode().is_empty();
            }
            let _ = State::open(Rules::ALL, &entry, EntryHash::NONE, &BTreeMap::new());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Entry::decode(1, &framed(&bytes));
        let _ = ChangeRecord::decode(&bytes);
    }
}

/// What a newer version might write: common keys, and one more.
#[derive(Serialize, Deserialize)]
struct Newer<T> {
    base: u64,
    added: Vec<(PackId, PackInfo)>,
    named: Vec<PackId>,
    nonce: Nonce,
    writer: Writer,
    time: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    must_understand: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
    push: Push,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<T>,
}

fn newer<T>(flags: Vec<String>, more: Option<T>) -> Newer<T> {
    let Change::Push(push) = changes()[6].change.clone() else { unreachable!() };
    let ChangeRecord { base, added, named, nonce, writer, time, .. } = changes()[6].clone();
    Newer { base, added, named, nonce, writer, time, must_understand: false, flags, push, more }
}

fn unknown(newer: &impl Serialize) -> ChangeRecord {
    ChangeRecord::decode(&rmp_serde::to_vec_named(newer).expect("encodes")).expect("decodes")
}

#[test]
fn unknown_kinds_flags_and_keys_are_remembered_and_the_packs_are_known() {
    assert_eq!(unknown(&newer::<u8>(vec![], None)), changes()[6], "the stand-in writes what we write");
    let flagged = unknown(&newer::<u8>(vec!["sampled".into()], None));
    let keyed = unknown(&newer(vec![], Some("x")));
    let deep = {
        #[derive(Serialize)]
        struct Deep {
            repo: RepoId,
            colour: u8,
        }
        #[derive(Serialize)]
        struct Record {
            base: u64,
            added: Vec<(PackId, PackInfo)>,
            named: Vec<PackId>,
            nonce: Nonce,
            writer: Writer,
            time: u64,
            push: Deep,
        }
        let Newer { base, added, named, nonce, writer, time, .. } = newer::<u8>(vec![], None);
        unknown(&Record { base, added, named, nonce, writer, time, push: Deep { repo: repo(1), colour: 3 } })
    };
    let kind = {
        #[derive(Serialize)]
        struct Record {
            base: u64,
            added: Vec<(PackId, PackInfo)>,
            named: Vec<PackId>,
            nonce: Nonce,
            writer: Writer,
            time: u64,
            diamond: (u8, String),
        }
        let Newer { base, added, named, nonce, writer, time, .. } = newer::<u8>(vec![], None);
        unknown(&Record { base, added, named, nonce, writer, time, diamond: (1, "x".into()) })
    };
    assert_eq!(kind.change, Change::Unknown);
    for record in [flagged, keyed, deep, kind] {
        assert!(record.is_unknown(), "{record:?}");
        assert_eq!(record.packs().collect::<Vec<_>>(), [pack(5), pack(2)]);
    }
}

#[test]
fn an_unknown_sample_or_table_is_remembered_and_the_others_are_read() {
    let pushed = |segments| Change::Push(Push { segments, ..push(RepoId::NIL) });
    let strange = [
        SegmentRef { table: TableKind::Unknown, ..segment(5) },
        SegmentRef { shift: 1, ..segment(5) },
        SegmentRef { table: TableKind::Hooks, shift: MOST_SHIFT + 1, ..segment(5) },
    ];
    for strange in strange {
        let record = record(0, &[3, 5], pushed(vec![segment(3), strange.clone()]));
        let read = ChangeRecord::decode(&record.encode()).expect("decodes");
        assert!(read.is_unknown(), "{strange:?}");
        let mut state = State::default();
        state.apply(0, &read).expect("the first");
        assert_eq!(state.unknown(), Some(0));
        assert_eq!(state.table(TableKind::Files).map(|it| it.at.clone()).collect::<Vec<_>>(), [segment(3)]);
        let (files, others) = (TableKind::Files, strange.table);
        assert_eq!(
            state.table(others).count(),
            usize::from(others == files),
            "the strange one is left alone"
        );
        assert_eq!(state.segments().len(), 2, "its pack stays");
        // The same out of a checkpoint.
        let blobs = checkpoint::encode(&state, None);
        let at = |bytes: &Vec<u8>| CheckpointBlob { at: frame(9), hash: checkpoint::hash(bytes) };
        let named = blobs.iter().map(|(kind, bytes)| (kind.clone(), at(bytes))).collect();
        let written = Checkpoint { covers: 0, parent: None, blobs: named, segment: None, hooks: None };
        let read = checkpoint::decode(Rules::ALL, &written, &blobs).expect("decodes");
        assert_eq!((read.unknown(), read.segments()), (Some(0), state.segments()));
    }
    for shift in [0, 1, MOST_SHIFT] {
        let hooks = SegmentRef { table: TableKind::Hooks, shift, ..segment(5) };
        let known = record(0, &[5], pushed(vec![hooks]));
        assert!(!ChangeRecord::decode(&known.encode()).expect("decodes").is_unknown());
    }
}

#[test]
fn long_lists_of_names_go_on_in_further_blobs() {
    let mut state = State::default();
    let git = |n: u32| GitId::from_slice(&[&n.to_be_bytes()[..], &[3; 28]].concat());
    let bundles = (0..140_000_u32).map(|n| {
        let id = BundleId::from_bytes([&n.to_be_bytes()[..], &[7; 12]].concat().try_into().expect("sixteen"));
        // The first ones were made without git.
        let git = git(n).filter(|_| n >= 1000);
        BundleRef { id, commit: git, tree: git, ..bundle_on(1, None, 5) }
    });
    let bundles: Vec<BundleRef> = bundles.collect();
    let at = bundles[70_000].id;
    state.apply(0, &record(0, &[5], Change::Push(Push { bundles, ..push(RepoId::NIL) }))).expect("the first");
    for n in 0..33_000_u64 {
        let (repo, bundle) = (repo((n % 3) as u8), (n % 7 > 0).then_some(at));
        let label = Label { repo, name: format!("{}{n}", "x".repeat(200)), bundle, previous: None };
        state.apply(n + 1, &record(n, &[], Change::Label(label))).expect("the next");
    }
    let blobs = checkpoint::encode(&state, None);
    for kind in ["bundles.1", "commits.1", "labels.1"] {
        assert!(blobs.contains_key(kind), "{:?}", blobs.keys());
    }
    assert!(blobs.values().all(|it| it.len() <= crate::pack::format::MAX_FRAME));
    let at = |bytes: &Vec<u8>| CheckpointBlob { at: frame(9), hash: checkpoint::hash(bytes) };
    let named = blobs.iter().map(|(kind, bytes)| (kind.clone(), at(bytes))).collect();
    let written = Checkpoint { covers: 33_000, parent: None, blobs: named, segment: None, hooks: None };
    let read = checkpoint::decode(Rules::ALL, &written, &blobs).expect("decodes");
    assert_eq!((read.unknown(), read.bundles()), (None, state.bundles()));
    assert_eq!(read.labels(), state.labels());
    assert_eq!(checkpoint::encode(&read, None), blobs);
    let commit = git(139_999).expect("an id");
    assert_eq!(read.bundles_of_commit(RepoId::NIL, commit), state.bundles_of_commit(RepoId::NIL, commit));
    assert_eq!(read.bundles_of_tree(RepoId::NIL, commit).len(), 1);
    assert!(read.bundles_of_commit(repo(1), commit).is_empty(), "of another repo");
}

#[test]
fn an_unknown_change_is_carried_byte_for_byte() {
    let change =
        rmp_serde::to_vec_named(&newer(vec!["sampled".into()], Some(vec![1, 2, 3]))).expect("encodes");
    let (_, hash) = entry().encode().expect("short");
    let entry = entry().next(hash, change.clone(), Rules::ALL).expect("decodes");
    let (_, hash) = entry.encode().expect("short");
    let next = entry.next(hash, changes()[4].encode(), Rules::ALL).expect("decodes");
    let next = Entry::decode(13, &next.encode().expect("short").0).expect("decodes");
    assert_eq!(next.carried(12), Some(&*change));
}

#[test]
fn a_key_of_the_entry_itself_that_is_unknown_is_remembered() {
    #[derive(Serialize)]
    struct Body {
        seq: u64,
        prev: EntryHash,
        #[serde(with = "serde_bytes")]
        change: Vec<u8>,
        colour: u8,
    }
    let body = Body { seq: 0, prev: EntryHash::NONE, change: changes()[0].encode(), colour: 1 };
    let bytes = framed(&rmp_serde::to_vec_named(&body).expect("encodes"));
    assert!(Entry::decode(0, &bytes).expect("decodes").is_unknown());
}

#[test]
fn an_entry_that_would_be_too_long_is_not_made() {
    let mut change = changes()[5].clone();
    let Change::Push(push) = &mut change.change else { unreachable!() };
    push.rows = Some(RowBlock { rows: 1, bytes: vec![0; crate::catalog::entry::MAX_LEN] });
    let entry = Entry::first(change.encode());
    assert!(matches!(entry.encode(), Err(BadEntry::TooLong { seq: 0, .. })));
}

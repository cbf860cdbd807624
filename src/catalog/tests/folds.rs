//! The fold of a checkpoint and its tail is the fold of everything, whatever the changes are.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::*;
use crate::catalog::change::*;
use crate::catalog::checkpoint::{self, BadCheckpoint, Blobs};
use crate::catalog::fold::BadLog;
use crate::catalog::state::Bundle;
use crate::catalog::{Change, Entry, Rules, State};
use crate::id::{BundleId, EntryHash, StoreId};

/// A log with the state after each entry.
struct Log {
    entries: Vec<(Entry, EntryHash)>,
    states: Vec<State>,
    /// Blobs of each checkpoint, by the seq of its entry.
    blobs: Vec<(u64, Blobs)>,
    packs: u8,
}

impl Log {
    fn new() -> Log {
        let mut log = Log { entries: vec![], states: vec![], blobs: vec![], packs: 0 };
        assert!(log.add(record(0, &[], Change::Init { store: StoreId::from_bytes([9; 16]) })));
        log
    }

    fn state(&self) -> State {
        self.states.last().cloned().unwrap_or_default()
    }

    fn pack(&mut self) -> u8 {
        self.packs += 1;
        self.packs
    }

    /// Appends a change if it is not refused.
    fn add(&mut self, record: ChangeRecord) -> bool {
        let mut state = self.state();
        if state.check(&record).is_err() {
            return false;
        }
        let entry = match self.entries.last() {
            None => Entry::first(record.encode()),
            Some((last, hash)) => last.next(*hash, record.encode(), Rules::ALL).expect("decodes"),
        };
        let (bytes, hash) = entry.encode().expect("short");
        assert_eq!(Entry::decode(entry.seq(), &bytes).expect("decodes"), entry);
        state.apply(entry.seq(), &record).expect("it is the next");
        state.set_head_hash(hash);
        self.entries.push((entry, hash));
        self.states.push(state);
        true
    }

    /// What op number `kind` does, with two small numbers to choose by; refusals are as welcome as changes.
    fn take(&mut self, (kind, a, b): (u8, u8, u8)) {
        let state = self.state();
        let head = state.head().expect("begun");
        let base = head - u64::from(a % 3).min(head);
        let own = self.pack();
        let some = |n: usize| (usize::from(a) % n.max(1), usize::from(b) % n.max(1));
        let mut must = false;
        let change = match kind % 13 {
            0 => Change::Repo(RepoChange::Create { repo: repo(a % 4), name: format!("repo {}", b % 4) }),
            1 => Change::Repo(RepoChange::Delete { repo: repo(a % 4) }),
            2 => Change::Repo(RepoChange::Undelete { repo: repo(a % 4) }),
            3 => Change::Repo(RepoChange::Rename { repo: repo(a % 4), name: format!("repo {}", b % 4) }),
            4 | 5 => Change::Push(inline(repo(a % 4))),
            6 => Change::Push(Push { segments: vec![segment(own)], ..push(repo(a % 4)) }),
            7 => {
                let base = (b % 2 == 0).then_some(a % 8);
                let name = DEFAULT_BRANCH.to_owned();
                let previous = state.label(RepoId::NIL, &name).map(|at| at.seq);
                let label = Label { repo: RepoId::NIL, name, bundle: Some(bundle(own)), previous };
                let labels = if b % 3 == 0 { vec![label] } else { vec![] };
                let bundles = vec![bundle_on(own, base, own)];
                Change::Push(Push { bundles, labels, ..push(RepoId::NIL) })
            }
            8 => {
                let fences: BTreeSet<Blob> = state.segments().keys().copied().collect();
                let (from, _) = some(fences.len());
                let outs: Vec<Blob> = fences.into_iter().skip(from).take(2).collect();
                let segments = if outs.is_empty() { vec![] } else { vec![segment(own)] };
                let forward = Forward { from: pack(b % 8), offset: 16, stored: 100, to: pack(own), at: 16 };
                let forwards = vec![forward; usize::from(b % 2)];
                Change::Compact(Compact { outs, segments, forwards, ..Compact::default() })
            }
            9 => {
                let (keys, bundles) = (vec![(oid(a % 4), repo(b % 4))], vec![bundle(a % 16)]);
                Change::Drop(Drop { planned_on: base, keys, bundles })
            }
            12 => {
                must = true;
                let bundles = state.bundles().iter().filter(|(_, it)| it.repo == RepoId::NIL && a % 8 > 0);
                let revised =
                    |(id, it): (&BundleId, &Bundle)| Revision { bundle: *id, from: it.root, to: frame(own) };
                let bundles = bundles.take(usize::from(b % 3)).map(revised).collect();
                let (repo, paths) = (RepoId::NIL, vec![ByteBuf::from(b"a".to_vec())]);
                Change::Redact(Redact { repo, planned_on: base, paths, bundles, keys: vec![oid(a % 4)] })
            }
            10 => Change::Condemn(Condemn { mark: base, packs: vec![pack(a % 16)] }),
            _ => {
                Change::Forget(Forget { packs: vec![pack(a % 16)], floor: base, forwards: vec![pack(b % 8)] })
            }
        };
        let mut record = record(base, &[own], change);
        record.must_understand = must;
        self.add(record);
    }

    /// Writes a checkpoint that covers all but the last `lag` entries.
    fn checkpoint(&mut self, lag: u8) {
        let covers = (self.states.len() as u64 - 1).saturating_sub(u64::from(lag % 6));
        let state = self.states[covers as usize].clone();
        let own = self.pack();
        let segment = (!state.inline().is_empty()).then(|| segment(own));
        let hooks = (lag % 2 == 1).then(|| {
            let fence = Blob { offset: 500, ..frame(own) };
            SegmentRef { fence, table: TableKind::Hooks, ..self::segment(own) }
        });
        let all = checkpoint::encode(&state, segment.iter().chain(&hooks));
        let parent = self.state().checkpoint().cloned();
        let newest = parent.as_ref().map(|(_, newest)| newest);
        let (mut blobs, write) = checkpoint::changed(newest, all.clone());
        let named = blobs.values().map(|blob| blob.at.pack).collect();
        let written = write.iter().map(|(kind, bytes)| {
            (kind.clone(), CheckpointBlob { at: frame(own), hash: checkpoint::hash(bytes) })
        });
        blobs.extend(written);
        let parent = parent.map(|(seq, it)| Parent { seq, covers: it.covers, blobs: it.blobs });
        let change = Change::Checkpoint(Checkpoint { covers, parent, blobs, segment, hooks });
        let mut record = record(self.states.len() as u64 - 1, &[own], change);
        record.named = named;
        if state.has_revisions(covers) {
            record.mark_revised();
        }
        if self.add(record) {
            self.blobs.push((self.states.len() as u64 - 1, all));
        }
    }

    fn blobs_for(&self, entry: &Entry) -> Blobs {
        let wanted = entry.checkpoint().expect("is whole").map(|(seq, _)| seq);
        let found = self.blobs.iter().find(|(seq, _)| Some(*seq) == wanted);
        found.map(|(_, blobs)| blobs.clone()).unwrap_or_default()
    }
}

fn log_of(ops: &[(u8, u8, u8)]) -> Log {
    let mut log = Log::new();
    for op in ops {
        if op.0 % 7 == 6 { log.checkpoint(op.1) } else { log.take(*op) }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn checkpoint_and_tail_give_the_fold_of_everything(ops in prop::collection::vec(any::<(u8, u8, u8)>(), 0..60)) {
        let log = log_of(&ops);
        for ((entry, hash), state) in log.entries.iter().zip(&log.states) {
            let opened = State::open(Rules::ALL, entry, *hash, &log.blobs_for(entry)).expect("opens");
            prop_assert_eq!(&opened, state);
        }
    }

    #[test]
    fn an_older_state_follows_or_says_that_it_cannot(ops in prop::collection::vec(any::<(u8, u8, u8)>(), 0..40)) {
        let log = log_of(&ops);
        for (at, older) in log.states.iter().enumerate() {
            for ((entry, hash), state) in log.entries.iter().zip(&log.states).skip(at + 1) {
                let mut followed = older.clone();
                match followed.follow(entry, *hash) {
                    Ok(()) => prop_assert_eq!(&followed, state),
                    Err(BadLog::Gap(gap)) => {
                        let covers = entry.checkpoint().expect("is whole").map_or(0, |(_, it)| it.covers);
                        prop_assert!(covers >= older.next(), "{}", gap);
                    }
                    Err(other) => prop_assert!(false, "{}", other),
                }
            }
        }
    }
}

#[test]
fn generated_logs_have_every_kind_and_more_than_one_checkpoint() {
    let ops: Vec<(u8, u8, u8)> =
        (0..240u32).map(|n| ((n * 37 % 251) as u8, (n * 11 % 13) as u8, (n % 7) as u8)).collect();
    let log = log_of(&ops[..200]);
    assert!(log.blobs.len() > 2, "{} checkpoints", log.blobs.len());
    let kinds: BTreeSet<_> = log.blobs.iter().flat_map(|(_, blobs)| blobs.keys().cloned()).collect();
    assert_eq!(kinds.len(), 9, "{kinds:?}");
}

#[test]
fn blobs_that_did_not_change_keep_their_place() {
    let mut log = Log::new();
    log.take((6, 0, 0));
    log.checkpoint(0);
    log.take((0, 1, 1));
    log.checkpoint(0);
    let state = log.state();
    let (_, newest) = state.checkpoint().expect("written");
    let parent = newest.parent.as_ref().expect("the first");
    assert_eq!(newest.blobs["segments"], parent.blobs["segments"]);
    assert_ne!(newest.blobs["packs"], parent.blobs["packs"]);
    assert_eq!(newest.blobs["repos"].at.pack, pack(log.packs));
}

#[test]
fn damaged_and_missing_blobs_are_told_and_unknown_ones_remembered() {
    let mut log = Log::new();
    log.take((6, 0, 0));
    log.checkpoint(0);
    let state = log.state();
    let (_, newest) = state.checkpoint().cloned().expect("written");
    let blobs = log.blobs[0].1.clone();
    let mut wrong = blobs.clone();
    wrong.get_mut("packs").expect("there are packs")[0] ^= 1;
    assert!(matches!(checkpoint::decode(Rules::ALL, &newest, &wrong), Err(BadCheckpoint::Damaged { .. })));
    let missing = checkpoint::decode(Rules::ALL, &newest, &Blobs::new());
    assert!(matches!(missing, Err(BadCheckpoint::Missing { .. })));
    let mut stranger = newest.clone();
    let blob = CheckpointBlob { at: frame(1), hash: checkpoint::hash(b"x") };
    stranger.blobs.insert("of a later version".into(), blob);
    let mut more = blobs;
    more.insert("of a later version".into(), b"x".to_vec());
    let state = checkpoint::decode(Rules::ALL, &stranger, &more).expect("decodes");
    assert_eq!(state.unknown(), Some(newest.covers));
}

#[test]
fn a_log_that_does_not_continue_the_one_seen_is_a_fork() {
    let mut log = Log::new();
    log.take((4, 0, 0));
    let mut seen = log.states[0].clone();
    seen.set_head_hash(EntryHash::of(b"another log/0"));
    let (entry, hash) = &log.entries[1];
    assert!(matches!(seen.follow(entry, *hash), Err(BadLog::Fork { seq: 1 })));
    let (first, hash) = &log.entries[0];
    assert!(matches!(log.state().follow(first, *hash), Err(BadLog::Fork { seq: 0 })));
}

//! Creates whose answers are lost, late or wrong (ported from `slot_model.py` and `identity_and_holes.py`).
//!
//! Each writer wants its change in the log exactly once and drives a real [`Append`]. A create may land and its answer be
//! lost, may be delayed and land later or never, or may be answered with "exists" although nothing is there. A writer may
//! also stop at any time and resume from its journal.

use std::collections::BTreeSet;
use std::fmt;

use datamon::catalog::change::{Change, Push};
use datamon::catalog::slot::{Action, Append, Event};
use datamon::catalog::{ChangeRecord, Entry, Rule, Rules, Writer};
use datamon::id::{EntryHash, Nonce, RepoId, StoreId};

use super::explore::{Model, explore};

/// Slots after this one are of no interest.
const LAST: u64 = 4;

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    log: Vec<Vec<u8>>,
    /// Creates that may still land.
    net: BTreeSet<(u64, Vec<u8>)>,
    writers: Vec<Session>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Session {
    append: Append,
    /// How many entries it built, up to one.
    version: u8,
    /// The entry that it built last: the one that an acknowledgement is about.
    built: Option<EntryHash>,
}

struct Slots {
    /// The session of each writer.
    sessions: Vec<u8>,
    delays: bool,
}

fn record(writer: usize, session: u8, version: u8, change: Change) -> Vec<u8> {
    let by = Writer { contributor: Some(session.to_string()), ..Writer::default() };
    let mut record = ChangeRecord::new(0, change, by, 0);
    record.nonce =
        Nonce::from_bytes([[writer as u8, version].repeat(8)].concat().try_into().expect("16 bytes"));
    record.encode()
}

fn push() -> Change {
    Change::Push(Push { repo: RepoId::NIL, rows: None, segments: vec![], labels: vec![], bundles: vec![] })
}

impl Slots {
    fn start(&self, rules: Rules) -> State {
        let init = record(0, 0, 0, Change::Init { store: StoreId::from_bytes([0; 16]) });
        let (bytes, _) = Entry::first(init).encode().expect("short");
        let append = Append::new(rules, 1).with_patience(3);
        let mut state = State { log: vec![bytes], net: BTreeSet::new(), writers: vec![] };
        for writer in 0..self.sessions.len() {
            state.writers.push(Session { append: append.clone(), version: 0, built: None });
            self.settle(&mut state, writer);
        }
        state
    }

    /// Answers what does not depend on the others: reads of entries that are there, and the building of bytes.
    fn settle(&self, state: &mut State, writer: usize) {
        loop {
            let Session { append, version, built } = &mut state.writers[writer];
            let event = match append.action() {
                Action::ReadPrev(seq) => match state.log.get(seq as usize) {
                    Some(bytes) => Event::Read(bytes.clone()),
                    None => Event::Missing,
                },
                Action::Check { slot, prev } => {
                    let entry = Entry::decode(slot - 1, &prev).expect("written by a writer");
                    let change = record(writer, self.sessions[writer], *version, push());
                    *version = (*version + 1).min(1);
                    let next = entry.next(EntryHash::of(&prev), change, Rules::ALL).expect("decodes");
                    let (bytes, hash) = next.encode().expect("short");
                    *built = Some(hash);
                    Event::Built(bytes)
                }
                _ => return,
            };
            append.step(event).expect("an answer to the question");
        }
    }

    fn writer_of(bytes: &[u8], seq: usize) -> u8 {
        let entry = Entry::decode(seq as u64, bytes).expect("written by a writer");
        entry.own().expect("decodes").nonce.as_bytes()[0]
    }
}

/// A create takes effect where the slot is the next one.
fn land(log: &[Vec<u8>], slot: u64, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    (slot == log.len() as u64).then(|| [log, &[bytes.to_vec()]].concat())
}

impl Model for Slots {
    type State = State;

    fn violation(&mut self, state: &State) -> Option<String> {
        let of: Vec<u8> =
            state.log.iter().enumerate().skip(1).map(|(seq, it)| Self::writer_of(it, seq)).collect();
        for (writer, Session { append, built, .. }) in state.writers.iter().enumerate() {
            let entries = of.iter().filter(|it| **it == writer as u8).count();
            if entries > 1 {
                return Some(format!("writer {writer} committed {entries} times"));
            }
            if let Action::Done(slot) = append.action()
                && state.log.get(slot as usize).map(|bytes| EntryHash::of(bytes)) != *built
            {
                return Some(format!(
                    "writer {writer} was acknowledged for an entry that is not in slot {slot}"
                ));
            }
        }
        None
    }

    fn steps(&mut self, state: &State, report: &mut dyn FnMut(State, fmt::Arguments<'_>)) {
        for sent in &state.net {
            let net: BTreeSet<_> = state.net.iter().filter(|it| *it != sent).cloned().collect();
            if let Some(log) = land(&state.log, sent.0, &sent.1) {
                report(
                    State { log, net: net.clone(), ..state.clone() },
                    format_args!("a delayed create of {} lands", sent.0),
                );
            }
            report(
                State { net, ..state.clone() },
                format_args!("a delayed create of {} is lost or refused", sent.0),
            );
        }
        for writer in 0..state.writers.len() {
            self.write_steps(state, writer, report);
        }
    }
}

impl Slots {
    fn write_steps(&self, state: &State, writer: usize, report: &mut dyn FnMut(State, fmt::Arguments<'_>)) {
        let mut after =
            |log: Option<Vec<Vec<u8>>>, late: Option<(u64, Vec<u8>)>, event, what: fmt::Arguments<'_>| {
                let mut next = state.clone();
                next.log = log.unwrap_or(next.log);
                next.net.extend(late);
                next.writers[writer].append.step(event).expect("an answer to the question");
                self.settle(&mut next, writer);
                report(next, format_args!("writer {writer}: {what}"));
            };
        let (slot, bytes) = match state.writers[writer].append.action() {
            Action::Create { slot, bytes } if slot <= LAST => (slot, bytes),
            Action::ReadSlot(slot) => {
                let found = state.log.get(slot as usize).cloned();
                return after(
                    None,
                    None,
                    found.map_or(Event::Missing, Event::Read),
                    format_args!("reads {slot}"),
                );
            }
            _ => return,
        };
        match land(&state.log, slot, &bytes) {
            Some(log) => {
                after(Some(log.clone()), None, Event::Created, format_args!("creates {slot}"));
                after(Some(log), None, Event::Unclear, format_args!("creates {slot}, answer lost"));
            }
            None => after(None, None, Event::Exists, format_args!("creates {slot}: exists")),
        }
        if !self.delays {
            return;
        }
        if state.net.len() < 2 {
            let late = Some((slot, bytes.clone()));
            after(None, late, Event::Unclear, format_args!("creates {slot}, delayed, times out"));
        }
        after(None, None, Event::Exists, format_args!("creates {slot}: exists, wrongly"));
        // The slot and its bytes were journalled before the first create.
        if all_on(&state.writers[writer].append) {
            let mut next = state.clone();
            next.writers[writer].append = Append::resume(Rules::ALL, slot, bytes).with_patience(3);
            report(next, format_args!("writer {writer} stops and resumes"));
        }
    }
}

/// Whether a writer keeps every rule; the others have no journal to resume from.
fn all_on(append: &Append) -> bool {
    append.rules() == Rules::ALL
}

fn run(sessions: &[u8], delays: bool, rules: Rules) -> super::explore::Outcome {
    let mut model = Slots { sessions: sessions.to_vec(), delays };
    let start = model.start(rules);
    explore(&mut model, start)
}

#[test]
fn every_change_lands_once_whatever_the_store_answers() {
    run(&[0, 1], true, Rules::ALL).assert_safe("slot: all rules on");
}

#[test]
fn a_new_entry_after_an_unclear_answer_is_a_loss() {
    run(&[0, 1], true, Rules::without(Rule::SameBytes)).assert_violated("slot: without R5 same bytes");
    let session = Rules::without(Rule::SameBytes).and_without(Rule::ExactBytes);
    run(&[0, 1], true, session).assert_violated("slot: without R5 same bytes, mine by session");
}

#[test]
fn believing_exists_is_a_loss() {
    run(&[0, 1], true, Rules::without(Rule::ReadSlot)).assert_violated("slot: without R5 reading the slot");
}

#[test]
fn two_threads_of_one_session_need_identity_by_bytes() {
    run(&[0, 0, 1], false, Rules::ALL).assert_safe("identity: exact bytes");
    run(&[0, 0, 1], false, Rules::without(Rule::ExactBytes)).assert_violated("identity: session");
}

//! The append loop (R5, R6, R17) as a state machine.
//!
//! Somebody else talks to the store: it carries out the [`Action`] and reports the [`Event`]. The store's answers to a create
//! are not to be trusted: "exists" may come back although nothing is there, an error although the entry landed, and a
//! create given up for lost may land later. So everything but success leads to one question, what the slot holds now:
//!
//! - nothing: the *same* bytes again; should the first create land after all, it is still my entry
//! - exactly my bytes: done
//! - other bytes: they are log/n, read from the store itself, so the change is checked and built anew for slot n+1
//!
//! The loop is bounded: one that never gets a clear answer ends in "outcome unknown", and the journal is kept.

use super::entry::Entry;
use super::rules::{Rule, Rules};

/// Unclear answers about one slot before the loop ends in [`Action::OutcomeUnknown`].
pub const PATIENCE: u32 = 16;

/// Slots lost to others before the loop ends in [`Action::Contended`].
pub const SLOTS: u32 = 1024;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read log/`n` from the store itself, past any cache; answer with a [`Event::Read`], [`Event::Missing`] or [`Event::Failed`].
    ReadPrev(u64),
    /// Fold `prev` (the bytes of the entry before), check the change, build the bytes for slot `slot` with the hash of `prev`,
    /// journal them; answer with [`Event::Built`]. When the check refuses, drop the machine: nothing of this change is in the log.
    Check {
        /// The slot to build for.
        slot: u64,
        /// Bytes of the entry before it.
        prev: Vec<u8>,
    },
    /// Create log/`slot` with these bytes; answer with [`Event::Created`], [`Event::Exists`] or [`Event::Unclear`].
    Create {
        /// The slot.
        slot: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Read log/`n` past any cache, to see whose it is.
    ReadSlot(u64),
    /// The entry is in this slot.
    Done(u64),
    /// Every slot went to somebody else: nothing was written; begin again later.
    Contended,
    /// No clear answer about this slot: the entry may or may not be, or come to be, there. Keep the journal.
    OutcomeUnknown(u64),
    /// log/`n` must be there and is not: stop (R6).
    Damaged(u64),
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The object was read.
    Read(Vec<u8>),
    /// There is no such object: a clear "not found".
    Missing,
    /// The read failed in any other way.
    Failed,
    /// The bytes for the slot.
    Built(Vec<u8>),
    /// The create succeeded.
    Created,
    /// The create was answered with "exists" or "precondition failed".
    Exists,
    /// The create had any other answer, or none.
    Unclear,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    Prev,
    Check(Vec<u8>),
    Create(Vec<u8>),
    Ask(Vec<u8>),
    End(Action),
}

/// One change on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Append {
    rules: Rules,
    slot: u64,
    step: Step,
    unclear: u32,
    patience: u32,
    lost: u32,
}

/// An event that does not answer the last action: a defect of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the append loop was given an answer to another question")]
pub struct NotAnAnswer;

impl Append {
    /// Appends at `slot`, the one after the newest entry known; log/0 is written by [`Append::first`].
    pub fn new(rules: Rules, slot: u64) -> Append {
        Append { rules, slot, step: Step::Prev, unclear: 0, patience: PATIENCE, lost: 0 }
    }

    /// Creates log/0 with these bytes.
    pub fn first(rules: Rules, bytes: Vec<u8>) -> Append {
        Append { step: Step::Create(bytes), ..Append::new(rules, 0) }
    }

    /// Resumes a session that stopped in the loop: resolves its journalled slot before anything else (R5).
    pub fn resume(rules: Rules, slot: u64, bytes: Vec<u8>) -> Append {
        Append { step: Step::Ask(bytes), ..Append::new(rules, slot) }
    }

    /// With another bound than [`PATIENCE`].
    pub fn with_patience(self, patience: u32) -> Append {
        Append { patience, ..self }
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// What to do next; asking twice gives the same answer.
    pub fn action(&self) -> Action {
        match &self.step {
            Step::Prev => match self.slot.checked_sub(1) {
                Some(prev) => Action::ReadPrev(prev),
                None => Action::Damaged(0),
            },
            Step::Check(prev) => Action::Check { slot: self.slot, prev: prev.clone() },
            Step::Create(bytes) => Action::Create { slot: self.slot, bytes: bytes.clone() },
            Step::Ask(_) => Action::ReadSlot(self.slot),
            Step::End(action) => action.clone(),
        }
    }

    /// Takes the answer to the last action and says what to do next.
    pub fn step(&mut self, event: Event) -> Result<Action, NotAnAnswer> {
        let step = std::mem::replace(&mut self.step, Step::Prev);
        self.step = match (step, event) {
            (Step::Prev, Event::Read(prev)) => Step::Check(prev),
            (Step::Prev, Event::Missing) => Step::End(Action::Damaged(self.slot.saturating_sub(1))),
            (Step::Prev, Event::Failed) => self.again(Step::Prev),
            (Step::Check(_), Event::Built(bytes)) => Step::Create(bytes),
            (Step::Create(_), Event::Created) => Step::End(Action::Done(self.slot)),
            (Step::Create(_), Event::Exists) if !self.rules.on(Rule::ReadSlot) => self.next_slot(Step::Prev),
            (Step::Create(_), Event::Unclear) if !self.rules.on(Rule::SameBytes) => self.again(Step::Prev),
            (Step::Create(bytes), Event::Exists | Event::Unclear) => Step::Ask(bytes),
            (Step::Ask(bytes), Event::Missing) => self.again(Step::Create(bytes)),
            (Step::Ask(bytes), Event::Failed) => self.again(Step::Ask(bytes)),
            (Step::Ask(bytes), Event::Read(found)) if self.is_mine(&bytes, &found) => {
                Step::End(Action::Done(self.slot))
            }
            (Step::Ask(_), Event::Read(_)) if self.slot == 0 => Step::End(Action::Contended),
            (Step::Ask(_), Event::Read(found)) => self.next_slot(Step::Check(found)),
            (step, _) => {
                self.step = step;
                return Err(NotAnAnswer);
            }
        };
        Ok(self.action())
    }

    fn is_mine(&self, sent: &[u8], found: &[u8]) -> bool {
        if self.rules.on(Rule::ExactBytes) {
            return sent == found;
        }
        let writer =
            |bytes| Entry::decode(self.slot, bytes).and_then(|entry| entry.own()).map(|own| own.writer);
        matches!((writer(sent), writer(found)), (Ok(sent), Ok(found)) if sent == found)
    }

    fn again(&mut self, step: Step) -> Step {
        self.unclear += 1;
        if self.unclear < self.patience { step } else { Step::End(Action::OutcomeUnknown(self.slot)) }
    }

    fn next_slot(&mut self, step: Step) -> Step {
        self.unclear = 0;
        self.lost += 1;
        match self.slot.checked_add(1) {
            Some(slot) if self.lost < SLOTS => {
                self.slot = slot;
                step
            }
            _ => Step::End(Action::Contended),
        }
    }
}

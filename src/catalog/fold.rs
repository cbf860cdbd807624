//! Opening: from the newest entry to the state, and from a state to a later one.

use std::fmt;

use super::checkpoint::{self, BadCheckpoint, Blobs};
use super::entry::{BadEntry, Entry};
use super::rules::Rules;
use super::state::{Gap, State};
use crate::id::EntryHash;

/// A log that cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum BadLog {
    /// An entry cannot be read.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] BadCheckpoint),
    /// The state is older than what the newest checkpoint covers: open the entry anew.
    #[error(transparent)]
    Gap(#[from] Gap),
    /// The entry does not follow the one that was seen (R6).
    #[error(fmt = fork)]
    Fork {
        /// The entry.
        seq: u64,
    },
}

/// What is wrong, and what helps; `{:#}` leaves that out, for who says it better.
fn fork(seq: &u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "log entry {seq} does not follow the entry seen before it: the log was copied, restored or holed"
    )?;
    if f.alternate() { Ok(()) } else { f.write_str("; drop the cache and run `git datamon fsck`") }
}

impl State {
    /// The state after `entry`, the bytes of which have the hash `hash`; `blobs` are those of [`Entry::checkpoint`].
    pub fn open(rules: Rules, entry: &Entry, hash: EntryHash, blobs: &Blobs) -> Result<State, BadLog> {
        let mut state = match entry.checkpoint()? {
            Some((_, newest)) => checkpoint::decode(rules, &newest, blobs)?,
            None => State::new(rules),
        };
        state.follow(entry, hash)?;
        Ok(state)
    }

    /// Goes on to a later entry: applies what of its tail, and then its own change, is new.
    ///
    /// [`BadLog::Gap`] means that a checkpoint has folded changes away that this state has not seen; then the entry is to be
    /// opened. After an error the state is to be thrown away.
    pub fn follow(&mut self, entry: &Entry, hash: EntryHash) -> Result<(), BadLog> {
        let seq = entry.seq();
        if seq < self.next || (seq == self.next && self.hash.is_some_and(|seen| seen != entry.prev())) {
            return Err(BadLog::Fork { seq });
        }
        for (seq, record) in entry.records()? {
            if seq >= self.next {
                self.apply(seq, &record)?;
            }
        }
        if entry.is_unknown() {
            self.note_unknown(seq, false);
        }
        self.set_head_hash(hash);
        Ok(())
    }
}

//! The search for the newest entry, without LIST (R6).
//!
//! From an entry known to be there the search gallops (+1, +2, +4 …) and then bisects, so that finding nothing new costs one
//! probe. It trusts that the log is dense, which a lost object breaks: a reader may then stop short of the hole, but a
//! writer that has not followed the log up to its head lists what lies beyond before it creates anything ([`refuse_beyond`]).

use std::collections::BTreeSet;

/// Entries that may lack in a row; a name further up is none of the log.
pub(super) const MOST_LOST: u64 = 4096;

/// The newest of the entries that are listed, wherever some lack between them.
pub fn newest(listed: impl IntoIterator<Item = u64>) -> Option<u64> {
    let (mut newest, listed) = (None, listed.into_iter().collect::<BTreeSet<u64>>());
    for seq in listed {
        if seq - newest.unwrap_or(0) > MOST_LOST {
            break;
        }
        newest = Some(seq);
    }
    newest
}

/// No head was found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHead<E> {
    /// A probe failed.
    #[error(transparent)]
    Probe(#[from] E),
    /// There is no log/0: not a store, or a damaged one.
    #[error(
        "there is no log entry 0: this is not a datamon store, or its log was removed; run `git datamon fsck`"
    )]
    NoLog,
}

/// An entry that must be there is missing, or lies where nothing should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Holed {
    /// An entry lies beyond the head that the search found.
    #[error("log entry {beyond} exists but {missing} does not: the log has a hole; run `git datamon fsck`")]
    Beyond {
        /// The entry found.
        beyond: u64,
        /// The slot that the search took for free.
        missing: u64,
    },
}

/// The newest entry. `known` is an entry that must exist: a hint, or the head of the cache; whoever got it from a hint reads it
/// before trusting it, and a 404 there is damage.
///
/// Without `known` the search begins by asking for log/0.
pub fn find<E>(known: Option<u64>, mut probe: impl FnMut(u64) -> Result<bool, E>) -> Result<u64, NoHead<E>> {
    let mut there = match known {
        Some(known) => known,
        None if probe(0)? => 0,
        None => return Err(NoHead::NoLog),
    };
    let from = there;
    let mut stride = 1u64;
    // Invariant: `there` exists, and when the gallop ends `missing` does not.
    let mut missing = loop {
        let ahead = from.saturating_add(stride);
        if ahead == there {
            return Ok(there);
        }
        if !probe(ahead)? {
            break ahead;
        }
        there = ahead;
        stride = stride.saturating_mul(2);
    };
    while missing - there > 1 {
        let middle = there + (missing - there) / 2;
        if probe(middle)? { there = middle } else { missing = middle }
    }
    Ok(there)
}

/// What a cold writer does with the one LIST of `log/` before its first create: any entry after `head` is damage.
///
/// A LIST is only ever a positive proof: one that shows nothing proves nothing.
pub fn refuse_beyond(head: u64, listed: impl IntoIterator<Item = u64>) -> Result<(), Holed> {
    match listed.into_iter().find(|seq| *seq > head) {
        Some(beyond) => Err(Holed::Beyond { beyond, missing: head + 1 }),
        None => Ok(()),
    }
}

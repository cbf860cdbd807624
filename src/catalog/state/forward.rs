//! Forwards: where repacked frames lie now (R4).

use std::collections::BTreeSet;

use super::State;
use crate::catalog::change::Forward;
use crate::id::PackId;
use crate::pack::{Blob, Term};
use crate::table::Leads;

/// A run of whole frames in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// The pack.
    pub pack: PackId,
    /// Offset of the first frame, bytes.
    pub offset: u64,
    /// Stored length, bytes.
    pub stored: u64,
}

impl Run {
    /// The frame there that was written as `blob`, and is as long.
    pub fn blob(&self, blob: &Blob) -> Blob {
        Blob { pack: self.pack, offset: self.offset, stored: blob.stored }
    }
}

impl From<&Term> for Run {
    fn from(term: &Term) -> Run {
        Run { pack: term.pack, offset: term.offset, stored: term.stored }
    }
}

impl From<&Blob> for Run {
    fn from(blob: &Blob) -> Run {
        Run { pack: blob.pack, offset: blob.offset, stored: u64::from(blob.stored) }
    }
}

impl Leads for State {
    /// Frames of metadata are forwarded only by a repair, one by one: what lies at the end is what was written (ADR 21).
    fn lead(&self, blob: &Blob) -> Blob {
        self.end(Run::from(blob)).blob(blob)
    }
}

impl State {
    /// Where a run lies one forward further; `None` when no forward covers the whole of it. Where forwards of several collections
    /// overlap, the last that begins no later than the run has to cover it.
    pub fn forward(&self, run: Run) -> Option<Run> {
        let range = self.covering(run.pack, run.offset)?;
        let skip = run.offset - range.offset;
        let covered = skip.checked_add(run.stored).is_some_and(|end| end <= range.stored);
        covered.then_some(())?;
        Some(Run { pack: range.to, offset: range.at.checked_add(skip)?, stored: run.stored })
    }

    /// The forward that has to cover a run which begins there.
    fn covering(&self, pack: PackId, offset: u64) -> Option<&Forward> {
        let ranges = self.forwards.get(&pack)?;
        let before = ranges.partition_point(|range| range.offset <= offset);
        ranges.get(before.checked_sub(1)?)
    }

    /// Whether a new forward would stand before one that reaches further: what begins in both would be covered no more.
    pub(super) fn uncovers(&self, new: &Forward) -> bool {
        let end = |range: &Forward| range.offset.saturating_add(range.stored);
        self.covering(new.from, new.offset).is_some_and(|range| end(range) > end(new))
    }

    /// The places of a run, from where it was written to the end of its chain of forwards.
    ///
    /// A reader takes the first that is present. A chain never meets itself, since a forward leads to a pack of its own
    /// entry; if a hostile log says otherwise the chain ends there.
    pub fn places(&self, run: Run) -> Vec<Run> {
        let mut seen = BTreeSet::from([run.pack]);
        let mut places = vec![run];
        let mut at = run;
        while let Some(next) = self.forward(at) {
            if !seen.insert(next.pack) {
                break;
            }
            places.push(next);
            at = next;
        }
        places
    }

    /// The end of the chain of forwards: the place that new rows name and that a mark keeps alive.
    pub fn end(&self, run: Run) -> Run {
        if self.forwards.is_empty() { run } else { self.places(run).last().copied().unwrap_or(run) }
    }

    /// A pack and all packs that its forwards lead to, whatever is named in it.
    pub fn heirs(&self, pack: PackId) -> BTreeSet<PackId> {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![pack]);
        while let Some(pack) = todo.pop() {
            if seen.insert(pack) {
                todo.extend(self.forwards.get(&pack).into_iter().flatten().map(|forward| forward.to));
            }
        }
        seen
    }
}

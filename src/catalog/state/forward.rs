//! Forwards: where repacked frames lie now (R4).

use std::collections::BTreeSet;

use super::State;
use crate::id::PackId;
use crate::pack::{Blob, Term};

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

impl State {
    /// Where a run lies one forward further; `None` when no forward covers the whole of it.
    pub fn forward(&self, run: Run) -> Option<Run> {
        let ranges = self.forwards.get(&run.pack)?;
        let before = ranges.partition_point(|range| range.offset <= run.offset);
        let range = ranges.get(before.checked_sub(1)?)?;
        let skip = run.offset - range.offset;
        let covered = skip.checked_add(run.stored).is_some_and(|end| end <= range.stored);
        covered.then_some(())?;
        Some(Run { pack: range.to, offset: range.at.checked_add(skip)?, stored: run.stored })
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
        self.places(run).last().copied().unwrap_or(run)
    }
}

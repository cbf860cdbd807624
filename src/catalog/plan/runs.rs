//! Runs: what the entries of the log added to a table, and which of it should become one.
//!
//! A lookup asks each run, so their number is what it costs: at most [`MOST_RUNS`], at any size. When there is one more, the
//! newest of them are merged: so many that the number is right again, and that each run that stays is larger by a factor than
//! all newer ones together. So sizes stay geometric, and a row is written again some nine times while a table grows to a
//! million rows by a thousand at a time. Only neighbours in age are merged: then newer runs have newer rows, and who finds a
//! row in one need not ask the older ones.

use crate::catalog::change::TableKind;
use crate::catalog::state::{Segment, State};

/// Runs of a table above which the newest are merged.
pub const MOST_RUNS: usize = 4;
/// A run is left alone by a merge of newer ones while it is larger by this factor than all of them. With 2 or 8 twice as much
/// is written while a table grows, with 3 or 6 about as much; `catalog/tests/runs.rs` has figures.
const FACTOR: u64 = 4;

/// Segments of one table that one entry added: their key ranges lie side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRun<'a> {
    /// The segments, in key order.
    pub segments: Vec<&'a Segment>,
    /// No row in it was born later; what a row's `born` of 0 stands for.
    pub born: u64,
    /// Its rows.
    pub rows: u64,
}

/// The runs of a table that this version can read, newest first.
///
/// Segments that overlap are never in one run, whatever the log says.
pub fn runs(state: &State, table: TableKind) -> Vec<TableRun<'_>> {
    let mut segments: Vec<&Segment> = state.table(table).collect();
    segments
        .sort_by_key(|it| (std::cmp::Reverse((it.born, it.oldest)), it.at.first, it.at.last, it.at.fence));
    let mut runs: Vec<TableRun<'_>> = Vec::new();
    for segment in segments {
        let born = segment.born;
        let beside = |run: &&mut TableRun<'_>| {
            run.segments.last().is_some_and(|last| {
                (last.born, last.oldest) == (born, segment.oldest) && last.at.last <= segment.at.first
            })
        };
        match runs.last_mut().filter(beside) {
            Some(run) => {
                run.rows = run.rows.saturating_add(segment.at.rows);
                run.segments.push(segment);
            }
            None => runs.push(TableRun { segments: vec![segment], born, rows: segment.at.rows }),
        }
    }
    runs
}

/// How many of the newest runs (at least two) are to become one; `None` while there are few enough.
pub fn due(runs: &[TableRun<'_>], most: usize) -> Option<usize> {
    if runs.len() <= most {
        return None;
    }
    let mut count = runs.len() - most + 1;
    let mut newer: u64 = 0;
    for (at, run) in runs.iter().enumerate() {
        if run.rows < newer.saturating_mul(FACTOR) {
            count = count.max(at + 1);
        }
        newer = newer.saturating_add(run.rows);
    }
    Some(count)
}

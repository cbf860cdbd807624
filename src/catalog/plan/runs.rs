//! Runs: what the entries of the log added to a table, and which of it should become one.
//!
//! A lookup asks each run, so their number is what it costs: at most [`MOST_RUNS`], at any size. When there is one more, the
//! newest of them are merged: at least so many that the number is right again, and on from there as long as the next older
//! run is not larger than all newer ones together by a factor, so that sizes stay geometric and a row is written again some
//! nine times while a table grows to a million rows by a thousand at a time. Only neighbours in age are merged: then newer runs
//! have newer rows, and who finds a row in one need not ask the older ones.

use crate::catalog::change::TableKind;
use crate::catalog::state::{Segment, State};

/// Runs of a table above which the newest are merged.
pub const MOST_RUNS: usize = 4;
/// A run is left alone by a merge of all newer ones while it is larger than they are by this factor.
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
    let rows = |runs: &[TableRun<'_>]| runs.iter().map(|run| run.rows).fold(0, u64::saturating_add);
    let mut newer = rows(&runs[..count]);
    while let Some(next) = runs.get(count).filter(|run| run.rows < newer.saturating_mul(FACTOR)) {
        newer = newer.saturating_add(next.rows);
        count += 1;
    }
    Some(count)
}

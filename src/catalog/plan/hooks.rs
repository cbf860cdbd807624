//! Hooks: how many rows their table keeps, and which of its runs should become one.
//!
//! Up to [`MOST_ROWS`] chunks each has a row. Above that the table is a sample, one chunk in 2, 4, 8 and so on: everybody
//! takes the shift that the size of the table asks for, whatever shifts the others took. What was written while the table was
//! smaller has more rows than are needed, and a merge takes them away.

use super::runs::{TableRun, due};
use crate::catalog::change::SegmentRef;
use crate::table::Sample;

/// Rows that the table should have: 2^24 chunks of 16 KiB are 256 GiB.
pub const MOST_ROWS: u64 = 1 << 24;
/// With more rows than this all runs are merged, whatever their sizes, so that the shift gets hold of old ones. As at least half of
/// [`MOST_ROWS`] has come then since the last time, a row is written some three times more.
pub const TOO_MANY_ROWS: u64 = MOST_ROWS / 2 * 3;
/// Runs of hooks above which the newest are merged: only a push that looks far reads them, and then most of them.
const MOST_HOOK_RUNS: usize = 8;

/// What these segments of hooks have.
pub fn sample<'a>(segments: impl IntoIterator<Item = &'a SegmentRef>) -> Sample {
    segments.into_iter().map(|it| (it.rows, it.shift)).collect()
}

/// The shift of what is written now: `more` chunks, or a merge.
pub fn shift(sample: &Sample, more: u64) -> u8 {
    sample.shift(more, MOST_ROWS)
}

/// How many of the newest runs of hooks are to become one.
pub fn hooks_due(runs: &[TableRun<'_>]) -> Option<usize> {
    let segments = || runs.iter().flat_map(|run| &run.segments).map(|segment| &segment.at);
    let sample = sample(segments());
    let wanted = shift(&sample, 0);
    let all = sample.rows() > TOO_MANY_ROWS && segments().any(|it| it.shift < wanted);
    if all { Some(runs.len()) } else { due(runs, MOST_HOOK_RUNS) }
}

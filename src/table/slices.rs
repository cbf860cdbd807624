//! Slices: the rows of several runs together in key order, a part of the key range at a time.
//!
//! What goes through a whole table, a merge above all, does it in bounded memory: some MiB for each run. It is also strict,
//! since what it does not hand over is dropped by a merge for good: every row that the log promises has to come, in order.

use std::collections::VecDeque;

use rayon::prelude::*;

use super::row::{BadBlock, Row, decode_rows};
use super::segment::{Fence, TableError, Written, bad, read_frame};
use crate::cache::Cache;
use crate::id::{Oid, PackKind, Prefix, RepoId};
use crate::pack::{Blob, PackError, decode_exact};
use crate::store::{Store, key};

/// Stored bytes of blocks in one request, some 16,000 rows.
const BATCH: u64 = 1 << 20;

/// All rows of some runs, slice by slice: each slice has every row of the keys in it.
pub struct Slices<'a> {
    store: &'a Store,
    runs: Vec<Cursor>,
}

impl<'a> Slices<'a> {
    /// The rows of `runs`: for each its segments, side by side in key order, and the birth of its rows that name none.
    pub fn new(store: &'a Store, runs: impl IntoIterator<Item = (Vec<Written>, u64)>) -> Self {
        let runs = runs.into_iter().map(|(segments, born)| Cursor::new(segments, born)).collect();
        Slices { store, runs }
    }

    fn next_slice(&mut self) -> Result<Vec<Row>, TableError> {
        loop {
            for run in self.runs.iter_mut().filter(|run| run.rows.is_empty()) {
                run.fill(self.store)?;
            }
            // Of the keys before this one nobody has rows to come.
            let open = self.runs.iter_mut().filter(|run| !run.is_at_end());
            let Some(least) = open.min_by_key(|run| run.last_key()) else {
                return Ok(self.runs.iter_mut().flat_map(|run| run.rows.drain(..)).collect());
            };
            let bound = least.last_key();
            if least.rows.front().map(Row::key) == bound {
                least.fill(self.store)?;
                continue;
            }
            let before = |run: &Cursor| run.rows.partition_point(|row| Some(row.key()) < bound);
            return Ok(self.runs.iter_mut().flat_map(|run| run.rows.drain(..before(run))).collect());
        }
    }
}

impl Iterator for Slices<'_> {
    type Item = Result<Vec<Row>, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let slice = self.next_slice();
        if slice.is_err() {
            // What comes after damage would look like everything.
            self.runs.clear();
        }
        Some(slice).filter(|slice| !matches!(slice, Ok(rows) if rows.is_empty()))
    }
}

/// One run, read from its first row to its last.
struct Cursor {
    born: u64,
    segments: VecDeque<Written>,
    open: Option<Open>,
    rows: VecDeque<Row>,
    /// The last row that was read.
    last: Option<(Oid, RepoId)>,
}

/// The segment being read.
struct Open {
    at: Written,
    blocks: VecDeque<Blob>,
    seen: u64,
}

impl Cursor {
    fn new(segments: Vec<Written>, born: u64) -> Cursor {
        Cursor { born, segments: segments.into(), open: None, rows: VecDeque::new(), last: None }
    }

    /// Whether no rows are to come but those at hand.
    fn is_at_end(&self) -> bool {
        self.open.is_none() && self.segments.is_empty()
    }

    fn last_key(&self) -> Option<(Oid, RepoId)> {
        self.rows.back().map(Row::key)
    }

    /// Reads on: afterwards more rows are at hand than before, or the run is at its end.
    fn fill(&mut self, store: &Store) -> Result<(), TableError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.segments.pop_front() {
                Some(at) => Open::new(store, at)?,
                None => return Ok(()),
            },
        };
        let pack = open.at.fence.pack;
        let damaged = |what| bad(pack, BadBlock::Inconsistent(what));
        let rows = open.next_rows(store)?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Err(damaged("a block has no rows"));
        };
        let begins = open.seen > 0 || Prefix::from(&first.oid) == open.at.first;
        let ordered = self.last.is_none_or(|last| last <= first.key()) && rows.is_sorted_by_key(Row::key);
        open.seen += rows.len() as u64;
        self.last = Some(last.key());
        if !begins || !ordered {
            return Err(damaged("rows are out of order"));
        }
        let whole = open.seen == open.at.rows && Prefix::from(&last.oid) == open.at.last;
        if open.blocks.is_empty() && !whole {
            return Err(damaged("rows are missing"));
        }
        let resolve = |row: Row| Row { born: if row.born == 0 { self.born } else { row.born }, ..row };
        self.rows.extend(rows.into_iter().map(resolve));
        self.open = Some(open).filter(|open| !open.blocks.is_empty());
        Ok(())
    }
}

impl Open {
    fn new(store: &Store, at: Written) -> Result<Open, TableError> {
        let fence = Fence::decode(&at, &read_frame(store, &Cache::none(), &at.fence)?)?;
        Ok(Open { at, blocks: fence.blobs().collect(), seen: 0 })
    }

    /// The rows of the next blocks: one range GET.
    fn next_rows(&mut self, store: &Store) -> Result<Vec<Row>, TableError> {
        let pack = self.at.fence.pack;
        let Some(first) = self.blocks.front().copied() else { return Ok(vec![]) };
        let count = self.blocks.partition_point(|blob| blob.end() - first.offset <= BATCH).max(1);
        let batch: Vec<Blob> = self.blocks.drain(..count).collect();
        let bytes = store.get_range(
            &key::pack(PackKind::Meta, pack),
            first.offset..batch.last().expect("at least one").end(),
        )?;
        let decode = |blob: &Blob| {
            let at = (blob.offset - first.offset) as usize;
            let raw = decode_exact(&bytes[at..at + blob.stored as usize])
                .map_err(|source| PackError::bad(PackKind::Meta, pack, source))?;
            decode_rows(&raw).map_err(|source| bad(pack, source))
        };
        let blocks: Vec<Vec<Row>> = batch.par_iter().map(decode).collect::<Result<_, TableError>>()?;
        Ok(blocks.into_iter().flatten().collect())
    }
}

//! Merging: whoever made one run too many makes one run of the newest, so that a lookup asks few (R9).
//!
//! Which runs is decided by [`plan::due`], what becomes of their rows by [`plan::merge`]; here their rows go through memory,
//! a slice of the key range at a time, and into packs of a segment each. The segments that go stay in the store until a
//! collection takes them: who reads an older state reads on. Whoever was faster wins, and to be second loses nothing but work.

use std::collections::BTreeSet;

use super::change::{Change, ChangeRecord, Compact, SegmentRef, TableKind};
use super::log::{Catalog, CatalogError, now, writer};
use super::plan::{self, MOST_RUNS, TableRun};
use super::state::{Remedy, Segment};
use crate::id::{PackId, PackKind};
use crate::pack::{Blob, PackInfo, PackWriter};
use crate::table::{HookMerge, Row, Slices, Written, segment_len, write_segment};

/// Runs of hooks above which the newest are merged: only a push that looks far reads them, and then most of them.
const MOST_HOOK_RUNS: usize = 8;

/// What a merge has written so far.
#[derive(Default)]
struct Output {
    segments: Vec<SegmentRef>,
    added: Vec<(PackId, PackInfo)>,
    named: BTreeSet<PackId>,
}

impl Catalog {
    /// Merge the newest runs of each table that has too many. `false` when there was nothing to do, or another writer was
    /// faster, which is as good.
    pub fn merge_runs(&mut self) -> Result<bool, CatalogError> {
        let mut merged = false;
        for (table, most) in [(TableKind::Files, MOST_RUNS), (TableKind::Hooks, MOST_HOOK_RUNS)] {
            merged |= self.merge_table(table, most)?;
        }
        Ok(merged)
    }

    fn merge_table(&mut self, table: TableKind, most: usize) -> Result<bool, CatalogError> {
        let runs = plan::runs(&self.state, table);
        // R10: what is not understood may rely on the segments as they are.
        let Some(count) = plan::due(&runs, most).filter(|_| self.state.unknown().is_none()) else {
            return Ok(false);
        };
        let runs = &runs[..count];
        let segments = || runs.iter().flat_map(|run| &run.segments);
        let suspect = |segment: &&Segment| self.suspects.has(segment.at.fence.pack);
        if table == TableKind::Files && segments().any(suspect) {
            return Ok(false);
        }
        let outs: Vec<Blob> = segments().map(|segment| segment.at.fence).collect();
        let Output { segments, added, named } = match table {
            TableKind::Files => self.merge_files(runs)?,
            TableKind::Hooks => self.merge_hooks(runs)?,
            TableKind::Unknown => return Ok(false),
        };
        let change = Change::Compact(Compact { outs, segments, forwards: vec![] });
        let mut record = ChangeRecord::new(self.head.seq(), change, writer(), now());
        record.added = added;
        record.named = named.into_iter().collect();
        match self.commit(&record) {
            Ok(_) => Ok(true),
            Err(CatalogError::Refused(refusal)) if refusal.remedy() != Remedy::Upgrade => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn merge_files(&self, runs: &[TableRun<'_>]) -> Result<Output, CatalogError> {
        let mut output = Output::default();
        let mut rows: Vec<Row> = Vec::new();
        for slice in Slices::new(&self.store, runs.iter().map(TableRun::written)) {
            let merged = plan::merge(&self.state, slice?, true);
            output.named.extend(merged.named);
            rows.extend(merged.rows);
            // The last one is full only when a row comes that does not fit.
            while segment_len(&rows) < rows.len() {
                self.write_files(&mut output, &mut rows)?;
            }
        }
        if !rows.is_empty() {
            self.write_files(&mut output, &mut rows)?;
        }
        Ok(output)
    }

    /// Hooks of packs that left the table go. Those of a damaged segment are lost, which costs deduplication.
    fn merge_hooks(&self, runs: &[TableRun<'_>]) -> Result<Output, CatalogError> {
        let mut output = Output::default();
        let segments = runs.iter().flat_map(|run| run.written().0).collect();
        let keep = |pack| self.state.packs().contains_key(&pack);
        for merged in HookMerge::new(&self.store, segments, &keep) {
            let mut pack = PackWriter::new(PackKind::Meta);
            output.segments.push(SegmentRef::new(TableKind::Hooks, &merged?.write(&mut pack)));
            self.put(&mut output, pack)?;
        }
        Ok(output)
    }

    /// Writes the first of these rows, as many as one segment takes, and leaves the others.
    fn write_files(&self, output: &mut Output, rows: &mut Vec<Row>) -> Result<(), CatalogError> {
        let mut pack = PackWriter::new(PackKind::Meta);
        let count = segment_len(rows);
        let written = write_segment(&mut pack, &mut rows[..count]);
        rows.drain(..count);
        output.segments.push(SegmentRef::new(TableKind::Files, &written));
        self.put(output, pack)
    }

    fn put(&self, output: &mut Output, pack: PackWriter) -> Result<(), CatalogError> {
        let pack = pack.finish();
        pack.put(&self.store)?;
        output.added.push((pack.id, pack.info));
        Ok(())
    }

    /// Every live row of the store, the newest of each key, in key order: a part at a time, in bounded memory.
    pub fn live_rows(&self) -> Result<LiveRows<'_>, CatalogError> {
        let runs = plan::runs(&self.state, TableKind::Files);
        let slices = Slices::new(&self.store, runs.iter().map(TableRun::written));
        let mut inline = self.inline_rows()?;
        inline.sort_by_key(|row| std::cmp::Reverse(row.key()));
        Ok(LiveRows { catalog: self, slices, inline })
    }
}

/// See [`Catalog::live_rows`].
pub struct LiveRows<'a> {
    catalog: &'a Catalog,
    slices: Slices<'a>,
    /// Rows in the log itself whose turn is to come, last key first.
    inline: Vec<Row>,
}

impl Iterator for LiveRows<'_> {
    type Item = Result<Vec<Row>, CatalogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rows = match self.slices.next() {
            Some(Err(error)) => return Some(Err(error.into())),
            Some(Ok(rows)) => rows,
            None if self.inline.is_empty() => return None,
            None => vec![],
        };
        // A slice has every row of its keys, so those up to its last key are complete.
        let last = rows.iter().map(Row::key).max();
        let later = last.map_or(0, |last| self.inline.partition_point(|row| row.key() > last));
        rows.extend(self.inline.drain(later..));
        Some(Ok(plan::merge(&self.catalog.state, rows, false).rows))
    }
}

impl TableRun<'_> {
    /// Its segments as they were written, and the birth of rows that name none.
    fn written(&self) -> (Vec<Written>, u64) {
        (self.segments.iter().map(|segment| segment.at.written()).collect(), self.born)
    }
}

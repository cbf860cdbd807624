//! Merging: whoever made one run too many makes one run of the newest, so that a lookup asks few (R9).
//!
//! Which runs is decided by [`plan::due`], what becomes of their rows by [`plan::merge`]; here their rows go through memory,
//! a slice of the key range at a time, and into packs that are put as they are filled. The segments that go stay in the store
//! until a collection takes them: who reads an older state reads on. Whoever was faster wins, and to be second loses nothing
//! but work.
//!
//! What a merge of `files` does not hand over is dropped for good, so a damaged segment is never merged: it is suspected, which
//! `fsck` and pushes then know too, what was written so far is taken back, and from then on only newer runs are merged. Hooks
//! are hints, and a merge leaves those out that cannot be read.

use std::collections::BTreeSet;

use super::change::{Change, Compact, SegmentRef, TableKind};
use super::error::CatalogError;
use super::log::Catalog;
use super::plan::{self, TableRun};
use super::state::{Remedy, Segment, State};
use crate::cache::Cache;
use crate::id::PackId;
use crate::pack::{Blob, MetaSeries};
use crate::store::Store;
use crate::table::{
    HookMerge, Leads, Recipe, Row, Slices, Written, is_damage, kept, segment_len, write_segment,
};

/// Runs of hooks merged at a time: each is some 2 MiB in memory. Where there are more the next upkeep goes on.
const MOST_HOOK_INPUTS: usize = 16;

/// What a merge has written so far.
struct Output {
    segments: Vec<SegmentRef>,
    metas: MetaSeries,
    named: BTreeSet<PackId>,
}

impl Catalog {
    /// Merge the newest runs of each table that has too many. `false` when there was nothing to do, or another writer was
    /// faster, which is as good. An error in one table does not keep the other from being merged.
    pub fn merge_runs(&mut self) -> Result<bool, CatalogError> {
        let files = self.merge_table(TableKind::Files);
        let hooks = self.merge_table(TableKind::Hooks);
        Ok(files? | hooks?)
    }

    fn merge_table(&mut self, table: TableKind) -> Result<bool, CatalogError> {
        let mut output =
            Output { segments: vec![], metas: MetaSeries::new(&self.store), named: BTreeSet::new() };
        let mut runs = plan::runs(&self.state, table);
        if table == TableKind::Files {
            let suspect = |segment: &&Segment| self.suspects.has(segment.at.fence.pack);
            runs.truncate(runs.iter().take_while(|run| !run.segments.iter().any(suspect)).count());
        }
        let due = match table {
            TableKind::Hooks => plan::hooks_due(&runs),
            _ => plan::due(&runs, plan::MOST_RUNS),
        };
        // R10: what is not understood may rely on the segments as they are.
        let Some(count) = due.filter(|_| self.state.unknown().is_none()) else { return Ok(false) };
        runs.truncate(if table == TableKind::Hooks { count.min(MOST_HOOK_INPUTS) } else { count });
        let outs: Vec<Blob> =
            runs.iter().flat_map(|run| &run.segments).map(|segment| segment.at.fence).collect();
        let merged = match table {
            TableKind::Files => self.merge_files(&runs, &mut output),
            TableKind::Hooks => self.merge_hooks(&runs, &mut output),
            TableKind::Unknown => return Ok(false),
        };
        if let Err(error) = merged {
            output.metas.discard();
            let damaged = self.damaged(&runs, &error);
            self.suspect(damaged);
            return Err(error);
        }
        self.compact(outs, output)
    }

    /// The packs of the segments that are to blame for the error: not those that the store does not give today.
    fn damaged(&self, runs: &[TableRun<'_>], error: &CatalogError) -> Vec<PackId> {
        let CatalogError::Table(error) = error else { return vec![] };
        let written = runs.iter().flat_map(|run| run.written().0);
        written.filter(|at| is_damage(&self.store, at, error)).map(|at| at.fence.pack).collect()
    }

    fn merge_files(&self, runs: &[TableRun<'_>], output: &mut Output) -> Result<(), CatalogError> {
        let mut rows: Vec<Row> = Vec::new();
        for slice in Slices::new(&self.store, runs.iter().map(TableRun::written)) {
            let merged = plan::merge(&self.state, slice?, true);
            output.named.extend(merged.named);
            rows.extend(merged.rows);
            // The last one is full only when a row comes that does not fit.
            while segment_len(&rows) < rows.len() {
                output.write_files(&mut rows, &self.cache)?;
            }
        }
        if rows.is_empty() { Ok(()) } else { output.write_files(&mut rows, &self.cache) }
    }

    /// Hooks of packs that left the table go, and what a table as large as this one does not keep. Those of a damaged segment are
    /// lost, which costs deduplication.
    fn merge_hooks(&self, runs: &[TableRun<'_>], output: &mut Output) -> Result<(), CatalogError> {
        let shifts = runs.iter().flat_map(|run| &run.segments).map(|segment| segment.at.shift);
        let shift = shifts.chain([self.hook_shift(0)]).max().unwrap_or(0);
        let segments = runs.iter().flat_map(|run| run.written().0).collect();
        let keep = |pack| self.state.packs().contains_key(&pack);
        for merged in HookMerge::new(&self.store, segments, &keep, kept(shift)) {
            let written = merged?.write(output.metas.room()?);
            output.segments.push(SegmentRef::of_hooks(&written, shift));
        }
        Ok(())
    }

    /// Segments of files that were found damaged go, and others come in their place: with the same rows where one of `copies` of the store
    /// has them, else with every row that pushes promised, but only where all that any push ever promised can still be read; else they
    /// stay. How many rows came.
    pub fn replace_damaged_tables(&mut self, copies: &[Store]) -> Result<u64, CatalogError> {
        if self.state.unknown().is_some() {
            return Ok(0);
        }
        let files = self.state.table(TableKind::Files).filter(|it| self.suspects.has(it.at.fence.pack));
        let (mut count, mut left) = (0, Vec::new());
        for segment in files.cloned().collect::<Vec<_>>() {
            match copies.iter().find_map(|copy| rows_in(copy, &segment)) {
                Some(rows) => count += self.replace(&[segment], rows, &plan::Deaths::new())?,
                None => left.push(segment),
            }
        }
        if left.is_empty() {
            return Ok(count);
        }
        let mut rows = Vec::new();
        let rules = self.state.rules();
        let killed = self.pushed_rows(|some| {
            rows.extend(some.into_iter().filter(|row| plan::held(rules, &left, row)));
        })?;
        let Some(killed) = killed else { return Ok(count) };
        Ok(count + self.replace(&left, rows, &killed)?)
    }

    /// These rows in the place of segments, but those that were killed; how many there are, none where it cannot be said where the bytes of
    /// one lie.
    fn replace(
        &mut self,
        damaged: &[Segment],
        rows: Vec<Row>,
        killed: &plan::Deaths,
    ) -> Result<u64, CatalogError> {
        let rebuilt = plan::rebuilt(&self.state, rows, killed, |row| self.places_of(row));
        let Some(plan::Merged { mut rows, named }) = rebuilt else { return Ok(0) };
        let count = rows.len() as u64;
        let mut output = Output { segments: vec![], metas: MetaSeries::new(&self.store), named };
        while !rows.is_empty() {
            output.write_files(&mut rows, &self.cache)?;
        }
        let outs = damaged.iter().map(|it| it.at.fence).collect();
        self.compact(outs, output).map(|landed| if landed { count } else { 0 })
    }

    /// The packs in which what a row needs lies now: of what was repacked since, those that forwards lead to.
    fn places_of(&self, row: &Row) -> Option<BTreeSet<PackId>> {
        let known = |packs: &BTreeSet<PackId>| packs.iter().all(|pack| self.state.packs().contains_key(pack));
        let packs = Some(self.packs_of(row)).filter(known);
        packs.or_else(|| {
            let list = match &row.recipe {
                Recipe::Out { blob, .. } => Some(self.state.lead(blob).pack),
                Recipe::Inline(_) => None,
            };
            let terms = self.terms(row).ok()?;
            Some(terms.iter().map(|term| term.pack).chain(list).collect()).filter(known)
        })
    }

    fn compact(&mut self, outs: Vec<Blob>, output: Output) -> Result<bool, CatalogError> {
        let Output { segments, metas, named } = output;
        let change = Change::Compact(Compact { outs, segments, ..Compact::default() });
        let mut record = self.record(self.head.seq(), change);
        record.added = self.read_beside(|| metas.finish())?;
        record.named = named.into_iter().collect();
        match self.commit(&record) {
            Ok(_) => Ok(true),
            Err(CatalogError::Refused(refusal)) if refusal.remedy() != Remedy::Upgrade => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Every live row of the store, the newest of each key, in key order: a part at a time, in bounded memory.
    pub fn live_rows(&self) -> Result<LiveRows<'_>, CatalogError> {
        self.rows(plan::newest)
    }

    /// The same with older rows of each key after the newest: one of them is found where the newest cannot be read.
    pub fn every_live_row(&self) -> Result<LiveRows<'_>, CatalogError> {
        self.rows(plan::live)
    }

    fn rows(&self, sift: fn(&State, Vec<Row>) -> Vec<Row>) -> Result<LiveRows<'_>, CatalogError> {
        let runs = plan::runs(&self.state, TableKind::Files);
        let slices = Slices::new(&self.store, runs.iter().map(TableRun::written));
        let mut inline = self.inline_rows()?;
        inline.sort_by_key(|row| std::cmp::Reverse(row.key()));
        Ok(LiveRows { catalog: self, slices, inline, sift })
    }
}

impl Output {
    /// Writes the first of these rows, as many as one segment takes, and leaves the others.
    fn write_files(&mut self, rows: &mut Vec<Row>, cache: &Cache) -> Result<(), CatalogError> {
        let count = segment_len(rows);
        let written = write_segment(self.metas.room()?, &mut rows[..count], cache);
        rows.drain(..count);
        self.segments.push(SegmentRef::new(TableKind::Files, &written));
        Ok(())
    }
}

/// All rows of a segment, if the place has them.
fn rows_in(copy: &Store, segment: &Segment) -> Option<Vec<Row>> {
    let slices = Slices::new(copy, [(vec![segment.at.written()], segment.born)]);
    Some(slices.collect::<Result<Vec<_>, _>>().ok()?.concat())
}

/// See [`Catalog::live_rows`].
pub struct LiveRows<'a> {
    catalog: &'a Catalog,
    slices: Slices<'a>,
    /// Rows in the log itself whose turn is to come, last key first.
    inline: Vec<Row>,
    /// Which of all rows of some keys are given, and in what order.
    sift: fn(&State, Vec<Row>) -> Vec<Row>,
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
        Some(Ok((self.sift)(&self.catalog.state, rows)))
    }
}

impl TableRun<'_> {
    /// Its segments as they were written, and the birth of rows that name none.
    fn written(&self) -> (Vec<Written>, u64) {
        (self.segments.iter().map(|segment| segment.at.written()).collect(), self.born)
    }
}

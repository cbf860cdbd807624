//! The table `hooks` of a store: in which packs a chunk may lie that nobody near has seen.
//!
//! A push that writes a meta pack anyway writes the hooks of its new packs with it; those of small pushes are written by the
//! next checkpoint. Nothing relies on a hook: what cannot be read is left out, here and everywhere.
//!
//! Of a large store the table is a sample ([`plan::sample`]), and its shifts tell readers how many chunks there are.

use rayon::prelude::*;

use super::change::{SegmentRef, TableKind};
use super::log::Catalog;
use super::plan;
use crate::cache::Cache;
use crate::id::{PackId, PackKind, Prefix};
use crate::pack::{Footer, PackInfo};
use crate::table::{Hooks, SEGMENT_HOOKS, Sample, TableError};

/// Segments that one machine reads, largest first: each is a request or two, and whoever merges keeps them few.
const MOST_SEGMENTS: usize = 32;
/// Segments read at once: what hides the distance to a bucket, and is some 6 MiB each in memory for a moment.
const SEGMENTS_TOGETHER: usize = 4;
/// Footers asked for at once.
const TOGETHER: usize = 8;

impl Catalog {
    fn hook_segments(&self) -> impl Iterator<Item = &SegmentRef> {
        self.state.table(TableKind::Hooks).map(|segment| &segment.at)
    }

    /// How many rows the table has, and of how many chunks.
    pub fn hook_sample(&self) -> Sample {
        plan::sample(self.hook_segments())
    }

    /// The shift of hooks that are written now, of so many new chunks among others.
    pub fn hook_shift(&self, chunks: u64) -> u8 {
        plan::shift(&self.hook_sample(), chunks)
    }

    /// The table, sorted, as far as its packs may be borrowed from: all of it where it has at most `most` rows, else its
    /// head, which is a fair sample of about so many.
    pub fn hooks(&self, most: usize) -> Hooks {
        let sample = self.hook_sample();
        let (rows, upto) = (sample.rows(), sample.head(most as u64));
        let mut segments: Vec<&SegmentRef> = self.hook_segments().filter(|it| it.first <= upto).collect();
        segments.sort_by_key(|it| std::cmp::Reverse(it.rows));
        let mut hooks = Hooks::with_room(most.min(usize::try_from(rows).unwrap_or(most)));
        let keep = |pack| self.may_borrow_chunks(pack);
        segments.truncate(MOST_SEGMENTS);
        for some in segments.chunks(SEGMENTS_TOGETHER) {
            let room = most.saturating_sub(hooks.len());
            let read = |segment: &&SegmentRef| {
                let mut hooks = Hooks::with_room(room.min(usize::try_from(segment.rows).unwrap_or(room)));
                let _ = hooks.read((&self.store, &self.cache), &segment.written(), upto, &keep);
                hooks
            };
            let read: Vec<Hooks> = some.par_iter().map(read).collect();
            read.iter().for_each(|read| hooks.append(read));
        }
        hooks.sort();
        hooks
    }

    /// What is wrong with segments of the table, each read whole from the store.
    pub fn damaged_hooks(&self) -> Vec<TableError> {
        let read = |segment: &SegmentRef| {
            let rows = usize::try_from(segment.rows).unwrap_or(usize::MAX).saturating_add(1);
            let mut hooks = Hooks::with_room(rows.min(2 * SEGMENT_HOOKS));
            hooks.read((&self.store, &Cache::none()), &segment.written(), Prefix::MAX, &|_| true)?;
            hooks.check(&segment.written(), segment.shift)
        };
        self.hook_segments().filter_map(|segment| read(segment).err()).collect()
    }

    /// Hooks of the data packs that were added without, newest first, as many as one segment takes, and their shift.
    pub(super) fn missing_hooks(&self) -> (Hooks, u8) {
        let packs: Vec<PackId> = self.state.unhooked().iter().rev().map(|(_, pack)| *pack).collect();
        let chunks = packs.iter().filter_map(|pack| self.state.packs().get(pack)).map(PackInfo::chunks).sum();
        let shift = self.hook_shift(chunks);
        let mut hooks = Hooks::with_room(SEGMENT_HOOKS).of_shift(shift);
        let mut packs = packs.chunks(TOGETHER);
        while let Some(packs) = packs.next().filter(|_| hooks.has_room(1)) {
            for (pack, footer) in self.footers(packs) {
                hooks.add(pack, &footer);
            }
        }
        (hooks, shift)
    }

    /// The footers of these packs, as far as they can be had, several requests at a time.
    pub fn footers(&self, packs: &[PackId]) -> Vec<(PackId, Footer)> {
        let footer = |pack: &PackId| Some((*pack, self.footer(*pack).ok()??));
        packs.par_iter().filter_map(footer).collect()
    }

    /// Whether it is a data pack that a new push may name.
    pub fn may_borrow_chunks(&self, pack: PackId) -> bool {
        self.may_borrow(pack) && self.state.packs().get(&pack).is_some_and(|it| it.kind == PackKind::Data)
    }
}

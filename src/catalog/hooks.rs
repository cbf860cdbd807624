//! The table `hooks` of a store: in which packs a chunk may lie that nobody near has seen.
//!
//! A push that writes a meta pack anyway writes the hooks of its new packs with it; those of small pushes are written by the
//! next checkpoint. Nothing relies on a hook: what cannot be read is left out, here and everywhere.

use rayon::prelude::*;

use super::change::{SegmentRef, TableKind};
use super::log::Catalog;
use crate::cache::Cache;
use crate::id::{PackId, PackKind, Prefix};
use crate::pack::Footer;
use crate::table::{Hooks, SEGMENT_HOOKS, TableError};

/// With so many rows in the table nobody adds more: every chunk of some 256 GiB has one, at 16 KiB a chunk.
const MOST_ROWS: u64 = 1 << 24;
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

    fn hook_rows(&self) -> u64 {
        self.hook_segments().map(|it| it.rows).fold(0, u64::saturating_add)
    }

    /// Rows that may still be added to the table.
    pub fn room_for_hooks(&self) -> usize {
        usize::try_from(MOST_ROWS.saturating_sub(self.hook_rows())).unwrap_or(usize::MAX)
    }

    /// The table, sorted, as far as its packs may be borrowed from: all of it where it has at most `most` rows, else its
    /// head, which is a fair sample of about so many.
    pub fn hooks(&self, most: usize) -> Hooks {
        let rows = self.hook_rows();
        let upto = match rows {
            rows if rows <= most as u64 => Prefix::MAX,
            rows => Prefix::from_bytes((u64::MAX / rows).saturating_mul(most as u64).to_be_bytes()),
        };
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
            hooks.check(&segment.written())
        };
        self.hook_segments().filter_map(|segment| read(segment).err()).collect()
    }

    /// Hooks of the data packs that were added without, newest first, as many as one segment takes.
    pub(super) fn missing_hooks(&self) -> Hooks {
        let mut hooks = Hooks::with_room(self.room_for_hooks().min(SEGMENT_HOOKS));
        let packs: Vec<PackId> = self.state.unhooked().iter().rev().map(|(_, pack)| *pack).collect();
        let mut packs = packs.chunks(TOGETHER);
        while let Some(packs) = packs.next().filter(|_| hooks.has_room(1)) {
            for (pack, footer) in self.footers(packs) {
                hooks.add(pack, &footer);
            }
        }
        hooks
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

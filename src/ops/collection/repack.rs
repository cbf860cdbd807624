//! Repack: what is live in packs that are partly dead is copied, so that they can go as a whole (R4).
//!
//! Only the frames that are named are read. Each is decoded and each of its chunks hashed, then it is stored as it is in a new pack, and
//! an entry says where each part lies from now on. That entry lands right after the newest one that was read for it, or not at all. The
//! old pack is a victim of the same mark once everything in it that was live then was forwarded: whoever named it since keeps it. What
//! cannot be read stays where it is. With parts of frames left out ([`super::blank`]) the entry condemns the old packs itself.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use rayon::prelude::*;

use super::blank::{Reads, without_holes};
use super::waste::{MOST_FORWARDS, Partly};
use super::{ATTEMPTS, Amount, Collected, NotCollected};
use crate::catalog::change::{Change, Compact, Forward};
use crate::catalog::plan::Mark;
use crate::catalog::{Catalog, CatalogError, Refusal, Remedy, State};
use crate::id::{PackId, PackKind};
use crate::pack::plan::MAX_READ;
use crate::pack::{
    BadPack, Footer, Frame, FrameEntry, FrameView, PackError, PackInfo, PackWriter, read_footer, verify_frame,
};
use crate::store::{StoreError, key};

/// Bytes of a new pack.
const TARGET: u64 = 32 << 20;
/// Bytes copied before an entry says so, and forwards in one entry.
const GROUP: u64 = 256 << 20;
const GROUP_FORWARDS: usize = 10_000;

/// Empty these packs; with what is read of them, only those with something else in the same frames, which is left out then. To be
/// called before anything is condemned by the mark.
pub fn repack(
    catalog: &mut Catalog,
    mark: &mut Mark,
    packs: Vec<Partly>,
    reads: Option<&Reads>,
    done: &mut Collected,
) -> Result<(), NotCollected> {
    let mut todo = packs.into_iter().peekable();
    while todo.peek().is_some() {
        let mut copy = Copy { blanked: reads.map(|_| BTreeMap::new()), ..Copy::default() };
        let room = MOST_FORWARDS.saturating_sub(catalog.state().forwards().values().map(Vec::len).sum());
        while let Some(it) = todo.next_if(|_| copy.has_room()) {
            let copied = match reads {
                Some(reads) => without_holes(catalog, &it, reads, done),
                None => read_footer(catalog.store(), it.pack, it.info)
                    .and_then(|footer| Part::all(catalog, &it, &footer))
                    .map(|parts| Some((parts, 0))),
            };
            match copied {
                Ok(Some((parts, blanked))) if copy.forwards.len() + parts.len() <= room => {
                    copy.take(catalog, it, parts, blanked)?;
                }
                Ok(Some((_, blanked))) => done.unblanked_bytes += blanked,
                Ok(None) => {}
                Err(PackError::Store(error)) if error.is_archived() => done.unread += 1,
                Err(PackError::Store(error @ StoreError::Missing { .. })) => {
                    catalog.refresh()?;
                    // Else another collection has emptied it, and it is gone by now.
                    if catalog.state().packs().contains_key(&it.pack) {
                        return Err(error.into());
                    }
                }
                Err(PackError::Store(error)) => return Err(error.into()),
                Err(PackError::Bad { .. }) => {
                    done.unread += 1;
                    catalog.suspect([it.pack]);
                }
            }
        }
        if !copy.commit(catalog, mark, done)? {
            if reads.is_some() {
                done.unlooked += todo.count() as u64;
            }
            break;
        }
        // A tail that has grown is cut; what was done is done without. A merge may name what is to be condemned in the same entry.
        if reads.is_none() {
            let _: Result<(), CatalogError> = catalog.upkeep();
        }
    }
    Ok(())
}

/// Whole frames that follow each other in a pack, read and verified.
pub struct Part {
    /// Where they lay.
    range: Range<u64>,
    /// What is copied.
    pub frames: Vec<(Frame, FrameEntry)>,
}

impl Part {
    /// The live parts of a pack.
    pub fn all(catalog: &Catalog, it: &Partly, footer: &Footer) -> Result<Vec<Part>, PackError> {
        it.live.iter().map(|range| Part::read(catalog, it, footer, range)).collect()
    }

    fn read(catalog: &Catalog, it: &Partly, footer: &Footer, range: &Range<u64>) -> Result<Part, PackError> {
        let bad = |source| PackError::bad(it.info.kind, it.pack, source);
        let name = key::pack(it.info.kind, it.pack);
        let entries = footer.filling(range).ok_or_else(|| bad(BadPack::Damaged("list of frames")))?;
        let read = |entries: &&[FrameEntry]| -> Result<Vec<(Frame, FrameEntry)>, PackError> {
            let start = entries[0].offset;
            let end = entries.last().map_or(start, FrameEntry::end);
            let bytes = catalog.store().get_range(&name, start..end)?;
            let frame = |entry: &FrameEntry| frame_of(entry, &bytes, start).map_err(bad);
            entries.iter().map(frame).collect()
        };
        let frames: Vec<Vec<_>> = reads(entries).par_iter().map(read).collect::<Result<_, PackError>>()?;
        Ok(Part { range: range.clone(), frames: frames.into_iter().flatten().collect() })
    }

    fn chunks(&self) -> usize {
        self.frames.iter().map(|(_, entry)| entry.chunks.len()).sum()
    }
}

/// Frames that are read by one request.
fn reads(mut entries: &[FrameEntry]) -> Vec<&[FrameEntry]> {
    let mut reads = Vec::new();
    while let Some(first) = entries.first() {
        let fits = entries.partition_point(|entry| entry.end() - first.offset <= MAX_READ).max(1);
        let (read, rest) = entries.split_at(fits);
        reads.push(read);
        entries = rest;
    }
    reads
}

/// One frame of what was read from `start` on.
fn frame_of(entry: &FrameEntry, bytes: &Bytes, start: u64) -> Result<(Frame, FrameEntry), BadPack> {
    let stored = &bytes[(entry.offset - start) as usize..(entry.end() - start) as usize];
    verify_frame(entry, stored)?;
    let view = FrameView::parse(stored)?.ok_or(BadPack::Damaged("frame length"))?;
    Ok((view.to_frame(bytes), entry.clone()))
}

/// Frames on their way into new packs, and what one entry will say of them.
#[derive(Default)]
struct Copy {
    /// Where something is left out, and the packs are condemned as the copy takes their place: how many raw bytes of each that is.
    blanked: Option<BTreeMap<PackId, u64>>,
    open: Option<PackWriter>,
    added: Vec<(PackId, PackInfo)>,
    forwards: Vec<Forward>,
    emptied: Vec<Partly>,
    bytes: u64,
}

impl Copy {
    fn has_room(&self) -> bool {
        self.bytes < GROUP && self.forwards.len() < GROUP_FORWARDS
    }

    /// What is live in a pack goes into new ones, each part in one piece, as a forward says.
    fn take(
        &mut self,
        catalog: &Catalog,
        it: Partly,
        parts: Vec<Part>,
        blanked: u64,
    ) -> Result<(), StoreError> {
        for part in parts {
            let stored = part.range.end - part.range.start;
            if self.open.as_ref().is_some_and(|pack| !pack.has_room(TARGET, stored, part.chunks())) {
                self.put(catalog)?;
            }
            let pack = self.open.get_or_insert_with(|| PackWriter::new(PackKind::Data));
            let (to, at) = (pack.id(), pack.len() as u64);
            for (frame, entry) in part.frames {
                pack.add(&frame, entry.chunks);
            }
            self.forwards.push(Forward { from: it.pack, offset: part.range.start, stored, to, at });
            self.bytes += stored;
        }
        if let Some(all) = &mut self.blanked {
            all.insert(it.pack, blanked);
        }
        self.emptied.push(it);
        Ok(())
    }

    fn put(&mut self, catalog: &Catalog) -> Result<(), StoreError> {
        if let Some(pack) = self.open.take().map(PackWriter::finish) {
            self.added.push((pack.id, pack.info));
            pack.put(catalog.store())?;
        }
        Ok(())
    }

    /// Whether the forwards landed. Where they may not, the old packs stay, and nothing names the new ones.
    fn commit(
        mut self,
        catalog: &mut Catalog,
        mark: &mut Mark,
        done: &mut Collected,
    ) -> Result<bool, NotCollected> {
        self.put(catalog)?;
        if self.forwards.is_empty() {
            return Ok(true);
        }
        for _ in 0..ATTEMPTS {
            if self.blanked.is_some() {
                self.spare(catalog, mark, done)?;
                if self.forwards.is_empty() {
                    return Ok(true);
                }
            }
            if !self.is_wanted(catalog.state()) {
                return Ok(self.fails(done));
            }
            let condemned =
                self.emptied.iter().map(|it| it.pack).filter(|_| self.blanked.is_some()).collect();
            let compact = Compact { forwards: self.forwards.clone(), condemned, ..Compact::default() };
            let mut record = catalog.record(mark.seq, Change::Compact(compact));
            record.must_understand = self.blanked.is_some();
            record.added.clone_from(&self.added);
            match catalog.commit_next(&record) {
                Ok(_) => {
                    self.settle(mark, done);
                    return Ok(true);
                }
                Err(CatalogError::Refused(Refusal::Overtaken { .. })) => catalog.refresh()?,
                Err(CatalogError::Refused(refusal)) if refusal.remedy() != Remedy::Upgrade => {
                    return Ok(self.fails(done));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(NotCollected::Contended(ATTEMPTS))
    }

    /// Leaves out packs that were mentioned since the mark, or emptied by another collection: what was copied of them is dead.
    fn spare(&mut self, catalog: &Catalog, mark: &Mark, done: &mut Collected) -> Result<(), NotCollected> {
        let since = catalog.since(mark.seq)?;
        let packs = self.emptied.iter().map(|it| it.pack).collect();
        // Every entry was read just now, so the plan is not void.
        let mut may_go = mark.spare(catalog.state(), packs, &since).expect("all entries since the mark");
        may_go.retain(|pack| !catalog.state().forwards().contains_key(pack));
        let (go, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.emptied).into_iter().partition(|it| may_go.contains(&it.pack));
        self.emptied = go;
        self.forwards.retain(|it| may_go.contains(&it.from));
        for it in stay {
            let stays = self.blanked.as_mut().and_then(|all| all.remove(&it.pack));
            if catalog.state().packs().contains_key(&it.pack) {
                done.unblanked_bytes += stays.unwrap_or(0);
            }
        }
        Ok(())
    }

    /// Nothing came of it.
    fn fails(&self, done: &mut Collected) -> bool {
        done.unblanked_bytes += self.blanked.iter().flat_map(BTreeMap::values).sum::<u64>();
        false
    }

    /// Whether no other collection has emptied one of the packs meanwhile.
    fn is_wanted(&self, state: &State) -> bool {
        let untouched = |it: &Partly| {
            state.packs().contains_key(&it.pack) && !it.runs.iter().any(|run| state.forward(*run).is_some())
        };
        self.emptied.iter().all(untouched)
    }

    fn settle(self, mark: &mut Mark, done: &mut Collected) {
        for it in self.emptied {
            done.repacked.add(it.info.size);
            match &self.blanked {
                Some(all) => {
                    done.condemned.add(it.info.size);
                    done.blanked_bytes += all.get(&it.pack).unwrap_or(&0);
                }
                None => drop(mark.repacked.insert(it.pack, it.runs)),
            }
        }
        let new = Amount::of(self.added.iter().map(|(_, info)| info.size));
        done.copied.count += new.count;
        done.copied.bytes += self.bytes;
    }
}

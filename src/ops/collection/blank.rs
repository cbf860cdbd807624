//! Blank: what nothing live reads becomes zeros in the frames that live files share with it (R4).
//!
//! Data is stored by frames of many chunks, so the bytes of a small file that was given up stay as long as a neighbour in its frame is
//! needed. Here the chunks of each pack are held against what live rows and pages read of it, and a pack with a chunk that nothing reads
//! is copied without. A blanked frame takes as many bytes as it took, so that a forward leads to it like to any other, and readers know
//! nothing of it.
//!
//! A forward promises the same bytes to whoever names them, and a push that is under way may have borrowed the chunk. So the copy takes
//! the place of the pack in the very entry that condemns the pack, and only while no entry since the mark mentions the pack: who names it
//! after that is refused, and writes the chunk anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Collected;
use super::repack::Part;
use super::waste::Partly;
use crate::catalog::Catalog;
use crate::catalog::state::Run;
use crate::id::{ChunkId, PackId};
use crate::pack::{BadPack, Footer, FrameEntry, FrameView, PackError, Term, read_footer, verify_frame};

/// What is read of each pack: runs of its frames, and the raw bytes of the run that a file consists of.
pub type Reads = BTreeMap<PackId, BTreeSet<Read>>;

/// One run of frames, and a part of its raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    offset: u64,
    stored: u64,
    skip: u64,
    raw: u64,
}

impl Read {
    /// What a term reads, where its run lies by now.
    pub fn of(run: Run, term: &Term) -> Read {
        Read { offset: run.offset, stored: run.stored, skip: u64::from(term.skip), raw: term.raw }
    }
}

/// What is live in a pack without the chunks that nothing reads, and how many raw bytes those had; `None` where all is live, or nothing
/// else could be left out.
pub fn without_holes(
    catalog: &Catalog,
    it: &Partly,
    reads: &Reads,
    done: &mut Collected,
) -> Result<Option<(Vec<Part>, u64)>, PackError> {
    let footer = read_footer(catalog.store(), it.pack, it.info)?;
    let bad = |source| PackError::bad(it.info.kind, it.pack, source);
    let holes = holes(&footer, reads.get(&it.pack).into_iter().flatten()).map_err(bad)?;
    if holes.is_empty() && it.dead == 0 {
        return Ok(None);
    }
    let mut parts = Part::all(catalog, it, &footer)?;
    let mut blanked = 0;
    for (frame, entry) in parts.iter_mut().flat_map(|part| &mut part.frames) {
        let Some(dead) = holes.get(&entry.offset) else { continue };
        let spans: Vec<Range<usize>> = dead.iter().map(|at| span(entry, *at)).collect();
        let bytes: u64 = spans.iter().map(|span| span.len() as u64).sum();
        let view = FrameView::parse(frame.bytes()).map_err(bad)?.ok_or_else(|| bad(BadPack::Hash))?;
        let Some(new) = view.blanked(&spans).map_err(bad)? else {
            done.unblanked_bytes += bytes;
            continue;
        };
        dead.iter().for_each(|at| entry.chunks[*at].0 = zeros(entry.chunks[*at].1));
        // All others are what they were.
        verify_frame(entry, new.bytes()).map_err(bad)?;
        (*frame, blanked) = (new, blanked + bytes);
    }
    Ok((blanked > 0 || it.dead > 0).then_some((parts, blanked)))
}

/// The raw bytes of a frame that are its chunk number `at`.
fn span(entry: &FrameEntry, at: usize) -> Range<usize> {
    let start: usize = entry.chunks[..at].iter().map(|(_, length)| *length as usize).sum();
    start..start + entry.chunks[at].1 as usize
}

fn zeros(length: u32) -> ChunkId {
    ChunkId::of(&vec![0; length as usize])
}

/// The chunks that nothing reads, by the offset of their frame, of frames of which something is read. What is zeros already is no hole.
fn holes<'r>(
    footer: &Footer,
    reads: impl Iterator<Item = &'r Read>,
) -> Result<BTreeMap<u64, Vec<usize>>, BadPack> {
    let mut live: BTreeMap<u64, (&FrameEntry, Vec<Range<u64>>)> = BTreeMap::new();
    for read in reads {
        let end = read.offset.checked_add(read.stored).ok_or(BadPack::Damaged("list of frames"))?;
        let frames = footer.filling(&(read.offset..end)).ok_or(BadPack::Damaged("list of frames"))?;
        let part = read.skip..read.skip.saturating_add(read.raw);
        let mut at = 0;
        for frame in frames {
            let whole = at..at + u64::from(frame.raw);
            let own = part.start.max(whole.start)..part.end.min(whole.end);
            let parts = &mut live.entry(frame.offset).or_insert((frame, vec![])).1;
            if !own.is_empty() {
                parts.push(own.start - at..own.end - at);
            }
            at = whole.end;
        }
    }
    let mut holes = BTreeMap::new();
    for (offset, (frame, parts)) in live {
        let (mut dead, mut end) = (vec![], 0);
        for (at, (id, length)) in frame.chunks.iter().enumerate() {
            let start = end;
            end += u64::from(*length);
            let is_read = parts.iter().any(|part| part.start < end && start < part.end);
            if !is_read && *id != zeros(*length) {
                dead.push(at);
            }
        }
        if !dead.is_empty() {
            holes.insert(offset, dead);
        }
    }
    Ok(holes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PackKind;

    /// Two frames of three chunks of ten bytes, stored in 100 bytes each.
    fn footer() -> Footer {
        let chunk = |n: u8| (ChunkId::from_bytes([n; 32]), 10);
        let frame = |n: u8, offset| FrameEntry {
            offset,
            stored: 100,
            raw: 30,
            chunks: vec![chunk(n), chunk(n + 1), chunk(n + 2)],
        };
        Footer { kind: PackKind::Data, frames: vec![frame(1, 16), frame(4, 116)] }
    }

    fn found(reads: &[(u64, u64, u64, u64)]) -> Vec<(u64, Vec<usize>)> {
        let reads: Vec<Read> =
            reads.iter().map(|&(offset, stored, skip, raw)| Read { offset, stored, skip, raw }).collect();
        holes(&footer(), reads.iter()).expect("sound").into_iter().collect()
    }

    #[test]
    fn a_hole_is_a_chunk_that_nothing_reads_in_a_frame_that_something_reads() {
        assert_eq!(found(&[(16, 100, 0, 10)]), [(16, vec![1, 2])]);
        assert_eq!(found(&[(16, 200, 0, 60)]), []);
        assert_eq!(found(&[(16, 200, 20, 20)]), [(16, vec![0, 1]), (116, vec![1, 2])]);
        assert_eq!(found(&[(16, 200, 25, 10)]), [(16, vec![0, 1]), (116, vec![1, 2])], "a part of a chunk");
        assert_eq!(found(&[(16, 100, 0, 10), (16, 100, 20, 10)]), [(16, vec![1])]);
        assert_eq!(found(&[]), []);
    }

    #[test]
    fn what_is_zeros_is_no_hole_and_what_is_no_frame_is_damage() {
        let mut footer = footer();
        footer.frames[0].chunks[1].0 = zeros(10);
        let reads = [Read { offset: 16, stored: 100, skip: 0, raw: 10 }];
        assert_eq!(holes(&footer, reads.iter()).expect("sound"), BTreeMap::from([(16, vec![2])]));
        for (offset, stored) in [(17, 100), (16, 99), (16, 300), (u64::MAX, 100)] {
            let reads = [Read { offset, stored, skip: 0, raw: 1 }];
            assert!(holes(&footer, reads.iter()).is_err(), "{offset} {stored}");
        }
    }
}

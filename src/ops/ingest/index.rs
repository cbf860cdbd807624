//! Which chunks are known, and where they lie: this push's own and those of packs whose footers were seen.
//!
//! Bounded: two generations of at most [`GENERATION`] chunks. When the young one is full the old one is forgotten, which
//! costs deduplication over a distance of some 7 GiB and never correctness.

use std::collections::{HashMap, HashSet};

use crate::id::{ChunkId, PackId};
use crate::pack::Footer;

/// Chunks in a generation: as many as fill a table of 2^18 places, some 13 MiB.
const GENERATION: usize = (1 << 18) / 8 * 7;

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The frame.
    pub frame: FramePlace,
    /// Where the chunk begins in the raw bytes of the frame.
    pub start: u32,
    /// Its raw length.
    pub raw: u32,
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePlace {
    /// In a pack that is in the store.
    Known {
        /// The pack.
        pack: PackId,
        /// Offset of the frame's header.
        offset: u64,
        /// Bytes it takes, header included.
        stored: u32,
        /// Its raw length.
        raw: u32,
    },
    /// In this push: the number of the frame, in the order they are closed.
    Own(u32),
}

/// Chunks that came one after the other; each names its frame by position, since a frame holds many.
#[derive(Default)]
struct Generation {
    chunks: HashMap<ChunkId, (u32, u32, u32)>,
    frames: Vec<FramePlace>,
}

impl Generation {
    fn find(&self, id: &ChunkId) -> Option<Place> {
        let &(frame, start, raw) = self.chunks.get(id)?;
        Some(Place { frame: self.frames[frame as usize], start, raw })
    }

    fn insert(&mut self, id: ChunkId, place: Place) {
        if self.frames.last() != Some(&place.frame) {
            self.frames.push(place.frame);
        }
        let frame = u32::try_from(self.frames.len() - 1).expect("no more frames than chunks");
        self.chunks.insert(id, (frame, place.start, place.raw));
    }
}

/// The bounded index of known chunks.
#[derive(Default)]
pub struct ChunkIndex {
    young: Generation,
    old: Generation,
    seen: HashSet<PackId>,
}

impl ChunkIndex {
    /// Where the chunk with this id and length lies, if that is known.
    pub fn find(&self, id: &ChunkId, raw: u32) -> Option<Place> {
        self.young.find(id).or_else(|| self.old.find(id)).filter(|place| place.raw == raw)
    }

    /// The chunk lies there.
    pub fn insert(&mut self, id: ChunkId, place: Place) {
        if self.young.chunks.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            // A pack whose chunks were forgotten may be asked for again.
            self.seen.clear();
        }
        self.young.insert(id, place);
    }

    /// Whether a pack still has to be asked for its footer; asked at most once while its chunks are remembered.
    pub fn wants(&mut self, pack: PackId) -> bool {
        self.seen.insert(pack)
    }

    /// Every chunk of a pack in the store.
    pub fn learn(&mut self, pack: PackId, footer: &Footer) {
        for frame in &footer.frames {
            let place =
                FramePlace::Known { pack, offset: frame.offset, stored: frame.stored, raw: frame.raw };
            let mut start = 0;
            for (id, raw) in &frame.chunks {
                self.insert(*id, Place { frame: place, start, raw: *raw });
                start += raw;
            }
        }
        self.seen.insert(pack);
    }

    /// Chunks remembered.
    pub fn len(&self) -> usize {
        self.young.chunks.len() + self.old.chunks.len()
    }

    /// Whether no chunk is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

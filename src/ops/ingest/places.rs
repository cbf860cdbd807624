//! Where the frames of a push come to lie: eight bytes for each, and a little for each pack.

use crate::id::PackId;
use crate::pack::Blob;

/// A pack of this push.
struct Span {
    pack: PackId,
    /// The number of its first frame.
    first: u32,
    /// Where its last frame ends so far.
    end: u32,
}

/// The frames of a push by number, in the order they are closed. They are placed in the same order, later.
#[derive(Default)]
pub struct Places {
    raws: Vec<u32>,
    offsets: Vec<u32>,
    packs: Vec<Span>,
}

fn short(bytes: u64) -> u32 {
    u32::try_from(bytes).expect("packs are far below 4 GiB")
}

impl Places {
    /// One more frame, of so many raw bytes.
    pub fn close(&mut self, raw: usize) {
        self.raws.push(short(raw as u64));
    }

    /// The number of the next frame.
    pub fn next(&self) -> u32 {
        u32::try_from(self.raws.len()).expect("fewer than 2^32 frames in one push")
    }

    /// The next frame that has no place lies there.
    pub fn place(&mut self, at: &Blob) {
        let first = u32::try_from(self.offsets.len()).expect("no more than were closed");
        if self.packs.last().is_none_or(|span| span.pack != at.pack) {
            self.packs.push(Span { pack: at.pack, first, end: 0 });
        }
        self.offsets.push(short(at.offset));
        self.packs.last_mut().expect("pushed above").end = short(at.end());
    }

    /// Raw length of a frame; `None` while it is open.
    pub fn raw(&self, frame: u32) -> Option<u32> {
        self.raws.get(frame as usize).copied()
    }

    /// Raw bytes of all frames.
    pub fn all_raw(&self) -> u64 {
        self.raws.iter().map(|raw| u64::from(*raw)).sum()
    }

    /// Where a frame lies that was placed, and its raw length.
    pub fn at(&self, frame: u32) -> (Blob, u32) {
        let after = self.packs.partition_point(|span| span.first <= frame);
        let Span { pack, end, .. } = self.packs[after - 1];
        let offset = self.offsets[frame as usize];
        let is_last = self.packs.get(after).map_or(self.offsets.len(), |next| next.first as usize)
            == frame as usize + 1;
        let end = if is_last { end } else { self.offsets[frame as usize + 1] };
        (Blob { pack, offset: u64::from(offset), stored: end - offset }, self.raws[frame as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_found_where_it_was_put() {
        let mut places = Places::default();
        let mut blobs = Vec::new();
        for pack in 0..5u8 {
            let mut offset = 16;
            for n in 0..1 + u32::from(pack) % 3 {
                let stored = 100 + n * 7 + u32::from(pack);
                blobs.push(Blob { pack: PackId::from_bytes([pack; 16]), offset, stored });
                offset += u64::from(stored);
            }
        }
        (0..blobs.len()).for_each(|n| places.close(1000 + n));
        assert_eq!((places.next() as usize, places.raw(places.next())), (blobs.len(), None));
        blobs.iter().for_each(|blob| places.place(blob));
        for (n, blob) in (0..).zip(&blobs) {
            assert_eq!(places.at(n), (*blob, 1000 + n));
        }
        assert_eq!(places.all_raw(), (0..blobs.len() as u64).map(|n| 1000 + n).sum::<u64>());
    }
}

//! Where new chunks go: frames, then packs, then the store.

use rayon::prelude::*;

use super::fleet::Fleet;
use super::index::{FramePlace, Place};
use super::places::Places;
use crate::catalog::Sent;
use crate::id::{ChunkId, PackId, PackKind};
use crate::pack::{Footer, Frame, FrameBuilder, PackInfo, PackWriter};
use crate::store::{Store, StoreError};

/// No frame holds more raw bytes (but for a single chunk that does): a read of 4 KiB decodes one frame, and zstd is quickest on
/// frames of up to two of its blocks of 128 KiB (ADR 7).
pub const FRAME: usize = 256 << 10;

/// A frame that is full, with its chunks.
pub struct Closed<F> {
    frame: F,
    chunks: Vec<(ChunkId, u32)>,
}

impl Closed<FrameBuilder> {
    fn new() -> Self {
        Closed { frame: FrameBuilder::with_capacity(FRAME), chunks: vec![] }
    }

    /// Compress frames on all cores.
    pub fn encode(frames: Vec<Self>) -> Vec<Closed<Frame>> {
        let encode = |Closed { frame, chunks }: Self| Closed { frame: frame.finish(), chunks };
        frames.into_par_iter().with_max_len(1).map(encode).collect()
    }
}

/// What keeps the footer of each full pack: here none stays, so that a push of any size needs no more memory.
pub type Keep<'a> = &'a dyn Fn(PackId, &Footer);

/// Frames being filled and packs on their way.
pub struct PackSink {
    open: Closed<FrameBuilder>,
    closed: Vec<Closed<FrameBuilder>>,
    places: Places,
    pack: PackWriter,
    written: Vec<(PackId, PackInfo)>,
    fleet: Fleet,
}

impl PackSink {
    /// An empty sink for packs that go to `store` and are written down as `sent` when they are there.
    pub fn new(store: &Store, sent: &Sent) -> Self {
        PackSink {
            open: Closed::new(),
            closed: vec![],
            places: Places::default(),
            pack: PackWriter::new(PackKind::Data),
            written: vec![],
            fleet: Fleet::new(store, sent),
        }
    }

    /// Give a new chunk its place.
    pub fn add(&mut self, id: ChunkId, bytes: &[u8]) -> Place {
        if !self.open.frame.is_empty() && self.open.frame.len() + bytes.len() > FRAME {
            self.close();
        }
        let frame = FramePlace::Own(self.places.next());
        let length = |n: usize| u32::try_from(n).expect("frames are far below 4 GiB");
        let place = Place { frame, start: length(self.open.frame.len()), raw: length(bytes.len()) };
        self.open.frame.push(bytes);
        self.open.chunks.push((id, place.raw));
        place
    }

    /// Raw length of a closed frame.
    pub fn raw_of(&self, frame: u32) -> Option<u32> {
        self.places.raw(frame)
    }

    /// Frames so far.
    pub fn frames(&self) -> u32 {
        self.places.next()
    }

    /// Raw bytes of all new chunks.
    pub fn new_raw(&self) -> u64 {
        self.places.all_raw() + self.open.frame.len() as u64
    }

    fn close(&mut self) {
        let closed = std::mem::replace(&mut self.open, Closed::new());
        self.places.close(closed.frame.len());
        self.closed.push(closed);
    }

    /// The frames closed since the last call, to be encoded and written in this order.
    pub fn take_closed(&mut self) -> Vec<Closed<FrameBuilder>> {
        std::mem::take(&mut self.closed)
    }

    /// Write frames; full packs go to the store.
    pub fn write(&mut self, frames: Vec<Closed<Frame>>, keep: Keep<'_>) -> Result<(), StoreError> {
        for Closed { frame, chunks } in frames {
            self.places.place(&self.pack.add(&frame, chunks));
            if self.pack.is_full(self.fleet.target()) {
                self.fleet.wait_for_room(&self.pack)?;
                // What was learned while it waited may be that there is room for more in it.
                if self.pack.is_full(self.fleet.target()) {
                    self.ship(keep);
                }
            }
        }
        Ok(())
    }

    fn ship(&mut self, keep: Keep<'_>) {
        let pack = std::mem::replace(&mut self.pack, PackWriter::new(PackKind::Data)).finish();
        self.written.push((pack.id, pack.info));
        keep(pack.id, &pack.footer);
        self.fleet.launch(pack);
    }

    /// Write what is left; durable on return. Gives the packs, and the place of every frame.
    pub fn finish(mut self, keep: Keep<'_>) -> Result<(Vec<(PackId, PackInfo)>, Places), StoreError> {
        if !self.open.frame.is_empty() {
            self.close();
        }
        let rest = Closed::encode(self.take_closed());
        self.write(rest, keep)?;
        if !self.pack.is_empty() {
            self.ship(keep);
        }
        self.fleet.land()?;
        Ok((self.written, self.places))
    }
}

//! Where new chunks go: frames, then packs, then the store.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;

use super::index::{FramePlace, Place};
use crate::id::{ChunkId, PackKind};
use crate::pack::{Blob, DATA_TARGET, Frame, FrameBuilder, Pack, PackWriter};
use crate::store::{Payload, Store, StoreError};

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

/// Frames being filled and packs on their way.
pub struct PackSink {
    open: Closed<FrameBuilder>,
    closed: Vec<Closed<FrameBuilder>>,
    /// Raw lengths of all frames closed so far, by number.
    raws: Vec<u32>,
    places: Vec<Blob>,
    pack: PackWriter,
    written: Vec<Pack>,
    full: Option<SyncSender<Pack>>,
    uploader: Option<JoinHandle<Result<(), StoreError>>>,
}

impl PackSink {
    /// An empty sink for packs that go to `store`.
    pub fn new(store: &Store) -> Self {
        // Rendezvous: while one pack is in flight the next is filled, and no third one exists.
        let (full, packs_to_put) = sync_channel(0);
        let store = store.clone();
        let uploader = std::thread::spawn(move || put_all(&store, &packs_to_put));
        PackSink {
            open: Closed::new(),
            closed: vec![],
            raws: vec![],
            places: vec![],
            pack: PackWriter::new(PackKind::Data),
            written: vec![],
            full: Some(full),
            uploader: Some(uploader),
        }
    }

    /// Give a new chunk its place.
    pub fn add(&mut self, id: ChunkId, bytes: &[u8]) -> Place {
        if !self.open.frame.is_empty() && self.open.frame.len() + bytes.len() > FRAME {
            self.close();
        }
        let frame =
            FramePlace::Own(u32::try_from(self.raws.len()).expect("fewer than 2^32 frames in one push"));
        let length = |n: usize| u32::try_from(n).expect("frames are far below 4 GiB");
        let place = Place { frame, start: length(self.open.frame.len()), raw: length(bytes.len()) };
        self.open.frame.push(bytes);
        self.open.chunks.push((id, place.raw));
        place
    }

    /// Raw length of a closed frame.
    pub fn raw_of(&self, frame: u32) -> Option<u32> {
        self.raws.get(frame as usize).copied()
    }

    /// Raw bytes of all new chunks.
    pub fn new_raw(&self) -> u64 {
        self.raws.iter().map(|raw| u64::from(*raw)).sum::<u64>() + self.open.frame.len() as u64
    }

    fn close(&mut self) {
        let closed = std::mem::replace(&mut self.open, Closed::new());
        self.raws.push(u32::try_from(closed.frame.len()).expect("frames are far below 4 GiB"));
        self.closed.push(closed);
    }

    /// The frames closed since the last call, to be encoded and written in this order.
    pub fn take_closed(&mut self) -> Vec<Closed<FrameBuilder>> {
        std::mem::take(&mut self.closed)
    }

    /// Write frames; full packs go to the store.
    pub fn write(&mut self, frames: Vec<Closed<Frame>>) -> Result<(), StoreError> {
        for Closed { frame, chunks } in frames {
            self.places.push(self.pack.add(&frame, chunks));
            if self.pack.len() >= DATA_TARGET {
                self.ship()?;
            }
        }
        Ok(())
    }

    fn ship(&mut self) -> Result<(), StoreError> {
        let pack = std::mem::replace(&mut self.pack, PackWriter::new(PackKind::Data)).finish();
        // What stays here is the footer; the bytes go with the pack in flight.
        self.written.push(Pack { payload: Payload::default(), ..pack.clone() });
        let sent = self.full.as_ref().map(|full| full.send(pack).is_ok());
        if sent == Some(true) { Ok(()) } else { self.wait() }
    }

    /// The uploader stops at the first pack that cannot be written; then its error is the ingest's.
    fn wait(&mut self) -> Result<(), StoreError> {
        self.full = None;
        match self.uploader.take() {
            Some(uploader) => uploader.join().expect("the uploader does not panic"),
            None => Ok(()),
        }
    }

    /// Write what is left; durable on return. Gives the packs, and place and raw length of every frame by number.
    #[allow(clippy::type_complexity)]
    pub fn finish(mut self) -> Result<(Vec<Pack>, Vec<(Blob, u32)>), StoreError> {
        if !self.open.frame.is_empty() {
            self.close();
        }
        let rest = Closed::encode(self.take_closed());
        self.write(rest)?;
        if !self.pack.is_empty() {
            self.ship()?;
        }
        self.wait()?;
        let places = self.places.into_iter().zip(self.raws).collect();
        Ok((self.written, places))
    }
}

fn put_all(store: &Store, packs: &Receiver<Pack>) -> Result<(), StoreError> {
    packs.iter().try_for_each(|pack| pack.put(store))
}

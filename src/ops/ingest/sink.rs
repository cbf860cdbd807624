//! Where new chunks go: frames, then packs, then the store.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;

use super::index::{FramePlace, Place};
use crate::id::{ChunkId, PackKind};
use crate::pack::{Blob, DATA_TARGET, Frame, Pack, PackWriter};
use crate::store::{Store, StoreError};

/// A frame is closed when it holds this many raw bytes. Provisional with format 0: a read of 4 KiB decodes one frame.
pub const FRAME_TARGET: usize = 256 << 10;

struct Closed {
    raw: Vec<u8>,
    chunks: Vec<(ChunkId, u32)>,
}

/// Frames being filled and packs on their way.
pub struct PackSink {
    open: Closed,
    closed: Vec<Closed>,
    /// Raw lengths of all frames closed so far, by number.
    raws: Vec<u32>,
    places: Vec<(Blob, u32)>,
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
            open: Closed { raw: Vec::with_capacity(FRAME_TARGET * 2), chunks: vec![] },
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
        let frame =
            FramePlace::Own(u32::try_from(self.raws.len()).expect("fewer than 2^32 frames in one push"));
        let length = |n: usize| u32::try_from(n).expect("frames are far below 4 GiB");
        let place = Place { frame, start: length(self.open.raw.len()), raw: length(bytes.len()) };
        self.open.raw.extend_from_slice(bytes);
        self.open.chunks.push((id, place.raw));
        if self.open.raw.len() >= FRAME_TARGET {
            self.close();
        }
        place
    }

    /// Raw length of a closed frame.
    pub fn raw_of(&self, frame: u32) -> Option<u32> {
        self.raws.get(frame as usize).copied()
    }

    /// Raw bytes of all new chunks.
    pub fn new_raw(&self) -> u64 {
        self.raws.iter().map(|raw| u64::from(*raw)).sum::<u64>() + self.open.raw.len() as u64
    }

    fn close(&mut self) {
        let next = Closed { raw: Vec::with_capacity(FRAME_TARGET * 2), chunks: vec![] };
        let closed = std::mem::replace(&mut self.open, next);
        self.raws.push(u32::try_from(closed.raw.len()).expect("frames are far below 4 GiB"));
        self.closed.push(closed);
    }

    /// Compress the closed frames on all cores and write them; full packs go to the store.
    pub fn write_closed(&mut self) -> Result<(), StoreError> {
        let closed = std::mem::take(&mut self.closed);
        let frames: Vec<(Frame, Vec<(ChunkId, u32)>)> =
            closed.into_par_iter().map(|closed| (Frame::encode(closed.raw), closed.chunks)).collect();
        for (frame, chunks) in frames {
            let raw = frame.raw_len();
            self.places.push((self.pack.add(&frame, chunks), raw));
            if self.pack.len() >= DATA_TARGET {
                self.ship()?;
            }
        }
        Ok(())
    }

    fn ship(&mut self) -> Result<(), StoreError> {
        let pack = std::mem::replace(&mut self.pack, PackWriter::new(PackKind::Data)).finish();
        // What stays here is the footer; the bytes go with the pack in flight.
        self.written.push(Pack { bytes: bytes::Bytes::new(), ..pack.clone() });
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

    /// Write what is left; durable on return. Gives the packs and the place of every frame by number.
    #[allow(clippy::type_complexity)]
    pub fn finish(mut self) -> Result<(Vec<Pack>, Vec<(Blob, u32)>), StoreError> {
        if !self.open.raw.is_empty() {
            self.close();
        }
        self.write_closed()?;
        if !self.pack.is_empty() {
            self.ship()?;
        }
        self.wait()?;
        Ok((self.written, self.places))
    }
}

fn put_all(store: &Store, packs: &Receiver<Pack>) -> Result<(), StoreError> {
    packs.iter().try_for_each(|pack| pack.put(store))
}

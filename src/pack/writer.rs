//! Building a pack in memory. Its bytes are fixed before the first PUT (R16): a pack built again takes a new id.

use zerocopy::IntoBytes;

use super::format::{Footer, Frame, FrameEntry, MAX_PACK, header};
use super::{Blob, PackInfo};
use crate::id::{ChunkId, PackId, PackKind};
use crate::store::{Payload, Store, StoreError, key};

/// A data pack is finished when it holds so many chunks, of data that compresses very well, though it is small still: so its footer
/// stays some 4 MiB, below [`MAX_FOOTER`].
///
/// [`MAX_FOOTER`]: super::format::MAX_FOOTER
const DATA_CHUNKS: usize = 100_000;

/// A pack under construction.
pub struct PackWriter {
    id: PackId,
    payload: Payload,
    len: usize,
    chunks: usize,
    footer: Footer,
}

impl PackWriter {
    /// An empty pack under a new name.
    pub fn new(kind: PackKind) -> Self {
        let header = header(kind).as_bytes().to_vec();
        let (len, payload) = (header.len(), header.into());
        PackWriter { id: PackId::new(), payload, len, chunks: 0, footer: Footer { kind, frames: vec![] } }
    }

    /// The pack's name, so that recipes can name it before it is finished.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Bytes so far, without footer.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether a data pack of `target` bytes should take no more.
    pub fn is_full(&self, target: u64) -> bool {
        self.len as u64 >= target || self.chunks >= DATA_CHUNKS
    }

    /// Whether frames of `bytes` in all with so many chunks still fit into a data pack of `target` bytes. Into an empty one they do.
    pub fn has_room(&self, target: u64, bytes: u64, chunks: usize) -> bool {
        let fits = self.len as u64 + bytes <= target && self.chunks + chunks <= DATA_CHUNKS;
        self.is_empty() || fits
    }

    /// Whether no frame was added.
    pub fn is_empty(&self) -> bool {
        self.footer.frames.is_empty()
    }

    /// Add a frame with the chunks that fill it (none for metadata).
    pub fn add(&mut self, frame: &Frame, chunks: Vec<(ChunkId, u32)>) -> Blob {
        let offset = self.len as u64;
        self.payload.push(frame.bytes().clone());
        self.len += frame.len();
        self.chunks += chunks.len();
        assert!(self.len <= MAX_PACK, "a pack of {} bytes", self.len);
        let stored = u32::try_from(frame.len()).expect("frames are below MAX_FRAME");
        self.footer.frames.push(FrameEntry { offset, stored, raw: frame.raw_len(), chunks });
        Blob { pack: self.id, offset, stored }
    }

    /// The finished pack.
    pub fn finish(mut self) -> Pack {
        let footer = self.footer.encode(self.len as u64);
        let info = PackInfo {
            kind: self.footer.kind,
            size: (self.len + footer.len()) as u64,
            footer: u32::try_from(footer.len()).expect("a footer is smaller than its pack"),
        };
        self.payload.push(footer);
        Pack { id: self.id, info, footer: self.footer, payload: self.payload }
    }
}

/// A finished pack.
#[derive(Clone)]
pub struct Pack {
    /// Its name.
    pub id: PackId,
    /// What the catalog will know of it.
    pub info: PackInfo,
    /// What is in it.
    pub footer: Footer,
    /// All of it.
    pub payload: Payload,
}

impl Pack {
    /// Write it to the store; durable on return.
    pub fn put(&self, store: &Store) -> Result<(), StoreError> {
        store.create_own(&key::pack(self.info.kind, self.id), self.payload.clone())
    }
}

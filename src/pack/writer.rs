//! Building a pack in memory. Its bytes are fixed before the first PUT (R16): a pack built again takes a new id.

use bytes::Bytes;
use zerocopy::IntoBytes;

use super::format::{Footer, Frame, FrameEntry, HEADER, MAX_PACK, header};
use super::{Blob, PackInfo};
use crate::id::{ChunkId, PackId, PackKind};
use crate::store::{Store, StoreError, key};

/// A data pack is finished when it holds this many bytes.
pub const DATA_TARGET: usize = 32 << 20;

/// A pack under construction.
pub struct PackWriter {
    id: PackId,
    bytes: Vec<u8>,
    footer: Footer,
}

impl PackWriter {
    /// An empty pack under a new name.
    pub fn new(kind: PackKind) -> Self {
        let bytes = header(kind).as_bytes().to_vec();
        PackWriter { id: PackId::new(), bytes, footer: Footer { kind, frames: vec![] } }
    }

    /// The pack's name, so that recipes can name it before it is finished.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Bytes so far, without footer.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no frame was added.
    pub fn is_empty(&self) -> bool {
        self.footer.frames.is_empty()
    }

    /// Add a frame with the chunks that fill it (none for metadata).
    pub fn add(&mut self, frame: &Frame, chunks: Vec<(ChunkId, u32)>) -> Blob {
        let offset = self.bytes.len() as u64;
        frame.write(&mut self.bytes);
        assert!(self.bytes.len() <= MAX_PACK, "a pack of {} bytes", self.bytes.len());
        let stored = u32::try_from(frame.len()).expect("frames are below MAX_FRAME");
        self.footer.frames.push(FrameEntry { offset, stored, raw: frame.raw_len(), chunks });
        Blob { pack: self.id, offset, stored }
    }

    /// The finished pack.
    pub fn finish(mut self) -> Pack {
        debug_assert!(self.bytes.len() >= HEADER);
        let footer = self.footer.encode(self.bytes.len() as u64);
        self.bytes.extend_from_slice(&footer);
        let info = PackInfo {
            kind: self.footer.kind,
            size: self.bytes.len() as u64,
            footer: u32::try_from(footer.len()).expect("a footer is smaller than its pack"),
        };
        Pack { id: self.id, info, footer: self.footer, bytes: self.bytes.into() }
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
    pub bytes: Bytes,
}

impl Pack {
    /// Write it to the store; durable on return.
    pub fn put(&self, store: &Store) -> Result<(), StoreError> {
        store.create_own(&key::pack(self.info.kind, self.id), self.bytes.clone())
    }
}

//! Where bytes lie in packs: the addresses that rows, recipes and the log hold.

use serde::{Deserialize, Serialize};

use super::format::FOOTER_CHUNK;
use crate::id::{PackId, PackKind};

/// What the catalog knows of a pack, so that a read never needs a suffix range or a HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PackInfo {
    /// Data or meta.
    pub kind: PackKind,
    /// Bytes of the whole object.
    pub size: u64,
    /// Bytes of the footer with its trailer, at the end of the object.
    pub footer: u32,
}

impl PackInfo {
    /// Chunks of a data pack, about: the footer is made of them.
    pub fn chunks(&self) -> u64 {
        u64::from(self.footer) / FOOTER_CHUNK as u64
    }
}

/// One run of frames in a data pack, and the part of their raw bytes that belongs to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Term {
    /// The pack.
    pub pack: PackId,
    /// Offset of the first frame's header in the pack, bytes.
    pub offset: u64,
    /// Stored length of the run of whole frames, headers included, bytes.
    pub stored: u64,
    /// Raw bytes of the first frame that come before the file's.
    pub skip: u32,
    /// Raw bytes of the run that belong to the file, after `skip`.
    pub raw: u64,
    /// How many times those raw bytes follow each other in the file; at least 1.
    pub repeat: u32,
}

impl Term {
    /// Bytes of the file that this term gives.
    pub fn len(&self) -> u64 {
        self.raw.saturating_mul(u64::from(self.repeat))
    }

    /// Whether the term gives no byte; no valid term does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One frame of a meta pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blob {
    /// The meta pack.
    pub pack: PackId,
    /// Offset of the frame's header in the pack, bytes.
    pub offset: u64,
    /// Stored length of the frame, header included, bytes.
    pub stored: u32,
}

impl Blob {
    /// Where the frame ends in the pack, bytes.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.stored))
    }
}

//! The byte layout of a pack. `docs/format.md` says the same in prose.
//!
//! ```text
//! header · frame · frame · … · footer · trailer
//! ```
//! All integers are little-endian. A reader that wants whole files goes from frame header to frame header; one that wants a
//! few bytes, or chunk ids, reads footer and trailer first. The catalog knows the size of the pack and of its footer, so
//! neither needs a suffix range.

use std::borrow::Cow;
use std::mem::size_of;
use std::ops::Range;

use bytes::Bytes;
use twox_hash::XxHash3_128;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::chunk::{BadFrame, Codec, compress, compress_to, decompress};
use crate::id::{ChunkId, PackKind};

/// First bytes of every pack.
pub const MAGIC: [u8; 8] = *b"datamonP";
/// Last bytes of every pack.
pub const END: [u8; 8] = *b"Pnomatad";
/// Version of this layout.
pub const VERSION: u16 = 1;
/// No frame declares more raw bytes: what a hostile header can make a reader allocate.
pub const MAX_FRAME: usize = 16 << 20;
/// No pack is larger.
pub const MAX_PACK: usize = 64 << 20;
/// No footer is larger, trailer included: it is read and taken apart as a whole, and takes up to four times as much in memory.
pub const MAX_FOOTER: usize = 8 << 20;

/// First bytes of a pack.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    magic: [u8; 8],
    version: U16,
    kind: u8,
    reserved: [u8; 5],
}

/// Before the stored bytes of each frame.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FrameHeader {
    /// XXH3-128 over everything after it: the rest of this header and the stored bytes.
    checksum: [u8; 16],
    codec: u8,
    reserved: [u8; 3],
    stored: U32,
    raw: U32,
}

/// One frame in the footer.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FooterFrame {
    stored: U32,
    raw: U32,
    chunks: U32,
}

/// One chunk in the footer, in the order of the raw bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FooterChunk {
    id: [u8; 32],
    raw: U32,
}

/// Last bytes of a pack.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Trailer {
    footer_offset: U64,
    frames: U32,
    chunks: U32,
    raw: U64,
    /// BLAKE3 over header, footer and the trailer up to here.
    hash: [u8; 32],
    magic: [u8; 8],
}

/// Bytes of the header.
pub const HEADER: usize = size_of::<Header>();
/// Bytes of a frame header.
pub const FRAME_HEADER: usize = size_of::<FrameHeader>();
/// Bytes that a chunk takes in the footer.
pub const FOOTER_CHUNK: usize = size_of::<FooterChunk>();
const TRAILER: usize = size_of::<Trailer>();

/// A pack, or a part of one, that is not what it should be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadPack {
    /// The magic is wrong.
    #[error("it is not a pack")]
    Magic,
    /// A later layout.
    #[error("it has format {0}, newer than this git-datamon reads: upgrade git-datamon")]
    Newer(u16),
    /// A number points outside, or contradicts another.
    #[error("its {0} is damaged")]
    Damaged(&'static str),
    /// A frame whose bytes do not have the checksum its header gives, or a chunk that is not what its id says.
    #[error("a frame has other bytes than were written")]
    Hash,
    /// A frame that cannot be decoded.
    #[error(transparent)]
    Frame(#[from] BadFrame),
}

fn kind_byte(kind: PackKind) -> u8 {
    match kind {
        PackKind::Data => 0,
        PackKind::Meta => 1,
    }
}

/// The first bytes of a pack of this kind.
pub fn header(kind: PackKind) -> Header {
    Header { magic: MAGIC, version: VERSION.into(), kind: kind_byte(kind), reserved: [0; 5] }
}

/// A checksum, not a promise: damage by chance is noticed before anything is decoded, at the speed of memory. What bytes *are*
/// is said by the SHA-256 of a file and the BLAKE3 of a chunk, each computed once.
fn checksum(framed: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(framed).to_be_bytes()
}

const CHECKSUM: usize = 16;

/// Raw bytes on their way into a frame, with room for its header in front, so that what does not shrink is never copied again.
pub struct FrameBuilder(Vec<u8>);

impl FrameBuilder {
    /// An empty one with room for `raw` bytes.
    pub fn with_capacity(raw: usize) -> Self {
        let mut bytes = Vec::with_capacity(FRAME_HEADER + raw);
        bytes.resize(FRAME_HEADER, 0);
        FrameBuilder(bytes)
    }

    /// Append raw bytes.
    pub fn push(&mut self, raw: &[u8]) {
        self.0.extend_from_slice(raw);
    }

    /// Raw bytes so far.
    pub fn len(&self) -> usize {
        self.0.len() - FRAME_HEADER
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame, compressed if that pays; at most [`MAX_FRAME`] raw bytes.
    pub fn finish(mut self) -> Frame {
        let raw = self.len();
        assert!(raw <= MAX_FRAME, "a frame of {raw} bytes");
        let compressed = compress(&self.0[FRAME_HEADER..], |codec, stored| {
            let mut bytes = Vec::with_capacity(FRAME_HEADER + stored.len());
            bytes.resize(FRAME_HEADER, 0);
            bytes.extend_from_slice(stored);
            (codec, bytes)
        });
        let codec = match compressed {
            Some((codec, bytes)) => {
                self.0 = bytes;
                codec
            }
            None => Codec::Raw,
        };
        Frame::seal(codec, raw, self.0)
    }
}

/// A frame ready to be stored, header and all.
#[derive(Clone)]
pub struct Frame {
    raw: u32,
    bytes: Bytes,
}

impl Frame {
    /// The frame of stored bytes, which follow room for its header.
    fn seal(codec: Codec, raw: usize, mut bytes: Vec<u8>) -> Frame {
        let length = |n: usize| U32::new(u32::try_from(n).expect("frames are below MAX_FRAME"));
        let mut header = FrameHeader {
            checksum: [0; CHECKSUM],
            codec: codec as u8,
            reserved: [0; 3],
            stored: length(bytes.len() - FRAME_HEADER),
            raw: length(raw),
        };
        bytes[..FRAME_HEADER].copy_from_slice(header.as_bytes());
        header.checksum = checksum(&bytes[CHECKSUM..]);
        bytes[..CHECKSUM].copy_from_slice(&header.checksum);
        Frame { raw: header.raw.get(), bytes: bytes.into() }
    }

    /// The frame of `raw` (at most [`MAX_FRAME`] bytes), compressed if that pays.
    pub fn encode(raw: impl AsRef<[u8]>) -> Frame {
        let raw = raw.as_ref();
        let mut builder = FrameBuilder::with_capacity(raw.len());
        builder.push(raw);
        builder.finish()
    }

    /// The frame of `raw` that takes `length` bytes in a pack; `None` where that cannot be had.
    pub fn of_length(raw: &[u8], length: usize) -> Option<Frame> {
        let usual = Frame::encode(raw);
        if usual.len() == length {
            return Some(usual);
        }
        let codecs = [Codec::Zstd, Codec::Lanes2, Codec::Lanes4, Codec::Lanes8];
        codecs.into_iter().find_map(|codec| Frame::filled(codec, raw, length))
    }

    fn filled(codec: Codec, raw: &[u8], length: usize) -> Option<Frame> {
        let (codec, stored) = compress_to(codec, raw, length.checked_sub(FRAME_HEADER)?)?;
        let mut bytes = vec![0; FRAME_HEADER];
        bytes.extend(stored);
        Some(Frame::seal(codec, raw.len(), bytes))
    }

    /// Bytes it takes in a pack, header included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds nothing; a frame always has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Raw bytes.
    pub fn raw_len(&self) -> u32 {
        self.raw
    }

    /// The frame as it is stored: in a pack, or, a block of rows, alone inside a log entry.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// One frame where it lies in a buffer.
#[derive(Clone, Copy)]
pub struct FrameView<'a> {
    codec: Codec,
    raw: usize,
    bytes: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// The frame at the head of `bytes`; `None` when its end lies beyond them.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<FrameView<'a>>, BadPack> {
        let Ok((header, _)) = FrameHeader::read_from_prefix(bytes) else { return Ok(None) };
        let codec = Codec::from_byte(header.codec).ok_or(BadPack::Damaged("frame header"))?;
        let (stored, raw) = (header.stored.get() as usize, header.raw.get() as usize);
        // A frame is never larger than raw, and never larger than anything we write.
        if raw > MAX_FRAME || stored > raw || header.reserved != [0; 3] {
            return Err(BadPack::Damaged("frame header"));
        }
        Ok(bytes.get(..FRAME_HEADER + stored).map(|bytes| FrameView { codec, raw, bytes }))
    }

    /// Bytes it takes, header included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds nothing; a frame always has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The frame as it is stored, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The same, to be stored elsewhere as it is: `shared` are the bytes that it was found at the head of.
    pub fn to_frame(&self, shared: &Bytes) -> Frame {
        let raw = u32::try_from(self.raw).expect("a frame declares no more than MAX_FRAME");
        Frame { raw, bytes: shared.slice_ref(self.bytes) }
    }

    /// Raw bytes it declares.
    pub fn raw_len(&self) -> usize {
        self.raw
    }

    /// The frame with zeros in place of these parts of its raw bytes, and as long as it is; `None` where what stays cannot be stored in
    /// so many bytes.
    pub fn blanked(&self, parts: &[Range<usize>]) -> Result<Option<Frame>, BadPack> {
        let mut raw = self.decode()?.into_owned();
        for part in parts {
            raw.get_mut(part.clone()).ok_or(BadPack::Damaged("chunk table"))?.fill(0);
        }
        Ok(Frame::filled(self.codec, &raw, self.len()))
    }

    /// Its raw bytes, checked; borrowed where they are stored as they are.
    pub fn decode(&self) -> Result<Cow<'a, [u8]>, BadPack> {
        if checksum(&self.bytes[CHECKSUM..]) != self.bytes[..CHECKSUM] {
            return Err(BadPack::Hash);
        }
        Ok(decompress(self.codec, &self.bytes[FRAME_HEADER..], self.raw)?)
    }
}

/// What a footer says of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameEntry {
    /// Offset of its header in the pack.
    pub offset: u64,
    /// Bytes it takes, header included.
    pub stored: u32,
    /// Raw bytes.
    pub raw: u32,
    /// Its chunks, in order; they fill the raw bytes (none in a meta pack).
    pub chunks: Vec<(ChunkId, u32)>,
}

/// What is in a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Data or meta.
    pub kind: PackKind,
    /// Its frames, in order.
    pub frames: Vec<FrameEntry>,
}

impl FrameEntry {
    /// Where the next frame begins.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.stored)
    }
}

impl Footer {
    /// The frames that fill a range; `None` if it begins or ends within one.
    pub fn filling(&self, range: &Range<u64>) -> Option<&[FrameEntry]> {
        let first = self.frames.binary_search_by_key(&range.start, |entry| entry.offset).ok()?;
        let after = self.frames.partition_point(|entry| entry.offset < range.end);
        let frames = self.frames.get(first..after)?;
        (frames.last()?.end() == range.end).then_some(frames)
    }

    /// How many chunks are in the pack.
    pub fn chunks(&self) -> usize {
        self.frames.iter().map(|frame| frame.chunks.len()).sum()
    }

    /// Footer and trailer of a pack whose frames end at `offset`.
    pub fn encode(&self, offset: u64) -> Vec<u8> {
        let count = |n: usize| U32::new(u32::try_from(n).expect("a pack has fewer than 2^32 of anything"));
        let mut bytes = Vec::new();
        for frame in &self.frames {
            let stored = U32::new(frame.stored - FRAME_HEADER as u32);
            let entry = FooterFrame { stored, raw: frame.raw.into(), chunks: count(frame.chunks.len()) };
            bytes.extend_from_slice(entry.as_bytes());
        }
        let chunks = self.frames.iter().flat_map(|frame| &frame.chunks);
        for (id, raw) in chunks.clone() {
            bytes.extend_from_slice(FooterChunk { id: *id.as_bytes(), raw: (*raw).into() }.as_bytes());
        }
        let mut trailer = Trailer {
            footer_offset: offset.into(),
            frames: count(self.frames.len()),
            chunks: count(chunks.count()),
            raw: self.frames.iter().map(|frame| u64::from(frame.raw)).sum::<u64>().into(),
            hash: [0; 32],
            magic: END,
        };
        trailer.hash = footer_hash(self.kind, &bytes, &trailer);
        bytes.extend_from_slice(trailer.as_bytes());
        bytes
    }

    /// The footer in the last `bytes` of a pack of `size` bytes and this kind.
    pub fn parse(kind: PackKind, size: u64, bytes: &[u8]) -> Result<Footer, BadPack> {
        let (body, trailer) = Trailer::read_from_suffix(bytes).map_err(|_| BadPack::Damaged("trailer"))?;
        if trailer.magic != END {
            return Err(BadPack::Magic);
        }
        if footer_hash(kind, body, &trailer) != trailer.hash {
            return Err(BadPack::Damaged("footer"));
        }
        let offset = trailer.footer_offset.get();
        if size.checked_sub(bytes.len() as u64) != Some(offset) {
            return Err(BadPack::Damaged("footer offset"));
        }
        let (frames, rest) = <[FooterFrame]>::ref_from_prefix_with_elems(body, trailer.frames.get() as usize)
            .map_err(|_| BadPack::Damaged("frame count"))?;
        let chunks = <[FooterChunk]>::ref_from_bytes_with_elems(rest, trailer.chunks.get() as usize)
            .map_err(|_| BadPack::Damaged("chunk count"))?;
        let footer = Footer { kind, frames: place_frames(frames, chunks)? };
        let end = footer.frames.last().map_or(HEADER as u64, |last| last.offset + u64::from(last.stored));
        if end == offset { Ok(footer) } else { Err(BadPack::Damaged("footer")) }
    }
}

/// Positions are prefix sums of lengths; the chunks of a frame fill it.
fn place_frames(frames: &[FooterFrame], chunks: &[FooterChunk]) -> Result<Vec<FrameEntry>, BadPack> {
    let (mut offset, mut rest) = (HEADER as u64, chunks);
    let mut placed = Vec::with_capacity(frames.len());
    for frame in frames {
        let (own, others) =
            rest.split_at_checked(frame.chunks.get() as usize).ok_or(BadPack::Damaged("chunk count"))?;
        rest = others;
        let stored = frame.stored.get().checked_add(FRAME_HEADER as u32).ok_or(BadPack::Damaged("footer"))?;
        let chunks: Vec<_> = own.iter().map(|c| (ChunkId::from_bytes(c.id), c.raw.get())).collect();
        let filled: u64 = chunks.iter().map(|(_, raw)| u64::from(*raw)).sum();
        if frame.raw.get() as usize > MAX_FRAME
            || (!chunks.is_empty() && filled != u64::from(frame.raw.get()))
        {
            return Err(BadPack::Damaged("chunk table"));
        }
        placed.push(FrameEntry { offset, stored, raw: frame.raw.get(), chunks });
        offset += u64::from(stored);
    }
    if rest.is_empty() { Ok(placed) } else { Err(BadPack::Damaged("chunk count")) }
}

fn footer_hash(kind: PackKind, body: &[u8], trailer: &Trailer) -> [u8; 32] {
    let unhashed = size_of::<[u8; 32]>() + size_of::<[u8; 8]>();
    let mut hasher = blake3::Hasher::new();
    hasher.update(header(kind).as_bytes()).update(body).update(&trailer.as_bytes()[..TRAILER - unhashed]);
    *hasher.finalize().as_bytes()
}

/// Check the first bytes of a pack of this kind.
pub fn check_header(kind: PackKind, bytes: &[u8]) -> Result<(), BadPack> {
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| BadPack::Damaged("header"))?;
    if header.magic != MAGIC {
        return Err(BadPack::Magic);
    }
    match header.version.get() {
        VERSION => {}
        0 => return Err(BadPack::Damaged("version")),
        newer => return Err(BadPack::Newer(newer)),
    }
    match header.kind == kind_byte(kind) && header.reserved == [0; 5] {
        true => Ok(()),
        false => Err(BadPack::Damaged("header")),
    }
}

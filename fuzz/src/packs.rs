//! Packs, their frames and footers, with the checksums that they should have.

use datamon::chunk::{Codec, decompress};
use datamon::id::{PackId, PackKind};
use datamon::pack::{Footer, FrameView, PackInfo, decode_exact, verify_pack};
use datamon::store::{Store, StoreUrl, key, memory};
use twox_hash::XxHash3_128;

use super::{Outcome, text};

/// Bytes before the frames of a pack, of a frame's header and its checksum, of the trailer, and of what in it follows the hash.
const HEADER: usize = 16;
const FRAME_HEADER: usize = 28;
const CHECKSUM: usize = 16;
const TRAILER: usize = 64;
const HASHED: usize = 24;
/// What a decoder may make of one input: a bound of the test, far below that of the format.
const MOST: usize = 1 << 20;

/// Puts the right checksum into the frame at the head of `bytes`: its length, if it ends there.
fn seal_frame(bytes: &mut [u8]) -> Option<usize> {
    let len = FrameView::parse(bytes).ok()??.len();
    let checksum = XxHash3_128::oneshot(&bytes[CHECKSUM..len]).to_be_bytes();
    bytes[..CHECKSUM].copy_from_slice(&checksum);
    Some(len)
}

/// Puts the right hash into the trailer of these bytes, a footer and its trailer.
fn seal_footer(kind: PackKind, bytes: &mut [u8]) {
    let Some(body) = bytes.len().checked_sub(TRAILER) else { return };
    let mut header = *b"datamonP\x01\0\0\0\0\0\0\0";
    header[10] = u8::from(kind == PackKind::Meta);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header).update(&bytes[..body + HASHED]);
    bytes[body + HASHED..body + HASHED + 32].copy_from_slice(hasher.finalize().as_bytes());
    bytes[body + HASHED + 32..].copy_from_slice(b"Pnomatad");
}

/// A frame. The lengths that it declares are bounded by the test, so that many can be tried.
pub fn frame(bytes: &[u8]) -> Outcome {
    let mut bytes = bytes.to_vec();
    if let Some(raw) = bytes.get_mut(24..FRAME_HEADER) {
        raw[3] = 0;
        raw[2] &= 0x0f;
    }
    seal_frame(&mut bytes);
    let raw = decode_exact(&bytes).map_err(text)?;
    assert!(raw.len() <= MOST);
    let codec = Codec::from_byte(bytes[16]).expect("it was decoded");
    let again = decompress(codec, &bytes[FRAME_HEADER..], raw.len()).map_err(text)?;
    assert!(again == raw);
    Ok(())
}

/// Footer and trailer of a pack that is as long as they say.
pub fn footer(bytes: &[u8]) -> Outcome {
    let mut bytes = bytes.to_vec();
    let trailer = bytes.len().checked_sub(TRAILER).ok_or("short")?;
    let offset = u64::from_le_bytes(*bytes[trailer..].first_chunk().expect("a trailer"));
    let size = offset.checked_add(bytes.len() as u64).ok_or("no pack is so long")?;
    seal_footer(PackKind::Data, &mut bytes);
    let footer = Footer::parse(PackKind::Data, size, &bytes).map_err(text)?;
    let again = footer.encode(offset);
    assert_eq!(Footer::parse(PackKind::Data, size, &again).map_err(text)?, footer);
    Ok(())
}

/// A whole data pack.
pub fn pack(bytes: &[u8]) -> Outcome {
    let mut bytes = bytes.to_vec();
    let trailer = bytes.len().checked_sub(TRAILER).ok_or("short")?;
    let offset = u64::from_le_bytes(*bytes[trailer..].first_chunk().expect("a trailer"));
    let end =
        usize::try_from(offset).ok().filter(|end| (HEADER..=trailer).contains(end)).ok_or("no footer")?;
    let mut at = HEADER;
    while at < end {
        let Some(len) = seal_frame(&mut bytes[at..end]) else { break };
        at += len;
    }
    seal_footer(PackKind::Data, &mut bytes[end..]);
    let info = PackInfo {
        kind: PackKind::Data,
        size: bytes.len() as u64,
        footer: u32::try_from(bytes.len() - end).map_err(text)?,
    };
    let store = Store::over(StoreUrl::parse("memory:fuzz").expect("a URL"), memory()).without_waits();
    let id = PackId::from_bytes([7; 16]);
    store.overwrite(&key::pack(PackKind::Data, id), bytes.into()).map_err(text)?;
    verify_pack(&store, id, info).map(drop).map_err(text)
}

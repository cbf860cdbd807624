//! Compression of one frame.
//!
//! Compression is most of what an ingest costs, so it is tried on a sample first and kept only where it pays.

use std::borrow::Cow;
use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// zstd level: level 3 costs twice the time for 1 % on text (measured on the project's datasets).
const LEVEL: i32 = 1;
/// Compression is kept while it saves at least one part in this many.
const WORTH: usize = 16;
/// Frames up to this size are compressed without a sample.
const SAMPLE_FROM: usize = 64 << 10;
/// Length of each of the two samples.
const SAMPLE: usize = 16 << 10;

/// How the bytes of a frame are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    Raw = 0,
    /// One zstd frame (RFC 8878) without dictionary.
    Zstd = 1,
}

impl Codec {
    /// The codec with this number in the format.
    pub fn from_byte(byte: u8) -> Option<Codec> {
        match byte {
            0 => Some(Codec::Raw),
            1 => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// Stored bytes that are not what their header says.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadFrame {
    /// zstd refuses them.
    #[error("a frame cannot be decompressed: {0}")]
    Zstd(String),
    /// They give another number of bytes than declared.
    #[error("a frame gives {got} raw bytes where its header says {wanted}")]
    Length {
        /// As declared.
        wanted: usize,
        /// As decoded.
        got: usize,
    },
}

thread_local! {
    static COMPRESSOR: RefCell<(Compressor<'static>, Vec<u8>)> = RefCell::new((
        Compressor::new(LEVEL).expect("level 1 exists and memory for a context can be had"),
        vec![],
    ));
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("memory for a context can be had"));
}

/// What `keep` makes of the smaller form of `raw`; `None` when it is better stored as it is.
pub fn compress<T>(raw: &[u8], keep: impl FnOnce(&[u8]) -> T) -> Option<T> {
    COMPRESSOR.with_borrow_mut(|(zstd, room)| {
        if room.len() < raw.len() {
            room.resize(raw.len(), 0);
        }
        // What does not fit into that much room does not save enough: zstd stops there.
        let mut saves = |bytes: &[u8]| {
            let most = bytes.len() - bytes.len().div_ceil(WORTH);
            zstd.compress_to_buffer(bytes, &mut room[..most]).ok()
        };
        if raw.len() > SAMPLE_FROM {
            let mut worth = |at: usize| saves(&raw[at..at + SAMPLE]).is_some();
            if !worth(0) && !worth(raw.len() / 2) {
                return None;
            }
        }
        let stored = saves(raw)?;
        Some(keep(&room[..stored]))
    })
}

/// The raw bytes of a frame: exactly `raw_length` of them, and no more memory than that.
pub fn decompress(codec: Codec, stored: &[u8], raw_length: usize) -> Result<Cow<'_, [u8]>, BadFrame> {
    let raw = match codec {
        Codec::Raw => Cow::Borrowed(stored),
        Codec::Zstd => DECOMPRESSOR
            .with_borrow_mut(|zstd| zstd.decompress(stored, raw_length))
            .map_err(|error| BadFrame::Zstd(error.to_string()))?
            .into(),
    };
    if raw.len() == raw_length {
        Ok(raw)
    } else {
        Err(BadFrame::Length { wanted: raw_length, got: raw.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shrinks_and_noise_is_left_alone() {
        let text = b"timestamp,value\n".repeat(20_000);
        let stored = compress(&text, <[u8]>::to_vec).expect("text shrinks");
        assert!(stored.len() < text.len() / 10);
        assert_eq!(decompress(Codec::Zstd, &stored, text.len()).expect("decodes"), text);
        let mut noise = vec![0; 300_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(compress(&noise, <[u8]>::to_vec), None);
        assert_eq!(compress(&[], <[u8]>::to_vec), None);
    }

    #[test]
    fn a_declared_length_is_a_cap() {
        let zeros = vec![0; 1 << 20];
        let stored = compress(&zeros, <[u8]>::to_vec).expect("zeros shrink");
        assert!(decompress(Codec::Zstd, &stored, 1 << 10).is_err());
        assert!(decompress(Codec::Zstd, &stored, 1 << 21).is_err());
        assert!(decompress(Codec::Raw, &stored, 1).is_err());
        assert!(decompress(Codec::Zstd, b"not zstd", 100).is_err());
    }
}

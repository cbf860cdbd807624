//! Compression of one frame.
//!
//! Compression is most of what an ingest costs. So it is tried on a sample first, which also says in which form the bytes shrink
//! most, and kept only where it pays ([ADR 7](../../docs/adr/0007-parameters.md) has the figures).

use std::borrow::Cow;
use std::cell::RefCell;

use zstd::bulk::Decompressor;

use super::encoder::Encoder;
use super::lanes;

/// How the bytes of a frame are stored. The number of a codec is the width of its words, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    Raw = 0,
    /// One zstd frame (RFC 8878) without dictionary.
    Zstd = 1,
    /// Zstd frames, one after the other, that give the lanes of words of 2 bytes.
    Lanes2 = 2,
    /// The same of words of 4 bytes.
    Lanes4 = 4,
    /// The same of words of 8 bytes.
    Lanes8 = 8,
}

impl Codec {
    /// The codec with this number in the format.
    pub fn from_byte(byte: u8) -> Option<Codec> {
        match byte {
            0 => Some(Codec::Raw),
            1 => Some(Codec::Zstd),
            2 => Some(Codec::Lanes2),
            4 => Some(Codec::Lanes4),
            8 => Some(Codec::Lanes8),
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
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("memory for a context can be had"));
}

/// What `keep` makes of the smaller form of `raw`; `None` when it is better stored as it is.
pub fn compress<T>(raw: &[u8], keep: impl FnOnce(Codec, &[u8]) -> T) -> Option<T> {
    ENCODER.with_borrow_mut(|encoder| encoder.encode(raw).map(|(codec, stored)| keep(codec, stored)))
}

/// The raw bytes of a frame: exactly `raw_length` of them, and no more memory than twice that.
pub fn decompress(codec: Codec, stored: &[u8], raw_length: usize) -> Result<Cow<'_, [u8]>, BadFrame> {
    if codec == Codec::Raw {
        return exactly(stored.into(), raw_length);
    }
    let bytes = DECOMPRESSOR
        .with_borrow_mut(|zstd| zstd.decompress(stored, raw_length))
        .map_err(|error| BadFrame::Zstd(error.to_string()))?;
    let bytes = exactly(bytes.into(), raw_length)?;
    if codec == Codec::Zstd {
        return Ok(bytes);
    }
    let mut raw = vec![0; raw_length];
    lanes::ungroup(codec as usize, &bytes, &mut raw);
    Ok(raw.into())
}

fn exactly(raw: Cow<'_, [u8]>, raw_length: usize) -> Result<Cow<'_, [u8]>, BadFrame> {
    if raw.len() == raw_length {
        Ok(raw)
    } else {
        Err(BadFrame::Length { wanted: raw_length, got: raw.len() })
    }
}

#[cfg(test)]
mod tests {
    use datamon_test_support::{seeded_bytes, seeded_numbers};

    use super::*;

    fn kept(raw: &[u8]) -> Option<(Codec, Vec<u8>)> {
        let kept = compress(raw, |codec, stored| (codec, stored.to_vec()));
        if let Some((codec, stored)) = &kept {
            assert!(stored.len() + raw.len() / 16 <= raw.len(), "{codec:?} saves too little");
            assert!(
                decompress(*codec, stored, raw.len()).expect("decodes") == raw,
                "{codec:?} gives other bytes"
            );
        }
        kept
    }

    #[test]
    fn text_shrinks_and_noise_is_left_alone() {
        let text = b"timestamp,value\n".repeat(20_000);
        let (codec, stored) = kept(&text).expect("text shrinks");
        assert!(codec == Codec::Zstd && stored.len() < text.len() / 10);
        assert_eq!(kept(&seeded_bytes(1, 300_000)), None);
        assert_eq!(kept(&[]), None);
        // Half of it noise: the sample sees both halves.
        assert!(kept(&[&text[..100_000], &seeded_bytes(1, 100_000)].concat()).is_some());
    }

    #[test]
    fn numbers_are_stored_by_the_width_of_their_words() {
        for (width, codec) in [(2, Codec::Lanes2), (4, Codec::Lanes4), (8, Codec::Lanes8)] {
            for length in [32 << 10, 200_000, 200_001, 200_007] {
                let (got, stored) = kept(&seeded_numbers(width, length)).expect("numbers shrink");
                assert_eq!((got, codec as usize), (codec, width));
                let rate = stored.len() * 8 * width / length;
                assert!(rate < 8 * width - 5, "a word of {width} bytes takes {rate} bits");
            }
        }
        // Matches across words are worth more than lanes.
        let repeated = seeded_numbers(4, 1 << 10).repeat(200);
        assert_eq!(kept(&repeated).expect("shrinks").0, Codec::Zstd);
    }

    #[test]
    fn a_declared_length_is_a_cap() {
        let zeros = vec![0; 1 << 20];
        let (codec, stored) = kept(&zeros).expect("zeros shrink");
        let numbers = seeded_numbers(4, 100_000);
        let (lanes, grouped) = kept(&numbers).expect("numbers shrink");
        for (codec, stored, raw) in [(codec, &stored, 1 << 20), (lanes, &grouped, 100_000)] {
            assert!(decompress(codec, stored, raw - 1).is_err());
            assert!(decompress(codec, stored, raw + 1).is_err());
            assert!(decompress(codec, &stored[..stored.len() - 1], raw).is_err());
            assert!(decompress(codec, b"not zstd", 100).is_err());
        }
        assert!(decompress(Codec::Raw, &stored, 1).is_err());
    }

    #[test]
    fn the_number_of_a_codec_is_what_its_byte_says() {
        let known: Vec<u8> = (0..=255).filter(|byte| Codec::from_byte(*byte).is_some()).collect();
        assert_eq!(known, [0, 1, 2, 4, 8]);
        assert!(known.iter().all(|byte| Codec::from_byte(*byte).expect("known") as u8 == *byte));
    }
}

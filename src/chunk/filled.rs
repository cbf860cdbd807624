//! Compression to a given length: what shrinks further is filled up with empty blocks.
//!
//! A frame that is changed where it was copied to has to take as many bytes as before, for others know where it lies by offset and length.
//! RFC 8878 lets a zstd frame have blocks that give nothing, so a reader needs to know nothing of this.

use zstd::bulk::Compressor;

use super::codec::Codec;
use super::lanes;

/// zstd levels that are tried, quick ones first.
const LEVELS: [i32; 3] = [1, 9, 19];
/// A block of no bytes, as they are, and one of a byte that comes no times. None of them is the last.
const EMPTY: [&[u8]; 2] = [&[0; 3], &[2, 0, 0, 0]];

/// Stored bytes of exactly this length that give `raw`, and their codec: the one that is asked for, or the plain one. `None` where
/// they cannot be had.
pub fn compress_to(codec: Codec, raw: &[u8], length: usize) -> Option<(Codec, Vec<u8>)> {
    if raw.len() == length {
        return Some((Codec::Raw, raw.to_vec()));
    }
    let plain = Some(Codec::Zstd).filter(|_| codec != Codec::Zstd);
    [codec].into_iter().filter(|codec| *codec != Codec::Raw).chain(plain).find_map(|codec| {
        let mut lanes = vec![0; raw.len()];
        let grouped = match codec {
            Codec::Raw | Codec::Zstd => raw,
            Codec::Lanes2 | Codec::Lanes4 | Codec::Lanes8 => {
                lanes::group(codec as usize, raw, &mut lanes);
                &lanes
            }
        };
        LEVELS.into_iter().find_map(|level| {
            let stored = Compressor::new(level).ok()?.compress(grouped).ok()?;
            Some((codec, fill(&stored, length)?))
        })
    })
}

/// A zstd frame with as many empty blocks before its first one as make it so long.
fn fill(frame: &[u8], length: usize) -> Option<Vec<u8>> {
    let gap = length.checked_sub(frame.len())?;
    // Threes, and as many fours as make up for the rest: all but 1, 2 and 5.
    let fours = gap % 3;
    let threes = gap.checked_sub(4 * fours)? / 3;
    let (head, blocks) = frame.split_at_checked(header(frame)?)?;
    let mut filled = Vec::with_capacity(length);
    filled.extend_from_slice(head);
    (0..threes).for_each(|_| filled.extend_from_slice(EMPTY[0]));
    (0..fours).for_each(|_| filled.extend_from_slice(EMPTY[1]));
    filled.extend_from_slice(blocks);
    Some(filled)
}

/// Bytes of the header of a zstd frame (RFC 8878, 3.1.1.1).
fn header(frame: &[u8]) -> Option<usize> {
    let descriptor = *frame.get(4)?;
    let single = descriptor >> 5 & 1;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = match descriptor >> 6 {
        0 => usize::from(single),
        size => 1 << size,
    };
    Some(5 + usize::from(1 - single) + dictionary + content)
}

#[cfg(test)]
mod tests {
    use datamon_test_support::{seeded_bytes, seeded_numbers};
    use proptest::prelude::*;

    use super::super::decompress;
    use super::*;

    fn gives(codec: Codec, raw: &[u8], length: usize) -> bool {
        let Some((codec, stored)) = compress_to(codec, raw, length) else { return false };
        assert_eq!(stored.len(), length);
        assert!(decompress(codec, &stored, raw.len()).expect("decodes") == raw, "{codec:?}");
        true
    }

    #[test]
    fn every_length_is_met_that_is_not_too_short() {
        let text = b"timestamp,value\n".repeat(2_000);
        let least = (0..text.len()).find(|length| compress_to(Codec::Zstd, &text, *length).is_some());
        let least = least.expect("text shrinks");
        assert!(least < text.len() / 10);
        for more in (6..300).chain([4000, text.len() - least]) {
            assert!(gives(Codec::Zstd, &text, least + more), "{more} more");
        }
        assert!(!gives(Codec::Zstd, &text, 20));
        assert!(!gives(Codec::Zstd, &text, 0));
    }

    #[test]
    fn lanes_and_noise_are_met_too() {
        let numbers = seeded_numbers(4, 100_000);
        assert!(gives(Codec::Lanes4, &numbers, 90_000));
        let noise = seeded_bytes(1, 50_000);
        assert!(gives(Codec::Raw, &noise, 50_000));
        assert!(!gives(Codec::Raw, &noise, 49_999));
        // What was noise is half of it zeros by now.
        let half = [&noise[..25_000], &vec![0; 25_000]].concat();
        assert!(gives(Codec::Zstd, &half, 40_000) && !gives(Codec::Zstd, &half, 20_000));
    }

    proptest! {
        #[test]
        fn what_is_filled_gives_the_same(raw in prop::collection::vec(0..4u8, 0..5000), gap in 0..200usize) {
            let stored = Compressor::new(1).expect("a context").compress(&raw).expect("compresses");
            if let Some(filled) = fill(&stored, stored.len() + gap) {
                prop_assert_eq!(filled.len(), stored.len() + gap);
                prop_assert!(decompress(Codec::Zstd, &filled, raw.len()).expect("decodes") == raw);
            } else {
                prop_assert!([1, 2, 5].contains(&gap));
            }
        }
    }
}

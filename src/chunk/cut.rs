//! Content-defined cuts: FastCDC, 2020 form (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication
//! Based Storage Systems", TPDS 2020), normalisation level 1, by the `fastcdc` crate.
//!
//! A cut depends on at most `max` bytes before it, so a file read window by window is cut as if it were read at once: only a
//! cut with `max` bytes in sight, or the end of the file, is final.

use fastcdc::v2020::{Normalization, cut, select_masks};
use serde::{Deserialize, Serialize};

/// Chunk sizes of a store, bytes. Frozen in `datamon.json`: another size would deduplicate against nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// No chunk but the last of a file is smaller.
    pub min: u32,
    /// What chunks of random data average to, a power of two.
    pub average: u32,
    /// No chunk is larger.
    pub max: u32,
}

impl Sizes {
    /// A quarter and four times the average (ADR 7).
    pub const DEFAULT: Sizes = Sizes { min: 4 << 10, average: 16 << 10, max: 64 << 10 };

    /// Whether the cutter accepts these sizes (they come from a file that anybody may have written).
    pub fn valid(&self) -> bool {
        self.average.is_power_of_two()
            && (256..=256 << 10).contains(&self.average)
            && (64..=self.average).contains(&self.min)
            && (self.average.max(1024)..=1 << 20).contains(&self.max)
            && self.min.is_multiple_of(2)
            && self.max.is_multiple_of(2)
    }
}

/// Cuts bytes into chunks of the given sizes.
#[derive(Debug, Clone, Copy)]
pub struct Cutter {
    sizes: Sizes,
    masks: (u64, u64),
}

impl Cutter {
    /// A cutter for a store with these (valid) sizes.
    pub fn new(sizes: Sizes) -> Self {
        Cutter { sizes, masks: select_masks(sizes.average as usize, Normalization::Level1) }
    }

    /// Lengths of the chunks at the head of `bytes` that are final: all of them when `last` says that the file ends here, else
    /// those whose cut no later byte can move. What is left over belongs at the head of the next window.
    pub fn cut(&self, bytes: &[u8], last: bool) -> Vec<u32> {
        let Sizes { min, average, max } = self.sizes;
        let (small, large) = self.masks;
        let mut lengths = Vec::with_capacity(bytes.len() / average as usize + 1);
        let mut rest = bytes;
        while !rest.is_empty() && (last || rest.len() >= max as usize) {
            let (_, length) =
                cut(rest, min as usize, average as usize, max as usize, small, large, small << 1, large << 1);
            lengths.push(u32::try_from(length).expect("no chunk is longer than max, a u32"));
            rest = &rest[length..];
        }
        lengths
    }
}

#[cfg(test)]
mod tests {
    use fastcdc::v2020::FastCDC;
    use proptest::prelude::*;

    use super::*;

    const SIZES: Sizes = Sizes { min: 256, average: 1024, max: 4096 };

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut byte = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        (0..length).map(|_| byte()).collect()
    }

    fn windowed(bytes: &[u8], window: usize) -> Vec<u32> {
        let cutter = Cutter::new(SIZES);
        let (mut lengths, mut carried, mut at) = (vec![], vec![], 0);
        while at < bytes.len() {
            let end = bytes.len().min(at + window);
            carried.extend_from_slice(&bytes[at..end]);
            let cuts = cutter.cut(&carried, end == bytes.len());
            carried.drain(..cuts.iter().sum::<u32>() as usize);
            lengths.extend(cuts);
            at = end;
        }
        lengths
    }

    proptest! {
        #[test]
        fn windows_do_not_move_cuts(seed: u64, length in 0usize..40_000, window in 1usize..9_000) {
            let bytes = noise(seed, length);
            let whole: Vec<u32> = FastCDC::new(&bytes, 256, 1024, 4096).map(|c| c.length as u32).collect();
            prop_assert_eq!(windowed(&bytes, window), whole);
        }

        #[test]
        fn an_insert_moves_few_cuts(seed: u64, at in 0usize..60_000) {
            let bytes = noise(seed, 60_000);
            let mut edited = bytes.clone();
            edited.insert(at, 7);
            let ends = |bytes: &[u8]| -> Vec<usize> {
                windowed(bytes, 1 << 20).iter().scan(0, |end, l| { *end += *l as usize; Some(bytes.len() - *end) }).collect()
            };
            let (old, new) = (ends(&bytes), ends(&edited));
            // Counted from the end of the file, all cuts a few chunks after the insert are where they were.
            let kept = new.iter().filter(|end| old.contains(end)).count();
            let before = windowed(&bytes[..at], 1 << 20).len();
            prop_assert!(kept + before + 12 >= new.len(), "{} of {} cuts kept", kept, new.len());
        }
    }
}

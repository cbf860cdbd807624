//! How much of a table of hooks is kept, and how much of that is read. Pure.

use super::number;
use crate::id::Prefix;

/// The largest shift there is: of a larger one nobody knows what it means.
pub const MOST_SHIFT: u8 = 32;

/// The last prefix that a segment of this shift keeps.
pub fn kept(shift: u8) -> Prefix {
    Prefix::from_bytes(u64::MAX.checked_shr(u32::from(shift)).unwrap_or(0).to_be_bytes())
}

/// What a table has: rows and shift of each of its segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample(Vec<(u64, u8)>);

impl FromIterator<(u64, u8)> for Sample {
    fn from_iter<I: IntoIterator<Item = (u64, u8)>>(segments: I) -> Self {
        Sample(segments.into_iter().collect())
    }
}

impl Sample {
    /// Rows.
    pub fn rows(&self) -> u64 {
        self.0.iter().fold(0, |sum, (rows, _)| sum.saturating_add(*rows))
    }

    /// Chunks that the rows stand for, about.
    pub fn chunks(&self) -> u64 {
        let chunks = |(rows, shift): &(u64, u8)| rows.saturating_mul(1 << (*shift).min(MOST_SHIFT));
        self.0.iter().map(chunks).fold(0, u64::saturating_add)
    }

    /// The shift with which a table of these chunks and `more` has at most `most` rows.
    pub fn shift(&self, more: u64, most: u64) -> u8 {
        let chunks = self.chunks().saturating_add(more);
        (0..MOST_SHIFT).find(|shift| chunks >> shift <= most).unwrap_or(MOST_SHIFT)
    }

    /// Up to which prefix some `most` rows are read, fewer rather than more. Up to the last one that every segment keeps this is a
    /// fair sample of all chunks.
    pub fn head(&self, most: u64) -> Prefix {
        if self.rows() <= most {
            return Prefix::MAX;
        }
        let fits = |upto: u64| {
            // In parts of 2^64 of a row.
            let part = |(rows, shift): &(u64, u8)| {
                let kept = u128::from(number(kept(*shift)).min(upto)) + 1;
                u128::from(*rows).saturating_mul(kept << (*shift).min(MOST_SHIFT))
            };
            self.0.iter().map(part).fold(0, u128::saturating_add) <= u128::from(most) << u64::BITS
        };
        // The largest that fits, bit by bit.
        let with = |upto: u64, bit: u32| Some(upto | 1 << bit).filter(|more| fits(*more)).unwrap_or(upto);
        Prefix::from_bytes((0..u64::BITS).rev().fold(0, with).to_be_bytes())
    }

    /// Of how many chunks of the store one has a row among the `most` that are read.
    pub fn one_in(&self, most: u64) -> u64 {
        self.chunks().div_ceil(self.rows().min(most).max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(segments: &[(u64, u8)]) -> Sample {
        segments.iter().copied().collect()
    }

    #[test]
    fn a_shift_follows_from_the_size_alone() {
        const MOST: u64 = 1 << 24;
        for (chunks, shift) in
            [(0, 0), (MOST, 0), (MOST + 1, 1), (2 * MOST, 1), (2 * MOST + 2, 2), (1_000_000_000, 6)]
        {
            assert_eq!(of(&[]).shift(chunks, MOST), shift, "{chunks}");
            // However the table came to be.
            assert_eq!(of(&[(chunks >> 3, 3)]).shift(chunks % 8, MOST), shift, "{chunks}");
        }
        assert_eq!(of(&[(u64::MAX, 9)]).shift(u64::MAX, 1), MOST_SHIFT);
    }

    #[test]
    fn each_shift_keeps_half_of_the_one_before() {
        assert_eq!((kept(0), number(kept(1))), (Prefix::MAX, u64::MAX >> 1));
        assert_eq!((number(kept(6)), number(kept(63)), number(kept(255))), (u64::MAX >> 6, 1, 0));
    }

    #[test]
    fn of_a_sampled_table_the_head_is_as_large_as_of_a_whole_one() {
        let most = 1 << 20;
        let whole = of(&[(1 << 30, 0)]).head(most);
        assert_eq!(number(whole), (1 << 54) - 1);
        assert_eq!(of(&[(1 << 24, 6)]).head(most), whole);
        assert_eq!(of(&[(1 << 23, 6), (1 << 25, 4)]).head(most), whole);
        assert_eq!((of(&[(1 << 24, 6)]).one_in(most), of(&[(9, 0)]).one_in(most)), (1 << 10, 1));
        // What is read whole is no larger sample than it was written as.
        assert_eq!((of(&[(100, 6)]).head(most), of(&[(100, 6)]).one_in(most)), (Prefix::MAX, 64));
    }

    proptest! {
        #[test]
        fn the_head_is_no_more_than_was_asked_for_and_nearly_that(
            segments in prop::collection::vec((0u64..1 << 40, 0u8..=MOST_SHIFT), 1..9),
            most in 1u64..1 << 30,
        ) {
            let sample = of(&segments);
            let upto = number(sample.head(most));
            let rows = |upto: u64| -> u128 {
                let part = |(rows, shift): &(u64, u8)| {
                    let kept = (1u128 << 64) >> shift;
                    u128::from(*rows) * (u128::from(upto) + 1).min(kept) / kept
                };
                segments.iter().map(part).sum()
            };
            prop_assert!(rows(upto) <= u128::from(most).max(rows(0)));
            // Each part is rounded down here.
            prop_assert!(upto == u64::MAX || rows(upto + 1) + segments.len() as u128 > u128::from(most));
        }

        #[test]
        fn any_table_fits_with_its_shift(chunks in 0u64..1 << 50, most in 1u64 << 20..1 << 30) {
            let shift = of(&[]).shift(chunks, most);
            prop_assert!(chunks >> shift <= most);
            prop_assert!(shift == 0 || chunks >> (shift - 1) > most);
        }
    }
}

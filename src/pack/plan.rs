//! Which ranges of a pack to ask for, when many small pieces of it are wanted.

use std::ops::Range;

/// Two wanted pieces with fewer bytes than this between them are one request: the bytes cost less than another round trip.
pub const GAP: u64 = 512 << 10;
/// No request asks for more, so that memory and a retry stay small.
pub const MAX_READ: u64 = 8 << 20;

/// The requests that cover all of `wanted` (each no longer than one request may be, or alone in one), in order.
pub fn coalesce(mut wanted: Vec<Range<u64>>) -> Vec<Range<u64>> {
    wanted.sort_by_key(|range| (range.start, range.end));
    let mut reads: Vec<Range<u64>> = Vec::new();
    for range in wanted {
        match reads.last_mut() {
            Some(last)
                if range.start <= last.end.saturating_add(GAP)
                    && (range.end <= last.end || range.end - last.start <= MAX_READ) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => reads.push(range),
        }
    }
    reads
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_are_one_read_and_strangers_two() {
        let near = vec![0..10, 100..200, 5 << 20..6 << 20, 20..30];
        assert_eq!(coalesce(near), [0..200, 5 << 20..6 << 20]);
    }

    proptest! {
        #[test]
        fn every_wanted_piece_lies_in_one_read(pieces in prop::collection::vec((0u64..100 << 20, 1u64..4 << 20), 0..40)) {
            let wanted: Vec<_> = pieces.iter().map(|(at, len)| *at..at + len).collect();
            let reads = coalesce(wanted.clone());
            for piece in &wanted {
                prop_assert!(reads.iter().any(|read| read.start <= piece.start && piece.end <= read.end));
            }
            prop_assert!(reads.iter().all(|read| read.end - read.start <= MAX_READ));
        }
    }
}

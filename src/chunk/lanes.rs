//! Bytes grouped by their place in words of 2, 4 or 8 bytes: *lanes*.
//!
//! In numbers of one kind the bytes that hold sign and exponent are alike and those of the mantissa are noise. Side by side in
//! a word they hide each other from a compressor; in lanes the first shrink and the others are passed through.
//!
//! The lanes of `raw` are all first bytes of its words, then all second bytes, and so on, then the bytes after the last whole
//! word. The words are taken from the first byte on: where they really begin does not matter, only that they follow each other.

/// The lanes of `raw` for words of `width` bytes (2, 4 or 8), into `lanes`, which is as long.
pub fn group(width: usize, raw: &[u8], lanes: &mut [u8]) {
    match width {
        2 => group_words::<2>(raw, lanes),
        4 => group_words::<4>(raw, lanes),
        8 => group_words::<8>(raw, lanes),
        _ => unreachable!("no codec has words of {width} bytes"),
    }
}

/// What [`group`] was given, into `raw`, which is as long as `lanes`.
pub fn ungroup(width: usize, lanes: &[u8], raw: &mut [u8]) {
    match width {
        2 => ungroup_words::<2>(lanes, raw),
        4 => ungroup_words::<4>(lanes, raw),
        8 => ungroup_words::<8>(lanes, raw),
        _ => unreachable!("no codec has words of {width} bytes"),
    }
}

/// Where each lane of `length` raw bytes lies; the last one takes what is left over.
pub fn spans(width: usize, length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let lane = length / width;
    (0..width).map(move |at| at * lane..if at + 1 == width { length } else { (at + 1) * lane })
}

fn group_words<const W: usize>(raw: &[u8], lanes: &mut [u8]) {
    let (words, rest) = raw.as_chunks::<W>();
    for (at, span) in spans(W, words.len() * W).enumerate() {
        lanes[span].iter_mut().zip(words).for_each(|(byte, word)| *byte = word[at]);
    }
    lanes[words.len() * W..].copy_from_slice(rest);
}

// All lanes in one loop over the words, which the compiler turns into shuffles of whole registers.
fn ungroup_words<const W: usize>(lanes: &[u8], raw: &mut [u8]) {
    let (words, rest) = raw.as_chunks_mut::<W>();
    let (lanes, tail) = lanes.split_at(words.len() * W);
    let lanes: [&[u8]; W] = std::array::from_fn(|at| &lanes[at * words.len()..][..words.len()]);
    for (at, word) in words.iter_mut().enumerate() {
        *word = std::array::from_fn(|lane| lanes[lane][at]);
    }
    rest.copy_from_slice(tail);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lanes_are_the_bytes_of_words_by_place() {
        let mut lanes = [0; 11];
        group(4, &[1, 2, 3, 4, 11, 12, 13, 14, 5, 6, 7], &mut lanes);
        assert_eq!(lanes, [1, 11, 2, 12, 3, 13, 4, 14, 5, 6, 7]);
        assert_eq!(spans(4, 11).collect::<Vec<_>>(), [0..2, 2..4, 4..6, 6..11]);
    }

    proptest! {
        #[test]
        fn lanes_give_back_what_they_were_made_of(raw: Vec<u8>, width in prop::sample::select(vec![2usize, 4, 8])) {
            let (mut lanes, mut back) = (vec![0; raw.len()], vec![0; raw.len()]);
            group(width, &raw, &mut lanes);
            ungroup(width, &lanes, &mut back);
            prop_assert_eq!(back, raw);
        }
    }
}

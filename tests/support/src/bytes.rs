//! Bytes that look random and are the same on every run.

/// `len` incompressible bytes that depend on `seed` only, and are the beginning of any longer run with that seed.
///
/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), eight bytes a step, little-endian.
pub fn seeded_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// `len` bytes of numbers of `width` bytes: noise but for the last byte of each (of 8 the last two), which is likely to be one
/// of few, as signs and exponents are.
pub fn seeded_numbers(width: usize, len: usize) -> Vec<u8> {
    let mut bytes = seeded_bytes(width as u64, len);
    for number in bytes.chunks_exact_mut(width) {
        let upper = &mut number[width - width.div_ceil(4)..];
        upper.iter_mut().for_each(|byte| *byte = 0x3c + byte.leading_zeros() as u8);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_comes_out() {
        // The first outputs for seed 1234567, as in the reference code by Vigna.
        let words = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(seeded_bytes(1_234_567, 24), words.map(u64::to_le_bytes).concat());
    }

    #[test]
    fn every_length_is_a_beginning_of_the_longer_ones() {
        let long = seeded_bytes(7, 100);
        for len in 0..100 {
            assert_eq!(seeded_bytes(7, len), long[..len]);
        }
        assert_ne!(seeded_bytes(8, 100), long);
    }
}

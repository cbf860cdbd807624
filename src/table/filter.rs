//! Filters: a segment that lacks a key says so without a block being read.
//!
//! A Bloom filter over keys that are hashes already, so that the probes come from the bits of the key itself (Kirsch,
//! Mitzenmacher: Less Hashing, Same Performance, 2008). At 16 bits and 8 probes a key it is wrong once in some 1700 times,
//! and then costs one read. It may only ever be wrong in that direction: a filter nobody wrote holds everything.

/// Bits of filter for each key.
const BITS_PER_KEY: usize = 16;
/// Bits that each key sets.
const PROBES: u64 = 8;

/// Keys that may be in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    bits: Vec<u8>,
}

impl Filter {
    /// A filter that holds these keys.
    pub fn of<'a>(keys: impl ExactSizeIterator<Item = &'a [u8; 32]>) -> Filter {
        let mut bits = vec![0u8; (keys.len() * BITS_PER_KEY).div_ceil(8)];
        let length = bits.len() as u64 * 8;
        for bit in keys.flat_map(|key| probes(key, length)) {
            bits[(bit / 8) as usize] |= 1 << (bit % 8);
        }
        Filter { bits }
    }

    /// The filter whose bytes these are.
    pub fn from_bytes(bits: Vec<u8>) -> Filter {
        Filter { bits }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Whether the key may be one of those that the filter was made of.
    pub fn may_hold(&self, key: &[u8; 32]) -> bool {
        let set = |bit: u64| self.bits[(bit / 8) as usize] & 1 << (bit % 8) != 0;
        self.bits.is_empty() || probes(key, self.bits.len() as u64 * 8).all(set)
    }
}

/// The bits of a key in a filter of `length` bits, which is not 0. The first eight bytes of a key are left out: they decide
/// in which segment it lies, so within a segment they are alike.
fn probes(key: &[u8; 32], length: u64) -> impl Iterator<Item = u64> {
    let word = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().expect("eight bytes"));
    let (start, step) = (word(8), word(16) | 1);
    (0..PROBES).map(move |n| start.wrapping_add(n.wrapping_mul(step)) % length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> [u8; 32] {
        *blake3::hash(&n.to_le_bytes()).as_bytes()
    }

    #[test]
    fn what_is_held_is_found_and_little_else() {
        let keys: Vec<[u8; 32]> = (0..20_000).map(key).collect();
        let filter = Filter::of(keys.iter());
        assert_eq!(filter.as_bytes().len(), 40_000);
        assert!(keys.iter().all(|key| filter.may_hold(key)));
        let wrong = (20_000..220_000).filter(|n| filter.may_hold(&key(*n))).count();
        assert!(wrong < 200, "{wrong} of 200,000 others, where some 115 are expected");
        assert_eq!(Filter::from_bytes(filter.as_bytes().to_vec()), filter);
    }

    #[test]
    fn a_filter_has_the_bits_it_always_had() {
        let keys: Vec<[u8; 32]> = (0..100).map(key).collect();
        let hash = blake3::hash(Filter::of(keys.iter()).as_bytes()).to_hex();
        assert_eq!(hash[..32], *"463c331a491904385771a0a342ba55ed");
    }

    #[test]
    fn no_filter_and_any_bytes_are_no_danger() {
        assert!(Filter::from_bytes(vec![]).may_hold(&key(1)));
        assert!(Filter::of([].iter()).may_hold(&key(1)));
        assert!(!Filter::from_bytes(vec![0]).may_hold(&key(1)));
        assert!(Filter::from_bytes(vec![0xff; 3]).may_hold(&[0xff; 32]));
    }
}

//! Files that say the same thing for very long.
//!
//! A term of forty bytes may repeat one chunk four thousand million times, and a sparse file that somebody really pushed looks just so.
//! Each chunk is read and verified once whatever the files make of it; only the SHA-256 of a file takes as long as the file is. So what
//! files give beyond what is stored of them is hashed up to a bound for all of them together, and the rest is told and not hashed: who
//! writes a few bytes into a store keeps nobody busy for years.

use super::Findings;
use crate::ops::fetch::Wanted;
use crate::pack::Term;

/// So many times what is stored of a file may come out of it as a matter of course: data that compresses well.
const DENSE: u64 = 1_000;
/// What files may give beyond that, all together, bytes: less than an hour of hashing.
const PATIENCE: u64 = 1 << 40;

/// Whether a file may be so many bytes long: no file system counts further.
pub fn is_possible(size: u64) -> bool {
    i64::try_from(size).is_ok()
}

/// What is left of it for the files that come.
pub struct Patience(u64);

impl Default for Patience {
    fn default() -> Patience {
        Patience(PATIENCE)
    }
}

impl Patience {
    /// Whether there is enough of it to hash this file, which takes what it needs. What it has not enough for is counted, and takes nothing.
    pub fn suffices(&mut self, file: &Wanted, findings: &mut Findings) -> bool {
        let left = self.0.checked_sub(surplus(file));
        match left {
            Some(left) => self.0 = left,
            None => {
                findings.unhashed += 1;
                findings.unhashed_bytes = findings.unhashed_bytes.saturating_add(file.size);
            }
        }
        left.is_some()
    }
}

/// Bytes of the file beyond those that what is stored of it explains. What it names twice is stored once.
fn surplus(file: &Wanted) -> u64 {
    let run = |it: &Term| (it.pack, it.offset, it.offset.saturating_add(it.stored));
    let mut runs: Vec<_> = file.terms.iter().map(run).collect();
    runs.sort_unstable();
    let (mut stored, mut last) = (0u64, None);
    for (pack, start, end) in runs {
        let known = match last {
            Some((of, known)) if of == pack => known,
            _ => 0,
        };
        stored = stored.saturating_add(end.saturating_sub(start.max(known)));
        last = Some((pack, end.max(known)));
    }
    file.size.saturating_sub(stored.saturating_mul(DENSE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Oid, PackId};

    fn file(terms: Vec<Term>) -> Wanted {
        let size = terms.iter().map(Term::len).sum();
        Wanted { oid: Oid::from_bytes([0; 32]), size, terms, path: "unused".into() }
    }

    fn term(pack: u8, offset: u64, raw: u64, repeat: u32) -> Term {
        Term { pack: PackId::from_bytes([pack; 16]), offset, stored: 100, skip: 0, raw, repeat }
    }

    #[test]
    fn only_what_is_not_stored_takes_patience() {
        // As dense as data gets, and denser.
        assert_eq!(surplus(&file(vec![term(1, 16, 100_000, 1), term(2, 16, 100_000, 1)])), 0);
        assert_eq!(surplus(&file(vec![term(1, 16, 100_001, 1), term(2, 16, 100_000, 1)])), 1);
        assert_eq!(surplus(&file(vec![term(1, 16, 1_000, 101)])), 1_000);
        // Said again, or nearly so: a hundred bytes are stored, and ten.
        assert_eq!(surplus(&file(vec![term(1, 16, 100_000, 1); 3])), 200_000);
        assert_eq!(surplus(&file(vec![term(1, 16, 100_000, 1), term(1, 26, 100_000, 1)])), 90_000);
        // The end of one run is not that of another pack.
        assert_eq!(surplus(&file(vec![term(1, 500, 100_000, 1), term(2, 16, 100_000, 1)])), 0);
        assert_eq!(surplus(&file(vec![])), 0);
    }

    #[test]
    fn patience_ends_for_the_long_ones_and_stays_for_the_others() {
        let mut patience = Patience::default();
        let mut findings = Findings::default();
        let sparse = file(vec![term(1, 16, 1 << 20, 1 << 19)]);
        let endless = file(vec![term(1, 16, 1 << 24, u32::MAX)]);
        let mut takes = |it: &Wanted| patience.suffices(it, &mut findings);
        assert_eq!(
            [&endless, &sparse, &sparse, &sparse, &endless].map(&mut takes),
            [false, true, true, false, false]
        );
        assert!(takes(&file(vec![term(1, 16, 50, 1)])));
        assert_eq!(findings.unhashed, 3);
        assert_eq!(findings.unhashed_bytes, sparse.size + 2 * endless.size);
    }
}

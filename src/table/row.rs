//! Rows of the `files` table: which bytes in which packs are the file of an oid.
//!
//! Rows travel in *blocks*: sorted by (oid, repo), with every pack and repo written once and named by position. A block is
//! one frame of a segment, and the same block is the inline part of a small push in its log entry.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{Oid, PackId, RepoId};
use crate::pack::format::{MAX_FRAME, MAX_PACK};
use crate::pack::plan::MAX_READ;
use crate::pack::{Blob, Term};

/// Recipes up to this many terms live in their row; longer ones in a frame of the meta pack.
pub const INLINE_TERMS: usize = 16;

/// How to rebuild one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// The terms themselves, in file order.
    Inline(Vec<Term>),
    /// The frame that holds the terms, and every pack they name.
    Out {
        /// The frame, a block of terms (see [`encode_terms`]).
        blob: Blob,
        /// The data packs those terms name, so that a touch can name them without reading the frame (R2).
        packs: Vec<PackId>,
    },
}

/// One file of one repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// SHA-256 of the file.
    pub oid: Oid,
    /// The repo that pushed it.
    pub repo: RepoId,
    /// The log position of the Push that promised the row last; 0 while it is that of the entry that carries the block (R9).
    pub born: u64,
    /// Length of the file, bytes.
    pub size: u64,
    /// How to rebuild it.
    pub recipe: Recipe,
}

impl Row {
    /// Key of the row: a row of one repo never hides that of another.
    pub fn key(&self) -> (Oid, RepoId) {
        (self.oid, self.repo)
    }

    /// Bytes that it takes in a block before compression, or a few more: the recipe of a very large file names many packs.
    pub fn weight(&self) -> usize {
        let (terms, packs) = match &self.recipe {
            Recipe::Inline(terms) => (terms.len(), terms.len()),
            Recipe::Out { packs, .. } => (1, packs.len() + 1),
        };
        // oid, births and lengths; a term; a pack in the list and a position in it
        100 + 35 * terms + 23 * packs
    }

    /// Every pack that reading the file needs: what a Push must name (R2).
    pub fn packs(&self) -> BTreeSet<PackId> {
        self.recipe.packs()
    }
}

impl Recipe {
    /// Every pack that it names, or says that its terms name.
    pub fn packs(&self) -> BTreeSet<PackId> {
        match self {
            Recipe::Inline(terms) => terms.iter().map(|term| term.pack).collect(),
            Recipe::Out { blob, packs } => packs.iter().copied().chain([blob.pack]).collect(),
        }
    }
}

/// A block that cannot be decoded, or that says something impossible.
#[derive(Debug, thiserror::Error)]
pub enum BadBlock {
    /// Not a block of this format.
    #[error("a block of rows cannot be decoded: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    /// A row names a pack, repo or length that cannot be.
    #[error("a block of rows is inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// pack index, offset, stored, skip, raw, repeat
type WireTerm = (u32, u64, u64, u32, u64, u32);

#[derive(Serialize, Deserialize)]
struct WireTerms {
    packs: Vec<PackId>,
    terms: Vec<WireTerm>,
}

#[derive(Serialize, Deserialize)]
enum WireRecipe {
    I(Vec<WireTerm>),
    O(u32, u64, u32, Vec<u32>),
}

#[derive(Serialize, Deserialize)]
struct WireBlock {
    repos: Vec<RepoId>,
    packs: Vec<PackId>,
    /// oid, repo index, born, size, recipe
    rows: Vec<(Oid, u32, u64, u64, WireRecipe)>,
}

/// Positions of values in a list where each stands once.
struct Positions<T>(BTreeMap<T, u32>);

impl<T: Ord + Copy> Positions<T> {
    fn of(values: impl IntoIterator<Item = T>) -> Self {
        let distinct: BTreeSet<T> = values.into_iter().collect();
        Positions(distinct.into_iter().zip(0..).collect())
    }

    fn list(&self) -> Vec<T> {
        self.0.keys().copied().collect()
    }
}

fn wire_term(packs: &Positions<PackId>, term: &Term) -> WireTerm {
    (packs.0[&term.pack], term.offset, term.stored, term.skip, term.raw, term.repeat)
}

fn term(packs: &[PackId], wire: &WireTerm) -> Result<Term, BadBlock> {
    let &(pack, offset, stored, skip, raw, repeat) = wire;
    let pack = *packs.get(pack as usize).ok_or(BadBlock::Inconsistent("a term names no pack"))?;
    let term = Term { pack, offset, stored, skip, raw, repeat };
    let sane = raw > 0
        && repeat > 0
        && stored > 0
        // What repeats is one chunk, in one frame: a long run that repeats would be read again each time.
        && (repeat == 1 || (stored <= MAX_READ && raw.saturating_add(skip.into()) <= MAX_FRAME as u64))
        && raw.checked_mul(u64::from(repeat)).is_some()
        // No pack is larger, so no request for a part of one is.
        && offset.checked_add(stored).is_some_and(|end| end <= MAX_PACK as u64);
    if sane { Ok(term) } else { Err(BadBlock::Inconsistent("a term has an impossible length")) }
}

/// Terms too many for a row, as the bytes of one frame: a msgpack array of packs and of terms that name them by position.
pub fn encode_terms(terms: &[Term]) -> Vec<u8> {
    let packs = Positions::of(terms.iter().map(|term| term.pack));
    let wire = WireTerms { terms: terms.iter().map(|t| wire_term(&packs, t)).collect(), packs: packs.list() };
    rmp_serde::to_vec(&wire).expect("plain values always encode")
}

/// The terms in a frame written by [`encode_terms`].
pub fn decode_terms(bytes: &[u8]) -> Result<Vec<Term>, BadBlock> {
    let wire: WireTerms = rmp_serde::from_slice(bytes)?;
    wire.terms.iter().map(|t| term(&wire.packs, t)).collect()
}

/// A block of rows, sorted by key: a msgpack array of repos, packs and rows.
pub fn encode_rows(rows: &[Row]) -> Vec<u8> {
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by_key(|row| (row.key(), row.born));
    let repos = Positions::of(rows.iter().map(|row| row.repo));
    let packs = Positions::of(rows.iter().flat_map(Row::packs));
    let wire = |row: &Row| {
        let recipe = match &row.recipe {
            Recipe::Inline(terms) => WireRecipe::I(terms.iter().map(|t| wire_term(&packs, t)).collect()),
            Recipe::Out { blob, packs: named } => WireRecipe::O(
                packs.0[&blob.pack],
                blob.offset,
                blob.stored,
                named.iter().map(|pack| packs.0[pack]).collect(),
            ),
        };
        (row.oid, repos.0[&row.repo], row.born, row.size, recipe)
    };
    let block =
        WireBlock { rows: order.into_iter().map(wire).collect(), repos: repos.list(), packs: packs.list() };
    rmp_serde::to_vec(&block).expect("plain values always encode")
}

/// The rows of a block, checked: sorted, every position in range, inline terms adding up to the size of the file.
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<Row>, BadBlock> {
    let block: WireBlock = rmp_serde::from_slice(bytes)?;
    let pack =
        |at: u32| block.packs.get(at as usize).copied().ok_or(BadBlock::Inconsistent("a row names no pack"));
    let mut rows: Vec<Row> = Vec::with_capacity(block.rows.len());
    for (oid, repo, born, size, recipe) in &block.rows {
        let repo = *block.repos.get(*repo as usize).ok_or(BadBlock::Inconsistent("a row names no repo"))?;
        let recipe = match recipe {
            WireRecipe::I(terms) => {
                let terms: Vec<Term> =
                    terms.iter().map(|t| term(&block.packs, t)).collect::<Result<_, _>>()?;
                let total = terms.iter().try_fold(0u64, |sum, t| sum.checked_add(t.len()));
                if total != Some(*size) {
                    return Err(BadBlock::Inconsistent("the terms of a row do not add up to its size"));
                }
                Recipe::Inline(terms)
            }
            WireRecipe::O(at, offset, stored, named) => Recipe::Out {
                blob: Blob { pack: pack(*at)?, offset: *offset, stored: *stored },
                packs: named.iter().map(|at| pack(*at)).collect::<Result<_, _>>()?,
            },
        };
        let row = Row { oid: *oid, repo, born: *born, size: *size, recipe };
        if rows.last().is_some_and(|last| (last.key(), last.born) > (row.key(), row.born)) {
            return Err(BadBlock::Inconsistent("rows are not in order"));
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let pack = |n| PackId::from_bytes([n; 16]);
        let term = |n, raw| Term { pack: pack(n), offset: 16, stored: 100, skip: 3, raw, repeat: 2 };
        let row = |n: u8, size, recipe| Row {
            oid: Oid::from_bytes([n; 32]),
            repo: RepoId::NIL,
            born: 7,
            size,
            recipe,
        };
        let blob = Blob { pack: pack(9), offset: 16, stored: 50 };
        vec![
            row(3, 300, Recipe::Inline(vec![term(1, 100), term(2, 50)])),
            row(1, 1 << 40, Recipe::Out { blob, packs: vec![pack(1), pack(4)] }),
            row(2, 0, Recipe::Inline(vec![])),
        ]
    }

    #[test]
    fn rows_come_back_in_key_order() {
        let mut expected = rows();
        expected.sort_by_key(Row::key);
        assert_eq!(decode_rows(&encode_rows(&rows())).expect("decodes"), expected);
    }

    #[test]
    fn rows_weigh_at_least_what_they_take() {
        let pack = |n: usize| {
            PackId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().expect("16"))
        };
        let long = u64::MAX / 32;
        let term = |n| Term {
            pack: pack(n),
            offset: 1 << 25,
            stored: 1 << 24,
            skip: u32::MAX,
            raw: long,
            repeat: 1,
        };
        let blob = Blob { pack: pack(0), offset: 1 << 25, stored: u32::MAX };
        for count in [0, 1, 16, 70_000] {
            let out = Recipe::Out { blob, packs: (1..=count).map(pack).collect() };
            let inline = Recipe::Inline((0..count.min(16)).map(term).collect());
            for (size, recipe) in [(u64::MAX, out), (count.min(16) as u64 * long, inline)] {
                let (oid, repo) = (Oid::from_bytes([7; 32]), RepoId::from_bytes([7; 16]));
                let row = Row { oid, repo, born: u64::MAX, size, recipe };
                let taken = encode_rows(std::slice::from_ref(&row)).len();
                assert!(taken <= row.weight(), "{taken} of {}", row.weight());
            }
        }
    }

    #[test]
    fn terms_come_back() {
        let Recipe::Inline(terms) = rows()[0].recipe.clone() else { unreachable!() };
        assert_eq!(decode_terms(&encode_terms(&terms)).expect("decodes"), terms);
    }

    #[test]
    fn no_prefix_of_a_block_decodes() {
        let bytes = encode_rows(&rows());
        for end in 0..bytes.len() {
            assert!(decode_rows(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_long_run_that_repeats_is_refused() {
        let pack = PackId::from_bytes([1; 16]);
        let term = |stored, repeat| [Term { pack, offset: 16, stored, skip: 0, raw: 1, repeat }];
        assert!(decode_terms(&encode_terms(&term(MAX_READ, u32::MAX))).is_ok());
        assert!(decode_terms(&encode_terms(&term(MAX_READ + 1, 1))).is_ok());
        assert!(decode_terms(&encode_terms(&term(MAX_READ + 1, u32::MAX))).is_err());
        let skips = [Term { skip: MAX_FRAME as u32, ..term(100, 2)[0] }];
        assert!(decode_terms(&encode_terms(&skips)).is_err(), "what repeats lies in one frame");
    }

    #[test]
    fn terms_that_do_not_add_up_are_refused() {
        let mut wrong = rows();
        wrong[0].size += 1;
        assert!(decode_rows(&encode_rows(&wrong)).is_err());
    }
}

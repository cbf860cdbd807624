//! Input that nobody of ours wrote, and what was ours before a disk or a stranger had it.
//!
//! `fuzz` (the functions that `fuzz/` hands to libFuzzer) is what all bytes from outside go through; `mutants` throws changed ones at
//! it, `decoders` cut and flipped ones, each of which has to be told; `one_bit` does the same to a whole store. `names` tries names,
//! `claims` numbers that promise too much, `places` where a repository may send somebody. `docs/security-tests.md` says which class of
//! attack is tried where.

mod claims;
mod decoders;
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;
mod mutants;
mod names;
mod one_bit;
mod places;
mod seeds;

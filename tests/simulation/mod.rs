//! What a store costs at any size: the real code over a bucket that keeps only sizes. `examples/scale.rs` runs it at sizes that
//! take minutes and prints the tables of `docs/scale.md`; the tests run a small one and hold it to the formulas.

// Each of its two users uses a part.
#![allow(dead_code)]

pub mod bucket;
#[cfg(test)]
mod formulas;
pub mod world;

//! L2 · Sorted tables in packs: rows, blocks, segments.

mod row;

pub use row::{BadBlock, INLINE_TERMS, Recipe, Row, decode_rows, decode_terms, encode_rows, encode_terms};

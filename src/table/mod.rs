//! L2 · Sorted tables in packs: rows, blocks, segments.

mod filter;
mod row;
mod segment;
mod slices;

pub use row::{BadBlock, INLINE_TERMS, Recipe, Row, decode_rows, decode_terms, encode_rows, encode_terms};
pub use segment::{SEGMENT_ROWS, TableError, Written, find_rows, read_frame, read_frames, write_segment};
pub use slices::Slices;

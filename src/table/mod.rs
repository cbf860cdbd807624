//! L2 · Sorted tables in packs: rows, blocks, segments.

mod filter;
mod frames;
mod hooks;
mod row;
mod segment;
mod slices;

pub use frames::{Frames, Leads};
pub use hooks::{HookMerge, Hooks, MOST_SHIFT, SEGMENT_HOOKS, Sample, kept};
pub use row::{BadBlock, INLINE_TERMS, Recipe, Row, decode_rows, decode_terms, encode_rows, encode_terms};
pub use segment::{
    TableError, Written, add_frame, find_rows, is_damage, is_frame_damaged, kept_frame, read_frame,
    read_frames, segment_len, write_segment,
};
pub use slices::Slices;

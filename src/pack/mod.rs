//! L2 · Packs: immutable objects of chunks or of metadata frames.

mod address;

pub use address::{Blob, PackInfo, PackKind, Term};

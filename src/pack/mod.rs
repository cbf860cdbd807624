//! L2 · Packs: immutable objects of chunks or of metadata frames.

mod address;
pub mod format;
pub mod plan;
mod reader;
mod series;
mod writer;

pub use crate::id::PackKind;
pub use address::{Blob, PackInfo, Term};
pub use format::{BadPack, Footer, Frame, FrameBuilder, FrameEntry, FrameView};
pub use reader::{PackError, decode_exact, read_blob, read_footer, verify_bytes, verify_frame, verify_pack};
pub use series::MetaSeries;
pub use writer::{Pack, PackWriter};

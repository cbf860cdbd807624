//! L1 · Bytes to chunks: where a file is cut, and how a run of chunks is compressed.
//!
//! The unit of deduplication and the unit of compression differ. A *chunk* is what deduplicates; a *frame* is what is
//! compressed: a run of consecutive new chunks, also of neighbouring small files.

mod codec;
mod cut;
mod encoder;
mod filled;
mod lanes;

pub use codec::{BadFrame, Codec, compress, decompress};
pub use cut::{Cutter, Sizes};
pub use filled::compress_to;

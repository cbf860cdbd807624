//! The seam towards whoever watches: a terminal, git-lfs's meter, or nobody.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Told how a transfer goes, from any thread.
pub trait Progress: Sync {
    /// So many bytes of files (raw, not stored) more are done.
    fn add(&self, bytes: u64);

    /// So many bytes will be done in all: what was not known when the work began.
    fn expect(&self, _bytes: u64) {}

    /// Where requests are counted that had to be made again: what explains why nothing moves.
    fn watch(&self, _retries: Arc<AtomicU64>) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn add(&self, _bytes: u64) {}
}

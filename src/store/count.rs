//! Counting requests: the budget of every operation is a promise, and tests hold it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// Requests and bytes so far, safe to bump from any thread.
#[derive(Debug, Default)]
pub struct Requests {
    get: AtomicU64,
    head: AtomicU64,
    put: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
    again: Arc<AtomicU64>,
    read: AtomicU64,
    written: AtomicU64,
}

/// A reading of [`Requests`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// GET requests, whole objects and ranges.
    pub get: u64,
    /// HEAD requests.
    pub head: u64,
    /// PUT requests, create-only or not.
    pub put: u64,
    /// LIST calls.
    pub list: u64,
    /// DELETE requests.
    pub delete: u64,
    /// Requests of any kind that were made a second time, or once more; not counted above.
    pub again: u64,
    /// Bytes received.
    pub read: u64,
    /// Bytes sent.
    pub written: u64,
}

impl Requests {
    pub(super) fn get(&self) {
        self.get.fetch_add(1, Relaxed);
    }

    pub(super) fn head(&self) {
        self.head.fetch_add(1, Relaxed);
    }

    pub(super) fn put(&self, bytes: usize) {
        self.put.fetch_add(1, Relaxed);
        self.written.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn list(&self) {
        self.list.fetch_add(1, Relaxed);
    }

    pub(super) fn delete(&self) {
        self.delete.fetch_add(1, Relaxed);
    }

    pub(super) fn again(&self) {
        self.again.fetch_add(1, Relaxed);
    }

    /// The count of requests made again, for whoever looks at it while they are made.
    pub(super) fn all_again(&self) -> Arc<AtomicU64> {
        self.again.clone()
    }

    pub(super) fn read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn now(&self) -> Counts {
        Counts {
            get: self.get.load(Relaxed),
            head: self.head.load(Relaxed),
            put: self.put.load(Relaxed),
            list: self.list.load(Relaxed),
            delete: self.delete.load(Relaxed),
            again: self.again.load(Relaxed),
            read: self.read.load(Relaxed),
            written: self.written.load(Relaxed),
        }
    }
}

impl Counts {
    /// What was added since `earlier`.
    pub fn since(self, earlier: Counts) -> Counts {
        Counts {
            get: self.get - earlier.get,
            head: self.head - earlier.head,
            put: self.put - earlier.put,
            list: self.list - earlier.list,
            delete: self.delete - earlier.delete,
            again: self.again - earlier.again,
            read: self.read - earlier.read,
            written: self.written - earlier.written,
        }
    }
}

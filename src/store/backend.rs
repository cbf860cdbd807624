//! The seam towards an object store: six calls, each blocking, each one request.
//!
//! Async stays in this room: a caller that wants requests in flight uses threads. That keeps one kind of function in every
//! layer above, and lets a decorator be thirty lines.

use std::fmt::Debug;
use std::ops::Range;

use bytes::Bytes;

use super::payload::Payload;

/// What a create-only PUT met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// The object is there with our bytes, durable.
    Created,
    /// The backend says that something was there. Some say so when nothing is (R5): read before believing.
    Exists,
}

/// One listed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size, bytes.
    pub size: u64,
    /// When it was written by the clock of the store, milliseconds since 1970. A politeness: no argument about safety looks at it.
    pub modified: u64,
}

/// Why a request failed. `Missing` is not a failure: calls answer `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The caller may not do this (also what S3 says of a missing key to somebody who may not list).
    Denied,
    /// Who the caller is could not be shown: no credentials, wrong or expired ones.
    Credentials,
    /// Who the server is could not be shown: nobody this machine trusts has signed its certificate.
    Certificate,
    /// The caller's clock is so wrong that no signature holds.
    Clock,
    /// No space left, or a quota.
    Full,
    /// There is no such bucket.
    NoBucket,
    /// The bucket lies in another region.
    Region,
    /// The object lies in an archive and must be brought back first.
    Archived,
    /// The backend cannot do this at all, for instance create-only on a file system without hard links.
    Unsupported,
    /// What answered is no object store.
    Stranger,
    /// Too many requests: worth another try, later.
    Busy,
    /// Nobody answered: worth another try.
    Unreachable,
    /// Anything else: worth another try.
    Other,
}

impl Failure {
    /// Whether the same request may succeed in a while.
    pub fn may_pass(self) -> bool {
        matches!(self, Failure::Busy | Failure::Unreachable | Failure::Other)
    }
}

/// A request that gave no answer one can use.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// What kind of failure.
    pub failure: Failure,
    /// The backend's own words.
    pub message: String,
}

/// Bytes by key. Object writes are atomic: a reader sees the whole object or none of it.
pub trait Backend: Send + Sync + Debug {
    /// The object, or the bytes of it in `range`; `None` if there is no such object. A range past the end is an error or
    /// short, as the backend likes: callers check lengths.
    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BackendError>;

    /// Size of the object in bytes, `None` if there is no such object.
    fn size(&self, key: &str) -> Result<Option<u64>, BackendError>;

    /// Write the object unless one is there. `Created` means durable. After an error it may be there or not.
    fn create(&self, key: &str, bytes: Payload) -> Result<Create, BackendError>;

    /// Write the object, whatever was there. For hints only.
    fn overwrite(&self, key: &str, bytes: Payload) -> Result<(), BackendError>;

    /// Every object whose key begins with `prefix` (which ends in `/` or is empty) and sorts after `after`.
    fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, BackendError>;

    /// The first of them, up to a thousand, in one request; `None` where that would cost a listing of all of them.
    fn list_first(&self, _prefix: &str, _after: &str) -> Result<Option<Vec<Listed>>, BackendError> {
        Ok(None)
    }

    /// When the object was written by the clock of the store, milliseconds since 1970; `None` if there is no such object.
    fn modified(&self, key: &str) -> Result<Option<u64>, BackendError> {
        let folder = key.rfind('/').map_or("", |end| &key[..=end]);
        Ok(self.list(folder, "")?.into_iter().find(|it| it.key == key).map(|it| it.modified))
    }

    /// Remove the object; nothing there is fine.
    fn delete(&self, key: &str) -> Result<(), BackendError>;
}

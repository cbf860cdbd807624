//! What can go wrong between us and a store, each with the next thing to do.

use super::backend::{BackendError, Failure};
use super::url::BadUrl;

/// A store that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names nothing.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// No directory there.
    #[error(
        "there is no store at {url}: if it should be here, mount or restore it; to make one, run `git datamon init --store {url}`"
    )]
    Absent {
        /// The store.
        url: String,
    },
    /// A directory store whose root is a file.
    #[error("the store {url} is a file, not a directory: name a directory with `git datamon init --store`")]
    NotADirectory {
        /// The store.
        url: String,
    },
    /// An object that must be there is not.
    #[error("the store {url} has no object {key}: run `git datamon fsck` to see what is damaged")]
    Missing {
        /// The store.
        url: String,
        /// The object.
        key: String,
    },
    /// An object is shorter than the catalog says.
    #[error(
        "object {key} of the store {url} is cut short ({got} bytes where {wanted} were asked): run `git datamon fsck --data`"
    )]
    Short {
        /// The store.
        url: String,
        /// The object.
        key: String,
        /// Bytes asked for.
        wanted: u64,
        /// Bytes that came.
        got: u64,
    },
    /// Something else lies under a name that is ours alone.
    #[error(
        "object {key} of the store {url} has other bytes than those written under this name: the backend does not keep create-only writes; run `git datamon doctor`"
    )]
    Foreign {
        /// The store.
        url: String,
        /// The object.
        key: String,
    },
    /// The probe found a backend that would lose data (R17).
    #[error("the store {url} cannot hold data safely: {why}")]
    Unsafe {
        /// The store.
        url: String,
        /// The property it lacks.
        why: String,
    },
    /// A request failed for good.
    #[error("cannot {verb} {key} in the store {url}: {source}{}", advice(.source.failure))]
    Request {
        /// `read`, `write`, `list` or `delete`.
        verb: &'static str,
        /// The object.
        key: String,
        /// The store.
        url: String,
        /// Why.
        source: BackendError,
    },
}

impl StoreError {
    /// The object that it is about.
    pub fn key(&self) -> Option<&str> {
        match self {
            StoreError::Missing { key, .. }
            | StoreError::Short { key, .. }
            | StoreError::Foreign { key, .. }
            | StoreError::Request { key, .. } => Some(key),
            StoreError::Url(_)
            | StoreError::Absent { .. }
            | StoreError::NotADirectory { .. }
            | StoreError::Unsafe { .. } => None,
        }
    }

    /// Whether the store said no before it did anything: no permission, no space, no such operation.
    pub fn is_refusal(&self) -> bool {
        matches!(self, StoreError::Request { source, .. } if source.failure != Failure::Other)
    }
}

fn advice(failure: Failure) -> &'static str {
    match failure {
        Failure::Denied => "; check who may read and write there, then run the command again",
        Failure::Full => {
            "; free some space, then run the command again: nothing that was acknowledged is lost"
        }
        Failure::Unsupported => "; choose another place for the store",
        Failure::Other => "; check that the store can be reached, then run the command again",
    }
}

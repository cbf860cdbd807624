//! What an agent has to do: move one object at a time, and say so only when it is done.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::message::{Init, Object};

/// The failure of one request, as the user will read it.
///
/// git-lfs prints `error transferring "<oid>": [<code>] <message>` and nothing else, so the message carries the whole cause
/// and the next command to type. On its way out it is made one line without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A number for scripts; git-lfs only prints it.
    pub code: i32,
    /// What happened, to what, and what to type next.
    pub message: String,
}

impl Failure {
    /// The request was not one that git-lfs sends (`EX_PROTOCOL` of sysexits.h).
    pub const PROTOCOL: i32 = 76;
    /// The agent has a bug (`EX_SOFTWARE` of sysexits.h).
    pub const BUG: i32 = 70;

    /// A failure with this code and message.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The agent behind the protocol.
///
/// Calls come one at a time, in this order: `init` until it succeeds, then any number of `upload` (in an upload session) or
/// `download` (in a download session), then `finish` once, whatever happened before. A panic in any of the first three is
/// reported as that request's failure and the next call still comes: leave nothing half changed across a place that may
/// panic.
///
/// `progress` takes the bytes of the object done so far. It may be called as often as is handy: calls that go backwards,
/// past the size, or come too soon after the last one cost nothing.
pub trait Transfer {
    /// Learns which way objects will go. It must return at once and open nothing: git-lfs starts its processes one after
    /// another and each waits for this reply. A failure here is for faults of configuration, and ends the session.
    fn init(&mut self, init: &Init) -> Result<(), Failure>;

    /// Stores the file at `path`, which lies inside `.git/lfs/objects` and which git-lfs has checked by size only: verify
    /// its SHA-256 while reading. `Ok` means durable.
    ///
    /// git-lfs cannot express a path that is not UTF-8: there `path` holds replacement characters and does not exist.
    fn upload(&mut self, object: &Object, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), Failure>;

    /// Fetches an object into a file of its own and returns its path, absolute and on the file system of
    /// `.git/lfs/objects`: git-lfs renames it from there, and has no other way to take it.
    fn download(&mut self, object: &Object, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure>;

    /// The session is over: git-lfs said so, closed the pipe, or went away. Nobody reads a reply any more, and git-lfs
    /// waits 30 seconds at most.
    fn finish(&mut self);
}

//! Why the catalog of a store cannot be used, each with what to type next.

use std::fmt;

use super::fold::BadLog;
use super::head::Holed;
use super::identity::BadIdentity;
use super::state::Refusal;
use crate::pack::PackError;
use crate::store::StoreError;
use crate::table::TableError;

/// A store whose catalog could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is something, and it is no store.
    #[error(
        "{url} is not a datamon store: if one should be there, mount or restore it; to make one, run `git datamon init --store {url}`"
    )]
    NotAStore {
        /// The store.
        url: String,
    },
    /// `init` found something in the way.
    #[error("{url} has other files ({first}): name an empty directory with `git datamon init --store`")]
    NotEmpty {
        /// The store.
        url: String,
        /// One of them.
        first: String,
    },
    /// There is a mirror of a store.
    #[error(
        "{url} is not a datamon store but a mirror of one: name its store, or if that is lost run `git datamon mirror promote {url}`"
    )]
    IsMirror {
        /// The mirror.
        url: String,
    },
    /// There is the log of a store that does not say any more which one it is.
    #[error(fmt = nameless)]
    Nameless {
        /// The store.
        url: String,
    },
    /// Its identity is unusable.
    #[error(fmt = unusable)]
    Identity {
        /// The store.
        url: String,
        /// Why.
        source: BadIdentity,
    },
    /// Its log is unusable.
    #[error(fmt = unusable)]
    Log {
        /// The store.
        url: String,
        /// Why.
        source: BadLog,
    },
    /// An entry that must be there is not (R6).
    #[error(fmt = lost)]
    Lost {
        /// The store.
        url: String,
        /// The entry.
        seq: u64,
    },
    /// Entries lie beyond a hole (R6).
    #[error("the store {url} cannot be written: {source}")]
    Holed {
        /// The store.
        url: String,
        /// Where.
        source: Holed,
    },
    /// A pack of the catalog is unusable.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A table is unusable.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The change may not land.
    #[error("the change was refused: {0}")]
    Refused(#[from] Refusal),
    /// A bundle was to have a file that neither the push nor the store has.
    #[error(
        "the store does not have {oid}, which a bundle should have: run the command again where the file is"
    )]
    NoData {
        /// The file.
        oid: crate::id::Oid,
    },
    /// Others were faster a thousand times.
    #[error("the store {url} is so busy that nothing could be committed: run the command again")]
    Contended {
        /// The store.
        url: String,
    },
    /// No clear answer (R17).
    #[error(
        "the store {url} gave no clear answer about log entry {slot}: whether the change landed is unknown. Run the command again; it resolves that first"
    )]
    Unknown {
        /// The store.
        url: String,
        /// The slot.
        slot: u64,
    },
    /// The journal cannot be written, so nothing is sent.
    #[error("cannot write the journal: {0}; free space in your state directory and run the command again")]
    Journal(std::io::Error),
}

/// What is wrong, and what helps; `{:#}` leaves that out, for who says it better.
fn nameless(url: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{url} has the log of a store, and its datamon.json is gone")?;
    let helps = "run `git datamon repair` where the store was used, or restore the file from a backup";
    if f.alternate() { Ok(()) } else { write!(f, ": {helps}") }
}

/// The same.
fn unusable(url: &str, source: &impl fmt::Display, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "the store {url} cannot be used: ")?;
    fmt::Display::fmt(source, f)
}

/// The same.
fn lost(url: &str, seq: &u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "the store {url} lacks log entry {seq}, which was there: it was copied, rolled back or damaged"
    )?;
    if f.alternate() { Ok(()) } else { f.write_str("; nothing was written. Run `git datamon fsck`") }
}

impl CatalogError {
    /// The log is not the one that was seen before (R6): exchanged, rolled back, copied over.
    pub(super) fn is_another_log(&self) -> bool {
        matches!(self, CatalogError::Log { source: BadLog::Fork { .. }, .. } | CatalogError::Lost { .. })
    }
}

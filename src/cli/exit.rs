//! How commands end: every exit code there is. The help prints the table, and `docs/commands.md` repeats it.
//!
//! Where data does not come, the code says who can help. 2: nobody has stored it, so somebody who has it must push it. 4: the
//! store promised it, and has other bytes or none. 5: ask again. Of several files the worst counts.

use crate::catalog::CatalogError;
use crate::ops::download::{NotHere, Unfetched};
use crate::ops::fetch::FetchError;
use crate::ops::ingest::SourceError;
use crate::store::StoreError;

/// What kind of failure; scripts see it as the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Things differ, or are not clean.
    Difference,
    /// What was named does not exist, or was never stored.
    NotFound,
    /// Somebody else was there first, or has not been asked yet.
    Conflict,
    /// Bytes are not what they must be, or what was promised is gone.
    Integrity,
    /// The store does not answer.
    Unreachable,
    /// The command line is wrong.
    Usage,
    /// Anything else; git's own code for it.
    Failed,
    /// Nobody reads the output any more: no failure, and nobody is told.
    Unheard,
}

/// Each kind of failure, and what is said of it.
pub const TABLE: [(Kind, &str); 8] = [
    (Kind::Difference, "a difference, or not clean"),
    (Kind::NotFound, "not found: no such thing, or data that is neither here nor in the store"),
    (Kind::Conflict, "a conflict: somebody else was first, or it is not trusted"),
    (Kind::Integrity, "an integrity failure: damaged, or promised by the store and not there"),
    (Kind::Unreachable, "the store does not answer"),
    (Kind::Usage, "the command line is wrong"),
    (Kind::Failed, "anything else"),
    (Kind::Unheard, "nobody reads the output any more"),
];

/// The table as the help prints it.
pub fn help() -> String {
    let rows = TABLE.map(|(kind, what)| format!("  {:<4} {what}\n", kind.exit_code()));
    format!("Exit codes:\n  {:<4} done\n{}  where git itself fails, git's own code", 0, rows.concat())
}

impl Kind {
    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Difference => 1,
            Kind::NotFound => 2,
            Kind::Conflict => 3,
            Kind::Integrity => 4,
            Kind::Unreachable => 5,
            Kind::Usage => 64,
            Kind::Failed => 128,
            // As if SIGPIPE had ended it, like git.
            Kind::Unheard => 141,
        }
    }

    /// What kind of failure one of a store is.
    pub fn of_store(error: &StoreError) -> Kind {
        match error {
            StoreError::Url(_) => Kind::Usage,
            StoreError::Absent { .. } => Kind::NotFound,
            StoreError::Missing { .. } | StoreError::Short { .. } | StoreError::Foreign { .. } => {
                Kind::Integrity
            }
            StoreError::Request { .. } => Kind::Unreachable,
            StoreError::NotADirectory { .. } | StoreError::Unsafe { .. } => Kind::Failed,
        }
    }

    /// The same of what a store holds.
    pub fn of_catalog(error: &CatalogError) -> Kind {
        match error {
            CatalogError::Store(error) => Kind::of_store(error),
            CatalogError::NotAStore { .. } | CatalogError::NoData { .. } => Kind::NotFound,
            CatalogError::Identity { .. }
            | CatalogError::Log { .. }
            | CatalogError::Lost { .. }
            | CatalogError::Holed { .. }
            | CatalogError::Pack(_)
            | CatalogError::Table(_) => Kind::Integrity,
            CatalogError::Refused(_) | CatalogError::Contended { .. } => Kind::Conflict,
            CatalogError::Unknown { .. } => Kind::Unreachable,
            CatalogError::NotEmpty { .. } | CatalogError::Journal(_) => Kind::Failed,
        }
    }

    /// The same of a file that is rebuilt.
    pub fn of_fetch(error: &FetchError) -> Kind {
        match error {
            FetchError::Store(error) => Kind::of_store(error),
            FetchError::Pack(_) | FetchError::Wrong { .. } => Kind::Integrity,
            FetchError::Write { .. } => Kind::Failed,
        }
    }

    /// The same of a file that did not come.
    pub fn of_unfetched(error: &Unfetched) -> Kind {
        match error {
            Unfetched::NotHere(NotHere::Missing { .. } | NotHere::Redacted { .. }) => Kind::NotFound,
            Unfetched::NotHere(NotHere::Size { .. }) => Kind::Integrity,
            Unfetched::NotHere(NotHere::Recipe(error)) => Kind::of_catalog(error),
            Unfetched::Fetch(error) => Kind::of_fetch(error),
            Unfetched::Place(_) => Kind::Failed,
        }
    }

    /// The same of a file of this machine that was not taken in.
    pub fn of_source(error: &SourceError) -> Kind {
        match error {
            SourceError::Wrong { .. } => Kind::Integrity,
            SourceError::Read { source, .. } | SourceError::Unhashed { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Kind::NotFound,
                _ => Kind::Failed,
            },
        }
    }

    /// Of several files that did not come, what counts for all: damage first, as nothing else mends itself less.
    pub fn worst(kinds: impl IntoIterator<Item = Kind>) -> Kind {
        let rank = |kind: &Kind| match kind {
            Kind::Integrity => 3,
            Kind::Unreachable => 2,
            Kind::NotFound => 1,
            _ => 0,
        };
        kinds.into_iter().max_by_key(rank).unwrap_or(Kind::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_the_manual_has_them_all() {
        let manual = include_str!("../../docs/commands.md");
        let codes = TABLE.map(|(kind, _)| kind.exit_code());
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        assert!(manual.contains("| 0 | done |\n"));
        for (kind, what) in TABLE {
            let row = format!("| {} | {what}", kind.exit_code());
            assert!(manual.contains(&row), "docs/commands.md lacks {row}");
        }
    }

    #[test]
    fn of_several_files_the_damaged_one_counts() {
        let worst = |kinds: &[Kind]| Kind::worst(kinds.iter().copied());
        assert_eq!(worst(&[Kind::NotFound, Kind::Integrity, Kind::Unreachable]), Kind::Integrity);
        assert_eq!(worst(&[Kind::Failed, Kind::NotFound, Kind::Unreachable]), Kind::Unreachable);
        assert_eq!(worst(&[Kind::NotFound, Kind::Failed]), Kind::NotFound);
    }
}

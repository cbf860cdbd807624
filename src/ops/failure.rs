//! Failure: of what kind one is, so that scripts can tell who can help. The terminal makes exit codes of kinds, and the simulator
//! takes a failure without one for a defect.

use crate::catalog::CatalogError;
use crate::git::ObjectsError;
use crate::ops::bundle::NotFound;
use crate::ops::download::{NotHere, Unfetched};
use crate::ops::fetch::FetchError;
use crate::ops::ingest::SourceError;
use crate::ops::label::LabelError;
use crate::ops::repo::RepoNotChanged;
use crate::ops::squash::NotSquashed;
use crate::pack::PackError;
use crate::store::StoreError;
use crate::table::TableError;

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

impl Kind {
    /// What kind of failure one of a store is.
    pub fn of_store(error: &StoreError) -> Kind {
        match error {
            StoreError::Url(_) => Kind::Usage,
            StoreError::Absent { .. } => Kind::NotFound,
            StoreError::Missing { .. } | StoreError::Short { .. } | StoreError::Foreign { .. } => {
                Kind::Integrity
            }
            // Nothing gets better by asking again.
            StoreError::Request { .. } if error.is_shut() => Kind::Failed,
            StoreError::Request { .. } => Kind::Unreachable,
            StoreError::NotADirectory { .. } | StoreError::Unsafe { .. } => Kind::Failed,
        }
    }

    /// The same of what a store holds.
    pub fn of_catalog(error: &CatalogError) -> Kind {
        match error {
            CatalogError::Store(error) => Kind::of_store(error),
            CatalogError::NotAStore { .. } | CatalogError::IsMirror { .. } | CatalogError::NoData { .. } => {
                Kind::NotFound
            }
            CatalogError::Nameless { .. }
            | CatalogError::Identity { .. }
            | CatalogError::Log { .. }
            | CatalogError::Lost { .. }
            | CatalogError::Holed { .. } => Kind::Integrity,
            CatalogError::Pack(error) => Kind::of_pack(error),
            CatalogError::Table(error) => Kind::of_table(error),
            CatalogError::Refused(_) | CatalogError::Contended { .. } => Kind::Conflict,
            CatalogError::Unknown { .. } => Kind::Unreachable,
            CatalogError::NotEmpty { .. } | CatalogError::Journal(_) => Kind::Failed,
        }
    }

    /// The same of a pack: one that does not come is not damaged for all anybody knows.
    pub fn of_pack(error: &PackError) -> Kind {
        match error {
            PackError::Store(error) => Kind::of_store(error),
            PackError::Bad { .. } => Kind::Integrity,
        }
    }

    /// The same of a table.
    pub fn of_table(error: &TableError) -> Kind {
        match error {
            TableError::Store(error) => Kind::of_store(error),
            TableError::Pack(error) => Kind::of_pack(error),
            TableError::Bad { .. } => Kind::Integrity,
        }
    }

    /// The same of a file that is rebuilt.
    pub fn of_fetch(error: &FetchError) -> Kind {
        match error {
            FetchError::Store(error) => Kind::of_store(error),
            FetchError::Pack(error) => Kind::of_pack(error),
            FetchError::Wrong { .. } => Kind::Integrity,
            FetchError::Write { .. } => Kind::Failed,
        }
    }

    /// The same of a file that the store does not have, or not so.
    pub fn of_not_here(error: &NotHere) -> Kind {
        match error {
            NotHere::Missing { .. } | NotHere::Redacted { .. } => Kind::NotFound,
            NotHere::Size { .. } => Kind::Integrity,
            NotHere::Recipe(error) => Kind::of_catalog(error),
        }
    }

    /// The same of a file that did not come.
    pub fn of_unfetched(error: &Unfetched) -> Kind {
        match error {
            Unfetched::NotHere(error) => Kind::of_not_here(error),
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

    /// The same of a name that means nothing.
    pub fn of_not_found(error: &NotFound) -> Kind {
        match error {
            NotFound::Catalog(error) => Kind::of_catalog(error),
            NotFound::Objects(error) => Kind::of_objects(error),
            NotFound::Ambiguous { .. } => Kind::Usage,
            NotFound::Nothing { .. } | NotFound::NoBundle { .. } => Kind::NotFound,
        }
    }

    /// The same of objects of git.
    pub fn of_objects(error: &ObjectsError) -> Kind {
        if matches!(error, ObjectsError::Unknown { .. }) { Kind::NotFound } else { Kind::Failed }
    }

    /// The same of a label that was not moved.
    pub fn of_label(error: &LabelError) -> Kind {
        match error {
            LabelError::Catalog(error) => Kind::of_catalog(error),
            LabelError::Name { .. } => Kind::Usage,
            LabelError::NotSet { .. } | LabelError::NoBundle { .. } => Kind::NotFound,
            LabelError::Lost { .. } | LabelError::Contended { .. } => Kind::Conflict,
        }
    }

    /// The same of a repo that stays as it is.
    pub fn of_repo(error: &RepoNotChanged) -> Kind {
        match error {
            RepoNotChanged::Catalog(error) => Kind::of_catalog(error),
            RepoNotChanged::Name { .. } | RepoNotChanged::Ambiguous { .. } => Kind::Usage,
            RepoNotChanged::Taken { .. } => Kind::Conflict,
            RepoNotChanged::Unknown { .. } | RepoNotChanged::NotDeleted { .. } => Kind::NotFound,
        }
    }

    /// The same of versions that were not given up.
    pub fn of_squash(error: &NotSquashed) -> Kind {
        match error {
            NotSquashed::Catalog(error) => Kind::of_catalog(error),
            NotSquashed::Version(error) => Kind::of_not_found(error),
            NotSquashed::Label(LabelError::Catalog(error)) => Kind::of_catalog(error),
            NotSquashed::Label(_) | NotSquashed::NotDeleted { .. } => Kind::Conflict,
            NotSquashed::Nameless => Kind::Usage,
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
    use crate::id::{PackId, PackKind};
    use crate::pack::BadPack;
    use crate::store::{BackendError, Failure};

    #[test]
    fn only_a_store_that_may_answer_later_does_not_answer() {
        let kind = |failure| {
            let source = BackendError { failure, message: String::new() };
            let (key, url) = ("data/x".to_owned(), "file:///srv/data".to_owned());
            Kind::of_store(&StoreError::Request { verb: "write", key, url, source })
        };
        assert_eq!([kind(Failure::Full), kind(Failure::Denied)], [Kind::Failed; 2]);
        assert_eq!([kind(Failure::Unreachable), kind(Failure::Busy)], [Kind::Unreachable; 2]);
    }

    #[test]
    fn of_several_files_the_damaged_one_counts() {
        let worst = |kinds: &[Kind]| Kind::worst(kinds.iter().copied());
        assert_eq!(worst(&[Kind::NotFound, Kind::Integrity, Kind::Unreachable]), Kind::Integrity);
        assert_eq!(worst(&[Kind::Failed, Kind::NotFound, Kind::Unreachable]), Kind::Unreachable);
        assert_eq!(worst(&[Kind::NotFound, Kind::Failed]), Kind::NotFound);
    }

    #[test]
    fn a_pack_that_does_not_come_is_not_damaged() {
        let silent = || {
            let source = BackendError { failure: Failure::Unreachable, message: "timeout".to_owned() };
            let (key, url) = ("data/1".to_owned(), "memory:a".to_owned());
            PackError::Store(StoreError::Request { verb: "read", key, url, source })
        };
        let bad = || PackError::bad(PackKind::Data, PackId::from_bytes([1; 16]), BadPack::Damaged("footer"));
        for (error, kind) in [(silent as fn() -> PackError, Kind::Unreachable), (bad, Kind::Integrity)] {
            assert_eq!(Kind::of_catalog(&CatalogError::Pack(error())), kind);
            assert_eq!(Kind::of_catalog(&CatalogError::Table(TableError::Pack(error()))), kind);
            assert_eq!(Kind::of_fetch(&FetchError::Pack(error())), kind);
        }
    }
}

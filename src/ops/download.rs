//! Download: oids to files. "Missing" is said only after the head was read anew (R18).

use std::collections::HashMap;
use std::path::PathBuf;

use super::fetch::{FetchError, Wanted};
use crate::catalog::{Catalog, CatalogError, Redacted};
use crate::id::{Oid, RepoId};
use crate::table::Row;

/// An oid that cannot be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum NotHere {
    /// No row names it.
    #[error(
        "the store {url} does not have {oid}: push it from a clone that has it with `git lfs push --all`{passed}"
    )]
    Missing {
        /// The oid.
        oid: Oid,
        /// The store.
        url: String,
        /// What is to be said of other stores: nothing, or something that begins with `; `.
        passed: String,
    },
    /// A redaction gave it up.
    #[error(
        "{oid} was taken out of the store {url} by a redaction ({by}): git datamon log --changes shows it, and with `git config lfs.skipdownloaderrors true` git-lfs leaves its pointer in its place{passed}"
    )]
    Redacted {
        /// The oid.
        oid: Oid,
        /// The store.
        url: String,
        /// Which.
        by: Redacted,
        /// As above.
        passed: String,
    },
    /// It has another length than the pointer says.
    #[error(
        "{oid} has {got} bytes in the store and {wanted} in its pointer: the pointer was edited; restore it with `git restore`"
    )]
    Size {
        /// The oid.
        oid: Oid,
        /// Bytes in the store.
        got: u64,
        /// Bytes by the pointer.
        wanted: u64,
    },
    /// Its recipe cannot be read.
    #[error(transparent)]
    Recipe(#[from] CatalogError),
}

/// Why a file that was asked for did not come.
#[derive(Debug, thiserror::Error)]
pub enum Unfetched {
    /// The store does not have it, or not so.
    #[error(transparent)]
    NotHere(#[from] NotHere),
    /// It could not be rebuilt.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It could not be put where it belongs.
    #[error("{0}")]
    Place(String),
}

/// Rows of all `oids` that the store has, asking for news before one is called missing.
pub fn rows(catalog: &mut Catalog, repo: RepoId, oids: &[Oid]) -> Result<HashMap<Oid, Row>, CatalogError> {
    let mut found = catalog.find(repo, oids)?;
    if oids.iter().any(|oid| !found.contains_key(oid)) {
        catalog.renew()?;
        found = catalog.find(repo, oids)?;
    }
    Ok(found)
}

/// What is to be said of files that the store does not have; `passed` is said of other stores.
pub fn lost(catalog: &Catalog, oids: &[Oid], passed: &str) -> Vec<NotHere> {
    let redacted = catalog.redactions_of(oids);
    let said = |oid: &Oid| {
        let (oid, url, passed) = (*oid, catalog.store().url().to_string(), passed.to_owned());
        match redacted.get(&oid).cloned() {
            Some(by) => NotHere::Redacted { oid, url, by, passed },
            None => NotHere::Missing { oid, url, passed },
        }
    };
    oids.iter().map(said).collect()
}

/// What is to be fetched so that the file of `oid`, `size` bytes by its pointer, lies at `path`.
pub fn wanted(
    catalog: &Catalog,
    row: Option<&Row>,
    oid: Oid,
    size: u64,
    path: PathBuf,
) -> Result<Wanted, NotHere> {
    let row = row.ok_or_else(|| lost(catalog, &[oid], "").remove(0))?;
    if row.size != size {
        return Err(NotHere::Size { oid, got: row.size, wanted: size });
    }
    Ok(Wanted { oid, size, terms: catalog.terms(row)?, path })
}

//! The read log: who took which data out of a store, where users say that it is to be written down (`datamon.readLog`).
//!
//! One object below `readlog/` for each process that read, written when it is done, under a name that begins with the time: a listing from a
//! name on is what came since. It is beside the log of the store, which has changes only, and nothing depends on it: what cannot be
//! written is left out, at once. It names a person, so it is written only into stores that the user trusts, as all that leaves the machine.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::trust;
use crate::catalog::log::now;
use crate::catalog::{Catalog, CatalogError};
use crate::git::{Config, Git};
use crate::id::{BundleId, GitId, ReadId, RepoId};
use crate::store::{Store, StoreError, key};

/// The key of the configuration.
const KEY: &str = "datamon.readlog";

/// No honest object is larger, bytes.
const LARGEST: usize = 64 << 10;

/// What a process took out of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// When it was done, milliseconds since 1970 by the reader's clock.
    pub time: u64,
    /// Who, as git names people.
    pub who: Option<String>,
    /// `checkout` (also of a clone or a pull), `fetch`, `lfs`, `download` or `cat`.
    pub operation: String,
    /// The repo, none if it is the nameless one.
    pub repo: Option<RepoId>,
    /// The version, as far as one is known.
    pub bundle: Option<BundleId>,
    /// The commit that was checked out, as far as one is known, in hexadecimal.
    pub commit: Option<String>,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Read {
    /// Files of a repo that an operation has read.
    pub fn new(operation: &str, repo: RepoId, files: u64, bytes: u64) -> Read {
        let repo = Some(repo).filter(|repo| *repo != RepoId::NIL);
        Read { operation: operation.to_owned(), repo, files, bytes, ..Read::default() }
    }

    /// The same of a version.
    pub fn of_bundle(self, bundle: BundleId) -> Read {
        Read { bundle: Some(bundle), ..self }
    }

    /// The same of what a commit has, and of the newest version of it.
    pub fn of_commit(self, catalog: &Catalog, commit: Option<GitId>) -> Read {
        let versions =
            commit.map(|it| catalog.state().bundles_of_commit(self.repo.unwrap_or(RepoId::NIL), it));
        let bundle = versions.and_then(|versions| versions.last().copied());
        Read { commit: commit.map(|it| it.to_string()), bundle, ..self }
    }

    /// Writes it down, if the user of `git` wants that and something was read; what fails is left out.
    pub fn note(self, catalog: &Catalog, git: &Git, config: &Config) {
        let is_wanted = config.is_true(KEY) && self.files > 0 && catalog.store().silence().is_none();
        if is_wanted && trust::is_trusted(config, catalog) {
            Read { time: now(), who: git.author(), ..self }.write(catalog.store());
        }
    }

    /// Writes it into a store; what fails is left out.
    pub fn write(&self, store: &Store) {
        let bytes = serde_json::to_vec(self).expect("plain values always encode");
        let _ = store.create_once(&key::read(ReadId::new()), bytes.into());
    }

    /// The same as the configuration of git says that `git` sees.
    pub fn note_at(self, catalog: &Catalog, git: &Git) {
        if let Ok(config) = Config::read(git) {
            self.note(catalog, git, &config);
        }
    }
}

/// What a store's read log has.
#[derive(Debug, Default)]
pub struct ReadLog {
    /// In the order of their times.
    pub reads: Vec<Read>,
    /// Objects that are no reads.
    pub unread: u64,
    /// Whether there are others, which were not asked for.
    pub others: bool,
}

/// The newest `count` reads after `since`, milliseconds since 1970.
pub fn list(store: &Store, since: u64, count: usize) -> Result<ReadLog, CatalogError> {
    let names = names(store, since)?;
    let newest = &names[names.len().saturating_sub(count)..];
    let others = newest.len() < names.len() || (names.is_empty() && since > 0 && has_any(store)?);
    let read = |name: &String| -> Result<Option<Read>, StoreError> {
        let bytes = store.get(name)?.filter(|bytes| bytes.len() <= LARGEST);
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    };
    let found: Vec<Option<Read>> = newest.par_iter().map(read).collect::<Result<_, _>>()?;
    let unread = found.iter().filter(|it| it.is_none()).count() as u64;
    let mut log = ReadLog { unread, others, reads: vec![] };
    log.reads.extend(found.into_iter().flatten());
    log.reads.sort_by_key(|read| read.time);
    Ok(log)
}

/// Removes what was written before a time, milliseconds since 1970; how many reads that were.
pub fn prune(store: &Store, before: u64) -> Result<u64, CatalogError> {
    let old: Vec<String> =
        names(store, 0)?.into_iter().filter(|name| name.as_str() < key::read_at(before).as_str()).collect();
    old.par_iter().try_for_each(|name| store.delete(name))?;
    Ok(old.len() as u64)
}

fn has_any(store: &Store) -> Result<bool, StoreError> {
    Ok(!names(store, 0)?.is_empty())
}

/// Names of reads, oldest first.
fn names(store: &Store, since: u64) -> Result<Vec<String>, StoreError> {
    let listed = store.list(key::READS, &key::read_at(since))?;
    let mut names: Vec<String> = listed.into_iter().map(|it| it.key).filter(|it| key::is_read(it)).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreUrl;

    #[test]
    fn reads_come_back_in_order_and_what_is_none_is_counted() {
        let store = Store::open(&StoreUrl::parse("memory:readlog").expect("a URL")).expect("memory");
        for n in 0..5 {
            let read = Read { time: n, ..Read::new("cat", RepoId::NIL, 1, n) };
            let bytes = serde_json::to_vec(&read).expect("encodes");
            store.create_own(&key::read(ReadId::new()), bytes.into()).expect("memory");
        }
        for foreign in ["{", "", "[]", "{\"time\": -1}"] {
            store.create_own(&key::read(ReadId::new()), foreign.into()).expect("memory");
        }
        store.create_own("readlog/other", "x".into()).expect("memory");
        let log = list(&store, 0, 100).expect("lists");
        assert_eq!((log.reads.len(), log.unread), (5, 4));
        assert!(log.reads.is_sorted_by_key(|read| read.time));
        let later = list(&store, now() + 1000, 100).expect("lists");
        assert!(later.reads.is_empty() && later.others && !log.others);
        assert_eq!(list(&store, 0, 2).expect("lists").unread, 2);
        assert_eq!(prune(&store, 1_000_000).expect("deletes"), 0);
        assert_eq!(prune(&store, now() + 1000).expect("deletes"), 9);
        assert!(store.get("readlog/other").expect("memory").is_some());
        assert!(!list(&store, now(), 100).expect("lists").others, "it is no read");
    }
}

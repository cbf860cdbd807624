//! Site: a repository, and its stores from when something is wanted that is not on this machine.
//!
//! What is here is looked for among git-lfs's objects and in the work tree: a file that only changes its name is not fetched again,
//! though a clone of ours keeps no second copy. A switch takes files away, so those it needs are copied first. What is not here is
//! asked of one store after the other.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::folder::Folder;
use super::others::Others;
use super::session::{NoSession, Session};
use crate::git::{Objects, Operation, Pointer, Repo, TreePointer};
use crate::id::Oid;
use crate::ops::download::{NotHere, lost, rows};
use crate::ops::here::{Here, is_file_of};
use crate::ops::local;
use crate::progress::{Progress, Silent};
use crate::table::Row;

/// A repository that data is wanted for.
pub struct Site {
    /// The repository.
    pub repo: Repo,
    /// Its commits, trees and blobs.
    pub objects: Objects,
    remote: String,
    session: Option<Session>,
    /// Stores that were asked for what the first lacks.
    beside: Vec<Session>,
    others: Option<Others>,
    held: Option<Folder>,
}

/// Data of a repository on this machine, whatever happens to its work tree.
pub struct Kept<'s> {
    repo: &'s Repo,
    /// Files by their oids.
    held: Option<&'s Path>,
}

/// What a store has of what was asked for.
pub struct Found {
    /// Which of the stores: 0 is the first.
    pub store: usize,
    /// Its rows.
    pub rows: HashMap<Oid, Row>,
}

impl Site {
    /// A repository, for data from the store that `remote` keeps it in, and from the others. None is asked for anything yet.
    pub fn of(repo: Repo, remote: &str) -> Result<Site, NoSession> {
        let objects = repo.objects()?;
        let (remote, beside) = (remote.to_owned(), vec![]);
        Ok(Site { repo, objects, remote, session: None, beside, others: None, held: None })
    }

    /// The same where the first store is open.
    pub fn on(session: Session, remote: &str) -> Result<Site, NoSession> {
        let site = Site::of(session.repo.clone(), remote)?;
        Ok(Site { session: Some(session), ..site })
    }

    /// Whether the repository names a store of ours.
    pub fn names_store(&self) -> Result<bool, NoSession> {
        Ok(self.repo.store_url(&self.remote, Operation::Download)?.is_some())
    }

    /// The first store, opened by the first who wants something of it.
    pub fn session(&mut self) -> Result<&mut Session, NoSession> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(self.repo.clone(), &self.remote, Operation::Download)?,
        };
        Ok(self.session.insert(session))
    }

    /// One of the stores; `None` if there are no more.
    pub fn store(&mut self, number: usize) -> Result<Option<&mut Session>, NoSession> {
        let Some(beside) = number.checked_sub(1) else { return self.session().map(Some) };
        while self.beside.len() <= beside {
            let others = self.others.get_or_insert_with(|| Others::of(&self.repo, &self.remote));
            let Some(catalog) = others.open_next() else { return Ok(None) };
            self.beside.push(Session::to_read(self.repo.clone(), catalog)?);
        }
        Ok(self.beside.get_mut(beside))
    }

    /// Who has what of these: each store is asked for what the ones before it lack. A store that fails is an error only if the others
    /// have not all of it.
    pub fn find(&mut self, oids: &[Oid]) -> Result<Vec<Found>, NoSession> {
        let (mut left, mut found, mut failed) = (oids.to_vec(), Vec::new(), None);
        for store in 0.. {
            if left.is_empty() {
                break;
            }
            let asked = match self.store(store) {
                Ok(Some(session)) => {
                    rows(&mut session.catalog, session.repo_id, &left).map_err(NoSession::from)
                }
                Ok(None) => break,
                Err(error) => Err(error),
            };
            match asked {
                Ok(rows) => {
                    left.retain(|oid| !rows.contains_key(oid));
                    found.push(Found { store, rows });
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if !left.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// What is to be said of files that none of the stores has; one that has given them up says so.
    pub fn lost(&mut self, oids: &[Oid]) -> Result<Vec<NotHere>, NoSession> {
        let passed: String = self.passed().iter().map(|why| format!("; {why}")).collect();
        let mut said = lost(&self.session()?.catalog, oids, &passed);
        for other in &self.beside {
            for (said, other) in said.iter_mut().zip(lost(&other.catalog, oids, &passed)) {
                if let (NotHere::Missing { .. }, NotHere::Redacted { .. }) = (&*said, &other) {
                    *said = other;
                }
            }
        }
        Ok(said)
    }

    /// Stores that were not asked for what was not found, and why.
    pub fn passed(&self) -> &[String] {
        self.others.as_ref().map_or(&[], Others::passed)
    }

    /// What of it is on this machine.
    pub fn here(&self) -> Kept<'_> {
        Kept { repo: &self.repo, held: self.held.as_ref().map(Folder::path) }
    }

    /// Hold what the work tree has of the content of `wanted`. These are copies: another name of the same file would change what it
    /// looks like to git.
    pub fn hold(&mut self, wanted: &[TreePointer]) -> Result<(), NoSession> {
        let (kept, here) = (self.here(), Here::of(&self.repo)?);
        let absent = wanted.iter().map(|it| it.pointer).filter(|pointer| !kept.has(pointer));
        let found: BTreeMap<Oid, PathBuf> =
            absent.filter_map(|pointer| Some((pointer.oid, here.file(&pointer)?))).collect();
        if found.is_empty() {
            return Ok(());
        }
        let folder = Folder::make(&self.repo)?;
        found.par_iter().for_each(|(oid, path)| {
            let held = folder.path().join(oid.to_string());
            let copy = held.with_extension("part");
            if local::copy(path, &copy, &Silent).is_ok_and(|(read, _)| read == *oid) {
                // What cannot be held is asked for at the store.
                let _ = fs::rename(copy, held);
            }
        });
        self.held = Some(folder);
        Ok(())
    }
}

impl Kept<'_> {
    /// Whether a file of this content should be here; bytes are looked at when it is copied.
    pub fn has(&self, pointer: &Pointer) -> bool {
        let held = self.held(&pointer.oid);
        is_file_of(&self.repo.lfs_object_path(&pointer.oid), pointer)
            || held.is_some_and(|path| is_file_of(&path, pointer))
    }

    fn held(&self, oid: &Oid) -> Option<PathBuf> {
        Some(self.held?.join(oid.to_string()))
    }

    /// Copy a file of this content to a path that is not there yet; whether it was here, and right.
    pub fn copy(&self, pointer: &Pointer, to: &Path, progress: &dyn Progress) -> bool {
        // Its bytes were verified on the way in.
        if self.held(&pointer.oid).is_some_and(|held| local::duplicate(&held, to).is_ok()) {
            progress.add(pointer.size);
            return true;
        }
        let object = self.repo.lfs_object_path(&pointer.oid);
        is_file_of(&object, pointer)
            && local::copy(&object, to, progress).is_ok_and(|(oid, _)| oid == pointer.oid)
    }
}

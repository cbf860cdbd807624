//! Site: a repository, and its store from when something is wanted that is not on this machine.
//!
//! What is here is looked for among git-lfs's objects and in the work tree: a file that only changes its name is not fetched again,
//! though a clone of ours keeps no second copy. A switch takes files away, so those it needs are copied first.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::fill::{at, no_link_above};
use super::folder::Folder;
use super::session::{NoSession, Session};
use crate::git::{Objects, Operation, Pointer, Repo, TreePointer};
use crate::id::Oid;
use crate::ops::local;
use crate::progress::{Progress, Silent};

/// A repository that data is wanted for.
pub struct Site {
    /// The repository.
    pub repo: Repo,
    /// Its commits, trees and blobs.
    pub objects: Objects,
    remote: String,
    session: Option<Session>,
    held: Option<Folder>,
}

/// Data of a repository on this machine.
pub struct Here<'s> {
    repo: &'s Repo,
    /// Files by their oids.
    held: Option<&'s Path>,
}

impl Site {
    /// A repository, for data from the store that `remote` keeps it in. No store is asked for anything yet.
    pub fn of(repo: Repo, remote: &str) -> Result<Site, NoSession> {
        let objects = repo.objects()?;
        Ok(Site { repo, objects, remote: remote.to_owned(), session: None, held: None })
    }

    /// Whether the repository names a store of ours.
    pub fn names_store(&self) -> Result<bool, NoSession> {
        Ok(self.repo.store_url(&self.remote, Operation::Download)?.is_some())
    }

    /// The store, opened by the first who wants something of it.
    pub fn session(&mut self) -> Result<&mut Session, NoSession> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(self.repo.clone(), &self.remote, Operation::Download)?,
        };
        Ok(self.session.insert(session))
    }

    /// What of it is on this machine.
    pub fn here(&self) -> Here<'_> {
        Here { repo: &self.repo, held: self.held.as_ref().map(Folder::path) }
    }

    /// Hold what the work tree has of the content of `wanted`, by what `there` (the tree that is checked out) says. These are copies:
    /// another name of the same file would change what it looks like to git.
    pub fn hold(&mut self, wanted: &[TreePointer], there: &[TreePointer]) -> Result<(), NoSession> {
        let Some(top) = self.repo.work_tree().map(Path::to_owned) else { return Ok(()) };
        let by_oid: HashMap<Oid, &TreePointer> = there.iter().map(|it| (it.pointer.oid, it)).collect();
        let here = self.here();
        let absent = wanted.iter().map(|it| it.pointer).filter(|pointer| !here.has(pointer));
        let found: BTreeMap<Oid, PathBuf> = absent
            .filter_map(|pointer| Some((pointer, at(&top, by_oid.get(&pointer.oid)?.path.as_ref()))))
            .filter(|(pointer, path)| is_file_of(path, pointer))
            .filter(|(_, path)| no_link_above(&top, path.parent().unwrap_or(&top)).is_ok())
            .map(|(pointer, path)| (pointer.oid, path))
            .collect();
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

impl Here<'_> {
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

fn is_file_of(path: &Path, pointer: &Pointer) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() == pointer.size)
}

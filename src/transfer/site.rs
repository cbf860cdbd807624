//! Site: a repository, and its store from when something is wanted that is not on this machine.
//!
//! What is here is looked for among git-lfs's objects and in the work tree: a file that only changes its name is not fetched again,
//! though a clone of ours keeps no second copy. A switch takes files away, so those it needs are held by a name of their own first.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::fill::{at, no_link_above};
use super::folder::Folder;
use super::session::{NoSession, Session};
use crate::git::{Objects, Operation, Pointer, Repo, TreePointer};
use crate::id::Oid;

/// A repository that data is wanted for.
pub struct Site {
    /// The repository.
    pub repo: Repo,
    /// Its commits, trees and blobs.
    pub objects: Objects,
    dir: PathBuf,
    remote: String,
    session: Option<Session>,
    held: Option<Folder>,
}

impl Site {
    /// The repository of `dir`, for data from the store that `remote` keeps it in. No store is asked for anything yet.
    pub fn at(dir: &Path, remote: &str) -> Result<Site, NoSession> {
        let repo = Repo::discover(dir)?;
        let objects = repo.objects()?;
        let (dir, remote) = (dir.to_owned(), remote.to_owned());
        Ok(Site { repo, objects, dir, remote, session: None, held: None })
    }

    /// Whether the repository names a store of ours.
    pub fn names_store(&self) -> Result<bool, NoSession> {
        Ok(self.repo.store_url(&self.remote, Operation::Download)?.is_some())
    }

    /// The store, opened by the first who wants something of it.
    pub fn session(&mut self) -> Result<&mut Session, NoSession> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.dir, &self.remote, Operation::Download)?,
        };
        Ok(self.session.insert(session))
    }

    /// The store, if it was opened.
    pub fn opened(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Where on this machine a file of this content should lie; its bytes are not looked at.
    pub fn find_here(&self, pointer: &Pointer) -> Option<PathBuf> {
        let held = self.held.as_ref().map(|folder| folder.path().join(pointer.oid.to_string()));
        [Some(self.repo.lfs_object_path(&pointer.oid)), held]
            .into_iter()
            .flatten()
            .find(|path| is_file_of(path, pointer))
    }

    /// Hold what the work tree has of the content of `wanted`, by what `there` (the tree that is checked out) says.
    pub fn hold(&mut self, wanted: &[TreePointer], there: &[TreePointer]) -> Result<(), NoSession> {
        let Some(top) = self.repo.work_tree().map(Path::to_owned) else { return Ok(()) };
        let by_oid: HashMap<Oid, &TreePointer> = there.iter().map(|it| (it.pointer.oid, it)).collect();
        let absent = wanted.iter().filter(|it| self.find_here(&it.pointer).is_none());
        let found: Vec<(Pointer, PathBuf)> = absent
            .filter_map(|it| Some((it.pointer, at(&top, by_oid.get(&it.pointer.oid)?.path.as_ref()))))
            .filter(|(pointer, path)| is_file_of(path, pointer))
            .filter(|(_, path)| no_link_above(&top, path.parent().unwrap_or(&top)).is_ok())
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        let folder = Folder::make(&self.repo)?;
        for (pointer, path) in found {
            // Another name of the same file, which is verified when it is read. Where there can be none, the store is asked.
            let _ = fs::hard_link(path, folder.path().join(pointer.oid.to_string()));
        }
        self.held = Some(folder);
        Ok(())
    }
}

fn is_file_of(path: &Path, pointer: &Pointer) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() == pointer.size)
}

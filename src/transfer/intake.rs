//! Intake: changed files become pointers in one read pass, beside git and git-lfs.
//!
//! A file is looked at before it is read and after: what changed meanwhile is not committed. Before it is read its last change has
//! to be a tick of the clock ago, else an edit of the same length would not show. The order is the one that an
//! interruption does no harm in: data first, in the store or among git-lfs's objects, then the blobs of the pointers, then the
//! index. Whoever runs the command again finds the data there.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;

use super::fill::LocalObjects;
use super::folder::Folder;
use super::session::{NoSession, Session};
use crate::git::{BString, Look, MAX_POINTER_BYTES, ObjectId, Objects, Pointer, Repo, Staged};
use crate::id::Oid;
use crate::ops::here::{Real, at};
use crate::ops::local;
use crate::ops::upload::{Upload, name_repo, upload};
use crate::progress::Progress;

/// Files that were not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The repository or the store.
    #[error(transparent)]
    Session(#[from] NoSession),
    /// A file cannot be read or kept.
    #[error("{path}: {source}; nothing was committed")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it was when the command began.
    #[error("{path} changed while it was read; nothing was committed: run the command again")]
    Changed {
        /// The file.
        path: String,
    },
}

/// A changed file that git-lfs tracks.
#[derive(Debug, Clone)]
struct Change {
    path: BString,
    at: PathBuf,
    look: Look,
    executable: bool,
    /// What the index has there.
    previous: Option<Oid>,
}

/// Changed files that git-lfs tracks, to be taken in.
pub struct Intake {
    changes: Vec<Change>,
    repo: Repo,
}

/// Files that are safe, each with its pointer.
pub struct TakenIn {
    files: Vec<(Change, Pointer)>,
    repo: Repo,
}

impl Intake {
    /// What `git add` would hand to git-lfs of these paths of the work tree: files that differ from the index by their looks,
    /// and new ones. What is a pointer already, empty, or behind a link, is left to git.
    pub fn plan(repo: &Repo, objects: &Objects, paths: &[BString]) -> Result<Intake, NoSession> {
        let top = repo.work_tree().unwrap_or(repo.git_dir());
        let trusts_modes = repo.config().get("core.filemode") != Some(b"false");
        let lfs = repo.lfs_paths(paths.iter().map(|path| path.as_ref()))?;
        if let Some((path, encoding)) = lfs.recoded.into_iter().next() {
            return Err(NoSession::Recoded { path: path.to_string(), encoding });
        }
        let lfs = lfs.plain;
        let mut changes = Vec::new();
        let staged: HashMap<BString, (ObjectId, bool)> = match lfs.is_empty() {
            true => HashMap::new(),
            false => repo.tracked()?.into_iter().map(|it| (it.path, (it.blob, it.executable))).collect(),
        };
        let (mut seen, mut real) = (HashSet::new(), Real::default());
        for path in paths.iter().filter(|path| lfs.contains(*path) && seen.insert(*path)) {
            let at = at(top, path.as_ref());
            let Ok(Some(look)) = Look::at(&at) else { continue };
            // What lies behind a link is not of this work tree: to git the file is gone.
            if look.size == 0 || is_pointer(&at, &look) || !real.holds(top, &at) {
                continue;
            }
            let before = staged.get(path);
            let executable = if trusts_modes {
                look.executable
            } else {
                before.is_some_and(|(_, executable)| *executable)
            };
            let previous = match before {
                Some((blob, _)) => objects.pointer(*blob)?.map(|pointer| pointer.oid),
                None => None,
            };
            changes.push(Change { path: path.clone(), at, look, executable, previous });
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Intake { changes, repo: repo.clone() })
    }

    /// Files to take in.
    pub fn files(&self) -> usize {
        self.changes.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.changes.iter().map(|change| change.look.size).fold(0, u64::saturating_add)
    }

    /// Waits until every edit from now on would show.
    fn settle(&self) -> Result<(), IntakeError> {
        let waits = self.changes.iter().map(|change| change.look.until_settled());
        std::thread::sleep(waits.max().unwrap_or_default());
        unchanged(self.changes.iter())
    }

    /// Into the store. With [`LocalObjects::Keep`] git-lfs gets a copy of each.
    pub fn upload(
        &self,
        session: &mut Session,
        local: LocalObjects,
        progress: &dyn Progress,
    ) -> Result<TakenIn, IntakeError> {
        self.settle()?;
        let files: Vec<Upload> = self.changes.iter().map(Change::upload).collect();
        let Session { catalog, repo_id, repo_name, .. } = session;
        let failed = |error| IntakeError::Session(NoSession::Catalog(error));
        name_repo(catalog, *repo_id, repo_name.as_deref().unwrap_or("data")).map_err(failed)?;
        let uploaded = upload(catalog, *repo_id, &files, &[], progress).map_err(failed)?;
        if let Some(first) = uploaded.failed.first() {
            unchanged(self.changes.iter())?;
            let source = io::Error::other(first.error.to_string());
            return Err(IntakeError::File { path: "the data is not complete".to_owned(), source });
        }
        let pointer = |change: &Change| {
            let (oid, size) = uploaded.read[&change.at];
            (change.clone(), Pointer { oid, size })
        };
        let taken = TakenIn { files: self.changes.iter().map(pointer).collect(), repo: self.repo.clone() };
        if local == LocalObjects::Keep {
            taken.keep()?;
        }
        taken.unchanged()?;
        Ok(taken)
    }

    /// Among git-lfs's objects on this machine, from where the next push sends them.
    pub fn keep_here(&self, progress: &dyn Progress) -> Result<TakenIn, IntakeError> {
        self.settle()?;
        let folder = Folder::make(&self.repo)?;
        let take = |(n, change): (usize, &Change)| {
            let file = folder.path().join(n.to_string());
            let failed = |source| change.failed(source);
            let (oid, size) = local::copy(&change.at, &file, progress).map_err(failed)?;
            self.repo.sharing().apply(&file).map_err(failed)?;
            local::keep(&file, &self.repo.lfs_object_path(&oid)).map_err(failed)?;
            Ok((change.clone(), Pointer { oid, size }))
        };
        let files = self.changes.par_iter().enumerate().map(take).collect::<Result<_, IntakeError>>()?;
        let taken = TakenIn { files, repo: self.repo.clone() };
        taken.unchanged()?;
        Ok(taken)
    }
}

impl Change {
    fn upload(&self) -> Upload {
        Upload { oid: None, size: self.look.size, path: self.at.clone(), previous: self.previous }
    }

    fn is_same(&self) -> bool {
        matches!(Look::at(&self.at), Ok(Some(look)) if look == self.look)
    }

    fn failed(&self, source: io::Error) -> IntakeError {
        let path = self.path.to_string();
        if self.is_same() { IntakeError::File { path, source } } else { IntakeError::Changed { path } }
    }
}

fn unchanged<'c>(mut changes: impl Iterator<Item = &'c Change>) -> Result<(), IntakeError> {
    match changes.find(|change| !change.is_same()) {
        Some(change) => Err(IntakeError::Changed { path: change.path.to_string() }),
        None => Ok(()),
    }
}

impl TakenIn {
    fn keep(&self) -> Result<(), IntakeError> {
        let folder = Folder::make(&self.repo)?;
        let keep = |(n, (change, pointer)): (usize, &(Change, Pointer))| {
            let object = self.repo.lfs_object_path(&pointer.oid);
            if fs::metadata(&object).is_ok_and(|it| it.is_file() && it.len() == pointer.size) {
                return Ok(());
            }
            let file = folder.path().join(n.to_string());
            let kept = local::duplicate(&change.at, &file)
                .and_then(|()| self.repo.sharing().apply(&file))
                // Bytes that were not hashed become an object only if the file is the one that was.
                .and_then(|()| match change.is_same() {
                    true => local::keep(&file, &object),
                    false => Err(io::Error::other("it changed while it was read")),
                });
            kept.map_err(|source| change.failed(source))
        };
        self.files.par_iter().enumerate().try_for_each(keep)
    }

    fn unchanged(&self) -> Result<(), IntakeError> {
        unchanged(self.files.iter().map(|(change, _)| change))
    }

    /// Puts the pointers into git and the index. A file of this very second is waited for, so that git need not read it again.
    pub fn stage(&self) -> Result<(), IntakeError> {
        let waits = self.files.iter().map(|(change, _)| change.look.until_believed());
        std::thread::sleep(waits.max().unwrap_or(Duration::ZERO));
        self.unchanged()?;
        let staged: Vec<Staged> = self.files.iter().map(staged).collect();
        let index = || {
            self.repo.write_pointers(self.files.iter().map(|(_, pointer)| *pointer))?;
            self.repo.stage(&staged)?;
            let looks: Vec<_> = self.files.iter().map(look).collect();
            Ok::<_, NoSession>(self.repo.settle(&looks)?)
        };
        Ok(index()?)
    }
}

fn staged((change, pointer): &(Change, Pointer)) -> Staged {
    Staged { path: change.path.clone(), pointer: *pointer, executable: change.executable }
}

fn look((change, pointer): &(Change, Pointer)) -> (BString, ObjectId, Look) {
    (change.path.clone(), pointer.blob_id(), change.look)
}

fn is_pointer(path: &Path, look: &Look) -> bool {
    look.size < MAX_POINTER_BYTES && fs::read(path).is_ok_and(|text| Pointer::parse(&text).is_ok())
}

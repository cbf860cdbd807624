//! Hydrate: the LFS objects of a commit put where git-lfs looks for them, in one fetch and without git-lfs.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use super::folder::Folder;
use super::session::{NoSession, Session};
use crate::git::{Operation, Pointer, Repo};
use crate::id::Oid;
use crate::ops::download::{rows, wanted};
use crate::ops::fetch::{Source, fetch};
use crate::ops::survey::LastTransfer;
use crate::progress::Progress;

/// What a hydration did.
#[derive(Debug, Default)]
pub struct Hydrated {
    /// Files fetched.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that could not be, and why.
    pub failed: Vec<(Oid, String)>,
}

/// A repository whose LFS objects are to be fetched.
pub struct Hydration {
    session: Session,
    missing: Vec<Pointer>,
}

impl Hydration {
    /// Work out which objects of the tree of `revision` are not on this machine.
    pub fn plan(repo: Repo, remote: &str, revision: &str) -> Result<Hydration, NoSession> {
        let session = Session::open(repo, remote, Operation::Download)?;
        let commit = session.objects.resolve(revision)?;
        let selection = session.repo.fetch_selection(None, None)?;
        session.objects.bring(&[commit], &|path| selection.holds(path))?;
        let mut found = session.repo.objects()?.only_local().pointers_in_tree(commit)?;
        found.retain(|found| selection.holds(found.path.as_ref()));
        Ok(Hydration::of(session, found.into_iter().map(|found| found.pointer)))
    }

    /// Those of `pointers` that are not on this machine.
    pub fn of(session: Session, pointers: impl IntoIterator<Item = Pointer>) -> Hydration {
        let mut seen = HashSet::new();
        let absent = |pointer: &Pointer| !session.repo.lfs_object_path(&pointer.oid).is_file();
        let wanted = pointers.into_iter().filter(|pointer| pointer.size > 0 && seen.insert(pointer.oid));
        let missing = wanted.filter(absent).collect();
        Hydration { session, missing }
    }

    /// Files to fetch.
    pub fn files(&self) -> usize {
        self.missing.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.missing.iter().map(|pointer| pointer.size).fold(0, u64::saturating_add)
    }

    /// Fetch them.
    pub fn run(mut self, progress: &dyn Progress) -> Result<Hydrated, NoSession> {
        let before = self.session.catalog.store().requests();
        let oids: Vec<Oid> = self.missing.iter().map(|pointer| pointer.oid).collect();
        let rows = rows(&mut self.session.catalog, self.session.repo_id, &oids)?;
        let folder = Folder::make(&self.session.repo)?;
        let mut hydrated = Hydrated::default();
        let mut files = Vec::new();
        for pointer in &self.missing {
            let path = folder.path().join(pointer.oid.to_string());
            match wanted(&self.session.catalog, rows.get(&pointer.oid), pointer.oid, pointer.size, path) {
                Ok(file) => files.push(file),
                Err(error) => hydrated.failed.push((pointer.oid, error.to_string())),
            }
        }
        files.sort_by_key(|file| file.terms.first().map(|term| (term.pack, term.offset, term.skip)));
        let outcome = Mutex::new(hydrated);
        let repo = &self.session.repo;
        fetch(&Source::of(&self.session.catalog), &files, progress, &|file, result| {
            let kept = result.map_err(|e| e.to_string()).and_then(|()| keep(repo, &file.oid, &file.path));
            let mut outcome = outcome.lock().expect("no holder of this lock panics");
            match kept {
                Ok(()) => (outcome.files, outcome.bytes) = (outcome.files + 1, outcome.bytes + file.size),
                Err(error) => outcome.failed.push((file.oid, error)),
            }
        });
        let catalog = &self.session.catalog;
        let requests = catalog.store().requests().since(before);
        LastTransfer { upload: false, requests, uploaded: None }.keep(catalog);
        Ok(outcome.into_inner().expect("no holder of this lock panics"))
    }
}

/// A verified file becomes a local LFS object by a rename.
fn keep(repo: &Repo, oid: &Oid, file: &Path) -> Result<(), String> {
    let path = repo.lfs_object_path(oid);
    let failed = |e: std::io::Error| format!("cannot keep {}: {e}", path.display());
    repo.sharing().apply(file).map_err(failed)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::rename(file, &path).map_err(failed)
}

//! Hydrate: the LFS objects of a commit put where git-lfs looks for them, in one fetch and without git-lfs.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use super::folder::Folder;
use super::session::NoSession;
use super::site::{Found, Site};
use crate::git::{Pointer, Repo};
use crate::id::Oid;
use crate::ops::download::{Unfetched, wanted};
use crate::ops::fetch::{Source, fetch};
use crate::ops::here::Here;
use crate::ops::local;
use crate::ops::readlog::Read;
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
    pub failed: Vec<(Oid, Unfetched)>,
}

/// A repository whose LFS objects are to be fetched.
pub struct Hydration {
    site: Site,
    missing: Vec<Pointer>,
}

impl Hydration {
    /// Work out which objects of the tree of `revision` are not on this machine.
    pub fn plan(repo: Repo, remote: &str, revision: &str) -> Result<Hydration, NoSession> {
        let mut site = Site::of(repo, remote)?;
        site.session()?;
        let commit = site.objects.resolve(revision)?;
        let selection = site.repo.fetch_selection(None, None)?;
        site.objects.bring(&[commit], &|path| selection.holds(path))?;
        let mut found = site.repo.objects()?.only_local().pointers_in_tree(commit)?;
        found.retain(|found| selection.holds(found.path.as_ref()));
        Ok(Hydration::of(site, found.into_iter().map(|found| found.pointer)))
    }

    /// Those of `pointers` that are not among git-lfs's objects.
    pub fn of(site: Site, pointers: impl IntoIterator<Item = Pointer>) -> Hydration {
        let mut seen = HashSet::new();
        let absent = |pointer: &Pointer| !site.repo.lfs_object_path(&pointer.oid).is_file();
        let wanted = pointers.into_iter().filter(|pointer| pointer.size > 0 && seen.insert(pointer.oid));
        let missing = wanted.filter(absent).collect();
        Hydration { site, missing }
    }

    /// Files to fetch.
    pub fn files(&self) -> usize {
        self.missing.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.missing.iter().map(|pointer| pointer.size).fold(0, u64::saturating_add)
    }

    /// Take them from the work tree, and fetch the others, from each store what it has.
    pub fn run(mut self, progress: &dyn Progress) -> Result<Hydrated, NoSession> {
        let folder = Folder::make(&self.site.repo)?;
        let mut hydrated = Hydrated::default();
        let here = Here::of(&self.site.repo)?;
        let repo = self.site.repo.clone();
        self.missing.retain(|pointer| {
            let copied = take(&repo, &here, pointer, folder.path(), progress);
            hydrated.files += u64::from(copied);
            hydrated.bytes += if copied { pointer.size } else { 0 };
            !copied
        });
        let oids: Vec<Oid> = self.missing.iter().map(|pointer| pointer.oid).collect();
        let outcome = Mutex::new(hydrated);
        for found in self.site.find(&oids)? {
            self.fetch_from(&found, folder.path(), &outcome, progress)?;
            self.missing.retain(|pointer| !found.rows.contains_key(&pointer.oid));
        }
        let mut hydrated = outcome.into_inner().expect("no holder of this lock panics");
        if !self.missing.is_empty() {
            let oids: Vec<Oid> = self.missing.iter().map(|pointer| pointer.oid).collect();
            let lost = self.site.lost(&oids)?.into_iter().map(Unfetched::from);
            hydrated.failed.extend(oids.iter().copied().zip(lost));
        }
        Ok(hydrated)
    }

    fn fetch_from(
        &mut self,
        found: &Found,
        folder: &Path,
        outcome: &Mutex<Hydrated>,
        progress: &dyn Progress,
    ) -> Result<(), NoSession> {
        let repo = self.site.repo.clone();
        let Some(session) = self.site.store(found.store)? else { return Ok(()) };
        let before = session.catalog.store().requests();
        let counted = |outcome: &Mutex<Hydrated>| {
            let outcome = outcome.lock().expect("no holder of this lock panics");
            (outcome.files, outcome.bytes)
        };
        let had = counted(outcome);
        let mut files = Vec::new();
        for pointer in self.missing.iter().filter(|it| found.rows.contains_key(&it.oid)) {
            let (path, row) = (folder.join(pointer.oid.to_string()), found.rows.get(&pointer.oid));
            match wanted(&session.catalog, row, pointer.oid, pointer.size, path) {
                Ok(file) => files.push(file),
                Err(error) => {
                    let mut outcome = outcome.lock().expect("no holder of this lock panics");
                    outcome.failed.push((pointer.oid, error.into()));
                }
            }
        }
        files.sort_by_key(|file| file.terms.first().map(|term| (term.pack, term.offset, term.skip)));
        fetch(&Source::of(&session.catalog), &files, progress, &|file, result| {
            let keep = || keep(&repo, &file.oid, &file.path).map_err(Unfetched::Place);
            let kept = result.map_err(Unfetched::from).and_then(|()| keep());
            let mut outcome = outcome.lock().expect("no holder of this lock panics");
            match kept {
                Ok(()) => (outcome.files, outcome.bytes) = (outcome.files + 1, outcome.bytes + file.size),
                Err(error) => outcome.failed.push((file.oid, error)),
            }
        });
        let requests = session.catalog.store().requests().since(before);
        LastTransfer { upload: false, requests, uploaded: None }.keep(&session.catalog);
        let has = counted(outcome);
        session.note(Read::new("fetch", session.repo_id, has.0 - had.0, has.1 - had.1));
        Ok(())
    }
}

/// Whether the work tree had it: a copy, verified on the way, becomes the object.
fn take(repo: &Repo, here: &Here, pointer: &Pointer, folder: &Path, progress: &dyn Progress) -> bool {
    let copy = folder.join(format!("here-{}", pointer.oid));
    let Some(file) = here.file(pointer) else { return false };
    local::copy(&file, &copy, progress).is_ok_and(|(oid, _)| oid == pointer.oid)
        && keep(repo, &pointer.oid, &copy).is_ok()
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

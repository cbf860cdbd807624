//! Fill: the files of a work tree that are still pointers, put in place beside git and git-lfs.
//!
//! Git has written every file, those of git-lfs as the text of their pointers (`git::Filters`). A file that is exactly its pointer
//! holds nothing of anybody's, so it may be replaced: from the store, verified while it is written, or from git-lfs's own objects
//! where they are here. It is written beside and renamed, and the index, which meanwhile says nothing of its looks, is told what
//! it looks like now. Ended at any moment, this leaves pointers and whole files, both of which git calls unchanged; the next run
//! fills the rest.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rayon::prelude::*;

use super::folder::Folder;
use super::session::{NoSession, Session};
use super::site::{Found, Site};
use crate::git::{
    BString, Config, ConfigError, Look, MAX_POINTER_BYTES, ObjectId, Objects, Pointer, Repo, SKIP_SMUDGE,
    Selection, Tracked, date_back,
};
use crate::id::Oid;
use crate::ops::bundle::Staging;
use crate::ops::download::{Unfetched, wanted};
use crate::ops::fetch::{Source, Wanted, fetch};
use crate::ops::here::{Real, at, no_link_above};
use crate::ops::local;
use crate::ops::readlog::Read;
use crate::ops::survey::LastTransfer;
use crate::progress::Progress;
use crate::table::Row;

/// Whether a clone keeps a second copy of its files where git-lfs looks for objects: `datamon.localObjects`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalObjects {
    /// It does, as git-lfs would.
    Keep,
    /// The store has them, that is enough.
    Drop,
}

impl LocalObjects {
    /// The key of the configuration.
    pub const KEY: &'static str = "datamon.localobjects";

    /// What a configuration says; where it says nothing the disk is not paid twice.
    pub fn of(config: &Config) -> Result<LocalObjects, ConfigError> {
        match config.get(LocalObjects::KEY) {
            Some(b"keep") => Ok(LocalObjects::Keep),
            Some(b"drop") | None => Ok(LocalObjects::Drop),
            Some(other) => Err(ConfigError::Value {
                key: "datamon.localObjects",
                value: String::from_utf8_lossy(other).into_owned(),
                allowed: "keep or drop",
            }),
        }
    }
}

/// A file that is its pointer.
#[derive(Debug, Clone)]
struct Hole {
    path: BString,
    blob: ObjectId,
    pointer: Pointer,
    executable: bool,
    /// What the pointer looks like: who changed it meanwhile keeps it.
    seen: Look,
}

/// What a filling did.
#[derive(Debug, Default)]
pub struct Filled {
    /// Files put in place.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Paths that still are pointers, and why.
    pub failed: Vec<(BString, Unfetched)>,
    /// Paths that still are pointers, though git with all its filters was to write them, and why.
    pub left: Vec<(BString, String)>,
}

/// Files of a work tree that are to be filled.
pub struct Filling {
    top: PathBuf,
    holes: Vec<Hole>,
    /// Pointers that only git with all its filters can fill.
    odd: Vec<Hole>,
    /// Files that stay as git wrote them, so young that it would look into them again: with the pointer, if they are one.
    young: Vec<(BString, ObjectId, Option<Pointer>)>,
    local: LocalObjects,
}

/// What the threads of a fetch hand over.
#[derive(Default)]
struct Outcome {
    filled: Filled,
    looks: Vec<(BString, ObjectId, Look)>,
}

impl Filling {
    /// The files of the index of `repo` that git-lfs tracks, that are selected, and whose work tree at `top` has the pointer.
    pub fn plan(
        repo: &Repo,
        objects: &Objects,
        selection: &Selection,
        local: LocalObjects,
    ) -> Result<Filling, NoSession> {
        let top = repo.work_tree().unwrap_or(repo.git_dir()).to_owned();
        let (mut holes, mut young, mut real) = (Vec::new(), Vec::new(), Real::default());
        for Tracked { path, blob, executable, racy, .. } in repo.tracked()? {
            let at = at(&top, path.as_ref());
            let Ok(Some(seen)) = Look::at(&at) else { continue };
            if seen.size >= MAX_POINTER_BYTES {
                continue;
            }
            let pointer = objects.pointer(blob)?.filter(|pointer| pointer.size > 0);
            match pointer.filter(|_| selection.holds(path.as_ref())) {
                // What lies behind a link is not of this work tree.
                Some(pointer) if is_pointer(&at, pointer) && real.holds(&top, &at) => {
                    holes.push(Hole { path, blob, pointer, executable, seen });
                }
                Some(_) => {}
                None if racy && (pointer.is_some() || seen.size == 0) => young.push((path, blob, pointer)),
                None => {}
            }
        }
        let paths = holes.iter().map(|hole| &hole.path).chain(young.iter().map(|(path, ..)| path));
        let tracked = repo.lfs_paths(paths.map(|path| path.as_ref()))?;
        let odd = holes.iter().filter(|hole| tracked.odd.contains(&hole.path)).cloned().collect();
        holes.retain(|hole| tracked.plain.contains(&hole.path));
        young.retain(|(path, ..)| tracked.plain.contains(path));
        Ok(Filling { top, holes, odd, young, local })
    }

    /// What the files to fill point to.
    pub fn pointers(&self) -> impl Iterator<Item = Pointer> + '_ {
        self.all().map(|hole| hole.pointer)
    }

    fn all(&self) -> impl Iterator<Item = &Hole> {
        self.holes.iter().chain(&self.odd)
    }

    /// Files to fill.
    pub fn files(&self) -> usize {
        self.all().count()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.all().map(|hole| hole.pointer.size).fold(0, u64::saturating_add)
    }

    /// Fill them.
    pub fn run(self, site: &mut Site, progress: &dyn Progress) -> Result<Filled, NoSession> {
        let mut filled = self.fill(site, progress)?;
        self.hand_over(&site.repo, &mut filled)?;
        Ok(filled)
    }

    /// Has git write what only it can write, with git-lfs. What it fails to write is the pointer again.
    fn hand_over(&self, repo: &Repo, filled: &mut Filled) -> Result<(), NoSession> {
        let same = |hole: &&Hole| {
            let at = at(&self.top, hole.path.as_ref());
            matches!(Look::at(&at), Ok(Some(look)) if look == hole.seen)
        };
        let odd: Vec<&Hole> = self.odd.iter().filter(same).collect();
        if odd.is_empty() {
            return Ok(());
        }
        // Else git takes the pointers for what it would write.
        repo.unsettle(odd.iter().map(|hole| (&hole.path, &hole.blob)))?;
        let paths: Vec<u8> = odd.iter().flat_map(|hole| hole.path.iter().copied().chain([0])).collect();
        let write = |option, skip: Option<&str>| {
            let git = repo.git().clone().moved_to(&self.top).with_env(SKIP_SMUDGE, skip);
            git.run_with_stdin(["checkout-index", option, "--index", "-z", "--stdin"], &paths)
        };
        let error = write("--force", None).err();
        if error.is_some() {
            // It writes what is gone, and fails where something is not.
            let _ = write("--quiet", Some("1"));
        }
        let why = error.map_or_else(|| "the filter of git-lfs left it so".to_owned(), |error| error.said());
        for hole in odd {
            let at = at(&self.top, hole.path.as_ref());
            if !at.exists() || is_pointer(&at, hole.pointer) {
                filled.left.push((hole.path.clone(), why.clone()));
            } else {
                filled.files += 1;
                filled.bytes += hole.pointer.size;
            }
        }
        Ok(())
    }

    fn fill(&self, site: &mut Site, progress: &dyn Progress) -> Result<Filled, NoSession> {
        if self.holes.is_empty() {
            Folder::sweep(&site.repo);
            Staging::sweep(&self.top);
            site.repo.settle(&self.aged())?;
            return Ok(Filled::default());
        }
        let repo = site.repo.clone();
        let folder = self.folder(&repo)?;
        repo.unsettle(self.holes.iter().map(|hole| (&hole.path, &hole.blob)))?;
        let outcome = Mutex::new(Outcome::default());
        let absent = self.copy_here(site, folder.path(), &outcome, progress);
        let fetched = self.fetch(site, &absent, folder.path(), &outcome, progress);
        let Outcome { filled, mut looks } = outcome.into_inner().expect("no holder of this lock panics");
        looks.extend(self.aged());
        // Also without the store: what was here is in place now.
        repo.settle(&looks)?;
        fetched.map(|()| filled)
    }

    /// Dates young files back. Each is read after that: who writes to it from now on changes its date.
    fn aged(&self) -> Vec<(BString, ObjectId, Look)> {
        let age = |(path, blob, pointer): &(BString, ObjectId, Option<Pointer>)| {
            let at = at(&self.top, path.as_ref());
            no_link_above(&self.top, at.parent()?).ok()?;
            date_back(&File::open(&at).ok()?).ok()?;
            let look = Look::at(&at).ok()??;
            let same = match pointer {
                Some(pointer) => is_pointer(&at, *pointer),
                None => look.size == 0 && blob.is_empty_blob(),
            };
            same.then(|| (path.clone(), *blob, look))
        };
        self.young.iter().filter_map(age).collect()
    }

    /// Where files are written before they are in place: on the file system of the work tree, so that a rename is enough.
    fn folder(&self, repo: &Repo) -> Result<Beside, NoSession> {
        let folder = Folder::make(repo)?;
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        if device(folder.path()) == device(&self.top) {
            return Ok(Beside::Lfs(folder));
        }
        Staging::make_in(&self.top)
            .map(Beside::Top)
            .map_err(|source| NoSession::Folder { path: self.top.clone(), source })
    }

    /// What lies on this machine. Gives the others, and those whose bytes are not what they should be.
    fn copy_here(
        &self,
        site: &Site,
        folder: &Path,
        outcome: &Mutex<Outcome>,
        progress: &dyn Progress,
    ) -> Vec<&Hole> {
        let here = site.here();
        let lacking = |(at, hole): (usize, &Hole)| {
            let file = folder.join(format!("here-{at}"));
            let copied = here.copy(&hole.pointer, &file, progress);
            if copied {
                self.place(hole, &file, outcome);
            }
            !copied
        };
        let absent: Vec<bool> = self.holes.par_iter().enumerate().map(lacking).collect();
        self.holes.iter().zip(absent).filter(|(_, absent)| *absent).map(|(hole, _)| hole).collect()
    }

    /// Gets what is not here, from each store what it has.
    fn fetch(
        &self,
        site: &mut Site,
        holes: &[&Hole],
        folder: &Path,
        outcome: &Mutex<Outcome>,
        progress: &dyn Progress,
    ) -> Result<(), NoSession> {
        let oids: Vec<Oid> = holes.iter().map(|hole| hole.pointer.oid).collect();
        let (mut left, repo) = (holes.to_vec(), site.repo.clone());
        for Found { store, rows } in site.find(&oids)? {
            let Some(session) = site.store(store)? else { continue };
            let (own, other) = left.into_iter().partition(|hole| rows.contains_key(&hole.pointer.oid));
            left = other;
            self.fetch_from(session, &repo, (own, &rows), folder, outcome, progress);
        }
        if left.is_empty() {
            return Ok(());
        }
        let oids: Vec<Oid> = left.iter().map(|hole| hole.pointer.oid).collect();
        for (hole, said) in left.into_iter().zip(site.lost(&oids)?) {
            failed(outcome, hole, said.into());
        }
        Ok(())
    }

    fn fetch_from(
        &self,
        session: &mut Session,
        repo: &Repo,
        (holes, rows): (Vec<&Hole>, &HashMap<Oid, Row>),
        folder: &Path,
        outcome: &Mutex<Outcome>,
        progress: &dyn Progress,
    ) {
        let before = session.catalog.store().requests();
        let mut files: Vec<(Wanted, &Hole)> = Vec::with_capacity(holes.len());
        for hole in holes {
            let Pointer { oid, size } = hole.pointer;
            // Several files may have one content.
            let path = folder.join(format!("{}-{}", files.len(), session.catalog.identity().store));
            match wanted(&session.catalog, rows.get(&oid), oid, size, path) {
                Ok(file) => files.push((file, hole)),
                Err(error) => failed(outcome, hole, error.into()),
            }
        }
        files.sort_by_key(|(file, _)| file.terms.first().map(|term| (term.pack, term.offset, term.skip)));
        let (files, holes): (Vec<Wanted>, Vec<&Hole>) = files.into_iter().unzip();
        let by_path: HashMap<&Path, &Hole> =
            files.iter().map(|file| file.path.as_path()).zip(holes).collect();
        let came = (AtomicU64::new(0), AtomicU64::new(0));
        fetch(&Source::of(&session.catalog), &files, progress, &|file, result| {
            let hole = by_path[file.path.as_path()];
            if result.is_ok() {
                came.0.fetch_add(1, Relaxed);
                came.1.fetch_add(file.size, Relaxed);
            }
            let keep = || self.keep(repo, hole, &file.path).map_err(Unfetched::Place);
            match result.map_err(Unfetched::from).and_then(|()| keep()) {
                Ok(()) => self.place(hole, &file.path, outcome),
                Err(error) => failed(outcome, hole, error),
            }
        });
        let requests = session.catalog.store().requests().since(before);
        LastTransfer { upload: false, requests, uploaded: None }.keep(&session.catalog);
        let read = Read::new("checkout", session.repo_id, came.0.load(Relaxed), came.1.load(Relaxed));
        session.note(read);
    }

    /// A copy for git-lfs, where one is wanted.
    fn keep(&self, repo: &Repo, hole: &Hole, file: &Path) -> Result<(), String> {
        if self.local == LocalObjects::Drop {
            return Ok(());
        }
        let object = repo.lfs_object_path(&hole.pointer.oid);
        let copy = file.with_extension("object");
        let kept = local::duplicate(file, &copy)
            .and_then(|()| repo.sharing().apply(&copy))
            .and_then(|()| local::keep(&copy, &object));
        kept.map_err(|error| format!("cannot keep {}: {error}", object.display()))
    }

    fn place(&self, hole: &Hole, file: &Path, outcome: &Mutex<Outcome>) {
        match self.put(hole, file) {
            Ok(look) => {
                let mut outcome = outcome.lock().expect("no holder of this lock panics");
                outcome.filled.files += 1;
                outcome.filled.bytes += hole.pointer.size;
                outcome.looks.push((hole.path.clone(), hole.blob, look));
            }
            Err(error) => failed(outcome, hole, Unfetched::Place(error.to_string())),
        }
    }

    /// A verified file takes the place of its pointer.
    fn put(&self, hole: &Hole, file: &Path) -> io::Result<Look> {
        let target = at(&self.top, hole.path.as_ref());
        let parent = target.parent().unwrap_or(&self.top);
        no_link_above(&self.top, parent)?;
        let open = File::open(file)?;
        if hole.executable {
            let mode = open.metadata()?.permissions().mode();
            // Who may read it may run it: what git makes of the umask.
            open.set_permissions(Permissions::from_mode(mode | ((mode & 0o444) >> 2)))?;
        }
        date_back(&open)?;
        let there = Look::at(&target)?;
        if there != Some(hole.seen) {
            // Where names fold, it may be another of its names under which it came to be what it should.
            let is_whole = |look: &Look| {
                let is_it = local::oid_of(&target).is_ok_and(|oid| oid == hole.pointer.oid);
                is_it && matches!(Look::at(&target), Ok(Some(again)) if again == *look)
            };
            let changed = || io::Error::other("somebody changed it meanwhile: it was left as it is");
            return there.filter(is_whole).ok_or_else(changed);
        }
        fs::rename(file, &target)?;
        Look::at(&target)?.ok_or_else(|| io::Error::other("somebody took it away"))
    }
}

/// A directory for files on their way.
enum Beside {
    Lfs(Folder),
    Top(Staging),
}

impl Beside {
    fn path(&self) -> &Path {
        match self {
            Beside::Lfs(folder) => folder.path(),
            Beside::Top(folder) => folder.path(),
        }
    }
}

fn failed(outcome: &Mutex<Outcome>, hole: &Hole, error: Unfetched) {
    outcome.lock().expect("no holder of this lock panics").filled.failed.push((hole.path.clone(), error));
}

fn is_pointer(path: &Path, pointer: Pointer) -> bool {
    fs::read(path).is_ok_and(|text| Pointer::parse(&text) == Ok(pointer))
}

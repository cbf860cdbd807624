//! Here: where the bytes of an LFS object lie on this machine, for all who ask.
//!
//! They lie among git-lfs's objects, or in the work tree: a clone that keeps each file once has them nowhere else. A file of the work
//! tree that looks as the index says is taken for what the index says, since whoever uses it hashes it while it is read; one that
//! looks otherwise is hashed here first, so that an edited file is never called a damaged one. Nothing behind a link is looked at.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::local;
use crate::git::{BStr, Objects, ObjectsError, Pointer, Repo, Tracked};
use crate::id::Oid;

/// What of the data of a repository is on this machine.
pub struct Here {
    repo: Repo,
    /// Without what a partial clone would have to fetch.
    objects: Objects,
    files: OnceCell<HashMap<Oid, Vec<Tracked>>>,
}

impl Here {
    /// Nothing is looked at yet.
    pub fn of(repo: &Repo) -> Result<Here, ObjectsError> {
        Ok(Here { repo: repo.clone(), objects: repo.objects()?.only_local(), files: OnceCell::new() })
    }

    /// A file of this content; its bytes are to be verified when they are read.
    pub fn path(&self, pointer: &Pointer) -> Option<PathBuf> {
        self.object(pointer).or_else(|| self.file(pointer))
    }

    /// The same to be sent, where the object of git-lfs is all there is, and cannot be right: whoever reads it says so.
    pub fn to_send(&self, pointer: &Pointer) -> Option<PathBuf> {
        let damaged = || Some(self.repo.lfs_object_path(&pointer.oid)).filter(|path| path.is_file());
        self.path(pointer).or_else(damaged)
    }

    /// The object of git-lfs, if it has the right length.
    pub fn object(&self, pointer: &Pointer) -> Option<PathBuf> {
        Some(self.repo.lfs_object_path(&pointer.oid)).filter(|path| is_file_of(path, pointer))
    }

    /// A file of the work tree that was not edited.
    pub fn file(&self, pointer: &Pointer) -> Option<PathBuf> {
        let top = self.repo.work_tree()?;
        let all = self.files.get_or_init(|| self.tracked()).get(&pointer.oid)?;
        let there: Vec<(&Tracked, PathBuf)> = all
            .iter()
            .map(|file| (file, at(top, file.path.as_ref())))
            .filter(|(_, path)| is_file_of(path, pointer))
            .filter(|(_, path)| no_link_above(top, path.parent().unwrap_or(top)).is_ok())
            .collect();
        let same = there.iter().find(|(file, path)| file.is_unchanged(path));
        let hashed =
            || there.iter().find(|(_, path)| local::oid_of(path).is_ok_and(|oid| oid == pointer.oid));
        same.or_else(hashed).map(|(_, path)| path.clone())
    }

    /// Files of the index by what they point to; none where the index cannot be read: then they are not here.
    fn tracked(&self) -> HashMap<Oid, Vec<Tracked>> {
        let mut by_oid: HashMap<Oid, Vec<Tracked>> = HashMap::new();
        for file in self.repo.tracked().unwrap_or_default() {
            if let Ok(Some(pointer)) = self.objects.pointer(file.blob) {
                by_oid.entry(pointer.oid).or_default().push(file);
            }
        }
        by_oid
    }
}

/// Whether a regular file of this length lies there.
pub fn is_file_of(path: &Path, pointer: &Pointer) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() == pointer.size)
}

/// Where a path of git lies below `top`.
pub fn at(top: &Path, path: &BStr) -> PathBuf {
    top.join(std::ffi::OsStr::from_bytes(path))
}

/// Directories below the top that are none of them a link, so that each is looked at once.
#[derive(Default)]
pub struct Real(HashSet<PathBuf>);

impl Real {
    /// Whether a file lies below `top` with no link between.
    pub fn holds(&mut self, top: &Path, file: &Path) -> bool {
        let parent = file.parent().unwrap_or(top);
        let real = self.0.contains(parent) || no_link_above(top, parent).is_ok();
        if real {
            self.0.insert(parent.to_owned());
        }
        real
    }
}

/// Through a link in its path a file would go elsewhere.
pub fn no_link_above(top: &Path, folder: &Path) -> io::Result<()> {
    for above in folder.ancestors().take_while(|above| *above != top) {
        if !fs::symlink_metadata(above)?.is_dir() {
            return Err(io::Error::other(format!("{} is no directory", above.display())));
        }
    }
    Ok(())
}

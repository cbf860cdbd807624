//! Folder: where files on their way lie, on the file system of git-lfs's objects.
//!
//! A killed process leaves its folder behind, and git-lfs sweeps files, not directories. So each process holds a lock on its
//! folder as long as it lives, and whoever starts removes those that nobody holds. A process number would say less: it is used
//! again, and in another container it is somebody else.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::session::NoSession;
use crate::git::Repo;

/// How the name of each begins.
const PREFIX: &str = "datamon-";
/// How often a folder is made anew that somebody swept before it was locked.
const TRIES: usize = 16;

/// A private directory, gone with this value.
pub struct Folder {
    dir: TempDir,
    /// Locked; none where the file system cannot lock directories, and then nobody sweeps either.
    _held: Option<File>,
}

impl Folder {
    /// The directory of this process; those of dead ones go.
    pub fn make(repo: &Repo) -> Result<Folder, NoSession> {
        let path = repo.lfs_dir().join("tmp");
        let made = fs::create_dir_all(&path).and_then(|()| {
            sweep(&path);
            Folder::make_in(&path)
        });
        made.map_err(|source| NoSession::Folder { path, source })
    }

    /// What dead processes left goes, where nobody needs a directory.
    pub fn sweep(repo: &Repo) {
        sweep(&repo.lfs_dir().join("tmp"));
    }

    fn make_in(path: &Path) -> io::Result<Folder> {
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let mut last = None;
        for _ in 0..TRIES {
            let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in(path)?;
            match File::open(dir.path()).map(|folder| folder.try_lock().map(|()| folder)) {
                // A sweeper that was faster holds it or has removed it.
                Err(error) => last = Some(error),
                Ok(Err(fs::TryLockError::WouldBlock)) => {}
                Ok(Ok(_)) if !dir.path().exists() => {}
                Ok(held) => return Ok(Folder { dir, _held: held.ok() }),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("it is removed again and again")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Folder {
    /// Under another name first: who still fetches into it then finds no directory to make another file in.
    fn drop(&mut self) {
        let gone = self.path().with_extension("gone");
        if fs::rename(self.path(), &gone).is_ok() {
            let _ = fs::remove_dir_all(gone);
        }
    }
}

/// Removes the folders of dead processes. What cannot be removed now is tried again by the next one.
fn sweep(path: &Path) {
    for entry in path.read_dir().into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // A link may lead anywhere.
        if ours
            && entry.file_type().is_ok_and(|it| it.is_dir())
            && let Ok(folder) = File::open(entry.path())
            && folder.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_go_and_those_of_the_living_stay() {
        let tmp = tempfile::tempdir().expect("a directory");
        let left = tmp.path().join("datamon-1-abc");
        fs::create_dir_all(left.join("deep")).and_then(|()| fs::write(left.join("file"), "x")).unwrap();
        fs::create_dir(tmp.path().join("datamon-1-def.gone")).unwrap();
        fs::create_dir(tmp.path().join("of git-lfs")).unwrap();
        let elsewhere = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink(elsewhere.path(), tmp.path().join("datamon-link")).unwrap();
        let living = Folder::make_in(tmp.path()).unwrap();
        fs::write(living.path().join("file"), "x").unwrap();
        sweep(tmp.path());
        let mut names: Vec<_> = tmp.path().read_dir().unwrap().map(|it| it.unwrap().path()).collect();
        names.sort();
        let mut wanted =
            vec![living.path().to_owned(), tmp.path().join("datamon-link"), tmp.path().join("of git-lfs")];
        wanted.sort();
        assert_eq!(names, wanted);
        assert!(living.path().join("file").exists() && elsewhere.path().exists());
        drop(living);
        assert_eq!(tmp.path().read_dir().unwrap().count(), 2);
    }

    #[test]
    fn whoever_sweeps_takes_nothing_from_those_who_begin() {
        let tmp = tempfile::tempdir().expect("a directory");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        sweep(tmp.path());
                        let folder = Folder::make_in(tmp.path()).unwrap();
                        fs::write(folder.path().join("file"), "x").unwrap();
                    }
                });
            }
        });
        assert_eq!(tmp.path().read_dir().unwrap().count(), 0);
    }
}

//! A directory for files on their way, beside where they belong: when they are whole a rename is enough.
//!
//! Whoever is killed leaves it behind; the next one removes it, if it is surely one of ours: a marker lies in it, nothing else than
//! what we put there, and no living process has it locked.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use tempfile::TempDir;

/// How the name of a directory for files on their way begins.
const STAGING: &str = ".datamon-";
/// The marker in it.
pub(super) const MARKER: &str = "datamon-download";
/// What the marker says.
pub(super) const MARK: &str = "git datamon download keeps files here until they are whole; it removes this directory, now or the next time\n";
/// How the name of a file begins that shows what names the file system takes for one.
pub(super) const PROBE: &str = "probe-";

/// A private directory, gone with this value.
pub struct Staging {
    dir: TempDir,
    /// Locked; none where the file system cannot lock directories, and then there is no marker either.
    _held: Option<File>,
}

impl Staging {
    /// A new one in `path`; those of dead processes go.
    pub fn make_in(path: &Path) -> io::Result<Staging> {
        Staging::sweep(path);
        let dir = tempfile::Builder::new().prefix(STAGING).tempdir_in(path)?;
        let held = File::open(dir.path()).ok().filter(|folder| folder.try_lock().is_ok());
        if held.is_some() {
            fs::write(dir.path().join(MARKER), MARK)?;
        }
        Ok(Staging { dir, _held: held })
    }

    /// What dead processes left in `path` goes.
    pub fn sweep(path: &Path) {
        if let Ok(root) = rustix::fs::open(path, folder_flags() - OFlags::NOFOLLOW, Mode::empty()) {
            sweep(&root);
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

pub(super) fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Removes what processes left here that were killed. What cannot be removed now is tried again by the next one.
fn sweep(root: &OwnedFd) {
    for name in names(root).into_iter().flatten().filter(|name| name.starts_with(STAGING.as_bytes())) {
        let opened = openat(root, &name[..], folder_flags(), Mode::empty());
        let Ok(folder) = opened.map(File::from) else { continue };
        if folder.try_lock().is_ok()
            && let Some(left) = leftovers(&folder)
        {
            // The marker last: a sweep that is ended here can be gone on with.
            let removed = left.iter().try_for_each(|name| unlinkat(&folder, &name[..], AtFlags::empty()));
            let _ = removed.and_then(|()| unlinkat(root, &name[..], AtFlags::REMOVEDIR));
        }
    }
}

/// The names in one of our directories, the marker last; `None` if it is not surely one.
fn leftovers(folder: &File) -> Option<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let marker = File::from(openat(folder, MARKER, flags, Mode::empty()).ok()?);
    let mut said = String::new();
    marker.take(MARK.len() as u64 + 1).read_to_string(&mut said).ok()?;
    let mut left = names(folder)?;
    left.retain(|name| name != MARKER.as_bytes());
    let all_ours = said == MARK && left.iter().all(|name| is_ours(name));
    left.push(MARKER.into());
    all_ours.then_some(left)
}

/// Files that are fetched or copied have numbers.
fn is_ours(name: &[u8]) -> bool {
    let number = name.strip_prefix(b"here-").unwrap_or(name);
    let number = number.strip_suffix(b".object").unwrap_or(number);
    (!number.is_empty() && number.iter().all(u8::is_ascii_digit)) || name.starts_with(PROBE.as_bytes())
}

/// What lies in an open directory.
fn names(folder: impl AsFd) -> Option<Vec<Vec<u8>>> {
    let entries = Dir::read_from(folder).ok()?.map(|entry| Some(entry.ok()?.file_name().to_bytes().to_vec()));
    let mut names = entries.collect::<Option<Vec<_>>>()?;
    names.retain(|name| name != b"." && name != b"..");
    Some(names)
}

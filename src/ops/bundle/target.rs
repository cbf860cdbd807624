//! The directory that a bundle is written into. Nothing outside it is touched, and nothing inside is reached through a link.
//!
//! Every name is looked at, made and replaced relative to its open directory, each part of its path opened without following
//! links: what somebody exchanges meanwhile leads nowhere. Files are written under other names in a directory beside them,
//! and take their names when they are whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, mkdirat, openat, readlinkat, renameat, statat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use super::staging::{PROBE, Staging, folder_flags};
use crate::id::Oid;

/// What lies at a name already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Nothing,
    /// A file of so many bytes, and whether it may be run.
    File(u64, bool),
    /// A link, and where it leads.
    Link(Vec<u8>),
    /// A directory.
    Folder,
    /// A pipe, a socket, a device; or what should be a directory above it is none.
    Other,
}

/// An open directory.
pub struct Target {
    root: OwnedFd,
    staging: Staging,
}

/// The directory part of a path, and its last name.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let at = name.iter().rposition(|byte| *byte == b'/');
    at.map_or((b"", name), |at| (&name[..at], &name[at + 1..]))
}

impl Target {
    /// Open the directory, made where it is not there.
    pub fn open(path: &Path) -> io::Result<Target> {
        fs::create_dir_all(path)?;
        // What the user named may be a link itself.
        let root = rustix::fs::open(path, folder_flags() - OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Target { root, staging: Staging::make_in(path)? })
    }

    /// Where the file of a number is written before it has its name.
    pub fn staged(&self, number: usize) -> PathBuf {
        self.staging.path().join(number.to_string())
    }

    /// The directory `path`, each part opened by itself; with `make` what is missing is made.
    fn folder(&self, path: &[u8], make: bool) -> rustix::io::Result<OwnedFd> {
        let mut open = openat(&self.root, ".", folder_flags(), Mode::empty())?;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            open = match openat(&open, part, folder_flags(), Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    match mkdirat(&open, part, Mode::from_bits_truncate(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error),
                    }
                    openat(&open, part, folder_flags(), Mode::empty())?
                }
                other => other?,
            };
        }
        Ok(open)
    }

    /// Make a directory and those above it.
    pub fn make_folder(&self, path: &[u8]) -> io::Result<()> {
        Ok(self.folder(path, true).map(drop)?)
    }

    /// What lies at a name.
    pub fn standing(&self, name: &[u8]) -> io::Result<Standing> {
        let (above, last) = split(name);
        let folder = match self.folder(above, false) {
            Err(Errno::NOENT) => return Ok(Standing::Nothing),
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Standing::Other),
            other => other?,
        };
        let found = match statat(&folder, last, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(Standing::Nothing),
            other => other?,
        };
        Ok(match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {
                Standing::File(u64::try_from(found.st_size).unwrap_or(0), found.st_mode & 0o111 != 0)
            }
            FileType::Symlink => Standing::Link(readlinkat(&folder, last, Vec::new())?.into_bytes()),
            FileType::Directory => Standing::Folder,
            _ => Standing::Other,
        })
    }

    /// The SHA-256 of a file there.
    pub fn oid(&self, name: &[u8]) -> io::Result<Oid> {
        let (above, last) = split(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(openat(self.folder(above, false)?, last, flags, Mode::empty())?);
        let (mut sha, mut buffer) = (Sha256::new(), vec![0; 256 << 10]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Oid::from_bytes(sha.finalize().into())),
                got => sha.update(&buffer[..got]),
            }
        }
    }

    /// Give what was staged under a number its name; its directory is there. Without `replace` nothing may lie there.
    pub fn install(&self, number: usize, name: &[u8], replace: bool) -> io::Result<()> {
        let (above, last) = split(name);
        let (folder, staged) = (self.folder(above, false)?, self.staged(number));
        if !replace {
            match rustix::fs::renameat_with(&self.root, &staged, &folder, last, RenameFlags::NOREPLACE) {
                // A file system that does not know how to.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    if statat(&folder, last, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                        return Err(Errno::EXIST.into());
                    }
                }
                other => return Ok(other?),
            }
        }
        Ok(renameat(&self.root, &staged, &folder, last)?)
    }

    /// Which names the file system takes for one.
    pub fn folding(&self) -> Folding {
        let there = |name: &str| self.staging.path().join(name).symlink_metadata().is_ok();
        let probe = self.staging.path().join(format!("{PROBE}\u{e4}"));
        let made = File::create_new(&probe).is_ok();
        let folding = Folding { case: made && there("PROBE-\u{e4}"), forms: made && there("probe-a\u{308}") };
        let _ = fs::remove_file(probe);
        folding
    }
}

/// Names that a file system takes for one although their bytes differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folding {
    /// Capital and small letters.
    pub case: bool,
    /// The forms in which Unicode writes the same letters.
    pub forms: bool,
}

impl Folding {
    fn fold(self, name: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(name) else { return name.to_vec() };
        let text = if self.case { text.to_lowercase() } else { text.to_owned() };
        if self.forms { text.nfc().collect::<String>().into_bytes() } else { text.into_bytes() }
    }

    /// Two paths, or directories above paths, that would be one here.
    pub fn collision<'a>(self, paths: impl Iterator<Item = &'a [u8]>) -> Option<(&'a [u8], &'a [u8])> {
        if self == Folding::default() {
            return None;
        }
        let mut names: BTreeMap<Vec<u8>, &[u8]> = BTreeMap::new();
        for path in paths {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            for end in ends.chain([path.len()]) {
                let name = &path[..end];
                let first = *names.entry(self.fold(name)).or_insert(name);
                if first != name {
                    return Some((first, name));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::staging::{MARK, MARKER};
    use super::*;

    #[test]
    fn names_that_a_file_system_takes_for_one_are_found() {
        let collision = |case, forms, names: &[&'static str]| {
            let found = Folding { case, forms }.collision(names.iter().map(|name| name.as_bytes()));
            found.map(|(a, b)| {
                (String::from_utf8_lossy(a).into_owned(), String::from_utf8_lossy(b).into_owned())
            })
        };
        let both = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(collision(false, false, &["A", "a", "\u{e4}", "a\u{308}"]), None);
        assert_eq!(collision(true, false, &["A", "b", "a"]), both("A", "a"));
        assert_eq!(collision(true, false, &["Dir/x", "dir/y"]), both("Dir", "dir"), "directories merge too");
        assert_eq!(collision(true, false, &["\u{e4}", "a\u{308}"]), None);
        assert_eq!(collision(false, true, &["d/\u{e4}", "d/a\u{308}"]), both("d/\u{e4}", "d/a\u{308}"));
        assert_eq!(collision(true, true, &["a\u{308}", "\u{c4}"]), both("a\u{308}", "\u{c4}"));
        assert_eq!(Folding { case: true, forms: true }.collision([&b"\xff"[..], b"\xfe"].into_iter()), None);
    }

    #[test]
    fn what_the_dead_left_goes_and_nothing_else() {
        let dest = tempfile::tempdir().expect("made");
        let folder = |name: &str, files: &[(&str, &str)]| {
            let folder = dest.path().join(name);
            fs::create_dir(&folder).expect("made");
            files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("written"));
            folder
        };
        let dead = [
            (MARKER, MARK),
            ("0", "half"),
            ("17", ""),
            ("here-1", ""),
            ("2.object", ""),
            ("probe-\u{e4}", ""),
        ];
        folder(".datamon-dead", &dead);
        folder(".datamon-young", &[("0", "not marked yet")]);
        folder(".datamon-notes", &[("datamon.md", "the user's own")]);
        folder(".datamon-mixed", &[(MARKER, MARK), ("0", "half"), ("mine", "the user's own")]);
        folder(".datamon-there", &[(MARKER, MARK), ("here-", "the user's own")]);
        folder(".datamon-other", &[(MARKER, "of another kind\n"), ("0", "half")]);
        folder("datamon", &[(MARKER, MARK)]);
        let alive = folder(".datamon-alive", &[(MARKER, MARK), ("0", "half")]);
        let held = File::open(&alive).expect("there");
        held.try_lock().expect("nobody else holds it");
        let elsewhere = tempfile::tempdir().expect("made");
        fs::write(elsewhere.path().join(MARKER), MARK).expect("written");
        std::os::unix::fs::symlink(elsewhere.path(), dest.path().join(".datamon-link")).expect("made");
        let count = || fs::read_dir(dest.path()).expect("there").count();
        let before = count();
        let living = Target::open(dest.path()).expect("opens");
        assert_eq!((count(), dest.path().join(".datamon-dead").exists()), (before, false), "its own came");
        drop(Target::open(dest.path()).expect("opens beside it"));
        assert!(living.staging.path().join(MARKER).exists());
        drop(living);
        assert_eq!(count(), before - 1);
        assert!(elsewhere.path().join(MARKER).exists() && alive.join("0").exists());
        assert_eq!(fs::read_dir(dest.path().join(".datamon-mixed")).expect("there").count(), 3);
    }

    #[test]
    fn nothing_is_reached_through_a_link_or_replaced_unasked() {
        let (inside, outside) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).expect("made");
        fs::write(outside.path().join("x"), "theirs").expect("written");
        let target = Target::open(inside.path()).expect("opens");
        assert_eq!(target.standing(b"link/x").expect("looked at"), Standing::Other);
        assert_eq!(target.standing(b"no/x").expect("looked at"), Standing::Nothing);
        assert!(matches!(target.standing(b"link").expect("looked at"), Standing::Link(_)));
        assert!(target.make_folder(b"link/y").is_err() && target.oid(b"link/x").is_err());
        fs::write(target.staged(0), "new").expect("written");
        assert!(target.install(0, b"link/x", true).is_err() && target.install(0, b"link/z", false).is_err());
        fs::write(inside.path().join("there"), "old").expect("written");
        let refused = target.install(0, b"there", false).expect_err("something is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        target.make_folder(b"a/b").expect("made");
        target.install(0, b"a/b/new", false).expect("installed");
        fs::write(target.staged(1), "newer").expect("written");
        target.install(1, b"there", true).expect("replaced");
        drop(target);
        assert_eq!(fs::read(outside.path().join("x")).expect("there"), b"theirs");
        assert_eq!(fs::read_dir(outside.path()).expect("there").count(), 1);
        assert_eq!(fs::read(inside.path().join("there")).expect("there"), b"newer");
        assert_eq!(fs::read_dir(inside.path()).expect("there").count(), 3, "link, there, a");
    }
}

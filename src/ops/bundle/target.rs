//! The directory that a bundle is written into. Nothing outside it is touched, and nothing inside is reached through a link.
//!
//! Every name is looked at, made and replaced relative to its open directory, each part of its path opened without following
//! links: what somebody exchanges meanwhile leads nowhere. Files are written under other names in a directory beside them,
//! and take their names when they are whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
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

    /// Two of the paths, in order, or of the directories above them, that the file system takes for one name.
    pub fn collision<'a>(&self, paths: impl Iterator<Item = &'a [u8]>) -> Option<(&'a [u8], &'a [u8])> {
        if !self.folds() {
            return None;
        }
        let mut alike: BTreeMap<(&[u8], String), Vec<&'a [u8]>> = BTreeMap::new();
        for path in paths {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            for name in ends.chain([path.len()]).map(|end| &path[..end]) {
                let (above, last) = split(name);
                let Some(likeness) = likeness(last) else { continue };
                let names = alike.entry((above, likeness)).or_default();
                if names.last() != Some(&name) {
                    names.push(name);
                }
            }
        }
        alike.values().find_map(|names| {
            let mut pairs = (1..names.len()).flat_map(|b| (0..b).map(move |a| (names[a], names[b])));
            pairs.find(|(a, b)| self.is_one_name(split(a).1, split(b).1))
        })
    }

    /// Whether the file system takes any names for one.
    fn folds(&self) -> bool {
        self.is_one_name("\u{e4}".as_bytes(), "\u{c4}".as_bytes())
            || self.is_one_name("\u{e4}".as_bytes(), "a\u{308}".as_bytes())
            || self.is_one_name(b"a", b"A")
    }

    /// Every file system has rules of its own for this, and other ones in its next release: it is asked.
    fn is_one_name(&self, a: &[u8], b: &[u8]) -> bool {
        let probe = |name: &[u8]| self.staging.path().join(as_path(&[PROBE.as_bytes(), name].concat()));
        let is_one = File::create_new(probe(a)).is_ok() && probe(b).symlink_metadata().is_ok();
        let _ = fs::remove_file(probe(a));
        is_one
    }
}

/// The bytes of a name as this system takes them.
pub fn as_path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

/// What all names have in common that some file system may take for one: no file system folds more than this does.
fn likeness(name: &[u8]) -> Option<String> {
    let seen = std::str::from_utf8(name).ok()?.chars().filter(|char| !is_invisible(*char));
    let folded = seen.nfkd().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    Some(folded.nfkd().collect())
}

/// Characters that Unicode says may be ignored, as HFS+ and ext4 do in names.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datamon_test_support::Folding;

    use super::super::staging::{MARK, MARKER};
    use super::*;

    /// Names that some file systems take for one.
    const ALIKE: [[&str; 2]; 8] = [
        ["A", "a"],
        ["Dir/x", "dir/y"],
        ["d/\u{e4}", "d/a\u{308}"],
        ["a\u{308}", "\u{c4}"],
        ["\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c3}"],
        ["stra\u{df}e", "STRASSE"],
        ["\u{17f}", "s"],
        ["ab", "a\u{200d}b"],
    ];

    fn collision(target: &Target, names: &[&str]) -> Option<(String, String)> {
        let names: BTreeSet<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        target.collision(names.into_iter()).map(|(a, b)| (text(a), text(b)))
    }

    // A test that proves nothing has to be seen.
    #[allow(clippy::print_stderr)]
    #[test]
    fn names_that_a_file_system_takes_for_one_are_found() {
        let apart = tempfile::tempdir().expect("made");
        let within = tempfile::tempdir().expect("made");
        let folding = Folding::make(within.path()).map_err(|why| eprintln!("NOT TESTED: {why}")).ok();
        let folding = folding.as_ref().map(|it| Target::open(it.dir()).expect("opens"));
        let apart = Target::open(apart.path()).expect("opens");
        for pair in ALIKE {
            let [likeness, other] = pair.map(|name| likeness(split(name.as_bytes()).1));
            assert!(pair[0].contains("ir/") || likeness == other, "{pair:?}");
            assert_eq!(collision(&apart, &pair), None);
            let Some(target) = &folding else { continue };
            let (a, b) = collision(target, &pair).expect("one name");
            assert!(
                pair.iter().all(|name| name.starts_with(&*a) || name.starts_with(&*b)),
                "{pair:?}: {a} {b}"
            );
            assert_ne!(a, b);
        }
        if let Some(target) = &folding {
            assert_eq!(collision(target, &["A", "b", "b/a", "2", "\u{b2}"]), None, "only alike");
            assert_eq!(target.collision([&b"\xff"[..], b"\xfe"].into_iter()), None);
        }
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

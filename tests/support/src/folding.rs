//! A directory on a file system that takes `A` and `a` for one name, and an `ä` of one character and of two, and keeps names as
//! they were first written, as those of macOS and Windows do.
//!
//! A Linux kernel that can do this by itself is rare, so the test serves such a file system itself, through FUSE: see
//! [`through`](crate::through). It is laid over a directory, which from then on folds. `DATAMON_TEST_FOLDING` names a directory
//! on another one, of a kernel or a driver.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a mount is called in the table of mounts, before the id of the process that serves it.
const NAME: &str = "datamon-folding-";

/// A directory that folds, until it is dropped.
#[derive(Debug)]
pub struct Folding {
    dir: PathBuf,
    served: bool,
}

impl Folding {
    /// A new directory that folds, below `parent` where `DATAMON_TEST_FOLDING` names none; or why there can be none here.
    ///
    /// # Errors
    /// In words, if nothing here folds.
    pub fn make(parent: &Path) -> Result<Folding, String> {
        let named = std::env::var_os("DATAMON_TEST_FOLDING");
        let within = named.as_ref().map_or(parent, Path::new);
        let made = tempfile::Builder::new().prefix("datamon-test-folding-").tempdir_in(within);
        let dir = made.map_err(|error| format!("{}: {error}", within.display()))?.keep();
        if folds(&dir) {
            return Ok(Folding { dir, served: false });
        }
        if named.is_some() {
            let _ = fs::remove_dir_all(&dir);
            return Err(format!("DATAMON_TEST_FOLDING: {} tells PROBE from probe", within.display()));
        }
        Folding::over(&dir)
    }

    /// Lays it over a directory: what lies there is there still, and its names fold.
    ///
    /// # Errors
    /// In words, if it cannot be mounted.
    pub fn over(dir: &Path) -> Result<Folding, String> {
        for dead in dead() {
            unmount(&dead);
        }
        let name = format!("{NAME}{}", std::process::id());
        serve(dir, &name).map_err(|error| {
            format!("no file system here takes `A` and `a` for one name: FUSE: {error}. Run this as root with /dev/fuse, or let \
                     DATAMON_TEST_FOLDING name a directory on such a file system")
        })?;
        let folding = Folding { dir: dir.to_owned(), served: true };
        if folds(dir) { Ok(folding) } else { Err(format!("{} tells PROBE from probe", dir.display())) }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        if self.served {
            unmount(&self.dir);
        }
        // Where it was laid over a directory, that one has an owner.
        if self
            .dir
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("datamon-test-folding-"))
        {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn folds(dir: &Path) -> bool {
    let probe = dir.join("PROBE");
    let folds = fs::write(&probe, "").is_ok() && dir.join("probe").exists();
    let _ = fs::remove_file(probe);
    folds
}

/// Takes a mount away whoever still uses it, so that nobody ever waits for one whose process is gone.
fn unmount(dir: &Path) {
    for words in [["umount", "-l"], ["fusermount3", "-uz"], ["fusermount", "-uz"]] {
        let mut command = Command::new(words[0]);
        command.arg(words[1]).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        if command.status().is_ok_and(|status| status.success()) {
            return;
        }
    }
}

/// Mounts of tests that were killed. They answer nobody; nothing of them is touched to find out.
fn dead() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let dead = |line: &str| {
        let mut words = line.split(' ');
        let server = words.next()?.strip_prefix(NAME)?;
        let dir = words.next()?;
        (!Path::new("/proc").join(OsStr::new(server)).exists()).then(|| dir.into())
    };
    table.lines().filter_map(dead).collect()
}

#[cfg(target_os = "linux")]
use crate::through::serve;

#[cfg(not(target_os = "linux"))]
fn serve(_: &Path, _: &str) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::panic::catch_unwind;

    use super::*;

    // A test that proves nothing has to be seen.
    #[allow(clippy::print_stderr)]
    fn folding() -> Option<Folding> {
        Folding::make(&std::env::temp_dir()).map_err(|why| eprintln!("NOT TESTED: {why}")).ok()
    }

    fn names(dir: &Path) -> Vec<String> {
        let listed = fs::read_dir(dir).expect("a directory").flatten();
        let mut names: Vec<String> = listed.map(|it| it.file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_stays_as_it_was_written_until_it_is_written_anew() {
        let Some(folding) = folding() else { return };
        let at = |name: &str| folding.dir().join(name);
        fs::create_dir(at("Folder")).expect("made");
        fs::write(at("FOLDER/\u{e4}.Bin"), "one").expect("written");
        assert!(fs::File::create_new(at("folder/a\u{308}.bin")).is_err());
        fs::write(at("folder/A\u{308}.BIN"), "two").expect("written over");
        assert_eq!(
            (names(folding.dir()), names(&at("folder"))),
            (vec!["Folder".into()], vec!["\u{e4}.Bin".into()])
        );
        fs::rename(at("folder/\u{c4}.bin"), at("folder/\u{e4}.bin")).expect("spelled anew");
        fs::rename(at("FOLDER"), at("folder")).expect("spelled anew");
        assert_eq!(
            (names(folding.dir()), names(&at("Folder"))),
            (vec!["folder".into()], vec!["\u{e4}.bin".into()])
        );
        fs::write(at("other"), "three").expect("written");
        fs::rename(at("OTHER"), at("folder/\u{c4}.BIN")).expect("replaced");
        assert_eq!(fs::read(at("folder/\u{e4}.bin")).expect("there"), b"three");
        assert_eq!(names(&at("folder")), ["\u{c4}.BIN"]);
    }

    #[test]
    fn an_open_file_is_what_it_was_whatever_becomes_of_its_names() {
        let Some(folding) = folding() else { return };
        let at = |name: &str| folding.dir().join(name);
        let mut open = fs::File::create_new(at("a")).expect("made");
        fs::hard_link(at("A"), at("b")).expect("linked");
        fs::rename(at("B"), at("C")).expect("renamed");
        fs::remove_file(at("A")).expect("removed");
        open.write_all(b"more").expect("written");
        assert_eq!(fs::read(at("c")).expect("there"), b"more");
        fs::remove_file(at("c")).expect("removed");
        open.rewind().and_then(|()| open.write_all(b"gone")).expect("written");
        assert_eq!(names(folding.dir()), [""; 0]);
    }

    fn is_mounted(dir: &Path) -> bool {
        let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        table.lines().any(|line| line.split(' ').nth(1) == dir.to_str())
    }

    #[test]
    fn it_goes_with_a_test_that_panics_though_it_is_in_use() {
        let Some(folding) = folding() else { return };
        let (dir, served) = (folding.dir().to_owned(), folding.served);
        assert_eq!(is_mounted(&dir), served);
        let _open = fs::File::create(dir.join("in use")).expect("made");
        let panicked = catch_unwind(move || {
            let _held = &folding;
            assert!(folding.dir().join("not there").exists(), "as a test fails");
        });
        assert!(panicked.is_err() && !is_mounted(&dir) && !dir.exists());
    }

    #[test]
    fn what_a_killed_test_left_goes_with_the_next_one() {
        let Some(_folding) = folding().filter(|folding| folding.served) else { return };
        let left = tempfile::tempdir().expect("made");
        // No process has this number.
        serve(left.path(), &format!("{NAME}4194305")).expect("mounted");
        assert!(is_mounted(left.path()));
        let _next = folding();
        assert!(!is_mounted(left.path()));
    }
}

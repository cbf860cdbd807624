//! Manual pages: `git datamon --help` is answered by git with `man git-datamon`, so there must be one.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use crate::cli::args::Args;

/// Where the pages of this user, or of the machine, belong.
///
/// `man` finds `<prefix>/share/man` by `<prefix>/bin` on PATH. An executable in a `bin` of the user's own brings its own
/// prefix (unless that is the home directory itself); any other is served by `~/.local`, which most systems have on PATH.
pub fn directory(system: bool, executable: &Path, home: Option<&Path>) -> Option<PathBuf> {
    if system {
        return Some(PathBuf::from("/usr/local/share/man"));
    }
    let home = home?;
    let bin = executable.parent().filter(|dir| dir.ends_with("bin") && dir.starts_with(home));
    let prefix = bin
        .and_then(Path::parent)
        .filter(|prefix| *prefix != home)
        .map_or_else(|| home.join(".local"), Path::to_owned);
    Some(prefix.join("share/man"))
}

/// Whether `man` looks there: named by `MANPATH`, or beside a `bin` on `PATH`.
pub fn is_searched(directory: &Path, path: Option<&OsStr>, manpath: Option<&OsStr>) -> bool {
    let named = manpath.is_some_and(|manpath| std::env::split_paths(manpath).any(|dir| dir == directory));
    let standard = directory == Path::new("/usr/local/share/man");
    let beside = |dir: PathBuf| dir.parent().is_some_and(|prefix| prefix.join("share/man") == directory);
    named || standard || path.is_some_and(|path| std::env::split_paths(path).any(beside))
}

/// Writes one page for the program and one for each command below `directory`.
pub fn write(directory: &Path) -> io::Result<()> {
    let pages = directory.join("man1");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(Args::command(), &pages)
}

/// Removes what [`write()`] wrote.
pub fn remove(directory: &Path) -> io::Result<()> {
    let pages = match fs::read_dir(directory.join("man1")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        pages => pages?,
    };
    for page in pages {
        let page = page?;
        let name = page.file_name();
        let name = name.to_string_lossy();
        if name == "git-datamon.1" || (name.starts_with("git-datamon-") && name.ends_with(".1")) {
            fs::remove_file(page.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_where_man_looks() {
        let home = Path::new("/home/u");
        let of = |system, executable| directory(system, Path::new(executable), Some(home)).unwrap();
        assert_eq!(of(false, "/home/u/.cargo/bin/git-datamon"), Path::new("/home/u/.cargo/share/man"));
        assert_eq!(of(false, "/home/u/bin/git-datamon"), Path::new("/home/u/.local/share/man"));
        assert_eq!(of(false, "/usr/bin/git-datamon"), Path::new("/home/u/.local/share/man"));
        assert_eq!(of(false, "/home/u/src/target/debug/git-datamon"), Path::new("/home/u/.local/share/man"));
        assert_eq!(of(true, "/opt/bin/git-datamon"), Path::new("/usr/local/share/man"));
        assert_eq!(directory(false, Path::new("/usr/bin/git-datamon"), None), None);

        let local = Path::new("/home/u/.local/share/man");
        let searched = |path: &str, manpath: Option<&str>| {
            is_searched(local, Some(path.as_ref()), manpath.map(OsStr::new))
        };
        assert!(searched("/usr/bin:/home/u/.local/bin", None));
        assert!(!searched("/usr/bin", None));
        assert!(searched("/usr/bin", Some("/home/u/.local/share/man:")));
    }

    #[test]
    fn every_command_gets_a_page_and_only_ours_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let pages = dir.path().join("man1");
        let main = fs::read_to_string(pages.join("git-datamon.1")).unwrap();
        assert!(main.contains("Big data under git"), "{main}");
        assert!(pages.join("git-datamon-init.1").exists());
        fs::write(pages.join("git-other.1"), "x").unwrap();
        remove(dir.path()).unwrap();
        let left: Vec<_> = fs::read_dir(&pages).unwrap().map(|page| page.unwrap().file_name()).collect();
        assert_eq!(left, ["git-other.1"]);
        remove(Path::new("/nonexistent")).unwrap();
    }
}

//! A machine of a test's own: home, configuration, clock and search path in one temporary directory.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs};

use tempfile::TempDir;

/// What every git here knows. It stands in the system file, so that a test of the user's configuration starts with none.
const SYSTEM_CONFIG: &str = "\
[init]
\tdefaultBranch = main
[protocol \"file\"]
\tallow = always
[gc]
\tauto = 0
[maintenance]
\tauto = false
";

/// The first commit's time, seconds since 1970 (14 November 2023).
const FIRST_COMMIT: u64 = 1_700_000_000;

/// Time between two commits, seconds.
const BETWEEN_COMMITS: u64 = 60;

/// Where programs run that see nothing of the user: no home, no configuration, no environment but the search path.
///
/// Clones share the directory, which is removed with the last of them, and differ in their search path only. The user may
/// still be seen through programs on the search path and through the machine's own `/etc`.
#[derive(Debug, Clone)]
pub struct Hermetic {
    root: Arc<TempDir>,
    /// Commits made here so far.
    commits: Arc<AtomicU64>,
    path: OsString,
}

impl Hermetic {
    /// A new, empty one, with the search path of the test itself, but for a `git-datamon` that the user has installed.
    ///
    /// # Panics
    /// If the temporary directory cannot be made.
    pub fn new() -> Self {
        Hermetic::within(&env::temp_dir())
    }

    /// The same in a directory of this one, whose file system is the whole machine's.
    ///
    /// # Panics
    /// If nothing can be made there.
    pub fn within(dir: &Path) -> Self {
        let made = tempfile::Builder::new().prefix("datamon-test-").tempdir_in(dir);
        let root = made.expect("a temporary directory");
        let path = without_ours(&env::var_os("PATH").unwrap_or_default(), &root.path().join("path"));
        let hermetic = Hermetic { root: Arc::new(root), commits: Arc::default(), path };
        for dir in ["home", "etc", "tmp", "work", "xdg/config", "xdg/cache", "xdg/data", "xdg/state"] {
            let dir = hermetic.root().join(dir);
            fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
        }
        fs::write(hermetic.system_config(), SYSTEM_CONFIG).expect("a file in a new temporary directory");
        fs::write(hermetic.user_config(), "").expect("a file in a new temporary directory");
        hermetic
    }

    /// The same, with the directory of this executable first in the search path: `env!("CARGO_BIN_EXE_git-datamon")` of the
    /// test, so that git finds the `git-datamon` just built.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    #[track_caller]
    pub fn with_binary(self, executable: impl AsRef<Path>) -> Self {
        let executable = existing(executable.as_ref());
        self.path_first(executable.parent().expect("a file lies in a directory"))
    }

    /// The same, with this executable as `git-lfs`, whatever its own name is.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    #[track_caller]
    pub fn with_git_lfs(self, executable: impl AsRef<Path>) -> Self {
        let executable = existing(executable.as_ref());
        let dir = tempfile::Builder::new().prefix("git-lfs-").tempdir_in(self.root()).expect("a directory");
        let dir = dir.keep();
        std::os::unix::fs::symlink(executable, dir.join("git-lfs")).expect("a link in a new directory");
        self.path_first(&dir)
    }

    fn path_first(mut self, dir: &Path) -> Self {
        let dirs = [dir.to_owned()].into_iter().chain(env::split_paths(&self.path));
        self.path = env::join_paths(dirs).expect("directories of a search path hold no colon");
        self
    }

    #[cfg(test)]
    pub(crate) fn with_nothing_installed(mut self) -> Self {
        self.path = OsString::new();
        self
    }

    /// The directory everything lies in.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The home directory.
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// Where repositories are made, and where commands run unless they say otherwise.
    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    /// The file of `git config --global`; empty at first.
    pub fn user_config(&self) -> PathBuf {
        self.home().join(".gitconfig")
    }

    /// The file of `git config --system`.
    pub fn system_config(&self) -> PathBuf {
        self.root().join("etc/gitconfig")
    }

    /// A command that sees this environment only.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let root = self.root();
        let seconds = FIRST_COMMIT + BETWEEN_COMMITS * self.commits.load(Ordering::Relaxed);
        let date = format!("{seconds} +0000");
        let mut command = Command::new(program);
        command
            .current_dir(self.work())
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.home())
            .env("TMPDIR", root.join("tmp"))
            .env("XDG_CONFIG_HOME", root.join("xdg/config"))
            .env("XDG_CACHE_HOME", root.join("xdg/cache"))
            .env("XDG_DATA_HOME", root.join("xdg/data"))
            .env("XDG_STATE_HOME", root.join("xdg/state"))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_GLOBAL", self.user_config())
            .env("GIT_CONFIG_SYSTEM", self.system_config())
            .env("GIT_CEILING_DIRECTORIES", root)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", "true")
            .env("GIT_PAGER", "cat")
            .env("GIT_AUTHOR_NAME", "A U Thor")
            .env("GIT_AUTHOR_EMAIL", "author@example.com")
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", "C O Mitter")
            .env("GIT_COMMITTER_EMAIL", "committer@example.com")
            .env("GIT_COMMITTER_DATE", &date);
        command
    }

    /// The next commit gets a later date: one clock for all repositories, so that the same test makes the same commit ids.
    pub(crate) fn tick(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Hermetic {
    fn default() -> Self {
        Hermetic::new()
    }
}

/// A search path without `git-datamon`: a directory that holds one, which may hold git too, is replaced by links in `links` to
/// everything else in it.
fn without_ours(path: &OsStr, links: &Path) -> OsString {
    let replaced = env::split_paths(path).enumerate().map(|(at, dir)| {
        if !dir.join("git-datamon").exists() {
            return dir;
        }
        let replacement = links.join(at.to_string());
        fs::create_dir_all(&replacement).expect("a directory in a new temporary directory");
        for entry in fs::read_dir(&dir).expect("a directory of the search path").map_while(Result::ok) {
            if entry.file_name() != "git-datamon" {
                let link = replacement.join(entry.file_name());
                std::os::unix::fs::symlink(entry.path(), link).expect("a link in a new directory");
            }
        }
        replacement
    });
    env::join_paths(replaced).expect("directories of a search path hold no colon")
}

#[track_caller]
fn existing(executable: &Path) -> &Path {
    assert!(executable.is_file(), "{} is not there, and this test needs it", executable.display());
    executable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::run;

    #[test]
    fn git_reads_configuration_of_this_environment_only() {
        let env = Hermetic::new();
        run(env.command("git").args(["config", "--global", "some.key", "1"]));
        let origins = run(env.command("git").args(["config", "--list", "--show-origin", "--name-only"]));
        assert!(origins.lines().iter().any(|line| line.ends_with("some.key")));
        let root = format!("file:{}", env.root().display());
        for line in origins.lines() {
            assert!(line.starts_with(&root), "{line} comes from outside {root}");
        }
        assert_eq!(run(env.command("git").args(["config", "init.defaultBranch"])).text(), "main");
        assert_eq!(run(env.command("git").args(["config", "protocol.file.allow"])).text(), "always");
    }

    #[test]
    fn nothing_of_the_user_is_in_the_environment() {
        let env = Hermetic::new();
        let root = env.root().display().to_string();
        let output = run(&mut env.command("env"));
        let home = output.lines().into_iter().find(|line| line.starts_with("HOME=")).expect("a home");
        assert_eq!(home, format!("HOME={root}/home"));
        for line in output.lines() {
            let (name, value) = line.split_once('=').expect("name=value");
            let ours = ["PATH", "LC_ALL", "TZ"].contains(&name) || name.starts_with("GIT_");
            assert!(ours || value.starts_with(&root), "{line} is the user's");
        }
    }

    #[test]
    fn the_given_binary_is_found_first() {
        let env = Hermetic::new();
        let binary = env.root().join("target/git-datamon");
        fs::create_dir_all(env.root().join("target")).expect("a directory");
        std::os::unix::fs::symlink("/bin/sh", &binary).expect("a link");
        let env = env.with_binary(&binary);
        let found = run(env.command("sh").args(["-c", "command -v git-datamon"]));
        assert_eq!(Path::new(found.text()), binary);
        assert_eq!(
            run(env.command("git").args(["datamon", "-c", "echo found by git"])).text(),
            "found by git"
        );
    }

    #[test]
    fn what_the_user_has_installed_of_ours_is_not_found() {
        let machine = tempfile::tempdir().expect("a directory");
        let (local, other) = (machine.path().join("local"), machine.path().join("other"));
        for (dir, name) in [(&local, "git-datamon"), (&local, "git"), (&other, "git")] {
            fs::create_dir_all(dir).expect("a directory");
            fs::write(dir.join(name), name).expect("a file");
        }
        let links = machine.path().join("links");
        let path = without_ours(&env::join_paths([&local, &other]).expect("a path"), &links);
        assert_eq!(env::split_paths(&path).collect::<Vec<_>>(), [links.join("0"), other]);
        assert_eq!(fs::read_to_string(links.join("0/git")).expect("a link to a file"), "git");
        assert!(!links.join("0/git-datamon").exists());
    }

    #[test]
    #[should_panic(expected = "is not there")]
    fn a_binary_that_was_not_built_is_named() {
        let _ = Hermetic::new().with_binary("/no/such/git-datamon");
    }

    #[test]
    fn the_directory_goes_with_the_last_clone() {
        let env = Hermetic::new();
        let root = env.root().to_owned();
        let other = env.clone();
        drop(env);
        assert!(root.is_dir());
        drop(other);
        assert!(!root.exists());
    }
}

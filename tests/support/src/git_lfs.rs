//! Which git-lfs a test runs against: the one installed, and a second, newer one.
//!
//! The oldest git-lfs still in use and the newest differ in what they ask an agent, so what matters is tried with both.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use crate::environment::Hermetic;
use crate::process::run;

/// The environment variable that holds the path of a second git-lfs executable.
pub const SECOND_GIT_LFS: &str = "DATAMON_TEST_GIT_LFS_2";

impl Hermetic {
    /// The version of the git-lfs that runs here, such as `3.3.0`.
    ///
    /// # Panics
    /// If there is none: a test that needs git-lfs does not pass without it.
    #[track_caller]
    pub fn git_lfs(&self) -> String {
        let mut command = self.command("git-lfs");
        command.arg("version");
        version(&mut command).unwrap_or_else(|| {
            panic!(
                "git-lfs is not installed, and this test needs it. Type\n    apt-get install git-lfs    (Debian, \
                 Ubuntu)\n    brew install git-lfs       (macOS)"
            )
        })
    }

    /// Makes git-lfs's filters known to every repository here, as `git lfs install` does for a user.
    ///
    /// # Panics
    /// If there is no git-lfs.
    #[track_caller]
    pub fn install_git_lfs(&self) {
        self.git_lfs();
        run(self.command("git").args(["lfs", "install", "--skip-repo"]));
    }
}

/// The second git-lfs, for [`Hermetic::with_git_lfs`]. Without one it says that the test is skipped and how to run it.
///
/// # Panics
/// If [`SECOND_GIT_LFS`] is set and is not a git-lfs that runs: whoever sets it wants the test.
#[track_caller]
pub fn second_git_lfs() -> Option<PathBuf> {
    let second = named(env::var_os(SECOND_GIT_LFS));
    if second.is_none() {
        // Allowed here because a skipped test has to be seen.
        #[allow(clippy::print_stderr)]
        {
            eprintln!(
                "SKIPPED: no second git-lfs, run tests/run.sh (or set {SECOND_GIT_LFS}=$(tests/second-git-lfs.sh))"
            );
        }
    }
    second
}

#[track_caller]
fn named(value: Option<OsString>) -> Option<PathBuf> {
    let given = PathBuf::from(value.filter(|value| !value.is_empty())?);
    let path = fs::canonicalize(&given).unwrap_or_else(|error| {
        panic!("{SECOND_GIT_LFS} names {}, which cannot be used: {error}", given.display())
    });
    assert!(
        version(Command::new(&path).arg("version")).is_some(),
        "{SECOND_GIT_LFS} names {}, which is not a git-lfs that runs",
        path.display()
    );
    Some(path)
}

/// `3.3.0` of `git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)`.
fn version(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.strip_prefix("git-lfs/")?.split_whitespace().next()?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installed_one_has_a_version() {
        let version = Hermetic::new().git_lfs();
        assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
    }

    #[test]
    #[should_panic(expected = "apt-get install git-lfs")]
    fn a_missing_one_fails_the_test_and_says_what_to_type() {
        Hermetic::new().with_nothing_installed().git_lfs();
    }

    #[test]
    fn the_second_one_is_the_one_git_runs() {
        let Some(second) = second_git_lfs() else { return };
        let env = Hermetic::new();
        let first = env.git_lfs();
        let env = env.with_git_lfs(second);
        assert_ne!(env.git_lfs(), first, "{SECOND_GIT_LFS} has to be another version than the one installed");
        let through_git = run(env.command("git").args(["lfs", "version"]));
        assert!(through_git.text().starts_with(&format!("git-lfs/{}", env.git_lfs())));
    }

    #[test]
    fn no_second_one_is_none() {
        assert_eq!(named(None), None);
        assert_eq!(named(Some("".into())), None);
    }

    #[test]
    #[should_panic(expected = "not a git-lfs that runs")]
    fn a_second_one_that_is_something_else_fails_the_test() {
        named(Some("/bin/sh".into()));
    }

    #[test]
    #[should_panic(expected = "cannot be used")]
    fn a_second_one_that_is_not_there_fails_the_test() {
        named(Some("/no/such/git-lfs".into()));
    }
}

//! Settings: git's configuration, written key by key. Git itself does it, so that includes, locks and comments are its own.

use std::ffi::OsStr;
use std::path::Path;

use crate::git::command::{Git, GitFailed};
use crate::git::config::Scope;

impl Git {
    /// Sets a key, replacing every value it had in this scope.
    pub fn set_config(&self, scope: Scope, key: &str, value: &str) -> Result<(), GitFailed> {
        let args = ["config"].into_iter().chain(scope.flag()).chain(["--replace-all", "--", key, value]);
        self.run(args).map(drop)
    }

    /// Sets a key in a file of its own, as `.lfsconfig`. The file must not be a symlink: git would write through it.
    pub fn set_file_config(&self, file: &Path, key: &str, value: &str) -> Result<(), GitFailed> {
        let args = ["config", "--file"].into_iter().map(OsStr::new).chain([file.as_os_str()]);
        self.run(args.chain(["--replace-all", "--", key, value].map(OsStr::new))).map(drop)
    }

    /// Removes a key from a file of its own, as `.lfsconfig`; `false` if it was not there. The file must not be a symlink.
    pub fn unset_file_config(&self, file: &Path, key: &str) -> Result<bool, GitFailed> {
        let args = ["config", "--file"].into_iter().map(OsStr::new).chain([file.as_os_str()]);
        was_set(self.run(args.chain(["--unset-all", "--", key].map(OsStr::new))))
    }

    /// Adds a value to a key that may have several.
    pub fn add_config(&self, scope: Scope, key: &str, value: &str) -> Result<(), GitFailed> {
        let args = ["config"].into_iter().chain(scope.flag()).chain(["--add", "--", key, value]);
        self.run(args).map(drop)
    }

    /// Removes a key from a scope; `false` if it was not there.
    pub fn unset_config(&self, scope: Scope, key: &str) -> Result<bool, GitFailed> {
        was_set(self.run(["config"].into_iter().chain(scope.flag()).chain(["--unset-all", "--", key])))
    }
}

/// Whether a key was there to be removed.
fn was_set(unset: Result<Vec<u8>, GitFailed>) -> Result<bool, GitFailed> {
    /// What `git config` exits with for a key that is not set.
    const NOT_SET: i32 = 5;
    match unset {
        Ok(_) => Ok(true),
        Err(GitFailed::Exit { status, .. }) if status.code() == Some(NOT_SET) => Ok(false),
        Err(error) => Err(error),
    }
}

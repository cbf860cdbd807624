//! How git runs while files are put in place beside it: without the filter of git-lfs, or with one that leaves pointers as text.
//!
//! Without the filter git is as fast as git is, and wrong about each LFS file that it has to compare by content: so that is done
//! only where it compares none, because all of them are as the index says, and where no hook could add a file meanwhile.

use gix::bstr::ByteSlice;

use crate::git::command::{Git, GitFailed};
use crate::git::hooks::{HookError, Hooks};
use crate::git::index::IndexError;
use crate::git::objects::ObjectsError;
use crate::git::repo::Repo;

/// What git is told where no filter is to run.
const OFF: [&str; 8] = [
    "-c",
    "filter.lfs.process=",
    "-c",
    "filter.lfs.smudge=",
    "-c",
    "filter.lfs.clean=",
    "-c",
    "filter.lfs.required=false",
];

/// What git-lfs is told where its filter runs and is to fetch nothing.
pub const SKIP_SMUDGE: &str = "GIT_LFS_SKIP_SMUDGE";

/// Hooks that may run while git switches, merges or rebases.
const HOOKS: [&str; 12] = [
    "applypatch-msg",
    "commit-msg",
    "post-checkout",
    "post-commit",
    "post-merge",
    "post-rewrite",
    "pre-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "pre-rebase",
    "prepare-commit-msg",
    "reference-transaction",
];

/// How little of `--autostash` git takes for it.
const AUTOSTASH: &str = "--au";

/// Why it is not known how git may run.
#[derive(Debug, thiserror::Error)]
pub enum FiltersError {
    /// Git fails.
    #[error(transparent)]
    Git(#[from] GitFailed),
    /// Hooks cannot be read.
    #[error(transparent)]
    Hooks(#[from] HookError),
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Objects cannot be read.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
}

/// How the filter of git-lfs runs meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filters {
    /// Not at all.
    Off,
    /// It leaves pointers as they are.
    Skip,
    /// As ever: git-lfs fetches what is to be put in place.
    On,
}

impl Filters {
    /// How git may run in this work tree, whose files it may have to compare.
    pub fn of(repo: &Repo) -> Result<Filters, FiltersError> {
        // What git is told here it tells git in submodules, whose files nobody would put in place.
        // And only git-lfs knows what other programs make of its files.
        if repo.config().is_true("submodule.recurse") || repo.has_lfs_extensions() {
            return Ok(Filters::On);
        }
        if Hooks::of(repo)?.any_foreign(&HOOKS)? {
            return Ok(Filters::Skip);
        }
        // What was only touched is looked into here, by git and its filter; what differs stays different.
        repo.git().output(["update-index", "-q", "--refresh"])?;
        let objects = repo.objects()?;
        for file in repo.tracked()?.iter().filter(|file| file.racy) {
            if objects.pointer(file.blob)?.is_some() {
                return Ok(Filters::Skip);
            }
        }
        let top = repo.work_tree().unwrap_or(repo.git_dir());
        let changed = repo.git().clone().moved_to(top).run(["diff-files", "-z", "--name-only"])?;
        let changed = changed.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        let changed = repo.lfs_paths(changed.map(Into::into))?;
        Ok(if changed.is_empty() { Filters::Off } else { Filters::Skip })
    }

    /// How a pull may run. Edits that git puts aside and brings back come back as pointers where the filter leaves these.
    /// `told` is what the command line says of that.
    pub fn of_pull(repo: &Repo, told: Option<bool>) -> Result<Filters, FiltersError> {
        let config = repo.config();
        let set = || {
            ["rebase.autostash", "merge.autostash"].iter().any(|key| config.is_true(key))
                || config.get_within("branch", "mergeoptions").any(|options| options.contains_str(AUTOSTASH))
        };
        let puts_aside = told.unwrap_or_else(set);
        let edited = || repo.git().run(["status", "--porcelain", "--untracked-files=no"]);
        if puts_aside && !edited()?.is_empty() { Ok(Filters::On) } else { Filters::of(repo) }
    }

    /// Git as it is to run: what it is to be run with and the words that come before the command.
    pub fn apply(self, git: Git) -> (Git, &'static [&'static str]) {
        match self {
            Filters::Off => (git, &OFF),
            Filters::Skip => (git.with_env(SKIP_SMUDGE, Some("1")), &[]),
            Filters::On => (git, &[]),
        }
    }
}

//! The pre-push hook: ours, git-lfs's, and one that somebody else put there.
//!
//! Ours is a shim that calls `git datamon hook pre-push`, which does its own step and then what git-lfs's hook does: so it
//! takes the place of git-lfs's. A foreign hook is kept beside it under another name and run first. No promise depends on
//! the hook (a fresh clone has none before its first transfer, ADR 14): a push without it is slower, not less safe.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::git::command::GitFailed;
use crate::git::config::Scope;
use crate::git::repo::{Repo, path_of};

/// The text of our hook.
const PRE_PUSH: &str = include_str!("../../git-hooks/pre-push");

/// How every version of our hook begins.
const OURS: &str = "#!/bin/sh\n# git-datamon:";

/// What a foreign hook may call to run our step itself.
const OUR_STEP: &str = "datamon hook pre-push";

const NAME: &str = "pre-push";

/// The name under which a foreign hook is kept: that of the hook itself with this behind it (the shim knows it too).
const KEPT: &str = "pre-push.before-datamon";

/// A hook that cannot be put in its place.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Git does not say where hooks live.
    #[error(transparent)]
    Git(#[from] GitFailed),
    /// A file cannot be read, written or renamed.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Two foreign hooks, and one place to keep them.
    #[error(
        "{hook} is not ours, and {kept} already keeps an earlier hook: merge the two into {hook}, delete {kept}, and \
         repeat the command"
    )]
    TwoForeign {
        /// The hook.
        hook: PathBuf,
        /// The hook that was kept before.
        kept: PathBuf,
    },
}

/// What [`Hooks::install`] found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    /// Our hook was there already, or a foreign one that calls our step.
    Present,
    /// Our hook is in its place now.
    Installed,
    /// Our hook is in its place now; the foreign one is kept here and runs first.
    Chained(PathBuf),
    /// `core.hooksPath` of the user or the machine sends every repository to this directory: it is not ours to change.
    Shared(PathBuf),
}

/// The hooks of one repository.
#[derive(Debug, Clone)]
pub struct Hooks {
    dir: PathBuf,
    shared: bool,
    repo: Repo,
}

impl Hooks {
    /// Where git looks for the hooks of this repository.
    pub fn of(repo: &Repo) -> Result<Hooks, HookError> {
        let path = repo.git().run(["rev-parse", "--git-path", "hooks"])?;
        let dir = repo.git().dir().join(path_of(path.strip_suffix(b"\n").unwrap_or(&path)));
        let config = repo.config();
        let own = [Scope::Local, Scope::Worktree]
            .iter()
            .any(|scope| config.get_in(*scope, "core.hookspath").is_some());
        let shared = !own && config.get("core.hookspath").is_some();
        Ok(Hooks { dir, shared, repo: repo.clone() })
    }

    /// The directory of the hooks.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a push runs our step.
    pub fn installed(&self) -> Result<bool, HookError> {
        Ok(self.text(NAME)?.is_some_and(|text| text.contains(OUR_STEP)))
    }

    /// The foreign hook that our step has to run first.
    pub fn chained(&self) -> Option<PathBuf> {
        Some(self.dir.join(KEPT)).filter(|path| is_executable(path))
    }

    /// Whether git would run one of these hooks, and it is neither ours nor that of git-lfs.
    pub fn any_foreign(&self, names: &[&str]) -> Result<bool, HookError> {
        for name in names.iter().filter(|name| is_executable(&self.dir.join(name))) {
            let text = self.text(name)?.unwrap_or_default();
            let call = format!("{name} \"$@\"");
            if !text.starts_with(OURS) && !is_git_lfs(&text, &[&call]) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts our hook in its place and keeps a foreign one. Doing it again changes nothing.
    pub fn install(&self) -> Result<Install, HookError> {
        let (hook, kept) = (self.dir.join(NAME), self.dir.join(KEPT));
        let there = self.text(NAME)?;
        match there.as_deref() {
            Some(PRE_PUSH) if is_executable(&hook) => return Ok(Install::Present),
            Some(text) if text.contains(OUR_STEP) && !text.starts_with(OURS) => return Ok(Install::Present),
            _ if self.shared => return Ok(Install::Shared(self.dir.clone())),
            _ => {}
        }
        let foreign =
            there.is_some_and(|text| !text.starts_with(OURS) && !is_git_lfs(&text, &PRE_PUSH_CALLS));
        if foreign {
            if kept.symlink_metadata().is_ok() {
                return Err(HookError::TwoForeign { hook, kept });
            }
            std::fs::rename(&hook, &kept).map_err(|source| file("rename", &hook, source))?;
        }
        self.write(&hook).map_err(|source| file("write", &hook, source))?;
        Ok(if foreign { Install::Chained(kept) } else { Install::Installed })
    }

    /// Puts our hook where that of git-lfs is or would be, as git-lfs does in a clone; whatever else is there, or where the user says
    /// that hooks lie elsewhere, nothing changes.
    pub fn take_over(&self) -> Result<(), HookError> {
        let elsewhere = self.repo.config().get("core.hookspath").is_some();
        let theirs = |text: String| is_git_lfs(&text, &PRE_PUSH_CALLS);
        if !elsewhere && self.text(NAME)?.is_none_or(theirs) {
            self.install()?;
        }
        Ok(())
    }

    /// Takes our hook away and puts back what was there: the foreign hook, else that of git-lfs. `false` if ours was not
    /// there.
    pub fn uninstall(&self) -> Result<bool, HookError> {
        if !self.text(NAME)?.is_some_and(|text| text.starts_with(OURS)) {
            return Ok(false);
        }
        let (hook, kept) = (self.dir.join(NAME), self.dir.join(KEPT));
        if kept.symlink_metadata().is_ok() {
            std::fs::rename(&kept, &hook).map_err(|source| file("rename", &kept, source))?;
        } else {
            std::fs::remove_file(&hook).map_err(|source| file("remove", &hook, source))?;
            self.repo.git().run(["lfs", "update"])?;
        }
        Ok(true)
    }

    fn text(&self, name: &str) -> Result<Option<String>, HookError> {
        let path = self.dir.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file("read", &path, source)),
        }
    }

    /// Writes beside and renames: a push in this moment sees one hook or the other, and a symlink is not written through.
    fn write(&self, hook: &Path) -> io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let mut file = builder.tempfile_in(&self.dir)?;
        file.write_all(PRE_PUSH.as_bytes())?;
        file.persist(hook)?;
        Ok(())
    }
}

fn file(doing: &'static str, path: &Path, source: io::Error) -> HookError {
    HookError::File { doing, path: path.to_owned(), source }
}

/// How git-lfs is called by the hooks that its versions wrote.
const PRE_PUSH_CALLS: [&str; 3] = ["pre-push \"$@\"", "push --stdin $*", "push --stdin \"$@\""];

/// Whether this is a hook that some version of git-lfs wrote: nothing but its guard and its call.
fn is_git_lfs(text: &str, calls: &[&str]) -> bool {
    let is_call = |line: &str| {
        let line =
            line.strip_prefix("git-lfs ").or_else(|| line.strip_prefix("git lfs ")).unwrap_or_default();
        calls.contains(&line)
    };
    let is_guard = |line: &str| {
        line.starts_with("command -v git-lfs >/dev/null 2>&1 || {") && line.ends_with("exit 2; }")
    };
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    let guard = lines.next_if(|line| is_guard(line)).is_some();
    match lines.next() {
        Some(call) => is_call(call) && lines.next().is_none(),
        None => !guard,
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::git::scratch::Scratch;

    const FOREIGN: &str = "#!/bin/sh\ncat >\"$GIT_DIR/seen\"\necho foreign \"$@\"\n";

    fn put(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn hook(hooks: &Hooks) -> String {
        std::fs::read_to_string(hooks.dir().join(NAME)).unwrap()
    }

    #[test]
    fn ours_takes_the_place_of_that_of_git_lfs_and_gives_it_back() {
        let scratch = Scratch::new();
        scratch.git.run(["lfs", "install", "--local"]).expect("this test needs git-lfs on PATH");
        let hooks = Hooks::of(&scratch.repo()).unwrap();
        let theirs = hook(&hooks);
        assert!(is_git_lfs(&theirs, &PRE_PUSH_CALLS), "{theirs}");
        assert_eq!(hooks.install().unwrap(), Install::Installed);
        assert_eq!(hook(&hooks), PRE_PUSH);
        assert!(is_executable(&hooks.dir().join(NAME)));
        assert_eq!(hooks.install().unwrap(), Install::Present);
        assert!(hooks.installed().unwrap());
        assert_eq!(hooks.chained(), None);
        assert!(hooks.uninstall().unwrap());
        assert_eq!(hook(&hooks), theirs);
        assert!(!hooks.uninstall().unwrap());
    }

    #[test]
    fn a_foreign_hook_is_kept_and_comes_back() {
        let scratch = Scratch::new();
        let hooks = Hooks::of(&scratch.repo()).unwrap();
        put(&hooks.dir().join(NAME), FOREIGN);
        let kept = hooks.dir().join(KEPT);
        assert_eq!(hooks.install().unwrap(), Install::Chained(kept.clone()));
        assert_eq!(hooks.chained(), Some(kept));
        assert_eq!(hooks.install().unwrap(), Install::Present);

        put(&hooks.dir().join(NAME), "#!/bin/sh\necho another\n");
        let error = hooks.install().unwrap_err().to_string();
        assert!(error.contains("merge the two"), "{error}");

        put(&hooks.dir().join(NAME), PRE_PUSH);
        assert!(hooks.uninstall().unwrap());
        assert_eq!(hook(&hooks), FOREIGN);
        assert_eq!(hooks.chained(), None);
    }

    #[test]
    fn a_hook_that_calls_our_step_is_left_alone() {
        let scratch = Scratch::new();
        let hooks = Hooks::of(&scratch.repo()).unwrap();
        let text = "#!/bin/sh\nmake lint && git datamon hook pre-push \"$@\"\n";
        put(&hooks.dir().join(NAME), text);
        assert_eq!(hooks.install().unwrap(), Install::Present);
        assert_eq!(hook(&hooks), text);
    }

    #[test]
    fn an_older_hook_of_ours_is_renewed() {
        let scratch = Scratch::new();
        let hooks = Hooks::of(&scratch.repo()).unwrap();
        put(&hooks.dir().join(NAME), &format!("{OURS} older\nexec git-datamon hook pre-push \"$@\"\n"));
        assert_eq!(hooks.install().unwrap(), Install::Installed);
        assert_eq!(hook(&hooks), PRE_PUSH);
    }

    #[test]
    fn hooks_live_where_the_repository_says_but_not_where_all_repositories_share_them() {
        let scratch = Scratch::new();
        let linked = scratch.beside("linked");
        scratch.commit(&[("a", b"1")]);
        scratch.git.run(["worktree", "add", "-q", linked.to_str().unwrap()]).unwrap();
        let repo = Repo::found_by(scratch.git_at(&linked)).unwrap();
        let dir = Hooks::of(&repo).unwrap().dir().canonicalize().unwrap();
        assert_eq!(dir, scratch.path().join(".git/hooks").canonicalize().unwrap());

        let everywhere = scratch.beside("hooks");
        scratch.git.set_config(Scope::Global, "core.hooksPath", everywhere.to_str().unwrap()).unwrap();
        let hooks = Hooks::of(&scratch.repo()).unwrap();
        assert_eq!(hooks.install().unwrap(), Install::Shared(everywhere.clone()));
        assert!(!everywhere.exists());

        scratch.git.set_config(Scope::Local, "core.hooksPath", ".husky").unwrap();
        let hooks = Hooks::of(&scratch.repo()).unwrap();
        assert_eq!(hooks.install().unwrap(), Install::Installed);
        assert!(scratch.path().join(".husky/pre-push").exists());
    }

    /// Without git-datamon on PATH the shim still runs the kept hook and git-lfs, both with all of stdin.
    #[test]
    fn the_shim_alone_runs_what_was_there_before() {
        let scratch = Scratch::new();
        let hooks = Hooks::of(&scratch.repo()).unwrap();
        put(&hooks.dir().join(NAME), FOREIGN);
        hooks.install().unwrap();
        let bin = scratch.beside("bin");
        std::fs::create_dir(&bin).unwrap();
        put(&bin.join("git"), "#!/bin/sh\n{ echo \"$@\"; cat; } >\"$GIT_DIR/lfs-seen\"\n");
        std::os::unix::fs::symlink("/bin/cat", bin.join("cat")).unwrap();
        let git_dir = scratch.path().join(".git");
        let git = scratch.git.clone().with_env("PATH", Some(&bin)).with_env("GIT_DIR", Some(&git_dir));
        let refs = b"refs/heads/main 1 refs/heads/main 0\nrefs/heads/x 2 refs/heads/x 0\n";
        let status = git.script(&hooks.dir().join(NAME), ["origin", "url"], refs).unwrap();
        assert!(status.success());
        assert_eq!(std::fs::read(git_dir.join("seen")).unwrap(), refs);
        let seen = std::fs::read_to_string(git_dir.join("lfs-seen")).unwrap();
        assert_eq!(seen, format!("lfs pre-push origin url\n{}", std::str::from_utf8(refs).unwrap()));

        put(&hooks.dir().join(KEPT), "#!/bin/sh\nexit 3\n");
        let status = git.script(&hooks.dir().join(NAME), ["origin", "url"], refs).unwrap();
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn only_what_git_lfs_wrote_is_taken_for_git_lfs() {
        assert!(is_git_lfs("#!/bin/sh\ngit lfs pre-push \"$@\"\n", &PRE_PUSH_CALLS));
        assert!(is_git_lfs("#!/bin/sh\ngit lfs push --stdin $*", &PRE_PUSH_CALLS));
        assert!(is_git_lfs("#!/bin/sh\n", &PRE_PUSH_CALLS));
        assert!(!is_git_lfs("#!/bin/sh\nmake lint\ngit lfs pre-push \"$@\"\n", &PRE_PUSH_CALLS));
        assert!(!is_git_lfs("#!/bin/sh\ngit lfs pre-push \"$@\"\nmake deploy\n", &PRE_PUSH_CALLS));
        assert!(!is_git_lfs(
            "#!/bin/sh\ncommand -v git-lfs >/dev/null 2>&1 || { exit 2; }\n",
            &PRE_PUSH_CALLS
        ));
    }
}

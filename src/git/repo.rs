//! Where a repository is, and where git-lfs keeps its objects.
//!
//! Git itself is asked, once: `GIT_DIR`, `GIT_WORK_TREE`, `GIT_COMMON_DIR`, linked worktrees, submodules, bare
//! repositories, ceilings and `safe.directory` then mean exactly what they mean to git, for two milliseconds.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::git::command::{Git, GitFailed};
use crate::git::config::{Config, ConfigError};
use crate::git::objects::{Objects, ObjectsError};
use crate::git::sharing::Sharing;
use crate::id::Oid;

/// How its objects are named, where that is not by SHA-1.
const OBJECT_FORMAT: &str = "extensions.objectformat";

/// Why there is no repository to work with.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// Git finds none from here, or refuses it.
    #[error("no usable git repository at {path}: {}", .source.said())]
    NotFound {
        /// Where the search began.
        path: PathBuf,
        /// What git said.
        source: GitFailed,
    },
    /// Git answered something that is not a list of paths, as it would for a path with a line break in it.
    #[error("git describes the repository at {path} in a way this version does not understand: {answer:?}")]
    Unclear {
        /// Where the search began.
        path: PathBuf,
        /// What git said.
        answer: String,
    },
    /// Its objects have names that this version cannot read.
    #[error("the repository at {path} names its objects by {format}: git-datamon knows SHA-1 only")]
    ObjectFormat {
        /// Its git directory.
        path: PathBuf,
        /// As git calls it.
        format: String,
    },
    /// A directory of the repository cannot be reached.
    #[error("cannot reach {path}, a directory of the repository: {source}")]
    Unreachable {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The git directory here or above that this user may not look into, and why: git says that there is none.
fn hidden(git: &Git) -> Option<(PathBuf, io::Error)> {
    if git.sees("GIT_DIR") {
        return None;
    }
    let mut found = git.dir().ancestors().map(|folder| folder.join(".git"));
    let found = found.find(|path| path.symlink_metadata().is_ok())?;
    let why =
        found.join("HEAD").metadata().err().filter(|it| it.kind() == io::ErrorKind::PermissionDenied)?;
    Some((found, why))
}

/// One git repository: its directories and its configuration as they were when it was found.
#[derive(Debug, Clone)]
pub struct Repo {
    git: Git,
    git_dir: PathBuf,
    common_dir: PathBuf,
    work_tree: Option<PathBuf>,
    config: Config,
}

impl Repo {
    /// The repository that git would use in the directory `cwd`.
    pub fn discover(cwd: &Path) -> Result<Repo, RepoError> {
        Repo::found_by(Git::at(cwd))
    }

    /// The repository that this git uses.
    pub fn found_by(git: Git) -> Result<Repo, RepoError> {
        let not_found = |source| match hidden(&git) {
            Some((path, source)) => RepoError::Unreachable { path, source },
            None => RepoError::NotFound { path: git.dir().to_owned(), source },
        };
        // The last question has no answer where there is no work tree, and git fails behind the others.
        let asked = ["--is-inside-work-tree", "--absolute-git-dir", "--git-common-dir", "--show-toplevel"];
        let asked = ["rev-parse"].iter().chain(&asked);
        let said = git.output(asked.clone()).map_err(not_found)?;
        let answer = &said.stdout;
        let mut lines = answer.strip_suffix(b"\n").unwrap_or(answer).splitn(4, |byte| *byte == b'\n');
        let (inside, git_dir, common_dir) = (lines.next(), lines.next(), lines.next());
        let is_inside = inside != Some(b"false");
        // Outside of a work tree there may be one all the same, if the environment or the configuration names it.
        if is_inside && !said.status.success() {
            git.run(asked).map_err(not_found)?;
        }
        let work_tree = lines.next().map(path_of);
        let (Some(git_dir), Some(common_dir)) = (git_dir, common_dir) else {
            let answer = String::from_utf8_lossy(answer).chars().take(200).collect();
            return Err(RepoError::Unclear { path: git.dir().to_owned(), answer });
        };
        let git_dir = path_of(git_dir);
        // Git gives the common directory relative to where it ran.
        let common_dir = git.dir().join(path_of(common_dir));
        let common_dir = common_dir
            .canonicalize()
            .map_err(|source| RepoError::Unreachable { path: common_dir.clone(), source })?;
        let config = Config::read(&git)?;
        if let Some(format) = config.get(OBJECT_FORMAT).filter(|it| !it.eq_ignore_ascii_case(b"sha1")) {
            let format = String::from_utf8_lossy(format).into_owned();
            return Err(RepoError::ObjectFormat { path: git_dir, format });
        }
        // So that it is found from the top of the work tree too.
        let git = match &work_tree {
            // A hook of the user runs at the top, and is left what git gave it.
            Some(top) if !is_inside || (git.sees("GIT_DIR") && git.dir() != top) => {
                git.with_env("GIT_DIR", Some(&git_dir)).with_env("GIT_WORK_TREE", Some(top))
            }
            _ => git,
        };
        Ok(Repo { git, git_dir, common_dir, work_tree, config })
    }

    /// Git, run where and as this repository was found.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// The directory of this work tree's HEAD and index, absolute.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The directory of what all work trees share: objects, branches, configuration. Absolute, without symlinks.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// The top of the work tree, which the directory this was found from may lie outside of; `None` in a bare repository and
    /// inside a git directory.
    pub fn work_tree(&self) -> Option<&Path> {
        self.work_tree.as_deref()
    }

    /// The configuration as it was when the repository was found.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where git-lfs keeps what it keeps: `lfs` in the common directory, unless `lfs.storage` moves it.
    pub fn lfs_dir(&self) -> PathBuf {
        let moved = self.config.get("lfs.storage").filter(|value| !value.is_empty());
        self.common_dir.join(moved.map_or_else(|| PathBuf::from("lfs"), path_of))
    }

    /// Where git-lfs keeps, or would keep, this object.
    pub fn lfs_object_path(&self, oid: &Oid) -> PathBuf {
        let hex = oid.to_string();
        self.lfs_dir().join("objects").join(&hex[..2]).join(&hex[2..4]).join(&hex)
    }

    /// Who may use new files of the repository.
    pub fn sharing(&self) -> Sharing {
        let entry = self.config.entry("core.sharedrepository");
        let value = entry.map(|entry| entry.value.as_ref().map(|value| value.to_string()));
        // An unknown value makes git itself stop: it never gets here.
        value.and_then(|value| Sharing::from_config(value.as_deref())).unwrap_or(Sharing::Umask)
    }

    /// The commits, trees and blobs.
    pub fn objects(&self) -> Result<Objects, ObjectsError> {
        Objects::open(self)
    }
}

/// The path in bytes that git printed or a configuration holds.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    let text = {
        use std::os::unix::ffi::OsStringExt;
        OsString::from_vec(bytes.to_vec())
    };
    #[cfg(not(unix))]
    let text = OsString::from(String::from_utf8_lossy(bytes).into_owned());
    PathBuf::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::{Scratch, said};

    /// The directories as git prints them, `--git-dir` first.
    fn oracle(git: &Git) -> (PathBuf, PathBuf) {
        let say = |what| git.dir().join(said(git, &["rev-parse", what])).canonicalize().unwrap();
        (say("--git-dir"), say("--git-common-dir"))
    }

    fn check(git: Git, work_tree: Option<&Path>) -> Repo {
        let (git_dir, common_dir) = oracle(&git);
        let repo = Repo::found_by(git).unwrap();
        assert_eq!(repo.git_dir().canonicalize().unwrap(), git_dir);
        assert_eq!(repo.common_dir(), common_dir);
        assert_eq!(
            repo.work_tree().map(|top| top.canonicalize().unwrap()),
            work_tree.map(|top| top.canonicalize().unwrap())
        );
        repo.objects().unwrap().resolve("HEAD").expect("the objects are found too");
        repo
    }

    #[test]
    fn a_repository_is_where_git_says() {
        let scratch = Scratch::new();
        scratch.commit(&[("sub/dir/file", b"x")]);
        let top = scratch.path();
        check(scratch.git.clone(), Some(top));
        check(scratch.git_at(&top.join("sub/dir")), Some(top));
        check(scratch.git_at(&top.join(".git")), None);

        let linked = scratch.beside("linked");
        scratch.git.run(["worktree", "add", "-q", linked.to_str().unwrap()]).unwrap();
        let repo = check(scratch.git_at(&linked), Some(&linked));
        assert_eq!(
            repo.lfs_dir(),
            top.join(".git/lfs").parent().unwrap().canonicalize().unwrap().join("lfs")
        );

        let bare = scratch.beside("bare.git");
        scratch.git.run(["clone", "-q", "--bare", ".", bare.to_str().unwrap()]).unwrap();
        let repo = check(scratch.git_at(&bare), None);
        assert_eq!(repo.lfs_dir(), bare.canonicalize().unwrap().join("lfs"));
    }

    #[test]
    fn a_submodule_is_a_repository_of_its_own() {
        let (scratch, inner) = (Scratch::new(), Scratch::new());
        inner.commit(&[("file", b"x")]);
        let allow = "protocol.file.allow=always";
        let from = inner.path().to_str().unwrap();
        scratch.git.run(["-c", allow, "submodule", "--quiet", "add", "--", from, "sub"]).unwrap();
        let sub = scratch.path().join("sub");
        let repo = check(scratch.git_at(&sub), Some(&sub));
        assert!(repo.common_dir().ends_with(".git/modules/sub"), "{:?}", repo.common_dir());
    }

    #[test]
    fn the_environment_decides_as_for_git() {
        let scratch = Scratch::new();
        scratch.commit(&[("file", b"x")]);
        let elsewhere = scratch.beside("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        let git = scratch.git_at(&elsewhere).with_env("GIT_DIR", Some("../repo/.git"));
        check(git.clone(), Some(&elsewhere));
        let outside = check(git.with_env("GIT_WORK_TREE", Some(scratch.path())), Some(scratch.path()));
        let moved = outside.git().clone().moved_to(scratch.path().parent().unwrap());
        assert_eq!(said(&moved, &["ls-files"]), "file", "also from elsewhere");
        let inside = scratch.git.clone().with_env("GIT_DIR", Some(".git"));
        check(inside.with_env("GIT_WORK_TREE", Some(scratch.path())), Some(scratch.path()));
    }

    #[test]
    fn a_repository_of_sha_256_is_refused_by_name() {
        let scratch = Scratch::new();
        let other = scratch.beside("other");
        scratch.git.run(["init", "-q", "--object-format=sha256", other.to_str().unwrap()]).unwrap();
        let error = Repo::found_by(scratch.git_at(&other)).unwrap_err();
        assert!(matches!(&error, RepoError::ObjectFormat { format, .. } if format == "sha256"), "{error}");
    }

    #[test]
    fn where_there_is_none_the_error_says_where_and_why() {
        let scratch = Scratch::new();
        let git = scratch.git_at(scratch.path().parent().unwrap());
        let error =
            Repo::found_by(git.with_env("GIT_CEILING_DIRECTORIES", Some("/"))).unwrap_err().to_string();
        assert!(error.contains("not a git repository"), "{error}");
    }

    #[test]
    fn lfs_storage_is_relative_to_the_common_directory() {
        let scratch = Scratch::new();
        scratch.git.run(["config", "lfs.storage", "../big"]).unwrap();
        let oid = Oid::from_bytes([0xcd; 32]);
        let repo = scratch.repo();
        let expected = repo.common_dir().join("../big/objects/cd/cd").join(oid.to_string());
        assert_eq!(repo.lfs_object_path(&oid), expected);
        // git-lfs agrees.
        let env = said(&scratch.git, &["lfs", "env"]);
        let theirs = env.lines().find_map(|line| line.strip_prefix("LocalMediaDir=")).unwrap();
        assert_eq!(Path::new(theirs), scratch.path().canonicalize().unwrap().join("big/objects"));
        scratch.git.run(["config", "lfs.storage", "/var/big"]).unwrap();
        assert_eq!(scratch.repo().lfs_dir(), Path::new("/var/big"));
    }

    #[test]
    fn sharing_is_read_from_the_configuration() {
        let scratch = Scratch::new();
        assert_eq!(scratch.repo().sharing(), Sharing::Umask);
        scratch.git.run(["config", "core.sharedRepository", "group"]).unwrap();
        assert_eq!(scratch.repo().sharing(), Sharing::Group);
    }
}

//! A repository for one test: real git, and nothing of the machine's own configuration.

use std::path::{Path, PathBuf};

use crate::git::{Git, Objects, Repo};

/// A fresh repository in a directory of its own, deleted with this value.
pub struct Scratch {
    root: tempfile::TempDir,
    /// Git in the repository.
    pub git: Git,
}

impl Scratch {
    /// An empty repository with one work tree, on branch `main`.
    pub fn new() -> Scratch {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let path = root.path().join("repo");
        std::fs::create_dir(&path).expect("a directory can be made");
        let git = hermetic(&path, root.path());
        git.run(["init", "-q", "-b", "main"]).expect("these tests need git on PATH");
        Scratch { git, root }
    }

    /// The top of the work tree.
    pub fn path(&self) -> &Path {
        self.git.dir()
    }

    /// A path beside the repository.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Git in another directory, in the same environment.
    pub fn git_at(&self, dir: &Path) -> Git {
        hermetic(dir, self.root.path())
    }

    /// What git says, as trimmed text.
    pub fn says(&self, args: &[&str]) -> String {
        said(&self.git, args)
    }

    /// Writes files and commits everything.
    pub fn commit(&self, files: &[(&str, &[u8])]) -> String {
        for (name, bytes) in files {
            let path = self.path().join(name);
            std::fs::create_dir_all(path.parent().expect("below the work tree"))
                .expect("can make directories");
            std::fs::write(path, bytes).expect("can write");
        }
        self.git.run(["add", "-A"]).expect("git add works");
        self.git.run(["commit", "-q", "--allow-empty", "-m", "commit"]).expect("git commit works");
        self.says(&["rev-parse", "HEAD"])
    }

    /// The repository as the library sees it.
    pub fn repo(&self) -> Repo {
        Repo::found_by(self.git.clone()).expect("the scratch repository is found")
    }

    /// Its objects.
    pub fn objects(&self) -> Objects {
        self.repo().objects().expect("the objects open")
    }
}

/// What git says, as trimmed text.
pub fn said(git: &Git, args: &[&str]) -> String {
    String::from_utf8(git.run(args).expect("git works")).expect("text").trim_end().to_owned()
}

fn hermetic(dir: &Path, home: &Path) -> Git {
    let mut git = Git::at(dir)
        .with_env("HOME", Some(home))
        .with_env("XDG_CONFIG_HOME", Some(home.join("xdg")))
        .with_env("GIT_CONFIG_NOSYSTEM", Some("1"))
        .with_env("GIT_CONFIG_GLOBAL", Some(home.join("gitconfig")));
    for person in ["AUTHOR", "COMMITTER"] {
        git = git
            .with_env(format!("GIT_{person}_NAME"), Some("Test"))
            .with_env(format!("GIT_{person}_EMAIL"), Some("test@example.org"))
            .with_env(format!("GIT_{person}_DATE"), Some("1700000000 +0000"));
    }
    for inherited in ["GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS"]
    {
        git = git.with_env(inherited, None::<&str>);
    }
    git
}

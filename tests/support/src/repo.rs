//! A repository to try things in, driven by the real `git`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::environment::Hermetic;
use crate::process::{Output, run, run_failing};

/// A repository in a [`Hermetic`] environment. Every method panics where git does not do as asked.
#[derive(Debug, Clone)]
pub struct TestRepo {
    env: Hermetic,
    dir: PathBuf,
}

impl Hermetic {
    /// A new repository with a work tree, `name` below [`Hermetic::work`].
    #[track_caller]
    pub fn init(&self, name: &str) -> TestRepo {
        run(self.command("git").args(["init", "--quiet", "--", name]));
        self.repo(name)
    }

    /// A new bare repository, to push to.
    #[track_caller]
    pub fn init_bare(&self, name: &str) -> TestRepo {
        run(self.command("git").args(["init", "--quiet", "--bare", "--", name]));
        self.repo(name)
    }

    /// A clone of a path or URL, with its files checked out.
    #[track_caller]
    pub fn clone_from(&self, source: impl AsRef<OsStr>, name: &str) -> TestRepo {
        run(self.command("git").args(["clone", "--quiet", "--"]).arg(source).arg(name));
        self.repo(name)
    }

    /// The repository that is already at `name`: to come back to one with another search path, or after making it by hand.
    pub fn repo(&self, name: &str) -> TestRepo {
        TestRepo { env: self.clone(), dir: self.work().join(name) }
    }
}

impl TestRepo {
    /// The environment it lives in.
    pub fn env(&self) -> &Hermetic {
        &self.env
    }

    /// The top of the work tree, or the bare repository itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs git here; it has to succeed.
    #[track_caller]
    pub fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        run(self.env.command("git").current_dir(&self.dir).args(args))
    }

    /// Runs git here; it has to fail.
    #[track_caller]
    pub fn git_fails<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        run_failing(self.env.command("git").current_dir(&self.dir).args(args))
    }

    /// Writes a file of the work tree, and the directories it needs.
    #[track_caller]
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.dir.join(path);
        let dir = path.parent().expect("a file lies in a directory");
        let written = fs::create_dir_all(dir).and_then(|()| fs::write(&path, bytes));
        written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }

    /// Reads a file of the work tree.
    #[track_caller]
    pub fn read(&self, path: &str) -> Vec<u8> {
        let path = self.dir.join(path);
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Gives files of this pattern to git-lfs and stages `.gitattributes`.
    #[track_caller]
    pub fn track(&self, pattern: &str) {
        self.git(["lfs", "track", pattern]);
        self.add(".gitattributes");
    }

    /// Stages a path; `.` is all.
    #[track_caller]
    pub fn add(&self, path: &str) {
        self.git(["add", "--", path]);
    }

    /// Commits what is staged, a minute after the last commit of the environment; returns the commit's id.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.git(["commit", "--quiet", "--message", message]);
        self.env.tick();
        self.head()
    }

    /// The id of the commit at `HEAD`.
    #[track_caller]
    pub fn head(&self) -> String {
        self.git(["rev-parse", "--verify", "HEAD"]).text().to_owned()
    }

    /// Names another repository, by path or URL.
    #[track_caller]
    pub fn add_remote(&self, name: &str, target: impl AsRef<OsStr>) {
        self.git([OsStr::new("remote"), OsStr::new("add"), OsStr::new(name), target.as_ref()]);
    }

    /// Pushes to a remote; git-lfs's hook runs where it is installed.
    #[track_caller]
    pub fn push(&self, remote: &str, refspec: &str) -> Output {
        self.git(["push", "--quiet", remote, refspec])
    }

    /// A clone of this repository.
    #[track_caller]
    pub fn clone_to(&self, name: &str) -> TestRepo {
        self.env.clone_from(&self.dir, name)
    }

    /// The oids of the objects git-lfs holds here; the repository has the usual `.git` directory, or is bare.
    #[track_caller]
    pub fn lfs_objects(&self) -> BTreeSet<String> {
        let git_dir = self.git(["rev-parse", "--absolute-git-dir"]);
        let mut oids = BTreeSet::new();
        let mut dirs = vec![Path::new(git_dir.text()).join("lfs/objects")];
        while let Some(dir) = dirs.pop() {
            // A repository without objects need not have the directory.
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            for entry in entries.map(|entry| entry.expect("a directory that can be listed")) {
                if entry.file_type().expect("a directory entry has a type").is_dir() {
                    dirs.push(entry.path());
                } else {
                    oids.insert(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        oids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::seeded_bytes;
    use crate::git_lfs::second_git_lfs;

    #[test]
    fn the_same_steps_make_the_same_commits() {
        let ids = || {
            let repo = Hermetic::new().init("r");
            repo.write("dir/file", seeded_bytes(1, 100));
            repo.add(".");
            let first = repo.commit("one");
            repo.write("dir/file", "two");
            repo.add("dir/file");
            (first, repo.commit("two"), repo.git(["log", "--format=%at %ct"]).text().to_owned())
        };
        let (first, second, dates) = ids();
        assert_ne!(first, second);
        assert_eq!(dates, "1700000060 1700000060\n1700000000 1700000000");
        assert_eq!(ids(), (first, second, dates));
    }

    #[test]
    fn git_that_fails_fails_the_test_unless_it_had_to() {
        let repo = Hermetic::new().init("r");
        assert_eq!(repo.git_fails(["rev-parse", "--verify", "HEAD"]).code, Some(128));
        assert!(std::panic::catch_unwind(|| repo.head()).is_err());
    }

    #[test]
    fn a_submodule_can_be_cloned_from_a_path() {
        let env = Hermetic::new();
        let inner = env.init("inner");
        inner.write("file", "text");
        inner.add("file");
        inner.commit("inner");
        let outer = env.init("outer");
        outer.git([
            OsStr::new("submodule"),
            "add".as_ref(),
            "--quiet".as_ref(),
            inner.dir().as_ref(),
            "sub".as_ref(),
        ]);
        assert_eq!(outer.read("sub/file"), b"text");
    }

    fn round_trip(env: &Hermetic) {
        env.install_git_lfs();
        let remote = env.init_bare("remote.git");
        let repo = env.init("first");
        let bytes = seeded_bytes(3, 70_000);
        repo.track("*.bin");
        repo.write("data/a.bin", &bytes);
        repo.add(".");
        repo.commit("data");
        let pointer = repo.git(["cat-file", "blob", "HEAD:data/a.bin"]);
        assert!(pointer.text().starts_with("version https://git-lfs"), "{}", pointer.text());
        repo.add_remote("origin", remote.dir());
        repo.push("origin", "main");
        assert_eq!(repo.lfs_objects().len(), 1);
        assert_eq!(remote.lfs_objects(), repo.lfs_objects());
        let clone = remote.clone_to("second");
        assert_eq!(clone.read("data/a.bin"), bytes);
        assert_eq!(clone.head(), repo.head());
    }

    #[test]
    fn git_lfs_goes_there_and_back() {
        round_trip(&Hermetic::new());
    }

    #[test]
    fn the_second_git_lfs_goes_there_and_back() {
        if let Some(second) = second_git_lfs() {
            round_trip(&Hermetic::new().with_git_lfs(second));
        }
    }
}

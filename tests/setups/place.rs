//! A repository in some set-up, and what is done in it: the columns of the table.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use datamon_test_support::{TestRepo, run, seeded_bytes};

use super::ground::{Ground, MAIN, PULLED, SIDE, files};
use crate::transfer::{entries, leftovers, objects, oid};

/// A repository to try an operation in.
pub struct Place {
    pub ground: Ground,
    pub repo: TestRepo,
    /// What is typed for the remote.
    pub remote: String,
    /// The version of the files that were cloned.
    pub cloned: u64,
    /// No work tree: data is looked for among git-lfs's objects.
    pub bare: bool,
    /// Paths that are not checked out begin so.
    pub left_out: Option<&'static str>,
    /// The commands of a clone that come after it was set up, and that of a push.
    pub clone: &'static [&'static str],
    pub push: &'static str,
    /// The pre-push hook leaves a file `.git/seen`.
    pub hook_is_seen: bool,
    /// Commands that have to follow a checkout.
    pub more: &'static [&'static str],
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Clone,
    Push,
    Pull,
    Checkout,
    Archive,
    Prune,
}

impl Operation {
    /// All, in the order of the table.
    pub const ALL: [(Operation, &str); 6] = [
        (Operation::Clone, "clone"),
        (Operation::Push, "push"),
        (Operation::Pull, "pull"),
        (Operation::Checkout, "checkout of a branch"),
        (Operation::Archive, "archive"),
        (Operation::Prune, "prune"),
    ];
}

impl Place {
    /// A repository with a work tree and a remote named `origin`.
    pub fn new(ground: Ground, name: &str) -> Place {
        let repo = ground.env.repo(name);
        Place {
            ground,
            repo,
            remote: "origin".to_owned(),
            cloned: MAIN,
            bare: false,
            left_out: None,
            clone: &[],
            push: "push -q REMOTE HEAD:refs/heads/pushed",
            hook_is_seen: false,
            more: &[],
        }
    }

    /// Where git-lfs keeps its objects.
    pub fn lfs(&self) -> PathBuf {
        let env = self.repo.git(["lfs", "env"]);
        let line =
            env.lines().into_iter().find_map(|line| line.strip_prefix("LocalMediaDir=").map(PathBuf::from));
        line.expect("git lfs env tells").parent().expect("it ends in objects").to_owned()
    }

    /// The git commands of the operation.
    pub fn commands(&self, operation: Operation) -> Vec<String> {
        let line = match operation {
            Operation::Clone => return self.clone.iter().map(|line| (*line).to_owned()).collect(),
            Operation::Push => self.push,
            Operation::Pull => "pull -q REMOTE main",
            Operation::Prune if self.bare => "lfs fetch origin main side",
            Operation::Checkout | Operation::Prune => "checkout -q --detach origin/side",
            Operation::Archive => "archive --output=../archive.tar HEAD",
        };
        vec![line.replace("REMOTE", &self.remote)]
    }

    /// Runs lines of git, whose words hold no spaces.
    #[track_caller]
    pub fn git_lines<S: AsRef<str>>(&self, lines: &[S]) {
        for line in lines {
            self.repo.git(line.as_ref().split(' '));
        }
    }

    /// What has to be so before the operation.
    #[track_caller]
    pub fn before(&self, operation: Operation) {
        match operation {
            Operation::Push => self.commit_another(),
            Operation::Pull => self.ground.news(),
            _ => {}
        }
    }

    /// What has to be so after it.
    #[track_caller]
    pub fn after(&self, operation: Operation) {
        match operation {
            Operation::Clone => self.holds(self.cloned),
            Operation::Push => self.was_pushed(),
            Operation::Pull => self.holds(PULLED),
            Operation::Checkout => self.holds(SIDE),
            Operation::Archive => self.archive_holds(true),
            Operation::Prune => self.prunes(),
        }
        assert_eq!(leftovers(&self.lfs()), [] as [PathBuf; 0], "an agent left something");
        assert_eq!(self.ground.remote().lfs_objects(), BTreeSet::new(), "data went to the remote");
    }

    /// The files of the version are here, and git agrees.
    #[track_caller]
    pub fn holds(&self, version: u64) {
        let kept = self.kept();
        for (path, bytes) in self.wanted(version) {
            if self.bare {
                assert!(kept.contains(&oid(&bytes)), "{path} of version {version} is not here");
            } else {
                assert!(self.repo.read(&path) == bytes, "{path} is not that of version {version}");
            }
        }
        if !self.bare {
            assert_eq!(self.repo.git(["status", "--porcelain"]).text(), "");
        }
    }

    /// The files of the work tree are pointers.
    #[track_caller]
    pub fn holds_pointers(&self) {
        for path in files(MAIN).into_keys() {
            assert!(self.repo.read(&path).starts_with(b"version https://git-lfs"), "{path} is no pointer");
        }
    }

    fn wanted(&self, version: u64) -> Vec<(String, Vec<u8>)> {
        let left_out = |path: &str| self.left_out.is_some_and(|prefix| path.starts_with(prefix));
        files(version).into_iter().filter(|(path, _)| !left_out(path)).collect()
    }

    /// Oids of the objects that git-lfs keeps.
    fn kept(&self) -> BTreeSet<String> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        objects(&self.lfs().join("objects")).values().filter_map(name).collect()
    }

    fn another() -> Vec<u8> {
        seeded_bytes(99, 25_000)
    }

    /// A commit with one more file on HEAD; in a bare repository made of its parts.
    #[track_caller]
    fn commit_another(&self) {
        let bytes = Place::another();
        if !self.bare {
            self.repo.write("another.bin", bytes);
            self.repo.add("another.bin");
            self.repo.commit("another");
            return;
        }
        let oid = oid(&bytes);
        let object = self.lfs().join("objects").join(&oid[..2]).join(&oid[2..4]).join(&oid);
        fs::create_dir_all(object.parent().expect("below it"))
            .and_then(|()| fs::write(object, &bytes))
            .expect("free");
        let script = "
            pointer=$(printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize 25000\\n' \"$0\" |
                git hash-object -w --stdin)
            export GIT_INDEX_FILE=$PWD/made-index
            git read-tree HEAD
            git update-index --add --cacheinfo \"100644,$pointer,another.bin\"
            git update-ref HEAD \"$(git commit-tree -p HEAD -m another \"$(git write-tree)\")\"
            rm made-index";
        run(self.ground.env.command("sh").current_dir(self.repo.dir()).args(["-e", "-c", script, &oid]));
    }

    /// The remote has the commit and the store the data, which this repository gets back from there.
    #[track_caller]
    fn was_pushed(&self) {
        let (commit, oid) = (self.repo.head(), oid(&Place::another()));
        let pushed = self.ground.remote().git(["for-each-ref", "--contains", &commit]);
        assert!(!pushed.text().is_empty(), "the remote does not have the commit");
        assert_eq!(self.repo.dir().join(".git/seen").exists(), self.hook_is_seen, "the user's hook ran");
        // Five before: the store, its repo, and a version of each of three branches. A bare repository does not know what the
        // remote has: what other branches share goes first.
        let new = entries(&self.ground.store()) - 5;
        assert!((1..=if self.bare { 2 } else { 1 }).contains(&new), "{new} log entries for one push");
        let object = self.lfs().join("objects").join(&oid[..2]).join(&oid[2..4]).join(&oid);
        fs::remove_file(&object).expect("it was committed here");
        self.repo.git(["lfs", "fetch", "origin", &commit]);
        assert!(fs::read(&object).expect("fetched") == Place::another());
    }

    /// The archive holds the files of HEAD, or their pointers.
    #[track_caller]
    pub fn archive_holds(&self, data: bool) {
        let unpacked = self.ground.env.work().join("unpacked");
        fs::create_dir(&unpacked).expect("free");
        let archive = self.repo.dir().parent().expect("below work").join("archive.tar");
        run(self.ground.env.command("tar").arg("-xf").arg(archive).arg("-C").arg(&unpacked));
        for (path, bytes) in files(self.cloned) {
            let got = fs::read(unpacked.join(&path)).expect("in the archive");
            let pointer = got.starts_with(b"version https://git-lfs");
            assert!(if data { got == bytes } else { pointer }, "{path} in the archive");
        }
    }

    /// Another branch was checked out before this one: its objects go, those of HEAD stay, and the store has them all.
    #[track_caller]
    fn prunes(&self) {
        if !self.bare {
            self.git_lines(&["checkout -q -"]);
        }
        self.git_lines(&["lfs prune"]);
        let kept = self.kept();
        let stay = |version| self.wanted(version).iter().all(|(_, bytes)| kept.contains(&oid(bytes)));
        assert!(stay(self.cloned), "what is checked out stays");
        // git-lfs cannot tell in a bare repository what was pushed; 3.3 overlooks a part even so.
        let keeps_all = self.bare && !self.ground.env.git_lfs().starts_with("3.3.");
        assert_eq!(stay(SIDE), keeps_all, "what is checked out nowhere goes");
        if !self.bare {
            self.git_lines(&["checkout -q -"]);
        }
        self.git_lines(self.more);
        self.holds(SIDE);
    }

    #[track_caller]
    pub fn git<S: AsRef<OsStr>>(&self, args: &[S]) {
        self.repo.git(args);
    }
}

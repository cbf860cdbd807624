//! The main job with real git, real git-lfs and the built agent: data goes up on a push and comes back on a clone.
//!
//! A test gets a [`Machine`], a way to make machines on which `git datamon install` has run and nothing else. What git-lfs
//! decides is tried with two versions of it, see [`each_git_lfs`].

mod adopt;
mod agent;
mod alike;
mod beside;
mod clones;
mod contexts;
mod damage;
mod fetches;
mod hands;
mod here;
mod history;
mod hooks;
mod input;
mod json;
mod killed;
mod kills;
mod kinship;
mod latest;
mod layouts;
mod leave;
mod lineage;
mod mirror;
mod missing;
mod offline;
mod partial;
mod passed;
mod programs;
mod prune;
mod pushes;
mod readlog;
mod redact;
mod reflink;
mod repair;
mod servers;
mod several;
mod signatures;
mod similar;
mod squash;
mod steps;
mod stores;
mod strangers;
mod switches;
mod verbs;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use datamon_test_support::{Hermetic, Output, TestRepo, run, run_failing, second_git_lfs, seeded_bytes};

/// Makes a machine with nothing on it but git, git-lfs and git-datamon, installed.
type Machine = fn() -> Hermetic;

/// A machine with the git-lfs of this system.
pub fn first() -> Hermetic {
    installed(Hermetic::new())
}

/// A machine with the second git-lfs.
fn second() -> Hermetic {
    installed(Hermetic::new().with_git_lfs(second_git_lfs().expect("asked for before")))
}

fn installed(env: Hermetic) -> Hermetic {
    let env = env.with_binary(env!("CARGO_BIN_EXE_git-datamon"));
    env.git_lfs();
    run(env.command("git").args(["datamon", "install"]));
    env
}

/// Makes a test for each git-lfs of functions that take a [`Machine`].
macro_rules! each_git_lfs {
    ($($name:ident),+ $(,)?) => {
        mod git_lfs_installed {
            $(#[test]
            fn $name() {
                super::$name(crate::transfer::first);
            })+
        }
        mod git_lfs_second {
            $(#[test]
            fn $name() {
                if datamon_test_support::second_git_lfs().is_some() {
                    super::$name(crate::transfer::second);
                }
            })+
        }
    };
}
use each_git_lfs;

/// A repository whose big files go to a store of its own, and the bare repository it is pushed to.
struct Team {
    env: Hermetic,
    repo: TestRepo,
    remote: TestRepo,
    store: PathBuf,
}

impl Team {
    /// Set up as a user would: `git datamon init`, a first commit, a remote. Nothing is pushed yet.
    #[track_caller]
    fn new(machine: Machine) -> Team {
        Team::on(machine())
    }

    #[track_caller]
    fn on(env: Hermetic) -> Team {
        let (repo, remote) = (env.init("data"), env.init_bare("remote.git"));
        let store = env.root().join("store");
        let args = ["datamon", "-q", "init", "--store", store.to_str().expect("plain"), "--track", "*.bin"];
        repo.git(args);
        repo.commit("set up");
        repo.add_remote("origin", remote.dir());
        Team { env, repo, remote, store }
    }

    /// The same after a first push of `files(1)`.
    #[track_caller]
    fn pushed(machine: Machine) -> Team {
        let team = Team::new(machine);
        team.change("first", &files(1));
        team.repo.push("origin", "main");
        team
    }

    /// Writes files and commits them.
    #[track_caller]
    fn change(&self, message: &str, files: &BTreeMap<String, Vec<u8>>) -> String {
        change(&self.repo, message, files)
    }

    /// A clone on another machine, which knows nothing but the remote.
    #[track_caller]
    fn clone_elsewhere(&self, machine: Machine) -> TestRepo {
        machine().clone_from(self.remote.dir(), "clone")
    }

    /// Log entries of the store.
    fn entries(&self) -> usize {
        entries(&self.store)
    }

    /// One number of `git datamon stats --json`.
    #[track_caller]
    fn stat(&self, field: &str) -> u64 {
        let said = self.repo.git(["datamon", "stats", "--json"]);
        let value: serde_json::Value = serde_json::from_str(said.text()).expect("JSON");
        value[field].as_u64().unwrap_or_else(|| panic!("no {field} in {value}"))
    }

    /// Where git-lfs keeps an object in the repository.
    fn object_path(&self, oid: &str) -> PathBuf {
        self.repo.dir().join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid)
    }

    /// Everything the log promises is there and right, and no git-lfs object went where it used to go.
    #[track_caller]
    fn assert_sound(&self) {
        self.repo.git(["datamon", "fsck", "--data"]);
        assert_eq!(self.remote.lfs_objects(), BTreeSet::new(), "the remote holds objects");
        assert_clean(&self.repo);
    }
}

#[track_caller]
fn change(repo: &TestRepo, message: &str, files: &BTreeMap<String, Vec<u8>>) -> String {
    for (path, bytes) in files {
        repo.write(path, bytes);
    }
    repo.add(".");
    repo.commit(message)
}

/// A large file, small ones, one content under two paths, an empty one, one of text that compresses, one that is no LFS file.
fn files(seed: u64) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("large.bin".to_owned(), seeded_bytes(seed, 1_500_000)),
        ("again/large.bin".to_owned(), seeded_bytes(seed, 1_500_000)),
        ("text.bin".to_owned(), format!("line of version {seed}\n").repeat(9_000).into_bytes()),
        ("empty.bin".to_owned(), Vec::new()),
        ("readme.txt".to_owned(), format!("version {seed}\n").into_bytes()),
    ]);
    let small =
        |n: u64| (format!("small/{n} ä.bin"), seeded_bytes(1000 * seed + n, 3_000 + 100 * n as usize));
    files.extend((0..8).map(small));
    files
}

/// One LFS file.
fn file(path: &str, seed: u64, len: usize) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([(path.to_owned(), seeded_bytes(seed, len))])
}

/// Every file of the work tree is as in `wanted`, and git agrees that nothing differs.
#[track_caller]
fn assert_files(repo: &TestRepo, wanted: &BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in wanted {
        assert!(repo.read(path) == *bytes, "{path} in {} differs", repo.dir().display());
    }
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "");
}

/// Nothing of a finished agent is left in the repository.
#[track_caller]
fn assert_clean(repo: &TestRepo) {
    let common = repo.git(["rev-parse", "--path-format=absolute", "--git-common-dir"]);
    assert_eq!(leftovers(&Path::new(common.text()).join("lfs")), [] as [PathBuf; 0]);
}

/// Temporary directories of agents below an LFS directory.
pub fn leftovers(lfs: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(lfs.join("tmp")) else { return vec![] };
    let paths = found.map(|entry| entry.expect("a directory that can be listed").path());
    paths
        .filter(|path| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("datamon-")))
        .collect()
}

/// Every object of a directory store: its name and where it lies.
pub fn objects(store: &Path) -> BTreeMap<String, PathBuf> {
    let (mut found, mut dirs) = (BTreeMap::new(), vec![store.to_owned()]);
    while let Some(dir) = dirs.pop() {
        let Ok(listed) = fs::read_dir(&dir) else { continue };
        for entry in listed.flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(store).expect("below it").to_string_lossy().into_owned();
                found.insert(name, path);
            }
        }
    }
    found
}

/// Log entries of a directory store.
pub fn entries(store: &Path) -> usize {
    let number =
        |name: &&String| name.strip_prefix("log/").is_some_and(|it| it.len() == 16 && !it.contains('#'));
    objects(store).keys().filter(number).count()
}

/// The oid of these bytes.
pub fn oid(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lets a machine that only knows the repository upload, as its user would say of the store by name: this sets up no hook.
#[track_caller]
fn trust(repo: &TestRepo) {
    let named = repo.git(["config", "--blob", "HEAD:.lfsconfig", "lfs.url"]);
    repo.git(["datamon", "-q", "trust", named.text()]);
}

/// Runs git in a repository with these variables set; it has to succeed.
#[track_caller]
fn git_with(repo: &TestRepo, variables: &[(&str, &str)], args: &[&str]) -> Output {
    run(repo.env().command("git").current_dir(repo.dir()).envs(variables.iter().copied()).args(args))
}

/// The words of a `git` that must fail.
#[track_caller]
fn git_fails(repo: &TestRepo, args: &[&str]) -> String {
    let output = run_failing(repo.env().command("git").current_dir(repo.dir()).args(args));
    format!("{}\n{}", output.text(), output.stderr)
}

/// `git datamon <args>` in a repository: its exit code and everything it said.
#[track_caller]
fn datamon(repo: &TestRepo, args: &[&str], code: i32) -> String {
    let mut command = repo.env().command("git");
    command.current_dir(repo.dir()).arg("datamon").args(args);
    let output = if code == 0 { run(&mut command) } else { run_failing(&mut command) };
    let said = format!("{}\n{}", output.text(), output.stderr);
    assert_eq!(output.code, Some(code), "{said}");
    said
}

/// The one line of `text` with `words` in it.
#[track_caller]
fn line_with<'a>(text: &'a str, words: &str) -> &'a str {
    text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("nobody says {words:?}:\n{text}"))
}

/// Turns one bit of a file.
#[track_caller]
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    bytes[at] ^= 1;
    overwrite(path, &bytes);
}

/// Puts other bytes in place of a file, whatever its mode.
#[track_caller]
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).and_then(|()| fs::write(path, bytes)).expect("a file of this test");
}

/// Trusts the store of a team in a repository whose store cannot be opened now.
fn trust_anyway(repo: &TestRepo, team: &Team) {
    let trusted = run(team.env.command("git").args(["config", "--global", "datamon.trust"]));
    repo.git(["config", "--global", "datamon.trust", trusted.text()]);
}

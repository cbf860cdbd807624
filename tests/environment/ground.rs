//! What every cell starts from, and the ways to put it into a condition.
//!
//! The machine is made once for a build and copied for each cell. Its store is `local`, which is found below the user's data
//! directory, so that a copy is as good as the original.

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use datamon_test_support::{Hermetic, Output, run, seeded_bytes};

use super::verbs::Verb;
use crate::transfer::leftovers;

/// The ref of what somebody else pushes before a pull; nobody sees it earlier.
pub const NEWS: &str = "refs/hidden/news";
/// Versions of the files.
pub const MAIN: u64 = 1;
pub const SIDE: u64 = 2;
pub const PULLED: u64 = 3;
/// Who runs what a superuser would be let through.
pub const NOBODY: &str = "65534";
/// Where the store is, below the machine's root: `local` of a user with this data directory.
pub const STORE: &str = "xdg/data/git-datamon";

/// The files of a version.
pub fn files(version: u64) -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        ("a.bin", seeded_bytes(version, 30_000)),
        ("dir/b.bin", b"a line of text\n".repeat(2_000 + version as usize)),
        ("readme.txt", format!("version {version}\n").into_bytes()),
    ])
}

/// A disk that ends with the cell.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}

type Lift = Box<dyn FnOnce(&Hermetic)>;

/// A machine in some condition.
pub struct Place {
    // They go before the directory that they lie in.
    mounts: Vec<Box<dyn Any>>,
    pub env: Hermetic,
    /// Words before every command: what it is run by.
    pub runner: Vec<OsString>,
    /// Variables that differ; without a value they are taken away.
    pub vars: Vec<(&'static str, Option<OsString>)>,
    lifts: Vec<Lift>,
    /// The repository, below the root.
    pub repo: &'static str,
}

impl Place {
    pub fn new() -> Place {
        let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
        run(env.command("cp").arg("-a").arg(prepared().join(".")).arg(env.root()));
        Place { mounts: vec![], env, runner: vec![], vars: vec![], lifts: vec![], repo: "work/data" }
    }

    /// A path below the root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.env.root().join(path)
    }

    /// The repository.
    pub fn dir(&self) -> PathBuf {
        self.at(self.repo)
    }

    /// Git in the repository, in order; what it said.
    pub fn git(&self, args: &[&str]) -> Output {
        run(self.env.command("git").current_dir(self.dir()).args(args))
    }

    /// A verb in the condition, by whom it is run there.
    pub fn run(&self, verb: &Verb) -> Output {
        let words: Vec<OsString> =
            self.runner.iter().cloned().chain(verb.words.iter().map(OsString::from)).collect();
        let mut command = self.env.command(&words[0]);
        command.args(&words[1..]).current_dir(self.at(if verb.dir.is_empty() {
            self.repo
        } else {
            verb.dir
        }));
        for (name, value) in &self.vars {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let said = command.stdin(Stdio::null()).output().expect("it can be started");
        let stderr = String::from_utf8_lossy(&said.stderr).into_owned();
        Output { code: said.status.code(), stdout: said.stdout, stderr }
    }

    /// Ends the condition, as far as it can be ended.
    pub fn lift(&mut self) {
        for lift in self.lifts.drain(..) {
            lift(&self.env);
        }
        self.runner.clear();
        self.vars.clear();
        // What the other user made is read by this one, and git asks whose it is. Who is not root was no other user.
        let _ = Command::new("chown").args(["-R", "0:0"]).arg(self.env.root()).stderr(Stdio::null()).status();
    }

    /// What somebody mounted there goes with the cell.
    pub fn until_it_ends(&mut self, mount: impl Any) {
        self.mounts.push(Box::new(mount));
    }

    pub fn when_lifted(&mut self, lift: impl FnOnce(&Hermetic) + 'static) {
        self.lifts.push(Box::new(lift));
    }

    /// Puts a folder, with all it has, onto a disk of its own.
    pub fn own_disk(&mut self, folder: &str) -> Result<(), String> {
        let (path, aside) = (self.at(folder), self.at("aside"));
        fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        run(self.env.command("cp").arg("-a").arg(path.join(".")).arg(&aside));
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs"])
            .arg(&path)
            .output();
        let mounted = mounted.map_err(|error| format!("mount cannot be run: {error}"))?;
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned());
        }
        self.until_it_ends(Mount(path.clone()));
        run(self.env.command("cp").arg("-a").arg(aside.join(".")).arg(&path));
        fs::remove_dir_all(&aside).map_err(|error| error.to_string())
    }

    /// A disk without a byte left.
    pub fn full(&mut self, folder: &str) -> Result<(), String> {
        self.own_disk(folder)?;
        let filler = self.at(folder).join("filler");
        let mut file = fs::File::create(&filler).map_err(|error| error.to_string())?;
        while file.write_all(&[1; 4096]).is_ok() {}
        // A page may be left of what is smaller than one.
        for n in 0..64 {
            let _ = fs::write(self.at(folder).join(format!("filler-{n}")), [1; 4096]);
        }
        let folder = self.at(folder);
        self.when_lifted(move |_| {
            for entry in fs::read_dir(&folder).expect("there").flatten() {
                if entry.file_name().to_string_lossy().starts_with("filler") {
                    fs::remove_file(entry.path()).expect("ours");
                }
            }
        });
        Ok(())
    }

    /// A disk that takes nothing.
    pub fn read_only(&mut self, folder: &str) -> Result<(), String> {
        self.own_disk(folder)?;
        let path = self.at(folder);
        run(self.env.command("mount").args(["-o", "remount,ro"]).arg(&path));
        self.when_lifted(move |env| drop(run(env.command("mount").args(["-o", "remount,rw"]).arg(&path))));
        Ok(())
    }

    /// A folder that the user may not even look into.
    pub fn forbidden(&mut self, folder: &str) -> Result<(), String> {
        fs::create_dir_all(self.at(folder)).map_err(|error| error.to_string())?;
        self.run_by(NOBODY)?;
        let path = self.at(folder);
        run(self.env.command("chmod").arg("000").arg(&path));
        self.when_lifted(move |env| drop(run(env.command("chmod").arg("755").arg(&path))));
        Ok(())
    }

    /// Commands are run by a user without privileges, who owns the machine.
    pub fn run_by(&mut self, id: &str) -> Result<(), String> {
        let owner = format!("{id}:{id}");
        let chown = Command::new("chown").args(["-R", &owner]).arg(self.env.root()).output();
        if !chown.is_ok_and(|said| said.status.success()) {
            return Err("only root can become another user".to_owned());
        }
        let ids = [format!("--reuid={id}"), format!("--regid={id}")];
        let words = ["setpriv", &ids[0], &ids[1], "--clear-groups"];
        self.runner = words.map(OsString::from).into();
        Ok(())
    }

    /// Nothing is half done: the store keeps its promises, git its own, and no agent or lock was left.
    pub fn sound(&self) -> Result<(), String> {
        let fsck = self
            .env
            .command("git")
            .current_dir(self.env.work())
            .args(["datamon", "fsck", "--store", "local"])
            .output();
        let fsck = fsck.expect("git runs");
        if !fsck.status.success() {
            return Err(format!("the store is not sound: {}", String::from_utf8_lossy(&fsck.stdout)));
        }
        let git = |args: &[&str]| {
            let said = self.env.command("git").current_dir(self.dir()).args(args).output().expect("git runs");
            (said.status.success(), String::from_utf8_lossy(&said.stdout).trim().to_owned())
        };
        let (whole, said) = git(&["fsck", "--connectivity-only", "--no-dangling"]);
        if !whole {
            return Err(format!("git is not sound: {said}"));
        }
        let common = PathBuf::from(git(&["rev-parse", "--path-format=absolute", "--git-common-dir"]).1);
        let own = PathBuf::from(git(&["rev-parse", "--absolute-git-dir"]).1);
        let left = leftovers(&common.join("lfs"));
        if !left.is_empty() || own.join("index.lock").exists() {
            return Err(format!("something was left: {left:?}, or a lock"));
        }
        Ok(())
    }
}

/// The prepared machine of this build.
fn prepared() -> PathBuf {
    let stamp = |path: &Path| {
        let found = path.metadata().expect("it runs, so it is there");
        let changed = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        format!("{}-{}", found.len(), changed.unwrap_or_default().as_nanos())
    };
    let tests = std::env::current_exe().expect("a test has a path");
    let name = format!("machine-{}-{}", stamp(env!("CARGO_BIN_EXE_git-datamon").as_ref()), stamp(&tests));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ready = folder.join(&name);
    if ready.is_dir() {
        return ready;
    }
    // Several tests may begin at once: each prepares for itself, and the first to finish names its own.
    let made = folder.join(format!("making-machine-{}", std::process::id()));
    fs::create_dir_all(&made).expect("a directory below target/");
    let env = prepare();
    run(env.command("cp").arg("-a").arg(env.root().join(".")).arg(&made));
    if fs::rename(&made, &ready).is_err() {
        let _ = fs::remove_dir_all(&made);
    }
    for other in fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = other.file_name().to_string_lossy().into_owned();
        if text.starts_with("machine-") && text != name {
            let _ = fs::remove_dir_all(other.path());
        }
    }
    assert!(ready.is_dir(), "{} was not made", ready.display());
    ready
}

fn prepare() -> Hermetic {
    let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
    env.git_lfs();
    run(env.command("git").args(["datamon", "install"]));
    let (repo, remote) = (env.init("first"), env.init_bare("remote.git"));
    for (key, value) in [("uploadpack.allowFilter", "true"), ("uploadpack.hideRefs", "refs/hidden")] {
        remote.git(["config", key, value]);
    }
    repo.add_remote("origin", "../remote.git");
    let commit = |version: u64| {
        for (path, bytes) in files(version) {
            repo.write(path, bytes);
        }
        repo.add(".");
        repo.commit(&format!("version {version}"));
    };
    repo.git(["datamon", "-q", "init", "--track", "*.bin"]);
    commit(MAIN);
    repo.git(["checkout", "-q", "-b", "side"]);
    commit(SIDE);
    repo.git(["checkout", "-q", "-b", "news", "main"]);
    commit(PULLED);
    repo.git(["push", "-q", "origin", "main", "side", &format!("news:{NEWS}")]);
    // The clone in which things are tried: with a commit that nobody has yet, and without the data of the side branch.
    run(env.command("git").args(["datamon", "-q", "clone", "remote.git", "data"]));
    let clone = env.repo("data");
    clone.git(["remote", "set-url", "origin", "../remote.git"]);
    clone.git(["branch", "-q", "side", "origin/side"]);
    clone.git(["checkout", "-q", "-b", "ahead"]);
    clone.write("new.bin", seeded_bytes(9, 40_000));
    clone.add(".");
    clone.commit("ahead");
    clone.git(["checkout", "-q", "main"]);
    env.init("fresh");
    for left in ["work/first", "xdg/cache", "xdg/state", "tmp"] {
        let _ = fs::remove_dir_all(env.root().join(left));
    }
    fs::create_dir(env.root().join("tmp")).expect("just removed");
    env
}

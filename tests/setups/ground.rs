//! What every cell starts from: a remote with a history, its store, and a machine on which git-datamon is installed.
//!
//! It is made once for a build and copied for each cell. The store is `local`, the one that is found below the user's home, so
//! that a copy is as good as the original.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use datamon_test_support::{Hermetic, TestRepo, run, seeded_bytes};

/// The ref of the news that arrive in the cell of `pull`; no clone sees it before.
const NEWS: &str = "refs/hidden/news";

/// Versions of the files: on `old` (before there was a store), `main`, `side`, and after a pull.
pub const OLD: u64 = 1;
pub const MAIN: u64 = 2;
pub const SIDE: u64 = 3;
pub const PULLED: u64 = 4;

/// A machine with a remote to clone from.
pub struct Ground {
    pub env: Hermetic,
}

/// The big files of a version: at the top, in a directory, and deeper, with a name that is no ASCII.
pub fn files(version: u64) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("a.bin".to_owned(), seeded_bytes(version, 30_000)),
        ("dir/b.bin".to_owned(), seeded_bytes(version + 10, 20_000)),
        ("dir/deep/ä ö.bin".to_owned(), seeded_bytes(version + 20, 5_000)),
    ])
}

impl Ground {
    /// A machine with this git-lfs.
    #[track_caller]
    pub fn new(env: Hermetic) -> Ground {
        let env = env.with_binary(env!("CARGO_BIN_EXE_git-datamon"));
        let prepared = prepared();
        run(env.command("cp").arg("-a").arg(prepared.join(".")).arg(env.root()));
        Ground { env }
    }

    /// The repository that everything is pushed to.
    pub fn remote(&self) -> TestRepo {
        self.env.repo("remote.git")
    }

    /// Its path.
    pub fn path(&self) -> String {
        self.remote().dir().to_str().expect("plain").to_owned()
    }

    /// The directory of the store.
    pub fn store(&self) -> PathBuf {
        self.env.root().join("xdg/data/git-datamon/store")
    }

    /// Somebody else has pushed a new version to `main`.
    #[track_caller]
    pub fn news(&self) {
        self.remote().git(["update-ref", "refs/heads/main", NEWS]);
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
    let name = format!("ground-{}-{}", stamp(env!("CARGO_BIN_EXE_git-datamon").as_ref()), stamp(&tests));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ready = folder.join(&name);
    if ready.is_dir() {
        return ready;
    }
    // Several tests may begin at once: each prepares for itself, and the first to finish names its own.
    let made = tempfile_in(folder);
    let env = prepare();
    run(env.command("cp").arg("-a").arg(env.root().join(".")).arg(&made));
    if fs::rename(&made, &ready).is_err() {
        let _ = fs::remove_dir_all(&made);
    }
    for other in fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = other.file_name().to_string_lossy().into_owned();
        if text.starts_with("ground-") && text != name {
            let _ = fs::remove_dir_all(other.path());
        }
    }
    assert!(ready.is_dir(), "{} was not made", ready.display());
    ready
}

fn tempfile_in(folder: &Path) -> PathBuf {
    let made = folder.join(format!("making-{}", std::process::id()));
    fs::create_dir_all(&made).expect("a directory below target/");
    made
}

fn prepare() -> Hermetic {
    let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
    env.git_lfs();
    run(env.command("git").args(["datamon", "install"]));
    let (repo, remote) = (env.init("data"), env.init_bare("remote.git"));
    for (key, value) in [("uploadpack.allowFilter", "true"), ("uploadpack.hideRefs", "refs/hidden")] {
        remote.git(["config", key, value]);
    }
    repo.add_remote("origin", "../remote.git");
    let commit = |version: u64| {
        for (path, bytes) in files(version) {
            repo.write(&path, bytes);
        }
        repo.write("readme.txt", format!("version {version}\n"));
        repo.add(".");
        repo.commit(&format!("version {version}"));
    };
    repo.track("*.bin");
    commit(OLD);
    repo.git(["branch", "old"]);
    repo.git(["datamon", "-q", "init"]);
    commit(MAIN);
    repo.git(["checkout", "-q", "-b", "side"]);
    commit(SIDE);
    repo.git(["checkout", "-q", "-b", "news", "main"]);
    commit(PULLED);
    repo.git(["push", "-q", "origin", "main", "side", "old", &format!("news:{NEWS}")]);
    for left in ["work/data", "xdg/cache", "xdg/state", "tmp"] {
        let _ = fs::remove_dir_all(env.root().join(left));
    }
    fs::create_dir(env.root().join("tmp")).expect("just removed");
    env
}

//! The agent's memory does not grow with the files it carries: the peak the kernel counted for the real process, while the
//! test speaks the protocol with it and it is still alive.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use datamon::cache::Cache;
use datamon::catalog::change::TableKind;
use datamon::catalog::plan::runs;
use datamon::catalog::{Catalog, Journal};
use datamon::store::{Store, StoreUrl};
use datamon_test_support::{Hermetic, TestRepo, run, seeded_bytes};

use crate::durability::scale::{add_files, add_packs};

const MIB: usize = 1 << 20;
/// What an agent may take at any size.
const LIMIT: usize = 128 * MIB;

/// An agent in a session, as git-lfs would start it.
struct Session {
    process: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Session {
    fn start(repo: &TestRepo, operation: &str) -> Session {
        let mut command = repo.env().command(env!("CARGO_BIN_EXE_git-datamon"));
        command.arg("lfs-agent").current_dir(repo.dir()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the agent starts");
        let requests = process.stdin.take().expect("piped");
        let replies = BufReader::new(process.stdout.take().expect("piped"));
        let mut session = Session { process, requests, replies };
        session.say(&format!(
            r#"{{"event":"init","operation":"{operation}","remote":"origin","concurrent":false,"concurrenttransfers":8}}"#
        ));
        assert_eq!(session.hear(), "{}");
        session
    }

    fn say(&mut self, request: &str) {
        writeln!(self.requests, "{request}").expect("the agent listens");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("the agent answers");
        line.trim_end().to_owned()
    }

    /// Carries one object and returns the reply that ends it.
    fn carry(&mut self, request: &str) -> String {
        self.say(request);
        loop {
            let reply = self.hear();
            if !reply.contains(r#""event":"progress""#) {
                assert!(reply.contains(r#""event":"complete""#) && !reply.contains("error"), "{reply}");
                return reply;
            }
        }
    }

    /// The most memory it ever had in use, bytes.
    fn peak(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("it lives, since it waits for a request");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    fn end(mut self) {
        self.say(r#"{"event":"terminate"}"#);
        drop(self.requests);
        assert!(self.process.wait().expect("it ends").success());
    }
}

fn write_random(path: &Path, len: usize) {
    let mut file = File::create(path).unwrap();
    for seed in 0..len / (16 * MIB) {
        file.write_all(&seeded_bytes(seed as u64, 16 * MIB)).unwrap();
    }
}

fn same(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (File::open(one).unwrap(), File::open(other).unwrap());
    let (mut block, mut beside) = (Vec::new(), Vec::new());
    loop {
        block.clear();
        beside.clear();
        Read::by_ref(&mut one).take(MIB as u64).read_to_end(&mut block).unwrap();
        Read::by_ref(&mut other).take(MIB as u64).read_to_end(&mut beside).unwrap();
        if block != beside {
            return false;
        }
        if block.is_empty() {
            return true;
        }
    }
}

/// A repository whose data goes to a store beside it.
fn repo_with_store(env: &Hermetic) -> (TestRepo, PathBuf) {
    env.install_git_lfs();
    let repo = env.init("data");
    let store = env.root().join("store");
    run(repo
        .env()
        .command("git")
        .current_dir(repo.dir())
        .args(["datamon", "init", "--track", "*.bin", "--store"])
        .arg(&store));
    (repo, store)
}

/// An object that git-lfs keeps.
struct Object {
    oid: String,
    path: PathBuf,
    size: u64,
}

/// An agent carries up what git-lfs keeps beside `old` once everything is committed. Gives that, and the agent's peak.
fn carry_up(repo: &TestRepo, old: &[Object]) -> (Vec<Object>, usize) {
    repo.add(".");
    repo.commit("files to carry");
    let object = |oid: String| {
        let path = repo.dir().join(format!(".git/lfs/objects/{}/{}/{oid}", &oid[..2], &oid[2..4]));
        let size = std::fs::metadata(&path).expect("git-lfs keeps it").len();
        Object { oid, path, size }
    };
    let new = repo.lfs_objects().into_iter().filter(|oid| old.iter().all(|old| old.oid != *oid));
    let new: Vec<Object> = new.map(object).collect();
    let mut up = Session::start(repo, "upload");
    for Object { oid, path, size } in &new {
        let path = path.to_str().expect("UTF-8");
        up.carry(&format!(
            r#"{{"event":"upload","oid":"{oid}","size":{size},"path":"{path}","action":null}}"#
        ));
    }
    let peak = up.peak();
    up.end();
    (new, peak)
}

/// An agent carries these down into a clone, bit for bit. Gives its peak.
fn carry_down(env: &Hermetic, repo: &TestRepo, objects: &[Object]) -> usize {
    let clone = env.work().join("clone");
    run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q"]).arg(repo.dir()).arg(&clone));
    let mut down = Session::start(&env.repo("clone"), "download");
    for Object { oid, path, size } in objects {
        let reply =
            down.carry(&format!(r#"{{"event":"download","oid":"{oid}","size":{size},"action":null}}"#));
        let (_, rest) = reply.split_once(r#""path":""#).expect("a path");
        let fetched = PathBuf::from(rest.split('"').next().expect("its end"));
        assert!(same(path, &fetched), "{} is not what went up", fetched.display());
    }
    let peak = down.peak();
    down.end();
    peak
}

/// A random file of `len` bytes goes up and comes down, and neither agent takes more than `limit` bytes.
fn carry_within(len: usize, limit: usize) {
    let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
    let (repo, _) = repo_with_store(&env);
    write_random(&repo.dir().join("big.bin"), len);
    let (objects, peak_up) = carry_up(&repo, &[]);
    let peak_down = carry_down(&env, &repo, &objects);
    let shown = format!("{} MiB up, {} MiB down", peak_up / MIB, peak_down / MIB);
    println!("{shown}");
    assert!(peak_up <= limit && peak_down <= limit, "{shown}, more than {} MiB", limit / MIB);
}

#[test]
fn a_file_larger_than_the_memory_goes_up_and_down() {
    carry_within(256 * MIB, LIMIT);
}

/// Files of many small pieces of one that is in the store, so far apart that a lot is read for each: both workers of read-ahead
/// are busy with that at once.
#[test]
fn files_in_many_pieces_go_up_and_down() {
    const BASE: usize = 192 * MIB;
    const PIECE: usize = 96 << 10;
    let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
    let (repo, store) = repo_with_store(&env);
    write_random(&repo.dir().join("base.bin"), BASE);
    let (base, _) = carry_up(&repo, &[]);
    let mut bytes = vec![0; PIECE];
    for n in 0..6 {
        let mut base = File::open(&base[0].path).expect("git-lfs keeps it");
        let mut file = File::create(repo.dir().join(format!("pieces{n}.bin"))).expect("writable");
        for piece in 0..130 {
            let at = (n % 2 * BASE / 2 + n * 50_000 + piece * 700_000) as u64;
            base.seek(SeekFrom::Start(at)).and_then(|_| base.read_exact(&mut bytes)).expect("inside");
            file.write_all(&bytes).expect("writable");
        }
    }
    let (objects, peak_up) = carry_up(&repo, &base);
    let stored = |path: &Path| std::fs::metadata(path).expect("there").len() as usize;
    let mut packs = Vec::new();
    crate::durability::world::collect(&store.join("data"), &mut packs);
    let new = packs.iter().map(|path| stored(path)).sum::<usize>() - BASE;
    assert!(new < 6 * 130 * PIECE * 2 / 3, "{} MiB are stored anew, so it is not in pieces", new / MIB);
    let peak_down = carry_down(&env, &repo, &objects);
    let shown = format!("{} MiB up, {} MiB down", peak_up / MIB, peak_down / MIB);
    println!("{shown}");
    assert!(peak_up <= LIMIT && peak_down <= LIMIT, "{shown}, more than {} MiB", LIMIT / MIB);
}

#[test]
#[ignore = "nightly: writes 16 GiB"]
fn four_gibibytes_take_no_more_memory() {
    carry_within(4096 * MIB, LIMIT);
}

#[test]
fn a_push_that_merges_a_million_rows_needs_little_memory() {
    let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
    let (repo, store) = repo_with_store(&env);
    let url = StoreUrl::of_directory(&store).expect("an absolute path");
    let store = Store::open(&url).expect("it was made");
    let open = || Catalog::open(store.clone(), Cache::none(), Journal::none()).expect("opens");
    let mut catalog = open();
    add_packs(&mut catalog, 1_000_000).expect("added");
    // Five runs of equal size: all of them become one.
    for n in 0..5 {
        add_files(&mut catalog, n * 200_000..(n + 1) * 200_000);
    }
    assert_eq!(runs(catalog.state(), TableKind::Files).len(), 5);
    std::fs::write(repo.dir().join("small.bin"), seeded_bytes(1, 5_000)).expect("writable");
    let (_, peak) = carry_up(&repo, &[]);
    println!("{} MiB", peak / MIB);
    let rows: Vec<u64> = runs(open().state(), TableKind::Files).iter().map(|run| run.rows).collect();
    assert_eq!(rows, [1_000_000], "the agent has merged them");
    assert!(peak <= LIMIT, "{} MiB", peak / MIB);
}

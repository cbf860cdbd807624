//! The cache of data: shared by clones and processes, within its limit, saved and restored by CI, and never believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use datamon_test_support::{BucketServer, Hermetic, run, seeded_bytes};
use serde_json::Value;

use super::{machine, with_s3};

const URL: &str = "s3://bucket/x";
/// Files of the first commit: small ones, and one that is read in several requests.
const SMALL: u64 = 25;
const LARGE: usize = 18_000_000;

/// An author's repository with its data in a bucket.
struct Team {
    server: BucketServer,
    author: Hermetic,
}

/// What one machine keeps, in a directory of its own as a CI job has it.
struct Runner<'t> {
    team: &'t Team,
    env: Hermetic,
    cache: PathBuf,
}

impl Team {
    fn new() -> Team {
        let team = Team { server: BucketServer::start(), author: machine() };
        let (remote, repo) = (team.author.init_bare("remote.git"), team.author.init("first"));
        repo.add_remote("origin", remote.dir());
        team.datamon(".", &["install"]);
        team.datamon("first", &["init", "--store", URL, "--track", "*.bin"]);
        (0..SMALL).for_each(|n| repo.write(&format!("{n}.bin"), seeded_bytes(n, 30_000)));
        repo.write("large.bin", seeded_bytes(99, LARGE));
        team.datamon("first", &["commit", "-m", "data", "."]);
        team.datamon("first", &["push", "-u", "origin", "main"]);
        team
    }

    fn datamon(&self, dir: &str, args: &[&str]) {
        let mut command = self.author.command("git");
        command.current_dir(self.author.work().join(dir)).arg("datamon").args(args);
        run(with_s3(&mut command, &self.server.url(), "any:thing"));
    }

    /// Bytes of data packs that were read so far.
    fn read(&self) -> u64 {
        let ranges =
            self.server.seen().into_iter().filter(|it| it.method == "GET" && it.path.contains("/data/"));
        let length = |range: &str| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some(last.parse::<u64>().ok()? + 1 - first.parse::<u64>().ok()?)
        };
        ranges.map(|it| length(it.header("range").expect("packs are read by ranges")).expect("a range")).sum()
    }

    fn runner(&self) -> Runner<'_> {
        let env = machine();
        let cache = env.root().join("runner/cache");
        let runner = Runner { team: self, env, cache };
        run(runner.command().args(["datamon", "install"]));
        runner
    }
}

impl Runner<'_> {
    fn command(&self) -> Command {
        let mut command = self.env.command("git");
        with_s3(&mut command, &self.team.server.url(), "any:thing").env("DATAMON_CACHE_DIR", &self.cache);
        command
    }

    /// A clone by `words`, whose files have to be right; bytes of data that were read for it.
    fn clone(&self, words: &[&str], name: &str) -> u64 {
        let (before, remote) = (self.team.read(), self.team.author.work().join("remote.git"));
        run(self.command().args(words).arg(remote).arg(name));
        self.right(name);
        self.team.read() - before
    }

    /// The same in the steps of a CI service: a checkout that leaves the pointers, then the data.
    fn job(&self, name: &str) -> u64 {
        let (before, remote) = (self.team.read(), self.team.author.work().join("remote.git"));
        run(self.command().args(GIT).arg(remote).arg(name).env("GIT_LFS_SKIP_SMUDGE", "1"));
        run(self.command().args(["-C", name, "datamon", "pull", "--data-only"]));
        run(self.command().args(["-C", name, "datamon", "cache", "prune", "--max-size", "1g"]));
        self.right(name);
        self.team.read() - before
    }

    fn right(&self, name: &str) {
        let repo = self.env.repo(name);
        (0..SMALL).for_each(|n| assert_eq!(repo.read(&format!("{n}.bin")), seeded_bytes(n, 30_000)));
        assert!(repo.read("large.bin") == seeded_bytes(99, LARGE), "other bytes");
    }

    fn set(&self, name: &str, value: &str) {
        run(self.command().args(["config", "--global", name, value]));
    }

    fn json(&self, args: &[&str]) -> Value {
        let said = run(self.command().args(["datamon", "cache"]).args(args).arg("--json"));
        serde_json::from_str(said.text()).expect("JSON")
    }

    /// Files of data, sorted.
    fn data(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        below(&self.cache, &mut files);
        files.retain(|path| path.components().any(|part| part.as_os_str() == "data"));
        files.sort();
        files
    }
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { below(&entry.path(), files) } else { files.push(entry.path()) }
    }
}

const GIT: &[&str] = &["clone", "--quiet"];
const OURS: &[&str] = &["datamon", "clone"];

/// As `docs/ci.md` says it.
#[test]
fn a_ci_job_with_a_saved_cache_reads_no_data_that_did_not_change() {
    let team = Team::new();
    let first = team.runner();
    let all = first.job("a");
    assert!(all > LARGE as u64, "{all}");
    assert_eq!(first.clone(OURS, "b"), 0, "another clone on the same machine");
    assert_eq!(first.clone(GIT, "c"), 0, "and one by git");
    let saved = first.env.root().join("saved.tar");
    run(first.env.command("tar").arg("-cf").arg(&saved).arg("-C").arg(&first.cache).arg("."));

    let restored = || {
        let runner = team.runner();
        fs::create_dir_all(&runner.cache).expect("made");
        run(runner.env.command("tar").arg("-xf").arg(&saved).arg("-C").arg(&runner.cache));
        runner
    };
    assert_eq!(restored().job("again"), 0, "on a new machine");
    for words in [GIT, OURS] {
        assert_eq!(restored().clone(words, "again"), 0, "{words:?} on a new machine");
    }

    // A part of it is gone, and then a part of the rest is damaged.
    let part = restored();
    let files = part.data();
    files.iter().step_by(2).for_each(|path| fs::remove_file(path).expect("removed"));
    let again = part.clone(OURS, "half");
    assert!(again > 0 && again < all, "{again} of {all}");
    assert_eq!(part.clone(GIT, "healed"), 0);
    for path in part.data().iter().step_by(3) {
        let mut bytes = fs::read(path).expect("kept");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 8;
        fs::write(path, bytes).expect("written");
    }
    let again = part.clone(GIT, "flipped");
    assert!(again > 0 && again < all, "{again} of {all}");
    assert_eq!(part.clone(OURS, "healed again"), 0);

    // The next commit costs what is new in it.
    let repo = team.author.repo("first");
    repo.write("new.bin", seeded_bytes(500, 40_000));
    team.datamon("first", &["commit", "-m", "more", "."]);
    team.datamon("first", &["push"]);
    for words in [GIT, OURS] {
        let runner = restored();
        let read = runner.clone(words, "next");
        assert!((40_000..41_000).contains(&read), "{words:?}: {read} bytes for 40,000 new ones");
    }
}

#[test]
fn the_cache_is_shown_kept_small_and_emptied() {
    let team = Team::new();
    let runner = team.runner();
    let all = runner.clone(OURS, "a");
    let info = runner.json(&["info"]);
    assert_eq!(info["path"], runner.cache.to_str().expect("plain"));
    let data = info["data_bytes"].as_u64().expect("a number");
    assert!((all..all + (1 << 20)).contains(&data), "{data} for {all}");
    assert!(info["data_limit"].as_u64().expect("a number") >= data);
    let of = &info["stores"][0];
    assert!(of["url"].as_str().expect("written down").starts_with(URL), "{of}");
    assert_eq!(of["kinds"]["data"]["files"], runner.data().len());
    let said = run(runner.command().args(["datamon", "cache", "info"]));
    assert!(said.text().contains(URL), "{}", said.text());

    let pruned = runner.json(&["prune"]);
    assert_eq!(pruned["freed_bytes"], 0, "it fits");
    let pruned = runner.json(&["prune", "--max-size", "4m"]);
    assert!(pruned["bytes"].as_u64().expect("a number") <= 4 << 20, "{pruned}");
    let again = runner.clone(GIT, "b");
    assert!(again > 0 && again < all, "{again} of {all}");
    runner.json(&["prune", "--all"]);
    assert_eq!(fs::read_dir(&runner.cache).expect("there").count(), 0);
    assert_eq!(runner.clone(OURS, "c"), all);

    runner.json(&["prune", "--all"]);
    runner.set("datamon.cacheSize", "3m");
    std::thread::scope(|scope| {
        for (n, words) in [GIT, OURS, OURS, GIT].into_iter().enumerate() {
            let runner = &runner;
            scope.spawn(move || runner.clone(words, &format!("at-once-{n}")));
        }
    });
    let data = runner.json(&["info"])["data_bytes"].as_u64().expect("a number");
    // Each process looks after 64th parts of it.
    assert!(data > 0 && data <= (3 << 20) + 4 * (3 << 20) / 64 + (1 << 20), "{data}");

    runner.json(&["prune", "--all"]);
    runner.set("datamon.cache", "metadata");
    assert_eq!(runner.clone(OURS, "d"), all);
    assert_eq!((runner.data(), runner.clone(GIT, "e")), (vec![], all));
    runner.set("datamon.cache", "nothing");
    let refused = datamon_test_support::run_failing(runner.command().args(["datamon", "cache", "info"]));
    assert!(
        refused.stderr.contains("datamon.cache") && refused.stderr.contains("metadata"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_lies_in_a_directory_is_not_kept_a_second_time() {
    let env = machine();
    let (store, repo) = (env.root().join("store"), env.init("first"));
    let ours = |args: &[&str]| run(env.command("git").current_dir(repo.dir()).arg("datamon").args(args));
    ours(&["install"]);
    ours(&["init", "--store", store.to_str().expect("plain"), "--track", "*.bin"]);
    repo.write("a.bin", seeded_bytes(1, 3_000_000));
    ours(&["commit", "-m", "data", "."]);
    run(env.command("git").args(["datamon", "clone"]).arg(repo.dir()).arg("second"));
    assert_eq!(env.repo("second").read("a.bin"), seeded_bytes(1, 3_000_000));
    let info: Value = serde_json::from_str(ours(&["cache", "info", "--json"]).text()).expect("JSON");
    assert_eq!((&info["data_bytes"], info["stores"][0]["kinds"]["data"].is_null()), (&Value::from(0), true));
    assert!(info["stores"][0]["url"].as_str().expect("written down").ends_with("store"));
}

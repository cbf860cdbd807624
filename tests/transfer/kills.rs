//! Verbs that change something beside a work tree (a store, a copy of one, the user's configuration, git-lfs's objects) killed
//! (`kill -9`) before steps that show in a directory, and writers under git stopped (SIGSTOP) while others collect.
//!
//! Verbs without git are killed so in `tests/bundle/kills.rs`, those that move work trees in `steps.rs`. Each test here takes some of
//! the steps; `just nightly` takes all, and counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use datamon_test_support::{Hermetic, Killed, Meddler, Tally, TestRepo, run, seeded_bytes};
use serde_json::Value;

use super::{Team, assert_files, change, file, first, flip, objects};

type Steps<'a> = &'a mut dyn Iterator<Item = u64>;
type Kill = fn(Killed, Steps<'_>) -> u64;

/// A verb that is killed, again and again.
struct Verb<'a> {
    env: &'a Hermetic,
    /// Makes something for it to do.
    before: &'a dyn Fn(u64),
    command: &'a dyn Fn(u64) -> Command,
    /// What holds when it was killed, and not done again yet.
    left: &'a dyn Fn(),
    /// What holds when it was done again.
    after: &'a dyn Fn(u64, &str),
}

impl Verb<'_> {
    /// Kills it before these steps, until it gets to its end. How often it was killed.
    fn kill(&self, killed: Killed, steps: Steps<'_>) -> u64 {
        let meddler = Meddler::new(self.env);
        let mut kills = 0;
        for at in steps {
            (self.before)(at);
            let (said, reached) = meddler.kill(&mut (self.command)(at), killed, at);
            let context = format!("{killed:?} before step {at}: {}", said.stderr);
            free(self.env);
            (self.left)();
            run(&mut (self.command)(at));
            (self.after)(at, &context);
            if !reached {
                assert_eq!(said.code, Some(0), "{context}");
                break;
            }
            kills += 1;
        }
        kills
    }
}

/// What a user does who is told of a lock of git that nobody holds.
fn free(env: &Hermetic) {
    for dir in [env.work(), env.home()] {
        for (_, path) in objects(&dir).into_iter().filter(|(name, _)| name.ends_with(".lock")) {
            fs::remove_file(path).expect("a lock");
        }
    }
}

fn datamon(repo: &TestRepo, words: &[&str]) -> Command {
    let mut git = repo.env().command("git");
    git.current_dir(repo.dir()).arg("datamon").args(words);
    git
}

fn json(repo: &TestRepo, words: &[&str]) -> Value {
    serde_json::from_str(run(&mut datamon(repo, words)).text()).expect("JSON")
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("plain")
}

/// Files of which some stay for a while, so that packs are partly dead.
fn version(at: u64) -> BTreeMap<String, Vec<u8>> {
    let mut files = file("large.bin", at, 90_000);
    files.extend((0..3).map(|n| (format!("s/{n}.bin"), seeded_bytes(1000 + (at + n) / 3, 4_000))));
    files
}

fn init(killed: Killed, steps: Steps<'_>) -> u64 {
    let env = first();
    let store = |at: u64| env.root().join("stores").join(at.to_string());
    fs::create_dir(env.root().join("stores")).expect("a new directory");
    let command = |at: u64| {
        let repo = env.repo(&at.to_string());
        datamon(&repo, &["init", "--store", plain(&store(at)), "--track", "*.bin"])
    };
    let after = |at: u64, context: &str| {
        let repo = env.repo(&at.to_string());
        let staged = repo.git(["status", "--short"]);
        assert_eq!(staged.lines(), ["A  .gitattributes", "A  .lfsconfig", "A  datamon.toml"], "{context}");
        let remote = env.init_bare(&format!("{at}.git"));
        repo.add_remote("origin", remote.dir());
        change(&repo, "data", &version(at));
        repo.push("origin", "main");
        let clone = first().clone_from(remote.dir(), "clone");
        assert_files(&clone, &version(at));
        run(&mut datamon(&clone, &["fsck", "--data"]));
    };
    let before = |at: u64| drop(env.init(&at.to_string()));
    Verb { env: &env, before: &before, command: &command, left: &|| (), after: &after }.kill(killed, steps)
}

fn install(killed: Killed, steps: Steps<'_>) -> u64 {
    let env = crate::cli::machine();
    let command = |_: u64| {
        let mut git = env.command("git");
        git.args(["datamon", "install"]);
        git
    };
    let installed = || {
        let config = run(env.command("git").args(["config", "--global", "--list"]));
        let mut config: Vec<String> = config.lines().into_iter().map(str::to_owned).collect();
        config.sort();
        let pages = objects(&env.home().join(".local/share/man"));
        (config, pages.into_iter().map(|(name, path)| (name, fs::read(path).expect("a page"))).collect())
    };
    run(&mut command(0));
    let wanted: (Vec<String>, BTreeMap<String, Vec<u8>>) = installed();
    assert!(wanted.0.len() > 5 && wanted.1.len() > 5, "{wanted:?}");
    let before = |_: u64| {
        fs::write(env.user_config(), "").expect("a file of this test");
        fs::remove_dir_all(env.home().join(".local")).expect("its manual");
    };
    let after = |_: u64, context: &str| assert_eq!(installed(), wanted, "{context}");
    Verb { env: &env, before: &before, command: &command, left: &|| (), after: &after }.kill(killed, steps)
}

/// Another version that was pushed.
fn push_another(team: &Team, at: u64) {
    team.change("next", &version(at));
    team.repo.push("origin", "main");
}

fn promote(killed: Killed, steps: Steps<'_>) -> u64 {
    let team = Team::pushed(first);
    let repo = &team.repo;
    let prod = team.env.root().join("prod");
    run(&mut datamon(repo, &["context", "add", "prod", plain(&prod), "--create"]));
    let left = || drop(run(&mut datamon(repo, &["fsck", "--store", "prod"])));
    let after = |at: u64, context: &str| {
        run(&mut datamon(repo, &["fsck", "--data", "--store", "prod"]));
        let labels = json(repo, &["label", "list", "--store", "prod", "--json"]);
        assert_eq!(labels[0]["bundle"], json(repo, &["show", "--json"])["bundle"], "{context}");
        let dest = team.env.root().join("dest");
        run(&mut datamon(repo, &["download", "v1", "--store", "prod", "--dest", plain(&dest)]));
        for (path, bytes) in version(at) {
            assert!(fs::read(dest.join(&path)).expect("there") == bytes, "{path}: {context}");
        }
        fs::remove_dir_all(dest).expect("of this test");
    };
    let before = |at| push_another(&team, at);
    let command = |_| datamon(repo, &["promote", "HEAD", "--to", "prod", "--label", "v1"]);
    Verb { env: &team.env, before: &before, command: &command, left: &left, after: &after }
        .kill(killed, steps)
}

/// Objects that the log knows, by name.
fn content(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let known = |name: &String| {
        ["data/", "meta/", "log/"].iter().any(|it| name.starts_with(it))
            && !name.contains('#')
            && name != "log/HEAD"
    };
    let found = objects(store).into_iter().filter(|(name, _)| known(name));
    found.map(|(name, path)| (name, fs::read(path).expect("an object"))).collect()
}

fn mirror_sync(killed: Killed, steps: Steps<'_>) -> u64 {
    let team = Team::pushed(first);
    let mirror = team.env.root().join("mirror");
    run(&mut datamon(&team.repo, &["mirror", "add", plain(&mirror)]));
    // What a mirror has of a name is whole, or what reads from it would see a half.
    let left = || {
        let whole = content(&team.store);
        for (name, bytes) in content(&mirror) {
            assert!(whole.get(&name) == Some(&bytes), "{name} in the mirror is something else");
        }
    };
    let after = |_: u64, context: &str| {
        assert!(content(&mirror) == content(&team.store), "{context}");
        assert_eq!(json(&team.repo, &["mirror", "list", "--json"])[0]["behind"], 0, "{context}");
    };
    let before = |at| push_another(&team, at);
    let command = |_| datamon(&team.repo, &["mirror", "sync"]);
    Verb { env: &team.env, before: &before, command: &command, left: &left, after: &after }
        .kill(killed, steps)
}

fn prune(killed: Killed, steps: Steps<'_>) -> u64 {
    let team = Team::pushed(first);
    let repo = &team.repo;
    let left = || drop(run(&mut datamon(repo, &["fsck"])));
    let after = |at: u64, context: &str| {
        let gone = super::oid(&version(at)["large.bin"]);
        assert!(!team.object_path(&gone).exists(), "{context}");
        // Both versions are there, wherever each file comes from.
        repo.git(["checkout", "-q", "HEAD~"]);
        assert_files(repo, &version(at));
        repo.git(["checkout", "-q", "main"]);
        assert_files(repo, &version(at + 500));
    };
    let before = |at| {
        push_another(&team, at);
        push_another(&team, at + 500);
    };
    let command = |_| datamon(repo, &["prune"]);
    Verb { env: &team.env, before: &before, command: &command, left: &left, after: &after }
        .kill(killed, steps)
}

fn repair(killed: Killed, steps: Steps<'_>) -> u64 {
    let team = Team::pushed(first);
    let data = || -> Vec<PathBuf> {
        let packs = objects(&team.store).into_iter().filter(|(name, _)| name.starts_with("data/"));
        packs.map(|(_, path)| path).collect()
    };
    let after = |at: u64, _: &str| {
        let clone = team.clone_elsewhere(first);
        assert_files(&clone, &version(at));
        run(&mut datamon(&clone, &["fsck", "--full"]));
    };
    let before = |at| {
        let known = data();
        push_another(&team, at);
        let new: Vec<PathBuf> = data().into_iter().filter(|path| !known.contains(path)).collect();
        assert!(!new.is_empty(), "nothing to damage");
        new.iter().for_each(|path| flip(path, 2_000));
    };
    let command = |_| datamon(&team.repo, &["repair", "--full"]);
    Verb { env: &team.env, before: &before, command: &command, left: &|| (), after: &after }
        .kill(killed, steps)
}

/// A few steps, of one process.
#[track_caller]
fn some(kill: Kill, steps: [u64; 2]) {
    let kills = kill(Killed::One, &mut steps.into_iter());
    assert!(kills > 0, "nothing was killed");
}

#[test]
fn an_init_that_is_killed_is_done_by_the_next() {
    some(init, [9, 36]);
}

#[test]
fn an_install_that_is_killed_is_done_by_the_next() {
    some(install, [2, 7]);
}

#[test]
fn a_promote_that_is_killed_is_done_by_the_next() {
    some(promote, [2, 7]);
}

#[test]
fn a_mirror_whose_sync_is_killed_has_no_half_and_is_brought_up_by_the_next() {
    some(mirror_sync, [2, 7]);
}

#[test]
fn a_prune_that_is_killed_loses_nothing() {
    some(prune, [2, 7]);
}

#[test]
fn a_repair_that_is_killed_is_done_by_the_next() {
    some(repair, [2, 7]);
}

#[test]
#[ignore = "every step, for `just nightly`"]
fn verbs_that_are_killed_at_every_single_step_are_done_by_the_next() {
    let mut tally = Tally::anew(concat!(env!("CARGO_TARGET_TMPDIR"), "/kills-repositories.tsv"));
    let verbs: [(&str, Kill); 6] = [
        ("init", init),
        ("install", install),
        ("promote", promote),
        ("mirror sync", mirror_sync),
        ("prune", prune),
        ("repair (damaged)", repair),
    ];
    for (name, kill) in verbs {
        for killed in [Killed::One, Killed::All] {
            tally.add(name, kill(killed, &mut (0..)));
        }
        assert!(tally.get(name) > 3, "{name}: few steps");
    }
}

/// A writer under git is stopped before step `at` while collections without any wait run to their end, and take what it shares with
/// a version that was given up; then it goes on. Whether it got that far.
fn stopped(words: &[&str], at: u64) -> bool {
    let team = Team::pushed(first);
    let (env, repo) = (&team.env, &team.repo);
    let named = ["--store", plain(&team.store), "--repo", "other"];
    let given_up = env.work().join("other");
    fs::create_dir(&given_up).expect("a new directory");
    for seed in [50, 51] {
        fs::write(given_up.join("file"), seeded_bytes(seed, 120_000)).expect("written");
        run(&mut datamon(repo, &[&["upload", plain(&given_up)], &named[..]].concat()));
    }
    run(&mut datamon(repo, &[&["squash", "--keep-last", "1", "--apply"], &named[..]].concat()));
    let (before, mut files) = (repo.head(), file("again.bin", 50, 120_000));
    files.extend(file("new.bin", 60, 30_000));
    for (path, bytes) in &files {
        repo.write(path, bytes);
    }
    repo.add(".");
    if words[0] == "push" {
        repo.commit("next");
    }
    let mut writer = env.command("git");
    let Ok(stopped) = Meddler::new(env).stop(writer.current_dir(repo.dir()).args(words), at) else {
        return false;
    };
    let elsewhere = first();
    for _ in 0..2 {
        let collect = ["datamon", "gc", "run", "--grace", "0", "--orphans", "0", "--store"];
        run(elsewhere.command("git").args(collect).arg(&team.store));
    }
    let said = stopped.go_on();
    run(&mut datamon(repo, &["fsck", "--data"]));
    if said.code != Some(0) {
        assert!(!said.stderr.trim().is_empty(), "step {at}: an error without words");
        if repo.head() == before {
            repo.git(words);
        }
        repo.push("origin", "main");
    } else if words[0] != "push" {
        repo.push("origin", "main");
    }
    // A push that said it was done was done: nothing was sent since.
    let clone = team.clone_elsewhere(first);
    assert_files(&clone, &files);
    run(&mut datamon(&clone, &["fsck", "--data"]));
    true
}

const PUSH: [&str; 3] = ["push", "origin", "main"];
const COMMIT: [&str; 4] = ["datamon", "commit", "-m", "next"];

#[test]
fn a_writer_under_git_that_is_stopped_while_others_collect_loses_nothing() {
    let stops = [9, 21].into_iter().filter(|at| stopped(&PUSH, *at)).count();
    let commits = [12].into_iter().filter(|at| stopped(&COMMIT, *at)).count();
    assert!(stops > 0 && commits > 0, "{stops} pushes and {commits} commits were stopped");
}

#[test]
#[ignore = "every step, for `just nightly`"]
fn a_writer_under_git_that_is_stopped_at_any_step_loses_nothing() {
    let mut tally = Tally::anew(concat!(env!("CARGO_TARGET_TMPDIR"), "/stops-repositories.tsv"));
    for (name, words) in [("push", &PUSH[..]), ("commit", &COMMIT)] {
        tally.add(name, (0..).take_while(|at| stopped(words, *at)).count() as u64);
        assert!(tally.get(name) > 20, "{name}: few steps");
    }
}

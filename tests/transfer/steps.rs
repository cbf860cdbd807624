//! Our verbs ended before every single step that shows in a directory, ours and git's, until a run gets to its end: what is there
//! is sound, and doing it again is enough.
//!
//! A killed git leaves locks (`index.lock`), which git names and the user removes; so do these tests. Each test here takes some
//! of the steps, evenly; `just nightly` takes all.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use datamon_test_support::{Hermetic, Killed, Meddler, Tally, TestRepo, run, seeded_bytes};
use serde_json::Value;

use super::{Team, assert_files, first, git_fails};

fn json(repo: &TestRepo, args: &[&str]) -> Value {
    serde_json::from_str(repo.git(args).text()).expect("JSON")
}

/// `git datamon status --json`, whatever the exit code.
fn status(repo: &TestRepo) -> Value {
    let mut git = repo.env().command("git");
    let said = git.current_dir(repo.dir()).args(["datamon", "status", "--json"]).output().expect("runs");
    let said: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|_| panic!("no status: {}", String::from_utf8_lossy(&said.stderr)));
    said
}

fn command(repo: &TestRepo, args: &[&str]) -> Command {
    let mut git = repo.env().command("git");
    git.current_dir(repo.dir()).arg("datamon").args(args);
    git
}

/// What a user does who is told of a lock that nobody holds. Whether the index was locked: then git may have moved HEAD without
/// writing the index, and is told by `git reset` what HEAD has.
fn unlock(repo: &TestRepo) -> bool {
    let git_dir = repo.git(["rev-parse", "--absolute-git-dir"]).text().to_owned();
    let locks = super::objects(git_dir.as_ref()).into_iter().filter(|(name, _)| name.ends_with(".lock"));
    let locks: Vec<_> = locks.collect();
    locks.iter().for_each(|(_, path)| fs::remove_file(path).expect("a lock"));
    locks.iter().any(|(name, _)| name == "index.lock")
}

/// Commits with a label, killed before every `stride`-th step. Each goes on where the one before it came to an end. How often it was
/// killed, as all of these say.
fn commit_killed(killed: Killed, stride: usize) -> u64 {
    let team = Team::pushed(first);
    let meddler = Meddler::new(&team.env);
    let repo = &team.repo;
    let message = ["commit", "-m", "next", "--label", "current"];
    let (mut moved, mut kept, mut kills) = (0, 0, 0);
    for at in (0..).step_by(stride) {
        let files = change_everything(repo, at);
        let before = repo.head();
        let (said, reached) = meddler.kill(&mut command(repo, &message), killed, at);
        let locked = unlock(repo);
        let context = format!("{killed:?} before step {at}: {}", said.stderr);
        let committed = check_killed_commit(&team, &files, &before, locked, &context);
        if committed {
            moved += 1;
            let said = git_fails(repo, &["datamon", "commit", "-m", "next", "--label", "current"]);
            assert!(said.contains("nothing to commit"), "{context}: {said}");
            if locked {
                repo.git(["reset", "--quiet"]);
            }
            repo.git(["datamon", "bundle"]);
            repo.git(["datamon", "label", "set", "current"]);
        } else {
            kept += 1;
            repo.git(["datamon"].iter().chain(&message));
        }
        assert_converged(&team, &files, &before, &context);
        kills += u64::from(reached);
        if !reached {
            assert_eq!(said.code, Some(0), "{context}");
            break;
        }
    }
    assert!(kept > 1 && moved > 1, "{kept} runs ended before the commit was made, {moved} after: few steps");
    repo.git(["datamon", "notes", "repair"]);
    let again = json(repo, &["datamon", "notes", "repair", "--json"]);
    assert_eq!(again["changed"], 0, "{again}");
    let moves = json(repo, &["datamon", "label", "history", "current", "--json"]);
    assert_eq!(moves.as_array().map(Vec::len), Some(moved + kept), "one move for each commit");
    team.assert_sound();
    kills
}

/// A file of git-lfs anew, another changed, one of git, and one of git that is staged; each of another length than before, as
/// all of this may happen within one second. Dated back, so that no commit waits for that second to end.
fn change_everything(repo: &TestRepo, at: u64) -> BTreeMap<String, Vec<u8>> {
    let bytes = |seed: u64, length: u64| seeded_bytes(1000 * seed + at, (length + at) as usize);
    let files = BTreeMap::from([
        ("large.bin".to_owned(), bytes(1, 90_000)),
        ("small/new.bin".to_owned(), bytes(2, 3_000)),
        ("readme.txt".to_owned(), bytes(3, 20)),
        (format!("staged/{at}.txt"), bytes(4, 30)),
    ]);
    for (path, bytes) in &files {
        repo.write(path, bytes);
        let file = fs::File::options().write(true).open(repo.dir().join(path)).expect("just written");
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(10);
        file.set_modified(then).expect("a date");
    }
    if at == 0 {
        repo.add("small/new.bin");
    }
    repo.add(&format!("staged/{at}.txt"));
    files
}

/// Nothing is lost and nothing is half there; whether the commit was made.
#[track_caller]
fn check_killed_commit(
    team: &Team,
    files: &BTreeMap<String, Vec<u8>>,
    before: &str,
    locked: bool,
    context: &str,
) -> bool {
    let repo = &team.repo;
    for (path, bytes) in files {
        assert!(repo.read(path) == *bytes, "{path}: {context}");
    }
    repo.git(["fsck", "--strict", "--no-dangling"]);
    repo.git(["datamon", "fsck"]);
    let committed = repo.head() != before;
    let status = status(repo);
    assert_eq!((&status["missing"], &status["unknown"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    let modified = status["modified"].as_array().expect("a list").len();
    let branch = &status["branches"][0];
    if committed {
        assert_eq!(repo.git(["rev-parse", "HEAD~"]).text(), before, "{context}");
        assert!(locked || modified == 0, "{context}: {status}");
        assert_eq!(branch["unpushed"], 1, "{context}: {status}");
        assert_tree(repo, files, context);
        // The store and the status agree on whether there is a version.
        match branch["state"].as_str() {
            Some("made") => assert_eq!(json(repo, &["datamon", "show", "--json"])["commit"], repo.head()),
            Some("none") => assert!(git_fails(repo, &["datamon", "show"]).contains("no bundle was made")),
            other => panic!("{context}: {other:?}"),
        }
    } else {
        assert_eq!((modified, branch["state"].as_str()), (files.len(), Some("made")), "{context}: {status}");
    }
    committed
}

/// HEAD has these files, those of git-lfs as the pointers of their bytes.
#[track_caller]
fn assert_tree(repo: &TestRepo, files: &BTreeMap<String, Vec<u8>>, context: &str) {
    for (path, bytes) in files {
        let blob = repo.git(["cat-file", "blob", &format!("HEAD:{path}")]).stdout;
        if path.ends_with(".bin") {
            let text = String::from_utf8_lossy(&blob).into_owned();
            let (oid, size) = (super::oid(bytes), bytes.len());
            assert!(text.contains(&format!("sha256:{oid}\nsize {size}\n")), "{path}: {context}\n{text}");
        } else {
            assert!(blob == *bytes, "{path}: {context}");
        }
    }
}

/// One commit, with its version, its note and its label, and all of it pushed.
#[track_caller]
fn assert_converged(team: &Team, files: &BTreeMap<String, Vec<u8>>, before: &str, context: &str) {
    let repo = &team.repo;
    assert_eq!(repo.git(["rev-parse", "HEAD~"]).text(), before, "{context}");
    assert_tree(repo, files, context);
    let shown = json(repo, &["datamon", "show", "--json"]);
    assert_eq!((&shown["commit"], &shown["labels"]), (&repo.head().into(), &serde_json::json!(["current"])));
    let notes = json(repo, &["datamon", "notes", "show", "--json"]);
    let noted = |it: &Value| it["record"]["kind"] == "bundle" && it["record"]["id"] == shown["bundle"];
    assert!(notes["records"].as_array().is_some_and(|all| all.iter().any(noted)), "{context}: {notes}");
    repo.git(["datamon", "-q", "push", "origin", "main"]);
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "", "{context}");
    assert_eq!(status(repo)["clean"], true, "{context}: {}", status(repo));
}

/// Files of git-lfs and of git, all others with each `seed`.
fn several(seed: u64) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> =
        (0..6).map(|n| (format!("d/{n}.bin"), seeded_bytes(100 * seed + n, 9_000 + seed as usize))).collect();
    files.insert(format!("only/{seed}.bin"), seeded_bytes(7, 5_000));
    files.insert("readme.txt".to_owned(), format!("version {seed}\n").into_bytes());
    files
}

/// Without git-lfs's own copies, so that data comes from the store or not at all.
fn forget_objects(repo: &TestRepo) {
    let _ = fs::remove_dir_all(repo.dir().join(".git/lfs/objects"));
}

/// How far the steps are apart where they are looked at closely.
const CLOSE: usize = 2;

fn push_killed(killed: Killed, stride: usize) -> u64 {
    let team = Team::pushed(first);
    let meddler = Meddler::new(&team.env);
    let (mut arrived, mut not, mut kills) = (0, 0, 0);
    let (mut at, mut stride) = (0, stride);
    for seed in 2.. {
        let files = several(seed);
        let head = team.change("next", &files);
        let (said, reached) = meddler.kill(&mut command(&team.repo, &["push", "origin", "main"]), killed, at);
        unlock(&team.repo);
        unlock(&team.remote);
        let context = format!("{killed:?} before step {at}: {}", said.stderr);
        for repo in [&team.repo, &team.remote] {
            repo.git(["fsck", "--strict", "--no-dangling"]);
        }
        team.repo.git(["datamon", "fsck"]);
        // What the remote has, the store has the data of.
        let kept = team.repo.dir().join("kept");
        if team.remote.git(["rev-parse", "main"]).text() == head {
            arrived += 1;
            fs::rename(team.repo.dir().join(".git/lfs/objects"), &kept).expect("git-lfs has objects");
            assert_eq!(status(&team.repo)["missing"], Value::Array(vec![]), "{context}");
            forget_objects(&team.repo);
            fs::rename(&kept, team.repo.dir().join(".git/lfs/objects")).expect("moved above");
        } else {
            not += 1;
        }
        team.repo.git(["datamon", "push", "origin", "main"]);
        assert_eq!(status(&team.repo)["clean"], true, "{context}: {}", status(&team.repo));
        assert_eq!(json(&team.repo, &["datamon", "show", "--json"])["commit"], head, "{context}");
        assert_eq!(team.remote.git(["rev-parse", "main"]).text(), head, "{context}");
        kills += u64::from(reached);
        if !reached && stride <= CLOSE {
            assert_files(&team.clone_elsewhere(first), &files);
            break;
        }
        // Few steps come after the remote has the commit, so the last ones are looked at closely.
        (at, stride) = if reached { (at + stride as u64, stride) } else { (at - stride as u64 + 1, CLOSE) };
    }
    assert!(arrived > 1 && not > 1, "{not} ended before the remote had the commit, {arrived} after");
    team.assert_sound();
    kills
}

fn checkout_killed(killed: Killed, stride: usize) -> u64 {
    let team = Team::pushed(first);
    let meddler = Meddler::new(&team.env);
    let repo = &team.repo;
    for n in 0..2 {
        repo.git(["checkout", "-q", "-b", &format!("side-{n}"), "main"]);
        team.change("side", &several(n));
        repo.push("origin", &format!("side-{n}"));
    }
    let (mut half, mut kills) = (0, 0);
    for (n, at) in (0..).zip((0..).step_by(stride)) {
        forget_objects(repo);
        let branch = format!("side-{}", n % 2);
        let (said, reached) = meddler.kill(&mut command(repo, &["checkout", &branch]), killed, at);
        unlock(repo);
        let context = format!("{killed:?} before step {at}: {}", said.stderr);
        repo.git(["fsck", "--strict", "--no-dangling"]);
        // What git itself left half written are edits to it, as after any killed checkout of git.
        let again = command(repo, &["checkout", &branch]).output().expect("runs");
        if !again.status.success() {
            half += 1;
            repo.git(["datamon", "checkout", "--force", &branch]);
        }
        assert_eq!(repo.git(["branch", "--show-current"]).text(), branch, "{context}");
        assert_files(repo, &several(n % 2));
        let other = several(1 - n % 2);
        let gone = other.keys().find(|path| path.starts_with("only/")).expect("one");
        assert!(!repo.dir().join(gone).exists(), "{gone}: {context}");
        if !reached {
            break;
        }
        kills += 1;
    }
    assert!(half > 0, "nothing was half written: few steps");
    team.assert_sound();
    kills
}

fn pull_killed(killed: Killed, stride: usize) -> u64 {
    let team = Team::pushed(first);
    let env = first();
    let meddler = Meddler::new(&env);
    run(env.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    let mut kills = 0;
    for at in (0..).step_by(stride) {
        let files = several(at);
        let head = team.change("next", &files);
        team.repo.push("origin", "main");
        let (said, reached) = meddler.kill(&mut command(&clone, &["pull"]), killed, at);
        unlock(&clone);
        let context = format!("{killed:?} before step {at}: {}", said.stderr);
        clone.git(["fsck", "--strict", "--no-dangling"]);
        let again = command(&clone, &["pull"]).output().expect("runs");
        if !again.status.success() {
            // Git's own half of a merge.
            clone.git(["reset", "--hard", "--quiet"]);
            clone.git(["clean", "-fdq"]);
            clone.git(["datamon", "pull"]);
        }
        assert_eq!(clone.head(), head, "{context}");
        clone.git(["datamon", "pull", "--data-only"]);
        assert_files(&clone, &files);
        if !reached {
            break;
        }
        kills += 1;
    }
    super::assert_clean(&clone);
    kills
}

fn clone_killed(killed: Killed, stride: usize) -> u64 {
    let team = Team::pushed(first);
    team.change("next", &several(1));
    team.repo.push("origin", "main");
    let env: Hermetic = first();
    let meddler = Meddler::new(&env);
    let (mut completed, mut kills) = (0, 0);
    for at in (0..).step_by(stride) {
        let name = at.to_string();
        let clone = |name: &str| {
            let mut git = env.command("git");
            git.args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg(name);
            git
        };
        let (said, reached) = meddler.kill(&mut clone(&name), killed, at);
        let repo = env.repo(&name);
        let context = format!("{killed:?} before step {at}: {}", said.stderr);
        // Once git is done, its part is whole, and the rest is one command.
        let seen = env
            .command("git")
            .current_dir(env.work())
            .arg("-C")
            .arg(&name)
            .args(["status", "--porcelain"])
            .output()
            .expect("runs");
        let done = seen.status.success() && seen.stdout.is_empty() && repo.dir().join(".git/index").exists();
        if done {
            completed += 1;
            unlock(&repo);
            repo.git(["datamon", "pull", "--data-only"]);
        } else {
            let _ = fs::remove_dir_all(repo.dir());
            run(&mut clone(&name));
        }
        repo.git(["fsck", "--strict"]);
        assert_files(&repo, &several(1));
        super::assert_clean(&repo);
        fs::remove_dir_all(repo.dir()).expect("a clone of this test");
        if !reached {
            assert_eq!(said.code, Some(0), "{context}");
            break;
        }
        kills += 1;
    }
    assert!(completed > 1, "{completed} clones ended after git was done: few steps");
    kills
}

#[test]
fn a_push_killed_at_any_step_is_completed_by_the_next() {
    push_killed(Killed::All, 17);
    push_killed(Killed::One, 23);
}

#[test]
fn a_checkout_killed_at_any_step_is_completed_by_the_next() {
    checkout_killed(Killed::All, 5);
    checkout_killed(Killed::One, 7);
}

#[test]
fn a_pull_killed_at_any_step_is_completed_by_the_next() {
    pull_killed(Killed::All, 17);
    pull_killed(Killed::One, 23);
}

#[test]
fn a_clone_killed_at_any_step_is_completed_by_a_pull() {
    clone_killed(Killed::All, 17);
    clone_killed(Killed::One, 23);
}

#[test]
#[ignore = "every step, for `just nightly`"]
fn a_push_killed_at_every_single_step_is_completed_by_the_next() {
    let mut tally = Tally::anew(concat!(env!("CARGO_TARGET_TMPDIR"), "/kills-push.tsv"));
    for killed in [Killed::All, Killed::One] {
        tally.add("push", push_killed(killed, 1));
    }
}

#[test]
#[ignore = "every step, for `just nightly`"]
fn a_switch_killed_at_every_single_step_is_completed_by_the_next() {
    let mut tally = Tally::anew(concat!(env!("CARGO_TARGET_TMPDIR"), "/kills-switch.tsv"));
    for killed in [Killed::All, Killed::One] {
        tally.add("checkout", checkout_killed(killed, 1));
        tally.add("pull", pull_killed(killed, 1));
        tally.add("clone", clone_killed(killed, 1));
    }
}

#[test]
fn a_commit_that_all_of_it_is_killed_at_any_step_is_made_by_the_next() {
    commit_killed(Killed::All, 7);
}

#[test]
fn a_commit_of_which_one_process_is_killed_at_any_step_is_made_by_the_next() {
    commit_killed(Killed::One, 7);
}

#[test]
#[ignore = "every step, for `just nightly`"]
fn a_commit_killed_at_every_single_step_is_made_by_the_next() {
    let mut tally = Tally::anew(concat!(env!("CARGO_TARGET_TMPDIR"), "/kills-commit.tsv"));
    for killed in [Killed::All, Killed::One] {
        tally.add("commit", commit_killed(killed, 1));
    }
}

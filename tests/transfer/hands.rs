//! Files that somebody writes to while they are read: at every single read of them, until a run comes to its end unseen. What is
//! committed is what is stored, or nothing is.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use datamon_test_support::{Change, Meddler, TestRepo, run, seeded_bytes};
use serde_json::Value;

use super::{Team, assert_files, first, oid};

const CHANGES: [Change; 4] = [Change::Rewrite, Change::Append, Change::Truncate, Change::Replace];

/// More than two windows of the one pass that reads into the store, bytes.
const LARGE: usize = 9 << 20;
/// More than two reads of the pass that keeps a file here.
const SMALL: usize = 5 << 19;

fn command(repo: &TestRepo, args: &[&str]) -> Command {
    let mut git = repo.env().command("git");
    git.current_dir(repo.dir()).arg("datamon").args(args);
    git
}

/// Another file each time, also in its length, dated back so that nothing waits for the second to end.
fn write(path: &Path, n: u64, size: usize) -> Vec<u8> {
    let bytes = seeded_bytes(n, size + n as usize);
    fs::write(path, &bytes).expect("a file of this test");
    let file = fs::File::options().write(true).open(path).expect("just written");
    file.set_modified(SystemTime::now() - Duration::from_secs(10)).expect("a date");
    bytes
}

/// Commits while somebody writes, then again in peace.
fn commits_while(options: &[&str], size: usize) {
    let team = Team::pushed(first);
    let meddler = Meddler::new(&team.env);
    let repo = &team.repo;
    let file = repo.dir().join("large.bin");
    let args = [&["commit", "-m", "next"], options].concat();
    let (mut refused, mut n) = (0, 0);
    for how in CHANGES {
        for at in 0.. {
            n += 1;
            write(&file, n, size);
            let before = repo.head();
            let (said, reached) = meddler.change(&mut command(repo, &args), &file, how, at);
            let context = format!("{how:?} before read {at}: {}", said.stderr);
            let now = fs::read(&file).expect("there");
            if said.code == Some(0) {
                assert!(!reached, "{context}");
                assert_committed(repo, &now, &context);
                break;
            }
            refused += 1;
            assert_eq!((said.code, repo.head()), (Some(3), before), "{context}");
            assert!(said.stderr.contains("large.bin") && said.stderr.contains("changed while"), "{context}");
            assert_eq!(repo.git(["diff", "--cached", "--name-only"]).text(), "", "{context}");
            repo.git(["datamon"].iter().chain(&args));
            assert_committed(repo, &now, &context);
        }
    }
    assert!(refused >= 3 * CHANGES.len(), "refused {refused} times: few reads");
    let bytes = fs::read(&file).expect("there");
    repo.git(["datamon", "-q", "push", "origin", "main"]);
    assert_files(&team.clone_elsewhere(first), &[("large.bin".to_owned(), bytes)].into());
    team.assert_sound();
}

/// The pointer of HEAD is that of these bytes, and git finds the work tree unchanged.
#[track_caller]
fn assert_committed(repo: &TestRepo, bytes: &[u8], context: &str) {
    let pointer = repo.git(["cat-file", "blob", "HEAD:large.bin"]).text().to_owned();
    assert!(pointer.contains(&oid(bytes)), "{context}\n{pointer}");
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "", "{context}");
}

#[test]
fn a_commit_of_a_file_that_changes_meanwhile_is_refused_and_the_next_made() {
    commits_while(&[], LARGE);
}

#[test]
fn a_commit_without_upload_is_as_careful() {
    commits_while(&["--no-upload"], SMALL);
}

#[test]
fn an_upload_of_a_file_that_changes_meanwhile_makes_no_version() {
    let env = first();
    let meddler = Meddler::new(&env);
    let (dir, store) = (env.work().join("data"), env.root().join("store"));
    fs::create_dir(&dir).expect("made");
    let file = dir.join("large");
    let at_store = |words: &[&str]| {
        let mut git = env.command("git");
        git.args(["-C"]).arg(env.work()).arg("datamon").args(words);
        git.args(["--store", store.to_str().expect("plain"), "--repo", "data"]);
        git
    };
    let versions = || {
        let said = at_store(&["log", "--json"]).output().expect("runs").stdout;
        String::from_utf8(said).expect("text").lines().count()
    };
    let stored = |said: &[u8]| {
        let bundle: Value = serde_json::from_slice(said).expect("JSON");
        let bundle = bundle["bundle"].as_str().expect("an id");
        at_store(&["cat", &format!("{bundle}:large")]).output().expect("runs").stdout
    };
    let made = at_store(&["upload", "data", "--create"]).output().expect("runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (mut refused, mut n) = (0, 0);
    for how in CHANGES {
        for at in 0.. {
            n += 1;
            let written = write(&file, n, LARGE);
            let before = versions();
            let (said, reached) =
                meddler.change(&mut at_store(&["upload", "data", "--json"]), &file, how, at);
            let context = format!("{how:?} before read {at}: {}", said.stderr);
            if said.code == Some(0) {
                // Who puts another file in the place of one that is open does not change the bytes of that.
                assert!(!reached || how == Change::Replace, "{context}");
                assert!(stored(&said.stdout) == written, "{context}");
            } else {
                refused += 1;
                assert!(said.stderr.contains("large"), "{context}");
                assert_eq!(versions(), before, "{context}");
            }
            let again = at_store(&["upload", "data", "--json"]).output().expect("runs");
            assert!(stored(&again.stdout) == fs::read(&file).expect("there"), "{context}");
            if !reached {
                break;
            }
        }
    }
    assert!(refused >= CHANGES.len(), "refused {refused} times: few reads");
    let mut fsck = env.command("git");
    run(fsck.args(["datamon", "fsck", "--data", "--store"]).arg(&store));
}

//! Data that only the work tree has, and plain files in packs that are damaged: sent to the store by whatever sends.

use std::collections::BTreeMap;
use std::fs;

use datamon_test_support::{Output, TestRepo, run, run_failing, seeded_bytes};
use serde_json::{Value, json};

use super::{Machine, Team, assert_files, each_git_lfs, file, files, first, line_with, objects, oid};

each_git_lfs!(a_store_made_anew_gets_what_only_the_work_tree_has);

/// `git datamon status --json`, whatever its exit code is.
fn status(repo: &TestRepo) -> Value {
    let mut git = repo.env().command("git");
    let said = git.current_dir(repo.dir()).args(["datamon", "status", "--json"]).output().expect("runs");
    serde_json::from_slice(&said.stdout).expect("JSON")
}

fn paths(status: &Value, field: &str) -> Vec<String> {
    let listed = status[field].as_array().unwrap_or_else(|| panic!("no {field} in {status}"));
    listed.iter().map(|it| it["path"].as_str().expect("text").to_owned()).collect()
}

/// Everything is pushed, the work tree is the only copy on this machine, and the store is lost and made anew.
fn made_anew(machine: Machine) -> Team {
    let team = Team::new(machine);
    for (path, bytes) in files(1) {
        team.repo.write(&path, bytes);
    }
    team.repo.git(["datamon", "commit", "-m", "first", "."]);
    team.repo.git(["datamon", "push", "origin", "main"]);
    let _ = fs::remove_dir_all(team.repo.dir().join(".git/lfs/objects"));
    fs::remove_dir_all(&team.store).expect("there");
    run(team.env.command("git").args(["config", "--global", "--unset-all", "datamon.trust"]));
    team.repo.git(["datamon", "-q", "init", "--store", team.store.to_str().expect("plain")]);
    team
}

fn data() -> Vec<String> {
    let all = files(1).into_keys();
    all.filter(|path| path.ends_with(".bin") && path != "empty.bin").collect()
}

fn a_store_made_anew_gets_what_only_the_work_tree_has(machine: Machine) {
    let team = made_anew(machine);
    let repo = &team.repo;
    let said = status(repo);
    assert_eq!((paths(&said, "here_only"), paths(&said, "missing")), (data(), vec![]));
    assert_eq!(said["clean"], false);
    // The branch is where it was: what its version lacks goes all the same.
    let pushed = repo.git(["datamon", "push", "origin", "main"]);
    assert!(!pushed.stderr.contains("warning"), "{}", pushed.stderr);
    let said = status(repo);
    assert_eq!((&said["clean"], &said["here_only"]), (&json!(true), &json!([])), "{said}");
    assert_files(&team.clone_elsewhere(machine), &files(1));
    assert_eq!(repo.lfs_objects().len(), 0, "nothing was copied for it");
    team.assert_sound();
}

#[test]
fn a_plain_push_and_a_bundle_find_it_too() {
    let team = made_anew(first);
    let repo = &team.repo;
    let new = file("new.bin", 9, 40_000);
    team.change("second", &new);
    repo.push("origin", "main");
    assert_eq!(status(repo)["clean"], true);
    let all: BTreeMap<_, _> = files(1).into_iter().chain(new).collect();
    assert_files(&team.clone_elsewhere(first), &all);

    let team = made_anew(first);
    team.repo.git(["datamon", "bundle"]);
    assert_eq!(status(&team.repo)["clean"], true);
    assert_files(&team.clone_elsewhere(first), &files(1));
}

#[test]
fn an_edited_file_is_not_what_is_missing() {
    let team = made_anew(first);
    let repo = &team.repo;
    let path = "text.bin";
    let mut edited = files(1)[path].clone();
    edited[0] ^= 1;
    repo.write(path, &edited);
    assert_eq!(paths(&status(repo), "missing"), [path]);
    let pushed = repo.git(["datamon", "push", "origin", "main"]);
    let line = line_with(&pushed.stderr, "neither here nor in the store");
    assert!(line.starts_with("warning: ") && line.contains(path), "{line}");
    let mut git = repo.env().command("git");
    let failed = run_failing(git.current_dir(repo.dir()).args(["datamon", "bundle"]));
    assert!(failed.code == Some(2) && !failed.stderr.contains("damaged"), "{}", failed.stderr);
    // A link in its place leads nowhere, also where it leads to the right bytes.
    let away = team.env.root().join("away.bin");
    fs::write(&away, &files(1)[path]).expect("written");
    fs::remove_file(repo.dir().join(path)).expect("there");
    std::os::unix::fs::symlink(&away, repo.dir().join(path)).expect("made");
    assert_eq!(paths(&status(repo), "missing"), [path]);
    fs::remove_file(repo.dir().join(path)).expect("there");
    // As it was, though git has not looked at it yet.
    repo.write(path, &files(1)[path]);
    assert_eq!(paths(&status(repo), "missing"), [] as [&str; 0]);
    repo.git(["datamon", "push", "origin", "main"]);
    assert_files(&team.clone_elsewhere(first), &files(1));
}

#[track_caller]
fn fsck(repo: &TestRepo) -> Output {
    let mut git = repo.env().command("git");
    run_failing(git.current_dir(repo.dir()).args(["datamon", "fsck", "--data"]))
}

#[test]
fn plain_files_in_a_damaged_pack_are_stored_anew_like_data() {
    let team = Team::new(first);
    let plain = seeded_bytes(40, 150_000);
    let all: BTreeMap<_, _> = files(1).into_iter().chain([("table.csv".to_owned(), plain.clone())]).collect();
    team.change("first", &all);
    team.repo.push("origin", "main");
    let repo = &team.repo;
    let packs = objects(&team.store);
    for (_, path) in packs.iter().filter(|(name, _)| name.starts_with("data/")) {
        fs::remove_file(path).expect("there");
    }
    let said = fsck(repo);
    assert!(said.text().contains("is missing") && said.stderr.contains("git datamon bundle"), "{said:?}");
    assert_eq!(paths(&status(repo), "here_only"), data(), "what is in a damaged pack is as good as gone");
    let elsewhere = team.env.root().join("dest");
    let download = ["datamon", "download", "HEAD", "--force", "--dest", elsewhere.to_str().expect("plain")];
    repo.git_fails(download);

    let entries = team.entries();
    let pushed = repo.git(["datamon", "push", "origin", "main"]);
    assert!(pushed.text().contains("in damaged packs were stored anew"), "{pushed:?}");
    assert_eq!(team.entries(), entries + 1);
    repo.git(download);
    for (path, bytes) in &all {
        assert!(fs::read(elsewhere.join(path)).expect("written") == *bytes, "{path}");
    }
    // Where nobody ever looked for damage the version is whole too.
    let clone = team.clone_elsewhere(first);
    assert_files(&clone, &all);
    assert!(clone.git(["datamon", "cat", "HEAD:table.csv"]).stdout == plain);
    let there = clone.env().root().join("dest");
    clone.git(["datamon", "download", "HEAD", "--dest", there.to_str().expect("plain")]);
    assert_eq!(oid(&fs::read(there.join("table.csv")).expect("written")), oid(&plain));
    // Again there is nothing to do.
    repo.git(["datamon", "push", "origin", "main"]);
    repo.git(["datamon", "bundle"]);
    assert_eq!(team.entries(), entries + 1);
}

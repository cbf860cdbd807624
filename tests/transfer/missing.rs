//! Data that does not come: one exit code for each reason, whichever command asks.

use std::fs;
use std::path::PathBuf;

use datamon_test_support::{Hermetic, TestRepo, run};

use super::{Team, assert_files, change, file, files, first, objects, oid, trust};

/// Commands that need all data of the commit, in a clone that has none of it.
const ASKING: [&[&str]; 5] = [
    &["pull", "--data-only"],
    &["pull"],
    &["checkout", "HEAD", "--dest", "../out"],
    &["checkout", "-f", "main", "--", "late.bin"],
    &["clone", "../remote.git", "../again"],
];

/// A clone on another machine, made without data.
fn bare_clone(team: &Team) -> TestRepo {
    let env = first();
    let url = team.remote.dir().to_str().expect("plain");
    fs::create_dir(env.work().join("clones")).expect("made");
    run(env.command("git").args(["datamon", "-q", "clone", "--no-data", url, "clones/clone"]));
    let repo = env.repo("clones/clone");
    trust(&repo);
    repo
}

fn code(env: &Hermetic, repo: &TestRepo, args: &[&str]) -> (Option<i32>, String) {
    let output = env.command("git").current_dir(repo.dir()).arg("datamon").args(args).output().expect("runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn assert_codes(team: &Team, repo: &TestRepo, more: &[&[&str]], wanted: i32) {
    let url = team.remote.dir().to_str().expect("plain");
    for args in ASKING.iter().chain(more) {
        let args: Vec<&str> =
            args.iter().map(|word| if *word == "../remote.git" { url } else { word }).collect();
        let (code, said) = code(repo.env(), repo, &args);
        assert_eq!(code, Some(wanted), "{args:?}: {said}");
        assert!(said.lines().filter(|line| line.starts_with("error: ")).count() <= 1, "{args:?}: {said}");
        for left in ["out", "again"] {
            let _ = fs::remove_dir_all(repo.dir().join("..").join(left));
        }
    }
}

/// A commit is at the remote whose data is nowhere but with its author.
fn unsent() -> Team {
    let team = Team::pushed(first);
    change(&team.repo, "late", &file("late.bin", 60, 90_000));
    team.repo.git(["-c", "core.hooksPath=/dev/null", "push", "-q", "origin", "main"]);
    team
}

fn packs(team: &Team) -> Vec<PathBuf> {
    objects(&team.store).into_iter().filter(|(name, _)| name.starts_with("data/")).map(|it| it.1).collect()
}

#[test]
fn what_nobody_has_stored_is_not_found() {
    let team = unsent();
    let repo = bare_clone(&team);
    run(repo.env().command("git").current_dir(repo.dir()).args(["init", "-q", "--bare", "../other.git"]));
    assert_codes(
        &team,
        &repo,
        &[&["bundle"], &["push", "../other.git", "main"], &["leave", "--to", "../other.git"]],
        2,
    );
    team.repo.git(["datamon", "push", "--data-only", "origin", "main"]);
    // Nothing is outgoing any more: the hook was not asked. What is named is sent.
    team.repo.git(["datamon", "bundle"]);
    repo.git(["datamon", "pull"]);
    assert_files(&repo, &file("late.bin", 60, 90_000));
}

#[test]
fn what_the_store_promised_and_does_not_have_is_an_integrity_failure() {
    let team = Team::pushed(first);
    change(&team.repo, "late", &file("late.bin", 60, 90_000));
    team.repo.git(["datamon", "push", "origin", "main"]);
    let repo = bare_clone(&team);
    for pack in packs(&team) {
        fs::remove_file(pack).expect("there");
    }
    let promised = oid(&file("late.bin", 60, 90_000)["late.bin"]);
    let more: [&[&str]; 4] = [
        &["cat", "HEAD:late.bin"],
        &["download", "HEAD", "--dest", "../out"],
        &["leave", "--to", "../nowhere.git"],
        &["fsck"],
    ];
    run(repo.env().command("git").current_dir(repo.dir()).args(["init", "-q", "--bare", "../nowhere.git"]));
    assert_codes(&team, &repo, &more, 4);
    assert!(!repo.lfs_objects().contains(&promised));
}

#[test]
fn a_store_that_is_not_there_is_not_found_and_nothing_is_touched() {
    let team = Team::pushed(first);
    change(&team.repo, "late", &file("late.bin", 60, 90_000));
    team.repo.git(["datamon", "push", "origin", "main"]);
    let repo = bare_clone(&team);
    fs::rename(&team.store, team.store.with_extension("away")).expect("there");
    let before = repo.read("late.bin");
    assert_codes(&team, &repo, &[&["ls", "HEAD"], &["bundle"], &["fsck"], &["stats"]], 2);
    assert_eq!(repo.read("late.bin"), before);
    assert!(files(1).keys().all(|path| repo.dir().join(path).exists()));
}

#[test]
fn files_on_their_way_beside_a_work_tree_on_another_device_are_swept() {
    let shm = tempfile::tempdir_in("/dev/shm").expect("this test needs /dev/shm");
    let team = Team::pushed(first);
    let repo = bare_clone(&team);
    repo.git(["config", "lfs.storage", shm.path().to_str().expect("plain")]);
    let top = || -> Vec<String> {
        let names = fs::read_dir(repo.dir()).expect("there").map(|it| it.expect("a name").file_name());
        names
            .filter_map(|it| Some(it.to_str()?.to_owned()))
            .filter(|it| it.starts_with(".datamon-"))
            .collect()
    };
    // As a killed process leaves it; what a user has is not ours, whatever it is called.
    let marker = "git datamon download keeps files here until they are whole; it removes this directory, now or the next time\n";
    for (name, file, text) in
        [("dead", "datamon-download", marker), ("dead", "here-0", "half"), ("mine", "0", "x")]
    {
        repo.write(&format!(".datamon-{name}/{file}"), text);
    }
    repo.git(["datamon", "pull", "--data-only"]);
    assert_eq!(top(), [".datamon-mine"]);
    fs::remove_dir_all(repo.dir().join(".datamon-mine")).expect("there");
    assert_files(&repo, &files(1));
    // Also where there is nothing to fetch.
    repo.write(".datamon-dead/datamon-download", marker);
    repo.git(["datamon", "pull", "--data-only"]);
    assert_eq!(top(), [] as [&str; 0]);
}

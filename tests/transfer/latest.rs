//! `latest` where there is no git: the store knows where the default branch is.

use datamon_test_support::{TestRepo, run};
use serde_json::Value;

use super::{Team, each_git_lfs, file, files, first, trust};

each_git_lfs!(it_goes_along_with_pushes_of_the_default_branch);

fn version(repo: &TestRepo, revision: &str) -> String {
    let shown = repo.git(["datamon", "show", "--json", revision]);
    let shown: Value = serde_json::from_str(shown.text()).expect("JSON");
    shown["bundle"].as_str().expect("an id").to_owned()
}

/// What a command says to whoever has the store and nothing else.
#[track_caller]
fn without_git(team: &Team, args: &[&str]) -> Value {
    let store = team.store.to_str().expect("plain");
    let mut command = team.env.command("git");
    command.current_dir(team.env.root()).arg("datamon").args(args);
    let said = run(command.args(["--json", "--store", store, "--repo", "data"]));
    serde_json::from_str(said.text()).expect("JSON")
}

#[track_caller]
fn latest(team: &Team) -> String {
    without_git(team, &["show", "latest"])["bundle"].as_str().expect("an id").to_owned()
}

/// Pushes, and tells how many entries the log has more.
fn entries_of(team: &Team, push: &[&str]) -> usize {
    let before = team.entries();
    team.repo.git([&["push", "-q"], push].concat());
    team.entries() - before
}

fn it_goes_along_with_pushes_of_the_default_branch(machine: super::Machine) {
    let team = Team::new(machine);
    let repo = &team.repo;
    team.change("first", &files(1));
    assert_eq!(entries_of(&team, &["origin", "main"]), 1, "in the entry of the data");
    let one = version(repo, "HEAD");
    assert_eq!(latest(&team), one);
    team.change("second", &file("large.bin", 5, 60_000));
    assert_eq!(entries_of(&team, &["origin", "main"]), 1);
    let two = version(repo, "HEAD");
    assert_eq!((latest(&team), one == two), (two.clone(), false));

    // A revert makes no version: its push says that the older one is the latest again, beside what it touches.
    repo.git(["revert", "--no-edit", "HEAD"]);
    assert_eq!(entries_of(&team, &["origin", "main"]), 1, "in the entry of what is touched");
    assert_eq!((latest(&team), version(repo, "latest")), (one.clone(), one.clone()));
    // So does going back by force, which sends nothing at all.
    repo.git(["reset", "-q", "--hard", "HEAD~"]);
    assert_eq!(entries_of(&team, &["--force", "origin", "main"]), 1, "nothing but the move");
    assert_eq!(latest(&team), two);
    // Nothing new is nothing written.
    assert_eq!(entries_of(&team, &["origin", "main", "main:refs/heads/again"]), 0);

    // What is on other branches, tags and commits is newer, and not the latest.
    repo.git(["checkout", "-q", "-b", "side"]);
    team.change("side", &file("side.bin", 7, 50_000));
    repo.git(["tag", "v2"]);
    repo.git(["push", "-q", "origin", "side", "v2"]);
    team.change("unpushed", &file("side.bin", 8, 50_000));
    repo.git(["datamon", "bundle"]);
    assert_eq!((latest(&team), version(repo, "latest")), (two.clone(), two.clone()));
    repo.git(["datamon", "push", "-q", "origin", "side:main"]);
    let three = version(repo, "side");
    assert_eq!(latest(&team), three);

    // Each move is kept, and no list of labels has it.
    let moves = without_git(&team, &["label", "history", "branch:default"]);
    let moves: Vec<&str> =
        moves.as_array().expect("moves").iter().filter_map(|it| it["bundle"].as_str()).collect();
    assert_eq!(moves, [&three, &two, &one, &two, &one]);
    assert_eq!(without_git(&team, &["label", "list"]), serde_json::json!([]));
    assert_eq!(without_git(&team, &["show", "latest"])["labels"], serde_json::json!([]));
    repo.git(["datamon", "notes", "repair"]);
    assert!(!repo.git(["notes", "--ref=datamon", "show", "side"]).text().contains("branch:default"));
    team.assert_sound();
}

#[test]
fn a_store_that_was_never_told_has_the_newest_of_the_log() {
    let team = Team::new(first);
    let repo = &team.repo;
    repo.git(["config", "datamon.prePush", "off"]);
    team.change("first", &files(1));
    repo.push("origin", "main");
    repo.git(["datamon", "bundle", "HEAD"]);
    let one = version(repo, "HEAD");
    repo.git(["checkout", "-q", "-b", "side"]);
    team.change("second", &file("large.bin", 5, 60_000));
    repo.git(["datamon", "bundle", "HEAD"]);
    assert_eq!(latest(&team), version(repo, "side"));
    // The branch that others start from has another name here.
    repo.git(["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/side"]);
    repo.git(["config", "--unset", "datamon.prePush"]);
    repo.git(["push", "-q", "origin", "main:refs/heads/side"]);
    assert_eq!(latest(&team), one);
}

#[test]
fn uploads_move_it_and_so_do_commits_that_are_never_pushed() {
    let team = Team::pushed(first);
    let pushed = version(&team.repo, "HEAD");
    std::fs::create_dir(team.env.root().join("out")).expect("made");
    std::fs::write(team.env.root().join("out/x"), "x").expect("written");
    let made = without_git(&team, &["upload", "out"]);
    assert_eq!(made["parent"], *pushed);
    assert_eq!(latest(&team), made["bundle"].as_str().expect("an id"));
    // In the git repository it is a version of no branch.
    let again = team.repo.git(["datamon", "upload", "small"]).text().to_owned();
    assert!(latest(&team) != again && version(&team.repo, "latest") == pushed);

    team.repo.write("large.bin", "other");
    team.repo.git(["datamon", "-q", "commit", "-m", "not pushed yet"]);
    assert_eq!(latest(&team), made["bundle"].as_str().expect("an id"));
    team.repo.git(["remote", "remove", "origin"]);
    team.repo.write("large.bin", "another");
    team.repo.git(["datamon", "-q", "commit", "-m", "there is nowhere to push it"]);
    assert_eq!(latest(&team), version(&team.repo, "HEAD"));
}

#[test]
fn clones_that_push_the_default_branch_at_once_leave_it_where_the_branch_is() {
    let team = Team::pushed(first);
    let clones: Vec<TestRepo> = (0..3).map(|_| team.clone_elsewhere(first)).collect();
    for clone in &clones {
        clone.git(["datamon", "-q", "init"]);
        trust(clone);
    }
    let racing = |(n, clone): (usize, &TestRepo)| {
        super::change(clone, "mine", &file(&format!("of-{n}.bin"), n as u64, 5_000));
        for _ in 0..20 {
            let mut push = clone.env().command("git");
            let pushed = push.current_dir(clone.dir()).args(["push", "-q", "origin", "main"]).output();
            if pushed.expect("git runs").status.success() {
                return;
            }
            clone.git(["pull", "-q", "--rebase", "origin", "main"]);
        }
        panic!("clone {n} was never first");
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = clones.iter().enumerate().map(|it| scope.spawn(move || racing(it))).collect();
        all.into_iter().for_each(|one| one.join().expect("pushes"));
    });
    team.repo.git(["pull", "-q", "--rebase", "origin", "main"]);
    let moves = without_git(&team, &["label", "history", "branch:default"]);
    let seqs: Vec<u64> =
        moves.as_array().expect("moves").iter().filter_map(|it| it["seq"].as_u64()).collect();
    assert!(seqs.len() >= 4 && seqs.is_sorted_by(|newer, older| newer > older), "{moves}");
    assert_eq!(latest(&team), version(&team.repo, "HEAD"));
}

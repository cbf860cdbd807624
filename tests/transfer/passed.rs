//! What `git push` and `git pull` know: passed on as it is, with the data beside it.

use datamon_test_support::{TestRepo, run_failing};

use super::{Machine, Team, assert_files, change, each_git_lfs, file, first, trust};

each_git_lfs!(a_push_overwrites_only_when_told, a_pull_rebases_merges_or_refuses_as_told);

/// The exit code and the words of a `git datamon` that must fail.
#[track_caller]
fn refused(repo: &TestRepo, args: &[&str]) -> (Option<i32>, String) {
    let output = run_failing(repo.env().command("git").current_dir(repo.dir()).arg("datamon").args(args));
    (output.code, output.stderr)
}

fn at_remote(team: &Team, name: &str) -> String {
    team.remote.git(["rev-parse", "--verify", "--quiet", name]).text().to_owned()
}

fn a_push_overwrites_only_when_told(machine: Machine) {
    let team = Team::pushed(machine);
    let other = team.clone_elsewhere(machine);
    trust(&other);
    change(&team.repo, "theirs", &file("new.bin", 41, 60_000));
    team.repo.git(["datamon", "push", "origin", "main"]);
    let theirs = at_remote(&team, "main");
    change(&other, "ours", &file("new.bin", 42, 70_000));
    // The other clone saw an older main.
    for flags in [&[][..], &["--force-with-lease"], &["--force-with-lease=main"]] {
        let (code, said) = refused(&other, &[&["push"], flags, &["origin", "main"]].concat());
        assert!(code == Some(1) && said.contains("rejected"), "{flags:?}: {code:?} {said}");
        assert_eq!(at_remote(&team, "main"), theirs);
    }
    let lease = format!("--force-with-lease=main:{theirs}");
    other.git(["datamon", "push", &lease, "origin", "main"]);
    assert_eq!(at_remote(&team, "main"), other.head());
    team.repo.git(["datamon", "push", "--force", "origin", "main"]);
    assert_eq!(at_remote(&team, "main"), theirs);

    // Branches, tags, and none any more.
    team.repo.git(["checkout", "-q", "-b", "side"]);
    change(&team.repo, "side", &file("side.bin", 43, 50_000));
    team.repo.git(["tag", "-a", "-m", "x", "v1"]);
    team.repo.git(["datamon", "push", "-u", "--all", "origin"]);
    assert_eq!(at_remote(&team, "side"), team.repo.head());
    assert_eq!(team.repo.git(["config", "branch.side.remote"]).text(), "origin");
    team.repo.git(["datamon", "push", "--tags", "--atomic", "origin"]);
    assert!(!at_remote(&team, "v1").is_empty());
    team.repo.git(["datamon", "push", "--delete", "origin", "side"]);
    assert_eq!(team.remote.git(["branch", "--list", "side"]).text(), "");
    let clone = machine().clone_from(team.remote.dir(), "of a tag");
    clone.git(["checkout", "-q", "v1"]);
    assert_files(&clone, &file("side.bin", 43, 50_000));
}

fn a_pull_rebases_merges_or_refuses_as_told(machine: Machine) {
    let team = Team::pushed(machine);
    let other = machine();
    let other = {
        let url = team.remote.dir().to_str().expect("plain");
        datamon_test_support::run(other.command("git").args(["datamon", "clone", url, "clone"]));
        other.repo("clone")
    };
    trust(&other);
    team.repo.git(["fetch", "-q"]);
    team.repo.git(["branch", "-q", "-u", "origin/main"]);
    let diverge = |n: u64| {
        change(&team.repo, "theirs", &file("theirs.bin", 100 + n, 60_000));
        team.repo.git(["datamon", "push", "origin", "main"]);
        change(&other, "ours", &file("ours.bin", 200 + n, 60_000));
    };
    let assert_both = |n: u64| {
        assert_files(&other, &file("theirs.bin", 100 + n, 60_000));
        assert_files(&other, &file("ours.bin", 200 + n, 60_000));
    };
    diverge(1);
    let ours = other.head();
    assert!(refused(&other, &["pull", "--ff-only"]).1.contains("fast-forward"));
    assert_eq!(other.head(), ours);
    assert_eq!(refused(&other, &["pull", "--ff-only", "--no-ff"]).0, Some(64));
    other.git(["datamon", "pull", "--rebase", "origin", "main"]);
    assert_eq!(other.git(["rev-list", "--count", "--merges", "HEAD"]).text(), "0");
    assert_eq!(other.git(["rev-parse", "HEAD~1"]).text(), team.repo.head());
    assert_both(1);

    other.git(["datamon", "push", "origin", "main"]);
    team.repo.git(["datamon", "pull", "--ff-only"]);
    assert_eq!(team.repo.head(), other.head());
    diverge(2);
    other.git(["config", "pull.rebase", "true"]);
    other.git(["datamon", "pull", "--no-rebase", "--no-ff"]);
    assert_eq!(other.git(["rev-list", "--count", "--merges", "HEAD"]).text(), "1");
    assert_both(2);

    // Edits that are put aside come back whole.
    other.git(["datamon", "push", "origin", "main"]);
    team.repo.git(["datamon", "pull", "--ff"]);
    diverge(3);
    let edit = file("large.bin", 300, 80_000);
    other.write("large.bin", &edit["large.bin"]);
    assert!(refused(&other, &["pull", "--rebase", "--no-autostash"]).0 != Some(0));
    other.git(["datamon", "pull", "--rebase", "--autostash"]);
    assert!(other.read("large.bin") == edit["large.bin"]);
    assert!(other.read("theirs.bin") == file("theirs.bin", 103, 60_000)["theirs.bin"]);
}

#[test]
fn what_begins_like_an_option_is_no_remote() {
    let team = Team::pushed(first);
    for verb in ["push", "pull"] {
        let (code, said) = refused(&team.repo, &[verb, "--", "--upload-pack=touch hit"]);
        assert!(code == Some(64) && said.contains("begins like an option"), "{said}");
    }
}

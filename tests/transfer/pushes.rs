//! Every way to push, with our hook, with git-lfs's and with none.

use std::collections::BTreeMap;

use datamon_test_support::TestRepo;

use super::{Machine, Team, assert_files, change, each_git_lfs, file, files, git_with, trust};

each_git_lfs!(
    a_push_of_head_is_one_entry_with_the_hook_and_without,
    another_branch_than_head_brings_its_own_data_only,
    two_refs_are_one_push,
    the_whole_history_is_one_push_and_nothing_when_repeated,
    a_url_or_a_path_serves_as_well_as_a_name,
    a_fresh_clone_pushes_without_our_hook,
    what_is_skipped_is_completed_later,
    tags_and_deletions_are_pushes_too,
);

fn without_hook(repo: &TestRepo) {
    std::fs::remove_file(repo.dir().join(".git/hooks/pre-push")).expect("the hook of init");
}

fn a_push_of_head_is_one_entry_with_the_hook_and_without(machine: Machine) {
    let team = Team::pushed(machine);
    assert_eq!(team.entries(), 3);
    team.change("second", &files(2));
    team.repo.push("origin", "main");
    assert_eq!(team.entries(), 4);

    // git-lfs's own hook, in place of ours.
    without_hook(&team.repo);
    team.repo.git(["lfs", "install", "--local"]);
    team.change("third", &files(3));
    team.repo.push("origin", "main");
    assert_eq!(team.entries(), 5);

    // No hook: the data is pushed by name.
    team.change("fourth", &files(4));
    team.repo.git(["push", "-q", "--no-verify", "origin", "main"]);
    assert_eq!(team.entries(), 5);
    team.repo.git(["update-ref", "-d", "refs/remotes/origin/main"]);
    team.repo.git(["lfs", "push", "origin", "main"]);
    assert!(team.entries() > 5);
    team.assert_sound();
    assert_files(&team.clone_elsewhere(machine), &files(4));
}

fn another_branch_than_head_brings_its_own_data_only(machine: Machine) {
    for hook in [true, false] {
        let team = Team::pushed(machine);
        if !hook {
            without_hook(&team.repo);
            team.repo.git(["lfs", "install", "--local"]);
        }
        team.repo.git(["checkout", "-q", "-b", "side"]);
        team.change("side", &files(2));
        team.repo.git(["checkout", "-q", "main"]);
        team.change("not pushed", &file("kept here.bin", 9, 40_000));
        let (before, held) = (team.entries(), team.stat("files"));
        team.repo.push("origin", "side");
        assert_eq!(team.entries(), before + 1, "hook: {hook}");
        // With the hook also the plain file that differs in the version.
        let new = if hook { 11 } else { 10 };
        assert_eq!(team.stat("files"), held + new, "hook: {hook}: nobody asked for the file of main");
        let clone = team.clone_elsewhere(machine);
        clone.git(["checkout", "-q", "side"]);
        assert_files(&clone, &files(2));
        team.assert_sound();
    }
}

fn two_refs_are_one_push(machine: Machine) {
    let team = Team::pushed(machine);
    team.repo.git(["checkout", "-q", "-b", "side"]);
    team.change("side", &files(2));
    team.repo.git(["checkout", "-q", "main"]);
    team.change("main", &files(3));
    team.repo.git(["push", "-q", "origin", "main", "side"]);
    assert_eq!(team.entries(), 5, "one for all data and the version of main, one for that of side");
    let clone = team.clone_elsewhere(machine);
    assert_files(&clone, &files(3));
    clone.git(["checkout", "-q", "side"]);
    assert_files(&clone, &files(2));
    team.assert_sound();
}

fn the_whole_history_is_one_push_and_nothing_when_repeated(machine: Machine) {
    let team = Team::new(machine);
    for seed in 1..=3 {
        team.change("next", &files(seed));
    }
    team.repo.git(["lfs", "push", "--all", "origin"]);
    assert_eq!(team.entries(), 3);
    let stored =
        |team: &Team| super::objects(&team.store).keys().filter(|name| name.starts_with("data/")).count();
    let packs = stored(&team);
    team.repo.git(["lfs", "push", "--all", "origin"]);
    assert_eq!((team.entries(), stored(&team)), (4, packs), "touched once, stored never again");
    team.repo.git(["push", "-q", "--no-verify", "origin", "main"]);
    assert_files(&team.clone_elsewhere(machine), &files(3));
    team.assert_sound();
}

fn a_url_or_a_path_serves_as_well_as_a_name(machine: Machine) {
    let team = Team::pushed(machine);
    let path = team.remote.dir().to_str().expect("plain").to_owned();
    let url = format!("file://{path}");
    for (seed, target) in [(2, &path), (3, &url)] {
        team.change("next", &files(seed));
        team.repo.push(target, "main");
        assert_files(&team.clone_elsewhere(machine), &files(seed));
    }
    // The same without any hook: nothing says what the remote has, so the whole history is offered.
    for (seed, target) in [(4, &path), (5, &url)] {
        team.change("next", &files(seed));
        let before = team.entries();
        team.repo.git(["lfs", "push", target, "main"]);
        team.repo.git(["push", "-q", "--no-verify", target, "main"]);
        assert!(team.entries() > before);
        assert_files(&team.clone_elsewhere(machine), &files(seed));
    }
    team.assert_sound();
}

fn a_fresh_clone_pushes_without_our_hook(machine: Machine) {
    let team = Team::pushed(machine);
    let clone = team.clone_elsewhere(machine);
    trust(&clone);
    change(&clone, "from the clone", &files(2));
    clone.push("origin", "main");
    assert_eq!(team.entries(), 4);
    team.repo.git(["pull", "-q", "origin", "main"]);
    assert_files(&team.repo, &files(2));
    team.assert_sound();
}

fn what_is_skipped_is_completed_later(machine: Machine) {
    let team = Team::pushed(machine);
    team.change("second", &files(2));
    git_with(&team.repo, &[("GIT_LFS_SKIP_PUSH", "1")], &["push", "-q", "origin", "main"]);
    assert_eq!(team.entries(), 3, "the user said to send no data");
    team.repo.git(["lfs", "push", "--all", "origin"]);
    assert_files(&team.clone_elsewhere(machine), &files(2));
    team.assert_sound();
}

fn tags_and_deletions_are_pushes_too(machine: Machine) {
    let team = Team::pushed(machine);
    team.change("second", &files(2));
    team.repo.git(["tag", "-a", "-m", "a tag", "v2"]);
    team.repo.git(["reset", "-q", "--hard", "HEAD~"]);
    team.repo.push("origin", "v2");
    assert_eq!(team.entries(), 4);
    let clone = team.clone_elsewhere(machine);
    clone.git(["checkout", "-q", "v2"]);
    assert_files(&clone, &files(2));
    team.repo.push("origin", ":v2");
    team.repo.push("origin", "main");
    assert_eq!(team.entries(), 4, "nothing new goes with a deletion");
    assert_files(&team.repo, &BTreeMap::from([("readme.txt".to_owned(), b"version 1\n".to_vec())]));
}

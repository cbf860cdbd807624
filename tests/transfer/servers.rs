//! Adopting from the servers that people have: down, behind remotes of other names, or knowing what no branch does.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use datamon_test_support::{TestRepo, run_failing, seeded_bytes};

use super::adopt::{Legacy, configuration, tree};
use super::{Machine, change, each_git_lfs, file, first, git_fails, line_with, oid};

each_git_lfs!(
    a_server_that_is_down_is_not_one_that_lacks_the_data,
    filters_of_the_user_leave_nothing_behind,
    any_remote_will_do_or_none_where_a_server_is_named,
    what_only_other_work_trees_and_the_stash_hold_comes_along,
);

fn a_server_that_is_down_is_not_one_that_lacks_the_data(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let repo = legacy.fresh_clone("adopting", &[]);
    let (before, store) = (configuration(&repo), legacy.store());
    let refused = |store: &str, more: &[&str]| {
        let args = [&["datamon", "adopt-lfs", "--store", store], more].concat();
        let mut adopt = legacy.env.command("git");
        let output = run_failing(adopt.current_dir(repo.dir()).args(args));
        (output.code.unwrap(), format!("{}\n{}", output.text(), output.stderr))
    };
    legacy.server.set_down(true);
    for more in [&[][..], &["--allow-missing"], &["--recent", "--allow-missing"]] {
        let (code, said) = refused(&store, more);
        assert_eq!(code, 5, "{said}");
        assert!(line_with(&said, "missing ").contains("git-lfs could not fetch it"), "{said}");
        let why = line_with(&said, "and said: ");
        assert!(why.contains("batch response") && why.contains("down for maintenance"), "{said}");
        assert!(!said.contains("--allow-missing") && said.contains("stays as it was"), "{said}");
        assert_eq!(configuration(&repo), before);
    }
    // One object is gone, which the server says when it is up again.
    legacy.server.set_down(false);
    legacy.server.lose(&oid(&tree(1)["data/large.bin"]));
    let (code, said) = refused(&store, &[]);
    assert!(code == 2 && said.contains("--allow-missing"), "{said}");
    assert!(line_with(&said, "missing ").contains("neither on this machine nor on the server"), "{said}");
    // It says nothing of what is damaged here.
    let bad = super::objects(&repo.dir().join(".git/lfs/objects")).into_values().next().unwrap();
    super::flip(&bad, 100);
    let other = legacy.env.root().join("other");
    let (code, said) = refused(other.to_str().unwrap(), &["--allow-missing"]);
    assert!(code == 4 && said.contains("git lfs fsck"), "{said}");
    assert_eq!(configuration(&repo), before);
}

fn filters_of_the_user_leave_nothing_behind(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let keys = ["-c", "lfs.fetchinclude=data", "-c", "lfs.fetchexclude=small*"];
    for (name, more, files) in [("all", &[][..], "20 files"), ("tips", &["--recent"], "10 files")] {
        let repo = legacy.fresh_clone(name, &keys);
        let said = legacy.adopt(&repo, more);
        assert!(line_with(&said, "stored").contains(files), "{said}");
        give_up(&legacy, &repo);
    }
}

fn any_remote_will_do_or_none_where_a_server_is_named(machine: Machine) {
    // In a directory remote, with other remotes beside it and no branch that says which.
    let legacy = Legacy::new(machine, |_, _| {});
    let empty = legacy.env.init_bare("empty.git");
    let single = legacy.fresh_clone("single", &["--origin", "upstream"]);
    single.git(["checkout", "-q", "--detach"]);
    let default = legacy.fresh_clone("default", &["--origin", "upstream"]);
    default.add_remote("near", empty.dir());
    default.git(["checkout", "-q", "--detach"]);
    default.git(["config", "remote.lfsdefault", "upstream"]);
    for repo in [single, default] {
        let said = legacy.adopt(&repo, &[]);
        assert!(line_with(&said, "stored").contains("20 files"), "{said}");
        give_up(&legacy, &repo);
    }

    let legacy = Legacy::on_a_server(machine);
    for (name, more, files) in [("all", &[][..], "20 files"), ("tips", &["--recent"], "10 files")] {
        let repo = legacy.fresh_clone(name, &[]);
        repo.git(["remote", "remove", "origin"]);
        let said = legacy.adopt(&repo, more);
        assert!(line_with(&said, "stored").contains(files), "{said}");
        give_up(&legacy, &repo);
    }
}

/// Takes the store away, and does what the user is told who wants a new one at its place.
fn give_up(legacy: &Legacy, repo: &TestRepo) {
    fs::remove_dir_all(legacy.store()).unwrap();
    let store = legacy.store();
    let said = git_fails(repo, &["datamon", "context", "add", "new", &store, "--create"]);
    let hint = line_with(&said, "--unset-all").trim_start_matches("hint: git ").to_owned();
    assert!(said.contains("it is not there now"), "{said}");
    assert!(!std::path::Path::new(&store).exists());
    repo.git(hint.split(' '));
}

/// A clone with commits in a work tree of its own, and two stashes; the server alone has the data.
fn busy_clone(legacy: &Legacy, name: &str) -> TestRepo {
    let repo = legacy.fresh_clone(name, &[]);
    let linked = format!("{name}-linked");
    repo.git(["worktree", "add", "-q", "--detach", &format!("../{linked}")]);
    for seed in [50, 51] {
        let bytes = seeded_bytes(seed, 9_000);
        change(&legacy.env.repo(&linked), "on no branch", &file("apart.bin", seed, 9_000));
        legacy.server.put(&oid(&bytes), bytes);
    }
    for seed in [60, 61] {
        let bytes = seeded_bytes(seed, 9_000);
        repo.write("small 0.bin", &bytes);
        repo.git(["stash", "-q"]);
        legacy.server.put(&oid(&bytes), bytes);
    }
    fs::remove_dir_all(repo.dir().join(".git/lfs/objects")).unwrap();
    repo
}

fn what_only_other_work_trees_and_the_stash_hold_comes_along(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let repo = busy_clone(&legacy, "all");
    let said = legacy.adopt(&repo, &[]);
    assert!(line_with(&said, "stored").contains("24 files"), "{said}");
    give_up(&legacy, &repo);
    let repo = busy_clone(&legacy, "tips");
    let said = legacy.adopt(&repo, &["--recent"]);
    assert!(line_with(&said, "stored").contains("13 files"), "two tips, one work tree, two stashes: {said}");
}

#[test]
fn looking_at_a_repository_leaves_its_index_alone() {
    let legacy = Legacy::on_a_server(first);
    let repo = legacy.fresh_clone("looked at", &[]);
    // The same bytes and another time, as a tool leaves them; git compares whole seconds.
    let file = fs::File::options().append(true).open(repo.dir().join("readme.txt")).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    let index = repo.read(".git/index");
    legacy.adopt(&repo, &["--dry-run"]);
    assert!(repo.read(".git/index") == index);
    repo.git(["status"]);
    assert!(repo.read(".git/index") != index, "there was something to refresh");
}

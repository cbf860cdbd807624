use std::os::unix::fs::PermissionsExt;

use datamon_test_support::{Hermetic, TestRepo};

use super::{datamon, machine};

/// A repository with our hook whose objects go to the remote's own directory, by git-lfs's builtin agent.
fn repository(env: &Hermetic, foreign: &str) -> TestRepo {
    env.install_git_lfs();
    let (repo, remote) = (env.init("data"), env.init_bare("remote.git"));
    repo.write(".git/hooks/pre-push", foreign);
    let hook = repo.dir().join(".git/hooks/pre-push");
    std::fs::set_permissions(hook, PermissionsExt::from_mode(0o755)).unwrap();
    datamon(env, "data", &["init", "--track", "*.bin"]);
    repo.git(["config", "--local", "--unset", "lfs.url"]);
    repo.git(["config", "-f", ".lfsconfig", "--unset", "lfs.url"]);
    repo.write("big.bin", "big");
    repo.git(["add", "-A"]);
    repo.commit("data");
    repo.add_remote("origin", format!("file://{}", remote.dir().display()));
    repo
}

#[test]
fn the_hook_that_was_there_runs_first_and_git_lfs_after_it() {
    let env = machine();
    let repo = repository(&env, "#!/bin/sh\necho \"$@\" >.git/seen; cat >>.git/seen\n");
    let id = repo.head();
    repo.push("origin", "main");
    let url = format!("file://{}", env.repo("remote.git").dir().display());
    let null = "0".repeat(40);
    let seen = String::from_utf8(repo.read(".git/seen")).unwrap();
    assert_eq!(seen, format!("origin {url}\nrefs/heads/main {id} refs/heads/main {null}\n"));
    assert_eq!(env.repo("remote.git").lfs_objects().len(), 1);
}

#[test]
fn the_hook_that_was_there_can_stop_the_push() {
    let env = machine();
    let repo = repository(&env, "#!/bin/sh\necho not today >&2\nexit 7\n");
    let failed = repo.git_fails(["push", "-q", "origin", "main"]);
    assert!(failed.stderr.contains("not today"), "{}", failed.stderr);
    assert!(env.repo("remote.git").lfs_objects().is_empty());
    assert_eq!(env.repo("remote.git").git(["for-each-ref"]).text(), "");
}

#[test]
fn a_linked_worktree_pushes_as_well() {
    let env = machine();
    let repo = repository(&env, "#!/bin/sh\ncat >/dev/null\n");
    repo.git(["worktree", "add", "-q", "-b", "side", "../linked"]);
    env.repo("linked").push("origin", "side");
    assert_eq!(env.repo("remote.git").lfs_objects().len(), 1);
}

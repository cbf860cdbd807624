//! What our pre-push hook proves, and how it gets along with the hooks of others.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use datamon_test_support::{TestRepo, run, seeded_bytes};

use super::{Machine, Team, assert_files, each_git_lfs, files, git_fails, oid, trust};

each_git_lfs!(
    what_only_the_store_has_can_be_pushed_on,
    what_is_nowhere_fails_the_push_by_name,
    the_proof_can_be_a_warning_or_left_out,
    a_hook_that_was_there_is_kept_and_obeyed,
);

/// A clone elsewhere with our hook and without a single object.
fn empty_clone(team: &Team, machine: Machine) -> TestRepo {
    let env = machine();
    let remote = team.remote.dir().to_str().expect("plain");
    run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
    let clone = env.repo("clone");
    trust(&clone);
    clone.git(["datamon", "-q", "init"]);
    clone
}

/// Commits the pointer to an object that nobody has.
fn commit_ghost(repo: &TestRepo) -> String {
    let oid = oid(b"nobody has these bytes");
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 22\n");
    repo.write("sub/ghost.bin", pointer);
    repo.add(".");
    repo.commit("a ghost");
    oid
}

fn what_only_the_store_has_can_be_pushed_on(machine: Machine) {
    let team = Team::pushed(machine);
    let clone = empty_clone(&team, machine);
    let other = clone.env().init_bare("other.git");
    clone.add_remote("other", other.dir());
    clone.git(["config", "lfs.allowincompletepush", "false"]);
    // git-lfs's own rule, which it applies before it asks its agent.
    let said = git_fails(&clone, &["push", "-q", "other", "main"]);
    assert!(said.to_lowercase().contains("missing") || said.contains("Unable to find source"), "{said}");
    clone.git(["config", "lfs.allowincompletepush", "true"]);
    clone.push("other", "main");
    assert_files(&machine().clone_from(other.dir(), "clone"), &files(1));
    team.assert_sound();
}

fn what_is_nowhere_fails_the_push_by_name(machine: Machine) {
    let team = Team::pushed(machine);
    let clone = empty_clone(&team, machine);
    clone.git(["config", "lfs.allowincompletepush", "true"]);
    let ghost = commit_ghost(&clone);
    clone.write("real.bin", seeded_bytes(77, 20_000));
    clone.add(".");
    clone.commit("real data too");
    let before = clone.git(["ls-remote", "origin"]);
    let said = git_fails(&clone, &["push", "origin", "main"]);
    let line = super::line_with(&said, "neither on this machine nor in the store");
    assert!(
        line.starts_with("error: 1 files") && line.contains("sub/ghost.bin") && line.contains(&ghost),
        "{said}"
    );
    assert!(said.contains("git lfs push --all"), "{said}");
    assert_eq!(clone.git(["ls-remote", "origin"]).text(), before.text(), "the commits stayed here");
    // With what was missing at hand the same push goes through.
    clone.write("sub/ghost.bin", "nobody has these bytes");
    clone.git(["add", "--renormalize", "."]);
    clone.push("origin", "main");
    assert_eq!(team.clone_elsewhere(machine).read("real.bin"), seeded_bytes(77, 20_000));
}

fn the_proof_can_be_a_warning_or_left_out(machine: Machine) {
    let team = Team::pushed(machine);
    let clone = empty_clone(&team, machine);
    clone.git(["config", "lfs.allowincompletepush", "true"]);
    commit_ghost(&clone);
    clone.git(["config", "datamon.prePush", "warn"]);
    let said = clone.git(["push", "origin", "main:warned"]).stderr;
    assert!(super::line_with(&said, "sub/ghost.bin").starts_with("warning: "), "{said}");
    // What a remote-tracking branch has is not pushed again.
    clone.git(["update-ref", "-d", "refs/remotes/origin/warned"]);
    clone.git(["config", "datamon.prePush", "off"]);
    let said = clone.git(["push", "origin", "main:silent"]).stderr;
    assert!(!said.contains("sub/ghost.bin (") && !said.contains("warning: 1 files"), "{said}");
    clone.git(["update-ref", "-d", "refs/remotes/origin/silent"]);
    clone.git(["config", "datamon.prePush", "block"]);
    git_fails(&clone, &["push", "origin", "main:blocked"]);
}

fn a_hook_that_was_there_is_kept_and_obeyed(machine: Machine) {
    let team = Team::pushed(machine);
    let env = machine();
    let clone = env.clone_from(team.remote.dir(), "clone");
    trust(&clone);
    let hook = clone.dir().join(".git/hooks/pre-push");
    fs::write(&hook, "#!/bin/sh\ncat >>.git/seen\ntest ! -e .git/stop\n").unwrap();
    fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    clone.git(["datamon", "-q", "init"]);
    super::change(&clone, "second", &files(2));
    clone.write(".git/stop", "");
    git_fails(&clone, &["push", "-q", "origin", "main"]);
    assert_eq!(team.entries(), 3, "stopped before any data went");
    fs::remove_file(clone.dir().join(".git/stop")).unwrap();
    clone.push("origin", "main");
    assert_eq!(team.entries(), 4);
    assert!(String::from_utf8(clone.read(".git/seen")).unwrap().contains("refs/heads/main"));
    // git-lfs installs its own hooks from many commands; it must not take ours away silently.
    let refused = git_fails(&clone, &["lfs", "install", "--local"]);
    assert!(refused.contains("pre-push"), "{refused}");
    assert_files(&team.clone_elsewhere(machine), &files(2));
}

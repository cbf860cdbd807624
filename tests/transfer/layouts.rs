//! Every shape a repository can have on disk: clones of all kinds, work trees, submodules, bare ones, moved storage.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use datamon_test_support::run;

use super::{Machine, Team, assert_clean, assert_files, change, each_git_lfs, file, files, objects, trust};

each_git_lfs!(
    a_clone_needs_nothing_but_the_install,
    linked_worktrees_push_and_check_out,
    submodules_come_with_their_data,
    a_bare_clone_fetches_and_pushes,
    branches_and_old_commits_are_checked_out,
    a_commit_without_lfsconfig_is_served_by_the_pin,
    an_archive_holds_the_data,
    storage_may_be_elsewhere,
    news_arrive_by_pull_and_by_fetch,
    shallow_and_partial_clones_read_and_write,
    eight_agents_at_once_do_the_same,
);

fn a_clone_needs_nothing_but_the_install(machine: Machine) {
    let team = Team::pushed(machine);
    assert_eq!(team.entries(), 3, "init, repo, push");
    team.assert_sound();
    let clone = team.clone_elsewhere(machine);
    assert_files(&clone, &files(1));
    assert_clean(&clone);
    clone.git(["lfs", "fsck"]);
    let lfs_files = files(1).into_iter().filter(|(path, it)| path.ends_with(".bin") && !it.is_empty());
    assert_eq!(clone.git(["lfs", "ls-files"]).lines().len(), lfs_files.count());
}

fn linked_worktrees_push_and_check_out(machine: Machine) {
    let team = Team::pushed(machine);
    team.repo.git(["worktree", "add", "-q", "-b", "side", "../linked"]);
    let linked = team.env.repo("linked");
    assert_files(&linked, &files(1));
    change(&linked, "side", &files(2));
    linked.push("origin", "side");
    assert_eq!(team.entries(), 4);
    team.assert_sound();

    let clone = team.clone_elsewhere(machine);
    clone.git(["worktree", "add", "-q", "../other", "origin/side"]);
    let other = clone.env().repo("other");
    assert_files(&other, &files(2));
    assert_clean(&other);
    // git-lfs keeps one directory for all work trees.
    assert!(clone.lfs_objects().len() > files(1).len());
}

fn submodules_come_with_their_data(machine: Machine) {
    let team = Team::pushed(machine);
    let env = machine();
    let outer = env.init("outer");
    let remote = team.remote.dir().to_str().expect("plain");
    outer.git(["submodule", "--quiet", "add", remote, "sub"]);
    outer.commit("with a submodule");
    assert_files(&env.repo("outer/sub"), &files(1));

    let again = machine();
    let source = outer.dir().to_str().expect("plain").to_owned();
    run(again.command("git").args(["clone", "-q", "--recurse-submodules", &source, "again"]));
    let sub = again.repo("again/sub");
    assert_files(&sub, &files(1));
    assert_clean(&sub);
    trust(&sub);
    change(&sub, "from the submodule", &file("new.bin", 7, 50_000));
    sub.push("origin", "HEAD:main");
    assert_eq!(team.entries(), 4);
    assert_files(&team.clone_elsewhere(machine), &file("new.bin", 7, 50_000));
}

fn a_bare_clone_fetches_and_pushes(machine: Machine) {
    let team = Team::pushed(machine);
    let env = machine();
    run(env.command("git").args(["clone", "-q", "--bare"]).arg(team.remote.dir()).arg("bare.git"));
    let bare = env.repo("bare.git");
    bare.git(["lfs", "fetch", "origin", "main"]);
    assert_eq!(bare.lfs_objects(), team.repo.lfs_objects());
    assert!(!bare.dir().join("lfs/tmp").read_dir().is_ok_and(|mut it| it.next().is_some_and(|entry| {
        entry.expect("listed").file_name().to_string_lossy().starts_with("datamon-")
    })));
    // To another store, from a repository without a work tree.
    let store = env.root().join("second store");
    let other = env.init("other");
    other.git(["datamon", "-q", "init", "--store", store.to_str().expect("plain")]);
    let url = other.git(["config", "lfs.url"]);
    bare.git(["config", "lfs.url", url.text()]);
    let said = super::git_fails(&bare, &["lfs", "push", "--all", "origin"]);
    assert!(said.contains(&format!("git config lfs.url datamon::file://{}", team.store.display())), "{said}");
    bare.git(["config", "--unset", "lfs.url"]);
    let before = team.entries();
    trust(&bare);
    bare.git(["lfs", "push", "--all", "origin"]);
    bare.git(["push", "-q", "origin", "main:copy"]);
    assert!(team.entries() <= before + 1, "nothing is new");
    team.assert_sound();
}

fn branches_and_old_commits_are_checked_out(machine: Machine) {
    let team = Team::pushed(machine);
    let first = team.repo.head();
    team.repo.git(["checkout", "-q", "-b", "side"]);
    team.change("side", &files(2));
    team.repo.git(["checkout", "-q", "main"]);
    team.change("main", &files(3));
    team.repo.git(["push", "-q", "origin", "main", "side"]);
    let clone = team.clone_elsewhere(machine);
    assert_files(&clone, &files(3));
    clone.git(["checkout", "-q", "side"]);
    assert_files(&clone, &files(2));
    clone.git(["checkout", "-q", "--detach", &first]);
    assert_files(&clone, &files(1));
    assert_clean(&clone);
}

fn a_commit_without_lfsconfig_is_served_by_the_pin(machine: Machine) {
    let env = machine();
    let (repo, remote) = (env.init("data"), env.init_bare("remote.git"));
    repo.track("*.bin");
    let old = change(&repo, "before the store", &files(1));
    let store = env.root().join("store");
    repo.git(["datamon", "-q", "init", "--store", store.to_str().expect("plain")]);
    let new = change(&repo, "with a store", &files(2));
    repo.add_remote("origin", remote.dir());
    repo.push("origin", "main");
    assert_eq!(super::entries(&store), 3);
    let clone = machine().clone_from(remote.dir(), "clone");
    assert_files(&clone, &files(2));
    clone.git(["checkout", "-q", "--detach", &old]);
    assert!(!clone.dir().join(".lfsconfig").exists());
    assert_files(&clone, &files(1));
    clone.git(["checkout", "-q", "--detach", &new]);
    assert_files(&clone, &files(2));
}

fn an_archive_holds_the_data(machine: Machine) {
    let team = Team::pushed(machine);
    let env = machine();
    let clone = team.remote.dir().to_str().expect("plain");
    run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", clone, "clone"]));
    let clone = env.repo("clone");
    assert_eq!(clone.lfs_objects().len(), 0);
    clone.git(["archive", "--output=../all.tar", "HEAD"]);
    fs::create_dir(env.work().join("unpacked")).unwrap();
    run(env.command("tar").args(["-xf", "all.tar", "-C", "unpacked"]));
    for (path, bytes) in files(1) {
        assert!(fs::read(env.work().join("unpacked").join(&path)).unwrap() == bytes, "{path}");
    }
    assert_clean(&clone);
}

fn storage_may_be_elsewhere(machine: Machine) {
    let team = Team::new(machine);
    team.repo.git(["config", "lfs.storage", "../big"]);
    team.change("first", &files(1));
    team.repo.push("origin", "main");
    assert_eq!(team.entries(), 3);
    assert_eq!(team.repo.lfs_objects().len(), 0, "they are in the other place");
    let env = machine();
    let (remote, big) = (team.remote.dir().to_str().expect("plain"), env.root().join("big"));
    let storage = format!("lfs.storage={}", big.display());
    run(env.command("git").args(["clone", "-q", "-c", &storage, remote, "clone"]));
    let clone = env.repo("clone");
    assert_files(&clone, &files(1));
    assert!(objects(&big).keys().filter(|name| name.starts_with("objects/")).count() >= 10);
    assert!(super::leftovers(&big).is_empty());
    assert_eq!(clone.lfs_objects().len(), 0);
}

fn news_arrive_by_pull_and_by_fetch(machine: Machine) {
    let team = Team::pushed(machine);
    let clone = team.clone_elsewhere(machine);
    team.change("second", &files(2));
    team.repo.push("origin", "main");
    clone.git(["pull", "-q"]);
    assert_files(&clone, &files(2));
    team.change("third", &files(3));
    team.repo.push("origin", "main");
    clone.git(["fetch", "-q"]);
    clone.git(["lfs", "fetch", "origin", "main"]);
    clone.git(["checkout", "-q", "--detach", "origin/main"]);
    assert_files(&clone, &files(3));
    assert_clean(&clone);
    assert_eq!(team.entries(), 5);
}

fn shallow_and_partial_clones_read_and_write(machine: Machine) {
    let team = Team::pushed(machine);
    team.change("second", &files(2));
    team.repo.push("origin", "main");
    team.remote.git(["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", team.remote.dir().display());
    for (n, how) in ["--depth=1", "--filter=blob:none", "--filter=tree:0"].into_iter().enumerate() {
        let env = machine();
        run(env.command("git").args(["clone", "-q", how, &url, "clone"]));
        let clone = env.repo("clone");
        let lfs_files: BTreeMap<_, _> = files(2);
        assert_files(&clone, &lfs_files);
        trust(&clone);
        let (seed, branch) = (40 + n as u64, format!("from-{n}"));
        change(&clone, how, &file("new.bin", seed, 60_000));
        let before = team.entries();
        clone.push("origin", &format!("HEAD:{branch}"));
        assert_eq!(team.entries(), before + 1, "{how}");
        let other = team.clone_elsewhere(machine);
        other.git(["checkout", "-q", &branch]);
        assert_files(&other, &file("new.bin", seed, 60_000));
        assert_clean(&clone);
    }
    team.assert_sound();
}

fn eight_agents_at_once_do_the_same(machine: Machine) {
    let team = Team::new(machine);
    let concurrent = |env: &datamon_test_support::Hermetic| {
        run(env.command("git").args(["config", "--global", "lfs.customtransfer.datamon.concurrent", "true"]));
    };
    concurrent(&team.env);
    team.change("first", &files(1));
    team.repo.git(["lfs", "push", "origin", "main"]);
    team.repo.git(["push", "-q", "--no-verify", "origin", "main"]);
    team.assert_sound();
    let env = machine();
    concurrent(&env);
    let clone = env.clone_from(team.remote.dir(), "clone");
    assert_files(&clone, &files(1));
    assert_clean(&clone);
    assert_eq!(team.stat("files"), 10);
}

#[test]
fn objects_have_the_mode_that_git_lfs_would_give_them() {
    let team = Team::pushed(super::first);
    let remote = team.remote.dir().to_str().expect("plain");
    let cases = [
        ("022", "umask", 0o644),
        ("027", "umask", 0o640),
        ("077", "umask", 0o600),
        ("077", "group", 0o660),
        ("027", "all", 0o664),
        ("022", "0640", 0o640),
    ];
    for (umask, sharing, mode) in cases {
        let env = super::first();
        let script =
            format!("umask {umask}; exec git clone -q -c core.sharedRepository={sharing} \"$0\" clone");
        run(env.command("sh").args(["-c", &script, remote]));
        let clone = env.repo("clone");
        assert_files(&clone, &files(1));
        for (name, path) in objects(&clone.dir().join(".git/lfs/objects")) {
            let got = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(got, mode, "{name} with umask {umask} and sharedRepository={sharing}: {got:o}");
        }
    }
}

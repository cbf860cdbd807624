//! Partial clones of more files than one process could fetch one by one.

use std::collections::BTreeMap;

use datamon_test_support::{Hermetic, LfsServer, TestRepo, run, seeded_bytes};

use super::{Machine, Team, assert_files, change, each_git_lfs, file, line_with};

each_git_lfs!(
    news_of_many_files_are_pulled_at_once,
    a_push_fetches_nothing_to_find_out_what_is_similar,
    the_tips_of_a_partial_clone_are_adopted_at_once,
);

const FILES: u64 = 90;

fn many(seed: u64) -> BTreeMap<String, Vec<u8>> {
    (0..FILES).map(|n| (format!("d{}/f{n}.bin", n % 3), seeded_bytes(1000 * seed + n, 2_000))).collect()
}

#[track_caller]
fn partial_clone(env: &Hermetic, remote: &TestRepo, options: &[&str]) -> TestRepo {
    remote.git(["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", remote.dir().display());
    let mut clone = env.command("git");
    run(clone.args(["clone", "-q", "--filter=blob:none"]).args(options).args([&url, "clone"]));
    env.repo("clone")
}

/// Objects that the clone knows of and lacks.
fn absent(repo: &TestRepo) -> usize {
    let listed = repo.git(["rev-list", "--objects", "--missing=print", "--all"]);
    listed.lines().iter().filter(|line| line.starts_with('?')).count()
}

/// Fetches, each of which leaves a pack.
fn packs(repo: &TestRepo) -> usize {
    let packs = repo.dir().join(".git/objects/pack").read_dir().expect("a repository");
    packs
        .filter(|entry| entry.as_ref().is_ok_and(|it| it.path().extension().is_some_and(|it| it == "pack")))
        .count()
}

fn news_of_many_files_are_pulled_at_once(machine: Machine) {
    let team = Team::new(machine);
    team.change("first", &many(1));
    team.repo.push("origin", "main");
    let env = machine();
    let clone = partial_clone(&env, &team.remote, &[]);
    assert_files(&clone, &many(1));
    for seed in 2..4 {
        team.change("news", &many(seed));
        team.repo.push("origin", "main");
        let before = packs(&clone);
        let said = clone.git(["datamon", "pull"]);
        assert!(said.text().contains(&format!("fetched {FILES} files")), "{}", said.text());
        assert_files(&clone, &many(seed));
        assert!(packs(&clone) <= before + 3, "commits and trees, then pointers");
    }
}

fn a_push_fetches_nothing_to_find_out_what_is_similar(machine: Machine) {
    let team = Team::new(machine);
    team.change("first", &many(1));
    team.repo.git(["checkout", "-q", "-b", "side"]);
    team.change("side", &many(2));
    team.repo.git(["push", "-q", "origin", "main", "side"]);
    let env = machine();
    let clone = partial_clone(&env, &team.remote, &["--branch", "main"]);
    super::trust(&clone);
    let before = absent(&clone);
    assert!(before >= FILES as usize, "{before}");
    for (seed, off) in [(7, false), (8, true)] {
        // Without our hook too.
        clone.git(["config", "datamon.prePush", if off { "off" } else { "block" }]);
        change(&clone, "of no similar name", &file(&format!("new{seed}.bin"), seed, 60_000));
        clone.push("origin", "main");
        assert_eq!(absent(&clone), before);
    }
    team.repo.git(["fetch", "-q"]);
    team.repo.git(["checkout", "-q", "--detach", "origin/main"]);
    assert_files(&team.repo, &file("new8.bin", 8, 60_000));
}

fn the_tips_of_a_partial_clone_are_adopted_at_once(machine: Machine) {
    let env = machine();
    let (server, repo, remote) = (LfsServer::start(), env.init("data"), env.init_bare("remote.git"));
    repo.git(["lfs", "install", "--local"]);
    repo.track("*.bin");
    repo.write(".lfsconfig", format!("[lfs]\n\turl = {}\n", server.url()));
    change(&repo, "one", &many(1));
    for (branch, seed) in [("two", 2), ("three", 3)] {
        repo.git(["checkout", "-q", "-b", branch]);
        change(&repo, branch, &many(seed));
    }
    repo.add_remote("origin", remote.dir());
    repo.git(["push", "-q", "origin", "main", "two", "three"]);
    let env = machine();
    let clone = partial_clone(&env, &remote, &["--branch", "main", "-c", "lfs.fetchexclude=d1"]);
    let store = env.root().join("store");
    let before = packs(&clone);
    let said = clone.git(["datamon", "adopt-lfs", "--recent", "--store", store.to_str().expect("plain")]);
    assert!(line_with(said.text(), "stored").contains(&format!("{} files", 3 * FILES)), "{}", said.text());
    assert!(packs(&clone) <= before + 4, "the pointers, and what git and git-lfs look at");
}

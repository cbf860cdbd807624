//! Similar data costs its difference, whoever pushes it, from wherever, under whatever name.

use std::collections::BTreeMap;

use datamon_test_support::{TestRepo, seeded_bytes};

use super::{Machine, Team, assert_files, change, each_git_lfs, objects, trust};

each_git_lfs!(a_fresh_clone_finds_what_another_path_has, another_repo_of_the_store_finds_it_too,);

const MIB: usize = 1 << 20;

/// Bytes of data packs in the store.
fn stored(team: &Team) -> u64 {
    let packs = objects(&team.store).into_iter().filter(|(name, _)| name.starts_with("data/"));
    packs.map(|(_, path)| path.metadata().expect("there").len()).sum()
}

/// The end of one file, something new, the beginning of another.
fn patched(seed: u64, old: &[u8], other: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let bytes = [&old[MIB..], &seeded_bytes(seed, 300_000), &other[..other.len() - 99_999]].concat();
    BTreeMap::from([(format!("elsewhere/{seed}.bin"), bytes)])
}

/// Pushes the files and tells by how many bytes the data packs grew.
#[track_caller]
fn growth(team: &Team, repo: &TestRepo, files: &BTreeMap<String, Vec<u8>>) -> u64 {
    let before = stored(team);
    change(repo, "similar", files);
    repo.push("origin", "HEAD:main");
    stored(team) - before
}

fn a_fresh_clone_finds_what_another_path_has(machine: Machine) {
    let team = Team::new(machine);
    let (large, small) = (seeded_bytes(1, 36 * MIB), seeded_bytes(2, 4 * MIB));
    // Two packs, which the push hooks itself; one, which is looked into until somebody has.
    team.change("large", &BTreeMap::from([("a/large.bin".to_owned(), large.clone())]));
    team.repo.push("origin", "main");
    team.change("small", &BTreeMap::from([("b/small.bin".to_owned(), small.clone())]));
    team.repo.push("origin", "main");

    let clone = team.clone_elsewhere(machine);
    trust(&clone);
    let files = patched(7, &large, &small);
    let grown = growth(&team, &clone, &files);
    assert!(grown < MIB as u64, "{grown} new bytes");
    assert_files(&team.clone_elsewhere(machine), &files);
    team.repo.git(["datamon", "fsck", "--data"]);
}

fn another_repo_of_the_store_finds_it_too(machine: Machine) {
    let team = Team::new(machine);
    let (large, small) = (seeded_bytes(1, 5 * MIB), seeded_bytes(2, 4 * MIB));
    team.change(
        "both",
        &BTreeMap::from([("a.bin".to_owned(), large.clone()), ("b.bin".to_owned(), small.clone())]),
    );
    team.repo.push("origin", "main");

    let env = machine();
    let (repo, remote) = (env.init("other data"), env.init_bare("other.git"));
    let store = team.store.to_str().expect("plain");
    repo.git(["datamon", "-q", "init", "--store", store, "--track", "*.bin"]);
    repo.commit("set up");
    repo.add_remote("origin", remote.dir());
    let files = patched(7, &large, &small);
    let grown = growth(&team, &repo, &files);
    assert!(grown < MIB as u64, "{grown} new bytes");
    assert_files(&machine().clone_from(remote.dir(), "clone"), &files);
    team.repo.git(["datamon", "fsck", "--data"]);
}

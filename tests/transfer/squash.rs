//! What git still reaches is never given up by the way, and what is given up leaves the store.

use datamon_test_support::TestRepo;
use serde_json::Value;

use super::{Team, each_git_lfs, file, first, git_fails, oid, trust};
use crate::transfer::Machine;
use datamon_test_support::seeded_bytes;

fn json(repo: &TestRepo, args: &[&str]) -> Value {
    serde_json::from_str(repo.git(args).text()).expect("JSON")
}

const COLLECT: [&str; 8] = ["datamon", "gc", "run", "--grace", "0", "--orphans", "0", "--json"];

/// Two versions on `main`, and one on a branch that is gone from the remote.
fn team(machine: Machine) -> Team {
    let team = Team::new(machine);
    for n in 1..=2 {
        team.change(&format!("number {n}"), &file("data.bin", n, 60_000));
        team.repo.push("origin", "main");
    }
    team.repo.git(["checkout", "-q", "-b", "experiment"]);
    team.change("experiment", &file("data.bin", 9, 60_000));
    team.repo.push("origin", "experiment");
    team.repo.git(["push", "-q", "origin", "--delete", "experiment"]);
    team.repo.git(["checkout", "-q", "main"]);
    team
}

/// Whether git-lfs gets a file that is not on the machine.
fn has(team: &Team, seed: u64) -> bool {
    let id = oid(&seeded_bytes(seed, 60_000));
    let object = team.object_path(&id);
    let _ = std::fs::remove_file(&object);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{id}\nsize 60000\n");
    let path = team.env.root().join(format!("pointer-{seed}"));
    std::fs::write(&path, pointer).expect("written");
    let output = team
        .env
        .command("git")
        .current_dir(team.repo.dir())
        .args(["lfs", "smudge"])
        .stdin(std::fs::File::open(&path).expect("there"))
        .output()
        .expect("it runs");
    output.status.success() && output.stdout == seeded_bytes(seed, 60_000)
}

fn what_git_reaches_stays_and_the_rest_goes(machine: Machine) {
    let team = team(machine);
    // Branch and reflog still know it here.
    let squash = ["datamon", "squash", "--keep-reachable", "--json"];
    let planned = json(&team.repo, &squash);
    assert_eq!((&planned["dropped"], planned["versions"].as_array().map(Vec::len)), (&0.into(), Some(3)));
    let commit = team.repo.git(["rev-parse", "experiment"]);
    assert_eq!(planned["versions"][0]["commit"], commit.text(), "each is told by its commit: {planned}");
    team.repo.git(["branch", "-q", "-D", "experiment"]);
    assert_eq!(json(&team.repo, &squash)["dropped"], 0, "the reflog of HEAD");
    // A clone that never had it does not know whose it is.
    let url = format!("file://{}", team.remote.dir().display());
    let clone = machine().clone_from(url, "clone");
    trust(&clone);
    let planned = json(&clone, &squash);
    assert_eq!(planned["dropped"], 0, "{planned}");
    assert!(planned.to_string().contains("not in this clone"), "{planned}");
    // Who had it and forgot it does.
    team.repo.git(["reflog", "expire", "--expire=now", "--all"]);
    let planned = json(&team.repo, &squash);
    assert_eq!((&planned["dropped"], &planned["files"]), (&1.into(), &1.into()), "{planned}");
    team.repo.git(["datamon", "squash", "--keep-reachable", "--apply"]);
    let done = json(&team.repo, &COLLECT);
    assert!(done["deleted"]["bytes"].as_u64().unwrap() > 60_000, "{done}");
    team.assert_sound();
    assert!(!has(&team, 9), "it is gone");
    assert!(has(&team, 1) && has(&team, 2));
    // The whole history is there for whoever clones.
    let again = team.clone_elsewhere(machine);
    again.git(["lfs", "fetch", "--all"]);
    assert_eq!(again.read("data.bin"), seeded_bytes(2, 60_000));
    again.git(["checkout", "-q", "HEAD~"]);
    assert_eq!(again.read("data.bin"), seeded_bytes(1, 60_000));
    // Pushing it again brings it back.
    clone.git(["checkout", "-q", "-b", "more"]);
    clone.write("data.bin", seeded_bytes(9, 60_000));
    clone.add(".");
    clone.commit("once more");
    clone.push("origin", "more");
    assert!(has(&team, 9));
    team.assert_sound();
}

each_git_lfs!(what_git_reaches_stays_and_the_rest_goes);

#[test]
fn a_history_is_given_up_by_force_but_not_its_ends() {
    let team = team(first);
    team.repo.git(["tag", "v1", "main~"]);
    for n in 3..=4 {
        team.change(&format!("number {n}"), &file("data.bin", n, 60_000));
        team.repo.push("origin", "main");
    }
    let planned = json(&team.repo, &["datamon", "squash", "--keep-last", "1", "--force", "--json"]);
    // The tag keeps the first, the branches keep their ends; the second and third number go.
    assert_eq!(planned["dropped"], 2, "{planned}");
    team.repo.git(["datamon", "squash", "--keep-last", "1", "--force", "--apply"]);
    team.repo.git(COLLECT);
    team.assert_sound();
    assert_eq!([1, 2, 3, 4, 9].map(|seed| has(&team, seed)), [true, false, false, true, true]);
    team.repo.git(["datamon", "log"]);
    team.repo.git(["datamon", "lineage"]);
    team.repo.git(["datamon", "notes", "show"]);
}

#[test]
fn files_of_pushes_without_versions_stay() {
    let team = Team::new(first);
    team.change("first", &file("data.bin", 1, 60_000));
    team.repo.push("origin", "main");
    // Plain git-lfs, of a commit that nobody keeps.
    team.change("plain", &file("data.bin", 2, 60_000));
    team.repo.git(["lfs", "push", "origin", "HEAD"]);
    team.repo.git(["reset", "-q", "--hard", "HEAD~"]);
    team.repo.git(["reflog", "expire", "--expire=now", "--all"]);
    let planned = json(&team.repo, &["datamon", "squash", "--keep-reachable", "--apply", "--json"]);
    assert_eq!(
        (&planned["dropped"], &planned["files"], &planned["unversioned"]),
        (&0.into(), &0.into(), &1.into())
    );
    team.repo.git(COLLECT);
    assert!(has(&team, 1) && has(&team, 2));
}

#[test]
fn who_does_not_see_everything_gives_nothing_up() {
    let team = team(first);
    let squash = ["datamon", "squash", "--keep-last", "1", "--force"];
    let url = format!("file://{}", team.remote.dir().display());
    for (name, how, why) in [
        ("shallow", "--depth=1", "shallow"),
        ("single", "--single-branch", "set-branches"),
        ("partial", "--filter=tree:0", "partial"),
    ] {
        team.remote.git(["config", "uploadpack.allowFilter", "true"]);
        team.env.work();
        datamon_test_support::run(
            team.env.command("git").current_dir(team.env.work()).args(["clone", "-q", how, &url, name]),
        );
        let said = git_fails(&team.env.repo(name), &squash);
        assert!(said.contains(why), "{name}: {said}");
    }
    // Somebody pushed meanwhile.
    let other = team.clone_elsewhere(first);
    trust(&other);
    other.write("data.bin", seeded_bytes(5, 60_000));
    other.add(".");
    other.commit("by somebody else");
    other.push("origin", "HEAD:refs/heads/elsewhere");
    let said = git_fails(&team.repo, &squash);
    assert!(said.contains("refs/heads/elsewhere") && said.contains("git fetch origin"), "{said}");
    // The nameless repo is nobody's to give up.
    let said = git_fails(
        &team.repo,
        &[
            "datamon",
            "squash",
            "--keep-last",
            "1",
            "--store",
            team.store.to_str().unwrap(),
            "--repo",
            "00000000-0000-0000-0000-000000000000",
        ],
    );
    assert!(said.contains("has no repo") || said.contains("everybody's"), "{said}");
}

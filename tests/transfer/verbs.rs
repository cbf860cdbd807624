//! `git datamon push`, `pull`, `stats` and `fsck`: what they say, what they do, and what they leave alone.

use datamon_test_support::{TestRepo, run};

use super::{Machine, Team, assert_files, each_git_lfs, files, first};

each_git_lfs!(a_bulk_push_is_one_entry_and_git_pushes_after_it, a_bulk_pull_brings_data_before_commits);

fn json(repo: &TestRepo, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(repo.git(args).text()).expect("JSON")
}

fn a_bulk_push_is_one_entry_and_git_pushes_after_it(machine: Machine) {
    let team = Team::new(machine);
    team.change("first", &files(1));
    let before = team.entries();

    let said = team.repo.git(["datamon", "push", "--dry-run", "origin", "main"]);
    assert!(
        said.text().starts_with("10 files, ") && said.text().ends_with("the store has 0 of them"),
        "{}",
        said.text()
    );
    assert_eq!((team.entries(), team.stat("files")), (before, 0));

    team.repo.git(["datamon", "push", "--data-only", "origin", "main"]);
    assert_eq!((team.entries(), team.stat("files")), (before + 1, 10));
    assert_eq!(team.remote.git(["for-each-ref"]).text(), "", "--data-only pushes no ref");

    // All of it is known: a touch, and git's own push finds the receipt.
    team.repo.git(["datamon", "push", "origin", "main"]);
    assert_eq!(team.entries(), before + 2);
    assert_files(&team.clone_elsewhere(machine), &files(1));
    let said = team.repo.git(["datamon", "push", "--dry-run", "origin", "main"]);
    assert!(said.text().starts_with("0 files"), "{}", said.text());
    team.assert_sound();
}

fn a_bulk_pull_brings_data_before_commits(machine: Machine) {
    let team = Team::pushed(machine);
    let env = machine();
    let remote = team.remote.dir().to_str().expect("plain");
    run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
    let clone = env.repo("clone");
    let said = clone.git(["datamon", "pull", "--data-only", "--dry-run"]);
    assert!(said.text().starts_with("10 files"), "{}", said.text());
    assert_eq!(clone.lfs_objects().len(), 0);
    clone.git(["datamon", "pull", "--data-only"]);
    assert_files(&clone, &files(1));

    team.change("second", &files(2));
    team.repo.push("origin", "main");
    clone.git(["datamon", "pull"]);
    assert_files(&clone, &files(2));
    assert_eq!(clone.head(), team.repo.head());
    clone.git(["lfs", "fsck"]);
}

#[test]
fn stats_and_fsck_speak_json_with_stable_names() {
    let team = Team::pushed(first);
    let stats = json(&team.repo, &["datamon", "stats", "--json"]);
    for field in ["files", "logical_bytes", "chunks", "unique_raw_bytes", "stored_bytes", "log_head"] {
        assert!(stats[field].as_u64().is_some_and(|number| number > 0), "{field} in {stats}");
    }
    let large: usize =
        files(1).iter().filter(|(path, _)| path.ends_with(".bin")).map(|(_, bytes)| bytes.len()).sum();
    // The version of the push has the plain files of git too.
    let plain =
        ["readme.txt", ".gitattributes", ".lfsconfig", "datamon.toml"].map(|path| team.repo.read(path).len());
    let all = large + plain.iter().sum::<usize>();
    assert_eq!(stats["logical_bytes"], all - 1_500_000, "each content counts once");
    for kind in ["data", "log"] {
        assert!(stats["objects"][kind]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{stats}");
    }
    assert!(stats["last_transfer"]["requests"]["put"].as_u64().is_some_and(|put| put > 0), "{stats}");

    let fsck = json(&team.repo, &["datamon", "fsck", "--data", "--json"]);
    assert_eq!(
        (fsck["problems"].as_array().map(Vec::len), fsck["rows"].as_u64()),
        (Some(0), stats["files"].as_u64()),
        "{fsck}"
    );
}

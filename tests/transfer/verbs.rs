//! `git datamon push`, `pull`, `stats` and `fsck`: what they say, what they do, and what they leave alone.

use std::fs;

use datamon_test_support::{TestRepo, run, run_failing};

use super::{
    Machine, Team, assert_clean, assert_files, each_git_lfs, files, first, git_fails, line_with, objects,
};

each_git_lfs!(
    a_bulk_push_is_one_entry_and_git_pushes_after_it,
    a_bulk_pull_brings_data_before_commits,
    a_clone_that_failed_half_way_is_completed_by_the_command_it_names,
);

/// Files that a store has after the first push: ten of git-lfs, and five of git itself in the version of the commit.
const FILES: u64 = 15;

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
    let person = team.repo.git(["var", "GIT_AUTHOR_IDENT"]).text().to_owned();
    for line in team.repo.git(["datamon", "wal", "tail", "--since", "0", "--json"]).lines() {
        let change: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let contributor = change["contributor"].as_str().expect("git knows a person");
        assert!(person.starts_with(contributor), "{change}");
    }
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
    assert_eq!(clone.lfs_objects().len(), 0, "the disk is paid once");
    clone.git(["datamon", "fsck"]);
}

fn a_clone_that_failed_half_way_is_completed_by_the_command_it_names(machine: Machine) {
    let team = Team::pushed(machine);
    let away = team.env.root().join("away");
    fs::rename(&team.store, &away).unwrap();
    let env = machine();
    let remote = team.remote.dir().to_str().expect("plain");
    let said = run_failing(env.command("git").args(["clone", remote, "clone"])).stderr;
    let clone = env.repo("clone");
    assert!(said.contains("complete the checkout with `git datamon pull --data-only`"), "{said}");
    let said = git_fails(&clone, &["datamon", "pull", "--data-only"]);
    assert!(said.contains("there is no store"), "{said}");
    fs::rename(&away, &team.store).unwrap();
    // What somebody wrote meanwhile is not overwritten.
    let right = clone.read(".gitattributes");
    let mine = [&right[..], b"*.txt text\n"].concat();
    clone.write(".gitattributes", &mine);
    let said = git_fails(&clone, &["datamon", "pull", "--data-only"]);
    assert!(said.contains("differ from HEAD") && said.contains("git restore --source=HEAD"), "{said}");
    assert!(clone.read(".gitattributes") == mine);
    clone.write(".gitattributes", right);
    clone.git(["datamon", "pull", "--data-only"]);
    assert_files(&clone, &files(1));
    assert_clean(&clone);
    // A work tree that nobody wants filled stays empty.
    run(env.command("git").args(["clone", "-q", "--no-checkout", remote, "bare"]));
    let bare = env.repo("bare");
    let said = bare.git(["datamon", "pull", "--data-only"]).stderr;
    assert!(said.contains("git restore --source=HEAD --staged --worktree :/"), "{said}");
    assert_eq!((bare.dir().read_dir().unwrap().count(), bare.lfs_objects().len()), (1, 10));
}

#[test]
fn a_store_is_spelled_as_the_user_likes() {
    let team = Team::pushed(first);
    let store = team.store.to_str().expect("plain");
    let url = team.repo.git(["config", "-f", ".lfsconfig", "lfs.url"]).text().to_owned();
    let bare = format!("datamon::{store}");
    let (_, plain) = url.split_once("::").expect("a store");
    for spelling in [&url, &bare, plain, store, "../../store"] {
        let said = json(&team.repo, &["datamon", "stats", "--json", "--store", spelling]);
        assert_eq!(said["files"], FILES, "{spelling}");
        team.repo.git(["datamon", "fsck", "--store", spelling]);
        team.repo.git(["datamon", "trust", spelling]);
        team.repo.git(["datamon", "init", "--store", spelling]);
    }
    team.repo.git(["config", "-f", ".lfsconfig", "lfs.url", &bare]);
    team.repo.git(["datamon", "init", "--store", &url]);
    assert_eq!(team.repo.git(["config", "-f", ".lfsconfig", "lfs.url"]).text(), bare, "it is the same");
}

#[test]
fn packs_that_nothing_names_are_counted_apart() {
    let team = Team::pushed(first);
    let said = json(&team.repo, &["datamon", "stats", "--json"]);
    assert_eq!(said["unused"]["count"], 0, "{said}");
    assert!(!team.repo.git(["datamon", "stats"]).text().contains("unused"));
    let (name, path) =
        objects(&team.store).into_iter().find(|(name, _)| name.starts_with("data/")).expect("a pack");
    // Another id in the same folder, which is named by the last byte.
    let (before, after) = name.split_at(name.len() - 3);
    let digit = if after.starts_with('0') { "1" } else { "0" };
    let other = team.store.join(format!("{before}{digit}{}", &after[1..]));
    let size = fs::copy(path, other).unwrap();
    let said = json(&team.repo, &["datamon", "stats", "--json"]);
    assert_eq!((&said["unused"]["count"], &said["unused"]["bytes"]), (&1.into(), &size.into()), "{said}");
    assert!(line_with(team.repo.git(["datamon", "stats"]).text(), "unused").contains("1 packs, "));
    let said = json(&team.repo, &["datamon", "fsck", "--json"]);
    assert_eq!((&said["unused_packs"], &said["unused_bytes"]), (&1.into(), &size.into()), "{said}");
    let said = team.repo.git(["datamon", "fsck"]).text().to_owned();
    assert!(line_with(&said, "unused").contains("1 pack, "), "{said}");
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
        (Some(0), Some(FILES)),
        "{fsck}"
    );
}

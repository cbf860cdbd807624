//! Versions and their notes through everything that git does to commits, and between clones that work at once.

use datamon_test_support::TestRepo;
use serde_json::Value;

use super::{Team, file, first, git_fails, git_with, trust};

fn json(repo: &TestRepo, args: &[&str]) -> Value {
    serde_json::from_str(repo.git(args).text()).expect("JSON")
}

#[track_caller]
fn version(repo: &TestRepo, revision: &str) -> String {
    json(repo, &["datamon", "show", "--json", revision])["bundle"].as_str().expect("an id").to_owned()
}

/// What becomes of the note of the commit that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    /// Git does what it does.
    Present,
    /// It tells of another tree.
    Stale,
    /// All notes are gone.
    Lost,
}

/// Later than every commit before, so that a rewritten commit is another one.
const LATER: [(&str, &str); 2] =
    [("GIT_COMMITTER_DATE", "1900000000 +0000"), ("GIT_SEQUENCE_EDITOR", "true")];

/// Commands that end on `work` in a commit with the tree of a version: `main` is three commits with versions 1, 2 and 3, and `fixed`
/// a fourth with version 4, a fixup of the third.
const REWRITES: [(&str, &[&[&str]], usize); 7] = [
    ("amend", &[&["commit", "-q", "--amend", "-m", "other words"]], 3),
    ("rebase", &[&["rebase", "-q", "--force-rebase", "HEAD~2"]], 3),
    ("squash", &[&["reset", "-q", "--soft", "HEAD~2"], &["commit", "-q", "-m", "squashed"]], 3),
    ("cherry-pick", &[&["reset", "-q", "--hard", "HEAD~"], &["cherry-pick", "main"]], 3),
    ("fixup", &[&["reset", "-q", "--hard", "fixed"], &["rebase", "-q", "-i", "--autosquash", "HEAD~3"]], 4),
    ("merge", &[&["reset", "-q", "--hard", "HEAD~"], &["merge", "-q", "--no-ff", "-m", "merged", "main"]], 3),
    ("revert", &[&["revert", "--no-edit", "HEAD"]], 2),
];

fn every_rewrite_with(note: Note) {
    let team = Team::new(first);
    let repo = &team.repo;
    for n in 1..=3 {
        team.change(&format!("number {n}"), &file("data.bin", n, 20_000));
    }
    repo.git(["checkout", "-q", "-b", "fixed"]);
    repo.write("data.bin", b"fixed");
    repo.add(".");
    repo.git(["commit", "-q", "--fixup", "HEAD"]);
    repo.git(["datamon", "bundle", "main~2", "main~", "main", "fixed"]);
    let versions = ["main~2", "main~", "main", "fixed"].map(|revision| version(repo, revision));
    let other = repo.git(["notes", "--ref=datamon", "show", "main~2"]).text().to_owned();
    let entries = team.entries();
    for (name, commands, wanted) in REWRITES {
        repo.git(["checkout", "-q", "-B", "work", "main"]);
        for command in commands {
            git_with(repo, &LATER, command);
        }
        let wanted = &versions[wanted - 1];
        assert_ne!(repo.head(), repo.git(["rev-parse", "main"]).text(), "{name} made no commit");
        match note {
            Note::Present => {}
            Note::Stale => drop(repo.git(["notes", "--ref=datamon", "add", "-f", "-m", &other, "HEAD"])),
            Note::Lost => drop(repo.git(["update-ref", "-d", "refs/notes/datamon"])),
        }
        assert_eq!(version(repo, "HEAD"), *wanted, "{name}, note {note:?}");
        repo.git(["datamon", "notes", "repair"]);
        let shown = json(repo, &["datamon", "notes", "show", "--json"]);
        let records = shown["records"].as_array().expect("records");
        let ids: Vec<&str> = records.iter().filter_map(|it| it["record"]["id"].as_str()).collect();
        assert!(ids.contains(&wanted.as_str()), "{name}, note {note:?}: {shown}");
        assert!(records.iter().all(|it| it["stale"] == false), "{name}, note {note:?}: {shown}");
        let said = json(repo, &["datamon", "notes", "repair", "--json"]);
        assert_eq!(said["changed"], 0, "{name}: a second repair finds nothing");
    }
    assert_eq!(team.entries(), entries, "nothing was uploaded");
}

#[test]
fn every_rewrite_keeps_its_version_with_the_note_that_git_carries_along() {
    every_rewrite_with(Note::Present);
}

#[test]
fn every_rewrite_keeps_its_version_with_a_stale_note() {
    every_rewrite_with(Note::Stale);
}

#[test]
fn every_rewrite_keeps_its_version_without_notes() {
    every_rewrite_with(Note::Lost);
}

#[test]
fn git_itself_carries_the_note_to_an_amended_commit() {
    let team = Team::pushed(first);
    let before = team.repo.git(["notes", "--ref=datamon", "show"]).text().to_owned();
    git_with(&team.repo, &LATER, &["commit", "-q", "--amend", "-m", "other words"]);
    assert_eq!(team.repo.git(["notes", "--ref=datamon", "show"]).text(), before);
    assert_eq!(json(&team.repo, &["datamon", "notes", "show", "--json"])["records"][0]["stale"], false);
}

#[test]
fn lineage_goes_up_and_down_across_commits_and_merges() {
    let team = Team::pushed(first);
    let repo = &team.repo;
    let base = version(repo, "HEAD");
    repo.git(["checkout", "-q", "-b", "side"]);
    team.change("on the side", &file("side.bin", 2, 9_000));
    repo.git(["checkout", "-q", "main"]);
    // A commit without a version lies between.
    team.change("between", &file("between.bin", 3, 9_000));
    team.change("on main \"quoted\"", &file("main.bin", 4, 9_000));
    repo.git(["push", "-q", "origin", "main", "side"]);
    git_with(repo, &LATER, &["merge", "-q", "--no-edit", "side"]);
    repo.push("origin", "main");
    let [merge, main, side] = ["main", "main~", "side"].map(|revision| version(repo, revision));
    let ids = |said: &Value| -> Vec<String> {
        let bundles = said["bundles"].as_array().expect("bundles").iter();
        bundles.map(|it| it["bundle"].as_str().expect("an id").to_owned()).collect()
    };
    let up = json(repo, &["datamon", "lineage", "--json"]);
    assert_eq!(ids(&up), [&merge, &main, &side, &base].map(String::as_str));
    assert_eq!(up["bundles"][0]["parents"], serde_json::json!([main, side]));
    let down = json(repo, &["datamon", "lineage", "side", "--down", "--json"]);
    assert_eq!(ids(&down), [&side, &merge].map(String::as_str));
    let few = json(repo, &["datamon", "lineage", "-n", "2", "--json"]);
    assert_eq!((ids(&few).len(), &few["truncated"]), (2, &Value::Bool(true)));
    let text = repo.git(["datamon", "lineage"]);
    assert_eq!(text.lines().len(), 4);
    assert!(text.lines()[1].starts_with("  * ") && text.lines()[1].contains("on main \"quoted\""));
    let dot = repo.git(["datamon", "lineage", "--dot"]);
    assert_eq!(dot.lines().iter().filter(|line| line.contains(" -> ")).count(), 4);
    assert!(dot.text().contains("on main \\\"quoted\\\""));
    assert!(git_fails(repo, &["datamon", "lineage", "main~2"]).contains("no bundle was made"));
    // Without git it is the same.
    let store = team.store.to_str().expect("plain");
    let apart = json(repo, &["datamon", "lineage", &merge, "--json", "--store", store]);
    assert_eq!(apart["bundles"], up["bundles"]);
}

#[test]
fn a_line_that_somebody_wrote_by_hand_stays_through_sync_and_repair() {
    let team = Team::pushed(first);
    let clone = team.clone_elsewhere(first);
    clone.git(["datamon", "notes", "sync"]);
    clone.git(["notes", "--ref=datamon", "append", "-m", "seen by Ada", "HEAD"]);
    team.repo.git([
        "notes",
        "--ref=datamon",
        "append",
        "-m",
        "{\"kind\":\"run\",\"of\":\"tomorrow\"}",
        "HEAD",
    ]);
    clone.git(["datamon", "notes", "sync"]);
    assert_eq!(
        team.repo.git(["datamon", "notes", "sync"]).text(),
        "notes with origin: fetched, merged and pushed"
    );
    clone.git(["datamon", "notes", "sync", "origin"]);
    for repo in [&team.repo, &clone] {
        repo.git(["datamon", "notes", "repair"]);
        let note = repo.git(["notes", "--ref=datamon", "show"]);
        let lines: Vec<&str> = note.lines().into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0] == "seen by Ada" && lines[1].starts_with("{\"kind\":\"bundle\""), "{lines:?}");
    }
}

/// Clones that commit and push at the same moment, each its own branch, `rounds` times.
fn clones_at_once(count: usize, rounds: usize) {
    let team = Team::pushed(first);
    let clones: Vec<TestRepo> = (0..count).map(|_| team.clone_elsewhere(first)).collect();
    for clone in &clones {
        clone.git(["datamon", "-q", "init"]);
        trust(clone);
    }
    std::thread::scope(|scope| {
        for (n, clone) in clones.iter().enumerate() {
            scope.spawn(move || {
                clone.git(["checkout", "-q", "-b", &format!("branch-{n}")]);
                for round in 0..rounds {
                    let seed = (100 * n + round) as u64;
                    super::change(clone, &format!("{n}/{round}"), &file(&format!("{n}.bin"), seed, 30_000));
                    clone.git(["push", "-q", "origin", "HEAD"]);
                }
            });
        }
    });
    // A last exchange each, in turn: what a busy remote refused is not lost.
    clones.iter().for_each(|clone| drop(clone.git(["datamon", "notes", "sync"])));
    let reader = team.clone_elsewhere(first);
    reader.git(["datamon", "notes", "sync"]);
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..count {
        for round in 0..rounds {
            let revision = format!("origin/branch-{n}~{round}");
            let shown = version(&reader, &revision);
            let note = json(&reader, &["datamon", "notes", "show", "--json", &revision]);
            assert_eq!(note["records"][0]["record"]["id"], *shown, "{revision}");
            assert!(seen.insert(shown), "two commits have one version");
        }
    }
    assert_eq!(seen.len(), count * rounds);
    assert_eq!(json(&reader, &["datamon", "notes", "repair", "--json"])["changed"], 0);
    team.assert_sound();
}

#[test]
fn two_clones_that_push_at_once_lose_nothing() {
    clones_at_once(2, 4);
}

#[test]
fn eight_clones_that_push_at_once_lose_nothing() {
    clones_at_once(8, 2);
}

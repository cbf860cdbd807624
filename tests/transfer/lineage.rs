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

/// A move of the label that clones race for, with what its clone expected.
#[derive(Debug)]
struct Acknowledged {
    expected: Option<String>,
    bundle: String,
}

/// `git datamon` in a clone, with its exit code.
fn tried(clone: &TestRepo, args: &[&str]) -> (Option<i32>, String) {
    let mut git = clone.env().command("git");
    let said = git.current_dir(clone.dir()).arg("datamon").args(args).output().expect("runs");
    (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
}

/// A commit, a push, and three labels: one of the clone's own, one that everybody moves, one that everybody moves only from where
/// they saw it. The move of the last, if it was acknowledged.
fn commit_push_and_label(clone: &TestRepo, n: usize, round: usize) -> Option<Acknowledged> {
    let seed = (100 * n + round) as u64;
    super::change(clone, &format!("{n}/{round}"), &file(&format!("{n}.bin"), seed, 30_000));
    clone.git(["push", "-q", "origin", "HEAD"]);
    let bundle = version(clone, "HEAD");
    clone.git(["datamon", "label", "set", &format!("own-{n}")]);
    clone.git(["datamon", "label", "set", "shared"]);
    let listed = json(clone, &["datamon", "label", "list", "--json"]);
    let seen = listed.as_array().expect("labels").iter().find(|it| it["name"] == "raced");
    let expected = seen.map(|it| it["bundle"].as_str().expect("an id").to_owned());
    let expect = expected.as_deref().unwrap_or("none");
    match tried(clone, &["label", "set", "raced", "--expect", expect]) {
        (Some(0), _) => Some(Acknowledged { expected, bundle }),
        (Some(3), said) => {
            assert!(said.contains("label \"raced\" was not changed: it leads to bundle"), "{said}");
            None
        }
        (code, said) => panic!("{code:?}: {said}"),
    }
}

/// Clones that commit, push and move labels at the same moment, each its own branch, `rounds` times.
fn clones_at_once(count: usize, rounds: usize) {
    let team = Team::pushed(first);
    let clones: Vec<TestRepo> = (0..count).map(|_| team.clone_elsewhere(first)).collect();
    for clone in &clones {
        clone.git(["datamon", "-q", "init"]);
        trust(clone);
    }
    let acknowledged: Vec<Acknowledged> = std::thread::scope(|scope| {
        let racing = clones.iter().enumerate().map(|(n, clone)| {
            scope.spawn(move || {
                clone.git(["checkout", "-q", "-b", &format!("branch-{n}")]);
                (0..rounds).filter_map(|round| commit_push_and_label(clone, n, round)).collect::<Vec<_>>()
            })
        });
        let racing: Vec<_> = racing.collect();
        racing.into_iter().flat_map(|clone| clone.join().expect("a clone that works")).collect()
    });
    // A last exchange each, in turn: what a busy remote refused is not lost.
    clones.iter().for_each(|clone| drop(clone.git(["datamon", "notes", "sync"])));
    let reader = team.clone_elsewhere(first);
    reader.git(["datamon", "notes", "sync"]);
    let seen = assert_versions(&reader, count, rounds);
    assert_labels(&reader, count, &seen, acknowledged);
    assert_eq!(json(&reader, &["datamon", "notes", "repair", "--json"])["changed"], 0);
    team.assert_sound();
}

/// Each commit has a version of its own, and its note says so. The versions of each clone, newest first.
fn assert_versions(reader: &TestRepo, count: usize, rounds: usize) -> Vec<Vec<String>> {
    let of_clone = |n| {
        let one = |round| {
            let revision = format!("origin/branch-{n}~{round}");
            let shown = version(reader, &revision);
            let note = json(reader, &["datamon", "notes", "show", "--json", &revision]);
            let noted = |it: &Value| it["record"]["kind"] == "bundle" && it["record"]["id"] == *shown;
            assert!(note["records"].as_array().expect("records").iter().any(noted), "{revision}: {note}");
            shown
        };
        (0..rounds).map(one).collect::<Vec<_>>()
    };
    let versions: Vec<Vec<String>> = (0..count).map(of_clone).collect();
    let different: std::collections::BTreeSet<&String> = versions.iter().flatten().collect();
    assert_eq!(different.len(), count * rounds, "two commits have one version");
    versions
}

/// Every acknowledged move stands in the history of its label, once, and those with `--expect` behind what they expected.
fn assert_labels(reader: &TestRepo, count: usize, versions: &[Vec<String>], raced: Vec<Acknowledged>) {
    let history = |name: &str| -> Vec<String> {
        let moves = json(reader, &["datamon", "label", "history", name, "--json"]);
        let moves = moves.as_array().expect("moves");
        let seqs: Vec<u64> = moves.iter().map(|it| it["seq"].as_u64().expect("an entry")).collect();
        assert!(seqs.is_sorted_by(|newer, older| newer > older), "{name}: {seqs:?}");
        moves.iter().map(|it| it["bundle"].as_str().expect("an id").to_owned()).collect()
    };
    for (n, wanted) in versions.iter().enumerate() {
        assert_eq!(history(&format!("own-{n}")), *wanted);
    }
    let mut shared = history("shared");
    shared.sort();
    let mut all: Vec<String> = versions.iter().flatten().cloned().collect();
    all.sort();
    assert_eq!(shared, all, "every move of a label without --expect lands once");

    let history = history("raced");
    assert_eq!(history.len(), raced.len(), "acknowledged moves, and no others");
    assert!(raced.len() >= count.min(2), "{} moves: no race", raced.len());
    for Acknowledged { expected, bundle } in raced {
        let at = history.iter().position(|it| *it == bundle).expect("an acknowledged move is lost");
        assert_eq!(history.get(at + 1), expected.as_ref(), "it was moved from elsewhere");
    }
}

#[test]
fn two_clones_that_push_and_label_at_once_lose_nothing() {
    clones_at_once(2, 4);
}

#[test]
fn eight_clones_that_push_and_label_at_once_lose_nothing() {
    clones_at_once(8, 2);
}

/// `--expect` from one place, by all clones: one is told that it moved the label, all others that they did not.
#[test]
fn of_clones_that_expect_the_same_one_moves_the_label() {
    let team = Team::pushed(first);
    team.repo.git(["datamon", "label", "set", "release"]);
    let before = version(&team.repo, "HEAD");
    let clones: Vec<TestRepo> = (0..4).map(|_| team.clone_elsewhere(first)).collect();
    for (n, clone) in clones.iter().enumerate() {
        clone.git(["datamon", "-q", "init"]);
        trust(clone);
        clone.git(["checkout", "-q", "-b", &format!("branch-{n}")]);
        super::change(clone, "more", &file("more.bin", n as u64, 5_000));
        clone.git(["push", "-q", "origin", "HEAD"]);
    }
    let codes: Vec<Option<i32>> = std::thread::scope(|scope| {
        let set = |clone| tried(clone, &["label", "set", "release", "--expect", &before]).0;
        let racing: Vec<_> = clones.iter().map(|clone| scope.spawn(move || set(clone))).collect();
        racing.into_iter().map(|clone| clone.join().expect("runs")).collect()
    });
    let won: Vec<usize> = (0..4).filter(|n| codes[*n] == Some(0)).collect();
    assert_eq!((won.len(), codes.iter().filter(|code| **code == Some(3)).count()), (1, 3), "{codes:?}");
    let leads = json(&team.repo, &["datamon", "label", "show", "release", "--json"])["bundle"].clone();
    assert_eq!(leads, version(&clones[won[0]], "HEAD"));
    // To take it away from where it does not lead is the same defeat.
    assert_eq!(tried(&clones[0], &["label", "delete", "release", "--expect", &before]).0, Some(3));
}

/// One way to rewrite `base`, three commits: the variables, the commands, and how many of the notes 2 and 3 the new HEAD has.
type Rewriting = (&'static [(&'static str, &'static str)], &'static [&'static [&'static str]], usize);

const SQUASH: &[(&str, &str)] = &[("GIT_SEQUENCE_EDITOR", "sed -i 2s/pick/squash/")];
const REWORD: &[(&str, &str)] = &[("GIT_SEQUENCE_EDITOR", "sed -i 1s/pick/reword/")];
const QUIET: &[(&str, &str)] = &[("FILTER_BRANCH_SQUELCH_WARNING", "1")];
const BACK: &[&str] = &["reset", "-q", "--hard", "HEAD~"];
const FILTER: &[&str] = &["filter-branch", "-f", "--msg-filter", "cat; echo more", "HEAD~2..HEAD"];

const REWRITINGS: [Rewriting; 12] = [
    (&[], &[&["commit", "-q", "--amend", "-m", "other words"]], 1),
    (&[], &[&["rebase", "-q", "--merge", "--force-rebase", "HEAD~2"]], 1),
    (&[], &[&["rebase", "-q", "--apply", "--force-rebase", "HEAD~2"]], 1),
    (SQUASH, &[&["rebase", "-q", "-i", "HEAD~2"]], 2),
    (REWORD, &[&["rebase", "-q", "-i", "HEAD~2"]], 1),
    (&[], &[&["reset", "-q", "--soft", "HEAD~2"], &["commit", "-q", "-m", "squashed"]], 0),
    (&[], &[BACK, &["cherry-pick", "base"]], 0),
    (&[], &[BACK, &["cherry-pick", "-x", "base"]], 0),
    (&[], &[BACK, &["merge", "-q", "--no-ff", "-m", "merged", "base"]], 0),
    (&[], &[&["revert", "--no-edit", "HEAD"]], 0),
    (QUIET, &[FILTER], 0),
    (&[], &[&["format-patch", "-q", "-1", "-o", "patch"], BACK, &["am", "-q", "patch/0001-3.patch"]], 0),
];

/// Why there is no post-rewrite hook of ours: git carries notes along in the same runs in which it would run one, and in no other.
#[test]
fn git_carries_notes_wherever_it_would_run_a_post_rewrite_hook() {
    let env = first();
    let repo = env.init("plain");
    repo.git(["config", "notes.rewriteRef", "refs/notes/datamon"]);
    repo.git(["config", "notes.rewriteMode", "cat_sort_uniq"]);
    for n in ["1", "2", "3"] {
        repo.write(n, n);
        repo.add(n);
        repo.commit(n);
        repo.git(["notes", "--ref=datamon", "add", "-m", n]);
    }
    repo.git(["branch", "base"]);
    repo.write(".git/hooks/post-rewrite", "#!/bin/sh\nexec touch .git/rewritten\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(repo.dir().join(".git/hooks/post-rewrite"), executable).expect("a hook");
    for (variables, commands, wanted) in REWRITINGS {
        repo.git(["checkout", "-q", "-B", "work", "base"]);
        let _ = std::fs::remove_file(repo.dir().join(".git/rewritten"));
        for command in commands {
            git_with(&repo, &[&LATER[..1], variables].concat(), command);
        }
        let hooked = repo.dir().join(".git/rewritten").exists();
        let notes = repo.git(["notes", "--ref=datamon", "list"]);
        let head = repo.head();
        let carried = match notes.lines().iter().any(|line| line.ends_with(&head)) {
            true => repo
                .git(["notes", "--ref=datamon", "show"])
                .lines()
                .iter()
                .filter(|it| !it.is_empty())
                .count(),
            false => 0,
        };
        assert_eq!((carried, hooked), (wanted, wanted > 0), "{commands:?}");
    }
}

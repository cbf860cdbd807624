//! Without the store: what is here is used, what cannot be done is refused, and what is pending goes up later.

use std::fs;
use std::path::PathBuf;

use datamon_test_support::{TestRepo, run, run_failing, seeded_bytes};
use serde_json::{Value, json};

use super::beside::assert_settled;
use super::{Team, assert_clean, assert_files, change, file, files, first, line_with};

/// A store that is not where it was, as long as this lives.
struct Away<'t> {
    team: &'t Team,
    to: PathBuf,
}

impl<'t> Away<'t> {
    fn of(team: &'t Team) -> Away<'t> {
        let to = team.env.root().join("away");
        fs::rename(&team.store, &to).expect("a directory of this test");
        Away { team, to }
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        assert!(!self.team.store.exists(), "somebody made a store where ours was");
        fs::rename(&self.to, &self.team.store).expect("a directory of this test");
    }
}

/// The exit code and stderr of a git that must fail with one line that says why.
#[track_caller]
fn refused(repo: &TestRepo, args: &[&str]) -> (i32, String) {
    let output = run_failing(repo.env().command("git").current_dir(repo.dir()).args(args));
    assert_eq!(output.stderr.matches("error: ").count(), 1, "{}", output.stderr);
    (output.code.expect("it ended by itself"), output.stderr)
}

/// Versions 1 and 2, the second with `small` under another name and one more commit of code, and a clone of it without second copies.
fn scene() -> (Team, TestRepo) {
    let team = Team::pushed(first);
    team.repo.git(["mv", "small", "moved"]);
    team.repo.write("readme.txt", "moved\n");
    team.repo.git(["commit", "--quiet", "--all", "-m", "moved"]);
    team.repo.write("readme.txt", "code\n");
    team.repo.git(["commit", "--quiet", "--all", "-m", "code"]);
    team.repo.git(["checkout", "--quiet", "-b", "side", "HEAD~2"]);
    change(&team.repo, "side", &files(2));
    team.repo.git(["checkout", "--quiet", "main"]);
    team.repo.git(["datamon", "-q", "push", "origin", "main", "side"]);
    let env = first();
    run(env.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    (team, clone)
}

#[test]
fn a_checkout_whose_data_is_here_asks_no_store() {
    let (team, clone) = scene();
    let away = Away::of(&team);
    // A repository that keeps git-lfs's objects has all of its versions.
    for (version, n) in [("side", 2), ("main~2", 1), ("side", 2), ("main~2", 1)] {
        team.repo.git(["datamon", "-q", "checkout", version]);
        assert_files(&team.repo, &files(n));
        assert_settled(&team.repo);
    }
    team.repo.write("large.bin", "edited");
    team.repo.git(["datamon", "-q", "checkout", "--force", "--", "large.bin"]);
    team.repo.git(["datamon", "-q", "checkout", "side", "--dest", "../side"]);
    for (path, bytes) in files(2) {
        assert!(fs::read(team.env.work().join("side").join(&path)).expect("there") == bytes, "{path}");
    }
    assert_clean(&team.repo);

    // One that keeps none has those whose files only moved, or are as they are.
    assert!(clone.lfs_objects().is_empty());
    for version in ["main~1", "main~2", "main"] {
        clone.git(["datamon", "-q", "checkout", version]);
        let folder = if version == "main~2" { "small" } else { "moved" };
        assert!(clone.read(&format!("{folder}/3 ä.bin")) == files(1)["small/3 ä.bin"], "{version}");
        assert!(clone.read("large.bin") == files(1)["large.bin"]);
        assert_settled(&clone);
    }
    clone.git(["datamon", "-q", "checkout", "main~2", "--dest", "../first"]);
    assert!(
        fs::read(clone.env().work().join("first/small/1 ä.bin")).expect("there") == files(1)["small/1 ä.bin"]
    );
    assert_clean(&clone);
    assert!(clone.lfs_objects().is_empty());
    drop(away);
}

#[test]
fn what_is_not_here_is_named_before_anything_changes() {
    let (team, clone) = scene();
    let before = (clone.head(), clone.git(["reflog"]).text().to_owned());
    let away = Away::of(&team);
    for args in
        [&["checkout", "side"][..], &["checkout", "side", "--dest", "../out"], &["checkout", "-f", "side"]]
    {
        let (code, said) = refused(&clone, &[&["datamon"], args].concat());
        assert_eq!(code, 2, "{said}");
        let line = line_with(&said, "error: ");
        assert!(line.contains("files of") && line.contains("are not on this machine"), "{said}");
        assert!(line.contains("there is no store") && said.contains("hint: "), "{said}");
    }
    assert!(!clone.env().work().join("out").exists());
    // A file of such a version that is here can be had.
    clone.git(["datamon", "-q", "checkout", "side", "--", "readme.txt"]);
    assert_eq!(clone.read("readme.txt"), files(2)["readme.txt"]);
    clone.git(["datamon", "-q", "checkout", "--force", "main", "--", "readme.txt"]);
    let (code, said) = refused(&clone, &["datamon", "checkout", "reviewed"]);
    assert!(code == 2 && said.contains("only the store knows labels and bundles"), "{code} {said}");
    assert_eq!((clone.head(), clone.git(["reflog"]).text().to_owned()), before);
    assert_settled(&clone);
    // What was edited in place under a name that goes is not taken for what it was.
    clone.git(["datamon", "-q", "checkout", "main~2"]);
    drop(away);
    clone.git(["datamon", "-q", "checkout", "side"]);
    assert_files(&clone, &files(2));
    assert_clean(&clone);
}

#[test]
fn a_clone_without_data_needs_no_store() {
    let team = Team::pushed(first);
    team.repo.git(["checkout", "--quiet", "--orphan", "code"]);
    team.repo.git(["rm", "-q", "-r", "--cached", "."]);
    team.repo.git(["add", "-f", "readme.txt", ".lfsconfig", "datamon.toml"]);
    team.repo.commit("code");
    team.repo.push("origin", "code");
    let _away = Away::of(&team);
    let env = first();
    for (name, words) in
        [("none", ["--no-data", "--branch", "main"]), ("code", ["--json", "--branch", "code"])]
    {
        let mut command = env.command("git");
        let said = run(command.args(["datamon", "clone"]).args(words).arg(team.remote.dir()).arg(name));
        assert!(line_with(&said.stderr, "warning: ").contains("the store was not seen"), "{}", said.stderr);
        let clone = env.repo(name);
        assert_eq!(clone.read("readme.txt"), files(1)["readme.txt"]);
        assert_settled(&clone);
        assert_eq!(clone.git(["config", "lfs.allowincompletepush"]).text(), "true");
    }
}

#[test]
fn what_was_committed_offline_is_pending_until_a_push() {
    let team = Team::pushed(first);
    let entries = team.entries();
    let status = |repo: &TestRepo| -> Value {
        let output =
            repo.env().command("git").current_dir(repo.dir()).args(["datamon", "status", "--json"]).output();
        serde_json::from_slice(&output.expect("runs").stdout).expect("JSON")
    };
    let away = Away::of(&team);
    let before = (team.repo.head(), team.repo.git(["ls-files", "--stage"]).text().to_owned());
    team.repo.write("one.bin", seeded_bytes(30, 100_000));
    // A label is the store's: nothing is committed that would lack it.
    for args in [&["-m", "x", "--label", "good", "one.bin"][..], &["-m", "x", "--label", "good", "--json"]] {
        let (code, said) = refused(&team.repo, &[&["datamon", "commit"], args].concat());
        assert!(
            code == 2
                && said.contains("nothing was committed")
                && said.contains("git datamon label set good")
        );
        assert_eq!((team.repo.head(), team.repo.git(["ls-files", "--stage"]).text().to_owned()), before);
    }
    let said = team.repo.git(["datamon", "commit", "--json", "-m", "offline", "one.bin"]);
    assert!(line_with(&said.stderr, "warning: ").contains("the data stays on this machine"));
    let made: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!((&made["uploaded"], &made["bundle"]), (&json!(false), &Value::Null), "{made}");
    assert_eq!(made["commit"], *team.repo.head());
    assert_settled(&team.repo);

    let found = status(&team.repo);
    assert!(found["store_error"].is_string() && found["clean"] == false, "{found}");
    assert_eq!(found["branches"][0]["unpushed"], 1, "{found}");
    let human =
        run_failing(team.repo.env().command("git").current_dir(team.repo.dir()).args(["datamon", "status"]));
    assert_eq!(human.code, Some(1));
    assert!(human.text().contains("1 commits") || human.text().contains("not pushed"), "{}", human.text());
    let (code, said) = refused(&team.repo, &["datamon", "push", "origin", "main"]);
    assert!(code == 2 && said.contains("there is no store"), "{code} {said}");
    assert_eq!(team.remote.git(["rev-parse", "main"]).text(), team.repo.git(["rev-parse", "HEAD~1"]).text());
    drop(away);

    assert_eq!(team.entries(), entries);
    assert_eq!(status(&team.repo)["branches"][0]["state"], "none");
    let pushed = team.repo.git(["datamon", "push", "--json", "origin", "main"]);
    let pushed: Value = serde_json::from_slice(&pushed.stdout).expect("JSON");
    assert_eq!(pushed["bundles"][0]["commit"], *team.repo.head(), "{pushed}");
    assert_eq!(status(&team.repo)["clean"], true);
    team.repo.git(["datamon", "label", "set", "good"]);
    assert!(team.repo.git(["datamon", "show", "good"]).text().contains(&team.repo.head()));
    assert_files(&team.clone_elsewhere(first), &file("one.bin", 30, 100_000));
    team.assert_sound();
}

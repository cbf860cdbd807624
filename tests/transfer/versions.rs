//! Dataset versions of what is pushed: made by the hook and by `git datamon push`, written down in notes, found again.

use std::fs;

use datamon_test_support::{TestRepo, run, run_failing};
use serde_json::Value;

use super::{Machine, Team, assert_files, each_git_lfs, file, files, first, git_fails, oid, trust};

each_git_lfs!(a_push_makes_the_version_of_each_tip_in_the_entry_of_its_data);

fn json(repo: &TestRepo, args: &[&str]) -> Value {
    serde_json::from_str(repo.git(args).text()).expect("JSON")
}

/// The version of a revision.
#[track_caller]
fn version(repo: &TestRepo, revision: &str) -> String {
    json(repo, &["datamon", "show", "--json", revision])["bundle"].as_str().expect("an id").to_owned()
}

/// `git datamon status --json` of a repository that is not clean.
#[track_caller]
fn unclean(repo: &TestRepo) -> Value {
    let output =
        run_failing(repo.env().command("git").current_dir(repo.dir()).args(["datamon", "status", "--json"]));
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    serde_json::from_str(output.text()).expect("JSON")
}

fn a_push_makes_the_version_of_each_tip_in_the_entry_of_its_data(machine: Machine) {
    let team = Team::new(machine);
    let commit = team.change("first", &files(1));
    let before = team.entries();
    team.repo.push("origin", "main");
    assert_eq!(team.entries(), before + 1, "one entry for rows and version");
    let shown = json(&team.repo, &["datamon", "show", "--json"]);
    assert_eq!(shown["commit"], commit);
    assert_eq!(shown["entries"], 16, "13 files, and three of the set-up");
    // It travels: the remote has the note, and a fresh clone finds the version without it.
    let clone = team.clone_elsewhere(machine);
    assert_eq!(version(&clone, "HEAD"), shown["bundle"].as_str().expect("an id"));
    clone.git(["datamon", "notes", "sync"]);
    let note = json(&clone, &["datamon", "notes", "show", "--json"]);
    assert_eq!(note["records"][0]["record"]["id"], shown["bundle"]);

    // Two branches and a tag: three tips, two of them the same commit.
    team.repo.git(["checkout", "-q", "-b", "side"]);
    let side = team.change("side", &file("side.bin", 7, 50_000));
    team.repo.git(["tag", "-a", "-m", "one", "v1", "main"]);
    team.repo.git(["checkout", "-q", "main"]);
    let main = team.change("main", &file("main.bin", 8, 50_000));
    team.repo.git(["push", "-q", "origin", "main", "side", "v1"]);
    for (revision, commit) in [("main", &main), ("side", &side)] {
        assert_eq!(json(&team.repo, &["datamon", "show", "--json", revision])["commit"], *commit);
    }
    assert_eq!(version(&team.repo, "v1"), shown["bundle"].as_str().expect("an id"));
    assert!(team.repo.git(["datamon", "status"]).text().contains("clean"));
    // Nothing new is nothing written.
    let before = team.entries();
    team.repo.git(["push", "-q", "origin", "main:refs/heads/again"]);
    assert_eq!(team.entries(), before);
    assert_files(&team.clone_elsewhere(machine), &files(1));
    team.assert_sound();
}

#[test]
fn what_a_push_left_out_the_next_one_completes() {
    let team = Team::new(first);
    team.change("first", &files(1));
    team.repo.git(["push", "-q", "--no-verify", "origin", "main"]);
    // Without any hook not even git-lfs's ran: nothing is in the store.
    assert!(git_fails(&team.repo, &["datamon", "show"]).contains("no bundle was made"));
    assert_eq!(unclean(&team.repo)["branches"][0]["state"], "none");
    team.repo.git(["datamon", "push", "origin", "main"]);
    let made = version(&team.repo, "HEAD");
    assert!(team.remote.git(["for-each-ref", "refs/notes"]).text().ends_with("refs/notes/datamon"));

    team.repo.git(["config", "datamon.prePush", "off"]);
    let second = team.change("second", &file("large.bin", 3, 90_000));
    team.repo.push("origin", "main");
    assert!(git_fails(&team.repo, &["datamon", "show", &second]).contains("no bundle was made"));
    // On demand, for any commit; what has one keeps it.
    let said = json(&team.repo, &["datamon", "bundle", "--json", "--verified", "HEAD", "HEAD~"]);
    assert_eq!((&said[0]["made"], &said[1]["made"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(said[1]["bundle"], *made);
    assert_eq!(json(&team.repo, &["datamon", "show", "--json"])["signature"], "N");
    // It is here, and not on the remote yet.
    team.repo.git(["datamon", "notes", "sync"]);
    assert_eq!(team.repo.git(["datamon", "notes", "sync"]).text(), "notes with origin: up to date");
}

#[test]
fn a_version_that_cannot_be_made_does_not_stop_a_push() {
    let team = Team::new(first);
    team.change("lost", &file("lost.bin", 1, 5_000));
    team.repo.git(["push", "-q", "--no-verify", "origin", "main"]);
    // Nothing of this push is missing, but the version would lack a file of an earlier one.
    team.change("kept", &file("kept.bin", 2, 5_000));
    fs::remove_file(team.object_path(&oid(&file("lost.bin", 1, 5_000)["lost.bin"]))).expect("it was here");
    fs::remove_file(team.repo.dir().join("lost.bin")).expect("and here");
    let said = team.repo.git(["push", "origin", "main"]);
    assert!(said.stderr.contains("warning: no dataset version of"), "{}", said.stderr);
    assert!(said.stderr.contains("lost.bin"), "{}", said.stderr);
    assert_eq!(team.stat("files"), 1, "the data is safe");
    team.repo.git(["rm", "-q", "lost.bin"]);
    team.repo.commit("without it");
    team.repo.push("origin", "main");
    version(&team.repo, "HEAD");

    // Code alone goes also when the store does not answer.
    let elsewhere = team.store.with_extension("away");
    fs::rename(&team.store, &elsewhere).expect("moved");
    team.repo.write("code", "x");
    team.repo.add("code");
    let head = team.repo.commit("code");
    team.repo.push("origin", "main");
    assert_eq!(team.remote.git(["rev-parse", "main"]).text(), head);
    let status = unclean(&team.repo);
    assert!(status["store_error"].is_string(), "{status}");
    assert_eq!(
        (&status["branches"][0]["state"], &status["branches"][0]["unpushed"]),
        (&"unknown".into(), &0.into())
    );
    // What a note tells is known without the store.
    team.repo.git(["branch", "old", "HEAD~"]);
    let known = unclean(&team.repo)["branches"][1].clone();
    assert_eq!((&known["name"], &known["state"]), (&"old".into(), &"made".into()));
    fs::rename(&elsewhere, &team.store).expect("moved back");
    team.repo.git(["datamon", "push", "origin", "main"]);
    team.repo.git(["datamon", "status"]);
}

#[test]
fn status_names_what_is_not_safe_and_not_clean() {
    let team = Team::pushed(first);
    team.repo.git(["datamon", "status"]);
    team.repo.git(["update-ref", "-d", "refs/remotes/origin/main"]);
    let unpushed = unclean(&team.repo)["branches"][0]["unpushed"].as_u64();
    assert!(unpushed > Some(0), "the remote was not seen to have anything");
    team.repo.git(["datamon", "push", "-q", "-u", "origin", "main"]);
    assert_eq!(team.repo.git(["rev-parse", "--abbrev-ref", "main@{upstream}"]).text(), "origin/main");
    team.repo.git(["datamon", "status"]);
    team.repo.write("readme.txt", "other");
    assert_eq!(unclean(&team.repo)["modified"], serde_json::json!(["readme.txt"]));
    let commit = team.change("second", &file("lost.bin", 5, 8_000));
    let status = unclean(&team.repo);
    assert_eq!((&status["branches"][0]["unpushed"], &status["missing"]), (&1.into(), &serde_json::json!([])));
    fs::remove_dir_all(team.repo.dir().join(".git/lfs/objects")).expect("removed");
    let status = unclean(&team.repo);
    assert_eq!(status["here_only"][0]["path"], "lost.bin", "the work tree still has it");
    assert_eq!(
        (&status["missing"], status["here_only"].as_array().map(Vec::len)),
        (&serde_json::json!([]), Some(1))
    );
    fs::remove_file(team.repo.dir().join("lost.bin")).expect("it was here");
    // Git has git-lfs read files again that are as young as the index; those that are older are left alone.
    for path in files(1).keys() {
        let file = fs::File::options().write(true).open(team.repo.dir().join(path)).expect("here");
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        file.set_modified(then).expect("a date");
    }
    team.repo.git(["add", "--update", "--", ":!lost.bin"]);
    let _ = fs::remove_dir_all(team.repo.dir().join(".git/lfs/objects"));
    let status = unclean(&team.repo);
    assert_eq!(status["missing"].as_array().map(Vec::len), Some(1), "the rest is in the store");
    let lost = status["missing"][0]["oid"].as_str().expect("an oid");
    assert_eq!((lost.len(), &status["missing"][0]["path"]), (64, &"lost.bin".into()));
    assert!(team.repo.lfs_objects().is_empty());
    assert!(git_fails(&team.repo, &["datamon", "bundle"]).contains("neither here nor in the store"));
    // A note that tells of another tree.
    let note = team.repo.git(["notes", "--ref=datamon", "show", "HEAD~"]).text().to_owned();
    team.repo.git(["notes", "--ref=datamon", "add", "-m", &note, "HEAD"]);
    assert_eq!(unclean(&team.repo)["stale_notes"], serde_json::json!([commit]));
    team.repo.git(["datamon", "notes", "repair"]);
    assert_eq!(unclean(&team.repo)["stale_notes"], serde_json::json!([]));
}

#[test]
fn a_note_that_an_amended_commit_took_along_is_told_and_does_not_count() {
    let team = Team::pushed(first);
    team.repo.write("readme.txt", "amended");
    team.repo.git(["commit", "-q", "-a", "--amend", "-m", "amended"]);
    assert_eq!(unclean(&team.repo)["branches"][0]["unpushed"], 1);
    team.repo.git(["push", "-q", "--force", "origin", "main"]);
    let status = json(&team.repo, &["datamon", "status", "--json"]);
    assert_eq!(
        (&status["clean"], &status["stale_notes"]),
        (&true.into(), &serde_json::json!([team.repo.head()]))
    );
}

#[test]
fn notes_go_to_a_remote_also_from_a_branch_that_follows_a_local_one() {
    let team = Team::pushed(first);
    team.repo.git(["checkout", "-q", "-b", "topic", "--track", "main"]);
    assert_eq!(team.repo.git(["config", "branch.topic.remote"]).text(), ".");
    let said = json(&team.repo, &["datamon", "notes", "sync", "--json"]);
    assert_eq!(said["remote"], "origin");
    let dest = team.env.root().join("dest");
    let args = ["datamon", "checkout", "--json", "--dest", dest.to_str().expect("plain")];
    assert_eq!(json(&team.repo, &args)["commit"], *team.repo.head());
}

#[test]
fn a_clone_that_only_pushes_code_need_not_trust_the_store() {
    let team = Team::pushed(first);
    let clone = team.clone_elsewhere(first);
    clone.git(["datamon", "-q", "init"]);
    clone.write("code", "x");
    clone.add("code");
    clone.commit("code");
    let said = clone.git(["push", "origin", "HEAD:refs/heads/code"]);
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
    trust(&clone);
    clone.git(["datamon", "push", "origin", "HEAD:refs/heads/code"]);
    version(&clone, "HEAD");
}

#[test]
fn what_git_replaces_on_one_machine_is_in_no_version() {
    let team = Team::pushed(first);
    let real = team.change("real", &file("real.bin", 5, 9_000));
    let other = team.change("other", &file("other.bin", 6, 9_000));
    team.repo.git(["replace", &real, &other]);
    team.repo.git(["datamon", "bundle", &real]);
    team.repo.git(["replace", "-d", &real]);
    let listed = team.repo.git(["datamon", "ls", "-r", &real]).text().to_owned();
    assert!(listed.contains("real.bin") && !listed.contains("other.bin"), "{listed}");
}

#[test]
fn data_comes_beside_a_datamon_toml_of_the_future() {
    let team = Team::pushed(first);
    let manifest = String::from_utf8(team.repo.read("datamon.toml")).expect("text");
    let later = "\n[[dataset]]\nname = \"later\"\nid = \"01890000-0000-7000-8000-000000000001\"\npath = \"later\"\ninclude = \"future\"\n";
    team.repo.write("datamon.toml", manifest + later);
    team.repo.add(".");
    team.repo.commit("a later version wrote it");
    let mut push = team.env.command("git");
    run(push.current_dir(team.repo.dir()).args(["push", "-q", "--no-verify", "origin", "main"]));
    assert!(git_fails(&team.repo, &["datamon", "bundle"]).contains("datamon.toml"));
    assert_files(&team.clone_elsewhere(first), &files(1));
}

#[test]
fn an_upload_heeds_that_a_store_was_left() {
    let team = Team::pushed(first);
    let url = team.repo.git(["config", "lfs.url"]).text().to_owned();
    let before = team.entries();
    team.repo.git(["config", "datamon.left", url.trim_start_matches("datamon::")]);
    for args in [&["datamon", "upload", "."][..], &["datamon", "label", "set", "x", "HEAD"]] {
        assert!(git_fails(&team.repo, args).contains("nothing was uploaded"), "{args:?}");
    }
    assert_eq!(team.entries(), before);
}

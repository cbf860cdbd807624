//! Bad input: one clear line, the right exit code, and nothing half written.

use std::fs;

use datamon_test_support::{TestRepo, run, run_failing};

use super::{Team, file, files, first, git_with, objects};

/// A repository with two pushed versions and labels, another repo in its store, and a clone.
fn scene() -> (Team, TestRepo) {
    let team = Team::new(first);
    for n in [1, 2] {
        for (path, bytes) in files(n) {
            team.repo.write(&path, bytes);
        }
        team.repo.git(["datamon", "-q", "commit", "-m", "next", "--label", &format!("v{n}"), "."]);
    }
    team.repo.git(["datamon", "-q", "push", "origin", "main"]);
    let env = first();
    run(env.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    super::trust(&clone);
    (team, clone)
}

/// All that a refused command must leave as it is: refs, index, work tree, and what lies beside it.
fn state(repo: &TestRepo) -> (String, String, String, usize) {
    let said = |args: &[&str]| repo.git(args).text().to_owned();
    (
        said(&["for-each-ref"]) + &said(&["rev-parse", "HEAD"]) + &said(&["reflog"]),
        said(&["ls-files", "--stage"]),
        said(&["status", "--porcelain", "--ignored"]),
        objects(&repo.env().work()).keys().filter(|name| !name.contains("/.git/")).count(),
    )
}

/// Runs commands that must be refused: exit code and words of each.
#[track_caller]
fn refused(repo: &TestRepo, table: &[(&[&str], i32, &str)]) {
    for (args, code, words) in table {
        let before = state(repo);
        let mut command = repo.env().command("git");
        let output = run_failing(command.current_dir(repo.dir()).arg("datamon").args(*args));
        let said = &output.stderr;
        assert_eq!((output.code, output.text()), (Some(*code), ""), "{args:?}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
        assert_eq!(state(repo), before, "{args:?}");
    }
}

#[test]
fn names_that_lead_nowhere_or_to_several_places() {
    let (team, clone) = scene();
    run(team.env.command("git").current_dir(team.repo.dir()).args(["datamon", "repo", "create", "other"]));
    let store = team.store.to_str().expect("plain").to_owned();
    fs::create_dir(team.env.work().join("plain")).expect("made");
    fs::write(team.env.work().join("plain/file"), "theirs").expect("written");
    let upload = ["datamon", "upload", "plain", "--store", &store, "--repo", "other", "--label", "theirs"];
    let theirs = run(team.env.command("git").args(upload)).text().to_owned();
    // A branch of the name of a label that leads elsewhere.
    clone.git(["branch", "v1"]);
    refused(
        &clone,
        &[
            (&["checkout", "nothing"], 2, "nothing in repo"),
            (&["checkout", "nothing", "--dest", "../out"], 2, "nothing in repo"),
            (&["show", "nothing"], 2, "nothing in repo"),
            (&["download", "nothing", "--dest", "../out"], 2, "nothing in repo"),
            (&["diff", "HEAD", "HEAD~9"], 2, "nothing in repo"),
            (&["cat", "nothing:large.bin"], 2, "nothing in repo"),
            (&["lineage", "nothing"], 2, "nothing in repo"),
            (&["bundle", "nothing"], 2, "\"nothing\" names no object"),
            (&["bundle", "HEAD~99"], 2, "\"HEAD~99\" names no object"),
            (&["commit", "-m", "x", "nowhere"], 2, "did not match any file"),
            // Of another repo: by label and by id.
            (&["checkout", "theirs"], 2, "nothing in repo"),
            (&["checkout", &theirs], 2, "nothing in repo"),
            (&["show", "theirs"], 2, "nothing in repo"),
            (&["download", "label:theirs", "--dest", "../out"], 2, "nothing in repo"),
            (&["label", "show", "theirs"], 2, "repo other has one"),
            (&["show", "v1"], 64, "label:v1"),
            (&["download", "v1", "--dest", "../out"], 64, "label:v1"),
            (&["diff", "v1"], 64, "label:v1"),
            (&["ls", "v1"], 64, "label:v1"),
        ],
    );
    clone.git(["datamon", "-q", "checkout", "label:v1"]);
    assert_eq!(clone.head(), team.repo.git(["rev-parse", "HEAD~1"]).text());
}

#[test]
fn edits_and_data_that_is_elsewhere_stop_a_checkout() {
    let (team, clone) = scene();
    team.repo.git(["checkout", "--quiet", "-b", "lonely"]);
    team.change("not sent", &file("large.bin", 99, 300_000));
    git_with(&team.repo, &[("GIT_LFS_SKIP_PUSH", "1")], &["push", "--quiet", "origin", "lonely"]);
    clone.git(["fetch", "--quiet"]);
    let absent = "neither here nor in the store, large.bin first";
    refused(
        &clone,
        &[
            (&["checkout", "lonely"], 2, absent),
            (&["checkout", "lonely"], 2, "git datamon push"),
            (&["checkout", "lonely", "--force"], 2, absent),
            (&["checkout", "lonely", "--dest", "../out"], 2, absent),
            (&["pull", "origin", "lonely"], 2, absent),
        ],
    );
    clone.write("large.bin", "edited");
    let before = state(&clone);
    for args in [&["checkout", "HEAD~1"][..], &["checkout", "v1"], &["checkout", "HEAD~1", "--json"]] {
        let mut command = clone.env().command("git");
        let output = run_failing(command.current_dir(clone.dir()).arg("datamon").args(args));
        assert_eq!((output.code, output.text()), (Some(1), ""), "{args:?}: {}", output.stderr);
        assert!(
            output.stderr.contains("would be overwritten by checkout:\n\tlarge.bin"),
            "{}",
            output.stderr
        );
    }
    assert_eq!((state(&clone), clone.read("large.bin")), (before, b"edited".to_vec()));
    refused(
        &clone,
        &[
            (&["checkout", "HEAD~1", "--", "large.bin"], 1, "local edits: large.bin"),
            (&["checkout", "--", "large.bin"], 1, "--force"),
        ],
    );
    assert_eq!(clone.read("large.bin"), b"edited");
}

#[test]
fn versions_that_are_gone_or_damaged() {
    let (team, clone) = scene();
    let id = clone.git(["datamon", "repo", "show", "--json"]);
    let id: serde_json::Value = serde_json::from_slice(&id.stdout).expect("JSON");
    let name = id["name"].as_str().expect("a name").to_owned();
    team.repo.git(["datamon", "-q", "repo", "delete", &name]);
    // Nothing new goes there, and what is there can still be read until it is dropped.
    clone.write("large.bin", "new");
    refused(
        &clone,
        &[
            (&["commit", "-m", "x", "--label", "a..b"], 64, "cannot be a label"),
            (&["label", "set", "more"], 3, "deleted"),
            (&["commit", "-m", "x", "--label", "more"], 3, "deleted"),
        ],
    );
    clone.git(["checkout", "--quiet", "--force", "HEAD"]);
    clone.git(["datamon", "-q", "checkout", "HEAD~1"]);
    clone.git(["datamon", "-q", "checkout", "main"]);
    team.repo.git(["datamon", "-q", "repo", "undelete", &name]);

    // The pages of the versions.
    for (name, path) in objects(&team.store) {
        if name.starts_with("meta/") {
            let mut bytes = fs::read(&path).expect("there");
            let end = bytes.len() - 40;
            bytes[20..end].fill(7);
            super::overwrite(&path, &bytes);
        }
    }
    fs::remove_dir_all(clone.env().root().join("xdg/cache")).expect("a cache");
    refused(
        &clone,
        &[
            (&["checkout", "v1"], 4, "damaged"),
            (&["checkout", "label:v1", "--dest", "../out"], 4, "damaged"),
            (&["diff", "v1", "v2"], 4, "damaged"),
            (&["ls", "v1"], 4, "damaged"),
            (&["cat", "v1:large.bin"], 4, "damaged"),
            (&["download", "v1", "--dest", "../out"], 4, "damaged"),
        ],
    );
}

#[test]
fn a_commit_tells_of_new_names_that_windows_cannot_have() {
    let team = Team::new(first);
    let commit = |paths: &[(&str, u64)]| {
        for (path, seed) in paths {
            file(path, *seed, 5_000).into_iter().for_each(|(path, bytes)| team.repo.write(&path, bytes));
        }
        let mut command = team.env.command("git");
        command.current_dir(team.repo.dir()).args(["datamon", "-q", "commit", "-m", "next", "."]);
        run(&mut command).stderr
    };
    let said = commit(&[("con.bin", 1), ("sub/what?.bin", 2), ("plain.bin", 3)]);
    assert!(said.contains("warning: Windows cannot have 2 of the names, the first: con.bin: "), "{said}");
    let said = commit(&[("con.bin", 4), ("plain.bin", 5)]);
    assert!(!said.contains("Windows"), "they are known by now: {said}");
}

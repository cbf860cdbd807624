//! A clone over two stores: what is written goes to one by one rule, what is read is found in either.

use std::fs;

use datamon_test_support::{TestRepo, run_failing};
use serde_json::{Value, json};

use super::{Machine, Team, assert_files, each_git_lfs, file, files, first, line_with, oid};

each_git_lfs!(plain_git_finds_data_in_either_store);

#[track_caller]
fn said(repo: &TestRepo, args: &[&str]) -> Value {
    let output = repo.git(["datamon"].iter().chain(args));
    serde_json::from_str(output.text()).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

/// The exit code and the words of what must fail.
#[track_caller]
fn fails(repo: &TestRepo, args: &[&str]) -> (i32, String) {
    let mut git = repo.env().command("git");
    let output = run_failing(git.current_dir(repo.dir()).arg("datamon").args(args));
    (output.code.expect("it ended by itself"), output.stderr)
}

/// The first commit went to the store of the repository, the second to that of the remote `staging`, and nothing of either is
/// kept among git-lfs's objects.
struct Split {
    team: Team,
    old: String,
    new: String,
    /// URLs of the stores.
    store: String,
    prod: String,
}

impl Split {
    fn new(machine: Machine) -> Split {
        let team = Team::pushed(machine);
        let repo = &team.repo;
        let old = repo.head();
        repo.add_remote("staging", team.env.init_bare("staging.git").dir());
        repo.git(["datamon", "context", "add", "prod", "../../prod", "--create", "--remote", "staging"]);
        let new = team.change("second", &file("new.bin", 9, 40_000));
        repo.push("staging", "main");
        fs::remove_dir_all(repo.dir().join(".git/lfs/objects")).expect("there");
        let url = |name: &str| {
            format!("file://{}/{name}", team.env.root().canonicalize().expect("there").display())
        };
        let (store, prod) = (url("store"), url("prod"));
        Split { team, old, new, store, prod }
    }
}

/// Without the objects that git-lfs makes when git looks into a young file again.
#[track_caller]
fn check_out_old(repo: &TestRepo, old: &str) {
    repo.git(["datamon", "checkout", old]);
    let _ = fs::remove_dir_all(repo.dir().join(".git/lfs/objects"));
}

#[test]
fn versions_labels_and_data_are_found_in_either_store() {
    let Split { team, old, new, store, prod } = Split::new(first);
    let repo = &team.repo;
    for (revision, url) in [(&old, &store), (&new, &prod)] {
        let shown = said(repo, &["show", revision, "--json"]);
        assert_eq!((&shown["commit"], &shown["url"]), (&json!(revision), &json!(url)));
    }
    assert!(line_with(repo.git(["datamon", "show"]).text(), "Store:").ends_with(&prod));
    assert!(!repo.git(["datamon", "show", &old]).text().contains("Store:"), "the first is the usual one");
    assert!(repo.git(["datamon", "ls", "HEAD"]).text().contains("new.bin"));
    assert!(repo.git(["datamon", "cat", "HEAD:new.bin"]).stdout == file("new.bin", 9, 40_000)["new.bin"]);
    assert_eq!(said(repo, &["lineage", "--json"])["bundles"][0]["commit"], new);
    let log = repo.git(["datamon", "log", "--json", "-n", "2"]);
    assert!(log.lines().iter().all(|line| !line.contains("\"bundle\":null")), "{}", log.text());
    let dest = team.env.root().join("dest");
    repo.git(["datamon", "download", "HEAD", "--dest", dest.to_str().expect("plain")]);
    assert_eq!(oid(&fs::read(dest.join("new.bin")).expect("written")), oid(&repo.read("new.bin")));

    // A label is set where pushes go.
    repo.git(["datamon", "label", "set", "v1", &old]);
    repo.git(["-c", "remote.pushDefault=staging", "datamon", "label", "set", "v2"]);
    let led = |label: &str| said(repo, &["label", "show", label, "--json"])["url"].clone();
    assert_eq!((led("v1"), led("v2")), (json!(store), json!(prod)));
    let listed = repo.git(["datamon", "label", "list"]);
    assert!(line_with(listed.text(), "v2").ends_with(&format!("in {prod}")), "{}", listed.text());
    assert!(line_with(listed.text(), "v1").ends_with("v1"), "{}", listed.text());
    assert_eq!(said(repo, &["label", "list", "--for", "v2", "--json"])[0]["name"], "v2");
    assert_eq!(said(repo, &["label", "history", "v2", "--json"]).as_array().map(Vec::len), Some(1));

    // A comparison is of one store.
    let (code, words) = fails(repo, &["diff", &old, "HEAD"]);
    assert!(code == 2 && words.contains("git datamon promote"), "{code} {words}");
    repo.git(["datamon", "promote", &old, "--to", "prod"]);
    let (code, _) = fails(repo, &["diff", &old, "HEAD"]);
    assert_eq!(code, 1, "they differ");
}

#[test]
fn checkout_pull_and_status_ask_both_stores() {
    let Split { team, old, .. } = Split::new(first);
    let repo = &team.repo;
    let mut all = files(1);
    all.extend(file("new.bin", 9, 40_000));
    repo.push("origin", "main:refs/heads/backup");
    let bare = || {
        for path in all.keys().filter(|path| path.ends_with(".bin") && *path != "empty.bin") {
            let _ = fs::remove_file(repo.dir().join(path));
        }
        let _ = fs::remove_dir_all(repo.dir().join(".git/lfs/objects"));
    };
    let status = said(repo, &["status", "--json"]);
    assert_eq!((&status["clean"], &status["here_only"]), (&json!(true), &json!([])), "{status}");
    repo.git(["datamon", "checkout", &old]);
    repo.git(["datamon", "checkout", "main"]);
    assert_files(repo, &all);
    bare();
    repo.git(["datamon", "checkout", "--force", "main"]);
    assert_files(repo, &all);
    bare();
    repo.git_fails(["datamon", "status"]);
    repo.git(["datamon", "checkout", "main", "--force", "--", "."]);
    assert_files(repo, &all);
    let dest = team.env.root().join("dest");
    bare();
    repo.git(["datamon", "checkout", "--dest", dest.to_str().expect("plain")]);
    assert!(fs::read(dest.join("new.bin")).expect("written") == all["new.bin"]);
    repo.git(["datamon", "checkout", "--force"]);

    // What is pulled is looked for where the remote that it came from keeps it first, and in the other.
    let clone = team.env.clone_from(team.remote.dir(), "clone");
    clone.add_remote("staging", repo.git(["remote", "get-url", "staging"]).text());
    clone.git(["config", "remote.staging.lfsurl", "datamon::prod"]);
    clone.git(["datamon", "pull", "staging", "main"]);
    assert_files(&clone, &all);
    clone.git(["reset", "-q", "--hard", &old]);
    let _ = fs::remove_dir_all(clone.dir().join(".git/lfs/objects"));
    clone.git(["datamon", "pull", "origin", "backup"]);
    assert_files(&clone, &all);
}

#[test]
fn what_is_written_follows_the_remote_that_is_pushed_to() {
    let Split { team, prod, .. } = Split::new(first);
    let repo = &team.repo;
    let in_prod = || super::entries(&team.env.root().join("prod"));
    let (before, other) = (team.entries(), in_prod());
    repo.git(["config", "branch.main.pushRemote", "staging"]);
    repo.write("third.bin", [3; 9_000]);
    repo.git(["datamon", "commit", "-q", "-m", "third", "third.bin"]);
    assert_eq!(said(repo, &["show", "--json"])["url"], prod);
    repo.git(["commit", "-q", "--allow-empty", "-m", "nothing"]);
    repo.write("plain.txt", "plain");
    repo.git(["add", "plain.txt"]);
    repo.git(["commit", "-q", "-m", "plain"]);
    repo.git(["datamon", "bundle"]);
    assert_eq!(said(repo, &["show", "--json"])["url"], prod);
    assert_eq!(team.entries(), before, "nothing went to the other store");
    assert!(in_prod() > other + 1);
    repo.git(["datamon", "push"]);
    // The remote that is named decides.
    repo.git(["datamon", "push", "origin", "main"]);
    assert!(team.entries() > before);
    team.assert_sound();
}

#[test]
fn a_store_that_is_not_trusted_is_not_opened() {
    let Split { team, old, prod, .. } = Split::new(first);
    let repo = &team.repo;
    let trusted = repo.git(["config", "--global", "--get-all", "datamon.trust"]);
    let entry = line_with(trusted.text(), &prod).to_owned();
    repo.git(["config", "--global", "--unset-all", "datamon.trust", &format!("{}$", &prod)]);
    let store = team.env.root().join("prod");
    // Who looked into it would see that it is damaged.
    fs::rename(&store, store.with_extension("away")).expect("moved");
    fs::write(&store, "no store").expect("written");
    for args in [&["show", "HEAD"][..], &["cat", "HEAD:new.bin"], &["label", "show", "v2"]] {
        let (code, words) = fails(repo, args);
        assert_eq!(code, 2, "{args:?}: {words}");
        assert!(!words.contains("is a file"), "{args:?}: {words}");
        if args[0] != "label" {
            assert!(words.contains(&format!("git datamon trust {prod}")), "{args:?}: {words}");
        }
    }
    check_out_old(repo, &old);
    let (code, words) = fails(repo, &["checkout", "main"]);
    assert!(code == 2 && words.contains("you have not trusted it"), "{code} {words}");
    fs::remove_file(&store).and_then(|()| fs::rename(store.with_extension("away"), &store)).expect("moved");
    repo.git(["config", "--global", "--add", "datamon.trust", &entry]);
    repo.git(["datamon", "checkout", "main"]);
    assert!(repo.read("new.bin") == file("new.bin", 9, 40_000)["new.bin"]);
}

#[test]
fn a_first_store_that_does_not_answer_does_not_hide_the_other() {
    let Split { team, old, .. } = Split::new(first);
    let repo = &team.repo;
    check_out_old(repo, &old);
    fs::rename(&team.store, team.store.with_extension("away")).expect("moved");
    repo.git(["datamon", "checkout", "main"]);
    assert!(repo.read("new.bin") == file("new.bin", 9, 40_000)["new.bin"]);
    let shown = repo.git(["datamon", "show"]);
    assert!(shown.stderr.contains("is asked instead"), "{}", shown.stderr);
    // What only the other may have is unknown, not missing.
    fs::remove_file(repo.dir().join("large.bin")).expect("there");
    fs::remove_file(repo.dir().join("again/large.bin")).expect("there");
    let mut git = repo.env().command("git");
    let output = run_failing(git.current_dir(repo.dir()).args(["datamon", "status", "--json"]));
    let status: Value = serde_json::from_str(output.text()).expect("JSON");
    assert_eq!(status["missing"], json!([]), "{status}");
    assert!(status["store_error"].is_string(), "{status}");
}

fn plain_git_finds_data_in_either_store(machine: Machine) {
    let Split { team, old, .. } = Split::new(machine);
    let repo = &team.repo;
    repo.git(["checkout", "-q", &old]);
    let _ = fs::remove_dir_all(repo.dir().join(".git/lfs/objects"));
    repo.git(["checkout", "-q", "main"]);
    let mut all = files(1);
    all.extend(file("new.bin", 9, 40_000));
    assert_files(repo, &all);
    let _ = fs::remove_dir_all(repo.dir().join(".git/lfs/objects"));
    repo.git(["lfs", "fetch", "--all"]);
    repo.git(["lfs", "fsck"]);
}

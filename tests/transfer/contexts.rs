//! Stores that the user has named: added, used, given to a git remote, promoted to, trusted, and forgotten.

use std::fs;

use datamon_test_support::{Output, TestRepo, run, run_failing};
use serde_json::{Value, json};

use super::{Team, assert_files, file, files, first, git_fails, objects};

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

#[track_caller]
fn datamon(repo: &TestRepo, args: &[&str]) -> Output {
    repo.git(["datamon"].iter().chain(args))
}

/// A pushed team with the context `prod`, an empty store.
fn with_prod() -> Team {
    let team = Team::pushed(first);
    let prod = team.env.root().join("prod");
    datamon(&team.repo, &["context", "add", "prod", prod.to_str().expect("plain"), "--create"]);
    team
}

#[test]
fn contexts_are_added_listed_shown_used_and_removed() {
    let team = with_prod();
    let repo = &team.repo;
    let url = format!("file://{}", team.env.root().canonicalize().expect("there").join("prod").display());
    assert_eq!(
        said(repo, &["context", "list", "--json"]),
        json!([{ "name": "prod", "url": url, "used": false }])
    );
    let shown = said(repo, &["context", "show", "prod", "--json"]);
    assert_eq!(
        (&shown["trusted"], &shown["url"], shown["store"].is_string()),
        (&json!(true), &url.into(), true)
    );
    // To say it again changes nothing; a second name for a store is one.
    let config = || fs::read(team.env.user_config()).expect("there");
    let before = config();
    datamon(repo, &["context", "add", "prod", "../../prod"]);
    assert_eq!(config(), before);
    datamon(repo, &["context", "add", "live", "prod"]);
    assert_eq!(said(repo, &["context", "show", "live", "--json"])["store"], shown["store"]);

    // Outside of repositories the used one is asked, until its name is gone.
    let outside = |args: &[&str]| {
        let mut git = team.env.command("git");
        git.current_dir(team.env.root()).arg("datamon").args(args).output().expect("runs")
    };
    assert_eq!(outside(&["stats"]).status.code(), Some(2));
    datamon(repo, &["context", "use", "prod"]);
    assert_eq!(said(repo, &["context", "list", "--json"])[1]["used"], true);
    assert_eq!(outside(&["stats"]).status.code(), Some(0));
    assert_eq!(outside(&["repo", "create", "new"]).status.code(), Some(0), "for changes too");
    assert_eq!(said(repo, &["repo", "list", "--store", "prod", "--json"])[0]["name"], "new");
    datamon(repo, &["context", "remove", "prod"]);
    assert_eq!(outside(&["stats"]).status.code(), Some(2));
    assert_eq!(said(repo, &["context", "list", "--json"])[0]["name"], "live");
    assert!(!objects(&team.env.root().join("prod")).is_empty(), "the store stays");
    // A store that does not answer is said where it is asked, and its name can be forgotten.
    fs::rename(team.env.root().join("prod"), team.env.root().join("away")).expect("moved");
    let (code, words) = fails(repo, &["context", "show", "live"]);
    assert!(code == 2 && words.contains("there is no store at"), "{code} {words}");
    datamon(repo, &["context", "remove", "live"]);
    assert_eq!(said(repo, &["context", "list", "--json"]), json!([]));
}

#[test]
fn bad_names_and_stores_are_said_in_a_line_and_change_nothing() {
    let team = with_prod();
    let repo = &team.repo;
    let config = |repo: &TestRepo| {
        let local = fs::read(repo.dir().join(".git/config")).expect("there");
        (local, fs::read(team.env.user_config()).expect("there"))
    };
    let before = config(repo);
    let other = team.env.root().join("other");
    let url = other.to_str().expect("plain");
    for (args, code, words) in [
        (&["show", "dev"][..], 2, "there is no context \"dev\""),
        (&["use", "dev"], 2, "there is no context \"dev\""),
        (&["remove", "dev"], 2, "git datamon context list"),
        (&["add", "dev", url], 2, "there is no store at"),
        (&["add", "local", url, "--create"], 64, "cannot name a context"),
        (&["add", "a b", url, "--create"], 64, "cannot name a context"),
        (&["add", "prod", url, "--create"], 3, "git datamon context remove prod"),
        (&["add", "dev", url, "--create", "--remote", "staging"], 2, "git remote add staging"),
        (&["add", "dev", "ftp://bucket/x"], 64, "opens no ftp:// stores"),
    ] {
        let (exit, stderr) = fails(repo, &[&["context"], args].concat());
        assert_eq!(exit, code, "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
        assert_eq!(
            stderr.lines().filter(|line| line.starts_with("error: ")).count(),
            1,
            "{args:?}: {stderr}"
        );
    }
    assert!(!other.exists(), "a refused name makes no store");
    assert!(config(repo) == before);

    let entries = || super::entries(&team.env.root().join("prod"));
    let empty = entries();
    for (args, code, words) in [
        (&["HEAD", "--to", "nowhere"][..], 2, "git datamon context list"),
        (&["HEAD", "--to", "../../store"], 64, "that is the store it is in"),
        (&["nothing", "--to", "prod"], 2, "called \"nothing\""),
        (&["HEAD", "--to", "prod", "--label", "a@b"], 64, "cannot be a label"),
        (&["HEAD", "--to", "prod", "--label", "latest"], 64, "cannot be a label"),
    ] {
        let (exit, stderr) = fails(repo, &[&["promote"], args].concat());
        assert!(exit == code && stderr.contains(words), "{args:?}: {exit} {stderr}");
    }
    assert_eq!(entries(), empty, "nothing is half promoted");
    datamon(repo, &["context", "add", "same", "../../store"]);
    assert_eq!(fails(repo, &["promote", "HEAD", "--to", "same"]).0, 64);
}

#[test]
fn a_promoted_version_has_the_same_id_its_label_and_only_what_is_new() {
    let team = with_prod();
    let repo = &team.repo;
    let bundle = said(repo, &["show", "--json"])["bundle"].clone();
    let first_time = said(repo, &["promote", "HEAD", "--to", "prod", "--label", "v1", "--json"]);
    assert_eq!((&first_time["bundle"], &first_time["was_there"]), (&bundle, &json!(false)));
    assert!(first_time["new_bytes"].as_u64() > Some(1_500_000), "{first_time}");
    let labels = said(repo, &["label", "list", "--store", "prod", "--json"]);
    assert_eq!((&labels[0]["name"], &labels[0]["bundle"]), (&json!("v1"), &bundle));
    assert_eq!(said(repo, &["label", "list", "--json"]), json!([]), "nothing changes where it came from");
    let again = said(repo, &["promote", "HEAD", "--to", "prod", "--json"]);
    assert_eq!((&again["was_there"], &again["stored_bytes"]), (&json!(true), &json!(0)));

    // One small file more, and only that goes.
    team.change("second", &file("new.bin", 9, 40_000));
    repo.push("origin", "main");
    let second = said(repo, &["promote", "HEAD", "--to", "prod", "--label", "v1", "--json"]);
    let new = second["new_bytes"].as_u64().expect("a number");
    assert!((40_000..60_000).contains(&new), "{second}");
    let history = said(repo, &["label", "history", "v1", "--store", "prod", "--json"]);
    assert_eq!((&history[0]["bundle"], &history[1]["bundle"]), (&second["bundle"], &bundle));
    // From there it can be read without where it came from.
    fs::rename(&team.store, team.store.with_extension("away")).expect("moved");
    let dest = team.env.root().join("dest");
    let to = dest.to_str().expect("plain");
    datamon(repo, &["download", "v1", "--store", "prod", "--dest", to]);
    for (path, bytes) in files(1).into_iter().chain(file("new.bin", 9, 40_000)) {
        assert!(fs::read(dest.join(&path)).expect("written") == bytes, "{path}");
    }
    datamon(repo, &["fsck", "--data", "--store", "prod"]);
}

#[test]
fn a_remote_keeps_its_data_in_the_context_it_was_given() {
    let team = with_prod();
    let repo = &team.repo;
    let staging = team.env.init_bare("staging.git");
    repo.add_remote("staging", staging.dir());
    datamon(repo, &["context", "add", "prod", "../../prod", "--remote", "staging"]);
    let before = team.entries();
    let changed = file("new.bin", 9, 40_000);
    let commit = team.change("second", &changed);
    repo.push("staging", "main");
    assert_eq!(team.entries(), before, "nothing went to the store of the repository");
    let latest = said(repo, &["show", "latest", "--store", "prod", "--json"]);
    assert_eq!(latest["commit"], commit);
    // Whoever clones from there binds it too.
    let env = first();
    run(env
        .command("git")
        .env("GIT_LFS_SKIP_SMUDGE", "1")
        .args(["clone", "-q", "-o", "staging"])
        .arg(staging.dir())
        .arg("clone"));
    let clone = env.repo("clone");
    let prod = team.env.root().join("prod");
    datamon(&clone, &["context", "add", "prod", prod.to_str().expect("plain"), "--remote", "staging"]);
    clone.git(["lfs", "pull", "staging"]);
    let mut all = files(1);
    all.extend(changed);
    assert_files(&clone, &all);

    // The name is gone while the remote is bound to it, removed in another directory: a push says so and sends nothing.
    run(team.env.command("git").args(["datamon", "context", "remove", "prod"]));
    team.change("third", &file("new.bin", 10, 40_000));
    for push in [&["push", "staging", "main"][..], &["datamon", "push", "staging", "main"]] {
        let words = git_fails(repo, push);
        assert!(
            words.contains("\"prod\" is no store") && words.contains("git datamon context list"),
            "{words}"
        );
    }
    assert_eq!((staging.git(["rev-parse", "main"]).text(), team.entries()), (commit.as_str(), before));
    // The other remote never depended on it.
    repo.push("origin", "main");
    datamon(repo, &["context", "add", "prod", "../../prod"]);
    repo.push("staging", "main");
    team.assert_sound();
    // Removed here, it takes along what was written here.
    repo.add_remote("other", staging.dir());
    repo.git(["config", "remote.other.lfsurl", "datamon::file:///nowhere"]);
    let output = datamon(repo, &["context", "remove", "prod"]);
    let words = output.text();
    assert!(words.contains("data for remote staging goes to datamon::file://"), "{words}");
    let bound = repo.git(["config", "--get-regexp", "lfsurl"]);
    assert_eq!(bound.text(), "remote.other.lfsurl datamon::file:///nowhere");
}

#[test]
fn a_context_that_is_not_trusted_gets_nothing() {
    let team = with_prod();
    let repo = &team.repo;
    let staging = team.env.init_bare("staging.git");
    repo.add_remote("staging", staging.dir());
    datamon(repo, &["context", "add", "prod", "../../prod", "--remote", "staging"]);
    repo.git(["config", "--global", "--unset-all", "datamon.trust"]);
    assert_eq!(said(repo, &["context", "show", "prod", "--json"])["trusted"], false);
    let entries = || super::entries(&team.env.root().join("prod"));
    let empty = entries();
    let (code, words) = fails(repo, &["promote", "HEAD", "--to", "prod"]);
    assert!(code == 3 && words.contains("git datamon trust prod"), "{code} {words}");
    assert!(git_fails(repo, &["push", "staging", "main"]).contains("you have not trusted it"));
    assert_eq!((entries(), staging.git(["for-each-ref"]).text()), (empty, ""));
    // To look at is not to send.
    assert_eq!(datamon(repo, &["stats", "--store", "prod"]).code, Some(0));
    datamon(repo, &["trust", "prod"]);
    datamon(repo, &["promote", "HEAD", "--to", "prod"]);
    repo.push("staging", "main");
    assert_eq!(said(repo, &["context", "show", "prod", "--json"])["trusted"], true);
}

#[test]
fn a_repository_that_names_a_context_means_the_users_own() {
    let team = with_prod();
    let repo = &team.repo;
    repo.git(["config", "-f", ".lfsconfig", "lfs.url", "datamon::prod"]);
    repo.git(["config", "--unset-all", "lfs.url"]);
    repo.add(".lfsconfig");
    repo.commit("the store is whatever prod is");
    repo.push("origin", "main");
    assert!(said(repo, &["stats", "--json", "--store", "prod"])["files"].as_u64() > Some(9));
    // Another machine knows another `prod`, or none.
    let env = first();
    let remote = team.remote.dir().to_str().expect("plain");
    let failed = run_failing(env.command("git").args(["clone", remote, "clone"]));
    assert!(failed.stderr.contains("\"prod\" is no store"), "{}", failed.stderr);
    let clone = env.repo("clone");
    let prod = team.env.root().join("prod");
    datamon(&clone, &["context", "add", "prod", prod.to_str().expect("plain")]);
    datamon(&clone, &["pull", "--data-only"]);
    assert_files(&clone, &files(1));
}

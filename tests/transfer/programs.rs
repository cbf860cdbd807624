//! What programs read: `--json` of the verbs is one object on stdout, with names that stay.

use std::collections::BTreeSet;

use datamon_test_support::{Hermetic, TestRepo, run, seeded_bytes};
use serde_json::{Value, json};

use super::{Team, files, first, trust};

/// One object and nothing else on stdout, with these fields and no others.
#[track_caller]
fn object(stdout: &[u8], words: &[&str], fields: &[&str]) -> Value {
    let text = String::from_utf8_lossy(stdout);
    let value: Value =
        serde_json::from_slice(stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"));
    let names: BTreeSet<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, fields.iter().copied().collect(), "{words:?}: {text}");
    value
}

#[track_caller]
fn said(repo: &TestRepo, words: &[&str], fields: &[&str]) -> Value {
    let words = [&["datamon"], words, &["--json"]].concat();
    object(&repo.git(&words).stdout, &words, fields)
}

const STANDS: [&str; 4] = ["branch", "bytes", "commit", "files"];
const LABEL: [&str; 6] = ["bundle", "commit", "name", "repo", "seq", "url"];
const REPO: [&str; 6] = ["bundles", "deleted", "labels", "name", "newest", "repo"];
const CONTEXT: [&str; 3] = ["name", "url", "used"];

#[test]
fn the_verbs_say_one_object_with_stable_names() {
    let team = Team::pushed(first);
    let env = first();
    let (remote, fields) = (team.remote.dir().to_str().expect("plain"), [&STANDS[..], &["dest"]].concat());
    let words = ["datamon", "clone", "--json", remote, "clone"];
    let cloned = object(&run(env.command("git").args(words)).stdout, &words, &fields);
    let clone = env.repo("clone");
    trust(&clone);
    let large: usize =
        files(1).iter().filter(|(path, _)| path.ends_with(".bin")).map(|(_, it)| it.len()).sum();
    assert_eq!(
        cloned,
        json!({ "dest": clone.dir(), "commit": team.repo.head(), "branch": "main", "files": 11, "bytes": large })
    );

    clone.write("large.bin", seeded_bytes(5, 400_000));
    clone.write("small/1 ä.bin", seeded_bytes(6, 4_000));
    let fields = ["branch", "bundles", "bytes", "commit", "files", "label", "uploaded"];
    let made = said(&clone, &["commit", "-m", "next", "--label", "next"], &fields);
    assert_eq!((&made["commit"], &made["label"]), (&json!(clone.head()), &json!("next")));
    assert_eq!(
        (&made["files"], &made["bytes"], &made["uploaded"]),
        (&json!(2), &json!(404_000), &json!(true))
    );
    let shown = run(env.command("git").current_dir(clone.dir()).args(["datamon", "show", "next", "--json"]));
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let bundle = &made["bundles"][0]["bundle"];
    assert_eq!(made["bundles"], json!([{ "repo": shown["repo"], "bundle": shown["bundle"] }]));

    let planned =
        said(&clone, &["push", "-n", "origin", "main"], &["bytes", "dry_run", "files", "known", "remote"]);
    assert_eq!((&planned["files"], &planned["known"]), (&json!(2), &json!(2)), "the work tree has them");
    let fields =
        ["bundles", "bytes", "dry_run", "files", "known", "new_bytes", "refs", "remote", "stored_bytes"];
    let pushed = said(&clone, &["push", "origin", "main"], &fields);
    assert_eq!(pushed["refs"], json!([{ "ref": "refs/heads/main", "commit": clone.head() }]));
    assert_eq!(pushed["bundles"], json!([{ "commit": clone.head(), "bundle": bundle }]));
    assert_eq!(pushed["new_bytes"], 0, "the commit sent it");

    let fields = [&STANDS[..], &["dry_run"]].concat();
    let planned = said(&team.repo, &["pull", "-n", "origin", "main"], &fields);
    assert_eq!(
        (&planned["files"], &planned["bytes"]),
        (&json!(2), &json!(404_000)),
        "and not what it has already"
    );
    let pulled = said(&team.repo, &["pull", "origin", "main"], &fields);
    let wanted =
        json!({ "commit": clone.head(), "branch": "main", "files": 2, "bytes": 404_000, "dry_run": false });
    assert_eq!(pulled, wanted);
    assert_eq!(said(&team.repo, &["pull", "--data-only", "-n"], &fields)["files"], 0);
    assert_eq!(said(&team.repo, &["pull", "--data-only"], &fields)["files"], 0);

    let fields = [&STANDS[..], &["dest"]].concat();
    let old = clone.git(["rev-parse", "HEAD~1"]).text().to_owned();
    let there = said(&clone, &["checkout", "HEAD~1"], &fields);
    let wanted =
        json!({ "commit": old, "branch": null, "dest": null, "files": 2, "bytes": 1_500_000 + 3_100 });
    // One of the two copies stayed as it was.
    assert_eq!(there, wanted);
    let beside = said(&clone, &["checkout", "next", "--dest", "../out", "--paths", "small"], &fields);
    assert_eq!((&beside["commit"], &beside["files"]), (&made["commit"], &json!(8)));
    assert_eq!(beside["dest"], json!(clone.dir().join("../out")));
}

#[test]
fn what_changes_names_says_what_they_are_now() {
    let team = Team::pushed(first);
    let repo = &team.repo;
    let set = said(repo, &["label", "set", "good"], &LABEL);
    let gone = said(repo, &["label", "delete", "good"], &LABEL);
    assert_eq!((&gone["bundle"], &gone["name"]), (&Value::Null, &json!("good")));
    assert!(gone["seq"].as_u64() > set["seq"].as_u64());
    let made = said(repo, &["repo", "create", "other"], &REPO);
    for (words, name, deleted) in [
        (&["repo", "rename", "other", "more"][..], "more", false),
        (&["repo", "delete", "more"], "more", true),
        (&["repo", "undelete", "more"], "more", false),
        (&["repo", "show", "more"], "more", false),
    ] {
        let now = said(repo, words, &REPO);
        assert_eq!((&now["repo"], &now["name"]), (&made["repo"], &json!(name)), "{words:?}");
        assert_eq!(now["deleted"], deleted, "{words:?}");
    }
    let store = team.store.to_str().expect("plain");
    assert_eq!(said(repo, &["context", "add", "prod", store], &CONTEXT)["used"], false);
    assert_eq!(said(repo, &["context", "use", "prod"], &CONTEXT)["used"], true);
    assert_eq!(said(repo, &["context", "remove", "prod"], &CONTEXT)["name"], "prod");
    let synced = said(repo, &["notes", "sync"], &["fetched", "pushed", "remote"]);
    assert_eq!(synced["remote"], "origin");
    assert_eq!(said(repo, &["trust"], &["already", "store", "url"])["already"], true);
}

/// The commands that a help lists.
fn commands(env: &Hermetic, words: &[&str]) -> Vec<String> {
    let help = run(env.command("git-datamon").args(words).arg("--help"));
    let listed = help.text().lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    listed
        .map(|line| line.split_whitespace().next().expect("a name").to_owned())
        .filter(|it| it != "help")
        .collect()
}

#[test]
fn every_command_that_tells_something_has_json() {
    let env = first();
    let mut without = Vec::new();
    for name in commands(&env, &[]) {
        let below = commands(&env, &[&name]);
        let all = if below.is_empty() {
            vec![vec![&name[..]]]
        } else {
            below.iter().map(|it| vec![&name[..], it]).collect()
        };
        for words in all {
            let help = run(env.command("git-datamon").args(&words).arg("--help"));
            if !help.text().contains("--json") {
                without.push(words.join(" "));
            }
        }
    }
    // It gives the bytes of a file.
    assert_eq!(without, ["cat"]);
}

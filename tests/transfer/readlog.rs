//! `datamon.readLog`: who read what, written down where the user wants it, and never in the way of a read.

use std::fs;

use datamon_test_support::{Hermetic, TestRepo, run};
use serde_json::Value;

use super::{Team, assert_files, files, first, objects, trust};

/// A machine of somebody who wants reads to be written down.
fn noting() -> Hermetic {
    let env = first();
    run(env.command("git").args(["config", "--global", "datamon.readLog", "on"]));
    env
}

fn reads(team: &Team) -> Vec<Value> {
    let said = team.repo.git(["datamon", "readlog", "list", "--json"]);
    said.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn trusting(team: &Team) -> Hermetic {
    let env = noting();
    let trusted = run(team.env.command("git").args(["config", "--global", "datamon.trust"]));
    run(env.command("git").args(["config", "--global", "datamon.trust", trusted.text()]));
    env
}

fn plain(repo: &TestRepo) -> &str {
    repo.dir().to_str().expect("plain")
}

#[test]
fn each_process_that_reads_leaves_a_line() {
    let team = Team::pushed(first);
    let env = trusting(&team);
    let total: u64 =
        files(1).iter().filter(|(path, _)| path.ends_with(".bin")).map(|(_, it)| it.len() as u64).sum();
    let clone = env.clone_from(team.remote.dir(), "plain");
    assert_files(&clone, &files(1));
    let found = reads(&team);
    assert_eq!(found.len(), 1, "{found:?}");
    let commit = team.repo.git(["rev-parse", "HEAD"]);
    assert_eq!((&found[0]["operation"], &found[0]["commit"]), (&"lfs".into(), &commit.text().into()));
    assert!(found[0]["bundle"].is_string() && found[0]["who"].as_str().is_some_and(|it| it.contains('@')));
    let bytes = found[0]["bytes"].as_u64().expect("a number");
    assert!(bytes <= total && bytes > total / 3, "{bytes} of {total}");

    run(env.command("git").args(["datamon", "-q", "clone", plain(&team.remote), "ours"]));
    clone.git(["datamon", "cat", "HEAD:text.bin"]);
    let out = env.root().join("out");
    clone.git(["datamon", "-q", "download", "HEAD", "--dest", out.to_str().expect("plain")]);
    let found = reads(&team);
    let operations: Vec<&str> = found.iter().filter_map(|it| it["operation"].as_str()).collect();
    assert_eq!(operations, ["lfs", "checkout", "cat", "download"]);
    assert!(
        found[1..].iter().all(|it| it["bundle"] == found[0]["bundle"] && it["repo"].is_string()),
        "{found:?}"
    );
    assert_eq!(
        (&found[2]["files"], &found[2]["bytes"]),
        (&1.into(), &(files(1)["text.bin"].len() as u64).into())
    );

    // Times are as everywhere, and the commit of a version that was read by its name is known.
    for read in &found {
        let time = read["time"].as_str().expect("text");
        assert!(time.len() == 20 && time.ends_with('Z') && time[..10].split('-').count() == 3, "{read}");
        assert_eq!(read["commit"], commit.text(), "{read}");
    }
    for none in [&["-n", "0"][..], &["--since", "0"]] {
        let said = team.repo.git([&["datamon", "readlog", "list"], none].concat());
        assert!(said.text().is_empty() && !said.stderr.contains("no reads are logged"), "{}", said.stderr);
        assert!(said.stderr.contains("none of those that were asked for"), "{}", said.stderr);
    }
    let said = team.repo.git(["datamon", "readlog", "list", "-n", "1", "--since", "1h"]);
    assert!(
        said.text().contains("  download  data  ") && said.text().lines().count() == 1,
        "{}",
        said.text()
    );
    team.repo.git(["datamon", "fsck"]);
    team.repo.git(["datamon", "-q", "readlog", "prune", "--older-than", "1h"]);
    assert_eq!(reads(&team).len(), 4);
    team.repo.git(["datamon", "-q", "readlog", "prune", "--older-than", "0"]);
    assert_eq!(reads(&team).len(), 0);
    let said = team.repo.git(["datamon", "readlog", "list", "--since", "1h"]);
    assert!(said.stderr.contains("no reads are logged there"), "{}", said.stderr);
}

#[test]
fn nothing_is_written_unasked_or_into_a_store_that_nobody_trusts() {
    let team = Team::pushed(first);
    let silent = first().clone_from(team.remote.dir(), "clone");
    trust(&silent);
    silent.git(["datamon", "cat", "HEAD:text.bin"]);
    let stranger = noting().clone_from(team.remote.dir(), "clone");
    stranger.git(["datamon", "cat", "HEAD:text.bin"]);
    assert!(objects(&team.store).keys().all(|name| !name.starts_with("readlog/")));
    trust(&stranger);
    stranger.git(["datamon", "cat", "HEAD:text.bin"]);
    assert_eq!(reads(&team).len(), 1);
}

#[test]
fn what_cannot_be_written_fails_no_read() {
    let team = Team::pushed(first);
    fs::write(team.store.join("readlog"), "in the way").unwrap();
    let env = trusting(&team);
    assert_files(&env.clone_from(team.remote.dir(), "clone"), &files(1));
    run(env.command("git").args(["datamon", "-q", "clone", plain(&team.remote), "ours"]));
    assert!(team.store.join("readlog").is_file());
}

//! With `--json` there is JSON on stdout and nothing else, whatever is typed.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory;
use datamon::cli::Args;
use datamon_test_support::seeded_bytes;
use serde_json::{Deserializer, Value};

use super::{Team, file, first};

/// What says one object a line.
const LINES: [&str; 3] = ["log", "wal tail", "readlog list"];

/// Needs an LFS server, or ends with the repository as it was before: their own tests parse what they say.
const APART: [&str; 2] = ["adopt-lfs", "leave"];

/// Commands with `--json`, by their words.
fn commands(command: &clap::Command, words: &str, found: &mut BTreeSet<String>) {
    let speaks = command.get_arguments().any(|it| it.get_long() == Some("json"));
    if speaks && !command.has_subcommands() {
        found.insert(words.trim_start().to_owned());
    }
    for deeper in command.get_subcommands() {
        commands(deeper, &format!("{words} {}", deeper.get_name()), found);
    }
}

/// What a command says with `--json`; it may end with 1 where it is asked whether something differs.
#[track_caller]
fn say(team: &Team, dir: &Path, words: &str, more: &[&str]) -> Value {
    let mut command = team.env.command("git");
    command.current_dir(dir).arg("datamon").args(words.split(' ')).args(more).arg("--json");
    let output = command.output().expect("git runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{words} {more:?}: {:?} {said}", output.status);
    let text = std::str::from_utf8(&output.stdout).expect("text");
    let parsed = |text: &str| -> Vec<Value> {
        let values = Deserializer::from_str(text).into_iter().collect::<Result<_, _>>();
        values.unwrap_or_else(|error| panic!("{words} {more:?}: {error} in {text}"))
    };
    if LINES.contains(&words) {
        let lines = text.lines().map(parsed).inspect(|line| assert_eq!(line.len(), 1, "{words}: {text}"));
        return lines.flatten().collect();
    }
    let values = parsed(text);
    assert_eq!(values.len(), 1, "{words} {more:?}: {text} {said}");
    values.into_iter().next().expect("one")
}

#[test]
fn every_command_says_json_and_nothing_else() {
    let team = Team::pushed(first);
    let (dir, root) = (team.repo.dir(), team.env.root());
    let place = |name: &str| root.join(name).to_str().expect("plain").to_owned();
    let (other, copy, moved, out) = (place("other"), place("copy"), place("moved"), place("out"));
    let (remote, clone) = (team.remote.dir().to_str().expect("plain"), place("clone"));
    team.repo.write("new.bin", seeded_bytes(70, 20_000));
    team.repo.add("new.bin");
    team.repo.git(["branch", "-q", "-u", "origin/main"]);
    let mut done: BTreeSet<String> = APART.map(str::to_owned).into();
    let mut told = |words: &str, more: &[&str]| {
        done.insert(words.to_owned());
        say(&team, dir, words, more)
    };
    told("install", &[]);
    told("init", &[]);
    told("trust", &[]);
    told("doctor", &[]);
    told("commit", &["-m", "two"]);
    told("push", &[]);
    told("bundle", &[]);
    told("status", &[]);
    for args in [&[][..], &["--refs"], &["--data=1/2"], &["--full"]] {
        told("fsck", args);
    }
    told("show", &[]);
    told("log", &[]);
    told("log", &["--changes"]);
    told("ls", &["HEAD", "-r"]);
    told("diff", &["HEAD~", "HEAD"]);
    told("lineage", &[]);
    told("stats", &[]);
    told("wal tail", &[]);
    told("thaw", &["HEAD"]);
    told("cache info", &[]);
    told("cache prune", &["--max-size", "0"]);
    told("label set", &["v1"]);
    told("label list", &[]);
    told("label show", &["v1"]);
    told("label history", &["v1"]);
    told("label delete", &["v1"]);
    told("notes sync", &[]);
    told("notes repair", &[]);
    told("notes show", &[]);
    told("readlog list", &[]);
    told("readlog prune", &["--older-than", "1d"]);
    told("prune", &["--dry-run"]);
    told("repair", &[]);
    told("pull", &[]);
    told("checkout", &["main"]);
    told("clone", &[remote, &clone]);
    told("download", &["HEAD", "--dest", &out]);
    let uploaded = told("upload", &[&out, "--repo", "data"]);
    told("adopt", &[uploaded["bundle"].as_str().expect("an id")]);
    told("context add", &["other", &other, "--create"]);
    told("context list", &[]);
    told("context show", &["other"]);
    told("context use", &["other"]);
    told("promote", &["HEAD", "--to", "other"]);
    told("context remove", &["other"]);
    told("repo create", &["points", "--store", &other]);
    told("repo list", &["--store", &other]);
    told("repo show", &[]);
    told("repo rename", &["points", "dots", "--store", &other]);
    told("repo delete", &["dots", "--store", &other]);
    told("repo undelete", &["dots", "--store", &other]);
    told("repo delete", &["dots", "--store", &other]);
    told("repo drop", &["dots", "--apply", "--store", &other]);
    told("mirror add", &[&copy]);
    told("mirror list", &[]);
    told("mirror sync", &["--verify"]);
    told("mirror remove", &[&copy]);
    told("mirror add", &[&copy]);
    told("mirror promote", &[&copy]);
    told("redact", &["--path", "new.bin", "--force", "--apply"]);
    told("squash", &["--keep-last", "1", "--force", "--apply"]);
    told("gc plan", &["--packs"]);
    told("gc run", &["--blank", "--grace", "0"]);
    told("gc status", &[]);
    told("store move", &["--to", &moved]);
    told("selftest", &["--seeds", "1"]);
    let mut all = BTreeSet::new();
    commands(&Args::command(), "", &mut all);
    assert_eq!(all.difference(&done).collect::<Vec<_>>(), Vec::<&String>::new(), "not tried");
}

/// What was redacted and what is missing are told in the same object.
#[test]
fn findings_are_in_the_json_of_fsck() {
    let team = Team::pushed(first);
    team.change("two", &file("secret.bin", 80, 9_000));
    team.repo.push("origin", "main");
    team.repo.git(["datamon", "redact", "--path", "secret.bin", "--force", "--apply"]);
    let said = team.repo.git_fails(["datamon", "fsck", "--refs", "--json"]);
    let found: Value = serde_json::from_slice(&said.stdout).expect("nothing but JSON");
    assert!(found["problems"][0]["what"].as_str().is_some_and(|it| it.contains("redaction")), "{found}");
    assert!(said.stderr.contains("refs  "), "{}", said.stderr);
}

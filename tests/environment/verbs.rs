//! What is done: the columns of the table.

use std::collections::BTreeMap;
use std::fs;

use super::ground::{MAIN, NEWS, PULLED, Place, SIDE, files};
use crate::transfer::oid;
use datamon_test_support::run;

/// A command, and how one sees that it was done.
#[derive(Clone, Copy)]
pub struct Verb {
    pub name: &'static str,
    pub words: &'static [&'static str],
    /// Where it is typed, below the root; nothing for the repository.
    pub dir: &'static str,
    /// What happens before, in order.
    pub before: fn(&Place),
    /// What is wrong with the outcome.
    pub check: fn(&Place) -> Result<(), String>,
    /// The exit code that says that there is something to see.
    pub tells: Option<i32>,
    /// What is typed after a failure.
    pub again: fn(&Place) -> Verb,
}

const fn verb(
    name: &'static str,
    words: &'static [&'static str],
    check: fn(&Place) -> Result<(), String>,
    again: fn(&Place) -> Verb,
) -> Verb {
    Verb { name, words, dir: "", before: |_| (), check, tells: None, again }
}

const INIT: Verb = Verb {
    dir: "work/fresh",
    ..verb("init", &["git", "datamon", "init", "--track", "*.bin"], initialised, |_| INIT)
};
const COMMIT: Verb = Verb {
    before: |place| fs::write(place.dir().join("a.bin"), edited()).unwrap_or_default(),
    ..verb("commit", &["git", "datamon", "commit", "-m", "edited", "a.bin"], committed, |_| COMMIT)
};
const PUSH: Verb = verb("push", &["git", "datamon", "push", "origin", "ahead"], pushed, |_| PUSH);
const PULL: Verb =
    Verb { before: news, ..verb("pull", &["git", "datamon", "pull", "origin", "main"], pulled, |_| PULL) };
const CLONE: Verb = Verb {
    dir: "work",
    ..verb("clone", &["git", "datamon", "clone", "remote.git", "cloned"], cloned, clone_again)
};
/// What the failed clone said to type, where git's own part was done.
const FILL: Verb = Verb {
    dir: "work/cloned",
    ..verb("clone", &["git", "datamon", "pull", "--data-only"], cloned, |_| FILL)
};
const CHECKOUT: Verb =
    verb("checkout", &["git", "datamon", "checkout", "side"], |place| holds(place, "", SIDE), |_| CHECKOUT);
const STATUS: Verb =
    Verb { tells: Some(1), ..verb("status", &["git", "datamon", "status"], nothing_to_see, |_| STATUS) };
const FSCK: Verb = verb("fsck", &["git", "datamon", "fsck", "--full"], nothing_to_see, |_| FSCK);
const GC_PLAN: Verb = verb("gc plan", &["git", "datamon", "gc", "plan"], nothing_to_see, |_| GC_PLAN);
const LFS_PUSH: Verb = verb("git lfs push", &["git", "lfs", "push", "origin", "ahead"], stored, |_| LFS_PUSH);
const LFS_FETCH: Verb =
    verb("git lfs fetch", &["git", "lfs", "fetch", "origin", "side"], fetched, |_| LFS_FETCH);

pub const VERBS: [Verb; 11] =
    [INIT, COMMIT, PUSH, PULL, CLONE, CHECKOUT, STATUS, FSCK, GC_PLAN, LFS_PUSH, LFS_FETCH];

fn edited() -> Vec<u8> {
    datamon_test_support::seeded_bytes(77, 31_000)
}

fn news(place: &Place) {
    let mut update = place.env.command("git");
    update.args(["-C", "remote.git", "update-ref", "refs/heads/main", NEWS]);
    run(&mut update);
}

fn clone_again(place: &Place) -> Verb {
    if place.at("work/cloned").exists() { FILL } else { CLONE }
}

fn nothing_to_see(_: &Place) -> Result<(), String> {
    Ok(())
}

fn initialised(place: &Place) -> Result<(), String> {
    let fresh = place.at("work/fresh");
    let there = |name: &str| fresh.join(name).exists();
    let track = fs::read_to_string(fresh.join(".gitattributes")).unwrap_or_default();
    (there(".lfsconfig") && there("datamon.toml") && track.contains("*.bin"))
        .then_some(())
        .ok_or_else(|| "the repository is not set up".to_owned())
}

/// What a git in order prints.
fn asked(place: &Place, args: &[&str]) -> Result<String, String> {
    let said = place.env.command("git").current_dir(place.dir()).args(args).output().expect("git runs");
    match said.status.success() {
        true => Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned()),
        false => Err(format!("git {args:?} fails: {}", String::from_utf8_lossy(&said.stderr))),
    }
}

/// The store has these files, as the program itself looks them up.
fn in_store(place: &Place, rev: &str) -> Result<(), String> {
    match asked(place, &["datamon", "fsck", "--refs", rev]) {
        // None of its files is one of git-lfs.
        Err(said) if said.contains("names its objects by sha256") => Ok(()),
        answer => answer.map(drop),
    }
}

fn committed(place: &Place) -> Result<(), String> {
    let pointer = asked(place, &["cat-file", "blob", "HEAD:a.bin"])?;
    if !pointer.contains(&oid(&edited())) {
        return Err(format!("HEAD has another a.bin: {pointer}"));
    }
    asked(place, &["status", "--porcelain"]).and_then(|status| match status.is_empty() {
        // Without the store a commit keeps its data here, and says how to send it.
        true => in_store(place, "HEAD").or_else(|_| {
            asked(place, &["datamon", "push", "--data-only", "origin", "HEAD"])?;
            in_store(place, "HEAD")
        }),
        false => Err(format!("there are changes left: {status}")),
    })
}

fn stored(place: &Place) -> Result<(), String> {
    in_store(place, "ahead")
}

fn pushed(place: &Place) -> Result<(), String> {
    let there = place.env.repo("remote.git");
    let there = there.git(["for-each-ref", "--format=%(objectname)", "refs/heads/ahead"]);
    if there.text() != asked(place, &["rev-parse", "ahead"])? {
        return Err("the remote has no such commit".to_owned());
    }
    stored(place)
}

/// The work tree has a version, and git agrees.
fn holds(place: &Place, dir: &str, version: u64) -> Result<(), String> {
    let dir = if dir.is_empty() { place.dir() } else { place.at(dir) };
    for (path, bytes) in files(version) {
        let there = fs::read(dir.join(path)).map_err(|error| format!("{path}: {error}"))?;
        if there != bytes {
            return Err(format!("{path} has {} other bytes", there.len()));
        }
    }
    let status = place.env.command("git").current_dir(&dir).args(["status", "--porcelain"]).output();
    let status = String::from_utf8_lossy(&status.expect("git runs").stdout).into_owned();
    if status.is_empty() { Ok(()) } else { Err(format!("git sees changes: {status}")) }
}

fn pulled(place: &Place) -> Result<(), String> {
    holds(place, "", PULLED)
}

fn cloned(place: &Place) -> Result<(), String> {
    holds(place, "work/cloned", MAIN)
}

fn fetched(place: &Place) -> Result<(), String> {
    if asked(place, &["rev-parse", "--show-object-format"])? == "sha256" {
        // None of its files is one of git-lfs.
        return Ok(());
    }
    let common = asked(place, &["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
    let wanted: BTreeMap<_, _> = files(SIDE).into_iter().filter(|(path, _)| path.ends_with(".bin")).collect();
    for (path, bytes) in wanted {
        let oid = oid(&bytes);
        let object =
            std::path::Path::new(&common).join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid);
        if fs::read(object).ok() != Some(bytes) {
            return Err(format!("the object of {path} is not there"));
        }
    }
    Ok(())
}

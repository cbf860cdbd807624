//! Versions that are given up, and the space that comes back, without git.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use datamon_test_support::{Hermetic, run, run_failing, seeded_bytes};

use super::{command, json, listing, machine, upload, weather, weather_fails, write};

/// What lies in a directory.
type Listing = BTreeMap<PathBuf, (Vec<u8>, char)>;

/// Versions of a directory: one file that stays, one that changes. Their ids, and what lay in the directory.
fn versions(env: &Hermetic, count: u64) -> (Vec<String>, Vec<Listing>) {
    let (mut ids, mut states) = (Vec::new(), Vec::new());
    write(env, "data/same", seeded_bytes(1, 50_000));
    for n in 0..count {
        write(env, "data/changes", seeded_bytes(100 + n, 200_000));
        ids.push(upload(env, "data"));
        states.push(listing(&env.work().join("data")));
    }
    (ids, states)
}

const STORE: [&str; 2] = ["--store", "store"];

#[track_caller]
fn gc(env: &Hermetic, args: &[&str]) -> serde_json::Value {
    json(&run(&mut command(env, &[&["gc"], args, &STORE, &["--json"]].concat())))
}

/// Everything at once.
const NOW: [&str; 4] = ["--grace", "0", "--orphans", "0"];

fn stored(env: &Hermetic) -> u64 {
    json(&run(&mut command(env, &[&["stats", "--json"][..], &STORE].concat())))["stored_bytes"]
        .as_u64()
        .unwrap()
}

#[track_caller]
fn assert_version(env: &Hermetic, id: &str, wanted: &Listing) {
    let out = env.work().join("out").join(id);
    weather(env, &["download", id, "--dest", out.to_str().unwrap()]);
    assert_eq!(listing(&out), *wanted, "{id}");
    fs::remove_dir_all(out).expect("removed");
}

/// By kind always, and of each pack where that is asked for.
#[track_caller]
fn why_packs_stay_is_said(env: &Hermetic, planned: &serde_json::Value) {
    let plan = [&["gc", "plan"][..], &NOW, &STORE].concat();
    let said = run(&mut command(env, &plan)).text().to_owned();
    for (why, words) in [("files", ": files that were pushed"), ("versions", ": versions")] {
        let of = planned["reasons"].as_array().unwrap().iter().find(|it| it["why"] == why).unwrap();
        let packs = of["packs"].as_u64().unwrap();
        assert!(packs > 0 && packs <= planned["kept"]["count"].as_u64().unwrap(), "{planned}");
        let line = said.lines().find(|line| line.starts_with("  for ") && line.ends_with(words));
        assert!(line.is_some_and(|line| line.contains(&format!(" {packs} pack"))), "{said}");
    }
    assert!(!said.contains("stays"), "{said}");
    let said = run(&mut command(env, &[&plan[..], &["--packs"]].concat())).text().to_owned();
    for pack in planned["packs"].as_array().unwrap() {
        let line =
            said.lines().find(|line| line.contains(pack["pack"].as_str().unwrap())).expect("each pack");
        let fate = if pack["kept"] == true { "stays: " } else { "goes: " };
        assert!(line.contains(fate) && line.contains(pack["why"][0].as_str().unwrap()), "{line}");
    }
}

#[test]
fn a_run_says_nothing_where_nothing_but_errors_is_wanted() {
    let env = machine();
    versions(&env, 3);
    weather(&env, &["squash", "--keep-last", "1", "--apply"]);
    let args = [&["-q", "gc", "run"][..], &NOW, &STORE].concat();
    let said = run(&mut command(&env, &args));
    assert_eq!((said.text(), &*said.stderr), ("", ""));
    assert!(gc(&env, &["status"])["tombstones"].as_u64().unwrap() > 0, "it was done");
}

#[test]
fn versions_that_are_given_up_give_their_space_back() {
    let env = machine();
    let (ids, states) = versions(&env, 6);
    weather(&env, &["label", "set", "v1.0", &ids[0]]);
    weather(&env, &["label", "set", "draft", &ids[1]]);
    let before = stored(&env);
    // Nothing is done unless one says so.
    let planned = json(&weather(&env, &["squash", "--keep-last", "2", "--json"]));
    assert_eq!(
        (&planned["dropped"], &planned["files"], &planned["applied"]),
        (&2.into(), &2.into(), &false.into())
    );
    assert_eq!(planned["versions"].as_array().unwrap().len(), 6);
    // Each is told by when it was made.
    let version = planned["versions"].as_array().unwrap().iter().find(|it| it["bundle"] == *ids[2]).unwrap();
    let time = version["time"].as_str().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z') && version["commit"].is_null(), "{version}");
    let said = weather(&env, &["squash", "--keep-last", "2"]);
    let line = said.text().lines().find(|line| line.contains(&ids[2])).expect("it is listed").to_owned();
    assert_eq!(line, format!("drop  {}  {time}", ids[2]));
    assert_eq!(weather(&env, &["log"]).text().matches("bundle ").count(), 6);
    let said = weather(&env, &["squash", "--keep-last", "2", "--apply"]);
    assert!(said.text().contains("dropped 2 versions and 2 files"), "{}", said.text());
    assert_eq!(weather(&env, &["log"]).text().matches("bundle ").count(), 4);
    // Dropped is not yet deleted.
    assert!(stored(&env) >= before);
    let planned = gc(&env, &[&["plan"][..], &NOW].concat());
    why_packs_stay_is_said(&env, &planned);
    let done = gc(&env, &[&["run"][..], &NOW].concat());
    assert_eq!(planned["condemned"], done["condemned"]);
    assert!(done["deleted"]["bytes"].as_u64().unwrap() > 400_000, "{done}");
    assert!(before - stored(&env) > 380_000, "{before} became {}", stored(&env));
    for at in [0, 1, 4, 5] {
        assert_version(&env, &ids[at], &states[at]);
    }
    let (code, said) = weather_fails(&env, &["show", &ids[2]]);
    assert!(code == 2 && said.contains("nothing in repo"), "{code} {said}");
    run(&mut command(&env, &[&["fsck", "--data"][..], &STORE].concat()));
    // Versions that came from one that is gone, labels and lineage are what they were.
    weather(&env, &["lineage", &ids[4]]);
    weather(&env, &["log"]);
    assert_eq!(json(&weather(&env, &["show", "draft", "--json"]))["bundle"], ids[1].as_str());
    // Once more there is nothing to do.
    assert_eq!(gc(&env, &[&["run"][..], &NOW].concat())["condemned"]["count"], 0);
    assert_eq!(json(&weather(&env, &["squash", "--keep-last", "2", "--json"]))["dropped"], 0);
    // What was given up can be stored again.
    write(&env, "data/changes", seeded_bytes(102, 200_000));
    let again = upload(&env, "data");
    assert_version(&env, &again, &states[2]);
}

#[test]
fn labels_count_as_they_are_asked_for() {
    let env = machine();
    let (ids, _) = versions(&env, 5);
    for (label, at) in [("v1.0", 0), ("v1.1", 1), ("release/a", 2), ("draft", 3)] {
        weather(&env, &["label", "set", label, &ids[at]]);
    }
    let dropped = |args: &[&str]| -> Vec<usize> {
        let found = json(&weather(&env, &[&["squash", "--json"], args].concat()));
        let gone = |id: &&String| {
            let versions = found["versions"].as_array().unwrap();
            versions.iter().any(|it| it["bundle"] == id.as_str() && it["kept"].as_array().unwrap().is_empty())
        };
        (0..ids.len()).filter(|at| gone(&&ids[*at])).collect()
    };
    assert_eq!(dropped(&["--keep-last", "1"]), [] as [usize; 0], "every label keeps what it leads to");
    assert_eq!(dropped(&["--keep-labels"]), [] as [usize; 0]);
    assert_eq!(dropped(&["--keep-semver"]), [2, 3]);
    assert_eq!(dropped(&["--keep-labels=release/*"]), [0, 1, 3]);
    assert_eq!(dropped(&["--keep-labels=v1.*", "--keep-last", "2"]), [2]);
    assert_eq!(dropped(&["--keep-semver", "--keep-within", "1d"]), [] as [usize; 0], "all are young");
    let (code, said) = weather_fails(&env, &["squash"]);
    assert!(code == 64 && said.contains("--keep-last"), "{code} {said}");
    // What is given up loses its label first; the history of the label stays.
    let done = json(&weather(&env, &["squash", "--keep-semver", "--apply", "--json"]));
    assert_eq!(done["labels"].as_array().unwrap().len(), 2, "{done}");
    let listed = weather(&env, &["label", "list"]);
    assert!(listed.text().contains("v1.0") && !listed.text().contains("draft"), "{}", listed.text());
    weather(&env, &["label", "history", "draft"]);
}

#[test]
fn a_deleted_repo_is_dropped_as_a_whole_and_no_other() {
    let env = machine();
    let (ids, states) = versions(&env, 3);
    weather(&env, &["label", "set", "v1.0", &ids[0]]);
    let other = ["upload", "data", "--store", "store", "--repo", "other"];
    let kept = run(&mut command(&env, &other)).text().to_owned();
    let repo = |args: &[&str]| run(&mut command(&env, &[&["repo"], args, &STORE].concat()));
    let early = run_failing(&mut command(&env, &[&["repo", "drop", "weather"][..], &STORE].concat()));
    assert_eq!(early.code, Some(2), "it is not deleted: {}", early.stderr);
    assert!(
        early.stderr.contains("is not deleted") && early.stderr.contains("repo delete"),
        "{}",
        early.stderr
    );
    repo(&["delete", "weather"]);
    assert!(repo(&["drop", "weather"]).text().contains("would drop 3 versions and 4 files"));
    repo(&["undelete", "weather"]);
    assert_version(&env, &ids[2], &states[2]);
    repo(&["delete", "weather"]);
    repo(&["drop", "weather", "--apply"]);
    let back = run_failing(&mut command(&env, &[&["repo", "undelete", "weather"][..], &STORE].concat()));
    assert!(back.stderr.contains("dropped"), "{}", back.stderr);
    let done = gc(&env, &[&["run"][..], &NOW].concat());
    assert!(done["deleted"]["bytes"].as_u64().unwrap() > 190_000, "{done}");
    run(&mut command(&env, &[&["fsck", "--data"][..], &STORE].concat()));
    let out = env.work().join("out");
    let args = ["download", &kept, "--dest", out.to_str().unwrap(), "--store", "store", "--repo", "other"];
    run(&mut command(&env, &args));
    assert_eq!(listing(&out), states[2]);
    // Once more there is nothing to drop.
    assert!(repo(&["drop", "weather", "--apply"]).text().contains("dropped 0 versions and 0 files"));
    run(&mut command(&env, &[&["gc", "status"][..], &STORE].concat()));
    repo(&["list", "--all"]);
}

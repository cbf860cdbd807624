//! Files that are taken out of every version, without git.

use std::fs;

use datamon_test_support::{Hermetic, run, run_failing, seeded_bytes};
use serde_json::Value;

use super::{command, json, listing, machine, upload, weather, weather_fails, write};

const STORE: [&str; 2] = ["--store", "store"];

/// A collection that leaves nothing that is dead in a frame of its own.
#[track_caller]
fn collect(env: &Hermetic) -> Value {
    let args = ["gc", "run", "--grace", "0", "--orphans", "0", "--max-unused", "0", "--json"];
    json(&run(&mut command(env, &[&args[..], &STORE].concat())))
}

#[track_caller]
fn paths(env: &Hermetic, version: &str) -> Vec<String> {
    weather(env, &["ls", version, "-r"]).lines().into_iter().map(str::to_owned).collect()
}

/// Three versions, the secret in all of them and changed in the second; the first has the same bytes at another path.
fn versions(env: &Hermetic) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..3u64 {
        write(env, "data/open", seeded_bytes(10 + n, 400_000));
        write(env, "data/people/secret", seeded_bytes(if n == 0 { 1 } else { 2 }, 400_000));
        write(env, "data/people-too", seeded_bytes(5, 1000));
        match n {
            0 => drop(write(env, "data/same", seeded_bytes(1, 400_000))),
            _ => fs::remove_file(env.work().join("data/same")).unwrap_or_default(),
        }
        ids.push(upload(env, "data"));
    }
    ids
}

#[test]
fn a_path_leaves_every_version_and_its_bytes_leave_the_store() {
    let env = machine();
    let ids = versions(&env);
    weather(&env, &["label", "set", "v1.0", &ids[1]]);
    let redact = ["redact", "--path", "people/"];
    // Nothing is done unless one says so.
    let planned = json(&weather(&env, &[&redact[..], &["--json"]].concat()));
    assert_eq!(
        (planned["versions"].as_array().unwrap().len(), &planned["applied"]),
        (3, &false.into()),
        "{planned}"
    );
    assert_eq!(
        (planned["files"].as_array().unwrap().len(), planned["elsewhere"].as_array().unwrap().len()),
        (1, 1)
    );
    assert_eq!(paths(&env, &ids[1]).len(), 3);
    let said = weather(&env, &[&redact[..], &["--apply"]].concat());
    assert!(said.text().contains("taken out of 3 versions; 1 file given up"), "{}", said.text());
    // Ids, labels and what else they have are what they were.
    assert_eq!(paths(&env, &ids[0]), ["open", "people-too", "same"]);
    assert_eq!(paths(&env, "v1.0"), ["open", "people-too"]);
    assert_eq!(paths(&env, "latest"), ["open", "people-too"]);
    let shown = json(&weather(&env, &["show", "v1.0", "--json"]));
    assert_eq!(
        (&shown["bundle"], &shown["revision"], &shown["redacted"][0]),
        (&ids[1].as_str().into(), &1.into(), &"people".into()),
        "{shown}"
    );
    assert!(weather(&env, &["show", "v1.0"]).text().contains("Without: people (redacted)"));
    let told = weather(&env, &["log", "--changes"]);
    assert!(told.text().contains("people out of 3 bundles of weather"), "{}", told.text());
    let done = collect(&env);
    assert!(done["deleted"]["bytes"].as_u64().unwrap() > 380_000, "{done}");
    run(&mut command(&env, &[&["fsck", "--full"][..], &STORE].concat()));
    for (at, id) in ids.iter().enumerate() {
        let out = env.work().join("out").join(id);
        weather(&env, &["download", id, "--dest", out.to_str().unwrap()]);
        let files = listing(&out);
        assert_eq!(files.len(), if at == 0 { 3 } else { 2 });
        assert_eq!(files[std::path::Path::new("open")].0, seeded_bytes(10 + at as u64, 400_000));
    }
    // What the first version has elsewhere is there, and nobody has the other one.
    assert_eq!(
        fs::read(env.work().join("out").join(&ids[0]).join("same")).unwrap(),
        seeded_bytes(1, 400_000)
    );
    let cat = run_failing(&mut command(
        &env,
        &[&["cat", &format!("{}:people/secret", ids[1])][..], &STORE, &["--repo", "weather"]].concat(),
    ));
    assert_eq!(cat.code, Some(2), "{}", cat.stderr);
    // Once more there is nothing to do.
    let (code, said) = weather_fails(&env, &[&redact[..], &["--apply"]].concat());
    assert!(code == 2 && said.contains("no version of weather has people"), "{code} {said}");
}

#[test]
fn versions_made_afterwards_go_on_without_and_can_have_it_again() {
    let env = machine();
    let ids = versions(&env);
    weather(&env, &["redact", "--path", "people/secret", "--apply"]);
    // The directory still has it: it is new in the next version.
    write(&env, "data/open", seeded_bytes(20, 1000));
    let back = upload(&env, "data");
    assert_eq!(paths(&env, &back), ["open", "people-too", "people/secret"]);
    assert_eq!(json(&weather(&env, &["show", &back, "--json"]))["redacted"], serde_json::json!([]));
    assert_eq!(paths(&env, &ids[2]), ["open", "people-too"]);
    weather(&env, &["redact", "--path", "people/secret", "--path", "people-too", "--apply"]);
    let shown = json(&weather(&env, &["show", &ids[2], "--json"]));
    assert_eq!((&shown["revision"], shown["redacted"].as_array().unwrap().len()), (&2.into(), 2), "{shown}");
    assert_eq!(paths(&env, &back), ["open"]);
    fs::remove_dir_all(env.work().join("data/people")).expect("removed");
    write(&env, "data/open", seeded_bytes(21, 1000));
    fs::remove_file(env.work().join("data/people-too")).expect("removed");
    let next = upload(&env, "data");
    assert_eq!(paths(&env, &next), ["open"]);
    // Everything can go.
    weather(&env, &["redact", "--path", "open", "--apply"]);
    assert_eq!(paths(&env, &next).join(""), "");
    collect(&env);
    run(&mut command(&env, &[&["fsck", "--full"][..], &STORE].concat()));
}

#[test]
fn paths_that_cannot_be_are_refused() {
    let env = machine();
    versions(&env);
    for path in ["../x", "a//b", ".git/x", "/etc"] {
        let (code, said) = weather_fails(&env, &["redact", "--path", path, "--apply"]);
        assert!(code == 64 && said.contains("git datamon ls VERSION -r"), "{path}: {code} {said}");
        assert!(!said.contains("rename"), "{said}");
    }
    for path in ["", ".", "./"] {
        let (code, said) = weather_fails(&env, &["redact", "--path", path, "--apply"]);
        assert!(code == 64 && said.contains("a file of the dataset is wanted"), "{path:?}: {code} {said}");
        assert!(!said.contains("everything is selected"), "{said}");
    }
    let (code, said) = weather_fails(&env, &["redact", "--path", "peop", "--apply"]);
    assert!(code == 2 && said.contains("no version of weather has peop"), "{code} {said}");
    assert_eq!(weather_fails(&env, &["redact", "--apply"]).0, 64);
}

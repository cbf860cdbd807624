use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use datamon_test_support::{run, run_failing, seeded_bytes};

use super::{command, json, listing, machine, make_executable, upload, weather, weather_fails, write};

#[test]
fn a_directory_comes_back_as_it_was_without_git() {
    let env = machine();
    write(&env, "data/large", seeded_bytes(1, 3 << 20));
    write(&env, "data/empty", b"");
    make_executable(&write(&env, "data/bin/run", b"#!/bin/sh\n"));
    for name in
        [&b"not utf-8 \xff"[..], b"line\nbreak", b"\xc3\xa4", b"a\xcc\x88", b"CON", b"a:b", b"-x", b"A"]
    {
        let path = env.work().join("data/names").join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).expect("made");
        fs::write(path, name).expect("written");
    }
    symlink("../large", env.work().join("data/names/link")).expect("made");
    symlink("nowhere", env.work().join("data/dangling")).expect("made");
    let id = upload(&env, "data");
    assert_eq!(id.len(), 36, "{id}");
    let said = weather(&env, &["download", &id, "--dest", "out"]);
    assert!(said.text().starts_with("13 files and links"), "{}", said.text());
    assert_eq!(listing(&env.work().join("out")), listing(&env.work().join("data")));
    // Once more: everything is there.
    assert_eq!(json(&weather(&env, &["download", &id, "--dest", "out", "--json"]))["kept"], 13);
}

#[test]
fn a_second_upload_stores_what_changed_and_labels_what_it_made() {
    let env = machine();
    for n in 0..50 {
        write(&env, &format!("data/{n}"), seeded_bytes(n, 20_000));
    }
    let first = json(&weather(&env, &["upload", "data", "--json", "-m", "first", "--label", "newest"]));
    assert_eq!(
        (&first["entries"], &first["changed"], &first["parent"]),
        (&50.into(), &50.into(), &().into())
    );
    write(&env, "data/7", seeded_bytes(99, 20_000));
    fs::remove_file(env.work().join("data/8")).expect("there");
    let second = json(&weather(&env, &["upload", "data", "--json", "--label", "newest"]));
    assert_eq!(second["parent"], first["bundle"]);
    assert_eq!(
        (&second["entries"], &second["changed"], &second["removed"]),
        (&49.into(), &1.into(), &1.into())
    );
    assert!(second["new_bytes"].as_u64().unwrap() <= 20_000, "{second}");
    let shown = |name: &str| json(&weather(&env, &["show", name, "--json"]));
    assert_eq!(shown("newest")["bundle"], second["bundle"]);
    assert_eq!(shown("newest@1")["bundle"], first["bundle"]);
    assert_eq!(shown("newest@1")["message"], "first");
    assert_eq!(shown("newest")["parents"], serde_json::json!([first["bundle"]]));
    // A copy elsewhere, of which nothing is kept, is read and differs in nothing.
    run(env.command("cp").args(["-r", "data", "copy"]).current_dir(env.work()));
    let third = json(&weather(&env, &["upload", "copy", "--json", "--parent", "newest"]));
    assert_eq!(
        (&third["changed"], &third["removed"], &third["new_bytes"]),
        (&0.into(), &0.into(), &0.into())
    );
    // From an older version: what differs from that.
    let first = first["bundle"].as_str().unwrap();
    let fourth = json(&weather(&env, &["upload", "data", "--json", "--parent", first]));
    assert_eq!((&fourth["changed"], &fourth["removed"]), (&1.into(), &1.into()));
    assert_eq!(fourth["stored_bytes"], 0, "the store has all of it");
}

#[test]
fn a_label_that_cannot_be_set_stops_an_upload_before_it_begins() {
    let env = machine();
    write(&env, "data/a", "a");
    let id = upload(&env, "data");
    for name in ["a..b", "latest", &id[..8]] {
        let (code, said) = weather_fails(&env, &["upload", "data", "--label", name]);
        assert!(code == 64 && said.contains("cannot be a label"), "{name}: {code} {said}");
    }
    assert_eq!(weather(&env, &["log"]).text().matches("bundle ").count(), 1);
}

#[test]
fn what_is_no_file_is_left_out_and_told() {
    let env = machine();
    write(&env, "data/there", "x");
    write(&env, "data/sub/.git/config", "not ours");
    let _socket = UnixListener::bind(env.work().join("data/socket")).expect("made");
    let said = weather(&env, &["upload", "data", "--json"]);
    assert_eq!(json(&said)["entries"], 1);
    assert_eq!(json(&said)["skipped"].as_array().map(Vec::len), Some(2));
    assert_eq!(said.stderr.matches("left out").count(), 2, "{}", said.stderr);
}

#[test]
fn names_that_windows_cannot_have_are_told_in_one_line_when_they_are_new() {
    let env = machine();
    let warned = |args: &[&str]| weather(&env, args).stderr.matches("warning: Windows cannot have").count();
    write(&env, "data/plain", "x");
    assert_eq!(warned(&["upload", "data"]), 0);
    write(&env, "data/maps/aux.tif", "x");
    write(&env, "data/a:b", "y");
    let said = weather(&env, &["upload", "data", "--json"]);
    assert!(said.stderr.contains("Windows cannot have 2 of the names, the first: a:b: "), "{}", said.stderr);
    assert_eq!(json(&said)["changed"], 2);
    // They are known by now.
    write(&env, "data/a:b", "z");
    assert_eq!(warned(&["upload", "data"]), 0);
    write(&env, "data/end.", "z");
    let said = weather(&env, &["upload", "data"]);
    assert!(said.stderr.contains("warning: Windows cannot have end.: Windows drops"), "{}", said.stderr);
}

#[test]
fn what_cannot_be_uploaded_makes_no_version() {
    let env = machine();
    let (code, said) = weather_fails(&env, &["upload", "nowhere"]);
    assert!(code == 2 && said.contains("no directory"), "{code} {said}");
    write(&env, "data/.GIT/x", "x");
    let (code, said) = weather_fails(&env, &["upload", "data"]);
    assert!(code == 128 && said.contains("git's own"), "{code} {said}");
    fs::remove_dir_all(env.work().join("data/.GIT")).expect("there");
    write(&env, "data/x", "x");
    let (code, said) = weather_fails(&env, &["upload", "data", "--parent", "label:none"]);
    assert!(code == 2 && said.contains("none"), "{code} {said}");
    let (code, _) = weather_fails(&env, &["show", "latest"]);
    assert_eq!(code, 2, "nothing was made");
    // Without a repo to name, and with two to choose from.
    let nameless = run_failing(&mut command(&env, &["upload", "data", "--store", "other"]));
    assert!(nameless.code == Some(64) && nameless.stderr.contains("--repo"), "{}", nameless.stderr);
    upload(&env, "data");
    run(&mut command(&env, &["upload", "data", "--store", "store", "--repo", "climate"]));
    let which = run_failing(&mut command(&env, &["ls", "latest", "--store", "store"]));
    assert!(which.code == Some(64) && which.stderr.contains("several repos"), "{}", which.stderr);
}

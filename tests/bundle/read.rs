use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use datamon_test_support::{Hermetic, run, run_failing, seeded_bytes};
use serde_json::json;

use super::{WEATHER, command, machine, make_executable, upload, weather, weather_fails, write};

fn scene() -> Hermetic {
    let env = machine();
    for name in ["a/b/deep", "a/b/deeper", "a/x", "a-b", "a.c", "top"] {
        write(&env, &format!("data/{name}"), name);
    }
    let odd = env.work().join("data/a").join(OsStr::from_bytes(b"odd \xff\n"));
    fs::write(odd, "odd").expect("written");
    symlink("b/deep", env.work().join("data/a/link")).expect("made");
    upload(&env, "data");
    env
}

#[test]
fn a_directory_is_listed_by_level_and_whole() {
    let env = scene();
    let ls = |args: &[&str]| weather(&env, &[&["ls", "latest"], args].concat()).text().to_owned();
    assert_eq!(ls(&[]), "a-b\na.c\na/\ntop");
    assert_eq!(ls(&["a"]), "a/b/\na/link\n\"a/odd \\377\\n\"\na/x");
    assert_eq!(ls(&["./a/b/"]), "a/b/deep\na/b/deeper");
    assert_eq!(ls(&["a/x"]), "a/x");
    assert_eq!(ls(&["-r", "a/b"]), "a/b/deep\na/b/deeper");
    assert_eq!(ls(&["-r"]).lines().count(), 8);
    let long = ls(&["--long", "a"]);
    let lines: Vec<Vec<&str>> = long.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["040000", "directory", "-", "-", "a/b/"]);
    assert_eq!(lines[1], ["120000", "link", "-", "-", "a/link"]);
    assert_eq!((lines[3][0], lines[3][1], lines[3][3], lines[3][4]), ("100644", "file", "3", "a/x"));
    let zero = weather(&env, &["ls", "latest", "a", "-z"]).stdout;
    assert!(zero.split(|byte| *byte == 0).any(|path| path == b"a/odd \xff\n"));
    let said = super::json(&weather(&env, &["ls", "latest", "a", "--json"]));
    assert_eq!(said["entries"][0], json!({"path": "a/b", "type": "directory", "mode": "040000"}));
    let link = json!({"path": "a/link", "type": "link", "mode": "120000", "target": "b/deep"});
    assert_eq!(said["entries"][1], link);
    assert_eq!(said["entries"][2]["path_hex"], "612f6f646420ff0a");
    let (code, said) = weather_fails(&env, &["ls", "latest", "a/none"]);
    assert!(code == 2 && said.contains("a/none"), "{code} {said}");
}

#[test]
fn one_file_is_given_or_the_reason_why_not() {
    let env = scene();
    let large = seeded_bytes(5, 9 << 20);
    write(&env, "data/large", &large);
    upload(&env, "data");
    let cat = |what: &str| weather(&env, &["cat", what]).stdout;
    assert_eq!(cat("latest:a/b/deep"), b"a/b/deep");
    assert_eq!(cat("latest:a/link"), b"b/deep");
    assert!(cat("latest:large") == large);
    let mut odd = env.command("git");
    odd.current_dir(env.work())
        .args(["datamon", "cat"])
        .arg(OsStr::from_bytes(b"latest:a/odd \xff\n"))
        .args(WEATHER);
    assert_eq!(run(&mut odd).stdout, b"odd");
    for (what, code, why) in [
        ("latest:a", 2, "is a directory"),
        ("latest:", 2, "is a directory"),
        ("latest:a/none", 2, "is not in it"),
        ("latest", 64, "names no file"),
        ("label:none:top", 2, "none"),
    ] {
        let (got, said) = weather_fails(&env, &["cat", what]);
        assert!(got == code && said.contains(why), "{what}: {got} {said}");
    }
    let (code, said) = weather_fails(&env, &["ls", "elsewhere"]);
    assert!(code == 2 && said.contains("elsewhere"), "{code} {said}");
    let nobody = run_failing(&mut command(&env, &["ls", "latest", "--store", "store", "--repo", "none"]));
    assert!(nobody.code == Some(2) && nobody.stderr.contains("no repo"), "{}", nobody.stderr);
}

#[test]
fn versions_differ_by_content_mode_and_name() {
    let env = scene();
    let first = upload(&env, "data");
    fs::rename(env.work().join("data/top"), env.work().join("data/moved")).expect("moved");
    fs::remove_file(env.work().join("data/a-b")).expect("there");
    write(&env, "data/a.c", "changed");
    make_executable(&env.work().join("data/a/x"));
    fs::remove_file(env.work().join("data/a/b/deep")).expect("there");
    symlink("deeper", env.work().join("data/a/b/deep")).expect("made");
    write(&env, "data/new", "four");
    let second = upload(&env, "data");
    let diff = |args: &[&str]| {
        let mut command = command(&env, &[&["diff"], args, &WEATHER].concat());
        let output = run_failing(&mut command);
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        output
    };
    let lines = "D a-b\nM a.c\nT a/b/deep\nX a/x\nR top -> moved\nA new";
    assert_eq!(diff(&[&first]).text(), lines);
    assert_eq!(diff(&[&first, &second, "--name-only"]).text(), "a-b\na.c\na/b/deep\na/x\nmoved\nnew");
    assert_eq!(diff(&[&first, "--name-only", "-z"]).stdout, b"a-b\0a.c\0a/b/deep\0a/x\0moved\0new\0");
    let stat = diff(&[&first, "--stat"]);
    assert!(stat.text().contains("M a.c  3 B -> 7 B"), "{}", stat.text());
    let total = "1 added, 1 removed, 1 modified, 1 renamed, 1 mode, 1 type; 11 B of new content, 2 new chunks of 11 B";
    assert!(stat.lines().last().is_some_and(|line| line.starts_with(total)), "{}", stat.text());
    let said = super::json(&diff(&[&first, &second, "--json"]));
    assert_eq!(
        (&said["old"], &said["new"], &said["added_bytes"]),
        (&json!(first), &json!(second), &json!(11))
    );
    let moved = &said["changes"][4];
    assert_eq!(
        (&moved["status"], &moved["from"], &moved["path"]),
        (&json!("renamed"), &json!("top"), &json!("moved"))
    );
    assert_eq!(said["changes"][3]["new"]["mode"], "100755");
    assert_eq!(
        weather(&env, &["diff", &second, "latest", "--stat"]).text(),
        "no difference; 0 B of new content, 0 new chunks of 0 B, stored in 0 B"
    );
}

#[test]
fn versions_differ_by_chunks() {
    let env = machine();
    // Some thirty chunks, of which one or two change.
    let large = seeded_bytes(7, 8 << 20);
    write(&env, "data/large", &large);
    write(&env, "data/same", seeded_bytes(8, 100_000));
    write(&env, "data/renamed", seeded_bytes(9, 100_000));
    let first = upload(&env, "data");
    let mut edited = large.clone();
    edited[4_000_000..4_000_010].fill(0);
    write(&env, "data/large", &edited);
    fs::rename(env.work().join("data/renamed"), env.work().join("data/name")).expect("moved");
    let second = upload(&env, "data");
    // Half of it again, which is no new chunk but where it ends.
    write(&env, "data/half", &edited[..4 << 20]);
    let third = upload(&env, "data");
    let before = listing_of_packs(&env);
    let diff = |a: &str, b: &str| {
        let output = run_failing(&mut command(&env, &[&["diff", a, b, "--json"], &WEATHER[..]].concat()));
        let said = super::json(&output);
        let number = |name: &str| said[name].as_u64().expect("a number");
        (
            number("added_bytes"),
            number("added_chunks"),
            number("added_chunk_bytes"),
            number("added_stored_bytes"),
        )
    };
    let (added, chunks, raw, stored) = diff(&first, &second);
    assert_eq!(added, 8 << 20, "the file is another one");
    assert!((1..=3).contains(&chunks) && raw < 2 << 20, "{chunks} chunks of {raw} bytes");
    assert!(
        stored >= raw && stored < 6 << 20,
        "noise does not shrink, and a frame holds little else: {stored}"
    );
    let back = diff(&second, &first);
    assert!((1..=3).contains(&back.1) && back.2 < 2 << 20, "{back:?}");
    // Only the paths that differ are looked at: the whole of the new file is new to them.
    let (added, chunks, raw, _) = diff(&second, &third);
    assert!(added == 4 << 20 && chunks > 4 && raw >= added, "{added} {chunks} {raw}");
    let (_, chunks, raw, _) = diff(&first, &third);
    assert!(chunks <= 4 && raw < 3 << 20, "{chunks} chunks of {raw} bytes");
    assert_eq!(diff(&third, &first).1, back.1);
    assert_eq!(listing_of_packs(&env), before);

    // No data is read, and a footer that is damaged is named.
    let packs = env.work().join("store/data");
    for (name, (bytes, _)) in super::listing(&packs) {
        let mut bytes = bytes.clone();
        bytes[20..1000].fill(0);
        fs::write(packs.join(name), bytes).expect("writable");
    }
    fs::remove_dir_all(env.root().join("xdg/cache")).expect("a cache");
    assert_eq!(diff(&second, &first), back);
}

fn listing_of_packs(env: &Hermetic) -> usize {
    super::listing(&env.work().join("store")).len()
}

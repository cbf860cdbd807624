use std::fs;
use std::os::unix::fs::symlink;

use datamon_test_support::{Hermetic, seeded_bytes};

use super::{json, listing, machine, make_executable, upload, weather, weather_fails, write};

fn scene() -> Hermetic {
    let env = machine();
    for name in ["a/one.csv", "a/two.bin", "b/three.csv", "four.csv"] {
        write(&env, &format!("data/{name}"), name);
    }
    make_executable(&env.work().join("data/a/two.bin"));
    symlink("a", env.work().join("data/link")).expect("made");
    upload(&env, "data");
    env
}

fn names(env: &Hermetic, dir: &str) -> Vec<String> {
    let names = listing(&env.work().join(dir)).into_keys();
    names.map(|path| path.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_part_is_what_paths_and_patterns_say() {
    let env = scene();
    for (n, args, wanted) in [
        (0, &["--paths", "a", "four.csv"][..], &["a/one.csv", "a/two.bin", "four.csv"][..]),
        (1, &["--filter", "*.csv"], &["a/one.csv", "b/three.csv", "four.csv"]),
        (2, &["--filter", "/*.csv", "--filter", "b/"], &["b/three.csv", "four.csv"]),
        (3, &["--paths", "./a/", "--filter", "*.csv"], &["a/one.csv"]),
        (4, &["--paths", "link"], &["link"]),
        (5, &["--filter", "*.none"], &[]),
    ] {
        let dest = format!("out-{n}");
        weather(&env, &[&["download", "latest", "--dest", &dest], args].concat());
        assert_eq!(names(&env, &dest), wanted, "{args:?}");
    }
    let (code, said) = weather_fails(&env, &["download", "latest", "--dest", "none", "--paths", "a/none"]);
    assert!(code == 2 && said.contains("a/none") && !env.work().join("none").exists(), "{code} {said}");
}

#[test]
fn what_lies_there_is_kept_replaced_or_in_the_way() {
    let env = scene();
    let download = ["download", "latest", "--dest", "out"];
    write(&env, "out/a/one.csv", "a/one.csv");
    write(&env, "out/four.csv", "an edit!");
    write(&env, "out/own", "not of the version");
    let before = listing(&env.work().join("out"));
    let (code, said) = weather_fails(&env, &download);
    assert!(code == 3 && said.contains("four.csv") && said.contains("--force"), "{code} {said}");
    assert_eq!(listing(&env.work().join("out")), before, "nothing was written");
    let done = json(&weather(&env, &[&download[..], &["--force", "--json"]].concat()));
    assert_eq!((&done["written"], &done["kept"]), (&4.into(), &1.into()));
    fs::remove_file(env.work().join("out/own")).expect("left alone");
    assert_eq!(listing(&env.work().join("out")), listing(&env.work().join("data")));
    // The right bytes of another mode are another file.
    make_executable(&env.work().join("out/four.csv"));
    assert_eq!(weather_fails(&env, &download).0, 3);
    // A directory is never replaced.
    fs::remove_file(env.work().join("out/four.csv")).expect("there");
    write(&env, "out/four.csv/deep", "x");
    assert_eq!(weather_fails(&env, &[&download[..], &["--force"]].concat()).0, 3);
}

#[test]
fn nothing_is_written_through_a_link_that_lies_there() {
    let env = scene();
    write(&env, "elsewhere/own", "theirs");
    fs::create_dir(env.work().join("out")).expect("made");
    symlink("../elsewhere", env.work().join("out/a")).expect("made");
    for force in [&[][..], &["--force"]] {
        let (code, said) = weather_fails(&env, &[&["download", "latest", "--dest", "out"], force].concat());
        assert!(code == 3 && said.contains("a/one.csv"), "{code} {said}");
    }
    assert_eq!(
        (names(&env, "elsewhere"), names(&env, "out")),
        (vec!["own".to_owned()], vec!["a".to_owned()])
    );
}

#[test]
fn a_download_that_failed_goes_on_where_it_ended() {
    let env = machine();
    for n in 0..6 {
        write(&env, &format!("data/{n}"), seeded_bytes(n, 200_000));
    }
    upload(&env, "data");
    let packs = listing(&env.work().join("store/data"));
    let (pack, (whole, _)) = packs.into_iter().next().expect("a data pack");
    let path = env.work().join("store/data").join(pack);
    let mut flipped = whole.clone();
    flipped[700_000] ^= 1;
    fs::write(&path, flipped).expect("writable");
    let (code, said) = weather_fails(&env, &["download", "latest", "--dest", "out"]);
    assert!(code == 4 && said.contains("of the files were not written"), "{code} {said}");
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    // A frame may have the bytes of two files.
    let there = names(&env, "out");
    assert!((4..6).contains(&there.len()), "whole files only, and nothing beside them: {there:?}");
    let lost = (0..6).find(|n| !there.contains(&n.to_string())).expect("one was damaged");
    let (code, said) = weather_fails(&env, &["cat", &format!("latest:{lost}")]);
    assert!(code == 4 && said.matches("error:").count() == 1, "{code} {said}");
    fs::write(&path, whole).expect("writable");
    let done = json(&weather(&env, &["download", "latest", "--dest", "out", "--json"]));
    assert_eq!((&done["written"], &done["kept"]), (&(6 - there.len()).into(), &there.len().into()));
    assert_eq!(listing(&env.work().join("out")), listing(&env.work().join("data")));
}

//! Names that some file systems take for one: `A` and `a`, and an `ä` that is one character or two.
//!
//! On a file system that tells them apart all of them are files, also where git was told that it does not. One that does not is
//! served by the test itself; where it cannot be, the test says that it tested nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use datamon_test_support::{Folding, Hermetic, TestRepo, run, run_failing, seeded_bytes};

use super::{Team, assert_files, file, files, first, installed};

const ALIKE: [[&str; 2]; 3] = [["A.bin", "a.bin"], ["D/x.bin", "d/x.bin"], ["\u{e4}.bin", "a\u{308}.bin"]];

fn alike(seed: u64) -> BTreeMap<String, Vec<u8>> {
    let bytes = |n: usize| seeded_bytes(10 * seed + n as u64, 20_000 + n + seed as usize);
    ALIKE.iter().flatten().enumerate().map(|(n, path)| ((*path).to_owned(), bytes(n))).collect()
}

#[test]
fn names_that_are_alike_stay_apart_where_only_git_believes_that_they_are_one() {
    let env = first();
    run(env.command("git").args(["config", "--global", "core.ignoreCase", "true"]));
    let team = Team::on(env);
    let repo = &team.repo;
    // `git add .` takes one of two such directories for the other; each path by itself is what it says.
    for (path, bytes) in alike(1) {
        repo.write(&path, bytes);
        repo.git(["-c", "core.ignoreCase=false", "add", "--", &path]);
    }
    repo.commit("alike");
    repo.push("origin", "main");
    let elsewhere = first();
    run(elsewhere.command("git").args(["config", "--global", "core.ignoreCase", "true"]));
    run(elsewhere.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("clone"));
    let clone = elsewhere.repo("clone");
    assert_files(&clone, &alike(1));

    // All of one kind are changed and committed by us; the others stay as they are.
    let mut wanted = alike(1);
    for [_, path] in ALIKE {
        wanted.insert(path.to_owned(), alike(2)[path].clone());
        repo.write(path, &wanted[path]);
    }
    repo.git(["datamon", "-q", "commit", "-m", "every second"]);
    let listed = repo.git(["-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", "HEAD"]);
    for path in ALIKE.iter().flatten() {
        assert!(listed.lines().contains(path), "{path}: {}", listed.text());
    }
    assert_files(repo, &wanted);
    repo.push("origin", "main");
    clone.git(["datamon", "-q", "pull"]);
    assert_files(&clone, &wanted);
    clone.git(["datamon", "-q", "checkout", "HEAD~"]);
    assert_files(&clone, &alike(1));
    let store = team.store.to_str().expect("plain");
    let dest = elsewhere.root().join("dest");
    clone.git([
        "datamon",
        "-q",
        "download",
        "latest",
        "--store",
        store,
        "--dest",
        dest.to_str().expect("plain"),
    ]);
    for (path, bytes) in &wanted {
        assert!(fs::read(dest.join(path)).expect("written") == *bytes, "{path}");
    }
    team.assert_sound();
}

/// A directory that takes each of those pairs for one name. It has to outlive what is made in it.
fn folding() -> Option<Folding> {
    Folding::make(&std::env::temp_dir()).map_err(|why| eprintln!("NOT TESTED: {why}")).ok()
}

/// A machine whose every file lies there.
fn machine_on(folding: &Folding) -> Hermetic {
    installed(Hermetic::within(folding.dir()))
}

fn files_below(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, |found| found.flatten().filter(|it| it.file_name() != ".git").count())
}

#[test]
fn a_download_names_what_would_be_one_file_and_writes_nothing() {
    let Some(folding) = folding() else { return };
    let env = first();
    let datamon = |args: &[&str]| {
        let mut git = env.command("git");
        git.arg("datamon").args(args).args(["--store", "store", "--repo", "data"]);
        git
    };
    // A whole alphabet has more than small and capital letters.
    for (n, pair) in ALIKE.iter().chain(&[["stra\u{df}e.bin", "STRASSE.bin"]]).enumerate() {
        let dir = env.work().join(n.to_string());
        for path in pair {
            let at = dir.join(path);
            fs::create_dir_all(at.parent().expect("a parent")).expect("made");
            fs::write(at, path).expect("written");
        }
        run(&mut datamon(&["upload", "--create", &n.to_string()]));
        let dest = folding.dir().join(format!("dest-{n}"));
        let to = dest.to_str().expect("plain");
        for words in
            [&["download", "latest", "--dest", to][..], &["download", "latest", "--dest", to, "--force"]]
        {
            let said = run_failing(&mut datamon(words)).stderr;
            let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
            assert!(errors.len() == 1 && errors[0].contains("are one name"), "{said}");
            let tops = pair.map(|path| path.split('/').next().expect("a part"));
            assert!(tops.iter().all(|top| errors[0].contains(top)), "{said}");
            assert_eq!(files_below(&dest), 0);
        }
        run(&mut datamon(&["download", "latest", "--dest", to, "--paths", pair[0]]));
        assert_eq!(fs::read(dest.join(pair[0])).expect("written"), pair[0].as_bytes());
        // The other is in the way of the one that is there.
        run_failing(&mut datamon(&["download", "latest", "--dest", to, "--paths", pair[1]]));
        assert_eq!(fs::read(dest.join(pair[0])).expect("there"), pair[0].as_bytes());
    }
}

#[test]
fn a_clone_says_what_collides_and_a_checkout_overwrites_no_file_of_the_user() {
    let Some(folding) = folding() else { return };
    let team = Team::new(first);
    team.repo.git(["checkout", "-q", "-b", "alike"]);
    team.change("alike", &alike(1));
    team.repo.git(["push", "-q", "origin", "main", "alike"]);
    let env = first();
    let clone = folding.dir().join("clone");
    let mut command = env.command("git");
    command.args(["datamon", "clone", "-b", "alike"]).arg(team.remote.dir()).arg(&clone);
    let said = command.output().expect("runs");
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    for pair in &ALIKE[..2] {
        assert!(pair.iter().any(|path| words.contains(path)), "nobody names {pair:?}:\n{words}");
        // What lies there is one of the two, whole, or the pointer of one.
        let there = fs::read(clone.join(pair[0])).expect("one of them");
        let whole = pair.iter().any(|path| alike(1)[*path] == there);
        assert!(whole || there.starts_with(b"version https://git-lfs"), "{pair:?} is a mixture");
    }
    // A file of the user's own, whose name a commit has in another case.
    let own = folding.dir().join("own");
    run(env.command("git").args(["datamon", "-q", "clone", "-b", "main"]).arg(team.remote.dir()).arg(&own));
    fs::write(own.join("a.BIN"), "mine").expect("written");
    let mut checkout = env.command("git");
    run_failing(checkout.current_dir(&own).args(["datamon", "checkout", "alike"]));
    assert_eq!(fs::read(own.join("a.BIN")).expect("there"), b"mine");
}

/// The names in a directory, as they are written there.
fn names(dir: &Path) -> BTreeSet<String> {
    let listed = fs::read_dir(dir).expect("a directory").flatten();
    listed
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect()
}

#[test]
fn git_itself_sees_that_names_fold() {
    let Some(folding) = folding() else { return };
    let repo = machine_on(&folding).init("data");
    assert_eq!(repo.git(["config", "core.ignoreCase"]).text(), "true");
    repo.write("\u{e4}.Bin", "one");
    assert_eq!(repo.read("A\u{308}.bin"), b"one");
    assert_eq!(names(repo.dir()), BTreeSet::from(["\u{e4}.Bin".to_owned()]));
    fs::rename(repo.dir().join("\u{e4}.bin"), repo.dir().join("\u{c4}.bin")).expect("spelled anew");
    assert_eq!(names(repo.dir()), BTreeSet::from(["\u{c4}.bin".to_owned()]));
}

/// What a user does to a work tree, and the paths that are named to the commit, or none for all that changed.
type Deed = (&'static str, fn(&TestRepo), &'static [&'static str]);

const DEEDS: [Deed; 7] = [
    (
        "a file beside others in a directory that is spelled anew",
        |repo| {
            fs::rename(repo.dir().join("Dir"), repo.dir().join("dir")).expect("renamed");
            repo.write("dir/two.bin", seeded_bytes(12, 21_000));
        },
        &["."],
    ),
    (
        "one more, named",
        |repo| repo.write("dir/deep/Three.bin", seeded_bytes(13, 22_000)),
        &["dir/deep/Three.bin"],
    ),
    (
        "a file written anew under another spelling",
        |repo| {
            fs::remove_file(repo.dir().join("Data.bin")).expect("there");
            repo.write("data.bin", seeded_bytes(14, 23_000));
        },
        &[],
    ),
    (
        "the same, and all is named",
        |repo| {
            fs::remove_file(repo.dir().join("data.bin")).expect("there");
            repo.write("DATA.bin", seeded_bytes(15, 24_000));
        },
        &["."],
    ),
    (
        "a directory in place of a file",
        |repo| {
            fs::remove_file(repo.dir().join("Thing.bin")).expect("there");
            repo.write("thing.bin/y.bin", seeded_bytes(16, 25_000));
        },
        &["."],
    ),
    (
        "an umlaut of two characters",
        |repo| {
            fs::remove_file(repo.dir().join("\u{e4}.bin")).expect("there");
            repo.write("a\u{308}.bin", seeded_bytes(17, 26_000));
        },
        &[],
    ),
    ("capital letters in a pattern", |repo| repo.write("NEW.BIN", seeded_bytes(18, 27_000)), &["."]),
];

#[test]
fn a_commit_names_files_as_git_does() {
    let Some(folding) = folding() else { return };
    let team = Team::on(machine_on(&folding));
    let mut wanted = file("Data.bin", 1, 20_000);
    for path in ["Dir/one.bin", "Thing.bin", "\u{e4}.bin"] {
        wanted.extend(file(path, path.len() as u64, 20_000));
    }
    team.change("first", &wanted);
    team.repo.push("origin", "main");
    let gits = team.env.clone_from(team.remote.dir(), "gits");
    for (deed, doing, paths) in DEEDS {
        doing(&team.repo);
        team.repo.git(["datamon", "-q", "commit", "-m", deed].iter().chain(paths));
        doing(&gits);
        if paths.is_empty() {
            gits.git(["commit", "-q", "-a", "-m", deed]);
        } else {
            gits.git(["add", "--"].iter().chain(paths));
            gits.git(["commit", "-q", "-m", deed]);
        }
        let listed = |repo: &TestRepo| repo.git(["ls-tree", "-r", "-z", "HEAD"]).stdout;
        let (ours, theirs) = (listed(&team.repo), listed(&gits));
        let shown = |it: &[u8]| String::from_utf8_lossy(it).replace('\0', "\n");
        assert!(ours == theirs, "{deed}: {}\nand git:\n{}", shown(&ours), shown(&theirs));
        let status = |repo: &TestRepo| repo.git(["status", "--porcelain"]).text().to_owned();
        assert_eq!(status(&team.repo), status(&gits), "{deed}");
    }
    team.repo.push("origin", "main");
    team.assert_sound();
}

#[test]
fn a_checkout_of_names_that_are_spelled_anew_loses_nothing() {
    let Some(folding) = folding() else { return };
    let team = Team::new(first);
    // The forms of Unicode are left out: git takes a file of another form for one that it does not track, and refuses.
    let version = |paths: [&str; 3]| -> BTreeMap<String, Vec<u8>> {
        paths.iter().zip(1..).map(|(path, seed)| ((*path).to_owned(), seeded_bytes(seed, 30_000))).collect()
    };
    let one = version(["Data.bin", "Dir/x.bin", "Thing.bin"]);
    let two = version(["data.bin", "dir/x.bin", "thing.bin/y.bin"]);
    team.change("one", &one);
    team.repo.git(["checkout", "-q", "-b", "two"]);
    team.repo.git(["rm", "-q", "-r", "--", "Data.bin", "Dir", "Thing.bin"]);
    team.change("two", &two);
    team.repo.git(["push", "-q", "origin", "main", "two"]);
    let env = machine_on(&folding);
    run(env
        .command("git")
        .args(["datamon", "-q", "clone", "-b", "main"])
        .arg(team.remote.dir())
        .arg("clone"));
    let clone = env.repo("clone");
    assert_files(&clone, &one);
    // All that there is of either version is in the work tree.
    fs::rename(&team.store, team.store.with_extension("away")).expect("it is there");
    for (branch, files) in [("two", &two), ("main", &one), ("two", &two)] {
        clone.git(["datamon", "-q", "checkout", branch]);
        assert_files(&clone, files);
        let tops: BTreeSet<String> =
            files.keys().map(|path| path.split('/').next().expect("a part").to_owned()).collect();
        assert!(names(clone.dir()).is_superset(&tops), "{tops:?} are {:?}", names(clone.dir()));
    }
    // An edit is in the way, whatever its name is spelled like.
    clone.write("DATA.bin", "mine");
    let mut checkout = env.command("git");
    run_failing(checkout.current_dir(clone.dir()).args(["datamon", "checkout", "main"]));
    assert_eq!(clone.read("data.bin"), b"mine");
}

#[test]
fn two_names_of_one_content_are_one_file_that_is_whole() {
    let Some(folding) = folding() else { return };
    let team = Team::new(first);
    let bytes = seeded_bytes(1, 30_000);
    team.change(
        "one content",
        &ALIKE.iter().flatten().map(|path| ((*path).to_owned(), bytes.clone())).collect(),
    );
    team.repo.push("origin", "main");
    let env = machine_on(&folding);
    run(env.command("git").args(["datamon", "clone"]).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    assert_files(&clone, &ALIKE.iter().map(|pair| (pair[0].to_owned(), bytes.clone())).collect());
}

#[test]
fn what_a_pull_brings_overwrites_no_file_of_another_spelling() {
    let Some(folding) = folding() else { return };
    let team = Team::pushed(first);
    let env = machine_on(&folding);
    run(env.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    team.repo.git(["mv", "text.bin", "Text.bin"]);
    team.repo.commit("spelled anew");
    team.repo.push("origin", "main");
    clone.git(["datamon", "-q", "pull"]);
    assert!(names(clone.dir()).contains("Text.bin") && clone.read("Text.bin") == files(1)["text.bin"]);
    team.change("new", &file("New.bin", 5, 30_000));
    team.repo.push("origin", "main");
    clone.write("NEW.bin", "mine");
    for verb in [&["pull"][..], &["checkout", "origin/main"], &["checkout", "origin/main", "--", "New.bin"]] {
        let mut command = env.command("git");
        run_failing(command.current_dir(clone.dir()).arg("datamon").args(verb));
        assert_eq!(clone.read("new.bin"), b"mine", "{verb:?}");
    }
}

#[test]
fn a_version_beside_the_work_tree_says_what_is_one_name() {
    let Some(folding) = folding() else { return };
    let team = Team::new(first);
    team.change("alike", &alike(1));
    team.repo.push("origin", "main");
    let dest = folding.dir().join("dest");
    let mut checkout = team.env.command("git");
    checkout.current_dir(team.repo.dir()).args(["datamon", "checkout", "main", "--dest"]).arg(&dest);
    let said = run_failing(&mut checkout).stderr;
    assert!(ALIKE.iter().any(|pair| pair.iter().any(|path| said.contains(path))), "{said}");
}

//! Names that some file systems take for one: `A` and `a`, and an `ä` that is one character or two.
//!
//! On a file system that tells them apart all of them are files, also where git was told that it does not. One that does not is
//! made where root may mount it, else `DATAMON_TEST_FOLDING` names a directory on one; without either those tests fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use datamon_test_support::{Hermetic, run, run_failing, seeded_bytes};

use super::{Team, assert_files, first};

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

/// A directory that takes `A` and `a` for one name, and `ä` and `ä`.
struct Folding {
    dir: PathBuf,
    mounted: Option<PathBuf>,
}

impl Folding {
    fn new(env: &Hermetic) -> Folding {
        let named = std::env::var_os("DATAMON_TEST_FOLDING");
        let folding = match named {
            Some(named) => {
                let made = tempfile::Builder::new().prefix("datamon-test-").tempdir_in(named);
                let dir = made.expect("DATAMON_TEST_FOLDING names a directory").keep();
                Folding { dir, mounted: None }
            }
            None => Folding::mount(env),
        };
        fs::write(folding.dir.join("PROBE"), "").expect("writable");
        assert!(
            folding.dir.join("probe").exists(),
            "{} tells PROBE from probe: this test proves nothing there",
            folding.dir.display()
        );
        folding
    }

    fn mount(env: &Hermetic) -> Folding {
        let (image, at) = (env.root().join("image"), env.root().join("mounted"));
        let image = image.to_str().expect("plain");
        fs::create_dir(&at).expect("made");
        let run = |program: &str, args: &[&str]| {
            let said = Command::new(program).args(args).output();
            let why = match &said {
                Ok(said) if said.status.success() => return,
                Ok(said) => String::from_utf8_lossy(&said.stderr).into_owned(),
                Err(error) => error.to_string(),
            };
            panic!(
                "NOT TESTED: no file system here takes `A` and `a` for one name. {program}: {why}. Run this as root, with \
                 e2fsprogs, on a kernel with CONFIG_UNICODE, or let DATAMON_TEST_FOLDING name a directory on such a file system"
            );
        };
        let mounted = at.to_str().expect("plain");
        run("truncate", &["--size=128M", image]);
        run("mkfs.ext4", &["-q", "-O", "casefold", image]);
        run("mount", &["-o", "loop", image, mounted]);
        let folding = Folding { dir: at.join("folding"), mounted: Some(at.clone()) };
        fs::create_dir(&folding.dir).expect("made");
        run("chattr", &["+F", folding.dir.to_str().expect("plain")]);
        folding
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        match &self.mounted {
            Some(at) => drop(Command::new("umount").arg(at).status()),
            None => drop(fs::remove_dir_all(&self.dir)),
        }
    }
}

fn files_below(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, |found| found.flatten().filter(|it| it.file_name() != ".git").count())
}

#[test]
#[ignore = "wants a file system that folds case: root and CONFIG_UNICODE, or DATAMON_TEST_FOLDING"]
fn a_download_names_what_would_be_one_file_and_writes_nothing() {
    let env = first();
    let folding = Folding::new(&env);
    let datamon = |args: &[&str]| {
        let mut git = env.command("git");
        git.arg("datamon").args(args).args(["--store", "store", "--repo", "data"]);
        git
    };
    for (n, pair) in ALIKE.iter().enumerate() {
        let dir = env.work().join(n.to_string());
        for path in pair {
            let at = dir.join(path);
            fs::create_dir_all(at.parent().expect("a parent")).expect("made");
            fs::write(at, path).expect("written");
        }
        run(&mut datamon(&["upload", "--create", &n.to_string()]));
        let dest = folding.path(&format!("dest-{n}"));
        let to = dest.to_str().expect("plain");
        let failed = run_failing(&mut datamon(&["download", "latest", "--dest", to]));
        let errors: Vec<&str> = failed.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains("are one name"), "{}", failed.stderr);
        assert!(pair.iter().all(|path| errors[0].contains(path)), "{}", failed.stderr);
        assert_eq!(files_below(&dest), 0);
        run(&mut datamon(&["download", "latest", "--dest", to, "--paths", pair[0]]));
        assert_eq!(fs::read(dest.join(pair[0])).expect("written"), pair[0].as_bytes());
        // The other is in the way of the one that is there.
        run_failing(&mut datamon(&["download", "latest", "--dest", to, "--paths", pair[1]]));
        assert_eq!(fs::read(dest.join(pair[0])).expect("there"), pair[0].as_bytes());
    }
}

#[test]
#[ignore = "wants a file system that folds case: root and CONFIG_UNICODE, or DATAMON_TEST_FOLDING"]
fn a_clone_says_what_collides_and_a_checkout_overwrites_no_file_of_the_user() {
    let team = Team::new(first);
    team.repo.git(["checkout", "-q", "-b", "alike"]);
    team.change("alike", &alike(1));
    team.repo.git(["push", "-q", "origin", "main", "alike"]);
    let env = first();
    let folding = Folding::new(&env);
    let clone = folding.path("clone");
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
    let own = folding.path("own");
    run(env.command("git").args(["datamon", "-q", "clone", "-b", "main"]).arg(team.remote.dir()).arg(&own));
    fs::write(own.join("a.BIN"), "mine").expect("written");
    let mut checkout = env.command("git");
    run_failing(checkout.current_dir(&own).args(["datamon", "checkout", "alike"]));
    assert_eq!(fs::read(own.join("a.BIN")).expect("there"), b"mine");
}

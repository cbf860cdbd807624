//! A whole store to another place: it is the same there, what was begun is finished, and nobody's writes are lost.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use datamon::catalog::Catalog;
use datamon::id::Oid;
use datamon::ops::copy::{NotCopied, copy};
use datamon::ops::verify::{Depth, verify};
use datamon::progress::Silent;
use datamon::store::fail::{Failing, Fault};
use datamon::store::{Settings, Store, StoreUrl, key, memory};
use datamon_test_support::{BucketServer, Hermetic, run, run_failing, seeded_bytes, server};

use super::{machine, s3, somewhere, store, with_s3};
use crate::durability::world::{Machine, Shelf, fresh, push};

fn url() -> StoreUrl {
    StoreUrl::parse("memory:moving").expect("a URL")
}

fn in_memory() -> Store {
    Store::over(url(), memory())
}

/// A store with some history.
fn made(shelf: &mut Shelf, pushes: u64) -> (Store, Vec<Oid>) {
    let (store, machine) = (in_memory(), Machine::new());
    let mut catalog = machine.create(&store).expect("made");
    let oids: Vec<Oid> = (0..pushes).map(|n| shelf.put(&seeded_bytes(n, 30_000))).collect();
    for oid in &oids {
        push(&mut catalog, &shelf.files(&[*oid])).expect("pushed");
    }
    (store, oids)
}

/// That all of the files come from there, and everything is as it should be.
fn assert_whole(store: &Store, shelf: &Shelf, oids: &[Oid]) -> Catalog {
    let mut catalog = fresh(store).expect("opens");
    let findings = verify(&catalog, Depth::Data(100), &Silent).expect("verified");
    assert!(findings.problems.is_empty() && findings.notes.is_empty(), "{findings:?}");
    shelf.assert_download(&mut catalog, oids, "the copy");
    catalog
}

#[test]
fn a_copy_is_a_store_of_its_own_and_grows_with_the_old_one() {
    let mut shelf = Shelf::new();
    // So many that a checkpoint is among them.
    let (old, mut oids) = made(&mut shelf, 70);
    let mut from = fresh(&old).expect("opens");
    for new in [in_memory(), s3()] {
        copy(&mut from, &new, &Silent).expect("copied");
        let catalog = assert_whole(&new, &shelf, &oids);
        assert_ne!(catalog.identity().store, from.identity().store, "R6");
        assert_eq!(catalog.head().seq(), from.head().seq());
    }
    // Again, after one more push into the old one.
    let new = in_memory();
    copy(&mut from, &new, &Silent).expect("copied");
    let id = fresh(&new).expect("opens").identity().store;
    oids.push(shelf.put(b"late"));
    push(&mut fresh(&old).expect("opens"), &shelf.files(&oids[70..])).expect("pushed");
    let more = copy(&mut from, &new, &Silent).expect("copied");
    assert!(more.objects <= 3, "{more:?}");
    let mut catalog = assert_whole(&new, &shelf, &oids);
    assert_eq!(catalog.identity().store, id, "the id stays");
    // Written to: its own from now on.
    let own = shelf.put(b"own");
    push(&mut catalog, &shelf.files(&[own])).expect("pushed");
    let refused = copy(&mut from, &new, &Silent).expect_err("written to since");
    assert!(matches!(refused, NotCopied::Diverged { .. }), "{refused}");
    assert_whole(&new, &shelf, &[own]);
}

#[test]
fn what_is_interrupted_is_gone_on_with() {
    let mut shelf = Shelf::new();
    let (old, oids) = made(&mut shelf, 8);
    for at in 0..40 {
        let place = memory();
        let failing = Failing::new(place.clone(), Fault::Dead, at);
        let new = Store::over(url(), Arc::new(failing)).without_waits();
        let mut from = fresh(&old).expect("opens");
        if copy(&mut from, &new, &Silent).is_err() {
            let there = Store::over(url(), place.clone());
            assert!(there.get(key::STORE).expect("asked").is_none() || fresh(&there).is_ok(), "at {at}");
            copy(&mut from, &there, &Silent).unwrap_or_else(|error| panic!("at {at}: {error}"));
        }
        assert_whole(&Store::over(url(), place), &shelf, &oids);
    }
}

#[test]
fn another_place_is_left_alone() {
    let mut shelf = Shelf::new();
    let (old, _) = made(&mut shelf, 2);
    let mut from = fresh(&old).expect("opens");
    let (other, _) = made(&mut shelf, 1);
    let refused = copy(&mut from, &other, &Silent).expect_err("a store of its own");
    assert!(matches!(refused, NotCopied::Another { .. }), "{refused}");
    let refused = copy(&mut from, &old.clone(), &Silent).expect_err("itself");
    assert!(matches!(refused, NotCopied::Another { .. }), "{refused}");
    let place = memory();
    place.overwrite("holiday.jpg", b"x".to_vec().into()).expect("written");
    let refused = copy(&mut from, &Store::over(url(), place.clone()), &Silent).expect_err("not empty");
    assert!(refused.to_string().contains("holiday.jpg"), "{refused}");
    assert_eq!(place.list("", "").expect("listed").len(), 1);
}

fn datamon(env: &Hermetic, dir: &str, args: &[&str]) -> Command {
    let mut command = env.command("git");
    command.current_dir(env.work().join(dir)).arg("datamon").args(args);
    with_s3(&mut command, &server("DATAMON_TEST_S3"), "any:thing");
    command
}

fn store_at(url: &str) -> Vec<String> {
    let mut settings = Settings::default();
    if url.starts_with("s3") {
        settings.set("endpoint", &server("DATAMON_TEST_S3")).expect("a setting");
    }
    let store = Store::open_with(&StoreUrl::parse(url).expect("a URL"), &settings).expect("opens");
    let mut keys: Vec<String> = store.list("", "").expect("listed").into_iter().map(|it| it.key).collect();
    keys.sort();
    keys
}

#[test]
fn a_repository_moves_with_its_store() {
    let env = machine();
    let (remote, repo) = (env.init_bare("remote.git"), env.init("first"));
    repo.add_remote("origin", remote.dir());
    let directory = env.root().join("store").to_str().expect("plain").to_owned();
    run(&mut datamon(&env, ".", &["install"]));
    run(&mut datamon(&env, "first", &["init", "--store", &directory, "--track", "*.bin"]));
    repo.write("a.bin", seeded_bytes(1, 300_000));
    run(&mut datamon(&env, "first", &["commit", "-m", "data", "--label", "one", "."]));
    run(&mut datamon(&env, "first", &["push", "-u", "origin", "main"]));
    let before = store_at(&directory);

    let bucket = somewhere("s3");
    let moved = run(&mut datamon(&env, "first", &["store", "move", "--to", &bucket, "--verify", "full"]));
    assert!(moved.text().contains("every byte"), "{}", moved.text());
    assert!(moved.stderr.contains(&format!("git config lfs.url datamon::{bucket}")), "{}", moved.stderr);
    for scope in [&["config", "--local", "lfs.url"][..], &["config", "-f", ".lfsconfig", "lfs.url"]] {
        assert_eq!(repo.git(scope).text(), format!("datamon::{bucket}"));
    }
    assert_eq!(store_at(&directory), before, "the old store is as it was");
    assert_eq!(store_at(&bucket), before, "and the new one has the same objects");
    // Once more is no harm.
    run(&mut datamon(&env, "first", &["store", "move", &directory, "--to", &bucket]));

    // Work goes on there, and others come along.
    repo.write("b.bin", seeded_bytes(2, 100_000));
    run(&mut datamon(&env, "first", &["commit", "-m", "moved", "."]));
    run(&mut datamon(&env, "first", &["push"]));
    std::fs::remove_dir_all(&directory).expect("removed");
    run(&mut datamon(&env, ".", &["clone", remote.dir().to_str().expect("plain"), "second"]));
    assert_eq!(env.repo("second").read("a.bin"), seeded_bytes(1, 300_000));
    run(&mut datamon(&env, "second", &["show", "one"]));

    // And back, in one JSON object; a store that went on its own way is not written over.
    let back = run(&mut datamon(&env, "first", &["store", "move", "--to", &directory, "--json"]));
    let said: serde_json::Value = serde_json::from_str(back.text()).expect("JSON");
    assert_eq!((said["leads"].as_bool(), said["was_there"].as_u64()), (Some(true), Some(0)), "{said}");
    assert_eq!(store_at(&directory), store_at(&bucket));
    repo.git(["commit", "--quiet", "--message", "moved back"]);
    repo.write("c.bin", seeded_bytes(3, 100_000));
    run(&mut datamon(&env, "first", &["commit", "-m", "own", "."]));
    run(&mut datamon(&env, "first", &["push"]));
    let refused = run_failing(&mut datamon(&env, "first", &["store", "move", &bucket, "--to", &directory]));
    assert!(refused.code == Some(3) && refused.stderr.contains("written to since"), "{}", refused.stderr);
    assert!(Path::new(&directory).join("datamon.json").exists());
}

#[test]
fn edits_of_the_user_are_not_taken_along() {
    let env = machine();
    let repo = env.init("first");
    let directory = env.root().join("store").to_str().expect("plain").to_owned();
    run(&mut datamon(&env, "first", &["init", "--store", &directory]));
    repo.commit("set up");
    let config = String::from_utf8(repo.read(".lfsconfig")).expect("text") + "# mine\n";
    repo.write(".lfsconfig", &config);
    let refused = run_failing(&mut datamon(&env, "first", &["store", "move", "--to", "../elsewhere"]));
    assert!(refused.code == Some(3) && refused.stderr.contains("not committed"), "{}", refused.stderr);
    assert!(!env.work().join("elsewhere").exists());
    let same = run_failing(&mut datamon(&env, "first", &["store", "move", "--to", &directory]));
    assert_eq!(same.code, Some(64), "{}", same.stderr);
    let inside =
        run_failing(&mut datamon(&env, "first", &["store", "move", "--to", &format!("{directory}/new")]));
    assert!(inside.code == Some(64) && inside.stderr.contains("inside the store"), "{}", inside.stderr);
}

/// The figure of `docs/benchmarks.md`: run by hand, it prints what it takes.
#[test]
#[ignore = "writes two gigabytes; for the figure in docs/benchmarks.md"]
fn a_gigabyte_there_and_back() {
    let folders = tempfile::tempdir().expect("a temporary directory");
    let directory = |name: &str| {
        let folder = folders.path().join(name);
        std::fs::create_dir(&folder).expect("a new name");
        Store::open(&StoreUrl::of_directory(&folder).expect("absolute")).expect("opens")
    };
    let mut shelf = Shelf::new();
    let oids: Vec<Oid> = (0..16).map(|n| shelf.put(&seeded_bytes(n, 62_500_000))).collect();
    let old = directory("old");
    push(&mut Machine::new().create(&old).expect("made"), &shelf.files(&oids)).expect("pushed");
    let server = BucketServer::start();
    let bucket = store("s3://bucket/x", &[("endpoint", &server.url()), ("anonymous", "true")]);
    let back = directory("back");
    for (what, from, to) in [("to the bucket", &old, &bucket), ("back", &bucket, &back)] {
        let begin = std::time::Instant::now();
        let copied = copy(&mut fresh(from).expect("opens"), to, &Silent).expect("copied");
        let copying = begin.elapsed().as_secs_f64();
        let catalog = fresh(to).expect("opens");
        for depth in [Depth::Promises, Depth::Data(100), Depth::Files] {
            let begin = std::time::Instant::now();
            assert!(verify(&catalog, depth, &Silent).expect("verified").problems.is_empty());
            println!(
                "{what}: {copied:?} in {copying:.2} s; verified ({depth:?}) in {:.2} s",
                begin.elapsed().as_secs_f64()
            );
        }
    }
    assert_whole(&back, &shelf, &oids);
}

//! The real binary killed (`kill -9`) before steps that show in a directory, and stopped (SIGSTOP) while others go on: what was
//! acknowledged is there, and doing it again is enough.
//!
//! Verbs that work on git repositories are killed so in `tests/transfer/steps.rs` and `tests/transfer/kills.rs`. Each test here takes some of the steps;
//! `just nightly` takes all.

use std::fs;

use datamon_test_support::{Hermetic, Killed, Meddler, Tally, run, seeded_bytes};

use super::{WEATHER, command, json, listing, machine, upload, weather, write};

/// A verb that is killed.
struct Verb {
    words: &'static [&'static str],
    /// Makes something for it to do.
    before: fn(&Hermetic, u64),
    /// How much of the name of the dataset it takes: words of [`WEATHER`].
    named: usize,
}

/// Everything at once, also what is dead in packs that live on.
const COLLECT: [&str; 8] = ["gc", "run", "--grace", "0", "--orphans", "0", "--max-unused", "0"];

fn change(env: &Hermetic, at: u64) {
    write(env, "data/large", seeded_bytes(at, 90_000 + at as usize));
    write(env, "data/small/new", seeded_bytes(1000 + at, 3_000));
    // Stays for a while, in packs of which the rest is dead.
    write(env, "data/small/kept", seeded_bytes(2000 + at / 3, 5_000));
}

fn another_version(env: &Hermetic, at: u64) {
    change(env, at);
    upload(env, "data");
}

fn garbage(env: &Hermetic, at: u64) {
    another_version(env, at);
    weather(env, &["squash", "--keep-last", "1", "--apply"]);
}

const VERBS: [Verb; 6] = [
    Verb { words: &["upload", "data"], before: change, named: 4 },
    Verb { words: &["label", "set", "prod", "latest"], before: another_version, named: 4 },
    Verb { words: &["squash", "--keep-last", "1", "--apply"], before: another_version, named: 4 },
    Verb { words: &COLLECT, before: garbage, named: 2 },
    Verb { words: &["download", "latest", "--dest", "out"], before: another_version, named: 4 },
    Verb { words: &["repair"], before: another_version, named: 2 },
];

impl Verb {
    fn words(&self) -> Vec<&'static str> {
        [self.words, &WEATHER[..self.named]].concat()
    }

    /// Kills it before these steps, until it gets to its end. How often it was killed.
    fn kill(&self, killed: Killed, steps: impl Iterator<Item = u64>) -> u64 {
        let env = machine();
        let meddler = Meddler::new(&env);
        another_version(&env, 999);
        let mut kills = 0;
        for at in steps {
            let _ = fs::remove_dir_all(env.work().join("out"));
            (self.before)(&env, at);
            let (said, reached) = meddler.kill(&mut command(&env, &self.words()), killed, at);
            let context = format!("{:?}, {killed:?} before step {at}: {}", self.words, said.stderr);
            run(&mut command(&env, &["fsck", "--store", "store"]));
            run(&mut command(&env, &self.words()));
            run(&mut command(&env, &["fsck", "--data", "--store", "store"]));
            let _ = fs::remove_dir_all(env.work().join("out"));
            weather(&env, &["download", "latest", "--dest", "out"]);
            assert_eq!(listing(&env.work().join("out")), listing(&env.work().join("data")), "{context}");
            kills += u64::from(reached);
            if !reached {
                assert_eq!(said.code, Some(0), "{context}");
                break;
            }
        }
        kills
    }
}

#[test]
fn verbs_that_are_killed_at_some_steps_lose_nothing_and_are_done_again() {
    let kills: u64 = VERBS.iter().map(|verb| verb.kill(Killed::One, [1, 4, 9].into_iter())).sum();
    assert!(kills >= 12, "{kills} kills");
}

#[test]
#[ignore = "nightly"]
fn verbs_that_are_killed_at_every_step_lose_nothing_and_are_done_again() {
    let mut tally = Tally::anew(concat!(env!("CARGO_TARGET_TMPDIR"), "/kills-verbs.tsv"));
    for verb in &VERBS {
        tally.add(verb.words[0], verb.kill(Killed::One, 0..) + verb.kill(Killed::All, 0..));
    }
    assert!(tally.sum() >= 110, "{} kills", tally.sum());
}

/// A writer is stopped before step `at` while a collection without any wait runs to its end and another one writes; it goes on.
/// Whether it got that far.
fn stopped_writer(at: u64) -> bool {
    let env = machine();
    let meddler = Meddler::new(&env);
    garbage(&env, 1);
    change(&env, 2);
    let done = meddler.stop(&mut command(&env, &[&["upload", "data"], &WEATHER[..]].concat()), at);
    let Ok(stopped) = done else { return false };
    run(&mut command(&env, &[&COLLECT[..], &WEATHER[..2]].concat()));
    write(&env, "other/file", seeded_bytes(3, 40_000));
    upload(&env, "other");
    run(&mut command(&env, &[&COLLECT[..], &WEATHER[..2]].concat()));
    let said = stopped.go_on();
    run(&mut command(&env, &["fsck", "--data", "--store", "store"]));
    // What it says it has done it has.
    if said.code == Some(0) {
        weather(&env, &["download", said.text(), "--dest", "out"]);
        assert_eq!(listing(&env.work().join("out")), listing(&env.work().join("data")), "step {at}");
    } else {
        assert!(!said.stderr.trim().is_empty(), "step {at}: an error without words");
    }
    let id = upload(&env, "data");
    weather(&env, &["download", &id, "--dest", "again"]);
    assert_eq!(listing(&env.work().join("again")), listing(&env.work().join("data")), "step {at}");
    true
}

/// A collection is stopped before step `at` while a writer promises what it is about to take, and another one runs to its end.
fn stopped_collector(at: u64) -> bool {
    let env = machine();
    let meddler = Meddler::new(&env);
    change(&env, 1);
    let before = listing(&env.work().join("data"));
    upload(&env, "data");
    garbage(&env, 2);
    let done = meddler.stop(&mut command(&env, &[&COLLECT[..], &WEATHER[..2]].concat()), at);
    let Ok(stopped) = done else { return false };
    // The version that was given up comes back.
    change(&env, 1);
    assert_eq!(listing(&env.work().join("data")), before);
    let id = upload(&env, "data");
    run(&mut command(&env, &[&COLLECT[..], &WEATHER[..2]].concat()));
    stopped.go_on();
    run(&mut command(&env, &["fsck", "--data", "--store", "store"]));
    weather(&env, &["download", &id, "--dest", "out"]);
    assert_eq!(listing(&env.work().join("out")), before, "step {at}");
    let json = json(&run(&mut command(&env, &[&COLLECT[..], &WEATHER[..2], &["--json"]].concat())));
    assert!(json["condemned"].is_object(), "{json}");
    true
}

#[test]
fn a_process_that_is_stopped_while_others_go_on_breaks_nothing() {
    let stops = [2, 7, 12].into_iter().filter(|at| stopped_writer(*at) && stopped_collector(*at)).count();
    assert!(stops >= 2, "{stops} stops");
}

#[test]
#[ignore = "nightly"]
fn a_process_that_is_stopped_anywhere_breaks_nothing() {
    let writers = (0..).take_while(|at| stopped_writer(*at)).count();
    let collectors = (0..).take_while(|at| stopped_collector(*at)).count();
    assert!(writers > 10 && collectors > 10, "{writers} and {collectors} stops");
    let mut tally = Tally::anew(concat!(env!("CARGO_TARGET_TMPDIR"), "/stops-verbs.tsv"));
    tally.add("upload", writers as u64);
    tally.add("gc run", collectors as u64);
}

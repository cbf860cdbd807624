//! The simulator: it loses nothing, a seed is had again, every class of faults hits, and a reader of the format that shares no code
//! with the program finds in the stores what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::Mutex;

use datamon::selftest::{Cast, Hits, Kind, Outcome, crash_everywhere, play};
use datamon_test_support::run;
use sha2::{Digest, Sha256};

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader/datamon_reader.py");

/// Plays seeds, and says of each that failed how to have it again.
fn played(first: u64, count: u64) -> (u64, Hits) {
    let told = Mutex::new((0, Hits::new(), BTreeMap::new()));
    let hear = |outcome: Outcome| {
        let mut told = told.lock().expect("no panic");
        told.0 += outcome.deeds;
        for (kind, hits) in outcome.hits {
            *told.1.entry(kind).or_default() += hits;
        }
        if !outcome.wrong.is_empty() {
            told.2.insert(format!("git datamon selftest --seed {}", outcome.seed), outcome.wrong);
        }
    };
    play(first, count, &hear).expect("a directory for temporary files");
    let (deeds, hits, wrong) = told.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{wrong:#?}");
    (deeds, hits)
}

#[test]
fn nothing_is_lost_in_three_hundred_simulations_in_which_everything_fails() {
    let (deeds, hits) = played(0, 300);
    assert!(deeds >= 300 * 200, "{deeds} operations");
    for kind in Kind::ALL {
        assert!(hits.get(kind).is_some_and(|hits| *hits > 10), "{} tests nothing: {hits:?}", kind.name());
    }
}

#[test]
fn a_seed_is_had_again() {
    let cast = Cast::new().expect("threads");
    for seed in 0..6 {
        let one = cast.play(seed).expect("played");
        let two = cast.play(seed).expect("played");
        let differs = one.trace.iter().zip(&two.trace).position(|(one, two)| one != two);
        let around = differs.map(|at| (&one.trace[at.saturating_sub(5)..=at], &two.trace[at]));
        assert!(around.is_none(), "seed {seed}: {around:#?}");
        assert_eq!(
            (one.trace.len(), one.hits, one.wrong),
            (two.trace.len(), two.hits, two.wrong),
            "seed {seed}"
        );
        let log = |objects: BTreeMap<String, bytes::Bytes>| -> Vec<_> {
            objects.into_iter().filter(|(key, _)| !key.starts_with("probe/")).collect()
        };
        assert_eq!(log(one.objects), log(two.objects), "seed {seed}");
    }
}

#[test]
fn an_independent_reader_finds_what_was_promised() {
    let cast = Cast::new().expect("threads");
    let mut read = 0;
    for seed in [3, 8] {
        let outcome = cast.play(seed).expect("played");
        let folder = tempfile::tempdir().expect("a temporary directory");
        for (key, bytes) in &outcome.objects {
            let path = folder.path().join("store").join(key);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        let store = folder.path().join("store");
        let listed = run(Command::new("python3").arg(READER).arg(&store));
        let listed: BTreeSet<&str> =
            listed.lines().iter().filter_map(|line| line.split(' ').next()).collect();
        let lost = outcome.promised.iter().find(|oid| !listed.contains(&*oid.to_string()));
        assert!(lost.is_none(), "seed {seed}: {lost:?}");
        for oid in outcome.promised.iter().take(6) {
            let out = folder.path().join("out");
            run(Command::new("python3").arg(READER).arg(&store).arg(oid.to_string()).arg(&out));
            let bytes = fs::read(&out).expect("written");
            let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, oid.to_string(), "seed {seed}");
            read += 1;
        }
    }
    assert!(read >= 10, "{read} files");
}

#[test]
fn work_that_is_killed_at_any_seam_loses_nothing_and_is_done_again() {
    let crashes = crash_everywhere().expect("a directory for temporary files");
    assert!(crashes.wrong.is_empty(), "{:#?}", crashes.wrong);
    assert!(crashes.count() >= 2_000, "{} crash points: {:?}", crashes.count(), crashes.points);
    assert!(crashes.points.values().all(|points| *points >= 5), "{:?}", crashes.points);
}

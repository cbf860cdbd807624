//! The simulator: it loses nothing, a seed is had again, every class of faults hits, and a reader of the format that shares no code
//! with the program finds in the stores what was promised.

mod command;
mod counts;
mod reader;

use std::collections::BTreeMap;
use std::sync::Mutex;

use datamon::selftest::{Cast, Hits, Kind, Outcome, crash_everywhere, play};

use reader::Stores;

/// Plays seeds, and says of each that failed how to have it again. What is in the end in the stores of some is read by the other reader.
fn played(first: u64, count: u64, is_read: fn(u64) -> bool) -> (u64, Hits) {
    let stores = Stores::new();
    let told = Mutex::new((0, Hits::new(), BTreeMap::new()));
    let hear = |outcome: Outcome| {
        if is_read(outcome.seed) {
            stores.add(&outcome);
        }
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
    stores.assert_read();
    (deeds, hits)
}

#[test]
fn nothing_is_lost_in_three_hundred_simulations_in_which_everything_fails() {
    let (deeds, hits) = played(0, 300, |_| true);
    assert!(deeds >= 300 * 200, "{deeds} operations");
    for kind in Kind::ALL {
        assert!(hits.get(kind).is_some_and(|hits| *hits > 10), "{} tests nothing: {hits:?}", kind.name());
    }
}

/// Others each night: their stores are read by the other reader too.
#[test]
#[ignore = "takes minutes"]
fn other_simulations_leave_stores_that_the_other_reader_reads() {
    let first = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1 << 40);
    println!("seeds from {first} on");
    played(first, 1_000, |_| true);
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
fn work_that_is_killed_at_any_seam_loses_nothing_and_is_done_again() {
    let crashes = crash_everywhere().expect("a directory for temporary files");
    assert!(crashes.wrong.is_empty(), "{:#?}", crashes.wrong);
    assert!(crashes.count() >= 2_000, "{} crash points: {:?}", crashes.count(), crashes.points);
    assert!(crashes.points.values().all(|points| *points >= 5), "{:?}", crashes.points);
}

//! A log object is lost (ported from `identity_and_holes.py`): no writer may create into the hole (R6).
//!
//! The search gallops and bisects, so it can stop below a hole. What refuses then is the known entry (a hint, the cache) or
//! the one LIST of a cold writer; without both the log forks.

use datamon::catalog::Rules;
use datamon::catalog::head::{NoHead, find, refuse_beyond};
use datamon::catalog::slot::{Action, Append, Event};

const SIZE: u64 = 40;

/// Whether a writer creates below an entry that exists, when entry `lost` is lost.
fn forks(lost: u64, hint: Option<u64>, lists: bool) -> bool {
    let there = |seq: u64| seq < SIZE && seq != lost;
    let head = match find(hint, |seq| Ok::<_, NoHead<()>>(there(seq))) {
        Ok(head) => head,
        Err(_) => return false,
    };
    if lists && refuse_beyond(head, (0..SIZE).filter(|seq| there(*seq))).is_err() {
        return false;
    }
    let mut append = Append::new(Rules::ALL, head + 1);
    let event = if there(head) { Event::Read(vec![]) } else { Event::Missing };
    match append.step(event).expect("the answer to ReadPrev") {
        Action::Check { slot, .. } => slot < SIZE - 1,
        Action::Damaged(seq) => {
            assert_eq!((seq, head), (lost, lost), "only the lost entry is reported");
            false
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_entry_forks_the_log_unless_a_hint_or_a_list_refuses() {
    let positions = |hint, lists| (0..SIZE).filter(|lost| forks(*lost, hint, lists)).count();
    let (none, hint, list) =
        (positions(None, false), positions(Some(SIZE - 1), false), positions(None, true));
    println!("forks in {none} of {SIZE} positions without R6, {hint} with a hint, {list} with a list");
    assert_eq!((none > 0, hint, list), (true, 0, 0));
}

#[test]
fn the_head_is_found_from_every_known_entry_and_nothing_new_costs_one_probe() {
    for size in 1..70u64 {
        for known in (0..size).map(Some).chain([None]) {
            let mut probes = 0;
            let head = find(known, |seq| {
                probes += 1;
                Ok::<_, NoHead<()>>(seq < size)
            });
            assert_eq!(head, Ok(size - 1), "{known:?}");
            let ahead = size - 1 - known.unwrap_or(0);
            let bound = if ahead == 0 { 1 } else { 2 + 2 * ahead.ilog2() + 1 };
            assert!(probes <= bound + u32::from(known.is_none()), "{probes} probes for {ahead} new entries");
        }
    }
}

#[test]
fn no_log_and_absurd_hints_do_not_loop() {
    assert_eq!(find(None, |_| Ok::<_, NoHead<()>>(false)), Err(NoHead::NoLog));
    assert_eq!(find(Some(u64::MAX), |_| Ok::<_, NoHead<()>>(true)), Ok(u64::MAX));
    assert_eq!(find(Some(u64::MAX - 5), |seq| Ok::<_, NoHead<()>>(seq < u64::MAX - 1)), Ok(u64::MAX - 2));
    assert_eq!(find(Some(3), |_| Err::<bool, _>(NoHead::Probe(()))), Err(NoHead::Probe(NoHead::Probe(()))));
}

//! Runs: how segments group into them, and what becomes of their number and of the work to keep it.

use super::*;
use crate::catalog::State;
use crate::catalog::change::*;
use crate::catalog::plan::{
    MOST_ROWS, MOST_RUNS, TOO_MANY_ROWS, TableRun, due, hooks_due, runs, sample, shift,
};
use crate::catalog::state::Segment;

/// A segment with the keys from `first` to `last`, in a pack of its own.
fn range(n: u8, first: u8, last: u8) -> SegmentRef {
    let (first, last) = (Prefix::from_bytes([first; 8]), Prefix::from_bytes([last; 8]));
    SegmentRef { first, last, ..segment(n) }
}

fn state_of(pushes: &[&[SegmentRef]]) -> State {
    let mut state = State::default();
    for (seq, segments) in (0..).zip(pushes) {
        let change = Change::Push(Push { segments: segments.to_vec(), ..push(RepoId::NIL) });
        state.apply(seq, &record(0, &[], change)).expect("it is the next");
    }
    state
}

/// The fences of each run, by number.
fn fences(runs: &[TableRun<'_>]) -> Vec<Vec<u8>> {
    let number = |segment: &&Segment| segment.at.fence.pack.as_bytes()[0];
    runs.iter().map(|run| run.segments.iter().map(number).collect()).collect()
}

#[test]
fn segments_of_one_entry_are_a_run_unless_they_overlap() {
    let hooks = SegmentRef { table: TableKind::Hooks, ..range(9, 0, 9) };
    let state = state_of(&[
        &[],
        &[range(3, 50, 99), range(1, 0, 20), range(2, 20, 40)],
        &[range(4, 0, 60), range(5, 55, 70), hooks],
        &[range(6, 0, 255)],
    ]);
    let found = runs(&state, TableKind::Files);
    assert_eq!(fences(&found), [vec![6], vec![4], vec![5], vec![1, 2, 3]]);
    assert_eq!(
        found.iter().map(|run| (run.born, run.rows)).collect::<Vec<_>>(),
        [(3, 3), (2, 3), (2, 3), (1, 9)]
    );
    assert_eq!(fences(&runs(&state, TableKind::Hooks)), [vec![9]]);
    assert!(runs(&state, TableKind::Unknown).is_empty());
}

#[test]
fn the_rows_of_a_checkpoint_are_a_run_beside_the_push_it_covers() {
    let mut state = state_of(&[&[], &[]]);
    let push = Push { segments: vec![range(1, 0, 90)], ..inline(RepoId::NIL) };
    state.apply(2, &record(0, &[], Change::Push(push))).expect("it is the next");
    let checkpoint = Checkpoint { covers: 2, segment: Some(range(2, 10, 20)), ..Checkpoint::default() };
    state.apply(3, &record(0, &[], Change::Checkpoint(checkpoint))).expect("it is the next");
    assert_eq!(fences(&runs(&state, TableKind::Files)), [vec![1], vec![2]]);
}

/// A table to which pushes of these sizes come one by one. Gives the most runs a lookup met after a merge, how many rows merges
/// wrote for each row pushed, and how many merges there were.
fn grow(pushes: impl Iterator<Item = u64>) -> (usize, u64, usize) {
    let mut sizes: Vec<u64> = Vec::new();
    let (mut most, mut written, mut pushed, mut merges) = (0, 0, 0, 0);
    for rows in pushes {
        sizes.insert(0, rows);
        pushed += rows;
        let run = |rows: &u64| TableRun { segments: vec![], born: 0, rows: *rows };
        if let Some(count) = due(&sizes.iter().map(run).collect::<Vec<_>>(), MOST_RUNS) {
            assert!(count >= 2);
            let merged: u64 = sizes.drain(..count).sum();
            sizes.insert(0, merged);
            (written, merges) = (written + merged, merges + 1);
        }
        most = most.max(sizes.len());
    }
    assert_eq!(sizes.iter().sum::<u64>(), pushed);
    (most, written / pushed, merges)
}

#[test]
fn runs_stay_few_and_rows_are_written_few_times() {
    let thousands = |count| std::iter::repeat_n(1_000, count);
    assert_eq!(grow(thousands(1_000)), (4, 9, 465));
    assert_eq!(grow(thousands(10_000)), (4, 18, 7_630));
    // A large push first, or at any time later.
    let large = |before| thousands(before).chain([1_000_000]).chain(thousands(300));
    assert_eq!(grow(large(0)).1, 2);
    assert_eq!((0..400).map(|before| grow(large(before)).1).max(), Some(4));
    // Rising and falling sizes.
    assert_eq!(grow((1..450).map(|n| n * 10)).1, 7);
    assert_eq!(grow((1..450).rev().map(|n| n * 10)).1, 7);
    assert_eq!(grow([u64::MAX / 2, 1, 1, 1, 1].into_iter()).0, 4);
}

#[test]
fn many_runs_left_by_others_become_few_at_once() {
    let runs: Vec<TableRun<'_>> = (0..100).map(|_| TableRun { segments: vec![], born: 0, rows: 7 }).collect();
    assert_eq!(due(&runs, MOST_RUNS), Some(100));
    assert_eq!(due(&runs[..4], MOST_RUNS), None);
    assert_eq!(due(&[], MOST_RUNS), None);
    assert_eq!(due(&runs[..2], 1), Some(2));
}

/// A segment of hooks of so many chunks, as a table of this shift keeps them.
fn hooks(chunks: u64, shift: u8) -> Segment {
    let at = SegmentRef { table: TableKind::Hooks, rows: chunks >> shift, shift, ..range(1, 0, 255) };
    Segment { at, born: 0, oldest: 0, clean: 0 }
}

/// A table of hooks to which pushes of so many chunks come, each written with the shift that `writer` takes. Gives the most rows there
/// were after a merge, and how many rows merges wrote for each row pushed.
fn grow_hooks(pushes: impl Iterator<Item = u64>, writer: impl Fn(u8) -> u8) -> (u64, u64) {
    let mut table: Vec<Segment> = Vec::new();
    let (mut most, mut written, mut pushed) = (0, 0, 0);
    for chunks in pushes {
        let own = writer(shift(&sample(table.iter().map(|it| &it.at)), chunks));
        table.insert(0, hooks(chunks, own));
        pushed += chunks >> own;
        let run = |segment| TableRun { segments: vec![segment], born: 0, rows: segment.at.rows };
        if let Some(count) = hooks_due(&table.iter().map(run).collect::<Vec<_>>()) {
            let wanted = shift(&sample(table.iter().map(|it| &it.at)), 0);
            let wanted = table[..count].iter().map(|it| it.at.shift).max().expect("some").max(wanted);
            let chunks: u64 = table.drain(..count).map(|it| it.at.rows << it.at.shift).sum();
            table.insert(0, hooks(chunks, wanted));
            written += chunks >> wanted;
        }
        most = most.max(table.iter().map(|it| it.at.rows).sum());
    }
    (most, written / pushed)
}

#[test]
fn a_table_of_hooks_stays_as_large_as_it_should_be() {
    const MIB: u64 = 1 << 20;
    let as_asked = |shift| shift;
    for (chunks, count, rewritten) in [(2 * MIB, 2_000, 9), (MIB / 4, 20_000, 14), (40 * MIB, 100, 1)] {
        let (most, written) = grow_hooks(std::iter::repeat_n(chunks, count), as_asked);
        assert!((MOST_ROWS..=TOO_MANY_ROWS).contains(&most), "{chunks}: {most} rows");
        assert!(written <= rewritten, "{chunks}: rows were written {written} times");
    }
    // A first push of 2^30 chunks is sampled as it is written.
    assert_eq!(grow_hooks([1 << 30].into_iter(), as_asked).0, MOST_ROWS);
    // Somebody samples more than is needed, somebody less.
    for more in [1, 5] {
        let (most, _) = grow_hooks(std::iter::repeat_n(2 * MIB, 1_000), |shift| shift + more);
        assert!(most <= TOO_MANY_ROWS, "{more}: {most} rows");
    }
    let (most, _) = grow_hooks(std::iter::repeat_n(2 * MIB, 1_000), |shift| shift.saturating_sub(2));
    assert!(most <= TOO_MANY_ROWS, "{most} rows");
}

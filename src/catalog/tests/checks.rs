//! Checks that the models do not reach: repos, flags, contradictions, the bounds of the loop.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;

use super::*;
use crate::catalog::change::*;
use crate::catalog::plan::Mark;
use crate::catalog::slot::{Action, Append, Event, NotAnAnswer, PATIENCE};
use crate::catalog::state::Run;
use crate::catalog::{Change, Refusal, Remedy, Rules, State};
use crate::id::StoreId;

/// A log that only began.
fn begun() -> State {
    let mut state = State::default();
    lands(&mut state, &[], Change::Init { store: StoreId::from_bytes([9; 16]) });
    state
}

fn lands(state: &mut State, added: &[u8], change: Change) {
    let record = record(state.head().unwrap_or(0), added, change);
    assert_eq!(state.check(&record), Ok(()));
    state.apply(state.next(), &record).expect("it is the next");
}

fn refused(state: &State, change: Change) -> Refusal {
    state.check(&record(state.head().unwrap_or(0), &[], change)).expect_err("is refused")
}

fn create(n: u8, name: &str) -> Change {
    Change::Repo(RepoChange::Create { repo: repo(n), name: name.into() })
}

fn delete(n: u8) -> Change {
    Change::Repo(RepoChange::Delete { repo: repo(n) })
}

fn undelete(n: u8) -> Change {
    Change::Repo(RepoChange::Undelete { repo: repo(n) })
}

fn drop_of(planned_on: u64, n: u8) -> Change {
    Change::Drop(Drop { planned_on, keys: vec![(oid(1), repo(n))], bundles: vec![] })
}

#[test]
fn a_log_begins_once_and_with_init() {
    let init = Change::Init { store: StoreId::from_bytes([9; 16]) };
    assert!(matches!(refused(&begun(), init), Refusal::Malformed(_)));
    assert!(matches!(refused(&State::default(), Change::Push(push(RepoId::NIL))), Refusal::Malformed(_)));
}

#[test]
fn names_of_live_repos_are_unique() {
    let mut state = begun();
    lands(&mut state, &[], create(1, "weather"));
    assert_eq!(refused(&state, create(2, "weather")), Refusal::NameTaken { name: "weather".into() });
    assert!(matches!(refused(&state, create(1, "other")), Refusal::RepoMoved { .. }));
    lands(&mut state, &[], delete(1));
    lands(&mut state, &[], create(2, "weather"));
    assert_eq!(refused(&state, undelete(1)), Refusal::NameTaken { name: "weather".into() });
    lands(&mut state, &[], Change::Repo(RepoChange::Rename { repo: repo(2), name: "climate".into() }));
    lands(&mut state, &[], undelete(1));
    assert_eq!((state.repo_named("weather"), state.repo_named("climate")), (Some(repo(1)), Some(repo(2))));
}

#[test]
fn a_deleted_repo_takes_no_push_and_comes_back_unless_dropped() {
    let mut state = begun();
    lands(&mut state, &[], create(1, "weather"));
    lands(&mut state, &[], Change::Push(push(repo(1))));
    lands(&mut state, &[], delete(1));
    assert_eq!(refused(&state, Change::Push(push(repo(1)))), Refusal::RepoDeleted { repo: repo(1) });
    lands(&mut state, &[], Change::Push(push(RepoId::NIL)));
    let planned_on = state.head().expect("begun");
    lands(&mut state, &[], undelete(1));
    assert!(matches!(refused(&state, drop_of(planned_on, 1)), Refusal::RepoMoved { .. }), "undeleted since");
    lands(&mut state, &[], delete(1));
    let planned_on = state.head().expect("begun");
    lands(&mut state, &[], drop_of(planned_on, 1));
    assert!(matches!(refused(&state, undelete(1)), Refusal::RepoMoved { .. }), "dropped since");
}

#[test]
fn labels_keep_their_bundles_until_their_repo_is_deleted() {
    let mut state = begun();
    lands(&mut state, &[], create(1, "weather"));
    let made = BundleRef { repo: repo(1), ..bundle_on(7, None, 11) };
    lands(&mut state, &[11], Change::Push(Push { bundles: vec![made], ..push(repo(1)) }));
    let name = "reviewed".to_owned();
    let label = Label { repo: repo(1), name, bundle: Some(bundle(7)), previous: None };
    lands(&mut state, &[], Change::Label(label));
    let gone = |state: &State| {
        let planned_on = state.head().expect("begun");
        Change::Drop(Drop { planned_on, keys: vec![], bundles: vec![bundle(7)] })
    };
    assert!(matches!(refused(&state, gone(&state)), Refusal::Labelled { .. }));
    lands(&mut state, &[], delete(1));
    let change = gone(&state);
    lands(&mut state, &[], change);
    // What the label led to is gone, so the repo stays away.
    assert!(matches!(refused(&state, undelete(1)), Refusal::RepoMoved { .. }));
}

#[test]
fn who_does_not_understand_the_log_may_only_push() {
    let mut state = begun();
    let mut flagged = record(0, &[], Change::Push(push(RepoId::NIL)));
    flagged.flags = vec!["sampled".into()];
    let flagged = ChangeRecord::decode(&flagged.encode()).expect("decodes");
    state.apply(1, &flagged).expect("it is the next");
    assert_eq!(state.unknown(), Some(1));
    lands(&mut state, &[], Change::Push(push(RepoId::NIL)));
    let forbidden = [
        Change::Compact(Compact::default()),
        drop_of(1, 1),
        Change::Condemn(Condemn::default()),
        Change::Forget(Forget::default()),
        Change::Checkpoint(Checkpoint::default()),
    ];
    for change in forbidden {
        assert_eq!(refused(&state, change).remedy(), Remedy::Upgrade);
    }
    let mut must = flagged;
    must.must_understand = true;
    state.apply(3, &must).expect("it is the next");
    assert_eq!(refused(&state, Change::Push(push(RepoId::NIL))), Refusal::Upgrade { seq: 3 });
}

#[test]
fn contradictions_are_refused() {
    let mut state = begun();
    lands(&mut state, &[1, 3], Change::Push(Push { segments: vec![segment(3)], ..inline(RepoId::NIL) }));
    let forward = Forward { from: pack(1), offset: 0, stored: 10, to: pack(2), at: 0 };
    let backwards = SegmentRef { first: Prefix::MAX, last: Prefix::MIN, ..segment(5) };
    let wrong = [
        Change::Push(Push { segments: vec![segment(3)], ..push(RepoId::NIL) }),
        Change::Push(Push { bundles: vec![bundle_on(1, None, 3)], ..push(RepoId::NIL) }),
        Change::Compact(Compact { forwards: vec![forward], ..Compact::default() }),
        Change::Condemn(Condemn { mark: 2, packs: vec![] }),
        Change::Forget(Forget { floor: 2, ..Forget::default() }),
        Change::Checkpoint(Checkpoint { covers: 1, ..Checkpoint::default() }),
        drop_of(2, 1),
        Change::Unknown,
    ];
    for change in wrong {
        assert!(matches!(refused(&state, change.clone()), Refusal::Malformed(_)), "{change:?}");
    }
    for segment in [backwards, SegmentRef { shift: 1, ..segment(5) }] {
        let wrong = record(1, &[5], Change::Push(Push { segments: vec![segment], ..push(RepoId::NIL) }));
        assert!(matches!(state.check(&wrong), Err(Refusal::Malformed(_))));
    }
    let twice = record(1, &[3], Change::Push(push(RepoId::NIL)));
    assert_eq!(state.check(&twice), Err(Refusal::PackTwice { pack: pack(3) }));
    let ahead = record(2, &[], Change::Push(push(RepoId::NIL)));
    assert!(matches!(state.check(&ahead), Err(Refusal::Malformed(_))));
}

#[test]
fn a_drop_goes_when_no_segment_can_hold_what_it_killed() {
    let mut state = begun();
    lands(&mut state, &[3], Change::Push(Push { segments: vec![segment(3)], ..push(RepoId::NIL) }));
    lands(&mut state, &[], drop_of(1, 0));
    lands(&mut state, &[5], Change::Push(Push { segments: vec![segment(5)], ..push(RepoId::NIL) }));
    assert!(!state.is_live(oid(1), repo(0), 1) && state.is_live(oid(1), repo(0), 2));
    let compact = |outs: &[u8], to| {
        let outs = outs.iter().map(|n| frame(*n)).collect();
        Change::Compact(Compact { outs, segments: vec![segment(to)], ..Compact::default() })
    };
    // A merge that was planned before the Drop still holds the dead row.
    let early = record(1, &[7], compact(&[3], 7));
    assert_eq!(state.check(&early), Ok(()));
    state.apply(state.next(), &early).expect("it is the next");
    assert_eq!(state.drops().len(), 1);
    lands(&mut state, &[9], compact(&[7, 5], 9));
    assert!(state.drops().is_empty());
}

#[test]
fn forwards_are_followed_by_range_to_the_end() {
    let mut state = begun();
    let forward =
        |from, offset, stored, to, at| Forward { from: pack(from), offset, stored, to: pack(to), at };
    let compact = |forwards| Change::Compact(Compact { forwards, ..Compact::default() });
    lands(&mut state, &[2], Change::Push(push(RepoId::NIL)));
    lands(&mut state, &[4], compact(vec![forward(2, 500, 100, 4, 300), forward(2, 100, 200, 4, 16)]));
    lands(&mut state, &[6], compact(vec![forward(4, 16, 150, 6, 1000)]));
    let run = |n, offset, stored| Run { pack: pack(n), offset, stored };
    assert_eq!(state.places(run(2, 120, 30)), [run(2, 120, 30), run(4, 36, 30), run(6, 1020, 30)]);
    assert_eq!(state.end(run(2, 250, 50)), run(4, 166, 50), "the second forward does not cover it");
    assert_eq!(state.end(run(2, 500, 100)), run(4, 300, 100));
    for uncovered in
        [run(2, 99, 10), run(2, 290, 20), run(2, 400, 10), run(2, u64::MAX, 5), run(2, 110, u64::MAX)]
    {
        assert_eq!(state.end(uncovered), uncovered);
    }
}

#[test]
fn the_loop_ends_without_a_clear_answer() {
    let mut append = Append::resume(Rules::ALL, 5, vec![1]);
    let mut steps = 0;
    while append.action() != Action::OutcomeUnknown(5) {
        let event = match append.action() {
            Action::ReadSlot(5) => Event::Missing,
            Action::Create { slot: 5, bytes } if bytes == [1] => Event::Exists,
            other => panic!("{other:?}"),
        };
        append.step(event).expect("an answer");
        steps += 1;
    }
    assert!(steps <= 2 * PATIENCE);
}

#[test]
fn the_loop_goes_on_from_the_entry_that_took_the_slot() {
    let mut append = Append::new(Rules::ALL, 5);
    assert_eq!(append.action(), Action::ReadPrev(4));
    assert_eq!(append.step(Event::Created), Err(NotAnAnswer));
    assert_eq!(append.step(Event::Read(vec![4])), Ok(Action::Check { slot: 5, prev: vec![4] }));
    assert_eq!(append.step(Event::Built(vec![50])), Ok(Action::Create { slot: 5, bytes: vec![50] }));
    assert_eq!(append.step(Event::Unclear), Ok(Action::ReadSlot(5)));
    assert_eq!(append.step(Event::Read(vec![51])), Ok(Action::Check { slot: 6, prev: vec![51] }));
    assert_eq!(append.step(Event::Built(vec![60])), Ok(Action::Create { slot: 6, bytes: vec![60] }));
    assert_eq!(append.step(Event::Created), Ok(Action::Done(6)));
    assert_eq!(append.step(Event::Created), Err(NotAnAnswer));
    assert_eq!(append.action(), Action::Done(6));
    let mut holed = Append::new(Rules::ALL, 5);
    assert_eq!(holed.step(Event::Missing), Ok(Action::Damaged(4)));
}

#[test]
fn labels_move_with_a_push_once_and_from_where_they_were() {
    let mut state = begun();
    let label = |n: u8, previous| Label {
        repo: RepoId::NIL,
        name: "branch:default".into(),
        bundle: Some(bundle(n)),
        previous,
    };
    let pushed = |bundles: Vec<BundleRef>, labels: Vec<Label>| {
        Change::Push(Push { bundles, labels, ..push(RepoId::NIL) })
    };
    lands(&mut state, &[3], pushed(vec![bundle_on(1, None, 3)], vec![label(1, None)]));
    assert_eq!(
        state.label(RepoId::NIL, "branch:default").map(|at| (at.bundle, at.seq)),
        Some((Some(bundle(1)), 1))
    );
    assert!(matches!(refused(&state, pushed(vec![], vec![label(1, None)])), Refusal::LabelMoved { .. }));
    assert!(matches!(
        refused(&state, pushed(vec![], vec![label(2, Some(1))])),
        Refusal::BundleUnknown { .. }
    ));
    assert!(matches!(refused(&state, pushed(vec![], vec![label(1, Some(1)); 2])), Refusal::Malformed(_)));
    let elsewhere = Label { repo: repo(1), ..label(1, None) };
    assert!(matches!(refused(&state, pushed(vec![], vec![elsewhere])), Refusal::BundleUnknown { .. }));
    lands(&mut state, &[], pushed(vec![], vec![label(1, Some(1))]));
    assert_eq!(state.label(RepoId::NIL, "branch:default").map(|at| at.seq), Some(2));
    let drop = Change::Drop(Drop { planned_on: 2, keys: vec![], bundles: vec![bundle(1)] });
    assert!(matches!(refused(&state, drop), Refusal::Labelled { .. }), "what it leads to is kept");
}

/// A version in pack 3, and one on its pages.
fn two_versions() -> State {
    let mut state = begun();
    let made = |n, base| Push { bundles: vec![bundle_on(n, base, n)], ..push(RepoId::NIL) };
    lands(&mut state, &[3], Change::Push(made(3, None)));
    lands(&mut state, &[5], Change::Push(made(5, Some(3))));
    state
}

/// Version 3 under the root in pack 7, planned on an entry.
fn redact(planned_on: u64) -> ChangeRecord {
    let bundles = vec![Revision { bundle: bundle(3), from: frame(3), to: frame(7) }];
    let paths = vec![ByteBuf::from(b"secret".to_vec())];
    let change = Redact { repo: RepoId::NIL, planned_on, paths, bundles, keys: vec![oid(1)] };
    let mut record = record(planned_on, &[7], Change::Redact(change));
    record.must_understand = true;
    record
}

#[test]
fn a_version_without_a_file_keeps_its_id_and_its_pages_are_shared_by_nobody_who_read_it_before() {
    let mut state = two_versions();
    assert_eq!(state.check(&redact(2)), Ok(()));
    state.apply(3, &redact(2)).expect("it is the next");
    let known = &state.bundles()[&bundle(3)];
    assert_eq!((known.root, known.seq, known.revised), (frame(7), 1, 3));
    assert!(!state.is_live(oid(1), RepoId::NIL, 2) && state.is_live(oid(1), RepoId::NIL, 3));
    let on = |n, base, began| {
        record(
            began,
            &[n],
            Change::Push(Push { bundles: vec![bundle_on(n, Some(base), n)], ..push(RepoId::NIL) }),
        )
    };
    let refused = state.check(&on(9, 3, 2)).expect_err("it read the pages that were there before");
    assert_eq!((&refused, refused.remedy()), (&Refusal::BaseRevised { bundle: bundle(3) }, Remedy::Restart));
    assert_eq!(state.check(&on(9, 3, 3)), Ok(()));
    assert_eq!(state.check(&on(9, 5, 2)), Ok(()), "the other version is what it was");
    let mut again = redact(2);
    (again.base, again.added, again.named) = (3, vec![], vec![pack(7)]);
    assert_eq!(state.check(&again), Err(Refusal::BaseRevised { bundle: bundle(3) }), "it has another root");
}

#[test]
fn a_redaction_lands_only_where_every_version_was_looked_at() {
    let state = two_versions();
    assert_eq!(state.check(&redact(1)), Err(Refusal::Overtaken { seq: 2 }));
    let mut passed_over = redact(2);
    passed_over.must_understand = false;
    assert!(matches!(state.check(&passed_over), Err(Refusal::Malformed(_))));
    let mut gone = redact(2);
    let Change::Redact(change) = &mut gone.change else { unreachable!("a redaction") };
    change.bundles[0].bundle = bundle(8);
    assert!(matches!(state.check(&gone), Err(Refusal::BundleUnknown { .. })));
    let mut unnamed = redact(2);
    unnamed.added.clear();
    assert!(matches!(state.check(&unnamed), Err(Refusal::Malformed(_))));
}

#[test]
fn whoever_does_not_know_redactions_stops_writing_at_them_and_at_checkpoints_over_them() {
    let mut state = two_versions();
    state.apply(3, &redact(2)).expect("it is the next");
    let checkpoint = |flags: &[&str], covers| {
        let mut record = record(3, &[11], Change::Checkpoint(Checkpoint { covers, ..Checkpoint::default() }));
        record.flags = flags.iter().map(|it| (*it).to_owned()).collect();
        record.must_understand = !flags.is_empty();
        record
    };
    assert_eq!(state.check(&checkpoint(&[REVISED], 3)), Ok(()));
    assert!(matches!(state.check(&checkpoint(&[], 3)), Err(Refusal::Malformed(_))));
    // What is not covered is still told by the change itself.
    assert_eq!(state.check(&checkpoint(&[], 2)), Ok(()));
    for told in [redact(2), checkpoint(&[REVISED], 3)] {
        let read = ChangeRecord::decode(&told.encode()).expect("decodes");
        assert_eq!((read.is_unknown(), &read), (false, &told));
    }
    assert!(
        ChangeRecord::decode(&checkpoint(&[REVISED, "other"], 3).encode()).expect("decodes").is_unknown()
    );
}

#[test]
fn who_names_a_pack_that_was_copied_keeps_the_copy_too() {
    let mut state = begun();
    lands(&mut state, &[2], Change::Push(push(RepoId::NIL)));
    let forward = Forward { from: pack(2), offset: 16, stored: 100, to: pack(4), at: 16 };
    lands(&mut state, &[4], Change::Compact(Compact { forwards: vec![forward], ..Compact::default() }));
    let mark = Mark::take(&state, &BTreeSet::new(), &BTreeSet::new());
    assert_eq!(mark.victims, BTreeSet::from([pack(2), pack(4)]));
    // Its session began before the copy was made, and readers of what it says go to the copy.
    let mut late = record(1, &[], Change::Push(push(RepoId::NIL)));
    late.named = vec![pack(2)];
    assert_eq!(state.check(&late), Ok(()));
    state.apply(3, &late).expect("it is the next");
    assert_eq!(mark.condemn(&state, &[(3, late)]), Ok(BTreeSet::new()));
}

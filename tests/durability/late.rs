//! Answers that come too late: what a push had made was collected as garbage before it tries again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use datamon::id::PackId;
use datamon::store::fail::{Failing, Fault, Plan, Request, Verb};
use datamon::store::{Store, memory};

use super::collection::{AT_ONCE, Dropped, collected, packs};
use super::world::{Machine, fresh, push, store};

/// One request fails, and before its answer comes another machine collects with no wait at all.
#[derive(Debug)]
struct TooLate {
    fault: Fault,
    at: u64,
    came: AtomicU64,
    store: Store,
    /// What the request had made, if that was taken for garbage.
    taken: Mutex<Option<String>>,
}

impl Plan for TooLate {
    fn fate(&self, _: &Request<'_>) -> Option<Fault> {
        (self.came.fetch_add(1, SeqCst) == self.at).then_some(self.fault)
    }

    fn hit(&self, request: &Request<'_>, _: Fault) {
        let is_there = || self.store.size(request.key).expect("a size").is_some();
        let made = request.verb == Verb::Create && is_there();
        collected(&self.store, AT_ONCE).expect("collected");
        if made && !is_there() {
            *self.taken.lock().expect("no panic") = Some(request.key.to_owned());
        }
    }
}

/// A push whose request number `at` is answered too late. How many there were, and whether a pack was taken and made again.
fn late_push(fault: Fault, at: u64) -> (u64, bool) {
    let backend = memory();
    let whole = store(backend.clone());
    let world = Dropped::begin(&whole);
    let plan = Arc::new(TooLate { fault, at, came: 0.into(), store: whole.clone(), taken: Mutex::default() });
    let slow = store(Arc::new(Failing::planned(backend, plan.clone())));
    let machine = Machine::new();
    let promised = [world.new, world.kept[0], world.gone[0]];
    let begin = || machine.open(&slow).or_else(|_| machine.open(&slow)).expect("opens, the second time");
    let mut catalog = begin();
    world.drop_some(&whole);
    let context = format!("{fault:?} at request {at}, answered after a collection");
    // Its retries may be used up: then it is done again.
    let mut pushed = push(&mut catalog, &world.shelf.files(&promised));
    if pushed.is_err() {
        pushed = push(&mut begin(), &world.shelf.files(&promised));
    }
    let pushed = pushed.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(pushed.receipt.oids.len(), 3, "{context}");
    let taken = plan.taken.lock().expect("no panic").clone();
    let again = taken.is_some_and(|key| whole.size(&key).expect("a size").is_some());
    world.check(&whole, &promised, &context);
    // What was made again is named by nothing: it goes once more.
    for _ in 0..3 {
        collected(&whole, AT_ONCE).expect("collected");
    }
    let table: BTreeSet<PackId> = fresh(&whole).expect("opens").state().packs().keys().copied().collect();
    assert_eq!(packs(&whole), table, "{context}: the store has what the log knows");
    world.check(&whole, &promised, &format!("{context}, collected again"));
    (plan.came.load(SeqCst), again)
}

/// R8, R16: a create is met again with the same bytes, also where what the first one made was deleted. No entry can name it then.
#[test]
fn a_push_that_makes_again_what_was_collected_as_an_orphan_keeps_its_promise() {
    let (reached, _) = late_push(Fault::Before, u64::MAX);
    assert!(reached > 10, "{reached} requests");
    let mut again = 0;
    for fault in [Fault::Before, Fault::After, Fault::LostAnswer] {
        again += (0..reached).filter(|at| late_push(fault, *at).1).count();
    }
    assert!(again > 0, "no pack was made again");
}

//! Collection in real buckets: what is deleted is gone, what is dated is dated by the server.

use std::time::Duration;

use datamon::ops::collection::Limits;
use datamon::store::{Store, key};

use crate::durability::collection::{AT_ONCE, Dropped, collected, packs};

fn collects(store: &Store) {
    let world = Dropped::with(store);
    let made = store.modified(key::STORE).expect("asked").expect("there");
    let now = store.clock().expect("asked");
    // A header of HTTP has whole seconds.
    assert!(made > 0 && now + 1000 >= made, "{made} is after {now}");
    assert_eq!(store.modified("data/00/nothing").expect("asked"), None);
    let limits = Limits { orphans: Duration::ZERO, ..Limits::default() };
    let first = collected(store, limits).expect("collected");
    assert_eq!((first.deleted.count, first.waiting), (0, first.condemned), "{first:?}");
    assert!(first.condemned.count >= 4, "{first:?}");
    world.push_new(store);
    let before = packs(store).len();
    let second = collected(store, AT_ONCE).expect("collected");
    assert_eq!(second.deleted.count as usize, before - packs(store).len());
    assert!(second.deleted.count >= first.condemned.count, "{second:?}");
    world.check(store, &[world.new], "collected");
    world.settle(store, "collected");
}

#[test]
fn s3() {
    collects(&super::s3());
}

#[test]
fn azure() {
    collects(&super::azure());
}

//! Bad weather: throttling, failures now and then, connections that end. Nothing of it is the user's business.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use datamon::cache::Cache;
use datamon::catalog::{Catalog, Journal};
use datamon::id::Oid;
use datamon::store::Store;
use datamon_test_support::{BucketServer, Request, refusal, seeded_bytes};

use super::store;
use crate::durability::world::{Shelf, push};

fn open(server: &BucketServer) -> Store {
    store("s3://bucket/x", &[("endpoint", &server.url()), ("anonymous", "true")]).without_waits()
}

/// Pushes and reads back forty files, and counts the requests.
fn there_and_back(server: &BucketServer) -> usize {
    let store = open(server);
    let mut shelf = Shelf::new();
    let oids: Vec<Oid> = (0..40).map(|n| shelf.put(&seeded_bytes(n, 200_000))).collect();
    drop(Catalog::create(store.clone(), Cache::none(), Journal::none()).expect("made"));
    for part in oids.chunks(4) {
        let mut catalog = Catalog::open(store.clone(), Cache::none(), Journal::none()).expect("opens");
        push(&mut catalog, &shelf.files(part)).expect("pushed");
    }
    let mut catalog = Catalog::open(store, Cache::none(), Journal::none()).expect("opens");
    shelf.assert_download(&mut catalog, &oids, "all");
    server.seen().len()
}

/// A rule that fails every `n`th request, of those that `which` says.
fn every(
    n: u64,
    which: fn(&Request) -> bool,
) -> impl Fn(&Request) -> Option<datamon_test_support::Reply> + Send + Sync {
    let seen = AtomicU64::new(0);
    move |request| {
        let at = if which(request) { seen.fetch_add(1, SeqCst) + 1 } else { 0 };
        (at > 0 && at % n == 0)
            .then(|| if at % 2 == 0 { refusal(503, "SlowDown") } else { refusal(500, "InternalError") })
    }
}

#[test]
fn failures_now_and_then_are_not_seen() {
    let calm = there_and_back(&BucketServer::start());
    for n in [7, 31, 100] {
        let server = BucketServer::start();
        server.answers_first(every(n, |_| true));
        let asked = there_and_back(&server);
        assert!(asked * 2 <= calm * 3, "every {n}th failed: {asked} requests instead of {calm}");
    }
    let server = BucketServer::start();
    server.answers_first(every(2, |request| request.method == "PUT"));
    there_and_back(&server);
}

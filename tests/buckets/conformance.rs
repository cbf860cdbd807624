//! One suite for every backend: what the layers above believe of a store.

use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use datamon::cache::Cache;
use datamon::catalog::{Catalog, Journal};
use datamon::id::{Oid, PackId, PackKind};
use datamon::store::fail::{Failing, Fault};
use datamon::store::{Counts, Create, Store, StoreUrl, key, memory};
use datamon_test_support::{BucketServer, seeded_bytes};

use super::{azure, s3, somewhere, store};
use crate::durability::world::{Shelf, push};

fn in_memory() -> Store {
    Store::over(StoreUrl::parse("memory:conformance").expect("a URL"), memory())
}

/// A missing object is missing for every verb; a written one is whole, in ranges too, until it is deleted.
fn objects_are_what_was_written(store: &Store) {
    let (name, bytes) = (key::pack(PackKind::Data, PackId::new()), Bytes::from(seeded_bytes(1, 100_000)));
    assert_eq!(store.get(&name).expect("asked"), None);
    assert_eq!(store.size(&name).expect("asked"), None);
    store.delete(&name).expect("nothing there is fine");
    store.create_own(&name, bytes.clone().into()).expect("written");
    assert_eq!(store.get(&name).expect("read").as_ref(), Some(&bytes), "seen at once, also after a miss");
    assert_eq!(store.size(&name).expect("asked"), Some(100_000));
    for range in [0..1, 0..100_000, 99_999..100_000, 777..9_999] {
        let got = store.get_range(&name, range.clone()).expect("read");
        assert_eq!(got, bytes.slice(range.start as usize..range.end as usize), "{range:?}");
    }
    assert!(store.get_range(&name, 99_000..100_001).is_err(), "less than was asked for is no answer");
    assert!(store.get_range(&name, 100_000..100_001).is_err());
    store.overwrite(key::HEAD, Bytes::from_static(b"one").into()).expect("written");
    store.overwrite(key::HEAD, Bytes::from_static(b"three").into()).expect("written");
    assert_eq!(store.get(key::HEAD).expect("read").as_deref(), Some(&b"three"[..]));
    store.create_own("empty", Bytes::new().into()).expect("written");
    assert_eq!(store.get("empty").expect("read").as_deref(), Some(&b""[..]));
    for name in [name.as_str(), key::HEAD, "empty"] {
        store.delete(name).expect("deleted");
        assert_eq!(store.get(name).expect("asked"), None);
    }
}

/// Of many who create one name one does, and everybody reads its bytes.
fn one_of_many_creates(store: &Store) {
    for round in 0..3 {
        let name = key::log(round);
        let created = thread::scope(|scope| {
            let create = |n: u8| {
                let name = &name;
                scope.spawn(move || {
                    store.create_once(name, Bytes::from(vec![n; 1000]).into()).map(|it| (n, it))
                })
            };
            let all: Vec<_> = (0..8).map(create).collect();
            all.into_iter().map(|it| it.join().expect("no panic").expect("an answer")).collect::<Vec<_>>()
        });
        let winners: Vec<u8> =
            created.iter().filter(|(_, it)| *it == Create::Created).map(|(n, _)| *n).collect();
        assert_eq!(winners.len(), 1, "{created:?}");
        assert_eq!(store.get(&name).expect("read").expect("there"), vec![winners[0]; 1000]);
    }
    (0..3).for_each(|round| store.delete(&key::log(round)).expect("deleted"));
}

/// A listing is whole and in order, over more than one page where `many` says so.
fn listings_are_whole(store: &Store, many: u64) {
    assert_eq!(store.list("", "").expect("listed"), []);
    thread::scope(|scope| {
        for part in 0..8 {
            scope.spawn(move || {
                for n in (0..many).filter(|n| n % 8 == part) {
                    store.create_own(&key::log(n), Bytes::from_static(b"xyz").into()).expect("written");
                }
            });
        }
    });
    store.create_own("logs", Bytes::new().into()).expect("written");
    store.create_own("data/00/x", Bytes::new().into()).expect("written");
    let names = |listed: Vec<datamon::store::Listed>| {
        let mut names: Vec<String> = listed.into_iter().map(|it| it.key).collect();
        // Directories list as they like.
        names.sort();
        names
    };
    let all: Vec<String> = (0..many).map(key::log).collect();
    assert_eq!(names(store.list(key::LOG, "").expect("listed")), all);
    assert_eq!(names(store.list(key::LOG, &key::log(many - 3)).expect("listed")), all[all.len() - 2..]);
    assert_eq!(names(store.list("", "").expect("listed")).len() as u64, many + 2);
    assert!(store.list(key::LOG, "").expect("listed").iter().all(|it| it.size == 3));
    if let Some(first) = store.list_first(key::LOG, &key::log(1)).expect("listed") {
        assert_eq!(names(first), all[2..all.len().min(1002)]);
    }
}

/// What a push, an open and a download ask, which must not depend on where.
fn budget(store: &Store) -> Vec<Counts> {
    let mut shelf = Shelf::new();
    let oids: Vec<Oid> = (0..40).map(|n| shelf.put(&seeded_bytes(n, 20_000))).collect();
    let machine = tempfile::tempdir().expect("a temporary directory");
    let open = || Catalog::open(store.clone(), Cache::at(machine.path().join("cache")), Journal::none());
    store.probe().expect("keeps its promises");
    let mut counts = vec![];
    let mut measure = |work: &mut dyn FnMut()| {
        let before = store.requests();
        work();
        let asked = store.requests().since(before);
        // How many bytes an entry takes depends on the time that stands in it.
        counts.push(Counts { read: 0, written: 0, ..asked });
    };
    measure(&mut || {
        drop(Catalog::create(store.clone(), Cache::none(), Journal::none()).expect("made"));
    });
    measure(&mut || drop(push(&mut open().expect("opens"), &shelf.files(&oids)).expect("pushed")));
    measure(&mut || drop(push(&mut open().expect("opens"), &shelf.files(&oids)).expect("pushed")));
    measure(&mut || shelf.assert_download(&mut open().expect("opens"), &oids, "all"));
    counts
}

fn conforms(new: impl Fn() -> Store, many: u64) {
    objects_are_what_was_written(&new());
    one_of_many_creates(&new());
    listings_are_whole(&new(), many);
    let store = new();
    let here = budget(&store);
    let searches = |counts: Vec<Counts>| -> Vec<Counts> {
        // Where a listing costs one request it takes the place of the search, and the search of the place of the listing.
        counts.into_iter().map(|it| Counts { list: 0, head: 0, ..it }).collect()
    };
    assert_eq!(searches(here), searches(budget(&in_memory())), "requests");
    assert_eq!(store.requests().again, 0, "nothing had to be tried again");
}

#[test]
fn memory_conforms() {
    conforms(in_memory, 1_500);
}

#[test]
fn a_directory_conforms() {
    let folders = tempfile::tempdir().expect("a temporary directory");
    let new = || {
        let folder = folders.path().join(datamon::id::Nonce::new().to_string());
        std::fs::create_dir(&folder).expect("a new name");
        Store::open(&StoreUrl::of_directory(&folder).expect("absolute")).expect("opens")
    };
    conforms(new, 1_500);
}

#[test]
fn s3_conforms() {
    // The server takes some 200 small objects a second.
    conforms(s3, 1_050);
}

#[test]
fn azure_conforms() {
    // Its pages hold five thousand.
    conforms(azure, 300);
}

/// The double is no proof that Google's servers do so; it is one that we ask in Google's protocol, and hear the answers.
#[test]
fn the_double_of_google_conforms() {
    let server = BucketServer::start();
    conforms(|| store(&somewhere("gs"), &[("endpoint", &server.url()), ("anonymous", "true")]), 1_500);
    let seen = server.seen();
    let creates = seen.iter().filter(|it| it.header("x-goog-if-generation-match") == Some("0")).count();
    assert!(creates > 1_500, "{creates} creates in Google's words");
}

#[test]
fn a_store_that_could_fail_conforms() {
    conforms(
        || {
            let failing = Failing::new(memory(), Fault::Before, u64::MAX);
            Store::over(StoreUrl::parse("memory:conformance").expect("a URL"), Arc::new(failing))
        },
        1_500,
    );
}

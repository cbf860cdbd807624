//! The transfer engine over a link that is counted and cut: what a push costs then, and what one that died leaves to the next.

use datamon::catalog::Catalog;
use datamon::id::Oid;
use datamon::store::{Store, key};
use datamon_test_support::{BucketServer, Cut, Link, Reply, Weather, refusal, seeded_bytes};

use super::store;
use crate::durability::world::{Machine, Shelf, fresh, push};

/// Of a pack, here: small, so that little data is many packs.
const PACK: u64 = 256 << 10;

fn open(url: &str) -> Store {
    let store = store("s3://bucket/x", &[("endpoint", url), ("anonymous", "true")]);
    store.without_waits().with_packs_of(PACK)
}

/// Files of 10 MiB in all.
fn files(shelf: &mut Shelf) -> (Vec<Oid>, u64) {
    let sizes = [6 << 20, 3 << 20, 1 << 20];
    let put = |(seed, size): (u64, &usize)| shelf.put(&seeded_bytes(seed, *size));
    ((0..).zip(&sizes).map(put).collect(), sizes.iter().sum::<usize>() as u64)
}

fn puts(server: &BucketServer) -> Vec<String> {
    let seen = server.seen().into_iter().filter(|it| it.method == "PUT");
    seen.map(|it| it.path).filter(|path| path.contains("/data/")).collect()
}

/// As many bytes pass between two cuts as a link of 1 MB/s carries in 30 seconds, in packs: fifteen of two seconds.
#[test]
fn a_link_that_is_cut_again_and_again_costs_a_tenth_at_most() {
    let (server, machine, mut shelf) = (BucketServer::start(), Machine::new(), Shelf::new());
    let (oids, bytes) = files(&mut shelf);
    drop(machine.create(&open(&server.url())).expect("made"));
    let link = Link::to(server.port(), Weather { cut: Cut::Bytes(15 * PACK), ..Weather::default() });
    let mut catalog = machine.open(&open(&link.url())).expect("opens");
    push(&mut catalog, &shelf.files(&oids)).expect("pushed");
    assert!(link.cuts() >= 2, "{} cuts", link.cuts());
    assert!(link.up() * 10 <= bytes * 11, "{} bytes for {bytes}", link.up());
    shelf.assert_download(&mut fresh(&open(&server.url())).expect("opens"), &oids, "after the cuts");
}

/// Lets so many packs in and no other one.
fn close_after(server: &BucketServer, packs: usize) {
    let seen = std::sync::atomic::AtomicUsize::new(0);
    server.answers_first(move |request| -> Option<Reply> {
        let is_pack = request.method == "PUT" && request.path.contains("/data/");
        let over = is_pack && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= packs;
        over.then(|| refusal(403, "AccessDenied"))
    });
}

/// A push that dies after 20 packs of some 40; gives what landed.
fn die(server: &BucketServer, machine: &Machine, shelf: &Shelf, oids: &[Oid]) -> Vec<String> {
    close_after(server, 20);
    let mut catalog = machine.open(&open(&server.url())).expect("opens");
    push(&mut catalog, &shelf.files(oids)).expect_err("it is refused");
    server.answers_first(|_| None);
    let landed = open(&server.url()).list(key::DATA, "").expect("lists");
    assert_eq!(landed.len(), 20);
    assert!(
        catalog
            .state()
            .packs()
            .keys()
            .all(|pack| !landed.iter().any(|it| it.key.contains(&pack.to_string())))
    );
    landed.into_iter().map(|it| it.key).collect()
}

#[test]
fn what_landed_before_a_push_died_is_not_sent_again() {
    let (server, machine, mut shelf) = (BucketServer::start(), Machine::new(), Shelf::new());
    let (oids, bytes) = files(&mut shelf);
    drop(machine.create(&open(&server.url())).expect("made"));
    let landed = die(&server, &machine, &shelf, &oids);
    // Its caches may be lost meanwhile: the footers are read from the store then.
    machine.chill(&open(&server.url()));
    let link = Link::to(server.port(), Weather::default());
    let before = puts(&server).len();
    let mut catalog = machine.open(&open(&link.url())).expect("opens");
    let base = catalog.head().seq();
    push(&mut catalog, &shelf.files(&oids)).expect("pushed");
    assert!(link.up() < bytes * 6 / 10, "{} bytes for the rest of {bytes}", link.up());
    assert!(puts(&server).len() - before <= 22, "the other half");
    let named: Vec<String> = catalog.state().packs().iter().map(|(id, it)| key::pack(it.kind, *id)).collect();
    assert!(landed.iter().all(|key| named.contains(key)), "each pack that landed is in the entry");
    assert_eq!(catalog.head().seq(), base + 2, "the repo and one push");
    assert!(machine.stranded(&open(&server.url())).is_empty(), "nothing is left to take over");
    shelf.assert_download(&mut fresh(&open(&server.url())).expect("opens"), &oids, "of both pushes");
}

#[test]
fn what_somebody_removed_meanwhile_is_sent_again() {
    let (server, machine, mut shelf) = (BucketServer::start(), Machine::new(), Shelf::new());
    let (oids, _) = files(&mut shelf);
    let store = open(&server.url());
    drop(machine.create(&store).expect("made"));
    let landed = die(&server, &machine, &shelf, &oids);
    // Its footer is kept here still, and says nothing about the store.
    for key in &landed[..3] {
        store.delete(key).expect("deleted");
    }
    push(&mut machine.open(&store).expect("opens"), &shelf.files(&oids)).expect("pushed");
    shelf.assert_download(&mut fresh(&store).expect("opens"), &oids, "with new packs");
    crate::durability::world::assert_packs(&store);
}

#[test]
fn what_is_torn_or_of_a_session_that_lives_is_not_taken_over() {
    let (server, machine, mut shelf) = (BucketServer::start(), Machine::new(), Shelf::new());
    let (oids, _) = files(&mut shelf);
    let store = open(&server.url());
    drop(machine.create(&store).expect("made"));
    die(&server, &machine, &shelf, &oids);
    let left = machine.stranded(&store);
    let [file] = &left[..] else { panic!("one session was left: {left:?}") };
    let whole = std::fs::read(file).expect("readable");
    let count = |catalog: &Catalog| {
        let mut stranded = catalog.stranded();
        catalog.stranded_footers(&mut stranded).len()
    };
    let catalog = machine.open(&store).expect("opens");
    assert_eq!(count(&catalog), 20);
    std::fs::write(file, &whole[..whole.len() - 1]).expect("writable");
    assert_eq!(count(&catalog), 19, "a torn line");
    let mut flipped = whole.clone();
    flipped[20] ^= 1;
    std::fs::write(file, &flipped).expect("writable");
    assert_eq!(count(&catalog), 19, "a damaged line");
    std::fs::write(file, &whole).expect("writable");
    let held = std::fs::File::open(file).expect("readable");
    held.try_lock().expect("nobody else's");
    assert_eq!(count(&catalog), 0, "its session may live");
    drop(held);
}

//! Many bundles and labels in one store: a name leads to its bundle in as few requests as ever.
//!
//! The bundles are made up, but for one; log, checkpoints, labels and lookups are the real ones.

use std::time::Instant;

use datamon::catalog::Catalog;
use datamon::catalog::change::{BundleRef, Change, Push};
use datamon::id::{BundleId, GitId, PackId, PackKind};
use datamon::ops::bundle::{Name, find};
use datamon::ops::label;
use datamon::pack::{Blob, PackInfo};
use datamon::store::{Store, memory};

use super::world::{Machine, REPO, fresh, store};

/// Bundles of one made-up push.
const AT_ONCE: usize = 500;

fn bytes<const N: usize>(of: &str, n: usize) -> [u8; N] {
    let mut bytes = [0; N];
    blake3::Hasher::new().update(of.as_bytes()).update(&n.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Bundle number `n`; like real ones they sort by when they were made.
fn bundle(n: usize) -> BundleId {
    let mut id: [u8; 16] = bytes("bundle", n);
    id[..8].copy_from_slice(&(0x019a_0000_0000_7000 + n as u64).to_be_bytes());
    BundleId::from_bytes(id)
}

fn git(of: &str, n: usize) -> GitId {
    GitId::from_slice(&bytes::<20>(of, n)).expect("twenty bytes")
}

fn add_bundles(catalog: &mut Catalog, numbers: std::ops::Range<usize>) {
    let pack = PackId::from_bytes(bytes("pack", numbers.start));
    let reference = |n: usize| BundleRef {
        id: bundle(n),
        repo: REPO,
        base: None,
        root: Blob { pack, offset: 16 + 400 * (n - numbers.start) as u64, stored: 400 },
        commit: Some(git("commit", n)),
        tree: Some(git("tree", n)),
    };
    let bundles = numbers.clone().map(reference).collect();
    let push = Push { repo: REPO, rows: None, segments: vec![], labels: vec![], bundles };
    let mut record = catalog.record(catalog.head().seq(), Change::Push(push));
    record.added = vec![(pack, PackInfo { kind: PackKind::Meta, size: 4 << 20, footer: 10_000 })];
    catalog.commit(&record).expect("lands");
    catalog.upkeep().expect("done");
}

fn label_name(n: usize) -> String {
    format!("release/v{}.{}.{}", n / 100, n / 10 % 10, n % 10)
}

/// A store with so many bundles and labels, as many of them before the labels as there are labels to lead to them.
fn grown(bundles: usize, labels: usize) -> Store {
    let store = store(memory());
    let mut catalog = Machine::new().create(&store).expect("made");
    let mut made = 0;
    let mut add = |catalog: &mut Catalog, upto: usize| {
        while made < upto {
            let part = made..(made + AT_ONCE).min(upto);
            made = part.end;
            add_bundles(catalog, part);
        }
    };
    add(&mut catalog, labels.min(bundles));
    for n in 0..labels {
        let moved = label::set(&mut catalog, REPO, &label_name(n), bundle(n), label::Expected::Anything);
        assert_eq!(moved.expect("set").before, None);
    }
    add(&mut catalog, bundles);
    // As hard as it gets: a tail that is as long as it may be.
    for n in 0..60 {
        label::set(&mut catalog, REPO, "moving", bundle(n), label::Expected::Anything).expect("moved");
    }
    store
}

fn few_requests_for_a_name(bundles: usize, labels: usize) {
    let store = grown(bundles, labels);
    let wanted = labels / 2;
    let id = bundle(wanted);
    let names = [
        id.to_string(),
        label_name(wanted),
        format!("label:{}", label_name(wanted)),
        git("commit", wanted).to_string(),
        format!("tree:{}", git("tree", wanted)),
        git("commit", wanted).to_string()[..12].to_owned(),
    ];
    let machine = Machine::new();
    for kind in ["cold", "warm"] {
        for name in &names {
            if kind == "cold" {
                machine.chill(&store);
            }
            let (before, began) = (store.requests(), Instant::now());
            let catalog = machine.open(&store).expect("opens");
            let opened = began.elapsed();
            assert_eq!(find(&catalog, REPO, name, Name::default()).expect("found").id, id, "{name}");
            let counts = store.requests().since(before);
            println!("{kind} {name}: {counts:?}, open {opened:?}, all {:?}", began.elapsed());
            if kind == "warm" {
                assert!(counts.get + counts.head + counts.list <= 2, "{kind} {name}: {counts:?}");
            } else {
                assert!(counts.get + counts.head + counts.list <= 6, "{kind} {name}: {counts:?}");
            }
        }
    }
    let catalog = machine.open(&store).expect("opens");
    let began = Instant::now();
    let mut all: Vec<_> = label::of_repo(&catalog, REPO).collect();
    all.sort_by(|(a, _), (b, _)| label::by_version(a, b));
    println!("{} labels listed and sorted in {:?}", all.len(), began.elapsed());
    assert_eq!(all.len(), labels + 1);
    let commits: Vec<GitId> = (0..bundles).map(|n| git("commit", n)).collect();
    let began = Instant::now();
    assert!(commits.iter().all(|it| catalog.state().bundles_of_commit(REPO, *it).len() == 1));
    println!("{bundles} commits looked up in {:?}", began.elapsed());
    assert_eq!(fresh(&store).expect("opens").state(), catalog.state());
    assert_eq!(catalog.state().unknown(), None);
}

#[test]
fn a_name_among_thousands_costs_few_requests() {
    few_requests_for_a_name(5_000, 300);
}

#[test]
#[ignore = "nightly"]
fn a_name_among_a_hundred_thousand_costs_few_requests() {
    few_requests_for_a_name(100_000, 10_000);
}

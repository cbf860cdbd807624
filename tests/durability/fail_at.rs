//! Fail at k: the same workload over a store that fails at its k-th request, for every k it reaches and every kind of fault.

use std::sync::Arc;

use datamon::catalog::CatalogError;
use datamon::catalog::plan::MOST_RUNS;
use datamon::id::Oid;
use datamon::ops::receipt::Receipt;
use datamon::ops::upload::{Upload, upload};
use datamon::progress::Silent;
use datamon::store::fail::{Failing, Fault};
use datamon::store::{Backend, Store, memory};
use datamon_test_support::seeded_bytes;

use super::world::{
    Machine, REPO, Shelf, assert_chain, assert_packs, directory, folder, fresh, merges, store,
};

/// The large file: several frames and many chunks, small enough for hundreds of runs.
const LARGE: usize = 3 << 20;

/// What one upload of the workload takes.
struct Version {
    files: Vec<Upload>,
    touch: Vec<Oid>,
}

/// Versions of a dataset, a checkpoint after each, and a merge of what they wrote when it is due.
struct Workload {
    shelf: Shelf,
    versions: Vec<Version>,
}

impl Workload {
    /// Three versions: a large file edited twice, many small ones, zeros, a duplicate.
    fn new() -> Self {
        let mut shelf = Shelf::new();
        let mut large = seeded_bytes(1, LARGE);
        let mut oids = vec![shelf.put(&large), shelf.put(&vec![0; 300_000])];
        oids.extend((0..20).map(|n| shelf.put(&seeded_bytes(100 + n, 700 + 97 * n as usize))));
        oids.push(oids[5]);
        let mut versions = vec![Version { files: shelf.files(&oids), touch: vec![] }];
        for version in 0..2 {
            let previous = oids[0];
            large.splice(LARGE / 2..LARGE / 2 + 10, seeded_bytes(10 + version, 500));
            oids[0] = shelf.put(&large);
            let touch = oids[1..].to_vec();
            let new = (0..4).map(|n| shelf.put(&seeded_bytes(1000 * (version + 1) + n, 5_000)));
            let new: Vec<Oid> = new.collect();
            let mut files = vec![shelf.file(oids[0], Some(previous))];
            files.extend(shelf.files(&new));
            versions.push(Version { files, touch });
            oids.extend(new);
        }
        Workload { shelf, versions }
    }

    /// As many versions of one small file and a touch as it takes for a merge.
    fn merging() -> Self {
        let mut shelf = Shelf::new();
        let oids: Vec<Oid> = (0..=MOST_RUNS as u64).map(|n| shelf.put(&seeded_bytes(n, 2_000))).collect();
        let version = |n: usize| Version {
            files: shelf.files(&oids[n..=n]),
            touch: oids[n.saturating_sub(1)..n].to_vec(),
        };
        let versions = (0..oids.len()).map(version).collect();
        Workload { shelf, versions }
    }

    fn oids(&self) -> Vec<Oid> {
        self.versions.iter().flat_map(|version| version.files.iter().filter_map(|file| file.oid)).collect()
    }

    /// The workload as one process does it: up to the first error. Receipts are what was acknowledged before.
    fn run(&self, store: &Store, machine: &Machine, receipts: &mut Vec<Receipt>) -> Result<(), CatalogError> {
        let mut catalog = machine.create(store)?;
        for version in &self.versions {
            let done = upload(&mut catalog, REPO, &version.files, &version.touch, &Silent)?;
            assert!(done.failed.is_empty(), "{:?}", done.failed);
            receipts.push(done.receipt);
            catalog.write_checkpoint()?;
            catalog.merge_runs()?;
        }
        // What cannot be read is told file by file, and checked there.
        self.shelf.download(&mut catalog, &self.oids());
        Ok(())
    }

    /// What must hold whatever happened before.
    fn check(&self, store: &Store, machine: &Machine, receipts: &[Receipt], context: &str) {
        let entries = assert_chain(store);
        let acknowledged: Vec<Oid> = receipts.iter().flat_map(|it| it.oids.iter().copied()).collect();
        for (temperature, catalog) in [("cold", fresh(store)), ("warm", machine.open(store))] {
            let context = format!("{context}, {temperature}");
            let mut catalog = match catalog {
                Ok(catalog) => catalog,
                Err(_) if entries == 0 && receipts.is_empty() => continue,
                Err(error) => panic!("{context}: {error}"),
            };
            let seen = catalog.find(REPO, &self.oids()).expect("reads");
            let lost = acknowledged.iter().find(|oid| !seen.contains_key(oid));
            assert!(lost.is_none(), "{context}: acknowledged and lost: {lost:?}");
            self.shelf.assert_download(&mut catalog, &seen.keys().copied().collect::<Vec<_>>(), &context);
            // Nothing is half there: of each upload all rows are seen or none, and what is seen can be had.
            for version in &self.versions {
                let oids: Vec<Oid> = version.files.iter().filter_map(|file| file.oid).collect();
                let new = oids.iter().filter(|oid| seen.contains_key(oid)).count();
                assert!(new == 0 || new == oids.len(), "{context}: {new} of {} rows", oids.len());
            }
        }
    }
}

/// The workload over a store that fails once as `fault` says, the checks, and the workload again. How often it failed.
fn fail_once(
    workload: &Workload,
    backend: Arc<dyn Backend>,
    machine: &Machine,
    fault: Fault,
    at: u64,
) -> u64 {
    let context = format!("{fault:?} at request {at}");
    let failing = Arc::new(Failing::new(backend.clone(), fault, at));
    let mut receipts = Vec::new();
    let outcome = workload.run(&store(failing.clone()), machine, &mut receipts);
    let context = match outcome {
        Ok(()) => context,
        Err(error) => format!("{context} ({error})"),
    };
    let store = store(backend);
    workload.check(&store, machine, &receipts, &context);
    let again = workload.run(&store, machine, &mut receipts);
    if let Err(error) = again {
        panic!("{context}: the next process: {error}");
    }
    assert!(machine.journals(&store).is_empty(), "{context}: a journal stays");
    assert!(machine.stranded(&store).is_empty(), "{context}: a pack is neither named nor forgotten");
    // To itself the machine was warm just now.
    workload.check(&store, &Machine::new(), &receipts, &context);
    assert_packs(&store);
    failing.hits()
}

/// Requests of the workload when nothing fails.
fn requests(workload: &Workload) -> u64 {
    let counting = Arc::new(Failing::new(memory(), Fault::Before, u64::MAX));
    let receipts = &mut Vec::new();
    let store = store(counting.clone());
    workload.run(&store, &Machine::new(), receipts).expect("nothing fails");
    assert_eq!(receipts.len(), workload.versions.len());
    assert_eq!(merges(&store), workload.versions.len() / (MOST_RUNS + 1));
    counting.served()
}

fn fail_everywhere(fault: Fault) {
    for workload in [Workload::new(), Workload::merging()] {
        let reached = requests(&workload);
        assert!(reached > 30, "the workload makes {reached} requests");
        let mut hits = 0;
        for at in 0..reached {
            hits += fail_once(&workload, memory(), &Machine::new(), fault, at);
        }
        assert!(hits > 10, "{fault:?} hit {hits} times in {reached} runs");
    }
}

#[test]
fn an_error_before_the_effect_loses_nothing() {
    fail_everywhere(Fault::Before);
}

#[test]
fn an_error_after_the_effect_loses_nothing() {
    fail_everywhere(Fault::After);
}

#[test]
fn a_process_that_dies_anywhere_loses_nothing() {
    fail_everywhere(Fault::Dead);
}

#[test]
fn a_torn_request_loses_nothing() {
    fail_everywhere(Fault::Torn);
}

#[test]
fn a_create_answered_with_exists_loses_nothing() {
    fail_everywhere(Fault::LostAnswer);
}

#[test]
fn a_create_answered_with_exists_where_nothing_is_loses_nothing() {
    fail_everywhere(Fault::FalseExists);
}

#[test]
fn a_directory_that_fails_loses_nothing() {
    let workload = Workload::new();
    let reached = requests(&workload);
    for (n, fault) in
        [Fault::Before, Fault::After, Fault::Dead, Fault::Torn, Fault::LostAnswer, Fault::FalseExists]
            .into_iter()
            .enumerate()
    {
        // Some requests all over the workload, and more of them until the fault has hit: few requests are creates.
        let (mut hits, mut runs) = (0, 0);
        while runs < 5 || (hits == 0 && runs < reached) {
            let at = (n as u64 + 11 * runs) % reached;
            let root = folder();
            let backend = directory(&root.path().join("store")).backend();
            hits += fail_once(&workload, backend, &Machine::new(), fault, at);
            runs += 1;
        }
        assert!(hits > 0, "{fault:?} never hit");
    }
}

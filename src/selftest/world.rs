//! What all machines of a simulation share: the store, the schedule, what was acknowledged, and the counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bucket::Bucket;
use super::kind::{Hits, Kind};
use super::ledger::Ledger;
use super::shelf::Shelf;
use super::turns::Turns;
use crate::id::RepoId;

/// One simulation.
#[derive(Debug)]
pub(super) struct World {
    pub seed: u64,
    pub bucket: Arc<Bucket>,
    /// What lies beside it: its mirror, or another store.
    pub beside: Arc<Bucket>,
    pub turns: Turns,
    pub shelf: Arc<Shelf>,
    pub repos: Vec<RepoId>,
    calm: AtomicBool,
    deeds: AtomicU64,
    ledger: Mutex<Ledger>,
    hits: Mutex<Hits>,
    wrong: Mutex<Vec<String>>,
    /// Every seam that was crossed, in order.
    trace: Mutex<Vec<String>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(super) fn new(seed: u64, bucket: Bucket, turns: Turns, shelf: Arc<Shelf>) -> World {
        let repo = |number: u8| RepoId::from_bytes([number; 16]);
        World {
            seed,
            bucket: Arc::new(bucket),
            beside: Arc::default(),
            turns,
            shelf,
            repos: vec![repo(7), repo(8), repo(9), RepoId::NIL],
            calm: AtomicBool::new(false),
            deeds: AtomicU64::new(0),
            ledger: Mutex::default(),
            hits: Mutex::default(),
            wrong: Mutex::default(),
            trace: Mutex::default(),
        }
    }

    /// The same with something else beside the store.
    pub(super) fn with_beside(self, beside: Bucket) -> World {
        World { beside: Arc::new(beside), ..self }
    }

    /// Nothing fails any more.
    pub(super) fn calm_down(&self) {
        self.calm.store(true, SeqCst);
        self.bucket.settle();
        self.beside.settle();
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(SeqCst)
    }

    /// Whether the file is one of a cache, which may be damaged at any time.
    pub(super) fn is_cache(&self, path: &Path) -> bool {
        path.iter().any(|part| part == "cache")
    }

    pub(super) fn hit(&self, kind: Kind) {
        *lock(&self.hits).entry(kind).or_default() += 1;
    }

    pub(super) fn hits(&self) -> Hits {
        lock(&self.hits).clone()
    }

    /// One more operation was begun.
    pub(super) fn count(&self) {
        self.deeds.fetch_add(1, SeqCst);
    }

    pub(super) fn deeds(&self) -> u64 {
        self.deeds.load(SeqCst)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Something happened that must not.
    pub(super) fn complain(&self, what: String) {
        let mut wrong = lock(&self.wrong);
        if !wrong.contains(&what) {
            wrong.push(what);
        }
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        lock(&self.wrong).clone()
    }

    /// What a machine did at a seam, for those who want to follow it.
    pub(super) fn note(&self, machine: usize, deed: u64, what: &str) {
        lock(&self.trace).push(format!("machine {machine}, command {deed}: {what}"));
    }

    /// The same for the same seed.
    pub(super) fn trace(&self) -> Vec<String> {
        lock(&self.trace).clone()
    }

    /// Everything in the store.
    pub(super) fn objects(&self) -> BTreeMap<String, bytes::Bytes> {
        self.bucket.objects()
    }
}

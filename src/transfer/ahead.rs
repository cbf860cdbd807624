//! Read-ahead: the files a checkout will ask for, fetched in the order of the packs before they are asked for.
//!
//! Two workers take batches from the front of a queue, so a small file asked for never waits behind a large one. What is asked
//! for brings its batch to the front. Files lie in a private directory beside git-lfs's own until they are claimed, and the
//! workers rest while more than [`AHEAD`] bytes are unclaimed.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::TICK;
use crate::id::Oid;
use crate::ops::fetch::{Wanted, fetch};
use crate::progress::Silent;
use crate::store::Store;

/// Bytes of files that may lie there unclaimed.
const AHEAD: u64 = 512 << 20;
/// Files are handed to a worker in batches of at most this many bytes: a little under two requests of the largest size.
const BATCH: u64 = 15 << 20;
/// Workers.
const WORKERS: usize = 2;

#[derive(Default)]
struct Shared {
    /// Batches to fetch, by number, and the order in which.
    batches: HashMap<u64, Vec<Wanted>>,
    order: VecDeque<u64>,
    /// The batch of each queued oid.
    queued: HashMap<Oid, u64>,
    next: u64,
    running: HashMap<Oid, PathBuf>,
    ready: HashMap<Oid, Result<(PathBuf, u64), String>>,
    unclaimed: u64,
    /// An asked oid is waited for: its batch starts whatever lies unclaimed.
    urgent: bool,
    stop: bool,
}

/// Files being fetched in the background.
pub struct ReadAhead {
    shared: Arc<(Mutex<Shared>, Condvar)>,
    workers: Vec<JoinHandle<()>>,
}

impl Shared {
    fn push(&mut self, batch: Vec<Wanted>) {
        let number = self.next;
        self.next += 1;
        self.queued.extend(batch.iter().map(|file| (file.oid, number)));
        self.batches.insert(number, batch);
        self.order.push_back(number);
    }

    /// The batch of `oid` comes next.
    fn hurry(&mut self, oid: &Oid) {
        if let Some(number) = self.queued.get(oid) {
            self.order.retain(|other| other != number);
            self.order.push_front(*number);
            self.urgent = true;
        }
    }

    /// The first batch is being fetched from now on.
    fn begin(&mut self) -> Option<Vec<Wanted>> {
        let batch = self.batches.remove(&self.order.pop_front()?)?;
        self.urgent = false;
        for file in &batch {
            self.queued.remove(&file.oid);
            self.running.insert(file.oid, file.path.clone());
        }
        Some(batch)
    }
}

fn lock(shared: &(Mutex<Shared>, Condvar)) -> MutexGuard<'_, Shared> {
    shared.0.lock().expect("no holder of this lock panics")
}

impl ReadAhead {
    /// Workers on `store`, waiting.
    pub fn new(store: &Store) -> Self {
        let shared: Arc<(Mutex<Shared>, Condvar)> = Arc::default();
        let workers = (0..WORKERS)
            .map(|_| {
                let (shared, store) = (shared.clone(), store.clone());
                std::thread::spawn(move || work(&shared, &store))
            })
            .collect();
        ReadAhead { shared, workers }
    }

    /// Fetch these too, in this order, after what is queued.
    pub fn add(&self, files: Vec<Wanted>) {
        let mut shared = lock(&self.shared);
        let mut batch: Vec<Wanted> = Vec::new();
        let mut bytes = 0;
        for file in files {
            if !batch.is_empty() && file.size.saturating_add(bytes) > BATCH {
                shared.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes = file.size.saturating_add(bytes);
            batch.push(file);
        }
        if !batch.is_empty() {
            shared.push(batch);
        }
        self.shared.1.notify_all();
    }

    /// Whether the oid is queued, being fetched or ready.
    pub fn has(&self, oid: &Oid) -> bool {
        let shared = lock(&self.shared);
        shared.running.contains_key(oid) || shared.ready.contains_key(oid) || shared.queued.contains_key(oid)
    }

    /// Wait for the file of `oid`, which was added; `None` if it was not. It is the caller's from then on.
    pub fn claim(&self, oid: &Oid, progress: &mut dyn FnMut(u64)) -> Option<Result<PathBuf, String>> {
        let mut shared = lock(&self.shared);
        shared.hurry(oid);
        self.shared.1.notify_all();
        loop {
            if let Some(result) = shared.ready.remove(oid) {
                let claimed = result.map(|(path, size)| {
                    shared.unclaimed -= size;
                    path
                });
                self.shared.1.notify_all();
                return Some(claimed);
            }
            let waiting = shared.running.get(oid).cloned();
            if waiting.is_none() && !shared.queued.contains_key(oid) {
                return None;
            }
            shared = self.shared.1.wait_timeout(shared, TICK).expect("no holder of this lock panics").0;
            if let Some(path) = waiting {
                progress(path.metadata().map_or(0, |meta| meta.len()));
            }
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        {
            let mut shared = lock(&self.shared);
            shared.stop = true;
            shared.order.clear();
        }
        self.shared.1.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn next(shared: &(Mutex<Shared>, Condvar)) -> Option<Vec<Wanted>> {
    let mut state = lock(shared);
    loop {
        if state.stop {
            return None;
        }
        if (state.urgent || state.unclaimed < AHEAD)
            && let Some(batch) = state.begin()
        {
            return Some(batch);
        }
        state = shared.1.wait(state).expect("no holder of this lock panics");
    }
}

fn work(shared: &(Mutex<Shared>, Condvar), store: &Store) {
    while let Some(batch) = next(shared) {
        let fetched = catch_unwind(AssertUnwindSafe(|| {
            fetch(store, &batch, &Silent, &|file, result| {
                let mut state = lock(shared);
                state.running.remove(&file.oid);
                if result.is_ok() {
                    state.unclaimed += file.size;
                }
                let result = result.map(|()| (file.path.clone(), file.size)).map_err(|e| e.to_string());
                state.ready.insert(file.oid, result);
                shared.1.notify_all();
            })
        }));
        // A fetch that ended without a word about a file, by a panic, would leave its asker waiting for ever.
        let mut state = lock(shared);
        for file in &batch {
            if state.running.remove(&file.oid).is_some() {
                let why = if fetched.is_err() {
                    "git-datamon has a bug; please report it"
                } else {
                    "run the command again"
                };
                state.ready.insert(file.oid, Err(format!("{} was not fetched: {why}", file.oid)));
            }
        }
        shared.1.notify_all();
    }
}

//! Read-ahead: files that are foreseen, fetched in the order of the packs before they are asked for.
//!
//! Two workers take batches from the front of a queue, so a small file asked for never waits behind a large one. What is asked
//! for brings its batch to the front, and what follows it comes next. Files lie in a private directory beside git-lfs's own
//! until they are claimed.
//!
//! A forecast may be wrong, so what is read ahead is bounded by what was really asked for: with one request, only what lies
//! beside the file in its pack; from the second on, bytes that nobody asked for are at most those that somebody did and
//! [`BESIDE`], doubled with each request up to [`START`], and never more than [`MOST`]. So `git archive`, which starts an agent
//! for every file, and the checkout of a few small files fetch little more than they need, and a clone is read at full speed
//! after seven files.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::TICK;
use crate::id::Oid;
use crate::ops::fetch::{Source, Wanted, fetch};
use crate::progress::Silent;

/// Bytes of files that may lie there, or be on their way, unasked.
const MOST: u64 = 512 << 20;
/// Bytes that are read ahead beyond those asked for, at most.
const START: u64 = 32 << 20;
/// What lies in a pack this near to a file asked for is read with it, bytes: that costs less than another request.
const BESIDE: u64 = 512 << 10;
/// Files are handed to a worker in batches of at most this many bytes: a little under two requests of the largest size.
const BATCH: u64 = 15 << 20;
/// Workers.
const WORKERS: usize = 2;

/// A file on its way.
struct Running {
    path: PathBuf,
    size: u64,
    asked: bool,
}

#[derive(Default)]
struct Shared {
    /// Batches to fetch, by number, and the order in which.
    batches: HashMap<u64, Vec<Wanted>>,
    order: VecDeque<u64>,
    /// The batch of each queued oid.
    queued: HashMap<Oid, u64>,
    next: u64,
    running: HashMap<Oid, Running>,
    ready: HashMap<Oid, Result<(PathBuf, u64), String>>,
    /// Files asked for, and their bytes.
    asks: u64,
    asked: u64,
    /// Bytes running or ready that nobody has asked for.
    ahead: u64,
    /// The queued oid that is waited for: it starts whatever is ahead.
    urgent: Option<Oid>,
    stop: bool,
}

/// Files being fetched in the background.
pub struct ReadAhead {
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

impl Shared {
    /// These come first, in this order.
    fn push(&mut self, batches: Vec<Vec<Wanted>>) {
        for batch in batches.into_iter().rev() {
            let number = self.next;
            self.next += 1;
            self.queued.extend(batch.iter().map(|file| (file.oid, number)));
            self.batches.insert(number, batch);
            self.order.push_front(number);
        }
    }

    /// The file is asked for now: its batch comes next, and then those behind it.
    fn ask(&mut self, oid: &Oid) {
        let size = if let Some(number) = self.queued.get(oid) {
            let place = self.order.iter().position(|other| other == number);
            self.order.rotate_left(place.unwrap_or(0));
            self.urgent = Some(*oid);
            self.batches[number].iter().find(|file| file.oid == *oid).map_or(0, |file| file.size)
        } else if let Some(running) = self.running.get_mut(oid) {
            running.asked = true;
            self.ahead -= running.size;
            running.size
        } else if let Some(Ok((_, size))) = self.ready.get(oid) {
            self.ahead -= size;
            *size
        } else {
            return;
        };
        self.asks += 1;
        self.asked = self.asked.saturating_add(size);
    }

    /// How much more may be fetched that nobody asked for.
    fn room(&self) -> u64 {
        most(self.asks, self.asked).saturating_sub(self.ahead)
    }

    /// What a worker fetches from now on: with what is waited for, or else what there is room for.
    fn begin(&mut self) -> Option<Vec<Wanted>> {
        let urgent = self.urgent.take();
        let batch = match &urgent {
            Some(oid) => self.batch_with(oid),
            None => self.next_batch(),
        }?;
        for file in &batch {
            self.queued.remove(&file.oid);
            let asked = urgent == Some(file.oid);
            self.ahead += if asked { 0 } else { file.size };
            self.running.insert(file.oid, Running { path: file.path.clone(), size: file.size, asked });
        }
        Some(batch)
    }

    fn next_batch(&mut self) -> Option<Vec<Wanted>> {
        if self.asks < 2 {
            return None;
        }
        // One file may be larger than all the room there is.
        let fits = |bytes| bytes <= self.room() || (self.ahead == 0 && bytes <= self.asked);
        let place = self.order.iter().position(|number| fits(bytes(&self.batches[number])))?;
        self.batches.remove(&self.order.remove(place)?)
    }

    /// The batch of a file, or where there is no room for all of it the file, what lies beside it and what follows it.
    fn batch_with(&mut self, oid: &Oid) -> Option<Vec<Wanted>> {
        let number = *self.queued.get(oid)?;
        let batch = self.batches.remove(&number)?;
        let asked = batch.iter().find(|file| file.oid == *oid)?.clone();
        let mut room = self.room();
        let all = self.asks > 1 && bytes(&batch) - asked.size <= room;
        let mut follows = false;
        let (taken, rest): (Vec<Wanted>, Vec<Wanted>) = batch.into_iter().partition(|file| {
            follows |= self.asks > 1 && file.oid == *oid;
            let near = follows || lies_beside(&asked, file);
            let wanted = all || file.oid == *oid || (file.size <= room && near);
            room -= if wanted && file.oid != *oid { file.size } else { 0 };
            wanted
        });
        if rest.is_empty() {
            self.order.retain(|other| *other != number);
        } else {
            self.batches.insert(number, rest);
        }
        Some(taken)
    }

    /// A file came, or did not.
    fn end(&mut self, oid: Oid, result: Result<(), String>) {
        let Some(Running { path, size, asked }) = self.running.remove(&oid) else { return };
        if result.is_err() && !asked {
            self.ahead -= size;
        }
        self.ready.insert(oid, result.map(|()| (path, size)));
    }
}

/// Bytes that may be there unasked after so many requests for so many bytes.
fn most(asks: u64, asked: u64) -> u64 {
    let doubled = BESIDE << asks.clamp(1, 7).saturating_sub(1);
    if asks < 2 { BESIDE } else { MOST.min(asked.saturating_add(doubled.min(START))) }
}

fn bytes(batch: &[Wanted]) -> u64 {
    batch.iter().map(|file| file.size).fold(0, u64::saturating_add)
}

/// Whether a file comes with another one at the price of one request.
fn lies_beside(asked: &Wanted, file: &Wanted) -> bool {
    let Some(first) = asked.terms.first() else { return false };
    file.terms.iter().all(|term| term.pack == first.pack && term.offset.abs_diff(first.offset) <= BESIDE)
}

/// Batches in the order of the files.
fn batches(files: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut batches: Vec<Vec<Wanted>> = Vec::new();
    let mut size = 0_u64;
    for file in files {
        size = size.saturating_add(file.size);
        match batches.last_mut() {
            Some(batch) if size <= BATCH => batch.push(file),
            _ => {
                size = file.size;
                batches.push(vec![file]);
            }
        }
    }
    batches
}

fn lock(shared: &(Mutex<Shared>, Condvar)) -> MutexGuard<'_, Shared> {
    shared.0.lock().expect("no holder of this lock panics")
}

impl ReadAhead {
    /// Workers on `source`, waiting.
    pub fn new(source: &Source) -> Self {
        let shared: Arc<(Mutex<Shared>, Condvar)> = Arc::default();
        for _ in 0..WORKERS {
            let (shared, source) = (shared.clone(), source.clone());
            std::thread::spawn(move || work(&shared, &source));
        }
        ReadAhead { shared }
    }

    /// Fetch these too, in this order, before what is queued: a newer forecast knows more.
    pub fn add(&self, files: Vec<Wanted>) {
        lock(&self.shared).push(batches(files));
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
        shared.ask(oid);
        self.shared.1.notify_all();
        loop {
            if let Some(result) = shared.ready.remove(oid) {
                return Some(result.map(|(path, _)| path));
            }
            let waiting = shared.running.get(oid).map(|running| running.path.clone());
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
    /// Nobody waits for what is still on its way: it may be large, and nobody asked for it.
    fn drop(&mut self) {
        lock(&self.shared).stop = true;
        self.shared.1.notify_all();
    }
}

fn next(shared: &(Mutex<Shared>, Condvar)) -> Option<Vec<Wanted>> {
    let mut state = lock(shared);
    while !state.stop {
        if let Some(batch) = state.begin() {
            return Some(batch);
        }
        state = shared.1.wait(state).expect("no holder of this lock panics");
    }
    None
}

fn work(shared: &(Mutex<Shared>, Condvar), source: &Source) {
    while let Some(batch) = next(shared) {
        let fetched = catch_unwind(AssertUnwindSafe(|| {
            fetch(source, &batch, &Silent, &|file, result| {
                lock(shared).end(file.oid, result.map_err(|e| e.to_string()));
                shared.1.notify_all();
            })
        }));
        // A fetch that ended without a word about a file, by a panic, would leave its asker waiting for ever.
        let why = if fetched.is_err() {
            "git-datamon has a bug; please report it"
        } else {
            "run the command again"
        };
        let mut state = lock(shared);
        for file in &batch {
            state.end(file.oid, Err(format!("{} was not fetched: {why}", file.oid)));
        }
        shared.1.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PackId;
    use crate::pack::Term;

    fn oid(n: u64) -> Oid {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Oid::from_bytes(bytes)
    }

    /// Files of one size, so many to a pack, one after the other.
    fn files(count: u64, size: u64, to_a_pack: u64) -> Vec<Wanted> {
        let mut pack = PackId::new();
        let file = |n| {
            let place = n % to_a_pack;
            if place == 0 {
                pack = PackId::new();
            }
            let term = Term { pack, offset: 16 + place * size, stored: size, skip: 0, raw: size, repeat: 1 };
            Wanted { oid: oid(n), size, terms: vec![term], path: PathBuf::new() }
        };
        (0..count).map(file).collect()
    }

    fn queue(files: Vec<Wanted>) -> Shared {
        let mut shared = Shared::default();
        shared.push(batches(files));
        shared
    }

    fn numbers(batch: Option<Vec<Wanted>>) -> Vec<u64> {
        let number = |file: Wanted| u64::from_be_bytes(file.oid.as_bytes()[..8].try_into().expect("8"));
        batch.unwrap_or_default().into_iter().map(number).collect()
    }

    #[test]
    fn the_first_request_brings_what_lies_beside_and_some_more_the_rest() {
        let mut shared = queue(files(100, 100 << 10, 20));
        assert_eq!(numbers(shared.begin()), [] as [u64; 0], "nothing is fetched for nobody");
        shared.ask(&oid(27));
        assert_eq!(
            numbers(shared.begin()),
            [22, 23, 24, 25, 26, 27],
            "of its own pack only, as far as there is room"
        );
        assert_eq!(numbers(shared.begin()), [] as [u64; 0]);
        assert!(shared.ahead <= BESIDE);
        shared.ask(&oid(23));
        assert_eq!(shared.ahead, 400 << 10);
        for n in [22, 24, 25] {
            assert_eq!(numbers(shared.begin()), [] as [u64; 0], "not so much for so few");
            shared.ask(&oid(n));
        }
        assert_eq!(shared.ahead, 100 << 10);
        shared.ask(&oid(26));
        assert_eq!(numbers(shared.begin()).len(), 94, "all the rest is less than a batch");
    }

    #[test]
    fn two_small_files_bring_a_mebibyte_with_them_and_each_more_doubles_it() {
        let mut shared = queue(files(600, 100 << 10, 20));
        for (n, most) in [(0, 512), (200, 1024), (400, 2048), (500, 4096)] {
            shared.ask(&oid(n));
            let brought = numbers(shared.begin());
            assert!(brought.contains(&n) && brought.iter().all(|it| *it >= n), "{n}: {brought:?}");
            let room = if n == 0 { 512 << 10 } else { (most << 10) + shared.asked };
            assert!(shared.ahead <= room && shared.ahead + (100 << 10) > room, "{} after {n}", shared.ahead);
        }
    }

    #[test]
    fn what_follows_the_file_asked_for_is_next() {
        let mut shared = queue(files(6, 10 << 20, 1));
        for n in [3, 4, 5] {
            shared.ask(&oid(n));
            assert_eq!(numbers(shared.begin()), [n]);
        }
        assert_eq!(numbers(shared.begin()), [0]);
        // A newer forecast is believed first.
        shared.push(vec![vec![Wanted { oid: oid(9), ..files(1, 5 << 20, 1).remove(0) }]]);
        assert_eq!(numbers(shared.begin()), [9]);
        assert_eq!(numbers(shared.begin()), [1]);
    }

    #[test]
    fn a_large_file_is_read_ahead_where_as_much_was_asked_for() {
        let mut shared = queue(files(4, 1 << 31, 1));
        shared.ask(&oid(0));
        assert_eq!((numbers(shared.begin()), numbers(shared.begin())), (vec![0], vec![]));
        shared.ask(&oid(1));
        assert_eq!((numbers(shared.begin()), numbers(shared.begin())), (vec![1], vec![2]));
        assert_eq!(numbers(shared.begin()), [] as [u64; 0], "one at a time");
        let mut shared = queue(files(4, 1 << 31, 1));
        shared.push(batches(
            files(3, 1, 3)
                .into_iter()
                .map(|file| Wanted { oid: oid(10 + file.terms[0].offset), ..file })
                .collect(),
        ));
        shared.ask(&oid(26));
        shared.begin();
        shared.ask(&oid(27));
        assert_eq!(numbers(shared.begin()), [] as [u64; 0], "two bytes asked for fetch no 2 GiB");
    }

    #[test]
    fn bytes_that_nobody_asked_for_stay_below_those_that_somebody_did() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..50 {
            let count = 400;
            let mut shared = queue(files(count, 1 + random(3 << 20), 1 + random(30)));
            let mut wanted: Vec<u64> = (0..count).collect();
            let asks = 1 + random(count);
            for asked in 1..=asks {
                let next = oid(wanted.swap_remove(random(wanted.len() as u64) as usize));
                shared.ask(&next);
                for _ in 0..random(4) {
                    shared.begin();
                }
                let running: Vec<Oid> = shared.running.keys().copied().collect();
                for oid in running.into_iter().filter(|oid| *oid == next || oid.as_bytes()[7] % 2 == 0) {
                    let result = if oid.as_bytes()[7] % 8 == 0 { Err("no".to_owned()) } else { Ok(()) };
                    shared.end(oid, result);
                }
                assert!(
                    shared.ahead <= most(asked, shared.asked),
                    "{} ahead of {}, round {round}",
                    shared.ahead,
                    shared.asked
                );
                shared.ready.remove(&next);
            }
        }
    }
}

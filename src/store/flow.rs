//! Flow: how many large requests are under way at once, and how large a pack is, by what the way to the store was seen to carry.
//!
//! A directory is as near as it will ever be: its numbers are fixed. Of a bucket nobody knows beforehand whether it is reached through
//! ten gigabits or through a telephone. So a transfer begins with one small pack and few requests. One more request at once is
//! tried while that makes everything faster, and taken back when it did not; a request that failed in a way that may pass halves
//! them. A pack is what one request carries in [`CARRIED`]: as a pack is acknowledged whole or not at all, that is what a cut can
//! cost, and on a link that slow no second one is sent beside it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A pack of a store that is near, or whose link is fast, bytes.
const LARGEST: u64 = 32 << 20;
/// And one of which nothing is known yet, or whose link is slow.
const SMALLEST: u64 = 1 << 20;
/// How long a pack may be on its way, seconds.
const CARRIED: f64 = 2.0;
/// What one request has to carry for another one beside it, bytes a second: below this it would only wait for the first.
const WIDE: f64 = (4 << 20) as f64;
/// By how much everything has to be faster for one more request at once.
const FASTER: f64 = 1.1;
/// Rounds after which one more is tried again that was no use before.
const PATIENCE: u32 = 8;
/// Requests of a bucket at once, and their bytes: what bounds memory. A request that would exceed them goes alone.
const MOST: usize = 8;
const MOST_BYTES: u64 = 96 << 20;
/// Smaller requests say nothing of what a link carries.
const TELLING: u64 = 256 << 10;

/// What is known of one direction, and what follows from it. Pure: times come from outside.
#[derive(Debug)]
struct Lanes {
    /// Whether the numbers follow what is seen.
    follows: bool,
    /// Bytes of a pack where the numbers are fixed.
    pack: u64,
    limit: usize,
    busy: usize,
    under_way: u64,
    /// What one request carries, bytes a second.
    rate: Option<f64>,
    round: Round,
    /// What everything carried in the round before the last step up.
    before: Option<f64>,
    /// Rounds until the next step.
    rest: u32,
    /// No step was refused yet: each doubles.
    steep: bool,
}

/// As many requests as there may be at once, twice.
#[derive(Debug, Default)]
struct Round {
    begin: Option<Duration>,
    done: usize,
    bytes: u64,
}

impl Lanes {
    fn new(follows: bool, limit: usize, pack: u64) -> Lanes {
        Lanes {
            follows,
            pack,
            limit,
            busy: 0,
            under_way: 0,
            rate: None,
            round: Round::default(),
            before: None,
            rest: 0,
            steep: true,
        }
    }

    /// Bytes of a pack that is begun now.
    fn pack(&self) -> u64 {
        match self.rate {
            _ if !self.follows => self.pack,
            // A float too large for it becomes the largest.
            Some(rate) => ((rate * CARRIED) as u64).clamp(SMALLEST, LARGEST),
            None => SMALLEST,
        }
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.busy == 0 || (self.busy < self.limit && self.under_way.saturating_add(bytes) <= MOST_BYTES)
    }

    fn begin(&mut self, bytes: u64, now: Duration) {
        self.busy += 1;
        self.under_way += bytes;
        self.round.begin.get_or_insert(now);
    }

    fn end(&mut self, bytes: u64) {
        self.busy -= 1;
        self.under_way -= bytes;
    }

    /// A request of so many bytes took so long, and is done.
    fn carried(&mut self, bytes: u64, took: Duration, now: Duration) {
        if !self.follows || bytes < TELLING {
            return;
        }
        let rate = bytes as f64 / took.as_secs_f64().max(1e-6);
        self.rate = Some(self.rate.map_or(rate, |known| (known + rate) / 2.0));
        self.round.done += 1;
        self.round.bytes += bytes;
        if self.round.done >= 2 * self.limit {
            let lasted = now.saturating_sub(self.round.begin.unwrap_or(now));
            self.step(self.round.bytes as f64 / lasted.as_secs_f64().max(1e-6));
            self.round = Round { begin: Some(now), ..Round::default() };
        }
    }

    /// A round ended that carried so many bytes a second.
    fn step(&mut self, speed: f64) {
        let narrow = self.rate.is_some_and(|rate| rate * self.limit as f64 <= WIDE);
        if narrow {
            (self.limit, self.before) = (1, None);
        } else if self.before.is_some_and(|before| speed < before * FASTER) {
            self.limit = if self.steep { self.limit.div_ceil(2) } else { self.limit - 1 }.max(1);
            (self.before, self.rest, self.steep) = (None, PATIENCE, false);
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if self.limit < MOST {
            self.before = Some(speed);
            self.limit = if self.steep { 2 * self.limit } else { self.limit + 1 }.min(MOST);
        }
    }

    /// A request failed in a way that may pass: less is asked, once for all that were under way.
    fn refused(&mut self, now: Duration) {
        if self.follows && (self.round.done > 0 || self.steep) {
            self.limit = self.limit.div_ceil(2);
            (self.before, self.rest, self.steep) = (None, PATIENCE, false);
            self.round = Round { begin: Some(now), ..Round::default() };
        }
    }
}

/// One direction of the way to a store, for all of its clones.
#[derive(Debug)]
pub struct Flow {
    lanes: Mutex<Lanes>,
    freed: Condvar,
    origin: Instant,
    ahead: u64,
}

impl Flow {
    /// Always so many requests at once, and packs of 32 MiB.
    pub fn steady(limit: usize) -> Arc<Flow> {
        Flow::of(Lanes::new(false, limit, LARGEST), 0)
    }

    /// The same with smaller packs: for tests.
    pub fn steady_with_packs(limit: usize, pack: u64) -> Arc<Flow> {
        Flow::of(Lanes::new(false, limit, pack), 0)
    }

    /// What follows what is seen, from so many requests at once on; so many bytes may be read before somebody wants them.
    pub fn following(limit: usize, ahead: u64) -> Arc<Flow> {
        Flow::of(Lanes::new(true, limit, SMALLEST), ahead)
    }

    fn of(lanes: Lanes, ahead: u64) -> Arc<Flow> {
        Arc::new(Flow { lanes: Mutex::new(lanes), freed: Condvar::new(), origin: Instant::now(), ahead })
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("no holder of this lock panics")
    }

    /// Bytes of a pack that is begun now.
    pub fn pack(&self) -> u64 {
        self.lanes().pack()
    }

    /// Requests there may ever be at once.
    pub fn most(&self) -> usize {
        let lanes = self.lanes();
        if lanes.follows { MOST } else { lanes.limit }
    }

    /// Bytes that may be read before somebody wants them.
    pub fn ahead(&self) -> u64 {
        self.ahead
    }

    /// Waits until one more request of so many bytes may be under way, and begins it; its room is free again when the lane is dropped.
    pub fn enter(self: &Arc<Flow>, bytes: u64) -> Lane {
        let lanes = self.lanes();
        let mut lanes = self
            .freed
            .wait_while(lanes, |lanes| !lanes.has_room(bytes))
            .expect("no holder of this lock panics");
        let begin = self.origin.elapsed();
        lanes.begin(bytes, begin);
        Lane { flow: self.clone(), bytes, begin }
    }

    /// A request failed in a way that may pass.
    pub(super) fn refused(&self) {
        self.lanes().refused(self.origin.elapsed());
    }
}

/// The room of one request.
#[derive(Debug)]
pub struct Lane {
    flow: Arc<Flow>,
    bytes: u64,
    begin: Duration,
}

impl Lane {
    /// The request begins now, and has so many bytes.
    pub fn start(&mut self, bytes: u64) {
        let mut lanes = self.flow.lanes();
        lanes.under_way = lanes.under_way - self.bytes + bytes;
        (self.bytes, self.begin) = (bytes, self.flow.origin.elapsed());
    }

    /// The request was answered.
    pub fn carried(self) {
        let now = self.flow.origin.elapsed();
        self.flow.lanes().carried(self.bytes, now.saturating_sub(self.begin), now);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.flow.lanes().end(self.bytes);
        self.flow.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = (1 << 20) as f64;

    /// A link of so many bytes a second, of which one request carries no more than `each`, used for `rounds` rounds of requests of one
    /// pack. Gives what is known then.
    fn used(link: f64, each: f64, rounds: u32) -> Lanes {
        let mut lanes = Lanes::new(true, 1, SMALLEST);
        let mut now = Duration::ZERO;
        for _ in 0..rounds {
            let (at_once, bytes) = (lanes.limit, lanes.pack());
            let took = Duration::from_secs_f64(bytes as f64 / each.min(link / at_once as f64));
            for _ in 0..at_once {
                lanes.begin(bytes, now);
            }
            now += took;
            for _ in 0..at_once {
                lanes.carried(bytes, took, now);
                lanes.end(bytes);
            }
        }
        lanes
    }

    #[test]
    fn a_pack_is_what_two_seconds_carry_and_alone_on_a_slow_link() {
        for (rate, pack) in [(1e3, SMALLEST), (1e6, 2_000_000), (2e6, 4_000_000), (4e6, 8_000_000)] {
            let lanes = used(rate, rate, 40);
            // Times are whole nanoseconds.
            assert!(lanes.pack().abs_diff(pack) < 1000, "{} at {rate}", lanes.pack());
            assert_eq!(lanes.limit, 1, "{rate}");
        }
        assert_eq!(used(1e9, 1e9, 40).pack(), LARGEST);
        assert_eq!(Lanes::new(true, 1, SMALLEST).pack(), SMALLEST, "nothing is known yet");
        assert_eq!(Lanes::new(false, 1, LARGEST).pack(), LARGEST);
    }

    #[test]
    fn more_at_once_as_long_as_that_makes_it_faster() {
        assert_eq!(used(1e9, 30.0 * MIB, 60).limit, MOST, "each is held back by its own distance");
        assert!(used(100.0 * MIB, 100.0 * MIB, 60).limit <= 2, "one takes all there is");
        let shared = used(90.0 * MIB, 30.0 * MIB, 60).limit;
        assert!((3..=5).contains(&shared), "{shared} at once where three fill the link");
    }

    #[test]
    fn a_refusal_halves_once_for_all_that_were_under_way() {
        let mut lanes = used(1e9, 30.0 * MIB, 60);
        let now = Duration::from_secs(1000);
        lanes.carried(LARGEST, Duration::from_secs(1), now);
        (0..5).for_each(|_| lanes.refused(now));
        assert_eq!(lanes.limit, MOST / 2);
        lanes.carried(LARGEST, Duration::from_secs(1), now);
        lanes.refused(now);
        assert_eq!(lanes.limit, MOST / 4);
        let mut steady = Lanes::new(false, 3, LARGEST);
        steady.refused(now);
        assert_eq!(steady.limit, 3);
    }

    #[test]
    fn bytes_under_way_are_bounded_and_one_request_always_goes() {
        let mut lanes = Lanes::new(false, MOST, LARGEST);
        assert!(lanes.has_room(u64::MAX), "alone");
        lanes.begin(2 * LARGEST, Duration::ZERO);
        assert!(lanes.has_room(LARGEST) && !lanes.has_room(LARGEST + 1));
        lanes.end(2 * LARGEST);
        assert!(lanes.has_room(u64::MAX));
    }
}

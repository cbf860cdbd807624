//! Pace: how often a request that failed is tried again, and how long everybody waits when a store asks for fewer requests.
//!
//! Tries of one request are counted, the wait before each is twice that of the one before, and a random part of it is left out, so that
//! those who failed together do not come back together. A store that is busy is another matter: it may be so for minutes,
//! it tells all of us at once, and the remedy is to ask less. So that wait is one for the whole process, grows with each such answer
//! and shrinks with each other one, and such answers do not count as tries until they go on for [`Pace::busy_for`].

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::backend::{BackendError, Failure};
use super::count::Requests;

/// Waits and bounds of one store.
#[derive(Debug)]
pub struct Pace {
    tries: u32,
    first_wait: Duration,
    longest_wait: Duration,
    busy_for: Duration,
    /// What everybody waits before a request, for the store is busy.
    slow: Mutex<Duration>,
}

impl Pace {
    /// As for people, whose networks fail for seconds and whose stores are busy for minutes.
    pub fn patient() -> Pace {
        Pace {
            tries: 7,
            first_wait: Duration::from_millis(60),
            longest_wait: Duration::from_secs(10),
            busy_for: Duration::from_secs(10 * 60),
            slow: Mutex::default(),
        }
    }

    /// Without any wait: for tests, whose failures do not pass with time.
    pub fn hasty() -> Pace {
        Pace {
            tries: 4,
            first_wait: Duration::ZERO,
            longest_wait: Duration::ZERO,
            busy_for: Duration::ZERO,
            slow: Mutex::default(),
        }
    }

    /// The answer of a request, tried again where that may help.
    pub fn keep<T>(
        &self,
        requests: &Requests,
        request: impl Fn() -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let (mut tried, mut wait) = (1, self.first_wait);
        let begin = Instant::now();
        loop {
            let error = match self.once(&request) {
                Err(error) if error.failure.may_pass() => error,
                answer => return answer,
            };
            let is_busy = error.failure == Failure::Busy && begin.elapsed() < self.busy_for;
            if tried >= self.tries && !is_busy {
                return Err(error);
            }
            if !is_busy {
                tried += 1;
                thread::sleep(part_of(wait));
                wait = (wait * 2).min(self.longest_wait);
            }
            requests.again();
        }
    }

    /// The answer of a request that is made once, when the store can take it.
    pub fn once<T>(&self, request: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
        let slow = *self.slow.lock().expect("no holder of this lock panics");
        if !slow.is_zero() {
            thread::sleep(part_of(slow));
        }
        let answer = request();
        let is_busy = matches!(&answer, Err(error) if error.failure == Failure::Busy);
        if is_busy || !slow.is_zero() {
            let mut slow = self.slow.lock().expect("no holder of this lock panics");
            *slow = match is_busy {
                true => (*slow * 2).clamp(self.first_wait, self.longest_wait),
                // A millisecond is none.
                false => Some(*slow / 2).filter(|wait| wait.as_millis() > 0).unwrap_or_default(),
            };
        }
        answer
    }
}

/// Between half of it and all of it.
fn part_of(wait: Duration) -> Duration {
    // Any number that differs between processes and calls will do.
    let random = u32::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().expect("16 bytes"));
    wait / 2 + (wait / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn failing(pace: &Pace, failure: Failure, times: u32) -> (Result<u32, BackendError>, u64) {
        let (requests, calls) = (Requests::default(), Cell::new(0));
        let answer = pace.keep(&requests, || {
            calls.set(calls.get() + 1);
            match calls.get() > times {
                true => Ok(calls.get()),
                false => Err(BackendError { failure, message: String::new() }),
            }
        });
        (answer, requests.now().again)
    }

    #[test]
    fn a_failure_that_may_pass_is_tried_again_and_no_other() {
        let pace = Pace::hasty();
        assert!(matches!(failing(&pace, Failure::Other, 3), (Ok(4), 3)));
        assert!(matches!(failing(&pace, Failure::Other, 4), (Err(_), 3)));
        assert!(matches!(failing(&pace, Failure::Denied, 1), (Err(_), 0)));
    }

    #[test]
    fn a_busy_store_is_waited_for_and_slows_everybody_down() {
        let pace = Pace {
            first_wait: Duration::from_micros(10),
            longest_wait: Duration::from_micros(40),
            busy_for: Duration::from_secs(600),
            ..Pace::hasty()
        };
        assert!(matches!(failing(&pace, Failure::Busy, 50), (Ok(51), 50)));
        let busy = |_: u32| {
            pace.once(|| Err::<(), _>(BackendError { failure: Failure::Busy, message: String::new() }))
        };
        (0..9).map(busy).for_each(drop);
        assert_eq!(*pace.slow.lock().unwrap(), Duration::from_micros(40));
        pace.once(|| Ok(())).unwrap();
        assert_eq!(*pace.slow.lock().unwrap(), Duration::ZERO, "a store that answers is not waited for");
    }
}

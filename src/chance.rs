//! What a machine takes from outside that no request and no file brings: the time, and random numbers.
//!
//! Both come from the system. A simulation gives them to the thread that it runs on, so that its seed decides them too.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Numbers that follow from a seed (SplitMix64).
#[derive(Debug, Clone, Copy)]
pub struct Seeded(u64);

impl Seeded {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Seeded {
        Seeded(mix(seed))
    }

    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next one below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    /// Whether something happens that happens once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A number in which each bit depends on every bit of `x`.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// What this thread is given.
struct Given {
    random: Seeded,
    now: u64,
}

thread_local! {
    static GIVEN: RefCell<Option<Given>> = const { RefCell::new(None) };
}

/// Milliseconds since 1970 by this machine's clock; decides nothing.
pub fn now() -> u64 {
    let given = GIVEN.with_borrow(|given| given.as_ref().map(|given| given.now));
    given.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Milliseconds since 1970 as RFC 3339, in UTC: the same everywhere, and sorted as text.
pub fn utc(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(|| "unknown".to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Random bytes that this thread is given; nothing where it is to ask the system.
pub fn bytes() -> Option<[u8; 16]> {
    GIVEN.with_borrow_mut(|given| {
        let random = &mut given.as_mut()?.random;
        Some((u128::from(random.draw()) << 64 | u128::from(random.draw())).to_be_bytes())
    })
}

/// Does something on this thread with the numbers of a seed, and a clock that stands at `now`.
pub fn given<T>(seed: u64, now: u64, body: impl FnOnce() -> T) -> T {
    /// Gives back what was before, also when `body` panics.
    struct Before(Option<Given>);
    impl Drop for Before {
        fn drop(&mut self) {
            let before = self.0.take();
            GIVEN.with_borrow_mut(|given| *given = before);
        }
    }
    let random = Seeded::new(seed);
    let _before = Before(GIVEN.with_borrow_mut(|given| given.replace(Given { random, now })));
    body()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        assert_eq!(utc(1_700_000_000_123), "2023-11-14T22:13:20Z");
        assert_eq!(utc(u64::MAX), "unknown");
    }
}

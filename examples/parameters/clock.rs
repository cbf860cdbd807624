//! Processor time of this thread: others may use the machine meanwhile.

use rustix::time::{ClockId, clock_gettime};

/// Seconds of processor time that `work` takes, and what it gives.
pub fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let before = now();
    let result = work();
    (now() - before, result)
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

//! Progress of one object: the first line before the work begins, then at most some ten a second, the last at the size.

use std::io::{self, Write};
use std::time::Duration;

use crate::message::{Oid, Reply};

/// Time between two progress lines. git-lfs redraws its meter about as often.
const INTERVAL: Duration = Duration::from_millis(100);

/// The most one line may add: git-lfs reads `bytesSinceLast` into a Go `int`, 32 bits on some machines, and a number that
/// does not fit there loses the line and the stream with it.
const MOST_A_LINE: u64 = i32::MAX as u64;

/// The most lines for one step. A file of more than 2 TiB that is done at once is told short: its meter lags, which
/// is better than lines without end for a size nobody has.
const MOST_LINES: usize = 1024;

/// What git-lfs has been told of one object.
pub(crate) struct Progress<'a> {
    oid: &'a Oid,
    size: u64,
    told: u64,
    when: Duration,
    output: &'a mut dyn Write,
    clock: &'a dyn Fn() -> Duration,
    broken: Option<io::Error>,
}

impl<'a> Progress<'a> {
    /// Tells git-lfs that the object has begun: only then does it give work to its other processes.
    pub(crate) fn begin(
        oid: &'a Oid,
        size: u64,
        output: &'a mut dyn Write,
        clock: &'a dyn Fn() -> Duration,
    ) -> io::Result<Self> {
        let mut progress = Progress { oid, size, told: 0, when: clock(), output, clock, broken: None };
        if size > 0 {
            progress.tell(1)?;
        }
        Ok(progress)
    }

    /// The transfer has done so many bytes. A pipe that breaks here is reported by `end`.
    pub(crate) fn at(&mut self, so_far: u64) {
        let so_far = so_far.min(self.size);
        if self.broken.is_some() || so_far <= self.told {
            return;
        }
        let now = (self.clock)();
        if now.saturating_sub(self.when) >= INTERVAL {
            self.when = now;
            self.broken = self.tell(so_far).err();
        }
    }

    /// The transfer is over. Where it succeeded the last progress is the size, in one write with the reply: thousands of
    /// small files are the common case.
    pub(crate) fn end(mut self, reply: &Reply<'_>) -> io::Result<()> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let mut lines = Vec::new();
        if reply.is_success() && self.told < self.size {
            self.lines(&mut lines, self.size);
        }
        reply.write(&mut lines);
        self.output.write_all(&lines)?;
        self.output.flush()
    }

    fn tell(&mut self, so_far: u64) -> io::Result<()> {
        let mut lines = Vec::new();
        self.lines(&mut lines, so_far);
        self.output.write_all(&lines)?;
        self.output.flush()
    }

    fn lines(&mut self, lines: &mut Vec<u8>, so_far: u64) {
        for _ in 1..MOST_LINES {
            if so_far - self.told <= MOST_A_LINE {
                break;
            }
            self.line(lines, self.told + MOST_A_LINE);
        }
        self.line(lines, so_far);
    }

    fn line(&mut self, lines: &mut Vec<u8>, so_far: u64) {
        let since = (so_far - self.told).min(MOST_A_LINE);
        self.told = so_far;
        Reply::Progress { oid: self.oid, so_far, since }.write(lines);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn told(size: u64, steps: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let oid: Oid = "0".repeat(64).parse().expect("an oid");
        let now = Cell::new(Duration::ZERO);
        let clock = || now.get();
        let mut output = Vec::new();
        let mut progress = Progress::begin(&oid, size, &mut output, &clock).expect("memory does not fail");
        for (millis, so_far) in steps {
            now.set(Duration::from_millis(*millis));
            progress.at(*so_far);
        }
        progress.end(&Reply::Uploaded(&oid)).expect("memory does not fail");
        let number = |line: &serde_json::Value, field: &str| line[field].as_u64().expect("a number");
        String::from_utf8(output)
            .expect("text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .filter(|line: &serde_json::Value| line["event"] == "progress")
            .map(|line| (number(&line, "bytesSoFar"), number(&line, "bytesSinceLast")))
            .collect()
    }

    #[test]
    fn ten_lines_a_second_and_the_last_is_the_size() {
        let steps = (0..1000).map(|millis| (millis, 1000 + millis)).collect::<Vec<_>>();
        let told = told(5000, &steps);
        assert_eq!(told.len(), 1 + 9 + 1);
        assert_eq!(told[..3], [(1, 1), (1100, 1099), (1200, 100)]);
        assert_eq!(told.last(), Some(&(5000, 3100)));
        assert_eq!(told.iter().map(|(_, since)| since).sum::<u64>(), 5000);
    }

    #[test]
    fn backwards_and_past_the_size_are_not_told() {
        assert_eq!(told(10, &[(200, 5), (400, 3), (600, 99), (800, 100)]), [(1, 1), (5, 4), (10, 5)]);
    }

    #[test]
    fn one_byte_is_one_line_and_nothing_is_none() {
        assert_eq!(told(1, &[]), [(1, 1)]);
        assert_eq!(told(0, &[(500, 0), (900, 7)]), []);
    }

    #[test]
    fn a_step_that_fits_no_int_is_several_lines() {
        let size = 3 * MOST_A_LINE;
        let told = told(size, &[]);
        assert_eq!(told.len(), 4);
        assert!(told.iter().all(|(_, since)| *since <= MOST_A_LINE));
        assert_eq!(told.iter().map(|(_, since)| since).sum::<u64>(), size);
        assert_eq!(told.last().expect("lines").0, size);
    }

    #[test]
    fn a_size_nobody_has_is_told_in_a_bounded_number_of_lines() {
        let told = told(i64::MAX as u64, &[]);
        assert_eq!(told.len(), 1 + MOST_LINES);
        assert_eq!(told.last(), Some(&(i64::MAX as u64, MOST_A_LINE)));
    }
}

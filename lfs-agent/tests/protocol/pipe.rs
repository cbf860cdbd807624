//! Both ends of the pipe in one log, so that the order of reading, writing and working can be compared.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;

/// What happened, in order: `> ` a line was read, `< ` a line was written and flushed, `= ` the agent worked.
pub type Log = Rc<RefCell<Vec<String>>>;

/// The agent's stdin. A line is there only when the one before it has been used up, as with git-lfs.
pub struct Requests {
    lines: VecDeque<Vec<u8>>,
    log: Log,
}

impl Requests {
    pub fn new(lines: impl IntoIterator<Item = Vec<u8>>, log: &Log) -> Self {
        Requests { lines: lines.into_iter().collect(), log: log.clone() }
    }
}

impl BufRead for Requests {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.lines.front().map_or(&[], Vec::as_slice))
    }

    fn consume(&mut self, amount: usize) {
        let Some(line) = self.lines.front_mut() else { return };
        self.log
            .borrow_mut()
            .push(format!("> {}", String::from_utf8_lossy(&line[..amount]).trim_end_matches('\n')));
        line.drain(..amount);
        if line.is_empty() {
            self.lines.pop_front();
        }
    }
}

impl Read for Requests {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the agent reads lines"))
    }
}

/// The agent's stdout: bytes count when they are flushed, and what is flushed must end a line.
pub struct Replies {
    waiting: Vec<u8>,
    log: Log,
    /// How many flushes work before the reader goes away.
    left: usize,
}

impl Replies {
    pub fn new(log: &Log) -> Self {
        Replies::breaking_after(usize::MAX, log)
    }

    pub fn breaking_after(left: usize, log: &Log) -> Self {
        Replies { waiting: Vec::new(), log: log.clone(), left }
    }
}

impl Write for Replies {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.waiting.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.left -= 1;
        let text = String::from_utf8(std::mem::take(&mut self.waiting)).expect("replies are UTF-8");
        let lines = text.strip_suffix('\n').expect("what is flushed ends a line");
        self.log.borrow_mut().extend(lines.split('\n').map(|line| format!("< {line}")));
        Ok(())
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.waiting.is_empty(), "a reply was written and never flushed");
        }
    }
}

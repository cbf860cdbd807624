//! One line of bounded length at a time, from a pipe that may hold anything.

use std::io::{self, BufRead, ErrorKind};

/// The longest request read, bytes. git-lfs's longest holds one path and an `action` that is null for a standalone agent:
/// a few KiB.
pub(crate) const LONGEST: usize = 1 << 20;

/// What came before a line feed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole line, without its line feed.
    Whole,
    /// More than [`LONGEST`] bytes; the buffer holds their beginning, the rest is passed over.
    TooLong,
    /// The end of the input. What may stand there without a line feed is no request: its writer died over it.
    End,
}

/// Reads the next line into `buffer`, in place of what was there.
pub(crate) fn read(input: &mut dyn BufRead, buffer: &mut Vec<u8>) -> io::Result<Line> {
    buffer.clear();
    let mut line = Line::Whole;
    loop {
        let bytes = match input.fill_buf() {
            Ok([]) => return Ok(Line::End),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let feed = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..feed.unwrap_or(bytes.len())];
        let room = LONGEST - buffer.len();
        if part.len() > room {
            line = Line::TooLong;
        }
        buffer.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(feed.is_some());
        input.consume(used);
        if feed.is_some() {
            return Ok(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    fn lines(bytes: &[u8], at_once: usize) -> Vec<(Line, usize)> {
        let mut input = BufReader::with_capacity(at_once, bytes);
        let (mut buffer, mut lines) = (Vec::new(), Vec::new());
        loop {
            let line = read(&mut input, &mut buffer).expect("a slice does not fail");
            if line == Line::End {
                return lines;
            }
            lines.push((line, buffer.len()));
        }
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        for at_once in [1, 2, 3, 100] {
            assert_eq!(
                lines(b"ab\n\nc\nrest without a line feed", at_once),
                [(Line::Whole, 2), (Line::Whole, 0), (Line::Whole, 1)]
            );
        }
    }

    #[test]
    fn the_longest_line_is_whole_and_one_byte_more_is_not() {
        for (extra, first) in [(0, Line::Whole), (1, Line::TooLong), (LONGEST, Line::TooLong)] {
            let mut bytes = vec![b'x'; LONGEST + extra];
            bytes.extend_from_slice(b"\nnext\n");
            assert_eq!(lines(&bytes, 8192), [(first, LONGEST), (Line::Whole, 4)]);
        }
    }

    #[test]
    fn an_endless_line_takes_no_more_memory_than_the_longest() {
        let mut input = BufReader::new(io::repeat(b'x').take(64 << 20));
        let mut buffer = Vec::new();
        assert_eq!(read(&mut input, &mut buffer).expect("it ends"), Line::End);
        assert!(buffer.capacity() <= 2 * LONGEST, "{} bytes", buffer.capacity());
    }
}

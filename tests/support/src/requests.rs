//! Counts the requests in one direction of a connection of HTTP/1.1, as its bytes go by in pieces of any size.

/// Longer lines are not HTTP; no more of them is kept.
const LONGEST_LINE: usize = 64 << 10;

#[derive(Default, PartialEq, Eq)]
enum At {
    #[default]
    Head,
    ChunkSize,
    Trailer,
}

/// How far a connection is.
#[derive(Default)]
pub(crate) struct Requests {
    at: At,
    line: Vec<u8>,
    /// Bytes of a body that are still to come.
    skip: u64,
    length: u64,
    chunked: bool,
}

impl Requests {
    /// How many heads of requests ended in these bytes.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let now = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= now as u64;
                bytes = &bytes[now..];
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            if self.line.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.line);
                count += u64::from(self.read(String::from_utf8_lossy(&line).trim()));
            } else if self.line.len() > LONGEST_LINE {
                self.line.clear();
            }
        }
        count
    }

    /// Whether this line ends the head of a request.
    fn read(&mut self, line: &str) -> bool {
        match self.at {
            At::Head if line.is_empty() => {
                self.skip = std::mem::take(&mut self.length);
                if std::mem::take(&mut self.chunked) {
                    (self.at, self.skip) = (At::ChunkSize, 0);
                }
                return true;
            }
            At::Head => {
                let (name, value) = line.split_once(':').unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => self.length = value.trim().parse().unwrap_or(0),
                    "transfer-encoding" => self.chunked = value.contains("chunked"),
                    _ => {}
                }
            }
            At::ChunkSize => {
                let size = line.split(';').next().unwrap_or("");
                match u64::from_str_radix(size, 16).unwrap_or(0) {
                    0 => self.at = At::Trailer,
                    size => self.skip = size + 2,
                }
            }
            At::Trailer if line.is_empty() => self.at = At::Head,
            At::Trailer => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_whatever_the_pieces_and_whatever_their_bodies_look_like() {
        let body = "GET /not HTTP/1.1\r\n\r\n";
        let stream = format!(
            "GET /a HTTP/1.1\r\nHost: x\r\n\r\nPUT /b HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}\
             PUT /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{:x};signed\r\n{body}\r\n0\r\nsum: 1\r\n\r\nHEAD /d HTTP/1.1\r\n\r\n",
            body.len(),
            body.len()
        );
        for size in [1, 2, 7, stream.len()] {
            let mut requests = Requests::default();
            let counted: u64 = stream.as_bytes().chunks(size).map(|piece| requests.pass(piece)).sum();
            assert_eq!(counted, 4, "in pieces of {size}");
        }
    }
}

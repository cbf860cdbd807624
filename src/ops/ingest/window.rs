//! Reading sources in windows: a few MiB of consecutive bytes, of one large file or of many small ones.
//!
//! One thread reads while the others hash: the channel holds one window, so at most three are in memory, and they are used
//! again: fresh memory costs as much as a hash.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use rustix::fs::OFlags;

use super::Source;

/// Bytes read into one window.
pub const WINDOW: usize = 4 << 20;
/// Files begun in one session.
const SESSION_FILES: usize = 1 << 16;
/// Room before them for the uncut end of the window before; no chunk is longer (`Sizes::valid`).
pub const HEADROOM: usize = 1 << 20;

/// How long files are begun. A session that goes on for ever would meet a floor that rose above it; what is done is committed
/// first (R15). So would the recipes in memory grow with it.
pub struct Session {
    until: Instant,
    ended: AtomicBool,
}

impl Session {
    /// One that lasts until then.
    pub fn new(until: Instant) -> Self {
        Session { until, ended: AtomicBool::new(false) }
    }

    /// Begin no further file.
    pub fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    fn is_over(&self, begun: usize) -> bool {
        begun >= SESSION_FILES || self.ended.load(Relaxed) || Instant::now() >= self.until
    }
}

/// A part of one source in a window.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Position of the source in the list.
    pub source: usize,
    /// Where its bytes begin in the buffer.
    pub start: usize,
    /// Where they end.
    pub end: usize,
    /// The file begins here.
    pub first: bool,
    /// The file ends here.
    pub last: bool,
}

/// Bytes of consecutive sources. Sources that could not be read stand in `failed` and give no further piece.
pub struct Window {
    /// The bytes, after [`HEADROOM`]; what lies behind the last piece is of an earlier use.
    pub bytes: Vec<u8>,
    /// Where the bytes of pieces end.
    filled: usize,
    /// What they belong to, in order.
    pub pieces: Vec<Piece>,
    /// Sources that could not be read, and why.
    pub failed: Vec<(usize, io::Error)>,
    /// The first source that was not begun because time was up.
    pub left: Option<usize>,
}

impl Window {
    /// An empty window, in the memory of one that was used if there is one.
    fn new(empty: &Receiver<Window>) -> Self {
        let bytes = match empty.try_recv() {
            Ok(used) => used.bytes,
            Err(_) => vec![0; HEADROOM + WINDOW],
        };
        Window { bytes, filled: HEADROOM, pieces: vec![], failed: vec![], left: None }
    }

    fn is_full(&self) -> bool {
        self.filled == self.bytes.len()
    }

    /// The next bytes of a file of `size` bytes, as many as fit, `before` of which were read already: how many, and whether the
    /// file ends there.
    fn read(&mut self, file: &mut File, size: u64, before: u64) -> io::Result<(usize, bool)> {
        let start = self.filled;
        while !self.is_full() {
            let asked = self.bytes.len() - self.filled;
            let got = match file.read(&mut self.bytes[self.filled..]) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.filled = start;
                    return Err(error);
                }
            };
            self.filled += got;
            // Less than asked for and all that there should be: no need to ask whether there is more.
            let all = got < asked && before + (self.filled - start) as u64 == size;
            if got == 0 || all {
                return Ok((self.filled - start, true));
            }
        }
        Ok((self.filled - start, false))
    }
}

/// A regular file at the moment it is opened, and its looks. To open a pipe that took its place must not wait for a writer; and what nobody
/// has hashed yet is taken in only if it lies at that path itself, since a link that took its place may lead anywhere.
fn open(source: &Source) -> io::Result<(File, Metadata)> {
    let flags = match source.expected {
        Some(_) => OFlags::NONBLOCK,
        None => OFlags::NONBLOCK | OFlags::NOFOLLOW,
    };
    let flags = i32::try_from(flags.bits()).expect("flags of open(2) are an int");
    let file = File::options().read(true).custom_flags(flags).open(&source.path).map_err(|error| {
        match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => io::Error::other("a link took its place"),
            // A socket, or a pipe or device with nobody at its other end.
            Some(rustix::io::Errno::NXIO) => no_file(),
            _ => error,
        }
    })?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(no_file()) }
}

/// What nobody has hashed yet must not be a mixture of two contents: a change since it was opened shows in its size and times.
fn is_unchanged(source: &Source, file: &File, found: &Metadata) -> io::Result<()> {
    let look = |it: &Metadata| (it.len(), it.mtime(), it.mtime_nsec());
    if source.expected.is_some() || look(&file.metadata()?) == look(found) {
        return Ok(());
    }
    Err(io::Error::other("it changed while it was read; run the command again when nothing writes to it"))
}

fn no_file() -> io::Error {
    io::Error::other("it is no regular file")
}

/// Read `sources` in order into windows and begin none once the session is over; used windows come back as `empty`. Returns early when
/// nobody takes them any more.
pub fn read_all(
    sources: &[Source],
    windows: &SyncSender<Window>,
    empty: &Receiver<Window>,
    session: &Session,
) {
    let mut window = Window::new(empty);
    for (at, source) in sources.iter().enumerate() {
        if at > 0 && session.is_over(at) {
            window.left = Some(at);
            break;
        }
        let (mut file, found) = match open(source) {
            Ok(opened) => opened,
            Err(error) => {
                window.failed.push((at, error));
                continue;
            }
        };
        let (mut before, mut ended) = (0, false);
        while !ended {
            if window.is_full() {
                if windows.send(std::mem::replace(&mut window, Window::new(empty))).is_err() {
                    return;
                }
                continue;
            }
            let start = window.filled;
            let read = window.read(&mut file, found.len(), before).and_then(|(got, last)| {
                if last {
                    is_unchanged(source, &file, &found)?;
                }
                Ok((got, last))
            });
            match read {
                Ok((got, last)) => {
                    let (first, end) = (before == 0, start + got);
                    window.pieces.push(Piece { source: at, start, end, first, last });
                    before += got as u64;
                    ended = last;
                }
                Err(error) => {
                    window.filled = start;
                    window.failed.push((at, error));
                    break;
                }
            }
        }
    }
    let _ = windows.send(window);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_change_since_the_file_was_opened_shows() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("a");
        std::fs::write(&path, b"before").expect("written");
        let source = |expected| Source { expected, path: path.clone(), near: vec![] };
        let (file, found) = open(&source(None)).expect("opens");
        is_unchanged(&source(None), &file, &found).expect("nothing happened");
        // As long as before, and a moment later.
        let later = found.modified().expect("a time") + Duration::from_secs(1);
        File::options().write(true).open(&path).and_then(|it| it.set_modified(later)).expect("set");
        let error = is_unchanged(&source(None), &file, &found).expect_err("changed").to_string();
        assert!(error.contains("changed while it was read"), "{error}");
        // What was hashed before is known by its bytes.
        let expected = (crate::id::Oid::from_bytes([0; 32]), 6);
        is_unchanged(&source(Some(expected)), &file, &found).expect("decided by its hash");
    }
}

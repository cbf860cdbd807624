//! One file being written: hashed as it goes, wrong bytes never left behind.
//!
//! What is verified is what passed to the disk: a disk that keeps other bytes than it was given, and says nothing, is found by who reads
//! them next.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::decode::Run;
use super::{FetchError, Wanted};
use crate::disk::Disk;
use crate::id::Oid;

/// A file of at least this many bytes gets its place on the disk at once; its length still says how much was written.
const PREALLOCATE: u64 = 4 << 20;
/// From this many bytes on they are hashed on one core while another writes them.
const BESIDE: u64 = 512 << 10;

/// How files are begun.
pub type Open<'a> = &'a (dyn Fn(&Wanted) -> Result<Sink, FetchError> + Sync);

/// A file that exists under its name only while it is being written or once it is verified.
pub struct Sink {
    path: PathBuf,
    /// Where it is written; nowhere if only its hash is asked for.
    place: Option<(Disk, File)>,
    sha: Sha256,
    oid: Oid,
    size: u64,
    written: u64,
    verified: bool,
}

impl Sink {
    /// An empty file; its mode is what the umask says.
    pub fn create(wanted: &Wanted, disk: &Disk) -> Result<Sink, FetchError> {
        let room = |file: &File| if wanted.size < PREALLOCATE { Ok(()) } else { reserve(file, wanted.size) };
        let file =
            disk.create(&wanted.path, room).map_err(|source| FetchError::write(&wanted.path, source))?;
        let mut sink = Sink::nowhere(wanted);
        sink.place = Some((disk.clone(), file));
        Ok(sink)
    }

    /// No file: its bytes are hashed and forgotten.
    pub fn nowhere(wanted: &Wanted) -> Sink {
        let (path, oid, size) = (wanted.path.clone(), wanted.oid, wanted.size);
        Sink { path, place: None, sha: Sha256::new(), oid, size, written: 0, verified: false }
    }

    /// The next bytes of the file. Returns how many.
    pub fn write(&mut self, run: &Run) -> Result<u64, FetchError> {
        let before = self.written;
        for run in run.batched() {
            self.write_run(&run)?;
        }
        Ok(self.written - before)
    }

    fn write_run(&mut self, run: &Run) -> Result<(), FetchError> {
        let length = run.length();
        for _ in 0..run.repeat {
            self.written = self.written.saturating_add(length);
            // What a recipe gives is bounded by what the row promised, so a hostile recipe fills no disk.
            if self.written > self.size {
                return Err(self.wrong());
            }
            self.write_once(&run.pieces, length)?;
        }
        Ok(())
    }

    fn write_once(&mut self, pieces: &[Bytes], length: u64) -> Result<(), FetchError> {
        let Sink { place, sha, path, .. } = self;
        let mut write = || match place {
            Some((disk, file)) => pieces.iter().try_for_each(|piece| disk.append(path, file, piece)),
            None => Ok(()),
        };
        let mut hash = || pieces.iter().for_each(|piece| sha.update(piece));
        let written = if length < BESIDE {
            hash();
            write()
        } else {
            rayon::join(hash, write).1
        };
        written.map_err(|source| FetchError::write(path, source))
    }

    /// All bytes came: keep the file if they are the right ones.
    pub fn finish(mut self) -> Result<(), FetchError> {
        let got = Oid::from_bytes(std::mem::take(&mut self.sha).finalize().into());
        self.verified = got == self.oid && self.written == self.size;
        if self.verified { Ok(()) } else { Err(self.wrong()) }
    }

    fn wrong(&self) -> FetchError {
        FetchError::Wrong { oid: self.oid }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.verified
            && let Some((disk, _)) = &self.place
        {
            let _ = disk.remove(&self.path);
        }
    }
}

/// Take the room the file needs. Where the file system cannot, the file grows as it is written; where there is not enough, what was
/// taken of it goes back with the file.
#[cfg(target_os = "linux")]
fn reserve(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    // A file that no file system could hold would take all of this one before it fails.
    let taken = match i64::try_from(size) {
        Ok(_) => fallocate(file, FallocateFlags::KEEP_SIZE, 0, size),
        Err(_) => Err(Errno::FBIG),
    };
    match taken {
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

//! One file being written: hashed as it goes, wrong bytes never left behind.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::decode::Run;
use super::{FetchError, Wanted};
use crate::id::Oid;

/// A file of at least this many bytes gets its place on the disk at once; its length still says how much was written.
const PREALLOCATE: u64 = 4 << 20;
/// From this many bytes on they are hashed on one core while another writes them.
const BESIDE: u64 = 512 << 10;

/// How files are begun.
pub type Open = fn(&Wanted) -> Result<Sink, FetchError>;

/// A file that exists under its name only while it is being written or once it is verified.
pub struct Sink {
    path: PathBuf,
    /// Where it is written; nowhere if only its hash is asked for.
    file: Option<File>,
    sha: Sha256,
    oid: Oid,
    size: u64,
    written: u64,
    verified: bool,
}

impl Sink {
    /// An empty file; its mode is what the umask says.
    pub fn create(wanted: &Wanted) -> Result<Sink, FetchError> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&wanted.path)
            .map_err(|source| FetchError::write(&wanted.path, source))?;
        if wanted.size >= PREALLOCATE {
            reserve(&file, wanted).inspect_err(|_| drop(fs::remove_file(&wanted.path)))?;
        }
        let mut sink = Sink::nowhere(wanted);
        sink.file = Some(file);
        Ok(sink)
    }

    /// No file: its bytes are hashed and forgotten.
    pub fn nowhere(wanted: &Wanted) -> Sink {
        let (path, oid, size) = (wanted.path.clone(), wanted.oid, wanted.size);
        Sink { path, file: None, sha: Sha256::new(), oid, size, written: 0, verified: false }
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
        let Sink { file, sha, path, .. } = self;
        let mut write = || match file {
            Some(file) => pieces.iter().try_for_each(|piece| file.write_all(piece)),
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
        if !self.verified && self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Take the room the file needs. Where the file system cannot, the file grows as it is written; where there is not enough, what was
/// taken of it goes back with the file.
#[cfg(target_os = "linux")]
fn reserve(file: &File, wanted: &Wanted) -> Result<(), FetchError> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    // A file that no file system could hold would take all of this one before it fails.
    let taken = match i64::try_from(wanted.size) {
        Ok(_) => fallocate(file, FallocateFlags::KEEP_SIZE, 0, wanted.size),
        Err(_) => Err(Errno::FBIG),
    };
    match taken {
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
            Err(FetchError::write(&wanted.path, error.into()))
        }
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: &Wanted) -> Result<(), FetchError> {
    Ok(())
}

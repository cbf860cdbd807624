//! Local objects: files copied to and from where git-lfs keeps them, verified in the same pass.
//!
//! Where the file system shares bytes between files (btrfs, XFS), a copy is a reflink and takes no disk. It is never a hard link:
//! who edits one of the two files in place would change the other (`docs/adr`, second copies by reflink).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::id::Oid;
use crate::progress::Progress;

/// How much of a file is read at once, bytes.
const READ: usize = 1 << 20;

/// A regular file, no link to one.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("no regular file")) }
}

/// The SHA-256 of a regular file, no link to one.
pub fn oid_of(path: &Path) -> io::Result<Oid> {
    let (mut file, mut sha, mut buffer) = (open(path)?, Sha256::new(), vec![0; READ]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Oid::from_bytes(sha.finalize().into())),
            read => sha.update(&buffer[..read]),
        }
    }
}

/// Copies a regular file, no link to one, to a path that is not there yet; what it is shows when it was read. The mode of the copy
/// is what the umask says.
///
/// What is hashed are the bytes that the copy has, also where somebody writes to the other file meanwhile.
pub fn copy(from: &Path, to: &Path, progress: &dyn Progress) -> io::Result<(Oid, u64)> {
    let source = open(from)?;
    let mut target = OpenOptions::new().read(true).write(true).create_new(true).open(to)?;
    let shared = share(&source, &target);
    let mut input = if shared { target.try_clone()? } else { source };
    let (mut sha, mut size, mut buffer) = (Sha256::new(), 0, vec![0; READ]);
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok((Oid::from_bytes(sha.finalize().into()), size));
        }
        let bytes = &buffer[..read];
        if shared {
            sha.update(bytes);
        } else {
            // One core hashes while another writes.
            rayon::join(|| sha.update(bytes), || target.write_all(bytes)).1?;
        }
        size += read as u64;
        progress.add(read as u64);
    }
}

/// Gives an empty file the bytes of another one, each of which lies on the disk once; whether the file system can.
#[cfg(target_os = "linux")]
fn share(source: &File, target: &File) -> bool {
    rustix::fs::ioctl_ficlone(target, source).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn share(_: &File, _: &File) -> bool {
    false
}

/// Copies a file whose bytes were verified just now, by the file system's own means where it has some.
pub fn duplicate(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).open(to)?;
    if share(&source, &target) { Ok(()) } else { io::copy(&mut source, &mut target).map(drop) }
}

/// A file becomes the object at `to`, which may be there already.
pub fn keep(file: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::rename(file, to)
}

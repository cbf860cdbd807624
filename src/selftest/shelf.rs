//! The shelf: local files with known bytes, which the machines of a simulation push.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::chance::Seeded;
use crate::id::Oid;
use crate::ops::upload::Upload;

/// Files.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: TempDir,
    files: BTreeMap<Oid, Vec<u8>>,
    /// In the order they were made, so that a seed means the same file.
    order: Vec<Oid>,
}

/// A directory in memory where there is one, for many small files that are synced.
pub(super) fn scratch() -> io::Result<TempDir> {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("datamon-selftest-");
        builder
    };
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir())
}

fn noise(random: &mut Seeded, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| random.draw().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

impl Shelf {
    /// An empty one.
    pub(super) fn new() -> io::Result<Shelf> {
        Ok(Shelf { folder: scratch()?, files: BTreeMap::new(), order: vec![] })
    }

    /// Files that share parts: noise, edits of it, zeros, nothing.
    pub(super) fn filled(seed: u64, count: usize) -> io::Result<Shelf> {
        let (mut shelf, mut random) = (Shelf::new()?, Seeded::new(seed));
        let mut last: Vec<u8> = vec![];
        for number in 0..count {
            let length = 1 << random.below(15);
            let bytes = match number {
                0 => vec![],
                1 => vec![0; 20_000],
                _ if random.once_in(2) && !last.is_empty() => {
                    let at = random.below(last.len() as u64) as usize;
                    [&last[..at], &noise(&mut random, 50), &last[at..]].concat()
                }
                _ => noise(&mut random, length),
            };
            shelf.put(bytes.clone())?;
            last = bytes;
        }
        Ok(shelf)
    }

    /// One more file.
    pub(super) fn put(&mut self, bytes: Vec<u8>) -> io::Result<Oid> {
        let oid = Oid::from_bytes(Sha256::digest(&bytes).into());
        fs::write(self.path(oid), &bytes)?;
        if self.files.insert(oid, bytes).is_none() {
            self.order.push(oid);
        }
        Ok(oid)
    }

    /// Every file.
    pub(super) fn all(&self) -> &[Oid] {
        &self.order
    }

    /// A few of them.
    pub(super) fn some(&self, random: &mut Seeded) -> Vec<Oid> {
        (0..1 + random.below(3)).map(|_| random.one_of(&self.order)).collect()
    }

    fn path(&self, oid: Oid) -> PathBuf {
        self.folder.path().join(oid.to_string())
    }

    /// Bytes of a file.
    pub(super) fn size(&self, oid: Oid) -> u64 {
        self.files.get(&oid).map_or(0, |bytes| bytes.len() as u64)
    }

    /// What a file consists of.
    pub(super) fn bytes(&self, oid: Oid) -> &[u8] {
        self.files.get(&oid).map_or(&[], |bytes| bytes)
    }

    /// What to upload for these files, each after one that was there before it.
    pub(super) fn uploads(&self, oids: &[Oid], previous: Option<Oid>) -> Vec<Upload> {
        let upload =
            |oid: &Oid| Upload { oid: Some(*oid), size: self.size(*oid), path: self.path(*oid), previous };
        oids.iter().map(upload).collect()
    }

    /// A directory for what is fetched.
    pub(super) fn out(&self) -> TempDir {
        tempfile::tempdir_in(self.folder.path()).expect("a directory that was writable")
    }

    /// Whether a file lies, or would lie, where things are fetched to.
    pub(super) fn is_fetched(&self, path: &Path) -> bool {
        path.starts_with(self.folder.path())
    }

    /// Whether there is the same in a file.
    pub(super) fn is_same(&self, oid: Oid, path: &Path) -> bool {
        fs::read(path).is_ok_and(|bytes| self.files.get(&oid) == Some(&bytes))
    }
}

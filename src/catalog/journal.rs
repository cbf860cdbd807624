//! The journal: which slot this machine last tried, with which bytes (R5).
//!
//! Written, synced, before the first create of a slot and removed when its outcome is known. A process that finds one resolves
//! that slot first: the same bytes again are the same entry, so even two processes doing so at once do no harm.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::id::Nonce;

/// Journals of one store on this machine.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: Option<PathBuf>,
    name: String,
    disk: Disk,
}

impl Journal {
    /// Journals of the store at `url`, in the user's state directory.
    pub fn of_url(url: &str) -> Self {
        let base = match std::env::var_os("DATAMON_STATE_DIR") {
            Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
            _ => directories::ProjectDirs::from("", "", "git-datamon")
                .map(|dirs| dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_owned()),
        };
        let name = &blake3::hash(url.as_bytes()).to_hex()[..32];
        let folder = base.map(|base| base.join("journal").join(name));
        Journal { folder, name: Nonce::new().to_string(), disk: Disk::default() }
    }

    /// Journals in this folder, made at the first write. Each call is one writer.
    pub fn at(folder: PathBuf) -> Self {
        Journal { folder: Some(folder), name: Nonce::new().to_string(), disk: Disk::default() }
    }

    /// The same on a disk of whose steps somebody is asked.
    #[must_use]
    pub fn on(self, disk: Disk) -> Self {
        Journal { disk, ..self }
    }

    /// The journals of one store among those that were ever at this place: what was meant for one must never reach another.
    pub fn part(&self, name: &str) -> Self {
        let folder = self.folder.as_ref().map(|folder| folder.join(name));
        Journal { folder, name: self.name.clone(), disk: self.disk.clone() }
    }

    /// No journal: for stores that do not outlive the process.
    pub fn none() -> Self {
        Journal { folder: None, name: String::new(), disk: Disk::default() }
    }

    /// Where sessions write down the packs that no entry names yet.
    pub(super) fn packs(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("packs"))
    }

    /// About to create `slot` with `bytes`.
    pub fn write(&self, slot: u64, bytes: &[u8]) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let hash = blake3::hash(bytes);
        let parts = [&slot.to_le_bytes()[..], hash.as_bytes(), bytes];
        self.disk.write_durably(&folder.join(&self.name), &parts)
    }

    /// The outcome of our slot is known.
    pub fn clear(&self) {
        if let Some(folder) = &self.folder {
            let _ = self.disk.remove(&folder.join(&self.name));
        }
    }

    /// The outcome of what was left in this file is known.
    pub(super) fn settle(&self, path: &Path) {
        let _ = self.disk.remove(path);
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What was left open, here or by others: the slot, its bytes, and the file to remove once the outcome is known. Torn files
    /// are removed: their create was never sent.
    pub fn left(&self) -> Vec<(u64, Vec<u8>, PathBuf)> {
        let Some(folder) = &self.folder else { return vec![] };
        let mut left = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if name.to_str().is_none_or(|name| name.parse::<Nonce>().is_err()) {
                continue;
            }
            // What cannot be read today may be what is under way.
            let Ok(bytes) = self.disk.read(&path) else { continue };
            match decode(&bytes) {
                Some((slot, bytes)) => left.push((slot, bytes, path)),
                None => self.settle(&path),
            }
        }
        left.sort();
        left
    }
}

fn decode(bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (slot, rest) = bytes.split_first_chunk::<8>()?;
    let (hash, bytes) = rest.split_first_chunk::<32>()?;
    (blake3::hash(bytes) == *hash).then(|| (u64::from_le_bytes(*slot), bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::disk::Verb;

    #[test]
    fn a_journal_that_cannot_be_read_today_is_there_tomorrow() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let journal = Journal::at(folder.path().to_owned());
        journal.write(7, b"an entry").expect("writable");
        let failing = Disk::watched(|verb, _, _| match verb {
            Verb::Read => Err(io::Error::other("input/output error")),
            _ => Ok(()),
        });
        assert_eq!(journal.clone().on(failing).left(), []);
        let left = journal.left();
        assert_eq!((left.len(), left[0].0, &left[0].1[..]), (1, 7, &b"an entry"[..]));
        // A torn one was never acted on.
        fs::write(&left[0].2, b"torn").expect("writable");
        assert_eq!((journal.left(), left[0].2.exists()), (vec![], false));
    }
}

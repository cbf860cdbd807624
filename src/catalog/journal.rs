//! The journal: which slot this machine last tried, with which bytes (R5).
//!
//! Written, synced, before the first create of a slot and removed when its outcome is known. A process that finds one resolves
//! that slot first: the same bytes again are the same entry, so even two processes doing so at once do no harm.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use crate::id::Nonce;

/// Journals of one store on this machine.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: Option<PathBuf>,
    name: String,
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
        Journal { folder, name: Nonce::new().to_string() }
    }

    /// Journals in this folder, made at the first write. Each call is one writer.
    pub fn at(folder: PathBuf) -> Self {
        Journal { folder: Some(folder), name: Nonce::new().to_string() }
    }

    /// The journals of one store among those that were ever at this place: what was meant for one must never reach another.
    pub fn part(&self, name: &str) -> Self {
        Journal { folder: self.folder.as_ref().map(|folder| folder.join(name)), name: self.name.clone() }
    }

    /// No journal: for stores that do not outlive the process.
    pub fn none() -> Self {
        Journal { folder: None, name: String::new() }
    }

    /// Where sessions write down the packs that no entry names yet.
    pub(super) fn packs(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("packs"))
    }

    /// About to create `slot` with `bytes`.
    pub fn write(&self, slot: u64, bytes: &[u8]) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&slot.to_le_bytes())?;
        file.write_all(blake3::hash(bytes).as_bytes())?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(folder.join(&self.name))?;
        File::open(folder)?.sync_all()
    }

    /// The outcome of our slot is known.
    pub fn clear(&self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_file(folder.join(&self.name));
        }
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
            match fs::read(&path).ok().and_then(|bytes| decode(&bytes)) {
                Some((slot, bytes)) => left.push((slot, bytes, path)),
                None => drop(fs::remove_file(&path)),
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

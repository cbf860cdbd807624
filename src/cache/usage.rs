//! What lies in the cache of this machine, of all stores: counted for the user, and removed when it is too much.
//!
//! ```text
//! <base>/<hash of the place>/<store>/data/<pack>/<run>
//!                                   /<other kind>/…
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Cache, DATA, PLACE};
use crate::disk::Disk;

/// What a file takes on the disk is a multiple of this.
const BLOCK: u64 = 4096;

/// One file.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What it takes on the disk, bytes.
    pub bytes: u64,
    /// When it was written or last used.
    pub used: SystemTime,
    /// The hash of the place that it belongs to.
    pub place: String,
    /// The id of the store.
    pub store: String,
    /// What it is: `data`, or a kind of metadata.
    pub kind: String,
}

impl Found {
    /// Whether it is data of files, which may be large.
    pub fn is_data(&self) -> bool {
        self.kind == DATA
    }
}

/// Files of a cache.
#[derive(Debug, Default)]
pub struct Usage {
    /// In no certain order.
    pub files: Vec<Found>,
}

impl Usage {
    /// Everything below `base` that a cache of ours wrote there. What goes meanwhile is left out.
    pub fn of(base: &Path) -> Usage {
        let mut usage = Usage::default();
        // The directory is the user's choice and may hold other things.
        for (place, folder) in folders(base).filter(|(name, _)| is_place(name)) {
            usage.files_of(&folder, [&place, "", PLACE]);
            for (store, folder) in folders(&folder) {
                usage.files_of(&folder, [&place, &store, "log"]);
                for (kind, folder) in folders(&folder) {
                    usage.below(&folder, [&place, &store, &kind]);
                }
            }
        }
        usage
    }

    fn below(&mut self, folder: &Path, of: [&str; 3]) {
        self.files_of(folder, of);
        for (_, folder) in folders(folder) {
            self.below(&folder, of);
        }
    }

    fn files_of(&mut self, folder: &Path, [place, store, kind]: [&str; 3]) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Some(meta) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
            self.files.push(Found {
                path: entry.path(),
                bytes: meta.len().next_multiple_of(BLOCK),
                used: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                place: place.to_owned(),
                store: store.to_owned(),
                kind: kind.to_owned(),
            });
        }
    }

    /// What they take on the disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Remove files until the rest takes at most `most` bytes: data before metadata, and what was used longest ago first. Gives the
    /// bytes that went.
    pub fn prune(&mut self, most: u64) -> u64 {
        self.prune_on(&Disk::default(), most)
    }

    pub(super) fn prune_on(&mut self, disk: &Disk, most: u64) -> u64 {
        self.files.sort_by_key(|file| (!file.is_data(), file.used));
        let (all, mut gone) = (self.bytes(), 0);
        self.files.retain(|file| {
            let goes = all - gone > most && disk.remove(&file.path).is_ok();
            if goes {
                gone += file.bytes;
                // The last one takes the directories along, with that of the place; others are not empty.
                for folder in file.path.ancestors().skip(1) {
                    if fs::remove_dir(folder).is_err() || folder.ends_with(&file.place) {
                        break;
                    }
                }
            }
            !goes
        });
        gone
    }
}

/// The place whose hash names a directory of the cache: its URL, where it was written down.
pub fn url_of(base: &Path, place: &str) -> Option<String> {
    let url = Cache::at(base.join(place)).get(PLACE)?;
    String::from_utf8(url.to_vec()).ok()
}

fn is_place(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Directories in a directory, no links to one.
fn folders(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let real = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    real.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

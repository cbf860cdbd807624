//! What a session has put and no entry names yet, so that one that begins after a cut finds it and does not send it again.
//!
//! A file for each session, beside its journal: packs are added once the store has acknowledged them, and the file goes when their
//! entry has landed. Its process holds a lock on it, so what is there without one was left behind. Whoever takes such packs over
//! goes on with the session that put them, and so with its base: a collection that has begun since then refuses both alike (R8).
//! Lines that are torn or foreign are no packs; what is lost is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::error::CatalogError;
use super::log::Catalog;
use crate::disk::Disk;
use crate::id::{Nonce, PackId, PackKind};
use crate::pack::{Footer, PackInfo};
use crate::store::key;

/// Bytes of a line: pack, size, length of its footer, base of the session, and a hash of these.
const LINE: usize = 16 + 8 + 4 + 8 + HASH;
const HASH: usize = 8;
/// Packs that are taken over at most, which is some 256 GiB.
const MOST: usize = 1 << 13;

/// Where a session that began at `base` writes down what it has put. Without a file nothing is.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    base: u64,
    path: Option<PathBuf>,
    file: Arc<Mutex<Option<File>>>,
    disk: Disk,
}

impl Sent {
    /// The store has the pack. To write that down is a convenience: where it cannot be, a cut costs more.
    pub fn add(&self, pack: PackId, info: PackInfo) {
        let Some(path) = &self.path else { return };
        let mut file = self.file.lock().expect("no holder of this lock panics");
        if file.is_none() {
            *file = begin(&self.disk, path).ok();
        }
        if let Some(file) = &*file {
            let _ = self.disk.append(path, file, &encode(pack, info, self.base));
        }
    }

    /// An entry names all of it, or nothing ever will.
    pub fn forget(&self) {
        if let (Some(path), Some(_)) = (&self.path, self.file.lock().expect("no panic").take()) {
            let _ = self.disk.remove(path);
        }
    }
}

fn begin(disk: &Disk, path: &Path) -> std::io::Result<File> {
    let file = disk.begin(path)?;
    // Without a lock it would be taken for one that was left. Who looks between these two lines takes it away: then nothing is kept.
    file.try_lock().inspect_err(|_| drop(disk.remove(path)))?;
    Ok(file)
}

fn encode(pack: PackId, info: PackInfo, base: u64) -> [u8; LINE] {
    let mut line = [0; LINE];
    let (fields, hash) = line.split_at_mut(LINE - HASH);
    fields[..16].copy_from_slice(pack.as_bytes());
    fields[16..24].copy_from_slice(&info.size.to_le_bytes());
    fields[24..28].copy_from_slice(&info.footer.to_le_bytes());
    fields[28..].copy_from_slice(&base.to_le_bytes());
    hash.copy_from_slice(&blake3::hash(fields).as_bytes()[..HASH]);
    line
}

fn decode(line: &[u8; LINE]) -> Option<(PackId, Pack)> {
    let (fields, hash) = line.split_at(LINE - HASH);
    let (id, rest) = fields.split_first_chunk::<16>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (footer, base) = rest.split_first_chunk::<4>()?;
    let info = PackInfo {
        kind: PackKind::Data,
        size: u64::from_le_bytes(*size),
        footer: u32::from_le_bytes(*footer),
    };
    let base = u64::from_le_bytes(base.try_into().ok()?);
    (blake3::hash(fields).as_bytes()[..HASH] == *hash).then(|| (PackId::from_bytes(*id), Pack { info, base }))
}

/// What is known of a pack that was left.
#[derive(Debug, Clone, Copy)]
struct Pack {
    info: PackInfo,
    base: u64,
}

/// A file that a session left, and its packs.
struct Left {
    path: PathBuf,
    /// Nobody else takes it over meanwhile.
    _lock: File,
    packs: BTreeMap<PackId, Pack>,
}

/// Packs that earlier sessions of this machine left, which a new one may name as its own.
#[derive(Default)]
pub struct Stranded {
    left: Vec<Left>,
    gone: BTreeSet<PackId>,
    disk: Disk,
}

impl Stranded {
    fn all(&self) -> impl Iterator<Item = (PackId, Pack)> + '_ {
        let packs = self.left.iter().flat_map(|left| &left.packs).map(|(pack, known)| (*pack, *known));
        packs.filter(|(pack, _)| !self.gone.contains(pack)).take(MOST)
    }

    /// Which of the packs they are, and the base of the session that put the first of them.
    pub fn used(&self, named: &BTreeSet<PackId>) -> (Vec<(PackId, PackInfo)>, Option<u64>) {
        let used: Vec<(PackId, Pack)> = self.all().filter(|(pack, _)| named.contains(pack)).collect();
        let base = used.iter().map(|(_, known)| known.base).min();
        (used.into_iter().map(|(pack, known)| (pack, known.info)).collect(), base)
    }

    /// Those that sessions put which began before `base` are left where they are.
    pub fn leave_before(&mut self, base: u64) {
        self.left.retain(|left| left.packs.values().all(|known| known.base >= base));
    }

    /// These are in the store no more.
    pub fn lose(&mut self, packs: Vec<PackId>) {
        self.gone.extend(packs);
    }

    /// An entry names these now: files that say nothing else go.
    pub fn settle(&self, named: &BTreeSet<PackId>) {
        let is_done = |pack: &PackId| named.contains(pack) || self.gone.contains(pack);
        for left in self.left.iter().filter(|left| left.packs.keys().all(is_done)) {
            let _ = self.disk.remove(&left.path);
        }
    }
}

impl Catalog {
    /// Where a session that begins at `base` writes down what it has put.
    pub fn sent(&self, base: u64) -> Sent {
        let path = self.journal.packs().map(|folder| folder.join(Nonce::new().to_string()));
        Sent { base, path, file: Arc::default(), disk: self.journal.disk().clone() }
    }

    /// What earlier sessions left, as far as an entry may still name it.
    pub fn stranded(&self) -> Stranded {
        let mut left = Vec::new();
        let disk = self.journal.disk();
        let files = self.journal.packs().and_then(|folder| fs::read_dir(folder).ok());
        let mut files: Vec<PathBuf> =
            files.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        for path in files {
            let Some(file) = File::open(&path).ok().filter(|file| file.try_lock().is_ok()) else { continue };
            let Ok(bytes) = disk.read(&path) else { continue };
            let (lines, _) = bytes.as_chunks::<LINE>();
            let packs: BTreeMap<_, _> =
                lines.iter().filter_map(decode).filter(|it| self.may_land(it.0, it.1.base)).collect();
            match packs.is_empty() {
                true => drop(disk.remove(&path)),
                false => left.push(Left { path, _lock: file, packs }),
            }
        }
        Stranded { left, gone: BTreeSet::new(), disk: disk.clone() }
    }

    /// R8: whether an entry of a session that began at `base` may name the pack as its own.
    fn may_land(&self, pack: PackId, base: u64) -> bool {
        let state = self.state();
        let known = state.packs().contains_key(&pack) || state.condemned().contains_key(&pack);
        !known && base >= state.floor() && base <= self.head().seq()
    }

    /// The footers of what was left: kept here, or read.
    pub fn stranded_footers(&self, stranded: &mut Stranded) -> Vec<(PackId, Footer)> {
        let packs: Vec<(PackId, Pack)> = stranded.all().collect();
        let footer = |(pack, known): &(PackId, Pack)| (*pack, self.footer_of(*pack, known.info).ok());
        let read: Vec<(PackId, Option<Footer>)> = packs.par_iter().map(footer).collect();
        stranded.lose(read.iter().filter(|(_, footer)| footer.is_none()).map(|(pack, _)| *pack).collect());
        read.into_iter().filter_map(|(pack, footer)| Some((pack, footer?))).collect()
    }

    /// Those of the packs that the store has not, or not whole.
    pub fn lacking(&self, packs: &[(PackId, PackInfo)]) -> Result<Vec<PackId>, CatalogError> {
        let lacks = |(pack, info): &(PackId, PackInfo)| match self.store.size(&key::pack(info.kind, *pack)) {
            Ok(size) => Ok((size != Some(info.size)).then_some(*pack)),
            Err(error) => Err(error),
        };
        let found: Result<Vec<Option<PackId>>, _> = packs.par_iter().map(lacks).collect();
        Ok(found?.into_iter().flatten().collect())
    }
}

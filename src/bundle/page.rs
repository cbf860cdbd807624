//! Pages: consecutive entries of a bundle in one frame.
//!
//! A page is cut before a path whose hash says so, and after [`MOST_ROWS`] entries: edges depend on names only. Recipes travel
//! in a block of rows as in the `files` table, each oid once, and entries name them by position.

use serde::{Deserialize, Serialize};

use super::entry::{Content, Entry, check_path};
use super::read::{damaged, inconsistent};
use crate::cache::Cache;
use crate::id::{GitId, RepoId};
use crate::pack::{Blob, PackWriter};
use crate::table::{Frames, Row, TableError, add_frame, decode_rows, encode_rows};

/// One path in so many begins a page.
const CUT: u64 = 512;
/// Entries of a page at most.
pub const MOST_ROWS: usize = 2048;

/// Where a page lies, and what the root says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRef {
    /// The path of its first entry.
    pub first: Vec<u8>,
    /// How many entries it has.
    pub rows: u32,
    /// Bytes of its files.
    pub bytes: u64,
    /// The frame.
    pub blob: Blob,
    /// The same for pages that hold the same, wherever the bytes of their files lie.
    pub hash: [u8; 16],
}

impl PageRef {
    /// Its entries, from the cache or by one range GET.
    pub fn read(&self, frames: Frames<'_>) -> Result<Vec<Entry>, TableError> {
        decode(self, &frames.read(&self.blob)?)
    }
}

/// Whether a path begins a page, whatever comes before it.
pub fn begins(path: &[u8]) -> bool {
    let hash = *blake3::hash(path).as_bytes().first_chunk().expect("32 bytes have a first eight");
    u64::from_le_bytes(hash) % CUT == 0
}

/// What two pages of the same entries have in common.
pub fn hash(entries: &[Entry]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for Entry { path, content } in entries {
        field(path);
        field(&content.mode().to_le_bytes());
        field(&content.size().to_le_bytes());
        field(content.name());
    }
    *hasher.finalize().as_bytes().first_chunk().expect("32 bytes have a first sixteen")
}

/// path, mode, position of the row of a file, target of a link or commit of a submodule
type WireEntry = (serde_bytes::ByteBuf, u32, u32, serde_bytes::ByteBuf);

#[derive(Serialize, Deserialize)]
struct WirePage {
    entries: Vec<WireEntry>,
    #[serde(with = "serde_bytes")]
    rows: Vec<u8>,
}

/// The page of these entries, which are in order, as bytes.
pub fn encode(repo: RepoId, entries: &[Entry]) -> Vec<u8> {
    let row = |entry: &Entry| match &entry.content {
        Content::File { oid, size, recipe, .. } => {
            Some(Row { oid: *oid, repo, born: 0, size: *size, recipe: recipe.clone() })
        }
        _ => None,
    };
    let mut rows: Vec<Row> = entries.iter().filter_map(row).collect();
    rows.sort_by_key(Row::key);
    rows.dedup_by_key(|row| row.oid);
    let wire = |Entry { path, content }: &Entry| {
        let (at, bytes) = match content {
            Content::File { oid, .. } => (rows.partition_point(|row| row.oid < *oid), vec![]),
            Content::Link { target } => (0, target.clone()),
            Content::Module { commit } => (0, commit.as_bytes().to_vec()),
        };
        let at = u32::try_from(at).expect("a page has few rows");
        (path.clone().into(), content.mode(), at, bytes.into())
    };
    let page = WirePage { entries: entries.iter().map(wire).collect(), rows: encode_rows(&rows) };
    rmp_serde::to_vec(&page).expect("plain values always encode")
}

/// Write the page of these entries, at least one, into a meta pack.
pub fn write(pack: &mut PackWriter, cache: &Cache, repo: RepoId, entries: &[Entry]) -> PageRef {
    PageRef {
        first: entries[0].path.clone(),
        rows: u32::try_from(entries.len()).expect("a page has few rows"),
        bytes: entries.iter().map(|it| it.content.size()).fold(0, u64::saturating_add),
        blob: add_frame(pack, cache, &encode(repo, entries)),
        hash: hash(entries),
    }
}

/// The entries of the page that `at` names, checked: in order, every path and mode possible, and what the root says of it.
pub fn decode(at: &PageRef, bytes: &[u8]) -> Result<Vec<Entry>, TableError> {
    let bad = |why| inconsistent(at.blob.pack, why);
    let block = |source| damaged(at.blob.pack, source);
    let page: WirePage = rmp_serde::from_slice(bytes).map_err(|error| block(error.into()))?;
    let rows = decode_rows(&page.rows).map_err(block)?;
    let mut entries: Vec<Entry> = Vec::with_capacity(page.entries.len());
    for (path, mode, row, bytes) in page.entries {
        let path = path.into_vec();
        check_path(&path).map_err(|error| bad(error.why))?;
        if entries.last().is_some_and(|last| last.path >= path) {
            return Err(bad("entries of a page are not in order"));
        }
        let content = match mode {
            0o100_644 | 0o100_755 => {
                let row = rows.get(row as usize).ok_or_else(|| bad("an entry names no row"))?;
                let (oid, size, recipe) = (row.oid, row.size, row.recipe.clone());
                Content::File { executable: mode == 0o100_755, oid, size, recipe }
            }
            0o120_000 => Content::Link { target: bytes.into_vec() },
            0o160_000 => {
                let commit = GitId::from_slice(&bytes).ok_or_else(|| bad("a submodule has no commit"))?;
                Content::Module { commit }
            }
            _ => return Err(bad("an entry has a mode that nothing has")),
        };
        entries.push(Entry { path, content });
    }
    let is_meant = entries.len() == at.rows as usize
        && entries.first().is_some_and(|it| it.path == at.first)
        && hash(&entries) == at.hash;
    if is_meant { Ok(entries) } else { Err(bad("a page is not the one that its bundle names")) }
}

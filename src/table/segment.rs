//! Segments: one immutable sorted run of rows, as frames of a meta pack.
//!
//! The rows are cut into blocks, each a frame; one more frame, the *fence*, says with which key each block begins. A lookup
//! reads the fence once (it is kept in the local cache) and then the blocks that can hold what is wanted, neighbours together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::row::{BadBlock, Row, decode_rows, encode_rows};
use crate::cache::Cache;
use crate::id::{Oid, PackId, PackKind, Prefix};
use crate::pack::{Blob, Frame, PackError, PackWriter, decode_exact, plan};
use crate::store::{Store, StoreError, key};

/// Rows in a block: some 20 KiB, so that one lookup reads little and neighbours share compression.
const BLOCK_ROWS: usize = 400;
/// Rows in a segment: its meta pack stays around 4 MiB.
pub const SEGMENT_ROWS: usize = 80_000;

/// A segment that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Its pack could not.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its rows make no sense.
    #[error("the table in pack {pack} is damaged: {source}; run `git datamon fsck`")]
    Bad {
        /// Its pack.
        pack: String,
        /// What is wrong.
        source: BadBlock,
    },
}

fn bad(pack: PackId, source: BadBlock) -> TableError {
    TableError::Bad { pack: key::pack(PackKind::Meta, pack), source }
}

/// One block: the oid its rows begin with, and its frame.
#[derive(Serialize, Deserialize)]
struct Block(Oid, u64, u32);

/// A segment that was written: what the log says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Where its first block begins in the pack; blocks and fence lie together, the fence last.
    pub start: u64,
    /// Its fence, which names it.
    pub fence: Blob,
    /// How many rows it has.
    pub rows: u64,
    /// The key of its first row.
    pub first: Prefix,
    /// The key of its last row.
    pub last: Prefix,
}

/// Write `rows` (sorted here; at least one) as one segment into `pack`.
pub fn write_segment(pack: &mut PackWriter, rows: &mut [Row]) -> Written {
    rows.sort_by_key(|row| (row.key(), row.born));
    let [first, last] = [rows.first(), rows.last()].map(|row| Prefix::from(&row.expect("some rows").oid));
    let start = pack.len() as u64;
    let blocks: Vec<Block> = rows
        .chunks(BLOCK_ROWS)
        .map(|rows| {
            let blob = pack.add(&Frame::encode(encode_rows(rows)), vec![]);
            Block(rows[0].oid, blob.offset, blob.stored)
        })
        .collect();
    let fence = rmp_serde::to_vec(&blocks).expect("plain values always encode");
    let fence = pack.add(&Frame::encode(fence), vec![]);
    Written { start, fence, rows: rows.len() as u64, first, last }
}

/// A metadata frame, from the cache or by one range GET.
pub fn read_frame(store: &Store, cache: &Cache, blob: &Blob) -> Result<Vec<u8>, PackError> {
    let mut found = read_frames(store, cache, [*blob])?;
    Ok(found.remove(blob).expect("each frame asked for is given"))
}

/// Metadata frames, from the cache or by range GETs, neighbours in a pack together.
pub fn read_frames(
    store: &Store,
    cache: &Cache,
    blobs: impl IntoIterator<Item = Blob>,
) -> Result<BTreeMap<Blob, Vec<u8>>, PackError> {
    let name = |blob: &Blob| format!("frame/{}-{:x}", blob.pack, blob.offset);
    let range = |blob: &Blob| blob.offset..blob.offset.saturating_add(u64::from(blob.stored));
    let mut found = BTreeMap::new();
    let mut missing: BTreeMap<PackId, Vec<Blob>> = BTreeMap::new();
    for blob in blobs {
        match cache.get(&name(&blob)) {
            Some(bytes) => drop(found.insert(blob, bytes.to_vec())),
            None => missing.entry(blob.pack).or_default().push(blob),
        }
    }
    for (pack, blobs) in missing {
        for read in plan::coalesce(blobs.iter().map(range).collect()) {
            let bytes = store.get_range(&key::pack(PackKind::Meta, pack), read.clone())?;
            let covered = |blob: &&Blob| read.start <= range(blob).start && range(blob).end <= read.end;
            for blob in blobs.iter().filter(covered) {
                let own = range(blob).start - read.start..range(blob).end - read.start;
                let raw = decode_exact(&bytes[own.start as usize..own.end as usize])
                    .map_err(|source| PackError::bad(PackKind::Meta, pack, source))?;
                cache.put(&name(blob), &raw);
                found.insert(*blob, raw);
            }
        }
    }
    Ok(found)
}

fn read_fence(store: &Store, cache: &Cache, fence: &Blob) -> Result<Vec<Block>, TableError> {
    let bytes = read_frame(store, cache, fence)?;
    let blocks: Vec<Block> =
        rmp_serde::from_slice(&bytes).map_err(|e| bad(fence.pack, BadBlock::Decode(e)))?;
    if blocks.is_sorted_by_key(|block| block.0) {
        Ok(blocks)
    } else {
        Err(bad(fence.pack, BadBlock::Inconsistent("a fence is not in order")))
    }
}

/// Every row of the segment whose oid is among `oids` (sorted), of any repo.
pub fn find_rows(store: &Store, cache: &Cache, fence: &Blob, oids: &[Oid]) -> Result<Vec<Row>, TableError> {
    let blocks = read_fence(store, cache, fence)?;
    let mut wanted: Vec<usize> = Vec::new();
    for oid in oids {
        // Rows of one oid may begin in the block before the first that begins with it.
        let end = blocks.partition_point(|block| block.0 <= *oid);
        let start = blocks.partition_point(|block| block.0 < *oid).saturating_sub(1);
        wanted.extend(start..end);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let rows = read_blocks(store, cache, fence, &blocks, &wanted)?;
    Ok(rows.into_iter().filter(|row| oids.binary_search(&row.oid).is_ok()).collect())
}

/// All `count` rows of the segment.
pub fn all_rows(store: &Store, cache: &Cache, fence: &Blob, count: u64) -> Result<Vec<Row>, TableError> {
    let blocks = read_fence(store, cache, fence)?;
    let wanted: Vec<usize> = (0..blocks.len()).collect();
    let rows = read_blocks(store, cache, fence, &blocks, &wanted)?;
    let whole = rows.len() as u64 == count && rows.is_sorted_by_key(|row| (row.key(), row.born));
    if whole {
        Ok(rows)
    } else {
        Err(bad(fence.pack, BadBlock::Inconsistent("rows are missing or out of order")))
    }
}

fn read_blocks(
    store: &Store,
    cache: &Cache,
    fence: &Blob,
    blocks: &[Block],
    wanted: &[usize],
) -> Result<Vec<Row>, TableError> {
    let pack = fence.pack;
    let blob = |at: &usize| Blob { pack, offset: blocks[*at].1, stored: blocks[*at].2 };
    // Blobs sort by offset, which is the order of the rows.
    let found = read_frames(store, cache, wanted.iter().map(blob))?;
    let mut rows = Vec::new();
    for (_, bytes) in found {
        rows.extend(decode_rows(&bytes).map_err(|source| bad(pack, source))?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RepoId;
    use crate::pack::Term;
    use crate::store::StoreUrl;
    use crate::table::Recipe;

    fn oid(n: u32) -> Oid {
        Oid::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    fn row(n: u32, repo: u8) -> Row {
        let term =
            Term { pack: PackId::from_bytes([1; 16]), offset: 16, stored: 99, skip: 0, raw: 10, repeat: 1 };
        let repo = RepoId::from_bytes([repo; 16]);
        Row { oid: oid(n), repo, born: 0, size: 10, recipe: Recipe::Inline(vec![term]) }
    }

    #[test]
    fn rows_are_found_in_few_requests() {
        let store = Store::open(&StoreUrl::parse("memory:segment").expect("a URL")).expect("memory");
        let mut rows: Vec<Row> = (0..3000).flat_map(|n| [row(n, 1), row(n, 2)]).collect();
        let mut pack = PackWriter::new(PackKind::Meta);
        let segment = write_segment(&mut pack, &mut rows).fence;
        pack.finish().put(&store).expect("written");

        let before = store.requests();
        assert_eq!(all_rows(&store, &Cache::none(), &segment, 6000).expect("reads"), rows);
        assert!(store.requests().since(before).get <= 2, "{:?}", store.requests().since(before));

        let mut wanted = vec![oid(5), oid(77), oid(4000)];
        wanted.sort();
        let found = find_rows(&store, &Cache::none(), &segment, &wanted).expect("reads");
        let mut expected: Vec<Row> = [5, 77].iter().flat_map(|n| [row(*n, 1), row(*n, 2)]).collect();
        expected.sort_by_key(Row::key);
        assert_eq!(found, expected);
    }

    #[test]
    fn the_rows_of_one_oid_may_cross_a_block() {
        let store = Store::open(&StoreUrl::parse("memory:segment-crossing").expect("a URL")).expect("memory");
        let mut rows: Vec<Row> = (0..900u16)
            .map(|n| Row { born: u64::from(n), ..row(1, (n % 3) as u8) })
            .chain([row(2, 0)])
            .collect();
        let mut pack = PackWriter::new(PackKind::Meta);
        let segment = write_segment(&mut pack, &mut rows).fence;
        pack.finish().put(&store).expect("written");
        assert_eq!(find_rows(&store, &Cache::none(), &segment, &[oid(1)]).expect("reads").len(), 900);
    }
}

//! Segments: one immutable sorted run of rows, as frames of a meta pack.
//!
//! The rows are cut into blocks, each a frame; one more frame, the *fence*, says with which key each block begins, and has a
//! filter of all keys. A lookup reads the fence once (it is kept in the local cache) and then the blocks that can hold what is
//! wanted, neighbours together; a small segment is read whole.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::row::{BadBlock, Row, decode_rows, encode_rows};
use crate::cache::Cache;
use crate::id::{Oid, PackId, PackKind, Prefix};
use crate::pack::format::MAX_FRAME;
use crate::pack::{BadPack, Blob, Frame, FrameView, PackError, PackWriter, decode_exact, plan, read_blob};
use crate::store::{Store, StoreError, key};

/// Rows in a block: some 20 KiB, so that one lookup reads little and neighbours share compression.
const BLOCK_ROWS: usize = 400;
/// A block that weighs so much takes no more rows, so that it stays a frame however large its files are.
const BLOCK_WEIGHT: usize = 256 << 10;
/// Rows in a segment: its meta pack stays around 4 MiB.
const SEGMENT_ROWS: usize = 80_000;
/// A segment that weighs so much takes no more rows, so that its pack stays one, however large its files are.
const SEGMENT_WEIGHT: usize = 32 << 20;
/// A segment of up to this many bytes, some 16,000 rows, is read in one go: the bytes cost less than another round trip.
const SMALL: u64 = 1 << 20;

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
    #[error(fmt = damaged)]
    Bad {
        /// Its pack.
        pack: String,
        /// What is wrong.
        source: BadBlock,
    },
}

/// See `PackError`.
fn damaged(pack: &str, source: &BadBlock, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "the table in pack {pack} is damaged: {source}")?;
    if f.alternate() { Ok(()) } else { f.write_str("; run `git datamon fsck`") }
}

impl TableError {
    /// The object that it is about.
    fn key(&self) -> Option<&str> {
        match self {
            TableError::Bad { pack, .. } | TableError::Pack(PackError::Bad { pack, .. }) => Some(pack),
            TableError::Store(error) | TableError::Pack(PackError::Store(error)) => error.key(),
        }
    }
}

/// Whether this segment gave the error, and will the next time: it is not what was written.
pub fn is_damage(store: &Store, segment: &Written, error: &TableError) -> bool {
    let name = key::pack(PackKind::Meta, segment.fence.pack);
    error.key() == Some(&*name) && is_frame_damaged(store, &segment.fence, error)
}

/// The same of an error that came of reading the frame that lies at `at`.
pub fn is_frame_damaged(store: &Store, at: &Blob, error: &TableError) -> bool {
    match error {
        TableError::Bad { .. } | TableError::Pack(PackError::Bad { .. }) => true,
        // To ask for bytes that are not there may be answered like a failed request.
        TableError::Store(_) | TableError::Pack(PackError::Store(_)) => {
            let size = store.size(&key::pack(PackKind::Meta, at.pack));
            size.is_ok_and(|size| size.is_none_or(|size| size < at.end()))
        }
    }
}

pub(super) fn bad(pack: PackId, source: BadBlock) -> TableError {
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

impl Written {
    /// Where it ends in the pack.
    pub fn end(&self) -> u64 {
        self.fence.end()
    }

    /// Bytes of blocks and fence.
    pub fn stored(&self) -> u64 {
        self.end().saturating_sub(self.start)
    }
}

/// How many of the first of these rows (at least one, if there is one) make one segment.
pub fn segment_len(rows: &[Row]) -> usize {
    fitting(rows, SEGMENT_ROWS, SEGMENT_WEIGHT)
}

fn fitting(rows: &[Row], most: usize, most_weight: usize) -> usize {
    let mut weight = 0;
    let light = |row: &&Row| {
        weight += row.weight();
        weight <= most_weight
    };
    rows.iter().take(most).take_while(light).count().max(1).min(rows.len())
}

/// Write `rows` (sorted here; at least one, no more than [`segment_len`] allows) as one segment into `pack`. A small one is kept in
/// the cache too: the next lookup of this machine asks the newest segment first.
pub fn write_segment(pack: &mut PackWriter, rows: &mut [Row], cache: &Cache) -> Written {
    rows.sort_by_key(|row| (row.key(), row.born));
    let [first, last] = [rows.first(), rows.last()].map(|row| Prefix::from(&row.expect("some rows").oid));
    let start = pack.len() as u64;
    let (mut blocks, mut rest) = (Vec::new(), &rows[..]);
    let mut fresh = Fresh::default();
    while let Some(first) = rest.first() {
        let (block, more) = rest.split_at(fitting(rest, BLOCK_ROWS, BLOCK_WEIGHT));
        let blob = fresh.add(pack, encode_rows(block));
        blocks.push(Block(first.oid, blob.offset, blob.stored));
        rest = more;
    }
    let filter = Filter::of(rows.iter().map(|row| row.oid.as_bytes()));
    let fence = WireFence(blocks, filter.as_bytes().to_vec());
    let fence = rmp_serde::to_vec(&fence).expect("plain values always encode");
    let fence = fresh.add(pack, fence);
    let written = Written { start, fence, rows: rows.len() as u64, first, last };
    if written.stored() <= SMALL {
        fresh.frames.iter().for_each(|(blob, raw)| cache.put(&frame_name(blob), raw));
    }
    written
}

/// Frames just written, while they are few enough to be kept.
#[derive(Default)]
struct Fresh {
    frames: Vec<(Blob, Vec<u8>)>,
    stored: u64,
}

impl Fresh {
    fn add(&mut self, pack: &mut PackWriter, raw: Vec<u8>) -> Blob {
        let blob = pack.add(&Frame::encode(&raw), vec![]);
        self.stored += u64::from(blob.stored);
        match self.stored <= SMALL {
            true => self.frames.push((blob, raw)),
            false => self.frames = vec![],
        }
        blob
    }
}

/// The content of a metadata frame, if this machine has kept it.
pub fn kept_frame(cache: &Cache, blob: &Blob) -> Option<Vec<u8>> {
    cache.get(&frame_name(blob)).map(|raw| raw.to_vec())
}

/// What a metadata frame is called in the cache.
fn frame_name(blob: &Blob) -> String {
    format!("frame/{}-{:x}", blob.pack, blob.offset)
}

/// Add a metadata frame to `pack`, and keep it in the cache: who writes it is the first who reads it.
pub fn add_frame(pack: &mut PackWriter, cache: &Cache, raw: &[u8]) -> Blob {
    let blob = pack.add(&Frame::encode(raw), vec![]);
    cache.put(&frame_name(&blob), raw);
    blob
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
    let mut found = BTreeMap::new();
    each_frame(store, cache, blobs, |blob, raw| -> Result<(), PackError> {
        found.insert(blob, raw);
        Ok(())
    })?;
    Ok(found)
}

/// Metadata frames as [`read_frames`] gets them, handed over one by one in no certain order: no more than one is in memory.
pub(super) fn each_frame<E: From<PackError>>(
    store: &Store,
    cache: &Cache,
    blobs: impl IntoIterator<Item = Blob>,
    mut take: impl FnMut(Blob, Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let range = |blob: &Blob| blob.offset..blob.end();
    let mut missing: BTreeMap<PackId, Vec<Blob>> = BTreeMap::new();
    for blob in blobs {
        match cache.get(&frame_name(&blob)) {
            Some(bytes) => take(blob, bytes.to_vec())?,
            None => missing.entry(blob.pack).or_default().push(blob),
        }
    }
    for (pack, blobs) in missing {
        for read in plan::coalesce(blobs.iter().map(range).collect()) {
            let bytes = store.get_range(&key::pack(PackKind::Meta, pack), read.clone());
            let bytes = bytes.map_err(PackError::from)?;
            let covered = |blob: &&Blob| read.start <= range(blob).start && range(blob).end <= read.end;
            for blob in blobs.iter().filter(covered) {
                let own = range(blob).start - read.start..range(blob).end - read.start;
                let raw = decode_exact(&bytes[own.start as usize..own.end as usize]).or_else(|source| {
                    let damage = PackError::bad(PackKind::Meta, pack, source);
                    from_copies(store, damage, |copy| read_blob(copy, blob).ok())
                })?;
                cache.put(&frame_name(blob), &raw);
                take(*blob, raw)?;
            }
        }
    }
    Ok(())
}

/// What a copy of the store gives in place of what is damaged there.
fn from_copies<T, E: fmt::Display>(
    store: &Store,
    error: E,
    read: impl Fn(&Store) -> Option<T>,
) -> Result<T, E> {
    let copied = store.copies().find_map(|copy| Some((copy, read(copy)?)));
    let Some((copy, found)) = copied else { return Err(error) };
    store.took_from(copy, &error);
    Ok(found)
}

/// What the fence says: where the blocks lie, and which oids there are.
pub(super) struct Fence {
    pack: PackId,
    blocks: Vec<Block>,
    filter: Filter,
}

#[derive(Serialize, Deserialize)]
struct WireFence(Vec<Block>, #[serde(with = "serde_bytes")] Vec<u8>);

impl Fence {
    /// From its bytes, checked: blocks in the order of their oids, one after the other from the segment's start to its fence.
    pub(super) fn decode(at: &Written, bytes: &[u8]) -> Result<Fence, TableError> {
        let pack = at.fence.pack;
        let WireFence(blocks, filter) =
            rmp_serde::from_slice(bytes).map_err(|e| bad(pack, BadBlock::Decode(e)))?;
        let mut end = Some(at.start);
        for Block(_, offset, stored) in &blocks {
            end = end.filter(|end| end == offset).and_then(|end| end.checked_add(u64::from(*stored)));
        }
        if end == Some(at.fence.offset) && blocks.is_sorted_by_key(|block| block.0) {
            Ok(Fence { pack, blocks, filter: Filter::from_bytes(filter) })
        } else {
            Err(bad(pack, BadBlock::Inconsistent("a fence does not fit its blocks")))
        }
    }

    fn blob(&self, at: usize) -> Blob {
        let Block(_, offset, stored) = self.blocks[at];
        Blob { pack: self.pack, offset, stored }
    }

    /// All blocks, in order.
    pub(super) fn blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        (0..self.blocks.len()).map(|at| self.blob(at))
    }

    /// The blocks that can hold one of these oids (sorted), in order.
    fn wanted(&self, oids: &[Oid]) -> Vec<Blob> {
        let mut wanted: Vec<usize> = Vec::new();
        for oid in oids.iter().filter(|oid| self.filter.may_hold(oid.as_bytes())) {
            // Rows of one oid may begin in the block before the first that begins with it.
            let end = self.blocks.partition_point(|block| block.0 <= *oid);
            let start = self.blocks.partition_point(|block| block.0 < *oid).saturating_sub(1);
            wanted.extend(start..end);
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted.into_iter().map(|at| self.blob(at)).collect()
    }
}

/// Every row of the segment whose oid is among `oids` (sorted), of any repo.
///
/// Nothing is read where filter and fence are known and say no. Of a small segment everything is read at once and kept.
pub fn find_rows(store: &Store, cache: &Cache, at: &Written, oids: &[Oid]) -> Result<Vec<Row>, TableError> {
    let (fence, whole) = open(store, cache, at)?;
    let fence = Fence::decode(at, &fence)?;
    let (known, wanted): (Vec<Blob>, Vec<Blob>) =
        fence.wanted(oids).into_iter().partition(|blob| whole.contains_key(blob));
    let mut rows = Vec::new();
    let mut take = |bytes: &[u8]| -> Result<(), TableError> {
        let block = decode_rows(bytes).map_err(|source| bad(fence.pack, source))?;
        rows.extend(block.into_iter().filter(|row| oids.binary_search(&row.oid).is_ok()));
        Ok(())
    };
    known.iter().try_for_each(|blob| take(&whole[blob]))?;
    each_frame(store, cache, wanted, |_, bytes| take(&bytes))?;
    Ok(rows)
}

/// Metadata frames, decoded.
type Frames = BTreeMap<Blob, Vec<u8>>;

/// The fence, and all other frames of a small segment whose fence was not here: one range GET at most.
pub(super) fn open(store: &Store, cache: &Cache, at: &Written) -> Result<(Vec<u8>, Frames), TableError> {
    if let Some(fence) = cache.get(&frame_name(&at.fence)) {
        return Ok((fence.into(), Frames::new()));
    }
    let copied = |error| from_copies(store, error, |copy| read_whole(copy, cache, at).ok());
    let mut frames = match at.stored() <= SMALL {
        true => read_whole(store, cache, at).or_else(copied)?,
        false => Frames::new(),
    };
    let fence = match frames.remove(&at.fence) {
        Some(fence) => fence,
        None => read_frame(store, cache, &at.fence)?,
    };
    Ok((fence, frames))
}

/// Every frame of a small segment: one range GET.
fn read_whole(store: &Store, cache: &Cache, at: &Written) -> Result<Frames, TableError> {
    let pack = at.fence.pack;
    let damaged = |source| TableError::Pack(PackError::bad(PackKind::Meta, pack, source));
    let bytes = store.get_range(&key::pack(PackKind::Meta, pack), at.start..at.end())?;
    let (mut frames, mut offset, mut raw) = (Frames::new(), at.start, 0);
    while offset < at.end() {
        let frame = FrameView::parse(&bytes[(offset - at.start) as usize..]).map_err(damaged)?;
        let frame = frame.ok_or_else(|| damaged(BadPack::Damaged("frame length")))?;
        raw += frame.raw_len();
        if raw > MAX_FRAME {
            // Nothing we write: its frames are read one by one.
            break;
        }
        let stored = u32::try_from(frame.len()).expect("it lies in a small segment");
        let blob = Blob { pack, offset, stored };
        let decoded = frame.decode().map_err(damaged)?.into_owned();
        cache.put(&frame_name(&blob), &decoded);
        frames.insert(blob, decoded);
        offset = blob.end();
    }
    Ok(frames)
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

    /// A store with a segment of these rows, and nothing asked of it yet.
    fn stored(name: &str, mut rows: Vec<Row>) -> (Store, Written) {
        let store = Store::open(&StoreUrl::parse(&format!("memory:segment-{name}")).expect("a URL"));
        let store = store.expect("memory");
        let mut pack = PackWriter::new(PackKind::Meta);
        let other = write_segment(&mut pack, &mut [row(1, 9)], &Cache::none());
        let written = write_segment(&mut pack, &mut rows, &Cache::none());
        assert_eq!(written.start, other.end());
        pack.finish().put(&store).expect("written");
        (store, written)
    }

    fn sorted(mut oids: Vec<Oid>) -> Vec<Oid> {
        oids.sort();
        oids
    }

    #[track_caller]
    fn assert_found(
        (store, cache): (&Store, &Cache),
        at: &Written,
        wanted: &[u32],
        gets: std::ops::RangeInclusive<u64>,
    ) {
        let before = store.requests();
        let oids = sorted(wanted.iter().map(|n| oid(*n)).collect());
        let found = find_rows(store, cache, at, &oids).expect("reads");
        let there = wanted.iter().filter(|n| u64::from(**n) < at.rows / 2);
        let mut expected: Vec<Row> = there.flat_map(|n| [row(*n, 1), row(*n, 2)]).collect();
        expected.sort_by_key(Row::key);
        assert_eq!(found, expected);
        let get = store.requests().since(before).get;
        assert!(gets.contains(&get), "{get} requests");
    }

    #[test]
    fn a_small_segment_is_read_once() {
        let (store, at) = stored("small", (0..3000).flat_map(|n| [row(n, 1), row(n, 2)]).collect());
        assert!(at.stored() <= SMALL);
        let folder = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(folder.path().into());
        assert_found((&store, &cache), &at, &[5, 77, 4000], 1..=1);
        assert_found((&store, &cache), &at, &[5, 6, 7, 2999, 5000], 0..=0);
        assert_found((&store, &Cache::none()), &at, &[5], 1..=1);
    }

    #[test]
    fn of_a_large_segment_fence_and_blocks_are_read() {
        let (store, at) = stored("large", (0..30_000).flat_map(|n| [row(n, 1), row(n, 2)]).collect());
        assert!(at.stored() > SMALL);
        let folder = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(folder.path().into());
        assert_found((&store, &cache), &at, &[5], 2..=2);
        assert_found((&store, &cache), &at, &[5], 0..=0);
        assert_found((&store, &cache), &at, &[77], 1..=1);
        // What is not there costs nothing, but for one oid in thousands.
        assert_found((&store, &cache), &at, &(40_000..40_500).collect::<Vec<_>>(), 0..=2);
        // All of it is one request per 8 MiB.
        assert_found((&store, &Cache::none()), &at, &(0..30_000).collect::<Vec<_>>(), 2..=2);
    }

    #[test]
    fn the_rows_of_one_oid_may_cross_a_block() {
        let rows = (0..900u16).map(|n| Row { born: u64::from(n), ..row(1, (n % 3) as u8) });
        let (store, at) = stored("crossing", rows.chain([row(2, 0)]).collect());
        assert_eq!(find_rows(&store, &Cache::none(), &at, &[oid(1)]).expect("reads").len(), 900);
    }

    #[test]
    fn rows_of_very_large_files_fill_blocks_of_their_own() {
        let blob = Blob { pack: PackId::from_bytes([1; 16]), offset: 16, stored: 99 };
        let recipe = Recipe::Out { blob, packs: (0..8_000).map(|_| PackId::new()).collect() };
        let rows: Vec<Row> = (0..200)
            .map(|n| if n % 2 == 0 { Row { recipe: recipe.clone(), ..row(n, 1) } } else { row(n, 1) })
            .collect();
        let (store, at) = stored("heavy", rows.clone());
        let oids = sorted(rows.iter().map(|row| row.oid).collect());
        let mut found = find_rows(&store, &Cache::none(), &at, &oids).expect("reads");
        found.sort_by_key(Row::key);
        let fence = read_frame(&store, &Cache::none(), &at.fence).expect("reads");
        assert_eq!(found.len(), 200);
        assert!(found.iter().all(|found| rows.contains(found)));
        assert!(Fence::decode(&at, &fence).expect("fits").blobs().count() >= 100);
    }

    #[test]
    fn a_fence_that_does_not_fit_its_blocks_is_refused() {
        let at = |start, offset| Written {
            start,
            fence: Blob { pack: PackId::from_bytes([1; 16]), offset, stored: 10 },
            rows: 1,
            first: Prefix::MIN,
            last: Prefix::MAX,
        };
        let bytes = |blocks| rmp_serde::to_vec(&WireFence(blocks, vec![])).expect("encodes");
        let two = |at, next| bytes(vec![Block(oid(1), 16, 20), Block(at, next, 30)]);
        let (low, high) = (Oid::from_bytes([0; 32]), Oid::from_bytes([255; 32]));
        assert!(Fence::decode(&at(16, 66), &two(high, 36)).is_ok());
        for (at, bytes) in [
            (at(16, 66), two(low, 36)),
            (at(16, 66), two(high, 37)),
            (at(16, 67), two(high, 36)),
            (at(17, 66), two(high, 36)),
            (at(16, 66), two(high, u64::MAX)),
            (at(16, 66), bytes(vec![])),
            (at(16, 66), vec![]),
        ] {
            assert!(Fence::decode(&at, &bytes).is_err(), "{at:?}");
        }
    }
}

//! Hooks: in which pack a chunk may lie, by the first eight bytes of its id.
//!
//! A hook is a hint. It leads to the footer of a pack, and the full id there decides; one that is wrong, damaged or lost
//! costs deduplication and never a byte. Chunk ids are uniformly random, so the *head* of the table (everything up to some
//! prefix) is a fair sample of all chunks: whoever does not want the whole table reads its head, in a few large requests.
//!
//! A table that grows without end would be read by nobody. So of a large one only the head is kept: a segment of *shift* k has
//! the rows whose prefixes begin with k zero bits, one chunk in 2^k. One that is hit leads to all of its pack.
//!
//! Rows have a fixed width, chosen for each block: random bytes do not compress, but the differences between sorted
//! prefixes are short, and so are the positions of packs in the one list that the segment has.

mod merge;
mod sample;

use std::collections::HashMap;

pub use merge::HookMerge;
pub use sample::{MOST_SHIFT, Sample, kept};
use serde::{Deserialize, Serialize};

use super::row::BadBlock;
use super::segment::{TableError, Written, bad, each_frame, open};
use crate::cache::Cache;
use crate::id::{ChunkId, PackId, Prefix};
use crate::pack::{Blob, Footer, Frame, PackWriter};
use crate::store::Store;

/// Rows in a block: below 64 KiB, and a whole block is what a lookup reads at least.
const BLOCK_HOOKS: usize = 7_000;
/// Rows in a segment: its meta pack stays around 4 MiB.
pub const SEGMENT_HOOKS: usize = 500_000;
/// Packs that are remembered of one prefix: a chunk that lies in more of them needs no further one.
const SAME_PREFIX: usize = 4;
/// Room that is taken before there are rows for it, 12 MiB.
const MOST_AT_ONCE: usize = 1 << 20;
/// Bytes before the rows of a block.
const BLOCK_HEADER: usize = 16;
/// No block has more rows: what a hostile one can make a reader allocate.
const MAX_BLOCK: usize = 1 << 16;

/// One row. Twelve bytes, since a million of them are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C, packed(4))]
struct Hook {
    /// The first eight bytes of the chunk id, as a big-endian number.
    prefix: u64,
    /// Position of the pack in the list beside the rows.
    pack: u32,
}

fn number(prefix: Prefix) -> u64 {
    u64::from_be_bytes(*prefix.as_bytes())
}

fn prefix(number: u64) -> Prefix {
    Prefix::from_bytes(number.to_be_bytes())
}

/// Hooks in memory: first filled, then sorted, then asked or written.
#[derive(Debug)]
pub struct Hooks {
    room: usize,
    /// No larger prefix is taken in.
    upto: u64,
    packs: Vec<PackId>,
    positions: HashMap<PackId, u32>,
    rows: Vec<Hook>,
}

impl Hooks {
    /// Room for so many rows; what comes when it is full is left out.
    pub fn with_room(room: usize) -> Hooks {
        Hooks {
            room,
            upto: u64::MAX,
            packs: vec![],
            positions: HashMap::new(),
            rows: Vec::with_capacity(room.min(MOST_AT_ONCE)),
        }
    }

    /// The same, which takes in only what a segment of this shift has.
    #[must_use]
    pub fn of_shift(self, shift: u8) -> Hooks {
        Hooks { upto: number(kept(shift)), ..self }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether so many more rows find room.
    pub fn has_room(&self, rows: usize) -> bool {
        self.room - self.rows.len() >= rows
    }

    /// Take in every chunk of a pack, as far as the shift wants them. To be sorted afterwards.
    pub fn add(&mut self, pack: PackId, footer: &Footer) {
        let pack = self.position(pack);
        let chunks = footer.frames.iter().flat_map(|frame| &frame.chunks);
        let rows = chunks.map(|(id, _)| Hook { prefix: number(Prefix::from(id)), pack });
        let rows = rows.filter(|row| row.prefix <= self.upto);
        self.rows.extend(rows.take(self.room - self.rows.len()));
    }

    fn position(&mut self, pack: PackId) -> u32 {
        *self.positions.entry(pack).or_insert_with(|| {
            self.packs.push(pack);
            u32::try_from(self.packs.len() - 1).expect("fewer than 2^32 packs")
        })
    }

    /// Put the rows in order, each once.
    pub fn sort(&mut self) {
        self.rows.sort_unstable();
        self.rows.dedup();
    }

    /// Whether these are as many rows as the segment says it has, and none that its shift leaves out.
    pub fn check(&self, at: &Written, shift: u8) -> Result<(), TableError> {
        let wrong = |what| Err(bad(at.fence.pack, BadBlock::Inconsistent(what)));
        let last = self.rows.iter().map(|row| row.prefix).max();
        match self.len() as u64 == at.rows {
            true if last > Some(number(kept(shift))) => wrong("hooks are beyond what their segment keeps"),
            true => Ok(()),
            false => wrong("hooks are missing"),
        }
    }

    /// Packs that may have the chunk, a few of them. The rows are sorted.
    pub fn find(&self, id: &ChunkId) -> impl Iterator<Item = PackId> + '_ {
        let wanted = number(Prefix::from(id));
        let from = self.rows.partition_point(|row| row.prefix < wanted);
        let same = self.rows[from..].iter().take_while(move |row| row.prefix == wanted);
        same.take(SAME_PREFIX).map(|row| self.packs[row.pack as usize])
    }

    /// Write the rows (sorted here; at least one, about [`SEGMENT_HOOKS`]) as one segment into `pack`.
    pub fn write(&mut self, pack: &mut PackWriter) -> Written {
        self.sort();
        let [first, last] =
            [self.rows.first(), self.rows.last()].map(|row| prefix(row.expect("some rows").prefix));
        let start = pack.len() as u64;
        let blocks = self.rows.chunks(BLOCK_HOOKS).map(|rows| {
            let blob = pack.add(&Frame::encode(encode_block(rows)), vec![]);
            Block(rows[0].prefix, blob.offset, blob.stored)
        });
        let fence = Fence(self.packs.clone(), blocks.collect());
        let fence = rmp_serde::to_vec(&fence).expect("plain values always encode");
        let fence = pack.add(&Frame::encode(fence), vec![]);
        Written { start, fence, rows: self.len() as u64, first, last }
    }

    /// Take in the rows of another, as far as there is room. To be sorted afterwards.
    pub fn append(&mut self, other: &Hooks) {
        let packs: Vec<u32> = other.packs.iter().map(|pack| self.position(*pack)).collect();
        let rows = other.rows.iter().map(|row| Hook { pack: packs[row.pack as usize], ..*row });
        self.rows.extend(rows.take(self.room - self.rows.len()));
    }

    /// Take in the rows of a segment up to the prefix `upto`, as far as `keep` wants their packs. To be sorted afterwards.
    /// Nothing is read beyond what there is room for. After an error some of the rows may be here.
    pub fn read(
        &mut self,
        (store, cache): (&Store, &Cache),
        at: &Written,
        upto: Prefix,
        keep: &dyn Fn(PackId) -> bool,
    ) -> Result<(), TableError> {
        let (fence, whole) = open(store, cache, at)?;
        let Fence(packs, blocks) = Fence::decode(at, &fence)?;
        let kept: Vec<Option<u32>> =
            packs.iter().map(|pack| keep(*pack).then(|| self.position(*pack))).collect();
        let upto = number(upto);
        let mut take = |bytes: &[u8]| -> Result<(), Stop> {
            if self.rows.len() >= self.room {
                return Err(Stop::Full);
            }
            let rows = decode_block(bytes, packs.len()).map_err(|source| bad(at.fence.pack, source))?;
            let rows = rows.into_iter().take_while(|row| row.prefix <= upto);
            let rows = rows.filter_map(|row| Some(Hook { pack: kept[row.pack as usize]?, ..row }));
            self.rows.extend(rows.take(self.room - self.rows.len()));
            Ok(())
        };
        let wanted = blocks.iter().take_while(|block| block.0 <= upto).map(|block| block.blob(at.fence.pack));
        let (here, missing): (Vec<Blob>, Vec<Blob>) = wanted.partition(|blob| whole.contains_key(blob));
        let read = here.iter().try_for_each(|blob| take(&whole[blob]));
        match read.and_then(|()| each_frame(store, cache, missing, |_, bytes| take(&bytes))) {
            Err(Stop::Failed(error)) => Err(error),
            Ok(()) | Err(Stop::Full) => Ok(()),
        }
    }
}

/// Why no further block is read.
enum Stop {
    /// There is no room.
    Full,
    /// A block cannot be read.
    Failed(TableError),
}

impl<E: Into<TableError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Failed(error.into())
    }
}

/// The packs of a segment, and its blocks.
#[derive(Serialize, Deserialize)]
struct Fence(Vec<PackId>, Vec<Block>);

/// One block: the prefix its rows begin with, and its frame.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Block(u64, u64, u32);

impl Block {
    fn blob(&self, pack: PackId) -> Blob {
        Blob { pack, offset: self.1, stored: self.2 }
    }
}

impl Fence {
    /// From its bytes, checked: blocks in order, no more than rows, one after the other from the segment's start to its fence.
    fn decode(at: &Written, bytes: &[u8]) -> Result<Fence, TableError> {
        let pack = at.fence.pack;
        let read: Fence = rmp_serde::from_slice(bytes).map_err(|e| bad(pack, BadBlock::Decode(e)))?;
        let follows = |end: u64, block: &Block| (block.1 == end).then_some(block.blob(pack).end());
        let end = read.1.iter().try_fold(at.start, follows);
        let few = read.1.len() as u64 <= at.rows;
        if few && end == Some(at.fence.offset) && read.1.is_sorted_by_key(|block| block.0) {
            Ok(read)
        } else {
            Err(bad(pack, BadBlock::Inconsistent("a fence does not fit its blocks")))
        }
    }
}

/// Bytes that hold every number up to this one.
fn width(most: u64) -> usize {
    (u64::BITS - most.leading_zeros()).div_ceil(8) as usize
}

/// A block, the raw bytes of one frame: number of rows, widths, the first prefix, then the rows.
fn encode_block(rows: &[Hook]) -> Vec<u8> {
    let first = rows[0].prefix;
    let steps = || {
        let before = std::iter::once(first).chain(rows.iter().map(|row| row.prefix));
        rows.iter().zip(before).map(|(row, before)| row.prefix - before)
    };
    let step_width = width(steps().max().unwrap_or(0));
    let pack_width = width(rows.iter().map(|row| u64::from(row.pack)).max().unwrap_or(0));
    let mut bytes = Vec::with_capacity(BLOCK_HEADER + rows.len() * (step_width + pack_width));
    bytes.extend(u32::try_from(rows.len()).expect("blocks are small").to_le_bytes());
    bytes.extend([step_width as u8, pack_width as u8, 0, 0]);
    bytes.extend(first.to_le_bytes());
    for (row, step) in rows.iter().zip(steps()) {
        bytes.extend(&step.to_le_bytes()[..step_width]);
        bytes.extend(&u64::from(row.pack).to_le_bytes()[..pack_width]);
    }
    bytes
}

/// The rows of a block, checked: as many as it says, in order, each naming one of `packs` packs.
fn decode_block(bytes: &[u8], packs: usize) -> Result<Vec<Hook>, BadBlock> {
    let short = BadBlock::Inconsistent("a block of hooks has another length than it says");
    let Some((header, body)) = bytes.split_first_chunk::<BLOCK_HEADER>() else { return Err(short) };
    let count = number_of(&header[..4]) as usize;
    let (step_width, pack_width) = (usize::from(header[4]), usize::from(header[5]));
    let row_width = step_width + pack_width;
    if header[6..8] != [0; 2] || step_width > 8 || pack_width > 4 || !(1..=MAX_BLOCK).contains(&count) {
        return Err(BadBlock::Inconsistent("a block of hooks has an impossible header"));
    }
    if count.checked_mul(row_width) != Some(body.len()) {
        return Err(short);
    }
    let mut rows: Vec<Hook> = Vec::with_capacity(count);
    let mut at = number_of(&header[8..]);
    for n in 0..count {
        let (step, pack) = body[n * row_width..(n + 1) * row_width].split_at(step_width);
        at = at.checked_add(number_of(step)).ok_or(BadBlock::Inconsistent("hooks are out of order"))?;
        let row = Hook { prefix: at, pack: number_of(pack) as u32 };
        if row.pack as usize >= packs {
            return Err(BadBlock::Inconsistent("a hook names no pack"));
        }
        if rows.last().is_some_and(|before| *before >= row) {
            return Err(BadBlock::Inconsistent("hooks are out of order"));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// A little-endian number of at most eight bytes.
fn number_of(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::PackKind;
    use crate::pack::FrameEntry;
    use crate::store::{Store, StoreUrl};

    pub(super) fn store(name: &str) -> Store {
        Store::open(&StoreUrl::parse(&format!("memory:hooks-{name}")).expect("a URL")).expect("memory")
    }

    pub(super) fn pack(n: u32) -> PackId {
        PackId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().expect("32 bytes"))
    }

    pub(super) fn chunk(n: u32) -> ChunkId {
        ChunkId::of(&n.to_le_bytes())
    }

    pub(super) fn footer(chunks: impl IntoIterator<Item = ChunkId>) -> Footer {
        let chunks: Vec<(ChunkId, u32)> = chunks.into_iter().map(|id| (id, 1)).collect();
        let frame = FrameEntry { offset: 16, stored: 99, raw: chunks.len() as u32, chunks };
        Footer { kind: PackKind::Data, frames: vec![frame] }
    }

    /// Hooks of `packs` packs with `chunks` chunks each.
    fn hooks(packs: u32, chunks: u32) -> Hooks {
        let mut hooks = Hooks::with_room(300_000);
        for n in 0..packs {
            hooks.add(pack(n), &footer((0..chunks).map(|c| chunk(n * chunks + c))));
        }
        hooks
    }

    fn read(store: &Store, at: &Written, upto: Prefix, most: usize) -> Result<Hooks, TableError> {
        let mut hooks = Hooks::with_room(most);
        hooks.read((store, &Cache::none()), at, upto, &|_| true)?;
        hooks.sort();
        Ok(hooks)
    }

    fn written(store: &Store, mut hooks: Hooks) -> Written {
        let mut pack = PackWriter::new(PackKind::Meta);
        let written = hooks.write(&mut pack);
        pack.finish().put(store).expect("written");
        written
    }

    #[test]
    fn every_chunk_leads_to_its_pack_in_few_bytes_and_requests() {
        let store = store("all");
        let at = written(&store, hooks(20, 2_000));
        assert_eq!(at.rows, 40_000);
        let before = store.requests();
        let hooks = read(&store, &at, Prefix::MAX, 100_000).expect("reads");
        let cost = store.requests().since(before);
        assert!(cost.get == 1 && cost.read < 9 * 40_000, "{cost:?}");
        for n in (0..40_000).step_by(99) {
            assert_eq!(hooks.find(&chunk(n)).collect::<Vec<_>>(), [pack(n / 2_000)]);
        }
        assert_eq!(hooks.find(&chunk(40_000)).count(), 0);
    }

    #[test]
    fn the_head_is_a_fair_sample() {
        let store = store("head");
        let at = written(&store, hooks(100, 2_000));
        let eighth = prefix(u64::MAX / 8);
        let before = store.requests();
        let head = read(&store, &at, eighth, 300_000).expect("reads");
        let cost = store.requests().since(before);
        assert!(cost.get == 2 && cost.read < at.stored() / 6, "{cost:?}");
        assert!((24_000..26_000).contains(&head.len()), "{} of 200,000", head.len());
        for n in 0..100 {
            let of = (n * 2_000..(n + 1) * 2_000).filter(|n| head.find(&chunk(*n)).next().is_some());
            assert!(of.count() > 150);
        }
        assert_eq!(read(&store, &at, Prefix::MAX, 777).expect("reads").len(), 777);
    }

    #[test]
    fn a_sample_finds_packs_by_how_many_of_their_chunks_are_asked_for() {
        const PACKS: u32 = 2_000;
        const CHUNKS: u32 = 400;
        for shift in [3, 5, 6] {
            let mut hooks = Hooks::with_room(300_000).of_shift(shift);
            (0..PACKS).for_each(|n| hooks.add(pack(n), &footer((0..CHUNKS).map(|c| chunk(n * CHUNKS + c)))));
            let kept = 1.0 / f64::from(1 << shift);
            let (all, rows) = (f64::from(PACKS * CHUNKS), hooks.len() as f64);
            assert!((rows / (all * kept) - 1.0).abs() < 0.05, "shift {shift}: {rows} rows");
            let store = store("sampled");
            let at = written(&store, hooks);
            let hooks = read(&store, &at, Prefix::MAX, 300_000).expect("reads");
            hooks.check(&at, shift).expect("as it says");
            assert!(hooks.check(&at, shift + 1).is_err(), "there are rows that a larger shift leaves out");
            for asked in [8, 64, CHUNKS] {
                let found =
                    |n: &u32| (0..asked).any(|c| hooks.find(&chunk(n * CHUNKS + c)).any(|it| it == pack(*n)));
                let found = f64::from((0..PACKS).filter(found).count() as u32) / f64::from(PACKS);
                let promised = 1.0 - (1.0 - kept).powf(f64::from(asked));
                assert!(
                    (found - promised).abs() < 0.04,
                    "shift {shift}, {asked} chunks: {found}, not {promised}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_read_beyond_what_there_is_room_for() {
        let store = store("room");
        let mut all = Hooks::with_room(1_500_000);
        for n in 0..15 {
            all.add(pack(n), &footer((0..100_000).map(|c| chunk(n * 100_000 + c))));
        }
        let at = written(&store, all);
        let cost = |most| {
            let before = store.requests();
            let hooks = read(&store, &at, Prefix::MAX, most).expect("reads");
            (hooks.len(), store.requests().since(before).get)
        };
        assert_eq!(cost(777), (777, 2), "the fence, and one request");
        assert_eq!(cost(1_500_000), (1_500_000, 3));
        // Each block has a row: what has more of them than rows is not what the log says.
        let few = Written { rows: 100, ..at };
        assert!(read(&store, &few, Prefix::MAX, 777).is_err());
    }

    #[test]
    fn rows_of_several_segments_come_together() {
        let mut all = hooks(2, 100);
        let mut other = Hooks::with_room(1_000);
        // Another order of packs, and one that both have.
        [5, 1].into_iter().for_each(|n| other.add(pack(n), &footer((0..100).map(|c| chunk(n * 100 + c)))));
        all.append(&other);
        all.sort();
        assert_eq!(all.len(), 300);
        for n in (0..200).chain(500..600) {
            assert_eq!(all.find(&chunk(n)).collect::<Vec<_>>(), [pack(n / 100)]);
        }
        let mut full = Hooks::with_room(50);
        full.append(&all);
        assert_eq!(full.len(), 50);
    }

    #[test]
    fn two_chunks_with_one_prefix_have_a_row_each() {
        let twin = |n: u8| {
            let mut bytes = *chunk(1).as_bytes();
            bytes[31] = n;
            ChunkId::from_bytes(bytes)
        };
        let mut hooks = Hooks::with_room(300_000);
        for n in 0..3u8 {
            // Twice in one pack is one row.
            hooks.add(pack(u32::from(n)), &footer([twin(n), twin(n + 100)]));
        }
        let at = written(&store("twins"), hooks);
        assert_eq!((at.rows, at.first), (3, at.last));
        let hooks = read(&store("twins"), &at, Prefix::MAX, 100_000).expect("reads");
        assert_eq!(hooks.find(&twin(77)).collect::<Vec<_>>(), [pack(0), pack(1), pack(2)]);
    }

    #[test]
    fn packs_that_nobody_wants_are_left_out() {
        let store = store("kept");
        let at = written(&store, hooks(3, 100));
        let mut hooks = Hooks::with_room(300_000);
        let keep = |id: PackId| id != pack(1);
        hooks.read((&store, &Cache::none()), &at, Prefix::MAX, &keep).expect("reads");
        hooks.sort();
        assert_eq!(hooks.len(), 200);
        assert!((100..200).all(|n| hooks.find(&chunk(n)).next().is_none()));
    }

    #[test]
    fn a_row_takes_twelve_bytes_of_memory() {
        assert_eq!(size_of::<Hook>(), 12);
    }

    fn rows() -> impl Strategy<Value = Vec<Hook>> {
        let row = (any::<u64>(), 0u32..10).prop_map(|(prefix, pack)| Hook { prefix, pack });
        let near = (0u64..50, 0u32..3).prop_map(|(prefix, pack)| Hook { prefix, pack });
        prop_oneof![prop::collection::btree_set(row, 1..200), prop::collection::btree_set(near, 1..80)]
            .prop_map(|rows| rows.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_block_is_read_back_as_written(rows in rows()) {
            let bytes = encode_block(&rows);
            prop_assert_eq!(&decode_block(&bytes, 10).expect("decodes"), &rows);
            let most = rows.iter().map(|row| row.pack).max().expect("some");
            prop_assert!(decode_block(&bytes, most as usize).is_err());
            for end in 0..bytes.len() {
                prop_assert!(decode_block(&bytes[..end], 10).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_in_order(bytes: Vec<u8>, widths in 0u8..10, packs in 0usize..5) {
            let _ = decode_block(&bytes, packs);
            // With a header that fits, so that the rows are looked at.
            let body = &bytes[..bytes.len() / 5 * 5];
            let header = [&(body.len() as u32 / 5).to_le_bytes()[..], &[widths, 5u8.wrapping_sub(widths), 0, 0, 1, 2, 3, 4, 5, 6, 7, 255]];
            if let Ok(rows) = decode_block(&[&header.concat(), body].concat(), packs) {
                prop_assert!(rows.is_sorted() && rows.iter().all(|row| (row.pack as usize) < packs));
            }
        }
    }
}

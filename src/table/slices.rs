//! Slices: the rows of several runs together in key order, a part of the key range at a time.
//!
//! What goes through a whole table, a merge above all, does it in bounded memory: some MiB for each run. It is also strict,
//! since what it does not hand over is dropped by a merge for good: every row that the log promises has to come, in order.

use std::collections::VecDeque;

use bytes::Bytes;
use rayon::prelude::*;

use super::row::{BadBlock, Row, decode_rows};
use super::segment::{Fence, TableError, Written, bad, read_frame};
use crate::cache::Cache;
use crate::id::{Oid, PackKind, Prefix, RepoId};
use crate::pack::format::MAX_FRAME;
use crate::pack::{BadPack, Blob, FrameView, PackError};
use crate::store::{Store, key};

/// Stored bytes of blocks in one request.
const READ: u64 = 2 << 20;
/// Blocks decoded at a time, on all cores.
const TOGETHER: usize = 8;

/// All rows of some runs, slice by slice: each slice has every row of the keys in it.
pub struct Slices<'a> {
    store: &'a Store,
    runs: Vec<Cursor>,
    /// Bytes of one request.
    read: u64,
}

impl<'a> Slices<'a> {
    /// The rows of `runs`: for each its segments, side by side in key order, and the birth of its rows that name none.
    pub fn new(store: &'a Store, runs: impl IntoIterator<Item = (Vec<Written>, u64)>) -> Self {
        let runs = runs.into_iter().map(|(segments, born)| Cursor::new(segments, born)).collect();
        Slices { store, runs, read: READ }
    }

    fn next_slice(&mut self) -> Result<Vec<Row>, TableError> {
        loop {
            for run in self.runs.iter_mut().filter(|run| run.rows.is_empty()) {
                run.fill(self.store, self.read)?;
            }
            // Of the keys before this one nobody has rows to come.
            let open = self.runs.iter_mut().filter(|run| !run.is_at_end());
            let Some(least) = open.min_by_key(|run| run.last_key()) else {
                return Ok(self.runs.iter_mut().flat_map(|run| run.rows.drain(..)).collect());
            };
            let bound = least.last_key();
            if least.rows.front().map(Row::key) == bound {
                least.fill(self.store, self.read)?;
                continue;
            }
            let before = |run: &Cursor| run.rows.partition_point(|row| Some(row.key()) < bound);
            return Ok(self.runs.iter_mut().flat_map(|run| run.rows.drain(..before(run))).collect());
        }
    }
}

impl Iterator for Slices<'_> {
    type Item = Result<Vec<Row>, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let slice = self.next_slice();
        if slice.is_err() {
            // What comes after damage would look like everything.
            self.runs.clear();
        }
        Some(slice).filter(|slice| !matches!(slice, Ok(rows) if rows.is_empty()))
    }
}

/// One run, read from its first row to its last.
struct Cursor {
    born: u64,
    segments: VecDeque<Written>,
    open: Option<Open>,
    rows: VecDeque<Row>,
    /// The last row that was read.
    last: Option<(Oid, RepoId)>,
}

/// The segment being read.
struct Open {
    at: Written,
    /// Blocks whose rows are to come.
    blocks: VecDeque<Blob>,
    /// A part of the pack that was read, and where it begins.
    loaded: (u64, Bytes),
    seen: u64,
}

impl Cursor {
    fn new(segments: Vec<Written>, born: u64) -> Cursor {
        Cursor { born, segments: segments.into(), open: None, rows: VecDeque::new(), last: None }
    }

    /// Whether no rows are to come but those at hand.
    fn is_at_end(&self) -> bool {
        self.open.is_none() && self.segments.is_empty()
    }

    fn last_key(&self) -> Option<(Oid, RepoId)> {
        self.rows.back().map(Row::key)
    }

    /// Reads on: afterwards more rows are at hand than before, or the run is at its end.
    fn fill(&mut self, store: &Store, read: u64) -> Result<(), TableError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.segments.pop_front() {
                Some(at) => Open::new(store, at)?,
                None => return Ok(()),
            },
        };
        let pack = open.at.fence.pack;
        let damaged = |what| bad(pack, BadBlock::Inconsistent(what));
        let rows = open.next_rows(store, read)?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Err(damaged("a block has no rows"));
        };
        let begins = open.seen > 0 || Prefix::from(&first.oid) == open.at.first;
        let ordered = self.last.is_none_or(|last| last <= first.key()) && rows.is_sorted_by_key(Row::key);
        open.seen += rows.len() as u64;
        self.last = Some(last.key());
        if !begins || !ordered {
            return Err(damaged("rows are out of order"));
        }
        let whole = open.seen == open.at.rows && Prefix::from(&last.oid) == open.at.last;
        if open.blocks.is_empty() && !whole {
            return Err(damaged("rows are missing"));
        }
        let resolve = |row: Row| Row { born: if row.born == 0 { self.born } else { row.born }, ..row };
        self.rows.extend(rows.into_iter().map(resolve));
        self.open = Some(open).filter(|open| !open.blocks.is_empty());
        Ok(())
    }
}

impl Open {
    fn new(store: &Store, at: Written) -> Result<Open, TableError> {
        let fence = Fence::decode(&at, &read_frame(store, &Cache::none(), &at.fence)?)?;
        Ok(Open { at, blocks: fence.blobs().collect(), loaded: (0, Bytes::new()), seen: 0 })
    }

    /// The rows of the next blocks.
    fn next_rows(&mut self, store: &Store, read: u64) -> Result<Vec<Row>, TableError> {
        let pack = self.at.fence.pack;
        let damaged = |source| PackError::bad(PackKind::Meta, pack, source);
        self.load(store, read)?;
        let (start, bytes) = &self.loaded;
        let end = start + bytes.len() as u64;
        let (mut frames, mut raw) = (Vec::new(), 0);
        for blob in self.blocks.iter().take_while(|blob| blob.end() <= end).take(TOGETHER) {
            let at = (blob.offset - start) as usize;
            let frame = FrameView::parse(&bytes[at..at + blob.stored as usize]).map_err(damaged)?;
            let frame = frame.filter(|frame| frame.len() == blob.stored as usize);
            let frame = frame.ok_or_else(|| damaged(BadPack::Damaged("frame length")))?;
            raw += frame.raw_len();
            // What decodes to much more than rows of ours is taken block by block.
            if raw > MAX_FRAME && !frames.is_empty() {
                break;
            }
            frames.push(frame);
        }
        let decode = |frame: &FrameView<'_>| -> Result<Vec<Row>, TableError> {
            decode_rows(&frame.decode().map_err(damaged)?).map_err(|source| bad(pack, source))
        };
        let rows: Vec<Vec<Row>> = frames.par_iter().map(decode).collect::<Result<_, _>>()?;
        let done = frames.len();
        self.blocks.drain(..done);
        Ok(rows.into_iter().flatten().collect())
    }

    /// Reads on, `read` bytes or one block, if the next block was not read yet.
    fn load(&mut self, store: &Store, read: u64) -> Result<(), TableError> {
        let (start, bytes) = &self.loaded;
        let Some(next) = self.blocks.front().filter(|next| next.end() > start + bytes.len() as u64) else {
            return Ok(());
        };
        let count = self.blocks.partition_point(|blob| blob.end() - next.offset <= read).max(1);
        let range = next.offset..self.blocks[count - 1].end();
        let name = key::pack(PackKind::Meta, self.at.fence.pack);
        self.loaded = (range.start, store.get_range(&name, range)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pack::{PackWriter, Term};
    use crate::store::StoreUrl;
    use crate::table::{Recipe, write_segment};

    fn row(oid: u16, repo: u8, born: u64) -> Row {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&oid.to_be_bytes());
        let pack = crate::id::PackId::from_bytes([7; 16]);
        let term = Term { pack, offset: 16, stored: 99, skip: 0, raw: 10, repeat: 1 };
        let (oid, repo) = (Oid::from_bytes(bytes), RepoId::from_bytes([repo; 16]));
        Row { oid, repo, born, size: 10, recipe: Recipe::Inline(vec![term]) }
    }

    fn store(name: &str) -> Store {
        Store::open(&StoreUrl::parse(&format!("memory:slices-{name}")).expect("a URL")).expect("memory")
    }

    /// Rows as a run of segments of `length` rows, each in a pack of its own.
    fn run(store: &Store, mut rows: Vec<Row>, length: usize) -> Vec<Written> {
        rows.sort_by_key(Row::key);
        let segment = |rows: &mut [Row]| {
            let mut pack = PackWriter::new(PackKind::Meta);
            let written = write_segment(&mut pack, rows, &Cache::none());
            pack.finish().put(store).expect("written");
            written
        };
        rows.chunks_mut(length).map(segment).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn slices_are_all_rows_and_no_key_is_in_two(
            runs in prop::collection::vec((prop::collection::vec((0u16..3000, 0u8..2), 1..4000), 1usize..3000), 0..5),
            read in 1u64..60_000,
        ) {
            let store = store("random");
            let mut expected = Vec::new();
            let mut written = Vec::new();
            for (born, (keys, length)) in (1u64..).zip(&runs) {
                let rows: Vec<Row> = keys.iter().map(|(oid, repo)| row(*oid, *repo, 0)).collect();
                expected.extend(rows.iter().map(|row| (row.key(), born)));
                written.push((run(&store, rows, *length), born));
            }
            let mut found: Vec<((Oid, RepoId), u64)> = Vec::new();
            let mut slices = Slices::new(&store, written);
            slices.read = read;
            for slice in slices {
                let slice = slice.expect("whole");
                let least = slice.iter().map(Row::key).min();
                prop_assert!(found.iter().map(|it| Some(it.0)).max() < Some(least), "a key is in two slices");
                found.extend(slice.iter().map(|row| (row.key(), row.born)));
            }
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn rows_that_the_log_promises_and_the_segment_lacks_are_damage() {
        let store = store("lacking");
        let rows = |oids: std::ops::Range<u16>| oids.map(|oid| row(oid, 0, 0)).collect::<Vec<_>>();
        let whole = run(&store, rows(0..3000), 1000);
        let read = |segments: Vec<Written>| -> Result<usize, TableError> {
            Slices::new(&store, [(segments, 1)]).map(|slice| slice.map(|rows| rows.len())).sum()
        };
        assert_eq!(read(whole.clone()).expect("whole"), 3000);
        let wrong = |change: &dyn Fn(&mut Vec<Written>)| {
            let mut segments = whole.clone();
            change(&mut segments);
            read(segments).expect_err("not what was written").to_string()
        };
        assert!(wrong(&|it| it[1].rows += 1).contains("rows are missing"));
        assert!(wrong(&|it| it[1].rows -= 1).contains("rows are missing"));
        assert!(wrong(&|it| it[1].last = Prefix::MAX).contains("rows are missing"));
        assert!(wrong(&|it| it[2].first = Prefix::MIN).contains("out of order"));
        assert!(wrong(&|it| it.swap(0, 1)).contains("out of order"));
        assert!(wrong(&|it| it[0].start += 1).contains("does not fit"));
    }

    #[test]
    fn nothing_follows_damage() {
        let store = store("damage");
        let mut segments = run(&store, (0..3000).map(|oid| row(oid, 0, 0)).collect(), 1000);
        segments[1].rows += 1;
        let slices: Vec<_> = Slices::new(&store, [(segments, 1)]).collect();
        assert!(slices.last().expect("some").is_err());
    }
}

//! Merging segments of hooks in bounded memory: some 2 MiB for each input that is open, and one segment of output.
//!
//! Rows whose pack is wanted no more go, and those that the shift leaves out: blocks beyond it are not even read. Of a prefix
//! that is in very many packs a few rows stay.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{Fence, Hook, Hooks, SAME_PREFIX, SEGMENT_HOOKS, decode_block, number};
use crate::cache::Cache;
use crate::id::{PackId, Prefix};
use crate::pack::Blob;
use crate::store::Store;
use crate::table::row::BadBlock;
use crate::table::segment::{TableError, Written, bad, each_frame, is_damage, read_frame};

/// Blocks of one input read together: a request of some 900 KiB.
const AHEAD: usize = 16;

/// Merges segments: gives sorted hooks, each time as many as one segment takes, side by side in key order.
///
/// An input that turns out damaged ends there, which costs hints; one that the store does not give is an error.
pub struct HookMerge<'a> {
    store: &'a Store,
    keep: &'a dyn Fn(PackId) -> bool,
    segments: Vec<Written>,
    /// Inputs that were begun, by position in `segments`.
    begun: Vec<Option<Input>>,
    /// Inputs that go on, by the prefix of their next row: one is begun when its first row comes up.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// Rows of one segment of output.
    most: usize,
    /// No larger prefix is kept.
    upto: u64,
}

impl<'a> HookMerge<'a> {
    /// The rows of `segments` up to the prefix `upto`, as far as `keep` wants their packs.
    pub fn new(
        store: &'a Store,
        segments: Vec<Written>,
        keep: &'a dyn Fn(PackId) -> bool,
        upto: Prefix,
    ) -> Self {
        let next = segments.iter().enumerate().map(|(n, it)| Reverse((number(it.first), n))).collect();
        let begun = segments.iter().map(|_| None).collect();
        HookMerge { store, keep, segments, begun, next, most: SEGMENT_HOOKS, upto: number(upto) }
    }

    /// Moves the rows of input `n` up to the prefix `upto` as long as there is room, and says with which it goes on.
    fn drain(&mut self, n: usize, upto: u64, to: &mut Hooks) -> Result<Option<u64>, TableError> {
        let input = match &mut self.begun[n] {
            Some(input) => input,
            none => none.insert(Input::open(self.store, &self.segments[n], self.keep)?),
        };
        while let Some(row) = input.peek(self.store)? {
            if row.prefix > upto || to.is_full(self.most, row.prefix) {
                return Ok(Some(row.prefix));
            }
            if let Some(pack) = input.packs[row.pack as usize] {
                to.insert(row.prefix, pack);
            }
            input.rows.pop_front();
        }
        self.begun[n] = None;
        Ok(None)
    }
}

impl Iterator for HookMerge<'_> {
    type Item = Result<Hooks, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut merged = Hooks::with_room(self.most + SAME_PREFIX);
        while let Some(Reverse((first, n))) = self.next.pop() {
            if first > self.upto {
                self.next.clear();
                break;
            }
            if merged.is_full(self.most, first) {
                self.next.push(Reverse((first, n)));
                break;
            }
            let upto = self.next.peek().map_or(self.upto, |Reverse((next, _))| self.upto.min(*next));
            match self.drain(n, upto, &mut merged) {
                Ok(next) => self.next.extend(next.map(|next| Reverse((next, n)))),
                Err(error) if is_damage(self.store, &self.segments[n], &error) => self.begun[n] = None,
                Err(error) => return Some(Err(error)),
            }
        }
        merged.sort();
        (!merged.is_empty()).then_some(Ok(merged))
    }
}

impl Hooks {
    /// Whether `most` rows are here and the next one has another prefix than the last.
    fn is_full(&self, most: usize, next: u64) -> bool {
        self.len() >= most && self.rows.last().is_none_or(|last| last.prefix != next)
    }

    /// One more row, behind those with smaller prefixes.
    fn insert(&mut self, prefix: u64, pack: PackId) {
        let row = Hook { prefix, pack: self.position(pack) };
        let same = self.rows.iter().rev().take_while(|it| it.prefix == prefix);
        if same.clone().count() < SAME_PREFIX && !same.clone().any(|it| *it == row) {
            self.rows.push(row);
        }
    }
}

/// One segment being read from its first row to its last.
struct Input {
    at: PackId,
    /// Packs in the order of the segment, those that are wanted.
    packs: Vec<Option<PackId>>,
    blocks: VecDeque<Blob>,
    rows: VecDeque<Hook>,
    last: u64,
}

impl Input {
    fn open(store: &Store, segment: &Written, keep: &dyn Fn(PackId) -> bool) -> Result<Input, TableError> {
        let at = segment.fence.pack;
        let fence = read_frame(store, &Cache::none(), &segment.fence)?;
        let Fence(packs, blocks) = Fence::decode(segment, &fence)?;
        let packs = packs.into_iter().map(|pack| keep(pack).then_some(pack)).collect();
        let blocks = blocks.iter().map(|block| block.blob(at)).collect();
        Ok(Input { at, packs, blocks, rows: VecDeque::new(), last: number(segment.first) })
    }

    /// The next row, which stays.
    fn peek(&mut self, store: &Store) -> Result<Option<Hook>, TableError> {
        if self.rows.is_empty() && !self.blocks.is_empty() {
            let Input { packs, blocks, rows, .. } = self;
            let ahead: Vec<Blob> = blocks.drain(..AHEAD.min(blocks.len())).collect();
            // What is merged is read once, and not again: nothing of it is kept in the cache.
            each_frame(store, &Cache::none(), ahead, |blob, bytes| {
                rows.extend(decode_block(&bytes, packs.len()).map_err(|source| bad(blob.pack, source))?);
                Ok::<(), TableError>(())
            })?;
        }
        let Some(row) = self.rows.front().copied() else { return Ok(None) };
        if row.prefix < self.last {
            return Err(bad(self.at, BadBlock::Inconsistent("blocks of hooks are out of order")));
        }
        self.last = row.prefix;
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kept;
    use super::super::tests::{chunk, footer, pack, store};
    use super::*;
    use crate::id::PackKind;
    use crate::pack::PackWriter;
    use crate::store::key;

    /// Packs `range`, of 900 chunks each, as one segment. Neighbouring packs share a third of their chunks.
    fn segment(store: &Store, range: std::ops::Range<u32>) -> Written {
        let mut hooks = Hooks::with_room(100_000);
        range.for_each(|n| hooks.add(pack(n), &footer((n * 600..n * 600 + 900).map(chunk))));
        let mut pack = PackWriter::new(PackKind::Meta);
        let written = hooks.write(&mut pack);
        pack.finish().put(store).expect("written");
        written
    }

    fn merged(store: &Store, segments: &[Written], keep: &dyn Fn(PackId) -> bool, most: usize) -> Vec<Hooks> {
        let merge = HookMerge { most, ..HookMerge::new(store, segments.to_vec(), keep, Prefix::MAX) };
        merge.collect::<Result<_, _>>().expect("reads")
    }

    fn rows(hooks: &[Hooks]) -> Vec<(u64, PackId)> {
        let rows = |it: &Hooks| -> Vec<(u64, PackId)> {
            it.rows.iter().map(|row| (row.prefix, it.packs[row.pack as usize])).collect()
        };
        let mut rows: Vec<(u64, PackId)> = hooks.iter().flat_map(rows).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn all_rows_of_wanted_packs_stay_each_once() {
        let store = store("merge");
        let segments = [segment(&store, 0..9), segment(&store, 5..30), segment(&store, 29..30)];
        let odd = |id: PackId| (0..30).any(|n| n % 2 == 1 && pack(n) == id);
        let outs = merged(&store, &segments, &odd, 1_000);
        assert_eq!(outs.iter().map(Hooks::len).collect::<Vec<_>>(), [vec![1_000; 13], vec![500]].concat());
        let expected =
            |n: u32| (n * 600..n * 600 + 900).map(move |c| (number(Prefix::from(&chunk(c))), pack(n)));
        let mut all: Vec<(u64, PackId)> = (0..30).filter(|n| n % 2 == 1).flat_map(expected).collect();
        all.sort_unstable();
        assert_eq!(rows(&outs), all);
        // Side by side: a lookup of one prefix asks one segment, or two at a border.
        for pair in outs.windows(2) {
            assert!(pair[0].rows.last().expect("full").prefix <= pair[1].rows[0].prefix);
        }
    }

    #[test]
    fn a_chunk_in_very_many_packs_keeps_a_few_rows() {
        let store = store("merge-many");
        let segments: Vec<Written> = (0..20)
            .map(|n| {
                let mut hooks = Hooks::with_room(100_000);
                hooks.add(pack(n), &footer([chunk(0), chunk(n + 1)]));
                let mut meta = PackWriter::new(PackKind::Meta);
                let written = hooks.write(&mut meta);
                meta.finish().put(&store).expect("written");
                written
            })
            .collect();
        let outs = merged(&store, &segments, &|_| true, 1_000);
        assert_eq!(rows(&outs).len(), 20 + SAME_PREFIX);
        assert_eq!(outs[0].find(&chunk(0)).count(), SAME_PREFIX);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn segments_of_any_shifts_become_one_of_the_largest(
            parts in prop::collection::vec((0u32..40, 1u32..6, 0u8..5), 1..7),
            more in 0u8..3,
            most in 50usize..3_000,
        ) {
            let store = store("shifts");
            let mut expected = Vec::new();
            let shift = parts.iter().map(|(.., shift)| *shift).max().expect("some") + more;
            let segments: Vec<Written> = parts
                .iter()
                .filter_map(|(first, count, own)| {
                    let mut hooks = Hooks::with_room(100_000).of_shift(*own);
                    (*first..first + count).for_each(|n| {
                        hooks.add(pack(n), &footer((n * 600..n * 600 + 900).map(chunk)));
                        expected.extend((n * 600..n * 600 + 900).map(|c| (number(Prefix::from(&chunk(c))), pack(n))));
                    });
                    let mut meta = PackWriter::new(PackKind::Meta);
                    let written = (!hooks.is_empty()).then(|| hooks.write(&mut meta));
                    meta.finish().put(&store).expect("written");
                    written
                })
                .collect();
            expected.retain(|(prefix, _)| *prefix <= u64::MAX >> shift);
            expected.sort_unstable();
            expected.dedup();
            let merge = HookMerge { most, ..HookMerge::new(&store, segments, &|_| true, kept(shift)) };
            let outs: Vec<Hooks> = merge.collect::<Result<_, _>>().expect("reads");
            prop_assert_eq!(rows(&outs), expected);
        }
    }

    #[test]
    fn what_the_shift_leaves_out_is_not_read() {
        let store = store("unread");
        let mut hooks = Hooks::with_room(500_000);
        (0..200).for_each(|n| hooks.add(pack(n), &footer((n * 2_000..(n + 1) * 2_000).map(chunk))));
        let mut meta = PackWriter::new(PackKind::Meta);
        let at = hooks.write(&mut meta);
        meta.finish().put(&store).expect("written");
        let before = store.requests();
        let merge = HookMerge::new(&store, vec![at], &|_| true, kept(2));
        let left: usize = merge.map(|hooks| hooks.expect("reads").len()).sum();
        let read = store.requests().since(before).read;
        assert!((98_000..102_000).contains(&left), "{left} of 400,000");
        assert!(read < at.stored() / 3, "{read} of {}", at.stored());
    }

    #[test]
    fn a_damaged_input_ends_and_the_others_go_on() {
        let segments = |store: &Store| [segment(store, 0..20), segment(store, 20..40)];
        let whole = merged(&store("merge-whole"), &segments(&store("merge-whole")), &|_| true, 1 << 20);
        for what in ["gone", "cut", "first", "middle", "fence"] {
            let store = store(&format!("merge-{what}"));
            let segments = segments(&store);
            let name = key::pack(PackKind::Meta, segments[0].fence.pack);
            let mut bytes = store.get(&name).expect("memory").expect("there").to_vec();
            match what {
                "gone" => store.delete(&name).expect("memory"),
                "cut" => bytes.truncate(70_000),
                "first" => bytes[50] ^= 1,
                "middle" => bytes[segments[0].fence.offset as usize / 2] ^= 1,
                _ => bytes[segments[0].fence.offset as usize + 40] ^= 1,
            }
            if what != "gone" {
                store.overwrite(&name, bytes.into()).expect("memory");
            }
            let outs = merged(&store, &segments, &|_| true, 1 << 20);
            let (got, all) = (rows(&outs), rows(&whole));
            assert!(got.len() >= 18_000 && got.len() < all.len(), "{what}: {} of {}", got.len(), all.len());
            assert!(got.iter().all(|row| all.binary_search(row).is_ok()), "{what}: a row nobody wrote");
        }
    }
}

//! The plan of a fetch: which requests, in which order, for which files.
//!
//! Files are cut into parts of bounded cost. A *group* is the terms of neighbouring files (or of one fragmented file), read
//! together, pack by pack, gaps and all; a *long* term is read in pieces, one after the other. The whole plan is known before
//! the first request, so a reader runs ahead of whoever decodes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::Wanted;
use crate::id::PackId;
use crate::pack::Term;
use crate::pack::plan::{GAP, MAX_READ, coalesce};

/// What the frames of a group may take in memory, bytes.
pub const GROUP_COST: u64 = 16 << 20;
/// What a frame that is only partly wanted may cost beyond what is wanted of it.
const FRAME_COST: u64 = 320 << 10;

/// One term of one file.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// Position of the file in the list.
    pub file: usize,
    /// The term.
    pub term: Term,
}

/// What is read, decoded and written together.
#[derive(Debug)]
pub enum Part {
    /// Terms whose frames are in memory together.
    Group {
        /// In file order.
        slices: Vec<Slice>,
        /// Files that have no other part, so that they can be written in parallel.
        whole: bool,
    },
    /// One term longer than a request.
    Long(Slice),
}

/// The parts of `files`, in file order.
pub fn parts(files: &[Wanted]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut group = Group::default();
    for (at, file) in files.iter().enumerate() {
        let alone = file.terms.iter().any(is_long) || !Group::holds(file);
        if alone {
            group.close(&mut parts, true);
        }
        for term in &file.terms {
            let slice = Slice { file: at, term: *term };
            if is_long(term) {
                group.close(&mut parts, false);
                parts.push(Part::Long(slice));
            } else {
                if alone && group.is_full_with(term) {
                    group.close(&mut parts, false);
                }
                group.add(slice);
            }
        }
        if alone {
            group.close(&mut parts, false);
        } else if group.is_over() {
            group.split_last(at, &mut parts);
        }
    }
    group.close(&mut parts, true);
    parts
}

/// What would not fit into memory at once, stored or decoded, is read and decoded as a stream: a few stored bytes may declare
/// any number of raw ones.
fn is_long(term: &Term) -> bool {
    term.stored > MAX_READ || (term.repeat == 1 && term_cost(term) > GROUP_COST)
}

fn term_cost(term: &Term) -> u64 {
    u64::from(term.skip).saturating_add(term.raw).saturating_add(FRAME_COST)
}

#[derive(Default)]
struct Group {
    slices: Vec<Slice>,
    /// Stored bytes to be read from each place.
    frames: HashMap<(PackId, u64), u64>,
    /// Bytes it takes once decoded.
    cost: u64,
    /// Where its requests begin, and end: what lies so near to each other that it is read together is one.
    reads: BTreeMap<(PackId, u64), u64>,
    /// Bytes of its requests, with the gaps that are read along.
    read: u64,
}

impl Group {
    /// Whether all of a file fits into one.
    fn holds(file: &Wanted) -> bool {
        let mut group = Group::default();
        file.terms.iter().all(|term| {
            let fits = !group.is_full_with(term);
            group.count(term);
            fits
        })
    }

    /// What it takes in memory, and the bytes of its requests, with one more term. Small files that follow each other share
    /// their first frame, so a frame is counted once.
    fn with(&self, term: &Term) -> (u64, u64) {
        let shared = self.frames.get(&(term.pack, term.offset));
        let frame = if shared.is_some() { 0 } else { FRAME_COST.max(u64::from(term.skip)) };
        let stored = term.stored.saturating_sub(shared.copied().unwrap_or(0));
        let read = self.joined(term);
        let replaced = self.near(&read, term.pack).map(|(start, end)| end - start).sum();
        // Its own bytes, also where they are read twice, or those by which the requests grow.
        let more = stored.max((read.end - read.start).saturating_sub(replaced));
        (self.cost.saturating_add(term.raw).saturating_add(frame), self.read.saturating_add(more))
    }

    /// Requests of a pack that touch this range or lie so near to it that the gap is read along.
    fn near(&self, range: &Range<u64>, pack: PackId) -> impl Iterator<Item = (u64, u64)> + '_ {
        let start = range.start;
        let before = self.reads.range((pack, 0)..=(pack, range.end.saturating_add(GAP))).rev();
        // They lie apart, so those that begin earlier end earlier.
        let near = before.take_while(move |(_, end)| end.saturating_add(GAP) >= start);
        near.map(|((_, start), end)| (*start, *end))
    }

    /// The request that the term becomes a part of.
    fn joined(&self, term: &Term) -> Range<u64> {
        let own = term.offset..term.offset.saturating_add(term.stored);
        let join = |all: Range<u64>, (start, end): (u64, u64)| all.start.min(start)..all.end.max(end);
        self.near(&own, term.pack).fold(own.clone(), join)
    }

    fn is_full_with(&self, term: &Term) -> bool {
        let (cost, read) = self.with(term);
        cost > GROUP_COST || read > MAX_READ
    }

    fn is_over(&self) -> bool {
        self.cost > GROUP_COST || self.read > MAX_READ
    }

    fn count(&mut self, term: &Term) {
        (self.cost, self.read) = self.with(term);
        let place = self.frames.entry((term.pack, term.offset)).or_default();
        *place = term.stored.max(*place);
        let read = self.joined(term);
        let replaced: Vec<u64> = self.near(&read, term.pack).map(|(start, _)| start).collect();
        for start in replaced {
            self.reads.remove(&(term.pack, start));
        }
        self.reads.insert((term.pack, read.start), read.end);
    }

    fn add(&mut self, slice: Slice) {
        self.count(&slice.term);
        self.slices.push(slice);
    }

    fn close(&mut self, parts: &mut Vec<Part>, whole: bool) {
        let closed = std::mem::take(self);
        if !closed.slices.is_empty() {
            parts.push(Part::Group { slices: closed.slices, whole });
        }
    }

    /// Over the limit since `file` was added: close what came before it.
    fn split_last(&mut self, file: usize, parts: &mut Vec<Part>) {
        let own = self.slices.partition_point(|slice| slice.file < file);
        let last = self.slices.split_off(own);
        self.close(parts, true);
        last.into_iter().for_each(|slice| self.add(slice));
    }
}

/// What is wanted of each pack.
pub fn pieces(slices: &[Slice]) -> BTreeMap<PackId, Vec<Range<u64>>> {
    let mut packs: BTreeMap<PackId, Vec<Range<u64>>> = BTreeMap::new();
    for Slice { term, .. } in slices {
        packs.entry(term.pack).or_default().push(term.offset..term.offset.saturating_add(term.stored));
    }
    packs
}

/// The requests of a part, in the order their bytes are wanted.
pub fn reads(part: &Part) -> Vec<(PackId, Range<u64>)> {
    match part {
        Part::Group { slices, .. } => pieces(slices)
            .into_iter()
            .flat_map(|(pack, wanted)| coalesce(wanted).into_iter().map(move |range| (pack, range)))
            .collect(),
        Part::Long(Slice { term, .. }) => {
            let end = term.offset.saturating_add(term.stored);
            let pieces = (term.offset..end).step_by(MAX_READ as usize);
            let once: Vec<_> =
                pieces.map(|at| (term.pack, at..end.min(at.saturating_add(MAX_READ)))).collect();
            once.iter().cycle().take(once.len() * term.repeat as usize).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Oid;

    fn file(terms: Vec<Term>) -> Wanted {
        let size = terms.iter().map(Term::len).sum();
        Wanted { oid: Oid::from_bytes([0; 32]), size, terms, path: "unused".into() }
    }

    fn term(pack: u8, offset: u64, stored: u64, skip: u32, raw: u64) -> Term {
        Term { pack: PackId::from_bytes([pack; 16]), offset, stored, skip, raw, repeat: 1 }
    }

    #[test]
    fn ten_thousand_small_files_are_some_twenty_requests() {
        // 12 files of 20 KB in each frame of 240 KB, 130 frames in each pack.
        let files: Vec<Wanted> = (0..10_000u64)
            .map(|n| {
                let (frame, within) = (n / 12, (n % 12) as u32);
                let (pack, at) = ((frame / 130) as u8, frame % 130);
                file(vec![term(pack, 16 + at * 240_028, 240_028, within * 20_000, 20_000)])
            })
            .collect();
        let parts = parts(&files);
        assert!(parts.iter().all(|part| matches!(part, Part::Group { whole: true, .. })));
        let requests: usize = parts.iter().map(|part| reads(part).len()).sum();
        assert!((15..40).contains(&requests), "{requests}");
        let slices: usize =
            parts.iter().map(|p| if let Part::Group { slices, .. } = p { slices.len() } else { 0 }).sum();
        assert_eq!(slices, 10_000);
    }

    #[test]
    fn a_large_file_is_read_piece_by_piece() {
        let terms: Vec<Term> = (0..32).map(|pack| term(pack, 16, 32 << 20, 0, 32 << 20)).collect();
        let parts = parts(&[
            file(vec![term(77, 16, 100, 0, 50)]),
            file(terms),
            file(vec![term(77, 16, 100, 50, 50)]),
        ]);
        assert_eq!(parts.len(), 34);
        assert_eq!(parts.iter().map(|part| reads(part).len()).sum::<usize>(), 32 * 4 + 2);
    }

    #[test]
    fn what_is_small_only_because_it_is_compressed_is_a_stream() {
        let parts = parts(&[file(vec![term(1, 16, 2 << 20, 0, 1 << 40)])]);
        assert!(matches!(parts[..], [Part::Long(_)]));
    }

    #[test]
    fn a_fragmented_file_is_read_in_bounded_groups() {
        let terms: Vec<Term> =
            (0..4000u64).map(|n| term((n % 2) as u8, 16 + n * 300_000, 250_000, 0, 16_000)).collect();
        let parts = parts(&[file(terms)]);
        assert!(parts.len() > 20, "{}", parts.len());
        assert!(parts.iter().all(|part| matches!(part, Part::Group { whole: false, .. })));
    }

    #[test]
    fn what_stores_much_and_gives_little_is_read_in_bounded_groups() {
        let terms: Vec<Term> = (0..48u64).map(|n| term(1, 16 + n * 100, 7 << 20, 0, 1)).collect();
        for part in parts(&[file(terms)]) {
            let read: u64 = reads(&part).iter().map(|(_, range)| range.end - range.start).sum();
            assert!(read <= 2 * MAX_READ, "{read} bytes at once");
        }
        // The same place again, longer: the longer one is what is read.
        let grows: Vec<Term> = (1..9u64).map(|n| term(1, 16, n << 20, 0, 1)).collect();
        let mut group = Group::default();
        grows.iter().for_each(|term| group.count(term));
        assert_eq!(group.read, 8 << 20);
    }

    /// Bytes of the requests of a part.
    fn read(part: &Part) -> u64 {
        reads(part).iter().map(|(_, range)| range.end - range.start).sum()
    }

    #[test]
    fn gaps_that_are_read_along_are_counted() {
        // 100 chunks a pack, with gaps just below those at which another request is made.
        let terms: Vec<Term> =
            (0..400u64).map(|n| term((n / 100) as u8, 16 + n % 100 * 500_000, 16_000, 0, 16_000)).collect();
        let one_file = parts(&[file(terms.clone())]);
        let many_files = parts(&terms.iter().map(|term| file(vec![*term])).collect::<Vec<_>>());
        for parts in [one_file, many_files] {
            assert!(parts.iter().all(|part| read(part) <= MAX_READ));
            let all: u64 = parts.iter().map(read).sum();
            assert!(all <= 4 * 100 * 500_000, "no more is read for it: {all}");
            let requests: usize = parts.iter().map(|part| reads(part).len()).sum();
            assert!((22..=32).contains(&requests), "{requests}");
        }
    }

    #[test]
    fn in_any_order_a_group_counts_what_its_requests_read() {
        // A fixed order that jumps about: every place once.
        let places = (0..200u64).map(|n| n * 77 % 200);
        let terms: Vec<Term> = places
            .map(|n| term((n % 2) as u8, 16 + n * 300_000 + n * n % 7 * 30_000, 16_000 + n * 100, 0, 10))
            .collect();
        let mut group = Group::default();
        for (n, term) in terms.iter().enumerate() {
            group.add(Slice { file: n, term: *term });
            let part = Part::Group { slices: group.slices.clone(), whole: true };
            let (counted, asked) = (group.read, read(&part));
            // Requests have a largest size, which leaves some gaps out.
            assert!(counted >= asked && counted - asked <= 40 * GAP, "{n}: {counted} for {asked}");
        }
    }
}

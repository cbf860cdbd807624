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
use crate::pack::plan::{MAX_READ, coalesce};

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
        let cost = file.terms.iter().map(term_cost).fold(0, u64::saturating_add);
        let stored = file.terms.iter().map(|term| term.stored).fold(0, u64::saturating_add);
        let alone = cost > GROUP_COST || stored > MAX_READ || file.terms.iter().any(is_long);
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
        } else if group.cost > GROUP_COST || group.stored > MAX_READ {
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
    /// Bytes of its requests.
    stored: u64,
}

impl Group {
    /// Cost and stored bytes with one more term. Small files that follow each other share their first frame, so a frame is
    /// counted once.
    fn with(&self, term: &Term) -> (u64, u64) {
        let shared = self.frames.get(&(term.pack, term.offset));
        let frame = if shared.is_some() { 0 } else { FRAME_COST.max(u64::from(term.skip)) };
        let stored = term.stored.saturating_sub(shared.copied().unwrap_or(0));
        (self.cost.saturating_add(term.raw).saturating_add(frame), self.stored.saturating_add(stored))
    }

    fn is_full_with(&self, term: &Term) -> bool {
        let (cost, stored) = self.with(term);
        cost > GROUP_COST || stored > MAX_READ
    }

    fn add(&mut self, slice: Slice) {
        (self.cost, self.stored) = self.with(&slice.term);
        let place = self.frames.entry((slice.term.pack, slice.term.offset)).or_default();
        *place = slice.term.stored.max(*place);
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

/// The requests of a part, in the order their bytes are wanted.
pub fn reads(part: &Part) -> Vec<(PackId, Range<u64>)> {
    match part {
        Part::Group { slices, .. } => {
            let mut packs: BTreeMap<PackId, Vec<Range<u64>>> = BTreeMap::new();
            for Slice { term, .. } in slices {
                packs
                    .entry(term.pack)
                    .or_default()
                    .push(term.offset..term.offset.saturating_add(term.stored));
            }
            packs
                .into_iter()
                .flat_map(|(pack, wanted)| coalesce(wanted).into_iter().map(move |range| (pack, range)))
                .collect()
        }
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
        grows.into_iter().for_each(|term| group.add(Slice { file: 0, term }));
        assert_eq!(group.stored, 8 << 20);
    }
}

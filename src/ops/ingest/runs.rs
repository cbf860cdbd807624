//! From the places of a file's chunks to the terms of its recipe.
//!
//! Chunks that follow each other both in the file and in a pack are one run, and a chunk that repeats is one run with a count;
//! so a file written in order is one term a pack, and a gigabyte of zeros is one term.

use super::index::{FramePlace, Place};
use crate::pack::{Blob, Term};

/// Runs that any file may have.
const FREE_RUNS: u64 = 64;
/// Further runs a file may have for each MiB of it (ADR 7 has the figures).
const RUNS_PER_MIB: u64 = 32;
/// No file has more: a recipe must stay far below the largest frame.
const MAX_RUNS: u64 = 100_000;

/// A run of bytes of one file. `first` and `last` are the frames it begins and ends in.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: FramePlace,
    last: FramePlace,
    skip: u32,
    /// Where the run ends in the raw bytes of its last frame.
    end: u32,
    raw: u64,
    repeat: u32,
    /// The place of the chunk, while the run is just one.
    single: Option<Place>,
}

/// The runs of one file, growing chunk by chunk.
#[derive(Debug, Default)]
pub struct Runs {
    runs: Vec<Run>,
    /// Bytes of the file so far.
    bytes: u64,
}

impl Runs {
    /// Whether the next chunk may be borrowed from there. What goes on with the run in hand always may; a new run only while
    /// the file has no more than [`FREE_RUNS`] and [`RUNS_PER_MIB`] of them, since each is another place to read from. Beyond,
    /// the chunk is stored once more, and the file is in one piece there.
    pub fn takes(&self, place: &Place, own_raw: impl Fn(u32) -> Option<u32>) -> bool {
        let most = FREE_RUNS.saturating_add((self.bytes >> 20).saturating_mul(RUNS_PER_MIB)).min(MAX_RUNS);
        let goes_on =
            |run: &Run| run.single == Some(*place) || (run.repeat == 1 && follows(run, place, own_raw));
        (self.runs.len() as u64) < most || self.runs.last().is_some_and(goes_on)
    }

    /// The next chunk of the file lies there. `own_raw` gives the raw length of an own frame, `None` while it is open.
    pub fn push(&mut self, place: Place, own_raw: impl Fn(u32) -> Option<u32>) {
        self.bytes += u64::from(place.raw);
        if let Some(run) = self.runs.last_mut() {
            if run.single == Some(place) && run.repeat < u32::MAX {
                run.repeat += 1;
                return;
            }
            if run.repeat == 1 && follows(run, &place, own_raw) {
                run.last = place.frame;
                run.end = place.start + place.raw;
                run.raw += u64::from(place.raw);
                run.single = None;
                return;
            }
        }
        let end = place.start + place.raw;
        let (skip, raw) = (place.start, u64::from(place.raw));
        self.runs.push(Run {
            first: place.frame,
            last: place.frame,
            skip,
            end,
            raw,
            repeat: 1,
            single: Some(place),
        });
    }

    /// The terms, once every own frame has its place: `own` gives it and the frame's raw length.
    pub fn terms(&self, own: impl Fn(u32) -> (Blob, u32)) -> Vec<Term> {
        let mut terms = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            match (run.first, run.last) {
                (FramePlace::Known { pack, offset, .. }, FramePlace::Known { offset: last, stored, .. }) => {
                    let stored = last + u64::from(stored) - offset;
                    terms.push(Term {
                        pack,
                        offset,
                        stored,
                        skip: run.skip,
                        raw: run.raw,
                        repeat: run.repeat,
                    });
                }
                (FramePlace::Own(first), FramePlace::Own(last)) => {
                    own_terms(run, first, last, &own, &mut terms)
                }
                _ => unreachable!("a run never crosses from a known pack into this push"),
            }
        }
        terms
    }
}

fn follows(run: &Run, place: &Place, own_raw: impl Fn(u32) -> Option<u32>) -> bool {
    match (run.last, place.frame) {
        (a, b) if a == b => place.start == run.end,
        (
            FramePlace::Known { pack, offset, stored, raw },
            FramePlace::Known { pack: next_pack, offset: next, .. },
        ) => pack == next_pack && next == offset + u64::from(stored) && place.start == 0 && run.end == raw,
        (FramePlace::Own(frame), FramePlace::Own(next)) => {
            next == frame + 1 && place.start == 0 && own_raw(frame) == Some(run.end)
        }
        _ => false,
    }
}

/// A run of own frames may cross from one pack into the next.
fn own_terms(run: &Run, first: u32, last: u32, own: impl Fn(u32) -> (Blob, u32), terms: &mut Vec<Term>) {
    let (mut skip, mut left) = (run.skip, run.raw);
    let mut open: Option<Term> = None;
    for frame in first..=last {
        let (blob, raw) = own(frame);
        let part = u64::from(raw - skip).min(left);
        left -= part;
        match &mut open {
            Some(term) if term.pack == blob.pack => {
                term.stored += u64::from(blob.stored);
                term.raw += part;
            }
            _ => {
                terms.extend(open.take());
                let stored = u64::from(blob.stored);
                open = Some(Term {
                    pack: blob.pack,
                    offset: blob.offset,
                    stored,
                    skip,
                    raw: part,
                    repeat: run.repeat,
                });
            }
        }
        skip = 0;
    }
    terms.extend(open);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PackId;

    fn own(frame: u32, start: u32, raw: u32) -> Place {
        Place { frame: FramePlace::Own(frame), start, raw }
    }

    fn places(frame: u32) -> (Blob, u32) {
        let pack = PackId::from_bytes([u8::from(frame >= 2); 16]);
        (Blob { pack, offset: 16 + 100 * u64::from(frame % 2), stored: 100 }, 30)
    }

    fn terms(chunks: &[Place]) -> Vec<Term> {
        let mut runs = Runs::default();
        chunks.iter().for_each(|chunk| runs.push(*chunk, |_| Some(30)));
        runs.terms(places)
    }

    #[test]
    fn a_file_in_order_is_one_term_a_pack() {
        let chunks = [own(0, 10, 20), own(1, 0, 10), own(1, 10, 20), own(2, 0, 30), own(3, 0, 5)];
        let terms = terms(&chunks);
        assert_eq!(terms.len(), 2);
        assert_eq!((terms[0].skip, terms[0].raw, terms[0].stored), (10, 50, 200));
        assert_eq!((terms[1].skip, terms[1].raw, terms[1].stored), (0, 35, 200));
    }

    #[test]
    fn a_chunk_that_repeats_is_one_term() {
        let terms = terms(&[own(0, 5, 10); 1000]);
        assert_eq!(terms.len(), 1);
        assert_eq!((terms[0].raw, terms[0].repeat, terms[0].len()), (10, 1000, 10_000));
    }

    #[test]
    fn a_jump_begins_a_term() {
        assert_eq!(terms(&[own(0, 0, 10), own(0, 20, 10), own(1, 0, 10)]).len(), 2);
        assert_eq!(terms(&[own(0, 0, 10), own(1, 0, 10)]).len(), 2);
    }

    #[test]
    fn a_file_scattered_over_a_pack_is_stored_anew_where_it_would_fall_to_pieces() {
        let mut runs = Runs::default();
        let (mut borrowed, mut own_end) = (0, 0);
        for n in 0..64 * 64 {
            // Every chunk of 16 KiB is known, and none lies behind the one before.
            let known = own(1_000_000 - 2 * n, 0, 16 << 10);
            if runs.takes(&known, |_| None) {
                borrowed += 1;
                runs.push(known, |_| None);
            } else {
                runs.push(own(0, own_end, 16 << 10), |_| None);
                own_end += 16 << 10;
            }
        }
        let most = FREE_RUNS + 64 * RUNS_PER_MIB;
        assert!(runs.runs.len() as u64 <= most + most / 2, "{} runs", runs.runs.len());
        assert!(borrowed > 64 * RUNS_PER_MIB / 2, "{borrowed} borrowed");

        // In order it is one run, however long.
        let mut runs = Runs::default();
        for n in 0..64 * 64 {
            let known = own(0, n * (16 << 10), 16 << 10);
            assert!(runs.takes(&known, |_| None));
            runs.push(known, |_| None);
        }
        assert_eq!(runs.runs.len(), 1);
    }
}

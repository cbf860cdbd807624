//! From the places of a file's chunks to the terms of its recipe.
//!
//! Chunks that follow each other both in the file and in a pack are one run, and a chunk that repeats is one run with a count;
//! so a file written in order is one term a pack, and a gigabyte of zeros is one term.

use std::ops::RangeInclusive;

use super::index::{FramePlace, Place};
use crate::pack::{Blob, Term};

/// Runs that any file may have.
const FREE_RUNS: u64 = 64;
/// Further runs a file may have for each MiB of it: what chunks of 16 KiB come to when none lies behind the one before
/// (ADR 11 has the figures).
const RUNS_PER_MIB: u64 = 64;
/// No file has more: its recipe must fit into one frame, and into memory.
const MAX_RUNS: u64 = 300_000;

/// A run that chunks are still added to.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The frames it begins and ends in.
    first: FramePlace,
    last: FramePlace,
    skip: u32,
    /// Where the run ends in the raw bytes of its last frame.
    end: u32,
    raw: u64,
    repeat: u32,
    /// It is one chunk so far, perhaps several times.
    single: bool,
}

/// A run that is complete.
#[derive(Debug, Clone, Copy)]
enum Closed {
    Known(Term),
    /// Frames of this push, by number: their places are not known yet.
    Own {
        first: u32,
        last: u32,
        skip: u32,
        raw: u64,
        repeat: u32,
    },
}

/// The runs of one file, growing chunk by chunk.
#[derive(Debug, Default)]
pub struct Runs {
    closed: Vec<Closed>,
    open: Option<Open>,
    /// Bytes of the file so far.
    bytes: u64,
}

impl Runs {
    /// Whether the next chunk may be borrowed from there. What goes on with the run in hand always may; a new run only while
    /// the file has no more than [`FREE_RUNS`] and [`RUNS_PER_MIB`] of them, since each is another place to read from. Beyond,
    /// the chunk is stored once more, and the file is in one piece there.
    pub fn takes(&self, place: &Place, own_raw: impl Fn(u32) -> Option<u32>) -> bool {
        let most = FREE_RUNS.saturating_add((self.bytes >> 20).saturating_mul(RUNS_PER_MIB)).min(MAX_RUNS);
        let goes_on = |run: &Open| run.repeats(place) || run.is_followed_by(place, own_raw);
        (self.closed.len() as u64) < most || self.open.as_ref().is_some_and(goes_on)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.closed.len() + usize::from(self.open.is_some())
    }

    /// The next chunk of the file lies there. `own_raw` gives the raw length of an own frame, `None` while it is open.
    pub fn push(&mut self, place: Place, own_raw: impl Fn(u32) -> Option<u32>) {
        self.bytes += u64::from(place.raw);
        match &mut self.open {
            Some(run) if run.repeats(&place) => run.repeat += 1,
            Some(run) if run.is_followed_by(&place, own_raw) => {
                run.last = place.frame;
                run.end = place.start + place.raw;
                run.raw += u64::from(place.raw);
                run.single = false;
            }
            open => self.closed.extend(open.replace(Open::at(&place)).map(Open::close)),
        }
    }

    /// The terms, once every own frame has its place: `own` gives it and the frame's raw length.
    pub fn terms(self, own: impl Fn(u32) -> (Blob, u32)) -> Vec<Term> {
        let mut terms = Vec::with_capacity(self.closed.len() + 1);
        for run in self.closed.into_iter().chain(self.open.map(Open::close)) {
            match run {
                Closed::Known(term) => terms.push(term),
                Closed::Own { first, last, skip, raw, repeat } => {
                    let start = terms.len();
                    own_terms(first..=last, skip, raw, &own, &mut terms);
                    terms[start..].iter_mut().for_each(|term| term.repeat = repeat);
                }
            }
        }
        terms
    }
}

impl Open {
    fn at(place: &Place) -> Open {
        Open {
            first: place.frame,
            last: place.frame,
            skip: place.start,
            end: place.start + place.raw,
            raw: u64::from(place.raw),
            repeat: 1,
            single: true,
        }
    }

    fn repeats(&self, place: &Place) -> bool {
        let same = (self.first, self.skip, self.raw) == (place.frame, place.start, u64::from(place.raw));
        self.single && same && self.repeat < u32::MAX
    }

    fn is_followed_by(&self, place: &Place, own_raw: impl Fn(u32) -> Option<u32>) -> bool {
        self.repeat == 1
            && match (self.last, place.frame) {
                (a, b) if a == b => place.start == self.end,
                (
                    FramePlace::Known { pack, offset, stored, raw },
                    FramePlace::Known { pack: next_pack, offset: next, .. },
                ) => {
                    let adjacent = pack == next_pack && next == offset + u64::from(stored);
                    adjacent && place.start == 0 && self.end == raw
                }
                (FramePlace::Own(frame), FramePlace::Own(next)) => {
                    next == frame + 1 && place.start == 0 && own_raw(frame) == Some(self.end)
                }
                _ => false,
            }
    }

    fn close(self) -> Closed {
        let Open { first, last, skip, raw, repeat, .. } = self;
        match (first, last) {
            (FramePlace::Known { pack, offset, .. }, FramePlace::Known { offset: last, stored, .. }) => {
                let stored = last + u64::from(stored) - offset;
                Closed::Known(Term { pack, offset, stored, skip, raw, repeat })
            }
            (FramePlace::Own(first), FramePlace::Own(last)) => Closed::Own { first, last, skip, raw, repeat },
            _ => unreachable!("a run never crosses from a known pack into this push"),
        }
    }
}

/// A run of own frames may cross from one pack into the next.
fn own_terms(
    frames: RangeInclusive<u32>,
    mut skip: u32,
    mut left: u64,
    own: impl Fn(u32) -> (Blob, u32),
    terms: &mut Vec<Term>,
) {
    let mut open: Option<Term> = None;
    for frame in frames {
        let (blob, raw) = own(frame);
        let part = u64::from(raw - skip).min(left);
        left -= part;
        let stored = u64::from(blob.stored);
        match &mut open {
            Some(term) if term.pack == blob.pack => {
                term.stored += stored;
                term.raw += part;
            }
            _ => {
                let term = Term { pack: blob.pack, offset: blob.offset, stored, skip, raw: part, repeat: 1 };
                terms.extend(open.replace(term));
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
        for n in 0..64 * 256 {
            // Every chunk of 4 KiB is known, and none lies behind the one before.
            let known = own(1_000_000 - 2 * n, 0, 4 << 10);
            if runs.takes(&known, |_| None) {
                borrowed += 1;
                runs.push(known, |_| None);
            } else {
                runs.push(own(0, own_end, 4 << 10), |_| None);
                own_end += 4 << 10;
            }
        }
        let most = FREE_RUNS + 64 * RUNS_PER_MIB;
        assert!(runs.closed.len() as u64 <= most + most / 2, "{} runs", runs.closed.len());
        assert!(borrowed > 64 * RUNS_PER_MIB / 2, "{borrowed} borrowed");

        // In order it is one run, however long.
        let mut runs = Runs::default();
        for n in 0..64 * 64 {
            let known = own(0, n * (16 << 10), 16 << 10);
            assert!(runs.takes(&known, |_| None));
            runs.push(known, |_| None);
        }
        assert_eq!(runs.closed.len(), 0);
    }
}

//! From the bytes of requests to checked runs of raw bytes, on all cores. What turned out right is kept (`source`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;

use super::FetchError;
use super::plan::{GROUP_COST, Slice};
use super::source::Source;
use crate::cache::Placed;
use crate::id::{PackId, PackKind};
use crate::pack::{BadPack, FrameView, PackError, Term};
use crate::store::StoreError;

/// Raw bytes decoded at a time from a long term: what bounds its memory when it is compressed well.
const LONG_BATCH: usize = 4 << 20;

/// Raw bytes that the frames of a group may declare in all: a writer with larger frames than ours is still read.
const MOST_DECLARED: u64 = 8 * GROUP_COST;

/// One request of a group, and its answer: a pack that cannot be read costs only the files that need it.
pub type Answer = (PackId, Range<u64>, Result<Bytes, Arc<StoreError>>);

/// Bytes that are worth a write.
const BATCH: u64 = 64 << 10;

/// What one term, or a part of a long one, gives: raw bytes in order, `repeat` times.
#[derive(Default)]
pub struct Run {
    pub pieces: Vec<Bytes>,
    pub repeat: u32,
}

impl Run {
    /// Raw bytes of one time.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// The same bytes in runs that are worth a write each: one byte that repeats for ever is not written byte by byte.
    pub fn batched(&self) -> [Run; 2] {
        let most = BATCH / self.length().max(1);
        let times = u32::try_from(most).unwrap_or(u32::MAX).min(self.repeat);
        if times < 2 {
            return [Run { pieces: self.pieces.clone(), repeat: self.repeat }, Run::default()];
        }
        let many = Bytes::from(self.pieces.concat().repeat(times as usize));
        let rest = many.slice(..self.length() as usize * (self.repeat % times) as usize);
        [Run { pieces: vec![many], repeat: self.repeat / times }, Run { pieces: vec![rest], repeat: 1 }]
    }
}

fn bad(pack: PackId, source: BadPack) -> FetchError {
    FetchError::Pack(PackError::bad(PackKind::Data, pack, source))
}

fn stored_of<'a>(answers: &'a [Answer], term: &Term) -> Result<(&'a Bytes, Range<usize>), FetchError> {
    let bad = || bad(term.pack, BadPack::Damaged("range"));
    let end = term.offset.saturating_add(term.stored);
    let (_, range, bytes) = answers
        .iter()
        .find(|(pack, range, _)| *pack == term.pack && range.start <= term.offset && end <= range.end)
        .ok_or_else(bad)?;
    let bytes = bytes.as_ref().map_err(|error| FetchError::Store(error.clone()))?;
    let own = (term.offset - range.start) as usize..(end - range.start) as usize;
    if own.end <= bytes.len() { Ok((bytes, own)) } else { Err(bad()) }
}

/// The frames of one term as far as its file needs them: where each begins in the pack, and its view.
fn frames_of<'a>(stored: &'a [u8], term: &Term) -> Result<Vec<(u64, FrameView<'a>)>, BadPack> {
    let wanted = u64::from(term.skip).saturating_add(term.raw);
    let (mut frames, mut at, mut raw) = (Vec::new(), 0, 0u64);
    while raw < wanted {
        let frame = FrameView::parse(&stored[at..])?.ok_or(BadPack::Damaged("run of frames"))?;
        frames.push((term.offset + at as u64, frame));
        at += frame.len();
        raw += frame.raw_len() as u64;
    }
    Ok(frames)
}

/// The raw bytes of a frame that lies in `buffer`, not copied where they are stored as they are.
fn raw_of(buffer: &Bytes, frame: &FrameView<'_>) -> Result<Bytes, BadPack> {
    Ok(match frame.decode()? {
        Cow::Borrowed(raw) => buffer.slice_ref(raw),
        Cow::Owned(raw) => raw.into(),
    })
}

/// What each slice of a group gives, each frame decoded once however many files share it.
pub fn group(answers: &[Answer], slices: &[Slice], source: &Source) -> Vec<Result<Run, FetchError>> {
    let mut views: BTreeMap<(PackId, u64), (&Bytes, FrameView<'_>)> = BTreeMap::new();
    let mut places: Vec<Result<Vec<u64>, FetchError>> = Vec::with_capacity(slices.len());
    for Slice { term, .. } in slices {
        let frames = stored_of(answers, term).and_then(|(bytes, own)| {
            let frames = frames_of(&bytes[own], term).map_err(|source| bad(term.pack, source))?;
            views.extend(frames.iter().map(|(at, view)| ((term.pack, *at), (bytes, *view))));
            Ok(frames.iter().map(|(at, _)| *at).collect())
        });
        places.push(frames);
    }
    // The plan took frames for as large as ours are; a few stored bytes may declare far more.
    let declared = views.values().map(|(_, view)| view.raw_len() as u64).sum::<u64>();
    if declared > MOST_DECLARED {
        let damaged = |slice: &Slice| Err(bad(slice.term.pack, BadPack::Damaged("frames' declared length")));
        return slices.iter().map(damaged).collect();
    }
    let views: Vec<_> = views.into_iter().collect();
    let decode =
        |(place, (bytes, view)): &((PackId, u64), (&Bytes, FrameView<'_>))| (*place, raw_of(bytes, view));
    let frames: HashMap<_, _> = views.par_iter().map(decode).collect();
    let right = views.iter().filter(|(place, _)| frames[place].is_ok());
    let right: Vec<_> = right.map(|((pack, at), (_, view))| (*pack, (*at, view.bytes()))).collect();
    right.par_chunk_by(|a, b| a.0 == b.0).for_each(|frames| {
        let placed: Vec<Placed<'_>> = frames.iter().map(|(_, frame)| *frame).collect();
        source.keep(frames[0].0, &placed);
    });
    let run = |(slice, places): (&Slice, Result<Vec<u64>, FetchError>)| {
        let term = &slice.term;
        let mut cursor = Cursor::of(term);
        let piece = |at: &u64| match &frames[&(term.pack, *at)] {
            Ok(raw) => Ok(cursor.take(raw)),
            Err(error) => Err(bad(term.pack, error.clone())),
        };
        let pieces = places?.iter().map(piece).collect::<Result<_, _>>()?;
        Ok(Run { pieces, repeat: term.repeat })
    };
    slices.iter().zip(places).map(run).collect()
}

/// What of the next frame belongs to the file.
struct Cursor {
    skip: usize,
    left: u64,
}

impl Cursor {
    fn of(term: &Term) -> Self {
        Cursor { skip: term.skip as usize, left: term.raw }
    }

    fn take(&mut self, raw: &Bytes) -> Bytes {
        let from = self.skip.min(raw.len());
        self.skip -= from;
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let own = raw.slice(from..raw.len().min(from.saturating_add(left)));
        self.left -= own.len() as u64;
        own
    }
}

/// A long term on its way: bytes come request by request, and a frame may lie across two of them.
pub struct Long {
    term: Term,
    cursor: Cursor,
    rest: Vec<u8>,
    /// Where the next frame begins in the pack.
    place: u64,
    /// Stored bytes of this round that are still to come.
    coming: u64,
}

impl Long {
    /// Nothing came yet.
    pub fn new(term: Term) -> Self {
        Long { cursor: Cursor::of(&term), rest: vec![], place: term.offset, coming: term.stored, term }
    }

    /// The next bytes of the term: give what they complete, a batch at a time.
    pub fn take(
        &mut self,
        bytes: &Bytes,
        source: &Source,
        give: &mut dyn FnMut(Run),
    ) -> Result<(), FetchError> {
        let bad = |source| bad(self.term.pack, source);
        self.coming = self.coming.saturating_sub(bytes.len() as u64);
        let buffer = if self.rest.is_empty() {
            bytes.clone()
        } else {
            self.rest.extend_from_slice(bytes);
            std::mem::take(&mut self.rest).into()
        };
        let mut at = 0;
        loop {
            let batch = whole_frames(&buffer[at..]).map_err(bad)?;
            if batch.is_empty() {
                break;
            }
            at += batch.iter().map(FrameView::len).sum::<usize>();
            let raws: Vec<_> = batch.par_iter().map(|frame| raw_of(&buffer, frame)).collect();
            let raws = raws.into_iter().collect::<Result<Vec<Bytes>, _>>().map_err(bad)?;
            let pieces = raws.iter().map(|raw| self.cursor.take(raw)).collect();
            let placed: Vec<Placed<'_>> = batch
                .iter()
                .map(|frame| {
                    let at = self.place;
                    self.place += frame.len() as u64;
                    (at, frame.bytes())
                })
                .collect();
            source.keep(self.term.pack, &placed);
            give(Run { pieces, repeat: 1 });
        }
        if self.coming > 0 {
            self.rest = buffer[at..].to_vec();
        } else if at < buffer.len() || self.cursor.left > 0 {
            return Err(bad(BadPack::Damaged("run of frames")));
        } else {
            *self = Long::new(self.term);
        }
        Ok(())
    }
}

/// Whole frames at the head of `bytes`, up to [`LONG_BATCH`] raw bytes.
fn whole_frames(bytes: &[u8]) -> Result<Vec<FrameView<'_>>, BadPack> {
    let (mut frames, mut at, mut raw) = (Vec::new(), 0, 0);
    while raw < LONG_BATCH
        && let Some(frame) = FrameView::parse(&bytes[at..])?
    {
        at += frame.len();
        raw += frame.raw_len();
        frames.push(frame);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_repeats_is_written_with_many_others() {
        let bytes = |runs: &[Run]| -> Vec<u8> {
            runs.iter().flat_map(|run| run.pieces.concat().repeat(run.repeat as usize)).collect()
        };
        let short = [&b"abc"[..], b"", b"de"].map(Bytes::from).to_vec();
        let long = vec![Bytes::from(vec![7; 70_000])];
        for (pieces, repeat, writes) in [
            (&short, 1_000_000, 78),
            (&short, 13_108, 2),
            (&short, 13_107, 2),
            (&short, 1, 2),
            (&long, 3, 4),
            (&vec![], 9, 10),
            (&vec![], 0, 1),
        ] {
            let run = Run { pieces: pieces.clone(), repeat };
            let batched = run.batched();
            assert!(bytes(&batched) == bytes(&[run]), "{repeat} times");
            assert!(batched.iter().map(|run| run.repeat).sum::<u32>() <= writes, "{repeat} times");
        }
    }
}

//! From the bytes of requests to verified frames, on all cores.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;

use super::FetchError;
use super::plan::Slice;
use super::sink::Sink;
use crate::id::{PackId, PackKind};
use crate::pack::{BadPack, FrameView, PackError, Term};
use crate::store::StoreError;

/// Frames decoded at a time from a long term: what bounds its memory when it is compressed well.
const LONG_BATCH: usize = 4 << 20;

/// One request of a group, and its answer: a pack that cannot be read costs only the files that need it.
pub type Answer = (PackId, Range<u64>, Result<Bytes, Arc<StoreError>>);

/// The frames of a group, each decoded once however many files share it.
pub struct Frames(HashMap<(PackId, u64), Result<Vec<u8>, BadPack>>);

fn stored_of<'a>(answers: &'a [Answer], term: &Term) -> Result<&'a [u8], FetchError> {
    let bad = || FetchError::Pack(PackError::bad(PackKind::Data, term.pack, BadPack::Damaged("range")));
    let end = term.offset.saturating_add(term.stored);
    let (_, range, bytes) = answers
        .iter()
        .find(|(pack, range, _)| *pack == term.pack && range.start <= term.offset && end <= range.end)
        .ok_or_else(bad)?;
    let bytes = bytes.as_ref().map_err(|error| FetchError::Store(error.clone()))?;
    let own = (term.offset - range.start) as usize..(end - range.start) as usize;
    bytes.get(own).ok_or_else(bad)
}

/// The frames of one term as far as its file needs them: where each begins, and its view.
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

impl Frames {
    /// Decode every frame that a slice needs.
    pub fn decode(answers: &[Answer], slices: &[Slice]) -> Frames {
        let mut views: BTreeMap<(PackId, u64), FrameView<'_>> = BTreeMap::new();
        for slice in slices {
            // A term that cannot be walked is reported when its file is written.
            let Ok(stored) = stored_of(answers, &slice.term) else { continue };
            if let Ok(frames) = frames_of(stored, &slice.term) {
                views.extend(frames.into_iter().map(|(at, view)| ((slice.term.pack, at), view)));
            }
        }
        let views: Vec<_> = views.into_iter().collect();
        Frames(views.into_par_iter().map(|(place, view)| (place, view.decode())).collect())
    }

    /// Write the bytes that `term` gives.
    pub fn write(&self, answers: &[Answer], term: &Term, sink: &mut Sink) -> Result<(), FetchError> {
        let bad = |source| FetchError::Pack(PackError::bad(PackKind::Data, term.pack, source));
        let frames = frames_of(stored_of(answers, term)?, term).map_err(bad)?;
        for _ in 0..term.repeat {
            let mut cursor = Cursor::of(term);
            for (at, _) in &frames {
                let raw = match &self.0[&(term.pack, *at)] {
                    Ok(raw) => raw,
                    Err(error) => return Err(bad(error.clone())),
                };
                sink.write(cursor.take(raw))?;
            }
        }
        Ok(())
    }
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

    fn take<'a>(&mut self, raw: &'a [u8]) -> &'a [u8] {
        let from = self.skip.min(raw.len());
        self.skip -= from;
        let own = &raw[from..];
        let own = &own[..own.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))];
        self.left -= own.len() as u64;
        own
    }
}

/// A long term on its way: bytes come request by request, and a frame may lie across two of them.
pub struct Long {
    term: Term,
    cursor: Cursor,
    rest: Vec<u8>,
    /// Stored bytes of this round that are still to come.
    coming: u64,
}

impl Long {
    /// Nothing came yet.
    pub fn new(term: Term) -> Self {
        Long { cursor: Cursor::of(&term), rest: vec![], coming: term.stored, term }
    }

    /// The next bytes of the term: write what they complete.
    pub fn take(&mut self, bytes: &Bytes, sink: &mut Sink) -> Result<(), FetchError> {
        let bad = |source| FetchError::Pack(PackError::bad(PackKind::Data, self.term.pack, source));
        let joined;
        let buffer: &[u8] = if self.rest.is_empty() {
            bytes
        } else {
            self.rest.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.rest);
            &joined
        };
        let mut at = 0;
        loop {
            let batch = whole_frames(&buffer[at..]).map_err(bad)?;
            if batch.is_empty() {
                break;
            }
            at += batch.iter().map(FrameView::len).sum::<usize>();
            let raws: Vec<_> = batch.par_iter().map(FrameView::decode).collect();
            for raw in raws {
                sink.write(self.cursor.take(&raw.map_err(bad)?))?;
            }
        }
        let rest = buffer[at..].to_vec();
        self.coming = self.coming.saturating_sub(bytes.len() as u64);
        if self.coming == 0 {
            if !rest.is_empty() || self.cursor.left > 0 {
                return Err(bad(BadPack::Damaged("run of frames")));
            }
            *self = Long::new(self.term);
        } else {
            self.rest = rest;
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

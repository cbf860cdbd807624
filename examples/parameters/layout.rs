//! What an ingest of all versions in order would store: which chunks are new, how they fill frames, how many terms a recipe
//! has, and which frames a restore reads.

use std::collections::BTreeMap;

use crate::cut::{Chunk, Cuts};
use crate::dataset::Dataset;

/// Terms that any file may have before the bound counts.
const FREE_TERMS: f64 = 64.0;

/// How chunks are stored.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Raw bytes of a frame: at most so many, or closed when it has them.
    pub frame: usize,
    /// A frame may go over by a part of its last chunk.
    pub over: bool,
    /// Known chunks are borrowed while a file has fewer than 64 + this many terms a MiB; `None`: always.
    pub bound: Option<u32>,
    /// Frames are not shared by files of different extension.
    pub by_kind: bool,
}

/// Where a chunk was stored: chunks that follow each other in one stream have consecutive positions.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    version: usize,
    kind: usize,
    position: u32,
    frame: u32,
}

/// Bytes of a file that go into a frame.
pub struct Span {
    file: usize,
    start: usize,
    end: usize,
}

/// One version as stored.
#[derive(Default)]
pub struct Stored {
    /// Frames written for it.
    pub frames: Vec<Vec<Span>>,
    /// Chunks written for it.
    pub chunks: usize,
    /// Terms of all its files.
    pub terms: usize,
    /// The most terms a MiB that a file of at least 8 MiB has.
    pub worst: f64,
    /// The frames its files lie in, by version and number: each is decoded once by a restore.
    pub touched: Vec<(usize, u32)>,
}

/// The raw bytes of a frame.
pub fn assemble(dataset: &Dataset, version: usize, frame: &[Span], raw: &mut Vec<u8>) {
    raw.clear();
    for span in frame {
        raw.extend_from_slice(&dataset.versions[version][span.file].bytes[span.start..span.end]);
    }
}

/// Store all versions by these rules.
pub fn lay_out(dataset: &Dataset, cuts: &Cuts, rules: Rules) -> Vec<Stored> {
    let mut known = vec![None; cuts.contents];
    let versions = cuts.versions.iter().zip(&dataset.versions).enumerate();
    versions
        .map(|(version, (cut, files))| {
            let mut filling = Filling { rules, version, kinds: BTreeMap::new(), stored: Stored::default() };
            for (at, (chunks, file)) in cut.files.iter().zip(files).enumerate() {
                let kind = if rules.by_kind { file.extension.as_str() } else { "" };
                filling.take(at, kind, chunks, &mut known);
            }
            filling.finish()
        })
        .collect()
}

/// The open frame of one kind.
struct Open {
    kind: usize,
    frame: u32,
    raw: usize,
    position: u32,
}

struct Filling<'a> {
    rules: Rules,
    version: usize,
    kinds: BTreeMap<&'a str, Open>,
    stored: Stored,
}

impl<'a> Filling<'a> {
    fn take(&mut self, file: usize, kind: &'a str, chunks: &[Chunk], known: &mut [Option<Place>]) {
        let mut run: Option<Run> = None;
        let (mut terms, mut size) = (0usize, 0u64);
        for chunk in chunks {
            let allowed = self.rules.bound.is_none_or(|bound| {
                (terms as f64) < FREE_TERMS + f64::from(bound) * size as f64 / f64::from(1 << 20)
            });
            let old = known[chunk.content as usize];
            let borrowed = old.filter(|place| allowed || run.is_some_and(|run| run.with(*place).is_some()));
            let place = borrowed.unwrap_or_else(|| self.add(file, kind, chunk));
            known[chunk.content as usize] = Some(place);
            run = run.and_then(|run| run.with(place)).or_else(|| {
                terms += 1;
                Some(Run { last: place, single: true, repeats: false })
            });
            size += u64::from(chunk.length);
            self.stored.touched.push((place.version, place.frame));
        }
        self.stored.terms += terms;
        if size >= 8 << 20 {
            self.stored.worst = self.stored.worst.max(terms as f64 / (size as f64 / f64::from(1 << 20)));
        }
    }

    fn add(&mut self, file: usize, kind: &'a str, chunk: &Chunk) -> Place {
        let (number, frames) = (self.kinds.len(), &mut self.stored.frames);
        let open =
            self.kinds.entry(kind).or_insert(Open { kind: number, frame: u32::MAX, raw: 0, position: 0 });
        if !self.rules.over && open.raw + chunk.length as usize > self.rules.frame {
            open.raw = 0;
        }
        if open.raw == 0 {
            open.frame = u32::try_from(frames.len()).expect("fewer than 2^32 frames");
            frames.push(vec![]);
        }
        let end = chunk.start + chunk.length as usize;
        let spans = &mut frames[open.frame as usize];
        match spans.last_mut() {
            Some(span) if span.file == file && span.end == chunk.start => span.end = end,
            _ => spans.push(Span { file, start: chunk.start, end }),
        }
        let place =
            Place { version: self.version, kind: open.kind, position: open.position, frame: open.frame };
        open.position += 1;
        open.raw += chunk.length as usize;
        if open.raw >= self.rules.frame {
            open.raw = 0;
        }
        self.stored.chunks += 1;
        place
    }

    fn finish(mut self) -> Stored {
        self.stored.touched.sort_unstable();
        self.stored.touched.dedup();
        self.stored
    }
}

/// The last run of a file, as in an ingest: chunks that follow each other in one stream, or one chunk again and again. (That a
/// run also ends with its pack, every 32 MiB, is left out.)
#[derive(Clone, Copy)]
struct Run {
    last: Place,
    single: bool,
    repeats: bool,
}

impl Run {
    /// The run with one chunk more, if that goes on with it.
    fn with(self, next: Place) -> Option<Run> {
        let stream = self.last.version == next.version && self.last.kind == next.kind;
        if self.single && self.last == next {
            Some(Run { repeats: true, ..self })
        } else if !self.repeats && stream && next.position == self.last.position + 1 {
            Some(Run { last: next, single: false, repeats: false })
        } else {
            None
        }
    }
}

//! Ingest: files into data packs, in one read pass.
//!
//! Windows of a few MiB flow through. While one is read, the one before is hashed (SHA-256 beside cutting and BLAKE3), the new
//! chunks of the one before that are compressed, and full packs are put into the store: all of it on all cores. Between two
//! windows, in order, each chunk is looked up, and new ones fill frames.
//!
//! Every byte is read once, hashed once as its file and once as its chunk, and copied once, into its frame.
//! Nothing is promised here: rows become true when `publish` has put them into the log.

mod fleet;
mod index;
mod places;
mod runs;
mod sink;
mod window;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Instant;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

pub use index::ChunkIndex;
use runs::Runs;
use sink::{Closed, PackSink};
use window::{HEADROOM, Piece, Session, Window};

use crate::catalog::Sent;
use crate::chunk::{Cutter, Sizes};
use crate::id::{ChunkId, Oid, PackId};
use crate::pack::{Footer, PackInfo, Term};
use crate::progress::Progress;
use crate::store::{Store, StoreError};

/// Raw bytes of near packs that are learned ahead of what was read of a file: some half of what the index remembers at least.
const NEAR_AHEAD: u64 = 2 << 30;
/// Footers asked for together.
const TOGETHER: usize = 8;
/// Runs and frames in memory with which a session ends: what is done is committed, and the rest is another entry.
const SESSION_RUNS: usize = 1 << 18;
const SESSION_FRAMES: u32 = 1 << 21;

/// A file to take in.
#[derive(Debug, Clone)]
pub struct Source {
    /// The SHA-256 and the length in bytes that it must have; `None` takes it in as it is.
    pub expected: Option<(Oid, u64)>,
    /// Where it lies on this machine. What is taken in as it is has to be a file itself, not a link to one.
    pub path: PathBuf,
    /// Packs of what is likely similar: those of the previous version of the same path.
    pub near: Vec<PackId>,
}

/// A file that was taken in.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Which of the sources.
    pub source: usize,
    /// Its SHA-256.
    pub oid: Oid,
    /// Its length, bytes.
    pub size: u64,
    /// How to rebuild it.
    pub terms: Vec<Term>,
}

/// A file that was not taken in. The others were.
#[derive(Debug)]
pub struct Failed {
    /// The oid it should have had, where one was expected.
    pub oid: Option<Oid>,
    /// Why.
    pub error: SourceError,
}

/// Why one file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}; `git lfs fetch` gets it again if another store has it")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be read, and nobody knows what it was.
    #[error("cannot read {path}: {source}")]
    Unhashed {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its bytes are not those of its name.
    #[error(
        "{path} is damaged: it should be {wanted} ({wanted_size} bytes) and is {got} ({got_size} bytes); remove it and add the file again"
    )]
    Wrong {
        /// The file.
        path: String,
        /// The oid asked for.
        wanted: Oid,
        /// Its size.
        wanted_size: u64,
        /// What the bytes hash to.
        got: Oid,
        /// How many there are.
        got_size: u64,
    },
}

/// What an ingest made: packs that are durable in the store, and recipes that nothing names yet.
#[derive(Default)]
pub struct Ingested {
    /// The files taken in, in order.
    pub files: Vec<Taken>,
    /// Files that were not.
    pub failed: Vec<Failed>,
    /// Packs written.
    pub packs: Vec<(PackId, PackInfo)>,
    /// Raw bytes of chunks that were new.
    pub new_raw: u64,
    /// How many of the sources, counted from the end, were not begun because time was up.
    pub left: usize,
}

/// What the store has, as far as an ingest asks while it goes.
pub trait Known {
    /// The footers of these packs, which are probably similar, in this order: of those that may be borrowed from, and can be
    /// read.
    fn footers(&self, packs: &[PackId]) -> Vec<(PackId, Footer)>;

    /// A pack of this ingest is full: keep what is in it, for its hooks and for later pushes.
    fn keep(&self, pack: PackId, footer: &Footer);

    /// These chunks of one window are not in the index: learn packs that have some of them.
    fn look_up(&mut self, unknown: &[(ChunkId, u32)], index: &mut ChunkIndex);
}

/// Where packs go.
pub struct Outlet<'a> {
    /// The store.
    pub store: &'a Store,
    /// Where it wants files to be cut.
    pub sizes: Sizes,
    /// Where is written down what it has.
    pub sent: Sent,
}

/// Take `sources` in, beginning none after `until`. The store is written; nothing is committed. An error means that none of it
/// counts.
pub fn ingest(
    outlet: &Outlet<'_>,
    sources: &[Source],
    index: ChunkIndex,
    known: &mut dyn Known,
    progress: &dyn Progress,
    until: Instant,
) -> Result<Ingested, StoreError> {
    let session = Session::new(until);
    std::thread::scope(|scope| {
        let (send, windows) = mpsc::sync_channel(1);
        let (give_back, empty) = mpsc::channel();
        let session = &session;
        scope.spawn(move || window::read_all(sources, &send, &empty, session));
        let mut work = Work::new(outlet.sizes, sources, PackSink::new(outlet.store, &outlet.sent), index);
        let mut left = 0;
        for mut window in windows {
            left = window.left.map_or(0, |at| sources.len() - at);
            work.take(&mut window, known)?;
            if work.is_full() {
                session.end();
            }
            progress.add(window.pieces.iter().map(|p| (p.end - p.start) as u64).sum());
            // The reader may be done already, and need no window any more.
            let _ = give_back.send(window);
        }
        Ok(Ingested { left, ..work.finish(known)? })
    })
}

/// One file on its way.
struct Open {
    sha: Sha256,
    size: u64,
    runs: Runs,
    /// Near packs that were looked at, and the raw bytes of those that were learned.
    near: usize,
    learned: u64,
}

struct Work<'a> {
    sources: &'a [Source],
    cutter: Cutter,
    index: ChunkIndex,
    sink: PackSink,
    open: HashMap<usize, Open>,
    /// The uncut end of the file that goes on in the next window.
    carry: Vec<u8>,
    done: Vec<(Taken, Runs)>,
    /// Runs of all that is done.
    runs: usize,
    failed: Vec<Failed>,
}

impl<'a> Work<'a> {
    fn new(sizes: Sizes, sources: &'a [Source], sink: PackSink, index: ChunkIndex) -> Self {
        let cutter = Cutter::new(sizes);
        Work {
            sources,
            cutter,
            index,
            sink,
            open: HashMap::new(),
            carry: vec![],
            done: vec![],
            runs: 0,
            failed: vec![],
        }
    }

    fn take(&mut self, window: &mut Window, known: &mut dyn Known) -> Result<(), StoreError> {
        self.drop_unreadable(window);
        let spans = self.place_carry(window);
        for piece in window.pieces.iter().filter(|piece| piece.first) {
            let (sha, runs) = (Sha256::new(), Runs::default());
            self.open.insert(piece.source, Open { sha, size: 0, runs, near: 0, learned: 0 });
        }
        self.learn_near(window, known);
        let closed = self.sink.take_closed();
        let (chunks, frames) = rayon::join(|| self.hash(window, &spans), || Closed::encode(closed));
        self.sink.write(frames, &|pack, footer| known.keep(pack, footer))?;
        let unknown: Vec<(ChunkId, u32)> = chunks
            .iter()
            .flatten()
            .filter(|(id, raw)| self.index.find(id, *raw).is_none())
            .copied()
            .collect();
        if !unknown.is_empty() {
            known.look_up(&unknown, &mut self.index);
        }
        for ((piece, span), chunks) in window.pieces.iter().zip(&spans).zip(chunks) {
            let end = self.assign(piece, &window.bytes[span.0..span.1], &chunks);
            if piece.last {
                self.close(piece.source);
            } else {
                self.carry = window.bytes[span.0 + end..span.1].to_vec();
            }
        }
        Ok(())
    }

    /// Whether no further file should be begun.
    fn is_full(&self) -> bool {
        self.runs >= SESSION_RUNS || self.sink.frames() >= SESSION_FRAMES
    }

    /// The packs near the files of the window, some way ahead of what was read of each: the first of a large file before its
    /// first byte, and the others as it goes on, since the index would have forgotten them.
    fn learn_near(&mut self, window: &Window, known: &dyn Known) {
        loop {
            let mut wanted: Vec<(PackId, usize)> = Vec::new();
            for Piece { source, .. } in &window.pieces {
                let (near, open) = (&self.sources[*source].near, self.open.get_mut(source).expect("opened"));
                while wanted.len() < TOGETHER
                    && open.near < near.len()
                    && open.learned <= open.size.saturating_add(NEAR_AHEAD)
                {
                    let pack = near[open.near];
                    open.near += 1;
                    if self.index.wants(pack) {
                        wanted.push((pack, *source));
                    }
                }
            }
            if wanted.is_empty() {
                return;
            }
            let packs: Vec<PackId> = wanted.iter().map(|(pack, _)| *pack).collect();
            for (pack, footer) in known.footers(&packs) {
                self.index.learn(pack, &footer);
                let (_, source) = wanted.iter().find(|(wanted, _)| *wanted == pack).expect("asked for");
                let raw: u64 = footer.frames.iter().map(|frame| u64::from(frame.raw)).sum();
                let open = self.open.get_mut(source).expect("opened");
                open.learned = open.learned.saturating_add(raw);
            }
        }
    }

    /// A file that turned unreadable has no last piece: forget what there is of it.
    fn drop_unreadable(&mut self, window: &mut Window) {
        for (at, source) in window.failed.drain(..) {
            let path = self.sources[at].path.display().to_string();
            let oid = self.sources[at].expected.map(|(oid, _)| oid);
            let error = match oid {
                Some(_) => SourceError::Read { path, source },
                None => SourceError::Unhashed { path, source },
            };
            self.failed.push(Failed { oid, error });
            window.pieces.retain(|piece| piece.source != at);
            if self.open.remove(&at).is_some() {
                self.carry.clear();
            }
        }
    }

    /// The bytes to cut for each piece: those of a file that goes on begin with what the last window left over.
    fn place_carry(&mut self, window: &mut Window) -> Vec<(usize, usize)> {
        let carry = std::mem::take(&mut self.carry);
        let mut spans: Vec<_> = window.pieces.iter().map(|piece| (piece.start, piece.end)).collect();
        if let (Some(piece), Some(span)) = (window.pieces.first(), spans.first_mut())
            && !piece.first
        {
            span.0 = HEADROOM - carry.len();
            window.bytes[span.0..HEADROOM].copy_from_slice(&carry);
        }
        spans
    }

    /// SHA-256 of what is new beside cutting and naming chunks: about the same work, so two cores are both busy even when
    /// the window is one file.
    fn hash(&mut self, window: &Window, spans: &[(usize, usize)]) -> Vec<Vec<(ChunkId, u32)>> {
        let mut shas: Vec<(&Piece, Sha256)> = window
            .pieces
            .iter()
            .map(|piece| (piece, std::mem::take(&mut self.open.get_mut(&piece.source).expect("opened").sha)))
            .collect();
        let cutter = self.cutter;
        let (_, chunks) = rayon::join(
            || shas.par_iter_mut().for_each(|(piece, sha)| sha.update(&window.bytes[piece.start..piece.end])),
            || {
                let pieces = spans.par_iter().zip(&window.pieces);
                pieces
                    .map(|(span, piece)| name_chunks(cutter, &window.bytes[span.0..span.1], piece.last))
                    .collect()
            },
        );
        for (piece, sha) in shas {
            let open = self.open.get_mut(&piece.source).expect("opened");
            open.sha = sha;
            open.size += (piece.end - piece.start) as u64;
        }
        chunks
    }

    /// Look each chunk up, give the new ones a place. Returns how many bytes were cut.
    fn assign(&mut self, piece: &Piece, bytes: &[u8], chunks: &[(ChunkId, u32)]) -> usize {
        let open = self.open.get_mut(&piece.source).expect("opened");
        let mut at = 0;
        for (id, raw) in chunks {
            let end = at + *raw as usize;
            let known =
                self.index.find(id, *raw).filter(|place| open.runs.takes(place, |f| self.sink.raw_of(f)));
            let place = known.unwrap_or_else(|| {
                let place = self.sink.add(*id, &bytes[at..end]);
                self.index.insert(*id, place);
                place
            });
            open.runs.push(place, |frame| self.sink.raw_of(frame));
            at = end;
        }
        at
    }

    fn close(&mut self, at: usize) {
        let Open { sha, size, runs, .. } = self.open.remove(&at).expect("opened");
        let source = &self.sources[at];
        let got = Oid::from_bytes(sha.finalize().into());
        match source.expected {
            Some((wanted, wanted_size)) if (wanted, wanted_size) != (got, size) => {
                let path = source.path.display().to_string();
                let error = SourceError::Wrong { path, wanted, wanted_size, got, got_size: size };
                self.failed.push(Failed { oid: Some(wanted), error });
            }
            _ => {
                self.runs += runs.len();
                self.done.push((Taken { source: at, oid: got, size, terms: vec![] }, runs));
            }
        }
    }

    fn finish(self, known: &dyn Known) -> Result<Ingested, StoreError> {
        let new_raw = self.sink.new_raw();
        let (packs, places) = self.sink.finish(&|pack, footer| known.keep(pack, footer))?;
        let files = self
            .done
            .into_iter()
            .map(|(taken, runs)| Taken { terms: runs.terms(|frame| places.at(frame)), ..taken })
            .collect();
        Ok(Ingested { files, failed: self.failed, packs, new_raw, left: 0 })
    }
}

fn name_chunks(cutter: Cutter, bytes: &[u8], last: bool) -> Vec<(ChunkId, u32)> {
    let mut at = 0;
    let lengths = cutter.cut(bytes, last);
    let spans: Vec<(usize, u32)> = lengths
        .into_iter()
        .map(|length| {
            at += length as usize;
            (at - length as usize, length)
        })
        .collect();
    let name = |(at, length): &(usize, u32)| (ChunkId::of(&bytes[*at..*at + *length as usize]), *length);
    // For a small file the work is less than handing it out.
    if bytes.len() < 1 << 20 {
        spans.iter().map(name).collect()
    } else {
        spans.par_iter().map(name).collect()
    }
}

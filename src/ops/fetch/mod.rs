//! Fetch: from recipes to files, each frame and each file verified.
//!
//! The plan is made first (`plan`); one thread makes its requests in order, one part ahead; frames are decoded on all
//! cores; small files are written in parallel, large ones in order. Memory: two parts of at most 24 MiB of frames and their
//! stored bytes.

mod decode;
mod plan;
mod sink;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::Bytes;
use rayon::prelude::*;

use decode::{Answer, Frames, Long};
use plan::{Part, Slice, parts, reads};
use sink::Sink;

use crate::id::{Oid, PackId, PackKind};
use crate::pack::{PackError, Term};
use crate::progress::Progress;
use crate::store::{Store, StoreError, key};

/// A file to write.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The SHA-256 it must have.
    pub oid: Oid,
    /// Its length, bytes.
    pub size: u64,
    /// How to rebuild it.
    pub terms: Vec<Term>,
    /// Where to write it: a name that is not there yet.
    pub path: PathBuf,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store did not give what was asked.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// A pack is damaged.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The bytes are verified, and yet not those of the file: the recipe is wrong.
    #[error(
        "the store rebuilds {oid} with other bytes: its recipe is damaged; run `git datamon fsck`, then push it again from a clone that has it"
    )]
    Wrong {
        /// The file.
        oid: Oid,
    },
    /// It cannot be written here.
    #[error("cannot write {path}: {source}; free space or check its permissions, then run the command again")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        FetchError::Store(Arc::new(error))
    }
}

impl FetchError {
    fn write(path: &Path, source: std::io::Error) -> Self {
        FetchError::Write { path: path.display().to_string(), source }
    }
}

/// What the reader thread hands over.
enum Loaded {
    Group(Vec<Answer>),
    Piece(Result<Bytes, StoreError>),
}

/// Write `files`; `done` is told of each, from any thread, when it is verified or has failed.
pub fn fetch(
    store: &Store,
    files: &[Wanted],
    progress: &dyn Progress,
    done: &(dyn Fn(&Wanted, Result<(), FetchError>) + Sync),
) {
    let parts = parts(files);
    for file in files.iter().filter(|file| file.terms.is_empty()) {
        done(file, Sink::create(file).and_then(Sink::finish));
    }
    std::thread::scope(|scope| {
        let (send, loaded) = sync_channel(1);
        let planned = &parts;
        scope.spawn(move || load(store, planned, &send));
        let mut writer = Writer { files, progress, done, current: None };
        for part in &parts {
            writer.take(part, &loaded);
        }
        writer.close();
    });
}

fn load(store: &Store, parts: &[Part], send: &SyncSender<Loaded>) {
    let get =
        |pack: PackId, range: std::ops::Range<u64>| store.get_range(&key::pack(PackKind::Data, pack), range);
    for part in parts {
        let reads = reads(part);
        let sent = match part {
            Part::Group { .. } => {
                // A few requests at a time: what hides the distance to a bucket.
                let answer = |(pack, range): (PackId, std::ops::Range<u64>)| {
                    (pack, range.clone(), get(pack, range).map_err(Arc::new))
                };
                send.send(Loaded::Group(reads.into_par_iter().map(answer).collect()))
            }
            Part::Long(_) => {
                reads.into_iter().try_for_each(|(pack, range)| send.send(Loaded::Piece(get(pack, range))))
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The file being written in order, over several parts. It holds an error instead once it failed.
struct Current {
    file: usize,
    sink: Result<Sink, FetchError>,
}

struct Writer<'a> {
    files: &'a [Wanted],
    progress: &'a dyn Progress,
    done: &'a (dyn Fn(&Wanted, Result<(), FetchError>) + Sync),
    current: Option<Current>,
}

impl Writer<'_> {
    fn take(&mut self, part: &Part, loaded: &Receiver<Loaded>) {
        match part {
            Part::Long(slice) => {
                let pieces = reads(part).len();
                self.long(slice, pieces, loaded);
            }
            Part::Group { slices, whole } => {
                let Ok(Loaded::Group(answers)) = loaded.recv() else {
                    unreachable!("the reader follows the plan")
                };
                if *whole {
                    self.close();
                    self.small(slices, &answers);
                } else {
                    self.in_order(slices, &answers);
                }
            }
        }
    }

    fn small(&self, slices: &[Slice], answers: &[Answer]) {
        let frames = Frames::decode(answers, slices);
        let files: Vec<&[Slice]> = slices.chunk_by(|a, b| a.file == b.file).collect();
        files.into_par_iter().for_each(|slices| {
            let file = &self.files[slices[0].file];
            let write = || {
                let mut sink = Sink::create(file)?;
                slices.iter().try_for_each(|slice| frames.write(answers, &slice.term, &mut sink))?;
                sink.finish()
            };
            let result = write();
            self.progress.add(file.size);
            (self.done)(file, result);
        });
    }

    fn in_order(&mut self, slices: &[Slice], answers: &[Answer]) {
        self.open(slices[0].file);
        let raw: u64 = slices.iter().map(|slice| slice.term.len()).sum();
        let frames = Frames::decode(answers, slices);
        self.write(|sink| slices.iter().try_for_each(|slice| frames.write(answers, &slice.term, sink)));
        self.progress.add(raw);
    }

    fn long(&mut self, slice: &Slice, pieces: usize, loaded: &Receiver<Loaded>) {
        self.open(slice.file);
        let mut long = Long::new(slice.term);
        for _ in 0..pieces {
            let Ok(Loaded::Piece(bytes)) = loaded.recv() else { unreachable!("the reader follows the plan") };
            self.write(|sink| long.take(&bytes?, sink));
            self.progress.add(slice.term.len() / pieces as u64);
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Sink) -> Result<(), FetchError>) {
        let Some(Current { sink, .. }) = &mut self.current else { unreachable!("a file is open") };
        if let Ok(open) = sink
            && let Err(error) = write(open)
        {
            *sink = Err(error);
        }
    }

    fn open(&mut self, file: usize) {
        if self.current.as_ref().is_none_or(|current| current.file != file) {
            self.close();
            self.current = Some(Current { file, sink: Sink::create(&self.files[file]) });
        }
    }

    fn close(&mut self) {
        if let Some(Current { file, sink }) = self.current.take() {
            (self.done)(&self.files[file], sink.and_then(Sink::finish));
        }
    }
}

//! Fetch: from recipes to files, each frame and each file verified.
//!
//! The plan is made first (`plan`). Then three stages overlap, each a part ahead of the next: requests are made in order, several
//! at once (`load`), for what this machine does not keep (`source`); frames are decoded on all cores (`decode`); and files are
//! written and hashed (`write`), small ones in parallel, large ones in order. Nothing is read a second time. Memory: two parts
//! decoded, two as they are stored, and what is read ahead of a bucket.

mod decode;
mod load;
mod plan;
mod sink;
mod source;
mod write;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use decode::{Answer, Long, Run, group};
use plan::{Part, parts, reads};
use sink::Sink;
pub use source::Source;
use write::Writer;

use crate::id::{Oid, PackId};
use crate::pack::{PackError, Term};
use crate::progress::Progress;
use crate::store::{StoreError, key};

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
    /// Whether another place with the same packs may give the file.
    fn is_of_the_store(&self) -> bool {
        matches!(self, FetchError::Store(_) | FetchError::Pack(_))
    }

    /// The pack that this shows to be damaged or missing.
    pub fn bad_pack(&self) -> Option<PackId> {
        let name = match self {
            FetchError::Pack(PackError::Bad { pack, .. }) => Some(pack.as_str()),
            FetchError::Pack(PackError::Store(error)) => lacking(error),
            FetchError::Store(error) => lacking(error),
            FetchError::Wrong { .. } | FetchError::Write { .. } => None,
        };
        name.and_then(key::pack_id).map(|(_, pack)| pack)
    }

    fn write(path: &Path, source: std::io::Error) -> Self {
        FetchError::Write { path: path.display().to_string(), source }
    }
}

/// The object that a store does not have, or not all of.
fn lacking(error: &StoreError) -> Option<&str> {
    let lacks = matches!(error, StoreError::Missing { .. } | StoreError::Short { .. });
    error.key().filter(|_| lacks)
}

/// What the reader thread hands over.
enum Loaded {
    Group(Vec<Answer>),
    Piece(Result<Bytes, Arc<StoreError>>),
}

/// What one slice of the plan gave its file.
type Given = (usize, Result<Run, FetchError>);

/// What the decoder hands over.
enum Decoded {
    /// Whole files, to be written in parallel.
    Whole(Vec<Given>),
    /// The next runs of one file.
    Next(Vec<Given>),
}

/// Is told of each file, from any thread, when it is verified or has failed.
type Done<'a> = &'a (dyn Fn(&Wanted, Result<(), FetchError>) + Sync);

/// Write `files`; `done` is told of each, from any thread, when it is verified or has failed.
///
/// What the store does not give as it was written is asked for at its copies.
pub fn fetch(source: &Source, files: &[Wanted], progress: &dyn Progress, done: Done<'_>) {
    let lost: Mutex<Vec<(Wanted, FetchError)>> = Mutex::default();
    let put_off = |file: &Wanted, result: Result<(), FetchError>| match result {
        Err(error) if error.is_of_the_store() => {
            lost.lock().expect("no holder of this lock panics").push((file.clone(), error));
        }
        result => done(file, result),
    };
    let disk = source.disk();
    let create = |file: &Wanted| Sink::create(file, disk);
    run(source, files, &create, progress, &put_off);
    let mut lost = lost.into_inner().expect("no holder of this lock panics");
    for copy in source.copies() {
        if lost.is_empty() {
            return;
        }
        let files: Vec<Wanted> = lost.iter().map(|(file, _)| file.clone()).collect();
        let found: Mutex<HashSet<PathBuf>> = Mutex::default();
        run(&copy, &files, &create, progress, &|file, result| {
            if result.is_ok() {
                found.lock().expect("no holder of this lock panics").insert(file.path.clone());
                done(file, result);
            }
        });
        let found = found.into_inner().expect("no holder of this lock panics");
        if let Some((_, error)) = lost.iter().find(|(file, _)| found.contains(&file.path)) {
            source.took_from(&copy, error);
        }
        lost.retain(|(file, _)| !found.contains(&file.path));
    }
    // What the store itself said counts.
    lost.into_iter().for_each(|(file, error)| done(&file, Err(error)));
}

/// The same, but that nothing is written: only whether each is what its name says.
pub fn rebuild(source: &Source, files: &[Wanted], progress: &dyn Progress, done: Done<'_>) {
    run(source, files, &|file| Ok(Sink::nowhere(file)), progress, done);
}

fn run(source: &Source, files: &[Wanted], open: sink::Open<'_>, progress: &dyn Progress, done: Done<'_>) {
    progress.watch(source.retries());
    let parts = parts(files);
    for file in files.iter().filter(|file| file.terms.is_empty()) {
        done(file, open(file).and_then(Sink::finish));
    }
    std::thread::scope(|scope| {
        let (send, loaded) = sync_channel(0);
        let (give, decoded) = sync_channel(0);
        let parts = &parts;
        scope.spawn(move || load::load(source, parts, &send));
        scope.spawn(move || decode_all(source, parts, &loaded, &give));
        let mut writer = Writer::new(files, open, progress, done);
        for runs in decoded {
            writer.take(runs);
        }
        writer.close();
    });
    source.settle();
}

fn decode_all(source: &Source, parts: &[Part], loaded: &Receiver<Loaded>, give: &SyncSender<Decoded>) {
    for part in parts {
        match part {
            Part::Group { slices, whole } => {
                let Ok(Loaded::Group(answers)) = loaded.recv() else { return };
                let runs =
                    slices.iter().map(|slice| slice.file).zip(group(&answers, slices, source)).collect();
                if give.send(if *whole { Decoded::Whole(runs) } else { Decoded::Next(runs) }).is_err() {
                    return;
                }
            }
            Part::Long(slice) => {
                let mut long = Long::new(slice.term);
                for _ in 0..reads(part).len() {
                    let Ok(Loaded::Piece(bytes)) = loaded.recv() else { return };
                    let mut next = |run| drop(give.send(Decoded::Next(vec![(slice.file, Ok(run))])));
                    let taken = bytes
                        .map_err(FetchError::Store)
                        .and_then(|bytes| long.take(&bytes, source, &mut next));
                    if let Err(error) = taken
                        && give.send(Decoded::Next(vec![(slice.file, Err(error))])).is_err()
                    {
                        return;
                    }
                }
            }
        }
    }
}

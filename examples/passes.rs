//! The physical passes of an ingest and a restore, one after the other: what no program that does all of them can do without.
//!
//! ```text
//! passes ingest STORE VERSION DIR     stat, read, SHA-256, cut, BLAKE3, compress, write, fsync
//! passes restore STORE VERSION OUT    read, decompress, SHA-256, write
//! ```
//!
//! Prints a line a pass, its name and its seconds, each on all cores; their sum is the floor in `benches/compare.py`. Bytes
//! are made ready in memory before a pass and are not moved in it. STORE is no store of ours: it keeps what is needed to know
//! which files did not change (by size and time) and which chunks are known, and a copy of each version in frames.

#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use datamon::chunk::{Codec, Cutter, Sizes, compress, decompress};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The most raw bytes of a frame, as ingest fills them.
const FRAME: usize = 256 << 10;
const BUFFER: usize = 1 << 20;

/// Size and nanosecond of the last change: a file that has both is the file it was.
type Stamp = (u64, i64, i64);

/// What is known of earlier versions.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    files: BTreeMap<PathBuf, Stamp>,
    chunks: HashSet<[u8; 32]>,
}

/// A version as one stream in frames: its files one after the other, and the frames by stored length, raw length and codec.
#[derive(Serialize, Deserialize)]
struct Listing {
    files: Vec<(PathBuf, usize)>,
    frames: Vec<(usize, usize, u8)>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ingest", store, version, tree] => ingest(Path::new(store), version, Path::new(tree)),
        ["restore", store, version, out] => restore(Path::new(store), version, Path::new(out)),
        _ => Err("passes ingest STORE VERSION DIR | passes restore STORE VERSION OUT".into()),
    }
}

/// Runs one pass and prints how long it took.
fn pass<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    let done = work()?;
    println!("{name} {:.6}", begin.elapsed().as_secs_f64());
    Ok(done)
}

fn ingest(store: &Path, version: &str, tree: &Path) -> Result<()> {
    fs::create_dir_all(store)?;
    let mut known: Known = load(&store.join("known")).unwrap_or_default();
    let files = pass("stat", || walk(tree))?;
    let changed: Vec<PathBuf> = files
        .iter()
        .filter(|(path, stamp)| known.files.get(*path) != Some(stamp))
        .map(|(path, _)| tree.join(path))
        .collect();
    pass("read", || {
        changed.par_iter().try_for_each_init(|| vec![0; BUFFER], |buffer, path| read_through(path, buffer))
    })?;
    let bytes = contents(&changed)?;
    pass("sha256", || {
        bytes.par_iter().for_each(|bytes| hash(bytes));
        Ok(())
    })?;
    let cutter = Cutter::new(Sizes::DEFAULT);
    let lengths =
        pass("cut", || Ok(bytes.par_iter().map(|bytes| cutter.cut(bytes, true)).collect::<Vec<_>>()))?;
    let chunks: Vec<&[u8]> =
        bytes.iter().zip(&lengths).flat_map(|(bytes, lengths)| chunks_of(bytes, lengths)).collect();
    let hashes: Vec<[u8; 32]> =
        pass("blake3", || Ok(chunks.par_iter().map(|chunk| *blake3::hash(chunk).as_bytes()).collect()))?;
    let new =
        chunks.iter().zip(hashes).filter(|(_, hash)| known.chunks.insert(*hash)).map(|(chunk, _)| *chunk);
    let frames = frames_of(new);
    let stored = pass("compress", || Ok(frames.par_iter().map(|raw| shrunk(raw)).collect::<Vec<_>>()))?;
    let mut pack = File::create(store.join(format!("{version}.pack")))?;
    pass("write", || {
        for (raw, stored) in frames.iter().zip(&stored) {
            pack.write_all(stored.as_ref().map_or(raw, |(_, stored)| stored))?;
        }
        Ok(())
    })?;
    pass("fsync", || Ok(pack.sync_all().and_then(|()| File::open(store)?.sync_all())?))?;
    known.files = files.clone();
    save(&store.join("known"), &known)?;
    keep(store, version, tree, files.into_keys().collect())
}

/// Everything of the version again, for `restore`.
fn keep(store: &Path, version: &str, tree: &Path, paths: Vec<PathBuf>) -> Result<()> {
    let bytes = contents(&paths.iter().map(|path| tree.join(path)).collect::<Vec<_>>())?;
    let frames = frames_of(bytes.iter().flat_map(|bytes| bytes.chunks(FRAME)));
    let stored: Vec<_> = frames.par_iter().map(|raw| shrunk(raw)).collect();
    let mut file = File::create(store.join(format!("{version}.frames")))?;
    let mut listing =
        Listing { files: paths.into_iter().zip(bytes.iter().map(Vec::len)).collect(), frames: vec![] };
    for (raw, stored) in frames.iter().zip(&stored) {
        let (codec, bytes) = stored.as_ref().map_or((Codec::Raw, raw), |(codec, stored)| (*codec, stored));
        file.write_all(bytes)?;
        listing.frames.push((bytes.len(), raw.len(), codec as u8));
    }
    save(&store.join(format!("{version}.listing")), &listing)
}

fn restore(store: &Path, version: &str, out: &Path) -> Result<()> {
    let listing: Listing = load(&store.join(format!("{version}.listing")))?;
    let file = File::open(store.join(format!("{version}.frames")))?;
    let mut at = 0;
    let frames: Vec<(usize, usize, usize, Codec)> = listing
        .frames
        .iter()
        .map(|&(stored, raw, codec)| {
            at += stored;
            (at - stored, stored, raw, Codec::from_byte(codec).expect("as it was written"))
        })
        .collect();
    pass("read", || {
        frames.par_iter().try_for_each_init(
            || vec![0; 2 * BUFFER],
            |buffer, &(at, stored, ..)| Ok(file.read_exact_at(&mut buffer[..stored], at as u64)?),
        )
    })?;
    let mut stored = Vec::with_capacity(at);
    (&file).read_to_end(&mut stored)?;
    let decode = |&(at, length, raw, codec): &(usize, usize, usize, Codec)| {
        decompress(codec, &stored[at..at + length], raw)
    };
    pass("decompress", || Ok(frames.par_iter().try_for_each(|frame| decode(frame).map(drop))?))?;
    let raw = frames.iter().map(decode).collect::<std::result::Result<Vec<_>, _>>()?.concat();
    let mut rest = raw.as_slice();
    let files: Vec<(PathBuf, &[u8])> = listing
        .files
        .into_iter()
        .map(|(path, length)| (out.join(path), rest.split_off(..length).expect("frames hold all files")))
        .collect();
    pass("sha256", || {
        files.par_iter().for_each(|(_, bytes)| hash(bytes));
        Ok(())
    })?;
    pass("write", || {
        let folders: HashSet<&Path> = files.iter().filter_map(|(path, _)| path.parent()).collect();
        folders.into_iter().try_for_each(fs::create_dir_all)?;
        Ok(files.par_iter().try_for_each(|(path, bytes)| fs::write(path, bytes))?)
    })
}

/// All files of a tree, relative to it.
fn walk(tree: &Path) -> Result<BTreeMap<PathBuf, Stamp>> {
    let (mut folders, mut paths) = (vec![tree.to_owned()], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                paths.push(entry.path());
            }
        }
    }
    let stamped = paths.into_par_iter().map(|path| {
        let facts = fs::symlink_metadata(&path)?;
        Ok((path.strip_prefix(tree)?.to_owned(), (facts.len(), facts.mtime(), facts.mtime_nsec())))
    });
    stamped.collect()
}

fn hash(bytes: &[u8]) {
    black_box(Sha256::digest(bytes));
}

fn read_through(path: &Path, buffer: &mut [u8]) -> Result<()> {
    let mut file = File::open(path)?;
    while file.read(buffer)? > 0 {}
    Ok(())
}

fn contents(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    Ok(paths.par_iter().map(fs::read).collect::<std::io::Result<_>>()?)
}

fn chunks_of<'a>(bytes: &'a [u8], lengths: &[u32]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    lengths.iter().map(|&length| rest.split_off(..length as usize).expect("chunks are the file")).collect()
}

fn shrunk(raw: &[u8]) -> Option<(Codec, Vec<u8>)> {
    compress(raw, |codec, stored| (codec, stored.to_vec()))
}

/// Pieces one after the other, a new frame whenever one would be too large.
fn frames_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = vec![];
    for piece in pieces {
        match frames.last_mut() {
            Some(frame) if frame.len() + piece.len() <= FRAME => frame.extend_from_slice(piece),
            _ => frames.push(piece.to_vec()),
        }
    }
    frames
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    Ok(rmp_serde::from_slice(&fs::read(path)?)?)
}

fn save<T: Serialize>(path: &Path, what: &T) -> Result<()> {
    Ok(fs::write(path, rmp_serde::to_vec(what)?)?)
}

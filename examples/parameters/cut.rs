//! Where the files of a dataset are cut, and which chunks are the same.

use std::collections::HashMap;

use datamon::chunk::{Cutter, Sizes};
use datamon::id::ChunkId;
use sha2::{Digest, Sha256};

use crate::clock::timed;
use crate::dataset::{Dataset, File};

/// A chunk where it lies in its file.
#[derive(Clone, Copy)]
pub struct Chunk {
    /// Equal for equal bytes.
    pub content: u32,
    /// Where it begins in the file.
    pub start: usize,
    /// Its bytes.
    pub length: u32,
}

/// One version cut into chunks, and the processor seconds that took.
pub struct Version {
    /// The chunks of each file.
    pub files: Vec<Vec<Chunk>>,
    /// Finding the cuts.
    pub cut: f64,
    /// BLAKE3 of every chunk.
    pub blake3: f64,
    /// SHA-256 of every file.
    pub sha256: f64,
}

/// All versions of a dataset cut with one average.
pub struct Cuts {
    /// Oldest first.
    pub versions: Vec<Version>,
    /// Distinct chunks in all of them.
    pub contents: usize,
}

/// A quarter and four times the average.
pub fn sizes(average: u32) -> Sizes {
    Sizes { min: average / 4, average, max: average * 4 }
}

/// Cut every file; times are the least of `rounds`.
pub fn cut(dataset: &Dataset, average: u32, rounds: usize) -> Cuts {
    let cutter = Cutter::new(sizes(average));
    let mut contents = HashMap::new();
    let versions = dataset
        .versions
        .iter()
        .map(|files| {
            let (cut, lengths) = least(rounds, || each(files, |file| cutter.cut(&file.bytes, true)));
            let (blake3, ids) = least(rounds, || names(files, &lengths));
            let (sha256, _) = least(rounds, || each(files, |file| Sha256::digest(&file.bytes)));
            let chunks = |ids: Vec<(ChunkId, usize, u32)>| {
                let next = |contents: &mut HashMap<ChunkId, u32>, id| {
                    let count = u32::try_from(contents.len()).expect("fewer than 2^32 chunks");
                    *contents.entry(id).or_insert(count)
                };
                let chunk = |(id, start, length)| Chunk { content: next(&mut contents, id), start, length };
                ids.into_iter().map(chunk).collect()
            };
            Version { files: ids.into_iter().map(chunks).collect(), cut, blake3, sha256 }
        })
        .collect();
    Cuts { versions, contents: contents.len() }
}

fn each<T>(files: &[File], work: impl Fn(&File) -> T) -> Vec<T> {
    files.iter().map(work).collect()
}

fn names(files: &[File], lengths: &[Vec<u32>]) -> Vec<Vec<(ChunkId, usize, u32)>> {
    let name = |(file, lengths): (&File, &Vec<u32>)| {
        let mut start = 0;
        let id = |length: &u32| {
            let end = start + *length as usize;
            let id = ChunkId::of(&file.bytes[start..end]);
            (id, std::mem::replace(&mut start, end), *length)
        };
        lengths.iter().map(id).collect()
    };
    files.iter().zip(lengths).map(name).collect()
}

fn least<T>(rounds: usize, work: impl Fn() -> T) -> (f64, T) {
    let (mut best, mut result) = timed(&work);
    for _ in 1..rounds {
        let (time, again) = timed(&work);
        (best, result) = (best.min(time), again);
    }
    (best, result)
}

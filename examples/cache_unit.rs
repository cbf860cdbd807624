//! How large a file of the cache should be: `cache_unit DIR MIB` keeps MIB of data in files of different sizes and prints a row each.
//!
//! Columns: bytes of a file, files, seconds to write all, to read all, to list their sizes (what trimming does), and microseconds to
//! read one frame of 100 KiB out of a file taken at random. DIR should be on a disk, and is used and emptied.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use datamon::cache::Cache;

/// What a frame takes that shrinks to less than half.
const FRAME: usize = 100 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, mib] = arguments.as_slice() else { return Err("cache_unit DIR MIB".into()) };
    let (dir, total) = (Path::new(dir).join("cache"), mib.parse::<usize>()? << 20);
    println!("| bytes | files | write | read | list | one frame |\n|---|---|---|---|---|---|");
    for unit in [FRAME, 256 << 10, 1 << 20, 4 << 20, 8 << 20] {
        let (cache, count) = (Cache::at(dir.clone()), total / unit);
        let bytes = vec![7; unit];
        // A pack of 32 MiB is a directory.
        let name = |n: usize| format!("{}/{n:x}", n * unit / (32 << 20));
        let clock = Instant::now();
        (0..count).for_each(|n| cache.put(&name(n), &bytes));
        let write = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let all = (0..count).filter(|n| cache.get(&name(*n)).is_some()).count();
        let read = clock.elapsed().as_secs_f64();
        assert_eq!(all, count, "what was kept is there");
        let clock = Instant::now();
        let mut listed = 0;
        for folder in fs::read_dir(&dir)? {
            for file in fs::read_dir(folder?.path())? {
                listed += usize::from(file?.metadata()?.len() > 0);
            }
        }
        let list = clock.elapsed().as_secs_f64();
        let (looks, clock) = (1000, Instant::now());
        let found = (0..looks).filter(|n| cache.get(&name(n * 7919 % count)).is_some()).count();
        let one = clock.elapsed().as_micros() as usize / found;
        println!("| {unit} | {listed} | {write:.2} s | {read:.2} s | {:.1} ms | {one} µs |", list * 1e3);
        fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

//! The bytes of a file to a bucket and back, in parallel and nothing else: what a program that does more is measured against.
//!
//! ```text
//! plain up URL FILE       objects of 32 MiB, four at once
//! plain down URL FILE     ranges of 8 MiB, eight at once, into a file
//! ```
//!
//! Prints seconds. The server is that of `AWS_ENDPOINT_URL`. No byte is hashed but for the signature of a request, which every
//! client makes.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use datamon::store::{Store, StoreUrl};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const OBJECT: u64 = 32 << 20;
const RANGE: u64 = 8 << 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begin = Instant::now();
    match words.as_slice() {
        ["up", url, path] => up(&Store::open(&StoreUrl::parse(url)?)?, &File::open(path)?)?,
        ["down", url, path] => down(&Store::open(&StoreUrl::parse(url)?)?, &File::create_new(path)?)?,
        _ => return Err("plain up URL FILE | plain down URL FILE".into()),
    }
    println!("{:.3}", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Does `work` for each place below `length`, `step` apart, on so many threads.
fn each(length: u64, step: u64, threads: usize, work: impl Fn(u64, u64) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let run = || {
            loop {
                let at = next.fetch_add(step, SeqCst);
                if at >= length {
                    return Ok(());
                }
                work(at, length.min(at + step))?;
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })
}

fn key(at: u64) -> String {
    format!("plain/{:06}", at / OBJECT)
}

fn up(store: &Store, file: &File) -> Result<()> {
    let length = file.metadata()?.len();
    store.overwrite("plain/length", length.to_string().into_bytes().into())?;
    each(length, OBJECT, 4, |at, end| {
        let mut bytes = vec![0; (end - at) as usize];
        file.read_exact_at(&mut bytes, at)?;
        Ok(store.overwrite(&key(at), bytes.into())?)
    })
}

fn down(store: &Store, file: &File) -> Result<()> {
    let length = store.get("plain/length")?.ok_or("nothing went up")?;
    let length: u64 = std::str::from_utf8(&length)?.parse()?;
    each(length, RANGE, 8, |at, end| {
        let bytes = store.get_range(&key(at), at % OBJECT..at % OBJECT + (end - at))?;
        Ok(file.write_all_at(&bytes, at)?)
    })
}

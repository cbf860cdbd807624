//! What this machine keeps, where another user or a failing disk may have written.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use datamon::cache::Cache;
use datamon::catalog::Journal;
use datamon::id::Nonce;
use datamon::ops::receipt::Receipt;
use tempfile::TempDir;

use super::{Outcome, text};

/// A folder in memory where there is one.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory")
});

/// A folder of this thread's own.
fn folder(name: &str) -> PathBuf {
    let thread = std::thread::current().id();
    let folder = FOLDER.path().join(format!("{name}-{thread:?}"));
    fs::create_dir_all(&folder).expect("in a temporary directory");
    folder
}

/// A journal: the slot, and what was to be written there, behind the hash that it should have.
pub fn journal(bytes: &[u8]) -> Outcome {
    let folder = folder("journal");
    let (slot, rest) = bytes.split_at_checked(8).ok_or("short")?;
    let sealed = [slot, blake3::hash(rest).as_bytes(), rest].concat();
    let path = folder.join(Nonce::from_bytes([3; 16]).to_string());
    fs::write(&path, sealed).map_err(text)?;
    let left = Journal::at(folder).left();
    let _ = fs::remove_file(path);
    let [(_, found, _)] = &left[..] else { return Err("not taken for one".to_owned()) };
    assert!(found == rest);
    Ok(())
}

/// A file of the cache, whatever is in it.
pub fn cache_file(bytes: &[u8]) -> Outcome {
    // The name of the folder is part of what is hashed.
    let folder = folder("cache").join("scope");
    let cache = Cache::at(folder.clone());
    cache.put("kept", b"what was kept");
    let mut files: Vec<PathBuf> = vec![folder];
    while let Some(path) = files.pop() {
        match fs::read_dir(&path) {
            Ok(found) => files.extend(found.flatten().map(|entry| entry.path())),
            Err(_) => fs::write(&path, bytes).map_err(text)?,
        }
    }
    match cache.get("kept") {
        Some(kept) => assert_eq!(&kept[..], b"what was kept"),
        None => return Err("not taken for what was kept".to_owned()),
    }
    Ok(())
}

/// A receipt.
pub fn receipt(bytes: &[u8]) -> Outcome {
    let path = folder("receipt").join("receipt");
    fs::write(&path, bytes).map_err(text)?;
    let receipt = Receipt::read(&path).ok_or("no receipt")?;
    receipt.write(&path).map_err(text)?;
    assert_eq!(Receipt::read(&path), Some(receipt));
    Ok(())
}

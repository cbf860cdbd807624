//! L2 · Immutable local files: log entries, footers and table blocks already read once.
//!
//! Files only, named by what they hold, written to a temporary name and renamed, hashed, and checked when read. A file that is
//! missing, cut or flipped is a miss. So the folder can be deleted at any time, and any number of processes share it.
//! Caches are keyed by store id *and* URL (R6): a copied store never answers for its original.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;

/// Above this many bytes the oldest files go, at the next [`Cache::trim`].
const CAP: u64 = 1 << 30;
/// Bytes of the hash in front of each file's content.
const HASH: usize = 32;

/// A folder of immutable files; without a folder, nothing is kept and everything is a miss.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The cache in this folder, made at the first write.
    pub fn at(folder: PathBuf) -> Self {
        Cache { folder: Some(folder) }
    }

    /// A cache that keeps nothing.
    pub fn none() -> Self {
        Cache { folder: None }
    }

    /// The folder for everything known of the place `url`, below the user's cache directory.
    pub fn of_url(url: &str) -> Self {
        let base = match std::env::var_os("DATAMON_CACHE_DIR") {
            Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
            _ => {
                directories::ProjectDirs::from("", "", "git-datamon").map(|dirs| dirs.cache_dir().to_owned())
            }
        };
        let name = &blake3::hash(url.as_bytes()).to_hex()[..32];
        Cache { folder: base.map(|base| base.join(name)) }
    }

    /// The cache for one part of it.
    pub fn part(&self, name: &str) -> Self {
        Cache { folder: self.folder.as_ref().map(|folder| folder.join(name)) }
    }

    /// The bytes kept under `name`, if they are whole.
    pub fn get(&self, name: &str) -> Option<Bytes> {
        let bytes = fs::read(self.path(name)?).ok()?;
        let (hash, content) = bytes.split_at_checked(HASH)?;
        (blake3::hash(content).as_bytes() == hash).then(|| Bytes::from(bytes).slice(HASH..))
    }

    /// Keep `bytes` under `name`. A cache that cannot be written is no error: the next read costs a request.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let Some(path) = self.path(name) else { return };
        let _ = write(&path, bytes);
    }

    /// Names of everything kept directly here.
    pub fn names(&self) -> Vec<String> {
        let entries =
            self.folder.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Forget `name`.
    pub fn remove(&self, name: &str) {
        if let Some(path) = self.path(name) {
            let _ = fs::remove_file(path);
        }
    }

    /// Forget everything.
    pub fn clear(&self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }

    /// Delete the oldest files until what is there fits. Sizes are read anew each time: a counter kept by each of many
    /// processes would drift apart.
    pub fn trim(&self) {
        let Some(folder) = &self.folder else { return };
        let mut files = Vec::new();
        collect(folder, &mut files);
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        files.sort();
        for (_, size, path) in files {
            if total <= CAP {
                return;
            }
            if fs::remove_file(path).is_ok() {
                total -= size;
            }
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(name))
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(blake3::hash(bytes).as_bytes())?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<(SystemTime, u64, PathBuf)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => collect(&entry.path(), files),
            Ok(meta) => {
                files.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), entry.path()))
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_a_miss() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(folder.path().join("c"));
        assert_eq!(cache.get("a"), None);
        cache.put("a", b"some bytes");
        assert_eq!(cache.get("a").as_deref(), Some(&b"some bytes"[..]));
        let path = folder.path().join("c/a");
        let mut bytes = fs::read(&path).expect("kept");
        bytes[HASH] ^= 1;
        fs::write(&path, &bytes).expect("writable");
        assert_eq!(cache.get("a"), None);
        fs::write(&path, b"short").expect("writable");
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn without_a_folder_nothing_is_kept() {
        let cache = Cache::none();
        cache.put("a", b"x");
        assert_eq!(cache.get("a"), None);
    }
}

//! L2 · Immutable local files: log entries, footers and table blocks already read once.
//!
//! Files only, named by what they hold, written to a temporary name and renamed, hashed together with their name, and checked
//! when read. A file that is missing, cut, flipped, or whole but another's (of another name, of another store) is a miss. So the
//! folder can be deleted at any time, any number of processes and clones share it, and nothing in it can give a wrong byte.
//! Caches are keyed by store id *and* URL (R6): a copied store never answers for its original.
//!
//! Of stores that are not directories it also keeps data of files ([`Packs`]), within a limit of its own.

mod packs;
mod usage;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use packs::{Packs, Placed};
pub use usage::{Found, Usage, url_of};

use crate::disk::Disk;

/// Above this many bytes the oldest files go, at the next [`Cache::trim`].
const CAP: u64 = 1 << 30;
/// Above this many files too: each command that looks at all of them should not take longer for it.
const CAP_FILES: usize = 1 << 15;
/// Bytes of the hash in front of each file's content.
const HASH: usize = 32;
/// Nothing larger is kept or read.
const MAX_FILE: u64 = 64 << 20;
/// The part of a cache that holds data of files.
const DATA: &str = "data";
/// The file that says of which place a directory is.
const PLACE: &str = "place";
/// When a file was used is written down at most this often: order is all that matters.
const HOUR: Duration = Duration::from_secs(3600);

/// How much data is kept, of all stores together.
#[derive(Debug, Clone)]
struct Limit {
    bytes: u64,
    /// The directory that holds the caches of all of them.
    base: PathBuf,
}

/// A folder of immutable files; without a folder, nothing is kept and everything is a miss.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: Option<PathBuf>,
    /// What the folder is for: its name, which the hash of every file in it covers.
    scope: String,
    /// None where only metadata is kept.
    data: Option<Limit>,
    disk: Disk,
}

impl Cache {
    /// The cache in this folder, made at the first write.
    pub fn at(folder: PathBuf) -> Self {
        let scope = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Cache { folder: Some(folder), scope, data: None, disk: Disk::default() }
    }

    /// A cache that keeps nothing.
    pub fn none() -> Self {
        Cache { folder: None, scope: String::new(), data: None, disk: Disk::default() }
    }

    /// The same on a disk of whose steps somebody is asked.
    #[must_use]
    pub fn on(self, disk: Disk) -> Self {
        Cache { disk, ..self }
    }

    /// The disk of this machine.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The directory of this user that holds the caches of all places; `None` for a user without a home.
    pub fn base() -> Option<PathBuf> {
        match std::env::var_os("DATAMON_CACHE_DIR") {
            Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
            _ => {
                directories::ProjectDirs::from("", "", "git-datamon").map(|dirs| dirs.cache_dir().to_owned())
            }
        }
    }

    /// The folder for everything known of the place `url`, below the user's cache directory; it says of which place it is.
    pub fn of_url(url: &str) -> Self {
        let cache = Cache::base().map_or_else(Cache::none, |base| Cache::below(&base, url));
        if cache.get(PLACE).is_none() {
            cache.put(PLACE, url.as_bytes());
        }
        cache
    }

    fn below(base: &Path, url: &str) -> Self {
        Cache::at(base.join(&blake3::hash(url.as_bytes()).to_hex()[..32]))
    }

    /// The same, which also keeps data of files, while all of it on this machine takes at most so many bytes.
    #[must_use]
    pub fn with_data(self, bytes: u64) -> Self {
        let base = self.folder.as_ref().and_then(|folder| folder.parent()).map(Path::to_owned);
        Cache { data: base.filter(|_| bytes > 0).map(|base| Limit { bytes, base }), ..self }
    }

    /// What is kept of data packs.
    pub fn packs(&self) -> Packs {
        match &self.data {
            Some(limit) => Packs::new(self.part(DATA), limit.clone()),
            None => Packs::none(),
        }
    }

    /// The cache for one part of it.
    pub fn part(&self, name: &str) -> Self {
        let folder = self.folder.as_ref().map(|folder| folder.join(name));
        let scope = format!("{}/{name}", self.scope);
        Cache { folder, scope, data: self.data.clone(), disk: self.disk.clone() }
    }

    /// The bytes kept under `name`, if they are whole.
    pub fn get(&self, name: &str) -> Option<Bytes> {
        let path = self.path(name)?;
        fs::metadata(&path).ok().filter(|meta| meta.is_file() && meta.len() <= MAX_FILE)?;
        let bytes = self.disk.read(&path).ok()?;
        let (hash, content) = bytes.split_at_checked(HASH)?;
        (self.hash(name, content) == hash).then(|| Bytes::from(bytes).slice(HASH..))
    }

    /// What stands in front of the content kept under `name`.
    fn hash(&self, name: &str, content: &[u8]) -> [u8; HASH] {
        let mut hasher = blake3::Hasher::new();
        // No name has this byte, so that a name ends where it ends.
        hasher
            .update(self.scope.as_bytes())
            .update(b"/")
            .update(name.as_bytes())
            .update(&[0])
            .update(content);
        *hasher.finalize().as_bytes()
    }

    /// Keep `bytes` under `name`. A cache that cannot be written is no error: the next read costs a request.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let _ = self.keep(name, bytes);
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let hash = self.hash(name, bytes);
        self.path(name).map_or(Ok(()), |path| self.disk.write(&path, &[&hash, bytes]))
    }

    /// What is kept under `name` was used now.
    fn touch(&self, name: &str) {
        let now = SystemTime::now();
        let old = |file: &File| {
            let used = file.metadata().and_then(|meta| meta.modified()).ok()?;
            Some(used + HOUR < now || used > now)
        };
        // Who may only read here says nothing.
        if let Some(file) = self.path(name).and_then(|path| File::open(path).ok())
            && old(&file) == Some(true)
        {
            let _ = file.set_modified(now);
        }
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
            let _ = self.disk.remove(&path);
        }
    }

    /// Forget everything.
    pub fn clear(&self) {
        if let Some(folder) = &self.folder {
            let _ = self.disk.remove_all(folder);
        }
    }

    /// Delete the oldest files until what is there fits, data of files aside. Sizes are read anew each time: a counter kept by each of
    /// many processes would drift apart.
    pub fn trim(&self) {
        let Some(folder) = &self.folder else { return };
        let mut files = Vec::new();
        collect(folder, &mut files);
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        files.sort();
        let mut left = files.len();
        for (_, size, path) in files {
            if total <= CAP && left <= CAP_FILES {
                return;
            }
            if self.disk.remove(&path).is_ok() {
                (total, left) = (total - size, left - 1);
            }
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(name))
    }
}

fn collect(folder: &Path, files: &mut Vec<(SystemTime, u64, PathBuf)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() && entry.file_name() == DATA => {}
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

    fn cache(folder: &tempfile::TempDir) -> Cache {
        Cache::at(folder.path().join("c"))
    }

    #[test]
    fn a_damaged_file_is_a_miss() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (cache, path) = (cache(&folder), folder.path().join("c/a"));
        assert_eq!(cache.get("a"), None);
        cache.put("a", b"some bytes");
        assert_eq!(cache.get("a").as_deref(), Some(&b"some bytes"[..]));
        let whole = fs::read(&path).expect("kept");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).expect("writable");
            assert_eq!(cache.get("a"), None);
            fs::write(&path, &whole[..at]).expect("writable");
            assert_eq!(cache.get("a"), None);
        }
        cache.put("a", b"");
        assert_eq!(cache.get("a").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_whole_file_of_another_name_is_a_miss() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let cache = cache(&folder);
        let names = ["a", "b", "ab", "part/a"];
        names.iter().for_each(|name| cache.put(name, name.as_bytes()));
        assert_eq!(cache.part("part").get("a").as_deref(), Some(&b"part/a"[..]));
        let path = |name: &str| folder.path().join("c").join(name);
        for from in names {
            let kept = fs::read(path(from)).expect("kept");
            for to in names.iter().filter(|to| **to != from) {
                let own = fs::read(path(to)).expect("kept");
                fs::write(path(to), &kept).expect("writable");
                assert_eq!(cache.get(to), None, "{from} as {to}");
                fs::write(path(to), own).expect("writable");
            }
        }
        // The cache of another place, copied over this one.
        let other = Cache::at(folder.path().join("other"));
        other.put("a", b"of another store");
        fs::copy(folder.path().join("other/a"), path("a")).expect("copied");
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn what_is_no_file_is_a_miss_and_what_cannot_be_written_is_not_kept() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let cache = cache(&folder);
        fs::create_dir_all(folder.path().join("c/a/deeper")).expect("made");
        cache.put("a", b"x");
        assert_eq!(cache.get("a"), None);
        fs::write(folder.path().join("c/part"), "in the way").expect("writable");
        cache.put("part/a", b"x");
        assert_eq!(cache.get("part/a"), None);
        assert_eq!(cache.part("part").names(), [""; 0]);
        fs::remove_dir_all(folder.path().join("c")).expect("removed");
        assert_eq!(cache.get("a"), None);
        cache.put("a", b"x");
        assert_eq!(cache.get("a").as_deref(), Some(&b"x"[..]));
        cache.clear();
        cache.trim();
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn without_a_folder_nothing_is_kept() {
        let cache = Cache::none();
        cache.put("a", b"x");
        assert_eq!(cache.get("a"), None);
    }
}

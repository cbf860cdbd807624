//! Unfinished writes of a directory store: a writer that dies leaves what it had written so far beside the place where it was
//! to go, as `<name>#<number>` (R11). No reader sees such a file, nor does a listing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::backend::{BackendError, Failure};
use super::{Place, Store, StoreError, key};

/// A file that a writer left, or is writing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Where it lies.
    path: PathBuf,
    /// Its size, bytes.
    pub size: u64,
    /// When it was last written, by the clock of the file system, milliseconds since 1970.
    pub modified: u64,
}

impl Store {
    /// Every unfinished write of a directory store; none where there are no such files.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        let Place::Directory(top) = self.url().place() else { return Ok(vec![]) };
        let mut found = Vec::new();
        collect(top, top, &mut found).map_err(|error| self.untouched("list", top, &error))?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Remove one of them. A writer who is alive after all is told that it could not write, and writes again.
    pub fn remove_unfinished(&self, it: &Unfinished) -> Result<(), StoreError> {
        match fs::remove_file(&it.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.untouched("delete", &it.path, &error))
            }
            _ => Ok(()),
        }
    }

    fn untouched(&self, verb: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
        let failure = match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Failure::Denied,
            _ => Failure::Other,
        };
        let source = BackendError { failure, message: error.to_string() };
        StoreError::Request { verb, key: path.display().to_string(), url: self.url().to_string(), source }
    }
}

fn collect(top: &Path, folder: &Path, found: &mut Vec<Unfinished>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Links lead out of the store.
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() {
            collect(top, &path, found)?;
        } else if kind.is_file() && path.strip_prefix(top).ok().and_then(Path::to_str).is_some_and(is_ours) {
            // One that is finished meanwhile is none.
            let Ok(meta) = entry.metadata() else { continue };
            let since = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let modified = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
            found.push(Unfinished { path, size: meta.len(), modified });
        }
    }
    Ok(())
}

/// Whether the file is on its way to one of our names.
fn is_ours(name: &str) -> bool {
    let Some((key, number)) = name.rsplit_once('#') else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_key = key::pack_id(key).is_some()
        || key::log_seq(key).is_some()
        || [key::HEAD, key::STORE, key::MIRROR].contains(&key)
        || key::is_read(key)
        || key.starts_with(key::PROBE);
    is_number && is_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PackId, PackKind};
    use crate::store::StoreUrl;

    #[test]
    fn only_what_is_on_its_way_to_a_name_of_ours_is_unfinished() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let url = StoreUrl::of_directory(folder.path()).expect("absolute");
        let store = Store::open(&url).expect("a directory");
        let pack = key::pack(PackKind::Data, PackId::new());
        let ours = [format!("{pack}#1"), format!("{}#12", key::log(3)), "log/HEAD#2".to_owned()];
        let others = [pack.clone(), format!("{pack}#"), format!("{pack}#1x"), "data/00/notes#1".to_owned()];
        for name in ours.iter().chain(&others) {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            fs::write(path, b"half").expect("written");
        }
        let found = store.unfinished().expect("lists");
        assert_eq!(found.len(), ours.len());
        for it in &found {
            assert_eq!(it.size, 4);
            store.remove_unfinished(it).expect("removed");
            store.remove_unfinished(it).expect("gone is fine");
        }
        assert!(store.unfinished().expect("lists").is_empty());
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
    }
}

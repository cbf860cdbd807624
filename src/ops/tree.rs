//! A directory tree in and out, without git: one upload of what changed, one download of everything.
//!
//! A [`Tree`] is what a scan found and what its files were when they were read. Kept beside the directory it spares the next
//! upload all files that look untouched, by the rule of git's index: size, times and inode are the same, and the last change
//! is older than the look. Their rows are promised anew all the same.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::download::{NotHere, rows, wanted};
use super::fetch::{FetchError, fetch};
use super::ingest::Failed;
use super::receipt::UploadStats;
use super::upload::{Upload, upload};
use crate::catalog::{Catalog, CatalogError};
use crate::id::{Oid, RepoId};
use crate::progress::Progress;

/// What a file looks like from outside; equal looks mean equal bytes if the change is older than the look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Look {
    size: u64,
    inode: u64,
    /// Nanoseconds since 1970 of the last change of content, and of anything.
    modified: i64,
    changed: i64,
}

impl Look {
    fn of(meta: &fs::Metadata) -> Look {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Look {
            size: meta.size(),
            inode: meta.ino(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What lies at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Entry {
    File { look: Look, executable: bool, oid: Oid, size: u64 },
    Symlink { target: Vec<u8> },
}

/// The files of a directory, by path; directories are implied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// When the scan began, nanoseconds since 1970 by this machine's clock.
    looked: i64,
    entries: Vec<(Vec<u8>, Entry)>,
}

/// A tree that could not be taken in or written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The directory cannot be walked or written.
    #[error("{path}: {source}")]
    Io {
        /// What was looked at.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The store could not do its part.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Files could not be read; the others are in the store.
    #[error("{} of the files could not be read, the first: {}", .0.len(), .0[0].error)]
    Unread(Vec<Failed>),
    /// The store lacks a file.
    #[error(transparent)]
    NotHere(#[from] NotHere),
    /// A file could not be rebuilt.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A list that is not one.
    #[error("the list of files is damaged: {0}")]
    Damaged(String),
}

fn failed(path: &Path, source: io::Error) -> TreeError {
    TreeError::Io { path: path.display().to_string(), source }
}

impl Tree {
    /// The bytes of a list.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).expect("plain values always encode")
    }

    /// The list in these bytes; no path in it leads out of the directory.
    pub fn decode(bytes: &[u8]) -> Result<Tree, TreeError> {
        let tree: Tree = rmp_serde::from_slice(bytes).map_err(|e| TreeError::Damaged(e.to_string()))?;
        let inside = |path: &Path| {
            let mut parts = path.components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        match tree.entries.iter().find(|(path, _)| !inside(Path::new(std::ffi::OsStr::from_bytes(path)))) {
            Some((path, _)) => {
                Err(TreeError::Damaged(format!("{} leads outside", String::from_utf8_lossy(path))))
            }
            None => Ok(tree),
        }
    }

    /// Files and links in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Files and links below `folder`, in path order.
fn walk(folder: &Path, found: &mut Vec<(PathBuf, fs::Metadata)>) -> Result<(), TreeError> {
    let entries = fs::read_dir(folder).map_err(|e| failed(folder, e))?;
    let mut entries: Vec<fs::DirEntry> = entries.collect::<Result<_, _>>().map_err(|e| failed(folder, e))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let meta = entry.metadata().map_err(|e| failed(&path, e))?;
        match meta.file_type() {
            kind if kind.is_dir() => walk(&path, found)?,
            kind if kind.is_file() || kind.is_symlink() => found.push((path, meta)),
            // Sockets, pipes and devices hold no data.
            _ => {}
        }
    }
    Ok(())
}

/// Put the tree at `folder` into the store. `previous` is what an earlier call returned for the same folder.
pub fn upload_tree(
    catalog: &mut Catalog,
    repo: RepoId,
    folder: &Path,
    previous: &Tree,
    progress: &dyn Progress,
) -> Result<(Tree, UploadStats), TreeError> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let looked = i64::try_from(since.as_nanos()).unwrap_or(0);
    let before: HashMap<&[u8], &Entry> = previous.entries.iter().map(|(path, it)| (&path[..], it)).collect();
    let mut found = Vec::new();
    walk(folder, &mut found)?;
    let mut tree = Tree { looked, entries: Vec::with_capacity(found.len()) };
    let (mut files, mut places) = (Vec::new(), HashMap::new());
    for (path, meta) in found {
        let name = path.strip_prefix(folder).expect("it was found below").as_os_str().as_bytes().to_vec();
        if meta.is_symlink() {
            let target = fs::read_link(&path).map_err(|e| failed(&path, e))?.into_os_string().into_vec();
            tree.entries.push((name, Entry::Symlink { target }));
            continue;
        }
        let (look, executable) = (Look::of(&meta), meta.mode() & 0o111 != 0);
        let (mut oid, mut earlier) = (None, None);
        if let Some(Entry::File { look: then, oid: was, .. }) = before.get(&name[..]) {
            earlier = Some(*was);
            // A change in the very moment of the last look may have come after the read.
            let settled = look.modified.max(look.changed) < previous.looked;
            oid = earlier.filter(|_| *then == look && settled);
        }
        let unread = Oid::from_bytes([0; 32]);
        let entry = Entry::File { look, executable, oid: oid.unwrap_or(unread), size: look.size };
        places.insert(path.clone(), tree.entries.len());
        tree.entries.push((name, entry));
        files.push(Upload { oid, size: look.size, path, previous: earlier });
    }
    let uploaded = upload(catalog, repo, &files, &[], progress)?;
    if !uploaded.failed.is_empty() {
        return Err(TreeError::Unread(uploaded.failed));
    }
    for (path, got, length) in uploaded.read {
        if let Some((_, Entry::File { oid, size, .. })) =
            tree.entries.get_mut(places[&path]).map(|it| &mut *it)
        {
            (*oid, *size) = (got, length);
        }
    }
    Ok((tree, uploaded.stats))
}

/// Write the tree into `folder`, where none of its files may be yet. Stops at the first file that fails.
pub fn download_tree(
    catalog: &mut Catalog,
    repo: RepoId,
    tree: &Tree,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<(), TreeError> {
    let oids: Vec<Oid> = tree
        .entries
        .iter()
        .filter_map(|(_, entry)| if let Entry::File { oid, .. } = entry { Some(*oid) } else { None })
        .collect();
    let found = rows(catalog, repo, &oids)?;
    let (mut files, mut executables, mut last) = (Vec::new(), Vec::new(), PathBuf::new());
    for (name, entry) in &tree.entries {
        let path = folder.join(std::ffi::OsStr::from_bytes(name));
        let parent = path.parent().unwrap_or(folder);
        if parent != last {
            fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
            last = parent.to_owned();
        }
        match entry {
            Entry::Symlink { target } => {
                symlink(std::ffi::OsStr::from_bytes(target), &path).map_err(|e| failed(&path, e))?;
            }
            Entry::File { oid, size, executable, .. } => {
                executables.extend(executable.then(|| path.clone()));
                files.push(wanted(catalog, found.get(oid), *oid, *size, path)?);
            }
        }
    }
    files.sort_by_key(|file| file.terms.first().map(|term| (term.pack, term.offset, term.skip)));
    let first_error = Mutex::new(None);
    fetch(catalog.store(), &files, progress, &|_, result| {
        if let Err(error) = result {
            first_error.lock().expect("no holder of this lock panics").get_or_insert(error);
        }
    });
    if let Some(error) = first_error.into_inner().expect("no holder of this lock panics") {
        return Err(error.into());
    }
    for path in executables {
        let mode = path.metadata().map_err(|e| failed(&path, e))?.mode();
        let executable = fs::Permissions::from_mode(mode | (mode & 0o444) >> 2);
        fs::set_permissions(&path, executable).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

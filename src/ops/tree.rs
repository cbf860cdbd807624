//! A directory tree in and out, without git: one upload of what changed, one download of everything.
//!
//! A [`Tree`] is what a scan found and what its files were when they were read. Kept beside the directory it spares the next
//! upload all files that look untouched, by the rule of git's index: size, times and inode are the same, and the last change
//! is older than the look. Their rows are promised anew all the same.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::bundle::Planned;
use super::download::{NotHere, rows, wanted};
use super::fetch::{FetchError, Source, fetch};
use super::ingest::Failed;
use super::receipt::UploadStats;
use super::upload::{Read, Upload, upload};
use crate::catalog::{Catalog, CatalogError};
use crate::id::{Oid, RepoId};
use crate::progress::Progress;

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

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
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(SECOND).saturating_add(nanos);
        Look {
            size: meta.size(),
            inode: meta.ino(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether a change after the `looked` moment would have shown. Clocks of file systems tick: a file that changed twice in
    /// one tick looks the same both times.
    fn is_settled(&self, looked: i64) -> bool {
        let newest = self.modified.max(self.changed);
        // Linux ticks at least every 10 ms; who stores whole seconds may round to even ones.
        let tick = if newest % SECOND == 0 { 2 * SECOND } else { SECOND / 20 };
        newest.saturating_add(tick) < looked
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

fn path(name: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(name))
}

fn failed(path: &Path, source: io::Error) -> TreeError {
    TreeError::Io { path: path.display().to_string(), source }
}

impl Tree {
    /// The bytes of a list.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).expect("plain values always encode")
    }

    /// A part of a list as this machine kept it, to compare with only: nothing is written where it says.
    pub(super) fn decode_part(bytes: &[u8]) -> Result<Tree, TreeError> {
        rmp_serde::from_slice(bytes).map_err(|e| TreeError::Damaged(e.to_string()))
    }

    /// The list in these bytes; no path in it leads out of the directory.
    pub fn decode(bytes: &[u8]) -> Result<Tree, TreeError> {
        let tree: Tree = rmp_serde::from_slice(bytes).map_err(|e| TreeError::Damaged(e.to_string()))?;
        let inside = |path: &Path| {
            let mut parts = path.components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        // A link that another entry lies below would lead it elsewhere.
        let names: HashSet<&Path> = tree.entries.iter().map(|(name, _)| path(name)).collect();
        let apart = |path: &Path| !path.ancestors().skip(1).any(|above| names.contains(above));
        let bad = |it: &&(Vec<u8>, Entry)| !inside(path(&it.0)) || !apart(path(&it.0));
        match tree.entries.iter().find(bad) {
            Some((name, _)) => {
                Err(TreeError::Damaged(format!("{} leads outside", String::from_utf8_lossy(name))))
            }
            None => Ok(tree),
        }
    }

    /// What lies at each path, in the order of a walk.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&[u8], Planned)> {
        self.entries.iter().map(|(name, entry)| {
            let planned = match entry {
                Entry::Symlink { target } => Planned::Link(target.clone()),
                Entry::File { executable, oid, size, .. } => {
                    Planned::File { executable: *executable, oid: *oid, size: *size }
                }
            };
            (&name[..], planned)
        })
    }

    /// The tree as if it had been looked at long after every change.
    #[cfg(test)]
    pub(super) fn settled(self) -> Tree {
        Tree { looked: i64::MAX, ..self }
    }

    /// The tree in parts of so many entries; [`Tree::join`] puts them together.
    pub(super) fn split(&self, entries: usize) -> Vec<Tree> {
        let parts = self.entries.chunks(entries);
        parts.map(|part| Tree { looked: self.looked, entries: part.to_vec() }).collect()
    }

    /// The tree whose parts these are.
    pub(super) fn join(parts: Vec<Tree>) -> Tree {
        let looked = parts.iter().map(|part| part.looked).min().unwrap_or(0);
        Tree { looked, entries: parts.into_iter().flat_map(|part| part.entries).collect() }
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

/// What a walk finds below a directory.
#[derive(Debug, Default)]
struct Found {
    /// Files and links, in path order.
    entries: Vec<(PathBuf, fs::Metadata)>,
    /// What holds no data of its own: sockets, pipes, devices, and the administration of git.
    skipped: Vec<PathBuf>,
}

impl Found {
    fn walk(&mut self, folder: &Path) -> Result<(), TreeError> {
        let entries = fs::read_dir(folder).map_err(|e| failed(folder, e))?;
        let mut entries: Vec<fs::DirEntry> =
            entries.collect::<Result<_, _>>().map_err(|e| failed(folder, e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let meta = entry.metadata().map_err(|e| failed(&path, e))?;
            match meta.file_type() {
                _ if entry.file_name() == ".git" => self.skipped.push(path),
                kind if kind.is_dir() => self.walk(&path)?,
                kind if kind.is_file() || kind.is_symlink() => self.entries.push((path, meta)),
                _ => self.skipped.push(path),
            }
        }
        Ok(())
    }
}

/// A directory as it was looked at: files that must be read have no oid yet.
#[derive(Debug)]
pub(super) struct Scan {
    tree: Tree,
    /// Every file, whether it must be read or not.
    pub files: Vec<Upload>,
    /// Which entry of the tree each file is.
    places: HashMap<PathBuf, usize>,
    /// Paths that were left out.
    pub skipped: Vec<PathBuf>,
}

impl Scan {
    /// Look at `folder`; what looks as it did in `previous` is not to be read.
    pub fn of(folder: &Path, previous: &Tree) -> Result<Scan, TreeError> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let looked = i64::try_from(since.as_nanos()).unwrap_or(0);
        let before: HashMap<&[u8], &Entry> =
            previous.entries.iter().map(|(path, it)| (&path[..], it)).collect();
        let mut found = Found::default();
        found.walk(folder)?;
        let tree = Tree { looked, entries: Vec::with_capacity(found.entries.len()) };
        let mut scan = Scan { tree, files: vec![], places: HashMap::new(), skipped: found.skipped };
        for (path, meta) in found.entries {
            let name = path.strip_prefix(folder).expect("it was found below").as_os_str().as_bytes().to_vec();
            if meta.is_symlink() {
                let target = fs::read_link(&path).map_err(|e| failed(&path, e))?.into_os_string().into_vec();
                scan.tree.entries.push((name, Entry::Symlink { target }));
                continue;
            }
            let (look, executable) = (Look::of(&meta), meta.mode() & 0o111 != 0);
            let (mut oid, mut earlier) = (None, None);
            if let Some(Entry::File { look: then, oid: was, .. }) = before.get(&name[..]) {
                earlier = Some(*was);
                oid = earlier.filter(|_| *then == look && look.is_settled(previous.looked));
            }
            let unread = Oid::from_bytes([0; 32]);
            let entry = Entry::File { look, executable, oid: oid.unwrap_or(unread), size: look.size };
            scan.places.insert(path.clone(), scan.tree.entries.len());
            scan.tree.entries.push((name, entry));
            scan.files.push(Upload { oid, size: look.size, path, previous: earlier });
        }
        Ok(scan)
    }

    /// The directory, once the files without an oid were read.
    pub fn tree(&self, read: &Read) -> Tree {
        let mut tree = self.tree.clone();
        for (path, (got, length)) in read {
            let entry = self.places.get(path).and_then(|at| tree.entries.get_mut(*at));
            if let Some((_, Entry::File { oid, size, .. })) = entry {
                (*oid, *size) = (*got, *length);
            }
        }
        tree
    }
}

/// Put the tree at `folder` into the store. `previous` is what an earlier call returned for the same folder.
pub fn upload_tree(
    catalog: &mut Catalog,
    repo: RepoId,
    folder: &Path,
    previous: &Tree,
    progress: &dyn Progress,
) -> Result<(Tree, UploadStats), TreeError> {
    let scan = Scan::of(folder, previous)?;
    let uploaded = upload(catalog, repo, &scan.files, &[], progress)?;
    if !uploaded.failed.is_empty() {
        return Err(TreeError::Unread(uploaded.failed));
    }
    Ok((scan.tree(&uploaded.read), uploaded.stats))
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
    let (mut files, mut executables, mut links) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = PathBuf::new();
    for (name, entry) in &tree.entries {
        let path = folder.join(std::ffi::OsStr::from_bytes(name));
        let parent = path.parent().unwrap_or(folder);
        if parent != last {
            fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
            last = parent.to_owned();
        }
        match entry {
            Entry::Symlink { target } => links.push((path, target)),
            Entry::File { oid, size, executable, .. } => {
                executables.extend(executable.then(|| path.clone()));
                files.push(wanted(catalog, found.get(oid), *oid, *size, path)?);
            }
        }
    }
    files.sort_by_key(|file| file.terms.first().map(|term| (term.pack, term.offset, term.skip)));
    let first_error = Mutex::new(None);
    fetch(&Source::of(catalog), &files, progress, &|_, result| {
        if let Err(error) = result {
            first_error.lock().expect("no holder of this lock panics").get_or_insert(error);
        }
    });
    if let Some(error) = first_error.into_inner().expect("no holder of this lock panics") {
        return Err(error.into());
    }
    // Last, so that nothing is written through one.
    for (path, target) in links {
        symlink(self::path(target), &path).map_err(|e| failed(&path, e))?;
    }
    for path in executables {
        let mode = path.metadata().map_err(|e| failed(&path, e))?.mode();
        let executable = fs::Permissions::from_mode(mode | (mode & 0o444) >> 2);
        fs::set_permissions(&path, executable).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::catalog::Journal;
    use crate::progress::Silent;
    use crate::store::{Store, StoreUrl};

    fn catalog(name: &str) -> Catalog {
        let url = StoreUrl::parse(&format!("memory:tree-{name}")).expect("a URL");
        let store = Store::open(&url).expect("memory");
        Catalog::create(store, Cache::none(), Journal::none()).expect("a new store")
    }

    fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>, bool)> {
        let mut found = Found::default();
        found.walk(folder).expect("walks");
        let read = |(path, meta): (PathBuf, fs::Metadata)| {
            let bytes = if meta.is_symlink() {
                fs::read_link(&path).expect("a link").into_os_string().into_vec()
            } else {
                fs::read(&path).expect("readable")
            };
            let name = path.strip_prefix(folder).expect("below").to_owned();
            (name, bytes, meta.is_file() && meta.mode() & 0o111 != 0)
        };
        found.entries.into_iter().map(read).collect()
    }

    #[test]
    fn a_tree_comes_back_and_what_is_untouched_is_not_read_again() {
        let (folder, mut catalog) = (tempfile::tempdir().expect("a directory"), catalog("back"));
        let (data, repo) = (folder.path().join("data"), RepoId::NIL);
        fs::create_dir_all(data.join("a/b")).expect("made");
        fs::write(data.join("a/b/large"), vec![7; 3 << 20]).expect("written");
        fs::write(data.join("a/empty"), b"").expect("written");
        fs::write(data.join("twice"), b"the same").expect("written");
        fs::write(data.join(std::ffi::OsStr::from_bytes(b"not utf-8 \xff")), b"the same").expect("written");
        fs::write(data.join("run"), b"#!/bin/sh\n").expect("written");
        fs::set_permissions(data.join("run"), fs::Permissions::from_mode(0o755)).expect("set");
        symlink("a/b/large", data.join("link")).expect("made");
        let upload = |catalog: &mut Catalog, previous: &Tree| {
            upload_tree(catalog, repo, &data, previous, &Silent).expect("uploads")
        };
        let (first, stats) = upload(&mut catalog, &Tree::default());
        assert_eq!((first.len(), stats.files, stats.known), (6, 5, 0));

        // What changed in the moment of the look is read again, so the look is moved on.
        let settled = Tree { looked: i64::MAX, ..Tree::decode(&first.encode()).expect("decodes") };
        fs::write(data.join("twice"), b"no longer").expect("written");
        let (second, stats) = upload(&mut catalog, &settled);
        assert_eq!((stats.files, stats.known), (5, 4));
        assert_eq!(upload(&mut catalog, &first).1.known, 0, "every change is as young as the look");
        let out = folder.path().join("out");
        fs::create_dir(&out).expect("made");
        download_tree(&mut catalog, repo, &second, &out, &Silent).expect("downloads");
        assert_eq!(listing(&out), listing(&data));
    }

    /// Does something once, when the first bytes are told of: after the look, before the first read.
    struct Then<F>(Mutex<Option<F>>);

    impl<F: FnOnce() + Send> Progress for Then<F> {
        fn add(&self, _bytes: u64) {
            if let Some(then) = self.0.lock().expect("no panic").take() {
                then();
            }
        }
    }

    #[test]
    fn a_file_exchanged_after_the_look_is_neither_waited_for_nor_followed() {
        for what in ["a link took its place", "no regular file"] {
            let (folder, mut catalog) = (tempfile::tempdir().expect("a directory"), catalog("exchanged"));
            let (data, secret) = (folder.path().join("data"), folder.path().join("secret"));
            fs::create_dir(&data).expect("made");
            fs::write(data.join("there"), b"some bytes").expect("written");
            fs::write(&secret, b"nobody asked for these").expect("written");
            let exchange = || {
                fs::remove_file(data.join("there")).expect("there");
                if what.contains("link") {
                    symlink(&secret, data.join("there")).expect("made");
                } else {
                    let (at, kind) = (rustix::fs::CWD, rustix::fs::FileType::Fifo);
                    rustix::fs::mknodat(at, data.join("there"), kind, 0o600.into(), 0).expect("made");
                }
            };
            let exchange = Then(Mutex::new(Some(exchange)));
            let error = upload_tree(&mut catalog, RepoId::NIL, &data, &Tree::default(), &exchange)
                .expect_err("exchanged");
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn a_list_that_leads_outside_is_refused() {
        let link = Entry::Symlink { target: b"x".to_vec() };
        for name in ["../x", "/x", "", "a/../../x", "."] {
            let tree = Tree { looked: 0, entries: vec![(name.as_bytes().to_vec(), link.clone())] };
            assert!(Tree::decode(&tree.encode()).is_err(), "{name}");
        }
        let file = Entry::File {
            look: Look { size: 0, inode: 0, modified: 0, changed: 0 },
            executable: false,
            oid: Oid::from_bytes([0; 32]),
            size: 0,
        };
        let through = Tree { looked: 0, entries: vec![(b"a".to_vec(), link), (b"a/b/c".to_vec(), file)] };
        assert!(Tree::decode(&through.encode()).is_err());
        assert!(Tree::decode(b"anything").is_err());
    }

    #[test]
    fn a_file_that_is_gone_is_told_and_nothing_is_promised_for_it() {
        let (folder, mut catalog) = (tempfile::tempdir().expect("a directory"), catalog("gone"));
        fs::write(folder.path().join("there"), b"some bytes").expect("written");
        let (mut tree, _) = upload_tree(&mut catalog, RepoId::NIL, folder.path(), &Tree::default(), &Silent)
            .expect("uploads");
        if let Entry::File { oid, .. } = &mut tree.entries[0].1 {
            *oid = Oid::from_bytes([1; 32]);
        }
        let out = tempfile::tempdir().expect("a directory");
        let error =
            download_tree(&mut catalog, RepoId::NIL, &tree, out.path(), &Silent).expect_err("missing");
        assert!(matches!(error, TreeError::NotHere(NotHere::Missing { .. })), "{error}");
        assert_eq!(listing(out.path()), []);
    }
}

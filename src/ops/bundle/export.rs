//! Export: entries of a bundle as files of a directory.
//!
//! First everything is looked at: which entries, what lies there already, which names would be one. Only then is anything
//! written. Each file is fetched under another name, verified, and renamed; links come last. What is there already as it
//! should be is kept, so an export that failed goes on where it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use super::healing::{again, sound};
use super::target::{Standing, Target, as_path};
use crate::bundle::{Bundle, Content, NameRules};
use crate::catalog::{Catalog, CatalogError};
use crate::id::RepoId;
use crate::ops::fetch::{FetchError, Source, Wanted, fetch};
use crate::progress::Progress;
use crate::table::Row;

/// What of a bundle is wanted, and where.
pub struct Export<'a> {
    /// Files and directories; everything where there is none.
    pub paths: &'a [Vec<u8>],
    /// Which of the paths at and below them.
    pub filter: &'a dyn Fn(&[u8]) -> bool,
    /// The directory.
    pub folder: &'a Path,
    /// Whether other files and links that lie there are replaced.
    pub force: bool,
    /// Whose rules the names follow there.
    pub rules: NameRules,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Files and links written.
    pub written: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Files and links that were there already.
    pub kept: u64,
}

/// An export that was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The bundle cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It has nothing there.
    #[error("the version has no path {}", String::from_utf8_lossy(.0))]
    NoPath(Vec<u8>),
    /// A file or link of the bundle lies above another one: no program of ours made it.
    #[error("{} is a file or link of the version, and {} lies below it: the version is damaged; nothing was written",
        String::from_utf8_lossy(.above), String::from_utf8_lossy(.path))]
    Through {
        /// The file or link.
        above: Vec<u8>,
        /// What lies below.
        path: Vec<u8>,
    },
    /// A name that cannot be written there.
    #[error("{} cannot be written: {why}; nothing was written; leave it out with --filter or --paths", String::from_utf8_lossy(.path))]
    Name {
        /// The path.
        path: Vec<u8>,
        /// Why not.
        why: &'static str,
    },
    /// Two names are one there.
    #[error("{} and {} are one name on the file system of {}: nothing was written; download them apart with --paths",
        String::from_utf8_lossy(.0), String::from_utf8_lossy(.1), .2.display())]
    OneName(Vec<u8>, Vec<u8>, PathBuf),
    /// Something else lies there.
    #[error("{} of the paths are taken by something else, the first: {}; nothing was written", .0.len(), String::from_utf8_lossy(&.0[0]))]
    InTheWay(Vec<Vec<u8>>),
    /// The directory cannot be looked at or written to.
    #[error("cannot write {path}: {source}")]
    Io {
        /// What.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Some files were not written; the others were.
    #[error("{} of the files were not written, the first: {}: {}", .0.len(), String::from_utf8_lossy(&.0[0].0), .0[0].1)]
    Failed(Vec<(Vec<u8>, FetchError)>),
}

/// What is to be done at each path.
type Entries = BTreeMap<Vec<u8>, Content>;

/// Write what of `bundle` is wanted.
pub fn export(
    catalog: &Catalog,
    bundle: &Bundle<'_>,
    wanted: &Export<'_>,
    progress: &dyn Progress,
) -> Result<Exported, ExportError> {
    let mut entries = chosen(bundle, wanted)?;
    let failed = |path: &[u8], source| ExportError::Io {
        path: wanted.folder.join(as_path(path)).display().to_string(),
        source,
    };
    let target = Target::open(wanted.folder).map_err(|error| failed(b"", error))?;
    if let Some((a, b)) = target.collision(entries.keys().map(Vec::as_slice)) {
        return Err(ExportError::OneName(a.to_vec(), b.to_vec(), wanted.folder.to_owned()));
    }
    let kept = what_stands(&target, &entries, wanted.force).map_err(|(path, error)| failed(&path, error))?;
    if !kept.in_the_way.is_empty() {
        return Err(ExportError::InTheWay(kept.in_the_way));
    }
    entries.retain(|path, _| !kept.right.contains(path));
    let files = files(catalog, &target, &entries)?;
    progress.expect(files.iter().map(|file| file.wanted.size).fold(0, u64::saturating_add));
    make_folders(&target, &entries).map_err(|(path, error)| failed(&path, error))?;
    fetch_all(catalog, &target, &files, wanted.force, progress)?;
    // Last, so that nothing is written through one.
    let links = entries.iter().filter_map(|(path, content)| match content {
        Content::Link { target } => Some((path, target)),
        _ => None,
    });
    let mut exported = Exported { kept: kept.right.len() as u64, ..Exported::default() };
    for (number, (path, leads)) in links.enumerate() {
        let number = files.len() + number;
        std::os::unix::fs::symlink(as_path(leads), target.staged(number))
            .and_then(|()| target.install(number, path, wanted.force))
            .map_err(|error| failed(path, error))?;
        exported.written += 1;
    }
    exported.written += files.len() as u64;
    exported.bytes = files.iter().map(|file| file.wanted.size).fold(0, u64::saturating_add);
    Ok(exported)
}

fn chosen(bundle: &Bundle<'_>, wanted: &Export<'_>) -> Result<Entries, ExportError> {
    let mut all = Entries::new();
    let whole = [Vec::new()];
    for path in if wanted.paths.is_empty() { &whole[..] } else { wanted.paths } {
        let before = all.len();
        let mut some = false;
        let add = |entry: crate::bundle::Entry| {
            some = true;
            if (wanted.filter)(&entry.path) {
                all.insert(entry.path, entry.content);
            }
        };
        bundle.each_below(path, add).map_err(CatalogError::from)?;
        if !some && !path.is_empty() && all.len() == before {
            return Err(ExportError::NoPath(path.clone()));
        }
    }
    for path in all.keys() {
        if let Some(why) = wanted.rules.forbid(path) {
            return Err(ExportError::Name { path: path.clone(), why });
        }
        let mut ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        if let Some(end) = ends.find(|end| all.contains_key(&path[..*end])) {
            return Err(ExportError::Through { above: path[..end].to_vec(), path: path.clone() });
        }
    }
    Ok(all)
}

/// What lies in the directory already.
#[derive(Default)]
struct Kept {
    /// As it should be.
    right: BTreeSet<Vec<u8>>,
    /// Something else.
    in_the_way: Vec<Vec<u8>>,
}

fn what_stands(target: &Target, entries: &Entries, force: bool) -> Result<Kept, (Vec<u8>, io::Error)> {
    let mut kept = Kept::default();
    let mut read = Vec::new();
    for (path, content) in entries {
        let standing = target.standing(path).map_err(|error| (path.clone(), error))?;
        match (content, &standing) {
            (_, Standing::Nothing) | (Content::Module { .. }, Standing::Folder) => {}
            (Content::File { executable, size, oid, .. }, Standing::File(length, runs))
                if size == length && executable == runs =>
            {
                read.push((path, oid));
            }
            (Content::Link { target }, Standing::Link(leads)) if target == leads => {
                kept.right.insert(path.clone());
            }
            (Content::File { .. } | Content::Link { .. }, Standing::File(..) | Standing::Link(_))
                if force => {}
            _ => kept.in_the_way.push(path.clone()),
        }
    }
    let look = |(path, oid): &(&Vec<u8>, &crate::id::Oid)| match target.oid(path) {
        Ok(there) => Ok(((*path).clone(), there == **oid)),
        Err(error) => Err(((*path).clone(), error)),
    };
    for (path, right) in read.par_iter().map(look).collect::<Result<Vec<_>, _>>()? {
        if right {
            kept.right.insert(path);
        } else if !force {
            kept.in_the_way.push(path);
        }
    }
    kept.in_the_way.sort();
    Ok(kept)
}

/// A file to fetch.
struct Fetched<'a> {
    path: &'a [u8],
    executable: bool,
    number: usize,
    wanted: Wanted,
}

fn files<'a>(
    catalog: &Catalog,
    target: &Target,
    entries: &'a Entries,
) -> Result<Vec<Fetched<'a>>, CatalogError> {
    let files: Vec<_> =
        entries.iter().filter(|(_, content)| matches!(content, Content::File { .. })).enumerate().collect();
    let fetched = |(number, (path, content)): (usize, (&'a Vec<u8>, &'a Content))| {
        let executable = matches!(content, Content::File { executable: true, .. });
        let wanted = wanted_at(catalog, content, target.staged(number))?.expect("only files were taken");
        Ok(Fetched { path, executable, number, wanted })
    };
    // Long recipes lie apart: several requests at a time.
    let mut files: Vec<Fetched<'a>> =
        files.into_par_iter().map(fetched).collect::<Result<_, CatalogError>>()?;
    files.sort_by_key(|file| file.wanted.terms.first().map(|term| (term.pack, term.offset, term.skip)));
    Ok(files)
}

/// What is to be fetched so that the file of an entry lies at `path`; `None` for what is no file.
pub fn wanted_at(
    catalog: &Catalog,
    content: &Content,
    path: PathBuf,
) -> Result<Option<Wanted>, CatalogError> {
    let Content::File { oid, size, recipe, .. } = content else { return Ok(None) };
    let row = Row { oid: *oid, repo: RepoId::NIL, born: 0, size: *size, recipe: recipe.clone() };
    let row = sound(catalog, row)?;
    Ok(Some(Wanted { oid: *oid, size: *size, terms: catalog.terms(&row)?, path }))
}

fn make_folders(target: &Target, entries: &Entries) -> Result<(), (Vec<u8>, io::Error)> {
    let mut last: Option<&[u8]> = None;
    for (path, content) in entries {
        let folder = match content {
            Content::Module { .. } => &path[..],
            _ => path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &path[..at]),
        };
        if last.replace(folder) != Some(folder) {
            target.make_folder(folder).map_err(|error| (folder.to_vec(), error))?;
        }
    }
    Ok(())
}

fn fetch_all(
    catalog: &Catalog,
    target: &Target,
    files: &[Fetched<'_>],
    force: bool,
    progress: &dyn Progress,
) -> Result<(), ExportError> {
    let by_place: BTreeMap<&Path, &Fetched<'_>> =
        files.iter().map(|file| (file.wanted.path.as_path(), file)).collect();
    let source = Source::of(catalog);
    let get = |wanted: &[Wanted]| {
        let failed = Mutex::new(Vec::new());
        fetch(&source, wanted, progress, &|wanted, result| {
            let file = by_place[wanted.path.as_path()];
            let install = || {
                if file.executable {
                    make_executable(&wanted.path)?;
                }
                target.install(file.number, file.path, force)
            };
            let write =
                |source| FetchError::Write { path: String::from_utf8_lossy(file.path).into_owned(), source };
            if let Err(error) = result.and_then(|()| install().map_err(write)) {
                failed.lock().expect("no holder of this lock panics").push((wanted.clone(), error));
            }
        });
        failed.into_inner().expect("no holder of this lock panics")
    };
    let wanted: Vec<Wanted> = files.iter().map(|file| file.wanted.clone()).collect();
    let (mut failed, mut healed) = (Vec::new(), Vec::new());
    for (wanted, error) in get(&wanted) {
        let other = match error {
            FetchError::Write { .. } => None,
            _ => again(catalog, &wanted)?,
        };
        match other {
            Some(other) => {
                // What there is of it is not whole.
                let _ = std::fs::remove_file(&other.path);
                healed.push(other);
            }
            None => failed.push((wanted, error)),
        }
    }
    failed.extend(get(&healed));
    let named =
        |(wanted, error): (Wanted, FetchError)| (by_place[wanted.path.as_path()].path.to_vec(), error);
    let mut failed: Vec<(Vec<u8>, FetchError)> = failed.into_iter().map(named).collect();
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    if failed.is_empty() { Ok(()) } else { Err(ExportError::Failed(failed)) }
}

/// Whoever may read it may run it.
fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mode = path.metadata()?.mode();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))
}

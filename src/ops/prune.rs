//! Prune: objects of git-lfs that this clone does not want at once and that the store is proven to have make room on this machine.
//!
//! `git lfs prune --verify-remote` asks an agent nothing and deletes all the same, so this is a command of its own. An object goes only
//! if a live row of its own dataset promises it with its length, every pack that it needs is in the log's table and in the store with
//! the size that the log says, and, if asked for, its bytes were rebuilt from there and hashed. What is not proven stays, and is told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use rayon::prelude::*;

use super::download;
use super::fetch::{self, FetchError, Source, Wanted};
use super::here::is_file_of;
use crate::catalog::{Catalog, CatalogError};
use crate::disk::Disk;
use crate::git::{Pointer, Repo};
use crate::id::{Oid, PackId, RepoId};
use crate::pack::Term;
use crate::progress::Progress;
use crate::store::key;
use crate::table::{Recipe, Row};

/// An object of git-lfs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// What it is by its name, and its length on the disk.
    pub pointer: Pointer,
    /// Where it lies.
    pub path: PathBuf,
}

/// What becomes of the objects here.
#[derive(Debug, Default)]
pub struct Pruning {
    /// Those that go: not wanted at once, and proven.
    pub goes: Vec<Local>,
    /// Those that this clone may want at once.
    pub wanted: Vec<Local>,
    /// Those that the store was not shown to have, and why.
    pub unproven: Vec<(Local, Unproven)>,
}

/// Why the store is not proven to have an object.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// It promises nothing of it.
    #[error("the store does not have it")]
    Absent,
    /// It promises something else, or to somebody else, or could not be read.
    #[error("{0}")]
    Unclear(String),
    /// It promises it and cannot give it.
    #[error("{0}")]
    Damaged(String),
}

/// The objects that git-lfs keeps here; what else lies there is left out.
pub fn objects_here(repo: &Repo) -> io::Result<Vec<Local>> {
    let mut found = Vec::new();
    let folders = |path: &PathBuf| -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(path) {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(vec![])
            }
            Err(error) => Err(error),
        }
    };
    for first in folders(&repo.lfs_dir().join("objects"))? {
        for second in folders(&first)? {
            for path in folders(&second)? {
                let name =
                    path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<Oid>().ok());
                let Some(oid) = name.filter(|oid| repo.lfs_object_path(oid) == path) else { continue };
                let Ok(size) = fs::symlink_metadata(&path).map(|it| it.len()) else { continue };
                let local = Local { pointer: Pointer { oid, size }, path };
                found.extend(is_file_of(&local.path, &local.pointer).then_some(local));
            }
        }
    }
    found.sort_by_key(|it| it.pointer.oid);
    Ok(found)
}

/// Decide. `wanted` is what stays whatever the store has; with `verify` what goes is read back first, and damage that shows is kept in
/// mind, so that a later look without reading does not take it for proof. Nothing is deleted.
pub fn plan(
    catalog: &mut Catalog,
    repo: RepoId,
    here: Vec<Local>,
    wanted: &HashSet<Oid>,
    verify: bool,
    progress: &dyn Progress,
) -> Result<Pruning, CatalogError> {
    let (wanted, others): (Vec<Local>, Vec<Local>) =
        here.into_iter().partition(|it| wanted.contains(&it.pointer.oid));
    let oids: Vec<Oid> = others.iter().map(|it| it.pointer.oid).collect();
    let rows = download::rows(catalog, repo, &oids)?;
    let proof = Proof::of(catalog, repo, rows)?;
    let mut pruning = Pruning { wanted, ..Pruning::default() };
    let mut files = Vec::new();
    for local in others {
        match proof.terms(&local.pointer) {
            Ok(terms) => {
                let Pointer { oid, size } = local.pointer;
                files.push(Wanted { oid, size, terms: terms.to_vec(), path: PathBuf::new() });
                pruning.goes.push(local);
            }
            Err(why) => pruning.unproven.push((local, why)),
        }
    }
    if verify {
        read_back(catalog, &files, &mut pruning, progress);
    }
    Ok(pruning)
}

/// What is rebuilt from the store with other bytes, or not at all, stays here.
fn read_back(catalog: &mut Catalog, files: &[Wanted], pruning: &mut Pruning, progress: &dyn Progress) {
    let failed: Mutex<BTreeMap<Oid, FetchError>> = Mutex::default();
    // What this machine keeps says nothing of the store.
    fetch::rebuild(&Source::bare(catalog.store()), files, progress, &|file, result| {
        if let Err(error) = result {
            failed.lock().expect("no holder of this lock panics").insert(file.oid, error);
        }
    });
    let mut failed = failed.into_inner().expect("no holder of this lock panics");
    let bad: Vec<PackId> = failed.values().filter_map(FetchError::bad_pack).collect();
    let is_wrong = |error: &FetchError| matches!(error, FetchError::Wrong { .. });
    let wrong = failed.iter().filter(|(_, error)| is_wrong(error)).map(|(oid, _)| *oid).collect();
    catalog.keep_in_mind(&bad, &[], &wrong);
    for local in std::mem::take(&mut pruning.goes) {
        match failed.remove(&local.pointer.oid) {
            None => pruning.goes.push(local),
            Some(error) if error.bad_pack().is_some() || is_wrong(&error) => {
                pruning.unproven.push((local, Unproven::Damaged(error.to_string())));
            }
            Some(error) => pruning.unproven.push((local, Unproven::Unclear(error.to_string()))),
        }
    }
}

/// What the store promises, and what of it is there.
struct Proof {
    repo: RepoId,
    rows: HashMap<Oid, (Row, Result<Vec<Term>, String>)>,
    /// Packs that are in the table, in the store with their size, and not known to be damaged.
    sound: BTreeSet<PackId>,
    /// Rows that are known to rebuild something else.
    wrong: BTreeSet<Oid>,
}

impl Proof {
    fn of(catalog: &Catalog, repo: RepoId, rows: HashMap<Oid, Row>) -> Result<Proof, CatalogError> {
        // Long recipes lie apart: several requests at a time.
        let rows: HashMap<Oid, (Row, Result<Vec<Term>, String>)> = rows
            .into_par_iter()
            .map(|(oid, row)| {
                let terms = catalog.terms(&row).map_err(|error| error.to_string());
                (oid, (row, terms))
            })
            .collect();
        let packs: BTreeSet<PackId> = rows.values().flat_map(|(row, terms)| packs_of(row, terms)).collect();
        let packs: Vec<PackId> = packs.into_iter().filter(|pack| catalog.may_borrow(*pack)).collect();
        let there = |pack: &PackId| -> Result<Option<PackId>, CatalogError> {
            let info = catalog.state().packs()[pack];
            let size = catalog.store().size(&key::pack(info.kind, *pack))?;
            Ok((size == Some(info.size)).then_some(*pack))
        };
        let sound: Vec<Option<PackId>> = packs.par_iter().map(there).collect::<Result<_, _>>()?;
        let wrong = rows.values().filter(|(row, _)| catalog.is_damaged(row)).map(|(row, _)| row.oid);
        Ok(Proof { repo, wrong: wrong.collect(), sound: sound.into_iter().flatten().collect(), rows })
    }

    /// Where the file lies in the store; why that is not proven, else.
    fn terms(&self, pointer: &Pointer) -> Result<&[Term], Unproven> {
        let (row, terms) = self.rows.get(&pointer.oid).ok_or(Unproven::Absent)?;
        let unclear = |why| Err(Unproven::Unclear(why));
        if row.size != pointer.size {
            return unclear(format!("it has {} bytes in the store and {} here", row.size, pointer.size));
        }
        if row.repo != self.repo {
            return unclear(format!("only repo {} has it in the store", row.repo));
        }
        let needed = packs_of(row, terms);
        if let Some(pack) = needed.into_iter().find(|pack| !self.sound.contains(pack)) {
            return Err(Unproven::Damaged(format!("it needs pack {pack}, which is damaged or gone")));
        }
        if self.wrong.contains(&pointer.oid) {
            return Err(Unproven::Damaged("the store rebuilds it with other bytes".to_owned()));
        }
        terms.as_deref().map_err(|why| Unproven::Unclear(why.clone()))
    }
}

/// What reading the file needs now, where its data was repacked too.
fn packs_of(row: &Row, terms: &Result<Vec<Term>, String>) -> BTreeSet<PackId> {
    let blob = match &row.recipe {
        Recipe::Out { blob, .. } => Some(blob.pack),
        Recipe::Inline(_) => None,
    };
    terms.iter().flatten().map(|term| term.pack).chain(blob).collect()
}

/// Delete what goes; an object that changed since it was looked at stays. Gives how many went, and their bytes.
pub fn delete(goes: &[Local], disk: &Disk) -> io::Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for Local { pointer, path } in goes {
        if is_file_of(path, pointer) {
            disk.remove(path)?;
            count += 1;
            bytes += pointer.size;
        }
    }
    Ok((count, bytes))
}

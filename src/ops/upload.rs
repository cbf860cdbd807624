//! Upload: files into the store, promised by one log entry.
//!
//! What the store has is *touched*: a row of its own in the new entry, which names the packs it relies on, so that no
//! collection that began earlier can take them (R2, R12). What it does not have is ingested. If the entry may not land because
//! a borrowed pack went, or the floor rose, everything is done again from the new head, with new packs.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ingest::{ChunkIndex, Ingested, Source, SourceError, infos, ingest};
use super::receipt::{Receipt, UploadStats};
use super::{open, publish};
use crate::catalog::change::{Change, ChangeRecord, RepoChange};
use crate::catalog::log::{now, writer};
use crate::catalog::state::Remedy;
use crate::catalog::{Catalog, CatalogError};
use crate::id::{Oid, PackId, PackKind, RepoId};
use crate::progress::Progress;
use crate::store::Counts;
use crate::table::{Recipe, Row};

/// Times an upload begins again because the store changed below it.
const ATTEMPTS: usize = 5;
/// How long an ingest begins new files before what is done is committed (R15).
const SESSION: Duration = Duration::from_secs(3600);
/// Chunks of packs this machine has seen that are remembered at the start of an ingest.
const REMEMBERED: usize = 200_000;

/// A file to upload.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its SHA-256.
    pub oid: Oid,
    /// Its length, bytes.
    pub size: u64,
    /// Where it lies on this machine; not read if the store has it.
    pub path: PathBuf,
    /// The previous version of the same path, if git knows one: where similar chunks are.
    pub previous: Option<Oid>,
}

/// What came of an upload.
#[derive(Debug)]
pub struct Uploaded {
    /// What is durable now.
    pub receipt: Receipt,
    /// Files that are not, and why; the others are.
    pub failed: Vec<(Oid, SourceError)>,
    /// What it cost.
    pub stats: UploadStats,
    /// Files of the part that were not begun.
    left: Vec<Upload>,
}

impl Uploaded {
    fn add(&mut self, part: Uploaded) {
        self.receipt.entries.extend(part.receipt.entries);
        self.receipt.oids.extend(part.receipt.oids);
        self.failed.extend(part.failed);
        self.stats.add(part.stats);
    }
}

/// Upload `files`, an hour's worth to an entry, and renew the promise of `touch` as far as the store has them.
pub fn upload(
    catalog: &mut Catalog,
    repo: RepoId,
    files: &[Upload],
    touch: &[Oid],
    progress: &dyn Progress,
) -> Result<Uploaded, CatalogError> {
    open::probe_once(catalog)?;
    let before = catalog.store().requests();
    let mut attempt = 1;
    let (mut files, mut touch) = (files.to_vec(), touch);
    let receipt = Receipt::new(catalog.identity().store, catalog.store().url().as_str(), repo);
    let mut all = Uploaded { receipt, failed: vec![], stats: UploadStats::default(), left: vec![] };
    loop {
        match try_upload(catalog, repo, &files, touch, progress) {
            Err(CatalogError::Refused(refusal))
                if attempt < ATTEMPTS
                    && matches!(refusal.remedy(), Remedy::Restart | Remedy::RedoWithout(_)) =>
            {
                attempt += 1;
                catalog.refresh()?;
            }
            Err(error) => return Err(error),
            Ok(mut part) => {
                (files, touch) = (std::mem::take(&mut part.left), &[]);
                all.add(part);
                if files.is_empty() {
                    all.stats.requests = catalog.store().requests().since(before);
                    return Ok(all);
                }
            }
        }
    }
}

fn try_upload(
    catalog: &mut Catalog,
    repo: RepoId,
    files: &[Upload],
    touch: &[Oid],
    progress: &dyn Progress,
) -> Result<Uploaded, CatalogError> {
    let base = catalog.head().seq();
    let mut wanted: Vec<Oid> = files.iter().map(|file| file.oid).collect();
    wanted.extend(touch);
    wanted.extend(files.iter().filter_map(|file| file.previous));
    let rows = catalog.find(repo, &wanted)?;
    let known = |oid: &Oid| rows.get(oid).filter(|row| catalog.borrowable(row));

    // With another length than asked for, the file itself decides: its row or its pointer is wrong.
    let has = |file: &Upload| known(&file.oid).is_some_and(|row| row.size == file.size);

    let mut touched: Vec<Row> = files
        .iter()
        .filter(|file| has(file))
        .map(|file| &file.oid)
        .chain(touch)
        .filter_map(known)
        .cloned()
        .collect();
    touched.sort_by_key(Row::key);
    touched.dedup_by_key(|row| row.oid);
    touched.iter_mut().for_each(|row| (row.repo, row.born) = (repo, 0));
    let mut sources: Vec<Source> = Vec::new();
    for file in files.iter().filter(|file| !has(file)) {
        let near = file.previous.as_ref().and_then(known).map_or(vec![], data_packs);
        sources.push(Source { oid: file.oid, size: file.size, path: file.path.clone(), near });
    }
    let known_bytes =
        files.iter().filter(|file| has(file)).map(|file| file.size).fold(0, u64::saturating_add);
    progress.add(known_bytes);

    let mut made =
        if sources.is_empty() { Ingested::default() } else { take_in(catalog, &sources, progress)? };
    for pack in &made.packs {
        catalog.keep_footer(pack.id, &pack.footer);
    }
    let mut receipt = Receipt::new(catalog.identity().store, catalog.store().url().as_str(), repo);
    let failed = std::mem::take(&mut made.failed);
    let begun: HashSet<Oid> = sources[..sources.len() - made.left].iter().map(|source| source.oid).collect();
    let (left, taken): (Vec<Upload>, Vec<Upload>) =
        files.iter().cloned().partition(|file| !has(file) && !begun.contains(&file.oid));
    let stats = UploadStats {
        files: (taken.len() - failed.len()) as u64,
        known: (files.len() - sources.len()) as u64,
        logical: taken.iter().map(|file| file.size).fold(0, u64::saturating_add),
        new_raw: made.new_raw,
        stored: made.packs.iter().map(|pack| pack.info.size).sum(),
        requests: Counts::default(),
    };
    if touched.is_empty() && made.files.is_empty() {
        return Ok(Uploaded { receipt, failed, stats, left });
    }
    ensure_repo(catalog, repo)?;
    let oids: Vec<Oid> =
        touched.iter().map(|row| row.oid).chain(made.files.iter().map(|file| file.0)).collect();
    let landed = publish::publish(catalog, base, repo, touched, &made.files, infos(&made.packs))?;
    receipt.add(landed, oids);
    Ok(Uploaded { receipt, failed, stats, left })
}

fn take_in(catalog: &Catalog, sources: &[Source], progress: &dyn Progress) -> Result<Ingested, CatalogError> {
    let mut index = ChunkIndex::default();
    for pack in catalog.kept_footers() {
        if index.len() > REMEMBERED {
            break;
        }
        learn(catalog, pack, &mut index);
    }
    let mut neighbours = |pack: PackId, index: &mut ChunkIndex| learn(catalog, pack, index);
    Ok(ingest(
        catalog.store(),
        catalog.identity().chunks,
        sources,
        index,
        &mut neighbours,
        progress,
        Instant::now() + SESSION,
    )?)
}

/// A footer that cannot be read is no reason to fail: what it would have saved is stored again.
fn learn(catalog: &Catalog, pack: PackId, index: &mut ChunkIndex) {
    let is_data = catalog.may_borrow(pack)
        && catalog.state().packs().get(&pack).is_some_and(|info| info.kind == PackKind::Data);
    if is_data && let Ok(Some(footer)) = catalog.footer(pack) {
        index.learn(pack, &footer);
    }
}

fn data_packs(row: &Row) -> Vec<PackId> {
    match &row.recipe {
        Recipe::Inline(terms) => {
            let mut packs: Vec<PackId> = terms.iter().map(|term| term.pack).collect();
            packs.dedup();
            packs
        }
        Recipe::Out { packs, .. } => packs.clone(),
    }
}

/// A repo becomes known to a store with its first push there.
pub fn ensure_repo(catalog: &mut Catalog, repo: RepoId) -> Result<(), CatalogError> {
    name_repo(catalog, repo, &repo.to_string())
}

/// Make the repo known under `name`, or under its id where another has the name.
pub fn name_repo(catalog: &mut Catalog, repo: RepoId, name: &str) -> Result<(), CatalogError> {
    if repo == RepoId::NIL || catalog.state().repos().contains_key(&repo) {
        return Ok(());
    }
    let name = match catalog.state().repo_named(name) {
        Some(_) => repo.to_string(),
        None => name.to_owned(),
    };
    let change = Change::Repo(RepoChange::Create { repo, name });
    let record = ChangeRecord::new(catalog.head().seq(), change, writer(), now());
    match catalog.commit(&record) {
        // Two first pushes at once: the other one made it known.
        Err(CatalogError::Refused(_)) if catalog.state().repos().contains_key(&repo) => Ok(()),
        other => other.map(drop),
    }
}

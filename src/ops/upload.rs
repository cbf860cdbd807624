//! Upload: files into the store, promised by one log entry.
//!
//! What the store has is *touched*: a row of its own in the new entry, which names the packs it relies on, so that no
//! collection that began earlier can take them (R2, R12). What it does not have is ingested. If the entry may not land because
//! a borrowed pack went, or the floor rose, everything is done again from the new head. Packs that were put already are taken over, and
//! with them the base of the session that put them (R8); not where files were taken out of the version whose pages are shared: the check
//! at the slot has to see the next time that happens, and so needs a base that is younger than the last.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bundle::Draft;
use super::ingest::{ChunkIndex, Failed, Ingested, Outlet, Source, ingest};
use super::known::Neighbours;
use super::receipt::{Receipt, UploadStats};
use super::{open, publish};
use crate::catalog::change::{Change, RepoChange};
use crate::catalog::state::Remedy;
use crate::catalog::{Catalog, CatalogError, Refusal, Sent, Stranded};
use crate::id::{BundleId, Oid, PackId, RepoId};
use crate::progress::Progress;
use crate::store::Counts;
use crate::table::{Recipe, Row};

/// Times an upload begins again because the store changed below it.
const ATTEMPTS: usize = 16;
/// How long an ingest begins new files before what is done is committed (R15).
const SESSION: Duration = Duration::from_secs(3600);

/// A file to upload.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its SHA-256; `None` if nobody has read it yet: then it is taken in as it is, and [`Uploaded::read`] says what it was.
    pub oid: Option<Oid>,
    /// Its length, bytes; without an oid only what it was when it was looked at.
    pub size: u64,
    /// Where it lies on this machine; not read if the store has it.
    pub path: PathBuf,
    /// The previous version of the same path, if git knows one: where similar chunks are.
    pub previous: Option<Oid>,
}

/// What files without an oid were when they were read: oid and length by path.
pub type Read = BTreeMap<PathBuf, (Oid, u64)>;

/// Makes the draft of a bundle once all of its files were read.
pub type Drafting<'a> = &'a dyn Fn(&Read) -> Draft;

/// What is asked of the entry that promises the last of the files, if none of them fails.
#[derive(Default, Clone, Copy)]
pub struct Asked<'a> {
    /// To make this bundle.
    pub drafting: Option<Drafting<'a>>,
    /// To let `latest` lead there.
    pub latest: Option<BundleId>,
}

/// What came of an upload.
#[derive(Debug)]
pub struct Uploaded {
    /// What is durable now.
    pub receipt: Receipt,
    /// Files that are not, and why; the others are.
    pub failed: Vec<Failed>,
    /// What the files without an oid were.
    pub read: Read,
    /// The bundle, if one was asked for and all of its files are in the store.
    pub bundle: Option<BundleId>,
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
        self.read.extend(part.read);
        self.bundle = self.bundle.or(part.bundle);
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
    upload_all(catalog, repo, files, touch, Asked::default(), progress)
}

/// Upload `files` and make a bundle in the entry that promises the last of them; none is made if one of them fails.
pub fn upload_bundle(
    catalog: &mut Catalog,
    repo: RepoId,
    files: &[Upload],
    drafting: Drafting<'_>,
    progress: &dyn Progress,
) -> Result<Uploaded, CatalogError> {
    upload_all(catalog, repo, files, &[], Asked { drafting: Some(drafting), latest: None }, progress)
}

/// Both: upload `files`, renew the promise of `touch`, and do with the last of them what is asked for. Where no entry is written,
/// `latest` stays where it is.
pub fn upload_all(
    catalog: &mut Catalog,
    repo: RepoId,
    files: &[Upload],
    touch: &[Oid],
    asked: Asked<'_>,
    progress: &dyn Progress,
) -> Result<Uploaded, CatalogError> {
    progress.watch(catalog.store().retries());
    open::probe_once(catalog)?;
    let before = catalog.store().requests();
    let mut attempt = 1;
    let (mut files, mut touch) = (files.to_vec(), touch);
    let receipt = Receipt::new(catalog.identity().store, catalog.store().url().as_str(), repo);
    let mut all = Uploaded {
        receipt,
        failed: vec![],
        read: Read::new(),
        bundle: None,
        stats: UploadStats::default(),
        left: vec![],
    };
    let (mut alone, mut since) = (false, 0);
    loop {
        let draft = |part: &Read| {
            let mut read = all.read.clone();
            read.extend(part.iter().map(|(path, it)| (path.clone(), *it)));
            (asked.drafting.map(|drafting| drafting(&read)), alone, asked.latest)
        };
        let ending: Ending<'_> = if all.failed.is_empty() { &draft } else { &|_| (None, false, None) };
        match try_upload(catalog, repo, (&files, touch), since, ending, progress) {
            Err(CatalogError::Refused(refusal))
                if attempt < ATTEMPTS && !matches!(refusal.remedy(), Remedy::GiveUp | Remedy::Upgrade) =>
            {
                attempt += 1;
                alone |= refusal.remedy() == Remedy::BuildAlone;
                catalog.refresh()?;
                if matches!(refusal, Refusal::BaseRevised { .. }) {
                    since = catalog.head().seq();
                }
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

/// What the last entry says of versions, once all files were read: a bundle to make, whether it shares no page, and where `latest`
/// leads.
type Ending<'a> = &'a dyn Fn(&Read) -> (Option<Draft>, bool, Option<BundleId>);

/// One entry, of a session that began with `since` or later.
fn try_upload(
    catalog: &mut Catalog,
    repo: RepoId,
    (files, touch): (&[Upload], &[Oid]),
    since: u64,
    ending: Ending<'_>,
    progress: &dyn Progress,
) -> Result<Uploaded, CatalogError> {
    // What a session left behind is its own still if its entry lands.
    catalog.settle()?;
    let base = catalog.head().seq();
    let plan = Plan::of(catalog, repo, files, touch)?;
    progress.add(plan.known_bytes);
    let (sent, mut stranded) = (catalog.sent(base), catalog.stranded());
    stranded.leave_before(since);
    let made = if plan.sources.is_empty() {
        Ingested::default()
    } else {
        let bytes = plan.absent.iter().map(|at| files[*at].size).fold(0, u64::saturating_add);
        take_in(catalog, &plan.sources, bytes, &sent, &mut stranded, progress)?
    };
    let begun = plan.sources.len() - made.left;
    let left: Vec<Upload> = plan.absent[begun..].iter().map(|at| files[*at].clone()).collect();
    let stats = UploadStats {
        files: (files.len() - left.len() - made.failed.len()) as u64,
        known: (files.len() - plan.sources.len()) as u64,
        logical: files.iter().map(|file| file.size).fold(0, u64::saturating_add)
            - left.iter().map(|file| file.size).fold(0, u64::saturating_add),
        new_raw: made.new_raw,
        stored: made.packs.iter().map(|(_, info)| info.size).sum(),
        requests: Counts::default(),
    };
    let unread = made.files.iter().filter(|taken| files[plan.absent[taken.source]].oid.is_none());
    let read: Read = unread
        .map(|taken| (files[plan.absent[taken.source]].path.clone(), (taken.oid, taken.size)))
        .collect();
    let is_last = left.is_empty() && made.failed.is_empty();
    let (draft, alone, latest) = if is_last { ending(&read) } else { (None, false, None) };
    let bundle = draft.as_ref().map(|draft| draft.id);
    let mut receipt = Receipt::new(catalog.identity().store, catalog.store().url().as_str(), repo);
    if !plan.touched.is_empty() || !made.files.is_empty() || draft.is_some() {
        ensure_repo(catalog, repo)?;
        let new = made.files.iter().map(|taken| taken.oid);
        let oids: Vec<Oid> = plan.touched.iter().map(|row| row.oid).chain(new).collect();
        let versions = publish::Versions { draft: draft.as_ref(), alone, latest };
        let named: BTreeSet<PackId> = made.files.iter().flat_map(|it| &it.terms).map(|it| it.pack).collect();
        // What an earlier session put is named as our own, and then we have begun when it did (R8).
        let (again, earlier) = stranded.used(&named);
        let (packs, base) = ([made.packs, again].concat(), earlier.map_or(base, |it| it.min(base)));
        let landed = publish::publish(catalog, base, repo, plan.touched, &made.files, &packs, versions)?;
        receipt.add(landed, oids);
        sent.forget();
        stranded.settle(&named);
    }
    Ok(Uploaded { receipt, failed: made.failed, read, bundle, stats, left })
}

/// What of an upload the store has already, and what is to be read.
struct Plan {
    /// Rows to promise anew.
    touched: Vec<Row>,
    /// Bytes of the files among them.
    known_bytes: u64,
    /// Files to take in.
    sources: Vec<Source>,
    /// Which of the files each source is.
    absent: Vec<usize>,
}

impl Plan {
    fn of(catalog: &Catalog, repo: RepoId, files: &[Upload], touch: &[Oid]) -> Result<Plan, CatalogError> {
        let mut wanted: Vec<Oid> = files.iter().filter_map(|file| file.oid).collect();
        wanted.extend(touch);
        wanted.extend(files.iter().filter_map(|file| file.previous));
        let rows = catalog.find(repo, &wanted)?;
        let known = |oid: &Oid| rows.get(oid).filter(|row| catalog.borrowable(row));
        let mut plan = Plan { touched: vec![], known_bytes: 0, sources: vec![], absent: vec![] };
        plan.touched.extend(touch.iter().filter_map(known).cloned());
        for (at, file) in files.iter().enumerate() {
            // With another length than asked for, the file itself decides: its row or its pointer is wrong.
            if let Some(row) = file.oid.as_ref().and_then(known).filter(|row| row.size == file.size) {
                plan.touched.push(row.clone());
                plan.known_bytes = plan.known_bytes.saturating_add(file.size);
                continue;
            }
            let near = file.previous.as_ref().and_then(known).map_or(vec![], data_packs);
            let expected = file.oid.map(|oid| (oid, file.size));
            plan.sources.push(Source { expected, path: file.path.clone(), near });
            plan.absent.push(at);
        }
        plan.touched.sort_by_key(Row::key);
        plan.touched.dedup_by_key(|row| row.oid);
        plan.touched.iter_mut().for_each(|row| (row.repo, row.born) = (repo, 0));
        Ok(plan)
    }
}

/// Reads the files, and sends what is in none of the packs that are known, or were left by a session that did not end.
fn take_in(
    catalog: &Catalog,
    sources: &[Source],
    bytes: u64,
    sent: &Sent,
    stranded: &mut Stranded,
    progress: &dyn Progress,
) -> Result<Ingested, CatalogError> {
    loop {
        let (mut index, mut known) = (ChunkIndex::default(), Neighbours::new(catalog, bytes));
        for (pack, footer) in catalog.stranded_footers(stranded) {
            index.learn(pack, &footer);
        }
        let until = Instant::now() + SESSION;
        let outlet = Outlet { store: catalog.store(), sizes: catalog.identity().chunks, sent: sent.clone() };
        let made = ingest(&outlet, sources, index, &mut known, progress, until)?;
        let named = made.files.iter().flat_map(|it| &it.terms).map(|it| it.pack).collect();
        let lacking = catalog.lacking(&stranded.used(&named).0)?;
        if lacking.is_empty() {
            return Ok(made);
        }
        stranded.lose(lacking);
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
    let record = catalog.record(catalog.head().seq(), change);
    match catalog.commit(&record) {
        // Two first pushes at once: the other one made it known.
        Err(CatalogError::Refused(_)) if catalog.state().repos().contains_key(&repo) => Ok(()),
        other => other.map(drop),
    }
}

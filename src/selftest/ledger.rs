//! The ledger: what was acknowledged to somebody, and what was given up by somebody. What is in it and not given up has to be had in
//! the end, bit for bit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::bundle::Content;
use crate::catalog::{Catalog, Journal};
use crate::id::{BundleId, EntryHash, Oid, RepoId};
use crate::ops::bundle::open;
use crate::ops::download::{rows, wanted};
use crate::ops::fetch::{Source, Wanted, fetch};
use crate::ops::redact::Redaction;
use crate::ops::upload::Uploaded;
use crate::progress::Silent;
use crate::store::{Store, key};
use crate::table::Row;

use super::failed::Failed;
use super::shelf::Shelf;
use crate::cache::Cache;

/// The files of a version by path.
pub(super) type Files = BTreeMap<Vec<u8>, Oid>;

/// Paths that may be missing.
pub(super) type Out = BTreeSet<(RepoId, Vec<u8>)>;

/// A version as it was made, and what may be missing since.
pub(super) struct Made {
    files: Files,
    out: Out,
}

impl Made {
    /// Whether it may have these files.
    fn allows(&self, repo: RepoId, found: &Files) -> bool {
        let may_lack = |path: &Vec<u8>| self.out.contains(&(repo, path.clone()));
        found.iter().all(|(path, oid)| self.files.get(path) == Some(oid))
            && self.files.keys().all(|path| found.contains_key(path) || may_lack(path))
    }
}

/// What was acknowledged, and what was given up.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger {
    /// Files, each with the newest entry that promises it.
    files: BTreeMap<(RepoId, Oid), u64>,
    /// Files given up, each with the newest entry that the drop was planned on (R9).
    gone: BTreeMap<(RepoId, Oid), u64>,
    /// Versions that somebody tried to make, whatever came of it.
    drafts: BTreeMap<BundleId, Files>,
    /// Paths that somebody began to take out of all versions of a repo: they may be missing.
    out: Out,
    /// Versions out of which a path was taken.
    taken: BTreeSet<(BundleId, Vec<u8>)>,
    /// How many are at it: what lies there goes, or does not.
    pending: BTreeMap<(RepoId, Vec<u8>), u64>,
    versions: BTreeSet<BundleId>,
    gone_versions: BTreeSet<BundleId>,
    labels: BTreeMap<(RepoId, String), (u64, Option<BundleId>)>,
    entries: BTreeMap<u64, EntryHash>,
}

impl Ledger {
    /// An upload was acknowledged.
    pub(super) fn uploaded(&mut self, repo: RepoId, done: &Uploaded) {
        self.entries.extend(done.receipt.entries.iter().copied());
        // Each file is in one of the entries; in the first of them for certain not before it.
        let Some(seq) = done.receipt.entries.iter().map(|(seq, _)| *seq).min() else { return };
        for oid in &done.receipt.oids {
            let newest = self.files.entry((repo, *oid)).or_insert(seq);
            *newest = seq.max(*newest);
        }
        self.versions.extend(done.bundle);
    }

    /// Somebody is about to make this version.
    pub(super) fn drafted(&mut self, id: BundleId, files: Files) {
        self.drafts.insert(id, files);
    }

    /// The files of a version that somebody made or tried to make.
    pub(super) fn files_of(&self, id: BundleId) -> Files {
        self.drafts.get(&id).cloned().unwrap_or_default()
    }

    /// The same as it may be by now.
    pub(super) fn made(&self, id: BundleId) -> Made {
        Made { files: self.files_of(id), out: self.out.clone() }
    }

    /// Somebody is about to take a path out of all versions of a repo.
    pub(super) fn take_out(&mut self, repo: RepoId, path: &[u8]) {
        self.out.insert((repo, path.to_vec()));
        *self.pending.entry((repo, path.to_vec())).or_default() += 1;
    }

    /// It was done, planned on this entry, for these versions; or nobody knows.
    pub(super) fn taken_out(&mut self, done: &Redaction) {
        for path in &done.paths {
            self.settle(done.repo, path);
            self.taken.extend(done.versions.iter().map(|it| (it.bundle, path.clone())));
        }
        self.drop_files(done.planned_on, done.files.iter().map(|oid| (done.repo, *oid)));
    }

    /// It was not done, or by an entry that lands later and was planned on one up to this.
    pub(super) fn perhaps_out(&mut self, repo: RepoId, path: &[u8], upto: u64) {
        self.settle(repo, path);
        let files: Vec<Oid> = self.drafts.values().filter_map(|files| files.get(path)).copied().collect();
        self.drop_files(upto, files.into_iter().map(|oid| (repo, oid)));
    }

    fn settle(&mut self, repo: RepoId, path: &[u8]) {
        let count = self.pending.entry((repo, path.to_vec())).or_default();
        *count = count.saturating_sub(1);
    }

    /// Files that go if what somebody is at is done.
    fn in_doubt(&self) -> BTreeSet<(RepoId, Oid)> {
        let pending = self.pending.iter().filter(|(_, count)| **count > 0).map(|(key, _)| key);
        let of = |(repo, path): &(RepoId, Vec<u8>)| -> Vec<(RepoId, Oid)> {
            self.drafts.values().filter_map(|files| Some((*repo, *files.get(path)?))).collect()
        };
        pending.flat_map(of).collect()
    }

    /// A label was moved.
    pub(super) fn labelled(&mut self, repo: RepoId, name: &str, seq: u64, to: Option<BundleId>) {
        let newest = self.labels.entry((repo, name.to_owned())).or_default();
        if seq >= newest.0 {
            *newest = (seq, to);
        }
    }

    /// Somebody is about to drop this.
    pub(super) fn drop_files(&mut self, planned_on: u64, keys: impl IntoIterator<Item = (RepoId, Oid)>) {
        for key in keys {
            let upto = self.gone.entry(key).or_default();
            *upto = planned_on.max(*upto);
        }
    }

    /// The same of versions.
    pub(super) fn drop_versions(&mut self, ids: impl IntoIterator<Item = BundleId>) {
        self.gone_versions.extend(ids);
    }

    /// Files that somebody was promised and nobody gave up.
    pub(super) fn promised(&self) -> BTreeSet<(RepoId, Oid)> {
        let lives = |(key, seq): &(&(RepoId, Oid), &u64)| self.gone.get(*key).is_none_or(|upto| *seq > upto);
        let in_doubt = self.in_doubt();
        let sure = |key: &(RepoId, Oid)| !in_doubt.contains(key);
        self.files.iter().filter(lives).map(|(key, _)| *key).filter(sure).collect()
    }

    /// Versions that somebody was promised and nobody gave up.
    fn versions(&self) -> impl Iterator<Item = BundleId> {
        let kept = self.versions.difference(&self.gone_versions);
        kept.filter(|id| self.drafts.contains_key(id)).copied()
    }

    /// What of it does not hold, as one sees it who has never been there.
    pub(super) fn complaints(&self, store: &Store, shelf: &Shelf) -> Vec<String> {
        let mut wrong = Vec::new();
        match Catalog::open(store.clone(), Cache::none(), Journal::none()) {
            Err(_) if self.entries.is_empty() && self.files.is_empty() => {}
            Err(error) => wrong.push(format!("the store cannot be opened: {error}")),
            Ok(mut catalog) => {
                self.check_entries(&catalog, &mut wrong);
                self.check_labels(&catalog, &mut wrong);
                self.check_files(&mut catalog, shelf, &mut wrong);
                self.check_versions(&catalog, shelf, &mut wrong);
            }
        }
        wrong
    }

    fn check_entries(&self, catalog: &Catalog, wrong: &mut Vec<String>) {
        let mut prev = EntryHash::NONE;
        for seq in 0..catalog.state().next() {
            let read = catalog.store().get(&key::log(seq));
            let Ok(Some(bytes)) = read else {
                wrong.push(format!("log entry {seq} is gone"));
                return;
            };
            match crate::catalog::Entry::decode(seq, &bytes) {
                Ok(entry) if entry.prev() == prev => {}
                Ok(_) => wrong.push(format!("log entry {seq} does not follow the one before")),
                Err(error) => wrong.push(format!("log entry {seq}: {error}")),
            }
            prev = EntryHash::of(&bytes);
            if self.entries.get(&seq).is_some_and(|promised| *promised != prev) {
                wrong.push(format!("log entry {seq} is not the one that was acknowledged"));
            }
        }
        if let Some(beyond) = self.entries.keys().find(|seq| **seq >= catalog.state().next()) {
            wrong.push(format!("log entry {beyond} was acknowledged and is not there"));
        }
    }

    fn check_labels(&self, catalog: &Catalog, wrong: &mut Vec<String>) {
        for ((repo, name), (seq, to)) in &self.labels {
            match catalog.state().label(*repo, name) {
                Some(at) if at.seq > *seq || (at.seq == *seq && at.bundle == *to) => {}
                // A repo that was dropped takes its labels along.
                None if catalog.state().repos().get(repo).is_none_or(|it| it.deleted) => {}
                found => wrong.push(format!("label {name} was moved by entry {seq}, and is {found:?}")),
            }
        }
        // A repo that is given up keeps its labels, which nobody sees any more.
        let lives = |repo: &RepoId| catalog.state().repos().get(repo).is_none_or(|it| !it.deleted);
        for ((_, name), at) in catalog.state().labels().iter().filter(|((repo, _), _)| lives(repo)) {
            if let Some(to) = at.bundle.filter(|to| !catalog.state().bundles().contains_key(to)) {
                wrong.push(format!("label {name} leads to {to}, which is gone"));
            }
        }
    }

    /// Promised files that cannot be had by who has this catalog.
    pub(super) fn check_files(&self, catalog: &mut Catalog, shelf: &Shelf, wrong: &mut Vec<String>) {
        let promised: Vec<(RepoId, Oid)> = self.promised().into_iter().collect();
        for some in promised.chunk_by(|a, b| a.0 == b.0) {
            let oids: Vec<Oid> = some.iter().map(|(_, oid)| *oid).collect();
            wrong.extend(fetched(catalog, some[0].0, &oids, shelf).into_iter().map(String::from));
        }
    }

    fn check_versions(&self, catalog: &Catalog, shelf: &Shelf, wrong: &mut Vec<String>) {
        for id in self.versions() {
            let made = self.made(id);
            let found = exported(catalog, id, Some(&made), shelf).into_iter();
            wrong.extend(found.map(|it| it.of(format!("version {id}")).into()));
        }
        for (id, path) in &self.taken {
            let Ok(bundle) = open(catalog, *id) else { continue };
            if !matches!(bundle.find(path), Ok(None)) {
                wrong.push(format!("version {id} has {} again", String::from_utf8_lossy(path)));
            }
        }
    }
}

/// What must not be said of anything that is read, whatever fails.
pub(super) const NEVER: [&str; 3] = [OTHER_BYTES, OTHER_FILES, LEFT];
const OTHER_BYTES: &str = "came back with other bytes";
const OTHER_FILES: &str = "other files than were put into it";
const LEFT: &str = "is said not to have come, and something lies there";

/// What is wrong with files of a repo as they come out of the store.
pub(super) fn fetched(catalog: &mut Catalog, repo: RepoId, oids: &[Oid], shelf: &Shelf) -> Vec<Failed> {
    let found = match rows(catalog, repo, oids) {
        Ok(found) => found,
        Err(error) => return vec![error.into()],
    };
    let (out, mut wrong, mut plan) = (shelf.out(), Vec::new(), Vec::new());
    for oid in oids {
        match wanted(catalog, found.get(oid), *oid, shelf.size(*oid), out.path().join(oid.to_string())) {
            Ok(file) => plan.push(file),
            Err(error) => wrong.push(error.into()),
        }
    }
    wrong.extend(compared(catalog, &plan, shelf));
    wrong
}

/// What is wrong with a version as it comes out of the store, by its pages alone.
pub(super) fn exported(catalog: &Catalog, id: BundleId, made: Option<&Made>, shelf: &Shelf) -> Vec<Failed> {
    match plan_version(catalog, id, made, shelf) {
        Ok((plan, _out)) => compared(catalog, &plan, shelf),
        Err(why) => vec![why],
    }
}

fn plan_version(
    catalog: &Catalog,
    id: BundleId,
    made: Option<&Made>,
    shelf: &Shelf,
) -> Result<(Vec<Wanted>, tempfile::TempDir), Failed> {
    let out = shelf.out();
    let bundle = open(catalog, id)?;
    let (mut plan, mut found) = (BTreeMap::new(), Files::new());
    for entry in bundle.below(b"")? {
        let Content::File { oid, size, recipe, .. } = entry.content else { continue };
        found.insert(entry.path, oid);
        let row = Row { oid, repo: RepoId::NIL, born: 0, size, recipe };
        let terms = catalog.terms(&row)?;
        plan.insert(oid, Wanted { oid, size, terms, path: out.path().join(oid.to_string()) });
    }
    if made.is_some_and(|made| !made.allows(bundle.root().repo, &found)) {
        return Err(Failed::ours(format!("it has {OTHER_FILES}")));
    }
    Ok((plan.into_values().collect(), out))
}

/// What is wrong with these files once they are here.
fn compared(catalog: &Catalog, plan: &[Wanted], shelf: &Shelf) -> Vec<Failed> {
    let wrong = std::sync::Mutex::new(Vec::new());
    let told = std::sync::Mutex::new(0);
    fetch(&Source::of(catalog), plan, &Silent, &|file, result| {
        *told.lock().expect("no panic") += 1;
        let above = file.path.parent().unwrap_or(Path::new(""));
        let what = match result {
            Ok(()) if shelf.is_same(file.oid, &file.path) => return,
            Ok(()) => Failed::ours(format!("{} {OTHER_BYTES}", file.oid)),
            Err(_) if file.path.exists() => Failed::ours(format!("{} {LEFT}", file.oid)),
            Err(error) => Failed::from(error).within(above).of(file.oid),
        };
        wrong.lock().expect("no panic").push(what);
    });
    let mut wrong = wrong.into_inner().expect("no panic");
    if told.into_inner().expect("no panic") != plan.len() {
        wrong.push(Failed::ours("a file was not told of"));
    }
    wrong.sort_by(|a, b| a.words.cmp(&b.words));
    wrong
}

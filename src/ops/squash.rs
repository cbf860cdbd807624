//! Squash: which versions of a dataset, and with them which files, are given up. Beside a redaction a Drop is the only thing that
//! makes data garbage (R1), and this is the only place that proposes one.
//!
//! What is kept is said by the user; what nobody said is kept too if somebody may rely on it: what a label or `latest` leads to,
//! what git still reaches, what is of a commit that this clone does not know. A file goes with the versions that go if no version
//! that stays has it, of whatever repo, and no pointer that git reaches names it. A file that no version ever had, of a push with
//! plain git-lfs, is never given up here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::bundle::{NotFound, labels_of, open};
use super::label::{self, Expected, LabelError};
use super::latest;
use super::open::probe_once;
use crate::bundle::Content;
use crate::catalog::change::{Change, Drop};
use crate::catalog::state::Bundle;
use crate::catalog::{Catalog, CatalogError};
use crate::git::{BStr, ObjectId, Objects, Reach, Selection};
use crate::id::{BundleId, GitId, Oid, RepoId};
use crate::pack::Blob;
use crate::store::key;

/// Files that one entry drops at most: together they are far below what an entry holds.
const MOST_FILES: usize = 200_000;
/// Files above which the versions that go are dropped in several entries.
const MANY_FILES: usize = 40_000;
/// Versions that one entry drops at most.
const MOST_VERSIONS: usize = 100_000;

/// What the user wants to keep; what fits any of it stays.
#[derive(Debug, Default)]
pub struct Keep {
    /// The newest so many.
    pub last: Option<usize>,
    /// What labels lead to that fit a pattern.
    pub labels: Option<String>,
    /// What labels lead to that are versions, as `v1.4`.
    pub semver: bool,
    /// What was made so much time before the newest version, or later, by the clock of the store.
    pub within: Option<Duration>,
}

/// What git says of the dataset.
pub enum Git<'a> {
    /// What is reached, and the objects of the clone; versions of commits that it does not know are kept unless `unknown`.
    Seen {
        /// What is reached.
        reach: &'a Reach,
        /// What is here.
        objects: &'a Objects,
        /// Whether versions of commits go that are not here.
        unknown: bool,
    },
    /// There is no clone to ask: versions of commits are kept.
    Unasked,
    /// The user says that nobody relies on it.
    Overruled,
}

/// What becomes of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// The version.
    pub bundle: BundleId,
    /// The commit that it was made for.
    pub commit: Option<GitId>,
    /// Why it stays; nothing if it goes.
    pub kept: Vec<String>,
}

/// What would be given up.
#[derive(Debug)]
pub struct Squash {
    /// The repo.
    pub repo: RepoId,
    /// The newest entry that was seen: what is promised later is not meant (R9).
    pub planned_on: u64,
    /// Every version of the repo, newest first.
    pub versions: Vec<Fate>,
    /// Labels that are taken away, and where they lead.
    pub labels: Vec<(String, BundleId)>,
    /// Files that go, each with the version that takes it along.
    pub files: BTreeMap<Oid, BundleId>,
    /// Files of the repo that no version has: they stay.
    pub unversioned: u64,
    /// Why all files stay, if they do.
    pub files_stay: Option<&'static str>,
}

/// A squash that cannot be planned or done.
#[derive(Debug, thiserror::Error)]
pub enum NotSquashed {
    /// The store cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A version cannot be read.
    #[error(transparent)]
    Version(#[from] NotFound),
    /// A label was moved meanwhile.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The dataset is everybody's.
    #[error(
        "the nameless repo of a store is everybody's: what others rely on in it nobody can tell, so nothing of it is given up"
    )]
    Nameless,
    /// The repo takes pushes.
    #[error("repo {repo} is not deleted: `git datamon repo delete {repo}` first")]
    NotDeleted {
        /// The repo.
        repo: RepoId,
    },
}

/// Plan a squash. Nothing is written.
pub fn plan(catalog: &Catalog, repo: RepoId, keep: &Keep, git: &Git<'_>) -> Result<Squash, NotSquashed> {
    if repo == RepoId::NIL {
        return Err(NotSquashed::Nameless);
    }
    let versions = Chooser::of(catalog, repo, keep, git)?.versions()?;
    let gone: BTreeSet<BundleId> =
        versions.iter().filter(|it| it.kept.is_empty()).map(|it| it.bundle).collect();
    let labels = catalog.state().labels().iter().filter_map(|((of, name), at)| {
        let to = at.bundle.filter(|to| *of == repo && gone.contains(to))?;
        Some((name.clone(), to))
    });
    let mut squash = Squash {
        repo,
        planned_on: catalog.head().seq(),
        labels: labels.collect(),
        versions,
        files: BTreeMap::new(),
        unversioned: 0,
        files_stay: None,
    };
    squash.find_files(catalog, &gone, git)?;
    Ok(squash)
}

/// Plan to give up everything of a deleted repo.
pub fn plan_deleted(catalog: &Catalog, repo: RepoId) -> Result<Squash, NotSquashed> {
    if !catalog.state().repos().get(&repo).is_some_and(|known| known.deleted) {
        return Err(NotSquashed::NotDeleted { repo });
    }
    let own = newest_first(catalog, repo).into_iter();
    let commit = |bundle: BundleId| catalog.state().bundles()[&bundle].commit;
    let versions: Vec<Fate> =
        own.map(|(_, bundle)| Fate { bundle, commit: commit(bundle), kept: vec![] }).collect();
    // All of them go after the last version, or after none.
    let last = versions.first().map_or(BundleId::from_bytes([0; 16]), |it| it.bundle);
    let mut files = BTreeMap::new();
    for rows in catalog.live_rows()? {
        files.extend(rows?.iter().filter(|row| row.repo == repo).map(|row| (row.oid, last)));
    }
    let planned_on = catalog.head().seq();
    Ok(Squash { repo, planned_on, versions, labels: vec![], files, unversioned: 0, files_stay: None })
}

fn newest_first(catalog: &Catalog, repo: RepoId) -> Vec<(u64, BundleId)> {
    let own = catalog.state().bundles().iter().filter(|(_, it)| it.repo == repo);
    let mut own: Vec<(u64, BundleId)> = own.map(|(id, it)| (it.seq, *id)).collect();
    own.sort_unstable_by(|a, b| b.cmp(a));
    own
}

/// When an entry was written, by the clock of the store.
fn date(catalog: &Catalog, seq: u64) -> Result<Option<u64>, CatalogError> {
    Ok(catalog.store().modified(&key::log(seq))?)
}

/// Says of each version why it is kept.
struct Chooser<'a> {
    catalog: &'a Catalog,
    repo: RepoId,
    keep: &'a Keep,
    git: &'a Git<'a>,
    /// When the newest version was made.
    newest: u64,
    latest: Option<BundleId>,
    patterns: Option<Selection>,
}

impl<'a> Chooser<'a> {
    fn of(
        catalog: &'a Catalog,
        repo: RepoId,
        keep: &'a Keep,
        git: &'a Git<'a>,
    ) -> Result<Chooser<'a>, NotSquashed> {
        let latest = latest::of(catalog, repo);
        let patterns = keep.labels.as_ref().map(|it| Selection::of_patterns([it.as_bytes()]));
        let newest =
            newest_first(catalog, repo).first().filter(|_| keep.within.is_some()).map(|(seq, _)| *seq);
        let newest = newest.map_or(Ok(None), |seq| date(catalog, seq))?.unwrap_or(0);
        Ok(Chooser { catalog, repo, keep, git, newest, latest, patterns })
    }

    fn versions(&self) -> Result<Vec<Fate>, NotSquashed> {
        let mut fates = Vec::new();
        for (at, (_, id)) in newest_first(self.catalog, self.repo).into_iter().enumerate() {
            let bundle = &self.catalog.state().bundles()[&id];
            let mut kept = Vec::new();
            if self.latest == Some(id) {
                kept.push("latest".to_owned());
            }
            if self.keep.last.is_some_and(|last| at < last) {
                kept.push("one of the last".to_owned());
            }
            let labels = labels_of(self.catalog, id).into_iter().filter(|name| self.keeps(name));
            kept.extend(labels.map(|name| format!("label {name}")));
            kept.extend(self.is_young(bundle)?.then(|| "young".to_owned()));
            kept.extend(self.by_git(bundle));
            fates.push(Fate { bundle: id, commit: bundle.commit, kept });
        }
        Ok(fates)
    }

    /// Where the user does not say which labels keep what they lead to, all do.
    fn keeps(&self, name: &str) -> bool {
        let Keep { semver, .. } = self.keep;
        let fits = self.patterns.as_ref().is_some_and(|it| it.holds(BStr::new(name)));
        (!semver && self.patterns.is_none()) || fits || (*semver && label::is_version(name))
    }

    fn is_young(&self, bundle: &Bundle) -> Result<bool, NotSquashed> {
        let Some(within) = self.keep.within else { return Ok(false) };
        // What has no date, or one after that of the newest, is young.
        let age = date(self.catalog, bundle.seq)?.and_then(|made| self.newest.checked_sub(made));
        Ok(age.is_none_or(|age| Duration::from_millis(age) <= within))
    }

    fn by_git(&self, bundle: &Bundle) -> Option<String> {
        let commit = bundle.commit?;
        match self.git {
            Git::Seen { reach, .. }
                if reach.holds(&commit) || bundle.tree.is_some_and(|tree| reach.holds(&tree)) =>
            {
                Some(format!("git reaches commit {commit}"))
            }
            Git::Seen { objects, unknown: false, .. } => {
                let id = ObjectId::try_from(commit.as_bytes()).ok();
                let known = id.and_then(|id| objects.known(id)).is_some();
                (!known).then(|| format!("commit {commit} is not in this clone"))
            }
            Git::Unasked => Some(format!("of git commit {commit}, and there is no clone here to ask")),
            Git::Seen { .. } | Git::Overruled => None,
        }
    }
}

impl Squash {
    /// The versions that go, oldest first.
    pub fn gone(&self) -> Vec<BundleId> {
        self.versions.iter().rev().filter(|it| it.kept.is_empty()).map(|it| it.bundle).collect()
    }

    /// Which files go along: rows of the repo whose file was in a version that goes, in none that stays, and that git does not reach.
    fn find_files(
        &mut self,
        catalog: &Catalog,
        gone: &BTreeSet<BundleId>,
        git: &Git<'_>,
    ) -> Result<(), NotSquashed> {
        let all = catalog.state().bundles();
        let mut stay = HashSet::new();
        let mut pages = HashSet::new();
        for id in all.keys().filter(|id| !gone.contains(id)) {
            each_file(catalog, *id, &mut pages, |oid| {
                stay.insert(oid);
            })?;
        }
        // Newest first, so that a file goes with the last version that has it. Pages that stay have no file that goes.
        let mut last: HashMap<Oid, BundleId> = HashMap::new();
        for id in self.gone().into_iter().rev() {
            each_file(catalog, id, &mut pages, |oid| {
                last.entry(oid).or_insert(id);
            })?;
        }
        for rows in catalog.live_rows()? {
            for row in rows?.iter().filter(|row| row.repo == self.repo && !stay.contains(&row.oid)) {
                match last.get(&row.oid) {
                    None => self.unversioned += 1,
                    Some(_) if matches!(git, Git::Seen { reach, .. } if reach.points_to(&row.oid)) => {}
                    Some(with) => drop(self.files.insert(row.oid, *with)),
                }
            }
        }
        if matches!(git, Git::Unasked) {
            let of_git = all.values().any(|it| it.repo == self.repo && it.commit.is_some());
            self.files_stay = match (of_git, self.unversioned) {
                (true, _) => Some("it has versions of git commits, and there is no clone here to ask"),
                (false, 0) => None,
                _ => Some("it has files that no version has, as pushes with git-lfs leave them"),
            };
        }
        if self.files_stay.is_some() {
            self.files.clear();
        }
        Ok(())
    }

    /// Do it: labels first, then versions with the files that only they have. What landed meanwhile is not meant, and a version that
    /// got a label meanwhile is refused with all that goes with it. Interrupted, it is planned anew.
    pub fn apply(&self, catalog: &mut Catalog) -> Result<(), NotSquashed> {
        probe_once(catalog)?;
        for (name, to) in &self.labels {
            match label::delete(catalog, self.repo, name, Expected::At(Some(*to))) {
                // By an earlier run that was killed before it knew.
                Ok(_) | Err(LabelError::Lost { at: None, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for (bundles, files) in self.parts() {
            let keys: Vec<(Oid, RepoId)> = files.into_iter().map(|oid| (oid, self.repo)).collect();
            let mut rest = keys.as_slice();
            let mut bundles = bundles;
            while !rest.is_empty() || !bundles.is_empty() {
                let (some, more) = rest.split_at(rest.len().min(MOST_FILES));
                let drop = Drop {
                    planned_on: self.planned_on,
                    keys: some.to_vec(),
                    bundles: std::mem::take(&mut bundles),
                };
                catalog.commit(&catalog.record(self.planned_on, Change::Drop(drop)))?;
                rest = more;
                // The tail carries every file until a checkpoint has them; what was dropped is dropped without.
                let _: Result<(), CatalogError> = catalog.upkeep();
            }
        }
        Ok(())
    }

    /// Versions, oldest first, in groups of a bearable number of files: each group with the files that no later one needs, so that
    /// what is left when it ends early is as good as before.
    fn parts(&self) -> Vec<(Vec<BundleId>, Vec<Oid>)> {
        let mut own: HashMap<BundleId, Vec<Oid>> = HashMap::new();
        self.files.iter().for_each(|(oid, with)| own.entry(*with).or_default().push(*oid));
        let mut parts: Vec<(Vec<BundleId>, Vec<Oid>)> = Vec::new();
        for id in self.gone() {
            let files = own.remove(&id).unwrap_or_default();
            match parts.last_mut() {
                Some((bundles, some))
                    if some.len() + files.len() <= MANY_FILES && bundles.len() < MOST_VERSIONS =>
                {
                    bundles.push(id);
                    some.extend(files);
                }
                _ => parts.push((vec![id], files)),
            }
        }
        // Files of a repo without any version.
        parts.extend(own.into_values().map(|files| (vec![], files)));
        parts
    }
}

/// Hands over every file of a version that lies in a page not seen yet.
fn each_file(
    catalog: &Catalog,
    id: BundleId,
    pages: &mut HashSet<Blob>,
    mut take: impl FnMut(Oid),
) -> Result<(), NotSquashed> {
    let bundle = open(catalog, id)?;
    let new: Vec<_> = bundle.root().pages.iter().filter(|page| pages.insert(page.blob)).collect();
    for some in new.chunks(64) {
        for entry in bundle.pages(some).map_err(CatalogError::from)?.into_iter().flatten() {
            if let Content::File { oid, .. } = entry.content {
                take(oid);
            }
        }
    }
    Ok(())
}

//! Making the bundle of a commit: plan, see that all of its data can be had, upload what the store lacks.
//!
//! Plain files of git are written out for reading, into a directory of their own below the git directory that goes away with the
//! plan.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::commit::{Dataset, NoBundle, Planning, bundle_of};
use super::draft::Draft;
use crate::bundle::Facts;
use crate::catalog::Catalog;
use crate::git::{GitFailed, ObjectId, Objects, Repo};
use crate::id::{BundleId, RepoId};
use crate::ops::upload::{Read, Upload, name_repo, upload_bundle};
use crate::progress::Progress;

/// Where plain files are written, below the git directory.
const SCRATCH: &str = "datamon/tmp";

/// A plan older than this was left behind by a process that died.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// A dataset of a git repository, and where its objects are.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The git repository.
    pub repo: &'a Repo,
    /// Its objects.
    pub objects: &'a Objects,
    /// The dataset in it.
    pub dataset: &'a Dataset,
    /// The repo of the store that the dataset is.
    pub id: RepoId,
    /// What the repo is called where the store does not know it yet.
    pub name: Option<&'a str>,
}

/// What is wanted of a bundle that is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Git checks the signature of the commit, and what it says is written down.
    pub verified: bool,
    /// `latest` leads to it from then on: the commit is the tip of the default branch.
    pub latest: bool,
}

/// A bundle that can be made: all of its data is here or in the store.
pub struct Prepared {
    /// The commit it is of.
    pub commit: ObjectId,
    planning: Planning,
    uploads: Vec<Upload>,
    is_latest: bool,
    _scratch: TempDir,
}

impl Prepared {
    /// Plans the bundle of `commit`.
    pub fn of(
        catalog: &Catalog,
        place: Place<'_>,
        commit: ObjectId,
        wanted: Wanted,
    ) -> Result<Prepared, NoBundle> {
        let facts = said_by(place.repo, commit, wanted.verified)?;
        let scratch = scratch(place.repo)?;
        let git = (place.repo, place.objects);
        let planning = Planning::of(catalog, git, place.id, place.dataset, commit, facts, scratch.path())?;
        let paths = planning.elsewhere(catalog, place.id)?;
        if !paths.is_empty() {
            return Err(NoBundle::DataElsewhere { commit, paths });
        }
        let (uploads, is_latest) = (planning.uploads(), wanted.latest);
        Ok(Prepared { commit, uploads, planning, is_latest, _scratch: scratch })
    }

    /// The files that differ from the bundle before it: what has to be uploaded with it.
    pub fn uploads(&self) -> &[Upload] {
        &self.uploads
    }

    /// The draft, once all of them were read.
    pub fn draft(&self, read: &Read) -> Draft {
        Draft { is_latest: self.is_latest, ..self.planning.draft(read) }
    }
}

/// What a commit says of its versions. `verified` has git check its signature.
pub fn said_by(repo: &Repo, commit: ObjectId, verified: bool) -> Result<Facts, GitFailed> {
    let said = repo.authorship(commit, verified)?;
    Ok(Facts {
        message: said.message,
        contributors: said.people,
        signature: said.signature,
        time: said.time.saturating_mul(1000),
        ..Facts::default()
    })
}

/// The bundle of `commit`, and whether it was made just now.
pub fn make(
    catalog: &mut Catalog,
    place: Place<'_>,
    commit: ObjectId,
    wanted: Wanted,
    progress: &dyn Progress,
) -> Result<(BundleId, bool), NoBundle> {
    if let Some(there) = bundle_of(catalog, place.objects, place.id, place.dataset, commit)? {
        return Ok((there, false));
    }
    if let Some(gone) = catalog.state().repos().get(&place.id).filter(|it| it.deleted) {
        return Err(NoBundle::Deleted { repo: place.id, name: gone.name.clone() });
    }
    let prepared = Prepared::of(catalog, place, commit, wanted)?;
    name_repo(catalog, place.id, place.name.unwrap_or("data"))?;
    progress.expect(prepared.uploads().iter().map(|file| file.size).fold(0, u64::saturating_add));
    let drafting = |read: &Read| prepared.draft(read);
    let uploaded = upload_bundle(catalog, place.id, prepared.uploads(), &drafting, progress)?;
    match (uploaded.bundle, uploaded.failed.into_iter().next()) {
        (Some(bundle), None) => Ok((bundle, true)),
        (_, first) => {
            let why = first.map_or_else(|| "the store took none".to_owned(), |it| it.error.to_string());
            Err(NoBundle::Upload { commit, why })
        }
    }
}

/// A directory for the plain files of one plan; those of plans that died long ago go.
pub(super) fn scratch(repo: &Repo) -> Result<TempDir, NoBundle> {
    let top = repo.common_dir().join(SCRATCH);
    let failed = |source| NoBundle::Scratch { path: top.display().to_string(), source };
    fs::create_dir_all(&top).map_err(failed)?;
    sweep(&top);
    tempfile::Builder::new().prefix("bundle-").tempdir_in(&top).map_err(failed)
}

/// What cannot be looked at or removed now is removed another time.
fn sweep(top: &Path) {
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|it| it.modified()).ok();
        let age = changed.and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

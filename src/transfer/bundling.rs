//! The bundle of a commit whose data is in the store or on this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use super::hydrate::Folder;
use super::session::{NoSession, Session};
use crate::bundle::Facts;
use crate::catalog::CatalogError;
use crate::catalog::change::{Change, Label};
use crate::git::ObjectId;
use crate::id::BundleId;
use crate::ops::bundle::{Dataset, NoBundle, Planning, bundle_of};
use crate::ops::upload::upload_bundle;
use crate::progress::Progress;

/// A bundle that was not made.
#[derive(Debug, thiserror::Error)]
pub enum BundlingError {
    /// The commit cannot have one.
    #[error(transparent)]
    NoBundle(#[from] NoBundle),
    /// The repository.
    #[error(transparent)]
    Session(#[from] NoSession),
    /// The store.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file was not taken in.
    #[error("the bundle is not complete: {0}")]
    Failed(String),
}

impl Session {
    /// The bundle of a commit; it is made where there is none yet.
    pub fn bundle(
        &mut self,
        dataset: &Dataset,
        commit: ObjectId,
        progress: &dyn Progress,
    ) -> Result<BundleId, BundlingError> {
        if let Some(made) = bundle_of(&self.catalog, &self.objects, self.repo_id, dataset, commit)? {
            return Ok(made);
        }
        let folder = Folder::make(&self.repo)?;
        let facts = self.facts(commit)?;
        let git = (&self.repo, &self.objects);
        let planning =
            Planning::of(&self.catalog, git, self.repo_id, dataset, commit, facts, folder.0.path())?;
        let paths = planning.elsewhere(&self.catalog, self.repo_id)?;
        if !paths.is_empty() {
            return Err(NoBundle::DataElsewhere { commit, paths }.into());
        }
        let draft = |read: &_| planning.draft(read);
        let uploaded = upload_bundle(&mut self.catalog, self.repo_id, &planning.uploads(), &draft, progress)?;
        let failed = || uploaded.failed.first().map_or("try again".to_owned(), |it| it.error.to_string());
        uploaded.bundle.ok_or_else(|| BundlingError::Failed(failed()))
    }

    fn facts(&self, commit: ObjectId) -> Result<Facts, NoSession> {
        let said = self.repo.git().run(["log", "-1", "--format=%an <%ae>%x00%B", &commit.to_string()])?;
        let said = String::from_utf8_lossy(&said);
        let (author, message) = said.split_once('\0').unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Facts {
            message: message.trim_end().to_owned(),
            contributors: vec![author.to_owned()],
            time: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            ..Facts::default()
        })
    }

    /// Leads a label to a bundle, wherever it led before; who moves it at the same time is refused.
    pub fn label(&mut self, name: &str, bundle: BundleId) -> Result<(), CatalogError> {
        let previous = self.catalog.state().label(self.repo_id, name).map(|at| at.seq);
        let label = Label { repo: self.repo_id, name: name.to_owned(), bundle: Some(bundle), previous };
        let record = self.catalog.record(self.catalog.head().seq(), Change::Label(label));
        self.catalog.commit(&record).map(drop)
    }
}

//! One transfer's view of the repository and the store, opened at the first request: the agent's `init` opens nothing.

use crate::catalog::{Catalog, CatalogError};
use crate::git::{
    Astray, ConfigError, GitFailed, Hooks, IndexError, Manifest, ManifestError, Objects, ObjectsError,
    Operation, Repo, RepoError, SettingError, Source,
};
use crate::id::{GitId, RepoId};
use crate::ops;
use crate::ops::kinship::{self, Stranger};
use crate::ops::readlog::Read;
use crate::ops::trust;
use crate::store::{BadUrl, LOCAL, StoreUrl};

/// Why nothing can be transferred at all.
#[derive(Debug, thiserror::Error)]
pub enum NoSession {
    /// No repository.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it says about the store.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Its `datamon.toml`.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its objects.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// Git would not do its part.
    #[error(transparent)]
    Git(#[from] GitFailed),
    /// The index of the work tree.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The URL of the store.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The store.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// No URL.
    #[error(
        "no datamon store is set for this repository: run `git datamon init --store URL`, or `git config lfs.url datamon::URL`"
    )]
    NoStore,
    /// The store is not, or no longer, the one of this repository.
    #[error("{astray}: nothing was uploaded. What to do: {}", .astray.remedy())]
    Astray {
        /// Why.
        astray: Astray,
    },
    /// No room for files on their way.
    #[error("cannot make the directory {path}: {source}; check its permissions and free space")]
    Folder {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Git would change the pointer of a file.
    #[error(
        "{path} has `filter=lfs` and `working-tree-encoding={encoding}`: git would recode its pointer, and nothing would find its data again; nothing was committed. Put `-working-tree-encoding` behind `filter=lfs` in .gitattributes"
    )]
    Recoded {
        /// The file.
        path: String,
        /// The encoding.
        encoding: String,
    },
    /// Nobody said that data may go there.
    #[error(
        "{url} is named only by the repository, and you have not trusted it: nothing was uploaded. If your data may go there, run `git datamon trust`, then push again"
    )]
    Untrusted {
        /// The store.
        url: String,
    },
    /// The dataset is somebody else's.
    #[error(transparent)]
    Stranger(#[from] Stranger),
    /// `local` is this machine's.
    #[error(
        "the repository keeps its data in `local`, the store of the user who made it, and there is none here: ask its author for a shared store (`git datamon init --store URL`), or copy that directory here. ({0})"
    )]
    NotLocal(CatalogError),
}

/// An open repository with its store.
pub struct Session {
    /// The repository.
    pub repo: Repo,
    /// Its commits, trees and blobs.
    pub objects: Objects,
    /// The dataset.
    pub repo_id: RepoId,
    /// Its name, for a store that does not know it yet.
    pub repo_name: Option<String>,
    /// The store.
    pub catalog: Catalog,
}

impl Session {
    /// Open what a transfer between a repository and `remote` needs.
    pub fn open(repo: Repo, remote: &str, operation: Operation) -> Result<Session, NoSession> {
        let named = repo.store_url(remote, operation)?.ok_or(NoSession::NoStore)?;
        if operation == Operation::Upload
            && let Some(astray) = repo.astray(&named)?
        {
            return Err(NoSession::Astray { astray });
        }
        let url = StoreUrl::parse(&named.url)?;
        let settings = repo.config().store_settings(&url)?;
        let opened = match operation {
            Operation::Upload => ops::open::open_to_write(&url, &settings),
            Operation::Download => ops::open::open_to_read(&url, &settings),
        };
        let catalog = match opened {
            // The store of the user's own machine is made when the user first needs it, and never for a stranger's data.
            Err(error) if url.as_str() == LOCAL && operation == Operation::Download => {
                return Err(NoSession::NotLocal(error));
            }
            Err(CatalogError::Store(crate::store::StoreError::Absent { .. })) if url.as_str() == LOCAL => {
                ops::open::create(&url, &settings)?
            }
            other => other?,
        };
        if operation == Operation::Upload && !trust::is_trusted(repo.config(), &catalog) {
            return Err(NoSession::Untrusted { url: url.to_string() });
        }
        pin(&repo, &named);
        match operation {
            Operation::Upload => Session::of(repo, catalog),
            Operation::Download => Session::to_read(repo, catalog),
        }
    }

    /// A session that only reads: it finds an object whatever repo it is of, also beside a `datamon.toml` that is not understood.
    pub fn to_read(repo: Repo, catalog: Catalog) -> Result<Session, NoSession> {
        let manifest = repo.manifest().unwrap_or(Manifest::NONE);
        Session::with(repo, manifest, catalog)
    }

    /// In a clone that was made by git alone, our pre-push hook takes the place of git-lfs's, so that its pushes make versions, if the
    /// user trusts the store (ADR 14). It is a convenience: what fails here is done by the next transfer, or by `init`.
    pub fn settle_in(&self) {
        // A bare repository is nobody's place of work.
        let is_clone = self.repo.work_tree().is_some() && self.repo.left_store().is_none();
        if is_clone && trust::is_trusted(self.repo.config(), &self.catalog) {
            let _ = Hooks::of(&self.repo).and_then(|hooks| hooks.take_over());
        }
    }

    /// The same session, if the repository may add to the dataset.
    pub fn of_kin(self) -> Result<Session, NoSession> {
        kinship::check(&self.repo, &self.objects, &self.catalog, self.repo_id)?;
        Ok(self)
    }

    /// What makes later commands fast. Everything asked for is done by now: what fails here is done by the next upload.
    pub fn keep_house(&mut self) {
        let _: Result<(), CatalogError> = self.catalog.upkeep();
        self.catalog.cache().trim();
    }

    /// Writes down what was read, of what git is at (`ops/readlog`).
    pub fn note(&self, read: Read) {
        let commit = self.objects.commit("HEAD").ok().and_then(|commit| GitId::from_slice(commit.as_bytes()));
        read.of_commit(&self.catalog, commit).note(&self.catalog, self.repo.git(), self.repo.config());
    }

    /// A session that writes for the user, as git knows them, with a store that they have just named.
    pub fn of(repo: Repo, mut catalog: Catalog) -> Result<Session, NoSession> {
        catalog.set_contributor(repo.git().author());
        let manifest = repo.manifest()?;
        Session::with(repo, manifest, catalog)
    }

    fn with(repo: Repo, manifest: Manifest, catalog: Catalog) -> Result<Session, NoSession> {
        let objects = repo.objects()?;
        Ok(Session { repo, objects, repo_id: manifest.repo, repo_name: manifest.name, catalog })
    }
}

/// On a commit without `.lfsconfig` git-lfs would fall back to the remote's URL, so first use pins the store, unless it was left.
/// It is a convenience: a configuration that cannot be written now is written next time.
fn pin(repo: &Repo, named: &crate::git::StoreUrl) {
    let first = matches!(named.from, Source::Lfsconfig(_)) && named.key == "lfs.url";
    if first && repo.left_store().is_none() {
        let _ = repo.pin(&named.url);
    }
}

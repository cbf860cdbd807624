//! What commands about dataset versions are asked of: a repo of a store that the user names, or one of the git repository they
//! stand in: the one they name, else the one in whose directory they stand, else the only one. With git, names may be
//! revisions; without, there are still ids, labels, commits and `latest`.

use clap::Args;

use crate::bundle::Bundle;
use crate::catalog::Catalog;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::{self, Datasets, Git, Objects, Repo, RepoError};
use crate::id::{BundleId, RepoId};
use crate::ops::bundle::{self, Name, NotFound};
use crate::ops::{kinship, upload};

/// Which dataset.
#[derive(Debug, Clone, Default, Args)]
pub struct DatasetArgs {
    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// A repo of the store, by name or id; by default the dataset of `datamon.toml` in whose directory you are, or the only
    /// repo of the store.
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
}

/// The git side of a dataset.
pub struct Checkout {
    /// The repository.
    pub repo: Repo,
    /// Its objects.
    pub objects: Objects,
    /// Where the dataset lies in it.
    pub dataset: bundle::Dataset,
}

/// An open store, and the repo in it that a command is about.
pub struct Dataset {
    /// The store.
    pub catalog: Catalog,
    /// The repo.
    pub repo: RepoId,
    /// The git repository, where the user stands in one and names no store.
    pub git: Option<Checkout>,
}

impl DatasetArgs {
    /// As if they were typed.
    pub fn of(store: Option<String>, repo: Option<String>) -> DatasetArgs {
        DatasetArgs { store, repo }
    }

    /// Opens the store to read, and finds the repo.
    pub fn open(&self, context: &Context) -> Result<Dataset, CommandError> {
        let mut catalog = stores::chosen(self.store.as_deref(), &context.dir)?;
        catalog.set_contributor(Git::at(&context.dir).author());
        self.find(catalog, context)
    }

    /// The same for a change: in a git repository the store has to be one that the user trusts, and the dataset its own.
    pub fn open_to_write(&self, context: &Context) -> Result<Dataset, CommandError> {
        let catalog = stores::chosen_to_write(self.store.as_deref(), &context.dir)?;
        let dataset = self.find(catalog, context)?;
        if let Some(Checkout { repo, objects, .. }) = &dataset.git {
            kinship::check(repo, objects, &dataset.catalog, dataset.repo)?;
        }
        Ok(dataset)
    }

    /// Opens the store alone.
    pub fn open_store(&self, context: &Context) -> Result<Catalog, CommandError> {
        stores::chosen(self.store.as_deref(), &context.dir)
    }

    /// Whether the user says anything at all.
    pub fn names_any(&self) -> bool {
        self.store.is_some() || self.repo.is_some()
    }

    /// Whether the user says which repo is meant.
    pub fn names_repo(&self) -> bool {
        self.repo.is_some()
    }

    fn find(&self, catalog: Catalog, context: &Context) -> Result<Dataset, CommandError> {
        if self.store.is_some() {
            let repo = self.repo_in(&catalog)?;
            return Ok(Dataset { catalog, repo, git: None });
        }
        let git = match Repo::discover(&context.dir) {
            Ok(git) => git,
            // The store is that of the context in use.
            Err(RepoError::NotFound { .. }) => {
                let repo = self.repo_in(&catalog)?;
                return Ok(Dataset { catalog, repo, git: None });
            }
            Err(error) => return Err(error.into()),
        };
        let Some(here) = self.part_of(&git, &catalog, context)? else {
            let repo = self.repo_in(&catalog)?;
            return Ok(Dataset { catalog, repo, git: None });
        };
        let (objects, repo) = (git.objects()?, here.repo);
        let dataset = bundle::Dataset::from(&here);
        Ok(Dataset { catalog, repo, git: Some(Checkout { repo: git, objects, dataset }) })
    }

    /// The dataset of the git repository that is meant; `None` if the user names a repo that lies elsewhere.
    pub fn part_of(
        &self,
        git: &Repo,
        catalog: &Catalog,
        context: &Context,
    ) -> Result<Option<git::Dataset>, CommandError> {
        let all = git.manifest()?.datasets();
        if let Some(name) = &self.repo {
            return Ok(named(&all, name, catalog).ok().cloned());
        }
        let within = git.work_tree().and_then(|top| top.canonicalize().ok());
        let within = within.and_then(|top| Some(context.dir.strip_prefix(top).ok()?.to_owned()));
        let within = within.unwrap_or_default().to_string_lossy().into_owned();
        let inside = all.iter().filter(|it| it.holds(&within)).max_by_key(|it| it.path.len());
        match (inside, all.as_slice()) {
            (Some(it), _) | (None, [it]) => Ok(Some(it.clone())),
            _ => {
                let message = format!("this repository has several datasets: {}", names(&all, catalog));
                Err(CommandError::new(Kind::Usage, message)
                    .hint("say which with --repo, or go to its directory"))
            }
        }
    }

    /// The same to upload to: a store that the user names is made, and so is the repo; one that only the git repository names
    /// must be trusted.
    pub fn open_to_upload(&self, context: &Context) -> Result<Dataset, CommandError> {
        let Some(typed) = &self.store else {
            let mut dataset = self.open_to_write(context)?;
            if let Some(git) = &dataset.git {
                let all = git.repo.manifest()?.datasets();
                let name = all.into_iter().find(|it| it.repo == dataset.repo).and_then(|it| it.name);
                upload::name_repo(&mut dataset.catalog, dataset.repo, name.as_deref().unwrap_or("data"))?;
            }
            return Ok(dataset);
        };
        let mut catalog = stores::prepare(&stores::spelled(typed, &context.dir)?, &context.dir)?;
        catalog.set_contributor(Git::at(&context.dir).author());
        let unknown = |name: &&String| {
            let known = catalog.state().repo_named(name).is_some();
            !known && name.parse::<RepoId>().is_err()
        };
        if let Some(name) = self.repo.as_ref().filter(unknown) {
            upload::name_repo(&mut catalog, RepoId::new(), name)?;
        }
        let repo = self.repo_in(&catalog)?;
        if repo == RepoId::NIL {
            let message = format!("{} has no repo yet", stores::shown(&catalog));
            return Err(CommandError::new(Kind::Usage, message).hint("name the one to make with --repo"));
        }
        Ok(Dataset { catalog, repo, git: None })
    }

    fn repo_in(&self, catalog: &Catalog) -> Result<RepoId, CommandError> {
        let state = catalog.state();
        let live = || state.repos().iter().filter(|(_, repo)| !repo.deleted);
        if let Some(name) = &self.repo {
            let by_id = || name.parse().ok().filter(|id| state.repos().contains_key(id));
            return state.repo_named(name).or_else(by_id).ok_or_else(|| {
                let message = format!("{} has no repo {name:?}", stores::shown(catalog));
                CommandError::new(Kind::NotFound, message)
                    .hint(format!("git datamon repo list --store {}", catalog.store().url()))
            });
        }
        match (live().next(), live().nth(1)) {
            (Some((only, _)), None) => Ok(*only),
            (None, _) => Ok(RepoId::NIL),
            _ => {
                let names: Vec<&str> = live().map(|(_, repo)| repo.name.as_str()).collect();
                let message = format!("{} has several repos: {}", stores::shown(catalog), names.join(", "));
                Err(CommandError::new(Kind::Usage, message).hint("say which with --repo"))
            }
        }
    }
}

/// The dataset of a git repository that is called so, or has this id. The store knows the name of today, the file perhaps one of
/// before.
pub fn named<'a>(
    all: &'a [git::Dataset],
    name: &str,
    catalog: &Catalog,
) -> Result<&'a git::Dataset, CommandError> {
    let before = |it: &&git::Dataset| it.name.as_deref() == Some(name) || it.repo.to_string() == name;
    let found = all.iter().find(|it| shown(it, catalog) == name).or_else(|| all.iter().find(before));
    found.ok_or_else(|| {
        let message = format!("this repository has no dataset {name:?} but {}", names(all, catalog));
        CommandError::new(Kind::NotFound, message)
    })
}

/// What people call a dataset of a git repository.
pub fn shown(it: &git::Dataset, catalog: &Catalog) -> String {
    let known = catalog.state().repos().get(&it.repo).map(|repo| repo.name.clone());
    known.or(it.name.clone()).unwrap_or_else(|| it.repo.to_string())
}

fn names(all: &[git::Dataset], catalog: &Catalog) -> String {
    all.iter().map(|it| shown(it, catalog)).collect::<Vec<_>>().join(", ")
}

impl Dataset {
    /// What people call the repo.
    pub fn name(&self) -> String {
        let known = self.catalog.state().repos().get(&self.repo);
        known.map_or_else(|| self.repo.to_string(), |repo| repo.name.clone())
    }

    /// What is meant where no version is named.
    pub fn version<'v>(&self, named: Option<&'v str>) -> &'v str {
        named.unwrap_or(if self.git.is_some() { "HEAD" } else { "latest" })
    }

    /// The bundle that a name means; what git knows is asked too.
    pub fn find(&self, name: &str) -> Result<BundleId, CommandError> {
        let mut git = Name::default();
        if let Some(Checkout { repo, objects, dataset }) = &self.git {
            // On another branch it may lie elsewhere.
            let datasets = Datasets::of(repo, objects)?;
            if name == "latest" {
                git.latest = bundle::latest(&self.catalog, objects, self.repo, &datasets)?;
            }
            if let Ok(commit) = objects.commit(name) {
                git.commit = Some(bundle::git_id(commit));
                let place = datasets.place(self.repo, commit);
                let path = place.map_or_else(|| dataset.path.clone(), |it| it.path.into());
                git.tree = objects.tree_at(commit, &path)?.map(bundle::git_id);
            }
        }
        Ok(bundle::find(&self.catalog, self.repo, name, git)?.id)
    }

    /// The bundle that a name means, opened.
    pub fn open(&self, name: &str) -> Result<Bundle<'_>, CommandError> {
        Ok(bundle::open(&self.catalog, self.find(name)?)?)
    }
}

impl From<NotFound> for CommandError {
    fn from(error: NotFound) -> CommandError {
        match error {
            NotFound::Catalog(error) => error.into(),
            NotFound::Objects(error) => error.into(),
            NotFound::Ambiguous { .. } => CommandError::new(Kind::Usage, error.to_string()),
            _ => CommandError::new(Kind::NotFound, error.to_string()),
        }
    }
}

impl From<bundle::NoBundle> for CommandError {
    fn from(error: bundle::NoBundle) -> CommandError {
        let kind = match error {
            bundle::NoBundle::Catalog(error) => return error.into(),
            bundle::NoBundle::Objects(error) => return error.into(),
            bundle::NoBundle::Base(error) => return error.into(),
            bundle::NoBundle::NoDataset { .. } | bundle::NoBundle::DataElsewhere { .. } => Kind::NotFound,
            bundle::NoBundle::Deleted { .. } | bundle::NoBundle::Stranger(_) => Kind::Conflict,
            bundle::NoBundle::Path(_)
            | bundle::NoBundle::Scratch { .. }
            | bundle::NoBundle::Git(_)
            | bundle::NoBundle::Upload { .. } => Kind::Failed,
        };
        CommandError::new(kind, error.to_string())
    }
}

//! What commands about dataset versions are asked of: a repo of a store that the user names, or one of the git repository they
//! stand in: the one they name, else the one in whose directory they stand, else the only one. With git, names may be
//! revisions; without, there are still ids, labels, commits and `latest`.

use clap::Args;

use crate::bundle::Bundle;
use crate::catalog::Catalog;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::{self, Datasets, Git, Objects, Repo, RepoError, quoted};
use crate::id::{BundleId, RepoId};
use crate::ops::bundle::{self, Name, NotFound};
use crate::ops::{kinship, upload};
use crate::transfer::Others;

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

/// The stores of a clone beside the first.
#[derive(Default)]
struct Beside {
    /// Those that were opened, in their order but for the one in use, in whose place the first stands.
    asked: Vec<Catalog>,
    /// Which of them is in use.
    turned: Option<usize>,
    others: Others,
}

/// An open store, and the repo in it that a command is about.
pub struct Dataset {
    /// The store.
    pub catalog: Catalog,
    /// The repo.
    pub repo: RepoId,
    /// The git repository, where the user stands in one and names no store.
    pub git: Option<Checkout>,
    beside: Beside,
}

impl DatasetArgs {
    /// As if they were typed.
    pub fn of(store: Option<String>, repo: Option<String>) -> DatasetArgs {
        DatasetArgs { store, repo }
    }

    /// Opens the store to read, and finds the repo. Where none is named and this one cannot be had or does not know the repo, it is
    /// the next of those of the clone that does.
    pub fn open(&self, context: &Context) -> Result<Dataset, CommandError> {
        let first = stores::chosen(self.store.as_deref(), &context.dir);
        let mut others = match self.store {
            Some(_) => Others::default(),
            None => stores::others(&context.dir),
        };
        let error = match first.and_then(|catalog| self.find(catalog, context)) {
            Ok(dataset) => return Ok(dataset.with(others)),
            Err(error) if !matches!(error.kind, Kind::NotFound | Kind::Unreachable) => return Err(error),
            Err(error) => error,
        };
        while let Some(catalog) = others.open_next() {
            let shown = stores::shown(&catalog);
            if let Ok(dataset) = self.find(catalog, context) {
                context.ui.warning(&format!("{}; {shown} is asked instead", error.message));
                return Ok(dataset.with(others));
            }
        }
        Err(others.passed().iter().fold(error, |error, why| error.hint(why)))
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
            return Ok(Dataset::of(catalog, repo, None));
        }
        let git = match Repo::discover(&context.dir) {
            Ok(git) => git,
            // The store is that of the context in use.
            Err(RepoError::NotFound { .. }) => {
                let repo = self.repo_in(&catalog)?;
                return Ok(Dataset::of(catalog, repo, None));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(here) = self.part_of(&git, &catalog, context)? else {
            let repo = self.repo_in(&catalog)?;
            return Ok(Dataset::of(catalog, repo, None));
        };
        let (objects, repo) = (git.objects()?, here.repo);
        let dataset = bundle::Dataset::from(&here);
        Ok(Dataset::of(catalog, repo, Some(Checkout { repo: git, objects, dataset })))
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

    /// The same to upload to: a repo that the user names is made, and with `create` so is the store; a store that only the git
    /// repository names must be trusted.
    pub fn open_to_upload(&self, create: bool, context: &Context) -> Result<Dataset, CommandError> {
        let Some(typed) = &self.store else {
            let mut dataset = self.open_to_write(context)?;
            if let Some(git) = &dataset.git {
                let all = git.repo.manifest()?.datasets();
                let name = all.into_iter().find(|it| it.repo == dataset.repo).and_then(|it| it.name);
                upload::name_repo(&mut dataset.catalog, dataset.repo, name.as_deref().unwrap_or("data"))?;
            }
            return Ok(dataset);
        };
        let mut catalog = stores::made_if(create, &stores::spelled(typed, &context.dir)?, &context.dir)?;
        catalog.set_contributor(Git::at(&context.dir).author());
        let unknown = |name: &&String| {
            let known = catalog.state().repos().values().any(|repo| repo.name == **name);
            !known && name.parse::<RepoId>().is_err()
        };
        if let Some(name) = self.repo.as_ref().filter(unknown) {
            upload::name_repo(&mut catalog, RepoId::new(), name)?;
            let name = quoted(name);
            context
                .ui
                .hint(&format!("{name} is a new repo; if another was meant: git datamon repo delete {name}"));
        }
        let repo = self.repo_in(&catalog)?;
        if repo == RepoId::NIL {
            let message = format!("{} has no repo yet", stores::shown(&catalog));
            return Err(CommandError::new(Kind::Usage, message).hint("name the one to make with --repo"));
        }
        Ok(Dataset::of(catalog, repo, None))
    }

    fn repo_in(&self, catalog: &Catalog) -> Result<RepoId, CommandError> {
        let state = catalog.state();
        let live = || state.repos().iter().filter(|(_, repo)| !repo.deleted);
        if let Some(name) = &self.repo {
            let by_id = || name.parse().ok().filter(|id| state.repos().contains_key(id));
            return state.repo_named(name).or_else(by_id).ok_or_else(|| unknown_repo(name, catalog));
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

/// That there is no such repo, or no more: then what leads on is for the user to say.
fn unknown_repo(name: &str, catalog: &Catalog) -> CommandError {
    let mut deleted = catalog.state().repos().iter().filter(|(_, repo)| repo.deleted && repo.name == name);
    let store = stores::shown(catalog);
    match deleted.next() {
        Some((id, _)) => {
            let message =
                format!("repo {name:?} of {store} was deleted; its data is there until it is dropped");
            CommandError::new(Kind::NotFound, message)
                .hint(format!("to bring it back: git datamon repo undelete {id}"))
                .hint(format!("to begin another one of that name: git datamon repo create {}", quoted(name)))
        }
        None => CommandError::new(Kind::NotFound, format!("{store} has no repo {name:?}"))
            .hint("what it has: git datamon repo list"),
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
    fn of(catalog: Catalog, repo: RepoId, git: Option<Checkout>) -> Dataset {
        Dataset { catalog, repo, git, beside: Beside::default() }
    }

    fn with(mut self, others: Others) -> Dataset {
        let first = self.catalog.store().url().to_string();
        self.beside.others = others.beside(&first);
        self
    }

    /// The first of the stores that has something: it is the one in use from now on, the first one if none has.
    pub fn seek<T>(
        &mut self,
        mut look: impl FnMut(&Dataset) -> Result<Option<T>, CommandError>,
    ) -> Result<Option<T>, CommandError> {
        for number in 0.. {
            if !self.turn_to(number) {
                break;
            }
            if let Some(found) = look(self)? {
                return Ok(Some(found));
            }
        }
        self.turn_to(0);
        Ok(None)
    }

    /// Puts one of the stores to use, in their order; `false` if there are no more.
    pub fn turn_to(&mut self, number: usize) -> bool {
        if let Some(at) = self.beside.turned.take() {
            std::mem::swap(&mut self.catalog, &mut self.beside.asked[at]);
        }
        let Some(at) = number.checked_sub(1) else { return true };
        while self.beside.asked.len() <= at {
            let Some(next) = self.beside.others.open_next() else { return false };
            self.beside.asked.push(next);
        }
        std::mem::swap(&mut self.catalog, &mut self.beside.asked[at]);
        self.beside.turned = Some(at);
        true
    }

    /// Where the store in use is not the first of this clone: which one it is, for people.
    pub fn elsewhere(&self) -> Option<String> {
        self.beside.turned.map(|_| self.catalog.store().url().to_string())
    }

    /// What people call the repo.
    pub fn name(&self) -> String {
        let known = self.catalog.state().repos().get(&self.repo);
        known.map_or_else(|| self.repo.to_string(), |repo| repo.name.clone())
    }

    /// What is meant where no version is named.
    pub fn version<'v>(&self, named: Option<&'v str>) -> &'v str {
        named.unwrap_or(if self.git.is_some() { "HEAD" } else { "latest" })
    }

    /// The bundle that a name means, in the first store that has it; what git knows is asked too.
    pub fn find(&mut self, name: &str) -> Result<BundleId, CommandError> {
        self.find_all(&[name]).map(|ids| ids[0])
    }

    /// The bundles that these names mean, in the first store that has all of them.
    pub fn find_all(&mut self, names: &[&str]) -> Result<Vec<BundleId>, CommandError> {
        let mut why = None;
        let found = self.seek(|dataset| {
            match names.iter().map(|name| dataset.find_here(name)).collect::<Result<Vec<_>, _>>() {
                // What the first store says of it is what counts.
                Err(error) if error.kind == Kind::NotFound => {
                    why.get_or_insert(error);
                    Ok(None)
                }
                other => other.map(Some),
            }
        })?;
        let none = || {
            let error = why.expect("a store was asked");
            let asked = self.beside.asked.iter().map(|it| match names {
                [_] => format!("{} does not have it either", it.store().url()),
                _ => format!(
                    "nor does {} have all of them; one store has to: git datamon promote",
                    it.store().url()
                ),
            });
            asked.chain(self.beside.others.passed().iter().cloned()).fold(error, CommandError::hint)
        };
        found.ok_or_else(none)
    }

    /// The same in the store in use.
    fn find_here(&self, name: &str) -> Result<BundleId, CommandError> {
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
    pub fn open(&mut self, name: &str) -> Result<Bundle<'_>, CommandError> {
        let id = self.find(name)?;
        Ok(bundle::open(&self.catalog, id)?)
    }
}

impl From<NotFound> for CommandError {
    fn from(error: NotFound) -> CommandError {
        CommandError::new(Kind::of_not_found(&error), error.to_string())
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

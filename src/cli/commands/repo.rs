//! `git datamon repo`: the datasets of a store.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::catalog::Catalog;
use crate::catalog::state::Repo;
use crate::cli::bar::count;
use crate::cli::commands::{init, squash};
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::ui::one_line;
use crate::cli::{Context, stores};
use crate::git::{self, MANIFEST_FILE, Manifest};
use crate::id::{BundleId, RepoId};
use crate::ops::repo::{self, RepoNotChanged};
use crate::ops::squash::plan_deleted;
use crate::ops::{kinship, label};

/// Make, list, rename and delete datasets
///
/// A repo is one dataset of a store, with a life cycle of its own. It is what its id says; its name can change.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon repo create stations --path data/stations     a directory of this git repository\n  \
    git datamon repo create weather --store /srv/data         without git\n  \
    git datamon repo list --all\n  \
    git datamon repo rename weather climate\n  \
    git datamon repo delete climate\n  \
    git datamon repo undelete climate\n  \
    git datamon repo drop climate              what would go for ever once it is deleted")]
pub struct RepoArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Rename(RenameArgs),
    Delete(DeleteArgs),
    Undelete(UndeleteArgs),
    Drop(DropArgs),
}

/// Make a dataset
#[derive(Debug, Args)]
struct CreateArgs {
    /// Its name.
    name: String,

    /// The directory of this git repository that it is; `datamon.toml` gets it.
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    path: Option<String>,

    /// Only what git-lfs tracks is in its versions.
    #[arg(long, requires = "path")]
    lfs_only: bool,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// List the datasets of the store
#[derive(Debug, Args)]
struct ListArgs {
    /// Those that were deleted, too.
    #[arg(long)]
    all: bool,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON array, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Show one dataset
#[derive(Debug, Args)]
struct ShowArgs {
    /// Its name or id; by default the one of the directory you are in.
    name: Option<String>,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Give a dataset another name; `datamon.toml` of this git repository gets it, too
#[derive(Debug, Args)]
struct RenameArgs {
    /// Its name or id.
    old: String,

    /// The new name.
    new: String,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Let a dataset take no more pushes; its data stays, and it can be undeleted until that is dropped
#[derive(Debug, Args)]
struct DeleteArgs {
    /// Its name or id.
    name: String,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Bring a deleted dataset back
#[derive(Debug, Args)]
struct UndeleteArgs {
    /// The name it had, or its id.
    name: String,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Give up all data of a deleted dataset; `gc run` then gives its space back
#[derive(Debug, Args)]
struct DropArgs {
    /// The name it had, or its id.
    name: String,

    /// Do it; without, only say what would go.
    #[arg(long)]
    apply: bool,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// What is said of a repo, with stable names.
#[derive(Debug, Serialize)]
struct Shown {
    repo: RepoId,
    name: String,
    deleted: bool,
    bundles: usize,
    labels: usize,
    /// The newest by the order of the log.
    newest: Option<BundleId>,
}

/// Does it.
pub fn run(args: &RepoArgs, context: &Context) -> Result<(), CommandError> {
    match &args.what {
        What::Create(args) => create(args, context),
        What::List(args) => list(args, context),
        What::Show(args) => show(args, context),
        What::Rename(args) => rename(args, context),
        What::Drop(args) => drop_data(args, context),
        What::Delete(args) => {
            let context = &context.aside(args.json);
            let mut catalog = stores::chosen_to_write(args.store.as_deref(), &context.dir)?;
            let repo = repo::live(&catalog, &args.name)?;
            repo::delete(&mut catalog, repo)?;
            context.ui.done(&format!("{} is deleted; its data stays until it is dropped", args.name));
            context.ui.hint(&format!("to bring it back: git datamon repo undelete {repo}"));
            tell(args.json, repo, &catalog, context);
            Ok(())
        }
        What::Undelete(args) => {
            let context = &context.aside(args.json);
            let mut catalog = stores::chosen_to_write(args.store.as_deref(), &context.dir)?;
            let repo = repo::deleted(&catalog, &args.name)?;
            repo::undelete(&mut catalog, repo)?;
            context.ui.done(&format!("{} is back", args.name));
            tell(args.json, repo, &catalog, context);
            Ok(())
        }
    }
}

fn drop_data(args: &DropArgs, context: &Context) -> Result<(), CommandError> {
    let store = args.store.as_deref();
    let mut catalog = match args.apply {
        true => stores::chosen_to_write(store, &context.dir)?,
        false => stores::chosen(store, &context.dir)?,
    };
    let repo = repo::deleted(&catalog, &args.name).map_err(|error| match error {
        RepoNotChanged::NotDeleted { .. } => {
            CommandError::from(error).hint(format!("first: git datamon repo delete {:?}", args.name))
        }
        other => other.into(),
    })?;
    let planned = plan_deleted(&catalog, repo)?;
    if args.apply {
        planned.apply(&mut catalog)?;
    }
    squash::report(&planned, args.apply, args.json, &catalog, context);
    Ok(())
}

/// What a repo is after a change, for a program.
fn tell(json: bool, repo: RepoId, catalog: &Catalog, context: &Context) {
    if json && let Some(shown) = Shown::all(catalog).into_iter().find(|it| it.repo == repo) {
        context.ui.json(&shown);
    }
}

fn create(args: &CreateArgs, context: &Context) -> Result<(), CommandError> {
    repo::check_name(&args.name)?;
    let context = &context.aside(args.json);
    let mut catalog = stores::chosen_to_write(args.store.as_deref(), &context.dir)?;
    let Some(path) = &args.path else {
        let id = RepoId::new();
        repo::create(&mut catalog, id, &args.name)?;
        context.ui.done(&format!("repo    {} ({id})", args.name));
        tell(args.json, id, &catalog, context);
        return Ok(());
    };
    let git = git::Repo::discover(&context.dir)?;
    let top = init::writable_top(&git)?;
    let part = part_at(&git, top, args, path, context)?;
    // The store is asked first: what it refuses must not stand in a file.
    if let Some(other) = catalog.state().repo_named(&args.name).filter(|other| *other != part.repo) {
        let taken = CommandError::from(RepoNotChanged::Taken { name: args.name.clone() });
        return Err(taken.hint(format!("it is {other}")));
    }
    let file = add_part(&git, top, &part)?;
    repo::create(&mut catalog, part.repo, &args.name)?;
    // It is this repository's from now on.
    kinship::check(&git, &git.objects()?, &catalog, part.repo)?;
    context.ui.done(&format!("repo    {} ({}) in {}", args.name, part.repo, part.path));
    init::stage(&git, top, &[file], init::KEEP, context)?;
    tell(args.json, part.repo, &catalog, context);
    Ok(())
}

fn rename(args: &RenameArgs, context: &Context) -> Result<(), CommandError> {
    let RenameArgs { old, new, store, json } = args;
    let context = &context.aside(*json);
    let mut catalog = stores::chosen_to_write(store.as_deref(), &context.dir)?;
    let id = repo::live(&catalog, old)?;
    repo::rename(&mut catalog, id, new)?;
    context.ui.done(&format!("{old} is {new} now"));
    tell(*json, id, &catalog, context);
    if store.is_some() {
        return Ok(());
    }
    // The name in the file is what people read where the store does not answer: nothing depends on it.
    if let Err(error) = rename_here(id, new, context) {
        context.ui.warning(&format!("{MANIFEST_FILE} keeps the old name: {}", error.message));
        context.ui.hint(&format!("to write it there: git datamon repo rename {id} {new:?}"));
    }
    Ok(())
}

/// Writes the new name where the user stands in a git repository whose dataset it is.
fn rename_here(id: RepoId, name: &str, context: &Context) -> Result<(), CommandError> {
    let git = match git::Repo::discover(&context.dir) {
        Err(git::RepoError::NotFound { .. }) => return Ok(()),
        other => other?,
    };
    let mut manifest = git.manifest()?;
    if !manifest.rename(id, name)? {
        return Ok(());
    }
    let top = init::writable_top(&git)?;
    let file = write_manifest(&git, top, &manifest)?;
    init::stage(&git, top, &[file], "Rename the dataset", context)?;
    Ok(())
}

/// The part of the manifest that is to be made; one that an interrupted run left is taken up again.
fn part_at(
    git: &git::Repo,
    top: &Path,
    args: &CreateArgs,
    path: &str,
    context: &Context,
) -> Result<git::Dataset, CommandError> {
    let path = below(top, &context.dir, path)?;
    let there =
        git.manifest()?.parts.into_iter().find(|it| it.path == path && it.name.as_ref() == Some(&args.name));
    let name = Some(args.name.clone());
    Ok(there.unwrap_or_else(|| git::Dataset { repo: RepoId::new(), name, path, lfs_only: args.lfs_only }))
}

/// A directory that the user names from where they stand, as git writes it: from the top, with `/`.
fn below(top: &Path, dir: &Path, typed: &str) -> Result<String, CommandError> {
    let outside = || {
        CommandError::new(Kind::Usage, format!("{typed} is no directory below {}", top.display()))
            .hint("name a directory of this repository, as in --path data/stations")
    };
    let top = top.canonicalize().map_err(|_| outside())?;
    // It need not be there yet; links on the way would lead elsewhere in a clone.
    let mut parts: Vec<String> = Vec::new();
    let from = dir.strip_prefix(&top).map_err(|_| outside())?;
    for part in from.join(typed).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str().ok_or_else(outside)?.to_owned()),
            Component::CurDir => {}
            Component::ParentDir if parts.pop().is_some() => {}
            _ => return Err(outside()),
        }
    }
    let path = parts.join("/");
    let found = top.join(&path).symlink_metadata();
    if path.is_empty() || found.is_ok_and(|found| !found.is_dir()) {
        return Err(outside());
    }
    Ok(path)
}

/// Writes the part into `datamon.toml`, which is returned.
fn add_part(git: &git::Repo, top: &Path, part: &git::Dataset) -> Result<PathBuf, CommandError> {
    let mut manifest = git.manifest()?;
    if manifest.parts.contains(part) {
        return Ok(top.join(MANIFEST_FILE));
    }
    manifest.add(part.clone())?;
    write_manifest(git, top, &manifest)
}

/// Writes `datamon.toml`, which is returned; what else stands in it stays.
fn write_manifest(git: &git::Repo, top: &Path, manifest: &Manifest) -> Result<PathBuf, CommandError> {
    let path = top.join(MANIFEST_FILE);
    let before = git.top_file(MANIFEST_FILE)?.map_or_else(Vec::new, |it| it.bytes);
    init::write(&path, manifest.write_into(&before)?.as_bytes()).map_err(|error| {
        CommandError::new(Kind::Failed, format!("cannot write {}: {error}", path.display()))
    })?;
    Ok(path)
}

fn list(args: &ListArgs, context: &Context) -> Result<(), CommandError> {
    let catalog = stores::chosen(args.store.as_deref(), &context.dir)?;
    let mut all = Shown::all(&catalog);
    all.retain(|it| args.all || !it.deleted);
    if args.json {
        context.ui.json(&all);
        return Ok(());
    }
    for Shown { repo, name, deleted, bundles, labels, .. } in all {
        let deleted = if deleted { "  (deleted)" } else { "" };
        context.ui.fact(&format!(
            "{repo}  {}  {}, {}{deleted}",
            one_line(&name),
            count(bundles, "bundle"),
            count(labels, "label")
        ));
    }
    Ok(())
}

fn show(args: &ShowArgs, context: &Context) -> Result<(), CommandError> {
    let dataset = DatasetArgs::of(args.store.clone(), args.name.clone()).open(context)?;
    let all = Shown::all(&dataset.catalog);
    let shown = all.into_iter().find(|it| it.repo == dataset.repo).ok_or_else(|| {
        let message = format!("{} does not know repo {} yet", stores::shown(&dataset.catalog), dataset.repo);
        CommandError::new(Kind::NotFound, message)
            .hint("the first push or label makes it known: git datamon push")
    })?;
    if args.json {
        context.ui.json(&shown);
        return Ok(());
    }
    let Shown { repo, name, bundles, labels, newest, deleted } = shown;
    context.ui.fact(&format!("repo     {}{}", one_line(&name), if deleted { " (deleted)" } else { "" }));
    context.ui.fact(&format!("id       {repo}"));
    context.ui.fact(&format!("bundles  {bundles}"));
    context.ui.fact(&format!("labels   {labels}"));
    newest.iter().for_each(|it| context.ui.fact(&format!("newest   {it}")));
    Ok(())
}

impl Shown {
    /// Every repo, by name.
    fn all(catalog: &Catalog) -> Vec<Shown> {
        let state = catalog.state();
        let mut newest: BTreeMap<RepoId, (usize, (u64, BundleId))> = BTreeMap::new();
        for (id, it) in state.bundles() {
            let (count, last) = newest.entry(it.repo).or_insert((0, (it.seq, *id)));
            (*count, *last) = (*count + 1, (*last).max((it.seq, *id)));
        }
        let shown = |(id, it): (&RepoId, &Repo)| {
            let found = newest.get(id);
            let labels = label::of_repo(catalog, *id).filter(|(_, at)| at.bundle.is_some()).count();
            let (name, bundles) = (it.name.clone(), found.map_or(0, |(count, _)| *count));
            let newest = found.map(|(_, (_, bundle))| *bundle);
            Shown { repo: *id, name, deleted: it.deleted, bundles, labels, newest }
        };
        let mut all: Vec<Shown> = state.repos().iter().map(shown).collect();
        all.sort_by(|a, b| (&a.name, a.repo).cmp(&(&b.name, b.repo)));
        all
    }
}

impl From<RepoNotChanged> for CommandError {
    fn from(error: RepoNotChanged) -> CommandError {
        CommandError::new(Kind::of_repo(&error), error.to_string())
    }
}

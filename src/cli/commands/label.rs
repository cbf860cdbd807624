//! `git datamon label`: movable names for dataset versions.

use std::collections::BTreeSet;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::catalog::state::LabelAt;
use crate::cli::dataset::{Checkout, Dataset, DatasetArgs};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::ui::one_line;
use crate::cli::{Context, bundles, when};
use crate::git::{Git, ObjectId, is_tag_name};
use crate::id::{BundleId, RepoId};
use crate::ops::label::{self, Expected, LabelError};

/// Name dataset versions, and move the names
///
/// A label leads to one version of one dataset. It is unique in its repo and can be moved; where it led before is kept, with who
/// moved it and when.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon label set reviewed                       the version of HEAD\n  \
    git datamon label set prod v1.4 --expect 019aa1b2    only if it still leads there\n  \
    git datamon label set v1.5 --tag                     and a git tag\n  \
    git datamon label list --sort semver\n  \
    git datamon label history prod\n  \
    git datamon show prod@1                              where it led before")]
pub struct LabelArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Set(SetArgs),
    List(ListArgs),
    Show(NameArgs),
    History(NameArgs),
    Delete(DeleteArgs),
}

/// Make a label lead to a version, wherever it led before
#[derive(Debug, Args)]
struct SetArgs {
    /// The label.
    name: String,

    /// The version, as for `show`; by default that of HEAD, or `latest` where there is no git.
    version: Option<String>,

    /// Only if it leads to this bundle now, or to `none`; else exit with 3.
    #[arg(long, value_name = "BUNDLE")]
    expect: Option<String>,

    /// Make a git tag of the same name, too.
    #[arg(long)]
    tag: bool,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// List labels
#[derive(Debug, Args)]
struct ListArgs {
    /// Only those that lead to this version.
    #[arg(long = "for", value_name = "VERSION")]
    version: Option<String>,

    /// By name, as versions (lowest first), or by when they were set (newest first).
    #[arg(long, value_name = "ORDER", default_value = "name")]
    sort: Order,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON array, with stable field names.
    #[arg(long)]
    json: bool,
}

/// One label: where it leads, who put it there and when; with `history` every move, newest first
#[derive(Debug, Args)]
struct NameArgs {
    /// The label.
    name: String,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// JSON, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Take a label away; its history stays
#[derive(Debug, Args)]
struct DeleteArgs {
    /// The label.
    name: String,

    /// Only if it leads to this bundle now; else exit with 3.
    #[arg(long, value_name = "BUNDLE")]
    expect: Option<String>,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    Name,
    Semver,
    Time,
}

/// Where a label leads, or led, with stable names.
#[derive(Debug, Serialize)]
struct Led {
    name: String,
    repo: RepoId,
    bundle: Option<BundleId>,
    commit: Option<String>,
    seq: u64,
    /// The store that says so.
    url: String,
    #[serde(skip)]
    elsewhere: bool,
}

/// The same with who put it there and when, which is read from the log.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    led: Led,
    contributor: Option<String>,
    time: String,
}

/// Does it.
pub fn run(args: &LabelArgs, context: &Context) -> Result<(), CommandError> {
    match &args.what {
        What::Set(args) => set(args, context),
        What::List(args) => list(args, context),
        What::Show(args) => show(args, context),
        What::History(args) => history(args, context),
        What::Delete(args) => delete(args, context),
    }
}

fn set(args: &SetArgs, context: &Context) -> Result<(), CommandError> {
    let mut dataset = args.dataset.open_to_write(context)?;
    let to = dataset.find(dataset.version(args.version.as_deref()))?;
    let expected = expected(&mut dataset, args.expect.as_deref())?;
    let tag = args.tag.then(|| Tag::of(&dataset, &args.name, to)).transpose()?;
    for other in label::alike(&dataset.catalog, dataset.repo, &args.name) {
        context
            .ui
            .warning(&format!("there is a label {other:?} too: people and file systems may confuse them"));
    }
    let repo = dataset.repo;
    let moved = label::set(&mut dataset.catalog, repo, &args.name, to, expected)?;
    if let Some(git) = &dataset.git {
        bundles::note_label(&dataset.catalog, &git.repo, repo, &args.name, context);
    }
    if let (Some(tag), Some(git)) = (tag, &dataset.git) {
        tag.make(git, &args.name, to)?;
    }
    if args.json {
        let at = LabelAt { bundle: Some(to), seq: moved.seq };
        context.ui.json(&Led::of(&dataset, &args.name, at));
        return Ok(());
    }
    let before = match moved.before {
        Some(before) if before == to => ", as before".to_owned(),
        Some(before) => format!(", before to {before}"),
        None => String::new(),
    };
    context.ui.done(&format!("{} leads to bundle {to}{before}", args.name));
    Ok(())
}

/// What `--expect` says.
fn expected(dataset: &mut Dataset, said: Option<&str>) -> Result<Expected, CommandError> {
    Ok(match said {
        None => Expected::Anything,
        Some("none") => Expected::At(None),
        // A bundle that was dropped meanwhile is no typing error: the label leads elsewhere then.
        Some(said) => Expected::At(Some(match said.parse() {
            Ok(id) => id,
            Err(_) => dataset.find(&format!("bundle:{said}"))?,
        })),
    })
}

/// A git tag to be made.
enum Tag {
    There,
    At(ObjectId),
}

impl Tag {
    /// Whether one can be made is looked at before anything is changed.
    fn of(dataset: &Dataset, name: &str, bundle: BundleId) -> Result<Tag, CommandError> {
        let no = |kind, message: String| {
            Err(CommandError::new(kind, format!("no git tag can be made: {message}")))
        };
        let Some(Checkout { repo, objects, .. }) = &dataset.git else {
            return no(
                Kind::Usage,
                "this is not the git repository of the dataset; leave out --tag".to_owned(),
            );
        };
        let known = dataset.catalog.state().bundles().get(&bundle).and_then(|it| it.commit);
        let Some(commit) = known else {
            return no(
                Kind::NotFound,
                format!("bundle {bundle} was made without a git commit; leave out --tag"),
            );
        };
        let here = ObjectId::try_from(commit.as_bytes()).ok().and_then(|id| objects.known(id));
        let Some(commit) = here else {
            return no(Kind::NotFound, format!("commit {commit} is not here; type `git fetch` first"));
        };
        if !is_tag_name(name) {
            return no(Kind::Usage, format!("git would not take {name:?} as its name; leave out --tag"));
        }
        if let Some(other) = in_the_way(repo.git(), name)? {
            return no(Kind::Conflict, format!("git cannot have it beside the tag {other}; leave out --tag"));
        }
        match objects.commit(&format!("refs/tags/{name}")) {
            Ok(there) if there == commit => Ok(Tag::There),
            Ok(there) => no(
                Kind::Conflict,
                format!("{name} is one of commit {there}; to replace it, type `git tag -d {name}` first"),
            ),
            Err(_) => Ok(Tag::At(commit)),
        }
    }

    fn make(self, git: &Checkout, name: &str, bundle: BundleId) -> Result<(), CommandError> {
        let Tag::At(commit) = self else { return Ok(()) };
        let message = format!("{name}\n\nBundle: {bundle}\n");
        let made = git.repo.git().run(["tag", "-a", "-m", &message, "--", name, &commit.to_string()]);
        made.map(drop).map_err(|error| {
            let message = format!("the label is set, the git tag was not made: {}", error.said());
            CommandError::new(Kind::Failed, message)
                .hint(format!("git tag -a -m 'Bundle: {bundle}' {name} {commit}"))
        })
    }
}

/// A tag that is a directory where `name` would be a file, or the other way round.
fn in_the_way(git: &Git, name: &str) -> Result<Option<String>, CommandError> {
    let top = format!("refs/tags/{}", name.split('/').next().unwrap_or(name));
    let listed = git.run(["for-each-ref", "--format=%(refname:lstrip=2)", &top])?;
    let below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    let listed = String::from_utf8_lossy(&listed).into_owned();
    Ok(listed.lines().find(|other| below(other, name) || below(name, other)).map(str::to_owned))
}

fn list(args: &ListArgs, context: &Context) -> Result<(), CommandError> {
    let mut dataset = args.dataset.open(context)?;
    let wanted = args.version.as_deref().map(|version| dataset.find(version)).transpose()?;
    let (mut all, mut names): (Vec<Led>, BTreeSet<String>) = Default::default();
    // Of labels with one name in several stores the first is meant, as everywhere.
    for number in 0.. {
        if !dataset.turn_to(number) {
            break;
        }
        let here = label::of_repo(&dataset.catalog, dataset.repo).filter(|(_, at)| at.bundle.is_some());
        let new = here.filter(|(name, _)| names.insert((*name).to_owned()));
        let meant = new.filter(|(_, at)| wanted.is_none() || at.bundle == wanted);
        all.extend(meant.map(|(name, at)| Led::of(&dataset, name, at)));
    }
    match args.sort {
        Order::Name => all.sort_by(|a, b| a.name.cmp(&b.name)),
        Order::Semver => all.sort_by(|a, b| label::by_version(&a.name, &b.name)),
        Order::Time => all.sort_by_key(|it| std::cmp::Reverse(it.seq)),
    }
    if args.json {
        context.ui.json(&all);
    } else {
        all.iter().for_each(|led| context.ui.fact(&led.line()));
    }
    Ok(())
}

fn show(args: &NameArgs, context: &Context) -> Result<(), CommandError> {
    let (dataset, moves) = moves(args, context)?;
    let newest = moves.into_iter().next().filter(|it| it.led.bundle.is_some());
    let newest = newest.ok_or_else(|| not_set(&dataset, &args.name))?;
    if args.json {
        context.ui.json(&newest);
    } else {
        let Told { led, contributor, time } = newest;
        context.ui.fact(&format!("label   {}", led.name));
        led.bundle.iter().for_each(|it| context.ui.fact(&format!("bundle  {it}")));
        led.commit.iter().for_each(|it| context.ui.fact(&format!("commit  {it}")));
        contributor.iter().for_each(|it| context.ui.fact(&format!("set by  {it}")));
        context.ui.fact(&format!("set at  {time}, entry {}", led.seq));
        led.elsewhere.then(|| context.ui.fact(&format!("store   {}", led.url)));
    }
    Ok(())
}

fn history(args: &NameArgs, context: &Context) -> Result<(), CommandError> {
    let (dataset, moves) = moves(args, context)?;
    if moves.is_empty() {
        return Err(not_set(&dataset, &args.name));
    }
    if args.json {
        context.ui.json(&moves);
        return Ok(());
    }
    for (back, Told { led, contributor, time }) in moves.iter().enumerate() {
        let bundle = led.bundle.map_or("taken away".to_owned(), |it| it.to_string());
        let who = contributor.as_deref().unwrap_or("unknown");
        context.ui.fact(&format!("{}@{back}  {bundle}  {time}  {}", one_line(&led.name), one_line(who)));
    }
    Ok(())
}

/// Every change of a label, newest first.
fn moves(args: &NameArgs, context: &Context) -> Result<(Dataset, Vec<Told>), CommandError> {
    let mut dataset = args.dataset.open(context)?;
    let moves = dataset.seek(|dataset| {
        let moves = dataset.catalog.label_history(dataset.repo, &args.name)?;
        Ok(Some(moves).filter(|moves| !moves.is_empty()))
    })?;
    let told = |it: crate::catalog::Moved| Told {
        led: Led::of(&dataset, &args.name, LabelAt { bundle: it.bundle, seq: it.seq }),
        contributor: it.contributor,
        time: when::utc(it.time),
    };
    let moves = moves.unwrap_or_default().into_iter().map(told).collect();
    Ok((dataset, moves))
}

fn not_set(dataset: &Dataset, name: &str) -> CommandError {
    let elsewhere = dataset
        .catalog
        .state()
        .labels()
        .iter()
        .find(|((repo, other), at)| *repo != dataset.repo && other == name && at.bundle.is_some());
    let error = CommandError::from(LabelError::NotSet { name: name.to_owned() });
    match elsewhere.and_then(|((repo, _), _)| dataset.catalog.state().repos().get(repo)) {
        Some(repo) => error.hint(format!("repo {} has one; say so with --repo", repo.name)),
        None => error,
    }
}

fn delete(args: &DeleteArgs, context: &Context) -> Result<(), CommandError> {
    let mut dataset = args.dataset.open_to_write(context)?;
    let expected = expected(&mut dataset, args.expect.as_deref())?;
    let repo = dataset.repo;
    let moved =
        label::delete(&mut dataset.catalog, repo, &args.name, expected).map_err(|error| match error {
            LabelError::NotSet { name } => not_set(&dataset, &name),
            other => other.into(),
        })?;
    if args.json {
        let at = LabelAt { bundle: None, seq: moved.seq };
        context.ui.json(&Led::of(&dataset, &args.name, at));
        return Ok(());
    }
    let before = moved.before.map_or("nowhere".to_owned(), |it| format!("to bundle {it}"));
    context.ui.done(&format!("{} is taken away; it led {before}", args.name));
    Ok(())
}

impl Led {
    fn of(dataset: &Dataset, name: &str, at: LabelAt) -> Led {
        let bundle = at.bundle.and_then(|id| dataset.catalog.state().bundles().get(&id));
        let commit = bundle.and_then(|it| it.commit).map(|it| it.to_string());
        let (url, elsewhere) = (dataset.catalog.store().url().to_string(), dataset.elsewhere().is_some());
        Led {
            name: name.to_owned(),
            repo: dataset.repo,
            bundle: at.bundle,
            commit,
            seq: at.seq,
            url,
            elsewhere,
        }
    }

    fn line(&self) -> String {
        let bundle = self.bundle.map(|it| it.to_string()).unwrap_or_default();
        let commit =
            self.commit.as_deref().map_or(String::new(), |it| format!("  {}", &it[..it.len().min(12)]));
        let store = if self.elsewhere { format!("  in {}", self.url) } else { String::new() };
        format!("{bundle}{commit}  {}{store}", one_line(&self.name))
    }
}

impl From<LabelError> for CommandError {
    fn from(error: LabelError) -> CommandError {
        CommandError::new(Kind::of_label(&error), error.to_string())
    }
}

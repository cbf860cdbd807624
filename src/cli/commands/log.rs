//! `git datamon log`: the versions of a dataset, and who did what.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;

use crate::cli::account::{Account, is_deed, repo_name, repos_of};
use crate::cli::bar::{bytes, count};
use crate::cli::dataset::{Checkout, Dataset, DatasetArgs};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::ui::one_line;
use crate::cli::{Context, when};
use crate::git::{Datasets, Listed, ObjectId, ObjectsError};
use crate::id::BundleId;
use crate::ops::{bundle, label};

/// List the versions of a dataset, newest first
///
/// In a git repository along the history of HEAD, also commits that have no bundle, as none was made or it was dropped; else in the order of the store's log.
/// With --changes: who did what, from the log of the store.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon log --oneline -n 20\n  \
    git datamon log v1.4 --json\n  \
    git datamon log --store /srv/data --repo weather\n  \
    git datamon log --changes --store /srv/data         pushes, labels, repos and drops, with who and when")]
pub struct LogArgs {
    /// Where to begin: a version as for `show`, and what it came from.
    #[arg(conflicts_with = "changes")]
    version: Option<String>,

    /// At most so many.
    #[arg(short = 'n', value_name = "N")]
    count: Option<usize>,

    /// One line each.
    #[arg(long, conflicts_with = "json")]
    oneline: bool,

    /// Everything that people did in the store, or in the repo that --repo names: data pushed, labels moved, repos renamed,
    /// data dropped.
    #[arg(long)]
    changes: bool,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object a line, with stable field names.
    #[arg(long)]
    json: bool,
}

/// A version, or a commit that has none, with stable names.
#[derive(Debug, Default, Serialize)]
struct Line {
    bundle: Option<BundleId>,
    commit: Option<String>,
    labels: Vec<String>,
    parents: Vec<BundleId>,
    contributors: Vec<String>,
    time: String,
    message: String,
    entries: Option<u64>,
    bytes: Option<u64>,
    seq: Option<u64>,
}

/// The labels of each bundle.
type Labels = BTreeMap<BundleId, Vec<String>>;

/// Lists.
pub fn run(args: &LogArgs, context: &Context) -> Result<(), CommandError> {
    if args.changes {
        return changes(args, context);
    }
    let mut dataset = args.dataset.open(context)?;
    let mut labels = Labels::new();
    for (name, at) in label::of_repo(&dataset.catalog, dataset.repo) {
        if let Some(bundle) = at.bundle {
            labels.entry(bundle).or_default().push(name.to_owned());
        }
    }
    if let Some(tip) = tip(&mut dataset, args.version.as_deref())? {
        return commits(args, &mut dataset, tip, &labels, context);
    }
    match &args.version {
        Some(version) => {
            let from = dataset.find(version)?;
            ancestors(args, &dataset, from, &labels, context)
        }
        None => bundles(args, &dataset, &labels, context),
    }
}

/// The commit that the history of git begins with, where there is one.
fn tip(dataset: &mut Dataset, version: Option<&str>) -> Result<Option<ObjectId>, CommandError> {
    let Some(git) = &dataset.git else { return Ok(None) };
    let Some(version) = version else {
        let none = || CommandError::new(Kind::NotFound, "there is no commit yet: type `git commit` first");
        return git.objects.head()?.ok_or_else(none).map(Some);
    };
    if let Ok(commit) = git.objects.commit(version) {
        return Ok(Some(commit));
    }
    let id = dataset.find(version)?;
    let found = dataset.catalog.state().bundles().get(&id).and_then(|it| it.commit);
    let Some(Checkout { objects, .. }) = &dataset.git else { return Ok(None) };
    Ok(found.and_then(|commit| objects.known(ObjectId::try_from(commit.as_bytes()).ok()?)))
}

/// The history of git: what each commit says of itself, and the version it has where the dataset lay then.
fn commits(
    args: &LogArgs,
    dataset: &mut Dataset,
    tip: ObjectId,
    labels: &Labels,
    context: &Context,
) -> Result<(), CommandError> {
    let Some(Checkout { repo, dataset: here, .. }) = &dataset.git else { return Ok(()) };
    // The dataset goes from store to store meanwhile.
    let (repo, here) = (repo.clone(), here.clone());
    let objects = &repo.objects()?;
    let datasets = Datasets::of(&repo, objects)?;
    let id = dataset.repo;
    let place =
        |commit| datasets.place(id, commit).map_or_else(|| here.clone(), |it| bundle::Dataset::from(&it));
    let paths = datasets.paths(id, tip)?;
    // Below one path git knows what touches it; of several, most of the time only one is the dataset.
    let moved = paths.len() > 1;
    let specs = if paths.iter().any(Vec::is_empty) { &[] } else { &paths[..] };
    let tree = |commit| objects.tree_at(commit, &place(commit).path);
    let is_new = |commit| {
        let (own, parents) = (tree(commit)?, objects.parents(commit)?);
        let mut before = parents.into_iter().map(tree).collect::<Result<Vec<_>, ObjectsError>>()?;
        before.extend(before.is_empty().then_some(None));
        Ok::<bool, CommandError>(!before.contains(&own))
    };
    let mut left = args.count.unwrap_or(usize::MAX);
    for Listed { commit, said } in repo.history(tip, specs, args.count.filter(|_| !moved))? {
        if moved && !is_new(commit)? {
            continue;
        }
        if left == 0 {
            break;
        }
        left -= 1;
        let made = dataset.seek(|dataset| {
            Ok(bundle::bundle_of(&dataset.catalog, objects, dataset.repo, &place(commit), commit)?)
        })?;
        let version = made.map(|id| Line::of(dataset, id, labels)).transpose()?.unwrap_or_default();
        // A commit that was rewritten has the version of another, and words of its own.
        let line = Line {
            commit: Some(commit.to_string()),
            contributors: said.people,
            time: when::utc(said.time.saturating_mul(1000)),
            message: said.message,
            ..version
        };
        if !line.print(args, context) {
            break;
        }
    }
    Ok(())
}

/// Every bundle of the repo, by its place in the log.
fn bundles(
    args: &LogArgs,
    dataset: &Dataset,
    labels: &Labels,
    context: &Context,
) -> Result<(), CommandError> {
    let own = dataset.catalog.state().bundles().iter().filter(|(_, it)| it.repo == dataset.repo);
    let mut own: Vec<(u64, BundleId)> = own.map(|(id, it)| (it.seq, *id)).collect();
    own.sort_unstable_by(|a, b| b.cmp(a));
    for (_, id) in own.into_iter().take(args.count.unwrap_or(usize::MAX)) {
        if !Line::of(dataset, id, labels)?.print(args, context) {
            break;
        }
    }
    Ok(())
}

/// A bundle and what it came from, by their places in the log.
fn ancestors(
    args: &LogArgs,
    dataset: &Dataset,
    from: BundleId,
    labels: &Labels,
    context: &Context,
) -> Result<(), CommandError> {
    let state = dataset.catalog.state();
    // What was dropped has no place any more.
    let place = |id: BundleId| Some((state.bundles().get(&id)?.seq, id));
    let mut next: BTreeSet<(u64, BundleId)> = place(from).into_iter().collect();
    let mut left = args.count.unwrap_or(usize::MAX);
    while let Some((seq, id)) = next.pop_last() {
        if left == 0 {
            break;
        }
        left -= 1;
        let line = Line::of(dataset, id, labels)?;
        // Parents are older: who says otherwise could lead around in a circle.
        next.extend(line.parents.iter().filter_map(|it| place(*it)).filter(|(older, _)| *older < seq));
        if !line.print(args, context) {
            break;
        }
    }
    Ok(())
}

/// Newest first, read one by one.
fn changes(args: &LogArgs, context: &Context) -> Result<(), CommandError> {
    let (catalog, only) = if args.dataset.names_repo() {
        let Dataset { catalog, repo, .. } = args.dataset.open(context)?;
        (catalog, Some(repo))
    } else {
        (args.dataset.open_store(context)?, None)
    };
    let name = |id| repo_name(catalog.state().repos().get(&id), id);
    let mut left = args.count.unwrap_or(usize::MAX);
    for seq in (0..catalog.state().next()).rev() {
        if left == 0 {
            break;
        }
        let record = catalog.change(seq)?;
        let about = repos_of(&record.change);
        let meant = only.is_none_or(|repo| about.is_none_or(|about| about.contains(&repo)));
        if !is_deed(&record.change) || !meant {
            continue;
        }
        left -= 1;
        let account = Account::of(seq, &record, &name);
        if !context.ui.heard(&if args.json { account.json() } else { account.line() }) {
            break;
        }
    }
    Ok(())
}

impl Line {
    fn of(dataset: &Dataset, id: BundleId, labels: &Labels) -> Result<Line, CommandError> {
        let opened = bundle::open(&dataset.catalog, id)?;
        let (root, facts) = (opened.root(), opened.root().facts.clone());
        Ok(Line {
            bundle: Some(id),
            commit: facts.commit.map(|it| it.to_string()),
            labels: match dataset.elsewhere() {
                None => labels.get(&id).cloned().unwrap_or_default(),
                Some(_) => bundle::labels_of(&dataset.catalog, id),
            },
            parents: facts.parents,
            contributors: facts.contributors,
            time: when::utc(facts.time),
            message: facts.message,
            entries: Some(root.rows()),
            bytes: Some(root.bytes()),
            seq: dataset.catalog.state().bundles().get(&id).map(|it| it.seq),
        })
    }

    /// Whether anybody reads it.
    fn print(&self, args: &LogArgs, context: &Context) -> bool {
        if args.json {
            return context.ui.heard(&serde_json::to_string(self).expect("plain values always encode"));
        }
        let labels: Vec<String> = self.labels.iter().map(|it| one_line(it)).collect();
        let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
        let named = self.bundle.map_or("no bundle".to_owned(), |it| it.to_string());
        if args.oneline {
            let commit =
                self.commit.as_deref().map_or(String::new(), |it| format!(" {}", &it[..it.len().min(12)]));
            let subject = one_line(self.message.lines().next().unwrap_or_default());
            return context.ui.heard(&format!("{named:<36}{commit}{labels} {subject}"));
        }
        let mut lines = match self.bundle {
            Some(id) => vec![format!("bundle {id}{labels}")],
            // None was made yet, or it was dropped.
            None => vec!["no bundle".to_owned()],
        };
        lines.extend(self.commit.iter().map(|it| format!("Commit:  {it}")));
        lines.extend(self.contributors.iter().map(|it| format!("Author:  {}", one_line(it))));
        lines.push(format!("Date:    {}", self.time));
        if let (Some(entries), Some(size)) = (self.entries, self.bytes) {
            lines.push(format!("Data:    {}, {}", count(entries, "file"), bytes(size)));
        }
        lines.push(String::new());
        lines.extend(self.message.lines().map(|line| format!("    {line}")));
        lines.push(String::new());
        lines.iter().all(|line| context.ui.heard(line))
    }
}

//! `git datamon show`: what a dataset version is.

use clap::Args;
use serde::Serialize;

use crate::cli::bar::bytes;
use crate::cli::dataset::{Dataset, DatasetArgs};
use crate::cli::errors::CommandError;
use crate::cli::paths::shown;
use crate::cli::{Context, when};
use crate::id::{BundleId, RepoId};
use crate::ops::bundle::labels_of;

/// Show what a dataset version is: who made it, of what, and what leads to it
///
/// A version is named by its bundle id, a label, `label@2` (where the label led two changes ago), `latest`, a commit or a tree of
/// git; in a git repository by any revision. `bundle:`, `label:`, `commit:` and `tree:` before it say which.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon show                                   the version of HEAD\n  \
    git datamon show reviewed --json                   the version that a label leads to\n  \
    git datamon show latest --store /srv/data --repo weather")]
pub struct ShowArgs {
    /// The version; by default that of HEAD, or `latest` where there is no git.
    version: Option<String>,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// What is said of a bundle, with stable names.
#[derive(Debug, Serialize)]
pub struct Shown {
    bundle: BundleId,
    repo: RepoId,
    repo_name: String,
    labels: Vec<String>,
    commit: Option<String>,
    tree: Option<String>,
    path: String,
    parents: Vec<BundleId>,
    contributors: Vec<String>,
    signature: Option<String>,
    include: String,
    /// Paths that were taken out.
    redacted: Vec<String>,
    /// How often some were.
    revision: u32,
    message: String,
    time: String,
    entries: u64,
    bytes: u64,
    seq: u64,
    /// The store that has it.
    url: String,
    #[serde(skip)]
    elsewhere: bool,
}

impl Shown {
    /// All of one bundle.
    pub fn of(dataset: &Dataset, id: BundleId) -> Result<Shown, CommandError> {
        let bundle = crate::ops::bundle::open(&dataset.catalog, id)?;
        let (root, facts) = (bundle.root(), &bundle.root().facts);
        Ok(Shown {
            bundle: id,
            repo: root.repo,
            repo_name: dataset.name(),
            labels: labels_of(&dataset.catalog, id),
            commit: facts.commit.map(|it| it.to_string()),
            tree: facts.tree.map(|it| it.to_string()),
            path: String::from_utf8_lossy(&facts.path).into_owned(),
            parents: facts.parents.clone(),
            contributors: facts.contributors.clone(),
            signature: facts.signature.clone(),
            include: facts.include.clone().unwrap_or_else(|| "all".to_owned()),
            redacted: facts.redacted.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect(),
            revision: facts.revision,
            message: facts.message.clone(),
            time: when::utc(facts.time),
            entries: root.rows(),
            bytes: root.bytes(),
            seq: dataset.catalog.state().bundles().get(&id).map_or(0, |it| it.seq),
            url: dataset.catalog.store().url().to_string(),
            elsewhere: dataset.elsewhere().is_some(),
        })
    }

    /// As people read it, like `git log`.
    pub fn lines(&self) -> Vec<String> {
        let labels =
            if self.labels.is_empty() { String::new() } else { format!(" ({})", self.labels.join(", ")) };
        let mut lines = vec![format!("bundle {}{labels}", self.bundle)];
        lines.extend(self.commit.iter().map(|it| format!("Commit:  {it}")));
        lines.extend(self.parents.iter().map(|it| format!("Parent:  {it}")));
        lines.extend(self.contributors.iter().map(|it| format!("Author:  {it}")));
        lines.extend(self.signature.iter().map(|it| format!("Signed:  {it}")));
        lines.push(format!("Date:    {}", self.time));
        lines.push(format!("Data:    {} files, {}", self.entries, bytes(self.bytes)));
        let without =
            self.redacted.iter().map(|path| format!("Without: {} (redacted)", shown(path.as_bytes())));
        lines.extend(without);
        lines.extend(self.elsewhere.then(|| format!("Store:   {}", self.url)));
        lines.push(String::new());
        lines.extend(self.message.lines().map(|line| format!("    {line}")));
        lines
    }
}

/// Finds and shows.
pub fn run(args: &ShowArgs, context: &Context) -> Result<(), CommandError> {
    let mut dataset = args.dataset.open(context)?;
    let id = dataset.find(dataset.version(args.version.as_deref()))?;
    let shown = Shown::of(&dataset, id)?;
    if args.json {
        context.ui.fact(&serde_json::to_string_pretty(&shown).expect("plain values always encode"));
    } else {
        shown.lines().iter().for_each(|line| context.ui.fact(line));
    }
    Ok(())
}

//! `git datamon notes`: what is written down of dataset versions at commits, and its way to other clones.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::dataset::{Checkout, Dataset, DatasetArgs};
use crate::cli::errors::{CommandError, Kind};
use crate::git::{Datasets, NOTES_REF, ObjectId, Repo, note_lines};
use crate::ops::lineage::{Record, Repair, repair};

/// Exchange, repair and show the notes of dataset versions
///
/// Notes are lines in `refs/notes/datamon` that say which version was made of a commit, and how labels moved. They travel with
/// pushes; the store knows all that they say.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon notes sync                 with the remote that `git push` takes\n  \
    git datamon notes repair               write them anew from the store\n  \
    git datamon notes show main~2 --json")]
pub struct NotesArgs {
    #[command(subcommand)]
    what: What,
}

/// What is done with them.
#[derive(Debug, Subcommand)]
enum What {
    /// Fetch the notes of a remote, merge both sides, push
    Sync {
        /// The remote; by default the one that `git push` takes.
        remote: Option<String>,
        /// One JSON object, with stable field names.
        #[arg(long)]
        json: bool,
    },
    /// Write the notes of the commits of this clone anew from the store, of all datasets or of the one that --repo names
    Repair {
        #[command(flatten)]
        dataset: DatasetArgs,
        /// Say what would change, change nothing.
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// One JSON object, with stable field names.
        #[arg(long)]
        json: bool,
    },
    /// Show what is written down at a commit, and what of it holds no more
    Show {
        /// The commit; by default HEAD.
        revision: Option<String>,
        /// One JSON object, with stable field names.
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
pub fn run(args: &NotesArgs, context: &Context) -> Result<(), CommandError> {
    match &args.what {
        What::Sync { remote, json } => sync(remote.as_deref(), *json, context),
        What::Repair { dataset, dry_run, json } => mend(dataset, *dry_run, *json, context),
        What::Show { revision, json } => show(revision.as_deref().unwrap_or("HEAD"), *json, context),
    }
}

fn sync(remote: Option<&str>, as_json: bool, context: &Context) -> Result<(), CommandError> {
    let repo = Repo::discover(&context.dir)?;
    let remote = remote.map_or_else(|| repo.push_remote(), str::to_owned);
    let synced = repo.sync_notes(&remote)?;
    if as_json {
        context.ui.json(&json!({ "remote": remote, "fetched": synced.pulled, "pushed": synced.pushed }));
        return Ok(());
    }
    let said = match (synced.pulled, synced.pushed) {
        (true, true) => "fetched, merged and pushed",
        (true, false) => "fetched",
        (false, true) => "pushed",
        (false, false) => "up to date",
    };
    context.ui.done(&format!("notes with {remote}: {said}"));
    Ok(())
}

fn mend(args: &DatasetArgs, dry_run: bool, as_json: bool, context: &Context) -> Result<(), CommandError> {
    let (catalog, git, only) = if args.names_any() {
        let Dataset { catalog, repo, git, .. } = args.open(context)?;
        let Some(Checkout { repo: git, .. }) = git else {
            return Err(CommandError::new(
                Kind::Usage,
                "notes lie in a git repository, and this is about none",
            )
            .hint("run it in a clone of the repository, without --store"));
        };
        (catalog, git, Some(repo))
    } else {
        let git = Repo::discover(&context.dir)?;
        (args.open_store(context)?, git, None)
    };
    let objects = git.objects()?;
    let datasets = Datasets::of(&git, &objects)?;
    let commits = commits(&git, &objects.tips()?.iter().map(|tip| tip.commit).collect::<Vec<_>>())?;
    let mut plan = Repair::default();
    for repo in only.map_or_else(|| datasets.all(), |repo| Ok(vec![repo]))? {
        plan = plan.and(repair(&catalog, &objects, &datasets, repo, &commits)?);
    }
    let changed = if dry_run { would_change(&objects, &plan.edits)? } else { git.edit_notes(&plan.edits)? };
    if as_json {
        let said =
            json!({ "commits": commits.len(), "changed": changed, "bundles_elsewhere": plan.elsewhere });
        context.ui.fact(&said.to_string());
        return Ok(());
    }
    let verb = if dry_run { "would change" } else { "changed" };
    context.ui.done(&format!("{verb} the notes of {changed} of {} commits", commits.len()));
    if plan.elsewhere > 0 {
        context.ui.detail(&format!("{} dataset versions are of no commit that is here", plan.elsewhere));
    }
    Ok(())
}

fn would_change(
    objects: &crate::git::Objects,
    edits: &std::collections::BTreeMap<ObjectId, crate::git::NoteEdit>,
) -> Result<usize, CommandError> {
    let mut count = 0;
    for (commit, edit) in edits {
        let text = objects.note(*commit)?;
        let has = |line: &String| note_lines(&text).any(|it| it == line.as_bytes());
        count += usize::from(!edit.add.iter().all(has) || edit.remove.iter().any(has));
    }
    Ok(count)
}

/// Every commit that these lead to, newest first.
fn commits(repo: &Repo, tips: &[ObjectId]) -> Result<Vec<ObjectId>, CommandError> {
    if tips.is_empty() {
        return Ok(vec![]);
    }
    let input: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
    let listed = repo.git().run_with_stdin(["rev-list", "--stdin"], input.as_bytes())?;
    Ok(String::from_utf8_lossy(&listed)
        .lines()
        .filter_map(|it| ObjectId::from_hex(it.as_bytes()).ok())
        .collect())
}

fn show(revision: &str, as_json: bool, context: &Context) -> Result<(), CommandError> {
    let repo = Repo::discover(&context.dir)?;
    let objects = repo.objects()?;
    let datasets = Datasets::of(&repo, &objects)?;
    let commit = objects.commit(revision)?;
    let text = objects.note(commit)?;
    let text = String::from_utf8_lossy(&text);
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    if lines().next().is_none() {
        return Err(CommandError::new(
            Kind::NotFound,
            format!("nothing is written down at {commit} in {NOTES_REF}"),
        )
        .hint("from the remote: git datamon notes sync; from the store: git datamon notes repair"));
    }
    // What cannot be looked at is not called wrong.
    let is_stale = |record: Record| record.is_stale_at(&datasets, &objects, commit).unwrap_or(false);
    let stale = |line: &str| Record::parse(line).is_some_and(is_stale);
    if as_json {
        let record = |line: &str| {
            let known = Record::parse(line).is_some();
            let record = serde_json::from_str::<Value>(line).unwrap_or_else(|_| Value::from(line));
            json!({ "record": record, "known": known, "stale": stale(line) })
        };
        let said =
            json!({ "commit": commit.to_string(), "records": lines().map(record).collect::<Vec<_>>() });
        context.ui.fact(&serde_json::to_string_pretty(&said).expect("plain values always encode"));
        return Ok(());
    }
    for line in lines() {
        context
            .ui
            .fact(&format!("{line}{}", if stale(line) { "  (stale: the tree is another)" } else { "" }));
    }
    Ok(())
}

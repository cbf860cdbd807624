//! `git datamon squash`: give up versions of a dataset, and the files that only they have.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::catalog::Catalog;
use crate::cli::bar::count;
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::ui::one_line;
use crate::cli::when::{duration, utc};
use crate::cli::{Context, stores};
use crate::git::{Depth, Unseen};
use crate::ops::kinship;
use crate::ops::squash::{Fate, Git, Keep, NotSquashed, Squash, plan};

/// Give up versions of a dataset, and the files that only they have
///
/// Says what would go; with --apply it goes, and `gc run` then gives the space back. Say what to keep: what fits any of the --keep
/// options stays. What `latest` leads to and what git still reaches stays too, as does what labels lead to unless you say which of
/// them count. Files that no version ever had stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon squash --keep-last 10                    what would go\n  \
    git datamon squash --keep-last 10 --apply\n  \
    git datamon squash --keep-reachable --apply          all that no branch, tag or reflog leads to\n  \
    git datamon squash --keep-semver --keep-within 30d --force\n  \
    git datamon squash --keep-last 3 --store /srv/data --repo weather")]
pub struct SquashArgs {
    /// Keep the newest so many versions.
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,

    /// Keep what labels lead to; with a pattern only those that fit it, and the others are taken away with what goes.
    #[arg(long, value_name = "GLOB", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    keep_labels: Option<String>,

    /// Keep what labels lead to that are versions, as v1.4; others are taken away with what goes.
    #[arg(long)]
    keep_semver: bool,

    /// Keep what was made so much time before the newest version, or later, as in 30d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keep_within: Option<Duration>,

    /// Keep what git reaches; no other option is needed then.
    #[arg(long, conflicts_with = "force")]
    keep_reachable: bool,

    /// Versions that git reaches may go, too, but for those of branches, tags and work trees themselves.
    #[arg(long)]
    force: bool,

    /// So may versions of commits that this clone does not have: of branches that are gone, or of a fork.
    #[arg(long)]
    unknown_commits: bool,

    /// Do it; without, only say what would go.
    #[arg(long)]
    apply: bool,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Plans, and does it if asked to.
pub fn run(args: &SquashArgs, context: &Context) -> Result<(), CommandError> {
    let keep = Keep {
        last: args.keep_last,
        labels: args.keep_labels.clone(),
        semver: args.keep_semver,
        within: args.keep_within,
    };
    if matches!(keep, Keep { last: None, labels: None, semver: false, within: None }) && !args.keep_reachable
    {
        return Err(CommandError::new(Kind::Usage, "say what to keep")
            .hint("what git still reaches: git datamon squash --keep-reachable")
            .hint("the newest versions: git datamon squash --keep-last 10"));
    }
    let mut dataset = match args.apply {
        true => args.dataset.open_to_write(context)?,
        false => args.dataset.open(context)?,
    };
    let planned = match &dataset.git {
        Some(git) => {
            kinship::check(&git.repo, &git.objects, &dataset.catalog, dataset.repo)?;
            let reach = git.repo.reach(if args.force { Depth::Tips } else { Depth::History })?;
            let seen = Git::Seen { reach: &reach, objects: &git.objects, unknown: args.unknown_commits };
            plan(&dataset.catalog, dataset.repo, &keep, &seen)?
        }
        None => {
            let git = if args.force { Git::Overruled } else { Git::Unasked };
            plan(&dataset.catalog, dataset.repo, &keep, &git)?
        }
    };
    if args.apply {
        planned.apply(&mut dataset.catalog)?;
    }
    report(&planned, args.apply, args.json, &dataset.catalog, context);
    Ok(())
}

/// Says what goes and what stays, or went and stayed.
pub fn report(planned: &Squash, applied: bool, is_json: bool, catalog: &Catalog, context: &Context) {
    let gone = planned.gone().len();
    if is_json {
        let version = |it: &Fate| {
            json!({
                "bundle": it.bundle.to_string(), "commit": it.commit.map(|id| id.to_string()),
                "time": utc(it.bundle.made()), "kept": it.kept,
            })
        };
        let label = |(name, to): &(String, _)| json!({ "label": name, "bundle": format!("{to}") });
        context.ui.json(&json!({
            "repo": planned.repo.to_string(),
            "store": catalog.identity().store.to_string(),
            "planned_on": planned.planned_on,
            "applied": applied,
            "dropped": gone,
            "versions": planned.versions.iter().map(version).collect::<Vec<_>>(),
            "labels": planned.labels.iter().map(label).collect::<Vec<_>>(),
            "files": planned.files.len(),
            "unversioned": planned.unversioned,
            "files_stay": planned.files_stay,
        }));
        return;
    }
    for Fate { bundle, commit, kept } in &planned.versions {
        let commit = commit.map_or(String::new(), |id| format!("  commit {id}"));
        let version = format!("{bundle}  {}{commit}", utc(bundle.made()));
        match kept.as_slice() {
            [] => context.ui.fact(&format!("drop  {version}")),
            kept => context.ui.fact(&format!("keep  {version}  {}", one_line(&kept.join(", ")))),
        }
    }
    for (name, to) in &planned.labels {
        context.ui.fact(&format!("label {} is taken away from {to}", one_line(name)));
    }
    let files = planned.files.len();
    let unversioned = match planned.unversioned {
        0 => String::new(),
        some => format!("; kept, as no version has them: {}", count(some, "file")),
    };
    let done = if applied { "dropped" } else { "would drop" };
    let what = format!("{} and {}", count(gone, "version"), count(files, "file"));
    context.ui.fact(&format!("{done} {what}{unversioned}"));
    if let Some(why) = planned.files_stay.filter(|_| gone > 0) {
        context.ui.warning(&format!("all files of {} stay: {why}", stores::shown(catalog)));
        context.ui.hint("run it in a clone of the dataset, or say with --force that nobody relies on them");
    }
    if applied {
        context.ui.hint("to give the space back: git datamon gc run");
    } else if gone > 0 || files > 0 {
        context.ui.hint("nothing was changed: --apply does it");
    }
}

impl From<NotSquashed> for CommandError {
    fn from(error: NotSquashed) -> CommandError {
        CommandError::new(Kind::of_squash(&error), error.to_string())
    }
}

impl From<Unseen> for CommandError {
    fn from(error: Unseen) -> CommandError {
        match error {
            Unseen::Git(error) => error.into(),
            Unseen::Objects(error) => error.into(),
            Unseen::Silent { .. } => CommandError::new(Kind::Unreachable, error.to_string()),
            _ => CommandError::new(Kind::Conflict, error.to_string()),
        }
    }
}

//! `git datamon readlog`: who took what out of a store.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::catalog::log::now;
use crate::cli::bar::{bytes, count};
use crate::cli::errors::CommandError;
use crate::cli::ui::one_line;
use crate::cli::when::{duration, utc};
use crate::cli::{Context, stores};
use crate::ops::readlog::{Read, ReadLog, list, prune};

/// Who read which data of a store
///
/// With `git config --global datamon.readLog on` every process of yours that takes files out of a store you trust writes down there what
/// it was: person, time, version, files, bytes. Nothing fails because that cannot be written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git config --global datamon.readLog on               from now on your reads are written down\n  \
    git datamon readlog list --since 7d\n  \
    git datamon readlog list --json --store s3://team/data\n  \
    git datamon readlog prune --older-than 400d")]
pub struct ReadlogArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The newest reads, oldest first
    List(ListArgs),
    /// Delete old ones
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only of so long ago, as in 7d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,

    /// So many, the newest.
    #[arg(short = 'n', value_name = "N", default_value = "100")]
    count: usize,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object a line, with stable field names.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PruneArgs {
    /// What was written longer ago goes, as in 400d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    older_than: Duration,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// So long ago, milliseconds since 1970.
fn ago(time: Duration) -> u64 {
    now().saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Does it.
pub fn run(args: &ReadlogArgs, context: &Context) -> Result<(), CommandError> {
    match &args.what {
        What::List(args) => {
            let catalog = stores::itself(args.store.as_deref(), &context.dir)?;
            let ReadLog { reads, unread, others } =
                list(catalog.store(), args.since.map_or(0, ago), args.count)?;
            for read in &reads {
                let name =
                    read.repo.and_then(|id| catalog.state().repos().get(&id)).map(|it| it.name.clone());
                let line = match args.json {
                    true => told(read, &catalog).to_string(),
                    false => line(read, name),
                };
                if !context.ui.heard(&line) {
                    return Ok(());
                }
            }
            if reads.is_empty() && others && !args.json {
                context
                    .ui
                    .hint("reads are logged there, but none of those that were asked for (--since, -n)");
            } else if reads.is_empty() && unread == 0 && !args.json {
                context.ui.hint(
                    "no reads are logged there: whoever reads logs them with git config datamon.readLog on",
                );
            }
            if unread > 0 {
                context.ui.warning(&format!("not reads, below readlog/: {}", count(unread, "object")));
            }
        }
        What::Prune(args) => {
            let catalog = stores::chosen_to_write(args.store.as_deref(), &context.dir)?;
            let removed = prune(catalog.store(), ago(args.older_than))?;
            if args.json {
                context.ui.json(&json!({ "removed": removed }));
            } else {
                context.ui.done(&format!("{} removed", count(removed, "read")));
            }
        }
    }
    Ok(())
}

/// What is stored has the time in milliseconds, and only what the reader knew.
fn told(read: &Read, catalog: &Catalog) -> Value {
    let mut value = serde_json::to_value(read).expect("plain values always encode");
    value["time"] = utc(read.time).into();
    let version = read.bundle.and_then(|id| catalog.state().bundles().get(&id));
    if let (None, Some(commit)) = (&read.commit, version.and_then(|it| it.commit)) {
        value["commit"] = commit.to_string().into();
    }
    value
}

fn line(read: &Read, name: Option<String>) -> String {
    let Read { time, who, operation, repo, bundle, commit, files, bytes: size } = read;
    let dataset = name.or(repo.map(|it| it.to_string())).unwrap_or_else(|| "-".to_owned());
    let what = bundle.map(|it| it.to_string()).or_else(|| commit.clone());
    let (who, what) = (who.as_deref().unwrap_or("-"), what.unwrap_or_else(|| "-".to_owned()));
    one_line(&format!(
        "{}  {operation}  {dataset}  {what}  {}, {}  {who}",
        utc(*time),
        count(*files, "file"),
        bytes(*size)
    ))
}

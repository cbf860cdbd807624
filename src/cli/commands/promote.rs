//! `git datamon promote`: a dataset version into another store.

use clap::Args;
use serde::Serialize;

use crate::cli::bar::{Bar, bytes};
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::{Config, Git, is_context_name};
use crate::ops::label::{self, Expected};
use crate::ops::promote::{NotPromoted, promote};
use crate::ops::trust;

/// Copy a dataset version into another store
///
/// Its files, facts and bundle id go as they are; of its data only chunks go that the other store lacks. Nothing changes where
/// it came from.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon promote HEAD --to prod                       the version of HEAD\n  \
    git datamon promote reviewed --to /srv/prod --label v1   and label it there\n  \
    git datamon promote latest --to prod --store dev --repo weather")]
pub struct PromoteArgs {
    /// The version, as in `show`.
    version: String,

    /// A context, or a store as in `init --store`.
    #[arg(long, value_name = "CONTEXT")]
    to: String,

    /// Set this label on it there, once it has arrived.
    #[arg(long)]
    label: Option<String>,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Arrived {
    bundle: crate::id::BundleId,
    store: crate::id::StoreId,
    was_there: bool,
    files: u64,
    new_bytes: u64,
    stored_bytes: u64,
}

/// Copies, then labels.
pub fn run(args: &PromoteArgs, context: &Context) -> Result<(), CommandError> {
    let mut dataset = args.dataset.open(context)?;
    let id = dataset.find(&args.version)?;
    let git = Git::at(&context.dir);
    let mut to = stores::find(&stores::spelled(&args.to, &context.dir)?, &context.dir).map_err(|error| {
        // A name that is no context was taken for a directory.
        if is_context_name(&args.to) { error.hint("git datamon context list") } else { error }
    })?;
    if to.identity().store == dataset.catalog.identity().store {
        return Err(CommandError::new(Kind::Usage, "that is the store it is in"));
    }
    if !trust::is_trusted(&Config::read(&git)?, &to) {
        let message = format!("{} is not trusted with uploads", stores::shown(&to));
        return Err(CommandError::new(Kind::Conflict, message).hint(format!("git datamon trust {}", args.to)));
    }
    // What stands against the label is said before anything is copied.
    args.label.iter().try_for_each(|name| label::check(&to, dataset.repo, name))?;
    to.set_contributor(git.author());
    let total = crate::ops::bundle::open(&dataset.catalog, id)?.root().bytes();
    let bar = Bar::new("promoting", total, context.ui.is_quiet());
    let scratch = tempfile::tempdir().map_err(|source| {
        CommandError::new(Kind::Failed, format!("cannot make a temporary directory: {source}"))
    })?;
    let promoted = promote(&dataset.catalog, &mut to, id, scratch.path(), &bar);
    bar.finish();
    let promoted = promoted?;
    if let Some(label) = &args.label {
        label::set(&mut to, dataset.repo, label, id, Expected::Anything)?;
    }
    let (store, stats) = (to.identity().store, promoted.stats);
    if args.json {
        let (was_there, files) = (promoted.was_there, stats.files);
        let arrived = Arrived {
            bundle: id,
            store,
            was_there,
            files,
            new_bytes: stats.new_raw,
            stored_bytes: stats.stored,
        };
        context.ui.json(&arrived);
    } else if promoted.was_there {
        context.ui.done(&format!("{} has bundle {id} already", stores::shown(&to)));
    } else {
        let sent = bytes(stats.stored);
        context.ui.done(&format!("bundle {id} is in {}: {sent} new there", stores::shown(&to)));
    }
    Ok(())
}

impl From<NotPromoted> for CommandError {
    fn from(error: NotPromoted) -> CommandError {
        match error {
            NotPromoted::Catalog(error) => error.into(),
            NotPromoted::NotFound(error) => error.into(),
            NotPromoted::Fetch(error) => error.into(),
            NotPromoted::Unread(_) | NotPromoted::Scratch { .. } => {
                CommandError::new(Kind::Failed, error.to_string())
            }
        }
    }
}

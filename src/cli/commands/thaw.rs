//! `git datamon thaw`: what of a version lies in an archive, and bringing it back.
//!
//! How that is done, how fast and for how much is between the user and the provider: the user's own command gets the names.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use serde_json::json;

use crate::catalog::CatalogError;
use crate::cli::Context;
use crate::cli::bar::bytes;
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::paths::{shown, typed};
use crate::ops::bundle::open;
use crate::ops::thaw::{all_packs, archived, packs_of};
use crate::store::{Place, Store};

/// Say which objects of a version lie in an archive, and bring them back
///
/// Looks at every pack that the version needs, a request each, and prints the objects that cannot be read now, one name in the bucket
/// a line. With --warm-up they are given to a command of yours, which asks the provider for them and may wait until they are there;
/// then they are looked at again. Exits with 1 while there are any, with 0 when everything can be read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon thaw v1.2                              which objects v1.2 needs that cannot be read now\n  \
    git datamon thaw v1.2 --paths maps --warm-up ./bring-back.sh\n  \
    git datamon thaw --all --json --store s3://team/frozen\n\n\
    A command for --warm-up on S3, which returns at once (run thaw again until it exits with 0):\n  \
    while read -r key; do aws s3api restore-object --bucket \"$DATAMON_BUCKET\" --key \"$key\" \\\n    \
    --restore-request 'Days=7,GlacierJobParameters={Tier=Bulk}'; done")]
pub struct ThawArgs {
    /// The version: a bundle id, a label, `latest`, a commit, …; as for `show`.
    version: Option<String>,

    /// Only these files and directories of the version.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    paths: Vec<OsString>,

    /// Every data pack of the store, whichever versions need it.
    #[arg(long, conflicts_with_all = ["version", "paths"])]
    all: bool,

    /// Run this with `sh -c` if anything lies in an archive. On its stdin are the names, one a line; DATAMON_STORE and
    /// DATAMON_BUCKET say where.
    #[arg(long, value_name = "COMMAND")]
    warm_up: Option<String>,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Looks, lets the user's command bring back, and looks again.
pub fn run(args: &ThawArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let (catalog, packs) = if args.all {
        let catalog = args.dataset.open_store(context)?;
        let packs = all_packs(&catalog);
        (catalog, packs)
    } else {
        let mut dataset = args.dataset.open(context)?;
        let id = dataset.find(dataset.version(args.version.as_deref()))?;
        let bundle = open(&dataset.catalog, id)?;
        let paths: Vec<Vec<u8>> = args.paths.iter().map(|path| typed(path)).collect();
        for path in &paths {
            if bundle.find(path).map_err(CatalogError::from)?.is_none()
                && bundle.below(path).map_err(CatalogError::from)?.is_empty()
            {
                let message = format!("the version has nothing at {}", shown(path));
                return Err(CommandError::new(Kind::NotFound, message));
            }
        }
        let packs = packs_of(&dataset.catalog, &bundle, &paths)?;
        (dataset.catalog, packs)
    };
    let store = catalog.store();
    let mut frozen = named(archived(&catalog, &packs)?, store);
    if let Some(command) = args.warm_up.as_ref().filter(|_| !frozen.is_empty()) {
        let (count, size) = (frozen.len(), bytes(total(&frozen)));
        context.aside(true).ui.done(&format!("{count} objects, {size}, lie in an archive: {command}"));
        warm_up(command, &frozen, store, context)?;
        frozen = named(archived(&catalog, &packs)?, store);
    }
    report(args, &frozen, packs.len(), store, context);
    Ok(if frozen.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Kind::Difference.exit_code()) })
}

/// Objects as the provider names them.
fn named(keys: Vec<(String, u64)>, store: &Store) -> Vec<(String, u64)> {
    let below = match store.url().place() {
        Place::Bucket(bucket) if !bucket.prefix.is_empty() => format!("{}/", bucket.prefix),
        _ => String::new(),
    };
    keys.into_iter().map(|(key, size)| (format!("{below}{key}"), size)).collect()
}

fn total(objects: &[(String, u64)]) -> u64 {
    objects.iter().map(|(_, size)| *size).fold(0, u64::saturating_add)
}

fn bucket(store: &Store) -> &str {
    match store.url().place() {
        Place::Bucket(bucket) => &bucket.name,
        Place::Directory(_) | Place::Memory(_) => "",
    }
}

fn report(args: &ThawArgs, frozen: &[(String, u64)], packs: usize, store: &Store, context: &Context) {
    let size = total(frozen);
    if args.json {
        let objects: Vec<_> = frozen.iter().map(|(key, size)| json!({ "key": key, "bytes": size })).collect();
        context.ui.json(&json!({
            "store": store.url().to_string(), "bucket": bucket(store), "packs": packs,
            "archived": objects, "bytes": size,
        }));
        return;
    }
    for (key, _) in frozen {
        context.ui.fact(key);
    }
    let context = context.aside(true);
    if frozen.is_empty() {
        context.ui.done(&format!("all {packs} packs can be read"));
        return;
    }
    let (count, size) = (frozen.len(), bytes(size));
    context.ui.done(&format!("{count} of {packs} packs, {size}, lie in an archive and cannot be read"));
    context.ui.hint(match args.warm_up {
        None => "bring them back with the provider's tools, or let a command do it: --warm-up COMMAND",
        Some(_) => "that takes hours with some classes: run the same again until it exits with 0",
    });
}

/// Runs the user's command with the names on its stdin.
fn warm_up(
    command: &str,
    frozen: &[(String, u64)],
    store: &Store,
    context: &Context,
) -> Result<(), CommandError> {
    let failed = |why: String| CommandError::new(Kind::Failed, format!("{command}: {why}"));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .current_dir(&context.dir)
        .env("DATAMON_STORE", store.url().to_string())
        .env("DATAMON_BUCKET", bucket(store))
        .stdin(Stdio::piped())
        // Our own stdout has the answer.
        .stdout(std::io::stderr())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let names: String = frozen.iter().map(|(key, _)| format!("{key}\n")).collect();
    // One that reads nothing says by its exit code whether it did what it should.
    let _ = child.stdin.take().expect("a pipe was asked for").write_all(names.as_bytes());
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(format!("it ended with {status}; nothing more was done"))),
    }
}

//! `git datamon upload`: a version of a directory, without git.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::bundle::Facts;
use crate::catalog::log::now;
use crate::cli::Context;
use crate::cli::bar::{Bar, bytes};
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::names;
use crate::cli::paths::{self, shown};
use crate::git::Git;
use crate::ops::bundle::{DirectoryError, Made, upload_directory};
use crate::ops::label::{self, Expected};
use crate::ops::latest;
use crate::ops::tree::TreeError;

/// Make a version of a directory, without git
///
/// Takes in every file and link below the directory and prints the id of the new version. Files that look as they did at the
/// last upload from here are not read, and what the parent has already is not stored again. Sockets, pipes, devices and
/// `.git` are left out. A repo that the store does not have yet is made; a store only with --create. Every upload makes a
/// version, also one without a change.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon upload results --store /srv/data --repo weather -m 'run 12' --label newest\n  \
    git datamon upload results --parent label:stable --json")]
pub struct UploadArgs {
    /// The directory.
    #[arg(value_name = "DIR")]
    source: PathBuf,

    /// What to say of the version.
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,

    /// Let this label lead to the version, once it is durable.
    #[arg(long, value_name = "NAME")]
    label: Option<String>,

    /// The version it comes from, and shares unchanged parts with; by default `latest`.
    #[arg(long, value_name = "VERSION")]
    parent: Option<String>,

    /// Make the store where there is none.
    #[arg(long, requires = "store")]
    create: bool,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Uploads, then sets the label.
pub fn run(args: &UploadArgs, context: &Context) -> Result<(), CommandError> {
    let folder = context.dir.join(&args.source);
    if !folder.is_dir() {
        let message = format!("{} is no directory", folder.display());
        return Err(CommandError::new(Kind::NotFound, message).hint("name the directory to upload"));
    }
    let mut dataset = args.dataset.open_to_upload(args.create, context)?;
    // What stands against the label is said before anything is read.
    args.label.iter().try_for_each(|name| label::check(&dataset.catalog, dataset.repo, name))?;
    let parent = match &args.parent {
        Some(name) => Some(dataset.find(name)?),
        None => latest::of(&dataset.catalog, dataset.repo),
    };
    let facts = Facts {
        message: args.message.clone(),
        contributors: Git::at(&context.dir).author().into_iter().collect(),
        time: now(),
        ..Facts::default()
    };
    let bar = Bar::new("uploading", 0, context.ui.is_quiet());
    // In a git repository git says which is the latest: this becomes a version of the branch when it is adopted.
    let is_latest = dataset.git.is_none();
    let made = upload_directory(&mut dataset.catalog, dataset.repo, &folder, parent, facts, is_latest, &bar);
    bar.finish();
    let made = made?;
    for path in &made.skipped {
        let path = shown(path.as_os_str().as_bytes());
        context.ui.warning(&format!("left out: {path} holds no data of its own"));
    }
    names::warn(made.not_on_windows.iter().map(Vec::as_slice), context);
    if let Some(name) = &args.label {
        label::set(&mut dataset.catalog, dataset.repo, name, made.bundle, Expected::Anything)?;
    }
    if args.json {
        let skipped: Vec<&[u8]> = made.skipped.iter().map(|path| path.as_os_str().as_bytes()).collect();
        let mut said = json!({
            "bundle": made.bundle, "repo": dataset.repo, "repo_name": dataset.name(), "parent": parent,
            "label": args.label, "entries": made.entries, "changed": made.changed, "removed": made.gone,
            "skipped": paths::texts(&skipped), "new_bytes": made.stats.new_raw, "stored_bytes": made.stats.stored,
        });
        if let Some(hexes) = paths::hexes(&skipped) {
            said["skipped_hex"] = json!(hexes);
        }
        context.ui.json(&said);
    } else {
        context.ui.fact(&made.bundle.to_string());
        context.ui.detail(&summary(&made));
    }
    Ok(())
}

fn summary(made: &Made) -> String {
    let Made { entries, changed, gone, stats, .. } = made;
    let (new, stored) = (bytes(stats.new_raw), bytes(stats.stored));
    format!(
        "{entries} files and links, {changed} new or changed, {gone} gone; {new} were new, stored as {stored}"
    )
}

impl From<TreeError> for CommandError {
    fn from(error: TreeError) -> CommandError {
        let said = error.to_string();
        match error {
            TreeError::Catalog(error) => error.into(),
            TreeError::Unread(_) => CommandError::new(Kind::Failed, format!("{said}; no version was made")),
            _ => CommandError::new(Kind::Failed, said),
        }
    }
}

impl From<DirectoryError> for CommandError {
    fn from(error: DirectoryError) -> CommandError {
        match error {
            DirectoryError::Tree(error) => error.into(),
            DirectoryError::Path(error) => CommandError::new(Kind::Failed, error.to_string()),
            DirectoryError::Parent(error) => error.into(),
            DirectoryError::Catalog(error) => error.into(),
        }
    }
}

//! `git datamon ls`: what a version has at a path.

use std::ffi::OsString;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::bundle::Content;
use crate::catalog::CatalogError;
use crate::cli::Context;
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::paths::{self, shown, typed};
use crate::ops::bundle::{Listed, children};

/// List the files of a version
///
/// Paths are those of the dataset, directories end with a slash. What is no UTF-8 or would not show is quoted as git does it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon ls HEAD\n  \
    git datamon ls label:stable maps/2024 --long\n  \
    git datamon ls latest -r -z --store /srv/data --repo weather | xargs -0 …")]
pub struct LsArgs {
    /// The version: a bundle id, a label, `latest`, a commit, …; as for `show`.
    version: String,

    /// A directory or file of it; by default all.
    path: Option<OsString>,

    /// Everything below, not directories.
    #[arg(short, long)]
    recursive: bool,

    /// Mode, kind, SHA-256 and size before each path.
    #[arg(short, long)]
    long: bool,

    /// Paths as they are, each ended by a zero byte.
    #[arg(short = 'z', conflicts_with = "json")]
    zero: bool,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Lists.
pub fn run(args: &LsArgs, context: &Context) -> Result<(), CommandError> {
    let mut dataset = args.dataset.open(context)?;
    let bundle = dataset.open(&args.version)?;
    let path = args.path.as_deref().map(typed).unwrap_or_default();
    let listed = if args.recursive {
        let below = bundle.below(&path).map_err(CatalogError::from)?;
        below.into_iter().map(|it| Listed { path: it.path, content: Some(it.content) }).collect()
    } else {
        children(&bundle, &path).map_err(CatalogError::from)?
    };
    if listed.is_empty() && !path.is_empty() {
        let message = format!("{} has no path {}", args.version, shown(&path));
        return Err(CommandError::new(Kind::NotFound, message)
            .hint(format!("what it has: git datamon ls {}", args.version)));
    }
    if args.json {
        let entries: Vec<Value> = listed.iter().map(|it| Value::Object(object(it))).collect();
        let said = json!({"bundle": bundle.root().id, "entries": entries});
        context.ui.fact(&serde_json::to_string_pretty(&said).expect("plain values always encode"));
        return Ok(());
    }
    for it in &listed {
        let before = if args.long { long(it) } else { String::new() };
        if args.zero {
            context.ui.raw(&[before.as_bytes(), &it.path, b"\0"].concat())?;
        } else {
            let slash = if it.content.is_none() { b"/" } else { &b""[..] };
            context.ui.fact(&format!("{before}{}", shown(&[&it.path, slash].concat())));
        }
    }
    Ok(())
}

/// What git calls the mode of a directory.
const FOLDER: u32 = 0o040_000;

fn kind(content: Option<&Content>) -> &'static str {
    match content {
        None => "directory",
        Some(Content::File { .. }) => "file",
        Some(Content::Link { .. }) => "link",
        Some(Content::Module { .. }) => "module",
    }
}

fn long(it: &Listed) -> String {
    let mode = it.content.as_ref().map_or(FOLDER, Content::mode);
    let (name, size) = match &it.content {
        Some(Content::File { oid, size, .. }) => (oid.to_string(), size.to_string()),
        Some(Content::Module { commit }) => (commit.to_string(), "-".to_owned()),
        _ => ("-".to_owned(), "-".to_owned()),
    };
    format!("{mode:06o} {:<9} {name:<64} {size:>12}\t", kind(it.content.as_ref()))
}

/// What is said of a content, with stable names.
pub fn facts(content: Option<&Content>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("type".to_owned(), kind(content).into());
    let mode = content.map_or(FOLDER, Content::mode);
    object.insert("mode".to_owned(), format!("{mode:06o}").into());
    match content {
        Some(Content::File { oid, size, .. }) => {
            object.insert("size".to_owned(), (*size).into());
            object.insert("oid".to_owned(), oid.to_string().into());
        }
        Some(Content::Link { target }) => paths::put(&mut object, "target", target),
        Some(Content::Module { commit }) => {
            object.insert("commit".to_owned(), commit.to_string().into());
        }
        None => {}
    }
    object
}

fn object(it: &Listed) -> Map<String, Value> {
    let mut object = Map::new();
    paths::put(&mut object, "path", &it.path);
    object.extend(facts(it.content.as_ref()));
    object
}

//! `git datamon diff`: how two versions differ.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::bundle::Content;
use crate::catalog::CatalogError;
use crate::cli::Context;
use crate::cli::bar::bytes;
use crate::cli::commands::ls;
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::paths::{self, shown};
use crate::ops::bundle::{Changed, Comparison, Fate, NewChunks, compare, new_chunks, open};

/// Show how two versions differ
///
/// A line each for what was added (A), removed (D), modified (M), renamed (R: the same content lay elsewhere), what may be run
/// now or no more (X), or became something else (T). Parts that both versions share are not read, and no data is. Exits with 1
/// if they differ.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon diff HEAD~1\n  \
    git datamon diff label:stable latest --stat --store /srv/data --repo weather")]
pub struct DiffArgs {
    /// The older version; as for `show`.
    old: String,

    /// The newer one; by default that of HEAD, or `latest` where there is no git.
    new: Option<String>,

    /// Sizes too, and what it adds up to, in files and in chunks.
    #[arg(long, conflicts_with_all = ["name_only", "json"])]
    stat: bool,

    /// Paths only.
    #[arg(long, conflicts_with = "json")]
    name_only: bool,

    /// With --name-only: paths as they are, each ended by a zero byte.
    #[arg(short = 'z', requires = "name_only")]
    zero: bool,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Compares and tells.
pub fn run(args: &DiffArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let mut dataset = args.dataset.open(context)?;
    let new = args.new.as_deref().unwrap_or(if dataset.git.is_some() { "HEAD" } else { "latest" });
    let &[old, new] = &dataset.find_all(&[&args.old, new])?[..] else { unreachable!("two names") };
    let (old, new) = (open(&dataset.catalog, old)?, open(&dataset.catalog, new)?);
    let found = compare(&old, &new).map_err(CatalogError::from)?;
    let counts = args.json || args.stat;
    let chunks = if counts { new_chunks(&dataset.catalog, &found)? } else { NewChunks::default() };
    if args.json {
        let changes: Vec<Value> = found.changes.iter().map(|it| Value::Object(object(it))).collect();
        let (old, new) = (old.root(), new.root());
        let said = json!({
            "old": old.id, "new": new.id, "changes": changes,
            "old_bytes": old.bytes(), "new_bytes": new.bytes(), "added_bytes": found.new_bytes(),
            "added_chunks": chunks.chunks, "added_chunk_bytes": chunks.bytes, "added_stored_bytes": chunks.stored,
        });
        context.ui.json(&said);
    } else {
        for it in &found.changes {
            match (args.name_only, args.zero) {
                (true, true) => context.ui.raw(&[&it.path[..], b"\0"].concat())?,
                (true, false) => context.ui.fact(&shown(&it.path)),
                _ => context.ui.fact(&line(it, args.stat)),
            }
        }
        if args.stat {
            context.ui.fact(&total(&found, chunks));
        }
    }
    let same = found.changes.is_empty();
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(Kind::Difference.exit_code()) })
}

fn letter(fate: Fate) -> (char, &'static str) {
    match fate {
        Fate::Added => ('A', "added"),
        Fate::Removed => ('D', "removed"),
        Fate::Modified => ('M', "modified"),
        Fate::Mode => ('X', "mode"),
        Fate::Type => ('T', "type"),
        Fate::Renamed => ('R', "renamed"),
    }
}

fn line(it: &Changed, stat: bool) -> String {
    let name = match &it.from {
        Some(from) => format!("{} -> {}", shown(from), shown(&it.path)),
        None => shown(&it.path),
    };
    let size = |it: &Option<Content>| it.as_ref().map_or_else(|| "-".to_owned(), |it| bytes(it.size()));
    let sizes = if stat { format!("  {} -> {}", size(&it.old), size(&it.new)) } else { String::new() };
    format!("{} {name}{sizes}", letter(it.fate).0)
}

fn total(found: &Comparison, new: NewChunks) -> String {
    let counts = [Fate::Added, Fate::Removed, Fate::Modified, Fate::Renamed, Fate::Mode, Fate::Type];
    let count = |fate: &Fate| {
        let count = found.changes.iter().filter(|it| it.fate == *fate).count();
        (count > 0).then(|| format!("{count} {}", letter(*fate).1))
    };
    let counts: Vec<String> = counts.iter().filter_map(count).collect();
    let said = if counts.is_empty() { "no difference".to_owned() } else { counts.join(", ") };
    let NewChunks { chunks, bytes: raw, stored } = new;
    let content = format!("{} of new content", bytes(found.new_bytes()));
    format!("{said}; {content}, {chunks} new chunks of {}, stored in {}", bytes(raw), bytes(stored))
}

fn object(it: &Changed) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("status".to_owned(), letter(it.fate).1.into());
    paths::put(&mut object, "path", &it.path);
    if let Some(from) = &it.from {
        paths::put(&mut object, "from", from);
    }
    for (name, content) in [("old", &it.old), ("new", &it.new)] {
        let facts = content.as_ref().map(|content| Value::Object(ls::facts(Some(content))));
        object.insert(name.to_owned(), facts.unwrap_or(Value::Null));
    }
    object
}

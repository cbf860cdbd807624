//! `git datamon cache`: what this machine keeps of stores, and how to have less of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cache::{Cache, Usage, url_of};
use crate::cli::Context;
use crate::cli::bar::bytes;
use crate::cli::errors::{CommandError, Kind};
use crate::git::{Config, Git};
use crate::ops::open::data_limit;
use crate::store::size;

/// See and shrink what this machine keeps of stores
///
/// All clones and processes of a user share it. Nothing in it is ever the only copy, and it may be deleted at any time, as a whole or
/// in part. Data of files is kept of stores that are not directories; `datamon.cacheSize` says how much, `datamon.cache = metadata`
/// that none is.
#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Info(InfoArgs),
    Prune(PruneArgs),
}

/// Show where the cache is, and what it holds of which store
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  git datamon cache info\n  git datamon cache info --json")]
struct InfoArgs {
    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Remove data that does not fit any more, or all there is
///
/// What was used longest ago goes first, and metadata only when all data is gone. Without options what is over `datamon.cacheSize` goes,
/// which every fetch does by itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon cache prune --max-size 2g    before a CI job saves it\n  \
    git datamon cache prune --all")]
struct PruneArgs {
    /// Leave at most this much, metadata included: bytes, or with k, m, g, t.
    #[arg(long, value_name = "N", conflicts_with = "all")]
    max_size: Option<String>,

    /// Leave nothing.
    #[arg(long)]
    all: bool,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Shows or removes.
pub fn run(args: &CacheArgs, context: &Context) -> Result<(), CommandError> {
    let base = Cache::base().ok_or_else(|| {
        CommandError::new(Kind::NotFound, "there is no directory for a cache: you have no home")
            .hint("set DATAMON_CACHE_DIR to a directory")
    })?;
    let limit = data_limit(&Config::read(&Git::at(&context.dir))?.kept()?);
    match &args.what {
        What::Info(args) => info(args, base, limit, context),
        What::Prune(args) => prune(args, base, limit, context)?,
    }
    Ok(())
}

/// How many files, and what they take on the disk.
#[derive(Debug, Default, Serialize)]
struct Amount {
    files: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct OfStore {
    /// Null where it was not written down.
    url: Option<String>,
    store: String,
    kinds: BTreeMap<String, Amount>,
}

#[derive(Debug, Serialize)]
struct Info {
    path: PathBuf,
    bytes: u64,
    data_bytes: u64,
    data_limit: u64,
    stores: Vec<OfStore>,
}

fn data_bytes(usage: &Usage) -> u64 {
    usage.files.iter().filter(|file| file.is_data()).map(|file| file.bytes).sum()
}

/// What there is of each store; files of a place that are of no store are counted in the sum only.
fn by_store(base: &Path, usage: &Usage) -> Vec<OfStore> {
    let mut stores: BTreeMap<(&str, &str), BTreeMap<String, Amount>> = BTreeMap::new();
    for file in usage.files.iter().filter(|file| !file.store.is_empty()) {
        let kinds = stores.entry((&file.place, &file.store)).or_default();
        let amount = kinds.entry(file.kind.clone()).or_default();
        amount.files += 1;
        amount.bytes += file.bytes;
    }
    let of = |((place, store), kinds): ((&str, &str), _)| OfStore {
        url: url_of(base, place),
        store: store.to_owned(),
        kinds,
    };
    stores.into_iter().map(of).collect()
}

fn info(args: &InfoArgs, base: PathBuf, data_limit: u64, context: &Context) {
    let usage = Usage::of(&base);
    let (bytes, data_bytes, stores) = (usage.bytes(), data_bytes(&usage), by_store(&base, &usage));
    let info = Info { path: base, bytes, data_bytes, data_limit, stores };
    if args.json {
        context.ui.json(&info);
    } else {
        lines(&info).iter().for_each(|line| context.ui.fact(line));
    }
}

fn lines(info: &Info) -> Vec<String> {
    let mut lines = vec![
        format!("cache          {}, {}", info.path.display(), bytes(info.bytes)),
        format!("data           {} of at most {}", bytes(info.data_bytes), bytes(info.data_limit)),
    ];
    for of in &info.stores {
        lines.push(format!(
            "{} ({})",
            of.url.as_deref().unwrap_or("a place that was not written down"),
            of.store
        ));
        for (kind, amount) in &of.kinds {
            lines.push(format!("  {kind:<12} {} files, {}", amount.files, bytes(amount.bytes)));
        }
    }
    lines
}

#[derive(Debug, Serialize)]
struct Pruned {
    path: PathBuf,
    freed_bytes: u64,
    bytes: u64,
}

fn prune(args: &PruneArgs, base: PathBuf, limit: u64, context: &Context) -> Result<(), CommandError> {
    let mut usage = Usage::of(&base);
    let most = match &args.max_size {
        Some(text) => size(text).ok_or_else(|| {
            CommandError::new(Kind::Usage, format!("{text:?} is no size"))
                .hint("git datamon cache prune --max-size 500m")
        })?,
        None if args.all => 0,
        // Metadata has a limit of its own.
        None => limit + (usage.bytes() - data_bytes(&usage)),
    };
    let freed_bytes = usage.prune(most);
    let pruned = Pruned { path: base, freed_bytes, bytes: usage.bytes() };
    if args.json {
        context.ui.json(&pruned);
    } else {
        context.ui.done(&format!("freed {}, kept {}", bytes(freed_bytes), bytes(pruned.bytes)));
    }
    Ok(())
}

//! `git datamon stats`: what a store holds.

use clap::Args;

use crate::cli::bar::bytes;
use crate::cli::errors::CommandError;
use crate::cli::{Context, stores};
use crate::ops::survey::{Survey, survey};

/// Show what the store holds and what it saves
///
/// Files and their bytes, chunks, what is stored, how much deduplication and compression save, and the requests of the last
/// transfer from this machine.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  git datamon stats\n  git datamon stats --json\n  git datamon stats --store /srv/data"
)]
pub struct StatsArgs {
    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Counts and shows.
pub fn run(args: &StatsArgs, context: &Context) -> Result<(), CommandError> {
    let found = survey(&stores::chosen(args.store.as_deref(), &context.dir)?)?;
    if args.json {
        context.ui.fact(&serde_json::to_string_pretty(&found).expect("plain values always encode"));
    } else {
        lines(&found).iter().for_each(|line| context.ui.fact(line));
    }
    Ok(())
}

fn lines(found: &Survey) -> Vec<String> {
    let saved =
        found.logical_bytes.saturating_sub(found.stored_bytes) as f64 / found.logical_bytes.max(1) as f64;
    let mut lines = vec![
        format!("store          {} ({})", found.url, found.store),
        format!("files          {}, {}", found.files, bytes(found.logical_bytes)),
        format!("chunks         {}, {} raw", found.chunks, bytes(found.unique_raw_bytes)),
        format!("stored         {} ({:.1} % saved)", bytes(found.stored_bytes), saved * 100.0),
    ];
    for (kind, objects) in &found.objects {
        lines.push(format!("  {kind:<12} {} objects, {}", objects.count, bytes(objects.bytes)));
    }
    if found.unused.count > 0 {
        let unused = format!("{} packs, {}", found.unused.count, bytes(found.unused.bytes));
        lines.push(format!("unused         {unused}: of pushes that were interrupted, or are under way"));
    }
    lines.push(format!("log head       {}", found.log_head));
    if let Some(last) = &found.last_transfer {
        let way = if last.upload { "up" } else { "down" };
        let it = last.requests;
        lines.push(format!(
            "last transfer  {way}: {} GET, {} HEAD, {} PUT, {} LIST; {} read, {} written",
            it.get,
            it.head,
            it.put,
            it.list,
            bytes(it.read),
            bytes(it.written)
        ));
    }
    lines
}

//! `git datamon wal`: the log of a store, for people and for programs that follow it.
//!
//! Changes are read one by one: a store's whole history need not fit into memory, nor be there twice.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::catalog::Catalog;
use crate::cli::account::{Account, repo_name};
use crate::cli::errors::CommandError;
use crate::cli::{Context, stores};

/// Follow what happens in a store
///
/// The log of a store has every change, in the order in which they happened; it is never shortened.
#[derive(Debug, Args)]
pub struct WalArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Tail(TailArgs),
}

/// Print changes of the store in order, one line each
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon wal tail                                    the last 10 changes\n  \
    git datamon wal tail --since 0 --json                   all after entry 0\n  \
    git datamon wal tail --follow --store /srv/data")]
struct TailArgs {
    /// What came after this entry, oldest first; with -n only the first so many of it, for which --follow waits.
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,

    /// So many changes; without --since the last ones [default: 10].
    #[arg(short = 'n', value_name = "N")]
    count: Option<u64>,

    /// Go on with what happens from now on, until interrupted.
    #[arg(long)]
    follow: bool,

    /// Seconds between two looks at the store; one look is one request.
    #[arg(long, value_name = "SECONDS", default_value = "2", requires = "follow")]
    interval: f64,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object a line, with stable field names.
    #[arg(long)]
    json: bool,
}

/// The default of `-n`.
const LAST: u64 = 10;
/// Between two looks lies at least so much.
const SHORTEST: Duration = Duration::from_millis(10);
/// And at most so much.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Does it.
pub fn run(args: &WalArgs, context: &Context) -> Result<(), CommandError> {
    let What::Tail(args) = &args.what;
    let mut catalog = stores::chosen(args.store.as_deref(), &context.dir)?;
    let mut next = match args.since {
        Some(since) => since.saturating_add(1),
        None => catalog.state().next().saturating_sub(args.count.unwrap_or(LAST)),
    };
    let stop = match (args.since, args.count) {
        (Some(_), Some(count)) => next.saturating_add(count),
        _ => u64::MAX,
    };
    let wait = Duration::try_from_secs_f64(args.interval).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
    loop {
        let end = catalog.state().next().min(stop);
        let heard = print(&catalog, &mut next, end, args, context)?;
        if !heard || !args.follow || next >= stop {
            return Ok(());
        }
        std::thread::sleep(wait);
        catalog.refresh()?;
    }
}

/// Prints the changes from `next` on and before `upto`; `false` once nobody reads any more.
fn print(
    catalog: &Catalog,
    next: &mut u64,
    upto: u64,
    args: &TailArgs,
    context: &Context,
) -> Result<bool, CommandError> {
    while *next < upto {
        let record = catalog.change(*next)?;
        let name = |id| repo_name(catalog.state().repos().get(&id), id);
        let account = Account::of(*next, &record, &name);
        let line = if args.json { account.json() } else { account.line() };
        if !context.ui.heard(&line) {
            return Ok(false);
        }
        *next += 1;
    }
    Ok(true)
}

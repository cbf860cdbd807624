//! `git datamon pull`: data first, in one transfer, then git's own pull, which finds the data here.

use std::process::ExitCode;

use clap::Args;

use crate::cli::Context;
use crate::cli::bar::{Bar, bytes};
use crate::cli::commands::hook;
use crate::cli::errors::{CommandError, Kind};
use crate::git::Git;
use crate::transfer::Hydration;

/// Fetch commits and their data, then merge
///
/// Runs `git fetch`, gets all data of what was fetched from the store in one transfer, and then runs `git pull` with the same
/// arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  git datamon pull\n  git datamon pull origin main\n  git datamon pull --data-only     the data of HEAD, no commits"
)]
pub struct PullArgs {
    /// Get the data of HEAD, no commits; files in the work tree are filled in.
    #[arg(long)]
    data_only: bool,

    /// Say what would be fetched, fetch no data.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// The remote; by default what `git pull` would take.
    remote: Option<String>,

    /// What to pull; by default what `git pull` would.
    refspec: Vec<String>,
}

/// Gets the data, then lets git pull.
pub fn run(args: &PullArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let git = Git::at(&context.dir);
    let words: Vec<&str> = args.remote.iter().chain(&args.refspec).map(String::as_str).collect();
    let revision = if args.data_only {
        "HEAD"
    } else {
        let status = git.foreground(["fetch"].iter().chain(&words), &[])?;
        if !status.success() {
            return Ok(hook::exit_code(status));
        }
        // What was fetched for the current branch stands first.
        "FETCH_HEAD"
    };
    let plan = Hydration::plan(&context.dir, args.remote.as_deref().unwrap_or("origin"), revision)?;
    if args.dry_run {
        context.ui.fact(&format!("{} files, {} to fetch", plan.files(), bytes(plan.bytes())));
        return Ok(ExitCode::SUCCESS);
    }
    if plan.files() > 0 {
        let bar = Bar::new("fetching", plan.bytes(), context.ui.is_quiet());
        let got = plan.run(&bar)?;
        bar.finish();
        context.ui.done(&format!("fetched {} files, {}", got.files, bytes(got.bytes)));
        if let Some((_, why)) = got.failed.first() {
            let message = format!("{} files could not be fetched: {why}", got.failed.len());
            return Err(CommandError::new(Kind::Integrity, message));
        }
    }
    let rest: Vec<&str> =
        if args.data_only { vec!["lfs", "checkout"] } else { [vec!["pull"], words].concat() };
    Ok(hook::exit_code(git.foreground(rest, &[])?))
}

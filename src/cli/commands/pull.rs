//! `git datamon pull`: git's own pull beside the filters of git-lfs, then the data in one transfer, straight into the work tree.

use std::process::ExitCode;

use clap::Args;

use crate::cli::Context;
use crate::cli::bar::bytes;
use crate::cli::commands::{checkout, clone, hook};
use crate::cli::errors::CommandError;
use crate::git::{Filters, Git, Operation};
use crate::transfer::{Filling, Hydration, LocalObjects, Session};

/// Fetch commits and their data, then merge
///
/// Runs `git fetch`, asks the store whether it has the data of what was fetched, runs `git pull` with the same arguments, and gets
/// all data in one transfer. Local edits are not overwritten.
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

/// Pulls, then fills.
pub fn run(args: &PullArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let git = Git::at(&context.dir);
    let words: Vec<&str> = args.remote.iter().chain(&args.refspec).map(String::as_str).collect();
    if !args.data_only {
        let status = git.foreground(["fetch"].iter().chain(&words), &[])?;
        if !status.success() {
            return Ok(hook::exit_code(status));
        }
    }
    let remote = args.remote.as_deref().unwrap_or("origin");
    if args.dry_run {
        // What was fetched for the current branch stands first.
        let revision = if args.data_only { "HEAD" } else { "FETCH_HEAD" };
        let plan = Hydration::plan(&context.dir, remote, revision)?;
        context.ui.fact(&format!("{} files, {} to fetch", plan.files(), bytes(plan.bytes())));
        return Ok(ExitCode::SUCCESS);
    }
    let mut session = Session::open(&context.dir, remote, Operation::Download)?;
    let selection = clone::selection(&session.repo, &[])?;
    let mut pulled = ExitCode::SUCCESS;
    if !args.data_only {
        if let Ok(fetched) = session.objects.commit("FETCH_HEAD") {
            checkout::ask_for(fetched, &selection, &mut session)?;
        }
        let (git, off) = Filters::of_pull(&session.repo)?.apply(git);
        // A merge that stops for the user has brought files too.
        pulled = hook::exit_code(git.interactive(off.iter().chain(&["pull"]).chain(&words))?);
    }
    let local = LocalObjects::of(&session.repo);
    let filling = Filling::plan(&session.repo, &session.objects, &selection, local)?;
    clone::run_filling(filling, &mut session, context)?;
    Ok(pulled)
}

//! `git-datamon lfs-agent`: what git-lfs starts.
//!
//! Standard output belongs to the protocol, nobody sees standard error, and the exit code is ignored: everything a user must
//! know goes through the replies.

use std::io;
use std::process::ExitCode;

use crate::cli::Context;
use crate::cli::errors::{CommandError, Kind};
use crate::transfer::Agent;

/// Speaks until git-lfs is done.
pub fn run(context: &Context) -> Result<ExitCode, CommandError> {
    let mut agent = Agent::new(context.dir.clone());
    match lfs_agent::serve(io::stdin().lock(), io::stdout().lock(), &mut agent) {
        // git-lfs went away: nobody is left to tell.
        Ok(()) | Err(lfs_agent::Broken::Output(_)) => Ok(ExitCode::SUCCESS),
        Err(lfs_agent::Broken::Input(error)) => {
            Err(CommandError::new(Kind::Failed, format!("cannot read from git-lfs: {error}")))
        }
    }
}

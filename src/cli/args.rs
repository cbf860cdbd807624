//! The command line as a whole.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

use crate::cli::commands::Command;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::exit;

const EXAMPLES: &str = "Examples:
  git datamon install                                   once per machine
  git datamon init --store /srv/data --track '*.bin'    once per repository
  git add . && git commit -m 'first data' && git push   as ever

";

/// Big data under git, in storage you own.
///
/// Plain `git` and `git lfs` keep big files in a directory or bucket of yours, cut into deduplicated, compressed, verified
/// chunks. No server.
#[derive(Debug, Parser)]
#[command(
    name = "git-datamon",
    bin_name = "git datamon",
    version,
    after_help = EXAMPLES.to_owned() + &exit::help()
)]
pub struct Args {
    /// Work in this directory instead of the current one.
    #[arg(short = 'C', value_name = "DIR", global = true)]
    dir: Option<PathBuf>,

    /// Say more about what is done.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,

    /// Say nothing but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    #[command(subcommand)]
    pub(super) command: Command,
}

impl Args {
    /// The directory to work in, absolute.
    pub(super) fn directory(&self) -> Result<PathBuf, CommandError> {
        let asked = self.dir.as_deref().unwrap_or_else(|| ".".as_ref());
        asked.canonicalize().map_err(|error| {
            CommandError::new(Kind::NotFound, format!("cannot work in {}: {error}", asked.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}

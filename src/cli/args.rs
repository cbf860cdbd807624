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

    /// What needs no `--json`: `cat` gives a file as it is, and the others are typed by git-lfs and git.
    const NO_JSON: [&str; 3] = ["cat", "lfs-agent", "hook"];

    /// Every command that does something, with the words that lead to it.
    fn leaves(command: &clap::Command, words: &[String], found: &mut Vec<(Vec<String>, clap::Command)>) {
        if !command.has_subcommands() {
            found.push((words.to_vec(), command.clone()));
        }
        for deeper in command.get_subcommands() {
            leaves(deeper, &[words, &[deeper.get_name().to_owned()]].concat(), found);
        }
    }

    fn commands() -> Vec<(Vec<String>, clap::Command)> {
        let mut found = Vec::new();
        leaves(&Args::command(), &[], &mut found);
        assert!(found.len() > 40, "{} commands", found.len());
        found
    }

    #[test]
    fn every_command_speaks_json_or_is_on_the_list() {
        for (words, command) in commands() {
            let json = command.get_arguments().any(|it| it.get_long() == Some("json"));
            assert!(json != NO_JSON.contains(&words[0].as_str()), "{words:?}: --json is {json}");
        }
    }

    #[test]
    fn the_manual_has_a_section_for_every_command_and_a_word_for_every_one_below() {
        let manual = include_str!("../../docs/commands.md");
        let section = |name: &str| {
            let begins = |it: &&str| it.split(['\n', ' ']).next() == Some(name);
            manual.split("\n## ").skip(1).find(begins)
        };
        for (words, command) in commands().iter().filter(|(_, command)| !command.is_hide_set()) {
            if words[0] == "hook" {
                continue;
            }
            let section = section(&words[0]).unwrap_or_else(|| panic!("docs/commands.md lacks {words:?}"));
            assert!(words.iter().all(|word| section.contains(word.as_str())), "{words:?} is not explained");
            assert!(words[0] == "cat" || section.contains("JSON") || section.contains("--json"), "{words:?}");
            assert!(command.get_about().is_some(), "{words:?} has no help");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}

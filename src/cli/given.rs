//! Given: the store and the repo that the user named, for the commands that we tell them to type.
//!
//! What is said may come from any layer, and none of them knows what was typed. So a command in our words (`git datamon …` to
//! the next backtick, or to the end of its line) gets here what was given, as far as it takes it.

use clap::{ArgMatches, Command, CommandFactory};

use crate::cli::args::Args;
use crate::git::quoted;
use crate::store::without_password;

/// How a command of ours begins.
const OURS: &str = "git datamon ";

/// What the user named by options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    options: Vec<(&'static str, String)>,
}

impl Given {
    /// What a command line names.
    pub fn of(mut matches: &ArgMatches) -> Given {
        while let Some((_, deeper)) = matches.subcommand() {
            matches = deeper;
        }
        let value = |id: &'static str| {
            let typed = matches.try_get_one::<String>(id).ok()??;
            Some((id, quoted(&without_password(typed))))
        };
        Given { options: ["store", "repo"].into_iter().filter_map(value).collect() }
    }

    /// The text, with what was given behind every command in it that takes it.
    pub fn spelled(&self, text: &str) -> String {
        if self.options.is_empty() {
            return text.to_owned();
        }
        let (mut whole, mut rest) = (String::new(), text);
        while let Some(from) = rest.find(OURS) {
            let length = rest[from..].find(['`', '\n']).unwrap_or(rest.len() - from);
            whole.push_str(&rest[..from + length]);
            whole.push_str(&self.lacking(&rest[from..from + length]));
            rest = &rest[from + length..];
        }
        whole + rest
    }

    fn lacking(&self, command: &str) -> String {
        let mut takes = Args::command();
        for word in command[OURS.len()..].split(' ') {
            let Some(deeper) = takes.find_subcommand(word) else { break };
            takes = deeper.clone();
        }
        let lacks = |(name, value): &(&str, String)| {
            let option = format!("--{name}");
            let wanted = has_option(&takes, name) && !command.contains(&option);
            wanted.then(|| format!(" {option} {value}"))
        };
        self.options.iter().filter_map(lacks).collect()
    }
}

fn has_option(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|it| it.get_long() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> Given {
        let words = [&["git-datamon"], words].concat();
        Given::of(&Args::command().try_get_matches_from(words).expect("a command line"))
    }

    #[test]
    fn a_command_gets_what_was_given_as_far_as_it_takes_it() {
        let given = given(&["ls", "x", "--store", "/srv/my data", "--repo", "w"]);
        for (said, wanted) in [
            ("git datamon ls x", "git datamon ls x --store '/srv/my data' --repo w"),
            ("see: git datamon repo undelete w", "see: git datamon repo undelete w --store '/srv/my data'"),
            ("`git datamon fsck`, then push", "`git datamon fsck --store '/srv/my data'`, then push"),
            ("git datamon push", "git datamon push"),
            ("git datamon repo list --store /other", "git datamon repo list --store /other"),
            ("git status", "git status"),
        ] {
            assert_eq!(given.spelled(said), wanted);
        }
    }

    #[test]
    fn nothing_given_is_nothing_added_and_no_password_is_repeated() {
        assert_eq!(given(&["ls", "x"]).spelled("git datamon ls x"), "git datamon ls x");
        assert_eq!(given(&["trust", "/srv/data"]), Given::default(), "that is no option");
        let given = given(&["ls", "x", "--store", "s3://me:secret@host/b"]);
        let said = given.spelled("git datamon log");
        assert!(said.contains("--store") && !said.contains("secret"), "{said}");
    }
}

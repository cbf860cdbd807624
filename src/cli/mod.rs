//! L6 · The terminal: arguments in, words and an exit code out. Everything else is asked of the lower layers.
//!
//! One command is one file in `commands`: its arguments, whose doc comments are the help, and its `run`.

mod account;
mod args;
mod bar;
mod bundles;
mod commands;
mod dataset;
mod errors;
mod exit;
mod given;
mod head;
mod man;
mod names;
mod paths;
mod relocation;
mod remedy;
mod server;
mod stores;
mod ui;
mod verdict;
mod when;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

pub use args::Args;
pub use errors::CommandError;
pub use exit::Kind;
use given::Given;
pub use ui::Ui;

/// What every command gets besides its own arguments.
#[derive(Debug)]
pub struct Context {
    /// Where words go.
    pub ui: Ui,
    /// The directory the command works in: `-C`, or where the process was started.
    pub dir: PathBuf,
}

impl Context {
    /// For a command whose stdout is one JSON object, if it is: whatever else would be said there goes to stderr.
    pub fn aside(&self, json: bool) -> Context {
        Context { ui: self.ui.clone().aside(json), dir: self.dir.clone() }
    }
}

/// Parses, runs, reports: all of `main`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = Args::command().try_get_matches_from(args).and_then(|matches| {
        let args = Args::from_arg_matches(&matches)?;
        Ok((args, Given::of(&matches)))
    });
    let (args, given) = match parsed {
        Ok(parsed) => parsed,
        Err(said) => return usage(said),
    };
    let ui = Ui::new(args.verbose, args.quiet, given);
    let context = args.directory().map(|dir| Context { ui: ui.clone(), dir });
    let done = context.and_then(|context| args.command.run(&context));
    if let Some(instead) = crate::store::instead() {
        ui.warning(&format!(
            "{}: read from its mirror {} instead, which may be behind (`git datamon fsck` says more)",
            instead.why, instead.copy
        ));
    }
    match done {
        Ok(code) => code,
        Err(error) => {
            let error = remedy::added(error);
            ui.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// clap says 2 for what it does not understand; that is "not found" here.
fn usage(mut said: clap::Error) -> ExitCode {
    // It proposes `-- --force`, which would be a remote or a path of that name.
    if said.kind() == ErrorKind::UnknownArgument {
        let _ = said.remove(ContextKind::Suggested);
    }
    // Nobody is left to tell when the terminal is gone.
    let _ = said.print();
    if said.use_stderr() { ExitCode::from(Kind::Usage.exit_code()) } else { ExitCode::SUCCESS }
}

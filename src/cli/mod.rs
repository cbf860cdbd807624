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
mod head;
mod man;
mod paths;
mod relocation;
mod server;
mod stores;
mod ui;
mod verdict;
mod when;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

pub use args::Args;
pub use errors::{CommandError, Kind};
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
        Context { ui: self.ui.aside(json), dir: self.dir.clone() }
    }
}

/// Parses, runs, reports: all of `main`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(said) => return usage(&said),
    };
    let ui = Ui::new(args.verbose, args.quiet);
    let outcome = args.directory().and_then(|dir| args.command.run(&Context { ui, dir }));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// clap says 2 for what it does not understand; that is "not found" here.
fn usage(said: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    let _ = said.print();
    if said.use_stderr() { ExitCode::from(Kind::Usage.exit_code()) } else { ExitCode::SUCCESS }
}

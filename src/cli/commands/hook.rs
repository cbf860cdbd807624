//! `git datamon hook <name>`: what the shims in `git-hooks/` call.

use std::io::Read;
use std::process::{ExitCode, ExitStatus};

use clap::{Args, Subcommand};

use crate::cli::Context;
use crate::cli::errors::{CommandError, Kind};
use crate::git::{Git, Hooks, Repo};

/// Run the part of a git hook that is git-datamon's
#[derive(Debug, Args)]
pub struct HookArgs {
    #[command(subcommand)]
    hook: Hook,
}

/// The hooks there are.
#[derive(Debug, Subcommand)]
enum Hook {
    /// Before a push: the hook that was here before, then data, then `git lfs pre-push`
    PrePush {
        /// The remote, as git names it to the hook.
        #[arg(allow_hyphen_values = true)]
        remote: String,
        /// Its URL.
        #[arg(allow_hyphen_values = true)]
        url: String,
    },
}

/// Runs the hook; what fails fails the push.
pub fn run(args: &HookArgs, context: &Context) -> Result<ExitCode, CommandError> {
    match &args.hook {
        Hook::PrePush { remote, url } => pre_push(remote, url, context),
    }
}

fn pre_push(remote: &str, url: &str, context: &Context) -> Result<ExitCode, CommandError> {
    // Everyone gets the same refs, and the pipe can be read once.
    let mut refs = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut refs)
        .map_err(|error| CommandError::new(Kind::Failed, format!("cannot read what git pushes: {error}")))?;
    let git = Git::at(&context.dir);
    let repo = Repo::found_by(git.clone())?;

    if let Some(earlier) = Hooks::of(&repo)?.chained() {
        context.ui.detail(&format!("running {}", earlier.display()));
        let status = git.script(&earlier, [remote, url], &refs)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    let status = git.foreground(["lfs", "pre-push", "--", remote, url], &refs)?;
    Ok(exit_code(status))
}

/// The exit code of what was run; one that a signal ended counts as failed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(Kind::Failed.exit_code()))
}

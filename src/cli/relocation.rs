//! What moving into a store and out of it have in common: which objects there are, and whose edits they must not take along.

use std::path::Path;

use crate::cli::errors::{CommandError, Kind};
use crate::git::{LFSCONFIG_FILE, Repo};
use crate::transfer::Inventory;

/// Edits of `.lfsconfig` that no commit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// There are none.
    No,
    /// Those of the index only: the user means to commit them.
    Staged,
    /// Others, which a command that stages the file would take along.
    Unstaged,
}

impl Edited {
    /// How it stands in the work tree whose top this is.
    pub fn of(repo: &Repo, top: &Path) -> Result<Edited, CommandError> {
        let here = repo.git().clone().moved_to(top);
        // Without a lock git does not write the index, for which it would clean other files anew.
        let status = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=all", "--"];
        let status = here.run(status.into_iter().chain([LFSCONFIG_FILE]))?;
        // Two letters a line: what the index has against HEAD, and the work tree against the index.
        let lines: Vec<&[u8]> = status.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        Ok(match lines.is_empty() {
            true => Edited::No,
            false if lines.iter().all(|line| line.get(1) == Some(&b' ')) => Edited::Staged,
            false => Edited::Unstaged,
        })
    }

    /// The refusal.
    pub fn error() -> CommandError {
        CommandError::new(Kind::Conflict, format!("{LFSCONFIG_FILE} has changes that are not committed"))
            .hint(format!(
                "commit them, or take them back with `git restore {LFSCONFIG_FILE}`, and repeat the command"
            ))
    }
}

/// Every object that any commit of the repository names. What this clone lacks for knowing them is an error.
pub fn whole_inventory(repo: &Repo) -> Result<Inventory, CommandError> {
    if let Some(lack) = repo.lack()? {
        return Err(CommandError::new(Kind::Conflict, lack.to_string()).hint(lack.remedy()));
    }
    // What a partial clone may lack is larger than any pointer.
    Ok(Inventory::of_history(&repo.objects()?.only_local())?)
}

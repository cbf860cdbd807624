//! Where a work tree stands: what the verbs that move it tell programs.

use crate::git::Git;

/// What is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit; `None` before the first one.
    pub commit: Option<String>,
    /// The branch; `None` where HEAD is detached.
    pub branch: Option<String>,
}

/// The commit of HEAD; `None` before the first one.
pub fn commit(git: &Git) -> Option<String> {
    said(git, &["rev-parse", "--verify", "--quiet", "HEAD"])
}

fn said(git: &Git, words: &[&str]) -> Option<String> {
    let said = git.run(words).ok()?;
    Some(String::from_utf8_lossy(&said).trim().to_owned())
}

impl Head {
    /// HEAD of a repository as it is now.
    pub fn of(git: &Git) -> Head {
        Head { commit: commit(git), branch: said(git, &["symbolic-ref", "--quiet", "--short", "HEAD"]) }
    }
}

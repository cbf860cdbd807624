//! Where a work tree stands: what the verbs that move it tell programs.

use crate::git::Repo;

/// What is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit; `None` before the first one.
    pub commit: Option<String>,
    /// The branch; `None` where HEAD is detached.
    pub branch: Option<String>,
}

/// The commit of HEAD; `None` before the first one.
pub fn commit(repo: &Repo) -> Option<String> {
    said(repo, &["rev-parse", "--verify", "--quiet", "HEAD"])
}

fn said(repo: &Repo, words: &[&str]) -> Option<String> {
    let said = repo.git().run(words).ok()?;
    Some(String::from_utf8_lossy(&said).trim().to_owned())
}

impl Head {
    /// HEAD of a repository as it is now.
    pub fn of(repo: &Repo) -> Head {
        Head { commit: commit(repo), branch: said(repo, &["symbolic-ref", "--quiet", "--short", "HEAD"]) }
    }
}

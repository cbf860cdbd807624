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

impl Head {
    /// HEAD of a repository as it is now.
    pub fn of(repo: &Repo) -> Head {
        let said = |words: &[&str]| {
            let said = repo.git().run(words).ok()?;
            Some(String::from_utf8_lossy(&said).trim().to_owned())
        };
        Head {
            commit: said(&["rev-parse", "--verify", "--quiet", "HEAD"]),
            branch: said(&["symbolic-ref", "--quiet", "--short", "HEAD"]),
        }
    }
}

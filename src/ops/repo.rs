//! Repos of a store: made, renamed, deleted and brought back by one log entry each. What lands is checked where it lands (R14).

use super::open::probe_once;
use crate::catalog::change::{Change, RepoChange};
use crate::catalog::{Catalog, CatalogError, Refusal};
use crate::id::RepoId;

/// The longest name, bytes.
const LONGEST: usize = 255;

/// A repo that was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RepoNotChanged {
    /// No repo can have the name.
    #[error("{name:?} cannot be the name of a repo: {why}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A live repo has it.
    #[error(
        "a repo named {name:?} exists: choose another name, or rename that one with `git datamon repo rename`"
    )]
    Taken {
        /// The name.
        name: String,
    },
    /// There is none.
    #[error("there is no {what} {name:?} in the store: `git datamon repo list --all` shows what there is")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// It takes pushes.
    #[error("repo {name:?} is not deleted")]
    NotDeleted {
        /// Its name or id.
        name: String,
    },
    /// Several deleted repos had the name.
    #[error("several deleted repos were named {name:?}: say which by its id, {}", .ids.iter().map(RepoId::to_string).collect::<Vec<_>>().join(" or "))]
    Ambiguous {
        /// The name.
        name: String,
        /// The repos.
        ids: Vec<RepoId>,
    },
    /// The store cannot be used, or the change does not fit what others did.
    #[error(transparent)]
    Catalog(CatalogError),
}

impl From<CatalogError> for RepoNotChanged {
    fn from(error: CatalogError) -> RepoNotChanged {
        match error {
            CatalogError::Refused(Refusal::NameTaken { name }) => RepoNotChanged::Taken { name },
            other => RepoNotChanged::Catalog(other),
        }
    }
}

/// Whether a repo may be called so.
pub fn check_name(name: &str) -> Result<(), RepoNotChanged> {
    let no = |why| Err(RepoNotChanged::Name { name: name.to_owned(), why });
    match name {
        _ if name.is_empty() || name.len() > LONGEST => no("a name has 1 to 255 bytes"),
        _ if name.chars().any(char::is_control) => no("it has control characters"),
        _ if name.trim() != name => no("it begins or ends with white space"),
        _ if name.starts_with('-') => no("it begins like an option"),
        _ if name.parse::<RepoId>().is_ok() => no("it looks like the id of a repo"),
        _ => Ok(()),
    }
}

/// A repo that takes pushes, by name or id.
pub fn live(catalog: &Catalog, name: &str) -> Result<RepoId, RepoNotChanged> {
    let state = catalog.state();
    let by_id = || name.parse().ok().filter(|id| state.repos().get(id).is_some_and(|it| !it.deleted));
    let unknown = || RepoNotChanged::Unknown { what: "repo", name: name.to_owned() };
    state.repo_named(name).or_else(by_id).ok_or_else(unknown)
}

/// A repo that was deleted, by name or id.
pub fn deleted(catalog: &Catalog, name: &str) -> Result<RepoId, RepoNotChanged> {
    let gone = catalog.state().repos().iter().filter(|(_, repo)| repo.deleted);
    let id = name.parse::<RepoId>().ok();
    let ids: Vec<RepoId> =
        gone.filter(|(it, repo)| repo.name == name || id == Some(**it)).map(|(it, _)| *it).collect();
    match ids.as_slice() {
        [only] => Ok(*only),
        [] if live(catalog, name).is_ok() => Err(RepoNotChanged::NotDeleted { name: name.to_owned() }),
        [] => Err(RepoNotChanged::Unknown { what: "deleted repo", name: name.to_owned() }),
        _ => Err(RepoNotChanged::Ambiguous { name: name.to_owned(), ids }),
    }
}

/// Make a repo; the same one, under the same name, may be there.
pub fn create(catalog: &mut Catalog, repo: RepoId, name: &str) -> Result<(), RepoNotChanged> {
    check_name(name)?;
    if catalog.state().repo_named(name) == Some(repo) {
        return Ok(());
    }
    commit(catalog, RepoChange::Create { repo, name: name.to_owned() })
}

/// Give a repo another name.
pub fn rename(catalog: &mut Catalog, repo: RepoId, name: &str) -> Result<(), RepoNotChanged> {
    check_name(name)?;
    if catalog.state().repo_named(name) == Some(repo) {
        return Ok(());
    }
    commit(catalog, RepoChange::Rename { repo, name: name.to_owned() })
}

/// Let a repo take no more pushes. Its data stays.
pub fn delete(catalog: &mut Catalog, repo: RepoId) -> Result<(), RepoNotChanged> {
    commit(catalog, RepoChange::Delete { repo })
}

/// Bring a deleted repo back.
pub fn undelete(catalog: &mut Catalog, repo: RepoId) -> Result<(), RepoNotChanged> {
    commit(catalog, RepoChange::Undelete { repo })
}

fn commit(catalog: &mut Catalog, change: RepoChange) -> Result<(), RepoNotChanged> {
    probe_once(catalog)?;
    catalog.commit(&catalog.record(catalog.head().seq(), Change::Repo(change)))?;
    // A checkpoint that falls due; the repo is changed without.
    let _: Result<(), CatalogError> = catalog.upkeep();
    Ok(())
}

//! Whose versions a dataset takes.
//!
//! The id of a dataset is no secret: it stands in `datamon.toml`, and anybody can write a repository with the id of somebody else's.
//! Who trusts the store with uploads must not be led by it to add versions to that dataset, or to move its labels. So a repository
//! may do so only if it has a commit that one of the versions was made for, as every clone and fork has: an id of a commit cannot be
//! guessed. The first one to give a dataset a version may, too. For everything else (a history that was rewritten, a directory that
//! moved to another repository, versions that came by `upload`) the user says so once, by `git datamon trust --repo`.
//!
//! A yes is kept in the configuration of the repository, which is not cloned, for this dataset in this store:
//! `datamon.repo.<id>.trusted`.

use crate::catalog::Catalog;
use crate::git::{GitFailed, ObjectId, Objects, Repo, Scope};
use crate::id::RepoId;

/// A repository that no version of the dataset came from.
#[derive(Debug, thiserror::Error)]
#[error(
    "none of the versions of dataset {name:?} is of a commit of this {}: nothing was uploaded. If it may add versions to it, run `git datamon trust --repo {id}`; to make a dataset of its own, remove that id from datamon.toml and run `git datamon init`{}",
    if *.shallow { "shallow clone" } else { "repository" },
    if *.shallow { "; `git fetch --unshallow` gets the commits that are not here" } else { "" }
)]
pub struct Stranger {
    /// The dataset.
    pub id: RepoId,
    /// What the store calls it.
    pub name: String,
    /// Whether commits may be lacking.
    pub shallow: bool,
}

fn key(id: RepoId) -> String {
    format!("datamon.repo.{id}.trusted")
}

fn is_trusted(repo: &Repo, catalog: &Catalog, id: RepoId) -> bool {
    let store = catalog.identity().store.to_string();
    repo.config().get_all(Scope::Local, &key(id)).any(|value| value == store.as_bytes())
}

/// Whether the repository may add to the dataset. Nothing is asked of the store; a yes is remembered.
pub fn check(repo: &Repo, objects: &Objects, catalog: &Catalog, id: RepoId) -> Result<(), Stranger> {
    // The nameless dataset of a store is everybody's.
    if id == RepoId::NIL || is_trusted(repo, catalog, id) {
        return Ok(());
    }
    let mut own = catalog.state().bundles().values().filter(|it| it.repo == id).peekable();
    let is_here = |commit: &[u8]| ObjectId::try_from(commit).is_ok_and(|it| objects.known(it).is_some());
    if own.peek().is_none() || own.any(|it| it.commit.is_some_and(|commit| is_here(commit.as_bytes()))) {
        // What cannot be remembered is looked for again.
        let _ = remember(repo, catalog, id);
        return Ok(());
    }
    let known = catalog.state().repos().get(&id);
    let name = known.map_or_else(|| id.to_string(), |it| it.name.clone());
    Err(Stranger { id, name, shallow: repo.common_dir().join("shallow").exists() })
}

/// Let the repository add to the dataset from now on; `false` if it could already.
pub fn trust(repo: &Repo, catalog: &Catalog, id: RepoId) -> Result<bool, GitFailed> {
    let news = !is_trusted(repo, catalog, id);
    remember(repo, catalog, id).map(|()| news)
}

/// Once, however many do so at a time.
fn remember(repo: &Repo, catalog: &Catalog, id: RepoId) -> Result<(), GitFailed> {
    let store = catalog.identity().store.to_string();
    let words = ["config", "--local", "--replace-all", "--", &key(id), &store, &format!("^{store}$")];
    repo.git().run(words).map(drop)
}

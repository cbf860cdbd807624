//! `latest`, as the store knows it: where the default branch was pushed last, or what was uploaded last.
//!
//! It is a label of a name that nobody can give ([`DEFAULT_BRANCH`]), so it moves, is kept and is checked like any other (R14). A push
//! of the default branch moves it in the entry of its data; one that writes no such entry, as after a reset, in an entry of its own
//! ([`label::set_latest`](super::label::set_latest)). Who has git asks git instead.

use crate::catalog::Catalog;
use crate::catalog::change::{DEFAULT_BRANCH, Label};
use crate::id::{BundleId, RepoId};

/// What `latest` means in a repo: in one whose default branch nobody has pushed yet, the newest bundle in the log.
pub fn of(catalog: &Catalog, repo: RepoId) -> Option<BundleId> {
    let led = catalog.state().label(repo, DEFAULT_BRANCH).and_then(|at| at.bundle);
    led.or_else(|| {
        let own = catalog.state().bundles().iter().filter(|(_, it)| it.repo == repo);
        own.max_by_key(|(id, it)| (it.seq, **id)).map(|(id, _)| *id)
    })
}

/// The move that lets it lead to a bundle; nothing where it does.
pub(super) fn step(catalog: &Catalog, repo: RepoId, to: BundleId) -> Option<Label> {
    let known = catalog.state().label(repo, DEFAULT_BRANCH);
    let moved =
        Label { repo, name: DEFAULT_BRANCH.to_owned(), bundle: Some(to), previous: known.map(|at| at.seq) };
    (known.and_then(|at| at.bundle) != Some(to)).then_some(moved)
}

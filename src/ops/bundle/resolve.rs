//! From a name to a bundle.
//!
//! A name is a bundle id, a label, a label with its history (`label@2` is where it led two changes ago), `latest`, a commit or
//! a tree of git, in full or the first seven digits or more. With a prefix it is only one of these: `bundle:`, `label:`,
//! `commit:`, `tree:`. What has several meanings that lead to different bundles is refused. Revisions of git (`main~2`) are
//! for whoever has a git repository to turn into commits and trees before they come here.

use std::fmt;

use crate::bundle::{Bundle, Root};
use crate::catalog::change::DEFAULT_BRANCH;
use crate::catalog::{Catalog, CatalogError};
use crate::git::ObjectsError;
use crate::id::{BundleId, GitId, RepoId};
use crate::ops::latest;

/// Digits that a shortened commit, tree or bundle has at least.
const SHORTEST: usize = 7;

/// What a name leads to when it names something of git that has no bundle of its own name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Name {
    /// The commit that git takes the name for.
    pub commit: Option<GitId>,
    /// The tree of the dataset's path in that commit.
    pub tree: Option<GitId>,
    /// The bundle that `latest` is; without git the store knows where the default branch is.
    pub latest: Option<BundleId>,
}

/// A bundle that was found, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The bundle.
    pub id: BundleId,
    /// What the name was.
    pub by: &'static str,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            "bundle" => write!(f, "bundle {}", self.id),
            by => write!(f, "the {by} of bundle {}", self.id),
        }
    }
}

/// A name that leads nowhere, or to several places.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// Git objects cannot be read.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// Nothing has the name.
    #[error(
        "nothing in repo {repo} is called {name:?}: `git datamon log` and `git datamon label list` show what there is"
    )]
    Nothing {
        /// The name.
        name: String,
        /// The repo.
        repo: String,
    },
    /// It is a commit, and no bundle was made for it.
    #[error(
        "no bundle was made for commit {commit}, or it was given up since: `git datamon push` in a clone that has its data makes one"
    )]
    NoBundle {
        /// The commit.
        commit: GitId,
    },
    /// Several things have it.
    #[error("{name:?} may be {}: say which, as in `{}:{name}`", .meanings.iter().map(Found::to_string).collect::<Vec<_>>().join(" or "), .meanings[0].by)]
    Ambiguous {
        /// The name.
        name: String,
        /// What it may be, at least two.
        meanings: Vec<Found>,
    },
    /// The bundle is in the log of the store and not any more.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The bundle of `repo` that `name` means; `git` is what git makes of it, where there is git.
pub fn find(catalog: &Catalog, repo: RepoId, name: &str, git: Name) -> Result<Found, NotFound> {
    let (kind, word) = match name.split_once(':') {
        Some((kind @ ("bundle" | "label" | "commit" | "tree"), word)) => (Some(kind), word),
        _ => (None, name),
    };
    let asked = |it| kind.is_none_or(|kind| kind == it);
    let mut meanings = Vec::new();
    if asked("bundle") {
        meanings.extend(by_id(catalog, repo, word).into_iter().map(|id| Found { id, by: "bundle" }));
    }
    if asked("label") {
        meanings.extend(by_label(catalog, repo, word)?.map(|id| Found { id, by: "label" }));
    }
    if kind.is_none() && word == "latest" {
        let latest = git.latest.or_else(|| latest::of(catalog, repo));
        meanings.extend(latest.map(|id| Found { id, by: "latest" }));
    }
    if asked("commit") {
        meanings.extend(by_commit(catalog, repo, word, git).into_iter().map(|id| Found { id, by: "commit" }));
    }
    if asked("tree") {
        meanings.extend(by_tree(catalog, repo, word).into_iter().map(|id| Found { id, by: "tree" }));
    }
    let Some(first) = meanings.first().copied() else {
        return Err(match git.commit {
            Some(commit) => NotFound::NoBundle { commit },
            None => NotFound::Nothing { name: name.to_owned(), repo: shown(catalog, repo) },
        });
    };
    if meanings.iter().any(|it| it.id != first.id) {
        return Err(NotFound::Ambiguous { name: word.to_owned(), meanings });
    }
    Ok(first)
}

/// What people call a repo.
fn shown(catalog: &Catalog, repo: RepoId) -> String {
    catalog.state().repos().get(&repo).map_or_else(|| repo.to_string(), |it| it.name.clone())
}

fn by_id(catalog: &Catalog, repo: RepoId, word: &str) -> Vec<BundleId> {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if word.len() < SHORTEST || !digits(word) {
        return vec![];
    }
    let own = catalog.state().bundles().iter().filter(|(_, it)| it.repo == repo);
    own.map(|(id, _)| *id).filter(|id| id.to_string().starts_with(&word.to_ascii_lowercase())).collect()
}

fn by_label(catalog: &Catalog, repo: RepoId, word: &str) -> Result<Option<BundleId>, CatalogError> {
    let exact = catalog.state().label(repo, word).and_then(|at| at.bundle);
    let (None, Some((label, back))) = (exact, word.rsplit_once('@')) else { return Ok(exact) };
    let Ok(back) = back.parse::<usize>() else { return Ok(None) };
    let moves = catalog.label_history(repo, label)?;
    let led = moves.get(back).and_then(|it| it.bundle);
    Ok(led.filter(|bundle| catalog.state().bundles().contains_key(bundle)))
}

/// The newest bundle of a commit; where there is none, of its tree: a commit that was rewritten keeps its data.
fn by_commit(catalog: &Catalog, repo: RepoId, word: &str, git: Name) -> Vec<BundleId> {
    let state = catalog.state();
    if let Some(commit) = git.commit {
        let of_tree = || git.tree.and_then(|tree| state.bundles_of_tree(repo, tree).pop());
        return state.bundles_of_commit(repo, commit).pop().or_else(of_tree).into_iter().collect();
    }
    by_digits(catalog, repo, word, |it| it.commit)
}

fn by_tree(catalog: &Catalog, repo: RepoId, word: &str) -> Vec<BundleId> {
    by_digits(catalog, repo, word, |it| it.tree)
}

/// Bundles whose commit or tree begins with these digits, the newest of each.
fn by_digits(
    catalog: &Catalog,
    repo: RepoId,
    word: &str,
    of: impl Fn(&crate::catalog::state::Bundle) -> Option<GitId>,
) -> Vec<BundleId> {
    if word.len() < SHORTEST || !word.bytes().all(|b| b.is_ascii_hexdigit()) {
        return vec![];
    }
    let word = word.to_ascii_lowercase();
    let mut newest: std::collections::BTreeMap<GitId, (u64, BundleId)> = Default::default();
    for (id, it) in catalog.state().bundles().iter().filter(|(_, it)| it.repo == repo) {
        if let Some(name) = of(it).filter(|name| begins(name.as_bytes(), word.as_bytes())) {
            let held = newest.entry(name).or_insert((it.seq, *id));
            *held = (*held).max((it.seq, *id));
        }
    }
    newest.into_values().map(|(_, id)| id).collect()
}

/// Whether some bytes, written in hexadecimal digits, begin with these.
fn begins(bytes: &[u8], digits: &[u8]) -> bool {
    let written = bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    digits.len() <= 2 * bytes.len() && written.zip(digits).all(|(one, other)| one == *other)
}

/// Open a bundle of the catalog.
pub fn open(catalog: &Catalog, id: BundleId) -> Result<Bundle<'_>, NotFound> {
    let known = catalog.state().bundles().get(&id);
    let known = known.ok_or_else(|| NotFound::Nothing { name: id.to_string(), repo: "any".to_owned() })?;
    let bundle = Bundle::open(catalog.frames(), id, known.repo, &known.root);
    Ok(bundle.map_err(CatalogError::from)?)
}

/// The root of a bundle of the catalog, which is known to be there.
pub(in crate::ops) fn root_of(catalog: &Catalog, id: BundleId) -> Result<Root, CatalogError> {
    match open(catalog, id) {
        Ok(bundle) => Ok(bundle.root().clone()),
        Err(NotFound::Catalog(error)) => Err(error),
        Err(other) => panic!("a live bundle is found by its id: {other}"),
    }
}

/// The labels that lead to a bundle, by name.
pub fn labels_of(catalog: &Catalog, id: BundleId) -> Vec<String> {
    let all = catalog.state().labels().iter();
    let leads = all.filter(|((_, name), at)| at.bundle == Some(id) && name != DEFAULT_BRANCH);
    leads.map(|((_, name), _)| name.clone()).collect()
}

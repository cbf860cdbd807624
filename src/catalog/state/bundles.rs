//! Bundles by their id and, once that is asked for, by what they are of in git: a log of many commits asks for each of them, and
//! most commands for none.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::Bundle;
use crate::id::{BundleId, GitId, RepoId};

/// What of git a bundle is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Commit,
    Tree,
}

/// Repo, what of git, seq of the bundle, the bundle.
type Key = (RepoId, Of, GitId, u64, BundleId);

/// Live bundles.
#[derive(Debug, Clone, Default)]
pub(in crate::catalog) struct Bundles {
    all: BTreeMap<BundleId, Bundle>,
    /// The same again, in order; none since the last change.
    git: OnceLock<Vec<Key>>,
}

impl PartialEq for Bundles {
    fn eq(&self, other: &Bundles) -> bool {
        self.all == other.all
    }
}

impl Eq for Bundles {}

impl Bundles {
    /// Every bundle.
    pub fn all(&self) -> &BTreeMap<BundleId, Bundle> {
        &self.all
    }

    /// Every bundle, to be changed.
    pub fn all_mut(&mut self) -> &mut BTreeMap<BundleId, Bundle> {
        self.git = OnceLock::new();
        &mut self.all
    }

    /// The bundles that were made for a commit, oldest first.
    pub fn of_commit(&self, repo: RepoId, commit: GitId) -> Vec<BundleId> {
        self.of((repo, Of::Commit, commit))
    }

    /// The bundles of a tree, oldest first.
    pub fn of_tree(&self, repo: RepoId, tree: GitId) -> Vec<BundleId> {
        self.of((repo, Of::Tree, tree))
    }

    fn of(&self, wanted: (RepoId, Of, GitId)) -> Vec<BundleId> {
        let sorted = self.git.get_or_init(|| self.sorted());
        let start = sorted.partition_point(|(repo, of, git, ..)| (*repo, *of, *git) < wanted);
        let found = sorted[start..].iter().take_while(|(repo, of, git, ..)| (*repo, *of, *git) == wanted);
        found.map(|(.., id)| *id).collect()
    }

    fn sorted(&self) -> Vec<Key> {
        let keys = |(id, it): (&BundleId, &Bundle)| {
            let (repo, seq, id) = (it.repo, it.seq, *id);
            let found = [(Of::Commit, it.commit), (Of::Tree, it.tree)];
            found.into_iter().filter_map(move |(of, git)| Some((repo, of, git?, seq, id)))
        };
        let mut all: Vec<Key> = self.all.iter().flat_map(keys).collect();
        all.sort_unstable();
        all
    }
}

//! What will be asked for next, guessed from what was asked for so far.
//!
//! The protocol names no commit. But a pointer's git blob can be computed from oid and size, so the tree that is being checked
//! out or fetched is one that holds all the blobs asked for: that of a ref on git-lfs's command line, of HEAD, of a branch, a
//! remote branch, a tag, or else of the newest commit in the history. Where several guesses were wrong, or no single tree
//! explains what is asked for, the whole history is told: one walk, and nothing is looked for any more.
//!
//! A guess costs no more than the look: how much of it is fetched is decided by what is asked for (see `ahead`).

use std::collections::HashSet;

use super::asker::CommandLine;
use crate::git::{ObjectId, Objects, ObjectsError, Pointer, Repo, Selection, TreePointer};
use crate::id::Oid;

/// Single trees that are tried before the whole history.
const TREES: usize = 3;
/// Asked blobs that a tree has to explain, beside the newest.
const EXPLAINED: usize = 32;

/// What is known of the one who asks.
pub struct Forecast {
    selection: Selection,
    /// Refs that are fetched one after the other.
    refs: Vec<String>,
    /// Everything that the refs lead to is fetched, or all refs lead to.
    all: bool,
    /// Blobs asked for, the first ones.
    asked: Vec<ObjectId>,
    /// What was asked for or told already.
    foreseen: HashSet<Oid>,
    guesses: usize,
    /// The whole history was told.
    over: bool,
}

impl Forecast {
    /// Nothing was asked for yet. Configuration that cannot be read selects every path.
    pub fn new(repo: &Repo, line: Option<&CommandLine>) -> Forecast {
        let refs = line.and_then(CommandLine::fetched_refs);
        let all = refs.is_some() && line.is_some_and(|line| line.all);
        let selection = match line {
            _ if all => Ok(Selection::default()),
            Some(line) if line.checks_out() => repo.checkout_selection(),
            Some(line) => repo.fetch_selection(line.include.as_deref(), line.exclude.as_deref()),
            None => repo.fetch_selection(None, None),
        };
        Forecast {
            selection: selection.unwrap_or_default(),
            refs: refs.unwrap_or_default(),
            all,
            asked: Vec::new(),
            foreseen: HashSet::new(),
            guesses: 0,
            over: false,
        }
    }

    /// This was asked for: what else will be, as far as it was not told before. Git's objects may be incomplete or damaged:
    /// then nothing is foreseen, and each object is fetched when it is asked for.
    pub fn after(&mut self, objects: &Objects, asked: Pointer) -> Vec<Pointer> {
        let blob = asked.blob_id();
        let surprise = self.foreseen.insert(asked.oid);
        let found =
            if surprise && !self.over { self.guess(objects, blob).unwrap_or_default() } else { vec![] };
        if self.asked.len() < EXPLAINED {
            self.asked.push(blob);
        }
        let selected = found.into_iter().filter(|found| self.selection.holds(found.path.as_ref()));
        let pointers: Vec<Pointer> = selected.map(|found| found.pointer).filter(|it| it.size > 0).collect();
        pointers.into_iter().filter(|pointer| self.foreseen.insert(pointer.oid)).collect()
    }

    fn guess(&mut self, objects: &Objects, blob: ObjectId) -> Result<Vec<TreePointer>, ObjectsError> {
        // A name that means nothing here is git-lfs's to complain about.
        let named: Vec<ObjectId> = self.refs.iter().filter_map(|name| objects.resolve(name).ok()).collect();
        if !self.all
            && let Some(commit) = objects.holding(&[blob]).first(&named)?
        {
            return objects.pointers_in_tree(commit);
        }
        let tips = if self.all && !named.is_empty() { named } else { objects.checkout_tips()? };
        self.guesses += 1;
        if !self.all && self.guesses <= TREES {
            let blobs: Vec<ObjectId> = self.asked.iter().copied().chain([blob]).collect();
            let mut search = objects.holding(&blobs);
            let found = match search.first(&tips)? {
                None => search.newest(&tips)?,
                found => found,
            };
            match found {
                Some(commit) => return objects.pointers_in_tree(commit),
                // The first may be a pointer that is written in another way than git-lfs does.
                None if self.guesses == 1 => return Ok(vec![]),
                None => {}
            }
        }
        self.over = true;
        objects.pointers_in_history(&tips)
    }
}

//! Lineage: what is written down of bundles and labels in the notes of git, and how bundles follow each other.
//!
//! A note is lines, each a record of its own: one JSON object, the same bytes whoever writes it, so that notes of two clones are
//! merged by sorting their lines and dropping doubles. A line that is no record known here stays as it is. A record of a bundle
//! holds at a commit as long as the tree that it names is the one of the dataset there, whatever became of the commit that it
//! was made for. The log of the store is the truth: [`repair`] writes the notes of a clone anew from it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::bundle::Root;
use crate::catalog::{Catalog, CatalogError};
use crate::git::{Datasets, NoteEdit, ObjectId, Objects, ObjectsError, note_lines};
use crate::id::{BundleId, GitId, RepoId};
use crate::ops::bundle::{NotFound, git_id, labels_of, open};
use crate::ops::label::of_repo;

/// The longest name of a person in a record, characters.
const LONGEST_NAME: usize = 120;

/// One line of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// A bundle was made.
    Bundle(BundleRecord),
    /// A label was set or taken away.
    Label(LabelRecord),
}

/// A bundle, as a note tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRecord {
    /// The bundle.
    pub id: BundleId,
    /// Its repo.
    pub repo: RepoId,
    /// The store that has it.
    pub store: String,
    /// The commit it was made for.
    pub commit: Option<String>,
    /// The git tree it is of.
    pub tree: Option<String>,
    /// The bundles it came from.
    #[serde(default)]
    pub parents: Vec<BundleId>,
    /// Who made it.
    #[serde(default)]
    pub contributor: Option<String>,
    /// When, milliseconds since 1970.
    #[serde(default)]
    pub time: u64,
}

/// One move of a label, as a note tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelRecord {
    /// The label.
    pub name: String,
    /// Its repo.
    pub repo: RepoId,
    /// The store.
    pub store: String,
    /// The log entry of the move.
    pub seq: u64,
    /// Where it leads from then on; nowhere if it was taken away.
    pub bundle: Option<BundleId>,
    /// Where it led before.
    pub previous: Option<BundleId>,
    /// Who moved it.
    pub who: Option<String>,
    /// When, milliseconds since 1970.
    pub when: u64,
}

impl Record {
    /// The record of a line; `None` where it is none that is known here.
    pub fn parse(line: &str) -> Option<Record> {
        serde_json::from_str(line).ok()
    }

    /// The line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("plain values always encode")
    }

    /// The record of a bundle: the same whenever it is written.
    pub fn of_bundle(catalog: &Catalog, root: &Root) -> Record {
        let facts = &root.facts;
        Record::Bundle(BundleRecord {
            id: root.id,
            repo: root.repo,
            store: catalog.identity().store.to_string(),
            commit: facts.commit.map(|it| it.to_string()),
            tree: facts.tree.map(|it| it.to_string()),
            parents: facts.parents.clone(),
            contributor: facts.contributors.first().map(|it| it.chars().take(LONGEST_NAME).collect()),
            time: facts.time,
        })
    }

    /// Whether it is of a bundle of this repo whose tree is another.
    pub fn is_stale(&self, repo: RepoId, tree: Option<ObjectId>) -> bool {
        let tree = tree.map(|tree| tree.to_string());
        matches!(self, Record::Bundle(it) if it.repo == repo && it.tree != tree)
    }

    /// Whether it is of a bundle whose dataset has another tree in the commit. Of a dataset that neither the commit nor the work
    /// tree names nothing can be said.
    pub fn is_stale_at(
        &self,
        datasets: &Datasets<'_>,
        objects: &Objects,
        commit: ObjectId,
    ) -> Result<bool, ObjectsError> {
        let Record::Bundle(BundleRecord { repo, .. }) = self else { return Ok(false) };
        let Some(place) = datasets.place(*repo, commit) else { return Ok(false) };
        Ok(self.is_stale(*repo, objects.tree_at(commit, place.path.as_bytes())?))
    }
}

/// The moves of a label, newest first, each with the bundle whose commit it is written down at.
pub fn moves_of(
    catalog: &Catalog,
    repo: RepoId,
    name: &str,
) -> Result<Vec<(BundleId, Record)>, CatalogError> {
    let moves = catalog.label_history(repo, name)?;
    let store = catalog.identity().store.to_string();
    let before = moves.iter().skip(1).map(|it| it.bundle).chain([None]);
    let record = |(it, previous): (&crate::catalog::Moved, Option<BundleId>)| {
        let record = Record::Label(LabelRecord {
            name: name.to_owned(),
            repo,
            store: store.clone(),
            seq: it.seq,
            bundle: it.bundle,
            previous,
            who: it.contributor.as_ref().map(|it| it.chars().take(LONGEST_NAME).collect()),
            when: it.time,
        });
        Some((it.bundle.or(previous)?, record))
    };
    Ok(moves.iter().zip(before).filter_map(record).collect())
}

/// Where the newest move of a label is to be written down; nowhere if the commit of its bundle is not here.
pub fn label_edit(
    catalog: &Catalog,
    objects: &Objects,
    repo: RepoId,
    name: &str,
) -> Result<Option<(ObjectId, NoteEdit)>, CatalogError> {
    let Some((bundle, record)) = moves_of(catalog, repo, name)?.into_iter().next() else { return Ok(None) };
    let commit = catalog.state().bundles().get(&bundle).and_then(|it| it.commit);
    let commit = commit.and_then(|it| objects.known(ObjectId::try_from(it.as_bytes()).ok()?));
    Ok(commit.map(|commit| (commit, NoteEdit { add: vec![record.line()], remove: vec![] })))
}

/// What is wrong with notes, and what becomes of it.
#[derive(Debug, Default)]
pub struct Repair {
    /// What to change at which commit.
    pub edits: BTreeMap<ObjectId, NoteEdit>,
    /// Bundles of the repo that no commit of this clone has.
    pub elsewhere: usize,
}

impl Repair {
    /// With what another dataset needs.
    pub fn and(mut self, other: Repair) -> Repair {
        for (commit, edit) in other.edits {
            let there = self.edits.entry(commit).or_default();
            there.add.extend(edit.add);
            there.remove.extend(edit.remove);
        }
        self.elsewhere += other.elsewhere;
        self
    }
}

/// What the notes of `commits` lack of this repo by the word of the store, and what of it in them holds no more.
pub fn repair(
    catalog: &Catalog,
    objects: &Objects,
    datasets: &Datasets<'_>,
    repo: RepoId,
    commits: &[ObjectId],
) -> Result<Repair, NotFound> {
    let own: Vec<_> = catalog.state().bundles().iter().filter(|(_, it)| it.repo == repo).collect();
    let (mut by_commit, mut by_tree) = (HashMap::<GitId, Vec<BundleId>>::new(), HashMap::new());
    for (id, it) in &own {
        it.commit.into_iter().for_each(|commit| by_commit.entry(commit).or_default().push(**id));
        it.tree.into_iter().for_each(|tree| by_tree.entry(tree).or_insert_with(Vec::new).push(**id));
    }
    let mut moves: HashMap<BundleId, Vec<Record>> = HashMap::new();
    for (name, _) in of_repo(catalog, repo) {
        for (at, record) in moves_of(catalog, repo, name)? {
            moves.entry(at).or_default().push(record);
        }
    }
    let (mut plan, mut placed) = (Repair::default(), HashSet::new());
    for commit in commits {
        let tree_of = |commit| match datasets.place(repo, commit) {
            Some(place) => objects.tree_at(commit, place.path.as_bytes()).map_err(unreadable),
            None => Ok(None),
        };
        let tree = tree_of(*commit)?;
        // A rewritten commit: one that left the dataset as it was has nothing to tell.
        let before = objects.first_parent(*commit).map_err(unreadable)?.map(tree_of).transpose()?.flatten();
        let of_tree = || tree.filter(|_| tree != before).and_then(|tree| by_tree.get(&git_id(tree)));
        let mut edit = NoteEdit::default();
        for id in by_commit.get(&git_id(*commit)).or_else(of_tree).into_iter().flatten() {
            placed.insert(*id);
            edit.add.push(Record::of_bundle(catalog, open(catalog, *id)?.root()).line());
            edit.add.extend(moves.get(id).into_iter().flatten().map(Record::line));
        }
        if datasets.place(repo, *commit).is_some() {
            let text = objects.note(*commit).map_err(unreadable)?;
            edit.remove = stale_lines(&text, repo, tree);
        }
        if edit != NoteEdit::default() {
            plan.edits.insert(*commit, edit);
        }
    }
    plan.elsewhere = own.iter().filter(|(id, _)| !placed.contains(*id)).count();
    Ok(plan)
}

/// The lines of a note that tell of a bundle of this repo with another tree.
fn stale_lines(note: &[u8], repo: RepoId, tree: Option<ObjectId>) -> Vec<String> {
    let stale = |line: &&str| Record::parse(line).is_some_and(|record| record.is_stale(repo, tree));
    note_lines(note)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .filter(stale)
        .map(str::to_owned)
        .collect()
}

fn unreadable(error: ObjectsError) -> NotFound {
    NotFound::Objects(error)
}

/// Which way lineage is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To what a bundle came from.
    Up,
    /// To what came from it.
    Down,
}

/// A bundle among those it came from, or that came from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The bundle.
    pub bundle: BundleId,
    /// The commit it was made for.
    pub commit: Option<String>,
    /// The bundles it came from.
    pub parents: Vec<BundleId>,
    /// The labels that lead to it.
    pub labels: Vec<String>,
    /// Who made it.
    pub contributors: Vec<String>,
    /// The first line of its message.
    pub subject: String,
    /// When, milliseconds since 1970.
    pub time: Option<u64>,
    /// Whether this store does not have it, as it was dropped or never came here: then the rest is empty.
    pub absent: bool,
    /// Steps from where the walk began.
    pub depth: usize,
}

impl Node {
    fn of(catalog: &Catalog, id: BundleId, depth: usize) -> Result<Node, NotFound> {
        let mut node = Node {
            bundle: id,
            commit: None,
            parents: vec![],
            labels: vec![],
            contributors: vec![],
            subject: String::new(),
            time: None,
            absent: !catalog.state().bundles().contains_key(&id),
            depth,
        };
        if !node.absent {
            let bundle = open(catalog, id)?;
            let facts = &bundle.root().facts;
            node.commit = facts.commit.map(|it| it.to_string());
            node.parents = facts.parents.clone();
            node.labels = labels_of(catalog, id);
            node.contributors = facts.contributors.clone();
            node.subject = facts.message.lines().next().unwrap_or_default().to_owned();
            node.time = Some(facts.time);
        }
        Ok(node)
    }
}

/// The bundles on the way from `from`, nearest first, at most `most`; each once. Whether there are more.
pub fn walk(catalog: &Catalog, from: BundleId, way: Way, most: usize) -> Result<(Vec<Node>, bool), NotFound> {
    let children = match way {
        Way::Up => HashMap::new(),
        Way::Down => children(catalog, from)?,
    };
    let (mut seen, mut nodes) = (BTreeSet::from([from]), Vec::new());
    let mut next = VecDeque::from([(from, 0)]);
    while let Some((id, depth)) = next.pop_front() {
        if nodes.len() == most {
            return Ok((nodes, true));
        }
        let node = Node::of(catalog, id, depth)?;
        let further = match way {
            Way::Up => node.parents.clone(),
            Way::Down => children.get(&id).cloned().unwrap_or_default(),
        };
        next.extend(further.into_iter().filter(|it| seen.insert(*it)).map(|it| (it, depth + 1)));
        nodes.push(node);
    }
    Ok((nodes, false))
}

/// Which bundles came from which: of those made after `from`, as nothing older can have come from it.
fn children(catalog: &Catalog, from: BundleId) -> Result<HashMap<BundleId, Vec<BundleId>>, NotFound> {
    let mut children: HashMap<BundleId, Vec<BundleId>> = HashMap::new();
    let Some(start) = catalog.state().bundles().get(&from) else { return Ok(children) };
    let later =
        catalog.state().bundles().iter().filter(|(_, it)| it.repo == start.repo && it.seq > start.seq);
    for (id, _) in later {
        for parent in &open(catalog, *id)?.root().facts.parents {
            children.entry(*parent).or_default().push(*id);
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_that_comes_back_and_others_are_none() {
        let record = Record::Bundle(BundleRecord {
            id: BundleId::new(),
            repo: RepoId::from_bytes([1; 16]),
            store: "s".to_owned(),
            commit: Some("c".repeat(40)),
            tree: Some("a".repeat(40)),
            parents: vec![BundleId::new()],
            contributor: Some("Ä\n <a@b>".to_owned()),
            time: 5,
        });
        let line = record.line();
        assert!(!line.contains('\n') && line.len() < 500, "{line}");
        assert_eq!(Record::parse(&line), Some(record.clone()));
        assert!(record.is_stale(RepoId::from_bytes([1; 16]), None));
        assert!(!record.is_stale(RepoId::NIL, None), "another repo is none of ours");
        for other in [
            "",
            "{}",
            "[[[",
            "{\"kind\":\"run\"}",
            "version https://git-lfs.github.com/spec/v1",
            "{\"kind\":\"bundle\"}",
        ] {
            assert_eq!(Record::parse(other), None, "{other}");
        }
        let deep = "[".repeat(1_000_000);
        assert_eq!(Record::parse(&deep), None);
    }
}

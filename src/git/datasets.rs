//! The datasets of a commit: those that its own `datamon.toml` names, where that lies.
//!
//! A branch may have other datasets than the work tree, or the same ones elsewhere, so the work tree is not asked about a commit
//! that answers for itself. A commit without the file may be older than the datasets: then it is of those of the work tree. Or it
//! is of something else, as a branch of web pages is that has no history in common with what is checked out.

use std::cell::RefCell;
use std::collections::HashMap;

use gix::ObjectId;

use crate::git::command::{Git, GitFailed};
use crate::git::manifest::{Dataset, MANIFEST_FILE, Manifest, ManifestError};
use crate::git::objects::Objects;
use crate::git::repo::Repo;
use crate::id::RepoId;

/// The datasets of a repository, commit by commit.
pub struct Datasets<'a> {
    git: &'a Git,
    objects: &'a Objects,
    here: Manifest,
    /// Those of each `datamon.toml` that was read: few files serve many commits.
    read: RefCell<HashMap<ObjectId, Vec<Dataset>>>,
}

impl<'a> Datasets<'a> {
    /// Those of this repository, whose work tree has a `datamon.toml` that can be read, or none.
    pub fn of(repo: &'a Repo, objects: &'a Objects) -> Result<Datasets<'a>, ManifestError> {
        Ok(Datasets { git: repo.git(), objects, here: repo.manifest()?, read: RefCell::default() })
    }

    /// Those of the work tree. Where it names none, the whole repository is the nil repo.
    pub fn here(&self) -> Vec<Dataset> {
        self.here.datasets()
    }

    /// Those that the commit itself names.
    fn own(&self, commit: ObjectId) -> Result<Vec<Dataset>, ManifestError> {
        let Some(file) = self.objects.blob_at(commit, MANIFEST_FILE.into())? else { return Ok(vec![]) };
        if let Some(known) = self.read.borrow().get(&file) {
            return Ok(known.clone());
        }
        let manifest = self.objects.manifest(file)?;
        let named = if manifest == Manifest::NONE { vec![] } else { manifest.datasets() };
        self.read.borrow_mut().insert(file, named.clone());
        Ok(named)
    }

    /// Those that the tip of a branch is a version of, without anybody asking: its own, or where it names none and has history in
    /// common with what is checked out, those of the work tree.
    pub fn of_tip(&self, tip: ObjectId) -> Result<Vec<Dataset>, ManifestError> {
        let own = self.own(tip)?;
        let is_older = || self.git.run(["merge-base", "HEAD", &tip.to_string()]).is_ok();
        if own.is_empty() && self.here != Manifest::NONE && is_older() {
            return Ok(self.here());
        }
        Ok(own)
    }

    /// What somebody means who asks for versions of the commit: its own datasets, or where it names none those of the work tree.
    pub fn at(&self, commit: ObjectId) -> Result<Vec<Dataset>, ManifestError> {
        let own = self.own(commit)?;
        Ok(if own.is_empty() { self.here() } else { own })
    }

    /// Where the dataset that is this repo lies in the commit: by its own word, else by that of the work tree. A `datamon.toml`
    /// that cannot be read says nothing.
    pub fn place(&self, repo: RepoId, commit: ObjectId) -> Option<Dataset> {
        let own = self.own(commit).unwrap_or_default();
        own.into_iter().chain(self.here()).find(|it| it.repo == repo)
    }

    /// The same by the commit's own word alone.
    pub fn own_place(&self, repo: RepoId, commit: ObjectId) -> Option<Dataset> {
        self.own(commit).ok()?.into_iter().find(|it| it.repo == repo)
    }

    /// Every path that a dataset has had on the way to a commit; one that is the whole repository there is looked for nowhere else.
    pub fn paths(&self, repo: RepoId, tip: ObjectId) -> Result<Vec<Vec<u8>>, GitFailed> {
        let path = |commit| self.place(repo, commit).map(|it| it.path.into_bytes());
        let mut paths: Vec<Vec<u8>> = path(tip).into_iter().collect();
        if paths.first().is_some_and(Vec::is_empty) {
            return Ok(paths);
        }
        let (tip, spec) = (tip.to_string(), format!(":(top,literal){MANIFEST_FILE}"));
        let said = self.git.run(["rev-list", "--full-history", &tip, "--", &spec])?;
        let moves = said.split(|byte| *byte == b'\n').filter_map(|hex| ObjectId::from_hex(hex).ok());
        // What is older than the file lies where the work tree has it.
        let here = self.here().into_iter().find(|it| it.repo == repo).map(|it| it.path.into_bytes());
        for path in moves.filter_map(path).chain(here) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// Every dataset that the work tree, a branch or a tag names, each once.
    pub fn all(&self) -> Result<Vec<RepoId>, ManifestError> {
        let mut all: Vec<RepoId> = self.here().iter().map(|it| it.repo).collect();
        for tip in self.objects.tips()? {
            let own = self.own(tip.commit).unwrap_or_default();
            for it in own {
                if !all.contains(&it.repo) {
                    all.push(it.repo);
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    fn names(datasets: &[Dataset]) -> Vec<&str> {
        datasets.iter().filter_map(|it| it.name.as_deref()).collect()
    }

    #[test]
    fn a_commit_answers_for_itself_and_the_work_tree_for_those_that_do_not() {
        let scratch = Scratch::new();
        let part = |name: &str, path: &str| Dataset {
            repo: RepoId::from_bytes([name.as_bytes()[0]; 16]),
            name: Some(name.to_owned()),
            path: path.to_owned(),
            lfs_only: false,
        };
        let manifest = |parts: &[Dataset]| {
            let mut manifest = Manifest::NONE;
            parts.iter().for_each(|it| manifest.add(it.clone()).unwrap());
            manifest.write_into(b"").unwrap()
        };
        let (a, b) = (part("a", "a"), part("b", "b"));
        scratch.commit(&[("x", b"before")]);
        scratch.commit(&[(MANIFEST_FILE, manifest(std::slice::from_ref(&a)).as_bytes())]);
        scratch.git.run(["branch", "other"]).unwrap();
        let moved = part("a", "moved/a");
        scratch.commit(&[(MANIFEST_FILE, manifest(&[moved.clone(), b.clone()]).as_bytes())]);
        scratch.commit(&[(MANIFEST_FILE, b"[[dataset")]);
        scratch.git.run(["checkout", "-q", "other"]).unwrap();

        let (repo, objects) = (scratch.repo(), scratch.objects());
        let datasets = Datasets::of(&repo, &objects).unwrap();
        let at = |spec: &str| objects.commit(spec).unwrap();
        assert_eq!(names(&datasets.here()), ["a"]);
        assert_eq!(datasets.own(at("main~3")).unwrap(), []);
        assert_eq!(names(&datasets.of_tip(at("main~3")).unwrap()), ["a"]);
        let tree = objects.resolve("main~3^{tree}").unwrap().to_string();
        let pages = scratch.says(&["commit-tree", "-m", "pages", &tree]);
        assert_eq!(datasets.of_tip(at(&pages)).unwrap(), []);
        assert_eq!(names(&datasets.at(at(&pages)).unwrap()), ["a"], "who asks for it gets it");
        assert_eq!(names(&datasets.own(at("main~")).unwrap()), ["a", "b"]);
        assert_eq!(datasets.place(a.repo, at("main~")), Some(moved));
        assert_eq!(datasets.place(a.repo, at("main~2")), Some(a.clone()));
        assert_eq!(datasets.place(b.repo, at("main~2")), None);
        assert!(datasets.own(at("main")).is_err() && datasets.at(at("main")).is_err());
        assert_eq!(datasets.place(a.repo, at("main")), Some(a.clone()), "what says nothing is passed over");
        assert_eq!(datasets.all().unwrap(), [a.repo]);
        scratch.git.run(["tag", "second", "main~"]).unwrap();
        assert_eq!(datasets.all().unwrap(), [a.repo, b.repo]);
    }
}

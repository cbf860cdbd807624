//! Inventory: every LFS object that the refs of a repository lead to, and where it can be had.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use rayon::prelude::*;

use super::session::NoSession;
use crate::catalog::Catalog;
use crate::git::{ObjectId, Objects, ObjectsError, Repo, TreePointer};
use crate::id::{Oid, RepoId};
use crate::ops::local;
use crate::progress::Progress;

/// Objects that a repository needs, each once, empty ones left out.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The objects, each with one of its paths, newest first.
    pub pointers: Vec<TreePointer>,
    here: HashSet<Oid>,
    stored: HashSet<Oid>,
}

impl Inventory {
    /// Of all history that any ref leads to.
    pub fn of_history(objects: &Objects) -> Result<Inventory, ObjectsError> {
        Ok(Inventory::of(objects.pointers_in_history(&objects.all_tips()?)?))
    }

    /// Of what HEADs, branches, tags and the stash hold now, without what they held before.
    pub fn of_tips(objects: &Objects) -> Result<Inventory, ObjectsError> {
        let mut tips: Vec<ObjectId> = objects.tips()?.into_iter().map(|tip| tip.commit).collect();
        tips.extend(objects.checkouts()?);
        objects.bring(&tips, &|_| true)?;
        let mut pointers = Vec::new();
        for tip in tips {
            pointers.extend(objects.pointers_in_tree(tip)?);
        }
        Ok(Inventory::of(pointers))
    }

    fn of(mut pointers: Vec<TreePointer>) -> Inventory {
        let mut seen = HashSet::new();
        pointers.retain(|found| found.pointer.size > 0 && seen.insert(found.pointer.oid));
        Inventory { pointers, ..Inventory::default() }
    }

    /// Looks which objects git-lfs keeps on this machine.
    pub fn look_here(&mut self, repo: &Repo) {
        let here = |found: &&TreePointer| repo.lfs_object_path(&found.pointer.oid).is_file();
        self.here = self.pointers.iter().filter(here).map(|found| found.pointer.oid).collect();
    }

    /// Hashes the objects on this machine, and puts those whose bytes are not what their name says where `git lfs fsck` puts
    /// them: into `bad` of the LFS directory. Gives them; they count as not here.
    pub fn put_bad_aside(&mut self, repo: &Repo, progress: &dyn Progress) -> io::Result<Vec<TreePointer>> {
        let here: Vec<&TreePointer> = self.here().collect();
        // A right hash has the right size. What cannot be read now may be right.
        let wrong = |found: &TreePointer| {
            let oid = local::oid_of(&repo.lfs_object_path(&found.pointer.oid).canonicalize()?)?;
            progress.add(found.pointer.size);
            Ok((oid != found.pointer.oid).then(|| found.clone()))
        };
        let looked: Vec<Option<TreePointer>> = here.into_par_iter().map(wrong).collect::<io::Result<_>>()?;
        let bad: Vec<TreePointer> = looked.into_iter().flatten().collect();
        let folder = repo.lfs_dir().join("bad");
        for found in &bad {
            let oid = found.pointer.oid;
            fs::create_dir_all(&folder)?;
            fs::rename(repo.lfs_object_path(&oid), folder.join(oid.to_string()))?;
            self.here.remove(&oid);
        }
        Ok(bad)
    }

    /// Looks which objects the store has: not a promise that it keeps them, which only a push makes.
    pub fn look_in(&mut self, catalog: &Catalog, repo: RepoId) -> Result<(), NoSession> {
        let oids: Vec<Oid> = self.pointers.iter().map(|found| found.pointer.oid).collect();
        let rows: HashMap<Oid, _> = catalog.find(repo, &oids)?;
        let usable = |oid: &Oid| rows.get(oid).is_some_and(|row| catalog.borrowable(row));
        self.stored = oids.into_iter().filter(usable).collect();
        Ok(())
    }

    /// Objects on this machine.
    pub fn here(&self) -> impl Iterator<Item = &TreePointer> {
        self.pointers.iter().filter(|found| self.here.contains(&found.pointer.oid))
    }

    /// Objects in the store.
    pub fn stored(&self) -> impl Iterator<Item = &TreePointer> {
        self.pointers.iter().filter(|found| self.stored.contains(&found.pointer.oid))
    }

    /// Objects that are neither here nor in the store.
    pub fn lacking(&self) -> impl Iterator<Item = &TreePointer> {
        let known = |oid: &Oid| self.here.contains(oid) || self.stored.contains(oid);
        self.pointers.iter().filter(move |found| !known(&found.pointer.oid))
    }
}

//! What a checkout will ask for, planned at the first request.
//!
//! The protocol names no commit. But the pointer's git blob can be computed from oid and size, so the tree that is being checked
//! out is the one that holds it: HEAD's, or that of a branch, a remote branch, a tag, or else of the newest commit that has it.
//! All its missing objects are planned by pack and read ahead.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::ahead::ReadAhead;
use super::hydrate::Folder;
use super::session::{NoSession, Session};
use crate::git::{ObjectsError, Operation, Pointer};
use crate::id::Oid;
use crate::ops::download::{rows, wanted};
use crate::ops::survey::LastTransfer;

/// What the agent has to download.
pub struct Puller {
    session: Session,
    ahead: ReadAhead,
    folder: Folder,
}

impl Puller {
    /// Open what a download from `remote` needs.
    pub fn open(cwd: &Path, remote: &str) -> Result<Puller, NoSession> {
        let session = Session::open(cwd, remote, Operation::Download)?;
        let folder = Folder::make(&session.repo)?;
        let ahead = ReadAhead::new(session.catalog.store());
        Ok(Puller { session, ahead, folder })
    }

    /// The verified file of an object, somewhere git-lfs may rename it from.
    pub fn pull(&mut self, asked: Pointer, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, String> {
        if !self.ahead.has(&asked.oid) {
            self.plan(asked)?;
        }
        let path = match self.ahead.claim(&asked.oid, progress) {
            Some(Ok(path)) if path.is_file() => path,
            Some(Err(error)) => return Err(error),
            // Swept meanwhile: an hour passed.
            _ => {
                self.fetch_alone(asked)?;
                self.ahead
                    .claim(&asked.oid, progress)
                    .ok_or("it was not fetched; run the command again")??
            }
        };
        let shared = self.session.repo.sharing().apply(&path);
        shared.map_err(|e| format!("cannot set the mode of {}: {e}", path.display()))?;
        Ok(path)
    }

    fn plan(&mut self, asked: Pointer) -> Result<(), String> {
        let predicted = self.predict(asked).unwrap_or_default();
        let mut seen = HashSet::from([asked.oid]);
        let mut all = vec![asked];
        for pointer in predicted {
            let here =
                || self.session.repo.lfs_object_path(&pointer.oid).is_file() || self.ahead.has(&pointer.oid);
            if pointer.size > 0 && seen.insert(pointer.oid) && !here() {
                all.push(pointer);
            }
        }
        let oids: Vec<Oid> = all.iter().map(|pointer| pointer.oid).collect();
        let Session { catalog, repo_id, .. } = &mut self.session;
        // A damaged part of a table must not cost the files that do not need it.
        let found = rows(catalog, *repo_id, &oids).or_else(|_| rows(catalog, *repo_id, &[asked.oid]));
        let rows = found.map_err(|e| e.to_string())?;
        let mut files = Vec::with_capacity(all.len());
        for pointer in &all {
            let path = self.folder.0.path().join(pointer.oid.to_string());
            match wanted(catalog, rows.get(&pointer.oid), pointer.oid, pointer.size, path) {
                Ok(file) => files.push(file),
                Err(error) if pointer.oid == asked.oid => return Err(error.to_string()),
                // It is told when it is asked for.
                Err(_) => {}
            }
        }
        // Packs were filled in path order, so this is the order of the tree too, for what was pushed together.
        files.sort_by_key(|file| file.terms.first().map(|term| (term.pack, term.offset, term.skip)));
        self.ahead.add(files);
        Ok(())
    }

    fn fetch_alone(&mut self, asked: Pointer) -> Result<(), String> {
        let Session { catalog, repo_id, .. } = &mut self.session;
        let rows = rows(catalog, *repo_id, &[asked.oid]).map_err(|e| e.to_string())?;
        let path = self.folder.0.path().join(asked.oid.to_string());
        let file =
            wanted(catalog, rows.get(&asked.oid), asked.oid, asked.size, path).map_err(|e| e.to_string())?;
        self.ahead.add(vec![file]);
        Ok(())
    }

    /// The pointers of the tree that is likely being checked out, in path order. Git's objects may be incomplete (a partial
    /// clone): then nothing is predicted.
    fn predict(&self, asked: Pointer) -> Result<Vec<Pointer>, ObjectsError> {
        let objects = &self.session.objects;
        let blob = asked.blob_id();
        let tips = objects.tips()?;
        let mut commit = None;
        for tip in &tips {
            if objects.tree_contains_blob(tip.commit, blob)? {
                commit = Some(tip.commit);
                break;
            }
        }
        if commit.is_none() {
            let tips: Vec<_> = tips.iter().map(|tip| tip.commit).collect();
            commit = objects.newest_commit_with(&tips, blob)?;
        }
        let Some(commit) = commit else { return Ok(vec![]) };
        Ok(objects.pointers_in_tree(commit)?.into_iter().map(|found| found.pointer).collect())
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        let requests = self.session.catalog.store().requests();
        LastTransfer { upload: false, requests, uploaded: None }.keep(&self.session.catalog);
    }
}

//! What a checkout or a fetch will ask for, planned at the first request and again after a surprise.
//!
//! What is foreseen (`forecast`) is looked up in one go and read ahead in the order of the packs (`ahead`).

use std::collections::HashMap;
use std::path::PathBuf;

use super::ahead::ReadAhead;
use super::asker::CommandLine;
use super::folder::Folder;
use super::forecast::Forecast;
use super::others::Others;
use super::session::{NoSession, Session};
use crate::git::{Objects, Operation, Pointer, Repo};
use crate::id::{Oid, PackId};
use crate::ops::download::{rows, wanted};
use crate::ops::fetch::{Source, Wanted};
use crate::ops::readlog::Read;
use crate::ops::survey::LastTransfer;

/// The stores of a clone, for who asks for one object after the other: what the first lacks the next one is asked for.
pub struct Pullers {
    repo: Repo,
    one_of_many: bool,
    first: Puller,
    beside: Vec<Puller>,
    others: Others,
}

impl Pullers {
    /// Open what a download from `remote` needs.
    pub fn open(repo: Repo, remote: &str, one_of_many: bool) -> Result<Pullers, NoSession> {
        let session = Session::open(repo.clone(), remote, Operation::Download)?;
        let first = Puller::on(session, one_of_many)?;
        let others = Others::of(&repo, remote);
        Ok(Pullers { repo, one_of_many, first, beside: vec![], others })
    }

    /// The repository and its first store.
    pub fn session(&self) -> &Session {
        &self.first.session
    }

    /// The verified file of an object, somewhere git-lfs may rename it from.
    pub fn pull(&mut self, asked: Pointer, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, String> {
        let error = match self.first.pull(asked, progress) {
            Ok(path) => return Ok(path),
            Err(error) => error,
        };
        for at in 0.. {
            if at == self.beside.len() {
                let Some(catalog) = self.others.open_next() else { break };
                let opened = Session::to_read(self.repo.clone(), catalog);
                match opened.and_then(|session| Puller::on(session, self.one_of_many)) {
                    Ok(puller) => self.beside.push(puller),
                    Err(other) => return Err(format!("{error}; {other}")),
                }
            }
            if let Ok(path) = self.beside[at].pull(asked, progress) {
                return Ok(path);
            }
        }
        Err(self.others.passed().iter().fold(error, |error, why| format!("{error}; {why}")))
    }
}

/// What the agent has to download from one store.
struct Puller {
    session: Session,
    /// Git's objects as far as they are here: no guess is worth a request to git's own remote.
    local: Objects,
    /// None where other agents of the same fetch run beside this one, each asked for its share.
    forecast: Option<Forecast>,
    /// What is on this machine is asked for too.
    again: bool,
    ahead: ReadAhead,
    folder: Folder,
    /// Files given to git-lfs, and their bytes.
    given: (u64, u64),
}

impl Puller {
    fn on(session: Session, one_of_many: bool) -> Result<Puller, NoSession> {
        let folder = Folder::make(&session.repo)?;
        let ahead = ReadAhead::new(&Source::of(&session.catalog));
        let line = CommandLine::of_asker();
        let forecast = (!one_of_many).then(|| Forecast::new(&session.repo, line.as_ref()));
        let local = session.repo.objects()?.only_local();
        let again = line.is_some_and(|line| line.again);
        Ok(Puller { session, local, forecast, again, ahead, folder, given: (0, 0) })
    }

    fn pull(&mut self, asked: Pointer, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, String> {
        let news = self.forecast.as_mut().map_or(vec![], |forecast| forecast.after(&self.local, asked));
        if !self.ahead.has(&asked.oid) || !news.is_empty() {
            self.plan(asked, news)?;
        }
        let path = match self.ahead.claim(&asked.oid, progress) {
            Some(Ok(path)) if path.is_file() => path,
            Some(Err(error)) => return Err(error),
            // Swept meanwhile: an hour passed.
            _ => {
                self.plan(asked, vec![])?;
                let again = self.ahead.claim(&asked.oid, progress);
                again.ok_or("it was not fetched; run the command again")??
            }
        };
        let shared = self.session.repo.sharing().apply(&path);
        shared.map_err(|e| format!("cannot set the mode of {}: {e}", path.display()))?;
        self.given = (self.given.0 + 1, self.given.1.saturating_add(asked.size));
        Ok(path)
    }

    /// Puts into the queue what was asked for and what is foreseen, less what is here.
    fn plan(&mut self, asked: Pointer, foreseen: Vec<Pointer>) -> Result<(), String> {
        let mut all = if self.ahead.has(&asked.oid) { vec![] } else { vec![asked] };
        all.extend(foreseen.into_iter().filter(|pointer| {
            let here = || self.session.repo.lfs_object_path(&pointer.oid).is_file();
            pointer.oid != asked.oid && !self.ahead.has(&pointer.oid) && (self.again || !here())
        }));
        let oids: Vec<Oid> = all.iter().map(|pointer| pointer.oid).collect();
        let Session { catalog, repo_id, .. } = &mut self.session;
        // A damaged part of a table must not cost the files that do not need it.
        let found = rows(catalog, *repo_id, &oids).or_else(|_| rows(catalog, *repo_id, &[asked.oid]));
        let rows = found.map_err(|e| e.to_string())?;
        let mut files = Vec::with_capacity(all.len());
        // What is not there is told when it is asked for.
        for pointer in all.iter().filter(|it| it.oid == asked.oid || rows.contains_key(&it.oid)) {
            let path = self.folder.path().join(pointer.oid.to_string());
            match wanted(catalog, rows.get(&pointer.oid), pointer.oid, pointer.size, path) {
                Ok(file) => files.push(file),
                Err(error) if pointer.oid == asked.oid => return Err(error.to_string()),
                Err(_) => {}
            }
        }
        self.ahead.add(by_pack(files));
        Ok(())
    }
}

/// Packs in the order in which they are first needed, so that the whole keeps the order of the one who asks, and in each pack
/// what lies together.
fn by_pack(mut files: Vec<Wanted>) -> Vec<Wanted> {
    let mut ranks: HashMap<PackId, usize> = HashMap::new();
    for term in files.iter().filter_map(|file| file.terms.first()) {
        let next = ranks.len();
        ranks.entry(term.pack).or_insert(next);
    }
    files.sort_by_key(|file| file.terms.first().map(|term| (ranks[&term.pack], term.offset, term.skip)));
    files
}

impl Drop for Puller {
    fn drop(&mut self) {
        let requests = self.session.catalog.store().requests();
        LastTransfer { upload: false, requests, uploaded: None }.keep(&self.session.catalog);
        let (files, bytes) = self.given;
        self.session.note(Read::new("lfs", self.session.repo_id, files, bytes));
    }
}

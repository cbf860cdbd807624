//! What a push will ask for, planned at the first request.
//!
//! git-lfs hands over one object at a time and waits. So at the first one the whole set is worked out from git: what *every*
//! local ref whose outgoing range holds the object has in common is certain to be asked for, whichever of them is pushed. In
//! the ordinary case that is HEAD's range, and it goes up in one ingest and one log entry. `git lfs push --all` is recognised by its command line. Any other object goes alone, and
//! what the store has already is touched together with it. Nothing is uploaded that nobody asked for.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};

use super::asker::CommandLine;
use super::session::{NoSession, Session};
use super::{TICK, batch};
use crate::catalog::CatalogError;
use crate::git::{Objects, ObjectsError, Operation, Pointer, Repo, TreePointer};
use crate::id::{BundleId, Oid};
use crate::ops::bundle::Prepared;
use crate::ops::receipt::{RECEIPT_ENV, Receipt};
use crate::ops::survey::LastTransfer;
use crate::ops::upload::{Asked, Drafting, Read, Upload, Uploaded, name_repo, upload, upload_all};
use crate::progress::Progress;

/// A push, and what became of its objects.
pub struct Pusher {
    session: Session,
    remote: String,
    results: HashMap<Oid, Result<(), String>>,
    touched_all: bool,
    /// Git's objects as far as they are here: what a partial clone lacks is planned when it is asked for.
    local: OnceCell<Objects>,
    /// Other agents of the same push run beside this one, and each uploads what it is asked for.
    one_of_many: bool,
}

impl Pusher {
    /// Open what an upload to `remote` needs.
    pub fn open(repo: Repo, remote: &str, one_of_many: bool) -> Result<Pusher, NoSession> {
        let session = Session::open(repo, remote, Operation::Upload)?.of_kin()?;
        Ok(Pusher::on(session, remote, one_of_many))
    }

    /// An upload to the store of an open session.
    pub fn on(session: Session, remote: &str, one_of_many: bool) -> Pusher {
        let mut results = HashMap::new();
        // What the hook of this very push made durable, in this store and for this repo, is done (R12).
        if let Some(receipt) = std::env::var_os(RECEIPT_ENV).and_then(|path| Receipt::read(Path::new(&path)))
        {
            let Session { catalog, repo_id, .. } = &session;
            if receipt.is_of(catalog.identity().store, catalog.store().url().as_str(), *repo_id) {
                results.extend(receipt.oids.into_iter().map(|oid| (oid, Ok(()))));
            }
        }
        let local = OnceCell::new();
        Pusher { session, remote: remote.to_owned(), results, touched_all: false, local, one_of_many }
    }

    /// The repository and the store.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the receipt of this very push lists the object.
    pub fn has(&self, oid: &Oid) -> bool {
        self.results.get(oid).is_some_and(Result::is_ok)
    }

    /// The outcome for an object that was part of an earlier batch. It is told once: asked again, it is done again.
    pub fn outcome(&mut self, oid: &Oid) -> Option<Result<(), String>> {
        self.results.remove(oid)
    }

    /// Upload the object, and with it what will be asked for next.
    pub fn push(&mut self, asked: Pointer, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), String> {
        let (batch, touch) = self.plan(asked, path);
        let Session { catalog, repo_id, repo_name, .. } = &mut self.session;
        // The batch is reported as if it were the object asked for: git-lfs's meter moves, and never past its size.
        let uploaded = watched(
            |meter| {
                name_repo(catalog, *repo_id, repo_name.as_deref().unwrap_or("data"))?;
                upload(catalog, *repo_id, &batch, &touch, meter)
            },
            |done| progress(done.min(asked.size.saturating_sub(1))),
        );
        let uploaded = match uploaded {
            Ok(uploaded) => uploaded,
            // All of the batch is told so: to try it again for each object would cost the whole batch each time.
            Err(error) => {
                let why = error.to_string();
                self.results.extend(batch.iter().filter_map(|file| Some((file.oid?, Err(why.clone())))));
                return self.outcome(&asked.oid).unwrap_or(Err(why));
            }
        };
        self.results.extend(uploaded.receipt.oids.iter().map(|oid| (*oid, Ok(()))));
        let failed = uploaded.failed.iter();
        self.results.extend(failed.filter_map(|it| Some((it.oid?, Err(it.error.to_string())))));
        self.keep_house(&uploaded);
        self.outcome(&asked.oid).unwrap_or_else(|| Err(format!("{} was not uploaded; push again", asked.oid)))
    }

    /// Upload what is on this machine of `pointers` and touch what else of them the store has: the push whose refs are known
    /// beforehand. What the receipt does not list is nowhere. A bundle that is asked for is made in the same entry, and `latest` is
    /// moved in it.
    pub fn push_all(
        &mut self,
        pointers: &[TreePointer],
        bundle: Option<&Prepared>,
        latest: Option<BundleId>,
        progress: &dyn Progress,
    ) -> Result<Uploaded, NoSession> {
        let mut uploads = batch::uploads(&self.session, &self.remote, pointers.to_vec());
        if let Some(prepared) = bundle {
            let planned: HashSet<PathBuf> = uploads.iter().map(|file| file.path.clone()).collect();
            let more = prepared.uploads().iter().filter(|file| !planned.contains(&file.path));
            uploads.extend(more.cloned());
        }
        let here: HashSet<Oid> = uploads.iter().filter_map(|file| file.oid).collect();
        let absent =
            pointers.iter().map(|found| found.pointer).filter(|it| it.size > 0 && !here.contains(&it.oid));
        let touch: Vec<Oid> = absent.map(|pointer| pointer.oid).collect();
        let Session { catalog, repo_id, repo_name, .. } = &mut self.session;
        name_repo(catalog, *repo_id, repo_name.as_deref().unwrap_or("data"))?;
        let drafting = bundle.map(|prepared| move |read: &Read| prepared.draft(read));
        let asked = Asked { drafting: drafting.as_ref().map(|drafting| drafting as Drafting<'_>), latest };
        let uploaded = upload_all(catalog, *repo_id, &uploads, &touch, asked, progress)?;
        self.keep_house(&uploaded);
        Ok(uploaded)
    }

    /// The repository and the store, for what comes after the data.
    pub fn into_session(self) -> Session {
        self.session
    }

    /// What `push_all` would send: files, and how many of them the store has.
    pub fn preview(&self, pointers: Vec<TreePointer>) -> Result<(Vec<Upload>, usize), NoSession> {
        let uploads = batch::uploads(&self.session, &self.remote, pointers);
        let oids: Vec<Oid> = uploads.iter().filter_map(|file| file.oid).collect();
        let known = self.session.catalog.find(self.session.repo_id, &oids)?.len();
        Ok((uploads, known))
    }

    /// Everything asked for is durable by now: what fails here is done by the next push.
    fn keep_house(&mut self, uploaded: &Uploaded) {
        let catalog = &mut self.session.catalog;
        let _: Result<(), CatalogError> = catalog.upkeep();
        // All of the session: opening the store, probing it, naming the repo and the checkpoint are part of what it costs.
        let requests = catalog.store().requests();
        LastTransfer { upload: true, requests, uploaded: Some(uploaded.stats) }.keep(catalog);
        catalog.cache().trim();
    }

    /// What to upload now, and what else to touch if the store has it. A partial clone may not be able to tell what is being
    /// pushed: then each object goes when it is asked for.
    fn plan(&mut self, asked: Pointer, path: &Path) -> (Vec<Upload>, Vec<Oid>) {
        let alone = Upload { oid: Some(asked.oid), size: asked.size, path: path.to_owned(), previous: None };
        if self.one_of_many {
            return (vec![alone], vec![]);
        }
        let Some(pointers) = self.certain(asked.oid).unwrap_or_default() else {
            return (vec![alone], self.everything().unwrap_or_default());
        };
        let mut uploads = batch::uploads(&self.session, &self.remote, pointers);
        match uploads.iter_mut().find(|file| file.oid == Some(asked.oid)) {
            Some(file) => (file.path, file.size) = (path.to_owned(), asked.size),
            None => uploads.push(alone),
        }
        (uploads, vec![])
    }

    /// The pointers that are certain to be asked for, given that this one was; `None` if no outgoing range holds it.
    fn certain(&self, asked: Oid) -> Result<Option<Vec<TreePointer>>, ObjectsError> {
        let objects = self.local()?;
        let holds = |range: &[TreePointer]| range.iter().any(|found| found.pointer.oid == asked);
        if CommandLine::of_asker().is_some_and(|line| line.pushes_all()) {
            return Ok(
                Some(objects.pointers_in_history(&objects.local_tips()?)?).filter(|range| holds(range))
            );
        }
        let known = objects.remote_tips(&self.remote)?;
        let mut common: Option<Vec<TreePointer>> = None;
        for tip in objects.tips()?.iter().filter(|tip| !tip.name.starts_with(b"refs/remotes/")) {
            let range = objects.outgoing(&[tip.commit], &known)?;
            if !holds(&range) {
                continue;
            }
            common = Some(match common {
                None => range,
                Some(common) => {
                    let here: HashSet<_> = range.iter().map(|found| found.pointer.oid).collect();
                    common.into_iter().filter(|found| here.contains(&found.pointer.oid)).collect()
                }
            });
        }
        Ok(common)
    }

    fn local(&self) -> Result<&Objects, ObjectsError> {
        if self.local.get().is_none() {
            let _ = self.local.set(self.session.repo.objects()?.only_local());
        }
        Ok(self.local.get().expect("set just now"))
    }

    /// Every object of the history, once: what a push by URL goes through. To touch is not to upload.
    fn everything(&mut self) -> Result<Vec<Oid>, ObjectsError> {
        if std::mem::replace(&mut self.touched_all, true) {
            return Ok(vec![]);
        }
        let objects = self.local()?;
        let tips: Vec<_> = objects.tips()?.iter().map(|tip| tip.commit).collect();
        let mut oids: Vec<Oid> =
            objects.pointers_in_history(&tips)?.iter().map(|found| found.pointer.oid).collect();
        oids.sort_unstable();
        oids.dedup();
        Ok(oids)
    }
}

struct Meter(AtomicU64);

impl Progress for Meter {
    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Relaxed);
    }
}

/// Run `work` on a thread of its own, and tell `tell` now and then how many bytes it has done.
fn watched<T: Send>(work: impl FnOnce(&Meter) -> T + Send, mut tell: impl FnMut(u64)) -> T {
    let meter = Meter(AtomicU64::new(0));
    let (done, finished) = channel::<()>();
    std::thread::scope(|scope| {
        let meter = &meter;
        let work = scope.spawn(move || {
            // Dropped, it wakes whoever waits, also when the work panics.
            let _done = done;
            work(meter)
        });
        while finished.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            tell(meter.0.load(Relaxed));
        }
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

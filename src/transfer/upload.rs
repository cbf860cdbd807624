//! What a push will ask for, planned at the first request.
//!
//! git-lfs hands over one object at a time and waits. So at the first one the whole set is worked out from git: if HEAD's
//! outgoing range holds the object, that range is what is being pushed, and it goes up in one ingest and one log entry. Else
//! it is a push of another ref: what *every* ref whose outgoing range holds the object has in common is certain to be asked
//! for, whichever of them is pushed. `git lfs push --all` is recognised by its command line. Any other object goes alone, and
//! what the store has already is touched together with it. Nothing is uploaded that nobody asked for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};

use super::session::{NoSession, Session};
use super::{TICK, asker};
use crate::git::{ObjectsError, Operation, Pointer, TreePointer};
use crate::id::Oid;
use crate::ops::receipt::{RECEIPT_ENV, Receipt};
use crate::ops::upload::{Upload, name_repo, upload};
use crate::progress::Progress;

/// What the agent has to upload, and what became of it.
pub struct Pusher {
    session: Session,
    remote: String,
    results: HashMap<Oid, Result<(), String>>,
    touched_all: bool,
}

impl Pusher {
    /// Nothing was asked for yet.
    pub fn new(session: Session, remote: &str) -> Self {
        let mut results = HashMap::new();
        // What the hook of this very push made durable, in this store and for this repo, is done (R12).
        if let Some(receipt) = std::env::var_os(RECEIPT_ENV).and_then(|path| Receipt::read(Path::new(&path)))
        {
            let Session { catalog, repo_id, .. } = &session;
            if receipt.is_of(catalog.identity().store, catalog.store().url().as_str(), *repo_id) {
                results.extend(receipt.oids.into_iter().map(|oid| (oid, Ok(()))));
            }
        }
        Pusher { session, remote: remote.to_owned(), results, touched_all: false }
    }

    /// The outcome for an object that was part of an earlier batch. It is told once: asked again, it is done again.
    pub fn outcome(&mut self, oid: &Oid) -> Option<Result<(), String>> {
        self.results.remove(oid)
    }

    /// Upload the object, and with it what will be asked for next.
    pub fn push(&mut self, asked: Pointer, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), String> {
        let (batch, touch) = self.plan(asked, path).map_err(|e| e.to_string())?;
        let all: Vec<Oid> = batch.iter().map(|file| file.oid).chain(touch.iter().copied()).collect();
        let Session { catalog, repo_id, repo_name, .. } = &mut self.session;
        name_repo(catalog, *repo_id, repo_name.as_deref().unwrap_or("data")).map_err(|e| e.to_string())?;
        // The batch is reported as if it were the object asked for: git-lfs's meter moves, and never past its size.
        let outcome = watched(
            |meter| upload(catalog, *repo_id, &batch, &touch, meter),
            |done| progress(done.min(asked.size.saturating_sub(1))),
        )
        .map_err(|e| e.to_string())?;
        for oid in all.iter().filter(|oid| outcome.receipt.oids.contains(oid)) {
            self.results.insert(*oid, Ok(()));
        }
        for (oid, error) in &outcome.failed {
            self.results.insert(*oid, Err(error.to_string()));
        }
        if catalog.checkpoint_due() {
            // Everything asked for is durable; a checkpoint that fails now is written by the next push.
            let _ = catalog.write_checkpoint();
        }
        self.outcome(&asked.oid).unwrap_or_else(|| Err(format!("{} was not uploaded; push again", asked.oid)))
    }

    /// What to upload now, and what else to touch if the store has it.
    fn plan(&mut self, asked: Pointer, path: &Path) -> Result<(Vec<Upload>, Vec<Oid>), ObjectsError> {
        let certain = self.certain(asked.oid)?;
        let batch: Vec<TreePointer> = match certain {
            Some(pointers) => pointers,
            None => {
                let alone =
                    Upload { oid: asked.oid, size: asked.size, path: path.to_owned(), previous: None };
                return Ok((vec![alone], self.everything()?));
            }
        };
        let mut previous = HashMap::new();
        if let Some(head) = self.session.objects.head()?
            && let Some(parent) = self.session.objects.first_parent(head)?
        {
            for found in &batch {
                if let Some(pointer) = self.session.objects.pointer_at(parent, found.path.as_ref())? {
                    previous.insert(found.pointer.oid, pointer.oid);
                }
            }
        }
        let mut seen = BTreeSet::new();
        let mut files = Vec::with_capacity(batch.len());
        for TreePointer { pointer, .. } in batch {
            let path = match pointer.oid == asked.oid {
                true => path.to_owned(),
                false => self.session.repo.lfs_object_path(&pointer.oid),
            };
            // What is not here is asked for and refused one by one: git-lfs decides whether that fails the push.
            if seen.insert(pointer.oid) && (pointer.oid == asked.oid || path.is_file()) {
                let previous = previous.remove(&pointer.oid);
                files.push(Upload { oid: pointer.oid, size: pointer.size, path, previous });
            }
        }
        Ok((files, vec![]))
    }

    /// The pointers that are certain to be asked for, given that this one was; `None` if no outgoing range holds it.
    fn certain(&self, asked: Oid) -> Result<Option<Vec<TreePointer>>, ObjectsError> {
        let objects = &self.session.objects;
        if asker::pushes_all() {
            let tips: Vec<_> = objects.tips()?.iter().map(|tip| tip.commit).collect();
            return Ok(Some(objects.pointers_in_history(&tips)?).filter(|range| holds(range, asked)));
        }
        let known = objects.remote_tips(&self.remote)?;
        let mut common: Option<Vec<TreePointer>> = None;
        for tip in objects.tips()?.iter().filter(|tip| !tip.name.starts_with(b"refs/remotes/")) {
            let range = objects.outgoing(&[tip.commit], &known)?;
            if !holds(&range, asked) {
                continue;
            }
            if tip.name == "HEAD" {
                return Ok(Some(range));
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

    /// Every object of the history, once: what `push --all` and a push by URL go through. To touch is not to upload.
    fn everything(&mut self) -> Result<Vec<Oid>, ObjectsError> {
        if std::mem::replace(&mut self.touched_all, true) {
            return Ok(vec![]);
        }
        let objects = &self.session.objects;
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

fn holds(range: &[TreePointer], oid: Oid) -> bool {
    range.iter().any(|found| found.pointer.oid == oid)
}

/// Open what an upload to `remote` needs.
pub fn open(cwd: &Path, remote: &str) -> Result<Pusher, NoSession> {
    Ok(Pusher::new(Session::open(cwd, remote, Operation::Upload)?, remote))
}

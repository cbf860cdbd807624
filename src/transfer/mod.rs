//! L5 · The agent's side of a git-lfs push or clone: what git will ask for, planned at once.

mod ahead;
mod asker;
mod batch;
mod download;
mod fill;
mod folder;
mod forecast;
mod hydrate;
mod intake;
mod inventory;
mod others;
mod session;
mod site;
mod upload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lfs_agent::{Failure, Init, Object, Transfer};

use download::Pullers;
pub use fill::{Filled, Filling, LocalObjects};
pub use hydrate::{Hydrated, Hydration};
pub use intake::{Intake, IntakeError, TakenIn};
pub use inventory::Inventory;
pub use others::Others;
pub use session::{NoSession, Session};
pub use site::Site;
pub use upload::Pusher;

use crate::git::{Operation, Pointer, Repo};
use crate::id::Oid;

/// What git-lfs shows as the code of an object that failed for a reason of ours.
const FAILED: i32 = 1;
/// How often a transfer in progress is reported.
const TICK: Duration = Duration::from_millis(100);

enum Side {
    Closed,
    Push(Box<Pusher>),
    Pull(Box<Pullers>),
}

/// The git-lfs transfer agent over a datamon store.
pub struct Agent {
    cwd: PathBuf,
    remote: String,
    concurrent: bool,
    side: Side,
}

impl Agent {
    /// An agent started by git-lfs in the directory `cwd`.
    pub fn new(cwd: PathBuf) -> Self {
        Agent { cwd, remote: String::new(), concurrent: false, side: Side::Closed }
    }

    fn repo(&self) -> Result<Repo, NoSession> {
        Ok(Repo::discover(&self.cwd)?)
    }

    fn pusher(&mut self) -> Result<&mut Pusher, String> {
        if !matches!(self.side, Side::Push(_)) {
            let opened = self.repo().and_then(|repo| Pusher::open(repo, &self.remote, self.concurrent));
            let pusher = opened.map_err(|error| error.to_string())?;
            pusher.session().settle_in();
            self.side = Side::Push(Box::new(pusher));
        }
        match &mut self.side {
            Side::Push(pusher) => Ok(pusher),
            _ => unreachable!("just opened"),
        }
    }

    fn puller(&mut self) -> Result<&mut Pullers, String> {
        if !matches!(self.side, Side::Pull(_)) {
            let puller = self.repo().and_then(|repo| Pullers::open(repo, &self.remote, self.concurrent));
            let puller = puller.map_err(|error| format!("{error}{}", self.remedy()))?;
            puller.session().settle_in();
            self.side = Side::Pull(Box::new(puller));
        }
        match &mut self.side {
            Side::Pull(puller) => Ok(puller),
            _ => unreachable!("just opened"),
        }
    }

    /// What may be the reason that the store lacks an object: the repository keeps its data elsewhere by now.
    fn astray(&self) -> Option<String> {
        let repo = Repo::discover(&self.cwd).ok()?;
        let astray = repo.astray(&repo.store_url(&self.remote, Operation::Download).ok()??).ok()??;
        Some(format!(". {astray}: {}", astray.remedy()))
    }
}

impl Agent {
    /// What to type when data can be had again: where a first checkout fails now, git's own advice leaves the index
    /// empty.
    fn remedy(&self) -> &'static str {
        let first = Repo::discover(&self.cwd)
            .is_ok_and(|repo| repo.work_tree().is_some() && !repo.git_dir().join("index").exists());
        if first {
            "; when that is mended, complete the checkout with `git datamon pull --data-only`"
        } else {
            ""
        }
    }
}

fn pointer(object: &Object) -> Result<Pointer, Failure> {
    let oid: Oid = object.oid.as_str().parse().map_err(|e| Failure::new(FAILED, format!("{e}")))?;
    Ok(Pointer { oid, size: object.size })
}

impl Transfer for Agent {
    fn init(&mut self, init: &Init) -> Result<(), Failure> {
        self.remote = init.remote.clone();
        self.concurrent = init.concurrent;
        Ok(())
    }

    fn upload(&mut self, object: &Object, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        let asked = pointer(object)?;
        let pusher = self.pusher().map_err(|e| Failure::new(FAILED, e))?;
        if let Some(outcome) = pusher.outcome(&asked.oid) {
            return outcome.map_err(|e| Failure::new(FAILED, e));
        }
        pusher.push(asked, path, progress).map_err(|e| Failure::new(FAILED, e))
    }

    fn download(&mut self, object: &Object, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        let asked = pointer(object)?;
        let puller = self.puller().map_err(|e| Failure::new(FAILED, e))?;
        let pulled = puller.pull(asked, progress);
        pulled.map_err(|e| Failure::new(FAILED, format!("{e}{}", self.astray().unwrap_or_default())))
    }

    fn finish(&mut self) {
        // Drops the read-ahead and its directory; everything acknowledged is durable since it was acknowledged.
        self.side = Side::Closed;
    }
}

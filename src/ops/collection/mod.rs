//! Collection: what nothing live names is condemned by an entry of the log, deleted after a grace for readers, and forgotten at last. What
//! is live in packs that are dead for the most part is copied before, so that those can go too.
//!
//! What is live follows from the log alone (R1); clocks are a politeness to readers and to pushes that are under way, and a wrong
//! one costs them another try. Each step is an entry or a delete that can be done again, so a run that was killed is completed by
//! the next one, of whatever machine. Before the first delete a second walk, which reads as readers do, has to agree.

mod blank;
mod canary;
mod condemn;
mod repack;
mod status;
mod sweep;
mod value;
mod walk;
mod waste;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::open::probe_once;
use crate::catalog::plan::Mark;
use crate::catalog::{Catalog, CatalogError, Refusal};
use crate::id::{PackId, PackKind};
use crate::store::{Listed, Store, StoreError, key};

pub use status::{Status, status};
pub use value::{Held, Plan, Reason, Shown, plan};

/// Times that another entry may come between.
const ATTEMPTS: usize = 256;

/// How long things wait, by the clock of the store, and how much is tolerated.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the Condemn of a pack to its deletion: who reads an older state reads on so long.
    pub grace: Duration,
    /// From the writing of a pack that no entry names, or of half a file, to its Condemn or deletion: a push may be under way.
    pub orphans: Duration,
    /// From the Condemn of a pack to its Forget, which makes sessions that are older begin again (R15).
    pub tombstones: Duration,
    /// Hundredths of the data that may be dead in packs that live on. Above that what is live in the worst is copied; `None`: never.
    pub max_unused: Option<u8>,
    /// Whether chunks that nothing needs are left out of frames that are needed: every pack with one is copied.
    pub blank: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Limits { grace: days(1), orphans: days(7), tombstones: days(30), max_unused: Some(20), blank: false }
    }
}

/// A collection that was not done, or not to its end; another run goes on with it.
#[derive(Debug, thiserror::Error)]
pub enum NotCollected {
    /// The store cannot be used, or something in it cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The two walks do not agree.
    #[error("nothing was deleted: {what}; run `git datamon fsck`")]
    Canary {
        /// On what.
        what: String,
    },
    /// Others write all the time.
    #[error(
        "others wrote to the store {0} times while a collection was to be committed: run the command again"
    )]
    Contended(usize),
}

impl From<StoreError> for NotCollected {
    fn from(error: StoreError) -> NotCollected {
        NotCollected::Catalog(error.into())
    }
}

/// So many packs or files.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn of(sizes: impl IntoIterator<Item = u64>) -> Amount {
        let mut amount = Amount::default();
        sizes.into_iter().for_each(|bytes| amount.add(bytes));
        amount
    }
}

/// What a run did.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Collected {
    /// Packs that may not be named any more from now on.
    pub condemned: Amount,
    /// Packs deleted.
    pub deleted: Amount,
    /// Packs that wait for their grace to end.
    pub waiting: Amount,
    /// Packs whose tombstones went.
    pub forgotten: u64,
    /// Packs, condemned since, of which what is live was copied.
    pub repacked: Amount,
    /// The packs it was copied into, and the bytes that were copied: no other data is read.
    pub copied: Amount,
    /// Packs that were to be emptied and cannot be read: they lie in an archive, or are damaged, and stay as they are.
    pub unread: u64,
    /// Raw bytes of chunks that were left out of frames that are needed.
    pub blanked_bytes: u64,
    /// Raw bytes of such chunks that stay: in frames that would have become longer, or in packs that somebody pushed with meanwhile.
    pub unblanked_bytes: u64,
    /// Packs that such chunks were not looked for in: a run before copied a part of them, they are damaged or not there, another collection came
    /// between.
    pub unlooked: u64,
    /// Bytes that are dead in packs that live on.
    pub unused_bytes: u64,
    /// Packs that no entry names and that are too young to be condemned.
    pub young: Amount,
    /// Unfinished writes removed.
    pub unfinished: Amount,
}

/// A pack as the store lists it.
#[derive(Debug, Clone, Copy)]
struct Stored {
    kind: PackKind,
    size: u64,
    /// By the clock of the store, milliseconds since 1970.
    modified: u64,
}

/// Every pack that is in the store.
type Stock = BTreeMap<PackId, Stored>;

/// Lists the packs. A listing that fails is an error, and what a short one leaves out is neither condemned nor deleted.
fn stock(store: &Store) -> Result<Stock, StoreError> {
    let mut stock = Stock::new();
    for folder in [key::DATA, key::META] {
        for Listed { key, size, modified } in store.list(folder, "")? {
            if let Some((kind, pack)) = key::pack_id(&key) {
                stock.insert(pack, Stored { kind, size, modified });
            }
        }
    }
    Ok(stock)
}

/// Whether so much time has passed; what lies in the future is young.
fn is_older(since: u64, now: u64, wait: Duration) -> bool {
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    now.checked_sub(since).is_some_and(|age| age >= wait)
}

/// Packs of the stock that no entry names: those old enough to be condemned, and what the others are. What an entry of this
/// machine names whose fate is not known yet is not among them.
fn orphans(catalog: &Catalog, stock: &Stock, now: u64, wait: Duration) -> (BTreeSet<PackId>, Amount) {
    let state = catalog.state();
    let own = catalog.packs_in_journal();
    let unknown = stock.iter().filter(|(pack, _)| {
        !state.packs().contains_key(pack) && !state.condemned().contains_key(pack) && !own.contains(pack)
    });
    let (old, young): (Vec<_>, Vec<_>) = unknown.partition(|(_, it)| is_older(it.modified, now, wait));
    (old.into_iter().map(|(pack, _)| *pack).collect(), Amount::of(young.iter().map(|(_, it)| it.size)))
}

/// Collect: everything that can be done now.
pub fn collect(catalog: &mut Catalog, limits: Limits) -> Result<Collected, NotCollected> {
    probe_once(catalog)?;
    catalog.settle()?;
    catalog.refresh()?;
    if let Some(seq) = catalog.state().unknown() {
        return Err(CatalogError::from(Refusal::Upgrade { seq }).into());
    }
    let now = catalog.store().clock()?;
    let stock = stock(catalog.store())?;
    let live = walk::walk(catalog, limits.blank)?;
    let (old, young) = orphans(catalog, &stock, now, limits.orphans);
    let mut mark = Mark::take(catalog.state(), &live.named, &old);
    let mut waste = waste::Waste::of(catalog, &mark, &live, &stock, &limits);
    let mut done = Collected { young, ..Collected::default() };
    if let Some(reads) = &live.reads {
        waste.blank(catalog, &mut mark, reads, &mut done)?;
    }
    done.unused_bytes = waste.unused();
    // As large as what is live has names: no longer needed.
    drop(live);
    repack::repack(catalog, &mut mark, waste.chosen, None, &mut done)?;
    condemn::condemn(catalog, &mark, &stock, &mut done)?;
    let swept = sweep::sweep(catalog, &stock, now, limits.grace, &mut done)?;
    sweep::forget(catalog, &mark, &stock, &swept, now, limits.tombstones, &mut done)?;
    sweep::remove_unfinished(catalog, now, limits.orphans, &mut done)?;
    // A checkpoint that falls due; what was done is done without.
    let _: Result<(), CatalogError> = catalog.upkeep();
    Ok(done)
}

//! Sweep: condemned packs are deleted once their grace is over, and forgotten when nobody can mean to name them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rayon::prelude::*;

use super::{Collected, NotCollected, Stock, canary, is_older};
use crate::catalog::change::Change;
use crate::catalog::plan::Mark;
use crate::catalog::{Catalog, CatalogError, Refusal};
use crate::id::PackId;
use crate::store::{StoreError, key};

/// Packs deleted before the head is read again.
const BATCH: usize = 100;

/// When entries were written, as far as they were asked for.
struct Dates<'a> {
    catalog: &'a Catalog,
    known: BTreeMap<u64, u64>,
}

impl Dates<'_> {
    /// When an entry was written, by the clock of the store.
    fn of(&mut self, seq: u64) -> Result<u64, StoreError> {
        if let Some(known) = self.known.get(&seq) {
            return Ok(*known);
        }
        // An entry that is not there is none that ever grows old: readers of the log say what is wrong.
        let date = self.catalog.store().modified(&key::log(seq))?.unwrap_or(u64::MAX);
        self.known.insert(seq, date);
        Ok(date)
    }
}

/// The packs that were condemned so long ago.
pub(super) fn condemned_before(
    catalog: &Catalog,
    now: u64,
    wait: Duration,
) -> Result<BTreeSet<PackId>, StoreError> {
    let mut dates = Dates { catalog, known: BTreeMap::new() };
    let mut found = BTreeSet::new();
    for (pack, seq) in catalog.state().condemned() {
        // With nothing to wait for no clock is asked.
        if wait.is_zero() || is_older(dates.of(*seq)?, now, wait) {
            found.insert(*pack);
        }
    }
    Ok(found)
}

/// Delete what is due, and give what is gone.
pub fn sweep(
    catalog: &mut Catalog,
    stock: &Stock,
    now: u64,
    grace: Duration,
    done: &mut Collected,
) -> Result<BTreeSet<PackId>, NotCollected> {
    let due = condemned_before(catalog, now, grace)?;
    let there = catalog.state().condemned().keys().filter(|pack| stock.contains_key(pack));
    let (doomed, waiting): (BTreeSet<PackId>, BTreeSet<PackId>) = there.partition(|pack| due.contains(pack));
    waiting.iter().for_each(|pack| done.waiting.add(stock[pack].size));
    if doomed.is_empty() {
        return Ok(doomed);
    }
    canary::check(catalog, &doomed, stock)?;
    let all: Vec<PackId> = doomed.iter().copied().collect();
    for batch in all.chunks(BATCH) {
        // Who does not understand the newest entry deletes nothing (R10); nothing is ever un-condemned.
        catalog.refresh()?;
        let state = catalog.state();
        if let Some(seq) = state.unknown() {
            return Err(CatalogError::from(Refusal::Upgrade { seq }).into());
        }
        if let Some(pack) = batch.iter().find(|pack| state.packs().contains_key(pack)) {
            return Err(NotCollected::Canary {
                what: format!("condemned pack {pack} is in the table again"),
            });
        }
        let store = catalog.store();
        batch.par_iter().try_for_each(|pack| store.delete(&key::pack(stock[pack].kind, *pack)))?;
        batch.iter().for_each(|pack| done.deleted.add(stock[pack].size));
    }
    Ok(doomed)
}

/// Let go of the tombstones of packs that are gone for long, and of forwards that nothing names any more. From then on the floor
/// does what the tombstones did: it turns those away who began before.
pub fn forget(
    catalog: &mut Catalog,
    mark: &Mark,
    stock: &Stock,
    swept: &BTreeSet<PackId>,
    now: u64,
    wait: Duration,
    done: &mut Collected,
) -> Result<(), NotCollected> {
    let mut gone = condemned_before(catalog, now, wait)?;
    gone.retain(|pack| swept.contains(pack) || !stock.contains_key(pack));
    let state = catalog.state();
    let newest = gone.iter().filter_map(|pack| state.condemned().get(pack)).max();
    let floor = newest.copied().unwrap_or(0).max(state.floor());
    let forget = mark.forget(state, &gone, floor);
    if forget.packs.is_empty() && forget.forwards.is_empty() {
        return Ok(());
    }
    let count = forget.packs.len() as u64;
    match catalog.commit(&catalog.record(mark.seq, Change::Forget(forget))) {
        Ok(_) => done.forgotten = count,
        // Another collection was faster: what is left is for the next one.
        Err(CatalogError::Refused(Refusal::BelowFloor { .. } | Refusal::ForwardNeeded { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Remove what writers of a directory store left half written.
pub fn remove_unfinished(
    catalog: &Catalog,
    now: u64,
    wait: Duration,
    done: &mut Collected,
) -> Result<(), NotCollected> {
    for it in catalog.store().unfinished()? {
        if is_older(it.modified, now, wait) {
            catalog.store().remove_unfinished(&it)?;
            done.unfinished.add(it.size);
        }
    }
    Ok(())
}

//! Where collection stands: what waits to be deleted or forgotten.

use serde::Serialize;

use super::sweep::condemned_before;
use super::{Amount, Limits, NotCollected, is_older, orphans, stock};
use crate::catalog::Catalog;

/// Where collection stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The newest log entry.
    pub log_head: u64,
    /// Condemned packs that are still there, and whose grace is not over.
    pub waiting: Amount,
    /// Those whose grace is over: the next run deletes them.
    pub due: Amount,
    /// Condemned packs that are gone; their tombstones stay for a while.
    pub tombstones: u64,
    /// Packs that no entry names and that are old enough to be condemned.
    pub orphans: Amount,
    /// Those that are too young.
    pub young: Amount,
    /// Unfinished writes that are old enough to be removed.
    pub unfinished: Amount,
    /// Sessions that began before this entry have to begin again.
    pub floor: u64,
    /// The first entry that a newer version wrote: then this one does not collect.
    pub newer: Option<u64>,
}

/// Look. Nothing is written: ages are counted up to the newest object of the store.
pub fn status(catalog: &Catalog, limits: Limits) -> Result<Status, NotCollected> {
    let store = catalog.store();
    let stock = stock(store)?;
    let head = catalog.head().seq();
    let newest = store.modified(&crate::store::key::log(head))?.unwrap_or(0);
    let now = stock.values().map(|it| it.modified).chain([newest]).max().unwrap_or(0);
    let over = condemned_before(catalog, now, limits.grace)?;
    let there = catalog.state().condemned().keys().filter_map(|pack| Some((pack, stock.get(pack)?.size)));
    let (due, waiting): (Vec<_>, Vec<_>) = there.partition(|(pack, _)| over.contains(pack));
    let (old, young) = orphans(catalog, &stock, now, limits.orphans);
    let left = store.unfinished()?;
    let left = left.iter().filter(|it| is_older(it.modified, now, limits.orphans)).map(|it| it.size);
    let gone = catalog.state().condemned().keys().filter(|pack| !stock.contains_key(pack)).count();
    Ok(Status {
        log_head: head,
        waiting: Amount::of(waiting.iter().map(|(_, size)| *size)),
        due: Amount::of(due.iter().map(|(_, size)| *size)),
        tombstones: gone as u64,
        orphans: Amount::of(old.iter().map(|pack| stock[pack].size)),
        young,
        unfinished: Amount::of(left),
        floor: catalog.state().floor(),
        newer: catalog.state().unknown(),
    })
}

//! Condemn: the victims of a mark into the log, less what any entry since the mark mentions (R3).
//!
//! The entry lands right after the newest one that was read for this, or not at all: one that comes between is read first.

use super::{ATTEMPTS, Amount, Collected, NotCollected, Stock};
use crate::catalog::change::{Change, Condemn};
use crate::catalog::plan::Mark;
use crate::catalog::{Catalog, CatalogError, Refusal};
use crate::id::PackId;

/// Packs that one entry condemns: far below what an entry holds.
const MOST: usize = 100_000;

/// Commit the victims. A floor that rose above the mark means that it is too old: then nothing is condemned.
pub fn condemn(
    catalog: &mut Catalog,
    mark: &Mark,
    stock: &Stock,
    done: &mut Collected,
) -> Result<(), NotCollected> {
    let mut overtaken = 0;
    loop {
        let since = catalog.since(mark.seq)?;
        // Every entry was read just now, so the plan is not void.
        let victims = mark.condemn(catalog.state(), &since).expect("all entries since the mark");
        let packs: Vec<PackId> = victims.into_iter().take(MOST).collect();
        if packs.is_empty() {
            return Ok(());
        }
        let sizes: Vec<u64> = packs.iter().map(|pack| size(catalog, stock, *pack)).collect();
        let change = Change::Condemn(Condemn { mark: mark.seq, packs });
        match catalog.commit_next(&catalog.record(mark.seq, change)) {
            Ok(_) => {
                let new = Amount::of(sizes);
                done.condemned.count += new.count;
                done.condemned.bytes = done.condemned.bytes.saturating_add(new.bytes);
            }
            Err(CatalogError::Refused(Refusal::Overtaken { .. })) if overtaken < ATTEMPTS => {
                overtaken += 1;
                catalog.refresh()?;
            }
            Err(CatalogError::Refused(Refusal::Overtaken { .. })) => {
                return Err(NotCollected::Contended(ATTEMPTS));
            }
            Err(CatalogError::Refused(Refusal::BelowFloor { .. })) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn size(catalog: &Catalog, stock: &Stock, pack: PackId) -> u64 {
    let listed = stock.get(&pack).map(|it| it.size);
    listed.or_else(|| catalog.state().packs().get(&pack).map(|info| info.size)).unwrap_or(0)
}

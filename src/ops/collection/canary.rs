//! The canary: before anything is deleted, a second walk looks whether something live needs it.
//!
//! It shares no code with the mark: the log is opened anew from the store, with no cache, and what is needed is gathered as
//! readers gather it, term by term. Whatever is needed has to be there, too: who deletes from a store that lacks something, or
//! whose listing does, may delete what could mend it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{ATTEMPTS, NotCollected, Stock};
use crate::bundle::{Content, PageRef};
use crate::cache::Cache;
use crate::catalog::{Catalog, CatalogError, Journal};
use crate::id::{BundleId, PackId, PackKind, RepoId};
use crate::ops::bundle::open;
use crate::pack::{PackError, PackInfo, read_footer};
use crate::store::{StoreError, key};
use crate::table::{Leads, Recipe, Row};

/// Packs that are looked into.
const SAMPLE: usize = 8;

/// What of the store is needed, and by what.
type Needs = BTreeMap<PackId, String>;

/// Whether nothing live needs one of the doomed packs, and everything that it needs is there.
pub fn check(catalog: &Catalog, doomed: &BTreeSet<PackId>, stock: &Stock) -> Result<(), NotCollected> {
    for attempt in 1.. {
        let mut fresh = Catalog::open(catalog.store().clone(), Cache::none(), Journal::none())?;
        let seen = fresh.head().seq();
        match compare(catalog, &fresh, doomed, stock) {
            Err(NotCollected::Canary { what }) => {
                fresh.refresh()?;
                // What was needed then may lie elsewhere now, or was given up: others write and collect, too.
                if fresh.head().seq() == seen || attempt == ATTEMPTS {
                    return Err(NotCollected::Canary { what });
                }
            }
            agreed => return agreed,
        }
    }
    unreachable!("the last attempt says what it found")
}

fn compare(
    catalog: &Catalog,
    fresh: &Catalog,
    doomed: &BTreeSet<PackId>,
    stock: &Stock,
) -> Result<(), NotCollected> {
    let alarm = |what: String| Err(NotCollected::Canary { what });
    if fresh.identity() != catalog.identity() || fresh.head().seq() < catalog.head().seq() {
        return alarm("another log is there than was marked".to_owned());
    }
    let needs = needs(fresh)?;
    for (pack, what) in &needs {
        if doomed.contains(pack) {
            return alarm(format!("{what} needs pack {pack}, which was condemned"));
        }
        let Some(info) = fresh.state().packs().get(pack) else {
            return alarm(format!("{what} needs pack {pack}, which the log does not know"));
        };
        if !is_there(fresh, stock, *pack, info)? && !catalog.is_suspect(*pack) {
            return alarm(format!("{what} needs {}, which is not there", key::pack(info.kind, *pack)));
        }
    }
    look_into(catalog, fresh, &needs)
}

/// Packs that came since the listing are asked for one by one.
fn is_there(fresh: &Catalog, stock: &Stock, pack: PackId, info: &PackInfo) -> Result<bool, NotCollected> {
    match stock.get(&pack) {
        Some(it) => Ok(it.size == info.size),
        None => Ok(fresh.store().size(&key::pack(info.kind, pack))? == Some(info.size)),
    }
}

fn needs(fresh: &Catalog) -> Result<Needs, CatalogError> {
    let state = fresh.state();
    let mut needs = Needs::new();
    for segment in state.segments().values() {
        needs.insert(segment.at.fence.pack, "a table".to_owned());
    }
    if let Some((_, newest)) = state.checkpoint() {
        let before = newest.parent.iter().flat_map(|parent| parent.blobs.values());
        for blob in newest.blobs.values().chain(before) {
            needs.insert(blob.at.pack, "a checkpoint".to_owned());
        }
    }
    for rows in fresh.live_rows()? {
        for row in rows? {
            need(fresh, &row, &mut needs, &|| format!("file {} of repo {}", row.oid, row.repo))?;
        }
    }
    let mut seen = HashSet::new();
    for id in state.bundles().keys() {
        need_bundle(fresh, *id, &mut seen, &mut needs)?;
    }
    Ok(needs)
}

/// What reading a file takes.
fn need(
    fresh: &Catalog,
    row: &Row,
    needs: &mut Needs,
    what: &dyn Fn() -> String,
) -> Result<(), CatalogError> {
    if let Recipe::Out { blob, .. } = &row.recipe {
        needs.entry(fresh.state().lead(blob).pack).or_insert_with(what);
    }
    for term in fresh.terms(row)? {
        needs.entry(term.pack).or_insert_with(what);
    }
    Ok(())
}

fn need_bundle(
    fresh: &Catalog,
    id: BundleId,
    seen: &mut HashSet<crate::pack::Blob>,
    needs: &mut Needs,
) -> Result<(), CatalogError> {
    let what = || format!("bundle {id}");
    let state = fresh.state();
    needs.entry(state.lead(&state.bundles()[&id].root).pack).or_insert_with(what);
    let bundle = match open(fresh, id) {
        Ok(bundle) => bundle,
        Err(super::super::bundle::NotFound::Catalog(error)) => return Err(error),
        Err(other) => panic!("a live bundle is found by its id: {other}"),
    };
    let new: Vec<&PageRef> = bundle.root().pages.iter().filter(|page| seen.insert(page.blob)).collect();
    for some in new.chunks(64) {
        for (page, entries) in some.iter().zip(bundle.pages(some)?) {
            needs.entry(state.lead(&page.blob).pack).or_insert_with(what);
            for entry in entries {
                if let Content::File { oid, size, recipe, .. } = entry.content {
                    let row = Row { oid, repo: RepoId::NIL, born: 0, size, recipe };
                    need(fresh, &row, needs, &what)?;
                }
            }
        }
    }
    Ok(())
}

/// Looks into some of the data packs that are needed, old ones and new ones.
fn look_into(catalog: &Catalog, fresh: &Catalog, needs: &Needs) -> Result<(), NotCollected> {
    let table = fresh.state().packs();
    let data = needs.keys().filter_map(|pack| Some((*pack, *table.get(pack)?)));
    let data = data.filter(|(pack, info)| info.kind == PackKind::Data && !catalog.is_suspect(*pack));
    let data: Vec<(PackId, PackInfo)> = data.collect();
    for (pack, info) in data.iter().copied().step_by(data.len().div_ceil(SAMPLE).max(1)) {
        match read_footer(fresh.store(), pack, info) {
            Ok(_) => {}
            Err(PackError::Store(error)) if error.is_archived() => {}
            // Of a store that does not answer nothing is known.
            Err(PackError::Store(error @ StoreError::Request { .. })) => return Err(error.into()),
            Err(error) => return Err(NotCollected::Canary { what: error.to_string() }),
        }
    }
    Ok(())
}

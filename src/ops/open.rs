//! Opening the store that a URL names, with everything this machine keeps about it.

use crate::cache::Cache;
use crate::catalog::{Catalog, CatalogError, Journal};
use crate::store::{Place, Store, StoreUrl};

fn kept(url: &StoreUrl) -> (Cache, Journal) {
    match url.place() {
        // What is known of a store that dies with the process must not outlive it.
        Place::Memory(_) => (Cache::none(), Journal::none()),
        Place::Directory(_) => (Cache::of_url(&url.canonical()), Journal::of_url(&url.canonical())),
    }
}

/// Open the store at `url`.
pub fn open(url: &StoreUrl) -> Result<Catalog, CatalogError> {
    let store = Store::open(url)?;
    let (cache, journal) = kept(url);
    Catalog::open(store, cache, journal)
}

/// Open the store at `url`; make it where there is none.
pub fn create(url: &StoreUrl) -> Result<Catalog, CatalogError> {
    let store = Store::create_place(url)?;
    let (cache, journal) = kept(url);
    Catalog::create(store, cache, journal)
}

/// Before the first write from this machine to this URL: does the backend keep its promises from here? (R17)
pub fn probe_once(catalog: &Catalog) -> Result<(), CatalogError> {
    const PROBED: &str = "probed";
    if catalog.cache().get(PROBED).is_none() {
        catalog.store().probe()?;
        catalog.cache().put(PROBED, b"");
    }
    Ok(())
}

//! Opening the store that a URL names, with everything this machine keeps about it.

use crate::cache::Cache;
use crate::catalog::{Catalog, CatalogError, Journal};
use crate::store::{Place, Settings, Store, StoreUrl};

fn kept(url: &StoreUrl, settings: &Settings) -> (Cache, Journal) {
    match url.place() {
        // What is known of a store that dies with the process must not outlive it.
        Place::Memory(_) => (Cache::none(), Journal::none()),
        Place::Directory(_) | Place::Bucket(_) => {
            // Buckets of one name at two servers are two places.
            let place = format!("{}{settings}", url.canonical());
            (Cache::of_url(&place), Journal::of_url(&place))
        }
    }
}

/// Open the store at `url`.
pub fn open(url: &StoreUrl, settings: &Settings) -> Result<Catalog, CatalogError> {
    let store = Store::open_with(url, settings)?;
    let (cache, journal) = kept(url, settings);
    Catalog::open(store, cache, journal)
}

/// Open the store at `url`; make it where there is none.
pub fn create(url: &StoreUrl, settings: &Settings) -> Result<Catalog, CatalogError> {
    let store = Store::create_place(url, settings)?;
    let (cache, journal) = kept(url, settings);
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

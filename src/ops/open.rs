//! Opening the store that a URL names, with everything this machine keeps about it.

use crate::cache::Cache;
use crate::catalog::healing::{self, Proven};
use crate::catalog::{Catalog, CatalogError, Identity, Journal};
use crate::id::StoreId;
use crate::store::{Place, Settings, Store, StoreUrl, key};

fn kept(url: &StoreUrl, settings: &Settings) -> (Cache, Journal) {
    match url.place() {
        // What is known of a store that dies with the process must not outlive it.
        Place::Memory(_) => (Cache::none(), Journal::none()),
        Place::Directory(_) | Place::Bucket(_) => {
            // Buckets of one name at two servers are two places.
            let place = format!("{}{settings}", url.canonical());
            let cache = Cache::of_url(&place);
            let cache = match url.place() {
                Place::Bucket(_) => cache.with_data(data_limit(settings)),
                // What lies in a directory would take the disk twice.
                _ => cache,
            };
            (cache, Journal::of_url(&place))
        }
    }
}

/// How much data of files this machine keeps unless the user says more or less, bytes.
const MOST_DATA: u64 = 10 << 30;
/// And of the disk at most this part.
const OF_DISK: u64 = 10;

/// How much data of files the cache of this machine may hold, of all stores together, bytes.
pub fn data_limit(settings: &Settings) -> u64 {
    if settings.metadata_only {
        return 0;
    }
    let of_disk = || {
        let base = Cache::base()?;
        // The directory may not be there yet.
        let disk = base.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
        Some(disk.f_blocks.saturating_mul(disk.f_frsize) / OF_DISK)
    };
    settings.cache_size.unwrap_or_else(|| MOST_DATA.min(of_disk().unwrap_or(MOST_DATA)))
}

/// Open the store at `url` itself.
pub fn open(url: &StoreUrl, settings: &Settings) -> Result<Catalog, CatalogError> {
    let store = Store::open_with(url, settings)?;
    let (cache, journal) = kept(url, settings);
    Catalog::open(store, cache, journal)
}

/// Open the store at `url` for who only reads: what it does not give its mirrors are asked for.
pub fn open_to_read(url: &StoreUrl, settings: &Settings) -> Result<Catalog, CatalogError> {
    let store = Store::open_to_read(url, settings)?;
    let (cache, journal) = kept(url, settings);
    Catalog::open(store, cache, journal)
}

/// Open the store at `url` for a change.
pub fn open_to_write(url: &StoreUrl, settings: &Settings) -> Result<Catalog, CatalogError> {
    let store = Store::open_with(url, settings)?;
    let (cache, journal) = kept(url, settings);
    Catalog::open_to_write(store, cache, journal)
}

/// Open the store at `url`, where another one may have been before: what this machine kept of the place is forgotten.
pub fn open_anew(url: &StoreUrl, settings: &Settings) -> Result<Catalog, CatalogError> {
    kept(url, settings).0.clear();
    open(url, settings)
}

/// Open the store at `url`, whose checkpoint or newest entry is damaged, by its log.
pub fn rebuild(url: &StoreUrl, settings: &Settings) -> Result<Catalog, CatalogError> {
    let store = Store::open_with(url, settings)?;
    let (cache, journal) = kept(url, settings);
    Catalog::rebuild(store, cache, journal)
}

/// What of the log of the store at `url` is gone or damaged, and is proven by `copies` of it or by what this machine has kept.
pub fn lost_entries(
    url: &StoreUrl,
    settings: &Settings,
    copies: &[Store],
) -> Result<Vec<Proven>, CatalogError> {
    healing::find(&Store::open_with(url, settings)?, &kept(url, settings).0, copies)
}

/// Which store is there, as it says itself or as this machine has kept it.
pub fn identity(store: &Store, settings: &Settings) -> Option<StoreId> {
    let (cache, _) = kept(store.url(), settings);
    let said = [store.get(key::STORE).ok().flatten(), cache.get("identity")];
    said.into_iter().flatten().find_map(|bytes| Some(Identity::decode(&bytes).ok()?.store))
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

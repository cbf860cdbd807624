//! The seam between the set-up commands and the stores: all they ask of one.

use std::path::Path;

use crate::cache::Cache;
use crate::catalog::{Catalog, Journal};
use crate::cli::errors::CommandError;
use crate::git::{Config, Git, Scope};
use crate::id::StoreId;
use crate::store::{LOCAL, Store, StoreUrl};

/// Stores that the user trusts with uploads: `<store id> <place>`, one value each.
///
/// Both, since an id is no secret: a hostile store could show the id of a trusted one.
const TRUST: &str = "datamon.trust";

/// A store that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its identity.
    pub id: StoreId,
    /// Where it lies: one spelling for each place.
    pub place: String,
}

/// What the user typed for a store as it is committed: `local`, or a URL that does not depend on the current directory.
pub fn spelled(typed: &str, dir: &Path) -> Result<String, CommandError> {
    if typed == LOCAL || typed.contains("://") || typed.starts_with("memory:") {
        return Ok(StoreUrl::parse(typed)?.as_str().to_owned());
    }
    let path = dir.join(typed);
    // Its last part may not be there yet.
    let made = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    let path = path.canonicalize().ok().or_else(made).unwrap_or(path);
    Ok(StoreUrl::of_directory(&path)?.as_str().to_owned())
}

/// Makes the store, or opens it where it is there already.
pub fn prepare(url: &str) -> Result<Found, CommandError> {
    let url = StoreUrl::parse(url)?;
    let store = Store::create_place(&url)?;
    let place = url.canonical();
    let catalog = Catalog::create(store, Cache::of_url(&place), Journal::of_url(&place))?;
    Ok(Found { id: catalog.identity().store, place })
}

/// Opens the store.
pub fn find(url: &str) -> Result<Found, CommandError> {
    let url = StoreUrl::parse(url)?;
    let store = Store::open(&url)?;
    let place = url.canonical();
    let catalog = Catalog::open(store, Cache::of_url(&place), Journal::of_url(&place))?;
    Ok(Found { id: catalog.identity().store, place })
}

/// Whether the user lets uploads go there.
pub fn is_trusted(config: &Config, store: &Found) -> bool {
    let wanted = format!("{} {}", store.id, store.place);
    config.get_all(Scope::Global, TRUST).any(|value| value == wanted.as_bytes())
}

/// Lets uploads go there, for every repository of the user; `false` if they could already.
pub fn trust(git: &Git, config: &Config, store: &Found) -> Result<bool, CommandError> {
    if is_trusted(config, store) {
        return Ok(false);
    }
    git.add_config(Scope::Global, TRUST, &format!("{} {}", store.id, store.place))?;
    Ok(true)
}

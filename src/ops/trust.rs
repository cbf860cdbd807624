//! Which stores this user lets data go to.
//!
//! A cloned repository can name a store. Reading from it is harmless, since every byte is verified; sending data there is not.
//! So the first upload to a store that only the repository names is refused until its user says `git datamon trust`.
//!
//! Trust is given to a store id *at a place*: an id is no secret, and a hostile store could show the id of a trusted one. The
//! list is `datamon.trust` in the user's (or the machine's) git configuration, where the user can read and edit it.

use std::collections::BTreeSet;

use crate::catalog::Catalog;
use crate::git::{Config, Git, GitFailed, Scope};
use crate::id::StoreId;
use crate::store::{LOCAL, StoreUrl};

const KEY: &str = "datamon.trust";

fn value(store: StoreId, url: &StoreUrl) -> String {
    format!("{store} {}", url.canonical())
}

/// Whether uploads may go to the store. The user's own `local` store needs no word.
pub fn is_trusted(config: &Config, catalog: &Catalog) -> bool {
    is_trusted_at(config, catalog.identity().store, catalog.store().url())
}

/// The same of a store that cannot be opened.
pub fn is_trusted_at(config: &Config, store: StoreId, url: &StoreUrl) -> bool {
    let wanted = value(store, url);
    let listed = |scope| config.get_all(scope, KEY).any(|value| value == wanted.as_bytes());
    url.as_str() == LOCAL || listed(Scope::Global) || listed(Scope::System)
}

/// The ids of the stores that the user trusts at this place.
pub fn stores_at(config: &Config, url: &StoreUrl) -> BTreeSet<StoreId> {
    let place = url.canonical();
    let of_place = |value: &[u8]| {
        let (id, at) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        id.parse().ok().filter(|_| at == place)
    };
    let scopes = [Scope::Global, Scope::System].into_iter();
    scopes.flat_map(|scope| config.get_all(scope, KEY)).filter_map(of_place).collect()
}

/// Let uploads go there, from every repository of the user; `false` if they could already.
pub fn trust(git: &Git, config: &Config, catalog: &Catalog) -> Result<bool, GitFailed> {
    if is_trusted(config, catalog) {
        return Ok(false);
    }
    git.add_config(Scope::Global, KEY, &value(catalog.identity().store, catalog.store().url()))?;
    Ok(true)
}

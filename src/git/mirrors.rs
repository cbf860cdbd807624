//! Mirrors: places with copies of a store, which the user names in git's own configuration: `datamon.store.<url>.mirror`, as many as
//! there are. Of other settings of a store the longest URL counts; a mirror is of one store and of none below it.

use crate::git::Git;
use crate::git::command::GitFailed;
use crate::git::config::{Config, Scope};
use crate::store::StoreUrl;

/// The last part of the key.
pub(super) const MIRROR: &str = "mirror";

fn key(store: &StoreUrl) -> String {
    format!("datamon.store.{}.{MIRROR}", store.canonical())
}

impl Config {
    /// The URLs of the mirrors of a store, in the order in which they are asked: those of the machine, of the user, of the repository.
    pub fn mirrors(&self, store: &StoreUrl) -> Vec<String> {
        let mut urls: Vec<String> = Vec::new();
        for value in self.values(&key(store)) {
            let url = String::from_utf8_lossy(value).into_owned();
            if !url.is_empty() && !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }
}

impl Git {
    /// From now on reads of the user ask the mirror for what the store does not give.
    pub fn add_mirror(&self, store: &StoreUrl, mirror: &str) -> Result<(), GitFailed> {
        self.add_config(Scope::Global, &key(store), mirror)
    }

    /// The mirror is not asked any more; `false` if the user's configuration did not name it.
    pub fn remove_mirror(&self, config: &Config, store: &StoreUrl, mirror: &str) -> Result<bool, GitFailed> {
        let key = key(store);
        let all: Vec<&[u8]> = config.get_all(Scope::Global, &key).collect();
        let left: Vec<&[u8]> = all.iter().copied().filter(|url| *url != mirror.as_bytes()).collect();
        if left.len() == all.len() {
            return Ok(false);
        }
        self.unset_config(Scope::Global, &key)?;
        for url in left {
            self.add_config(Scope::Global, &key, &String::from_utf8_lossy(url))?;
        }
        Ok(true)
    }
}

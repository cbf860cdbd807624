//! Others: the stores of a clone beside the one that is asked first (`git/stores`), opened one after the other, by who still
//! lacks something.
//!
//! A store that only somebody else's repository names is not opened by looking for what another lacks: only those that the user
//! trusts at their place are. Why one was passed over is kept for the message of who found nothing.

use std::collections::VecDeque;

use crate::catalog::Catalog;
use crate::git::{Repo, StoreUrl as Named};
use crate::ops::{open, trust};
use crate::store::{self, StoreUrl, without_password};

/// Stores that may have what the first lacks.
#[derive(Default)]
pub struct Others {
    repo: Option<Repo>,
    urls: VecDeque<Named>,
    passed: Vec<String>,
}

impl Others {
    /// Those beside the store of `remote`. Nothing is opened yet.
    pub fn of(repo: &Repo, remote: &str) -> Others {
        Others { repo: Some(repo.clone()), urls: repo.other_stores(remote).into(), passed: vec![] }
    }

    /// The same without the store at this place, which was asked already.
    pub fn beside(mut self, asked: &str) -> Others {
        self.urls.retain(|it| !store::is_same(&it.url, asked));
        self
    }

    /// The next one that the user trusts and that answers.
    pub fn open_next(&mut self) -> Option<Catalog> {
        while let Some(named) = self.urls.pop_front() {
            match self.open(&named) {
                Ok(catalog) => return Some(catalog),
                Err(why) => {
                    let url = without_password(&named.url);
                    self.passed.push(format!("{url} ({}) was not asked: {why}", named.key));
                }
            }
        }
        None
    }

    /// Stores that were not asked, and why; none before somebody asked for them.
    pub fn passed(&self) -> &[String] {
        &self.passed
    }

    fn open(&self, named: &Named) -> Result<Catalog, String> {
        let url = StoreUrl::parse(&named.url).map_err(|error| error.to_string())?;
        let config = self.repo.as_ref().map(Repo::config);
        let is_known = |config| url.as_str() == store::LOCAL || !trust::stores_at(config, &url).is_empty();
        let Some(config) = config.filter(|config| is_known(config)) else {
            return Err(format!("you have not trusted it; to do so: git datamon trust {url}"));
        };
        let settings = config.store_settings(&url).map_err(|error| error.to_string())?;
        let catalog = open::open(&url, &settings).map_err(|error| error.to_string())?;
        match trust::is_trusted(config, &catalog) {
            true => Ok(catalog),
            false => Err(format!(
                "it is not the store that you trusted there; to trust it: git datamon trust {url}"
            )),
        }
    }
}

//! Which stores this user lets data go to.
//!
//! A cloned repository can name a store. Reading from it is harmless, since every byte is verified; sending data there is not.
//! So the first upload to a store that only the repository names is refused until its user says `git datamon trust`. Trust is
//! given to a store id: a repository that swaps the store behind a URL has to ask again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::id::StoreId;

/// The user's list of trusted stores: lines of store id, a space, and the URL it was seen at.
#[derive(Debug, Clone)]
pub struct TrustList {
    path: Option<PathBuf>,
}

impl TrustList {
    /// The list of the user who runs this process.
    pub fn of_user() -> Self {
        let folder = match std::env::var_os("DATAMON_CONFIG_DIR") {
            Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
            _ => {
                directories::ProjectDirs::from("", "", "git-datamon").map(|dirs| dirs.config_dir().to_owned())
            }
        };
        TrustList { path: folder.map(|folder| folder.join("trusted-stores")) }
    }

    /// The list in this file.
    pub fn at(path: PathBuf) -> Self {
        TrustList { path: Some(path) }
    }

    /// Whether the user trusts the store.
    pub fn has(&self, store: StoreId) -> bool {
        let text = self.path.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        text.lines().any(|line| line.split(' ').next() == Some(&store.to_string()))
    }

    /// The user trusts the store, which was seen at `url`.
    pub fn add(&self, store: StoreId, url: &str) -> io::Result<()> {
        if self.has(store) {
            return Ok(());
        }
        let path = self
            .path
            .as_ref()
            .ok_or_else(|| io::Error::other("there is no configuration directory: set HOME"))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let url: String = url.chars().filter(|c| !c.is_control()).collect();
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(format!("{store} {url}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_per_store() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let list = TrustList::at(folder.path().join("new/list"));
        let (one, two) = (StoreId::new(), StoreId::new());
        assert!(!list.has(one));
        list.add(one, "file:///a\nb").expect("written");
        list.add(one, "file:///a").expect("written");
        assert!(list.has(one) && !list.has(two));
        assert_eq!(fs::read_to_string(folder.path().join("new/list")).expect("there").lines().count(), 1);
    }
}

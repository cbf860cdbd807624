//! The pin: `lfs.url` in `.git/config`, which names the store of a clone also on commits that have no `.lfsconfig`.
//!
//! What is committed may say something else by now: the team moved to another store, or left it for an LFS server. A download
//! by the pin is harmless then, since its bytes are verified. An upload would go where nobody looks for it: it is refused until
//! the user has said what holds.

use crate::git::config::{ConfigError, LFSCONFIG_FILE, LfsUrl, Operation, STORE_SCHEME, Scope, Source};
use crate::git::repo::Repo;
use crate::git::shell::quoted;
use crate::git::stores::StoreUrl;
use crate::store::{self, without_password};

/// Where a clone remembers which store it has left, so that no older commit pins it again.
const LEFT: &str = "datamon.left";

/// A store that configuration leads to and that must get nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Astray {
    /// The repository names another store, or somebody tries to move the data.
    #[error("this clone is pinned to {pinned}, but {LFSCONFIG_FILE} names {committed}")]
    Moved {
        /// `lfs.url` in `.git/config`.
        pinned: String,
        /// `lfs.url` in `.lfsconfig`.
        committed: String,
    },
    /// The repository names an LFS server.
    #[error("this clone is pinned to {pinned}, but {LFSCONFIG_FILE} names the LFS server {server}")]
    Server {
        /// `lfs.url` in `.git/config`.
        pinned: String,
        /// `lfs.url` in `.lfsconfig`, without a password.
        server: String,
    },
    /// The repository named a store in an earlier commit and names nothing now.
    #[error("this clone is pinned to {pinned}, but {LFSCONFIG_FILE} names no store any more")]
    Vanished {
        /// `lfs.url` in `.git/config`.
        pinned: String,
    },
    /// `git datamon leave` was typed here, and this commit is older.
    #[error("this clone has left {left}, which {LFSCONFIG_FILE} of this older commit still names")]
    Left {
        /// The store.
        left: String,
    },
}

impl Astray {
    /// What to type.
    pub fn remedy(&self) -> String {
        match self {
            Astray::Moved { committed, .. } => format!(
                "to follow, run `git config lfs.url {}`; to stay, set the URL in {LFSCONFIG_FILE} back",
                quoted(&format!("{STORE_SCHEME}{committed}"))
            ),
            Astray::Server { .. } => {
                "if the repository has left the store, run `git config --unset lfs.url`; \
                 if this branch is older than the store, merge the one that names it"
                    .to_owned()
            }
            Astray::Vanished { .. } => {
                "to follow, run `git config --unset lfs.url`; to go on with the store, run `git datamon init`"
                    .to_owned()
            }
            Astray::Left { .. } => {
                "merge the commit that left it; to go on with the store, run `git datamon init`".to_owned()
            }
        }
    }
}

impl Repo {
    /// The store that this clone is pinned to: `lfs.url` in `.git/config`.
    pub fn pinned_store(&self) -> Result<Option<StoreUrl>, ConfigError> {
        let Some(value) = self.config().get_in(Scope::Local, "lfs.url") else { return Ok(None) };
        StoreUrl::read(value, "lfs.url", Source::Config(Scope::Local))
    }

    /// Pins the clone to a store.
    pub fn pin(&self, url: &str) -> Result<(), ConfigError> {
        self.git().set_config(Scope::Local, "lfs.url", &format!("{STORE_SCHEME}{url}"))?;
        Ok(())
    }

    /// The store that `git datamon leave` took this clone from.
    pub fn left_store(&self) -> Option<String> {
        self.config().get_in(Scope::Local, LEFT).map(|url| String::from_utf8_lossy(url).into_owned())
    }

    /// Remembers that the clone has left a store, or that it uses one again.
    pub fn set_left(&self, store: Option<&str>) -> Result<(), ConfigError> {
        match store {
            Some(url) => self.git().set_config(Scope::Local, LEFT, url)?,
            None => drop(self.git().unset_config(Scope::Local, LEFT)?),
        }
        Ok(())
    }

    /// Why nothing may be uploaded to the store that was found.
    pub fn astray(&self, named: &StoreUrl) -> Result<Option<Astray>, ConfigError> {
        let shown = without_password;
        if self.left_store().is_some_and(|left| store::is_same(&left, &named.url)) {
            return Ok(Some(Astray::Left { left: shown(&named.url) }));
        }
        let Some(pin) = self.pinned_store()? else { return Ok(None) };
        let pinned = shown(&pin.url);
        let moved =
            |committed: &str| Some(Astray::Moved { pinned: pinned.clone(), committed: shown(committed) });
        match (self.committed_store()?, self.committed_value("lfs.url")?) {
            (Some(committed), _) if committed.url != pin.url => return Ok(moved(&committed.url)),
            (Some(_), _) => {}
            (None, Some(server)) => {
                let server = shown(&String::from_utf8_lossy(&server));
                return Ok(Some(Astray::Server { pinned, server }));
            }
            (None, None) if self.named_a_store_before()? => return Ok(Some(Astray::Vanished { pinned })),
            (None, None) => {}
        }
        // `lfs.pushurl` and its kin would lead uploads past the pin.
        let past = matches!(named.from, Source::Lfsconfig(_)) && named.url != pin.url;
        Ok(if past { moved(&named.url) } else { None })
    }

    /// Whether `.lfsconfig` of an earlier commit named a store. A shallow clone cannot know that none did.
    fn named_a_store_before(&self) -> Result<bool, ConfigError> {
        if self.git().run(["rev-parse", "--verify", "--quiet", "HEAD"]).is_err() {
            return Ok(false);
        }
        if self.git().run(["rev-parse", "--is-shallow-repository"])? == b"true\n" {
            return Ok(true);
        }
        let changed = format!("-S{STORE_SCHEME}");
        let path = format!(":(top){LFSCONFIG_FILE}");
        let found =
            self.git().run(["log", "-1", "--format=%H", "--no-textconv", &changed, "HEAD", "--", &path])?;
        Ok(!found.is_empty())
    }

    /// Where uploads go that configuration leads away from the store of this repository, if there is one.
    pub fn diverted(&self, remote: &str) -> Result<Option<LfsUrl>, ConfigError> {
        let known = self.pinned_store()?.is_some()
            || self.committed_store()?.is_some()
            || self.store_url(remote, Operation::Download)?.is_some();
        Ok(self.lfs_url(remote, Operation::Upload)?.filter(|found| known && !found.is_store()))
    }
}

//! Contexts: stores that the user has given names, as `dev` and `prod`. They stand in git's own configuration, never in a
//! repository: `datamon.context.<name>.url`. Where a repository says `datamon::prod`, each user's own `prod` is meant.

use crate::git::command::GitFailed;
use crate::git::config::{Config, Scope};
use crate::git::{Git, Repo};
use crate::store::LOCAL;

const BEFORE: &str = "datamon.context.";
const BEHIND: &str = ".url";
/// The longest name, bytes.
const LONGEST: usize = 64;

/// A named store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreContext {
    /// What the user calls it.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Where the name stands.
    pub scope: Scope,
}

/// Whether a context may have the name: what no URL, path or option looks like.
pub fn is_context_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && name.len() <= LONGEST && name.bytes().all(plain) && name != LOCAL
}

impl Config {
    /// The named stores, by name; of several with one name the one that counts.
    pub fn contexts(&self) -> Vec<StoreContext> {
        let name = |key: &[u8]| {
            let key = std::str::from_utf8(key).ok()?;
            Some(key.strip_prefix(BEFORE)?.strip_suffix(BEHIND)?.to_owned())
        };
        let mut names: Vec<String> =
            self.keys().filter_map(name).filter(|name| is_context_name(name)).collect();
        names.sort();
        names.dedup();
        names.iter().filter_map(|name| self.context(name)).collect()
    }

    /// The name that is asked where no store is named.
    pub fn used_context(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.get(USED)?).into_owned())
    }

    /// The store that the user calls so.
    pub fn context(&self, name: &str) -> Option<StoreContext> {
        if !is_context_name(name) {
            return None;
        }
        let (scope, url) = self.scoped(&key(name))?;
        let url = std::str::from_utf8(url).ok().filter(|url| !url.is_empty())?.to_owned();
        Some(StoreContext { name: name.to_owned(), url, scope })
    }
}

/// The context that is asked where no store is named.
const USED: &str = "datamon.context";

fn key(name: &str) -> String {
    format!("{BEFORE}{name}{BEHIND}")
}

impl Git {
    /// From now on the user calls the store so, in every repository.
    pub fn set_context(&self, name: &str, url: &str) -> Result<(), GitFailed> {
        self.set_config(Scope::Global, &key(name), url)
    }

    /// From now on this context is asked where no store is named.
    pub fn use_context(&self, name: &str) -> Result<(), GitFailed> {
        self.set_config(Scope::Global, USED, name)
    }

    /// The name means nothing any more; `false` if it did not.
    pub fn remove_context(&self, name: &str) -> Result<bool, GitFailed> {
        if Config::read(self).is_ok_and(|config| config.used_context().as_deref() == Some(name)) {
            self.unset_config(Scope::Global, USED)?;
        }
        self.unset_config(Scope::Global, &key(name))
    }
}

impl Repo {
    /// From now on what is pushed to `remote`, and fetched from it, lies in the store that the user calls `name`.
    pub fn bind_remote(&self, remote: &str, name: &str) -> Result<(), GitFailed> {
        let value = format!("{}{name}", crate::git::STORE_SCHEME);
        self.git().set_config(Scope::Local, &format!("remote.{remote}.lfsurl"), &value)
    }

    /// The remotes of this repository whose data lies in the store that the user calls `name`.
    pub fn bound_remotes(&self, name: &str) -> Vec<String> {
        let value = format!("{}{name}", crate::git::STORE_SCHEME);
        let bound = |remote: &String| {
            self.config().get_in(Scope::Local, &format!("remote.{remote}.lfsurl")) == Some(value.as_bytes())
        };
        self.remotes().into_iter().filter(bound).collect()
    }

    /// From now on data of `remote` lies where that of any other does.
    pub fn unbind_remote(&self, remote: &str) -> Result<bool, GitFailed> {
        self.git().unset_config(Scope::Local, &format!("remote.{remote}.lfsurl"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Operation;
    use crate::git::scratch::{Scratch, said};

    #[test]
    fn a_name_leads_to_the_users_own_store() {
        let scratch = Scratch::new();
        scratch.commit(&[(".lfsconfig", b"[lfs]\n\turl = datamon::prod\n")]);
        let named =
            |repo: &Repo| repo.store_url("", Operation::Download).expect("reads").expect("a store").url;
        assert_eq!(named(&scratch.repo()), "prod", "nobody said what it is");
        let git = scratch.repo().git().clone();
        said(&git, &["config", "datamon.context.prod.url", "file:///srv/prod"]);
        said(&git, &["config", "datamon.context.a/b.url", "file:///srv/x"]);
        let repo = scratch.repo();
        assert_eq!(named(&repo), "file:///srv/prod");
        let names: Vec<String> = repo.config().contexts().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["prod"]);
        for name in ["", "local", "-x", "a/b", "a.b", "a:b", "a b", &"x".repeat(65)] {
            assert!(!is_context_name(name), "{name}");
        }
    }
}

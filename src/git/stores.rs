//! The stores of a clone: where what is written goes, and where what is read is looked for. The one rule, for every command:
//!
//! - What is **written** for a remote goes to its store: the one that git's own configuration gives to the remote
//!   (`remote.<name>.lfspushurl`, `.lfsurl`: `git datamon context add --remote`), else the one of `lfs.url`. The remote is the one
//!   that is named, else the one that `git push` takes ([`Repo::push_remote`]).
//! - What is **read** is looked for in the store of that remote first, then in those of all other remotes, by their names.
//!
//! A remote has a store of its own only where git-lfs would start our agent anyway (`config`): git-lfs asks for the same program
//! with both, and with `lfs.url` in every repository no remote could have one otherwise. Whether a store beside the first may be
//! opened at all is a matter of trust, see `transfer::Others`.

use crate::git::config::{ConfigError, Operation, STORE_SCHEME, Source};
use crate::git::repo::Repo;

/// The longest store URL, bytes.
const LONGEST_URL: usize = 4096;

/// The store that configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// URL of the store or name of a context: what stands behind `datamon::`.
    pub url: String,
    /// The key that holds it, as `lfs.url`.
    pub key: String,
    /// Who says so.
    pub from: Source,
}

impl StoreUrl {
    /// The store in a value of `lfs.url` and its kin; `None` if the value is a URL of another kind.
    pub(super) fn read(value: &[u8], key: &str, from: Source) -> Result<Option<StoreUrl>, ConfigError> {
        let Some(rest) = value.strip_prefix(STORE_SCHEME.as_bytes()) else { return Ok(None) };
        let wrong = |why| ConfigError::Url { key: key.to_owned(), from: from.described(), why };
        let url = std::str::from_utf8(rest).map_err(|_| wrong("it is not UTF-8"))?;
        let why = if url.is_empty() {
            "nothing stands behind `datamon::`"
        } else if url.len() > LONGEST_URL {
            "it is too long"
        } else if url.chars().any(char::is_control) {
            "it has control characters"
        } else if url.starts_with('-') {
            "it starts with a dash"
        } else {
            return Ok(Some(StoreUrl { url: url.to_owned(), key: key.to_owned(), from }));
        };
        Err(wrong(why))
    }
}

impl Repo {
    /// The store for a transfer with `remote` (a name, or the URL the user typed); `None` if git-lfs would use a server.
    pub fn store_url(&self, remote: &str, operation: Operation) -> Result<Option<StoreUrl>, ConfigError> {
        let Some(found) = self.lfs_url(remote, operation)? else { return Ok(None) };
        let Some(store) = StoreUrl::read(&found.url, &found.key, found.from)? else { return Ok(None) };
        let store = self.store_of_remote(remote, operation)?.unwrap_or(store);
        // The name of a context is the user's own.
        Ok(Some(match self.config().context(&store.url) {
            Some(context) => StoreUrl { url: context.url, ..store },
            None => store,
        }))
    }

    /// The store that the user, not the repository, gave to a remote.
    fn store_of_remote(&self, remote: &str, operation: Operation) -> Result<Option<StoreUrl>, ConfigError> {
        let keys: &[&str] = match operation {
            Operation::Upload => &["lfspushurl", "lfsurl"],
            Operation::Download => &["lfsurl"],
        };
        for key in keys.iter().map(|key| format!("remote.{remote}.{key}")) {
            if let Some((scope, value)) = self.config().scoped(&key) {
                return StoreUrl::read(value, &key, Source::Config(scope));
            }
        }
        Ok(None)
    }

    /// The store that the repository names: `lfs.url` in `.lfsconfig`. Where it differs from the pin, a team has moved.
    pub fn committed_store(&self) -> Result<Option<StoreUrl>, ConfigError> {
        let Some((value, from)) = self.lfsconfig()?.and_then(|file| file.get("lfs.url")) else {
            return Ok(None);
        };
        StoreUrl::read(&value, "lfs.url", from)
    }

    /// The stores that may have what a remote's has not: those of the remote itself for uploads, and of all others. Each URL once;
    /// what cannot be understood is left out, who pushes there is told.
    pub fn other_stores(&self, remote: &str) -> Vec<StoreUrl> {
        let push = self.push_remote();
        let names = [remote.to_owned(), push].into_iter().chain(self.remotes());
        let both = |name: String| {
            [Operation::Download, Operation::Upload].map(|operation| self.store_url(&name, operation))
        };
        let first = self.store_url(remote, Operation::Download).ok().flatten();
        let mut seen: Vec<String> = first.into_iter().map(|it| it.url).collect();
        let mut others: Vec<StoreUrl> = Vec::new();
        for store in names.flat_map(both).flatten().flatten() {
            if !seen.contains(&store.url) {
                seen.push(store.url.clone());
                others.push(store);
            }
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::config::{LFSCONFIG_FILE, Scope};
    use crate::git::scratch::Scratch;

    fn store(repo: &Repo, remote: &str, operation: Operation) -> Option<(String, Source)> {
        repo.store_url(remote, operation).unwrap().map(|store| (store.url, store.from))
    }

    #[test]
    fn uploads_look_at_the_push_urls_first() {
        let scratch = Scratch::new();
        scratch.commit(&[(LFSCONFIG_FILE, b"[lfs]\nurl = datamon::read\npushurl = datamon::write\n")]);
        let ours = |operation| store(&scratch.repo(), "origin", operation).unwrap().0;
        assert_eq!(ours(Operation::Upload), "write");
        assert_eq!(ours(Operation::Download), "read");
        scratch.git.set_config(Scope::Local, "lfs.url", "datamon::mine").unwrap();
        assert_eq!(ours(Operation::Upload), "write");
        assert_eq!(ours(Operation::Download), "mine");
    }

    #[test]
    fn a_remote_may_have_a_store_of_its_own() {
        let scratch = Scratch::new();
        for (key, value) in [
            ("remote.origin.url", "https://example.org/repo"),
            ("remote.origin.lfsurl", "datamon::origin"),
            ("remote.near.lfspushurl", "datamon::near-write"),
            ("remote.near.lfsurl", "datamon::near"),
            ("remote.plain.url", "https://example.org/plain"),
        ] {
            scratch.git.set_config(Scope::Local, key, value).unwrap();
        }
        let repo = scratch.repo();
        let ours = |remote, operation| store(&repo, remote, operation).map(|(url, _)| url);
        assert_eq!(ours("origin", Operation::Upload).as_deref(), Some("origin"));
        assert_eq!(ours("near", Operation::Upload).as_deref(), Some("near-write"));
        assert_eq!(ours("near", Operation::Download).as_deref(), Some("near"));
        assert_eq!(ours("plain", Operation::Download), None);
        assert_eq!(ours("https://example.org/typed", Operation::Download), None);
        assert_eq!(ours("/srv/typed", Operation::Download), None);
        assert_eq!(ours("unknown", Operation::Download).as_deref(), Some("origin"));
        scratch.git.set_config(Scope::Local, "lfs.url", "datamon::all").unwrap();
        let repo = scratch.repo();
        let ours = |remote, operation| store(&repo, remote, operation).map(|(url, _)| url);
        for (remote, read, written) in [
            ("/srv/typed", "all", "all"),
            ("", "all", "all"),
            ("plain", "all", "all"),
            ("near", "near", "near-write"),
        ] {
            assert_eq!(ours(remote, Operation::Download).as_deref(), Some(read), "{remote}");
            assert_eq!(ours(remote, Operation::Upload).as_deref(), Some(written), "{remote}");
        }
        // A server stays one, and what the repository says of a remote is less than what it says of all.
        scratch.git.set_config(Scope::Local, "lfs.url", "https://example.org/lfs").unwrap();
        assert_eq!(store(&scratch.repo(), "near", Operation::Upload), None);
        scratch.git.unset_config(Scope::Local, "lfs.url").unwrap();
        let text = "[lfs]\nurl = datamon::all\n[remote \"plain\"]\nlfsurl = datamon::theirs\n";
        scratch.commit(&[(LFSCONFIG_FILE, text.as_bytes())]);
        assert_eq!(store(&scratch.repo(), "plain", Operation::Upload).unwrap().0, "all");
    }

    #[test]
    fn urls_nobody_would_write_are_refused() {
        let scratch = Scratch::new();
        for (value, why) in [
            ("datamon::", "nothing stands"),
            ("datamon::a\u{1b}[2J", "control"),
            ("datamon::a\nb", "control"),
            ("datamon::--upload", "dash"),
            (&format!("datamon::{}", "a".repeat(5000)), "too long"),
        ] {
            scratch.git.set_config(Scope::Local, "lfs.url", value).unwrap();
            let error = scratch.repo().store_url("origin", Operation::Upload).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("lfs.url in .git/config"), "{error}");
        }
        scratch.git.set_config(Scope::Local, "lfs.url", "https://example.org").unwrap();
        assert_eq!(scratch.repo().store_url("origin", Operation::Upload).unwrap(), None);
    }

    #[test]
    fn what_one_store_lacks_the_others_may_have_each_once() {
        let scratch = Scratch::new();
        for (key, value) in [
            ("lfs.url", "datamon::all"),
            ("remote.origin.url", "https://example.org/origin"),
            ("remote.copy.url", "https://example.org/copy"),
            ("remote.near.url", "https://example.org/near"),
            ("remote.near.lfsurl", "datamon::near"),
            ("remote.near.lfspushurl", "datamon::near-write"),
            ("remote.wrong.url", "https://example.org/wrong"),
            ("remote.wrong.lfsurl", "datamon::--wrong"),
        ] {
            scratch.git.set_config(Scope::Local, key, value).unwrap();
        }
        let others = |repo: &Repo, remote| {
            repo.other_stores(remote).into_iter().map(|it| it.url).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(others(&scratch.repo(), "origin"), "near near-write");
        assert_eq!(others(&scratch.repo(), "near"), "near-write all");
        // Where pushes go comes before the rest.
        scratch.git.set_config(Scope::Local, "remote.pushDefault", "near").unwrap();
        assert_eq!(others(&scratch.repo(), "origin"), "near near-write");
        assert_eq!(scratch.repo().push_remote(), "near");
    }
}

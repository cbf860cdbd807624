//! Git configuration, and the URL that it names for git-lfs.
//!
//! The precedence is that of git-lfs, since git-lfs chooses the agent by the same URL: `lfs.pushurl` (for uploads), then
//! `lfs.url`, then `remote.<name>.lfspushurl` and `.lfsurl`; for each key git's own configuration, of whatever scope, beats
//! the committed `.lfsconfig`. A URL is for us when it starts with `datamon::`: which store that is, `stores` says.

use std::fmt;

use gix::bstr::{BString, ByteSlice};

use crate::git::command::{Git, GitFailed};
use crate::git::repo::Repo;
use crate::git::shell::quoted;
use crate::git::top_file::{Place, TopFileError};
use crate::store::without_password;

/// What stands before the URL of a store, or the name of a context, wherever git-lfs wants a URL.
pub const STORE_SCHEME: &str = "datamon::";

/// The file in which a repository may name its store, at its top.
pub const LFSCONFIG_FILE: &str = ".lfsconfig";

/// The remote of a repository that names none.
pub(super) const DEFAULT_REMOTE: &str = "origin";

/// Configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Git does not read or write it.
    #[error(transparent)]
    Git(#[from] GitFailed),
    /// `.lfsconfig` cannot be read.
    #[error(transparent)]
    Read(#[from] TopFileError),
    /// `.lfsconfig` is not a git configuration file.
    #[error("{LFSCONFIG_FILE} is not a git configuration file: {0}")]
    Syntax(String),
    /// A value that is none of those a key can have.
    #[error("{key} is {value:?}: it can be {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it is set to.
        value: String,
        /// What it could be.
        allowed: &'static str,
    },
    /// A store URL nobody would write.
    #[error("{key} in {from} names no usable store: {why}")]
    Url {
        /// The key that holds it.
        key: String,
        /// Where it stands.
        from: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Where git keeps a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// For every user of the machine.
    System,
    /// For every repository of the user.
    Global,
    /// For this repository.
    Local,
    /// For this work tree.
    Worktree,
    /// For this run: `-c` or the environment.
    Command,
}

impl Scope {
    /// The option of git for it.
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Scope::System => Some("--system"),
            Scope::Global => Some("--global"),
            Scope::Local => Some("--local"),
            Scope::Worktree => Some("--worktree"),
            Scope::Command => None,
        }
    }

    fn named(name: &[u8]) -> Scope {
        match name {
            b"system" => Scope::System,
            b"global" => Scope::Global,
            b"local" => Scope::Local,
            b"worktree" => Scope::Worktree,
            _ => Scope::Command,
        }
    }
}

/// One value, in the order in which git reads them.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    scope: Scope,
    key: BString,
    /// `None` for a key without `=`, which means true.
    pub(super) value: Option<BString>,
}

/// A snapshot of git's configuration: every scope, includes followed, `-c` and environment applied.
#[derive(Debug, Clone, Default)]
pub struct Config {
    entries: Vec<Entry>,
}

impl Config {
    /// What this git sees.
    pub fn read(git: &Git) -> Result<Config, ConfigError> {
        let listed = git.run(["config", "--list", "--null", "--show-scope"])?;
        let mut fields = listed.split(|byte| *byte == 0);
        let mut entries = Vec::new();
        while let (Some(scope), Some(pair)) = (fields.next(), fields.next()) {
            let (key, value) = match pair.split_once_str("\n") {
                Some((key, value)) => (key, Some(value.into())),
                None => (pair, None),
            };
            entries.push(Entry { scope: Scope::named(scope), key: key.into(), value });
        }
        Ok(Config { entries })
    }

    /// Every key that has a value.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(|entry| entry.key.as_slice())
    }

    /// Every value of a name in a section, whatever stands between them: `branch` and `mergeoptions` for those of all branches.
    pub(super) fn get_within(&self, section: &str, name: &str) -> impl Iterator<Item = &[u8]> {
        let (before, after) = (format!("{section}."), format!(".{name}"));
        let named = move |entry: &&Entry| {
            entry.key.starts_with(before.as_bytes()) && entry.key.ends_with(after.as_bytes())
        };
        self.entries.iter().filter(named).filter_map(|entry| entry.value.as_deref().map(Vec::as_slice))
    }

    /// The value that counts for a key, of whatever scope; section and name in lower case, as git prints them.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.entry(key).map(|entry| entry.value.as_ref().map_or(&b"true"[..], |value| value.as_slice()))
    }

    /// Whether a key is set to something that git takes for true.
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            !["", "false", "no", "off", "0"].iter().any(|no| no.as_bytes() == value)
        })
    }

    /// The value that counts for a key among those of one scope.
    pub fn get_in(&self, scope: Scope, key: &str) -> Option<&[u8]> {
        let entry = self.entries.iter().rev().find(|entry| entry.scope == scope && entry.key == key)?;
        Some(entry.value.as_ref().map_or(&b"true"[..], |value| value.as_slice()))
    }

    /// Every value of a key in one scope, in order.
    pub fn get_all<'c>(&'c self, scope: Scope, key: &'c str) -> impl Iterator<Item = &'c [u8]> {
        let wanted = self.entries.iter().filter(move |entry| entry.scope == scope && entry.key == key);
        wanted.filter_map(|entry| entry.value.as_ref().map(|value| value.as_slice()))
    }

    /// Every value of a key, of whatever scope, in the order in which git reads them.
    pub(super) fn values(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        let wanted = self.entries.iter().filter(move |entry| entry.key == key);
        wanted.filter_map(|entry| entry.value.as_ref().map(|value| value.as_slice()))
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    pub(super) fn scoped(&self, key: &str) -> Option<(Scope, &[u8])> {
        self.entry(key)
            .map(|entry| (entry.scope, entry.value.as_deref().map_or(&b""[..], |value| value.as_slice())))
    }
}

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To the store.
    Upload,
    /// From the store.
    Download,
}

/// Where the name of a store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In git's own configuration: the user, or the machine's owner, put it there.
    Config(Scope),
    /// In the committed `.lfsconfig`: whoever wrote the repository put it there.
    Lfsconfig(Place),
    /// It was typed in place of a remote.
    Typed,
}

impl Source {
    /// Where it stands, as users read it.
    pub fn described(self) -> &'static str {
        match self {
            Source::Config(Scope::Local) => ".git/config",
            Source::Config(_) => "the git configuration",
            Source::Lfsconfig(_) => LFSCONFIG_FILE,
            Source::Typed => "the command line",
        }
    }
}

/// A URL that configuration names for git-lfs, of whatever kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LfsUrl {
    /// The URL.
    pub url: BString,
    /// The key that holds it, as `lfs.pushurl`.
    pub key: String,
    /// Who says so.
    pub from: Source,
}

impl LfsUrl {
    /// Whether it names a store of ours.
    pub fn is_store(&self) -> bool {
        self.url.starts_with(STORE_SCHEME.as_bytes())
    }

    /// What takes it out of the configuration.
    pub fn unset(&self) -> String {
        let scope = match self.from {
            Source::Config(Scope::Local) => "",
            Source::Config(Scope::Command) | Source::Typed => {
                return format!("type the command again without {}", self.key);
            }
            Source::Config(scope) => &format!("{} ", scope.flag().unwrap_or_default()),
            Source::Lfsconfig(_) => &format!("--file {LFSCONFIG_FILE} "),
        };
        format!("git config {scope}--unset-all {}", quoted(&self.key))
    }
}

impl fmt::Display for LfsUrl {
    /// Without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", without_password(&self.url.to_str_lossy()))
    }
}

impl Repo {
    /// The URL, of whatever kind, that configuration names for a transfer with `remote`; `None` if git-lfs would talk to the
    /// remote itself.
    pub fn lfs_url(&self, remote: &str, operation: Operation) -> Result<Option<LfsUrl>, ConfigError> {
        let committed = self.lfsconfig()?;
        let upload = operation == Operation::Upload;
        let found = |key: String| {
            let ours = self.config().scoped(&key).map(|(scope, value)| (value.into(), Source::Config(scope)));
            let value = ours.or_else(|| committed.as_ref()?.get(&key));
            value.map(|(url, from)| LfsUrl { url, key, from })
        };

        let everywhere =
            upload.then(|| found("lfs.pushurl".into())).flatten().or_else(|| found("lfs.url".into()));
        if everywhere.is_some() {
            return Ok(everywhere);
        }
        let remotes = [remote, DEFAULT_REMOTE];
        for remote in remotes.into_iter().filter(|remote| !remote.is_empty()) {
            let push = upload.then(|| found(format!("remote.{remote}.lfspushurl"))).flatten();
            let own = push.or_else(|| found(format!("remote.{remote}.lfsurl")));
            // Git-lfs would now talk to the remote itself; only a name that means nothing leads on to the next one.
            if own.is_some() || self.config().get(&format!("remote.{remote}.url")).is_some() {
                return Ok(own);
            }
            if remote.contains([':', '/']) {
                return Ok(Some(LfsUrl { url: remote.into(), key: "remote".into(), from: Source::Typed }));
            }
        }
        Ok(None)
    }

    /// A key of `.lfsconfig`, `lfs.url` for one, whatever its value.
    pub fn committed_value(&self, key: &str) -> Result<Option<Vec<u8>>, ConfigError> {
        let found = self.lfsconfig()?.and_then(|file| file.get(key));
        Ok(found.map(|(value, _)| value.into()))
    }

    /// The value that counts for a key of git-lfs: git's own configuration beats `.lfsconfig`.
    pub fn lfs_value(&self, key: &str) -> Result<Option<BString>, ConfigError> {
        if let Some(value) = self.config().get(key) {
            return Ok(Some(value.into()));
        }
        Ok(self.lfsconfig()?.and_then(|file| file.get(key)).map(|(value, _)| value))
    }

    pub(super) fn lfsconfig(&self) -> Result<Option<Lfsconfig>, ConfigError> {
        self.top_file(LFSCONFIG_FILE)?.map(|file| Lfsconfig::parse(file.place, &file.bytes)).transpose()
    }
}

/// The keys of `.lfsconfig` that git-lfs lets a repository set and that name a store.
pub(super) struct Lfsconfig {
    place: Place,
    values: gix::config::File,
}

impl Lfsconfig {
    fn parse(place: Place, bytes: &[u8]) -> Result<Lfsconfig, ConfigError> {
        let meta = gix::config::file::Metadata::api();
        // No includes: a repository must not make us read other files.
        let values = gix::config::File::from_bytes_no_includes(bytes, meta, Default::default())
            .map_err(|error| ConfigError::Syntax(error.to_string()))?;
        Ok(Lfsconfig { place, values })
    }

    pub(super) fn get(&self, key: &str) -> Option<(BString, Source)> {
        let (section, rest) = key.split_once('.')?;
        let (subsection, name) = match rest.rsplit_once('.') {
            Some((subsection, name)) => (Some(BString::from(subsection)), name),
            None => (None, rest),
        };
        let safe = matches!((section, &subsection, name), ("lfs", None, _) | ("remote", Some(_), "lfsurl"));
        let value =
            safe.then(|| self.values.string_by(section, subsection.as_ref().map(|s| s.as_bstr()), name))?;
        Some((value?, Source::Lfsconfig(self.place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    fn lfsconfig(url: &str) -> String {
        format!("[lfs]\n\turl = {url}\n")
    }

    fn store(repo: &Repo, remote: &str, operation: Operation) -> Option<(String, Source)> {
        repo.store_url(remote, operation).unwrap().map(|store| (store.url, store.from))
    }

    /// The URL that git-lfs itself would use for a download from origin.
    fn endpoint(scratch: &Scratch) -> String {
        let env = scratch.says(&["lfs", "env"]);
        let line = env.lines().find_map(|line| line.strip_prefix("Endpoint=")).unwrap_or_default();
        line.split(" (auth=").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_committed_store_is_read_from_work_tree_index_and_head() {
        let scratch = Scratch::new();
        scratch.commit(&[(LFSCONFIG_FILE, lfsconfig("datamon::s3://head/x").as_bytes())]);
        let path = scratch.path().join(LFSCONFIG_FILE);
        std::fs::write(&path, lfsconfig("datamon::s3://index/x")).unwrap();
        scratch.git.run(["add", LFSCONFIG_FILE]).unwrap();
        std::fs::write(&path, lfsconfig("datamon::s3://tree/x")).unwrap();

        let ours = || store(&scratch.repo(), "origin", Operation::Download).unwrap();
        assert_eq!(ours(), ("s3://tree/x".to_owned(), Source::Lfsconfig(Place::WorkTree)));
        assert_eq!(endpoint(&scratch), "datamon::s3://tree/x");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ours(), ("s3://index/x".to_owned(), Source::Lfsconfig(Place::Index)));
        assert_eq!(endpoint(&scratch), "datamon::s3://index/x");
        scratch.git.run(["rm", "-q", "--cached", LFSCONFIG_FILE]).unwrap();
        assert_eq!(ours(), ("s3://head/x".to_owned(), Source::Lfsconfig(Place::Head)));
        assert_eq!(endpoint(&scratch), "datamon::s3://head/x");
    }

    #[test]
    fn any_git_configuration_beats_the_committed_one_and_both_are_kept() {
        let scratch = Scratch::new();
        scratch.commit(&[(LFSCONFIG_FILE, lfsconfig("datamon::new").as_bytes())]);
        scratch.git.set_config(Scope::Global, "lfs.url", "datamon::global").unwrap();
        let from = |scope| Source::Config(scope);
        let ours = || store(&scratch.repo(), "origin", Operation::Download).unwrap();
        assert_eq!(ours(), ("global".to_owned(), from(Scope::Global)));
        assert_eq!(scratch.repo().pinned_store().unwrap(), None);

        scratch.git.set_config(Scope::Local, "lfs.url", "datamon::old").unwrap();
        assert_eq!(ours(), ("old".to_owned(), from(Scope::Local)));
        assert_eq!(endpoint(&scratch), "datamon::old");
        let repo = scratch.repo();
        assert_eq!(repo.pinned_store().unwrap().unwrap().url, "old");
        assert_eq!(repo.committed_store().unwrap().unwrap().url, "new");

        let once = Repo::found_by(
            scratch.git.clone().with_env("GIT_CONFIG_PARAMETERS", Some("'lfs.url=datamon::once'")),
        );
        assert_eq!(
            store(&once.unwrap(), "origin", Operation::Download).unwrap(),
            ("once".to_owned(), from(Scope::Command))
        );
        assert!(scratch.git.unset_config(Scope::Local, "lfs.url").unwrap());
        assert!(!scratch.git.unset_config(Scope::Local, "lfs.url").unwrap());
    }

    #[test]
    fn a_committed_file_sets_no_unsafe_key_and_includes_nothing() {
        let scratch = Scratch::new();
        std::fs::write(scratch.beside("extra"), lfsconfig("datamon::included")).unwrap();
        let text = "[include]\npath = ../extra\n[remote \"origin\"]\nlfspushurl = datamon::x\n";
        scratch.commit(&[(LFSCONFIG_FILE, text.as_bytes())]);
        assert_eq!(store(&scratch.repo(), "origin", Operation::Upload), None);
    }

    #[test]
    fn a_hostile_lfsconfig_is_an_error_and_no_panic() {
        let scratch = Scratch::new();
        for bytes in [&b"[lfs"[..], b"[lfs]\nurl = \"unclosed", b"\xff\xfe\0", b"[lfs \"\\"] {
            scratch.commit(&[(LFSCONFIG_FILE, bytes)]);
            let error = scratch.repo().store_url("origin", Operation::Upload).unwrap_err().to_string();
            assert!(error.contains(LFSCONFIG_FILE), "{error}");
        }
    }
}

//! The ordinary LFS server that data comes from, or goes back to.

use std::ffi::OsString;

use crate::cli::errors::{CommandError, Kind};
use crate::git::{Operation, Repo, STORE_SCHEME};

/// What git-lfs calls a server that is no remote of the repository.
const NAME: &str = "lfs-server";

/// Keys of git-lfs that name a server, in git's configuration and in `.lfsconfig`.
pub const SERVER_KEYS: [&str; 2] = ["lfs.url", "lfs.pushurl"];

/// Where this clone remembers what such a key was before the store: `datamon.before.url`, and for `.lfsconfig`
/// `datamon.before.lfsconfigurl`.
pub fn before(key: &str, committed: bool) -> String {
    let name = key.strip_prefix("lfs.").unwrap_or(key);
    format!("datamon.before.{}{name}", if committed { "lfsconfig" } else { "" })
}

/// A server, for git-lfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// The one that the configuration leads to as it is.
    Configured,
    /// This one, whatever the configuration says.
    At(String),
}

impl Server {
    /// The server that the user names by a remote, a URL or a path; else the one that the data was on before the store, or
    /// would be on without it.
    pub fn chosen(repo: &Repo, typed: Option<&str>, operation: Operation) -> Result<Server, CommandError> {
        if let Some(typed) = typed {
            return Server::typed(repo, typed);
        }
        let remote = repo.lfs_remote();
        if repo.store_url(&remote, Operation::Download)?.is_none() {
            // Git-lfs wants a remote where a URL would do.
            let url = repo.lfs_value("lfs.url")?.filter(|_| !is_known(repo, &remote));
            return Ok(url.map_or(Server::Configured, |url| Server::At(url.to_string())));
        }
        // In the order of git-lfs: uploads may have a server of their own, and a clone's own word beats the committed one.
        let keys =
            SERVER_KEYS.iter().rev().filter(|key| operation == Operation::Upload || **key == "lfs.url");
        let remembered =
            keys.flat_map(|key| [before(key, false), before(key, true)]).find_map(|key| text(repo, &key));
        remembered.or_else(|| repo.server_of(&remote)).map(Server::At).ok_or_else(|| {
            CommandError::new(Kind::NotFound, "this repository names no LFS server and has no remote")
                .hint("name it by its URL")
        })
    }

    fn typed(repo: &Repo, typed: &str) -> Result<Server, CommandError> {
        if typed.starts_with(STORE_SCHEME) {
            let message = format!("{typed} is a store of git-datamon, not an LFS server");
            return Err(CommandError::new(Kind::Usage, message));
        }
        if let Some(url) = repo.server_of(typed) {
            return Ok(Server::At(url));
        }
        // A path of the user is meant from where the user is.
        if let Ok(path) = repo.git().dir().join(typed).canonicalize() {
            return Ok(Server::At(format!("file://{}", path.display())));
        }
        if typed.contains(':') && !typed.starts_with('-') {
            return Ok(Server::At(typed.to_owned()));
        }
        Err(CommandError::new(Kind::NotFound, format!("{typed} is no remote, no URL and no directory"))
            .hint("git remote -v"))
    }

    /// What `git` has to be called with so that `git lfs <command>` talks to the server.
    pub fn git_lfs(&self, command: &[&str]) -> Vec<OsString> {
        let mut args: Vec<String> = Vec::new();
        if let Server::At(url) = self {
            // Git-lfs fetches from a directory only where a remote has its URL.
            let keys = ["lfs.url".to_owned(), "lfs.pushurl".to_owned(), format!("remote.{NAME}.url")];
            args.extend(keys.into_iter().flat_map(|key| ["-c".to_owned(), format!("{key}={url}")]));
        }
        args.push("lfs".to_owned());
        args.extend(command.iter().map(|word| (*word).to_owned()));
        args.into_iter().map(OsString::from).collect()
    }

    /// The name of the server where git-lfs wants a remote.
    pub fn remote(&self, repo: &Repo) -> String {
        match self {
            Server::At(_) => NAME.to_owned(),
            Server::Configured => repo.lfs_remote(),
        }
    }

    /// Whether there is no server at all.
    pub fn is_nowhere(&self, repo: &Repo) -> bool {
        *self == Server::Configured && !is_known(repo, &repo.lfs_remote())
    }

    /// The server as users read it.
    pub fn shown(&self, repo: &Repo) -> String {
        let configured = || {
            text(repo, "lfs.url").or_else(|| committed(repo)).or_else(|| repo.server_of(&repo.lfs_remote()))
        };
        match self {
            Server::At(url) => url.clone(),
            Server::Configured => configured().unwrap_or_else(|| "nowhere".to_owned()),
        }
    }
}

/// Whether git-lfs takes it for a remote: the name of one, or the URL of a repository.
fn is_known(repo: &Repo, remote: &String) -> bool {
    repo.remotes().contains(remote) || remote.contains(['/', ':'])
}

fn text(repo: &Repo, key: &str) -> Option<String> {
    repo.config().get(key).map(|value| String::from_utf8_lossy(value).into_owned())
}

fn committed(repo: &Repo) -> Option<String> {
    repo.committed_value("lfs.url").ok().flatten().map(|url| String::from_utf8_lossy(&url).into_owned())
}

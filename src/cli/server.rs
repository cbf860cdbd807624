//! The ordinary LFS server that data comes from, or goes back to.

use std::ffi::OsString;

use crate::cli::errors::{CommandError, Kind};
use crate::git::{Operation, Repo, STORE_SCHEME};
use crate::store::without_password;

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
        let known = keys.flat_map(|key| {
            [text(repo, &before(key, false)), text(repo, &before(key, true)), committed(repo, key)]
        });
        let url = known.flatten().next();
        if url.is_none() && operation == Operation::Upload {
            refuse_two_places(repo, &remote)?;
        }
        let url = url.or_else(|| repo.server_of(&remote)).ok_or_else(|| {
            CommandError::new(Kind::NotFound, "this repository names no LFS server and has no remote")
                .hint("name it by its URL")
        })?;
        Server::at(url)
    }

    fn typed(repo: &Repo, typed: &str) -> Result<Server, CommandError> {
        if let Some(url) = repo.server_of(typed) {
            return Server::at(url);
        }
        // A path of the user is meant from where the user is.
        if let Ok(path) = repo.git().dir().join(typed).canonicalize() {
            return Server::at(format!("file://{}", path.display()));
        }
        if typed.contains(':') && !typed.starts_with('-') {
            return Server::at(typed.to_owned());
        }
        Err(CommandError::new(Kind::NotFound, format!("{typed} is no remote, no URL and no directory"))
            .hint("git remote -v"))
    }

    fn at(url: String) -> Result<Server, CommandError> {
        if url.starts_with(STORE_SCHEME) {
            let message = format!("{} is a store of git-datamon, not an LFS server", without_password(&url));
            return Err(CommandError::new(Kind::Usage, message).hint("name the server by its URL"));
        }
        Ok(Server::At(url))
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

    /// Whether git-lfs, as this repository is configured, sends uploads there.
    pub fn is_used_by(&self, repo: &Repo) -> Result<bool, CommandError> {
        let Server::At(url) = self else { return Ok(true) };
        // `git lfs env` shows where downloads come from; a key for uploads alone is compared as it stands.
        match repo.lfs_url(&repo.lfs_remote(), Operation::Upload)? {
            Some(found) if found.key.ends_with("pushurl") => Ok(found.to_string() == without_password(url)),
            _ => Ok(endpoint(repo, &Server::Configured)? == endpoint(repo, self)?),
        }
    }

    /// The server as users read it.
    pub fn shown(&self, repo: &Repo) -> String {
        let configured = || {
            text(repo, "lfs.url")
                .or_else(|| committed(repo, "lfs.url"))
                .or_else(|| repo.server_of(&repo.lfs_remote()))
        };
        match self {
            Server::At(url) => without_password(url),
            Server::Configured => {
                configured().map_or_else(|| "nowhere".to_owned(), |url| without_password(&url))
            }
        }
    }
}

/// Git-lfs would send new data to where the remote is pushed to, and look for all of it where it is fetched from.
fn refuse_two_places(repo: &Repo, remote: &str) -> Result<(), CommandError> {
    let pushed = text(repo, &format!("remote.{remote}.pushurl"));
    let fetched = text(repo, &format!("remote.{remote}.url"));
    let Some(pushed) = pushed.filter(|pushed| fetched.as_ref() != Some(pushed)) else { return Ok(()) };
    let own =
        |key| text(repo, &format!("remote.{remote}.{key}")).is_some_and(|it| !it.starts_with(STORE_SCHEME));
    if own("lfsurl") || own("lfspushurl") {
        return Ok(());
    }
    let (fetched, pushed) = (without_password(&fetched.unwrap_or_default()), without_password(&pushed));
    let message = format!(
        "remote {remote} is fetched from {fetched} and pushed to {pushed}: git-lfs would look for data in one place and send it to \
         the other"
    );
    Err(CommandError::new(Kind::Conflict, message).hint("say where all of it is to be: --to <URL>"))
}

/// Whether git-lfs takes it for a remote: the name of one, or the URL of a repository.
fn is_known(repo: &Repo, remote: &String) -> bool {
    repo.remotes().contains(remote) || remote.contains(['/', ':'])
}

/// What git-lfs says of the server it would talk to, passwords left out. It names the endpoint of a remote that is not `origin`
/// with that remote.
fn endpoint(repo: &Repo, server: &Server) -> Result<Vec<String>, CommandError> {
    let said = repo.git().run(server.git_lfs(&["env"]))?;
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let heads = ["Endpoint=".to_owned(), format!("Endpoint ({})=", repo.lfs_remote())];
    let found = heads.iter().find_map(|head| {
        let at = lines.iter().position(|line| line.starts_with(head.as_str()))?;
        Some((lines[at].strip_prefix(head.as_str())?, &lines[at + 1..]))
    });
    let (url, more) = found.unwrap_or_default();
    let url = url.split(" (auth=").next().unwrap_or_default();
    // What else belongs to it is indented.
    let more = more.iter().take_while(|line| line.starts_with(' ')).map(|line| (*line).to_owned());
    Ok(std::iter::once(without_password(url)).chain(more).collect())
}

fn text(repo: &Repo, key: &str) -> Option<String> {
    repo.config().get(key).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// What `.lfsconfig` says, if it names a server.
pub fn committed(repo: &Repo, key: &str) -> Option<String> {
    let value = repo.committed_value(key).ok().flatten()?;
    Some(String::from_utf8_lossy(&value).into_owned()).filter(|url| !url.starts_with(STORE_SCHEME))
}

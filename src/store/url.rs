//! Store URLs: what a user types, what `.lfsconfig` commits behind `datamon::`.
//!
//! A URL comes from a repository somebody else wrote: it is checked here, names a place and nothing else, and shows up in
//! messages without control characters.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// The reserved context: a directory store below the user's data directory, resolved on each machine.
pub const LOCAL: &str = "local";

/// Where a store lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    text: String,
    place: Place,
}

/// The backend a URL chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory of this machine, absolute.
    Directory(PathBuf),
    /// A store of this process, by name; for tests.
    Memory(String),
    /// Objects in a bucket of a cloud, or of a server that speaks its protocol.
    Bucket(Bucket),
}

/// A bucket and what stands before every key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Whose protocol.
    pub provider: Provider,
    /// The bucket; Azure calls it a container.
    pub name: String,
    /// Folders below which the store lies, without `/` at either end; empty for the whole bucket.
    pub prefix: String,
}

/// Who keeps buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, or a server that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Provider {
    /// What stands before `://`.
    pub fn scheme(self) -> &'static str {
        match self {
            Provider::S3 => "s3",
            Provider::Gcs => "gs",
            Provider::Azure => "az",
        }
    }
}

/// A URL that names no store this build can open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// A byte that would forge output or a request.
    #[error("the store URL {0:?} has a control character; write it again without")]
    Control(String),
    /// Neither a URL nor an absolute path.
    #[error(
        "{0:?} is no store: use file:///absolute/path, an absolute path, {LOCAL:?}, or a context that you have named \
         (`git datamon context list`)"
    )]
    Unclear(String),
    /// A scheme nobody knows.
    #[error(
        "git-datamon opens no {scheme}:// stores ({url}): use s3://bucket/folder, gs://bucket/folder, \
         az://container/folder, file:///absolute/path or {LOCAL:?}"
    )]
    Scheme {
        /// What stands before `://`.
        scheme: String,
        /// The whole URL.
        url: String,
    },
    /// A directory that climbs.
    #[error("the store path {0:?} has a `..` in it; write the path it stands for")]
    Climbs(String),
    /// A bucket URL that says more, or less, than where the store lies.
    #[error("the store URL {url:?} {why}; write {scheme}://bucket/folder")]
    Bucket {
        /// The URL, without what may be secret.
        url: String,
        /// Its scheme.
        scheme: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The user has no home.
    #[error(
        "there is no data directory for {LOCAL:?}: set HOME or XDG_DATA_HOME, or name a store with --store"
    )]
    NoDataDirectory,
}

impl StoreUrl {
    /// The store that `text` names: `local`, an absolute path, `file:///…`, `s3://…`, `gs://…`, `az://…`, or `memory:name`.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        if text.chars().any(char::is_control) {
            return Err(BadUrl::Control(without_password(text)));
        }
        let place = if text == LOCAL {
            Place::Directory(local_directory()?)
        } else if let Some(name) = text.strip_prefix("memory:") {
            Place::Memory(name.to_owned())
        } else if text.starts_with('/') {
            Place::Directory(PathBuf::from(text))
        } else {
            Self::parse_url(text)?
        };
        if let Place::Directory(path) = &place
            && path.components().any(|part| part == Component::ParentDir)
        {
            return Err(BadUrl::Climbs(text.to_owned()));
        }
        Ok(StoreUrl { text: text.to_owned(), place })
    }

    fn parse_url(text: &str) -> Result<Place, BadUrl> {
        let Some((scheme, _)) = text.split_once("://") else { return Err(BadUrl::Unclear(text.to_owned())) };
        let provider =
            [Provider::S3, Provider::Gcs, Provider::Azure].into_iter().find(|it| it.scheme() == scheme);
        if let Some(provider) = provider {
            return Bucket::parse(provider, text).map(Place::Bucket);
        }
        if scheme != "file" {
            return Err(BadUrl::Scheme { scheme: scheme.to_owned(), url: without_password(text) });
        }
        let url = url::Url::parse(text).map_err(|_| BadUrl::Unclear(without_password(text)))?;
        let path = url.to_file_path().map_err(|()| BadUrl::Unclear(without_password(text)))?;
        if path.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_control) {
            return Err(BadUrl::Control(text.to_owned()));
        }
        Ok(Place::Directory(path))
    }

    /// A directory as a URL that can be committed: `file:///…`, with what a URL cannot hold escaped.
    pub fn of_directory(path: &Path) -> Result<Self, BadUrl> {
        let shown = || BadUrl::Unclear(path.display().to_string());
        let url = url::Url::from_file_path(path).map_err(|()| shown())?;
        Self::parse(url.as_str())
    }

    /// The text the user or the repository gave, which may hold a password; [`fmt::Display`] shows it without.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The backend the URL chooses.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The one spelling of the place: what caches and trust are keyed by, so that `local` and its directory are one store.
    pub fn canonical(&self) -> String {
        match &self.place {
            Place::Directory(path) => {
                format!("file://{}", path.canonicalize().unwrap_or_else(|_| path.clone()).display())
            }
            Place::Memory(name) => format!("memory:{name}"),
            Place::Bucket(bucket) => bucket.to_string(),
        }
    }
}

impl Bucket {
    fn parse(provider: Provider, text: &str) -> Result<Bucket, BadUrl> {
        let scheme = provider.scheme();
        let wrong = |why| BadUrl::Bucket { url: without_password(text), scheme, why };
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.contains('@') {
            return Err(wrong(
                "holds credentials, which come from the environment or the provider's own files",
            ));
        }
        if rest.contains(['?', '#']) {
            return Err(wrong(
                "has options behind `?` or `#`, which stand in git's configuration (`datamon.store.…`)",
            ));
        }
        if name.contains(':') {
            return Err(wrong("names a port; a server is named by `datamon.store.<url>.endpoint`"));
        }
        // The rules of the three providers taken together; which of them holds is theirs to say.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 222 || !name.bytes().all(plain) || name.starts_with('.') {
            return Err(wrong("has no bucket that could be one"));
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(wrong("names an address and no bucket"));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if prefix.split('/').any(|part| part == "." || part == "..") {
            return Err(wrong("has a folder `.` or `..`"));
        }
        if prefix.len() > 512 || (!prefix.is_empty() && prefix.split('/').any(str::is_empty)) {
            return Err(wrong("has a folder without a name, or too many"));
        }
        // What a signature, a listing and a URL spell differently is a bug in some server.
        if !prefix.bytes().all(|byte| plain(byte) || byte == b'/' || byte == b'=' || byte == b'+') {
            return Err(wrong("has a folder with other characters than letters, digits and -_.=+"));
        }
        Ok(Bucket { provider, name: name.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.provider.scheme(), self.name)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.text))
    }
}

/// Whether two spellings mean one place.
pub fn is_same(one: &str, other: &str) -> bool {
    let place = |url: &str| StoreUrl::parse(url).map(|url| url.canonical()).ok();
    one == other || place(one).is_some_and(|it| place(other) == Some(it))
}

/// A URL as it may be shown and committed: without the password, what stands behind `?` and `#`, and for HTTP without the user,
/// which may be a token. A path, or `host:path` of ssh, stays as it is.
pub fn without_password(text: &str) -> String {
    let Some((before, _)) = text.split_once("://") else { return text.to_owned() };
    // What tells the store's URLs from those of servers stands before the scheme.
    let (prefix, plain) = text.split_at(before.rfind(':').map_or(0, |colon| colon + 1));
    let Ok(mut url) = url::Url::parse(plain) else { return format!("{before}://…") };
    if ["http", "https"].contains(&url.scheme()) {
        let _ = url.set_username("");
    }
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    // What has nothing to hide is shown as it was written.
    if url::Url::parse(plain).is_ok_and(|whole| whole == url) {
        text.to_owned()
    } else {
        format!("{prefix}{url}")
    }
}

fn local_directory() -> Result<PathBuf, BadUrl> {
    let dirs = directories::ProjectDirs::from("", "", "git-datamon").ok_or(BadUrl::NoDataDirectory)?;
    Ok(dirs.data_dir().join("store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_have_two_spellings() {
        for text in ["/srv/data sets", "file:///srv/data%20sets"] {
            let url = StoreUrl::parse(text).expect(text);
            assert_eq!(url.place(), &Place::Directory("/srv/data sets".into()));
        }
        let url = StoreUrl::of_directory(Path::new("/srv/data sets")).expect("absolute");
        assert_eq!(url.as_str(), "file:///srv/data%20sets");
    }

    #[test]
    fn hostile_urls_are_refused_by_name() {
        let refused = |text: &str| StoreUrl::parse(text).expect_err(text).to_string();
        assert!(refused("/a\n[lfs]").contains("control character"));
        assert!(refused("file:///a%0ab").contains("control character"));
        assert!(refused("gopher://x/y").contains("gopher://"));
        assert!(refused("relative/path").contains("no store"));
        assert!(refused("/a/../b").contains(".."));
        assert!(!refused("s3://me:secret@bucket/x").contains("secret"));
        assert!(refused("").contains("no store"));
    }

    #[test]
    fn what_is_secret_in_a_url_is_not_shown() {
        for (text, shown) in [
            ("https://me:secret@example.org/x", "https://example.org/x"),
            ("https://secret@example.org:8080/x?secret#secret", "https://example.org:8080/x"),
            ("ssh://git:secret@example.org/x", "ssh://git@example.org/x"),
            ("datamon::s3://me:secret@bucket/x", "datamon::s3://me@bucket/x"),
            ("https://me:sec/ret@example.org/x", "https://…"),
            ("lfs.url=https://me:secret@example.org/x", "lfs.url=https://…"),
        ] {
            assert_eq!(without_password(text), shown);
        }
        for text in [
            "git@example.org:a/b.git",
            "/srv/a@b",
            "file:///srv/data sets",
            "http://127.0.0.1:80",
            "datamon::local",
        ] {
            assert_eq!(without_password(text), text);
        }
    }
}

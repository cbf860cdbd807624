//! `datamon.toml`: the repo that the data of a git repository belongs to.
//!
//! ```toml
//! [repo]
//! id = "3f0c8a4e-5a5c-4c52-9b8e-8f6f2f0f7a11"
//! name = "weather"
//! ```
//! The id is the truth; the name is what people read until the store says otherwise. Keys not known here are left alone.

use toml_edit::{DocumentMut, Item};

use crate::git::repo::Repo;
use crate::git::top_file::TopFileError;
use crate::id::{NotAnId, RepoId};

/// Name of the file, at the top of the repository.
pub const MANIFEST_FILE: &str = "datamon.toml";

/// The longest name of a repo, bytes: it becomes part of file names and messages.
const LONGEST_NAME: usize = 255;

/// A `datamon.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] TopFileError),
    /// It is not TOML.
    #[error("{MANIFEST_FILE} is not TOML: {0}")]
    Syntax(String),
    /// It is TOML and says something impossible.
    #[error("{MANIFEST_FILE}: {0}")]
    Says(&'static str),
    /// The id is none.
    #[error("{MANIFEST_FILE}: {0}")]
    Id(#[from] NotAnId),
}

/// What `datamon.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The repo; [`RepoId::NIL`] where there is no file.
    pub repo: RepoId,
    /// What the repo is called.
    pub name: Option<String>,
}

impl Manifest {
    /// The manifest of a git repository that has no `datamon.toml`.
    pub const NONE: Manifest = Manifest { repo: RepoId::NIL, name: None };

    /// What this text says.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let text = std::str::from_utf8(bytes).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| ManifestError::Syntax(error.to_string()))?;
        let Some(table) = document.get("repo") else { return Ok(Manifest::NONE) };
        let table = table.as_table_like().ok_or(ManifestError::Says("`repo` is not a table"))?;
        let id = table.get("id").and_then(Item::as_str).ok_or(ManifestError::Says("[repo] has no `id`"))?;
        let name = match table.get("name") {
            None => None,
            Some(item) => Some(item.as_str().ok_or(ManifestError::Says("the name of the repo is not text"))?),
        };
        if name.is_some_and(|name| {
            name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control)
        }) {
            return Err(ManifestError::Says(
                "the name of the repo is empty, too long or has control characters",
            ));
        }
        Ok(Manifest { repo: id.parse()?, name: name.map(str::to_owned) })
    }

    /// The text with this repo in it; everything else of `before` stays as it is.
    pub fn write_into(&self, before: &[u8]) -> Result<String, ManifestError> {
        let text = std::str::from_utf8(before).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        let mut document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| ManifestError::Syntax(error.to_string()))?;
        let repo = document.entry("repo").or_insert_with(toml_edit::table);
        let repo = repo.as_table_like_mut().ok_or(ManifestError::Says("`repo` is not a table"))?;
        repo.insert("id", toml_edit::value(self.repo.to_string()));
        if let Some(name) = &self.name {
            repo.insert("name", toml_edit::value(name));
        }
        Ok(document.to_string())
    }
}

impl Repo {
    /// What `datamon.toml` says; [`Manifest::NONE`] where there is none.
    pub fn manifest(&self) -> Result<Manifest, ManifestError> {
        match self.top_file(MANIFEST_FILE)? {
            Some(file) => Manifest::parse(&file.bytes),
            None => Ok(Manifest::NONE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    #[test]
    fn no_file_is_the_nil_repo_and_a_committed_one_is_found() {
        let scratch = Scratch::new();
        assert_eq!(scratch.repo().manifest().unwrap(), Manifest::NONE);
        let manifest = Manifest { repo: RepoId::new(), name: Some("weather".to_owned()) };
        scratch.commit(&[(MANIFEST_FILE, manifest.write_into(b"").unwrap().as_bytes())]);
        assert_eq!(scratch.repo().manifest().unwrap(), manifest);
    }

    #[test]
    fn writing_keeps_what_is_there() {
        let before = "# ours\n[other]\nkey = 1 # kept\n";
        let manifest = Manifest { repo: RepoId::new(), name: None };
        let after = manifest.write_into(before.as_bytes()).unwrap();
        assert!(after.starts_with(before), "{after}");
        assert_eq!(Manifest::parse(after.as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let id = RepoId::new();
        for (text, reason) in [
            ("repo = 1".to_owned(), "not a table"),
            ("[repo]\nname = \"x\"".to_owned(), "no `id`"),
            ("[repo]\nid = \"x\"".to_owned(), "not a repo id"),
            (format!("[repo]\nid = \"{id}\"\nname = \"a\\u001bb\""), "control"),
            (format!("[repo]\nid = \"{id}\"\nname = 5"), "not text"),
            ("[repo".to_owned(), "not TOML"),
            ("a=".to_owned() + &"[".repeat(100_000), "not TOML"),
        ] {
            let error = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
        assert!(Manifest::parse(b"\xff").is_err());
    }
}

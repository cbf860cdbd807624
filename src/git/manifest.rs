//! `datamon.toml`: the repos that the data of a git repository belongs to.
//!
//! ```toml
//! [repo]                                          # the whole repository; what `init` writes
//! id = "3f0c8a4e-5a5c-4c52-9b8e-8f6f2f0f7a11"
//! name = "weather"
//!
//! [[dataset]]                                     # a directory with a life of its own
//! id = "a7c7d3e2-54f5-4b7e-9a60-2d2f0c1b7e55"
//! name = "stations"
//! path = "data/stations"
//! include = "lfs"                                 # optional: only what git-lfs tracks
//! ```
//! The id is the truth; the name is what people read until the store says otherwise. Keys not known here are left alone.
//!
//! Git-lfs says neither path nor commit of what it transfers, and one object may lie in several datasets. So what its agent
//! promises belongs to `[repo]`, or to the nil repo where there is none, and never to a `[[dataset]]`: the bundles of a dataset
//! promise their files themselves.

use gix::ObjectId;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike};

use crate::git::objects::{Objects, ObjectsError};
use crate::git::repo::Repo;
use crate::git::top_file::{LONGEST, TopFileError};
use crate::id::{NotAnId, RepoId};

/// Name of the file, at the top of the repository.
pub const MANIFEST_FILE: &str = "datamon.toml";

/// The longest name of a repo, bytes: it becomes part of file names and messages.
const LONGEST_NAME: usize = 255;

/// The longest path of a dataset, bytes.
const LONGEST_PATH: usize = 1024;

/// Why two datasets cannot be called the same.
const NAME_TAKEN: &str = "another one has its name";

/// A `datamon.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] TopFileError),
    /// The commit it is in cannot be read.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// It is not TOML.
    #[error("{MANIFEST_FILE} is not TOML: {0}")]
    Syntax(String),
    /// It is TOML and says something impossible.
    #[error("{MANIFEST_FILE}: {0}")]
    Says(&'static str),
    /// It is TOML and says something impossible of a dataset.
    #[error("{MANIFEST_FILE}: dataset {name:?}: {why}")]
    Dataset {
        /// Its name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The id is none.
    #[error("{MANIFEST_FILE}: {0}")]
    Id(#[from] NotAnId),
}

/// A dataset of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The repo.
    pub repo: RepoId,
    /// What it is called.
    pub name: Option<String>,
    /// Where it lies: names with `/` between them; empty for the whole repository.
    pub path: String,
    /// Whether only what git-lfs tracks is in it.
    pub lfs_only: bool,
}

/// What `datamon.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The repo of the whole repository, to which what git-lfs transfers belongs; [`RepoId::NIL`] where none is named.
    pub repo: RepoId,
    /// What the repo is called.
    pub name: Option<String>,
    /// Directories that are datasets of their own.
    pub parts: Vec<Dataset>,
}

impl Manifest {
    /// The manifest of a git repository that has no `datamon.toml`.
    pub const NONE: Manifest = Manifest { repo: RepoId::NIL, name: None, parts: Vec::new() };

    /// What this text says.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let document = document(bytes)?;
        let mut manifest = match document.get("repo") {
            None => Manifest::NONE,
            Some(table) => {
                let table = table.as_table_like().ok_or(ManifestError::Says("`repo` is not a table"))?;
                let id = text(table, "id")?.ok_or(ManifestError::Says("[repo] has no `id`"))?;
                Manifest { repo: id.parse()?, name: name_of(table)?, parts: Vec::new() }
            }
        };
        let tables = match document.get("dataset") {
            None => return Ok(manifest),
            Some(item) => {
                item.as_array_of_tables().ok_or(ManifestError::Says("`dataset` is no list of tables"))?
            }
        };
        for table in tables {
            manifest.add(Dataset::of(table)?)?;
        }
        Ok(manifest)
    }

    /// Every dataset: the whole repository, if it is one, then its parts. Without a file the whole repository is the nil repo.
    pub fn datasets(&self) -> Vec<Dataset> {
        self.whole().into_iter().chain(self.parts.iter().cloned()).collect()
    }

    /// The whole repository, if it is a dataset.
    fn whole(&self) -> Option<Dataset> {
        let (repo, name) = (self.repo, self.name.clone());
        let is_one = repo != RepoId::NIL || self.parts.is_empty();
        is_one.then(|| Dataset { repo, name, path: String::new(), lfs_only: false })
    }

    /// Adds a part, if it fits to the others.
    pub fn add(&mut self, part: Dataset) -> Result<(), ManifestError> {
        let wrong = |why| ManifestError::Dataset { name: part.name.clone().unwrap_or_default(), why };
        check_path(&part.path).map_err(wrong)?;
        if part.repo == RepoId::NIL {
            return Err(wrong("its id is nil"));
        }
        // By reference: a stranger's file may name thousands.
        let whole = self.whole();
        for other in whole.iter().chain(&self.parts) {
            if other.repo == part.repo {
                return Err(wrong("another one has its id"));
            }
            if other.name == part.name {
                return Err(wrong(NAME_TAKEN));
            }
            if !other.path.is_empty()
                && (lies_in(&part.path, &other.path) || lies_in(&other.path, &part.path))
            {
                return Err(wrong("its path lies in that of another one, or has it inside"));
            }
        }
        self.parts.push(part);
        Ok(())
    }

    /// Calls the dataset that is this repo by another name; whether there is one, and it was called otherwise.
    pub fn rename(&mut self, repo: RepoId, name: &str) -> Result<bool, ManifestError> {
        let other = |it: &Dataset| it.repo != repo && it.name.as_deref() == Some(name);
        if self.datasets().iter().any(other) {
            return Err(ManifestError::Dataset { name: name.to_owned(), why: NAME_TAKEN });
        }
        let whole = (self.repo == repo && repo != RepoId::NIL).then_some(&mut self.name);
        let mut parts = self.parts.iter_mut().filter(|it| it.repo == repo).map(|it| &mut it.name);
        let Some(there) = whole.or_else(|| parts.next()) else { return Ok(false) };
        Ok(there.replace(name.to_owned()).as_deref() != Some(name))
    }

    /// The text with this repo and these parts in it; everything else of `before` stays as it is.
    pub fn write_into(&self, before: &[u8]) -> Result<String, ManifestError> {
        let there = Manifest::parse(before)?;
        let mut document = document(before)?;
        // Comments alone would come behind what is written.
        let mut kept = String::new();
        if document.is_empty() {
            kept = std::mem::take(&mut document).to_string();
            if !kept.is_empty() && !kept.ends_with('\n') {
                kept.push('\n');
            }
        }
        if self.repo != RepoId::NIL {
            let repo = document.entry("repo").or_insert_with(toml_edit::table);
            let repo = repo.as_table_like_mut().ok_or(ManifestError::Says("`repo` is not a table"))?;
            put(repo, "id", &self.repo.to_string());
            if let Some(name) = &self.name {
                put(repo, "name", name);
            }
        }
        let other: Vec<_> = self.parts.iter().filter(|part| !there.parts.contains(part)).collect();
        if !other.is_empty() {
            let list = document.entry("dataset").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
            let list = list.as_array_of_tables_mut();
            let list = list.ok_or(ManifestError::Says("`dataset` is no list of tables"))?;
            for part in other {
                // Only its name can be another: it is what its id says.
                match there.parts.iter().position(|it| it.repo == part.repo).and_then(|at| list.get_mut(at)) {
                    Some(table) => put(table, "name", part.name.as_deref().unwrap_or_default()),
                    None => list.push(part.table()),
                }
            }
        }
        Ok(kept + &document.to_string())
    }
}

impl Dataset {
    fn of(table: &Table) -> Result<Dataset, ManifestError> {
        let name = name_of(table)?.ok_or(ManifestError::Says("a [[dataset]] has no `name`"))?;
        let wrong = |why| ManifestError::Dataset { name: name.clone(), why };
        let repo = text(table, "id")?.ok_or_else(|| wrong("it has no `id`"))?.parse()?;
        let path = text(table, "path")?.ok_or_else(|| wrong("it has no `path`"))?.to_owned();
        let lfs_only = match text(table, "include")? {
            None | Some("all") => false,
            Some("lfs") => true,
            // What a later version leaves out, this one must not put in.
            Some(_) => {
                return Err(wrong("its `include` is not one of `all` and `lfs`; upgrade git-datamon?"));
            }
        };
        Ok(Dataset { repo, name: Some(name), path, lfs_only })
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.insert("id", toml_edit::value(self.repo.to_string()));
        table.insert("name", toml_edit::value(self.name.clone().unwrap_or_default()));
        table.insert("path", toml_edit::value(&self.path));
        if self.lfs_only {
            table.insert("include", toml_edit::value("lfs"));
        }
        table
    }

    /// Whether a path of the repository lies in the dataset.
    pub fn holds(&self, path: &str) -> bool {
        self.path.is_empty() || lies_in(path, &self.path)
    }
}

/// Whether a path is a directory or lies in it.
fn lies_in(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path as git writes it, that no file system takes for another one.
fn check_path(path: &str) -> Result<(), &'static str> {
    let odd =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.eq_ignore_ascii_case(".git");
    if path.len() > LONGEST_PATH || path.split('/').any(odd) {
        return Err("its path is no directory below the top, as in `data/stations`");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Err("its path has a backslash or control characters");
    }
    Ok(())
}

/// Sets a value; a comment behind it stays.
fn put(table: &mut dyn TableLike, key: &str, text: &str) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(value) if value.as_str() == Some(text) => {}
        Some(value) => {
            let decor = value.decor().clone();
            *value = text.into();
            *value.decor_mut() = decor;
        }
        None => drop(table.insert(key, toml_edit::value(text))),
    }
}

fn document(bytes: &[u8]) -> Result<DocumentMut, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ManifestError::Syntax(error.to_string()))?;
    text.parse().map_err(|error: toml_edit::TomlError| {
        // What it says by itself is a picture of several lines.
        let place = error.to_string().lines().next().unwrap_or_default().to_owned();
        ManifestError::Syntax(format!("{place}: {}", error.message().replace('\n', ", ")))
    })
}

fn text<'t>(table: &'t dyn TableLike, key: &str) -> Result<Option<&'t str>, ManifestError> {
    let Some(item) = table.get(key) else { return Ok(None) };
    let text = item.as_str().ok_or(match key {
        "id" => ManifestError::Says("the id of a repo is not text"),
        "name" => ManifestError::Says("the name of a repo is not text"),
        _ => ManifestError::Says("`path` and `include` are text"),
    });
    text.map(Some)
}

fn name_of(table: &dyn TableLike) -> Result<Option<String>, ManifestError> {
    let name = text(table, "name")?;
    if name.is_some_and(|name| {
        name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control)
    }) {
        return Err(ManifestError::Says("the name of the repo is empty, too long or has control characters"));
    }
    Ok(name.map(str::to_owned))
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

impl Objects {
    /// What the `datamon.toml` in this blob says.
    pub(super) fn manifest(&self, blob: ObjectId) -> Result<Manifest, ManifestError> {
        let bytes = self.short_blob(blob, LONGEST)?.ok_or(TopFileError::Unusable { name: MANIFEST_FILE })?;
        Manifest::parse(&bytes)
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
        let manifest = Manifest { repo: RepoId::new(), name: Some("weather".to_owned()), ..Manifest::NONE };
        scratch.commit(&[(MANIFEST_FILE, manifest.write_into(b"").unwrap().as_bytes())]);
        assert_eq!(scratch.repo().manifest().unwrap(), manifest);
    }

    #[test]
    fn writing_keeps_what_is_there() {
        let before = "# ours\n[other]\nkey = 1 # kept\n";
        let manifest = Manifest { repo: RepoId::new(), ..Manifest::NONE };
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

    fn part(name: &str, path: &str) -> Dataset {
        Dataset { repo: RepoId::new(), name: Some(name.to_owned()), path: path.to_owned(), lfs_only: false }
    }

    #[test]
    fn datasets_are_read_as_they_were_written_beside_the_whole_or_alone() {
        let mut manifest = Manifest::NONE;
        assert_eq!(manifest.datasets(), [Dataset { repo: RepoId::NIL, name: None, ..part("", "") }]);
        manifest.add(part("stations", "data/stations")).unwrap();
        manifest.add(Dataset { lfs_only: true, ..part("models", "data/stations-2") }).unwrap();
        assert_eq!(manifest.datasets(), manifest.parts, "the nil repo is no dataset beside others");
        let written = manifest.write_into(b"# ours\n").unwrap();
        assert!(written.starts_with("# ours\n[[dataset]]\n"), "{written}");
        assert_eq!(Manifest::parse(written.as_bytes()).unwrap(), manifest);
        // Written again, nothing is there twice; the whole repository goes with them.
        assert_eq!(manifest.write_into(written.as_bytes()).unwrap(), written);
        let whole = Manifest { repo: RepoId::new(), name: Some("all".to_owned()), ..manifest };
        let written = whole.write_into(written.as_bytes()).unwrap();
        assert_eq!(Manifest::parse(written.as_bytes()).unwrap(), whole);
        assert_eq!(whole.datasets().len(), 3);
        assert!(whole.parts[0].holds("data/stations/x") && !whole.parts[0].holds("data/stations-2"));
    }

    #[test]
    fn a_new_name_is_written_where_the_old_one_stood() {
        let (whole, part) = (RepoId::new(), RepoId::new());
        let before = format!(
            "# ours\n[repo]\nid = \"{whole}\" # never changes\nname = \"all\" # of it\n\n[[dataset]]\nid = \"{part}\"\n\
             name = 'stations'\npath = \"x\"\n\n[other]\nkey = 1\n"
        );
        let mut manifest = Manifest::parse(before.as_bytes()).unwrap();
        assert!(!manifest.rename(RepoId::new(), "new").unwrap() && !manifest.rename(whole, "all").unwrap());
        assert!(manifest.rename(part, "all").is_err() && manifest.rename(whole, "stations").is_err());
        assert_eq!(manifest.write_into(before.as_bytes()).unwrap(), before);
        assert!(manifest.rename(part, "points").unwrap() && manifest.rename(whole, "world").unwrap());
        let after = manifest.write_into(before.as_bytes()).unwrap();
        assert_eq!(after, before.replace("\"all\"", "\"world\"").replace("'stations'", "\"points\""));
        assert_eq!(Manifest::parse(after.as_bytes()).unwrap(), manifest);
        let mut none = Manifest::NONE;
        assert!(!none.rename(RepoId::NIL, "x").unwrap(), "the nil repo has no name");
    }

    #[test]
    fn datasets_that_are_in_each_other_s_way_are_refused() {
        let first = part("a", "data/x");
        let id = first.repo;
        let mut manifest = Manifest { repo: RepoId::new(), name: Some("all".to_owned()), parts: vec![first] };
        let before = manifest.clone();
        for path in [
            "", ".", "..", "/x", "x/", "x//y", "x/../y", "./x", ".git", "x/.GIT/y", "a\\b", "a\nb", "data/x",
            "data", "data/x/y",
        ] {
            assert!(manifest.add(part("b", path)).is_err(), "{path:?}");
        }
        assert!(manifest.add(Dataset { repo: id, ..part("b", "y") }).is_err(), "the same id");
        assert!(
            manifest.add(Dataset { repo: manifest.repo, ..part("b", "y") }).is_err(),
            "the id of the whole"
        );
        assert!(manifest.add(Dataset { repo: RepoId::NIL, ..part("b", "y") }).is_err(), "the nil id");
        assert!(
            manifest.add(part("a", "y")).is_err() && manifest.add(part("all", "y")).is_err(),
            "the same name"
        );
        assert_eq!(manifest, before);
        manifest.add(part("b", "data/xy")).unwrap();
        for (text, reason) in [
            ("dataset = 1".to_owned(), "list of tables"),
            (format!("[[dataset]]\nid = \"{id}\"\npath = \"x\""), "no `name`"),
            ("[[dataset]]\nname = \"x\"\npath = \"x\"".to_owned(), "no `id`"),
            (format!("[[dataset]]\nid = \"{id}\"\nname = \"x\""), "no `path`"),
            (format!("[[dataset]]\nid = \"{id}\"\nname = \"x\"\npath = 1"), "are text"),
            (
                format!("[[dataset]]\nid = \"{id}\"\nname = \"x\"\npath = \"x\"\ninclude = \"some\""),
                "upgrade",
            ),
        ] {
            let error = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}

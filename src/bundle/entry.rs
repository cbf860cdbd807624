//! One entry of a bundle: a path and what lies there.

use super::name::is_gits_own;
use crate::id::{GitId, Oid};
use crate::table::Recipe;

/// The longest path of an entry, bytes.
const LONGEST_PATH: usize = 4096;

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file.
    File {
        /// Whether it may be run: all of its mode that git keeps.
        executable: bool,
        /// SHA-256 of its bytes.
        oid: Oid,
        /// How many they are.
        size: u64,
        /// How to rebuild it.
        recipe: Recipe,
    },
    /// A symbolic link.
    Link {
        /// Where it leads, as it was written.
        target: Vec<u8>,
    },
    /// A submodule: an empty directory to whoever reads the bundle without git.
    Module {
        /// The commit it stands at.
        commit: GitId,
    },
}

impl Content {
    /// The mode that git gives it.
    pub fn mode(&self) -> u32 {
        match self {
            Content::File { executable: false, .. } => 0o100_644,
            Content::File { executable: true, .. } => 0o100_755,
            Content::Link { .. } => 0o120_000,
            Content::Module { .. } => 0o160_000,
        }
    }

    /// Bytes of the file, or of the target of the link.
    pub fn size(&self) -> u64 {
        match self {
            Content::File { size, .. } => *size,
            Content::Link { target } => target.len() as u64,
            Content::Module { .. } => 0,
        }
    }

    /// What makes two contents the same, wherever their bytes lie: oid, target or commit.
    pub fn name(&self) -> &[u8] {
        match self {
            Content::File { oid, .. } => oid.as_bytes(),
            Content::Link { target } => target,
            Content::Module { commit } => commit.as_bytes(),
        }
    }

    /// Whether a reader sees the same in both.
    pub fn is_same(&self, other: &Content) -> bool {
        (self.mode(), self.size(), self.name()) == (other.mode(), other.size(), other.name())
    }
}

/// A path and what lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the dataset, with slashes; any bytes that [`check_path`] lets through.
    pub path: Vec<u8>,
    /// What lies there.
    pub content: Content,
}

/// Whether a path is `folder` itself or lies below it.
pub fn is_at_or_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// A path that no entry may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} cannot be a path of a bundle: {why}; rename it")]
pub struct BadPath {
    /// The path, as text as far as it is.
    pub path: String,
    /// What is wrong.
    pub why: &'static str,
}

/// Refuses what would lead out of a directory, into the administration of git, or nowhere.
pub fn check_path(path: &[u8]) -> Result<(), BadPath> {
    let bad = |why| {
        let shown: String = String::from_utf8_lossy(path).chars().take(120).collect();
        Err(BadPath { path: shown, why })
    };
    if path.is_empty() || path.len() > LONGEST_PATH {
        return bad("it is empty or longer than 4,096 bytes");
    }
    if path.contains(&0) {
        return bad("it has a zero byte");
    }
    for part in path.split(|byte| *byte == b'/') {
        if part.is_empty() || part == b"." || part == b".." {
            return bad("a part of it is empty, `.` or `..`");
        }
        if is_gits_own(part) {
            return bad("a part of it is git's own");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in
            ["", "/", "a//b", "a/", "/a", ".", "..", "a/../b", "a/./b", ".git", "a/.GIT/x", "GIT~1", "a\0b"]
        {
            assert!(check_path(path.as_bytes()).is_err(), "{path:?}");
        }
        for path in ["a", "a/b", "a/...", ".gitignore", "a\\b", "a b", "-", "a\nb", "\u{e9}"] {
            assert!(check_path(path.as_bytes()).is_ok(), "{path:?}");
        }
        assert!(check_path(b"\xff/\xfe").is_ok(), "any bytes are a name");
        assert!(check_path(&[b'a'; LONGEST_PATH + 1]).is_err());
    }
}

//! Which paths git-lfs filters: git itself is asked, whose rules for nested and built-in attributes are many.

use std::collections::HashSet;

use gix::bstr::{BStr, BString};

use crate::git::command::GitFailed;
use crate::git::repo::Repo;

/// What is asked of each path: the filter, and what else would change the pointer on its way through git.
const ASKED: [&str; 3] = ["filter", "working-tree-encoding", "ident"];

/// Paths whose files git hands to git-lfs.
#[derive(Debug, Default)]
pub struct LfsPaths {
    /// Git takes them back as pointers, unchanged by anything else.
    pub plain: HashSet<BString>,
    /// Something else has a hand in them too: only git with all its filters can write and compare them.
    pub odd: HashSet<BString>,
    /// Of these, files whose pointers git would recode, and from what: no pointer comes of it.
    pub recoded: Vec<(BString, String)>,
}

impl LfsPaths {
    /// Whether there is none of either.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.odd.is_empty()
    }
}

/// Whether the letters of a pointer have other bytes in this encoding.
fn is_wide(encoding: &[u8]) -> bool {
    let name = encoding.to_ascii_lowercase();
    [&b"utf-16"[..], b"utf16", b"utf-32", b"utf32", b"ucs-", b"ucs2", b"ucs4"]
        .iter()
        .any(|it| name.starts_with(it))
}

impl Repo {
    /// Those of `paths` (from the top of the work tree) whose files git hands to git-lfs.
    pub fn lfs_paths<'p>(&self, paths: impl IntoIterator<Item = &'p BStr>) -> Result<LfsPaths, GitFailed> {
        let mut asked = Vec::new();
        for path in paths {
            asked.extend_from_slice(path);
            asked.push(0);
        }
        if asked.is_empty() {
            return Ok(LfsPaths::default());
        }
        let top = self.work_tree().unwrap_or(self.git_dir());
        let git = self.git().clone().moved_to(top);
        let said = git.run_with_stdin(["check-attr", "--stdin", "-z"].iter().chain(&ASKED), &asked)?;
        let (mut lfs, mut odd, mut recoded) = (HashSet::new(), HashSet::new(), Vec::new());
        let mut fields = said.split(|byte| *byte == 0);
        while let (Some(path), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next()) {
            if name == b"working-tree-encoding" && is_wide(value) {
                recoded.push((BString::from(path), String::from_utf8_lossy(value).into_owned()));
            }
            match (name, value) {
                (b"filter", b"lfs") => drop(lfs.insert(BString::from(path))),
                (b"filter", _) | (_, b"unspecified" | b"unset") => {}
                _ => drop(odd.insert(BString::from(path))),
            }
        }
        recoded.retain(|(path, _)| lfs.contains(path));
        let extended = self.has_lfs_extensions();
        let (odd, plain) = lfs.into_iter().partition(|path| extended || odd.contains(path));
        Ok(LfsPaths { plain, odd, recoded })
    }

    /// `lfs.extension.*` puts other programs between a file and its pointer.
    pub(super) fn has_lfs_extensions(&self) -> bool {
        self.config().keys().any(|key| key.starts_with(b"lfs.extension."))
    }

    /// Whether git knows the filter of git-lfs.
    pub fn has_lfs_filter(&self) -> bool {
        ["filter.lfs.process", "filter.lfs.clean"].iter().any(|key| self.config().get(key).is_some())
    }
}

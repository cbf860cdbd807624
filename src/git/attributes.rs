//! Which paths git-lfs filters: git itself is asked, whose rules for nested and built-in attributes are many.

use std::collections::HashSet;

use gix::bstr::{BStr, BString};

use crate::git::command::GitFailed;
use crate::git::repo::Repo;

/// What is asked of each path: the filter, and what else would change the pointer on its way through git.
const ASKED: [&str; 3] = ["filter", "working-tree-encoding", "ident"];

impl Repo {
    /// Those of `paths` (from the top of the work tree) whose files git hands to git-lfs and takes back as pointers, unchanged
    /// by anything else.
    pub fn lfs_paths<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p BStr>,
    ) -> Result<HashSet<BString>, GitFailed> {
        let mut asked = Vec::new();
        for path in paths {
            asked.extend_from_slice(path);
            asked.push(0);
        }
        if asked.is_empty() || self.has_lfs_extensions() {
            return Ok(HashSet::new());
        }
        let top = self.work_tree().unwrap_or(self.git_dir());
        let git = self.git().clone().moved_to(top);
        let said = git.run_with_stdin(["check-attr", "--stdin", "-z"].iter().chain(&ASKED), &asked)?;
        let (mut lfs, mut odd) = (HashSet::new(), HashSet::new());
        let mut fields = said.split(|byte| *byte == 0);
        while let (Some(path), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next()) {
            match (name, value) {
                (b"filter", b"lfs") => drop(lfs.insert(BString::from(path))),
                (b"filter", _) | (_, b"unspecified" | b"unset") => {}
                _ => drop(odd.insert(BString::from(path))),
            }
        }
        lfs.retain(|path| !odd.contains(path));
        Ok(lfs)
    }

    /// `lfs.extension.*` puts other programs between a file and its pointer.
    fn has_lfs_extensions(&self) -> bool {
        self.config().keys().any(|key| key.starts_with(b"lfs.extension."))
    }

    /// Whether git knows the filter of git-lfs.
    pub fn has_lfs_filter(&self) -> bool {
        ["filter.lfs.process", "filter.lfs.clean"].iter().any(|key| self.config().get(key).is_some())
    }
}

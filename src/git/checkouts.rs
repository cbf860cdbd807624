//! Commits that somebody works on and no ref leads to: HEADs of other work trees, and the older entries of the stash.

use gix::ObjectId;

use crate::git::objects::{Objects, ObjectsError};

impl Objects {
    /// What is checked out in any work tree of the repository, and every entry of its stash.
    pub fn checkouts(&self) -> Result<Vec<ObjectId>, ObjectsError> {
        let listed = self.git.run(["worktree", "list", "--porcelain"]).map_err(ObjectsError::Git)?;
        let heads = listed.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"HEAD "));
        // No stash is no error.
        let stash = self.git.run(["rev-list", "--walk-reflogs", "refs/stash", "--"]).unwrap_or_default();
        let ids =
            heads.chain(stash.split(|byte| *byte == b'\n')).filter_map(|hex| ObjectId::from_hex(hex).ok());
        // A work tree before its first commit has a HEAD of zeros.
        let mut ids: Vec<ObjectId> = ids.filter(|id| self.gix.has_object(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::git::scratch::Scratch;

    #[test]
    fn other_work_trees_and_all_of_the_stash_are_seen() {
        let scratch = Scratch::new();
        assert!(scratch.objects().checkouts().unwrap().is_empty());
        let first = scratch.commit(&[("a", b"1")]);
        let mut wanted = BTreeSet::from([first.clone()]);
        for n in [b"2", b"3"] {
            std::fs::write(scratch.path().join("a"), n).unwrap();
            scratch.git.run(["stash", "-q"]).unwrap();
            wanted.insert(scratch.says(&["rev-parse", "stash@{0}"]));
        }
        let (linked, unborn) = (scratch.beside("linked"), scratch.beside("unborn"));
        scratch.git.run(["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]).unwrap();
        scratch.git.run(["worktree", "add", "-q", "--orphan", "-b", "x", unborn.to_str().unwrap()]).unwrap();
        let there = scratch.git_at(&linked);
        there.run(["commit", "-q", "--allow-empty", "-m", "nowhere else"]).unwrap();
        let linked = String::from_utf8(there.run(["rev-parse", "HEAD"]).unwrap()).unwrap();
        wanted.insert(linked.trim().to_owned());
        let found = scratch.objects().checkouts().unwrap();
        assert_eq!(found.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), wanted);
        let all = scratch.objects().all_tips().unwrap();
        assert!(found.iter().all(|id| all.contains(id)));
    }
}

//! Which commit holds these blobs: from what was asked for to the tree that is being checked out.
//!
//! Every tree is read once, whatever the number of commits that share it, and a search ends after [`SEARCHED`] trees: it is
//! made while somebody waits, and finding nothing costs speed only.

use std::collections::HashMap;

use gix::ObjectId;

use crate::git::objects::{Objects, ObjectsError};

/// Blobs looked for at once: bits of a word.
const MOST_BLOBS: usize = 64;

/// Trees that one search reads at most: about a second.
const SEARCHED: usize = 100_000;

/// A search for the commits whose trees hold all of some blobs.
pub struct Holding<'o> {
    objects: &'o Objects,
    /// The bit of each blob.
    bits: HashMap<ObjectId, u64>,
    /// Which of the blobs lie below a tree.
    below: HashMap<ObjectId, u64>,
}

/// A directory that is being looked into.
struct Open {
    tree: ObjectId,
    below: u64,
    left: Vec<ObjectId>,
}

impl Objects {
    /// A search for these blobs, or for the first 64 of them.
    pub fn holding(&self, blobs: &[ObjectId]) -> Holding<'_> {
        let bits = blobs.iter().take(MOST_BLOBS).enumerate().map(|(n, blob)| (*blob, 1 << n)).collect();
        Holding { objects: self, bits, below: HashMap::new() }
    }
}

impl Holding<'_> {
    /// The first of these commits whose tree holds all the blobs.
    pub fn first(&mut self, commits: &[ObjectId]) -> Result<Option<ObjectId>, ObjectsError> {
        self.search(commits.iter().map(|commit| Ok(*commit)))
    }

    /// The newest commit in the history of `tips` whose tree holds all the blobs.
    pub fn newest(&mut self, tips: &[ObjectId]) -> Result<Option<ObjectId>, ObjectsError> {
        let objects = self.objects;
        self.search(objects.history(tips)?)
    }

    fn search(
        &mut self,
        commits: impl Iterator<Item = Result<ObjectId, ObjectsError>>,
    ) -> Result<Option<ObjectId>, ObjectsError> {
        for commit in commits {
            let commit = commit?;
            if self.holds_all(commit)? {
                return Ok(Some(commit));
            }
            if self.below.len() > SEARCHED {
                break;
            }
        }
        Ok(None)
    }

    fn holds_all(&mut self, commit: ObjectId) -> Result<bool, ObjectsError> {
        let all = self.bits.values().fold(0, |all, bit| all | bit);
        let tree = self.objects.tree_of(commit)?;
        Ok(self.look_below(tree)? == all)
    }

    /// The bits of the blobs below a tree.
    fn look_below(&mut self, tree: ObjectId) -> Result<u64, ObjectsError> {
        if let Some(known) = self.below.get(&tree) {
            return Ok(*known);
        }
        let mut open = vec![self.open(tree)?];
        loop {
            let top = open.last_mut().expect("the loop ends with the last one");
            if let Some(next) = top.left.pop() {
                match self.below.get(&next) {
                    Some(known) => top.below |= known,
                    None => open.push(self.open(next)?),
                }
                continue;
            }
            let Open { tree, below, .. } = open.pop().expect("looked at just now");
            self.below.insert(tree, below);
            match open.last_mut() {
                Some(above) => above.below |= below,
                None => return Ok(below),
            }
        }
    }

    fn open(&self, tree: ObjectId) -> Result<Open, ObjectsError> {
        let mut open = Open { tree, below: 0, left: Vec::new() };
        for entry in self.objects.entries(tree)? {
            if entry.mode.is_tree() {
                open.left.push(entry.id);
            } else if entry.mode.is_blob() {
                open.below |= self.bits.get(&entry.id).unwrap_or(&0);
            }
        }
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use crate::git::pointer::Pointer;
    use crate::git::scratch::Scratch;
    use crate::id::Oid;

    fn pointer(n: u8) -> Pointer {
        Pointer { oid: Oid::from_bytes([n; 32]), size: n.into() }
    }

    #[test]
    fn blobs_are_found_by_their_ids_alone_and_only_together() {
        let scratch = Scratch::new();
        let text = |n| pointer(n).canonical();
        let blob = |n| pointer(n).blob_id();
        let commits = [
            scratch.commit(&[("deep/down/here", &text(1)), ("deep/down/there", &text(2)), ("text", b"x")]),
            scratch.commit(&[("deep/down/here", &text(3))]),
            scratch.commit(&[("deep/up/here", &text(1)), ("deep/down/there", &text(4))]),
        ];
        let objects = scratch.objects();
        let commits = commits.map(|id| objects.resolve(&id).unwrap());
        let newest = |blobs: &[_]| objects.holding(blobs).newest(&commits[2..]).unwrap();
        for (blobs, found) in [
            (&[1][..], Some(2)),
            (&[2], Some(1)),
            (&[1, 2], Some(0)),
            (&[2, 3], Some(1)),
            (&[3, 4, 1], Some(2)),
            (&[2, 4], None),
            (&[9], None),
        ] {
            let blobs: Vec<_> = blobs.iter().map(|n| blob(*n)).collect();
            assert_eq!(newest(&blobs), found.map(|n: usize| commits[n]), "{blobs:?}");
        }
        let mut search = objects.holding(&[blob(1)]);
        assert_eq!(search.first(&commits).unwrap(), Some(commits[0]), "in the order given");
        assert_eq!(search.first(&commits[1..2]).unwrap(), None);
        assert_eq!(objects.holding(&[blob(2)]).newest(&commits[..1]).unwrap(), Some(commits[0]));
    }

    #[test]
    fn a_symlink_is_no_pointer_and_a_submodule_no_tree() {
        let scratch = Scratch::new();
        let target = String::from_utf8(pointer(1).canonical()).unwrap();
        std::os::unix::fs::symlink(&target, scratch.path().join("link")).unwrap();
        let id = "1234567890123456789012345678901234567890";
        scratch.git.run(["update-index", "--add", "--cacheinfo", &format!("160000,{id},sub")]).unwrap();
        scratch.git.run(["add", "link"]).unwrap();
        scratch.git.run(["commit", "-q", "-m", "odd"]).unwrap();
        let objects = scratch.objects();
        let head = objects.head().unwrap().unwrap();
        assert_eq!(objects.pointers_in_tree(head).unwrap(), []);
        assert_eq!(objects.holding(&[pointer(1).blob_id()]).first(&[head]).unwrap(), None);
    }
}

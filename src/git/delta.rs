//! What differs between two trees: subtrees that are the same are never opened.

use std::collections::BTreeMap;

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice};
use gix::objs::tree::EntryMode;

use crate::git::objects::{Objects, ObjectsError};

/// What a tree has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeItem {
    /// Its mode, as git writes it: `0o100644`, `0o100755`, `0o120000` or `0o160000`.
    pub mode: u32,
    /// The blob; the commit of a submodule.
    pub id: ObjectId,
}

/// What each path that differs has now; `None` where nothing is left.
pub type Delta = BTreeMap<BString, Option<TreeItem>>;

impl Objects {
    /// The tree at a path of a commit or tree, all of it where the path is empty; `None` if no directory is there.
    pub fn tree_at(&self, tree_ish: ObjectId, path: &[u8]) -> Result<Option<ObjectId>, ObjectsError> {
        let root = self.tree_of(tree_ish)?;
        if path.is_empty() {
            return Ok(Some(root));
        }
        let failed = |source| ObjectsError::read(format!("tree {root}"), source);
        let tree = self.gix.find_tree(root).map_err(failed)?;
        let entry = tree.lookup_entry(path.split_str("/")).map_err(failed)?;
        Ok(entry.filter(|entry| entry.mode().is_tree()).map(|entry| entry.object_id()))
    }

    /// What differs from `old`, or from nothing, to the tree `new`.
    pub fn delta(&self, old: Option<ObjectId>, new: ObjectId) -> Result<Delta, ObjectsError> {
        let mut delta = Delta::new();
        let mut open = vec![(BString::default(), old, Some(new))];
        while let Some((prefix, old, new)) = open.pop() {
            let (before, after) = (self.items(old)?, self.items(new)?);
            for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
                let (was, is) = (before.get(name), after.get(name));
                if was == is {
                    continue;
                }
                let mut path = prefix.clone();
                path.extend_from_slice(name);
                let tree = |it: Option<&(EntryMode, ObjectId)>| it.filter(|it| it.0.is_tree()).map(|it| it.1);
                let item = |it: Option<&(EntryMode, ObjectId)>| it.filter(|it| !it.0.is_tree()).copied();
                if item(was) != item(is) {
                    let now = item(is).map(|(mode, id)| TreeItem { mode: plain(mode), id });
                    delta.insert(path.clone(), now);
                }
                if tree(was).is_some() || tree(is).is_some() {
                    path.push(b'/');
                    open.push((path, tree(was), tree(is)));
                }
            }
        }
        Ok(delta)
    }

    fn items(
        &self,
        tree: Option<ObjectId>,
    ) -> Result<BTreeMap<BString, (EntryMode, ObjectId)>, ObjectsError> {
        let Some(tree) = tree else { return Ok(BTreeMap::new()) };
        Ok(self.entries(tree)?.map(|entry| (entry.name, (entry.mode, entry.id))).collect())
    }
}

/// The mode as git would write it today: old trees have others, such as `0o100664`.
fn plain(mode: EntryMode) -> u32 {
    u32::from(mode.kind() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    #[test]
    fn what_differs_is_what_git_says() {
        let scratch = Scratch::new();
        scratch.commit(&[("a/b/c", b"1"), ("a/b/d", b"2"), ("e", b"3"), ("gone/x", b"4"), ("turns", b"5")]);
        std::fs::remove_dir_all(scratch.path().join("gone")).expect("removed");
        std::fs::remove_file(scratch.path().join("turns")).expect("removed");
        scratch.commit(&[("a/b/d", b"other"), ("e.txt", b"6"), ("turns/into", b"7"), ("a-b", b"8")]);
        let objects = scratch.objects();
        let [old, new] = ["HEAD~^{tree}", "HEAD^{tree}"].map(|spec| objects.resolve(spec).expect("a tree"));
        let shown = |delta: &Delta| -> Vec<String> {
            delta
                .iter()
                .map(|(path, now)| format!("{}{path}", if now.is_some() { "+" } else { "-" }))
                .collect()
        };
        let delta = objects.delta(Some(old), new).expect("read");
        assert_eq!(shown(&delta), ["+a-b", "+a/b/d", "+e.txt", "-gone/x", "-turns", "+turns/into"]);
        let said = scratch.says(&["diff-tree", "-r", "--no-renames", "--name-only", "HEAD~", "HEAD"]);
        let mut paths: Vec<&str> = said.lines().collect();
        paths.sort_unstable();
        assert_eq!(delta.keys().map(|path| path.to_string()).collect::<Vec<_>>(), paths);
        assert_eq!(objects.delta(Some(new), new).expect("read"), Delta::new());
        assert_eq!(objects.delta(None, new).expect("read").len(), 6);
        assert_eq!(objects.tree_at(new, b"a/b").expect("read"), objects.resolve("HEAD:a/b").ok());
        assert_eq!(objects.tree_at(new, b"e").expect("read"), None);
    }
}

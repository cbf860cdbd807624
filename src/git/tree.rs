//! Trees, walked depth first: the order of paths, byte by byte.

use std::collections::HashMap;

use gix::ObjectId;
use gix::bstr::{BStr, BString};
use gix::objs::{TreeRefIter, tree::EntryMode};

use crate::git::objects::{Objects, ObjectsError};
use crate::git::pointer::Pointer;

/// Directories in directories, at most: as many as git itself accepts (`core.maxTreeDepth`).
const DEEPEST: usize = 2048;

/// A pointer and where it stands in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePointer {
    /// The path, `/` between its parts.
    pub path: BString,
    /// What the pointer says.
    pub pointer: Pointer,
    /// The blob that holds it.
    pub blob: ObjectId,
}

/// What a walk does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Go on; into the entry if it is a tree.
    Into,
    /// Go on behind the entry.
    Over,
}

/// One entry of a tree.
pub(super) struct Entry {
    pub(super) name: BString,
    pub(super) mode: EntryMode,
    pub(super) id: ObjectId,
}

struct Directory {
    entries: std::vec::IntoIter<Entry>,
    /// How much of the path is the directory itself, with its slash.
    prefix: usize,
}

impl Objects {
    /// The pointers in the tree of a commit (or in a tree), in path order.
    pub fn pointers_in_tree(&self, tree_ish: ObjectId) -> Result<Vec<TreePointer>, ObjectsError> {
        let mut found = Vec::new();
        self.walk_tree(self.tree_of(tree_ish)?, &mut |path, mode, id| {
            if mode.is_blob()
                && let Some(pointer) = self.pointer(id)?
            {
                found.push(TreePointer { path: path.to_owned(), pointer, blob: id });
            }
            Ok(Step::Into)
        })?;
        Ok(found)
    }

    /// The pointers by path in the tree of a commit's first parent: the previous version of each file.
    pub fn first_parent_pointers(
        &self,
        commit: ObjectId,
    ) -> Result<HashMap<BString, TreePointer>, ObjectsError> {
        let Some(parent) = self.first_parent(commit)? else { return Ok(HashMap::new()) };
        let pointers = self.pointers_in_tree(parent)?;
        Ok(pointers.into_iter().map(|found| (found.path.clone(), found)).collect())
    }

    /// Shows every entry below a tree to `visit`, in path order, and follows its steps.
    pub(super) fn walk_tree(
        &self,
        root: ObjectId,
        visit: &mut dyn FnMut(&BStr, EntryMode, ObjectId) -> Result<Step, ObjectsError>,
    ) -> Result<(), ObjectsError> {
        let mut path = BString::default();
        let mut open = vec![Directory { entries: self.entries(root)?, prefix: 0 }];
        while let Some(directory) = open.last_mut() {
            path.truncate(directory.prefix);
            let Some(entry) = directory.entries.next() else {
                open.pop();
                continue;
            };
            path.extend_from_slice(&entry.name);
            match visit(path.as_ref(), entry.mode, entry.id)? {
                Step::Into if entry.mode.is_tree() => {
                    if open.len() == DEEPEST {
                        return Err(ObjectsError::TooDeep { id: root, limit: DEEPEST });
                    }
                    path.push(b'/');
                    open.push(Directory { entries: self.entries(entry.id)?, prefix: path.len() });
                }
                Step::Into | Step::Over => {}
            }
        }
        Ok(())
    }

    /// The entries of a tree, in its order.
    pub(super) fn entries(&self, tree: ObjectId) -> Result<std::vec::IntoIter<Entry>, ObjectsError> {
        if !self.is_here(tree)? {
            return Ok(Vec::new().into_iter());
        }
        let failed = |source| ObjectsError::read(format!("tree {tree}"), source);
        let object = self.gix.find_tree(tree).map_err(failed)?;
        let entries = TreeRefIter::from_bytes(&object.data, tree.kind()).map(|entry| {
            entry.map(|entry| Entry {
                name: entry.filename.to_owned(),
                mode: entry.mode,
                id: entry.oid.to_owned(),
            })
        });
        Ok(entries.collect::<Result<Vec<_>, _>>().map_err(failed)?.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;
    use crate::id::Oid;

    fn pointer(n: u8) -> Pointer {
        Pointer { oid: Oid::from_bytes([n; 32]), size: u64::from(n) }
    }

    #[test]
    fn pointers_come_in_path_order_with_the_blobs_git_has() {
        let scratch = Scratch::new();
        let (one, two) = (pointer(1).canonical(), pointer(2).canonical());
        let long = vec![b'v'; 2000];
        let commit = scratch.commit(&[
            ("b", &one),
            ("a/x", &two),
            ("a-x", &one),
            ("a.x", &one),
            ("text", b"hello"),
            ("long", &long),
        ]);
        let objects = scratch.objects();
        let found = objects.pointers_in_tree(objects.resolve(&commit).unwrap()).unwrap();
        let paths: Vec<String> = found.iter().map(|found| found.path.to_string()).collect();
        assert_eq!(paths, ["a-x", "a.x", "a/x", "b"]);
        let listed = scratch.says(&["ls-tree", "-r", "HEAD"]);
        for found in &found {
            assert!(listed.contains(&format!("blob {}\t{}", found.blob, found.path)), "{listed}");
            assert_eq!(found.blob, found.pointer.blob_id());
        }
        assert_eq!(found[2].pointer, pointer(2));
    }

    #[test]
    fn the_previous_version_is_that_of_the_first_parent() {
        let scratch = Scratch::new();
        let root =
            scratch.commit(&[("data/a", &pointer(1).canonical()), ("data/b", &pointer(2).canonical())]);
        let next = scratch.commit(&[("data/a", &pointer(3).canonical())]);
        let objects = scratch.objects();
        let (root, next) = (objects.resolve(&root).unwrap(), objects.resolve(&next).unwrap());
        let path = BStr::new("data/a");
        assert_eq!(objects.pointer_at(next, path).unwrap(), Some(pointer(3)));
        assert_eq!(objects.first_parent(next).unwrap(), Some(root));
        assert_eq!(objects.first_parent(root).unwrap(), None);
        let before = objects.first_parent_pointers(next).unwrap();
        assert_eq!(before[path].pointer, pointer(1));
        assert_eq!(before.len(), 2);
        assert!(objects.first_parent_pointers(root).unwrap().is_empty());
        assert_eq!(objects.pointer_at(next, BStr::new("data")).unwrap(), None);
        assert_eq!(objects.pointer_at(next, BStr::new("none")).unwrap(), None);
    }

    #[test]
    fn a_tree_too_deep_for_any_file_system_is_refused() {
        let scratch = Scratch::new();
        let objects = scratch.objects();
        let empty = gix::objs::TreeRef::from_bytes(b"", gix::hash::Kind::Sha1).unwrap();
        let mut id = objects.gix.write_object(empty).unwrap().detach();
        for _ in 0..DEEPEST {
            let mut bytes = b"40000 d\0".to_vec();
            bytes.extend_from_slice(id.as_slice());
            let tree = gix::objs::TreeRef::from_bytes(&bytes, id.kind()).unwrap();
            id = objects.gix.write_object(&tree).unwrap().detach();
        }
        let error = objects.pointers_in_tree(id).unwrap_err();
        assert!(matches!(error, ObjectsError::TooDeep { .. }), "{error}");
    }

    #[test]
    fn a_partial_clone_fetches_the_pointers_it_lacks() {
        let scratch = Scratch::new();
        scratch.commit(&[("a", &pointer(1).canonical())]);
        for key in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
            scratch.git.run(["config", key, "true"]).unwrap();
        }
        let (clone, url) = (scratch.beside("partial"), format!("file://{}", scratch.path().display()));
        let args = ["clone", "-q", "--no-checkout", "--filter=blob:none", &url, clone.to_str().unwrap()];
        scratch.git.run(args).unwrap();
        let objects = crate::git::Repo::found_by(scratch.git_at(&clone)).unwrap().objects().unwrap();
        let found = objects.pointers_in_tree(objects.head().unwrap().unwrap()).unwrap();
        assert_eq!(found[0].pointer, pointer(1));
    }

    #[test]
    fn what_a_partial_clone_lacks_can_be_left_where_it_is() {
        let scratch = Scratch::new();
        scratch.commit(&[("a", &pointer(1).canonical()), ("d/b", &pointer(2).canonical())]);
        for key in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
            scratch.git.run(["config", key, "true"]).unwrap();
        }
        let url = format!("file://{}", scratch.path().display());
        for filter in ["blob:none", "tree:0", "blob:limit=1k"] {
            let (clone, filtered) = (scratch.beside(filter), format!("--filter={filter}"));
            let args = ["clone", "-q", "--no-checkout", &filtered, &url, clone.to_str().unwrap()];
            scratch.git.run(args).unwrap();
            let repo = crate::git::Repo::found_by(scratch.git_at(&clone)).unwrap();
            let objects = repo.objects().unwrap().only_local();
            let head = objects.head().unwrap().unwrap();
            let here = if filter == "blob:limit=1k" { 2 } else { 0 };
            assert_eq!(objects.pointers_in_tree(head).unwrap().len(), here, "{filter}");
            assert_eq!(objects.pointers_in_history(&[head]).unwrap().len(), here, "{filter}");
            let found = objects.holding(&[pointer(2).blob_id()]).newest(&[head]).unwrap();
            assert_eq!(found.is_some(), filter != "tree:0", "its id is in the tree: {filter}");
        }
    }

    #[test]
    fn a_missing_blob_is_named() {
        let scratch = Scratch::new();
        scratch.commit(&[("a", &pointer(1).canonical())]);
        let id = pointer(1).blob_id().to_string();
        std::fs::remove_file(scratch.path().join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
        let objects = scratch.objects();
        let error = objects.pointers_in_tree(objects.head().unwrap().unwrap()).unwrap_err().to_string();
        assert!(error.contains(&id), "{error}");
    }
}

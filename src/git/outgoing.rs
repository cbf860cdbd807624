//! Pointers that a range of history brings: what `git rev-list --objects <include> --not <exclude>` lists, less all that
//! is no pointer.
//!
//! As git does it: commits reachable from the includes and not from the excludes, each one's tree walked, and every object
//! looked at once. The trees of the boundary (excluded parents of included commits) are marked as looked at beforehand.

use std::collections::HashSet;

use gix::ObjectId;
use gix::bstr::{BStr, BString};
use gix::objs::Kind;
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;

use crate::git::objects::{Objects, ObjectsError};
use crate::git::tree::{Step, TreePointer};

impl Objects {
    /// The pointers introduced by what is reachable from `include` and not from `exclude`, each blob once.
    ///
    /// `include` may hold tags, trees and blobs beside commits; of `exclude` what is absent here excludes nothing: a remote
    /// may name commits that were never fetched.
    pub fn outgoing(
        &self,
        include: &[ObjectId],
        exclude: &[ObjectId],
    ) -> Result<Vec<TreePointer>, ObjectsError> {
        let (mut tips, mut others) = (Vec::new(), Vec::new());
        for id in include {
            match self.peeled(*id)? {
                (Kind::Commit, id) => tips.push(id),
                (_, id) => others.push(id),
            }
        }
        let hidden = self.commits_here(exclude)?;
        let commits = self.reachable(tips, hidden)?;
        let included: HashSet<ObjectId> = commits.iter().map(|(id, _)| *id).collect();
        let parents = commits.iter().flat_map(|(_, parents)| parents);
        let boundary: HashSet<&ObjectId> = parents.filter(|parent| !included.contains(*parent)).collect();
        let mut seen = HashSet::new();
        for commit in boundary {
            // A shallow clone ends where no parent is.
            if self.gix.has_object(commit) {
                self.mark(self.tree_of(*commit)?, &mut seen)?;
            }
        }
        let mut brought = Brought::default();
        for (commit, _) in commits {
            self.introduced(self.tree_of(commit)?, &mut seen, &mut brought)?;
        }
        for other in others {
            self.introduced(other, &mut seen, &mut brought)?;
        }
        self.complete(brought)
    }

    /// The pointers among what was not here too, fetched in one go.
    fn complete(&self, brought: Brought) -> Result<Vec<TreePointer>, ObjectsError> {
        let Brought { mut found, absent } = brought;
        if !absent.is_empty() {
            self.fetch_promised(&absent.iter().map(|(_, blob)| *blob).collect::<Vec<_>>())?;
        }
        for (path, blob) in absent {
            if let Some(pointer) = self.pointer(blob)? {
                found.push(TreePointer { path, pointer, blob });
            }
        }
        Ok(found)
    }

    /// Every pointer in the history of these commits, each blob once.
    pub fn pointers_in_history(&self, tips: &[ObjectId]) -> Result<Vec<TreePointer>, ObjectsError> {
        self.outgoing(tips, &[])
    }

    /// The commits reachable from `tips`, newest first.
    pub(super) fn history(
        &self,
        tips: &[ObjectId],
    ) -> Result<impl Iterator<Item = Result<ObjectId, ObjectsError>>, ObjectsError> {
        let walk = self.walk(self.commits_here(tips)?, vec![])?;
        Ok(walk.map(|info| info.map(|info| info.id).map_err(in_history)))
    }

    fn peeled(&self, id: ObjectId) -> Result<(Kind, ObjectId), ObjectsError> {
        self.header(id)?;
        let failed = |source| ObjectsError::read(format!("object {id}"), source);
        let object = self.gix.find_object(id).and_then(|object| object.peel_tags_to_end()).map_err(failed)?;
        Ok((object.kind, object.id))
    }

    fn commits_here(&self, ids: &[ObjectId]) -> Result<Vec<ObjectId>, ObjectsError> {
        let mut commits = Vec::new();
        for id in ids.iter().filter(|id| self.gix.has_object(id)) {
            if let (Kind::Commit, id) = self.peeled(*id)? {
                commits.push(id);
            }
        }
        Ok(commits)
    }

    /// Commits with their parents, newest first.
    fn reachable(
        &self,
        tips: Vec<ObjectId>,
        hidden: Vec<ObjectId>,
    ) -> Result<Vec<(ObjectId, Vec<ObjectId>)>, ObjectsError> {
        let walk = self.walk(tips, hidden)?;
        walk.map(|info| info.map(|info| (info.id, info.parent_ids.to_vec())).map_err(in_history)).collect()
    }

    fn walk(
        &self,
        tips: Vec<ObjectId>,
        hidden: Vec<ObjectId>,
    ) -> Result<gix::revision::Walk<'_>, ObjectsError> {
        let newest_first = Sorting::ByCommitTime(CommitTimeOrder::NewestFirst);
        self.gix.rev_walk(tips).with_hidden(hidden).sorting(newest_first).all().map_err(in_history)
    }

    /// Marks everything in a tree as looked at.
    fn mark(&self, tree: ObjectId, seen: &mut HashSet<ObjectId>) -> Result<(), ObjectsError> {
        if !seen.insert(tree) {
            return Ok(());
        }
        self.walk_tree(tree, &mut |_, _, id| Ok(if seen.insert(id) { Step::Into } else { Step::Over }))
    }

    /// Collects the pointers in a tree, or in a blob, that were not looked at yet.
    fn introduced(
        &self,
        id: ObjectId,
        seen: &mut HashSet<ObjectId>,
        brought: &mut Brought,
    ) -> Result<(), ObjectsError> {
        if !seen.insert(id) || !self.is_here(id)? {
            return Ok(());
        }
        let mut collect = |path: &BStr, blob| -> Result<(), ObjectsError> {
            if self.is_promised(blob) {
                brought.absent.push((path.to_owned(), blob));
            } else if let Some(pointer) = self.pointer(blob)? {
                brought.found.push(TreePointer { path: path.to_owned(), pointer, blob });
            }
            Ok(())
        };
        if self.header(id)?.0 == Kind::Blob {
            return collect(BStr::new(""), id);
        }
        self.walk_tree(id, &mut |path, mode, id| {
            if mode.is_commit() || !seen.insert(id) {
                return Ok(Step::Over);
            }
            if mode.is_blob() {
                collect(path, id)?;
            }
            Ok(Step::Into)
        })
    }
}

/// What a range brings.
#[derive(Default)]
struct Brought {
    found: Vec<TreePointer>,
    /// Blobs that are to be fetched before they can be looked at.
    absent: Vec<(BString, ObjectId)>,
}

fn in_history(source: gix::Error) -> ObjectsError {
    ObjectsError::read("the history", source)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;

    use super::*;
    use crate::git::pointer::Pointer;
    use crate::git::scratch::Scratch;
    use crate::id::Oid;

    fn pointer(n: u64) -> Vec<u8> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Pointer { oid: Oid::from_bytes(bytes), size: n }.canonical()
    }

    /// The blobs that git lists for a range and that hold pointers.
    fn oracle(scratch: &Scratch, range: &[&str]) -> BTreeSet<String> {
        let listed = scratch.says(&[&["rev-list", "--objects", "--no-object-names"], range].concat());
        let checked =
            scratch.git.run_with_stdin(["cat-file", "--batch-check"], (listed + "\n").as_bytes()).unwrap();
        let checked = String::from_utf8(checked).unwrap();
        let blobs = checked.lines().filter_map(|line| line.split_once(" blob ")).map(|(id, _)| id.to_owned());
        blobs.filter(|id| scratch.says(&["cat-file", "blob", id]).starts_with("version ")).collect()
    }

    fn blobs(found: &[TreePointer]) -> BTreeSet<String> {
        let blobs: BTreeSet<String> = found.iter().map(|found| found.blob.to_string()).collect();
        assert_eq!(blobs.len(), found.len(), "each blob once");
        blobs
    }

    fn ids(objects: &Objects, names: &[&str]) -> Vec<ObjectId> {
        names.iter().map(|name| objects.resolve(name).unwrap()).collect()
    }

    /// A history of merges and moves, the same on every run: pointers come, go, move and return.
    fn history(scratch: &Scratch, commits: u64) {
        let mut stream = String::new();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for n in 1..=commits {
            let content = String::from_utf8(pointer(1 + random(40))).unwrap();
            let date = 1_700_000_000 + 10 * n;
            write!(stream, "commit refs/heads/c{n}\nmark :{n}\n").unwrap();
            write!(stream, "committer T <t@example.org> {date} +0000\ndata 1\nx\n").unwrap();
            if n > 1 {
                writeln!(stream, "from :{}", n - 1 - random(n.min(4) - 1)).unwrap();
            }
            if n > 5 && random(3) == 0 {
                writeln!(stream, "merge :{}", 1 + random(n - 1)).unwrap();
            }
            let path = format!("d{}/e{}/f{}", random(3), random(2), random(4));
            write!(stream, "M 100644 inline {path}\ndata {}\n{content}\n", content.len()).unwrap();
            if random(4) == 0 {
                writeln!(stream, "D d{}", random(3)).unwrap();
            }
        }
        scratch.git.run_with_stdin(["fast-import", "--quiet"], stream.as_bytes()).unwrap();
    }

    #[test]
    fn a_range_brings_what_rev_list_says() {
        let scratch = Scratch::new();
        history(&scratch, 60);
        let objects = scratch.objects();
        let mut brought = 0;
        for (include, exclude) in [
            (vec!["c60"], vec![]),
            (vec!["c60"], vec!["c59"]),
            (vec!["c60"], vec!["c40", "c52"]),
            (vec!["c60", "c33", "c58"], vec!["c30", "c31"]),
            (vec!["c20"], vec!["c60"]),
            (vec!["c57", "c50^{tree}"], vec!["c10"]),
        ] {
            let range: Vec<&str> =
                include.iter().copied().chain(["--not"]).chain(exclude.iter().copied()).collect();
            let found = objects.outgoing(&ids(&objects, &include), &ids(&objects, &exclude)).unwrap();
            assert_eq!(blobs(&found), oracle(&scratch, &range), "{range:?}");
            brought += found.len();
        }
        assert!(brought > 40, "the history is too tame to show anything: {brought}");
        for n in 2..=60 {
            let (include, exclude) = (format!("c{n}"), format!("c{}", n - 1));
            let found = objects.outgoing(&ids(&objects, &[&include]), &ids(&objects, &[&exclude])).unwrap();
            assert_eq!(blobs(&found), oracle(&scratch, &[&include, "--not", &exclude]), "{n}");
        }
    }

    #[test]
    fn what_the_remote_has_is_left_out() {
        let scratch = Scratch::new();
        scratch.commit(&[("a", &pointer(1)), ("b", &pointer(2))]);
        scratch.git.run(["update-ref", "refs/remotes/origin/main", "HEAD"]).unwrap();
        scratch.git.run(["update-ref", "refs/remotes/origin/team/x", "HEAD"]).unwrap();
        scratch.git.run(["update-ref", "refs/remotes/other/main", "HEAD"]).unwrap();
        scratch.commit(&[("a", &pointer(3)), ("moved", &pointer(2))]);
        let objects = scratch.objects();
        let head = objects.head().unwrap().unwrap();
        for remote in ["origin", "other", "nowhere", "https://example.org/x", "..", "../heads", "a b", ""] {
            let found = objects.outgoing(&[head], &objects.remote_tips(remote).unwrap()).unwrap();
            let expected = match remote {
                "origin" | "other" => oracle(&scratch, &["HEAD", "--not", &format!("--remotes={remote}")]),
                _ => oracle(&scratch, &["HEAD"]),
            };
            assert_eq!(blobs(&found), expected, "{remote}");
        }
        let found = objects.outgoing(&[head], &objects.remote_tips("origin").unwrap()).unwrap();
        assert_eq!(found.iter().map(|found| found.path.to_string()).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn tags_and_shallow_clones_end_where_git_ends() {
        let scratch = Scratch::new();
        scratch.commit(&[("a", &pointer(1))]);
        scratch.commit(&[("a", &pointer(2))]);
        scratch.commit(&[("a", &pointer(3))]);
        scratch.git.run(["tag", "-a", "-m", "x", "v1", "HEAD~1"]).unwrap();
        let objects = scratch.objects();
        let found = objects.pointers_in_history(&ids(&objects, &["v1"])).unwrap();
        assert_eq!(blobs(&found), oracle(&scratch, &["v1"]));
        assert_eq!(found.len(), 2);

        let clone = scratch.beside("shallow");
        let url = format!("file://{}", scratch.path().display());
        scratch.git.run(["clone", "-q", "--depth=2", "--no-tags", &url, clone.to_str().unwrap()]).unwrap();
        let objects = crate::git::Repo::found_by(scratch.git_at(&clone)).unwrap().objects().unwrap();
        let head = objects.head().unwrap().unwrap();
        assert_eq!(objects.pointers_in_history(&[head]).unwrap().len(), 2);
        let absent = ObjectId::from_hex(b"1234567890123456789012345678901234567890").unwrap();
        assert_eq!(objects.outgoing(&[head], &[absent]).unwrap().len(), 2);
        assert!(matches!(objects.outgoing(&[absent], &[]), Err(ObjectsError::Missing { .. })));
    }

    #[test]
    fn tips_come_likeliest_first_and_each_commit_once() {
        let scratch = Scratch::new();
        assert_eq!(scratch.objects().tips().unwrap(), []);
        scratch.commit(&[("a", b"1")]);
        scratch.git.run(["branch", "other"]).unwrap();
        scratch.git.run(["tag", "-a", "-m", "x", "v1"]).unwrap();
        scratch.git.run(["tag", "blob", "HEAD:a"]).unwrap();
        scratch.commit(&[("a", b"2")]);
        scratch.git.run(["update-ref", "refs/remotes/origin/main", "HEAD"]).unwrap();
        let far = scratch.commit(&[("a", b"3")]);
        scratch.git.run(["update-ref", "refs/remotes/origin/far", &far]).unwrap();
        scratch.git.run(["reset", "-q", "--hard", "HEAD~1"]).unwrap();
        let tips = scratch.objects().tips().unwrap();
        let names: Vec<String> = tips.iter().map(|tip| tip.name.to_string()).collect();
        assert_eq!(names, ["HEAD", "refs/heads/other", "refs/remotes/origin/far"]);
        assert_eq!(tips[2].commit.to_string(), far);
    }
}

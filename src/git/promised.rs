//! Blobs that a partial clone lacks, fetched in one go.
//!
//! Git fetches what it lacks when it is looked at, each object by itself: a process, a connection and a pack for each. Who is
//! going to look at many asks for all of them first, as git's own checkout does.

use std::collections::HashSet;

use gix::ObjectId;
use gix::bstr::BStr;

use crate::git::config::Config;
use crate::git::objects::{Objects, ObjectsError};
use crate::git::tree::Step;

/// How git itself asks a promisor for objects that it lacks; the remote stands after `fetch`.
const ASK: [&str; 3] = ["-c", "fetch.negotiationAlgorithm=noop", "fetch"];
const FOR_OBJECTS: [&str; 6] = [
    "--no-tags",
    "--no-write-fetch-head",
    "--recurse-submodules=no",
    "--no-auto-maintenance",
    "--filter=blob:none",
    "--stdin",
];

/// The remotes that promised to have what this clone lacks; none where it is not partial.
pub(super) fn promisors(config: &Config) -> Vec<String> {
    let keys = config.keys().filter_map(|key| std::str::from_utf8(key).ok());
    let named = keys.filter_map(|key| key.strip_prefix("remote.")?.strip_suffix(".promisor"));
    let mut remotes: Vec<String> = named.filter(|name| !name.starts_with('-')).map(str::to_owned).collect();
    remotes.dedup();
    remotes
}

impl Objects {
    /// Fetches what the trees of these commits hold at wanted paths and this clone lacks, in one go.
    pub fn bring(&self, tree_ishes: &[ObjectId], wanted: &dyn Fn(&BStr) -> bool) -> Result<(), ObjectsError> {
        if self.promisors.is_empty() {
            return Ok(());
        }
        // A tree may be wanted at one path and not at another.
        let (mut looked_at, mut absent) = (HashSet::new(), HashSet::new());
        for id in tree_ishes {
            self.walk_tree(self.tree_of(*id)?, &mut |path, mode, id| {
                if mode.is_blob() && wanted(path) && !self.gix.has_object(id) {
                    absent.insert(id);
                }
                let news = !mode.is_tree() || looked_at.insert((path.to_owned(), id));
                Ok(if news { Step::Into } else { Step::Over })
            })?;
        }
        self.fetch_promised(&absent.into_iter().collect::<Vec<_>>())
    }

    /// Fetches these objects, as far as they are not here.
    pub(super) fn fetch_promised(&self, ids: &[ObjectId]) -> Result<(), ObjectsError> {
        let mut absent = ids.to_vec();
        let mut why = String::new();
        for remote in &self.promisors {
            if absent.is_empty() {
                return Ok(());
            }
            let lines: String = absent.iter().map(|id| format!("{id}\n")).collect();
            let args = ASK.into_iter().chain([remote.as_str()]).chain(FOR_OBJECTS);
            if let Err(error) = self.git.run_with_stdin(args, lines.as_bytes()) {
                why = error.said();
            }
            absent.retain(|id| !self.gix.has_object(id));
        }
        if absent.is_empty() { Ok(()) } else { Err(ObjectsError::Promised { count: absent.len(), why }) }
    }
}

#[cfg(test)]
mod tests {
    use crate::git::Repo;
    use crate::git::pointer::Pointer;
    use crate::git::scratch::Scratch;
    use crate::id::Oid;

    /// More than one object database of gix has room for packs, were each fetched alone.
    const FILES: u8 = 100;

    fn partial(scratch: &Scratch, filter: &str) -> (Repo, std::path::PathBuf) {
        for key in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
            scratch.git.run(["config", key, "true"]).unwrap();
        }
        let (clone, url) = (scratch.beside(filter), format!("file://{}", scratch.path().display()));
        let filter = format!("--filter={filter}");
        let args = ["clone", "-q", "--no-checkout", &filter, &url, clone.to_str().unwrap()];
        scratch.git.run(args).unwrap();
        let packs = clone.join(".git/objects/pack");
        (Repo::found_by(scratch.git_at(&clone)).unwrap(), packs)
    }

    fn history(scratch: &Scratch) {
        for version in 0..2 {
            let pointer = |n: u8| Pointer { oid: Oid::from_bytes([n; 32]), size: 1 + version }.canonical();
            let files: Vec<(String, Vec<u8>)> =
                (0..FILES).map(|n| (format!("d{}/{n}", n % 2), pointer(n))).collect();
            let files: Vec<(&str, &[u8])> = files.iter().map(|(name, it)| (&name[..], &it[..])).collect();
            scratch.commit(&files);
        }
    }

    fn packs(folder: &std::path::Path) -> usize {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|it| it == "pack")).count()
    }

    #[test]
    fn many_pointers_come_in_one_pack() {
        let scratch = Scratch::new();
        history(&scratch);
        for filter in ["blob:none", "tree:0"] {
            let (repo, folder) = partial(&scratch, filter);
            let objects = repo.objects().unwrap();
            let head = objects.head().unwrap().unwrap();
            let before = packs(&folder);
            objects.bring(&[head], &|path| path.starts_with(b"d1/")).unwrap();
            let trees = if filter == "tree:0" { 1 } else { 0 };
            assert_eq!(packs(&folder), before + trees + 1, "{filter}: the tree, then the blobs");
            let here = repo.objects().unwrap().only_local().pointers_in_tree(head).unwrap();
            assert_eq!(here.len(), usize::from(FILES) / 2, "what is not wanted stays where it is");
            assert!(here.iter().all(|found| found.path.starts_with(b"d1/")));
            // All of a history: a pack for the blobs, and where trees are missing one for each commit.
            let found = objects.pointers_in_history(&[head]).unwrap();
            assert_eq!(found.len(), 2 * usize::from(FILES));
            assert!(packs(&folder) <= before + 2 * trees + 2, "{filter}");
        }
    }

    #[test]
    fn what_nobody_has_any_more_is_told_in_gits_words() {
        let scratch = Scratch::new();
        history(&scratch);
        let (repo, _) = partial(&scratch, "blob:none");
        std::fs::rename(scratch.path().join(".git"), scratch.beside("gone")).unwrap();
        let objects = repo.objects().unwrap();
        let error = objects.bring(&[objects.head().unwrap().unwrap()], &|_| true).unwrap_err().to_string();
        assert!(error.contains("100 objects") && error.contains("fatal: "), "{error}");
    }
}

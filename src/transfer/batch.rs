//! From pointers to uploads: where each object lies here, and which version of the same path came before it.

use std::collections::{BTreeSet, HashMap};

use super::session::Session;
use crate::git::{BString, ObjectId, ObjectsError, TreePointer};
use crate::id::Oid;
use crate::ops::here::Here;
use crate::ops::upload::Upload;

/// Trees looked into for previous versions.
const CANDIDATES: usize = 4;

/// The uploads for `pointers`, in path order so that neighbours share frames. What is not on this machine is left out: git-lfs asks
/// for each by itself and decides whether that fails the push.
pub fn uploads(session: &Session, remote: &str, pointers: Vec<TreePointer>) -> Vec<Upload> {
    let mut pointers = pointers;
    pointers.sort_by(|a, b| a.path.cmp(&b.path));
    // Only a hint where similar chunks are: in a partial clone the trees that tell may be missing.
    let previous = previous_versions(session, remote, &pointers).unwrap_or_default();
    let Ok(here) = Here::of(&session.repo) else { return vec![] };
    let mut seen = BTreeSet::new();
    let mut uploads = Vec::with_capacity(pointers.len());
    for TreePointer { pointer, .. } in pointers {
        if pointer.size == 0 || !seen.insert(pointer.oid) {
            continue;
        }
        if let Some(path) = here.to_send(&pointer) {
            let previous = previous.get(&pointer.oid).copied();
            uploads.push(Upload { oid: Some(pointer.oid), size: pointer.size, path, previous });
        }
    }
    uploads
}

/// For each new oid another oid of the same path: in the parent of HEAD, else in what the remote has.
fn previous_versions(
    session: &Session,
    remote: &str,
    pointers: &[TreePointer],
) -> Result<HashMap<Oid, Oid>, ObjectsError> {
    // A hint is worth no request to git's remote.
    let objects = session.repo.objects()?.only_local();
    let mut trees: Vec<ObjectId> = Vec::new();
    if let Some(head) = objects.head()? {
        trees.extend(objects.first_parent(head)?);
    }
    trees.extend(objects.remote_tips(remote)?.into_iter().take(CANDIDATES));
    let mut previous: HashMap<Oid, Oid> = HashMap::new();
    for tree in trees {
        let missing = pointers.iter().filter(|found| !previous.contains_key(&found.pointer.oid)).count();
        if missing == 0 {
            break;
        }
        let Ok(there) = objects.pointers_in_tree(tree) else { continue };
        let there: HashMap<BString, Oid> =
            there.into_iter().map(|found| (found.path, found.pointer.oid)).collect();
        for found in pointers {
            if let Some(oid) = there.get(&found.path).filter(|oid| **oid != found.pointer.oid) {
                previous.entry(found.pointer.oid).or_insert(*oid);
            }
        }
    }
    Ok(previous)
}

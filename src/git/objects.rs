//! Commits, trees and blobs, read through gix: a handle for one thread, with what it has read already.
//!
//! The directories come from [`Repo`], where git found and vouched for them; gix reads the repository's own format
//! configuration and nothing else of the machine.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::Kind;
use gix::odb::pack::cache::lru::MemoryCappedHashmap;
use gix::odb::store::init::Slots;

use crate::git::command::{Git, GitFailed};
use crate::git::pointer::{MAX_POINTER_BYTES, Pointer};
use crate::git::promised::promisors;
use crate::git::repo::Repo;

/// Memory for objects read more than once (trees, above all), bytes.
const OBJECT_CACHE: usize = 16 << 20;

/// Memory for the bases of deltas, bytes. Pointers are small and alike, so git packs them as long chains of deltas: with
/// this cache 80,000 of them are read in 0.25 s, without it in 2.2 s.
const DELTA_BASE_CACHE: usize = 16 << 20;

/// Packs that may come while the objects are open, at least: in a partial clone, each look at what is missing may bring one.
const ROOM_FOR_PACKS: usize = 1024;

/// Objects that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The repository has a format that is not understood here.
    #[error("cannot open the objects of {path}: {source}")]
    Open {
        /// The git directory.
        path: PathBuf,
        /// What gix said.
        source: Box<gix::Error>,
    },
    /// A name that means no object.
    #[error("{spec:?} names no object of this repository, or more than one: `git log --all` shows commits")]
    Unknown {
        /// The name.
        spec: String,
        /// What gix said.
        source: Box<gix::Error>,
    },
    /// An object that others refer to is not there.
    #[error(
        "object {id} is missing from the repository; `git fsck` tells more, and `git fetch --refetch` may bring it back"
    )]
    Missing {
        /// The object.
        id: ObjectId,
    },
    /// Git does not answer.
    #[error(transparent)]
    Git(GitFailed),
    /// A partial clone lacks objects, and its remote does not give them.
    #[error("this partial clone lacks {count} objects, and git could not fetch them: {why}")]
    Promised {
        /// How many.
        count: usize,
        /// What git said.
        why: String,
    },
    /// An object, the index or the refs cannot be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What it was.
        what: String,
        /// What gix said.
        source: Box<gix::Error>,
    },
    /// A note that is too long to be one of ours.
    #[error(
        "the note of commit {commit} in refs/notes/datamon is longer than {} MiB, so others wrote it, and it is left alone: `git notes --ref=datamon remove {commit}` takes it away",
        .limit >> 20
    )]
    LongNote {
        /// The commit.
        commit: ObjectId,
        /// What is read, bytes.
        limit: u64,
    },
    /// Something else than a file was found where a file should be.
    #[error("git object {id} is no file")]
    NotABlob {
        /// The object.
        id: ObjectId,
    },
    /// A tree that no file system could hold.
    #[error("tree {id} has directories more than {limit} deep")]
    TooDeep {
        /// The tree at the top.
        id: ObjectId,
        /// How deep is too deep.
        limit: usize,
    },
}

impl ObjectsError {
    pub(super) fn read(what: impl Into<String>, source: gix::Error) -> ObjectsError {
        ObjectsError::Read { what: what.into(), source: Box::new(source) }
    }
}

/// A name and the commit it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// `HEAD`, or the full name of a ref.
    pub name: BString,
    /// The commit, tags peeled.
    pub commit: ObjectId,
}

/// The objects of one repository.
pub struct Objects {
    pub(super) gix: gix::Repository,
    pub(super) git: Git,
    only_local: bool,
    /// Remotes that have what a partial clone lacks.
    pub(super) promisors: Vec<String>,
    pointers: RefCell<HashMap<ObjectId, Option<Pointer>>>,
}

impl Objects {
    pub(super) fn open(repo: &Repo) -> Result<Objects, ObjectsError> {
        // Git has judged whose repository this is before it told where it lies.
        // What git sends is the object itself, not what `git replace` shows in its place on this machine.
        let options = gix::open::Options::isolated()
            .open_path_as_is(true)
            .with(gix::sec::Trust::Full)
            .config_overrides(["core.useReplaceRefs=false"]);
        let slots = Slots::AsNeededByDiskState { multiplier: 1.1, minimum: ROOM_FOR_PACKS };
        let options = options.object_store_slots(slots);
        let opened = gix::open_opts(repo.git_dir(), options);
        let failed =
            |source| ObjectsError::Open { path: repo.git_dir().to_owned(), source: Box::new(source) };
        let mut gix = opened.map_err(failed)?;
        gix.object_cache_size_if_unset(OBJECT_CACHE);
        gix.objects.set_pack_cache(|| Box::new(MemoryCappedHashmap::new(DELTA_BASE_CACHE)));
        let promisors = promisors(repo.config());
        Ok(Objects {
            gix,
            git: repo.git().clone(),
            only_local: false,
            promisors,
            pointers: RefCell::default(),
        })
    }

    /// The same, for guesses: what a partial clone lacks is left out of walks, where otherwise git would fetch each object
    /// when it is looked at.
    pub fn only_local(self) -> Objects {
        Objects { only_local: true, ..self }
    }

    /// Whether an object is not here but can be fetched together with others.
    pub(super) fn is_promised(&self, id: ObjectId) -> bool {
        !self.only_local && !self.promisors.is_empty() && !self.gix.has_object(id)
    }

    /// Whether a walk may look at an object; `false` if it is to be left out.
    pub(super) fn is_here(&self, id: ObjectId) -> Result<bool, ObjectsError> {
        match self.gix.has_object(id) {
            true => Ok(true),
            false if self.only_local => Ok(false),
            // Which makes git fetch it.
            false => self.header(id).map(|_| true),
        }
    }

    /// The object that a revision (`HEAD~2`, `v1^{tree}`, `main:dir`, a full id) names.
    pub fn resolve(&self, spec: &str) -> Result<ObjectId, ObjectsError> {
        let unknown = |source| ObjectsError::Unknown { spec: spec.to_owned(), source: Box::new(source) };
        self.gix.rev_parse_single(spec).map(gix::Id::detach).map_err(unknown)
    }

    /// The commit that a revision names, tags peeled.
    pub fn commit(&self, spec: &str) -> Result<ObjectId, ObjectsError> {
        self.resolve(&format!("{spec}^{{commit}}")).map_err(|error| match error {
            ObjectsError::Unknown { source, .. } => ObjectsError::Unknown { spec: spec.to_owned(), source },
            other => other,
        })
    }

    /// The name of the branch that others start from: what the `HEAD` of this remote names, or of `origin`, if there is such a branch
    /// here; else `main` or `master`; else what is checked out. None where that is no branch.
    pub fn default_branch(&self, remote: &str) -> Option<String> {
        let named = [remote, "origin"].into_iter().filter_map(|remote| self.head_of_remote(remote));
        let names = named.chain(["main".to_owned(), "master".to_owned()]);
        names.into_iter().find(|name| self.branch_tip(name, remote).is_some()).or_else(|| {
            let head = self.gix.head_name().ok().flatten()?;
            head.as_bstr().to_string().strip_prefix("refs/heads/").map(str::to_owned)
        })
    }

    fn head_of_remote(&self, remote: &str) -> Option<String> {
        let name = format!("refs/remotes/{remote}/HEAD");
        let follows = self.gix.try_find_reference(name.as_str()).ok().flatten()?;
        let target = follows.target().try_name().map(|name| name.as_bstr().to_string())?;
        target.strip_prefix(&format!("refs/remotes/{remote}/")).map(str::to_owned)
    }

    fn branch_tip(&self, name: &str, remote: &str) -> Option<ObjectId> {
        let remotes = [remote, "origin"].map(|remote| format!("refs/remotes/{remote}/{name}"));
        [format!("refs/heads/{name}")].into_iter().chain(remotes).find_map(|name| self.commit(&name).ok())
    }

    /// The newest commit of the branch that others start from, as it is here; where there is none, what is checked out.
    pub fn default_tip(&self) -> Result<Option<ObjectId>, ObjectsError> {
        match self.default_branch("origin").and_then(|name| self.branch_tip(&name, "origin")) {
            Some(tip) => Ok(Some(tip)),
            None => self.head(),
        }
    }

    /// The commit that is checked out; `None` before the first one.
    pub fn head(&self) -> Result<Option<ObjectId>, ObjectsError> {
        let head = self.gix.head().map_err(|source| ObjectsError::read("HEAD", source))?;
        Ok(if head.is_unborn() { None } else { head.id().map(gix::Id::detach) })
    }

    /// Commits whose trees may hold what is looked for, likeliest first: HEAD, branches, remote-tracking branches, tags.
    /// Each commit stands once; a ref that leads to no commit is left out.
    pub fn tips(&self) -> Result<Vec<Tip>, ObjectsError> {
        let head = self.head()?.map(|commit| Tip { name: "HEAD".into(), commit });
        let mut tips: Vec<Tip> = head.into_iter().collect();
        for prefix in ["refs/heads/", "refs/remotes/", "refs/tags/"] {
            tips.extend(self.tips_below(prefix)?);
        }
        let mut seen = HashSet::new();
        tips.retain(|tip| seen.insert(tip.commit));
        Ok(tips)
    }

    /// The same, and behind them what else may be checked out: what was fetched, merged or picked, and the stash.
    pub fn checkout_tips(&self) -> Result<Vec<ObjectId>, ObjectsError> {
        let mut tips: Vec<ObjectId> = self.tips()?.into_iter().map(|tip| tip.commit).collect();
        for name in ["FETCH_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "ORIG_HEAD", "refs/stash"]
        {
            let commit = self.resolve(&format!("{name}^{{commit}}")).ok();
            tips.extend(commit.filter(|commit| !tips.contains(commit)));
        }
        Ok(tips)
    }

    /// Everything that HEAD and refs of every kind name, and what other work trees and the stash hold: where the whole history
    /// begins.
    pub fn all_tips(&self) -> Result<Vec<ObjectId>, ObjectsError> {
        let failed = |source| ObjectsError::read("the refs", source);
        let mut tips: Vec<ObjectId> = self.head()?.into_iter().collect();
        let refs = self.gix.references().map_err(failed)?;
        for found in refs.all().and_then(|refs| refs.peeled()).map_err(failed)?.flatten() {
            tips.extend(found.try_id().map(gix::Id::detach).filter(|id| self.gix.has_object(id)));
        }
        tips.extend(self.checkouts()?);
        tips.sort_unstable();
        tips.dedup();
        Ok(tips)
    }

    /// Commits that branches and tags of this repository lead to, without those of remotes.
    pub fn local_tips(&self) -> Result<Vec<ObjectId>, ObjectsError> {
        let mut tips = self.tips_below("refs/heads/")?;
        tips.extend(self.tips_below("refs/tags/")?);
        Ok(tips.into_iter().map(|tip| tip.commit).collect())
    }

    /// What the refs say that the remote has: the commits to exclude where git says `--not --remotes=<remote>`.
    pub fn remote_tips(&self, remote: &str) -> Result<Vec<ObjectId>, ObjectsError> {
        // A URL, or anything else that can be no part of a ref name, has no remote-tracking branches.
        let prefix = format!("refs/remotes/{remote}/");
        if gix::validate::reference::name(BStr::new(&format!("{prefix}x"))).is_err() {
            return Ok(Vec::new());
        }
        Ok(self.tips_below(&prefix)?.into_iter().map(|tip| tip.commit).collect())
    }

    fn tips_below(&self, prefix: &str) -> Result<Vec<Tip>, ObjectsError> {
        let wrong = |source| ObjectsError::read(format!("the refs below {prefix}"), source);
        let refs = self.gix.references().map_err(wrong)?;
        let found = refs.prefixed(prefix.as_bytes()).and_then(|refs| refs.peeled()).map_err(wrong)?;
        let mut tips = Vec::new();
        // A broken ref, or one that leads to an absent object, must not hide the others.
        for found in found.flatten() {
            let Some(id) = found.try_id().map(gix::Id::detach) else { continue };
            if self.kind_and_size(id)?.is_some_and(|(kind, _)| kind == Kind::Commit) {
                tips.push(Tip { name: found.name().as_bstr().to_owned(), commit: id });
            }
        }
        Ok(tips)
    }

    /// The first parent of a commit; `None` for a root and for a commit whose parent a shallow clone left behind.
    pub fn first_parent(&self, commit: ObjectId) -> Result<Option<ObjectId>, ObjectsError> {
        let failed = |source| ObjectsError::read(format!("commit {commit}"), source);
        let object = self.gix.find_commit(commit).map_err(failed)?;
        let Some(parent) = object.parent_ids().next().map(gix::Id::detach) else { return Ok(None) };
        Ok(self.kind_and_size(parent)?.map(|_| parent))
    }

    /// The parents of a commit, as far as they are here.
    pub fn parents(&self, commit: ObjectId) -> Result<Vec<ObjectId>, ObjectsError> {
        let failed = |source| ObjectsError::read(format!("commit {commit}"), source);
        let object = self.gix.find_commit(commit).map_err(failed)?;
        let parents: Vec<ObjectId> = object.parent_ids().map(gix::Id::detach).collect();
        let here = |parent: &ObjectId| Ok(self.kind_and_size(*parent)?.is_some());
        parents.into_iter().filter_map(|it| here(&it).map(|here| here.then_some(it)).transpose()).collect()
    }

    /// An object that this repository has; nothing is fetched.
    pub fn known(&self, id: ObjectId) -> Option<ObjectId> {
        self.gix.has_object(id).then_some(id)
    }

    /// The bytes of a blob.
    pub fn blob(&self, id: ObjectId) -> Result<Vec<u8>, ObjectsError> {
        let bytes = self.short_blob(id, u64::MAX)?;
        bytes.ok_or_else(|| ObjectsError::NotABlob { id })
    }

    /// The blob at a path of a commit or tree.
    pub fn blob_at(&self, tree_ish: ObjectId, path: &BStr) -> Result<Option<ObjectId>, ObjectsError> {
        let tree = self.tree_of(tree_ish)?;
        let failed = |source| ObjectsError::read(format!("tree {tree}"), source);
        let tree = self.gix.find_tree(tree).map_err(failed)?;
        let entry = tree.lookup_entry(path.split_str("/")).map_err(failed)?;
        Ok(entry.filter(|entry| entry.mode().is_blob()).map(|entry| entry.object_id()))
    }

    /// The blob staged at a path.
    pub fn staged(&self, path: &BStr) -> Result<Option<ObjectId>, ObjectsError> {
        let index = self.gix.try_index().map_err(|source| ObjectsError::read("the index", source))?;
        Ok(index.and_then(|index| index.entry_by_path(path).map(|entry| entry.id)))
    }

    /// The pointer at a path of a commit or tree; `None` if nothing, or no pointer, is there.
    pub fn pointer_at(&self, tree_ish: ObjectId, path: &BStr) -> Result<Option<Pointer>, ObjectsError> {
        match self.blob_at(tree_ish, path)? {
            Some(blob) => self.pointer(blob),
            None => Ok(None),
        }
    }

    /// The pointer in a blob; `None` if it is none. The header is read first, and no blob twice.
    pub fn pointer(&self, blob: ObjectId) -> Result<Option<Pointer>, ObjectsError> {
        if let Some(known) = self.pointers.borrow().get(&blob) {
            return Ok(*known);
        }
        if !self.is_here(blob)? {
            return Ok(None);
        }
        let bytes = self.short_blob(blob, MAX_POINTER_BYTES - 1)?;
        let pointer = bytes.and_then(|bytes| Pointer::parse(&bytes).ok());
        self.pointers.borrow_mut().insert(blob, pointer);
        Ok(pointer)
    }

    /// The bytes of a blob of at most `longest` bytes; `None` if it is longer, or no blob.
    pub(super) fn short_blob(&self, id: ObjectId, longest: u64) -> Result<Option<Vec<u8>>, ObjectsError> {
        let (kind, size) = self.header(id)?;
        if kind != Kind::Blob || size > longest {
            return Ok(None);
        }
        let object = self.gix.find_object(id);
        let mut object = object.map_err(|source| ObjectsError::read(format!("blob {id}"), source))?;
        Ok(Some(std::mem::take(&mut object.data)))
    }

    /// The tree of a commit, of a tag on one, or the tree itself.
    pub(super) fn tree_of(&self, tree_ish: ObjectId) -> Result<ObjectId, ObjectsError> {
        let failed = |source| ObjectsError::read(format!("the tree of {tree_ish}"), source);
        let object =
            self.gix.find_object(tree_ish).and_then(|object| object.peel_tags_to_end()).map_err(failed)?;
        // The tree itself may be absent.
        match object.kind {
            Kind::Commit => object.into_commit().tree_id().map(gix::Id::detach).map_err(failed),
            _ => object.peel_to_tree().map(|tree| tree.id).map_err(failed),
        }
    }

    /// What an object is; an object that is not there is an error.
    pub(super) fn header(&self, id: ObjectId) -> Result<(Kind, u64), ObjectsError> {
        if let Some(found) = self.kind_and_size(id)? {
            return Ok(found);
        }
        // In a partial clone git itself fetches what is missing when it is asked for it.
        let fetched = !self.only_local && self.git.run(["cat-file", "-e", &id.to_string()]).is_ok();
        let found = if fetched { self.kind_and_size(id)? } else { None };
        found.ok_or(ObjectsError::Missing { id })
    }

    fn kind_and_size(&self, id: ObjectId) -> Result<Option<(Kind, u64)>, ObjectsError> {
        let failed = |source| ObjectsError::read(format!("object {id}"), source);
        let header = self.gix.try_find_header(id).map_err(failed)?;
        Ok(header.map(|header| (header.kind(), header.size())))
    }
}

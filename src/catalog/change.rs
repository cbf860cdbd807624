//! Changes: what one log entry says was done.
//!
//! A change travels as one msgpack map with names and is carried byte for byte in the tails of later entries, so what an old
//! client does not understand survives it (R10). "Understood" is decided by one test that covers every depth: encoding what
//! was decoded must give the very bytes that were read. A new kind, a new flag or a new key anywhere fails it, the record then
//! is *unknown*, and a client that met one may push but never checkpoints, compacts, drops or collects. A key added to
//! the format later must therefore be skipped while it holds its default.

mod wire;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::{BundleId, GitId, Nonce, Oid, PackId, Prefix, RepoId, StoreId};
use crate::pack::{Blob, PackInfo};
use crate::table::{MOST_SHIFT, Written};

pub use wire::BadChange;

/// Who wrote an entry; informative.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Writer {
    /// Name of the program.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The person or agent, where one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contributor: Option<String>,
}

/// What happened to the list of repos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoChange {
    /// A new repo under a free name.
    Create {
        /// The new repo.
        repo: RepoId,
        /// Its name.
        name: String,
    },
    /// Another name for a live repo.
    Rename {
        /// The repo.
        repo: RepoId,
        /// The new name.
        name: String,
    },
    /// The repo takes no more pushes; its data stays until a Drop.
    Delete {
        /// The repo.
        repo: RepoId,
    },
    /// The repo is live again, if nothing of it was dropped since.
    Undelete {
        /// The repo.
        repo: RepoId,
    },
}

/// Rows of a small push inside its entry: a block of [`crate::table::encode_rows`], perhaps compressed; opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RowBlock {
    /// How many rows the block holds.
    pub rows: u64,
    /// The block.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Which table a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// (oid, repo) → recipe.
    Files,
    /// Prefix of a chunk id → pack.
    Hooks,
    /// A table of a newer version: carried along, never looked into (R10).
    #[serde(other)]
    Unknown,
}

/// Rows of one table in key order, in a meta pack.
///
/// The segments that one entry adds to a table are a *run*: their key ranges lie side by side, so that a lookup asks one of
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The meta pack with the blocks.
    pub pack: PackId,
    /// Where the first block begins in the pack; blocks and fence lie together, the fence last.
    pub start: u64,
    /// The fence that leads to the blocks; it is also what names the segment.
    pub fence: Blob,
    /// How many rows the segment holds.
    pub rows: u64,
    /// The table.
    pub table: TableKind,
    /// The key of its first row.
    pub first: Prefix,
    /// The key of its last row, not before `first`.
    pub last: Prefix,
    /// Only keys that begin with so many zero bits are in the segment: of hooks up to [`MOST_SHIFT`], of files 0; anything else is a
    /// newer version's (R10).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shift: u8,
}

fn is_zero(shift: &u8) -> bool {
    *shift == 0
}

impl SegmentRef {
    /// What was written, as a segment of a table.
    pub fn new(table: TableKind, written: &Written) -> SegmentRef {
        let &Written { start, fence, rows, first, last } = written;
        SegmentRef { pack: fence.pack, start, fence, rows, table, first, last, shift: 0 }
    }

    /// Hooks that were written with this shift.
    pub fn of_hooks(written: &Written, shift: u8) -> SegmentRef {
        SegmentRef { shift, ..SegmentRef::new(TableKind::Hooks, written) }
    }

    /// Where it lies in its pack, and what is in it.
    pub fn written(&self) -> Written {
        let &SegmentRef { start, fence, rows, first, last, .. } = self;
        Written { start, fence, rows, first, last }
    }

    /// Whether the segment may have rows of this key.
    pub fn covers(&self, key: Prefix) -> bool {
        self.first <= key && key <= self.last
    }

    /// Whether this version understands the segment (R10).
    pub fn is_known(&self) -> bool {
        match self.table {
            TableKind::Files => self.shift == 0,
            TableKind::Hooks => self.shift <= MOST_SHIFT,
            TableKind::Unknown => false,
        }
    }
}

/// A dataset version: the root page of its tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BundleRef {
    /// The bundle.
    pub id: BundleId,
    /// The repo it belongs to.
    pub repo: RepoId,
    /// The one bundle with which it shares pages (R2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BundleId>,
    /// The root page.
    pub root: Blob,
    /// The git commit it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitId>,
    /// The git tree of the dataset's path in that commit: what the bundle is of, however the commit is rewritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<GitId>,
}

/// The label that leads to the tip of the default branch, which is what `latest` means where there is no git. Nobody can give a
/// label this name, as it has a colon.
pub const DEFAULT_BRANCH: &str = "branch:default";

/// A movable name for a bundle was set, moved or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The repo in which the name is unique.
    pub repo: RepoId,
    /// The name.
    pub name: String,
    /// Where it leads now; nowhere if it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    /// The seq of its last change, which it still must be where this one lands (R14); none if there was no change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
}

/// New data: rows, segments of rows, bundles, and the labels that lead to them from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The repo that pushed.
    pub repo: RepoId,
    /// Rows carried by the entry itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowBlock>,
    /// Segments of rows that the push wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentRef>,
    /// Bundles that the push wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<BundleRef>,
    /// Labels that move in the same entry, each at most once; perhaps to one of its bundles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
}

/// Where a run of whole frames lies now; the bytes were verified and copied as they are (R4). Only of packs that the same entry condemns
/// may parts that nothing live needs have become zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Forward {
    /// The pack they lay in.
    pub from: PackId,
    /// Offset of the run there, bytes.
    pub offset: u64,
    /// Stored length of the run, bytes.
    pub stored: u64,
    /// A pack added by the same entry.
    pub to: PackId,
    /// Offset of the run there, bytes.
    pub at: u64,
}

/// Segments merged, data repacked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compact {
    /// Fences of the segments that were merged; all must be live (R9).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outs: Vec<Blob>,
    /// The segments that replace them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentRef>,
    /// Where repacked frames lie now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwards: Vec<Forward>,
    /// Packs that nobody may name any more, as what is live in them lies elsewhere, and perhaps nothing else: as in a [`Condemn`], no
    /// entry since the mark mentions them. Always [`ChangeRecord::must_understand`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condemned: Vec<PackId>,
}

/// What makes rows and bundles garbage (R1); beside it only a [`Redact`] does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drop {
    /// The newest entry the planner had seen: rows born later are not meant (R9).
    pub planned_on: u64,
    /// Keys of rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<(Oid, RepoId)>,
    /// Bundles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<BundleId>,
}

/// A version without some of its files: the same bundle, under another root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The bundle.
    pub bundle: BundleId,
    /// The root it has where this lands.
    pub from: Blob,
    /// The root it has from then on.
    pub to: Blob,
}

/// Files were taken out of versions, which keep their ids. Makes garbage as a Drop does (R1), and is always
/// [`ChangeRecord::must_understand`]: who does not know it would share pages of versions that have others by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redact {
    /// The repo.
    pub repo: RepoId,
    /// The newest entry the planner had seen: rows born later are not meant (R9), and no version of the repo may have come since.
    pub planned_on: u64,
    /// The paths that were asked for, of files or folders.
    pub paths: Vec<ByteBuf>,
    /// The versions that had them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<Revision>,
    /// Rows of the repo that die.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Oid>,
}

/// What [`ChangeRecord::flags`] of a checkpoint say in which versions stand under another root than they were pushed with: it is
/// [`ChangeRecord::must_understand`], as the changes that it covers were.
pub const REVISED: &str = "revised";

/// Packs that nobody may name any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemn {
    /// The newest entry the mark had seen; everything after it was read and subtracted (R3).
    pub mark: u64,
    /// The packs.
    pub packs: Vec<PackId>,
}

/// Condemned packs are deleted; what is left of them goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// Packs whose tombstones go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<PackId>,
    /// No session that began before this seq may commit any more.
    pub floor: u64,
    /// Packs whose forwards go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwards: Vec<PackId>,
}

/// One blob of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointBlob {
    /// Where the blob lies, perhaps compressed.
    pub at: Blob,
    /// BLAKE3 of the blob as [`crate::catalog::checkpoint::encode`] made it: recognises a blob that did not change.
    #[serde(with = "serde_bytes")]
    pub hash: [u8; 32],
}

/// The blobs of a checkpoint by kind; a kind with nothing in it has none.
pub type CheckpointBlobs = BTreeMap<String, CheckpointBlob>;

/// The checkpoint before: it is kept whole together with the newest (R7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its entry.
    pub seq: u64,
    /// The newest change in it.
    pub covers: u64,
    /// Its blobs.
    pub blobs: CheckpointBlobs,
}

/// The fold of the log up to a seq, as blobs.
///
/// Every client that writes cuts its tail here, so what a later version changes about this kind, other than a new blob, must
/// be marked [`ChangeRecord::must_understand`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The newest change in it, not before the parent's entry; tails hold everything after (R7).
    pub covers: u64,
    /// The newest checkpoint when this one was made, which it still must be where this one lands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The blobs.
    pub blobs: CheckpointBlobs,
    /// The segment with all rows that lay inline in entries up to `covers`, each with its `born` written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentRef>,
    /// The segment with the hooks of data packs that entries up to `covers` added without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<SegmentRef>,
}

impl Checkpoint {
    /// The segments that the checkpoint adds.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentRef> {
        self.segment.iter().chain(&self.hooks)
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The log begins: only in log/0.
    Init {
        /// The store the log belongs to.
        store: StoreId,
    },
    /// The list of repos changed.
    Repo(RepoChange),
    /// Data was added.
    Push(Push),
    /// A label moved.
    Label(Label),
    /// Segments were merged or data repacked.
    Compact(Compact),
    /// Rows or bundles are garbage.
    Drop(Drop),
    /// Files are out of versions, and garbage.
    Redact(Redact),
    /// Packs are garbage.
    Condemn(Condemn),
    /// Garbage is gone.
    Forget(Forget),
    /// The fold was written down.
    Checkpoint(Checkpoint),
    /// A kind this version does not know, or a known kind it cannot read: the packs of the record are all that is known.
    Unknown,
}

impl Change {
    /// Keys of rows that it kills, each with the last birth that it means (R9).
    pub fn kills(&self) -> Vec<((Oid, RepoId), u64)> {
        match self {
            Change::Drop(drop) => drop.keys.iter().map(|key| (*key, drop.planned_on)).collect(),
            Change::Redact(it) => it.keys.iter().map(|oid| ((*oid, it.repo), it.planned_on)).collect(),
            Change::Init { .. }
            | Change::Repo(_)
            | Change::Push(_)
            | Change::Label(_)
            | Change::Compact(_) => {
                vec![]
            }
            Change::Condemn(_) | Change::Forget(_) | Change::Checkpoint(_) | Change::Unknown => vec![],
        }
    }
}

/// One change with what every kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The newest entry the session had seen when it began; a resumed session keeps it (R8).
    pub base: u64,
    /// Packs that this entry makes known, data and meta.
    pub added: Vec<(PackId, PackInfo)>,
    /// Packs added by others that anything new in this entry names (R2, R8).
    pub named: Vec<PackId>,
    /// Makes the bytes of the entry unlike those of any other (R5).
    pub nonce: Nonce,
    /// Who wrote it.
    pub writer: Writer,
    /// When, by the writer's clock, in milliseconds since 1970; informative.
    pub time: u64,
    /// A client that does not understand this record must not write at all.
    pub must_understand: bool,
    /// Names of properties that change the meaning; only [`REVISED`] is known.
    pub flags: Vec<String>,
    /// What was done.
    pub change: Change,
    unknown: bool,
}

impl ChangeRecord {
    /// A change of a session that began at `base`, with nothing added and nothing named yet.
    pub fn new(base: u64, change: Change, writer: Writer, time: u64) -> Self {
        ChangeRecord {
            base,
            added: Vec::new(),
            named: Vec::new(),
            nonce: Nonce::new(),
            writer,
            time,
            must_understand: false,
            flags: Vec::new(),
            change,
            unknown: false,
        }
    }

    /// A checkpoint over versions that have another root than they were pushed with: who does not know of that must not write on.
    pub fn mark_revised(&mut self) {
        self.must_understand = true;
        self.flags = vec![REVISED.to_owned()];
    }

    /// Whether the record, as it was read, says something this version does not know (R10).
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// The segments that the record adds.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentRef> {
        let (many, checkpoint): (&[SegmentRef], _) = match &self.change {
            Change::Push(push) => (&push.segments, None),
            Change::Compact(compact) => (&compact.segments, None),
            Change::Checkpoint(checkpoint) => (&[], Some(checkpoint)),
            _ => (&[], None),
        };
        many.iter().chain(checkpoint.into_iter().flat_map(Checkpoint::segments))
    }

    /// Every pack that the record mentions as living: what a Condemn marked before it must spare (R3).
    pub fn packs(&self) -> impl Iterator<Item = PackId> + '_ {
        self.added.iter().map(|(pack, _)| *pack).chain(self.named.iter().copied())
    }
}

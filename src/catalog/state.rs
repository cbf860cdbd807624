//! The state: the fold of the log, and the checks a change must pass where it lands.
//!
//! `apply` never refuses: what is in the log has happened. `check` refuses what must not get there, and says through
//! [`Refusal::remedy`] what the session can do instead. Both are pure, so every writer decides alike at the same seq.

mod apply;
mod bundles;
mod check;
mod forward;

use std::collections::{BTreeMap, BTreeSet};

pub use apply::Gap;
pub(super) use bundles::Bundles;
pub use check::{Refusal, Remedy};
pub use forward::Run;

use super::change::{Checkpoint, Forward, RowBlock, SegmentRef, TableKind};
use super::rules::Rules;
use crate::id::{BundleId, EntryHash, GitId, Oid, PackId, RepoId};
use crate::pack::{Blob, PackInfo};
use crate::table::Row;

/// A repo the log knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// Its name; that of a deleted repo is free for others.
    pub name: String,
    /// Whether it is deleted: it takes no pushes, its data stays until a Drop (R14).
    pub deleted: bool,
    /// The seq at which it was last deleted or undeleted.
    pub changed: u64,
    /// Whether anything of it was dropped while it was deleted, which rules out an undelete.
    pub dropped: bool,
}

/// A live segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies.
    pub at: SegmentRef,
    /// No row in it was born later, and those that say 0 were born then (R9).
    pub born: u64,
    /// No row in it was born earlier.
    pub oldest: u64,
    /// No row in it was already dead at this seq: every Drop up to it was applied when the segment was merged.
    pub clean: u64,
}

impl Segment {
    /// A row of this segment with its birth written out.
    pub fn resolve(&self, row: Row) -> Row {
        Row { born: if row.born == 0 { self.born } else { row.born }, ..row }
    }
}

/// Rows carried by the entry of a push, until a checkpoint writes them to a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// The repo that pushed.
    pub repo: RepoId,
    /// The rows; those that say `born` 0 were born at the seq of the push.
    pub block: RowBlock,
}

/// A live bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The repo it belongs to.
    pub repo: RepoId,
    /// The root page.
    pub root: Blob,
    /// The seq of its Push.
    pub seq: u64,
    /// The seq of the change that gave it another root than that of its Push; 0 without.
    pub revised: u64,
    /// The git commit it was made for.
    pub commit: Option<GitId>,
    /// The git tree it is of.
    pub tree: Option<GitId>,
}

/// Where a label leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelAt {
    /// The bundle; none once the label was taken away.
    pub bundle: Option<BundleId>,
    /// The seq of its last change, whose entry names the one before.
    pub seq: u64,
}

/// What Drops did to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Killed {
    /// Rows born up to this seq are dead (R9).
    pub upto: u64,
    /// The seq of the newest Drop of the key.
    pub at: u64,
}

/// The fold of the log up to its newest entry seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub(super) rules: Rules,
    pub(super) next: u64,
    pub(super) hash: Option<EntryHash>,
    pub(super) checkpoint: Option<(u64, Checkpoint)>,
    pub(super) repos: BTreeMap<RepoId, Repo>,
    pub(super) packs: BTreeMap<PackId, PackInfo>,
    pub(super) condemned: BTreeMap<PackId, u64>,
    pub(super) floor: u64,
    pub(super) segments: BTreeMap<Blob, Segment>,
    pub(super) inline: BTreeMap<u64, Inline>,
    pub(super) unhooked: BTreeSet<(u64, PackId)>,
    pub(super) bundles: Bundles,
    pub(super) labels: BTreeMap<(RepoId, String), LabelAt>,
    pub(super) drops: BTreeMap<(Oid, RepoId), Killed>,
    pub(super) forwards: BTreeMap<PackId, Vec<Forward>>,
    pub(super) unknown: Option<u64>,
    pub(super) stop: Option<u64>,
}

impl Default for State {
    fn default() -> Self {
        State::new(Rules::ALL)
    }
}

impl State {
    /// The state before log/0.
    pub fn new(rules: Rules) -> State {
        State {
            rules,
            next: 0,
            hash: None,
            checkpoint: None,
            repos: BTreeMap::new(),
            packs: BTreeMap::new(),
            condemned: BTreeMap::new(),
            floor: 0,
            segments: BTreeMap::new(),
            inline: BTreeMap::new(),
            unhooked: BTreeSet::new(),
            bundles: Bundles::default(),
            labels: BTreeMap::new(),
            drops: BTreeMap::new(),
            forwards: BTreeMap::new(),
            unknown: None,
            stop: None,
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// The slot after the newest entry: where the next change would land.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The newest entry: the base of a session that begins now; `None` before log/0.
    pub fn head(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// The hash of the newest entry, when it was told through [`State::set_head_hash`].
    pub fn head_hash(&self) -> Option<EntryHash> {
        self.hash
    }

    /// Remembers the hash of the newest entry; the next change applied forgets it.
    pub fn set_head_hash(&mut self, hash: EntryHash) {
        self.hash = Some(hash);
    }

    /// The newest checkpoint with the seq of its entry; the one before is its `parent` (R7).
    pub fn checkpoint(&self) -> Option<&(u64, Checkpoint)> {
        self.checkpoint.as_ref()
    }

    /// Every repo that was created.
    pub fn repos(&self) -> &BTreeMap<RepoId, Repo> {
        &self.repos
    }

    /// The live repo with a name.
    pub fn repo_named(&self, name: &str) -> Option<RepoId> {
        self.repos.iter().find(|(_, repo)| !repo.deleted && repo.name == name).map(|(id, _)| *id)
    }

    /// Every pack that may be named.
    pub fn packs(&self) -> &BTreeMap<PackId, PackInfo> {
        &self.packs
    }

    /// Packs that may be deleted, with the seq of their Condemn, until they are forgotten.
    pub fn condemned(&self) -> &BTreeMap<PackId, u64> {
        &self.condemned
    }

    /// No session with an older base may commit (R8).
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Live segments of all tables by fence.
    pub fn segments(&self) -> &BTreeMap<Blob, Segment> {
        &self.segments
    }

    /// Live segments of one table that this version can read.
    pub fn table(&self, table: TableKind) -> impl Iterator<Item = &Segment> {
        self.segments.values().filter(move |segment| segment.at.table == table && segment.at.is_known())
    }

    /// Inline rows by the seq of their push.
    pub fn inline(&self) -> &BTreeMap<u64, Inline> {
        &self.inline
    }

    /// Data packs whose hooks nobody has written yet, with the seq of the entry that added them. Some may be condemned.
    pub fn unhooked(&self) -> &BTreeSet<(u64, PackId)> {
        &self.unhooked
    }

    /// Live bundles.
    pub fn bundles(&self) -> &BTreeMap<BundleId, Bundle> {
        self.bundles.all()
    }

    /// The bundles that were made for a commit, oldest first.
    pub fn bundles_of_commit(&self, repo: RepoId, commit: GitId) -> Vec<BundleId> {
        self.bundles.of_commit(repo, commit)
    }

    /// The bundles of a tree, oldest first.
    pub fn bundles_of_tree(&self, repo: RepoId, tree: GitId) -> Vec<BundleId> {
        self.bundles.of_tree(repo, tree)
    }

    /// Whether some version got another root than it was pushed with, by an entry up to `seq`.
    pub fn has_revisions(&self, seq: u64) -> bool {
        self.bundles().values().any(|it| (1..=seq).contains(&it.revised))
    }

    /// Labels of all repos, also those that were taken away, whose history goes on when they are set again.
    pub fn labels(&self) -> &BTreeMap<(RepoId, String), LabelAt> {
        &self.labels
    }

    /// Where a label of a repo leads, if it was ever set.
    pub fn label(&self, repo: RepoId, name: &str) -> Option<LabelAt> {
        self.labels.get(&(repo, name.to_owned())).copied()
    }

    /// Keys that were dropped, as long as a segment may still hold a dead row of theirs.
    pub fn drops(&self) -> &BTreeMap<(Oid, RepoId), Killed> {
        &self.drops
    }

    /// Forwards by source, in order of their offsets.
    pub fn forwards(&self) -> &BTreeMap<PackId, Vec<Forward>> {
        &self.forwards
    }

    /// The first entry that this version did not understand wholly: such a client may only push (R10).
    pub fn unknown(&self) -> Option<u64> {
        self.unknown
    }

    /// The first entry not understood that forbids all writing to those who do not understand it.
    pub fn stop(&self) -> Option<u64> {
        self.stop
    }

    /// Whether a row is live: only a Drop planned at or after its birth kills it (R1, R9).
    ///
    /// Of several rows of one key the largest `born` is the row; ask for that one. `born` 0 is to be resolved before.
    pub fn is_live(&self, oid: Oid, repo: RepoId, born: u64) -> bool {
        self.drops.get(&(oid, repo)).is_none_or(|killed| born > killed.upto)
    }
}

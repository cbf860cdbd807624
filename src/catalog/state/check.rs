//! The checks: what may land in the next slot.
//!
//! R8 is one check for every kind: no session older than the floor, no own pack condemned, every named pack in the table.
//! A pack leaves the table when it is condemned and never comes back, so a positive answer here is what keeps bytes alive.

use std::collections::BTreeSet;

use super::State;
use crate::catalog::change::{
    BundleRef, Change, ChangeRecord, Checkpoint, Compact, Condemn, Drop, Forget, Forward, Label, Parent,
    Push, REVISED, Redact, RepoChange, Revision, SegmentRef, TableKind,
};
use crate::catalog::rules::Rule;
use crate::id::{BundleId, PackId, RepoId};
use crate::pack::Blob;

/// Why a change must not land, which every caller answers by its [`Refusal::remedy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// R8: the session began before the floor.
    #[error("the session began at entry {base}, before the floor {floor}")]
    BelowFloor {
        /// Base of the session.
        base: u64,
        /// The floor.
        floor: u64,
    },
    /// R8: own packs were taken for orphans.
    #[error("{} packs of this session were condemned, {} first", packs.len(), packs[0])]
    OwnCondemned {
        /// The packs, at least one.
        packs: Vec<PackId>,
    },
    /// R8: named packs are no longer, or never were, in the table.
    #[error("{} packs that this change names are gone, {} first", packs.len(), packs[0])]
    NotInTable {
        /// The packs, at least one.
        packs: Vec<PackId>,
    },
    /// R2: the bundle whose pages are shared was dropped.
    #[error("bundle {bundle}, whose pages this one shares, was dropped")]
    BaseBundleGone {
        /// The base bundle.
        bundle: BundleId,
    },
    /// R2: the bundle whose pages are shared, or that is to be given another root, has another one meanwhile.
    #[error("files were taken out of bundle {bundle} meanwhile")]
    BaseRevised {
        /// The bundle.
        bundle: BundleId,
    },
    /// R4: another collection has copied more of a pack, and may have condemned it since.
    #[error("more of pack {pack} was copied by another collection")]
    Uncovers {
        /// The pack.
        pack: PackId,
    },
    /// R14: the repo takes no pushes.
    #[error("repo {repo} is deleted; type `git datamon repo undelete {repo}` to push to it again")]
    RepoDeleted {
        /// The repo.
        repo: RepoId,
    },
    /// R14: no such repo.
    #[error("repo {repo} does not exist")]
    RepoUnknown {
        /// The repo.
        repo: RepoId,
    },
    /// R14: the life cycle of the repo does not allow it, or went on since the change was planned.
    #[error("repo {repo} cannot be changed so: {why}")]
    RepoMoved {
        /// The repo.
        repo: RepoId,
        /// What stands against it.
        why: &'static str,
    },
    /// R14: a live repo has the name.
    #[error("a repo named {name:?} exists")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// R14: the label changed since the change was planned.
    #[error("label {name:?} moved meanwhile: it {}", .at.map_or("is gone".to_owned(), |at| format!("leads to bundle {at}")))]
    LabelMoved {
        /// The label.
        name: String,
        /// Where it leads now.
        at: Option<BundleId>,
    },
    /// R14: there is no such bundle in the repo.
    #[error("bundle {bundle} is not, or not any more, in repo {repo}")]
    BundleUnknown {
        /// The bundle.
        bundle: BundleId,
        /// The repo.
        repo: RepoId,
    },
    /// R14: a label leads to a bundle that was to be dropped.
    #[error("label {name:?} leads to bundle {bundle}; type `git datamon label delete {name}` first")]
    Labelled {
        /// The bundle.
        bundle: BundleId,
        /// The label.
        name: String,
    },
    /// R4: what names another pack would be led to a copy that may lack what it names.
    #[error("pack {pack} is still led to by others that may be named")]
    StillLedTo {
        /// The source.
        pack: PackId,
    },
    /// R9: segments to be merged were merged by somebody else.
    #[error("the segment at {} is not live any more", .out.pack)]
    OutsNotLive {
        /// The first such segment.
        out: Blob,
    },
    /// R7: there is a newer checkpoint than the parent.
    #[error("another checkpoint was written meanwhile")]
    NotNewestCheckpoint,
    /// R3: an entry landed that the change has not taken into account.
    #[error("entry {seq} landed meanwhile")]
    Overtaken {
        /// The entry.
        seq: u64,
    },
    /// R4: the mark does not prove that nothing names the source of a forward.
    #[error("the forwards of pack {pack} are still needed")]
    ForwardNeeded {
        /// The source.
        pack: PackId,
    },
    /// Packs that are already in the table: the change landed before.
    #[error("pack {pack} is in the catalog already: this change was committed before")]
    PackTwice {
        /// The first such pack.
        pack: PackId,
    },
    /// R10: the log says something this version does not know.
    #[error("entry {seq} says something this version does not know; upgrade git-datamon")]
    Upgrade {
        /// The entry.
        seq: u64,
    },
    /// The change contradicts itself: a defect of the program that made it.
    #[error("the change contradicts itself: {0}; please report this")]
    Malformed(&'static str),
}

/// What the session can do about a [`Refusal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Begin again: a new base, and new packs for everything written so far.
    Restart,
    /// Keep base and own packs, but write what was borrowed from these packs anew, then try again.
    RedoWithout(Vec<PackId>),
    /// Keep base and own packs, but build the bundle from scratch, sharing no page, and let it land right after the newest entry that was
    /// seen: where no base is named, no check sees what is taken out of versions meanwhile.
    BuildAlone,
    /// Nothing to be done, or nothing needed.
    GiveUp,
    /// Only a newer version can.
    Upgrade,
}

impl Refusal {
    /// What the session can do.
    pub fn remedy(&self) -> Remedy {
        match self {
            Refusal::BelowFloor { .. }
            | Refusal::OwnCondemned { .. }
            | Refusal::BaseRevised { .. }
            | Refusal::Overtaken { .. } => Remedy::Restart,
            Refusal::NotInTable { packs } => Remedy::RedoWithout(packs.clone()),
            Refusal::BaseBundleGone { .. } => Remedy::BuildAlone,
            Refusal::Upgrade { .. } => Remedy::Upgrade,
            _ => Remedy::GiveUp,
        }
    }

    /// Whether what was read of versions is another by now, so that a change of them is to be planned anew.
    pub fn outdates_plan(&self) -> bool {
        let is_moved = matches!(self.remedy(), Remedy::Restart | Remedy::RedoWithout(_));
        is_moved || matches!(self, Refusal::BundleUnknown { .. })
    }
}

impl State {
    /// Whether the change may land in the next slot.
    pub fn check(&self, record: &ChangeRecord) -> Result<(), Refusal> {
        self.check_understood(record)?;
        self.check_packs(record)?;
        match &record.change {
            Change::Init { .. } if self.next == 0 => Ok(()),
            Change::Init { .. } => Err(Refusal::Malformed("a log begins only once")),
            _ if self.next == 0 => Err(Refusal::Malformed("a log begins with Init")),
            Change::Unknown => Err(Refusal::Malformed("its kind is unknown")),
            Change::Repo(change) => self.check_repo(change),
            Change::Push(push) => self.check_push(record, push),
            Change::Label(label) => self.check_label(label, &[]),
            Change::Compact(compact) => self.check_compact(record, compact),
            Change::Drop(drop) => self.check_drop(drop),
            Change::Redact(redact) => self.check_redact(record, redact),
            Change::Condemn(condemn) => self.check_condemn(condemn),
            Change::Forget(forget) => self.check_forget(record, forget),
            Change::Checkpoint(checkpoint) => self.check_checkpoint(record, checkpoint),
        }
    }

    /// R10: who met something unknown may push and name repos, no more.
    fn check_understood(&self, record: &ChangeRecord) -> Result<(), Refusal> {
        if record.is_unknown() {
            return Err(Refusal::Malformed("a change that was read is not written again"));
        }
        let harmless = matches!(
            record.change,
            Change::Push(_) | Change::Label(_) | Change::Repo(_) | Change::Init { .. }
        );
        match (self.stop, self.unknown) {
            (Some(seq), _) => Err(Refusal::Upgrade { seq }),
            (None, Some(seq)) if !harmless => Err(Refusal::Upgrade { seq }),
            _ => Ok(()),
        }
    }

    /// R8, for every kind.
    fn check_packs(&self, record: &ChangeRecord) -> Result<(), Refusal> {
        if record.base >= self.next.max(1) {
            return Err(Refusal::Malformed("its base lies after the head"));
        }
        let own = self.rules.on(Rule::CompactOwn) || !matches!(record.change, Change::Compact(_));
        if own && self.rules.on(Rule::Floor) && record.base < self.floor {
            return Err(Refusal::BelowFloor { base: record.base, floor: self.floor });
        }
        let added: BTreeSet<PackId> = record.added.iter().map(|(pack, _)| *pack).collect();
        if added.len() != record.added.len() {
            return Err(Refusal::Malformed("it adds a pack twice"));
        }
        if let Some(pack) = added.iter().copied().find(|pack| self.packs.contains_key(pack)) {
            return Err(Refusal::PackTwice { pack });
        }
        if !self.rules.on(Rule::PackCheck) {
            return Ok(());
        }
        let lost: Vec<_> = added.iter().copied().filter(|pack| self.condemned.contains_key(pack)).collect();
        if own && !lost.is_empty() {
            return Err(Refusal::OwnCondemned { packs: lost });
        }
        let known = |pack: &PackId| self.packs.contains_key(pack) || added.contains(pack);
        let gone: Vec<_> = record.named.iter().copied().filter(|pack| !known(pack)).collect();
        if gone.is_empty() { Ok(()) } else { Err(Refusal::NotInTable { packs: gone }) }
    }

    fn check_free(&self, name: &str) -> Result<(), Refusal> {
        match self.repo_named(name) {
            Some(_) => Err(Refusal::NameTaken { name: name.to_owned() }),
            None => Ok(()),
        }
    }

    fn check_repo(&self, change: &RepoChange) -> Result<(), Refusal> {
        let known = |repo: &RepoId| self.repos.get(repo).ok_or(Refusal::RepoUnknown { repo: *repo });
        let live = |repo: &RepoId| match known(repo)?.deleted {
            true => Err(Refusal::RepoDeleted { repo: *repo }),
            false => Ok(()),
        };
        match change {
            RepoChange::Create { repo, .. } if *repo == RepoId::NIL => {
                Err(Refusal::RepoMoved { repo: *repo, why: "the nil repo is never created" })
            }
            RepoChange::Create { repo, .. } if self.repos.contains_key(repo) => {
                Err(Refusal::RepoMoved { repo: *repo, why: "it exists" })
            }
            RepoChange::Create { name, .. } => self.check_free(name),
            RepoChange::Rename { repo, name } => live(repo).and_then(|()| self.check_free(name)),
            RepoChange::Delete { repo } => live(repo),
            RepoChange::Undelete { repo } => match known(repo)? {
                it if !it.deleted => Err(Refusal::RepoMoved { repo: *repo, why: "it is not deleted" }),
                it if it.dropped && self.rules.on(Rule::DroppedStays) => {
                    Err(Refusal::RepoMoved { repo: *repo, why: "its data was dropped" })
                }
                it => self.check_free(&it.name),
            },
        }
    }

    /// R14: nothing is promised to a deleted repo, whose next Drop would take it.
    fn check_takes_pushes(&self, repo: RepoId) -> Result<(), Refusal> {
        match self.repos.get(&repo) {
            Some(known) if known.deleted && repo != RepoId::NIL && self.rules.on(Rule::DeletedTakes) => {
                Err(Refusal::RepoDeleted { repo })
            }
            _ => Ok(()),
        }
    }

    fn check_push(&self, record: &ChangeRecord, push: &Push) -> Result<(), Refusal> {
        self.check_takes_pushes(push.repo)?;
        let own: BTreeSet<PackId> = record.added.iter().map(|(pack, _)| *pack).collect();
        check_segments(&own, &push.segments)?;
        let mut new = BTreeSet::new();
        for bundle in &push.bundles {
            self.check_takes_pushes(bundle.repo)?;
            if self.bundles().contains_key(&bundle.id) || !new.insert(bundle.id) {
                return Err(Refusal::Malformed("it writes a bundle that exists"));
            }
            let base = bundle.base.filter(|_| self.rules.on(Rule::BaseBundle));
            if let Some(base) = base.filter(|base| !self.bundles().contains_key(base)) {
                return Err(Refusal::BaseBundleGone { bundle: base });
            }
            if let Some(bundle) = base.filter(|base| self.is_revised_since(*base, record.base)) {
                return Err(Refusal::BaseRevised { bundle });
            }
            let base_root = base.and_then(|base| self.bundles().get(&base)).map(|base| base.root.pack);
            let root = bundle.root.pack;
            if !own.contains(&root) && !record.named.contains(&root) && base_root != Some(root) {
                return Err(Refusal::Malformed("it does not name the pack of a root page"));
            }
        }
        let mut moved = BTreeSet::new();
        for label in &push.labels {
            self.check_label(label, &push.bundles)?;
            if !moved.insert((label.repo, &label.name)) {
                return Err(Refusal::Malformed("it moves a label twice"));
            }
        }
        Ok(())
    }

    /// R14: a label leads to a bundle of its live repo, one that is live or comes in the same entry, and nobody moved it since.
    fn check_label(&self, label: &Label, new: &[BundleRef]) -> Result<(), Refusal> {
        let &Label { repo, bundle, previous, .. } = label;
        self.check_takes_pushes(repo)?;
        let is_there = |id: &BundleId| {
            self.bundles().get(id).is_some_and(|it| it.repo == repo)
                || new.iter().any(|it| it.id == *id && it.repo == repo)
        };
        if let Some(bundle) = bundle.filter(|id| !is_there(id) && self.rules.on(Rule::LabelLeads)) {
            return Err(Refusal::BundleUnknown { bundle, repo });
        }
        let known = self.label(repo, &label.name);
        if known.map(|at| at.seq) != previous && self.rules.on(Rule::LabelSeen) {
            let at = known.and_then(|at| at.bundle);
            return Err(Refusal::LabelMoved { name: label.name.clone(), at });
        }
        match bundle.or(known.and_then(|at| at.bundle)) {
            Some(_) => Ok(()),
            None => Err(Refusal::Malformed("it takes a label away that is not there")),
        }
    }

    fn check_compact(&self, record: &ChangeRecord, compact: &Compact) -> Result<(), Refusal> {
        let own: BTreeSet<PackId> = record.added.iter().map(|(pack, _)| *pack).collect();
        check_segments(&own, &compact.segments)?;
        if compact.outs.is_empty() && !compact.segments.is_empty() {
            return Err(Refusal::Malformed("it merges nothing into a segment"));
        }
        let sane = |run: &Forward| {
            own.contains(&run.to)
                && !own.contains(&run.from)
                && run.stored > 0
                && run.offset.checked_add(run.stored).is_some()
                && run.at.checked_add(run.stored).is_some()
        };
        if !compact.forwards.iter().all(sane) {
            return Err(Refusal::Malformed("a forward does not lead to a pack that it adds"));
        }
        let wrong = compact.forwards.iter().find(|run| self.uncovers(run));
        if let Some(run) = wrong.filter(|_| self.rules.on(Rule::CoverKept)) {
            return Err(Refusal::Uncovers { pack: run.from });
        }
        self.check_emptied(record, compact)?;
        match compact.outs.iter().find(|out| !self.segments.contains_key(out)) {
            Some(out) if self.rules.on(Rule::OutsLive) => Err(Refusal::OutsNotLive { out: *out }),
            _ => Ok(()),
        }
    }

    /// R4: packs that are condemned where what is live in them was copied, and perhaps nothing else of them: nobody may be led to the
    /// copy who could name what it lacks.
    fn check_emptied(&self, record: &ChangeRecord, compact: &Compact) -> Result<(), Refusal> {
        let condemned: BTreeSet<PackId> = compact.condemned.iter().copied().collect();
        if condemned.is_empty() {
            return Ok(());
        }
        if !record.must_understand || compact.forwards.iter().any(|run| !condemned.contains(&run.from)) {
            return Err(Refusal::Malformed("it may be passed over, or forwards what it does not condemn"));
        }
        let gone: Vec<PackId> =
            condemned.iter().copied().filter(|pack| !self.packs.contains_key(pack)).collect();
        if !gone.is_empty() {
            return Err(Refusal::NotInTable { packs: gone });
        }
        let stay =
            self.forwards.keys().filter(|pack| self.packs.contains_key(pack) && !condemned.contains(pack));
        let led = stay.flat_map(|pack| self.heirs(*pack)).find(|pack| condemned.contains(pack));
        match led {
            Some(pack) => Err(Refusal::StillLedTo { pack }),
            None => Ok(()),
        }
    }

    fn check_drop(&self, drop: &Drop) -> Result<(), Refusal> {
        if drop.planned_on >= self.next {
            return Err(Refusal::Malformed("it was planned after the head"));
        }
        let dropped: BTreeSet<BundleId> = drop.bundles.iter().copied().collect();
        let kept = self.rules.on(Rule::LabelKeeps);
        let on = |at: &super::LabelAt| at.bundle.filter(|bundle| kept && dropped.contains(bundle));
        // Those of a deleted repo can be neither taken away nor used again: a Drop rules out that it comes back.
        let used = |repo: &RepoId| !self.repos.get(repo).is_some_and(|known| known.deleted);
        let labels = self.labels.iter().filter(|((repo, _), _)| used(repo));
        if let Some((bundle, name)) =
            labels.into_iter().find_map(|((_, name), at)| Some((on(at)?, name.clone())))
        {
            return Err(Refusal::Labelled { bundle, name });
        }
        let bundles =
            drop.bundles.iter().filter_map(|bundle| self.bundles().get(bundle)).map(|bundle| bundle.repo);
        let repos: BTreeSet<RepoId> = drop.keys.iter().map(|(_, repo)| *repo).chain(bundles).collect();
        for repo in repos {
            // A repo deleted or undeleted since may need a different plan (R14).
            let moved = self.repos.get(&repo).is_some_and(|known| known.changed > drop.planned_on);
            if moved && self.rules.on(Rule::LifeSeen) {
                return Err(Refusal::RepoMoved {
                    repo,
                    why: "it was created, deleted or undeleted meanwhile",
                });
            }
        }
        Ok(())
    }

    /// Whether a bundle got another root after the entry `base`, so that a session from then may have read the old one.
    fn is_revised_since(&self, bundle: BundleId, base: u64) -> bool {
        let revised = self.bundles().get(&bundle).is_some_and(|it| it.revised > base);
        revised && self.rules.on(Rule::BaseRoot)
    }

    /// A version shares pages with the one it replaces, so that one has to be the one that was read (R2); and every version of the
    /// repo has to have been looked at.
    fn check_redact(&self, record: &ChangeRecord, redact: &Redact) -> Result<(), Refusal> {
        self.check_takes_pushes(redact.repo)?;
        if redact.planned_on >= self.next || redact.planned_on > record.base || !record.must_understand {
            return Err(Refusal::Malformed("it was planned after its base, or may be passed over"));
        }
        let own = |it: &&super::Bundle| it.repo == redact.repo && it.seq > redact.planned_on;
        if let Some(newer) = self.bundles().values().find(own) {
            return Err(Refusal::Overtaken { seq: newer.seq });
        }
        if self.repos.get(&redact.repo).is_some_and(|known| known.changed > redact.planned_on) {
            let why = "it was created, deleted or undeleted meanwhile";
            return Err(Refusal::RepoMoved { repo: redact.repo, why });
        }
        let known: BTreeSet<PackId> = record.packs().collect();
        let mut seen = BTreeSet::new();
        for &Revision { bundle, from, to } in &redact.bundles {
            let Some(now) = self.bundles().get(&bundle).filter(|it| it.repo == redact.repo) else {
                return Err(Refusal::BundleUnknown { bundle, repo: redact.repo });
            };
            if now.root != from && self.rules.on(Rule::BaseRoot) {
                return Err(Refusal::BaseRevised { bundle });
            }
            if !known.contains(&to.pack) || !seen.insert(bundle) {
                return Err(Refusal::Malformed(
                    "it does not name the pack of a root page, or a version twice",
                ));
            }
        }
        Ok(())
    }

    fn check_condemn(&self, condemn: &Condemn) -> Result<(), Refusal> {
        if condemn.mark >= self.next {
            return Err(Refusal::Malformed("its mark lies after the head"));
        }
        Ok(())
    }

    fn check_forget(&self, record: &ChangeRecord, forget: &Forget) -> Result<(), Refusal> {
        let early = |pack: &PackId| self.condemned.get(pack).is_some_and(|seq| *seq > forget.floor);
        if forget.floor >= self.next || forget.packs.iter().any(early) {
            return Err(Refusal::Malformed("its floor does not cover what it forgets"));
        }
        if !self.rules.on(Rule::ForwardKept) {
            return Ok(());
        }
        // The base is the mark: a source still in the table, or condemned after the mark, may have been named since.
        let needed = |pack: &PackId| {
            self.packs.contains_key(pack) || self.condemned.get(pack).is_some_and(|seq| *seq > record.base)
        };
        match forget.forwards.iter().copied().find(needed) {
            Some(pack) => Err(Refusal::ForwardNeeded { pack }),
            None => Ok(()),
        }
    }

    fn check_checkpoint(&self, record: &ChangeRecord, checkpoint: &Checkpoint) -> Result<(), Refusal> {
        let is_told = record.must_understand && record.flags.iter().any(|flag| flag == REVISED);
        if self.has_revisions(checkpoint.covers) && !is_told {
            return Err(Refusal::Malformed("it does not say that versions have other roots"));
        }
        let own: BTreeSet<PackId> = record.packs().collect();
        let reused = checkpoint.blobs.values().all(|blob| own.contains(&blob.at.pack));
        if !reused {
            return Err(Refusal::Malformed("it does not name the pack of a blob"));
        }
        check_segments(&own, checkpoint.segments())?;
        let table = |segment: &Option<SegmentRef>| segment.as_ref().map(|it| it.table);
        if ![None, Some(TableKind::Files)].contains(&table(&checkpoint.segment))
            || ![None, Some(TableKind::Hooks)].contains(&table(&checkpoint.hooks))
        {
            return Err(Refusal::Malformed("its segment is of another table"));
        }
        if checkpoint.segment.is_none() && self.inline.range(..=checkpoint.covers).next().is_some() {
            return Err(Refusal::Malformed("it leaves out inline rows"));
        }
        if checkpoint.covers > record.base {
            return Err(Refusal::Malformed("it covers entries after its base"));
        }
        // What covers less than its parent's entry would fold inline rows again that the parent has folded.
        let older = |parent: &Parent| checkpoint.covers < parent.seq;
        if !self.is_parent(checkpoint) || checkpoint.parent.as_ref().is_some_and(older) {
            return Err(Refusal::NotNewestCheckpoint);
        }
        Ok(())
    }
}

/// New segments lie in packs that are safe with this entry, and say which keys they have.
fn check_segments<'a>(
    own: &BTreeSet<PackId>,
    segments: impl IntoIterator<Item = &'a SegmentRef>,
) -> Result<(), Refusal> {
    let segments: Vec<&SegmentRef> = segments.into_iter().collect();
    if !segments.iter().all(|it| own.contains(&it.pack) && own.contains(&it.fence.pack)) {
        return Err(Refusal::Malformed("a new segment lies in a pack that it does not add"));
    }
    match segments.iter().all(|it| it.is_known() && it.first <= it.last) {
        true => Ok(()),
        false => Err(Refusal::Malformed("a new segment does not say which keys it has")),
    }
}

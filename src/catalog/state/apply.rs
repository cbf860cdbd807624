//! The fold: what each kind of change does to the state.

use super::{Bundle, Inline, Killed, LabelAt, Repo, Segment, State};
use crate::catalog::change::{
    Change, ChangeRecord, Checkpoint, Compact, Drop, Forget, Label, Push, Redact, RepoChange, SegmentRef,
    TableKind,
};
use crate::catalog::rules::Rule;
use crate::id::{Oid, PackId, PackKind, RepoId};

/// A change that is not the next one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log continues at entry {wanted}, but a change of entry {found} was read; run `git datamon fsck`"
)]
pub struct Gap {
    /// The slot that is next.
    pub wanted: u64,
    /// The slot of the change.
    pub found: u64,
}

impl State {
    /// Takes in the change of entry `seq`, which must be the next.
    pub fn apply(&mut self, seq: u64, record: &ChangeRecord) -> Result<(), Gap> {
        let gaps = !self.rules.on(Rule::Covers);
        let after = seq.checked_add(1).filter(|_| seq == self.next || (gaps && seq > self.next));
        self.next = after.ok_or(Gap { wanted: self.next, found: seq })?;
        self.hash = None;
        if record.is_unknown() {
            self.note_unknown(seq, record.must_understand);
        }
        self.packs.extend(record.added.iter().copied());
        self.note_unhooked(seq, record);
        match &record.change {
            Change::Init { .. } | Change::Unknown => {}
            Change::Repo(change) => self.apply_repo(seq, change),
            Change::Push(push) => self.apply_push(seq, push),
            Change::Label(label) => self.apply_label(seq, label),
            Change::Compact(compact) => self.apply_compact(seq, record.base, compact),
            Change::Drop(drop) => self.apply_drop(seq, drop),
            Change::Redact(redact) => self.apply_redact(seq, redact),
            Change::Condemn(condemn) => self.condemn(seq, &condemn.packs),
            Change::Forget(forget) => self.apply_forget(forget),
            Change::Checkpoint(checkpoint) => {
                self.fold_segments(checkpoint.covers, checkpoint.segments());
                self.checkpoint = Some((seq, checkpoint.clone()));
            }
        }
        Ok(())
    }

    /// Remembers that entry `seq` says something this version does not know (R10).
    pub(in crate::catalog) fn note_unknown(&mut self, seq: u64, stop: bool) {
        self.unknown.get_or_insert(seq);
        if stop {
            self.stop.get_or_insert(seq);
        }
    }

    fn apply_repo(&mut self, seq: u64, change: &RepoChange) {
        match change {
            RepoChange::Create { repo, name } => {
                let new = Repo { name: name.clone(), deleted: false, changed: seq, dropped: false };
                self.repos.insert(*repo, new);
            }
            RepoChange::Rename { repo, name } => {
                if let Some(known) = self.repos.get_mut(repo) {
                    known.name.clone_from(name);
                }
            }
            RepoChange::Delete { repo } | RepoChange::Undelete { repo } => {
                if let Some(known) = self.repos.get_mut(repo) {
                    known.deleted = matches!(change, RepoChange::Delete { .. });
                    known.changed = seq;
                    known.dropped = false;
                }
            }
        }
    }

    fn apply_push(&mut self, seq: u64, push: &Push) {
        if let Some(block) = &push.rows {
            self.inline.insert(seq, Inline { repo: push.repo, block: block.clone() });
        }
        for at in &push.segments {
            self.add_segment(at, seq, seq, 0);
        }
        for it in &push.bundles {
            let (commit, tree) = (it.commit, it.tree);
            let bundle = Bundle { repo: it.repo, root: it.root, seq, revised: 0, commit, tree };
            self.bundles.all_mut().insert(it.id, bundle);
        }
        push.labels.iter().for_each(|label| self.apply_label(seq, label));
    }

    fn apply_label(&mut self, seq: u64, label: &Label) {
        self.labels.insert((label.repo, label.name.clone()), LabelAt { bundle: label.bundle, seq });
    }

    fn add_segment(&mut self, at: &SegmentRef, born: u64, oldest: u64, clean: u64) {
        self.segments.insert(at.fence, Segment { at: at.clone(), born, oldest, clean });
    }

    fn apply_compact(&mut self, seq: u64, base: u64, compact: &Compact) {
        let outs: Vec<Option<Segment>> = compact.outs.iter().map(|out| self.segments.remove(out)).collect();
        let oldest = outs.iter().map(|out| out.as_ref().map_or(0, |it| it.oldest)).min().unwrap_or(0);
        let born = outs.iter().map(|out| out.as_ref().map_or(seq, |it| it.born)).max().unwrap_or(seq);
        for at in &compact.segments {
            // The merge knew every Drop up to its base, and left out what they kill.
            self.add_segment(at, born, oldest, base);
        }
        if !outs.is_empty() {
            self.release_drops();
        }
        for forward in &compact.forwards {
            let ranges = self.forwards.entry(forward.from).or_default();
            let at = ranges.partition_point(|range| range.offset < forward.offset);
            match ranges.get_mut(at).filter(|range| range.offset == forward.offset) {
                Some(range) => *range = *forward,
                None => ranges.insert(at, *forward),
            }
        }
        if self.rules.on(Rule::BlankCondemns) {
            self.condemn(seq, &compact.condemned);
        }
    }

    fn condemn(&mut self, seq: u64, packs: &[PackId]) {
        for pack in packs {
            self.packs.remove(pack);
            self.condemned.entry(*pack).or_insert(seq);
        }
    }

    /// A Drop is kept until no segment can hold a row that it kills (R9).
    fn release_drops(&mut self) {
        let State { drops, segments, inline, .. } = self;
        let oldest_inline = inline.keys().next();
        drops.retain(|_, killed| {
            oldest_inline.is_some_and(|seq| *seq <= killed.upto)
                || segments.values().any(|it| {
                    it.at.table != TableKind::Hooks && it.oldest <= killed.upto && it.clean < killed.at
                })
        });
    }

    fn apply_drop(&mut self, seq: u64, drop: &Drop) {
        self.kill(seq, drop.planned_on, drop.keys.iter().copied());
        for bundle in &drop.bundles {
            if let Some(bundle) = self.bundles.all_mut().remove(bundle) {
                self.note_dropped(bundle.repo);
            }
        }
    }

    /// Rows of these keys that were born up to `planned_on` are dead.
    fn kill(&mut self, seq: u64, planned_on: u64, keys: impl IntoIterator<Item = (Oid, RepoId)>) {
        let upto = if self.rules.on(Rule::DropUpto) { planned_on } else { seq.saturating_sub(1) };
        for key in keys {
            let killed = self.drops.entry(key).or_insert(Killed { upto, at: seq });
            *killed = Killed { upto: killed.upto.max(upto), at: seq };
            self.note_dropped(key.1);
        }
    }

    fn apply_redact(&mut self, seq: u64, redact: &Redact) {
        let bundles = self.bundles.all_mut();
        for it in &redact.bundles {
            if let Some(bundle) = bundles.get_mut(&it.bundle) {
                bundle.root = it.to;
                bundle.revised = seq;
            }
        }
        self.kill(seq, redact.planned_on, redact.keys.iter().map(|oid| (*oid, redact.repo)));
    }

    fn note_dropped(&mut self, repo: RepoId) {
        if let Some(repo) = self.repos.get_mut(&repo).filter(|repo| repo.deleted) {
            repo.dropped = true;
        }
    }

    fn apply_forget(&mut self, forget: &Forget) {
        // The floor now does what the tombstones did: whoever could still name these packs began before it.
        self.floor = self.floor.max(forget.floor);
        for pack in &forget.packs {
            self.condemned.remove(pack);
        }
        for pack in &forget.forwards {
            self.forwards.remove(pack);
        }
    }

    /// Data packs of an entry that has no hooks wait for the next checkpoint to write theirs.
    fn note_unhooked(&mut self, seq: u64, record: &ChangeRecord) {
        let pushed = match &record.change {
            Change::Push(push) => push.segments.as_slice(),
            _ => &[],
        };
        if !pushed.iter().any(|it| it.table == TableKind::Hooks) {
            let data = record.added.iter().filter(|(_, info)| info.kind == PackKind::Data);
            self.unhooked.extend(data.map(|(pack, _)| (seq, *pack)));
        }
    }

    /// Inline rows up to `covers`, and the hooks of data packs added up to it, are in the checkpoint's segments from now on.
    pub(in crate::catalog) fn fold_segments<'a>(
        &mut self,
        covers: u64,
        segments: impl IntoIterator<Item = &'a SegmentRef>,
    ) {
        let later = covers.checked_add(1).map(|seq| self.inline.split_off(&seq)).unwrap_or_default();
        let folded = std::mem::replace(&mut self.inline, later);
        self.unhooked.retain(|(seq, _)| *seq > covers);
        let oldest = folded.keys().next().copied().unwrap_or(covers);
        for at in segments {
            if !self.segments.contains_key(&at.fence) {
                self.add_segment(at, covers, oldest, 0);
            }
        }
    }

    /// Whether a checkpoint that lands now would replace the newest (R7).
    pub(super) fn is_parent(&self, checkpoint: &Checkpoint) -> bool {
        let newest = self.checkpoint.as_ref().map(|(seq, newest)| (*seq, newest.covers, &newest.blobs));
        let parent = checkpoint.parent.as_ref().map(|parent| (parent.seq, parent.covers, &parent.blobs));
        newest == parent
    }
}

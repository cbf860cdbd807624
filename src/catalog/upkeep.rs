//! Checkpoints: whoever crosses the threshold writes down the fold, so that entries stay small and opening stays O(1).

use super::change::{Change, Checkpoint, CheckpointBlob, Parent, SegmentRef, TableKind};
use super::checkpoint;
use super::error::CatalogError;
use super::log::Catalog;
use super::state::Remedy;
use crate::pack::format::MAX_FRAME;
use crate::pack::{Frame, MetaSeries};
use crate::store::key;
use crate::table::write_segment;

/// Changes in the tail above which a checkpoint is due.
const TAIL_CHANGES: u64 = 64;
/// Bytes of the tail above which a checkpoint is due.
const TAIL_BYTES: usize = 256 << 10;

impl Catalog {
    /// What falls to whoever crosses a threshold: a checkpoint, a merge. Others are served by it as well as we are; nothing
    /// is lost when it fails, and the next writer does it.
    pub fn upkeep(&mut self) -> Result<(), CatalogError> {
        if self.checkpoint_due() {
            self.write_checkpoint()?;
        }
        self.merge_runs().map(drop)
    }

    /// Whether the tail has grown so long that somebody should write a checkpoint.
    pub fn checkpoint_due(&self) -> bool {
        let covered = self.state.checkpoint().map_or(0, |(_, newest)| newest.covers);
        let changes = self.head.seq().saturating_sub(covered);
        self.state.unknown().is_none() && (changes > TAIL_CHANGES || self.head.tail_len() > TAIL_BYTES)
    }

    /// Write a checkpoint of everything seen. `false` when another writer was faster, which is as good, or when there is more
    /// of some kind than a frame takes: then the log goes on without.
    pub fn write_checkpoint(&mut self) -> Result<bool, CatalogError> {
        let covers = self.head.seq();
        let mut metas = MetaSeries::new(&self.store);
        let (mut rows, (mut missing, shift)) = (self.inline_rows()?, self.missing_hooks());
        let (mut segment, mut hooks) = (None, None);
        if !rows.is_empty() {
            let written = write_segment(metas.room()?, &mut rows, &self.cache);
            segment = Some(SegmentRef::new(TableKind::Files, &written));
        }
        if !missing.is_empty() {
            hooks = Some(SegmentRef::of_hooks(&missing.write(metas.room()?), shift));
        }
        let newest = self.state.checkpoint();
        let all = checkpoint::encode(&self.state, segment.iter().chain(&hooks));
        let sound = newest.map(|(_, it)| self.sound_part(it));
        let (mut blobs, write) = checkpoint::changed(sound.as_ref(), all);
        if write.values().any(|bytes| bytes.len() > MAX_FRAME) {
            metas.discard();
            return Ok(false);
        }
        let named: Vec<_> = blobs.values().map(|blob| blob.at.pack).collect();
        for (kind, bytes) in write {
            let hash = checkpoint::hash(&bytes);
            let at = metas.room_together()?.add(&Frame::encode(bytes), vec![]);
            blobs.insert(kind, CheckpointBlob { at, hash });
        }
        let parent = newest.map(|(seq, it)| Parent { seq: *seq, covers: it.covers, blobs: it.blobs.clone() });
        let change = Change::Checkpoint(Checkpoint { covers, parent, blobs, segment, hooks });
        let mut record = self.record(covers, change);
        if self.state.has_revisions(covers) {
            record.mark_revised();
        }
        record.added = self.read_beside(|| metas.finish())?;
        record.named = named;
        match self.commit(&record) {
            Ok(landed) => {
                // A hint: without it the next cold open asks a few times more.
                let _ = self.store.overwrite(key::HEAD, format!("{:016x}\n", landed.seq).into());
                Ok(true)
            }
            Err(CatalogError::Refused(refusal)) if refusal.remedy() != Remedy::Upgrade => Ok(false),
            Err(error) => Err(error),
        }
    }
}

//! History: single changes of the log, by their place in it. Entries never change and are never deleted, so what was read once
//! is kept.

use bytes::Bytes;

use super::change::{Change, ChangeRecord};
use super::entry::Entry;
use super::fold::BadLog;
use super::log::{Catalog, CatalogError};
use crate::id::{BundleId, EntryHash, RepoId};
use crate::store::key;

/// One change of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The entry.
    pub seq: u64,
    /// Where the label led from then on; nowhere if it was taken away.
    pub bundle: Option<BundleId>,
    /// When, by the clock of who did it, milliseconds since 1970.
    pub time: u64,
    /// Who did it.
    pub contributor: Option<String>,
}

impl Catalog {
    /// The change of entry `seq`, which is not after the head: carried by the newest entry, kept by this machine, or read.
    pub fn change(&self, seq: u64) -> Result<ChangeRecord, CatalogError> {
        if let Some(record) = self.head.record(seq).map_err(|e| self.bad(e))? {
            return Ok(record);
        }
        let name = format!("change/{seq:016x}");
        if let Some(record) = self.cache.get(&name).and_then(|kept| ChangeRecord::decode(&kept).ok()) {
            return Ok(record);
        }
        let bytes = self.store.get(&key::log(seq))?.ok_or_else(|| self.lost(seq))?;
        let entry = Entry::decode(seq, &bytes).map_err(|e| self.bad(e))?;
        self.cache.put(&name, entry.change());
        entry.own().map_err(|e| self.bad(e))
    }

    /// Entry `seq` as the store holds it, verified, and its change.
    pub fn entry(&self, seq: u64) -> Result<(Bytes, ChangeRecord), CatalogError> {
        let bytes = self.store.get(&key::log(seq))?.ok_or_else(|| self.lost(seq))?;
        let entry = Entry::decode(seq, &bytes).map_err(|e| self.bad(e))?;
        Ok((bytes, entry.own().map_err(|e| self.bad(e))?))
    }

    /// Every change after entry `seq`, each read from the store itself: a checkpoint may have folded some away, and the state does
    /// not show who named what (R3). Each entry has to follow the one before it, and the last one is the head.
    pub fn since(&self, seq: u64) -> Result<Vec<(u64, ChangeRecord)>, CatalogError> {
        let head = self.head.seq();
        let (mut records, mut before) = (Vec::new(), None);
        for at in seq.saturating_add(1)..=head {
            let bytes = self.store.get(&key::log(at))?.ok_or_else(|| self.lost(at))?;
            let entry = Entry::decode(at, &bytes).map_err(|e| self.bad(e))?;
            if before.is_some_and(|before| before != entry.prev()) {
                return Err(self.bad(BadLog::Fork { seq: at }));
            }
            before = Some(EntryHash::of(&bytes));
            records.push((at, entry.own().map_err(|e| self.bad(e))?));
        }
        match before {
            Some(last) if self.state.head_hash() != Some(last) => Err(self.bad(BadLog::Fork { seq: head })),
            _ => Ok(records),
        }
    }

    /// Every change of a label of a repo, newest first; none where it was never set.
    pub fn label_history(&self, repo: RepoId, name: &str) -> Result<Vec<Moved>, CatalogError> {
        let mut moves = Vec::new();
        let mut next = self.state.label(repo, name).map(|at| at.seq);
        while let Some(seq) = next {
            let record = self.change(seq)?;
            let moved = match record.change {
                Change::Label(label) => Some(label),
                Change::Push(push) => push.labels.into_iter().find(|it| (it.repo, &*it.name) == (repo, name)),
                _ => None,
            };
            let Some(label) = moved else { break };
            let contributor = record.writer.contributor;
            moves.push(Moved { seq, bundle: label.bundle, time: record.time, contributor });
            next = label.previous.filter(|before| *before < seq);
        }
        Ok(moves)
    }
}

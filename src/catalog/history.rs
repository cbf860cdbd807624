//! History: single changes of the log, by their place in it. Entries never change and are never deleted, so what was read once
//! is kept.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use bytes::Bytes;

use super::change::{Change, ChangeRecord};
use super::entry::Entry;
use super::error::CatalogError;
use super::fold::BadLog;
use super::log::Catalog;
use crate::chance::utc;
use crate::id::{BundleId, EntryHash, Oid, RepoId};
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

/// The redaction that a file was given up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// The entry.
    pub seq: u64,
    /// When, by the clock of who did it, milliseconds since 1970.
    pub time: u64,
    /// Who did it.
    pub contributor: Option<String>,
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}, {}", self.seq, utc(self.time))?;
        match &self.contributor {
            // It goes to terminals, and anybody may have written it.
            Some(who) => write!(f, ", by {}", who.replace(char::is_control, " ")),
            None => Ok(()),
        }
    }
}

impl Catalog {
    /// Which of these files, of which no row is live, were given up by a redaction. It is asked what the state knows: when a key was given
    /// up last, which it forgets once no table can have it, and which entries changed versions last. Entries that cannot be read say nothing.
    pub fn redactions_of(&self, oids: &[Oid]) -> HashMap<Oid, Redacted> {
        let wanted: HashSet<Oid> = oids.iter().copied().collect();
        let (drops, every) = (self.state.drops(), [0, u8::MAX].map(|byte| RepoId::from_bytes([byte; 16])));
        let given_up = wanted.iter().flat_map(|oid| drops.range((*oid, every[0])..=(*oid, every[1])));
        let revised = self.state.bundles().values().map(|it| it.revised);
        let entries = given_up.map(|(_, killed)| killed.at).chain(revised);
        let entries: BTreeSet<u64> = entries.filter(|seq| *seq > 0).collect();
        let mut found = HashMap::new();
        for seq in entries {
            let Ok(ChangeRecord { change: Change::Redact(redact), time, writer, .. }) = self.change(seq)
            else {
                continue;
            };
            // What came again after a redaction and was given up by a Drop is just gone.
            let last = |oid: &Oid| drops.get(&(*oid, redact.repo)).is_none_or(|killed| killed.at <= seq);
            for oid in redact.keys.iter().filter(|oid| wanted.contains(oid) && last(oid)) {
                let contributor = writer.contributor.clone();
                found.insert(*oid, Redacted { seq, time, contributor });
            }
        }
        found
    }

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

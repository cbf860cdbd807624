//! Commit: one change into the log, by any number of writers at once (R5, R6).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::change::ChangeRecord;
use super::entry::Entry;
use super::error::CatalogError;
use super::fold::BadLog;
use super::head::Holed;
use super::healing;
use super::log::{Catalog, Landed, create, read};
use super::rules::Rules;
use super::slot::{Action, Append, Event};
use super::state::Refusal;
use crate::id::{EntryHash, PackId};
use crate::store::{Create, key};

impl Catalog {
    /// Commit `record`: durable and seen by everybody on return. On a refusal nothing of it is in the log.
    pub fn commit(&mut self, record: &ChangeRecord) -> Result<Landed, CatalogError> {
        self.append(record, None)
    }

    /// The same, but right after the newest entry that was seen or not at all: what lands has taken all there is into account (R3).
    pub fn commit_next(&mut self, record: &ChangeRecord) -> Result<Landed, CatalogError> {
        self.commit_at(record, self.state.next())
    }

    /// The same for who says what the next slot was when it looked: it lands there or not at all.
    pub fn commit_at(&mut self, record: &ChangeRecord, slot: u64) -> Result<Landed, CatalogError> {
        self.append(record, Some(slot))
    }

    fn append(&mut self, record: &ChangeRecord, only: Option<u64>) -> Result<Landed, CatalogError> {
        // What an entry relies on is what the store itself holds (R6).
        self.store = self.store.alone();
        self.resume()?;
        let change = record.encode();
        let mut append = Append::new(Rules::ALL, self.state.next());
        self.prove()?;
        let mut sent = Bytes::new();
        let mut unclear = false;
        loop {
            let event = match append.action() {
                Action::ReadPrev(seq) => match self.take_reading(seq) {
                    Some(bytes) => Event::Read(bytes.into()),
                    None => read(&self.store, seq),
                },
                Action::ReadSlot(seq) => read(&self.store, seq),
                Action::Check { slot, .. } if only.is_some_and(|only| only != slot) => {
                    self.journal.clear();
                    return Err(Refusal::Overtaken { seq: slot - 1 }.into());
                }
                Action::Check { slot, prev } => {
                    let bytes = self.build(record, &change, slot, prev.into())?;
                    unclear = false;
                    sent = bytes.clone().into();
                    Event::Built(bytes)
                }
                Action::Create { slot, bytes } => {
                    match self.store.create_once(&key::log(slot), bytes.into()) {
                        Ok(Create::Created) => Event::Created,
                        Ok(Create::Exists) => Event::Exists,
                        // Said no, and nothing else was ever sent: there is nothing to find out.
                        Err(error) if error.is_refusal() && !unclear => {
                            self.journal.clear();
                            return Err(error.into());
                        }
                        Err(_) => {
                            unclear = true;
                            Event::Unclear
                        }
                    }
                }
                Action::Done(seq) => {
                    self.journal.clear();
                    self.follow(seq, &sent)?;
                    self.refuse_fork()?;
                    return Ok(Landed { seq, hash: EntryHash::of(&sent) });
                }
                Action::Contended => {
                    self.journal.clear();
                    return Err(CatalogError::Contended { url: self.store.url().to_string() });
                }
                Action::OutcomeUnknown(slot) => {
                    return Err(CatalogError::Unknown { url: self.store.url().to_string(), slot });
                }
                Action::Damaged(seq) => {
                    healing::forget(&self.cache, &self.cache);
                    return Err(self.lost(seq));
                }
            };
            append.step(event).expect("each event answers its action");
        }
    }

    /// The bytes of `record` for `slot`, journalled; `prev` was read from the store as the entry before it.
    fn build(
        &mut self,
        record: &ChangeRecord,
        change: &[u8],
        slot: u64,
        prev: Bytes,
    ) -> Result<Vec<u8>, CatalogError> {
        // What the journal names is somebody else's slot by now.
        self.journal.clear();
        // The entry before is the head, or leads to it (R6).
        if self.state.next() == slot {
            self.check_head(&prev)?;
        } else {
            self.follow(slot - 1, &prev)?;
        }
        self.state.check(record)?;
        let hash = self.state.head_hash().expect("set when an entry is followed");
        let next = self.head.next(hash, change.to_vec(), Rules::ALL).map_err(|e| self.bad(e))?;
        let (bytes, _) = next.encode().map_err(|e| self.bad(e))?;
        self.journal.write(slot, &bytes).map_err(CatalogError::Journal)?;
        Ok(bytes)
    }

    /// An entry after the one that just landed follows it; if not, ours filled a hole and nobody will follow it: what was not
    /// acknowledged cannot be lost (R6).
    fn refuse_fork(&self) -> Result<(), CatalogError> {
        let seq = self.state.next();
        if self.store.size(&key::log(seq))?.is_none() {
            return Ok(());
        }
        let after = self.store.get(&key::log(seq))?.ok_or_else(|| self.lost(seq))?;
        self.check_next(&after).inspect_err(|_| self.cache.clear())
    }

    /// A writer that found the head by probing lists once what lies beyond: any entry there is damage (R6).
    fn prove(&mut self) -> Result<(), CatalogError> {
        if self.proven {
            return Ok(());
        }
        let mut free = self.state.next();
        let listed = self.store.list(key::LOG, &key::log(self.head.seq()))?;
        // No backend owes an order.
        let beyond: BTreeSet<u64> = listed.iter().filter_map(|it| key::log_seq(&it.key)).collect();
        for beyond in beyond.range(free..).copied() {
            // Entries may have landed since: a dense run after the head is news, not damage. And a listing made meanwhile may
            // show a later entry without an earlier one: the store itself decides what is missing.
            for slot in free..beyond {
                if self.store.size(&key::log(slot))?.is_none() {
                    let source = Holed::Beyond { beyond, missing: slot };
                    return Err(CatalogError::Holed { url: self.store.url().to_string(), source });
                }
            }
            free = beyond.saturating_add(1);
        }
        self.proven = true;
        Ok(())
    }

    /// Resolve slots that a process of this machine left open (R5).
    fn resume(&mut self) -> Result<(), CatalogError> {
        for (slot, bytes, path) in self.journal.left() {
            // What a newer version left is for it to resolve.
            let Ok(entry) = Entry::decode(slot, &bytes) else { continue };
            let outcome = self.resolve(&entry, bytes);
            // Kept only while the slot is open: a log that is not the one the entry was made for will never take it.
            if !matches!(outcome, Err(CatalogError::Unknown { .. } | CatalogError::Store(_))) {
                self.journal.settle(&path);
            }
            outcome?;
        }
        Ok(())
    }

    /// The same, before anything is planned on what the log says: an entry that lands only now has packs of its own.
    pub fn settle(&mut self) -> Result<(), CatalogError> {
        if self.journal.left().is_empty() {
            return Ok(());
        }
        self.resume()?;
        self.refresh()
    }

    fn resolve(&self, entry: &Entry, bytes: Vec<u8>) -> Result<(), CatalogError> {
        let mut append = Append::resume(Rules::ALL, entry.seq(), bytes);
        loop {
            let event = match append.action() {
                Action::ReadSlot(slot) => read(&self.store, slot),
                Action::Create { slot, bytes } => {
                    self.check_prev(entry)?;
                    // Nothing names its packs yet, so somebody may have taken them for garbage: what would promise bytes that
                    // are gone is given up. The slot was just read, and is free.
                    if !self.has_packs(entry)? {
                        return Ok(());
                    }
                    create(&self.store, slot, bytes)
                }
                Action::OutcomeUnknown(slot) => {
                    return Err(CatalogError::Unknown { url: self.store.url().to_string(), slot });
                }
                // Landed, or the slot is somebody else's: what the process wanted is done again by whoever asks for it.
                _ => return Ok(()),
            };
            append.step(event).expect("each event answers its action");
        }
    }

    /// Whether every pack that the entry adds is in the store.
    fn has_packs(&self, entry: &Entry) -> Result<bool, CatalogError> {
        for (pack, info) in entry.own().map_err(|e| self.bad(e))?.added {
            if self.store.size(&key::pack(info.kind, pack))? != Some(info.size) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Packs of entries that a process of this machine may have sent, whatever became of them.
    pub fn packs_in_journal(&self) -> BTreeSet<PackId> {
        let entries =
            self.journal.left().into_iter().filter_map(|(slot, bytes, _)| Entry::decode(slot, &bytes).ok());
        let records = entries.filter_map(|entry| entry.own().ok());
        records.flat_map(|record| record.added).map(|(pack, _)| pack).collect()
    }

    /// A slot is created only after the entry before it was read from the store by this process (R6): the store may have been
    /// rolled back since the other process did.
    fn check_prev(&self, entry: &Entry) -> Result<(), CatalogError> {
        let Some(seq) = entry.seq().checked_sub(1) else { return Ok(()) };
        let prev = self.store.get(&key::log(seq))?;
        if prev.as_deref().map(EntryHash::of) == Some(entry.prev()) {
            return Ok(());
        }
        self.cache.clear();
        Err(if prev.is_some() { self.bad(BadLog::Fork { seq: entry.seq() }) } else { self.lost(seq) })
    }
}

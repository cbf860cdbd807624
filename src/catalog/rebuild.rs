//! Rebuild: the catalog of a store whose checkpoint or newest entry is damaged, from its log.
//!
//! Every entry has its own change for ever, so the whole log says what a checkpoint said; a damaged entry is taken from the tail of one
//! after it (R13). Only the newest entry has none after it: this machine may have kept what it read or wrote there. The next entry then
//! follows the bytes that were there, as it would have, and its tail carries them: for readers the damage is one in the middle.

use super::change::{Change, ChangeRecord, Checkpoint, TableKind};
use super::checkpoint;
use super::entry::{BadEntry, Entry};
use super::error::CatalogError;
use super::fold::BadLog;
use super::healing::kept_head;
use super::journal::Journal;
use super::log::{Catalog, bad_log, parts, read_hint, read_identity};
use super::lost_identity;
use super::plan::Deaths;
use super::rules::Rules;
use super::state::State;
use super::suspects::Suspects;
use crate::cache::Cache;
use crate::id::{EntryHash, PackId, PackKind};
use crate::pack::{Blob, PackError};
use crate::store::{Store, key};
use crate::table::{Row, Slices, is_damage, read_frame};

impl Catalog {
    /// Open the store by its log alone. A checkpoint written next is whole again.
    pub fn rebuild(store: Store, cache: Cache, journal: Journal) -> Result<Catalog, CatalogError> {
        let identity = read_identity(&store)?;
        let place = (cache, journal);
        let (cache, journal) = parts(&place, &identity);
        let listed = store.list(key::LOG, "")?;
        let lost = |seq| CatalogError::Lost { url: store.url().to_string(), seq };
        let newest = listed.iter().filter_map(|it| key::log_seq(&it.key)).max().ok_or_else(|| lost(0))?;
        let bytes = store.get(&key::log(newest))?.ok_or_else(|| lost(newest))?;
        let (head, bytes, mended) = match Entry::decode(newest, &bytes) {
            Ok(head) => (head, bytes, false),
            Err(error @ BadEntry::Damaged { .. }) => {
                let kept = kept_head(&cache).filter(|(seq, _)| *seq == newest);
                let whole = kept.and_then(|(_, bytes)| Some((Entry::decode(newest, &bytes).ok()?, bytes)));
                let (entry, bytes) = whole.ok_or_else(|| bad_log(&store, error))?;
                (entry, bytes, true)
            }
            Err(error) => return Err(bad_log(&store, error)),
        };
        let mut state = State::new(Rules::ALL);
        let mut read = Reading::of(&store);
        for seq in 0..newest {
            let record = read.change(seq, &head)?;
            state.apply(seq, &record).map_err(|e| bad_log(&store, e))?;
        }
        read.follows(&head)?;
        state.apply(newest, &head.own().map_err(|e| bad_log(&store, e))?).map_err(|e| bad_log(&store, e))?;
        state.set_head_hash(EntryHash::of(&bytes));
        let suspects = Suspects::load(&cache);
        let mut catalog = Catalog {
            store,
            cache,
            identity,
            state,
            head,
            suspects,
            journal,
            proven: true,
            contributor: None,
            mended: mended.then_some(newest),
            reading: None,
            place,
        };
        let damaged = catalog.damaged_blobs()?;
        catalog.suspect(damaged);
        Ok(catalog)
    }

    /// Whether the store's copy of the newest entry is damaged, where this machine knows what it said. A checkpoint written next carries it.
    pub fn mend_head(&mut self) -> Result<bool, CatalogError> {
        let seq = self.head.seq();
        let bytes = self.store.get(&key::log(seq))?.ok_or_else(|| self.lost(seq))?;
        let damaged = matches!(Entry::decode(seq, &bytes), Err(BadEntry::Damaged { .. }));
        self.mended = damaged.then_some(seq);
        Ok(damaged)
    }

    /// Writes `datamon.json` again as this machine knows it, where the store's own is damaged or gone; whether it had to.
    pub fn mend_identity(&self) -> Result<bool, CatalogError> {
        let is_lost = lost_identity::loss(&self.store)?.is_some();
        if is_lost {
            lost_identity::put_back(&self.store, &self.identity)?;
        }
        Ok(is_lost)
    }

    /// Writes `log/HEAD` again where it names no entry, or one that is not there; whether it did.
    pub fn mend_hint(&self) -> Result<bool, CatalogError> {
        let wrong = match read_hint(&self.store)? {
            Some(hint) => hint > self.head.seq() && self.store.size(&key::log(hint))?.is_none(),
            // What is no position is a hint for nobody.
            None => self.store.size(key::HEAD)?.is_some(),
        };
        if wrong {
            self.store.overwrite(key::HEAD, format!("{:016x}\n", self.head.seq()).into())?;
        }
        Ok(wrong)
    }

    /// Hands over what every push promised, dead rows too, from the pushes themselves: what tables can be made of again. What was
    /// killed of it by any Drop, and up to which birth; nothing where not all could be read: segments that a collection took are
    /// gone, and what they said lies in others.
    pub fn pushed_rows(&self, mut take: impl FnMut(Vec<Row>)) -> Result<Option<Deaths>, CatalogError> {
        let mut read = Reading::of(&self.store);
        let (mut all, mut killed) = (true, Deaths::new());
        for seq in 0..=self.head.seq() {
            let change = read.change(seq, &self.head)?.change;
            for (key, upto) in change.kills() {
                let known = killed.entry(key).or_default();
                *known = upto.max(*known);
            }
            let Change::Push(push) = change else { continue };
            take(
                push.rows
                    .iter()
                    .map(|block| self.rows_of(seq, block))
                    .collect::<Result<Vec<_>, _>>()?
                    .concat(),
            );
            for at in push.segments.iter().filter(|at| at.table == TableKind::Files) {
                for slice in Slices::new(&self.store, [(vec![at.written()], seq)]) {
                    match slice {
                        Ok(rows) => take(rows),
                        Err(error) if is_damage(&self.store, &at.written(), &error) => all = false,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(all.then_some(killed))
    }

    /// The packs of the newest checkpoint in which a blob is not what was written.
    fn damaged_blobs(&self) -> Result<Vec<PackId>, CatalogError> {
        let Some((_, checkpoint)) = self.state.checkpoint() else { return Ok(vec![]) };
        let mut damaged = Vec::new();
        for blob in checkpoint.blobs.values() {
            match read_frame(&self.store, &Cache::none(), &blob.at) {
                Ok(bytes) if checkpoint::hash(&bytes) == blob.hash => {}
                // To ask for bytes that are not there may be answered like a failed request.
                Err(PackError::Store(error)) if self.has_bytes(&blob.at)? => return Err(error.into()),
                _ => damaged.push(blob.at.pack),
            }
        }
        Ok(damaged)
    }

    fn has_bytes(&self, blob: &Blob) -> Result<bool, CatalogError> {
        let size = self.store.size(&key::pack(PackKind::Meta, blob.pack))?;
        Ok(size.is_some_and(|size| size >= blob.end()))
    }

    /// Whether the newest checkpoint lies in packs that were found damaged: who has not read it yet cannot open the store.
    pub fn has_damaged_checkpoint(&self) -> bool {
        let newest = self.state.checkpoint().map(|(_, newest)| newest);
        newest.is_some_and(|newest| newest.blobs.values().any(|blob| self.suspects.has(blob.at.pack)))
    }

    /// The checkpoint without what lies in packs that were found damaged: that is written anew.
    pub(super) fn sound_part(&self, checkpoint: &Checkpoint) -> Checkpoint {
        let mut sound = checkpoint.clone();
        sound.blobs.retain(|_, blob| !self.suspects.has(blob.at.pack));
        sound
    }
}

/// The changes of a log, one after the other.
struct Reading<'a> {
    store: &'a Store,
    /// The hash of the entry before, where its bytes are those that were written.
    before: Option<EntryHash>,
}

impl<'a> Reading<'a> {
    fn of(store: &'a Store) -> Self {
        Reading { store, before: None }
    }

    /// The entry comes after the one that was read last: two logs that were mixed are none (R6).
    fn follows(&self, entry: &Entry) -> Result<(), CatalogError> {
        match self.before {
            Some(before) if before != entry.prev() => {
                Err(bad_log(self.store, BadLog::Fork { seq: entry.seq() }))
            }
            _ => Ok(()),
        }
    }

    /// What entry `seq`, the next one, said: by itself, or by the nearest entry after it that carries it.
    fn change(&mut self, seq: u64, head: &Entry) -> Result<ChangeRecord, CatalogError> {
        let bytes = self.store.get(&key::log(seq))?;
        let decoded = bytes.as_ref().map(|bytes| Entry::decode(seq, bytes));
        let lost = match decoded {
            Some(Ok(entry)) => {
                self.follows(&entry)?;
                self.before = bytes.as_deref().map(EntryHash::of);
                return entry.own().map_err(|e| bad_log(self.store, e));
            }
            Some(Err(error @ BadEntry::Damaged { .. })) => error,
            Some(Err(error)) => return Err(bad_log(self.store, error)),
            None => BadEntry::Damaged { seq, what: "it is missing" },
        };
        self.before = None;
        self.carried(seq, head)?.ok_or_else(|| bad_log(self.store, lost))
    }

    /// What the nearest entry after `seq` that can be read carries of it.
    fn carried(&self, seq: u64, head: &Entry) -> Result<Option<ChangeRecord>, CatalogError> {
        for after in seq + 1..=head.seq() {
            let there = self.store.get(&key::log(after))?.and_then(|bytes| Entry::decode(after, &bytes).ok());
            let entry = if after == head.seq() { Some(head.clone()) } else { there };
            let Some(entry) = entry else { continue };
            let change = entry.carried(seq).map(ChangeRecord::decode).transpose();
            return change
                .map_err(|source| bad_log(self.store, BadEntry::Change { seq: after, of: seq, source }));
        }
        Ok(None)
    }
}

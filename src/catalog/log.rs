//! The log in a store: opening, following, committing. This is where the pure parts of the catalog meet requests.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rayon::prelude::*;

use super::change::{Change, ChangeRecord, Checkpoint, Writer};
use super::checkpoint::Blobs;
use super::entry::{BadEntry, Entry};
use super::error::CatalogError;
use super::fold::BadLog;
use super::head::{self, NoHead};
use super::healing;
use super::identity::Identity;
use super::journal::Journal;
use super::reading::Reading;
use super::rules::Rules;
use super::slot::{Action, Append, Event};
use super::state::State;
use super::suspects::Suspects;
use crate::cache::Cache;
use crate::chance;
use crate::id::{EntryHash, PackId};
use crate::pack::{Blob, PackError};
use crate::store::{Create, Listed, Store, StoreError, key};
use crate::table::read_frames;

/// Where a change landed: what a receipt names (R12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// The entry.
    pub seq: u64,
    /// Hash of its bytes.
    pub hash: EntryHash,
}

/// An open store: its identity, and the fold of its log up to the newest entry seen.
#[derive(Debug)]
pub struct Catalog {
    pub(super) store: Store,
    pub(super) cache: Cache,
    pub(super) identity: Identity,
    pub(super) state: State,
    pub(super) head: Entry,
    pub(super) suspects: Suspects,
    pub(super) journal: Journal,
    /// The person or agent for whom changes are written.
    pub(super) contributor: Option<String>,
    /// Whether the log was followed from an entry this machine had seen before; else a writer lists once (R6).
    pub(super) proven: bool,
    /// The head, where the store's own copy of it is damaged and this machine's is not (`rebuild`).
    pub(super) mended: Option<u64>,
    /// The reading for the entry that comes next (R6).
    pub(super) reading: Option<Reading>,
    /// What this machine keeps about the place, whichever store it holds.
    pub(super) place: (Cache, Journal),
}

impl Catalog {
    /// Make a new store: probe the backend, create `datamon.json` and log/0. A store that is there already is opened.
    pub fn create(store: Store, cache: Cache, journal: Journal) -> Result<Catalog, CatalogError> {
        let is_new = store.get(key::STORE)?.is_none();
        if is_new {
            // Another init may be making the same store right now: what it wrote is not in the way.
            if let Some(found) = store.list("", "")?.iter().find(|it| !it.key.starts_with("probe/"))
                && store.get(key::STORE)?.is_none()
                && let Err(error) = nothing_there(&store)
            {
                return Err(match error {
                    CatalogError::NotAStore { url } => {
                        CatalogError::NotEmpty { url, first: found.key.clone() }
                    }
                    error => error,
                });
            }
            cache.clear();
            store.probe()?;
            let identity = Identity::new();
            // Two inits at once: one creates, the other finds it there and opens it.
            store.create_shared(key::STORE, &identity.encode().into())?;
        }
        // An init that died between the two objects is finished by the next one, which has tried nothing yet (R17).
        if store.get(&key::log(0))?.is_none() {
            if !is_new {
                store.probe()?;
            }
            begin_log(&store)?;
        }
        Catalog::open(store, cache, journal)
    }

    /// Open the store to read: with a warm cache one GET, the 404 after the newest entry.
    pub fn open(store: Store, cache: Cache, journal: Journal) -> Result<Catalog, CatalogError> {
        match Self::open_warm(&store, &cache, &journal, false)? {
            Some(catalog) => Ok(catalog),
            None => Self::open_cold(store, cache, journal),
        }
    }

    /// Open the store to write: what an entry needs to be read first is read at the same time (R6).
    pub fn open_to_write(store: Store, cache: Cache, journal: Journal) -> Result<Catalog, CatalogError> {
        match Self::open_warm(&store, &cache, &journal, true)? {
            Some(catalog) => Ok(catalog),
            None => Self::open_cold(store, cache, journal),
        }
    }

    fn open_cold(store: Store, cache: Cache, journal: Journal) -> Result<Catalog, CatalogError> {
        let identity = read_identity(&store)?;
        cache.put("identity", &identity.encode());
        let place = (cache, journal);
        let (cache, journal) = parts(&place, &identity);
        let known = read_hint(&store)?.map(|hint| look_ahead(&store, hint)).transpose()?;
        let found = head::find(known, |seq| store.size(&key::log(seq)).map(|size| size.is_some()));
        let seq = found.map_err(|e| match e {
            NoHead::Probe(error) => CatalogError::Store(error),
            NoHead::NoLog => CatalogError::Lost { url: store.url().to_string(), seq: 0 },
        })?;
        let lost = || CatalogError::Lost { url: store.url().to_string(), seq };
        let bytes = store.get(&key::log(seq))?.ok_or_else(lost)?;
        let (head, state) = fold(&store, &cache, seq, &bytes)?;
        let suspects = Suspects::load(&cache);
        let mut catalog = Catalog {
            store,
            cache,
            identity,
            state,
            head,
            suspects,
            journal,
            proven: false,
            contributor: None,
            mended: None,
            reading: None,
            place,
        };
        catalog.remember(&bytes);
        catalog.saw(bytes);
        Ok(catalog)
    }

    fn open_warm(
        store: &Store,
        cache: &Cache,
        journal: &Journal,
        to_write: bool,
    ) -> Result<Option<Catalog>, CatalogError> {
        let Some(identity) = cache.get("identity").and_then(|bytes| Identity::decode(&bytes).ok()) else {
            return Ok(None);
        };
        let place = (cache.clone(), journal.clone());
        let (own, journal) = parts(&place, &identity);
        let Some(kept) = own.get("head") else { return Ok(None) };
        let Some((seq, bytes)) = kept.split_first_chunk::<8>() else { return Ok(None) };
        let Ok((head, state)) = fold(store, &own, u64::from_le_bytes(*seq), bytes) else { return Ok(None) };
        let suspects = Suspects::load(&own);
        let store = store.clone();
        let mut catalog = Catalog {
            store,
            cache: own,
            identity,
            state,
            head,
            suspects,
            journal,
            proven: true,
            contributor: None,
            mended: None,
            reading: None,
            place,
        };
        match catalog.go_on(to_write) {
            Ok(()) => Ok(Some(catalog)),
            // The place may hold another store by now; if it does, what is kept here is of no use.
            Err(error) if error.is_another_log() && catalog.is_swapped()? => {
                cache.clear();
                Ok(None)
            }
            Err(error) => {
                if error.is_another_log() {
                    healing::forget(cache, &catalog.cache);
                }
                Err(error)
            }
        }
    }

    /// Whether the place holds another store than the one that was opened.
    fn is_swapped(&self) -> Result<bool, CatalogError> {
        Ok(read_identity(&self.store)?.store != self.identity.store)
    }

    /// Go on to the newest entry as one who is about to say "missing" (R18): the head seen must still be there, which a 404
    /// after it does not show, and a place that holds another store by now is opened anew. Only for reading: a writer asks its
    /// user first whether data may go to that store.
    pub fn renew(&mut self) -> Result<(), CatalogError> {
        let seen = self.head.seq();
        let refreshed = self.refresh();
        match refreshed.and_then(|()| if self.head.seq() == seen { self.confirm() } else { Ok(()) }) {
            Err(error) if error.is_another_log() && self.is_swapped()? => {
                let (cache, journal) = self.place.clone();
                cache.clear();
                *self = Catalog::open(self.store.clone(), cache, journal)?;
                Ok(())
            }
            answer => answer,
        }
    }

    /// The head seen is what the store holds (R6).
    fn confirm(&self) -> Result<(), CatalogError> {
        let seq = self.head.seq();
        match self.store.get(&key::log(seq))? {
            Some(bytes) => self.check_head(&bytes),
            None => {
                healing::forget(&self.cache, &self.cache);
                Err(self.lost(seq))
            }
        }
    }

    /// `bytes`, read from the store in the place of the head, are the head (R6).
    pub(super) fn check_head(&self, bytes: &[u8]) -> Result<(), CatalogError> {
        if self.state.head_hash() == Some(EntryHash::of(bytes)) {
            return Ok(());
        }
        let seq = self.head.seq();
        // Damage has another remedy than a log that was exchanged.
        match Entry::decode(seq, bytes) {
            Err(BadEntry::Damaged { .. }) if self.mended == Some(seq) => return Ok(()),
            decoded => decoded.map_err(|e| self.bad(e))?,
        };
        self.cache.clear();
        Err(self.bad(BadLog::Fork { seq }))
    }

    /// Go on to the newest entry.
    pub fn refresh(&mut self) -> Result<(), CatalogError> {
        self.go_on(false)
    }

    fn go_on(&mut self, to_write: bool) -> Result<(), CatalogError> {
        let (known, slot) = (self.head.seq(), self.state.next());
        let store = self.store.clone();
        let ask = |seq| store.get(&key::log(seq));
        let (there, mut first) = match to_write {
            true => rayon::join(|| Some(ask(known)), || Some(ask(slot))),
            false => (None, None),
        };
        let mut newest: Option<(u64, Bytes)> = None;
        let mut next: Option<Bytes> = None;
        let found = head::find(Some(known), |seq| {
            // The first question of the search is for the next slot.
            let bytes = first.take().unwrap_or_else(|| ask(seq))?;
            let there = bytes.is_some();
            if seq == known + 1 {
                next.clone_from(&bytes);
            }
            if let Some(bytes) = bytes
                && newest.as_ref().is_none_or(|(at, _)| *at < seq)
            {
                newest = Some((seq, bytes));
            }
            Ok::<bool, StoreError>(there)
        });
        match found {
            Ok(_) => {}
            Err(NoHead::Probe(error)) => return Err(error.into()),
            Err(NoHead::NoLog) => return Err(self.lost(known)),
        }
        let (Some(next), Some((seq, bytes))) = (next, newest) else {
            return there.map_or(Ok(()), |there| self.still(there?));
        };
        match self.check_next(&next) {
            Ok(()) => self.follow(seq, &bytes),
            // The newest entry carries what the damaged one said; what cannot be followed is opened.
            Err(CatalogError::Log { source: BadLog::Entry(BadEntry::Damaged { .. }), .. }) => {
                (self.head, self.state) = fold(&self.store, &self.cache, seq, &bytes)?;
                self.proven = false;
                self.remember(&bytes);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What the store has in the place of the head is the head (R6). Other damage than another log is told of by whoever writes.
    fn still(&mut self, there: Option<Bytes>) -> Result<(), CatalogError> {
        let Some(bytes) = there else { return Err(self.lost(self.head.seq())) };
        match self.check_head(&bytes) {
            Ok(()) => self.saw(bytes),
            Err(error) if error.is_another_log() => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// `next`, read from the store after the head, follows it. A newer entry does not show that: its tail may be that of
    /// another log (R6).
    pub(super) fn check_next(&self, next: &[u8]) -> Result<(), CatalogError> {
        let seq = self.state.next();
        let entry = Entry::decode(seq, next).map_err(|e| self.bad(e))?;
        if Some(entry.prev()) == self.state.head_hash() {
            Ok(())
        } else {
            Err(self.bad(BadLog::Fork { seq }))
        }
    }

    /// Take in the entry at `seq`, which is newer than what was seen.
    pub(super) fn follow(&mut self, seq: u64, bytes: &Bytes) -> Result<(), CatalogError> {
        let entry = Entry::decode(seq, bytes).map_err(|e| self.bad(e))?;
        match self.state.follow(&entry, EntryHash::of(bytes)) {
            Ok(()) => self.head = entry,
            Err(BadLog::Gap(_)) => (self.head, self.state) = fold(&self.store, &self.cache, seq, bytes)?,
            Err(error) => return Err(self.bad(error)),
        }
        self.remember(bytes);
        self.saw(bytes.clone());
        Ok(())
    }

    fn remember(&self, bytes: &[u8]) {
        self.cache.put("head", &[&self.head.seq().to_le_bytes()[..], bytes].concat());
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the store is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The fold of the log.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The newest entry.
    pub fn head(&self) -> &Entry {
        &self.head
    }

    /// The local cache of this store.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// From now on changes are written for this person, as git writes people: `Name <mail>`.
    pub fn set_contributor(&mut self, contributor: Option<String>) {
        self.contributor = contributor;
    }

    /// A change of a session that began at `base`, written now by this program for the contributor.
    pub fn record(&self, base: u64, change: Change) -> ChangeRecord {
        let writer = Writer { contributor: self.contributor.clone(), ..writer() };
        ChangeRecord::new(base, change, writer, now())
    }

    pub(super) fn lost(&self, seq: u64) -> CatalogError {
        CatalogError::Lost { url: self.store.url().to_string(), seq }
    }

    pub(super) fn bad(&self, source: impl Into<BadLog>) -> CatalogError {
        bad_log(&self.store, source)
    }
}

/// What is kept about the one store that the place holds now.
pub(super) fn parts(place: &(Cache, Journal), identity: &Identity) -> (Cache, Journal) {
    let store = identity.store.to_string();
    (place.0.part(&store), place.1.part(&store))
}

pub(super) fn bad_log(store: &Store, source: impl Into<BadLog>) -> CatalogError {
    CatalogError::Log { url: store.url().to_string(), source: source.into() }
}

/// Who writes: this program.
pub fn writer() -> Writer {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Writer { tool: "git-datamon".to_owned(), version, contributor: None }
}

/// Milliseconds since 1970 by this machine's clock; decides nothing.
pub fn now() -> u64 {
    chance::now()
}

pub(super) fn read(store: &Store, seq: u64) -> Event {
    match store.get(&key::log(seq)) {
        Ok(Some(bytes)) => Event::Read(bytes.to_vec()),
        Ok(None) => Event::Missing,
        Err(_) => Event::Failed,
    }
}

pub(super) fn create(store: &Store, slot: u64, bytes: Vec<u8>) -> Event {
    match store.create_once(&key::log(slot), bytes.into()) {
        Ok(Create::Created) => Event::Created,
        Ok(Create::Exists) => Event::Exists,
        Err(_) => Event::Unclear,
    }
}

/// Create log/0. Entries beyond it mean that it was there and is lost: another one would fork the log (R6).
fn begin_log(store: &Store) -> Result<(), CatalogError> {
    let listed = store.list(key::LOG, "")?;
    let begun = listed.iter().any(|it| key::log_seq(&it.key).is_some());
    if begun && store.get(&key::log(0))?.is_none() {
        return Err(CatalogError::Lost { url: store.url().to_string(), seq: 0 });
    }
    let identity = read_identity(store)?;
    let init = ChangeRecord::new(0, Change::Init { store: identity.store }, writer(), now());
    let (bytes, _) = Entry::first(init.encode()).encode().map_err(|e| bad_log(store, e))?;
    let mut append = Append::first(Rules::ALL, bytes);
    loop {
        let event = match append.action() {
            Action::Create { slot, bytes } => create(store, slot, bytes),
            Action::ReadSlot(slot) => read(store, slot),
            Action::Done(_) | Action::Contended => return Ok(()),
            _ => return Err(CatalogError::Unknown { url: store.url().to_string(), slot: 0 }),
        };
        append.step(event).expect("each event answers its action");
    }
}

pub(super) fn read_identity(store: &Store) -> Result<Identity, CatalogError> {
    let url = || store.url().to_string();
    let bytes = match store.get(key::STORE)? {
        Some(bytes) => bytes,
        None => nothing_there(store)?,
    };
    Identity::decode(&bytes).map_err(|source| CatalogError::Identity { url: url(), source })
}

/// Why there is no `datamon.json`; its bytes, where somebody has made the store meanwhile.
fn nothing_there(store: &Store) -> Result<Bytes, CatalogError> {
    let url = || store.url().to_string();
    if store.size(key::MIRROR)?.is_some() {
        return Err(CatalogError::IsMirror { url: url() });
    }
    if !has_log(store)? {
        return Err(CatalogError::NotAStore { url: url() });
    }
    // `init` writes it before the log.
    store.get(key::STORE)?.ok_or_else(|| CatalogError::Nameless { url: url() })
}

fn has_log(store: &Store) -> Result<bool, StoreError> {
    let listed = || store.list(key::LOG, "");
    let is_there = |listed: Vec<Listed>| listed.iter().any(|it| key::log_seq(&it.key).is_some());
    Ok(store.size(&key::log(0))?.is_some() || is_there(listed()?))
}

/// The position in `log/HEAD`. It is a hint: what is not a position is no hint.
pub(super) fn read_hint(store: &Store) -> Result<Option<u64>, CatalogError> {
    let bytes = store.get(key::HEAD)?.unwrap_or_default();
    Ok(std::str::from_utf8(&bytes).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok()))
}

/// A newer entry than the hint, or the hint itself, which names no entry only in a damaged log (R6).
///
/// Where it costs one request the entries behind the hint are listed. A listing is believed in what it shows: whether more came after
/// is asked for by name.
fn look_ahead(store: &Store, hint: u64) -> Result<u64, CatalogError> {
    let before = hint.checked_sub(1).map_or_else(|| key::LOG.to_owned(), key::log);
    let listed = store.list_first(key::LOG, &before)?.unwrap_or_default();
    let seqs = listed.iter().filter_map(|it| key::log_seq(&it.key));
    let dense = seqs.zip(hint..).take_while(|(seq, next)| seq == next).last();
    match dense {
        Some((newest, _)) => Ok(newest),
        None if store.size(&key::log(hint))?.is_some() => Ok(hint),
        None => Err(CatalogError::Lost { url: store.url().to_string(), seq: hint }),
    }
}

/// The blobs of a checkpoint. Those that were written together are read together, a few packs at a time.
fn checkpoint_frames(
    store: &Store,
    cache: &Cache,
    checkpoint: &Checkpoint,
) -> Result<BTreeMap<Blob, Vec<u8>>, PackError> {
    let mut packs: BTreeMap<PackId, BTreeSet<Blob>> = BTreeMap::new();
    for blob in checkpoint.blobs.values() {
        packs.entry(blob.at.pack).or_default().insert(blob.at);
    }
    let packs: Vec<BTreeSet<Blob>> = packs.into_values().collect();
    let read: Result<Vec<_>, _> =
        packs.into_par_iter().map(|blobs| read_frames(store, cache, blobs)).collect();
    Ok(read?.into_iter().flatten().collect())
}

fn fold(store: &Store, cache: &Cache, seq: u64, bytes: &[u8]) -> Result<(Entry, State), CatalogError> {
    let entry = Entry::decode(seq, bytes).map_err(|e| bad_log(store, e))?;
    let mut blobs = Blobs::new();
    if let Some((_, checkpoint)) = entry.checkpoint().map_err(|e: BadEntry| bad_log(store, e))? {
        let mut frames = checkpoint_frames(store, cache, &checkpoint)?;
        let mut bytes = |blob: &Blob| frames.remove(blob).unwrap_or_default();
        blobs.extend(checkpoint.blobs.iter().map(|(kind, blob)| (kind.clone(), bytes(&blob.at))));
    }
    let state =
        State::open(Rules::ALL, &entry, EntryHash::of(bytes), &blobs).map_err(|e| bad_log(store, e))?;
    Ok((entry, state))
}

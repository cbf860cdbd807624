//! The log in a store: opening, following, committing. This is where the pure parts of the catalog meet requests.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::change::{Change, ChangeRecord, Writer};
use super::checkpoint::Blobs;
use super::entry::{BadEntry, Entry};
use super::fold::BadLog;
use super::head::{self, Holed, NoHead};
use super::identity::{BadIdentity, Identity};
use super::journal::Journal;
use super::lookup::suspects;
use super::rules::Rules;
use super::slot::{Action, Append, Event};
use super::state::{Refusal, State};
use crate::cache::Cache;
use crate::id::{EntryHash, PackId};
use crate::pack::PackError;
use crate::store::{Create, Store, StoreError, key};
use crate::table::{TableError, read_frame};

/// A store whose catalog could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is something, and it is no store.
    #[error(
        "{url} is not a datamon store: run `git datamon init --store {url}` to make one there, or correct the URL"
    )]
    NotAStore {
        /// The store.
        url: String,
    },
    /// `init` found something in the way.
    #[error("{url} has other files ({first}): name an empty directory with `git datamon init --store`")]
    NotEmpty {
        /// The store.
        url: String,
        /// One of them.
        first: String,
    },
    /// Its identity is unusable.
    #[error("the store {url} cannot be used: {source}")]
    Identity {
        /// The store.
        url: String,
        /// Why.
        source: BadIdentity,
    },
    /// Its log is unusable.
    #[error("the store {url} cannot be used: {source}")]
    Log {
        /// The store.
        url: String,
        /// Why.
        source: BadLog,
    },
    /// An entry that must be there is not (R6).
    #[error(
        "the store {url} lacks log entry {seq}, which was there: it was copied, rolled back or damaged; nothing was written. Run `git datamon fsck`"
    )]
    Lost {
        /// The store.
        url: String,
        /// The entry.
        seq: u64,
    },
    /// Entries lie beyond a hole (R6).
    #[error("the store {url} cannot be written: {source}")]
    Holed {
        /// The store.
        url: String,
        /// Where.
        source: Holed,
    },
    /// A pack of the catalog is unusable.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A table is unusable.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The change may not land.
    #[error("the change was refused: {0}")]
    Refused(#[from] Refusal),
    /// Others were faster a thousand times.
    #[error("the store {url} is so busy that nothing could be committed: run the command again")]
    Contended {
        /// The store.
        url: String,
    },
    /// No clear answer (R17).
    #[error(
        "the store {url} gave no clear answer about log entry {slot}: whether the change landed is unknown. Run the command again; it resolves that first"
    )]
    Unknown {
        /// The store.
        url: String,
        /// The slot.
        slot: u64,
    },
    /// The journal cannot be written, so nothing is sent.
    #[error("cannot write the journal: {0}; free space in your state directory and run the command again")]
    Journal(std::io::Error),
}

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
    pub(super) suspects: BTreeSet<PackId>,
    journal: Journal,
    /// Whether the log was followed from an entry this machine had seen before; else a writer lists once (R6).
    proven: bool,
}

impl Catalog {
    /// Make a new store: probe the backend, create `datamon.json` and log/0. A store that is there already is opened.
    pub fn create(store: Store, cache: Cache, journal: Journal) -> Result<Catalog, CatalogError> {
        if store.get(key::STORE)?.is_none() {
            if let Some(found) = store.list("", "")?.iter().find(|it| !it.key.starts_with("probe/")) {
                return Err(CatalogError::NotEmpty {
                    url: store.url().to_string(),
                    first: found.key.clone(),
                });
            }
            cache.clear();
            store.probe()?;
            let identity = Identity::new();
            // Two inits at once: one creates, the other finds it there and opens it.
            store.create_once(key::STORE, identity.encode().into())?;
        }
        // An init that died between the two objects is finished by the next one.
        if store.get(&key::log(0))?.is_none() {
            let identity = read_identity(&store)?;
            let init = ChangeRecord::new(0, Change::Init { store: identity.store }, writer(), now());
            let (bytes, _) = Entry::first(init.encode()).encode().map_err(|e| bad_log(&store, e))?;
            let mut append = Append::first(Rules::ALL, bytes);
            loop {
                let event = match append.action() {
                    Action::Create { slot, bytes } => create(&store, slot, bytes),
                    Action::ReadSlot(slot) => read(&store, slot),
                    Action::Done(_) | Action::Contended => break,
                    _ => return Err(CatalogError::Unknown { url: store.url().to_string(), slot: 0 }),
                };
                append.step(event).expect("each event answers its action");
            }
        }
        Catalog::open(store, cache, journal)
    }

    /// Open the store to read: with a warm cache one GET, the 404 after the newest entry.
    pub fn open(store: Store, cache: Cache, journal: Journal) -> Result<Catalog, CatalogError> {
        if let Some(catalog) = Self::open_warm(&store, &cache, &journal)? {
            return Ok(catalog);
        }
        let identity = read_identity(&store)?;
        cache.put("identity", &identity.encode());
        let cache = cache.part(&identity.store.to_string());
        let hint = read_hint(&store)?;
        let found = head::find(hint, |seq| store.size(&key::log(seq)).map(|size| size.is_some()));
        let seq = found.map_err(|e| match e {
            NoHead::Probe(error) => CatalogError::Store(error),
            NoHead::NoLog => CatalogError::Lost { url: store.url().to_string(), seq: 0 },
        })?;
        let lost = || CatalogError::Lost { url: store.url().to_string(), seq };
        let bytes = store.get(&key::log(seq))?.ok_or_else(lost)?;
        let (head, state) = fold(&store, &cache, seq, &bytes)?;
        let suspects = suspects(&cache);
        let catalog = Catalog { store, cache, identity, state, head, suspects, journal, proven: false };
        catalog.remember(&bytes);
        Ok(catalog)
    }

    fn open_warm(store: &Store, cache: &Cache, journal: &Journal) -> Result<Option<Catalog>, CatalogError> {
        let Some(identity) = cache.get("identity").and_then(|bytes| Identity::decode(&bytes).ok()) else {
            return Ok(None);
        };
        let own = cache.part(&identity.store.to_string());
        let Some(kept) = own.get("head") else { return Ok(None) };
        let Some((seq, bytes)) = kept.split_first_chunk::<8>() else { return Ok(None) };
        let Ok((head, state)) = fold(store, &own, u64::from_le_bytes(*seq), bytes) else { return Ok(None) };
        let (store, journal) = (store.clone(), journal.clone());
        let suspects = suspects(&own);
        let mut catalog =
            Catalog { store, cache: own, identity, state, head, suspects, journal, proven: true };
        match catalog.refresh() {
            Ok(()) => Ok(Some(catalog)),
            // The place may hold another store by now; if it does, what is kept here is of no use.
            Err(CatalogError::Log { source: BadLog::Fork { .. }, .. } | CatalogError::Lost { .. })
                if read_identity(&catalog.store)?.store != catalog.identity.store =>
            {
                cache.clear();
                Ok(None)
            }
            Err(error) => {
                if matches!(error, CatalogError::Log { source: BadLog::Fork { .. }, .. }) {
                    cache.clear();
                }
                Err(error)
            }
        }
    }

    /// Go on to the newest entry.
    pub fn refresh(&mut self) -> Result<(), CatalogError> {
        let known = self.head.seq();
        let store = self.store.clone();
        let mut newest: Option<(u64, Bytes)> = None;
        let found = head::find(Some(known), |seq| {
            let bytes = store.get(&key::log(seq))?;
            let there = bytes.is_some();
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
        match newest {
            Some((seq, bytes)) => self.follow(seq, &bytes),
            None => Ok(()),
        }
    }

    /// Take in the entry at `seq`, which is newer than what was seen.
    fn follow(&mut self, seq: u64, bytes: &Bytes) -> Result<(), CatalogError> {
        let entry = Entry::decode(seq, bytes).map_err(|e| self.bad(e))?;
        match self.state.follow(&entry, EntryHash::of(bytes)) {
            Ok(()) => self.head = entry,
            Err(BadLog::Gap(_)) => (self.head, self.state) = fold(&self.store, &self.cache, seq, bytes)?,
            Err(error) => return Err(self.bad(error)),
        }
        self.remember(bytes);
        Ok(())
    }

    fn remember(&self, bytes: &[u8]) {
        self.cache.put("head", &[&self.head.seq().to_le_bytes()[..], bytes].concat());
    }

    /// Commit `record`: durable and seen by everybody on return. On a refusal nothing of it is in the log.
    pub fn commit(&mut self, record: &ChangeRecord) -> Result<Landed, CatalogError> {
        self.resume()?;
        let change = record.encode();
        let mut append = Append::new(Rules::ALL, self.state.next());
        self.prove()?;
        let mut sent = Bytes::new();
        loop {
            let event = match append.action() {
                Action::ReadPrev(seq) | Action::ReadSlot(seq) => read(&self.store, seq),
                Action::Check { slot, prev } => {
                    self.catch_up(slot, &prev.into())?;
                    self.state.check(record)?;
                    let hash = self.state.head_hash().expect("set when an entry is followed");
                    let next = self.head.next(hash, change.clone(), Rules::ALL).map_err(|e| self.bad(e))?;
                    let (bytes, _) = next.encode().map_err(|e| self.bad(e))?;
                    self.journal.write(slot, &bytes).map_err(CatalogError::Journal)?;
                    sent = bytes.clone().into();
                    Event::Built(bytes)
                }
                Action::Create { slot, bytes } => create(&self.store, slot, bytes),
                Action::Done(seq) => {
                    self.journal.clear();
                    self.follow(seq, &sent)?;
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
                    self.cache.clear();
                    return Err(self.lost(seq));
                }
            };
            append.step(event).expect("each event answers its action");
        }
    }

    /// `prev` was read from the store as the entry before `slot`: it is the head, or leads to it (R6).
    fn catch_up(&mut self, slot: u64, prev: &Bytes) -> Result<(), CatalogError> {
        let hash = EntryHash::of(prev);
        if self.state.next() == slot {
            if self.state.head_hash() == Some(hash) {
                return Ok(());
            }
            self.cache.clear();
            return Err(self.bad(BadLog::Fork { seq: slot.saturating_sub(1) }));
        }
        self.follow(slot - 1, prev)
    }

    /// A writer that found the head by probing lists once what lies beyond: any entry there is damage (R6).
    fn prove(&mut self) -> Result<(), CatalogError> {
        if !self.proven {
            let head = self.head.seq();
            let listed = self.store.list(key::LOG, &key::log(head))?;
            let beyond: Vec<u64> = listed.iter().filter_map(|it| key::log_seq(&it.key)).collect();
            // Entries may have landed since: a dense run after the head is news, not damage.
            let news = beyond.iter().enumerate().all(|(i, seq)| *seq == head + 1 + i as u64);
            if !news {
                head::refuse_beyond(head, beyond)
                    .map_err(|source| CatalogError::Holed { url: self.store.url().to_string(), source })?;
            }
            self.proven = true;
        }
        Ok(())
    }

    /// Resolve slots that a process of this machine left open (R5).
    fn resume(&mut self) -> Result<(), CatalogError> {
        for (slot, bytes, path) in self.journal.left() {
            let mut append = Append::resume(Rules::ALL, slot, bytes);
            loop {
                let event = match append.action() {
                    Action::ReadSlot(slot) => read(&self.store, slot),
                    Action::Create { slot, bytes } => create(&self.store, slot, bytes),
                    Action::OutcomeUnknown(slot) => {
                        return Err(CatalogError::Unknown { url: self.store.url().to_string(), slot });
                    }
                    // Landed, or the slot is somebody else's: what the process wanted is done again by whoever asks for it.
                    _ => break,
                };
                append.step(event).expect("each event answers its action");
            }
            let _ = std::fs::remove_file(path);
        }
        Ok(())
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

    fn lost(&self, seq: u64) -> CatalogError {
        CatalogError::Lost { url: self.store.url().to_string(), seq }
    }

    pub(super) fn bad(&self, source: impl Into<BadLog>) -> CatalogError {
        bad_log(&self.store, source)
    }
}

fn bad_log(store: &Store, source: impl Into<BadLog>) -> CatalogError {
    CatalogError::Log { url: store.url().to_string(), source: source.into() }
}

/// Who writes: this program.
pub fn writer() -> Writer {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Writer { tool: "git-datamon".to_owned(), version, contributor: None }
}

/// Milliseconds since 1970 by this machine's clock; decides nothing.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn read(store: &Store, seq: u64) -> Event {
    match store.get(&key::log(seq)) {
        Ok(Some(bytes)) => Event::Read(bytes.to_vec()),
        Ok(None) => Event::Missing,
        Err(_) => Event::Failed,
    }
}

fn create(store: &Store, slot: u64, bytes: Vec<u8>) -> Event {
    match store.create_once(&key::log(slot), bytes.into()) {
        Ok(Create::Created) => Event::Created,
        Ok(Create::Exists) => Event::Exists,
        Err(_) => Event::Unclear,
    }
}

fn read_identity(store: &Store) -> Result<Identity, CatalogError> {
    let url = || store.url().to_string();
    let bytes = store.get(key::STORE)?.ok_or_else(|| CatalogError::NotAStore { url: url() })?;
    Identity::decode(&bytes).map_err(|source| CatalogError::Identity { url: url(), source })
}

/// The position in `log/HEAD`. It is a hint: what is not a position is no hint, and one that names no entry is damage (R6).
fn read_hint(store: &Store) -> Result<Option<u64>, CatalogError> {
    let Some(bytes) = store.get(key::HEAD)? else { return Ok(None) };
    let Some(seq) =
        std::str::from_utf8(&bytes).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
    else {
        return Ok(None);
    };
    match store.size(&key::log(seq))? {
        Some(_) => Ok(Some(seq)),
        None => Err(CatalogError::Lost { url: store.url().to_string(), seq }),
    }
}

fn fold(store: &Store, cache: &Cache, seq: u64, bytes: &[u8]) -> Result<(Entry, State), CatalogError> {
    let entry = Entry::decode(seq, bytes).map_err(|e| bad_log(store, e))?;
    let mut blobs = Blobs::new();
    if let Some((_, checkpoint)) = entry.checkpoint().map_err(|e: BadEntry| bad_log(store, e))? {
        for (kind, blob) in &checkpoint.blobs {
            blobs.insert(kind.clone(), read_frame(store, cache, &blob.at)?);
        }
    }
    let state =
        State::open(Rules::ALL, &entry, EntryHash::of(bytes), &blobs).map_err(|e| bad_log(store, e))?;
    Ok((entry, state))
}

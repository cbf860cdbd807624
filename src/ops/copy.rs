//! Copy: a whole store to another place, as a store of its own (ADR 18).
//!
//! What names comes after what is named: data packs, meta packs, then the log entry by entry, and at last `datamon.json`, with which
//! the place becomes a store. It has a new id (R6): the original stays where it is and may go on, and two logs must not have one name.
//! The list of packs is that of the log, not of a listing; what came in meanwhile is copied in another round. A copy that was
//! interrupted is gone on with, and so is one that has become a store and was not written to since.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::thread;

use crate::catalog::identity::BadIdentity;
use crate::catalog::{Catalog, CatalogError, Identity};
use crate::id::{PackId, PackKind};
use crate::progress::Progress;
use crate::store::{Create, Store, StoreError, key};

/// Objects on their way at a time: packs are up to 64 MiB.
const AT_ONCE: usize = 3;

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Objects written.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there already.
    pub was_there: u64,
}

/// Why a store was not copied.
#[derive(Debug, thiserror::Error)]
pub enum NotCopied {
    /// One of the two does not answer, or is damaged.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Another store is there.
    #[error("{url} holds another store: name a place where nothing is")]
    Another {
        /// Where.
        url: String,
    },
    /// The copy has a history of its own by now.
    #[error("{url} is a copy of this store that was written to since: nothing was changed there")]
    Diverged {
        /// Where.
        url: String,
    },
    /// Something else is there.
    #[error("{url} is not empty: {key} is none of the store's objects; name a place where nothing is")]
    NotEmpty {
        /// Where.
        url: String,
        /// What.
        key: String,
    },
}

impl From<StoreError> for NotCopied {
    fn from(error: StoreError) -> Self {
        NotCopied::Catalog(error.into())
    }
}

/// What a place holds before the copy.
struct Place {
    /// Sizes by key.
    there: HashMap<String, u64>,
    /// Whether it is a store already: then somebody may read its log as it grows.
    is_store: bool,
    /// The first entry that it lacks for certain.
    next: u64,
}

/// Copy the store to a place that is empty, or holds a part of the same copy.
pub fn copy(from: &mut Catalog, to: &Store, progress: &dyn Progress) -> Result<Copied, NotCopied> {
    from.refresh()?;
    let place = look(from, to)?;
    to.probe()?;
    let mut done = Copied::default();
    let mut copied: BTreeSet<PackId> = BTreeSet::new();
    let mut next = place.next;
    loop {
        // Read before the head, so that it names nothing behind it (a hint may stop a writer).
        let hint = from.store().get(key::HEAD)?;
        from.refresh()?;
        for kind in [PackKind::Data, PackKind::Meta] {
            let packs =
                from.state().packs().iter().filter(|(id, info)| info.kind == kind && !copied.contains(id));
            let keys = packs.map(|(id, info)| (key::pack(kind, *id), Some(info.size))).collect();
            carry(from.store(), to, keys, &place.there, AT_ONCE, progress, &mut done)?;
        }
        copied.extend(from.state().packs().keys());
        let head = from.head().seq();
        let entries = (next..=head).map(|seq| (key::log(seq), None)).collect();
        // Who reads a log while it grows must find it dense.
        let at_once = if place.is_store { 1 } else { AT_ONCE };
        carry(from.store(), to, entries, &HashMap::new(), at_once, progress, &mut done)?;
        next = head + 1;
        if let Some(hint) = hint {
            to.overwrite(key::HEAD, hint.into())?;
        }
        from.refresh()?;
        if from.head().seq() == head {
            break;
        }
    }
    if !place.is_store {
        let identity = Identity { store: Identity::new().store, ..from.identity().clone() };
        if to.create_shared(key::STORE, &identity.encode().into())? == Create::Exists {
            look(from, to)?;
        }
    }
    Ok(done)
}

/// What is there already, if all of it is of this copy.
fn look(from: &Catalog, to: &Store) -> Result<Place, NotCopied> {
    let url = || to.url().to_string();
    let listed = to.list("", "")?;
    let there: HashMap<String, u64> = listed.into_iter().map(|it| (it.key, it.size)).collect();
    let newest = there.keys().filter_map(|key| key::log_seq(key)).max();
    let Some(identity) = to.get(key::STORE)? else {
        let sizes = from.state().packs();
        let ours = |key: &str, size: u64| match key::pack_id(key) {
            Some((kind, id)) => sizes.get(&id).is_some_and(|info| (info.kind, info.size) == (kind, size)),
            None => key::log_seq(key).is_some() || key == key::HEAD || key.starts_with("probe/"),
        };
        if let Some((key, _)) = there.iter().find(|(key, size)| !ours(key, **size)) {
            return Err(NotCopied::NotEmpty { url: url(), key: key.clone() });
        }
        return Ok(Place { there, is_store: false, next: 0 });
    };
    let bad = |source: BadIdentity| CatalogError::Identity { url: url(), source };
    let identity = Identity::decode(&identity).map_err(bad)?;
    // The first entry has a nonce: no other log begins with it.
    let first = (to.get(&key::log(0))?, from.store().get(&key::log(0))?);
    if identity.store == from.identity().store || first.0.is_none() || first.0 != first.1 {
        return Err(NotCopied::Another { url: url() });
    }
    // Each entry has the hash of the one before it.
    let last = key::log(newest.unwrap_or(0));
    let same = to.get(&last)? == from.store().get(&last)?;
    if newest > Some(from.head().seq()) || !same {
        return Err(NotCopied::Diverged { url: url() });
    }
    Ok(Place { there, is_store: true, next: newest.map_or(0, |newest| newest + 1) })
}

/// Copies objects that are not there, some at a time, each with the size that it must have.
fn carry(
    from: &Store,
    to: &Store,
    keys: Vec<(String, Option<u64>)>,
    there: &HashMap<String, u64>,
    at_once: usize,
    progress: &dyn Progress,
    done: &mut Copied,
) -> Result<(), StoreError> {
    let queue = Mutex::new(keys.into_iter());
    let outcome: Mutex<(Copied, Option<StoreError>)> = Mutex::new((*done, None));
    let work = || {
        while let Some((key, size)) = queue.lock().expect("no holder of this lock panics").next() {
            let known = size.is_some() && there.get(&key).copied() == size;
            let written = if known { Ok(0) } else { carry_one(from, to, &key, size) };
            progress.add(size.unwrap_or(0));
            let mut outcome = outcome.lock().expect("no holder of this lock panics");
            match written {
                Ok(0) => outcome.0.was_there += 1,
                Ok(bytes) => {
                    outcome.0.objects += 1;
                    outcome.0.bytes += bytes;
                }
                Err(error) => outcome.1 = Some(error),
            }
            if outcome.1.is_some() {
                return;
            }
        }
    };
    thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    let (copied, failed) = outcome.into_inner().expect("no holder of this lock panics");
    *done = copied;
    failed.map_or(Ok(()), Err)
}

fn carry_one(from: &Store, to: &Store, key: &str, size: Option<u64>) -> Result<u64, StoreError> {
    let missing = || StoreError::Missing { url: from.url().to_string(), key: key.to_owned() };
    let bytes = from.get(key)?.ok_or_else(missing)?;
    let got = bytes.len() as u64;
    if let Some(wanted) = size.filter(|wanted| *wanted != got) {
        return Err(StoreError::Short { url: from.url().to_string(), key: key.to_owned(), wanted, got });
    }
    to.create_own(key, bytes.into())?;
    Ok(got)
}

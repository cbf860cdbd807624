//! Mirror: the objects of a store at another place, under the same names, kept up by the log (ADR 20).
//!
//! A mirror is no store: it has no `datamon.json`, so nobody pushes to it, and a log that two write to cannot come about. `mirror.json`
//! says of which store it is. Who reads asks it for what the store does not give (`store/copies`).
//!
//! What names comes after what is named, so that the log of a mirror never leads to a pack that it was not given. The log is copied entry by
//! entry and its newest entry says what is there already: what an entry after it added is copied, and what one after it lets go of (a
//! Forget) is removed. Every pack is verified before it is written: a damaged one would take the place of a sound one for ever. It is
//! passed over and told of, and copied when everything is compared again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use rayon::prelude::*;

use crate::catalog::identity::BadIdentity;
use crate::catalog::{Catalog, CatalogError, Change, Identity, head};
use crate::id::{PackId, PackKind, StoreId};
use crate::pack::{PackInfo, verify_bytes};
use crate::progress::Progress;
use crate::store::{Create, Store, StoreError, key};

/// Why a place is no mirror of a store.
#[derive(Debug, thiserror::Error)]
pub enum NotMirrored {
    /// One of the two does not answer, or is damaged.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// There is a store.
    #[error("{url} is a store itself: name a place where nothing is")]
    IsStore {
        /// Where.
        url: String,
    },
    /// A mirror of something else is there.
    #[error("{url} is a mirror of another store ({store}): name a place where nothing is")]
    Another {
        /// Where.
        url: String,
        /// Of which store.
        store: StoreId,
    },
    /// Something else is there.
    #[error("{url} is not empty ({key} is there): name a place where nothing is")]
    NotEmpty {
        /// Where.
        url: String,
        /// What.
        key: String,
    },
    /// There is no mirror.
    #[error("{url} is no mirror of any store: `git datamon mirror list` shows those that there are")]
    None {
        /// Where.
        url: String,
    },
    /// Its first copy was never complete.
    #[error(
        "{url} is a mirror that was never complete: `git datamon mirror sync` goes on, while the store is there"
    )]
    Unfinished {
        /// Where.
        url: String,
    },
    /// It has entries that the store has not.
    #[error(
        "entry {seq} of the log is another one in the mirror {url} than in the store, or only there: one of the two was rolled back or damaged; nothing was changed. Run `git datamon fsck`; if the store is right, mirror it to a place where nothing is"
    )]
    Diverged {
        /// Where.
        url: String,
        /// The newest entry of the mirror.
        seq: u64,
    },
}

impl From<StoreError> for NotMirrored {
    fn from(error: StoreError) -> Self {
        NotMirrored::Catalog(error.into())
    }
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// Objects written.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that were there.
    pub was_there: u64,
    /// Packs removed, which the store has let go of.
    pub removed: u64,
    /// The newest entry that the mirror has now.
    pub head: u64,
    /// Packs that the store cannot give as they were written, and why: the mirror lacks them.
    pub lacking: Vec<(String, String)>,
}

/// How far a mirror is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its newest entry; none before the first copy was complete.
    pub head: Option<u64>,
    /// Entries of the store that it lacks.
    pub behind: u64,
}

/// Makes a store of a mirror whose store is lost: with an id of its own, as the lost one may come back (R6).
pub fn promote(place: &Store) -> Result<StoreId, NotMirrored> {
    let url = || place.url().to_string();
    if place.get(key::STORE)?.is_some() {
        return Err(NotMirrored::IsStore { url: url() });
    }
    let Some(bytes) = place.get(key::MIRROR)? else { return Err(NotMirrored::None { url: url() }) };
    let bad = |source: BadIdentity| CatalogError::Identity { url: url(), source };
    let identity = Identity { store: Identity::new().store, ..Identity::decode(&bytes).map_err(bad)? };
    if newest(place)?.is_none() {
        return Err(NotMirrored::Unfinished { url: url() });
    }
    place.probe()?;
    if place.create_shared(key::STORE, &identity.encode().into())? == Create::Exists {
        return Err(NotMirrored::IsStore { url: url() });
    }
    place.delete(key::MIRROR)?;
    Ok(identity.store)
}

/// How far the mirror at a place is; it has to be one of this store.
pub fn standing(from: &Catalog, to: &Store) -> Result<Standing, NotMirrored> {
    let newest = if is_mirror(from, to)? { newest(to)? } else { None };
    let entries = from.head().seq() + 1;
    let there = newest.map_or(0, |newest| newest + 1);
    Ok(Standing { head: newest, behind: entries.saturating_sub(there) })
}

/// Copies what the mirror lacks, by what the log says since its newest entry; `all` compares every pack.
pub fn sync(
    from: &mut Catalog,
    to: &Store,
    all: bool,
    progress: &dyn Progress,
) -> Result<Synced, NotMirrored> {
    from.refresh()?;
    begin(from, to)?;
    let newest = newest(to)?;
    if let Some(newest) = newest {
        check_same(from, to, newest)?;
    }
    let mut done = Synced::default();
    let mut next = newest.map_or(0, |newest| newest + 1);
    let mut all = all || newest.is_none();
    loop {
        let head = from.head().seq();
        let packs = match all {
            true => from.state().packs().iter().map(|(id, info)| (*id, *info)).collect(),
            false => added_since(from, next)?,
        };
        carry(from.store(), to, &packs, all, progress, &mut done)?;
        for pack in if newest.is_some() { forgotten_since(from, next)? } else { vec![] } {
            for kind in [PackKind::Data, PackKind::Meta] {
                to.delete(&key::pack(kind, pack))?;
            }
            done.removed += 1;
        }
        for seq in next..=head {
            let bytes = from
                .store()
                .get(&key::log(seq))?
                .ok_or_else(|| CatalogError::Lost { url: from.store().url().to_string(), seq })?;
            (done.objects, done.bytes) = (done.objects + 1, done.bytes + bytes.len() as u64);
            to.create_own(&key::log(seq), bytes.into())?;
        }
        if head >= next {
            to.overwrite(key::HEAD, format!("{head:016x}\n").into())?;
        }
        (next, all, done.head) = (head + 1, false, head);
        from.refresh()?;
        if from.head().seq() == head {
            return Ok(done);
        }
    }
}

/// Whether a mirror of this store is there already.
fn is_mirror(from: &Catalog, to: &Store) -> Result<bool, NotMirrored> {
    let url = || to.url().to_string();
    if to.get(key::STORE)?.is_some() {
        return Err(NotMirrored::IsStore { url: url() });
    }
    let Some(bytes) = to.get(key::MIRROR)? else { return Ok(false) };
    let bad = |source: BadIdentity| CatalogError::Identity { url: url(), source };
    let store = Identity::decode(&bytes).map_err(bad)?.store;
    if store == from.identity().store { Ok(true) } else { Err(NotMirrored::Another { url: url(), store }) }
}

/// The place is a mirror of this store from now on.
fn begin(from: &Catalog, to: &Store) -> Result<(), NotMirrored> {
    if is_mirror(from, to)? {
        return Ok(());
    }
    if let Some(found) = to.list("", "")?.into_iter().find(|it| !it.key.starts_with(key::PROBE)) {
        return Err(NotMirrored::NotEmpty { url: to.url().to_string(), key: found.key });
    }
    to.probe()?;
    if to.create_shared(key::MIRROR, &from.identity().encode().into())? == Create::Exists {
        is_mirror(from, to)?;
    }
    Ok(())
}

/// The newest entry of a mirror, none before its first copy was complete: only then it has a hint.
fn newest(to: &Store) -> Result<Option<u64>, NotMirrored> {
    let hint = to.get(key::HEAD)?.unwrap_or_default();
    let hint = std::str::from_utf8(&hint).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    let Some(hint) = hint else { return Ok(None) };
    match head::find(Some(hint), |seq| to.size(&key::log(seq)).map(|size| size.is_some())) {
        Ok(newest) => Ok(Some(newest)),
        Err(head::NoHead::Probe(error)) => Err(error.into()),
        Err(head::NoHead::NoLog) => Ok(None),
    }
}

/// Each entry has the hash of the one before it: if the newest is the same, all are.
fn check_same(from: &Catalog, to: &Store, newest: u64) -> Result<(), NotMirrored> {
    let there = to.get(&key::log(newest))?;
    match newest <= from.head().seq() && there.is_some() && there == from.store().get(&key::log(newest))? {
        true => Ok(()),
        false => Err(NotMirrored::Diverged { url: to.url().to_string(), seq: newest }),
    }
}

/// Packs that entries from `next` on added, and that the store has still.
fn added_since(from: &Catalog, next: u64) -> Result<BTreeMap<PackId, PackInfo>, CatalogError> {
    let Some(before) = next.checked_sub(1) else { return Ok(BTreeMap::new()) };
    let records = from.since(before)?;
    let added = records.into_iter().flat_map(|(_, record)| record.added);
    Ok(added.filter(|(pack, _)| from.state().packs().contains_key(pack)).collect())
}

/// Packs that entries from `next` on let go of.
fn forgotten_since(from: &Catalog, next: u64) -> Result<Vec<PackId>, CatalogError> {
    let Some(before) = next.checked_sub(1) else { return Ok(vec![]) };
    let forgets = from.since(before)?.into_iter().filter_map(|(_, record)| match record.change {
        Change::Forget(forget) => Some(forget.packs),
        _ => None,
    });
    Ok(forgets.flatten().collect())
}

/// Copies packs that are not there, data before what names it.
fn carry(
    from: &Store,
    to: &Store,
    packs: &BTreeMap<PackId, PackInfo>,
    all: bool,
    progress: &dyn Progress,
    done: &mut Synced,
) -> Result<(), StoreError> {
    // One by one it is asked for where they are few.
    let listed: Option<HashMap<String, u64>> = match all {
        true => {
            let both = [key::DATA, key::META].map(|folder| to.list(folder, ""));
            let both = both.into_iter().collect::<Result<Vec<_>, _>>()?;
            Some(both.into_iter().flatten().map(|it| (it.key, it.size)).collect())
        }
        false => None,
    };
    let size_there = |key: &str| match &listed {
        Some(listed) => Ok(listed.get(key).copied()),
        None => to.size(key),
    };
    let done = Mutex::new(done);
    for kind in [PackKind::Data, PackKind::Meta] {
        let some: Vec<_> = packs.iter().filter(|(_, info)| info.kind == kind).collect();
        some.into_par_iter().try_for_each(|(pack, info)| {
            let name = key::pack(kind, *pack);
            let copied = match size_there(&name)? == Some(info.size) {
                true => None,
                false => Some(carry_one(from, to, *pack, *info)?),
            };
            progress.add(info.size);
            let mut done = done.lock().expect("no holder of this lock panics");
            match copied {
                None => done.was_there += 1,
                Some(Ok(())) => (done.objects, done.bytes) = (done.objects + 1, done.bytes + info.size),
                Some(Err(why)) => done.lacking.push((name, why)),
            }
            Ok::<(), StoreError>(())
        })?;
    }
    Ok(())
}

/// Copies a pack that is as it was written; else why it is not.
fn carry_one(
    from: &Store,
    to: &Store,
    pack: PackId,
    info: PackInfo,
) -> Result<Result<(), String>, StoreError> {
    let name = key::pack(info.kind, pack);
    let bytes = match from.get(&name) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err("the store lacks it".to_owned())),
        Err(error) if error.is_archived() => return Ok(Err(error.to_string())),
        Err(error) => return Err(error),
    };
    if let Err(error) = verify_bytes(&bytes, pack, info) {
        return Ok(Err(error.to_string()));
    }
    to.create_own(&name, bytes.into())?;
    Ok(Ok(()))
}

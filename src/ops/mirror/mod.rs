//! Mirror: the objects of a store at another place, under the same names, kept up by the log (ADR 20).
//!
//! A mirror is no store: it has no `datamon.json`, so nobody pushes to it, and a log that two write to cannot come about. `mirror.json`
//! says of which store it is. Who reads asks it for what the store does not give (`store/copies`).
//!
//! What names comes after what is named, so that the log of a mirror never leads to a pack that it was not given. The log is copied entry by
//! entry and its newest entry says what is there already: what an entry after it added is copied, and what one after it lets go of (a
//! Forget) is removed right before that entry is copied. Whatever is written is verified before: something damaged would take the place of
//! what is sound for ever. A damaged pack is passed over and told of, and a mark is left in the mirror before its log leads there, so that
//! the next copy compares everything, whoever is killed in between.

mod promote;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;

use bytes::Bytes;
use rayon::prelude::*;

use crate::catalog::fold::BadLog;
use crate::catalog::identity::BadIdentity;
use crate::catalog::{Catalog, CatalogError, Change, Entry, Identity, head};
use crate::id::{Nonce, PackId, PackKind, StoreId};
use crate::pack::{PackInfo, verify_bytes};
use crate::progress::Progress;
use crate::store::{Store, StoreError, key};

pub use promote::{Promoted, promote};

/// Times that a pack is read that is not as it was written.
const READS: usize = 2;

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
    /// Whether an earlier copy had to pass over packs that its entries lead to.
    pub lacking: bool,
}

/// How far the mirror at a place is; it has to be one of this store.
pub fn standing(from: &Catalog, to: &Store) -> Result<Standing, NotMirrored> {
    let had = if is_mirror(from, to)? { Had::of(to)? } else { Had::default() };
    let head = had.newest.filter(|_| had.is_complete());
    let entries = from.head().seq() + 1;
    let there = head.map_or(0, |newest| newest + 1);
    Ok(Standing { head, behind: entries.saturating_sub(there), lacking: !had.marks.is_empty() })
}

/// Copies what the mirror lacks, by what the log says since its newest entry; `all` compares every pack.
pub fn sync(
    from: &mut Catalog,
    to: &Store,
    all: bool,
    progress: &dyn Progress,
) -> Result<Synced, NotMirrored> {
    begin(from, to)?;
    // Others copy too: what is there is looked at before the store is, or it would be ahead of what is seen of the store.
    let had = Had::of(to)?;
    let mut all = all || !had.has_hint || !had.marks.is_empty();
    let there = if all { Some(stock(to)?) } else { None };
    from.refresh()?;
    if let Some(newest) = had.newest {
        check_same(from, to, newest)?;
        if had.is_complete() && !had.has_hint {
            put_hint(to, newest)?;
        }
    }
    let mut done = Synced::default();
    // Without a hint nothing says how far all that the entries lead to is there, and that none of them lacks.
    let mut next = had.newest.filter(|_| had.has_hint).map_or(0, |newest| newest + 1);
    let mut mark = None;
    loop {
        let head = from.head().seq();
        let (added, gone) = added_since(from, next)?;
        let packs = if all { from.state().packs() } else { &added };
        carry(from.store(), to, packs, there.as_ref().filter(|_| all), progress, &mut done)?;
        // Until all entries are there, some may lead to what is given up, or lies elsewhere by now; and what an interrupted first copy left
        // is looked for at the end.
        let unsure = gone || !had.has_hint || !done.lacking.is_empty();
        if unsure && mark.is_none() {
            mark = Some(leave_mark(to)?);
        }
        if next <= head {
            // Who makes a store of the place sees the mark then, or is seen here.
            refuse_store(to)?;
            carry_log(from, to, next..=head, had.has_hint, &mut done)?;
        }
        (next, all, done.head) = (head + 1, false, head);
        from.refresh()?;
        if from.head().seq() == head {
            break;
        }
    }
    if let Some(there) = &there {
        remove_forgotten(from, to, there)?;
    }
    // What a collection took meanwhile is no loss.
    let known = |name: &str| key::pack_id(name).is_some_and(|(_, id)| from.state().packs().contains_key(&id));
    done.lacking.retain(|(name, _)| known(name));
    let answered = had.marks.into_iter().chain(mark.filter(|_| done.lacking.is_empty()));
    answered.into_iter().try_for_each(|mark| to.delete(&mark))?;
    Ok(done)
}

/// What there is of a copy before this one.
#[derive(Debug, Default)]
struct Had {
    /// The newest entry.
    newest: Option<u64>,
    /// Whether `log/HEAD` leads there: it is written when a first copy is complete.
    has_hint: bool,
    /// What says that the mirror lacks a pack that its log leads to.
    marks: Vec<String>,
}

impl Had {
    /// The entries are looked at before the marks are: who copies for the first time leaves a mark, then entries, then a hint, and takes
    /// the mark away then.
    fn of(to: &Store) -> Result<Had, StoreError> {
        let hint = to.get(key::HEAD)?.unwrap_or_default();
        let hint = std::str::from_utf8(&hint).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
        let there = |seq| to.size(&key::log(seq)).map(|size| size.is_some());
        // It has no checksum: one that leads nowhere is no hint.
        let hint = match hint {
            Some(hint) if there(hint)? => Some(hint),
            _ => None,
        };
        let known = match hint {
            Some(hint) => Some(hint),
            None => head::newest(to.list(key::LOG, "")?.iter().filter_map(|it| key::log_seq(&it.key))),
        };
        let newest = known.map(|known| match head::find(Some(known), there) {
            Ok(newest) => Ok(newest),
            Err(head::NoHead::Probe(error)) => Err(error),
            Err(head::NoHead::NoLog) => Ok(known),
        });
        Ok(Had { newest: newest.transpose()?, has_hint: hint.is_some(), marks: marks(to)? })
    }

    /// Whether a first copy was complete. Where there are entries and neither a hint nor a mark, the hint was lost since.
    fn is_complete(&self) -> bool {
        self.has_hint || (self.newest.is_some() && self.marks.is_empty())
    }
}

/// Says where the newest entry is.
fn put_hint(to: &Store, newest: u64) -> Result<(), StoreError> {
    to.overwrite(key::HEAD, format!("{newest:016x}\n").into())
}

/// Whether a mirror of this store is there already.
fn is_mirror(from: &Catalog, to: &Store) -> Result<bool, NotMirrored> {
    refuse_store(to)?;
    let url = || to.url().to_string();
    let Some(bytes) = to.get(key::MIRROR)? else { return Ok(false) };
    let bad = |source: BadIdentity| CatalogError::Identity { url: url(), source };
    let store = Identity::decode(&bytes).map_err(bad)?.store;
    if store == from.identity().store { Ok(true) } else { Err(NotMirrored::Another { url: url(), store }) }
}

/// Somebody may have made a store of the place.
fn refuse_store(to: &Store) -> Result<(), NotMirrored> {
    match to.size(key::STORE)? {
        Some(_) => Err(NotMirrored::IsStore { url: to.url().to_string() }),
        None => Ok(()),
    }
}

/// The place is a mirror of this store from now on.
fn begin(from: &Catalog, to: &Store) -> Result<(), NotMirrored> {
    if is_mirror(from, to)? {
        return Ok(());
    }
    if let Some(found) = to.list("", "")?.into_iter().find(|it| !it.key.starts_with(key::PROBE)) {
        // It may have become one meanwhile.
        return match is_mirror(from, to)? {
            true => Ok(()),
            false => Err(NotMirrored::NotEmpty { url: to.url().to_string(), key: found.key }),
        };
    }
    to.probe()?;
    // Who makes the same mirror now writes the same.
    Ok(to.create_own(key::MIRROR, from.identity().encode().into())?)
}

/// What says that the mirror lacks a pack that its log leads to.
fn marks(to: &Store) -> Result<Vec<String>, StoreError> {
    let is_mark = |key: &String| key.strip_prefix(key::LACKING).is_some_and(|it| it.parse::<Nonce>().is_ok());
    Ok(to.list(key::LACKING, "")?.into_iter().map(|it| it.key).filter(is_mark).collect())
}

/// Says that the mirror lacks something.
fn leave_mark(to: &Store) -> Result<String, StoreError> {
    let name = format!("{}{}", key::LACKING, Nonce::new());
    to.create_own(&name, Bytes::from_static(b"compare all").into())?;
    Ok(name)
}

/// The packs of a mirror, and their sizes.
fn stock(to: &Store) -> Result<BTreeMap<String, u64>, StoreError> {
    let both = [key::DATA, key::META].map(|folder| to.list(folder, ""));
    let both = both.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(both.into_iter().flatten().map(|it| (it.key, it.size)).collect())
}

/// Removes what an interrupted copy left that the store has let go of since: what the store does not know and an entry of its log has
/// forgotten. All entries are in the mirror by then. What none has forgotten is not ours to remove: the store may have been rolled
/// back, or the place may be a store by now, with packs that others pushed there.
fn remove_forgotten(from: &Catalog, to: &Store, there: &BTreeMap<String, u64>) -> Result<(), CatalogError> {
    let state = from.state();
    let known = |id: &PackId| state.packs().contains_key(id) || state.condemned().contains_key(id);
    let packs = there.keys().filter_map(|name| Some((key::pack_id(name)?.1, name)));
    let mut unknown: BTreeMap<PackId, &String> = packs.filter(|(id, _)| !known(id)).collect();
    for seq in (0..=from.head().seq()).rev() {
        if unknown.is_empty() {
            break;
        }
        let forgotten = match from.change(seq) {
            Ok(record) => record.change,
            // What cannot be read has forgotten nothing.
            Err(CatalogError::Log { .. } | CatalogError::Lost { .. }) => continue,
            Err(error) => return Err(error),
        };
        let Change::Forget(forget) = forgotten else { continue };
        for name in forget.packs.iter().filter_map(|pack| unknown.remove(pack)) {
            to.delete(name)?;
        }
    }
    Ok(())
}

/// Each entry has the hash of the one before it: if the newest is the same, all are. What cannot be read says nothing of that.
fn check_same(from: &Catalog, to: &Store, newest: u64) -> Result<(), NotMirrored> {
    let url = || to.url().to_string();
    let there = to.get(&key::log(newest))?.unwrap_or_default();
    let bad = |error| CatalogError::Log { url: url(), source: BadLog::from(error) };
    Entry::decode(newest, &there).map_err(bad)?;
    match newest <= from.head().seq() && from.entry(newest)?.0 == there {
        true => Ok(()),
        // Whoever made a store of the place may have gone on there.
        false => refuse_store(to).and(Err(NotMirrored::Diverged { url: url(), seq: newest })),
    }
}

/// Packs that entries from `next` on added, and that the store has still; and whether there were others.
fn added_since(from: &Catalog, next: u64) -> Result<(BTreeMap<PackId, PackInfo>, bool), CatalogError> {
    let Some(before) = next.checked_sub(1) else { return Ok(Default::default()) };
    let records = from.since(before)?;
    let added = records.into_iter().flat_map(|(_, record)| record.added);
    let (there, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
        added.partition(|(pack, _)| from.state().packs().contains_key(pack));
    Ok((there, !gone.is_empty()))
}

/// Copies entries of the log. What a Forget lets go of is removed before the Forget is copied, and after the Condemn is there: so the log
/// of the mirror names nothing that went, and a copy that was interrupted goes on with it.
fn carry_log(
    from: &Catalog,
    to: &Store,
    entries: RangeInclusive<u64>,
    removes: bool,
    done: &mut Synced,
) -> Result<(), NotMirrored> {
    let head = *entries.end();
    for seq in entries {
        let (bytes, record) = from.entry(seq)?;
        if let (Change::Forget(forget), true) = (record.change, removes) {
            for pack in forget.packs {
                for kind in [PackKind::Data, PackKind::Meta] {
                    to.delete(&key::pack(kind, pack))?;
                }
                done.removed += 1;
            }
        }
        (done.objects, done.bytes) = (done.objects + 1, done.bytes + bytes.len() as u64);
        match to.create_own(&key::log(seq), bytes.into()) {
            Err(StoreError::Foreign { .. }) => check_same(from, to, seq)?,
            done => done?,
        }
    }
    Ok(put_hint(to, head)?)
}

/// Copies packs that are not there, data before what names it.
fn carry(
    from: &Store,
    to: &Store,
    packs: &BTreeMap<PackId, PackInfo>,
    listed: Option<&BTreeMap<String, u64>>,
    progress: &dyn Progress,
    done: &mut Synced,
) -> Result<(), StoreError> {
    // One by one it is asked for where they are few.
    let size_there = |key: &str| match listed {
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
    let mut why = String::new();
    // What was damaged on its way comes whole another time.
    for _ in 0..READS {
        let bytes = match from.get(&name) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Err("the store lacks it".to_owned())),
            Err(error) if error.is_archived() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        match verify_bytes(&bytes, pack, info) {
            Ok(_) => return Ok(Ok(to.create_own(&name, bytes.into())?)),
            Err(error) => why = error.to_string(),
        }
    }
    Ok(Err(why))
}

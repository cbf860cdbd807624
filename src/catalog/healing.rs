//! Healing of the log: objects that are gone or damaged, put back byte for byte (ADR 21).
//!
//! Each entry names the BLAKE3 of the whole object before it, so every entry but the newest is proven by the one after it, wherever its
//! bytes come from: a copy of the store, this machine, or the entries round it, since the one after carries what it said and the one
//! before all else. What came after the last that is there is proven by who saw it: a mirror, which copies what had landed, or this
//! machine. It has to follow the entry before it in the store itself.
//!
//! These are the only objects that are written over, by the very bytes that they had, so it is the same who does it and how often. A
//! sound entry that does not fit is not damage but another log: then nothing is proven, and nothing is touched.

use bytes::Bytes;

use super::entry::{self, Entry};
use super::error::CatalogError;
use super::fold::BadLog;
use super::head::{self, MOST_LOST};
use super::identity::Identity;
use super::journal::Journal;
use super::log::{Catalog, bad_log, parts, read_identity};
use super::rules::Rules;
use crate::cache::Cache;
use crate::id::{EntryHash, StoreId};
use crate::store::{Store, key};

/// What the newest entry that was read is called in the cache, and one that was there no more afterwards.
const HEAD: &str = "head";
const SEEN: &str = "seen";

/// An object of the log as it was written, which the store has lost or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Its place.
    pub seq: u64,
    bytes: Bytes,
    /// Something else is there.
    is_there: bool,
}

/// What of the log of `store` is gone or damaged, and is proven by what `copies`, this machine or the log itself have.
pub fn find(store: &Store, place: &Cache, copies: &[Store]) -> Result<Vec<Proven>, CatalogError> {
    let Ok(identity) = read_identity(store) else { return find_with(store, None, &[]) };
    let cache = parts(&(place.clone(), Journal::none()), &identity).0;
    find_with(store, Some(&cache), &mirrors_of(identity.store, copies))
}

/// Puts them back, the oldest first: each follows what is there by then.
pub fn put_back(store: &Store, found: &[Proven]) -> Result<(), CatalogError> {
    for it in found {
        let name = key::log(it.seq);
        match store.get(&name)? {
            Some(there) if there == it.bytes => {}
            // It is whole: what was proven is not what is there.
            Some(there) if Whole::of(it.seq, &there).is_some() => {
                return Err(bad_log(store, BadLog::Fork { seq: it.seq }));
            }
            Some(_) if it.is_there => store.overwrite(&name, it.bytes.clone().into())?,
            _ => store.create_own(&name, it.bytes.clone().into())?,
        }
    }
    Ok(())
}

impl Catalog {
    /// See [`find`].
    pub fn lost_entries(&self, copies: &[Store]) -> Result<Vec<Proven>, CatalogError> {
        let mirrors = mirrors_of(self.identity().store, copies);
        find_with(&self.store.alone(), Some(&self.cache), &mirrors)
    }
}

/// The copies that are mirrors of the store still: one that became a store goes on with a log of its own, and its next entry follows
/// the same one as ours (ADR 20).
fn mirrors_of(store: StoreId, copies: &[Store]) -> Vec<Store> {
    let says = |copy: &Store| Identity::decode(&copy.get(key::MIRROR).ok()??).ok();
    let is_store = |copy: &Store| !matches!(copy.size(key::STORE), Ok(None));
    let is_ours = |copy: &&Store| !is_store(copy) && says(copy).is_some_and(|it| it.store == store);
    copies.iter().filter(is_ours).cloned().collect()
}

fn find_with(store: &Store, cache: Option<&Cache>, copies: &[Store]) -> Result<Vec<Proven>, CatalogError> {
    let kept = [HEAD, SEEN].into_iter().filter_map(|name| kept(cache?, name)).collect();
    let healing = Healing { store, copies, kept };
    let Some(newest) = healing.newest()? else { return Ok(vec![]) };
    let (mut found, last) = healing.below(newest)?;
    found.reverse();
    if let Some((seq, hash)) = last {
        found.extend(healing.beyond(seq, hash));
    }
    Ok(found)
}

/// Forgets what is kept in `all` of a log that is not the one it was; but the entry that was seen may be what is missing.
pub(super) fn forget(all: &Cache, own: &Cache) {
    let head = own.get(HEAD);
    all.clear();
    if let Some(head) = head {
        own.put(SEEN, &head);
    }
}

/// What this machine kept of the newest entry that it saw.
pub(super) fn kept_head(cache: &Cache) -> Option<(u64, Bytes)> {
    kept(cache, HEAD)
}

fn kept(cache: &Cache, name: &str) -> Option<(u64, Bytes)> {
    let kept = cache.get(name)?;
    let (seq, bytes) = kept.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*seq), Bytes::copy_from_slice(bytes)))
}

/// Place and hash of an entry.
type Last = (u64, EntryHash);

struct Healing<'a> {
    store: &'a Store,
    copies: &'a [Store],
    kept: Vec<(u64, Bytes)>,
}

/// An entry as it was written.
struct Whole {
    entry: Entry,
    bytes: Bytes,
}

impl Whole {
    fn of(seq: u64, bytes: &Bytes) -> Option<Whole> {
        let entry = Entry::decode(seq, bytes).ok()?;
        Some(Whole { entry, bytes: bytes.clone() })
    }

    fn hash(&self) -> EntryHash {
        EntryHash::of(&self.bytes)
    }
}

impl Healing<'_> {
    /// The newest entry that is listed.
    fn newest(&self) -> Result<Option<u64>, CatalogError> {
        let listed = self.store.list(key::LOG, "")?;
        Ok(head::newest(listed.iter().filter_map(|it| key::log_seq(&it.key))))
    }

    /// What is proven of the entries down to the first, from the newest that is listed or that this machine has seen; and the newest that
    /// is whole then.
    fn below(&self, newest: u64) -> Result<(Vec<Proven>, Option<Last>), CatalogError> {
        let (mut found, mut last) = (Vec::new(), None);
        let mut after: Option<Whole> = None;
        let seen = self.kept.iter().map(|(seq, _)| *seq).filter(|seq| seq.saturating_sub(newest) < MOST_LOST);
        for seq in (0..=seen.max().unwrap_or(0).max(newest)).rev() {
            let there = self.store.get(&key::log(seq))?;
            let wanted = after.as_ref().map(|after| after.entry.prev());
            let whole = match there.as_ref().and_then(|bytes| Whole::of(seq, bytes)) {
                Some(whole) if wanted.is_some_and(|wanted| wanted != whole.hash()) => {
                    return Err(bad_log(self.store, BadLog::Fork { seq: seq + 1 }));
                }
                Some(whole) => Some(whole),
                None => {
                    let lost = match &after {
                        Some(after) => self.proven(seq, after, there.as_ref())?,
                        None => self.seen(seq, there.as_ref())?,
                    };
                    let is_there = there.is_some();
                    found.extend(lost.iter().map(|it| Proven { seq, bytes: it.bytes.clone(), is_there }));
                    lost
                }
            };
            if seq >= newest && last.is_none() {
                last = whole.as_ref().map(|whole| (seq, whole.hash()));
            }
            after = whole;
        }
        Ok((found, last))
    }

    /// Copies of an entry, wherever they are.
    fn candidates<'c>(&'c self, seq: u64, there: Option<&Bytes>) -> impl Iterator<Item = Whole> + 'c {
        let own = there.and_then(|bytes| of_this_format(seq, bytes));
        let kept = self.kept.iter().filter(move |(at, _)| *at == seq).map(|(_, bytes)| bytes.clone());
        let copied = self.copies.iter().filter_map(move |copy| copy.get(&key::log(seq)).ok()?);
        let others = kept.chain(copied).filter_map(move |bytes| Whole::of(seq, &bytes));
        others.chain(own)
    }

    /// The entry that `after` names as the one before it.
    fn proven(&self, seq: u64, after: &Whole, there: Option<&Bytes>) -> Result<Option<Whole>, CatalogError> {
        let wanted = after.entry.prev();
        let copied = self.candidates(seq, there).find(|it| it.hash() == wanted);
        Ok(match copied {
            Some(whole) => Some(whole),
            None => self.rebuilt(seq, &after.entry)?.filter(|it| it.hash() == wanted),
        })
    }

    /// What somebody saw of an entry that no other names, if it follows what is in the store.
    fn seen(&self, seq: u64, there: Option<&Bytes>) -> Result<Option<Whole>, CatalogError> {
        for whole in self.candidates(seq, there) {
            if self.follows(&whole)? {
                return Ok(Some(whole));
            }
        }
        Ok(None)
    }

    /// Whether the entry follows a whole one of the store, perhaps by others that it proves.
    fn follows(&self, whole: &Whole) -> Result<bool, CatalogError> {
        let (mut seq, mut last) = (whole.entry.seq(), None);
        loop {
            let after = last.as_ref().unwrap_or(whole);
            let Some(before) = seq.checked_sub(1) else { return Ok(false) };
            let there = self.store.get(&key::log(before))?;
            if let Some(sound) = there.as_ref().and_then(|bytes| Whole::of(before, bytes)) {
                return Ok(sound.hash() == after.entry.prev());
            }
            let Some(proven) = self.proven(before, after, there.as_ref())? else { return Ok(false) };
            (seq, last) = (before, Some(proven));
        }
    }

    /// The entry, written again from the nearest one before it that is whole and from what `after` carries.
    fn rebuilt(&self, seq: u64, after: &Entry) -> Result<Option<Whole>, CatalogError> {
        let mut last = None;
        let mut next = seq;
        while next > 0 && last.is_none() && seq - next < MOST_LOST {
            last = self.store.get(&key::log(next - 1))?.and_then(|bytes| Whole::of(next - 1, &bytes));
            next -= u64::from(last.is_none());
        }
        for at in next..=seq {
            let Some(change) = after.carried(at).map(<[u8]>::to_vec) else { return Ok(None) };
            let entry = match &last {
                Some(last) => last.entry.next(last.hash(), change, Rules::ALL),
                None if at == 0 => Ok(Entry::first(change)),
                None => return Ok(None),
            };
            let Ok((entry, (bytes, _))) = entry.and_then(|it| it.encode().map(|bytes| (it, bytes))) else {
                return Ok(None);
            };
            last = Some(Whole { entry, bytes: bytes.into() });
        }
        Ok(last)
    }

    /// Entries after the last one that is whole, which copies have seen.
    fn beyond(&self, newest: u64, mut last: EntryHash) -> Vec<Proven> {
        let mut found = Vec::new();
        for seq in newest.saturating_add(1)..=newest.saturating_add(MOST_LOST) {
            let Some(next) = self.candidates(seq, None).find(|it| it.entry.prev() == last) else { break };
            last = next.hash();
            found.push(Proven { seq, bytes: next.bytes, is_there: false });
        }
        found
    }
}

/// The entry, if nothing but its version is wrong. A store of format 1 has entries of version 1 only; one that says otherwise, and is
/// whole and fully understood else, was not written by a newer program.
fn of_this_format(seq: u64, bytes: &Bytes) -> Option<Whole> {
    let whole = Whole::of(seq, &entry::of_this_format(bytes)?.into())?;
    let understood = !whole.entry.is_unknown() && whole.entry.own().is_ok_and(|own| !own.is_unknown());
    understood.then_some(whole)
}

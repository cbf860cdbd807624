//! The log of a mirror: entries are held against those of the store, copied one after the other, and read back.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::{NotMirrored, READS, Synced, put_hint, read_back, refuse_store};
use crate::catalog::{Catalog, CatalogError, Change, Entry};
use crate::id::{EntryHash, PackKind};
use crate::store::{Store, StoreError, key};

/// An entry, as far as the one after it proves it, and it the one before.
#[derive(Debug, Clone, Copy)]
struct Link {
    size: u64,
    hash: EntryHash,
    prev: EntryHash,
}

impl Link {
    fn of(seq: u64, bytes: &[u8]) -> Result<Link, String> {
        let entry = Entry::decode(seq, bytes).map_err(|error| format!("{error:#}"))?;
        Ok(Link { size: bytes.len() as u64, hash: EntryHash::of(bytes), prev: entry.prev() })
    }
}

/// An entry of the mirror that is not as it was written.
struct Damaged {
    seq: u64,
    why: String,
    /// What the store has there.
    hash: EntryHash,
}

/// Each entry has the hash of the one before it: if the newest is the same, all are. What cannot be read says nothing of that.
pub(super) fn check_same(from: &Catalog, to: &Store, newest: u64) -> Result<(), NotMirrored> {
    let url = || to.url().to_string();
    let there = to.get(&key::log(newest))?.unwrap_or_default();
    Entry::decode(newest, &there).map_err(|source| NotMirrored::Damaged { url: url(), source })?;
    match newest <= from.head().seq() && from.entry(newest)?.0 == there {
        true => Ok(()),
        // Whoever made a store of the place may have gone on there.
        false => refuse_store(to).and(Err(NotMirrored::Diverged { url: url(), seq: newest })),
    }
}

/// Copies entries of the log. What a Forget lets go of is removed before the Forget is copied, and after the Condemn is there: so the log
/// of the mirror names nothing that went, and a copy that was interrupted goes on with it.
pub(super) fn carry(
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
        done.wrote(bytes.len() as u64);
        match to.create_own(&key::log(seq), bytes.into()) {
            Err(StoreError::Foreign { .. }) => check_same(from, to, seq)?,
            done => done?,
        }
    }
    Ok(put_hint(to, head)?)
}

/// Reads every entry of the mirror back. What is damaged or missing is written again by the store's, which the entry after it proves; the
/// newest is held against the store. Nothing is written where a whole one is another than in the store.
pub(super) fn mend(from: &Catalog, to: &Store, newest: u64, done: &mut Synced) -> Result<(), NotMirrored> {
    let damaged = damaged(from, to, newest, done)?;
    if !damaged.is_empty() {
        // Who made a store of the place may have gone on, and what is damaged be of that log.
        refuse_store(to)?;
    }
    for Damaged { seq, why, hash } in damaged {
        let (bytes, _) = from.entry(seq)?;
        if EntryHash::of(&bytes) != hash {
            return Err(diverged(to, seq));
        }
        let (name, size) = (key::log(seq), bytes.len() as u64);
        to.overwrite(&name, bytes.into())?;
        done.mended(name, size, why);
    }
    Ok(())
}

fn damaged(from: &Catalog, to: &Store, newest: u64, done: &mut Synced) -> Result<Vec<Damaged>, NotMirrored> {
    if newest > from.head().seq() {
        return refuse_store(to).and(Err(diverged(to, newest)));
    }
    let entries: Vec<_> = (0..=newest)
        .into_par_iter()
        .map(|seq| read_back(to, &key::log(seq), |bytes| Link::of(seq, bytes)))
        .collect::<Result<_, StoreError>>()?;
    let (mut found, mut proven) = (Vec::new(), None);
    for (seq, there) in (0..=newest).rev().zip(entries.into_iter().rev()) {
        if let Ok(link) = &there
            && proven == Some(link.hash)
        {
            done.verified(link.size);
            proven = Some(link.prev);
            continue;
        }
        let own = sound(from, seq)?;
        proven = match (there, own) {
            // The one after it is damaged, or there is none.
            (Ok(link), Ok(own)) if link.hash == own.hash && proven.is_none() => {
                done.verified(link.size);
                Some(own.prev)
            }
            (Ok(link), Err(_)) if proven.is_none() => Some(link.prev),
            (Err(why), Ok(own)) if proven.is_none_or(|hash| hash == own.hash) => {
                found.push(Damaged { seq, why, hash: own.hash });
                Some(own.prev)
            }
            (Err(why), Err(also)) => {
                done.lacking.push((key::log(seq), format!("{why}; and in the store: {also}")));
                None
            }
            // Two that are whole, and are not of one log.
            _ => return refuse_store(to).and(Err(diverged(to, seq))),
        };
    }
    Ok(found)
}

fn diverged(to: &Store, seq: u64) -> NotMirrored {
    NotMirrored::Diverged { url: to.url().to_string(), seq }
}

/// An entry of the store; else why it is not whole.
fn sound(from: &Catalog, seq: u64) -> Result<Result<Link, String>, NotMirrored> {
    let mut why = String::new();
    for _ in 0..READS {
        match from.entry(seq) {
            Ok((bytes, _)) => match Link::of(seq, &bytes) {
                Ok(link) => return Ok(Ok(link)),
                Err(error) => why = error,
            },
            Err(error @ (CatalogError::Log { .. } | CatalogError::Lost { .. })) => {
                why = format!("{error:#}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Err(why))
}

//! A lost `datamon.json`: what it said, as far as that is certain without it.
//!
//! A mirror has all of it under another name. Without one there is the log, whose first entry has the id with which the store was made;
//! everything else that `datamon.json` says is the same in every store of this format. But a store that was moved, or was a mirror once,
//! goes on with the log of another and has an id of its own (R6), and a copy of its objects is a mirror that has lost `mirror.json`. So
//! neither says by itself which store this is: it has to be the one that the user knows at this place.

use super::change::Change;
use super::entry::Entry;
use super::error::CatalogError;
use super::identity::{BadIdentity, Identity};
use crate::id::StoreId;
use crate::store::{Store, key};

/// What became of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It is not there.
    Gone,
    /// It is there, and is not what was written.
    Damaged,
}

/// Whether the store has lost it.
pub fn loss(store: &Store) -> Result<Option<Loss>, CatalogError> {
    match store.get(key::STORE)?.map(|bytes| Identity::decode(&bytes)) {
        None => Ok(Some(Loss::Gone)),
        Some(Err(BadIdentity::Damaged(_))) => Ok(Some(Loss::Damaged)),
        Some(_) => Ok(None),
    }
}

/// What it said, if this is the store that the user knows by the id `known`: as a mirror of it among `copies` has it, or because its log began
/// with that id. None where neither shows it.
pub fn find(store: &Store, known: StoreId, copies: &[Store]) -> Result<Option<Identity>, CatalogError> {
    let Some(first) = store.get(&key::log(0))? else { return Ok(None) };
    let mirrored = |copy: &Store| {
        let identity = Identity::decode(&copy.get(key::MIRROR).ok()??).ok()?;
        // What became a store goes on by itself, and the first entry has a nonce: no other log begins with it.
        let is_mirror = matches!(copy.size(key::STORE), Ok(None));
        let is_its = is_mirror && identity.store == known && copy.get(&key::log(0)).ok()?? == first;
        is_its.then_some(identity)
    };
    if let Some(identity) = copies.iter().find_map(mirrored) {
        return Ok(Some(identity));
    }
    let began = Entry::decode(0, &first).ok().and_then(|entry| entry.own().ok());
    Ok(match began.map(|record| record.change) {
        Some(Change::Init { store }) if store == known => Some(Identity { store, ..Identity::new() }),
        _ => None,
    })
}

/// Writes it again, unless a whole one is there by now.
pub fn put_back(store: &Store, identity: &Identity) -> Result<(), CatalogError> {
    let bytes = identity.encode();
    match loss(store)? {
        // Whoever is first with it counts.
        Some(Loss::Gone) => drop(store.create_shared(key::STORE, &bytes.into())?),
        Some(Loss::Damaged) => store.overwrite(key::STORE, bytes.into())?,
        None => {}
    }
    Ok(())
}

//! The mirror of a store that is lost becomes a store.

use super::{Had, NotMirrored, marks, put_hint};
use crate::catalog::identity::BadIdentity;
use crate::catalog::{CatalogError, Identity};
use crate::id::StoreId;
use crate::store::{Store, StoreError, key};

/// A store that was a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promoted {
    /// Its id.
    pub store: StoreId,
    /// Whether it says that it lacks packs which its log leads to, as while somebody copies to it.
    pub lacking: bool,
}

/// Makes a store of a mirror whose store is lost: with an id of its own, as the lost one may come back (R6).
pub fn promote(place: &Store) -> Result<Promoted, NotMirrored> {
    if let Some(promoted) = finish(place)? {
        return Ok(promoted);
    }
    let url = || place.url().to_string();
    let bytes = place.get(key::MIRROR)?.ok_or_else(|| NotMirrored::None { url: url() })?;
    let bad = |source: BadIdentity| CatalogError::Identity { url: url(), source };
    let identity = Identity { store: Identity::new().store, ..Identity::decode(&bytes).map_err(bad)? };
    let had = Had::of(place)?;
    match had.newest.filter(|_| had.is_complete()) {
        None => return Err(NotMirrored::Unfinished { url: url() }),
        // Who opens the store asks for one entry after the other without it, up to the first hole.
        Some(newest) if !had.has_hint => put_hint(place, newest)?,
        Some(_) => {}
    }
    place.probe()?;
    // An earlier try may land only now: whichever does so first counts.
    place.create_shared(key::STORE, &identity.encode().into())?;
    finish(place)?.ok_or_else(|| StoreError::Missing { url: url(), key: key::STORE.to_owned() }.into())
}

/// The last step of a promotion, wherever it was interrupted: a place that is a store by now is no mirror any more. None if nobody has
/// begun one.
fn finish(place: &Store) -> Result<Option<Promoted>, NotMirrored> {
    let url = || place.url().to_string();
    let bad = |source: BadIdentity| CatalogError::Identity { url: url(), source };
    match (place.get(key::STORE)?, place.get(key::MIRROR)?) {
        (Some(_), None) => Err(NotMirrored::IsStore { url: url() }),
        (None, None) => Err(NotMirrored::None { url: url() }),
        (None, Some(_)) => Ok(None),
        (Some(bytes), Some(_)) => {
            let store = Identity::decode(&bytes).map_err(bad)?.store;
            // Who copies leaves a mark and then looks for a store.
            let lacking = !marks(place)?.is_empty();
            place.delete(key::MIRROR)?;
            Ok(Some(Promoted { store, lacking }))
        }
    }
}

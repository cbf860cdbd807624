//! Frames of metadata that versions and long recipes consist of, read from where they lie now.
//!
//! Such a frame is named where it was written, for ever: in a root, in a row, in the log. Where a repair stored it anew, a forward
//! leads to it ([`Leads`]); segments and checkpoints follow none, for they are written anew themselves.

use std::collections::BTreeMap;

use super::segment::read_frames;
use crate::cache::Cache;
use crate::pack::{Blob, PackError};
use crate::store::Store;

/// Knows where frames lie now.
pub trait Leads: Sync {
    /// Where the frame lies that was written at `blob`.
    fn lead(&self, blob: &Blob) -> Blob;
}

/// What reads them: the cache, and the store where forwards lead.
#[derive(Clone, Copy)]
pub struct Frames<'a> {
    store: &'a Store,
    cache: &'a Cache,
    leads: &'a dyn Leads,
}

impl<'a> Frames<'a> {
    /// Of this store, which `leads` knows.
    pub fn new(store: &'a Store, cache: &'a Cache, leads: &'a dyn Leads) -> Frames<'a> {
        Frames { store, cache, leads }
    }

    /// The content of a frame, by the name that it was given.
    pub fn read(&self, blob: &Blob) -> Result<Vec<u8>, PackError> {
        let at = self.leads.lead(blob);
        let mut found = read_frames(self.store, self.cache, [at])?;
        Ok(found.remove(&at).expect("each frame asked for is given"))
    }

    /// The same of many, neighbours in a pack together.
    pub fn read_all(
        &self,
        blobs: impl IntoIterator<Item = Blob>,
    ) -> Result<BTreeMap<Blob, Vec<u8>>, PackError> {
        let places: BTreeMap<Blob, Blob> =
            blobs.into_iter().map(|blob| (self.leads.lead(&blob), blob)).collect();
        let found = read_frames(self.store, self.cache, places.keys().copied())?;
        Ok(found.into_iter().map(|(at, raw)| (places[&at], raw)).collect())
    }
}

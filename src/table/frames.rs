//! Frames of metadata that versions and long recipes consist of, read from where they lie now.
//!
//! Such a frame is named where it was written, for ever: in a root, in a row, in the log. Where a repair stored it anew, a forward
//! leads to it ([`Leads`]); segments and checkpoints follow none, for they are written anew themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat_n;

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
        // One place may have several names: that of where it was, and its own.
        let mut names: BTreeMap<Blob, BTreeSet<Blob>> = BTreeMap::new();
        for blob in blobs {
            names.entry(self.leads.lead(&blob)).or_default().insert(blob);
        }
        let found = read_frames(self.store, self.cache, names.keys().copied())?;
        let named = |(at, raw)| names[&at].iter().copied().zip(repeat_n(raw, names[&at].len()));
        Ok(found.into_iter().flat_map(named).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PackId, PackKind};
    use crate::pack::{Frame, PackWriter};
    use crate::store::StoreUrl;

    /// All of a pack that is gone lies in another one.
    struct Moved(PackId, PackId);

    impl Leads for Moved {
        fn lead(&self, blob: &Blob) -> Blob {
            if blob.pack == self.0 { Blob { pack: self.1, ..*blob } } else { *blob }
        }
    }

    #[test]
    fn a_frame_is_given_under_every_name_that_was_asked_for() {
        let store = Store::open(&StoreUrl::parse("memory:two-names").expect("a URL")).expect("memory");
        let mut pack = PackWriter::new(PackKind::Meta);
        let now = pack.add(&Frame::encode(b"terms"), vec![]);
        pack.finish().put(&store).expect("put");
        let gone = PackId::from_bytes([7; 16]);
        let before = Blob { pack: gone, ..now };
        let (cache, leads) = (Cache::none(), Moved(gone, now.pack));
        let found = Frames::new(&store, &cache, &leads).read_all([before, now, before]).expect("reads");
        assert_eq!(found, BTreeMap::from([(before, b"terms".to_vec()), (now, b"terms".to_vec())]));
    }
}

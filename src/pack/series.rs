//! Metadata on its way into packs: each goes into the store as soon as it is full, so that none waits in memory.
//!
//! Nothing names these packs before the entry that their writer commits at last. Without it they belong to nobody.

use super::{PackInfo, PackWriter};
use crate::id::{PackId, PackKind};
use crate::store::{Store, StoreError, key};

/// A meta pack is finished when it holds this many bytes.
const META_TARGET: usize = 4 << 20;

/// One whose frames are read together, when it holds this many: as large as a data pack.
const TOGETHER_TARGET: usize = 32 << 20;

/// Meta packs filled one after the other.
pub struct MetaSeries {
    store: Store,
    open: Option<PackWriter>,
    written: Vec<(PackId, PackInfo)>,
}

impl MetaSeries {
    /// An empty one, for packs of `store`.
    pub fn new(store: &Store) -> Self {
        MetaSeries { store: store.clone(), open: None, written: vec![] }
    }

    /// Whether there is anything to write, or written.
    pub fn is_begun(&self) -> bool {
        self.open.is_some() || !self.written.is_empty()
    }

    /// The pack that takes the next frame; one that is full is in the store when this returns.
    pub fn room(&mut self) -> Result<&mut PackWriter, StoreError> {
        self.room_below(META_TARGET)
    }

    /// The same for a frame that is read together with the ones before it: they part only in a pack as large as one may be.
    pub fn room_together(&mut self) -> Result<&mut PackWriter, StoreError> {
        self.room_below(TOGETHER_TARGET)
    }

    fn room_below(&mut self, target: usize) -> Result<&mut PackWriter, StoreError> {
        if self.open.as_ref().is_some_and(|open| open.len() >= target) {
            self.put()?;
        }
        Ok(self.open.get_or_insert_with(|| PackWriter::new(PackKind::Meta)))
    }

    fn put(&mut self) -> Result<(), StoreError> {
        if let Some(pack) = self.open.take().map(PackWriter::finish) {
            self.written.push((pack.id, pack.info));
            pack.put(&self.store)?;
        }
        Ok(())
    }

    /// All of them, durable.
    pub fn finish(mut self) -> Result<Vec<(PackId, PackInfo)>, StoreError> {
        self.put()?;
        Ok(self.written)
    }

    /// Takes back what was written, as far as the store lets it: the names were drawn here, and no entry with one of them was
    /// ever sent, so nobody can rely on them.
    pub fn discard(self) {
        for (pack, info) in self.written {
            let _ = self.store.delete(&key::pack(info.kind, pack));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::{Frame, read_blob};
    use crate::store::StoreUrl;

    #[test]
    fn a_full_pack_waits_for_nothing_and_can_be_taken_back() {
        let url = StoreUrl::parse("memory:meta-series").expect("a URL");
        let store = Store::open(&url).expect("memory");
        let mut series = MetaSeries::new(&store);
        assert!(!series.is_begun());
        let mut noise = vec![0; 1 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let frame = Frame::encode(&noise);
        let blobs: Vec<_> = (0..9).map(|_| series.room().expect("memory").add(&frame, vec![])).collect();
        assert_eq!(store.list(key::META, "").expect("lists").len(), 2);
        assert_eq!(read_blob(&store, &blobs[0]).expect("durable"), noise);
        series.discard();
        assert_eq!(store.list(key::META, "").expect("lists"), []);

        let mut series = MetaSeries::new(&store);
        let blob = series.room().expect("memory").add(&frame, vec![]);
        assert_eq!(series.finish().expect("memory").len(), 1);
        assert_eq!(read_blob(&store, &blob).expect("durable"), noise);
    }
}

//! Where a fetch gets the bytes of packs: from what this machine keeps, and the rest from the store.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use crate::cache::{Packs, Placed};
use crate::catalog::Catalog;
use crate::disk::Disk;
use crate::id::{PackId, PackKind};
use crate::pack::plan::coalesce;
use crate::store::{Flow, Store, StoreError, key};

/// A store, what is kept of its data packs, and the disk that files are written to.
#[derive(Debug, Clone)]
pub struct Source {
    store: Store,
    packs: Packs,
    disk: Disk,
}

impl Source {
    /// The store of an open catalog.
    pub fn of(catalog: &Catalog) -> Source {
        let cache = catalog.cache();
        Source { store: catalog.store().clone(), packs: cache.packs(), disk: cache.disk().clone() }
    }

    /// A store of which nothing is kept.
    pub fn bare(store: &Store) -> Source {
        Source { store: store.clone(), packs: Packs::none(), disk: Disk::default() }
    }

    /// The same on a disk of whose steps somebody is asked.
    #[must_use]
    pub fn on(self, disk: Disk) -> Source {
        Source { disk, ..self }
    }

    /// Where files are written to.
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The same packs at the other places that have them.
    pub(super) fn copies(&self) -> impl Iterator<Item = Source> {
        self.store.copies().map(|copy| Source { store: copy.clone(), ..self.clone() })
    }

    /// A copy gave what the store itself did not, for this reason.
    pub(super) fn took_from(&self, copy: &Source, why: &super::FetchError) {
        self.store.took_from(&copy.store, why);
    }

    /// The bytes of `range` in a data pack, of which only the `wanted` parts, all of them within it, have to be right: the others may be
    /// zero.
    pub(super) fn read(
        &self,
        pack: PackId,
        range: &Range<u64>,
        wanted: &[Range<u64>],
    ) -> Result<Bytes, StoreError> {
        let kept = self.packs.get(pack, wanted);
        if kept.is_empty() {
            return self.get(pack, range.clone());
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut fill = |at: u64, from: &[u8]| {
            let (start, end) = (at.max(range.start), (at + from.len() as u64).min(range.end));
            if start < end {
                let part = &from[(start - at) as usize..(end - at) as usize];
                bytes[(start - range.start) as usize..(end - range.start) as usize].copy_from_slice(part);
            }
        };
        kept.iter().for_each(|(at, run)| fill(*at, run));
        let runs = kept.iter().map(|(at, run)| *at..at + run.len() as u64).collect();
        for read in coalesce(without(wanted.to_vec(), runs)) {
            fill(read.start, &self.get(pack, read.clone())?);
        }
        Ok(bytes.into())
    }

    fn get(&self, pack: PackId, range: Range<u64>) -> Result<Bytes, StoreError> {
        let lane = self.store.down().enter(range.end - range.start);
        let bytes = self.store.get_range(&key::pack(PackKind::Data, pack), range)?;
        lane.carried();
        Ok(bytes)
    }

    /// Where requests are counted that had to be made again.
    pub(super) fn retries(&self) -> Arc<AtomicU64> {
        self.store.retries()
    }

    /// How many requests may be under way.
    pub(super) fn flow(&self) -> &Arc<Flow> {
        self.store.down()
    }

    /// Frames whose checksums were right, in order.
    pub(super) fn keep(&self, pack: PackId, frames: &[Placed<'_>]) {
        self.packs.put(pack, frames);
    }

    /// The fetch is over.
    pub(super) fn settle(&self) {
        self.packs.settle();
    }
}

/// What of the wanted ranges lies in none of the others.
fn without(wanted: Vec<Range<u64>>, mut others: Vec<Range<u64>>) -> Vec<Range<u64>> {
    others.sort_by_key(|other| other.start);
    let mut left = Vec::new();
    for range in wanted {
        let mut at = range.start;
        for other in others.iter().filter(|other| other.end > range.start && other.start < range.end) {
            if other.start > at {
                left.push(at..other.start);
            }
            at = at.max(other.end);
        }
        if at < range.end {
            left.push(at..range.end);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_left_is_each_byte_that_is_wanted_and_not_kept(
            wanted in prop::collection::vec((0u64..200, 1u64..60), 0..8),
            kept in prop::collection::vec((0u64..200, 1u64..60), 0..8),
        ) {
            let ranges = |of: &[(u64, u64)]| of.iter().map(|(at, len)| *at..at + len).collect::<Vec<_>>();
            let (wanted, kept) = (ranges(&wanted), ranges(&kept));
            let has = |of: &[Range<u64>], byte: u64| of.iter().any(|range| range.contains(&byte));
            let left = without(wanted.clone(), kept.clone());
            for byte in 0..260 {
                prop_assert_eq!(has(&left, byte), has(&wanted, byte) && !has(&kept, byte), "byte {}", byte);
            }
        }
    }
}

//! Every page of every version, read once however many versions share it. What cannot be read costs no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use crate::bundle::{Entry, PageRef, Root, decode_page};
use crate::cache::Cache;
use crate::catalog::Catalog;
use crate::id::{BundleId, PackId};
use crate::pack::{Blob, PackError};
use crate::table::{Frames, Leads, TableError};

/// Frames that are asked for together: neighbours come with one request.
const TOGETHER: usize = 64;

/// A page that cannot be read.
pub struct Unread<'a> {
    /// Where it lies.
    pub at: Blob,
    /// What its versions say of it.
    pub page: &'a PageRef,
    /// The versions that have it.
    pub versions: &'a [Arc<Root>],
    /// Why.
    pub error: Box<TableError>,
}

/// The pages of all versions, by where they lie.
pub struct Pages<'a> {
    catalog: &'a Catalog,
    pages: BTreeMap<Blob, (PageRef, Vec<Arc<Root>>)>,
    /// Versions whose roots cannot be read, and why.
    pub unread: Vec<(BundleId, TableError)>,
}

impl<'a> Pages<'a> {
    /// Reads the root of every version, from the store itself.
    pub fn of(catalog: &'a Catalog) -> Pages<'a> {
        let bundles = catalog.state().bundles();
        let roots: BTreeMap<Blob, BundleId> = bundles.iter().map(|(id, it)| (it.root, *id)).collect();
        let mut all = Pages { catalog, pages: BTreeMap::new(), unread: vec![] };
        for (at, root) in each(catalog, &roots, |at, _, raw| Root::decode(at.pack, raw)) {
            match root {
                Ok(mut root) => {
                    let own = std::mem::take(&mut root.pages);
                    let root = Arc::new(root);
                    for page in own {
                        let shared = all.pages.entry(page.blob).or_insert_with(|| (page, vec![]));
                        shared.1.push(root.clone());
                    }
                }
                Err(error) => all.unread.push((roots[&at], error)),
            }
        }
        all
    }

    /// What roots say of each page.
    pub fn refs(&self) -> impl Iterator<Item = &PageRef> {
        self.pages.values().map(|(page, _)| page)
    }

    /// The packs in which pages lie.
    pub fn packs(&self) -> impl Iterator<Item = PackId> + '_ {
        self.pages.keys().map(|at| self.catalog.state().lead(at).pack)
    }

    /// What `read` makes of the entries of each page and the versions that have it (their lists of pages left out). In place of a page
    /// that cannot be read stand its versions, and why.
    pub fn each<T: Send>(
        &self,
        read: impl Fn(Vec<Entry>, &[Arc<Root>]) -> T + Sync,
    ) -> Vec<Result<T, Unread<'_>>> {
        let all = each(self.catalog, &self.pages, |_, (page, versions), raw| {
            Ok(read(decode_page(page, raw)?, versions))
        });
        let unread = |at: Blob, error| {
            let (page, versions) = &self.pages[&at];
            Unread { at: self.catalog.state().lead(&at), page, versions, error: Box::new(error) }
        };
        all.into_iter().map(|(at, made)| made.map_err(|error| unread(at, error))).collect()
    }
}

/// What `read` makes of each frame, in the order of the packs.
fn each<K: Sync, T: Send>(
    catalog: &Catalog,
    all: &BTreeMap<Blob, K>,
    read: impl Fn(Blob, &K, &[u8]) -> Result<T, TableError> + Sync,
) -> Vec<(Blob, Result<T, TableError>)> {
    let all: Vec<(&Blob, &K)> = all.iter().collect();
    let some = |some: &[(&Blob, &K)]| -> Vec<(Blob, Result<T, TableError>)> {
        let get = |blobs: &[(&Blob, &K)]| -> Result<BTreeMap<Blob, Vec<u8>>, PackError> {
            // What this machine keeps says nothing of the store.
            let none = Cache::none();
            let frames = Frames::new(catalog.store(), &none, catalog.state());
            frames.read_all(blobs.iter().map(|(at, _)| **at))
        };
        let together = get(some);
        let one = |pair: &(&Blob, &K)| {
            let made = match &together {
                Ok(frames) => read(*pair.0, pair.1, &frames[pair.0]),
                Err(_) => get(&[*pair])
                    .map_err(TableError::from)
                    .and_then(|frames| read(*pair.0, pair.1, &frames[pair.0])),
            };
            (*pair.0, made)
        };
        some.iter().map(one).collect()
    };
    all.par_chunks(TOGETHER).flat_map_iter(some).collect()
}

//! Revisions: versions that get other roots and keep their ids, several in one entry of the log.
//!
//! A version shares all pages that stay as they were with the root that it had, so that one has to be the one that was read where the
//! change lands (R2). Versions that shared a page share what takes its place.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use super::draft::{kept, packs_of};
use crate::bundle::{Changes, PageRef, Root, edit, page_hash, write_page};
use crate::catalog::change::{Change, ChangeRecord, Redact, Revision};
use crate::catalog::{Catalog, CatalogError};
use crate::id::{Oid, PackId, RepoId};
use crate::pack::{Blob, MetaSeries};
use crate::table::add_frame;

/// What one entry writes.
pub(in crate::ops) struct Revisions<'a> {
    catalog: &'a Catalog,
    /// The entry that they are made on.
    base: u64,
    /// Where roots, pages and lists of terms go.
    pub metas: MetaSeries,
    /// Pages written, by what is in them.
    pages: HashMap<(Vec<u8>, u32, [u8; 16]), PageRef>,
    /// Packs that the new pages name (R2).
    named: BTreeSet<PackId>,
    made: Vec<Revision>,
}

impl<'a> Revisions<'a> {
    /// None yet.
    pub fn of(catalog: &'a Catalog) -> Revisions<'a> {
        let (base, metas) = (catalog.head().seq(), MetaSeries::new(catalog.store()));
        Revisions { catalog, base, metas, pages: HashMap::new(), named: BTreeSet::new(), made: vec![] }
    }

    /// Writes the pages of `root` with `changes`, and the root, which stands from then on where the one at `from` did.
    pub fn add(&mut self, from: Blob, mut root: Root, changes: Changes) -> Result<(), CatalogError> {
        let (catalog, metas) = (self.catalog, RefCell::new(&mut self.metas));
        let (pages, named) = (&mut self.pages, &mut self.named);
        root.pages = edit(
            &root.pages,
            changes,
            |at| kept(catalog, &mut metas.borrow_mut(), at),
            |entries| {
                let same = (entries[0].path.clone(), entries.len() as u32, page_hash(entries));
                if let Some(page) = pages.get(&same) {
                    return Ok::<_, CatalogError>(page.clone());
                }
                named.extend(entries.iter().flat_map(packs_of));
                let page = write_page(metas.borrow_mut().room()?, catalog.cache(), root.repo, entries);
                pages.insert(same, page.clone());
                Ok(page)
            },
        )?;
        root.facts.revision = root.facts.revision.saturating_add(1);
        let to = add_frame(self.metas.room()?, catalog.cache(), &root.encode());
        self.made.push(Revision { bundle: root.id, from, to });
        Ok(())
    }

    /// The entry that says so, and gives up `keys`; all that it leads to is in the store by now.
    pub fn record(
        self,
        repo: RepoId,
        planned_on: u64,
        paths: &[Vec<u8>],
        keys: &[Oid],
    ) -> Result<ChangeRecord, CatalogError> {
        let added = if self.metas.is_begun() { self.metas.finish()? } else { vec![] };
        let mut named = self.named;
        named.retain(|pack| !added.iter().any(|(own, _)| own == pack));
        let paths = paths.iter().cloned().map(Into::into).collect();
        let redact = Redact { repo, planned_on, paths, bundles: self.made, keys: keys.to_vec() };
        let mut record = self.catalog.record(self.base, Change::Redact(redact));
        (record.added, record.named) = (added, named.into_iter().collect());
        record.must_understand = true;
        Ok(record)
    }
}

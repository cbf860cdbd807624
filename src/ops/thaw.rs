//! Thaw: which packs of a version lie in an archive, where they have to be brought back before they are read.
//!
//! Providers say differently what is archived, what is on its way back and what is back for a while. One byte of a pack says it for all
//! of them: it can be read, or it cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;

use super::bundle::wanted_at;
use crate::bundle::{Bundle, Content};
use crate::catalog::{Catalog, CatalogError};
use crate::id::{Oid, PackId, PackKind};
use crate::store::{StoreError, key};

/// The data packs of the files of a version that lie at `paths` or below; all of them where there is none.
pub fn packs_of(
    catalog: &Catalog,
    bundle: &Bundle<'_>,
    paths: &[Vec<u8>],
) -> Result<BTreeSet<PackId>, CatalogError> {
    let mut contents: BTreeMap<Oid, Content> = BTreeMap::new();
    let everything = [vec![]];
    for path in if paths.is_empty() { &everything } else { paths } {
        bundle.each_below(path, |entry| {
            if let Content::File { oid, .. } = &entry.content {
                contents.insert(*oid, entry.content);
            }
        })?;
        // A path may be that of a file.
        if let Some(entry) = bundle.find(path)?
            && let Content::File { oid, .. } = &entry.content
        {
            contents.insert(*oid, entry.content);
        }
    }
    let contents: Vec<Content> = contents.into_values().collect();
    let packs = |content: &Content| -> Result<Vec<PackId>, CatalogError> {
        let wanted = wanted_at(catalog, content, PathBuf::new())?;
        Ok(wanted.map_or(vec![], |wanted| wanted.terms.iter().map(|term| term.pack).collect()))
    };
    // Long recipes lie apart: several requests at a time.
    let packs: Vec<_> = contents.par_iter().map(packs).collect::<Result<_, _>>()?;
    Ok(packs.into_iter().flatten().collect())
}

/// Every data pack of the store.
pub fn all_packs(catalog: &Catalog) -> BTreeSet<PackId> {
    let data = catalog.state().packs().iter().filter(|(_, info)| info.kind == PackKind::Data);
    data.map(|(pack, _)| *pack).collect()
}

/// Those of the packs that cannot be read now: key and size, bytes. Takes a request each.
pub fn archived(catalog: &Catalog, packs: &BTreeSet<PackId>) -> Result<Vec<(String, u64)>, StoreError> {
    let look = |pack: &PackId| {
        let key = key::pack(PackKind::Data, *pack);
        match catalog.store().get_range(&key, 0..1) {
            Ok(_) => Ok(None),
            Err(error) if error.is_archived() => {
                let size = catalog.state().packs().get(pack).map_or(0, |info| info.size);
                Ok(Some((key, size)))
            }
            Err(error) => Err(error),
        }
    };
    let packs: Vec<&PackId> = packs.iter().collect();
    let found: Vec<_> = packs.into_par_iter().map(look).collect::<Result<_, StoreError>>()?;
    Ok(found.into_iter().flatten().collect())
}

//! Healing: what a version has in a damaged pack, stored anew, and read from where it lies now.
//!
//! A version never changes, and so never does what its pages say of a file. But a row of the log may promise the same bytes again, in
//! another pack: it is what a reader takes where the pages lead to a pack that is known to be damaged, or turns out to be.

use super::commit::{NoBundle, Planning};
use super::make::{Place, scratch};
use crate::catalog::{Catalog, CatalogError};
use crate::git::ObjectId;
use crate::id::{Oid, RepoId};
use crate::ops::fetch::Wanted;
use crate::ops::local;
use crate::ops::upload::{Upload, upload};
use crate::progress::Progress;
use crate::table::Row;

/// Stores anew what a commit has at the dataset's path, is here, and lies in packs that this machine has found damaged, plain files of
/// git too. How many files that were.
pub fn heal(
    catalog: &mut Catalog,
    place: Place<'_>,
    commit: ObjectId,
    progress: &dyn Progress,
) -> Result<usize, NoBundle> {
    if !catalog.has_suspects() {
        return Ok(0);
    }
    let scratch = scratch(place.repo)?;
    let all = Planning::of_all((place.repo, place.objects), place.dataset, commit, scratch.path())?;
    let known = |file: Upload| {
        let oid = file.oid.or_else(|| local::oid_of(&file.path).ok())?;
        file.path.is_file().then_some((oid, Upload { oid: Some(oid), ..file }))
    };
    let mut files: Vec<(Oid, Upload)> = all.uploads().into_iter().filter_map(known).collect();
    let oids: Vec<Oid> = files.iter().map(|(oid, _)| *oid).collect();
    let rows = catalog.find(place.id, &oids)?;
    files.retain(|(oid, _)| rows.get(oid).is_some_and(|row| catalog.is_damaged(row)));
    let files: Vec<Upload> = files.into_iter().map(|(_, file)| file).collect();
    if files.is_empty() {
        return Ok(0);
    }
    let uploaded = upload(catalog, place.id, &files, &[], progress)?;
    Ok(uploaded.receipt.oids.len())
}

/// The row of an entry of a version, or the one that promises the same bytes elsewhere where that is known to be damaged.
pub(super) fn sound(catalog: &Catalog, row: Row) -> Result<Row, CatalogError> {
    if !catalog.is_damaged(&row) {
        return Ok(row);
    }
    let other = catalog.find(RepoId::NIL, &[row.oid])?.remove(&row.oid);
    Ok(other.filter(|it| it.size == row.size && !catalog.is_damaged(it)).unwrap_or(row))
}

/// The same file from where the newest promise of it says that it lies, where that is somewhere else than what was tried.
pub fn again(catalog: &Catalog, tried: &Wanted) -> Result<Option<Wanted>, CatalogError> {
    let row = catalog.find(RepoId::NIL, &[tried.oid])?.remove(&tried.oid);
    let Some(row) = row.filter(|row| row.size == tried.size) else { return Ok(None) };
    let terms = catalog.terms(&row)?;
    Ok((terms != tried.terms).then(|| Wanted { terms, ..tried.clone() }))
}

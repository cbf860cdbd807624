//! The versions of a store: their roots and pages can be read, and lead to frames that are there.
//!
//! A version never changes, so what was stored anew lies elsewhere than its pages say: where they lead to damage, readers take the
//! newest promise of the same bytes, and so does this.

use std::collections::BTreeMap;

use super::packs::Footers;
use super::rows::check_row;
use super::{Findings, Needed};
use crate::bundle::{Content, Entry};
use crate::catalog::{Catalog, CatalogError};
use crate::id::{Oid, RepoId};
use crate::ops::bundle::{Pages, Unread};
use crate::table::{Leads, Row};

/// A file, and what is wrong with it if something is.
type Checked = (Row, Option<String>);

/// Every version can be read, and every file in it.
pub fn check(catalog: &Catalog, footers: &Footers, needed: &mut Needed, findings: &mut Findings) {
    findings.versions = catalog.state().bundles().len() as u64;
    let pages = Pages::of(catalog);
    needed.unknown |= !pages.unread.is_empty();
    for (version, error) in &pages.unread {
        let root = catalog.state().lead(&catalog.state().bundles()[version].root);
        findings.suspect(catalog, &root, error);
        findings.problem(format!("version {version} cannot be read: {error:#}"));
    }
    needed.packs.extend(pages.packs());
    for page in pages.each(|entries, _| check_page(catalog, footers, entries)) {
        match page {
            Ok(Ok(files)) => {
                for (row, wrong) in files {
                    needed.add(&row, catalog);
                    if let Some(what) = wrong {
                        findings.hit(what, row.oid);
                    }
                }
            }
            Ok(Err(error)) => findings.problem(error),
            Err(Unread { at, versions, error, .. }) => {
                findings.suspect(catalog, &at, &error);
                needed.unknown = true;
                let others = match versions.len() {
                    1 => String::new(),
                    more => format!(" and {} more", more - 1),
                };
                let first = versions[0].id;
                findings.problem(format!("a page of version {first}{others} cannot be read: {error:#}"));
            }
        }
    }
}

/// The files of a page, as readers find them.
fn check_page(
    catalog: &Catalog,
    footers: &Footers,
    entries: Vec<Entry>,
) -> Result<Vec<Checked>, CatalogError> {
    let rows = entries.into_iter().filter_map(|entry| match entry.content {
        Content::File { oid, size, recipe, .. } => {
            Some(Row { oid, repo: RepoId::NIL, born: 0, size, recipe })
        }
        _ => None,
    });
    let mut files: Vec<Checked> = rows
        .map(|row| {
            check_row(catalog, footers, &row)
                .map_or_else(|what| (row.clone(), Some(what)), |()| (row.clone(), None))
        })
        .collect();
    let hit: Vec<Oid> = files.iter().filter(|(_, wrong)| wrong.is_some()).map(|(row, _)| row.oid).collect();
    if !hit.is_empty() {
        let newest = catalog.find(RepoId::NIL, &hit)?;
        let sound: BTreeMap<Oid, Row> =
            newest.into_iter().filter(|(_, row)| check_row(catalog, footers, row).is_ok()).collect();
        for file in files.iter_mut().filter(|(_, wrong)| wrong.is_some()) {
            if let Some(row) = sound.get(&file.0.oid).filter(|row| row.size == file.0.size) {
                *file = (row.clone(), None);
            }
        }
    }
    Ok(files)
}

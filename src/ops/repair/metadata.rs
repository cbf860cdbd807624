//! What versions and long recipes consist of, out of packs that are damaged or gone (ADR 21).
//!
//! Roots, pages and lists of terms are named where they were written, for ever. So a repair copies each that is still to be had, as it
//! is, into a new pack, and forwards lead there: whole ones from the damaged pack itself, others from what this machine has kept, from
//! mirrors and from other stores that have the same pack. Then nothing needs the damaged pack any more. A pack that is missing is not put
//! back under its name: a forward is as good, and rests on no guess about who removed it.
//!
//! A frame is believed if it is whole and what it has to be: a root that of its version, a page the one that a root names by its hash, a
//! list of terms as long as its file.

use std::collections::BTreeMap;

use crate::bundle::{Content, Entry, PageRef, Root, decode_page};
use crate::catalog::change::{Change, Compact, Forward};
use crate::catalog::state::Run;
use crate::catalog::{Catalog, CatalogError};
use crate::id::{BundleId, PackKind, RepoId};
use crate::ops::bundle::Pages;
use crate::pack::{Blob, Frame, FrameView, MetaSeries, Term};
use crate::store::{Store, key};
use crate::table::{Leads, Recipe, Row, decode_terms, kept_frame};

/// Frames that one entry says of where they lie now.
const TOGETHER: usize = 4096;

/// What a frame has to be.
enum Meant {
    Root(BundleId, RepoId),
    Page(PageRef),
    /// Terms of a file of so many bytes.
    Terms(u64),
}

impl Meant {
    fn is(&self, at: &Blob, raw: &[u8]) -> bool {
        match self {
            Meant::Root(id, repo) => {
                Root::decode(at.pack, raw).is_ok_and(|root| (root.id, root.repo) == (*id, *repo))
            }
            Meant::Page(page) => decode_page(page, raw).is_ok(),
            Meant::Terms(size) => decode_terms(raw)
                .is_ok_and(|terms| terms.iter().map(Term::len).fold(0, u64::saturating_add) == *size),
        }
    }
}

/// Copies what versions and long recipes need out of meta packs that were found damaged, as far as `copies` of the store, this machine or
/// the packs themselves have it, and lets forwards lead there. How many frames that were.
pub fn move_metadata(catalog: &mut Catalog, copies: &[Store]) -> Result<u64, CatalogError> {
    if !has_damaged(catalog) {
        return Ok(0);
    }
    // A page is found by its root, and a list of terms by a page.
    let mut moved = 0;
    for find in [roots, pages, lists_of_terms] {
        let wanted: Vec<(Blob, Meant)> = find(catalog)?.into_iter().collect();
        for some in wanted.chunks(TOGETHER) {
            moved += move_some(catalog, some, copies)?;
        }
    }
    Ok(moved)
}

/// Whether a meta pack is known to be damaged or missing.
fn has_damaged(catalog: &Catalog) -> bool {
    let table = catalog.state().packs();
    table.iter().any(|(pack, info)| info.kind == PackKind::Meta && catalog.is_suspect(*pack))
}

/// Whether nobody should rely on the pack in which a frame lies now.
fn is_hit(catalog: &Catalog, blob: &Blob) -> bool {
    !catalog.may_borrow(catalog.state().lead(blob).pack)
}

fn roots(catalog: &Catalog) -> Result<BTreeMap<Blob, Meant>, CatalogError> {
    let all = catalog.state().bundles().iter();
    let hit = all.filter(|(_, bundle)| is_hit(catalog, &bundle.root));
    Ok(hit.map(|(id, bundle)| (bundle.root, Meant::Root(*id, bundle.repo))).collect())
}

fn pages(catalog: &Catalog) -> Result<BTreeMap<Blob, Meant>, CatalogError> {
    let pages = Pages::of(catalog);
    let hit = pages.refs().filter(|page| is_hit(catalog, &page.blob));
    Ok(hit.map(|page| (page.blob, Meant::Page(page.clone()))).collect())
}

fn lists_of_terms(catalog: &Catalog) -> Result<BTreeMap<Blob, Meant>, CatalogError> {
    let of = |size: u64, recipe: &Recipe| match recipe {
        Recipe::Out { blob, .. } if is_hit(catalog, blob) => Some((*blob, Meant::Terms(size))),
        _ => None,
    };
    let in_page = |entries: Vec<Entry>, _: &[_]| -> Vec<(Blob, Meant)> {
        let files = entries.iter().filter_map(|entry| match &entry.content {
            Content::File { size, recipe, .. } => of(*size, recipe),
            _ => None,
        });
        files.collect()
    };
    let pages = Pages::of(catalog);
    let mut found: BTreeMap<Blob, Meant> = pages.each(in_page).into_iter().flatten().flatten().collect();
    catalog
        .readable_rows(|rows: Vec<Row>| found.extend(rows.iter().filter_map(|it| of(it.size, &it.recipe))))?;
    Ok(found)
}

fn move_some(catalog: &mut Catalog, wanted: &[(Blob, Meant)], copies: &[Store]) -> Result<u64, CatalogError> {
    let mut metas = MetaSeries::new(catalog.store());
    let mut forwards = Vec::new();
    for (blob, meant) in wanted {
        if let Some(frame) = find(catalog, blob, meant, copies) {
            let to = metas.room()?.add(&frame, vec![]);
            let from = catalog.state().lead(blob);
            let stored = u64::from(from.stored);
            forwards.push(Forward {
                from: from.pack,
                offset: from.offset,
                stored,
                to: to.pack,
                at: to.offset,
            });
        }
    }
    if forwards.is_empty() {
        return Ok(0);
    }
    let count = forwards.len() as u64;
    let change = Change::Compact(Compact { forwards, ..Compact::default() });
    let mut record = catalog.record(catalog.head().seq(), change);
    record.added = metas.finish()?;
    catalog.commit(&record)?;
    Ok(count)
}

/// The frame as it was written, wherever it is still to be had.
fn find(catalog: &Catalog, blob: &Blob, meant: &Meant, copies: &[Store]) -> Option<Frame> {
    let places: Vec<Blob> =
        catalog.state().places(Run::from(blob)).iter().map(|run| run.blob(blob)).collect();
    let read = |store: &Store| places.iter().rev().find_map(|at| read(store, at, meant));
    let kept = || places.iter().find_map(|at| rewritten(kept_frame(catalog.cache(), at)?, at, meant));
    read(catalog.store()).or_else(kept).or_else(|| copies.iter().find_map(read))
}

fn read(store: &Store, at: &Blob, meant: &Meant) -> Option<Frame> {
    let bytes = store.get_range(&key::pack(PackKind::Meta, at.pack), at.offset..at.end()).ok()?;
    let view = FrameView::parse(&bytes).ok()?.filter(|view| view.len() == bytes.len())?;
    let raw = view.decode().ok()?;
    meant.is(at, &raw).then(|| view.to_frame(&bytes))
}

/// What this machine has kept is not compressed: it is of use where that comes to the very length that it had.
fn rewritten(raw: Vec<u8>, at: &Blob, meant: &Meant) -> Option<Frame> {
    let frame = meant.is(at, &raw).then(|| Frame::encode(&raw))?;
    (frame.len() == at.stored as usize).then_some(frame)
}

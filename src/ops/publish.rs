//! Publish: rows into the log. Until this returns, nothing was promised; when it has, everything was.

use std::collections::BTreeSet;

use super::bundle::Draft;
use super::ingest::Taken;
use crate::catalog::change::{Change, Push, RowBlock, SegmentRef, TableKind};
use crate::catalog::{Catalog, CatalogError, Landed};
use crate::id::{Oid, PackId, RepoId};
use crate::pack::format::MAX_FRAME;
use crate::pack::{Frame, MetaSeries, PackInfo, Term};
use crate::store::StoreError;
use crate::table::{
    Hooks, INLINE_TERMS, Recipe, Row, SEGMENT_HOOKS, encode_rows, encode_terms, segment_len, write_segment,
};

/// Rows of a push up to this many stored bytes lie in the entry itself.
const INLINE_ROWS: usize = 64 << 10;

/// Commit `touched` rows and one row for each of `files`, whose new chunks lie in `packs`, and the bundle of `draft` in the same
/// entry; `alone` lets it share no page. The session began at `base`.
pub fn publish(
    catalog: &mut Catalog,
    base: u64,
    repo: RepoId,
    touched: Vec<Row>,
    files: &[Taken],
    packs: &[(PackId, PackInfo)],
    draft: Option<(&Draft, bool)>,
) -> Result<Landed, CatalogError> {
    let mut metas = MetaSeries::new(catalog.store());
    let mut rows = touched;
    for Taken { oid, size, terms, .. } in files {
        rows.push(Row { oid: *oid, repo, born: 0, size: *size, recipe: recipe(&mut metas, terms)? });
    }
    // The same content under two names is one row.
    rows.sort_by_key(Row::key);
    rows.dedup_by_key(|row| row.key());
    let mut push = Push { repo, rows: None, segments: vec![], bundles: vec![] };
    // Oids do not compress: more rows never fit, and might not even fit into one frame.
    let few = rows.len() <= INLINE_ROWS / size_of::<Oid>()
        && rows.iter().map(Row::weight).sum::<usize>() <= MAX_FRAME;
    let block = few.then(|| Frame::encode(encode_rows(&rows)).bytes().to_vec());
    match block {
        Some(bytes) if bytes.len() <= INLINE_ROWS => {
            push.rows = Some(RowBlock { rows: rows.len() as u64, bytes })
        }
        _ => {
            let mut rest = &mut rows[..];
            while !rest.is_empty() {
                let (segment, more) = rest.split_at_mut(segment_len(rest));
                let written = write_segment(metas.room()?, segment, catalog.cache());
                push.segments.push(SegmentRef::new(TableKind::Files, &written));
                rest = more;
            }
        }
    }
    let mut named: BTreeSet<PackId> = rows.iter().flat_map(Row::packs).collect();
    if let Some((draft, alone)) = draft {
        let written = draft.write(catalog, repo, &rows, &mut metas, alone)?;
        named.extend(written.named);
        push.bundles.push(written.bundle);
    }
    // Hooks of a small push would be an object more: the next checkpoint writes them.
    if packs.len() > 1 || metas.is_begun() {
        push.segments.extend(hooks(&mut metas, packs, catalog)?);
    }
    let added: Vec<(PackId, PackInfo)> = packs.iter().copied().chain(metas.finish()?).collect();
    let own: BTreeSet<PackId> = added.iter().map(|(pack, _)| *pack).collect();
    let mut record = catalog.record(base, Change::Push(push));
    record.named = named.difference(&own).copied().collect();
    record.added = added;
    catalog.commit(&record)
}

pub(super) fn recipe(metas: &mut MetaSeries, terms: &[Term]) -> Result<Recipe, StoreError> {
    if terms.len() <= INLINE_TERMS {
        return Ok(Recipe::Inline(terms.to_vec()));
    }
    let blob = metas.room()?.add(&Frame::encode(encode_terms(terms)), vec![]);
    let packs: BTreeSet<PackId> = terms.iter().map(|term| term.pack).collect();
    Ok(Recipe::Out { blob, packs: packs.into_iter().collect() })
}

/// Hooks of every chunk in `packs`, some gigabytes of data to a segment, so that a large push needs no more memory: one footer
/// at a time comes back from where it was kept. One that does not costs deduplication only.
fn hooks(
    metas: &mut MetaSeries,
    packs: &[(PackId, PackInfo)],
    catalog: &Catalog,
) -> Result<Vec<SegmentRef>, StoreError> {
    let mut segments = Vec::new();
    let mut room = catalog.room_for_hooks();
    let mut hooks = Hooks::with_room(room.min(SEGMENT_HOOKS));
    for (pack, info) in packs {
        if room == 0 {
            break;
        }
        let Ok(footer) = catalog.footer_of(*pack, *info) else { continue };
        if !hooks.is_empty() && !hooks.has_room(footer.chunks()) {
            room -= hooks.len();
            segments.push(SegmentRef::new(TableKind::Hooks, &hooks.write(metas.room()?)));
            hooks = Hooks::with_room(room.min(SEGMENT_HOOKS));
        }
        hooks.add(*pack, &footer);
    }
    if !hooks.is_empty() {
        segments.push(SegmentRef::new(TableKind::Hooks, &hooks.write(metas.room()?)));
    }
    Ok(segments)
}

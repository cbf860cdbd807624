//! Publish: rows into the log. Until this returns, nothing was promised; when it has, everything was.

use std::collections::BTreeSet;

use super::bundle::Draft;
use super::ingest::Taken;
use super::latest;
use crate::catalog::change::{Change, Push, RowBlock, SegmentRef, TableKind};
use crate::catalog::{Catalog, CatalogError, Landed, Refusal};
use crate::id::{BundleId, Oid, PackId, RepoId};
use crate::pack::format::MAX_FRAME;
use crate::pack::{Frame, MetaSeries, PackInfo, Term};
use crate::store::StoreError;
use crate::table::{
    Hooks, INLINE_TERMS, Recipe, Row, SEGMENT_HOOKS, encode_rows, encode_terms, segment_len, write_segment,
};

/// Rows of a push up to this many stored bytes lie in the entry itself.
const INLINE_ROWS: usize = 64 << 10;

/// Chunks of a pack, about, from which on a push that writes a meta pack writes their hooks with it.
const OWN_HOOKS: u64 = 2048;

/// Times the move of `latest` is taken up again from where another put it.
const ATTEMPTS: usize = 64;

/// What an entry says of versions, beside the rows.
#[derive(Default, Clone, Copy)]
pub struct Versions<'a> {
    /// The bundle to make.
    pub draft: Option<&'a Draft>,
    /// It shares no page, as its base was dropped; then nothing may land between the reading of what that had and this.
    pub alone: bool,
    /// Where `latest` leads from then on, if not to the draft.
    pub latest: Option<BundleId>,
}

/// Commit `touched` rows and one row for each of `files`, whose new chunks lie in `packs`, and in the same entry what is said of
/// `versions`. The session began at `base`.
pub fn publish(
    catalog: &mut Catalog,
    base: u64,
    repo: RepoId,
    touched: Vec<Row>,
    files: &[Taken],
    packs: &[(PackId, PackInfo)],
    versions: Versions<'_>,
) -> Result<Landed, CatalogError> {
    let mut metas = MetaSeries::new(catalog.store());
    let mut rows = touched;
    for row in &mut rows {
        row.recipe = shortened(&mut metas, row.recipe.clone())?;
    }
    for Taken { oid, size, terms, .. } in files {
        rows.push(Row { oid: *oid, repo, born: 0, size: *size, recipe: recipe(&mut metas, terms)? });
    }
    // The same content under two names is one row.
    rows.sort_by_key(Row::key);
    rows.dedup_by_key(|row| row.key());
    let mut push = Push { repo, rows: None, segments: vec![], labels: vec![], bundles: vec![] };
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
    let slot = versions.alone.then(|| catalog.state().next());
    if let Some(draft) = versions.draft {
        let written = draft.write(catalog, repo, &rows, &mut metas, versions.alone)?;
        named.extend(written.named);
        push.bundles.push(written.bundle);
    }
    // Hooks of a small push would be an object more, or a run more for others to merge: the next checkpoint writes them.
    if packs.len() > 1 || (metas.is_begun() && chunks(packs) >= OWN_HOOKS) {
        push.segments.extend(hooks(&mut metas, packs, catalog)?);
    }
    let metas = if metas.is_begun() { catalog.read_beside(|| metas.finish())? } else { vec![] };
    let added: Vec<(PackId, PackInfo)> = packs.iter().copied().chain(metas).collect();
    let own: BTreeSet<PackId> = added.iter().map(|(pack, _)| *pack).collect();
    let named: Vec<PackId> = named.difference(&own).copied().collect();
    let draft = versions.draft.filter(|it| it.is_latest).map(|it| it.id);
    commit(catalog, base, push, (&named, &added), draft.or(versions.latest), slot)
}

/// Commit a push in whose entry `latest` is moved, to `slot` if it may land nowhere else. The move must not fail the push: it goes on from
/// where others moved it meanwhile, and does not follow a bundle that is gone.
fn commit(
    catalog: &mut Catalog,
    base: u64,
    mut push: Push,
    (named, added): (&[PackId], &[(PackId, PackInfo)]),
    mut latest: Option<BundleId>,
    slot: Option<u64>,
) -> Result<Landed, CatalogError> {
    for attempt in 1.. {
        let step = latest.and_then(|to| latest::step(catalog, push.repo, to));
        push.labels = step.into_iter().collect();
        let mut record = catalog.record(base, Change::Push(push.clone()));
        record.named = named.to_vec();
        record.added = added.to_vec();
        let landed = match slot {
            Some(slot) => catalog.commit_at(&record, slot),
            None => catalog.commit(&record),
        };
        match landed {
            Err(CatalogError::Refused(Refusal::LabelMoved { .. })) if attempt < ATTEMPTS => {}
            Err(CatalogError::Refused(Refusal::LabelMoved { .. } | Refusal::BundleUnknown { .. }))
                if !push.labels.is_empty() =>
            {
                latest = None;
            }
            other => return other,
        }
    }
    unreachable!("without a label to move it lands or fails")
}

pub(super) fn recipe(metas: &mut MetaSeries, terms: &[Term]) -> Result<Recipe, StoreError> {
    if terms.len() <= INLINE_TERMS {
        return Ok(Recipe::Inline(terms.to_vec()));
    }
    let blob = metas.room()?.add(&Frame::encode(encode_terms(terms)), vec![]);
    let packs: BTreeSet<PackId> = terms.iter().map(|term| term.pack).collect();
    Ok(Recipe::Out { blob, packs: packs.into_iter().collect() })
}

/// A recipe as the catalog found it, in the form that a row may have.
pub(super) fn shortened(metas: &mut MetaSeries, found: Recipe) -> Result<Recipe, StoreError> {
    match found {
        Recipe::Inline(terms) if terms.len() > INLINE_TERMS => recipe(metas, &terms),
        short => Ok(short),
    }
}

/// Chunks of these packs, about.
fn chunks(packs: &[(PackId, PackInfo)]) -> u64 {
    packs.iter().map(|(_, info)| info.chunks()).sum()
}

/// Hooks of every chunk in `packs`, some gigabytes of data to a segment, so that a large push needs no more memory: one footer
/// at a time comes back from where it was kept. One that does not costs deduplication only.
fn hooks(
    metas: &mut MetaSeries,
    packs: &[(PackId, PackInfo)],
    catalog: &Catalog,
) -> Result<Vec<SegmentRef>, StoreError> {
    let mut segments = Vec::new();
    let shift = catalog.hook_shift(chunks(packs));
    let empty = || Hooks::with_room(SEGMENT_HOOKS).of_shift(shift);
    let mut hooks = empty();
    for (pack, info) in packs {
        let Ok(footer) = catalog.footer_of(*pack, *info) else { continue };
        if !hooks.is_empty() && !hooks.has_room(footer.chunks()) {
            segments.push(SegmentRef::of_hooks(&hooks.write(metas.room()?), shift));
            hooks = empty();
        }
        hooks.add(*pack, &footer);
    }
    if !hooks.is_empty() {
        segments.push(SegmentRef::of_hooks(&hooks.write(metas.room()?), shift));
    }
    Ok(segments)
}

//! Publish: rows into the log. Until this returns, nothing was promised; when it has, everything was.

use std::collections::BTreeSet;

use super::ingest::Taken;
use crate::catalog::change::{Change, ChangeRecord, Push, RowBlock, SegmentRef, TableKind};
use crate::catalog::log::{now, writer};
use crate::catalog::{Catalog, CatalogError, Landed};
use crate::id::{Oid, PackId, PackKind, RepoId};
use crate::pack::format::MAX_FRAME;
use crate::pack::{Frame, PackInfo, PackWriter, Term};
use crate::table::{INLINE_TERMS, Recipe, Row, encode_rows, encode_terms, segment_len, write_segment};

/// Rows of a push up to this many stored bytes lie in the entry itself.
const INLINE_ROWS: usize = 64 << 10;
/// A meta pack is finished when it holds this many bytes.
const META_TARGET: usize = 4 << 20;

/// Commit `touched` rows and one row for each of `files`, whose new packs are `added`. The session began at `base`.
pub fn publish(
    catalog: &mut Catalog,
    base: u64,
    repo: RepoId,
    touched: Vec<Row>,
    files: &[Taken],
    mut added: Vec<(PackId, PackInfo)>,
) -> Result<Landed, CatalogError> {
    let mut metas = Metas { packs: vec![], open: None };
    let mut rows = touched;
    for Taken { oid, size, terms, .. } in files {
        rows.push(Row { oid: *oid, repo, born: 0, size: *size, recipe: recipe(&mut metas, terms) });
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
                let written = write_segment(metas.room(), segment);
                push.segments.push(SegmentRef::new(TableKind::Files, &written));
                rest = more;
            }
        }
    }
    for pack in metas.finish() {
        pack.put(catalog.store())?;
        added.push((pack.id, pack.info));
    }
    let own: BTreeSet<PackId> = added.iter().map(|(pack, _)| *pack).collect();
    let named: BTreeSet<PackId> = rows.iter().flat_map(Row::packs).collect();
    let mut record = ChangeRecord::new(base, Change::Push(push), writer(), now());
    record.named = named.difference(&own).copied().collect();
    record.added = added;
    catalog.commit(&record)
}

fn recipe(metas: &mut Metas, terms: &[Term]) -> Recipe {
    if terms.len() <= INLINE_TERMS {
        return Recipe::Inline(terms.to_vec());
    }
    let blob = metas.room().add(&Frame::encode(encode_terms(terms)), vec![]);
    let packs: BTreeSet<PackId> = terms.iter().map(|term| term.pack).collect();
    Recipe::Out { blob, packs: packs.into_iter().collect() }
}

/// Meta packs being filled.
struct Metas {
    packs: Vec<crate::pack::Pack>,
    open: Option<PackWriter>,
}

impl Metas {
    /// The pack that takes the next frame.
    fn room(&mut self) -> &mut PackWriter {
        if self.open.as_ref().is_some_and(|open| open.len() >= META_TARGET) {
            self.packs.extend(self.open.take().map(PackWriter::finish));
        }
        self.open.get_or_insert_with(|| PackWriter::new(PackKind::Meta))
    }

    fn finish(mut self) -> Vec<crate::pack::Pack> {
        self.packs.extend(self.open.take().map(PackWriter::finish));
        self.packs
    }
}

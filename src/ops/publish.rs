//! Publish: rows into the log. Until this returns, nothing was promised; when it has, everything was.

use std::collections::BTreeSet;

use super::ingest::Taken;
use crate::catalog::change::{Change, ChangeRecord, Push, RowBlock, SegmentRef, TableKind};
use crate::catalog::log::{now, writer};
use crate::catalog::{Catalog, CatalogError, Landed};
use crate::id::{Oid, PackId, PackKind, RepoId};
use crate::pack::format::MAX_FRAME;
use crate::pack::{Frame, Pack, PackWriter, Term};
use crate::table::{
    Hooks, INLINE_TERMS, Recipe, Row, SEGMENT_HOOKS, encode_rows, encode_terms, segment_len, write_segment,
};

/// Rows of a push up to this many stored bytes lie in the entry itself.
const INLINE_ROWS: usize = 64 << 10;
/// A meta pack is finished when it holds this many bytes.
const META_TARGET: usize = 4 << 20;

/// Commit `touched` rows and one row for each of `files`, whose new chunks lie in `packs`. The session began at `base`.
pub fn publish(
    catalog: &mut Catalog,
    base: u64,
    repo: RepoId,
    touched: Vec<Row>,
    files: &[Taken],
    packs: &[Pack],
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
    // Hooks of a small push would be an object more: the next checkpoint writes them.
    if packs.len() > 1 || metas.begun() {
        push.segments.extend(hooks(&mut metas, packs, catalog.room_for_hooks()));
    }
    let metas = metas.finish();
    for pack in &metas {
        pack.put(catalog.store())?;
    }
    let added: Vec<_> = packs.iter().chain(&metas).map(|pack| (pack.id, pack.info)).collect();
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

/// Hooks of every chunk in `packs`, some gigabytes of data to a segment, so that a large push needs no more memory.
fn hooks(metas: &mut Metas, packs: &[Pack], mut room: usize) -> Vec<SegmentRef> {
    let chunks = |pack: &Pack| pack.footer.frames.iter().map(|frame| frame.chunks.len()).sum::<usize>();
    let mut segments = Vec::new();
    let mut packs = packs.iter().peekable();
    while packs.peek().is_some() && room > 0 {
        let mut hooks = Hooks::with_room(room.min(SEGMENT_HOOKS));
        while let Some(pack) = packs.next_if(|pack| hooks.is_empty() || hooks.has_room(chunks(pack))) {
            hooks.add(pack.id, &pack.footer);
        }
        if !hooks.is_empty() {
            room -= hooks.len();
            segments.push(SegmentRef::new(TableKind::Hooks, &hooks.write(metas.room())));
        }
    }
    segments
}

/// Meta packs being filled.
struct Metas {
    packs: Vec<Pack>,
    open: Option<PackWriter>,
}

impl Metas {
    /// Whether there is one to write.
    fn begun(&self) -> bool {
        self.open.is_some()
    }

    /// The pack that takes the next frame.
    fn room(&mut self) -> &mut PackWriter {
        if self.open.as_ref().is_some_and(|open| open.len() >= META_TARGET) {
            self.packs.extend(self.open.take().map(PackWriter::finish));
        }
        self.open.get_or_insert_with(|| PackWriter::new(PackKind::Meta))
    }

    fn finish(mut self) -> Vec<Pack> {
        self.packs.extend(self.open.take().map(PackWriter::finish));
        self.packs
    }
}

//! Data that versions lead to, out of packs that are damaged or gone (ADR 25).
//!
//! A page names the packs of its files for ever. Where one of them is damaged its files are stored anew and rows lead there, but a pack
//! that a page names is taken by no collection, and every copy of the store lacks a part. So once all that is needed of it is to be had, a
//! new pack gets the same frames at the same distances, and forwards lead there. Then nothing needs the damaged pack any more.
//!
//! A frame that cannot be read is made again of its chunks, which lie elsewhere by now with the files that were stored anew. It becomes as
//! long as it was, for forwards lead by lengths, and is believed if every chunk of it is what the list of frames says. That list is
//! asked of the store, of this machine and of copies. A pack whose list nobody has stays as it is, and so does one with a needed frame
//! of which something is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::bundle::Entry;
use crate::catalog::change::{Change, Compact, Forward};
use crate::catalog::plan::joined;
use crate::catalog::state::Run;
use crate::catalog::{Catalog, CatalogError};
use crate::id::{ChunkId, Oid, PackId, PackKind, RepoId};
use crate::ops::bundle::Pages;
use crate::pack::{Footer, Frame, FrameEntry, FrameView, PackWriter, Term, read_footer, verify_frame};
use crate::store::{Store, key};
use crate::table::{Recipe, Row};

/// Copies what versions and rows need out of data packs that were found damaged, as far as the packs themselves, `copies` of the store or
/// files stored anew have it. How many packs are not needed any more.
pub fn move_data(catalog: &mut Catalog, copies: &[Store]) -> Result<u64, CatalogError> {
    let hit: BTreeSet<PackId> = damaged(catalog);
    if hit.is_empty() {
        return Ok(0);
    }
    let mut moved = 0;
    for (pack, needed) in needed(catalog, &hit)? {
        let Some(footer) = footer(catalog, pack, copies) else { continue };
        let Some(parts) = rescue(catalog, pack, &footer, &needed, copies)? else { continue };
        lead_on(catalog, pack, parts)?;
        moved += 1;
    }
    Ok(moved)
}

/// Data packs of the table that are known to be damaged or missing, and of which nothing was copied yet.
fn damaged(catalog: &Catalog) -> BTreeSet<PackId> {
    let state = catalog.state();
    let data = state.packs().iter().filter(|(_, info)| info.kind == PackKind::Data);
    let whole = data.map(|(pack, _)| *pack).filter(|pack| !state.forwards().contains_key(pack));
    whole.filter(|pack| catalog.is_suspect(*pack)).collect()
}

/// What is needed of a pack, and the files that need it.
#[derive(Default)]
struct Needed {
    runs: BTreeSet<Run>,
    files: BTreeSet<Oid>,
}

/// What live rows and the pages of versions name in each of these packs.
fn needed(catalog: &Catalog, hit: &BTreeSet<PackId>) -> Result<BTreeMap<PackId, Needed>, CatalogError> {
    let table = catalog.state().packs();
    let may_hit = |pack: &PackId| hit.contains(pack) || !table.contains_key(pack);
    let named = |row: &Row| -> Vec<(Oid, Term)> {
        let apart = matches!(&row.recipe, Recipe::Out { packs, .. } if !packs.iter().any(may_hit));
        // A list that cannot be read is what metadata is about.
        let terms = if apart { vec![] } else { catalog.terms(row).unwrap_or_default() };
        terms.into_iter().filter(|term| hit.contains(&term.pack)).map(|term| (row.oid, term)).collect()
    };
    let in_page = |entries: Vec<Entry>, _: &[_]| -> Vec<(Oid, Term)> {
        let rows = entries.into_iter().filter_map(|entry| super::row_of(entry, RepoId::NIL));
        rows.flat_map(|(_, row)| named(&row)).collect()
    };
    let mut found: Vec<(Oid, Term)> =
        Pages::of(catalog).each(in_page).into_iter().flatten().flatten().collect();
    for rows in catalog.live_rows()? {
        found.extend(rows?.iter().flat_map(named));
    }
    let mut needed: BTreeMap<PackId, Needed> = BTreeMap::new();
    for (oid, term) in found {
        let it = needed.entry(term.pack).or_default();
        it.runs.insert(Run::from(&term));
        it.files.insert(oid);
    }
    Ok(needed)
}

/// The list of frames of a pack that may be gone.
fn footer(catalog: &Catalog, pack: PackId, copies: &[Store]) -> Option<Footer> {
    let info = catalog.state().packs()[&pack];
    let own = catalog.footer(pack).ok().flatten();
    own.or_else(|| copies.iter().find_map(|copy| read_footer(copy, pack, info).ok()))
}

/// Frames that follow each other, from an offset on.
type Part = (u64, Vec<(Frame, FrameEntry)>);

/// The frames that are needed, all of them or none.
fn rescue(
    catalog: &Catalog,
    pack: PackId,
    footer: &Footer,
    needed: &Needed,
    copies: &[Store],
) -> Result<Option<Vec<Part>>, CatalogError> {
    let name = key::pack(PackKind::Data, pack);
    let read = |store: &Store, entry: &FrameEntry| {
        let bytes = store.get_range(&name, entry.offset..entry.end()).ok()?;
        verify_frame(entry, &bytes).ok()?;
        Some(FrameView::parse(&bytes).ok()??.to_frame(&bytes))
    };
    let stores: Vec<&Store> = [catalog.store()].into_iter().chain(copies).collect();
    let mut chunks: Option<Chunks<'_>> = None;
    let mut parts = Vec::new();
    for range in joined(&needed.runs) {
        let Some(entries) = footer.filling(&range) else { return Ok(None) };
        let mut frames = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut frame = stores.iter().find_map(|store| read(store, entry));
            if frame.is_none() {
                let chunks = match &mut chunks {
                    Some(chunks) => chunks,
                    none => none.insert(Chunks::of(catalog, footer, &needed.files)?),
                };
                frame = chunks.frame(entry);
            }
            let Some(frame) = frame else { return Ok(None) };
            frames.push((frame, entry.clone()));
        }
        parts.push((range.start, frames));
    }
    Ok(Some(parts))
}

/// Puts the frames into a new pack, and forwards lead there.
fn lead_on(catalog: &mut Catalog, from: PackId, parts: Vec<Part>) -> Result<(), CatalogError> {
    let mut new = PackWriter::new(PackKind::Data);
    let mut forwards = Vec::with_capacity(parts.len());
    for (offset, frames) in parts {
        let at = new.len() as u64;
        for (frame, entry) in frames {
            new.add(&frame, entry.chunks);
        }
        let stored = new.len() as u64 - at;
        forwards.push(Forward { from, offset, stored, to: new.id(), at });
    }
    let new = new.finish();
    let change = Change::Compact(Compact { forwards, ..Compact::default() });
    let mut record = catalog.record(catalog.head().seq(), change);
    record.added = vec![(new.id, new.info)];
    new.put(catalog.store())?;
    catalog.commit(&record)?;
    Ok(())
}

/// Where chunks lie that are wanted again: in packs that the files which had them need by now.
struct Chunks<'a> {
    catalog: &'a Catalog,
    /// The pack and the frame of each, and its raw bytes there.
    at: HashMap<ChunkId, (PackId, FrameEntry, usize)>,
    /// The frame that was read last.
    last: Option<(PackId, u64, Vec<u8>)>,
}

impl<'a> Chunks<'a> {
    fn of(catalog: &'a Catalog, wanted: &Footer, files: &BTreeSet<Oid>) -> Result<Chunks<'a>, CatalogError> {
        let wanted: BTreeSet<ChunkId> =
            wanted.frames.iter().flat_map(|frame| &frame.chunks).map(|(id, _)| *id).collect();
        let files: Vec<Oid> = files.iter().copied().collect();
        let rows = catalog.find(RepoId::NIL, &files)?;
        let mut packs = BTreeSet::new();
        for row in rows.values().filter(|row| catalog.borrowable(row)) {
            packs.extend(catalog.terms(row)?.iter().map(|term| term.pack));
        }
        let packs: Vec<PackId> = packs.into_iter().collect();
        let mut at = HashMap::new();
        for (pack, footer) in catalog.footers(&packs) {
            for frame in footer.frames {
                let mut offset = 0;
                for (id, length) in &frame.chunks {
                    if wanted.contains(id) {
                        at.insert(*id, (pack, frame.clone(), offset));
                    }
                    offset += *length as usize;
                }
            }
        }
        Ok(Chunks { catalog, at, last: None })
    }

    /// A frame of these chunks, as long as it was.
    fn frame(&mut self, entry: &FrameEntry) -> Option<Frame> {
        let mut raw = Vec::with_capacity(entry.raw as usize);
        for (id, length) in &entry.chunks {
            raw.extend_from_slice(self.chunk(id, *length as usize)?);
        }
        let frame = Frame::of_length(&raw, entry.stored as usize)?;
        verify_frame(entry, frame.bytes()).ok()?;
        Some(frame)
    }

    fn chunk(&mut self, id: &ChunkId, length: usize) -> Option<&[u8]> {
        let (pack, entry, offset) = self.at.get(id)?;
        if self.last.as_ref().is_none_or(|last| (last.0, last.1) != (*pack, entry.offset)) {
            let name = key::pack(PackKind::Data, *pack);
            let bytes = self.catalog.store().get_range(&name, entry.offset..entry.end()).ok()?;
            let raw = FrameView::parse(&bytes).ok()??.decode().ok()?.into_owned();
            self.last = Some((*pack, entry.offset, raw));
        }
        self.last.as_ref()?.2.get(*offset..offset + length)
    }
}

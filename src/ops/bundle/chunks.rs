//! What a version has in chunks that another has not: by recipes and the footers of packs, without reading data.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use rayon::prelude::*;

use super::comparison::Comparison;
use super::export::wanted_at;
use crate::bundle::Content;
use crate::catalog::{Catalog, CatalogError};
use crate::id::{ChunkId, Oid, PackId, PackKind};
use crate::pack::{BadPack, Footer, PackError, Term};
use crate::store::key;

/// Chunks of the new version that the files which differ did not have in the old one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewChunks {
    /// How many, each content once.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the frames that hold them, as they are stored: what has to be read to go from the old version to the new one.
    pub stored: u64,
}

/// A chunk, and the frame that holds it.
struct Piece {
    id: ChunkId,
    raw: u32,
    /// Pack, offset and stored length.
    frame: (PackId, u64, u32),
}

/// Compare the chunks of the files that differ. Takes a range GET for the footer of each pack that this machine has not kept.
pub fn new_chunks(catalog: &Catalog, found: &Comparison) -> Result<NewChunks, CatalogError> {
    let before = pieces(catalog, found.changes.iter().filter_map(|it| it.old.as_ref()))?;
    let before: HashSet<ChunkId> = before.into_iter().map(|piece| piece.id).collect();
    let after = pieces(catalog, found.changes.iter().filter_map(|it| it.new.as_ref()))?;
    let mut new: HashMap<ChunkId, u32> = HashMap::new();
    let mut frames = BTreeSet::new();
    for piece in after.into_iter().filter(|piece| !before.contains(&piece.id)) {
        if new.insert(piece.id, piece.raw).is_none() {
            frames.insert(piece.frame);
        }
    }
    Ok(NewChunks {
        chunks: new.len() as u64,
        bytes: new.values().map(|raw| u64::from(*raw)).sum(),
        stored: frames.iter().map(|(.., stored)| u64::from(*stored)).sum(),
    })
}

/// The chunks of files, pack by pack.
fn pieces<'c>(
    catalog: &Catalog,
    contents: impl Iterator<Item = &'c Content>,
) -> Result<Vec<Piece>, CatalogError> {
    let by_oid: BTreeMap<Oid, &Content> = contents
        .filter_map(|content| match content {
            Content::File { oid, .. } => Some((*oid, content)),
            _ => None,
        })
        .collect();
    // Long recipes lie apart, as footers do: several requests at a time.
    let terms = |content: &&Content| {
        Ok(wanted_at(catalog, content, PathBuf::new())?.map_or(vec![], |wanted| wanted.terms))
    };
    let contents: Vec<&Content> = by_oid.into_values().collect();
    let terms: Vec<Vec<Term>> = contents.par_iter().map(terms).collect::<Result<_, CatalogError>>()?;
    let mut by_pack: BTreeMap<PackId, Vec<Term>> = BTreeMap::new();
    for term in terms.into_iter().flatten() {
        by_pack.entry(term.pack).or_default().push(term);
    }
    let of_pack = |(pack, terms): (PackId, Vec<Term>)| {
        let bad = |what| {
            let pack = key::pack(PackKind::Data, pack);
            CatalogError::Pack(PackError::Bad { pack, source: BadPack::Damaged(what) })
        };
        let footer = catalog.footer(pack)?.ok_or_else(|| bad("place in the catalog"))?;
        let mut found = Vec::new();
        for term in &terms {
            found.extend(chunks_of(term, &footer).ok_or_else(|| bad("list of frames"))?);
        }
        Ok(found)
    };
    let found: Vec<Vec<Piece>> = by_pack.into_par_iter().map(of_pack).collect::<Result<_, CatalogError>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// The chunks with bytes in a term; `None` if the pack has no frame where it begins.
fn chunks_of(term: &Term, footer: &Footer) -> Option<Vec<Piece>> {
    let first = footer.frames.binary_search_by_key(&term.offset, |frame| frame.offset).ok()?;
    let run = footer.frames[first..].iter().take_while(|it| it.offset - term.offset < term.stored);
    let (from, to) = (u64::from(term.skip), u64::from(term.skip).saturating_add(term.raw));
    let (mut at, mut found) = (0, Vec::new());
    for frame in run {
        for (id, raw) in &frame.chunks {
            let begins = at;
            at += u64::from(*raw);
            if begins < to && at > from {
                found.push(Piece { id: *id, raw: *raw, frame: (term.pack, frame.offset, frame.stored) });
            }
        }
    }
    Some(found)
}

//! From an oid to its recipe: inline rows of the log first, then the runs of the table, newest first.

use std::collections::{BTreeSet, HashMap};

use rayon::prelude::*;

use super::change::{RowBlock, TableKind};
use super::error::CatalogError;
use super::log::Catalog;
use super::plan::{Finding, runs};
use super::state::{Run, Segment};
use crate::id::{Oid, PackId, PackKind, RepoId};
use crate::pack::{Footer, PackInfo, Term, decode_exact, read_footer};
use crate::store::key;
use crate::table::{
    BadBlock, Frames, Leads, Recipe, Row, Slices, TableError, decode_rows, decode_terms, find_rows, is_damage,
};

impl Catalog {
    /// The best live row of each oid: one whose packs may all be named, if there is one, and of `repo` rather than of another
    /// where both were seen (bytes are bytes, and are verified). A row that needs a pack which is no longer in the table comes
    /// last: it may still be readable. Rows say where their data lies now, also where it was repacked (R4); that may take more terms
    /// than a row that is written has.
    pub fn find(&self, repo: RepoId, oids: &[Oid]) -> Result<HashMap<Oid, Row>, CatalogError> {
        let may_borrow = |pack| self.may_borrow(pack);
        let mut finding = Finding::new(&self.state, repo, oids, &may_borrow);
        finding.take(self.inline_rows()?);
        for run in runs(&self.state, TableKind::Files) {
            let asked = finding.ask(&run);
            // A few requests at a time: what hides the distance to a bucket.
            let found: Vec<_> = asked.par_iter().map(|(segment, oids)| self.find_in(segment, oids)).collect();
            for rows in found {
                finding.take(rows?);
            }
        }
        let mut found = finding.finish();
        found.par_iter_mut().for_each(|(_, row)| self.lead_on(row));
        Ok(found)
    }

    /// A row into packs that were repacked says where its data lies now. What cannot be read stays as it is: whoever needs it is told.
    pub fn lead_on(&self, row: &mut Row) {
        if let Recipe::Out { blob, .. } = &mut row.recipe {
            *blob = self.state.lead(blob);
        }
        let known = |pack: &PackId| self.state.packs().contains_key(pack);
        if row.packs().iter().all(known) {
            return;
        }
        if let Ok(terms) = self.terms(row)
            && terms.iter().all(|term| known(&term.pack))
        {
            row.recipe = Recipe::Inline(terms);
        }
    }

    fn find_in(&self, segment: &Segment, oids: &[Oid]) -> Result<Vec<Row>, CatalogError> {
        match find_rows(&self.store, &self.cache, &segment.at.written(), oids) {
            Ok(rows) => Ok(rows.into_iter().map(|row| segment.resolve(row)).collect()),
            // `fsck` has found it damaged: what only it knows counts as missing, and is stored anew by who has it.
            Err(error)
                if self.suspects.has(segment.at.fence.pack)
                    && is_damage(&self.store, &segment.at.written(), &error) =>
            {
                Ok(vec![])
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Every row that lies in the log itself, with its birth.
    pub fn inline_rows(&self) -> Result<Vec<Row>, CatalogError> {
        let mut all = Vec::new();
        for (seq, inline) in self.state.inline() {
            all.extend(self.rows_of(*seq, &inline.block)?);
        }
        Ok(all)
    }

    /// The rows that the entry of a push carries, with their birth.
    pub(super) fn rows_of(&self, seq: u64, block: &RowBlock) -> Result<Vec<Row>, CatalogError> {
        let bad = |source| TableError::Bad { pack: key::log(seq), source };
        let bytes = decode_exact(&block.bytes)
            .map_err(|_| bad(BadBlock::Inconsistent("inline rows cannot be decoded")))?;
        let mut rows = decode_rows(&bytes).map_err(bad)?;
        rows.iter_mut().filter(|row| row.born == 0).for_each(|row| row.born = seq);
        Ok(rows)
    }

    /// Whether the row and every pack it needs may be relied on by a new push.
    pub fn borrowable(&self, row: &Row) -> bool {
        !self.is_hit(row) && self.packs_of(row).iter().all(|pack| self.may_borrow(*pack))
    }

    /// Whether a pack may be named by a new push: it is in the table, and this machine has not found it damaged.
    pub fn may_borrow(&self, pack: PackId) -> bool {
        self.state.packs().contains_key(&pack) && !self.suspects.has(pack)
    }

    /// Whether this machine has found the pack damaged or missing.
    pub fn is_suspect(&self, pack: PackId) -> bool {
        self.suspects.has(pack)
    }

    /// Whether this machine has found the row wrong, or a pack that it needs, perhaps by forwards, damaged or missing.
    pub fn is_damaged(&self, row: &Row) -> bool {
        let forwarded = |pack: &PackId| !self.state.packs().contains_key(pack);
        self.is_hit(row)
            || (self.has_suspects()
                && self.packs_of(row).iter().any(forwarded)
                && self.terms(row).is_ok_and(|terms| terms.iter().any(|term| self.suspects.has(term.pack))))
    }

    fn is_hit(&self, row: &Row) -> bool {
        self.suspects.has_row(row) || self.packs_of(row).iter().any(|pack| self.suspects.has(*pack))
    }

    /// Every pack that the row needs; of a list of terms the one where it lies now.
    pub fn packs_of(&self, row: &Row) -> BTreeSet<PackId> {
        match &row.recipe {
            Recipe::Inline(_) => row.packs(),
            Recipe::Out { blob, packs } => {
                packs.iter().copied().chain([self.state.lead(blob).pack]).collect()
            }
        }
    }

    /// What reads roots, pages and lists of terms, where they lie now.
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(&self.store, &self.cache, &self.state)
    }

    /// Whether it has found anything of that kind.
    pub fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// These packs were found damaged or missing: no new row relies on them.
    pub fn suspect(&mut self, packs: impl IntoIterator<Item = PackId>) {
        self.suspects.add(packs, &self.cache);
    }

    /// What a verification found is kept in mind: packs that are damaged or missing, packs of which all was read and is right (restored
    /// from a backup for one), and files that are rebuilt with other bytes.
    pub fn keep_in_mind(&mut self, bad: &[PackId], good: &[PackId], wrong: &BTreeSet<Oid>) {
        self.suspects.add(bad.iter().copied(), &self.cache);
        self.suspects.acquit(good.iter().copied(), &self.cache);
        let now = self.head.seq();
        self.suspects.add_rows(wrong.iter().map(|oid| (*oid, now)), &self.cache);
    }

    /// Hands over the rows of every segment that can be read, a part at a time, and those in the log itself; dead ones are among them.
    pub fn readable_rows(&self, mut take: impl FnMut(Vec<Row>)) -> Result<(), CatalogError> {
        take(self.inline_rows()?);
        for segment in runs(&self.state, TableKind::Files).iter().flat_map(|run| run.segments.clone()) {
            let at = segment.at.written();
            for slice in Slices::new(&self.store, [(vec![at], segment.born)]) {
                match slice {
                    Ok(rows) => take(rows),
                    Err(error) if is_damage(&self.store, &at, &error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// The terms of a row, each led through forwards where its pack has left the table (R4).
    pub fn terms(&self, row: &Row) -> Result<Vec<Term>, CatalogError> {
        let mut terms = match &row.recipe {
            Recipe::Inline(terms) => terms.clone(),
            Recipe::Out { blob, .. } => {
                let bytes = self.frames().read(blob)?;
                let bad = |source| {
                    let pack = key::pack(PackKind::Meta, blob.pack);
                    CatalogError::Table(TableError::Bad { pack, source })
                };
                let terms = decode_terms(&bytes).map_err(bad)?;
                if terms.iter().map(Term::len).fold(0, u64::saturating_add) != row.size {
                    return Err(bad(BadBlock::Inconsistent(
                        "the terms of a recipe do not add up to its size",
                    )));
                }
                terms
            }
        };
        for term in terms.iter_mut().filter(|term| !self.state.packs().contains_key(&term.pack)) {
            let end = self.state.end(Run { pack: term.pack, offset: term.offset, stored: term.stored });
            (term.pack, term.offset) = (end.pack, end.offset);
        }
        Ok(terms)
    }

    /// The footer of a pack in the table, from the cache or by one range GET.
    pub fn footer(&self, pack: PackId) -> Result<Option<Footer>, CatalogError> {
        let Some(info) = self.state.packs().get(&pack) else { return Ok(None) };
        self.footer_of(pack, *info).map(Some)
    }

    /// The same of a pack that may be in the table only later.
    pub fn footer_of(&self, pack: PackId, info: PackInfo) -> Result<Footer, CatalogError> {
        if let Some(footer) = self.kept(pack, info) {
            return Ok(footer);
        }
        let footer = read_footer(&self.store, pack, info)?;
        self.keep_footer(pack, &footer);
        Ok(footer)
    }

    /// The footer of a pack in the table, if this machine has kept it.
    pub fn kept_footer(&self, pack: PackId) -> Option<Footer> {
        self.kept(pack, *self.state.packs().get(&pack)?)
    }

    fn kept(&self, pack: PackId, info: PackInfo) -> Option<Footer> {
        let bytes = self.cache.get(&format!("footer/{pack}"))?;
        Footer::parse(info.kind, info.size, &bytes).ok()
    }

    /// Keep the footer of a pack for later pushes.
    pub fn keep_footer(&self, pack: PackId, footer: &Footer) {
        let end = footer.frames.last().map(|frame| frame.offset + u64::from(frame.stored));
        if let Some(end) = end {
            self.cache.put(&format!("footer/{pack}"), &footer.encode(end));
        }
    }

    /// Footers of data packs that this machine has kept and a new push may name, newest first, of as many packs as `tried`. What is kept
    /// is not listed: of many small pushes that takes longer than to take one in.
    pub fn kept_footers(&self, tried: usize) -> impl Iterator<Item = (PackId, Footer)> + '_ {
        let packs = self.state.packs().keys().rev().filter(|pack| self.may_borrow_chunks(**pack));
        packs.take(tried).filter_map(|pack| Some((*pack, self.kept_footer(*pack)?)))
    }
}

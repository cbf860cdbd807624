//! The walk: all that live rows and the pages of live bundles name, and what holds which pack.
//!
//! Each page is read once, however many bundles share it. Whatever cannot be read ends the walk: nothing is garbage because
//! somebody could not read who names it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;

use super::blank::{Read, Reads};
use crate::bundle::{Bundle, Content, PageRef};
use crate::catalog::plan::Named;
use crate::catalog::state::{Run, State};
use crate::catalog::{Catalog, CatalogError};
use crate::id::{BundleId, PackId, PackKind, RepoId};
use crate::ops::bundle::open;
use crate::pack::{Blob, Term};
use crate::store::key;
use crate::table::{BadBlock, Leads, Recipe, Row, TableError, decode_terms};

/// Bundles opened, and pages read, at a time.
const TOGETHER: usize = 64;

/// Everything live.
#[derive(Debug, Default)]
pub struct Live {
    /// What rows and pages name.
    pub named: BTreeSet<Named>,
    /// The repos whose rows need a pack.
    pub rows: BTreeMap<PackId, BTreeSet<RepoId>>,
    /// The packs that each page needs, its own among them.
    pub pages: Vec<BTreeSet<PackId>>,
    /// The pages of each bundle, and the pack of its root.
    pub bundles: BTreeMap<BundleId, (PackId, Vec<u32>)>,
    /// What is read of each data pack, if that is asked for.
    pub reads: Option<Reads>,
    numbers: HashMap<Blob, u32>,
}

/// Reads all that is live in the state of the catalog; and says which bytes of frames that is, some 60 bytes of memory for each run.
pub fn walk(catalog: &Catalog, by_bytes: bool) -> Result<Live, CatalogError> {
    let mut live = Live { reads: by_bytes.then(Reads::new), ..Live::default() };
    let all = if by_bytes { catalog.every_live_row()? } else { catalog.live_rows()? };
    for rows in all {
        let mut rows = rows?;
        let older = older(&mut rows);
        live.read_too(catalog, &older)?;
        let recipes: Vec<&Recipe> = rows.iter().map(|row| &row.recipe).collect();
        for (row, needs) in rows.iter().zip(live.take(catalog, &recipes)?) {
            for pack in needs {
                live.rows.entry(pack).or_default().insert(row.repo);
            }
        }
    }
    let ids: Vec<BundleId> = catalog.state().bundles().keys().copied().collect();
    for some in ids.chunks(TOGETHER) {
        let opened: Result<Vec<Bundle<'_>>, CatalogError> =
            some.par_iter().map(|id| open(catalog, *id).map_err(unopened)).collect();
        for (id, bundle) in some.iter().zip(opened?) {
            live.take_bundle(catalog, *id, &bundle)?;
        }
    }
    Ok(live)
}

/// Takes from rows by key, the newest of each first, all others of their key.
fn older(rows: &mut Vec<Row>) -> Vec<Row> {
    let mut last = None;
    rows.extract_if(.., |row| last.replace(row.key()) == Some(row.key())).collect()
}

/// The bundle is one of the state, so it can only be unreadable.
fn unopened(error: crate::ops::bundle::NotFound) -> CatalogError {
    match error {
        crate::ops::bundle::NotFound::Catalog(error) => error,
        other => panic!("a live bundle is found by its id: {other}"),
    }
}

impl Live {
    /// What recipes name: remembered, and for each recipe the packs that it needs now.
    fn take(
        &mut self,
        catalog: &Catalog,
        recipes: &[&Recipe],
    ) -> Result<Vec<BTreeSet<PackId>>, CatalogError> {
        let state = catalog.state();
        let apart = recipes.iter().filter_map(|recipe| match recipe {
            Recipe::Out { blob, .. } => Some(*blob),
            Recipe::Inline(_) => None,
        });
        let frames = catalog.frames().read_all(apart)?;
        let mut needs = Vec::with_capacity(recipes.len());
        for recipe in recipes {
            let mut packs = BTreeSet::new();
            match recipe {
                Recipe::Inline(terms) => {
                    terms.iter().for_each(|term| self.term(state, term, &mut packs));
                }
                Recipe::Out { blob, packs: listed } => {
                    self.name(state, Named::Run(Run::from(blob)), &mut packs);
                    let terms = decode_terms(&frames[blob]).map_err(|source| damaged(blob, source))?;
                    terms.iter().for_each(|term| self.term(state, term, &mut packs));
                    // A list that says more than the terms is believed too.
                    let known: BTreeSet<PackId> = terms.iter().map(|term| term.pack).collect();
                    for pack in listed.iter().filter(|pack| !known.contains(pack)) {
                        self.name(state, Named::Pack(*pack), &mut packs);
                    }
                }
            }
            needs.push(packs);
        }
        Ok(needs)
    }

    /// Rows that are not named, for a newer one of their key is; but who cannot read that one finds these (R4).
    fn read_too(&mut self, catalog: &Catalog, rows: &[Row]) -> Result<(), CatalogError> {
        let Some(reads) = &mut self.reads else { return Ok(()) };
        let state = catalog.state();
        let is_there = |blob: &&Blob| state.packs().contains_key(&state.lead(blob).pack);
        let apart = rows.iter().filter_map(|row| match &row.recipe {
            Recipe::Out { blob, .. } => Some(blob).filter(is_there),
            Recipe::Inline(_) => None,
        });
        let frames = catalog.frames().read_all(apart.copied())?;
        for row in rows {
            let terms = match &row.recipe {
                Recipe::Inline(terms) => terms.clone(),
                Recipe::Out { blob, .. } => match frames.get(blob) {
                    Some(bytes) => decode_terms(bytes).map_err(|source| damaged(blob, source))?,
                    None => continue,
                },
            };
            for term in &terms {
                let run = state.end(Run::from(term));
                reads.entry(run.pack).or_default().insert(Read::of(run, term));
            }
        }
        Ok(())
    }

    fn term(&mut self, state: &State, term: &Term, packs: &mut BTreeSet<PackId>) {
        self.name(state, Named::Run(Run::from(term)), packs);
        if let Some(reads) = &mut self.reads {
            let run = state.end(Run::from(term));
            reads.entry(run.pack).or_default().insert(Read::of(run, term));
        }
    }

    fn name(&mut self, state: &State, named: Named, packs: &mut BTreeSet<PackId>) {
        packs.insert(match named {
            Named::Run(run) => state.end(run).pack,
            Named::Pack(pack) => pack,
        });
        self.named.insert(named);
    }

    fn take_bundle(
        &mut self,
        catalog: &Catalog,
        id: BundleId,
        bundle: &Bundle<'_>,
    ) -> Result<(), CatalogError> {
        let all = &bundle.root().pages;
        let new: Vec<&PageRef> = all.iter().filter(|page| !self.numbers.contains_key(&page.blob)).collect();
        for some in new.chunks(TOGETHER) {
            for (page, entries) in some.iter().zip(bundle.pages(some)?) {
                let recipes: Vec<&Recipe> = entries
                    .iter()
                    .filter_map(|entry| match &entry.content {
                        Content::File { recipe, .. } => Some(recipe),
                        Content::Link { .. } | Content::Module { .. } => None,
                    })
                    .collect();
                let needs = self.take(catalog, &recipes)?;
                let mut packs: BTreeSet<PackId> = needs.into_iter().flatten().collect();
                self.name(catalog.state(), Named::Run(Run::from(&page.blob)), &mut packs);
                self.numbers.insert(page.blob, u32::try_from(self.pages.len()).expect("fewer pages"));
                self.pages.push(packs);
            }
        }
        let root = catalog.state().lead(&catalog.state().bundles()[&id].root).pack;
        let pages = all.iter().map(|page| self.numbers[&page.blob]).collect();
        self.bundles.insert(id, (root, pages));
        Ok(())
    }

    /// The packs that a bundle needs.
    pub fn of_bundle(&self, id: BundleId) -> BTreeSet<PackId> {
        let Some((root, pages)) = self.bundles.get(&id) else { return BTreeSet::new() };
        let pages = pages.iter().flat_map(|page| &self.pages[*page as usize]);
        pages.copied().chain([*root]).collect()
    }
}

fn damaged(blob: &Blob, source: BadBlock) -> CatalogError {
    TableError::Bad { pack: key::pack(PackKind::Meta, blob.pack), source }.into()
}

//! A draft: what a bundle will be, while the recipes of its new files are still being made.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::resolve;
use crate::bundle::{Changes, Content, Entry, Facts, PageRef, Root, edit, is_at_or_below, write_page};
use crate::catalog::change::{BundleRef, Change};
use crate::catalog::{Catalog, CatalogError, Refusal};
use crate::id::{BundleId, GitId, Oid, PackId, RepoId};
use crate::ops::publish::{recipe, shortened};
use crate::pack::MetaSeries;
use crate::table::{Recipe, Row, add_frame};

/// What will lie at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// A file that the same upload takes in, or that the store has.
    File {
        /// Whether it may be run.
        executable: bool,
        /// Its SHA-256.
        oid: Oid,
        /// Its length, bytes.
        size: u64,
    },
    /// A symbolic link.
    Link(Vec<u8>),
    /// A submodule at a commit.
    Module(GitId),
}

/// A bundle to be made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its name, drawn before it is made.
    pub id: BundleId,
    /// The bundle that it differs from by `changes`, and whose pages it shares; an empty one where there is none.
    pub base: Option<Root>,
    /// What is said of it.
    pub facts: Facts,
    /// What lies at each path from now on; nothing where there is `None`.
    pub changes: BTreeMap<Vec<u8>, Option<Planned>>,
    /// Whether `latest` leads to it from then on.
    pub is_latest: bool,
}

/// A bundle that was written, and the packs that its own pages name (R2).
pub(in crate::ops) struct Written {
    pub bundle: BundleRef,
    pub named: BTreeSet<PackId>,
}

impl Draft {
    /// A new bundle after `base`.
    pub fn new(base: Option<Root>, facts: Facts, changes: BTreeMap<Vec<u8>, Option<Planned>>) -> Draft {
        Draft { id: BundleId::new(), base, facts, changes, is_latest: false }
    }

    /// Write pages and root. `rows` are those of the entry being made, in order; files that are not among them are in the store.
    /// `alone` shares no page: the base was dropped meanwhile, and what it had last is written anew.
    pub(in crate::ops) fn write(
        &self,
        catalog: &Catalog,
        repo: RepoId,
        rows: &[Row],
        metas: &mut MetaSeries,
        alone: bool,
    ) -> Result<Written, CatalogError> {
        let mut before = self.base_now(catalog, alone)?;
        let recipes = Recipes::of(catalog, repo, self.changes.values().flatten(), rows, metas)?;
        let mut changes = Changes::new();
        if let Some(gone) = before.as_mut().filter(|_| alone) {
            changes = rest_of(catalog, metas, gone.to_mut(), &self.changes)?;
        }
        let base = before.as_deref().filter(|_| !alone);
        for (path, planned) in &self.changes {
            let content = planned.as_ref().map(|planned| recipes.content(planned)).transpose()?;
            changes.insert(path.clone(), content);
        }
        let mut named = BTreeSet::new();
        let metas = RefCell::new(metas);
        let pages = edit(
            base.map_or(&[], |root| &root.pages),
            changes,
            |at| kept(catalog, &mut metas.borrow_mut(), at),
            |entries| {
                named.extend(entries.iter().flat_map(packs_of));
                Ok::<_, CatalogError>(write_page(metas.borrow_mut().room()?, catalog.cache(), repo, entries))
            },
        )?;
        let metas = metas.into_inner();
        let facts = self.facts_after(before.as_deref());
        let root = Root { id: self.id, repo, facts, pages };
        let blob = add_frame(metas.room()?, catalog.cache(), &root.encode());
        let (commit, tree) = (self.facts.commit, self.facts.tree);
        let base = base.map(|root| root.id);
        Ok(Written { bundle: BundleRef { id: self.id, repo, base, root: blob, commit, tree }, named })
    }
}

impl Draft {
    /// The base as it is by now: files may have been taken out of it since the draft was begun, and with them the pages it had.
    fn base_now(&self, catalog: &Catalog, alone: bool) -> Result<Option<Cow<'_, Root>>, CatalogError> {
        let Some(base) = &self.base else { return Ok(None) };
        match catalog.state().bundles().get(&base.id) {
            Some(known) if known.revised == 0 => Ok(Some(Cow::Borrowed(base))),
            Some(_) => Ok(Some(Cow::Owned(resolve::root_of(catalog, base.id)?))),
            None if alone => Ok(Some(Cow::Borrowed(base))),
            None => Err(Refusal::BaseBundleGone { bundle: base.id }.into()),
        }
    }

    /// What was taken out of a parent is missing here too, where nothing else was put in its place.
    fn facts_after(&self, base: Option<&Root>) -> Facts {
        let mut facts = self.facts.clone();
        let parent = base.filter(|base| facts.parents.contains(&base.id));
        for path in parent.into_iter().flat_map(|base| &base.facts.redacted) {
            let is_back =
                |(changed, to): (&Vec<u8>, &Option<Planned>)| to.is_some() && is_at_or_below(changed, path);
            if !facts.redacted.contains(path) && !self.changes.iter().any(is_back) {
                facts.redacted.push(path.clone());
            }
        }
        facts
    }
}

pub(super) fn packs_of(entry: &Entry) -> BTreeSet<PackId> {
    match &entry.content {
        Content::File { recipe, .. } => recipe.packs(),
        Content::Link { .. } | Content::Module { .. } => BTreeSet::new(),
    }
}

/// The entries of a page of the base; one whose data was repacked names the packs where it lies now (R4).
pub(super) fn kept(
    catalog: &Catalog,
    metas: &mut MetaSeries,
    at: &PageRef,
) -> Result<Vec<Entry>, CatalogError> {
    let mut entries = at.read(catalog.frames())?;
    for entry in &mut entries {
        let moved = has_moved(catalog, &packs_of(entry));
        if let (true, Content::File { oid, size, recipe: old, .. }) = (moved, &mut entry.content) {
            let row = Row { oid: *oid, repo: RepoId::NIL, born: 0, size: *size, recipe: old.clone() };
            *old = recipe(metas, &catalog.terms(&row)?)?;
        }
    }
    Ok(entries)
}

fn has_moved(catalog: &Catalog, packs: &BTreeSet<PackId>) -> bool {
    packs.iter().any(|pack| !catalog.state().packs().contains_key(pack))
}

/// What is left of a version that was dropped since it was read, but for what is changed now: the state knows it no more, so the log
/// itself is asked which paths were taken out of all versions since this one came.
fn rest_of(
    catalog: &Catalog,
    metas: &mut MetaSeries,
    gone: &mut Root,
    changes: &BTreeMap<Vec<u8>, Option<Planned>>,
) -> Result<Changes, CatalogError> {
    let mut rest = Changes::new();
    for page in &gone.pages {
        let entries = page.read(catalog.frames())?.into_iter();
        let stay = entries.filter(|it| !changes.contains_key(&it.path));
        rest.extend(stay.map(|it| (it.path, Some(it.content))));
    }
    for seq in (0..catalog.state().next()).rev() {
        let paths = match catalog.change(seq)?.change {
            Change::Redact(it) if it.repo == gone.repo => it.paths,
            Change::Push(push) if push.bundles.iter().any(|it| it.id == gone.id) => break,
            _ => continue,
        };
        for path in paths {
            let had = rest.len();
            rest.retain(|it, _| !is_at_or_below(it, &path));
            if rest.len() < had {
                gone.facts.redacted.push(path);
            }
        }
    }
    still_there(catalog, metas, gone.repo, &mut rest)?;
    Ok(rest)
}

/// Files that nothing live may need any more: where one was copied its parts may be zeros in the copy (R4), so it is had from a row that
/// is live, or not at all.
fn still_there(
    catalog: &Catalog,
    metas: &mut MetaSeries,
    repo: RepoId,
    rest: &mut Changes,
) -> Result<(), CatalogError> {
    let files = rest.values_mut().flatten().filter_map(|content| match content {
        Content::File { oid, size, recipe, .. } => Some((*oid, *size, recipe)),
        Content::Link { .. } | Content::Module { .. } => None,
    });
    let moved: Vec<_> = files.filter(|(_, _, recipe)| has_moved(catalog, &recipe.packs())).collect();
    let oids: Vec<Oid> = moved.iter().map(|(oid, ..)| *oid).collect();
    let rows = catalog.find(repo, &oids)?;
    for (oid, size, recipe) in moved {
        let row = rows.get(&oid).filter(|row| row.size == size && !has_moved(catalog, &row.packs()));
        *recipe = shortened(metas, row.ok_or(CatalogError::NoData { oid })?.recipe.clone())?;
    }
    Ok(())
}

/// Where the bytes of each file of a draft lie.
pub(in crate::ops) struct Recipes(HashMap<Oid, (u64, Recipe)>);

impl Recipes {
    /// Those of what is planned, from `rows`, in order, or from the store.
    pub fn of<'p>(
        catalog: &Catalog,
        repo: RepoId,
        planned: impl Iterator<Item = &'p Planned>,
        rows: &[Row],
        metas: &mut MetaSeries,
    ) -> Result<Recipes, CatalogError> {
        let mut known = HashMap::new();
        let mut other = Vec::new();
        for planned in planned {
            let Planned::File { oid, .. } = planned else { continue };
            let at = rows.partition_point(|row| row.oid < *oid);
            match rows.get(at).filter(|row| row.oid == *oid) {
                Some(row) => drop(known.insert(*oid, (row.size, row.recipe.clone()))),
                None => other.push(*oid),
            }
        }
        let found = catalog.find(repo, &other)?;
        for (oid, row) in found {
            known.insert(oid, (row.size, shortened(metas, row.recipe)?));
        }
        Ok(Recipes(known))
    }

    /// What lies at a path of that plan.
    pub fn content(&self, planned: &Planned) -> Result<Content, CatalogError> {
        Ok(match planned {
            Planned::Link(target) => Content::Link { target: target.clone() },
            Planned::Module(commit) => Content::Module { commit: *commit },
            Planned::File { executable, oid, size } => match self.0.get(oid) {
                Some((there, recipe)) if there == size => {
                    let (executable, oid, size) = (*executable, *oid, *size);
                    Content::File { executable, oid, size, recipe: recipe.clone() }
                }
                _ => return Err(CatalogError::NoData { oid: *oid }),
            },
        })
    }
}

//! Versions whose root or pages nobody has kept, made anew from the commits that they are of (ADR 26).
//!
//! A commit says what its version has; only where the bytes lie is in the store alone, and there the rows of the files say it as well. So
//! in a clone that has the commit, the version gets another root, under its id: over the pages that are still there, or over new ones of
//! all of it. A page is proven by its hash in the root. Where the root itself is lost nothing proves what the version had, so it is made
//! anew only where nothing leaves a doubt: the commit itself says where the dataset lies and what is in it, the clone has all of that, and
//! the log says what was taken out. What stays lost is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_bytes::ByteBuf;

use super::{Clone, Damage, NotRepaired, Unreadable, folder};
use crate::bundle::{Changes, Content, Entry, Root, is_at_or_below, page_hash};
use crate::catalog::change::{Change, Redact};
use crate::catalog::{Catalog, CatalogError, Refusal};
use crate::git::{Datasets, ObjectId};
use crate::id::{BundleId, Oid, PackId, RepoId};
use crate::ops::bundle::{
    Dataset, NoBundle, Planned, Planning, Recipes, Revisions, git_id, parents, root_of, said_by,
};
use crate::ops::failure::Kind;
use crate::ops::local;
use crate::pack::Blob;
use crate::table::Recipe;

/// Versions of one entry.
const MOST_VERSIONS: usize = 64;
/// Files of one entry, which are in memory together; a version may have more.
const MOST_FILES: usize = 200_000;
/// Times it is begun again because somebody pushed meanwhile.
const ATTEMPTS: usize = 16;

/// What lies at each path.
type Files = BTreeMap<Vec<u8>, Planned>;

/// A version as it will be.
struct Anew {
    from: Blob,
    /// With those of its pages that can be read.
    root: Root,
    /// What lies on the others.
    lost: Files,
}

/// Gives other roots to versions in `damage` that can be made anew from the commits of these clones, and takes them out of it. How many
/// those were.
pub(super) fn remake(
    catalog: &mut Catalog,
    damage: &mut Damage,
    clones: &[Clone],
    scratch: &Path,
) -> Result<u64, NotRepaired> {
    let (mut done, mut redactions) = (0, Redactions::default());
    for clone in clones {
        let mut by_repo: BTreeMap<RepoId, Vec<BundleId>> = BTreeMap::new();
        for (bundle, hit) in &damage.versions {
            by_repo.entry(hit.repo).or_default().push(*bundle);
        }
        // Nothing is promised to a repo that is deleted (R14): it may be undeleted, and repaired then.
        by_repo.retain(|repo, _| !catalog.state().repos().get(repo).is_some_and(|it| it.deleted));
        for (repo, bundles) in by_repo {
            let mut left = bundles.as_slice();
            while !left.is_empty() {
                let (taken, made) =
                    remake_some(catalog, repo, left, damage, (clone, &mut redactions), scratch)?;
                left = &left[taken..];
                damage.versions.retain(|bundle, _| !made.contains(bundle));
                done += made.len() as u64;
            }
        }
    }
    // What was given up meanwhile is not lost.
    damage.versions.retain(|bundle, _| catalog.state().bundles().contains_key(bundle));
    Ok(done)
}

/// The first of these versions, in one entry: how many it looked at, and which it made.
fn remake_some(
    catalog: &mut Catalog,
    repo: RepoId,
    bundles: &[BundleId],
    damage: &Damage,
    (clone, redactions): (&Clone, &mut Redactions),
    scratch: &Path,
) -> Result<(usize, BTreeSet<BundleId>), NotRepaired> {
    let mut most = MOST_VERSIONS;
    for _ in 0..ATTEMPTS {
        // What an earlier run of this machine left may change what roots there are.
        catalog.settle()?;
        let is_known = redactions.read(catalog);
        let (mut anew, mut files, mut taken) = (Vec::new(), 0, 0);
        for bundle in bundles {
            if taken == most || files > MOST_FILES {
                break;
            }
            taken += 1;
            let (folder, hit) = (folder(scratch)?, &damage.versions[bundle]);
            let Some(commit) = clone.commit(hit) else { continue };
            let Some((root, is_whole)) = clone.root_of(catalog, *bundle, hit, commit) else { continue };
            // Whatever is in the way: somebody else may have what this clone has not, and the version is told as lost if nobody has.
            let Some(all) = clone.files(&root, commit, folder.path())? else { continue };
            let own = redactions.found.iter().filter(|it| it.repo == repo);
            let own = if is_known || is_whole { own.collect::<Vec<_>>() } else { continue };
            if let Some(it) = version(catalog, root, is_whole, hit, all, &own) {
                files += it.lost.len();
                anew.push(it);
            }
        }
        if anew.is_empty() {
            return Ok((taken, BTreeSet::new()));
        }
        match write(catalog, repo, &anew) {
            Ok(()) => return Ok((taken, anew.iter().map(|it| it.root.id).collect())),
            Err(CatalogError::Refused(Refusal::RepoDeleted { .. } | Refusal::RepoMoved { .. })) => {
                return Ok((bundles.len(), BTreeSet::new()));
            }
            // One that has to do with what is damaged besides costs no other.
            Err(CatalogError::Table(_) | CatalogError::Pack(_) | CatalogError::NoData { .. })
                if most == 1 =>
            {
                return Ok((taken, BTreeSet::new()));
            }
            Err(CatalogError::Table(_) | CatalogError::Pack(_) | CatalogError::NoData { .. }) => most = 1,
            Err(CatalogError::Refused(refusal)) if refusal.outdates_plan() => catalog.refresh()?,
            Err(error) => return Err(error.into()),
        }
    }
    // Others push all the time; what is left is told, and the next run begins with it.
    Ok((bundles.len(), BTreeSet::new()))
}

/// What was taken out, by everything that the log says.
#[derive(Default)]
struct Redactions {
    /// Entries that were read.
    upto: u64,
    found: Vec<Redact>,
}

impl Redactions {
    /// Reads on; whether all of the log could be read.
    fn read(&mut self, catalog: &Catalog) -> bool {
        while self.upto < catalog.state().next() {
            let Ok(record) = catalog.change(self.upto) else { return false };
            if let Change::Redact(redact) = record.change
                && !redact.paths.is_empty()
            {
                self.found.push(redact);
            }
            self.upto += 1;
        }
        true
    }
}

fn write(catalog: &mut Catalog, repo: RepoId, anew: &[Anew]) -> Result<(), CatalogError> {
    let seq = catalog.head().seq();
    let mut revisions = Revisions::of(catalog);
    let planned = anew.iter().flat_map(|it| it.lost.values());
    let recipes = Recipes::of(catalog, repo, planned, &[], &mut revisions.metas)?;
    for Anew { from, root, lost } in anew {
        let content =
            |(path, planned): (&Vec<u8>, &Planned)| Ok((path.clone(), Some(recipes.content(planned)?)));
        let changes = lost.iter().map(content).collect::<Result<Changes, CatalogError>>()?;
        revisions.add(*from, root.clone(), changes)?;
    }
    let record = revisions.record(repo, seq, &[], &[])?;
    catalog.commit(&record)?;
    Ok(())
}

impl Clone {
    /// The commit of a version, if this clone has it.
    fn commit(&self, hit: &Unreadable) -> Option<ObjectId> {
        self.objects.known(ObjectId::try_from(hit.commit?.as_bytes()).ok()?)
    }

    /// The root of a version, and whether it is the one that it has: else it has no pages.
    fn root_of(
        &self,
        catalog: &Catalog,
        id: BundleId,
        hit: &Unreadable,
        commit: ObjectId,
    ) -> Option<(Root, bool)> {
        catalog.state().bundles().get(&id)?;
        match root_of(catalog, id) {
            // It was out of reach, or is mended by now: its pages were not looked at.
            Ok(_) if hit.pages.is_empty() => None,
            Ok(root) => Some((root, true)),
            Err(error) if matches!(Kind::of_catalog(&error), Kind::Integrity | Kind::NotFound) => {
                Some((self.root(catalog, id, commit)?, false))
            }
            Err(_) => None,
        }
    }

    /// A root without pages that says what the commit does.
    fn root(&self, catalog: &Catalog, id: BundleId, commit: ObjectId) -> Option<Root> {
        let known = &catalog.state().bundles()[&id];
        let (repo, tree) = (known.repo, known.tree?);
        // Where the history ends is not where the parents do.
        if self.repo.git().run(["rev-parse", "--is-shallow-repository"]).ok()? != b"false\n" {
            return None;
        }
        let dataset = Dataset::from(&Datasets::of(&self.repo, &self.objects).ok()?.own_place(repo, commit)?);
        let found = self.objects.tree_at(commit, &dataset.path).ok()??;
        if git_id(found) != tree {
            return None;
        }
        let mut facts = said_by(&self.repo, commit, false).ok()?;
        facts.parents = parents(catalog, &self.objects, repo, &dataset, commit, known.seq).ok()?;
        (facts.commit, facts.tree) = (Some(git_id(commit)), Some(tree));
        facts.include = dataset.lfs_only.then(|| "lfs".to_owned());
        facts.path = dataset.path;
        Some(Root { id, repo, facts, pages: vec![] })
    }

    /// What the commit has at the dataset's path, if all of that is here; an error if there is no room for it.
    fn files(&self, root: &Root, commit: ObjectId, scratch: &Path) -> Result<Option<Files>, NotRepaired> {
        let dataset = Dataset { path: root.facts.path.clone(), lfs_only: root.facts.include.is_some() };
        if !self.has_all(&dataset, commit) {
            return Ok(None);
        }
        let all = match Planning::of_all((&self.repo, &self.objects), &dataset, commit, scratch) {
            Ok(all) => all,
            Err(NoBundle::Scratch { path, source }) => return Err(NotRepaired::Scratch { path, source }),
            Err(_) => return Ok(None),
        };
        let mut read: BTreeMap<PathBuf, (Oid, u64)> = BTreeMap::new();
        for file in all.uploads().into_iter().filter(|file| file.oid.is_none()) {
            let unread = |source| NotRepaired::Scratch { path: file.path.display().to_string(), source };
            let oid = local::oid_of(&file.path).map_err(unread)?;
            read.insert(file.path, (oid, file.size));
        }
        let all = all.changes(&read).into_iter();
        Ok(Some(all.filter_map(|(path, planned)| Some((path, planned?))).collect()))
    }

    /// Whether this clone has each file and link there: a partial one would take a pointer that it lacks for none.
    fn has_all(&self, dataset: &Dataset, commit: ObjectId) -> bool {
        let tree = self.objects.tree_at(commit, &dataset.path).ok().flatten();
        let Some(Ok(all)) = tree.map(|tree| self.objects.delta(None, tree)) else { return false };
        let mut items = all.into_values().flatten().filter(|item| item.mode != 0o160_000);
        items.all(|item| self.objects.known(item.id).is_some())
    }
}

/// The version with what its commit has, if the store has all of that, and the log leaves no doubt of what was taken out.
fn version(
    catalog: &Catalog,
    mut root: Root,
    is_whole: bool,
    hit: &Unreadable,
    mut all: Files,
    redactions: &[&Redact],
) -> Option<Anew> {
    let known = catalog.state().bundles().get(&root.id)?;
    let live = catalog.find(known.repo, &oids(&all)).ok()?;
    let is_there = |pack: &PackId| catalog.state().packs().contains_key(pack);
    let is_live = |it: &Planned| match it {
        Planned::File { oid, size, .. } => {
            live.get(oid).is_some_and(|row| row.size == *size && row.packs().iter().all(is_there))
        }
        Planned::Link(_) | Planned::Module(_) => true,
    };
    if is_whole {
        all.retain(|path, _| !is_below_any(path, &root.facts.redacted));
    } else {
        root.facts.redacted = taken_out(root.id, &mut all, redactions, |oid| live.contains_key(oid))?;
    }
    let lost = rest(&mut root, hit, all, is_whole)?;
    lost.values().all(is_live).then_some(Anew { from: known.root, root, lost })
}

fn oids(all: &Files) -> Vec<Oid> {
    let oid = |planned: &Planned| match planned {
        Planned::File { oid, .. } => Some(*oid),
        Planned::Link(_) | Planned::Module(_) => None,
    };
    all.values().filter_map(oid).collect()
}

fn is_below_any(path: &[u8], folders: &[ByteBuf]) -> bool {
    folders.iter().any(|folder| is_at_or_below(path, folder))
}

/// Takes out of `all` what redactions took out of this version, or out of the one that it was made from. The first are told by the log. Of
/// the others only a file is certain that was given up then and has no row since: one that has may be there again, or may not.
fn taken_out(
    id: BundleId,
    all: &mut Files,
    redactions: &[&Redact],
    has_row: impl Fn(&Oid) -> bool,
) -> Option<Vec<ByteBuf>> {
    let mut out = BTreeSet::new();
    // The last first: what was taken out of this version it had, whatever was taken out before.
    for Redact { paths, bundles, keys, .. } in redactions.iter().rev() {
        let is_own = bundles.iter().any(|it| it.bundle == id);
        let is_given_up = |it: &Planned| match it {
            Planned::File { oid, .. } => keys.contains(oid) && !has_row(oid),
            Planned::Link(_) | Planned::Module(_) => false,
        };
        for path in paths {
            let below: Vec<Vec<u8>> = all.keys().filter(|it| is_at_or_below(it, path)).cloned().collect();
            if !below.iter().all(|it| is_own || is_given_up(&all[it])) {
                return None;
            }
            below.iter().for_each(|it| drop(all.remove(it)));
            out.extend((!below.is_empty()).then(|| path.clone()));
        }
    }
    Some(out.into_iter().collect())
}

/// What lies on the pages that cannot be read, which go from the root: of each, what its hash in the root proves.
fn rest(root: &mut Root, hit: &Unreadable, all: Files, is_whole: bool) -> Option<Files> {
    if !is_whole {
        return Some(all);
    }
    let is_hit = |first: &Vec<u8>| hit.pages.iter().any(|(it, _)| it == first);
    let mut lost = BTreeMap::new();
    for (at, page) in root.pages.iter().enumerate().filter(|(_, page)| is_hit(&page.first)) {
        let end = root.pages.get(at + 1).map(|next| &next.first);
        let own = all.range(page.first.clone()..).take_while(|(path, _)| end.is_none_or(|end| *path < end));
        let own: Files = own.map(|(path, it)| (path.clone(), it.clone())).collect();
        let entries: Vec<Entry> = own.iter().map(entry).collect();
        if page_hash(&entries) != page.hash {
            return None;
        }
        lost.extend(own);
    }
    root.pages.retain(|page| !is_hit(&page.first));
    Some(lost)
}

/// An entry that leads nowhere yet.
fn entry((path, planned): (&Vec<u8>, &Planned)) -> Entry {
    let content = match planned {
        Planned::File { executable, oid, size } => {
            let recipe = Recipe::Inline(vec![]);
            Content::File { executable: *executable, oid: *oid, size: *size, recipe }
        }
        Planned::Link(target) => Content::Link { target: target.clone() },
        Planned::Module(commit) => Content::Module { commit: *commit },
    };
    Entry { path: path.clone(), content }
}

#[cfg(test)]
mod tests;

//! What a collection would do, as a value: which packs stay and why, which go, and what each repo, label and version holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::walk::{Live, walk};
use super::waste::{Partly, Waste};
use super::{Amount, Limits, NotCollected, Stock, orphans, stock};
use crate::catalog::change::DEFAULT_BRANCH;
use crate::catalog::plan::Mark;
use crate::catalog::{Catalog, State};
use crate::id::{BundleId, PackId, PackKind, RepoId};
use crate::ops::bundle::labels_of;

/// Versions that are told as holders of one pack.
const MOST_TOLD: usize = 3;

/// What something holds, at the time of the plan. Packs are held by several, so sums say nothing.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    /// The repo.
    pub repo: String,
    /// What people call it.
    pub name: String,
    /// The label, of labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The version, of versions and labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// The git commit it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The packs that have some of its data or its tables.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those that no other version needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone: Option<u64>,
}

/// One pack, and what becomes of it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The pack.
    pub pack: String,
    /// `data` or `meta`.
    pub kind: &'static str,
    /// Its bytes.
    pub bytes: u64,
    /// Those of them that are dead, of packs that are needed.
    pub unused: u64,
    /// Whether it stays.
    pub kept: bool,
    /// Why it stays or goes.
    pub why: Vec<String>,
}

/// Packs that stay for one kind of reason. Many stay for several, so sums say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `files` that a repo was promised, `versions`, `table` or `checkpoint`.
    pub why: &'static str,
    /// How many.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a collection would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The log entry that it was made on.
    pub mark: u64,
    /// Packs that stay.
    pub kept: Amount,
    /// Packs that would be condemned now.
    pub condemned: Amount,
    /// Those of them that no entry names.
    pub orphans: Amount,
    /// Packs that no entry names and that are too young.
    pub young: Amount,
    /// Packs that would be condemned after what is live in them was copied.
    pub repacked: Amount,
    /// Bytes that would be read and copied for that.
    pub copied_bytes: u64,
    /// Bytes that are dead in packs that stay.
    pub unused_bytes: u64,
    /// By repo: its rows and its versions.
    pub repos: Vec<Held>,
    /// By label.
    pub labels: Vec<Held>,
    /// By version, newest first.
    pub versions: Vec<Held>,
    /// Why packs stay, by kind.
    pub reasons: Vec<Reason>,
    /// Every pack.
    pub packs: Vec<Shown>,
}

/// Find out what a collection would do. Nothing is written: ages are counted up to the newest object of the store.
pub fn plan(catalog: &Catalog, limits: Limits) -> Result<Plan, NotCollected> {
    let stock = stock(catalog.store())?;
    let live = walk(catalog, false)?;
    let now = stock.values().map(|it| it.modified).max().unwrap_or(0);
    let (old, young) = orphans(catalog, &stock, now, limits.orphans);
    let mark = Mark::take(catalog.state(), &live.named, &old);
    let waste = Waste::of(catalog, &mark, &live, &stock, &limits);
    let view = View::of(catalog, &live, &stock);
    let size = |pack: &PackId| view.size(*pack);
    let packs = view.packs(&mark, &old, &waste);
    let gone = |pack: &PackId| mark.victims.contains(pack) || waste.chosen.iter().any(|it| it.pack == *pack);
    let stay: Vec<PackId> = catalog.state().packs().keys().filter(|pack| !gone(pack)).copied().collect();
    let kept = packs.iter().filter(|it| it.kept).map(|it| it.bytes);
    Ok(Plan {
        mark: mark.seq,
        kept: Amount::of(kept),
        condemned: Amount::of(mark.victims.iter().map(size)),
        orphans: Amount::of(mark.victims.intersection(&old).map(size)),
        young,
        repacked: Amount::of(waste.chosen.iter().map(|it| it.info.size)),
        copied_bytes: waste.chosen.iter().map(Partly::live_bytes).fold(0, u64::saturating_add),
        unused_bytes: waste.unused(),
        repos: view.repos(),
        labels: view.labels(),
        versions: view.versions(),
        reasons: view.reasons(&stay),
        packs,
    })
}

/// What holds what.
struct View<'a> {
    catalog: &'a Catalog,
    live: &'a Live,
    stock: &'a Stock,
    /// How many versions need a pack, and the first few of them.
    holders: BTreeMap<PackId, (u64, Vec<BundleId>)>,
}

impl<'a> View<'a> {
    fn of(catalog: &'a Catalog, live: &'a Live, stock: &'a Stock) -> View<'a> {
        let mut holders: BTreeMap<PackId, (u64, Vec<BundleId>)> = BTreeMap::new();
        for id in live.bundles.keys() {
            for pack in live.of_bundle(*id) {
                let (count, some) = holders.entry(pack).or_default();
                *count += 1;
                if some.len() < MOST_TOLD {
                    some.push(*id);
                }
            }
        }
        View { catalog, live, stock, holders }
    }

    fn state(&self) -> &'a State {
        self.catalog.state()
    }

    fn size(&self, pack: PackId) -> u64 {
        let known = self.state().packs().get(&pack).map(|info| info.size);
        known.or_else(|| self.stock.get(&pack).map(|it| it.size)).unwrap_or(0)
    }

    fn held(&self, repo: RepoId, packs: &BTreeSet<PackId>) -> Held {
        let known = self.state().repos().get(&repo);
        let amount = Amount::of(packs.iter().map(|pack| self.size(*pack)));
        Held {
            repo: repo.to_string(),
            name: known.map_or_else(|| repo.to_string(), |it| it.name.clone()),
            label: None,
            bundle: None,
            commit: None,
            packs: amount.count,
            bytes: amount.bytes,
            alone: None,
        }
    }

    fn of_version(&self, id: BundleId) -> Held {
        let bundle = &self.state().bundles()[&id];
        let packs = self.live.of_bundle(id);
        let alone = packs.iter().filter(|pack| self.holders[*pack].0 == 1).map(|pack| self.size(*pack));
        Held {
            bundle: Some(id.to_string()),
            commit: bundle.commit.map(|commit| commit.to_string()),
            alone: Some(alone.fold(0, u64::saturating_add)),
            ..self.held(bundle.repo, &packs)
        }
    }

    fn repos(&self) -> Vec<Held> {
        let mut packs: BTreeMap<RepoId, BTreeSet<PackId>> = BTreeMap::new();
        for (pack, repos) in &self.live.rows {
            for repo in repos {
                packs.entry(*repo).or_default().insert(*pack);
            }
        }
        for (id, bundle) in self.state().bundles() {
            packs.entry(bundle.repo).or_default().extend(self.live.of_bundle(*id));
        }
        packs.iter().map(|(repo, packs)| self.held(*repo, packs)).collect()
    }

    fn labels(&self) -> Vec<Held> {
        let set = self.state().labels().iter().filter_map(|((_, name), at)| Some((name, at.bundle?)));
        let live = set.filter(|(_, id)| self.state().bundles().contains_key(id));
        let shown = |name: &str| if name == DEFAULT_BRANCH { "latest" } else { name }.to_owned();
        live.map(|(name, id)| Held { label: Some(shown(name)), ..self.of_version(id) }).collect()
    }

    fn versions(&self) -> Vec<Held> {
        let mut ids: Vec<(u64, BundleId)> =
            self.state().bundles().iter().map(|(id, it)| (it.seq, *id)).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.into_iter().map(|(_, id)| self.of_version(id)).collect()
    }

    /// Every pack of the table, and every orphan that would go.
    fn packs(&self, mark: &Mark, orphans: &BTreeSet<PackId>, waste: &Waste) -> Vec<Shown> {
        let chosen: BTreeMap<PackId, &Partly> = waste.chosen.iter().map(|it| (it.pack, it)).collect();
        let left: BTreeMap<PackId, u64> = waste.left.iter().map(|it| (it.pack, it.dead)).collect();
        let table = self.state().packs().iter().map(|(pack, info)| (*pack, info.kind));
        let unknown = orphans.iter().filter_map(|pack| Some((*pack, self.stock.get(pack)?.kind)));
        let shown = |(pack, kind)| {
            let copied = chosen.get(&pack);
            let kept = copied.is_none() && !mark.victims.contains(&pack);
            let why = match copied {
                Some(it) => vec![format!("{} bytes of it are needed, and copied", it.live_bytes())],
                None if kept => self.why(pack),
                None if orphans.contains(&pack) => vec!["no entry of the log names it".to_owned()],
                None => vec!["nothing live names it".to_owned()],
            };
            let unused = copied.map(|it| it.dead).or_else(|| left.get(&pack).copied()).unwrap_or(0);
            let kind = match kind {
                PackKind::Data => "data",
                PackKind::Meta => "meta",
            };
            Shown { pack: pack.to_string(), kind, bytes: self.size(pack), unused, kept, why }
        };
        table.chain(unknown).map(shown).collect()
    }

    fn is_of_table(&self, pack: PackId) -> bool {
        self.state().segments().values().any(|it| it.at.fence.pack == pack || it.at.pack == pack)
    }

    fn is_of_checkpoint(&self, pack: PackId) -> bool {
        let newest = self.state().checkpoint().map(|(_, newest)| newest);
        let before = newest.iter().flat_map(|it| it.parent.iter().flat_map(|parent| parent.blobs.values()));
        newest.iter().flat_map(|it| it.blobs.values()).chain(before).any(|blob| blob.at.pack == pack)
    }

    fn reasons(&self, kept: &[PackId]) -> Vec<Reason> {
        let of = |why, holds: &dyn Fn(&PackId) -> bool| {
            let held = Amount::of(kept.iter().filter(|pack| holds(pack)).map(|pack| self.size(*pack)));
            Reason { why, packs: held.count, bytes: held.bytes }
        };
        vec![
            of("files", &|pack| self.live.rows.contains_key(pack)),
            of("versions", &|pack| self.holders.contains_key(pack)),
            of("table", &|pack| self.is_of_table(*pack)),
            of("checkpoint", &|pack| self.is_of_checkpoint(*pack)),
        ]
    }

    fn why(&self, pack: PackId) -> Vec<String> {
        let mut why = Vec::new();
        why.extend(self.is_of_table(pack).then(|| "a table".to_owned()));
        why.extend(self.is_of_checkpoint(pack).then(|| "a checkpoint".to_owned()));
        let repos = self.live.rows.get(&pack).into_iter().flatten();
        why.extend(repos.map(|repo| format!("files of repo {repo}")));
        if let Some((count, some)) = self.holders.get(&pack) {
            why.extend(some.iter().map(|id| self.told(*id)));
            let more = count - some.len() as u64;
            why.extend((more > 0).then(|| format!("{more} more versions")));
        }
        why
    }

    fn told(&self, id: BundleId) -> String {
        match labels_of(self.catalog, id).as_slice() {
            [] => format!("version {id}"),
            labels => format!("version {id} ({})", labels.join(", ")),
        }
    }
}

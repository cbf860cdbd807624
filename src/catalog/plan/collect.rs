//! Collection: mark, condemn, forget (R1, R3, R4).
//!
//! What is live follows from the log alone: no clone, no ref, no age, no clock. A mark is taken at one seq; everything that
//! happened between it and the Condemn is read and spared.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::catalog::change::{ChangeRecord, Forget};
use crate::catalog::rules::Rule;
use crate::catalog::state::{Run, State};
use crate::id::PackId;

/// Something that a live row or a live page names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// A run of frames: the end of its forwards is live.
    Run(Run),
    /// A pack of which nobody said what is needed: it is live, and so is all that its forwards lead to.
    Pack(PackId),
}

impl Named {
    fn pack(&self) -> PackId {
        match self {
            Named::Run(run) => run.pack,
            Named::Pack(pack) => *pack,
        }
    }
}

/// Entries since the mark that were not read: the plan is void (R3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the collection marked at entry {mark} did not read entry {unread}; mark again")]
pub struct Void {
    /// The mark.
    pub mark: u64,
    /// The first entry not read.
    pub unread: u64,
}

/// What a collector found at one seq.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The newest entry seen: the base of the collection.
    pub seq: u64,
    /// Packs that nothing live names.
    pub victims: BTreeSet<PackId>,
    /// Live packs that are being repacked, each with the runs in it that are named ([`Mark::runs`]): victims once all of those are
    /// forwarded.
    pub repacked: BTreeMap<PackId, BTreeSet<Run>>,
    /// Sources of forwards through which nothing live leads any more, and that had left the table.
    pub unnamed: BTreeSet<PackId>,
}

impl Mark {
    /// Marks at the head of `state`, which is not empty. `named` is all that live rows and pages of live bundles name; `stored` are
    /// packs found in the store, so that orphans are victims too.
    pub fn take(state: &State, named: &BTreeSet<Named>, stored: &BTreeSet<PackId>) -> Mark {
        let live = Mark::live(state, named);
        let known = state.packs().keys().chain(stored);
        let victims = known.filter(|pack| !live.contains(pack) && !state.condemned().contains_key(pack));
        let roots = state.bundles().values().map(|it| Named::Run(Run::from(&it.root)));
        // A repair forwards roots, too, where nothing else of their pack is named any more.
        let links = links(state, &named.iter().copied().chain(roots).collect());
        let unnamed = state.forwards().keys();
        let unnamed = unnamed.filter(|pack| !links.contains(pack) && !state.packs().contains_key(pack));
        Mark {
            seq: state.head().unwrap_or(0),
            victims: victims.copied().collect(),
            repacked: BTreeMap::new(),
            unnamed: unnamed.copied().collect(),
        }
    }

    /// Every pack that must stay: what is named, live segments, root pages, the two newest checkpoints whole (R7).
    pub fn live(state: &State, named: &BTreeSet<Named>) -> BTreeSet<PackId> {
        let mut live = fixed(state);
        let roots = state.bundles().values().map(|it| Named::Run(Run::from(&it.root)));
        for name in named.iter().copied().chain(roots) {
            match name {
                _ if !state.rules().on(Rule::MarkResolves) => drop(live.insert(name.pack())),
                Named::Run(run) => drop(live.insert(state.end(run).pack)),
                Named::Pack(pack) => live.extend(state.heirs(pack)),
            }
        }
        live
    }

    /// What is named in each pack that can be emptied by copying just that, as it lies there now. Left out are packs that hold a
    /// segment or a checkpoint, and those that are named as a whole: nobody knows what to copy.
    pub fn runs(state: &State, named: &BTreeSet<Named>) -> BTreeMap<PackId, BTreeSet<Run>> {
        let mut keep = fixed(state);
        let mut runs: BTreeMap<PackId, BTreeSet<Run>> = BTreeMap::new();
        let roots = state.bundles().values().map(|it| Named::Run(Run::from(&it.root)));
        for name in named.iter().copied().chain(roots) {
            match name {
                Named::Run(run) => {
                    let end = state.end(run);
                    runs.entry(end.pack).or_default().insert(end);
                }
                Named::Pack(pack) => keep.extend(state.heirs(pack)),
            }
        }
        runs.retain(|pack, _| state.packs().contains_key(pack) && !keep.contains(pack));
        runs
    }

    /// What may be condemned in the next slot: victims that no entry since the mark mentions (R3).
    pub fn condemn(&self, state: &State, since: &[(u64, ChangeRecord)]) -> Result<BTreeSet<PackId>, Void> {
        let forwarded = |runs: &BTreeSet<Run>| runs.iter().all(|run| state.forward(*run).is_some());
        let emptied = self.repacked.iter().filter(|(_, runs)| forwarded(runs)).map(|(pack, _)| *pack);
        self.spare(state, self.victims.iter().copied().chain(emptied).collect(), since)
    }

    /// Those of some packs, chosen by the mark, that no entry since mentions, and that are not condemned yet (R3).
    ///
    /// `since` are all entries from the one after the mark to the head, read one by one: a checkpoint may have folded some
    /// away, and the state does not show who named what.
    pub fn spare(
        &self,
        state: &State,
        mut victims: BTreeSet<PackId>,
        since: &[(u64, ChangeRecord)],
    ) -> Result<BTreeSet<PackId>, Void> {
        let wanted = self.seq.saturating_add(1)..state.next();
        let read = since.iter().map(|(seq, _)| *seq);
        if let Some(unread) = wanted
            .clone()
            .zip(read.map(Some).chain(std::iter::repeat(None)))
            .find_map(|(wanted, read)| (read != Some(wanted)).then_some(wanted))
        {
            return Err(Void { mark: self.seq, unread });
        }
        let folded = state.checkpoint().map_or(0, |(_, newest)| newest.covers);
        let hidden = if state.rules().on(Rule::GapRead) { 0 } else { folded };
        for (_, record) in since.iter().filter(|(seq, _)| *seq > hidden) {
            record.packs().for_each(|pack| _ = victims.remove(&pack));
        }
        victims.retain(|pack| !state.condemned().contains_key(pack));
        if state.rules().on(Rule::LedSpared) {
            spare_led(state, &mut victims);
        }
        Ok(victims)
    }

    /// What to forget once `condemned`, the packs of this collection's Condemn at `floor`, are deleted.
    pub fn forget(&self, state: &State, condemned: &BTreeSet<PackId>, floor: u64) -> Forget {
        let mut gone = self.unnamed.clone();
        if !state.rules().on(Rule::ForwardKept) {
            gone.extend(condemned);
        }
        gone.retain(|pack| state.forwards().contains_key(pack));
        Forget { packs: condemned.iter().copied().collect(), floor, forwards: gone.into_iter().collect() }
    }
}

/// Packs that stay whatever is named: live segments and the two newest checkpoints, none of which follows forwards.
fn fixed(state: &State) -> BTreeSet<PackId> {
    let segments = state.segments().values().flat_map(|it| [it.at.pack, it.at.fence.pack]);
    let newest = state.checkpoint().into_iter().map(|(_, newest)| newest);
    let blobs = newest
        .flat_map(|it| it.blobs.values().chain(it.parent.iter().flat_map(|parent| parent.blobs.values())));
    segments.chain(blobs.map(|blob| blob.at.pack)).collect()
}

/// R3: takes from the victims where packs lead that stay. Of a pack in the table anything may be named, also what nothing live needs by
/// now, and readers go to the end of the chain (R4): who found it in that pack would be led to what is gone.
fn spare_led(state: &State, victims: &mut BTreeSet<PackId>) {
    let stay = |pack: &&PackId| state.packs().contains_key(pack) && !victims.contains(pack);
    let led: BTreeSet<PackId> =
        state.forwards().keys().filter(stay).flat_map(|pack| state.heirs(*pack)).collect();
    victims.retain(|pack| !led.contains(pack));
}

/// Packs through which what is named leads: the one that is named, and each link of its chain of forwards (R4).
fn links(state: &State, named: &BTreeSet<Named>) -> BTreeSet<PackId> {
    let mut links = BTreeSet::new();
    for name in named.iter().filter(|name| state.forwards().contains_key(&name.pack())) {
        match name {
            _ if !state.rules().on(Rule::ChainKept) => drop(links.insert(name.pack())),
            Named::Run(run) => links.extend(state.places(*run).iter().map(|place| place.pack)),
            Named::Pack(pack) => links.extend(state.heirs(*pack)),
        }
    }
    links
}

/// The parts of one pack that hold these runs of it, in order, none touching another: each run lies in one of them wholly.
pub fn joined<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> =
        runs.into_iter().map(|run| run.offset..run.offset.saturating_add(run.stored)).collect();
    all.sort_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for part in all {
        match joined.last_mut().filter(|last| part.start <= last.end) {
            Some(last) => last.end = last.end.max(part.end),
            None => joined.push(part),
        }
    }
    joined
}

//! Collection: mark, condemn, forget (R1, R3, R4).
//!
//! What is live follows from the log alone: no clone, no ref, no age, no clock. A mark is taken at one seq; everything that
//! happened between it and the Condemn is read and spared.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Live packs that are being repacked, each with the runs in it that are named: victims once all of those are forwarded.
    pub repacked: BTreeMap<PackId, BTreeSet<Run>>,
    /// Sources of forwards that nothing live names and that had left the table.
    pub unnamed: BTreeSet<PackId>,
}

impl Mark {
    /// Marks at the head of `state`, which is not empty. `named` is all that live rows and pages of live bundles name; `stored` are
    /// packs found in the store, so that orphans are victims too.
    pub fn take(state: &State, named: &BTreeSet<Named>, stored: &BTreeSet<PackId>) -> Mark {
        let live = Mark::live(state, named);
        let known = state.packs().keys().chain(stored);
        let victims = known.filter(|pack| !live.contains(pack) && !state.condemned().contains_key(pack));
        let sources: BTreeSet<PackId> = named.iter().map(Named::pack).collect();
        let unnamed = state.forwards().keys();
        let unnamed = unnamed.filter(|pack| !sources.contains(pack) && !state.packs().contains_key(pack));
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
                Named::Pack(pack) => reach(state, pack, &mut live),
            }
        }
        live
    }

    /// Plans to empty a live pack by copying what is named in it. False, and nothing is planned, when it holds a segment or a
    /// checkpoint, or when it is named as a whole: then nobody knows what to copy.
    pub fn repack(&mut self, state: &State, pack: PackId, named: &BTreeSet<Named>) -> bool {
        if named.contains(&Named::Pack(pack)) || fixed(state).contains(&pack) {
            return false;
        }
        let roots = state.bundles().values().map(|it| Named::Run(Run::from(&it.root)));
        let runs = named.iter().copied().chain(roots).filter_map(|name| match name {
            Named::Run(run) => Some(state.end(run)).filter(|run| run.pack == pack),
            Named::Pack(_) => None,
        });
        self.repacked.insert(pack, runs.collect());
        true
    }

    /// What may be condemned in the next slot: victims that no entry since the mark mentions (R3).
    ///
    /// `since` are all entries from the one after the mark to the head, read one by one: a checkpoint may have folded some
    /// away, and the state does not show who named what.
    pub fn condemn(&self, state: &State, since: &[(u64, ChangeRecord)]) -> Result<BTreeSet<PackId>, Void> {
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
        let forwarded = |runs: &BTreeSet<Run>| runs.iter().all(|run| state.forward(*run).is_some());
        let emptied = self.repacked.iter().filter(|(_, runs)| forwarded(runs)).map(|(pack, _)| *pack);
        let mut victims: BTreeSet<PackId> = self.victims.iter().copied().chain(emptied).collect();
        subtract(&mut victims, since.iter().filter(|(seq, _)| *seq > hidden).map(|(_, record)| record));
        victims.retain(|pack| !state.condemned().contains_key(pack));
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

/// R3: takes from the victims whatever these records mention.
fn subtract<'a>(victims: &mut BTreeSet<PackId>, records: impl IntoIterator<Item = &'a ChangeRecord>) {
    for pack in records.into_iter().flat_map(ChangeRecord::packs) {
        victims.remove(&pack);
    }
}

/// A pack and all packs that its forwards lead to.
fn reach(state: &State, pack: PackId, live: &mut BTreeSet<PackId>) {
    let mut todo = vec![pack];
    let mut seen = BTreeSet::new();
    while let Some(pack) = todo.pop() {
        if seen.insert(pack) {
            todo.extend(state.forwards().get(&pack).into_iter().flatten().map(|forward| forward.to));
        }
    }
    live.extend(seen);
}

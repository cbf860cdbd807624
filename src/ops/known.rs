//! What an ingest may borrow: chunks of packs that are in the store, found where they are likely, nearest first.
//!
//! 1. this push itself (the ingest's own index),
//! 2. packs of the previous version of the same path,
//! 3. the newest packs, as far as this machine has kept their footers,
//! 4. hooks: packs that have one of the chunks in question, wherever in the store they are.
//!
//! A pack is learned whole, from its footer: where one chunk is, its neighbours are likely to be. Hooks are looked at once a
//! push has so much that nobody near knows that looking is worth the requests and, were it in the store, one of its chunks
//! would be in the sample of hooks that is read; footers are asked for in proportion to it. What cannot be read is stored again: nothing here fails a push.

use std::collections::{HashMap, HashSet, VecDeque};

use super::ingest::{ChunkIndex, Known};
use crate::catalog::Catalog;
use crate::id::{ChunkId, PackId};
use crate::pack::Footer;
use crate::table::Hooks;

/// Chunks of packs this machine has seen that are learned before anything is asked of the store.
const REMEMBERED: usize = 200_000;
/// And no more packs than this, of the newest so many in the store: those of small pushes have few chunks, and each is a file to
/// look for.
const REMEMBERED_PACKS: usize = 256;
const REMEMBERED_AMONG: usize = 1024;
/// A push with fewer unknown bytes stores them without looking further.
const WORTH: u64 = 1 << 20;
/// Unknown bytes that are worth a footer.
const FOOTER_WORTH: u64 = 256 << 10;
/// Footers asked for before any is learned.
const TOGETHER: usize = 8;
/// Hooks of the table in memory, 12 MiB, and what is read of it at most: 8 MiB, in a few requests. A larger table than that is
/// sampled, and a push that is smaller than what it would read takes a smaller sample: half of it at least, in which a
/// MiB of similar data is found more often than not where a table is as large as they get.
const MOST_HOOKS: usize = 1 << 20;
/// Hooks in memory of packs that are not in the table yet, 3 MiB.
const MOST_RECENT: usize = 1 << 18;
/// Bytes a hook takes in the store, about.
const HOOK_BYTES: u64 = 8;

/// The packs of a store, for one ingest.
pub struct Neighbours<'a> {
    catalog: &'a Catalog,
    /// Bytes to be taken in.
    bytes: u64,
    /// Bytes met that nobody near knows, and the chunks that they are.
    unknown: u64,
    unknown_chunks: u64,
    /// Footers asked of the store because a hook led there.
    asked: u64,
    remembered: bool,
    /// The table, or its head, once looking is worth it.
    hooks: Option<Hooks>,
    /// Packs that have no hooks in the table, newest first.
    unhooked: VecDeque<PackId>,
    /// How many of their footers were asked of the store.
    asked_unhooked: u64,
    /// The hooks they will have.
    recent: Hooks,
}

impl<'a> Neighbours<'a> {
    /// The packs of `catalog`, for an ingest of so many bytes.
    pub fn new(catalog: &'a Catalog, bytes: u64) -> Self {
        let unhooked = catalog.state().unhooked().iter().rev().map(|(_, pack)| *pack);
        Neighbours {
            catalog,
            bytes,
            unknown: 0,
            unknown_chunks: 0,
            asked: 0,
            remembered: false,
            hooks: None,
            unhooked: unhooked.filter(|pack| catalog.may_borrow_chunks(*pack)).collect(),
            asked_unhooked: 0,
            recent: Hooks::with_room(MOST_RECENT),
        }
    }

    /// Learns the packs whose footers are here, which costs no request.
    fn remember(&mut self, index: &mut ChunkIndex) {
        for (pack, footer) in self.catalog.kept_footers(REMEMBERED_AMONG).take(REMEMBERED_PACKS) {
            if index.len() > REMEMBERED {
                break;
            }
            if index.wants(pack) {
                index.learn(pack, &footer);
            }
        }
    }

    /// Reads the table, or its head, as soon as a hit is likelier than not if what is unknown is in the store.
    fn look_at_hooks(&mut self) {
        let worth = usize::try_from(self.bytes / HOOK_BYTES).unwrap_or(MOST_HOOKS);
        let most = worth.clamp(MOST_HOOKS / 2, MOST_HOOKS);
        if self.hooks.is_none() && self.unknown_chunks >= self.catalog.hook_sample().one_in(most as u64) {
            self.hooks = Some(self.catalog.hooks(most));
        }
    }

    /// Footers that what is unknown is worth.
    fn worth(&self) -> u64 {
        self.unknown / FOOTER_WORTH
    }

    /// Looks into packs without hooks, newest first, as far as it is worth it; what is kept here costs nothing.
    fn look_at_unhooked(&mut self) {
        let mut ask = Vec::new();
        while let Some(pack) = self.unhooked.front().copied() {
            match self.catalog.kept_footer(pack) {
                Some(footer) => self.recent.add(pack, &footer),
                None if self.asked_unhooked < self.worth() => {
                    self.asked_unhooked += 1;
                    ask.push(pack);
                }
                None => break,
            }
            self.unhooked.pop_front();
        }
        for packs in ask.chunks(TOGETHER) {
            for (pack, footer) in self.catalog.footers(packs) {
                self.recent.add(pack, &footer);
            }
        }
        self.recent.sort();
    }

    /// Packs that may have some of the chunks, those with most of their bytes first. Each chunk speaks for one pack: the one
    /// for which most others speak. So a chunk that is everywhere leads to no pack of its own.
    fn candidates(&self, missing: &[(ChunkId, u32)], tried: &HashSet<PackId>) -> Vec<PackId> {
        let packs = |id: &ChunkId| {
            let all = self.hooks.iter().chain([&self.recent]).flat_map(|hooks| hooks.find(id));
            all.filter(|pack| !tried.contains(pack)).collect::<Vec<PackId>>()
        };
        let leads: Vec<(Vec<PackId>, u64)> =
            missing.iter().map(|(id, raw)| (packs(id), u64::from(*raw))).collect();
        let mut all: HashMap<PackId, u64> = HashMap::new();
        for (packs, raw) in &leads {
            packs.iter().for_each(|pack| *all.entry(*pack).or_default() += raw);
        }
        let mut chosen: HashMap<PackId, u64> = HashMap::new();
        for (packs, raw) in &leads {
            if let Some(best) = packs.iter().max_by_key(|pack| (all[*pack], **pack)) {
                *chosen.entry(*best).or_default() += raw;
            }
        }
        let mut packs: Vec<(u64, PackId)> = chosen.into_iter().map(|(pack, raw)| (raw, pack)).collect();
        packs.sort_unstable_by(|a, b| b.cmp(a));
        packs.into_iter().map(|(_, pack)| pack).collect()
    }

    /// Learns packs that are remembered no more or never were: those whose footers are here, and others as far as it is worth
    /// it.
    fn learn_all(&mut self, packs: &[PackId], index: &mut ChunkIndex) {
        let mut ask = Vec::new();
        for pack in packs {
            let kept = self.catalog.kept_footer(*pack);
            if (kept.is_none() && self.asked >= self.worth()) || !index.wants(*pack) {
                continue;
            }
            match kept {
                Some(footer) => index.learn(*pack, &footer),
                None => {
                    self.asked += 1;
                    ask.push(*pack);
                }
            }
        }
        for packs in ask.chunks(TOGETHER) {
            for (pack, footer) in self.catalog.footers(packs) {
                index.learn(pack, &footer);
            }
        }
    }
}

impl Known for Neighbours<'_> {
    fn footers(&self, packs: &[PackId]) -> Vec<(PackId, Footer)> {
        let may = packs.iter().copied().filter(|pack| self.catalog.may_borrow_chunks(*pack));
        self.catalog.footers(&may.collect::<Vec<_>>())
    }

    fn keep(&self, pack: PackId, footer: &Footer) {
        self.catalog.keep_footer(pack, footer);
    }

    fn look_up(&mut self, unknown: &[(ChunkId, u32)], index: &mut ChunkIndex) {
        if !std::mem::replace(&mut self.remembered, true) {
            self.remember(index);
        }
        let mut missing = unknown.to_vec();
        missing.sort_unstable();
        missing.dedup();
        missing.retain(|(id, raw)| index.find(id, *raw).is_none());
        self.unknown += missing.iter().map(|(_, raw)| u64::from(*raw)).sum::<u64>();
        self.unknown_chunks += missing.len() as u64;
        if self.unknown < WORTH {
            return;
        }
        self.look_at_hooks();
        self.look_at_unhooked();
        let mut tried = HashSet::new();
        while let packs @ [_, ..] = &self.candidates(&missing, &tried)[..] {
            self.learn_all(packs, index);
            tried.extend(packs);
            missing.retain(|(id, raw)| index.find(id, *raw).is_none());
        }
    }
}

//! Waste: what is dead in data packs that live on, and which of them are worth to be emptied.
//!
//! Data is read and stored by frames, so a pack stays as long as one of its frames is named. Bytes of the others are tolerated up to a
//! share of all data: above it the packs go first that give most for what has to be copied.

use std::collections::BTreeSet;
use std::ops::Range;

use super::blank::Reads;
use super::repack::repack;
use super::walk::Live;
use super::{Collected, Limits, NotCollected, Stock};
use crate::catalog::Catalog;
use crate::catalog::plan::{Mark, joined};
use crate::catalog::state::Run;
use crate::id::{PackId, PackKind};
use crate::pack::PackInfo;
use crate::pack::format::{HEADER, MAX_PACK};

/// Forwards above which no more are made: whoever opens the store reads all of them, some 90 bytes each.
pub const MOST_FORWARDS: usize = 100_000;

/// A data pack of which only a part is needed.
#[derive(Debug, Clone)]
pub struct Partly {
    /// The pack.
    pub pack: PackId,
    /// What the catalog knows of it.
    pub info: PackInfo,
    /// What is named in it.
    pub runs: BTreeSet<Run>,
    /// The same in parts that do not touch.
    pub live: Vec<Range<u64>>,
    /// Bytes of its frames that are not named.
    pub dead: u64,
}

impl Partly {
    fn of(pack: PackId, info: PackInfo, runs: BTreeSet<Run>) -> Partly {
        let live = joined(&runs);
        let frames = info.size.saturating_sub(u64::from(info.footer) + HEADER as u64);
        let dead = frames.saturating_sub(length(&live));
        Partly { pack, info, runs, live, dead }
    }

    /// Bytes of its frames that are named.
    pub fn live_bytes(&self) -> u64 {
        length(&self.live)
    }
}

fn length(parts: &[Range<u64>]) -> u64 {
    parts.iter().map(|part| part.end - part.start).fold(0, u64::saturating_add)
}

/// What is dead in packs that live on.
#[derive(Debug, Default)]
pub struct Waste {
    /// Packs to be emptied, in the order of their ids.
    pub chosen: Vec<Partly>,
    /// Those that stay as they are.
    pub left: Vec<Partly>,
    /// Data packs every frame of which is needed, if parts of frames are looked at.
    pub whole: Vec<Partly>,
}

impl Waste {
    /// The data packs with something dead in them, at the state of the mark, sorted into those that stay and those that are copied.
    pub fn of(catalog: &Catalog, mark: &Mark, live: &Live, stock: &Stock, limits: &Limits) -> Waste {
        let table = catalog.state().packs();
        let data = table.iter().filter(|(pack, info)| {
            info.kind == PackKind::Data && !mark.victims.contains(pack) && stock.contains_key(pack)
        });
        let total = data.map(|(_, info)| info.size).fold(0, u64::saturating_add);
        let mut left = Vec::new();
        for (pack, runs) in Mark::runs(catalog.state(), &live.named) {
            let info = table[&pack];
            let whole = info.kind == PackKind::Data && info.size <= MAX_PACK as u64;
            if whole && stock.contains_key(&pack) && !catalog.is_suspect(pack) {
                left.push(Partly::of(pack, info, runs));
            }
        }
        let (left, whole) = left.into_iter().partition(|it: &Partly| it.dead > 0);
        let whole = if limits.blank { whole } else { vec![] };
        let mut waste = Waste { chosen: vec![], left, whole };
        if let Some(percent) = limits.max_unused {
            let forwards: usize = catalog.state().forwards().values().map(Vec::len).sum();
            waste.choose(total, percent, MOST_FORWARDS.saturating_sub(forwards));
        }
        waste
    }

    /// Chooses, deadest first, until no more than so many hundredths of what is left are dead.
    fn choose(&mut self, mut total: u64, percent: u8, mut room: usize) {
        let mut unused = self.unused();
        // Compared as shares of the pack, without dividing.
        let deader = |a: &Partly, b: &Partly| {
            let weight = |x: &Partly, y: &Partly| u128::from(x.dead) * u128::from(y.info.size);
            weight(b, a).cmp(&weight(a, b)).then(a.pack.cmp(&b.pack))
        };
        self.left.sort_by(deader);
        for it in std::mem::take(&mut self.left) {
            let enough = u128::from(unused) * 100 <= u128::from(total) * u128::from(percent);
            if enough || it.live.len() > room {
                self.left.push(it);
                continue;
            }
            room -= it.live.len();
            unused -= it.dead;
            total = total.saturating_sub(it.dead);
            self.chosen.push(it);
        }
        self.chosen.sort_by_key(|it| it.pack);
    }

    /// Blank what nothing reads in any of the packs ([`super::blank`]). Those that could be are waste no more, and the others stay as they
    /// are: a copy with all that is in them would be one more to blank.
    pub fn blank(
        &mut self,
        catalog: &mut Catalog,
        mark: &mut Mark,
        reads: &Reads,
        done: &mut Collected,
    ) -> Result<(), NotCollected> {
        self.left.append(&mut self.chosen);
        let all = self.left.iter().chain(&self.whole);
        // What was copied in part before lies at two places.
        let fresh = all.filter(|it| !catalog.state().forwards().contains_key(&it.pack));
        let packs: Vec<Partly> = fresh.cloned().collect();
        let needed = catalog.state().packs().iter();
        let needed = needed.filter(|(pack, it)| it.kind == PackKind::Data && !mark.victims.contains(pack));
        done.unlooked += needed.count().saturating_sub(packs.len()) as u64;
        repack(catalog, mark, packs, Some(reads), done)?;
        let table = catalog.state().packs();
        self.left.retain(|it| table.contains_key(&it.pack));
        Ok(())
    }

    /// Bytes that are dead in the packs that stay as they are.
    pub fn unused(&self) -> u64 {
        self.left.iter().map(|it| it.dead).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partly(n: u8, size: u64, live: &[(u64, u64)]) -> Partly {
        let pack = PackId::from_bytes([n; 16]);
        let run = |(start, end): &(u64, u64)| Run { pack, offset: *start, stored: end - start };
        let info = PackInfo { kind: PackKind::Data, size: size + HEADER as u64 + 100, footer: 100 };
        Partly::of(pack, info, live.iter().map(run).collect())
    }

    fn chosen(percent: u8, room: usize) -> (Vec<u8>, u64) {
        let left = vec![
            partly(1, 1000, &[(16, 916)]),
            partly(2, 1000, &[(16, 116)]),
            partly(3, 1000, &[(16, 316), (400, 500)]),
        ];
        let mut waste = Waste { left, ..Waste::default() };
        waste.choose(4000, percent, room);
        (waste.chosen.iter().map(|it| it.pack.as_bytes()[0]).collect(), waste.unused())
    }

    #[test]
    fn the_deadest_go_until_what_is_left_is_tolerated() {
        assert_eq!(chosen(100, 9), (vec![], 1600));
        assert_eq!(chosen(40, 9), (vec![], 1600));
        assert_eq!(chosen(39, 9), (vec![2], 700));
        assert_eq!(chosen(5, 9), (vec![2, 3], 100));
        assert_eq!(chosen(0, 9), (vec![1, 2, 3], 0));
        assert_eq!(chosen(0, 2), (vec![1, 2], 600), "the one with two parts does not fit");
    }

    #[test]
    fn what_overlaps_or_touches_is_one_part() {
        let it = partly(1, 1000, &[(500, 600), (16, 116), (100, 200), (200, 300), (510, 520)]);
        assert_eq!(it.live, [16..300, 500..600]);
        assert_eq!((it.live_bytes(), it.dead), (384, 616));
    }
}

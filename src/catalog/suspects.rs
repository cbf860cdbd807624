//! Suspects: packs this machine has found damaged or missing, and rows that rebuild something else than they promise.
//!
//! Nothing new relies on them, so a push from a clone that has the files stores them anew (R13). Kept in the local cache: to
//! forget one costs another `fsck`, never a byte.

use std::collections::{BTreeMap, BTreeSet};

use crate::cache::Cache;
use crate::id::{Oid, PackId};
use crate::table::Row;

const NAME: &str = "suspects";

/// What one machine suspects in one store.
#[derive(Debug, Default)]
pub struct Suspects {
    packs: BTreeSet<PackId>,
    /// Files whose rows are wrong up to the one of this birth: a later one was made from the file itself.
    rows: BTreeMap<Oid, u64>,
}

impl Suspects {
    /// What earlier verifications found: a line each, a pack or an oid and a birth.
    pub fn load(cache: &Cache) -> Suspects {
        let kept = cache.get(NAME).unwrap_or_default();
        let mut suspects = Suspects::default();
        for line in String::from_utf8_lossy(&kept).lines() {
            match line.split_once(' ') {
                None => suspects.packs.extend(line.parse::<PackId>()),
                Some((oid, born)) => {
                    let row: Option<(Oid, u64)> = oid.parse().ok().zip(born.parse().ok());
                    suspects.rows.extend(row);
                }
            }
        }
        suspects
    }

    /// Suspect these too.
    pub fn add(&mut self, packs: impl IntoIterator<Item = PackId>, cache: &Cache) {
        self.packs.extend(packs);
        self.keep(cache);
    }

    /// Suspect what is promised of these files up to now.
    pub fn add_rows(&mut self, rows: impl IntoIterator<Item = (Oid, u64)>, cache: &Cache) {
        self.rows.extend(rows);
        self.keep(cache);
    }

    /// Suspect these no more: every byte of them was read and is right.
    pub fn acquit(&mut self, packs: impl IntoIterator<Item = PackId>, cache: &Cache) {
        let before = self.packs.len();
        for pack in packs {
            self.packs.remove(&pack);
        }
        if self.packs.len() < before {
            self.keep(cache);
        }
    }

    fn keep(&self, cache: &Cache) {
        let packs = self.packs.iter().map(PackId::to_string);
        let rows = self.rows.iter().map(|(oid, born)| format!("{oid} {born}"));
        cache.put(NAME, packs.chain(rows).collect::<Vec<_>>().join("\n").as_bytes());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.rows.is_empty()
    }

    /// Whether the pack is one of them.
    pub fn has(&self, pack: PackId) -> bool {
        self.packs.contains(&pack)
    }

    /// Whether the row is one of them.
    pub fn has_row(&self, row: &Row) -> bool {
        self.rows.get(&row.oid).is_some_and(|born| row.born <= *born)
    }
}

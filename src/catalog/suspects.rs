//! Suspects: packs this machine has found damaged or missing.
//!
//! Nothing new relies on them, so a push from a clone that has the files stores them anew (R13). Kept in the local cache: to
//! forget one costs another `fsck`, never a byte.

use std::collections::BTreeSet;

use crate::cache::Cache;
use crate::id::PackId;

const NAME: &str = "suspects";

/// The packs one machine suspects in one store.
#[derive(Debug, Default)]
pub struct Suspects(BTreeSet<PackId>);

impl Suspects {
    /// Those found by earlier verifications: a line each.
    pub fn load(cache: &Cache) -> Suspects {
        let kept = cache.get(NAME).unwrap_or_default();
        Suspects(String::from_utf8_lossy(&kept).lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Suspect these too.
    pub fn add(&mut self, packs: impl IntoIterator<Item = PackId>, cache: &Cache) {
        self.0.extend(packs);
        self.keep(cache);
    }

    /// Suspect these no more: every byte of them was read and is right.
    pub fn acquit(&mut self, packs: impl IntoIterator<Item = PackId>, cache: &Cache) {
        let before = self.0.len();
        for pack in packs {
            self.0.remove(&pack);
        }
        if self.0.len() < before {
            self.keep(cache);
        }
    }

    fn keep(&self, cache: &Cache) {
        let lines: Vec<String> = self.0.iter().map(PackId::to_string).collect();
        cache.put(NAME, lines.join("\n").as_bytes());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the pack is one of them.
    pub fn has(&self, pack: PackId) -> bool {
        self.0.contains(&pack)
    }
}

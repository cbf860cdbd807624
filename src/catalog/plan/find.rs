//! Finding: which segments a lookup has to ask, and which of the rows it finds is the one.
//!
//! Runs are asked newest first, and an oid is asked for no longer once a live row was found whose packs may all be named:
//! an older run has only older rows, and a row that is live was not dropped, whatever else is known of its key (R9). What was
//! not found like that is looked for in every run before it is missing: its row may be an old one of another repo.
//!
//! A row whose data was repacked is handed over as it is to be promised anew: by where forwards lead (R4).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::rows::follow_forwards;
use super::runs::TableRun;
use crate::catalog::rules::Rule;
use crate::catalog::state::{Segment, State};
use crate::id::{Oid, PackId, Prefix, RepoId};
use crate::table::Row;

/// A lookup of many oids at once.
pub struct Finding<'a> {
    state: &'a State,
    repo: RepoId,
    may_borrow: &'a dyn Fn(PackId) -> bool,
    /// What is looked for still.
    open: BTreeSet<Oid>,
    best: BTreeMap<Oid, Row>,
}

impl<'a> Finding<'a> {
    /// Nothing is found yet. Rows of `repo` are as good as any; among those seen one of them is preferred.
    pub fn new(
        state: &'a State,
        repo: RepoId,
        oids: &[Oid],
        may_borrow: &'a dyn Fn(PackId) -> bool,
    ) -> Finding<'a> {
        let open = oids.iter().copied().collect();
        Finding { state, repo, may_borrow, open, best: BTreeMap::new() }
    }

    /// Rows that were read, each with its birth; those of other oids are left out.
    pub fn take(&mut self, rows: impl IntoIterator<Item = Row>) {
        for mut row in rows.into_iter().filter(|row| self.open.contains(&row.oid)) {
            follow_forwards(self.state, &mut row);
            let live = self.state.is_live(row.oid, row.repo, row.born);
            let better = self.best.get(&row.oid).is_none_or(|seen| self.rank(seen) < self.rank(&row));
            if better && (live || !self.state.rules().on(Rule::FoundLive)) {
                self.best.insert(row.oid, row);
            }
        }
    }

    /// The segments of the next older run that are to be asked, and for which oids (in order).
    pub fn ask<'r>(&mut self, run: &TableRun<'r>) -> Vec<(&'r Segment, Vec<Oid>)> {
        let (best, may_borrow) = (&self.best, self.may_borrow);
        let settled = |row: &Row| row.born >= run.born && row.packs().into_iter().all(may_borrow);
        self.open.retain(|oid| !best.get(oid).is_some_and(&settled));
        let oids = |segment: &&Segment| -> Vec<Oid> {
            let covered = self.open.iter().filter(|oid| segment.at.covers(Prefix::from(*oid)));
            covered.copied().collect()
        };
        let asked = run.segments.iter().map(|segment| (*segment, oids(segment)));
        asked.filter(|(_, oids)| !oids.is_empty()).collect()
    }

    /// What was found.
    pub fn finish(self) -> HashMap<Oid, Row> {
        self.best.into_iter().collect()
    }

    fn rank(&self, row: &Row) -> (bool, bool, u64) {
        (row.packs().into_iter().all(self.may_borrow), row.repo == self.repo, row.born)
    }
}

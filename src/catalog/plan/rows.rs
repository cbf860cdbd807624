//! Rows: what a push must name, and how segments merge (R2, R9).

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::rules::{Rule, Rules};
use crate::catalog::state::{Run, Segment, State};
use crate::id::{Oid, PackId, Prefix, RepoId};
use crate::pack::Term;
use crate::table::{Recipe, Row};

/// Every pack that rows of a push need, touched rows included: those not added by the push itself are what it names (R2).
///
/// A touch that does not name its packs can lose them to a collection which took the row for dead.
pub fn names<'a>(rules: Rules, rows: impl IntoIterator<Item = &'a Row>) -> BTreeSet<PackId> {
    if !rules.on(Rule::TouchNames) {
        return BTreeSet::new();
    }
    rows.into_iter().flat_map(Row::packs).collect()
}

/// What a merge writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The rows, by key, each with its birth written out.
    pub rows: Vec<Row>,
    /// Packs at the ends of forwards that were newly written into rows: the Compact names them (R9).
    pub named: BTreeSet<PackId>,
}

/// Those rows that no Drop has killed, by key, the newest of each first.
pub fn live(state: &State, mut rows: Vec<Row>) -> Vec<Row> {
    let rules = state.rules();
    rows.retain(|row| state.is_live(row.oid, row.repo, row.born));
    let newest = |row: &Row| if rules.on(Rule::Newest) { u64::MAX - row.born } else { row.born };
    rows.sort_by_key(|row| (key(rules, row), newest(row)));
    rows
}

fn key(rules: Rules, row: &Row) -> (Oid, RepoId) {
    if rules.on(Rule::Key) { row.key() } else { (row.oid, RepoId::NIL) }
}

/// Of those the newest of each key.
pub fn newest(state: &State, rows: Vec<Row>) -> Vec<Row> {
    merge(state, rows, false).rows
}

/// Merges rows, the births of which are resolved ([`super::super::state::Segment::resolve`]): dead ones go, of one key the
/// row promised last stays. With `rewrite`, inline recipes follow forwards to their ends.
///
/// A merge that rewrites nothing names nothing: as long as the segments it merges are live, so are the packs of their rows.
pub fn merge(state: &State, rows: Vec<Row>, rewrite: bool) -> Merged {
    let rules = state.rules();
    let mut rows = live(state, rows);
    // In place, since there may be many: of one key the first stays.
    rows.dedup_by_key(|row| key(rules, row));
    let mut named = BTreeSet::new();
    for row in &mut rows {
        if rewrite && !state.forwards().is_empty() {
            let before = row.packs();
            follow_forwards(state, row);
            named.extend(row.packs().difference(&before));
        }
        if !rules.on(Rule::Births) {
            row.born = 0;
        }
    }
    if !rules.on(Rule::RewriteNames) {
        named.clear();
    }
    Merged { rows, named }
}

/// Up to which birth Drops have killed the rows of a key, in the whole log.
pub type Deaths = BTreeMap<(Oid, RepoId), u64>;

/// Whether damaged segments may have held a row that a push promised: by its key and its birth.
///
/// A row of another birth lies in a segment of its own, which alone says how long the Drops that kill it are kept.
pub fn held(rules: Rules, damaged: &[Segment], row: &Row) -> bool {
    let born = |it: &Segment| !rules.on(Rule::RebuiltBirths) || (it.oldest..=it.born).contains(&row.born);
    damaged.iter().any(|it| it.at.covers(Prefix::from(&row.oid)) && born(it))
}

/// What takes the place of damaged segments: of the rows that pushes promised and that were [`held`] there those that no Drop of the
/// whole log has killed, for the state forgets a Drop once no segment holds what it killed. `places` says in which packs a row needs
/// something now; nothing comes where one of them is gone: it was repacked, and the segment alone said where to.
pub fn rebuilt(
    state: &State,
    mut rows: Vec<Row>,
    killed: &Deaths,
    places: impl Fn(&Row) -> Option<BTreeSet<PackId>>,
) -> Option<Merged> {
    let rules = state.rules();
    let dead = |row: &Row| killed.get(&row.key()).is_some_and(|upto| row.born <= *upto);
    rows.retain(|row| !rules.on(Rule::RebuiltDead) || !dead(row));
    let mut merged = merge(state, rows, true);
    if rules.on(Rule::RewriteNames) {
        for row in &merged.rows {
            merged.named.extend(places(row)?);
        }
    }
    merged.named.iter().all(|pack| state.packs().contains_key(pack)).then_some(merged)
}

/// Rewrites a row to the ends of its forwards, as far as its terms lie in the row itself.
pub(super) fn follow_forwards(state: &State, row: &mut Row) {
    if let Recipe::Inline(terms) = &mut row.recipe {
        for term in terms {
            let end = state.end(Run::from(&*term));
            *term = Term { pack: end.pack, offset: end.offset, ..*term };
        }
    }
}

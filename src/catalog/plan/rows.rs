//! Rows: what a push must name, and how segments merge (R2, R9).

use std::collections::BTreeSet;

use crate::catalog::rules::{Rule, Rules};
use crate::catalog::state::{Run, State};
use crate::id::{PackId, RepoId};
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

/// Merges rows, the births of which are resolved ([`super::super::state::Segment::resolve`]): dead ones go, of one key the
/// row promised last stays. With `rewrite`, inline recipes follow forwards to their ends.
///
/// A merge that rewrites nothing names nothing: as long as the segments it merges are live, so are the packs of their rows.
pub fn merge(state: &State, mut rows: Vec<Row>, rewrite: bool) -> Merged {
    let rules = state.rules();
    let key = |row: &Row| if rules.on(Rule::Key) { row.key() } else { (row.oid, RepoId::NIL) };
    rows.retain(|row| state.is_live(row.oid, row.repo, row.born));
    // In place, since there may be many: of one key the first stays.
    let newest = |row: &Row| if rules.on(Rule::Newest) { u64::MAX - row.born } else { row.born };
    rows.sort_by_key(|row| (key(row), newest(row)));
    rows.dedup_by_key(|row| key(row));
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

/// Rewrites a row to the ends of its forwards, as far as its terms lie in the row itself.
pub(super) fn follow_forwards(state: &State, row: &mut Row) {
    if let Recipe::Inline(terms) = &mut row.recipe {
        for term in terms {
            let end = state.end(Run::from(&*term));
            *term = Term { pack: end.pack, offset: end.offset, ..*term };
        }
    }
}

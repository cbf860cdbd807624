//! Rows: what a push must name, and how segments merge (R2, R9).

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::rules::{Rule, Rules};
use crate::catalog::state::{Run, State};
use crate::id::{Oid, PackId, RepoId};
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
pub fn merge(state: &State, rows: impl IntoIterator<Item = Row>, rewrite: bool) -> Merged {
    let rules = state.rules();
    let mut best: BTreeMap<(Oid, RepoId), Row> = BTreeMap::new();
    for row in rows {
        if !state.is_live(row.oid, row.repo, row.born) {
            continue;
        }
        let key = if rules.on(Rule::Key) { row.key() } else { (row.oid, RepoId::NIL) };
        let newer = best.get(&key).is_none_or(|kept| (row.born > kept.born) == rules.on(Rule::Newest));
        if newer {
            best.insert(key, row);
        }
    }
    let mut named = BTreeSet::new();
    let mut rows: Vec<Row> = best.into_values().collect();
    for row in &mut rows {
        if rewrite {
            named.extend(follow_forwards(state, row));
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

/// Rewrites a row to the ends of its forwards and returns the packs that it did not name before.
fn follow_forwards(state: &State, row: &mut Row) -> BTreeSet<PackId> {
    let before = row.packs();
    if let Recipe::Inline(terms) = &mut row.recipe {
        for term in terms {
            let end = state.end(Run::from(&*term));
            *term = Term { pack: end.pack, offset: end.offset, ..*term };
        }
    }
    row.packs().difference(&before).copied().collect()
}

//! Plans: what sessions compute from a state before they write anything.
//!
//! A plan is a value. It is made at one seq and lands at a later one, where [`super::State::check`] decides.

mod collect;
mod find;
mod hooks;
mod rows;
mod runs;

pub use collect::{Mark, Named, Void, joined};
pub use find::Finding;
pub use hooks::{MOST_ROWS, TOO_MANY_ROWS, hooks_due, sample, shift};
pub use rows::{Deaths, Merged, held, live, merge, names, newest, rebuilt};
pub use runs::{MOST_RUNS, TableRun, due, runs};

use super::rules::{Rule, Rules};

/// The base of a session: the newest entry it saw when it began, however often it was resumed since (R8).
///
/// Its first packs may have been condemned as orphans and forgotten since; only the first base shows that.
pub fn base(rules: Rules, first: Option<u64>, head: u64) -> u64 {
    first.filter(|_| rules.on(Rule::KeepBase)).unwrap_or(head)
}

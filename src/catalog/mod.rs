//! L3 · The catalog: what exists, agreed by everyone.
//!
//! The truth is one create-only log of small objects. Most rooms here are *pure*: no I/O, no clock, no task; [`log`],
//! `commit`, `lookup`, `upkeep` and `merge` are where they meet a store.
//! A [`change`] says what one writer did, an [`entry`] carries it with every change the newest checkpoint does not cover, and
//! [`state`] is the fold of changes together with the checks a change must pass at the slot where it lands. [`slot`] and
//! [`head`] drive the append and the search for the newest entry as state machines that somebody else feeds with answers
//! of the store; [`plan`] computes what merges and collections may do.
//!
//! The rules that carry the safety are numbered R1…R18. Each one that is code can be switched off through [`Rules`], which
//! the models in `tests/models` do one at a time to see the loss it prevents.

pub mod change;
pub mod checkpoint;
mod commit;
pub mod entry;
mod error;
pub mod fold;
pub mod head;
pub mod healing;
mod history;
mod hooks;
pub mod identity;
pub mod journal;
pub mod log;
mod lookup;
pub mod lost_identity;
mod merge;
pub mod plan;
mod reading;
mod rebuild;
mod rules;
pub mod slot;
pub mod state;
mod stranded;
mod suspects;
mod upkeep;

#[cfg(test)]
mod tests;

pub use change::{Change, ChangeRecord, Writer};
pub use entry::Entry;
pub use error::CatalogError;
pub use history::{Moved, Redacted};
pub use identity::Identity;
pub use journal::Journal;
pub use log::{Catalog, Landed};
pub use rules::{Rule, Rules};
pub use state::{Refusal, Remedy, State};
pub use stranded::{Sent, Stranded};

//! What was acknowledged stays, whatever fails: tests over the library, without git.

mod another_log;
mod around;
mod blanking;
mod budget;
pub mod collection;
mod collection_seeds;
mod contention;
mod damage;
mod fail_at;
mod healing;
mod holes;
mod hooks;
mod journal;
mod kept;
mod late;
mod lost_log;
mod merging;
mod mirrors;
mod names;
mod place;
mod repack;
pub mod scale;
pub mod world;

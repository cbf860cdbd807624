//! Big data under git, in storage you own.
//!
//! The library reads top-down in the direction data flows; a module uses only modules of lower layers
//! (`tests/architecture.rs` holds the list and fails on a new edge).
//!
//! | layer | rooms |
//! |---|---|
//! | L0 | [`id`] what things are called · [`chance`] random numbers and the time · [`progress`] the seam towards a meter · [`heap`] what the allocator may keep |
//! | L1 | `store` bytes in an object store · [`disk`] files beside it on this machine · `chunk` bytes to chunks |
//! | L2 | [`pack`] chunks in packs · [`table`] sorted segments in packs · `cache` immutable local files |
//! | L3 | [`catalog`] what exists, agreed by everyone · [`bundle`] dataset versions as trees of pages · [`git`] all contact with git |
//! | L4 | `ops` one use case per file, no terminal |
//! | L5 | `transfer` what git-lfs will ask for, planned at once · [`selftest`] machines that fail, by seeds |
//! | L6 | [`cli`] the terminal |

pub mod bundle;
pub mod cache;
pub mod catalog;
pub mod chance;
pub mod chunk;
pub mod cli;
pub mod disk;
pub mod git;
pub mod heap;
pub mod id;
pub mod ops;
pub mod pack;
pub mod progress;
pub mod selftest;
pub mod store;
pub mod table;
pub mod transfer;

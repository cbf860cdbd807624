//! L4 · One use case per file, no terminal.

pub mod bundle;
mod carry;
pub mod collection;
pub mod copy;
pub mod download;
pub mod failure;
pub mod fetch;
pub mod here;
pub mod ingest;
pub mod kinship;
pub mod known;
pub mod label;
pub mod latest;
pub mod lineage;
pub mod local;
pub mod mirror;
pub mod open;
pub mod promote;
pub mod prune;
pub mod publish;
pub mod readlog;
pub mod receipt;
pub mod redact;
pub mod repair;
pub mod repo;
pub mod squash;
pub mod survey;
pub mod thaw;
pub mod tree;
pub mod trust;
pub mod upload;
pub mod verify;

#[cfg(test)]
mod round_trip;

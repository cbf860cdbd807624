//! L4 · One use case per file, no terminal.

pub mod fetch;
pub mod ingest;

#[cfg(test)]
mod round_trip;

//! The one integration binary: every room of tests is a module of it.

// A test fails by panicking and may say what it skipped; clippy's own exceptions cover only functions that are tests.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod buckets;
mod bundle;
mod cli;
mod durability;
mod environment;
mod golden;
mod hostile;
mod independent_reader;
mod memory;
mod models;
mod races;
mod selftest;
mod setups;
mod simulation;
mod transfer;

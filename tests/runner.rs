//! The one integration binary: every room of tests is a module of it.

// A test fails by panicking, and clippy's own exception covers only functions that are tests themselves.
#![allow(clippy::unwrap_used)]

mod architecture;
mod cli;
mod durability;
mod independent_reader;
mod memory;
mod models;

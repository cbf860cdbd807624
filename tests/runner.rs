//! The one integration binary: every room of tests is a module of it.

mod models;

//! Bundles in use: made in the entry that promises their data, found by any of their names, read without git.

mod draft;
mod resolve;

pub use draft::{Draft, Planned};
pub use resolve::{Found, Name, NotFound, find, labels_of, open};

//! Bundles in use: made in the entry that promises their data, found by any of their names, read without git.

mod commit;
mod draft;
mod make;
mod resolve;

#[cfg(test)]
mod making;
#[cfg(test)]
mod tests;

pub use commit::{Dataset, NoBundle, Planning, bundle_of, git_id, latest};
pub use draft::{Draft, Planned};
pub use make::{Place, Prepared, make};
pub use resolve::{Found, Name, NotFound, find, labels_of, open};

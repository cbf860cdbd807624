//! Bundles in use: made in the entry that promises their data, found by any of their names, read without git.

mod adopt;
mod chunks;
mod commit;
mod comparison;
mod directory;
mod draft;
mod every;
mod export;
mod healing;
mod listing;
mod make;
mod resolve;
mod revisions;
mod staging;
mod target;

#[cfg(test)]
mod making;
#[cfg(test)]
mod tests;

pub use adopt::{Adopted, Unlike, adopt};
pub use chunks::{NewChunks, new_chunks};
pub use commit::{Dataset, NoBundle, Planning, bundle_of, git_id, latest, parents};
pub use comparison::{Changed, Comparison, Fate, compare};
pub use directory::{DirectoryError, Made, upload_directory};
pub(in crate::ops) use draft::Recipes;
pub use draft::{Draft, Planned};
pub use every::{Pages, Unread};
pub use export::{Export, ExportError, Exported, export, wanted_at};
pub use healing::{again, heal};
pub use listing::{Listed, children, tidy};
pub use make::{Place, Prepared, Wanted, make, said_by};
pub(in crate::ops) use resolve::root_of;
pub use resolve::{Found, Name, NotFound, find, labels_of, open};
pub(in crate::ops) use revisions::Revisions;
pub use staging::Staging;

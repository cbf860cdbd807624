//! L3 · Bundles: one immutable dataset version as a tree of pages.
//!
//! A bundle is a [`Root`] and its pages, frames of meta packs. A page holds consecutive entries in the order of their paths, each
//! with its mode, its oid and its recipe, so a file is read with the root, one page and its data, without git and without the
//! `files` table. Where pages are cut depends on names only: editing content never moves an edge, so an [`edit()`] writes the
//! pages it touches and the root, and shares all others with the one bundle it started from (R2). A [`diff()`] skips pages
//! that hold the same.
//!
//! What the log knows of a bundle (its id, repo, commit, tree and where its root lies) is the business of `catalog`.

mod diff;
mod edit;
mod entry;
mod name;
mod page;
mod read;
mod root;

pub use diff::{Difference, diff};
pub use edit::{Changes, edit};
pub use entry::{BadPath, Content, Entry, check_path, is_at_or_below};
pub use name::{NameRules, is_gits_own, not_on_windows};
pub use page::{PageRef, decode as decode_page, hash as page_hash, write as write_page};
pub use read::{Bundle, Step};
pub use root::{Facts, Root};

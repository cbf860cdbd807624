//! All contact with git: reading through gix, writing and everything that git must decide through the `git` executable.
//!
//! | module | holds |
//! |---|---|
//! | `command` | the only place that runs `git` |
//! | `repo` | where a repository is, and where git-lfs keeps its objects |
//! | `config` | git configuration, and which store it names |
//! | `pin` | the store a clone stays with, and when it must get nothing |
//! | `top_file` | a file at the top of the repository: work tree, then index, then HEAD |
//! | `manifest` | `datamon.toml` |
//! | `pointer` | LFS pointers |
//! | `objects`, `tree`, `outgoing` | commits, trees and the pointers in them |
//! | `delta` | what differs between two trees |
//! | `holding` | from blobs to the commit that holds them |
//! | `push` | what a push brings |
//! | `selection` | which paths a checkout or a fetch is about |
//! | `wholeness` | what a shallow or partial clone lacks |
//! | `index`, `attributes` | the index of a work tree, written round git's filters; which paths git-lfs filters |
//! | `filters` | how git runs while files are put in place beside it |
//! | `server` | the ordinary LFS server of a remote |
//! | `sharing` | modes of files that several users share |
//! | `hooks` | the pre-push hook and the one it replaces |
//!
//! A repository is data written by strangers: nothing read here names a command to run or a file to write.

mod attributes;
mod command;
mod config;
mod delta;
mod filters;
mod holding;
mod hooks;
mod index;
mod manifest;
mod objects;
mod outgoing;
mod pin;
mod pointer;
mod push;
mod repo;
mod selection;
mod server;
mod sharing;
mod top_file;
mod tree;
mod wholeness;

pub use gix::ObjectId;
pub use gix::bstr::{BStr, BString};

pub use command::{Git, GitFailed};
pub use config::{
    Config, ConfigError, LFSCONFIG_FILE, LfsUrl, Operation, STORE_SCHEME, Scope, Source, StoreUrl,
};
pub use delta::{Delta, TreeItem};
pub use filters::{Filters, FiltersError};
pub use hooks::{HookError, Hooks, Install};
pub use index::{IndexError, Look, Staged, Tracked, date_back};
pub use manifest::{MANIFEST_FILE, Manifest, ManifestError};
pub use objects::{Objects, ObjectsError, Tip};
pub use pin::Astray;
pub use pointer::{MAX_POINTER_BYTES, NotAPointer, Pointer};
pub use push::{BadPush, PushedRef};
pub use repo::{Repo, RepoError};
pub use selection::Selection;
pub use sharing::Sharing;
pub use top_file::{Place, TopFile, TopFileError};
pub use tree::TreePointer;
pub use wholeness::Lack;

#[cfg(test)]
mod scratch;

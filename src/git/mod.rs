//! All contact with git: reading through gix, writing and everything that git must decide through the `git` executable.
//!
//! | module | holds |
//! |---|---|
//! | `command` | the only place that runs `git` |
//! | `repo` | where a repository is, and where git-lfs keeps its objects |
//! | `config` | git configuration, and the URL it names for git-lfs |
//! | `stores` | the stores of a clone: where data is written, and where it is read |
//! | `pin` | the store a clone stays with, and when it must get nothing |
//! | `contexts` | stores that the user has named |
//! | `top_file` | a file at the top of the repository: work tree, then index, then HEAD |
//! | `manifest`, `datasets` | `datamon.toml`, and what it says of a commit |
//! | `pointer` | LFS pointers |
//! | `objects`, `tree`, `outgoing` | commits, trees and the pointers in them |
//! | `delta` | what differs between two trees |
//! | `history` | a list of commits |
//! | `holding` | from blobs to the commit that holds them |
//! | `promised` | what a partial clone lacks, fetched in one go |
//! | `push` | what a push brings |
//! | `checkouts` | what other work trees and the stash hold |
//! | `reach` | what somebody may still come back to |
//! | `retained` | what a clone may want at once |
//! | `remotes` | the remotes that git and git-lfs take |
//! | `ref_name` | what git takes for a name |
//! | `selection` | which paths a checkout or a fetch is about |
//! | `wholeness` | what a shallow or partial clone lacks |
//! | `index`, `attributes` | the index of a work tree, written round git's filters; which paths git-lfs filters |
//! | `filters` | how git runs while files are put in place beside it |
//! | `server` | the ordinary LFS server of a remote |
//! | `sharing` | modes of files that several users share |
//! | `hooks` | our hooks and those they replace |
//! | `authorship` | who made a commit |
//! | `notes` | what is written down at commits, and its way to remotes |
//!
//! A repository is data written by strangers: nothing read here names a command to run or a file to write.

mod attributes;
mod authorship;
mod checkouts;
mod command;
mod config;
mod contexts;
mod datasets;
mod delta;
mod filters;
mod history;
mod holding;
mod hooks;
mod index;
mod manifest;
mod mirrors;
mod notes;
mod objects;
mod outgoing;
mod pin;
mod pointer;
mod promised;
mod push;
mod reach;
mod ref_name;
mod remotes;
mod repo;
mod retained;
mod selection;
mod server;
mod settings;
mod sharing;
mod shell;
mod store_settings;
mod stores;
mod top_file;
mod tree;
mod wholeness;

pub use gix::ObjectId;
pub use gix::bstr::{BStr, BString};

pub use attributes::LfsPaths;
pub use authorship::Authorship;
pub use command::{Git, GitFailed};
pub use config::{Config, ConfigError, LFSCONFIG_FILE, LfsUrl, Operation, STORE_SCHEME, Scope, Source};
pub use contexts::{StoreContext, is_context_name};
pub use datasets::Datasets;
pub use delta::{Delta, TreeItem};
pub use filters::{Filters, FiltersError, SKIP_SMUDGE};
pub use history::Listed;
pub use hooks::{HookError, Hooks, Install};
pub use index::{IndexError, Look, Staged, Tracked, date_back};
pub use manifest::{Dataset, MANIFEST_FILE, Manifest, ManifestError};
pub use notes::{NOTES_REF, NoteEdit, NotesError, Synced, note_lines};
pub use objects::{Objects, ObjectsError, Tip};
pub use pin::Astray;
pub use pointer::{MAX_POINTER_BYTES, NotAPointer, Pointer};
pub use push::{BadPush, PushedRef};
pub use reach::{Depth, Reach, Unseen};
pub use ref_name::is_tag_name;
pub use repo::{Repo, RepoError};
pub use selection::Selection;
pub use sharing::Sharing;
pub use shell::quoted;
pub use store_settings::SettingError;
pub use stores::StoreUrl;
pub use top_file::{Place, TopFile, TopFileError};
pub use tree::TreePointer;
pub use wholeness::Lack;

#[cfg(test)]
pub(crate) mod scratch;

//! What the tests share: a machine of their own, repositories on it, bytes to put in them.
//!
//! A test starts with a [`Hermetic`] environment, which knows nothing of the user's home, configuration or clock, makes
//! [`TestRepo`]s in it and runs real programs with [`run`]. Everything here panics with a message a reader can act on: that is
//! how a test fails.

mod bucket_server;
mod bytes;
mod environment;
mod folding;
mod git_lfs;
mod http;
mod lfs_server;
mod link;
mod meddle;
mod process;
mod repo;
mod requests;
mod servers;
mod tally;
#[cfg(target_os = "linux")]
mod through;

pub use bucket_server::{BucketServer, refusal};
pub use bytes::{seeded_bytes, seeded_numbers};
pub use environment::Hermetic;
pub use folding::Folding;
pub use git_lfs::{SECOND_GIT_LFS, second_git_lfs};
pub use http::{Reply, Request, ask};
pub use lfs_server::LfsServer;
pub use link::{Cut, Link, Weather};
pub use meddle::{Change, Killed, Meddler, Stopped};
pub use process::{Output, run, run_failing};
pub use repo::TestRepo;
pub use servers::server;
pub use tally::Tally;

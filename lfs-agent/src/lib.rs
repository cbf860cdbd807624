//! The git-lfs custom transfer protocol, for a standalone agent: messages and state machine, no storage, no threads.
//!
//! git-lfs starts the agent, writes one JSON request a line to its stdin and reads one JSON reply a line from its stdout,
//! strictly one request at a time. An agent implements [`Transfer`] and hands it to [`serve()`], which owns everything that
//! goes over the pipe. What makes that worth a crate of its own is how unforgiving git-lfs is (git-lfs `tq/custom.go`):
//!
//! * It reads exactly one line per `init`, and per object progress lines up to exactly one `complete`. A stray byte, a
//!   missing or a second reply shifts every later reply of that process by one, and all later objects fail.
//! * It retries nothing, shows nobody the agent's stderr or exit code, and reports a dead agent as `EOF`. So every failure,
//!   a panic too, becomes the reply of the object it happened to, and the process lives on.
//! * It closes the agent's stdout before it waits for it: a reply of success means durable, nothing is left for the end.
//! * It holds back its other workers until the first one reports progress: progress is sent before the work begins.
//!
//! | room | what is in it |
//! |---|---|
//! | `transfer` | what an agent has to do: the [`Transfer`] trait and its [`Failure`] |
//! | `message` | requests as read, replies as written |
//! | `line` | one line of bounded length at a time |
//! | `progress` | at most some ten progress lines a second |
//! | `serve` | the state machine, [`serve()`] |

mod line;
mod message;
mod progress;
mod serve;
mod transfer;

pub use message::{Init, NotAnOid, Object, Oid, Operation};
pub use serve::{Broken, serve, serve_with_clock};
pub use transfer::{Failure, Transfer};

//! The state machine: one terminal reply for each line that git-lfs could have sent.
//!
//! | line | reply |
//! |---|---|
//! | `init`, the first that succeeds | `{}`, or `{"error":…}` where [`Transfer::init`] fails |
//! | any other `init` | `{"error":…}`: its sender waits for no oid |
//! | `upload` or `download` that fits the session | progress lines, then `complete` with or without an error |
//! | anything else, before `init` and without an oid | `{"error":…}` |
//! | anything else | `complete` with an error, the oid as it was sent, or `""` |
//! | nothing but white space | none: git-lfs never sends it, so nobody waits |
//! | `terminate`, the end of the input | none, and the session ends |
//!
//! A refused request gets no progress line: git-lfs stops reading at the first reply whose oid it did not ask for, and would
//! take the second for the answer to its next request.

use std::any::Any;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::line::{self, Line};
use crate::message::{Object, Operation, Refused, Reply, Request};
use crate::progress::Progress;
use crate::transfer::{Failure, Transfer};

/// A pipe to git-lfs that broke: there is nobody left to tell.
#[derive(Debug)]
pub enum Broken {
    /// Requests can no longer be read.
    Input(io::Error),
    /// Replies can no longer be written; git-lfs going away early is `ErrorKind::BrokenPipe`.
    Output(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Input(error) => write!(f, "cannot read the next request of git-lfs from stdin: {error}"),
            Broken::Output(error) => write!(f, "cannot write a reply to git-lfs on stdout: {error}"),
        }
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Broken::Input(error) | Broken::Output(error) => Some(error),
        }
    }
}

/// Serves one git-lfs until it says `terminate` or closes its end; [`Transfer::finish`] has been called when this returns.
///
/// Nothing else may write to `output`. Panics of `transfer` are caught, so the program must unwind (not
/// `panic = "abort"`).
///
/// # Errors
/// [`Broken`] when a pipe fails. A failed object is none: git-lfs has been told.
pub fn serve(input: impl BufRead, output: impl Write, transfer: &mut dyn Transfer) -> Result<(), Broken> {
    let start = Instant::now();
    serve_with_clock(input, output, transfer, &|| start.elapsed())
}

/// As [`serve`], with the clock that decides how often progress is told: the time since some fixed moment.
///
/// # Errors
/// As [`serve`].
pub fn serve_with_clock(
    mut input: impl BufRead,
    mut output: impl Write,
    transfer: &mut dyn Transfer,
    clock: &dyn Fn() -> Duration,
) -> Result<(), Broken> {
    let mut session = Session { transfer, output: &mut output, clock, operation: None };
    let result = session.run(&mut input);
    session.transfer.finish();
    result
}

struct Session<'a> {
    transfer: &'a mut dyn Transfer,
    output: &'a mut dyn Write,
    clock: &'a dyn Fn() -> Duration,
    /// What `init` said, once it has succeeded.
    operation: Option<Operation>,
}

impl Session<'_> {
    fn run(&mut self, input: &mut dyn BufRead) -> Result<(), Broken> {
        let mut buffer = Vec::new();
        loop {
            let request = match line::read(input, &mut buffer).map_err(Broken::Input)? {
                Line::End => return Ok(()),
                Line::Whole if buffer.trim_ascii().is_empty() => continue,
                Line::Whole => Request::read(&buffer),
                Line::TooLong => {
                    let why = format!("the line is longer than {} bytes", line::LONGEST);
                    Err(Refused::mangled(&buffer, why))
                }
            };
            match request.and_then(|request| self.in_order(request)) {
                Ok(Request::Terminate) => return Ok(()),
                Ok(request) => self.answer(request),
                Err(refused) => self.refuse(&refused),
            }
            .map_err(Broken::Output)?;
        }
    }

    /// Refuses what may not come now.
    fn in_order(&self, request: Request) -> Result<Request, Refused> {
        match (&request, self.operation) {
            (Request::Terminate, _)
            | (Request::Init(_), None)
            | (Request::Upload(..), Some(Operation::Upload))
            | (Request::Download(_), Some(Operation::Download)) => Ok(request),
            (Request::Init(_), Some(_)) => Err(request.refuse("the session has begun already")),
            (_, None) => Err(request.refuse("the session has not begun: the first line is `init`")),
            (Request::Upload(..), Some(Operation::Download)) => {
                Err(request.refuse("it is an upload, and the session was opened for downloads"))
            }
            (Request::Download(_), Some(Operation::Upload)) => {
                Err(request.refuse("it is a download, and the session was opened for uploads"))
            }
        }
    }

    fn answer(&mut self, request: Request) -> io::Result<()> {
        match request {
            Request::Init(init) => match guarded(|| self.transfer.init(&init)) {
                Ok(()) => {
                    self.operation = Some(init.operation);
                    self.reply(&Reply::Ready)
                }
                Err(failure) => self.reply(&Reply::NotReady(&failure)),
            },
            Request::Upload(object, path) => self.upload(&object, &path),
            Request::Download(object) => self.download(&object),
            Request::Terminate => Ok(()),
        }
    }

    fn upload(&mut self, object: &Object, path: &Path) -> io::Result<()> {
        let mut progress = Progress::begin(&object.oid, object.size, self.output, self.clock)?;
        match guarded(|| self.transfer.upload(object, path, &mut |so_far| progress.at(so_far))) {
            Ok(()) => progress.end(&Reply::Uploaded(&object.oid)),
            Err(failure) => progress.end(&Reply::Failed(object.oid.as_str(), &failure)),
        }
    }

    fn download(&mut self, object: &Object) -> io::Result<()> {
        let mut progress = Progress::begin(&object.oid, object.size, self.output, self.clock)?;
        let path = guarded(|| self.transfer.download(object, &mut |so_far| progress.at(so_far)));
        let path = path.and_then(|path| path.into_os_string().into_string().map_err(|path| not_text(&path)));
        match path {
            Ok(path) => progress.end(&Reply::Downloaded(&object.oid, &path)),
            Err(failure) => progress.end(&Reply::Failed(object.oid.as_str(), &failure)),
        }
    }

    fn refuse(&mut self, refused: &Refused) -> io::Result<()> {
        let message = format!(
            "git-lfs sent a request this agent cannot follow: {}; `git lfs version` says which git-lfs it was",
            refused.why
        );
        let failure = Failure::new(Failure::PROTOCOL, message);
        match &refused.oid {
            _ if refused.init => self.reply(&Reply::NotReady(&failure)),
            None if self.operation.is_none() => self.reply(&Reply::NotReady(&failure)),
            oid => self.reply(&Reply::Failed(oid.as_deref().unwrap_or_default(), &failure)),
        }
    }

    fn reply(&mut self, reply: &Reply<'_>) -> io::Result<()> {
        let mut line = Vec::new();
        reply.write(&mut line);
        self.output.write_all(&line)?;
        self.output.flush()
    }
}

/// Runs the agent's part of a request; a panic there is a failure of that request only.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // The session's own state is changed after `work` only, and [`Transfer`] asks the agent to keep its own in order.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(bug(&*panic)))
}

fn bug(panic: &(dyn Any + Send)) -> Failure {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let message = format!(
        "the agent has a bug and panicked: {said}; nothing is known of this object: try again, and report it"
    );
    Failure::new(Failure::BUG, message)
}

fn not_text(path: &std::ffi::OsStr) -> Failure {
    let message = format!(
        "git-lfs takes only paths in UTF-8, and this is none: {}; move the repository, or set `git config lfs.storage <path in UTF-8>`",
        path.to_string_lossy()
    );
    Failure::new(Failure::PROTOCOL, message)
}

//! Running the `git` executable.
//!
//! Always an argument list, never a shell; options come before `--end-of-options` or `--` in the callers' lists. A `Git`
//! keeps the directory and the environment in which a repository was found, so that every later call finds the same one.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use crate::store::without_password;

/// How much of what git said on stderr goes into an error: enough for its `fatal:` line, bounded for a chatty remote.
const STDERR_SHOWN: usize = 4096;

/// How much of a line is kept, bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// Where git keeps what `-c` and the like say.
const RUN_CONFIG: [&str; 2] = ["GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"];

/// A git command that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitFailed {
    /// The executable could not be started.
    #[error("cannot run `{command}`: {source}; is git installed and on PATH?")]
    Start {
        /// The command line, for the reader.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It ran, and ended with an error.
    #[error("`{command}` failed ({status}): {stderr}")]
    Exit {
        /// The command line, for the reader.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, trimmed.
        stderr: String,
    },
    /// Talking to it failed half way.
    #[error("lost touch with `{command}`: {source}")]
    Pipe {
        /// The command line, for the reader.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl GitFailed {
    /// What git said, without the command that made it say so.
    pub fn said(&self) -> String {
        match self {
            GitFailed::Exit { stderr, .. } if !stderr.is_empty() => stderr.clone(),
            other => other.to_string(),
        }
    }
}

/// The git executable, in one directory and environment.
#[derive(Debug, Clone)]
pub struct Git {
    dir: PathBuf,
    /// Variables set (`Some`) or removed (`None`) on top of those of this process.
    env: Vec<(OsString, Option<OsString>)>,
    /// Whether what git says to the user on stdout goes to stderr.
    aside: bool,
}

impl Git {
    /// Git run in `dir`, with the environment of this process.
    pub fn at(dir: impl Into<PathBuf>) -> Git {
        Git { dir: dir.into(), env: Vec::new(), aside: false }
    }

    /// The same with one more environment variable set, or removed.
    pub fn with_env(mut self, key: impl Into<OsString>, value: Option<impl Into<OsString>>) -> Git {
        self.env.push((key.into(), value.map(Into::into)));
        self
    }

    /// Whether an environment variable is set for it.
    pub fn sees(&self, key: &str) -> bool {
        let own = self.env.iter().rev().find(|(name, _)| name == key);
        own.map_or_else(|| std::env::var_os(key).is_some(), |(_, value)| value.is_some())
    }

    /// The same, and the repository is that of the directory, whatever `GIT_DIR` and its like say: a hook has them, say. What
    /// configures this run (`git -c`) stays.
    pub fn unbound(self) -> Result<Git, GitFailed> {
        let listed = self.run(["rev-parse", "--local-env-vars"])?;
        let names = String::from_utf8_lossy(&listed).into_owned();
        let binding = names.lines().filter(|name| !RUN_CONFIG.contains(name));
        Ok(binding.fold(self, |git, name| git.with_env(name, None::<OsString>)))
    }

    /// The same in another directory.
    pub fn moved_to(mut self, dir: impl Into<PathBuf>) -> Git {
        self.dir = dir.into();
        self
    }

    /// The same, and what it says to the user on stdout goes to stderr if `aside`: stdout is for something else then.
    pub fn aside(mut self, aside: bool) -> Git {
        self.aside = aside;
        self
    }

    /// The directory git is run in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs `git <args>` and returns its stdout; any exit code but 0 is an error that carries its stderr.
    pub fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Vec<u8>, GitFailed> {
        self.run_with_stdin(args, &[])
    }

    /// [`Git::run`] with bytes on stdin.
    pub fn run_with_stdin(
        &self,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        stdin: &[u8],
    ) -> Result<Vec<u8>, GitFailed> {
        let mut command = self.command(args);
        let output = captured(&mut command, stdin)?;
        if output.status.success() { Ok(output.stdout) } else { Err(failure(&command, &output)) }
    }

    /// Runs `git <args>` and returns what it said and how it ended, whatever the exit code.
    pub fn output(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output, GitFailed> {
        captured(&mut self.command(args), &[])
    }

    /// The person that a commit here would name, as `Name <mail>`; `None` where git does not know one.
    pub fn author(&self) -> Option<String> {
        let said = self.run(["var", "GIT_AUTHOR_IDENT"]).ok()?;
        let said = String::from_utf8_lossy(&said);
        // Behind the mail stand a time and a zone.
        Some(said[..=said.rfind('>')?].to_owned())
    }

    /// Runs `git <args>` for the user: bytes on stdin, stdout and stderr those of this process.
    pub fn foreground(
        &self,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        stdin: &[u8],
    ) -> Result<ExitStatus, GitFailed> {
        run_in_foreground(self.heard(args), stdin)
    }

    /// The same, and `hear` gets each line of stderr after the user has.
    pub fn foreground_heard(
        &self,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        hear: &mut dyn FnMut(&str),
    ) -> Result<ExitStatus, GitFailed> {
        let mut command = self.heard(args);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = start(&mut command)?;
        let heard = child.stderr.take().map_or(Ok(()), |pipe| pass_on(pipe, hear));
        let status = child.wait().map_err(|source| GitFailed::Pipe { command: shown(&command), source })?;
        heard.map_err(|source| GitFailed::Pipe { command: shown(&command), source })?;
        Ok(status)
    }

    /// Runs `git <args>` for the user, who may be asked: stdin too is that of this process.
    pub fn interactive(
        &self,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<ExitStatus, GitFailed> {
        let mut command = self.heard(args);
        let mut child = start(&mut command)?;
        child.wait().map_err(|source| GitFailed::Pipe { command: shown(&command), source })
    }

    /// Runs a hook script for the user, as git would have: in this directory and environment.
    pub fn script(
        &self,
        script: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        stdin: &[u8],
    ) -> Result<ExitStatus, GitFailed> {
        let mut command = Command::new(script);
        command.args(args);
        run_in_foreground(self.placed(command), stdin)
    }

    /// A command that the user hears.
    fn heard(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.command(args);
        if self.aside {
            command.stdout(io::stderr());
        }
        command
    }

    fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new("git");
        command.args(args);
        self.placed(command)
    }

    fn placed(&self, mut command: Command) -> Command {
        command.current_dir(&self.dir);
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }
}

fn run_in_foreground(mut command: Command, stdin: &[u8]) -> Result<ExitStatus, GitFailed> {
    command.stdin(Stdio::piped());
    let mut child = start(&mut command)?;
    let fed = feed(&mut child, stdin);
    let status = child.wait().map_err(|source| GitFailed::Pipe { command: shown(&command), source })?;
    fed.map_err(|source| GitFailed::Pipe { command: shown(&command), source })?;
    Ok(status)
}

/// Lines to our own stderr and to `hear`. A line without an end comes in parts.
fn pass_on(pipe: impl Read, hear: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while (&mut pipe).take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        // Nobody may be there to read it.
        let _ = io::stderr().write_all(&line);
        hear(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

fn captured(command: &mut Command, stdin: &[u8]) -> Result<Output, GitFailed> {
    command.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(command)?;
    let stdin_pipe = child.stdin.take();
    // A thread feeds stdin: git may answer before it has read everything, and both pipes are small.
    let (fed, output) = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || stdin_pipe.map_or(Ok(()), |mut pipe| write_all(&mut pipe, stdin)));
        let output = child.wait_with_output();
        (feeder.join().expect("writing to a pipe does not panic"), output)
    });
    let lost = |source| GitFailed::Pipe { command: shown(command), source };
    let output = output.map_err(lost)?;
    fed.map_err(lost)?;
    Ok(output)
}

fn start(command: &mut Command) -> Result<Child, GitFailed> {
    command.spawn().map_err(|source| GitFailed::Start { command: shown(command), source })
}

fn feed(child: &mut Child, stdin: &[u8]) -> io::Result<()> {
    child.stdin.take().map_or(Ok(()), |mut pipe| write_all(&mut pipe, stdin))
}

/// A command that does not read all of its stdin is in its right: its exit code says whether it is content.
fn write_all(pipe: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    match pipe.write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn failure(command: &Command, output: &Output) -> GitFailed {
    let said = &output.stderr[..output.stderr.len().min(STDERR_SHOWN)];
    let stderr = String::from_utf8_lossy(said).trim().to_owned();
    GitFailed::Exit { command: shown(command), status: output.status, stderr }
}

/// The command line, with no password in it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| without_password(&word.to_string_lossy()).escape_debug().to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use crate::git::scratch::Scratch;

    #[test]
    fn a_failure_names_the_command_and_what_git_said() {
        let scratch = Scratch::new();
        let error = scratch.git.run(["rev-parse", "--verify", "nowhere"]).unwrap_err().to_string();
        assert!(error.contains("`git rev-parse --verify nowhere` failed"), "{error}");
        assert!(error.contains("fatal: "), "{error}");
    }

    #[test]
    fn more_than_a_pipe_holds_goes_in_and_out() {
        let scratch = Scratch::new();
        let bytes = vec![b'x'; 1 << 20];
        let id = scratch.git.run_with_stdin(["hash-object", "-w", "--stdin"], &bytes).unwrap();
        let id = String::from_utf8(id).unwrap();
        assert_eq!(scratch.git.run(["cat-file", "blob", id.trim()]).unwrap(), bytes);
    }

    #[test]
    fn a_command_may_leave_its_stdin_unread() {
        let scratch = Scratch::new();
        scratch.git.run_with_stdin(["version"], &vec![b'x'; 1 << 20]).unwrap();
    }
}

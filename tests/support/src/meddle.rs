//! Real programs, ended or stopped in the middle, or read while somebody else writes: at the n-th moment, which a library counts that is
//! loaded into every process of a run. So a test goes on from 0 until a run gets to its end, and has seen every moment.
//!
//! Needs Linux, the `cc` that Rust links with, and programs that call the C library; those of Go (git-lfs) do not and are left
//! alone.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::environment::Hermetic;
use crate::process::{Output, run};

/// Who is ended, before it changes a directory: makes, renames, links or removes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    /// All processes of the run, as by a power cut.
    All,
    /// The one process that was about to do it; those that wait for it go on.
    One,
}

/// What somebody else does to a file before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Other bytes at its beginning and its end, at the same length.
    Rewrite,
    /// Some more bytes.
    Append,
    /// Only half of it stays.
    Truncate,
    /// Another file of the same length takes its place.
    Replace,
}

/// Meddles with the programs of a machine.
#[derive(Debug)]
pub struct Meddler {
    library: PathBuf,
    counter: PathBuf,
}

impl Meddler {
    /// One for commands of `env`.
    ///
    /// # Panics
    /// If the library cannot be built: without it these tests prove nothing.
    #[track_caller]
    pub fn new(env: &Hermetic) -> Meddler {
        let at = |name: &str| env.root().join(name);
        fs::write(at("meddle.c"), include_str!("meddle.c")).expect("a file in a temporary directory");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([at("meddle.so"), at("meddle.c")]).arg("-ldl");
        run(&mut cc);
        Meddler { library: at("meddle.so"), counter: at("meddle.counter") }
    }

    /// Runs a command and ends it before step `at`, counted from 0. What it left behind, once every process of it is gone, and
    /// whether it came that far.
    #[track_caller]
    pub fn kill(&self, command: &mut Command, killed: Killed, at: u64) -> (Output, bool) {
        if killed == Killed::All {
            command.env("MEDDLE_GROUP", "1").process_group(0);
        }
        self.run(command, at)
    }

    /// Runs a command up to step `at`, counted from 0, where the process that was about to take it is stopped as by SIGSTOP; or, if
    /// it does not come that far, to its end.
    #[track_caller]
    pub fn stop(&self, command: &mut Command, at: u64) -> Result<Stopped, Output> {
        command.env("MEDDLE_STOP", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.prepare(command, at).spawn().expect("it can be started");
        loop {
            let [_, pid] = self.counted();
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The state stands behind the name, which is in parentheses.
            if pid != 0 && state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')) {
                return Ok(Stopped { child, pid });
            }
            if child.try_wait().expect("a child").is_some() {
                return Err(ended(child));
            }
            std::thread::yield_now();
        }
    }

    /// Runs a command and changes `file` before the command reads from it for time `at`, counted from 0. What it left behind,
    /// and whether it came that far.
    #[track_caller]
    pub fn change(&self, command: &mut Command, file: &Path, how: Change, at: u64) -> (Output, bool) {
        let how = match how {
            Change::Rewrite => "rewrite",
            Change::Append => "append",
            Change::Truncate => "truncate",
            Change::Replace => "replace",
        };
        let file = file.canonicalize().expect("a file of this test");
        command.env("MEDDLE_HOW", how).env("MEDDLE_FILE", file);
        self.run(command, at)
    }

    #[track_caller]
    fn run(&self, command: &mut Command, at: u64) -> (Output, bool) {
        // Its stdout ends with the last process that holds it.
        let said = self.prepare(command, at).output().expect("it can be started");
        let stderr = String::from_utf8_lossy(&said.stderr).into_owned();
        let [counted, _] = self.counted();
        (Output { code: said.status.code(), stdout: said.stdout, stderr }, counted > at)
    }

    fn prepare<'c>(&self, command: &'c mut Command, at: u64) -> &'c mut Command {
        fs::write(&self.counter, [0; 16]).expect("a file in a temporary directory");
        command.env("LD_PRELOAD", &self.library).env("MEDDLE_COUNTER", &self.counter);
        command.env("MEDDLE_AT", at.to_string()).stdin(Stdio::null())
    }

    /// Steps so far, and the process that is stopped.
    fn counted(&self) -> [u64; 2] {
        let bytes = fs::read(&self.counter).expect("written before");
        let (numbers, _) = bytes.as_chunks();
        [u64::from_ne_bytes(numbers[0]), u64::from_ne_bytes(numbers[1])]
    }
}

fn ended(child: Child) -> Output {
    let said = child.wait_with_output().expect("a child");
    let stderr = String::from_utf8_lossy(&said.stderr).into_owned();
    Output { code: said.status.code(), stdout: said.stdout, stderr }
}

/// A command of which a process is stopped.
#[derive(Debug)]
pub struct Stopped {
    child: Child,
    pid: u64,
}

impl Stopped {
    /// Lets it go on to its end.
    #[track_caller]
    pub fn go_on(self) -> Output {
        run(Command::new("kill").args(["-CONT", &self.pid.to_string()]));
        ended(self.child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_ended_at_every_step_and_then_not_at_all() {
        let env = Hermetic::new();
        let meddler = Meddler::new(&env);
        let left = |killed, at| {
            let _ = fs::remove_file(env.work().join("a"));
            let _ = fs::remove_file(env.work().join("b"));
            let mut sh = env.command("sh");
            let (said, reached) = meddler.kill(sh.args(["-c", ">a; mv a b; echo after"]), killed, at);
            let there = ["a", "b"].map(|name| env.work().join(name).exists());
            (said.code, said.text().to_owned(), there, reached)
        };
        assert_eq!(left(Killed::All, 0), (None, String::new(), [false, false], true));
        assert_eq!(left(Killed::All, 1), (None, String::new(), [true, false], true));
        assert_eq!(left(Killed::One, 1), (Some(0), "after".to_owned(), [true, false], true));
        assert_eq!(left(Killed::All, 2), (Some(0), "after".to_owned(), [false, true], false));
    }

    #[test]
    fn a_command_is_stopped_and_goes_on() {
        let env = Hermetic::new();
        let meddler = Meddler::new(&env);
        let mut sh = env.command("sh");
        let stopped = meddler.stop(sh.args(["-c", ">a; mv a b; echo after"]), 1).expect("it gets that far");
        assert!(env.work().join("a").exists() && !env.work().join("b").exists());
        assert_eq!(stopped.go_on().text(), "after");
        assert!(env.work().join("b").exists());
        assert_eq!(meddler.stop(env.command("true").arg("x"), 0).expect_err("no step").code, Some(0));
    }

    #[test]
    fn a_file_is_changed_before_it_is_read() {
        let env = Hermetic::new();
        let meddler = Meddler::new(&env);
        let file = env.work().join("file");
        let seen = |how, at| {
            fs::write(&file, [b'x'; 100]).expect("a file of this test");
            meddler.change(env.command("cat").arg("file"), &file, how, at).0.stdout
        };
        assert!(seen(Change::Rewrite, 0).starts_with(b"somebody else"));
        assert_eq!(seen(Change::Rewrite, 1), [b'x'; 100]);
        assert_eq!(fs::read(&file).expect("there").len(), 100);
        assert_eq!(seen(Change::Truncate, 0).len(), 50);
        assert!(seen(Change::Append, 1).len() > 100);
        assert_eq!(seen(Change::Replace, 0), [b'x'; 100], "it is open already");
        assert!(fs::read(&file).expect("there").starts_with(b"somebody else"));
    }
}

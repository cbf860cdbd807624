//! Running programs and saying, where one does not do as expected, what it was and what it said.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

/// What a program that has ended left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, as text.
    pub stderr: String,
}

impl Output {
    /// Stdout as text, without white space at the end.
    #[track_caller]
    pub fn text(&self) -> &str {
        let text = std::str::from_utf8(&self.stdout);
        text.unwrap_or_else(|error| panic!("stdout is not UTF-8 ({error}): {:?}", self.stdout)).trim_end()
    }

    /// Stdout as lines of text.
    #[track_caller]
    pub fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }
}

/// Runs a command to its end, its stdin empty.
///
/// # Panics
/// If it cannot be run or does not exit with 0; the message holds all that it wrote.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = finished(command);
    assert!(output.code == Some(0), "{}", account(command, &output, "failed"));
    output
}

/// Runs a command that has to fail.
///
/// # Panics
/// If it cannot be run, exits with 0, or is ended by a signal.
#[track_caller]
pub fn run_failing(command: &mut Command) -> Output {
    let output = finished(command);
    assert!(output.code.is_some_and(|code| code != 0), "{}", account(command, &output, "had to fail"));
    output
}

#[track_caller]
fn finished(command: &mut Command) -> Output {
    match command.stdin(Stdio::null()).output() {
        Ok(output) => Output {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("cannot run {}: it, or its working directory, does not exist", line(command))
        }
        Err(error) => panic!("cannot run {}: {error}", line(command)),
    }
}

fn account(command: &Command, output: &Output, verdict: &str) -> String {
    let ended = output.code.map_or("ended by a signal".to_owned(), |code| format!("exit code {code}"));
    let place = command.get_current_dir().map(|dir| format!("\n  in {}", dir.display())).unwrap_or_default();
    format!(
        "{} {verdict}: {ended}{place}\n--- stdout\n{}\n--- stderr\n{}\n---",
        line(command),
        String::from_utf8_lossy(&output.stdout).trim_end(),
        output.stderr.trim_end()
    )
}

fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let quoted = words.map(|word| if word.contains([' ', '\n', '\'']) { format!("{word:?}") } else { word });
    format!("`{}`", quoted.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir("/");
        command
    }

    fn complaint(work: impl FnOnce() -> Output) -> String {
        let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("it had to complain");
        *panic.downcast::<String>().expect("a panic with a formatted message")
    }

    #[test]
    fn a_failure_shows_command_place_code_and_words() {
        let said = complaint(|| run(&mut sh("echo out; echo err >&2; exit 3")));
        assert_eq!(
            said,
            "`sh -c \"echo out; echo err >&2; exit 3\"` failed: exit code 3\n  in /\n--- stdout\nout\n--- stderr\nerr\n---"
        );
    }

    #[test]
    fn success_and_death_are_no_failures_to_wait_for() {
        assert_eq!(run_failing(&mut sh("exit 4")).code, Some(4));
        assert!(complaint(|| run_failing(&mut sh("true"))).contains("had to fail: exit code 0"));
        assert!(complaint(|| run_failing(&mut sh("kill -9 $$"))).contains("ended by a signal"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        assert!(complaint(|| run(&mut Command::new("no-such-program"))).contains("no-such-program"));
    }

    #[test]
    fn nobody_types_anything() {
        assert_eq!(run(&mut sh("cat; echo end")).lines(), ["end"]);
    }
}

//! Where words go: facts to stdout, remarks to stderr.
//!
//! Text that comes from a repository or a store may hold escape sequences; what is not printable is shown escaped.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use serde::Serialize;

use crate::cli::errors::{CommandError, Kind};
use crate::cli::given::Given;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loudness {
    Quiet,
    Normal,
    Verbose,
}

/// The user at the other end.
#[derive(Debug, Clone)]
pub struct Ui {
    loudness: Loudness,
    aside: bool,
    given: Given,
}

impl Ui {
    /// As `-v` and `-q` ask for; commands to type get what was `given`.
    pub fn new(verbose: u8, quiet: bool, given: Given) -> Ui {
        let loudness = match (quiet, verbose) {
            (true, _) => Loudness::Quiet,
            (false, 0) => Loudness::Normal,
            (false, _) => Loudness::Verbose,
        };
        Ui { loudness, aside: false, given }
    }

    /// The same, but what was done is said on stderr if stdout is for something else.
    pub fn aside(self, aside: bool) -> Ui {
        Ui { aside, ..self }
    }

    /// Whether the user asked for silence.
    pub fn is_quiet(&self) -> bool {
        self.loudness == Loudness::Quiet
    }

    /// A line the user asked for, on stdout.
    pub fn fact(&self, line: &str) {
        write_line(&mut io::stdout().lock(), "", line);
    }

    /// The same with JSON beside it: on stderr then.
    pub fn finding(&self, line: &str) {
        match self.aside {
            true => write_line(&mut io::stderr().lock(), "", line),
            false => self.fact(line),
        }
    }

    /// The same for one of very many lines: whether anybody reads them still.
    pub fn heard(&self, line: &str) -> bool {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", printable(line)).and_then(|()| stdout.flush()).is_ok()
    }

    /// Something for a program, on stdout: JSON with stable names.
    pub fn json(&self, value: &impl Serialize) {
        self.fact(&serde_json::to_string_pretty(value).expect("plain values always encode"));
    }

    /// Bytes the user asked for, on stdout, as they are.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), CommandError> {
        self.copy(&mut &bytes[..])
    }

    /// The same of everything that can be read.
    pub fn copy(&self, from: &mut impl Read) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        let copied = io::copy(from, &mut stdout).and_then(|_| stdout.flush());
        copied.map_err(|error| {
            let unheard = error.kind() == io::ErrorKind::BrokenPipe;
            let kind = if unheard { Kind::Unheard } else { Kind::Failed };
            CommandError::new(kind, format!("cannot write to stdout: {error}"))
        })
    }

    /// What was done; silent with `-q`, and on stderr where stdout is for a program.
    pub fn done(&self, line: &str) {
        match self.aside {
            _ if self.loudness < Loudness::Normal => {}
            true => write_line(&mut io::stderr().lock(), "", line),
            false => write_line(&mut io::stdout().lock(), "", line),
        }
    }

    /// How it was done; only with `-v`.
    pub fn detail(&self, line: &str) {
        if self.loudness >= Loudness::Verbose {
            write_line(&mut io::stderr().lock(), "", line);
        }
    }

    /// Something that needs no action now but may surprise later.
    pub fn warning(&self, line: &str) {
        write_line(&mut io::stderr().lock(), "warning: ", &self.given.spelled(line));
    }

    /// What to type next; silent with `-q`.
    pub fn hint(&self, line: &str) {
        if self.loudness >= Loudness::Normal {
            write_line(&mut io::stderr().lock(), "hint: ", &self.given.spelled(line));
        }
    }

    /// Why the command ends.
    pub fn error(&self, error: &CommandError) {
        if error.kind == Kind::Unheard {
            return;
        }
        let mut stderr = io::stderr().lock();
        write_line(&mut stderr, "error: ", &self.given.spelled(&error.message));
        for hint in &error.hints {
            write_line(&mut stderr, "hint: ", &self.given.spelled(hint));
        }
    }
}

/// Nobody is left to tell when this fails.
fn write_line(to: &mut impl Write, label: &str, line: &str) {
    let mut text = printable(line);
    // A line break in a name must not make a line that looks like ours.
    if !label.is_empty() {
        text = text.replace('\n', "\n  ");
    }
    let _ = writeln!(to, "{label}{text}");
}

/// Text that others chose, as a part of one line.
pub fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// Characters that are not seen and change the order in which others are: a name that has them is read as another one.
fn is_unseen(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text with its control characters escaped, line breaks kept.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unseen(char) || (char.is_control() && char != '\n' && char != '\t') {
            // As in JSON, which some of the lines are.
            let _ = write!(shown, "\\u{:04x}", u32::from(char));
        } else {
            shown.push(char);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{202e}cod.exe"), "a\\u202ecod.exe");
        let mut said = Vec::new();
        write_line(&mut said, "error: ", "no file a\nhint: type this");
        assert_eq!(said, b"error: no file a\n  hint: type this\n");
        assert_eq!(printable("a\u{1b}[31mb\r\nä\u{9b}1m"), "a\\u001b[31mb\\u000d\nä\\u009b1m");
    }
}

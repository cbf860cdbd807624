//! What helps against what the operating system says, for errors that only pass it on: of a program that git runs, say, or of a file whose
//! place says nothing about what to do.

use crate::cli::errors::CommandError;

/// What it says, and what to do.
const REMEDIES: [(&str, &str); 9] = [
    ("no space left on device", "free some space there"),
    ("disk quota exceeded", "free some space there"),
    // Git, which often does not say why.
    ("out of diskspace", "free some space there"),
    ("couldn't write", "free some space there, or check who may write there"),
    ("failed to write", "free some space there, or check who may write there"),
    ("read-only file system", "mount it so that it can be written, or choose another place"),
    ("permission denied", "check who may read and write there"),
    ("too many open files", "allow more open files (`ulimit -n`)"),
    ("cannot allocate memory", "free some memory, or allow more of it"),
];

/// The error, with a hint where neither it nor who passed it on says what to do.
pub fn added(error: CommandError) -> CommandError {
    let words = error.message.to_lowercase();
    if !error.hints.is_empty() || words.contains("run the command again") {
        return error;
    }
    match REMEDIES.iter().find(|(said, _)| words.contains(said)) {
        Some((_, what)) => error.hint(format!("{what}, then run the command again")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::errors::Kind;

    #[test]
    fn an_error_that_says_what_to_do_is_left_as_it_is() {
        let hints = |message: &str| added(CommandError::new(Kind::Failed, message)).hints;
        let full = ["free some space there, then run the command again"];
        assert_eq!(hints("cannot write a: No space left on device (os error 28)"), full);
        assert_eq!(
            hints("cannot write a: No space left on device; free space and run the command again"),
            [""; 0]
        );
        assert_eq!(hints("it is gone"), [""; 0]);
        let hinted = CommandError::new(Kind::Failed, "Permission denied").hint("ask the owner");
        assert_eq!(added(hinted).hints, ["ask the owner"]);
    }
}

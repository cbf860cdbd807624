//! How commands end: every exit code there is. The help prints the table, and `docs/commands.md` repeats it.
//!
//! Where data does not come, the code says who can help. 2: nobody has stored it, so somebody who has it must push it. 4: the
//! store promised it, and has other bytes or none. 5: ask again. Of several files the worst counts.

pub use crate::ops::failure::Kind;

/// Each kind of failure, and what is said of it.
pub const TABLE: [(Kind, &str); 8] = [
    (Kind::Difference, "a difference, or not clean"),
    (Kind::NotFound, "not found: no such thing, or data that is neither here nor in the store"),
    (Kind::Conflict, "a conflict: somebody else was first, or it is not trusted"),
    (Kind::Integrity, "an integrity failure: damaged, or promised by the store and not there"),
    (Kind::Unreachable, "the store does not answer"),
    (Kind::Usage, "the command line is wrong"),
    (Kind::Failed, "anything else"),
    (Kind::Unheard, "nobody reads the output any more"),
];

/// The table as the help prints it.
pub fn help() -> String {
    let rows = TABLE.map(|(kind, what)| format!("  {:<4} {what}\n", kind.exit_code()));
    format!("Exit codes:\n  {:<4} done\n{}  where git itself fails, git's own code", 0, rows.concat())
}

impl Kind {
    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Difference => 1,
            Kind::NotFound => 2,
            Kind::Conflict => 3,
            Kind::Integrity => 4,
            Kind::Unreachable => 5,
            Kind::Usage => 64,
            Kind::Failed => 128,
            // As if SIGPIPE had ended it, like git.
            Kind::Unheard => 141,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_the_manual_has_them_all() {
        let manual = include_str!("../../docs/commands.md");
        let codes = TABLE.map(|(kind, _)| kind.exit_code());
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        assert!(manual.contains("| 0 | done |\n"));
        for (kind, what) in TABLE {
            let row = format!("| {} | {what}", kind.exit_code());
            assert!(manual.contains(&row), "docs/commands.md lacks {row}");
        }
    }
}

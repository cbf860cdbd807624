//! What a command of a simulation says when it fails, and of which kind that is. Machines, disks and stores fail here as the seed has it, and
//! each such failure is one that the program knows. What it does not know is a defect of the program.

use std::path::Path;

use crate::catalog::CatalogError;
use crate::ops::bundle::NotFound;
use crate::ops::collection::NotCollected;
use crate::ops::download::NotHere;
use crate::ops::failure::Kind;
use crate::ops::fetch::FetchError;
use crate::ops::ingest::SourceError;
use crate::ops::label::LabelError;
use crate::ops::mirror::NotMirrored;
use crate::ops::redact::NotRedacted;
use crate::ops::repair::NotRepaired;
use crate::ops::repo::RepoNotChanged;
use crate::ops::squash::NotSquashed;
use crate::table::TableError;

/// Words of an error that say that the program is wrong.
const DEFECTS: [&str; 3] = ["please report", "contradicts itself", "has a bug"];

/// Words of a probe (R17), which takes a place at its word: what fails there is the place, of which no kind says more.
const PROBED: &str = "cannot hold data safely";

/// Why it was not done.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub words: String,
    /// As the command line calls it; none of what only the simulator says.
    pub kind: Option<Kind>,
}

impl Failed {
    /// What the simulator says itself.
    pub(super) fn ours(words: impl Into<String>) -> Failed {
        Failed { words: words.into(), kind: None }
    }

    /// The same with what it is about before it.
    pub(super) fn of(self, what: impl std::fmt::Display) -> Failed {
        Failed { words: format!("{what}: {}", self.words), ..self }
    }

    /// The same without the name of a directory, which is another one each time.
    pub(super) fn within(self, folder: &Path) -> Failed {
        Failed { words: self.words.replace(&folder.display().to_string(), "here"), ..self }
    }
}

/// What is wrong with an error as such: it is one line that says what failed, and it is of some kind. What no kind fits comes of a disk or a
/// store that refuses (`refused`), and of a place that a probe refused.
pub(super) fn fault_of(failed: &Failed, refused: bool) -> Option<&'static str> {
    let words = failed.words.trim();
    match failed.kind {
        _ if words.is_empty() || words.contains('\n') => Some("an error without words"),
        _ if DEFECTS.iter().any(|it| words.contains(it)) => Some("a broken invariant"),
        None | Some(Kind::NotFound | Kind::Conflict | Kind::Integrity | Kind::Unreachable) => None,
        Some(Kind::Failed) if refused || words.contains(PROBED) => None,
        Some(_) => Some("an error of no kind"),
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> String {
        failed.words
    }
}

macro_rules! kinds {
    ($($error:ty => $kind:expr),* $(,)?) => {$(
        impl From<$error> for Failed {
            fn from(error: $error) -> Failed {
                let kind: fn(&$error) -> Kind = $kind;
                Failed { kind: Some(kind(&error)), words: error.to_string() }
            }
        }
    )*};
}

kinds! {
    CatalogError => Kind::of_catalog,
    FetchError => Kind::of_fetch,
    LabelError => Kind::of_label,
    NotFound => Kind::of_not_found,
    NotHere => Kind::of_not_here,
    NotSquashed => Kind::of_squash,
    RepoNotChanged => Kind::of_repo,
    SourceError => Kind::of_source,
    TableError => Kind::of_table,
    NotCollected => |error| match error {
        NotCollected::Catalog(error) => Kind::of_catalog(error),
        NotCollected::Canary { .. } => Kind::Integrity,
        NotCollected::Contended(_) => Kind::Conflict,
    },
    NotMirrored => |error| match error {
        NotMirrored::Catalog(error) => Kind::of_catalog(error),
        NotMirrored::Diverged { .. } | NotMirrored::Damaged { .. } => Kind::Integrity,
        NotMirrored::None { .. } | NotMirrored::Gone { .. } => Kind::NotFound,
        NotMirrored::IsStore { .. }
        | NotMirrored::Another { .. }
        | NotMirrored::NotEmpty { .. }
        | NotMirrored::Unfinished { .. } => Kind::Conflict,
    },
    NotRedacted => |error| match error {
        NotRedacted::Catalog(error) => Kind::of_catalog(error),
        NotRedacted::Unread { .. } => Kind::Integrity,
        NotRedacted::NoFile { .. } => Kind::NotFound,
        NotRedacted::Reached { .. }
        | NotRedacted::InVersion { .. }
        | NotRedacted::Overtaken
        | NotRedacted::Unseen(_) => Kind::Conflict,
        NotRedacted::Path(_) | NotRedacted::Nameless => Kind::Usage,
    },
    NotRepaired => |error| match error {
        NotRepaired::Catalog(error) => Kind::of_catalog(error),
        NotRepaired::Scratch { .. } => Kind::Failed,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Refusal;

    #[test]
    fn an_error_that_says_nothing_or_too_much_is_a_defect() {
        let fault = |words: &str, kind, refused| fault_of(&Failed { words: words.to_owned(), kind }, refused);
        assert_eq!(fault("it is gone", Some(Kind::NotFound), false), None);
        assert_eq!(fault("the disk is full", Some(Kind::Failed), true), None);
        assert!(fault("the disk is full", Some(Kind::Failed), false).is_some());
        assert!(fault("type something else", Some(Kind::Usage), true).is_some());
        assert!(fault(" ", Some(Kind::NotFound), false).is_some());
        assert!(fault("two\nlines", Some(Kind::NotFound), false).is_some());
        let broken = Failed::from(CatalogError::Refused(Refusal::Malformed("it has no head")));
        assert_eq!(
            (broken.kind, fault_of(&broken, true)),
            (Some(Kind::Conflict), Some("a broken invariant"))
        );
    }
}

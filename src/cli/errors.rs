//! Errors as the user meets them: what happened, what kind of thing that is, what to type next.

use crate::catalog::CatalogError;
pub use crate::cli::exit::Kind;
use crate::git::{
    ConfigError, GitFailed, HookError, ManifestError, ObjectsError, RepoError, SettingError, TopFileError,
};
use crate::ops::fetch::FetchError;
use crate::ops::kinship::Stranger;
use crate::store::{BadUrl, StoreError};
use crate::transfer::NoSession;

/// A command that did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// What kind of failure.
    pub kind: Kind,
    /// What happened, to what.
    pub message: String,
    /// What to do or type next, a line each.
    pub hints: Vec<String>,
}

impl CommandError {
    /// A failure with no hint yet.
    pub fn new(kind: Kind, message: impl Into<String>) -> CommandError {
        CommandError { kind, message: message.into(), hints: Vec::new() }
    }

    /// The same with one more hint.
    pub fn hint(mut self, hint: impl Into<String>) -> CommandError {
        self.hints.push(hint.into());
        self
    }
}

impl From<RepoError> for CommandError {
    fn from(error: RepoError) -> CommandError {
        match &error {
            RepoError::NotFound { .. } => CommandError::new(Kind::NotFound, error.to_string())
                .hint("go to a git repository, or make one with `git init`"),
            RepoError::Unreachable { .. } => CommandError::new(Kind::Failed, error.to_string())
                .hint("check whose it is and who may read it, then run the command again"),
            RepoError::ObjectFormat { .. } => CommandError::new(Kind::Failed, error.to_string())
                .hint("in a repository of SHA-1, as `git init --object-format=sha1` makes it"),
            _ => CommandError::new(Kind::Failed, error.to_string()),
        }
    }
}

/// Failures that are always of one kind and say themselves what to do.
macro_rules! always {
    ($($error:ty => $kind:expr),* $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> CommandError {
                CommandError::new($kind, error.to_string())
            }
        }
    )*};
}

always! {
    GitFailed => Kind::Failed,
    ConfigError => Kind::Failed,
    TopFileError => Kind::Failed,
    ManifestError => Kind::Failed,
    SettingError => Kind::Failed,
    HookError => Kind::Failed,
    BadUrl => Kind::Usage,
    Stranger => Kind::Conflict,
}

impl From<ObjectsError> for CommandError {
    fn from(error: ObjectsError) -> CommandError {
        CommandError::new(Kind::of_objects(&error), error.to_string())
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> CommandError {
        CommandError::new(Kind::of_store(&error), error.to_string())
    }
}

impl From<NoSession> for CommandError {
    fn from(error: NoSession) -> CommandError {
        let kind = match error {
            NoSession::Repo(error) => return error.into(),
            NoSession::Catalog(error) => return error.into(),
            NoSession::Url(error) => return error.into(),
            NoSession::Objects(error) => return error.into(),
            NoSession::Astray { astray } => {
                let message = format!("{astray}: nothing was uploaded");
                return CommandError::new(Kind::Conflict, message).hint(astray.remedy());
            }
            NoSession::NoStore | NoSession::NotLocal(_) => Kind::NotFound,
            NoSession::Untrusted { .. } | NoSession::Stranger(_) => Kind::Conflict,
            _ => Kind::Failed,
        };
        CommandError::new(kind, error.to_string())
    }
}

impl From<CatalogError> for CommandError {
    fn from(error: CatalogError) -> CommandError {
        CommandError::new(Kind::of_catalog(&error), error.to_string())
    }
}

impl From<FetchError> for CommandError {
    fn from(error: FetchError) -> CommandError {
        CommandError::new(Kind::of_fetch(&error), error.to_string())
    }
}

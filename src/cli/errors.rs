//! Errors as the user meets them: what happened, what kind of thing that is, what to type next.

use crate::catalog::CatalogError;
use crate::git::{
    ConfigError, GitFailed, HookError, ManifestError, ObjectsError, RepoError, SettingError, TopFileError,
};
use crate::ops::kinship::Stranger;
use crate::store::{BadUrl, StoreError};
use crate::transfer::NoSession;

/// What kind of failure; scripts see it as the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Things differ, or are not clean.
    Difference,
    /// What was named does not exist.
    NotFound,
    /// Somebody else was there first.
    Conflict,
    /// Bytes are not what they must be.
    Integrity,
    /// The store does not answer.
    Unreachable,
    /// The command line is wrong.
    Usage,
    /// Anything else; git's own code for it.
    Failed,
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
        }
    }
}

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
        let kind = if matches!(error, ObjectsError::Unknown { .. }) { Kind::NotFound } else { Kind::Failed };
        CommandError::new(kind, error.to_string())
    }
}

impl Kind {
    /// What kind of failure one of a store is.
    pub fn of_store(error: &StoreError) -> Kind {
        match error {
            StoreError::Url(_) => Kind::Usage,
            StoreError::Absent { .. } => Kind::NotFound,
            StoreError::Missing { .. } | StoreError::Short { .. } | StoreError::Foreign { .. } => {
                Kind::Integrity
            }
            StoreError::Request { .. } => Kind::Unreachable,
            StoreError::NotADirectory { .. } | StoreError::Unsafe { .. } => Kind::Failed,
        }
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
        let kind = match error {
            CatalogError::Store(error) => return error.into(),
            CatalogError::NotAStore { .. } | CatalogError::NoData { .. } => Kind::NotFound,
            CatalogError::Identity { .. }
            | CatalogError::Log { .. }
            | CatalogError::Lost { .. }
            | CatalogError::Holed { .. }
            | CatalogError::Pack(_)
            | CatalogError::Table(_) => Kind::Integrity,
            CatalogError::Refused(_) | CatalogError::Contended { .. } => Kind::Conflict,
            CatalogError::Unknown { .. } => Kind::Unreachable,
            CatalogError::NotEmpty { .. } | CatalogError::Journal(_) => Kind::Failed,
        };
        CommandError::new(kind, error.to_string())
    }
}

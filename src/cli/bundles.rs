//! Bundles of commits and their notes, as every command that pushes or asks makes them.
//!
//! Nothing here stops a push: data that is not safe does, a bundle that was not made is made the next time.

use std::collections::BTreeMap;

use crate::catalog::Catalog;
use crate::cli::Context;
use crate::cli::bar::Bar;
use crate::cli::errors::CommandError;
use crate::git::{Manifest, NoteEdit, NotesError, ObjectId, Objects, PushedRef, Repo};
use crate::id::{BundleId, RepoId};
use crate::ops::bundle::{Dataset, NoBundle, Place, Prepared, bundle_of, make, open};
use crate::ops::lineage::{Record, label_edit};
use crate::transfer::Session;

/// The commits that branches and tags of a push lead to, each once; none in a repository that is no dataset.
pub fn tips(repo: &Repo, objects: &Objects, pushed: &[PushedRef]) -> Vec<ObjectId> {
    if !repo.manifest().is_ok_and(|it| it != Manifest::NONE) {
        return vec![];
    }
    let mut tips = Vec::new();
    for it in pushed {
        let named =
            [&b"refs/heads/"[..], b"refs/tags/"].iter().any(|prefix| it.remote_ref.starts_with(prefix));
        let commit = it.local.filter(|_| named).and_then(|id| objects.commit(&id.to_string()).ok());
        tips.extend(commit.filter(|commit| !tips.contains(commit)));
    }
    tips
}

/// A dataset of a git repository, and the repo of the store that it is.
#[derive(Debug, Clone)]
pub struct Part {
    id: RepoId,
    name: Option<String>,
    dataset: Dataset,
}

impl Part {
    fn place<'a>(&'a self, repo: &'a Repo, objects: &'a Objects) -> Place<'a> {
        Place { repo, objects, dataset: &self.dataset, id: self.id, name: self.name.as_deref() }
    }
}

/// The datasets of the repository of a session, the one that git-lfs transfers belong to first.
pub fn parts(session: &Session) -> Vec<Part> {
    vec![Part { id: session.repo_id, name: session.repo_name.clone(), dataset: Dataset::default() }]
}

/// The first of the tips that has no bundle yet, planned: it goes up with the data. What cannot be planned is warned of later.
pub fn first_missing(session: &Session, tips: &[ObjectId]) -> Option<Prepared> {
    let part = parts(session).into_iter().find(|part| part.id == session.repo_id)?;
    let Session { repo, objects, catalog, .. } = session;
    let lacks =
        |tip: &&ObjectId| matches!(bundle_of(catalog, objects, part.id, &part.dataset, **tip), Ok(None));
    let tip = tips.iter().find(lacks)?;
    Prepared::of(catalog, part.place(repo, objects), *tip, false).ok()
}

/// Makes the bundles that the tips still lack and writes all of them down; what fails is a warning.
pub fn complete(session: &mut Session, tips: &[ObjectId], context: &Context) -> Vec<(ObjectId, BundleId)> {
    let mut made = Vec::new();
    for part in parts(session) {
        for tip in tips {
            match make_of(session, &part, *tip, false, context) {
                Ok((bundle, _)) => made.push((*tip, bundle)),
                // A branch from before the dataset.
                Err(error @ NoBundle::NoDataset { .. }) => context.ui.detail(&error.to_string()),
                Err(error) => {
                    let message = CommandError::from(error).message;
                    context.ui.warning(&format!("no dataset version of {tip} yet: {message}"));
                    context.ui.hint(&format!("to try again: git datamon bundle {tip}"));
                }
            }
        }
    }
    if let Err(error) = note(&session.catalog, &session.repo, &made) {
        context.ui.warning(&format!("no note of the dataset version was written: {}", error.message));
    }
    made
}

/// The bundle of a commit, and whether it was made now.
pub fn make_of(
    session: &mut Session,
    part: &Part,
    commit: ObjectId,
    verified: bool,
    context: &Context,
) -> Result<(BundleId, bool), NoBundle> {
    let bar = Bar::new("versioning", 0, context.ui.is_quiet());
    let Session { repo, objects, catalog, .. } = session;
    let outcome = make(catalog, part.place(repo, objects), commit, verified, &bar);
    bar.finish();
    outcome
}

/// Writes bundles down at their commits.
pub fn note(catalog: &Catalog, repo: &Repo, made: &[(ObjectId, BundleId)]) -> Result<usize, CommandError> {
    // Also in a clone where nobody ran `init`: a note is of little use if the next amended commit loses it.
    let _ = repo.configure_notes();
    let mut edits = BTreeMap::new();
    for (commit, bundle) in made {
        let line = Record::of_bundle(catalog, open(catalog, *bundle)?.root()).line();
        edits.entry(*commit).or_insert_with(NoteEdit::default).add.push(line);
    }
    Ok(repo.edit_notes(&edits)?)
}

/// Writes the newest move of a label down at the commit of its bundle; what fails is a warning, the store has the move.
pub fn note_label(catalog: &Catalog, git: &Repo, id: RepoId, name: &str, context: &Context) {
    let written = || -> Result<(), CommandError> {
        let edit = label_edit(catalog, &git.objects()?, id, name)?;
        let _ = git.configure_notes();
        git.edit_notes(&edit.into_iter().collect())?;
        Ok(())
    };
    if let Err(error) = written() {
        context.ui.warning(&format!("no note of label {name} was written: {}", error.message));
    }
}

/// Exchanges notes with a remote if there are some it was not seen to have; what fails is a remark, as no data depends on it.
pub fn sync(repo: &Repo, remote: &str, context: &Context) {
    if !repo.notes_unsent(remote) {
        return;
    }
    match repo.sync_notes(remote) {
        Ok(_) => {}
        Err(NotesError::NoRemote(_)) => {
            context.ui.detail("notes are exchanged with remotes that have a name only")
        }
        Err(error) => {
            context.ui.warning(&format!("notes of dataset versions stay here: {error}"));
            context.ui.hint(&format!("to send them: git datamon notes sync {remote}"));
        }
    }
}

/// The remote that `git push` takes when none is named.
pub fn default_remote(repo: &Repo) -> String {
    let config = |key: &str| repo.config().get(key).map(|value| String::from_utf8_lossy(value).into_owned());
    let branch = repo.git().run(["symbolic-ref", "--quiet", "--short", "HEAD"]).unwrap_or_default();
    let branch = String::from_utf8_lossy(&branch).trim().to_owned();
    config(&format!("branch.{branch}.pushremote"))
        .or_else(|| config("remote.pushdefault"))
        .or_else(|| config(&format!("branch.{branch}.remote")))
        .unwrap_or_else(|| "origin".to_owned())
}

impl From<NotesError> for CommandError {
    fn from(error: NotesError) -> CommandError {
        use crate::cli::errors::Kind;
        let kind = match &error {
            NotesError::Git(_) | NotesError::Objects(_) => Kind::Failed,
            NotesError::NoRemote(_) => Kind::NotFound,
            NotesError::Busy => Kind::Conflict,
        };
        CommandError::new(kind, error.to_string())
    }
}

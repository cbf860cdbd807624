//! Bundles of commits and their notes, as every command that pushes or asks makes them. A commit says itself of which datasets it
//! is.
//!
//! Nothing here stops a push: data that is not safe does, a bundle that was not made is made the next time.

use std::collections::BTreeMap;

use crate::catalog::Catalog;
use crate::cli::Context;
use crate::cli::bar::Bar;
use crate::cli::dataset::shown;
use crate::cli::errors::CommandError;
use crate::cli::ui::one_line;
use crate::git::{self, Datasets, ManifestError, NoteEdit, NotesError, ObjectId, Objects, PushedRef, Repo};
use crate::id::{BundleId, RepoId};
use crate::ops::bundle::{Dataset, NoBundle, Place, Prepared, bundle_of, heal, make, open};
use crate::ops::lineage::{Record, label_edit};
use crate::transfer::Session;

/// The commits that branches and tags of a push lead to, each once, as far as they are of a dataset.
pub fn tips(repo: &Repo, objects: &Objects, pushed: &[PushedRef]) -> Vec<ObjectId> {
    let Ok(datasets) = Datasets::of(repo, objects) else { return vec![] };
    // What cannot be read is told of when the rest of the push is safe.
    let is_wanted = |commit| datasets.of_tip(commit).map_or(true, |it| !it.is_empty());
    let mut tips = Vec::new();
    for it in pushed {
        let named =
            [&b"refs/heads/"[..], b"refs/tags/"].iter().any(|prefix| it.remote_ref.starts_with(prefix));
        let commit = it.local.filter(|_| named).and_then(|id| objects.commit(&id.to_string()).ok());
        tips.extend(commit.filter(|commit| !tips.contains(commit) && is_wanted(*commit)));
    }
    tips
}

/// A dataset of a git repository, and the repo of the store that it is.
#[derive(Debug, Clone)]
pub struct Part {
    named: git::Dataset,
    dataset: Dataset,
}

impl From<&git::Dataset> for Part {
    fn from(named: &git::Dataset) -> Part {
        Part { named: named.clone(), dataset: named.into() }
    }
}

impl Part {
    /// The repo.
    pub fn id(&self) -> RepoId {
        self.named.repo
    }

    /// What people call it.
    pub fn called(&self, session: &Session) -> String {
        one_line(&shown(&self.named, &session.catalog))
    }

    /// Its directory in the git repository; empty for all of it.
    pub fn path(&self) -> &str {
        &self.named.path
    }

    fn place<'a>(&'a self, repo: &'a Repo, objects: &'a Objects) -> Place<'a> {
        let (id, name) = (self.id(), self.named.name.as_deref());
        Place { repo, objects, dataset: &self.dataset, id, name }
    }
}

/// The datasets that are given versions without anybody asking for them.
pub fn parts_of_tip(session: &Session, tip: ObjectId) -> Result<Vec<Part>, ManifestError> {
    let all = Datasets::of(&session.repo, &session.objects)?.of_tip(tip)?;
    Ok(all.iter().map(Part::from).collect())
}

/// The datasets that somebody means who asks for versions of the commit.
pub fn parts(session: &Session, commit: ObjectId) -> Result<Vec<Part>, ManifestError> {
    let all = Datasets::of(&session.repo, &session.objects)?.at(commit)?;
    Ok(all.iter().map(Part::from).collect())
}

/// The first of the tips that has no bundle yet, planned: it goes up with the data. What cannot be planned is warned of later.
pub fn first_missing(session: &Session, tips: &[ObjectId]) -> Option<Prepared> {
    let Session { repo, objects, catalog, repo_id, .. } = session;
    // The entry of the data promises it to this dataset alone.
    let first = |tip: &ObjectId| {
        let part = parts_of_tip(session, *tip).ok()?.into_iter().find(|part| part.id() == *repo_id)?;
        let lacks = matches!(bundle_of(catalog, objects, part.id(), &part.dataset, *tip), Ok(None));
        lacks.then_some((*tip, part))
    };
    let (tip, part) = tips.iter().find_map(first)?;
    Prepared::of(catalog, part.place(repo, objects), tip, false).ok()
}

/// Makes the bundles that the tips still lack and writes all of them down; what fails is a warning.
pub fn complete(session: &mut Session, tips: &[ObjectId], context: &Context) -> Vec<(ObjectId, BundleId)> {
    let mut made = Vec::new();
    for tip in tips {
        let parts = parts_of_tip(session, *tip).unwrap_or_else(|error| {
            context.ui.warning(&format!("no dataset version of {tip}: {error}"));
            vec![]
        });
        for part in parts {
            match make_of(session, &part, *tip, false, context) {
                Ok((bundle, _)) => made.push((*tip, bundle)),
                Err(error) => warn(*tip, &part, error, context),
            }
        }
    }
    if let Err(error) = note(&session.catalog, &session.repo, &made) {
        context.ui.warning(&format!("no note of the dataset version was written: {}", error.message));
    }
    made
}

/// Says why a commit has no bundle yet, where nothing else depends on it.
pub fn warn(commit: ObjectId, part: &Part, error: NoBundle, context: &Context) {
    let place = if part.path().is_empty() { String::new() } else { format!(" in {}", part.path()) };
    let again = !matches!(error, NoBundle::Deleted { .. });
    match error {
        // A branch from before the dataset.
        NoBundle::NoDataset { .. } => context.ui.detail(&error.to_string()),
        error => {
            let message = CommandError::from(error).message;
            context.ui.warning(&format!("no dataset version of {commit}{place} yet: {message}"));
            if again {
                context.ui.hint(&format!("to try again: git datamon bundle {commit}"));
            }
        }
    }
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
    let healed = outcome.as_ref().ok().map(|_| heal(catalog, part.place(repo, objects), commit, &bar));
    bar.finish();
    match healed {
        Some(Ok(files)) if files > 0 => {
            context.ui.done(&format!("{files} files of {commit} that lay in damaged packs were stored anew"));
        }
        Some(Err(error)) => {
            context
                .ui
                .warning(&format!("what of {commit} lies in damaged packs was not stored anew: {error}"));
        }
        _ => {}
    }
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

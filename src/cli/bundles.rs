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
use crate::ops::bundle::{Dataset, NoBundle, Place, Prepared, Wanted, bundle_of, heal, make, open};
use crate::ops::kinship::Stranger;
use crate::ops::lineage::{Record, label_edit};
use crate::ops::{kinship, label};
use crate::transfer::Session;

/// The commits that branches and tags of a push lead to, each once, as far as they are of a dataset.
#[derive(Debug, Default)]
pub struct Tips {
    all: Vec<ObjectId>,
    /// Where the default branch of the remote is to be: `latest` goes along.
    default: Option<ObjectId>,
}

impl Tips {
    /// Those of a push to `remote`.
    pub fn of(repo: &Repo, objects: &Objects, remote: &str, pushed: &[PushedRef]) -> Tips {
        let Ok(datasets) = Datasets::of(repo, objects) else { return Tips::default() };
        // What cannot be read is told of when the rest of the push is safe.
        let is_wanted = |commit| datasets.of_tip(commit).map_or(true, |it| !it.is_empty());
        let default = objects.default_branch(remote).map(|name| format!("refs/heads/{name}"));
        let mut tips = Tips::default();
        for it in pushed {
            let named =
                [&b"refs/heads/"[..], b"refs/tags/"].iter().any(|prefix| it.remote_ref.starts_with(prefix));
            let commit = it.local.filter(|_| named).and_then(|id| objects.commit(&id.to_string()).ok());
            let Some(commit) = commit.filter(|commit| tips.all.contains(commit) || is_wanted(*commit)) else {
                continue;
            };
            if default.as_ref().is_some_and(|name| it.remote_ref == name.as_str()) {
                tips.default = Some(commit);
            }
            if !tips.all.contains(&commit) {
                tips.all.push(commit);
            }
        }
        tips
    }

    /// Whether nothing of a dataset is pushed.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn wanted(&self, tip: ObjectId) -> Wanted {
        Wanted { verified: false, latest: self.default == Some(tip) }
    }
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

/// Whether the repository may add to every dataset of the tips: what is somebody else's is known before anything is sent.
pub fn check_kin(session: &Session, tips: &Tips) -> Result<(), Stranger> {
    for tip in &tips.all {
        for part in parts_of_tip(session, *tip).unwrap_or_default() {
            kinship::check(&session.repo, &session.objects, &session.catalog, part.id())?;
        }
    }
    Ok(())
}

/// What goes into the entry of the data.
#[derive(Default)]
pub struct WithData {
    /// The first of the tips that has no bundle yet, planned. What cannot be planned is warned of later.
    pub missing: Option<Prepared>,
    /// The bundle that the default branch comes to, if it is there already.
    pub latest: Option<BundleId>,
}

impl WithData {
    /// The entry of the data promises to this dataset alone.
    pub fn of(session: &Session, tips: &Tips) -> WithData {
        let Session { repo, objects, catalog, repo_id, .. } = session;
        let mut with = WithData::default();
        for tip in &tips.all {
            let parts = parts_of_tip(session, *tip).unwrap_or_default();
            let Some(part) = parts.into_iter().find(|part| part.id() == *repo_id) else { continue };
            let wanted = tips.wanted(*tip);
            match bundle_of(catalog, objects, part.id(), &part.dataset, *tip) {
                Ok(Some(there)) if wanted.latest => with.latest = Some(there),
                Ok(None) if with.missing.is_none() => {
                    with.missing = Prepared::of(catalog, part.place(repo, objects), *tip, wanted).ok();
                }
                _ => {}
            }
        }
        with
    }
}

/// Makes the bundles that the tips still lack and writes all of them down; what fails is a warning.
pub fn complete(session: &mut Session, tips: &Tips, context: &Context) -> Vec<(ObjectId, BundleId)> {
    let mut made = Vec::new();
    for tip in &tips.all {
        let parts = parts_of_tip(session, *tip).unwrap_or_else(|error| {
            context.ui.warning(&format!("no dataset version of {tip}: {error}"));
            vec![]
        });
        for part in parts {
            match make_of(session, &part, *tip, tips.wanted(*tip), context) {
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
    let again = !matches!(error, NoBundle::Deleted { .. } | NoBundle::Stranger(_));
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
    wanted: Wanted,
    context: &Context,
) -> Result<(BundleId, bool), NoBundle> {
    kinship::check(&session.repo, &session.objects, &session.catalog, part.id())?;
    let bar = Bar::new("versioning", 0, context.ui.is_quiet());
    let Session { repo, objects, catalog, .. } = session;
    let outcome = make(catalog, part.place(repo, objects), commit, wanted, &bar);
    let healed = outcome.as_ref().ok().map(|_| heal(catalog, part.place(repo, objects), commit, &bar));
    bar.finish();
    tell_healed(healed, commit, context);
    let (bundle, made) = outcome?;
    if wanted.latest
        && let Err(error) = label::set_latest(&mut session.catalog, part.id(), bundle)
    {
        context.ui.warning(&format!("`latest` of {} did not move along: {error}", part.called(session)));
    }
    Ok((bundle, made))
}

/// Says what was stored anew, or why not.
fn tell_healed(healed: Option<Result<usize, NoBundle>>, commit: ObjectId, context: &Context) {
    match healed {
        Some(Ok(files)) if files > 0 => {
            context.ui.done(&format!("{files} files of {commit} that lay in damaged packs were stored anew"));
        }
        Some(Err(error)) => {
            let what = format!("what of {commit} lies in damaged packs was not stored anew: {error}");
            context.ui.warning(&what);
        }
        _ => {}
    }
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

//! `git datamon commit`: what changed goes to the store and into a commit, each changed file read once.
//!
//! Only what git-lfs would filter is taken in here; everything else is added by git, and `git commit` itself makes the commit, with
//! its hooks, editor and signature. The data is safe before the index names it, and the index before the commit.

use std::process::{ExitCode, ExitStatus, Output};
use std::thread;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::cli::bar::{Bar, bytes};
use crate::cli::commands::hook;
use crate::cli::dataset::{DatasetArgs, named};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::head::{self, Head};
use crate::cli::names;
use crate::cli::{Context, bundles};
use crate::git::{BString, Git, Hooks, Install, ObjectId, Operation, Repo, Scope};
use crate::id::{BundleId, RepoId};
use crate::ops::bundle::Wanted;
use crate::ops::kinship;
use crate::ops::label::{self, Expected};
use crate::transfer::{Intake, IntakeError, LocalObjects, Session, TakenIn};

/// Commit what changed, and send its data to the store
///
/// Without paths everything is committed that `git commit -a` would take: tracked files that changed or are gone, and what is
/// staged. With paths only these are, as by `git commit -- PATHS`, and new files below them too, as by `git add`. Files that
/// git-lfs tracks are read once, for the store and the commit together, without git-lfs. `git commit` makes the commit, so
/// hooks, editor and signature are as ever. Without the store the data stays in `.git/lfs/objects` until `git datamon push`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon commit -m 'new readings'                 what changed\n  \
    git datamon commit -m 'first data' data/             new files too\n  \
    git datamon commit -m 'reviewed' --label reviewed\n  \
    git datamon commit --amend --no-upload")]
pub struct CommitArgs {
    /// The message; without one the editor opens, as ever.
    #[arg(short, long, value_name = "MSG")]
    message: Vec<String>,

    /// Lead this label to the new version: that of the dataset in whose directory you are, or of the only one.
    #[arg(long, value_name = "LABEL", conflicts_with = "no_upload")]
    label: Option<String>,

    /// The label is one of this dataset, by name or id.
    #[arg(long, value_name = "NAME", requires = "label")]
    repo: Option<String>,

    /// Replace the last commit.
    #[arg(long)]
    amend: bool,

    /// Send nothing; the next `git datamon push` does.
    #[arg(long)]
    no_upload: bool,

    /// One JSON object, with stable field names; what git says goes to stderr.
    #[arg(long)]
    json: bool,

    /// What to commit; by default what changed.
    paths: Vec<String>,
}

/// Takes in, commits, and makes the version known.
pub fn run(args: &CommitArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let context = &context.aside(args.json);
    let git = Git::at(&context.dir).aside(args.json);
    let repo = Repo::found_by(git.clone())?;
    check(args, &repo)?;
    let specs: Vec<&str> = args.paths.iter().map(String::as_str).collect();
    // Git looks at every file, meanwhile the store is opened.
    let (session, changed) = thread::scope(|scope| {
        let asked = scope.spawn(|| rayon::join(|| check_paths(&specs, &repo), || repo.changed(&specs)));
        let session = session(args, &repo);
        (session, asked.join().expect("a panic there is one here"))
    });
    let present = changed.0?;
    let mut session = or_offline(args, session, context)?;
    let label = label(args, &repo, session.as_ref(), context)?;
    let staged = stage(args, &changed.1?, &repo, session.as_mut(), context)?;
    if !present.is_empty() {
        git.run(["add", "--all", "--"].iter().chain(&present))?;
    }
    let status = if args.paths.is_empty() {
        git.interactive(words(args, &["commit", "--all"], context))?
    } else {
        commit_only(args, &repo, context)?
    };
    if !status.success() {
        return Ok(hook::exit_code(status));
    }
    // Of a merge git names none: they were committed before.
    let added =
        ["diff-tree", "--root", "-r", "-z", "--no-commit-id", "--name-only", "--diff-filter=A", "HEAD"];
    let added = git.run(added).unwrap_or_default();
    names::warn(added.split(|byte| *byte == 0), context);
    // Also where an amended commit has the id that it had: its version may be missing, its label is not set.
    let bundles = match (session, head::commit(&git)) {
        (Some(session), Some(commit)) => version(session, &commit, label, context)?,
        _ => vec![],
    };
    if args.json {
        let head = Head::of(&git);
        context.ui.json(&json!({
            "commit": head.commit, "branch": head.branch, "bundles": bundles, "label": args.label,
            "files": staged.files, "bytes": staged.bytes, "uploaded": staged.uploaded,
        }));
    }
    Ok(ExitCode::SUCCESS)
}

fn check(args: &CommitArgs, repo: &Repo) -> Result<(), CommandError> {
    LocalObjects::of(repo.config())?;
    if repo.work_tree().is_none() {
        let message = "there is no work tree here to commit from";
        return Err(CommandError::new(Kind::Failed, message).hint("run it in a clone with a work tree"));
    }
    if !repo.has_lfs_filter() {
        let message = "git-lfs is not set up for this user: its files would go into git itself";
        return Err(CommandError::new(Kind::NotFound, message).hint("git datamon install"));
    }
    if !args.paths.is_empty() && repo.git_dir().join("MERGE_HEAD").exists() {
        let message = "a merge is in progress, and a part of it cannot be committed";
        return Err(CommandError::new(Kind::Conflict, message).hint("git add PATHS, then git datamon commit"));
    }
    Ok(())
}

/// That git knows each of the paths, or may add it. Those that it can add: of others the index holds that they are gone.
fn check_paths<'a>(specs: &[&'a str], repo: &Repo) -> Result<Vec<&'a str>, CommandError> {
    let known = ["ls-files", "--error-unmatch", "--cached", "--others", "--exclude-standard", "--"];
    let ask = |specs: &[&str]| repo.git().output(known.iter().chain(specs));
    if specs.is_empty() || ask(specs)?.status.success() {
        return Ok(specs.to_vec());
    }
    let mut present = Vec::new();
    for spec in specs {
        let said = ask(&[spec])?;
        if said.status.success() {
            present.push(*spec);
        } else if staged(&[spec], repo)?.is_empty() {
            return Err(unknown_path(&said));
        }
    }
    Ok(present)
}

fn unknown_path(said: &Output) -> CommandError {
    let why = String::from_utf8_lossy(&said.stderr);
    let why = why.lines().next().unwrap_or("git does not know these paths").trim_start_matches("error: ");
    CommandError::new(Kind::NotFound, why).hint("what .gitignore excludes is added with `git add -f`")
}

/// Paths below `specs` that the index has otherwise than HEAD. Where names fold, it may spell them otherwise than the user.
fn staged(specs: &[&str], repo: &Repo) -> Result<Vec<BString>, CommandError> {
    let ask = ["diff", "--cached", "--name-only", "--no-relative", "--no-renames", "-z", "--"];
    let folds = repo.config().is_true("core.ignorecase").then_some("--icase-pathspecs");
    let said = repo.git().run(folds.iter().chain(&ask).chain(specs))?;
    Ok(said.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(BString::from).collect())
}

/// The store, if data may go there now.
fn session(args: &CommitArgs, repo: &Repo) -> Result<Option<Session>, CommandError> {
    if args.no_upload {
        return Ok(None);
    }
    let session = Session::open(repo.clone(), &repo.push_remote(), Operation::Upload)?;
    Ok(Some(session.of_kin()?))
}

/// A commit needs no store, but a label is there and nowhere else: who asked for it should know before the commit.
fn or_offline(
    args: &CommitArgs,
    session: Result<Option<Session>, CommandError>,
    context: &Context,
) -> Result<Option<Session>, CommandError> {
    match (session, &args.label) {
        (Err(error), Some(label)) => Err(no_label(label, error)),
        (Err(error), None) => {
            offline(&error.message, context);
            Ok(None)
        }
        (Ok(session), _) => Ok(session),
    }
}

fn no_label(label: &str, error: CommandError) -> CommandError {
    let message = format!("nothing was committed, as label {label} cannot be set: {}", error.message);
    CommandError { message, ..error }
        .hint("commit without --label; when the store has it:")
        .hint(format!("`git datamon push`, then `git datamon label set {label}`"))
}

/// A label to be set, and the dataset that it is one of.
struct Label<'a> {
    name: &'a str,
    repo: RepoId,
}

/// Whose label is meant, and that it may be set, is known before anything is committed.
fn label<'a>(
    args: &'a CommitArgs,
    repo: &Repo,
    session: Option<&Session>,
    context: &Context,
) -> Result<Option<Label<'a>>, CommandError> {
    let (Some(name), Some(Session { catalog, objects, .. })) = (&args.label, session) else {
        return Ok(None);
    };
    let dataset = match &args.repo {
        Some(typed) => named(&repo.manifest()?.datasets(), typed, catalog)?.clone(),
        None => DatasetArgs::default().part_of(repo, catalog, context)?.expect("no repo was named"),
    };
    kinship::check(repo, objects, catalog, dataset.repo).map_err(|error| no_label(name, error.into()))?;
    label::check(catalog, dataset.repo, name)?;
    Ok(Some(Label { name, repo: dataset.repo }))
}

fn offline(why: &str, context: &Context) {
    context.ui.warning(&format!("the data stays on this machine: {why}"));
    context.ui.hint("to send it later: git datamon push");
}

/// What was taken in.
#[derive(Default)]
struct Staging {
    files: usize,
    bytes: u64,
    /// Whether the store has it.
    uploaded: bool,
}

/// Takes in what git-lfs tracks of what changed, and stages its pointers.
fn stage(
    args: &CommitArgs,
    changed: &[BString],
    repo: &Repo,
    session: Option<&mut Session>,
    context: &Context,
) -> Result<Staging, CommandError> {
    let intake = Intake::plan(repo, &repo.objects()?, changed)?;
    if intake.files() == 0 {
        return Ok(Staging { uploaded: true, ..Staging::default() });
    }
    let bar = Bar::new("reading", intake.bytes(), context.ui.is_quiet());
    let (taken, uploaded) = take_in(args, &intake, session, &bar, context)?;
    bar.finish();
    context.ui.detail(&format!("{} files, {}", intake.files(), bytes(intake.bytes())));
    taken.stage()?;
    Ok(Staging { files: intake.files(), bytes: intake.bytes(), uploaded })
}

fn take_in(
    args: &CommitArgs,
    intake: &Intake,
    session: Option<&mut Session>,
    bar: &Bar,
    context: &Context,
) -> Result<(TakenIn, bool), CommandError> {
    if let Some(session) = session {
        let local = local_objects(&session.repo)?;
        match (intake.upload(session, local, bar), &args.label) {
            (Err(IntakeError::Session(error)), Some(label)) => return Err(no_label(label, error.into())),
            (Err(IntakeError::Session(error)), None) => offline(&error.to_string(), context),
            (other, _) => return Ok((other?, true)),
        }
    }
    Ok((intake.keep_here(bar)?, false))
}

/// Set by us where our hook proves what git-lfs would have to see on this machine.
pub const PUSH_WITHOUT: &str = "lfs.allowincompletepush";

/// Whether the verbs keep a second copy. What they do not keep need not be here for `git push`, if our hook proves that the
/// store has it: where it cannot be put in place, everything is kept.
pub fn local_objects(repo: &Repo) -> Result<LocalObjects, CommandError> {
    let wanted = LocalObjects::of(repo.config())?;
    if wanted == LocalObjects::Keep || repo.config().get(PUSH_WITHOUT).is_some() {
        return Ok(wanted);
    }
    match Hooks::of(repo).and_then(|hooks| hooks.install()) {
        Ok(Install::Shared(_)) | Err(_) => Ok(LocalObjects::Keep),
        Ok(_) => {
            repo.git().set_config(Scope::Local, PUSH_WITHOUT, "true")?;
            Ok(LocalObjects::Drop)
        }
    }
}

fn words<'a>(args: &'a CommitArgs, command: &[&'a str], context: &Context) -> Vec<&'a str> {
    let mut words = command.to_vec();
    words.extend(context.ui.is_quiet().then_some("--quiet"));
    words.extend(args.message.iter().flat_map(|message| ["-m", message]));
    words.extend(args.amend.then_some("--amend"));
    words
}

/// Commits the paths and nothing else that is staged. `git commit -- PATHS` would read every file again: so what else is staged
/// is taken out of an index made for this commit, as git does itself.
fn commit_only(args: &CommitArgs, repo: &Repo, context: &Context) -> Result<ExitStatus, CommandError> {
    let specs: Vec<&str> = args.paths.iter().map(String::as_str).collect();
    let (own, all) = rayon::join(|| staged(&specs, repo), || staged(&[], repo));
    let own: std::collections::HashSet<BString> = own?.into_iter().collect();
    let mut other = all?;
    other.retain(|path| !own.contains(path));
    if other.is_empty() {
        return Ok(repo.git().interactive(words(args, &["commit"], context))?);
    }
    let failed = |error| CommandError::new(Kind::Failed, format!("cannot copy the index: {error}"));
    let index =
        tempfile::Builder::new().prefix("datamon-index-").tempdir_in(repo.git_dir()).map_err(failed)?;
    let copy = index.path().join("index");
    std::fs::copy(repo.index_path()?, &copy).map_err(failed)?;
    let top = repo.work_tree().unwrap_or(repo.git_dir());
    let git = repo.git().clone().with_env("GIT_INDEX_FILE", Some(&copy));
    let mut list = Vec::new();
    other.iter().for_each(|path| list.extend(path.iter().chain(&[0])));
    let take_out =
        ["--literal-pathspecs", "reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"];
    git.clone().moved_to(top).run_with_stdin(take_out, &list)?;
    Ok(git.interactive(words(args, &["commit"], context))?)
}

/// A version that a commit has now.
#[derive(Debug, Serialize)]
struct Version {
    repo: RepoId,
    bundle: BundleId,
}

/// Makes the commit a version of its datasets. It stands without: what fails here is made up for by the next push.
fn version(
    mut session: Session,
    commit: &str,
    label: Option<Label<'_>>,
    context: &Context,
) -> Result<Vec<Version>, CommandError> {
    session.objects = session.repo.objects()?;
    let id = ObjectId::from_hex(commit.as_bytes())
        .map_err(|error| CommandError::new(Kind::Failed, format!("{commit}: {error}")))?;
    // Who labels a version asks for one.
    let parts = match &label {
        Some(_) => bundles::parts(&session, id).map_err(|error| unlabelled(error.into()))?,
        None => bundles::parts_of_tip(&session, id).unwrap_or_else(|error| {
            context.ui.warning(&format!("no version of the dataset was made: {error}"));
            vec![]
        }),
    };
    // Where nothing is ever pushed, this is where the default branch moves.
    let is_tip = session.repo.remotes().is_empty() && session.objects.default_tip()? == Some(id);
    let wanted = Wanted { verified: false, latest: is_tip };
    let (mut made, mut versions, mut labelled) = (Vec::new(), Vec::new(), None);
    for part in &parts {
        let is_labelled = label.as_ref().is_some_and(|label| label.repo == part.id());
        match bundles::make_of(&mut session, part, id, wanted, context) {
            Ok((bundle, is_new)) => {
                made.push((id, bundle));
                versions.push(Version { repo: part.id(), bundle });
                let of =
                    if parts.len() == 1 { String::new() } else { format!(" of {}", part.called(&session)) };
                if is_labelled {
                    labelled = Some(Ok((bundle, of)));
                } else if is_new || parts.len() == 1 {
                    context.ui.done(&format!("bundle {bundle}{of}"));
                }
            }
            Err(error) if is_labelled => labelled = Some(Err(CommandError::from(error))),
            Err(error) => bundles::warn(id, part, error, context),
        }
    }
    if let Err(error) = bundles::note(&session.catalog, &session.repo, &made) {
        context.ui.warning(&format!("no note of the dataset version was written: {}", error.message));
    }
    if let Some(Label { name, repo }) = label {
        let none = || Err(CommandError::new(Kind::NotFound, "the commit names no such dataset"));
        let (bundle, of) = labelled.unwrap_or_else(none).map_err(unlabelled)?;
        label::set(&mut session.catalog, repo, name, bundle, Expected::Anything)?;
        bundles::note_label(&session.catalog, &session.repo, repo, name, context);
        context.ui.done(&format!("bundle {bundle} ({name}){of}"));
    }
    session.keep_house();
    Ok(versions)
}

fn unlabelled(error: CommandError) -> CommandError {
    let message = format!("committed, but the label was not set: {}", error.message);
    CommandError { message, ..error }
}

impl From<IntakeError> for CommandError {
    fn from(error: IntakeError) -> CommandError {
        match error {
            IntakeError::Session(error) => error.into(),
            IntakeError::Changed { .. } => CommandError::new(Kind::Conflict, error.to_string()),
            IntakeError::File { .. } => CommandError::new(Kind::Failed, error.to_string()),
        }
    }
}

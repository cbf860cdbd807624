//! `git datamon checkout`: another version in the work tree, or beside it, its data straight from the store.
//!
//! Git switches, refuses to overwrite local edits, moves HEAD and writes the reflog; while it does, files of git-lfs are pointers,
//! which are filled afterwards. That the store has the data is asked first; where all of it is here, no store is asked anything.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::commands::{clone, commit, hook};
use crate::cli::dataset::{Checkout, Dataset, DatasetArgs};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::head::Head;
use crate::cli::{Context, paths};
use crate::git::{
    BStr, BString, Filters, FiltersError, Git, ObjectId, Objects, Repo, Selection, TreePointer,
};
use crate::ops::bundle::open;
use crate::transfer::{Filled, Filling, LocalObjects, Site};

/// Check out a version, and its data straight from the store
///
/// A version is a branch or any other revision of git, or a label or bundle of the dataset that was made for a commit. Local edits
/// are not overwritten without --force. With --paths only the data of these is fetched, other files of git-lfs that the version
/// changes are left as pointers. With --dest the version is written elsewhere, and this work tree stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon checkout main\n  \
    git datamon checkout reviewed                     the commit of a label\n  \
    git datamon checkout v2 --paths 'radar/**'\n  \
    git datamon checkout v1 --dest /tmp/v1\n  \
    git datamon checkout main -- data/a.bin           one file as it is on main")]
pub struct CheckoutArgs {
    /// A revision, a label or a bundle; by default what is checked out.
    version: Option<String>,

    /// Fetch only the data of paths like these, patterns as in `.gitignore`.
    #[arg(long, value_name = "GLOB", value_parser = paths::pattern)]
    paths: Vec<String>,

    /// Write the version into this directory, which must be empty or not there.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["force", "files"])]
    dest: Option<PathBuf>,

    /// A label or bundle is one of this dataset; by default of the one in whose directory you are, or of the only one.
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,

    /// Overwrite local edits.
    #[arg(short, long)]
    force: bool,

    /// One JSON object, with stable field names; what git says goes to stderr.
    #[arg(long)]
    json: bool,

    /// Only these files, as `git checkout VERSION -- FILES`.
    #[arg(last = true, value_name = "FILES")]
    files: Vec<String>,
}

/// Switches, then fills.
pub fn run(args: &CheckoutArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let context = &context.aside(args.json);
    let repo = Repo::discover(&context.dir)?;
    LocalObjects::of(repo.config())?;
    let remote = repo.push_remote();
    let mut site = Site::of(repo, &remote)?;
    let target = match &args.version {
        Some(version) => Some(Target::of(version, args, &site.objects, context)?),
        None => None,
    };
    if let Some(dest) = &args.dest {
        let filled = write_to(&context.dir.join(dest), target.as_ref(), args, site, context)?;
        return said(args, Head { commit: Some(filled.0), branch: None }, &filled.1, context);
    }
    if site.repo.work_tree().is_none() {
        return Err(CommandError::new(Kind::Failed, "there is no work tree here")
            .hint("to a directory beside it: git datamon checkout <version> --dest <directory>"));
    }
    let filters = Filters::of(&site.repo)?;
    if !args.files.is_empty() && !args.force {
        refuse_losses(args, target.as_ref(), &site.repo)?;
    }
    let selection = clone::selection(&site.repo, &args.paths)?;
    if let Some(target) = &target {
        let named = named(args, target.commit, &site.repo)?;
        let is_wanted =
            |path: &BStr| selection.holds(path) && named.as_ref().is_none_or(|it| it.contains(path));
        ask_for(target.commit, &is_wanted, &mut site)?;
    }
    let (git, words) = filters.apply(site.repo.git().clone().aside(args.json));
    let mut words: Vec<&str> = words.to_vec();
    words.push("checkout");
    words.extend(context.ui.is_quiet().then_some("--quiet"));
    words.extend(args.force.then_some("--force").filter(|_| args.files.is_empty()));
    let word =
        target.map(|target| if args.files.is_empty() { target.word } else { target.commit.to_string() });
    words.extend(word.as_deref());
    words.push("--");
    words.extend(args.files.iter().map(String::as_str));
    let status = git.interactive(words)?;
    match status.code() {
        Some(0) => {}
        // Edits that would be lost, a name that nothing has: git says what to do.
        Some(1) => return Ok(hook::exit_code(status)),
        _ => return Ok(hook::handed_on(status, context)),
    }
    let local = commit::local_objects(&site.repo)?;
    let filling = Filling::plan(&site.repo, &site.objects, &selection, local)?;
    let filled = clone::run_filling(filling, &mut site, context)?;
    said(args, Head::of(site.repo.git()), &filled, context)
}

fn said(
    args: &CheckoutArgs,
    head: Head,
    filled: &Filled,
    context: &Context,
) -> Result<ExitCode, CommandError> {
    if args.json {
        let dest = args.dest.as_ref().map(|dest| context.dir.join(dest));
        context.ui.json(&json!({
            "commit": head.commit, "branch": head.branch, "dest": dest.map(|it| it.to_string_lossy().into_owned()),
            "files": filled.files, "bytes": filled.bytes,
        }));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a version is to git.
struct Target {
    /// The word that git gets: a branch stays a branch.
    word: String,
    commit: ObjectId,
}

impl Target {
    fn of(
        version: &str,
        args: &CheckoutArgs,
        objects: &Objects,
        context: &Context,
    ) -> Result<Target, CommandError> {
        if version.starts_with('-') && version != "-" {
            return Err(CommandError::new(Kind::Usage, format!("{version} is no version")));
        }
        let shorthand = if version == "-" { "@{-1}" } else { version };
        if let Ok(commit) = objects.commit(shorthand) {
            return Ok(Target { word: version.to_owned(), commit });
        }
        // A branch that only the remote has: git makes one here that follows it.
        if let Ok(commit) = objects.commit(&format!("refs/remotes/origin/{version}")) {
            return Ok(Target { word: version.to_owned(), commit });
        }
        let mut dataset = DatasetArgs::of(None, args.repo.clone()).open(context).map_err(|error| {
            error.hint(format!(
                "{version} is no revision of git here, and only the store knows labels and bundles"
            ))
        })?;
        let commit = commit_of(version, &mut dataset)?;
        Ok(Target { word: commit.to_string(), commit })
    }
}

/// The commit of a label or a bundle, which has to be in this clone.
fn commit_of(version: &str, dataset: &mut Dataset) -> Result<ObjectId, CommandError> {
    let id = dataset.find(version)?;
    let bundle = open(&dataset.catalog, id)?;
    let Some(commit) = bundle.root().facts.commit else {
        return Err(CommandError::new(Kind::NotFound, format!("bundle {id} was made without git"))
            .hint(format!("git datamon download {id} --dest DIR")));
    };
    let known = |Checkout { objects, .. }: &Checkout| {
        objects.known(ObjectId::from_hex(commit.to_string().as_bytes()).ok()?)
    };
    dataset.git.as_ref().and_then(known).ok_or_else(|| {
        CommandError::new(Kind::NotFound, format!("commit {commit} of bundle {id} is not in this clone"))
            .hint("git fetch --all")
            .hint(format!("or without git: git datamon download {id} --dest DIR"))
    })
}

/// Git would write over edits of files that are named one by one, and over what it does not track.
fn refuse_losses(args: &CheckoutArgs, target: Option<&Target>, repo: &Repo) -> Result<(), CommandError> {
    let listed = |words: &[&str]| {
        let words = words.iter().chain(&["-z", "--name-only", "--no-relative", "--no-renames"]).copied();
        let said = repo.git().run(words.chain(["--"]).chain(args.files.iter().map(String::as_str)))?;
        let paths = said.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok::<Vec<BString>, CommandError>(paths.map(BString::from).collect())
    };
    let mut edited = listed(&["diff-files", "--diff-filter=d"])?;
    let mut absent = listed(&["diff-files", "--diff-filter=D"])?;
    if let Some(target) = target {
        edited.extend(listed(&["diff", "--cached"])?);
        absent.extend(listed(&["diff", "--cached", "--diff-filter=D", &target.commit.to_string()])?);
    }
    refuse(edited, "have local edits")?;
    let top = repo.work_tree().unwrap_or(repo.git_dir());
    let in_the_way = absent.iter().filter_map(|path| in_the_way(top, path.as_ref()));
    refuse(in_the_way.collect(), "that git does not track are in the way")
}

/// What git would remove to write a file that it takes for absent: what is there, or stands where a directory should be.
fn in_the_way(top: &Path, path: &BStr) -> Option<BString> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let mut parts = slashes.chain([path.len()]).map(|end| &path[..end]);
    let occupied = |part: &[u8]| {
        let is_file = part.len() == path.len();
        fs::symlink_metadata(top.join(OsStr::from_bytes(part))).is_ok_and(|it| is_file || !it.is_dir())
    };
    parts.find(|part| occupied(part)).map(BString::from)
}

fn refuse(mut files: Vec<BString>, why: &str) -> Result<(), CommandError> {
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = files.iter().take(5).map(ToString::to_string).collect();
    let more = if files.len() > 5 { ", …" } else { "" };
    let message = format!("{} files {why}: {}{more}", files.len(), names.join(", "));
    Err(CommandError::new(Kind::Difference, message).hint("to overwrite them: --force"))
}

/// The paths that FILES mean in a version, all where there are none.
fn named(
    args: &CheckoutArgs,
    commit: ObjectId,
    repo: &Repo,
) -> Result<Option<HashSet<BString>>, CommandError> {
    if args.files.is_empty() {
        return Ok(None);
    }
    let tree = format!("--with-tree={commit}");
    let ask = ["ls-files", "-z", "--full-name", "--cached", &tree, "--"];
    let said = repo.git().run(ask.into_iter().chain(args.files.iter().map(String::as_str)))?;
    Ok(Some(said.split(|byte| *byte == 0).map(BString::from).collect()))
}

/// Whether the store or this machine has what is wanted of a version; else nothing is touched.
pub fn ask_for(
    commit: ObjectId,
    is_wanted: &dyn Fn(&BStr) -> bool,
    site: &mut Site,
) -> Result<(), CommandError> {
    let there = checked_out(site)?;
    seek(commit, coming(commit, is_wanted, &there, site)?, site)
}

/// What git-lfs tracks of HEAD.
pub fn checked_out(site: &Site) -> Result<Vec<TreePointer>, CommandError> {
    Ok(site.objects.head()?.map_or(Ok(vec![]), |head| site.objects.pointers_in_tree(head))?)
}

/// What is wanted of a version, and is not the same in `there`: what stays as it is was asked for when it came.
pub fn coming(
    commit: ObjectId,
    is_wanted: &dyn Fn(&BStr) -> bool,
    there: &[TreePointer],
    site: &Site,
) -> Result<Vec<TreePointer>, CommandError> {
    let stays: HashSet<_> = there.iter().map(|it| (&it.path, it.blob)).collect();
    let mut wanted = wanted(commit, is_wanted, site)?;
    wanted.retain(|it| !stays.contains(&(&it.path, it.blob)));
    Ok(wanted)
}

/// What of a version git-lfs tracks and is wanted.
fn wanted(
    commit: ObjectId,
    is_wanted: &dyn Fn(&BStr) -> bool,
    site: &Site,
) -> Result<Vec<TreePointer>, CommandError> {
    // What a partial clone lacks comes in one go, not one pointer after the other.
    site.objects.bring(&[commit], is_wanted)?;
    let mut found = site.objects.pointers_in_tree(commit)?;
    found.retain(|it| it.pointer.size > 0 && is_wanted(it.path.as_ref()));
    Ok(found)
}

/// Looks for data here, in the work tree, and in the stores.
fn seek(commit: ObjectId, mut wanted: Vec<TreePointer>, site: &mut Site) -> Result<(), CommandError> {
    site.hold(&wanted)?;
    wanted.retain(|it| !site.here().has(&it.pointer));
    let Some(first) = wanted.first() else { return Ok(()) };
    let oids: Vec<_> = wanted.iter().map(|it| it.pointer.oid).collect();
    let found = site.find(&oids).map_err(|error| {
        let error = CommandError::from(error);
        let message = format!(
            "{} files of {commit} are not on this machine, {} first, and the store cannot be asked: {}",
            wanted.len(),
            first.path,
            error.message
        );
        CommandError { message, ..error }
            .hint("to leave such files as pointers until then: GIT_LFS_SKIP_SMUDGE=1 git checkout VERSION")
    })?;
    let is_found = |it: &&TreePointer| found.iter().any(|store| store.rows.contains_key(&it.pointer.oid));
    let absent: Vec<_> = wanted.iter().filter(|it| !is_found(it)).collect();
    let Some(first) = absent.first() else { return Ok(()) };
    let (count, path) = (absent.len(), &first.path);
    let stores = if found.len() > 1 { "in any of the stores of this clone" } else { "in the store" };
    let message = format!("{count} files of {commit} are neither here nor {stores}, {path} first");
    let error = CommandError::new(Kind::NotFound, message)
        .hint("push them from a clone that has them: git datamon push, or git lfs push --all <remote>");
    Err(site.passed().iter().fold(error, |error, why| error.hint(why)))
}

/// Writes a version into a directory of its own, with an index that is gone afterwards; its commit, and what was filled.
fn write_to(
    dest: &Path,
    target: Option<&Target>,
    args: &CheckoutArgs,
    mut site: Site,
    context: &Context,
) -> Result<(String, Filled), CommandError> {
    let selection = match args.paths.as_slice() {
        [] => site.repo.fetch_selection(None, None)?,
        paths => Selection::of_patterns(paths.iter().map(String::as_bytes)),
    };
    let none = || CommandError::new(Kind::NotFound, "there is no commit yet: type `git commit` first");
    let commit = target.map(|target| target.commit).or(site.objects.head()?).ok_or_else(none)?;
    let wanted = wanted(commit, &|path| selection.holds(path), &site)?;
    seek(commit, wanted, &mut site)?;
    let version = commit.to_string();
    let failed = |error| CommandError::new(Kind::Failed, format!("cannot write {}: {error}", dest.display()));
    let occupied = || {
        CommandError::new(Kind::Difference, format!("{} is not an empty directory", dest.display()))
            .hint("name a directory that is not there yet")
    };
    match fs::read_dir(dest) {
        Ok(mut there) => there.next().map_or(Ok(()), |_| Err(occupied()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(dest).map_err(failed)?
        }
        Err(_) => return Err(occupied()),
    }
    let dest = dest.canonicalize().map_err(failed)?;
    let index =
        tempfile::Builder::new().prefix("datamon-index-").tempdir_in(site.repo.git_dir()).map_err(failed)?;
    // Another work tree of the same repository, as git sees it for these few commands.
    let git = Git::at(&dest)
        .with_env("GIT_DIR", Some(site.repo.git_dir()))
        .with_env("GIT_WORK_TREE", Some(&dest))
        .with_env("GIT_INDEX_FILE", Some(index.path().join("index")));
    let (git, off) = Filters::Off.apply(git);
    let run = |words: &[&str]| git.run(off.iter().chain(words));
    run(&["-c", "core.sparseCheckout=false", "read-tree", "--end-of-options", &version])?;
    run(&["checkout-index", "--all", "--index"])?;
    site.repo = Repo::found_by(git.clone())?;
    let filling = Filling::plan(&site.repo, &site.objects, &selection, LocalObjects::Drop)?;
    Ok((version, clone::run_filling(filling, &mut site, context)?))
}

impl From<FiltersError> for CommandError {
    fn from(error: FiltersError) -> CommandError {
        match error {
            FiltersError::Git(error) => error.into(),
            FiltersError::Hooks(error) => error.into(),
            FiltersError::Objects(error) => error.into(),
            FiltersError::Index(_) => CommandError::new(Kind::Failed, error.to_string()),
        }
    }
}

//! `git datamon pull`: git's own pull beside the filters of git-lfs, then the data in one transfer, straight into the work tree.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::bar::{Bar, bytes};
use crate::cli::commands::{checkout, clone, commit, hook};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::head::Head;
use crate::cli::{Context, words};
use crate::git::{Filters, Git, Pointer, Repo};
use crate::id::Oid;
use crate::transfer::{Filled, Filling, Hydration, LocalObjects, Site};

/// Fetch commits and their data, then merge
///
/// Runs `git fetch`, asks the store whether it has the data of what was fetched, runs `git pull` with the same arguments, and gets
/// all data in one transfer. Local edits are not overwritten.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  git datamon pull\n  git datamon pull --rebase\n  git datamon pull origin main\n  git datamon pull --data-only     the data of HEAD, no commits"
)]
pub struct PullArgs {
    /// Get the data of HEAD, no commits; files in the work tree are filled in.
    #[arg(long)]
    data_only: bool,

    /// Say what would be fetched, fetch no data.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// One JSON object, with stable field names; what git says goes to stderr.
    #[arg(long)]
    json: bool,

    /// The remote; by default what `git pull` would take.
    #[arg(value_parser = words::no_option)]
    remote: Option<String>,

    /// What to pull; by default what `git pull` would.
    #[arg(value_parser = words::no_option)]
    refspec: Vec<String>,

    #[command(flatten)]
    passed: Passed,
}

/// What `git pull` gets as it is.
#[derive(Debug, Args)]
#[command(next_help_heading = "As for `git pull`")]
struct Passed {
    /// Put your commits on top of what comes, instead of merging: `true`, `merges`, `interactive` or `false`.
    #[arg(short, long, value_name = "HOW", num_args = 0..=1, require_equals = true, conflicts_with = "no_rebase")]
    rebase: Option<Option<String>>,

    /// Merge, whatever the configuration says.
    #[arg(long)]
    no_rebase: bool,

    /// Only where nothing of yours has to be merged.
    #[arg(long, conflicts_with_all = ["no_ff", "ff"])]
    ff_only: bool,

    /// No merge commit where none is needed.
    #[arg(long, conflicts_with = "no_ff")]
    ff: bool,

    /// A merge commit in any case.
    #[arg(long)]
    no_ff: bool,

    /// Put edits aside meanwhile.
    #[arg(long, conflicts_with = "no_autostash")]
    autostash: bool,

    /// Leave edits where they are, whatever the configuration says.
    #[arg(long)]
    no_autostash: bool,
}

impl PullArgs {
    /// For `git fetch`.
    fn named(&self) -> Vec<String> {
        words::closed(vec![], self.remote.iter().chain(&self.refspec))
    }

    /// For `git pull`.
    fn words(&self) -> Vec<String> {
        let it = &self.passed;
        let flags = [
            ("--no-rebase", it.no_rebase),
            ("--ff-only", it.ff_only),
            ("--ff", it.ff),
            ("--no-ff", it.no_ff),
            ("--autostash", it.autostash),
            ("--no-autostash", it.no_autostash),
        ];
        let mut words = words::set(flags);
        words.extend(words::with_value("--rebase", &it.rebase));
        words.extend(self.named());
        words
    }

    /// Whether git is told to put edits aside, or told not to.
    fn puts_aside(&self) -> Option<bool> {
        let Passed { autostash, no_autostash, .. } = self.passed;
        (autostash || no_autostash).then_some(autostash)
    }
}

/// Pulls, then fills.
pub fn run(args: &PullArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let context = &context.aside(args.json);
    let git = Git::at(&context.dir).aside(args.json);
    let repo = Repo::found_by(git.clone())?;
    LocalObjects::of(repo.config())?;
    if !args.data_only {
        if repo.work_tree().is_none() {
            return Err(CommandError::new(Kind::Failed, "there is no work tree here to pull into")
                .hint("git fetch, and for the data of HEAD: git datamon pull --data-only"));
        }
        let status = git.foreground(["fetch".to_owned()].into_iter().chain(args.named()), &[])?;
        if !status.success() {
            return Ok(hook::handed_on(status, context));
        }
    }
    let remote = args.remote.clone().unwrap_or_else(|| repo.pull_remote());
    let remote = remote.as_str();
    if args.dry_run {
        let filled = to_fetch(args, repo, remote)?;
        if !args.json {
            context.ui.fact(&format!("{} files, {} to fetch", filled.files, bytes(filled.bytes)));
        }
        return said(args, &filled, ExitCode::SUCCESS, &git, context);
    }
    if args.data_only {
        let state = Checkout::of(&repo);
        if state != Checkout::Done {
            let filled = fetch_alone(repo, remote, context)?;
            let completed = complete(&git, state, context)?;
            return said(args, &filled, completed, &git, context);
        }
    }
    let mut site = Site::of(repo, remote)?;
    let selection = clone::selection(&site.repo, &[])?;
    let mut pulled = ExitCode::SUCCESS;
    if !args.data_only {
        if let Ok(fetched) = site.objects.commit("FETCH_HEAD") {
            checkout::ask_for(fetched, &|path| selection.holds(path), &mut site)?;
        }
        let (git, off) = Filters::of_pull(&site.repo, args.puts_aside())?.apply(git.clone());
        let words = off.iter().chain(&["pull"]).map(|word| (*word).to_owned()).chain(args.words());
        // A merge that stops for the user has brought files too.
        pulled = hook::exit_code(git.interactive(words)?);
    }
    let local = commit::local_objects(&site.repo)?;
    let filling = Filling::plan(&site.repo, &site.objects, &selection, local)?;
    let filled = clone::run_filling(filling, &mut site, context)?;
    said(args, &filled, pulled, &git, context)
}

/// What a pull would get from the store, each content once.
fn to_fetch(args: &PullArgs, repo: Repo, remote: &str) -> Result<Filled, CommandError> {
    if args.data_only && Checkout::of(&repo) != Checkout::Done {
        let plan = Hydration::plan(repo, remote, "HEAD")?;
        return Ok(Filled { files: plan.files() as u64, bytes: plan.bytes(), ..Filled::default() });
    }
    let site = Site::of(repo, remote)?;
    let selection = clone::selection(&site.repo, &[])?;
    let wanted: Vec<Pointer> = if args.data_only {
        Filling::plan(&site.repo, &site.objects, &selection, LocalObjects::Drop)?.pointers().collect()
    } else {
        // What was fetched for the current branch stands first.
        let fetched = site.objects.commit("FETCH_HEAD")?;
        let there = checkout::checked_out(&site)?;
        let coming = checkout::coming(fetched, &|path| selection.holds(path), &there, &site)?;
        coming.into_iter().map(|it| it.pointer).collect()
    };
    let here = site.here();
    let absent: BTreeMap<Oid, u64> =
        wanted.iter().filter(|it| !here.has(it)).map(|it| (it.oid, it.size)).collect();
    Ok(Filled { files: absent.len() as u64, bytes: absent.values().sum(), ..Filled::default() })
}

/// Where the work tree stands now, and what came; a pull that git did not end well has its exit code alone.
fn said(
    args: &PullArgs,
    filled: &Filled,
    code: ExitCode,
    git: &Git,
    context: &Context,
) -> Result<ExitCode, CommandError> {
    if args.json && code == ExitCode::SUCCESS {
        let head = Head::of(git);
        context.ui.json(&json!({
            "commit": head.commit, "branch": head.branch, "files": filled.files, "bytes": filled.bytes,
            "dry_run": args.dry_run,
        }));
    }
    Ok(code)
}

/// The data of HEAD as git-lfs's own objects: where there is no work tree to fill yet.
fn fetch_alone(repo: Repo, remote: &str, context: &Context) -> Result<Filled, CommandError> {
    let plan = Hydration::plan(repo, remote, "HEAD")?;
    if plan.files() == 0 {
        return Ok(Filled::default());
    }
    let bar = Bar::new("fetching", plan.bytes(), context.ui.is_quiet());
    let got = plan.run(&bar)?;
    bar.finish();
    context.ui.done(&format!("fetched {} files, {}", got.files, bytes(got.bytes)));
    match got.failed.first() {
        Some((_, why)) => {
            let message = format!("{} files could not be fetched: {why}", got.failed.len());
            let kind = Kind::worst(got.failed.iter().map(|(_, why)| Kind::of_unfetched(why)));
            Err(CommandError::new(kind, message))
        }
        None => Ok(Filled { files: got.files, bytes: got.bytes, ..Filled::default() }),
    }
}

/// The checkout of a clone that failed half way, now that its data is here.
fn complete(git: &Git, state: Checkout, context: &Context) -> Result<ExitCode, CommandError> {
    if state == Checkout::None {
        context.ui.hint(&format!("nothing is checked out here; to do so: git {}", RESTORE.join(" ")));
        return Ok(ExitCode::SUCCESS);
    }
    refuse_edited(git)?;
    Ok(hook::exit_code(git.foreground(RESTORE, &[])?))
}

/// What git's own advice after a failed checkout of a clone should be: without `--staged` the index stays empty (ADR 6).
const RESTORE: [&str; 5] = ["restore", "--source=HEAD", "--staged", "--worktree", ":/"];

/// How far the checkout of a work tree has come. Git writes the index last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checkout {
    Done,
    /// That of a clone, which failed half way.
    Begun,
    /// A bare repository, or a clone made with `--no-checkout`.
    None,
}

impl Checkout {
    fn of(repo: &Repo) -> Checkout {
        let Some(top) = repo.work_tree() else { return Checkout::None };
        let index = std::env::var_os("GIT_INDEX_FILE").map_or(repo.git_dir().join("index"), Into::into);
        if index.exists() {
            return Checkout::Done;
        }
        let mut entries = top.read_dir().into_iter().flatten().flatten();
        if entries.any(|entry| entry.file_name() != ".git") { Checkout::Begun } else { Checkout::None }
    }
}

/// Git has no index that would say what in the work tree is its own, and what somebody wrote there since.
fn refuse_edited(git: &Git) -> Result<(), CommandError> {
    let folder = tempfile::tempdir().map_err(|e| CommandError::new(Kind::Failed, e.to_string()))?;
    let git = git.clone().with_env("GIT_INDEX_FILE", Some(folder.path().join("index")));
    git.run(["read-tree", "HEAD"])?;
    let edited = git.run(["diff", "--name-only", "--diff-filter=d"])?;
    if edited.is_empty() {
        return Ok(());
    }
    let names = String::from_utf8_lossy(&edited);
    let message = format!(
        "{} files here differ from HEAD, {} for one",
        names.lines().count(),
        names.lines().next().unwrap_or_default()
    );
    Err(CommandError::new(Kind::Difference, message)
        .hint("the data is here; if nothing of yours is among the files of the work tree, overwrite them:")
        .hint(format!("git {}", RESTORE.join(" "))))
}

//! `git datamon push`: data first, in one transfer, then git's own push.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::bar::bytes;
use crate::cli::bundles::Tips;
use crate::cli::commands::hook::{self, Sent};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, bundles, words};
use crate::git::{Git, ObjectId, PushedRef, Repo};
use crate::ops::receipt::RECEIPT_ENV;
use crate::transfer::Pusher;

/// Push data, then commits
///
/// Works out what `git push` with the same arguments would push, sends the data of all of it to the store in one transfer, and
/// then runs `git push`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  git datamon push\n  git datamon push origin main\n  \
    git datamon push --force-with-lease\n  git datamon push --data-only")]
pub struct PushArgs {
    /// Send the data, leave the commits.
    #[arg(long)]
    data_only: bool,

    /// Say what would be sent, send nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// One JSON object, with stable field names; what git says goes to stderr.
    #[arg(long)]
    json: bool,

    /// The remote; by default what `git push` would take.
    #[arg(value_parser = words::no_option)]
    remote: Option<String>,

    /// What to push; by default what `git push` would.
    #[arg(value_parser = words::no_option)]
    refspec: Vec<String>,

    #[command(flatten)]
    passed: Passed,
}

/// What `git push` gets as it is.
#[derive(Debug, Args)]
#[command(next_help_heading = "As for `git push`")]
struct Passed {
    /// Let the branch follow what it is pushed to.
    #[arg(short = 'u', long)]
    set_upstream: bool,

    /// Overwrite what the remote has, whoever put it there.
    #[arg(short, long)]
    force: bool,

    /// Overwrite what the remote has if it is what was fetched last.
    #[arg(long, value_name = "REF[:EXPECT]", num_args = 0..=1, require_equals = true)]
    force_with_lease: Option<Option<String>>,

    /// Only with the lease: and if what was fetched is part of what is pushed.
    #[arg(long)]
    force_if_includes: bool,

    /// All branches.
    #[arg(long, alias = "branches")]
    all: bool,

    /// All tags, too.
    #[arg(long)]
    tags: bool,

    /// Annotated tags of what is pushed, too.
    #[arg(long)]
    follow_tags: bool,

    /// All refs or none of them.
    #[arg(long)]
    atomic: bool,

    /// Remove the named refs from the remote.
    #[arg(short, long)]
    delete: bool,
}

impl PushArgs {
    fn words(&self) -> Vec<String> {
        let it = &self.passed;
        let flags = [
            ("--set-upstream", it.set_upstream),
            ("--force", it.force),
            ("--force-if-includes", it.force_if_includes),
            ("--all", it.all),
            ("--tags", it.tags),
            ("--follow-tags", it.follow_tags),
            ("--atomic", it.atomic),
            ("--delete", it.delete),
        ];
        let mut words = words::set(flags);
        words.extend(words::with_value("--force-with-lease", &it.force_with_lease));
        words::closed(words, self.remote.iter().chain(&self.refspec))
    }
}

/// Sends the data, then lets git push.
pub fn run(args: &PushArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let context = &context.aside(args.json);
    let git = Git::at(&context.dir).aside(args.json);
    let repo = Repo::found_by(git.clone())?;
    let remote = match &args.remote {
        Some(remote) => remote.clone(),
        None => repo.push_remote(),
    };
    let pushed = pushed_refs(&git, &args.words())?;
    let pusher = Pusher::open(repo.clone(), &remote, false)?;
    let pointers = pusher.session().objects.outgoing_of_push(&remote, &pushed)?;
    if args.dry_run {
        let (files, known) = pusher.preview(pointers)?;
        let total = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
        if args.json {
            let planned = json!({ "remote": remote, "dry_run": true, "files": files.len(), "known": known, "bytes": total });
            context.ui.json(&planned);
        } else {
            let (count, total) = (files.len(), bytes(total));
            context.ui.fact(&format!("{count} files, {total}; the store has {known} of them"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let tips = match args.data_only {
        true => Tips::default(),
        false => Tips::of(&repo, &pusher.session().objects, &remote, &pushed),
    };
    let sent = hook::send(pusher, pointers, &tips, context)?;
    if args.data_only {
        said(args, &remote, &[], &sent, context);
        return Ok(ExitCode::SUCCESS);
    }
    let path = sent.receipt.as_ref().map(|receipt| receipt.path().as_os_str().to_owned());
    let status = git
        .with_env(RECEIPT_ENV, path)
        .foreground(["push".to_owned()].into_iter().chain(args.words()), &[])?;
    if status.success() {
        // Where the hook is in place it has done so.
        bundles::sync(&repo, &remote, context);
        said(args, &remote, &pushed, &sent, context);
    }
    Ok(hook::exit_code(status))
}

fn said(args: &PushArgs, remote: &str, pushed: &[PushedRef], sent: &Sent, context: &Context) {
    if !args.json {
        return;
    }
    let id = |id: &Option<ObjectId>| id.map(|id| id.to_string());
    let refs = pushed.iter().map(|it| json!({ "ref": it.remote_ref.to_string(), "commit": id(&it.local) }));
    let bundles =
        sent.bundles.iter().map(|(commit, bundle)| json!({ "commit": commit.to_string(), "bundle": bundle }));
    let stats = &sent.stats;
    context.ui.json(&json!({
        "remote": remote, "dry_run": false, "files": stats.files, "known": stats.known, "bytes": stats.logical,
        "new_bytes": stats.new_raw, "stored_bytes": stats.stored,
        "refs": refs.collect::<Vec<Value>>(), "bundles": bundles.collect::<Vec<Value>>(),
    }));
}

/// What `git push` with these words would push, by its own word.
fn pushed_refs(git: &Git, words: &[String]) -> Result<Vec<PushedRef>, CommandError> {
    // Without the hooks: this is a question, and the answer must cost nothing.
    let ask = ["push", "--dry-run", "--porcelain", "--no-verify"];
    let output = git.output(ask.into_iter().chain(words.iter().map(String::as_str)))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut refs = Vec::new();
    for line in said.lines() {
        let mut fields = line.split('\t');
        let (Some(flag), Some(names), Some(_)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let Some((local, remote)) = names.split_once(':') else { continue };
        if flag == "-" || local.is_empty() {
            continue;
        }
        let id = git.run(["rev-parse", "--verify", "--quiet", "--end-of-options", local])?;
        let id = String::from_utf8_lossy(&id).trim().to_owned();
        let null = "0".repeat(id.len());
        let line = format!("{local} {id} {remote} {null}");
        refs.extend(
            PushedRef::parse_all(line.as_bytes())
                .map_err(|e| CommandError::new(Kind::Failed, e.to_string()))?,
        );
    }
    if refs.is_empty() && !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.lines().find(|line| !line.is_empty()).unwrap_or("git push --dry-run failed");
        return Err(
            CommandError::new(Kind::Failed, why).hint("name the remote and the branch, as for `git push`")
        );
    }
    Ok(refs)
}

//! `git datamon hook <name>`: what the shims in `git-hooks/` call.

use std::io::Read;
use std::process::{ExitCode, ExitStatus};

use clap::{Args, Subcommand};
use tempfile::NamedTempFile;

use crate::catalog::CatalogError;
use crate::cli::bar::{Bar, bytes};
use crate::cli::bundles::{Tips, WithData};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, bundles};
use crate::git::{Git, Hooks, ObjectId, Operation, PushedRef, Repo, TreePointer};
use crate::id::{BundleId, Oid};
use crate::ops::receipt::{RECEIPT_ENV, UploadStats};
use crate::ops::upload::Uploaded;
use crate::store::without_password;
use crate::transfer::{NoSession, Pusher};

/// Run the part of a git hook that is git-datamon's
#[derive(Debug, Args)]
pub struct HookArgs {
    #[command(subcommand)]
    hook: Hook,
}

/// The hooks there are.
#[derive(Debug, Subcommand)]
enum Hook {
    /// Before a push: the hook that was here before, then data, then `git lfs pre-push`
    PrePush {
        /// The remote, as git names it to the hook.
        #[arg(allow_hyphen_values = true)]
        remote: String,
        /// Its URL.
        #[arg(allow_hyphen_values = true)]
        url: String,
    },
}

/// Runs the hook; what fails fails the push.
pub fn run(args: &HookArgs, context: &Context) -> Result<ExitCode, CommandError> {
    match &args.hook {
        Hook::PrePush { remote, url } => pre_push(remote, url, context),
    }
}

fn pre_push(remote: &str, url: &str, context: &Context) -> Result<ExitCode, CommandError> {
    // Everyone gets the same refs, and the pipe can be read once.
    let mut refs = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut refs)
        .map_err(|error| CommandError::new(Kind::Failed, format!("cannot read what git pushes: {error}")))?;
    let git = Git::at(&context.dir);
    let repo = Repo::found_by(git.clone())?;

    if let Some(earlier) = Hooks::of(&repo)?.chained() {
        context.ui.detail(&format!("running {}", earlier.display()));
        let status = git.script(&earlier, [remote, url], &refs)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    let step = our_step(&repo, remote, &refs, context);
    // Before git-lfs: it may take long over what is not ours, and the notes are of what is safe by now.
    let is_wanted = step.is_ok() || Strictness::of(&repo) == Strictness::Warn;
    if is_wanted && !skipped() && Strictness::of(&repo) != Strictness::Off {
        bundles::sync(&repo, remote, context);
    }
    if step.is_ok() && is_ours(&repo, remote)? {
        // The store has every pointer of the push. git-lfs would hear so from an agent, for one object after the other.
        return Ok(ExitCode::SUCCESS);
    }
    let receipt = match (step, Strictness::of(&repo)) {
        (Ok(sent), _) => sent.and_then(|sent| sent.receipt),
        (Err(error), Strictness::Block) => {
            // Without our step git-lfs would do the same and fail the same way, on a full disk for one.
            return Err(error.hint("to push the commits without the data: GIT_LFS_SKIP_PUSH=1 git push"));
        }
        (Err(error), _) => {
            context.ui.warning(&error.message);
            None
        }
    };
    let git = match &receipt {
        Some(receipt) => git.with_env(RECEIPT_ENV, Some(receipt.path())),
        None => git,
    };
    let status = git.foreground(["lfs", "pre-push", "--", remote, url], &refs)?;
    Ok(exit_code(status))
}

/// What happens to a push whose data is not safe: `datamon.prePush`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// The push fails: the default.
    Block,
    /// The push goes on, with a warning.
    Warn,
    /// Our step is left out; git-lfs still does its own.
    Off,
}

impl Strictness {
    fn of(repo: &Repo) -> Strictness {
        match repo.config().get("datamon.prepush") {
            Some(b"off") => Strictness::Off,
            Some(b"warn") => Strictness::Warn,
            _ => Strictness::Block,
        }
    }
}

/// Whether the user said to git-lfs, in its own words, that this push takes no data along.
fn skipped() -> bool {
    let said = std::env::var("GIT_LFS_SKIP_PUSH").unwrap_or_default();
    ["true", "1", "on", "yes", "t"].contains(&said.to_ascii_lowercase().as_str())
}

/// Whether our step is about all that this push sends. Who says `lfs.allowincompletepush = false` wants git-lfs to refuse what is
/// not on this machine, though the store has it.
fn is_ours(repo: &Repo, remote: &str) -> Result<bool, CommandError> {
    const KEY: &str = "lfs.allowincompletepush";
    let committed =
        repo.config().get(KEY).is_none() && repo.committed_value(KEY)?.is_some_and(|it| it == b"false");
    let strict = committed || (repo.config().get(KEY).is_some() && !repo.config().is_true(KEY));
    let left = strict || skipped() || Strictness::of(repo) == Strictness::Off;
    Ok(!left && repo.store_url(remote, Operation::Upload)?.is_some())
}

/// Send the data of the whole push in one transfer, so that git-lfs finds each object in the receipt.
fn our_step(repo: &Repo, remote: &str, refs: &[u8], context: &Context) -> Result<Option<Sent>, CommandError> {
    if skipped() || Strictness::of(repo) == Strictness::Off {
        return Ok(None);
    }
    if repo.store_url(remote, Operation::Upload)?.is_none() {
        // `lfs.pushurl` in a committed file would lead git-lfs past the store without a word.
        return match (repo.pinned_store()?, repo.lfs_url(remote, Operation::Upload)?) {
            (Some(pin), Some(to)) => Err(CommandError::new(
                Kind::Conflict,
                format!(
                    "this clone is pinned to {}, but {} in {} leads its uploads to {to}",
                    without_password(&pin.url),
                    to.key,
                    to.from.described()
                ),
            )
            .hint(format!("to send them to the store: {}", to.unset()))),
            _ => Ok(None),
        };
    }
    let pushed = PushedRef::parse_all(refs).map_err(|e| CommandError::new(Kind::Failed, e.to_string()))?;
    let objects = repo.objects()?;
    let mut pointers = objects.outgoing_of_push(remote, &pushed)?;
    let tips = Tips::of(repo, &objects, remote, &pushed);
    if pointers.is_empty() && tips.is_empty() {
        return Ok(None);
    }
    let pusher = match Pusher::open(repo.clone(), remote, false) {
        Err(error @ NoSession::Stranger(_)) if pointers.is_empty() => {
            context.ui.warning(&error.to_string());
            return Ok(None);
        }
        // Without data nothing is unsafe, and who only pushes code need not trust a store.
        Err(error) if pointers.is_empty() => {
            context.ui.detail(&format!("no dataset version was made: {error}"));
            return Ok(None);
        }
        other => other?,
    };
    // `git datamon push` may have done it already, for all of it or for what there was then.
    if pointers.iter().all(|found| found.pointer.size == 0 || pusher.has(&found.pointer.oid)) {
        pointers.clear();
    }
    send(pusher, pointers, &tips, context).map(Some)
}

/// What a push sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// For the agent, if there was any data.
    pub receipt: Option<NamedTempFile>,
    /// What the data cost.
    pub stats: UploadStats,
    /// The bundles of the tips.
    pub bundles: Vec<(ObjectId, BundleId)>,
}

/// Upload `pointers`, prove that the store has every one of them, and make the bundles of `tips`.
pub fn send(
    mut pusher: Pusher,
    pointers: Vec<TreePointer>,
    tips: &Tips,
    context: &Context,
) -> Result<Sent, CommandError> {
    match (bundles::check_kin(pusher.session(), tips), pointers.is_empty()) {
        (Err(error), false) => return Err(error.into()),
        (Err(error), true) => {
            context.ui.warning(&error.to_string());
            return Ok(Sent::default());
        }
        _ => {}
    }
    let mut sent = match pointers.is_empty() {
        true => Sent::default(),
        false => send_data(&mut pusher, &pointers, tips, context)?,
    };
    sent.bundles = bundles::complete(&mut pusher.into_session(), tips, context);
    Ok(sent)
}

/// The data, and with it the bundle of the first tip that has none.
fn upload(
    pusher: &mut Pusher,
    pointers: &[TreePointer],
    tips: &Tips,
    bar: &Bar,
) -> Result<Uploaded, NoSession> {
    let WithData { missing, latest } = WithData::of(pusher.session(), tips);
    match pusher.push_all(pointers, missing.as_ref(), latest, bar) {
        // What is wrong with a version must not keep data from being safe.
        Err(NoSession::Catalog(
            CatalogError::NoData { .. } | CatalogError::Pack(_) | CatalogError::Table(_),
        )) if missing.is_some() => pusher.push_all(pointers, None, latest, bar),
        other => other,
    }
}

fn send_data(
    pusher: &mut Pusher,
    pointers: &[TreePointer],
    tips: &Tips,
    context: &Context,
) -> Result<Sent, CommandError> {
    let total = pointers.iter().map(|found| found.pointer.size).fold(0, u64::saturating_add);
    let bar = Bar::new("uploading", total, context.ui.is_quiet());
    let uploaded = upload(pusher, pointers, tips, &bar)?;
    bar.finish();
    let wanted = |oid: &Oid| pointers.iter().any(|found| found.pointer.oid == *oid);
    let failed: Vec<_> = uploaded.failed.iter().filter(|it| it.oid.as_ref().is_some_and(wanted)).collect();
    if let Some(first) = failed.first() {
        let message =
            format!("{} of {} files were not uploaded: {}", failed.len(), pointers.len(), first.error);
        let kind = Kind::worst(failed.iter().map(|it| Kind::of_source(&it.error)));
        return Err(CommandError::new(kind, message));
    }
    let absent =
        |found: &&TreePointer| found.pointer.size > 0 && !uploaded.receipt.oids.contains(&found.pointer.oid);
    if let Some(found) = pointers.iter().find(absent) {
        let count = pointers.iter().filter(absent).count();
        let message = format!(
            "{count} files of this push are neither on this machine nor in the store, {} ({}) first",
            found.path, found.pointer.oid
        );
        return Err(CommandError::new(Kind::NotFound, message)
            .hint("push them from a clone that has them: git lfs push --all <remote>"));
    }
    let stats = &uploaded.stats;
    context.ui.detail(&format!(
        "{} files, {}; {} known, {} new, {} stored, {} PUT",
        stats.files,
        bytes(stats.logical),
        stats.known,
        bytes(stats.new_raw),
        bytes(stats.stored),
        stats.requests.put
    ));
    let kept = |e: std::io::Error| {
        CommandError::new(
            Kind::Failed,
            format!(
                "cannot write the receipt: {e}; free space in the directory for temporary files (TMPDIR), or check who may write there"
            ),
        )
    };
    let receipt = NamedTempFile::new().map_err(kept)?;
    uploaded.receipt.write(receipt.path()).map_err(kept)?;
    Ok(Sent { receipt: Some(receipt), stats: uploaded.stats, bundles: vec![] })
}

/// The exit code of what was run; one that a signal ended counts as failed.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(Kind::Failed.exit_code()))
}

/// The same of a git that could not do its part, which said why, but not what comes then.
pub fn handed_on(status: ExitStatus, context: &Context) -> ExitCode {
    context.ui.hint("git says above what is in the way: when that is mended, run the command again");
    exit_code(status)
}

//! `git datamon store`: a store as a whole.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::catalog::Catalog;
use crate::cli::bar::{Bar, bytes};
use crate::cli::commands::init;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::relocation::Edited;
use crate::cli::{Context, stores};
use crate::git::{Config, Git, LFSCONFIG_FILE, Place, Repo, STORE_SCHEME};
use crate::ops::copy::{Copied, NotCopied, copy};
use crate::ops::verify::{Depth, verify};
use crate::ops::{open, trust};
use crate::store::{Store, StoreUrl, is_same, without_password};

/// Problems of a copy that are named.
const SHOWN: usize = 20;

/// Move a whole store to another place
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon store move --to s3://team/data               the store of this repository\n  \
    git datamon store move /srv/data --to s3://team/data --verify full")]
pub struct StoreArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Move(MoveArgs),
}

/// Copy a store to another place, verify the copy, and lead this repository there
///
/// Everything that the log names is copied: versions, labels, history. The copy is a store of its own, with an id of its own. If it
/// is interrupted, the same command goes on; repeated later, it brings what came into the old store meanwhile, as long as nobody wrote
/// into the new one. The old store stays as it is.
#[derive(Debug, Args)]
struct MoveArgs {
    /// The store, as in `init --store`; by default the one of this repository.
    #[arg(value_name = "URL")]
    from: Option<String>,

    /// Where to: a directory, or a folder of a bucket, in which nothing is.
    #[arg(long, value_name = "URL")]
    to: String,

    /// What is verified before anything leads there: the log, the tables, sizes and footers of all packs; or all of that and every
    /// byte.
    #[arg(long, value_name = "HOW", default_value = "quick")]
    verify: Verify,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verify {
    Quick,
    Full,
}

/// Does it.
pub fn run(args: &StoreArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let What::Move(args) = &args.what;
    move_store(args, &context.aside(args.json))
}

fn move_store(args: &MoveArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let (mut from, to) =
        (stores::itself(args.from.as_deref(), &context.dir)?, stores::spelled(&args.to, &context.dir)?);
    let (old, url) = (from.store().url().clone(), StoreUrl::parse(&to)?);
    if is_same(old.as_str(), &to) {
        let message = format!("the store is at {} already", without_password(&to));
        return Err(CommandError::new(Kind::Usage, message));
    }
    if url.canonical().starts_with(&format!("{}/", old.canonical())) {
        let message = format!("{} lies inside the store", without_password(&to));
        return Err(CommandError::new(Kind::Usage, message).hint("name a place beside it"));
    }
    let repo = Repo::discover(&context.dir).ok();
    let led = repo.as_ref().map(|repo| Led::of(repo, &old)).transpose()?.flatten();
    let config = Config::read(&Git::at(&context.dir))?;
    let settings = config.store_settings(&url)?;
    let place = Store::create_place(&url, &settings)?;
    let total = from.state().packs().values().map(|info| info.size).fold(0, u64::saturating_add);
    let bar = Bar::new("copying", total, context.ui.is_quiet());
    let copied = copy(&mut from, &place, &bar);
    bar.finish();
    let Copied { objects, bytes: size, was_there } = copied?;
    context.ui.done(&format!("copied  {objects} objects, {}; {was_there} were there", bytes(size)));
    let found = open::open_anew(&url, &settings)?;
    check(&found, &old, args.verify == Verify::Full, context)?;
    context.ui.done(&format!("store   {}", stores::shown(&found)));
    trust::trust(&Git::at(&context.dir), &config, &found)?;
    let leads = led.is_some();
    if let (Some(led), Some(repo)) = (led, &repo) {
        led.lead(repo, &to, context)?;
    }
    let (old, new) = (old.as_str(), without_password(&to));
    context.ui.hint(&format!(
        "{old} stays as it is; for what is still pushed there: git datamon store move {old} --to {new}"
    ));
    if args.json {
        context.ui.json(&json!({
            "from": old, "to": url.to_string(), "store": found.identity().store,
            "objects": objects, "bytes": size, "was_there": was_there, "leads": leads,
        }));
    }
    Ok(ExitCode::SUCCESS)
}

fn check(found: &Catalog, old: &StoreUrl, full: bool, context: &Context) -> Result<(), CommandError> {
    let total = found.state().packs().values().map(|info| info.size).fold(0, u64::saturating_add);
    let bar = Bar::new("verifying", total, context.ui.is_quiet());
    let findings = verify(found, if full { Depth::Data(100) } else { Depth::Promises }, &bar);
    bar.finish();
    let findings = findings?;
    // Whoever pushes there later may meet what nothing needs now: it is told, and where every byte was asked for nothing leads there.
    let damaged: Vec<&String> = findings.problems.iter().map(|it| &it.what).chain(&findings.notes).collect();
    let is_sound = findings.problems.is_empty() && (findings.bad_packs.is_empty() || !full);
    for what in damaged.iter().take(SHOWN) {
        context.ui.warning(&format!("in the copy: {what}"));
    }
    if is_sound {
        let read = if full { "every byte" } else { "sizes and footers" };
        let frozen = match findings.archived_packs {
            0 => String::new(),
            some => format!("; of {some} in an archive the size alone"),
        };
        let (entries, packs) = (findings.entries, findings.packs);
        context.ui.done(&format!("ok      {entries} log entries, {packs} packs: {read}{frozen}"));
        return Ok(());
    }
    let old = without_password(old.as_str());
    if findings.problems.is_empty() {
        let message = format!(
            "{} packs of the copy are damaged, and nothing needs them any more: it stays, and nothing leads there",
            findings.bad_packs.len()
        );
        return Err(CommandError::new(Kind::Integrity, message)
            .hint(format!("to give them up: git datamon gc run --store {old}"))
            .hint("then the same command goes on"));
    }
    let message =
        format!("{} problems in the copy: it stays, and nothing leads there", findings.problems.len());
    Err(CommandError::new(Kind::Integrity, message)
        .hint(format!("whether the old store has them too: git datamon fsck --data --store {old}"))
        .hint(format!("to mend it: git datamon repair --data --store {old}")))
}

/// How this repository leads to the store that moves.
pub(super) struct Led {
    pinned: bool,
    committed: bool,
}

impl Led {
    /// `None` if it does not.
    pub(super) fn of(repo: &Repo, old: &StoreUrl) -> Result<Option<Led>, CommandError> {
        let is_old = |url: &str| is_same(url, old.as_str());
        let pinned = repo.pinned_store()?.is_some_and(|pin| is_old(&pin.url));
        let committed = repo.committed_store()?.is_some_and(|it| is_old(&it.url));
        if committed {
            let top = init::writable_top(repo)?;
            refuse_edited(repo, top)?;
        }
        Ok((pinned || committed).then_some(Led { pinned, committed }))
    }

    /// Leads to the new place. `.lfsconfig` first: until the clone is pinned anew, the command can be repeated.
    pub(super) fn lead(self, repo: &Repo, to: &str, context: &Context) -> Result<(), CommandError> {
        if self.committed {
            let top = init::writable_top(repo)?;
            let path = top.join(LFSCONFIG_FILE);
            repo.git().set_file_config(&path, "lfs.url", &format!("{STORE_SCHEME}{to}"))?;
            init::stage(repo, top, &[path], "Move the data to another store", context)?;
        }
        if self.pinned || self.committed {
            repo.pin(to)?;
        }
        let shown = without_password(to);
        context.ui.done(&format!("pin     this clone uses {shown}"));
        context.ui.hint(&format!(
            "in other clones, when they have pulled that: git config lfs.url {STORE_SCHEME}{shown} && git datamon trust"
        ));
        Ok(())
    }
}

/// What is staged the user means to commit; other edits would go along with ours.
fn refuse_edited(repo: &Repo, top: &Path) -> Result<(), CommandError> {
    let elsewhere = repo.top_file(LFSCONFIG_FILE)?.is_some_and(|file| file.place != Place::WorkTree);
    if elsewhere || Edited::of(repo, top)? == Edited::Unstaged { Err(Edited::error()) } else { Ok(()) }
}

impl From<NotCopied> for CommandError {
    fn from(error: NotCopied) -> CommandError {
        let said = error.to_string();
        match error {
            NotCopied::Catalog(error) => error.into(),
            NotCopied::Another { .. } | NotCopied::NotEmpty { .. } => CommandError::new(Kind::Conflict, said),
            NotCopied::Diverged { .. } => CommandError::new(Kind::Conflict, said).hint(
                "push to that store what it lacks, from the clones that have it: git lfs push --all <remote>",
            ),
        }
    }
}

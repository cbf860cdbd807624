//! `git datamon prune`: room on this machine, by what the store is proven to have.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::bar::{Bar, bytes};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::disk::Disk;
use crate::git::{Operation, Repo};
use crate::ops::prune::{self, Local, Pruning, Unproven};
use crate::transfer::Session;

/// Objects that are shown one by one.
const SHOWN: usize = 10;

/// Delete objects of git-lfs from this machine that the store has
///
/// Only what the store is proven to have goes: a live promise to this dataset, with the right length, in packs that are there. What is
/// checked out or staged in any work tree, stashed, young or not pushed yet stays, by the rules of `git lfs prune` and its settings. What
/// goes comes back when git-lfs wants it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon prune --dry-run     what would go\n  \
    git datamon prune\n  \
    git datamon prune --verify      read everything that goes back from the store first")]
pub struct PruneArgs {
    /// Only say what would go.
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Read what goes back from the store first, and hash it.
    #[arg(long)]
    verify: bool,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Looks, and deletes unless told not to.
pub fn run(args: &PruneArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let repo = Repo::discover(&context.dir)?;
    let remote = repo.push_remote();
    let mut session = Session::open(repo, &remote, Operation::Download)?;
    let unread = |source: std::io::Error| {
        let folder = session.repo.lfs_dir().join("objects");
        CommandError::new(Kind::Failed, format!("cannot work in {}: {source}", folder.display()))
    };
    let here = prune::objects_here(&session.repo).map_err(unread)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let wanted = session.repo.retained(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))?;
    let total = here.iter().map(|it| it.pointer.size).fold(0, u64::saturating_add);
    let bar = Bar::new("reading back", total, context.ui.is_quiet() || !args.verify);
    let pruning = prune::plan(&mut session.catalog, session.repo_id, here, &wanted, args.verify, &bar)?;
    bar.finish();
    let (count, size) = match args.dry_run {
        true => (pruning.goes.len() as u64, sum(&pruning.goes)),
        false => prune::delete(&pruning.goes, &Disk::default()).map_err(unread)?,
    };
    if args.json {
        report_json(args, (count, size), &pruning, context);
    } else {
        report(args, (count, size), &pruning, &stores::shown(&session.catalog), context);
    }
    let damaged = pruning.unproven.iter().any(|(_, why)| matches!(why, Unproven::Damaged(_)));
    Ok(if damaged { ExitCode::from(Kind::Integrity.exit_code()) } else { ExitCode::SUCCESS })
}

fn sum<'l>(objects: impl IntoIterator<Item = &'l Local>) -> u64 {
    objects.into_iter().map(|it| it.pointer.size).fold(0, u64::saturating_add)
}

fn report_json(args: &PruneArgs, (count, size): (u64, u64), pruning: &Pruning, context: &Context) {
    let unproven = |(it, why): &(Local, Unproven)| json!({ "oid": it.pointer.oid.to_string(), "bytes": it.pointer.size, "why": why.to_string(), "damaged": matches!(why, Unproven::Damaged(_)) });
    context.ui.json(&json!({
        "dry_run": args.dry_run,
        "verified": args.verify,
        "removed": { "count": count, "bytes": size },
        "wanted": { "count": pruning.wanted.len(), "bytes": sum(&pruning.wanted) },
        "unproven": pruning.unproven.iter().map(unproven).collect::<Vec<_>>(),
    }));
}

fn report(args: &PruneArgs, (count, size): (u64, u64), pruning: &Pruning, store: &str, context: &Context) {
    let done = if args.dry_run { "would go" } else { "removed " };
    let read = if args.verify { ", read back from" } else { " in" };
    context.ui.fact(&format!("{done}  {count} objects, {}: they are{read} {store}", bytes(size)));
    let (wanted, held) = (pruning.wanted.len(), bytes(sum(&pruning.wanted)));
    context.ui.fact(&format!(
        "wanted    {wanted} objects, {held}: checked out, staged, stashed, young or not pushed"
    ));
    if pruning.unproven.is_empty() {
        return;
    }
    let held = bytes(sum(pruning.unproven.iter().map(|(it, _)| it)));
    context.ui.fact(&format!("unproven  {} objects, {held}: they stay", pruning.unproven.len()));
    for (it, why) in pruning.unproven.iter().take(SHOWN) {
        context.ui.fact(&format!("          {}  {why}", it.pointer.oid));
    }
    if pruning.unproven.len() > SHOWN {
        let more = pruning.unproven.len() - SHOWN;
        context.ui.fact(&format!("          and {more} more (--json lists all)"));
    }
    let has = |kind: fn(&Unproven) -> bool| pruning.unproven.iter().any(|(_, why)| kind(why));
    if has(|why| matches!(why, Unproven::Damaged(_))) {
        context
            .ui
            .hint("what is here may be the last that there is of these: git datamon repair stores them anew");
    }
    if has(|why| matches!(why, Unproven::Absent)) {
        context.ui.hint("what the store does not have was never pushed from here, or given up since: git lfs push --all <remote>, if it is still wanted");
    }
}

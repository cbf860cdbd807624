//! `git datamon fsck`: is everything the store promises there, and right?

use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::bar::{Bar, bytes};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::Repo;
use crate::id::Oid;
use crate::ops::verify::{Findings, verify};

/// Paths shown for one problem.
const SHOWN: usize = 20;

/// Verify the store: log, tables, packs
///
/// Reads the whole log and all tables, and looks at every pack; with --data reads every pack and hashes every chunk. Changes
/// nothing. Exits with 4 if anything promised is missing or wrong, and names the files that are hit.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  git datamon fsck\n  git datamon fsck --data\n  git datamon fsck --data --store /srv/data"
)]
pub struct FsckArgs {
    /// Read all data and verify every chunk.
    #[arg(long)]
    data: bool,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object: problems, notes, and what was read.
    #[arg(long)]
    json: bool,
}

/// Verifies and reports.
pub fn run(args: &FsckArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let mut catalog = stores::chosen(args.store.as_deref(), &context.dir)?;
    let total = catalog.state().packs().values().map(|info| info.size).fold(0, u64::saturating_add);
    let bar = Bar::new("verifying", total, context.ui.is_quiet());
    let findings = verify(&catalog, args.data, &bar)?;
    bar.finish();
    catalog.suspect(findings.bad_packs.iter().copied());
    catalog.acquit(findings.good_packs.iter().copied());
    let paths = paths_of(context, &findings);
    if args.json {
        report_json(context, &findings, &paths);
    } else {
        report(context, &findings, &paths, &stores::shown(&catalog));
    }
    let clean = findings.problems.is_empty();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(Kind::Integrity.exit_code()) })
}

fn report_json(context: &Context, findings: &Findings, paths: &HashMap<Oid, BTreeSet<String>>) {
    let mut value = serde_json::to_value(findings).expect("plain values always encode");
    value["paths"] =
        json!(paths.iter().map(|(oid, paths)| (oid.to_string(), paths)).collect::<HashMap<_, _>>());
    context.ui.fact(&serde_json::to_string_pretty(&value).expect("plain values always encode"));
}

fn report(context: &Context, findings: &Findings, paths: &HashMap<Oid, BTreeSet<String>>, store: &str) {
    for problem in &findings.problems {
        context.ui.fact(&format!("BAD   {}", problem.what));
        for oid in problem.oids.iter().take(SHOWN) {
            let known = paths.get(oid).map(|paths| paths.iter().cloned().collect::<Vec<_>>().join(", "));
            context.ui.fact(&format!("      {oid}  {}", known.unwrap_or_default()));
        }
        if problem.oids.len() > SHOWN {
            context.ui.fact(&format!("      and {} more (--json lists all)", problem.oids.len() - SHOWN));
        }
    }
    for note in &findings.notes {
        context.ui.done(&format!("note  {note}"));
    }
    let read = if findings.data_bytes > 0 {
        format!(", {} of data read", bytes(findings.data_bytes))
    } else {
        String::new()
    };
    if findings.unused_packs > 0 {
        context.ui.done(&format!(
            "note  {} packs, {}, are unused: interrupted pushes left them, or a push is under way that will name them; leave them",
            findings.unused_packs,
            bytes(findings.unused_bytes)
        ));
    }
    if findings.archived_packs > 0 {
        context.ui.done(&format!(
            "note  {} packs lie in an archive: they are there, and nothing in them was looked at (git datamon thaw --all)",
            findings.archived_packs
        ));
    }
    let what = format!(
        "{store}: {} log entries, {} rows, {} packs{read}",
        findings.entries, findings.rows, findings.packs
    );
    if findings.problems.is_empty() {
        context.ui.done(&format!("ok    {what}"));
    } else {
        context.ui.fact(&format!("{} problems in {what}", findings.problems.len()));
        context.ui.hint(if findings.bad_packs.is_empty() {
            "restore the objects named above from a backup of the store, under their names"
        } else {
            "pushes from this machine now store anew what those packs held: in a clone that has the files, run \
             `git datamon fsck --data`, then `git datamon push` for what is checked out, `git datamon bundle REV` for other \
             versions, and `git lfs push --all <remote>` for what no version has"
        });
    }
}

/// Where the files that are hit lie in the repository, if there is one here.
fn paths_of(context: &Context, findings: &Findings) -> HashMap<Oid, BTreeSet<String>> {
    let hit: BTreeSet<Oid> =
        findings.problems.iter().flat_map(|problem| problem.oids.iter().copied()).collect();
    let mut paths: HashMap<Oid, BTreeSet<String>> = HashMap::new();
    if hit.is_empty() {
        return paths;
    }
    let Ok(objects) =
        Repo::discover(&context.dir).map_err(drop).and_then(|repo| repo.objects().map_err(drop))
    else {
        return paths;
    };
    let objects = objects.only_local();
    let tips: Vec<_> = objects.tips().unwrap_or_default().into_iter().map(|tip| tip.commit).collect();
    for found in objects.pointers_in_history(&tips).unwrap_or_default() {
        if hit.contains(&found.pointer.oid) {
            paths.entry(found.pointer.oid).or_default().insert(found.path.to_string());
        }
    }
    paths
}

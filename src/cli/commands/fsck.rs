//! `git datamon fsck`: is everything the store promises there, and right?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::catalog::{Catalog, CatalogError};
use crate::cli::bar::{Bar, bytes, count};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::Repo;
use crate::id::{Oid, RepoId};
use crate::ops::open;
use crate::ops::verify::{Depth, Findings, Problem, inspect, verify};
use crate::store::Store;

/// Paths shown for one problem.
const SHOWN: usize = 20;

/// Verify the store: log, tables, versions, packs
///
/// Reads the whole log, all tables and the pages of all versions, and looks at every pack; with --data reads packs and hashes every
/// chunk, with --full rebuilds every file too. Changes nothing. Of a store that cannot be opened any more it says what its log still
/// shows. Exits with 4 if anything promised is missing or wrong, and names the files that are hit.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  git datamon fsck\n  git datamon fsck --data\n  git datamon fsck --data=3/20        \
                  the third of twenty parts, which are all of it\n  git datamon fsck --data=5%          a twentieth, drawn anew each \
                  time\n  git datamon fsck --refs\n  git datamon fsck --refs v1.2 main\n  \
                  git datamon fsck --full --store /srv/data\n\nWhat it finds is mended by `git datamon repair`."
)]
pub struct FsckArgs {
    /// Read all packs and verify every chunk: `--data=3/20` those of the third of twenty parts, whose packs stay the same;
    /// `--data=5%` so many of a hundred, drawn anew each time.
    #[arg(
        long,
        value_name = "SHARE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100",
        value_parser = share
    )]
    data: Option<Depth>,

    /// Read all packs, and rebuild every file from them.
    #[arg(long, conflicts_with = "data")]
    full: bool,

    /// Look whether the store has every file that these revisions lead to, with all of their history; all branches and tags where
    /// none is named.
    #[arg(long, value_name = "REV", num_args = 0..)]
    refs: Option<Vec<String>>,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object: problems, notes, and what was read.
    #[arg(long)]
    json: bool,
}

fn share(typed: &str) -> Result<Depth, String> {
    let wrong =
        || "a part is wanted, as in --data=3/20, or a share from 1 to 100, as in --data=5%".to_owned();
    let numbers = |(part, of): (&str, &str)| Some((part.parse().ok()?, of.parse().ok()?));
    let depth = match typed.split_once('/') {
        Some(parts) => numbers(parts)
            .filter(|(part, of)| (1..=*of).contains(part))
            .map(|(part, of)| Depth::Part(part, of)),
        None => {
            let percent = typed.strip_suffix('%').unwrap_or(typed).parse().ok();
            percent.filter(|percent| (1..=100).contains(percent)).map(Depth::Data)
        }
    };
    depth.ok_or_else(wrong)
}

/// Verifies and reports.
pub fn run(args: &FsckArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let context = &context.aside(args.json);
    let (url, settings) = stores::place(&stores::named(args.store.as_deref(), &context.dir)?, &context.dir)?;
    let (mut findings, lacking, shown) = match open::open(&url, &settings) {
        Ok(mut catalog) => {
            let findings = look(args, &mut catalog, context)?;
            let lacking = args.refs.as_ref().map(|revisions| without_data(revisions, &catalog, context));
            (findings, lacking.transpose()?.unwrap_or_default(), stores::shown(&catalog))
        }
        Err(error) => {
            if Kind::of_catalog(&error) != Kind::Integrity {
                return Err(error.into());
            }
            let mut findings = inspect(&Store::open_with(&url, &settings)?)?;
            let is_said = matches!(error, CatalogError::Nameless { .. } | CatalogError::Identity { .. });
            if !is_said {
                findings.problem(error);
            }
            (findings, vec![], url.canonical())
        }
    };
    let damage = Hurt::of(&findings);
    findings.problems.extend(lacking);
    let paths = paths_of(context, &findings);
    if args.json {
        report_json(context, &findings, &paths);
    } else {
        report(context, args, &findings, &paths, &shown);
        say_how_to_mend(context, damage);
    }
    let clean = findings.problems.is_empty();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(Kind::Integrity.exit_code()) })
}

/// Looks at a store that can be opened, and keeps in mind what was found.
fn look(args: &FsckArgs, catalog: &mut Catalog, context: &Context) -> Result<Findings, CommandError> {
    let depth = if args.full { Depth::Files } else { args.data.unwrap_or(Depth::Promises) };
    let total = catalog.state().packs().values().map(|info| info.size).fold(0, u64::saturating_add);
    let bar = Bar::new("verifying", total, context.ui.is_quiet());
    let findings = verify(catalog, depth, &bar)?;
    bar.finish();
    catalog.keep_in_mind(&findings.bad_packs, &findings.good_packs, &findings.wrong);
    Ok(findings)
}

/// What the revisions lead to and the store lacks: what each redaction gave up, and what else is not there.
fn without_data(
    revisions: &[String],
    catalog: &Catalog,
    context: &Context,
) -> Result<Vec<Problem>, CommandError> {
    let objects = Repo::discover(&context.dir)?.objects()?;
    let tips = if revisions.is_empty() {
        objects.tips()?.into_iter().map(|tip| tip.commit).collect()
    } else {
        revisions.iter().map(|revision| objects.commit(revision)).collect::<Result<Vec<_>, _>>()?
    };
    let wanted: BTreeSet<Oid> =
        objects.pointers_in_history(&tips)?.into_iter().map(|found| found.pointer.oid).collect();
    let oids: Vec<Oid> = wanted.iter().copied().collect();
    let rows = catalog.find(RepoId::NIL, &oids)?;
    let mut missing: BTreeSet<Oid> = wanted.into_iter().filter(|oid| !rows.contains_key(oid)).collect();
    let of = count(oids.len(), "file");
    context.ui.done(&format!("refs  {of}, {} of them not in the store", missing.len()));
    let absent: Vec<Oid> = missing.iter().copied().collect();
    let mut redacted: BTreeMap<u64, Problem> = BTreeMap::new();
    for (oid, by) in catalog.redactions_of(&absent) {
        missing.remove(&oid);
        let what = format!(
            "files of these revisions were taken out by a redaction ({by}): who checks them out does not get them; git datamon log \
             --changes shows it"
        );
        redacted.entry(by.seq).or_insert(Problem { what, oids: BTreeSet::new() }).oids.insert(oid);
    }
    let what = "the store does not have files of these revisions: it was never given them, or they were given up since, as git \
                datamon log --changes shows: git lfs push --all <remote> where they are";
    let never = (!missing.is_empty()).then(|| Problem { what: what.to_owned(), oids: missing });
    Ok(redacted.into_values().chain(never).collect())
}

fn report_json(context: &Context, findings: &Findings, paths: &HashMap<Oid, BTreeSet<String>>) {
    let mut value = serde_json::to_value(findings).expect("plain values always encode");
    value["paths"] =
        json!(paths.iter().map(|(oid, paths)| (oid.to_string(), paths)).collect::<HashMap<_, _>>());
    context.ui.fact(&serde_json::to_string_pretty(&value).expect("plain values always encode"));
}

fn report(
    context: &Context,
    args: &FsckArgs,
    findings: &Findings,
    paths: &HashMap<Oid, BTreeSet<String>>,
    store: &str,
) {
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
    report_notes(context, findings);
    let what = format!(
        "{store}: {}, {}, {}, {}{}",
        count(findings.entries, "log entry"),
        count(findings.rows, "row"),
        count(findings.versions, "version"),
        count(findings.packs, "pack"),
        read(findings, args)
    );
    if findings.problems.is_empty() {
        context.ui.done(&format!("ok    {what}"));
        return;
    }
    context.ui.fact(&format!("{} in {what}", count(findings.problems.len(), "problem")));
}

/// What is damaged in a store decides what helps. What revisions lack says itself what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurt {
    Nothing,
    /// Entries of the log, or what says which store it is.
    Log,
    /// What leads to files.
    Metadata,
    /// The data of files.
    Files,
}

impl Hurt {
    fn of(findings: &Findings) -> Hurt {
        match findings.problems.as_slice() {
            [] => Hurt::Nothing,
            problems if problems.iter().any(|problem| !problem.oids.is_empty()) => Hurt::Files,
            _ if findings.bad_packs.is_empty() => Hurt::Log,
            _ => Hurt::Metadata,
        }
    }
}

fn say_how_to_mend(context: &Context, damage: Hurt) {
    let hints: &[&str] = match damage {
        Hurt::Nothing => &[],
        Hurt::Log => &[
            "`git datamon repair` puts back what this machine, a mirror or the rest of the log has: run it where the store was used last, or \
             with --from and a mirror",
            "what it cannot, restore from a backup of the store, under its name",
        ],
        Hurt::Metadata => &[
            "`git datamon repair` mends what this machine, a mirror, the rest of the store or a clone with the commits has: run it in a clone, \
             with --from for other clones, stores and mirrors",
            "what it cannot, restore from a backup of the store, under its name",
        ],
        Hurt::Files => &[
            "mend it in a clone that has the files: `git datamon repair`, with --from for other clones, stores and mirrors that have some",
            "pushes from this machine do it too: `git datamon push` for what is checked out, `git datamon bundle REV` for other versions, \
             and `git lfs push --all <remote>` for what no version has",
        ],
    };
    hints.iter().for_each(|hint| context.ui.hint(hint));
}

fn read(findings: &Findings, args: &FsckArgs) -> String {
    let Findings { packs, pack_bytes, data_packs, data_bytes, rebuilt, .. } = findings;
    let data = match data_packs {
        // Of a store that cannot be opened nobody knows what packs there are.
        _ if *packs == 0 || !(args.full || args.data.is_some()) => String::new(),
        all if all == packs => format!(", all of them read, {}", bytes(*data_bytes)),
        some => format!(", {some} of them read, {} of {}", bytes(*data_bytes), bytes(*pack_bytes)),
    };
    let files = if *rebuilt > 0 { format!(", {} rebuilt", count(*rebuilt, "file")) } else { String::new() };
    data + &files
}

fn report_notes(context: &Context, findings: &Findings) {
    for note in &findings.notes {
        context.ui.done(&format!("note  {note}"));
    }
    if findings.unused_packs > 0 {
        context.ui.done(&format!(
            "note  {}, {}, unused: interrupted pushes left them, or a push is under way that will name them; leave them",
            count(findings.unused_packs, "pack"),
            bytes(findings.unused_bytes)
        ));
    }
    if findings.unhashed > 0 {
        context.ui.done(&format!(
            "note  {}, {} in all, with a few chunks repeated for longer than is hashed here: the chunks are right, and who fetches \
             a file verifies it",
            count(findings.unhashed, "file"),
            bytes(findings.unhashed_bytes)
        ));
    }
    if findings.archived_packs > 0 {
        context.ui.done(&format!(
            "note  {} in an archive: they are there, and nothing in them was looked at (git datamon thaw --all)",
            count(findings.archived_packs, "pack")
        ));
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

//! `git datamon redact`: take files out of every version of a dataset.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use serde_json::{Value, json};

use crate::bundle::check_path;
use crate::catalog::Catalog;
use crate::cli::Context;
use crate::cli::bar::count;
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::paths::{hexes, shown, texts, typed};
use crate::git::Depth;
use crate::id::{BundleId, Oid};
use crate::ops::kinship;
use crate::ops::redact::{Loss, NotRedacted, Redaction, plan, plan_files};
use crate::ops::squash::Git;

/// Take files out of every version of a dataset
///
/// Says what would go; with --apply it goes. Versions keep their ids, labels and commits, and say from then on that the path was taken
/// out. The bytes leave the store with the next `gc run`, but for what another file needs too. Git keeps its history: commits still
/// name the file, so it is not redacted while git reaches one, unless you say --force.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon redact --path people/addresses.csv             what would go\n  \
    git datamon redact --path people --force --apply           all below, though commits name it\n  \
    git datamon redact --path a.csv --path b.csv --store /srv/data --repo weather --force --apply\n  \
    git datamon gc run --blank --grace 0 --orphans 0           then the bytes go, too")]
pub struct RedactArgs {
    /// A file of the dataset, or a directory with all below; may be given several times.
    #[arg(long = "path", value_name = "PATH", required_unless_present = "files", value_parser = path_inside())]
    paths: Vec<OsString>,

    /// A file that no version has, by its SHA-256, as `fsck` names those that were pushed again; may be given several times.
    #[arg(long = "oid", value_name = "SHA256", conflicts_with = "paths")]
    files: Vec<Oid>,

    /// Also what commits name that git reaches: who checks one out does not get the file.
    #[arg(long)]
    force: bool,

    /// Do it; without, only say what would go.
    #[arg(long)]
    apply: bool,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// A path below the top of the dataset: the whole of it is none.
fn path_inside() -> impl TypedValueParser<Value = OsString> {
    let checked = |path: OsString| match typed(&path).as_slice() {
        b"" => Err("a file of the dataset is wanted, or a directory in it".to_owned()),
        inside => check_path(inside).map(|()| path.clone()).map_err(|error| {
            format!("{}; a path is wanted as `git datamon ls VERSION -r` shows it", error.why)
        }),
    };
    OsStringValueParser::new().try_map(checked)
}

/// Plans, and does it if asked to.
pub fn run(args: &RedactArgs, context: &Context) -> Result<(), CommandError> {
    let paths: BTreeSet<Vec<u8>> = args.paths.iter().map(|path| typed(path)).collect();
    let paths: Vec<Vec<u8>> = paths.into_iter().collect();
    let files: BTreeSet<Oid> = args.files.iter().copied().collect();
    let mut dataset = match args.apply {
        true => args.dataset.open_to_write(context)?,
        false => args.dataset.open(context)?,
    };
    if let Some(git) = &dataset.git {
        kinship::check(&git.repo, &git.objects, &dataset.catalog, dataset.repo)?;
    }
    let (git, repo) = (&dataset.git, dataset.repo);
    let plan = |catalog: &Catalog, git: &Git<'_>| match files.is_empty() {
        true => plan(catalog, repo, &paths, git),
        false => plan_files(catalog, repo, &files, git),
    };
    let look = |catalog: &Catalog| {
        let clone = git.as_ref().map(|it| (it.repo.reach(Depth::History), &it.objects));
        let planned = match clone {
            Some((Ok(reach), objects)) => {
                plan(catalog, &Git::Seen { reach: &reach, objects, unknown: false })
            }
            Some((Err(unseen), _)) if !args.force => Err(unseen.into()),
            // Who overrules git need not see all of it: it may name any of them.
            Some(_) | None => plan(catalog, &Git::Unasked),
        };
        planned.map(|planned| Redaction { overruled: args.force, ..planned })
    };
    let mut planned = look(&dataset.catalog)?;
    let seen: BTreeSet<BundleId> = planned.versions.iter().map(|it| it.bundle).collect();
    if planned.versions.is_empty() && planned.files.is_empty() && !files.is_empty() {
        let message = match planned.elsewhere.is_empty() {
            true => "the dataset has none of the files any more: they were given up before",
            false => "versions of other datasets have all of the files",
        };
        return Err(CommandError::new(Kind::NotFound, message)
            .hint("what was done before: git datamon log --changes"));
    }
    if planned.versions.is_empty() && planned.files.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| shown(path)).collect();
        let message = format!("no version of {} has {}", dataset.name(), paths.join(" or "));
        return Err(CommandError::new(Kind::NotFound, message)
            .hint("what a version has: git datamon ls VERSION")
            .hint("what was taken out before: git datamon log --changes"));
    }
    if args.apply {
        planned = planned.apply(&mut dataset.catalog, &look)?;
        let came = planned.versions.iter().filter(|it| !seen.contains(&it.bundle)).count();
        if came > 0 {
            context.ui.warning(&format!("{came} of the versions came while it was done"));
        }
    }
    report(&planned, args, &dataset.catalog, context);
    Ok(())
}

fn report(planned: &Redaction, args: &RedactArgs, catalog: &Catalog, context: &Context) {
    if args.json {
        context.ui.json(&object(planned, args.apply, catalog));
        return;
    }
    for Loss { bundle, entries, .. } in &planned.versions {
        let commit = catalog.state().bundles().get(bundle).and_then(|it| it.commit);
        let commit = commit.map_or(String::new(), |id| format!("  commit {id}"));
        context.ui.fact(&format!("{bundle}{commit}"));
        entries.keys().for_each(|path| context.ui.fact(&format!("    {}", shown(path))));
    }
    let (versions, files) = (count(planned.versions.len(), "version"), count(planned.files.len(), "file"));
    let done = if args.apply { "taken out of" } else { "would be taken out of" };
    match planned.paths.is_empty() {
        true => context.ui.fact(&format!(
            "{files} of no version {}",
            if args.apply { "given up" } else { "would be given up" }
        )),
        false => context.ui.fact(&format!("{done} {versions}; {files} given up")),
    }
    if !planned.elsewhere.is_empty() {
        let stay = planned.elsewhere.len();
        context.ui.warning(&format!("the bytes of {stay} of them stay: versions have the same elsewhere"));
    }
    if !planned.reached.is_empty() {
        let named = planned.reached.len();
        context.ui.warning(&format!("{named} of the files are named by commits that git reaches, or may be"));
    }
    if args.apply {
        context.ui.hint("to take its bytes out of the store, also those that share a frame with other files: git datamon gc run --blank --grace 0 --orphans 0");
        context.ui.hint("other stores, mirrors, clones and caches still have what they have");
    } else {
        let force = if planned.reached.is_empty() { "" } else { " with --force" };
        context.ui.hint(&format!("nothing was changed: --apply{force} does it"));
    }
}

fn object(planned: &Redaction, applied: bool, catalog: &Catalog) -> Value {
    let version = |it: &Loss| {
        let paths: Vec<&[u8]> = it.entries.keys().map(Vec::as_slice).collect();
        let commit = catalog.state().bundles().get(&it.bundle).and_then(|it| it.commit);
        json!({
            "bundle": it.bundle.to_string(), "commit": commit.map(|id| id.to_string()),
            "paths": texts(&paths), "paths_hex": hexes(&paths),
        })
    };
    let ids = |files: &BTreeSet<Oid>| -> Vec<String> { files.iter().map(ToString::to_string).collect() };
    let asked: Vec<&[u8]> = planned.paths.iter().map(Vec::as_slice).collect();
    json!({
        "repo": planned.repo.to_string(),
        "store": catalog.identity().store.to_string(),
        "planned_on": planned.planned_on,
        "applied": applied,
        "paths": texts(&asked),
        "versions": planned.versions.iter().map(version).collect::<Vec<_>>(),
        "files": ids(&planned.files),
        "elsewhere": ids(&planned.elsewhere),
        "reached": ids(&planned.reached),
    })
}

impl From<NotRedacted> for CommandError {
    fn from(error: NotRedacted) -> CommandError {
        let words = error.to_string();
        match error {
            NotRedacted::Catalog(error) => error.into(),
            NotRedacted::Unseen(error) => error.into(),
            NotRedacted::Path(_) | NotRedacted::Nameless => CommandError::new(Kind::Usage, words),
            NotRedacted::Unread { .. } => {
                CommandError::new(Kind::Integrity, words).hint("what is damaged: git datamon fsck")
            }
            NotRedacted::Reached { .. } => CommandError::new(Kind::Conflict, words)
                .hint("who checks such a commit out does not get them; with --force they go all the same"),
            NotRedacted::InVersion { .. } => CommandError::new(Kind::Conflict, words)
                .hint("out of every version: git datamon redact --path PATH"),
            NotRedacted::NoFile { .. } => CommandError::new(Kind::NotFound, words)
                .hint("what was pushed again since it was redacted: git datamon fsck"),
            NotRedacted::Overtaken => CommandError::new(Kind::Conflict, words),
        }
    }
}

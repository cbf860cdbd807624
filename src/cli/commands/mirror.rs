//! `git datamon mirror`: copies of a store that are read when it does not answer.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::catalog::Catalog;
use crate::cli::bar::{Bar, bytes};
use crate::cli::commands::store::Led;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::{Config, Git, Operation, Repo, STORE_SCHEME};
use crate::ops::mirror::{Compare, NotMirrored, Promoted, Standing, Synced, expect, promote, standing, sync};
use crate::ops::{open, trust};
use crate::store::{Store, StoreError, StoreUrl, is_same, without_password};

/// Keep copies of a store, which are read when it does not answer or has lost something
///
/// A mirror has the same objects under the same names. It is not a store: nothing can be pushed to it. Where the store cannot be read, or
/// has a pack that is missing or damaged, your reads take it from the mirror, verified as ever. `mirror promote` makes a store of the mirror
/// of a lost one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon mirror add /mnt/backup/data              copy the store of this repository there\n  \
    git datamon mirror sync                              bring what came since, as from cron\n  \
    git datamon mirror sync --verify                     read all of it back, and write anew what is damaged\n  \
    git datamon mirror sync --store s3://team/data /mnt/backup/data\n  \
    git datamon mirror list")]
pub struct MirrorArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Copy the store to a place where nothing is, and read from there what the store does not give
    Add(OneArgs),
    /// The mirrors of the store, and how far they are
    List(StoreArgs),
    /// Copy what the mirrors lack
    Sync(SyncArgs),
    /// Read from there no more; what lies there stays
    Remove(OneArgs),
    /// Make a store of a mirror, when its store is lost
    Promote(PromoteArgs),
}

#[derive(Debug, Args)]
struct PromoteArgs {
    /// The mirror.
    url: String,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StoreArgs {
    /// The store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// JSON with stable field names.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// The mirror: a directory, or a folder of a bucket.
    url: String,

    #[command(flatten)]
    of: StoreArgs,
}

#[derive(Debug, Args)]
struct SyncArgs {
    /// The mirrors; by default all that `mirror add` has named.
    url: Vec<String>,

    /// Compare every pack by its size, as is done anyhow after a copy that passed over some.
    #[arg(long)]
    all: bool,

    /// Read every object of the mirror back, and replace by that of the store what is damaged.
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    of: StoreArgs,
}

/// A mirror, as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    url: String,
    /// Its newest entry.
    head: Option<u64>,
    /// Entries that it lacks.
    behind: Option<u64>,
    /// Whether a copy had to pass over packs that the store could not give.
    lacking: Option<bool>,
    /// Why nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Does it.
pub fn run(args: &MirrorArgs, context: &Context) -> Result<ExitCode, CommandError> {
    match &args.what {
        What::Add(args) => add(args, &context.aside(args.of.json)),
        What::List(args) => list(args, context),
        What::Sync(args) => sync_all(args, &context.aside(args.of.json)),
        What::Remove(args) => remove(args, &context.aside(args.of.json)).map(|()| ExitCode::SUCCESS),
        What::Promote(args) => make_store(args, &context.aside(args.json)).map(|()| ExitCode::SUCCESS),
    }
}

/// The store itself, the configuration, and the URL that was typed.
fn given(args: &OneArgs, context: &Context) -> Result<(Catalog, Config, StoreUrl), CommandError> {
    let catalog = stores::itself(args.of.store.as_deref(), &context.dir)?;
    let config = Config::read(&Git::at(&context.dir))?;
    let url = StoreUrl::parse(&stores::spelled(&args.url, &context.dir)?)?;
    Ok((catalog, config, url))
}

fn add(args: &OneArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let (mut catalog, config, mirror) = given(args, context)?;
    let store = catalog.store().url().clone();
    let (at, to) = (store.canonical(), mirror.canonical());
    let shown = without_password(&to);
    if is_same(store.as_str(), mirror.as_str()) || to.starts_with(&format!("{at}/")) {
        let message = format!("{shown} is the store, or lies inside it");
        return Err(CommandError::new(Kind::Usage, message).hint("name a place beside it"));
    }
    let place = Store::create_place(&mirror, &config.store_settings(&mirror)?)?;
    let synced = bring(&mut catalog, &place, Compare::New, context).map_err(|error| match error {
        NotMirrored::IsStore { .. } | NotMirrored::Another { .. } | NotMirrored::NotEmpty { .. } => {
            CommandError::from(error).hint("name a place where nothing is")
        }
        error => error.into(),
    })?;
    if !config.mirrors(&store).iter().any(|known| is_same(known, mirror.as_str())) {
        Git::at(&context.dir).add_mirror(&store, mirror.as_str())?;
    }
    context.ui.done(&format!("mirror  your reads of {} ask {shown} for what it does not give", store));
    context.ui.hint("to bring what comes from now on: git datamon mirror sync");
    told(args.of.json, context, &[(mirror, synced)])
}

/// The place of a mirror that has been made.
fn made(mirror: &StoreUrl, config: &Config) -> Result<Store, CommandError> {
    match Store::open_with(mirror, &config.store_settings(mirror)?) {
        Err(StoreError::Absent { url }) => Err(advised(NotMirrored::Gone { url }, mirror)),
        opened => Ok(opened?),
    }
}

/// What to do about a mirror that is not as it should be.
fn advised(error: NotMirrored, mirror: &StoreUrl) -> CommandError {
    let url = without_password(mirror.as_str());
    let remove = format!("to do without it: git datamon mirror remove {url}");
    match error {
        NotMirrored::Gone { .. } => CommandError::from(error)
            .hint("if it lies on a disk or in a share that is not there now, mount that")
            .hint(format!("to make it anew: git datamon mirror add {url}"))
            .hint(remove),
        NotMirrored::IsStore { .. } | NotMirrored::Another { .. } | NotMirrored::NotEmpty { .. } => {
            CommandError::from(error).hint(remove)
        }
        error => error.into(),
    }
}

fn list(args: &StoreArgs, context: &Context) -> Result<ExitCode, CommandError> {
    // A store that does not answer is what mirrors are for.
    let catalog = stores::chosen(args.store.as_deref(), &context.dir)?;
    let config = Config::read(&Git::at(&context.dir))?;
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for url in config.mirrors(catalog.store().url()) {
        let found = StoreUrl::parse(&url).map_err(CommandError::from).and_then(|mirror| {
            let place = made(&mirror, &config)?;
            standing(&catalog, &place).map_err(|error| advised(error, &mirror))
        });
        let url = without_password(&url);
        all.push(match found {
            Ok(Standing { head, behind, lacking }) => {
                Shown { url, head, behind: Some(behind), lacking: Some(lacking), error: None }
            }
            Err(error) => {
                failed.push(error.clone());
                Shown { url, head: None, behind: None, lacking: None, error: Some(error.message) }
            }
        });
    }
    // Of a copy that is not there nobody should learn only when it is needed.
    let kinds = failed.iter().map(|error| error.kind);
    let code = if failed.is_empty() { 0 } else { Kind::worst(kinds).exit_code() };
    if args.json {
        context.ui.json(&all);
        return Ok(ExitCode::from(code));
    }
    for Shown { url, behind, lacking, error, .. } in &all {
        context.ui.fact(&match (behind, error) {
            (_, Some(error)) => format!("{url}  NOT USABLE: {error}"),
            (Some(0), _) if *lacking == Some(true) => {
                format!("{url}  lacks packs that the store could not give: git datamon mirror sync")
            }
            (Some(0), _) => format!("{url}  has everything"),
            (behind, _) => format!("{url}  lacks {} log entries", behind.unwrap_or_default()),
        });
    }
    if all.is_empty() {
        context.ui.hint("there is none; to make one: git datamon mirror add <directory or URL>");
    }
    failed.iter().flat_map(|error| &error.hints).for_each(|hint| context.ui.hint(hint));
    Ok(ExitCode::from(code))
}

fn sync_all(args: &SyncArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let mut catalog = stores::itself(args.of.store.as_deref(), &context.dir)?;
    let config = Config::read(&Git::at(&context.dir))?;
    let typed = args.url.iter().map(|url| stores::spelled(url, &context.dir));
    let urls = match args.url.is_empty() {
        true => config.mirrors(catalog.store().url()),
        false => typed.collect::<Result<_, _>>()?,
    };
    if urls.is_empty() {
        let message = format!("{} has no mirror", catalog.store().url());
        return Err(
            CommandError::new(Kind::NotFound, message).hint("git datamon mirror add <directory or URL>")
        );
    }
    let compare = match (args.verify, args.all) {
        (true, _) => Compare::Bytes,
        (false, true) => Compare::Sizes,
        (false, false) => Compare::New,
    };
    let (mut synced, mut failed, several) = (Vec::new(), None, urls.len() > 1);
    for url in urls {
        let mirror = StoreUrl::parse(&url)?;
        let done = made(&mirror, &config).and_then(|place| {
            let begun = expect(&place);
            begun
                .and_then(|()| bring(&mut catalog, &place, compare, context))
                .map_err(|it| advised(it, &mirror))
        });
        match done {
            Ok(done) => synced.push((mirror, done)),
            // One that does not answer keeps nothing from the others.
            Err(error) => {
                if several {
                    context.ui.warning(&format!("{}: {}", without_password(&url), error.message));
                }
                failed.get_or_insert(error);
            }
        }
    }
    let code = told(args.of.json, context, &synced)?;
    failed.map_or(Ok(code), Err)
}

fn bring(
    catalog: &mut Catalog,
    place: &Store,
    compare: Compare,
    context: &Context,
) -> Result<Synced, NotMirrored> {
    let bar = Bar::new("copying", 0, context.ui.is_quiet());
    let synced = sync(catalog, place, compare, &bar);
    bar.finish();
    let synced = synced?;
    let Synced {
        objects, bytes: size, removed, verified, verified_bytes, mended, mended_bytes, lacking, ..
    } = &synced;
    let gone = if *removed == 0 { String::new() } else { format!("; {removed} packs removed") };
    let shown = place.url().to_string();
    context.ui.done(&format!(
        "copied  {objects} objects, {} to {}{gone}",
        bytes(*size),
        without_password(&shown)
    ));
    if compare == Compare::Bytes {
        context.ui.done(&format!(
            "verified {verified} objects, {}: read back and right; {} mended, {}",
            bytes(*verified_bytes),
            mended.len(),
            bytes(*mended_bytes)
        ));
    }
    for (object, why) in mended {
        context.ui.done(&format!("mended  {object}: {why}"));
    }
    for (object, why) in lacking {
        context.ui.warning(&format!("{object} was not copied: {why}"));
    }
    Ok(synced)
}

/// What was done, for programs; the exit code says whether the mirrors have everything.
fn told(is_json: bool, context: &Context, synced: &[(StoreUrl, Synced)]) -> Result<ExitCode, CommandError> {
    let lacking = synced.iter().map(|(_, done)| done.lacking.len()).sum::<usize>();
    if is_json {
        let shown = |(url, done): &(StoreUrl, Synced)| {
            let Synced { objects, bytes, was_there, removed, head, mended, mended_bytes, lacking, .. } = done;
            let told = |some: &[(String, String)]| -> Vec<_> {
                some.iter().map(|(object, why)| json!({ "object": object, "error": why })).collect()
            };
            json!({
                "url": url.to_string(), "objects": objects, "bytes": bytes, "was_there": was_there,
                "removed": removed, "head": head, "verified": done.verified,
                "verified_bytes": done.verified_bytes, "mended": told(mended), "mended_bytes": mended_bytes,
                "lacking": told(lacking),
            })
        };
        context.ui.json(&synced.iter().map(shown).collect::<Vec<_>>());
    }
    if lacking == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let message =
        format!("{lacking} objects of the store are damaged or cannot be read, and the mirror lacks them");
    Err(CommandError::new(Kind::Integrity, message)
        .hint("git datamon fsck --data, git datamon repair, then git datamon mirror sync"))
}

fn remove(args: &OneArgs, context: &Context) -> Result<(), CommandError> {
    // The store need not answer for that.
    let store = StoreUrl::parse(&stores::named(args.of.store.as_deref(), &context.dir)?)?;
    let config = Config::read(&Git::at(&context.dir))?;
    let typed = stores::spelled(&args.url, &context.dir)?;
    let known = config.mirrors(&store).into_iter().find(|known| is_same(known, &typed));
    let removed = match &known {
        Some(known) => Git::at(&context.dir).remove_mirror(&config, &store, known)?,
        None => false,
    };
    if !removed {
        let message = format!("{} is no mirror of {store} in your configuration", without_password(&typed));
        return Err(CommandError::new(Kind::NotFound, message).hint("git datamon mirror list"));
    }
    context.ui.done(&format!("removed {}; what lies there stays", without_password(&typed)));
    if args.of.json {
        context.ui.json(&json!({ "removed": typed }));
    }
    Ok(())
}

fn make_store(args: &PromoteArgs, context: &Context) -> Result<(), CommandError> {
    let typed = stores::spelled(&args.url, &context.dir)?;
    let (url, settings) = stores::place(&typed, &context.dir)?;
    let config = Config::read(&Git::at(&context.dir))?;
    let repo = Repo::discover(&context.dir).ok();
    let led = repo.as_ref().map(|repo| led_by(repo, &config, &url)).transpose()?.flatten();
    let place = match Store::open_with(&url, &settings) {
        Err(StoreError::Absent { url }) => {
            return Err(CommandError::from(NotMirrored::Gone { url }).hint(
                "if it should be there, mount or restore it; those that you have: git datamon mirror list",
            ));
        }
        opened => opened?,
    };
    let Promoted { store, lacking } = promote(&place).map_err(|error| match error {
        NotMirrored::IsStore { .. } => CommandError::from(error).hint(format!(
            "it needs nothing more; to use it here: git config lfs.url {STORE_SCHEME}{} && git datamon trust",
            without_password(&typed)
        )),
        error => error.into(),
    })?;
    let found = open::open_anew(&url, &settings)?;
    context.ui.done(&format!("store   {}", stores::shown(&found)));
    trust::trust(&Git::at(&context.dir), &config, &found)?;
    if lacking {
        context.ui.warning(
            "the mirror says that it lacks something: packs that the store could not give, or a copy did not come to its end",
        );
    }
    let leads = led.is_some();
    if let (Some(led), Some(repo)) = (led, &repo) {
        led.lead(repo, &typed, context)?;
    }
    context.ui.hint(&format!("to verify it: git datamon fsck --data --store {}", without_password(&typed)));
    if args.json {
        context
            .ui
            .json(&json!({ "url": url.to_string(), "store": store, "leads": leads, "lacking": lacking }));
    }
    Ok(())
}

/// How the repository leads to the store whose mirror this is.
fn led_by(repo: &Repo, config: &Config, mirror: &StoreUrl) -> Result<Option<Led>, CommandError> {
    let Some(named) = repo.store_url(&repo.push_remote(), Operation::Upload)? else { return Ok(None) };
    let lost = StoreUrl::parse(&named.url)?;
    let is_its = config.mirrors(&lost).iter().any(|known| is_same(known, mirror.as_str()));
    if is_its { Led::of(repo, &lost) } else { Ok(None) }
}

impl From<NotMirrored> for CommandError {
    fn from(error: NotMirrored) -> CommandError {
        match error {
            NotMirrored::Catalog(error) => error.into(),
            NotMirrored::Diverged { .. } | NotMirrored::Damaged { .. } => {
                CommandError::new(Kind::Integrity, error.to_string())
            }
            NotMirrored::None { .. } | NotMirrored::Gone { .. } => {
                CommandError::new(Kind::NotFound, error.to_string())
            }
            _ => CommandError::new(Kind::Conflict, error.to_string()),
        }
    }
}

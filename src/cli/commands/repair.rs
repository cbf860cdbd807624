//! `git datamon repair`: what the store promises and cannot give, from wherever it still is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::catalog::healing::{Proven, put_back};
use crate::catalog::identity::BadIdentity;
use crate::catalog::lost_identity::{self, Loss};
use crate::catalog::{Catalog, CatalogError};
use crate::cli::bar::{Bar, bytes, count};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::paths::shown;
use crate::cli::{Context, stores};
use crate::git::{Config, Git, Repo};
use crate::id::{Oid, RepoId, StoreId};
use crate::ops::bundle::labels_of;
use crate::ops::open;
use crate::ops::repair::{Clone, Damage, Mended, NotRepaired, Repaired, Unreadable, mend, repair};
use crate::ops::trust;
use crate::ops::verify::{Depth, Findings, verify};
use crate::store::{Settings, Store, StoreUrl, key};

/// Files named in words; `--json` has all.
const SHOWN: usize = 50;

/// Mend what `fsck` finds: promise anew, from wherever its bytes still are, what the store cannot give
///
/// Looks at the store as `fsck` does, and stores anew what is damaged and still to be had: from this clone (git-lfs's objects, the work
/// tree, plain files of git), from other clones and stores that --from names, from mirrors, and from the store itself where a pack is
/// damaged in one place only. What versions consist of is copied out of damaged packs, from mirrors, stores that --from names or what this
/// machine has kept, or made anew in a clone that has their commits. Entries of the log are put back as they were, where a hash in the log or who saw them proves it. Lists of files that
/// were lost are written again, from mirrors, from what was pushed or from the versions that have them; a damaged checkpoint from the log;
/// datamon.json as this machine or a mirror knows it. Packs are never written over. Exits with 4 if anything is beyond help, and names it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  git datamon repair --dry-run\n  git datamon repair --data\n  git datamon repair --from ../other-clone \
                  --from s3://mirror/data\n  git datamon repair --full --store /srv/data --from ~/clone"
)]
pub struct RepairArgs {
    /// Another clone on this machine, another store, or a mirror, that may have what is missing.
    #[arg(long, value_name = "PLACE")]
    from: Vec<String>,

    /// Read all packs first, as `fsck --data` does; else what an earlier `fsck` found, and what sizes and footers show.
    #[arg(long)]
    data: bool,

    /// Rebuild all files first, as `fsck --full` does.
    #[arg(long, conflicts_with = "data")]
    full: bool,

    /// Only say what is damaged.
    #[arg(long)]
    dry_run: bool,

    /// A store, as in `init --store`; by default the one of this repository.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Looks, mends, and says what is left.
pub fn run(args: &RepairArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let said = context.aside(args.json);
    let mut catalog = opened(args, &said)?;
    let findings = look(args, &mut catalog, context)?;
    let mirrors = mirrors(args, catalog.store().url(), &context.dir)?;
    let entries = heal_log(args, &mut catalog, &findings, &mirrors, &said)?;
    let mut places = (vec![], vec![]);
    let mut mended = Mended::default();
    if !args.dry_run {
        places = self::places(args, context)?;
        mended = mend(&mut catalog, &places.1, &mirrors)?;
        say_mended(&mended, &said);
    }
    let mut damage = Damage::of(&catalog)?;
    damage.entries = entries;
    let found = damage.files.len();
    let mut repaired = Repaired::default();
    if !args.dry_run && (!damage.is_empty() || catalog.has_suspects()) {
        let (clones, others) = places;
        let scratch = tempfile::tempdir().map_err(|source| {
            CommandError::new(Kind::Failed, format!("cannot make a temporary directory: {source}"))
        })?;
        let bar = Bar::new("storing", damage.files.values().map(|hit| hit.size).sum(), context.ui.is_quiet());
        repaired = repair(&mut catalog, &mut damage, &clones, &others, &mirrors, scratch.path(), &bar)?;
        bar.finish();
        catalog.upkeep()?;
    }
    if args.json {
        report_json(args, context, &catalog, &damage, (&mended, &repaired));
    } else {
        report(args, context, &catalog, (found, &damage, &repaired));
    }
    Ok(if damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Kind::Integrity.exit_code()) })
}

fn say_mended(mended: &Mended, said: &Context) {
    if mended.identity {
        said.ui.done("store   its datamon.json was damaged, and is written again as this machine knows it");
    }
    if mended.hint {
        said.ui.done("log     its HEAD named no entry that is there, and is written anew");
    }
    if mended.head {
        said.ui.done("log     its newest entry was damaged: another one carries what it said");
    }
    if mended.checkpoint {
        said.ui.done("log     its checkpoint was damaged, and is written anew");
    }
    if mended.rows > 0 {
        said.ui.done(&format!("tables  {} rows are written anew", mended.rows));
    }
    if mended.frames > 0 {
        said.ui.done(&format!(
            "moved   {} roots, pages and lists of versions out of damaged packs, into new ones",
            mended.frames
        ));
    }
}

/// The store; where it cannot be opened for damage, as far as its log, its mirrors and this machine have what it said.
fn opened(args: &RepairArgs, said: &Context) -> Result<Catalog, CommandError> {
    let (store, dir) = (args.store.as_deref(), &said.dir);
    let error = match stores::chosen_to_write(store, dir) {
        Err(error) if error.kind == Kind::Integrity => error,
        other => return other,
    };
    said.ui.done(&format!("damage  {}", bare(&error.message)));
    let (url, settings) = stores::place(&stores::named(store, dir)?, dir)?;
    let mirrors = mirrors(args, &url, dir)?;
    if named_again(args, &url, &settings, &mirrors, said)? {
        match stores::chosen_to_write(store, dir) {
            Err(error) if error.kind == Kind::Integrity => {}
            other => return other,
        }
    }
    // What is not to be proven is not there to be put back.
    let lost = open::lost_entries(&url, &settings, &mirrors).unwrap_or_default();
    if !lost.is_empty() && !args.dry_run {
        let place = Store::open_with(&url, &settings)?;
        let is_named = |id: Option<StoreId>| id.is_some_and(|id| is_trusted(store, dir, id, &url));
        if !is_named(open::identity(&place, &settings)) {
            return Err(untrusted(&url));
        }
        match put_back(&place, &lost) {
            Ok(()) => said.ui.done(&back_in_place(&lost)),
            Err(error) => said.ui.warning(&format!("the log is left as it is: {error}")),
        }
        match stores::chosen_to_write(store, dir) {
            Err(error) if error.kind == Kind::Integrity => {}
            other => return other,
        }
    }
    let mut catalog = open::rebuild(&url, &settings).map_err(beyond)?;
    if !is_trusted(store, dir, catalog.identity().store, &url) {
        return Err(untrusted(&url));
    }
    catalog.set_contributor(Git::at(dir).author());
    let entries = catalog.head().seq() + 1;
    if args.dry_run {
        said.ui.done(&format!(
            "log     {entries} entries still say everything: without --dry-run they are written together anew"
        ));
    } else if catalog.write_checkpoint()? {
        said.ui.done(&format!("log     what {entries} entries say is written together anew"));
    }
    Ok(catalog)
}

/// What is wrong, without the command that leads here.
fn bare(said: &str) -> &str {
    let Some(at) = said.to_ascii_lowercase().find("run `git datamon ") else { return said };
    let ends = ["; ", ": "].into_iter().filter_map(|end| said[..at].rfind(end));
    ends.max().map_or(said, |end| &said[..end])
}

/// The mirrors of the store: those that the configuration names, and those that --from does.
fn mirrors(args: &RepairArgs, store: &StoreUrl, dir: &Path) -> Result<Vec<Store>, CommandError> {
    let mut mirrors = stores::mirrors(store, dir)?;
    for place in &args.from {
        let (url, settings) = stores::place(&stores::spelled(place, dir)?, dir)?;
        mirrors.extend(Store::open_with(&url, &settings).ok().filter(is_mirror));
    }
    Ok(mirrors)
}

fn is_mirror(place: &Store) -> bool {
    matches!((place.size(key::MIRROR), place.size(key::STORE)), (Ok(Some(_)), Ok(None)))
}

/// Writes `datamon.json` again where it is gone or damaged, and certain what it said; whether it did.
fn named_again(
    args: &RepairArgs,
    url: &StoreUrl,
    settings: &Settings,
    mirrors: &[Store],
    said: &Context,
) -> Result<bool, CommandError> {
    let place = Store::open_with(url, settings)?;
    let Some(loss) = lost_identity::loss(&place)? else { return Ok(false) };
    let known = trust::stores_at(&Config::read(&Git::at(&said.dir))?, url);
    // Of two it may be either.
    let [known] = known.into_iter().collect::<Vec<StoreId>>()[..] else { return Ok(false) };
    let Some(identity) = lost_identity::find(&place, known, mirrors)? else { return Ok(false) };
    let was = if loss == Loss::Gone { "gone" } else { "damaged" };
    if args.dry_run {
        let message = format!("the datamon.json of {} is {was}, and can be written again", url.canonical());
        return Err(CommandError::new(Kind::Integrity, message)
            .hint("before that nothing else is looked at: git datamon repair"));
    }
    lost_identity::put_back(&place, &identity)?;
    said.ui
        .done(&format!("store   its datamon.json was {was}, and is written again: store {}", identity.store));
    Ok(true)
}

/// What helps where a store cannot be opened by its log either.
fn beyond(error: CatalogError) -> CommandError {
    let hints = match &error {
        CatalogError::Nameless { .. } | CatalogError::Identity { source: BadIdentity::Damaged(_), .. } => {
            &UNNAMED
        }
        CatalogError::Identity { .. } => return error.into(),
        error if Kind::of_catalog(error) == Kind::Integrity => &ELSEWHERE,
        _ => return error.into(),
    };
    let beyond = CommandError::new(Kind::Integrity, format!("{error:#}"));
    hints.iter().fold(beyond, |error, hint| error.hint(*hint))
}

/// Who may know what `datamon.json` said.
const UNNAMED: [&str; 3] = [
    "where somebody trusts the store, as who has pushed there does: git datamon repair",
    "there, also from a mirror of the store: git datamon repair --from <mirror>",
    "or restore datamon.json from a backup of the store",
];

/// Who may have the newest entry of a log, which no other entry has.
const ELSEWHERE: [&str; 3] = [
    "the machine that pushed last, or has read the store since, may have kept it; there: git datamon repair",
    "from a mirror of the store: git datamon repair --from <mirror>",
    "or restore the object below log/ from a backup of the store, under its name",
];

/// As for any upload: what only the repository names has to be trusted before anything goes there.
fn is_trusted(store: Option<&str>, dir: &Path, id: StoreId, url: &StoreUrl) -> bool {
    store.is_some() || Config::read(&Git::at(dir)).is_ok_and(|config| trust::is_trusted_at(&config, id, url))
}

fn untrusted(url: &StoreUrl) -> CommandError {
    let message = format!("{} is not trusted with uploads: nothing was written", url.canonical());
    CommandError::new(Kind::Conflict, message)
        .hint(format!("if you know it: git datamon repair --store {}", url.canonical()))
}

/// Puts entries of the log back that are proven; those that are not are told.
fn heal_log(
    args: &RepairArgs,
    catalog: &mut Catalog,
    findings: &Findings,
    mirrors: &[Store],
    said: &Context,
) -> Result<Vec<u64>, CommandError> {
    let next = key::log(catalog.head().seq() + 1);
    let is_ahead = |mirror: &Store| mirror.size(&next).is_ok_and(|size| size.is_some());
    if findings.bad_entries.is_empty() && !mirrors.iter().any(is_ahead) {
        return Ok(vec![]);
    }
    let lost = match put_back_in(args, catalog, mirrors) {
        Ok(lost) => lost,
        Err(error) => {
            said.ui.warning(&format!("the log is left as it is: {error}"));
            vec![]
        }
    };
    let back: BTreeSet<u64> = lost.iter().map(|it| it.seq).collect();
    let known: BTreeSet<u64> = findings.bad_entries.iter().copied().collect();
    if args.dry_run {
        return Ok(known.union(&back).copied().collect());
    }
    if !lost.is_empty() {
        said.ui.done(&back_in_place(&lost));
        catalog.refresh()?;
        // They may lead to what nothing led to before.
        look(args, catalog, said)?;
    }
    Ok(known.difference(&back).copied().collect())
}

/// The entries that are proven, which are back unless nothing is to be written.
fn put_back_in(args: &RepairArgs, catalog: &Catalog, mirrors: &[Store]) -> Result<Vec<Proven>, CatalogError> {
    let lost = catalog.lost_entries(mirrors)?;
    if !args.dry_run {
        put_back(catalog.store(), &lost)?;
    }
    Ok(lost)
}

fn back_in_place(lost: &[Proven]) -> String {
    let first = key::log(lost[0].seq);
    let more = if lost.len() > 1 { format!(" and {} more", lost.len() - 1) } else { String::new() };
    format!("log     {first}{more} was gone or damaged, and is back as it was written")
}

fn look(args: &RepairArgs, catalog: &mut Catalog, context: &Context) -> Result<Findings, CommandError> {
    let depth = match (args.full, args.data) {
        (true, _) => Depth::Files,
        (_, true) => Depth::Data(100),
        _ => Depth::Promises,
    };
    let total = catalog.state().packs().values().map(|info| info.size).fold(0, u64::saturating_add);
    let bar = Bar::new("verifying", total, context.ui.is_quiet());
    let findings = verify(catalog, depth, &bar)?;
    bar.finish();
    catalog.keep_in_mind(&findings.bad_packs, &findings.good_packs, &findings.wrong);
    Ok(findings)
}

/// Where files may be: this clone and those named, and the stores named.
fn places(args: &RepairArgs, context: &Context) -> Result<(Vec<Clone>, Vec<Catalog>), CommandError> {
    let (mut clones, mut others) = (vec![], vec![]);
    if let Ok(repo) = Repo::discover(&context.dir) {
        clones.push(Clone::of(&repo)?);
    }
    for place in &args.from {
        let (url, settings) = stores::place(&stores::spelled(place, &context.dir)?, &context.dir)?;
        if Store::open_with(&url, &settings).is_ok_and(|place| is_mirror(&place)) {
            continue;
        }
        let folder = context.dir.join(place);
        // A directory may be either; below a clone it is the clone only if it is its top.
        let clone = Repo::discover(&folder).ok().filter(|repo| is_top(repo, &folder));
        match clone {
            Some(repo) => clones.push(Clone::of(&repo)?),
            None => others.push(stores::find(&stores::spelled(place, &context.dir)?, &context.dir)?),
        }
    }
    Ok((clones, others))
}

fn is_top(repo: &Repo, folder: &Path) -> bool {
    let tops = [repo.work_tree(), Some(repo.git_dir())];
    let folder = folder.canonicalize();
    tops.into_iter()
        .flatten()
        .any(|top| top.canonicalize().ok().is_some_and(|top| Some(top) == folder.as_ref().ok().cloned()))
}

fn report_json(
    args: &RepairArgs,
    context: &Context,
    catalog: &Catalog,
    damage: &Damage,
    (mended, repaired): (&Mended, &Repaired),
) {
    let lost: Vec<_> = damage
        .files
        .iter()
        .map(|(oid, hit)| {
            let places: Vec<_> = hit
                .places
                .iter()
                .map(|at| json!({ "repo": at.repo, "bundle": at.bundle, "path": String::from_utf8_lossy(&at.path) }))
                .collect();
            json!({ "oid": oid.to_string(), "size": hit.size, "repo": hit.repo, "places": places })
        })
        .collect();
    context.ui.json(&json!({
        "store": catalog.identity().store,
        "dry_run": args.dry_run,
        "stored": repaired.stored.iter().map(Oid::to_string).collect::<Vec<_>>(),
        "stored_bytes": repaired.stats.stored,
        "rows_written_again": repaired.rows,
        "rows_lost": damage.rows.len(),
        "versions_made_anew": repaired.versions,
        "frames_moved": mended.frames,
        "packs_moved": repaired.moved,
        "lost": lost,
        "unreadable_versions": damage.versions.keys().collect::<Vec<_>>(),
        "unreadable": damage
            .versions
            .iter()
            .map(|(bundle, at)| {
                let commit = at.commit.as_ref().map(ToString::to_string);
                let pages = at.pages.iter().map(|(first, rows)| {
                    json!({ "from": String::from_utf8_lossy(first), "entries": rows })
                });
                let (labels, pages) = (labels_of(catalog, *bundle), pages.collect::<Vec<_>>());
                json!({ "bundle": bundle, "repo": at.repo, "commit": commit, "labels": labels, "pages": pages })
            })
            .collect::<Vec<_>>(),
        "log_entries_lost": damage.entries,
        "labels": damage.labels(catalog),
    }));
}

fn report(
    args: &RepairArgs,
    context: &Context,
    catalog: &Catalog,
    (found, damage, repaired): (usize, &Damage, &Repaired),
) {
    let ui = &context.ui;
    if !repaired.stored.is_empty() {
        let (count, size) = (repaired.stored.len(), bytes(repaired.stats.stored));
        ui.done(&format!("stored  {count} of {found} damaged files anew, {size}"));
    }
    if repaired.rows > 0 {
        ui.done(&format!("listed  {} files again that versions still lead to", repaired.rows));
    }
    if repaired.versions > 0 {
        ui.done(&format!(
            "made    {} anew, from the commits they are of",
            count(repaired.versions, "version")
        ));
    }
    if repaired.moved > 0 {
        ui.done(&format!(
            "moved   data that is needed out of {} damaged packs, into new ones: git datamon gc run takes the old ones",
            repaired.moved
        ));
    }
    if damage.is_empty() {
        ui.done(&format!("ok      {}: nothing is damaged that is known of", stores::shown(catalog)));
        return;
    }
    if !damage.rows.is_empty() {
        ui.fact(&format!("{} files are in versions, and in no list of the store", damage.rows.len()));
    }
    let what = if args.dry_run { "damaged" } else { "LOST" };
    for (oid, hit) in damage.files.iter().take(SHOWN) {
        ui.fact(&format!("{what}  {oid}  {}{}", bytes(hit.size), place_of(*oid, damage, catalog)));
    }
    if damage.files.len() > SHOWN {
        ui.fact(&format!("and {} more (--json has all)", damage.files.len() - SHOWN));
    }
    for (version, at) in &damage.versions {
        let commit = at.commit.as_ref().map(|commit| format!(" (commit {commit})")).unwrap_or_default();
        ui.fact(&format!("{what}  version {version}{commit}: {}", lost_of(at)));
    }
    for seq in &damage.entries {
        ui.fact(&format!("{what}  {}, an entry of the log", key::log(*seq)));
    }
    let labels = damage.labels(catalog);
    if !labels.is_empty() {
        ui.fact(&format!(
            "labels of versions that are not whole: {}",
            labels.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    if args.dry_run {
        ui.hint("git datamon repair");
        return;
    }
    if !damage.entries.is_empty() {
        ELSEWHERE.iter().for_each(|hint| ui.hint(hint));
    }
    if !(damage.files.is_empty() && damage.rows.is_empty() && damage.versions.is_empty()) {
        ui.hint(
            "name other places that may have them: git datamon repair --from <clone, store or mirror>; or restore the objects that \
             `git datamon fsck` names from a backup, under their names",
        );
    }
}

/// What of a version cannot be read.
fn lost_of(version: &Unreadable) -> String {
    let Some((first, _)) = version.pages.first() else { return "all that is said of it".to_owned() };
    let entries: u64 = version.pages.iter().map(|(_, rows)| u64::from(*rows)).sum();
    format!("{entries} paths, from {} on", shown(first))
}

/// Where versions have the file, the first place and how many more.
fn place_of(oid: Oid, damage: &Damage, catalog: &Catalog) -> String {
    let places = &damage.files[&oid].places;
    let Some(first) = places.first() else { return String::new() };
    let name =
        |repo: RepoId| catalog.state().repos().get(&repo).map_or(repo.to_string(), |it| it.name.clone());
    let more =
        if places.len() > 1 { format!(" and {} more places", places.len() - 1) } else { String::new() };
    format!("  {} in {} ({}){more}", shown(&first.path), name(first.repo), first.bundle)
}

impl From<NotRepaired> for CommandError {
    fn from(error: NotRepaired) -> CommandError {
        match error {
            NotRepaired::Catalog(error) => error.into(),
            NotRepaired::Scratch { .. } => CommandError::new(Kind::Failed, error.to_string()),
        }
    }
}

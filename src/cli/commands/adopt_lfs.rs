//! `git datamon adopt-lfs`: a repository whose big files lie on an LFS server, or nowhere but here, moves into a store.
//!
//! No commit is written anew: pointers stay as they are, and the store learns every object they name. The order is what makes
//! it safe to interrupt: what is missing is fetched while the old configuration still stands, then everything goes into the
//! store, then the store has to prove that it has every object, and only then the configuration names it. Each step done
//! again finds its work done.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::bar::{Bar, bytes};
use crate::cli::commands::init::{self, Chosen};
use crate::cli::commands::install;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::relocation::{self, Edited};
use crate::cli::server::{SERVER_KEYS, Server, before};
use crate::cli::verdict::Verdict;
use crate::cli::{Context, paths, stores};
use crate::git::{Git, LFSCONFIG_FILE, MANIFEST_FILE, Operation, Repo, STORE_SCHEME, Scope, TreePointer};
use crate::id::Oid;
use crate::ops::receipt::UploadStats;
use crate::store::without_password;
use crate::transfer::{Inventory, NoSession, Pusher, Session};

/// Objects listed by name.
const SHOWN: usize = 20;

/// Bring the data of a git-lfs repository into a store
///
/// Fetches what is not on this machine from the server that the repository uses now, puts every object that any commit names
/// into the store, checks that the store has all of them, and only then sets the repository up for it, as `init` does. History
/// is not rewritten, and nothing is deleted anywhere. Interrupted, run it again; run twice, it changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon adopt-lfs --store /srv/data --dry-run\n  \
    git datamon adopt-lfs --store /srv/data\n  \
    git datamon adopt-lfs --from upstream --store /srv/data\n  \
    git datamon adopt-lfs --from https://example.org/data.git/info/lfs\n\n\
    Then: git commit -m 'Keep big files in datamon' && git push. The way back: git datamon leave")]
pub struct AdoptLfsArgs {
    /// Where the data is: a remote, or the URL of an LFS server. By default what git-lfs uses here now.
    #[arg(long, value_name = "REMOTE|URL")]
    from: Option<String>,

    /// The store, as in `init --store`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// Only what branches and tags hold now, not what they held before: older versions stay where they are.
    #[arg(long)]
    recent: bool,

    /// Go on where nobody has some of the objects any more. A server that does not answer is another matter.
    #[arg(long)]
    allow_missing: bool,

    /// Say what would be fetched and stored, change nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Brings everything in, then switches.
pub fn run(args: &AdoptLfsArgs, context: &Context) -> Result<(), CommandError> {
    let context = &context.aside(args.json);
    let repo = Repo::found_by(Git::at(&context.dir).aside(args.json))?;
    let top = init::writable_top(&repo)?;
    let chosen = Chosen::of(&repo, args.store.as_deref(), &context.dir)?;
    refuse_edited(&repo, top, &chosen.url)?;
    let server = Server::chosen(&repo, args.from.as_deref(), Operation::Download)?;
    let mut inventory = inventory(&repo, args.recent)?;
    inventory.look_here(&repo);
    if args.dry_run {
        return preview(args, &repo, inventory, &chosen.url, &server, context);
    }
    let set_up = install::for_repository(&repo, context)?;
    let (catalog, trusted) = chosen.open(&repo, context)?;
    if !trusted {
        return Err(NoSession::Untrusted { url: chosen.url }.into());
    }
    let store = catalog.identity().store;
    let mut staged = vec![init::name_repo(&repo, top)?];
    let session = Session::of(repo.clone(), catalog)?;
    inventory.look_in(&session.catalog, session.repo_id)?;
    let verdict = fetch(&repo, &inventory, &server, args.recent, context)?;
    let (lost, stats) = take_in(session, &inventory, context)?;
    report_lost(&lost, &verdict, args.allow_missing, context)?;

    remember(&repo)?;
    staged.push(chosen.write(&repo, top)?);
    chosen.pin(&repo)?;
    forget_pushurl(&repo, top)?;
    let staged = init::stage(&repo, top, &staged, init::KEEP, context)?;
    let hook = init::finish(&repo, context)?;
    if args.json {
        let missing: Vec<Value> = lost.iter().map(|(found, _)| object(found)).collect();
        context.ui.json(&json!({
            "dry_run": false, "store": store, "url": without_password(&chosen.url), "files": stats.files,
            "bytes": stats.logical, "known": stats.known, "new_bytes": stats.new_raw, "stored_bytes": stats.stored,
            "missing": missing, "staged": staged, "hook": hook, "set_up": set_up,
        }));
    }
    Ok(())
}

fn object(found: &TreePointer) -> Value {
    let mut object = Map::new();
    paths::put(&mut object, "path", &found.path);
    object.insert("oid".to_owned(), found.pointer.oid.to_string().into());
    object.insert("size".to_owned(), found.pointer.size.into());
    Value::Object(object)
}

/// Whoever edits `.lfsconfig` right now may mean another store than we do, and would commit our line with theirs.
fn refuse_edited(repo: &Repo, top: &Path, url: &str) -> Result<(), CommandError> {
    let ours = format!("{STORE_SCHEME}{url}");
    let fine = Edited::of(repo, top)? == Edited::No
        || repo.committed_value("lfs.url")?.as_deref() == Some(ours.as_bytes());
    if fine { Ok(()) } else { Err(Edited::error()) }
}

fn inventory(repo: &Repo, recent: bool) -> Result<Inventory, CommandError> {
    let inventory = if recent {
        Inventory::of_tips(&repo.objects()?)?
    } else {
        relocation::whole_inventory(repo).map_err(|error| match error.kind {
            Kind::Conflict => {
                error.hint("or only what branches and tags hold now: git datamon adopt-lfs --recent")
            }
            _ => error,
        })?
    };
    if inventory.pointers.is_empty() {
        return Err(CommandError::new(
            Kind::NotFound,
            "no commit here holds an LFS pointer: there is nothing to adopt",
        )
        .hint("to begin with big files: git datamon init --track '*.bin'")
        .hint("to make big files of a history pointers first: git lfs migrate import"));
    }
    Ok(inventory)
}

/// How many of these there are, and their bytes.
fn counted<'p>(pointers: impl Iterator<Item = &'p TreePointer>) -> (usize, u64) {
    pointers.fold((0, 0), |(count, size), found| (count + 1, size.saturating_add(found.pointer.size)))
}

fn preview(
    args: &AdoptLfsArgs,
    repo: &Repo,
    mut inventory: Inventory,
    url: &str,
    server: &Server,
    context: &Context,
) -> Result<(), CommandError> {
    match stores::find(url, &context.dir) {
        Ok(catalog) => inventory.look_in(&catalog, repo.manifest()?.repo)?,
        Err(error) if error.kind == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (all, here) = (counted(inventory.pointers.iter()), counted(inventory.here()));
    let (stored, lacking) = (counted(inventory.stored()), counted(inventory.lacking()));
    let server = server.shown(repo);
    if args.json {
        let of = |(files, bytes): (usize, u64)| json!({ "files": files, "bytes": bytes });
        context.ui.json(&json!({
            "dry_run": true, "url": without_password(url), "server": server, "files": all.0, "bytes": all.1,
            "here": of(here), "stored": of(stored), "to_fetch": of(lacking),
        }));
        return Ok(());
    }
    let line = |what: &str, (count, size): (usize, u64)| {
        context.ui.fact(&format!("{count} files, {} {what}", bytes(size)));
    };
    line("in all", all);
    line("on this machine", here);
    line(&format!("in the store {url}"), stored);
    line(&format!("to fetch from {server} first"), lacking);
    Ok(())
}

/// Lets git-lfs get what is neither here nor in the store, with the configuration of before. What it could not get is told when
/// all is counted.
fn fetch(
    repo: &Repo,
    inventory: &Inventory,
    server: &Server,
    recent: bool,
    context: &Context,
) -> Result<Verdict, CommandError> {
    let (count, size) = counted(inventory.lacking());
    if count == 0 {
        return Ok(Verdict::default());
    }
    if server.is_nowhere(repo) {
        return Ok(Verdict::of_nobody());
    }
    let into = repo.lfs_dir();
    context.ui.done(&format!(
        "fetch   {count} files, {} from {} into {}",
        bytes(size),
        server.shown(repo),
        into.display()
    ));
    let (remote, mut verdict) = (server.remote(repo), Verdict::default());
    let mut ask = |what: &[&str]| {
        // What the user leaves out of a checkout is not left behind.
        let filters = ["-c", "lfs.fetchinclude=", "-c", "lfs.fetchexclude="].map(OsString::from);
        let words = filters.into_iter().chain(server.git_lfs(what));
        repo.git().foreground_heard(words, &mut |line| verdict.hear(line))
    };
    if !recent {
        ask(&["fetch", "--all", &remote])?;
    }
    let commits = named_commits(repo, recent)?;
    if !commits.is_empty() {
        ask(&[&["fetch", &remote][..], &commits.iter().map(String::as_str).collect::<Vec<_>>()].concat())?;
    }
    Ok(verdict)
}

/// Commits that git-lfs has to be given by name: those that no ref leads to, or those at the tips.
fn named_commits(repo: &Repo, recent: bool) -> Result<Vec<String>, CommandError> {
    let objects = repo.objects()?;
    let mut commits: Vec<String> = objects.checkouts()?.iter().map(ToString::to_string).collect();
    if recent {
        commits.extend(objects.tips()?.iter().map(|tip| tip.commit.to_string()));
    } else if !commits.is_empty() {
        let apart =
            ["rev-list"].into_iter().chain(commits.iter().map(String::as_str)).chain(["--not", "--all"]);
        let listed = repo.git().run(apart)?;
        commits = String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect();
    }
    Ok(commits)
}

/// An object that did not go into the store, and why, where it is here.
type Lost<'i> = (&'i TreePointer, Option<String>);

/// Puts everything that is here into the store, in one upload. What its receipt does not list is nowhere.
fn take_in<'i>(
    session: Session,
    inventory: &'i Inventory,
    context: &Context,
) -> Result<(Vec<Lost<'i>>, UploadStats), CommandError> {
    let total = inventory.pointers.iter().map(|found| found.pointer.size).fold(0, u64::saturating_add);
    let bar = Bar::new("uploading", total, context.ui.is_quiet());
    let uploaded = Pusher::on(session, "", false).push_all(&inventory.pointers, None, None, &bar)?;
    bar.finish();
    let stats = &uploaded.stats;
    context.ui.done(&format!(
        "stored  {} files, {}, of which {} were there; {} new",
        stats.files,
        bytes(stats.logical),
        stats.known,
        bytes(stats.stored)
    ));
    let proven = |oid: &Oid| uploaded.receipt.oids.contains(oid);
    let why = |oid: &Oid| {
        uploaded.failed.iter().find(|failed| failed.oid == Some(*oid)).map(|failed| failed.error.to_string())
    };
    let lost = inventory.pointers.iter().filter(|found| !proven(&found.pointer.oid));
    Ok((lost.map(|found| (found, why(&found.pointer.oid))).collect(), *stats))
}

/// Lists what is lost. Only what nobody has can be done without: what a server might give tomorrow, and what is damaged here,
/// stops it.
fn report_lost(
    lost: &[Lost<'_>],
    verdict: &Verdict,
    allowed: bool,
    context: &Context,
) -> Result<(), CommandError> {
    if lost.is_empty() {
        return Ok(());
    }
    let absent = |found: &TreePointer| verdict.is_absent(&found.pointer.oid);
    for (found, why) in lost.iter().take(SHOWN) {
        let nowhere = if absent(found) {
            "neither on this machine nor on the server"
        } else {
            "git-lfs could not fetch it"
        };
        context.ui.finding(&format!(
            "missing {} {} ({}): {}",
            found.pointer.oid,
            found.path,
            bytes(found.pointer.size),
            why.as_deref().unwrap_or(nowhere)
        ));
    }
    if lost.len() > SHOWN {
        context.ui.finding(&format!("        and {} more", lost.len() - SHOWN));
    }
    let damaged = lost.iter().filter(|(_, why)| why.is_some()).count();
    let unfetched = lost.iter().filter(|(found, why)| why.is_none() && !absent(found)).count();
    if allowed && damaged + unfetched == 0 {
        context.ui.warning(&format!(
            "{} objects are missing; commits that need them cannot be checked out",
            lost.len()
        ));
        return Ok(());
    }
    Err(refusal(lost.len(), damaged, unfetched, verdict))
}

fn refusal(lost: usize, damaged: usize, unfetched: usize, verdict: &Verdict) -> CommandError {
    let kind = match (damaged, unfetched) {
        (0, 0) => Kind::NotFound,
        (0, _) => Kind::Unreachable,
        _ => Kind::Integrity,
    };
    let message = format!(
        "{lost} objects are missing: the repository stays as it was, but for {MANIFEST_FILE}, by which the next try finds what \
         is in the store by now"
    );
    let mut error = CommandError::new(kind, message);
    if damaged > 0 {
        error = error
            .hint("`git lfs fsck` puts damaged objects aside; then repeat the command to fetch them anew");
    }
    if unfetched > 0 {
        let said = verdict.complaint().unwrap_or("nothing");
        error = error.hint(format!(
            "git-lfs could not fetch {unfetched} of them, and said: {said}; when it can, repeat the command"
        ));
    }
    error = error.hint("get them here from a clone or server that has them (--from), and repeat the command");
    if damaged + unfetched == 0 { error.hint("or go on without them: --allow-missing") } else { error }
}

/// What named the old server is kept in this clone, for `git datamon leave`.
fn remember(repo: &Repo) -> Result<(), CommandError> {
    for key in SERVER_KEYS {
        let own = repo.config().get_in(Scope::Local, key).map(<[u8]>::to_vec);
        for (value, committed) in [(own, false), (repo.committed_value(key)?, true)] {
            let other = value.filter(|value| !value.starts_with(STORE_SCHEME.as_bytes()));
            if let Some(value) = other {
                repo.git().set_config(
                    Scope::Local,
                    &before(key, committed),
                    &String::from_utf8_lossy(&value),
                )?;
            }
        }
    }
    Ok(())
}

/// It would lead uploads past the store.
fn forget_pushurl(repo: &Repo, top: &Path) -> Result<(), CommandError> {
    let key = SERVER_KEYS[1];
    let is_other = |value: &[u8]| !value.starts_with(STORE_SCHEME.as_bytes());
    if repo.config().get_in(Scope::Local, key).is_some_and(is_other) {
        repo.git().unset_config(Scope::Local, key)?;
    }
    if repo.committed_value(key)?.is_some_and(|value| is_other(&value)) {
        repo.git().unset_file_config(&top.join(LFSCONFIG_FILE), key)?;
    }
    Ok(())
}

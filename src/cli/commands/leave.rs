//! `git datamon leave`: the way back to an ordinary LFS server.
//!
//! The mirror image of `adopt-lfs`: everything is fetched from the store, git-lfs pushes it to the server, and only when the
//! server took it the configuration is put back. Then git-lfs is asked where it would go now: if that is not where the data
//! went, the configuration of before comes back. The store keeps what it has.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::bar::{Bar, bytes};
use crate::cli::commands::commit::PUSH_WITHOUT;
use crate::cli::commands::init;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::relocation::{self, Edited};
use crate::cli::server::{self, SERVER_KEYS, Server, before};
use crate::cli::{Context, stores};
use crate::git::{
    Git, Hooks, LFSCONFIG_FILE, MANIFEST_FILE, Operation, Place, Repo, STORE_SCHEME, Scope, Source, StoreUrl,
};
use crate::store::without_password;
use crate::transfer::{Hydrated, Hydration, Inventory, NoSession, Session, Site};

/// Take the data of a repository back to an ordinary LFS server
///
/// Fetches every object that any commit names from the store, lets git-lfs push all of them to the server, and then sets the
/// repository up as it was before the store. Nothing is deleted from the store.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon leave                  to where the data was before `adopt-lfs`, else to the server of the remote\n  \
    git datamon leave --to https://example.org/data.git/info/lfs\n  \
    git datamon leave --to /srv/data.git\n\n\
    Then: git commit -m 'Keep big files on the LFS server' && git push")]
pub struct LeaveArgs {
    /// The server: a remote, the URL of an LFS server, or the path of a repository. Its URL is written into `.lfsconfig`.
    #[arg(long, value_name = "REMOTE|URL")]
    to: Option<String>,

    /// Go on where the store lacks some of the objects.
    #[arg(long)]
    allow_missing: bool,

    /// Say what would be fetched and pushed, change nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Brings everything out, then switches back.
pub fn run(args: &LeaveArgs, context: &Context) -> Result<(), CommandError> {
    let context = &context.aside(args.json);
    let repo = Repo::found_by(Git::at(&context.dir).aside(args.json))?;
    let top = init::writable_top(&repo)?;
    let remote = repo.push_remote();
    let store = repo.store_url(&remote, Operation::Download)?;
    if is_unfinished(&repo, store.as_ref())? {
        return finish(&repo, top, context);
    }
    let store = store.ok_or(NoSession::NoStore)?;
    let server = Server::chosen(&repo, args.to.as_deref(), Operation::Upload)?;
    refuse_edited(&repo, top)?;
    let mut inventory = relocation::whole_inventory(&repo)?;
    inventory.look_here(&repo);
    if !args.dry_run {
        put_bad_aside(&repo, &mut inventory, context)?;
    }
    // Without the pin that the first download makes.
    let session = Session::of(repo.clone(), stores::find(&store.url, &context.dir)?)?;
    let site = Site::on(session, &remote)?;
    let hydration = Hydration::of(site, inventory.pointers.iter().map(|found| found.pointer));
    if args.dry_run {
        preview(args, &hydration, inventory.pointers.len(), &server.shown(&repo), context);
        return Ok(());
    }
    let got = fetch(hydration, args.allow_missing, context)?;
    let pushed = push(&repo, inventory, &server, context)?;
    restore(&repo, top, &store.url, &server, args.to.is_some(), context)?;
    if args.json {
        let missing: Vec<String> = got.failed.iter().map(|(oid, _)| oid.to_string()).collect();
        context.ui.json(&json!({
            "dry_run": false, "server": server.shown(&repo), "files": pushed, "fetched_files": got.files,
            "fetched_bytes": got.bytes, "missing": missing,
        }));
    }
    Ok(())
}

fn preview(args: &LeaveArgs, hydration: &Hydration, count: usize, server: &str, context: &Context) {
    let (files, size) = (hydration.files(), hydration.bytes());
    if args.json {
        context.ui.json(&json!({
            "dry_run": true, "server": server, "files": count, "fetched_files": files, "fetched_bytes": size,
        }));
        return;
    }
    context.ui.fact(&format!("{files} files, {} to fetch from the store first", bytes(size)));
    context.ui.fact(&format!("{count} files to push to {server}"));
}

/// What is staged the user means to commit; other edits would go along with ours. A file that is not there cannot be put back.
fn refuse_edited(repo: &Repo, top: &Path) -> Result<(), CommandError> {
    let elsewhere = repo.top_file(LFSCONFIG_FILE)?.is_some_and(|file| file.place != Place::WorkTree);
    if elsewhere || Edited::of(repo, top)? == Edited::Unstaged { Err(Edited::error()) } else { Ok(()) }
}

/// Git-lfs pushes what it has under an object's name, whatever it is.
fn put_bad_aside(repo: &Repo, inventory: &mut Inventory, context: &Context) -> Result<(), CommandError> {
    let total = inventory.here().map(|found| found.pointer.size).fold(0, u64::saturating_add);
    let bar = Bar::new("checking", total, context.ui.is_quiet());
    let folder = repo.lfs_dir().join("bad");
    let bad = inventory.put_bad_aside(repo, &bar).map_err(|error| {
        let message = format!("cannot put damaged objects aside into {}: {error}", folder.display());
        CommandError::new(Kind::Failed, message)
    })?;
    bar.finish();
    for found in bad {
        let (oid, path) = (found.pointer.oid, found.path);
        context.ui.warning(&format!("{oid} ({path}) is damaged here: put aside into {}", folder.display()));
    }
    Ok(())
}

fn fetch(hydration: Hydration, allow_missing: bool, context: &Context) -> Result<Hydrated, CommandError> {
    if hydration.files() == 0 {
        return Ok(Hydrated::default());
    }
    let bar = Bar::new("fetching", hydration.bytes(), context.ui.is_quiet());
    let got = hydration.run(&bar)?;
    bar.finish();
    context.ui.done(&format!("fetched {} files, {}", got.files, bytes(got.bytes)));
    for (oid, why) in &got.failed {
        context.ui.warning(&format!("{oid}: {why}"));
    }
    if got.failed.is_empty() || allow_missing {
        return Ok(got);
    }
    let message = format!("{} objects are missing: the repository stays as it was", got.failed.len());
    let kind = Kind::worst(got.failed.iter().map(|(_, why)| Kind::of_unfetched(why)));
    Err(CommandError::new(kind, message).hint("to go on without them: --allow-missing"))
}

/// Every object by its name: `git lfs push --all` leaves out what only a remote's branches hold. How many there were.
fn push(
    repo: &Repo,
    mut inventory: Inventory,
    server: &Server,
    context: &Context,
) -> Result<usize, CommandError> {
    inventory.look_here(repo);
    let oids: Vec<String> = inventory.here().map(|found| found.pointer.oid.to_string()).collect();
    if oids.is_empty() {
        return Ok(0);
    }
    let shown = server.shown(repo);
    context.ui.done(&format!("push    {} files to {shown}", oids.len()));
    let command = server.git_lfs(&["push", "--object-id", "--stdin", &server.remote(repo)]);
    if repo.git().foreground(command, (oids.join("\n") + "\n").as_bytes())?.success() {
        return Ok(oids.len());
    }
    Err(CommandError::new(
        Kind::Unreachable,
        format!("{shown} did not take everything: the repository stays as it was"),
    )
    .hint("mend what git-lfs says above, then repeat the command"))
}

/// Leads this clone and, by `.lfsconfig`, those that follow to the server, if git-lfs then really goes there.
fn restore(
    repo: &Repo,
    top: &Path,
    store: &str,
    server: &Server,
    typed: bool,
    context: &Context,
) -> Result<(), CommandError> {
    let former = Former::of(repo, top);
    repo.set_left(Some(store))?;
    if let Err(error) = switch(repo, top, server, typed, context).and_then(|()| check(server, context)) {
        former.put_back(repo)?;
        return Err(error.hint("the configuration is as it was; the server has the data"));
    }
    finish(repo, top, context)
}

/// Whether an earlier run was ended when it had led this clone to the server: all that is left is to clear away.
fn is_unfinished(repo: &Repo, named: Option<&StoreUrl>) -> Result<bool, CommandError> {
    let Some(left) = repo.left_store() else { return Ok(false) };
    if repo.pinned_store()?.is_some() {
        return Ok(false);
    }
    // An empty `.lfsconfig` is taken away before it is committed: then that of HEAD is read.
    let of_head =
        |it: &StoreUrl| it.from == Source::Lfsconfig(Place::Head) && crate::store::is_same(&it.url, &left);
    if named.is_some_and(|it| !of_head(it)) {
        return Ok(false);
    }
    let set = |key: &str| repo.config().get_in(Scope::Local, key).is_some();
    let remembered = SERVER_KEYS.iter().any(|key| set(&before(key, false)) || set(&before(key, true)));
    Ok(remembered
        || repo.config().get_in(Scope::Local, PUSH_WITHOUT) == Some(b"true")
        || Hooks::of(repo)?.installed()?)
}

/// What is left to do once git-lfs goes to the server. It can be done again.
fn finish(repo: &Repo, top: &Path, context: &Context) -> Result<(), CommandError> {
    tidy(&repo.git().clone().moved_to(top), &top.join(LFSCONFIG_FILE))?;
    for key in SERVER_KEYS {
        for committed in [false, true] {
            repo.git().unset_config(Scope::Local, &before(key, committed))?;
        }
    }
    context
        .ui
        .done(&format!("staged  {LFSCONFIG_FILE}; {MANIFEST_FILE} stays, for coming back to the same repo"));
    if Hooks::of(repo)?.uninstall()? {
        context.ui.done("hook    that of git-lfs, or yours");
    }
    // Nobody proves any more that a server has what is not here.
    if repo.config().get_in(Scope::Local, PUSH_WITHOUT) == Some(b"true") {
        repo.git().unset_config(Scope::Local, PUSH_WITHOUT)?;
    }
    context.ui.hint("git commit -m 'Keep big files on the LFS server'");
    context.ui.hint("in other clones, when they have pulled it: git config --unset lfs.url");
    Ok(())
}

/// What a key is to be: where the user named the server, that and nothing else; otherwise what it was before the store, or
/// what it is beside it.
fn wanted(repo: &Repo, key: &str, committed: bool, server: &Server, typed: bool) -> Option<String> {
    match server {
        Server::At(url) if typed => return (key == "lfs.url" && committed).then(|| url.clone()),
        _ => {}
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let remembered = repo.config().get_in(Scope::Local, &before(key, committed)).map(text);
    let own = || repo.config().get_in(Scope::Local, key).map(text);
    let now = || if committed { server::committed(repo, key) } else { own() };
    remembered.or_else(now).filter(|url| !url.starts_with(STORE_SCHEME))
}

/// `.lfsconfig` first, the pin last: while the clone is pinned, this command can be repeated.
fn switch(
    repo: &Repo,
    top: &Path,
    server: &Server,
    typed: bool,
    context: &Context,
) -> Result<(), CommandError> {
    let (git, file) = (repo.git(), top.join(LFSCONFIG_FILE));
    for key in SERVER_KEYS {
        match wanted(repo, key, true, server, typed) {
            Some(url) => {
                let shown = without_password(&url);
                if shown != url {
                    let text = format!("{LFSCONFIG_FILE} gets {shown} without the user and password");
                    context.ui.warning(&text);
                    context.ui.hint("git asks for them, or has them from a credential helper");
                }
                git.set_file_config(&file, key, &shown)?;
            }
            None if file.exists() => drop(git.unset_file_config(&file, key)?),
            None => {}
        }
    }
    stage(&git.clone().moved_to(top), &file)?;
    for key in SERVER_KEYS.into_iter().rev() {
        match wanted(repo, key, false, server, typed) {
            Some(url) => git.set_config(Scope::Local, key, &url)?,
            None => drop(git.unset_config(Scope::Local, key)?),
        }
    }
    Ok(())
}

fn stage(here: &Git, file: &Path) -> Result<(), CommandError> {
    if file.exists() {
        here.run(["add", "--", LFSCONFIG_FILE])?;
    }
    Ok(())
}

/// Takes an empty `.lfsconfig` away. Not before git-lfs was asked: without the file it reads the one of HEAD, which names the
/// store until the user commits.
fn tidy(here: &Git, file: &Path) -> Result<(), CommandError> {
    if std::fs::read(file).is_ok_and(|bytes| bytes.trim_ascii().is_empty()) {
        here.run(["rm", "--quiet", "--force", "--ignore-unmatch", "--", LFSCONFIG_FILE])?;
        // It may not have been committed yet.
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}

/// Keys that we do not write lead uploads too: those of the user, of a remote, and what is given by `-c`.
fn check(server: &Server, context: &Context) -> Result<(), CommandError> {
    let repo = Repo::discover(&context.dir)?;
    if server.is_used_by(&repo)? {
        return Ok(());
    }
    let message = format!("the data went to {}, but git-lfs would go elsewhere", server.shown(&repo));
    Err(match repo.lfs_url("", Operation::Upload)? {
        Some(found) => {
            let (key, from) = (&found.key, found.from.described());
            CommandError::new(Kind::Conflict, format!("{message}: {key} in {from} is {found}"))
                .hint(format!("{}, then repeat the command", found.unset()))
        }
        None => CommandError::new(Kind::Conflict, message).hint("git lfs env"),
    })
}

/// The configuration before the switch.
struct Former {
    file: PathBuf,
    lfsconfig: Option<Vec<u8>>,
    left: Option<String>,
    own: Vec<(&'static str, Option<String>)>,
}

impl Former {
    fn of(repo: &Repo, top: &Path) -> Former {
        let file = top.join(LFSCONFIG_FILE);
        let own = |key| {
            let value = repo.config().get_in(Scope::Local, key);
            (key, value.map(|value| String::from_utf8_lossy(value).into_owned()))
        };
        let lfsconfig = std::fs::read(&file).ok();
        Former { file, lfsconfig, left: repo.left_store(), own: SERVER_KEYS.map(own).to_vec() }
    }

    fn put_back(&self, repo: &Repo) -> Result<(), CommandError> {
        for (key, value) in &self.own {
            match value {
                Some(value) => repo.git().set_config(Scope::Local, key, value)?,
                None => drop(repo.git().unset_config(Scope::Local, key)?),
            }
        }
        repo.set_left(self.left.as_deref())?;
        let bytes = self.lfsconfig.as_deref().unwrap_or_default();
        let lost = |error| {
            let message = format!("cannot put {} back: {error}", self.file.display());
            CommandError::new(Kind::Failed, message)
                .hint(format!("git restore --staged --worktree {LFSCONFIG_FILE}"))
        };
        std::fs::write(&self.file, bytes).map_err(lost)?;
        let here = repo.git().clone().moved_to(self.file.parent().unwrap_or(&self.file));
        stage(&here, &self.file)?;
        tidy(&here, &self.file)
    }
}

//! `git datamon leave`: the way back to an ordinary LFS server.
//!
//! The mirror image of `adopt-lfs`: everything is fetched from the store, git-lfs pushes it to the server, and only when the
//! server took it the configuration is put back. The store keeps what it has.

use std::path::Path;

use clap::Args;

use crate::cli::Context;
use crate::cli::bar::{Bar, bytes};
use crate::cli::commands::init;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::server::{SERVER_KEYS, Server, before};
use crate::git::{Hooks, LFSCONFIG_FILE, Operation, Repo, STORE_SCHEME, Scope};
use crate::transfer::{Hydration, Inventory, NoSession, Session};

/// Take the data of a repository back to an ordinary LFS server
///
/// Fetches every object that any commit names from the store, lets git-lfs push all of them to the server, and then sets the
/// repository up as it was before the store. Nothing is deleted from the store.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon leave                  to where the data was before `adopt-lfs`, else to the server of the remote\n  \
    git datamon leave --to https://example.org/data.git/info/lfs\n\n\
    Then: git commit -m 'Keep big files on the LFS server' && git push")]
pub struct LeaveArgs {
    /// The server: a remote, or the URL of an LFS server.
    #[arg(long, value_name = "REMOTE|URL")]
    to: Option<String>,

    /// Go on where the store lacks some of the objects.
    #[arg(long)]
    allow_missing: bool,

    /// Say what would be fetched and pushed, change nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Brings everything out, then switches back.
pub fn run(args: &LeaveArgs, context: &Context) -> Result<(), CommandError> {
    let repo = Repo::discover(&context.dir)?;
    let top = init::writable_top(&repo)?;
    if repo.store_url("", Operation::Download)?.is_none() {
        return Err(NoSession::NoStore.into());
    }
    let server = Server::chosen(&repo, args.to.as_deref(), Operation::Upload)?;
    if let Some(lack) = repo.lack()? {
        return Err(CommandError::new(Kind::Conflict, lack.to_string()).hint(lack.remedy()));
    }
    let inventory = Inventory::of_history(&repo.objects()?.only_local())?;
    let session = Session::open(&context.dir, "", Operation::Download)?;
    let hydration = Hydration::of(session, inventory.pointers.iter().map(|found| found.pointer));
    if args.dry_run {
        let (files, size) = (hydration.files(), bytes(hydration.bytes()));
        context.ui.fact(&format!("{files} files, {size} to fetch from the store first"));
        context.ui.fact(&format!("{} files to push to {}", inventory.pointers.len(), server.shown(&repo)));
        return Ok(());
    }
    fetch(hydration, args.allow_missing, context)?;
    push(&repo, inventory, &server, context)?;
    restore(&repo, top, args.to.as_deref(), context)
}

fn fetch(hydration: Hydration, allow_missing: bool, context: &Context) -> Result<(), CommandError> {
    if hydration.files() == 0 {
        return Ok(());
    }
    let bar = Bar::new("fetching", hydration.bytes(), context.ui.is_quiet());
    let got = hydration.run(&bar)?;
    bar.finish();
    context.ui.done(&format!("fetched {} files, {}", got.files, bytes(got.bytes)));
    for (oid, why) in &got.failed {
        context.ui.warning(&format!("{oid}: {why}"));
    }
    if got.failed.is_empty() || allow_missing {
        return Ok(());
    }
    let message = format!("{} objects are missing: the repository stays as it was", got.failed.len());
    Err(CommandError::new(Kind::NotFound, message).hint("to go on without them: --allow-missing"))
}

/// Every object by its name: `git lfs push --all` leaves out what only a remote's branches hold.
fn push(
    repo: &Repo,
    mut inventory: Inventory,
    server: &Server,
    context: &Context,
) -> Result<(), CommandError> {
    inventory.look_here(repo);
    let oids: Vec<String> = inventory.here().map(|found| found.pointer.oid.to_string()).collect();
    if oids.is_empty() {
        return Ok(());
    }
    let shown = server.shown(repo);
    context.ui.done(&format!("push    {} files to {shown}", oids.len()));
    let command = server.git_lfs(&["push", "--object-id", "--stdin", &server.remote(repo)]);
    if repo.git().foreground(command, (oids.join("\n") + "\n").as_bytes())?.success() {
        return Ok(());
    }
    Err(CommandError::new(
        Kind::Unreachable,
        format!("{shown} did not take everything: the repository stays as it was"),
    )
    .hint("what git-lfs said stands above; then repeat the command"))
}

/// Puts back what `adopt-lfs` remembered, in `.lfsconfig` first: while the clone is pinned, this command can be repeated.
fn restore(repo: &Repo, top: &Path, typed: Option<&str>, context: &Context) -> Result<(), CommandError> {
    let git = repo.git();
    let remembered = |key: &str, committed| {
        let value = repo.config().get_in(Scope::Local, &before(key, committed));
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let file = top.join(LFSCONFIG_FILE);
    let typed_url = typed.filter(|typed| repo.server_of(typed).is_none()).map(str::to_owned);
    for key in SERVER_KEYS {
        let url = if key == "lfs.url" { typed_url.clone() } else { None };
        match url.or_else(|| remembered(key, true)) {
            Some(url) => git.set_file_config(&file, key, &url)?,
            None if file.exists() => drop(git.unset_file_config(&file, key)?),
            None => {}
        }
    }
    stage(repo, top, &file, context)?;
    for key in SERVER_KEYS {
        match remembered(key, false).filter(|_| typed.is_none()) {
            Some(url) => git.set_config(Scope::Local, key, &url)?,
            None if is_ours(repo.config().get_in(Scope::Local, key)) => {
                git.unset_config(Scope::Local, key)?;
            }
            None => {}
        }
        for committed in [false, true] {
            git.unset_config(Scope::Local, &before(key, committed))?;
        }
    }
    if Hooks::of(repo)?.uninstall()? {
        context.ui.done("hook    that of git-lfs, or yours");
    }
    Ok(())
}

fn is_ours(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| value.starts_with(STORE_SCHEME.as_bytes()))
}

fn stage(repo: &Repo, top: &Path, file: &Path, context: &Context) -> Result<(), CommandError> {
    let here = repo.git().clone().moved_to(top);
    if std::fs::read(file).is_ok_and(|bytes| bytes.trim_ascii().is_empty()) {
        here.run(["rm", "--quiet", "--force", "--ignore-unmatch", "--", LFSCONFIG_FILE])?;
        // It may not have been committed yet.
        let _ = std::fs::remove_file(file);
    } else if file.exists() {
        here.run(["add", "--", LFSCONFIG_FILE])?;
    }
    context.ui.done(&format!("staged  {LFSCONFIG_FILE}"));
    context
        .ui
        .hint("git commit -m 'Keep big files on the LFS server'; other clones follow when they pull it");
    Ok(())
}

//! `git datamon install`: once per machine, so that git-lfs finds the agent by the URL of the store.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, man};
use crate::git::{Git, Repo, Scope};

/// The agent's configuration. One process: git-lfs would start eight, one after the other, for a single file.
pub const KEYS: [(&str, &str); 3] = [
    ("lfs.customtransfer.datamon.args", "lfs-agent"),
    ("lfs.customtransfer.datamon.concurrent", "false"),
    ("lfs.datamon::.standalonetransferagent", "datamon"),
];

/// Where git-lfs finds the agent.
pub const PATH_KEY: &str = "lfs.customtransfer.datamon.path";

/// Make git-lfs use git-datamon for every store whose URL starts with `datamon::`
///
/// Writes a few lines to your git configuration, lets git-lfs install its filters, and writes the manual pages. Repositories
/// that do not name a `datamon::` store are not touched. Doing it again repairs what changed, as after a move of the program.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon install\n  \
    sudo git datamon install --system    for every user of this machine\n  \
    git datamon install --uninstall")]
pub struct InstallArgs {
    /// For every user of this machine.
    #[arg(long)]
    system: bool,

    /// Where the manual pages belong, instead of where `man` looks for this user's or this machine's.
    #[arg(long, value_name = "DIR")]
    man_dir: Option<PathBuf>,

    /// Take it back. Data and repositories stay as they are; git-lfs keeps its filters.
    #[arg(long)]
    uninstall: bool,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Installs, or takes back.
pub fn run(args: &InstallArgs, context: &Context) -> Result<(), CommandError> {
    let context = &context.aside(args.json);
    let git = Git::at(&context.dir);
    let scope = if args.system { Scope::System } else { Scope::Global };
    let executable = executable()?;
    let usual = || man::directory(args.system, &executable, std::env::home_dir().as_deref());
    let manual = args.man_dir.as_ref().map(|dir| context.dir.join(dir)).or_else(usual);
    if args.uninstall {
        uninstall(&git, scope, manual.as_deref(), context)?;
        tell(args, None, None, context);
        return Ok(());
    }

    let path = plain(&executable)?;
    install_filters(&git, scope)?;
    install_agent(&git, scope, path)?;
    forget_here(&git)?;
    context.ui.done(&format!("git-lfs now runs {path} for datamon:: stores"));
    if on_path("git-datamon").is_none() {
        context.ui.warning("git-datamon is not on PATH: `git datamon` will not be found");
        if let Some(dir) = executable.parent() {
            context.ui.hint(&format!("add {} to PATH", dir.display()));
        }
    }
    if let Some(manual) = &manual {
        write_manual(manual, context);
    }
    context.ui.hint("next, in a repository: git datamon init --track '*.bin'");
    tell(args, Some(path), manual.as_deref(), context);
    Ok(())
}

fn tell(args: &InstallArgs, agent: Option<&str>, manual: Option<&Path>, context: &Context) {
    if args.json {
        context.ui.json(&json!({
            "installed": agent.is_some(), "scope": if args.system { "system" } else { "global" }, "agent": agent,
            "on_path": on_path("git-datamon").is_some(), "manual": manual.map(|it| it.to_string_lossy()),
        }));
    }
}

/// Sets up this repository alone where the machine is not: without the filters git itself would take the big files. Whether it did.
pub fn for_repository(repo: &Repo, context: &Context) -> Result<bool, CommandError> {
    let (filters, agent) = (repo.has_lfs_filter(), repo.config().get(PATH_KEY).is_some());
    if filters && agent {
        return Ok(false);
    }
    if !filters {
        install_filters(repo.git(), Scope::Local)?;
    }
    if !agent {
        let executable = executable()?;
        // By its name, where it is found so: that stays right when the program moves.
        let named = on_path("git-datamon").is_some_and(|path| path == executable);
        install_agent(repo.git(), Scope::Local, if named { "git-datamon" } else { plain(&executable)? })?;
    }
    context.ui.done("set up  git-lfs for this repository, as it was not for you");
    context.ui.hint("for your other repositories and clones, once on this machine: git datamon install");
    Ok(true)
}

/// Where the program lies that git-lfs is told to run, if it is there.
pub fn agent(named: &Path) -> Option<PathBuf> {
    let bare = named.components().count() == 1;
    let path = if bare { on_path(named.to_str()?) } else { Some(named.to_owned()) };
    path.filter(|path| path.is_file())
}

fn plain(executable: &Path) -> Result<&str, CommandError> {
    executable.to_str().filter(|path| !path.contains(char::is_control)).ok_or_else(|| {
        let message = format!("git configuration cannot hold the path of this program, {executable:?}");
        CommandError::new(Kind::Failed, message).hint("move it to a path of plain text")
    })
}

fn install_agent(git: &Git, scope: Scope, path: &str) -> Result<(), CommandError> {
    git.set_config(scope, PATH_KEY, path)?;
    KEYS.iter().try_for_each(|(key, value)| git.set_config(scope, key, value))?;
    Ok(())
}

/// Takes back what `init` wrote into a repository, where the command runs in one: it would count before what the machine says.
fn forget_here(git: &Git) -> Result<bool, CommandError> {
    match Repo::found_by(git.clone()) {
        Ok(repo) if repo.config().get_in(Scope::Local, PATH_KEY).is_some() => {
            uninstall_agent(git, Scope::Local)
        }
        _ => Ok(false),
    }
}

/// Whether there was one.
fn uninstall_agent(git: &Git, scope: Scope) -> Result<bool, CommandError> {
    let mut found = git.unset_config(scope, PATH_KEY)?;
    for (key, _) in KEYS {
        found |= git.unset_config(scope, key)?;
    }
    Ok(found)
}

fn uninstall(git: &Git, scope: Scope, manual: Option<&Path>, context: &Context) -> Result<(), CommandError> {
    let found = uninstall_agent(git, scope)? | forget_here(git)?;
    if let Some(manual) = manual
        && let Err(error) = man::remove(manual)
    {
        context.ui.warning(&format!("cannot remove the manual pages in {}: {error}", manual.display()));
    }
    context.ui.done(if found {
        "git-lfs no longer runs git-datamon"
    } else {
        "git-datamon was not installed"
    });
    Ok(())
}

/// The clean and smudge filters. Hooks are left to `init`: here git-lfs would refuse where a repository has its own.
fn install_filters(git: &Git, scope: Scope) -> Result<(), CommandError> {
    // For the user it is what git-lfs does by itself.
    let flag = scope.flag().filter(|_| scope != Scope::Global);
    git.run(["lfs", "install", "--skip-repo"].into_iter().chain(flag)).map(drop).map_err(|error| {
        CommandError::from(error)
            .hint("git-datamon needs git-lfs 3.0 or later: see https://git-lfs.com, or your package manager")
            .hint("if the filters are set to something else on purpose: git lfs install --skip-repo --force")
    })
}

fn write_manual(directory: &Path, context: &Context) {
    let shown = directory.display();
    match man::write(directory) {
        // Nothing else depends on the pages.
        Err(error) => context.ui.warning(&format!("cannot write the manual pages to {shown}: {error}")),
        Ok(()) => context.ui.detail(&format!("manual pages: {shown}")),
    }
    let (path, manpath) = (std::env::var_os("PATH"), std::env::var_os("MANPATH"));
    if !man::is_searched(directory, path.as_deref(), manpath.as_deref()) {
        context
            .ui
            .hint(&format!("for `git datamon --help`, let man look in {shown}: export MANPATH={shown}:"));
    }
}

/// This program by a path that outlives an upgrade: the one on PATH, if that is this program.
pub fn executable() -> Result<PathBuf, CommandError> {
    let this = std::env::current_exe().and_then(|path| path.canonicalize()).map_err(|error| {
        CommandError::new(Kind::Failed, format!("cannot tell where this program lies: {error}"))
    })?;
    let same = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == this);
    Ok(on_path("git-datamon").filter(same).unwrap_or(this))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(&file))
        .find(|path| path.is_file())
}

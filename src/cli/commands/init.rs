//! `git datamon init`: once per repository.
//!
//! Everything it writes is written once: a file that already says what is needed stays as it is, and a file that says
//! something else is never overwritten. Each step is of use alone, so an interrupted run is finished by the next one.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::catalog::Catalog;
use crate::cli::commands::install;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::{
    Hooks, Install, LFSCONFIG_FILE, MANIFEST_FILE, Manifest, Repo, STORE_SCHEME, Scope, StoreUrl, TopFile,
};
use crate::id::RepoId;
use crate::ops::{kinship, trust, upload};
use crate::store::{LOCAL, is_same, without_password};

/// The file that tells git which files are big.
const ATTRIBUTES_FILE: &str = ".gitattributes";

/// The message of a commit that sets a repository up.
pub const KEEP: &str = "Keep big files in datamon";

/// The longest name of a repo made from a directory's, bytes.
const LONGEST_NAME: usize = 255;

/// Keep the big files of this repository in a store
///
/// Writes and stages `.lfsconfig` (which store), `datamon.toml` (which repo in it) and, with --track, `.gitattributes` (which
/// files); pins the store in `.git/config`; puts a pre-push hook in place that keeps the one you have. Makes the store if it
/// is not there. Where `git datamon install` was not run yet, it sets up git-lfs for this repository. Doing it again changes
/// nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon init --track '*.bin'                          a store in your data directory\n  \
    git datamon init --store /srv/data --track '*.bin' --track 'models/**'\n\n\
    Then: git commit -m 'Keep big files in datamon'")]
pub struct InitArgs {
    /// The store: a directory, a URL, or `local` for a directory of your own. By default what the repository names, else
    /// `local`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,

    /// Keep files of this pattern in the store, as `git lfs track` does.
    #[arg(long, value_name = "PATTERN")]
    track: Vec<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Sets the repository up.
pub fn run(args: &InitArgs, context: &Context) -> Result<(), CommandError> {
    let context = &context.aside(args.json);
    let repo = Repo::discover(&context.dir)?;
    let top = writable_top(&repo)?;
    let chosen = Chosen::of(&repo, args.store.as_deref(), &context.dir)?;
    if let Some(server) = other_server(&repo)? {
        return Err(CommandError::new(Kind::Conflict, format!("this repository keeps its data on {server}"))
            .hint("to bring all of it into a store: git datamon adopt-lfs --store <directory or URL>"));
    }
    let set_up = install::for_repository(&repo, context)?;
    let (mut found, trusted) = chosen.open(&repo, context)?;
    if !trusted {
        context.ui.hint("this repository names the store; before you upload to it: git datamon trust");
    }

    let is_clone = repo.manifest()? != Manifest::NONE && !repo.remotes().is_empty();
    let mut staged = vec![chosen.write(&repo, top)?, name_repo(&repo, top)?];
    let manifest = repo.manifest()?;
    // So that the first push is one entry.
    if trusted {
        upload::name_repo(&mut found, manifest.repo, manifest.name.as_deref().unwrap_or("data"))?;
        // What nobody has made a version of is this repository's from now on.
        for dataset in manifest.datasets() {
            if let Err(stranger) = kinship::check(&repo, &repo.objects()?, &found, dataset.repo) {
                context.ui.warning(&stranger.to_string());
            }
        }
    }
    staged.extend(track(&repo, top, &args.track)?);
    let staged = stage(&repo, top, &staged, KEEP, context)?;
    chosen.pin(&repo)?;
    let hook = finish(&repo, context)?;
    if is_clone && !repo.has_notes() {
        context.ui.hint("for what others have written down of versions: git datamon notes sync");
    }
    if args.json {
        context.ui.json(&json!({
            "store": found.identity().store, "url": without_password(&chosen.url), "trusted": trusted,
            "repo": manifest.repo, "repo_name": manifest.name, "staged": staged, "hook": hook, "set_up": set_up,
        }));
    }
    Ok(())
}

/// The hook and the notes; what is to be said of the hook.
pub fn finish(repo: &Repo, context: &Context) -> Result<&'static str, CommandError> {
    let hook = install_hook(repo, context)?;
    repo.configure_notes()?;
    Ok(hook)
}

/// The top of the work tree, in which no file that we write is a symlink.
pub fn writable_top(repo: &Repo) -> Result<&Path, CommandError> {
    let top = repo.work_tree().ok_or_else(|| {
        CommandError::new(Kind::Failed, format!("{} has no work tree to write to", repo.git_dir().display()))
            .hint("run it in a clone with a work tree, then push")
    })?;
    for name in [LFSCONFIG_FILE, MANIFEST_FILE, ATTRIBUTES_FILE] {
        refuse_symlink(&top.join(name))?;
    }
    Ok(top)
}

/// The store that a repository is to use.
#[derive(Debug)]
pub struct Chosen {
    /// Its URL, or `local`.
    pub url: String,
    /// `.lfsconfig` names it already.
    committed: bool,
    /// A store that only the repository names may be a stranger's: opening it is safe, trusting it is for the user to say.
    /// A pin may come from the repository too: the first download pins what `.lfsconfig` names.
    named_by_user: bool,
}

impl Chosen {
    /// What the user says, the repository says and the clone is pinned to must not contradict each other.
    pub fn of(repo: &Repo, typed: Option<&str>, dir: &Path) -> Result<Chosen, CommandError> {
        let wanted = typed.map(|typed| stores::spelled(typed, dir)).transpose()?;
        let committed = repo.committed_store()?;
        let url = agreed(wanted.as_deref(), committed.as_ref(), repo)?;
        let named_by_user = wanted.is_some() || (committed.is_none() && repo.pinned_store()?.is_none());
        Ok(Chosen { url, committed: committed.is_some(), named_by_user })
    }

    /// Opens the store, and makes it where the user names it and there is none. Whether uploads may go there.
    pub fn open(&self, repo: &Repo, context: &Context) -> Result<(Catalog, bool), CommandError> {
        let mut found = if self.named_by_user {
            stores::prepare(&self.url, &context.dir)?
        } else {
            stores::find(&self.url, &context.dir)?
        };
        found.set_contributor(repo.git().author());
        context.ui.done(&format!("store   {}", stores::shown(&found)));
        if self.named_by_user {
            trust::trust(repo.git(), repo.config(), &found)?;
        }
        let trusted = self.named_by_user || trust::is_trusted(repo.config(), &found);
        Ok((found, trusted))
    }

    /// Writes the store into `.lfsconfig`, which is returned.
    pub fn write(&self, repo: &Repo, top: &Path) -> Result<PathBuf, CommandError> {
        let path = top.join(LFSCONFIG_FILE);
        if !self.committed {
            repo.git().set_file_config(&path, "lfs.url", &format!("{STORE_SCHEME}{}", self.url))?;
        }
        Ok(path)
    }

    /// Pins the clone to the store, also where it had left it.
    pub fn pin(&self, repo: &Repo) -> Result<(), CommandError> {
        if repo.pinned_store()?.is_none() {
            repo.pin(&self.url)?;
        }
        Ok(repo.set_left(None)?)
    }
}

fn agreed(wanted: Option<&str>, committed: Option<&StoreUrl>, repo: &Repo) -> Result<String, CommandError> {
    let pinned = repo.pinned_store()?;
    let url =
        wanted.or(committed.map(|store| store.url.as_str())).or(pinned.as_ref().map(|pin| pin.url.as_str()));
    let url = url.unwrap_or(LOCAL).to_owned();
    let shown = without_password(&url);
    if let Some(other) = committed.filter(|store| !is_same(&store.url, &url)) {
        let other = without_password(&other.url);
        return Err(CommandError::new(
            Kind::Conflict,
            format!("this repository keeps its data in {other}, not in {shown}"),
        )
        .hint(format!("to go on with {other}: git datamon init"))
        .hint(format!(
            "to move: git lfs fetch --all, git config -f {LFSCONFIG_FILE} lfs.url {STORE_SCHEME}{shown}, \
             git config lfs.url {STORE_SCHEME}{shown}, then git datamon init and git lfs push --all <remote>"
        )));
    }
    if let Some(pin) = pinned.filter(|pin| !is_same(&pin.url, &url)) {
        return Err(CommandError::new(
            Kind::Conflict,
            format!("this clone is pinned to {}, the store would be {shown}", without_password(&pin.url)),
        )
        .hint(format!("if the data has moved: git config lfs.url {STORE_SCHEME}{shown}")));
    }
    Ok(url)
}

/// A server of another kind that `.lfsconfig` or the clone names, to be shown.
fn other_server(repo: &Repo) -> Result<Option<String>, CommandError> {
    let pinned = repo.config().get_in(Scope::Local, "lfs.url").map(<[u8]>::to_vec);
    let named = repo.committed_value("lfs.url")?.or(pinned);
    let other = named.filter(|url| !url.starts_with(STORE_SCHEME.as_bytes()));
    Ok(other.map(|url| without_password(&String::from_utf8_lossy(&url))))
}

/// Git and git-lfs would write through a symlink, and whoever made the repository chose where it leads.
fn refuse_symlink(path: &Path) -> Result<(), CommandError> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            Err(CommandError::new(Kind::Failed, format!("{} is not a regular file", path.display()))
                .hint("put a regular file in its place, or remove it, and repeat the command"))
        }
        _ => Ok(()),
    }
}

/// Writes `datamon.toml`, which is returned, unless it names a repo already.
pub fn name_repo(repo: &Repo, top: &Path) -> Result<PathBuf, CommandError> {
    let path = top.join(MANIFEST_FILE);
    let there = repo.top_file(MANIFEST_FILE)?;
    if repo.manifest()? != Manifest::NONE {
        return Ok(path);
    }
    let name = top.file_name().map(|name| name.to_string_lossy().replace(char::is_control, "_"));
    let name = name.filter(|name| name.len() <= LONGEST_NAME);
    let before = there.map_or_else(Vec::new, |TopFile { bytes, .. }| bytes);
    let text = Manifest { repo: RepoId::new(), name, ..Manifest::NONE }.write_into(&before)?;
    write(&path, text.as_bytes()).map_err(|error| {
        CommandError::new(Kind::Failed, format!("cannot write {}: {error}", path.display()))
    })?;
    Ok(path)
}

/// Whole or not at all, and never through a symlink that appeared meanwhile.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(path.parent().unwrap_or(path))?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

fn track(repo: &Repo, top: &Path, patterns: &[String]) -> Result<Option<PathBuf>, CommandError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    // Git-lfs does not say why it could not make it.
    let lfs = repo.lfs_dir();
    std::fs::create_dir_all(&lfs).map_err(|error| {
        let message = format!("cannot make {}: {error}; check who may write there", lfs.display());
        CommandError::new(Kind::Failed, message).hint("run the command again")
    })?;
    let here = repo.git().clone().moved_to(top);
    here.run(["lfs", "track", "--"].into_iter().chain(patterns.iter().map(String::as_str)))?;
    Ok(Some(top.join(ATTRIBUTES_FILE)))
}

/// Stages the files that are there, and says so and how to commit them. Those that differ from HEAD now.
pub fn stage(
    repo: &Repo,
    top: &Path,
    files: &[PathBuf],
    message: &str,
    context: &Context,
) -> Result<Vec<String>, CommandError> {
    // Only what is there: a file that is staged or committed and not checked out says enough where it is.
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).filter(|path| path.exists()).collect();
    let here = repo.git().clone().moved_to(top);
    let on_files = |args: &[&'static str]| {
        here.run(args.iter().map(Path::new).chain([Path::new("--")]).chain(files.iter().copied()))
    };
    on_files(&["add"])?;
    let staged = on_files(&["diff", "--cached", "--name-only"])?;
    let staged: Vec<String> = String::from_utf8_lossy(&staged).lines().map(str::to_owned).collect();
    if staged.is_empty() {
        context.ui.done("files   committed already");
    } else {
        context.ui.done(&format!("staged  {}", staged.join(", ")));
        context.ui.hint(&format!("git commit -m '{message}'"));
    }
    Ok(staged)
}

fn install_hook(repo: &Repo, context: &Context) -> Result<&'static str, CommandError> {
    let hooks = Hooks::of(repo)?;
    Ok(match hooks.install() {
        Ok(Install::Present | Install::Installed) => {
            context.ui.done("hook    pre-push");
            "installed"
        }
        Ok(Install::Chained(kept)) => {
            context.ui.done(&format!("hook    pre-push; it runs yours first, now {}", kept.display()));
            "chained"
        }
        Ok(Install::Shared(dir)) => {
            context.ui.warning(&format!("core.hooksPath sends all your repositories to {}", dir.display()));
            context.ui.hint(
                "let its pre-push run `git datamon hook pre-push \"$@\"`; without it a push is only slower",
            );
            "shared"
        }
        // A push without the hook is slower, not less safe: no reason to leave a repository half set up.
        Err(error) => {
            context.ui.warning(&format!("no pre-push hook: {error}"));
            "none"
        }
    })
}

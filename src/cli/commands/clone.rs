//! `git datamon clone`: git clones and writes what is its own, then the data comes from the store, beside git-lfs.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::Context;
use crate::cli::bar::{Bar, bytes, count};
use crate::cli::commands::{commit, hook};
use crate::cli::errors::{CommandError, Kind};
use crate::cli::head::Head;
use crate::cli::paths;
use crate::git::{Config, ConfigError, Filters, Git, Hooks, NotesError, Repo, RepoError, Selection};
use crate::ops::download::{NotHere, Unfetched};
use crate::transfer::{Filled, Filling, LocalObjects, Site};

/// What is said where nothing else is missing.
const STAYS_OUT: &str = "what a redaction took out does not come back: its pointer stays in its place, and all else is there; to have that \
                         be no error: git config lfs.skipdownloaderrors true";
/// What git-lfs looks for too: a file that cannot be had is left as its pointer, and that is no failure.
const SKIP_ERRORS: (&str, &str) = ("lfs.skipdownloaderrors", "GIT_LFS_SKIP_DOWNLOAD_ERRORS");

/// Clone a repository with its data
///
/// `git clone` does what is git's, then the data comes straight from the store into the work tree, each file written once. Later
/// `git status`, `git lfs ls-files` and all of git find a clone like any other. The files are not kept a second time in
/// `.git/lfs/objects`, unless `datamon.localObjects` is `keep` in your git configuration; `git datamon fsck` takes the place of
/// `git lfs fsck` then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon clone https://example.org/weather.git\n  \
    git datamon clone URL --paths 'radar/**' --paths '*.csv'   other files stay pointers\n  \
    git datamon clone URL --no-data; cd weather; git datamon pull --data-only")]
pub struct CloneArgs {
    /// What to clone.
    url: String,

    /// Where to; by default a directory of the same name.
    #[arg(value_name = "DIR")]
    into: Option<PathBuf>,

    /// Fetch no data.
    #[arg(long)]
    no_data: bool,

    /// Fetch only the data of paths like these, patterns as in `.gitignore`.
    #[arg(long, value_name = "GLOB", conflicts_with = "no_data", value_parser = paths::pattern)]
    paths: Vec<String>,

    /// Check out this branch or tag.
    #[arg(short, long)]
    branch: Option<String>,

    /// One JSON object, with stable field names; what git says goes to stderr.
    #[arg(long)]
    json: bool,
}

/// Clones, then fills.
pub fn run(args: &CloneArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let context = &context.aside(args.json);
    let dir = match &args.into {
        Some(dir) => dir.clone(),
        None => named_after(&args.url)?,
    };
    // A hook that clones has another repository in its environment.
    let here = Git::at(&context.dir).aside(args.json).unbound()?;
    LocalObjects::of(&Config::read(&here)?)?;
    // Nothing is compared in a clone, so the filter can be left out, unless the user has hooks for every repository.
    let own = |key| here.run(["config", "--get", key]).is_ok();
    let hooks = own("core.hooksPath") || own("init.templateDir");
    // Or has programs that git-lfs alone knows how to run.
    let extended = here.run(["config", "--get-regexp", r"^lfs\.extension\."]).is_ok();
    let filters = match extended {
        true if !args.no_data && args.paths.is_empty() => Filters::On,
        _ if hooks || extended => Filters::Skip,
        _ => Filters::Off,
    };
    let (git, off) = filters.apply(here.clone());
    let mut words: Vec<&OsStr> = off.iter().chain(&["clone"]).map(OsStr::new).collect();
    words.extend(context.ui.is_quiet().then_some(OsStr::new("--quiet")));
    if let Some(branch) = &args.branch {
        words.extend(["--branch", branch].map(OsStr::new));
    }
    words.extend([OsStr::new("--"), OsStr::new(&args.url), dir.as_os_str()]);
    let status = git.interactive(words)?;
    if !status.success() {
        return Ok(hook::handed_on(status, context));
    }
    let dir = context.dir.join(dir);
    let there = here.moved_to(&dir);
    let filled = fill(args, &there, context).map_err(|error| {
        // What a redaction took out does not come by asking again.
        if error.hints.iter().any(|hint| hint == STAYS_OUT) {
            return error;
        }
        error.hint(format!(
            "the commits are cloned; for their data: git -C {} datamon pull --data-only",
            dir.display()
        ))
    })?;
    let filled = match filled {
        Ok(filled) => filled,
        Err(code) => return Ok(code),
    };
    if args.json {
        let head = Head::of(&there);
        context.ui.json(&json!({
            "dest": dir.to_string_lossy(), "commit": head.commit, "branch": head.branch,
            "files": filled.files, "bytes": filled.bytes,
        }));
    }
    Ok(ExitCode::SUCCESS)
}

/// What came; or how git-lfs ended, where it did not bring the data of a repository of its own.
fn fill(args: &CloneArgs, git: &Git, context: &Context) -> Result<Result<Filled, ExitCode>, CommandError> {
    let repo = match Repo::found_by(git.clone()) {
        Err(error @ RepoError::ObjectFormat { .. }) => {
            context.ui.warning(&format!("{error}: it was cloned by git and git-lfs alone"));
            return leave_to_git_lfs(args, git);
        }
        found => found?,
    };
    let remote = repo.push_remote();
    let mut site = Site::of(repo, &remote)?;
    if site.objects.head()?.is_none() {
        return Ok(Ok(Filled::default()));
    }
    if !site.names_store()? {
        return leave_to_git_lfs(args, git);
    }
    let local = settle_in(&site.repo, context)?;
    bring_notes(&site.repo, context);
    let selection = match args.no_data {
        true => Selection::nothing(),
        false => selection(&site.repo, &args.paths)?,
    };
    let filling = Filling::plan(&site.repo, &site.objects, &selection, local)?;
    if filling.files() == 0
        && let Err(error) = site.session()
    {
        // What pins the store; a clone that wants nothing of it need not wait for it.
        context.ui.warning(&format!("the store was not seen: {error}"));
    }
    Ok(Ok(run_filling(filling, &mut site, context)?))
}

/// Not one of ours: git-lfs finishes what it knows how to.
fn leave_to_git_lfs(args: &CloneArgs, git: &Git) -> Result<Result<Filled, ExitCode>, CommandError> {
    let status = if args.no_data { None } else { Some(git.interactive(["lfs", "pull"])?) };
    let failed = status.filter(|status| !status.success());
    Ok(failed.map_or(Ok(Filled::default()), |status| Err(hook::exit_code(status))))
}

/// What a clone of ours has and an ordinary one has not: the hook, and leave to push what is not kept here.
fn settle_in(repo: &Repo, context: &Context) -> Result<LocalObjects, CommandError> {
    if let Err(error) = Hooks::of(repo).and_then(|hooks| hooks.install()) {
        context.ui.warning(&format!("no pre-push hook: {error}"));
    }
    if !repo.has_lfs_filter() {
        context.ui.hint("git-lfs is not set up for you; before you commit here: git datamon install");
    }
    commit::local_objects(repo)
}

/// What others have written down of versions; the store knows it too, so nothing fails without.
fn bring_notes(repo: &Repo, context: &Context) {
    // A clone has one remote, called as the user wants.
    let remote = repo.push_remote();
    let brought = repo.configure_notes().map_err(NotesError::from).and_then(|()| repo.fetch_notes(&remote));
    if let Err(error) = brought {
        context.ui.warning(&format!("notes of dataset versions were not fetched: {error}"));
        context.ui.hint("to fetch them: git datamon notes sync");
    }
}

/// The paths that are asked for, or where none are, those that git-lfs would fetch.
pub fn selection(repo: &Repo, paths: &[String]) -> Result<Selection, ConfigError> {
    match paths {
        [] => repo.checkout_selection(),
        paths => Ok(Selection::of_patterns(paths.iter().map(String::as_bytes))),
    }
}

/// Fills and says so; a file that could not be is an error, unless somebody wants to go on without.
pub fn run_filling(filling: Filling, site: &mut Site, context: &Context) -> Result<Filled, CommandError> {
    let wanted = filling.files();
    let bar = Bar::new("fetching", filling.bytes(), context.ui.is_quiet());
    let filled = filling.run(site, &bar).map_err(|error| {
        let error = CommandError::from(error);
        let message = format!("not all files have their data, and more cannot be had: {}", error.message);
        CommandError { message, ..error }
    })?;
    bar.finish();
    if wanted > 0 {
        context.ui.done(&format!("fetched {} files, {}", filled.files, bytes(filled.bytes)));
    }
    if let Some((path, why)) = filled.failed.first() {
        let failed = count(filled.failed.len(), "file");
        let message = format!("{failed} could not be fetched, {path} first: {why}");
        if skips_errors(&site.repo) {
            context.ui.warning(&message);
            return Ok(filled);
        }
        let kind = Kind::worst(filled.failed.iter().map(|(_, why)| Kind::of_unfetched(why)));
        let error = CommandError::new(kind, message);
        let is_redacted = |why: &Unfetched| matches!(why, Unfetched::NotHere(NotHere::Redacted { .. }));
        let only_redacted = filled.left.is_empty() && filled.failed.iter().all(|(_, why)| is_redacted(why));
        return Err(if only_redacted { error.hint(STAYS_OUT) } else { error });
    }
    if let Some((path, why)) = filled.left.first() {
        let message = format!(
            "{} files that git writes itself (`ident`, `lfs.extension`) still are pointers, {path} first: {why}",
            filled.left.len()
        );
        let error = CommandError::new(Kind::NotFound, message);
        let error = if site.repo.has_lfs_filter() { error } else { error.hint("git datamon install") };
        return Err(error.hint("to try again: git datamon pull --data-only"));
    }
    Ok(filled)
}

fn skips_errors(repo: &Repo) -> bool {
    let (key, variable) = SKIP_ERRORS;
    let is_set =
        |value: OsString| !["", "0", "false", "no", "off"].iter().any(|off| value.eq_ignore_ascii_case(off));
    repo.config().is_true(key) || std::env::var_os(variable).is_some_and(is_set)
}

/// The directory that git would make: the last part of the URL, without what git adds to it.
fn named_after(url: &str) -> Result<PathBuf, CommandError> {
    let plain = url.trim_end_matches('/');
    let plain = plain.strip_suffix("/.git").unwrap_or(plain).trim_end_matches('/');
    let name = plain.rsplit(['/', ':']).next().unwrap_or_default();
    let name = name.strip_suffix(".git").or(name.strip_suffix(".bundle")).unwrap_or(name);
    if name.is_empty() || [".", ".."].contains(&name) || name.contains(char::is_control) {
        let message = format!("{url} does not say how its directory should be called");
        return Err(CommandError::new(Kind::Usage, message).hint("git datamon clone URL DIR"));
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_clone_is_called_as_git_calls_it() {
        for (url, name) in [
            ("https://example.org/a/weather.git", "weather"),
            ("https://example.org/a/weather/", "weather"),
            ("git@example.org:weather.git", "weather"),
            ("/srv/weather/.git", "weather"),
            ("../weather", "weather"),
            ("file:///srv/weather.git/", "weather"),
        ] {
            assert_eq!(named_after(url).unwrap(), Path::new(name), "{url}");
        }
        assert!(named_after("/").is_err() && named_after("..").is_err());
    }
}

//! `git datamon doctor`: what is set up, what is not, and what to type.
//!
//! It explains what git-lfs does silently: which agent it takes, which hook is in the way, what `prune` does not check.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::cli::commands::install;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::server::Server;
use crate::cli::{Context, stores};
use crate::git::{Config, ConfigError, Git, Hooks, Operation, Repo, RepoError, STORE_SCHEME, StoreUrl};
use crate::id::RepoId;
use crate::ops::trust;
use crate::store::{Concern, Harm, Store, StoreError, StoreUrl as Url, care, without_password};

/// Check the set-up of this machine and this repository
///
/// Changes nothing, but that it writes an object into a store that you trust, and removes it. The exit code is 1 if something must
/// be repaired.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  git datamon doctor\n  git datamon doctor --json")]
pub struct DoctorArgs {
    /// A JSON array of findings: check, state (ok, note, broken), text, hints.
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// To be repaired.
    Broken,
}

/// One check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    text: String,
    hints: Vec<String>,
}

impl Finding {
    fn new(check: &'static str, state: State, text: impl Into<String>) -> Finding {
        Finding { check, state, text: text.into(), hints: Vec::new() }
    }

    fn ok(check: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(check, State::Ok, text)
    }

    fn note(check: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(check, State::Note, text)
    }

    fn broken(check: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(check, State::Broken, text)
    }

    fn failed(check: &'static str, error: impl Into<CommandError>) -> Finding {
        let error = error.into();
        Finding { check, state: State::Broken, text: error.message, hints: error.hints }
    }

    fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hints.push(hint.into());
        self
    }
}

/// Checks everything and says so.
pub fn run(args: &DoctorArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let git = Git::at(&context.dir);
    let mut findings =
        vec![version(&git, "git", &["version"]), version(&git, "git-lfs", &["lfs", "version"])];
    match Repo::found_by(git.clone()) {
        Ok(repo) => {
            findings.extend(machine(repo.config()));
            findings.extend(repository(&repo));
        }
        Err(error) => {
            findings
                .extend(Config::read(&git).map_or_else(|e| vec![Finding::failed("git", e)], |c| machine(&c)));
            let state = if matches!(error, RepoError::NotFound { .. }) { State::Note } else { State::Broken };
            findings.push(Finding::new("repository", state, error.to_string()));
        }
    }
    report(&findings, args.json, context);
    let broken = findings.iter().any(|finding| finding.state == State::Broken);
    Ok(if broken { ExitCode::from(Kind::Difference.exit_code()) } else { ExitCode::SUCCESS })
}

fn report(findings: &[Finding], json: bool, context: &Context) {
    if json {
        context.ui.fact(&serde_json::to_string_pretty(findings).expect("plain values always encode"));
        return;
    }
    for finding in findings {
        let mark = match finding.state {
            State::Ok => "ok    ",
            State::Note => "note  ",
            State::Broken => "BROKEN",
        };
        context.ui.fact(&format!("{mark}  {:<10}  {}", finding.check, finding.text));
        for hint in &finding.hints {
            context.ui.fact(&format!("{:22}{hint}", ""));
        }
    }
}

fn version(git: &Git, check: &'static str, args: &[&str]) -> Finding {
    match git.run(args) {
        Ok(said) => Finding::ok(check, String::from_utf8_lossy(&said).trim()),
        Err(error) => Finding::failed(check, error).hint("install it with your package manager"),
    }
}

fn machine(config: &Config) -> Vec<Finding> {
    vec![agent(config), filters(config)]
}

fn agent(config: &Config) -> Finding {
    let install = "git datamon install";
    let Some(path) = config.get(install::PATH_KEY) else {
        let text = "git-lfs does not know git-datamon: a clone of a datamon:: repository fails at checkout";
        return Finding::broken("agent", text)
            .hint(install)
            .hint("then, in such a clone: git restore --source=HEAD --staged --worktree :/");
    };
    let shown = String::from_utf8_lossy(path).into_owned();
    let Some(found) = install::agent(Path::new(&shown)) else {
        return Finding::broken("agent", format!("git-lfs is told to run {shown}, which is not there"))
            .hint(install);
    };
    for (key, value) in install::KEYS {
        if config.get(key) != Some(value.as_bytes()) {
            return Finding::broken("agent", format!("{key} is not {value}")).hint(install);
        }
    }
    let this = install::executable().ok().and_then(|path| path.canonicalize().ok());
    if this.is_some() && found.canonicalize().ok() != this {
        let text = format!("git-lfs runs {shown}, which is another git-datamon than this one");
        return Finding::note("agent", text).hint(format!("to use this one: {install}"));
    }
    Finding::ok("agent", shown)
}

fn filters(config: &Config) -> Finding {
    match config.get("filter.lfs.process") {
        Some(b"git-lfs filter-process") => Finding::ok("filters", "git-lfs filters are installed"),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Finding::note("filters", format!("filter.lfs.process is `{other}`, not that of git-lfs"))
        }
        None => Finding::broken("filters", "git-lfs filters are not installed: files stay pointers")
            .hint("git lfs install --skip-repo"),
    }
}

fn repository(repo: &Repo) -> Vec<Finding> {
    let mut findings = match repo.store_url(&repo.push_remote(), Operation::Upload) {
        Err(error) => vec![Finding::failed("store", error)],
        Ok(None) => vec![no_store(repo)],
        Ok(Some(store)) => store_findings(repo, &store),
    };
    findings.push(manifest(repo));
    findings.push(hook(repo));
    findings.extend(prune(repo.config()));
    findings
}

fn no_store(repo: &Repo) -> Finding {
    match repo.diverted(&repo.push_remote()) {
        Err(error) => return Finding::failed("store", error),
        Ok(Some(to)) => {
            let text = format!(
                "data of this repository is in a store, but {} in {} leads what is pushed to {to}",
                to.key,
                to.from.described()
            );
            return Finding::broken("store", text).hint(to.unset());
        }
        Ok(None) => {}
    }
    let left = repo.left_store().map(|left| format!(" any more (it left {})", without_password(&left)));
    let left = left.unwrap_or_default();
    let server = Server::Configured.shown(repo);
    // git-lfs takes its builtin agent without a word.
    let does = if server.starts_with("file://") { "git-lfs copies whole files into" } else { "git-lfs uses" };
    Finding::note("store", format!("no {STORE_SCHEME} store{left}: {does} {server}"))
        .hint("git datamon init --store <directory or URL>")
        .hint("with its data and history, if it uses git-lfs already: git datamon adopt-lfs --store <directory or URL>")
}

fn pin(repo: &Repo, named: &StoreUrl) -> Result<Finding, ConfigError> {
    if let Some(astray) = repo.astray(named)? {
        let text = format!("{astray}: uploads are refused");
        return Ok(Finding::broken("pin", text).hint(astray.remedy()));
    }
    Ok(match (repo.pinned_store()?, repo.committed_store()?) {
        (None, _) => {
            Finding::note("pin", "not pinned: commits without .lfsconfig would use the remote's server")
                .hint(format!("git config lfs.url {STORE_SCHEME}{}", without_password(&named.url)))
        }
        (Some(_), Some(_)) => Finding::ok("pin", "this clone is pinned to the store the repository names"),
        (Some(_), None) => {
            Finding::note("pin", "only this clone names the store: other clones will not find it")
                .hint("git datamon init")
        }
    })
}

fn store_findings(repo: &Repo, named: &StoreUrl) -> Vec<Finding> {
    let mut findings = vec![pin(repo, named).unwrap_or_else(|error| Finding::failed("pin", error))];
    let store = match stores::find(&named.url, repo.git().dir()) {
        Err(error) => Finding::failed("store", error),
        Ok(found) if trust::is_trusted(repo.config(), &found) => {
            findings.extend(promises(found.store()));
            findings.extend(bucket(repo.config(), found.store().url()));
            Finding::ok("store", format!("{}, trusted", stores::shown(&found)))
        }
        Ok(found) => Finding::note("store", format!("{}, not trusted with uploads", stores::shown(&found)))
            .hint("if you know it: git datamon trust"),
    };
    findings.insert(1, store);
    findings
}

/// Whether the place does what a store is built on. Only of one that the user lets data go to: it is written to.
fn promises(store: &Store) -> Vec<Finding> {
    match store.probe() {
        Ok(remark) => {
            let remark = remark.map(|text| Finding::note("promises", text));
            let kept = "one of several creates wins, what is written is read, parts are exact";
            [Finding::ok("promises", kept)].into_iter().chain(remark).collect()
        }
        Err(error @ StoreError::Unsafe { .. }) => vec![Finding::failed("promises", error)],
        Err(error) if error.is_refusal() => {
            vec![Finding::note("promises", format!("not tried to the end: {error}"))]
        }
        Err(error) => vec![Finding::failed("promises", error)],
    }
}

/// What the bucket's owner has set that the store's users should know.
fn bucket(config: &Config, url: &Url) -> Vec<Finding> {
    let concerns = match config.store_settings(url).map(|settings| care(url, &settings)) {
        Ok(Ok(concerns)) => concerns,
        Ok(Err(error)) => return vec![Finding::note("bucket", format!("could not be looked at: {error}"))],
        Err(error) => return vec![Finding::failed("bucket", error)],
    };
    let finding = |Concern { harm, text, hint }: Concern| {
        let state = if harm == Harm::Breaks { State::Broken } else { State::Note };
        Finding { check: "bucket", state, text, hints: hint.into_iter().collect() }
    };
    concerns.into_iter().map(finding).collect()
}

fn manifest(repo: &Repo) -> Finding {
    match repo.manifest() {
        Err(error) => Finding::failed("repo", error),
        Ok(manifest) if !manifest.parts.is_empty() => {
            let shown = |it: &crate::git::Dataset| {
                let path = if it.path.is_empty() { "." } else { &it.path };
                format!("{} in {path}", it.name.clone().unwrap_or_else(|| it.repo.to_string()))
            };
            let all: Vec<String> = manifest.datasets().iter().map(shown).collect();
            Finding::ok("repo", format!("datasets: {}", all.join(", ")))
        }
        Ok(manifest) if manifest.repo == RepoId::NIL => {
            Finding::note("repo", "no datamon.toml: data goes to the nameless repo of the store")
                .hint("git datamon init")
        }
        Ok(manifest) => {
            Finding::ok("repo", format!("{} ({})", manifest.name.unwrap_or_default(), manifest.repo))
        }
    }
}

fn hook(repo: &Repo) -> Finding {
    let state = Hooks::of(repo).and_then(|hooks| Ok((hooks.installed()?, hooks)));
    match state {
        Err(error) => Finding::failed("hook", error),
        Ok((true, hooks)) => {
            let first = hooks.chained().map(|path| format!(", which runs {} first", path.display()));
            // Git-lfs knows its own hook only, byte for byte.
            Finding::ok("hook", format!("pre-push is git-datamon's{}", first.unwrap_or_default())).hint(
                "`git lfs install` and `git lfs update` now exit 2 here: use `git lfs install --skip-repo`",
            )
        }
        Ok((false, hooks)) => {
            let text = format!(
                "no pre-push hook of ours in {}: pushes are slower, not less safe",
                hooks.dir().display()
            );
            Finding::note("hook", text).hint("git datamon init")
        }
    }
}

fn prune(config: &Config) -> Option<Finding> {
    let always = config.get("lfs.pruneverifyremotealways")?;
    let text = "lfs.pruneverifyremotealways protects nothing here: git-lfs asks no agent before it deletes";
    (always != b"false").then(|| {
        Finding::note("prune", text)
            .hint("do not run `git lfs prune` before a push; `git datamon prune` asks the store")
    })
}

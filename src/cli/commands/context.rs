//! `git datamon context`: stores that the user has named.

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::{Config, Git, Repo, StoreContext, is_context_name};
use crate::ops::trust;

/// Name stores: `dev`, `prod`
///
/// A name stands in your git configuration, and wherever a store is asked for it may be typed instead of a URL. A repository that
/// says `datamon::prod` means the `prod` of whoever uses it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon context add prod /srv/prod         name a store; uploads to it are trusted\n  \
    git datamon context add dev /srv/dev --remote staging    and keep what goes to a git remote there\n  \
    git datamon promote v1 --to prod")]
pub struct ContextArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Name a store, and trust it with uploads; it has to exist
    Add {
        /// The name: letters, digits, `-` and `_`.
        name: String,
        /// The store, as in `init --store`.
        url: String,
        /// In this repository, data for this git remote goes to that store.
        #[arg(long, value_name = "REMOTE")]
        remote: Option<String>,
        /// Make the store where there is none.
        #[arg(long)]
        create: bool,
        /// One JSON object, with stable field names.
        #[arg(long)]
        json: bool,
    },
    /// The names and what they stand for
    List {
        /// A JSON list, with stable field names.
        #[arg(long)]
        json: bool,
    },
    /// One of them, and whether its store answers
    Show {
        /// The name.
        name: String,
        /// One JSON object, with stable field names.
        #[arg(long)]
        json: bool,
    },
    /// What is asked of no store in particular, outside a repository, is asked of this one
    Use {
        /// The name.
        name: String,
        /// One JSON object, with stable field names.
        #[arg(long)]
        json: bool,
    },
    /// Forget a name, and that remotes of this repository keep their data there; the store stays as it is
    Remove {
        /// The name.
        name: String,
        /// One JSON object, with stable field names: what was forgotten.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    url: String,
    used: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<bool>,
}

/// Does it.
pub fn run(args: &ContextArgs, context: &Context) -> Result<(), CommandError> {
    let git = Git::at(&context.dir);
    let config = Config::read(&git)?;
    match &args.action {
        Action::Add { name, url, remote, create, json } => {
            let context = &context.aside(*json);
            let bound = remote.as_ref().map(|remote| remote_here(remote, context)).transpose()?;
            add(&git, &config, name, url, *create, context)?;
            if let (Some(repo), Some(remote)) = (bound, remote) {
                repo.bind_remote(remote, name)?;
                context.ui.done(&format!("data for remote {remote} goes to {name}"));
            }
            tell(*json, &git, name, context)?;
        }
        Action::List { json } => {
            let all: Vec<Shown> = config.contexts().into_iter().map(|it| shown(&config, it)).collect();
            if *json {
                context.ui.json(&all);
            } else {
                all.iter().for_each(|it| context.ui.fact(&line(it)));
            }
        }
        Action::Show { name, json } => {
            let found = known(&config, name)?;
            let catalog = stores::find(&found.url, &context.dir)?;
            let store = Some(catalog.identity().store.to_string());
            let trusted = Some(trust::is_trusted(&config, &catalog));
            let found = Shown { store, trusted, ..shown(&config, found) };
            if *json {
                context.ui.json(&found);
            } else {
                let trusted = if found.trusted == Some(true) {
                    "trusted with uploads"
                } else {
                    "not trusted with uploads"
                };
                context.ui.fact(&format!("{}, store {}, {trusted}", line(&found), catalog.identity().store));
            }
        }
        Action::Use { name, json } => {
            let context = &context.aside(*json);
            known(&config, name)?;
            git.use_context(name)?;
            context.ui.done(&format!("{name} is what is asked where no store is named"));
            tell(*json, &git, name, context)?;
        }
        Action::Remove { name, json } => {
            let context = &context.aside(*json);
            let forgotten = shown(&config, known(&config, name)?);
            git.remove_context(name)?;
            unbind(name, context)?;
            context.ui.done(&format!("forgot {name}; its store stays as it is"));
            if *json {
                context.ui.json(&forgotten);
            }
        }
    }
    Ok(())
}

fn add(
    git: &Git,
    config: &Config,
    name: &str,
    url: &str,
    create: bool,
    context: &Context,
) -> Result<(), CommandError> {
    if !is_context_name(name) {
        let message =
            format!("{name:?} cannot name a context: letters, digits, `-` and `_`, and not `local`");
        return Err(CommandError::new(Kind::Usage, message));
    }
    let url = stores::spelled(url, &context.dir)?;
    if let Some(old) = config.context(name).filter(|old| !crate::store::is_same(&old.url, &url)) {
        let message = format!("{name} is {} already", crate::store::without_password(&old.url));
        return Err(CommandError::new(Kind::Conflict, message)
            .hint(format!("git datamon context remove {name}, then add it again")));
    }
    let catalog = stores::made_if(create, &url, &context.dir)?;
    git.set_context(name, &url)?;
    trust::trust(git, config, &catalog)?;
    context.ui.done(&format!("{name} is {}", stores::shown(&catalog)));
    Ok(())
}

/// What was pushed to its remotes from here is in its store, where nobody is led any more.
fn unbind(name: &str, context: &Context) -> Result<(), CommandError> {
    let Ok(repo) = Repo::discover(&context.dir) else { return Ok(()) };
    for remote in repo.bound_remotes(name) {
        repo.unbind_remote(&remote)?;
        let now = repo.lfs_value("lfs.url")?.map(|url| crate::store::without_password(&url.to_string()));
        let now = now.unwrap_or_else(|| "its own LFS server".to_owned());
        context.ui.done(&format!("data for remote {remote} goes to {now} again"));
    }
    Ok(())
}

/// The repository here, which has to have the remote: a part of its configuration alone would be a remote that git cannot add.
fn remote_here(remote: &str, context: &Context) -> Result<Repo, CommandError> {
    let repo = Repo::discover(&context.dir)?;
    if repo.config().get(&format!("remote.{remote}.url")).is_some() {
        return Ok(repo);
    }
    Err(CommandError::new(Kind::NotFound, format!("this repository has no remote {remote:?}"))
        .hint(format!("git remote add {remote} <URL>")))
}

fn known(config: &Config, name: &str) -> Result<StoreContext, CommandError> {
    config.context(name).ok_or_else(|| {
        CommandError::new(Kind::NotFound, format!("there is no context {name:?}"))
            .hint("git datamon context list")
            .hint(format!("git datamon context add {name} <directory or URL>"))
    })
}

fn shown(config: &Config, it: StoreContext) -> Shown {
    let used = config.used_context().as_deref() == Some(it.name.as_str());
    let url = crate::store::without_password(&it.url);
    Shown { name: it.name, url, used, store: None, trusted: None }
}

fn line(it: &Shown) -> String {
    format!("{} {}  {}", if it.used { "*" } else { " " }, it.name, it.url)
}

/// What a name stands for now, for a program.
fn tell(json: bool, git: &Git, name: &str, context: &Context) -> Result<(), CommandError> {
    if json {
        let config = Config::read(git)?;
        context.ui.json(&shown(&config, known(&config, name)?));
    }
    Ok(())
}

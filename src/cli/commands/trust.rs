//! `git datamon trust`: the user's word that uploads may go to a store that only the repository names, or that the repository may add
//! versions to a dataset that it shares no commit with.

use clap::Args;
use serde_json::json;

use crate::catalog::Catalog;
use crate::cli::dataset::named;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::{Hooks, Operation, Repo};
use crate::ops::{kinship, repo, trust};

/// Let uploads go to the store that this repository names
///
/// Downloads need no trust, since every byte is verified. The first upload to a store that only the repository names is
/// refused until you say so here: whoever wrote the repository could have named a store of their own. Trust is for one store,
/// in every repository of yours, and stands in your git configuration as `datamon.trust`.
///
/// With --repo: let this repository add versions to a dataset of the store. A clone or fork of the one that the versions came from
/// needs no word. What shares no commit with them is refused until you say so: whoever wrote the repository could have copied the id
/// of somebody else's dataset. It stands in the configuration of this repository, as `datamon.repo.<id>.trusted`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon trust                  the store of this repository\n  \
    git datamon trust /srv/data        this store\n  \
    git datamon trust --repo weather   let this repository add versions to that dataset")]
pub struct TrustArgs {
    /// A store, as in `init --store`; by default the one this repository uploads to.
    #[arg(value_name = "STORE")]
    named: Option<String>,

    /// Let this repository add versions to this dataset, by name or id.
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Records the trust.
pub fn run(args: &TrustArgs, context: &Context) -> Result<(), CommandError> {
    let repo = Repo::discover(&context.dir)?;
    let url = match &args.named {
        Some(typed) => stores::spelled(typed, &context.dir)?,
        None => {
            repo.store_url(&repo.push_remote(), Operation::Upload)?
                .ok_or_else(|| {
                    CommandError::new(Kind::NotFound, "this repository names no datamon:: store")
                        .hint("git datamon init --store <directory or URL>")
                })?
                .url
        }
    };
    let found = stores::find(&url, &context.dir)?;
    if let Some(name) = &args.repo {
        return trust_dataset(args, name, &repo, &found, context);
    }
    let news = trust::trust(repo.git(), repo.config(), &found)?;
    // The user means to push from here; who names a store means all of them.
    if args.named.is_none() && repo.left_store().is_none() {
        Hooks::of(&repo)?.take_over()?;
    }
    let said = if news { "is trusted now" } else { "was trusted already" };
    context.aside(args.json).ui.done(&format!("the store {} {said}", stores::shown(&found)));
    if args.json {
        let (store, url) = (found.identity().store.to_string(), found.store().url().to_string());
        context.ui.json(&json!({ "store": store, "url": url, "already": !news }));
    }
    Ok(())
}

/// Records that this repository may add to the dataset.
fn trust_dataset(
    args: &TrustArgs,
    name: &str,
    repo: &Repo,
    store: &Catalog,
    context: &Context,
) -> Result<(), CommandError> {
    let id = match repo::live(store, name) {
        Ok(id) => id,
        // The name in the file may be one of before.
        Err(error) => named(&repo.manifest()?.datasets(), name, store).map_err(|_| error)?.repo,
    };
    let news = kinship::trust(repo, store, id)?;
    let said = if news { "may add versions to" } else { "could already add versions to" };
    context.aside(args.json).ui.done(&format!("this repository {said} {name} ({id})"));
    if args.json {
        let (store, url) = (store.identity().store.to_string(), store.store().url().to_string());
        context.ui.json(&json!({ "store": store, "url": url, "repo": id, "already": !news }));
    }
    Ok(())
}

//! `git datamon trust`: the user's word that uploads may go to a store that only the repository names.

use clap::Args;
use serde_json::json;

use crate::cli::errors::{CommandError, Kind};
use crate::cli::{Context, stores};
use crate::git::{Operation, Repo};
use crate::ops::trust;

/// Let uploads go to the store that this repository names
///
/// Downloads need no trust, since every byte is verified. The first upload to a store that only the repository names is
/// refused until you say so here: whoever wrote the repository could have named a store of their own. Trust is for one store,
/// in every repository of yours, and stands in your git configuration as `datamon.trust`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon trust                  the store of this repository\n  \
    git datamon trust /srv/data        this store")]
pub struct TrustArgs {
    /// A store, as in `init --store`; by default the one this repository uploads to.
    store: Option<String>,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Records the trust.
pub fn run(args: &TrustArgs, context: &Context) -> Result<(), CommandError> {
    let repo = Repo::discover(&context.dir)?;
    let url = match &args.store {
        Some(typed) => stores::spelled(typed, &context.dir)?,
        None => {
            repo.store_url("", Operation::Upload)?
                .ok_or_else(|| {
                    CommandError::new(Kind::NotFound, "this repository names no datamon:: store")
                        .hint("git datamon init --store <directory or URL>")
                })?
                .url
        }
    };
    let found = stores::find(&url, &context.dir)?;
    let news = trust::trust(repo.git(), repo.config(), &found)?;
    let said = if news { "is trusted now" } else { "was trusted already" };
    context.aside(args.json).ui.done(&format!("the store {} {said}", stores::shown(&found)));
    if args.json {
        let (store, url) = (found.identity().store.to_string(), found.store().url().to_string());
        context.ui.json(&json!({ "store": store, "url": url, "already": !news }));
    }
    Ok(())
}

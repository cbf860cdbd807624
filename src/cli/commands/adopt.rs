//! `git datamon adopt`: an uploaded version becomes that of a commit.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::bundle::Facts;
use crate::catalog::log::now;
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::paths::{self, shown};
use crate::cli::{Context, bundles};
use crate::git::Git;
use crate::ops::bundle::{Adopted, Unlike, adopt};

/// Paths named where bundle and commit differ.
const SHOWN: usize = 20;

/// Make an uploaded version that of a commit with the same content
///
/// Compares the version with the tree of the commit. If every path has the same content and mode, a new version of the commit is made,
/// which shares all its data with the uploaded one; else says where they differ, and exits with 1.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  git datamon adopt latest\n  git datamon adopt label:imported v1.0")]
pub struct AdoptArgs {
    /// The uploaded version; as for `show`.
    version: String,

    /// The commit; by default HEAD.
    #[arg(default_value = "HEAD")]
    commit: String,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Compares and links.
pub fn run(args: &AdoptArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let mut dataset = args.dataset.open_to_upload(false, context)?;
    let from = dataset.find(&args.version)?;
    let Some(git) = &dataset.git else {
        return Err(CommandError::new(
            Kind::NotFound,
            "a version is adopted by a commit of a git repository",
        )
        .hint("run it in the repository of the dataset, without --store"));
    };
    let commit = git.objects.commit(&args.commit)?;
    let contributors = Git::at(&context.dir).author().into_iter().collect();
    let facts = Facts { contributors, time: now(), ..Facts::default() };
    let adopted = adopt(&mut dataset.catalog, &git.objects, dataset.repo, &git.dataset, from, commit, facts)?;
    let (bundle, already, unlike) = match adopted {
        Adopted::Made(bundle) => (Some(bundle), false, vec![]),
        Adopted::Already(bundle) => (Some(bundle), true, vec![]),
        Adopted::Unlike(unlike) => (None, false, unlike),
    };
    if let Some(bundle) = bundle
        && let Err(error) = bundles::note(&dataset.catalog, &git.repo, &[(commit, bundle)])
    {
        context.ui.warning(&format!("no note of the dataset version was written: {}", error.message));
    }
    if args.json {
        let unlike: Vec<Value> = unlike.iter().map(object).collect();
        let said = json!({
            "bundle": bundle, "from": from, "commit": commit.to_string(), "already": already, "unlike": unlike,
        });
        context.ui.fact(&serde_json::to_string_pretty(&said).expect("plain values always encode"));
    } else if let Some(bundle) = bundle {
        context.ui.fact(&bundle.to_string());
        context.ui.detail(if already { "the commit had this version already" } else { "made" });
    } else {
        for it in unlike.iter().take(SHOWN) {
            context.ui.fact(&format!("{}: {}", it.why, shown(&it.path)));
        }
        let count = unlike.len();
        context.ui.hint(&format!(
            "{from} and {commit} differ at {count} paths (--json lists all): nothing was changed"
        ));
    }
    Ok(if bundle.is_some() { ExitCode::SUCCESS } else { ExitCode::from(Kind::Difference.exit_code()) })
}

fn object(it: &Unlike) -> Value {
    let mut object = Map::new();
    paths::put(&mut object, "path", &it.path);
    object.insert("why".to_owned(), it.why.into());
    Value::Object(object)
}

//! `git datamon bundle`: dataset versions of commits, on demand.

use clap::Args;
use serde::Serialize;

use crate::cli::errors::CommandError;
use crate::cli::{Context, bundles};
use crate::git::{Operation, Repo};
use crate::id::BundleId;
use crate::transfer::Session;

/// Make the dataset versions of commits
///
/// A push makes those of the branches and tags that it pushes; this makes those of any other commit, and sends what the store
/// lacks of their data. A commit that has one keeps it, and so does one that was rewritten with the same files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon bundle                        the version of HEAD\n  \
    git datamon bundle v1.0 v1.1 main~3\n  \
    git datamon bundle --verified v2.0        writes down what git says of its signature")]
pub struct BundleArgs {
    /// Commits, as git names them; by default HEAD.
    #[arg(value_name = "REV")]
    revisions: Vec<String>,

    /// Write down what git says of the signature of the commit.
    #[arg(long)]
    verified: bool,

    /// One JSON array, with stable field names.
    #[arg(long)]
    json: bool,
}

/// What became of one commit.
#[derive(Debug, Serialize)]
struct Made {
    commit: String,
    bundle: BundleId,
    /// Whether it was made now.
    made: bool,
}

/// Makes each, oldest named first, and writes it down.
pub fn run(args: &BundleArgs, context: &Context) -> Result<(), CommandError> {
    let mut session = Session::open(Repo::discover(&context.dir)?, "", Operation::Upload)?;
    let head = ["HEAD".to_owned()];
    let revisions = if args.revisions.is_empty() { &head[..] } else { &args.revisions };
    // All of them are known before the first is made.
    let commits: Result<Vec<_>, _> = revisions.iter().map(|it| session.objects.commit(it)).collect();
    let (mut noted, mut all) = (Vec::new(), Vec::new());
    for commit in commits? {
        for part in bundles::parts(&session) {
            let (bundle, made) = bundles::make_of(&mut session, &part, commit, args.verified, context)?;
            noted.push((commit, bundle));
            all.push(Made { commit: commit.to_string(), bundle, made });
        }
    }
    bundles::note(&session.catalog, &session.repo, &noted)?;
    if args.json {
        context.ui.fact(&serde_json::to_string_pretty(&all).expect("plain values always encode"));
        return Ok(());
    }
    for it in all {
        context.ui.fact(&format!(
            "{} {}{}",
            it.commit,
            it.bundle,
            if it.made { "" } else { " (there already)" }
        ));
    }
    Ok(())
}

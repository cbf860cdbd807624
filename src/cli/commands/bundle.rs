//! `git datamon bundle`: dataset versions of commits, on demand.

use clap::Args;
use serde::Serialize;

use crate::cli::bundles::Part;
use crate::cli::dataset::named;
use crate::cli::errors::CommandError;
use crate::cli::{Context, bundles};
use crate::git::{Datasets, ObjectId, Operation, Repo};
use crate::id::{BundleId, RepoId};
use crate::ops::bundle::{NoBundle, Wanted};
use crate::transfer::Session;

/// Make the dataset versions of commits
///
/// A push makes those of the branches and tags that it pushes; this makes those of any other commit, and sends what the store
/// lacks of their data. A commit that has one keeps it, and so does one that was rewritten with the same files. They are those of
/// the datasets that the commit itself names, or of those of the work tree where it names none.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon bundle                        the version of HEAD\n  \
    git datamon bundle v1.0 v1.1 main~3\n  \
    git datamon bundle --repo stations        only of this dataset\n  \
    git datamon bundle --verified v2.0        writes down what git says of its signature")]
pub struct BundleArgs {
    /// Commits, as git names them; by default HEAD.
    #[arg(value_name = "REV")]
    revisions: Vec<String>,

    /// Write down what git says of the signature of the commit.
    #[arg(long)]
    verified: bool,

    /// Only of this dataset, by name or id; by default of all of them.
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,

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
    repo: RepoId,
    /// The directory of the dataset.
    path: String,
    #[serde(skip)]
    at: ObjectId,
}

/// Makes each, oldest named first, and writes it down.
pub fn run(args: &BundleArgs, context: &Context) -> Result<(), CommandError> {
    let repo = Repo::discover(&context.dir)?;
    let remote = repo.push_remote();
    let mut session = Session::open(repo, &remote, Operation::Upload)?;
    let head = ["HEAD".to_owned()];
    let revisions = if args.revisions.is_empty() { &head[..] } else { &args.revisions };
    // All of them are known before the first is made.
    let mut wanted = Vec::new();
    for revision in revisions {
        let commit = session.objects.commit(revision)?;
        wanted.push((commit, parts(args, &session, commit)?));
    }
    let mut all = Vec::new();
    let outcome = make_all(args, &mut session, &wanted, &mut all, context);
    // What was made is written down, whatever came after it.
    let noted: Vec<_> = all.iter().map(|it| (it.at, it.bundle)).collect();
    bundles::note(&session.catalog, &session.repo, &noted)?;
    outcome?;
    if args.json {
        context.ui.fact(&serde_json::to_string_pretty(&all).expect("plain values always encode"));
        return Ok(());
    }
    for Made { commit, bundle, made, path, .. } in all {
        let place = if path.is_empty() { String::new() } else { format!(" {path}") };
        context.ui.fact(&format!("{commit} {bundle}{place}{}", if made { "" } else { " (there already)" }));
    }
    Ok(())
}

/// The datasets of the commit that are meant.
fn parts(args: &BundleArgs, session: &Session, commit: ObjectId) -> Result<Vec<Part>, CommandError> {
    let all = Datasets::of(&session.repo, &session.objects)?.at(commit)?;
    match &args.repo {
        None => Ok(all.iter().map(Part::from).collect()),
        Some(name) => Ok(vec![named(&all, name, &session.catalog)?.into()]),
    }
}

fn make_all(
    args: &BundleArgs,
    session: &mut Session,
    wanted: &[(ObjectId, Vec<Part>)],
    all: &mut Vec<Made>,
    context: &Context,
) -> Result<(), NoBundle> {
    for (commit, parts) in wanted {
        let mut last = Ok(());
        let before = all.len();
        for part in parts {
            let wanted = Wanted { verified: args.verified, latest: false };
            match bundles::make_of(session, part, *commit, wanted, context) {
                Ok((bundle, made)) => {
                    let (path, repo, commit, at) =
                        (part.path().to_owned(), part.id(), commit.to_string(), *commit);
                    all.push(Made { commit, bundle, made, repo, path, at });
                }
                // Another one of the datasets may be there already.
                Err(error @ NoBundle::NoDataset { .. }) => last = Err(error),
                Err(error) => return Err(error),
            }
        }
        if all.len() == before {
            last?;
        }
    }
    Ok(())
}

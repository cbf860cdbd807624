//! `git datamon status`: what is not safe, not versioned or not clean yet. Without the store it says what it cannot know.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::catalog::{Catalog, Redacted};
use crate::chance::utc;
use crate::cli::bar::count;
use crate::cli::dataset::shown;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::ui::one_line;
use crate::cli::{Context, paths, stores};
use crate::git::{self, Datasets, Git, ObjectId, Objects, ObjectsError, Repo, TreePointer};
use crate::id::{BundleId, Oid, RepoId};
use crate::ops::bundle::bundle_of;
use crate::ops::here::Here;
use crate::ops::lineage::Record;

/// Files that are listed by name for people; all of them are in the JSON.
const LISTED: usize = 20;

/// Show what is not safe, not versioned or not clean yet
///
/// Branches with commits that were not pushed or whose tip has no dataset version, files of HEAD whose data is neither here nor
/// in a store of this clone, or here only, or that a redaction took out, notes that hold no more, and files that differ from HEAD. Works
/// without the store, and then says what is unknown. Exits with 1 if there is anything of these but notes, which nothing depends on, and
/// what was redacted, which is as somebody wanted it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  git datamon status\n  git datamon status --json")]
pub struct StatusArgs {
    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// All that is said, with stable names.
#[derive(Debug, Serialize)]
struct Status {
    clean: bool,
    /// Why the store could not be asked.
    store_error: Option<String>,
    branches: Vec<Branch>,
    stale_notes: Vec<String>,
    missing: Vec<Absent>,
    /// On this machine, and in no store.
    here_only: Vec<Absent>,
    /// Not here, and nobody could say whether the store has them.
    unknown: Vec<Absent>,
    /// In no store, as somebody wanted it.
    redacted: Vec<TakenOut>,
    #[serde(flatten)]
    modified: Paths,
}

/// Paths, and where some of them are no UTF-8, the bytes of these in hexadecimal at the same places.
#[derive(Debug, Serialize)]
struct Paths {
    modified: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_hex: Option<Vec<Option<String>>>,
}

#[derive(Debug, Serialize)]
struct Branch {
    name: String,
    commit: String,
    /// Its version of the first dataset; that of a note where the store could not be asked.
    bundle: Option<BundleId>,
    /// That of the dataset which needs most to be done.
    state: State,
    /// Commits that no remote was seen to have.
    unpushed: u64,
    datasets: Vec<Version>,
    /// Why nobody can say of which datasets it is.
    error: Option<String>,
}

/// What a branch has of a dataset.
#[derive(Debug, Serialize)]
struct Version {
    repo: RepoId,
    name: String,
    path: String,
    bundle: Option<BundleId>,
    state: State,
}

/// Whether there is a version; what needs most to be done comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// The branch has no such dataset, or none at all.
    Absent,
    /// The dataset was deleted in the store: there will be none.
    Deleted,
    Made,
    /// Only the store could say.
    Unknown,
    None,
}

/// A file of HEAD whose data is not everywhere it should be.
#[derive(Debug, Serialize)]
struct Absent {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(serialize_with = "hexadecimal")]
    oid: Oid,
    size: u64,
}

/// One that a redaction took out: a push would bring it back, and is not asked for.
#[derive(Debug, Serialize)]
struct TakenOut {
    #[serde(flatten)]
    file: Absent,
    /// Whether its bytes are on this machine still.
    here: bool,
    #[serde(serialize_with = "redaction")]
    redaction: Redacted,
}

fn redaction<S: serde::Serializer>(by: &Redacted, serializer: S) -> Result<S::Ok, S::Error> {
    json!({ "seq": by.seq, "time": utc(by.time), "contributor": by.contributor }).serialize(serializer)
}

fn hexadecimal<S: serde::Serializer>(oid: &Oid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(oid)
}

/// The stores that were asked.
#[derive(Clone, Copy)]
struct Stores<'a> {
    open: &'a [Catalog],
    /// Whether the first is one of them: what the others lack it may have.
    all_answer: bool,
}

/// Looks, and says what it found.
pub fn run(args: &StatusArgs, context: &Context) -> Result<ExitCode, CommandError> {
    let repo = Repo::discover(&context.dir)?;
    let (mut stores, store_error) = match stores::chosen(None, &context.dir) {
        Ok(catalog) => (vec![catalog], None),
        // Only a store that does not answer is unknown; one that is damaged or was never set is an error.
        Err(error) if matches!(error.kind, Kind::Unreachable | Kind::NotFound) && names_a_store(&repo) => {
            (vec![], Some(error.message))
        }
        Err(error) => return Err(error),
    };
    let mut others = stores::others(&context.dir);
    let mut status = Status::of(&repo, &stores, store_error.as_ref())?;
    // What one store lacks another may have.
    while status.lacks_something()
        && let Some(next) = others.open_next()
    {
        stores.push(next);
        status = Status::of(&repo, &stores, store_error.as_ref())?;
    }
    if args.json {
        context.ui.fact(&serde_json::to_string_pretty(&status).expect("plain values always encode"));
    } else {
        status.lines().iter().for_each(|line| context.ui.fact(line));
    }
    let code = if status.clean { 0 } else { Kind::Difference.exit_code() };
    Ok(ExitCode::from(code))
}

fn names_a_store(repo: &Repo) -> bool {
    repo.store_url(&repo.push_remote(), git::Operation::Download).is_ok_and(|it| it.is_some())
}

impl Status {
    fn of(repo: &Repo, open: &[Catalog], store_error: Option<&String>) -> Result<Status, CommandError> {
        let stores = Stores { open, all_answer: store_error.is_none() };
        let objects = repo.objects()?;
        let datasets = Datasets::of(repo, &objects)?;
        let branches = branches(repo, &objects, stores, &datasets)?;
        let stale_notes = stale_notes(&objects, &datasets)?;
        let Data { missing, here_only, unknown, redacted } = Data::of_head(repo, &objects, stores)?;
        let modified = modified(repo.git())?;
        let pushed = branches.iter().all(|it| it.unpushed == 0 && it.state <= State::Made);
        let clean = pushed
            && store_error.is_none()
            && missing.is_empty()
            && here_only.is_empty()
            && unknown.is_empty()
            && modified.modified.is_empty();
        let store_error = store_error.cloned();
        Ok(Status {
            clean,
            store_error,
            branches,
            stale_notes,
            missing,
            here_only,
            unknown,
            redacted,
            modified,
        })
    }

    /// Whether another store might know better.
    fn lacks_something(&self) -> bool {
        let lacks = |branch: &Branch| branch.state >= State::Unknown;
        let data = [&self.missing, &self.here_only, &self.unknown];
        self.branches.iter().any(lacks)
            || data.iter().any(|files| !files.is_empty())
            || !self.redacted.is_empty()
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.store_error.iter().map(|why| format!("store     not asked: {why}")));
        lines.extend(self.branches.iter().flat_map(Branch::lines));
        let shown = |it: &Absent| format!("{} ({})", it.path, it.oid);
        let missing: Vec<String> = self.missing.iter().map(shown).collect();
        let here: Vec<String> = self.here_only.iter().map(shown).collect();
        let unknown: Vec<String> = self.unknown.iter().map(shown).collect();
        let redacted: Vec<String> = self.redacted.iter().map(TakenOut::line).collect();
        list(
            &mut lines,
            "missing ",
            ": neither here nor in the store: git datamon push where it is",
            &missing,
        );
        list(&mut lines, "here    ", ": on this machine only: git datamon push", &here);
        list(&mut lines, "unknown ", ": not here, perhaps in the store", &unknown);
        list(&mut lines, "redacted", "", &redacted);
        list(&mut lines, "note    ", ": holds no more: git datamon notes repair", &self.stale_notes);
        list(&mut lines, "modified", ": differs from HEAD", &self.modified.modified);
        if self.clean {
            lines.push("clean     everything is pushed and has a version".to_owned());
        }
        lines
    }
}

impl TakenOut {
    fn line(&self) -> String {
        let TakenOut { file: Absent { path, oid, .. }, here, redaction } = self;
        let here = if *here { ", and on this machine still" } else { "" };
        format!("{path} ({oid}): taken out of the store by a redaction ({redaction}){here}")
    }
}

impl Branch {
    /// One for each dataset.
    fn lines(&self) -> Vec<String> {
        let name = &self.name;
        let unpushed = match self.unpushed {
            0 => String::new(),
            n => format!(", {} not pushed", count(n, "commit")),
        };
        let line = |it: &Version| {
            let version = match (it.state, it.bundle) {
                (State::Unknown, _) => "version unknown without the store".to_owned(),
                (State::None, _) => format!("no version yet: git datamon push, or git datamon bundle {name}"),
                (State::Deleted, _) => format!("deleted in the store: git datamon repo undelete {}", it.repo),
                (State::Absent, _) => format!("no directory {}", it.path),
                (State::Made, bundle) => {
                    format!("version {}", bundle.map_or(String::new(), |it| it.to_string()))
                }
            };
            let of =
                if self.datasets.len() > 1 { format!(", {}", one_line(&it.name)) } else { String::new() };
            format!("branch    {name}{of}: {version}{unpushed}")
        };
        match (self.datasets.as_slice(), &self.error) {
            (_, Some(error)) => vec![format!("branch    {name}: {}", one_line(error))],
            ([], None) => vec![format!("branch    {name}: no dataset{unpushed}")],
            (datasets, None) => datasets.iter().map(line).collect(),
        }
    }
}

fn list(lines: &mut Vec<String>, word: &str, why: &str, names: &[String]) {
    lines.extend(names.iter().take(LISTED).map(|name| format!("{word}  {name}{why}")));
    if names.len() > LISTED {
        lines.push(format!("{word}  and {} more: git datamon status --json", names.len() - LISTED));
    }
}

fn branches(
    repo: &Repo,
    objects: &Objects,
    stores: Stores<'_>,
    datasets: &Datasets<'_>,
) -> Result<Vec<Branch>, CommandError> {
    let listed = repo.git().run(["for-each-ref", "--format=%(objectname) %(refname:short)", "refs/heads"])?;
    let has_remotes = !repo.remotes().is_empty();
    let mut branches = Vec::new();
    for line in String::from_utf8_lossy(&listed).lines() {
        let Some((commit, name)) = line.split_once(' ') else { continue };
        let Ok(tip) = ObjectId::from_hex(commit.as_bytes()) else { continue };
        let unpushed = if has_remotes { unpushed(repo.git(), commit)? } else { 0 };
        let (all, error) = match datasets.of_tip(tip) {
            Ok(all) => (all, None),
            Err(error) => (vec![], Some(error.to_string())),
        };
        let versions = all.iter().map(|it| Version::of(it, tip, objects, stores));
        let datasets: Vec<Version> = versions.collect::<Result<_, CommandError>>()?;
        let nothing = if error.is_some() { State::None } else { State::Absent };
        let state = datasets.iter().map(|it| it.state).max().unwrap_or(nothing);
        let bundle = datasets.first().and_then(|it| it.bundle);
        let (name, commit) = (name.to_owned(), commit.to_owned());
        branches.push(Branch { name, commit, bundle, state, unpushed, datasets, error });
    }
    Ok(branches)
}

impl Version {
    fn of(
        dataset: &git::Dataset,
        tip: ObjectId,
        objects: &Objects,
        stores: Stores<'_>,
    ) -> Result<Version, CommandError> {
        let repo = dataset.repo;
        let tree = objects.tree_at(tip, dataset.path.as_bytes())?;
        let mut bundle = None;
        for catalog in stores.open {
            if bundle.is_none() {
                bundle = bundle_of(catalog, objects, repo, &dataset.into(), tip)?;
            }
        }
        if bundle.is_none() && !stores.all_answer {
            bundle = noted(objects, repo, tree, tip)?;
        }
        let store = stores.open.first().filter(|_| stores.all_answer);
        let deleted = |it: &Catalog| it.state().repos().get(&repo).is_some_and(|it| it.deleted);
        let state = match (bundle, tree, store) {
            (Some(_), _, _) => State::Made,
            (None, None, _) => State::Absent,
            (None, _, Some(catalog)) if deleted(catalog) => State::Deleted,
            (None, _, Some(_)) => State::None,
            (None, _, None) => State::Unknown,
        };
        let known = store.map(|catalog| shown(dataset, catalog)).or(dataset.name.clone());
        let name = known.unwrap_or_else(|| repo.to_string());
        Ok(Version { repo, name, path: dataset.path.clone(), bundle, state })
    }
}

/// Commits whose note tells of another tree than theirs.
fn stale_notes(objects: &Objects, datasets: &Datasets<'_>) -> Result<Vec<String>, CommandError> {
    let mut stale = Vec::new();
    for commit in objects.noted()?.into_iter().filter_map(|it| objects.known(it)) {
        let text = match objects.note(commit) {
            // Others wrote it.
            Err(ObjectsError::LongNote { .. }) => continue,
            other => other?,
        };
        for record in String::from_utf8_lossy(&text).lines().filter_map(Record::parse) {
            if record.is_stale_at(datasets, objects, commit)? {
                stale.push(commit.to_string());
                break;
            }
        }
    }
    Ok(stale)
}

/// Commits that a branch has and no remote was seen to have.
fn unpushed(git: &Git, tip: &str) -> Result<u64, CommandError> {
    let counted = git.run(["rev-list", "--count", tip, "--not", "--remotes"])?;
    Ok(String::from_utf8_lossy(&counted).trim().parse().unwrap_or(0))
}

/// The bundle that a note which still holds tells of.
fn noted(
    objects: &Objects,
    id: RepoId,
    tree: Option<ObjectId>,
    commit: ObjectId,
) -> Result<Option<BundleId>, CommandError> {
    let text = objects.note(commit)?;
    let text = String::from_utf8_lossy(&text);
    let holds = text.lines().filter_map(Record::parse).filter(|it| !it.is_stale(id, tree));
    let own = holds.filter_map(|it| match it {
        Record::Bundle(it) if it.repo == id => Some(it.id),
        _ => None,
    });
    // Ids grow with time.
    Ok(own.max())
}

/// Files of HEAD whose data is not both here and in a store, or in the store alone.
#[derive(Default)]
struct Data {
    missing: Vec<Absent>,
    here_only: Vec<Absent>,
    unknown: Vec<Absent>,
    redacted: Vec<TakenOut>,
}

impl Data {
    fn of_head(repo: &Repo, objects: &Objects, stores: Stores<'_>) -> Result<Data, CommandError> {
        let Some(head) = objects.head()? else { return Ok(Data::default()) };
        let mut wanted = objects.pointers_in_tree(head)?;
        wanted.retain(|found| found.pointer.size > 0);
        // Bytes are bytes, whichever dataset they were promised to.
        let oids: Vec<Oid> = wanted.iter().map(|found| found.pointer.oid).collect();
        let rows: Vec<_> = stores
            .open
            .iter()
            .map(|it| Ok((it, it.find(RepoId::NIL, &oids)?)))
            .collect::<Result<_, CommandError>>()?;
        let mut taken_out: HashMap<Oid, Redacted> = HashMap::new();
        // A store that does not answer may have them.
        if stores.all_answer {
            let is_absent = |oid: &&Oid| rows.iter().all(|(_, rows)| !rows.contains_key(*oid));
            let absent: Vec<Oid> = oids.iter().filter(is_absent).copied().collect();
            stores.open.iter().for_each(|it| taken_out.extend(it.redactions_of(&absent)));
        }
        let here = Here::of(repo)?;
        let mut data = Data::default();
        for TreePointer { path, pointer, .. } in wanted {
            let mut found =
                rows.iter().filter_map(|(catalog, rows)| Some((catalog, rows.get(&pointer.oid)?)));
            let mut found = found.by_ref().filter(|(_, row)| row.size == pointer.size).peekable();
            let is_stored = found.peek().is_some();
            let path_hex = paths::hex(&path);
            let absent = Absent { path: path.to_string(), path_hex, oid: pointer.oid, size: pointer.size };
            if let Some(redaction) = taken_out.get(&pointer.oid).cloned() {
                let here = here.path(&pointer).is_some();
                data.redacted.push(TakenOut { file: absent, here, redaction });
                continue;
            }
            // What lies in a damaged pack is as good as not there, as long as it can be sent again.
            match (here.path(&pointer).is_some(), found.any(|(catalog, row)| catalog.borrowable(row))) {
                (_, true) => {}
                (true, false) if !stores.all_answer => {}
                (true, false) => data.here_only.push(absent),
                (false, false) if !stores.all_answer => data.unknown.push(absent),
                (false, false) if is_stored => {}
                (false, false) => data.missing.push(absent),
            }
        }
        Ok(data)
    }
}

/// Files that git follows and that differ from HEAD, in the index or in the work tree.
fn modified(git: &Git) -> Result<Paths, CommandError> {
    let said = git.output(["status", "--porcelain", "-z", "--no-renames", "--untracked-files=no"])?;
    let lines = said.stdout.split(|byte| *byte == 0).filter(|line| line.len() > 3);
    let paths: Vec<&[u8]> = lines.map(|line| &line[3..]).collect();
    Ok(Paths { modified: paths::texts(&paths), modified_hex: paths::hexes(&paths) })
}

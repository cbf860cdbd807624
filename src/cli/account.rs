//! What a change of the log says, to people in one line and to programs in one JSON object with stable names.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::catalog::change::{BundleRef, Change, ChangeRecord, Drop, Label, Push, Redact, RepoChange};
use crate::catalog::state::Repo;
use crate::cli::ui::one_line;
use crate::cli::when;
use crate::id::{BundleId, RepoId};

/// One change.
#[derive(Debug, Serialize)]
pub struct Account {
    /// Its entry.
    pub seq: u64,
    /// What kind of change it is.
    pub kind: &'static str,
    time: String,
    contributor: Option<String>,
    tool: String,
    version: String,
    /// What is said of this kind only.
    #[serde(flatten)]
    facts: Map<String, Value>,
    /// The same for people.
    #[serde(skip)]
    words: String,
}

/// What people call repos.
pub type RepoNames<'n> = &'n dyn Fn(RepoId) -> String;

/// The name of a repo as the store knows it now, or its id.
pub fn repo_name(known: Option<&Repo>, id: RepoId) -> String {
    match known {
        Some(repo) => repo.name.clone(),
        None if id == RepoId::NIL => "(nameless)".to_owned(),
        None => id.to_string(),
    }
}

impl Account {
    /// What the change of entry `seq` says.
    pub fn of(seq: u64, record: &ChangeRecord, name: RepoNames<'_>) -> Account {
        let (kind, facts, words) = said(record, name);
        let Value::Object(facts) = facts else { unreachable!("every kind gives an object") };
        Account {
            seq,
            kind,
            time: when::utc(record.time),
            contributor: record.writer.contributor.clone(),
            tool: record.writer.tool.clone(),
            version: record.writer.version.clone(),
            facts,
            words,
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let who = self.contributor.as_deref().map_or(String::new(), |who| format!("  by {}", one_line(who)));
        format!("{}  {}  {:<10}  {}{who}", self.seq, self.time, self.kind, one_line(&self.words))
    }

    /// One line for programs.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain values always encode")
    }
}

/// The repos that a change is about; nothing where it is about the store as a whole.
pub fn repos_of(change: &Change) -> Option<Vec<RepoId>> {
    match change {
        Change::Push(push) => {
            Some([push.repo].into_iter().chain(push.bundles.iter().map(|it| it.repo)).collect())
        }
        Change::Label(label) => Some(vec![label.repo]),
        Change::Redact(redact) => Some(vec![redact.repo]),
        Change::Repo(
            RepoChange::Create { repo, .. }
            | RepoChange::Rename { repo, .. }
            | RepoChange::Delete { repo }
            | RepoChange::Undelete { repo },
        ) => Some(vec![*repo]),
        _ => None,
    }
}

/// Whether a person did it, and not the upkeep that falls to whoever comes by.
pub fn is_deed(change: &Change) -> bool {
    !matches!(change, Change::Compact(_) | Change::Checkpoint(_) | Change::Condemn(_) | Change::Forget(_))
}

fn said(record: &ChangeRecord, name: RepoNames<'_>) -> (&'static str, Value, String) {
    match &record.change {
        Change::Init { store } => ("init", json!({ "store": store }), format!("store {store} begins")),
        Change::Repo(change) => repo(change, name),
        Change::Push(it) => push(record, it, name),
        Change::Label(it) => label(it, name),
        Change::Drop(it) => drop_of(it),
        Change::Redact(it) => redact(it, name),
        Change::Compact(it) => {
            let (outs, segments) = (it.outs.len(), it.segments.len());
            let forwards = it.forwards.len();
            let emptied = if it.condemned.is_empty() {
                String::new()
            } else {
                format!(", {} packs condemned", it.condemned.len())
            };
            let words = format!("{outs} segments merged into {segments}, {forwards} forwards{emptied}");
            let mut value = json!({ "merged": outs, "segments": segments, "forwards": forwards });
            if !it.condemned.is_empty() {
                value["packs"] = json!(it.condemned);
            }
            ("compact", value, words)
        }
        Change::Condemn(it) => {
            let words = format!("{} packs, marked at entry {}", it.packs.len(), it.mark);
            ("condemn", json!({ "mark": it.mark, "packs": it.packs }), words)
        }
        Change::Forget(it) => {
            let words = format!("{} packs, floor {}", it.packs.len(), it.floor);
            ("forget", json!({ "floor": it.floor, "packs": it.packs, "forwards": it.forwards }), words)
        }
        Change::Checkpoint(it) => {
            let words = format!("of everything up to entry {}", it.covers);
            ("checkpoint", json!({ "covers": it.covers }), words)
        }
        Change::Unknown => ("unknown", json!({}), "by a newer git-datamon".to_owned()),
    }
}

fn repo(change: &RepoChange, name: RepoNames<'_>) -> (&'static str, Value, String) {
    let (what, id, called) = match change {
        RepoChange::Create { repo, name } => ("create", repo, Some(name)),
        RepoChange::Rename { repo, name } => ("rename", repo, Some(name)),
        RepoChange::Delete { repo } => ("delete", repo, None),
        RepoChange::Undelete { repo } => ("undelete", repo, None),
    };
    let words = match what {
        "create" => format!("{} was made ({id})", called.map_or("", |it| it)),
        "rename" => format!("{id} is called {} from now on", called.map_or("", |it| it)),
        "delete" => format!("{} was deleted ({id})", name(*id)),
        _ => format!("{} was brought back ({id})", name(*id)),
    };
    ("repo", json!({ "repo": id, "change": what, "name": called }), words)
}

fn push(record: &ChangeRecord, push: &Push, name: RepoNames<'_>) -> (&'static str, Value, String) {
    let bundle = |it: &BundleRef| {
        let (commit, tree) = (it.commit.map(|id| id.to_string()), it.tree.map(|id| id.to_string()));
        json!({ "bundle": it.id, "repo": it.repo, "base": it.base, "commit": commit, "tree": tree })
    };
    let bundles: Vec<Value> = push.bundles.iter().map(bundle).collect();
    let files = push.segments.iter().filter(|it| it.table == crate::catalog::change::TableKind::Files);
    let rows = push.rows.as_ref().map_or(0, |it| it.rows) + files.map(|it| it.rows).sum::<u64>();
    let bytes: u64 = record.added.iter().map(|(_, info)| info.size).sum();
    let mut words = format!(
        "{rows} files in {}; {} stored in {} packs",
        name(push.repo),
        crate::cli::bar::bytes(bytes),
        record.added.len()
    );
    for it in &push.bundles {
        words += &format!("; bundle {}", it.id);
        words += &it.commit.map_or(String::new(), |commit| format!(" of commit {commit}"));
    }
    let moved = |it: &Label| json!({ "repo": it.repo, "name": it.name, "bundle": it.bundle, "previous": it.previous });
    let labels: Vec<Value> = push.labels.iter().map(moved).collect();
    for it in &push.labels {
        words += &it.bundle.map_or(String::new(), |bundle| format!("; {} leads to bundle {bundle}", it.name));
    }
    let packs = record.added.len();
    let facts = json!({
        "repo": push.repo, "files": rows, "packs": packs, "bytes": bytes, "bundles": bundles, "labels": labels,
    });
    ("push", facts, words)
}

fn label(label: &Label, name: RepoNames<'_>) -> (&'static str, Value, String) {
    let Label { repo, name: called, bundle, previous } = label;
    let words = match bundle {
        Some(bundle) => format!("{called} in {} leads to bundle {bundle}", name(*repo)),
        None => format!("{called} in {} was taken away", name(*repo)),
    };
    ("label", json!({ "repo": repo, "name": called, "bundle": bundle, "previous": previous }), words)
}

fn drop_of(drop: &Drop) -> (&'static str, Value, String) {
    let bundles: Vec<BundleId> = drop.bundles.clone();
    let words = format!(
        "{} bundles and {} files, planned on entry {}",
        bundles.len(),
        drop.keys.len(),
        drop.planned_on
    );
    ("drop", json!({ "planned_on": drop.planned_on, "bundles": bundles, "files": drop.keys.len() }), words)
}

fn redact(redact: &Redact, name: RepoNames<'_>) -> (&'static str, Value, String) {
    let bundles: Vec<BundleId> = redact.bundles.iter().map(|it| it.bundle).collect();
    let paths: Vec<String> =
        redact.paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    let (many, repo, on) = (bundles.len(), name(redact.repo), redact.planned_on);
    let words = match &paths[..] {
        [] if bundles.is_empty() => {
            format!("{} files of {repo} given up, planned on entry {on}", redact.keys.len())
        }
        [] => format!("{many} bundles of {repo} made anew from their commits, planned on entry {on}"),
        paths => {
            let (paths, files) = (paths.join(", "), redact.keys.len());
            format!("{paths} out of {many} bundles of {repo}, {files} files given up, planned on entry {on}")
        }
    };
    let facts = json!({
        "repo": redact.repo, "planned_on": redact.planned_on, "paths": paths, "bundles": bundles,
        "files": redact.keys.len(),
    });
    ("redact", facts, words)
}

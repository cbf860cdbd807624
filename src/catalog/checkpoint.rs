//! Checkpoints: the state as one blob per kind.
//!
//! A blob is a msgpack map of flat lists in key order, so equal states give equal bytes and a blob that did not change since
//! the last checkpoint keeps its place. The lists that grow with the store (packs, bundles, labels, drops, condemned) go on in further
//! blobs, `packs.1` and so on. Where blobs lie and how they are compressed is the business of whoever stores them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::change::{Checkpoint, CheckpointBlobs, Forward, SegmentRef};
use super::rules::Rules;
use super::state::{Bundle, Killed, LabelAt, Repo, Segment, State};
use crate::id::{BundleId, GitId, Oid, PackId, RepoId};
use crate::pack::{Blob, PackInfo, PackKind};

/// The blobs of a checkpoint as bytes, by kind.
pub type Blobs = BTreeMap<String, Vec<u8>>;

/// A checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadCheckpoint {
    /// A blob that the checkpoint names was not given.
    #[error(fmt = missing)]
    Missing {
        /// What the checkpoint covers.
        covers: u64,
        /// The kind.
        kind: String,
    },
    /// A blob is not the one that was written, or says something impossible.
    #[error(fmt = damaged)]
    Damaged {
        /// What the checkpoint covers.
        covers: u64,
        /// The kind.
        kind: String,
    },
}

/// What is wrong, and what helps; `{:#}` leaves that out, for who says it better.
fn missing(covers: &u64, kind: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "the checkpoint covering entry {covers} lacks its blob {kind:?}")?;
    if f.alternate() { Ok(()) } else { f.write_str("; run `git datamon fsck`") }
}

/// The same.
fn damaged(covers: &u64, kind: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "blob {kind:?} of the checkpoint covering entry {covers} is damaged")?;
    if f.alternate() { Ok(()) } else { f.write_str("; run `git datamon fsck`") }
}

/// What the longest lists have in one blob: it is one frame, and a list that only grows at its end keeps its first parts.
const MOST_LISTED: usize = 1 << 17;
/// The same for labels, whose names may have 255 bytes.
const MOST_LABELS: usize = 1 << 15;
/// What is left of a list after its full parts is cut at a multiple of this. New ids come last, so a checkpoint mostly writes what
/// is behind the cut, 4,096 entries on average, and not half of a full part.
const STEP: usize = 1 << 13;

const PACKS: &str = "packs";
const SEGMENTS: &str = "segments";
const BUNDLES: &str = "bundles";
const COMMITS: &str = "commits";
const LABELS: &str = "labels";
const REPOS: &str = "repos";
const DROPS: &str = "drops";
const CONDEMNED: &str = "condemned";
const FORWARDS: &str = "forwards";
/// Read after `bundles`, as blobs come in the order of their kinds.
const REVISIONS: &str = "revisions";

#[derive(Serialize, Deserialize)]
struct WirePacks {
    data: Vec<(PackId, u64, u32)>,
    meta: Vec<(PackId, u64, u32)>,
}

#[derive(Serialize, Deserialize)]
struct WireSegments {
    /// segment, born, oldest, clean
    segments: Vec<(SegmentRef, u64, u64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WireBundles {
    /// bundle, repo, root, seq
    bundles: Vec<(BundleId, RepoId, Blob, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WireCommits {
    /// bundle, the commit it was made for
    commits: Vec<(BundleId, GitId)>,
    /// bundle, the tree it is of
    trees: Vec<(BundleId, GitId)>,
}

#[derive(Serialize, Deserialize)]
struct WireLabels {
    /// repo, name, bundle, seq of the last change
    set: Vec<(RepoId, String, BundleId, u64)>,
    /// repo, name, seq of the change that took it away
    gone: Vec<(RepoId, String, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WireRepos {
    /// repo, name, deleted, changed, dropped
    repos: Vec<(RepoId, String, bool, u64, bool)>,
}

#[derive(Serialize, Deserialize)]
struct WireDrops {
    /// oid, repo, upto, at
    drops: Vec<(Oid, RepoId, u64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WireCondemned {
    floor: u64,
    /// pack, seq of its Condemn
    packs: Vec<(PackId, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WireRevisions {
    /// bundle, seq of the change that gave it its root
    revisions: Vec<(BundleId, u64)>,
}

#[derive(Serialize, Deserialize)]
struct WireForwards {
    forwards: Vec<Forward>,
}

fn bytes(wire: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(wire).expect("plain values always encode")
}

/// The blobs of a checkpoint that covers everything up to the head of `state`; kinds with nothing in them are left out.
///
/// `written` are the segments that the checkpoint adds. One of them holds the inline rows, which have no blob: [`State::check`]
/// refuses a checkpoint that leaves some out.
pub fn encode<'a>(state: &State, written: impl IntoIterator<Item = &'a SegmentRef>) -> Blobs {
    let mut folded = State::new(state.rules());
    folded.segments.clone_from(&state.segments);
    folded.inline.clone_from(&state.inline);
    folded.fold_segments(state.head().unwrap_or(0), written);
    let full = [
        (SEGMENTS, !folded.segments.is_empty(), segments(&folded)),
        (REPOS, !state.repos.is_empty(), repos(state)),
        (FORWARDS, !state.forwards.is_empty(), forwards(state)),
    ];
    let full = full.into_iter().filter(|(_, some, _)| *some).map(|(kind, _, bytes)| (kind.to_owned(), bytes));
    full.chain(parts(PACKS, packs(state)))
        .chain(parts(BUNDLES, bundles(state)))
        .chain(parts(COMMITS, commits(state)))
        .chain(parts(LABELS, labels(state)))
        .chain(parts(REVISIONS, revisions(state)))
        .chain(parts(DROPS, drops(state)))
        .chain(parts(CONDEMNED, condemned(state)))
        .collect()
}

/// The name of each blob of a long list.
fn parts(kind: &str, blobs: Vec<Vec<u8>>) -> impl Iterator<Item = (String, Vec<u8>)> {
    let name = move |n| if n == 0 { kind.to_owned() } else { format!("{kind}.{n}") };
    blobs.into_iter().enumerate().map(move |(n, bytes)| (name(n), bytes))
}

/// A list that grows at its end, in the parts that have a blob each.
fn cut<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let full = all.len() / MOST_LISTED * MOST_LISTED;
    let (full, rest) = all.split_at(full);
    let (middle, last) = rest.split_at(rest.len() / STEP * STEP);
    full.chunks(MOST_LISTED).chain([middle, last].into_iter().filter(|part| !part.is_empty()))
}

fn packs(state: &State) -> Vec<Vec<u8>> {
    let all: Vec<(&PackId, &PackInfo)> = state.packs.iter().collect();
    let part = |packs: &[(&PackId, &PackInfo)]| {
        let kind = |wanted| {
            let of = packs.iter().filter(|(_, info)| info.kind == wanted);
            of.map(|(pack, info)| (**pack, info.size, info.footer)).collect()
        };
        bytes(&WirePacks { data: kind(PackKind::Data), meta: kind(PackKind::Meta) })
    };
    cut(&all).map(part).collect()
}

fn segments(state: &State) -> Vec<u8> {
    let segments = state.segments.values().map(|it| (it.at.clone(), it.born, it.oldest, it.clean)).collect();
    bytes(&WireSegments { segments })
}

fn bundles(state: &State) -> Vec<Vec<u8>> {
    let all: Vec<_> = state.bundles().iter().map(|(id, it)| (*id, it.repo, it.root, it.seq)).collect();
    cut(&all).map(|part| bytes(&WireBundles { bundles: part.to_vec() })).collect()
}

fn commits(state: &State) -> Vec<Vec<u8>> {
    let of_git = state.bundles().iter().filter(|(_, it)| it.commit.is_some() || it.tree.is_some());
    let all: Vec<(&BundleId, &Bundle)> = of_git.collect();
    let part = |bundles: &[(&BundleId, &Bundle)]| {
        let commits = bundles.iter().filter_map(|(id, it)| Some((**id, it.commit?))).collect();
        let trees = bundles.iter().filter_map(|(id, it)| Some((**id, it.tree?))).collect();
        bytes(&WireCommits { commits, trees })
    };
    cut(&all).map(part).collect()
}

fn revisions(state: &State) -> Vec<Vec<u8>> {
    let revised = state.bundles().iter().filter(|(_, it)| it.revised > 0);
    let all: Vec<_> = revised.map(|(id, it)| (*id, it.revised)).collect();
    all.chunks(MOST_LISTED).map(|part| bytes(&WireRevisions { revisions: part.to_vec() })).collect()
}

fn labels(state: &State) -> Vec<Vec<u8>> {
    let all: Vec<_> = state.labels.iter().collect();
    let part = |labels: &[(&(RepoId, String), &LabelAt)]| {
        let mut wire = WireLabels { set: vec![], gone: vec![] };
        for ((repo, name), at) in labels {
            match at.bundle {
                Some(bundle) => wire.set.push((*repo, name.clone(), bundle, at.seq)),
                None => wire.gone.push((*repo, name.clone(), at.seq)),
            }
        }
        bytes(&wire)
    };
    all.chunks(MOST_LABELS).map(part).collect()
}

fn repos(state: &State) -> Vec<u8> {
    let repos = state.repos.iter();
    let repos = repos.map(|(id, it)| (*id, it.name.clone(), it.deleted, it.changed, it.dropped)).collect();
    bytes(&WireRepos { repos })
}

fn drops(state: &State) -> Vec<Vec<u8>> {
    let all: Vec<_> = state.drops.iter().map(|((oid, repo), it)| (*oid, *repo, it.upto, it.at)).collect();
    all.chunks(MOST_LISTED).map(|part| bytes(&WireDrops { drops: part.to_vec() })).collect()
}

fn condemned(state: &State) -> Vec<Vec<u8>> {
    let all: Vec<_> = state.condemned.iter().map(|(pack, seq)| (*pack, *seq)).collect();
    let part = |packs: &[_]| bytes(&WireCondemned { floor: state.floor, packs: packs.to_vec() });
    match all.is_empty() && state.floor > 0 {
        true => vec![part(&[])],
        false => all.chunks(MOST_LISTED).map(part).collect(),
    }
}

fn forwards(state: &State) -> Vec<u8> {
    bytes(&WireForwards { forwards: state.forwards.values().flatten().copied().collect() })
}

/// Which blobs of a new checkpoint need writing: those that `parent` has too keep their place (their packs are to be named
/// by the new Checkpoint), the others are returned as bytes.
///
/// Blobs that lie together are read together, so what did not change is written again where that is no more than what has to be
/// written anyway: an open asks for one pack then, and not for one of each older checkpoint.
pub fn changed(parent: Option<&Checkpoint>, blobs: Blobs) -> (CheckpointBlobs, Blobs) {
    let kept = |kind: &str, bytes: &[u8]| {
        let old = parent.and_then(|parent| parent.blobs.get(kind));
        old.filter(|old| old.hash == hash(bytes)).copied()
    };
    let places: CheckpointBlobs =
        blobs.iter().filter_map(|(kind, bytes)| Some((kind.clone(), kept(kind, bytes)?))).collect();
    let (same, new): (Blobs, Blobs) = blobs.into_iter().partition(|(kind, _)| places.contains_key(kind));
    let size = |blobs: &Blobs| blobs.values().map(Vec::len).sum::<usize>();
    if size(&same) > size(&new) {
        (places, new)
    } else {
        (CheckpointBlobs::new(), same.into_iter().chain(new).collect())
    }
}

/// What [`super::change::CheckpointBlob`] calls the hash of a blob.
pub fn hash(blob: &[u8]) -> [u8; 32] {
    *blake3::hash(blob).as_bytes()
}

/// The state that a checkpoint covers, from its blobs. Kinds and keys that this version does not know are remembered (R10).
pub fn decode(rules: Rules, checkpoint: &Checkpoint, blobs: &Blobs) -> Result<State, BadCheckpoint> {
    let covers = checkpoint.covers;
    let mut state = State::new(rules);
    let mut understood = true;
    for (kind, named) in &checkpoint.blobs {
        let blob = blobs.get(kind).ok_or_else(|| BadCheckpoint::Missing { covers, kind: kind.clone() })?;
        let filled = (hash(blob) == named.hash).then(|| fill(&mut state, kind, blob)).flatten();
        understood &= filled.ok_or_else(|| BadCheckpoint::Damaged { covers, kind: kind.clone() })?;
    }
    let Some(next) = covers.checked_add(1) else {
        return Err(BadCheckpoint::Damaged { covers, kind: "covers".to_owned() });
    };
    state.next = next;
    if !understood || !state.segments.values().all(|segment| segment.at.is_known()) {
        state.note_unknown(covers, false);
    }
    Ok(state)
}

/// What a blob says, and whether this version knows all of it. The same test as for changes: understood is what would be written
/// the same again.
fn read<T: Serialize + DeserializeOwned>(blob: &[u8]) -> Option<(T, bool)> {
    let wire = rmp_serde::from_slice(blob).ok()?;
    let same = bytes(&wire) == blob;
    Some((wire, same))
}

/// Takes one blob into the state: whether it was understood; `None` when it cannot be read. An unknown kind is left out.
fn fill(state: &mut State, kind: &str, blob: &[u8]) -> Option<bool> {
    Some(match kind.split('.').next().unwrap_or(kind) {
        PACKS => {
            let (WirePacks { data, meta }, same) = read(blob)?;
            for (kind, packs) in [(PackKind::Data, data), (PackKind::Meta, meta)] {
                state.packs.extend(
                    packs.into_iter().map(|(id, size, footer)| (id, PackInfo { kind, size, footer })),
                );
            }
            same
        }
        SEGMENTS => {
            let (WireSegments { segments }, same) = read(blob)?;
            let segments = segments.into_iter();
            state.segments.extend(
                segments.map(|(at, born, oldest, clean)| (at.fence, Segment { at, born, oldest, clean })),
            );
            same
        }
        BUNDLES => {
            let (WireBundles { bundles }, same) = read(blob)?;
            let bundle = |(id, repo, root, seq)| {
                (id, Bundle { repo, root, seq, revised: 0, commit: None, tree: None })
            };
            state.bundles.all_mut().extend(bundles.into_iter().map(bundle));
            same
        }
        COMMITS => {
            let (WireCommits { commits, trees }, same) = read(blob)?;
            // Blobs come in the order of their kinds, so bundles were read before.
            let known = state.bundles.all_mut();
            for (id, commit) in commits {
                known.get_mut(&id)?.commit = Some(commit);
            }
            for (id, tree) in trees {
                known.get_mut(&id)?.tree = Some(tree);
            }
            same
        }
        REVISIONS => {
            let (WireRevisions { revisions }, same) = read(blob)?;
            let known = state.bundles.all_mut();
            for (id, seq) in revisions {
                known.get_mut(&id)?.revised = seq;
            }
            same
        }
        LABELS => {
            let (WireLabels { set, gone }, same) = read(blob)?;
            let set = set.into_iter().map(|(repo, name, bundle, seq)| (repo, name, Some(bundle), seq));
            let gone = gone.into_iter().map(|(repo, name, seq)| (repo, name, None, seq));
            let label = |(repo, name, bundle, seq)| ((repo, name), LabelAt { bundle, seq });
            state.labels.extend(set.chain(gone).map(label));
            same
        }
        REPOS => {
            let (WireRepos { repos }, same) = read(blob)?;
            let repo = |(id, name, deleted, changed, dropped)| (id, Repo { name, deleted, changed, dropped });
            state.repos.extend(repos.into_iter().map(repo));
            same
        }
        DROPS => {
            let (WireDrops { drops }, same) = read(blob)?;
            let drops = drops.into_iter();
            state.drops.extend(drops.map(|(oid, repo, upto, at)| ((oid, repo), Killed { upto, at })));
            same
        }
        CONDEMNED => {
            let (WireCondemned { floor, packs }, same) = read(blob)?;
            state.floor = state.floor.max(floor);
            state.condemned.extend(packs);
            same
        }
        FORWARDS => {
            let (WireForwards { forwards }, same) = read(blob)?;
            for forward in forwards {
                state.forwards.entry(forward.from).or_default().push(forward);
            }
            same
        }
        _ => false,
    })
}

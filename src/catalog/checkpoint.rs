//! Checkpoints: the state as one blob per kind.
//!
//! A blob is a msgpack map of flat lists in key order, so equal states give equal bytes and a blob that did not change since
//! the last checkpoint keeps its place. The lists that grow with the store (packs, drops, condemned) go on in further blobs,
//! `packs.1` and so on. Where blobs lie and how they are compressed is the business of whoever stores them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::change::{Checkpoint, CheckpointBlobs, Forward, SegmentRef};
use super::rules::Rules;
use super::state::{Bundle, Killed, Repo, Segment, State};
use crate::id::{BundleId, Oid, PackId, RepoId};
use crate::pack::{Blob, PackInfo, PackKind};

/// The blobs of a checkpoint as bytes, by kind.
pub type Blobs = BTreeMap<String, Vec<u8>>;

/// A checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadCheckpoint {
    /// A blob that the checkpoint names was not given.
    #[error("the checkpoint covering entry {covers} lacks its blob {kind:?}; run `git datamon fsck`")]
    Missing {
        /// What the checkpoint covers.
        covers: u64,
        /// The kind.
        kind: String,
    },
    /// A blob is not the one that was written, or says something impossible.
    #[error("blob {kind:?} of the checkpoint covering entry {covers} is damaged; run `git datamon fsck`")]
    Damaged {
        /// What the checkpoint covers.
        covers: u64,
        /// The kind.
        kind: String,
    },
}

/// What the longest lists have in one blob: it is one frame, and a list that only grows at its end keeps its first parts.
const MOST_LISTED: usize = 1 << 17;

const PACKS: &str = "packs";
const SEGMENTS: &str = "segments";
const BUNDLES: &str = "bundles";
const REPOS: &str = "repos";
const DROPS: &str = "drops";
const CONDEMNED: &str = "condemned";
const FORWARDS: &str = "forwards";

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
        (BUNDLES, !state.bundles.is_empty(), bundles(state)),
        (REPOS, !state.repos.is_empty(), repos(state)),
        (FORWARDS, !state.forwards.is_empty(), forwards(state)),
    ];
    let full = full.into_iter().filter(|(_, some, _)| *some).map(|(kind, _, bytes)| (kind.to_owned(), bytes));
    full.chain(parts(PACKS, packs(state)))
        .chain(parts(DROPS, drops(state)))
        .chain(parts(CONDEMNED, condemned(state)))
        .collect()
}

/// The name of each blob of a long list.
fn parts(kind: &str, blobs: Vec<Vec<u8>>) -> impl Iterator<Item = (String, Vec<u8>)> {
    let name = move |n| if n == 0 { kind.to_owned() } else { format!("{kind}.{n}") };
    blobs.into_iter().enumerate().map(move |(n, bytes)| (name(n), bytes))
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
    all.chunks(MOST_LISTED).map(part).collect()
}

fn segments(state: &State) -> Vec<u8> {
    let segments = state.segments.values().map(|it| (it.at.clone(), it.born, it.oldest, it.clean)).collect();
    bytes(&WireSegments { segments })
}

fn bundles(state: &State) -> Vec<u8> {
    let bundles = state.bundles.iter().map(|(id, it)| (*id, it.repo, it.root, it.seq)).collect();
    bytes(&WireBundles { bundles })
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
pub fn changed(parent: Option<&Checkpoint>, blobs: Blobs) -> (CheckpointBlobs, Blobs) {
    let mut kept = CheckpointBlobs::new();
    let mut write = Blobs::new();
    for (kind, bytes) in blobs {
        let old = parent.and_then(|parent| parent.blobs.get(&kind));
        match old.filter(|old| old.hash == hash(&bytes)) {
            Some(old) => drop(kept.insert(kind, *old)),
            None => drop(write.insert(kind, bytes)),
        }
    }
    (kept, write)
}

/// What [`super::change::CheckpointBlob`] calls the hash of a blob.
pub fn hash(blob: &[u8]) -> [u8; 32] {
    *blake3::hash(blob).as_bytes()
}

/// The state that a checkpoint covers, from its blobs. Kinds and keys that this version does not know are remembered (R10).
pub fn decode(rules: Rules, checkpoint: &Checkpoint, blobs: &Blobs) -> Result<State, BadCheckpoint> {
    let covers = checkpoint.covers;
    let mut state = State::new(rules);
    for (kind, named) in &checkpoint.blobs {
        let blob = blobs.get(kind).ok_or_else(|| BadCheckpoint::Missing { covers, kind: kind.clone() })?;
        if hash(blob) != named.hash || fill(&mut state, kind, blob).is_none() {
            return Err(BadCheckpoint::Damaged { covers, kind: kind.clone() });
        }
    }
    let Some(next) = covers.checked_add(1) else {
        return Err(BadCheckpoint::Damaged { covers, kind: "covers".to_owned() });
    };
    state.next = next;
    // The same test as for changes: understood is what would be written the same again.
    let again = encode(&state, None);
    let same = checkpoint.blobs.keys().all(|kind| again.get(kind) == blobs.get(kind));
    if !same || !state.segments.values().all(|segment| segment.at.is_known()) {
        state.note_unknown(covers, false);
    }
    Ok(state)
}

fn read<T: DeserializeOwned>(blob: &[u8]) -> Option<T> {
    rmp_serde::from_slice(blob).ok()
}

/// Takes one blob into the state; `None` when it cannot be read. An unknown kind is left out, which the caller notices.
fn fill(state: &mut State, kind: &str, blob: &[u8]) -> Option<()> {
    match kind.split('.').next().unwrap_or(kind) {
        PACKS => {
            let WirePacks { data, meta } = read(blob)?;
            for (kind, packs) in [(PackKind::Data, data), (PackKind::Meta, meta)] {
                state.packs.extend(
                    packs.into_iter().map(|(id, size, footer)| (id, PackInfo { kind, size, footer })),
                );
            }
        }
        SEGMENTS => {
            let WireSegments { segments } = read(blob)?;
            let segments = segments.into_iter();
            state.segments.extend(
                segments.map(|(at, born, oldest, clean)| (at.fence, Segment { at, born, oldest, clean })),
            );
        }
        BUNDLES => {
            let WireBundles { bundles } = read(blob)?;
            let bundles = bundles.into_iter();
            state.bundles.extend(bundles.map(|(id, repo, root, seq)| (id, Bundle { repo, root, seq })));
        }
        REPOS => {
            let WireRepos { repos } = read(blob)?;
            let repo = |(id, name, deleted, changed, dropped)| (id, Repo { name, deleted, changed, dropped });
            state.repos.extend(repos.into_iter().map(repo));
        }
        DROPS => {
            let WireDrops { drops } = read(blob)?;
            let drops = drops.into_iter();
            state.drops.extend(drops.map(|(oid, repo, upto, at)| ((oid, repo), Killed { upto, at })));
        }
        CONDEMNED => {
            let WireCondemned { floor, packs } = read(blob)?;
            state.floor = state.floor.max(floor);
            state.condemned.extend(packs);
        }
        FORWARDS => {
            let WireForwards { forwards } = read(blob)?;
            for forward in forwards {
                state.forwards.entry(forward.from).or_default().push(forward);
            }
        }
        _ => {}
    }
    Some(())
}

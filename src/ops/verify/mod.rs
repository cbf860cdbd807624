//! Verify: is everything the log promises there, and right?
//!
//! The log is read entry by entry, its chain and tails compared, its fold compared with what the newest checkpoint leads to (R7).
//! Then the tables, each recipe against the footers of its packs, the pages of every version, each pack against its promised size.
//! Deeper, packs are read and their chunks hashed, and files are rebuilt. Nothing is repaired and nothing is skipped: what cannot be
//! read is a problem. Of a store that cannot be opened any more [`inspect`] says what its log still shows.

mod log;
mod packs;
mod repeats;
mod rows;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Serialize;

pub use log::inspect;
use packs::Chosen;

use crate::catalog::change::TableKind;
use crate::catalog::{Catalog, CatalogError};
use crate::id::{Oid, PackId, RepoId};
use crate::pack::Blob;
use crate::progress::Progress;
use crate::table::{Leads, Row, TableError, is_frame_damaged};

/// Files that are named in one note.
const TOLD: usize = 20;

/// How deep a verification goes; each depth includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Log, tables, versions, and each pack by its size and footer.
    Promises,
    /// And the bytes of so many percent of the packs, drawn anew each time: every chunk in them is hashed.
    Data(u8),
    /// The same of the n-th of so many parts, counted from 1: together they are all packs, and a pack stays in its part.
    Part(u16, u16),
    /// And every file is rebuilt from its recipe and hashed, without being kept.
    Files,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What, about which object.
    pub what: String,
    /// Files that cannot be read because of it.
    #[serde(serialize_with = "oids")]
    pub oids: BTreeSet<Oid>,
}

fn oids<S: serde::Serializer>(oids: &BTreeSet<Oid>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(oids.iter().map(Oid::to_string))
}

/// What a verification found.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is there and belongs to nothing: interrupted uploads, files of others.
    pub notes: Vec<String>,
    /// Log entries read.
    pub entries: u64,
    /// Rows checked.
    pub rows: u64,
    /// Packs checked.
    pub packs: u64,
    /// Packs that nothing in the log names: of uploads that were interrupted, or are under way.
    pub unused_packs: u64,
    /// Their bytes.
    pub unused_bytes: u64,
    /// Packs that lie in an archive: they are there with the right size, and nothing in them was looked at.
    pub archived_packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Packs of which every byte was read and hashed; 0 unless that was asked for.
    pub data_packs: u64,
    /// Their bytes.
    pub data_bytes: u64,
    /// Its entries that cannot be read.
    #[serde(skip)]
    pub bad_entries: Vec<u64>,
    /// Packs that are damaged or missing.
    #[serde(skip)]
    pub bad_packs: Vec<PackId>,
    /// Packs of which every byte was read and is right.
    #[serde(skip)]
    pub good_packs: Vec<PackId>,
    /// Versions whose pages were read.
    pub versions: u64,
    /// Files that were rebuilt and hashed; 0 unless that was asked for.
    pub rebuilt: u64,
    /// Files that repeat what they have for too long to be hashed: their chunks are there and right, and that is all that is known.
    pub unhashed: u64,
    /// Their bytes, as they are promised.
    pub unhashed_bytes: u64,
    /// Files that redactions gave up, by repo, and the entries.
    #[serde(skip)]
    redacted: BTreeMap<(Oid, RepoId), u64>,
    /// Those of them that somebody pushed since, by entry.
    #[serde(skip)]
    back: BTreeMap<u64, BTreeSet<Oid>>,
    /// Files that the store rebuilds with other bytes, though its packs are right.
    #[serde(skip)]
    pub wrong: BTreeSet<Oid>,
}

impl Findings {
    /// Something that is wrong with the store, and hits no file by itself. What helps is said once, of all of them.
    pub fn problem(&mut self, what: impl Display) {
        self.problems.push(Problem { what: format!("{what:#}"), oids: BTreeSet::new() });
    }

    /// What came of reading a frame there shows whether its pack is damaged.
    fn suspect(&mut self, catalog: &Catalog, at: &Blob, error: &TableError) {
        if is_frame_damaged(catalog.store(), at, error) {
            self.bad_packs.push(at.pack);
        }
    }

    /// Nobody was asked when they came: git-lfs has no words for what it sends.
    fn note_what_is_back(&mut self) {
        for (seq, oids) in std::mem::take(&mut self.back) {
            let some: Vec<String> = oids.iter().take(TOLD).map(Oid::to_string).collect();
            let more = oids.len() - some.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.notes.push(format!(
                "what a redaction took out (entry {seq}) was pushed again since, and is there: {}{more}; what no version has of that \
                 goes again by `git datamon redact --oid`, other files by their path",
                some.join(", ")
            ));
        }
    }

    /// A file is hit by something that may hit others too.
    fn hit(&mut self, what: String, oid: Oid) {
        let known = self.problems.iter().rposition(|problem| problem.what == what);
        let at = known.unwrap_or_else(|| {
            self.problem(&what);
            self.problems.len() - 1
        });
        self.problems[at].oids.insert(oid);
    }
}

/// Verify the whole store. An error means that the verification itself could not be done.
pub fn verify(catalog: &Catalog, depth: Depth, progress: &dyn Progress) -> Result<Findings, CatalogError> {
    let mut findings = Findings::default();
    let listed = catalog.store().list("", "")?;
    log::check(catalog, &listed, &mut findings)?;
    let (footers, bad) = packs::check(catalog, &listed, Chosen::by(depth), progress, &mut findings);
    let mut needed = Needed::by_log(catalog);
    rows::check(catalog, &footers, &mut needed, &mut findings);
    findings.note_what_is_back();
    versions::check(catalog, &footers, &mut needed, &mut findings);
    // Nothing that is in the store needs them, and the next merge leaves them out.
    let hooks = catalog.damaged_hooks().into_iter();
    findings.notes.extend(
        hooks.map(|error| format!("hooks cannot be read, similar data may be stored twice: {error:#}")),
    );
    for (pack, what) in bad {
        findings.bad_packs.push(pack);
        if needed.has(pack) {
            findings.problem(what);
        } else {
            findings.notes.push(format!("{what}; nothing needs it any more"));
        }
    }
    if depth == Depth::Files {
        rows::rebuild(catalog, &footers, progress, &mut findings);
    }
    Ok(findings)
}

/// Packs that something relies on; of the others damage costs nothing.
#[derive(Default)]
struct Needed {
    packs: BTreeSet<PackId>,
    /// Not everything that relies on packs can be read.
    unknown: bool,
}

impl Needed {
    /// What the log itself leads to: the newest checkpoint, tables, the roots of versions.
    fn by_log(catalog: &Catalog) -> Needed {
        let state = catalog.state();
        let checkpoint = state.checkpoint().into_iter().flat_map(|(_, newest)| newest.blobs.values());
        let tables = state.table(TableKind::Files).map(|segment| segment.at.fence.pack);
        let roots = state.bundles().values().map(|bundle| state.lead(&bundle.root).pack);
        let packs = checkpoint.map(|blob| blob.at.pack).chain(tables).chain(roots).collect();
        Needed { packs, unknown: false }
    }

    /// What was stored elsewhere is needed where it lies now.
    fn add(&mut self, row: &Row, catalog: &Catalog) {
        let state = catalog.state();
        for pack in catalog.packs_of(row) {
            match state.packs().contains_key(&pack) {
                true => drop(self.packs.insert(pack)),
                false => self.packs.extend(state.heirs(pack)),
            }
        }
    }

    fn has(&self, pack: PackId) -> bool {
        self.unknown || self.packs.contains(&pack)
    }
}

//! Survey: what a store holds, counted.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::receipt::UploadStats;
use crate::catalog::{Catalog, CatalogError};
use crate::id::{PackId, PackKind};
use crate::store::{Counts, key};

/// Objects of one kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Objects {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a store holds.
#[derive(Debug, Clone, Serialize)]
pub struct Survey {
    /// Where it lies.
    pub url: String,
    /// Its identity.
    pub store: String,
    /// Files of all repos, each content once.
    pub files: u64,
    /// Their bytes.
    pub logical_bytes: u64,
    /// Distinct chunks in data packs.
    pub chunks: u64,
    /// Their raw bytes.
    pub unique_raw_bytes: u64,
    /// Bytes of all objects.
    pub stored_bytes: u64,
    /// Objects by kind: `data`, `meta`, `log`, `other`.
    pub objects: BTreeMap<&'static str, Objects>,
    /// Packs that nothing in the log names: of uploads that were interrupted, or are under way.
    pub unused: Objects,
    /// The newest log entry.
    pub log_head: u64,
    /// The last transfer of this machine with the store.
    pub last_transfer: Option<LastTransfer>,
}

/// What the last transfer of this machine with a store cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTransfer {
    /// Whether data went up.
    pub upload: bool,
    /// Its requests and bytes.
    pub requests: Counts,
    /// What was uploaded.
    pub uploaded: Option<UploadStats>,
}

const LAST: &str = "last-transfer";

impl LastTransfer {
    /// Keep it for the next survey.
    pub fn keep(&self, catalog: &Catalog) {
        catalog.cache().put(LAST, &serde_json::to_vec(self).expect("plain values always encode"));
    }

    fn of(catalog: &Catalog) -> Option<Self> {
        serde_json::from_slice(&catalog.cache().get(LAST)?).ok()
    }
}

/// Whether the log knows the pack, or has given it up.
pub(super) fn is_named(catalog: &Catalog, pack: PackId) -> bool {
    let state = catalog.state();
    state.packs().contains_key(&pack) || state.condemned().contains_key(&pack)
}

/// Count what the store holds: one LIST, its tables, and the footer of every data pack.
pub fn survey(catalog: &Catalog) -> Result<Survey, CatalogError> {
    let mut objects: BTreeMap<&'static str, Objects> = BTreeMap::new();
    let mut unused = Objects::default();
    for listed in catalog.store().list("", "")? {
        let kind = match &listed.key {
            name if name.starts_with(key::DATA) => "data",
            name if name.starts_with(key::META) => "meta",
            name if name.starts_with(key::LOG) => "log",
            _ => "other",
        };
        let unknown = key::pack_id(&listed.key).is_some_and(|(_, pack)| !is_named(catalog, pack));
        for counted in [Some(objects.entry(kind).or_default()), unknown.then_some(&mut unused)] {
            let Some(counted) = counted else { continue };
            counted.count += 1;
            counted.bytes += listed.size;
        }
    }
    let (mut last, mut files, mut logical) = (None, 0, 0u64);
    for rows in catalog.live_rows()? {
        for row in rows? {
            // The rows of one oid follow each other.
            if last.replace(row.oid) != Some(row.oid) {
                files += 1;
                logical = logical.saturating_add(row.size);
            }
        }
    }
    let (mut seen, mut unique) = (HashSet::new(), 0);
    for (pack, info) in catalog.state().packs() {
        if info.kind == PackKind::Data
            && let Some(footer) = catalog.footer(*pack)?
        {
            for (id, raw) in footer.frames.iter().flat_map(|frame| &frame.chunks) {
                if seen.insert(*id) {
                    unique += u64::from(*raw);
                }
            }
        }
    }
    Ok(Survey {
        url: catalog.store().url().to_string(),
        store: catalog.identity().store.to_string(),
        files,
        logical_bytes: logical,
        chunks: seen.len() as u64,
        unique_raw_bytes: unique,
        stored_bytes: objects.values().map(|it| it.bytes).sum(),
        objects,
        unused,
        log_head: catalog.head().seq(),
        last_transfer: LastTransfer::of(catalog),
    })
}

//! Receipts: what one upload made durable (R12).
//!
//! Written only after the slot of its entry was resolved. The agent answers "complete" for an oid that a receipt of *this* push
//! lists and for nothing else; the pre-push hook hands its receipt to the agent through the environment.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::catalog::Landed;
use crate::id::{EntryHash, Oid, RepoId, StoreId};
use crate::store::Counts;

/// The environment variable with the path of the receipt of the push that runs.
pub const RECEIPT_ENV: &str = "DATAMON_RECEIPT";

/// What one upload made durable, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The store.
    pub store: StoreId,
    /// Where it lies.
    pub url: String,
    /// The repo that pushed.
    pub repo: RepoId,
    /// The entries that promise the rows: seq and hash.
    pub entries: Vec<(u64, EntryHash)>,
    /// What is durable.
    #[serde(with = "oid_list")]
    pub oids: BTreeSet<Oid>,
}

/// What an upload cost: for tables that people read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadStats {
    /// Files whose bytes were sent or found.
    pub files: u64,
    /// Of these, files the store had already.
    pub known: u64,
    /// Bytes of all files.
    pub logical: u64,
    /// Raw bytes of chunks the store did not have.
    pub new_raw: u64,
    /// Bytes of packs written.
    pub stored: u64,
    /// Requests.
    pub requests: Counts,
}

impl UploadStats {
    /// Add what another part cost.
    pub fn add(&mut self, part: UploadStats) {
        self.files += part.files;
        self.known += part.known;
        self.logical += part.logical;
        self.new_raw += part.new_raw;
        self.stored += part.stored;
    }
}

impl Receipt {
    /// A receipt for nothing yet.
    pub fn new(store: StoreId, url: &str, repo: RepoId) -> Self {
        Receipt { store, url: url.to_owned(), repo, entries: vec![], oids: BTreeSet::new() }
    }

    /// The entry landed and promises these.
    pub fn add(&mut self, landed: Landed, oids: impl IntoIterator<Item = Oid>) {
        self.entries.push((landed.seq, landed.hash));
        self.oids.extend(oids);
    }

    /// Whether the receipt is of this store, at this URL, and of this repo.
    pub fn is_of(&self, store: StoreId, url: &str, repo: RepoId) -> bool {
        self.store == store && self.url == url && self.repo == repo
    }

    /// Write it where the agent of this push will look.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        fs::write(path, serde_json::to_vec(self).expect("plain values always encode"))
    }

    /// The receipt at `path`; none if it cannot be read, which only costs a touch.
    pub fn read(path: &Path) -> Option<Receipt> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

mod oid_list {
    use super::{BTreeSet, Oid};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(oids: &BTreeSet<Oid>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(oids.iter().map(Oid::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Oid>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|text| text.parse().map_err(D::Error::custom))
            .collect()
    }
}

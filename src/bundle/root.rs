//! The root of a bundle: what it is, and where its pages lie.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::entry::check_path;
use super::page::PageRef;
use super::read::{damaged, inconsistent};
use crate::id::{BundleId, GitId, PackId, RepoId};
use crate::pack::Blob;
use crate::table::TableError;

/// What is said of a bundle beside its entries; informative, but for what it is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What its maker said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The bundles it came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BundleId>,
    /// Who made it, as git writes people: `Name <mail>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributors: Vec<String>,
    /// What git says of the signature of its commit, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The git commit it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitId>,
    /// The git tree it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<GitId>,
    /// The path of the dataset in the git repository; empty for all of it.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<u8>,
    /// What of the tree is in it: `lfs` for what git-lfs tracks only; everything where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<String>,
    /// Paths of files or folders that were taken out of it since it was made, and of those that it was made from without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<ByteBuf>,
    /// How often that was done.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// When, by the maker's clock, milliseconds since 1970.
    pub time: u64,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A bundle: what it is, and its pages in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The bundle.
    pub id: BundleId,
    /// The repo it belongs to.
    pub repo: RepoId,
    /// What is said of it.
    pub facts: Facts,
    /// Its pages.
    pub pages: Vec<PageRef>,
}

/// first path, entries, bytes of their files, position of the pack, offset, stored length, hash
type WirePage = (ByteBuf, u32, u64, u32, u64, u32, ByteBuf);

#[derive(Serialize, Deserialize)]
struct WireRoot {
    bundle: BundleId,
    repo: RepoId,
    facts: Facts,
    packs: Vec<PackId>,
    pages: Vec<WirePage>,
}

impl Root {
    /// How many entries it has.
    pub fn rows(&self) -> u64 {
        self.pages.iter().map(|page| u64::from(page.rows)).sum()
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.pages.iter().map(|page| page.bytes).fold(0, u64::saturating_add)
    }

    /// Its bytes: a msgpack map.
    pub fn encode(&self) -> Vec<u8> {
        let mut packs: Vec<PackId> = self.pages.iter().map(|page| page.blob.pack).collect();
        packs.sort_unstable();
        packs.dedup();
        let page = |page: &PageRef| {
            let at = packs.partition_point(|pack| *pack < page.blob.pack);
            let at = u32::try_from(at).expect("a bundle has fewer packs than pages");
            let Blob { offset, stored, .. } = page.blob;
            (page.first.clone().into(), page.rows, page.bytes, at, offset, stored, page.hash.to_vec().into())
        };
        let pages = self.pages.iter().map(page).collect();
        let wire = WireRoot { bundle: self.id, repo: self.repo, facts: self.facts.clone(), packs, pages };
        rmp_serde::to_vec_named(&wire).expect("plain values always encode")
    }

    /// A root from its bytes, which lay in a meta pack.
    pub fn decode(pack: PackId, bytes: &[u8]) -> Result<Root, TableError> {
        let bad = |why| inconsistent(pack, why);
        let wire: WireRoot = rmp_serde::from_slice(bytes).map_err(|error| damaged(pack, error.into()))?;
        let mut pages: Vec<PageRef> = Vec::with_capacity(wire.pages.len());
        for (first, rows, bytes, at, offset, stored, hash) in wire.pages {
            let pack = *wire.packs.get(at as usize).ok_or_else(|| bad("a page names no pack"))?;
            let hash = hash.as_slice().try_into().map_err(|_| bad("a page has no hash"))?;
            let first = first.into_vec();
            check_path(&first).map_err(|error| bad(error.why))?;
            if rows == 0 || pages.last().is_some_and(|last| last.first >= first) {
                return Err(bad("pages are empty or not in order"));
            }
            pages.push(PageRef { first, rows, bytes, blob: Blob { pack, offset, stored }, hash });
        }
        Ok(Root { id: wire.bundle, repo: wire.repo, facts: wire.facts, pages })
    }
}

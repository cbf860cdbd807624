//! Tests of the pure catalog that need no schedules; those are in `tests/models`.

mod bytes;
mod checks;
mod folds;
mod runs;

use super::change::{BundleRef, Push, RowBlock, SegmentRef, TableKind};
use super::{Change, ChangeRecord, Writer};
use crate::id::{BundleId, Nonce, Oid, PackId, Prefix, RepoId};
use crate::pack::{Blob, PackInfo, PackKind};
use crate::table::Written;

fn pack(n: u8) -> PackId {
    PackId::from_bytes([n; 16])
}

fn repo(n: u8) -> RepoId {
    RepoId::from_bytes([n; 16])
}

fn bundle(n: u8) -> BundleId {
    BundleId::from_bytes([n; 16])
}

fn oid(n: u8) -> Oid {
    Oid::from_bytes([n; 32])
}

fn frame(n: u8) -> Blob {
    Blob { pack: pack(n), offset: 16, stored: 100 }
}

fn segment(n: u8) -> SegmentRef {
    let (first, last) = (Prefix::from_bytes([n; 8]), Prefix::from_bytes([n | 0xf0; 8]));
    SegmentRef::new(TableKind::Files, &Written { start: 16, fence: frame(n), rows: 3, first, last })
}

/// A change that adds packs, with nothing random in it.
fn record(base: u64, added: &[u8], change: Change) -> ChangeRecord {
    let writer =
        Writer { tool: "git-datamon".into(), version: "0.1.0".into(), contributor: Some("ada".into()) };
    let mut record = ChangeRecord::new(base, change, writer, 1_700_000_000_000);
    record.nonce = Nonce::from_bytes([base as u8; 16]);
    let kind = |n: u8| if n.is_multiple_of(2) { PackKind::Data } else { PackKind::Meta };
    record.added =
        added.iter().map(|n| (pack(*n), PackInfo { kind: kind(*n), size: 1000, footer: 100 })).collect();
    record
}

fn push(repo: RepoId) -> Push {
    Push { repo, rows: None, segments: vec![], labels: vec![], bundles: vec![] }
}

fn inline(repo: RepoId) -> Push {
    Push { rows: Some(RowBlock { rows: 1, bytes: vec![1, 2, 3] }), ..push(repo) }
}

fn bundle_on(n: u8, base: Option<u8>, root: u8) -> BundleRef {
    BundleRef {
        id: bundle(n),
        repo: RepoId::NIL,
        base: base.map(bundle),
        root: frame(root),
        commit: None,
        tree: None,
    }
}

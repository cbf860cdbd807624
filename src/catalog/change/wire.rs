//! The bytes of a change: one map, in it one key per kind.
//!
//! A kind is a key rather than a tag, so that a record of an unknown kind is still a map whose common keys can be read:
//! packs that it adds enter the table, packs that it names are spared by collectors.

use serde::{Deserialize, Serialize};

use super::{
    Change, ChangeRecord, Checkpoint, Compact, Condemn, Drop, Forget, Label, Push, REVISED, Redact,
    RepoChange, SegmentRef, Writer,
};
use crate::id::{Nonce, PackId, StoreId};
use crate::pack::PackInfo;

/// Bytes that are no change, not even one of an unknown kind.
#[derive(Debug, thiserror::Error)]
#[error("a change cannot be read by this version; upgrade git-datamon: {0}")]
pub struct BadChange(#[from] rmp_serde::decode::Error);

#[derive(Serialize, Deserialize)]
struct Common {
    base: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    added: Vec<(PackId, PackInfo)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    named: Vec<PackId>,
    nonce: Nonce,
    writer: Writer,
    time: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    must_understand: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
}

macro_rules! kinds {
    ($($key:ident: $value:ty),* $(,)?) => {
        #[derive(Default, Serialize, Deserialize)]
        #[serde(default)]
        struct Kinds {
            $(#[serde(skip_serializing_if = "Option::is_none")] $key: Option<$value>,)*
        }
    };
}

kinds! {
    init: StoreId,
    repo: RepoChange,
    push: Push,
    label: Label,
    compact: Compact,
    drop: Drop,
    redact: Redact,
    condemn: Condemn,
    forget: Forget,
    checkpoint: Checkpoint,
}

impl Kinds {
    fn of(change: &Change) -> Kinds {
        let none = Kinds::default();
        match change.clone() {
            Change::Init { store } => Kinds { init: Some(store), ..none },
            Change::Repo(it) => Kinds { repo: Some(it), ..none },
            Change::Push(it) => Kinds { push: Some(it), ..none },
            Change::Label(it) => Kinds { label: Some(it), ..none },
            Change::Compact(it) => Kinds { compact: Some(it), ..none },
            Change::Drop(it) => Kinds { drop: Some(it), ..none },
            Change::Redact(it) => Kinds { redact: Some(it), ..none },
            Change::Condemn(it) => Kinds { condemn: Some(it), ..none },
            Change::Forget(it) => Kinds { forget: Some(it), ..none },
            Change::Checkpoint(it) => Kinds { checkpoint: Some(it), ..none },
            Change::Unknown => none,
        }
    }

    /// The one change, or [`Change::Unknown`] when there is none or more than one.
    fn change(self) -> Change {
        let mut all = [
            self.init.map(|store| Change::Init { store }),
            self.repo.map(Change::Repo),
            self.push.map(Change::Push),
            self.label.map(Change::Label),
            self.compact.map(Change::Compact),
            self.drop.map(Change::Drop),
            self.redact.map(Change::Redact),
            self.condemn.map(Change::Condemn),
            self.forget.map(Change::Forget),
            self.checkpoint.map(Change::Checkpoint),
        ]
        .into_iter()
        .flatten();
        match (all.next(), all.next()) {
            (Some(change), None) => change,
            _ => Change::Unknown,
        }
    }
}

impl ChangeRecord {
    /// The bytes of the change, as its own entry and all tails carry them.
    ///
    /// # Panics
    /// On a record that was read with [`ChangeRecord::is_unknown`]: its bytes are carried, never made again.
    pub fn encode(&self) -> Vec<u8> {
        assert!(!self.unknown, "an unknown change is carried as the bytes it was read from");
        self.to_bytes()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let common = Common {
            base: self.base,
            added: self.added.clone(),
            named: self.named.clone(),
            nonce: self.nonce,
            writer: self.writer.clone(),
            time: self.time,
            must_understand: self.must_understand,
            flags: self.flags.clone(),
        };
        let mut bytes = rmp_serde::to_vec_named(&common).expect("plain values always encode");
        let kinds = rmp_serde::to_vec_named(&Kinds::of(&self.change)).expect("plain values always encode");
        join_maps(&mut bytes, &kinds);
        bytes
    }

    /// A change from its bytes; what this version does not know is remembered, see [`ChangeRecord::is_unknown`].
    pub fn decode(bytes: &[u8]) -> Result<ChangeRecord, BadChange> {
        let common: Common = rmp_serde::from_slice(bytes)?;
        let change = rmp_serde::from_slice::<Kinds>(bytes).map_or(Change::Unknown, Kinds::change);
        let mut record = ChangeRecord {
            base: common.base,
            added: common.added,
            named: common.named,
            nonce: common.nonce,
            writer: common.writer,
            time: common.time,
            must_understand: common.must_understand,
            flags: common.flags,
            change,
            unknown: false,
        };
        record.unknown = record.flags.iter().any(|flag| flag != REVISED)
            || record.change == Change::Unknown
            || !record.segments().all(SegmentRef::is_known)
            || record.to_bytes() != bytes;
        Ok(record)
    }
}

/// Appends the keys of a small map to a small map: both have fewer than 16 keys together, so one header byte counts them.
fn join_maps(map: &mut Vec<u8>, more: &[u8]) {
    const FIXMAP: u8 = 0x80;
    let keys = (map[0] - FIXMAP) + (more[0] - FIXMAP);
    assert!(keys < 16, "a change has fewer than 16 keys");
    map[0] = FIXMAP | keys;
    map.extend_from_slice(&more[1..]);
}

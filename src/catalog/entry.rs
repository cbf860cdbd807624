//! Entries: the objects of the log.
//!
//! ```text
//! magic "gdmlog"  6 bytes   version  u16 LE   body length  u32 LE   BLAKE3 of the body  32 bytes   body
//! ```
//! The body is a msgpack map. It holds the entry's own change and the *tail*: every change after what the newest checkpoint
//! covers (R7), the Checkpoint change itself among them, each copied byte for byte (R10). So the newest entry alone leads to
//! everything: the checkpoint's blobs, then the tail, then its own change.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::change::{BadChange, Change, ChangeRecord, Checkpoint};
use super::rules::{Rule, Rules};
use crate::id::EntryHash;

/// The version of the entry format that this program writes. Provisional: 0 promises nothing.
pub const FORMAT: u16 = 1;

/// Entries longer than this are neither written nor read, bytes.
pub const MAX_LEN: usize = 16 << 20;

const MAGIC: [u8; 6] = *b"gdmlog";
const HEADER: usize = MAGIC.len() + 2 + 4 + 32;

/// An object of the log that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// Written by a newer version: nothing is wrong with it (R10).
    #[error("log entry {seq} has format {found}, this version reads {FORMAT}; upgrade git-datamon")]
    Newer {
        /// Where it was read.
        seq: u64,
        /// Its format.
        found: u16,
    },
    /// Not the bytes that were written.
    #[error(fmt = damaged)]
    Damaged {
        /// Where it was read.
        seq: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A change in it cannot be read.
    #[error("log entry {seq} holds a change of entry {of}: {source}")]
    Change {
        /// Where it was read.
        seq: u64,
        /// The entry whose change it is.
        of: u64,
        /// Why.
        source: BadChange,
    },
    /// An entry to be written is longer than [`MAX_LEN`].
    #[error("log entry {seq} would have {len} bytes, more than {MAX_LEN}; write a checkpoint first")]
    TooLong {
        /// Where it would be written.
        seq: u64,
        /// Its length.
        len: usize,
    },
}

/// What is wrong, and what helps; `{:#}` leaves that out, for who says it better.
fn damaged(seq: &u64, what: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "log entry {seq} is damaged: {what}")?;
    if f.alternate() { Ok(()) } else { f.write_str("; run `git datamon fsck`") }
}

/// The bytes of an entry with the version of this program in the place of theirs.
pub(super) fn of_this_format(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    bytes.get_mut(MAGIC.len()..MAGIC.len() + 2)?.copy_from_slice(&FORMAT.to_le_bytes());
    Some(bytes)
}

/// One object of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    seq: u64,
    prev: EntryHash,
    checkpoint: Option<u64>,
    tail: Vec<(u64, Vec<u8>)>,
    change: Vec<u8>,
    unknown: bool,
}

#[derive(Serialize, Deserialize)]
struct Body {
    seq: u64,
    prev: EntryHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tail: Vec<(u64, ByteBuf)>,
    change: ByteBuf,
}

impl Entry {
    /// log/0, with an Init change.
    pub fn first(change: Vec<u8>) -> Entry {
        Entry { seq: 0, prev: EntryHash::NONE, checkpoint: None, tail: Vec::new(), change, unknown: false }
    }

    /// The entry after this one, whose bytes have the hash `hash`.
    pub fn next(&self, hash: EntryHash, change: Vec<u8>, rules: Rules) -> Result<Entry, BadEntry> {
        let mut next = Entry {
            seq: self.seq.checked_add(1).ok_or(self.damaged("its seq is the last there is"))?,
            prev: hash,
            checkpoint: self.checkpoint,
            tail: self.tail.clone(),
            change,
            unknown: false,
        };
        next.tail.push((self.seq, self.change.clone()));
        if let Change::Checkpoint(checkpoint) = self.own()?.change {
            let covered = if rules.on(Rule::Covers) { checkpoint.covers } else { self.seq.saturating_sub(1) };
            next.checkpoint = Some(self.seq);
            if covered >= self.seq {
                return Err(self.damaged("its checkpoint covers itself"));
            }
            next.tail.retain(|(seq, _)| *seq > covered);
        }
        Ok(next)
    }

    /// Place in the log.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Hash of the entry before.
    pub fn prev(&self) -> EntryHash {
        self.prev
    }

    /// Whether the map of the entry has keys this version does not know (R10); its changes have their own such mark.
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Bytes of the tail: what a writer compares with the limit above which it writes a checkpoint.
    pub fn tail_len(&self) -> usize {
        self.tail.iter().map(|(_, change)| change.len()).sum()
    }

    /// The entry's own change as it is written.
    pub fn change(&self) -> &[u8] {
        &self.change
    }

    /// The entry's own change.
    pub fn own(&self) -> Result<ChangeRecord, BadEntry> {
        self.decode_change(self.seq, &self.change)
    }

    /// The newest checkpoint before this entry and the seq of its own entry; `None` when all changes are in the tail.
    pub fn checkpoint(&self) -> Result<Option<(u64, Checkpoint)>, BadEntry> {
        let Some(at) = self.checkpoint else { return Ok(None) };
        let carried = self.tail.iter().find(|(seq, _)| *seq == at);
        let (seq, change) = carried.ok_or(self.damaged("its tail lacks the checkpoint that it names"))?;
        match self.decode_change(*seq, change)?.change {
            Change::Checkpoint(checkpoint) => Ok(Some((at, checkpoint))),
            _ => Err(self.damaged("the checkpoint that it names is none")),
        }
    }

    /// Every change after what the newest checkpoint covers, in order: the tail, then the entry's own.
    pub fn records(&self) -> Result<Vec<(u64, ChangeRecord)>, BadEntry> {
        let carried = self.tail.iter().map(|(seq, change)| (*seq, change)).chain([(self.seq, &self.change)]);
        carried.map(|(seq, change)| Ok((seq, self.decode_change(seq, change)?))).collect()
    }

    /// The change of entry `seq`, if this entry carries it.
    pub fn record(&self, seq: u64) -> Result<Option<ChangeRecord>, BadEntry> {
        let own = (seq == self.seq).then_some(self.change.as_slice());
        own.or_else(|| self.carried(seq)).map(|change| self.decode_change(seq, change)).transpose()
    }

    /// The change of an earlier entry, as far as the tail reaches: what a lost entry is restored from (R13).
    pub fn carried(&self, seq: u64) -> Option<&[u8]> {
        let at = self.tail.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        Some(&self.tail[at].1)
    }

    fn decode_change(&self, of: u64, change: &[u8]) -> Result<ChangeRecord, BadEntry> {
        ChangeRecord::decode(change).map_err(|source| BadEntry::Change { seq: self.seq, of, source })
    }

    fn damaged(&self, what: &'static str) -> BadEntry {
        BadEntry::Damaged { seq: self.seq, what }
    }

    /// The object's bytes and the hash that names them.
    pub fn encode(&self) -> Result<(Vec<u8>, EntryHash), BadEntry> {
        let body = self.body();
        let len = HEADER + body.len();
        if len > MAX_LEN {
            return Err(BadEntry::TooLong { seq: self.seq, len });
        }
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(body.len()).expect("checked above").to_le_bytes());
        bytes.extend_from_slice(blake3::hash(&body).as_bytes());
        bytes.extend_from_slice(&body);
        let hash = EntryHash::of(&bytes);
        Ok((bytes, hash))
    }

    fn body(&self) -> Vec<u8> {
        let bytes = |change: &[u8]| ByteBuf::from(change);
        let body = Body {
            seq: self.seq,
            prev: self.prev,
            checkpoint: self.checkpoint,
            tail: self.tail.iter().map(|(seq, change)| (*seq, bytes(change))).collect(),
            change: bytes(&self.change),
        };
        rmp_serde::to_vec_named(&body).expect("plain values always encode")
    }

    /// The entry read from slot `seq`. Everything but a newer format is damage, an entry of another slot included.
    pub fn decode(seq: u64, bytes: &[u8]) -> Result<Entry, BadEntry> {
        let damaged = |what| BadEntry::Damaged { seq, what };
        let rest = bytes.strip_prefix(&MAGIC).ok_or(damaged("it does not begin like a log entry"))?;
        let (version, rest) = rest.split_first_chunk().ok_or(damaged("it is cut off"))?;
        let found = u16::from_le_bytes(*version);
        match found {
            FORMAT => {}
            // 0 was provisional, and stands in no store that says format 1.
            0 => return Err(damaged("it has a format from before format 1")),
            _ => return Err(BadEntry::Newer { seq, found }),
        }
        let (len, rest) = rest.split_first_chunk().ok_or(damaged("it is cut off"))?;
        let (hash, body) = rest.split_first_chunk::<32>().ok_or(damaged("it is cut off"))?;
        if u32::from_le_bytes(*len) as usize != body.len() || bytes.len() > MAX_LEN {
            return Err(damaged("it has not the length that it says"));
        }
        if blake3::hash(body) != *hash {
            return Err(damaged("its bytes are not those that were written"));
        }
        let wire: Body = rmp_serde::from_slice(body).map_err(|_| damaged("its body is no entry"))?;
        let tail = wire.tail.into_iter().map(|(seq, change)| (seq, change.into_vec())).collect();
        let change = wire.change.into_vec();
        let mut entry = Entry {
            seq: wire.seq,
            prev: wire.prev,
            checkpoint: wire.checkpoint,
            tail,
            change,
            unknown: false,
        };
        entry.unknown = entry.body() != body;
        entry.check(seq)?;
        Ok(entry)
    }

    fn check(&self, seq: u64) -> Result<(), BadEntry> {
        if self.seq != seq {
            return Err(BadEntry::Damaged { seq, what: "it belongs to another slot" });
        }
        if (seq == 0) != (self.prev == EntryHash::NONE) {
            return Err(self.damaged("it has no predecessor, or one too many"));
        }
        let first = seq - (self.tail.len() as u64).min(seq);
        let dense = self.tail.iter().map(|(seq, _)| *seq).eq(first..seq);
        if !dense || (self.checkpoint.is_none() && first != 0) {
            return Err(self.damaged("its tail has a gap"));
        }
        Ok(())
    }
}

//! Identifiers: what the store and git call things.
//!
//! An identifier is either random (a pack, a store, a repo: never derived from content, so a name that was once collected
//! can never be committed again by a stalled writer) or a hash recomputed from bytes whenever those bytes are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::chance;

/// Text that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct NotAnId {
    text: String,
    wanted: &'static str,
}

impl NotAnId {
    fn new(text: &str, wanted: &'static str) -> Self {
        let text = text.chars().take(80).collect();
        NotAnId { text, wanted }
    }
}

fn new_v4() -> Uuid {
    chance::bytes().map_or_else(Uuid::new_v4, |bytes| Builder::from_random_bytes(bytes).into_uuid())
}

fn now_v7() -> Uuid {
    let given = |bytes: [u8; 16]| {
        let (random, _) = bytes.split_first_chunk().expect("16 bytes");
        Builder::from_unix_timestamp_millis(chance::now(), random).into_uuid()
    };
    chance::bytes().map_or_else(Uuid::now_v7, given)
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $wanted:literal, $new:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier that nothing has used before.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                $name($new())
            }

            /// The identifier with these sixteen bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                $name(Uuid::from_bytes(bytes))
            }

            /// The sixteen bytes of the identifier, big-endian as RFC 9562 prints them.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let uuid = Uuid::try_parse(text).map_err(|_| NotAnId::new(text, $wanted))?;
                // One spelling per identifier: a name in a store is compared as text.
                if uuid.to_string() == text { Ok($name(uuid)) } else { Err(NotAnId::new(text, $wanted)) }
            }
        }
    };
}

random_id! {
    /// A pack: one immutable object of chunks or of metadata blocks. UUIDv7, so that packs list in the order they were begun.
    PackId, "a pack id (a UUID)", now_v7
}
random_id! {
    /// A store: drawn by `init`, and drawn anew when a store is copied or restored, so that no cache mistakes one for the other.
    StoreId, "a store id (a UUID)", new_v4
}
random_id! {
    /// A repo: a dataset with one life cycle, named by `datamon.toml`.
    RepoId, "a repo id (a UUID)", new_v4
}
random_id! {
    /// A bundle: one immutable dataset version.
    BundleId, "a bundle id (a UUID)", now_v7
}
random_id! {
    /// What a process has read. UUIDv7: a name begins with the time.
    ReadId, "a read id (a UUID)", now_v7
}
random_id! {
    /// The random part of one log entry: makes "my entry" mean "exactly my bytes" (R5).
    Nonce, "a nonce (a UUID)", new_v4
}

/// What a pack holds, and so where its object lies and in which storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PackKind {
    /// Chunks of files, under `data/`.
    Data,
    /// Metadata frames (table segments, long recipes, checkpoints), under `meta/`.
    Meta,
}

impl BundleId {
    /// When it was made, by the clock of who did it, milliseconds since 1970: an id begins with it.
    pub fn made(&self) -> u64 {
        let [a, b, c, d, e, f, ..] = *self.as_bytes();
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl RepoId {
    /// The repo of data pushed from a git repository that has no `datamon.toml`.
    pub const NIL: RepoId = RepoId(Uuid::nil());
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(#[serde(with = "serde_bytes")] [u8; 32]);

        impl $name {
            /// The identifier with these 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                $name(bytes)
            }

            /// The 32 bytes of the hash.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// Sixty-four lower-case hexadecimal digits.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let wrong = || NotAnId::new(text, $wanted);
                if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                    return Err(wrong());
                }
                let mut bytes = [0; 32];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
                }
                Ok($name(bytes))
            }
        }
    };
}

hash_id! {
    /// An LFS object: the SHA-256 of a whole file.
    Oid, "an LFS object id (64 lower-case hexadecimal digits)"
}
hash_id! {
    /// A chunk: the BLAKE3 of its raw bytes.
    ChunkId, "a chunk id (64 lower-case hexadecimal digits)"
}
hash_id! {
    /// A log entry: the BLAKE3 of the whole object in the store.
    EntryHash, "a log entry hash (64 lower-case hexadecimal digits)"
}

/// An object of git: a commit, tree or blob. Twenty bytes, or 32 in a repository that uses SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitId {
    bytes: [u8; 32],
    len: usize,
}

impl GitId {
    /// The identifier with these 20 or 32 bytes; of any other number it is none.
    pub fn from_slice(slice: &[u8]) -> Option<GitId> {
        let mut bytes = [0; 32];
        [20, 32].contains(&slice.len()).then(|| bytes[..slice.len()].copy_from_slice(slice))?;
        Some(GitId { bytes, len: slice.len() })
    }

    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Display for GitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GitId {
    type Err = NotAnId;

    /// Forty or sixty-four lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let wrong = || NotAnId::new(text, "a git object id (40 or 64 lower-case hexadecimal digits)");
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !text.bytes().all(digit) || !text.len().is_multiple_of(2) {
            return Err(wrong());
        }
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
        let bytes: Vec<u8> = pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        GitId::from_slice(&bytes).ok_or_else(wrong)
    }
}

impl Serialize for GitId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_bytes::Bytes::new(self.as_bytes()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for GitId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(from)?;
        GitId::from_slice(&bytes).ok_or_else(|| serde::de::Error::custom("a git object id of another length"))
    }
}

/// What tables are ordered by: the first eight bytes of an oid or of a chunk id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Prefix(#[serde(with = "serde_bytes")] [u8; 8]);

impl Prefix {
    /// The lowest prefix.
    pub const MIN: Prefix = Prefix([0; 8]);
    /// The highest prefix.
    pub const MAX: Prefix = Prefix([0xff; 8]);

    /// The prefix with these eight bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Prefix(bytes)
    }

    /// The eight bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    fn of(bytes: &[u8; 32]) -> Self {
        Prefix(*bytes.first_chunk().expect("32 bytes have a first eight"))
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<&Oid> for Prefix {
    fn from(oid: &Oid) -> Self {
        Prefix::of(&oid.0)
    }
}

impl From<&ChunkId> for Prefix {
    fn from(chunk: &ChunkId) -> Self {
        Prefix::of(&chunk.0)
    }
}

impl ChunkId {
    /// The id of a chunk with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        ChunkId(*blake3::hash(bytes).as_bytes())
    }
}

impl EntryHash {
    /// The hash of a log object with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        EntryHash(*blake3::hash(bytes).as_bytes())
    }

    /// What the first entry of a log names as its predecessor.
    pub const NONE: EntryHash = EntryHash([0; 32]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_what_its_thread_draws_and_no_other() {
        let drawn =
            |seed| chance::given(seed, 5, || (PackId::new(), Nonce::new(), Nonce::new(), chance::now()));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1).1, drawn(2).1);
        assert_ne!(drawn(1).1, drawn(1).2);
        let elsewhere = || (Nonce::new(), chance::now());
        let elsewhere = chance::given(1, 5, || std::thread::spawn(elsewhere).join().expect("no panic"));
        assert!(elsewhere.0 != drawn(1).1 && elsewhere.1 > 1_700_000_000_000);
        assert_ne!(Nonce::new(), Nonce::new());
    }

    #[test]
    fn an_oid_is_read_back_as_it_is_shown_and_only_so() {
        let oid = Oid::from_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(oid.to_string().parse::<Oid>(), Ok(oid));
        for wrong in ["", "00", &oid.to_string().to_uppercase(), &format!("{}g", &oid.to_string()[..63])] {
            assert!(wrong.parse::<Oid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_random_id_has_one_spelling() {
        let id = PackId::new();
        assert_eq!(id.to_string().parse::<PackId>(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<PackId>().is_err());
        assert!(format!("{{{id}}}").parse::<PackId>().is_err());
    }
}

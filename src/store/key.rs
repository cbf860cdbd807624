//! Names of objects in a store. Every name is made here, so that what a bucket policy must protect can be read in one page.

use crate::id::{PackId, PackKind, ReadId};

/// Created once by `init`: format, store id, parameters.
pub const STORE: &str = "datamon.json";
/// What a place is that holds the objects of a store and is none: the identity of that store.
pub const MIRROR: &str = "mirror.json";
/// The hint that names a recent log position.
pub const HEAD: &str = "log/HEAD";
/// Everything below is the ordered log; never deleted.
pub const LOG: &str = "log/";
/// Everything below is what was tried out, and may go.
pub const PROBE: &str = "probe/";
/// Everything below says who read what; nothing depends on it.
pub const READS: &str = "readlog/";
/// Everything below says that a mirror lacks something that its log leads to.
pub const LACKING: &str = "lacking/";
/// Everything below is data packs.
pub const DATA: &str = "data/";
/// Everything below is meta packs.
pub const META: &str = "meta/";

/// The log object at `seq`: sixteen hexadecimal digits, so that listing order is log order.
pub fn log(seq: u64) -> String {
    format!("{LOG}{seq:016x}")
}

/// The position that a key below `log/` names, if it is one of ours.
pub fn log_seq(key: &str) -> Option<u64> {
    let digits = key.strip_prefix(LOG)?;
    let seq = u64::from_str_radix(digits, 16).ok()?;
    (log(seq) == key).then_some(seq)
}

/// A pack, below a folder named by the last byte of its id: UUIDv7 begins with the time, which would make one folder hot.
pub fn pack(kind: PackKind, id: PackId) -> String {
    let folder = match kind {
        PackKind::Data => DATA,
        PackKind::Meta => META,
    };
    format!("{folder}{:02x}/{id}", id.as_bytes()[15])
}

/// What a process has read.
pub fn read(id: ReadId) -> String {
    format!("{READS}{id}")
}

/// What every name of a read sorts after that was written at this time, milliseconds since 1970, or later.
pub fn read_at(millis: u64) -> String {
    format!("{READS}{:08x}-{:04x}", millis >> 16, millis & 0xffff)
}

/// Whether the key is that of a read.
pub fn is_read(key: &str) -> bool {
    key.strip_prefix(READS).is_some_and(|id| id.parse::<ReadId>().is_ok())
}

/// The pack that a key below `data/` or `meta/` names, if it is one of ours.
pub fn pack_id(key: &str) -> Option<(PackKind, PackId)> {
    let (kind, rest) = match (key.strip_prefix(DATA), key.strip_prefix(META)) {
        (Some(rest), _) => (PackKind::Data, rest),
        (_, Some(rest)) => (PackKind::Meta, rest),
        _ => return None,
    };
    let id = rest.split_once('/')?.1.parse().ok()?;
    (pack(kind, id) == key).then_some((kind, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_as_written_and_nothing_else_is() {
        let id = PackId::new();
        for kind in [PackKind::Data, PackKind::Meta] {
            assert_eq!(pack_id(&pack(kind, id)), Some((kind, id)));
        }
        assert_eq!(log_seq(&log(77)), Some(77));
        for foreign in ["log/HEAD", "log/4d", "data/zz", "data/00/readme", "other", "log/000000000000004D"] {
            assert_eq!((log_seq(foreign), pack_id(foreign)), (None, None), "{foreign}");
        }
    }
}

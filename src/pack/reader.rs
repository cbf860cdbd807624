//! Reading packs from a store: footers, single frames, whole packs. Nothing unverified leaves this file.

use std::fmt;

use bytes::Bytes;

use super::format::{BadPack, Footer, FrameEntry, FrameView, HEADER, MAX_FOOTER, MAX_PACK, check_header};
use super::{Blob, PackInfo};
use crate::id::{ChunkId, PackId, PackKind};
use crate::store::{Store, StoreError, key};

/// A pack that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The store did not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is damaged.
    #[error(fmt = damaged)]
    Bad {
        /// Its key.
        pack: String,
        /// What is wrong.
        source: BadPack,
    },
}

/// What is wrong, and what helps; `{:#}` leaves that out, for who says it better.
fn damaged(pack: &str, source: &BadPack, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "pack {pack} is damaged: {source}")?;
    if f.alternate() {
        return Ok(());
    }
    f.write_str("; in a clone that has the files run `git datamon repair --data`")
}

impl PackError {
    /// `source` is what is wrong with the pack.
    pub fn bad(kind: PackKind, id: PackId, source: BadPack) -> Self {
        PackError::Bad { pack: key::pack(kind, id), source }
    }
}

/// What the catalog says of a pack decides how much of it is read, and is as hostile as everything else.
fn check_info(info: PackInfo) -> Result<(), BadPack> {
    let footer = u64::from(info.footer);
    let sane = info.size <= MAX_PACK as u64 * 2
        && footer <= MAX_FOOTER as u64
        && footer + HEADER as u64 <= info.size;
    if sane { Ok(()) } else { Err(BadPack::Damaged("size in the catalog")) }
}

/// The footer of a pack: one range GET.
pub fn read_footer(store: &Store, id: PackId, info: PackInfo) -> Result<Footer, PackError> {
    let bad = |source| PackError::bad(info.kind, id, source);
    check_info(info).map_err(bad)?;
    let bytes = store.get_range(&key::pack(info.kind, id), info.size - u64::from(info.footer)..info.size)?;
    Footer::parse(info.kind, info.size, &bytes).map_err(bad)
}

/// The raw bytes of one metadata frame: one range GET.
pub fn read_blob(store: &Store, blob: &Blob) -> Result<Vec<u8>, PackError> {
    let end = blob.offset.saturating_add(u64::from(blob.stored));
    let bytes = store.get_range(&key::pack(PackKind::Meta, blob.pack), blob.offset..end)?;
    decode_exact(&bytes).map_err(|source| PackError::bad(PackKind::Meta, blob.pack, source))
}

/// The one frame that `bytes` are.
pub fn decode_exact(bytes: &[u8]) -> Result<Vec<u8>, BadPack> {
    match FrameView::parse(bytes)? {
        Some(frame) if frame.len() == bytes.len() => Ok(frame.decode()?.into_owned()),
        _ => Err(BadPack::Damaged("frame length")),
    }
}

/// Read a whole pack and verify every byte of it: header, footer, each frame, each chunk id. Gives the footer.
pub fn verify_pack(store: &Store, id: PackId, info: PackInfo) -> Result<Footer, PackError> {
    let bad = |source| PackError::bad(info.kind, id, source);
    check_info(info).map_err(bad)?;
    let name = key::pack(info.kind, id);
    let bytes: Bytes = store
        .get(&name)?
        .ok_or_else(|| StoreError::Missing { url: store.url().to_string(), key: name.clone() })?;
    verify_bytes(&bytes, id, info)
}

/// Verify that `bytes` are the whole pack, every one of them. Gives the footer.
pub fn verify_bytes(bytes: &[u8], id: PackId, info: PackInfo) -> Result<Footer, PackError> {
    let bad = |source| PackError::bad(info.kind, id, source);
    check_info(info).map_err(bad)?;
    if bytes.len() as u64 != info.size {
        return Err(bad(BadPack::Damaged("size")));
    }
    check_header(info.kind, bytes).map_err(bad)?;
    let footer =
        Footer::parse(info.kind, info.size, &bytes[bytes.len() - info.footer as usize..]).map_err(bad)?;
    for entry in &footer.frames {
        let stored = entry.offset as usize..entry.offset as usize + entry.stored as usize;
        verify_frame(entry, bytes.get(stored).ok_or_else(|| bad(BadPack::Damaged("footer")))?)
            .map_err(bad)?;
    }
    Ok(footer)
}

/// Whether these bytes are the frame that a footer tells of, every chunk of it right.
pub fn verify_frame(entry: &FrameEntry, stored: &[u8]) -> Result<(), BadPack> {
    let raw = decode_exact(stored)?;
    if raw.len() != entry.raw as usize {
        return Err(BadPack::Damaged("footer"));
    }
    let mut rest = raw.as_slice();
    for (id, length) in &entry.chunks {
        let (chunk, more) = rest.split_at_checked(*length as usize).ok_or(BadPack::Damaged("footer"))?;
        if ChunkId::of(chunk) != *id {
            return Err(BadPack::Hash);
        }
        rest = more;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Frame, PackWriter};
    use super::*;
    use crate::store::StoreUrl;

    fn sample() -> super::super::Pack {
        let mut pack = PackWriter::new(PackKind::Data);
        for n in 0..3u8 {
            let raw: Vec<u8> = (0..5000u32).map(|i| (i % 7) as u8 * n).collect();
            let chunks = raw.chunks(1250).map(|c| (ChunkId::of(c), c.len() as u32)).collect();
            pack.add(&Frame::encode(raw), chunks);
        }
        pack.finish()
    }

    fn store(name: &str) -> Store {
        Store::open(&StoreUrl::parse(&format!("memory:pack-{name}")).expect("a URL")).expect("memory")
    }

    #[test]
    fn a_pack_is_read_back_by_footer_and_whole() {
        let (store, pack) = (store("good"), sample());
        pack.put(&store).expect("written");
        assert_eq!(read_footer(&store, pack.id, pack.info).expect("reads"), pack.footer);
        assert_eq!(verify_pack(&store, pack.id, pack.info).expect("reads"), pack.footer);
    }

    #[test]
    fn a_newer_pack_asks_for_an_upgrade() {
        let mut bytes = sample().payload.to_bytes().to_vec();
        bytes[8] = 9;
        let error = check_header(PackKind::Data, &bytes).expect_err("newer");
        assert!(error.to_string().contains("upgrade"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_flipped_bit_gives_a_wrong_byte(at: prop::sample::Index, bit in 0u8..8) {
            let (store, pack) = (store("flip"), sample());
            let mut bytes = pack.payload.to_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            store.overwrite(&key::pack(PackKind::Data, pack.id), bytes.into()).expect("memory");
            // A few bits mean nothing (reserved bytes of the header, the unused bit of a zstd header): then all is as it was.
            if let Ok(footer) = verify_pack(&store, pack.id, pack.info) {
                prop_assert_eq!(footer, pack.footer);
            }
        }

        #[test]
        fn arbitrary_bytes_are_no_footer(bytes: Vec<u8>) {
            prop_assert!(Footer::parse(PackKind::Data, bytes.len() as u64, &bytes).is_err());
        }
    }
}

//! Versions of datasets: roots, pages, paths.

use datamon::bundle::{PageRef, Root, check_path, decode_page};
use datamon::id::PackId;
use datamon::pack::Blob;
use datamon::table::decode_rows;
use serde_bytes::ByteBuf;

use super::{Outcome, text};

const PACK: PackId = PackId::from_bytes([5; 16]);

/// A root.
pub fn root(bytes: &[u8]) -> Outcome {
    let root = Root::decode(PACK, bytes).map_err(text)?;
    assert_eq!(Root::decode(PACK, &root.encode()).map_err(text)?, root);
    let _ = (root.rows(), root.bytes());
    Ok(())
}

/// path, mode, position of the row, target or commit: an entry of a page as it is written
type WireEntry = (ByteBuf, u32, u32, ByteBuf);

/// A page, under the name that its root would have for it.
pub fn page(bytes: &[u8]) -> Outcome {
    let blob = Blob { pack: PACK, offset: 16, stored: 99 };
    let mut at = PageRef { first: vec![], rows: 0, bytes: 0, blob, hash: [0; 16] };
    if let Ok((entries, rows)) = rmp_serde::from_slice::<(Vec<WireEntry>, ByteBuf)>(bytes) {
        at.first = entries.first().map(|entry| entry.0.to_vec()).unwrap_or_default();
        at.rows = u32::try_from(entries.len()).map_err(text)?;
        at.hash = hash(&entries, &rows);
    }
    let entries = decode_page(&at, bytes).map_err(text)?;
    assert!(entries.is_sorted_by(|one, next| one.path < next.path));
    assert!(entries.iter().all(|entry| check_path(&entry.path).is_ok()));
    Ok(())
}

/// The hash of a page, as `docs/format.md` has it.
fn hash(entries: &[WireEntry], rows: &[u8]) -> [u8; 16] {
    let rows = decode_rows(rows).unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for (path, mode, at, bytes) in entries {
        let row = rows.get(*at as usize);
        field(path);
        field(&mode.to_le_bytes());
        let (size, name): (u64, &[u8]) = match mode {
            0o100_644 | 0o100_755 => row.map_or((0, &[]), |row| (row.size, row.oid.as_bytes())),
            0o120_000 => (bytes.len() as u64, bytes),
            _ => (0, bytes),
        };
        field(&size.to_le_bytes());
        field(name);
    }
    *hasher.finalize().as_bytes().first_chunk().expect("32 bytes")
}

/// A path of a version.
pub fn path(bytes: &[u8]) -> Outcome {
    check_path(bytes).map_err(text)?;
    let path = std::path::Path::new("/dest");
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    let inside = path.join(name);
    assert!(inside.starts_with(path) && inside != path);
    assert!(inside.components().all(|part| part != std::path::Component::ParentDir));
    Ok(())
}

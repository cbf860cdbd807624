//! Tables, recipes and hooks, in meta packs of a store in memory.

use datamon::cache::Cache;
use datamon::id::{Oid, PackId, PackKind, Prefix};
use datamon::pack::{Blob, Frame, PackWriter};
use datamon::store::{Store, StoreUrl, memory};
use datamon::table::{Hooks, Written, decode_rows, decode_terms, encode_rows, encode_terms, find_rows};

use super::{Outcome, text};

/// A block of rows, and one of hooks of the packs `[1; 16]` and `[2; 16]`, as they were written once.
const ROWS: &[u8] = include_bytes!("../../fixtures/format-1/rows.bin");
const HOOKS: &[u8] = include_bytes!("../../fixtures/format-1/hooks.bin");

/// A block of rows.
pub fn rows(bytes: &[u8]) -> Outcome {
    let rows = decode_rows(bytes).map_err(text)?;
    let mut again = decode_rows(&encode_rows(&rows)).map_err(text)?;
    // What says the same key and birth may change places, and a list of packs is a set.
    again.truncate(rows.len());
    assert_eq!(again.len(), rows.len());
    for (one, other) in rows.iter().zip(&again) {
        assert_eq!((one.key(), one.born), (other.key(), other.born));
        let _ = (one.weight(), one.packs());
    }
    Ok(())
}

/// A block of terms.
pub fn terms(bytes: &[u8]) -> Outcome {
    let terms = decode_terms(bytes).map_err(text)?;
    assert_eq!(decode_terms(&encode_terms(&terms)).map_err(text)?, terms);
    let _ = terms.iter().map(datamon::pack::Term::len).fold(0, u64::saturating_add);
    Ok(())
}

/// A store with one meta pack of these frames, and where they lie.
fn stored(frames: [&[u8]; 2]) -> Result<(Store, [Blob; 2]), String> {
    let store = Store::over(StoreUrl::parse("memory:fuzz").expect("a URL"), memory()).without_waits();
    let mut pack = PackWriter::new(PackKind::Meta);
    if frames.iter().any(|raw| raw.len() > 1 << 20) {
        return Err("too long for a test".to_owned());
    }
    let blobs = frames.map(|raw| pack.add(&Frame::encode(raw), vec![]));
    pack.finish().put(&store).map_err(text)?;
    Ok((store, blobs))
}

fn written(fence: Blob, rows: u64) -> Written {
    let [first, last] = [[0; 8], [0xff; 8]].map(Prefix::from_bytes);
    Written { start: 16, fence, rows, first, last }
}

/// The fence behind a block of rows.
pub fn files_fence(fence: &[u8]) -> Outcome {
    let (store, [_, fence]) = stored([ROWS, fence])?;
    let oids: Vec<Oid> = [1, 2, 3].map(|n| Oid::from_bytes([n; 32])).into();
    find_rows(&store, &Cache::none(), &written(fence, 3), &oids).map(drop).map_err(text)
}

fn read_hooks(store: &Store, at: &Written) -> Outcome {
    let mut hooks = Hooks::with_room(1 << 17);
    let last = Prefix::from_bytes([0xff; 8]);
    hooks.read((store, &Cache::none()), at, last, &|_| true).map_err(text)?;
    hooks.sort();
    let _ = hooks.find(&datamon::id::ChunkId::of(b"any")).count();
    hooks.check(at, 0).map_err(text)?;
    hooks.write(&mut PackWriter::new(PackKind::Meta));
    Ok(())
}

/// The fence behind a block of hooks.
pub fn hooks_fence(fence: &[u8]) -> Outcome {
    let (store, [_, fence]) = stored([HOOKS, fence])?;
    let rows = u32::from_le_bytes(*HOOKS.first_chunk().expect("a block has a header"));
    read_hooks(&store, &written(fence, rows.into()))
}

/// A block of hooks before the fence that leads to it.
pub fn hooks_block(block: &[u8]) -> Outcome {
    let rows = block.first_chunk().map_or(1, |rows| u32::from_le_bytes(*rows));
    let first = block.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |it| u64::from_le_bytes(*it));
    let stored_len = u32::try_from(Frame::encode(block).len()).map_err(text)?;
    let packs = [1, 2].map(|n| PackId::from_bytes([n; 16]));
    let fence = rmp_serde::to_vec(&(packs.to_vec(), vec![(first, 16u64, stored_len)])).map_err(text)?;
    let (store, [_, fence]) = stored([block, &fence])?;
    read_hooks(&store, &written(fence, rows.into()))
}

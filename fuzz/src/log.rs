//! The log of a store, and what leads to it.

use std::collections::BTreeMap;

use datamon::catalog::change::{Checkpoint, CheckpointBlob};
use datamon::catalog::checkpoint::{self, Blobs};
use datamon::catalog::{ChangeRecord, Entry, Identity, Rules, State};
use datamon::id::{EntryHash, PackId, ReadId};
use datamon::ops::readlog;
use datamon::pack::Blob;
use datamon::store::{Store, StoreUrl, key, memory};
use serde::Deserialize;

use super::{Outcome, text};

/// The only thing that has to be known of a body to find its slot.
#[derive(Deserialize)]
struct Slot {
    seq: u64,
}

/// The body of an entry, framed and hashed as it should be, read from the slot that it names.
pub fn entry(body: &[u8]) -> Outcome {
    let seq = rmp_serde::from_slice::<Slot>(body).map_or(0, |slot| slot.seq);
    let len = u32::try_from(body.len()).map_err(text)?.to_le_bytes();
    let bytes = [b"gdmlog\x01\0", &len[..], blake3::hash(body).as_bytes(), body].concat();
    let entry = Entry::decode(seq, &bytes).map_err(text)?;
    if !entry.is_unknown() {
        assert_eq!(entry.encode().expect("it was read").0, bytes, "it is written as it was read");
    }
    let hash = EntryHash::of(&bytes);
    let _ = entry.checkpoint();
    let _ = entry.next(hash, vec![], Rules::ALL);
    let _ = State::open(Rules::ALL, &entry, hash, &Blobs::new());
    for (_, record) in entry.records().map_err(text)? {
        written_again(&record);
    }
    Ok(())
}

fn written_again(record: &ChangeRecord) {
    if !record.is_unknown() {
        assert_eq!(ChangeRecord::decode(&record.encode()).expect("our own"), *record);
    }
}

/// A change, alone.
pub fn change(bytes: &[u8]) -> Outcome {
    let record = ChangeRecord::decode(bytes).map_err(text)?;
    written_again(&record);
    let mut state = State::default();
    let _ = state.check(&record);
    state.apply(0, &record).map_err(text)?;
    let _ = checkpoint::encode(&state, None);
    Ok(())
}

/// The kinds of blobs, as the first byte of an input chooses them.
const KINDS: [&str; 13] = [
    "packs",
    "segments",
    "bundles",
    "commits",
    "labels",
    "repos",
    "drops",
    "condemned",
    "forwards",
    "packs.1",
    "labels.x",
    "",
    "revisions",
];

/// A blob of a checkpoint, behind a byte that says of which kind it is.
pub fn checkpoint(bytes: &[u8]) -> Outcome {
    let (kind, blob) = bytes.split_first().ok_or("empty")?;
    let kind = KINDS[usize::from(*kind) % KINDS.len()].to_owned();
    let at = Blob { pack: PackId::from_bytes([1; 16]), offset: 16, stored: 99 };
    let named = CheckpointBlob { at, hash: checkpoint::hash(blob) };
    let written =
        Checkpoint { covers: 7, blobs: BTreeMap::from([(kind.clone(), named)]), ..Checkpoint::default() };
    let read = |blobs: &Blobs| checkpoint::decode(Rules::ALL, &written, blobs);
    let state = read(&Blobs::from([(kind, blob.to_vec())])).map_err(text)?;
    let _ = checkpoint::encode(&state, None);
    Ok(())
}

/// `datamon.json`.
pub fn identity(bytes: &[u8]) -> Outcome {
    let identity = Identity::decode(bytes).map_err(text)?;
    assert_eq!(Identity::decode(&identity.encode()).expect("our own"), identity);
    Ok(())
}

/// What somebody wrote into the read log.
pub fn read(bytes: &[u8]) -> Outcome {
    let store = Store::over(StoreUrl::parse("memory:fuzz").expect("a URL"), memory()).without_waits();
    let listed = |bytes: Vec<u8>| {
        store.overwrite(&key::read(ReadId::from_bytes([7; 16])), bytes.into()).map_err(text)?;
        readlog::list(&store, 0, 10).map_err(text)
    };
    let log = listed(bytes.to_vec())?;
    let [read] = &log.reads[..] else { return Err(format!("{} of 1 is no read", log.unread)) };
    assert_eq!(listed(serde_json::to_vec(read).map_err(text)?)?.reads, log.reads);
    Ok(())
}

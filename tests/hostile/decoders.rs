//! Cut at every byte, and with every bit turned: what is stored is told from that, what is inside is taken or refused.

use datamon::bundle::{Content, Entry, decode_page, write_page};
use datamon::cache::Cache;
use datamon::catalog::change::{Checkpoint, CheckpointBlob};
use datamon::catalog::{Identity, Rules, checkpoint};
use datamon::id::{ChunkId, PackId, PackKind, RepoId};
use datamon::pack::{Blob, Frame, PackWriter, decode_exact, verify_pack};
use datamon::store::{key, memory};
use datamon_test_support::{seeded_bytes, seeded_numbers};

use super::fuzz::{Outcome, TARGETS};
use super::mutants::corpus_of;
use crate::durability::world::store;

/// What a cut has to come to.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// It is refused wherever it is.
    Refused,
    /// It may leave something that makes sense: text that ends at any line.
    Any,
}

/// How each target takes an input that was cut. Flips may give another good input.
const CUTS: [(&str, Cut); 27] = [
    ("bundle_page", Cut::Refused),
    ("bundle_path", Cut::Any),
    ("bundle_root", Cut::Refused),
    ("cache_file", Cut::Refused),
    ("change", Cut::Refused),
    ("checkpoint", Cut::Refused),
    ("files_fence", Cut::Refused),
    ("footer", Cut::Refused),
    ("frame", Cut::Refused),
    ("hooks_block", Cut::Refused),
    ("hooks_fence", Cut::Refused),
    // Without the line feed at its end.
    ("identity", Cut::Any),
    // Whatever follows the slot is what was to be written.
    ("journal", Cut::Any),
    ("log_entry", Cut::Refused),
    ("manifest", Cut::Any),
    ("names", Cut::Any),
    ("note", Cut::Any),
    ("pack", Cut::Refused),
    ("pointer", Cut::Any),
    ("protocol", Cut::Any),
    ("pushed_refs", Cut::Any),
    ("read", Cut::Refused),
    ("receipt", Cut::Refused),
    ("rows", Cut::Refused),
    ("settings", Cut::Any),
    ("store_url", Cut::Any),
    ("terms", Cut::Refused),
];

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

/// No input of a corpus is longer here: the first and last bytes are tried of those that are.
fn short(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    (0..bytes.len()).filter(|at| *at < 400 || at + 100 >= bytes.len() || at % 16 == 0)
}

#[test]
fn what_is_inside_is_cut_at_every_byte_and_flipped_in_every_bit() {
    assert_eq!(CUTS.map(|(name, _)| name).to_vec(), TARGETS.iter().map(|it| it.name).collect::<Vec<_>>());
    for (target, (name, cut)) in TARGETS.iter().zip(CUTS) {
        for input in corpus_of(target) {
            for end in short(&input) {
                let outcome = (target.run)(&input[..end]);
                assert!(cut == Cut::Any || outcome.is_err(), "{name} takes {end} of {} bytes", input.len());
            }
            for bit in short(&input).flat_map(|at| 8 * at..8 * at + 8) {
                let _ = (target.run)(&flipped(&input, bit));
            }
        }
    }
}

type Reader = Box<dyn Fn(&[u8]) -> Outcome>;

/// Something as it is stored, and its reader.
struct Stored {
    name: &'static str,
    bytes: Vec<u8>,
    read: Reader,
}

fn stored(
    name: &'static str,
    bytes: impl Into<Vec<u8>>,
    read: impl Fn(&[u8]) -> Outcome + 'static,
) -> Stored {
    Stored { name, bytes: bytes.into(), read: Box::new(read) }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn frames() -> Vec<Stored> {
    let contents = [
        ("a frame as it is", seeded_bytes(1, 300)),
        ("a compressed frame", b"a line of text\n".repeat(40)),
        ("a frame of lanes", seeded_numbers(4, 4_000)),
        ("an empty frame", vec![]),
    ];
    let frame = |(name, raw): (&'static str, Vec<u8>)| {
        stored(name, Frame::encode(raw).bytes().to_vec(), |bytes| decode_exact(bytes).map(drop).map_err(text))
    };
    contents.into_iter().map(frame).collect()
}

fn pack(kind: PackKind) -> Stored {
    let mut pack = PackWriter::new(kind);
    for raw in [seeded_bytes(2, 200), b"text ".repeat(30)] {
        let chunks = match kind {
            PackKind::Data => raw.chunks(100).map(|chunk| (ChunkId::of(chunk), chunk.len() as u32)).collect(),
            PackKind::Meta => vec![],
        };
        pack.add(&Frame::encode(raw), chunks);
    }
    let pack = pack.finish();
    let (id, info) = (pack.id, pack.info);
    let store = store(memory());
    stored("a pack", pack.payload.to_bytes().to_vec(), move |bytes| {
        store.overwrite(&key::pack(kind, id), bytes.to_vec().into()).map_err(text)?;
        verify_pack(&store, id, info).map(drop).map_err(text)
    })
}

fn page() -> Stored {
    let entries = [Entry { path: b"a".to_vec(), content: Content::Link { target: b"b".to_vec() } }];
    let mut pack = PackWriter::new(PackKind::Meta);
    let at = write_page(&mut pack, &Cache::none(), RepoId::NIL, &entries);
    let bytes = pack.finish().payload.to_bytes();
    let raw = decode_exact(&bytes[at.blob.offset as usize..at.blob.end() as usize]).expect("a frame");
    // The hash is of the entries: bytes around them that mean nothing to a link may differ.
    stored("a page", raw, move |bytes| {
        assert_eq!(decode_page(&at, bytes).map_err(text)?, entries, "other entries under the same hash");
        Ok(())
    })
}

fn blob() -> Stored {
    let mut catalog = crate::durability::world::Machine::new().create(&store(memory())).expect("made");
    datamon::ops::upload::name_repo(&mut catalog, RepoId::from_bytes([7; 16]), "weather").expect("named");
    let (kind, bytes) =
        checkpoint::encode(catalog.state(), None).into_iter().next().expect("there are repos");
    let blob = Blob { pack: PackId::from_bytes([1; 16]), offset: 16, stored: 9 };
    let named = CheckpointBlob { at: blob, hash: checkpoint::hash(&bytes) };
    let written = Checkpoint { covers: 1, blobs: [(kind.clone(), named)].into(), ..Checkpoint::default() };
    stored("a blob of a checkpoint", bytes, move |bytes| {
        let blobs = [(kind.clone(), bytes.to_vec())].into();
        checkpoint::decode(Rules::ALL, &written, &blobs).map(drop).map_err(text)
    })
}

fn cached() -> Stored {
    let folder = tempfile::tempdir().expect("a directory");
    let cache = Cache::at(folder.path().to_owned());
    cache.put("kept", b"what was kept");
    let path = folder.path().join("kept");
    let bytes = std::fs::read(&path).expect("kept");
    stored("a file of the cache", bytes, move |bytes| {
        let _ = folder.path();
        std::fs::write(&path, bytes).map_err(text)?;
        cache.get("kept").map(drop).ok_or_else(|| "not what was kept".to_owned())
    })
}

fn all_stored() -> Vec<Stored> {
    let identity = Identity::new().encode();
    let identity = identity.trim_ascii_end().to_vec();
    let mut all = vec![
        stored("datamon.json", identity, |bytes| {
            // Letters of another case are the same JSON: `fsck` remarks on them.
            let read = Identity::decode(bytes).map_err(text)?;
            let written = read.is_written(&[bytes, b"\n"].concat());
            written.then_some(()).ok_or_else(|| "not as it is written".to_owned())
        }),
        pack(PackKind::Data),
        pack(PackKind::Meta),
        blob(),
        cached(),
    ];
    all.extend(frames());
    all
}

#[test]
fn what_is_stored_tells_every_cut_and_every_flipped_bit() {
    let mut missed = Vec::new();
    for Stored { name, bytes, read } in all_stored() {
        assert_eq!(read(&bytes), Ok(()), "{name}");
        for end in 0..bytes.len() {
            if read(&bytes[..end]).is_ok() {
                missed.push(format!("{name} is read from {end} of {} bytes", bytes.len()));
            }
        }
        for bit in 0..bytes.len() * 8 {
            if read(&flipped(&bytes, bit)).is_ok() {
                missed.push(format!("{name} is read with bit {bit} flipped"));
            }
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(read(&longer).is_err(), "{name} is read with a byte behind it");
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn a_page_gives_its_own_entries_or_none() {
    let Stored { bytes, read, .. } = page();
    assert_eq!(read(&bytes), Ok(()));
    assert!((0..bytes.len()).all(|end| read(&bytes[..end]).is_err()));
    let refused = (0..bytes.len() * 8).filter(|bit| read(&flipped(&bytes, *bit)).is_err()).count();
    assert!(refused > bytes.len() * 4, "{refused} of {}", bytes.len() * 8);
}

//! Golden files of format 1: what was written once is read for ever, and what is written now has the same bytes.
//!
//! Only a compressed frame is compared by what it decodes to: another version of zstd may choose other bytes.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use datamon::chunk::{Cutter, Sizes};
use datamon::id::{ChunkId, Oid, PackId, PackKind, RepoId};
use datamon::pack::{Blob, Footer, Frame, FrameEntry, Pack, PackWriter, Term, decode_exact};
use datamon::table::{Hooks, Recipe, Row, decode_rows, decode_terms, encode_rows, encode_terms};
use datamon_test_support::{seeded_bytes, seeded_numbers};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/format-1").join(name)
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(path(name))
        .unwrap_or_else(|error| panic!("{name}: {error}; run the ignored test `bless_golden` once"))
}

/// Raw bytes of frames whose lanes are compressed.
fn numbers() -> [Vec<u8>; 3] {
    [2, 4, 8].map(|width| seeded_numbers(width, 40_003))
}

/// Raw bytes of the two frames: noise, which stays as it is, and text, which is compressed.
fn frames() -> [Vec<u8>; 2] {
    [seeded_bytes(1, 20_000), b"one line of text, again and again\n".repeat(1_000)]
}

fn pack(frames: &[Vec<u8>]) -> Pack {
    let mut pack = PackWriter::new(PackKind::Data);
    for raw in frames {
        let chunks = raw.chunks(8_000).map(|chunk| (ChunkId::of(chunk), chunk.len() as u32)).collect();
        pack.add(&Frame::encode(raw.clone()), chunks);
    }
    pack.finish()
}

fn terms() -> Vec<Term> {
    let term = |n: u8, repeat| Term {
        pack: PackId::from_bytes([n; 16]),
        offset: 16,
        stored: 70_000,
        skip: 5,
        raw: 60_000,
        repeat,
    };
    vec![term(1, 1), term(2, 7), term(1, 1)]
}

fn rows() -> Vec<Row> {
    let blob = Blob { pack: PackId::from_bytes([9; 16]), offset: 1_234, stored: 56 };
    let out = Recipe::Out { blob, packs: vec![PackId::from_bytes([1; 16]), PackId::from_bytes([2; 16])] };
    let row =
        |n: u8, repo, born, size, recipe| Row { oid: Oid::from_bytes([n; 32]), repo, born, size, recipe };
    vec![
        row(1, RepoId::NIL, 0, 540_000, Recipe::Inline(terms())),
        row(1, RepoId::from_bytes([3; 16]), 17, 540_000, Recipe::Inline(terms())),
        row(2, RepoId::NIL, 3, 1 << 40, out),
    ]
}

/// A block of hooks and the fence behind it: the chunks of one file, in two packs.
fn hooks() -> [Vec<u8>; 2] {
    let frames = frames();
    let mut hooks = Hooks::with_room(1000);
    for n in [1, 2] {
        hooks.add(PackId::from_bytes([n; 16]), &pack(&frames).footer);
    }
    let mut meta = PackWriter::new(PackKind::Meta);
    let written = hooks.write(&mut meta);
    let bytes = meta.finish().payload.to_bytes();
    let (start, fence, end) = (written.start as usize, written.fence.offset as usize, written.end() as usize);
    [start..fence, fence..end].map(|range| decode_exact(&bytes[range]).expect("a frame"))
}

/// Lengths of the chunks of seeded noise, a line each.
fn cuts() -> String {
    let bytes = seeded_bytes(7, 1 << 20);
    let mut lines = String::new();
    for length in Cutter::new(Sizes::DEFAULT).cut(&bytes, true) {
        writeln!(lines, "{length}").expect("a string takes all");
    }
    lines
}

#[test]
fn files_are_cut_where_they_always_were() {
    assert_eq!(cuts().as_bytes(), golden("cuts.txt"));
}

#[test]
fn rows_and_terms_have_the_golden_bytes() {
    assert_eq!(encode_rows(&rows()), golden("rows.bin"));
    assert_eq!(decode_rows(&golden("rows.bin")).expect("decodes"), rows());
    assert_eq!(encode_terms(&terms()), golden("terms.bin"));
    assert_eq!(decode_terms(&golden("terms.bin")).expect("decodes"), terms());
}

#[test]
fn hooks_have_the_golden_bytes() {
    assert_eq!(hooks(), [golden("hooks.bin"), golden("hooks-fence.bin")]);
}

#[test]
fn a_pack_has_the_golden_bytes_and_gives_the_golden_content() {
    assert_eq!(pack(&frames()[..1]).payload.to_bytes()[..], golden("pack-raw.bin")[..]);
    assert_eq!(codecs_in("pack.bin", &frames()), [0, 1]);
    assert_eq!(codecs_in("pack-lanes.bin", &numbers()), [2, 4, 8]);
}

/// Reads a golden pack, which has to hold these frames, and gives their codecs.
fn codecs_in(name: &str, frames: &[Vec<u8>]) -> Vec<u8> {
    let bytes = golden(name);
    let info = pack(frames).info;
    let footer = &bytes[bytes.len() - info.footer as usize..];
    let footer = Footer::parse(PackKind::Data, bytes.len() as u64, footer).expect("a footer");
    assert_eq!(footer.frames.len(), frames.len());
    let codec = |(frame, raw): (&FrameEntry, &Vec<u8>)| {
        let at = frame.offset as usize;
        assert!(decode_exact(&bytes[at..at + frame.stored as usize]).expect("a frame") == *raw);
        let ids: Vec<ChunkId> = raw.chunks(8_000).map(ChunkId::of).collect();
        assert_eq!(frame.chunks.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
        bytes[at + 16]
    };
    footer.frames.iter().zip(frames).map(codec).collect()
}

#[test]
#[ignore = "writes the golden files"]
fn bless_golden() {
    fs::write(path("cuts.txt"), cuts()).expect("written");
    fs::write(path("rows.bin"), encode_rows(&rows())).expect("written");
    fs::write(path("terms.bin"), encode_terms(&terms())).expect("written");
    fs::write(path("hooks.bin"), &hooks()[0]).expect("written");
    fs::write(path("hooks-fence.bin"), &hooks()[1]).expect("written");
    fs::write(path("pack-raw.bin"), pack(&frames()[..1]).payload.to_bytes()).expect("written");
    fs::write(path("pack.bin"), pack(&frames()).payload.to_bytes()).expect("written");
    fs::write(path("pack-lanes.bin"), pack(&numbers()).payload.to_bytes()).expect("written");
}

//! Numbers that promise too much: frames that hold more than they say, files larger than any disk, lists of 2^64 things, recipes that
//! lead in circles. All of it is refused at once, in little memory and time.

use std::fs;
use std::sync::Mutex;

use datamon::bundle::{Content, Entry, Facts, Root, write_page};
use datamon::cache::Cache;
use datamon::catalog::change::{Change, Compact, Forward};
use datamon::catalog::log::writer;
use datamon::catalog::state::Run;
use datamon::catalog::{Catalog, ChangeRecord, State};
use datamon::id::{BundleId, Oid, PackId, PackKind};
use datamon::ops::fetch::{FetchError, Source, Wanted, fetch};
use datamon::ops::publish::{Versions, publish};
use datamon::ops::verify::{Depth, verify};
use datamon::pack::format::MAX_FRAME;
use datamon::pack::{Blob, Frame, PackWriter, Term, decode_exact};
use datamon::progress::Silent;
use datamon::store::{Store, key, memory};
use datamon::table::{Recipe, Row, decode_terms, encode_terms};
use twox_hash::XxHash3_128;

use super::fuzz::TARGETS;
use super::mutants::{assert_memory, corpus_of};
use crate::durability::world::{Machine, REPO, Shelf, fresh, push, store};

/// A frame by hand, under the checksum that it should have.
fn frame(codec: u8, stored: &[u8], stored_says: u32, raw_says: u32) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    bytes.extend([codec, 0, 0, 0]);
    bytes.extend(stored_says.to_le_bytes());
    bytes.extend(raw_says.to_le_bytes());
    bytes.extend(stored);
    let checksum = XxHash3_128::oneshot(&bytes[16..]).to_be_bytes();
    bytes[..16].copy_from_slice(&checksum);
    bytes
}

#[test]
fn a_frame_that_holds_more_than_it_says_is_refused_in_little_memory() {
    let bomb = zstd::bulk::compress(&vec![0; 256 << 20], 1).expect("compresses");
    assert!(bomb.len() < 64 << 10, "{} bytes", bomb.len());
    let many = bomb.repeat(100);
    for codec in [1, 2, 4, 8] {
        for (stored, raw) in [(&bomb, bomb.len()), (&bomb, 1 << 20), (&bomb, MAX_FRAME), (&many, MAX_FRAME)] {
            let bytes = frame(codec, stored, stored.len() as u32, raw as u32);
            let error = decode_exact(&bytes).expect_err("more than it says").to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }
    // And one that says too much, or less than it has.
    for (stored, raw) in [
        (bomb.len(), MAX_FRAME + 1),
        (bomb.len(), u32::MAX as usize),
        (u32::MAX as usize, u32::MAX as usize),
        (1, 0),
    ] {
        assert!(decode_exact(&frame(1, &bomb, stored as u32, raw as u32)).is_err());
    }
    assert_memory();
}

#[test]
fn lists_that_say_they_are_endless_take_no_memory() {
    let counts: [&[u8]; 10] = [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xce\xff\xff\xff\xff",
        b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x00\x00\x00\x00\x00\x00\x80",
    ];
    for target in &TARGETS {
        for count in counts {
            let _ = (target.run)(count);
            let nested = [&[0x91; 900][..], count].concat();
            let _ = (target.run)(&nested);
            for input in corpus_of(target) {
                for at in (0..input.len()).take(300) {
                    let end = (at + count.len()).min(input.len());
                    let _ = (target.run)(&[&input[..at], count, &input[end..]].concat());
                    let _ = (target.run)(&[&input[..at], count, &input[at..]].concat());
                }
            }
        }
        // A depth that no stack holds.
        for opening in [&b"\x91"[..], b"\x81\xa0", b"[", b"{\"a\":", b"a=[", b"a={b="] {
            let _ = (target.run)(&opening.repeat(50_000));
        }
    }
    assert_memory();
}

/// A store with one file of one chunk, and the term that gives it.
fn one_chunk() -> (Store, Catalog, Term) {
    let (store, mut shelf) = (store(memory()), Shelf::new());
    let mut catalog = Machine::new().create(&store).expect("made");
    let oid = shelf.put(&datamon_test_support::seeded_bytes(1, 4_000));
    push(&mut catalog, &shelf.files(&[oid])).expect("pushed");
    let row = catalog.find(REPO, &[oid]).expect("reads").remove(&oid).expect("there");
    let Recipe::Inline(terms) = row.recipe else { panic!("a short recipe") };
    (store, catalog, terms[0])
}

fn fetched(catalog: &Catalog, terms: Vec<Term>, size: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a directory");
    let wanted = Wanted { oid: Oid::from_bytes([1; 32]), size, terms, path: folder.path().join("file") };
    let told: Mutex<Option<Result<(), FetchError>>> = Mutex::new(None);
    fetch(&Source::of(catalog), &[wanted], &Silent, &|_, result| {
        *told.lock().expect("no panic") = Some(result)
    });
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0, "nothing is left");
    told.into_inner().expect("no panic").expect("each file is told of").map_err(|error| error.to_string())
}

#[test]
fn a_file_larger_than_any_disk_is_refused_before_it_takes_this_one() {
    let (_, catalog, term) = one_chunk();
    let endless = Term { repeat: u32::MAX, ..term };
    for size in [endless.len(), 1 << 60, i64::MAX as u64, 1 << 63, u64::MAX] {
        let error = fetched(&catalog, vec![endless; 3], size).expect_err("no disk has so much");
        assert!(error.contains("cannot write") && error.contains("free space"), "{error}");
    }
    // A recipe that gives more than its row promised ends there.
    for size in [0, 1, 4_000, 8_000] {
        let error = fetched(&catalog, vec![endless], size).expect_err("too much");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_store_that_promises_petabytes_is_verified_all_the_same() {
    let (_, mut catalog, term) = one_chunk();
    let long = |n: u32| Term { repeat: u32::MAX - n, ..term };
    let mut promise = |n: u8, terms: Vec<Term>| {
        let size = terms.iter().map(Term::len).sum();
        let row =
            Row { oid: Oid::from_bytes([n; 32]), repo: REPO, born: 0, size, recipe: Recipe::Inline(terms) };
        let base = catalog.head().seq();
        publish(&mut catalog, base, REPO, vec![row], &[], &[], Versions::default()).expect("published");
        size
    };
    let claims: Vec<u64> = (0..20).map(|n| promise(n, vec![long(n.into()); 16])).collect();
    // These bytes are hashed, and are not those of the name.
    promise(21, vec![Term { repeat: 3, ..term }]);
    promise(22, vec![Term { raw: 1 << 63, ..term }]);
    let findings = verify(&catalog, Depth::Files, &Silent).expect("verified");
    assert_eq!((findings.unhashed, findings.unhashed_bytes), (20, claims.iter().sum()));
    assert!(findings.unhashed_bytes > 4 << 50);
    assert_eq!(findings.wrong, [Oid::from_bytes([21; 32])].into(), "{:?}", findings.problems);
    assert_eq!(findings.rebuilt, 2);
    assert_eq!(findings.problems.len(), 2, "{:?}", findings.problems);
    assert!(
        findings.problems.iter().any(|it| it.what.contains("larger than any file")),
        "{:?}",
        findings.problems
    );
    // A chunk that is wrong is told, whoever repeats it.
    let pack = key::pack(PackKind::Data, term.pack);
    let mut bytes = catalog.store().get(&pack).expect("reads").expect("there").to_vec();
    bytes[term.offset as usize + 40] ^= 1;
    catalog.store().overwrite(&pack, bytes.into()).expect("memory");
    let findings = verify(&catalog, Depth::Files, &Silent).expect("verified");
    assert!(findings.problems.iter().any(|it| it.oids.len() == 22), "{:?}", findings.problems);
}

#[test]
fn recipes_that_overlap_or_lead_nowhere_are_read_or_refused() {
    let (_, catalog, term) = one_chunk();
    // The same bytes again and again are a file like any other, but not this one.
    assert!(fetched(&catalog, vec![term; 2_000], 2_000 * 4_000).is_err_and(|it| it.contains("bytes")));
    for term in [
        Term { offset: 0, ..term },
        Term { offset: term.offset + 1, ..term },
        Term { stored: term.stored - 1, ..term },
        Term { stored: term.stored + 1_000_000, ..term },
        Term { skip: 3_999, ..term },
        Term { skip: u32::MAX, ..term },
        Term { raw: u64::MAX, ..term },
        Term { stored: u64::MAX, ..term },
        Term { pack: PackId::from_bytes([9; 16]), ..term },
    ] {
        // As it is read from a table or a page.
        let read = decode_terms(&encode_terms(&[term])).map_err(|error| error.to_string());
        let error = read.and_then(|terms| fetched(&catalog, terms, 4_000)).expect_err("damaged");
        assert!(!error.contains('\n'), "{error}");
    }
    // Only a forward leads so far.
    for offset in [1 << 40, u64::MAX - 5] {
        let error = fetched(&catalog, vec![Term { offset, ..term }], 4_000).expect_err("nothing is there");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn forwards_in_circles_end() {
    let pack = |n| PackId::from_bytes([n; 16]);
    let forward = |from, to, at| Forward { from: pack(from), offset: 16, stored: 100, to: pack(to), at };
    for circle in [
        vec![forward(1, 1, 16)],
        vec![forward(1, 2, 16), forward(2, 1, 16)],
        vec![forward(1, 2, 16), forward(2, 3, 16), forward(3, 1, 16)],
        vec![forward(1, 2, u64::MAX - 3)],
        (1..200).map(|n| forward(n, n + 1, 16)).collect(),
    ] {
        let mut state = State::default();
        let change = Change::Compact(Compact { forwards: circle, ..Compact::default() });
        state.apply(0, &ChangeRecord::new(0, change, writer(), 0)).expect("the first");
        for offset in [16, 20, u64::MAX] {
            let _ = state.end(Run { pack: pack(1), offset, stored: 50 });
        }
    }
}

#[test]
fn a_log_of_hostile_numbers_is_opened_or_refused_at_once() {
    for (name, bytes) in [
        (key::HEAD, &b"ffffffffffffffff\n"[..]),
        (key::HEAD, b"00000000ffffffff\n"),
        (key::HEAD, b"-1\n"),
        (key::HEAD, b"18446744073709551616\n"),
        (key::HEAD, b""),
        ("log/ffffffffffffffff", b""),
        ("log/ffffffffffffffff", b"gdmlog\x01\0"),
        ("log/00000000ffffffff", b"x"),
        ("log/0000000000000003", b"x"),
        ("data/aa/not-an-id", b"x"),
    ] {
        let (store, _, _) = one_chunk();
        store.overwrite(name, bytes.to_vec().into()).expect("memory");
        match fresh(&store) {
            Ok(catalog) => {
                let findings = verify(&catalog, Depth::Files, &Silent).expect("reads");
                assert!(findings.problems.len() < 10 && findings.notes.len() < 10, "{name}");
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{name}: {error}"),
        }
        let requests = store.requests();
        assert!(requests.get + requests.head + requests.list < 1_000, "{name}: {requests:?}");
    }
}

#[test]
fn a_page_that_names_itself_as_its_recipe_is_refused() {
    let (_, mut catalog, term) = one_chunk();
    let mut pack = PackWriter::new(PackKind::Meta);
    // Its block of terms is said to be the frame in which this page will lie, in this pack and in the one with the data.
    for of in [pack.id(), term.pack] {
        let blob = Blob { pack: of, offset: 16, stored: 200 };
        let recipe = Recipe::Out { blob, packs: vec![of] };
        let oid = Oid::from_bytes([3; 32]);
        let content = Content::File { executable: false, oid, size: 10, recipe };
        let entries = [Entry { path: b"a".to_vec(), content }];
        let page = write_page(&mut pack, &Cache::none(), REPO, &entries);
        let root = Root { id: BundleId::new(), repo: REPO, facts: Facts::default(), pages: vec![page] };
        pack.add(&Frame::encode(root.encode()), vec![]);
    }
    let row = |of| Row {
        oid: Oid::from_bytes([3; 32]),
        repo: REPO,
        born: 0,
        size: 10,
        recipe: Recipe::Out { blob: Blob { pack: of, offset: 16, stored: 200 }, packs: vec![of] },
    };
    let pack = pack.finish();
    pack.put(catalog.store()).expect("written");
    for of in [pack.id, term.pack, PackId::from_bytes([1; 16])] {
        let error = catalog.terms(&row(of)).expect_err("no terms").to_string();
        assert!(!error.contains('\n'), "{error}");
    }
    catalog.refresh().expect("still open");
}

//! Ingest and fetch together: what goes in comes out, in few bytes and few requests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::fetch::{self, FetchError, Wanted, fetch};
use super::ingest::{ChunkIndex, Ingested, Known, Outlet, Source, Taken, ingest};
use crate::catalog::Sent;
use crate::chunk::Sizes;
use crate::disk::{Disk, Verb, When};
use crate::id::{ChunkId, Oid, PackId, PackKind};
use crate::pack::format::{MAX_FOOTER, MAX_FRAME};
use crate::pack::{Blob, Footer, Frame, FrameEntry, PackInfo, PackWriter, Term, read_footer};
use crate::progress::Silent;
use crate::store::{Store, StoreUrl, key};

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_keyed(blake3::hash(&seed.to_le_bytes()).as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn hour() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

fn oid(bytes: &[u8]) -> Oid {
    Oid::from_bytes(Sha256::digest(bytes).into())
}

fn memory(name: &str) -> Store {
    Store::open(&StoreUrl::parse(&format!("memory:round-trip-{name}")).expect("a URL")).expect("memory")
}

fn source(folder: &Path, bytes: &[u8], near: Vec<PackId>) -> Source {
    let oid = oid(bytes);
    let path = folder.join(oid.to_string());
    fs::write(&path, bytes).expect("writable");
    Source { expected: Some((oid, bytes.len() as u64)), path, near }
}

/// Knows the packs it was given, remembers those it is told of, and how many it was asked for each time.
#[derive(Default)]
struct Packs {
    footers: Mutex<BTreeMap<PackId, Footer>>,
    asked: Mutex<Vec<usize>>,
}

impl Known for Packs {
    fn footers(&self, packs: &[PackId]) -> Vec<(PackId, Footer)> {
        self.asked.lock().expect("no panic").push(packs.len());
        let footers = self.footers.lock().expect("no panic");
        packs.iter().map(|pack| (*pack, footers[pack].clone())).collect()
    }

    fn keep(&self, pack: PackId, footer: &Footer) {
        self.footers.lock().expect("no panic").insert(pack, footer.clone());
    }

    fn look_up(&mut self, _unknown: &[(ChunkId, u32)], _index: &mut ChunkIndex) {}
}

fn outlet(store: &Store) -> Outlet<'_> {
    Outlet { store, sizes: Sizes::DEFAULT, sent: Sent::default() }
}

fn take(store: &Store, sources: &[Source], known: &mut Packs) -> Ingested {
    ingest(&outlet(store), sources, ChunkIndex::default(), known, &Silent, hour()).expect("ingests")
}

type Given = BTreeMap<Oid, Result<Vec<u8>, FetchError>>;

fn give(store: &Store, made: &Ingested, folder: &Path) -> Given {
    give_from(&fetch::Source::bare(store), made, folder)
}

/// What comes is taken away again; of what does not come nothing may lie there.
fn give_from(source: &fetch::Source, made: &Ingested, folder: &Path) -> Given {
    let wanted: Vec<Wanted> = made
        .files
        .iter()
        .map(|Taken { oid, size, terms, .. }| {
            let path = folder.join(format!("{oid}.out"));
            Wanted { oid: *oid, size: *size, terms: terms.clone(), path }
        })
        .collect();
    let results = Mutex::new(BTreeMap::new());
    fetch(source, &wanted, &Silent, &|file, result| {
        assert_eq!(file.path.exists(), result.is_ok(), "{result:?}");
        let bytes = result.map(|()| fs::read(&file.path).expect("written"));
        let _ = fs::remove_file(&file.path);
        assert!(results.lock().expect("no panic").insert(file.oid, bytes).is_none(), "told once");
    });
    results.into_inner().expect("no panic")
}

fn assert_round_trip(store: &Store, contents: &[Vec<u8>]) -> Ingested {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut contents = contents.to_vec();
    contents.sort();
    contents.dedup();
    let sources: Vec<Source> = contents.iter().map(|bytes| source(folder.path(), bytes, vec![])).collect();
    let made = take(store, &sources, &mut Packs::default());
    assert!(made.failed.is_empty(), "{:?}", made.failed);
    let given = give(store, &made, folder.path());
    assert_eq!(given.len(), contents.len());
    for bytes in &contents {
        assert!(given[&oid(bytes)].as_ref().expect("fetched") == bytes, "{} bytes differ", bytes.len());
    }
    made
}

#[test]
fn large_small_and_repeated_files_come_back() {
    let mut contents = vec![noise(1, 40 << 20), vec![0; 30 << 20], vec![], vec![7], noise(2, 64 << 10)];
    contents.extend((0..500).map(|n| noise(100 + n, 20_000)));
    contents.push(b"a line of text\n".repeat(1 << 20));
    let store = memory("mixed");
    let made = assert_round_trip(&store, &contents);
    assert_eq!(made.packs.len(), 2);
    let zeros = made.files.iter().find(|it| it.size == 30 << 20).expect("there");
    assert!(zeros.terms.len() <= 2, "a run of zeros is one term: {:?}", zeros.terms);
}

#[test]
fn an_insert_at_the_head_costs_one_chunk() {
    let (store, folder) = (memory("insert"), tempfile::tempdir().expect("a temporary directory"));
    let old = noise(3, 20 << 20);
    let mut known = Packs::default();
    let made = take(&store, &[source(folder.path(), &old, vec![])], &mut known);
    let near: Vec<PackId> = made.packs.iter().map(|(pack, _)| *pack).collect();
    let new: Vec<u8> = [b"x".to_vec(), old].concat();
    let next = take(&store, &[source(folder.path(), &new, near)], &mut known);
    assert!(next.new_raw < 128 << 10, "{} new bytes", next.new_raw);
    assert!(give(&store, &next, folder.path())[&oid(&new)].as_ref().expect("fetched") == &new);
}

#[test]
fn packs_near_a_file_are_learned_together_and_not_far_ahead() {
    let (store, folder) = (memory("near"), tempfile::tempdir().expect("a temporary directory"));
    for (raw, asked) in [(32 << 20, vec![8, 8, 4]), (1 << 30, vec![8])] {
        let mut known = Packs::default();
        let near: Vec<PackId> = (0..20).map(|_| PackId::new()).collect();
        for pack in &near {
            let frame = FrameEntry { offset: 16, stored: 99, raw, chunks: vec![] };
            known.keep(*pack, &Footer { kind: PackKind::Data, frames: vec![frame] });
        }
        // Two files of one window with the same packs: each is learned once.
        let sources = [1, 2].map(|n| source(folder.path(), &noise(n, 30_000), near[..].to_vec()));
        take(&store, &sources[..1], &mut known);
        assert_eq!(*known.asked.lock().expect("no panic"), asked, "{raw} raw bytes in each");
        known.asked.lock().expect("no panic").clear();
        take(&store, &sources, &mut known);
        let asked: usize = known.asked.lock().expect("no panic").iter().sum();
        assert!(asked <= 20, "{asked}");
    }
}

#[test]
fn what_compresses_very_well_has_footers_that_are_read_again() {
    let store = memory("footers");
    // Distinct chunks that shrink to nearly nothing: it is the footers that fill.
    let mut pack = PackWriter::new(PackKind::Data);
    let frame = Frame::encode(vec![0; 64]);
    let mut chunks = 0u32;
    while !pack.is_full(32 << 20) {
        let ids = (0..64).map(|n| (ChunkId::of(&(chunks + n).to_le_bytes()), 1)).collect();
        pack.add(&frame, ids);
        chunks += 64;
    }
    let pack = pack.finish();
    pack.put(&store).expect("memory");
    assert!(pack.info.footer as usize <= MAX_FOOTER && pack.info.size < 8 << 20, "{:?}", pack.info);
    assert_eq!(read_footer(&store, pack.id, pack.info).expect("reads").chunks(), chunks as usize);
    // What claims more is refused before anything is asked for.
    let before = store.requests();
    let hostile = PackInfo { size: 128 << 20, footer: MAX_FOOTER as u32 + 1, ..pack.info };
    assert!(read_footer(&store, pack.id, hostile).is_err());
    assert_eq!(store.requests().since(before).get, 0);
}

#[test]
fn a_wrong_local_object_fails_alone() {
    let (store, folder) = (memory("wrong"), tempfile::tempdir().expect("a temporary directory"));
    let mut sources: Vec<Source> = (0..3).map(|n| source(folder.path(), &noise(n, 30_000), vec![])).collect();
    fs::write(&sources[0].path, noise(9, 30_000)).expect("writable");
    fs::remove_file(&sources[1].path).expect("there");
    let made = take(&store, &sources, &mut Packs::default());
    assert_eq!(made.files.len(), 1);
    let failed: BTreeMap<_, _> = made.failed.iter().map(|it| (it.oid, it.error.to_string())).collect();
    let oid = |at: usize| sources[at].expected.map(|(oid, _)| oid);
    assert!(failed[&oid(0)].contains("damaged"), "{failed:?}");
    assert!(failed[&oid(1)].contains("cannot read"), "{failed:?}");
    // A size that lies is found too.
    sources[2].expected.as_mut().expect("set above").1 += 1;
    assert_eq!(take(&store, &sources[2..], &mut Packs::default()).failed.len(), 1);
}

#[test]
fn when_time_is_up_what_is_done_can_be_committed() {
    let (store, folder) = (memory("late"), tempfile::tempdir().expect("a temporary directory"));
    let sources: Vec<Source> = (0..3).map(|n| source(folder.path(), &noise(n, 30_000), vec![])).collect();
    let made = ingest(
        &outlet(&store),
        &sources,
        ChunkIndex::default(),
        &mut Packs::default(),
        &Silent,
        Instant::now(),
    );
    let made = made.expect("ingests");
    assert_eq!((made.files.len(), made.left), (1, 2));
}

#[test]
fn frames_that_declare_far_more_than_is_wanted_of_them_are_refused_together() {
    let (store, folder) = (memory("declared"), tempfile::tempdir().expect("a temporary directory"));
    let mut pack = PackWriter::new(PackKind::Data);
    // A few stored bytes each, 16 MiB in memory, of which the file wants one.
    let frame = Frame::encode(vec![0; MAX_FRAME]);
    let term = |blob: Blob| {
        let (offset, stored) = (blob.offset, u64::from(blob.stored));
        Term { pack: blob.pack, offset, stored, skip: 0, raw: 1, repeat: 1 }
    };
    let terms: Vec<Term> = (0..9).map(|_| term(pack.add(&frame, vec![]))).collect();
    pack.finish().put(&store).expect("memory");
    let fetched = |terms: &[Term]| {
        let taken = Taken {
            source: 0,
            oid: oid(&vec![0; terms.len()]),
            size: terms.len() as u64,
            terms: terms.to_vec(),
        };
        let made = Ingested { files: vec![taken], ..Ingested::default() };
        give(&store, &made, folder.path()).into_values().next().expect("told")
    };
    assert_eq!(fetched(&terms[..2]).expect("a writer with larger frames than ours"), [0, 0]);
    let error = fetched(&terms).expect_err("144 MiB at once").to_string();
    assert!(error.contains("declared length"), "{error}");
}

#[test]
fn a_file_that_finds_no_room_is_refused_before_anything_is_written() {
    // A file system that knows how large it is: more than all of it cannot be reserved, however large it is.
    let shm = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(shm).expect("this test needs /dev/shm, a tmpfs");
    let all = room.f_blocks * room.f_frsize;
    assert!(all > 0, "this test needs a /dev/shm with a limit: mount it with `size=`");
    let folder = tempfile::tempdir_in(shm).expect("this test needs to write into /dev/shm");
    // The recipe is honest as far as it goes: without the reservation its bytes would be written.
    let store = memory("no-room");
    let made = take(&store, &[source(folder.path(), &noise(1, 30_000), vec![])], &mut Packs::default());
    let Taken { oid, terms, .. } = made.files[0].clone();
    let path = folder.path().join("too-large");
    let wanted = Wanted { oid, size: all + 1, terms, path: path.clone() };
    let told = Mutex::new(Vec::new());
    fetch(&fetch::Source::bare(&store), &[wanted], &Silent, &|_, result| {
        told.lock().expect("no panic").push(result)
    });
    match &told.into_inner().expect("no panic")[..] {
        [Err(FetchError::Write { source, .. })] => {
            assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "{source}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!path.exists());
}

/// A step with a file of this name, and for which time.
type Step = (String, Verb, When, usize);

/// A disk that is full at these steps, and all that it was asked for.
fn full_at(fails: Vec<Step>) -> (Disk, Arc<Mutex<Vec<Step>>>) {
    let seen = Arc::<Mutex<Vec<Step>>>::default();
    let list = seen.clone();
    let disk = Disk::watched(move |verb, when, path| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let mut list = list.lock().expect("no panic");
        let times = list.iter().filter(|it| (&it.0, it.1, it.2) == (&name, verb, when)).count();
        list.push((name, verb, when, times));
        match fails.contains(&list[list.len() - 1]) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    });
    (disk, seen)
}

#[test]
fn a_disk_that_fails_at_any_step_costs_the_file_and_leaves_nothing_of_it() {
    let (store, folder) = (memory("failing-disk"), tempfile::tempdir().expect("a temporary directory"));
    // Nothing, some that are written side by side, and one that comes in several requests and is given its room at once.
    let contents = [vec![], noise(1, 3_000), noise(2, 200_000), noise(3, 300_000), noise(4, 12 << 20)];
    let sources: Vec<Source> = contents.iter().map(|bytes| source(folder.path(), bytes, vec![])).collect();
    let made = take(&store, &sources, &mut Packs::default());
    let give_on =
        |disk: &Disk| give_from(&fetch::Source::bare(&store).on(disk.clone()), &made, folder.path());
    let right = |given: &Given| {
        contents.iter().filter(|bytes| given[&oid(bytes)].as_ref().is_ok_and(|it| it == *bytes)).count()
    };
    let (disk, seen) = full_at(vec![]);
    assert_eq!(right(&give_on(&disk)), contents.len());
    let steps = seen.lock().expect("no panic").clone();
    let large = format!("{}.out", oid(&contents[4]));
    let appends =
        steps.iter().filter(|it| it.0 == large && (it.1, it.2) == (Verb::Append, When::After)).count();
    assert!(appends > 20, "{appends}");
    assert!(steps.iter().all(|it| it.1 != Verb::Remove), "{steps:?}");
    // Of the large one some are as good as all.
    for step in steps.into_iter().filter(|it| it.3 < 2 || it.3 % 16 == 0 || it.3 == appends - 1) {
        let (disk, seen) = full_at(vec![step.clone()]);
        let given = give_on(&disk);
        assert_eq!(right(&given), contents.len() - 1, "{step:?}");
        let error = given.values().find_map(|it| it.as_ref().err()).expect("one failed").to_string();
        assert!(error.contains("cannot write") && error.contains(&step.0), "{step:?}: {error}");
        let removed = seen.lock().expect("no panic").iter().any(|it| it.1 == Verb::Remove);
        assert_eq!(removed, (step.1, step.2) != (Verb::Begin, When::Before), "{step:?}");
        assert_eq!(right(&give_on(&disk)), contents.len(), "again after {step:?}");
    }
    // Where even removing fails, it is the first error that is told.
    let last = (large.clone(), Verb::Append, When::Before, appends - 1);
    for (when, is_left) in [(When::After, false), (When::Before, true)] {
        let (disk, _) = full_at(vec![last.clone(), (large.clone(), Verb::Remove, when, 0)]);
        let Taken { oid, size, terms, .. } =
            made.files.iter().find(|it| it.size == 12 << 20).expect("taken").clone();
        let wanted = Wanted { oid, size, terms, path: folder.path().join(&large) };
        fetch(&fetch::Source::bare(&store).on(disk), &[wanted], &Silent, &|file, result| {
            let error = result.expect_err("it is full").to_string();
            assert!(error.contains(&large) && error.contains("no storage space"), "{error}");
            assert_eq!(file.path.exists(), is_left);
        });
    }
}

#[test]
fn a_file_that_is_there_already_stays_as_it_is() {
    let (store, folder) = (memory("there"), tempfile::tempdir().expect("a temporary directory"));
    let made = take(&store, &[source(folder.path(), &noise(1, 30_000), vec![])], &mut Packs::default());
    let Taken { oid, size, terms, .. } = made.files[0].clone();
    let (there, missing) = (folder.path().join("there"), folder.path().join("below/missing"));
    fs::write(&there, "mine").expect("writable");
    for path in [&there, &missing] {
        let wanted = Wanted { oid, size, terms: terms.clone(), path: path.clone() };
        fetch(&fetch::Source::bare(&store), &[wanted], &Silent, &|_, result| {
            assert!(result.expect_err("it cannot be made").to_string().contains("cannot write"));
        });
    }
    assert_eq!(fs::read(&there).expect("there"), b"mine");
    assert!(!folder.path().join("below").exists(), "no directory is made");
}

#[test]
fn what_is_no_file_or_no_longer_one_is_told_of_and_stops_nothing() {
    let (store, folder) = (memory("no-files"), tempfile::tempdir().expect("a temporary directory"));
    let there = source(folder.path(), &noise(1, 30_000), vec![]);
    let [pipe, link, socket] = ["pipe", "link", "socket"].map(|name| folder.path().join(name));
    // Nobody will ever write into the pipe.
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, 0o600.into(), 0).expect("a pipe can be made");
    std::os::unix::fs::symlink(&there.path, &link).expect("a link can be made");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("a socket can be made");
    let as_it_is = |path: &Path| Source { expected: None, path: path.to_owned(), near: vec![] };
    let hashed = |path: &Path| Source { path: path.to_owned(), ..there.clone() };
    let sources =
        [as_it_is(&pipe), hashed(&pipe), as_it_is(&socket), as_it_is(&link), hashed(&link), there.clone()];
    let made = take(&store, &sources, &mut Packs::default());
    let why: Vec<String> = made.failed.iter().map(|it| it.error.to_string()).collect();
    assert_eq!(why.len(), 4, "{why:?}");
    assert!(why[..3].iter().all(|why| why.contains("no regular file")), "{why:?}");
    assert!(why[3].contains("a link took its place"), "{why:?}");
    // A link to bytes that are known beforehand leads where it should, or is refused for them.
    assert_eq!(made.files.iter().map(|it| it.source).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn damage_costs_only_the_files_it_touches() {
    let (store, folder) = (memory("damage"), tempfile::tempdir().expect("a temporary directory"));
    let sources: Vec<Source> = (0..100).map(|n| source(folder.path(), &noise(n, 20_000), vec![])).collect();
    let made = take(&store, &sources, &mut Packs::default());
    let name = key::pack(PackKind::Data, made.packs[0].0);
    let mut bytes = store.get(&name).expect("memory").expect("there").to_vec();
    bytes[100_000] ^= 1;
    store.overwrite(&name, bytes.into()).expect("memory");
    let given = give(&store, &made, folder.path());
    let bad = given.values().filter(|result| result.is_err()).count();
    assert!((1..20).contains(&bad), "{bad} of 100 files failed");
    assert!(
        !fs::read_dir(folder.path()).expect("there").any(|e| e.expect("an entry").path().ends_with(".out"))
    );
    store.delete(&name).expect("memory");
    assert!(give(&store, &made, folder.path()).values().all(Result::is_err));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_set_of_files_comes_back(
        files in prop::collection::vec((0u64..6, 0usize..400_000, 0usize..40_000, 1usize..40), 1..12)
    ) {
        // Files share seeds, so they share chunks, at shifted places, repeated, cut short.
        let contents: Vec<Vec<u8>> = files
            .iter()
            .map(|(seed, length, skip, repeat)| noise(*seed, *length)[(*skip).min(*length)..].repeat(1 + repeat % 3))
            .collect();
        assert_round_trip(&memory("any"), &contents);
    }
}

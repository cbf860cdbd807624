//! Similar data is found wherever in the store it lies, by a machine that knows nothing but the store; and whatever is wrong
//! with the hooks that lead there, it costs deduplication and nothing else.

use std::sync::Arc;

use datamon::catalog::Catalog;
use datamon::catalog::change::{Change, ChangeRecord, Condemn, Push, SegmentRef, TableKind};
use datamon::catalog::log::{now, writer};
use datamon::id::{ChunkId, Oid, PackId, PackKind};
use datamon::ops::verify::{Depth, verify};
use datamon::pack::{Footer, FrameEntry, PackInfo, PackWriter};
use datamon::progress::Silent;
use datamon::store::fail::{Failing, Fault};
use datamon::store::{Backend, Counts, Store, key, memory};
use datamon::table::{Hooks, kept};
use datamon_test_support::seeded_bytes;

use super::world::{Machine, REPO, Shelf, assert_chain, assert_packs, fresh, push, store};

const MIB: usize = 1 << 20;

/// A store with the files of one machine.
struct Scene {
    store: Store,
    machine: Machine,
    shelf: Shelf,
    oids: Vec<Oid>,
}

impl Scene {
    /// One push of these files, and a checkpoint if wanted.
    fn new(contents: &[impl AsRef<[u8]>], checkpoint: bool) -> Scene {
        let (store, machine) = (store(memory()), Machine::new());
        machine.create(&store).expect("made");
        let mut scene = Scene { store, machine, shelf: Shelf::new(), oids: vec![] };
        scene.push(contents);
        if checkpoint {
            let mut catalog = scene.open();
            assert!(catalog.write_checkpoint().expect("written"));
        }
        scene
    }

    fn open(&self) -> Catalog {
        self.machine.open(&self.store).expect("opens")
    }

    /// A push by the machine that made the store.
    fn push(&mut self, contents: &[impl AsRef<[u8]>]) {
        let oids: Vec<Oid> = contents.iter().map(|bytes| self.shelf.put(bytes.as_ref())).collect();
        push(&mut self.open(), &self.shelf.files(&oids)).expect("pushed");
        self.oids.extend(oids);
    }

    /// A push by a machine that never saw the store, of a file git knows no version of: new raw bytes, and what it cost.
    fn push_elsewhere(&mut self, bytes: &[u8]) -> (u64, Counts) {
        let oid = self.shelf.put(bytes);
        let (machine, before) = (Machine::new(), self.store.requests());
        let mut catalog = machine.open(&self.store).expect("opens");
        let done = push(&mut catalog, &self.shelf.files(&[oid])).expect("pushed");
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        self.oids.push(oid);
        (done.stats.new_raw, self.store.requests().since(before))
    }

    fn hook_segments(&self) -> Vec<SegmentRef> {
        let catalog = fresh(&self.store).expect("opens");
        catalog.state().table(TableKind::Hooks).map(|it| it.at.clone()).collect()
    }

    fn data_packs(&self) -> Vec<(PackId, Footer)> {
        let catalog = fresh(&self.store).expect("opens");
        let data = catalog.state().packs().iter().filter(|(_, info)| info.kind == PackKind::Data);
        data.map(|(pack, _)| (*pack, catalog.footer(*pack).expect("reads").expect("there"))).collect()
    }

    /// An entry that adds these hooks and nothing else.
    fn commit_hooks(&self, fill: impl FnOnce(&mut Hooks)) {
        self.commit_hooks_of(vec![], fill);
    }

    /// The same, with data packs that nobody ever wrote.
    fn commit_hooks_of(&self, packs: Vec<PackId>, fill: impl FnOnce(&mut Hooks)) {
        let (mut hooks, mut meta) = (Hooks::with_room(1 << 20), PackWriter::new(PackKind::Meta));
        fill(&mut hooks);
        let segments = vec![SegmentRef::new(TableKind::Hooks, &hooks.write(&mut meta))];
        let meta = meta.finish();
        meta.put(&self.store).expect("written");
        let change = Change::Push(Push { repo: REPO, rows: None, segments, labels: vec![], bundles: vec![] });
        let mut catalog = self.open();
        let mut record = ChangeRecord::new(catalog.head().seq(), change, writer(), now());
        let info = PackInfo { kind: PackKind::Data, size: 32 << 20, footer: 80_000 };
        record.added = packs.into_iter().map(|pack| (pack, info)).chain([(meta.id, meta.info)]).collect();
        catalog.commit(&record).expect("lands");
    }

    /// Hooks of chunks that nobody has, `rows` of them in one segment.
    fn commit_strange_hooks(&self, seed: u32, rows: u32) {
        let chunk = |n: u32| (ChunkId::of(&[seed, n].map(u32::to_le_bytes).concat()), 16_000);
        let footer = |n: u32| {
            let chunks = (n * 2_000..(n + 1) * 2_000).map(chunk).collect();
            let frame = FrameEntry { offset: 16, stored: 1, raw: 1, chunks };
            Footer { kind: PackKind::Data, frames: vec![frame] }
        };
        let packs: Vec<PackId> = (0..rows / 2_000).map(|_| PackId::new()).collect();
        let fill = |hooks: &mut Hooks| (0..).zip(&packs).for_each(|(n, pack)| hooks.add(*pack, &footer(n)));
        self.commit_hooks_of(packs.clone(), fill);
    }

    /// Every file comes out whole, and the store is sound.
    fn assert_sound(&self) {
        self.shelf.assert_download(&mut fresh(&self.store).expect("opens"), &self.oids, "all");
        assert_packs(&self.store);
        assert_chain(&self.store);
    }
}

/// Another file made of parts of `bytes`, far apart and not in order, and half a MiB of its own.
fn collage(bytes: &[u8], seed: u64) -> Vec<u8> {
    let part = bytes.len() / 4;
    let parts = [2, 0, 3].map(|n| &bytes[n * part + 777..(n + 1) * part]);
    [parts[0], &seeded_bytes(seed, MIB / 2), parts[1], parts[2]].concat()
}

#[test]
fn a_file_like_one_of_another_path_costs_the_difference() {
    // Two packs: their hooks go with the push. One: with the next checkpoint, until which its footer is looked at.
    for (length, checkpoint, segments) in [(40 * MIB, false, 1), (8 * MIB, true, 1), (8 * MIB, false, 0)] {
        let old = seeded_bytes(1, length);
        let mut scene = Scene::new(&[&old], checkpoint);
        assert_eq!(scene.hook_segments().len(), segments);
        let (new_raw, cost) = scene.push_elsewhere(&collage(&old, 2));
        assert!(new_raw < 800 << 10, "{length} {checkpoint}: {new_raw} new bytes");
        // To open, to look rows up, the fence, the hooks, a footer for each pack, and to commit.
        assert!(cost.get < 20 && cost.read < 4 << 20, "{length} {checkpoint}: {cost:?}");
        scene.assert_sound();
    }
}

#[test]
fn pieces_of_many_pushes_are_found_together() {
    let parts: Vec<Vec<u8>> = (0..30).map(|n| seeded_bytes(n, MIB)).collect();
    for checkpoint in [false, true] {
        let mut scene = Scene::new(&parts[..1], false);
        for part in &parts[1..] {
            scene.push(std::slice::from_ref(part));
        }
        if checkpoint {
            assert!(scene.open().write_checkpoint().expect("written"));
            let all: u64 = scene.data_packs().iter().map(|(_, footer)| chunks(footer)).sum();
            assert_eq!(scene.hook_segments()[0].rows, all);
        }
        let (new_raw, cost) = scene.push_elsewhere(&parts.concat());
        // Where one part ends and the next begins, chunks are new.
        assert!(new_raw < 5 << 20, "{new_raw} new bytes");
        assert!(cost.get < 60, "{cost:?}");
        scene.assert_sound();
    }
}

fn chunks(footer: &Footer) -> u64 {
    footer.frames.iter().map(|frame| frame.chunks.len() as u64).sum()
}

#[test]
fn small_pushes_look_for_nothing() {
    let old = seeded_bytes(1, MIB);
    let mut scene = Scene::new(&[&old], true);
    let (new_raw, cost) = scene.push_elsewhere(&old[1..MIB / 2]);
    assert!(new_raw > 400 << 10);
    assert!(cost.get < 12, "{cost:?}");
    scene.assert_sound();
}

#[test]
fn hooks_need_no_object_of_their_own() {
    let mut scene = Scene::new(&[seeded_bytes(1, MIB)], false);
    let metas = |scene: &Scene| scene.store.list(key::META, "").expect("lists").len();
    assert_eq!(metas(&scene), 0, "one pack, its rows in the entry");
    scene.push(&(0..3_000).map(|n| seeded_bytes(100 + n, 500)).collect::<Vec<_>>());
    assert_eq!((metas(&scene), scene.hook_segments().len()), (1, 1), "beside the rows");
    assert!(scene.open().write_checkpoint().expect("written"));
    assert_eq!((metas(&scene), scene.hook_segments().len()), (2, 2), "beside the checkpoint");
    assert_eq!(scene.open().state().unhooked().len(), 0);
    let all: u64 = scene.data_packs().iter().map(|(_, footer)| chunks(footer)).sum();
    assert_eq!(scene.hook_segments().iter().map(|it| it.rows).sum::<u64>(), all, "each chunk once");
    // Nothing new, nothing to hook.
    assert!(scene.open().write_checkpoint().expect("written"));
    assert_eq!(scene.hook_segments().len(), 2);
    scene.assert_sound();
}

#[test]
fn the_head_of_a_table_leads_to_every_large_pack() {
    let scene = Scene::new(&[seeded_bytes(1, 70 * MIB)], false);
    let catalog = fresh(&scene.store).expect("opens");
    let all = scene.hook_segments()[0].rows as usize;
    let sample = catalog.hooks(all / 16);
    assert!((all / 24..=all / 16).contains(&sample.len()), "{} of {all}", sample.len());
    for (pack, footer) in scene.data_packs().iter().filter(|(_, footer)| chunks(footer) > 1_000) {
        let ids = footer.frames.iter().flat_map(|frame| &frame.chunks);
        let leading = ids.filter(|(id, _)| sample.find(id).any(|found| found == *pack)).count();
        assert!(leading > 30, "{leading} chunks lead to a pack of {}", chunks(footer));
    }
}

#[test]
fn of_a_large_table_a_push_reads_a_sample() {
    let old = seeded_bytes(1, 40 * MIB);
    let mut scene = Scene::new(&[&old], false);
    (0..4).for_each(|seed| scene.commit_strange_hooks(seed, 500_000));
    // The larger push samples half of the table, the smaller one a quarter, and footers come on top.
    for (length, most) in [(12, 10 * MIB), (2, 6 * MIB)] {
        let (new_raw, cost) =
            scene.push_elsewhere(&collage(&old[length * MIB..2 * length * MIB], length as u64));
        assert!(new_raw < 800 << 10, "{length} MiB: {new_raw} new bytes");
        assert!(cost.get < 25 && cost.read < most as u64, "{length} MiB: {cost:?}");
    }
    let catalog = fresh(&scene.store).expect("opens");
    let hooks = catalog.hooks(1 << 20);
    assert!(((1 << 20) - 20_000..=1 << 20).contains(&hooks.len()), "{}", hooks.len());
    scene.shelf.assert_download(&mut fresh(&scene.store).expect("opens"), &scene.oids, "all");
}

/// Hooks of one chunk in 2^`shift` of 2^25, in one segment: together with them the table is one of half a terabyte.
fn commit_half_a_terabyte(scene: &Scene, shift: u8) -> u64 {
    let rows = (1u64 << 25) >> shift;
    let (mut hooks, mut meta) = (Hooks::with_room(1 << 21).of_shift(shift), PackWriter::new(PackKind::Meta));
    let pack = PackId::new();
    let chunk = |n: u64| {
        let mut id = *ChunkId::of(&n.to_le_bytes()).as_bytes();
        let prefix = u64::from_be_bytes(*id.first_chunk().expect("32 bytes")) >> shift;
        id[..8].copy_from_slice(&prefix.to_be_bytes());
        (ChunkId::from_bytes(id), 16_000)
    };
    let frame = FrameEntry { offset: 16, stored: 1, raw: 1, chunks: (0..rows).map(chunk).collect() };
    hooks.add(pack, &Footer { kind: PackKind::Data, frames: vec![frame] });
    let segments = vec![SegmentRef::of_hooks(&hooks.write(&mut meta), shift)];
    let meta = meta.finish();
    meta.put(&scene.store).expect("written");
    let change = Change::Push(Push { repo: REPO, rows: None, segments, labels: vec![], bundles: vec![] });
    let mut catalog = scene.open();
    let mut record = ChangeRecord::new(catalog.head().seq(), change, writer(), now());
    let info = PackInfo { kind: PackKind::Data, size: 32 << 20, footer: 80_000 };
    record.added = vec![(pack, info), (meta.id, meta.info)];
    catalog.commit(&record).expect("lands");
    rows
}

#[test]
fn a_large_table_is_sampled_and_leads_to_what_is_similar() {
    const THEIRS: u8 = 4;
    let old = seeded_bytes(1, 40 * MIB);
    let mut scene = Scene::new(&[&old], false);
    let all: u64 = scene.data_packs().iter().map(|(_, footer)| chunks(footer)).sum();
    let strange = commit_half_a_terabyte(&scene, THEIRS);
    assert_eq!(scene.open().hook_sample().chunks(), all + (strange << THEIRS));

    // What is written now is sampled by the size of the table, whatever others took; with a push and with a checkpoint.
    let new = seeded_bytes(2, 40 * MIB);
    scene.push(&[&new]);
    scene.push(&[seeded_bytes(3, 9 * MIB)]);
    assert!(scene.open().write_checkpoint().expect("written"));
    let shifts: Vec<(u8, u64)> = scene.hook_segments().iter().map(|it| (it.shift, it.rows)).collect();
    let of_shift = |wanted| shifts.iter().filter(|it| it.0 == wanted).map(|it| it.1).collect::<Vec<u64>>();
    let [mut with_push, mut with_checkpoint] = of_shift(2)[..] else { panic!("{shifts:?}") };
    if with_push < with_checkpoint {
        (with_push, with_checkpoint) = (with_checkpoint, with_push);
    }
    assert!((all / 5..all / 3).contains(&with_push) && (all / 25..all / 12).contains(&with_checkpoint));
    assert_eq!(scene.open().hook_sample().shift(0, 1 << 24), 2);

    // One chunk in 64 is in the sample that is read, so a MiB or so goes by before it is worth to look.
    let (new_raw, cost) = scene.push_elsewhere(&collage(&new[..24 * MIB], 3));
    assert!(new_raw < 4 << 20, "{new_raw} new bytes");
    assert!(cost.get < 25 && cost.read < 8 << 20, "{cost:?}");

    // A merge keeps of each what all of them keep.
    while scene.hook_segments().len() <= 8 {
        scene.push(&[seeded_bytes(10 + scene.oids.len() as u64, MIB)]);
        assert!(scene.open().write_checkpoint().expect("written"));
    }
    let rows = |scene: &Scene| scene.hook_segments().iter().map(|it| it.rows).sum::<u64>();
    let before = rows(&scene);
    assert!(scene.open().merge_runs().expect("merged"));
    let merged = scene.hook_segments();
    assert!(merged.len() <= 8 && rows(&scene) <= before);
    for segment in merged.iter().filter(|it| it.shift == 2) {
        assert!(segment.last <= kept(2), "{segment:?}");
    }
    let findings = verify(&fresh(&scene.store).expect("opens"), Depth::Promises, &Silent).expect("verified");
    assert!(!findings.notes.iter().any(|note| note.contains("hooks")), "{:?}", findings.notes);
}

#[test]
fn damaged_hooks_cost_deduplication_only() {
    let old = seeded_bytes(1, 6 * MIB);
    let mut scene = Scene::new(&[&old], true);
    let segment = scene.hook_segments().remove(0);
    let name = key::pack(PackKind::Meta, segment.pack);
    let whole = scene.store.get(&name).expect("reads").expect("there").to_vec();
    // The blobs of the checkpoint lie behind the hooks in the same pack, and are needed.
    let (from, to) = (segment.start as usize, segment.fence.offset as usize + segment.fence.stored as usize);
    let places = (0..40).map(|n| from + n * (to - from - 1) / 39);
    let mut lost = 0;
    for (n, at) in places.enumerate() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (n % 8);
        scene.store.overwrite(&name, bytes.into()).expect("written");
        let (new_raw, _) = scene.push_elsewhere(&collage(&old, 100 + n as u64));
        lost += usize::from(new_raw > 4 << 20);
        scene.store.overwrite(&name, whole.clone().into()).expect("back");
        // What was stored twice is gone again, so that the next round cannot find it.
        let head = assert_chain(&scene.store) - 1;
        scene.shelf.assert_download(&mut fresh(&scene.store).expect("opens"), &scene.oids, "all");
        scene.store.delete(&key::log(head)).expect("deleted");
        scene.oids.pop();
    }
    assert!(lost > 30, "{lost} of 40 lost the hooks");
    scene.assert_sound();
}

#[test]
fn foreign_and_missing_hooks_cost_deduplication_only() {
    let old = seeded_bytes(1, 36 * MIB);
    for what in ["gone", "empty", "text", "of another store"] {
        let mut scene = Scene::new(&[&old], false);
        let name = key::pack(PackKind::Meta, scene.hook_segments()[0].pack);
        let other = match what {
            "empty" => vec![],
            "text" => b"hooks ".repeat(10_000),
            _ => {
                let other = Scene::new(&[seeded_bytes(2, 36 * MIB)], false);
                let name = key::pack(PackKind::Meta, other.hook_segments()[0].pack);
                other.store.get(&name).expect("reads").expect("there").to_vec()
            }
        };
        match what {
            "gone" => scene.store.delete(&name).expect("deleted"),
            _ => scene.store.overwrite(&name, other.into()).expect("written"),
        }
        let bytes = collage(&old[..8 * MIB], 3);
        let (new_raw, _) = scene.push_elsewhere(&bytes);
        assert_eq!(new_raw, bytes.len() as u64, "{what}");
        let findings =
            verify(&fresh(&scene.store).expect("opens"), Depth::Promises, &Silent).expect("verified");
        assert!(findings.notes[0].contains("hooks cannot be read"), "{what}: {:?}", findings.notes);
        assert!(findings.problems.iter().all(|it| it.oids.is_empty()), "{what}: {:?}", findings.problems);
        scene.shelf.assert_download(&mut fresh(&scene.store).expect("opens"), &scene.oids, what);
    }
}

#[test]
fn hooks_may_name_packs_that_are_gone_or_never_were() {
    let old = seeded_bytes(1, 6 * MIB);
    let mut scene = Scene::new(&[&old], true);
    let (pack, footer) = scene.data_packs().remove(0);
    let catalog = fresh(&scene.store).expect("opens");
    let meta = catalog.state().packs().iter().find(|(_, info)| info.kind == PackKind::Meta);
    let meta = *meta.expect("the checkpoint").0;
    // Every chunk also in a pack nobody knows, and in one that holds no chunks.
    scene.commit_hooks(|hooks| [PackId::new(), meta].into_iter().for_each(|pack| hooks.add(pack, &footer)));
    let (new_raw, _) = scene.push_elsewhere(&collage(&old, 2));
    assert!(new_raw < 800 << 10, "the right pack is found: {new_raw} new bytes");
    scene.assert_sound();

    // Nothing names a condemned pack any more, whatever the hooks say.
    let mut scene = Scene::new(&[&old], true);
    let (condemned, _) = scene.data_packs().remove(0);
    let mut catalog = scene.open();
    let head = catalog.head().seq();
    let condemn = Change::Condemn(Condemn { mark: head, packs: vec![condemned] });
    catalog.commit(&ChangeRecord::new(head, condemn, writer(), now())).expect("lands");
    let (new_raw, _) = scene.push_elsewhere(&collage(&old, 2));
    assert!(new_raw > 4 << 20, "{new_raw} new bytes");
    let rows = fresh(&scene.store).expect("opens").find(REPO, &scene.oids[1..]).expect("reads");
    assert!(!rows[&scene.oids[1]].packs().contains(&condemned));
    assert_ne!(condemned, pack);
}

#[test]
fn a_wrong_hook_does_not_hide_a_right_one() {
    // The chunks of each file also point to the pack of the other, as if prefixes had met.
    let files = [seeded_bytes(1, 3 * MIB), seeded_bytes(2, 3 * MIB)];
    let mut scene = Scene::new(&files[..1], false);
    scene.push(&files[1..]);
    assert!(scene.open().write_checkpoint().expect("written"));
    let packs = scene.data_packs();
    scene.commit_hooks(|hooks| {
        hooks.add(packs[0].0, &packs[1].1);
        hooks.add(packs[1].0, &packs[0].1);
    });
    for (n, file) in files.iter().enumerate() {
        let (new_raw, cost) = scene.push_elsewhere(&collage(file, 3 + n as u64));
        assert!(new_raw < 800 << 10, "{new_raw} new bytes");
        assert!(cost.get < 20, "{cost:?}");
    }
    scene.assert_sound();
}

#[test]
fn a_chunk_that_is_everywhere_leads_to_one_pack() {
    // Zeros in forty packs, as if forty machines had stored them without knowing of each other.
    let zeros = vec![0; MIB];
    let mut scene = Scene::new(&[&zeros], false);
    let footer = scene.data_packs().remove(0).1;
    for n in 0..40 {
        scene.push(&[seeded_bytes(n, 100_000)]);
    }
    assert!(scene.open().write_checkpoint().expect("written"));
    let packs: Vec<PackId> = scene.data_packs().into_iter().map(|(pack, _)| pack).collect();
    scene.commit_hooks(|hooks| packs.iter().for_each(|pack| hooks.add(*pack, &footer)));
    let (new_raw, cost) = scene.push_elsewhere(&[seeded_bytes(99, 2 * MIB), zeros].concat());
    assert!(new_raw < 5 << 19, "{new_raw} new bytes");
    assert!(cost.get < 25, "{cost:?}");
    scene.assert_sound();
}

#[test]
fn runs_of_hooks_are_merged_and_lose_what_is_gone() {
    let parts: Vec<Vec<u8>> = (0..9).map(|n| seeded_bytes(n, MIB)).collect();
    let mut scene = Scene::new(&parts[..1], true);
    for part in &parts[1..] {
        scene.push(std::slice::from_ref(part));
        assert!(scene.open().write_checkpoint().expect("written"));
    }
    assert_eq!(scene.hook_segments().len(), 9);
    let packs = scene.data_packs();
    let mut catalog = scene.open();
    let head = catalog.head().seq();
    let condemn = Change::Condemn(Condemn { mark: head, packs: vec![packs[0].0] });
    catalog.commit(&ChangeRecord::new(head, condemn, writer(), now())).expect("lands");
    // One of the runs cannot be read any more.
    let damaged = scene.hook_segments().remove(4);
    let name = key::pack(PackKind::Meta, damaged.pack);
    let whole = scene.store.get(&name).expect("reads").expect("there").to_vec();
    let mut bytes = whole.clone();
    bytes[damaged.start as usize + 100] ^= 1;
    scene.store.overwrite(&name, bytes.into()).expect("written");
    assert!(catalog.merge_runs().expect("merged"));
    assert!(!catalog.merge_runs().expect("there is one"), "merged");
    scene.store.overwrite(&name, whole.into()).expect("back");

    let merged = scene.hook_segments();
    let lost = chunks(&packs[0].1) + damaged.rows;
    let all: u64 = packs.iter().map(|(_, footer)| chunks(footer)).sum();
    assert_eq!((merged.len(), merged[0].rows), (1, all - lost));
    scene.oids.remove(0);
    let (new_raw, cost) = scene.push_elsewhere(&parts.concat());
    assert!((2 << 20..4 << 20).contains(&new_raw), "two parts are found no more: {new_raw} new bytes");
    assert!(cost.get < 25, "{cost:?}");
    scene.shelf.assert_download(&mut fresh(&scene.store).expect("opens"), &scene.oids, "all");
}

/// The objects of a store in a backend of their own.
fn twin(store: &Store) -> Arc<dyn Backend> {
    let copy = super::world::store(memory());
    for listed in store.list("", "").expect("lists") {
        let bytes = store.get(&listed.key).expect("reads").expect("listed");
        copy.overwrite(&listed.key, bytes.into()).expect("memory");
    }
    copy.backend()
}

#[test]
fn a_push_that_reads_hooks_may_fail_at_every_request() {
    let parts: Vec<Vec<u8>> = (0..4).map(|n| seeded_bytes(n, MIB)).collect();
    let mut scene = Scene::new(&parts[..2], true);
    // One pack with hooks, one without.
    scene.push(&parts[2..]);
    let bytes = collage(&parts.concat(), 9);
    let oid = scene.shelf.put(&bytes);
    scene.oids.push(oid);
    let run = |store: &Store, machine: &Machine| {
        push(&mut machine.open(store)?, &scene.shelf.files(&[oid])).map(|done| done.stats.new_raw)
    };
    let counting = Arc::new(Failing::new(twin(&scene.store), Fault::Before, u64::MAX));
    assert!(run(&store(counting.clone()), &Machine::new()).expect("nothing fails") < 800 << 10);
    let (mut hits, mut undeduplicated) = (0, 0);
    for fault in
        [Fault::Before, Fault::After, Fault::Dead, Fault::Torn, Fault::LostAnswer, Fault::FalseExists]
    {
        for at in 0..counting.served() {
            let (backend, machine) = (twin(&scene.store), Machine::new());
            let failing = Arc::new(Failing::new(backend.clone(), fault, at));
            let outcome = run(&store(failing.clone()), &machine);
            hits += failing.hits();
            undeduplicated += usize::from(outcome.as_ref().is_ok_and(|new| *new > MIB as u64));
            let store = store(backend);
            if outcome.is_err() {
                run(&store, &machine)
                    .unwrap_or_else(|error| panic!("{fault:?} at {at}: the next process: {error}"));
            }
            let context = format!("{fault:?} at {at}: {outcome:?}");
            scene.shelf.assert_download(&mut fresh(&store).expect("opens"), &scene.oids, &context);
            assert_chain(&store);
            assert_packs(&store);
        }
    }
    assert!(hits > 50 && undeduplicated > 0, "{hits} hits, {undeduplicated} without hooks");
}

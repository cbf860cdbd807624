//! The format is what `docs/format.md` says: a reader in another language that shares no code with the program gets every file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use datamon::bundle::{Entry, Facts, Root};
use datamon::cache::Cache;
use datamon::catalog::change::{
    BundleRef, Change, ChangeRecord, Compact, Drop, Forward, Label, Push, TableKind,
};
use datamon::catalog::log::{now, writer};
use datamon::catalog::{Catalog, Journal};
use datamon::id::{BundleId, GitId, Oid, PackId, PackKind, Prefix, RepoId};
use datamon::ops::bundle::{Draft, Planned, open};
use datamon::ops::collection::{Limits, collect};
use datamon::ops::redact;
use datamon::ops::repair::move_metadata;
use datamon::ops::squash::Git;
use datamon::ops::upload::{Upload, upload, upload_bundle};
use datamon::pack::{Blob, Frame, PackInfo, PackWriter, read_footer};
use datamon::progress::Silent;
use datamon::store::{Store, StoreUrl, key};
use datamon::table::Recipe;
use datamon_test_support::{Output, run, run_failing, seeded_bytes, seeded_numbers};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader/datamon_reader.py");

/// A directory store, the files that were put into it, and the reader to get them out.
struct Scene {
    folder: TempDir,
    catalog: Catalog,
    repo: RepoId,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().expect("a temporary directory");
        for name in ["store", "files"] {
            fs::create_dir(folder.path().join(name)).expect("a new directory");
        }
        let url = StoreUrl::of_directory(&folder.path().join("store")).expect("an absolute path");
        let store = Store::open(&url).expect("a directory");
        let catalog = Catalog::create(store, Cache::none(), Journal::none()).expect("a new store");
        Scene { folder, catalog, repo: RepoId::new() }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn push(&mut self, contents: &[Vec<u8>], previous: Option<Oid>) -> Vec<Oid> {
        let file = |bytes: &Vec<u8>| {
            let oid = Oid::from_bytes(Sha256::digest(bytes).into());
            let path = self.folder.path().join("files").join(oid.to_string());
            fs::write(&path, bytes).expect("writable");
            Upload { oid: Some(oid), size: bytes.len() as u64, path, previous }
        };
        let files: Vec<Upload> = contents.iter().map(file).collect();
        let done = upload(&mut self.catalog, self.repo, &files, &[], &Silent).expect("uploads");
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        files.iter().filter_map(|file| file.oid).collect()
    }

    fn commit(&mut self, change: Change) -> ChangeRecord {
        ChangeRecord::new(self.catalog.head().seq(), change, writer(), now())
    }

    fn land(&mut self, record: &ChangeRecord) {
        self.catalog.commit(record).expect("it lands");
    }

    fn command(&self) -> Command {
        let mut command = Command::new("python3");
        command.arg(READER).arg(self.store());
        command
    }

    #[track_caller]
    fn assert_reads(&self, oids: &[Oid]) {
        for oid in oids {
            let out = self.folder.path().join("out");
            run(self.command().arg(oid.to_string()).arg(&out));
            let pushed = fs::read(self.folder.path().join("files").join(oid.to_string())).expect("pushed");
            assert!(fs::read(&out).expect("written") == pushed, "{oid} came back with other bytes");
        }
    }

    /// The hooks of the store are those of the chunks in its data packs.
    #[track_caller]
    fn assert_hooks(&self) {
        let unhooked: BTreeSet<PackId> =
            self.catalog.state().unhooked().iter().map(|(_, pack)| *pack).collect();
        let mut expected = BTreeSet::new();
        for (pack, info) in self.catalog.state().packs() {
            if info.kind == PackKind::Data && !unhooked.contains(pack) {
                let footer = self.catalog.footer(*pack).expect("readable").expect("in the table");
                let chunks = footer.frames.iter().flat_map(|frame| &frame.chunks);
                expected.extend(chunks.map(|(id, _)| format!("{:?} {pack}", Prefix::from(id))));
            }
        }
        let listed = run(self.command().arg("--hooks"));
        let listed: BTreeSet<String> = listed.lines().into_iter().map(str::to_owned).collect();
        assert!(listed == expected && listed.len() > 2_000, "{} of {} hooks", listed.len(), expected.len());
    }

    /// The codecs of all frames of its data packs.
    fn codecs(&self) -> BTreeSet<u8> {
        let mut codecs = BTreeSet::new();
        for (pack, info) in self.catalog.state().packs() {
            if info.kind == PackKind::Data {
                let footer = self.catalog.footer(*pack).expect("readable").expect("in the table");
                let bytes =
                    self.catalog.store().get(&key::pack(info.kind, *pack)).expect("readable").expect("there");
                codecs.extend(footer.frames.iter().map(|frame| bytes[frame.offset as usize + 16]));
            }
        }
        codecs
    }

    #[track_caller]
    fn refusal(&self, oid: Oid) -> Output {
        run_failing(self.command().arg(oid.to_string()).arg(self.folder.path().join("out")))
    }

    /// Copy every frame of a pack into a new one, forward to it, and remove the old.
    fn repack(&mut self, old: PackId) {
        let store = self.catalog.store().clone();
        let info = self.catalog.state().packs()[&old];
        let footer = read_footer(&store, old, info).expect("a pack");
        let bytes = store.get(&key::pack(PackKind::Data, old)).expect("readable").expect("there");
        let mut pack = PackWriter::new(PackKind::Data);
        let mut forwards = vec![];
        for frame in footer.frames {
            let stored = &bytes[frame.offset as usize..frame.offset as usize + frame.stored as usize];
            let raw = datamon::pack::decode_exact(stored).expect("a whole frame");
            let blob = pack.add(&Frame::encode(raw), frame.chunks);
            assert_eq!(blob.stored, frame.stored, "the same bytes compress the same");
            forwards.push((frame.offset, blob));
        }
        // One forward for the whole run: the frames lie in the new pack as they lay in the old.
        let (first, last) = (forwards[0], forwards[forwards.len() - 1]);
        let stored = last.0 + u64::from(last.1.stored) - first.0;
        let pack = pack.finish();
        pack.put(&store).expect("written");
        let forward = Forward { from: old, offset: first.0, stored, to: pack.id, at: first.1.offset };
        let mut record =
            self.commit(Change::Compact(Compact { forwards: vec![forward], ..Compact::default() }));
        record.added = vec![(pack.id, pack.info)];
        self.land(&record);
        store.delete(&key::pack(PackKind::Data, old)).expect("deletable");
    }
}

#[test]
fn every_shape_of_the_format_is_read_from_its_document() {
    let mut scene = Scene::new();
    // More than one pack, zstd frames with and without lanes, a term that repeats, no term at all, and rows enough for a segment of their own.
    let large = seeded_bytes(1, 34 << 20);
    let text = b"a line of text\n".repeat(1 << 16);
    let [words, floats, doubles] = [2, 4, 8].map(|width| seeded_numbers(width, 1 << 20));
    let shapes = [large.clone(), text, vec![0; 5 << 20], words, floats, doubles, vec![], b"x".to_vec()];
    let small: Vec<Vec<u8>> = (100..2100).map(|seed| seeded_bytes(seed, 300)).collect();
    let mut oids = scene.push(&[&shapes[..], &small].concat(), None);
    oids.truncate(shapes.len() + 2);
    assert_eq!(scene.codecs(), [0, 1, 2, 4, 8].into());
    let segments = |scene: &Scene, table| scene.catalog.state().table(table).count();
    assert_eq!(segments(&scene, TableKind::Files), 1, "so many rows do not fit into an entry");
    assert_eq!(segments(&scene, TableKind::Hooks), 1, "and where there is a meta pack, there are hooks");
    scene.assert_reads(&oids);

    // A recipe out of line, rows inline, over an earlier version.
    let mut edited = large;
    (0..34).for_each(|mib| edited[(mib << 20) + 1000] ^= 1);
    let edited = scene.push(&[edited], Some(oids[0]))[0];
    let row = &scene.catalog.find(scene.repo, &[edited]).expect("readable")[&edited];
    assert!(matches!(row.recipe, Recipe::Out { .. }), "{row:?}");
    oids.push(edited);
    scene.assert_reads(&oids);

    // The same through a checkpoint, and through the next one with a parent.
    for round in 0..2 {
        assert!(scene.catalog.write_checkpoint().expect("written"), "nobody else writes");
        oids.extend(scene.push(&[seeded_bytes(50 + round, 70_000)], None));
        scene.assert_reads(&oids[5..]);
    }
    // And merged, which is due after two more.
    for round in 2..4 {
        assert!(!scene.catalog.merge_runs().expect("not due"));
        oids.extend(scene.push(&[seeded_bytes(50 + round, 70_000)], None));
        assert!(scene.catalog.write_checkpoint().expect("written"), "nobody else writes");
    }
    assert!(scene.catalog.merge_runs().expect("merged"));
    assert_eq!(segments(&scene, TableKind::Files), 2, "the large push is left alone");
    scene.assert_reads(&oids[5..]);
    let listed = run(&mut scene.command());
    assert_eq!(listed.lines().len(), small.len() + shapes.len() + 5, "every live file is listed once");
    scene.assert_hooks();
}

/// What the program itself reads of a bundle, as the reader prints it.
fn printed(catalog: &Catalog, id: BundleId) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = |Entry { path, content }: Entry| {
        let (mode, size) = (content.mode(), content.size());
        format!("{mode:06o} {size} {} {}", hex(content.name()), hex(&path))
    };
    let entries = open(catalog, id).expect("opens").below(b"").expect("reads");
    entries.into_iter().map(line).collect()
}

#[test]
fn bundles_are_read_page_by_page_from_their_document() {
    let mut scene = Scene::new();
    let large = seeded_bytes(7, 9 << 20);
    let oids = scene.push(&[vec![], b"x".to_vec(), large.clone(), seeded_bytes(8, 70_000)], None);
    let git = |n: u8| GitId::from_slice(&[n; 20]).expect("a git id");
    let sizes = [0, 1, 9 << 20, 70_000];
    let file = |n: usize| {
        let (oid, size) = (oids[n % 4], sizes[n % 4]);
        Some(Planned::File { executable: n.is_multiple_of(3), oid, size })
    };
    let mut changes: BTreeMap<Vec<u8>, _> =
        (0..3000).map(|n| (format!("d{}/{n}", n % 7).into_bytes(), file(n))).collect();
    changes.insert(b"link \xff".to_vec(), Some(Planned::Link(b"d0/0".to_vec())));
    changes.insert(b"module".to_vec(), Some(Planned::Module(git(3))));
    let facts = Facts { commit: Some(git(1)), tree: Some(git(2)), ..Facts::default() };
    let make = |scene: &mut Scene, base: Option<Root>, facts: Facts, changes: BTreeMap<Vec<u8>, _>| {
        let drafting = |_: &_| Draft::new(base.clone(), facts.clone(), changes.clone());
        let made = upload_bundle(&mut scene.catalog, scene.repo, &[], &drafting, &Silent).expect("made");
        made.bundle.expect("a bundle")
    };
    let first = make(&mut scene, None, facts, changes);
    let base = open(&scene.catalog, first).expect("opens").root().clone();
    let change = BTreeMap::from([(b"d1/1".to_vec(), file(2)), (b"d2/2".to_vec(), None)]);
    let second = make(&mut scene, Some(base), Facts::default(), change);
    for (name, bundle) in [("moved", first), ("kept", first), ("gone", second)] {
        label(&mut scene, name, Some(bundle));
    }
    for checkpoint in [false, true] {
        if checkpoint {
            assert!(scene.catalog.write_checkpoint().expect("written"), "nobody else writes");
        } else {
            label(&mut scene, "moved", Some(second));
            label(&mut scene, "gone", None);
        }
        let listed = run(scene.command().arg("--bundles"));
        let (repo, bundles) = (scene.repo, scene.catalog.state().bundles());
        let (one, two) = ("01".repeat(20), "02".repeat(20));
        let line = |id, git: &str, label| format!("{id} {repo} {} {git} {label}", bundles[&id].seq);
        assert_eq!(
            listed.lines(),
            [line(first, &format!("{one} {two}"), "kept"), line(second, "- -", "moved")]
        );
        for id in [first, second] {
            let read = run(scene.command().arg("--bundle").arg(id.to_string()));
            assert!(read.lines() == printed(&scene.catalog, id), "{id}");
        }
    }
    let out = scene.folder.path().join("out");
    // d1/1
    run(scene.command().args(["--bundle", &second.to_string(), "64312f31"]).arg(&out));
    assert!(fs::read(&out).expect("written") == large);
    let none = run_failing(scene.command().args(["--bundle", &second.to_string(), "64322f32"]).arg(&out));
    assert!(none.stderr.contains("no file"), "{}", none.stderr);
}

/// Roots, pages and a list of terms lie elsewhere than they were written: forwards lead there.
#[test]
fn what_a_repair_has_moved_is_read_from_where_it_lies_now() {
    let mut scene = Scene::new();
    let large = seeded_bytes(1, 1 << 20);
    let patched: Vec<u8> = large
        .chunks(1 << 16)
        .enumerate()
        .flat_map(|(n, part)| [seeded_bytes(n as u64 + 50, 1 << 16), part.to_vec()].concat())
        .collect();
    let first = scene.push(&[large], None)[0];
    let long = scene.push(std::slice::from_ref(&patched), Some(first))[0];
    let row = &scene.catalog.find(scene.repo, &[long]).expect("readable")[&long];
    assert!(matches!(row.recipe, Recipe::Out { .. }), "{row:?}");
    let file = |_| Some(Planned::File { executable: false, oid: long, size: patched.len() as u64 });
    let changes: BTreeMap<Vec<u8>, _> =
        (0..2000).map(|n| (format!("d{}/{n}", n % 7).into_bytes(), file(n))).collect();
    let drafting = |_: &_| Draft::new(None, Facts::default(), changes.clone());
    let made = upload_bundle(&mut scene.catalog, scene.repo, &[], &drafting, &Silent).expect("made");
    let bundle = made.bundle.expect("a bundle");
    let wanted = printed(&scene.catalog, bundle);
    for round in 0..2 {
        let packs: Vec<PackId> = scene
            .catalog
            .state()
            .packs()
            .iter()
            .filter(|(pack, info)| info.kind == PackKind::Meta && !scene.catalog.is_suspect(**pack))
            .map(|(pack, _)| *pack)
            .collect();
        scene.catalog.suspect(packs.clone());
        assert!(move_metadata(&mut scene.catalog, &[]).expect("moved") > 2, "round {round}");
        for pack in packs {
            scene.catalog.store().delete(&key::pack(PackKind::Meta, pack)).expect("deletable");
        }
        assert!(printed(&scene.catalog, bundle) == wanted);
        let read = run(scene.command().arg("--bundle").arg(bundle.to_string()));
        assert!(read.lines() == wanted);
        scene.assert_reads(&[first, long]);
        let out = scene.folder.path().join("out");
        run(scene.command().args(["--bundle", &bundle.to_string(), "64312f31"]).arg(&out));
        assert!(fs::read(&out).expect("written") == patched);
    }
}

fn label(scene: &mut Scene, name: &str, bundle: Option<BundleId>) {
    let previous = scene.catalog.state().label(scene.repo, name).map(|at| at.seq);
    let record =
        scene.commit(Change::Label(Label { repo: scene.repo, name: name.to_owned(), bundle, previous }));
    scene.land(&record);
}

/// Bytes that no other number has, in the order of the numbers.
fn made_up<const N: usize>(n: usize) -> [u8; N] {
    let mut bytes = [1; N];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// So many packs, bundles and drops that are made up, in entries of a few MiB.
fn fill(scene: &mut Scene, root: Blob, count: usize) {
    const AT_ONCE: usize = 45_000;
    let (repo, git) = (scene.repo, |n| GitId::from_slice(&made_up::<20>(n)).expect("a git id"));
    let bundle = |n| {
        let (id, commit) = (BundleId::from_bytes(made_up(n)), Some(git(n)));
        BundleRef { id, repo, base: None, root, commit, tree: Some(git(n + 1)) }
    };
    for from in (0..count).step_by(AT_ONCE) {
        let numbers = from..(from + AT_ONCE).min(count);
        let bundles = numbers.clone().map(bundle).collect();
        let push = Push { repo, rows: None, segments: vec![], labels: vec![], bundles };
        let mut record = scene.commit(Change::Push(push));
        let info = PackInfo { kind: PackKind::Meta, size: 4 << 20, footer: 10_000 };
        record.added = numbers.clone().map(|n| (PackId::from_bytes(made_up(n)), info)).collect();
        record.named = vec![root.pack];
        scene.land(&record);
        let keys = numbers.map(|n| (Oid::from_bytes(made_up(n)), repo)).collect();
        let planned_on = scene.catalog.head().seq();
        let record = scene.commit(Change::Drop(Drop { planned_on, keys, bundles: vec![] }));
        scene.land(&record);
        scene.catalog.write_checkpoint().expect("written");
    }
}

/// A bundle that stands in the last part of the list of bundles, as all that were made up come before it.
fn last_bundle(scene: &mut Scene) -> BundleId {
    let oid = scene.push(&[b"x".to_vec()], None)[0];
    let changes = BTreeMap::from([(b"x".to_vec(), Some(Planned::File { executable: false, oid, size: 1 }))]);
    let drafting = |_: &_| Draft::new(None, Facts::default(), changes.clone());
    let made = upload_bundle(&mut scene.catalog, scene.repo, &[], &drafting, &Silent).expect("made");
    made.bundle.expect("a bundle")
}

fn blobs_of_checkpoint(scene: &Scene) -> Vec<String> {
    scene.catalog.state().checkpoint().expect("written").1.blobs.keys().cloned().collect()
}

#[test]
fn lists_that_go_on_in_further_blobs_are_read_to_their_end() {
    const COUNT: usize = (1 << 17) + 100;
    let mut scene = Scene::new();
    let bundle = last_bundle(&mut scene);
    let root = scene.catalog.state().bundles()[&bundle].root;
    fill(&mut scene, root, COUNT);
    label(&mut scene, "last", Some(bundle));
    let oids = scene.push(&[seeded_bytes(1, 50_000)], None);
    let dropped =
        Drop { planned_on: scene.catalog.head().seq(), keys: vec![(oids[0], scene.repo)], bundles: vec![] };
    let record = scene.commit(Change::Drop(dropped));
    scene.land(&record);
    let kept = scene.push(&[seeded_bytes(2, 50_000)], None);
    scene.catalog.write_checkpoint().expect("written");
    let blobs = blobs_of_checkpoint(&scene);
    for part in ["packs.1", "bundles.1", "commits.1", "drops.1"] {
        assert!(blobs.iter().any(|it| it == part), "{blobs:?}");
    }
    scene.assert_reads(&kept);
    assert!(scene.refusal(oids[0]).stderr.contains("has no file"));
    let listed = run(scene.command().arg("--bundles"));
    let lines = listed.lines();
    assert_eq!(lines.len(), COUNT + 1);
    let hex = |n| made_up::<20>(n).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let made_up = format!(" {} {} -", hex(COUNT - 1), hex(COUNT));
    assert!(lines[COUNT - 1].ends_with(&made_up), "{}", lines[COUNT - 1]);
    assert!(lines[COUNT].starts_with(&bundle.to_string()), "{}", lines[COUNT]);
    assert!(lines[COUNT].ends_with(" last"), "{}", lines[COUNT]);
    let read = run(scene.command().arg("--bundle").arg(bundle.to_string()));
    assert!(read.lines() == printed(&scene.catalog, bundle));
}

#[test]
#[ignore = "one entry of the log for each of 33,000 labels, for `just nightly`"]
fn labels_that_go_on_in_a_further_blob_are_read_to_their_end() {
    let mut scene = Scene::new();
    let bundle = last_bundle(&mut scene);
    for n in 0..=1 << 15 {
        label(&mut scene, &format!("label-{n:05}"), Some(bundle));
        scene.catalog.upkeep().expect("done");
    }
    scene.catalog.write_checkpoint().expect("written");
    assert!(blobs_of_checkpoint(&scene).contains(&"labels.1".to_owned()));
    let listed = run(scene.command().arg("--bundles"));
    assert!(listed.text().ends_with(",label-32768") || listed.text().ends_with(" label-32768"));
    assert_eq!(listed.text().matches("label-").count(), (1 << 15) + 1);
}

#[test]
fn what_was_dropped_is_gone_and_what_was_pushed_again_is_back() {
    let mut scene = Scene::new();
    let contents = [seeded_bytes(1, 50_000), seeded_bytes(2, 50_000)];
    let oids = scene.push(&contents, None);
    let planned_on = scene.catalog.head().seq();
    let drop = Drop { planned_on, keys: vec![(oids[0], scene.repo)], bundles: vec![] };
    let record = scene.commit(Change::Drop(drop));
    scene.land(&record);
    for checkpoint in [false, true] {
        if checkpoint {
            scene.catalog.write_checkpoint().expect("written");
        }
        assert!(scene.refusal(oids[0]).stderr.contains("has no file"));
        scene.assert_reads(&oids[1..]);
    }
    scene.push(&contents[..1], None);
    scene.assert_reads(&oids);
}

#[test]
fn what_a_collection_leaves_is_read_and_no_more() {
    let mut scene = Scene::new();
    let contents: Vec<Vec<u8>> = (0..4).map(|n| seeded_bytes(n, 50_000)).collect();
    let oids: Vec<Oid> = contents.chunks(1).flat_map(|some| scene.push(some, None)).collect();
    let bundle = last_bundle(&mut scene);
    scene.catalog.write_checkpoint().expect("written");
    let planned_on = scene.catalog.head().seq();
    let keys = oids[..2].iter().map(|oid| (*oid, scene.repo)).collect();
    let record = scene.commit(Change::Drop(Drop { planned_on, keys, bundles: vec![] }));
    scene.land(&record);
    let (none, before) = (Duration::ZERO, scene.catalog.state().packs().len());
    let limits = Limits { grace: none, orphans: none, tombstones: none, max_unused: Some(0), blank: false };
    for checkpoint in [false, true] {
        let done = collect(&mut scene.catalog, limits).expect("collected");
        assert!(checkpoint || done.deleted.count >= 2, "{done:?}");
        scene.assert_reads(&oids[2..]);
        assert!(scene.refusal(oids[0]).stderr.contains("has no file"));
        let read = run(scene.command().arg("--bundle").arg(bundle.to_string()));
        assert!(read.lines() == printed(&scene.catalog, bundle));
        scene.catalog.write_checkpoint().expect("written");
    }
    assert!(scene.catalog.state().packs().len() < before + 4);
}

#[test]
fn a_run_of_frames_is_followed_to_its_new_pack() {
    let mut scene = Scene::new();
    let oids = scene.push(&[seeded_bytes(1, 3 << 20), seeded_bytes(2, 40_000)], None);
    let packs = |scene: &Scene| -> Vec<PackId> {
        let packs = scene.catalog.state().packs().iter();
        packs.filter(|(_, info)| info.kind == PackKind::Data).map(|(id, _)| *id).collect()
    };
    let first = packs(&scene)[0];
    scene.repack(first);
    scene.assert_reads(&oids);
    let second = packs(&scene).into_iter().find(|pack| *pack != first).expect("the new pack");
    scene.repack(second);
    scene.catalog.write_checkpoint().expect("written");
    scene.assert_reads(&oids);
}

#[test]
fn what_a_collection_copied_is_read_from_where_it_lies_now() {
    let mut scene = Scene::new();
    let contents: Vec<Vec<u8>> = (0..6).map(|n| seeded_bytes(n, 800_000)).collect();
    let oids = scene.push(&contents, None);
    let bundle = last_bundle(&mut scene);
    let none = Duration::ZERO;
    let limits = Limits { grace: none, orphans: none, tombstones: none, max_unused: Some(0), blank: false };
    // One file after the other goes, and what stays is copied again and again.
    for (round, gone) in [oids[1], oids[3], oids[4]].into_iter().enumerate() {
        let planned_on = scene.catalog.head().seq();
        let keys = vec![(gone, scene.repo)];
        let record = scene.commit(Change::Drop(Drop { planned_on, keys, bundles: vec![] }));
        scene.land(&record);
        let done = collect(&mut scene.catalog, limits).expect("collected");
        assert_eq!((done.repacked.count, done.deleted.count > 0), (1, true), "{done:?}");
        scene.assert_reads(&[oids[0], oids[2], oids[5]]);
        assert!(scene.refusal(gone).stderr.contains("has no file"));
        let read = run(scene.command().arg("--bundle").arg(bundle.to_string()));
        assert!(read.lines() == printed(&scene.catalog, bundle));
        if round == 1 {
            scene.catalog.write_checkpoint().expect("written");
        }
    }
}

#[test]
fn damage_is_not_passed_on() {
    let mut scene = Scene::new();
    let oid = scene.push(&[seeded_bytes(1, 100_000)], None)[0];
    let pack = *scene.catalog.state().packs().keys().next().expect("one pack");
    let path: PathBuf = scene.store().join(key::pack(PackKind::Data, pack));
    let whole = fs::read(&path).expect("there");
    let mut flipped = whole.clone();
    flipped[50_000] ^= 1;
    fs::write(&path, flipped).expect("writable");
    assert!(scene.refusal(oid).stderr.contains("other bytes"));
    fs::write(&path, &whole[..40_000]).expect("writable");
    assert!(scene.refusal(oid).stderr.contains("cut off"));
    fs::remove_file(&path).expect("there");
    assert!(scene.refusal(oid).stderr.contains("FileNotFoundError"));
}

#[test]
fn what_was_taken_out_of_a_version_is_gone_and_the_rest_is_read() {
    let mut scene = Scene::new();
    let contents = [seeded_bytes(1, 50_000), seeded_bytes(2, 50_000)];
    let oids = scene.push(&contents, None);
    let file = |at: usize| Some(Planned::File { executable: false, oid: oids[at], size: 50_000 });
    let changes = BTreeMap::from([(b"keep".to_vec(), file(0)), (b"secret".to_vec(), file(1))]);
    let drafting = |_: &_| Draft::new(None, Facts::default(), changes.clone());
    let made = upload_bundle(&mut scene.catalog, scene.repo, &[], &drafting, &Silent).expect("made");
    let bundle = made.bundle.expect("a bundle");
    let repo = scene.repo;
    let look = |catalog: &Catalog| redact::plan(catalog, repo, &[b"secret".to_vec()], &Git::Unasked);
    look(&scene.catalog).expect("planned").apply(&mut scene.catalog, &look).expect("done");
    for checkpoint in [false, true] {
        if checkpoint {
            scene.catalog.write_checkpoint().expect("written");
        }
        let read = run(scene.command().arg("--bundle").arg(bundle.to_string()));
        assert!(read.lines() == printed(&scene.catalog, bundle));
        assert_eq!(read.lines().len(), 1, "{}", read.text());
        scene.assert_reads(&oids[..1]);
        assert!(scene.refusal(oids[1]).stderr.contains("has no file"));
    }
    assert!(blobs_of_checkpoint(&scene).contains(&"revisions".to_owned()));
}

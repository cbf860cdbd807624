//! What versions consist of, in meta packs that are damaged or gone: put elsewhere from wherever it still is, so that nothing needs the
//! damaged pack any more and a collection takes it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use datamon::bundle::{Content, Facts, PageRef, Root};
use datamon::catalog::change::{Compact, Condemn, Drop, Forward, TableKind};
use datamon::catalog::{Catalog, Change};
use datamon::id::{BundleId, Oid, PackKind};
use datamon::ops::bundle::{Draft, Planned, open, wanted_at};
use datamon::ops::collection::collect;
use datamon::ops::fetch::{Source, fetch};
use datamon::ops::repair::{Damage, Mended, mend, repair};
use datamon::ops::upload::upload_bundle;
use datamon::ops::verify::{Depth, Findings, verify};
use datamon::pack::{Frame, FrameView, PackWriter, decode_exact, read_footer};
use datamon::progress::Silent;
use datamon::store::{Store, StoreUrl, key, memory};
use datamon::table::{Leads, Recipe, Row};
use datamon_test_support::seeded_bytes;

use super::collection::AT_ONCE;
use super::world::{Machine, REPO, Shelf, assert_chain, assert_packs, fresh, push, store};

/// Paths of a version beside its two large files: enough for several pages.
const PATHS: usize = 1500;

/// A store with two versions that share pages, one with a recipe that lies by itself, and a checkpoint.
struct World {
    objects: BTreeMap<String, Bytes>,
    shelf: Shelf,
    versions: [BundleId; 2],
    /// The machine that made it.
    machine: Machine,
}

fn at(oid: Oid, size: usize) -> Option<Planned> {
    Some(Planned::File { executable: false, oid, size: size as u64 })
}

impl World {
    fn new() -> World {
        let (store, machine, mut shelf) = (store(memory()), Machine::new(), Shelf::new());
        let large = seeded_bytes(1, 1 << 20);
        let patched: Vec<u8> = large
            .chunks(1 << 16)
            .enumerate()
            .flat_map(|(n, part)| [seeded_bytes(n as u64 + 50, 1 << 16), part.to_vec()].concat())
            .collect();
        let [first, second] = [&large, &patched].map(|bytes| shelf.put(bytes));
        let small: Vec<Oid> = (0..8).map(|n| shelf.put(&seeded_bytes(100 + n, 50))).collect();
        let mut tree: BTreeMap<Vec<u8>, Option<Planned>> =
            (0..PATHS).map(|n| (format!("many/{n}").into_bytes(), at(small[n % 7], 50))).collect();
        tree.insert(b"large".to_vec(), at(first, large.len()));
        let mut catalog = machine.create(&store).expect("made");
        let drafting = |_: &_| Draft::new(None, Facts::default(), tree.clone());
        let files = shelf.files(&[&small[..], &[first]].concat());
        let one = upload_bundle(&mut catalog, REPO, &files, &drafting, &Silent).expect("made").bundle;
        let base = open(&catalog, one.expect("a version")).expect("opens").root().clone();
        let changed: BTreeMap<Vec<u8>, Option<Planned>> =
            [(b"many/7".to_vec(), at(small[7], 50)), (b"patched".to_vec(), at(second, patched.len()))].into();
        let drafting = |_: &_| Draft::new(Some(base.clone()), Facts::default(), changed.clone());
        let files = [shelf.file(second, Some(first))];
        let two = upload_bundle(&mut catalog, REPO, &files, &drafting, &Silent).expect("made").bundle;
        assert!(catalog.write_checkpoint().expect("written"));
        let last = shelf.put(b"after the checkpoint");
        push(&mut catalog, &shelf.files(&[last])).expect("pushed");
        let objects = copied(&store);
        assert_eq!(objects.keys().filter(|key| key.starts_with(key::META)).count(), 3);
        World { objects, shelf, versions: [one, two].map(|id| id.expect("a version")), machine }
    }

    fn store(&self) -> Store {
        let store = store(memory());
        for (name, bytes) in &self.objects {
            store.overwrite(name, bytes.clone().into()).expect("memory");
        }
        store
    }

    /// The same objects elsewhere.
    fn mirror(&self) -> Store {
        let mirror = Store::over(StoreUrl::parse("memory:mirror").expect("a URL"), memory()).without_waits();
        for (name, bytes) in &self.objects {
            mirror.overwrite(name, bytes.clone().into()).expect("memory");
        }
        mirror
    }

    /// The packs of roots and pages.
    fn metas(&self) -> Vec<String> {
        let state = fresh(&self.store()).expect("opens");
        let roots: BTreeSet<String> = state
            .state()
            .bundles()
            .values()
            .map(|bundle| key::pack(PackKind::Meta, bundle.root.pack))
            .collect();
        assert_eq!(roots.len(), 2);
        roots.into_iter().collect()
    }

    /// Every file of both versions, by their pages alone.
    #[track_caller]
    fn assert_versions(&self, catalog: &Catalog, context: &str) {
        let out = tempfile::tempdir().expect("a temporary directory");
        let mut seen = BTreeSet::new();
        let mut wanted = Vec::new();
        for (id, paths) in self.versions.into_iter().zip([PATHS + 1, PATHS + 2]) {
            let version = open(catalog, id).unwrap_or_else(|error| panic!("{context}: {error}"));
            let entries = version.below(b"").unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(entries.len(), paths, "{context}");
            for entry in entries {
                let Content::File { oid, .. } = &entry.content else { panic!("only files") };
                if seen.insert(*oid) {
                    let path = out.path().join(oid.to_string());
                    wanted.extend(wanted_at(catalog, &entry.content, path).expect("leads somewhere"));
                }
            }
        }
        assert_eq!(wanted.len(), 10, "{context}");
        fetch(&Source::of(catalog), &wanted, &Silent, &|file, result| {
            assert!(result.is_ok(), "{context}: {}: {result:?}", file.oid);
        });
    }

    /// The store is as good as new for somebody who never saw it.
    #[track_caller]
    fn assert_whole(&self, store: &Store, context: &str) {
        assert_chain(store);
        let mut catalog = fresh(store).unwrap_or_else(|error| panic!("{context}: {error}"));
        self.assert_versions(&catalog, context);
        let oids: Vec<Oid> = verify_rows(&catalog);
        self.shelf.assert_download(&mut catalog, &oids, context);
        let found = verify(&catalog, Depth::Files, &Silent).expect("verified");
        assert!(found.problems.is_empty(), "{context}: {:?}", found.problems);
    }
}

fn verify_rows(catalog: &Catalog) -> Vec<Oid> {
    let rows = catalog.live_rows().expect("reads");
    rows.flat_map(|rows| rows.expect("reads")).map(|row| row.oid).collect()
}

fn copied(store: &Store) -> BTreeMap<String, Bytes> {
    let listed = store.list("", "").expect("lists");
    listed
        .into_iter()
        .map(|it| (it.key.clone(), store.get(&it.key).expect("reads").expect("there")))
        .collect()
}

fn harm(store: &Store, name: &str, how: &str) {
    let whole = store.get(name).expect("reads").expect("there");
    let flipped = |at: usize| {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 4;
        store.overwrite(name, bytes.into()).expect("memory");
    };
    match how {
        "gone" => store.delete(name).expect("deleted"),
        "cut" => store.overwrite(name, whole.slice(..whole.len() / 2).into()).expect("memory"),
        "empty" => store.overwrite(name, Bytes::new().into()).expect("memory"),
        "first frame" => flipped(60),
        "middle" => flipped(whole.len() / 2),
        _ => flipped(whole.len() - 10),
    }
}

const HARMS: [&str; 6] = ["gone", "cut", "empty", "first frame", "middle", "trailer"];

/// What `git datamon repair --data` does, with no clone.
fn mended(catalog: &mut Catalog, mirrors: &[Store]) -> (Findings, Mended, Damage) {
    let found = verify(catalog, Depth::Data(100), &Silent).expect("verified");
    catalog.keep_in_mind(&found.bad_packs, &found.good_packs, &found.wrong);
    let mended = mend(catalog, &[], mirrors).expect("mended");
    let mut damage = Damage::of(catalog).expect("looked through");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    repair(catalog, &mut damage, &[], &[], mirrors, scratch.path(), &Silent).expect("repaired");
    (found, mended, damage)
}

#[test]
fn pages_roots_and_long_recipes_come_back_from_a_mirror_and_the_damaged_pack_goes() {
    let world = World::new();
    for name in world.metas() {
        for how in HARMS {
            let (store, context) = (world.store(), format!("{name} {how}"));
            harm(&store, &name, how);
            let mut catalog = fresh(&store).expect("opens");
            let (found, mended, damage) = mended(&mut catalog, &[world.mirror()]);
            assert!(!found.problems.is_empty(), "{context}");
            assert!(mended.frames >= 2 && damage.is_empty(), "{context}: {mended:?} {damage:?}");
            world.assert_whole(&store, &context);
            // Done twice it finds nothing, and writes nothing.
            let before = assert_chain(&store);
            let (_, again, damage) = self::mended(&mut catalog, &[]);
            assert_eq!((again, damage.is_empty(), assert_chain(&store)), (Mended::default(), true, before));
            // Nothing needs the damaged pack, and nothing else goes.
            for _ in 0..3 {
                collect(&mut fresh(&store).expect("opens"), AT_ONCE)
                    .unwrap_or_else(|e| panic!("{context}: {e}"));
            }
            assert_eq!(store.size(&name).expect("asked"), None, "{context}");
            assert_packs(&store);
            world.assert_whole(&store, &format!("{context}, collected"));
        }
    }
}

#[test]
fn a_version_shares_pages_that_lie_elsewhere_now() {
    let world = World::new();
    let (store, mirror) = (world.store(), world.mirror());
    for name in world.metas() {
        harm(&store, &name, "gone");
    }
    assert!(mended(&mut fresh(&store).expect("opens"), &[mirror]).2.is_empty());
    let last = |store: &Store| {
        let machine = Machine::new();
        let mut catalog = machine.open(store).expect("opens");
        let base: Root = open(&catalog, world.versions[1]).expect("opens").root().clone();
        let changed: BTreeMap<Vec<u8>, Option<Planned>> = [(b"many/9".to_vec(), None)].into();
        let drafting = |_: &_| Draft::new(Some(base.clone()), Facts::default(), changed.clone());
        upload_bundle(&mut catalog, REPO, &[], &drafting, &Silent).expect("made").bundle.expect("a version")
    };
    let mut versions = vec![last(&store)];
    // And when the damaged packs have left the table.
    for _ in 0..3 {
        collect(&mut fresh(&store).expect("opens"), AT_ONCE).expect("collected");
    }
    versions.push(last(&store));
    // The versions that named the packs go; what was shared of them stays.
    let mut catalog = fresh(&store).expect("opens");
    let planned_on = catalog.head().seq();
    let bundles = world.versions.to_vec();
    let drop = Change::Drop(Drop { planned_on, keys: vec![], bundles });
    catalog.commit(&catalog.record(planned_on, drop)).expect("dropped");
    for _ in 0..3 {
        collect(&mut catalog, AT_ONCE).expect("collected");
        let catalog = fresh(&store).expect("opens");
        for id in &versions {
            let entries = open(&catalog, *id).expect("opens").below(b"").expect("reads");
            assert_eq!(entries.len(), PATHS + 1);
            for entry in entries {
                let Content::File { oid, size, recipe, .. } = entry.content else { panic!("only files") };
                let row = Row { oid, repo: REPO, born: 0, size, recipe };
                assert!(catalog.terms(&row).is_ok(), "its list of terms");
            }
        }
    }
    assert!(verify(&catalog, Depth::Files, &Silent).expect("verified").problems.is_empty());
}

#[test]
fn what_was_put_elsewhere_may_be_damaged_there_too() {
    let world = World::new();
    let (store, mirror) = (world.store(), world.mirror());
    harm(&store, &world.metas()[0], "gone");
    for round in 0..3 {
        let mut catalog = fresh(&store).expect("opens");
        let (_, mended, damage) = mended(&mut catalog, std::slice::from_ref(&mirror));
        assert!(mended.frames > 0 && damage.is_empty(), "round {round}: {damage:?}");
        world.assert_whole(&store, &format!("round {round}"));
        let newest = catalog.state().forwards().values().flatten().map(|forward| forward.to).max();
        let newest = key::pack(PackKind::Meta, newest.expect("one"));
        harm(&store, &newest, if round == 0 { "gone" } else { "middle" });
    }
}

#[test]
fn a_machine_that_has_read_a_version_has_its_pages_still() {
    let world = World::new();
    for name in world.metas() {
        let store = world.store();
        let machine = world.machine.twin();
        world.assert_versions(&machine.open(&store).expect("opens"), "whole");
        harm(&store, &name, "gone");
        let (_, mended, damage) = mended(&mut machine.open(&store).expect("opens"), &[]);
        assert!(mended.frames >= 2 && damage.is_empty(), "{mended:?} {damage:?}");
        world.assert_whole(&store, &name);
    }
}

#[test]
fn what_nobody_has_is_named_and_the_rest_of_the_pack_is_saved() {
    let world = World::new();
    let whole = fresh(&world.store()).expect("opens");
    let pages = open(&whole, world.versions[0]).expect("opens").root().pages.clone();
    let (lost, root) = (&pages[0], whole.state().bundles()[&world.versions[0]].root);
    assert!(pages.len() > 2 && lost.blob.pack == root.pack);
    let shared = open(&whole, world.versions[1]).expect("opens").root().pages.contains(lost);
    for (at, versions) in [(lost.blob, 1 + usize::from(shared)), (root, 1)] {
        let (store, name) = (world.store(), key::pack(PackKind::Meta, root.pack));
        let mut bytes = world.objects[&name].to_vec();
        bytes[at.offset as usize + 40] ^= 1;
        store.overwrite(&name, bytes.into()).expect("memory");
        // Also where packs were not read as a whole.
        let mut catalog = fresh(&store).expect("opens");
        let found = verify(&catalog, Depth::Promises, &Silent).expect("verified");
        catalog.keep_in_mind(&found.bad_packs, &found.good_packs, &found.wrong);
        assert!(found.problems.iter().any(|it| it.what.contains("cannot be read")), "{:?}", found.problems);
        let moved = mend(&mut catalog, &[], &[]).expect("mended").frames;
        assert!(moved >= 2, "{moved} frames are whole");
        let damage = Damage::of(&catalog).expect("looked through");
        assert!(damage.files.is_empty(), "{damage:?}");
        assert_eq!(damage.versions.len(), versions);
        let told = &damage.versions[&world.versions[0]];
        let wanted = if at == root { vec![] } else { vec![(lost.first.clone(), lost.rows)] };
        assert_eq!((told.repo, &told.pages), (REPO, &wanted));
        // With a mirror the rest comes, and only that.
        let (_, mended, damage) = mended(&mut catalog, &[world.mirror()]);
        assert!(mended.frames >= 1 && damage.is_empty(), "{mended:?} {damage:?}");
        world.assert_whole(&store, "with a mirror");
    }
}

/// A frame that is whole, as long as the right one and at its place, and says something else.
fn forged(world: &World, at: &PageRef) -> Vec<u8> {
    let name = key::pack(PackKind::Meta, at.blob.pack);
    let mut pack = world.objects[&name].to_vec();
    let frame = at.blob.offset as usize..at.blob.end() as usize;
    let raw = decode_exact(&pack[frame.clone()]).expect("whole");
    let other = (0..raw.len()).find_map(|byte| {
        let mut other = raw.clone();
        other[byte] ^= 1;
        let frame = Frame::encode(&other);
        (frame.len() == at.blob.stored as usize).then_some(frame)
    });
    pack[frame].copy_from_slice(other.expect("one is as long").bytes());
    pack
}

#[test]
fn another_page_at_the_place_is_not_believed() {
    let world = World::new();
    let (store, mirror) = (world.store(), world.mirror());
    let page =
        open(&fresh(&store).expect("opens"), world.versions[0]).expect("opens").root().pages[0].clone();
    let name = key::pack(PackKind::Meta, page.blob.pack);
    harm(&store, &name, "gone");
    mirror.overwrite(&name, forged(&world, &page).into()).expect("memory");
    let mut catalog = fresh(&store).expect("opens");
    let (_, mended, damage) = mended(&mut catalog, &[mirror]);
    assert!(mended.frames > 0, "the others came");
    assert_eq!(damage.versions[&world.versions[0]].pages, [(page.first.clone(), page.rows)]);
    assert_eq!(catalog.state().lead(&page.blob), page.blob, "nothing leads away from it");
}

#[test]
fn damaged_tables_come_from_a_mirror_row_by_row() {
    let world = World::new();
    let (store, mirror) = (world.store(), world.mirror());
    let mut catalog = fresh(&store).expect("opens");
    let segments: Vec<_> = catalog.state().table(TableKind::Files).cloned().collect();
    let rows = verify_rows(&catalog);
    for segment in &segments {
        harm(&store, &key::pack(PackKind::Meta, segment.at.fence.pack), "first frame");
    }
    catalog.suspect(segments.iter().map(|segment| segment.at.fence.pack).collect::<Vec<_>>());
    // What the pushes said cannot be read any more, either.
    let lost: Vec<String> = (1..catalog.head().seq()).map(key::log).collect();
    lost.iter().for_each(|name| store.delete(name).expect("deleted"));
    catalog.replace_damaged_tables(&[]).expect_err("nobody knows the rows");
    assert!(catalog.replace_damaged_tables(&[mirror]).expect("written anew") > 0);
    for name in lost {
        store.create_own(&name, world.objects[&name].clone().into()).expect("back");
    }
    let catalog = fresh(&store).expect("opens");
    assert_eq!(verify_rows(&catalog), rows);
}

/// A long recipe that names a pack which was repacked since is promised again all the same, where only what pushes said is left.
#[test]
fn tables_are_made_again_where_data_of_a_long_recipe_was_repacked() {
    let world = World::new();
    let store = world.store();
    let mut catalog = fresh(&store).expect("opens");
    let long = verify_rows(&catalog).into_iter().find(|oid| {
        let rows = catalog.find(REPO, &[*oid]).expect("found");
        matches!(rows[oid].recipe, Recipe::Out { .. })
    });
    let long = long.expect("one is long");
    let before = catalog.find(REPO, &[long]).expect("found")[&long].clone();
    // Of the packs that it names a part is given up, and the rest is copied.
    forward_all(&mut catalog, &before);
    let segments: Vec<_> = catalog.state().table(TableKind::Files).cloned().collect();
    for segment in &segments {
        harm(&store, &key::pack(PackKind::Meta, segment.at.fence.pack), "first frame");
    }
    let suspects: Vec<_> = segments.iter().map(|segment| segment.at.fence.pack).collect();
    catalog.suspect(suspects);
    assert!(catalog.replace_damaged_tables(&[]).expect("written anew") > 0);
    let mut catalog = fresh(&store).expect("opens");
    world.shelf.assert_download(&mut catalog, &[long], "from where it lies now");
    assert!(verify_rows(&catalog).contains(&long));
}

/// Copies every data pack that a row names and lets forwards lead there; the old ones leave the table, and go.
fn forward_all(catalog: &mut Catalog, row: &Row) {
    let store = catalog.store().clone();
    let packs: BTreeSet<_> = catalog.terms(row).expect("reads").iter().map(|term| term.pack).collect();
    for from in &packs {
        let info = catalog.state().packs()[from];
        let footer = read_footer(&store, *from, info).expect("reads");
        let bytes = store.get(&key::pack(PackKind::Data, *from)).expect("reads").expect("there");
        let mut pack = PackWriter::new(PackKind::Data);
        // Something before it, so that no offset is the same.
        for frame in footer.frames.iter().take(1).chain(&footer.frames) {
            let stored =
                bytes.slice(frame.offset as usize..(frame.offset + u64::from(frame.stored)) as usize);
            let view = FrameView::parse(&stored).expect("a frame").expect("whole");
            pack.add(&view.to_frame(&stored), frame.chunks.clone());
        }
        let (offset, first) = (footer.frames[0].offset, u64::from(footer.frames[0].stored));
        let stored = footer.frames.iter().map(|frame| u64::from(frame.stored)).sum();
        let pack = pack.finish();
        pack.put(&store).expect("put");
        let forward = Forward { from: *from, offset, stored, to: pack.id, at: offset + first };
        let change = Change::Compact(Compact { forwards: vec![forward], ..Compact::default() });
        let mut record = catalog.record(catalog.head().seq(), change);
        record.added = vec![(pack.id, pack.info)];
        catalog.commit(&record).expect("it lands");
        let change = Change::Condemn(Condemn { mark: catalog.head().seq(), packs: vec![*from] });
        catalog.commit(&catalog.record(catalog.head().seq(), change)).expect("it lands");
        store.delete(&key::pack(PackKind::Data, *from)).expect("deleted");
    }
}

/// The data packs of the store.
fn data_packs(store: &Store) -> Vec<String> {
    store.list(key::DATA, "").expect("lists").into_iter().map(|it| it.key).collect()
}

/// A machine finds a data pack damaged, and its files are pushed again if it has them; `repair` with these mirrors. How many packs are
/// needed no more.
fn data_moved(world: &World, store: &Store, machine: &Machine, has_files: bool, mirrors: &[Store]) -> u64 {
    let mut catalog = machine.open(store).expect("opens");
    let found = verify(&catalog, Depth::Data(100), &Silent).expect("verified");
    assert_eq!(found.bad_packs.len(), 1);
    catalog.keep_in_mind(&found.bad_packs, &found.good_packs, &found.wrong);
    if has_files {
        let oids = verify_rows(&catalog);
        push(&mut catalog, &world.shelf.files(&oids)).expect("pushed");
    }
    let mut damage = Damage::of(&catalog).expect("looked through");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let done = repair(&mut catalog, &mut damage, &[], &[], mirrors, scratch.path(), &Silent);
    done.expect("repaired").moved
}

#[test]
fn data_that_versions_lead_to_leaves_a_damaged_pack_and_the_pack_goes() {
    let world = World::new();
    let packs = data_packs(&world.store());
    assert!(packs.len() >= 3, "{packs:?}");
    for name in &packs {
        for how in HARMS {
            // Made again of what was stored anew, by a machine that has kept the list of frames; and as it was, from a mirror.
            for (machine, has_files, mirrors) in
                [(world.machine.twin(), true, vec![]), (Machine::new(), false, vec![world.mirror()])]
            {
                let (store, context) = (world.store(), format!("{name} {how}, {} mirrors", mirrors.len()));
                harm(&store, name, how);
                let needed = fresh(&store).is_ok_and(|it| names(&it, name));
                let moved = data_moved(&world, &store, &machine, has_files, &mirrors);
                assert_eq!(moved, u64::from(needed), "{context}");
                // Until the pack is gone its files are had by their rows.
                let found = verify(&fresh(&store).expect("opens"), Depth::Files, &Silent).expect("verified");
                assert!(found.problems.is_empty(), "{context}: {:?}", found.problems);
                for _ in 0..2 {
                    collect(&mut fresh(&store).expect("opens"), AT_ONCE).expect("collected");
                }
                assert!(!needed || !data_packs(&store).contains(name), "{context}: the damaged pack stays");
                world.assert_whole(&store, &format!("{context}, collected"));
            }
        }
    }
}

/// Whether a page of a version names the pack.
fn names(catalog: &Catalog, name: &str) -> bool {
    let packs = catalog.state().bundles().keys().flat_map(|id| {
        let entries = open(catalog, *id).expect("opens").below(b"").expect("reads");
        entries.into_iter().filter_map(|entry| match entry.content {
            Content::File { recipe, .. } => Some(recipe.packs()),
            _ => None,
        })
    });
    packs.flatten().any(|pack| key::pack(PackKind::Data, pack) == *name)
}

#[test]
fn a_damaged_pack_with_something_that_nobody_has_stays() {
    let world = World::new();
    let name = &data_packs(&world.store())[0];
    let store = world.store();
    harm(&store, name, "first frame");
    assert_eq!(data_moved(&world, &store, &world.machine.twin(), false, &[]), 0);
    collect(&mut fresh(&store).expect("opens"), AT_ONCE).expect("collected");
    assert!(data_packs(&store).contains(name));
}

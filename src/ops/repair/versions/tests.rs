//! Stores that lose what versions consist of, and the clone that has their commits.

use std::fs;

use sha2::Digest;

use super::*;
use crate::bundle::{Facts, PageRef};
use crate::cache::Cache;
use crate::catalog::Journal;
use crate::git::scratch::Scratch;
use crate::git::{Objects, Pointer, Repo};
use crate::ops::bundle::{Place, Wanted, make, open};
use crate::ops::redact;
use crate::ops::repair::{mend, repair};
use crate::ops::squash::Git;
use crate::ops::verify::{Depth, verify};
use crate::progress::Silent;
use crate::store::fail::{Failing, Fault};
use crate::store::{Store, StoreUrl, key, memory};

const REPO: RepoId = RepoId::from_bytes([9; 16]);

/// A git repository, and a store with versions of its commits.
struct Scene {
    git: Scratch,
    store: Store,
}

fn machine(store: &Store) -> Catalog {
    Catalog::open(store.clone(), Cache::none(), Journal::none()).expect("opens")
}

fn over(backend: std::sync::Arc<dyn crate::store::Backend>) -> Store {
    Store::over(StoreUrl::parse("memory:versions").expect("a URL"), backend).without_waits()
}

impl Scene {
    fn new() -> Scene {
        let (git, store) = (Scratch::new(), over(memory()));
        Catalog::create(store.clone(), Cache::none(), Journal::none()).expect("a store");
        Scene { git, store }
    }

    /// The store as it is, for one try.
    fn twin(&self) -> Store {
        let twin = over(memory());
        for folder in ["", "log/", key::META, key::DATA] {
            for object in self.store.list(folder, "").expect("lists") {
                let bytes = self.store.get(&object.key).expect("memory").expect("there");
                twin.overwrite(&object.key, bytes.into()).expect("memory");
            }
        }
        twin
    }

    fn clone(&self) -> Clone {
        Clone::of(&self.git.repo()).expect("a clone")
    }

    /// Commits these files, those of which git-lfs has some, and makes the version.
    fn version(&self, files: &[(&str, &[u8])]) -> BundleId {
        self.version_of(&Dataset::default(), files)
    }

    fn version_of(&self, dataset: &Dataset, files: &[(&str, &[u8])]) -> BundleId {
        let pointers: Vec<Vec<u8>> = files.iter().map(|(path, bytes)| self.pointer(path, bytes)).collect();
        let files: Vec<(&str, &[u8])> =
            files.iter().zip(&pointers).map(|((path, _), bytes)| (*path, &bytes[..])).collect();
        self.git.commit(&files);
        // One above it has the same tree, and is no parent of this version.
        self.git.commit(&[]);
        let (repo, objects): (Repo, Objects) = (self.git.repo(), self.git.objects());
        let commit = objects.commit("HEAD").expect("a commit");
        let place = Place { repo: &repo, objects: &objects, dataset, id: REPO, name: Some("it") };
        make(&mut machine(&self.store), place, commit, Wanted::default(), &Silent).expect("made").0
    }

    fn pointer(&self, path: &str, bytes: &[u8]) -> Vec<u8> {
        if !path.ends_with(".bin") {
            return bytes.to_vec();
        }
        let oid = Oid::from_bytes(sha2::Sha256::digest(bytes).into());
        let at = self.git.repo().lfs_object_path(&oid);
        fs::create_dir_all(at.parent().expect("a directory")).expect("made");
        fs::write(at, bytes).expect("written");
        Pointer { oid, size: bytes.len() as u64 }.canonical()
    }

    /// Three versions of one of everything; something was taken out of the last two, and of the first before there were others.
    fn told(&self) -> BTreeMap<BundleId, (Vec<Vec<u8>>, Facts)> {
        let manifest = format!("[repo]\nid = \"{REPO}\"\nname = \"it\"\n");
        let noise = datamon_test_support::seeded_bytes(7, 300_000);
        let first = self.version(&[
            ("datamon.toml", manifest.as_bytes()),
            ("large.bin", &noise),
            ("gone.bin", b"taken out before there are others"),
            ("deep/er/small.bin", b"of git-lfs"),
            ("deep/plain", b"of git"),
            ("empty", b""),
        ]);
        self.take_out("gone.bin");
        // The bytes of one that is taken out stay: they are somewhere else, too.
        let second = self.version(&[
            ("secret/one.bin", b"s"),
            ("secret/same.bin", b"of git-lfs"),
            ("deep/plain", b"other"),
        ]);
        let third = self.version(&[("secret/two", b"t"), ("large.bin", &noise[..200_000])]);
        self.take_out("secret");
        let catalog = machine(&self.store);
        let told: BTreeMap<_, _> =
            [first, second, third].into_iter().map(|id| (id, said(&catalog, id))).collect();
        assert_eq!(told[&third].0.len(), 5);
        assert_eq!(told[&third].1.redacted, [&b"gone.bin"[..], b"secret"].map(ByteBuf::from));
        told
    }

    fn take_out(&self, path: &str) {
        let mut catalog = machine(&self.store);
        let look =
            |catalog: &Catalog| redact::plan(catalog, REPO, &[path.as_bytes().to_vec()], &Git::Overruled);
        look(&catalog).expect("planned").apply(&mut catalog, &look).expect("taken out");
    }
}

/// What a version has and says, but for where it lies.
fn said(catalog: &Catalog, id: BundleId) -> (Vec<Vec<u8>>, Facts) {
    let bundle = open(catalog, id).expect("opens");
    let mut entries = bundle.below(b"").expect("reads");
    entries.iter_mut().for_each(|it| {
        if let Content::File { recipe, .. } = &mut it.content {
            *recipe = Recipe::Inline(vec![]);
        }
    });
    let facts = Facts { revision: 0, ..bundle.root().facts.clone() };
    (entries.iter().map(|it| format!("{it:?}").into_bytes()).collect(), facts)
}

/// What `repair` does, on a machine that has kept nothing; the versions that it made anew, or what it called lost.
fn repaired(store: &Store, clone: Clone) -> Result<u64, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut catalog = Catalog::open(store.clone(), Cache::none(), Journal::none()).map_err(|e| text(&e))?;
    let findings = verify(&catalog, Depth::Files, &Silent).map_err(|e| text(&e))?;
    catalog.keep_in_mind(&findings.bad_packs, &findings.good_packs, &findings.wrong);
    mend(&mut catalog, &[], &[]).map_err(|e| text(&e))?;
    let mut damage = Damage::of(&catalog).map_err(|e| text(&e))?;
    let scratch = tempfile::tempdir().expect("a directory");
    let done = repair(&mut catalog, &mut damage, &[clone], &[], &[], scratch.path(), &Silent);
    let done = done.map_err(|e| text(&e))?;
    if damage.is_empty() { Ok(done.versions) } else { Err(format!("lost: {damage:?}")) }
}

fn metas(store: &Store) -> Vec<String> {
    let all = store.list(key::META, "").expect("lists");
    all.into_iter().map(|it| it.key).collect()
}

/// Nothing of what the store has is called damaged, and its versions are what they were.
fn assert_whole(store: &Store, before: &BTreeMap<BundleId, (Vec<Vec<u8>>, Facts)>, context: &str) {
    let catalog = machine(store);
    let findings = verify(&catalog, Depth::Files, &Silent).expect("verified");
    let needed: Vec<_> = findings.problems.iter().collect();
    assert!(needed.is_empty(), "{context}: {needed:?}");
    for (id, was) in before {
        assert_eq!(said(&catalog, *id), *was, "{context}: {id}");
    }
}

/// Every pack of metadata, lost or with a bit that is another, on a machine that has kept nothing of it.
#[test]
fn what_versions_consist_of_is_made_anew_from_their_commits() {
    let scene = Scene::new();
    let told = scene.told();
    let mut made = BTreeMap::new();
    for pack in metas(&scene.store) {
        let bytes = scene.store.get(&pack).expect("memory").expect("there");
        let flips = (0..bytes.len()).step_by(97).map(Some);
        for at in [None].into_iter().chain(flips) {
            let store = scene.twin();
            match at {
                None => store.delete(&pack).expect("memory"),
                Some(at) => {
                    let mut bytes = bytes.to_vec();
                    bytes[at] ^= 1 << (at % 8);
                    store.overwrite(&pack, bytes.into()).expect("memory");
                }
            }
            let context = format!("{pack}, byte {at:?}");
            let count = repaired(&store, scene.clone()).unwrap_or_else(|why| panic!("{context}: {why}"));
            *made.entry(count).or_insert(0) += 1;
            assert_whole(&store, &told, &context);
            assert_eq!(repaired(&store, scene.clone()), Ok(0), "{context}: there is more to do");
        }
    }
    assert!(made.keys().any(|count| *count > 1), "{made:?}");
}

/// What was taken out before the version was made, and came back without it, is no doubt of this version's, but nothing proves that.
#[test]
fn where_the_log_leaves_a_doubt_a_lost_root_stays_lost() {
    let scene = Scene::new();
    let told = scene.told();
    let [first, second, third] = *told.keys().collect::<Vec<_>>() else { panic!("three") };
    // As `git lfs push --all` does.
    let path = scene.git.beside("back");
    fs::write(&path, b"taken out before there are others").expect("written");
    let back = crate::ops::upload::Upload { oid: None, size: 33, path, previous: None };
    let done = crate::ops::upload::upload(&mut machine(&scene.store), REPO, &[back], &[], &Silent);
    assert!(done.expect("uploaded").failed.is_empty());
    metas(&scene.store).iter().for_each(|pack| scene.store.delete(pack).expect("memory"));
    let error = repaired(&scene.store, scene.clone()).expect_err("two are lost");
    assert!(!error.contains(&first.to_string()), "{error}");
    assert!(error.contains(&second.to_string()) && error.contains(&third.to_string()), "{error}");
    assert_eq!(said(&machine(&scene.store), *first), told[first]);
}

/// It has the trees, and no pointer.
#[test]
fn a_clone_that_lacks_files_of_git_makes_no_version_without_them() {
    for include in ["", "include = \"lfs\"\n"] {
        let scene = Scene::new();
        let manifest = format!("[[dataset]]\nid = \"{REPO}\"\nname = \"it\"\npath = \"data\"\n{include}");
        scene.git.commit(&[("datamon.toml", manifest.as_bytes())]);
        let dataset = Dataset { path: b"data".to_vec(), lfs_only: !include.is_empty() };
        let id = scene.version_of(&dataset, &[("data/a.bin", b"of git-lfs"), ("data/b", b"of git")]);
        let told = BTreeMap::from([(id, said(&machine(&scene.store), id))]);
        metas(&scene.store).iter().for_each(|pack| scene.store.delete(pack).expect("memory"));
        let git = &scene.git.git;
        git.run(["config", "uploadpack.allowFilter", "true"]).expect("set");
        let (from, to) = (format!("file://{}", scene.git.path().display()), scene.git.beside("partial"));
        let to = to.to_str().expect("text");
        git.run(["clone", "-q", "--filter=blob:none", "--no-checkout", &from, to]).expect("cloned");
        let partial = Repo::found_by(scene.git.git_at(Path::new(to))).expect("found");
        repaired(&scene.store, Clone::of(&partial).expect("a clone")).expect_err("lost");
        assert_eq!(repaired(&scene.store, scene.clone()), Ok(1), "{include}");
        assert_whole(&scene.store, &told, include);
    }
}

/// What the work tree says today is not what the version was made by.
#[test]
fn a_commit_that_does_not_say_what_its_dataset_is_makes_no_root() {
    let scene = Scene::new();
    let manifest = format!("[repo]\nid = \"{REPO}\"\nname = \"it\"\n");
    scene.version(&[("a.bin", b"of git-lfs"), ("b", b"of git")]);
    scene.version(&[("datamon.toml", manifest.as_bytes())]);
    metas(&scene.store).iter().for_each(|pack| scene.store.delete(pack).expect("memory"));
    let error = repaired(&scene.store, scene.clone()).expect_err("one is lost");
    assert_eq!(error.matches("Unreadable").count(), 1, "{error}");
}

/// Nothing is left but the log and the tables in it: the clone has all of it.
#[test]
fn a_store_without_any_pack_comes_back_from_one_clone() {
    let scene = Scene::new();
    let told = scene.told();
    let packs = [key::META, key::DATA].map(|folder| scene.store.list(folder, "").expect("lists"));
    packs.iter().flatten().for_each(|it| scene.store.delete(&it.key).expect("memory"));
    assert_eq!(repaired(&scene.store, scene.clone()), Ok(3));
    assert_whole(&scene.store, &told, "all packs");
}

/// Only what the root proves takes the place of a page.
#[test]
fn what_git_has_is_not_taken_for_another_page() {
    let file = |n: u8| Planned::File { executable: false, oid: Oid::from_bytes([n; 32]), size: 1 };
    let all = |n: u8| BTreeMap::from([(b"a".to_vec(), file(1)), (b"b".to_vec(), file(n))]);
    let entries: Vec<Entry> = all(2).iter().map(entry).collect();
    let blob = Blob { pack: PackId::from_bytes([1; 16]), offset: 0, stored: 1 };
    let page = PageRef { first: b"a".to_vec(), rows: 2, bytes: 2, blob, hash: page_hash(&entries) };
    let root = Root { id: BundleId::new(), repo: REPO, facts: Facts::default(), pages: vec![page] };
    let hit = Unreadable { repo: REPO, commit: None, pages: vec![(b"a".to_vec(), 2)] };
    assert_eq!(rest(&mut root.clone(), &hit, all(2), true), Some(all(2)));
    assert_eq!(rest(&mut root.clone(), &hit, all(3), true), None);
}

#[test]
fn a_repair_that_is_cut_off_anywhere_is_gone_on_with() {
    let scene = Scene::new();
    let told = scene.told();
    let lost = || {
        let store = scene.twin();
        metas(&store).iter().for_each(|pack| store.delete(pack).expect("memory"));
        store
    };
    let store = lost();
    repaired(&store, scene.clone()).expect("repaired");
    let requests = store.requests();
    let all = requests.get + requests.put + requests.list + requests.head;
    let mut cut = 0;
    for at in 0..all {
        let store = lost();
        let dying = over(std::sync::Arc::new(Failing::new(store.backend(), Fault::Dead, at)));
        cut += u64::from(repaired(&dying, scene.clone()).is_err());
        repaired(&store, scene.clone()).unwrap_or_else(|why| panic!("after request {at}: {why}"));
        assert_whole(&store, &told, &format!("after request {at}"));
    }
    assert!(cut > 30, "{cut} of {all}");
}

/// Another clone knows nothing of it, and says so; nothing is written.
#[test]
fn without_its_commit_a_version_stays_lost() {
    let scene = Scene::new();
    let told = scene.told();
    metas(&scene.store).iter().for_each(|pack| scene.store.delete(pack).expect("memory"));
    let other = Scratch::new();
    other.commit(&[("a", b"a")]);
    let before = machine(&scene.store).head().seq();
    let error = repaired(&scene.store, Clone::of(&other.repo()).expect("a clone")).expect_err("lost");
    assert!(told.keys().all(|id| error.contains(&id.to_string())), "{error}");
    assert_eq!(machine(&scene.store).head().seq(), before);
    // To a repo that is deleted nothing is promised; it may come back.
    let mut catalog = machine(&scene.store);
    crate::ops::repo::delete(&mut catalog, REPO).expect("deleted");
    repaired(&scene.store, scene.clone()).expect_err("lost");
    crate::ops::repo::undelete(&mut catalog, REPO).expect("back");
    // Nor does one that has other files under the name of the version: here the dataset is said to lie elsewhere.
    let text = format!("[[dataset]]\nid = \"{REPO}\"\nname = \"it\"\npath = \"deep\"\n");
    scene.git.commit(&[("datamon.toml", text.as_bytes())]);
    repaired(&scene.store, scene.clone()).expect("each commit says for itself where it lies");
    assert_whole(&scene.store, &told, "moved");
}

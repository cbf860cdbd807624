//! Bundles of commits, with real git: after every commit the whole bundle is compared with what git lists.

use std::collections::BTreeMap;
use std::fs;

use sha2::Digest;

use super::{Dataset, NoBundle, Place, Wanted, bundle_of, make, open};
use crate::bundle::Content;
use crate::cache::Cache;
use crate::catalog::{Catalog, Journal};
use crate::git::scratch::Scratch;
use crate::git::{Objects, Pointer, Repo};
use crate::id::{BundleId, Oid, RepoId};
use crate::progress::Silent;
use crate::store::{Store, StoreUrl};

const REPO: RepoId = RepoId::from_bytes([9; 16]);

/// A git repository and a store in memory.
struct World {
    git: Scratch,
    catalog: Catalog,
    dataset: Dataset,
}

fn oid(bytes: &[u8]) -> Oid {
    Oid::from_bytes(sha2::Sha256::digest(bytes).into())
}

impl World {
    fn new(name: &str) -> World {
        let url = StoreUrl::parse(&format!("memory:making-{name}")).expect("a URL");
        let store = Store::open(&url).expect("memory");
        let git = Scratch::new();
        let cache = Cache::at(git.beside("cache"));
        let catalog = Catalog::create(store, cache, Journal::none()).expect("a new store");
        World { git, catalog, dataset: Dataset::default() }
    }

    fn run(&self, args: &[&str]) {
        self.git.git.run(args).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The pointer to bytes that lie where git-lfs keeps them.
    fn large(&self, bytes: &[u8]) -> Vec<u8> {
        let path = self.git.repo().lfs_object_path(&oid(bytes));
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, bytes).expect("written");
        Pointer { oid: oid(bytes), size: bytes.len() as u64 }.canonical()
    }

    fn try_make(&mut self, revision: &str) -> Result<(BundleId, bool), NoBundle> {
        let (repo, objects) = (self.git.repo(), self.git.objects());
        let commit = objects.commit(revision).expect("a commit");
        let place =
            Place { repo: &repo, objects: &objects, dataset: &self.dataset, id: REPO, name: Some("it") };
        make(&mut self.catalog, place, commit, Wanted::default(), &Silent)
    }

    /// Makes the bundle of a commit and compares it with git; nothing is left of its making.
    #[track_caller]
    fn made(&mut self, revision: &str) -> BundleId {
        let (id, made) = self.try_make(revision).unwrap_or_else(|error| panic!("{error}"));
        assert!(made, "{revision} had one");
        let kept = self.git.repo().common_dir().join("datamon/tmp");
        assert_eq!(fs::read_dir(kept).expect("listed").count(), 0, "scratch files are left");
        assert_eq!(self.entries(id), listed(&self.git, revision, &self.dataset));
        id
    }

    /// No bundle is made and nothing is written: the one that is there is found.
    #[track_caller]
    fn found(&mut self, revision: &str, wanted: BundleId) {
        let before = self.catalog.store().requests();
        let found = self.try_make(revision).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found, (wanted, false), "{revision}");
        assert_eq!(self.catalog.store().requests().since(before).put, 0, "{revision} was uploaded");
    }

    fn entries(&self, id: BundleId) -> BTreeMap<Vec<u8>, String> {
        let bundle = open(&self.catalog, id).expect("opens");
        let entries = bundle.below(b"").expect("reads");
        let shown = |content: &Content| match content {
            Content::File { executable, oid, size, .. } => {
                format!("{} {oid} {size}", if *executable { "100755" } else { "100644" })
            }
            Content::Link { target } => format!("120000 {}", String::from_utf8_lossy(target)),
            Content::Module { commit } => format!("160000 {commit}"),
        };
        entries.iter().map(|entry| (entry.path.clone(), shown(&entry.content))).collect()
    }

    fn parents(&self, id: BundleId) -> Vec<BundleId> {
        open(&self.catalog, id).expect("opens").root().facts.parents.clone()
    }
}

/// What a bundle of the revision has to hold, by `git ls-tree` and `git cat-file`.
fn listed(git: &Scratch, revision: &str, dataset: &Dataset) -> BTreeMap<Vec<u8>, String> {
    let path = String::from_utf8(dataset.path.clone()).expect("text");
    let tree = format!("{revision}:{path}");
    let said = git.git.run(["ls-tree", "-r", "-z", &tree]).expect("a tree");
    let mut listed = BTreeMap::new();
    for line in said.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let at = line.iter().position(|byte| *byte == b'\t').expect("a tab");
        let (facts, path) = (std::str::from_utf8(&line[..at]).expect("text"), &line[at + 1..]);
        let words: Vec<&str> = facts.split(' ').collect();
        let (mode, id) = (words[0], words[2]);
        let blob = || git.git.run(["cat-file", "blob", id]).expect("a blob");
        let shown = match mode {
            "160000" => Some(format!("160000 {id}")),
            "120000" => Some(format!("120000 {}", String::from_utf8_lossy(&blob()))),
            _ => match (Pointer::parse(&blob()), dataset.lfs_only) {
                (Ok(it), _) => Some(format!("{mode} {} {}", it.oid, it.size)),
                (Err(_), false) => Some(format!("{mode} {} {}", oid(&blob()), blob().len())),
                (Err(_), true) => None,
            },
        };
        let shown = shown.filter(|_| !dataset.lfs_only || !mode.starts_with("12") && !mode.starts_with("16"));
        listed.extend(shown.map(|shown| (path.to_vec(), shown)));
    }
    listed
}

/// A tree with one of everything.
fn everything(world: &World) {
    let (large, other) = (world.large(&[7; 70_000]), world.large(b"small, but of git-lfs"));
    let files: [(&str, &[u8]); 6] = [
        ("a/large.bin", &large),
        ("a/b/other.bin", &other),
        ("plain", b"text"),
        ("empty", b""),
        ("run", b"#!"),
        ("a/same", b"text"),
    ];
    for (path, bytes) in files {
        let path = world.git.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, bytes).expect("written");
    }
    std::os::unix::fs::symlink("../plain", world.git.path().join("a/link")).expect("a link");
    world.run(&["add", "-A"]);
    world.run(&["update-index", "--chmod=+x", "run"]);
    let module = format!("160000,{},modules/one", "ab".repeat(20));
    world.run(&["update-index", "--add", "--cacheinfo", &module]);
    world.run(&["commit", "-q", "-m", "everything"]);
}

#[test]
fn a_bundle_has_everything_its_commit_has_and_follows_every_change() {
    let mut world = World::new("everything");
    everything(&world);
    let mut last = world.made("HEAD");
    assert_eq!(world.entries(last).len(), 8);
    let large = String::from_utf8(world.large(&[8; 80_000])).expect("text");
    let id = |bytes: &str| {
        let made =
            world.git.git.run_with_stdin(["hash-object", "-w", "--stdin"], bytes.as_bytes()).expect("made");
        String::from_utf8(made).expect("text").trim().to_owned()
    };
    let blob = |mode: &str, bytes: &str, path: &str| format!("{mode},{},{path}", id(bytes));
    let module = format!("160000,{},modules/one", "cd".repeat(20));
    let steps: [(&str, &[&str], Vec<String>); 9] = [
        ("modes", &[], vec![blob("100644", "#!", "run"), blob("100755", "text", "plain")]),
        ("a new version", &[], vec![blob("100644", &large, "a/large.bin")]),
        ("a directory becomes a file", &["a/b/other.bin"], vec![blob("100644", "now a file", "a/b")]),
        ("and a directory again", &["a/b"], vec![blob("100644", "deep", "a/b/c/d")]),
        ("a file becomes a link", &[], vec![blob("120000", "plain", "a/same")]),
        ("a link becomes a file", &[], vec![blob("100644", "file", "a/link")]),
        (
            "a pointer becomes text, text a pointer",
            &[],
            vec![blob("100644", "t", "a/large.bin"), blob("100644", &large, "plain")],
        ),
        ("a submodule moves", &[], vec![module]),
        ("most of it goes", &["a/large.bin", "a/link", "a/same", "modules/one", "empty"], vec![]),
    ];
    for (message, gone, put) in steps {
        for path in gone {
            world.run(&["update-index", "--force-remove", path]);
        }
        for entry in &put {
            world.run(&["update-index", "--add", "--replace", "--cacheinfo", entry]);
        }
        world.run(&["commit", "-q", "-m", message]);
        let made = world.made("HEAD");
        assert_eq!(world.parents(made), [last], "{message}");
        last = made;
    }
    assert_eq!(world.entries(last).len(), 3);
}

#[test]
fn commits_that_were_skipped_and_merges_find_their_parents() {
    let mut world = World::new("merges");
    world.git.commit(&[("base", b"1")]);
    let base = world.made("HEAD");
    world.run(&["checkout", "-q", "-b", "side"]);
    world.git.commit(&[("side", b"2")]);
    let side = world.made("HEAD");
    world.run(&["checkout", "-q", "main"]);
    for n in 0..5u8 {
        world.git.commit(&[("main", &[n])]);
    }
    let main = world.made("HEAD");
    assert_eq!((world.parents(side), world.parents(main)), (vec![base], vec![base]));
    world.run(&["merge", "-q", "--no-edit", "side"]);
    let merge = world.made("HEAD");
    assert_eq!(world.parents(merge), [main, side]);
    // A commit between them, made late, has what came before it as its parent.
    let late = world.made("main~2");
    assert_eq!(world.parents(late), [base]);
    world.run(&["checkout", "-q", "--orphan", "alone"]);
    world.git.commit(&[("other", b"3")]);
    let alone = world.made("HEAD");
    assert_eq!(world.parents(alone), []);
}

#[test]
fn a_rewritten_commit_keeps_its_bundle_without_any_upload() {
    let mut world = World::new("rewritten");
    world.git.commit(&[("base", b"0")]);
    world.made("HEAD");
    for n in 1..=3u8 {
        let pointer = world.large(&[n; 5000]);
        world.git.commit(&[("data.bin", &pointer), ("plain", &[n])]);
    }
    let tip = world.made("HEAD");
    let old = world.git.says(&["rev-parse", "HEAD"]);
    let amend = ["commit", "-q", "--amend", "-m", "said better"];
    let onto = ["-c", "rebase.autoSquash=true", "rebase", "-q", "-f", "--no-ff", "HEAD~2"];
    for rewrite in [&amend[..], &onto] {
        world.run(rewrite);
        world.found("HEAD", tip);
    }
    world.run(&["reset", "-q", "--soft", "HEAD~3"]);
    world.run(&["commit", "-q", "-m", "squashed"]);
    world.found("HEAD", tip);
    world.run(&["checkout", "-q", "-b", "picked", "HEAD~"]);
    world.run(&["cherry-pick", "main"]);
    world.found("HEAD", tip);
    world.run(&["revert", "--no-edit", "HEAD"]);
    let objects = world.git.objects();
    let first = objects.commit("HEAD~2").expect("a commit");
    let first =
        bundle_of(&world.catalog, &objects, REPO, &world.dataset, first).expect("reads").expect("a bundle");
    world.found("HEAD", first);
    world.found(&old, tip);
    assert_ne!(world.git.says(&["rev-parse", "HEAD"]), old);
}

#[test]
fn a_dataset_may_be_a_directory_and_only_what_git_lfs_tracks() {
    let mut world = World::new("lfs");
    everything(&world);
    world.dataset = Dataset { path: b"a".to_vec(), lfs_only: true };
    let first = world.made("HEAD");
    assert_eq!(world.entries(first).len(), 2);
    // Outside nothing counts: the tree of the directory is the same.
    world.git.commit(&[("outside", b"x")]);
    world.found("HEAD", first);
    // What is tracked no more leaves the bundle.
    world.git.commit(&[("a/large.bin", b"plain now")]);
    let second = world.made("HEAD");
    assert_eq!(world.entries(second).len(), 1);
    // With other rules nothing is shared, but the bundle is whole.
    world.dataset.lfs_only = false;
    world.git.commit(&[("a/new", b"x")]);
    world.made("HEAD");
    world.dataset.path = b"nowhere".to_vec();
    world.git.commit(&[("b", b"x")]);
    assert!(matches!(world.try_make("HEAD"), Err(NoBundle::NoDataset { .. })));
}

#[test]
fn data_that_is_nowhere_makes_no_bundle_and_data_in_the_store_need_not_be_here() {
    let mut world = World::new("nowhere");
    let pointer = world.large(&[5; 9000]);
    world.git.commit(&[("data.bin", &pointer)]);
    world.made("HEAD");
    fs::remove_dir_all(world.git.repo().lfs_dir().join("objects")).expect("removed");
    world.git.commit(&[("again/data.bin", &pointer), ("data.bin", b"gone")]);
    world.made("HEAD");
    let lost = Pointer { oid: Oid::from_bytes([3; 32]), size: 5 };
    world.git.commit(&[("lost.bin", &lost.canonical())]);
    let before = world.catalog.head().seq();
    let error = world.try_make("HEAD").expect_err("lost").to_string();
    assert!(error.contains("lost.bin") && error.contains("neither here nor in the store"), "{error}");
    assert_eq!(world.catalog.head().seq(), before, "something was written");
    // With another length it is another file.
    let longer = Pointer { oid: oid(&[5; 9000]), size: 9001 };
    world.git.commit(&[("lost.bin", &longer.canonical())]);
    assert!(matches!(world.try_make("HEAD"), Err(NoBundle::DataElsewhere { .. })));
    let empty = Pointer { oid: oid(b""), size: 0 };
    world.git.commit(&[("lost.bin", &empty.canonical())]);
    world.made("HEAD");
}

#[test]
fn many_small_plain_files_go_up_together() {
    let mut world = World::new("many");
    let mut stream =
        String::from("commit refs/heads/main\ncommitter T <t@example.org> 1700000000 +0000\ndata 1\nx\n");
    for n in 0..10_000 {
        let text = format!("file {n}");
        stream += &format!("M 100644 inline dir-{}/{n}\ndata {}\n{text}\n", n % 100, text.len());
    }
    world.git.git.run_with_stdin(["fast-import", "--quiet"], stream.as_bytes()).expect("imported");
    let before = world.catalog.store().requests();
    let (first, _) = world.try_make("main").expect("made");
    let cost = world.catalog.store().requests().since(before);
    assert!(cost.put <= 8, "{} PUT", cost.put);
    let entries = world.entries(first);
    assert_eq!(entries.len(), 10_000);
    let wanted = format!("100644 {} 9", oid(b"file 4711"));
    assert_eq!(entries[&b"dir-11/4711"[..]], wanted);
    // One of them changes: one file is read, one page written.
    world.run(&["reset", "-q", "--hard"]);
    world.git.commit(&[("dir-11/4711", b"changed")]);
    let before = world.catalog.store().requests();
    let (second, _) = world.try_make("main").expect("made");
    let cost = world.catalog.store().requests().since(before);
    assert_eq!(cost.put, 3, "a data pack, a meta pack, an entry");
    let differs = world.entries(second).into_iter().filter(|(path, it)| entries[path] != *it).count();
    assert_eq!(differs, 1);
}

#[test]
fn who_made_it_and_what_git_says_of_the_signature_are_kept() {
    let world = World::new("facts");
    world.git.commit(&[("a", b"1")]);
    let message = "why\n\nCo-authored-by: Ada <ada@example.org>";
    world.run(&["commit", "-q", "--amend", "--author=Eve <eve@example.org>", "-m", message]);
    let (repo, objects): (Repo, Objects) = (world.git.repo(), world.git.objects());
    let commit = objects.commit("HEAD").expect("a commit");
    let place = Place { repo: &repo, objects: &objects, dataset: &world.dataset, id: REPO, name: None };
    let World { mut catalog, .. } = world;
    let (id, _) =
        make(&mut catalog, place, commit, Wanted { verified: true, latest: false }, &Silent).expect("made");
    let facts = open(&catalog, id).expect("opens").root().facts.clone();
    let people = ["Eve <eve@example.org>", "Ada <ada@example.org>", "Test <test@example.org>"];
    assert_eq!(
        (facts.contributors.as_slice(), facts.time),
        (&people.map(str::to_owned)[..], 1_700_000_000_000)
    );
    assert_eq!((facts.message.as_str(), facts.signature.as_deref()), (message, Some("N")));
}

//! Versions of many files: what each verb asks of the store and sends to it. The entries are synthetic: many paths, few contents.

use std::collections::BTreeMap;
use std::fs;

use datamon::bundle::{Bundle, Facts, Root};
use datamon::cache::Cache;
use datamon::catalog::{Catalog, Journal};
use datamon::id::{BundleId, Oid, RepoId};
use datamon::ops::bundle::{Draft, Planned, children, compare, open};
use datamon::ops::upload::{Upload, upload, upload_bundle};
use datamon::progress::Silent;
use datamon::store::{Store, StoreUrl};
use tempfile::TempDir;

const REPO: RepoId = RepoId::from_bytes([9; 16]);
/// Contents that the paths share.
const CONTENTS: usize = 500;
/// Files of a directory.
const FOLDER: usize = 100;

struct Scene {
    folder: TempDir,
    url: StoreUrl,
    contents: Vec<(Oid, u64)>,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(folder.path().join("store")).expect("made");
        let url = StoreUrl::of_directory(&folder.path().join("store")).expect("an absolute path");
        let store = Store::open(&url).expect("a directory");
        let mut catalog = Catalog::create(store, Cache::none(), Journal::none()).expect("a new store");
        let file = |n: usize| {
            let path = folder.path().join(n.to_string());
            fs::write(&path, n.to_string().repeat(50)).expect("written");
            Upload { oid: None, size: 0, path, previous: None }
        };
        let files: Vec<Upload> = (0..CONTENTS).map(file).collect();
        let done = upload(&mut catalog, REPO, &files, &[], &Silent).expect("uploads");
        Scene { contents: done.read.into_values().collect(), folder, url }
    }

    fn catalog(&self, cache: Cache) -> Catalog {
        let store = Store::open(&self.url).expect("a directory");
        Catalog::open(store, cache, Journal::none()).expect("opens")
    }

    fn planned(&self, n: usize) -> Planned {
        let (oid, size) = self.contents[n % CONTENTS];
        Planned::File { executable: false, oid, size }
    }

    fn make(
        &self,
        catalog: &mut Catalog,
        base: Option<Root>,
        changes: BTreeMap<Vec<u8>, Option<Planned>>,
    ) -> BundleId {
        let drafting = |_: &_| Draft::new(base.clone(), Facts::default(), changes.clone());
        let made = upload_bundle(catalog, REPO, &[], &drafting, &Silent).expect("made");
        made.bundle.expect("a version")
    }
}

fn name(n: usize) -> Vec<u8> {
    format!("part-{:03}/set-{:04}/file-{n:07}.bin", n / 20_000, n / FOLDER).into_bytes()
}

fn root(catalog: &Catalog, id: BundleId) -> Root {
    open(catalog, id).expect("opens").root().clone()
}

/// What a use of one version, or of two, asks of the store for once it is open.
fn requests<T>(catalog: &Catalog, take: impl FnOnce() -> T) -> (u64, T) {
    let before = catalog.store().requests();
    let taken = take();
    let cost = catalog.store().requests().since(before);
    assert_eq!((cost.put, cost.list, cost.head), (0, 0, 0));
    (cost.get, taken)
}

fn budgets(entries: usize) {
    let scene = Scene::new();
    let mut catalog = scene.catalog(Cache::at(scene.folder.path().join("cache")));
    let all = (0..entries).map(|n| (name(n), Some(scene.planned(n)))).collect();
    let first = scene.make(&mut catalog, None, all);
    let base = root(&catalog, first);
    assert_eq!(base.rows(), entries as u64);

    let before = catalog.store().requests();
    let change = BTreeMap::from([(name(entries / 2), Some(scene.planned(entries / 2 + 1)))]);
    let second = scene.make(&mut catalog, Some(base.clone()), change);
    let cost = catalog.store().requests().since(before);
    assert!(cost.put <= 3 && cost.written <= 1 << 20, "one change of {entries} entries: {cost:?}");

    // A machine that knows nothing of the store.
    let fresh = scene.catalog(Cache::none());
    let opened = |catalog, id| -> Bundle<'_> { open(catalog, id).expect("opens") };
    let folder = format!("part-000/set-{:04}", 7).into_bytes();
    let (asked, listed) = requests(&fresh, || children(&opened(&fresh, second), &folder).expect("listed"));
    assert!(asked <= 3 && listed.len() == FOLDER, "{asked} requests for {} files", listed.len());
    let (asked, found) = requests(&fresh, || opened(&fresh, second).find(&name(entries / 3)).expect("reads"));
    assert!(asked <= 3 && found.is_some(), "{asked} requests for one path");
    let (asked, differences) =
        requests(&fresh, || compare(&opened(&fresh, first), &opened(&fresh, second)).expect("compared"));
    assert_eq!(differences.changes.len(), 1);
    assert!(asked <= 4, "{asked} requests: two roots and the page of each that is not the same in both");
    // The top level jumps from subtree to subtree.
    let (asked, listed) = requests(&fresh, || children(&opened(&fresh, second), b"").expect("listed"));
    assert_eq!(listed.len(), entries.div_ceil(20_000));
    assert!(asked <= 1 + 2 * listed.len() as u64, "{asked} requests for {} subtrees", listed.len());
}

#[test]
fn verbs_on_many_entries_ask_for_few_objects() {
    budgets(60_000);
}

/// The figures of the design, minutes in a debug build.
#[test]
#[ignore = "a million entries: run by hand or nightly"]
fn verbs_on_a_million_entries_ask_for_few_objects() {
    budgets(1_000_000);
}

//! Bundles through the catalog of a store in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Draft, Found, Name, NotFound, Planned, find, labels_of, open};
use crate::bundle::{Content, Facts, Root};
use crate::cache::Cache;
use crate::catalog::change::{Change, Drop, Label};
use crate::catalog::{Catalog, CatalogError, Journal, Refusal};
use crate::id::{BundleId, GitId, Oid, RepoId};
use crate::ops::upload::{Read, Upload, upload_bundle};
use crate::progress::Silent;
use crate::store::{Store, StoreUrl};

const REPO: RepoId = RepoId::from_bytes([5; 16]);

fn catalog(name: &str, folder: &Path) -> Catalog {
    let url = StoreUrl::parse(&format!("memory:bundle-{name}")).expect("a URL");
    let cache = Cache::at(folder.join("cache"));
    Catalog::create(Store::open(&url).expect("memory"), cache, Journal::none()).expect("a new store")
}

/// A bundle with the files of a folder that `names` names, and without those it had before under `gone`.
fn make(
    catalog: &mut Catalog,
    folder: &Path,
    base: Option<Root>,
    facts: Facts,
    names: &[&str],
    gone: &[&str],
) -> Result<BundleId, CatalogError> {
    let files: Vec<Upload> = names
        .iter()
        .map(|name| Upload { oid: None, size: 0, path: folder.join(name), previous: None })
        .collect();
    let drafting = |read: &Read| {
        let file = |name: &&str| {
            let (oid, size) = read[&folder.join(name)];
            (name.as_bytes().to_vec(), Some(Planned::File { executable: false, oid, size }))
        };
        let mut changes: BTreeMap<_, _> = names.iter().map(file).collect();
        changes.extend(gone.iter().map(|name| (name.as_bytes().to_vec(), None)));
        Draft::new(base.clone(), facts.clone(), changes)
    };
    let uploaded = upload_bundle(catalog, REPO, &files, &drafting, &Silent)?;
    assert!(uploaded.failed.is_empty(), "{:?}", uploaded.failed);
    Ok(uploaded.bundle.expect("a bundle"))
}

fn root(catalog: &Catalog, id: BundleId) -> Root {
    open(catalog, id).expect("opens").root().clone()
}

fn label(catalog: &mut Catalog, name: &str, bundle: Option<BundleId>) -> Result<(), CatalogError> {
    let previous = catalog.state().label(REPO, name).map(|at| at.seq);
    let change = Change::Label(Label { repo: REPO, name: name.to_owned(), bundle, previous });
    catalog.commit(&catalog.record(catalog.head().seq(), change)).map(drop)
}

#[test]
fn a_bundle_is_made_with_its_data_and_its_successor_shares_its_pages() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut catalog = catalog("pages", folder.path());
    let names: Vec<String> = (0..3000).map(|n| format!("file-{n}")).collect();
    for name in &names {
        fs::write(folder.path().join(name), name).expect("written");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let first = make(&mut catalog, folder.path(), None, Facts::default(), &names, &[]).expect("made");
    let before = catalog.store().requests();
    fs::write(folder.path().join("file-7"), "changed").expect("written");
    let base = Some(root(&catalog, first));
    let second =
        make(&mut catalog, folder.path(), base, Facts::default(), &["file-7"], &["file-8"]).expect("made");
    let cost = catalog.store().requests().since(before);
    assert_eq!(cost.put, 3, "a data pack, a meta pack, an entry");
    let (old, new) = (root(&catalog, first), root(&catalog, second));
    assert_eq!((old.rows(), new.rows()), (3000, 2999));
    let shared = new.pages.iter().filter(|page| old.pages.contains(page)).count();
    assert!(shared + 3 >= new.pages.len(), "{shared} of {} pages", new.pages.len());
    let bundle = open(&catalog, second).expect("opens");
    let found = bundle.find(b"file-7").expect("reads").expect("there");
    assert!(matches!(found.content, Content::File { size: 7, .. }));
    assert_eq!(bundle.find(b"file-8").expect("reads"), None);
    assert_eq!(bundle.below(b"").expect("reads").len(), 2999);
}

#[test]
fn names_lead_to_bundles_or_are_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut catalog = catalog("names", folder.path());
    fs::write(folder.path().join("a"), "a").expect("written");
    let git = |n: u8| GitId::from_slice(&[n; 20]).expect("an id");
    let facts =
        |commit: u8, tree: u8| Facts { commit: Some(git(commit)), tree: Some(git(tree)), ..Facts::default() };
    let mut made = |commit, tree| {
        make(&mut catalog, folder.path(), None, facts(commit, tree), &["a"], &[]).expect("made")
    };
    let (one, two) = (made(0x11, 0xaa), made(0x22, 0xbb));
    for at in [one, two] {
        label(&mut catalog, "stable", Some(at)).expect("set");
    }
    let none = Name::default();
    let by =
        |catalog: &Catalog, name: &str, git: Name| find(catalog, REPO, name, git).map(|Found { id, .. }| id);
    for (name, wanted) in [
        (one.to_string(), one),
        ("stable".to_owned(), two),
        ("stable@0".to_owned(), two),
        ("label:stable@1".to_owned(), one),
        ("latest".to_owned(), two),
        ("1111111".to_owned(), one),
        ("commit:22222222".to_owned(), two),
        ("tree:aaaaaaa".to_owned(), one),
    ] {
        assert_eq!(by(&catalog, &name, none).expect(&name), wanted, "{name}");
    }
    // A rewritten commit is found by its tree, one that has neither is named.
    let rewritten = Name { commit: Some(git(0x33)), tree: Some(git(0xaa)), latest: None };
    assert_eq!(by(&catalog, "HEAD", rewritten).expect("by tree"), one);
    let other = Name { commit: Some(git(0x33)), ..none };
    assert!(matches!(by(&catalog, "HEAD", other), Err(NotFound::NoBundle { .. })));
    for name in ["unstable", "stable@2", "111111", "tree:1111111", "label:1111111", ""] {
        assert!(matches!(by(&catalog, name, none), Err(NotFound::Nothing { .. })), "{name}");
    }
    assert!(
        matches!(find(&catalog, RepoId::NIL, "stable", none), Err(NotFound::Nothing { .. })),
        "another repo"
    );
    // A label that looks like the digits of something else.
    label(&mut catalog, "1111111", Some(two)).expect("set");
    assert!(matches!(by(&catalog, "1111111", none), Err(NotFound::Ambiguous { .. })));
    assert_eq!(by(&catalog, "label:1111111", none).expect("said"), two);
    assert_eq!(labels_of(&catalog, two), ["1111111", "stable"]);
    label(&mut catalog, "stable", None).expect("taken away");
    assert!(by(&catalog, "stable", none).is_err());
    let history = catalog.label_history(REPO, "stable").expect("reads");
    assert_eq!(history.iter().map(|it| it.bundle).collect::<Vec<_>>(), [None, Some(two), Some(one)]);
}

#[test]
fn labels_move_only_from_where_they_were_seen() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut catalog = catalog("labels", folder.path());
    fs::write(folder.path().join("a"), "a").expect("written");
    let mut made = || make(&mut catalog, folder.path(), None, Facts::default(), &["a"], &[]).expect("made");
    let (one, two) = (made(), made());
    let set = |catalog: &mut Catalog, repo, bundle, previous| {
        let change = Change::Label(Label { repo, name: "prod".to_owned(), bundle, previous });
        catalog.commit(&catalog.record(catalog.head().seq(), change))
    };
    let seq = set(&mut catalog, REPO, Some(one), None).expect("set").seq;
    for previous in [None, Some(seq - 1), Some(seq + 1)] {
        let moved = set(&mut catalog, REPO, Some(two), previous);
        assert!(
            matches!(&moved, Err(CatalogError::Refused(Refusal::LabelMoved { at, .. })) if *at == Some(one)),
            "{moved:?}"
        );
    }
    set(&mut catalog, REPO, Some(two), Some(seq)).expect("moves");
    let unknown = set(&mut catalog, REPO, Some(BundleId::new()), None);
    assert!(matches!(unknown, Err(CatalogError::Refused(Refusal::BundleUnknown { .. }))), "{unknown:?}");
    let other = set(&mut catalog, RepoId::NIL, Some(one), None);
    assert!(matches!(other, Err(CatalogError::Refused(Refusal::BundleUnknown { .. }))), "{other:?}");

    // What a label leads to is not dropped; what was dropped takes no label.
    let drop = |catalog: &mut Catalog, bundle| {
        let head = catalog.head().seq();
        let change = Change::Drop(Drop { planned_on: head, keys: vec![], bundles: vec![bundle] });
        catalog.commit(&catalog.record(head, change))
    };
    assert!(matches!(drop(&mut catalog, two), Err(CatalogError::Refused(Refusal::Labelled { .. }))));
    let base = root(&catalog, one);
    drop(&mut catalog, one).expect("dropped");
    let gone = set(&mut catalog, REPO, Some(one), Some(seq));
    assert!(matches!(gone, Err(CatalogError::Refused(Refusal::BundleUnknown { .. }))));

    // A bundle whose base went shares nothing with it.
    fs::write(folder.path().join("b"), "b").expect("written");
    let alone =
        make(&mut catalog, folder.path(), Some(base.clone()), Facts::default(), &["b"], &[]).expect("made");
    let root = root(&catalog, alone);
    assert_eq!(root.rows(), 2);
    assert!(root.pages.iter().all(|page| !base.pages.contains(page)));
}

#[test]
fn labels_and_commits_survive_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut catalog = catalog("checkpoint", folder.path());
    fs::write(folder.path().join("a"), "a").expect("written");
    let git = GitId::from_slice(&[7; 32]).expect("an id");
    let facts = Facts { tree: Some(git), ..Facts::default() };
    let one = make(&mut catalog, folder.path(), None, facts, &["a"], &[]).expect("made");
    for n in 0..70 {
        label(&mut catalog, &format!("l{}", n % 7), (n < 66).then_some(one)).expect("set");
    }
    catalog.upkeep().expect("a checkpoint");
    let url = StoreUrl::parse("memory:bundle-checkpoint").expect("a URL");
    let fresh =
        Catalog::open(Store::open(&url).expect("memory"), Cache::none(), Journal::none()).expect("opens");
    assert!(fresh.state().checkpoint().is_some(), "there is one to read");
    assert_eq!(
        (fresh.state().labels(), fresh.state().bundles()),
        (catalog.state().labels(), catalog.state().bundles())
    );
    assert_eq!(fresh.state().unknown(), None);
    assert_eq!(labels_of(&fresh, one).len(), 3);
    assert_eq!(fresh.label_history(REPO, "l0").expect("reads").len(), 10);
    let oid: Oid =
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb".parse().expect("an oid");
    assert!(fresh.find(REPO, &[oid]).expect("finds").contains_key(&oid));
}

//! Versions that no program of ours made, and versions that were damaged.

use std::fs;

use datamon::bundle::{Content, Entry, Facts, Root, write_page};
use datamon::cache::Cache;
use datamon::catalog::change::{BundleRef, Change, Push};
use datamon::catalog::{Catalog, Journal};
use datamon::id::{BundleId, PackKind};
use datamon::pack::{Frame, PackWriter};
use datamon::store::{Store, StoreUrl};
use datamon::table::Recipe;
use datamon_test_support::Hermetic;

use super::{listing, machine, upload, weather, weather_fails, write};

/// The file `there` of a version.
fn file(env: &Hermetic) -> Content {
    let listed = super::json(&weather(env, &["ls", "latest", "there", "--json"]));
    let oid = listed["entries"][0]["oid"].as_str().expect("a file").parse().expect("an oid");
    Content::File { executable: false, oid, size: 0, recipe: Recipe::Inline(vec![]) }
}

/// A version whose one page has these entries, as they are.
fn craft(env: &Hermetic, entries: &[(&[u8], Content)]) -> BundleId {
    let url = StoreUrl::of_directory(&env.work().join("store")).expect("an absolute path");
    let store = Store::open(&url).expect("a directory");
    let mut catalog = Catalog::open(store, Cache::none(), Journal::none()).expect("opens");
    let repo = catalog.state().repo_named("weather").expect("the repo");
    let entries: Vec<Entry> = entries
        .iter()
        .map(|(path, content)| Entry { path: path.to_vec(), content: content.clone() })
        .collect();
    let mut pack = PackWriter::new(PackKind::Meta);
    let pages = vec![write_page(&mut pack, &Cache::none(), repo, &entries)];
    let root = Root { id: BundleId::new(), repo, facts: Facts::default(), pages };
    let blob = pack.add(&Frame::encode(root.encode()), vec![]);
    let pack = pack.finish();
    pack.put(catalog.store()).expect("written");
    let made = BundleRef { id: root.id, repo, base: None, root: blob, commit: None, tree: None };
    let push = Push { repo, rows: None, segments: vec![], labels: vec![], bundles: vec![made] };
    let mut record = catalog.record(catalog.head().seq(), Change::Push(push));
    record.added = vec![(pack.id, pack.info)];
    catalog.commit(&record).expect("lands");
    root.id
}

#[test]
fn a_version_that_leads_outside_is_refused_before_anything_is_written() {
    let env = machine();
    write(&env, "data/there", "");
    upload(&env, "data");
    let file = file(&env);
    let link = |target: &str| Content::Link { target: target.as_bytes().to_vec() };
    for (n, (entries, why)) in [
        (vec![(&b"../out"[..], file.clone())], "cannot be read"),
        (vec![(b"a", file.clone()), (b"b/../../../out", file.clone())], "cannot be read"),
        (vec![(b"a", file.clone()), (b"b//x", file.clone())], "cannot be read"),
        (vec![(b".git/hooks/post-checkout", file.clone())], "cannot be read"),
        (vec![(b"b", file.clone()), (b"a", file.clone())], "cannot be read"),
        (vec![(b"a", link("/etc")), (b"a/passwd", file.clone())], "lies below it"),
        (vec![(b"a", file.clone()), (b"a/b", file.clone())], "lies below it"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = craft(&env, &entries).to_string();
        let before = listing(&env.work().join("data"));
        let (code, said) = weather_fails(&env, &["download", &id, "--dest", "inner/dest"]);
        assert_eq!(code, 4, "{n}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{n}: {said}");
        assert!(why == "cannot be read" || said.contains(why), "{n}: {said}");
        assert!(!env.work().join("inner").exists() && !env.work().join("out").exists(), "{n}");
        assert_eq!(listing(&env.work().join("data")), before);
    }
    // A link to anywhere is only a link.
    let id = craft(&env, &[(b"a", link("/etc/passwd")), (b"there", file)]).to_string();
    weather(&env, &["download", &id, "--dest", "inner/dest"]);
    assert_eq!(listing(&env.work().join("inner/dest")).len(), 2);
}

#[test]
fn a_damaged_page_is_one_clear_line_and_nothing_half_written() {
    let env = machine();
    for n in 0..3000 {
        write(&env, &format!("data/{n}"), "x");
    }
    let id = upload(&env, "data");
    let metas = env.work().join("store/meta");
    // The newest meta pack has the pages: it is the largest.
    let (pack, (whole, _)) =
        listing(&metas).into_iter().max_by_key(|(_, (bytes, _))| bytes.len()).expect("a meta pack");
    let mut damaged = whole.clone();
    damaged[60..200].fill(0);
    let end = damaged.len() / 2;
    damaged[end - 400..end].fill(0);
    fs::write(metas.join(&pack), damaged).expect("writable");
    for args in
        [&["download", &id, "--dest", "out"][..], &["ls", &id, "-r"], &["upload", "data", "--parent", &id]]
    {
        fs::remove_dir_all(env.root().join("xdg/cache")).ok();
        let (code, said) = weather_fails(&env, args);
        assert!(code == 4 && said.matches("error:").count() == 1, "{args:?}: {code} {said}");
        assert!(said.contains(&pack.file_name().unwrap().to_string_lossy()[..]), "{said}");
    }
    assert!(!env.work().join("out").exists());
    fs::write(metas.join(&pack), whole).expect("writable");
    weather(&env, &["download", &id, "--dest", "out"]);
}

//! Labels, repos, the log and the write-ahead log, on real directory stores. Bundles are made through the library.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use datamon::bundle::Facts;
use datamon::cache::Cache;
use datamon::catalog::change::{Change, Drop};
use datamon::catalog::{Catalog, Journal};
use datamon::id::{BundleId, GitId, RepoId};
use datamon::ops::bundle::{Draft, Planned};
use datamon::ops::upload::{Read, Upload, upload_bundle};
use datamon::progress::Silent;
use datamon::store::{Store, StoreUrl};
use datamon_test_support::{Hermetic, TestRepo, run};
use serde_json::Value;

use super::{command, datamon, datamon_fails, machine};

/// A git repository `data` with one commit, set up with a store of its own.
struct Place {
    env: Hermetic,
    repo: TestRepo,
    store: PathBuf,
}

impl Place {
    fn new() -> Place {
        let env = machine();
        let (repo, store) = (env.init("data"), env.root().join("store"));
        datamon(&env, "data", &["-q", "init", "--store", store.to_str().expect("plain")]);
        repo.commit("set up");
        Place { env, repo, store }
    }

    fn url(&self) -> &str {
        self.store.to_str().expect("plain")
    }

    fn catalog(&self) -> Catalog {
        let store = Store::open(&StoreUrl::parse(self.url()).expect("a URL")).expect("opens");
        Catalog::open(store, Cache::none(), Journal::none()).expect("opens")
    }

    /// The repo of the store with this name.
    fn id(&self, name: &str) -> RepoId {
        self.catalog().state().repo_named(name).expect(name)
    }

    /// A bundle of one file, made for a commit or without git.
    fn bundle(&self, repo: &str, said: &str, commit: Option<&str>) -> BundleId {
        let mut catalog = self.catalog();
        let path = self.env.root().join("file");
        std::fs::write(&path, said).expect("written");
        let git = |id: &str| -> GitId { id.parse().expect("a git id") };
        let tree = commit.map(|it| git(self.repo.git(["rev-parse", &format!("{it}^{{tree}}")]).text()));
        let facts = Facts {
            message: said.to_owned(),
            contributors: vec!["Maker <maker@example.org>".to_owned()],
            commit: commit.map(git),
            tree,
            ..Facts::default()
        };
        let drafting = |read: &Read| {
            let (oid, size) = read[&path];
            let file = Planned::File { executable: false, oid, size };
            Draft::new(None, facts.clone(), BTreeMap::from([(b"file".to_vec(), Some(file))]))
        };
        let files = [Upload { oid: None, size: 0, path: path.clone(), previous: None }];
        let made = upload_bundle(&mut catalog, self.id(repo), &files, &drafting, &Silent).expect("made");
        made.bundle.expect("a bundle")
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(datamon(&self.env, "data", args).text()).expect("JSON")
    }

    /// What was printed as one JSON object a line.
    fn json_lines(&self, args: &[&str]) -> Vec<Value> {
        let said = datamon(&self.env, "data", args);
        said.lines().into_iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn ok(&self, args: &[&str]) -> String {
        datamon(&self.env, "data", args).text().to_owned()
    }

    fn fails(&self, args: &[&str]) -> (i32, String) {
        datamon_fails(&self.env, "data", args)
    }

    /// Who git says would commit here.
    fn person(&self) -> String {
        let said = self.repo.git(["var", "GIT_AUTHOR_IDENT"]).text().to_owned();
        said[..=said.find('>').expect("a mail")].to_owned()
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("an array").iter().map(|it| text(it, "name")).collect()
}

#[test]
fn labels_lead_move_and_remember() {
    let place = Place::new();
    let head = place.repo.head();
    let one = place.bundle("data", "one", Some(&head)).to_string();
    let two = place.bundle("data", "two", None).to_string();

    // HEAD is the default; what is there already is no change.
    place.ok(&["label", "set", "reviewed"]);
    let before = place.catalog().head().seq();
    assert!(place.ok(&["label", "set", "reviewed", "HEAD"]).ends_with("as before"));
    assert_eq!(place.catalog().head().seq(), before);
    assert!(place.ok(&["label", "set", "reviewed", &two]).contains(&format!("before to {one}")));
    let shown = place.json(&["label", "show", "reviewed", "--json"]);
    assert_eq!((text(&shown, "bundle"), text(&shown, "contributor")), (&*two, &*place.person()));
    assert_eq!(text(&place.json(&["show", "reviewed@1", "--json"]), "bundle"), one);
    assert_eq!(text(&place.json(&["show", "label:reviewed", "--json"]), "bundle"), two);

    for (name, bundle) in [("v1.10", &one), ("v1.9", &one), ("v1.10-rc.1", &two), ("main-line", &one)] {
        let set = place.json(&["label", "set", name, bundle, "--json"]);
        assert_eq!((text(&set, "name"), text(&set, "bundle")), (name, bundle.as_str()));
    }
    let list = |args: &[&str]| {
        let all: Vec<&str> = ["label", "list", "--json"].iter().chain(args).copied().collect();
        place.json(&all)
    };
    assert_eq!(names(&list(&[])), ["main-line", "reviewed", "v1.10", "v1.10-rc.1", "v1.9"]);
    assert_eq!(names(&list(&["--sort", "semver"])), ["v1.9", "v1.10-rc.1", "v1.10", "main-line", "reviewed"]);
    assert_eq!(names(&list(&["--sort", "time"])), ["main-line", "v1.10-rc.1", "v1.9", "v1.10", "reviewed"]);
    assert_eq!(names(&list(&["--for", "HEAD"])), ["main-line", "v1.10", "v1.9"]);
    assert!(place.ok(&["label", "list", "--for", "v1.9"]).contains(&head[..12]));

    assert!(place.ok(&["label", "delete", "reviewed"]).contains(&two));
    assert_eq!(place.fails(&["label", "delete", "reviewed"]).0, 2);
    assert_eq!(place.fails(&["label", "show", "reviewed"]).0, 2);
    let history = place.json(&["label", "history", "reviewed", "--json"]);
    let led: Vec<Option<&str>> =
        history.as_array().expect("moves").iter().map(|it| it["bundle"].as_str()).collect();
    assert_eq!(led, [None, Some(&*two), Some(&*one)]);
    assert!(history.as_array().expect("moves").iter().all(|it| text(it, "contributor") == place.person()));
    assert_eq!(place.ok(&["label", "history", "reviewed"]).lines().count(), 3);
    assert_eq!(place.fails(&["label", "history", "never"]).0, 2);
    // The same without git.
    let elsewhere = ["label", "list", "--json", "--store", place.url(), "--repo", "data"];
    assert_eq!(
        names(&serde_json::from_str(datamon(&place.env, ".", &elsewhere).text()).expect("JSON")).len(),
        4
    );
}

#[test]
fn of_two_that_expect_the_same_one_wins() {
    let place = Place::new();
    let bundles: Vec<String> =
        (0..3).map(|n| place.bundle("data", &n.to_string(), None).to_string()).collect();
    place.ok(&["label", "set", "prod", &bundles[0], "--expect", "none"]);
    assert_eq!(place.fails(&["label", "set", "prod", &bundles[1], "--expect", "none"]).0, 3);
    for round in 0..4 {
        let from = text(&place.json(&["label", "show", "prod", "--json"]), "bundle").to_owned();
        let others: Vec<&String> = bundles.iter().filter(|it| **it != from).collect();
        let racers: Vec<_> = others
            .iter()
            .map(|to| {
                let mut racer = command(&place.env, "data", &["label", "set", "prod", to, "--expect", &from]);
                racer
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .expect("starts")
            })
            .collect();
        let ended: Vec<_> = racers.into_iter().map(|it| it.wait_with_output().expect("ends")).collect();
        let codes: Vec<Option<i32>> = ended.iter().map(|it| it.status.code()).collect();
        assert!(codes == [Some(0), Some(3)] || codes == [Some(3), Some(0)], "round {round}: {codes:?}");
        let winner = others[codes.iter().position(|it| *it == Some(0)).expect("one")];
        let loser = ended.iter().find(|it| it.status.code() == Some(3)).expect("one");
        let said = String::from_utf8_lossy(&loser.stderr);
        assert!(said.contains(&format!("it leads to bundle {winner}, not to bundle {from}")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    // Without an expectation both land, one after the other.
    let racers: Vec<_> = (0..4)
        .map(|n| {
            let mut racer = command(&place.env, "data", &["-q", "label", "set", "any", &bundles[n % 3]]);
            racer.stdin(Stdio::null()).spawn().expect("starts")
        })
        .collect();
    racers.into_iter().for_each(|mut it| assert!(it.wait().expect("ends").success()));
    assert_eq!(place.fails(&["label", "delete", "prod", "--expect", &BundleId::new().to_string()]).0, 3);
}

#[test]
fn names_that_could_mean_something_else_are_refused() {
    let place = Place::new();
    let one = place.bundle("data", "one", None).to_string();
    let long = "x".repeat(256);
    for name in [
        "",
        &long,
        "a@2",
        "a:b",
        "--",
        "latest",
        "HEAD",
        "a b",
        "a..b",
        ".a",
        "a.lock",
        "a\u{1b}[31m",
        "a\nb",
        "a/",
        &one,
        &"ab".repeat(20),
        &one[..8],
        "a~1",
        "a^",
        "a*",
    ] {
        let (code, said) = place.fails(&["label", "set", "--", name, &one]);
        assert_eq!(code, 64, "{name:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    assert_eq!(place.fails(&["label", "set", "-a", &one]).0, 64);
    for (first, second) in [("Größe", "Gro\u{308}ße"), ("Prod", "prod")] {
        assert_eq!(datamon(&place.env, "data", &["label", "set", first, &one]).stderr, "");
        let said = datamon(&place.env, "data", &["label", "set", second, &one]).stderr;
        assert!(said.contains("warning") && said.contains("confuse"), "{said}");
    }
    // Of another repo, dropped, ambiguous, unknown.
    place.ok(&["repo", "create", "other"]);
    let other = place.bundle("other", "other", None).to_string();
    place.ok(&["label", "set", "theirs", &other, "--repo", "other"]);
    let (code, said) = place.fails(&["label", "show", "theirs"]);
    assert!(code == 2 && said.contains("repo other has one"), "{code} {said}");
    for version in ["theirs", &other, "nothing", "theirs@1"] {
        assert_eq!(place.fails(&["label", "set", "mine", version]).0, 2, "{version}");
    }
    let mut catalog = place.catalog();
    let (gone, head) = (place.bundle("data", "gone", None), catalog.head().seq() + 1);
    catalog.refresh().expect("reads");
    let drop = Change::Drop(Drop { planned_on: head, keys: vec![], bundles: vec![gone] });
    catalog.commit(&catalog.record(head, drop)).expect("dropped");
    let gone = gone.to_string();
    for args in [
        &["label", "set", "mine", &gone][..],
        &["show", &gone],
        &["checkout", &gone],
        &["ls", &gone],
        &["cat", &format!("{gone}:a")],
        &["diff", &one, &gone],
        &["download", &gone, "--dest", "out"],
        &["lineage", &gone],
    ] {
        let (code, said) = place.fails(args);
        assert!(code == 2 && said.matches("error: ").count() == 1, "{args:?}: {code} {said}");
    }
    assert!(!place.repo.dir().join("out").exists());
    place.repo.git(["tag", "mine"]);
    place.bundle("data", "head", Some(&place.repo.head()));
    place.ok(&["label", "set", "mine", &one]);
    let (code, said) = place.fails(&["show", "mine"]);
    assert!(code == 64 && said.contains("label:mine"), "{code} {said}");
}

#[test]
fn a_label_that_begins_an_id_means_nothing_else_or_is_refused() {
    let place = Place::new();
    let one = place.bundle("data", "one", None).to_string();
    let head = place.repo.head();
    let short = &head[..8];
    place.ok(&["label", "set", short, &one]);
    assert!(place.ok(&["show", short]).contains(&one), "nothing else has the name yet");
    let other = place.bundle("data", "head", Some(&head)).to_string();
    // From now on it has two meanings: whoever reads has to say which, and the label can still be moved and taken away.
    for args in [&["show", short][..], &["ls", short], &["label", "set", "mine", short]] {
        let (code, said) = place.fails(args);
        assert!(code == 64 && said.contains(&format!("label:{short}")), "{args:?}: {code} {said}");
    }
    assert!(place.ok(&["show", &format!("label:{short}")]).contains(&one));
    assert!(place.ok(&["show", &format!("commit:{short}")]).contains(&other));
    place.ok(&["label", "set", short, &other]);
    assert!(place.ok(&["show", short]).contains(&other), "both lead there");
    place.ok(&["label", "set", short, &one]);
    place.ok(&["label", "delete", short]);
    assert!(place.ok(&["show", short]).contains(&other));
    // A label that was taken away is as good as new.
    let (code, said) = place.fails(&["label", "set", short, &one]);
    assert!(code == 64 && said.contains("begins like this"), "{code} {said}");
}

#[test]
fn a_label_can_be_a_git_tag_too() {
    let place = Place::new();
    let head = place.repo.head();
    let one = place.bundle("data", "one", Some(&head)).to_string();
    let two = place.bundle("data", "two", None).to_string();
    place.ok(&["label", "set", "v1", "HEAD", "--tag"]);
    assert_eq!(place.repo.git(["cat-file", "-t", "v1"]).text(), "tag");
    assert_eq!(place.repo.git(["rev-parse", "v1^{commit}"]).text(), head);
    assert!(place.repo.git(["cat-file", "-p", "v1"]).text().contains(&one));
    place.ok(&["label", "set", "v1", "HEAD", "--tag"]);
    // What cannot be done is said before anything is done.
    let (code, said) = place.fails(&["label", "set", "v2", &two, "--tag"]);
    assert!(code == 2 && said.contains("without a git commit"), "{code} {said}");
    place.repo.write("x", "x");
    place.repo.add("x");
    place.repo.commit("more");
    place.repo.git(["tag", "v3"]);
    let (code, said) = place.fails(&["label", "set", "v3", &one, "--tag"]);
    assert!(code == 3 && said.contains("git tag -d v3"), "{code} {said}");
    // Names that git cannot have beside each other, in either order.
    place.repo.git(["tag", "deep/er"]);
    for (name, other) in [("v3/rc", "tag v3;"), ("deep", "tag deep/er;"), ("deep/er/1", "tag deep/er;")] {
        let (code, said) = place.fails(&["label", "set", name, &one, "--tag"]);
        assert!(code == 3 && said.contains(other), "{name}: {code} {said}");
    }
    let bare = ["label", "set", "v4", &one, "--tag", "--store", place.url()];
    assert_eq!(datamon_fails(&place.env, ".", &bare).0, 64);
    assert_eq!(names(&place.json(&["label", "list", "--json"])), ["v1"]);
}

#[test]
fn repos_live_are_renamed_and_come_back() {
    let place = Place::new();
    let one = place.bundle("data", "one", None).to_string();
    place.ok(&["repo", "create", "stations"]);
    assert_eq!(place.fails(&["repo", "create", "stations"]).0, 3);
    for name in ["", " a", "-a", "a\u{7}", &RepoId::new().to_string()] {
        assert_eq!(place.fails(&["repo", "create", "--", name]).0, 64, "{name:?}");
    }
    let stations = place.id("stations").to_string();
    place.ok(&["repo", "rename", "stations", "climate"]);
    assert_eq!(place.fails(&["repo", "rename", "climate", "data"]).0, 3);
    assert_eq!(place.fails(&["repo", "delete", "stations"]).0, 2);
    let shown = place.json(&["repo", "show", "climate", "--json"]);
    assert_eq!((text(&shown, "repo"), shown["bundles"].as_u64()), (&*stations, Some(0)));
    assert_eq!(text(&place.json(&["repo", "show", "--json"]), "newest"), one);

    place.ok(&["repo", "delete", "climate"]);
    place.ok(&["repo", "create", "climate"]);
    place.ok(&["repo", "delete", "climate"]);
    assert_eq!(names(&place.json(&["repo", "list", "--json"])), ["data"]);
    assert_eq!(names(&place.json(&["repo", "list", "--all", "--json"])), ["climate", "climate", "data"]);
    let (code, said) = place.fails(&["repo", "undelete", "climate"]);
    assert!(code == 64 && said.contains(&stations), "{code} {said}");
    place.ok(&["repo", "undelete", &stations]);
    assert_eq!(place.id("climate").to_string(), stations);
    assert_eq!(place.fails(&["repo", "undelete", "climate"]).0, 3, "the name is taken");
    // A deleted repo takes no label.
    place.ok(&["repo", "delete", "data"]);
    assert_eq!(place.fails(&["label", "set", "late", &one]).0, 3);
    place.ok(&["repo", "undelete", "data"]);
    place.ok(&["label", "set", "late", &one]);
}

#[test]
fn a_directory_can_be_a_dataset_of_its_own() {
    let place = Place::new();
    place.repo.write("data/stations/a.csv", "1");
    place.repo.write("code/x", "1");
    place.repo.add(".");
    let commit = place.repo.commit("files");
    place.ok(&["repo", "create", "stations", "--path", "data/stations"]);
    let written = place.repo.read("datamon.toml");
    // Once more is the same; what is in its way, or leads out, is refused.
    datamon(&place.env, "data/data/stations", &["repo", "create", "stations", "--path", "."]);
    assert_eq!(place.repo.read("datamon.toml"), written);
    for (name, path) in
        [("b", "data"), ("b", "../x"), ("b", "."), ("b", "/"), ("b", "code/x"), ("stations", "code")]
    {
        let (code, said) = place.fails(&["repo", "create", name, "--path", path]);
        assert_ne!(code, 0, "{name} {path}: {said}");
    }
    assert_eq!(place.repo.read("datamon.toml"), written);
    assert_eq!(place.repo.git(["diff", "--cached", "--name-only"]).text(), "datamon.toml");

    // The directory says which is meant, --repo says it better.
    let whole = place.bundle("data", "whole", Some(&commit)).to_string();
    let part = place.bundle("stations", "part", Some(&commit)).to_string();
    for (dir, args, wanted) in [
        ("data", &["show", "--json"][..], &whole),
        ("data/code", &["show", "--json"], &whole),
        ("data/data/stations", &["show", "--json"], &part),
        ("data", &["show", "--json", "--repo", "stations"], &part),
        ("data/data/stations", &["show", "--json", "--repo", "data"], &whole),
    ] {
        let shown: Value = serde_json::from_str(datamon(&place.env, dir, args).text()).expect("JSON");
        assert_eq!(text(&shown, "bundle"), wanted, "{dir} {args:?}");
    }
    // Without a whole, the user has to say which.
    place.ok(&["repo", "create", "code", "--path", "code"]);
    let manifest = String::from_utf8(place.repo.read("datamon.toml")).expect("text");
    let parts = &manifest[manifest.find("[[dataset]]").expect("a part")..];
    place.repo.write("datamon.toml", parts);
    let (code, said) = place.fails(&["show"]);
    assert!(code == 64 && said.contains("stations, code"), "{code} {said}");
    place.ok(&["show", "--repo", "stations"]);
    assert!(place.ok(&["doctor"]).contains("datasets: stations in data/stations, code in code"));
}

#[test]
fn a_new_name_of_a_dataset_is_written_into_its_repository() {
    let place = Place::new();
    place.ok(&["repo", "create", "stations", "--path", "data/stations"]);
    let before = String::from_utf8(place.repo.read("datamon.toml")).expect("text") + "# ours\n";
    place.repo.write("datamon.toml", &before);
    place.repo.add(".");
    place.repo.commit("datasets");
    let said = datamon(&place.env, "data", &["repo", "rename", "stations", "points"]);
    let after = String::from_utf8(place.repo.read("datamon.toml")).expect("text");
    assert_eq!(after, before.replace("\"stations\"", "\"points\""));
    assert_eq!(place.repo.git(["diff", "--cached", "--name-only"]).text(), "datamon.toml");
    assert!(said.stderr.contains("git commit"), "{}", said.stderr);
    place.ok(&["repo", "rename", "data", "world"]);
    assert!(String::from_utf8(place.repo.read("datamon.toml")).expect("text").contains("name = \"world\""));
    place.repo.commit("names");
    // A dataset of somebody else's, and one of a store that is named, are not written down here.
    place.ok(&["repo", "create", "elsewhere"]);
    place.ok(&["repo", "rename", "elsewhere", "far"]);
    place.ok(&["repo", "rename", "points", "stations", "--store", place.url()]);
    assert_eq!(place.repo.git(["status", "--porcelain"]).text(), "");
    // A name that the file gives to another dataset is not written: it could not be read any more.
    place.ok(&["repo", "rename", "stations", "spare"]);
    place.repo.git(["checkout", "-q", "--force", "HEAD"]);
    let said = datamon(&place.env, "data", &["repo", "rename", "world", "points"]);
    assert!(said.stderr.contains("datamon.toml keeps the old name"), "{}", said.stderr);
    assert_eq!(place.repo.git(["status", "--porcelain"]).text(), "");
    assert_eq!(place.json(&["repo", "show", "points", "--json"])["name"], "points");
}

#[test]
fn a_log_lists_versions_and_commits_that_have_none() {
    let place = Place::new();
    let first = place.repo.head();
    let one = place.bundle("data", "one\n\nmore", Some(&first)).to_string();
    place.repo.write("x", "x");
    place.repo.add("x");
    let second = place.repo.commit("second");
    place.ok(&["label", "set", "v1", &one]);
    let two = place.bundle("data", "without git", None).to_string();

    let lines = place.json_lines(&["log", "--json"]);
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0]["bundle"].as_str(), text(&lines[0], "commit")), (None, &*second));
    assert_eq!((text(&lines[1], "bundle"), text(&lines[1], "commit")), (&*one, &*first));
    assert_eq!(
        (text(&lines[1], "message"), lines[1]["labels"][0].as_str()),
        ("set up", Some("v1")),
        "its own words"
    );
    assert_eq!(lines[1]["contributors"][0], place.person());
    let short = place.ok(&["log", "--oneline"]);
    assert!(short.starts_with("no bundle") && short.contains("(v1) set up"), "{short}");
    assert_eq!(place.ok(&["log", "--oneline", "-n", "1"]).lines().count(), 1);
    assert_eq!(place.json_lines(&["log", "v1", "--json"]).len(), 1);
    // Perhaps it had one that was dropped.
    let long = place.ok(&["log"]);
    assert!(long.starts_with("no bundle\n") && !long.contains("yet"), "{long}");
    // Without git: by the log of the store.
    let bare = ["log", "--store", place.url(), "--json"];
    let found: Vec<Value> = datamon(&place.env, ".", &bare)
        .lines()
        .into_iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(found.iter().map(|it| text(it, "bundle")).collect::<Vec<_>>(), [&*two, &*one]);
    assert_eq!(
        datamon(&place.env, ".", &["log", "v1", "--oneline", "--store", place.url()]).lines().len(),
        1
    );

    // Who did what, in the whole store or in one repo.
    place.ok(&["repo", "create", "other"]);
    place.ok(&["repo", "rename", "other", "another"]);
    place.ok(&["label", "set", "v1", &two]);
    let all = place.json_lines(&["log", "--changes", "--json", "--store", place.url()]);
    let kinds: Vec<&str> = all.iter().map(|it| text(it, "kind")).collect();
    assert_eq!(kinds, ["label", "repo", "repo", "push", "label", "push", "repo", "init"]);
    assert_eq!(text(&all[0], "contributor"), place.person());
    assert_eq!((text(&all[1], "change"), text(&all[1], "name")), ("rename", "another"));
    let own = place.json_lines(&["log", "--changes", "--json", "--repo", "another", "-n", "2"]);
    assert_eq!(own.iter().map(|it| text(it, "change")).collect::<Vec<_>>(), ["rename", "create"]);
}

#[test]
fn the_write_ahead_log_is_followed() {
    let place = Place::new();
    let one = place.bundle("data", "one", None).to_string();
    place.ok(&["label", "set", "v1", &one]);
    let lines = place.json_lines(&["wal", "tail", "--json"]);
    let kinds: Vec<&str> = lines.iter().map(|it| text(it, "kind")).collect();
    assert_eq!(kinds, ["init", "repo", "push", "label"]);
    assert_eq!(text(&lines[2]["bundles"][0], "bundle"), one);
    assert!(lines.iter().enumerate().all(|(seq, it)| it["seq"].as_u64() == Some(seq as u64)));
    assert_eq!(place.ok(&["wal", "tail", "-n", "2"]).lines().count(), 2);
    let one_after = place.json_lines(&["wal", "tail", "--since", "1", "-n", "1", "--json"]);
    assert_eq!((one_after.len(), text(&one_after[0], "kind")), (1, "push"));
    assert_eq!(place.ok(&["wal", "tail", "--since", "3"]), "");
    assert!(place.ok(&["wal", "tail"]).contains(&place.person()));
    // Who follows waits for what comes.
    let args = ["wal", "tail", "--since", "3", "-n", "2", "--follow", "--interval", "0.01", "--json"];
    let follower = command(&place.env, "data", &args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    place.ok(&["label", "delete", "v1"]);
    place.ok(&["repo", "create", "new"]);
    let said = follower.expect("starts").wait_with_output().expect("ends");
    let said = String::from_utf8(said.stdout).expect("text");
    let kinds: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(kinds.iter().map(|it| text(it, "kind")).collect::<Vec<_>>(), ["label", "repo"]);
}

#[test]
fn a_store_that_is_not_trusted_gets_no_names() {
    let place = Place::new();
    let one = place.bundle("data", "one", None).to_string();
    run(place.env.command("git").args(["config", "--global", "--unset-all", "datamon.trust"]));
    for args in [&["label", "set", "v1", &one][..], &["repo", "create", "x"], &["repo", "delete", "data"]] {
        let (code, said) = place.fails(args);
        assert!(code == 3 && said.contains("git datamon trust"), "{args:?}: {code} {said}");
    }
    place.ok(&["log", "--changes"]);
    assert!(Path::new(place.url()).is_dir());
}

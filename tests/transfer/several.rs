//! Several datasets in one git repository: each commit is of those that its own `datamon.toml` names.

use std::collections::BTreeMap;
use std::fs;

use datamon_test_support::{TestRepo, run, run_failing, seeded_bytes};
use serde_json::Value;

use super::{Team, file, first, git_fails, line_with, trust};

fn json(repo: &TestRepo, args: &[&str]) -> Value {
    serde_json::from_str(repo.git(args).text()).expect("JSON")
}

/// The version that a revision is of a dataset.
#[track_caller]
fn version(repo: &TestRepo, dataset: &str, revision: &str) -> String {
    let shown = json(repo, &["datamon", "show", "--json", "--repo", dataset, revision]);
    shown["bundle"].as_str().expect("an id").to_owned()
}

/// The id of a repo of the store.
#[track_caller]
fn id(repo: &TestRepo, name: &str) -> String {
    json(repo, &["datamon", "repo", "show", name, "--json"])["repo"].as_str().expect("an id").to_owned()
}

/// The records of the note of a revision: bundles by their repo, and names of labels.
#[track_caller]
fn noted(repo: &TestRepo, revision: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let shown = json(repo, &["datamon", "notes", "show", "--json", revision]);
    let (mut bundles, mut labels) = (BTreeMap::new(), vec![]);
    for it in shown["records"].as_array().expect("records") {
        assert_eq!((&it["known"], &it["stale"]), (&true.into(), &false.into()), "{it}");
        let text = |field: &str| it["record"][field].as_str().expect("text").to_owned();
        match &*text("kind") {
            "bundle" => assert_eq!(bundles.insert(text("repo"), text("id")), None, "two of one dataset"),
            _ => labels.push(text("name")),
        }
    }
    (bundles, labels)
}

/// State of each dataset of a branch, by name.
#[track_caller]
fn states(status: &Value, branch: &str) -> Vec<(String, String)> {
    let branches = status["branches"].as_array().expect("branches");
    let branch = branches.iter().find(|it| it["name"] == branch).expect("it is there");
    let text = |it: &Value, field: &str| it[field].as_str().expect("text").to_owned();
    let datasets = branch["datasets"].as_array().expect("datasets").iter();
    datasets.map(|it| (text(it, "name"), text(it, "state"))).collect()
}

#[track_caller]
fn unclean(repo: &TestRepo) -> Value {
    let mut command = repo.env().command("git");
    let output = run_failing(command.current_dir(repo.dir()).args(["datamon", "status", "--json"]));
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    serde_json::from_str(output.text()).expect("JSON")
}

fn owned(states: &[(&str, &str)]) -> Vec<(String, String)> {
    states.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
}

/// A repository that is the dataset `data`, with the datasets `one` and, only of what git-lfs tracks, `two` in it. Nothing is
/// pushed yet.
fn nested() -> Team {
    let team = Team::new(first);
    team.repo.git(["datamon", "-q", "repo", "create", "one", "--path", "data/one"]);
    team.repo.git(["datamon", "-q", "repo", "create", "two", "--path", "data/two", "--lfs-only"]);
    for (path, seed) in [("data/one/x.bin", 1), ("data/two/y.bin", 2), ("top.bin", 3)] {
        team.repo.write(path, seeded_bytes(seed, 40_000));
    }
    team.repo.write("data/one/plain.csv", "1,2\n");
    team.repo.write("data/two/plain.csv", "3,4\n");
    team.repo.add(".");
    team.repo.commit("three datasets");
    team
}

/// A repository with the datasets `one` and `two` beside each other, and nothing else.
fn siblings() -> Team {
    let team = nested();
    let manifest = String::from_utf8(team.repo.read("datamon.toml")).expect("text");
    team.repo.write("datamon.toml", &manifest[manifest.find("[[dataset]]").expect("a part")..]);
    team.repo.add(".");
    team.repo.commit("not the whole any more");
    team
}

#[test]
fn a_push_makes_the_version_of_every_dataset_whose_files_are_others() {
    let team = nested();
    let repo = &team.repo;
    assert_eq!(states(&unclean(repo), "main"), owned(&[("data", "none"), ("one", "none"), ("two", "none")]));
    let before = team.entries();
    repo.push("origin", "main");
    assert_eq!(team.entries(), before + 3, "the whole in the entry of the data, two of their own");
    let shown = |dataset: &str| {
        let shown = json(repo, &["datamon", "show", "--json", "--repo", dataset]);
        (shown["path"].clone(), shown["entries"].clone(), shown["include"].clone())
    };
    // Five files of ours, `datamon.toml`, `.lfsconfig` and `.gitattributes`.
    assert_eq!(shown("data"), ("".into(), 8.into(), "all".into()));
    assert_eq!(shown("one"), ("data/one".into(), 2.into(), "all".into()));
    assert_eq!(shown("two"), ("data/two".into(), 1.into(), "lfs".into()));
    let (bundles, _) = noted(repo, "HEAD");
    for name in ["data", "one", "two"] {
        assert_eq!(bundles[&id(repo, name)], version(repo, name, "HEAD"));
    }
    repo.git(["datamon", "status"]);

    // What does not differ keeps its version, and both commits lead to it.
    let [one, two] = ["one", "two"].map(|name| version(repo, name, "HEAD"));
    team.change("one alone", &file("data/one/x.bin", 7, 40_000));
    let before = team.entries();
    repo.push("origin", "main");
    assert_eq!(team.entries(), before + 2);
    assert_eq!(version(repo, "two", "HEAD"), two);
    assert_ne!(version(repo, "one", "HEAD"), one);
    // It knows where it came from, and nothing of the others.
    let up = json(repo, &["-C", "data/one", "datamon", "lineage", "--json"]);
    let ids: Vec<&Value> =
        up["bundles"].as_array().expect("bundles").iter().map(|it| &it["bundle"]).collect();
    assert_eq!(ids, [&version(repo, "one", "HEAD"), &one]);
    let log = repo.git(["datamon", "log", "--oneline", "--repo", "two"]);
    assert_eq!(log.lines().len(), 1, "one commit changed it: {}", log.text());
    let said = json(repo, &["datamon", "bundle", "--json", "HEAD", "HEAD~"]);
    assert_eq!(said.as_array().map(Vec::len), Some(6));
    assert!(said.as_array().expect("each").iter().all(|it| it["made"] == false), "{said}");
    assert_eq!((&said[1]["repo"], &said[1]["path"]), (&id(repo, "one").into(), &"data/one".into()));

    // A version without git is whole: the bytes of a dataset are promised to it.
    let store = team.store.to_str().expect("plain");
    let dest = team.env.root().join("two");
    let dest = dest.to_str().expect("plain");
    repo.git(["datamon", "-q", "download", "latest", "--dest", dest, "--store", store, "--repo", "two"]);
    assert!(fs::read(format!("{dest}/y.bin")).expect("downloaded") == seeded_bytes(2, 40_000));
    // Without the store the notes say as much.
    let away = team.store.with_extension("away");
    fs::rename(&team.store, &away).expect("moved");
    let known = owned(&[("data", "made"), ("one", "made"), ("two", "made")]);
    assert_eq!(states(&unclean(repo), "main"), known);
    fs::rename(&away, &team.store).expect("moved back");
    team.assert_sound();
}

#[test]
fn a_dataset_that_was_deleted_takes_no_versions_and_stops_nothing() {
    let team = nested();
    let repo = &team.repo;
    repo.push("origin", "main");
    repo.git(["datamon", "-q", "repo", "delete", "two"]);
    team.change("two alone", &file("data/two/y.bin", 9, 40_000));
    let before = team.entries();
    let said = repo.git(["push", "origin", "main"]);
    assert_eq!(team.entries(), before + 1, "the data and the whole");
    assert!(said.stderr.contains("in data/two yet: its dataset \"two\" was deleted"), "{}", said.stderr);
    let said = json(repo, &["datamon", "status", "--json"]);
    assert_eq!(states(&said, "main"), owned(&[("data", "made"), ("one", "made"), ("two", "deleted")]));
    assert!(git_fails(repo, &["datamon", "bundle", "--repo", "two"]).contains("repo undelete"));
    repo.git(["datamon", "-q", "repo", "undelete", "two"]);
    assert_eq!(states(&unclean(repo), "main")[2], ("two".to_owned(), "none".to_owned()));
    assert_eq!(json(repo, &["datamon", "bundle", "--repo", "two", "--json"])[0]["made"], true);
    repo.git(["datamon", "status"]);
}

#[test]
fn a_commit_says_itself_of_which_datasets_it_is() {
    let team = siblings();
    let repo = &team.repo;
    repo.push("origin", "main");
    let one = version(repo, "one", "HEAD");
    // A branch on which one dataset lies elsewhere and another, that the store does not know yet, has come.
    repo.git(["checkout", "-q", "-b", "other"]);
    let three = "0192aaaa-0000-7000-8000-000000000003";
    let manifest =
        String::from_utf8(repo.read("datamon.toml")).expect("text").replace("data/one", "moved/one");
    fs::create_dir(repo.dir().join("moved")).expect("free");
    repo.git(["mv", "data/one", "moved/one"]);
    repo.write(
        "datamon.toml",
        format!("{manifest}\n[[dataset]]\nid = \"{three}\"\nname = \"three\"\npath = \"third\"\n"),
    );
    repo.write("third/z.bin", seeded_bytes(4, 20_000));
    repo.add(".");
    let other = repo.commit("elsewhere");
    // One whose `datamon.toml` is nonsense, and one that has nothing to do with any of it.
    repo.git(["checkout", "-q", "-b", "broken", "main"]);
    repo.write("datamon.toml", "[[dataset");
    repo.add(".");
    repo.commit("broken");
    repo.git(["checkout", "-q", "--orphan", "pages", "main"]);
    repo.git(["rm", "-q", "-rf", "."]);
    repo.write("index.html", "<p>pages");
    repo.add(".");
    repo.commit("pages");
    repo.git(["checkout", "-q", "main"]);
    let before = team.entries();
    let said = repo.git(["push", "origin", "other", "broken", "pages"]);
    assert_eq!(team.entries(), before + 3, "the data, the name of a repo, its version");
    assert!(said.stderr.contains("warning: no dataset version of"), "{}", said.stderr);
    assert!(said.stderr.contains("datamon.toml is not TOML"), "{}", said.stderr);
    assert_eq!(id(repo, "three"), three);
    assert_eq!(version(repo, "one", "other"), one, "the same files elsewhere");
    repo.git(["checkout", "-q", "other"]);
    let shown = json(repo, &["-C", "third", "datamon", "show", "--json"]);
    assert_eq!((&shown["commit"], &shown["entries"]), (&other.into(), &1.into()));
    assert!(noted(repo, "other").0.contains_key(three));
    repo.git(["checkout", "-q", "main"]);

    let status = unclean(repo);
    let made = owned(&[("one", "made"), ("two", "made"), ("three", "made")]);
    assert_eq!(states(&status, "main"), made[..2]);
    assert_eq!(states(&status, "other"), made);
    assert_eq!(states(&status, "pages"), []);
    let by_name = |name: &str| {
        let branches = status["branches"].as_array().expect("branches");
        branches.iter().find(|it| it["name"] == name).expect("there").clone()
    };
    assert_eq!((&by_name("pages")["state"], &by_name("main")["state"]), (&"absent".into(), &"made".into()));
    assert!(by_name("broken")["error"].as_str().expect("why").contains("not TOML"));
    repo.git(["branch", "-q", "-D", "broken"]);
    repo.git(["datamon", "status"]);
    // Nor does a commit there make one.
    repo.git(["checkout", "-q", "pages"]);
    repo.write("index.html", "<p>more");
    let before = team.entries();
    repo.git(["datamon", "-q", "commit", "-m", "more pages"]);
    assert_eq!(team.entries(), before);
    repo.git(["push", "-q", "origin", "pages"]);
    repo.git(["checkout", "-q", "main"]);
    // Who asks for it gets a version of what is there: of the datasets of the work tree, neither is.
    assert!(git_fails(repo, &["datamon", "bundle", "pages"]).contains("no directory data/"));
    // Nobody made a version of the nameless repo, nor of the whole that is no dataset any more.
    let known = ["one", "two", "three"].map(|name| id(repo, name));
    for line in repo.git(["datamon", "wal", "tail", "--since", "0", "--json"]).lines() {
        let change: Value = serde_json::from_str(line).expect("JSON");
        for bundle in change["bundles"].as_array().into_iter().flatten() {
            assert!(known.iter().any(|id| bundle["repo"] == **id), "{change}");
        }
    }
    // A note of a dataset that moved is right where it lies now; lost notes come back, of every branch.
    let notes = |revision| repo.git(["notes", "--ref=datamon", "show", revision]).text().to_owned();
    repo.git(["datamon", "notes", "repair"]);
    let before = ["main", "other"].map(notes);
    assert_eq!(json(repo, &["datamon", "notes", "repair", "--json"])["changed"], 0);
    repo.git(["update-ref", "-d", "refs/notes/datamon"]);
    repo.git(["datamon", "notes", "repair"]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (before, after) in before.iter().zip(["main", "other"].map(notes)) {
        // The version of a commit that left a dataset as it was is told of at the one that changed it.
        assert!(lines(&after).iter().all(|line| lines(before).contains(line)), "{after}");
    }
    assert!(noted(repo, "other").0.contains_key(three));
}

#[test]
fn a_commit_makes_the_versions_and_labels_the_one_that_is_meant() {
    let team = siblings();
    let repo = &team.repo;
    repo.push("origin", "main");
    let two = version(repo, "two", "HEAD");
    repo.write("data/one/x.bin", seeded_bytes(11, 30_000));
    let head = repo.head();
    let said = git_fails(repo, &["datamon", "commit", "-m", "new", "--label", "v1"]);
    assert!(said.contains("several datasets: one, two") && said.contains("--repo"), "{said}");
    let said = git_fails(repo, &["datamon", "commit", "-m", "new", "--label", "v1", "--repo", "three"]);
    assert!(said.contains("no dataset \"three\" but one, two"), "{said}");
    git_fails(repo, &["datamon", "commit", "-m", "new", "--repo", "one"]);
    assert_eq!(repo.head(), head, "nothing was committed");
    let before = team.entries();
    let said = repo.git(["-C", "data/one", "datamon", "commit", "-m", "new", "--label", "v1"]);
    let line = line_with(said.text(), "bundle ");
    assert!(line.ends_with(" (v1) of one"), "{line}");
    assert_eq!(team.entries(), before + 3, "data, version, label");
    assert_eq!(version(repo, "one", "v1"), version(repo, "one", "HEAD"));
    assert_eq!(version(repo, "two", "HEAD"), two);
    assert!(git_fails(repo, &["datamon", "show", "--repo", "two", "v1"]).contains("v1"));
    assert_eq!(noted(repo, "HEAD").1, ["v1"]);
    // A label of the other one; labels are of their dataset, also the same name.
    repo.write("data/two/y.bin", seeded_bytes(12, 30_000));
    repo.git(["datamon", "-q", "commit", "-m", "more", "--label", "v1", "--repo", "two"]);
    assert_eq!(version(repo, "two", "v1"), version(repo, "two", "HEAD"));
    assert_ne!(version(repo, "two", "v1"), two);
    let more = repo.head();
    repo.git(["datamon", "-q", "checkout", "v1", "--repo", "one"]);
    assert_eq!(repo.git(["log", "-1", "--format=%s"]).text(), "new");
    assert!(git_fails(repo, &["datamon", "checkout", "v1"]).contains("several datasets"));
    repo.git(["-C", "data/two", "datamon", "-q", "checkout", "v1"]);
    assert_eq!(repo.head(), more);
    repo.git(["checkout", "-q", "main"]);

    // A label is in the store: without it there is no commit that would look as if it had one.
    let away = team.store.with_extension("away");
    fs::rename(&team.store, &away).expect("moved");
    repo.write("data/one/x.bin", seeded_bytes(13, 30_000));
    let said = git_fails(repo, &["-C", "data/one", "datamon", "commit", "-m", "late", "--label", "v2"]);
    assert!(said.contains("commit without --label"), "{said}");
    assert_eq!(repo.head(), more);
    fs::rename(&away, &team.store).expect("moved back");
}

#[test]
fn notes_of_several_datasets_at_one_commit_are_merged() {
    let team = nested();
    team.repo.push("origin", "main");
    let remote = team.remote.dir().to_str().expect("plain");
    let env = first();
    run(env.command("git").args(["datamon", "-q", "clone", remote, "clone"]));
    let clone = env.repo("clone");
    // Both know all of it at once.
    assert_eq!(noted(&clone, "HEAD"), noted(&team.repo, "HEAD"));
    assert_eq!(clone.git(["config", "notes.rewriteRef"]).text(), "refs/notes/datamon");
    trust(&clone);
    team.repo.git(["datamon", "-q", "label", "set", "here", "--repo", "one"]);
    clone.git(["-C", "data/two", "datamon", "-q", "label", "set", "there"]);
    clone.git(["datamon", "-q", "label", "set", "there"]);
    for repo in [&team.repo, &clone, &team.repo] {
        repo.git(["datamon", "notes", "sync"]);
    }
    for repo in [&team.repo, &clone] {
        let (bundles, labels) = noted(repo, "HEAD");
        assert_eq!((bundles.len(), labels), (3, vec!["here".into(), "there".into(), "there".into()]));
        assert_eq!(json(repo, &["datamon", "notes", "repair", "--json"])["changed"], 0);
    }
    // Lost, they come back as they were, of all datasets or of one.
    let note = || team.repo.git(["notes", "--ref=datamon", "show"]).text().to_owned();
    let before = note();
    team.repo.git(["update-ref", "-d", "refs/notes/datamon"]);
    let said = json(&team.repo, &["datamon", "notes", "repair", "--repo", "two", "--json"]);
    assert_eq!((&said["changed"], noted(&team.repo, "HEAD").0.len()), (&1.into(), 1));
    team.repo.git(["datamon", "notes", "repair"]);
    assert_eq!(note(), before);
    // A line of one dataset that holds no more is found wherever it lies.
    let old = note();
    team.change("one alone", &file("data/one/x.bin", 7, 40_000));
    team.repo.git(["notes", "--ref=datamon", "add", "-m", &old, "HEAD"]);
    assert_eq!(unclean(&team.repo)["stale_notes"], serde_json::json!([team.repo.head()]));
    team.repo.git(["datamon", "notes", "repair"]);
    assert_eq!(unclean(&team.repo)["stale_notes"], serde_json::json!([]));
    assert_eq!(noted(&team.repo, "HEAD").0.keys().collect::<Vec<_>>(), [&id(&team.repo, "two")]);
}

#[test]
fn a_plain_clone_is_told_how_it_gets_the_notes() {
    let team = Team::pushed(first);
    let clone = team.clone_elsewhere(first);
    let said = clone.git(["datamon", "init"]);
    assert!(said.stderr.contains("git datamon notes sync"), "{}", said.stderr);
    assert_eq!(clone.git(["config", "notes.rewriteRef"]).text(), "refs/notes/datamon");
    clone.git(["datamon", "notes", "sync"]);
    let said = clone.git(["datamon", "init"]);
    assert!(!said.stderr.contains("notes sync"), "{}", said.stderr);
    // A clone of ours whose remote has none says nothing of it.
    team.remote.git(["update-ref", "-d", "refs/notes/datamon"]);
    let env = first();
    let remote = team.remote.dir().to_str().expect("plain");
    let said = run(env.command("git").args(["datamon", "clone", remote, "clone"]));
    assert!(!said.stderr.contains("notes"), "{}", said.stderr);
    assert!(git_fails(&env.repo("clone"), &["datamon", "notes", "show"]).contains("notes repair"));
}

#[test]
fn an_adopted_version_is_written_down_at_its_commit() {
    let team = siblings();
    let repo = &team.repo;
    let uploaded = repo.git(["-C", "data/one", "datamon", "upload", "."]).text().to_owned();
    let adopted = json(repo, &["-C", "data/one", "datamon", "adopt", &uploaded, "--json"]);
    assert_eq!(adopted["already"], false, "{adopted}");
    let (bundles, _) = noted(repo, "HEAD");
    assert_eq!(bundles[&id(repo, "one")], adopted["bundle"].as_str().expect("an id"));
    let state = || (repo.git(["rev-parse", "refs/notes/datamon"]).text().to_owned(), team.entries());
    let before = state();
    let again = json(repo, &["-C", "data/one", "datamon", "adopt", &uploaded, "--json"]);
    assert_eq!((&again["bundle"], &again["already"]), (&adopted["bundle"], &true.into()));
    assert_eq!(state(), before, "a second run changes nothing");
    repo.git(["datamon", "notes", "repair"]);
    assert_eq!(noted(repo, "HEAD").0, bundles, "the store says the same");
    // It goes with the next push.
    repo.push("origin", "main");
    assert!(team.remote.git(["for-each-ref", "refs/notes"]).text().ends_with("refs/notes/datamon"));
    assert_eq!(version(repo, "one", "HEAD"), adopted["bundle"].as_str().expect("an id"));
}

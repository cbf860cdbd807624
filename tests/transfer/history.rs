//! The history of a dataset as `log` and `lineage` tell it: through rewrites and moves, and in stores that have a part of it.

use datamon_test_support::TestRepo;
use serde_json::{Value, json};

use super::{Team, file, first};

/// What `git datamon log --json` lists.
#[track_caller]
fn log(repo: &TestRepo, args: &[&str]) -> Vec<Value> {
    let said = repo.git([&["datamon", "log", "--json"], args].concat());
    said.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn messages(log: &[Value]) -> Vec<&str> {
    log.iter().map(|it| it["message"].as_str().expect("text")).collect()
}

#[test]
fn a_commit_that_was_rewritten_has_its_own_words_and_the_version_of_another() {
    let team = Team::pushed(first);
    let before = log(&team.repo, &[]);
    let said = "said better\n\nat length";
    team.repo.git(["commit", "-q", "--amend", "--author=Eve <eve@example.org>", "-m", said]);
    let after = log(&team.repo, &[]);
    assert_eq!(after[0]["message"], said);
    assert_eq!(after[0]["contributors"][0], "Eve <eve@example.org>");
    assert_eq!(after[0]["commit"], team.repo.head());
    for field in ["bundle", "parents", "entries", "bytes", "seq"] {
        assert_eq!(after[0][field], before[0][field], "{field}");
    }
    assert!(before[0]["bundle"].is_string() && before[0]["commit"] != after[0]["commit"]);
    // Without git there is only what the version says.
    let store = team.store.to_str().expect("plain");
    assert_eq!(messages(&log(&team.repo, &["--store", store, "--repo", "data"])), ["first"]);
}

#[test]
fn a_dataset_is_followed_wherever_it_lay() {
    let team = Team::new(first);
    let repo = &team.repo;
    repo.git(["datamon", "-q", "repo", "create", "one", "--path", "data/one"]);
    team.change("one 1", &file("data/one/x.bin", 1, 20_000));
    team.change("elsewhere 1", &file("top.bin", 1, 20_000));
    repo.git(["branch", "old"]);
    team.change("one 2", &file("data/one/x.bin", 2, 20_000));
    repo.push("origin", "main");
    let manifest = String::from_utf8(repo.read("datamon.toml")).expect("text");
    std::fs::create_dir(repo.dir().join("moved")).expect("made");
    repo.git(["mv", "data/one", "moved/one"]);
    repo.write("datamon.toml", manifest.replace("data/one", "moved/one"));
    repo.add(".");
    repo.commit("it moves");
    // Something else comes to lie where it was.
    team.change("elsewhere 2", &file("data/one/y.bin", 5, 20_000));
    team.change("one 3", &file("moved/one/x.bin", 3, 20_000));
    repo.push("origin", "main");

    let all = log(repo, &["--repo", "one"]);
    assert_eq!(messages(&all), ["one 3", "one 2", "one 1"]);
    let has: Vec<bool> = all.iter().map(|it| it["bundle"].is_string()).collect();
    assert_eq!(has, [true, true, false], "versions of the tips that were pushed");
    assert_eq!(messages(&log(repo, &["--repo", "one", "-n", "2"])), ["one 3", "one 2"]);
    // A branch where it lies elsewhere than in the work tree.
    team.repo.git(["datamon", "bundle", "--repo", "one", "old"]);
    let old = log(repo, &["old", "--repo", "one"]);
    assert_eq!((messages(&old), old[0]["bundle"].is_string()), (vec!["one 1"], true));
    // `latest` too: the newest version of the branch, though nothing of it changed since the move.
    repo.git(["reset", "-q", "--hard", "HEAD~2"]);
    let latest = repo.git(["datamon", "show", "latest", "--repo", "one", "--json"]);
    let latest: Value = serde_json::from_str(latest.text()).expect("JSON");
    assert_eq!(latest["bundle"], all[1]["bundle"]);
}

#[test]
fn what_was_never_promoted_is_not_called_dropped() {
    let team = Team::pushed(first);
    team.change("second", &file("more.bin", 2, 20_000));
    team.repo.push("origin", "main");
    let prod = team.env.root().join("prod");
    let prod = prod.to_str().expect("plain");
    team.repo.git(["datamon", "-q", "context", "add", "prod", prod, "--create"]);
    team.repo.git(["datamon", "-q", "promote", "HEAD", "--to", "prod"]);
    let ask = ["datamon", "lineage", "latest", "--store", "prod", "--repo", "data"];
    let told: Value =
        serde_json::from_str(team.repo.git([&ask[..], &["--json"]].concat()).text()).expect("JSON");
    let of = |field: &str| -> Vec<Value> {
        told["bundles"].as_array().expect("bundles").iter().map(|it| it[field].clone()).collect()
    };
    assert_eq!(of("absent"), [json!(false), json!(true)]);
    assert_eq!((of("time")[0].is_string(), of("time")[1].is_null()), (true, true));
    let text = team.repo.git(ask);
    assert!(text.lines()[1].ends_with("(not in this store)"), "{}", text.text());
    assert!(!text.text().contains("1970"), "{}", text.text());
}

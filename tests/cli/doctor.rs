use serde_json::Value;

use datamon_test_support::Hermetic;

use super::{datamon, datamon_fails, machine};

/// The state of each check, and all it says.
fn findings(json: &str) -> Vec<(String, String, String)> {
    let value: Vec<Value> = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let text = |finding: &Value, key: &str| finding[key].as_str().expect(key).to_owned();
    let hints = |finding: &Value| finding["hints"].to_string();
    value.iter().map(|f| (text(f, "check"), text(f, "state"), text(f, "text") + &hints(f))).collect()
}

#[track_caller]
fn check(found: &[(String, String, String)], name: &str, state: &str, words: &str) {
    let hit =
        found.iter().find(|(check, _, _)| check == name).unwrap_or_else(|| panic!("{name} in {found:?}"));
    assert!(hit.1 == state && hit.2.contains(words), "{hit:?}");
}

fn set_up() -> Hermetic {
    let env = machine();
    env.init("data");
    datamon(&env, ".", &["install"]);
    datamon(&env, "data", &["init"]);
    env
}

#[test]
fn a_machine_without_the_agent_is_told_what_to_type() {
    let env = machine();
    env.init("data");
    let (code, said) = datamon_fails(&env, "data", &["doctor", "--json"]);
    assert_eq!(code, 1);
    let found = findings(said.trim());
    check(&found, "agent", "broken", "git datamon install");
    check(&found, "filters", "broken", "git lfs install --skip-repo");
    check(&found, "store", "note", "git datamon init");
}

#[test]
fn a_sound_set_up_is_clean_and_says_what_the_hook_costs() {
    let env = set_up();
    let found = findings(datamon(&env, "data", &["doctor", "--json"]).text());
    for name in ["git", "git-lfs", "agent", "filters", "pin", "store", "repo", "hook"] {
        check(&found, name, "ok", "");
    }
    check(&found, "hook", "ok", "git lfs install --skip-repo");
    assert!(datamon(&env, "data", &["doctor"]).text().contains("ok      store"));
}

#[test]
fn what_git_lfs_does_silently_is_said() {
    let env = set_up();
    let repo = env.repo("data");
    repo.git(["config", "-f", ".lfsconfig", "lfs.url", "datamon::elsewhere"]);
    repo.git(["config", "lfs.pruneverifyremotealways", "true"]);
    let (code, said) = datamon_fails(&env, "data", &["doctor", "--json"]);
    assert_eq!(code, 1);
    let found = findings(said.trim());
    check(&found, "pin", "broken", "git config lfs.url datamon::elsewhere");
    check(&found, "prune", "note", "protects nothing");

    repo.git(["config", "-f", ".lfsconfig", "lfs.url", "datamon::local"]);
    repo.git(["config", "lfs.url", "https://example.org/old"]);
    let (_, said) = datamon_fails(&env, "data", &["doctor", "--json"]);
    check(
        &findings(said.trim()),
        "store",
        "broken",
        "lfs.url in .git/config leads what is pushed to https://example.org/old",
    );

    let plain = env.init("plain");
    plain.add_remote("origin", "/srv/remote.git");
    check(
        &findings(datamon(&env, "plain", &["doctor", "--json"]).text()),
        "store",
        "note",
        "copies whole files",
    );
}

#[test]
fn a_store_that_is_gone_is_broken() {
    let env = set_up();
    std::fs::remove_dir_all(env.root().join("xdg/data/git-datamon/store")).unwrap();
    let (code, said) = datamon_fails(&env, "data", &["doctor", "--json"]);
    assert_eq!(code, 1);
    check(&findings(said.trim()), "store", "broken", "there is no store");
}

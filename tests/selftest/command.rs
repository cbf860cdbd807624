//! The command: what it says, what it keeps, and how it ends.

use std::fs;

use datamon::selftest::Kind;
use datamon_test_support::{Hermetic, Output, run, run_failing};
use serde_json::{Value, json};

fn machine() -> Hermetic {
    Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"))
}

fn command(env: &Hermetic, args: &[&str]) -> std::process::Command {
    let mut command = env.command("git");
    command.current_dir(env.work()).args(["datamon", "selftest"]).args(args);
    command
}

fn selftest(env: &Hermetic, args: &[&str]) -> Output {
    run(&mut command(env, args))
}

fn parsed(said: &Output) -> Value {
    serde_json::from_slice(&said.stdout).expect("JSON")
}

fn kept(env: &Hermetic) -> Value {
    serde_json::from_slice(&fs::read(env.work().join("counts.json")).expect("kept")).expect("JSON")
}

#[test]
fn what_fails_in_a_simulation_is_no_warning_to_the_user() {
    let said = selftest(&machine(), &["--seed", "4711"]);
    assert_eq!(said.stderr, "");
    assert!(said.text().ends_with("violations  0"), "{}", said.text());
}

#[test]
fn classes_that_no_seed_hit_are_named_and_fail_where_seeds_are_many() {
    let env = machine();
    let said = selftest(&env, &["--seeds", "1", "--json"]);
    let said = parsed(&said);
    let (hits, never) =
        (said["hits"].as_object().expect("by name"), said["never_hit"].as_array().expect("names"));
    assert!(!never.is_empty() && never.iter().all(|name| !hits.contains_key(name.as_str().expect("text"))));
    assert_eq!(hits.len() + never.len(), Kind::ALL.len());
    let said = selftest(&env, &["--seeds", "1"]);
    assert_eq!(said.text().matches("never hit").count(), never.len(), "{}", said.text());
    assert!(said.stderr.contains("300 seeds hit every class"), "{}", said.stderr);

    let before = json!({"next": 299, "seeds": 299, "operations": 0, "hits": {}, "violations": {}});
    fs::write(env.work().join("counts.json"), before.to_string()).expect("written");
    let said = run_failing(&mut command(&env, &["--seeds", "1", "--keep", "counts.json", "--json"]));
    let never = &parsed(&said)["never_hit"];
    assert!(said.code == Some(4) && never.as_array().is_some_and(|it| !it.is_empty()), "{never}");
    assert_eq!(&kept(&env)["never_hit"], never);
}

#[test]
fn kept_counts_are_gone_on_with_and_a_seed_is_never_counted_twice() {
    let env = machine();
    let path = env.work().join("counts.json");
    let count = || (kept(&env)["next"].as_u64(), kept(&env)["seeds"].as_u64());
    selftest(&env, &["--keep", "counts.json", "--from", "5", "--seeds", "1"]);
    assert_eq!(count(), (Some(6), Some(1)));
    let first = fs::read(&path).expect("kept");
    fs::hard_link(&path, env.work().join("before")).expect("the same file");

    let said = run_failing(&mut command(&env, &["--keep", "counts.json", "--from", "5", "--seeds", "1"]));
    assert!(said.code == Some(64) && said.stderr.contains("goes on at 6"), "{}", said.stderr);
    assert!(said.stderr.contains("hint: leave --from away"), "{}", said.stderr);
    assert!(fs::read(&path).expect("kept") == first);

    selftest(&env, &["--keep", "counts.json", "--seeds", "1"]);
    assert_eq!(count(), (Some(7), Some(2)));
    // Whoever is killed while it is written leaves what was there: it is another file that takes the name.
    assert!(fs::read(env.work().join("before")).expect("kept") == first);
}

use datamon_test_support::run;

use super::{datamon, datamon_fails, machine};

#[test]
fn a_store_is_trusted_by_its_identity_and_place() {
    let env = machine();
    let repo = env.init("data");
    datamon(&env, "data", &["init", "--store", "../store"]);
    let trusted = |env: &datamon_test_support::Hermetic| {
        run(env.command("git").args(["config", "--global", "--get-all", "datamon.trust"])).text().to_owned()
    };
    let by_init = trusted(&env);
    run(env.command("git").args(["config", "--global", "--unset-all", "datamon.trust"]));
    assert!(datamon(&env, "data", &["trust"]).text().contains("is trusted now"));
    assert_eq!(trusted(&env), by_init);
    assert!(datamon(&env, "data", &["trust"]).text().contains("already"));

    // A copy at another place shows the same identity, and is another store to trust.
    let (here, there) = (env.work().join("store"), env.root().join("copy"));
    run(env.command("cp").arg("-r").args([&here, &there]));
    let there = there.to_str().unwrap();
    assert!(datamon(&env, "data", &["trust", there]).text().contains("is trusted now"));
    repo.git(["status"]);
}

#[test]
fn what_is_not_there_cannot_be_trusted() {
    let env = machine();
    env.init("data");
    let (code, said) = datamon_fails(&env, "data", &["trust"]);
    assert!(code == 2 && said.contains("git datamon init"), "{code} {said}");
    assert_eq!(datamon_fails(&env, "data", &["trust", "/nonexistent/store"]).0, 2);
}

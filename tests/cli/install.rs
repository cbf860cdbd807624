use datamon_test_support::{Hermetic, run};

use super::{datamon, machine};

fn config(env: &Hermetic, args: &[&str]) -> Vec<String> {
    let output = run(env.command("git").args(["config", "--global", "--get-regexp"]).args(args));
    output.lines().into_iter().map(str::to_owned).collect()
}

#[test]
fn git_lfs_is_told_where_the_agent_is_once() {
    let env = machine();
    datamon(&env, ".", &["install"]);
    let once = std::fs::read(env.user_config()).unwrap();
    let agent = env!("CARGO_BIN_EXE_git-datamon");
    assert_eq!(
        config(&env, &["datamon"]),
        [
            &format!("lfs.customtransfer.datamon.path {agent}"),
            "lfs.customtransfer.datamon.args lfs-agent",
            "lfs.customtransfer.datamon.concurrent false",
            "lfs.datamon::.standalonetransferagent datamon",
        ]
    );
    assert_eq!(config(&env, &["filter.lfs.process"]), ["filter.lfs.process git-lfs filter-process"]);
    datamon(&env, ".", &["install"]);
    assert_eq!(std::fs::read(env.user_config()).unwrap(), once);
}

#[test]
fn the_manual_is_where_git_help_looks() {
    let env = machine();
    let said = datamon(&env, ".", &["install", "-v"]);
    let page = env.home().join(".local/share/man/man1/git-datamon.1");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("git datamon install"), "{page}");
    // Nothing of this machine's PATH leads there.
    assert!(said.stderr.contains("export MANPATH="), "{}", said.stderr);
    datamon(&env, ".", &["install", "--uninstall"]);
    assert!(!env.home().join(".local/share/man/man1/git-datamon.1").exists());
}

#[test]
fn uninstalling_takes_back_what_is_ours_and_nothing_else() {
    let env = machine();
    run(env.command("git").args(["config", "--global", "lfs.concurrenttransfers", "3"]));
    datamon(&env, ".", &["install"]);
    datamon(&env, ".", &["install", "--uninstall"]);
    let left = std::fs::read_to_string(env.user_config()).unwrap();
    assert!(!left.contains("datamon"), "{left}");
    assert!(left.contains("concurrenttransfers = 3") && left.contains("filter-process"), "{left}");
    assert!(datamon(&env, ".", &["install", "--uninstall"]).text().contains("was not installed"));
}

#[test]
fn programs_are_told_what_was_installed() {
    let env = machine();
    let told = |args: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&datamon(&env, ".", args).stdout).expect("nothing but JSON")
    };
    let pages = env.home().join(".local/share/man");
    assert_eq!(
        told(&["install", "--json"]),
        serde_json::json!({
            "installed": true, "scope": "global", "agent": env!("CARGO_BIN_EXE_git-datamon"), "on_path": true,
            "manual": pages,
        })
    );
    let gone = told(&["install", "--uninstall", "--json"]);
    assert_eq!((&gone["installed"], &gone["agent"]), (&false.into(), &().into()));
}

#[test]
fn for_every_user_the_machine_s_file_is_written() {
    let env = machine();
    let before = std::fs::read_to_string(env.system_config()).unwrap();
    // The pages of the machine belong below /usr/local, which is not a test's to write.
    let pages = env.root().join("man");
    datamon(&env, ".", &["install", "--system", "--man-dir", pages.to_str().unwrap()]);
    assert!(pages.join("man1/git-datamon-init.1").exists());
    let after = std::fs::read_to_string(env.system_config()).unwrap();
    assert!(after.starts_with(&before) && after.contains("[lfs \"datamon::\"]"), "{after}");
    assert_eq!(std::fs::read(env.user_config()).unwrap(), b"");
}

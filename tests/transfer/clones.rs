//! Clones that git alone made: the first transfer puts our hook in the place of git-lfs's, where the user trusts the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use datamon_test_support::{TestRepo, run};
use serde_json::Value;

use super::{Machine, Team, assert_files, change, each_git_lfs, file, files, first, trust};

each_git_lfs!(a_plain_push_of_a_plain_clone_makes_a_version, what_stands_in_the_way_stays);

const OURS: &str = "# git-datamon:";

fn hook(repo: &TestRepo) -> String {
    fs::read_to_string(repo.dir().join(".git/hooks/pre-push")).unwrap_or_default()
}

/// The commit of the version of HEAD.
#[track_caller]
fn versioned(repo: &TestRepo) -> String {
    let said = repo.git(["datamon", "show", "--json"]);
    let shown: Value = serde_json::from_str(said.text()).expect("JSON");
    shown["commit"].as_str().expect("a commit").to_owned()
}

fn a_plain_push_of_a_plain_clone_makes_a_version(machine: Machine) {
    let team = Team::pushed(machine);
    // The user of this machine made the store.
    let clone = team.env.clone_from(team.remote.dir(), "clone");
    assert!(hook(&clone).contains(OURS), "{}", hook(&clone));
    let commit = change(&clone, "second", &file("new.bin", 9, 40_000));
    clone.push("origin", "main");
    assert_eq!(versioned(&clone), commit);
    assert_eq!(clone.git(["status", "--porcelain"]).text(), "");

    // Somebody else has to trust it before anything can be pushed.
    let clone = team.clone_elsewhere(machine);
    assert!(!hook(&clone).contains(OURS), "{}", hook(&clone));
    clone.git(["datamon", "-q", "trust"]);
    assert!(hook(&clone).contains(OURS), "{}", hook(&clone));
    let commit = change(&clone, "third", &file("third.bin", 10, 40_000));
    clone.push("origin", "main");
    assert_eq!(versioned(&clone), commit);

    // Whoever trusts it by its name gets the hook with the first push, and the version with the next.
    let clone = team.clone_elsewhere(machine);
    trust(&clone);
    change(&clone, "fourth", &file("fourth.bin", 11, 40_000));
    clone.push("origin", "main");
    assert!(hook(&clone).contains(OURS), "{}", hook(&clone));
    let commit = change(&clone, "fifth", &file("fifth.bin", 12, 40_000));
    clone.push("origin", "main");
    assert_eq!(versioned(&clone), commit);
    team.assert_sound();
}

fn what_stands_in_the_way_stays(machine: Machine) {
    let team = Team::pushed(machine);
    let foreign = "#!/bin/sh\ncat >/dev/null\ngit lfs pre-push \"$@\" </dev/null\n";
    let template = team.env.root().join("template/hooks");
    fs::create_dir_all(&template).expect("made");
    fs::write(template.join("pre-push"), foreign).expect("written");
    fs::set_permissions(template.join("pre-push"), PermissionsExt::from_mode(0o755)).expect("set");
    let template = template.parent().expect("above").to_str().expect("plain").to_owned();
    run(team
        .env
        .command("git")
        .args(["clone", "-q", "--template", &template])
        .arg(team.remote.dir())
        .arg("foreign"));
    let clone = team.env.repo("foreign");
    assert_eq!(hook(&clone), foreign);
    assert_files(&clone, &files(1));

    // Hooks that all repositories share are nobody's to change but the user's.
    let everywhere = team.env.root().join("hooks");
    run(team.env.command("git").args(["config", "--global", "core.hooksPath"]).arg(&everywhere));
    let clone = team.env.clone_from(team.remote.dir(), "shared");
    assert!(!hook(&clone).contains(OURS) && !hook(&clone).contains("git-datamon"), "{}", hook(&clone));
    let written = fs::read_to_string(everywhere.join("pre-push")).unwrap_or_default();
    assert!(!written.contains(OURS), "{written}");
}

#[test]
fn a_clone_that_left_gets_no_hook_again() {
    let team = Team::pushed(first);
    let clone = team.env.clone_from(team.remote.dir(), "clone");
    clone.git(["datamon", "leave", "--to", team.remote.dir().to_str().expect("plain")]);
    assert!(!hook(&clone).contains(OURS), "{}", hook(&clone));
    clone.commit("left");
    clone.git(["checkout", "-q", "HEAD~1"]);
    let _ = fs::remove_dir_all(clone.dir().join(".git/lfs/objects"));
    clone.git(["lfs", "pull"]);
    assert!(!hook(&clone).contains(OURS), "{}", hook(&clone));
}

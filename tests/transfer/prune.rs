//! Room on this machine: what the store is proven to have may go, and nothing else does.

use std::fs;
use std::path::PathBuf;

use datamon_test_support::seeded_bytes;
use serde_json::Value;

use super::{Machine, Team, datamon, each_git_lfs, file, first, oid};

const SIZE: usize = 60_000;

fn prune(team: &Team, options: &[&str]) -> Value {
    let args = [&["datamon", "prune", "--json"], options].concat();
    serde_json::from_str(team.repo.git(args).text()).expect("JSON")
}

/// The same, where the store is found damaged.
fn alarmed(team: &Team, options: &[&str]) -> Value {
    let said = datamon(&team.repo, &[&["prune", "--json"], options].concat(), 4);
    serde_json::from_str(&said[..=said.rfind('}').expect("an object")]).expect("JSON")
}

fn object(team: &Team, seed: u64) -> PathBuf {
    team.object_path(&oid(&seeded_bytes(seed, SIZE)))
}

fn here(team: &Team) -> Vec<u64> {
    (1..10).filter(|seed| object(team, *seed).exists()).collect()
}

/// Two versions that were pushed, and the second is checked out.
fn pushed(machine: Machine) -> Team {
    let team = Team::new(machine);
    for seed in 1..=2 {
        team.change(&format!("number {seed}"), &file("data.bin", seed, SIZE));
        team.repo.push("origin", "main");
    }
    team
}

fn what_the_store_has_goes_and_what_is_worked_on_stays(machine: Machine) {
    let team = pushed(machine);
    // Not pushed, on a branch; never pushed, and on none.
    team.repo.git(["checkout", "-q", "-b", "mine"]);
    team.change("mine", &file("data.bin", 3, SIZE));
    team.repo.git(["checkout", "-q", "main"]);
    team.change("given up", &file("data.bin", 4, SIZE));
    team.repo.git(["reset", "-q", "--hard", "HEAD~"]);
    // Stashed, staged, and staged in another work tree.
    team.repo.write("data.bin", seeded_bytes(5, SIZE));
    team.repo.git(["stash", "-q"]);
    team.repo.write("other.bin", seeded_bytes(6, SIZE));
    team.repo.git(["add", "other.bin"]);
    let linked = team.env.root().join("linked");
    team.repo.git(["worktree", "add", "-q", "--detach", linked.to_str().expect("plain")]);
    fs::write(linked.join("there.bin"), seeded_bytes(7, SIZE)).expect("written");
    team.repo.git(["-C", linked.to_str().expect("plain"), "add", "there.bin"]);
    assert_eq!(here(&team), [1, 2, 3, 4, 5, 6, 7]);

    let planned = prune(&team, &["--dry-run"]);
    assert_eq!(planned["removed"], serde_json::json!({ "count": 1, "bytes": SIZE }), "{planned}");
    assert_eq!(planned["wanted"]["count"], 5, "{planned}");
    assert_eq!(planned["unproven"].as_array().map(Vec::len), Some(1), "{planned}");
    assert_eq!(planned["unproven"][0]["why"], "the store does not have it");
    assert_eq!(here(&team), [1, 2, 3, 4, 5, 6, 7], "nothing went");

    assert_eq!(prune(&team, &["--verify"])["removed"]["count"], 1);
    assert_eq!(here(&team), [2, 3, 4, 5, 6, 7]);
    assert_eq!(prune(&team, &[])["removed"]["count"], 0);
    let said = team.repo.git(["datamon", "prune"]);
    assert!(said.text().contains("unproven  1 objects"), "{}", said.text());
    // What went comes back when it is wanted.
    team.repo.git(["checkout", "-q", "main~"]);
    assert_eq!(team.repo.read("data.bin"), seeded_bytes(1, SIZE));
}

each_git_lfs!(what_the_store_has_goes_and_what_is_worked_on_stays);

#[test]
fn what_the_store_lost_or_cannot_give_back_stays_here() {
    let team = pushed(first);
    let mut packs: Vec<PathBuf> = Vec::new();
    for folder in fs::read_dir(team.store.join("data")).expect("there") {
        let folder = folder.expect("listed").path();
        packs.extend(fs::read_dir(folder).expect("there").map(|it| it.expect("listed").path()));
    }
    let whole: Vec<Vec<u8>> = packs.iter().map(|path| fs::read(path).expect("there")).collect();
    let each = |change: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        for (path, bytes) in packs.iter().zip(&whole) {
            let _ = fs::remove_file(path);
            if let Some(bytes) = change(bytes) {
                fs::write(path, bytes).expect("written");
            }
        }
    };
    each(&|_| None);
    let told = alarmed(&team, &[]);
    assert_eq!((&told["removed"]["count"], here(&team)), (&0.into(), vec![1, 2]), "{told}");
    assert!(told["unproven"][0]["why"].as_str().expect("why").contains("damaged or gone"), "{told}");
    each(&|bytes| Some(bytes[..bytes.len() - 1].to_vec()));
    assert_eq!((&alarmed(&team, &[])["removed"]["count"], here(&team)), (&0.into(), vec![1, 2]));
    // Of the right size, and not the right bytes.
    each(&|bytes| Some(bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 1000)).collect()));
    let told = alarmed(&team, &["--verify"]);
    assert_eq!((&told["removed"]["count"], here(&team)), (&0.into(), vec![1, 2]), "{told}");
    assert_eq!(told["unproven"][0]["damaged"], true, "{told}");
    // Who does not read back goes by what was read before: what is here may be the last copy.
    let said = datamon(&team.repo, &["prune"], 4);
    assert!(said.contains("removed   0 objects") && said.contains("git datamon repair"), "{said}");
    assert!(!said.contains("by hand") && here(&team) == [1, 2], "{said}");
    datamon(&team.repo, &["repair", "--data"], 0);
    assert_eq!((&prune(&team, &["--verify"])["removed"]["count"], here(&team)), (&1.into(), vec![2]));
}

/// An object that was dropped from the dataset, and one of which the store promises another length.
#[test]
fn what_nobody_promises_any_more_stays_here() {
    let team = pushed(first);
    let object = object(&team, 1);
    fs::write(&object, b"cut off").expect("written");
    let told = prune(&team, &[]);
    assert_eq!(told["removed"]["count"], 0, "{told}");
    assert!(told["unproven"][0]["why"].as_str().expect("why").contains("7 here"), "{told}");
    fs::write(&object, seeded_bytes(1, SIZE)).expect("written");
    team.repo.git(["datamon", "squash", "--keep-last", "1", "--force", "--apply"]);
    let told = prune(&team, &[]);
    assert_eq!((&told["removed"]["count"], here(&team)), (&0.into(), vec![1, 2]), "{told}");
    assert_eq!(told["unproven"][0]["why"], "the store does not have it", "{told}");
}

//! The real agent killed in the middle of a real push and a real clone: what is there is sound, and doing it again is enough.
//!
//! The moment is a fact about the world (the n-th pack lies in the store, a file is on its way), polled for, not a time. An
//! agent may be faster than the poll: each point says whether it was hit, and at least one must be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use datamon_test_support::{Hermetic, seeded_bytes};

use super::{Team, assert_files, file, first, leftovers, objects};

/// Agents of this machine: processes with `lfs-agent` on their command line whose HOME is ours.
fn agents(env: &Hermetic) -> Vec<u32> {
    let home = format!("HOME={}", env.home().display());
    let has = |path: String, words: &str| {
        fs::read(path).is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|word| word == words.as_bytes()))
    };
    let processes = fs::read_dir("/proc").expect("this test needs /proc");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        has(format!("/proc/{pid}/cmdline"), "lfs-agent") && has(format!("/proc/{pid}/environ"), &home)
    })
    .collect()
}

/// Run git until `reached`, then kill every agent. `true` if an agent was killed before git ended.
fn kill_at(env: &Hermetic, dir: &Path, args: &[&str], reached: impl Fn() -> bool) -> bool {
    let mut git = env.command("git");
    let mut git =
        git.current_dir(dir).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git");
    let mut killed = false;
    while git.try_wait().expect("a child").is_none() {
        if reached() {
            for pid in agents(env) {
                let done = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
                killed |= done.is_ok_and(|status| status.success());
            }
            if killed {
                break;
            }
        }
        std::thread::yield_now();
    }
    let _ = git.wait();
    killed
}

fn packs(store: &Path) -> usize {
    objects(store).keys().filter(|name| name.starts_with("data/") && !name.contains('#')).count()
}

/// Three packs' worth of noise.
fn large() -> BTreeMap<String, Vec<u8>> {
    let mut files = file("a.bin", 1, 50 << 20);
    files.extend(file("b.bin", 2, 40 << 20));
    files.extend((0..50).map(|n| (format!("s/{n}.bin"), seeded_bytes(100 + n, 20_000))));
    files
}

#[test]
fn a_push_killed_anywhere_is_completed_by_the_next() {
    let mut hits = 0;
    for wanted in 0..3 {
        let team = Team::new(first);
        team.change("large", &large());
        // Without the hook, git-lfs's agent carries it all.
        team.repo.git(["config", "datamon.prePush", "off"]);
        let reached = || packs(&team.store) >= wanted;
        let args = ["push", "-q", "origin", "main"];
        hits += usize::from(kill_at(&team.env, team.repo.dir(), &args, reached));
        team.repo.git(["datamon", "fsck", "--data"]);
        team.repo.push("origin", "main");
        assert_files(&team.clone_elsewhere(first), &large());
        team.repo.git(["datamon", "fsck", "--data"]);
    }
    assert!(hits > 0, "no agent was ever killed: the test proves nothing");
}

#[test]
fn a_clone_killed_on_its_way_is_completed_by_a_pull() {
    let team = Team::new(first);
    team.change("large", &large());
    team.repo.push("origin", "main");
    let env = first();
    let remote = team.remote.dir().to_str().expect("plain");
    let clone = env.work().join("clone");
    let lfs = clone.join(".git/lfs");
    let under_way =
        || leftovers(&lfs).iter().any(|dir| fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some()));
    let killed = kill_at(&env, &env.work(), &["clone", "-q", remote, "clone"], under_way);
    assert!(killed, "the agent was never killed: the test proves nothing");
    let clone = env.repo("clone");
    clone.git(["restore", "--source=HEAD", "--staged", "--worktree", ":/"]);
    assert_files(&clone, &large());
    clone.git(["lfs", "fsck"]);
    // What the dead agent left went when the next one began.
    super::assert_clean(&clone);
}

//! Who asks: the command line of the git-lfs that started this agent.
//!
//! The protocol does not say what is being pushed. For `git lfs push --all` everything in the history will be asked for, one
//! object after the other; known beforehand, it is one ingest. Where processes cannot be looked at, the push is only slower.

use std::fs;

/// Whether the git-lfs above this process runs `push --all`.
pub fn pushes_all() -> bool {
    let mut pid = std::process::id();
    // A shell stands between git-lfs and its agent.
    for _ in 0..3 {
        let Some(parent) = parent_of(pid) else { return false };
        let words = command_line(parent);
        let mut words = words.iter().map(String::as_str);
        let program = words.next().unwrap_or_default();
        if program.rsplit('/').next() == Some("git-lfs") {
            // With refs named beside the remote, `--all` is about those refs only.
            let words: Vec<&str> = words.collect();
            let named = words.iter().skip(1).filter(|word| !word.starts_with('-')).count();
            return words.first() == Some(&"push") && words.contains(&"--all") && named <= 1;
        }
        pid = parent;
    }
    false
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn command_line(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

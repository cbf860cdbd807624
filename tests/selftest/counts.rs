//! The counts of long runs, which `tests/counts.sh` keeps beside the page that speaks of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use datamon_test_support::run;
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counts.sh");

fn counts(folder: &TempDir, verb: &str) -> String {
    let mut command = Command::new("sh");
    command.arg(SCRIPT).arg(verb).env("DATAMON_COUNTS", folder.path().join("kept"));
    run(command.env("CARGO_TARGET_DIR", folder.path().join("target"))).stderr
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder"))
        .and_then(|()| fs::write(path, text))
        .expect("written");
}

#[test]
fn what_long_runs_counted_is_kept_once_and_gone_on_with() {
    let folder = tempfile::tempdir().expect("a directory");
    let (target, kept) = (folder.path().join("target"), folder.path().join("kept"));
    let is_kept =
        |name: &str, text: &str| assert_eq!(fs::read_to_string(kept.join(name)).expect("kept"), text);
    let seeds = |n: u64| format!("{{\n  \"next\": {n},\n  \"seeds\": {n}\n}}");
    write(&target.join("tmp/kills-verbs.tsv"), "push\t3\ngc run\t2\n");
    write(&target.join("tmp/schedules.tsv"), "schedules\t40\n");
    write(&target.join("selftest.json"), &seeds(7));
    assert_eq!(counts(&folder, "keep"), "");
    // Nothing came since.
    counts(&folder, "keep");
    is_kept("kills-verbs.tsv", "gc run\t2\npush\t3\n");
    write(&target.join("tmp/kills-verbs.tsv"), "push\t1\nstore move\t5\n");
    counts(&folder, "keep");
    is_kept("kills-verbs.tsv", "gc run\t2\npush\t4\nstore move\t5\n");
    is_kept("schedules.tsv", "schedules\t40\n");

    // What another machine began anew is not taken for what was kept; what goes on from there is.
    fs::remove_dir_all(&target).expect("there");
    write(&target.join("tmp/schedules.tsv"), "schedules\t4\n");
    write(&target.join("selftest.json"), &seeds(2));
    let said = counts(&folder, "keep");
    assert_eq!(said.matches("is left alone").count(), 2, "{said}");
    fs::remove_dir_all(&target).expect("there");
    counts(&folder, "begin");
    assert_eq!(fs::read_to_string(target.join("tmp/schedules.tsv")).expect("copied"), "schedules\t40\n");
    write(&target.join("tmp/schedules.tsv"), "schedules\t50\n");
    write(&target.join("selftest.json"), &seeds(9));
    assert_eq!(counts(&folder, "keep"), "");
    is_kept("schedules.tsv", "schedules\t50\n");
    is_kept("selftest.json", &seeds(9));
}

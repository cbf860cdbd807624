//! `git datamon checkout` and `pull`, which go round git-lfs: what they write, what they leave alone, what they refuse.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use datamon_test_support::{Hermetic, TestRepo, run, run_failing, seeded_bytes};

use super::beside::assert_settled;
use super::{
    Machine, Team, assert_clean, assert_files, each_git_lfs, file, files, first, git_fails, git_with, oid,
};

each_git_lfs!(
    a_switch_is_what_git_would_do,
    a_pull_merges_beside_local_edits,
    files_with_an_ident_come_whole,
);

/// Versions 1 and 2 of the files, on `main` and labelled, and a branch `side` with another.
fn history(machine: Machine) -> Team {
    let team = Team::new(machine);
    for (n, branch) in [(1, "main"), (2, "main"), (3, "side")] {
        if branch == "side" {
            team.repo.git(["checkout", "--quiet", "-b", "side", "HEAD~1"]);
        }
        for (path, bytes) in files(n) {
            team.repo.write(&path, bytes);
        }
        team.repo.git(["datamon", "-q", "commit", "-m", "next", "--label", &format!("v{n}"), "."]);
    }
    team.repo.git(["checkout", "--quiet", "main"]);
    team.repo.git(["push", "--quiet", "origin", "main", "side"]);
    team
}

fn cloned(team: &Team, machine: Machine) -> TestRepo {
    let env = machine();
    run(env.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("clone"));
    env.repo("clone")
}

fn is_pointer(repo: &TestRepo, path: &str) -> bool {
    repo.read(path).starts_with(b"version https://git-lfs")
}

fn a_switch_is_what_git_would_do(machine: Machine) {
    let team = history(machine);
    let clone = cloned(&team, machine);
    for (version, n, branch) in
        [("side", 3, "side"), ("v1", 1, ""), ("-", 3, "side"), ("main", 2, "main"), ("HEAD~1", 1, "")]
    {
        clone.git(["datamon", "-q", "checkout", version]);
        assert_settled(&clone);
        assert_files(&clone, &files(n));
        assert_eq!(clone.git(["branch", "--show-current"]).text(), branch, "{version}");
    }
    assert_eq!(clone.git(["reflog", "HEAD"]).lines().len(), 6);
    assert_eq!(clone.git(["config", "branch.side.merge"]).text(), "refs/heads/side");
    assert_eq!(clone.lfs_objects().len(), 0);
    assert_clean(&clone);
    for (version, why) in [("v9", "nothing in repo"), ("--orphan", "unexpected argument")] {
        assert!(git_fails(&clone, &["datamon", "checkout", version]).contains(why), "{version}");
    }
    clone.git(["fsck"]);
}

fn a_pull_merges_beside_local_edits(machine: Machine) {
    let team = history(machine);
    let clone = cloned(&team, machine);
    team.repo.write("large.bin", seeded_bytes(90, 700_000));
    team.repo.write("small/new.bin", seeded_bytes(91, 7_000));
    team.repo.git(["datamon", "-q", "commit", "-m", "next", "."]);
    team.repo.push("origin", "main");

    clone.write("text.bin", "edited");
    clone.git(["datamon", "-q", "pull"]);
    assert_eq!(clone.git(["status", "--porcelain"]).text().trim(), "M text.bin");
    assert!(clone.read("large.bin") == seeded_bytes(90, 700_000));
    // A rebase that puts edits aside stores no big file in git.
    team.repo.write("text.bin", seeded_bytes(92, 80_000));
    team.repo.git(["datamon", "-q", "commit", "-m", "next"]);
    team.repo.push("origin", "main");
    clone.git(["config", "pull.rebase", "true"]);
    clone.git(["config", "rebase.autoStash", "true"]);
    clone.write("text.bin", fs::read(clone.dir().join("text.bin")).expect("there"));
    clone.write("again/large.bin", seeded_bytes(93, 600_000));
    clone.git(["checkout", "--quiet", "text.bin"]);
    clone.git(["datamon", "-q", "pull"]);
    assert_eq!(clone.git(["status", "--porcelain"]).text().trim(), "M again/large.bin");
    assert!(clone.read("again/large.bin") == seeded_bytes(93, 600_000));
    assert!(clone.read("text.bin") == seeded_bytes(92, 80_000));
    let sizes = clone.git(["cat-file", "--batch-all-objects", "--batch-check=%(objectsize)"]);
    let largest = sizes.lines().iter().map(|line| line.parse::<u64>().expect("a size")).max();
    assert!(largest < Some(10_000), "{largest:?}");

    // Edits in the way are kept, and git says so.
    team.repo.write("large.bin", "other");
    team.repo.git(["datamon", "-q", "commit", "-m", "next"]);
    team.repo.push("origin", "main");
    clone.git(["config", "rebase.autoStash", "false"]);
    clone.git(["config", "pull.rebase", "false"]);
    clone.write("large.bin", "mine");
    assert!(git_fails(&clone, &["datamon", "-q", "pull"]).contains("would be overwritten"));
    assert_eq!(clone.read("large.bin"), b"mine");
}

#[test]
fn a_merge_that_puts_edits_aside_brings_them_back_whole() {
    let team = history(first);
    let clone = cloned(&team, first);
    team.repo.write("text.bin", seeded_bytes(92, 80_000));
    team.repo.git(["datamon", "-q", "commit", "-m", "next"]);
    team.repo.push("origin", "main");
    clone.git(["config", "branch.main.mergeOptions", "--autostash"]);
    clone.write("large.bin", seeded_bytes(93, 600_000));
    clone.git(["datamon", "-q", "pull"]);
    assert!(clone.read("large.bin") == seeded_bytes(93, 600_000));
    assert!(clone.read("text.bin") == seeded_bytes(92, 80_000));
    assert_eq!(clone.git(["status", "--porcelain"]).text().trim(), "M large.bin");
}

#[test]
fn local_edits_are_overwritten_by_force_only() {
    let team = history(first);
    let clone = cloned(&team, first);
    clone.write("large.bin", "edited");
    let head = clone.head();
    let said = git_fails(&clone, &["datamon", "checkout", "side"]);
    assert!(said.contains("would be overwritten") && said.contains("large.bin"), "{said}");
    assert!(
        git_fails(&clone, &["datamon", "checkout", "v1", "--", "large.bin"]).contains("1 files have local")
    );
    assert!(git_fails(&clone, &["datamon", "checkout", "--", "large.bin"]).contains("large.bin"));
    assert_eq!((clone.head(), clone.read("large.bin")), (head, b"edited".to_vec()));
    clone.git(["datamon", "-q", "checkout", "v1", "--", "text.bin"]);
    assert!(clone.read("text.bin") == files(1)["text.bin"]);
    assert_eq!(clone.git(["status", "--porcelain"]).text().trim(), "M large.bin\nM  text.bin");
    clone.git(["datamon", "-q", "checkout", "--force", "--", "large.bin"]);
    assert!(clone.read("large.bin") == files(2)["large.bin"]);
    clone.write("large.bin", "edited");
    clone.git(["datamon", "-q", "checkout", "--force", "side"]);
    assert_settled(&clone);
    assert_files(&clone, &files(3));
    // What was only touched is no edit.
    clone.write("large.bin", seeded_bytes(3, 1_500_000));
    clone.git(["datamon", "-q", "checkout", "main"]);
    assert_files(&clone, &files(2));
}

#[test]
fn what_git_does_not_track_is_overwritten_by_force_only() {
    let team = history(first);
    let repo = &team.repo;
    repo.git(["checkout", "--quiet", "side"]);
    for path in ["new.bin", "new.txt", "dir/new.bin", "was/dir.txt"] {
        repo.write(path, seeded_bytes(98, 2_000));
    }
    repo.git(["datamon", "-q", "commit", "-m", "new", "."]);
    repo.git(["datamon", "-q", "checkout", "main"]);
    for path in ["new.bin", "new.txt", "dir/new.bin", "was"] {
        repo.write(path, "precious");
        // The file itself, and what holds it.
        for named in [path, path.split('/').next().expect("a first part"), "."] {
            let said = git_fails(repo, &["datamon", "checkout", "side", "--", named]);
            assert!(said.contains("1 files") && said.contains(path) && said.contains("--force"), "{said}");
        }
        assert_eq!(repo.read(path), b"precious", "{path}");
        fs::remove_file(repo.dir().join(path)).expect("there");
    }
    repo.write("new.bin", "precious");
    repo.git(["datamon", "-q", "checkout", "side", "--", "dir", "new.txt"]);
    assert_eq!(repo.read("new.bin"), b"precious");
    repo.git(["datamon", "-q", "checkout", "--force", "side", "--", "new.bin"]);
    for path in ["new.bin", "new.txt", "dir/new.bin"] {
        assert!(repo.read(path) == seeded_bytes(98, 2_000), "{path}");
    }
}

#[test]
fn a_version_goes_elsewhere_or_comes_in_part() {
    let team = history(first);
    let clone = cloned(&team, first);
    let head = clone.head();
    clone.git(["datamon", "-q", "checkout", "v1", "--dest", "../out"]);
    for (path, bytes) in files(1) {
        assert!(fs::read(clone.env().work().join("out").join(&path)).expect("there") == bytes, "{path}");
    }
    assert!(!clone.env().work().join("out/.git").exists());
    assert_eq!(clone.head(), head);
    assert_settled(&clone);
    let again = git_fails(&clone, &["datamon", "-q", "checkout", "v1", "--dest", "../out"]);
    assert!(again.contains("is not an empty directory"), "{again}");

    clone.git(["datamon", "-q", "checkout", "side", "--paths", "small"]);
    assert!(is_pointer(&clone, "large.bin"));
    assert!(clone.read("small/1 ä.bin") == files(3)["small/1 ä.bin"]);
    assert_settled(&clone);
    clone.git(["datamon", "-q", "checkout"]);
    assert_files(&clone, &files(3));
    assert_settled(&clone);
}

#[test]
fn a_version_whose_data_is_elsewhere_is_refused_before_anything_changes() {
    let team = history(first);
    let clone = cloned(&team, first);
    team.repo.git(["checkout", "--quiet", "-b", "lonely"]);
    team.change("not sent", &file("large.bin", 99, 300_000));
    git_with(&team.repo, &[("GIT_LFS_SKIP_PUSH", "1")], &["push", "--quiet", "origin", "lonely"]);
    clone.git(["fetch", "--quiet"]);
    let head = clone.head();
    let said = git_fails(&clone, &["datamon", "checkout", "lonely"]);
    assert!(said.contains("neither here nor in the store, large.bin first"), "{said}");
    assert_eq!(clone.head(), head);
    assert_files(&clone, &files(2));
}

#[test]
fn nothing_is_written_behind_a_link() {
    let team = history(first);
    let env = first();
    run(env.command("git").args(["datamon", "-q", "clone", "--no-data"]).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    let outside = env.work().join("outside");
    fs::rename(clone.dir().join("small"), &outside).expect("there");
    symlink(&outside, clone.dir().join("small")).expect("made");
    clone.git(["datamon", "-q", "pull", "--data-only"]);
    assert!(clone.read("large.bin") == files(2)["large.bin"]);
    let text = fs::read(outside.join("1 ä.bin")).expect("there");
    assert!(text.starts_with(b"version https://git-lfs"), "it was written through the link");
}

#[test]
fn nothing_is_taken_from_behind_a_link() {
    let team = history(first);
    let outside = team.env.work().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("1 ä.bin"), seeded_bytes(97, 6_666)).expect("written");
    fs::remove_dir_all(team.repo.dir().join("small")).expect("there");
    symlink(&outside, team.repo.dir().join("small")).expect("made");
    team.repo.git(["datamon", "-q", "commit", "-m", "gone"]);
    let tree = team.repo.git(["ls-tree", "-r", "--name-only", "HEAD"]);
    assert!(!tree.text().contains("small/"), "{}", tree.text());
    let oid = oid(&seeded_bytes(97, 6_666));
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 6666\n");
    team.repo.write("pointer.bin", pointer);
    team.repo.add(".");
    team.repo.commit("a pointer to nothing");
    let said = git_fails(&team.repo, &["datamon", "status", "--json"]);
    let said: serde_json::Value = serde_json::from_str(said.trim()).expect("JSON");
    assert_eq!(said["missing"][0]["path"], "pointer.bin", "the store has it: {said}");
}

/// A machine with a program between each file and its pointer.
fn swapping() -> Hermetic {
    let env = first();
    for (key, value) in [("clean", "tr ab ba"), ("smudge", "tr ab ba"), ("priority", "0")] {
        run(env.command("git").args(["config", "--global", &format!("lfs.extension.swap.{key}"), value]));
    }
    env
}

#[test]
fn what_other_programs_make_of_files_git_writes() {
    let team = history(swapping);
    let clone = cloned(&team, swapping);
    assert_files(&clone, &files(2));
    clone.git(["datamon", "-q", "checkout", "side"]);
    assert_files(&clone, &files(3));
    clone.git(["datamon", "-q", "checkout", "main", "--dest", "../out"]);
    assert!(fs::read(clone.env().work().join("out/text.bin")).expect("there") == files(2)["text.bin"]);

    let env = swapping();
    let words = ["datamon", "-q", "clone", "--paths", "text.bin"];
    run(env.command("git").args(words).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    assert!(clone.read("text.bin") == files(2)["text.bin"]);
    assert!(is_pointer(&clone, "large.bin"));
}

fn files_with_an_ident_come_whole(machine: Machine) {
    let team = Team::new(machine);
    team.repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs ident -text\n");
    for n in [1, 2] {
        for (path, bytes) in files(n) {
            team.repo.write(&path, bytes);
        }
        team.repo.git(["datamon", "-q", "commit", "-m", "next", "."]);
    }
    team.repo.push("origin", "main");
    team.repo.git(["datamon", "-q", "checkout", "HEAD~1"]);
    assert_files(&team.repo, &files(1));
    let clone = cloned(&team, machine);
    assert_files(&clone, &files(2));

    // Who has no git-lfs is told.
    let env = machine();
    run(env.command("git").args(["config", "--global", "--remove-section", "filter.lfs"]));
    let clone = env.command("git").args(["datamon", "clone"]).arg(team.remote.dir()).arg("clone").output();
    let clone = clone.expect("run");
    let said = String::from_utf8_lossy(&clone.stderr);
    assert_eq!(clone.status.code(), Some(2), "{said}");
    assert!(said.contains("still are pointers") && said.contains("git datamon install"), "{said}");
    let clone = env.repo("clone");
    run(env.command("git").args(["datamon", "-q", "install"]));
    let away = team.store.with_extension("away");
    fs::rename(&team.store, &away).expect("there");
    let said = git_fails(&clone, &["datamon", "pull", "--data-only"]);
    assert!(said.contains("11 files") && said.contains("again/large.bin first"), "{said}");
    assert!(clone.git(["ls-files", "--deleted"]).text().is_empty() && is_pointer(&clone, "again/large.bin"));
    fs::rename(&away, &team.store).expect("there");
    clone.git(["datamon", "-q", "pull", "--data-only"]);
    assert_files(&clone, &files(2));
}

#[test]
fn hooks_of_the_user_find_the_filter_in_place() {
    let team = history(first);
    let clone = cloned(&team, first);
    let hook = clone.dir().join(".git/hooks/post-checkout");
    fs::write(&hook, "#!/bin/sh\nseq 5000 >made.bin\ngit add made.bin\n").expect("written");
    fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).expect("set");
    clone.git(["datamon", "-q", "checkout", "side"]);
    assert!(clone.git(["show", ":made.bin"]).text().starts_with("version https://git-lfs"));
    assert!(clone.read("large.bin") == files(3)["large.bin"]);
}

#[test]
fn work_trees_and_submodules_are_repositories_too() {
    let team = history(first);
    let clone = cloned(&team, first);
    super::trust(&clone);
    git_with(&clone, &[("GIT_LFS_SKIP_SMUDGE", "1")], &["worktree", "add", "-q", "../linked", "side"]);
    let linked = clone.env().repo("linked");
    linked.git(["datamon", "-q", "pull", "--data-only"]);
    assert_files(&linked, &files(3));
    assert_settled(&linked);
    linked.write("large.bin", seeded_bytes(95, 50_000));
    linked.git(["datamon", "-q", "commit", "-m", "linked"]);
    linked.git(["datamon", "-q", "checkout", "HEAD~1"]);
    assert_files(&linked, &files(3));
    assert_clean(&clone);

    let env: &Hermetic = clone.env();
    let outer = env.init("outer");
    git_with(
        &outer,
        &[("GIT_LFS_SKIP_SMUDGE", "1")],
        &["submodule", "--quiet", "add", "--", team.remote.dir().to_str().expect("plain"), "sub"],
    );
    let sub = env.repo("outer/sub");
    sub.git(["datamon", "-q", "pull", "--data-only"]);
    assert_files(&sub, &files(2));
    assert_settled(&sub);
    sub.write("large.bin", seeded_bytes(96, 50_000));
    sub.git(["datamon", "-q", "commit", "--no-upload", "-m", "in the submodule"]);
    assert_settled(&sub);
}

#[test]
fn a_sparse_or_partial_clone_gets_what_it_shows() {
    let team = history(first);
    for key in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
        team.remote.git(["config", key, "true"]);
    }
    let env = first();
    for (name, sparse_index) in [("sparse", "--no-sparse-index"), ("indexed", "--sparse-index")] {
        let url = format!("file://{}", team.remote.dir().display());
        let words = ["clone", "-q", "--filter=blob:none", "--no-checkout", &url, name];
        run(env.command("git").args(words));
        let clone = env.repo(name);
        clone.git(["sparse-checkout", "set", "--cone", sparse_index, "small"]);
        clone.git(["datamon", "-q", "checkout", "main"]);
        assert!(clone.read("small/1 ä.bin") == files(2)["small/1 ä.bin"]);
        assert!(!clone.dir().join("again").exists());
        assert_settled(&clone);
        clone.git(["datamon", "-q", "checkout", "side"]);
        assert!(clone.read("small/1 ä.bin") == files(3)["small/1 ä.bin"]);
        super::trust(&clone);
        clone.write("small/1 ä.bin", "changed");
        clone.git(["datamon", "-q", "commit", "-m", "in the cone"]);
        assert_settled(&clone);
        assert!(!clone.dir().join("again").exists());
        let tree = clone.git(["ls-tree", "-r", "--name-only", "HEAD"]);
        assert!(tree.lines().contains(&"again/large.bin"), "{}", tree.text());
        clone.git(["fsck"]);
    }
}

#[test]
fn a_bare_repository_says_what_to_do() {
    let team = history(first);
    let said = run_failing(
        team.env.command("git").current_dir(team.remote.dir()).args(["datamon", "checkout", "main"]),
    );
    assert!(said.stderr.contains("--dest"), "{}", said.stderr);
}

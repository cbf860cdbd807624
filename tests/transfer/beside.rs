//! `git datamon commit` and `clone`, which go round git-lfs: nobody can tell the result from that of `git` with git-lfs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use datamon_test_support::{Hermetic, TestRepo, run, run_failing, seeded_bytes};

use super::{
    Machine, Team, assert_clean, assert_files, each_git_lfs, file, files, first, git_fails, git_with,
    line_with, oid,
};

each_git_lfs!(
    a_commit_is_what_git_would_make,
    a_clone_is_what_git_would_make,
    a_commit_without_the_store_goes_up_with_the_next_push,
    a_clone_that_keeps_no_objects_pushes_and_goes_back,
);

/// Git finds nothing changed, and asks no filter to find that.
#[track_caller]
pub fn assert_settled(repo: &TestRepo) {
    let status = git_with(repo, &[("GIT_TRACE", "1")], &["status", "--porcelain"]);
    assert_eq!(status.text(), "");
    assert!(!status.stderr.contains("git-lfs"), "{}", status.stderr);
}

fn mode(repo: &TestRepo, path: &str, mode: u32) {
    fs::set_permissions(repo.dir().join(path), PermissionsExt::from_mode(mode)).expect("its own file");
}

/// Everything that attributes, modes and names can do to a path.
fn odd_files(repo: &TestRepo) {
    for (path, bytes) in files(1) {
        repo.write(&path, bytes);
    }
    repo.write("run.bin", seeded_bytes(7, 40_000));
    mode(repo, "run.bin", 0o755);
    repo.write("run.sh", "#!/bin/sh\n");
    mode(repo, "run.sh", 0o755);
    symlink("large.bin", repo.dir().join("link.bin")).expect("a new link");
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n", oid(b"12345"));
    repo.write("pointer.bin", pointer);
    repo.write("12345.bin", "12345");
    repo.write("nested/.gitattributes", "*.bin -filter -text\n*.dat filter=lfs diff=lfs merge=lfs -text\n");
    repo.write("nested/plain.bin", seeded_bytes(8, 5_000));
    repo.write("nested/big.dat", seeded_bytes(9, 50_000));
    repo.write(
        ".gitattributes",
        "*.bin filter=lfs diff=lfs merge=lfs -text\n*.crlf text eol=crlf\n*.id ident\n*.txt text=auto\n\
         *.u16 text working-tree-encoding=UTF-16LE\nmixed.bin text eol=crlf\n",
    );
    repo.write("a.crlf", "one\r\ntwo\r\n");
    repo.write("a.id", "$Id$\n");
    repo.write("a.txt", "one\r\ntwo\n");
    repo.write("a.u16", "h\0i\0\n\0");
    repo.write("mixed.bin", seeded_bytes(10, 9_000));
    repo.write("odd \"name\" \\ *?[x] ü.bin", seeded_bytes(11, 1_000));
    repo.write("ignored.bin", seeded_bytes(12, 1_000));
    repo.write(".gitignore", "ignored.bin\n");
}

fn tree(repo: &TestRepo) -> String {
    repo.git(["rev-parse", "HEAD^{tree}"]).text().to_owned()
}

fn a_commit_is_what_git_would_make(machine: Machine) {
    let team = Team::new(machine);
    let other = team.env.clone_from(team.repo.dir(), "other");
    odd_files(&team.repo);
    odd_files(&other);
    other.add(".");
    other.commit("first");
    team.repo.git(["config", "datamon.localObjects", "keep"]);
    team.repo.git(["datamon", "commit", "-m", "first", "."]);
    assert_settled(&team.repo);
    assert_eq!(tree(&team.repo), tree(&other));
    let index = |repo: &TestRepo| repo.git(["ls-files", "--stage"]).text().to_owned();
    let listed = |repo: &TestRepo| repo.git(["lfs", "ls-files", "--long", "--size"]).text().to_owned();
    assert_eq!((index(&team.repo), listed(&team.repo)), (index(&other), listed(&other)));
    team.repo.git(["lfs", "fsck", "--objects"]);
    team.repo.git(["fsck", "--strict"]);

    // Changed, gone and new: without paths the new one stays.
    for repo in [&team.repo, &other] {
        repo.write("large.bin", seeded_bytes(20, 1_400_000));
        repo.write("readme.txt", "other\n");
        fs::remove_file(repo.dir().join("text.bin")).expect("committed");
        mode(repo, "run.bin", 0o644);
        mode(repo, "12345.bin", 0o755);
        repo.write("new.bin", "new");
    }
    other.git(["commit", "--quiet", "--all", "-m", "second"]);
    team.repo.git(["datamon", "commit", "-m", "second"]);
    assert_eq!(tree(&team.repo), tree(&other));
    assert_eq!(team.repo.git(["status", "--porcelain"]).text(), "?? new.bin");
    // What git does next starts from the right tree.
    for repo in [&team.repo, &other] {
        repo.write("later.txt", "later");
        repo.add(".");
        repo.commit("third");
    }
    assert_eq!(tree(&team.repo), tree(&other));
    team.repo.git(["fsck", "--strict"]);
    assert_clean(&team.repo);
    team.repo.push("origin", "main");
    let wanted = BTreeMap::from([("large.bin".to_owned(), seeded_bytes(20, 1_400_000))]);
    assert_files(&team.clone_elsewhere(machine), &wanted);
}

fn a_clone_is_what_git_would_make(machine: Machine) {
    let team = Team::new(machine);
    odd_files(&team.repo);
    // Nobody has the bytes of this pointer.
    team.repo.write("pointer.bin", "no pointer");
    team.repo.git(["datamon", "commit", "-m", "first", "."]);
    team.repo.push("origin", "main");
    let plain = team.clone_elsewhere(machine);
    let env = machine();
    let said = run(env.command("git").args(["datamon", "clone"]).arg(team.remote.dir()));
    assert!(said.text().starts_with("fetched 17 files"), "{}", said.text());
    let ours = env.repo("remote");
    assert_settled(&ours);
    for path in plain.git(["ls-files", "-z"]).text().split('\0').filter(|path| !path.is_empty()) {
        let [a, b] = [&plain, &ours].map(|repo| repo.dir().join(path));
        assert_eq!(fs::read_link(&a).ok(), fs::read_link(&b).ok(), "{path}");
        assert!(fs::read(&a).expect("there") == fs::read(&b).expect("there"), "{path}");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&a), mode(&b), "{path}");
    }
    let listed = |repo: &TestRepo| repo.git(["lfs", "ls-files", "--long", "--size"]).text().to_owned();
    assert_eq!(listed(&ours), listed(&plain));
    assert_eq!(ours.lfs_objects().len(), 0, "no second copy");
    assert_clean(&ours);
    ours.git(["fsck"]);
    ours.git(["datamon", "fsck"]);
    // The next commit by git starts from the right index.
    for repo in [&ours, &plain] {
        repo.write("later.txt", "later");
        repo.add(".");
        repo.git(["commit", "--quiet", "-m", "later"]);
    }
    assert_eq!(tree(&ours), tree(&plain));

    let env = machine();
    run(env.command("git").args(["config", "--global", "datamon.localObjects", "keep"]));
    run(env.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("kept"));
    let kept = env.repo("kept");
    assert_settled(&kept);
    assert_eq!(kept.lfs_objects(), plain.lfs_objects());
    kept.git(["lfs", "fsck"]);
}

fn a_commit_without_the_store_goes_up_with_the_next_push(machine: Machine) {
    let team = Team::pushed(machine);
    let before = team.entries();
    let away = team.env.root().join("away");
    team.repo.write("one.bin", seeded_bytes(30, 100_000));
    team.repo.git(["datamon", "commit", "--no-upload", "-m", "kept back", "one.bin"]);
    fs::rename(&team.store, &away).expect("a directory of this test");
    team.repo.write("two.bin", seeded_bytes(31, 100_000));
    let said = team.repo.git(["datamon", "commit", "-m", "offline", "two.bin"]);
    line_with(&said.stderr, "the data stays on this machine");
    fs::rename(&away, &team.store).expect("a directory of this test");
    assert_settled(&team.repo);
    assert_eq!(team.entries(), before);
    team.repo.git(["lfs", "fsck"]);
    team.repo.git(["datamon", "push", "origin", "main"]);
    let mut wanted = file("one.bin", 30, 100_000);
    wanted.extend(file("two.bin", 31, 100_000));
    assert_files(&team.clone_elsewhere(machine), &wanted);
    team.assert_sound();
}

fn a_clone_that_keeps_no_objects_pushes_and_goes_back(machine: Machine) {
    let team = Team::pushed(machine);
    let env = machine();
    run(env.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    super::trust(&clone);
    clone.write("large.bin", seeded_bytes(40, 900_000));
    clone.git(["datamon", "commit", "-m", "next", "--label", "next"]);
    // The clock of these commits stands still: the amended commit is the one that it was.
    let before = clone.head();
    let mut amend = clone.env().command("git");
    let shown = clone.git(["log", "-1", "--format=%cD"]).text().to_owned();
    let amended = amend.current_dir(clone.dir()).env("GIT_COMMITTER_DATE", shown);
    run(amended.args(["datamon", "commit", "--amend", "-m", "next", "--label", "amended"]));
    assert_eq!(clone.head(), before);
    clone.git(["datamon", "label", "show", "amended"]);
    assert_eq!(clone.lfs_objects().len(), 0);
    clone.git(["push", "--quiet", "origin", "main"]);
    team.repo.git(["datamon", "-q", "pull"].iter().chain(&["origin", "main"]));
    assert_files(&team.repo, &file("large.bin", 40, 900_000));
    assert!(clone.git(["datamon", "show", "next"]).text().contains(&clone.head()));
    // Plain git gets from the store what is not here.
    clone.git(["checkout", "--quiet", "HEAD~1"]);
    assert_files(&clone, &files(1));
}

#[test]
fn a_commit_of_paths_takes_these_and_nothing_else() {
    let team = Team::pushed(first);
    let repo = &team.repo;
    repo.write("staged.txt", "staged");
    repo.write("staged.bin", "staged");
    repo.add("staged.txt");
    repo.add("staged.bin");
    repo.write("large.bin", seeded_bytes(50, 10_000));
    repo.write("text.bin", "not yet");
    repo.write("new/a.bin", "a");
    repo.write("new/b.txt", "b");
    fs::create_dir(repo.dir().join("sub")).expect("new");
    let here = team.env.repo("data/sub");
    here.git(["datamon", "commit", "-m", "some", "../new", "../large.bin"]);
    let changed = repo.git(["show", "--format=", "--name-only", "HEAD"]);
    assert_eq!(changed.lines(), ["large.bin", "new/a.bin", "new/b.txt"]);
    assert_eq!(
        repo.git(["status", "--porcelain"]).text().trim_start(),
        "A  staged.bin\nA  staged.txt\n M text.bin"
    );
    let parent = repo.git(["rev-parse", "HEAD~1"]).text().to_owned();
    repo.git(["datamon", "commit", "--amend", "-m", "amended", "text.bin"]);
    assert_eq!(repo.git(["rev-parse", "HEAD~1"]).text(), parent);
    let changed = repo.git(["show", "--format=%s", "--name-only", "HEAD"]);
    assert_eq!(changed.lines(), ["amended", "", "large.bin", "new/a.bin", "new/b.txt", "text.bin"]);
    repo.git(["fsck", "--strict"]);

    repo.write("ignored.o", "x");
    repo.write(".gitignore", "*.o\n");
    for path in ["nowhere", "ignored.o"] {
        assert!(git_fails(repo, &["datamon", "commit", "-m", "x", path]).contains("did not match any file"));
    }
    let head = repo.head();
    repo.write(".git/MERGE_HEAD", format!("{head}\n"));
    assert!(
        git_fails(repo, &["datamon", "commit", "-m", "x", ".gitignore"]).contains("a merge is in progress")
    );
}

#[test]
fn hooks_and_locks_stop_a_commit_and_the_next_run_makes_it() {
    let team = Team::pushed(first);
    let repo = &team.repo;
    let hook = repo.dir().join(".git/hooks/pre-commit");
    repo.write("large.bin", seeded_bytes(60, 800_000));
    // A held lock, a hook that says no, one that ends us.
    repo.write(".git/index.lock", "");
    assert!(git_fails(repo, &["datamon", "commit", "-m", "x"]).contains("index.lock"));
    fs::remove_file(repo.dir().join(".git/index.lock")).expect("made above");
    assert_eq!(repo.git(["status", "--porcelain"]).text().trim(), "M large.bin");
    repo.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 7\n");
    mode(repo, ".git/hooks/pre-commit", 0o755);
    let head = repo.head();
    git_fails(repo, &["datamon", "commit", "-m", "x"]);
    assert_eq!(repo.head(), head);
    let end = "#!/bin/sh\nread -r _ _ _ ppid _ </proc/$PPID/stat\nkill -9 $ppid $PPID\n";
    fs::write(&hook, end).expect("its own file");
    let mut command = repo.env().command("git-datamon");
    command.current_dir(repo.dir()).args(["commit", "-m", "x"]);
    assert_eq!(command.output().expect("runs").status.code(), None, "it was killed");
    assert_eq!(repo.head(), head);
    fs::remove_file(&hook).expect("its own file");
    let _ = fs::remove_file(repo.dir().join(".git/index.lock"));
    repo.git(["datamon", "commit", "-m", "made"]);
    assert_settled(repo);
    repo.push("origin", "main");
    assert_files(&team.clone_elsewhere(first), &file("large.bin", 60, 800_000));
    team.assert_sound();
}

#[test]
fn a_change_right_after_is_seen() {
    let team = Team::new(first);
    team.repo.write("a.bin", seeded_bytes(70, 5_000));
    team.repo.git(["datamon", "-q", "commit", "-m", "first", "a.bin"]);
    team.repo.write("a.bin", seeded_bytes(71, 5_000));
    assert_eq!(team.repo.git(["status", "--porcelain"]).text().trim(), "M a.bin");
    team.repo.git(["checkout", "--quiet", "a.bin"]);
    team.repo.push("origin", "main");
    let env = first();
    run(env.command("git").args(["datamon", "-q", "clone"]).arg(team.remote.dir()).arg("clone"));
    let clone = env.repo("clone");
    clone.write("a.bin", seeded_bytes(72, 5_000));
    assert_eq!(clone.git(["status", "--porcelain"]).text().trim(), "M a.bin");
}

#[test]
fn a_clone_brings_what_is_asked_for() {
    let team = Team::pushed(first);
    team.repo.git(["branch", "side"]);
    team.repo.push("origin", "side");
    let env = first();
    let clone = |name: &str, words: &[&str]| {
        let mut command = env.command("git");
        command.args(["datamon", "-q", "clone"]).args(words).arg(team.remote.dir()).arg(name);
        run(&mut command);
        env.repo(name)
    };
    let is_pointer = |repo: &TestRepo, path: &str| repo.read(path).starts_with(b"version https://git-lfs");
    let none = clone("none", &["--no-data"]);
    assert!(is_pointer(&none, "large.bin"));
    assert_settled(&none);
    none.git(["datamon", "-q", "pull", "--data-only"]);
    assert_files(&none, &files(1));
    let some = clone("some", &["--paths", "small/", "--paths", "again/*", "-b", "side"]);
    assert_eq!(some.git(["branch", "--show-current"]).text(), "side");
    assert!(is_pointer(&some, "large.bin") && !is_pointer(&some, "again/large.bin"));
    assert!(!is_pointer(&some, "small/3 ä.bin"));
    assert_settled(&some);

    // A store that is away: the clone stands, and its data comes later.
    let away = team.env.root().join("away");
    fs::rename(&team.store, &away).expect("a directory of this test");
    let mut command = env.command("git");
    let failed = run_failing(command.args(["datamon", "clone"]).arg(team.remote.dir()).arg("later"));
    line_with(&failed.stderr, "pull --data-only");
    fs::rename(&away, &team.store).expect("a directory of this test");
    let later = env.repo("later");
    later.git(["datamon", "-q", "pull", "--data-only"]);
    assert_files(&later, &files(1));
}

#[test]
fn a_repository_of_another_kind_is_cloned_as_git_does() {
    let env = first();
    let plain = env.init("plain");
    plain.write("a.txt", "a");
    plain.add(".");
    plain.commit("first");
    run(env.command("git").args(["datamon", "clone"]).arg(plain.dir()).arg("clone"));
    assert_eq!(env.repo("clone").read("a.txt"), b"a");
    env.init_bare("empty.git");
    run(env.command("git").args(["datamon", "clone", "empty.git"]));
    assert!(env.work().join("empty/.git").is_dir());
}

#[test]
fn a_clone_in_the_environment_of_another_repository_leaves_that_alone() {
    let team = Team::pushed(first);
    let env = &team.env;
    let other = env.init("other");
    other.write("kept.txt", "kept");
    other.add(".");
    other.commit("kept");
    let at = |path: &str| other.dir().join(path);
    let state = || ["index", "config"].map(|file| fs::read(at(".git").join(file)).expect("there"));
    let before = state();
    run(env
        .command("git")
        .args(["-c", "datamon.localObjects=keep", "datamon", "-q", "clone"])
        .arg(team.remote.dir())
        .arg("clone")
        .env("GIT_DIR", at(".git"))
        .env("GIT_WORK_TREE", other.dir())
        .env("GIT_INDEX_FILE", at(".git/index")));
    assert!(state() == before);
    assert!(!at(".git/hooks/pre-push").exists() && !at("large.bin").exists());
    let clone = env.repo("clone");
    assert_files(&clone, &files(1));
    assert_settled(&clone);
    assert!(clone.dir().join(".git/hooks/pre-push").exists());
    // What configures the run counts.
    assert!(!clone.lfs_objects().is_empty());
}

#[test]
fn a_killed_clone_is_finished_by_a_pull() {
    let team = Team::new(first);
    let mut many = file("large.bin", 80, 30 << 20);
    many.extend((0..200).map(|n| (format!("s/{n}.bin"), seeded_bytes(100 + n, 20_000))));
    team.change("first", &many);
    team.repo.push("origin", "main");
    let mut hit = false;
    for name in 0..4 {
        let env: Hermetic = first();
        let name = name.to_string();
        let mut command = env.command("git-datamon");
        command.args(["-q", "clone"]).arg(team.remote.dir()).arg(&name);
        let mut clone = command.spawn().expect("runs");
        let repo = env.repo(&name);
        let lfs = repo.dir().join(".git/lfs");
        while clone.try_wait().expect("a child").is_none() {
            if !super::leftovers(&lfs).is_empty() {
                let _ = clone.kill();
            }
            std::thread::yield_now();
        }
        hit |= !super::leftovers(&lfs).is_empty();
        assert_eq!(repo.git(["status", "--porcelain"]).text(), "");
        let pull = || {
            let mut pull = env.command("git");
            pull.current_dir(repo.dir())
                .args(["datamon", "-q", "pull", "--data-only"])
                .output()
                .expect("runs")
        };
        let pulled = pull();
        if !pulled.status.success() {
            // Who is killed while the index is written leaves its lock, which is named, and which the user removes.
            let said = String::from_utf8_lossy(&pulled.stderr).into_owned();
            assert!(said.contains("index.lock"), "{said}");
            fs::remove_file(repo.dir().join(".git/index.lock")).expect("it was named");
            assert!(pull().status.success(), "nothing else is in the way");
        }
        assert_settled(&repo);
        assert_files(&repo, &many);
    }
    assert!(hit, "no clone was killed in the middle");
}

//! What users type: names that lead nowhere, words that mean nothing, commands that are copied from what was said.

use std::fs;
use std::path::Path;

use datamon_test_support::{Hermetic, Output, run, run_failing, seeded_bytes};
use serde_json::Value;

use super::{command, datamon, datamon_fails, machine};

const WEATHER: [&str; 4] = ["--store", "my store", "--repo", "weather"];

/// A machine with a store, made on purpose, and a version of a directory in it.
fn uploaded() -> Hermetic {
    let env = machine();
    let large = seeded_bytes(1, 1 << 20);
    fs::create_dir(env.work().join("data"))
        .and_then(|()| fs::write(env.work().join("data/large"), large))
        .unwrap();
    weather(&env, &["upload", "data", "--create"]);
    env
}

#[track_caller]
fn weather(env: &Hermetic, args: &[&str]) -> Output {
    datamon(env, ".", &[args, &WEATHER].concat())
}

/// The command of one hint, as a user copies it.
#[track_caller]
fn hinted<'s>(said: &'s str, word: &str) -> &'s str {
    let line = said.lines().find(|line| line.starts_with("hint: ") && line.contains(word));
    let line = line.unwrap_or_else(|| panic!("no hint with {word:?}: {said}"));
    &line[line.find("git datamon").expect("a command")..]
}

#[track_caller]
fn typed(env: &Hermetic, line: &str) -> Output {
    run(env.command("sh").args(["-c", line]).current_dir(env.work()))
}

#[test]
fn a_store_is_not_made_by_a_typo() {
    let env = uploaded();
    for (args, typo) in [
        (&["upload", "data", "--store", "my stroe", "--repo", "weather"][..], "my stroe"),
        (&["context", "add", "prod", "my stroe"], "my stroe"),
        // Where something else is.
        (&["upload", "data", "--store", "data", "--repo", "weather"], "data/datamon.json"),
    ] {
        let (code, said) = datamon_fails(&env, ".", args);
        assert!(code == 2 && said.contains("--create"), "{args:?}: {code} {said}");
        assert!(!env.work().join(typo).exists(), "{args:?} made it");
    }
    weather(&env, &["upload", "data"]);
    assert_eq!(datamon_fails(&env, ".", &["upload", "data", "--create"]).0, 64, "of which store?");
}

#[test]
fn a_deleted_repo_is_not_made_anew_unasked_and_hints_can_be_copied() {
    let env = uploaded();
    let said = datamon(&env, ".", &["repo", "delete", "weather", "--store", "my store"]);
    let undelete = hinted(&said.stderr, "bring it back").to_owned();
    assert!(undelete.ends_with(" --store 'my store'"), "{undelete}");
    for args in [&["upload", "data"][..], &["log"], &["label", "list"], &["ls", "latest"]] {
        let (code, said) = datamon_fails(&env, ".", &[args, &WEATHER].concat());
        assert!(code == 2 && said.contains("was deleted"), "{args:?}: {code} {said}");
        assert_eq!(hinted(&said, "undelete"), undelete, "{args:?}");
    }
    let (_, said) = datamon_fails(&env, ".", &[&["upload", "data"][..], &WEATHER].concat());
    typed(&env, &undelete);
    assert_eq!(weather(&env, &["log"]).text().matches("bundle ").count(), 1);
    // Or another one of that name, if that is what is wanted.
    datamon(&env, ".", &["repo", "delete", "weather", "--store", "my store"]);
    typed(&env, hinted(&said, "repo create"));
    weather(&env, &["upload", "data"]);
    assert_eq!(weather(&env, &["log"]).text().matches("bundle ").count(), 1);
    let all = datamon(&env, ".", &["repo", "list", "--all", "--store", "my store"]);
    assert_eq!(all.lines().len(), 2, "{}", all.text());
}

#[test]
fn commands_in_errors_say_which_store_and_repo() {
    let env = uploaded();
    let (code, said) = datamon_fails(&env, ".", &[&["cat", "latest:none"][..], &WEATHER].concat());
    assert_eq!(code, 2);
    let listed = typed(&env, hinted(&said, "git datamon ls"));
    assert_eq!(listed.text(), "large");
    let (code, said) = datamon_fails(&env, ".", &[&["label", "show", "none"][..], &WEATHER].concat());
    let listing = "`git datamon label list --store 'my store' --repo weather`";
    assert!(code == 2 && said.contains(listing), "{code} {said}");
    let (code, said) = datamon_fails(&env, ".", &["ls", "latest", "--store", "my store", "--repo", "wether"]);
    assert!(code == 2 && hinted(&said, "repo list") == "git datamon repo list --store 'my store'", "{said}");
}

#[test]
fn what_selects_nothing_does_not_select_everything() {
    let env = uploaded();
    for args in [&["--filter", ""][..], &["--paths", ""], &["--filter", "/"], &["--paths", "large", ""]] {
        let args = [&["download", "latest", "--dest", "out"], args, &WEATHER[..]].concat();
        assert_eq!(datamon_fails(&env, ".", &args).0, 64, "{args:?}");
    }
    assert!(!env.work().join("out").exists());
    assert_eq!(datamon_fails(&env, ".", &["clone", "nowhere.git", "--paths", ""]).0, 64);
    env.init("repo");
    assert_eq!(datamon_fails(&env, "repo", &["checkout", "--paths="]).0, 64);
}

#[test]
fn a_reader_that_has_enough_is_no_failure_to_talk_about() {
    let env = uploaded();
    let script = r#"git datamon cat latest:large --store 'my store' --repo weather 2>said | head -c 1 >first
        echo ${PIPESTATUS[0]}"#;
    let code = run(env.command("bash").args(["-c", script]).current_dir(env.work()));
    assert_eq!(code.text(), "141");
    assert_eq!(fs::read(env.work().join("said")).expect("written"), b"");
    assert_eq!(fs::read(env.work().join("first")).expect("written"), seeded_bytes(1, 1 << 20)[..1]);
}

#[test]
fn an_option_that_only_git_knows_is_refused_and_no_way_round_is_proposed() {
    let env = machine();
    env.init("repo");
    for args in
        [&["push", "--mirror"][..], &["pull", "--squash"], &["push", "--", "--force"], &["pull", "--", "-f"]]
    {
        let (code, said) = datamon_fails(&env, "repo", args);
        assert!(code == 64 && !said.contains("-- --"), "{args:?}: {code} {said}");
    }
}

#[test]
fn a_repository_of_sha_256_is_refused_by_every_command_before_it_does_anything() {
    let env = machine();
    run(env.command("git").args(["init", "-q", "--object-format=sha256", "data"]));
    let repo = env.repo("data");
    repo.write("file", "x");
    repo.add("file");
    repo.commit("one");
    let before = fs::read(repo.dir().join(".git/config")).expect("there");
    let store = env.root().join("store");
    let init = ["init", "--store", store.to_str().expect("plain"), "--track", "*.bin"];
    for args in [
        &init[..],
        &["adopt-lfs"],
        &["leave"],
        &["trust"],
        &["doctor"],
        &["commit", "-m", "x"],
        &["checkout", "main"],
        &["push"],
        &["pull", "--data-only"],
        &["status"],
        &["bundle"],
        &["show"],
        &["log"],
        &["label", "list"],
        &["repo", "list"],
        &["wal", "tail"],
        &["lineage"],
        &["notes", "show"],
        &["ls", "HEAD"],
        &["upload", "."],
        &["stats"],
        &["fsck"],
    ] {
        let (code, said) = datamon_fails(&env, "data", args);
        assert!(said.contains("names its objects by sha256"), "{args:?}: {code} {said}");
        assert!(code == if args == ["doctor"] { 1 } else { 128 }, "{args:?}: {code} {said}");
    }
    assert_eq!(fs::read(repo.dir().join(".git/config")).expect("there"), before);
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "");
    assert!(!store.exists() && !repo.dir().join(".git/lfs").exists());
    // Another store needs no repository.
    datamon(&env, "data", &["upload", ".", "--store", init[2], "--repo", "x", "--create"]);
    // A clone is git's and git-lfs's, and whole.
    let said = datamon(&env, ".", &["clone", "data", "clone", "--json"]);
    assert!(said.stderr.contains("cloned by git and git-lfs alone"), "{}", said.stderr);
    let told: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(told["commit"], repo.head());
    assert_eq!(env.repo("clone").read("file"), b"x");
}

#[test]
fn what_local_objects_cannot_be_is_said_before_anything_is_done() {
    let env = machine();
    let (remote, repo) = (env.init_bare("remote.git"), env.init("data"));
    let store = env.root().join("store");
    datamon(&env, "data", &["init", "--store", store.to_str().expect("plain"), "--track", "*.bin"]);
    repo.add_remote("origin", remote.dir());
    repo.commit("set up");
    repo.push("origin", "main");
    let head = repo.head();
    run(env.command("git").args(["config", "--global", "datamon.localObjects", "kep"]));
    repo.write("a.bin", seeded_bytes(1, 1000));
    for args in [
        &["commit", "-m", "x", "a.bin"][..],
        &["commit", "--no-upload", "-m", "x", "a.bin"],
        &["checkout", "main"],
        &["pull"],
    ] {
        let (code, said) = datamon_fails(&env, "data", args);
        assert!(
            code == 128 && said.contains("datamon.localObjects is \"kep\": it can be keep or drop"),
            "{said}"
        );
    }
    let (_, said) = datamon_fails(&env, ".", &["clone", "remote.git", "clone"]);
    assert!(said.contains("keep or drop") && !env.work().join("clone").exists(), "{said}");
    assert_eq!(repo.head(), head);
    run(env.command("git").args(["config", "--global", "datamon.localObjects", "keep"]));
    datamon(&env, "data", &["commit", "-m", "x", "a.bin"]);
    assert_eq!(repo.lfs_objects().len(), 1);
}

#[test]
fn a_work_tree_that_the_environment_names_can_be_worked_on_from_elsewhere() {
    let env = machine();
    let repo = env.init("data");
    let store = env.root().join("store");
    datamon(&env, "data", &["init", "--store", store.to_str().expect("plain"), "--track", "*.bin"]);
    repo.commit("set up");
    fs::create_dir(env.work().join("other")).expect("made");
    let bytes = seeded_bytes(1, 50_000);
    repo.write("sub/a.bin", &bytes);
    let outside = |args: &[&str]| {
        let mut git = command(&env, "other", args);
        git.env("GIT_DIR", "../data/.git").env("GIT_WORK_TREE", "../data");
        run(&mut git)
    };
    outside(&["commit", "-m", "from elsewhere", "sub"]);
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "");
    assert!(repo.git(["cat-file", "blob", "HEAD:sub/a.bin"]).text().starts_with("version https://git-lfs"));
    let listed = outside(&["ls", "HEAD", "-r"]);
    assert!(listed.text().contains("sub/a.bin"), "{}", listed.text());
    repo.write("sub/a.bin", b"edit");
    outside(&["checkout", "--force", "main"]);
    assert!(repo.read("sub/a.bin") == bytes);
    assert_eq!(fs::read_dir(env.work().join("other")).expect("there").count(), 0);
    // And from below it, where the path to the repository is relative.
    let mut below = command(&env, "data/sub", &["init"]);
    run(below.env("GIT_DIR", "../.git").env("GIT_WORK_TREE", ".."));
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "");
}

#[test]
fn removed_files_are_committed_by_name_as_by_git() {
    let env = machine();
    let repo = env.init("data");
    let store = env.root().join("store");
    datamon(&env, "data", &["init", "--store", store.to_str().expect("plain"), "--track", "*.bin"]);
    for name in ["a.bin", "b.bin", "c.txt", "dir/d.bin", "e.bin"] {
        repo.write(name, name);
    }
    repo.add(".");
    repo.commit("all");
    repo.git(["rm", "-q", "a.bin", "e.bin"]);
    repo.write("b.bin", "changed");
    datamon(&env, "data", &["commit", "-m", "one gone", "a.bin", "b.bin"]);
    let changed = |of: &str| repo.git(["show", "--format=", "--name-status", of]).lines().join(" ");
    assert_eq!(changed("HEAD"), "D\ta.bin M\tb.bin");
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "D  e.bin", "what else is staged stays so");
    repo.git(["rm", "-q", "-r", "dir"]);
    repo.git(["rm", "-q", "c.txt"]);
    datamon(&env, "data", &["commit", "-m", "a directory", "dir", "*.txt"]);
    assert_eq!(changed("HEAD"), "D\tc.txt D\tdir/d.bin");
    let (code, said) = datamon_fails(&env, "data", &["commit", "-m", "x", "e.bin", "never"]);
    assert!(code == 2 && said.contains("never"), "{code} {said}");
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "D  e.bin");
}

#[test]
fn a_pointer_is_never_recoded() {
    let env = machine();
    let repo = env.init("data");
    let store = env.root().join("store");
    datamon(&env, "data", &["init", "--store", store.to_str().expect("plain"), "--track", "*.csv"]);
    repo.commit("set up");
    let head = repo.head();
    let attributes = |encoding: &str| {
        repo.write(".gitattributes", format!("*.csv filter=lfs diff=lfs merge=lfs -text {encoding}\n"));
    };
    let text: Vec<u8> = "a;\u{e4}\n".repeat(500).encode_utf16().flat_map(u16::to_le_bytes).collect();
    repo.write("a.csv", &text);
    for encoding in ["UTF-16LE", "utf16", "UTF-32BE-BOM", "UCS-2"] {
        attributes(&format!("working-tree-encoding={encoding}"));
        let (code, said) = datamon_fails(&env, "data", &["commit", "-m", "x", "."]);
        assert!(
            code == 128 && said.contains("recode its pointer") && said.contains(encoding),
            "{code} {said}"
        );
        assert_eq!(repo.head(), head);
    }
    // Letters of a pointer are the same in this one, and git-lfs gets the bytes as they are.
    attributes("working-tree-encoding=ISO-8859-1");
    datamon(&env, "data", &["commit", "-m", "x", "."]);
    assert!(repo.git(["cat-file", "blob", "HEAD:a.csv"]).text().starts_with("version https://git-lfs"));
    attributes("-working-tree-encoding");
    datamon(&env, "data", &["commit", "-m", "y", "."]);
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "");
    assert!(Path::new(&store).join("log").exists());
}

#[test]
fn the_status_has_every_byte_of_a_name() {
    use std::os::unix::ffi::OsStrExt;
    let env = machine();
    let repo = env.init("data");
    let store = env.root().join("store");
    datamon(&env, "data", &["init", "--store", store.to_str().expect("plain")]);
    let odd = repo.dir().join(std::ffi::OsStr::from_bytes(b"odd \xff"));
    repo.write("plain", "1");
    fs::write(&odd, "1").expect("written");
    repo.add(".");
    repo.commit("one");
    let status = || -> Value {
        let said = run_failing(&mut command(&env, "data", &["status", "--json"]));
        serde_json::from_slice(&said.stdout).expect("JSON")
    };
    repo.write("plain", "22");
    let told = status();
    assert_eq!((&told["modified"], told.get("modified_hex")), (&serde_json::json!(["plain"]), None));
    fs::write(&odd, "22").expect("written");
    let told = status();
    assert_eq!(told["modified"], serde_json::json!(["odd \u{fffd}", "plain"]));
    assert_eq!(told["modified_hex"], serde_json::json!(["6f646420ff", null]));
}

//! From an ordinary LFS server into a store, and back: real git-lfs, a real server, and what goes wrong on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;

use datamon_test_support::{Hermetic, LfsServer, TestRepo, run, run_failing, seeded_bytes};

use super::{
    Machine, assert_files, change, each_git_lfs, entries, file, first, git_fails, line_with, objects, oid,
};

each_git_lfs!(
    a_history_on_a_server_moves_into_a_store_and_other_clones_follow,
    what_git_lfs_keeps_in_a_directory_remote_moves_too,
    a_repository_without_any_server_is_adopted_from_what_is_here,
    the_way_back_brings_old_and_new_data_to_the_server,
    what_nobody_has_is_listed_and_stops_it,
    only_the_tips_when_asked,
);

/// A repository as people have it: two branches, a tag, three versions, all of it on an LFS server that `.lfsconfig` names.
pub struct Legacy {
    pub env: Hermetic,
    pub server: LfsServer,
    pub repo: TestRepo,
    pub remote: TestRepo,
    /// What each commit holds.
    versions: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

pub fn tree(seed: u64) -> BTreeMap<String, Vec<u8>> {
    let mut tree = file("data/large.bin", seed, 400_000);
    tree.insert("data/copy.bin".into(), seeded_bytes(seed, 400_000));
    tree.insert("empty.bin".into(), vec![]);
    tree.insert("readme.txt".into(), format!("version {seed}\n").into_bytes());
    tree.extend((0..4).map(|n| (format!("small {n}.bin"), seeded_bytes(100 * seed + n, 5_000))));
    tree
}

impl Legacy {
    #[track_caller]
    pub fn on_a_server(machine: Machine) -> Legacy {
        Legacy::new(machine, |repo, server| {
            repo.write(".lfsconfig", format!("[lfs]\n\turl = {}\n\tlocksverify = false\n", server.url()));
            repo.add(".lfsconfig");
        })
    }

    #[track_caller]
    pub fn new(machine: Machine, set_up: impl FnOnce(&TestRepo, &LfsServer)) -> Legacy {
        let env = machine();
        let (server, repo, remote) = (LfsServer::start(), env.init("data"), env.init_bare("remote.git"));
        repo.git(["lfs", "install", "--local"]);
        repo.track("*.bin");
        let mut versions = BTreeMap::new();
        // The first commits are older than any configuration.
        versions.insert(change(&repo, "one", &tree(1)), tree(1));
        set_up(&repo, &server);
        versions.insert(change(&repo, "two", &tree(2)), tree(2));
        repo.git(["checkout", "-q", "-b", "side"]);
        versions.insert(change(&repo, "side", &tree(3)), tree(3));
        repo.git(["tag", "-a", "-m", "x", "v3"]);
        repo.git(["checkout", "-q", "main"]);
        versions.insert(change(&repo, "four", &tree(4)), tree(4));
        repo.add_remote("origin", remote.dir());
        repo.git(["push", "-q", "origin", "main", "side", "v3"]);
        repo.git(["branch", "-q", "-D", "side"]);
        Legacy { env, server, repo, remote, versions }
    }

    pub fn store(&self) -> String {
        self.env.root().join("store").to_str().expect("plain").to_owned()
    }

    pub fn adopt(&self, repo: &TestRepo, more: &[&str]) -> String {
        let store = self.store();
        let args = [&["datamon", "adopt-lfs", "--store", &store], more].concat();
        let output = repo.git(&args);
        format!("{}\n{}", output.text(), output.stderr)
    }

    /// A clone on the same machine with no object here, as somebody who adopts has it.
    #[track_caller]
    pub fn fresh_clone(&self, name: &str, options: &[&str]) -> TestRepo {
        let url = format!("file://{}", self.remote.dir().display());
        let mut clone = self.env.command("git");
        run(clone.env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q"]).args(options).args([&url, name]));
        self.env.repo(name)
    }

    /// Commits and pushes what `adopt-lfs` staged, and looks at every version in a clone on another machine, from which the
    /// old server cannot be reached.
    #[track_caller]
    fn assert_adopted(&self, repo: &TestRepo, machine: Machine) {
        repo.commit("Keep big files in datamon");
        repo.push("origin", "main");
        self.server.set_down(true);
        let clone = machine().clone_from(self.remote.dir(), "clone");
        assert_files(&clone, &tree(4));
        for (commit, tree) in &self.versions {
            clone.git(["checkout", "-q", "--detach", commit]);
            assert_files(&clone, tree);
        }
        clone.git(["lfs", "fetch", "--all"]);
        self.server.set_down(false);
        run(self.env.command("git").args(["-C"]).arg(repo.dir()).args(["datamon", "fsck", "--data"]));
        assert_eq!(repo.git(["status", "--porcelain"]).text(), "");
    }

    pub fn oids(&self) -> BTreeSet<String> {
        let contents = self.versions.values().flat_map(|tree| tree.iter());
        contents
            .filter(|(path, bytes)| path.ends_with(".bin") && !bytes.is_empty())
            .map(|(_, it)| oid(it))
            .collect()
    }
}

/// Everything of a repository that `adopt-lfs` may change only when all is safe.
pub fn configuration(repo: &TestRepo) -> (Vec<u8>, Vec<u8>, String) {
    let lfsconfig = fs::read(repo.dir().join(".lfsconfig")).unwrap_or_default();
    let staged = repo.git(["diff", "--cached", "--name-only"]).text().to_owned();
    (lfsconfig, repo.read(".git/config"), staged)
}

fn a_history_on_a_server_moves_into_a_store_and_other_clones_follow(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let repo = legacy.fresh_clone("adopting", &[]);
    let before = configuration(&repo);
    let said = legacy.adopt(&repo, &["--dry-run"]);
    let told = |more: &[&str]| -> serde_json::Value {
        let store = legacy.store();
        let args = [&["datamon", "adopt-lfs", "--json", "--store", &store], more].concat();
        serde_json::from_slice(&repo.git(args).stdout).expect("nothing but JSON")
    };
    let planned = told(&["-n"]);
    assert_eq!(
        (&planned["dry_run"], &planned["files"], &planned["here"]["files"]),
        (&true.into(), &20.into(), &0.into())
    );
    assert_eq!(
        (&planned["to_fetch"]["files"], &planned["server"]),
        (&20.into(), &legacy.server.url().into())
    );
    let fetched = line_with(&said, "to fetch from");
    assert!(fetched.starts_with("20 files") && fetched.contains(&legacy.server.url()), "{said}");
    assert!(!fs::exists(legacy.store()).unwrap() && configuration(&repo) == before, "a dry run");

    let sent = legacy.server.traffic();
    let said = legacy.adopt(&repo, &[]);
    assert!(line_with(&said, "stored").contains("20 files"), "{said}");
    assert_eq!(legacy.server.traffic(), (sent.0 + 20, sent.1), "fetched once, and nothing went there");
    assert_eq!(entries(legacy.store().as_ref()), 3, "init, repo, and one push");
    let staged = repo.git(["diff", "--cached", "--name-only"]);
    assert_eq!(staged.lines(), [".lfsconfig", "datamon.toml"]);
    let lfsconfig = String::from_utf8(repo.read(".lfsconfig")).unwrap();
    assert!(
        lfsconfig.contains("url = datamon::file://") && lfsconfig.contains("locksverify = false"),
        "{lfsconfig}"
    );

    // Again, before and after the commit: it looks, promises anew, and moves nothing.
    let packs =
        || objects(legacy.store().as_ref()).into_keys().filter(|name| name.starts_with("data/")).count();
    let (stored, configured) = (packs(), configuration(&repo));
    let said = legacy.adopt(&repo, &[]);
    assert!(line_with(&said, "stored").contains("20 were there; 0 B new"), "{said}");
    assert_eq!((packs(), configuration(&repo)), (stored, configured));
    legacy.assert_adopted(&repo, machine);
    // The push made a version, with the plain files of git.
    let stored = packs();
    repo.git(["datamon", "adopt-lfs"]);
    assert_eq!((packs(), legacy.server.traffic().0), (stored, sent.0 + 20));
}

fn what_git_lfs_keeps_in_a_directory_remote_moves_too(machine: Machine) {
    let legacy = Legacy::new(machine, |_, _| {});
    assert_eq!(legacy.remote.lfs_objects(), legacy.oids());
    let repo = legacy.fresh_clone("adopting", &[]);
    let said = legacy.adopt(&repo, &[]);
    assert!(line_with(&said, "fetch ").contains(legacy.remote.dir().to_str().unwrap()), "{said}");
    assert_eq!(legacy.server.traffic(), (0, 0));
    fs::remove_dir_all(legacy.remote.dir().join("lfs")).unwrap();
    legacy.assert_adopted(&repo, machine);
    assert_eq!(legacy.remote.lfs_objects(), BTreeSet::new(), "nothing goes there any more");
}

fn a_repository_without_any_server_is_adopted_from_what_is_here(machine: Machine) {
    let legacy = Legacy::new(machine, |_, _| {});
    legacy.repo.git(["remote", "remove", "origin"]);
    legacy.repo.git(["tag", "-d", "v3"]);
    let alone: BTreeSet<String> = legacy.oids();
    assert_eq!(legacy.repo.lfs_objects(), alone);
    // No ref leads to the side branch any more: nobody asked for it.
    let said = legacy.adopt(&legacy.repo, &[]);
    assert!(line_with(&said, "stored").contains("15 files"), "{said}");
    legacy.repo.commit("Keep big files in datamon");
    let clone = machine().clone_from(legacy.repo.dir(), "clone");
    assert_files(&clone, &tree(4));
    clone.git(["checkout", "-q", "--detach", "main~2"]);
    assert_files(&clone, &tree(2));
}

fn the_way_back_brings_old_and_new_data_to_the_server(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let repo = legacy.fresh_clone("adopting", &[]);
    let before = repo.read(".lfsconfig");
    legacy.adopt(&repo, &[]);
    legacy.assert_adopted(&repo, machine);
    // Data of the time since, here and from another machine, on a branch that is only known from there.
    change(&repo, "five", &tree(5));
    repo.push("origin", "main");
    let other = machine().clone_from(legacy.remote.dir(), "other");
    super::trust(&other);
    change(&other, "six", &tree(6));
    other.git(["push", "-q", "origin", "HEAD:six"]);
    repo.git(["fetch", "-q"]);
    legacy.server.lose(&oid(&tree(1)["data/large.bin"]));
    assert_eq!(legacy.server.oids().len(), 19);

    fs::remove_dir_all(repo.dir().join(".git/lfs/objects")).unwrap();
    let configured = configuration(&repo);
    let said = repo.git(["datamon", "leave", "--dry-run"]);
    assert!(
        said.text().starts_with("30 files") && said.text().contains(&legacy.server.url()),
        "{}",
        said.text()
    );
    legacy.server.set_down(true);
    let said = git_fails(&repo, &["datamon", "leave"]);
    assert!(line_with(&said, "error: http").contains("stays as it was"), "{said}");
    assert_eq!(configuration(&repo), configured);
    legacy.server.set_down(false);
    let told = |args: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&repo.git(args).stdout).expect("nothing but JSON")
    };
    let planned = told(&["datamon", "leave", "-n", "--json"]);
    assert_eq!((&planned["files"], &planned["dry_run"]), (&30.into(), &true.into()));
    let done = told(&["datamon", "leave", "--json"]);
    assert_eq!(
        (&done["files"], &done["dry_run"], &done["missing"]),
        (&30.into(), &false.into(), &serde_json::json!([]))
    );
    assert_eq!(done["server"], legacy.server.url());
    assert_eq!(legacy.server.oids().len(), 30, "all that any commit needs");
    assert_eq!(repo.read(".lfsconfig"), before);
    let config = String::from_utf8(repo.read(".git/config")).unwrap();
    assert!(!config.contains("datamon::") && !config.contains("before"), "{config}");
    let hook = String::from_utf8(repo.read(".git/hooks/pre-push")).unwrap();
    assert!(hook.contains("git lfs pre-push") && !hook.contains("datamon"), "{hook}");
    repo.commit("Keep big files on the LFS server");
    repo.push("origin", "main");

    // A machine that never heard of git-datamon.
    fs::rename(legacy.store(), legacy.env.root().join("away")).unwrap();
    let env = machine();
    run(env.command("git").args(["datamon", "install", "--uninstall"]));
    let clone = env.clone_from(legacy.remote.dir(), "clone");
    assert_files(&clone, &tree(5));
    clone.git(["-c", &format!("lfs.url={}", legacy.server.url()), "lfs", "fetch", "--all"]);
    assert_eq!(clone.lfs_objects().len(), 30);
    assert!(git_fails(&repo, &["datamon", "leave"]).contains("no datamon store"));
}

fn what_nobody_has_is_listed_and_stops_it(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let repo = legacy.fresh_clone("adopting", &[]);
    let (gone, wrong) = (oid(&tree(1)["data/large.bin"]), oid(&tree(2)["small 1.bin"]));
    let lost = legacy.server.lose(&gone).unwrap();
    let right = legacy.server.lose(&wrong).unwrap();
    legacy.server.put(&wrong, seeded_bytes(77, right.len()));
    let before = configuration(&repo);
    let store = legacy.store();
    let args = ["datamon", "adopt-lfs", "--store", &store];
    let mut adopt = legacy.env.command("git");
    let output = run_failing(adopt.current_dir(repo.dir()).args(args));
    let said = format!("{}\n{}", output.text(), output.stderr);
    assert_eq!(output.code, Some(2), "{said}");
    assert!(
        line_with(&said, &format!("missing {gone}")).contains("data/copy.bin")
            || said.contains("data/large.bin")
    );
    line_with(&said, &format!("missing {wrong}"));
    let line = line_with(&said, "2 objects are missing");
    assert!(line.contains("stays as it was, but for datamon.toml"), "{said}");
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "?? datamon.toml");
    assert!(said.contains("--allow-missing"), "{said}");
    assert_eq!(configuration(&repo), before);

    // No network at all: what is in the store by now is not fetched again.
    let sent = legacy.server.traffic().0;
    legacy.server.set_down(true);
    let said = git_fails(&repo, &args);
    assert!(said.contains("2 objects are missing") && !said.contains("fetch   20 files"), "{said}");
    legacy.server.set_down(false);

    // Without them, if the user says so; with them, when they are found.
    let stubborn = legacy.fresh_clone("stubborn", &[]);
    let done = stubborn.git([&args[..], &["--allow-missing", "--json"]].concat());
    let said = &done.stderr;
    assert!(line_with(said, "warning: 2 objects").contains("cannot be checked out"), "{said}");
    let done: serde_json::Value = serde_json::from_slice(&done.stdout).expect("nothing but JSON");
    let oids: BTreeSet<&str> =
        done["missing"].as_array().expect("a list").iter().filter_map(|it| it["oid"].as_str()).collect();
    assert_eq!(oids, BTreeSet::from([gone.as_str(), wrong.as_str()]));
    assert_eq!(done["staged"], serde_json::json!([".lfsconfig", "datamon.toml"]));
    assert_eq!(stubborn.git(["config", "lfs.url"]).text(), format!("datamon::file://{store}"));
    legacy.server.put(&gone, lost);
    legacy.server.put(&wrong, right);
    legacy.adopt(&repo, &[]);
    // git-lfs fetches all that is not here, or nothing: the other clone had nothing.
    assert_eq!(legacy.server.traffic().0, sent + 19 + 2);
    legacy.assert_adopted(&repo, machine);
}

fn only_the_tips_when_asked(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    for (name, how) in
        [("shallow", "--depth=1"), ("partial", "--filter=blob:none"), ("treeless", "--filter=tree:0")]
    {
        legacy.remote.git(["config", "uploadpack.allowFilter", "true"]);
        let repo = legacy.fresh_clone(name, &[how, "--no-single-branch"]);
        let store = legacy.env.root().join(name);
        let store = store.to_str().unwrap();
        let said = git_fails(&repo, &["datamon", "adopt-lfs", "--store", store]);
        assert!(said.contains("git fetch --") && said.contains("--recent"), "{said}");
        assert!(!fs::exists(store).unwrap());
        let said = repo.git(["datamon", "adopt-lfs", "--recent", "--store", store]);
        assert!(line_with(said.text(), "stored").contains("10 files"), "main and side: {}", said.text());
        repo.commit("Keep big files in datamon");
        repo.push("origin", &format!("HEAD:{name}"));
        let clone = machine().clone_from(legacy.remote.dir(), "clone");
        clone.git(["checkout", "-q", name]);
        assert_files(&clone, &tree(4));
    }
    // What the refusal says to type is enough.
    let repo = legacy.fresh_clone("mended", &["--depth=1", "--no-single-branch"]);
    repo.git(["fetch", "-q", "--unshallow"]);
    assert!(line_with(&legacy.adopt(&repo, &[]), "stored").contains("20 files"));
}

#[test]
fn places_that_cannot_be_adopted_say_why() {
    let legacy = Legacy::on_a_server(first);
    let (repo, env) = (&legacy.repo, &legacy.env);
    let store = legacy.store();
    let refused = |repo: &TestRepo, args: &[&str]| {
        let mut adopt = env.command("git");
        let output = run_failing(adopt.current_dir(repo.dir()).args(["datamon", "adopt-lfs"]).args(args));
        (output.code.unwrap(), format!("{}\n{}", output.text(), output.stderr))
    };
    let (code, said) = refused(&env.init("empty"), &["--store", &store]);
    assert!(code == 2 && said.contains("nothing to adopt") && said.contains("git datamon init"), "{said}");
    let (code, said) = refused(&legacy.remote, &["--store", &store]);
    assert!(code == 128 && said.contains("no work tree"), "{said}");
    let documents = env.root().join("documents");
    fs::create_dir(&documents).and_then(|()| fs::write(documents.join("letter.txt"), "dear")).unwrap();
    let (_, said) = refused(repo, &["--store", documents.to_str().unwrap()]);
    assert!(said.contains("has other files"), "{said}");
    let (code, said) = refused(repo, &["--store", &store, "--from", "nowhere"]);
    assert!(code == 2 && said.contains("no remote, no URL"), "{said}");
    assert_eq!(refused(repo, &["--store", &store, "--from", "datamon::local"]).0, 64);

    repo.write(".lfsconfig", "[lfs]\n\turl = http://example.org/mine\n");
    let (code, said) = refused(repo, &["--store", &store]);
    assert!(code == 3 && said.contains("not committed") && said.contains("git restore .lfsconfig"), "{said}");
    repo.git(["restore", ".lfsconfig"]);
    fs::remove_file(repo.dir().join(".lfsconfig")).unwrap();
    assert!(refused(repo, &["--store", &store]).1.contains("not committed"), "removed is changed too");
    repo.git(["restore", ".lfsconfig"]);
    assert!(!fs::exists(&store).unwrap(), "no store for what is refused");

    // A damaged object here is not hidden by the server's good one, nor stored.
    let bad = legacy.repo.dir().join(".git/lfs/objects");
    let bad = objects(&bad).into_values().next().unwrap();
    super::flip(&bad, 100);
    let (code, said) = refused(repo, &["--store", &store]);
    assert!(code == 4 && said.contains("is damaged") && said.contains("git lfs fsck"), "{said}");
    git_fails(repo, &["lfs", "fsck", "--objects"]);
    legacy.adopt(repo, &[]);
    // Another store than the one it is in by now.
    let other = env.root().join("other");
    let (code, said) = refused(repo, &["--store", other.to_str().unwrap()]);
    assert!(code == 3 && said.contains("keeps its data in"), "{said}");
    legacy.assert_adopted(repo, first);
}

#[test]
fn a_pushurl_and_a_url_of_the_clone_are_remembered_and_come_back() {
    let legacy = Legacy::new(first, |repo, server| {
        repo.git(["config", "lfs.url", &server.url()]);
        let text = "[lfs]\n\turl = http://127.0.0.1:9/other\n\tpushurl = http://127.0.0.1:9/push\n";
        repo.write(".lfsconfig", text);
        repo.git(["config", "lfs.pushurl", &server.url()]);
        repo.add(".lfsconfig");
    });
    let repo = &legacy.repo;
    let (before, config) =
        (repo.read(".lfsconfig"), repo.git(["config", "--local", "--list"]).text().to_owned());
    legacy.adopt(repo, &[]);
    assert!(!String::from_utf8(repo.read(".lfsconfig")).unwrap().contains("push"));
    change(repo, "five", &tree(5));
    repo.push("origin", "main");
    assert_eq!(legacy.server.traffic().1, 20, "nothing new went to the server");
    repo.git(["datamon", "leave"]);
    assert_eq!(legacy.server.traffic().1, 25);
    assert_eq!(repo.read(".lfsconfig"), before);
    let pinned = |text: &str| {
        text.lines()
            .filter(|line| line.contains("url") && !line.contains("remote"))
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(pinned(repo.git(["config", "--local", "--list"]).text()), pinned(&config));
}

#[test]
fn another_remote_or_url_can_be_named() {
    let legacy = Legacy::new(first, |_, _| {});
    let elsewhere = legacy.env.init_bare("elsewhere.git");
    legacy.repo.add_remote("elsewhere", elsewhere.dir());
    legacy.repo.git(["push", "-q", "elsewhere", "main", "v3"]);
    assert_eq!(elsewhere.lfs_objects(), legacy.oids());
    fs::remove_dir_all(legacy.remote.dir().join("lfs")).unwrap();
    for (name, from) in [("by name", "upstream"), ("by path", "../elsewhere.git"), ("by url", "file")] {
        let repo = legacy.fresh_clone(name, &[]);
        repo.add_remote("upstream", elsewhere.dir());
        let url = format!("file://{}", elsewhere.dir().display());
        let store = legacy.env.root().join(name);
        let from = if from == "file" { &url } else { from };
        repo.git(["datamon", "adopt-lfs", "--from", from, "--store", store.to_str().unwrap()]);
        repo.commit("Keep big files in datamon");
        assert_files(&first().clone_from(repo.dir(), "clone"), &tree(4));
        let back = legacy.env.init_bare(&format!("back from {name}.git"));
        repo.git(["datamon", "leave", "--to", back.dir().to_str().unwrap()]);
        assert_eq!(back.lfs_objects(), legacy.oids());
        let url = repo.git(["config", "-f", ".lfsconfig", "lfs.url"]);
        assert!(url.text().ends_with(&format!("back from {name}.git")), "{}", url.text());
    }
}

#[test]
fn killed_at_any_step_it_is_completed_by_the_next() {
    let mut hits = 0;
    for step in 0..3 {
        let legacy = Legacy::new(first, |repo, server| {
            repo.git(["config", "lfs.url", &server.url()]);
            change(repo, "large", &file("larger.bin", 8, 40 << 20));
        });
        let repo = legacy.fresh_clone("adopting", &["-c", &format!("lfs.url={}", legacy.server.url())]);
        let store = legacy.store();
        let mut adopt = legacy.env.command(env!("CARGO_BIN_EXE_git-datamon"));
        adopt.current_dir(repo.dir()).args(["-q", "adopt-lfs", "--store", &store]);
        let mut adopt = adopt.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let reached = || match step {
            0 => repo.dir().join("datamon.toml").exists(),
            1 => repo.lfs_objects().len() > 3,
            _ => objects(store.as_ref()).keys().any(|name| name.starts_with("data/")),
        };
        while adopt.try_wait().expect("a child").is_none() {
            if reached() && adopt.kill().is_ok() {
                hits += 1;
                break;
            }
            std::thread::yield_now();
        }
        adopt.wait().expect("a child");
        legacy.adopt(&repo, &[]);
        run(legacy.env.command("git").arg("-C").arg(repo.dir()).args(["datamon", "fsck", "--data"]));
        repo.commit("Keep big files in datamon");
        let clone = first().clone_from(repo.dir(), "clone");
        assert_files(&clone, &tree(4));
        assert!(clone.read("larger.bin") == seeded_bytes(8, 40 << 20));
    }
    assert!(hits > 1, "killed {hits} times only: the test proves little");
}

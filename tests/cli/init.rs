use std::path::Path;

use datamon_test_support::{Hermetic, TestRepo, run};

use super::{datamon, datamon_fails, machine};

fn text(repo: &TestRepo, path: &str) -> String {
    String::from_utf8(repo.read(path)).unwrap()
}

fn status(repo: &TestRepo) -> Vec<String> {
    repo.git(["status", "--short"]).lines().into_iter().map(str::to_owned).collect()
}

fn store(env: &Hermetic) -> String {
    env.root().join("store").to_str().unwrap().to_owned()
}

#[test]
fn a_repository_is_set_up_once() {
    let env = machine();
    let repo = env.init("data");
    let args = ["init", "--store", &store(&env), "--track", "*.bin", "--track", "two words/*"];
    datamon(&env, "data", &args);
    assert_eq!(status(&repo), ["A  .gitattributes", "A  .lfsconfig", "A  datamon.toml"]);
    let url = format!("datamon::file://{}", Path::new(&store(&env)).canonicalize().unwrap().display());
    assert_eq!(repo.git(["config", "-f", ".lfsconfig", "lfs.url"]).text(), url);
    assert_eq!(repo.git(["config", "--local", "lfs.url"]).text(), url);
    assert!(text(&repo, "datamon.toml").contains("name = \"data\""));
    assert_eq!(repo.git(["check-attr", "filter", "two words/x"]).text(), "two words/x: filter: lfs");
    assert!(text(&repo, ".git/hooks/pre-push").contains("git-datamon hook pre-push"));
    assert!(Path::new(&store(&env)).join("datamon.json").exists());
    let trusted = run(env.command("git").args(["config", "--global", "datamon.trust"]));
    assert!(trusted.text().ends_with(url.strip_prefix("datamon::").unwrap()), "{}", trusted.text());

    repo.git(["commit", "-q", "-m", "set up"]);
    let files = [".lfsconfig", "datamon.toml", ".gitattributes", ".git/config", ".git/hooks/pre-push"];
    let before = files.map(|file| repo.read(file));
    datamon(&env, "data", &args);
    datamon(&env, "data", &["init"]);
    assert_eq!(status(&repo), [] as [&str; 0]);
    assert_eq!(files.map(|file| repo.read(file)), before);
}

#[test]
fn with_no_store_named_it_is_the_user_s_own() {
    let env = machine();
    let repo = env.init("data");
    datamon(&env, "data", &["init"]);
    assert_eq!(repo.git(["config", "-f", ".lfsconfig", "lfs.url"]).text(), "datamon::local");
    assert!(env.root().join("xdg/data/git-datamon/store/datamon.json").exists());
}

#[test]
fn a_directory_is_named_so_that_it_means_the_same_everywhere() {
    let env = machine();
    let repo = env.init("data");
    datamon(&env, "data", &["init", "--store", "../a store"]);
    let url = repo.git(["config", "-f", ".lfsconfig", "lfs.url"]);
    assert!(
        url.text().starts_with("datamon::file:///") && url.text().ends_with("/work/a%20store"),
        "{}",
        url.text()
    );
    assert!(env.work().join("a store/datamon.json").exists());
}

#[test]
fn what_stands_in_the_files_is_kept() {
    let env = machine();
    let repo = env.init("data");
    repo.write(".lfsconfig", "# ours\n[lfs]\n\tfetchexclude = big/**\n");
    repo.write(".gitattributes", "*.txt text\n");
    repo.write("datamon.toml", "# ours\n[other]\nkey = 1\n");
    repo.write(".git/hooks/pre-push", "#!/bin/sh\nexit 0\n");
    datamon(&env, "data", &["init", "--store", &store(&env), "--track", "*.bin"]);
    let lfsconfig = text(&repo, ".lfsconfig");
    assert!(
        lfsconfig.starts_with("# ours\n[lfs]\n\tfetchexclude = big/**\n\turl = datamon::"),
        "{lfsconfig}"
    );
    assert!(text(&repo, ".gitattributes").starts_with("*.txt text\n*.bin filter=lfs"));
    assert!(text(&repo, "datamon.toml").starts_with("# ours\n[other]\nkey = 1\n"));
    assert_eq!(text(&repo, ".git/hooks/pre-push.before-datamon"), "#!/bin/sh\nexit 0\n");
}

#[test]
fn before_any_install_it_sets_up_the_repository_alone() {
    let env = machine();
    let repo = env.init("data");
    let said = datamon(&env, "data", &["init", "--store", &store(&env), "--track", "*.bin", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(
        (&told["set_up"], &told["hook"], &told["trusted"]),
        (&true.into(), &"installed".into(), &true.into())
    );
    assert_eq!(told["staged"], serde_json::json!([".gitattributes", ".lfsconfig", "datamon.toml"]));
    assert!(said.stderr.contains("git datamon install"), "{}", said.stderr);
    let config = std::fs::read_to_string(env.user_config()).expect("there");
    assert!(!config.contains("lfs"), "the user's configuration is left alone: {config}");

    let (remote, bytes) = (env.init_bare("remote.git"), datamon_test_support::seeded_bytes(1, 90_000));
    repo.add_remote("origin", remote.dir());
    repo.write("a.bin", &bytes);
    repo.add(".");
    repo.commit("by git");
    repo.write("b.bin", &bytes[1..]);
    datamon(&env, "data", &["commit", "-m", "by us", "b.bin"]);
    for name in ["a.bin", "b.bin"] {
        let blob = repo.git(["cat-file", "blob", &format!("HEAD:{name}")]);
        assert!(blob.text().starts_with("version https://git-lfs"), "{name} is in git");
    }
    repo.push("origin", "main");
    datamon(&env, "data", &["fsck", "--data"]);
    let doctor = datamon(&env, "data", &["doctor"]);
    assert!(doctor.text().contains("ok      agent       git-datamon\n"), "{}", doctor.text());
    // Once more there is nothing to set up; and the machine's own word takes its place.
    let again: serde_json::Value =
        serde_json::from_slice(&datamon(&env, "data", &["init", "--json"]).stdout).expect("JSON");
    assert_eq!((&again["set_up"], &again["staged"]), (&false.into(), &serde_json::json!([])));
    datamon(&env, "data", &["install"]);
    let agent = repo.git(["config", "--show-scope", "lfs.customtransfer.datamon.path"]);
    assert!(agent.text().starts_with("global\t"), "{}", agent.text());
    let clone = remote.clone_to("clone");
    assert!(clone.read("a.bin") == bytes);
}

#[test]
fn without_git_lfs_nothing_is_half_set_up() {
    let env = machine().with_git_lfs("/bin/false");
    let repo = env.init("data");
    let (code, said) = datamon_fails(&env, "data", &["init", "--store", &store(&env), "--track", "*.bin"]);
    assert!(code == 128 && said.contains("git-datamon needs git-lfs"), "{code} {said}");
    assert_eq!(status(&repo), [] as [&str; 0]);
    assert!(!Path::new(&store(&env)).exists());
}

#[test]
fn a_store_that_only_the_repository_names_is_not_trusted() {
    let env = machine();
    env.install_git_lfs();
    let repo = env.init("data");
    datamon(&env, "data", &["init", "--store", &store(&env)]);
    repo.git(["commit", "-q", "-m", "set up"]);
    run(env.command("git").args(["config", "--global", "--unset-all", "datamon.trust"]));
    repo.clone_to("clone");
    let said = datamon(&env, "clone", &["init"]);
    assert!(said.stderr.contains("git datamon trust"), "{}", said.stderr);
    let config = std::fs::read_to_string(env.user_config()).unwrap();
    assert!(!config.contains("trust"), "{config}");
}

#[test]
fn another_store_or_server_is_a_conflict_with_a_way_out() {
    let env = machine();
    let repo = env.init("data");
    datamon(&env, "data", &["init", "--store", &store(&env)]);
    let other = env.root().join("other");
    let (code, said) = datamon_fails(&env, "data", &["init", "--store", other.to_str().unwrap()]);
    assert!(code == 3 && said.contains("git config -f .lfsconfig lfs.url datamon::file://"), "{code} {said}");
    assert!(!other.exists());

    repo.git(["config", "-f", ".lfsconfig", "lfs.url", "datamon::local"]);
    let (code, said) = datamon_fails(&env, "data", &["init"]);
    assert!(
        code == 3 && said.contains("pinned to") && said.contains("git config lfs.url datamon::local"),
        "{code} {said}"
    );

    let server = env.init("server");
    server.git(["config", "-f", ".lfsconfig", "lfs.url", "https://example.org/lfs"]);
    let (code, said) = datamon_fails(&env, "server", &["init"]);
    assert!(
        code == 3 && said.contains("https://example.org/lfs") && said.contains("git datamon adopt-lfs"),
        "{said}"
    );
}

#[test]
fn a_symlink_is_never_written_through() {
    let env = machine();
    for name in [".lfsconfig", "datamon.toml", ".gitattributes"] {
        let repo = env.init(name.trim_start_matches('.'));
        let victim = env.root().join("victim");
        std::os::unix::fs::symlink(&victim, repo.dir().join(name)).unwrap();
        let dir = name.trim_start_matches('.');
        let (_, said) = datamon_fails(&env, dir, &["init", "--store", &store(&env), "--track", "*.bin"]);
        assert!(said.contains("not a regular file"), "{said}");
        assert!(!victim.exists());
    }
}

#[test]
fn where_there_is_no_work_tree_nothing_is_done() {
    let env = machine();
    env.init_bare("bare.git");
    assert_eq!(datamon_fails(&env, "bare.git", &["init"]).0, 128);
    let (code, said) = datamon_fails(&env, ".", &["init"]);
    assert!(code == 2 && said.contains("git init"), "{code} {said}");
}

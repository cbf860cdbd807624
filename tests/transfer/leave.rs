//! Out of a store: where data goes afterwards, from the clone that left and from others, and what must not go along.

use std::fs;

use datamon_test_support::{Hermetic, TestRepo, run_failing};

use super::adopt::{Legacy, configuration, tree};
use super::{Machine, assert_files, change, each_git_lfs, entries, file, first, git_fails, line_with, oid};

each_git_lfs!(
    a_clone_that_left_takes_old_data_from_the_store_and_gives_it_none,
    other_clones_are_refused_until_they_follow,
    other_clones_are_refused_also_where_no_server_is_named,
    damaged_objects_are_put_aside_and_fetched_anew,
    what_the_user_names_is_what_is_configured,
    a_key_of_the_user_that_leads_elsewhere_undoes_it,
);

const UNPIN: [&str; 3] = ["config", "--unset", "lfs.url"];

/// A legacy repository that moved into a store, with that committed and pushed.
#[track_caller]
fn adopted(legacy: &Legacy) -> TestRepo {
    let repo = legacy.fresh_clone("adopting", &[]);
    legacy.adopt(&repo, &[]);
    repo.commit("Keep big files in datamon");
    repo.push("origin", "main");
    repo
}

#[track_caller]
fn leave(repo: &TestRepo, more: &[&str]) -> String {
    let output = repo.git([&["datamon", "leave"], more].concat());
    repo.commit("Keep big files on the LFS server");
    repo.push("origin", "main");
    format!("{}\n{}", output.text(), output.stderr)
}

/// What a command that must fail exits with and says.
#[track_caller]
fn refused(env: &Hermetic, repo: &TestRepo, args: &[&str]) -> (i32, String) {
    let output = run_failing(env.command("git").current_dir(repo.dir()).arg("datamon").args(args));
    (output.code.expect("no signal"), format!("{}\n{}", output.text(), output.stderr))
}

fn pin(repo: &TestRepo) -> String {
    let listed = repo.git(["config", "--local", "--list"]);
    let pin = listed.lines().into_iter().find_map(|line| line.strip_prefix("lfs.url="));
    pin.unwrap_or_default().to_owned()
}

fn a_clone_that_left_takes_old_data_from_the_store_and_gives_it_none(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let repo = adopted(&legacy);
    repo.git(["datamon", "pull", "--data-only"]);
    assert_eq!(repo.git(["config", "lfs.allowincompletepush"]).text(), "true");
    leave(&repo, &[]);
    let kept = repo.git(["config", "--default", "unset", "--get", "lfs.allowincompletepush"]);
    assert_eq!(kept.text(), "unset", "nobody proves any more what is not here");
    let stored = entries(legacy.store().as_ref());
    // The commit of before names the store.
    fs::remove_dir_all(repo.dir().join(".git/lfs/objects")).unwrap();
    repo.git(["checkout", "-q", "-b", "older", "main~1"]);
    repo.git(["lfs", "pull"]);
    assert_files(&repo, &tree(4));
    assert_eq!(pin(&repo), "", "no pin came back");
    change(&repo, "on the older branch", &file("older.bin", 50, 9_000));
    let said = git_fails(&repo, &["push", "-q", "origin", "older"]);
    assert!(line_with(&said, "has left").contains("git datamon init"), "{said}");
    let (_, said) = refused(&legacy.env, &repo, &["doctor"]);
    assert!(line_with(&said, "BROKEN  pin").contains("has left"), "{said}");
    assert_eq!(entries(legacy.store().as_ref()), stored);

    repo.git(["merge", "-q", "-m", "merge", "main"]);
    repo.push("origin", "older");
    assert!(legacy.server.oids().contains(&oid(&repo.read("older.bin"))));
    let said = repo.git(["datamon", "doctor"]);
    assert!(line_with(said.text(), "note    store").contains(&legacy.server.url()), "{}", said.text());
    assert!(line_with(said.text(), "note    store").contains("it left file://"), "{}", said.text());

    // Back into the store: nothing is left of having left.
    legacy.adopt(&repo, &[]);
    repo.commit("Keep big files in datamon again");
    change(&repo, "there again", &file("again.bin", 51, 9_000));
    repo.push("origin", "older");
    assert!(!legacy.server.oids().contains(&oid(&repo.read("again.bin"))));
    let config = String::from_utf8(repo.read(".git/config")).unwrap();
    assert!(!config.contains("left = ") && pin(&repo).starts_with("datamon::"), "{config}");
}

fn other_clones_are_refused_until_they_follow(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let repo = adopted(&legacy);
    let clones: Vec<TestRepo> = ["with hook", "without"]
        .map(|name| {
            let clone = machine().clone_from(legacy.remote.dir(), name);
            super::trust(&clone);
            if name == "with hook" {
                clone.git(["datamon", "-q", "init"]);
            }
            clone
        })
        .into();
    leave(&repo, &[]);
    let stored = entries(legacy.store().as_ref());
    for clone in &clones {
        clone.git(["pull", "-q"]);
        assert!(pin(clone).starts_with("datamon::"));
    }
    for (n, clone) in (60..).zip(&clones) {
        let name = format!("{n}.bin");
        let branch = if n == 60 { "main" } else { "other" };
        change(clone, "new", &file(&name, n, 9_000));
        let push = ["push", "-q", "origin", &format!("main:{branch}")];
        let said = git_fails(clone, &push);
        assert!(said.contains(&legacy.server.url()) && said.contains("git config --unset lfs.url"), "{said}");
        assert!(!said.contains("datamon.prePush=off"), "{said}");
        let (_, said) = refused(clone.env(), clone, &["doctor"]);
        assert!(line_with(&said, "BROKEN  pin").contains(&legacy.server.url()), "{said}");
        assert!(said.contains("git config --unset lfs.url"), "{said}");
        assert_eq!(refused(clone.env(), clone, &["push"]).0, 3);
        assert_eq!(entries(legacy.store().as_ref()), stored);
        clone.git(UNPIN);
        clone.git(push);
        assert!(legacy.server.oids().contains(&oid(&clone.read(&name))));
        if n == 60 {
            // Where the store lacks what is on the server by now, the reason is told.
            let said = git_fails(&clones[1], &["pull", "-q"]);
            assert!(line_with(&said, "does not have").contains("git config --unset lfs.url"), "{said}");
            clones[1].git(["reset", "-q", "--hard", "main"]);
        }
    }
    assert_eq!(entries(legacy.store().as_ref()), stored);
}

fn other_clones_are_refused_also_where_no_server_is_named(machine: Machine) {
    let legacy = Legacy::new(machine, |_, _| {});
    let repo = adopted(&legacy);
    let clone = machine().clone_from(legacy.remote.dir(), "clone");
    super::trust(&clone);
    leave(&repo, &[]);
    assert!(!repo.dir().join(".lfsconfig").exists());
    let stored = entries(legacy.store().as_ref());
    // A branch from before the store is served by the pin, both ways.
    clone.git(["checkout", "-q", "-b", "before", "main~1"]);
    change(&clone, "before", &file("before.bin", 70, 9_000));
    clone.push("origin", "before");
    assert_eq!(entries(legacy.store().as_ref()), stored + 1);
    clone.git(["checkout", "-q", "main"]);
    clone.git(["pull", "-q"]);
    change(&clone, "new", &file("new.bin", 71, 9_000));
    let said = git_fails(&clone, &["push", "-q", "origin", "main"]);
    assert!(
        said.contains("names no store any more") && said.contains("git config --unset lfs.url"),
        "{said}"
    );
    assert_eq!(entries(legacy.store().as_ref()), stored + 1);
    clone.git(UNPIN);
    clone.push("origin", "main");
    assert!(legacy.remote.lfs_objects().contains(&oid(&clone.read("new.bin"))));
}

fn damaged_objects_are_put_aside_and_fetched_anew(machine: Machine) {
    let legacy = Legacy::new(machine, |_, _| {});
    let repo = adopted(&legacy);
    let object = |oid: &str| repo.dir().join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid);
    let (turned, cut) = (oid(&tree(1)["data/large.bin"]), oid(&tree(2)["small 1.bin"]));
    super::flip(&object(&turned), 1000);
    super::overwrite(&object(&cut), b"short");
    // A directory takes whatever it is given.
    let back = legacy.env.init_bare("back.git");
    let said = leave(&repo, &["--to", back.dir().to_str().unwrap()]);
    for oid in [&turned, &cut] {
        assert!(line_with(&said, oid).contains("damaged here"), "{said}");
        assert!(repo.dir().join(".git/lfs/bad").join(oid).exists());
    }
    line_with(&said, "fetched 2 files");
    assert_eq!(back.lfs_objects(), legacy.oids());
    let objects = super::objects(&back.dir().join("lfs/objects"));
    assert!(objects.into_values().all(|path| path.ends_with(oid(&fs::read(&path).unwrap()))));

    // What the store does not have either is told, and stops it.
    let repo = legacy.fresh_clone("again", &[]);
    repo.git(["reset", "-q", "--hard", "HEAD~1"]);
    repo.git(["config", "lfs.url", &format!("datamon::file://{}", legacy.store())]);
    change(&repo, "only here", &file("only here.bin", 80, 9_000));
    let only = oid(&repo.read("only here.bin"));
    let path = repo.dir().join(".git/lfs/objects").join(&only[..2]).join(&only[2..4]).join(&only);
    super::flip(&path, 1);
    repo.git(["rm", "-q", "only here.bin"]);
    repo.commit("not even here");
    let before = configuration(&repo);
    let third = legacy.env.init_bare("third.git");
    let to = ["leave", "--to", third.dir().to_str().unwrap()];
    let (code, said) = refused(&legacy.env, &repo, &to);
    assert!(code == 2 && line_with(&said, "1 objects are missing").contains("stays as it was"), "{said}");
    assert!(configuration(&repo) == before && third.lfs_objects().is_empty());
    repo.git([&["datamon"], &to[..], &["--allow-missing"]].concat());
    assert_eq!(third.lfs_objects(), legacy.oids());
}

/// What git-lfs would do in a fresh clone: the URL it shows, and no key for uploads alone.
#[track_caller]
fn assert_configured(repo: &TestRepo, url: &str) {
    assert_eq!(repo.git(["config", "-f", ".lfsconfig", "lfs.url"]).text(), url);
    let keys = repo.git(["config", "-f", ".lfsconfig", "--list"]).text().to_owned();
    assert!(!keys.contains("pushurl"), "{keys}");
    let own = repo.git(["config", "--local", "--list"]).text().to_owned();
    assert!(!own.contains("lfs.url") && !own.contains("lfs.pushurl") && !own.contains("before"), "{own}");
}

fn what_the_user_names_is_what_is_configured(machine: Machine) {
    let legacy = Legacy::new(machine, |repo, server| {
        let nowhere = "http://127.0.0.1:9/x";
        let remote = format!("[remote \"named\"]\n\tlfsurl = {}\n", server.url());
        repo.write(".lfsconfig", format!("[lfs]\n\turl = {nowhere}\n\tpushurl = {nowhere}\n{remote}"));
        repo.add(".lfsconfig");
        repo.git(["config", "lfs.url", &server.url()]);
        repo.git(["config", "lfs.pushurl", &server.url()]);
    });
    let repo = &legacy.repo;
    legacy.adopt(repo, &[]);
    repo.commit("Keep big files in datamon");
    repo.git(["config", "remote.named.url", "http://127.0.0.1:9/git"]);
    let back = legacy.env.init_bare("sub/back.git");
    repo.git(["config", "remote.near.url", "../sub/back.git"]);
    fs::create_dir(repo.dir().join("below")).unwrap();
    let file = format!("file://{}", back.dir().display());
    let server = legacy.server.url();
    for (to, url) in [
        ("named", &server),
        ("near", &file),
        ("../../sub/back.git", &file),
        (&file, &file),
        (&server, &server),
    ] {
        repo.git(["-C", "below", "datamon", "leave", "--to", to]);
        assert_configured(repo, url);
        repo.git(["commit", "-q", "-m", "leave"]);
        change(repo, to, &super::file("more.bin", to.len() as u64, 9_000));
        repo.push("origin", "HEAD:main");
        let new = oid(&repo.read("more.bin"));
        let there = if url == &file {
            back.lfs_objects().contains(&new)
        } else {
            legacy.server.oids().contains(&new)
        };
        assert!(there, "what is pushed after --to {to} goes there");
        repo.git(["reset", "-q", "--hard", "HEAD~2"]);
        repo.git(["push", "-q", "-f", "--no-verify", "origin", "HEAD:main"]);
        repo.git(["datamon", "-q", "init"]);
    }

    repo.git(["config", "remote.ours.lfsurl", "datamon::local"]);
    let before = configuration(repo);
    for to in ["datamon::local", "ours"] {
        let (code, said) = refused(&legacy.env, repo, &["leave", "--to", to]);
        assert!(code == 64 && said.contains("not an LFS server"), "{said}");
    }
    assert_eq!(configuration(repo), before);
}

fn a_key_of_the_user_that_leads_elsewhere_undoes_it(machine: Machine) {
    let legacy = Legacy::on_a_server(machine);
    let repo = adopted(&legacy);
    let elsewhere = "http://me:secret@127.0.0.1:9/x";
    repo.git(["config", "--global", "lfs.pushurl", elsewhere]);
    let before = configuration(&repo);
    let (code, said) = refused(&legacy.env, &repo, &["leave"]);
    let line = line_with(&said, "would go elsewhere");
    assert!(
        code == 3 && line.contains("lfs.pushurl in the git configuration is http://127.0.0.1:9/x"),
        "{said}"
    );
    assert!(
        said.contains("git config --global --unset-all lfs.pushurl") && !said.contains("secret"),
        "{said}"
    );
    assert!(configuration(&repo) == before, "{said}");
    let (_, said) = refused(&legacy.env, &repo, &["doctor"]);
    assert!(line_with(&said, "BROKEN  store").contains("lfs.pushurl in the git configuration"), "{said}");
    assert!(
        said.contains("git config --global --unset-all lfs.pushurl") && !said.contains("secret"),
        "{said}"
    );
    change(&repo, "new", &file("new.bin", 90, 9_000));
    let said = git_fails(&repo, &["push", "-q", "origin", "main"]);
    assert!(
        said.contains("git config --global --unset-all lfs.pushurl") && !said.contains("secret"),
        "{said}"
    );

    repo.git(["config", "--global", "--unset-all", "lfs.pushurl"]);
    repo.push("origin", "main");
    // The same for where downloads come from, whatever the remote is called.
    repo.git(["config", "--global", "lfs.url", "http://127.0.0.1:9/x"]);
    for (remote, other) in [("origin", "up"), ("up", "origin")] {
        let before = configuration(&repo);
        let (_, said) = refused(&legacy.env, &repo, &["leave", "--to", remote]);
        line_with(&said, "would go elsewhere: lfs.url in the git configuration");
        assert_eq!(configuration(&repo), before);
        repo.git(["remote", "rename", remote, other]);
    }
    repo.git(["config", "--global", "--unset-all", "lfs.url"]);
    leave(&repo, &[]);
    assert_eq!(legacy.server.oids().len(), 21);
}

#[test]
fn a_password_is_used_and_neither_written_nor_shown() {
    let legacy = Legacy::on_a_server(first);
    let repo = adopted(&legacy);
    let server = legacy.server.url();
    let with = |user: &str| server.replace("http://", &format!("http://{user}@"));
    legacy.server.lose(&oid(&tree(4)["data/large.bin"]));
    let output = repo.git(["datamon", "leave", "--to", &with("me:secret")]);
    assert_eq!(legacy.server.oids().len(), 20);
    let said = format!("{}\n{}", output.text(), output.stderr);
    assert!(line_with(&said, "without the user").contains(&server) && !said.contains("secret"), "{said}");
    assert_configured(&repo, &server);
    let config = String::from_utf8(repo.read(".git/config")).unwrap();
    assert!(!config.contains("secret"), "{config}");
    repo.git(["reset", "-q", "--hard"]);

    // Of remotes, too, and where a token stands for the user.
    let (plain, clone) = (legacy.env.init("plain"), legacy.fresh_clone("clone", &[]));
    plain.add_remote("origin", with("secret"));
    change(&plain, "data", &file("a.txt", 1, 10));
    let said = plain.git(["datamon", "doctor"]);
    assert!(line_with(said.text(), "note    store").contains("127.0.0.1"), "{}", said.text());
    assert!(!said.text().contains("secret"), "{}", said.text());
    plain.git(["config", "lfs.url", &with("me:secret")]);
    let (_, said) = refused(&legacy.env, &plain, &["init"]);
    assert!(
        line_with(&said, "keeps its data on").contains("127.0.0.1") && !said.contains("secret"),
        "{said}"
    );
    clone.add_remote("token", with("secret"));
    let said = clone.git(["datamon", "leave", "--dry-run", "--to", "token"]);
    assert!(line_with(said.text(), "to push to").contains("127.0.0.1") && !said.text().contains("secret"));
    clone.git(["reset", "-q", "--hard", "main~1"]);
    let store = legacy.env.root().join("another");
    let from = ["datamon", "adopt-lfs", "--dry-run", "--from", "token", "--store", store.to_str().unwrap()];
    let said = clone.git(from);
    assert!(line_with(said.text(), "to fetch from").contains("127.0.0.1") && !said.text().contains("secret"));
}

#[test]
fn edits_of_the_user_stay_out_of_it() {
    let legacy = Legacy::on_a_server(first);
    let repo = legacy.fresh_clone("adopting", &[]);
    let before = configuration(&repo);
    // What adopt-lfs staged may be taken back right away.
    legacy.adopt(&repo, &[]);
    repo.git(["datamon", "leave"]);
    assert_eq!(repo.git(["status", "--porcelain"]).text(), "A  datamon.toml");
    assert_eq!(configuration(&repo).0, before.0);
    legacy.adopt(&repo, &[]);
    repo.commit("Keep big files in datamon");

    let edited = [&repo.read(".lfsconfig")[..], b"# mine\n"].concat();
    repo.write(".lfsconfig", &edited);
    let (code, said) = refused(&legacy.env, &repo, &["leave"]);
    assert!(code == 3 && said.contains("not committed") && said.contains("git restore .lfsconfig"), "{said}");
    assert_eq!(repo.read(".lfsconfig"), edited);
    fs::remove_file(repo.dir().join(".lfsconfig")).unwrap();
    assert_eq!(refused(&legacy.env, &repo, &["leave"]).0, 3);
    repo.git(["restore", ".lfsconfig"]);
    repo.git(["rm", "-q", "--cached", ".lfsconfig"]);
    assert_eq!(refused(&legacy.env, &repo, &["leave"]).0, 3);
    repo.git(["reset", "-q"]);
    repo.git(["datamon", "leave"]);
}

#[test]
fn a_clone_that_was_never_pinned_is_not_pinned_afterwards() {
    let legacy = Legacy::on_a_server(first);
    adopted(&legacy);
    let clone = legacy.fresh_clone("fresh", &[]);
    assert_eq!(pin(&clone), "");
    let (server, before) = (legacy.server.url(), configuration(&clone));
    clone.git(["datamon", "leave", "--dry-run"]);
    assert_eq!(configuration(&clone), before);
    leave(&clone, &["--to", &server]);
    assert_eq!(pin(&clone), "");
    assert_configured(&clone, &server);
    // Typed again by somebody whose clone is pinned: the committed server is where it goes, and stays.
    clone.git(["config", "lfs.url", &format!("datamon::file://{}", legacy.store())]);
    clone.git(["config", "--unset", "datamon.left"]);
    clone.git(["datamon", "leave"]);
    assert_configured(&clone, &server);
    assert_eq!(clone.git(["status", "--porcelain"]).text(), "");
}

#[test]
fn a_push_without_the_data_can_be_typed_as_told() {
    let team = super::Team::pushed(first);
    team.change("second", &super::files(2));
    fs::rename(&team.store, team.env.root().join("away")).unwrap();
    let said = git_fails(&team.repo, &["push", "-q", "origin", "main"]);
    assert!(line_with(&said, "without the data").ends_with("GIT_LFS_SKIP_PUSH=1 git push"), "{said}");
    super::git_with(&team.repo, &[("GIT_LFS_SKIP_PUSH", "1")], &["push", "-q", "origin", "main"]);
}

#[test]
fn a_remote_that_is_pushed_elsewhere_has_to_be_named() {
    let team = super::Team::pushed(first);
    let elsewhere = team.env.init_bare("elsewhere.git");
    let url = elsewhere.dir().to_str().expect("plain");
    team.repo.git(["remote", "set-url", "--push", "origin", url]);
    let (code, said) = refused(&team.env, &team.repo, &["leave"]);
    assert!(code == 3 && said.contains(url) && said.contains("--to <URL>"), "{code} {said}");
    assert!(pin(&team.repo).starts_with("datamon::"));
    assert_eq!(elsewhere.lfs_objects().len() + team.remote.lfs_objects().len(), 0, "nothing was sent");
    team.repo.git(["datamon", "leave", "--to", url]);
    assert!(elsewhere.lfs_objects().contains(&oid(&team.repo.read("large.bin"))));
}

#[test]
fn a_run_that_was_ended_at_the_end_is_completed() {
    let team = super::Team::pushed(first);
    let repo = &team.repo;
    let path = repo.dir().join(".git/hooks/pre-push");
    let (ours, to) = (fs::read(&path).expect("there"), team.remote.dir().to_str().expect("plain"));
    repo.git(["datamon", "leave", "--to", to]);
    let theirs = fs::read(&path).expect("there");
    assert_ne!(ours, theirs);
    // What was left to do when the clone was led to the server already.
    fs::write(&path, &ours).expect("written");
    repo.git(["config", "datamon.before.url", "https://example.org/lfs"]);
    repo.git(["config", "lfs.allowincompletepush", "true"]);
    repo.git(["datamon", "leave"]);
    assert_eq!(fs::read(&path).expect("there"), theirs);
    let left = repo.git(["config", "--local", "--list"]);
    assert!(!left.text().contains("datamon.before") && !left.text().contains("allowincomplete"), "{left:?}");
    let (code, said) = refused(&team.env, repo, &["leave"]);
    assert!(code == 2 && said.contains("no datamon store"), "{code} {said}");
    repo.commit("left");
    repo.push("origin", "main");
}

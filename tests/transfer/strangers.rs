//! Repositories that somebody else wrote, and machines that lack something: what is refused, and the line to type.

use std::fs;

use datamon_test_support::{Hermetic, TestRepo, run, run_failing};

use super::{
    Machine, Team, assert_files, change, each_git_lfs, file, files, first, git_fails, line_with, trust,
};

each_git_lfs!(
    an_upload_to_a_store_that_only_the_repository_names_waits_for_a_word,
    a_committed_url_that_moved_is_not_followed_silently,
    a_committed_pushurl_leads_no_upload_past_the_pin,
    a_pin_that_a_download_made_is_no_word_of_the_user,
    a_receipt_of_another_push_proves_nothing,
    other_keys_of_lfsconfig_do_nothing,
    urls_nobody_would_write_are_refused,
    without_the_install_the_clone_says_so_and_can_be_repaired,
    a_store_of_one_user_cannot_be_cloned_by_another,
);

/// Commits a `.lfsconfig` and pushes the commit without any data.
fn commit_lfsconfig(repo: &TestRepo, text: &str) {
    repo.write(".lfsconfig", text);
    repo.add(".lfsconfig");
    repo.commit("another .lfsconfig");
    repo.git(["push", "-q", "--no-verify", "origin", "HEAD:main"]);
}

fn an_upload_to_a_store_that_only_the_repository_names_waits_for_a_word(machine: Machine) {
    let team = Team::pushed(machine);
    let clone = team.clone_elsewhere(machine);
    change(&clone, "second", &files(2));
    for push in [&["push", "origin", "main"][..], &["lfs", "push", "origin", "main"], &["datamon", "push"]] {
        let said = git_fails(&clone, push);
        let line = line_with(&said, "git datamon trust");
        assert!(
            line.contains(team.store.to_str().unwrap()) && line.contains("nothing was uploaded"),
            "{said}"
        );
        assert_eq!(team.entries(), 3);
    }
    trust(&clone);
    clone.push("origin", "main");
    assert_eq!(team.entries(), 4);
    assert_files(&team.clone_elsewhere(machine), &files(2));
}

fn a_committed_url_that_moved_is_not_followed_silently(machine: Machine) {
    let team = Team::pushed(machine);
    let clone = team.clone_elsewhere(machine);
    trust(&clone);
    let elsewhere = team.env.root().join("elsewhere");
    run(team.env.command("cp").arg("-r").args([&team.store, &elsewhere]));
    let moved = format!("datamon::file://{}", elsewhere.display());
    commit_lfsconfig(&clone, &format!("[lfs]\n\turl = {moved}\n"));
    change(&clone, "second", &files(2));
    for push in [&["push", "origin", "main"][..], &["lfs", "push", "origin", "main"]] {
        let said = git_fails(&clone, push);
        let line = line_with(&said, "nothing was uploaded");
        assert!(line.contains(&format!("git config lfs.url {moved}")), "{said}");
    }
    assert_eq!((team.entries(), super::entries(&elsewhere)), (3, 3));
    // Typed as told; the other store is another place to trust.
    clone.git(["config", "lfs.url", &moved]);
    assert!(git_fails(&clone, &["push", "origin", "main"]).contains("git datamon trust"));
    trust(&clone);
    clone.push("origin", "main");
    assert_eq!((team.entries(), super::entries(&elsewhere)), (3, 4));
}

fn a_committed_pushurl_leads_no_upload_past_the_pin(machine: Machine) {
    let team = Team::pushed(machine);
    let evil = team.env.init_bare("evil.git");
    let other = team.env.root().join("other");
    let other = other.to_str().unwrap();
    team.env.init("another");
    run(team.env.command("git").args(["-C", "another", "datamon", "-q", "init", "--store", other]));
    let store = team.store.display();
    // A store the user trusts for something else, and a place that is no store of ours at all.
    for elsewhere in [format!("datamon::file://{other}"), format!("file://{}", evil.dir().display())] {
        let before = team.entries();
        commit_lfsconfig(
            &team.repo,
            &format!("[lfs]\n\turl = datamon::file://{store}\n\tpushurl = {elsewhere}\n"),
        );
        change(&team.repo, "data", &file("new.bin", before as u64 + elsewhere.len() as u64, 30_000));
        let said = git_fails(&team.repo, &["push", "-q", "origin", "main"]);
        line_with(&said, "pinned to");
        assert_eq!((team.entries(), evil.lfs_objects().len()), (before, 0), "{elsewhere}");
        assert_eq!(super::entries(std::path::Path::new(other)), 2, "{elsewhere}");
    }
}

fn a_pin_that_a_download_made_is_no_word_of_the_user(machine: Machine) {
    let team = Team::pushed(machine);
    let clone = team.clone_elsewhere(machine);
    assert!(clone.git(["config", "--local", "lfs.url"]).text().starts_with("datamon::"));
    clone.git(["rm", "-q", ".lfsconfig"]);
    clone.commit("no .lfsconfig");
    clone.git(["datamon", "-q", "init"]);
    change(&clone, "second", &files(2));
    assert!(git_fails(&clone, &["push", "origin", "main"]).contains("git datamon trust"));
}

fn a_receipt_of_another_push_proves_nothing(machine: Machine) {
    let team = Team::pushed(machine);
    let oid = super::oid(b"nobody has this");
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 15\n");
    team.repo.write("ghost.bin", pointer);
    team.repo.add(".");
    team.repo.commit("a ghost");
    team.repo.git(["config", "lfs.allowincompletepush", "true"]);
    for receipt in ["", "/nonexistent/receipt"] {
        let mut push = team.env.command("git");
        push.current_dir(team.repo.dir())
            .env("DATAMON_RECEIPT", receipt)
            .args(["push", "-q", "origin", "main"]);
        assert!(run_failing(&mut push).stderr.contains("neither on this machine nor in the store"));
    }
}

fn other_keys_of_lfsconfig_do_nothing(machine: Machine) {
    let team = Team::pushed(machine);
    let pwned = team.env.root().join("pwned");
    let script = team.env.root().join("evil.sh");
    fs::write(&script, format!("#!/bin/sh\ntouch '{}'\n", pwned.display())).unwrap();
    run(team.env.command("chmod").arg("+x").arg(&script));
    let (script, store) = (script.display(), team.store.display());
    commit_lfsconfig(
        &team.repo,
        &format!(
            "[lfs]\n\turl = datamon::file://{store}\n\tstandalonetransferagent = evil\n\tstorage = ../../stolen\n\
             [lfs \"customtransfer.evil\"]\n\tpath = {script}\n\
             [lfs \"customtransfer.datamon\"]\n\tpath = {script}\n\targs = x\n\
             [lfs \"datamon::\"]\n\tstandalonetransferagent = evil\n\
             [datamon]\n\ttrust = anything\n\tprePush = off\n[core]\n\thooksPath = ..\n\tsshCommand = {script}\n\
             [filter \"lfs\"]\n\tprocess = {script}\n"
        ),
    );
    let clone = team.clone_elsewhere(machine);
    assert_files(&clone, &files(1));
    change(&clone, "second", &files(2));
    assert!(git_fails(&clone, &["push", "origin", "main"]).contains("git datamon trust"));
    assert!(!pwned.exists() && !clone.env().work().join("stolen").exists());
    assert_eq!(team.entries(), 3);
}

fn urls_nobody_would_write_are_refused(machine: Machine) {
    let team = Team::pushed(machine);
    let cases = [
        ("datamon::gopher://host/path", "opens no gopher:// stores"),
        ("datamon::relative/path", "is no store"),
        ("datamon::", "nothing stands behind"),
        ("datamon::file:///srv/../etc", "is not a datamon store"),
        ("datamon::--upload-pack=x", "starts with a dash"),
        ("datamon::file:///a\\tb", "control character"),
        ("datamon::file:///a\\nb", "control character"),
        ("datamon::file:///a%0ab", "control character"),
    ];
    for (url, words) in cases {
        commit_lfsconfig(&team.repo, &format!("[lfs]\n\turl = \"{url}\"\n"));
        let env = machine();
        let remote = team.remote.dir().to_str().unwrap();
        run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
        let clone = env.repo("clone");
        let said = git_fails(&clone, &["datamon", "stats"]);
        let line = line_with(&said, words);
        assert!(line.starts_with("error: ") && said.trim().lines().count() <= 2, "{url}: {said}");
        // Whatever git-lfs itself makes of the URL, nothing comes from it.
        let said = git_fails(&clone, &["lfs", "pull"]);
        if !url.contains('\\') {
            line_with(&said, words);
        }
        assert_eq!(clone.lfs_objects().len(), 0, "{url}");
    }
}

fn without_the_install_the_clone_says_so_and_can_be_repaired(machine: Machine) {
    let team = Team::pushed(machine);
    let env = machine();
    run(env.command("git").args(["datamon", "install", "--uninstall"]));
    let mut clone = env.command("git");
    clone.args(["clone", "-q"]).arg(team.remote.dir()).arg("clone");
    let said = run_failing(&mut clone).stderr;
    assert!(said.contains("datamon::"), "{said}");
    let clone = env.repo("clone");
    clone.git(["datamon", "install"]);
    clone.git(["restore", "--source=HEAD", "--staged", "--worktree", ":/"]);
    assert_files(&clone, &files(1));
}

fn a_store_of_one_user_cannot_be_cloned_by_another(machine: Machine) {
    let env = machine();
    let (repo, remote) = (env.init("data"), env.init_bare("remote.git"));
    repo.git(["datamon", "-q", "init", "--track", "*.bin"]);
    change(&repo, "first", &files(1));
    repo.add_remote("origin", remote.dir());
    repo.push("origin", "main");
    assert_files(&env.clone_from(remote.dir(), "same user"), &files(1));

    let other = machine();
    let mut clone = other.command("git");
    clone.args(["clone", "-q"]).arg(remote.dir()).arg("clone");
    let said = run_failing(&mut clone).stderr;
    let line = line_with(&said, "`local`");
    assert!(line.contains("git datamon init --store URL"), "{said}");
    assert!(!other.root().join("xdg/data/git-datamon").exists(), "reading makes no store");
    // Data of one's own may start there: the store is the user's.
    let clone = other.repo("clone");
    change(&clone, "own data", &file("own.bin", 8, 30_000));
    clone.git(["config", "lfs.allowincompletepush", "true"]);
    clone.git(["push", "-q", "origin", "HEAD:own"]);
    assert!(other.root().join("xdg/data/git-datamon/store/datamon.json").exists());
}

#[test]
fn a_machine_without_git_datamon_still_pushes_by_the_shim() {
    let team = Team::pushed(first);
    team.repo.git(["config", "--global", "--unset", "lfs.datamon::.standalonetransferagent"]);
    team.change("second", &files(2));
    // The same repository on a machine whose PATH lacks git-datamon: git-lfs says which store it cannot reach.
    let bare = Hermetic::new();
    bare.install_git_lfs();
    let mut push = bare.command("git");
    let said = run_failing(push.current_dir(team.repo.dir()).args(["push", "origin", "main"])).stderr;
    assert!(said.contains("datamon::"), "{said}");
    assert_eq!(team.entries(), 3);
}

//! Commits with hostile names, made by hand: what git refuses is refused by every verb, what it takes comes where it belongs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use datamon::bundle::check_path;
use datamon_test_support::{Hermetic, TestRepo, run, run_failing};

use super::names::{listing, names, shown};
use crate::transfer::first;

/// A remote whose commit has a pointer, or a link, under each name; with a store that has the file of the pointer.
struct Remote {
    env: Hermetic,
    remote: TestRepo,
    store: PathBuf,
    pointer: String,
    bytes: Vec<u8>,
}

impl Remote {
    fn new() -> Remote {
        let env = first();
        let (repo, remote, store) = (env.init("data"), env.init_bare("remote.git"), env.root().join("store"));
        repo.git(["datamon", "-q", "init", "--store", store.to_str().expect("plain")]);
        let bytes = b"what the file has".to_vec();
        let own = [".gitattributes", ".lfsconfig", "datamon.toml"]
            .map(|name| format!("{name} !filter !diff !merge\n"));
        repo.write(".gitattributes", format!("* filter=lfs diff=lfs merge=lfs -text\n{}", own.concat()));
        repo.write("good", &bytes);
        repo.add(".");
        repo.commit("good");
        repo.add_remote("origin", remote.dir());
        repo.push("origin", "main");
        let pointer = repo.git(["rev-parse", "HEAD:good"]).text().to_owned();
        Remote { env, remote, store, pointer, bytes }
    }

    /// A commit on `branch` whose tree was made by hand.
    fn commit(&self, branch: &str, names: &[(&str, &[u8])]) {
        let listed = self.remote.git(["ls-tree", "-z", "main"]).stdout;
        let mut entries = BTreeMap::new();
        let raw = |id: &str| -> Vec<u8> {
            (0..20).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).expect("hexadecimal")).collect()
        };
        let folder = self.remote.git(["rev-parse", "main^{tree}"]).text().to_owned();
        let mut add = |mode: &str, name: &[u8], id: &str| {
            // Git sorts a directory as if a slash stood behind its name.
            let order = [name, if mode == "40000" { b"/" } else { &b""[..] }].concat();
            entries.insert(order, [format!("{mode} ").as_bytes(), name, &[0], &raw(id)].concat());
        };
        for line in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let line = std::str::from_utf8(line).expect("plain names");
            let (words, name) = line.split_once('\t').expect("a tab");
            let words: Vec<&str> = words.split(' ').collect();
            add(words[0], name.as_bytes(), words[2]);
        }
        for (mode, name) in names {
            add(mode, name, if *mode == "40000" { &folder } else { &self.pointer });
        }
        let tree: Vec<u8> = entries.into_values().flatten().collect();
        let mut write = self.env.command("git");
        write.current_dir(self.remote.dir()).args([
            "hash-object",
            "-t",
            "tree",
            "--literally",
            "-w",
            "--stdin",
        ]);
        let mut write = write.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git runs");
        write.stdin.take().expect("piped").write_all(&tree).expect("git listens");
        let id = String::from_utf8(write.wait_with_output().expect("git ends").stdout).expect("an id");
        let commit = self.remote.git(["commit-tree", id.trim(), "-p", "main", "-m", "hostile"]);
        self.remote.git(["update-ref", &format!("refs/heads/{branch}"), commit.text()]);
    }
}

#[test]
fn commits_of_any_names_are_cloned_checked_out_and_pulled_inside_or_refused() {
    let remote = Remote::new();
    let taken: Vec<Vec<u8>> = names()
        .into_iter()
        .filter(|name| check_path(name).is_ok() && !name.contains(&b'/') && name.len() <= 255)
        .filter(|name| {
            ![&b".lfsconfig"[..], b".gitattributes", b"datamon.toml", b".gitmodules"].contains(&&name[..])
        })
        .collect();
    let listed: Vec<(&str, &[u8])> = taken.iter().map(|name| ("100644", &name[..])).collect();
    remote.commit("odd", &listed);
    let env = first();
    let url = remote.remote.dir().to_str().expect("plain").to_owned();
    run(env.command("git").args(["datamon", "-q", "clone", "--branch", "odd", &url, "cloned"]));
    run(env.command("git").args(["datamon", "-q", "clone", &url, "pulled"]));
    let pulled = env.repo("pulled");
    pulled.git(["datamon", "-q", "pull", "origin", "odd"]);
    pulled.git(["datamon", "-q", "checkout", "HEAD~"]);
    pulled.git(["datamon", "-q", "checkout", "main"]);
    for (dir, name) in ["cloned", "pulled"].iter().flat_map(|dir| taken.iter().map(move |name| (dir, name))) {
        let path = env.work().join(dir).join(OsStr::from_bytes(name));
        assert!(fs::read(&path).is_ok_and(|bytes| bytes == remote.bytes), "{dir}: {}", shown(name));
    }
    assert_eq!(pulled.git(["status", "--porcelain"]).text(), "");
    pulled.git(["datamon", "-q", "checkout", "origin/odd", "--dest", "../written"]);
    for name in &taken {
        let path = env.work().join("written").join(OsStr::from_bytes(name));
        assert!(fs::read(&path).is_ok_and(|bytes| bytes == remote.bytes), "--dest: {}", shown(name));
    }
    pulled.git(["datamon", "-q", "trust", remote.store.to_str().expect("plain")]);
    // Committed by us, they come back as well.
    for name in &taken {
        fs::write(pulled.dir().join(OsStr::from_bytes(name)), b"changed").expect("writable");
    }
    pulled.git(["datamon", "-q", "commit", "-m", "changed", "."]);
    assert_eq!(pulled.git(["status", "--porcelain"]).text(), "");
    pulled.git(["datamon", "-q", "push", "origin", "HEAD:changed"]);
    run(env.command("git").args(["datamon", "-q", "clone", "--branch", "changed", &url, "again"]));
    let again = env.work().join("again");
    assert!(
        taken
            .iter()
            .all(|name| fs::read(again.join(OsStr::from_bytes(name))).is_ok_and(|it| it == b"changed"))
    );
    // And a version of it without git.
    pulled.git(["datamon", "-q", "bundle"]);
    pulled.git(["datamon", "-q", "download", "HEAD", "--dest", "../dest"]);
    assert!(taken.iter().all(|name| env.work().join("dest").join(OsStr::from_bytes(name)).is_file()));
}

#[test]
fn commits_that_lead_out_are_refused_by_every_verb() {
    let remote = Remote::new();
    let hostile: [(&str, &[u8]); 9] = [
        ("40000", b".."),
        ("40000", b".git"),
        ("40000", b".GIT"),
        ("40000", b"git~1"),
        ("100644", b".git"),
        ("100644", b"../out"),
        ("100644", b"a/../../out"),
        ("120000", b".gitmodules"),
        ("100644", b".git "),
    ];
    let url = remote.remote.dir().to_str().expect("plain").to_owned();
    for (n, entry) in hostile.iter().enumerate() {
        remote.commit("hostile", &[*entry]);
        let env = first();
        run(env.command("git").args(["datamon", "-q", "clone", &url, "there"]));
        let there = env.repo("there");
        let before = listing(&env.work());
        let mut clone = env.command("git");
        clone.args(["datamon", "-q", "clone", "--branch", "hostile", &url, "new"]);
        for mut command in [
            clone,
            verb(&there, &["checkout", "origin/hostile"]),
            verb(&there, &["pull", "origin", "hostile"]),
        ] {
            let said = run_failing(&mut command);
            assert!(
                !said.stderr.contains("panicked") && !said.stderr.trim().is_empty(),
                "{n}: {}",
                said.stderr
            );
        }
        let mut now = listing(&env.work());
        let own = |path: &Path| {
            path.starts_with(env.work().join("new")) || path.starts_with(there.dir().join(".git"))
        };
        now.retain(|path, _| !own(path));
        let mut before = before;
        before.retain(|path, _| !own(path));
        assert_eq!(now, before, "{n}");
        assert!(!there.dir().join(".git/hooks/good").exists());
    }
}

fn verb(repo: &TestRepo, args: &[&str]) -> std::process::Command {
    let mut command = repo.env().command("git");
    command.current_dir(repo.dir()).args(["datamon", "-q"]).args(args);
    command
}

#[test]
fn programs_that_lie_in_a_repository_are_not_run() {
    let remote = Remote::new();
    let env = first();
    let url = remote.remote.dir().to_str().expect("plain").to_owned();
    run(env.command("git").args(["datamon", "-q", "clone", &url, "there"]));
    let (there, witness) = (env.repo("there"), env.root().join("witness"));
    let names = ["git", "git.exe", "git-lfs", "git-datamon", "git-upload-pack", "sh", "ssh", "editor"];
    for name in names {
        there.write(name, format!("#!/bin/sh\ntouch '{}'\n", witness.display()));
        fs::set_permissions(there.dir().join(name), Permissions::from_mode(0o755)).expect("ours");
    }
    // All of it in the folder where they lie, where a machine that looks there first would find them.
    there.git(["datamon", "-q", "trust", remote.store.to_str().expect("plain")]);
    there.git(["datamon", "-q", "commit", "-m", "programs", "."]);
    there.git(["datamon", "-q", "push", "origin", "HEAD:programs"]);
    run(env.command("git").args(["datamon", "-q", "clone", "--branch", "programs", &url, "new"]));
    let new = env.repo("new");
    for args in [
        &["checkout", "origin/main"][..],
        &["checkout", "programs"],
        &["pull", "origin", "programs"],
        &["bundle"],
        &["status"],
        &["fsck", "--full"],
        &["gc", "plan"],
        &["prune"],
    ] {
        run(&mut verb(&new, args));
    }
    assert!(!witness.exists());
    for name in names {
        run(&mut std::process::Command::new(new.dir().join(name)));
        assert!(fs::remove_file(&witness).is_ok(), "{name} would have been noticed");
    }
}

#[test]
fn a_file_outside_stays_as_it_is_when_it_has_a_second_name_inside() {
    let remote = Remote::new();
    let env = first();
    let url = remote.remote.dir().to_str().expect("plain").to_owned();
    for dir in ["there", "other"] {
        run(env.command("git").args(["datamon", "-q", "clone", &url, dir]));
    }
    let (there, other, outside) = (env.repo("there"), env.repo("other"), env.work().join("outside"));
    fs::write(&outside, &remote.bytes).expect("writable");
    let link = |path: PathBuf| {
        let _ = fs::remove_file(&path);
        fs::hard_link(&outside, path).expect("on one file system");
    };
    other.write("good", b"what it has later");
    other.git(["datamon", "-q", "trust", remote.store.to_str().expect("plain")]);
    other.git(["datamon", "-q", "commit", "-m", "later", "."]);
    other.git(["datamon", "-q", "push", "origin", "HEAD:main"]);
    let good = there.dir().join("good");
    for args in [&["pull", "origin", "main"][..], &["checkout", "HEAD~"], &["checkout", "main"]] {
        let before = fs::read(&good).expect("there");
        fs::write(&outside, &before).expect("writable");
        link(good.clone());
        run(&mut verb(&there, args));
        assert_eq!(fs::read(&outside).expect("there"), before, "{args:?}");
        assert_ne!(fs::read(&good).expect("there"), before, "{args:?}");
    }
    // Without git, where what lies there is replaced only if one says so.
    there.git(["datamon", "-q", "bundle"]);
    fs::create_dir(env.work().join("dest")).expect("writable");
    let dest = env.work().join("dest/good");
    link(dest.clone());
    fs::write(&outside, "as it was").expect("writable");
    run_failing(&mut verb(&there, &["download", "HEAD", "--dest", "../dest"]));
    run(&mut verb(&there, &["download", "HEAD", "--dest", "../dest", "--force"]));
    assert_eq!(fs::read(&outside).expect("there"), b"as it was");
    assert_eq!(fs::read(&dest).expect("there"), fs::read(&good).expect("there"));
}

//! Files that git knows are taken out of every version: not while git reaches them, unless somebody says so.

use std::fs;
use std::path::Path;

use datamon::pack::FrameView;
use datamon_test_support::{TestRepo, run, run_failing, seeded_bytes};
use serde_json::Value;

use super::{Team, datamon, each_git_lfs, file, git_fails, line_with, trust};
use crate::durability::world::collect;
use crate::transfer::Machine;

fn json(repo: &TestRepo, args: &[&str]) -> Value {
    serde_json::from_str(repo.git(args).text()).expect("JSON")
}

fn files(n: u64) -> std::collections::BTreeMap<String, Vec<u8>> {
    [("data.bin", n), ("secret.bin", 99)].map(|(name, n)| (name.to_owned(), seeded_bytes(n, 300_000))).into()
}

fn what_git_reaches_goes_only_by_force(machine: Machine) {
    let team = Team::new(machine);
    for n in 1..=3 {
        team.change(&format!("number {n}"), &files(n));
        team.repo.push("origin", "main");
    }
    let redact = ["datamon", "redact", "--path", "secret.bin"];
    let planned = json(&team.repo, &[&redact[..], &["--json"]].concat());
    assert_eq!(planned["versions"].as_array().unwrap().len(), 3, "{planned}");
    assert_eq!(
        (&planned["reached"][0], planned["files"].as_array().unwrap().len()),
        (&planned["files"][0], 1)
    );
    assert!(planned["versions"][0]["commit"].is_string(), "commits are named: {planned}");
    let said = git_fails(&team.repo, &[&redact[..], &["--apply"]].concat());
    assert!(said.contains("git still reaches commits") && said.contains("--force"), "{said}");
    // What git reaches is told also where it does not count, and where git does not show all of it.
    let forced = json(&team.repo, &[&redact[..], &["--force", "--json"]].concat());
    assert_eq!(forced["reached"], forced["files"], "{forced}");
    let url = format!("file://{}", team.remote.dir().display());
    let env = machine();
    run(env.command("git").args([
        "-c",
        "lfs.fetchexclude=*",
        "clone",
        "-q",
        "--depth",
        "1",
        &url,
        "shallow",
    ]));
    let shallow = env.repo("shallow");
    trust(&shallow);
    let forced = json(&shallow, &[&redact[..], &["--force", "--json"]].concat());
    assert_eq!(forced["reached"], forced["files"], "{forced}");
    let done = team.repo.git([&redact[..], &["--force", "--apply"]].concat());
    assert!(done.stderr.contains("1 of the files are named by commits"), "{}", done.stderr);
    team.repo.git(["datamon", "gc", "run", "--grace", "0", "--orphans", "0", "--max-unused", "0"]);
    team.repo.git(["datamon", "fsck", "--data"]);
    // Whoever clones gets all that is left, and is told what is not.
    let other = machine();
    let said = run_failing(
        other
            .command("git")
            .current_dir(other.work())
            .args(["clone", "-q"])
            .arg(team.remote.dir())
            .arg("clone"),
    );
    assert!(said.stderr.contains("secret.bin"), "{}", said.stderr);
    assert!(said.stderr.contains("git config lfs.skipdownloaderrors true"), "{}", said.stderr);
    // Ours names the same, and nothing that would fail again.
    let ours = run_failing(
        other
            .command("git")
            .current_dir(other.work())
            .args(["datamon", "clone"])
            .arg(team.remote.dir())
            .arg("ours"),
    );
    assert_eq!(ours.code, Some(2), "{}", ours.stderr);
    assert!(
        ours.stderr.contains("git config lfs.skipdownloaderrors true")
            && !ours.stderr.contains("pull --data-only"),
        "{}",
        ours.stderr
    );
    assert_eq!(other.repo("ours").read("data.bin"), seeded_bytes(3, 300_000));
    let clone = other.repo("clone");
    clone.git(["config", "lfs.skipdownloaderrors", "true"]);
    clone.git(["reset", "-q", "--hard"]);
    clone.git(["checkout", "-q", "."]);
    assert_eq!(clone.read("data.bin"), seeded_bytes(3, 300_000));
    assert!(clone.read("secret.bin").starts_with(b"version https://git-lfs"), "the pointer is what is left");
    // A commit without it goes on; its version has all the others.
    team.repo.git(["rm", "-q", "secret.bin"]);
    team.repo.commit("without");
    team.repo.push("origin", "main");
    let listed = team.repo.git(["datamon", "ls", "HEAD", "-r"]);
    assert!(listed.text().contains("data.bin") && !listed.text().contains("secret"), "{}", listed.text());
    let shown = json(&team.repo, &["datamon", "show", "HEAD~", "--json"]);
    assert_eq!((&shown["redacted"][0], &shown["revision"]), (&"secret.bin".into(), &1.into()), "{shown}");
    team.assert_sound();
}

/// A file that a redaction gave up is not just missing: git-lfs and our own verbs say which one it was.
fn who_asks_for_a_redacted_file_is_told_by_which_redaction(machine: Machine) {
    let team = Team::new(machine);
    team.change("one", &files(1));
    team.repo.push("origin", "main");
    team.repo.git(["datamon", "redact", "--path", "secret.bin", "--force", "--apply"]);
    let told = team.repo.git(["datamon", "log", "--changes", "--json"]);
    let changes: Vec<Value> =
        told.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let entry = changes.iter().find(|it| it["kind"] == "redact").expect("it is told");
    let [time, who] = ["time", "contributor"].map(|field| entry[field].as_str().expect("text"));
    let by = format!("by a redaction (entry {}, {time}, by {who})", entry["seq"]);
    // All tables are merged, the file is deleted, and the change lies before a checkpoint.
    team.repo.git(["datamon", "gc", "run", "--grace", "0", "--orphans", "0", "--max-unused", "0"]);

    let other = machine();
    let mut clone = other.command("git");
    clone.current_dir(other.work()).args(["clone", "-q"]).arg(team.remote.dir()).arg("clone");
    let said = run_failing(&mut clone).stderr;
    assert!(said.contains(&by) && !said.contains("does not have"), "{said}");
    let clone = other.repo("clone");
    clone.git(["config", "lfs.skipdownloaderrors", "true"]);
    clone.git(["reset", "-q", "--hard"]);
    trust(&clone);
    // Who wants to go on without hears of it, and is not stopped.
    for (skips, code) in [("false", 2), ("true", 0)] {
        clone.git(["config", "lfs.skipdownloaderrors", skips]);
        for verb in [&["pull", "--data-only"][..], &["checkout", "-f", "main", "--", "secret.bin"]] {
            let said = datamon(&clone, verb, code);
            assert!(said.contains(&by) && !said.contains("does not have"), "{verb:?}: {said}");
        }
    }
    let said = datamon(&clone, &["fsck", "--refs"], 4);
    let finding = line_with(&said, "BAD");
    assert!(finding.contains(&by) && said.contains("secret.bin"), "{said}");
    assert!(!said.contains("never given") && !said.contains("repair"), "{said}");
    // What nobody sent is a finding beside it.
    team.change("late", &file("late.bin", 60, 9_000));
    team.repo.git(["-c", "core.hooksPath=/dev/null", "push", "-q", "origin", "main"]);
    clone.git(["fetch", "-q"]);
    let said = datamon(&clone, &["fsck", "--refs"], 4);
    assert!(line_with(&said, "never given").starts_with("BAD") && said.contains(&by), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("BAD")).count(), 2, "{said}");
}

/// It is as somebody wanted it: nothing is left to be done, and nobody is told to undo it. Who does it all the same is seen.
fn a_redacted_file_is_nothing_to_push_and_one_that_came_back_is_told(machine: Machine) {
    let team = Team::new(machine);
    team.change("one", &files(1));
    team.repo.push("origin", "main");
    datamon(&team.repo, &["status"], 0);
    team.repo.git(["datamon", "redact", "--path", "secret.bin", "--force", "--apply"]);
    let said = datamon(&team.repo, &["status"], 0);
    let line = line_with(&said, "secret.bin");
    assert!(line.starts_with("redacted  secret.bin (") && line.contains("by a redaction (entry "), "{said}");
    assert!(line.ends_with(", and on this machine still") && !said.contains("git datamon push"), "{said}");
    let status = json(&team.repo, &["datamon", "status", "--json"]);
    assert_eq!((&status["clean"], &status["here_only"]), (&true.into(), &serde_json::json!([])), "{status}");
    let gone = &status["redacted"][0];
    assert_eq!(
        (&gone["path"], &gone["here"], &gone["size"]),
        (&"secret.bin".into(), &true.into(), &300_000.into())
    );
    let by = json(&team.repo, &["datamon", "wal", "tail", "-n", "1", "--json"]);
    let told = ["seq", "time", "contributor"].map(|field| &by[field]);
    assert_eq!(["seq", "time", "contributor"].map(|field| &gone["redaction"][field]), told, "{gone}");
    assert!(!team.repo.git(["datamon", "fsck"]).text().contains("note"));
    // A clone does not have it, which is no more to be done.
    let other = machine();
    let clone = ["-c", "lfs.skipdownloaderrors=true", "clone", "-q"];
    run(other.command("git").current_dir(other.work()).args(clone).arg(team.remote.dir()).arg("clone"));
    let clone = other.repo("clone");
    let status = json(&clone, &["datamon", "status", "--json"]);
    assert_eq!(
        (&status["missing"], &status["redacted"][0]["here"]),
        (&serde_json::json!([]), &false.into()),
        "{status}"
    );

    team.repo.git(["lfs", "push", "--all", "origin"]);
    let said = datamon(&team.repo, &["fsck"], 0);
    let note = line_with(&said, "pushed again since");
    assert!(note.starts_with("note  ") && note.contains(&format!("entry {}", by["seq"])), "{said}");
    assert!(note.contains(gone["oid"].as_str().expect("text")), "{said}");
    let found = json(&team.repo, &["datamon", "fsck", "--json"]);
    assert!(found["notes"][0].as_str().is_some_and(|it| it.contains("pushed again since")), "{found}");
    assert!(!datamon(&team.repo, &["status"], 0).contains("redacted"));

    // No version has it, so no path leads there.
    let said = datamon(&team.repo, &["redact", "--path", "secret.bin"], 2);
    assert!(said.contains("no version of data has secret.bin"), "{said}");
    let again = |oid: &str, code| datamon(&team.repo, &["redact", "--oid", oid, "--force", "--apply"], code);
    let oid = gone["oid"].as_str().expect("text");
    let said = datamon(&team.repo, &["redact", "--oid", oid, "--apply"], 3);
    assert!(said.contains("git still reaches"), "{said}");
    assert!(again(oid, 0).contains("1 file of no version given up"));
    assert!(again(oid, 2).contains("they were given up before"));
    let other = "7".repeat(64);
    assert!(again(&other, 2).contains(&format!("has no file {other}")));
    let kept = super::oid(&seeded_bytes(1, 300_000));
    let said = again(&kept, 3);
    assert!(said.contains(&format!("has {kept}, at data.bin")) && said.contains("--path"), "{said}");
    team.repo.git(["datamon", "gc", "run", "--blank", "--grace", "0", "--orphans", "0"]);
    let found = json(&team.repo, &["datamon", "fsck", "--full", "--json"]);
    assert_eq!(
        (&found["notes"], &found["problems"]),
        (&serde_json::json!([]), &serde_json::json!([])),
        "{found}"
    );
    assert!(datamon(&team.repo, &["status"], 0).contains("redacted  secret.bin"));
    let line = datamon(&team.repo, &["log", "--changes"], 0);
    assert!(line_with(&line, "redact ").contains("1 files of data given up"), "{line}");
}

each_git_lfs!(
    a_redacted_file_is_nothing_to_push_and_one_that_came_back_is_told,
    what_git_reaches_goes_only_by_force,
    who_asks_for_a_redacted_file_is_told_by_which_redaction,
    what_is_blanked_is_nowhere_and_what_lay_beside_it_is_whole
);

/// Between the look at git and the entry somebody commits here, and pushes, what the plan then takes too.
#[test]
fn what_git_reaches_by_the_time_it_is_done_is_not_taken_either() {
    let team = Team::new(super::first);
    team.change("one", &file("data.bin", 1, 1000));
    team.repo.push("origin", "main");
    team.repo.git(["checkout", "-q", "-b", "side"]);
    team.change("two", &file("secret.bin", 2, 1000));
    team.repo.push("origin", "side");
    let lost = team.repo.head();
    // Nobody reaches it any more.
    team.repo.git(["checkout", "-q", "main"]);
    team.repo.git(["branch", "-q", "-D", "side"]);
    team.repo.git(["push", "-q", "origin", "--delete", "side"]);
    team.repo.git(["reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all"]);
    let todo = team.env.root().join("todo");
    let folder = team.env.root().join("between");
    let script = format!(
        "#!/bin/sh\nPATH=${{PATH#*:}}\ngit \"$@\" || exit\n\
         case \"$*\" in *--indexed-objects*) rm {todo} 2>/dev/null || exit 0 ;; *) exit 0 ;; esac\n\
         exec </dev/null >/dev/null 2>&1\ncd {repo} && echo secret >secret.bin && git add secret.bin && git commit -q -m three && \
         git push -q origin main\n",
        todo = todo.display(),
        repo = team.repo.dir().display(),
    );
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("git"), script).expect("written");
    run(team.env.command("chmod").arg("+x").arg(folder.join("git")));
    fs::write(&todo, "").expect("written");
    let mut redact = team.env.command("sh");
    let words = format!(
        "PATH={}:$PATH {} redact --path secret.bin --apply",
        folder.display(),
        env!("CARGO_BIN_EXE_git-datamon")
    );
    redact.current_dir(team.repo.dir()).args(["-c", &words]);
    let said = run_failing(&mut redact);
    assert!(!todo.exists(), "it was pushed meanwhile");
    assert!(said.code == Some(3) && said.stderr.contains("git still reaches commits"), "{}", said.stderr);
    for version in ["HEAD", &format!("commit:{lost}")] {
        let listed = team.repo.git(["datamon", "ls", version, "-r"]);
        assert!(listed.text().contains("secret.bin"), "{version}: {}", listed.text());
    }
    // Who says so takes both, and is told of all.
    let done =
        json(&team.repo, &["datamon", "redact", "--path", "secret.bin", "--force", "--apply", "--json"]);
    assert_eq!(done["versions"].as_array().expect("a list").len(), 2, "{done}");
}

#[test]
fn a_version_of_a_branch_goes_on_without_what_its_parent_lost() {
    let team = Team::new(super::first);
    team.change("one", &files(1));
    team.repo.push("origin", "main");
    team.repo.git(["datamon", "redact", "--path", "secret.bin", "--force", "--apply"]);
    // The commit still names it, and says nothing new of it: neither does its version.
    team.change("two", &[("data.bin".to_owned(), seeded_bytes(2, 300_000))].into());
    team.repo.push("origin", "main");
    let shown = json(&team.repo, &["datamon", "show", "HEAD", "--json"]);
    assert_eq!((&shown["redacted"][0], &shown["revision"]), (&"secret.bin".into(), &0.into()), "{shown}");
    assert!(!team.repo.git(["datamon", "ls", "HEAD", "-r"]).text().contains("secret"));
    // Something else at the path is another file.
    team.change("three", &[("secret.bin".to_owned(), seeded_bytes(7, 1000))].into());
    team.repo.push("origin", "main");
    assert!(team.repo.git(["datamon", "ls", "HEAD", "-r"]).text().contains("secret.bin"));
    assert_eq!(json(&team.repo, &["datamon", "show", "HEAD", "--json"])["redacted"], serde_json::json!([]));
    team.repo.git(["datamon", "fsck", "--data"]);
}

/// Whether any object of a store has these bytes, stored as they are or in a frame.
fn is_somewhere(store: &Path, bytes: &[u8]) -> bool {
    let has = |it: &[u8]| it.windows(bytes.len()).any(|window| window == bytes);
    let mut objects = vec![];
    collect(store, &mut objects);
    objects.iter().any(|path| {
        let object = fs::read(path).expect("reads");
        // A pack begins with 16 bytes, then one frame follows the other.
        let mut at = 16;
        while let Some(Ok(Some(frame))) = object.get(at..).map(FrameView::parse) {
            if frame.decode().is_ok_and(|raw| has(&raw)) {
                return true;
            }
            at += frame.len();
        }
        has(&object)
    })
}

/// A small file lies in a frame with others, some noise and some text, and goes from there.
fn what_is_blanked_is_nowhere_and_what_lay_beside_it_is_whole(machine: Machine) {
    let team = Team::new(machine);
    let secret = b"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n".repeat(9);
    let text = |n: u64| format!("{n},sensor,{}\n", n * 7).repeat(700).into_bytes();
    let mut files: std::collections::BTreeMap<String, Vec<u8>> =
        (0..8).map(|n| (format!("noise-{n}.bin"), seeded_bytes(n, 9_000))).collect();
    files.extend((0..8).map(|n| (format!("text-{n}.bin"), text(n))));
    files.insert("noise-secret.bin".to_owned(), [seeded_bytes(90, 4_000), secret.clone()].concat());
    files.insert("text-secret.bin".to_owned(), secret.clone());
    // Frames of its own, and far less than what may lie dead.
    files.insert("large.bin".to_owned(), seeded_bytes(91, 6_000_000));
    files.insert("large-secret.bin".to_owned(), seeded_bytes(92, 700_000));
    team.change("one", &files);
    team.repo.push("origin", "main");
    let key = &secret[..60];
    assert!(is_somewhere(&team.store, key), "it was pushed");
    let names = ["noise-secret.bin", "text-secret.bin", "large-secret.bin"];
    let mut redact = vec!["datamon", "redact", "--force", "--apply"];
    names.iter().for_each(|name| redact.extend(["--path", name]));
    team.repo.git(redact);
    let gc = ["datamon", "gc", "run", "--grace", "0", "--orphans", "0"];
    team.repo.git(gc);
    let large = seeded_bytes(92, 700_000);
    let middle = &large[350_000..350_060];
    assert!(is_somewhere(&team.store, key) && is_somewhere(&team.store, middle), "neighbours are needed");
    let said = team.repo.git([&gc[..], &["--blank"]].concat());
    assert!(line_with(said.text(), "blanked").contains("nothing needs them"), "{}", said.text());
    assert!(!is_somewhere(&team.store, key) && !is_somewhere(&team.store, middle), "{}", said.text());
    assert!(!is_somewhere(&team.store, &seeded_bytes(90, 4_000)[..60]));
    // Once is enough.
    let said = team.repo.git([&gc[..], &["--blank"]].concat());
    assert!(!said.text().contains("blanked"), "{}", said.text());
    team.assert_sound();
    let other = machine();
    let mut clone = other.command("git");
    clone.current_dir(other.work()).args(["clone", "-q"]).arg(team.remote.dir()).arg("clone");
    run_failing(&mut clone);
    let clone = other.repo("clone");
    clone.git(["config", "lfs.skipdownloaderrors", "true"]);
    clone.git(["reset", "-q", "--hard"]);
    for (name, bytes) in files.iter().filter(|(name, _)| !name.contains("secret")) {
        assert!(clone.read(name) == *bytes, "{name}");
    }
    // Whoever pushes it once more has it stored anew: nothing is taken for known that is zeros by now.
    team.repo.git([&["rm", "-q"], &names[..]].concat());
    team.change("two", &file("again.bin", 90, 4_000));
    team.change("three", &[("back.bin".to_owned(), files["noise-secret.bin"].clone())].into());
    team.repo.push("origin", "main");
    team.assert_sound();
    let third = machine();
    let back = third.clone_from(team.remote.dir(), "clone");
    assert!(
        back.read("back.bin") == files["noise-secret.bin"]
            && back.read("again.bin") == seeded_bytes(90, 4_000)
    );
}

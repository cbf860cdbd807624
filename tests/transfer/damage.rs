//! Stores that are gone, foreign, damaged or too new: what is hit is named, everything else goes on, nothing half right comes
//! out.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use datamon_test_support::{TestRepo, run, seeded_bytes};

use super::{Team, assert_files, file, files, first, flip, git_fails, line_with, objects, oid, overwrite};

/// The single line with which git-datamon's part ends, and that it fails.
#[track_caller]
fn error_line(repo: &TestRepo, args: &[&str], words: &str) -> String {
    let said = git_fails(repo, args);
    line_with(&said, words).to_owned()
}

/// A clone on another machine whose files are still pointers.
fn pointers_only(team: &Team) -> TestRepo {
    let env = first();
    let remote = team.remote.dir().to_str().expect("plain");
    run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
    env.repo("clone")
}

/// `git lfs pull` fails for the files of `hit` by name and brings all others.
#[track_caller]
fn assert_pull_brings_all_but(team: &Team, all: &BTreeMap<String, Vec<u8>>, hit: &[&str], words: &str) {
    let clone = pointers_only(team);
    let said = git_fails(&clone, &["lfs", "pull"]);
    for (path, bytes) in all {
        let (got, oid) = (clone.read(path), oid(bytes));
        if hit.contains(&path.as_str()) {
            assert!(got.starts_with(b"version https://git-lfs"), "{path} has bytes nobody verified");
            assert!(!clone.lfs_objects().contains(&oid), "{path}");
            let line = said.lines().find(|line| line.contains(&oid) && line.contains(words));
            assert!(line.is_some(), "no line about {path} ({oid}) with {words:?}:\n{said}");
        } else {
            assert!(got == *bytes, "{path} was not hit");
        }
    }
    super::assert_clean(&clone);
}

/// `git datamon fsck <args>` exits with 4 and says these words.
#[track_caller]
fn assert_fsck_finds(team: &Team, args: &[&str], words: &[&str]) {
    let mut command = team.env.command("git");
    command.current_dir(team.repo.dir()).args(["datamon", "fsck"]).args(args);
    let output = datamon_test_support::run_failing(&mut command);
    let said = format!("{}\n{}", output.text(), output.stderr);
    assert_eq!(output.code, Some(4), "{said}");
    for words in words {
        assert!(said.contains(words), "no {words:?}:\n{said}");
    }
}

/// The only pack of a kind.
fn pack(team: &Team, kind: &str) -> PathBuf {
    let packs: Vec<_> = objects(&team.store).into_iter().filter(|(name, _)| name.starts_with(kind)).collect();
    assert_eq!(packs.len(), 1, "{packs:?}");
    packs[0].1.clone()
}

/// The newest pack of a kind: names grow with time.
fn newest_pack(team: &Team, kind: &str) -> PathBuf {
    let packs = objects(&team.store).into_iter().filter(|(name, _)| name.starts_with(kind));
    packs.max_by_key(|(name, _)| name.rsplit('/').next().map(str::to_owned)).expect("there is one").1
}

fn entry(team: &Team, seq: u64) -> PathBuf {
    team.store.join(format!("log/{seq:016x}"))
}

#[test]
fn a_store_that_is_gone_or_a_file_is_named_and_comes_back_unharmed() {
    let team = Team::pushed(first);
    team.change("second", &files(2));
    let (away, store) = (team.env.root().join("away"), team.store.to_str().unwrap().to_owned());
    fs::rename(&team.store, &away).unwrap();
    for push in [&["push", "-q", "origin", "main"][..], &["lfs", "push", "origin", "main"]] {
        let said = error_line(&team.repo, push, "there is no store at");
        assert!(said.contains(&store) && said.contains("mount or restore it"), "{said}");
    }
    assert!(!team.store.exists(), "nobody makes a store where one was");
    let said = error_line(&pointers_only(&team), &["lfs", "pull"], "there is no store at");
    assert!(said.contains(&store), "{said}");
    assert!(error_line(&team.repo, &["datamon", "fsck"], "there is no store at").starts_with("error: "));

    fs::write(&team.store, "a file").unwrap();
    for command in
        [&["push", "-q", "origin", "main"][..], &["lfs", "push", "origin", "main"], &["datamon", "stats"]]
    {
        let said = error_line(&team.repo, command, "is a file, not a directory");
        assert!(said.contains(&store), "{said}");
    }
    fs::remove_file(&team.store).unwrap();
    fs::rename(&away, &team.store).unwrap();
    team.repo.push("origin", "main");
    assert_files(&team.clone_elsewhere(first), &files(2));
    team.assert_sound();
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let team = Team::pushed(first);
    let path = team.store.join("datamon.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replace("\"format\": 1", "\"format\": 7");
    let clone = pointers_only(&team);
    // The check is that of format 1: nobody raised it.
    overwrite(&path, newer.as_bytes());
    assert!(
        error_line(&clone, &["lfs", "pull"], "its format is not the one of its check").contains("damaged")
    );
    let (before, check) = newer.split_once(",\n  \"check\"").expect("it has a check");
    overwrite(&path, [before, check.split_once('\n').expect("its end").1].join("\n").as_bytes());
    let said = error_line(&clone, &["lfs", "pull"], "format 7");
    assert!(said.contains("upgrade git-datamon") && said.contains(team.store.to_str().unwrap()), "{said}");
    assert!(error_line(&clone, &["datamon", "stats"], "format 7").starts_with("error: "));
    overwrite(&path, b"{\"format\": ");
    assert!(error_line(&clone, &["lfs", "pull"], "datamon.json is damaged").contains("restore the file"));
    overwrite(&path, text.as_bytes());
    clone.git(["lfs", "pull"]);
    assert_files(&clone, &files(1));
}

#[test]
fn what_belongs_to_others_is_neither_taken_over_nor_an_error() {
    let team = Team::pushed(first);
    let foreign = team.env.root().join("documents");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "dear").unwrap();
    let other = team.env.init("other");
    let said =
        error_line(&other, &["datamon", "init", "--store", foreign.to_str().unwrap()], "has other files");
    assert!(said.contains("letter.txt") && said.contains(foreign.to_str().unwrap()), "{said}");
    assert_eq!(objects(&foreign).len(), 1, "nothing was written there");
    assert!(!other.dir().join(".lfsconfig").exists());

    fs::write(team.store.join("notes.txt"), "mine").unwrap();
    fs::write(team.store.join("data/readme"), "mine").unwrap();
    let said = team.repo.git(["datamon", "fsck"]);
    for name in ["notes.txt", "data/readme"] {
        assert!(line_with(said.text(), name).starts_with("note "), "{}", said.text());
    }
    assert_files(&team.clone_elsewhere(first), &files(1));
}

#[test]
fn a_flipped_bit_in_a_data_pack_costs_the_files_it_touches() {
    let team = Team::pushed(first);
    let small: BTreeMap<_, _> = file("small/0 ä.bin", 0, 0);
    assert_eq!(small.len(), 1);
    let data = pack(&team, "data/");
    let whole = fs::read(&data).unwrap();
    flip(&data, 700_000);
    assert_pull_brings_all_but(
        &team,
        &files(1),
        &["large.bin", "again/large.bin"],
        "git datamon repair --data",
    );
    team.repo.git(["datamon", "fsck"]);
    assert_fsck_finds(
        &team,
        &["--data"],
        &["large.bin", "again/large.bin", &oid(&files(1)["large.bin"]), "BAD"],
    );
    overwrite(&data, &whole);
    assert_files(&team.clone_elsewhere(first), &files(1));
    team.assert_sound();
}

/// What is proposed is said once, below what was found, and fits it.
#[test]
fn fsck_proposes_what_helps_for_what_is_damaged() {
    for (kind, by_pushes) in [("data/", true), ("meta/", false)] {
        let team = Team::pushed(first);
        let path = pack(&team, kind);
        flip(&path, fs::metadata(&path).unwrap().len() as usize / 2);
        let said = git_fails(&team.repo, &["datamon", "fsck", "--data"]);
        assert_eq!(said.contains("pushes from this machine do it too"), by_pushes, "{said}");
        for line in said.lines().filter(|line| line.starts_with("BAD")) {
            assert!(!line.contains("git datamon") && !line.contains("git lfs"), "{line}");
        }
        assert!(line_with(&said, "hint: ").contains("git datamon repair"), "{said}");
    }
}

/// A store that is moved takes no damage along without a word: what is asked to be verified has to be right before anything leads there.
#[test]
fn a_move_tells_of_damaged_packs_also_of_those_that_nothing_needs() {
    let team = Team::pushed(first);
    let (data, to) = (pack(&team, "data/"), team.env.root().join("moved"));
    let name = data.file_name().unwrap().to_str().unwrap().to_owned();
    let here = team.repo.git(["config", "lfs.url"]).text().to_owned();
    flip(&data, 700_000);
    let full = ["datamon", "store", "move", "--to", to.to_str().unwrap(), "--verify", "full"];
    let refused = |words: &str| {
        let out = datamon_test_support::run_failing(
            team.env.command("git").current_dir(team.repo.dir()).args(full),
        );
        assert_eq!(out.code, Some(4), "{}", out.stderr);
        assert!(out.stderr.contains(&name) && out.stderr.contains("nothing leads there"), "{}", out.stderr);
        assert!(out.stderr.contains(words) && !out.text().contains("every byte"), "{}", out.stderr);
        assert_eq!(team.repo.git(["config", "lfs.url"]).text(), here);
    };
    refused("git datamon repair --data --store");
    team.repo.git(["datamon", "repair", "--data"]);
    refused("git datamon gc run --store");
    team.repo.git(["datamon", "gc", "run"]);
    let said = team.repo.git(full);
    assert!(said.text().contains("every byte"), "{}", said.text());
    assert_ne!(team.repo.git(["config", "lfs.url"]).text(), here);
}

#[test]
fn a_pack_that_came_back_from_a_backup_is_relied_on_once_all_of_it_was_read() {
    for (fsck, is_relied_on) in [(&["datamon", "fsck"][..], false), (&["datamon", "fsck", "--data"], true)] {
        let team = Team::pushed(first);
        let data = pack(&team, "data/");
        let whole = fs::read(&data).unwrap();
        flip(&data, 700_000);
        assert_fsck_finds(&team, &["--data"], &["large.bin"]);
        overwrite(&data, &whole);
        // Sizes and footers alone prove nothing.
        team.repo.git(fsck);
        let size = || objects(&team.store).values().map(|at| fs::metadata(at).unwrap().len()).sum::<u64>();
        let before = size();
        let longer = [&files(1)["large.bin"][..], b"more"].concat();
        let large = longer.len() as u64;
        team.change("longer", &BTreeMap::from([("longer.bin".to_owned(), longer)]));
        team.repo.push("origin", "main");
        assert_eq!(size() - before < large / 2, is_relied_on, "{} of {large} bytes new", size() - before);
        team.assert_sound();
    }
}

#[test]
fn a_cut_or_missing_data_pack_is_found_and_named() {
    let team = Team::pushed(first);
    let second = file("second.bin", 5, 400_000);
    let (before, _) = (pack(&team, "data/"), team.change("second", &second));
    team.repo.push("origin", "main");
    let whole = fs::read(&before).unwrap();
    let hit: Vec<String> =
        files(1).into_keys().filter(|path| path.ends_with(".bin") && path != "empty.bin").collect();
    let hit: Vec<&str> = hit.iter().map(String::as_str).collect();
    let all: BTreeMap<_, _> = files(1).into_iter().chain(second).collect();

    overwrite(&before, b"");
    assert_pull_brings_all_but(&team, &all, &hit, "");
    assert_fsck_finds(&team, &[], &["has 0 bytes where", "large.bin"]);
    overwrite(&before, &whole[..800_000]);
    assert_fsck_finds(&team, &["--data"], &["has 800000 bytes where", "large.bin"]);
    fs::remove_file(&before).unwrap();
    assert_pull_brings_all_but(&team, &all, &hit, "");
    assert_fsck_finds(&team, &[], &["is missing", "large.bin", "git lfs push --all"]);
    fs::write(&before, &whole).unwrap();
    team.assert_sound();
}

#[test]
fn a_damaged_footer_costs_no_file() {
    let team = Team::pushed(first);
    let data = pack(&team, "data/");
    let len = fs::metadata(&data).unwrap().len() as usize;
    flip(&data, len - 200);
    assert_files(&team.clone_elsewhere(first), &files(1));
    assert_fsck_finds(&team, &[], &["large.bin"]);
    // Nor a push from a machine that never saw it.
    let clone = team.clone_elsewhere(first);
    super::trust(&clone);
    super::change(&clone, "on top", &files(2));
    clone.push("origin", "main");
    assert_files(&team.clone_elsewhere(first), &files(2));
}

#[test]
fn a_damaged_meta_pack_costs_the_files_whose_recipes_it_holds() {
    let team = Team::new(first);
    let old = seeded_bytes(1, 3_000_000);
    team.change("old", &BTreeMap::from([("woven.bin".to_owned(), old.clone())]));
    team.repo.push("origin", "main");
    // Pieces of the old version between new ones: too many terms for a row.
    let new = seeded_bytes(2, 3_000_000);
    let woven: Vec<u8> =
        old.chunks(150_000).zip(new.chunks(150_000)).flat_map(|(a, b)| [a, b].concat()).collect();
    let all: BTreeMap<_, _> =
        file("plain.bin", 3, 90_000).into_iter().chain([("woven.bin".to_owned(), woven)]).collect();
    team.change("woven", &all);
    team.repo.push("origin", "main");
    assert_files(&team.clone_elsewhere(first), &all);
    let meta = newest_pack(&team, "meta/");
    let whole = fs::read(&meta).unwrap();
    for damaged in [[&whole[..100], &[whole[100] ^ 1], &whole[101..]].concat(), whole[..60].to_vec()] {
        overwrite(&meta, &damaged);
        assert_pull_brings_all_but(&team, &all, &["woven.bin"], "");
        assert_fsck_finds(&team, &["--data"], &["woven.bin", &oid(&all["woven.bin"])]);
    }
    overwrite(&meta, &whole);
    assert_files(&team.clone_elsewhere(first), &all);
    team.assert_sound();
}

#[test]
fn a_damaged_log_is_never_written_on() {
    for (seq, which) in [(3, "the newest"), (1, "an older one")] {
        for damage in ["flip", "cut", "empty"] {
            let team = Team::pushed(first);
            team.change("second", &files(2));
            team.repo.push("origin", "main");
            let (path, warm) = (entry(&team, seq), team.entries());
            let whole = fs::read(&path).unwrap();
            let bytes = match damage {
                "flip" => {
                    [&whole[..whole.len() - 20], &[whole[whole.len() - 20] ^ 1], &whole[whole.len() - 19..]]
                        .concat()
                }
                "cut" => whole[..whole.len() / 2].to_vec(),
                _ => vec![],
            };
            overwrite(&path, &bytes);
            assert_fsck_finds(&team, &[], &[&format!("log entry {seq}")]);
            if seq == 3 {
                let clone = pointers_only(&team);
                let said = error_line(&clone, &["lfs", "pull"], "log entry 3");
                assert!(said.contains("git datamon fsck"), "{which}, {damage}: {said}");
                super::trust_anyway(&clone, &team);
                super::change(&clone, "on top", &file("new.bin", 9, 10_000));
                error_line(&clone, &["push", "-q", "origin", "HEAD:new"], "log entry 3");
                assert_eq!(team.entries(), warm);
            }
            overwrite(&path, &whole);
            assert_files(&team.clone_elsewhere(first), &files(2));
            team.assert_sound();
        }
    }
}

#[test]
fn a_store_rolled_back_or_holed_takes_no_push_from_who_knows_better() {
    let team = Team::pushed(first);
    team.change("second", &files(2));
    team.repo.push("origin", "main");
    let newest = fs::read(entry(&team, 3)).unwrap();
    fs::remove_file(entry(&team, 3)).unwrap();
    team.change("third", &files(3));
    let said = error_line(&team.repo, &["push", "-q", "origin", "main"], "lacks log entry 3");
    assert!(said.contains("nothing was written") && said.contains("git datamon fsck"), "{said}");
    assert_eq!(team.entries(), 3);
    fs::write(entry(&team, 3), newest).unwrap();
    team.repo.push("origin", "main");

    let middle = fs::read(entry(&team, 2)).unwrap();
    fs::remove_file(entry(&team, 2)).unwrap();
    assert_fsck_finds(&team, &[], &["log/0000000000000002 is missing"]);
    fs::write(entry(&team, 2), middle).unwrap();
    assert_files(&team.clone_elsewhere(first), &files(3));
    team.assert_sound();
}

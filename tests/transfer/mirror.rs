//! `git datamon mirror`: copies that are read when a store is away, damaged or has lost something, and that nobody can push to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use datamon_test_support::{TestRepo, run, run_failing};
use serde_json::Value;

use super::{Team, assert_files, datamon, file, files, first, flip, objects, overwrite};

/// A team with a mirror that has everything.
struct Mirrored {
    team: Team,
    mirror: PathBuf,
}

fn mirrored() -> Mirrored {
    let team = Team::pushed(first);
    let mirror = team.env.root().join("mirror");
    datamon(&team.repo, &["mirror", "add", plain(&mirror)], 0);
    Mirrored { team, mirror }
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("plain")
}

#[track_caller]
fn json(repo: &TestRepo, args: &[&str]) -> Value {
    let output = run(repo.env().command("git").current_dir(repo.dir()).arg("datamon").args(args));
    serde_json::from_str(output.text()).expect("JSON")
}

impl Mirrored {
    /// Another machine, whose user has named the mirror too.
    fn elsewhere(&self) -> datamon_test_support::Hermetic {
        let env = first();
        let key = format!("datamon.store.file://{}.mirror", plain(&self.team.store));
        run(env.command("git").args(["config", "--global", "--add", &key, plain(&self.mirror)]));
        env
    }

    /// Damages every pack of a kind in the store.
    fn harm(&self, kind: &str, damage: &str) {
        for (_, path) in objects(&self.team.store).into_iter().filter(|(name, _)| name.starts_with(kind)) {
            let whole = fs::read(&path).unwrap();
            match damage {
                "gone" => fs::remove_file(&path).unwrap(),
                "flip" => flip(&path, whole.len() / 2),
                _ => overwrite(&path, &whole[..whole.len() / 2]),
            }
        }
    }

    #[track_caller]
    fn assert_clone(&self, wanted: &BTreeMap<String, Vec<u8>>) {
        assert_files(&self.elsewhere().clone_from(self.team.remote.dir(), "clone"), wanted);
        let ours = self.elsewhere();
        let clone = ours.root().join("clone");
        run(ours.command("git").args([
            "datamon",
            "-q",
            "clone",
            plain(self.team.remote.dir()),
            plain(&clone),
        ]));
        for (path, bytes) in wanted {
            assert!(fs::read(clone.join(path)).expect("there") == *bytes, "{path}");
        }
    }
}

/// Names and bytes of everything but what a store or a mirror is called by.
fn content(place: &Path) -> BTreeMap<String, Vec<u8>> {
    let named = objects(place).into_iter().filter(|(name, _)| {
        !["datamon.json", "mirror.json", "log/HEAD"].contains(&name.as_str()) && !name.starts_with("probe/")
    });
    named.map(|(name, path)| (name, fs::read(path).expect("there"))).collect()
}

#[test]
fn a_mirror_has_the_same_objects_and_follows_the_log() {
    let Mirrored { team, mirror } = &mirrored();
    assert_eq!(content(&team.store), content(mirror));
    assert!(!mirror.join("datamon.json").exists() && mirror.join("mirror.json").exists());
    let listed = json(&team.repo, &["mirror", "list", "--json"]);
    assert_eq!(listed[0]["behind"], 0, "{listed}");

    team.change("second", &files(2));
    team.repo.push("origin", "main");
    let behind = json(&team.repo, &["mirror", "list", "--json"])[0]["behind"].as_u64().expect("a number");
    assert!(behind > 0);
    assert!(datamon(&team.repo, &["mirror", "list"], 0).contains(&format!("lacks {behind} log entries")));
    let done = json(&team.repo, &["mirror", "sync", "--json"]);
    assert_eq!(content(&team.store), content(mirror));
    assert_eq!(done[0]["was_there"], 0, "only what is new was looked at: {done}");
    // Done twice nothing is written.
    let done = json(&team.repo, &["mirror", "sync", "--json"]);
    assert_eq!((&done[0]["objects"], &done[0]["was_there"]), (&0.into(), &0.into()), "{done}");
}

#[test]
fn reads_go_on_while_the_store_is_away_and_pushes_do_not() {
    let at = mirrored();
    let away = at.team.env.root().join("away");
    fs::rename(&at.team.store, &away).unwrap();
    at.assert_clone(&files(1));
    let said = datamon(&at.team.repo, &["ls", "HEAD"], 0);
    assert!(said.contains("large.bin"), "{said}");
    assert_told_once(&said, &at.mirror);
    assert!(said.contains("there is no store at"), "{said}");
    at.team.change("second", &files(2));
    let said = super::git_fails(&at.team.repo, &["push", "origin", "main"]);
    assert!(said.contains("there is no store at"), "{said}");
    assert!(objects(&at.mirror).keys().all(|name| name != "datamon.json"));
    // Without the mirror it is an error.
    let said =
        run_failing(first().command("git").args(["clone", "-q", plain(at.team.remote.dir()), "clone"]));
    assert!(said.stderr.contains("there is no store at"), "{}", said.stderr);
    fs::rename(&away, &at.team.store).unwrap();
    at.team.repo.push("origin", "main");
    datamon(&at.team.repo, &["mirror", "sync"], 0);
    at.assert_clone(&files(2));
}

#[test]
fn packs_that_are_gone_or_damaged_come_from_the_mirror_and_repair_takes_them_there() {
    for damage in ["gone", "flip", "cut"] {
        let at = mirrored();
        at.harm("data/", damage);
        // What looks at the store itself sees what is wrong with it.
        assert!(datamon(&at.team.repo, &["fsck", "--data"], 4).contains("data/"), "{damage}");
        // Of a clone without any file the mirror mends it.
        let env = at.elsewhere();
        let remote = plain(at.team.remote.dir());
        run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
        let clone = env.repo("clone");
        super::trust_anyway(&clone, &at.team);
        let said = datamon(&clone, &["repair", "--data"], 0);
        assert!(said.contains("stored"), "{damage}: {said}");
        // Versions, too, are read from there: what they are is in the other packs.
        let at = mirrored();
        at.harm("data/", damage);
        at.harm("meta/", damage);
        at.assert_clone(&files(1));
    }
}

/// That something came from the mirror is said in one line.
#[track_caller]
fn assert_told_once(said: &str, mirror: &Path) {
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("read from its mirror")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains(plain(mirror)) && lines[0].contains("git datamon fsck"), "{said}");
}

#[test]
fn what_a_mirror_gave_in_place_of_a_damaged_store_is_told() {
    for (kind, damage) in [("meta/", "gone"), ("meta/", "flip"), ("data/", "gone"), ("data/", "flip")] {
        let at = mirrored();
        assert!(!datamon(&at.team.repo, &["ls", "latest"], 0).contains("mirror"), "it is whole");
        at.harm(kind, damage);
        let env = at.elsewhere();
        let remote = plain(at.team.remote.dir());
        run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
        let clone = env.repo("clone");
        let said = match kind {
            "data/" => datamon(&clone, &["pull", "--data-only"], 0),
            _ => datamon(&clone, &["ls", "latest"], 0),
        };
        assert_told_once(&said, &at.mirror);
    }
}

#[test]
fn a_store_without_versions_tables_and_log_entries_is_made_whole_from_its_mirror() {
    for damage in ["gone", "flip", "cut"] {
        let at = mirrored();
        let all = objects(&at.team.store);
        let entries = all.iter().filter(|(name, _)| name.starts_with("log/0"));
        let (newest, log): (_, Vec<&PathBuf>) =
            (at.team.entries() - 1, entries.map(|(_, path)| path).collect());
        at.harm("meta/", damage);
        for path in [log[1], log[newest]] {
            match damage {
                "gone" => fs::remove_file(path).unwrap(),
                "flip" => flip(path, 100),
                _ => overwrite(path, &fs::read(path).unwrap()[..60]),
            }
        }
        let env = at.elsewhere();
        let remote = plain(at.team.remote.dir());
        run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
        let clone = env.repo("clone");
        super::trust_anyway(&clone, &at.team);
        datamon(&clone, &["repair", "--data", "--dry-run"], 4);
        let said = datamon(&clone, &["repair", "--data"], 0);
        assert!(said.contains("is back as it was written") && said.contains("moved"), "{damage}: {said}");
        assert_eq!(
            content(&at.team.store).keys().filter(|name| name.starts_with("log/0")).count(),
            at.team.entries()
        );
        // Somebody who has no mirror sees nothing of it.
        let clone = at.team.clone_elsewhere(first);
        assert_files(&clone, &files(1));
        let said = datamon(&clone, &["fsck", "--full"], 0);
        assert!(!said.contains("BAD"), "{said}");
        assert!(datamon(&clone, &["ls", "--repo", "data", "latest"], 0).contains("large.bin"));
        at.team.change("second", &files(2));
        at.team.repo.push("origin", "main");
        datamon(&at.team.repo, &["gc", "run", "--grace", "0s"], 0);
        datamon(&at.team.repo, &["mirror", "sync"], 0);
        at.assert_clone(&files(2));
    }
}

#[test]
fn a_damaged_pack_is_not_copied_and_comes_when_it_is_whole_again() {
    let team = Team::pushed(first);
    let (name, path) =
        objects(&team.store).into_iter().find(|(name, _)| name.starts_with("data/")).expect("a pack");
    let whole = fs::read(&path).unwrap();
    flip(&path, whole.len() / 2);
    let mirror = team.env.root().join("mirror");
    let said = datamon(&team.repo, &["mirror", "add", plain(&mirror)], 4);
    assert!(said.contains(&name) && said.contains("mirror sync"), "{said}");
    assert!(!mirror.join(&name).exists());
    // As long as it lacks something, it does not say that it has everything.
    let said = datamon(&team.repo, &["mirror", "list"], 0);
    assert!(said.contains("lacks packs"), "{said}");
    assert!(datamon(&team.repo, &["mirror", "sync"], 4).contains(&name));
    overwrite(&path, &whole);
    datamon(&team.repo, &["mirror", "sync"], 0);
    assert!(datamon(&team.repo, &["mirror", "list"], 0).contains("has everything"));
    assert_eq!(content(&team.store), content(&mirror));
}

/// Pages of versions name a damaged pack for ever: what they need of it is copied, so that it goes.
fn repaired_and_copied(harm: impl Fn(&Path)) {
    let team = Team::pushed(first);
    let (name, path) =
        objects(&team.store).into_iter().find(|(name, _)| name.starts_with("data/")).expect("a pack");
    harm(&path);
    let said = datamon(&team.repo, &["repair", "--data"], 0);
    assert!(said.contains("moved   data that is needed out of 1 damaged packs"), "{said}");
    datamon(&team.repo, &["gc", "run", "--grace", "0", "--orphans", "0"], 0);
    assert!(!objects(&team.store).contains_key(&name), "the damaged pack stays");
    let said = datamon(&team.repo, &["fsck", "--full"], 0);
    assert!(!said.contains("nothing needs it"), "{said}");
    let mirror = team.env.root().join("mirror");
    datamon(&team.repo, &["mirror", "add", plain(&mirror)], 0);
    datamon(&team.repo, &["mirror", "sync", "--verify"], 0);
    // Rows lead to what was stored anew, and a version to what was copied.
    let clone = team.clone_elsewhere(first);
    assert_files(&clone, &files(1));
    datamon(&clone, &["download", "latest", "--dest", "out"], 0);
    for (file, bytes) in files(1) {
        assert_eq!(fs::read(clone.dir().join("out").join(&file)).unwrap(), bytes, "{file}");
    }
}

#[test]
fn what_was_repaired_is_copied_once_the_damaged_pack_is_gone() {
    repaired_and_copied(|pack| flip(pack, fs::read(pack).unwrap().len() / 2));
    repaired_and_copied(|pack| fs::remove_file(pack).unwrap());
}

#[test]
fn what_a_collection_lets_go_of_leaves_the_mirror_too() {
    let Mirrored { team, mirror } = &mirrored();
    team.change("second", &files(2));
    team.repo.push("origin", "main");
    datamon(&team.repo, &["mirror", "sync"], 0);
    let before = content(mirror).len();
    datamon(&team.repo, &["squash", "--keep-last", "1", "--force", "--apply"], 0);
    for _ in 0..3 {
        datamon(&team.repo, &["gc", "run", "--grace", "0s"], 0);
    }
    datamon(&team.repo, &["mirror", "sync"], 0);
    let there: Vec<String> =
        content(&team.store).into_keys().filter(|name| name.starts_with("data/")).collect();
    // Packs that are condemned stay in the mirror until the log forgets them, a month later.
    let kept = content(mirror);
    assert!(there.iter().all(|name| kept.contains_key(name)) && kept.len() > before);
}

#[test]
fn places_that_are_no_mirror_of_the_store_are_left_alone() {
    let Mirrored { team, mirror } = &mirrored();
    let refused = |args: &[&str], code, words: &str| {
        let said = datamon(&team.repo, args, code);
        assert!(said.contains(words), "{said}");
    };
    let other = Team::pushed(first);
    refused(&["mirror", "add", plain(&other.store)], 3, "is a store itself");
    refused(&["mirror", "add", plain(&team.store)], 64, "is the store");
    let inside = team.store.join("inside");
    refused(&["mirror", "add", plain(&inside)], 64, "inside");
    let full = team.env.root().join("full");
    fs::create_dir_all(&full).unwrap();
    fs::write(full.join("thesis.txt"), "mine").unwrap();
    refused(&["mirror", "add", plain(&full)], 3, "thesis.txt");
    refused(&["mirror", "remove", plain(&full)], 2, "is no mirror");
    let said = datamon(&other.repo, &["mirror", "add", plain(mirror)], 3);
    assert!(said.contains("is a mirror of another store"), "{said}");
    // Nothing is pushed to a mirror, by nobody.
    let said = datamon(&team.repo, &["ls", "--store", plain(mirror), "--repo", "data", "latest"], 2);
    assert!(said.contains("is not a datamon store"), "{said}");

    // A store that was rolled back is not copied over a mirror that knows more.
    let newest = team.entries() - 1;
    fs::remove_file(team.store.join(format!("log/{newest:016x}"))).unwrap();
    let clone = other.env.init("clone");
    let args = ["mirror", "sync", "--store", plain(&team.store), plain(mirror)];
    let said = datamon(&clone, &args, 4);
    assert!(said.contains("rolled back or damaged"), "{said}");

    datamon(&team.repo, &["mirror", "remove", plain(mirror)], 0);
    assert_eq!(json(&team.repo, &["mirror", "list", "--json"]), Value::Array(vec![]));
    assert!(mirror.join("mirror.json").exists());
}

/// A disk that is not mounted, or a name that was typed wrong, is no place for another copy of everything.
#[test]
fn a_sync_makes_no_mirror_where_one_is_gone() {
    let Mirrored { team, mirror } = &mirrored();
    let (away, other) = (team.env.root().join("away"), team.env.root().join("other"));
    datamon(&team.repo, &["mirror", "add", plain(&other)], 0);
    fs::rename(mirror, &away).unwrap();
    for is_mount_point in [false, true] {
        if is_mount_point {
            fs::create_dir(mirror).unwrap();
        }
        team.change("more", &file("more.bin", 40 + u64::from(is_mount_point), 9_000));
        team.repo.push("origin", "main");
        for args in [&["mirror", "sync"][..], &["mirror", "sync", "--verify", plain(mirror)]] {
            let said = datamon(&team.repo, args, 2);
            assert!(said.contains("there is no mirror at") && said.contains("mount that"), "{said}");
            let again = format!("git datamon mirror add file://{}", plain(mirror));
            assert!(said.contains(&again) && !said.contains("init"), "{said}");
        }
        // The other one was brought up all the same, and who looks is told of this one.
        let said = datamon(&team.repo, &["mirror", "list"], 2);
        assert!(
            said.contains("NOT USABLE: there is no mirror at") && said.contains("has everything"),
            "{said}"
        );
        assert!(!said.contains("init"), "{said}");
        assert_eq!(content(&team.store), content(&other));
        assert_eq!((objects(mirror).len(), mirror.exists()), (0, is_mount_point));
        let said = datamon(&team.repo, &["mirror", "promote", plain(mirror)], 2);
        assert!(!said.contains("init") && said.contains("mirror list"), "{said}");
    }
    let typo = team.env.root().join("mirorr");
    assert!(datamon(&team.repo, &["mirror", "sync", plain(&typo)], 2).contains("there is no mirror at"));
    assert!(!typo.exists());
    fs::remove_dir(mirror).unwrap();
    fs::rename(&away, mirror).unwrap();
    datamon(&team.repo, &["mirror", "sync"], 0);
    assert_eq!(content(&team.store), content(mirror));
    // Who wants another copy there says so.
    fs::remove_dir_all(mirror).unwrap();
    datamon(&team.repo, &["mirror", "add", plain(mirror)], 0);
    assert_eq!(content(&team.store), content(mirror));
    assert_eq!(json(&team.repo, &["mirror", "list", "--json"]).as_array().map(Vec::len), Some(2));
}

#[test]
fn a_mirror_becomes_a_store_when_its_store_is_lost() {
    let at = mirrored();
    fs::remove_dir_all(&at.team.store).unwrap();
    let mirror = plain(&at.mirror);
    let said = datamon(&at.team.repo, &["mirror", "promote", mirror], 0);
    assert!(said.contains("fsck --data --store") && said.contains("this clone uses"), "{said}");
    datamon(&at.team.repo, &["fsck", "--data", "--store", mirror], 0);
    let next = file("next.bin", 77, 30_000);
    at.team.change("after it", &next);
    at.team.repo.push("origin", "main");
    assert_files(&at.team.clone_elsewhere(first), &files(1).into_iter().chain(next).collect());
    let said = datamon(&at.team.repo, &["mirror", "promote", mirror], 3);
    assert!(said.contains("is a store itself") && said.contains("it needs nothing more"), "{said}");
    assert!(!said.contains("where nothing is"), "{said}");
}

#[test]
fn a_damaged_mirror_is_mended_when_it_is_read_back() {
    let Mirrored { team, mirror } = &mirrored();
    let whole = content(mirror);
    let of = |folder: &str| {
        let mut all = objects(mirror).into_iter().filter(|(name, _)| name.starts_with(folder));
        all.next_back().expect("one is there")
    };
    let ((data, data_at), (meta, meta_at), (_, entry_at)) = (of("data/"), of("meta/"), of("log/0"));
    flip(&data_at, whole[&data].len() / 2);
    overwrite(&meta_at, &whole[&meta][..whole[&meta].len() / 2]);
    flip(&entry_at, 100);
    // A copy looks at what is new, and is stopped by an entry that it cannot follow.
    assert!(datamon(&team.repo, &["mirror", "sync"], 4).contains("mirror sync --verify"));
    let done = json(&team.repo, &["mirror", "sync", "--verify", "--json"]);
    let mended = done[0]["mended"].as_array().expect("a list");
    assert_eq!((mended.len(), &done[0]["lacking"]), (3, &Value::Array(vec![])), "{done}");
    assert_eq!(content(mirror), whole);
    // All that is there was read back, what says that it is a mirror too, but not its hint.
    assert_eq!(done[0]["verified"], whole.len() - 3 + 1, "{done}");
    flip(&data_at, whole[&data].len() / 2);
    let said = datamon(&team.repo, &["mirror", "sync", "--verify"], 0);
    let line = super::line_with(&said, &format!("mended  {data}"));
    assert!(line.ends_with("a frame has other bytes than were written"), "{said}");
    let line = super::line_with(&said, "verified");
    assert!(line.starts_with(&format!("verified {} objects, ", whole.len())), "{said}");
    assert!(line.contains("1 mended"), "{said}");
    assert_eq!(content(mirror), whole);
    // What the store cannot give stays as it is.
    flip(&data_at, whole[&data].len() / 2);
    flip(&team.store.join(&data), whole[&data].len() / 3);
    let damaged = fs::read(&data_at).unwrap();
    let said = datamon(&team.repo, &["mirror", "sync", "--verify"], 4);
    assert!(said.contains(&data) && said.contains("in the mirror"), "{said}");
    assert!(fs::read(&data_at).unwrap() == damaged, "{data}");
    assert!(datamon(&team.repo, &["mirror", "list"], 0).contains("lacks packs"));
    overwrite(&team.store.join(&data), &whole[&data]);
    datamon(&team.repo, &["mirror", "sync"], 0);
    assert_eq!(content(mirror), whole);
}

#[test]
fn a_copy_that_was_killed_is_gone_on_with() {
    let team = Team::pushed(first);
    let mirror = team.env.root().join("mirror");
    // As a copy leaves it that dies after each of its objects: they are written in this order.
    let named = |name: &str| match name.split('/').next() {
        Some("mirror.json") => 0,
        Some("data") => 1,
        Some("meta") => 2,
        _ => 3,
    };
    datamon(&team.repo, &["mirror", "add", plain(&mirror)], 0);
    let mut all: Vec<(String, PathBuf)> = objects(&mirror).into_iter().collect();
    all.sort_by_key(|(name, _)| (named(name), name.as_str() == "log/HEAD", name.clone()));
    let whole = content(&mirror);
    for kept in 1..all.len() {
        let place = team.env.root().join(format!("mirror-{kept}"));
        for (name, path) in &all[..kept] {
            let to = place.join(name);
            fs::create_dir_all(to.parent().expect("below it")).unwrap();
            fs::copy(path, to).unwrap();
        }
        datamon(&team.repo, &["mirror", "sync", plain(&place)], 0);
        assert_eq!(content(&place), whole, "after {kept} objects");
    }
}

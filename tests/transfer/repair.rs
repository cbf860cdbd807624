//! `git datamon repair`: whatever is damaged in a store is promised anew from where its bytes still are, and what is nowhere is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use datamon::cache::Cache;
use datamon::catalog::{Catalog, Journal};
use datamon::id::{Oid, PackKind, RepoId};
use datamon::ops::publish::{Versions, publish};
use datamon::store::{Store, StoreUrl, key};
use datamon::table::Row;
use datamon_test_support::{TestRepo, run, run_failing, seeded_bytes};
use serde_json::Value;

use super::{Team, assert_files, datamon, file, files, first, flip, objects, oid, overwrite};

fn packs(store: &Path, kind: &str) -> Vec<PathBuf> {
    let packs = objects(store).into_iter().filter(|(name, _)| name.starts_with(kind));
    packs.map(|(_, path)| path).collect()
}

/// What a command that fails says on stdout.
#[track_caller]
fn json(repo: &TestRepo, args: &[&str]) -> Value {
    let output = run_failing(repo.env().command("git").current_dir(repo.dir()).arg("datamon").args(args));
    serde_json::from_str(output.text()).expect("JSON")
}

/// A clone on another machine whose files are still pointers, and which trusts nothing yet.
fn stranger(team: &Team) -> TestRepo {
    let env = first();
    let remote = team.remote.dir().to_str().expect("plain");
    run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
    env.repo("clone")
}

/// The same that trusts the store.
fn pointers_only(team: &Team) -> TestRepo {
    let clone = stranger(team);
    super::trust_anyway(&clone, team);
    clone
}

/// Nothing is damaged for a machine that never saw the store before.
#[track_caller]
fn assert_whole(team: &Team, wanted: &BTreeMap<String, Vec<u8>>) {
    let clone = team.clone_elsewhere(first);
    assert_files(&clone, wanted);
    let said = datamon(&clone, &["fsck", "--full"], 0);
    assert!(!said.contains("BAD"), "{said}");
}

fn copy_of(store: &Path, to: &Path) {
    for (name, path) in objects(store) {
        let at = to.join(name);
        fs::create_dir_all(at.parent().expect("below the store")).unwrap();
        fs::copy(path, at).unwrap();
    }
}

#[test]
fn damaged_packs_are_mended_from_this_clone_git_lfs_files_and_plain_ones() {
    for damage in ["flip", "gone"] {
        let team = Team::pushed(first);
        for data in packs(&team.store, "data/") {
            match damage {
                "flip" => flip(&data, 700_000),
                _ => fs::remove_file(&data).unwrap(),
            }
        }
        let said = datamon(&team.repo, &["repair", "--data", "--dry-run"], 4);
        assert!(said.contains("damaged") && said.contains(&oid(&files(1)["large.bin"])), "{said}");
        let said = datamon(&team.repo, &["repair", "--data"], 0);
        assert!(said.contains("stored") && said.contains("ok"), "{said}");
        assert_whole(&team, &files(1));
        // Done twice it finds nothing, and writes nothing.
        let before = team.entries();
        assert!(!datamon(&team.repo, &["repair", "--data"], 0).contains("stored"));
        assert_eq!(team.entries(), before);
        // Versions are read from where their files lie now, without git.
        let out = team.env.root().join("out");
        let store = team.store.to_str().expect("plain");
        let args = ["datamon", "download", "--store", store, "--repo", "data", "latest", "--dest"];
        run(team.env.command("git").args(args).arg(&out));
        for (path, bytes) in files(1) {
            assert!(fs::read(out.join(&path)).expect("there") == bytes, "{path}");
        }
        datamon(&team.repo, &["fsck", "--data"], 0);
    }
}

#[test]
fn what_leads_to_the_log_is_written_again_by_a_machine_that_knows_it() {
    let team = Team::pushed(first);
    let (identity, hint) = (team.store.join("datamon.json"), team.store.join("log/HEAD"));
    let text = fs::read_to_string(&identity).unwrap();
    for broken in [text.replace("\"min\": 4096", "\"min\": 4098"), text.replace('{', "["), String::new()] {
        overwrite(&identity, broken.as_bytes());
        fs::write(&hint, "00000000000000ff\n").unwrap();
        let said = datamon(&team.repo, &["fsck"], 4);
        assert!(said.contains("datamon.json is damaged") && said.contains("log/HEAD names"), "{said}");
        let said = datamon(&stranger(&team), &["fsck"], 4);
        assert!(said.contains("datamon.json is damaged"), "{said}");
        let said = datamon(&team.repo, &["repair"], 0);
        assert!(said.contains("datamon.json was damaged") && said.contains("HEAD named"), "{said}");
        assert_eq!(fs::read_to_string(&identity).unwrap(), text);
        assert_whole(&team, &files(1));
    }
    assert!(!datamon(&team.repo, &["repair"], 0).contains("damaged,"), "done twice it does nothing");
    // What is no position leads nowhere, either.
    for nonsense in ["zz\n", ""] {
        fs::write(&hint, nonsense).unwrap();
        assert!(datamon(&team.repo, &["fsck"], 0).contains("names no position"), "{nonsense:?}");
        assert!(datamon(&team.repo, &["repair"], 0).contains("HEAD named no entry"), "{nonsense:?}");
        assert!(!datamon(&team.repo, &["fsck"], 0).contains("note"), "{nonsense:?}");
    }
}

/// On a machine that has kept nothing: the log says with which id the store was made, and the user by which one they know it.
#[test]
fn a_lost_identity_is_written_again_where_the_store_is_known() {
    let team = Team::pushed(first);
    let (identity, entries) = (team.store.join("datamon.json"), team.entries());
    let text = fs::read_to_string(&identity).unwrap();
    let (stranger, clone) = (stranger(&team), pointers_only(&team));
    fs::remove_file(&identity).unwrap();
    for repo in [&stranger, &clone] {
        let said = datamon(repo, &["fsck"], 4);
        assert!(said.contains("BAD   datamon.json is missing") && !said.contains("init"), "{said}");
        assert_eq!(json(repo, &["fsck", "--json"])["entries"], entries);
    }
    let said = datamon(&stranger, &["repair"], 4);
    assert!(said.contains("--from <mirror>") && !said.contains("init") && !said.contains("fsck"), "{said}");
    assert!(datamon(&clone, &["repair", "--dry-run"], 4).contains("can be written again"));
    // Nobody makes another store there.
    let url = team.store.to_str().expect("plain");
    let said = datamon(&team.env.init("another"), &["init", "--store", url], 4);
    assert!(said.contains("its datamon.json is gone"), "{said}");
    assert!(!identity.exists());
    for broken in [None, Some(text.replace("\"min\": 4096", "\"min\": 4098")), Some(String::new())] {
        fs::remove_file(&identity).ok();
        if let Some(broken) = &broken {
            fs::write(&identity, broken).unwrap();
        }
        // This one has no cache still: what it opens it keeps.
        let cold = pointers_only(&team);
        let said = datamon(&cold, &["repair"], 0);
        assert!(said.contains("and is written again: store "), "{broken:?}: {said}");
        assert_eq!(fs::read_to_string(&identity).unwrap(), text);
        assert_whole(&team, &files(1));
    }
    // Who knows two there cannot say which one it is.
    let two = pointers_only(&team);
    let trusted = two.git(["config", "--global", "datamon.trust"]);
    let (_, place) = trusted.text().split_once(' ').expect("an id and a place");
    let other = format!("6b5f44a4-1f4e-4c3f-9a1e-0a1b2c3d4e5f {place}");
    two.git(["config", "--global", "--add", "datamon.trust", &other]);
    fs::remove_file(&identity).unwrap();
    datamon(&two, &["repair"], 4);
    assert!(!identity.exists());
}

/// A store that was moved has another id than its log began with: who only knows the log cannot tell it. A mirror can.
#[test]
fn what_a_store_was_is_not_guessed_and_a_mirror_says_it() {
    let team = Team::pushed(first);
    let (to, mirror) = (team.env.root().join("moved"), team.env.root().join("mirror"));
    let plain = |path: &Path| path.to_str().expect("plain").to_owned();
    datamon(&team.repo, &["store", "move", "--to", &plain(&to)], 0);
    datamon(&team.repo, &["mirror", "add", &plain(&mirror)], 0);
    let identity = to.join("datamon.json");
    let text = fs::read_to_string(&identity).unwrap();
    fs::remove_file(&identity).unwrap();
    let trusted = team.repo.git(["config", "--global", "--get", "datamon.trust", "/moved$"]);
    let cold = stranger(&team);
    cold.git(["config", "--global", "datamon.trust", trusted.text()]);
    let store = plain(&to);
    let said = datamon(&cold, &["repair", "--store", &store], 4);
    assert!(said.contains("--from <mirror>") && !identity.exists(), "{said}");
    // A mirror of another store says nothing of this one.
    let (other, others) = (Team::pushed(first), team.env.root().join("others"));
    datamon(&other.repo, &["mirror", "add", &plain(&others)], 0);
    datamon(&cold, &["repair", "--store", &store, "--from", &plain(&others)], 4);
    assert!(!identity.exists());
    datamon(&cold, &["repair", "--store", &store, "--from", &plain(&mirror)], 0);
    assert_eq!(fs::read_to_string(&identity).unwrap(), text);
}

#[test]
fn what_is_not_here_comes_from_other_clones_and_stores_and_else_is_named() {
    let team = Team::pushed(first);
    let mirror = team.env.root().join("mirror");
    copy_of(&team.store, &mirror);
    for data in packs(&team.store, "data/") {
        fs::remove_file(&data).unwrap();
    }
    let clone = pointers_only(&team);
    let said = datamon(&clone, &["repair"], 4);
    assert!(said.contains("LOST") && said.contains("large.bin") && said.contains("--from"), "{said}");
    let found = json(&clone, &["repair", "--json"]);
    let lost = found["lost"].as_array().expect("a list");
    let large =
        lost.iter().find(|it| it["oid"] == oid(&files(1)["large.bin"]).as_str()).expect("it is named");
    assert_eq!(large["size"], 1_500_000);
    let paths: Vec<&str> =
        large["places"].as_array().expect("a list").iter().filter_map(|at| at["path"].as_str()).collect();
    assert_eq!(paths, ["again/large.bin", "large.bin"]);

    // A store that was damaged as well, elsewhere, has a part; the clone of a colleague the rest.
    for data in packs(&mirror, "data/") {
        flip(&data, 700_000);
    }
    let said = datamon(&clone, &["repair", "--from", mirror.to_str().expect("plain")], 4);
    assert!(said.contains("stored") && said.contains("LOST") && said.contains("large.bin"), "{said}");
    assert!(!said.contains("small/"), "{said}");
    let said = datamon(&clone, &["repair", "--from", team.repo.dir().to_str().expect("plain")], 0);
    assert!(said.contains("stored"), "{said}");
    assert_whole(&team, &files(1));
}

#[test]
fn a_pack_damaged_in_one_place_gives_what_lies_in_others() {
    let team = Team::pushed(first);
    for data in packs(&team.store, "data/") {
        flip(&data, 700_000);
    }
    let clone = pointers_only(&team);
    let said = datamon(&clone, &["repair", "--data"], 4);
    assert!(said.contains("stored") && said.contains("large.bin") && !said.contains("small/"), "{said}");
}

#[test]
fn a_lost_checkpoint_is_written_anew_and_its_tables_with_it() {
    let team = Team::pushed(first);
    let all = push_many(&team, 70);
    let meta = pack_of_checkpoint(&team);
    fs::remove_file(&meta).unwrap();
    // A store that only the repository names is given nothing, whatever state it is in.
    let stranger = stranger(&team);
    let before = objects(&team.store).len();
    let said = datamon(&stranger, &["repair"], 3);
    assert!(said.contains("is not trusted") && said.contains("repair --store"), "{said}");
    assert_eq!(objects(&team.store).len(), before);
    let clone = pointers_only(&team);
    let said = datamon(&clone, &["fsck"], 4);
    assert!(said.contains(&name_of(&meta)), "{said}");
    let said = datamon(&clone, &["repair"], 0);
    assert!(said.contains("written together anew") && said.contains("rows are written anew"), "{said}");
    // The pack stays lost: nothing needs it any more, and others go on as if nothing had been.
    assert_whole(&team, &all);
    let next = file("next.bin", 999, 5_000);
    let other = team.clone_elsewhere(first);
    super::trust(&other);
    super::change(&other, "after it", &next);
    other.push("origin", "main");
    assert_files(&team.clone_elsewhere(first), &all.into_iter().chain(next).collect());
}

fn name_of(pack: &Path) -> String {
    pack.file_name().expect("a name").to_str().expect("plain").to_owned()
}

/// Where the lists of the newest checkpoint lie, and the rows it took out of the log.
fn pack_of_checkpoint(team: &Team) -> PathBuf {
    let catalog = opened(team);
    let (_, checkpoint) = catalog.state().checkpoint().expect("there is one");
    let packs: BTreeSet<_> = checkpoint.blobs.values().map(|blob| blob.at.pack).collect();
    assert_eq!(packs.len(), 1, "they were written together");
    team.store.join(key::pack(PackKind::Meta, *packs.first().expect("one")))
}

fn opened(team: &Team) -> Catalog {
    let store = Store::open(&StoreUrl::of_directory(&team.store).expect("absolute")).expect("opens");
    Catalog::open(store, Cache::none(), Journal::none()).expect("opens")
}

/// The newest promise of a file has the recipe of another one.
fn give_recipe(team: &Team, of: &str, to: &str) {
    let mut catalog = opened(team);
    let (of, to): (Oid, Oid) = (of.parse().expect("an oid"), to.parse().expect("an oid"));
    let rows = catalog.find(RepoId::NIL, &[of, to]).expect("found");
    let (repo, base) = (rows[&to].repo, catalog.head().seq());
    let wrong = Row { born: 0, recipe: rows[&of].recipe.clone(), ..rows[&to].clone() };
    publish(&mut catalog, base, repo, vec![wrong], &[], &[], Versions::default()).expect("published");
}

/// Pushes until somebody has written a checkpoint.
fn push_many(team: &Team, pushes: u64) -> BTreeMap<String, Vec<u8>> {
    let mut all = files(1);
    for n in 0..pushes {
        let one = file(&format!("many/{n}.bin"), 100 + n, 4_000);
        team.change(&format!("push {n}"), &one);
        team.repo.push("origin", "main");
        all.extend(one);
    }
    all
}

#[test]
fn a_damaged_newest_entry_is_written_over_by_who_has_seen_it() {
    for damage in ["flip", "cut", "empty"] {
        let team = Team::pushed(first);
        team.change("second", &files(2));
        team.repo.push("origin", "main");
        let newest = team.entries() as u64 - 1;
        let path = team.store.join(format!("log/{newest:016x}"));
        let whole = fs::read(&path).unwrap();
        match damage {
            "flip" => flip(&path, whole.len() - 20),
            "cut" => overwrite(&path, &whole[..whole.len() / 2]),
            _ => overwrite(&path, b""),
        }
        let said = datamon(&team.repo, &["fsck"], 4);
        assert!(said.contains(&format!("log entry {newest}")), "{said}");
        // Who never saw it cannot know what it said.
        let clone = pointers_only(&team);
        let said = datamon(&clone, &["repair"], 4);
        assert!(said.contains(&format!("log entry {newest}")), "{said}");
        assert!(said.contains("the machine that pushed last") && !said.contains("fsck"), "{said}");
        datamon(&team.repo, &["repair"], 0);
        assert_files(&team.clone_elsewhere(first), &files(2));
        team.change("third", &files(3));
        team.repo.push("origin", "main");
        assert_files(&team.clone_elsewhere(first), &files(3));
    }
}

/// A mirror that only the command names gives what no other entry has.
#[test]
fn a_damaged_newest_entry_comes_from_a_mirror_that_is_named() {
    let team = Team::pushed(first);
    let mirror = team.env.root().join("mirror");
    let mirror = mirror.to_str().expect("plain");
    datamon(&team.repo, &["mirror", "add", mirror], 0);
    let path = team.store.join(format!("log/{:016x}", team.entries() - 1));
    let whole = fs::read(&path).unwrap();
    overwrite(&path, &whole[..whole.len() / 2]);
    let clone = pointers_only(&team);
    datamon(&clone, &["repair"], 4);
    let said = datamon(&clone, &["repair", "--from", mirror], 0);
    assert!(said.contains("is back as it was written"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_whole(&team, &files(1));
}

/// An entry of another log in the middle is no part of this one: what they would add up to is not written down.
#[test]
fn two_logs_that_were_mixed_are_not_put_together() {
    let team = Team::pushed(first);
    let all = push_many(&team, 70);
    fs::remove_file(pack_of_checkpoint(&team)).unwrap();
    let other = Team::pushed(first);
    let entry = |team: &Team| team.store.join(format!("log/{:016x}", 2));
    let own = fs::read(entry(&team)).unwrap();
    overwrite(&entry(&team), &fs::read(entry(&other)).unwrap());
    let clone = pointers_only(&team);
    let before = team.entries();
    datamon(&clone, &["repair"], 4);
    assert_eq!(team.entries(), before, "nothing was written");
    overwrite(&entry(&team), &own);
    datamon(&clone, &["repair"], 0);
    assert_whole(&team, &all);
}

#[test]
fn fsck_says_what_a_store_that_cannot_be_opened_still_shows() {
    let team = Team::pushed(first);
    team.change("second", &files(2));
    team.repo.push("origin", "main");
    let newest = team.entries() as u64 - 1;
    let entry = |seq: u64| team.store.join(format!("log/{seq:016x}"));
    let clone = pointers_only(&team);

    fs::write(team.store.join("log/HEAD"), "00000000000000ff\n").unwrap();
    let said = datamon(&clone, &["fsck"], 4);
    assert!(said.contains("log/HEAD says that log/00000000000000ff was there"), "{said}");
    fs::remove_file(team.store.join("log/HEAD")).unwrap();

    let whole = fs::read(entry(newest)).unwrap();
    overwrite(&entry(newest), &whole[..30]);
    let found = json(&clone, &["fsck", "--json"]);
    assert_eq!(found["entries"], newest + 1, "all were read");
    assert!(found["problems"].to_string().contains(&format!("log entry {newest}")), "{found}");
    overwrite(&entry(newest), &whole);
    datamon(&clone, &["fsck"], 0);
}

#[test]
fn fsck_reads_a_part_and_asks_for_what_revisions_need() {
    let team = Team::pushed(first);
    let said = datamon(&team.repo, &["fsck", "--data=50%"], 0);
    assert!(said.contains("ok"), "{said}");
    for wrong in
        ["--data=0", "--data=101%", "--data=x", "--data=0/2", "--data=3/2", "--data=1/0", "--data=1/"]
    {
        assert!(datamon(&team.repo, &["fsck", wrong], 64).contains("from 1 to 100"));
    }
    // The parts are all of it, each pack in one of them, and the same part is the same packs.
    let part = |part: &str| {
        let said = team.repo.git(["datamon", "fsck", &format!("--data={part}"), "--json"]);
        let found: Value = serde_json::from_str(said.text()).expect("JSON");
        ["data_packs", "data_bytes", "packs", "pack_bytes"].map(|it| found[it].as_u64().expect("a number"))
    };
    let [one, other] = ["1/2", "2/2"].map(part);
    assert_eq!((one[0] + other[0], one[1] + other[1]), (one[2], one[3]), "{one:?} {other:?}");
    assert_eq!(part("1/2"), one);
    let said =
        datamon(&team.repo, &["fsck", &format!("--data={}/2", if one[0] < one[2] { 1 } else { 2 })], 0);
    let of = format!(", {} of them read, ", one[0].min(other[0]));
    assert!(said.contains(&of), "{said}");
    assert!(datamon(&team.repo, &["fsck", "--data"], 0).contains(", all of them read, "));
    let said = datamon(&team.repo, &["fsck", "--full"], 0);
    assert!(said.contains("files rebuilt"), "{said}");

    let new = file("new.bin", 9, 50_000);
    team.change("not pushed", &new);
    let said = datamon(&team.repo, &["fsck", "--refs"], 4);
    assert!(said.contains(&oid(&new["new.bin"])) && said.contains("new.bin"), "{said}");
    datamon(&team.repo, &["fsck", "--refs", "origin/main"], 0);
    team.repo.push("origin", "main");
    datamon(&team.repo, &["fsck", "--refs"], 0);
}

/// A file that its recipe does not rebuild: no pack is damaged, and only rebuilding shows it.
#[test]
fn a_wrong_recipe_is_found_by_rebuilding_and_replaced() {
    let team = Team::new(first);
    let (one, other) = (seeded_bytes(1, 40_000), seeded_bytes(2, 40_000));
    let both = BTreeMap::from([("one.bin".to_owned(), one.clone()), ("other.bin".to_owned(), other.clone())]);
    team.change("two files", &both);
    team.repo.push("origin", "main");
    give_recipe(&team, &oid(&other), &oid(&one));
    let said = datamon(&team.repo, &["fsck", "--data"], 0);
    assert!(!said.contains("BAD"), "packs and positions are right: {said}");
    let said = datamon(&team.repo, &["fsck", "--full"], 4);
    assert!(said.contains("rebuild other bytes") && said.contains("one.bin"), "{said}");
    datamon(&team.repo, &["repair"], 0);
    assert_whole(&team, &both);
}

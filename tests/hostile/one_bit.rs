//! One bit of a whole store, wherever it is: `fsck --full` tells it, and `repair` mends it where one clone is whole.
//!
//! The store is one that real pushes made, with a version, a label and a checkpoint. Its objects are copied into memory for every
//! try, and both are the library calls behind the commands. In every test run a share of the bytes is tried, all of them in the
//! ignored ones.

use std::collections::BTreeMap;

use datamon::cache::Cache;
use datamon::catalog::healing::{find, put_back};
use datamon::catalog::{Catalog, CatalogError, Journal};
use datamon::git::Repo;
use datamon::id::{BundleId, Oid};
use datamon::ops::bundle::open;
use datamon::ops::repair::{Clone, Damage, mend, repair};
use datamon::ops::verify::{Depth, verify};
use datamon::progress::Silent;
use datamon::store::{Store, StoreUrl, key, memory};
use datamon_test_support::{Hermetic, TestRepo, run, seeded_bytes};

use crate::durability::world::{Machine, Shelf, fresh, store};
use crate::transfer::objects;

/// The store is no larger, bytes.
const LARGEST: usize = 64 << 10;

/// A store and the clone that made it.
struct Scene {
    _env: Hermetic,
    clone: TestRepo,
    objects: BTreeMap<String, Vec<u8>>,
    shelf: Shelf,
    files: Vec<Oid>,
    versions: Vec<BundleId>,
    /// A machine that has seen the store whole.
    machine: Machine,
}

fn contents() -> [(&'static str, Vec<u8>); 3] {
    [
        ("noise.bin", seeded_bytes(1, 9_000)),
        ("text.bin", b"a line of text, again and again\n".repeat(200)),
        ("more/small.bin", seeded_bytes(2, 500)),
    ]
}

impl Scene {
    fn new() -> Scene {
        let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
        env.git_lfs();
        run(env.command("git").args(["datamon", "install"]));
        let (clone, remote, place) =
            (env.init("data"), env.init_bare("remote.git"), env.root().join("store"));
        clone.git(["datamon", "-q", "init", "--store", place.to_str().expect("plain"), "--track", "*.bin"]);
        clone.add_remote("origin", remote.dir());
        let mut shelf = Shelf::new();
        let mut files = Vec::new();
        for (path, bytes) in contents() {
            clone.write(path, &bytes);
            files.push(shelf.put(&bytes));
        }
        clone.add(".");
        clone.commit("one");
        clone.push("origin", "main");
        clone.git(["datamon", "-q", "label", "set", "v1"]);
        let url = StoreUrl::of_directory(&place).expect("a path");
        let real = Store::open(&url).expect("a directory");
        let mut catalog = Catalog::open(real, Cache::none(), Journal::none()).expect("opens");
        assert!(catalog.write_checkpoint().expect("written"));
        // And something after it, which stands in the entry itself.
        clone.write("last.bin", b"the last file");
        files.push(shelf.put(b"the last file"));
        clone.add(".");
        clone.commit("two");
        clone.push("origin", "main");
        let objects: BTreeMap<String, Vec<u8>> = objects(&place)
            .into_iter()
            .map(|(name, path)| (name, std::fs::read(path).expect("an object")))
            .collect();
        let size: usize = objects.values().map(Vec::len).sum();
        assert!(size <= LARGEST, "{size} bytes");
        Scene::of(env, clone, objects, shelf, files)
    }

    fn of(
        env: Hermetic,
        clone: TestRepo,
        objects: BTreeMap<String, Vec<u8>>,
        shelf: Shelf,
        files: Vec<Oid>,
    ) -> Scene {
        let (versions, machine) = (vec![], Machine::new());
        let mut scene = Scene { _env: env, clone, objects, shelf, files, versions, machine };
        let whole = scene.copy();
        let catalog = scene.machine.open(&whole).expect("opens");
        for id in catalog.state().bundles().keys() {
            let version = open(&catalog, *id).expect("opens");
            assert!(!version.below(b"").expect("reads").is_empty());
        }
        scene.versions = catalog.state().bundles().keys().copied().collect();
        assert_eq!(scene.versions.len(), 2);
        assert!(!is_told(&whole), "the store is whole");
        scene
    }

    /// The store, in memory.
    fn copy(&self) -> Store {
        let store = store(memory());
        for (name, bytes) in &self.objects {
            store.overwrite(name, bytes.clone().into()).expect("memory");
        }
        store
    }

    /// One byte in so many of each object, or all of those that are short, each with one of its bits.
    fn places(&self, step: usize) -> Vec<(String, usize)> {
        let of = |(name, bytes): (&String, &Vec<u8>)| {
            let step = if bytes.len() < 600 { step.div_ceil(8) } else { step };
            let start = name.len() % step;
            (start..bytes.len())
                .step_by(step)
                .map(|at| (name.clone(), 8 * at + at / step % 8))
                .collect::<Vec<_>>()
        };
        self.objects.iter().flat_map(of).collect()
    }

    /// The two places that say which format something has: the digit of the store, and both bytes of the newest entry.
    fn versions_of_formats(&self) -> Vec<(String, usize)> {
        let digit = String::from_utf8(self.objects[key::STORE].clone()).expect("JSON").find(": 1,");
        let digit = digit.expect("a format") + 2;
        let newest = self.objects.keys().filter_map(|name| key::log_seq(name)).max().map(key::log);
        let newest = newest.expect("a log");
        let bits =
            |name: &str, byte: usize| (8 * byte..8 * byte + 8).map(|bit| (name.to_owned(), bit)).collect();
        let all: [Vec<(String, usize)>; 3] = [bits(key::STORE, digit), bits(&newest, 6), bits(&newest, 7)];
        all.concat()
    }

    /// The store with one bit of one object flipped.
    fn flipped(&self, name: &str, bit: usize) -> Store {
        let store = self.copy();
        let mut bytes = self.objects[name].clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        store.overwrite(name, bytes.into()).expect("memory");
        store
    }
}

/// Whether `fsck --full` says anything: of the store, or why it cannot be opened.
fn is_told(store: &Store) -> bool {
    let Ok(catalog) = fresh(store) else { return true };
    let Ok(findings) = verify(&catalog, Depth::Files, &Silent) else { return true };
    !(findings.problems.is_empty() && findings.notes.is_empty() && findings.bad_packs.is_empty())
}

/// Hands the places out to two threads; what was wrong at any of them.
fn each(places: &[(String, usize)], check: impl Fn(&str, usize) -> Option<String> + Sync) -> Vec<String> {
    let check = |part: Vec<&(String, usize)>| -> Vec<String> {
        part.into_iter().filter_map(|(name, bit)| check(name, *bit)).collect()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| check(places.iter().skip(1).step_by(2).collect()));
        let own = check(places.iter().step_by(2).collect());
        [own, other.join().expect("no panic")].concat()
    })
}

#[track_caller]
fn assert_none(wrong: &[String], tried: usize) {
    println!("{tried} bits");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every flipped bit is told. The hint alone may lead to an older entry, which it may do at any time.
fn assert_told(step: usize, bits: &[usize]) {
    let scene = Scene::new();
    let places: Vec<(String, usize)> = scene
        .places(step)
        .into_iter()
        .flat_map(|(name, bit)| bits.iter().map(move |more| (name.clone(), bit / 8 * 8 + (bit + more) % 8)))
        .collect();
    let wrong = each(&places, |name, bit| {
        let store = scene.flipped(name, bit);
        let told = is_told(&store) || (name == key::HEAD && older_hint(&store));
        (!told).then(|| format!("{name}: bit {bit} is not told"))
    });
    assert_none(&wrong, places.len());
}

/// Whether the hint is one that a slow writer might have left.
fn older_hint(store: &Store) -> bool {
    let text = store.get(key::HEAD).expect("memory").expect("there");
    let text = String::from_utf8(text.to_vec()).expect("digits");
    let newest = fresh(store).expect("opens").head().seq();
    u64::from_str_radix(text.trim(), 16).is_ok_and(|hint| hint <= newest)
}

/// The store as a machine sees it that knew it whole, or one that never saw it.
fn opened(store: &Store, machine: &Machine, mirrors: &[Store]) -> Result<Catalog, CatalogError> {
    machine
        .open(store)
        .or_else(|_| {
            put_back(store, &find(store, &machine.cache(store), mirrors)?)?;
            machine.open(store)
        })
        .or_else(|_| {
            let mut catalog = Catalog::rebuild(store.clone(), machine.cache(store), machine.journal(store))?;
            catalog.write_checkpoint()?;
            Ok(catalog)
        })
}

/// What `git datamon repair --full` does, in the clone that has everything.
fn mended(store: &Store, machine: &Machine, clone: &TestRepo, mirrors: &[Store]) -> Result<bool, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut catalog = opened(store, machine, mirrors).map_err(|e| text(&e))?;
    let findings = verify(&catalog, Depth::Files, &Silent).map_err(|e| text(&e))?;
    catalog.keep_in_mind(&findings.bad_packs, &findings.good_packs, &findings.wrong);
    if !findings.bad_entries.is_empty() {
        let lost = catalog.lost_entries(mirrors).map_err(|e| text(&e))?;
        put_back(store, &lost).map_err(|e| text(&e))?;
    }
    mend(&mut catalog, &[], mirrors).map_err(|e| text(&e))?;
    let mut damage = Damage::of(&catalog).map_err(|e| text(&e))?;
    let repo = Repo::discover(clone.dir()).map_err(|e| text(&e))?;
    let clones = [Clone::of(&repo).map_err(|e| text(&e))?];
    let scratch = tempfile::tempdir().map_err(|e| text(&e))?;
    repair(&mut catalog, &mut damage, &clones, &[], mirrors, scratch.path(), &Silent)
        .map_err(|e| text(&e))?;
    Ok(damage.is_empty())
}

impl Scene {
    /// What a machine that never saw the store lacks of it.
    fn lacks(&self, store: &Store) -> Option<String> {
        let mut catalog = match fresh(store) {
            Ok(catalog) => catalog,
            Err(error) => return Some(error.to_string()),
        };
        let lost = self
            .shelf
            .download(&mut catalog, &self.files)
            .into_iter()
            .find_map(|(oid, result)| result.err().map(|error| format!("{oid}: {error}")));
        let unread = || {
            let read = |id: &BundleId| open(&catalog, *id).ok()?.below(b"").ok();
            self.versions.iter().find(|id| read(id).is_none()).map(|id| format!("version {id}"))
        };
        lost.or_else(unread)
    }

    /// What the repair of one flipped bit left undone on that machine.
    fn left_undone(&self, name: &str, bit: usize, machine: &Machine) -> Option<String> {
        let store = self.flipped(name, bit);
        let said = mended(&store, machine, &self.clone, &[]);
        let lacks = self.lacks(&store);
        match said {
            Ok(true) => lacks.map(|lacks| format!("{name}: bit {bit} leaves {lacks}")),
            Ok(_) => Some(format!("{name}: bit {bit}: something is called lost")),
            Err(error) => Some(format!("{name}: bit {bit}: {error}")),
        }
    }
}

/// Every flipped bit is mended where one clone is whole, on the machine that pushed from it, and with what that has kept: that of the
/// version of a store or of its newest entry included, and what versions consist of.
fn assert_mended(step: usize) {
    let scene = Scene::new();
    let mut places = scene.places(step);
    places.extend(scene.versions_of_formats());
    let wrong = each(&places, |name, bit| scene.left_undone(name, bit, &scene.machine.twin()));
    assert_none(&wrong, places.len());
}

/// The same on a machine that never saw the store: only what says which store it is, and the newest entry of its log, somebody has to have
/// seen whole.
fn assert_mended_anywhere(step: usize) {
    let scene = Scene::new();
    let newest = scene.objects.keys().filter(|name| key::log_seq(name).is_some()).max().expect("a log");
    let mut places = scene.places(step);
    places.retain(|(name, _)| name != newest && name != key::STORE);
    let wrong = each(&places, |name, bit| scene.left_undone(name, bit, &Machine::new()));
    assert_none(&wrong, places.len());
}

#[test]
fn a_flipped_bit_is_told() {
    assert_told(16, &[0]);
}

#[test]
fn a_flipped_bit_is_mended_where_one_clone_is_whole() {
    assert_mended(127);
}

#[test]
fn a_flipped_bit_is_mended_where_one_clone_is_whole_by_a_machine_that_never_saw_the_store() {
    assert_mended_anywhere(127);
}

#[test]
#[ignore = "minutes: every bit of every object"]
fn every_flipped_bit_is_told() {
    assert_told(1, &[0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
#[ignore = "minutes: a bit of every byte of every object"]
fn a_flipped_bit_in_every_byte_is_mended() {
    assert_mended(1);
}

#[test]
#[ignore = "minutes: a bit of every byte of every object"]
fn a_flipped_bit_in_every_byte_is_mended_by_a_machine_that_never_saw_the_store() {
    assert_mended_anywhere(1);
}

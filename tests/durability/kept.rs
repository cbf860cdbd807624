//! What a machine keeps of a store may be damaged, foreign or gone at any moment: that costs requests, never a wrong byte.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use datamon::id::Oid;
use datamon::store::{Store, memory};
use datamon_test_support::seeded_bytes;

use super::world::{Machine, REPO, Shelf, collect, copy, directory, folder, push, store};

/// A store, a machine that has read all of it, and what is in it: a long recipe, segments, a checkpoint, inline rows.
struct Kept {
    store: Store,
    machine: Machine,
    shelf: Shelf,
    oids: Vec<Oid>,
}

fn kept(store: Store, seed: u64) -> Kept {
    let (machine, mut shelf) = (Machine::new(), Shelf::new());
    let mut catalog = machine.create(&store).expect("made");
    let large = seeded_bytes(seed, 1 << 20);
    // Known and new parts in turn: more terms than a row holds.
    let part =
        |(n, part): (usize, &[u8])| [seeded_bytes(seed + n as u64 + 50, 1 << 16), part.to_vec()].concat();
    let patched: Vec<u8> = large.chunks(1 << 16).enumerate().flat_map(part).collect();
    let mut oids = vec![shelf.put(&large), shelf.put(&patched)];
    push(&mut catalog, &shelf.files(&oids[..1])).expect("pushed");
    push(&mut catalog, &[shelf.file(oids[1], Some(oids[0]))]).expect("pushed");
    for n in 0..4 {
        oids.push(shelf.put(&seeded_bytes(seed + 1_000 + n, 3_000)));
        push(&mut catalog, &shelf.files(&oids[oids.len() - 1..])).expect("pushed");
        if n < 3 {
            assert!(catalog.write_checkpoint().expect("written"));
        }
    }
    let kept = Kept { store, machine, shelf, oids };
    kept.assert_right(&kept.machine, "whole");
    kept
}

impl Kept {
    /// A process of the machine sees all there is and nothing else, and gets every byte.
    fn assert_right(&self, machine: &Machine, context: &str) {
        let mut catalog = machine.open(&self.store).unwrap_or_else(|error| panic!("{context}: {error}"));
        self.shelf.assert_download(&mut catalog, &self.oids, context);
        let strangers: Vec<Oid> = (0..20).map(|n| Oid::from_bytes([n; 32])).collect();
        assert!(catalog.find(REPO, &strangers).expect("reads").is_empty(), "{context}");
    }

    /// Files of the cache, relative to its folder.
    fn files(&self) -> Vec<PathBuf> {
        let folder = self.machine.cache_folder(&self.store);
        let mut files = Vec::new();
        collect(&folder, &mut files);
        files.into_iter().map(|path| path.strip_prefix(&folder).expect("below").to_owned()).collect()
    }

    /// What `harm` does to the cache of a machine that has read everything costs requests only.
    fn harm(&self, context: &str, harm: impl Fn(&Path)) {
        let machine = self.machine.twin();
        harm(&machine.cache_folder(&self.store));
        self.assert_right(&machine, context);
        // And once more, with what was kept since.
        self.assert_right(&machine, context);
    }
}

#[test]
fn each_file_may_be_damaged_cut_emptied_or_something_else() {
    let kept = kept(store(memory()), 1);
    let files = kept.files();
    for kind in ["head", "identity", "frame", "footer"] {
        assert!(files.iter().any(|file| file.iter().any(|part| part == kind)), "{kind} is kept: {files:?}");
    }
    for file in &files {
        let shown = file.display();
        let whole = fs::read(kept.machine.cache_folder(&kept.store).join(file)).expect("kept");
        for at in [0, 31, whole.len() / 2, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            kept.harm(&format!("{shown}, byte {at}"), |cache| fs::write(cache.join(file), &flipped).unwrap());
        }
        for length in [0, 32, whole.len() - 1] {
            kept.harm(&format!("{shown}, cut"), |cache| {
                fs::write(cache.join(file), &whole[..length]).unwrap()
            });
        }
        kept.harm(&format!("{shown}, a folder"), |cache| {
            fs::remove_file(cache.join(file)).unwrap();
            fs::create_dir(cache.join(file)).unwrap();
        });
        kept.harm(&format!("{shown}, gone"), |cache| fs::remove_file(cache.join(file)).unwrap());
    }
}

#[test]
fn files_may_have_changed_places() {
    let kept = kept(store(memory()), 1);
    let files = kept.files();
    for distance in 1..files.len() {
        kept.harm(&format!("moved by {distance}"), |cache| {
            let whole: Vec<Vec<u8>> = files.iter().map(|file| fs::read(cache.join(file)).unwrap()).collect();
            for (at, file) in files.iter().enumerate() {
                fs::write(cache.join(file), &whole[(at + distance) % files.len()]).unwrap();
            }
        });
    }
}

#[test]
fn the_cache_of_another_store_may_lie_in_its_place() {
    let root = folder();
    let one = kept(directory(&root.path().join("one")), 1);
    // The same history with other content: what it calls things is as like as can be.
    let two = kept(directory(&root.path().join("two")), 7_000);
    let other = two.machine.cache_folder(&two.store);
    one.harm("beside its own", |cache| copy(&other, cache));
    one.harm("instead of its own", |cache| {
        fs::remove_dir_all(cache).unwrap();
        copy(&other, cache);
    });
    one.harm("under its own names", |cache| {
        let ids = |folder: &Path| -> PathBuf {
            let parts = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
            parts.into_iter().find(|it| it.is_dir()).expect("the store's own part")
        };
        let own = ids(cache);
        fs::remove_dir_all(&own).unwrap();
        copy(&ids(&other), &own);
    });
}

#[test]
fn a_cache_that_cannot_be_written_or_is_no_folder_is_done_without() {
    let kept = kept(store(memory()), 1);
    kept.harm("read-only", |cache| {
        let mut folders = vec![cache.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path());
            folders.extend(entries.filter(|it| it.is_dir()));
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        }
    });
    kept.harm("a file", |cache| {
        fs::remove_dir_all(cache).unwrap();
        fs::write(cache, "in the way").unwrap();
    });
    kept.harm("nothing", |cache| fs::remove_dir_all(cache).unwrap());
}

#[test]
fn the_cache_may_be_deleted_while_it_is_used() {
    let kept = kept(store(memory()), 1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let deleter = scope.spawn(|| {
            let mut times = 0;
            while !done.load(Relaxed) {
                let _ = fs::remove_dir_all(kept.machine.cache_folder(&kept.store));
                times += 1;
            }
            times
        });
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| (0..20).for_each(|_| kept.assert_right(&kept.machine, "deleted meanwhile")))
            })
            .collect();
        let results: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        done.store(true, Relaxed);
        assert!(deleter.join().expect("no panic") > 20);
        results.into_iter().for_each(|result| result.expect("no panic"));
    });
}

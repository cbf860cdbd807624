//! The directory below a store: files that are in the way, no permission, no space.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use datamon::store::{Settings, Store, StoreUrl};
use datamon_test_support::seeded_bytes;

use super::world::{Machine, Shelf, assert_chain, assert_packs, directory, folder, fresh, push, skipped};

fn url(path: &Path) -> StoreUrl {
    StoreUrl::parse(path.to_str().expect("a plain path")).expect("absolute")
}

#[test]
fn a_directory_with_other_files_is_no_place_for_a_store() {
    let (root, machine) = (folder(), Machine::new());
    fs::create_dir(root.path().join("photos")).expect("writable");
    fs::write(root.path().join("photos/cat.jpg"), b"a cat").expect("writable");
    let error = machine.create(&directory(root.path())).expect_err("not empty").to_string();
    assert!(error.contains("photos/cat.jpg") && error.contains("empty directory"), "{error}");
    assert_eq!(fs::read_dir(root.path()).expect("there").count(), 1, "nothing was written");
    let error = fresh(&directory(root.path())).expect_err("no store").to_string();
    assert!(error.contains("is not a datamon store"), "{error}");
}

#[test]
fn files_of_others_in_a_store_are_left_alone() {
    let (root, machine, mut shelf) = (folder(), Machine::new(), Shelf::new());
    let store = directory(root.path());
    let one = shelf.put(b"one");
    push(&mut machine.create(&store).expect("made"), &shelf.files(&[one])).expect("pushed");
    let foreign =
        ["notes.txt", "log/notes.txt", "log/0000000000000003.bak", "log/old/0000000000000001", "data/zz/x"];
    for name in foreign {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("writable");
        fs::write(path, b"somebody else's").expect("writable");
    }
    let two = shelf.put(b"two");
    for mut catalog in [machine.open(&store).expect("warm"), fresh(&store).expect("cold")] {
        push(&mut catalog, &shelf.files(&[two])).expect("pushed");
        catalog.write_checkpoint().expect("written");
        shelf.assert_download(&mut catalog, &[one, two], "beside other files");
    }
    machine.create(&store).expect("is there already");
    assert_chain(&store);
    for name in foreign {
        assert_eq!(fs::read(root.path().join(name)).expect("still there"), b"somebody else's");
    }
}

#[test]
fn a_file_where_the_store_should_be_is_told() {
    let root = folder();
    let file = root.path().join("file");
    fs::write(&file, b"a file").expect("writable");
    for path in [file.clone(), file.join("below")] {
        for outcome in [Store::open(&url(&path)), Store::create_place(&url(&path), &Settings::default())] {
            let error = outcome.expect_err("a file").to_string();
            assert!(!error.contains('\n') && error.contains("file"), "{error}");
            assert!(error.contains(path.to_str().expect("plain")), "{error}");
        }
    }
    let missing = root.path().join("missing");
    let error = Store::open(&url(&missing)).expect_err("missing").to_string();
    assert!(error.contains("there is no store at") && !missing.exists(), "{error}");
}

#[test]
fn a_file_in_the_place_of_a_folder_stops_with_its_name() {
    let mut shelf = Shelf::new();
    let (one, two) = (shelf.put(b"one"), shelf.put(&seeded_bytes(2, 100_000)));
    for folder_name in ["log", "data"] {
        let (root, machine) = (folder(), Machine::new());
        let store = directory(root.path());
        push(&mut machine.create(&store).expect("made"), &shelf.files(&[one])).expect("pushed");
        let (inner, aside) = (root.path().join(folder_name), root.path().join("aside"));
        fs::rename(&inner, &aside).expect("renamed");
        fs::write(&inner, b"in the way").expect("writable");
        for catalog in [machine.open(&store), fresh(&store)] {
            let outcome = catalog.and_then(|mut it| push(&mut it, &shelf.files(&[two])));
            let error = outcome.expect_err("in the way").to_string();
            assert!(error.contains(&format!("{folder_name}/")) && !error.contains('\n'), "{error}");
        }
        fs::remove_file(&inner).expect("removed");
        fs::rename(&aside, &inner).expect("renamed");
        let mut catalog = machine.open(&store).expect("opens");
        push(&mut catalog, &shelf.files(&[two])).expect("pushed");
        shelf.assert_download(&mut catalog, &[one, two], "the folder is back");
        assert_chain(&store);
    }
}

/// A mount that ends with the test; `None`, and a loud word, where this user may not mount.
struct Mount(PathBuf);

impl Mount {
    fn new(path: &Path, arguments: &[&str]) -> Option<Mount> {
        let outcome = Command::new("mount").args(arguments).arg(path).output();
        match outcome {
            Ok(output) if output.status.success() => Some(Mount(path.to_owned())),
            Ok(output) => skipped(String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => skipped(&format!("mount cannot be run: {error}")),
        }
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", options]).arg(&self.0).status();
        assert!(status.expect("it ran before").success(), "remounted with {options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_store_is_read_and_refuses_writes_by_name() {
    let (root, machine, mut shelf) = (folder(), Machine::new(), Shelf::new());
    let Some(mount) = Mount::new(root.path(), &["-t", "tmpfs", "-o", "size=8m", "tmpfs"]) else { return };
    let store = directory(&root.path().join("store"));
    let (one, two) = (shelf.put(b"one"), shelf.put(b"two"));
    push(&mut machine.create(&store).expect("made"), &shelf.files(&[one])).expect("pushed");
    mount.remount("remount,ro");
    for mut catalog in [machine.open(&store).expect("warm"), fresh(&store).expect("cold")] {
        shelf.assert_download(&mut catalog, &[one], "read-only");
        for oid in [one, two] {
            let error = push(&mut catalog, &shelf.files(&[oid])).expect_err("read-only").to_string();
            assert!(error.contains("cannot write") && error.contains("check who may"), "{error}");
        }
    }
    assert!(machine.journals(&store).is_empty(), "a clear no leaves nothing open");
    let error = Store::create_place(&url(&root.path().join("another")), &Settings::default())
        .expect_err("read-only")
        .to_string();
    assert!(error.contains("cannot make") && error.contains("check who may"), "{error}");
    mount.remount("remount,rw");
    push(&mut machine.open(&store).expect("opens"), &shelf.files(&[two])).expect("pushed");
    shelf.assert_download(&mut fresh(&store).expect("opens"), &[one, two], "writable again");
    assert_chain(&store);
}

#[test]
fn a_full_disk_loses_nothing_and_the_next_push_after_it_succeeds() {
    let (root, machine, mut shelf) = (folder(), Machine::new(), Shelf::new());
    let Some(mount) = Mount::new(root.path(), &["-t", "tmpfs", "-o", "size=4m", "tmpfs"]) else { return };
    let store = directory(&root.path().join("store"));
    let (one, large) = (shelf.put(b"one"), shelf.put(&seeded_bytes(9, 6 << 20)));
    push(&mut machine.create(&store).expect("made"), &shelf.files(&[one])).expect("pushed");
    let entries = assert_chain(&store);
    let full = |error: String| {
        assert!(error.contains("cannot write") && error.contains("free some space"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    };
    // No room for a pack.
    let mut catalog = machine.open(&store).expect("opens");
    full(push(&mut catalog, &shelf.files(&[large])).expect_err("full").to_string());
    // No room for a log entry: a touch writes nothing else.
    let filler = root.path().join("filler");
    let filled = fs::write(&filler, vec![1; 8 << 20]).expect_err("full");
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    full(push(&mut catalog, &shelf.files(&[one])).expect_err("full").to_string());
    full(catalog.write_checkpoint().expect_err("full").to_string());
    assert_eq!(assert_chain(&store), entries);
    assert!(machine.journals(&store).is_empty(), "a clear no leaves nothing open");
    shelf.assert_download(&mut catalog, &[one], "on a full disk");
    mount.remount("remount,size=32m");
    push(&mut catalog, &shelf.files(&[one, large])).expect("pushed");
    shelf.assert_download(&mut fresh(&store).expect("opens"), &[one, large], "with room again");
    assert_chain(&store);
    assert_packs(&store);
}

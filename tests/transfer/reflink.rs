//! Second copies where the file system shares bytes between files: XFS in a file, made and mounted where root may, else
//! `DATAMON_TEST_REFLINK` names a directory on such a file system; without either these tests fail.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use datamon::ops::local;
use datamon::progress::Silent;
use datamon_test_support::{Hermetic, run, seeded_bytes};

use crate::cli::machine;

const SIZE: usize = 24 << 20;

/// A directory whose file system has reflinks.
struct Sharing {
    dir: PathBuf,
    mounted: bool,
}

impl Sharing {
    fn new(env: &Hermetic) -> Sharing {
        if let Some(dir) = std::env::var_os("DATAMON_TEST_REFLINK") {
            return Sharing { dir: tempfile::tempdir_in(dir).expect("a directory").keep(), mounted: false };
        }
        let (image, dir) = (env.root().join("image"), env.root().join("mounted"));
        fs::File::create(&image).and_then(|file| file.set_len(512 << 20)).expect("room for an image");
        fs::create_dir(&dir).expect("made");
        let said = |program: &str, args: &[&str]| {
            let ended = Command::new(program).args(args).status();
            let ok = ended.as_ref().is_ok_and(|status| status.success());
            assert!(
                ok,
                "{program} {args:?}: {ended:?}; name a directory with reflinks: DATAMON_TEST_REFLINK"
            );
        };
        let (from, to) = (image.to_str().expect("plain"), dir.to_str().expect("plain"));
        said("mkfs.xfs", &["-q", "-m", "reflink=1", from]);
        said("mount", &["-o", "loop", from, to]);
        Sharing { dir, mounted: true }
    }

    /// Bytes taken of the file system.
    fn used(&self) -> u64 {
        let said = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).arg(&self.dir).output().expect("runs");
            assert!(output.status.success());
            String::from_utf8(output.stdout).expect("words")
        };
        said("sync", &["-f"]);
        let numbers = said("stat", &["-f", "-c", "%b %f %S"]);
        let numbers: Vec<u64> = numbers.split_whitespace().map(|it| it.parse().expect("a number")).collect();
        (numbers[0] - numbers[1]) * numbers[2]
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        let _ = match self.mounted {
            true => Command::new("umount").arg(&self.dir).status().map(drop),
            false => fs::remove_dir_all(&self.dir),
        };
    }
}

fn edit(path: &Path) {
    let mut file = fs::File::options().write(true).open(path).expect("opens");
    file.seek(SeekFrom::Start(5000)).and_then(|_| file.write_all(b"edited in place")).expect("written");
}

#[test]
#[ignore = "wants a file system with reflinks: root, mkfs.xfs and XFS in the kernel, or DATAMON_TEST_REFLINK"]
fn a_copy_takes_no_disk_and_is_a_file_of_its_own() {
    let env = machine();
    let sharing = Sharing::new(&env);
    let [first, second, third] = ["first", "second", "third"].map(|name| sharing.dir.join(name));
    let content = seeded_bytes(1, SIZE);
    fs::write(&first, &content).expect("written");
    let before = sharing.used();
    let (_, size) = local::copy(&first, &second, &Silent).expect("copied");
    local::duplicate(&second, &third).expect("copied");
    assert_eq!(size, SIZE as u64);
    let more = sharing.used() - before;
    assert!(more < 4 << 20, "{more} bytes for two copies of {SIZE}");
    edit(&first);
    edit(&third);
    assert!(fs::read(&second).expect("there") == content, "an edit in place reached another file");
}

#[test]
#[ignore = "wants a file system with reflinks: root, mkfs.xfs and XFS in the kernel, or DATAMON_TEST_REFLINK"]
fn keeping_objects_costs_no_disk() {
    let env = machine();
    let sharing = Sharing::new(&env);
    let repo = sharing.dir.join("repo");
    let git = |args: &[&str]| run(env.command("git").arg("-C").arg(&repo).args(args));
    fs::create_dir(&repo).expect("made");
    git(&["init", "--quiet"]);
    git(&["datamon", "install"]);
    let store = env.root().join("store");
    git(&["datamon", "init", "--store", store.to_str().expect("plain"), "--track", "*.bin"]);
    git(&["config", "datamon.localObjects", "keep"]);
    let content = seeded_bytes(2, SIZE);
    fs::write(repo.join("a.bin"), &content).expect("written");
    let before = sharing.used();
    git(&["datamon", "commit", "-m", "data", "."]);
    let more = sharing.used() - before;
    assert!(more < 4 << 20, "{more} bytes for the commit of {SIZE}");
    let clone = sharing.dir.join("clone");
    let before = sharing.used();
    let ours = ["-c", "datamon.localObjects=keep", "datamon", "clone"];
    run(env.command("git").args(ours).arg(&repo).arg(&clone));
    let more = sharing.used() - before;
    assert!(more < (SIZE + (6 << 20)) as u64, "{more} bytes for the clone of {SIZE}");
    edit(&clone.join("a.bin"));
    run(env.command("git").arg("-C").arg(&clone).args(["lfs", "fsck", "--objects"]));
    run(env.command("git").arg("-C").arg(&clone).args(["datamon", "checkout", "--force", "--", "a.bin"]));
    assert!(fs::read(clone.join("a.bin")).expect("there") == content);
}

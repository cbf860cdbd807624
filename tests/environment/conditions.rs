//! The conditions: the rows of the table.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use datamon_test_support::{Folding, run};

use super::ground::{NOBODY, Place, STORE};

/// Something about a machine or a repository.
pub struct Condition {
    pub name: &'static str,
    /// Puts a machine into it; why this one cannot be.
    pub make: fn(&mut Place) -> Result<(), String>,
    /// What one of has to be in the line that says what is in the way.
    pub says: &'static [&'static str],
    /// It is how the repository is, and cannot be lifted.
    pub stays: bool,
}

/// As we say it, and git, which does not always say why.
const FULL: &[&str] =
    &["No space left", "no space left", "Out of diskspace", "couldn't write", "failed to write"];
const READ_ONLY: &[&str] = &["Read-only file system", "read-only file system"];
/// What git and git-lfs say of a git directory that they may not look into. We say why.
pub const ONLY_OF_GIT: &[&str] = &["not a git repository", "Not in a Git repository", "invalid remote name"];
const FORBIDDEN: &[&str] = &[
    "Permission denied",
    "permission denied",
    "not a git repository",
    "Not in a Git repository",
    "invalid remote name",
];

const fn condition(
    name: &'static str,
    make: fn(&mut Place) -> Result<(), String>,
    says: &'static [&'static str],
) -> Condition {
    Condition { name, make, says, stays: false }
}

const fn kind_of_repository(
    name: &'static str,
    make: fn(&mut Place) -> Result<(), String>,
    says: &'static [&'static str],
) -> Condition {
    Condition { name, make, says, stays: true }
}

/// Where git keeps what it keeps, of the clone and of the repository that is to be set up.
const GIT_DIRS: [&str; 2] = ["work/data/.git", "work/fresh/.git"];

fn each(place: &mut Place, make: fn(&mut Place, &str) -> Result<(), String>) -> Result<(), String> {
    GIT_DIRS.iter().try_for_each(|dir| make(place, dir))
}

pub const ALL: [Condition; 34] = [
    condition("nothing_special", |_| Ok(()), &[]),
    condition("cache_full", |place| place.full("xdg/cache"), &[]),
    condition("cache_read_only", |place| place.read_only("xdg/cache"), &[]),
    condition("cache_forbidden", |place| place.forbidden("xdg/cache"), &[]),
    condition("tmp_full", |place| place.full("tmp"), FULL),
    condition("tmp_read_only", |place| place.read_only("tmp"), READ_ONLY),
    condition("tmp_forbidden", |place| place.forbidden("tmp"), FORBIDDEN),
    condition("store_full", |place| place.full(STORE), FULL),
    condition("store_read_only", |place| place.read_only(STORE), READ_ONLY),
    condition("store_forbidden", |place| place.forbidden(STORE), FORBIDDEN),
    condition("git_dir_full", |place| each(place, Place::full), FULL),
    condition("git_dir_read_only", |place| each(place, Place::read_only), READ_ONLY),
    condition("git_dir_forbidden", |place| each(place, Place::forbidden), FORBIDDEN),
    condition("state_full", |place| place.full("xdg/state"), FULL),
    condition("state_read_only", |place| place.read_only("xdg/state"), READ_ONLY),
    condition("disk_full", |place| place.full("work"), FULL),
    condition("no_home", no_home, &["HOME", "datamon::local", "git-lfs is not set up for this user"]),
    condition("lfs_on_another_disk", |place| place.own_disk("work/data/.git/lfs"), &[]),
    condition("tmp_on_another_disk", tmp_on_another_disk, &[]),
    condition("umask_of_a_private_person", |place| umask(place, "0077"), &[]),
    condition("umask_of_a_careless_person", |place| umask(place, "0000"), &[]),
    condition("locale_without_unicode", locale, &[]),
    condition("names_fold", names_fold, &[]),
    condition(
        "few_open_files",
        |place| limited(place, "--nofile=32"),
        &["Too many open files", "too many open files"],
    ),
    kind_of_repository("shallow", |place| cloned(place, &["--depth=1", "--no-single-branch"]), &["shallow"]),
    kind_of_repository(
        "partial",
        |place| cloned(place, &["--filter=blob:none"]),
        &["Could not scan for Git LFS files"],
    ),
    kind_of_repository("sha_256", sha_256, &["sha256"]),
    kind_of_repository(
        "bare",
        |place| cloned(place, &["--bare"]),
        &["work tree", "bare", "missing or corrupt local objects"],
    ),
    kind_of_repository("linked_worktree", linked_worktree, &[]),
    kind_of_repository("submodule", submodule, &[]),
    condition("clock_ahead", |place| clock(place, "315360000"), &[]),
    condition("clock_behind", |place| clock(place, "-315360000"), &[]),
    condition("no_network", no_network, &[]),
    condition("little_memory", little_memory, &["memory"]),
];

fn words(place: &mut Place, words: &[&str]) {
    place.runner = words.iter().map(OsString::from).collect();
}

fn no_home(place: &mut Place) -> Result<(), String> {
    for name in
        ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "GIT_CONFIG_GLOBAL"]
    {
        place.vars.push((name, None));
    }
    // A user who is in no list of users has no home there either.
    place.run_by("54321")
}

fn tmp_on_another_disk(place: &mut Place) -> Result<(), String> {
    place.own_disk("tmp")?;
    place.own_disk("xdg/cache")
}

fn umask(place: &mut Place, mask: &str) -> Result<(), String> {
    // Root may write where nobody else may.
    place.run_by(NOBODY)?;
    let script = format!("umask {mask}; exec \"$@\"");
    place.runner.extend(["sh", "-c", &script, "sh"].map(OsString::from));
    let root = place.env.root().to_owned();
    place.when_lifted(move |env| drop(run(env.command("chmod").args(["-R", "u+rwX"]).arg(&root))));
    Ok(())
}

fn locale(place: &mut Place) -> Result<(), String> {
    for name in ["LC_ALL", "LANG"] {
        place.vars.push((name, Some("de_DE.ISO-8859-1".into())));
    }
    let odd = place.dir().join(OsStr::from_bytes(b"\xe4 \xff.txt"));
    fs::write(&odd, "an umlaut of Latin-1").map_err(|error| error.to_string())?;
    place.git(&["add", "--", "*.txt"]);
    place.git(&["commit", "-q", "-m", "an odd name"]);
    place.git(&["config", "pull.rebase", "true"]);
    Ok(())
}

/// The file system of all repositories, of which git was told when it made them.
fn names_fold(place: &mut Place) -> Result<(), String> {
    let folding = Folding::over(&place.at("work"))?;
    place.until_it_ends(folding);
    for repo in ["work/data", "work/fresh", "work/remote.git"] {
        run(place.env.command("git").current_dir(place.at(repo)).args(["config", "core.ignoreCase", "true"]));
    }
    Ok(())
}

fn limited(place: &mut Place, limit: &str) -> Result<(), String> {
    words(place, &["prlimit", limit]);
    Ok(())
}

/// The repository is another clone, with the commits and data of the first.
fn cloned(place: &mut Place, options: &[&str]) -> Result<(), String> {
    let (old, new) = (place.at("work/old"), place.dir());
    fs::rename(&new, &old).map_err(|error| error.to_string())?;
    let remote = format!("file://{}", place.at("work/remote.git").display());
    let mut clone = place.env.command("git");
    clone.env("GIT_LFS_SKIP_SMUDGE", "1").arg("clone").arg("-q").args(options).arg(&remote).arg(&new);
    run(&mut clone);
    settle(place)
}

/// Brings the commit that is ahead, and its data.
fn settle(place: &mut Place) -> Result<(), String> {
    let old = place.at("work/old");
    let old_text = old.to_str().ok_or("an odd directory")?.to_owned();
    place.git(&["fetch", "-q", &old_text, "ahead:ahead"]);
    if !place.git(&["branch", "--list", "side"]).text().contains("side") {
        place.git(&["branch", "-q", "side", "origin/side"]);
    }
    let common = place.git(&["rev-parse", "--path-format=absolute", "--git-common-dir"]).text().to_owned();
    run(place.env.command("cp").arg("-a").arg(old.join(".git/lfs")).arg(common));
    if place.git(&["rev-parse", "--is-bare-repository"]).text() == "false" {
        place.git(&["lfs", "checkout"]);
    }
    Ok(())
}

fn sha_256(place: &mut Place) -> Result<(), String> {
    for name in ["work/data", "work/remote.git", "work/fresh"] {
        fs::remove_dir_all(place.at(name)).map_err(|error| error.to_string())?;
        let mut init = place.env.command("git");
        init.args(["init", "-q", "--object-format=sha256"]);
        if name.ends_with(".git") {
            init.arg("--bare");
        }
        run(init.arg(place.at(name)));
    }
    let lfsconfig = "[lfs]\n\turl = datamon::local\n";
    fs::write(place.dir().join(".lfsconfig"), lfsconfig).map_err(|error| error.to_string())?;
    for (path, bytes) in super::ground::files(super::ground::MAIN) {
        let path = place.dir().join(path);
        fs::create_dir_all(path.parent().expect("below"))
            .and_then(|()| fs::write(path, bytes))
            .map_err(|error| error.to_string())?;
    }
    place.git(&["add", "."]);
    place.git(&["commit", "-q", "-m", "files of git"]);
    for branch in ["ahead", "side"] {
        place.git(&["branch", branch]);
    }
    place.git(&["remote", "add", "origin", "../remote.git"]);
    place.git(&[
        "push",
        "-q",
        "--no-verify",
        "origin",
        "main",
        "side",
        &format!("main:{}", super::ground::NEWS),
    ]);
    Ok(())
}

fn linked_worktree(place: &mut Place) -> Result<(), String> {
    place.git(&["worktree", "add", "-q", "--detach", "../linked"]);
    place.repo = "work/linked";
    Ok(())
}

fn submodule(place: &mut Place) -> Result<(), String> {
    fs::rename(place.dir(), place.at("work/old")).map_err(|error| error.to_string())?;
    let outer = place.env.init("super");
    let remote = place.at("work/remote.git").to_str().ok_or("an odd directory")?.to_owned();
    outer.git(["submodule", "--quiet", "add", &remote, "data"]);
    outer.commit("a submodule");
    place.repo = "work/super/data";
    settle(place)
}

/// The clock of every program that asks the C library, seconds from the right one.
fn clock(place: &mut Place, shift: &str) -> Result<(), String> {
    let (source, library) = (place.at("clock.c"), place.at("clock.so"));
    fs::write(&source, include_str!("clock.c")).map_err(|error| error.to_string())?;
    let mut cc = std::process::Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).arg("-ldl");
    run(&mut cc);
    place.vars.push(("LD_PRELOAD", Some(library.into())));
    place.vars.push(("CLOCK_SHIFT", Some(shift.into())));
    for name in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
        place.vars.push((name, None));
    }
    Ok(())
}

fn no_network(place: &mut Place) -> Result<(), String> {
    words(place, &["unshare", "--net"]);
    let can = place.env.command("unshare").args(["--net", "true"]).status();
    can.is_ok_and(|status| status.success())
        .then_some(())
        .ok_or_else(|| "the network cannot be cut off here".to_owned())
}

/// Half a GiB for everything that a command starts, the page cache not counted.
fn little_memory(place: &mut Place) -> Result<(), String> {
    let group = format!("/sys/fs/cgroup/memory/datamon-test-{}", std::process::id());
    let v1 =
        fs::create_dir_all(&group).and_then(|()| fs::write(format!("{group}/memory.limit_in_bytes"), "512M"));
    if v1.is_err() {
        words(place, &["prlimit", "--as=2147483648", "prlimit", "--data=536870912"]);
        return Ok(());
    }
    let script = format!("echo $$ > {group}/cgroup.procs && exec \"$@\"");
    words(place, &["sh", "-c", &script, "sh"]);
    place.when_lifted(move |_| drop(fs::remove_dir(group)));
    Ok(())
}

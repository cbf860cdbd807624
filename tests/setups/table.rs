//! The table: every set-up, how it is made, and what happens in it where that is not what one expects.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use datamon_test_support::run;

use super::Cell::{First, Pointers, Refused, Then};
use super::Operation::{Archive, Checkout, Clone, Prune, Pull, Push};
use super::Setup;
use super::ground::{Ground, OLD};
use super::place::Place;

/// A clone of the path of the remote, with these options and variables.
fn cloned(ground: Ground, options: &[&str], variables: &[(&str, &str)]) -> Place {
    let mut clone = ground.env.command("git");
    clone.envs(variables.iter().copied()).args(["clone", "-q"]).args(options);
    run(clone.args([&ground.path(), "clone"]));
    Place::new(ground, "clone")
}

/// The same by a URL: git does not look into a path for shallow and partial clones.
fn cloned_by_url(ground: Ground, options: &[&str]) -> Place {
    let url = format!("file://{}", ground.path());
    run(ground.env.command("git").args(["clone", "-q"]).args(options).args([&url, "clone"]));
    Place::new(ground, "clone")
}

fn configured(ground: &Ground, key: &str, value: &str) {
    run(ground.env.command("git").args(["config", "--global", key, value]));
}

fn put_hook(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("below it")).and_then(|()| fs::write(path, text)).expect("free");
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("just made");
}

pub fn plain_clone() -> Setup {
    Setup::new("plain clone", "`git clone <path>`", |ground| cloned(ground, &[], &[]))
}

pub fn url_of_a_file_remote() -> Setup {
    Setup::new("`file://` remote", "`git clone file://<path>`", |ground| cloned_by_url(ground, &[]))
}

pub fn remote_typed_as_a_path() -> Setup {
    Setup::new("remote typed as a path", "`git push <path>`, `git pull <path>`", |ground| {
        let path = ground.path();
        let place = cloned(ground, &[], &[]);
        Place { remote: path, ..place }
    })
}

pub fn path_with_spaces() -> Setup {
    Setup::new("a path with spaces", "`git clone <path> 'mein größter Klon'`", |ground| {
        let name = "mein größter Klon";
        run(ground.env.command("git").args(["clone", "-q", &ground.path(), name]));
        Place::new(ground, name)
    })
}

pub fn linked_worktree() -> Setup {
    Setup::new("linked worktree", "`git worktree add`", |ground| {
        let place = cloned(ground, &[], &[]);
        place.git(&["worktree", "add", "-q", "-b", "linked", "../linked", "origin/main"]);
        Place::new(place.ground, "linked")
    })
}

pub fn submodule() -> Setup {
    Setup::new("submodule", "`git submodule add`", |ground| {
        let (path, outer) = (ground.path(), ground.env.init("outer"));
        outer.git(["submodule", "--quiet", "add", &path, "sub"]);
        Place::new(ground, "outer/sub")
    })
}

pub fn separate_git_dir() -> Setup {
    Setup::new("git directory elsewhere", "`git clone --separate-git-dir`", |ground| {
        cloned(ground, &["--separate-git-dir=elsewhere.git"], &[])
    })
}

/// What git says to a command that needs a work tree.
const NO_WORK_TREE: &str = "this operation must be run in a work tree";

/// What bare repositories have in common.
fn bare(setup: Setup, pull: &'static [&'static str]) -> Setup {
    const PUSH: &[&str] = &["-c lfs.allowincompletepush=true lfs push origin HEAD"];
    const OFFERED: &str = "no hook runs in a bare repository; git-lfs offers the whole history, and what is not here is told \
                           to be left out";
    const PRUNED: &str =
        "git-lfs cannot tell in a bare repository what was pushed: 3.8 deletes nothing, 3.3 overlooks a part";
    setup
        .cell(Clone, Then(&["lfs fetch origin main"], "no filter runs in a bare repository"))
        .cell(Push, First(PUSH, OFFERED))
        .cell(Pull, Refused(NO_WORK_TREE, pull, "there are no files to merge into"))
        .cell(Checkout, Refused(NO_WORK_TREE, &["lfs fetch origin side"], "there are no files to write"))
        .cell(Prune, Then(&["lfs fetch origin side"], PRUNED))
}

pub fn bare_clone() -> Setup {
    let setup = Setup::new("bare clone", "`git clone --bare`", |ground| Place {
        bare: true,
        ..cloned(ground, &["--bare"], &[])
    });
    bare(setup, &["fetch -q origin +main:main", "lfs fetch origin main"])
}

pub fn mirror() -> Setup {
    let setup = Setup::new("mirror", "`git clone --mirror`", |ground| Place {
        bare: true,
        push: "push -q REMOTE",
        ..cloned(ground, &["--mirror"], &[])
    });
    bare(setup, &["fetch -q origin", "lfs fetch origin main"])
}

pub fn shallow() -> Setup {
    Setup::new("shallow clone", "`git clone --depth=1`", |ground| {
        cloned_by_url(ground, &["--depth=1", "--no-single-branch"])
    })
}

pub fn partial_without_blobs() -> Setup {
    Setup::new("partial clone", "`git clone --filter=blob:none`", |ground| {
        cloned_by_url(ground, &["--filter=blob:none"])
    })
}

pub fn partial_without_trees() -> Setup {
    Setup::new("partial clone without trees", "`git clone --filter=tree:0`", |ground| {
        cloned_by_url(ground, &["--filter=tree:0"])
    })
}

pub fn single_branch() -> Setup {
    Setup::new("single branch", "`git clone --single-branch`", |ground| {
        let place = cloned(ground, &["--single-branch"], &[]);
        // The other branch is asked for when it is wanted.
        place.git(&["fetch", "-q", "origin", "side:refs/remotes/origin/side"]);
        place
    })
}

pub fn sparse_checkout() -> Setup {
    Setup::new("sparse checkout", "`git clone --sparse`", |ground| Place {
        left_out: Some("dir/"),
        ..cloned(ground, &["--sparse"], &[])
    })
}

pub fn alternates() -> Setup {
    Setup::new("shared objects", "`git clone --shared <clone>`", |ground| {
        let first = cloned(ground, &[], &[]);
        let (ground, path) = (first.ground, first.repo.dir().to_str().expect("plain").to_owned());
        run(ground.env.command("git").args(["clone", "-q", "--shared", &path, "shared"]));
        let place = Place::new(ground, "shared");
        let remote = place.ground.path();
        place.git(&["remote", "set-url", "origin", &remote]);
        place.git(&["fetch", "-q"]);
        place
    })
}

pub fn reference() -> Setup {
    Setup::new("clone with a reference", "`git clone --reference <clone>`", |ground| {
        let first = cloned(ground, &[], &[]);
        let (ground, path) = (first.ground, first.repo.dir().to_str().expect("plain").to_owned());
        run(ground.env.command("git").args(["clone", "-q", "--reference", &path, &ground.path(), "second"]));
        Place::new(ground, "second")
    })
}

pub fn storage_elsewhere() -> Setup {
    Setup::new("`lfs.storage` elsewhere", "`git clone -c lfs.storage=<path>`", |ground| {
        let storage = format!("lfs.storage={}", ground.env.root().join("big").display());
        cloned(ground, &["-c", &storage], &[])
    })
}

pub fn commit_without_lfsconfig() -> Setup {
    Setup::new(
        "commit without `.lfsconfig`",
        "`git checkout` of a commit that is older than the store",
        |ground| {
            let place = cloned(ground, &[], &[]);
            place.git(&["checkout", "-q", "old"]);
            Place { cloned: OLD, ..place }
        },
    )
}

pub fn clone_without_lfsconfig() -> Setup {
    Setup::new("first clone of such a commit", "`git clone --branch <old branch>`", |ground| {
        let place = cloned(ground, &["--no-checkout", "--branch=old"], &[]);
        Place { cloned: OLD, clone: &["checkout -q -f old"], ..place }
    })
    .cell(
        Clone,
        Refused(
            "smudge filter lfs failed",
            &["config lfs.url datamon::local", "checkout -q -f old"],
            "nothing there names the store, and git-lfs asks the remote: pin the clone first",
        ),
    )
}

pub fn skip_smudge_once() -> Setup {
    Setup::new("cloned without data", "`GIT_LFS_SKIP_SMUDGE=1 git clone`", |ground| {
        cloned(ground, &[], &[("GIT_LFS_SKIP_SMUDGE", "1")])
    })
    .cell(Clone, Then(&["lfs pull"], ""))
}

pub fn skip_smudge_always() -> Setup {
    Setup::new("smudging switched off", "`git lfs install --skip-smudge`", |ground| {
        run(ground.env.command("git").args(["lfs", "install", "--skip-smudge", "--skip-repo", "--force"]));
        cloned(ground, &[], &[])
    })
    .cell(Clone, Then(&["lfs pull"], ""))
    .cell(Pull, Then(&["lfs pull"], ""))
    .cell(Checkout, Then(&["lfs pull"], ""))
    .cell(Archive, Pointers("git-lfs was told to leave pointers as they are"))
    .cell(Prune, Then(&["lfs pull"], ""))
}

pub fn filters_of_the_clone() -> Setup {
    Setup::new("filters of the clone only", "`git lfs install --local`", |ground| {
        run(ground.env.command("git").args(["lfs", "uninstall", "--skip-repo"]));
        let place = cloned(ground, &[], &[]);
        place.git(&["lfs", "install", "--local"]);
        place
    })
    .cell(Clone, Then(&["lfs pull"], "no filter ran when it was cloned"))
}

fn with_hook(ground: Ground, put: impl FnOnce(&Place)) -> Place {
    let place = cloned(ground, &[], &[]);
    let _ = fs::remove_file(place.repo.dir().join(".git/hooks/pre-push"));
    put(&place);
    place
}

pub fn hook_of_init() -> Setup {
    Setup::new("our pre-push hook", "`git datamon init` in the clone", |ground| {
        with_hook(ground, |place| place.git(&["datamon", "-q", "init"]))
    })
}

pub fn hook_of_git_lfs() -> Setup {
    Setup::new("the hook of git-lfs", "`git lfs update`", |ground| {
        with_hook(ground, |place| place.git(&["lfs", "update"]))
    })
}

pub fn no_hook() -> Setup {
    Setup::new("no pre-push hook", "`git push --no-verify`", |ground| {
        // git-lfs puts its hook back whenever a file is added.
        Place { push: "push -q --no-verify REMOTE HEAD:refs/heads/pushed", ..with_hook(ground, |_| {}) }
    })
    .cell(
        Push,
        First(&["lfs push origin HEAD"], "git asks nobody, so no data goes by itself: send it before"),
    )
}

pub fn foreign_hook() -> Setup {
    Setup::new("a pre-push hook of your own", "then `git datamon init`", |ground| {
        let place = with_hook(ground, |place| {
            put_hook(&place.repo.dir().join(".git/hooks/pre-push"), "#!/bin/sh\ncat >>.git/seen\n");
            place.git(&["datamon", "-q", "init"]);
        });
        Place { hook_is_seen: true, ..place }
    })
}

pub fn shared_hooks_path() -> Setup {
    Setup::new("hooks of the user", "`git config --global core.hooksPath <path>`", |ground| {
        let hooks = ground.env.root().join("hooks");
        let text = "#!/bin/sh\n: >.git/seen\nexec git datamon hook pre-push \"$@\"\n";
        put_hook(&hooks.join("pre-push"), text);
        configured(&ground, "core.hooksPath", hooks.to_str().expect("plain"));
        Place { hook_is_seen: true, ..cloned(ground, &[], &[]) }
    })
}

pub fn eight_agents() -> Setup {
    Setup::new("several agents", "`lfs.customtransfer.datamon.concurrent = true`", |ground| {
        configured(&ground, "lfs.customtransfer.datamon.concurrent", "true");
        cloned(ground, &[], &[])
    })
}

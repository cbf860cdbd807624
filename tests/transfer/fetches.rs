//! What a fetch costs: requests that grow with the packs that are needed, not with the objects, however git-lfs asks.
//!
//! The history is long, every file changes often, and it was pushed in many pushes: what a project looks like after a year.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use datamon_test_support::{TestRepo, run, seeded_bytes};
use serde_json::Value;

use super::{Machine, Team, each_git_lfs, file, first, oid};

each_git_lfs!(
    everything_is_fetched_in_a_request_a_pack,
    an_old_branch_is_checked_out_in_a_request_a_pack,
    named_refs_bring_their_own_objects_and_no_more,
    paths_left_out_are_not_read,
    a_partial_clone_is_not_filled_by_a_guess,
);

const FILES: u64 = 40;
const COMMITS: u64 = 200;
const PUSHES: u64 = 8;
const SIZE: usize = 3_000;

/// Requests of a machine that opens a store for the first time and looks its rows up.
const TO_OPEN: u64 = 12;

/// A team with a history: commit `n` changes one file, and branch `b<p>` is where push `p` ended.
struct History {
    team: Team,
    /// Files of `main` after each push, the first of them before any change.
    trees: Vec<BTreeMap<String, Vec<u8>>>,
}

fn path(file: u64) -> String {
    format!("d{}/f{file}.bin", file % 4)
}

fn pointer(bytes: &[u8]) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", oid(bytes), bytes.len())
}

impl History {
    #[track_caller]
    fn pushed(machine: Machine) -> History {
        let team = Team::new(machine);
        let mut tree: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let (mut trees, mut stream) = (Vec::new(), String::new());
        for commit in 0..=COMMITS {
            let changed: Vec<u64> = if commit == 0 { (0..FILES).collect() } else { vec![commit * 7 % FILES] };
            let date = 1_700_001_000 + 60 * commit;
            write!(stream, "commit refs/heads/main\ncommitter T <t@example.org> {date} +0000\ndata 1\nx\n")
                .unwrap();
            if commit == 0 {
                stream += "from refs/heads/main^0\n";
            }
            for file in changed {
                let bytes = seeded_bytes(1000 * commit + file, SIZE);
                let pointer = pointer(&bytes);
                let object = team.object_path(&oid(&bytes));
                fs::create_dir_all(object.parent().unwrap())
                    .and_then(|()| fs::write(object, &bytes))
                    .unwrap();
                write!(stream, "M 100644 inline {}\ndata {}\n{pointer}\n", path(file), pointer.len())
                    .unwrap();
                tree.insert(path(file), bytes);
            }
            if commit % (COMMITS / PUSHES) == 0 {
                let push = commit / (COMMITS / PUSHES);
                write!(stream, "reset refs/heads/b{push}\nfrom refs/heads/main\n\n").unwrap();
                trees.push(tree.clone());
            }
        }
        let file = team.env.root().join("stream");
        fs::write(&file, stream).unwrap();
        let import = "git fast-import --quiet <\"$0\"";
        run(team.env.command("sh").current_dir(team.repo.dir()).args(["-c", import]).arg(file));
        for push in 0..=PUSHES {
            let branch = format!("b{push}");
            team.repo.git(["push", "-q", "origin", &format!("{branch}:main"), &branch]);
        }
        History { team, trees }
    }

    /// Another machine with the commits and no data.
    #[track_caller]
    fn clone_of_pointers(&self, machine: Machine, options: &[&str]) -> TestRepo {
        let env = machine();
        let remote = format!("file://{}", self.team.remote.dir().display());
        let mut clone = env.command("git");
        run(clone
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .arg("clone")
            .arg("-q")
            .args(options)
            .args([&remote, "clone"]));
        env.repo("clone")
    }

    fn packs(&self) -> u64 {
        super::objects(&self.team.store).keys().filter(|name| name.starts_with("data/")).count() as u64
    }

    fn oids(&self, push: usize) -> BTreeSet<String> {
        self.trees[push].values().map(|bytes| oid(bytes)).collect()
    }

    /// Each file of the work tree is as after this push.
    #[track_caller]
    fn assert_checked_out(&self, repo: &TestRepo, push: usize) {
        super::assert_files(repo, &self.trees[push]);
    }
}

/// What the last agent of this machine cost: its GET requests and the bytes it read.
#[track_caller]
fn cost(repo: &TestRepo) -> (u64, u64) {
    let said = repo.git(["datamon", "stats", "--json"]);
    let said: Value = serde_json::from_str(said.text()).expect("JSON");
    let number = |field: &str| said["last_transfer"]["requests"][field].as_u64().expect("a number");
    (number("get"), number("read"))
}

/// Puts a script in the place of the agent, which runs it as `agent`.
#[track_caller]
fn wrap_agent(repo: &TestRepo, script: &str) -> PathBuf {
    let wrapper = repo.env().root().join("wrapper");
    let binary = env!("CARGO_BIN_EXE_git-datamon");
    fs::write(&wrapper, format!("#!/bin/sh\nagent() {{ {binary} lfs-agent; }}\n{script}\n")).unwrap();
    run(repo.env().command("chmod").arg("+x").arg(&wrapper));
    for (key, value) in [("path", wrapper.to_str().unwrap()), ("args", "")] {
        repo.git(["config", "--global", &format!("lfs.customtransfer.datamon.{key}"), value]);
    }
    wrapper
}

/// From now on the cost of every agent is kept, one line each.
#[track_caller]
fn keep_costs(repo: &TestRepo) -> PathBuf {
    let costs = repo.env().root().join("costs");
    wrap_agent(
        repo,
        &format!("agent; git datamon stats --json | tr -d '\\n' >>{0}; echo >>{0}", costs.display()),
    );
    costs
}

/// The cost of each agent since it was looked at last.
#[track_caller]
fn kept(costs: &Path) -> Vec<(u64, u64)> {
    let text = fs::read_to_string(costs).unwrap_or_default();
    let _ = fs::remove_file(costs);
    let number = |line: &str, field: &str| {
        let said: Value = serde_json::from_str(line).expect("JSON");
        said["last_transfer"]["requests"][field].as_u64().expect("a number")
    };
    text.lines().map(|line| (number(line, "get"), number(line, "read"))).collect()
}

fn everything_is_fetched_in_a_request_a_pack(machine: Machine) {
    let history = History::pushed(machine);
    let packs = history.packs();
    assert_eq!(packs, PUSHES + 1, "one each push");
    let all = history.team.repo.lfs_objects();
    assert_eq!(all.len() as u64, FILES + COMMITS);

    let clone = history.clone_of_pointers(machine, &[]);
    clone.git(["lfs", "fetch", "--all"]);
    assert_eq!(clone.lfs_objects(), all);
    let (gets, _) = cost(&clone);
    assert!(gets <= packs + TO_OPEN, "{gets} GET for {} objects in {packs} packs", all.len());

    // The same where the command line cannot be seen: three guesses more.
    let clone = history.clone_of_pointers(machine, &[]);
    let script = "sh -c 'sh -c \"git-datamon lfs-agent; true\"; true'; true";
    wrap_agent(&clone, script);
    clone.git(["lfs", "fetch", "--all"]);
    assert_eq!(clone.lfs_objects(), all);
    let (gets, _) = cost(&clone);
    assert!(gets <= 2 * packs + TO_OPEN, "{gets} GET for {} objects in {packs} packs", all.len());
    super::assert_clean(&clone);
}

fn an_old_branch_is_checked_out_in_a_request_a_pack(machine: Machine) {
    let history = History::pushed(machine);
    let clone = history.clone_of_pointers(machine, &["--no-checkout"]);
    clone.git(["checkout", "-q", "main"]);
    history.assert_checked_out(&clone, PUSHES as usize);
    let (gets, _) = cost(&clone);
    assert!(gets <= history.packs() + TO_OPEN, "{gets} GET for {FILES} files");
    for push in [3, 0, 6] {
        clone.git(["checkout", "-q", &format!("origin/b{push}")]);
        history.assert_checked_out(&clone, push);
        let (gets, _) = cost(&clone);
        assert!(gets <= push as u64 + 5, "{gets} GET for the files of push {push}");
    }
    // A commit that no ref names.
    clone.git(["checkout", "-q", "--detach", "origin/b5~7"]);
    assert!(clone.git(["status", "--porcelain"]).text().is_empty());
    let (gets, _) = cost(&clone);
    assert!(gets <= 8, "{gets} GET for a commit between two pushes");
    super::assert_clean(&clone);
}

fn named_refs_bring_their_own_objects_and_no_more(machine: Machine) {
    let history = History::pushed(machine);
    let clone = history.clone_of_pointers(machine, &[]);
    let costs = keep_costs(&clone);
    clone.git(["lfs", "fetch", "origin", "origin/b4", "origin/b5"]);
    let wanted: BTreeSet<String> = history.oids(4).union(&history.oids(5)).cloned().collect();
    assert_eq!(clone.lfs_objects(), wanted);
    let (agents, data) = (kept(&costs), (wanted.len() * SIZE) as u64);
    let (gets, read) = agents.iter().fold((0, 0), |sum, cost| (sum.0 + cost.0, sum.1 + cost.1));
    assert!(gets <= 6 + 2 + 2 * TO_OPEN, "{gets} GET: {agents:?}");
    assert!(read < 2 * data, "{read} bytes for {data} bytes of files: {agents:?}");

    // Recent branches, each by an agent of its own.
    clone.git(["config", "lfs.fetchrecentrefsdays", "100000"]);
    clone.git(["lfs", "fetch", "--recent"]);
    let tips: BTreeSet<String> = (0..=PUSHES as usize).flat_map(|push| history.oids(push)).collect();
    assert_eq!(clone.lfs_objects(), tips);
    let agents = kept(&costs);
    assert!(agents.len() > 5 && agents.iter().all(|(gets, _)| *gets < 10), "{agents:?}");
    clone.git(["config", "lfs.fetchrecentcommitsdays", "100000"]);
    clone.git(["lfs", "fetch", "--recent"]);
    let agents = kept(&costs);
    assert_eq!(clone.lfs_objects(), history.team.repo.lfs_objects());
    assert!(agents.iter().all(|(gets, _)| *gets < 3 * PUSHES), "{agents:?}");
}

fn paths_left_out_are_not_read(machine: Machine) {
    let history = History::pushed(machine);
    let below = |directory: &str| -> BTreeSet<String> {
        let tree = &history.trees[PUSHES as usize];
        tree.iter().filter(|(path, _)| path.starts_with(directory)).map(|(_, bytes)| oid(bytes)).collect()
    };
    let clone = history.clone_of_pointers(machine, &[]);
    clone.git(["lfs", "pull", "-I", "d1,d2", "-X", "d2"]);
    assert_eq!(clone.lfs_objects(), below("d1/"));
    let (gets, _) = cost(&clone);
    assert!(gets <= history.packs() + TO_OPEN, "{gets} GET for {} files", FILES / 4);

    for key in ["lfs.fetchinclude=d3", "lfs.fetchexclude=d0,d1,d2"] {
        let clone = history.clone_of_pointers(machine, &["-c", key]);
        clone.git(["lfs", "fetch"]);
        assert_eq!(clone.lfs_objects(), below("d3/"), "{key}");
    }
    // A sparse checkout asks for what it checks out.
    let clone = history.clone_of_pointers(machine, &["--no-checkout", "--sparse"]);
    clone.git(["sparse-checkout", "set", "d2"]);
    clone.git(["checkout", "-q", "main"]);
    assert_eq!(clone.lfs_objects(), below("d2/"));
    let (gets, _) = cost(&clone);
    assert!(gets <= history.packs() + TO_OPEN, "{gets} GET for {} files", FILES / 4);
}

fn a_partial_clone_is_not_filled_by_a_guess(machine: Machine) {
    let history = History::pushed(machine);
    history.team.remote.git(["config", "uploadpack.allowFilter", "true"]);
    for (how, partial) in [("--filter=blob:none", true), ("--filter=tree:0", true), ("--depth=30", false)] {
        let env = machine();
        let remote = format!("file://{}", history.team.remote.dir().display());
        run(env.command("git").args(["clone", "-q", how, &remote, "clone"]));
        let clone = env.repo("clone");
        history.assert_checked_out(&clone, PUSHES as usize);
        let (gets, _) = cost(&clone);
        assert!(gets <= history.packs() + TO_OPEN, "{how}: {gets} GET for {FILES} files");
        let absent = || {
            clone
                .git(["rev-list", "--objects", "--missing=print", "main"])
                .lines()
                .iter()
                .filter(|line| line.starts_with('?'))
                .count()
        };
        let before = absent();
        assert_eq!(before > 100, partial, "{how}: {before}");
        // Files that changed since: git fetches what it checks out, and we nothing beside.
        clone.git(["checkout", "-q", "main~25"]);
        let (gets, _) = cost(&clone);
        assert!(gets <= 8, "{how}: {gets} GET for 25 commits");
        let after = absent();
        assert!(before - after <= FILES as usize, "{how}: git lacked {before} objects, and now {after}");
    }
}

#[test]
fn an_agent_for_one_file_reads_little_more_than_it() {
    let team = Team::new(first);
    let files: BTreeMap<String, Vec<u8>> =
        (0..30).map(|n| (format!("f{n:02}.bin"), seeded_bytes(n, 400_000))).collect();
    team.change("first", &files);
    team.repo.push("origin", "main");
    let env = first();
    let remote = team.remote.dir().to_str().expect("plain");
    run(env.command("git").env("GIT_LFS_SKIP_SMUDGE", "1").args(["clone", "-q", remote, "clone"]));
    let clone = env.repo("clone");
    let costs = keep_costs(&clone);
    // git starts no agent for long when it archives: one for each file.
    clone.git(["archive", "--output=../all.tar", "HEAD"]);
    let agents = kept(&costs);
    assert_eq!(agents.len(), 30);
    assert!(agents.iter().all(|(gets, read)| *gets < TO_OPEN && *read < 2_000_000), "{agents:?}");
    fs::remove_dir_all(clone.dir().join(".git/lfs/objects")).unwrap();
    // One file of a tree that is not here.
    fs::remove_file(clone.dir().join("f17.bin")).unwrap();
    clone.git(["checkout", "-q", "--", "f17.bin"]);
    assert!(clone.read("f17.bin") == files["f17.bin"]);
    let agents = kept(&costs);
    assert!(matches!(agents[..], [(gets, read)] if gets < 5 && read < 2_000_000), "{agents:?}");
}

#[test]
fn what_is_left_out_is_not_read() {
    let team = Team::new(first);
    team.change("large", &file("large.bin", 1, 60 << 20));
    team.change("small", &file("small.bin", 2, 50_000));
    team.repo.push("origin", "main");
    let remote = team.remote.dir().to_str().expect("plain");
    let pull = ["lfs", "pull", "-I", "small.bin"];
    for (options, then) in [(&["-c", "lfs.fetchexclude=large.bin"][..], &["status"][..]), (&["-n"], &pull)] {
        let env = first();
        run(env.command("git").args(["clone", "-q", remote, "clone"]).args(options));
        let clone = env.repo("clone");
        clone.git(then);
        assert_eq!(clone.lfs_objects(), BTreeSet::from([oid(&seeded_bytes(2, 50_000))]));
        let (_, read) = cost(&clone);
        assert!(read < 1 << 20, "{read} bytes for a small file beside a large one");
        super::assert_clean(&clone);
    }
}

//! Real processes at once on one store: pushes of real git, uploads, collections without any wait, squashes, labels, each on a
//! machine of its own. Whatever each says it has done it has, when all have ended.
//!
//! Several rounds are played on a store, so that processes meet what others gave up. What they write overlaps: files of their own,
//! files that all write in this round, and files of rounds before, which may be garbage by now.
//!
//! Each run of the tests plays some rounds; `just nightly` plays 50 of 2, 4, 8 and 16 processes, in a directory and on S3, and
//! counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::process::{Child, Command, Stdio};

use datamon::id::Nonce;
use datamon::store::{Settings, Store, StoreUrl};
use datamon_test_support::{Hermetic, Tally, TestRepo, run, seeded_bytes, server};

use crate::durability::world::assert_chain;
use crate::transfer::first;

type Files = BTreeMap<String, Vec<u8>>;

/// Where the store is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Directory,
    S3,
}

/// A store, and how commands get at it.
struct Shared {
    /// Keeps the directory.
    _env: Hermetic,
    url: String,
    endpoint: Option<String>,
}

impl Shared {
    fn new(place: Place) -> Shared {
        let env = first();
        match place {
            Place::Directory => {
                let url = env.root().join("store").to_str().expect("plain").to_owned();
                Shared { _env: env, url, endpoint: None }
            }
            Place::S3 => {
                let url = format!("s3://datamon/{}", Nonce::new());
                Shared { _env: env, url, endpoint: Some(server("DATAMON_TEST_S3")) }
            }
        }
    }

    fn command(&self, env: &Hermetic) -> Command {
        let mut git = env.command("git");
        if let Some(endpoint) = &self.endpoint {
            crate::buckets::with_s3(&mut git, endpoint, "any:thing");
        }
        git
    }

    /// `git datamon <words>` on a dataset of it.
    fn on(&self, env: &Hermetic, repo: &str, words: &[&str]) -> Command {
        let mut git = self.command(env);
        git.arg("datamon").args(words).args(["--store", &self.url]);
        git.args((!repo.is_empty()).then_some(["--repo", repo]).into_iter().flatten());
        git
    }

    fn open(&self) -> Store {
        let mut settings = Settings::default();
        if let Some(endpoint) = &self.endpoint {
            settings.set("endpoint", endpoint).expect("a setting");
        }
        Store::open_with(&StoreUrl::parse(&self.url).expect("a URL"), &settings).expect("opens")
    }
}

/// A machine, and the repository of those that push with git.
struct Member {
    env: Hermetic,
    name: String,
    git: Option<(TestRepo, TestRepo)>,
}

impl Member {
    /// Every fourth pushes with git; the others upload directories.
    fn new(shared: &Shared, i: usize) -> Member {
        let (env, name) = (first(), format!("member-{i}"));
        let git = i.is_multiple_of(4).then(|| {
            let (repo, remote) = (env.init(&name), env.init_bare("remote.git"));
            let mut init = shared.command(&env);
            init.current_dir(repo.dir()).args(["datamon", "-q", "init", "--store", &shared.url]);
            run(init.args(["--track", "*.bin"]));
            repo.commit("set up");
            repo.add_remote("origin", remote.dir());
            (repo, remote)
        });
        Member { env, name, git }
    }

    /// Writes the files, and gives the command that sends them.
    fn write(&self, shared: &Shared, files: &Files, dataset: &str) -> Command {
        let Some((repo, _)) = &self.git else {
            let folder = self.env.work().join("data");
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).expect("a new directory");
            for (path, bytes) in files {
                fs::write(folder.join(path), bytes).expect("written");
            }
            return shared.on(&self.env, dataset, &["upload", "data", "--create"]);
        };
        for (path, bytes) in files {
            repo.write(path, bytes);
        }
        repo.add(".");
        repo.commit("next");
        let mut push = shared.command(&self.env);
        push.current_dir(repo.dir()).args(["push", "--quiet", "origin", "main"]);
        push
    }
}

/// What a process of a round does.
enum Deed {
    /// These files, to this dataset.
    Write(Files, String),
    /// Of frames, too, if so.
    Collect(bool),
    /// Gives up all versions of this dataset but the last.
    Squash(String),
    /// Moves a label of this dataset.
    Label(String),
}

/// A version that somebody was told of.
struct Promised {
    dataset: String,
    id: String,
    files: Files,
}

/// Machines that meet on a store.
struct Race {
    shared: Shared,
    members: Vec<Member>,
    /// Newest last; of a dataset that somebody squashed only what is newer.
    promised: Vec<Promised>,
    /// Datasets whose last push was refused, perhaps with its version in the log.
    doubtful: BTreeSet<String>,
    seed: u64,
    tally: BTreeMap<&'static str, u64>,
}

/// The dataset that several write to.
const COMMON: &str = "common";

impl Race {
    fn new(place: Place, count: usize, seed: u64) -> Race {
        let shared = Shared::new(place);
        let members = (0..count).map(|i| Member::new(&shared, i)).collect();
        let (promised, doubtful, tally) = Default::default();
        let race = Race { shared, members, promised, doubtful, seed, tally };
        // Each dataset has a version, for others to label and to squash.
        let files = BTreeMap::from([("a.bin".to_owned(), seeded_bytes(seed, 3_000))]);
        for member in &race.members {
            run(&mut member.write(&race.shared, &files, &member.name));
        }
        if let Some(member) = race.members.iter().find(|it| it.git.is_none()) {
            run(&mut member.write(&race.shared, &files, COMMON));
        }
        race
    }

    fn count(&mut self, what: &'static str, n: u64) {
        *self.tally.entry(what).or_default() += n;
    }

    /// Files of a member: its own, those that all write now, and some of a round before.
    fn files(&self, i: usize, round: u64, old: u64) -> Files {
        let all = |round: u64| seeded_bytes(self.seed * 1000 + round, 60_000);
        let own = |round: u64| seeded_bytes(self.seed * 1000 + round * 20 + 500 + i as u64, 20_000);
        BTreeMap::from([
            ("all.bin".to_owned(), all(round)),
            ("own.bin".to_owned(), own(round)),
            ("old.bin".to_owned(), all(round.saturating_sub(old))),
            ("part.bin".to_owned(), [own(round.saturating_sub(old)), all(round)].concat()),
        ])
    }

    fn deed(&self, i: usize, round: u64, chance: &mut impl FnMut(u64) -> u64) -> Deed {
        let other = self.members[chance(self.members.len() as u64) as usize].name.clone();
        let (what, old) = (chance(10), 1 + chance(4));
        match what {
            // The first always writes, and often somebody collects.
            _ if i == 0 => Deed::Write(self.files(i, round, old), self.members[i].name.clone()),
            _ if i == 1 && round.is_multiple_of(2) => Deed::Collect(round.is_multiple_of(4)),
            0 | 1 => Deed::Collect(what == 0),
            2 => Deed::Squash(other),
            3 => Deed::Label(other),
            4 | 5 if self.members[i].git.is_none() => {
                Deed::Write(self.files(i, round, old), COMMON.to_owned())
            }
            _ => Deed::Write(self.files(i, round, old), self.members[i].name.clone()),
        }
    }

    fn command(&self, i: usize, deed: &Deed) -> Command {
        let (member, shared) = (&self.members[i], &self.shared);
        let collect = ["gc", "run", "--grace", "0", "--orphans", "0", "--max-unused", "0", "--blank"];
        let mut command = match deed {
            Deed::Write(files, dataset) => member.write(shared, files, dataset),
            Deed::Collect(blank) => {
                shared.on(&member.env, "", &collect[..collect.len() - usize::from(!blank)])
            }
            Deed::Squash(name) => shared.on(&member.env, name, &["squash", "--keep-last", "1", "--apply"]),
            Deed::Label(name) => shared.on(&member.env, name, &["label", "set", "reviewed", "latest"]),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Everybody at once, then a look at all that was promised.
    fn round(&mut self, round: u64) {
        let numbers = seeded_bytes(self.seed * 100 + round, 24 * self.members.len());
        let (numbers, _) = numbers.as_chunks();
        let mut numbers = numbers.iter().map(|it| u64::from_le_bytes(*it));
        let mut chance = |n: u64| numbers.next().expect("three for each") % n;
        let deeds: Vec<Deed> = (0..self.members.len()).map(|i| self.deed(i, round, &mut chance)).collect();
        let mut commands: Vec<Command> =
            deeds.iter().enumerate().map(|(i, deed)| self.command(i, deed)).collect();
        let started: Vec<Child> =
            commands.iter_mut().map(|command| command.spawn().expect("it can be started")).collect();
        let ended: Vec<_> =
            started.into_iter().map(|child| child.wait_with_output().expect("a child")).collect();
        self.count("rounds", 1);
        self.count("processes", ended.len() as u64);
        // Whatever was pushed in this round is newer than what a squash of it gave up.
        let mut told: Vec<_> = deeds.into_iter().zip(ended).enumerate().collect();
        told.sort_by_key(|(_, (deed, _))| !matches!(deed, Deed::Write(..)));
        for (i, (deed, said)) in told {
            let stderr = String::from_utf8_lossy(&said.stderr);
            let context = format!("seed {}, round {round}, member {i}: {stderr}", self.seed);
            assert!(said.status.code().is_some_and(|code| code != 101), "{context}");
            if said.status.success() {
                let id = String::from_utf8(said.stdout).expect("text").trim().to_owned();
                self.acknowledged(i, deed, id);
                continue;
            }
            assert!(!stderr.trim().is_empty(), "{context}: an error without words");
            eprintln!("refused: {context}");
            if let Deed::Write(_, dataset) = deed {
                self.doubtful.insert(dataset);
                self.count("pushes refused", 1);
            } else {
                self.count("others refused", 1);
            }
        }
        self.check(round);
    }

    fn acknowledged(&mut self, i: usize, deed: Deed, id: String) {
        match deed {
            Deed::Write(files, dataset) => {
                self.count("pushes acknowledged", 1);
                self.doubtful.remove(&dataset);
                // Of a repository the newest is looked for in a clone.
                let id = if self.members[i].git.is_some() { String::new() } else { id };
                self.promised.push(Promised { dataset, id, files });
            }
            Deed::Collect(blank) => {
                self.count(if blank { "collections that blank" } else { "collections" }, 1)
            }
            Deed::Label(_) => self.count("labels", 1),
            Deed::Squash(name) => {
                self.count("squashes", 1);
                let newest = self.promised.iter().rposition(|it| it.dataset == name);
                let newest = newest.filter(|_| !self.doubtful.contains(&name));
                let mut at = 0..;
                self.promised.retain(|it| at.next() >= newest.or(Some(usize::MAX)) || it.dataset != name);
            }
        }
    }

    /// A machine that never saw the store reads all of it, and what was promised.
    fn check(&mut self, round: u64) {
        let context = format!("seed {}, round {round}", self.seed);
        assert_chain(&self.shared.open());
        let cold = first();
        run(&mut self.shared.on(&cold, "", &["fsck", "--full"]));
        let mut clones = BTreeMap::new();
        for (n, it) in self.promised.iter().enumerate() {
            if it.id.is_empty() {
                clones.insert(&it.dataset, &it.files);
                continue;
            }
            let dest = format!("out/{n}");
            run(&mut self.shared.on(&cold, &it.dataset, &["download", &it.id, "--dest", &dest]));
            for (path, bytes) in &it.files {
                let found = fs::read(cold.work().join(&dest).join(path)).expect("there");
                assert!(found == *bytes, "{context}: {path} of {} in {}", it.id, it.dataset);
            }
        }
        for (dataset, files) in clones {
            let member = self.members.iter().find(|it| it.name == *dataset).expect("a member");
            let (_, remote) = member.git.as_ref().expect("it pushes");
            run(self.shared.command(&cold).args(["clone", "-q"]).arg(remote.dir()).arg(dataset));
            for (path, bytes) in files {
                assert!(cold.repo(dataset).read(path) == *bytes, "{context}: {path} in a clone of {dataset}");
            }
        }
        let looked = self.promised.len() as u64;
        self.count("versions read back by a new machine", looked);
    }
}

/// These rounds of so many processes, a new store after every tenth.
fn race(place: Place, count: usize, rounds: Range<u64>, mut told: impl FnMut(&str, u64)) {
    for first in rounds.clone().step_by(10) {
        let mut race = Race::new(place, count, first / 10 * 100 + count as u64);
        (first..rounds.end.min(first + 10)).for_each(|round| race.round(round % 10));
        for (name, n) in race.tally {
            told(name, n);
        }
    }
}

/// A few rounds: something was promised, and somebody took something away beside it.
fn some(place: Place, count: usize, rounds: u64) {
    let mut tally = BTreeMap::<String, u64>::new();
    race(place, count, 0..rounds, |name, n| *tally.entry(name.to_owned()).or_default() += n);
    assert!(tally["pushes acknowledged"] > rounds, "{tally:?}");
    assert!(tally.contains_key("collections"), "{tally:?}");
}

#[test]
fn processes_that_push_and_collect_at_once_lose_nothing_in_a_directory() {
    some(Place::Directory, 4, 3);
}

#[test]
fn processes_that_push_and_collect_at_once_lose_nothing_on_s3() {
    some(Place::S3, 4, 2);
}

/// `DATAMON_ROUNDS` rounds, 50 if nothing is said, from where the run before stopped as the file says.
fn all(place: Place, file: &str) {
    let rounds = std::env::var("DATAMON_ROUNDS").map_or(50, |it| it.parse().expect("a number"));
    let mut tally = Tally::resumed(file);
    for count in [2, 4, 8, 16] {
        let from = tally.get(&format!("{count} processes: rounds"));
        race(place, count, from..from + rounds, |name, n| {
            tally.add(&format!("{count} processes: {name}"), n)
        });
    }
}

#[test]
#[ignore = "nightly"]
fn processes_that_push_and_collect_at_once_lose_nothing_in_50_rounds_in_a_directory() {
    all(Place::Directory, concat!(env!("CARGO_TARGET_TMPDIR"), "/races-directory.tsv"));
}

#[test]
#[ignore = "nightly"]
fn processes_that_push_and_collect_at_once_lose_nothing_in_50_rounds_on_s3() {
    all(Place::S3, concat!(env!("CARGO_TARGET_TMPDIR"), "/races-s3.tsv"));
}

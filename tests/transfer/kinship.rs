//! Whose versions a dataset takes: a repository with the id of somebody else's dataset adds nothing to it unasked.

use std::fs;

use datamon_test_support::{TestRepo, run, run_failing};
use serde_json::Value;

use super::{Machine, Team, change, each_git_lfs, file, first, git_fails, line_with, trust};

each_git_lfs!(a_repository_with_the_id_of_another_adds_nothing_to_its_dataset);

fn json(repo: &TestRepo, args: &[&str]) -> Value {
    serde_json::from_str(repo.git(args).text()).expect("JSON")
}

/// The id of the dataset of the team.
fn id(team: &Team) -> String {
    json(&team.repo, &["datamon", "repo", "show", "data", "--json"])["repo"]
        .as_str()
        .expect("an id")
        .to_owned()
}

/// A repository of its own, on the machine that trusts the store, with the files that name store and dataset.
fn stranger(team: &Team) -> TestRepo {
    let remote = team.env.init_bare("strange.git");
    let repo = team.env.init("strange");
    for file in ["datamon.toml", ".lfsconfig", ".gitattributes"] {
        repo.write(file, team.repo.read(file));
    }
    repo.add(".");
    repo.commit("copied");
    repo.add_remote("origin", remote.dir());
    repo
}

/// The exit code and the words of what must fail.
#[track_caller]
fn fails(repo: &TestRepo, args: &[&str]) -> (i32, String) {
    let output = run_failing(repo.env().command("git").current_dir(repo.dir()).args(args));
    (output.code.expect("it ended by itself"), output.stderr)
}

fn a_repository_with_the_id_of_another_adds_nothing_to_its_dataset(machine: Machine) {
    let team = Team::pushed(machine);
    let (repo, id) = (stranger(&team), id(&team));
    let before = team.entries();
    change(&repo, "mine", &file("mine.bin", 3, 40_000));
    let word = format!("git datamon trust --repo {id}");
    let said = git_fails(&repo, &["push", "origin", "main"]);
    let said = line_with(&said, &word);
    assert!(said.contains("\"data\"") && said.contains("nothing was uploaded"), "{said}");
    let exit = |args: &[&str]| {
        let (code, said) = fails(&repo, args);
        line_with(&said, &word);
        code
    };
    assert_eq!(exit(&["datamon", "push", "origin", "main"]), 3);
    assert_eq!(exit(&["datamon", "bundle"]), 3);
    assert_eq!(exit(&["datamon", "upload", "."]), 3);
    assert_eq!(exit(&["datamon", "label", "set", "mine", "latest"]), 3);
    repo.write("mine.bin", "other");
    let head = repo.head();
    assert_eq!(exit(&["datamon", "commit", "-m", "labelled", "--label", "mine"]), 3);
    assert_eq!(repo.head(), head, "nothing was committed");
    let said = repo.git(["datamon", "commit", "-m", "kept here"]);
    assert!(
        said.stderr.contains("the data stays on this machine") && said.stderr.contains(&word),
        "{}",
        said.stderr
    );
    // With the hook, too; a push of code alone goes, and makes no version.
    repo.git(["datamon", "-q", "init"]);
    line_with(&git_fails(&repo, &["push", "origin", "main"]), &word);
    repo.git(["push", "-q", "origin", &format!("{head}~:refs/heads/code")]);
    assert_eq!(team.entries(), before, "something was written");

    // One word is enough, and it is for this repository.
    repo.git(["datamon", "trust", "--repo", "data"]);
    assert_eq!(json(&repo, &["datamon", "trust", "--repo", &id, "--json"])["already"], true);
    repo.git(["push", "-q", "origin", "main"]);
    let (code, said) = (repo.git(["datamon", "show", "--json"]), team.entries() - before);
    assert!(code.text().contains("kept here") && said == 1, "{said} {}", code.text());
    // The other one is not in the way of the first.
    team.change("still mine", &file("mine.bin", 4, 40_000));
    team.repo.push("origin", "main");
    team.assert_sound();
}

#[test]
fn clones_forks_and_shallow_clones_need_no_word_and_remember() {
    let team = Team::pushed(first);
    let url = format!("file://{}", team.remote.dir().display());
    for (n, options) in [&["--depth=1"][..], &["--filter=blob:none"], &[]].into_iter().enumerate() {
        let name = format!("clone-{n}");
        run(team.env.command("git").args(["clone", "-q"]).args(options).args([&url, &name]));
        let clone = team.env.repo(&name);
        let fork = team.env.init_bare(&format!("fork-{n}.git"));
        fork.git(["config", "receive.shallowUpdate", "true"]);
        clone.add_remote("fork", fork.dir());
        for round in 0..2 {
            change(&clone, "more", &file("more.bin", 10 * round + n as u64, 20_000));
            clone.git(["datamon", "push", "-q", "fork", "main"]);
        }
        let kept =
            clone.git(["config", "--local", "--get-all", &format!("datamon.repo.{}.trusted", id(&team))]);
        assert_eq!(kept.lines().len(), 1, "{}", kept.text());
    }
}

#[test]
fn a_yes_is_for_one_store() {
    let team = Team::pushed(first);
    let (repo, other) = (stranger(&team), team.env.root().join("other"));
    repo.git(["datamon", "-q", "context", "add", "other", other.to_str().expect("plain"), "--create"]);
    let point = |url: &str, seed: u64| {
        repo.git(["config", "-f", ".lfsconfig", "lfs.url", url]);
        repo.git(["config", "lfs.url", url]);
        change(&repo, url, &file(&format!("{seed}.bin"), seed, 5_000));
    };
    // The dataset is new in a store of its own: whoever comes first may.
    point(&format!("datamon::file://{}", other.display()), 1);
    repo.git(["datamon", "push", "-q", "origin", "main"]);
    point(team.repo.git(["config", "lfs.url"]).text(), 2);
    line_with(&git_fails(&repo, &["push", "origin", "main"]), "git datamon trust --repo");
}

#[test]
fn a_dataset_that_only_a_branch_names_is_looked_at_too() {
    let team = Team::pushed(first);
    let mine = team.env.init("mine");
    let id = id(&team);
    mine.git(["datamon", "-q", "init", "--store", team.store.to_str().expect("plain"), "--track", "*.bin"]);
    mine.commit("set up");
    mine.add_remote("origin", team.env.init_bare("mine.git").dir());
    mine.git(["push", "-q", "origin", "main"]);
    let before = team.entries();
    // The work tree is of another dataset than the branch that is pushed.
    mine.git(["checkout", "-q", "-b", "theirs"]);
    let own = String::from_utf8(mine.read("datamon.toml")).expect("text");
    mine.write(
        "datamon.toml",
        format!("{own}\n[[dataset]]\nid = \"{id}\"\nname = \"data\"\npath = \"data\"\n"),
    );
    mine.write("data/x.bin", "x");
    mine.add(".");
    mine.commit("theirs");
    mine.git(["checkout", "-q", "main"]);
    line_with(&git_fails(&mine, &["push", "origin", "theirs"]), &format!("git datamon trust --repo {id}"));
    line_with(&git_fails(&mine, &["datamon", "bundle", "theirs"]), "git datamon trust --repo");
    assert!(team.entries() <= before + 1, "only its own version was made");
}

#[test]
fn versions_of_uploads_and_of_rewritten_commits_are_no_kin() {
    let team = Team::new(first);
    let (store, id) = (team.store.to_str().expect("plain"), "01890000-0000-7000-8000-000000000001");
    fs::create_dir(team.env.root().join("out")).expect("made");
    fs::write(team.env.root().join("out/x"), "x").expect("written");
    let mut upload = team.env.command("git");
    run(upload
        .current_dir(team.env.root())
        .args(["datamon", "upload", "out", "--store", store, "--repo", "up"]));
    let made = json(&team.repo, &["datamon", "repo", "show", "up", "--json"])["repo"].clone();
    let manifest = String::from_utf8(team.repo.read("datamon.toml")).expect("text");
    let part = |id: &str| format!("{manifest}\n[[dataset]]\nid = \"{id}\"\nname = \"up\"\npath = \"up\"\n");
    team.repo.write("up/x", "x");
    // A new one is nobody's, that of the upload somebody's.
    team.repo.write("datamon.toml", part(id));
    team.change("new", &file("a.bin", 1, 5_000));
    team.repo.push("origin", "main");
    team.repo.write("datamon.toml", part(made.as_str().expect("an id")));
    team.change("uploaded", &file("b.bin", 2, 5_000));
    let before = team.entries();
    let word = format!("git datamon trust --repo {}", made.as_str().expect("an id"));
    line_with(&git_fails(&team.repo, &["push", "origin", "main"]), &word);
    assert_eq!(team.entries(), before, "not even what is its own went");
    team.repo.git(["datamon", "trust", "--repo", "up"]);
    team.repo.push("origin", "main");

    // All commits are others: a clone of that says so, and what to type.
    let filter = ["filter-branch", "-f", "--msg-filter", "cat; echo more", "main"];
    super::git_with(&team.repo, &[("FILTER_BRANCH_SQUELCH_WARNING", "1")], &filter);
    team.repo.git(["push", "-q", "--force", "origin", "main"]);
    // By URL: a clone by path copies what nothing leads to any more.
    let clone = first().clone_from(format!("file://{}", team.remote.dir().display()), "clone");
    trust(&clone);
    change(&clone, "after", &file("c.bin", 3, 5_000));
    let said = git_fails(&clone, &["push", "origin", "main"]);
    line_with(&said, "git datamon trust --repo");
    for name in ["data", "up"] {
        clone.git(["datamon", "trust", "--repo", name]);
    }
    clone.push("origin", "main");
}

//! What git says of a commit's signature goes into its version, where that was asked for.

use std::fs;

use datamon_test_support::run;
use serde_json::Value;

use super::{Team, file, first};

/// A team whose git signs with a key of ssh, and knows whose key it is.
fn signing() -> Team {
    let team = Team::pushed(first);
    let (repo, home) = (&team.repo, team.env.home());
    let key = |name: &str| {
        let mut make = team.env.command("ssh-keygen");
        run(make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(home.join(name)));
        fs::read_to_string(home.join(name).with_extension("pub")).expect("a public key")
    };
    let (known, _) = (key("known"), key("stranger"));
    fs::write(home.join("signers"), format!("author@example.com {known}")).expect("written");
    for (name, value) in [("gpg.format", "ssh".into()), ("gpg.ssh.allowedSignersFile", home.join("signers"))]
    {
        run(team.env.command("git").args(["config", "--global", name]).arg(value));
    }
    repo.git(["config", "user.signingkey", home.join("known").to_str().expect("plain")]);
    team
}

fn version(team: &Team, revision: &str) -> Value {
    serde_json::from_str(team.repo.git(["datamon", "show", "--json", revision]).text()).expect("JSON")
}

#[test]
fn a_version_says_whether_the_signature_of_its_commit_was_good_bad_or_none() {
    let team = signing();
    let repo = &team.repo;
    repo.git(["config", "datamon.prePush", "off"]);
    let stage = |seed| {
        repo.write("a.bin", &file("a.bin", seed, 5_000)["a.bin"]);
        repo.add(".");
    };
    stage(1);
    repo.git(["commit", "-q", "-S", "-m", "good"]);
    repo.git(["tag", "good"]);
    // Other files under the same signature.
    let tree = repo.git(["rev-parse", "HEAD^{tree}"]).text().to_owned();
    stage(2);
    let other = repo.git(["write-tree"]).text().to_owned();
    let signed = repo.git(["cat-file", "commit", "HEAD"]).text().to_owned() + "\n";
    let forge = |text: String| {
        let path = team.env.root().join("forged");
        fs::write(&path, text).expect("written");
        let path = path.to_str().expect("plain");
        repo.git(["hash-object", "-t", "commit", "-w", path]).text().to_owned()
    };
    repo.git(["tag", "bad", &forge(signed.replace(&tree, &other))]);
    stage(3);
    repo.git(["commit", "-q", "-m", "none"]);
    repo.git(["tag", "none"]);
    stage(4);
    let stranger = team.env.home().join("stranger");
    repo.git(["config", "user.signingkey", stranger.to_str().expect("plain")]);
    repo.git(["commit", "-q", "-S", "-m", "of a stranger"]);
    repo.git(["tag", "stranger"]);
    for (tag, wanted) in [("good", "G author@example.com"), ("bad", "B"), ("none", "N"), ("stranger", "U")] {
        let git = repo.git(["log", "-1", "--format=%G? %GS", tag]).text().to_owned();
        assert_eq!(git, wanted, "git's own word of {tag}");
        repo.git(["datamon", "bundle", "--verified", tag]);
        let shown = version(&team, tag);
        assert_eq!(shown["commit"], repo.git(["rev-parse", &format!("{tag}^{{commit}}")]).text(), "{tag}");
        assert_eq!(shown["signature"], wanted, "{tag}");
    }
    assert!(repo.git(["datamon", "show", "good"]).text().contains("G author@example.com"));
    // A version is one of files: who has the same ones has it too, but it says whose signature that is.
    let same_files = forge(signed.replace("\n\ngood", "\n\nfool"));
    assert_eq!(repo.git(["log", "-1", "--format=%G?", &same_files]).text(), "B");
    repo.git(["datamon", "bundle", "--verified", &same_files]);
    assert_eq!(version(&team, &same_files)["commit"], version(&team, "good")["commit"]);
    // What is said once stays said, and travels with the version.
    run(team.env.command("git").args(["config", "--global", "--unset-all", "gpg.ssh.allowedSignersFile"]));
    repo.git(["datamon", "bundle", "--verified", "good"]);
    assert_eq!(version(&team, "good")["signature"], "G author@example.com");
    repo.git(["push", "-q", "origin", "main", "bad"]);
    let clone = team.clone_elsewhere(first);
    let shown: Value =
        serde_json::from_str(clone.git(["datamon", "show", "--json", "bad"]).text()).expect("JSON");
    assert_eq!(shown["signature"], "B");
}

#[test]
fn without_being_asked_nothing_is_said_of_signatures() {
    let team = signing();
    let repo = &team.repo;
    repo.git(["config", "commit.gpgsign", "true"]);
    repo.write("a.bin", &file("a.bin", 1, 5_000)["a.bin"]);
    // `git commit` makes the commit, so it is signed.
    repo.git(["datamon", "-q", "commit", "-m", "signed", "a.bin"]);
    assert_eq!(repo.git(["log", "-1", "--format=%G?"]).text(), "G");
    assert_eq!(version(&team, "HEAD")["signature"], Value::Null);
    team.repo.push("origin", "main");
    team.assert_sound();
}

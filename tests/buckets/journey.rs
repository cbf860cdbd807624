//! The main job over real servers: init, commit, push, clone, in another's clone too.

use std::process::Command;

use datamon_test_support::{Hermetic, run, seeded_bytes, server};

use super::{ACCOUNT, machine, somewhere, with_s3};

fn there_and_back(env: &Hermetic, url: &str, cloud: &dyn Fn(&mut Command)) {
    let (remote, repo) = (env.init_bare("remote.git"), env.init("first"));
    let ours = |dir: &str, args: &[&str]| {
        let mut command = env.command("git");
        command.current_dir(env.work().join(dir)).arg("datamon").args(args);
        cloud(&mut command);
        run(&mut command)
    };
    let git = |dir: &str, args: &[&str]| {
        let mut command = env.command("git");
        command.current_dir(env.work().join(dir)).args(args);
        cloud(&mut command);
        run(&mut command)
    };
    ours(".", &["install"]);
    repo.add_remote("origin", remote.dir());
    ours("first", &["init", "--store", url, "--track", "*.bin"]);
    for n in 0..20 {
        repo.write(&format!("{n}.bin"), seeded_bytes(n, 30_000));
    }
    repo.write("large.bin", seeded_bytes(99, 5_000_000));
    ours("first", &["commit", "-m", "data", "--label", "first", "."]);
    ours("first", &["push", "-u", "origin", "main"]);
    ours(".", &["clone", remote.dir().to_str().expect("plain"), "second"]);
    let second = env.repo("second");
    assert_eq!(second.read("large.bin"), seeded_bytes(99, 5_000_000));
    assert_eq!(second.read("7.bin"), seeded_bytes(7, 30_000));
    // By git alone, which runs our agent.
    second.write("7.bin", seeded_bytes(1_000, 31_000));
    git("second", &["commit", "--quiet", "--all", "--message", "changed"]);
    git("second", &["push", "--quiet"]);
    git(".", &["clone", "--quiet", "remote.git", "third"]);
    assert_eq!(env.repo("third").read("7.bin"), seeded_bytes(1_000, 31_000));
    assert_eq!(ours("third", &["cat", "first:7.bin"]).stdout, seeded_bytes(7, 30_000));
    ours("third", &["fsck", "--data"]);
    assert!(ours("third", &["doctor"]).text().contains(url), "doctor names the store");
}

#[test]
fn s3_by_git() {
    let endpoint = server("DATAMON_TEST_S3");
    there_and_back(&machine(), &somewhere("s3"), &|command| {
        with_s3(command, &endpoint, "any:thing");
    });
}

#[test]
fn azure_by_git() {
    let (endpoint, key) = (server("DATAMON_TEST_AZURE"), server("AZURE_STORAGE_ACCOUNT_KEY"));
    let env = machine();
    let url = somewhere("az");
    let set = |name: &str, value: &str| {
        let name = format!("datamon.store.az://datamon.{name}");
        run(env.command("git").args(["config", "--global", &name, value]));
    };
    set("endpoint", &format!("{endpoint}/{ACCOUNT}"));
    set("account", ACCOUNT);
    there_and_back(&env, &url, &|command| {
        command.env("AZURE_STORAGE_ACCOUNT_KEY", &key);
    });
}

/// Credentials and server by profile, as `aws configure` leaves them.
#[test]
fn s3_by_profile() {
    let env = machine();
    let folder = env.home().join(".aws");
    std::fs::create_dir(&folder).expect("a new home");
    let endpoint = server("DATAMON_TEST_S3_GUARDED");
    let (key, secret) = server("DATAMON_TEST_KEY_OWNER")
        .split_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("two");
    std::fs::write(
        folder.join("config"),
        format!("[profile team]\nregion = eu-west-1\nendpoint_url = {endpoint}\n"),
    )
    .expect("written");
    std::fs::write(
        folder.join("credentials"),
        format!("[team]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"),
    )
    .expect("written");
    let url = somewhere("s3");
    let name = "datamon.store.s3://datamon.profile";
    run(env.command("git").args(["config", "--global", name, "team"]));
    there_and_back(&env, &url, &|_| {});
}

/// Credentials that last a moment only are asked for again and again, while a command runs.
#[test]
fn credentials_are_renewed() {
    let env = machine();
    let folder = env.home().join(".aws");
    std::fs::create_dir(&folder).expect("a new home");
    let (asked, script) = (folder.join("asked"), folder.join("process"));
    let owner = server("DATAMON_TEST_KEY_OWNER");
    let (key, secret) = owner.split_once(':').expect("key:secret");
    std::fs::write(
        &script,
        format!(
            "echo once >>{}\necho '{{\"Version\": 1, \"AccessKeyId\": \"{key}\", \"SecretAccessKey\": \"{secret}\", \"Expiration\": \"'$(date -u -d '+60 seconds' +%Y-%m-%dT%H:%M:%SZ)'\"}}'\n",
            asked.display()
        ),
    )
    .expect("written");
    let config = format!("[default]\nregion = eu-west-1\ncredential_process = sh {}\n", script.display());
    std::fs::write(folder.join("config"), config).expect("written");
    let (repo, url) = (env.init("r"), somewhere("s3"));
    let mut init = env.command("git");
    init.current_dir(repo.dir()).args(["datamon", "init", "--store", &url]);
    run(init.env("AWS_ENDPOINT_URL", server("DATAMON_TEST_S3_GUARDED")));
    let times = std::fs::read_to_string(&asked).expect("it was asked").lines().count();
    assert!(times > 3, "asked {times} times for credentials of a minute");
}

//! Where a stranger may want to send somebody: places that a repository names, datasets that it lays out, hosts that a server redirects to.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use datamon::git::Manifest;
use datamon::ops::lineage::Record;
use datamon::store::StoreUrl;
use datamon_test_support::{BucketServer, Hermetic, Reply, TestRepo, run, run_failing, seeded_bytes};

use crate::transfer::first;

#[test]
fn no_url_of_a_repository_names_a_server_a_user_or_another_machine() {
    for url in [
        "http://169.254.169.254/latest/meta-data/iam",
        "https://169.254.169.254/x",
        "http://[fd00:ec2::254]/latest",
        "http://metadata.google.internal/computeMetadata/v1",
        "http://localhost:8080/x",
        "s3://169.254.169.254/latest",
        "s3://169.254.169.254:80/latest",
        "s3://[fd00:ec2::254]/x",
        "s3://user:secret@bucket/x",
        "s3://token@bucket/x",
        "s3://bucket/x?endpoint=http://169.254.169.254",
        "s3://bucket/x#endpoint=http://169.254.169.254",
        "gs://169.254.169.254/x",
        "az://10.0.0.1/x",
        "s3://bucket/../other",
        "s3://bucket//x",
        "s3://bucket/a%2e%2e/b",
        "s3://bucket/a\\b",
        "s3://bucket/a b",
        "s3:///x",
        "s3://.bucket/x",
        "file://169.254.169.254/share",
        "file://host/share",
        "file:///a%00b",
        "file:///a%0d%0aX-Header:1",
        "file:///srv/data\r",
        "s3://bucket/x\r",
        "s3://bucket/x\n",
        "ssh://host/x",
        "ext::sh -c touch% /tmp/pwned",
        "ftp://host/x",
        "data:text/plain,x",
        "\\\\host\\share",
        "C:\\x",
        "-oProxyCommand=x",
        "--upload-pack=x",
        "../relative",
        "~/x",
        "$HOME/x",
        "",
    ] {
        let error = StoreUrl::parse(url).map(|it| it.canonical()).expect_err(url).to_string();
        assert!(!error.contains(char::is_control) && !error.contains("secret"), "{url}: {error}");
    }
}

#[test]
fn a_manifest_lays_out_nothing_outside_its_repository() {
    let id = |n: u8| format!("00000000-0000-4000-8000-0000000000{n:02x}");
    let part = |n: u8, name: &str, path: &str| {
        format!("[[dataset]]\nid = \"{}\"\nname = \"{name}\"\npath = \"{path}\"\n", id(n))
    };
    for path in [
        "..",
        "../x",
        "a/../../x",
        "/etc",
        "//srv",
        "a//b",
        "./a",
        ".",
        "",
        ".git",
        "a/.GIT/hooks",
        "a\\\\..\\\\b",
        "C:\\\\x",
        "a\\nb",
        "a\\u001b[2J",
        &"d/".repeat(600),
    ] {
        let error = Manifest::parse(part(1, "x", path).as_bytes()).expect_err(path).to_string();
        assert!(!error.contains('\n'), "{error}");
    }
    for text in [
        part(1, "x", "a") + &part(1, "y", "b"),
        part(1, "x", "a") + &part(2, "x", "b"),
        part(1, "x", "a") + &part(2, "y", "a/b"),
        part(1, "a\\u001b]0;x\\u0007", "a"),
        part(1, "", "a"),
        part(1, &"n".repeat(300), "a"),
        part(0, "x", "a").replace("8000-0000000000", "8000-00000000zz"),
        part(1, "x", "a") + "include = \"../x\"\n",
        "[repo]\nid = 1\n".to_owned(),
        "repo = \"x\"\n".to_owned(),
        "dataset = 7\n".to_owned(),
        "[repo\n".to_owned(),
        "a = ".to_owned() + &"[".repeat(100_000),
        "\u{0}".to_owned(),
    ] {
        let error = Manifest::parse(text.as_bytes()).expect_err(&text[..text.len().min(80)]);
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
    assert!(Manifest::parse(b"\xff\xfe").is_err());
}

#[test]
fn lines_of_notes_that_are_none_of_ours_are_left_alone() {
    for line in [
        "",
        "{}",
        "null",
        "[]",
        "{\"kind\":\"bundle\"}",
        "{\"kind\":\"command\",\"run\":\"touch x\"}",
        "{\"kind\":\"label\",\"name\":1}",
        "{\"kind\":\"bundle\",\"id\":\"../..\",\"repo\":\"x\",\"store\":\"y\",\"commit\":null,\"tree\":null}",
        "{\"kind\":\"bundle\",\"id\":\"00000000-0000-0000-0000-000000000000\",\"time\":1e999}",
    ] {
        assert_eq!(Record::parse(line), None, "{line}");
    }
    assert_eq!(Record::parse(&"[".repeat(200_000)), None);
}

/// `git datamon stats` of a bucket at this endpoint, which has to fail; what it said.
fn asked(endpoint: &str) -> String {
    let env = Hermetic::new().with_binary(env!("CARGO_BIN_EXE_git-datamon"));
    let mut command = env.command("git");
    command.args([
        "-c",
        &format!("datamon.store.endpoint={endpoint}"),
        "datamon",
        "stats",
        "--store",
        "s3://bucket/x",
    ]);
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIAOFTHEUSER"),
        ("AWS_SECRET_ACCESS_KEY", "a secret of the user"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ] {
        command.env(name, value);
    }
    let said = run_failing(&mut command).stderr;
    assert!(!said.contains("a secret of the user") && !said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_server_that_sends_elsewhere_gets_no_signature_there() {
    let (asking, elsewhere) = (BucketServer::start(), BucketServer::start());
    let other = format!("http://localhost:{}", elsewhere.port());
    asking.answers_first(move |request| {
        Some(Reply::new(307, "").with("Location", format!("{other}{}", request.path)))
    });
    let said = asked(&asking.url());
    assert!(said.contains("error: "), "{said}");
    assert!(
        asking.seen().iter().any(|request| request.header("authorization").is_some()),
        "it was signed for the one"
    );
    for request in elsewhere.seen() {
        assert_eq!(request.header("authorization"), None, "and not for the other: {request:?}");
    }
}

#[test]
fn a_server_that_sends_to_a_file_or_round_in_circles_is_refused() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secret.path(), "a secret of the machine").expect("written");
    let file = format!("file://{}", secret.path().display());
    for location in [file.as_str(), "ftp://127.0.0.1/x", "//", "/same", "\u{0}", "javascript:x", "http://[::"]
    {
        let server = BucketServer::start();
        let to = location.to_owned();
        server.answers_first(move |_| Some(Reply::new(302, "").with("Location", to.clone())));
        let said = asked(&server.url());
        assert!(!said.contains("a secret of the machine"), "{location}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{location}: {said}");
        assert!(server.seen().len() < 200, "{location}: {} requests", server.seen().len());
    }
}

/// Git's bundle URIs, which a remote may advertise, are followed by who asked git to (`transfer.bundleURI`), and never by us: in git CVE-2025-48385
/// what came from one was written where it should not.
#[test]
fn bundles_that_a_remote_advertises_are_not_followed() {
    let env = first();
    let (repo, remote) = (env.init("data"), env.init_bare("remote.git"));
    repo.git(["datamon", "-q", "init", "--track", "*.bin"]);
    let change = |repo: &TestRepo, seed: u64| {
        repo.write("a.bin", seeded_bytes(seed, 40_000));
        repo.add(".");
        repo.commit("changed");
    };
    change(&repo, 1);
    repo.add_remote("origin", remote.dir());
    repo.push("origin", "main");
    let (bundle, outside) = (env.work().join("a.bundle"), env.work().join("outside"));
    repo.git(["bundle", "create", "-q", bundle.to_str().expect("plain"), "main"]);
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}/x {}", server.local_addr().expect("bound"), outside.display());
    let advertise = |name: &str, uri: &str| drop(remote.git(["config", &format!("bundle.{name}.uri"), uri]));
    for (key, value) in
        [("uploadpack.advertiseBundleURIs", "true"), ("bundle.version", "1"), ("bundle.mode", "all")]
    {
        remote.git(["config", key, value]);
    }
    advertise("file", bundle.to_str().expect("plain"));
    // Only the protocol shows what a remote advertises.
    let from = format!("file://{}", remote.dir().display());
    let followed = |repo: &TestRepo| !repo.git(["for-each-ref", "refs/bundles"]).text().is_empty();
    run(env.command("git").args(["-c", "transfer.bundleURI=true", "clone", "-q", &from, "asked"]));
    assert!(followed(&env.repo("asked")), "the remote advertises it, and git can follow it");

    advertise("elsewhere", &url);
    run(env.command("git").args(["datamon", "-q", "clone", &from, "cloned"]));
    let cloned = env.repo("cloned");
    change(&repo, 2);
    repo.push("origin", "main");
    cloned.git(["datamon", "-q", "pull", "origin", "main"]);
    cloned.git(["datamon", "-q", "checkout", "HEAD~"]);
    cloned.git(["datamon", "-q", "checkout", "main"]);
    change(&cloned, 3);
    cloned.git(["datamon", "-q", "push", "origin", "main"]);
    assert!(!followed(&cloned), "the bundle was read");
    assert!(
        server.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
        "the server was asked"
    );
    assert!(!outside.exists(), "a file was written outside");
}

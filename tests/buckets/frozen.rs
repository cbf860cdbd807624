//! Data packs in an archive: who reads them is told what to bring back, and by which command.

use std::path::Path;
use std::process::Command;

use datamon::id::Nonce;
use datamon_test_support::{Hermetic, ask, run, run_failing, seeded_bytes, server};
use serde_json::Value;

use super::{machine, with_s3};

/// Asks the server to bring back each object on its stdin.
const BRING_BACK: &str = r#"
import os, sys, urllib.request
for key in sys.stdin.read().split("\n")[:-1]:
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{os.environ['DATAMON_BUCKET']}/{key}?restore"
    body = b"<RestoreRequest><Days>1</Days></RestoreRequest>"
    headers = {
        "Content-Type": "text/xml",
        "Authorization": "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    }
    urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST", headers=headers)).close()
"#;

fn datamon(env: &Hermetic, dir: &str, args: &[&str]) -> Command {
    let mut command = env.command("git");
    command.current_dir(env.work().join(dir)).arg("datamon").args(args);
    with_s3(&mut command, &server("DATAMON_TEST_S3"), "any:thing");
    command
}

#[test]
fn what_lies_in_an_archive_is_told_and_brought_back() {
    let (env, folder) = (machine(), Nonce::new().to_string());
    let url = format!("s3://datamon/{folder}");
    for place in [url.clone(), format!("{url}-moved")] {
        let class = format!("datamon.store.{place}.storageClass");
        run(env.command("git").args(["config", "--global", &class, "DEEP_ARCHIVE"]));
    }
    let (remote, repo) = (env.init_bare("remote.git"), env.init("first"));
    repo.add_remote("origin", remote.dir());
    run(&mut datamon(&env, ".", &["install"]));
    run(&mut datamon(&env, "first", &["init", "--store", &url, "--track", "*.bin"]));
    repo.write("a.bin", seeded_bytes(1, 300_000));
    repo.write("maps/b.bin", seeded_bytes(2, 300_000));
    run(&mut datamon(&env, "first", &["commit", "-m", "data", "."]));
    run(&mut datamon(&env, "first", &["push", "-u", "origin", "main"]));

    // The data alone is there.
    let list = format!("/datamon?list-type=2&prefix={folder}/");
    let listed = ask(&server("DATAMON_TEST_S3"), "GET", &list, &[], b"");
    let listed = String::from_utf8(listed.body).expect("text");
    let between = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>")).expect(name);
        rest.split_once("</").expect(name).0.to_owned()
    };
    let objects: Vec<_> = listed.split("<Contents>").skip(1).collect();
    assert!(objects.len() > 3, "{listed}");
    for object in objects {
        let (key, class) = (between(object, "Key"), between(object, "StorageClass"));
        let is_data = key.starts_with(&format!("{folder}/data/"));
        assert_eq!(class, if is_data { "DEEP_ARCHIVE" } else { "STANDARD" }, "{key}");
    }

    // A clone says what to type, and has no half of a file.
    let remote = remote.dir().to_str().expect("plain").to_owned();
    let clone = run_failing(&mut datamon(&env, ".", &["clone", &remote, "second"]));
    assert!(clone.code == Some(5) && clone.stderr.contains("git datamon thaw"), "{}", clone.stderr);
    for path in ["a.bin", "maps/b.bin"] {
        let there = std::fs::read(env.work().join("second").join(path)).unwrap_or_default();
        assert!(there.is_empty() || there.starts_with(b"version https://git-lfs"), "{path}: a part of it");
    }
    let out = run_failing(&mut datamon(&env, "first", &["download", "HEAD", "--dest", "out"]));
    assert_eq!(out.code, Some(5), "{}", out.stderr);
    assert!(out.stderr.contains("git datamon thaw"), "{}", out.stderr);
    assert!(!env.work().join("first/out/a.bin").exists());

    // What cannot be looked into is not damaged.
    let fsck = run(&mut datamon(&env, "first", &["fsck", "--data"]));
    assert!(fsck.text().contains("2 packs in an archive"), "{}", fsck.text());
    let moved = run_failing(&mut datamon(&env, "first", &["store", "move", "--to", &format!("{url}-moved")]));
    assert!(moved.code == Some(5) && moved.stderr.contains("git datamon thaw"), "{}", moved.stderr);

    let frozen = run_failing(&mut datamon(&env, "first", &["thaw"]));
    assert_eq!(frozen.code, Some(1), "{}", frozen.stderr);
    let packs: Vec<&str> = frozen.lines();
    assert!(
        !packs.is_empty() && packs.iter().all(|it| it.starts_with(&format!("{folder}/data/"))),
        "{packs:?}"
    );
    let json = run_failing(&mut datamon(&env, "first", &["thaw", "HEAD", "--paths", "maps", "--json"]));
    let json: Value = serde_json::from_str(json.text()).expect("JSON");
    assert_eq!((json["bucket"].as_str(), json["packs"].as_u64()), (Some("datamon"), Some(1)), "{json}");
    assert!(json["archived"][0]["bytes"].as_u64() > Some(300_000), "{json}");
    let nowhere = run_failing(&mut datamon(&env, "first", &["thaw", "--paths", "nowhere"]));
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);

    // A command that fails is told of; one that brings back is looked after.
    let failed = run_failing(&mut datamon(&env, "first", &["thaw", "--warm-up", "cat >/dev/null; exit 3"]));
    assert!(failed.code == Some(128) && failed.stderr.contains("exit status: 3"), "{}", failed.stderr);
    let idle = run_failing(&mut datamon(&env, "first", &["thaw", "--warm-up", "true"]));
    assert!(idle.code == Some(1) && idle.stderr.contains("exits with 0"), "{}", idle.stderr);
    let script = env.work().join("bring_back.py");
    std::fs::write(&script, BRING_BACK).expect("written");
    let command = format!("python3 {}", shown(&script));
    let warm = run(&mut datamon(&env, "first", &["thaw", "--all", "--warm-up", &command]));
    assert!(warm.text().is_empty() && warm.stderr.contains("can be read"), "{}", warm.stderr);

    run(&mut datamon(&env, "first", &["download", "HEAD", "--dest", "out"]));
    // The archive of another place takes them, too, and is looked at as far as it can be.
    let moved = run(&mut datamon(&env, "first", &["store", "move", "--to", &format!("{url}-moved")]));
    assert!(moved.text().contains("of 2 in an archive the size alone"), "{}", moved.text());
    assert_eq!(repo.read("out/maps/b.bin"), seeded_bytes(2, 300_000));
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("plain")
}

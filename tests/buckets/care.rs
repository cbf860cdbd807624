//! What the owner of a bucket has set, as `doctor` tells it.

use std::process::Command;

use datamon::id::Nonce;
use datamon::store::{Harm, StoreUrl, care};
use datamon_test_support::{Hermetic, Output, ask, run, run_failing, server};
use serde_json::Value;

use super::{machine, settings, somewhere, with_s3};

/// A bucket of its own: life cycles hold for all of one.
fn bucket(headers: &[(&str, &str)]) -> (String, String) {
    let (endpoint, name) = (server("DATAMON_TEST_S3"), format!("care-{}", Nonce::new()));
    assert_eq!(ask(&endpoint, "PUT", &format!("/{name}"), headers, b"").status, 200);
    (endpoint, name)
}

fn set(endpoint: &str, bucket: &str, what: &str, xml: &str) {
    let reply = ask(endpoint, "PUT", &format!("/{bucket}?{what}"), &[], xml.as_bytes());
    assert!(reply.status < 300, "{what}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
}

fn datamon(env: &Hermetic, args: &[&str], endpoint: &str, key: &str) -> Command {
    let mut command = env.command("git");
    command.current_dir(env.work().join("r")).arg("datamon").args(args);
    with_s3(&mut command, endpoint, key);
    command
}

/// State and words of what `doctor` says of the bucket.
fn findings(output: &Output) -> Vec<(String, String)> {
    let all: Vec<Value> = serde_json::from_str(output.text()).expect("JSON");
    let text = |it: &Value, key: &str| it[key].as_str().expect(key).to_owned();
    let of_bucket = all.iter().filter(|it| it["check"] == "bucket" || it["check"] == "promises");
    of_bucket.map(|it| (text(it, "state"), text(it, "text") + &it["hints"].to_string())).collect()
}

#[track_caller]
fn says(found: &[(String, String)], state: &str, words: &str) {
    assert!(found.iter().any(|(is, said)| is == state && said.contains(words)), "{state} {words}: {found:?}");
}

#[test]
fn rules_that_harm_a_store_are_found() {
    let (endpoint, name) = bucket(&[]);
    set(
        &endpoint,
        &name,
        "versioning",
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    );
    let env = machine();
    env.init("r");
    run(&mut datamon(&env, &["init", "--store", &format!("s3://{name}/team")], &endpoint, "any:thing"));
    let doctor = || datamon(&env, &["doctor", "--json"], &endpoint, "any:thing");
    let found = findings(&run(&mut doctor()));
    says(&found, "ok", "one of several creates wins");
    says(&found, "note", "keeps old versions");
    assert_eq!(found.len(), 2, "{found:?}");

    set(
        &endpoint,
        &name,
        "lifecycle",
        "<LifecycleConfiguration><Rule><ID>tidy</ID><Filter><Prefix>team/</Prefix></Filter><Status>Enabled</Status>\
         <Expiration><Days>30</Days></Expiration>\
         <NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration></Rule>\
         <Rule><ID>cold</ID><Filter><Prefix>team/data/</Prefix></Filter><Status>Enabled</Status>\
         <Transition><Days>9</Days><StorageClass>DEEP_ARCHIVE</StorageClass></Transition></Rule>\
         <Rule><ID>others</ID><Filter><Prefix>else/</Prefix></Filter><Status>Enabled</Status>\
         <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
    );
    run(env
        .command("git")
        .args(["config", "--global"])
        .args([&format!("datamon.store.s3://{name}.storageClass"), "glacier"]));
    let found = findings(&run_failing(&mut doctor()));
    says(&found, "broken", "\"tidy\" deletes objects after 30 days, below datamon.json, log/");
    says(&found, "note", "\"cold\" moves data packs to DEEP_ARCHIVE after 9 days");
    says(&found, "note", "data packs are written into glacier");
    assert!(
        !found.iter().any(|(_, said)| said.contains("others") || said.contains("old versions")),
        "{found:?}"
    );
}

/// Without a store: this server takes nothing for a bucket with a lock but from programs of Amazon's own.
#[test]
fn a_lock_is_found() {
    let (endpoint, name) = bucket(&[("x-amz-bucket-object-lock-enabled", "true")]);
    let url = StoreUrl::parse(&format!("s3://{name}/team")).expect("a URL");
    let settings = settings(&[("endpoint", &endpoint)]);
    let said = || -> Vec<String> {
        let concerns = care(&url, &settings).expect("looked at");
        assert!(concerns.iter().all(|it| it.harm == Harm::Costs), "{concerns:?}");
        concerns.into_iter().map(|it| it.text).collect()
    };
    // A lock brings versions with it.
    assert!(matches!(&said()[..], [versions] if versions.contains("keeps old versions")), "{:?}", said());
    set(
        &endpoint,
        &name,
        "object-lock",
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
         <Mode>GOVERNANCE</Mode><Days>12</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
    );
    assert!(said()[1].contains("nothing can be deleted for 12 days (GOVERNANCE)"), "{:?}", said());
}

#[test]
fn what_may_not_be_looked_at_is_said_and_is_no_error() {
    let endpoint = server("DATAMON_TEST_S3_GUARDED");
    let (env, url) = (machine(), somewhere("s3"));
    env.init("r");
    run(env.command("git").args(["datamon", "install"]));
    run(&mut datamon(&env, &["init", "--store", &url], &endpoint, &server("DATAMON_TEST_KEY_OWNER")));
    let keeper = server("DATAMON_TEST_KEY_KEEPER");
    let found = findings(&run(&mut datamon(&env, &["doctor", "--json"], &endpoint, &keeper)));
    // The server lets everybody see how objects are locked.
    for right in ["s3:GetLifecycleConfiguration", "s3:GetBucketVersioning"] {
        says(&found, "note", right);
    }
    // A keeper may not delete what the probe wrote.
    says(&found, "note", "s3:DeleteObject");
}

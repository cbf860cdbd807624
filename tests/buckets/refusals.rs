//! What a bucket refuses, and what the user reads then: which right, on which prefix, what to type.

use datamon::store::{Failure, Store, StoreError};
use datamon_test_support::{BucketServer, Reply, refusal, run, run_failing, server};

use super::{machine, settings, somewhere, store, with_s3};

/// The code and the words of `git datamon` with these credentials at the guarded server.
fn said(key: &str, args: &[&str]) -> (i32, String) {
    let (env, endpoint) = (machine(), server("DATAMON_TEST_S3_GUARDED"));
    let mut command = env.command("git");
    command.arg("datamon").args(args);
    let output = run_failing(with_s3(&mut command, &endpoint, key));
    (output.code.expect("no signal"), output.stderr)
}

#[test]
fn each_missing_right_is_named() {
    let url = somewhere("s3");
    let env = machine();
    let owner = server("DATAMON_TEST_KEY_OWNER");
    let endpoint = server("DATAMON_TEST_S3_GUARDED");
    let repo = env.init("r");
    let mut init = env.command("git");
    init.current_dir(repo.dir()).args(["datamon", "init", "--store", &url]);
    run(with_s3(&mut init, &endpoint, &owner));
    let prefix = url.trim_start_matches("s3://");

    let (code, words) = said(&server("DATAMON_TEST_KEY_WRITER"), &["stats", "--store", &url]);
    assert_eq!(code, 128, "{words}");
    assert!(words.contains(&format!("s3:GetObject on arn:aws:s3:::{prefix}/*")), "{words}");

    let (code, words) = said(&server("DATAMON_TEST_KEY_READER"), &["repo", "create", "x", "--store", &url]);
    assert_eq!(code, 128, "{words}");
    assert!(words.contains(&format!("s3:PutObject on arn:aws:s3:::{prefix}/*")), "{words}");

    // A first open finds the end of the log by a listing.
    let (code, words) = said(&server("DATAMON_TEST_KEY_UNLISTED"), &["fsck", "--store", &url]);
    assert_eq!(code, 128, "{words}");
    assert!(words.contains("s3:ListBucket on arn:aws:s3:::datamon"), "{words}");
}

#[test]
fn who_asks_must_be_known() {
    let url = somewhere("s3");
    let (key, _) = server("DATAMON_TEST_KEY_OWNER")
        .split_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("two");
    for (credentials, code) in
        [(format!("{key}:wrong"), "SignatureDoesNotMatch"), ("AKIANOBODY:x".to_owned(), "InvalidAccessKeyId")]
    {
        let (exit, words) = said(&credentials, &["stats", "--store", &url]);
        assert_eq!(exit, 5, "{words}");
        assert!(words.contains(code) && words.contains("aws sso login"), "{words}");
        assert!(!words.contains("wrong"), "a secret is shown: {words}");
    }
    let (env, endpoint) = (machine(), server("DATAMON_TEST_S3_GUARDED"));
    let mut command = env.command("git");
    command.args(["datamon", "stats", "--store", &url]);
    let none = command.env("AWS_ENDPOINT_URL", &endpoint).env("AWS_EC2_METADATA_DISABLED", "true");
    let words = run_failing(none).stderr;
    assert!(words.contains("AWS_PROFILE"), "{words}");
}

/// What a store says of the first read when the server answers so.
fn failure(reply: Reply) -> (Failure, String) {
    let server = BucketServer::start();
    server.answers_first(move |_| Some(reply.clone()));
    let store = store("s3://bucket/x", &[("endpoint", &server.url()), ("anonymous", "true")]).without_waits();
    match store.get("datamon.json") {
        Err(error @ StoreError::Request { .. }) => {
            let words = error.to_string();
            let StoreError::Request { source, .. } = error else { unreachable!("just matched") };
            (source.failure, words)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_are_told_apart() {
    let page = Reply::new(200, "<!DOCTYPE html><html><body>Sign in to the network</body></html>")
        .with("Content-Type", "text/html; charset=utf-8");
    let gateway = Reply::new(502, "<html><body>Bad gateway</body></html>").with("Content-Type", "text/html");
    let elsewhere = refusal(301, "PermanentRedirect").with("x-amz-bucket-region", "eu-north-1");
    for (reply, expected, words) in [
        (refusal(404, "NoSuchBucket"), Failure::NoBucket, "makes no buckets"),
        (refusal(403, "AccessDenied"), Failure::Denied, "s3:GetObject on arn:aws:s3:::bucket/x/*"),
        (refusal(403, "RequestTimeTooSkewed"), Failure::Clock, "clock"),
        (refusal(400, "ExpiredToken"), Failure::Credentials, "aws sso login"),
        (refusal(403, "InvalidObjectState"), Failure::Archived, "archive"),
        (refusal(503, "SlowDown"), Failure::Busy, "fewer requests"),
        (refusal(429, "TooManyRequests"), Failure::Busy, "fewer requests"),
        (refusal(500, "InternalError"), Failure::Other, "can be reached"),
        (refusal(507, "XMinioStorageFull"), Failure::Full, "free some space"),
        (refusal(501, "NotImplemented"), Failure::Unsupported, "another place"),
        (elsewhere, Failure::Region, "eu-north-1"),
        (page, Failure::Stranger, "no object store"),
        (gateway, Failure::Stranger, "no object store"),
    ] {
        let status = reply.status;
        let (failure, said) = failure(reply);
        assert_eq!(failure, expected, "{status}: {said}");
        assert!(said.contains(words), "{status}: {said}");
    }
}

#[test]
fn a_bucket_that_is_gone_is_never_an_object_that_is_missing() {
    let server = BucketServer::start();
    server.answers_first(|request| {
        let list = request.path.contains("list-type=2");
        Some(refusal(404, if list { "NoSuchKey" } else { "NoSuchBucket" }))
    });
    let store = store("s3://bucket/x", &[("endpoint", &server.url()), ("anonymous", "true")]).without_waits();
    assert!(store.get("log/0").is_err());
    assert!(store.list("log/", "").is_err(), "a listing that is not found is no empty listing");
}

#[test]
fn a_certificate_file_that_is_not_there_is_named() {
    let url = datamon::store::StoreUrl::parse("s3://bucket/x").expect("a URL");
    let error = Store::open_with(&url, &settings(&[("caFile", "/no/such/file"), ("region", "x")]))
        .expect_err("no file");
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_asked() {
    let (url, endpoint) = (somewhere("s3"), server("DATAMON_TEST_S3_TLS"));
    let known = store(&url, &[("endpoint", &endpoint), ("caFile", &server("DATAMON_TEST_CERTIFICATE"))]);
    assert_eq!(known.get("datamon.json").expect("asked"), None);
    match store(&url, &[("endpoint", &endpoint)]).get("datamon.json") {
        Err(error @ StoreError::Request { .. }) => {
            let words = error.to_string();
            assert!(words.contains("caFile") && words.contains("certificate"), "{words}");
        }
        other => panic!("{other:?}"),
    }
}

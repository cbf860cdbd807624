//! Servers that do not do what the log is built on: each is refused, and the broken promise named.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use datamon_test_support::{BucketServer, Reply, Request, refusal};

use super::store;

/// What a lying server has seen so far.
#[derive(Default)]
struct Seen {
    /// The first bytes written to a path.
    objects: HashMap<String, Vec<u8>>,
    /// Paths that were asked for when nothing was there.
    missed: HashSet<String>,
}

/// What the probe says of a server that answers some requests so, and the others as it should.
fn probed(
    lie: impl Fn(&Request, &Seen) -> Option<Reply> + Send + Sync + 'static,
) -> Result<Option<String>, String> {
    let server = BucketServer::start();
    let seen = Mutex::new(Seen::default());
    server.answers_first(move |request| {
        let mut seen = seen.lock().expect("no panic");
        let reply = lie(request, &seen);
        let path = request.path.clone();
        match request.method.as_str() {
            "PUT" => drop(seen.objects.entry(path).or_insert_with(|| request.body.to_vec())),
            _ if !seen.objects.contains_key(&path) => drop(seen.missed.insert(path)),
            _ => {}
        }
        reply
    });
    let store = store("s3://bucket/x", &[("endpoint", &server.url()), ("anonymous", "true")]).without_waits();
    store.probe().map_err(|error| error.to_string())
}

fn range_of(request: &Request) -> Option<(usize, usize)> {
    let (first, last) = request.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn part(bytes: &[u8], first: usize, last: usize, said: usize) -> Reply {
    let range = format!("bytes {said}-{}/{}", said + last - first, bytes.len());
    Reply::new(206, &bytes[first..=last])
        .with("Content-Range", range)
        .with("ETag", "\"tag\"")
        .with("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
}

#[test]
fn an_honest_server_passes() {
    assert_eq!(probed(|_, _| None), Ok(None));
}

/// S3 wants one where nothing may be deleted for a time, and compares it everywhere.
#[test]
fn what_is_written_has_a_checksum() {
    let server = BucketServer::start();
    store("s3://bucket/x", &[("endpoint", &server.url()), ("anonymous", "true")])
        .probe()
        .expect("an honest one");
    let seen = server.seen();
    let puts: Vec<_> = seen.iter().filter(|it| it.method == "PUT").collect();
    assert!(
        puts.len() == 4 && puts.iter().all(|it| it.header("x-amz-checksum-sha256").is_some()),
        "{puts:?}"
    );
}

#[test]
fn a_server_that_takes_every_create_is_refused() {
    let said =
        probed(|request, _| (request.method == "PUT").then(|| Reply::new(200, "").with("ETag", "\"x\"")));
    let said = said.expect_err("a liar");
    assert!(said.contains("3 of 3 creates of one name at the same time"), "{said}");
}

#[test]
fn a_server_that_keeps_old_answers_is_refused() {
    let said = probed(|request, seen| {
        (request.method == "GET" && seen.missed.contains(&request.path)).then(|| refusal(404, "NoSuchKey"))
    });
    let said = said.expect_err("a liar");
    assert!(said.contains("keeps old answers"), "{said}");
}

#[test]
fn a_server_that_writes_late_is_refused() {
    let said = probed(|request, _| {
        (request.method == "GET" && !request.path.contains('?')).then(|| refusal(404, "NoSuchKey"))
    });
    let said = said.expect_err("a liar");
    assert!(said.contains("an object just written reads as missing"), "{said}");
}

#[test]
fn a_server_that_gives_another_part_is_refused() {
    let whole = probed(|request, seen| {
        range_of(request)?;
        Some(Reply::new(200, &seen.objects[&request.path][..]).with("ETag", "\"tag\""))
    });
    let whole = whole.expect_err("a liar");
    assert!(whole.contains("the whole object where a part was asked for"), "{whole}");
    let other = probed(|request, seen| {
        let (first, last) = range_of(request)?;
        Some(part(&seen.objects[&request.path], first + 1, last + 1, first + 1))
    });
    let other = other.expect_err("a liar");
    assert!(other.contains("other bytes than those that were asked for"), "{other}");
    let hidden = probed(|request, seen| {
        let (first, last) = range_of(request)?;
        Some(part(&seen.objects[&request.path], first + 1, last + 1, first))
    });
    let hidden = hidden.expect_err("a liar");
    assert!(hidden.contains("other bytes of an object come"), "{hidden}");
}

#[test]
fn a_listing_that_is_behind_is_remarked_on() {
    let said = probed(|request, _| {
        let empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        let reply = Reply::new(200, empty).with("Content-Type", "application/xml");
        request.path.contains("list-type=2").then_some(reply)
    });
    let said = said.expect("nothing relies on it").expect("a remark");
    assert!(said.contains("a listing does not show"), "{said}");
}

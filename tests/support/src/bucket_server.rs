//! A bucket over HTTP, in memory: what S3 and Google Cloud Storage have in common, as far as git-datamon uses it. It stands in for
//! Google, whose protocol no server at hand speaks, and for whatever goes wrong on the way: a test may answer any request itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::http::{self, Reply, Request};

type Rule = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

#[derive(Default)]
struct State {
    objects: Mutex<BTreeMap<String, Arc<Vec<u8>>>>,
    seen: Mutex<Vec<Request>>,
    rule: Mutex<Option<Box<Rule>>>,
}

/// A server that runs until the test ends; the first part of a path is the bucket, whatever its name.
pub struct BucketServer {
    state: Arc<State>,
    port: u16,
}

impl fmt::Debug for BucketServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bucket at {}", self.url())
    }
}

impl BucketServer {
    /// Starts an empty one.
    pub fn start() -> BucketServer {
        let state: Arc<State> = Arc::default();
        let shared = state.clone();
        let port = http::serve(move |request, _| Some(answer(request, &shared)));
        BucketServer { state, port }
    }

    /// Where it listens on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this answers first.
    pub fn answers_first(&self, rule: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) {
        *self.state.rule.lock().expect("no holder of this lock panics") = Some(Box::new(rule));
    }

    /// The requests so far, without their bytes.
    pub fn seen(&self) -> Vec<Request> {
        self.state.seen.lock().expect("no holder of this lock panics").clone()
    }
}

/// An answer in the words of S3, and of Google, which took them over.
pub fn refusal(status: u16, code: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"
    );
    Reply::new(status, body).with("Content-Type", "application/xml")
}

fn answer(request: &Request, state: &State) -> Reply {
    let without_body = Request { body: Arc::default(), ..request.clone() };
    state.seen.lock().expect("no holder of this lock panics").push(without_body);
    if let Some(rule) = &*state.rule.lock().expect("no holder of this lock panics")
        && let Some(reply) = rule(request)
    {
        return reply;
    }
    let (path, query) = request.parts();
    let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
    let mut objects = state.objects.lock().expect("no holder of this lock panics");
    match request.method.as_str() {
        "GET" if key.is_empty() => list(&objects, &query),
        "GET" | "HEAD" => {
            let object = objects.get(key).cloned();
            drop(objects);
            object.map_or_else(|| refusal(404, "NoSuchKey"), |bytes| read(request, &bytes))
        }
        "PUT" => {
            let only_new = request.header("if-none-match") == Some("*")
                || request.header("x-goog-if-generation-match") == Some("0");
            if only_new && objects.contains_key(key) {
                return refusal(412, "PreconditionFailed");
            }
            objects.insert(key.to_owned(), request.body.clone());
            Reply::new(200, "").with("ETag", "\"tag\"")
        }
        "DELETE" => {
            objects.remove(key);
            Reply::new(204, "")
        }
        _ => refusal(405, "MethodNotAllowed"),
    }
}

fn read(request: &Request, bytes: &[u8]) -> Reply {
    let reply = match request.header("range").and_then(|it| it.strip_prefix("bytes=")?.split_once('-')) {
        None => Reply::new(200, bytes),
        Some((first, last)) => {
            let first: usize = first.parse().unwrap_or(0);
            let end = last.parse::<usize>().map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
            if first >= end {
                return refusal(416, "InvalidRange");
            }
            let range = format!("bytes {first}-{}/{}", end - 1, bytes.len());
            Reply::new(206, &bytes[first..end]).with("Content-Range", range)
        }
    };
    reply.with("ETag", "\"tag\"").with("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
}

fn list(objects: &BTreeMap<String, Arc<Vec<u8>>>, query: &[(String, String)]) -> Reply {
    let asked = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let (prefix, most) = (asked("prefix").unwrap_or(""), 1000);
    let after = asked("continuation-token").or(asked("start-after")).unwrap_or("");
    let mut found =
        objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after).peekable();
    let page: Vec<_> = found.by_ref().take(most).collect();
    let next = page.last().filter(|_| found.peek().is_some());
    let mut body = format!("<ListBucketResult><IsTruncated>{}</IsTruncated>", next.is_some());
    if let Some((key, _)) = next {
        body += &format!("<NextContinuationToken>{key}</NextContinuationToken>");
    }
    for (key, bytes) in page {
        body += &format!(
            "<Contents><Key>{key}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified><ETag>\"tag\"</ETag><Size>{}</Size></Contents>",
            bytes.len()
        );
    }
    Reply::new(200, body + "</ListBucketResult>").with("Content-Type", "application/xml")
}

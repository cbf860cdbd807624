//! The wire: what goes between `object_store` and the network.
//!
//! A server that says no is asked why here, where its words are still to be had, and its answer goes up as [`Answered`]; `object_store`
//! keeps what it needs to know itself: that an object is missing, or is there already. A request that makes no progress is given
//! up: the time it may take grows with its bytes, and an answer may not pause.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};
use tokio::time::{Instant, Sleep, sleep, timeout};

/// To reach a server.
pub const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer, and before the first one of a request without bytes.
const STALL: Duration = Duration::from_secs(30);
/// What a request with bytes gets beside: a link slower than this is no link, bytes a second.
const SLOWEST: u64 = 32 << 10;
/// Of the words of a server that says no, bytes.
const WORDS: usize = 16 << 10;

/// A server's answer that is neither yes nor "missing" nor "exists".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} answered {status}{}{}{}", part(" ", .code), part(": ", .message), part("; the bucket lies in ", .region))]
pub struct Answered {
    /// Who.
    pub host: String,
    /// HTTP's number.
    pub status: u16,
    /// The provider's word for it, as `AccessDenied`.
    pub code: Option<String>,
    /// A sentence for people.
    pub message: Option<String>,
    /// Where the bucket lies, if that is what is wrong.
    pub region: Option<String>,
    /// Whether it is a page for people: no object store, but something in between.
    pub page: bool,
}

fn part(before: &str, text: &Option<String>) -> String {
    text.as_ref().map(|text| format!("{before}{text}")).unwrap_or_default()
}

/// Connects with watched requests.
#[derive(Debug)]
pub struct Wire;

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Watched(HttpClient);

#[derive(Debug, thiserror::Error)]
#[error("no byte moved for {} seconds", STALL.as_secs())]
struct Stalled;

fn stalled() -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Stalled)
}

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let sent = request.body().content_length() as u64;
        let range = request.headers().get("range").and_then(|it| it.to_str().ok()).and_then(Part::asked);
        let allowed = STALL + Duration::from_secs(sent / SLOWEST);
        let answer = timeout(allowed, self.0.execute(request)).await.map_err(|_| stalled())??;
        let status = answer.status().as_u16();
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        if let Some(range) = range.filter(|_| answer.status().is_success())
            && !header("content-range").is_some_and(|it| range.is_in(&it) && status == 206)
        {
            let message = match status {
                206 => "other bytes than those that were asked for",
                _ => "the whole object where a part was asked for",
            };
            let (code, message) = (Some(OTHER_PART.to_owned()), Some(message.to_owned()));
            let answered = Answered { host, status, code, message, region: None, page: false };
            return Err(HttpError::new(HttpErrorKind::Unknown, answered));
        }
        let is_html = header("content-type").is_some_and(|it| it.starts_with("text/html"));
        let length = header("content-length").and_then(|it| it.parse::<usize>().ok());
        // Some servers call everything HTML. A page is short, and what is long is verified by who asked for it.
        let may_be_page = is_html && length.is_none_or(|length| (1..=WORDS).contains(&length));
        if (answer.status().is_success() && !may_be_page) || status == 304 {
            let (parts, body) = answer.into_parts();
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(Paced::new(body))));
        }
        let region = header("x-amz-bucket-region");
        let (parts, body) = answer.into_parts();
        let words = words(body).await;
        let text = String::from_utf8_lossy(&words);
        let code = element(&text, "Code").or_else(|| element(&text, "code"));
        let begin = text.trim_start().get(..14).unwrap_or_default().to_ascii_lowercase();
        let page = begin == "<!doctype html" || begin.starts_with("<html");
        let is_object = match status {
            200..=299 => true,
            404 => !code.as_ref().is_some_and(|code| NO_BUCKET.contains(&code.as_str())),
            409 | 412 => true,
            _ => false,
        };
        if is_object && !page {
            return Ok(HttpResponse::from_parts(parts, words.into()));
        }
        let message = if page { None } else { element(&text, "Message").or_else(|| plain(&text)) };
        let region = region.or_else(|| element(&text, "Region"));
        Err(HttpError::new(HttpErrorKind::Unknown, Answered { host, status, code, message, region, page }))
    }
}

/// Our word for an answer to a request for a part of an object that is not that part.
pub const OTHER_PART: &str = "OtherPart";

/// First and last byte that a request asks for.
struct Part {
    first: u64,
    last: u64,
}

impl Part {
    fn asked(header: &str) -> Option<Part> {
        let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
        Some(Part { first: first.parse().ok()?, last: last.parse().ok()? })
    }

    /// Whether an answer says that it is this part, as far as the object has it.
    fn is_in(&self, header: &str) -> bool {
        let read = || {
            let (range, whole) = header.strip_prefix("bytes ")?.split_once('/')?;
            let (first, last) = range.split_once('-')?;
            let end = whole.parse::<u64>().map_or(self.last, |whole| self.last.min(whole.saturating_sub(1)));
            Some(first.parse() == Ok(self.first) && last.parse() == Ok(end))
        };
        read().unwrap_or(false)
    }
}

/// What providers call a bucket that is not there.
pub const NO_BUCKET: [&str; 3] = ["NoSuchBucket", "ContainerNotFound", "NotFoundBucket"];

/// The beginning of what a server said.
async fn words(body: HttpResponseBody) -> Vec<u8> {
    let (mut words, mut stream) = (Vec::new(), body.bytes_stream());
    while let Ok(Some(Ok(piece))) = timeout(STALL, stream.next()).await {
        words.extend_from_slice(&piece[..piece.len().min(WORDS - words.len())]);
        if words.len() == WORDS {
            break;
        }
    }
    words
}

/// The text of an XML element, one line of it; this is for people and for known words, not for structure.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    shown(inside)
}

/// What is no XML is said as it is.
fn plain(text: &str) -> Option<String> {
    if text.trim_start().starts_with('<') { None } else { shown(text) }
}

fn shown(text: &str) -> Option<String> {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    (!line.is_empty()).then_some(line)
}

/// An answer's body that may not pause.
struct Paced {
    body: HttpResponseBody,
    patience: Pin<Box<Sleep>>,
}

impl Paced {
    fn new(body: HttpResponseBody) -> Paced {
        Paced { body, patience: Box::pin(sleep(STALL)) }
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, HttpError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.patience.as_mut().reset(Instant::now() + STALL);
                Poll::Ready(frame)
            }
            Poll::Pending => match self.patience.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(stalled()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

//! Requests as git-lfs writes them, replies as it reads them: JSON, one object a line.
//!
//! A request is read leniently where git-lfs may grow (unknown fields, a field said twice) and strictly where a wrong value
//! would reach a disk (oid, size, path). A request that is refused still says whose it was, however mangled, since git-lfs
//! shows the message only if the reply names the object it asked for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::transfer::Failure;

/// The most characters of a message that reach the terminal; a cause may hold a whole page of somebody's error text.
const LONGEST_MESSAGE: usize = 4096;

/// Text that is not an oid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnOid(String);

impl fmt::Display for NotAnOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an oid: 64 lower-case hexadecimal digits", self.0)
    }
}

impl std::error::Error for NotAnOid {}

/// The name of an object: the SHA-256 of its bytes as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(String);

impl Oid {
    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Oid {
    type Err = NotAnOid;

    fn from_str(text: &str) -> Result<Self, NotAnOid> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(digit) {
            Ok(Oid(text.to_owned()))
        } else {
            Err(NotAnOid(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which way the objects of a session go; a process never does both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To the store.
    Upload,
    /// From the store.
    Download,
}

/// What git-lfs says once, at the start. It says no URL: the agent finds its store by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Which way the objects will go.
    pub operation: Operation,
    /// The remote's name, or the URL or path the user typed; empty if git-lfs said none.
    pub remote: String,
    /// Whether git-lfs may start more than one process.
    pub concurrent: bool,
    /// How many, at most; git-lfs says it even where `concurrent` is false.
    pub concurrent_transfers: u64,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub oid: Oid,
    /// Its length in bytes, as the pointer says: at most `i64::MAX`, which proves nothing of the bytes.
    pub size: u64,
}

/// A request that can be carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Init(Init),
    Upload(Object, PathBuf),
    Download(Object),
    Terminate,
}

/// A request that cannot, and as much as could be made out of whose it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its sender waits for the reply to an `init`.
    pub(crate) init: bool,
    /// The oid as it was sent, good or bad.
    pub(crate) oid: Option<String>,
    pub(crate) why: String,
}

impl Request {
    /// Reads one line.
    pub(crate) fn read(line: &[u8]) -> Result<Request, Refused> {
        let fields: Map<String, Value> = serde_json::from_slice(line)
            .map_err(|error| Refused::mangled(line, format!("the line is not a JSON object: {error}")))?;
        let event = fields.get("event").and_then(Value::as_str).unwrap_or_default();
        let request = match event {
            "init" => read_init(&fields).map(Request::Init),
            "upload" => read_object(&fields)
                .and_then(|object| Ok(Request::Upload(object, PathBuf::from(read_path(&fields)?)))),
            "download" => read_object(&fields).map(Request::Download),
            "terminate" => Ok(Request::Terminate),
            other => Err(format!("it asks for {other:.40?}, which no git-lfs known to this agent does")),
        };
        request.map_err(|why| Refused {
            init: event == "init",
            oid: fields.get("oid").and_then(Value::as_str).map(str::to_owned),
            why,
        })
    }

    /// What it was about, if it is refused after all.
    pub(crate) fn refuse(self, why: impl Into<String>) -> Refused {
        let (init, oid) = match self {
            Request::Init(_) => (true, None),
            Request::Upload(object, _) | Request::Download(object) => (false, Some(object.oid.0)),
            Request::Terminate => (false, None),
        };
        Refused { init, oid, why: why.into() }
    }
}

impl Refused {
    /// A line that is no JSON, or only the beginning of a line.
    pub(crate) fn mangled(line: &[u8], why: impl Into<String>) -> Refused {
        const KEY: &[u8] = br#""oid":""#;
        let after = line.windows(KEY.len()).position(|bytes| bytes == KEY).map(|at| &line[at + KEY.len()..]);
        let oid = after.and_then(|bytes| bytes.get(..64)).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let oid = oid.and_then(|text| Oid::from_str(text).ok()).map(|oid| oid.0);
        Refused { init: false, oid, why: why.into() }
    }
}

fn read_init(fields: &Map<String, Value>) -> Result<Init, String> {
    let operation = match fields.get("operation").and_then(Value::as_str) {
        Some("upload") => Operation::Upload,
        Some("download") => Operation::Download,
        _ => return Err("its operation is neither upload nor download".to_owned()),
    };
    Ok(Init {
        operation,
        remote: fields.get("remote").and_then(Value::as_str).unwrap_or_default().to_owned(),
        concurrent: fields.get("concurrent").and_then(Value::as_bool).unwrap_or(false),
        concurrent_transfers: fields.get("concurrenttransfers").and_then(Value::as_u64).unwrap_or(1),
    })
}

fn read_object(fields: &Map<String, Value>) -> Result<Object, String> {
    let oid = fields.get("oid").and_then(Value::as_str).ok_or("it names no oid")?;
    let oid = Oid::from_str(oid).map_err(|error| error.to_string())?;
    let size = fields.get("size").ok_or("it gives no size")?;
    let size = size.as_i64().and_then(|size| u64::try_from(size).ok());
    let size = size.ok_or("its size is not a number of bytes between 0 and 2^63 - 1")?;
    Ok(Object { oid, size })
}

fn read_path(fields: &Map<String, Value>) -> Result<&str, String> {
    let path = fields.get("path").and_then(Value::as_str).unwrap_or_default();
    if path.is_empty() { Err("it gives no path".to_owned()) } else { Ok(path) }
}

/// A reply, one line.
#[derive(Debug)]
pub(crate) enum Reply<'a> {
    /// `init` is done.
    Ready,
    /// `init` has failed.
    NotReady(&'a Failure),
    /// So many bytes of the object are done, `since` of them since the last such line.
    Progress { oid: &'a Oid, so_far: u64, since: u64 },
    /// The object is durable.
    Uploaded(&'a Oid),
    /// The object lies at this path.
    Downloaded(&'a Oid, &'a str),
    /// The object has failed; the oid as it was asked for.
    Failed(&'a str, &'a Failure),
}

impl Reply<'_> {
    /// Whether it ends an object well.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Reply::Uploaded(_) | Reply::Downloaded(..))
    }

    /// Appends its line. JSON escapes every control character, so no field can hold a line feed.
    pub(crate) fn write(&self, lines: &mut Vec<u8>) {
        serde_json::to_writer(&mut *lines, &self.wire()).expect("text and numbers in memory are always JSON");
        lines.push(b'\n');
    }

    fn wire(&self) -> Wire<'_> {
        let complete = Wire { event: Some("complete"), ..Wire::default() };
        match *self {
            Reply::Ready => Wire::default(),
            Reply::NotReady(failure) => Wire { error: Some(failure.into()), ..Wire::default() },
            Reply::Progress { oid, so_far, since } => Wire {
                event: Some("progress"),
                oid: Some(oid.as_str()),
                bytes_so_far: Some(so_far),
                bytes_since_last: Some(since),
                ..Wire::default()
            },
            Reply::Uploaded(oid) => Wire { oid: Some(oid.as_str()), ..complete },
            Reply::Downloaded(oid, path) => Wire { oid: Some(oid.as_str()), path: Some(path), ..complete },
            Reply::Failed(oid, failure) => Wire { oid: Some(oid), error: Some(failure.into()), ..complete },
        }
    }
}

#[derive(Default, Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(rename = "bytesSoFar", skip_serializing_if = "Option::is_none")]
    bytes_so_far: Option<u64>,
    #[serde(rename = "bytesSinceLast", skip_serializing_if = "Option::is_none")]
    bytes_since_last: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<WireError>,
}

#[derive(Serialize)]
struct WireError {
    code: i32,
    message: String,
}

impl From<&Failure> for WireError {
    fn from(failure: &Failure) -> Self {
        WireError { code: failure.code, message: one_line(&failure.message) }
    }
}

/// The text on one line, with nothing in it that a terminal would obey: it may quote names a stranger chose.
fn one_line(text: &str) -> String {
    let unseen =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() || c.is_whitespace() || unseen(c) { ' ' } else { c }) {
        if c != ' ' || !(line.is_empty() || line.ends_with(' ')) {
            line.push(c);
        }
    }
    let line = line.trim_end();
    match line.char_indices().nth(LONGEST_MESSAGE) {
        _ if line.is_empty() => "it failed, and the agent gave no reason".to_owned(),
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_one_harmless_line() {
        assert_eq!(
            one_line("  first\r\n\tsecond\u{2028}third \u{1b}[31mred\u{7}\u{0}\n"),
            "first second third [31mred"
        );
        assert_eq!(one_line("a\u{202e}b\u{85}c"), "a b c");
        assert_eq!(one_line(" \n "), "it failed, and the agent gave no reason");
        let long = one_line(&"é".repeat(2 * LONGEST_MESSAGE));
        assert_eq!(long.chars().count(), LONGEST_MESSAGE + 2);
    }

    #[test]
    fn an_oid_is_64_lower_case_digits() {
        assert!(Oid::from_str(&"0f".repeat(32)).is_ok());
        for bad in ["", "0f", &"0F".repeat(32), &"0g".repeat(32), &"0f".repeat(33), &"é".repeat(32)] {
            assert!(Oid::from_str(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_oid_of_a_mangled_line_is_found() {
        let oid = "ab".repeat(32);
        let found = |line: &str| Request::read(line.as_bytes()).expect_err("no JSON").oid;
        assert_eq!(found(&format!(r#"{{"event":"upload","oid":"{oid}","size":3,"path":"/x"#)), Some(oid));
        assert_eq!(found(r#"{"event":"upload","oid":"abab"#), None);
        assert_eq!(found(r#"{"event":"upload","#), None);
    }
}

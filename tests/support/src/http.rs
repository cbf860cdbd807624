//! HTTP/1.1 as far as the servers of the tests need it: requests with bytes, one after the other on a connection.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What a client asks.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PUT` and so on.
    pub method: String,
    /// The path with what stands behind `?`, as it was sent.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The bytes: kept by who wants them, without a copy.
    pub body: Arc<Vec<u8>>,
}

/// What a server answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP's number.
    pub status: u16,
    /// Beside the length.
    pub headers: Vec<(String, String)>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer without headers.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, headers: vec![], body: body.into() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The path without what stands behind `?`, and that, decoded.
    pub fn parts(&self) -> (String, Vec<(String, String)>) {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        (decoded(path), query.split('&').filter(|it| !it.is_empty()).map(pair).collect())
    }

    fn read(input: &mut impl BufRead) -> Result<Option<Request>> {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Request { method, path, headers, body: Arc::default() };
        let chunked = request.header("transfer-encoding").is_some_and(|it| it.contains("chunked"));
        let length = request.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        request.body = Arc::new(if chunked { read_chunks(input)? } else { read_bytes(input, length)? });
        Ok(Some(request))
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read_bytes(input: &mut impl Read, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_chunks(input: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        body.extend(read_bytes(input, length)?);
        input.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(body);
        }
    }
}

/// One request to `server`, `http://host:port`, and its answer.
///
/// # Panics
/// If nobody answers.
#[track_caller]
pub fn ask(server: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let host = server.strip_prefix("http://").expect("a server of the tests");
    let mut stream = TcpStream::connect(host).expect("the server runs");
    let length = body.len();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n"
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes()).and_then(|()| stream.write_all(body)).expect("sent");
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line).expect("an answer");
    let status = line.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("a status");
    let mut reply = Reply::new(status, "");
    loop {
        let mut line = String::new();
        input.read_line(&mut line).expect("an answer");
        let Some((name, value)) = line.trim().split_once(':') else { break };
        reply.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    input.read_to_end(&mut reply.body).expect("an answer");
    reply
}

/// Answers every request on a port of this machine, which it returns, until the test ends; `None` hangs up.
///
/// # Panics
/// If no port can be had.
pub fn serve(answer: impl Fn(&Request, u16) -> Option<Reply> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || converse(stream, port, &*answer));
        }
    });
    port
}

/// Requests of one connection. A client that goes away ends it.
fn converse(stream: TcpStream, port: u16, answer: &(impl Fn(&Request, u16) -> Option<Reply> + ?Sized)) {
    let Ok(reading) = stream.try_clone() else { return };
    let (mut input, mut output) = (BufReader::new(reading), stream);
    while let Ok(Some(request)) = Request::read(&mut input) {
        let Some(reply) = answer(&request, port) else { return };
        let mut head = format!("HTTP/1.1 {} .\r\n", reply.status);
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            head += &format!("Content-Length: {}\r\n", reply.body.len());
        }
        head += "\r\n";
        let body = if request.method == "HEAD" { &[][..] } else { &reply.body };
        if output.write_all(head.as_bytes()).and_then(|()| output.write_all(body)).is_err() {
            return;
        }
    }
}

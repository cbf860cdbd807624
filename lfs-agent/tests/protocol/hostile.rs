//! Whatever comes over the pipe, and whatever the agent does: the stream stays in step, and nothing panics.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use lfs_agent::{Broken, Failure, Init, Object, Oid, Transfer, serve};
use proptest::prelude::*;
use serde_json::Value;

use crate::pipe::{Log, Replies, Requests};

/// Does one thing after another, round and round.
struct Moody {
    acts: Vec<Act>,
    turn: usize,
    calls: usize,
    finished: usize,
}

#[derive(Debug, Clone)]
enum Act {
    Succeed(Vec<u64>),
    Fail(String),
    Panic,
}

impl Moody {
    fn new(acts: Vec<Act>) -> Self {
        Moody { acts, turn: 0, calls: 0, finished: 0 }
    }

    fn act(&mut self, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        self.calls += 1;
        self.turn = (self.turn + 1) % self.acts.len();
        match &self.acts[self.turn] {
            Act::Succeed(steps) => steps.iter().for_each(|bytes| progress(*bytes)),
            Act::Fail(message) => return Err(Failure::new(1, message.clone())),
            Act::Panic => std::panic::panic_any(7),
        }
        Ok(PathBuf::from("/a\nb"))
    }
}

impl Transfer for Moody {
    fn init(&mut self, _: &Init) -> Result<(), Failure> {
        Ok(())
    }

    fn upload(&mut self, _: &Object, _: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        self.act(progress).map(drop)
    }

    fn download(&mut self, _: &Object, progress: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        self.act(progress)
    }

    fn finish(&mut self) {
        self.finished += 1;
    }
}

/// The replies to each line that was read, in order.
fn talk(lines: Vec<Vec<u8>>, acts: Vec<Act>) -> Vec<Vec<Value>> {
    let log = Log::default();
    let mut moody = Moody::new(acts);
    serve(Requests::new(lines, &log), Replies::new(&log), &mut moody).expect("the pipe holds");
    assert_eq!(moody.finished, 1);
    let mut talk = Vec::<Vec<Value>>::new();
    for line in log.take() {
        match line.strip_prefix("< ") {
            None => talk.push(Vec::new()),
            Some(reply) => {
                let reply = serde_json::from_str(reply).expect("a reply is JSON");
                talk.last_mut().expect("no reply comes before the first request").push(reply);
            }
        }
    }
    talk
}

/// Reads the replies to one line as git-lfs does (`tq/custom.go`): progress of one object, then one line that ends it.
fn in_step(replies: &[Value]) {
    let (last, before) = replies.split_last().expect("every line but a blank one is answered");
    assert_ne!(last["event"], "progress", "the last reply ends the request");
    for reply in before {
        assert_eq!(reply["event"], "progress");
        assert_eq!(reply["oid"], last["oid"]);
        assert!(reply["bytesSinceLast"].as_i64().is_some_and(|since| i32::try_from(since).is_ok()));
    }
    let size = before.last().map_or(Value::Null, |reply| reply["bytesSoFar"].clone());
    assert!(before.is_empty() || size.as_u64() >= Some(1));
}

fn is_terminate(line: &[u8]) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|line| line.is_object() && line["event"] == "terminate")
}

fn oid() -> impl Strategy<Value = String> {
    "[0-9a-f]{64}"
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        prop::collection::vec(any::<u64>(), 0..4).prop_map(Act::Succeed),
        any::<String>().prop_map(Act::Fail),
        Just(Act::Panic),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 1..4)
}

/// A line without its line feed: noise, JSON of the right shape with wrong values, or a good line cut short or changed.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        oid().prop_map(|oid| format!("{oid:?}")),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        Just("[[[]]]".to_owned()),
    ];
    let event = prop_oneof![
        Just("init"),
        Just("upload"),
        Just("download"),
        Just("progress"),
        Just("complete"),
        Just("")
    ];
    let field = prop_oneof![Just("oid"), Just("size"), Just("path"), Just("operation"), Just("event")];
    let shaped = (event, prop::collection::vec((field, value), 0..5)).prop_map(|(event, fields)| {
        let fields = fields.iter().map(|(name, value)| format!(r#","{name}":{value}"#)).collect::<String>();
        format!(r#"{{"event":"{event}"{fields}}}"#).into_bytes()
    });
    let good = oid().prop_map(|oid| format!(r#"{{"event":"upload","oid":"{oid}","size":5,"path":"/p"}}"#));
    let spoilt = (good, any::<prop::sample::Index>(), any::<Option<u8>>()).prop_map(|(good, at, with)| {
        let mut line = good.into_bytes();
        let at = at.index(line.len());
        match with {
            Some(byte) => line[at] = byte,
            None => line.truncate(at),
        }
        line
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..80), shaped, spoilt].prop_map(|mut line| {
        line.retain(|byte| *byte != b'\n');
        line
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_answered_once(
        begin in prop_oneof![Just(""), Just("upload"), Just("download")],
        mut lines in prop::collection::vec(line(), 0..20),
        acts in acts(),
    ) {
        if !begin.is_empty() {
            lines.insert(0, format!(r#"{{"event":"init","operation":"{begin}"}}"#).into_bytes());
        }
        let end = lines.iter().position(|line| is_terminate(line)).unwrap_or(lines.len());
        let fed = lines.iter().map(|line| [line, b"\n".as_slice()].concat()).collect();
        let talk = talk(fed, acts);
        prop_assert_eq!(talk.len(), (end + 1).min(lines.len()));
        for (line, replies) in lines[..end].iter().zip(&talk) {
            if line.trim_ascii().is_empty() {
                prop_assert!(replies.is_empty());
            } else {
                in_step(replies);
            }
        }
    }

    #[test]
    fn bytes_without_order_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let log = Log::default();
        let mut moody = Moody::new(vec![Act::Panic]);
        serve(bytes.as_slice(), Replies::new(&log), &mut moody).expect("the pipe holds");
        prop_assert_eq!(moody.finished, 1);
    }

    #[test]
    fn every_good_request_is_completed_in_turn(
        upload in any::<bool>(),
        objects in prop::collection::vec((oid(), 0_u64..1 << 40), 1..20),
        acts in acts(),
    ) {
        let way = if upload { "upload" } else { "download" };
        let request = |(oid, size): &(String, u64)| {
            format!(r#"{{"event":"{way}","oid":"{oid}","size":{size},"path":"/p","action":null}}"#)
        };
        let init = format!(r#"{{"event":"init","operation":"{way}","remote":"origin"}}"#);
        let lines = [init].into_iter().chain(objects.iter().map(request)).map(|line| (line + "\n").into_bytes());
        let talk = talk(lines.collect(), acts);
        prop_assert_eq!(talk.len(), 1 + objects.len());
        prop_assert_eq!(&talk[0], &[serde_json::json!({})]);
        for ((oid, size), replies) in objects.iter().zip(&talk[1..]) {
            in_step(replies);
            let (last, progress) = replies.split_last().expect("a reply");
            prop_assert_eq!(&last["event"], "complete");
            prop_assert_eq!(&last["oid"], oid.as_str());
            prop_assert_eq!(progress.is_empty(), *size == 0);
            if last["error"].is_null() && *size > 0 {
                let so_far = progress.last().map(|reply| reply["bytesSoFar"].clone());
                prop_assert_eq!(so_far, Some(Value::from(*size)));
                let sum = progress.iter().filter_map(|reply| reply["bytesSinceLast"].as_u64()).sum::<u64>();
                prop_assert_eq!(sum, *size);
            }
        }
    }

    #[test]
    fn an_oid_is_read_as_it_is_written(text in any::<String>(), oid in oid()) {
        let read = Oid::from_str(&oid).expect("64 digits");
        prop_assert_eq!(read.to_string(), oid);
        prop_assert!(Oid::from_str(&text).is_err());
    }
}

fn upload(oid: &str) -> Vec<u8> {
    format!("{{\"event\":\"upload\",\"oid\":\"{oid}\",\"size\":12,\"path\":\"/p\"}}\n").into_bytes()
}

const INIT: &[u8] = b"{\"event\":\"init\",\"operation\":\"upload\"}\n";

#[test]
fn a_line_too_long_is_answered_once_with_its_oid() {
    let oid = "ab".repeat(32);
    let path = "x".repeat(3 << 20);
    let long =
        format!("{{\"event\":\"upload\",\"oid\":\"{oid}\",\"size\":12,\"path\":\"{path}\"}}\n").into_bytes();
    let log = Log::default();
    let input = [INIT.to_vec(), long, upload(&oid)].concat();
    let mut moody = Moody::new(vec![Act::Succeed(vec![])]);
    serve(input.as_slice(), Replies::new(&log), &mut moody).expect("the pipe holds");
    let replies = log.take();
    assert_eq!(replies.len(), 1 + 1 + 3, "{replies:?}");
    assert!(replies[1].contains(&oid) && replies[1].contains("longer than 1048576 bytes"), "{}", replies[1]);
    assert_eq!(moody.calls, 1);
}

#[test]
fn a_request_cut_off_by_the_end_of_the_input_is_none() {
    let log = Log::default();
    let mut request = upload(&"ab".repeat(32));
    assert_eq!(request.pop(), Some(b'\n'));
    let mut moody = Moody::new(vec![Act::Succeed(vec![])]);
    serve([INIT.to_vec(), request].concat().as_slice(), Replies::new(&log), &mut moody)
        .expect("the pipe holds");
    assert_eq!(log.take(), ["< {}"]);
    assert_eq!((moody.calls, moody.finished), (0, 1));
}

#[test]
fn a_reader_gone_ends_the_session_without_a_panic() {
    // Flush 1 is the reply to init, 2 the first progress, 3 the last progress with the reply.
    for (left, calls) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)] {
        let log = Log::default();
        let input = [INIT.to_vec(), upload(&"ab".repeat(32)), upload(&"cd".repeat(32))].concat();
        let mut moody = Moody::new(vec![Act::Succeed(vec![3])]);
        let broken = serve(input.as_slice(), Replies::breaking_after(left, &log), &mut moody);
        let Err(Broken::Output(error)) = broken else { panic!("{left}: {broken:?}") };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        assert_eq!((moody.calls, moody.finished), (calls, 1), "{left} flushes");
    }
}

#[cfg(unix)]
#[test]
fn a_path_git_lfs_cannot_be_told_fails_its_object() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    struct Latin1;
    impl Transfer for Latin1 {
        fn init(&mut self, _: &Init) -> Result<(), Failure> {
            Ok(())
        }
        fn upload(&mut self, _: &Object, _: &Path, _: &mut dyn FnMut(u64)) -> Result<(), Failure> {
            unreachable!("a download session")
        }
        fn download(&mut self, _: &Object, _: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
            Ok(PathBuf::from(OsString::from_vec(b"/caf\xe9".to_vec())))
        }
        fn finish(&mut self) {}
    }

    let log = Log::default();
    let oid = "ab".repeat(32);
    let input = format!(
        "{{\"event\":\"init\",\"operation\":\"download\"}}\n{{\"event\":\"download\",\"oid\":\"{oid}\",\"size\":12}}\n"
    );
    serve(input.as_bytes(), Replies::new(&log), &mut Latin1).expect("the pipe holds");
    let last = log.take().pop().expect("a reply");
    assert!(last.contains(&oid) && last.contains("takes only paths in UTF-8"), "{last}");
}

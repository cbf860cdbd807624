//! JSON as parsers disagree about it: the cases that "Parsing JSON is a Minefield" (Seriot, 2016) made known, in a table of our own.
//!
//! Each value stands in a request that is good without it. What every parser must take does no harm to the request, what none may take
//! refuses it, what is left open does either; and each time the line is answered once, and the next request is served.

use std::path::{Path, PathBuf};

use lfs_agent::{Failure, Init, Object, Transfer, serve};
use serde_json::Value;

/// Values that every parser takes.
const TAKEN: &[&[u8]] = &[
    b"[]",
    b"[ ]",
    b"{}",
    b"null",
    b"true",
    b"false",
    b"\"\"",
    b"\"a\"",
    b"[null]",
    b"[null, 1, \"1\", {}]",
    b"[[] ]",
    b"[[[[[[[[]]]]]]]]",
    b"0",
    b"-0",
    b"-1",
    b"1",
    b"-123",
    b"123",
    b"20e1",
    b"0e1",
    b"0e+1",
    b"1E22",
    b"1E-2",
    b"1E+2",
    b"1e-2",
    b"1e+2",
    b"123.456e78",
    b"123e65",
    b"123.456789",
    b"-0.000000000000000000000000000000000000000000000000000000000000000000000000000001",
    b"9223372036854775807",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1.0",
    b"[1,null,null,null,2]",
    b" [1]",
    b"[1] ",
    b"\t[\t1\t]\t",
    b"\r{}",
    b"{\"a\":\"b\"}",
    b"{\"a\":\"b\",\"a\":\"b\"}",
    b"{\"a\":\"b\",\"a\":\"c\"}",
    b"{\"\":0}",
    b"{\"a\":[]}",
    b"{\"a\":{\"a\":{}}}",
    br#"{"foo\u0000bar": 42}"#,
    br#"{"title":"\u041f\u043e\u043b"}"#,
    b"{\"min\": -1.0e+28, \"max\": 1.0e+28}",
    br#""\u0060\u012a\u12AB""#,
    br#""\uD801\udc37""#,
    br#""\ud83d\ude39\ud83d\udc8d""#,
    br#""\"\\\/\b\f\n\r\t""#,
    br#""\\u0000""#,
    br#""\"""#,
    br#""\\a""#,
    br#""\\n""#,
    br#""\u0012""#,
    br#""\uFFFF""#,
    br#""\uDBFF\uDFFF""#,
    br#""new\u00A0line""#,
    b"\"\xf4\x8f\xbf\xbf\"",
    b"\"\xef\xbf\xbf\"",
    br#""\u0000""#,
    br#""\u002c""#,
    b"\"\xcf\x80\"",
    b"\"\xf0\x9b\xbf\xbf\"",
    b"\"asd \"",
    br#""\uD834\uDd1e""#,
    br#""\u0821""#,
    br#""\u0123""#,
    b"\"\xe2\x80\xa8\"",
    b"\"\xe2\x80\xa9\"",
    b"\"\x7f\"",
    br#""\u0061\u30af\u30EA\u30b9""#,
    br#""new\u000Aline""#,
    b"\"\xc2\x80\"",
    b"\"\xe2\x8d\x82\xe3\x88\xb4\"",
    br#""\u005C""#,
    br#""\u0022""#,
    br#""\u200B""#,
    br#""\u2064""#,
    br#""\uFDD0""#,
    br#""\uFFFE""#,
    br#""\uD83F\uDFFE""#,
    b"\"\xe2\x82\xac\xf0\x9d\x84\x9e\"",
    b"\"aa\x7faa\"",
    b"\"a/*b*/c/*d//e\"",
    b"\"a//b\"",
];

/// Values that no parser may take.
const REFUSED: &[&[u8]] = &[
    b"",
    b" ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[1 true]",
    b"[a\xe5]",
    b"[1:2]",
    b"[,1]",
    b"[1,,2]",
    b"[1,]",
    b"[1,,]",
    b"[\"\",]",
    b"[\"x\"",
    b"[x",
    b"[3[4]]",
    b"[\xff]",
    b"[ , \"\"]",
    b"[-]",
    b"[,]",
    b"[*]",
    b"[1,",
    b"[\"a\"",
    b"[{}",
    b"[1]x",
    b"[\"\"],",
    b"[][]",
    b"[\x0b\"a\"]",
    b"[\x0c]",
    b"[fals]",
    b"[nul]",
    b"[tru]",
    b"nul",
    b"tru",
    b"fals",
    b"True",
    b"NULL",
    b"undefined",
    b"None",
    b"123\x00",
    b"*",
    b"aaaa",
    b"<.>",
    b"<null>",
    b"++1234",
    b"+1",
    b"+Inf",
    b"-01",
    b"-1.0.",
    b"-2.",
    b"-.123",
    b"-NaN",
    b".-1",
    b".2e-3",
    b"0.1.2",
    b"0.3e+",
    b"0.3e",
    b"0.e1",
    b"0E+",
    b"0E",
    b"0e+",
    b"0e",
    b"1.0e+",
    b"1.0e-",
    b"1.0e",
    b"1 000.0",
    b"1eE2",
    b"2.e+3",
    b"2.e-3",
    b"2.e3",
    b"9.e+",
    b"Inf",
    b"NaN",
    b"\xef\xbc\x91",
    b"1+2",
    b"0x1",
    b"0x42",
    b"Infinity",
    b"0e+-1",
    b"-123.123foo",
    b"123\xe5",
    b"1e1\xe5",
    b"0\xe5",
    b"-Infinity",
    b"-foo",
    b"- 1",
    b"-012",
    b"-1x",
    b"1ea",
    b"1.",
    b".123",
    b"1.2a-3",
    b"1.8011670033376514H-308",
    b"012",
    b"00",
    b"-00.0",
    b"00e0",
    b"1_000",
    b"{[:\"x\"}",
    b"{\"x\", null}",
    b"{\"x\"::\"b\"}",
    b"{\"a\":\"a\" 123}",
    b"{key: 'value'}",
    b"{\"\xb9\":\"0\",}",
    b"{\"a\" b}",
    b"{:\"b\"}",
    b"{\"a\" \"b\"}",
    b"{\"a\":",
    b"{\"a\"",
    b"{1:1}",
    b"{9999E9999:1}",
    b"{null:null,null:null}",
    b"{\"id\":0,,,,,}",
    b"{'a':0}",
    b"{\"id\":0,}",
    b"{\"a\":\"b\"}/**/",
    b"{\"a\":\"b\"}/**//",
    b"{\"a\":\"b\"}//",
    b"{\"a\":\"b\"}/",
    b"{\"a\":\"b\",,\"c\":\"d\"}",
    b"{a: \"b\"}",
    b"{\"a\":\"a",
    b"{ \"foo\" : \"bar\", \"a\" }",
    b"{\"a\":\"b\"}#",
    br#""\uD800\""#,
    br#""\uD800\u""#,
    br#""\uD800\u1""#,
    br#""\uD800\u1x""#,
    b"\xc3\xa9",
    br#""\x00""#,
    br#""\\\""#,
    b"\"\\\t\"",
    b"\"\\\xf0\x9f\x8c\x80\"",
    br#""\""#,
    br#""\u00A""#,
    br#""\uD834\uDd""#,
    br#""\uD800\uD800\x""#,
    b"\"\\u\xe5\"",
    br#""\a""#,
    br#""\uqqqq""#,
    b"\"\\\xe5\"",
    br"\u0020asd",
    br"\n",
    b"\"",
    b"'single'",
    b"abc",
    b"\"\\",
    b"\"a\x00a\"",
    b"\"\x1f\"",
    b"\"\t\"",
    br#""\U0041""#,
    b"\"x",
    b"\"\"x",
    b"<\xe2\x81\xa0>",
    b"[<null>]",
    b"[1]]",
    b"[\"asd]",
    b"[True]",
    b"1]",
    b"{\"x\": true,",
    b"[][",
    b"2@",
    b"{}}",
    b"{\"\":",
    b"{\"a\":/*comment*/\"b\"}",
    b"{\"a\": true} \"x\"",
    b"['",
    b"[,",
    b"[{",
    b"[\"a",
    b"{]",
    b"{,",
    b"{[",
    b"{\"a",
    b"{'a'",
    b"\\u000A\"\"",
    b"[1",
    b"[false, nul",
    b"[true, fals",
    b"\xe5",
    b"[\xe2\x81\xa0]",
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbf{}",
    b"\xe2\x80\xa8",
    b"\x0c",
    b"[\x0c1]",
    br#""\018""#,
];

/// Values that a parser may take or not.
const OPEN: &[&[u8]] = &[
    b"123.456e-789",
    b"0.4e00669999999999999999999999999999",
    b"-1e+9999",
    b"1.5e+9999",
    b"-123123123123123123123123123123",
    b"100000000000000000000",
    b"-237462374673276894279832749832423479823246327846",
    br#"{"\uDFAA":0}"#,
    br#""\uDADA""#,
    br#""\uD888\u1234""#,
    b"\"\xe6\x97\xa5\xd1\x88\xfa\"",
    br#""\uD800\n""#,
    br#""\uDd1ea""#,
    br#""\uD800\uD800\n""#,
    br#""\ud800""#,
    br#""\ud800abc""#,
    b"\"\xff\"",
    br#""\uDd1e\uD834""#,
    b"\"\xe9\"",
    br#""\uDFAA""#,
    b"\"\x81\"",
    b"\"\xf4\xbf\xbf\xbf\"",
    b"\"\xc0\xaf\"",
    b"\"\xfc\x83\xbf\xbf\xbf\xbf\"",
    b"\"\xfc\x80\x80\x80\x80\x80\"",
    b"\"\xe0\xff\"",
    b"\"\xed\xa0\x80\"",
];

struct Willing(usize);

impl Transfer for Willing {
    fn init(&mut self, _: &Init) -> Result<(), Failure> {
        Ok(())
    }

    fn upload(&mut self, _: &Object, _: &Path, _: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        unreachable!("a download session")
    }

    fn download(&mut self, _: &Object, _: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        self.0 += 1;
        Ok(PathBuf::from("/there"))
    }

    fn finish(&mut self) {}
}

const INIT: &[u8] = b"{\"event\":\"init\",\"operation\":\"download\"}\n";

/// What becomes of one line between others: whether its request was served.
fn served(line: &[u8]) -> bool {
    let good = format!("{{\"event\":\"download\",\"oid\":\"{}\",\"size\":0}}\n", "cd".repeat(32));
    let (mut said, mut agent) = (Vec::new(), Willing(0));
    serve([INIT, line, b"\n", good.as_bytes()].concat().as_slice(), &mut said, &mut agent)
        .expect("the pipe holds");
    let said = String::from_utf8(said).expect("UTF-8");
    let replies: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ends: Vec<&Value> = replies.iter().filter(|reply| reply["event"] != "progress").collect();
    let shown = String::from_utf8_lossy(line);
    assert_eq!(ends.len(), 3, "{shown}: {said}");
    assert!(
        ends[2]["oid"] == "cd".repeat(32) && ends[2]["error"].is_null(),
        "the next is served after {shown}: {said}"
    );
    let was = ends[1]["error"].is_null();
    assert_eq!(agent.0, 1 + usize::from(was), "{shown}");
    was
}

/// The value in a request that is good without it: as a value behind, as one before, and in a list.
fn requests(value: &[u8]) -> [Vec<u8>; 3] {
    let oid = format!("\"oid\":\"{}\",\"size\":0", "ab".repeat(32)).into_bytes();
    [
        [b"{\"event\":\"download\",", &oid[..], b",\"more\":", value, b"}"].concat(),
        [b"{\"more\":", value, b",\"event\":\"download\",", &oid, b"}"].concat(),
        [b"{\"event\":\"download\",\"more\":[1,", value, b"],", &oid, b"}"].concat(),
    ]
}

#[test]
fn values_are_taken_and_refused_as_the_minefield_has_it() {
    assert!(TAKEN.len() + REFUSED.len() + OPEN.len() >= 280, "{}", TAKEN.len() + REFUSED.len() + OPEN.len());
    for value in TAKEN {
        assert!(requests(value).iter().all(|line| served(line)), "{}", String::from_utf8_lossy(value));
    }
    for value in REFUSED {
        for line in requests(value) {
            // A comment or a second value may close what was opened, but never makes a request.
            assert!(!served(&line), "{}", String::from_utf8_lossy(&line));
        }
    }
    for line in OPEN.iter().flat_map(|value| requests(value)) {
        served(&line);
    }
}

#[test]
fn a_line_is_an_object_and_nothing_else() {
    for value in TAKEN.iter().chain(REFUSED).filter(|value| !value.trim_ascii().is_empty()) {
        assert!(!served(value), "{}", String::from_utf8_lossy(value));
    }
    for depth in [100, 127, 128, 10_000, 300_000] {
        for opening in [&b"["[..], b"{\"a\":"] {
            let deep = opening.repeat(depth);
            served(&deep);
            served(
                &requests(&[&deep[..], b"1", &b"]".repeat(if opening == b"[" { depth } else { 0 })].concat())
                    [0],
            );
        }
    }
    for bom in [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\x00"] {
        assert!(!served(&[bom, &requests(b"1")[0]].concat()));
    }
}

#[test]
fn of_keys_that_come_twice_one_counts_and_the_stream_stays_in_step() {
    let (ab, ef) = ("ab".repeat(32), "ef".repeat(32));
    for line in [
        format!(r#"{{"event":"download","oid":"{ab}","oid":"{ef}","size":0}}"#),
        format!(r#"{{"event":"download","event":"terminated","oid":"{ab}","size":0}}"#),
        format!(r#"{{"event":"download","oid":"{ab}","size":0,"size":-1}}"#),
        format!(r#"{{"event":"download","oid":"{ab}","size":1e2}}"#),
        format!(r#"{{"event":"download","oid":"{ab}","size":18446744073709551616}}"#),
        format!(r#"{{"\u0065vent":"download","oid":"{ab}","size":0}}"#),
    ] {
        served(line.as_bytes());
    }
}

//! Paths of datasets, which are any bytes, as people and programs read them.
//!
//! People see a path as git shows it: as it is, or in double quotes with escapes as in C where it holds a quote, a backslash, a
//! control character or bytes that are no UTF-8. In JSON `path` is text, and where the path is no UTF-8 `path_hex` beside it has
//! its exact bytes. With `-z` a path is its bytes and ends with a zero byte.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::builder::{OsStringValueParser, TypedValueParser};
use serde_json::{Map, Value};

use crate::git::Selection;
use crate::ops::bundle::tidy;

/// What is said of a pattern that is none.
const NO_PATTERN: &str = "it is no pattern; without the option everything is selected";

/// A path as people read it.
pub fn shown(path: &[u8]) -> String {
    let mut quoted = String::with_capacity(path.len() + 2);
    for chunk in path.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => quoted.extend(['\\', char]),
                '\n' => quoted.push_str("\\n"),
                '\t' => quoted.push_str("\\t"),
                char if char.is_control() => octal(&mut quoted, char.to_string().as_bytes()),
                char => quoted.push(char),
            }
        }
        octal(&mut quoted, chunk.invalid());
    }
    if quoted.as_bytes() == path { quoted } else { format!("\"{quoted}\"") }
}

fn octal(to: &mut String, bytes: &[u8]) {
    bytes.iter().for_each(|byte| to.push_str(&format!("\\{byte:03o}")));
}

/// Puts a path into an object, as `name` and, where it is no UTF-8, as `name_hex` too.
pub fn put(object: &mut Map<String, Value>, name: &str, path: &[u8]) {
    object.insert(name.to_owned(), String::from_utf8_lossy(path).into());
    if let Some(hex) = hex(path) {
        object.insert(format!("{name}_hex"), hex.into());
    }
}

/// All bytes of a path in hexadecimal, where it is no UTF-8.
pub fn hex(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).is_ok();
    (!text).then(|| path.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A list of paths as text.
pub fn texts(paths: &[&[u8]]) -> Vec<String> {
    paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

/// The list beside it, with their bytes in hexadecimal where they are no UTF-8; `None` where all of them are.
pub fn hexes(paths: &[&[u8]]) -> Option<Vec<Option<String>>> {
    let hexes: Vec<Option<String>> = paths.iter().map(|path| hex(path)).collect();
    hexes.iter().any(Option::is_some).then_some(hexes)
}

/// A path as the user typed it.
pub fn typed(path: &OsStr) -> Vec<u8> {
    tidy(path.as_bytes()).to_vec()
}

/// A pattern as the user typed it: an empty one would select everything.
pub fn pattern(typed: &str) -> Result<String, String> {
    match Selection::is_pattern(typed.as_bytes()) {
        true => Ok(typed.to_owned()),
        false => Err(NO_PATTERN.to_owned()),
    }
}

/// The same of any bytes.
pub fn any_pattern() -> impl TypedValueParser<Value = OsString> {
    let checked = |typed: OsString| match Selection::is_pattern(typed.as_bytes()) {
        true => Ok(typed),
        false => Err(NO_PATTERN),
    };
    OsStringValueParser::new().try_map(checked)
}

/// A path that was typed for `--paths`: an empty one would be the whole version.
pub fn any_path() -> impl TypedValueParser<Value = OsString> {
    let checked = |typed: OsString| match typed.is_empty() {
        false => Ok(typed),
        true => Err("it is empty; without the option everything is selected"),
    };
    OsStringValueParser::new().try_map(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_shown_on_one_line_and_kept_exactly() {
        for (path, wanted) in [
            (&b"a b/\xc3\xa4"[..], "a b/\u{e4}"),
            (b"a\nb", "\"a\\nb\""),
            (b"\xff\x1b[", "\"\\377\\033[\""),
            (b"say \"\\\"", "\"say \\\"\\\\\\\"\""),
        ] {
            assert_eq!(shown(path), wanted);
        }
        let mut object = Map::new();
        put(&mut object, "path", b"a");
        put(&mut object, "from", b"\xff");
        let expected = serde_json::json!({"path": "a", "from": "\u{fffd}", "from_hex": "ff"});
        assert_eq!(Value::Object(object), expected);
    }
}

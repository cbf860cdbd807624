//! Paths of datasets, which are any bytes, as people and programs read them.
//!
//! People see a path as git shows it: as it is, or in double quotes with escapes as in C where it holds a quote, a backslash, a
//! control character or bytes that are no UTF-8. In JSON `path` is text, and where the path is no UTF-8 `path_hex` beside it has
//! its exact bytes. With `-z` a path is its bytes and ends with a zero byte.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Map, Value};

use crate::ops::bundle::tidy;

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
    if std::str::from_utf8(path).is_err() {
        let hex: String = path.iter().map(|byte| format!("{byte:02x}")).collect();
        object.insert(format!("{name}_hex"), hex.into());
    }
}

/// A path as the user typed it.
pub fn typed(path: &OsStr) -> Vec<u8> {
    tidy(path.as_bytes()).to_vec()
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

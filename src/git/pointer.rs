//! LFS pointers: the small text that git holds in place of a file.
//!
//! Reading follows git-lfs (spec: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>, leniency as its
//! `lfs/pointer.go` has it and its `ls-files` shows): what it takes for a pointer is one here, and nothing else. Writing
//! has one form, the canonical one, so the git blob id of a pointer follows from oid and size.

use std::collections::BTreeSet;

use gix::ObjectId;

use crate::id::Oid;

/// A pointer is shorter than this, as a blob, bytes.
pub const MAX_POINTER_BYTES: u64 = 1024;

/// The version that is written, then those that are read besides: the two names the format had before its release.
const VERSIONS: [&str; 3] =
    ["https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1", "http://git-media.io/v/2"];

/// Bytes that are not a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an LFS pointer: {0}")]
pub struct NotAPointer(&'static str);

/// What a pointer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pointer {
    /// SHA-256 of the file.
    pub oid: Oid,
    /// Length of the file, bytes; below 2^63.
    pub size: u64,
}

impl Pointer {
    /// The pointer in a blob.
    pub fn parse(blob: &[u8]) -> Result<Pointer, NotAPointer> {
        if blob.len() as u64 >= MAX_POINTER_BYTES {
            return Err(NotAPointer("too long"));
        }
        let text = std::str::from_utf8(blob).map_err(|_| NotAPointer("not text"))?;
        let mut lines = text.trim().split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut extensions = BTreeSet::new();
        let mut next = |key: &str| required(&mut lines, key, &mut extensions);

        if !VERSIONS.contains(&next("version")?) {
            return Err(NotAPointer("an unknown version"));
        }
        let oid = oid(next("oid")?)?;
        let size = size(next("size")?)?;
        match lines.find(|line| !line.is_empty()) {
            None => Ok(Pointer { oid, size }),
            Some(_) => Err(NotAPointer("a line too many")),
        }
    }

    /// The one way this pointer is written.
    pub fn canonical(&self) -> Vec<u8> {
        format!("version {}\noid sha256:{}\nsize {}\n", VERSIONS[0], self.oid, self.size).into_bytes()
    }

    /// The id of the git blob that holds the canonical pointer.
    pub fn blob_id(&self) -> ObjectId {
        gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, &self.canonical())
            .expect("two hundred bytes of text are no SHA-1 collision attack")
    }
}

/// The value of the next line that is neither empty nor an extension; it must be that of `key`.
fn required<'t>(
    lines: &mut impl Iterator<Item = &'t str>,
    key: &str,
    extensions: &mut BTreeSet<u8>,
) -> Result<&'t str, NotAPointer> {
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(' ').ok_or(NotAPointer("a line without a value"))?;
        if name == key {
            return Ok(value);
        }
        let priority = extension_priority(name).ok_or(NotAPointer("a line out of place"))?;
        oid(value)?;
        if !extensions.insert(priority) {
            return Err(NotAPointer("two extensions of one priority"));
        }
    }
    Err(NotAPointer("a line is missing"))
}

/// The digit in `ext-<digit>-<name>`.
fn extension_priority(name: &str) -> Option<u8> {
    match name.strip_prefix("ext-")?.as_bytes() {
        [priority @ b'0'..=b'9', b'-', first, ..] if first.is_ascii_alphanumeric() || *first == b'_' => {
            Some(*priority)
        }
        _ => None,
    }
}

fn oid(value: &str) -> Result<Oid, NotAPointer> {
    let hex = value.strip_prefix("sha256:").ok_or(NotAPointer("an unknown kind of oid"))?;
    hex.parse().map_err(|_| NotAPointer("a malformed oid"))
}

fn size(value: &str) -> Result<u64, NotAPointer> {
    // git-lfs counts in signed 64 bits.
    value.parse().ok().filter(|size| i64::try_from(*size).is_ok()).ok_or(NotAPointer("a malformed size"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    const V1: &str = "version https://git-lfs.github.com/spec/v1\n";

    /// Names and contents that git-lfs takes for pointers, and those it does not.
    fn specimens() -> Vec<(&'static str, String)> {
        let oid = Oid::from_bytes([0x5a; 32]);
        let good = format!("{V1}oid sha256:{oid}\nsize 12345\n");
        let padded = |length: usize| format!("{good}{}", "\n".repeat(length - good.len()));
        let ext = |name: &str| format!("ext-{name} sha256:{oid}\n");
        let rest = format!("oid sha256:{oid}\nsize 5\n");
        let sized = |size: &str| format!("{V1}oid sha256:{oid}\nsize {size}\n");
        vec![
            ("canonical", good.clone()),
            ("no-newline", good.trim_end().to_owned()),
            ("crlf", good.replace('\n', "\r\n")),
            ("blank-lines", format!("\n\n{}\n", good.replace('\n', "\n\n"))),
            ("padded-1023", padded(1023)),
            ("padded-1024", padded(1024)),
            ("alpha", good.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2")),
            ("hawser", good.replace("git-lfs", "hawser")),
            ("v2", good.replace("/v1", "/v2")),
            ("two-spaces", good.replace("version ", "version  ")),
            ("trailing-space", good.replace("spec/v1", "spec/v1 ")),
            ("trailing-space-at-the-end", good.replace("12345\n", "12345 \n")),
            ("ext-before", format!("{V1}{}{rest}", ext("0-foo"))),
            ("ext-amid", format!("{V1}oid sha256:{oid}\n{}size 5\n", ext("0-foo"))),
            ("ext-after", format!("{good}{}", ext("0-foo"))),
            ("ext-two", format!("{V1}{}{}{rest}", ext("1-foo"), ext("0-bar"))),
            ("ext-same-priority", format!("{V1}{}{}{rest}", ext("0-foo"), ext("0-bar"))),
            ("ext-no-digit", format!("{V1}{}{rest}", ext("x-foo"))),
            ("ext-bad-oid", format!("{V1}ext-0-foo sha256:zz\n{rest}")),
            ("upper-case", good.replace("5a", "5A")),
            ("long-oid", good.replace("\nsize", "0\nsize")),
            ("sha512", good.replace("sha256", "sha512")),
            ("order", format!("{V1}size 5\noid sha256:{oid}\n")),
            ("extra", format!("{good}more lines\n")),
            ("no-size", format!("{V1}oid sha256:{oid}\n")),
            ("size-plus", sized("+5")),
            ("size-minus", sized("-5")),
            ("size-zeros", sized("007")),
            ("size-largest", sized("9223372036854775807")),
            ("size-too-large", sized("9223372036854775808")),
            ("size-text", sized("five")),
            ("text", "hello\n".to_owned()),
        ]
    }

    #[test]
    fn a_pointer_is_what_git_lfs_takes_for_one() {
        let scratch = Scratch::new();
        let specimens = specimens();
        let files: Vec<_> = specimens.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        scratch.commit(&files);
        let listed =
            scratch.git.run(["lfs", "ls-files", "--name-only"]).expect("this test needs git-lfs on PATH");
        let listed = String::from_utf8(listed).unwrap();
        let theirs: BTreeSet<&str> = listed.lines().collect();
        let ours: BTreeSet<&str> = specimens
            .iter()
            .filter(|(_, text)| Pointer::parse(text.as_bytes()).is_ok())
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn what_is_written_is_read_and_has_the_blob_id_that_git_gives_it() {
        let scratch = Scratch::new();
        for size in [1, 12_345, i64::MAX as u64] {
            let pointer = Pointer { oid: Oid::from_bytes([0xab; 32]), size };
            assert_eq!(Pointer::parse(&pointer.canonical()), Ok(pointer));
            let id = scratch.git.run_with_stdin(["hash-object", "--stdin"], &pointer.canonical()).unwrap();
            assert_eq!(pointer.blob_id().to_string(), String::from_utf8(id).unwrap().trim());
        }
    }

    #[test]
    fn no_prefix_of_a_pointer_is_another() {
        let pointer = Pointer { oid: Oid::from_bytes([1; 32]), size: 7 };
        let text = pointer.canonical();
        for end in 0..text.len() - 1 {
            assert!(Pointer::parse(&text[..end]).is_err(), "{end}");
        }
        assert!(Pointer::parse(&[0xff; 100]).is_err());
    }
}

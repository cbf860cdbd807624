//! What git-lfs said of the objects that it could not fetch.
//!
//! It exits with one code for all reasons, and an object that nobody has any more is another thing than a server that does not
//! answer today. So its words are read; only those that name an object and say that the server has it not, or not right, count
//! as that: <https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>. All others are for the user to read.

use std::collections::HashSet;

use crate::id::Oid;

/// Codes by which a server says that it has no such object: not found, gone, not valid.
const ABSENT: [&str; 3] = ["[404]", "[410]", "[422]"];

/// What was said about a fetch.
#[derive(Debug, Default)]
pub struct Verdict {
    nowhere: bool,
    absent: HashSet<Oid>,
    first: Option<String>,
}

impl Verdict {
    /// There is no server that could be asked.
    pub fn of_nobody() -> Verdict {
        Verdict { nowhere: true, ..Verdict::default() }
    }

    /// One line of git-lfs's stderr.
    pub fn hear(&mut self, line: &str) {
        let line = line.trim();
        if let Some(oid) = absent(line) {
            self.absent.insert(oid);
        } else if self.first.is_none() && is_complaint(line) {
            self.first = Some(line.to_owned());
        }
    }

    /// Whether the server, had it been asked, does not have the object.
    pub fn is_absent(&self, oid: &Oid) -> bool {
        self.nowhere || self.absent.contains(oid)
    }

    /// The first thing git-lfs complained about, other than absent objects.
    pub fn complaint(&self) -> Option<&str> {
        self.first.as_deref()
    }
}

/// Not a meter, and not the summary that follows every failure.
fn is_complaint(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("error: failed to fetch some objects") && !is_news(line)
}

fn is_news(line: &str) -> bool {
    ["Fetching ", "fetch: ", "Ignoring global include", "Downloading LFS objects"]
        .iter()
        .any(|start| line.starts_with(start))
}

/// The object that a line says the server does not have, or has not as it should be.
fn absent(line: &str) -> Option<Oid> {
    // What a server says of one object in its answer to a batch.
    if let Some((oid, said)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        return ABSENT.iter().any(|code| said.contains(code)).then(|| oid.parse().ok())?;
    }
    // A directory, read by git-lfs itself.
    if let Some((oid, said)) = line.strip_prefix("error transferring \"").and_then(|it| it.split_once('"')) {
        return said.contains("remote missing object").then(|| oid.parse().ok())?;
    }
    // Other bytes than it was to have.
    if let Some((oid, _)) = line.strip_prefix("expected OID ").and_then(|rest| rest.split_once(", got ")) {
        return oid.parse().ok();
    }
    // The place the server named for it answers that there is nothing; the object is the last part of that URL.
    let url = line.split_once("object not found: ")?.1.split_whitespace().next()?;
    url.rsplit('/').next()?.split('?').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_about_the_object_itself_say_that_it_is_gone() {
        let oid = "b1d83fd1872802b1376b44983d95eba4a75abf0a43c0ed3fbdbb0030c5a87387";
        let url = format!("http://127.0.0.1:9/objects/{oid}");
        for (line, gone) in [
            (format!("[{oid}] Object does not exist: [404] Object does not exist"), true),
            (format!("[{oid}] Object does not exist: [410] Object does not exist"), true),
            (format!("[{oid}] try again: [500] try again"), false),
            (format!("[{oid}] you may not: [403] you may not"), false),
            (format!("error transferring \"{oid}\": [0] remote missing object {oid}"), true),
            (format!("error transferring \"{oid}\": [2] permission denied"), false),
            (format!("expected OID {oid}, got {} after 5 bytes written", "0".repeat(64)), true),
            (format!("LFS: Repository or object not found: {url}?sign=x"), true),
            (format!("LFS: Get \"{url}\": dial tcp 127.0.0.1:9: connect: connection refused"), false),
            (format!("Fatal error: Server error: {url}"), false),
            ("batch response: Fatal error: down for maintenance".to_owned(), false),
        ] {
            let mut verdict = Verdict::default();
            verdict.hear("Fetching all references...");
            verdict.hear(&line);
            verdict.hear("error: failed to fetch some objects from 'http://127.0.0.1:9/lfs'");
            assert_eq!(verdict.is_absent(&oid.parse().unwrap()), gone, "{line}");
            assert_eq!(verdict.complaint(), (!gone).then_some(line.as_str()));
        }
    }
}

//! What lies below a path of a bundle, one level at a time: subtrees are jumped over, not read.

use crate::bundle::{Bundle, Content, Step};
use crate::table::TableError;

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The whole path.
    pub path: Vec<u8>,
    /// What lies there; `None` for a directory.
    pub content: Option<Content>,
}

/// What lies directly in the directory `path`, or at it if it is none, in the order of paths; nothing if it is not there.
/// Reads the pages in which a child begins.
pub fn children(bundle: &Bundle<'_>, path: &[u8]) -> Result<Vec<Listed>, TableError> {
    let folder = if path.is_empty() { vec![] } else { [path, b"/"].concat() };
    let mut found = Vec::new();
    bundle.walk(path, |entry| {
        if entry.path == path {
            found.push(Listed { path: entry.path, content: Some(entry.content) });
            return Step::Stop;
        }
        let Some(rest) = entry.path.strip_prefix(&folder[..]) else {
            // `a-b` stands between `a` and `a/b`.
            return if entry.path < folder { Step::Jump(folder.clone()) } else { Step::Stop };
        };
        match rest.iter().position(|byte| *byte == b'/') {
            None => {
                found.push(Listed { path: entry.path, content: Some(entry.content) });
                Step::Next
            }
            Some(end) => {
                let child = entry.path[..folder.len() + end].to_vec();
                // The first path that is not below it: `0` comes after `/`.
                let beyond = [&child[..], b"0"].concat();
                found.push(Listed { path: child, content: None });
                Step::Jump(beyond)
            }
        }
    })?;
    Ok(found)
}

/// A path as a user names one, as a bundle has it: without `./` before it and slashes behind it.
pub fn tidy(path: &[u8]) -> &[u8] {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    if path == b"." { b"" } else { path }
}

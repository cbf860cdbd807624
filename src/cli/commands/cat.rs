//! `git datamon cat`: one file of a version on stdout.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

use clap::Args;

use crate::bundle::Content;
use crate::catalog::{Catalog, CatalogError};
use crate::cli::Context;
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::paths::{shown, typed};
use crate::git::Git;
use crate::ops::bundle::{again, children, open, wanted_at};
use crate::ops::fetch::{Source, Wanted, fetch};
use crate::ops::readlog::Read;
use crate::progress::Silent;

/// Write one file of a version to stdout
///
/// The file is written into the temporary directory (TMPDIR) first and verified there: not one byte of a damaged file is given,
/// and a file of any size needs little memory, but as much room there. Of a link its target is written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon cat HEAD:maps/legend.csv\n  \
    git datamon cat label:stable:maps/legend.csv --store /srv/data --repo weather")]
pub struct CatArgs {
    /// The version and the path in it.
    #[arg(value_name = "VERSION:PATH")]
    what: OsString,

    #[command(flatten)]
    dataset: DatasetArgs,
}

/// The version and the path; `label:`, `bundle:`, `commit:` and `tree:` belong to the version.
fn split(what: &OsStr) -> Option<(&str, Vec<u8>)> {
    let bytes = what.as_bytes();
    let prefixes = [&b"label:"[..], b"bundle:", b"commit:", b"tree:"];
    let from = prefixes.iter().find(|it| bytes.starts_with(it)).map_or(0, |it| it.len());
    let colon = from + bytes[from..].iter().position(|byte| *byte == b':')?;
    let path = typed(OsStr::from_bytes(&bytes[colon + 1..]));
    Some((std::str::from_utf8(&bytes[..colon]).ok()?, path))
}

/// Finds and writes.
pub fn run(args: &CatArgs, context: &Context) -> Result<(), CommandError> {
    let Some((version, path)) = split(&args.what) else {
        let message = format!("{} names no file of a version", shown(args.what.as_bytes()));
        return Err(CommandError::new(Kind::Usage, message).hint("git datamon cat <version>:<path>"));
    };
    let mut dataset = args.dataset.open(context)?;
    let id = dataset.find(version)?;
    let bundle = open(&dataset.catalog, id)?;
    let found = bundle.find(&path).map_err(CatalogError::from)?;
    match found.map(|entry| entry.content) {
        Some(Content::Link { target }) => context.ui.raw(&target),
        Some(file @ Content::File { .. }) => {
            give(&dataset.catalog, &file, context)?;
            let read = Read::new("cat", dataset.repo, 1, file.size()).of_bundle(id);
            read.note_at(&dataset.catalog, &Git::at(&context.dir));
            Ok(())
        }
        Some(Content::Module { commit }) => {
            let message = format!("{} is a submodule at {commit}, no file", shown(&path));
            Err(CommandError::new(Kind::NotFound, message))
        }
        None => {
            let some = path.is_empty() || !children(&bundle, &path).map_err(CatalogError::from)?.is_empty();
            let what = if some { "is a directory" } else { "is not in it" };
            let message = format!("{version} has no file {}: it {what}", shown(&path));
            Err(CommandError::new(Kind::NotFound, message)
                .hint(format!("what it has: git datamon ls {version}")))
        }
    }
}

fn give(catalog: &Catalog, file: &Content, context: &Context) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(Kind::Failed, format!("cannot write a temporary file: {error}"))
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let source = Source::of(catalog);
    let get = |wanted: &Wanted| {
        let outcome = Mutex::new(Ok(()));
        fetch(&source, std::slice::from_ref(wanted), &Silent, &|_, result| {
            *outcome.lock().expect("no holder of this lock panics") = result;
        });
        outcome.into_inner().expect("no holder of this lock panics")
    };
    let mut wanted = wanted_at(catalog, file, folder.path().join("file"))?.expect("it is a file");
    if let Err(error) = get(&wanted) {
        let Some(other) = again(catalog, &wanted)? else { return Err(error.into()) };
        wanted = Wanted { path: folder.path().join("again"), ..other };
        get(&wanted)?;
    }
    let mut verified = File::open(&wanted.path).map_err(failed)?;
    context.ui.copy(&mut verified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_ends_at_its_colon() {
        let split =
            |what: &'static str| split(OsStr::new(what)).map(|(a, b)| (a, String::from_utf8(b).unwrap()));
        let parts = |version: &'static str, path: &str| Some((version, path.to_owned()));
        assert_eq!(split("HEAD:a:b"), parts("HEAD", "a:b"));
        assert_eq!(split("label:x:./a/"), parts("label:x", "a"));
        assert_eq!(split("latest:"), parts("latest", ""));
        assert_eq!((split("HEAD"), split("label:x")), (None, None));
    }
}

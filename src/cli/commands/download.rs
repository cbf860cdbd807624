//! `git datamon download`: the files of a version, without git.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::bundle::NameRules;
use crate::cli::Context;
use crate::cli::bar::{Bar, bytes};
use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::{CommandError, Kind};
use crate::cli::paths::{self, shown, typed};
use crate::git::{Git, Selection};
use crate::ops::bundle::{Export, ExportError, export, open};
use crate::ops::readlog::Read;

/// Paths named in an error.
const SHOWN: usize = 10;

/// Write the files of a version into a directory, without git
///
/// Reads the parts of the version that are asked for, verifies every file, and gives it its name when it is whole. Files and links that
/// are there already as they should be are kept, so a download that failed can be run again; anything else that lies there is
/// left alone, and told, unless you say --force. Nothing is written outside the directory or through a link in it. A submodule
/// becomes an empty directory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon download label:stable --dest out --store /srv/data --repo weather\n  \
    git datamon download latest --dest out --paths maps/2024 --filter '*.tif'")]
pub struct DownloadArgs {
    /// The version: a bundle id, a label, `latest`, a commit, …; as for `show`.
    version: String,

    /// Where to; made if it is not there.
    #[arg(long, value_name = "DIR")]
    dest: PathBuf,

    /// Only files that the pattern matches, as in `.gitignore`: `*.csv` anywhere, `/a/*.csv` in one place, `a/` a directory.
    #[arg(long, value_name = "GLOB", value_parser = paths::any_pattern())]
    filter: Vec<OsString>,

    /// Only these files and directories of the version.
    #[arg(long, value_name = "PATH", num_args = 1.., value_parser = paths::any_path())]
    paths: Vec<OsString>,

    /// Replace other files and links that lie there.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    dataset: DatasetArgs,

    /// One JSON object, with stable field names.
    #[arg(long)]
    json: bool,
}

/// Finds the version and writes it.
pub fn run(args: &DownloadArgs, context: &Context) -> Result<(), CommandError> {
    let mut dataset = args.dataset.open(context)?;
    let id = dataset.find(&args.version)?;
    let bundle = open(&dataset.catalog, id)?;
    let paths: Vec<Vec<u8>> = args.paths.iter().map(|path| typed(path)).collect();
    let patterns = args.filter.iter().map(|it| it.as_bytes().strip_suffix(b"/").unwrap_or(it.as_bytes()));
    let selection = Selection::of_patterns(patterns);
    let filter = |path: &[u8]| selection.holds(path.into());
    let folder = context.dir.join(&args.dest);
    let rules = NameRules::HERE;
    let wanted = Export { paths: &paths, filter: &filter, folder: &folder, force: args.force, rules };
    let bar = Bar::new("downloading", bundle.root().bytes(), context.ui.is_quiet());
    let done = export(&dataset.catalog, &bundle, &wanted, &bar);
    bar.finish();
    let done = done?;
    let read = Read::new("download", dataset.repo, done.written, done.bytes).of_bundle(id);
    read.note_at(&dataset.catalog, &Git::at(&context.dir));
    if args.json {
        let said = json!({
            "bundle": bundle.root().id, "dest": folder.to_string_lossy(),
            "written": done.written, "kept": done.kept, "bytes": done.bytes,
        });
        context.ui.json(&said);
    } else {
        let (written, size) = (done.written, bytes(done.bytes));
        let kept = if done.kept > 0 { format!(", {} were there already", done.kept) } else { String::new() };
        context.ui.done(&format!("{written} files and links, {size}, written to {}{kept}", folder.display()));
    }
    Ok(())
}

impl From<ExportError> for CommandError {
    fn from(error: ExportError) -> CommandError {
        let said = error.to_string();
        match error {
            ExportError::Catalog(error) => error.into(),
            ExportError::NoPath(_) => {
                CommandError::new(Kind::NotFound, said).hint("what it has: git datamon ls <version>")
            }
            ExportError::Through { .. } => CommandError::new(Kind::Integrity, said),
            ExportError::InTheWay(paths) => {
                let error = CommandError::new(Kind::Conflict, said)
                    .hint("move them away, or replace files and links with --force");
                paths.iter().take(SHOWN).fold(error, |error, path| error.hint(shown(path)))
            }
            ExportError::Failed(failed) => {
                let kind = Kind::worst(failed.iter().map(|(_, why)| Kind::of_fetch(why)));
                let error = CommandError::new(kind, said).hint("run it again to go on where it ended");
                let rest = failed.iter().skip(1).take(SHOWN);
                rest.fold(error, |error, (path, why)| error.hint(format!("{}: {why}", shown(path))))
            }
            ExportError::Name { .. } | ExportError::OneName(..) | ExportError::Io { .. } => {
                CommandError::new(Kind::Failed, said)
            }
        }
    }
}

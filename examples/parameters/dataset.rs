//! Versioned data: `DATA/name/v1`, `v2`, …, each a whole tree, as `benches/datasets.py` makes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file of one version.
pub struct File {
    /// What follows the last dot of its name; empty without one.
    pub extension: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// A dataset in memory: files of each version in path order.
pub struct Dataset {
    /// Oldest first.
    pub versions: Vec<Vec<File>>,
}

impl Dataset {
    /// Read all versions below `folder`.
    pub fn read(folder: &Path) -> io::Result<Dataset> {
        let versions = sorted(folder)?.iter().map(|version| read_tree(version)).collect::<io::Result<_>>()?;
        Ok(Dataset { versions })
    }
}

/// The folders of `data` that hold a `v1`, by name.
pub fn folders(data: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(sorted(data)?.into_iter().filter(|folder| folder.join("v1").is_dir()).collect())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn read_tree(top: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in sorted(top)? {
        if path.is_dir() {
            files.extend(read_tree(&path)?);
        } else {
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            files.push(File { extension, bytes: fs::read(path)? });
        }
    }
    Ok(files)
}

//! A file at the top of the repository, wherever it can be had first: work tree, index, HEAD.
//!
//! The order is that of git-lfs for `.lfsconfig`. During the checkout of a clone neither the file nor the index is written
//! yet when the first filter runs, so HEAD must answer; a bare repository has only HEAD.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use gix::bstr::BStr;

use crate::git::objects::ObjectsError;
use crate::git::repo::Repo;

/// No file read this way has a reason to be longer, bytes.
pub(super) const LONGEST: u64 = 1 << 20;

/// Where a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the work tree.
    WorkTree,
    /// In the index: staged.
    Index,
    /// In the commit that is checked out.
    Head,
}

/// A file and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopFile {
    /// Where.
    pub place: Place,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// A file that is there and cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TopFileError {
    /// In the work tree.
    #[error("cannot read {path}: {source}")]
    WorkTree {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is no file, or a file nobody would write.
    #[error("{name} is not a regular file of at most {LONGEST} bytes")]
    Unusable {
        /// Its name.
        name: &'static str,
    },
    /// In the index or a commit.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
}

impl Repo {
    /// The file of this name at the top of the repository; `None` if it is nowhere.
    pub fn top_file(&self, name: &'static str) -> Result<Option<TopFile>, TopFileError> {
        if let Some(top) = self.work_tree() {
            let path = top.join(name);
            if let Some(bytes) = in_work_tree(&path, name)? {
                return Ok(Some(TopFile { place: Place::WorkTree, bytes }));
            }
        }
        let objects = self.objects()?;
        let path = BStr::new(name);
        if self.work_tree().is_some()
            && let Some(blob) = objects.staged(path)?
        {
            let bytes = objects.short_blob(blob, LONGEST)?.ok_or(TopFileError::Unusable { name })?;
            return Ok(Some(TopFile { place: Place::Index, bytes }));
        }
        let Some(head) = objects.head()? else { return Ok(None) };
        let Some(blob) = objects.blob_at(head, path)? else { return Ok(None) };
        let bytes = objects.short_blob(blob, LONGEST)?.ok_or(TopFileError::Unusable { name })?;
        Ok(Some(TopFile { place: Place::Head, bytes }))
    }
}

fn in_work_tree(path: &std::path::Path, name: &'static str) -> Result<Option<Vec<u8>>, TopFileError> {
    let wrong = |source| TopFileError::WorkTree { path: path.to_owned(), source };
    // Looked at before it is opened: opening a pipe would wait for a writer.
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
        Ok(found) if !found.is_file() || found.len() > LONGEST => {
            return Err(TopFileError::Unusable { name });
        }
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > LONGEST { Err(TopFileError::Unusable { name }) } else { Ok(Some(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    fn found(repo: &Repo) -> Option<(Place, String)> {
        let file = repo.top_file("datamon.toml").unwrap()?;
        Some((file.place, String::from_utf8(file.bytes).unwrap()))
    }

    #[test]
    fn work_tree_then_index_then_head() {
        let scratch = Scratch::new();
        assert_eq!(found(&scratch.repo()), None);
        scratch.commit(&[("datamon.toml", b"head"), ("other", b"x")]);
        let path = scratch.path().join("datamon.toml");
        std::fs::write(&path, "index").unwrap();
        scratch.git.run(["add", "datamon.toml"]).unwrap();
        std::fs::write(&path, "work tree").unwrap();

        let text = |place, text: &str| Some((place, text.to_owned()));
        assert_eq!(found(&scratch.repo()), text(Place::WorkTree, "work tree"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found(&scratch.repo()), text(Place::Index, "index"));
        scratch.git.run(["rm", "-q", "--cached", "datamon.toml"]).unwrap();
        assert_eq!(found(&scratch.repo()), text(Place::Head, "head"));

        let bare = scratch.beside("bare.git");
        scratch.git.run(["clone", "-q", "--bare", ".", bare.to_str().unwrap()]).unwrap();
        assert_eq!(found(&Repo::found_by(scratch.git_at(&bare)).unwrap()), text(Place::Head, "head"));
    }

    #[test]
    fn a_directory_or_a_huge_file_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.path().join("datamon.toml");
        std::fs::create_dir(&path).unwrap();
        assert!(scratch.repo().top_file("datamon.toml").is_err());
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, vec![b' '; LONGEST as usize + 1]).unwrap();
        assert!(scratch.repo().top_file("datamon.toml").is_err());
    }
}

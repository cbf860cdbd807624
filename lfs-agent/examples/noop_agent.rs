//! An agent that does nothing: what git-lfs costs by itself, to measure a real agent against.
//!
//! Uploads are acknowledged unread. A download is a hard link to the object in the LFS directory given as the only argument,
//! for instance that of the repository a clone was made from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lfs_agent::{Failure, Init, Object, Transfer};

struct Noop {
    objects: PathBuf,
    folder: PathBuf,
}

impl Transfer for Noop {
    fn init(&mut self, _: &Init) -> Result<(), Failure> {
        Ok(())
    }

    fn upload(&mut self, _: &Object, _: &Path, _: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        Ok(())
    }

    fn download(&mut self, object: &Object, _: &mut dyn FnMut(u64)) -> Result<PathBuf, Failure> {
        let oid = object.oid.as_str();
        let from = self.objects.join(&oid[..2]).join(&oid[2..4]).join(oid);
        let to = self.folder.join(oid);
        let link = fs::create_dir_all(&self.folder).and_then(|()| fs::hard_link(&from, &to));
        link.map_err(|error| {
            Failure::new(1, format!("cannot link {} to {}: {error}", from.display(), to.display()))
        })?;
        Ok(to)
    }

    fn finish(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

fn main() -> ExitCode {
    let here = std::env::current_dir();
    let (Some(lfs), Ok(here)) = (std::env::args_os().nth(1), here) else {
        return ExitCode::from(64);
    };
    let folder = here.join(format!(".git/lfs/tmp/noop-{}", std::process::id()));
    let mut agent = Noop { objects: PathBuf::from(lfs).join("objects"), folder };
    match lfs_agent::serve(std::io::stdin().lock(), std::io::stdout().lock(), &mut agent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

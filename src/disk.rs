//! L1 · Files of this machine: what it keeps about a store (cache, journal, what was sent), written whole or not at all, and what a fetch
//! writes, which goes again where it is not whole.
//!
//! Every one of them passes here, so that there is one place where a disk that is full, fails or tears can be put below them: whoever
//! watches is asked before and after each step, as a decorator of a store is for each request.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// All of it is read.
    Read,
    /// It is written, in the place of what was there.
    Write,
    /// It is made, and must not be there.
    Begin,
    /// Bytes are added to its end.
    Append,
    /// It is removed.
    Remove,
}

/// Which end of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// Nothing was done yet: an error is its answer.
    Before,
    /// It was done: an error is its answer all the same.
    After,
}

/// Is asked about each step.
type Watch = dyn Fn(Verb, When, &Path) -> io::Result<()> + Send + Sync;

/// The disk of this machine.
#[derive(Clone, Default)]
pub struct Disk {
    watch: Option<Arc<Watch>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.watch.is_some() { "watched disk" } else { "disk" })
    }
}

impl Disk {
    /// A disk of whose steps somebody is asked: for tests.
    pub fn watched(watch: impl Fn(Verb, When, &Path) -> io::Result<()> + Send + Sync + 'static) -> Disk {
        Disk { watch: Some(Arc::new(watch)) }
    }

    fn step<T>(&self, verb: Verb, path: &Path, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(watch) = &self.watch else { return step() };
        watch(verb, When::Before, path)?;
        let done = step()?;
        watch(verb, When::After, path)?;
        Ok(done)
    }

    /// All of a file.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.step(Verb::Read, path, || fs::read(path))
    }

    /// Write a file of these parts, whose loss costs no more than a request.
    pub fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        self.step(Verb::Write, path, || replace(path, parts, false))
    }

    /// The same, and it is there after a power cut too.
    pub fn write_durably(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        self.step(Verb::Write, path, || replace(path, parts, true))
    }

    /// Make a file that is not there, to add to.
    pub fn begin(&self, path: &Path) -> io::Result<File> {
        self.step(Verb::Begin, path, || {
            fs::create_dir_all(folder(path))?;
            File::options().create_new(true).append(true).open(path)
        })
    }

    /// Make a file that is not there, in a directory that is; `prepare` is a part of it. What was made goes again where that is called an error.
    pub fn create(&self, path: &Path, prepare: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
        let mut is_ours = false;
        let made = self.step(Verb::Begin, path, || {
            let file = File::options().write(true).create_new(true).open(path)?;
            is_ours = true;
            prepare(&file).map(|()| file)
        });
        if made.is_err() && is_ours {
            let _ = self.remove(path);
        }
        made
    }

    /// Add bytes to a file that was begun.
    pub fn append(&self, path: &Path, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        self.step(Verb::Append, path, || file.write_all(bytes))
    }

    /// Remove a file.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Verb::Remove, path, || fs::remove_file(path))
    }

    /// Remove a directory with all that is in it.
    pub fn remove_all(&self, path: &Path) -> io::Result<()> {
        self.step(Verb::Remove, path, || fs::remove_dir_all(path))
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn replace(path: &Path, parts: &[&[u8]], durable: bool) -> io::Result<()> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    for part in parts {
        file.write_all(part)?;
    }
    if durable {
        file.as_file().sync_all()?;
    }
    file.persist(path)?;
    if durable {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn whoever_watches_decides_about_each_step() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("below/file");
        let (seen, fails): (Arc<Mutex<Vec<_>>>, Arc<Mutex<Option<_>>>) = Default::default();
        let (list, which) = (seen.clone(), fails.clone());
        let disk = Disk::watched(move |verb, when, _| {
            list.lock().expect("no panic").push((verb, when));
            match *which.lock().expect("no panic") == Some((verb, when)) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        });
        let fail = |step| *fails.lock().expect("no panic") = Some(step);
        fail((Verb::Write, When::Before));
        assert!(disk.write(&path, &[b"one"]).is_err() && !path.exists());
        fail((Verb::Write, When::After));
        assert!(disk.write_durably(&path, &[b"one", b"two"]).is_err());
        assert_eq!(disk.read(&path).expect("written"), b"onetwo");
        fail((Verb::Read, When::Before));
        assert!(disk.read(&path).is_err());
        disk.remove(&path).expect("there");
        let file = disk.begin(&path).expect("not there");
        disk.append(&path, &file, b"three").expect("begun");
        assert!(disk.begin(&path).is_err(), "it is there");
        assert_eq!(fs::read(&path).expect("there"), b"three");
        assert_eq!(seen.lock().expect("no panic").len(), 13);
    }
}

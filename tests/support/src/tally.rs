//! Figures of long runs, kept in files: a test that passes says nothing, and the next run may go on where this one stopped.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Numbers by name, one a line, with a tab between.
#[derive(Debug)]
pub struct Tally {
    path: PathBuf,
    numbers: BTreeMap<String, u64>,
}

impl Tally {
    /// One that begins anew.
    pub fn anew(path: impl Into<PathBuf>) -> Tally {
        Tally { path: path.into(), numbers: BTreeMap::new() }
    }

    /// One that goes on from what the file has, if there is one.
    ///
    /// # Panics
    /// If a line of it is not a name and a number.
    pub fn resumed(path: impl Into<PathBuf>) -> Tally {
        let mut tally = Tally::anew(path);
        let text = fs::read_to_string(&tally.path).unwrap_or_default();
        for line in text.lines() {
            let parts = line.split_once('\t').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
            let (name, n) = parts.unwrap_or_else(|| panic!("{}: what is {line:?}?", tally.path.display()));
            tally.numbers.insert(name, n);
        }
        tally
    }

    /// Adds to a number, and writes all of them down, whole or not at all.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn add(&mut self, name: &str, n: u64) {
        *self.numbers.entry(name.to_owned()).or_default() += n;
        let lines = self.numbers.iter().map(|(name, n)| format!("{name}\t{n}\n"));
        let beside = self.path.with_extension("new");
        let written = fs::write(&beside, lines.collect::<String>());
        written.and_then(|()| fs::rename(&beside, &self.path)).expect("figures can be written");
    }

    /// One of them; 0 if nobody counted it.
    pub fn get(&self, name: &str) -> u64 {
        self.numbers.get(name).copied().unwrap_or(0)
    }

    /// The sum of all.
    pub fn sum(&self) -> u64 {
        self.numbers.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_there_again_and_add_up() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("kills.tsv");
        let mut first = Tally::anew(&path);
        first.add("push", 3);
        first.add("gc run", 2);
        first.add("push", 1);
        let again = Tally::resumed(&path);
        assert_eq!((again.get("push"), again.get("gc run"), again.get("pull"), again.sum()), (4, 2, 0, 6));
        assert_eq!(fs::read_to_string(&path).expect("written"), "gc run\t2\npush\t4\n");
        assert_eq!(Tally::anew(&path).sum(), 0);
    }
}

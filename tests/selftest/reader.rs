//! The stores of simulations, as a reader sees them that shares no code with the program.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Mutex;

use datamon::cache::Cache;
use datamon::catalog::{Catalog, Journal};
use datamon::ops::bundle::open;
use datamon::selftest::Outcome;
use datamon::store::{Store, StoreUrl};
use datamon_test_support::run;
use tempfile::TempDir;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader/datamon_reader.py");

/// What the program says of a store.
struct Said {
    /// Files that were promised and not given up, each with its size.
    promised: Vec<String>,
    /// Versions and what is in them, in the words of the reader.
    versions: Vec<String>,
}

/// Stores in a folder, by the number of their seed, and what the program says of each.
pub struct Stores {
    folder: TempDir,
    said: Mutex<BTreeMap<u64, Said>>,
}

impl Stores {
    pub fn new() -> Stores {
        let folder = tempfile::tempdir().expect("a temporary directory");
        Stores { folder, said: Mutex::default() }
    }

    /// One more, as it was left.
    pub fn add(&self, outcome: &Outcome) {
        let place = self.folder.path().join(outcome.seed.to_string());
        for (key, bytes) in &outcome.objects {
            let path = place.join(key);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        let store = Store::open(&StoreUrl::of_directory(&place).expect("an absolute path")).expect("a store");
        let catalog = Catalog::open(store, Cache::none(), Journal::none()).expect("opens");
        let promised = outcome.promised.iter().map(|oid| format!("file {oid}")).collect();
        let said = Said { promised, versions: versions(&catalog) };
        self.said.lock().expect("no panic").insert(outcome.seed, said);
    }

    /// The reader reads all of each, finds what was promised, and the same versions, labels and entries.
    pub fn assert_read(self) {
        let said = self.said.into_inner().expect("no panic");
        let read = run(Command::new("python3").arg(READER).arg("--all").arg(self.folder.path()));
        let mut stores: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        let mut of = None;
        for line in read.lines() {
            match line.strip_prefix("store ") {
                Some(name) => of = Some(stores.entry(name.parse().expect("a seed")).or_default()),
                None => of.as_mut().expect("a store comes first").push(line),
            }
        }
        assert_eq!(stores.len(), said.len());
        for (seed, said) in said {
            let (mut files, versions): (Vec<&str>, Vec<&str>) =
                stores[&seed].iter().partition(|line| line.starts_with("file "));
            files.iter_mut().for_each(|line| *line = &line[..line.rfind(' ').expect("a size")]);
            let lost = said.promised.iter().find(|file| !files.contains(&file.as_str()));
            assert!(lost.is_none(), "seed {seed}: {lost:?}");
            let differs = versions.iter().zip(&said.versions).find(|(read, said)| read != said);
            assert!(versions == said.versions, "seed {seed}: {differs:?}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each version with its labels, then each of its entries.
fn versions(catalog: &Catalog) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, known) in catalog.state().bundles() {
        let leads_here = catalog.state().labels().iter().filter(|(_, at)| at.bundle == Some(*id));
        let mut labels: Vec<&str> = leads_here.map(|((_, name), _)| name.as_str()).collect();
        labels.sort_unstable();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(",") };
        let git = |name: Option<datamon::id::GitId>| name.map_or("-".to_owned(), |it| it.to_string());
        let (commit, tree) = (git(known.commit), git(known.tree));
        lines.push(format!("bundle {id} {} {} {commit} {tree} {labels}", known.repo, known.seq));
        for entry in open(catalog, *id).expect("opens").below(b"").expect("reads") {
            let (mode, size, name) = (entry.content.mode(), entry.content.size(), hex(entry.content.name()));
            lines.push(format!("entry {id} {mode:06o} {size} {name} {}", hex(&entry.path)));
        }
    }
    lines
}

//! How two bundles differ, as people say it: added, removed, modified, renamed.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::bundle::{Bundle, Content, Difference, diff};
use crate::id::Oid;
use crate::table::TableError;

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has other bytes, another target or commit.
    Modified,
    /// It has the same bytes, and may be run now or no more.
    Mode,
    /// It became something else: a link, a file or a submodule.
    Type,
    /// The same content lay elsewhere, and does no more.
    Renamed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What happened.
    pub fate: Fate,
    /// Where it lies now; where it lay if it is gone.
    pub path: Vec<u8>,
    /// Where it lay before it was renamed.
    pub from: Option<Vec<u8>>,
    /// What it was.
    pub old: Option<Content>,
    /// What it is.
    pub new: Option<Content>,
}

/// All differences of two bundles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// By path.
    pub changes: Vec<Changed>,
}

/// How `new` differs from `old`. Reads the pages that are not the same in both.
pub fn compare(old: &Bundle<'_>, new: &Bundle<'_>) -> Result<Comparison, TableError> {
    let differences = diff(&old.root().pages, &new.root().pages, |at| old.page(at), |at| new.page(at))?;
    Ok(Comparison { changes: renamed(differences) })
}

/// What a rename keeps. Empty files are all alike, so they are never one.
fn identity(content: &Content) -> Option<(u32, Vec<u8>)> {
    let kind = content.mode() & 0o170_000;
    (content.size() > 0).then(|| (kind, content.name().to_vec()))
}

fn renamed(differences: Vec<Difference>) -> Vec<Changed> {
    let mut gone: HashMap<(u32, Vec<u8>), Vec<&Difference>> = HashMap::new();
    for it in differences.iter().filter(|it| it.new.is_none()).rev() {
        if let Some(identity) = it.old.as_ref().and_then(identity) {
            gone.entry(identity).or_default().push(it);
        }
    }
    let mut changes: BTreeMap<&[u8], Changed> = BTreeMap::new();
    let mut moved: HashSet<&[u8]> = HashSet::new();
    for it in &differences {
        let mut changed = Changed {
            fate: fate(it),
            path: it.path.clone(),
            from: None,
            old: it.old.clone(),
            new: it.new.clone(),
        };
        let same = it.new.as_ref().filter(|_| it.old.is_none()).and_then(identity);
        if let Some(was) = same.and_then(|same| gone.get_mut(&same)?.pop()) {
            moved.insert(&was.path);
            changed.fate = Fate::Renamed;
            (changed.from, changed.old) = (Some(was.path.clone()), was.old.clone());
        }
        changes.insert(&it.path, changed);
    }
    changes.into_iter().filter(|(path, _)| !moved.contains(path)).map(|(_, changed)| changed).collect()
}

fn fate(it: &Difference) -> Fate {
    match (&it.old, &it.new) {
        (None, _) => Fate::Added,
        (_, None) => Fate::Removed,
        (Some(old), Some(new)) if old.mode() & 0o170_000 != new.mode() & 0o170_000 => Fate::Type,
        (Some(old), Some(new)) if old.name() == new.name() => Fate::Mode,
        _ => Fate::Modified,
    }
}

impl Comparison {
    /// Bytes of files whose content lay at none of the paths that differ.
    pub fn new_bytes(&self) -> u64 {
        fn files(it: Option<&Content>) -> Option<(Oid, u64)> {
            match it {
                Some(Content::File { oid, size, .. }) => Some((*oid, *size)),
                _ => None,
            }
        }
        let before: HashSet<Oid> =
            self.changes.iter().filter_map(|it| Some(files(it.old.as_ref())?.0)).collect();
        let after: HashMap<Oid, u64> = self.changes.iter().filter_map(|it| files(it.new.as_ref())).collect();
        after
            .iter()
            .filter(|(oid, _)| !before.contains(oid))
            .map(|(_, size)| *size)
            .fold(0, u64::saturating_add)
    }
}

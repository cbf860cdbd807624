//! What changed between two bundles: pages that hold the same are skipped without being read.

use std::collections::BTreeMap;

use super::entry::{Content, Entry};
use super::page::PageRef;

/// One path that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path.
    pub path: Vec<u8>,
    /// What lay there.
    pub old: Option<Content>,
    /// What lies there now.
    pub new: Option<Content>,
}

/// The differences from the pages of one bundle to those of another, by path. `read_old` and `read_new` give the entries of a
/// page.
pub fn diff<E>(
    old: &[PageRef],
    new: &[PageRef],
    mut read_old: impl FnMut(&PageRef) -> Result<Vec<Entry>, E>,
    mut read_new: impl FnMut(&PageRef) -> Result<Vec<Entry>, E>,
) -> Result<Vec<Difference>, E> {
    let key = |page: &PageRef| (page.first.clone(), page.rows, page.hash);
    let there: BTreeMap<_, ()> = new.iter().map(|page| (key(page), ())).collect();
    let here: BTreeMap<_, ()> = old.iter().map(|page| (key(page), ())).collect();
    let mut paths: BTreeMap<Vec<u8>, (Option<Content>, Option<Content>)> = BTreeMap::new();
    for page in old.iter().filter(|page| !there.contains_key(&key(page))) {
        for Entry { path, content } in read_old(page)? {
            paths.entry(path).or_default().0 = Some(content);
        }
    }
    for page in new.iter().filter(|page| !here.contains_key(&key(page))) {
        for Entry { path, content } in read_new(page)? {
            paths.entry(path).or_default().1 = Some(content);
        }
    }
    let differs = |(old, new): &(Option<Content>, Option<Content>)| match (old, new) {
        (Some(old), Some(new)) => !old.is_same(new),
        _ => true,
    };
    let found = paths.into_iter().filter(|(_, both)| differs(both));
    Ok(found.map(|(path, (old, new))| Difference { path, old, new }).collect())
}

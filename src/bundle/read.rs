//! Reading a bundle: the root once, then the pages that are asked for.

use super::entry::Entry;
use super::page::{self, PageRef};
use super::root::Root;
use crate::id::{BundleId, PackId, PackKind, RepoId};
use crate::pack::Blob;
use crate::store::key;
use crate::table::{BadBlock, Frames, TableError};

/// Pages asked for at once where many are read in order.
const AHEAD: usize = 64;

/// A root or page that is not what was written.
pub(super) fn damaged(pack: PackId, source: BadBlock) -> TableError {
    TableError::Bad { pack: key::pack(PackKind::Meta, pack), source }
}

/// One that says something impossible.
pub(super) fn inconsistent(pack: PackId, why: &'static str) -> TableError {
    damaged(pack, BadBlock::Inconsistent(why))
}

/// A bundle that was opened: its root is in memory, pages are read from cache or store.
pub struct Bundle<'a> {
    frames: Frames<'a>,
    root: Root,
}

impl<'a> Bundle<'a> {
    /// Open the bundle whose root lies at `at`, as the log says.
    pub fn open(frames: Frames<'a>, id: BundleId, repo: RepoId, at: &Blob) -> Result<Bundle<'a>, TableError> {
        let root = Root::decode(at.pack, &frames.read(at)?)?;
        if (root.id, root.repo) != (id, repo) {
            return Err(inconsistent(at.pack, "a root is that of another bundle"));
        }
        Ok(Bundle { frames, root })
    }

    /// What it is, and where its pages lie.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The entries of one page of this bundle.
    pub fn page(&self, at: &PageRef) -> Result<Vec<Entry>, TableError> {
        at.read(self.frames)
    }

    /// The entries of these pages of this bundle, read together.
    pub fn pages(&self, which: &[&PageRef]) -> Result<Vec<Vec<Entry>>, TableError> {
        let frames = self.frames.read_all(which.iter().map(|page| page.blob))?;
        which.iter().map(|page| page::decode(page, &frames[&page.blob])).collect()
    }

    /// What lies at a path.
    pub fn find(&self, path: &[u8]) -> Result<Option<Entry>, TableError> {
        let at = self.root.pages.partition_point(|page| page.first.as_slice() <= path);
        let Some(page) = at.checked_sub(1).map(|at| &self.root.pages[at]) else { return Ok(None) };
        Ok(self.page(page)?.into_iter().find(|entry| entry.path == path))
    }

    /// Hands over every entry from `from` on, in order, while `take` says how to go on.
    pub fn walk(&self, from: &[u8], mut take: impl FnMut(Entry) -> Step) -> Result<(), TableError> {
        let mut from = from.to_vec();
        let pages = &self.root.pages;
        let mut at = pages.partition_point(|page| page.first <= from).saturating_sub(1);
        // Where a walk jumps, a page at a time is enough; where it does not, requests for many are merged.
        let mut ahead = 1;
        'pages: while at < pages.len() {
            let some = &pages[at..pages.len().min(at + ahead)];
            let mut frames = self.frames.read_all(some.iter().map(|page| page.blob))?;
            for page in some {
                let bytes = frames.remove(&page.blob).expect("each frame asked for is given");
                for entry in page::decode(page, &bytes)? {
                    if entry.path < from {
                        continue;
                    }
                    match take(entry) {
                        Step::Next => {}
                        Step::Stop => return Ok(()),
                        Step::Jump(to) => {
                            let next = pages.partition_point(|page| page.first <= to).saturating_sub(1);
                            from = to;
                            if next > at {
                                (at, ahead) = (next, 1);
                                continue 'pages;
                            }
                        }
                    }
                }
                at += 1;
            }
            ahead = (ahead * 4).min(AHEAD);
        }
        Ok(())
    }

    /// Every entry at or below `path`; all of them where it is empty.
    pub fn below(&self, path: &[u8]) -> Result<Vec<Entry>, TableError> {
        let mut found = Vec::new();
        self.each_below(path, |entry| found.push(entry))?;
        Ok(found)
    }

    /// Hands over every entry at or below `path`, in order; all of them where it is empty.
    pub fn each_below(&self, path: &[u8], mut take: impl FnMut(Entry)) -> Result<(), TableError> {
        let folder = [path, b"/"].concat();
        self.walk(path, |entry| {
            if path.is_empty() || entry.path == path || entry.path.starts_with(&folder) {
                take(entry);
                Step::Next
            } else if entry.path < folder {
                // `a-b` stands between `a` and `a/b`.
                Step::Jump(folder.clone())
            } else {
                Step::Stop
            }
        })
    }
}

/// How a walk goes on.
pub enum Step {
    /// With the next entry.
    Next,
    /// With the first entry that is not before this path.
    Jump(Vec<u8>),
    /// Not at all.
    Stop,
}

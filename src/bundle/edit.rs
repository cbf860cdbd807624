//! Editing: the pages of a new bundle from those of another, reading and writing only what changes.
//!
//! A page that begins at a path which always begins one (see `page::begins`) is where the rest of the tree no longer depends
//! on what came before. Pages between two such edges are a *stretch*, some 500 entries: a stretch without a change keeps its
//! pages, and one with a change is cut anew. When the path that begins a stretch goes, it is joined to the one before.

use std::collections::BTreeMap;
use std::iter::Peekable;

use super::entry::{Content, Entry};
use super::page::{MOST_ROWS, PageRef, begins, hash};

/// What lies at each path from now on; nothing where there is `None`.
pub type Changes = BTreeMap<Vec<u8>, Option<Content>>;

/// The pages of `base` with `changes`. `read` gives the entries of a page, `write` writes a page of entries in order. A page that
/// would hold what one of `base` holds is not written.
pub fn edit<E>(
    base: &[PageRef],
    changes: Changes,
    mut read: impl FnMut(&PageRef) -> Result<Vec<Entry>, E>,
    mut write: impl FnMut(&[Entry]) -> Result<PageRef, E>,
) -> Result<Vec<PageRef>, E> {
    let mut pages = Vec::with_capacity(base.len());
    let mut changes = changes.into_iter().peekable();
    let mut stretches = stretches(base).into_iter().peekable();
    while let Some(stretch) = stretches.next() {
        let mut end = stretches.peek().map(|next| next[0].first.clone());
        if !concerns(&mut changes, end.as_deref()) {
            pages.extend_from_slice(stretch);
            continue;
        }
        let mut cut = Cut { old: stretch, pages: &mut pages, write: &mut write, open: vec![] };
        let mut taken = stretch;
        loop {
            for page in taken {
                for entry in read(page)? {
                    while let Some((path, content)) = changes.next_if(|(path, _)| *path < entry.path) {
                        cut.add_some(path, content)?;
                    }
                    match changes.next_if(|(path, _)| *path == entry.path) {
                        Some((path, content)) => cut.add_some(path, content)?,
                        None => cut.add(entry)?,
                    }
                }
            }
            while let Some((path, content)) =
                changes.next_if(|(path, _)| end.as_ref().is_none_or(|end| path < end))
            {
                cut.add_some(path, content)?;
            }
            // The next stretch stands by itself unless its first path goes.
            let goes = matches!((changes.peek(), &end), (Some((path, None)), Some(end)) if path == end);
            let Some(joined) = stretches.next_if(|_| goes) else { break };
            (cut.old, taken) = (joined, joined);
            end = stretches.peek().map(|next| next[0].first.clone());
        }
        cut.close()?;
    }
    // All of a new tree.
    let mut cut = Cut { old: &[], pages: &mut pages, write: &mut write, open: vec![] };
    for (path, content) in changes {
        cut.add_some(path, content)?;
    }
    cut.close()?;
    Ok(pages)
}

/// Pages between edges that depend on nothing before them.
fn stretches(base: &[PageRef]) -> Vec<&[PageRef]> {
    base.chunk_by(|_, next| !begins(&next.first)).collect()
}

/// Whether the next change is for a stretch that ends before `end`, or takes the path away that begins the next one.
fn concerns(
    changes: &mut Peekable<impl Iterator<Item = (Vec<u8>, Option<Content>)>>,
    end: Option<&[u8]>,
) -> bool {
    changes.peek().is_some_and(|(path, content)| match end {
        Some(end) => path.as_slice() < end || (path == end && content.is_none()),
        None => true,
    })
}

/// Entries in order, cut into pages.
struct Cut<'a, W> {
    /// Pages that are used again where they hold the same.
    old: &'a [PageRef],
    pages: &'a mut Vec<PageRef>,
    write: &'a mut W,
    open: Vec<Entry>,
}

impl<E, W: FnMut(&[Entry]) -> Result<PageRef, E>> Cut<'_, W> {
    fn add_some(&mut self, path: Vec<u8>, content: Option<Content>) -> Result<(), E> {
        content.map_or(Ok(()), |content| self.add(Entry { path, content }))
    }

    fn add(&mut self, entry: Entry) -> Result<(), E> {
        if self.open.len() == MOST_ROWS || begins(&entry.path) {
            self.close()?;
        }
        self.open.push(entry);
        Ok(())
    }

    fn close(&mut self) -> Result<(), E> {
        let entries = std::mem::take(&mut self.open);
        let Some(first) = entries.first() else { return Ok(()) };
        let old = self.old.iter().find(|page| page.first == first.path);
        let same = |page: &&PageRef| page.rows as usize == entries.len() && page.hash == hash(&entries);
        self.pages.push(match old.filter(same) {
            Some(page) => page.clone(),
            None => (self.write)(&entries)?,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::bundle::diff::diff;
    use crate::bundle::page;
    use crate::id::{Oid, PackId, RepoId};
    use crate::pack::Blob;
    use crate::table::Recipe;

    /// Pages as a store would keep them, and how many were read.
    #[derive(Default)]
    struct Kept {
        pages: RefCell<HashMap<Blob, Vec<u8>>>,
        reads: RefCell<usize>,
    }

    impl Kept {
        fn read(&self, at: &PageRef) -> Result<Vec<Entry>, Infallible> {
            *self.reads.borrow_mut() += 1;
            Ok(page::decode(at, &self.pages.borrow()[&at.blob]).expect("decodes"))
        }

        fn write(&self, entries: &[Entry]) -> PageRef {
            let offset = self.pages.borrow().len() as u64;
            let blob = Blob { pack: PackId::from_bytes([1; 16]), offset, stored: 1 };
            self.pages.borrow_mut().insert(blob, page::encode(RepoId::NIL, entries));
            PageRef {
                first: entries[0].path.clone(),
                rows: entries.len() as u32,
                bytes: 0,
                blob,
                hash: hash(entries),
            }
        }

        fn edit(&self, base: &[PageRef], changes: Changes) -> Vec<PageRef> {
            let Ok(pages) = edit(base, changes, |at| self.read(at), |entries| Ok(self.write(entries)));
            pages
        }
    }

    fn content(n: u8) -> Content {
        match n % 8 {
            7 => Content::Link { target: vec![n] },
            _ => {
                let recipe = Recipe::Inline(vec![]);
                Content::File {
                    executable: n.is_multiple_of(2),
                    oid: Oid::from_bytes([n; 32]),
                    size: 0,
                    recipe,
                }
            }
        }
    }

    fn shape(pages: &[PageRef]) -> Vec<(Vec<u8>, u32, [u8; 16])> {
        pages.iter().map(|it| (it.first.clone(), it.rows, it.hash)).collect()
    }

    /// A name for each number, some of them in the same directory.
    fn name(n: u16) -> Vec<u8> {
        format!("{}/{}/{n}", n % 3, n % 50).into_bytes()
    }

    /// The first numbers whose names begin a page.
    fn edges() -> Vec<u16> {
        (0..u16::MAX).filter(|n| begins(&name(*n))).take(20).collect()
    }

    fn tree(rows: &BTreeMap<Vec<u8>, Content>) -> Changes {
        rows.iter().map(|(path, content)| (path.clone(), Some(content.clone()))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_edited_tree_is_the_tree_written_at_once(
            before in 0u16..6000,
            steps in prop::collection::vec(prop::collection::vec((any::<u16>(), 0u8..12, any::<bool>()), 0..30), 1..5),
        ) {
            let (kept, edges) = (Kept::default(), edges());
            let mut model: BTreeMap<Vec<u8>, Content> = (0..before).map(|n| (name(n * 7), content(0))).collect();
            let mut pages = kept.edit(&[], tree(&model));
            for step in steps {
                let (was, old) = (pages.clone(), model.clone());
                let mut changes = Changes::new();
                for (n, new, edge) in step {
                    // Half of the changes are where pages begin.
                    let path = name(if edge { edges[n as usize % edges.len()] } else { n });
                    let new = (new < 9).then(|| content(new));
                    match &new {
                        Some(new) => drop(model.insert(path.clone(), new.clone())),
                        None => drop(model.remove(&path)),
                    }
                    changes.insert(path, new);
                }
                pages = kept.edit(&pages, changes);
                prop_assert_eq!(shape(&pages), shape(&Kept::default().edit(&[], tree(&model))));
                let read: BTreeMap<Vec<u8>, Content> = pages
                    .iter()
                    .flat_map(|page| kept.read(page).expect("infallible"))
                    .map(|it| (it.path, it.content))
                    .collect();
                prop_assert_eq!(&read, &model);
                let Ok(found) = diff(&was, &pages, |at| kept.read(at), |at| kept.read(at));
                let paths: std::collections::BTreeSet<&Vec<u8>> = old.keys().chain(model.keys()).collect();
                let wanted: Vec<&Vec<u8>> =
                    paths.into_iter().filter(|path| old.get(*path) != model.get(*path)).collect();
                prop_assert_eq!(found.iter().map(|it| &it.path).collect::<Vec<_>>(), wanted);
            }
        }
    }

    #[test]
    fn one_change_among_many_reads_and_writes_little() {
        let kept = Kept::default();
        let rows: BTreeMap<Vec<u8>, Content> = (0..60_000).map(|n| (name(n), content(0))).collect();
        let pages = kept.edit(&[], tree(&rows));
        assert!((60..300).contains(&pages.len()), "{} pages", pages.len());
        let (written, most) = (kept.pages.borrow().len(), pages.iter().map(|it| it.rows).max());
        assert!(most <= Some(MOST_ROWS as u32));
        let after = kept.edit(&pages, Changes::from([(name(777), Some(content(1)))]));
        assert_eq!(kept.pages.borrow().len() - written, 1, "pages written");
        assert!(*kept.reads.borrow() <= 4, "{} pages read", kept.reads.borrow());
        assert_eq!(pages.len(), after.len());
        // What is the same again shares its page.
        let again = kept.edit(&after, Changes::from([(name(777), Some(content(1)))]));
        assert_eq!(again, after);
    }

    #[test]
    fn no_changed_byte_of_a_page_is_believed() {
        let kept = Kept::default();
        let rows: BTreeMap<Vec<u8>, Content> = (0..20).map(|n| (name(n), content(n as u8))).collect();
        let at = kept.edit(&[], tree(&rows)).remove(0);
        let bytes = kept.pages.borrow()[&at.blob].clone();
        let right = page::decode(&at, &bytes).expect("decodes");
        for position in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut wrong = bytes.clone();
                wrong[position] ^= bit;
                // Where an integer is only spelt otherwise, the same entries come out.
                if let Ok(read) = page::decode(&at, &wrong) {
                    let same = read
                        .iter()
                        .zip(&right)
                        .all(|(a, b)| a.path == b.path && a.content.is_same(&b.content));
                    assert!(same && read.len() == right.len(), "byte {position}");
                }
            }
        }
        for end in 0..bytes.len() {
            assert!(page::decode(&at, &bytes[..end]).is_err(), "{end} bytes");
        }
    }
}

//! Redaction: files are taken out of every version of a dataset, which keep their ids, and are given up.
//!
//! A version gets another root without them, and shares all pages that did not have them with the one it had: so that one has to be
//! the one that was read where the change lands (R2), and no version may have come since. What was made meanwhile is read as well, and
//! the change is made anew. The bytes of a file go with the next collection, but for those that another file needs, that of another
//! repo too. What people can read later says which paths were taken out: the root does, and the log.
//!
//! Git keeps its history: a commit still names the files. So nothing is redacted that git reaches, unless somebody says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::bundle::{Pages, Revisions, root_of};
use super::open::probe_once;
use super::squash::Git;
use crate::bundle::{BadPath, Changes, Content, Entry, Root, check_path, is_at_or_below};
use crate::catalog::{Catalog, CatalogError, Refusal};
use crate::git::Unseen;
use crate::id::{BundleId, Oid, RepoId};
use crate::pack::Blob;

/// Files that one entry gives up at most.
const MOST_FILES: usize = 200_000;
/// Versions that one entry changes at most.
const MOST_VERSIONS: usize = 10_000;
/// Times it is planned again because somebody pushed meanwhile.
const ATTEMPTS: usize = 16;

/// What a version loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The version.
    pub bundle: BundleId,
    /// The root that was read.
    pub root: Blob,
    /// What lay there, by path.
    pub entries: BTreeMap<Vec<u8>, Content>,
}

/// What would be taken out.
#[derive(Debug)]
pub struct Redaction {
    /// The repo.
    pub repo: RepoId,
    /// The newest entry that was seen.
    pub planned_on: u64,
    /// The paths that were asked for.
    pub paths: Vec<Vec<u8>>,
    /// Versions that have something there, newest first.
    pub versions: Vec<Loss>,
    /// Files that are given up.
    pub files: BTreeSet<Oid>,
    /// Files whose bytes stay: they are somewhere else, too.
    pub elsewhere: BTreeSet<Oid>,
    /// Files that git may still ask for.
    pub reached: BTreeSet<Oid>,
    /// Whether they go all the same.
    pub overruled: bool,
}

/// A redaction that cannot be planned or done.
#[derive(Debug, thiserror::Error)]
pub enum NotRedacted {
    /// The store cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// No version can have such a path.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// A version cannot be read, so nobody knows what is in it.
    #[error("version {bundle} cannot be read, so what it has there is not known: {source}")]
    Unread {
        /// The version.
        bundle: BundleId,
        /// Why.
        source: Box<crate::table::TableError>,
    },
    /// A version has the file, so there is a path to take out.
    #[error("version {bundle} has {oid}, at {path}")]
    InVersion {
        /// The version.
        bundle: BundleId,
        /// The file.
        oid: Oid,
        /// Where it lies there.
        path: String,
    },
    /// Nothing to give up.
    #[error("the dataset has no file {oid}")]
    NoFile {
        /// The file.
        oid: Oid,
    },
    /// The dataset is everybody's.
    #[error("the nameless repo of a store is everybody's, and has no versions: nothing of it is redacted")]
    Nameless,
    /// Git would ask for files that are gone.
    #[error("git still reaches commits that name {} of the files, {} first", files.len(), files[0])]
    Reached {
        /// The files, at least one.
        files: Vec<Oid>,
    },
    /// Git does not show all that it reaches.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// Others push all the time.
    #[error("versions came while it was done, again and again; run the command again when fewer push")]
    Overtaken,
}

/// Looks at versions and git, and plans a redaction.
pub type Planner<'a> = &'a dyn Fn(&Catalog) -> Result<Redaction, NotRedacted>;

/// Plan a redaction of what lies at or below `paths`. Nothing is written.
pub fn plan(
    catalog: &Catalog,
    repo: RepoId,
    paths: &[Vec<u8>],
    git: &Git<'_>,
) -> Result<Redaction, NotRedacted> {
    paths.iter().try_for_each(|path| check_path(path))?;
    let is_meant = |entry: &Entry| paths.iter().any(|folder| is_at_or_below(&entry.path, folder));
    let mut found = Redaction::none_of(catalog, repo)?;
    found.paths = paths.to_vec();
    let stay = found.find(catalog, &is_meant)?;
    let (elsewhere, files) = found.entries().filter_map(oid).partition(|oid| stay.contains(oid));
    (found.elsewhere, found.files) = (elsewhere, files);
    let of_git = found.versions.iter().any(|it| catalog.state().bundles()[&it.bundle].commit.is_some());
    found.ask(git, of_git);
    Ok(found)
}

/// Plan to give up files that no version has and that have no path therefore: who pushes with git-lfs alone leaves some, and so a file comes
/// back that was redacted. Nothing is written.
pub fn plan_files(
    catalog: &Catalog,
    repo: RepoId,
    files: &BTreeSet<Oid>,
    git: &Git<'_>,
) -> Result<Redaction, NotRedacted> {
    let mut found = Redaction::none_of(catalog, repo)?;
    let is_meant = |entry: &Entry| oid(&entry.content).is_some_and(|oid| files.contains(&oid));
    let stay = found.find(catalog, &is_meant)?;
    if let Some(Loss { bundle, entries, .. }) = found.versions.first()
        && let Some((path, content)) = entries.iter().next()
        && let Some(oid) = oid(content)
    {
        let path = String::from_utf8_lossy(path).into_owned();
        return Err(NotRedacted::InVersion { bundle: *bundle, oid, path });
    }
    let wanted: Vec<Oid> = files.iter().copied().collect();
    let rows = catalog.find(repo, &wanted)?;
    let is_own = |oid: &Oid| rows.get(oid).is_some_and(|row| row.repo == repo);
    let (own, gone): (Vec<Oid>, Vec<Oid>) = wanted.iter().partition(|oid| is_own(oid));
    // Given up before, perhaps by an earlier run of this command, is as it is wanted.
    let redacted = catalog.redactions_of(&gone);
    if let Some(oid) = gone.into_iter().find(|oid| !redacted.contains_key(oid)) {
        return Err(NotRedacted::NoFile { oid });
    }
    (found.elsewhere, found.files) = own.into_iter().partition(|oid| stay.contains(oid));
    found.ask(git, true);
    Ok(found)
}

fn oid(content: &Content) -> Option<Oid> {
    match content {
        Content::File { oid, .. } => Some(*oid),
        Content::Link { .. } | Content::Module { .. } => None,
    }
}

/// What a page has: the versions of the repo that it belongs to, what of it goes, and the files that stay.
type Page = (Vec<BundleId>, Vec<Entry>, Vec<Oid>);

impl Redaction {
    fn none_of(catalog: &Catalog, repo: RepoId) -> Result<Redaction, NotRedacted> {
        if repo == RepoId::NIL {
            return Err(NotRedacted::Nameless);
        }
        Ok(Redaction {
            repo,
            planned_on: catalog.head().seq(),
            paths: vec![],
            versions: vec![],
            files: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            reached: BTreeSet::new(),
            overruled: false,
        })
    }

    /// Which of the files git may still ask for. Where nobody asks it, all of them if any is `of_git`.
    fn ask(&mut self, git: &Git<'_>, of_git: bool) {
        let is_reached = |oid: &&Oid| match git {
            Git::Seen { reach, .. } => reach.points_to(oid),
            Git::Unasked => of_git,
            Git::Overruled => false,
        };
        self.reached = self.files.iter().filter(is_reached).copied().collect();
    }

    /// What goes, of all versions.
    fn entries(&self) -> impl Iterator<Item = &Content> {
        self.versions.iter().flat_map(|it| it.entries.values())
    }

    /// Looks through every page of every version, and gives all files that some version has from then on.
    fn find(
        &mut self,
        catalog: &Catalog,
        is_meant: &(impl Fn(&Entry) -> bool + Sync),
    ) -> Result<HashSet<Oid>, NotRedacted> {
        let mut pages = Pages::of(catalog);
        if let Some((bundle, source)) = pages.unread.pop() {
            return Err(NotRedacted::Unread { bundle, source: Box::new(source) });
        }
        let repo = self.repo;
        let look = |entries: Vec<Entry>, versions: &[Arc<Root>]| -> Page {
            let own: Vec<BundleId> = versions.iter().filter(|it| it.repo == repo).map(|it| it.id).collect();
            let (out, rest): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(is_meant);
            // A page that another repo shares stays as it is there.
            let shared = out.iter().filter(|_| own.len() < versions.len());
            let stay = rest.iter().chain(shared).filter_map(|entry| oid(&entry.content)).collect();
            (own, out, stay)
        };
        let mut stay = HashSet::new();
        let mut losses: HashMap<BundleId, BTreeMap<Vec<u8>, Content>> = HashMap::new();
        for read in pages.each(look) {
            let (own, out, some) =
                read.map_err(|it| NotRedacted::Unread { bundle: it.versions[0].id, source: it.error })?;
            stay.extend(some);
            for bundle in own.into_iter().filter(|_| !out.is_empty()) {
                let entries = out.iter().map(|entry| (entry.path.clone(), entry.content.clone()));
                losses.entry(bundle).or_default().extend(entries);
            }
        }
        let bundles = catalog.state().bundles();
        let loss = |(bundle, entries)| Loss { bundle, root: bundles[&bundle].root, entries };
        self.versions = losses.into_iter().map(loss).collect();
        let seq = |it: &Loss| (catalog.state().bundles()[&it.bundle].seq, it.bundle);
        self.versions.sort_unstable_by_key(|it| std::cmp::Reverse(seq(it)));
        Ok(stay)
    }

    /// Do it, planning anew where somebody pushed meanwhile, and with git asked anew: what came may be files that it reaches, or commits
    /// that reach the same. What was done in the end. Interrupted, it is planned anew: files are given up before the versions are changed
    /// that they are found by.
    pub fn apply(self, catalog: &mut Catalog, again: Planner<'_>) -> Result<Redaction, NotRedacted> {
        probe_once(catalog)?;
        let mut planned = self;
        for _ in 0..ATTEMPTS {
            if !planned.reached.is_empty() && !planned.overruled {
                return Err(NotRedacted::Reached { files: planned.reached.into_iter().collect() });
            }
            match planned.write(catalog) {
                Err(CatalogError::Refused(refusal)) if refusal.outdates_plan() => {
                    catalog.refresh()?;
                    let anew = again(catalog)?;
                    // An earlier run of this machine, whose entry landed only now.
                    if anew.versions.is_empty() && anew.files.is_empty() {
                        return Ok(planned);
                    }
                    planned = anew;
                }
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(planned),
            }
        }
        Err(NotRedacted::Overtaken)
    }

    fn write(&self, catalog: &mut Catalog) -> Result<(), CatalogError> {
        // What an earlier run left may change what versions there are.
        catalog.settle()?;
        let files: Vec<Oid> = self.files.iter().copied().collect();
        let mut keys = files.chunks(MOST_FILES).peekable();
        let mut versions = self.versions.chunks(MOST_VERSIONS);
        while let Some(some) = keys.next() {
            let with = if keys.peek().is_none() { versions.next().unwrap_or_default() } else { &[] };
            self.write_part(catalog, with, some)?;
        }
        versions.try_for_each(|some| self.write_part(catalog, some, &[]))
    }

    /// One entry: these versions without what they lose, and these files given up.
    fn write_part(&self, catalog: &mut Catalog, versions: &[Loss], keys: &[Oid]) -> Result<(), CatalogError> {
        let mut revisions = Revisions::of(catalog);
        for loss in versions {
            let root = self.without(catalog, loss)?;
            let changes: Changes = loss.entries.keys().map(|path| (path.clone(), None)).collect();
            revisions.add(loss.root, root, changes)?;
        }
        let record = revisions.record(self.repo, self.planned_on, &self.paths, keys)?;
        catalog.commit(&record)?;
        // Others are served by it as well.
        let _: Result<(), CatalogError> = catalog.upkeep();
        Ok(())
    }

    /// The root of a version that says what it loses.
    fn without(&self, catalog: &Catalog, loss: &Loss) -> Result<Root, CatalogError> {
        if catalog.state().bundles().get(&loss.bundle).is_none_or(|it| it.root != loss.root) {
            return Err(Refusal::BaseRevised { bundle: loss.bundle }.into());
        }
        let mut root = root_of(catalog, loss.bundle)?;
        let is_had = |path: &&Vec<u8>| loss.entries.keys().any(|it| is_at_or_below(it, path));
        let new = self.paths.iter().filter(is_had);
        root.facts.redacted.extend(new.cloned().map(ByteBuf::from));
        root.facts.redacted.sort_unstable();
        root.facts.redacted.dedup();
        Ok(root)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::path::Path;

    use sha2::Digest;

    use super::*;
    use crate::bundle::{Bundle, Facts};
    use crate::cache::Cache;
    use crate::catalog::Journal;
    use crate::catalog::change::{Change, Drop};
    use crate::git::scratch::Scratch;
    use crate::git::{Depth, Pointer};
    use crate::ops::bundle::{Draft, Planned, open};
    use crate::ops::upload::{Upload, upload_bundle};
    use crate::progress::Silent;
    use crate::store::{Store, StoreUrl};

    const REPO: RepoId = RepoId::from_bytes([9; 16]);

    fn catalog(name: &str) -> Catalog {
        on(name, Journal::none())
    }

    fn on(name: &str, journal: Journal) -> Catalog {
        let url = StoreUrl::parse(&format!("memory:redact-{name}")).expect("a URL");
        Catalog::create(Store::open(&url).expect("memory"), Cache::none(), journal).expect("a store")
    }

    /// Makes a version with these files, by path; `meanwhile` runs when they were read and nothing has landed.
    fn make(
        catalog: &mut Catalog,
        folder: &Path,
        base: Option<Root>,
        files: &[(&str, &[u8])],
        meanwhile: &dyn Fn(),
    ) -> BundleId {
        let mut changes = BTreeMap::new();
        let mut uploads = Vec::new();
        for (name, bytes) in files {
            let oid = Oid::from_bytes(sha2::Sha256::digest(bytes).into());
            let (path, size) = (folder.join(oid.to_string()), bytes.len() as u64);
            fs::write(&path, bytes).expect("written");
            uploads.push(Upload { oid: Some(oid), size, path, previous: None });
            changes.insert(name.as_bytes().to_vec(), Some(Planned::File { executable: false, oid, size }));
        }
        let facts = Facts { parents: base.iter().map(|root| root.id).collect(), ..Facts::default() };
        let drafting = |_: &_| {
            meanwhile();
            Draft::new(base.clone(), facts.clone(), changes.clone())
        };
        let made = upload_bundle(catalog, REPO, &uploads, &drafting, &Silent).expect("made");
        made.bundle.expect("a bundle")
    }

    fn paths(bundle: &Bundle<'_>) -> Vec<String> {
        let entries = bundle.below(b"").expect("reads");
        entries.into_iter().map(|it| String::from_utf8(it.path).expect("text")).collect()
    }

    fn take_out(catalog: &mut Catalog, path: &str) -> Redaction {
        let look = |catalog: &Catalog| plan(catalog, REPO, &[path.into()], &Git::Unasked);
        look(catalog).expect("planned").apply(catalog, &look).expect("done")
    }

    #[test]
    fn a_version_that_was_begun_before_shares_no_page_with_the_file() {
        let folder = tempfile::tempdir().expect("a directory");
        let (mut one, mut other) = (catalog("begun"), catalog("begun"));
        let first = make(&mut one, folder.path(), None, &[("open", b"o"), ("secret", b"s")], &|| ());
        let base = open(&one, first).expect("opens").root().clone();
        let once = std::cell::Cell::new(true);
        let other = RefCell::new(&mut other);
        let meanwhile = || {
            if once.take() {
                let mut other = other.borrow_mut();
                other.refresh().expect("reads");
                assert_eq!(take_out(&mut other, "secret").versions.len(), 1);
            }
        };
        let second = make(&mut one, folder.path(), Some(base.clone()), &[("new", b"n")], &meanwhile);
        let made = open(&one, second).expect("opens");
        assert_eq!(paths(&made), ["new", "open"]);
        assert_eq!(made.root().facts.redacted, [ByteBuf::from(b"secret".to_vec())]);
        // One that is planned on the old root after the change was seen takes the new one.
        let third = make(&mut one, folder.path(), Some(base), &[("newer", b"n")], &|| ());
        assert_eq!(paths(&open(&one, third).expect("opens")), ["newer", "open"]);
    }

    #[test]
    fn a_version_that_two_redactions_overtake_shares_no_page_with_either_file() {
        // With a journal what was sent is taken over, and the session that sent it has seen neither.
        let kept = tempfile::tempdir().expect("a directory");
        for (name, journal) in [("two", Journal::none()), ("two-kept", Journal::at(kept.path().to_owned()))] {
            let folder = tempfile::tempdir().expect("a directory");
            let (mut one, other) = (on(name, journal), RefCell::new(catalog(name)));
            let files: [(&str, &[u8]); 3] = [("hidden", b"h"), ("open", b"o"), ("secret", b"s")];
            let first = make(&mut one, folder.path(), None, &files, &|| ());
            let base = open(&one, first).expect("opens").root().clone();
            let left = RefCell::new(vec!["hidden", "secret"]);
            let meanwhile = || {
                if let Some(path) = left.borrow_mut().pop() {
                    let mut other = other.borrow_mut();
                    other.refresh().expect("reads");
                    assert_eq!(take_out(&mut other, path).versions.len(), 1);
                }
            };
            let second = make(&mut one, folder.path(), Some(base), &[("new", b"n")], &meanwhile);
            assert!(left.borrow().is_empty(), "it was begun three times");
            let made = open(&one, second).expect("opens");
            assert_eq!(paths(&made), ["new", "open"], "{name}");
            assert_eq!(made.root().facts.redacted, [&b"hidden"[..], b"secret"].map(ByteBuf::from));
        }
    }

    /// Its base is redacted and given up; what another version lost afterwards is not in it either.
    #[test]
    fn a_version_whose_base_is_gone_has_nothing_that_was_taken_out() {
        let folder = tempfile::tempdir().expect("a directory");
        let (mut one, other) = (catalog("gone"), RefCell::new(catalog("gone")));
        let files: [(&str, &[u8]); 3] = [("hidden", b"h"), ("open", b"o"), ("secret", b"s")];
        let first = make(&mut one, folder.path(), None, &files, &|| ());
        let base = open(&one, first).expect("opens").root().clone();
        make(&mut one, folder.path(), Some(base.clone()), &[("too", b"t")], &|| ());
        let times = std::cell::Cell::new(0);
        let meanwhile = || {
            let mut other = other.borrow_mut();
            other.refresh().expect("reads");
            match times.replace(times.get() + 1) {
                0 => {
                    assert_eq!(take_out(&mut other, "secret").versions.len(), 2);
                    let seq = other.head().seq();
                    let gone = Drop { planned_on: seq, keys: vec![], bundles: vec![first] };
                    let gone = other.record(seq, Change::Drop(gone));
                    other.commit(&gone).expect("dropped");
                }
                // By now its base is known to be gone.
                2 => assert_eq!(take_out(&mut other, "hidden").versions.len(), 1),
                _ => {}
            }
        };
        let second = make(&mut one, folder.path(), Some(base), &[("new", b"n")], &meanwhile);
        assert_eq!(times.get(), 4, "it was begun again after each");
        let made = open(&one, second).expect("opens");
        assert_eq!(paths(&made), ["new", "open"]);
        assert_eq!(made.root().facts.redacted.len(), 2);
    }

    #[test]
    fn a_version_that_comes_meanwhile_is_looked_at_too() {
        let folder = tempfile::tempdir().expect("a directory");
        let (mut one, mut other) = (catalog("meanwhile"), catalog("meanwhile"));
        let first = make(&mut one, folder.path(), None, &[("a/secret", b"s"), ("b", b"b")], &|| ());
        other.refresh().expect("reads");
        let look = |catalog: &Catalog| plan(catalog, REPO, &[b"a".to_vec()], &Git::Unasked);
        let planned = look(&other).expect("planned");
        let base = open(&one, first).expect("opens").root().clone();
        let second = make(&mut one, folder.path(), Some(base), &[("a/more", b"m")], &|| ());
        let done = planned.apply(&mut other, &look).expect("done");
        assert_eq!(done.versions.iter().map(|it| it.bundle).collect::<Vec<_>>(), [second, first]);
        assert_eq!(done.files.len(), 2);
        for id in [first, second] {
            let bundle = open(&other, id).expect("opens");
            assert_eq!((paths(&bundle), bundle.root().facts.revision), (vec!["b".to_owned()], 1));
        }
    }

    /// What somebody commits here and pushes between the plan and the entry is asked about as the rest was.
    #[test]
    fn git_is_asked_anew_where_it_is_planned_anew() {
        let folder = tempfile::tempdir().expect("a directory");
        let (mut one, mut other) = (catalog("reached"), catalog("reached"));
        let first = make(&mut one, folder.path(), None, &[("a", b"a"), ("b", b"b")], &|| ());
        let git = Scratch::new();
        git.commit(&[("b", b"b")]);
        other.refresh().expect("reads");
        let look = |catalog: &Catalog| {
            let (repo, objects) = (git.repo(), git.objects());
            let seen = Git::Seen { reach: &repo.reach(Depth::History)?, objects: &objects, unknown: false };
            plan(catalog, REPO, &[b"a".to_vec()], &seen)
        };
        let planned = look(&other).expect("planned");
        assert!(planned.reached.is_empty() && planned.files.len() == 1, "{planned:?}");
        let new = Oid::from_bytes(sha2::Sha256::digest(b"new").into());
        git.commit(&[("a", &Pointer { oid: new, size: 3 }.canonical())]);
        let base = open(&one, first).expect("opens").root().clone();
        let second = make(&mut one, folder.path(), Some(base), &[("a", b"new")], &|| ());
        let refused = planned.apply(&mut other, &look).expect_err("git reaches it");
        assert!(matches!(&refused, NotRedacted::Reached { files } if *files == [new]), "{refused}");
        for id in [first, second] {
            assert_eq!(paths(&open(&other, id).expect("opens")), ["a", "b"], "nothing was done");
        }
    }

    #[test]
    fn a_file_that_is_gone_is_told_by_the_redaction_that_took_it() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut one = catalog("told");
        let [secret, open] = [b"s", b"o"].map(|bytes| Oid::from_bytes(sha2::Sha256::digest(bytes).into()));
        let told = |catalog: &Catalog| {
            let found = catalog.redactions_of(&[open, secret]);
            found.into_iter().map(|(oid, by)| (oid, by.seq)).collect::<Vec<_>>()
        };
        let files: [(&str, &[u8]); 2] = [("open", b"o"), ("secret", b"s")];
        let first = make(&mut one, folder.path(), None, &files, &|| ());
        assert_eq!(told(&one), []);
        take_out(&mut one, "secret");
        let seq = one.state().bundles()[&first].revised;
        assert_eq!(told(&one), [(secret, seq)]);
        one.write_checkpoint().expect("written");
        one.refresh().expect("reads");
        assert_eq!(told(&one), [(secret, seq)]);
        // What came again and was given up by a Drop was not redacted.
        make(&mut one, folder.path(), None, &files, &|| ());
        let planned_on = one.head().seq();
        let gone = Drop { planned_on, keys: vec![(secret, REPO)], bundles: vec![] };
        one.commit(&one.record(planned_on, Change::Drop(gone))).expect("dropped");
        assert_eq!(told(&one), []);
    }

    #[test]
    fn versions_that_share_a_page_share_the_new_one() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut one = catalog("shared");
        let names: Vec<String> = (0..3000).map(|n| format!("file-{n:04}")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"same"[..])).collect();
        let mut last = make(&mut one, folder.path(), None, &files, &|| ());
        for n in 0..5u8 {
            let base = open(&one, last).expect("opens").root().clone();
            last = make(&mut one, folder.path(), Some(base), &[("file-2999", &[n])], &|| ());
        }
        let done = take_out(&mut one, "file-0000");
        assert_eq!((done.versions.len(), done.files.len(), done.elsewhere.len()), (6, 0, 1));
        let pages = |id: BundleId| open(&one, id).expect("opens").root().pages.clone();
        let all: BTreeSet<_> = done.versions.iter().map(|it| pages(it.bundle)[0].blob.offset).collect();
        assert_eq!(all.len(), 1, "the first page is written once");
        for it in &done.versions {
            assert_eq!(paths(&open(&one, it.bundle).expect("opens")).len(), 2999);
        }
    }
}

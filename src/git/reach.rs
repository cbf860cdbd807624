//! Reach: what of this repository somebody may still come back to, as git itself would keep it, and what its remotes show.
//!
//! Who means to give something up must not take a clone for the whole: a shallow, partial or single-branch clone is refused, and so
//! is one that lacks what a remote shows. Git's own walk is taken (`git rev-list --objects`, as in `git gc`), with nothing replaced.

use std::collections::HashSet;

use gix::ObjectId;

use crate::git::command::{Git, GitFailed};
use crate::git::objects::{Objects, ObjectsError};
use crate::git::repo::Repo;
use crate::git::wholeness::Lack;
use crate::id::{GitId, Oid};

/// How far is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every commit that refs, reflogs, the stash, work trees and remotes lead to.
    History,
    /// Only what refs, the stash, work trees and remotes name themselves.
    Tips,
}

/// A clone that does not show all there is.
#[derive(Debug, thiserror::Error)]
pub enum Unseen {
    /// It has not all of the history.
    #[error("{lack}: what it does not have cannot be looked through; {} brings it", .lack.remedy())]
    Lack {
        /// What it lacks.
        lack: Lack,
    },
    /// It does not fetch all branches.
    #[error(
        "this clone fetches only some of the branches of {remote}: `git remote set-branches {remote} '*'` and `git fetch {remote}` bring the others"
    )]
    SomeBranches {
        /// The remote.
        remote: String,
    },
    /// A remote shows what was not fetched.
    #[error(
        "{remote} has {name}, which this clone has not: `git fetch {remote} '+refs/*:refs/datamon/{remote}/*'` brings all that it shows"
    )]
    Unfetched {
        /// The remote.
        remote: String,
        /// The ref.
        name: String,
    },
    /// A remote says nothing.
    #[error("what {remote} has cannot be asked: {source}")]
    Silent {
        /// The remote.
        remote: String,
        /// What git said.
        source: GitFailed,
    },
    /// Git says nothing.
    #[error(transparent)]
    Git(#[from] GitFailed),
    /// Objects cannot be read.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
}

/// What is reached.
#[derive(Debug, Default)]
pub struct Reach {
    /// Commits, trees and blobs.
    objects: HashSet<ObjectId>,
    /// What the pointers among them point to.
    pointed: HashSet<Oid>,
}

impl Reach {
    /// Whether a commit or tree is reached.
    pub fn holds(&self, id: &GitId) -> bool {
        ObjectId::try_from(id.as_bytes()).is_ok_and(|id| self.objects.contains(&id))
    }

    /// Whether a pointer to the file is reached.
    pub fn points_to(&self, oid: &Oid) -> bool {
        self.pointed.contains(oid)
    }
}

/// Git said something that is no object.
fn odd(line: &[u8]) -> GitFailed {
    let what = format!("it said {:?}", String::from_utf8_lossy(line));
    let source = std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    GitFailed::Pipe { command: "git rev-list".to_owned(), source }
}

impl Repo {
    /// Everything that is reached from here, and from what the remotes show.
    pub fn reach(&self, depth: Depth) -> Result<Reach, Unseen> {
        if let Some(lack) = self.lack()? {
            return Err(Unseen::Lack { lack });
        }
        let objects = self.objects()?.only_local();
        let mut tips = objects.all_tips()?;
        tips.extend(objects.checkout_tips()?);
        for remote in self.remotes() {
            tips.extend(self.shown_by(&remote, &objects)?);
        }
        tips.sort_unstable();
        tips.dedup();
        self.walk(&objects, &tips, depth)
    }

    /// What a remote shows: all of it has to be here.
    fn shown_by(&self, remote: &str, objects: &Objects) -> Result<Vec<ObjectId>, Unseen> {
        if self.fetches_some(remote)? {
            return Err(Unseen::SomeBranches { remote: remote.to_owned() });
        }
        let silent = |source| Unseen::Silent { remote: remote.to_owned(), source };
        let listed = self.git().run(["ls-remote", "--", remote]).map_err(silent)?;
        let mut shown = Vec::new();
        for line in listed.split(|byte| *byte == b'\n') {
            let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
            let Ok(id) = ObjectId::from_hex(&line[..tab]) else { continue };
            let name = String::from_utf8_lossy(&line[tab + 1..]).into_owned();
            // Notes are about commits and lead to none, and hardly anybody fetches them.
            if name.starts_with("refs/notes/") {
                continue;
            }
            match objects.known(id) {
                Some(id) => shown.push(id),
                None => return Err(Unseen::Unfetched { remote: remote.to_owned(), name }),
            }
        }
        Ok(shown)
    }

    /// Whether the clone is set up to fetch branches of a remote, and not all of them.
    fn fetches_some(&self, remote: &str) -> Result<bool, GitFailed> {
        // None at all is no answer.
        let said = self.git().output(["config", "--get-all", &format!("remote.{remote}.fetch")])?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let specs = || said.lines().map(|line| line.trim_start_matches('+'));
        let all = |spec: &str| spec.starts_with("refs/heads/*:") || spec.starts_with("refs/*:");
        Ok(specs().any(|spec| spec.starts_with("refs/heads/")) && !specs().any(all))
    }

    fn walk(&self, objects: &Objects, tips: &[ObjectId], depth: Depth) -> Result<Reach, Unseen> {
        let git: Git = self.git().clone().with_env("GIT_NO_REPLACE_OBJECTS", Some("1"));
        let stdin: String = tips.iter().map(|id| format!("{id}\n")).collect();
        let how: &[&str] = match depth {
            Depth::History => &["--all", "--reflog"],
            Depth::Tips => &["--no-walk"],
        };
        let words = ["rev-list", "--objects", "--no-object-names", "--indexed-objects"];
        let listed =
            git.run_with_stdin(words.iter().chain(how).chain(&["--stdin"]).copied(), stdin.as_bytes())?;
        let mut reach = Reach::default();
        for line in listed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let id = ObjectId::from_hex(line).map_err(|_| odd(line))?;
            reach.pointed.extend(objects.pointer(id)?.map(|pointer| pointer.oid));
            reach.objects.insert(id);
        }
        Ok(reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::pointer::Pointer;
    use crate::git::scratch::Scratch;

    fn oid(n: u8) -> Oid {
        Oid::from_bytes([n; 32])
    }

    fn pointer(n: u8) -> Vec<u8> {
        Pointer { oid: oid(n), size: 5 }.canonical()
    }

    fn seen(repo: &Repo, depth: Depth) -> Vec<u8> {
        let reach = repo.reach(depth).unwrap();
        (0..20).filter(|n| reach.points_to(&oid(*n))).collect()
    }

    #[test]
    fn whatever_git_would_keep_is_reached() {
        let scratch = Scratch::new();
        let first = scratch.commit(&[("a", &pointer(1))]);
        scratch.git.run(["update-ref", "refs/odd/place", "HEAD"]).unwrap();
        scratch.commit(&[("a", &pointer(2))]);
        // Only the reflog knows it.
        scratch.git.run(["reset", "-q", "--hard", &first]).unwrap();
        scratch.commit(&[("a", &pointer(3)), ("b", &pointer(4))]);
        // The stash, and an older entry of it.
        for n in [5, 6] {
            std::fs::write(scratch.path().join("a"), pointer(n)).unwrap();
            scratch.git.run(["stash", "-q"]).unwrap();
        }
        // Staged and never committed, here and in another work tree.
        std::fs::write(scratch.path().join("staged"), pointer(7)).unwrap();
        scratch.git.run(["add", "staged"]).unwrap();
        let linked = scratch.beside("linked");
        scratch.git.run(["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]).unwrap();
        std::fs::write(linked.join("there"), pointer(8)).unwrap();
        scratch.git_at(&linked).run(["add", "there"]).unwrap();
        // What `git replace` hides is there all the same.
        scratch.git.run(["tag", "hidden"]).unwrap();
        let other = scratch.says(&["commit-tree", "-m", "x", "HEAD^{tree}"]);
        scratch.git.run(["replace", "HEAD", &other]).unwrap();
        assert_eq!(seen(&scratch.repo(), Depth::History), [1, 2, 3, 4, 5, 6, 7, 8]);
        let tips = seen(&scratch.repo(), Depth::Tips);
        assert!(!tips.contains(&2) && [1, 3, 4, 6, 7, 8].iter().all(|n| tips.contains(n)), "{tips:?}");
        let reach = scratch.repo().reach(Depth::History).unwrap();
        let id = |hex: &str| hex.parse::<GitId>().unwrap();
        assert!(reach.holds(&id(&first)) && reach.holds(&id(&scratch.says(&["rev-parse", "HEAD^{tree}"]))));
        assert!(!reach.holds(&id("1234567890123456789012345678901234567890")));
    }

    #[test]
    fn a_clone_that_does_not_show_all_there_is_is_refused() {
        let scratch = Scratch::new();
        scratch.commit(&[("a", &pointer(1))]);
        scratch.git.run(["branch", "other"]).unwrap();
        scratch.commit(&[("a", &pointer(2))]);
        scratch.git.run(["config", "uploadpack.allowFilter", "true"]).unwrap();
        let url = format!("file://{}", scratch.path().display());
        let clone = |name: &str, how: &[&str]| {
            let path = scratch.beside(name);
            let words = [&["clone", "-q"], how, &[&url, path.to_str().unwrap()]].concat();
            scratch.git.run(words).unwrap();
            scratch.git_at(&path)
        };
        let refused = |git: &Git| Repo::found_by(git.clone()).unwrap().reach(Depth::History).unwrap_err();
        assert!(matches!(refused(&clone("shallow", &["--depth=1"])), Unseen::Lack { .. }));
        assert!(matches!(refused(&clone("partial", &["--filter=tree:0"])), Unseen::Lack { .. }));
        let single = clone("single", &["--single-branch", "--branch=main"]);
        assert!(matches!(refused(&single), Unseen::SomeBranches { .. }));
        single.run(["remote", "set-branches", "origin", "*"]).unwrap();
        single.run(["fetch", "-q"]).unwrap();
        assert_eq!(seen(&Repo::found_by(single).unwrap(), Depth::History), [1, 2]);
        // Somebody pushes what this clone does not know yet, to a place that is never fetched.
        let whole = clone("whole", &[]);
        scratch.commit(&[("a", &pointer(3))]);
        scratch.git.run(["update-ref", "refs/pull/1/head", "HEAD"]).unwrap();
        scratch.git.run(["reset", "-q", "--hard", "HEAD~"]).unwrap();
        let error = refused(&whole).to_string();
        assert!(error.contains("refs/pull/1/head"), "{error}");
        // What is proposed works as it stands.
        whole.run(["fetch", "-q", "origin", "+refs/*:refs/datamon/origin/*"]).unwrap();
        assert_eq!(seen(&Repo::found_by(whole.clone()).unwrap(), Depth::History), [1, 2, 3]);
        whole.run(["remote", "set-url", "origin", "file:///nowhere/at/all"]).unwrap();
        assert!(matches!(refused(&whole), Unseen::Silent { .. }));
    }
}

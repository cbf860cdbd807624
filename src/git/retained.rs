//! Retained: what this clone may want at once, which `git lfs prune` would keep here too.
//!
//! That is what is checked out or staged in any work tree, what is stashed, what recent refs lead to, and what was not pushed yet. How
//! recent is said by the keys that git-lfs reads for it.

use std::collections::HashSet;

use gix::ObjectId;

use crate::git::command::GitFailed;
use crate::git::config::DEFAULT_REMOTE;
use crate::git::objects::{Objects, ObjectsError};
use crate::git::repo::Repo;
use crate::id::Oid;

/// Seconds of a day.
const DAY: i64 = 24 * 3600;

/// How far git-lfs looks back, in days.
struct Recent {
    /// `lfs.fetchrecentrefsdays`: refs whose newest commit is so young; none where it is 0.
    refs: i64,
    /// `lfs.fetchrecentremoterefs`: those of remotes too.
    remote_refs: bool,
    /// `lfs.fetchrecentcommitsdays`: what those refs led to so long before; nothing where it is 0.
    commits: i64,
    /// `lfs.pruneoffsetdays`: so much longer than a fetch would bring it.
    offset: i64,
}

impl Recent {
    fn of(repo: &Repo) -> Recent {
        let text = |key: &str| Some(String::from_utf8_lossy(repo.config().get(key)?).into_owned());
        let days = |key: &str, default: i64| {
            text(key).and_then(|value| value.trim().parse().ok()).filter(|days| *days >= 0).unwrap_or(default)
        };
        let remote_refs = repo.config().get("lfs.fetchrecentremoterefs").is_none()
            || repo.config().is_true("lfs.fetchrecentremoterefs");
        Recent {
            refs: days("lfs.fetchrecentrefsdays", 7),
            remote_refs,
            commits: days("lfs.fetchrecentcommitsdays", 0),
            offset: days("lfs.pruneoffsetdays", 3),
        }
    }
}

/// A ref and the date of what it leads to, seconds since 1970.
struct Dated {
    commit: ObjectId,
    date: i64,
}

impl Repo {
    /// What is pointed to from there. `now` is in seconds since 1970. What a partial clone lacks points to nothing here.
    pub fn retained(&self, now: i64) -> Result<HashSet<Oid>, ObjectsError> {
        let objects = self.objects()?.only_local();
        let recent = Recent::of(self);
        let refs = self.recent_refs(&recent, now)?;
        let mut tips: Vec<String> = objects.checkouts()?.iter().map(ToString::to_string).collect();
        tips.extend(objects.head()?.map(|head| head.to_string()));
        // A stash has what was staged, and what git did not know, beside it.
        let stashed = self.git().run(["rev-list", "--walk-reflogs", "refs/stash", "--"]).unwrap_or_default();
        let stashed = String::from_utf8_lossy(&stashed).into_owned();
        tips.extend(stashed.lines().map(|commit| format!("{commit}^@")));
        tips.extend(refs.iter().map(|it| it.commit.to_string()));
        let mut found = HashSet::new();
        self.pointed(&objects, &["--no-walk", "--indexed-objects"], &tips, &mut found)?;
        self.pointed(&objects, &["--branches", "--tags"], &self.not_pushed(&objects)?, &mut found)?;
        if recent.commits > 0 {
            let head = objects.head()?.map(|commit| self.dated(commit)).transpose()?;
            for tip in refs.iter().chain(&head) {
                let since = tip.date.saturating_sub((recent.commits + recent.offset).saturating_mul(DAY));
                let since = format!("--since={since}");
                self.pointed(&objects, &[&since], &[tip.commit.to_string()], &mut found)?;
            }
        }
        Ok(found)
    }

    /// What is checked out in any work tree, without what the remote has that is asked about: `lfs.pruneremotetocheck`.
    fn not_pushed(&self, objects: &Objects) -> Result<Vec<String>, ObjectsError> {
        let named = self
            .config()
            .get("lfs.pruneremotetocheck")
            .map(|name| String::from_utf8_lossy(name).into_owned());
        let only = || Some(DEFAULT_REMOTE.to_owned()).filter(|name| self.remotes().contains(name));
        let remote = named.or_else(only).unwrap_or_else(|| self.push_remote());
        let mut words: Vec<String> = objects.checkouts()?.iter().map(ToString::to_string).collect();
        words.extend(objects.head()?.map(|head| head.to_string()));
        words.extend(objects.remote_tips(&remote)?.iter().map(|id| format!("^{id}")));
        Ok(words)
    }

    fn recent_refs(&self, recent: &Recent, now: i64) -> Result<Vec<Dated>, ObjectsError> {
        if recent.refs == 0 {
            return Ok(vec![]);
        }
        let since = now.saturating_sub((recent.refs + recent.offset).saturating_mul(DAY));
        let mut words =
            vec!["for-each-ref", "--format=%(creatordate:unix) %(objectname)", "refs/heads", "refs/tags"];
        words.extend(recent.remote_refs.then_some("refs/remotes"));
        let listed = self.git().run(words).map_err(ObjectsError::Git)?;
        let dated = |line: &str| {
            let (date, id) = line.split_once(' ')?;
            Some(Dated { date: date.parse().ok()?, commit: ObjectId::from_hex(id.as_bytes()).ok()? })
        };
        Ok(String::from_utf8_lossy(&listed).lines().filter_map(dated).filter(|it| it.date >= since).collect())
    }

    fn dated(&self, commit: ObjectId) -> Result<Dated, ObjectsError> {
        let words = ["show", "-s", "--format=%ct", &commit.to_string()];
        let said = self.git().run(words).map_err(ObjectsError::Git)?;
        Ok(Dated { commit, date: String::from_utf8_lossy(&said).trim().parse().unwrap_or(i64::MAX) })
    }

    /// What pointers point to that git lists so.
    fn pointed(
        &self,
        objects: &Objects,
        how: &[&str],
        tips: &[String],
        found: &mut HashSet<Oid>,
    ) -> Result<(), ObjectsError> {
        let git = self.git().clone().with_env("GIT_NO_REPLACE_OBJECTS", Some("1"));
        let words = ["rev-list", "--objects", "--no-object-names", "--missing=allow-any", "--ignore-missing"];
        let stdin: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
        let listed =
            git.run_with_stdin(words.iter().chain(how).chain(&["--stdin"]).copied(), stdin.as_bytes());
        let listed = listed.map_err(ObjectsError::Git)?;
        for line in listed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let odd = || {
                let what = format!("it said {:?}", String::from_utf8_lossy(line));
                let source = std::io::Error::new(std::io::ErrorKind::InvalidData, what);
                ObjectsError::Git(GitFailed::Pipe { command: "git rev-list".to_owned(), source })
            };
            let id = ObjectId::from_hex(line).map_err(|_| odd())?;
            found.extend(objects.pointer(id)?.map(|pointer| pointer.oid));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::pointer::Pointer;
    use crate::git::scratch::{Scratch, said};

    fn pointer(n: u8) -> Vec<u8> {
        Pointer { oid: Oid::from_bytes([n; 32]), size: 5 }.canonical()
    }

    /// Commits of these tests are of this second.
    const THEN: i64 = 1_700_000_000;

    fn kept(scratch: &Scratch, now: i64) -> Vec<u8> {
        let kept = scratch.repo().retained(now).unwrap();
        (0..20).filter(|n| kept.contains(&Oid::from_bytes([*n; 32]))).collect()
    }

    #[test]
    fn what_is_worked_on_or_young_or_not_pushed_stays() {
        let scratch = Scratch::new();
        scratch.commit(&[("a", &pointer(1))]);
        scratch.commit(&[("a", &pointer(2))]);
        scratch.git.run(["branch", "-q", "old"]).unwrap();
        scratch.commit(&[("a", &pointer(3))]);
        // All of it was pushed.
        scratch.git.run(["update-ref", "refs/remotes/origin/main", "HEAD"]).unwrap();
        said(&scratch.git, &["remote", "add", "origin", "https://example.org/x"]);
        let later = THEN + 11 * DAY;
        assert_eq!(kept(&scratch, later), [3], "only what is checked out");
        assert_eq!(kept(&scratch, THEN + 9 * DAY), [2, 3], "a branch is kept for seven days and three");
        for (key, value, wanted) in [
            ("lfs.pruneoffsetdays", "4", &[2, 3][..]),
            ("lfs.pruneoffsetdays", "3", &[3]),
            ("lfs.fetchrecentrefsdays", "8", &[2, 3]),
            ("lfs.fetchrecentcommitsdays", "1", &[1, 2, 3]),
            ("lfs.fetchrecentrefsdays", "0", &[1, 2, 3]),
            ("lfs.fetchrecentcommitsdays", "0", &[3]),
        ] {
            scratch.git.run(["config", key, value]).unwrap();
            assert_eq!(kept(&scratch, later), wanted, "{key} {value}");
        }
        // What was staged is stashed beside what was changed.
        std::fs::write(scratch.path().join("a"), pointer(4)).unwrap();
        scratch.git.run(["add", "a"]).unwrap();
        std::fs::write(scratch.path().join("a"), pointer(5)).unwrap();
        scratch.git.run(["stash", "-q"]).unwrap();
        std::fs::write(scratch.path().join("staged"), pointer(6)).unwrap();
        scratch.git.run(["add", "staged"]).unwrap();
        let linked = scratch.beside("linked");
        scratch.git.run(["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]).unwrap();
        std::fs::write(linked.join("there"), pointer(7)).unwrap();
        scratch.git_at(&linked).run(["add", "there"]).unwrap();
        assert_eq!(kept(&scratch, later), [3, 4, 5, 6, 7]);
        // On a branch that nobody pushed, two commits back.
        scratch.git.run(["checkout", "-q", "-b", "mine"]).unwrap();
        for n in [8, 9] {
            scratch.commit(&[("b", &pointer(n))]);
        }
        scratch.git.run(["checkout", "-q", "main"]).unwrap();
        assert_eq!(kept(&scratch, later), [3, 4, 5, 6, 7, 8, 9]);
        scratch.git.run(["config", "lfs.pruneremotetocheck", "elsewhere"]).unwrap();
        assert_eq!(kept(&scratch, later), [1, 2, 3, 4, 5, 6, 7, 8, 9], "nothing is known to be there");
    }
}

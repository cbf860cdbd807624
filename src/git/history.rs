//! The history of a commit as `git log` lists it.

use gix::ObjectId;

use crate::git::authorship::{Authorship, FIELDS, FORMAT, PLAINLY};
use crate::git::command::GitFailed;
use crate::git::repo::Repo;

/// A commit in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The commit.
    pub commit: ObjectId,
    /// What it says of itself.
    pub said: Authorship,
}

impl Repo {
    /// `tip` and what came before it, newest first and at most `most`; below paths only commits that touch one of them.
    pub fn history(
        &self,
        tip: ObjectId,
        paths: &[Vec<u8>],
        most: Option<usize>,
    ) -> Result<Vec<Listed>, GitFailed> {
        let (format, tip) = (format!("--format=%H%x00{FORMAT}"), tip.to_string());
        let most = most.map(|most| format!("--max-count={most}"));
        let words = ["log", "-z", &format].into_iter().chain(PLAINLY).chain(most.as_deref());
        let words = words.chain([&*tip, "--"]).map(std::ffi::OsString::from);
        let paths = paths.iter().filter(|path| !path.is_empty());
        let specs = paths.map(|path| super::repo::path_of(&[b":(top,literal)", &path[..]].concat()).into());
        let said = self.git().run(words.chain(specs))?;
        let said = String::from_utf8_lossy(&said);
        let fields: Vec<&str> = said.split('\0').collect();
        Ok(fields.chunks_exact(1 + FIELDS).filter_map(listed).collect())
    }
}

fn listed(fields: &[&str]) -> Option<Listed> {
    let commit = ObjectId::from_hex(fields.first()?.as_bytes()).ok()?;
    Some(Listed { commit, said: Authorship::of(&fields[1..]) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    #[test]
    fn a_history_is_listed_newest_first_and_below_a_path() {
        let scratch = Scratch::new();
        let one = scratch.commit(&[("data/a b/x", b"1")]);
        let two = scratch.commit(&[("other", b"1")]);
        let three = scratch.commit(&[("data/a b/x", b"2")]);
        scratch.git.run(["config", "log.showSignature", "true"]).unwrap();
        std::fs::create_dir(scratch.path().join("sub")).unwrap();
        let repo = Repo::found_by(scratch.git_at(&scratch.path().join("sub"))).unwrap();
        let tip = repo.objects().unwrap().head().unwrap().unwrap();
        let list = |path: &[u8], most| -> Vec<String> {
            let found = repo.history(tip, &[path.to_vec()], most).unwrap();
            assert!(
                found
                    .iter()
                    .all(|it| it.said.people == ["Test <test@example.org>"] && it.said.time == 1_700_000_000)
            );
            found.iter().map(|it| it.commit.to_string()).collect()
        };
        assert_eq!(list(b"", None), [three.clone(), two.clone(), one.clone()]);
        assert_eq!(list(b"", Some(2)), [three.clone(), two]);
        assert_eq!(list(b"data/a b", None), [three, one]);
    }
}

//! The history of a commit as `git log` lists it.

use gix::ObjectId;

use crate::git::command::GitFailed;
use crate::git::repo::Repo;

/// A commit in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The commit.
    pub commit: ObjectId,
    /// Its author, as `Name <mail>`.
    pub author: String,
    /// When it was committed, seconds since 1970.
    pub time: u64,
    /// The first line of its message.
    pub subject: String,
}

impl Repo {
    /// `tip` and what came before it, newest first and at most `most`; below a path only commits that touch it.
    pub fn history(&self, tip: ObjectId, path: &[u8], most: Option<usize>) -> Result<Vec<Listed>, GitFailed> {
        // What a user configures for `git log` is not for programs.
        let mut args: Vec<String> =
            ["-c", "log.showSignature=false", "log", "--no-color", "--format=%H%x00%an <%ae>%x00%ct%x00%s"]
                .map(str::to_owned)
                .to_vec();
        args.extend(most.map(|most| format!("--max-count={most}")));
        args.push(tip.to_string());
        args.push("--".to_owned());
        let mut args: Vec<std::ffi::OsString> = args.into_iter().map(Into::into).collect();
        if !path.is_empty() {
            let mut spec = b":(top,literal)".to_vec();
            spec.extend_from_slice(path);
            args.push(super::repo::path_of(&spec).into());
        }
        let said = self.git().run(args)?;
        Ok(said.split(|b| *b == b'\n').filter_map(listed).collect())
    }
}

fn listed(line: &[u8]) -> Option<Listed> {
    let mut fields = line.split(|b| *b == 0);
    let commit = ObjectId::from_hex(fields.next()?).ok()?;
    let mut text = || fields.next().map(|field| String::from_utf8_lossy(field).into_owned());
    let (author, time) = (text()?, text()?.parse().unwrap_or_default());
    // What is left is the subject, whatever is in it.
    Some(Listed { commit, author, time, subject: text()? })
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
            let found = repo.history(tip, path, most).unwrap();
            assert!(
                found.iter().all(|it| (&*it.author, it.time) == ("Test <test@example.org>", 1_700_000_000))
            );
            found.iter().map(|it| it.commit.to_string()).collect()
        };
        assert_eq!(list(b"", None), [three.clone(), two.clone(), one.clone()]);
        assert_eq!(list(b"", Some(2)), [three.clone(), two]);
        assert_eq!(list(b"data/a b", None), [three, one]);
    }
}

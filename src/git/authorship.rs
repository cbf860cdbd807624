//! Who made a commit, and what they said: what git tells of it, in UTF-8, whatever encoding the commit has.

use gix::ObjectId;

use crate::git::command::GitFailed;
use crate::git::repo::Repo;

/// What a commit says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorship {
    /// The whole message.
    pub message: String,
    /// The author, co-authors and the committer, each once, as `Name <mail>`.
    pub people: Vec<String>,
    /// When it was committed, seconds since 1970.
    pub time: u64,
    /// What git says of its signature (`%G?`, and who signed), if it was asked.
    pub signature: Option<String>,
}

/// What git is asked for: people, time and message, each ended by a zero byte.
pub(super) const FORMAT: &str =
    "%an <%ae>%x00%(trailers:key=Co-authored-by,valueonly,unfold)%x00%cn <%ce>%x00%ct%x00%B";

/// How many fields that are.
pub(super) const FIELDS: usize = 5;

/// What makes git say it the same way everywhere.
pub(super) const PLAINLY: [&str; 4] = ["--no-show-signature", "--no-color", "--no-notes", "--encoding=UTF-8"];

impl Authorship {
    /// From the fields of [`FORMAT`]; what is not there is empty.
    pub(super) fn of(fields: &[&str]) -> Authorship {
        let field = |at: usize| fields.get(at).copied().unwrap_or_default().trim();
        let mut people: Vec<String> = Vec::new();
        for person in [field(0)].into_iter().chain(field(1).lines()).chain([field(2)]) {
            let person = person.trim().to_owned();
            if !person.is_empty() && !people.contains(&person) {
                people.push(person);
            }
        }
        let (message, time) = (field(4).to_owned(), field(3).parse().unwrap_or(0));
        Authorship { message, people, time, signature: None }
    }
}

impl Repo {
    /// What a commit says of itself. `verified` has git check its signature, with the programs that the user configured.
    pub fn authorship(&self, commit: ObjectId, verified: bool) -> Result<Authorship, GitFailed> {
        let format = format!("--format={FORMAT}{}", if verified { "%x00%G? %GS" } else { "" });
        let id = commit.to_string();
        let asked = ["log", "-1"].into_iter().chain(PLAINLY).chain([&*format, "--end-of-options", &id]);
        let said = self.git().run(asked)?;
        let said = String::from_utf8_lossy(&said);
        let fields: Vec<&str> = said.split('\0').collect();
        let signature = verified.then(|| fields.get(FIELDS).copied().unwrap_or_default().trim().to_owned());
        Ok(Authorship { signature, ..Authorship::of(&fields) })
    }
}

#[cfg(test)]
mod tests {
    use crate::git::scratch::Scratch;

    #[test]
    fn everybody_who_had_a_part_is_named_once() {
        let scratch = Scratch::new();
        let message = "subject\n\nbody\n\nCo-authored-by: Ada <ada@example.org>\nCo-authored-by: Ada <ada@example.org>\n";
        scratch
            .git
            .run(["commit", "-q", "--allow-empty", "--author=Eve <eve@example.org>", "-m", message])
            .unwrap();
        let commit = scratch.objects().commit("HEAD").unwrap();
        let found = scratch.repo().authorship(commit, true).unwrap();
        assert_eq!(
            found.people,
            ["Eve <eve@example.org>", "Ada <ada@example.org>", "Test <test@example.org>"]
        );
        assert_eq!((found.time, found.message.lines().next()), (1_700_000_000, Some("subject")));
        assert_eq!(found.signature.as_deref(), Some("N"));
        assert_eq!(scratch.repo().authorship(commit, false).unwrap().signature, None);
    }
}

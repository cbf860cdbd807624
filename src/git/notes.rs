//! Notes of dataset versions: lines of text at commits, in `refs/notes/datamon`.
//!
//! They are read through gix and written by `git fast-import`, which keeps the fan-out of git's own notes and moves the ref only
//! from where it was read: of two writers in one clone, the second begins again. Clones exchange them by [`Repo::sync_notes`]:
//! what the remote has comes into a ref of its own, is merged line by line, and goes back; of two that push at once, the second
//! fetches, merges and pushes again. Notes mirror what the log of the store knows, so nothing is lost with them.

use std::collections::BTreeMap;
use std::time::Duration;

use gix::ObjectId;

use crate::git::command::{Git, GitFailed};
use crate::git::config::Scope;
use crate::git::objects::{Objects, ObjectsError};
use crate::git::repo::Repo;

/// Where the notes are.
pub const NOTES_REF: &str = "refs/notes/datamon";

/// Where the notes of remotes are, as they were last seen.
const REMOTES: &str = "refs/notes/datamon-remotes";

/// Where notes are merged before the ref moves there.
const MERGING: &str = "refs/notes/datamon-merging";

/// The longest note that is read, bytes: thousands of lines.
const LONGEST: u64 = 4 << 20;

/// Times a write or an exchange begins again because somebody else was faster.
const ATTEMPTS: usize = 20;

/// Times a remote may refuse although nothing has changed there.
const REFUSALS: u32 = 4;

/// How long somebody who is pushing at this moment gets to finish, more from time to time.
const PAUSE: Duration = Duration::from_millis(100);

/// Notes that cannot be read, written or exchanged.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitFailed),
    /// Git objects cannot be read.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// What was named has no place for the notes of it.
    #[error("{0:?} is no remote of this repository: `git remote` lists them")]
    NoRemote(String),
    /// Others were always faster.
    #[error(
        "notes kept changing while they were written, {ATTEMPTS} times: run `git datamon notes sync` again"
    )]
    Busy,
}

/// What is to become of the note of a commit; lines that are not named stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoteEdit {
    /// Lines it is to have.
    pub add: Vec<String>,
    /// Lines it is to have no more.
    pub remove: Vec<String>,
}

/// What came of an exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Synced {
    /// Something new came.
    pub pulled: bool,
    /// Something new went.
    pub pushed: bool,
}

impl Objects {
    /// The note of a commit, nothing where there is none. In an unmerged tree it may lie in several places: all count. One that is too
    /// long to be ours is an error.
    pub fn note(&self, commit: ObjectId) -> Result<Vec<u8>, ObjectsError> {
        let hex = commit.to_string();
        let (mut next, mut rest, mut text) = (self.notes_tree(), hex.as_bytes(), Vec::new());
        while let Some(tree) = next.take() {
            for entry in self.entries(tree)? {
                if entry.mode.is_blob() && entry.name == rest {
                    let part = self.short_blob(entry.id, LONGEST)?;
                    text.extend(part.ok_or(ObjectsError::LongNote { commit, limit: LONGEST })?);
                    text.push(b'\n');
                } else if entry.mode.is_tree() && entry.name.len() == 2 && rest.starts_with(&entry.name) {
                    next = Some(entry.id);
                }
            }
            rest = &rest[2.min(rest.len())..];
        }
        Ok(text)
    }

    /// The commits that have a note.
    pub fn noted(&self) -> Result<Vec<ObjectId>, ObjectsError> {
        let mut open: Vec<(String, ObjectId)> =
            self.notes_tree().map(|tree| (String::new(), tree)).into_iter().collect();
        let mut noted = Vec::new();
        while let Some((prefix, tree)) = open.pop() {
            for entry in self.entries(tree)? {
                let name = format!("{prefix}{}", entry.name);
                if entry.mode.is_tree() && entry.name.len() == 2 && name.len() < 64 {
                    open.push((name, entry.id));
                } else if let Ok(commit) = ObjectId::from_hex(name.as_bytes()) {
                    noted.push(commit);
                }
            }
        }
        noted.sort_unstable();
        noted.dedup();
        Ok(noted)
    }

    fn notes_tree(&self) -> Option<ObjectId> {
        self.resolve(&format!("{NOTES_REF}^{{tree}}")).ok()
    }
}

impl Repo {
    /// Changes notes, all in one commit; how many differ now.
    pub fn edit_notes(&self, edits: &BTreeMap<ObjectId, NoteEdit>) -> Result<usize, NotesError> {
        for _ in 0..ATTEMPTS {
            let base = tip(self.git(), NOTES_REF);
            let objects = self.objects()?;
            let mut changed = Vec::new();
            for (commit, edit) in edits {
                if let Some(after) = edited(&objects.note(*commit)?, edit) {
                    changed.push((*commit, after));
                }
            }
            if changed.is_empty() {
                return Ok(0);
            }
            let stream = self.import(base.as_deref(), &changed);
            match self.git().run_with_stdin(["fast-import", "--quiet"], &stream) {
                Ok(_) => return Ok(changed.len()),
                Err(_) if tip(self.git(), NOTES_REF) != base => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(NotesError::Busy)
    }

    fn import(&self, base: Option<&str>, notes: &[(ObjectId, Vec<u8>)]) -> Vec<u8> {
        let who = self.git().run(["var", "GIT_COMMITTER_IDENT"]).unwrap_or_default();
        let who = String::from_utf8_lossy(&who).trim().to_owned();
        let who = if who.is_empty() { "git-datamon <git-datamon@localhost> 0 +0000".to_owned() } else { who };
        let said = "Notes of dataset versions\n";
        let mut stream =
            format!("feature done\ncommit {NOTES_REF}\ncommitter {who}\ndata {}\n{said}", said.len());
        stream.extend(base.map(|base| format!("from {base}\n")));
        let mut stream = stream.into_bytes();
        for (commit, text) in notes {
            stream.extend_from_slice(format!("N inline {commit}\ndata {}\n", text.len()).as_bytes());
            stream.extend_from_slice(text);
        }
        stream.extend_from_slice(b"\ndone\n");
        stream
    }

    /// Whether notes are here that the remote was not seen to have.
    pub fn notes_unsent(&self, remote: &str) -> bool {
        let own = tip(self.git(), NOTES_REF);
        own.is_some() && own != tip(self.git(), &format!("{REMOTES}/{remote}"))
    }

    /// Fetches the notes of a remote, merges both, and pushes; again when somebody else pushed meanwhile.
    pub fn sync_notes(&self, remote: &str) -> Result<Synced, NotesError> {
        let key = format!("remote.{remote}.url");
        if self.config().get(&key).is_none() {
            return Err(NotesError::NoRemote(remote.to_owned()));
        }
        let (git, theirs) = (self.git(), format!("{REMOTES}/{remote}"));
        let mut synced = Synced::default();
        let mut refused = 0;
        for _ in 0..ATTEMPTS {
            fetch(git, remote, &theirs)?;
            let before = tip(git, &theirs);
            synced.pulled |= self.merge_notes(&theirs)?;
            let own = tip(git, NOTES_REF);
            if own == before {
                return Ok(synced);
            }
            let refspec = format!("{NOTES_REF}:{NOTES_REF}");
            match git.run(["push", "--quiet", "--no-verify", "--end-of-options", remote, &refspec]) {
                Ok(_) => {
                    git.run(["update-ref", &theirs, own.as_deref().unwrap_or_default()])?;
                    return Ok(Synced { pushed: true, ..synced });
                }
                Err(error) => {
                    fetch(git, remote, &theirs)?;
                    if tip(git, &theirs) != before {
                        // Somebody was faster.
                        refused = 0;
                        continue;
                    }
                    // Somebody holds the lock of the ref, or we may not push.
                    refused += 1;
                    if refused == REFUSALS {
                        return Err(error.into());
                    }
                    std::thread::sleep(PAUSE * refused);
                }
            }
        }
        Err(NotesError::Busy)
    }

    /// Fetches the notes of a remote and merges them into ours; whether something new came. Nothing is sent.
    pub fn fetch_notes(&self, remote: &str) -> Result<bool, NotesError> {
        let theirs = format!("{REMOTES}/{remote}");
        fetch(self.git(), remote, &theirs)?;
        self.merge_notes(&theirs)
    }

    /// Whether there are notes here.
    pub fn has_notes(&self) -> bool {
        tip(self.git(), NOTES_REF).is_some()
    }

    /// Merges what a remote has into our notes; whether ours are others now. The ref moves only from where it was read.
    fn merge_notes(&self, theirs: &str) -> Result<bool, NotesError> {
        let git = self.git();
        let Some(theirs) = tip(git, theirs) else { return Ok(false) };
        let merging = format!("{MERGING}/{}-{}", std::process::id(), &theirs[..8]);
        for _ in 0..ATTEMPTS {
            let own = tip(git, NOTES_REF);
            let contains = |own: &String| git.run(["merge-base", "--is-ancestor", &theirs, own]).is_ok();
            if own.as_ref().is_some_and(contains) {
                return Ok(false);
            }
            let merged = match &own {
                None => Some(theirs.clone()),
                Some(own) => {
                    let notes = format!("--ref={merging}");
                    git.run(["update-ref", &merging, own])?;
                    let done =
                        git.run(["notes", &notes, "merge", "--quiet", "--strategy=cat_sort_uniq", &theirs]);
                    let merged = tip(git, &merging);
                    git.run(["update-ref", "-d", &merging])?;
                    done.map(|_| merged)?
                }
            };
            let null = "0".repeat(theirs.len());
            let moved = git.run([
                "update-ref",
                NOTES_REF,
                merged.as_deref().unwrap_or(&theirs),
                own.as_deref().unwrap_or(&null),
            ]);
            if moved.is_ok() {
                return Ok(true);
            }
        }
        Err(NotesError::Busy)
    }

    /// Lets git itself carry notes along when it rewrites commits, and merge them by lines. What the user has set stays.
    pub fn configure_notes(&self) -> Result<(), GitFailed> {
        let (git, config) = (self.git(), self.config());
        let scopes = [Scope::System, Scope::Global, Scope::Local, Scope::Worktree];
        let covers =
            |value: &[u8]| [NOTES_REF, "refs/notes/*", "refs/*"].iter().any(|it| it.as_bytes() == value);
        if !scopes.iter().any(|scope| config.get_all(*scope, "notes.rewriteref").any(covers)) {
            git.add_config(Scope::Local, "notes.rewriteRef", NOTES_REF)?;
        }
        for key in ["notes.rewriteMode", "notes.datamon.mergeStrategy"] {
            if config.get(&key.to_ascii_lowercase()).is_none() {
                git.set_config(Scope::Local, key, "cat_sort_uniq")?;
            }
        }
        Ok(())
    }
}

/// The lines of a note that say something. Others may have written them, in whatever encoding.
pub fn note_lines(note: &[u8]) -> impl Iterator<Item = &[u8]> {
    note.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

/// The note after an edit, lines that are not ours byte for byte as they were; `None` if nothing differs.
fn edited(before: &[u8], edit: &NoteEdit) -> Option<Vec<u8>> {
    let old: Vec<&[u8]> = note_lines(before).collect();
    let mut lines = old.clone();
    lines.retain(|line| !edit.remove.iter().any(|gone| gone.as_bytes() == *line));
    lines.extend(edit.add.iter().map(String::as_bytes));
    // As `cat_sort_uniq` leaves them.
    lines.sort_unstable();
    lines.dedup();
    let mut sorted = old;
    sorted.sort_unstable();
    (lines != sorted).then(|| lines.iter().flat_map(|line| [line, &b"\n"[..]]).flatten().copied().collect())
}

fn tip(git: &Git, name: &str) -> Option<String> {
    let said = git.run(["rev-parse", "--verify", "--quiet", "--end-of-options", name]).ok()?;
    Some(String::from_utf8_lossy(&said).trim().to_owned()).filter(|id| !id.is_empty())
}

/// Takes the notes of a remote into a ref of ours; none there is nothing to take.
fn fetch(git: &Git, remote: &str, into: &str) -> Result<(), NotesError> {
    let listed = git.run(["ls-remote", "--quiet", "--end-of-options", remote, NOTES_REF])?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let there = listed.lines().find_map(|line| line.split_once('\t').filter(|it| it.1 == NOTES_REF));
    let Some((id, _)) = there else {
        if tip(git, into).is_some() {
            git.run(["update-ref", "-d", into])?;
        }
        return Ok(());
    };
    if tip(git, into).as_deref() == Some(id) {
        return Ok(());
    }
    let refspec = format!("+{NOTES_REF}:{into}");
    let options =
        ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"];
    let words = ["--no-filter", "--end-of-options", remote, &refspec];
    git.run(["fetch"].into_iter().chain(options).chain(words))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    fn line(text: &str) -> NoteEdit {
        NoteEdit { add: vec![text.to_owned()], remove: vec![] }
    }

    fn note(scratch: &Scratch, commit: &str) -> String {
        let said = scratch.git.run(["notes", "--ref=datamon", "show", commit]);
        said.map_or_else(|_| String::new(), |it| String::from_utf8(it).unwrap())
    }

    /// So many commits, newest first.
    fn history(scratch: &Scratch, count: usize) -> Vec<ObjectId> {
        let mut stream = String::new();
        for n in 0..count {
            stream += &format!(
                "commit refs/heads/main\ncommitter T <t@x> {} +0000\ndata 1\nx\n",
                1_700_000_000 + n
            );
        }
        scratch.git.run_with_stdin(["fast-import", "--quiet"], stream.as_bytes()).unwrap();
        let listed = scratch.says(&["rev-list", "main"]);
        listed.lines().map(|it| ObjectId::from_hex(it.as_bytes()).unwrap()).collect()
    }

    #[test]
    fn git_reads_what_we_write_and_we_what_git_writes_at_any_fan_out() {
        let scratch = Scratch::new();
        let commits = history(&scratch, 700);
        let repo = scratch.repo();
        for part in [&commits[..3], &commits[3..300], &commits[300..]] {
            let edits = part.iter().map(|it| (*it, line(&format!("ours {it}")))).collect();
            assert_eq!(repo.edit_notes(&edits).unwrap(), part.len());
            assert_eq!(repo.edit_notes(&edits).unwrap(), 0, "again changes nothing");
            let listed = scratch.says(&["notes", "--ref=datamon", "list"]);
            let mut theirs: Vec<&str> =
                listed.lines().filter_map(|it| it.split_once(' ')).map(|it| it.1).collect();
            theirs.sort_unstable();
            let ours: Vec<String> =
                scratch.objects().noted().unwrap().iter().map(ObjectId::to_string).collect();
            assert_eq!(ours, theirs);
        }
        let some = commits[350].to_string();
        assert_eq!(note(&scratch, &some), format!("ours {some}\n"));
        scratch.git.run(["notes", "--ref=datamon", "append", "-m", "by hand", &some]).unwrap();
        let text = scratch.objects().note(commits[350]).unwrap();
        assert_eq!(String::from_utf8(text).unwrap().trim(), format!("ours {some}\n\nby hand"));
        let edit = NoteEdit { add: vec!["new".to_owned()], remove: vec![format!("ours {some}")] };
        repo.edit_notes(&BTreeMap::from([(commits[350], edit)])).unwrap();
        assert_eq!(note(&scratch, &some), "by hand\nnew\n", "what is not ours is kept");
        assert_eq!(scratch.objects().note(ObjectId::null(gix::hash::Kind::Sha1)).unwrap(), b"");
    }

    #[test]
    fn what_others_wrote_stays_byte_for_byte_and_what_is_too_long_is_left_alone() {
        let scratch = Scratch::new();
        let commits = history(&scratch, 2);
        let foreign = b"caf\xe9 \xff\r\n\x00\n";
        let write = |commit: &ObjectId, bytes: &[u8]| {
            let blob = scratch.git.run_with_stdin(["hash-object", "-w", "--stdin"], bytes).unwrap();
            let blob = String::from_utf8(blob).unwrap();
            let (blob, commit) = (blob.trim(), commit.to_string());
            scratch.git.run(["notes", "--ref=datamon", "add", "-f", "-C", blob, &commit]).unwrap();
        };
        write(&commits[0], foreign);
        let edits = |n: usize| BTreeMap::from([(commits[n], line("ours"))]);
        assert_eq!(scratch.repo().edit_notes(&edits(0)).unwrap(), 1);
        let note = scratch.git.run(["notes", "--ref=datamon", "show", &commits[0].to_string()]).unwrap();
        assert_eq!(note, b"\x00\ncaf\xe9 \xff\r\nours\n");

        let long = vec![b'x'; usize::try_from(LONGEST).unwrap() + 1];
        write(&commits[1], &long);
        let said = scratch.repo().edit_notes(&edits(1)).unwrap_err().to_string();
        assert!(said.contains("git notes --ref=datamon") && said.contains(&commits[1].to_string()), "{said}");
        let note = scratch.git.run(["notes", "--ref=datamon", "show", &commits[1].to_string()]).unwrap();
        assert!(note == long, "it was lost");
    }

    #[test]
    fn writers_in_one_clone_lose_nothing() {
        let scratch = Scratch::new();
        let commits = history(&scratch, 6);
        std::thread::scope(|scope| {
            for writer in 0..6 {
                let (repo, commits) = (scratch.repo(), &commits);
                scope.spawn(move || {
                    for commit in [commits[0], commits[writer]] {
                        let edits = BTreeMap::from([(commit, line(&format!("writer {writer}")))]);
                        repo.edit_notes(&edits).unwrap();
                    }
                });
            }
        });
        assert_eq!(note(&scratch, "main").lines().count(), 6);
        assert_eq!(scratch.objects().noted().unwrap().len(), 6);
    }

    #[test]
    fn clones_exchange_notes_and_both_sides_are_kept() {
        let (one, two) = (Scratch::new(), Scratch::new());
        let commit = history(&one, 1)[0];
        let bare = one.beside("bare.git");
        one.git.run(["init", "-q", "--bare", bare.to_str().unwrap()]).unwrap();
        for scratch in [&one, &two] {
            scratch.git.run(["remote", "add", "origin", bare.to_str().unwrap()]).unwrap();
        }
        one.git.run(["push", "-q", "origin", "main"]).unwrap();
        two.git.run(["fetch", "-q", "origin"]).unwrap();
        let sync = |scratch: &Scratch| {
            let synced = scratch.repo().sync_notes("origin").unwrap();
            assert!(!scratch.repo().notes_unsent("origin"));
            (synced.pulled, synced.pushed)
        };
        assert_eq!(sync(&one), (false, false), "nothing anywhere");
        one.repo().edit_notes(&BTreeMap::from([(commit, line("one"))])).unwrap();
        two.repo().edit_notes(&BTreeMap::from([(commit, line("two"))])).unwrap();
        assert!(one.repo().notes_unsent("origin"));
        assert_eq!(
            [sync(&one), sync(&two), sync(&one), sync(&two)],
            [(false, true), (true, true), (true, false), (false, false)]
        );
        for scratch in [&one, &two] {
            assert_eq!(note(scratch, &commit.to_string()), "one\ntwo\n");
            let refs = scratch.says(&["for-each-ref", "--format=%(refname)", "refs/notes"]);
            assert_eq!(refs, "refs/notes/datamon\nrefs/notes/datamon-remotes/origin");
        }
        // What one takes away the other loses too.
        let gone = NoteEdit { add: vec![], remove: vec!["one".to_owned()] };
        one.repo().edit_notes(&BTreeMap::from([(commit, gone)])).unwrap();
        assert_eq!([sync(&one), sync(&two)], [(false, true), (true, false)]);
        assert_eq!(note(&two, &commit.to_string()), "two\n");
        assert!(matches!(one.repo().sync_notes("nowhere"), Err(NotesError::NoRemote(_))));
        std::fs::remove_dir_all(&bare).unwrap();
        assert!(matches!(one.repo().sync_notes("origin"), Err(NotesError::Git(_))));
    }

    #[test]
    fn what_the_user_configured_stays() {
        let scratch = Scratch::new();
        let values = |key: &str| scratch.says(&["config", "--get-all", key]);
        scratch.git.run(["config", "notes.rewriteRef", "refs/notes/review"]).unwrap();
        scratch.git.run(["config", "notes.rewriteMode", "overwrite"]).unwrap();
        for _ in 0..2 {
            scratch.repo().configure_notes().unwrap();
        }
        assert_eq!(values("notes.rewriteRef"), "refs/notes/review\nrefs/notes/datamon");
        assert_eq!(
            (values("notes.rewriteMode"), values("notes.datamon.mergeStrategy")),
            ("overwrite".into(), "cat_sort_uniq".into())
        );
        let other = Scratch::new();
        other.git.set_config(Scope::Global, "notes.rewriteRef", "refs/notes/*").unwrap();
        other.repo().configure_notes().unwrap();
        assert_eq!(other.says(&["config", "--get-all", "notes.rewriteRef"]), "refs/notes/*");
    }
}

//! The index of a work tree, written round git's filters.
//!
//! Git itself puts the entries in (`update-index --index-info`): it knows about directories that become files, cache trees and
//! sparse checkouts, and leaves what a file looked like unsaid. Until that is said too ([`Repo::settle`]) git would read the file
//! through its filter once more to find that nothing differs, so a run that ends between the two steps costs time and nothing
//! else. Only looks are written through gix; no entry ever changes its blob there.
//!
//! A look is believed by git if the file is older than the index, in whole seconds: so a file that is written here is dated
//! back to the second before, and for a file that the user wrote just now that second is waited for. Of a file that is as young as
//! the index and not as the index says, git keeps no length when it writes the index anew, and neither do we: an edit of that
//! second would never show.

use std::collections::{HashMap, HashSet};
use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::index::entry::stat::Time;
use gix::index::entry::{Flags, Mode, Stage, Stat};

use crate::git::command::GitFailed;
use crate::git::pointer::Pointer;
use crate::git::repo::{Repo, path_of};

/// File systems take their clock from the last tick, so a time read here may be ahead of theirs.
const TICK: Duration = Duration::from_millis(20);

/// Linux ticks at least every 10 ms; other systems, and file servers, are given more.
const LONGEST_TICK: Duration = Duration::from_millis(50);

/// The largest file that is compared with its blob here, bytes; git compares larger ones.
const LARGEST_COMPARED: u64 = 1 << 20;

/// How long another git may hold the index.
const PATIENCE: Duration = Duration::from_secs(3);

/// An index that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Git refused.
    #[error(transparent)]
    Git(#[from] GitFailed),
    /// It cannot be read or written here.
    #[error(
        "cannot {doing} the index {path}: {source}; end the git command that holds it and repeat this one"
    )]
    File {
        /// What was tried.
        doing: &'static str,
        /// The index.
        path: PathBuf,
        /// What gix said.
        source: Box<gix::Error>,
    },
}

/// What a regular file looks like from outside, as the index keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    stat: Stat,
    /// Its length, bytes.
    pub size: u64,
    /// Whether its owner may run it.
    pub executable: bool,
}

impl Look {
    /// Of the regular file at a path; `None` if something else or nothing is there.
    pub fn at(path: &Path) -> io::Result<Option<Look>> {
        let meta = match gix::index::fs::Metadata::from_path_no_follow(path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            other => other?,
        };
        if !meta.is_file() {
            return Ok(None);
        }
        let mut stat = Stat::from_fs(&meta).map_err(io::Error::other)?;
        // A multiple of 4 GiB must not look like the empty file: git says 2 GiB then, and reads the file otherwise.
        if stat.size == 0 && meta.len() > 0 {
            stat.size = 0x8000_0000;
        }
        Ok(Some(Look { stat, size: meta.len(), executable: meta.is_executable() }))
    }

    /// How long it is until every later change of the file shows: a clock of a file system ticks, and what is written twice in
    /// one tick looks the same both times.
    pub fn until_settled(&self) -> Duration {
        self.settles_after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn settles_after(&self, now: Duration) -> Duration {
        let wait = |time: Time| {
            let changed = Duration::new(time.secs.into(), time.nsecs);
            // Who stores whole seconds may round to even ones. A date in the future is nothing to wait for.
            let tick = if time.nsecs == 0 { Duration::from_secs(2) } else { LONGEST_TICK };
            (changed + tick).saturating_sub(now).min(tick)
        };
        let recent = |time: &Time| Duration::new(time.secs.into(), time.nsecs) <= now + TICK;
        [self.stat.mtime, self.stat.ctime].into_iter().filter(recent).map(wait).max().unwrap_or_default()
    }

    /// How long it is until git believes an index that is written then.
    pub fn until_believed(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A date in the future is nothing to wait for.
        if u64::from(self.stat.mtime.secs) > now.as_secs() {
            return Duration::ZERO;
        }
        let settled = Duration::from_secs(u64::from(self.stat.mtime.secs) + 1) + TICK;
        settled.saturating_sub(now)
    }
}

/// Dates a file that was just written back to the end of the second before, so that nobody has to wait. What is written to it
/// from now on shows.
pub fn date_back(file: &File) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(TICK);
    let before = UNIX_EPOCH + Duration::from_secs(now.as_secs()).saturating_sub(Duration::from_nanos(1));
    file.set_times(FileTimes::new().set_modified(before))
}

/// A regular file of the index, without conflict and not left out by a sparse checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// The path, `/` between its parts.
    pub path: BString,
    /// The blob.
    pub blob: ObjectId,
    /// Whether it may be run.
    pub executable: bool,
    /// Whether git would not believe its look, because it is as young as the index.
    pub racy: bool,
    stat: Stat,
}

impl Tracked {
    /// Whether the file at this path looks as the index says, and git would believe that.
    pub fn is_unchanged(&self, path: &Path) -> bool {
        !self.racy && matches!(Look::at(path), Ok(Some(look)) if look.stat == self.stat)
    }
}

/// A pointer to put into the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The path, `/` between its parts.
    pub path: BString,
    /// The pointer.
    pub pointer: Pointer,
    /// Whether the file may be run.
    pub executable: bool,
}

/// Paths of a list with a zero byte behind each.
fn paths_in(listed: &[u8]) -> Vec<BString> {
    listed.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(BString::from).collect()
}

impl Repo {
    /// Where the index of this work tree lies.
    pub fn index_path(&self) -> Result<PathBuf, GitFailed> {
        let path = self.git().run(["rev-parse", "--git-path", "index"])?;
        Ok(self.git().dir().join(path_of(path.strip_suffix(b"\n").unwrap_or(&path))))
    }

    fn read_index(&self) -> Result<gix::index::File, IndexError> {
        let path = self.index_path()?;
        let failed = |source: gix::Error| IndexError::File {
            doing: "read",
            path: path.clone(),
            source: Box::new(source),
        };
        gix::index::File::at_or_default(&path, gix::hash::Kind::Sha1, false, Default::default())
            .map_err(failed)
    }

    /// The files of the index, in its order.
    pub fn tracked(&self) -> Result<Vec<Tracked>, IndexError> {
        let index = self.read_index()?;
        let written = index.timestamp();
        let plain = index.entries().iter().filter(|entry| {
            entry.mode.intersects(Mode::FILE)
                && (entry.mode == Mode::FILE || entry.mode == Mode::FILE_EXECUTABLE)
                && entry.stage() == Stage::Unconflicted
                && !entry.flags.intersects(Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD)
        });
        let tracked = plain.map(|entry| Tracked {
            path: entry.path(&index).to_owned(),
            blob: entry.id,
            executable: entry.mode == Mode::FILE_EXECUTABLE,
            racy: i64::from(entry.stat.mtime.secs) >= written.unix_seconds(),
            stat: entry.stat,
        });
        Ok(tracked.collect())
    }

    /// Files of the work tree that look different from what the index says: below `specs`, or anywhere. With `specs` also new
    /// ones that are not ignored.
    pub fn changed(&self, specs: &[&str]) -> Result<Vec<BString>, GitFailed> {
        let below: Vec<&str> = ["--"].into_iter().chain(specs.iter().copied()).collect();
        let ask = |words: &[&str]| self.git().run(words.iter().chain(&below));
        let known = || ask(&["diff-files", "-z", "--name-only", "--no-relative", "--ignore-submodules"]);
        // Outside of a sparse checkout nothing is added: git itself decides then.
        let sparse = self.config().is_true("core.sparsecheckout");
        let new = || match specs.is_empty() || sparse {
            true => Ok(vec![]),
            false => ask(&["ls-files", "-z", "--others", "--exclude-standard", "--full-name"]),
        };
        // Each looks at every file, and waits for the disk most of the time.
        let (known, new) = rayon::join(known, new);
        let (mut listed, mut new) = (paths_in(&known?), paths_in(&new?));
        self.spell(&mut new)?;
        listed.extend(new);
        Ok(listed)
    }

    /// Spells the directories of new paths as the index does, as git would add them: where names fold, a directory that was
    /// renamed from `Data` to `data` is still `Data`, and would be two of them elsewhere.
    fn spell(&self, new: &mut [BString]) -> Result<(), GitFailed> {
        if new.is_empty() || !self.config().is_true("core.ignorecase") {
            return Ok(());
        }
        let top = self.work_tree().unwrap_or(self.git_dir());
        let known = paths_in(&self.git().clone().moved_to(top).run(["ls-files", "-z"])?);
        let above = || known.iter().flat_map(|path| path.find_iter("/").map(|end| &path[..end]));
        let folders: HashSet<&[u8]> = above().collect();
        let spelled: HashMap<Vec<u8>, &[u8]> =
            above().map(|folder| (folder.to_ascii_lowercase(), folder)).collect();
        for path in new {
            let ends: Vec<usize> = path.find_iter("/").collect();
            for end in ends {
                let known = spelled.get(&path[..end].to_ascii_lowercase());
                if let Some(known) = known.filter(|_| !folders.contains(&path[..end])) {
                    path[..end].copy_from_slice(known);
                }
            }
        }
        Ok(())
    }

    /// Writes pointers as blobs, all of them in one go.
    pub fn write_pointers(&self, pointers: impl IntoIterator<Item = Pointer>) -> Result<(), GitFailed> {
        let mut stream = Vec::new();
        for pointer in pointers {
            let text = pointer.canonical();
            stream.extend_from_slice(format!("blob\ndata {}\n", text.len()).as_bytes());
            stream.extend_from_slice(&text);
            stream.push(b'\n');
        }
        if stream.is_empty() {
            return Ok(());
        }
        stream.extend_from_slice(b"done\n");
        // It takes memory for zlib anew for each blob; glibc, left alone, hands it back to the system every time, which costs
        // three quarters of the run.
        let git = self.git().clone().with_env("MALLOC_TRIM_THRESHOLD_", Some("16777216"));
        git.run_with_stdin(["fast-import", "--quiet", "--done"], &stream).map(drop)
    }

    /// Puts pointers into the index; their blobs have to be there.
    pub fn stage(&self, files: &[Staged]) -> Result<(), GitFailed> {
        let mut lines = Vec::new();
        for Staged { path, pointer, executable } in files {
            let mode = if *executable { "100755" } else { "100644" };
            lines.extend_from_slice(format!("{mode} {}\t", pointer.blob_id()).as_bytes());
            lines.extend_from_slice(path);
            lines.push(0);
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.git().run_with_stdin(["update-index", "-z", "--index-info"], &lines).map(drop)
    }

    /// Says what files look like that are, through the filter, what the index has for them. An entry that has another blob by
    /// now is left alone.
    pub fn settle(&self, looks: &[(BString, ObjectId, Look)]) -> Result<(), IndexError> {
        self.tell(looks.iter().map(|(path, blob, look)| (path, blob, look.stat)))
    }

    /// Leaves unsaid what files look like, so that git asks the filter. Where it knows the length of a pointer, it says that a
    /// whole file differs and looks no further.
    pub fn unsettle<'a>(
        &self,
        files: impl Iterator<Item = (&'a BString, &'a ObjectId)>,
    ) -> Result<(), IndexError> {
        self.tell(files.map(|(path, blob)| (path, blob, Stat::default())))
    }

    fn tell<'a>(
        &self,
        looks: impl Iterator<Item = (&'a BString, &'a ObjectId, Stat)>,
    ) -> Result<(), IndexError> {
        let by_path: HashMap<&BStr, (&ObjectId, Stat)> =
            looks.map(|(path, blob, stat)| (path.as_bstr(), (blob, stat))).collect();
        if by_path.is_empty() {
            return Ok(());
        }
        // Held from before the reading: what another git stages meanwhile would be undone.
        let path = self.index_path()?;
        let failed = |source: gix::Error| IndexError::File {
            doing: "write",
            path: path.clone(),
            source: Box::new(source),
        };
        let patience = gix::lock::acquire::Fail::AfterDurationWithBackoff(PATIENCE);
        let lock = gix::lock::File::acquire_to_update_resource(&path, patience, None, 0)
            .map_err(|error| failed(gix::Error::from_error(error)))?;
        let mut index = self.read_index()?;
        let written = index.timestamp().unix_seconds();
        let top = self.work_tree().unwrap_or(self.git_dir()).to_owned();
        let at = |path: &BStr| top.join(path_of(path));
        for (entry, path) in index.entries_mut_with_paths() {
            let told = by_path
                .get(path)
                .filter(|(blob, _)| entry.stage() == Stage::Unconflicted && entry.id == **blob);
            match told {
                Some((_, stat)) => entry.stat = *stat,
                // Git looks into a file that is as young as the index. It still has to when the index is younger.
                None if entry.mode != Mode::COMMIT
                    && i64::from(entry.stat.mtime.secs) >= written
                    && !is_blob(&at(path), &entry.id) =>
                {
                    entry.stat.size = 0;
                }
                None => {}
            }
        }
        // The cache of trees stays: no entry got another blob, mode or path.
        let skip_hash = self.config().is_true("index.skiphash");
        let options = gix::index::write::Options { skip_hash, ..Default::default() };
        let mut out = io::BufWriter::with_capacity(1 << 16, lock);
        index.write_to(&mut out, options).map_err(failed)?;
        let lock = out.into_inner().map_err(|error| failed(gix::Error::from_error(error.into_error())))?;
        lock.commit().map_err(|error| failed(gix::Error::from_error(error.error)))?;
        Ok(())
    }
}

/// Whether a file or link holds exactly the bytes of a blob; one that is no small file may hold anything.
fn is_blob(path: &Path, blob: &ObjectId) -> bool {
    let bytes = match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => {
            std::fs::read_link(path).map(|leads| leads.into_os_string().into_encoded_bytes()).ok()
        }
        Ok(meta) if meta.is_file() && meta.len() <= LARGEST_COMPARED => std::fs::read(path).ok(),
        _ => None,
    };
    let id = bytes.map(|bytes| gix::objs::compute_hash(blob.kind(), gix::objs::Kind::Blob, &bytes));
    matches!(id, Some(Ok(id)) if id == *blob)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;
    use crate::id::Oid;

    fn pointer(n: u8) -> Pointer {
        Pointer { oid: Oid::from_bytes([n; 32]), size: 5 }
    }

    /// A repository in which nothing can be filtered: whoever looks into a file instead of at it fails.
    fn scratch() -> Scratch {
        let scratch = Scratch::new();
        scratch.commit(&[(".gitattributes", b"*.bin filter=none\n"), ("dir/text", b"x")]);
        for (key, value) in [("filter.none.clean", "false"), ("filter.none.required", "true")] {
            scratch.git.run(["config", key, value]).unwrap();
        }
        scratch
    }

    fn stage(scratch: &Scratch, path: &str, n: u8, bytes: u64) {
        let file = File::create(scratch.path().join(path)).unwrap();
        file.set_len(bytes).unwrap();
        date_back(&file).unwrap();
        let repo = scratch.repo();
        repo.write_pointers([pointer(n)]).unwrap();
        let staged = Staged { path: path.into(), pointer: pointer(n), executable: false };
        repo.stage(&[staged]).unwrap();
        let look = Look::at(&scratch.path().join(path)).unwrap().unwrap();
        repo.settle(&[(path.into(), pointer(n).blob_id(), look)]).unwrap();
    }

    #[test]
    fn git_believes_a_settled_file_of_any_size_without_reading_it() {
        let scratch = scratch();
        for (n, bytes) in [1, 5000, 1 << 32, (1 << 32) + 7, 2 << 32].into_iter().enumerate() {
            stage(&scratch, &format!("dir/{n}.bin"), n as u8, bytes);
        }
        assert_eq!(scratch.says(&["diff-files", "--name-only"]), "");
        assert_eq!(scratch.says(&["status", "--porcelain"]).lines().count(), 5, "five are staged");
        scratch.git.run(["commit", "-q", "-m", "staged"]).unwrap();
        let listed = scratch.says(&["ls-tree", "-r", "HEAD"]);
        for n in 0..5 {
            assert!(listed.contains(&format!("{}\tdir/{n}.bin", pointer(n).blob_id())), "{listed}");
        }
        scratch.git.run(["fsck", "--strict"]).unwrap();
        File::options().write(true).open(scratch.path().join("dir/2.bin")).unwrap().set_len(1).unwrap();
        assert_eq!(scratch.says(&["diff-files", "--name-only"]), "dir/2.bin");
    }

    #[test]
    fn an_edit_in_the_second_of_the_index_still_shows_when_the_index_is_written_anew() {
        let scratch = scratch();
        scratch.git.run(["config", "core.trustctime", "false"]).unwrap();
        stage(&scratch, "a.bin", 1, 100);
        let [text, index, large] = ["dir/text", ".git/index", "a.bin"].map(|path| scratch.path().join(path));
        let ago = |seconds| FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(seconds));
        let (then, before) = (ago(100), ago(200));
        let open = |path: &Path| File::options().write(true).open(path).unwrap();
        let date = |path: &Path| open(path).set_times(then).unwrap();
        open(&large).set_times(before).unwrap();
        let settle = || {
            let look = Look::at(&large).unwrap().unwrap();
            scratch.repo().settle(&[("a.bin".into(), pointer(1).blob_id(), look)]).unwrap();
        };
        settle();
        date(&text);
        scratch.git.run(["update-index", "--refresh"]).unwrap();
        date(&index);
        std::fs::write(&text, "y").unwrap();
        date(&text);
        assert_eq!(scratch.says(&["diff-files", "--name-only"]), "dir/text", "git looks into it");
        settle();
        assert_eq!(scratch.says(&["diff-files", "--name-only"]), "dir/text");
        // What is as young and as it was stays believed.
        std::fs::write(&text, "x").unwrap();
        date(&text);
        scratch.git.run(["update-index", "--refresh"]).unwrap();
        date(&index);
        settle();
        assert_eq!(scratch.says(&["diff-files", "--name-only"]), "");
    }

    #[test]
    fn an_entry_of_another_blob_is_left_alone_and_a_directory_gives_way() {
        let scratch = scratch();
        stage(&scratch, "a.bin", 1, 100);
        let repo = scratch.repo();
        let look = Look::at(&scratch.path().join("a.bin")).unwrap().unwrap();
        repo.write_pointers([pointer(2)]).unwrap();
        let staged = |path: &str| Staged { path: path.into(), pointer: pointer(2), executable: true };
        repo.stage(&[staged("a.bin"), staged("dir")]).unwrap();
        repo.settle(&[("a.bin".into(), pointer(1).blob_id(), look)]).unwrap();
        assert_eq!(scratch.says(&["ls-files"]), ".gitattributes\na.bin\ndir");
        assert_eq!(scratch.says(&["diff-files", "--name-only"]), "a.bin\ndir");
        let files = repo.tracked().unwrap();
        assert!(files.iter().any(|file| file.path == "a.bin" && file.executable && !file.racy));
        repo.settle(&[]).unwrap();
    }

    #[test]
    fn many_pointers_are_the_blobs_that_their_ids_say() {
        let scratch = Scratch::new();
        let pointers: Vec<Pointer> = (0..250).map(pointer).collect();
        scratch.repo().write_pointers(pointers.iter().copied()).unwrap();
        for pointer in pointers {
            let text = scratch.git.run(["cat-file", "blob", &pointer.blob_id().to_string()]).unwrap();
            assert_eq!(text, pointer.canonical());
        }
    }

    #[test]
    fn a_file_is_settled_when_its_last_change_is_a_tick_ago() {
        let now = Duration::new(1_700_000_000, 500_000_007);
        let time =
            |at: Duration| Time { secs: u32::try_from(at.as_secs()).unwrap(), nsecs: at.subsec_nanos() };
        let wait = |mtime: Duration, ctime: Duration| {
            let stat = Stat { mtime: time(mtime), ctime: time(ctime), ..Stat::default() };
            Look { stat, size: 1, executable: false }.settles_after(now)
        };
        let (ms, ago) = (Duration::from_millis, now - Duration::from_millis(51));
        assert_eq!(wait(ago, ago), Duration::ZERO);
        assert_eq!((wait(now - ms(20), ago), wait(ago, now - ms(20))), (ms(30), ms(30)), "either tells");
        assert_eq!(wait(now + ms(3_600_000), ago), Duration::ZERO, "a date in the future says nothing");
        assert_eq!(wait(now + ms(10), ago), LONGEST_TICK, "but that of a clock a little ahead");
        let whole = Duration::from_secs(now.as_secs()) - ms(1000);
        assert_eq!(wait(whole, ago), whole + ms(2000) - now, "whole seconds may be rounded");
    }

    #[test]
    fn what_is_no_regular_file_has_no_look() {
        let scratch = scratch();
        std::os::unix::fs::symlink("dir/text", scratch.path().join("link")).unwrap();
        for path in ["link", "dir", "none", "dir/text/none"] {
            assert_eq!(Look::at(&scratch.path().join(path)).unwrap(), None, "{path}");
        }
    }

    #[test]
    fn a_held_lock_is_said() {
        let scratch = scratch();
        stage(&scratch, "a.bin", 1, 100);
        std::fs::write(scratch.path().join(".git/index.lock"), "").unwrap();
        let look = Look::at(&scratch.path().join("a.bin")).unwrap().unwrap();
        let error = scratch.repo().settle(&[("a.bin".into(), pointer(1).blob_id(), look)]).unwrap_err();
        assert!(error.to_string().contains("cannot write the index"), "{error}");
    }
}

//! Whether all of the history is in a clone, as far as pointers go.
//!
//! Who wants every pointer of every commit must not take a shallow or partial clone for the whole.

use crate::git::command::GitFailed;
use crate::git::config::Config;
use crate::git::pointer::MAX_POINTER_BYTES;
use crate::git::promised::promisors;
use crate::git::repo::Repo;

/// What a clone lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// Commits.
    #[error("this clone is shallow: it has not all of the history")]
    Commits,
    /// So many objects, each of which may be a pointer or lead to one.
    #[error("this clone is partial: it lacks {0} objects, and any of them may be a pointer")]
    Objects(usize),
}

impl Lack {
    /// The git command that brings it.
    pub fn remedy(self) -> &'static str {
        match self {
            Lack::Commits => "git fetch --unshallow",
            Lack::Objects(_) => "git fetch --refetch --no-filter",
        }
    }
}

impl Repo {
    /// What this clone lacks of its own history; nothing where all pointers are here.
    pub fn lack(&self) -> Result<Option<Lack>, GitFailed> {
        if self.git().run(["rev-parse", "--is-shallow-repository"])? == b"true\n" {
            return Ok(Some(Lack::Commits));
        }
        if !filters_may_hide_pointers(self.config()) {
            return Ok(None);
        }
        let listed = self.git().run(["rev-list", "--objects", "--all", "--missing=print", "--quiet"])?;
        let absent = listed.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"?")).count();
        Ok((absent > 0).then_some(Lack::Objects(absent)))
    }
}

/// Whether objects may be absent that are as small as a pointer.
fn filters_may_hide_pointers(config: &Config) -> bool {
    promisors(config)
        .iter()
        .any(|remote| !config.get(&format!("remote.{remote}.partialclonefilter")).is_some_and(keeps_pointers))
}

/// `blob:limit=<n>` leaves out blobs of `n` bytes and more.
fn keeps_pointers(filter: &[u8]) -> bool {
    let limit = std::str::from_utf8(filter).ok().and_then(|filter| filter.strip_prefix("blob:limit="));
    let number = |text: &str| text.parse::<u64>().is_ok_and(|bytes| bytes >= MAX_POINTER_BYTES);
    limit.is_some_and(|limit| match limit.strip_suffix(['k', 'm', 'g', 'K', 'M', 'G']) {
        Some(limit) => limit.parse::<u64>().is_ok_and(|units| units > 0),
        None => number(limit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::pointer::Pointer;
    use crate::git::scratch::Scratch;
    use crate::id::Oid;

    #[test]
    fn what_a_clone_lacks_is_seen_and_what_brings_it_works() {
        let scratch = Scratch::new();
        let pointer = |n: u8| Pointer { oid: Oid::from_bytes([n; 32]), size: 5 }.canonical();
        scratch.commit(&[("a", &pointer(1)), ("large", &[b'x'; 5000])]);
        scratch.commit(&[("a", &pointer(2)), ("large", &[b'y'; 5000])]);
        scratch.git.run(["config", "uploadpack.allowFilter", "true"]).unwrap();
        assert_eq!(scratch.repo().lack().unwrap(), None);
        let url = format!("file://{}", scratch.path().display());
        let cases = [
            ("--depth=1", Some(Lack::Commits)),
            ("--filter=blob:none", Some(Lack::Objects(2))),
            ("--filter=tree:0", Some(Lack::Objects(1))),
            ("--filter=blob:limit=100", Some(Lack::Objects(2))),
            ("--filter=blob:limit=1k", None),
            ("--filter=blob:limit=1024", None),
        ];
        for (n, (how, lack)) in cases.into_iter().enumerate() {
            let clone = scratch.beside(&n.to_string());
            scratch.git.run(["clone", "-q", how, &url, clone.to_str().unwrap()]).unwrap();
            let git = scratch.git_at(&clone);
            assert_eq!(Repo::found_by(git.clone()).unwrap().lack().unwrap(), lack, "{how}");
            if let Some(lack) = lack {
                git.run(lack.remedy().split(' ').skip(1)).unwrap();
            }
            let repo = Repo::found_by(git).unwrap();
            assert_eq!(repo.lack().unwrap(), None, "{how}, then {lack:?} mended");
            let objects = repo.objects().unwrap().only_local();
            let tips = objects.all_tips().unwrap();
            assert_eq!(objects.pointers_in_history(&tips).unwrap().len(), 2, "{how}");
        }
    }
}

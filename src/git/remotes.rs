//! The remotes that git and git-lfs take when none is named.

use crate::git::config::DEFAULT_REMOTE;
use crate::git::repo::Repo;

impl Repo {
    /// In the order of git-lfs: the remote of the branch, `remote.lfsdefault`, the only one there is, `origin`. It need not be
    /// there.
    pub fn lfs_remote(&self) -> String {
        let mut remotes = self.remotes();
        let only = || remotes.pop().filter(|_| remotes.is_empty());
        self.remote_in(&format!("branch.{}.remote", self.branch()))
            .or_else(|| self.remote_in("remote.lfsdefault"))
            .or_else(only)
            .unwrap_or_else(|| DEFAULT_REMOTE.to_owned())
    }

    /// In the order of git: the remote for pushes of the branch, `remote.pushDefault`, the remote of the branch, `origin`, the only
    /// one there is. It need not be there.
    pub fn push_remote(&self) -> String {
        let branch = self.branch();
        let keys = [format!("branch.{branch}.pushremote"), "remote.pushdefault".to_owned()];
        keys.iter().find_map(|key| self.remote_in(key)).unwrap_or_else(|| self.pull_remote())
    }

    /// The same for what is fetched: the remote of the branch, `origin`, the only one there is.
    pub fn pull_remote(&self) -> String {
        let mut remotes = self.remotes();
        let only = || remotes.pop().filter(|_| remotes.is_empty());
        self.remote_in(&format!("branch.{}.remote", self.branch()))
            .or_else(only)
            .unwrap_or_else(|| DEFAULT_REMOTE.to_owned())
    }

    fn branch(&self) -> String {
        let branch = self.git().run(["symbolic-ref", "--quiet", "--short", "HEAD"]).unwrap_or_default();
        String::from_utf8_lossy(&branch).trim().to_owned()
    }

    /// The remote in a key, if it is another repository than this one.
    fn remote_in(&self, key: &str) -> Option<String> {
        let value = String::from_utf8_lossy(self.config().get(key)?).into_owned();
        Some(value).filter(|remote| remote != ".")
    }

    /// The remotes of the repository, by name.
    pub fn remotes(&self) -> Vec<String> {
        let listed = self.git().run(["remote"]).unwrap_or_default();
        String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::git::pointer::Pointer;
    use crate::git::scratch::Scratch;
    use crate::id::Oid;

    #[test]
    fn the_remote_is_the_one_that_git_lfs_takes() {
        let scratch = Scratch::new();
        let pointer = Pointer { oid: Oid::from_bytes([1; 32]), size: 5 };
        scratch.commit(&[("a.bin", &pointer.canonical()), (".gitattributes", b"*.bin filter=lfs")]);
        assert_eq!(scratch.repo().lfs_remote(), "origin");
        let url = |name: &str| format!("file://{}", scratch.beside(name).display());
        let assert_taken = |name: &str| {
            assert_eq!(scratch.repo().lfs_remote(), name);
            // No remote has it, and git-lfs says which one it asked.
            let said = scratch.git.run(["lfs", "fetch"]).unwrap_err().to_string();
            assert!(said.contains(&format!("from '{}'", url(name))), "{name}: {said}");
        };
        scratch.git.run(["remote", "add", "alone", &url("alone")]).unwrap();
        assert_taken("alone");
        for name in ["origin", "other", "followed"] {
            scratch.git.run(["remote", "add", name, &url(name)]).unwrap();
        }
        assert_taken("origin");
        scratch.git.run(["config", "remote.lfsdefault", "other"]).unwrap();
        assert_taken("other");
        scratch.git.run(["config", "branch.main.remote", "followed"]).unwrap();
        assert_taken("followed");
    }

    #[test]
    fn a_push_goes_where_git_would_push() {
        let scratch = Scratch::new();
        scratch.commit(&[("a", b"1")]);
        let set = |key: &str, value: &str| drop(scratch.git.run(["config", key, value]).unwrap());
        let remotes = || (scratch.repo().push_remote(), scratch.repo().pull_remote());
        let both = |name: &str| (name.to_owned(), name.to_owned());
        assert_eq!(remotes(), both("origin"));
        set("remote.alone.url", "/nowhere");
        assert_eq!(remotes(), both("alone"));
        set("remote.origin.url", "/nowhere");
        assert_eq!(remotes(), both("origin"));
        set("branch.main.remote", "alone");
        assert_eq!(remotes(), both("alone"));
        set("remote.pushDefault", "origin");
        assert_eq!(remotes(), ("origin".to_owned(), "alone".to_owned()));
        set("branch.main.pushRemote", "alone");
        assert_eq!(remotes(), both("alone"));
        // Of a branch that follows one of this very repository, nothing is pushed to itself.
        set("branch.main.pushRemote", ".");
        set("branch.main.remote", ".");
        assert_eq!(remotes(), both("origin"));
    }
}

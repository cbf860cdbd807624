//! The remote that git-lfs takes when none is named.

use crate::git::repo::Repo;

impl Repo {
    /// In the order of git-lfs: the remote of the branch, `remote.lfsdefault`, the only one there is, `origin`. It need not be
    /// there.
    pub fn lfs_remote(&self) -> String {
        let config =
            |key: &str| self.config().get(key).map(|value| String::from_utf8_lossy(value).into_owned());
        let branch = self.git().run(["symbolic-ref", "--quiet", "--short", "HEAD"]).unwrap_or_default();
        let branch = String::from_utf8_lossy(&branch).trim().to_owned();
        let mut remotes = self.remotes();
        config(&format!("branch.{branch}.remote"))
            // The branch follows one of this very repository.
            .filter(|remote| remote != ".")
            .or_else(|| config("remote.lfsdefault"))
            .or_else(|| remotes.pop().filter(|_| remotes.is_empty()))
            .unwrap_or_else(|| "origin".to_owned())
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
}

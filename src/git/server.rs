//! The ordinary LFS server of a remote, as git-lfs finds it where `lfs.url` names none.
//!
//! The rules are those of <https://github.com/git-lfs/git-lfs/blob/main/docs/api/server-discovery.md>, and git-lfs is asked to
//! apply them. They are needed where `lfs.url` names a store of ours, and git-lfs has to be told the server that it would find
//! without.

use std::path::Path;

use crate::git::repo::{Repo, path_of};

impl Repo {
    /// The LFS server of a remote: `remote.<name>.lfsurl`, else what its URL leads to. `None` if there is no such remote.
    pub fn server_of(&self, remote: &str) -> Option<String> {
        if let Ok(Some(url)) = self.lfs_value(&format!("remote.{remote}.lfsurl")) {
            return Some(url.to_string());
        }
        // Git applies `url.<base>.insteadOf`, as git-lfs does.
        let url = self.git().run(["remote", "get-url", "--", remote]).ok()?;
        self.server_at(&String::from_utf8_lossy(&url))
    }

    /// The LFS server that belongs to the URL of a git repository, by git-lfs's own word.
    fn server_at(&self, url: &str) -> Option<String> {
        let url = url.trim_end_matches('\n');
        // A path is meant from here; `host:path` is a way to write ssh.
        if url.starts_with(['/', '.']) || !url.contains(':') {
            return Some(self.in_directory(url));
        }
        // Asked outside of all repositories and without what else is configured: that may name a store of ours.
        let protocol = self.config().get("lfs.gitprotocol").map(String::from_utf8_lossy);
        let protocol = format!("lfs.gitprotocol={}", protocol.as_deref().unwrap_or("https"));
        let nowhere = Path::new("/");
        let git = self.git().clone().moved_to(nowhere).with_env("GIT_DIR", Some(nowhere));
        let git = ["GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_WORK_TREE", "GIT_COMMON_DIR"]
            .into_iter()
            .fold(git, |git, key| git.with_env(key, None::<&str>));
        let git =
            git.with_env("GIT_CONFIG_NOSYSTEM", Some("1")).with_env("GIT_CONFIG_GLOBAL", Some("/dev/null"));
        let said =
            git.run(["-c", &format!("remote.origin.url={url}"), "-c", &protocol, "lfs", "env"]).ok()?;
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines().skip_while(|line| !line.starts_with("Endpoint="));
        let endpoint = lines.next()?.strip_prefix("Endpoint=")?.split(" (auth=").next()?;
        // By ssh it asks where the URL says, and gets to know the endpoint there.
        let by_ssh = lines.next().is_some_and(|line| line.trim_start().starts_with("SSH="));
        Some(if by_ssh { url } else { endpoint }.to_owned())
    }

    fn in_directory(&self, path: &str) -> String {
        // Git goes to the top before it looks at a relative path.
        let path = self.work_tree().unwrap_or(self.git_dir()).join(path_of(path.as_bytes()));
        format!("file://{}", path.canonicalize().unwrap_or(path).display())
    }
}

#[cfg(test)]
mod tests {
    use crate::git::scratch::Scratch;

    #[test]
    fn a_remote_leads_where_it_leads_git_lfs() {
        let scratch = Scratch::new();
        scratch.git.run(["init", "-q", "--bare", scratch.beside("r.git").to_str().unwrap()]).unwrap();
        assert_eq!(scratch.repo().server_of("origin"), None);
        scratch.git.run(["remote", "add", "origin", "x"]).unwrap();
        let file = format!("file://{}", scratch.beside("r.git").display());
        let path = scratch.beside("r.git");
        for url in [
            "https://example.org/a/b",
            "https://example.org/a/b.git",
            "https://example.org/a/b/",
            "http://user@example.org:8080/b.git",
            "short:b",
            "git://example.org/a/b",
            "git://example.org/a/b.git",
            "../r.git",
            &file,
            path.to_str().unwrap(),
        ] {
            scratch.git.run(["config", "remote.origin.url", url]).unwrap();
            scratch.git.run(["config", "url.https://long.example.org/x/.insteadOf", "short:"]).unwrap();
            let env = scratch.says(&["lfs", "env"]);
            let line = env.lines().find_map(|line| line.strip_prefix("Endpoint=")).unwrap_or_default();
            let theirs = line.split(" (auth=").next().unwrap_or_default();
            // git-lfs shows a path as it is written.
            let theirs = theirs.replace("/repo/../", "/");
            assert_eq!(scratch.repo().server_of("origin").as_deref(), Some(theirs.as_str()), "{url}");
            // Whatever else is configured.
            scratch.git.run(["config", "lfs.url", "datamon::local"]).unwrap();
            assert_eq!(scratch.repo().server_of("origin").as_deref(), Some(theirs.as_str()), "{url}");
            scratch.git.run(["config", "--unset", "lfs.url"]).unwrap();
        }
        scratch.git.run(["config", "remote.origin.url", "git://example.org/a/b"]).unwrap();
        scratch.git.run(["config", "lfs.gitprotocol", "http"]).unwrap();
        let plain = scratch.repo().server_of("origin");
        assert_eq!(plain.as_deref(), Some("http://example.org/a/b.git/info/lfs"));
        for ssh in ["git@example.org:a/b.git", "ssh://git@example.org/a/b.git"] {
            scratch.git.run(["config", "remote.origin.url", ssh]).unwrap();
            assert_eq!(scratch.repo().server_of("origin").as_deref(), Some(ssh), "git-lfs asks there by ssh");
        }
        scratch.git.run(["config", "remote.origin.lfsurl", "https://lfs.example.org/"]).unwrap();
        assert_eq!(scratch.repo().server_of("origin").as_deref(), Some("https://lfs.example.org/"));
        scratch.git.run(["config", "--unset", "remote.origin.lfsurl"]).unwrap();
        let committed = "[remote \"origin\"]\nlfsurl = https://committed.example.org/\n";
        std::fs::write(scratch.path().join(crate::git::LFSCONFIG_FILE), committed).unwrap();
        assert_eq!(scratch.repo().server_of("origin").as_deref(), Some("https://committed.example.org/"));
        assert!(scratch.says(&["lfs", "env"]).contains("Endpoint=https://committed.example.org/"));
    }
}

//! Which paths a checkout or a fetch is about: `lfs.fetchinclude`, `lfs.fetchexclude` and the sparse checkout.
//!
//! Both are patterns as in `.gitignore`. They only narrow a prediction, so what cannot be read selects everything: git and
//! git-lfs decide what is really asked for.

use gix::bstr::{BStr, ByteSlice};
use gix::glob::Pattern;
use gix::glob::pattern::Case;
use gix::glob::wildmatch::Mode;

use crate::git::config::ConfigError;
use crate::git::repo::Repo;

/// No list of patterns has a reason to be longer, bytes.
const LONGEST: u64 = 1 << 20;

/// Paths that are wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Empty for every path.
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    /// Where the checkout is sparse, its patterns in the order of the file.
    sparse: Option<Vec<Pattern>>,
}

impl Selection {
    /// The paths that two lists of git-lfs select, their patterns separated by commas.
    pub fn of_lists(include: &[u8], exclude: &[u8]) -> Selection {
        Selection { include: listed(include), exclude: listed(exclude), sparse: None }
    }

    /// The paths that any of these patterns selects; every path where there is none.
    pub fn of_patterns<'a>(patterns: impl IntoIterator<Item = &'a [u8]>) -> Selection {
        let include = patterns.into_iter().filter_map(one).collect();
        Selection { include, ..Selection::default() }
    }

    /// Whether these bytes are a pattern; what is none would select every path.
    pub fn is_pattern(bytes: &[u8]) -> bool {
        one(bytes).is_some()
    }

    /// No path.
    pub fn nothing() -> Selection {
        Selection::of_lists(b"", b"*")
    }

    /// Whether the path is one of them.
    pub fn holds(&self, path: &BStr) -> bool {
        let matched = |patterns: &[Pattern]| patterns.iter().any(|it| ways_up(path).any(|way| fits(it, way)));
        (self.include.is_empty() || matched(&self.include))
            && !matched(&self.exclude)
            && self.sparse.as_deref().is_none_or(|patterns| in_sparse(patterns, path))
    }
}

impl Repo {
    /// What a fetch selects: the paths of `include` and `exclude`, or where one is not given those of `lfs.fetchinclude` and
    /// `lfs.fetchexclude`. Of either key git's own configuration beats `.lfsconfig`.
    pub fn fetch_selection(
        &self,
        include: Option<&str>,
        exclude: Option<&str>,
    ) -> Result<Selection, ConfigError> {
        let list = |given: Option<&str>, key| match given {
            Some(given) => Ok(given.into()),
            None => self.lfs_value(key).map(Option::unwrap_or_default),
        };
        let (include, exclude) = (list(include, "lfs.fetchinclude")?, list(exclude, "lfs.fetchexclude")?);
        Ok(Selection::of_lists(&include, &exclude))
    }

    /// What a checkout of this work tree selects: of what a fetch does, what is in its sparse checkout, if it has one.
    pub fn checkout_selection(&self) -> Result<Selection, ConfigError> {
        let mut selection = self.fetch_selection(None, None)?;
        let sparse = self.config().get("core.sparsecheckout").is_some_and(|value| value != b"false");
        let file = self.git_dir().join("info/sparse-checkout");
        if sparse && file.metadata().is_ok_and(|found| found.is_file() && found.len() <= LONGEST) {
            let patterns = std::fs::read(file).unwrap_or_default();
            let lines = patterns.lines().filter(|line| !line.starts_with(b"#"));
            selection.sparse = Some(lines.filter_map(Pattern::from_bytes).collect());
        }
        Ok(selection)
    }
}

fn listed(patterns: &[u8]) -> Vec<Pattern> {
    patterns.split(|byte| *byte == b',').filter_map(|part| one(part.trim())).collect()
}

/// A directory selects what is below it, with and without a slash behind it.
fn one(pattern: &[u8]) -> Option<Pattern> {
    let pattern = pattern.strip_suffix(b"/").unwrap_or(pattern);
    Pattern::from_bytes_without_negation(pattern)
}

/// A path, and every directory above it, with whether it is a directory.
fn ways_up(path: &BStr) -> impl Iterator<Item = (&BStr, bool)> {
    let above = path.rfind_iter(b"/").map(|slash| (path[..slash].as_bstr(), true));
    [(path, false)].into_iter().chain(above)
}

fn fits(pattern: &Pattern, (path, is_dir): (&BStr, bool)) -> bool {
    let name = path.rfind_byte(b'/').map(|slash| slash + 1);
    let mode = Mode::NO_MATCH_SLASH_LITERAL;
    pattern.matches_repo_relative_path(path, name, Some(is_dir), Case::Sensitive, mode)
}

/// The last pattern that knows the path decides; where none does, the directory above it.
fn in_sparse(patterns: &[Pattern], path: &BStr) -> bool {
    let decided = ways_up(path).find_map(|way| patterns.iter().rev().find(|it| fits(it, way)));
    decided.is_some_and(|pattern| !pattern.is_negative())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::config::Scope;
    use crate::git::pointer::Pointer;
    use crate::git::scratch::{Scratch, said};
    use crate::id::Oid;

    const PATHS: [&str; 8] =
        ["B.bin", "a/dir/z.bin", "a/x.bin", "dir/sub/y.bin", "dir/x.bin", "sp ace.bin", "sub.bin", "x.bin"];

    fn scratch() -> Scratch {
        let scratch = Scratch::new();
        let pointers: Vec<Vec<u8>> = (1..=PATHS.len() as u8)
            .map(|n| Pointer { oid: Oid::from_bytes([n; 32]), size: n.into() }.canonical())
            .collect();
        let files: Vec<(&str, &[u8])> =
            PATHS.iter().copied().zip(pointers.iter().map(Vec::as_slice)).collect();
        scratch.commit(&files);
        scratch
    }

    fn ours(selection: &Selection) -> Vec<&'static str> {
        PATHS.into_iter().filter(|path| selection.holds(BStr::new(path))).collect()
    }

    #[test]
    fn lists_select_what_they_select_for_git_lfs() {
        let scratch = scratch();
        let lists = [
            "",
            "dir",
            "dir/",
            "/dir",
            "dir/sub",
            "dir/*",
            "dir/**",
            "**/dir",
            "x.bin",
            "/x.bin",
            "a/x.bin",
            "*.bin",
            "sp ace.bin",
            " dir , a/x.bin",
            "b.bin",
            "!x.bin",
            "dir/sub/",
            "*/x.bin",
            "sub",
            "[ab]/x.bin",
            "sub/y.bin",
            "*",
            "dir/sub/y*",
            "**",
            "?.bin",
            "*/sub",
            "d*",
            "**/sub/**",
            "dir,",
        ];
        for (include, exclude) in lists.into_iter().zip(["", "dir/sub", "", "/x.bin,sub"].into_iter().cycle())
        {
            let args = ["lfs", "ls-files", "--name-only", "-I", include, "-X", exclude];
            let theirs = scratch.says(&args);
            let selection = Selection::of_lists(include.as_bytes(), exclude.as_bytes());
            assert_eq!(ours(&selection), theirs.lines().collect::<Vec<_>>(), "-I {include:?} -X {exclude:?}");
        }
    }

    #[test]
    fn a_sparse_checkout_selects_what_git_checks_out() {
        let scratch = scratch();
        for (cone, patterns) in [
            ("--cone", &["dir"][..]),
            ("--cone", &["dir/sub"]),
            ("--cone", &["a", "dir/sub"]),
            ("--cone", &[]),
            ("--no-cone", &["/dir/", "!/dir/sub/"]),
            ("--no-cone", &["*.bin", "!x.bin"]),
            ("--no-cone", &["sub", "/x.bin"]),
        ] {
            let set = [&["sparse-checkout", "set", cone], patterns].concat();
            scratch.git.run(&set).unwrap();
            let listed = scratch.says(&["ls-files", "-t"]);
            let theirs: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("H ")).collect();
            assert_eq!(ours(&scratch.repo().checkout_selection().unwrap()), theirs, "{set:?}");
            assert_eq!(
                ours(&scratch.repo().fetch_selection(None, None).unwrap()),
                PATHS,
                "a fetch is not sparse"
            );
        }
        scratch.git.run(["sparse-checkout", "disable"]).unwrap();
        assert_eq!(ours(&scratch.repo().checkout_selection().unwrap()), PATHS);
    }

    #[test]
    fn git_configuration_beats_the_committed_one_key_by_key() {
        let scratch = scratch();
        scratch.commit(&[(".lfsconfig", b"[lfs]\n\tfetchinclude = dir\n\tfetchexclude = sub\n")]);
        let selected = || ours(&scratch.repo().fetch_selection(None, None).unwrap());
        assert_eq!(selected(), ["a/dir/z.bin", "dir/x.bin"]);
        scratch.git.set_config(Scope::Local, "lfs.fetchinclude", "x.bin").unwrap();
        assert_eq!(selected(), ["a/x.bin", "dir/x.bin", "x.bin"]);
        scratch.git.set_config(Scope::Local, "lfs.fetchexclude", "/x.bin").unwrap();
        assert_eq!(selected(), ["a/x.bin", "dir/x.bin"]);
        let given = scratch.repo().fetch_selection(Some(""), None).unwrap();
        assert_eq!(ours(&given).len(), PATHS.len() - 1, "what is given beats both");
        assert!(said(&scratch.git, &["lfs", "env"]).contains("FetchExclude=/x.bin"));
    }
}

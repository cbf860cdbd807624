//! What git takes for the name of a tag: names of ours that follow the same rules can become one.

use gix::bstr::BStr;

/// Whether `git tag <name>` would take the name.
pub fn is_tag_name(name: &str) -> bool {
    // What begins with a dash is an option to git, and HEAD always the commit that is checked out.
    !name.starts_with('-') && name != "HEAD" && gix::validate::tag::name(BStr::new(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::Scratch;

    #[test]
    fn git_takes_what_we_take() {
        let scratch = Scratch::new();
        let names = [
            "v1.0", "reviewed", "a/b", "ü", "a@b", "@", "a@{b", "a..b", ".a", "a/.b", "a.", "a.lock",
            "a.lock/b", "a b", "a~", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a\u{7f}", "a\tb", "/a", "a/",
            "a//b", "", "-a", "a-", "HEAD", "a/HEAD", "a\u{85}b",
        ];
        for name in names {
            let answer =
                scratch.git.output(["check-ref-format", &format!("refs/tags/{name}")]).expect("git runs");
            let git = answer.status.success() && !["-a", "HEAD"].contains(&name);
            assert_eq!(is_tag_name(name), git, "{name:?}");
        }
    }
}

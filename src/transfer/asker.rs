//! Who asks: the command line of the git-lfs that started this agent.
//!
//! The protocol does not say what is being pushed or fetched. For `git lfs push --all` everything in the history will be asked
//! for, one object after the other; known beforehand, it is one ingest. `git lfs fetch` names refs and paths. Where processes
//! cannot be looked at, a push is slower and a fetch is guessed from what is asked for.

use std::fs;

/// The command line of a git-lfs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// `push`, `fetch`, `filter-process`, …
    pub command: String,
    /// What is no option: a remote, then refs.
    pub named: Vec<String>,
    /// `--all`.
    pub all: bool,
    /// `--refetch`: also what is here already.
    pub again: bool,
    /// `--object-id`: what is named are objects.
    pub object_ids: bool,
    /// `--include`; it beats the configuration.
    pub include: Option<String>,
    /// `--exclude`; it beats the configuration.
    pub exclude: Option<String>,
}

impl CommandLine {
    /// Of the git-lfs above this process.
    pub fn of_asker() -> Option<CommandLine> {
        let mut pid = std::process::id();
        // A shell stands between git-lfs and its agent.
        for _ in 0..3 {
            pid = parent_of(pid)?;
            let words = command_line(pid);
            if words.first()?.rsplit('/').next() == Some("git-lfs") {
                return CommandLine::read(&words[1..]);
            }
        }
        None
    }

    /// Whether all that refs lead to is pushed. With refs named beside the remote, `--all` is about those refs only.
    pub fn pushes_all(&self) -> bool {
        self.command == "push" && self.all && !self.object_ids && self.named.len() <= 1
    }

    /// Whether this git-lfs filters files for git.
    pub fn checks_out(&self) -> bool {
        ["filter-process", "smudge"].contains(&self.command.as_str())
    }

    /// The refs that are fetched: those named, else what is checked out; `None` for another command.
    pub fn fetched_refs(&self) -> Option<Vec<String>> {
        if !["fetch", "pull"].contains(&self.command.as_str()) {
            return None;
        }
        let refs = self.named.get(1..).unwrap_or_default();
        Some(if refs.is_empty() && !self.all { vec!["HEAD".to_owned()] } else { refs.to_vec() })
    }

    fn read(words: &[String]) -> Option<CommandLine> {
        let (command, words) = words.split_first()?;
        let mut line = CommandLine { command: command.clone(), ..CommandLine::default() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                line.named.extend(words.by_ref().cloned());
            } else if let Some(option) = word.strip_prefix("--") {
                let (name, value) = option.split_once('=').map_or((option, None), |(n, v)| (n, Some(v)));
                let taken = line.set(name, value);
                if !taken {
                    line.set(name, Some(words.next()?));
                }
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                line.set_letters(letters, &mut words)?;
            } else {
                line.named.push(word.clone());
            }
        }
        Some(line)
    }

    /// Options in one word, as `-pI dir`: a value is the rest of the word, or the next one.
    fn set_letters<'w>(&mut self, letters: &str, words: &mut impl Iterator<Item = &'w String>) -> Option<()> {
        for (at, letter) in letters.char_indices() {
            let name = match letter {
                'a' => "all",
                'o' => "object-id",
                'I' => "include",
                'X' => "exclude",
                _ => continue,
            };
            if !self.set(name, None) {
                let rest = &letters[at + letter.len_utf8()..];
                let rest = rest.strip_prefix('=').unwrap_or(rest);
                self.set(name, Some(if rest.is_empty() { words.next()? } else { rest }));
                break;
            }
        }
        Some(())
    }

    /// `false` if the option lacks its value.
    fn set(&mut self, name: &str, value: Option<&str>) -> bool {
        let list = match name {
            "include" => &mut self.include,
            "exclude" => &mut self.exclude,
            _ => {
                let on = value != Some("false");
                match name {
                    "all" => self.all = on,
                    "object-id" => self.object_ids = on,
                    "refetch" => self.again = on,
                    _ => {}
                }
                return true;
            }
        };
        *list = value.map(str::to_owned);
        value.is_some()
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn command_line(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> CommandLine {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        CommandLine::read(&words).unwrap()
    }

    #[test]
    fn everything_is_pushed_only_where_no_ref_is_named() {
        for (line, all) in [
            ("push --all origin", true),
            ("push origin --all", true),
            ("push -a origin", true),
            ("push --all=false origin", false),
            ("push --all origin main", false),
            ("push --all --object-id --stdin origin", false),
            ("push origin main", false),
            ("pre-push --all origin", false),
        ] {
            assert_eq!(read(line).pushes_all(), all, "{line}");
        }
    }

    #[test]
    fn a_fetch_names_refs_and_paths() {
        let lists = |line: &CommandLine| (line.include.clone(), line.exclude.clone());
        let some = |text: &str| Some(text.to_owned());
        for (text, refs, include, exclude) in [
            ("fetch", &["HEAD"][..], None, None),
            ("fetch origin", &["HEAD"], None, None),
            ("fetch origin a b", &["a", "b"], None, None),
            ("fetch --recent origin -- a", &["a"], None, None),
            ("fetch -I x,y origin a -X=z", &["a"], some("x,y"), some("z")),
            ("fetch -pIx origin a --exclude z", &["a"], some("x"), some("z")),
            ("pull --include=x --exclude= origin", &["HEAD"], some("x"), some("")),
            ("fetch --all", &[], None, None),
            ("fetch --all origin a", &["a"], None, None),
        ] {
            let line = read(text);
            assert_eq!(line.fetched_refs().unwrap(), refs, "{text}");
            assert_eq!(lists(&line), (include, exclude), "{text}");
        }
        assert!(read("fetch -ra").all && read("fetch --refetch").again);
        assert_eq!(read("filter-process").fetched_refs(), None);
        assert!(read("filter-process").checks_out() && read("smudge -- a").checks_out());
        assert_eq!(CommandLine::read(&[]), None);
        assert_eq!(CommandLine::read(&["fetch".to_owned(), "-I".to_owned()]), None);
    }

    #[test]
    fn nobody_of_that_name_started_this_test() {
        assert_eq!(CommandLine::of_asker(), None);
        assert!(!command_line(std::process::id()).is_empty());
    }
}

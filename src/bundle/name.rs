//! Names of files, by the rules of file systems that are not this one.
//!
//! A version is made on one machine and written on another. What git keeps for itself is refused everywhere, in every spelling that
//! some file system takes for it, as git refuses it (`core.protectNTFS`, `core.protectHFS`; CVE-2014-9390, CVE-2019-1352). What only
//! Windows cannot have, or takes for something else, is a good name here and refused where it would be written there.

/// Whether some file system takes this part of a path for `.git`.
pub fn is_gits_own(part: &[u8]) -> bool {
    // NTFS takes a backslash for a slash.
    part.split(|byte| *byte == b'\\').any(is_ntfs_dot_git) || is_hfs_dot_git(part)
}

/// NTFS: in any case, also by its short name, with dots and spaces behind it, and the name of a stream behind those.
fn is_ntfs_dot_git(part: &[u8]) -> bool {
    let rest = [&b".git"[..], b"git~1"].into_iter().find_map(|name| {
        let (head, rest) = part.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name).then_some(rest)
    });
    rest.is_some_and(|rest| {
        let behind = rest.iter().find(|byte| ![b'.', b' '].contains(byte));
        behind.is_none_or(|byte| *byte == b':')
    })
}

/// HFS+: in any case, with characters in it that it ignores.
fn is_hfs_dot_git(part: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(part) else { return false };
    let seen = text.chars().filter(|char| !is_ignored(*char));
    seen.map(|char| char.to_ascii_lowercase()).eq(".git".chars())
}

/// Characters that HFS+ does not see in a name.
fn is_ignored(char: char) -> bool {
    matches!(char, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Whose rules the names of files have to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRules {
    /// Any bytes but a slash and a zero.
    Posix,
    /// Those of Windows, where some names mean something else.
    Windows,
}

impl NameRules {
    /// Those of this machine.
    pub const HERE: NameRules = if cfg!(windows) { NameRules::Windows } else { NameRules::Posix };

    /// Why a file of this path cannot be written, if it cannot.
    pub fn forbid(self, path: &[u8]) -> Option<&'static str> {
        match self {
            NameRules::Posix => None,
            NameRules::Windows => not_on_windows(path),
        }
    }
}

/// Why Windows cannot have a file of this path, if it cannot.
pub fn not_on_windows(path: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(path) else { return Some("its name is no Unicode") };
    text.split('/').find_map(|part| {
        let odd = |char: char| char < ' ' || "<>:\"\\|?*".contains(char);
        if part.contains(odd) {
            Some("Windows gives a character in it a meaning of its own")
        } else if part.ends_with(['.', ' ']) {
            Some("Windows drops the dots and spaces at its end")
        } else if is_device(part) {
            Some("Windows has a device of this name")
        } else if part.encode_utf16().count() > 255 {
            Some("it is too long for Windows")
        } else {
            None
        }
    })
}

/// Whether Windows takes the name for a device, whatever comes behind a dot or spaces.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end_matches(' ').to_ascii_uppercase();
    let numbered = |name: &str| {
        let digit = stem.strip_prefix(name).and_then(|rest| {
            let mut chars = rest.chars();
            chars.next().filter(|_| chars.next().is_none())
        });
        digit.is_some_and(|digit| digit.is_ascii_digit() || "\u{b9}\u{b2}\u{b3}".contains(digit))
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&&*stem) || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_cannot_have_are_known() {
        for name in ["a", "a/b.c", ".gitignore", "CONSOLE", "COM", "COM10", "lpt", "nul1", "\u{e4}", "a b"] {
            assert_eq!(not_on_windows(name.as_bytes()), None, "{name}");
        }
        for name in [
            "con",
            "NUL.txt",
            "aux .c",
            "a/COM1",
            "lpt\u{b2}",
            "a.",
            "a ",
            "a./b",
            "a:b",
            "a\\b",
            "a?",
            "a\u{1}",
        ] {
            assert!(not_on_windows(name.as_bytes()).is_some(), "{name}");
        }
        assert!(
            not_on_windows(b"\xff").is_some() && not_on_windows("\u{e4}".repeat(256).as_bytes()).is_some()
        );
    }
}

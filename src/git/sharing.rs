//! Modes of files that several users share (`core.sharedRepository`).
//!
//! What git-lfs does for its objects, so that a downloaded object looks the same whoever fetched it. The umask itself
//! cannot be read without changing it: a file created with the default mode shows what it leaves.

use std::io;
use std::path::Path;

/// Who may use new files of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Whoever the umask admits.
    Umask,
    /// The group too, whatever the umask.
    Group,
    /// The group, and everybody may read.
    Everybody,
    /// Exactly this mode.
    Mode(u32),
}

impl Sharing {
    /// The meaning of a value of `core.sharedRepository`; `None` is a key without a value, which git takes for true.
    pub fn from_config(value: Option<&str>) -> Option<Sharing> {
        let Some(value) = value else { return Some(Sharing::Group) };
        match value.to_ascii_lowercase().as_str() {
            "umask" | "false" | "no" | "off" | "" => Some(Sharing::Umask),
            "group" | "true" | "yes" | "on" => Some(Sharing::Group),
            "all" | "world" | "everybody" => Some(Sharing::Everybody),
            number => match u32::from_str_radix(number, 8).ok()? {
                0 => Some(Sharing::Umask),
                1 => Some(Sharing::Group),
                2 => Some(Sharing::Everybody),
                // As git: the owner must keep read and write.
                mode if mode & 0o600 == 0o600 => Some(Sharing::Mode(mode & 0o666)),
                _ => None,
            },
        }
    }

    /// The mode of a new object file that the umask gave the mode `created`.
    pub fn file_mode(self, created: u32) -> u32 {
        match self {
            Sharing::Umask => created,
            Sharing::Group => created | 0o660,
            Sharing::Everybody => created | 0o664,
            Sharing::Mode(mode) => mode,
        }
    }

    /// Gives a file that was created with the default mode the mode of an object of the repository.
    #[cfg(unix)]
    pub fn apply(self, path: &Path) -> io::Result<()> {
        use std::fs::{self, Permissions};
        use std::os::unix::fs::PermissionsExt;
        let created = fs::symlink_metadata(path)?.permissions().mode() & 0o777;
        let wanted = self.file_mode(created);
        if wanted == created { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(wanted)) }
    }

    /// Modes mean nothing here.
    #[cfg(not(unix))]
    pub fn apply(self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_mean_what_they_mean_to_git() {
        let table = [
            (None, Some(Sharing::Group)),
            (Some("umask"), Some(Sharing::Umask)),
            (Some("true"), Some(Sharing::Group)),
            (Some("Group"), Some(Sharing::Group)),
            (Some("world"), Some(Sharing::Everybody)),
            (Some("0640"), Some(Sharing::Mode(0o640))),
            (Some("0770"), Some(Sharing::Mode(0o660))),
            (Some("0040"), None),
            (Some("nonsense"), None),
        ];
        for (value, meaning) in table {
            assert_eq!(Sharing::from_config(value), meaning, "{value:?}");
        }
    }

    #[test]
    fn sharing_only_ever_adds_to_the_umask_unless_a_mode_is_given() {
        assert_eq!(Sharing::Umask.file_mode(0o600), 0o600);
        assert_eq!(Sharing::Group.file_mode(0o600), 0o660);
        assert_eq!(Sharing::Everybody.file_mode(0o600), 0o664);
        assert_eq!(Sharing::Mode(0o640).file_mode(0o666), 0o640);
    }
}

//! What a repository that somebody else wrote may say, and what users type.

use datamon::catalog::Rules;
use datamon::git::{Manifest, Pointer, PushedRef, is_context_name, is_tag_name, note_lines};
use datamon::id::{BundleId, GitId, Oid, PackId, RepoId, StoreId};
use datamon::ops::lineage::Record;
use datamon::store::{Settings, StoreUrl, is_same, size, without_password};

use super::{Outcome, text};

/// A pointer.
pub fn pointer(bytes: &[u8]) -> Outcome {
    let pointer = Pointer::parse(bytes).map_err(text)?;
    assert_eq!(Pointer::parse(&pointer.canonical()), Ok(pointer));
    Ok(())
}

/// `datamon.toml`.
pub fn manifest(bytes: &[u8]) -> Outcome {
    let manifest = Manifest::parse(bytes).map_err(text)?;
    for dataset in manifest.datasets() {
        let parts = || dataset.path.split('/');
        assert!(dataset.path.is_empty() || parts().all(|part| !["", ".", ".."].contains(&part)));
    }
    let again = manifest.write_into(bytes).map_err(text)?;
    assert_eq!(Manifest::parse(again.as_bytes()).map_err(text)?, manifest);
    Ok(())
}

/// Names: of labels, contexts, and everything that has an id.
pub fn names(bytes: &[u8]) -> Outcome {
    let name = str::from_utf8(bytes).map_err(text)?;
    if is_tag_name(name) {
        // Git knows the control characters of ASCII only.
        assert!(
            !name.contains(|it: char| it.is_ascii_control())
                && !name.contains("..")
                && !name.starts_with('-')
        );
    }
    if is_context_name(name) {
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
    }
    let ids = [
        name.parse::<BundleId>().map(|id| id.to_string()).ok(),
        name.parse::<PackId>().map(|id| id.to_string()).ok(),
        name.parse::<RepoId>().map(|id| id.to_string()).ok(),
        name.parse::<StoreId>().map(|id| id.to_string()).ok(),
        name.parse::<Oid>().map(|id| id.to_string()).ok(),
        name.parse::<GitId>().map(|id| id.to_string()).ok(),
    ];
    let _ = (size(name), datamon::ops::label::is_version(name), Rules::ALL);
    match ids.into_iter().flatten().all(|id| id == name) {
        true => Ok(()),
        false => panic!("an id has two spellings: {name:?}"),
    }
}

/// A note of a commit.
pub fn note(bytes: &[u8]) -> Outcome {
    let mut known = 0;
    for line in note_lines(bytes) {
        let Some(record) = str::from_utf8(line).ok().and_then(Record::parse) else { continue };
        assert_eq!(Record::parse(&record.line()).as_ref(), Some(&record));
        known += 1;
    }
    if known > 0 { Ok(()) } else { Err("no line of it is known".to_owned()) }
}

/// What git says to a pre-push hook.
pub fn pushed_refs(bytes: &[u8]) -> Outcome {
    PushedRef::parse_all(bytes).map(drop).map_err(text)
}

/// A store's URL. None shows a control character, or its password.
pub fn store_url(bytes: &[u8]) -> Outcome {
    let given = str::from_utf8(bytes).map_err(text)?;
    let _ = is_same(given, "file:///srv/data");
    assert_eq!(without_password(&without_password(given)), without_password(given));
    let url = StoreUrl::parse(given).map_err(text)?;
    let shown = url.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    let _ = url.canonical();
    Ok(())
}

/// What a user says of a store: `name=value` lines.
pub fn settings(bytes: &[u8]) -> Outcome {
    let mut settings = Settings::default();
    for line in str::from_utf8(bytes).map_err(text)?.split('\n') {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        match name {
            "cache" => settings.set_kept("cache", value),
            "cacheSize" => settings.set_kept("cacheSize", value),
            name => settings.set(name, value),
        }
        .map_err(text)?;
    }
    assert!(!settings.to_string().contains(char::is_control));
    Ok(())
}

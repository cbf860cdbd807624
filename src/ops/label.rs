//! Labels: movable names for bundles, unique in their repo.
//!
//! Every move names the change it follows (R14), so of two that set out from the same place one lands and the other is told. Who
//! expects nothing goes on from the new place; who expects a bundle has lost.

use std::cmp::Ordering;

use unicode_normalization::UnicodeNormalization;

use super::bundle;
use super::open::probe_once;
use crate::catalog::change::{Change, DEFAULT_BRANCH, Label};
use crate::catalog::state::LabelAt;
use crate::catalog::{Catalog, CatalogError, Refusal};
use crate::git::is_tag_name;
use crate::id::{BundleId, RepoId};

/// The longest name, bytes.
const LONGEST: usize = 255;
/// How often a move that expects nothing is tried again from where another put the label.
const ATTEMPTS: usize = 64;

/// What has to be true of a label for a move to land.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: the last one to move it wins.
    Anything,
    /// It leads to this bundle, or nowhere.
    At(Option<BundleId>),
}

/// A move that landed, or was not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Where the label led before.
    pub before: Option<BundleId>,
    /// The entry that moved it; the one that put it there where it was there already.
    pub seq: u64,
}

/// A label that was not moved.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// No label can have the name.
    #[error("{name:?} cannot be a label: {why}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        why: String,
    },
    /// Somebody else was there first.
    #[error("label {name:?} was not changed: it {}, not {}", leads(.at), .expected.map_or("nowhere".to_owned(), |it| format!("to bundle {it}")))]
    Lost {
        /// The label.
        name: String,
        /// Where it leads.
        at: Option<BundleId>,
        /// Where it should have led.
        expected: Option<BundleId>,
    },
    /// There is none.
    #[error("there is no label {name:?} in the repo: `git datamon label list` shows what there is")]
    NotSet {
        /// The name.
        name: String,
    },
    /// The bundle is of another repo, or was dropped.
    #[error("bundle {bundle} is not, or not any more, in the repo: `git datamon log` shows what there is")]
    NoBundle {
        /// The bundle.
        bundle: BundleId,
    },
    /// Others move it all the time.
    #[error(
        "label {name:?} was moved by others {ATTEMPTS} times while it was to be moved: run the command again"
    )]
    Contended {
        /// The label.
        name: String,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn leads(at: &Option<BundleId>) -> String {
    at.map_or("leads nowhere".to_owned(), |at| format!("leads to bundle {at}"))
}

/// Make a label lead to a bundle of its repo.
pub fn set(
    catalog: &mut Catalog,
    repo: RepoId,
    name: &str,
    to: BundleId,
    expected: Expected,
) -> Result<Moved, LabelError> {
    check(catalog, repo, name)?;
    put(catalog, repo, name, Some(to), expected)
}

/// Whether a label may be set. One that leads somewhere, put there under whatever rules, can be moved; one that was taken away is
/// as good as new.
pub fn check(catalog: &Catalog, repo: RepoId, name: &str) -> Result<(), LabelError> {
    match catalog.state().label(repo, name).and_then(|at| at.bundle) {
        Some(_) if name != DEFAULT_BRANCH => Ok(()),
        _ => check_name(catalog, repo, name),
    }
}

/// Take a label away; its history stays.
pub fn delete(
    catalog: &mut Catalog,
    repo: RepoId,
    name: &str,
    expected: Expected,
) -> Result<Moved, LabelError> {
    let there = catalog.state().label(repo, name).and_then(|at| at.bundle);
    if there.is_none() && expected == Expected::Anything {
        return Err(LabelError::NotSet { name: name.to_owned() });
    }
    put(catalog, repo, name, None, expected)
}

/// Make `latest` lead to a bundle of the repo; nothing is asked of the store where it does.
pub fn set_latest(catalog: &mut Catalog, repo: RepoId, to: BundleId) -> Result<(), LabelError> {
    match catalog.state().label(repo, DEFAULT_BRANCH) {
        Some(at) if at.bundle == Some(to) => Ok(()),
        _ => put(catalog, repo, DEFAULT_BRANCH, Some(to), Expected::Anything).map(drop),
    }
}

fn put(
    catalog: &mut Catalog,
    repo: RepoId,
    name: &str,
    to: Option<BundleId>,
    expected: Expected,
) -> Result<Moved, LabelError> {
    probe_once(catalog)?;
    for _ in 0..ATTEMPTS {
        let known = catalog.state().label(repo, name);
        let at = known.and_then(|it| it.bundle);
        if let Expected::At(expected) = expected
            && expected != at
        {
            return Err(LabelError::Lost { name: name.to_owned(), at, expected });
        }
        if at == to {
            return Ok(Moved { before: at, seq: known.map_or(0, |it| it.seq) });
        }
        let previous = known.map(|it| it.seq);
        let change = Change::Label(Label { repo, name: name.to_owned(), bundle: to, previous });
        match catalog.commit(&catalog.record(catalog.head().seq(), change)) {
            Ok(landed) => {
                // A checkpoint that falls due; the label is safe without.
                let _: Result<(), CatalogError> = catalog.upkeep();
                return Ok(Moved { before: at, seq: landed.seq });
            }
            // The state is now the one that the change did not fit: look again.
            Err(CatalogError::Refused(Refusal::LabelMoved { .. })) => {}
            Err(CatalogError::Refused(Refusal::BundleUnknown { bundle, .. })) => {
                return Err(LabelError::NoBundle { bundle });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(LabelError::Contended { name: name.to_owned() })
}

/// Whether a new label may have the name: one that can be a git tag, and that means nothing else.
fn check_name(catalog: &Catalog, repo: RepoId, name: &str) -> Result<(), LabelError> {
    let no = |why: &str| Err(LabelError::Name { name: name.to_owned(), why: why.to_owned() });
    if name.is_empty() || name.len() > LONGEST {
        return no("a name has 1 to 255 bytes");
    }
    if name.chars().any(char::is_control) {
        return no("it has control characters");
    }
    if name.contains(['@', ':']) {
        return no("`@` and `:` have a meaning of their own, as in `reviewed@2` and `label:reviewed`");
    }
    if name == "latest" {
        return no(
            "`latest` is the newest version of the default branch, and goes along with pushes and uploads",
        );
    }
    if !is_tag_name(name) {
        return no("git would not take it as the name of a tag");
    }
    let digits = name.bytes().filter(|b| b.is_ascii_hexdigit()).count();
    if name.parse::<BundleId>().is_ok() || (digits == name.len() && [40, 64].contains(&digits)) {
        return no("it looks like the id of a bundle or commit");
    }
    // Every use of it would be ambiguous from the beginning.
    match bundle::find(catalog, repo, name, bundle::Name::default()) {
        Ok(found) => no(&format!("{found} begins like this")),
        Err(bundle::NotFound::Ambiguous { .. }) => no("bundles or commits begin like this"),
        Err(_) => Ok(()),
    }
}

/// Set labels of the repo that people or file systems may take for this one: other case, or another way to write the same
/// letters.
pub fn alike(catalog: &Catalog, repo: RepoId, name: &str) -> Vec<String> {
    let folded = |name: &str| name.nfc().flat_map(char::to_lowercase).nfc().collect::<String>();
    let wanted = folded(name);
    let others = of_repo(catalog, repo).filter(|(other, at)| at.bundle.is_some() && *other != name);
    others.map(|(other, _)| other.to_owned()).filter(|other| folded(other) == wanted).collect()
}

/// Labels of a repo, also those that were taken away, by name; without that of the default branch, which nobody gave.
pub fn of_repo(catalog: &Catalog, repo: RepoId) -> impl Iterator<Item = (&str, LabelAt)> {
    let from = catalog.state().labels().range((repo, String::new())..);
    let own = from.take_while(move |((of, _), _)| *of == repo).map(|((_, name), at)| (name.as_str(), *at));
    own.filter(|(name, _)| *name != DEFAULT_BRANCH)
}

/// The order of versions: `v1.9` before `v1.10-rc.1` before `v1.10`. What is no version comes behind, by name.
pub fn by_version(a: &str, b: &str) -> Ordering {
    match (version(a), version(b)) {
        (Some(one), Some(two)) => one.cmp(&two).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Whether a name is a version, as `v1.4` or `2.0.0-rc.1`.
pub fn is_version(name: &str) -> bool {
    version(name).is_some()
}

/// A name as a semantic version; what people leave out is 0.
fn version(name: &str) -> Option<semver::Version> {
    let name = name.strip_prefix(['v', 'V']).unwrap_or(name);
    let end = name.find(['-', '+']).unwrap_or(name.len());
    let zeros = ".0".repeat(2_usize.checked_sub(name[..end].matches('.').count())?);
    semver::Version::parse(&format!("{}{zeros}{}", &name[..end], &name[end..])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_versions() {
        let mut names = [
            "main",
            "v1.10",
            "v1.9.1",
            "1.10.0-rc.2",
            "v2",
            "1.10.0-rc.10",
            "v1.2.3.4",
            "v1.9",
            "alpha",
            "v01",
        ];
        names.sort_by(|a, b| by_version(a, b));
        assert_eq!(
            names,
            [
                "v1.9",
                "v1.9.1",
                "1.10.0-rc.2",
                "1.10.0-rc.10",
                "v1.10",
                "v2",
                "alpha",
                "main",
                "v01",
                "v1.2.3.4"
            ]
        );
    }
}

//! What the owner of a bucket has set for all of it, as S3 tells it: what happens to objects in time, whether old versions stay, how
//! long nothing can be deleted. Only read here; `store::care` says what it means for a store.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::s3::Door;
use crate::store::backend::{BackendError, Failure};

/// What could be learnt of one of them; the right to look is often not given.
type Looked<T> = Result<T, BackendError>;

/// A rule of a life cycle that is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiry {
    /// What it is called.
    pub name: String,
    /// What it holds for.
    pub prefix: String,
    /// Whether it holds for some objects below the prefix only, by tags, which no object of ours has.
    pub tagged: bool,
    /// When it deletes: in words.
    pub deletes: Option<String>,
    /// Where it moves to, and when.
    pub moves: Vec<(String, String)>,
    /// Whether it deletes versions that were replaced or deleted.
    pub clears_versions: bool,
}

/// All of it.
#[derive(Debug)]
pub struct Rules {
    /// What happens to objects in time.
    pub expiries: Looked<Vec<Expiry>>,
    /// Whether what is replaced or deleted stays as an old version.
    pub versioned: Looked<bool>,
    /// How long nothing new can be deleted, in words.
    pub retention: Looked<Option<String>>,
}

/// Asks the bucket.
pub fn of(bucket: &Door) -> Rules {
    let lifecycle = bucket.ask("lifecycle").and_then(|text| parsed::<Lifecycle>(text.as_deref()));
    let versioning = bucket.ask("versioning").and_then(|text| parsed::<Versioning>(text.as_deref()));
    let lock = bucket.ask("object-lock").and_then(|text| parsed::<Lock>(text.as_deref()));
    Rules {
        expiries: lifecycle.map(|it| it.rules.into_iter().filter(Rule::holds).map(Expiry::from).collect()),
        versioned: versioning.map(|it| it.status.is_some_and(|it| it == "Enabled")),
        retention: lock.map(Lock::retention),
    }
}

fn parsed<T: DeserializeOwned + Default>(text: Option<&str>) -> Looked<T> {
    let Some(text) = text else { return Ok(T::default()) };
    quick_xml::de::from_str(text).map_err(|error| BackendError {
        failure: Failure::Stranger,
        message: format!("the answer cannot be read: {error}"),
    })
}

#[derive(Default, Deserialize)]
struct Lifecycle {
    #[serde(rename = "Rule", default)]
    rules: Vec<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Rule {
    #[serde(rename = "ID")]
    id: String,
    status: String,
    prefix: Option<String>,
    filter: Filter,
    expiration: Option<When>,
    #[serde(rename = "Transition")]
    transitions: Vec<When>,
    noncurrent_version_expiration: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    prefix: Option<String>,
    tag: Vec<IgnoredAny>,
    and: Option<Box<Filter>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct When {
    days: Option<String>,
    date: Option<String>,
    storage_class: String,
}

impl When {
    /// `None` for what takes away only the marks of deleted objects.
    fn words(&self) -> Option<String> {
        let days = self.days.as_ref().map(|days| format!("after {days} days"));
        days.or_else(|| self.date.as_ref().map(|date| format!("on {date}")))
    }
}

impl Rule {
    fn holds(&self) -> bool {
        self.status == "Enabled"
    }
}

impl From<Rule> for Expiry {
    fn from(rule: Rule) -> Expiry {
        let filter = rule
            .filter
            .and
            .map_or(Filter { and: None, prefix: rule.filter.prefix, tag: rule.filter.tag }, |all| *all);
        Expiry {
            name: rule.id,
            prefix: filter.prefix.or(rule.prefix).unwrap_or_default(),
            tagged: !filter.tag.is_empty(),
            deletes: rule.expiration.as_ref().and_then(When::words),
            moves: rule
                .transitions
                .into_iter()
                .map(|when| (when.words().unwrap_or_default(), when.storage_class))
                .collect(),
            clears_versions: rule.noncurrent_version_expiration.is_some(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Versioning {
    status: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Lock {
    rule: Option<LockRule>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LockRule {
    default_retention: Retention,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Retention {
    mode: String,
    days: Option<String>,
    years: Option<String>,
}

impl Lock {
    fn retention(self) -> Option<String> {
        let Retention { mode, days, years } = self.rule?.default_retention;
        let days = days.map(|days| format!("{days} days"));
        let time = days.or_else(|| years.map(|years| format!("{years} years")))?;
        Some(format!("{time} ({mode})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_says_is_read() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Rule><ID>all</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>
              <Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition>
              <Expiration><Days>90</Days></Expiration>
              <Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>DEEP_ARCHIVE</StorageClass></Transition></Rule>
            <Rule><ID>old</ID><Prefix>x/</Prefix><Status>Disabled</Status><Expiration><Days>1</Days></Expiration></Rule>
            <Rule><Status>Enabled</Status><Filter><And><Prefix>a/</Prefix>
              <Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value>v</Value></Tag></And></Filter>
              <Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>
              <NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration></Rule>
            </LifecycleConfiguration>"#;
        let rules = parsed::<Lifecycle>(Some(text)).expect("XML").rules;
        assert_eq!(rules.iter().filter(|rule| rule.holds()).count(), 2);
        let all: Vec<Expiry> = rules.into_iter().map(Expiry::from).collect();
        let moves = |when: &str, to: &str| (when.to_owned(), to.to_owned());
        let first = Expiry {
            name: "all".into(),
            deletes: Some("after 90 days".into()),
            moves: vec![moves("after 30 days", "GLACIER"), moves("on 2030-01-01T00:00:00Z", "DEEP_ARCHIVE")],
            ..Expiry::default()
        };
        assert_eq!(all[0], first);
        let last = Expiry { prefix: "a/".into(), tagged: true, clears_versions: true, ..Expiry::default() };
        assert_eq!(all[2], last);
        assert!(parsed::<Lifecycle>(Some("<html>")).is_err());
        let lock = r#"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>
            <Mode>COMPLIANCE</Mode><Years>1</Years></DefaultRetention></Rule></ObjectLockConfiguration>"#;
        let lock = parsed::<Lock>(Some(lock)).expect("XML").retention();
        assert_eq!(lock.as_deref(), Some("1 years (COMPLIANCE)"));
    }
}

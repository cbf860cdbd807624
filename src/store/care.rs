//! Care: what the owner of a bucket has set that would harm a store in it, or cost more than it need.
//!
//! The log is what says which data exists, so nothing may expire, and what is read by everybody (`log/`, `meta/`, `datamon.json`) may
//! not lie in an archive. Data packs may, if whoever reads them brings them back first.

use super::cloud::{self, Expiry, Rules};
use super::settings::Settings;
use super::url::{Bucket, Place, Provider, StoreUrl};
use super::{BackendError, key};

/// Classes whose objects have to be brought back before they can be read.
const ARCHIVES: [&str; 3] = ["GLACIER", "DEEP_ARCHIVE", "ARCHIVE"];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Data is lost or cannot be read.
    Breaks,
    /// Worth knowing.
    Costs,
    /// It could not be looked at.
    Unknown,
}

/// Something that a store's owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// How bad it is.
    pub harm: Harm,
    /// What is so.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Concern {
    fn new(harm: Harm, text: impl Into<String>, hint: Option<&str>) -> Concern {
        Concern { harm, text: text.into(), hint: hint.map(str::to_owned) }
    }
}

/// What there is to be said of the store's bucket; nothing of a directory, and nothing where all is well.
pub fn care(url: &StoreUrl, settings: &Settings) -> Result<Vec<Concern>, BackendError> {
    let Place::Bucket(bucket) = url.place() else { return Ok(vec![]) };
    let mut concerns = vec![];
    if let Some(class) = settings.storage_class.as_ref().filter(|class| is_archive(bucket.provider, class)) {
        let text =
            format!("data packs are written into {class}: they have to be brought back before they are read");
        concerns.push(Concern::new(
            Harm::Costs,
            text,
            Some("git datamon thaw says which, and when they are back"),
        ));
    }
    match cloud::rules(bucket, settings)? {
        Some(rules) => concerns.extend(judge(bucket, &rules)),
        None => {
            let text = "rules for expiry, versions and retention are looked at on S3 only";
            let hint = "see that nothing expires there";
            concerns.push(Concern::new(Harm::Unknown, text, Some(hint)));
        }
    }
    Ok(concerns)
}

/// Whether objects of the class cannot be read as they are. Google's archive can.
fn is_archive(provider: Provider, class: &str) -> bool {
    provider != Provider::Gcs && ARCHIVES.contains(&class.to_uppercase().as_str())
}

fn judge(bucket: &Bucket, rules: &Rules) -> Vec<Concern> {
    let below = if bucket.prefix.is_empty() { String::new() } else { format!("{}/", bucket.prefix) };
    let mut concerns = vec![];
    let clears = |it: &Expiry| it.clears_versions && !it.tagged && below.starts_with(&it.prefix);
    let cleared = rules.expiries.as_ref().is_ok_and(|all| all.iter().any(clears));
    match &rules.expiries {
        Ok(all) => concerns.extend(all.iter().flat_map(|rule| of_expiry(&below, rule))),
        Err(error) => concerns.push(unseen("rules for expiry", "s3:GetLifecycleConfiguration", error)),
    }
    match &rules.versioned {
        Ok(true) if !cleared => concerns.push(Concern::new(
            Harm::Costs,
            "the bucket keeps old versions: what is deleted or replaced is still paid for",
            Some("a life-cycle rule with NoncurrentVersionExpiration takes them away"),
        )),
        Ok(_) => {}
        Err(error) => concerns.push(unseen("versioning", "s3:GetBucketVersioning", error)),
    }
    match &rules.retention {
        Ok(Some(time)) => concerns.push(Concern::new(
            Harm::Costs,
            format!("nothing can be deleted for {time}: also what is written to try the store, and what is replaced, is paid for"),
            None,
        )),
        Ok(None) => {}
        Err(error) => concerns.push(unseen("retention", "s3:GetBucketObjectLockConfiguration", error)),
    }
    concerns
}

fn of_expiry(below: &str, rule: &Expiry) -> Vec<Concern> {
    // No object of a store has tags.
    let hit = |parts: &[&str]| {
        let touches = |part: &&&str| {
            let part = format!("{below}{part}");
            part.starts_with(&rule.prefix) || rule.prefix.starts_with(&part)
        };
        let hit: Vec<&str> = parts.iter().filter(touches).copied().collect();
        (!rule.tagged && !hit.is_empty()).then(|| hit.join(", "))
    };
    let name = match rule.name.as_str() {
        "" => "a life-cycle rule".to_owned(),
        name => format!("the life-cycle rule {name:?}"),
    };
    let mut concerns = vec![];
    let hot = [key::STORE, key::LOG, "loglists/", key::META];
    let hint = Some("leave the store out of the rule: it holds for one prefix, the store lies below another");
    if let Some(when) = &rule.deletes
        && let Some(hit) = hit(&[&hot[..], &[key::DATA]].concat())
    {
        let text = format!("{name} deletes objects {when}, below {hit}: the data will be lost");
        concerns.push(Concern::new(Harm::Breaks, text, hint));
    }
    for (when, class) in rule.moves.iter().filter(|(_, class)| is_archive(Provider::S3, class)) {
        if let Some(hit) = hit(&hot) {
            let text = format!(
                "{name} moves objects to {class} {when}, below {hit}: the store cannot be opened then"
            );
            let hint = format!("let it hold for {below}{} only", key::DATA);
            concerns.push(Concern::new(Harm::Breaks, text, Some(&hint)));
        } else if hit(&[key::DATA]).is_some() {
            let text = format!(
                "{name} moves data packs to {class} {when}: they have to be brought back before they are read"
            );
            concerns.push(Concern::new(Harm::Costs, text, Some("git datamon thaw says which")));
        }
    }
    concerns
}

fn unseen(what: &str, right: &str, error: &BackendError) -> Concern {
    let text = format!("{what} could not be looked at: {error}");
    Concern::new(Harm::Unknown, text, Some(&format!("the right to look is {right}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Failure;

    fn judged(prefix: &str, rule: Expiry) -> Vec<Harm> {
        let url = StoreUrl::parse(&format!("s3://bucket/{prefix}")).expect("a URL");
        let Place::Bucket(bucket) = url.place() else { panic!("a bucket") };
        let rules = Rules { expiries: Ok(vec![rule]), versioned: Ok(false), retention: Ok(None) };
        judge(bucket, &rules).into_iter().map(|it| it.harm).collect()
    }

    #[test]
    fn a_rule_counts_where_it_meets_the_store() {
        let deletes = |prefix: &str| Expiry {
            prefix: prefix.into(),
            deletes: Some("after 1 days".into()),
            ..Expiry::default()
        };
        for prefix in
            ["", "te", "team", "team/", "team/log/", "team/log/0000", "team/data/7f/", "team/datamon"]
        {
            assert_eq!(judged("team", deletes(prefix)), [Harm::Breaks], "{prefix}");
        }
        for prefix in ["other/", "team2/", "team/probe/", "team/readlog/", "log/"] {
            assert_eq!(judged("team", deletes(prefix)), [], "{prefix}");
        }
        assert_eq!(judged("", deletes("log/")), [Harm::Breaks]);
        assert_eq!(judged("team", Expiry { tagged: true, ..deletes("") }), []);
        let moves = |prefix: &str, class: &str| Expiry {
            prefix: prefix.into(),
            moves: vec![("after 1 days".into(), class.into())],
            ..Expiry::default()
        };
        assert_eq!(judged("team", moves("", "DEEP_ARCHIVE")), [Harm::Breaks]);
        assert_eq!(judged("team", moves("team/meta", "GLACIER")), [Harm::Breaks]);
        assert_eq!(judged("team", moves("team/data/", "GLACIER")), [Harm::Costs]);
        assert_eq!(judged("team", moves("", "GLACIER_IR")), [], "it can be read as it is");
    }

    #[test]
    fn what_may_not_be_looked_at_is_no_error() {
        let denied = || BackendError { failure: Failure::Denied, message: "AccessDenied".into() };
        let url = StoreUrl::parse("s3://bucket/x").expect("a URL");
        let Place::Bucket(bucket) = url.place() else { panic!("a bucket") };
        let rules = Rules { expiries: Err(denied()), versioned: Err(denied()), retention: Err(denied()) };
        let all = judge(bucket, &rules);
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|it| it.harm == Harm::Unknown && it.text.contains("could not be looked at")));
    }
}

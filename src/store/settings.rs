//! Settings: what a user says about a place beside its URL. A URL is committed and comes from whoever wrote the repository; these come
//! from the user's own git configuration alone (`datamon.store.<url>.<setting>`), so a repository can name a bucket and never
//! an endpoint, a proxy or whose credentials are used.
//!
//! What is not set is left to the provider's own environment variables and files.

use std::fmt;
use std::path::PathBuf;

use super::url::StoreUrl;

/// How a store is reached. [`Settings::default`] says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The server, `https://host[:port]`; with `http://` nothing is encrypted.
    pub endpoint: Option<String>,
    /// Where the bucket lies (S3).
    pub region: Option<String>,
    /// Whose section of `~/.aws/config` counts (S3).
    pub profile: Option<String>,
    /// The storage account (Azure).
    pub account: Option<String>,
    /// The bucket in the path rather than in the host name (S3); of itself with an endpoint and not without.
    pub path_style: Option<bool>,
    /// The storage class of data packs; everything else stays in that of the bucket.
    pub storage_class: Option<String>,
    /// How the server encrypts (S3): `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub encryption: Option<String>,
    /// With which key (S3).
    pub kms_key: Option<String>,
    /// Whether requests are paid by who makes them (S3).
    pub requester_pays: bool,
    /// Whether requests are made without credentials.
    pub anonymous: bool,
    /// An HTTP proxy; of itself that of `HTTPS_PROXY`.
    pub proxy: Option<String>,
    /// A file of certificates (PEM) to trust beside those of the system.
    pub ca: Option<PathBuf>,
    /// Whether this machine keeps metadata of the store only, and no data of files.
    pub metadata_only: bool,
    /// How much data of files this machine keeps, of all stores together, bytes; of itself a part of the disk.
    pub cache_size: Option<u64>,
    /// Places with copies of the store's objects, and how they are reached.
    pub mirrors: Vec<(StoreUrl, Settings)>,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// Nobody knows it.
    #[error("there is no setting {0:?} of stores; there are {NAMES:?}")]
    Unknown(String),
    /// It has other values.
    #[error("the setting {name} cannot be {value:?}: it {allowed}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        allowed: &'static str,
    },
}

/// Every setting, as users write it.
const NAMES: [&str; 12] = [
    "endpoint",
    "region",
    "profile",
    "account",
    "pathStyle",
    "storageClass",
    "encryption",
    "kmsKey",
    "requesterPays",
    "anonymous",
    "proxy",
    "caFile",
];

impl Settings {
    /// Set what is called `name`, in whatever case: git's configuration keeps none.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), BadSetting> {
        let known = NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name));
        let name = known.ok_or_else(|| BadSetting::Unknown(name.to_owned()))?;
        let wrong = |allowed| BadSetting::Value { name, value: value.to_owned(), allowed };
        if value.chars().any(char::is_control) {
            return Err(wrong("has no control characters"));
        }
        let text = Some(value.to_owned()).filter(|value| !value.is_empty());
        let flag = || flag(value).ok_or_else(|| wrong("is true or false"));
        match name {
            "endpoint" => self.endpoint = address(value, &["https", "http"]).ok_or_else(|| wrong(ADDRESS))?,
            "proxy" => {
                self.proxy = address(value, &["https", "http", "socks5"]).ok_or_else(|| wrong(ADDRESS))?;
            }
            "region" => self.region = text,
            "profile" => self.profile = text,
            "account" => self.account = text,
            "pathStyle" => self.path_style = Some(flag()?),
            "storageClass" => self.storage_class = text,
            "encryption" => {
                let known = ["", "AES256", "aws:kms", "aws:kms:dsse"].contains(&value);
                self.encryption =
                    known.then_some(text).ok_or_else(|| wrong("is AES256, aws:kms or aws:kms:dsse"))?;
            }
            "kmsKey" => self.kms_key = text,
            "requesterPays" => self.requester_pays = flag()?,
            "anonymous" => self.anonymous = flag()?,
            _ => self.ca = text.map(PathBuf::from),
        }
        Ok(())
    }
}

impl Settings {
    /// Set what this machine keeps: `datamon.cache` or `datamon.cacheSize`.
    pub fn set_kept(&mut self, name: &'static str, value: &str) -> Result<(), BadSetting> {
        let wrong = |allowed| BadSetting::Value { name, value: value.to_owned(), allowed };
        if name == CACHE {
            self.metadata_only = match value {
                "metadata" => true,
                "data" | "" => false,
                _ => return Err(wrong("is data or metadata")),
            };
        } else {
            self.cache_size =
                Some(size(value).ok_or_else(|| wrong("is a number of bytes, as in 500m or 20g"))?);
        }
        Ok(())
    }
}

/// What this machine keeps of stores.
pub const CACHE: &str = "cache";
/// How much of it.
pub const CACHE_SIZE: &str = "cacheSize";

/// Bytes, as git writes numbers: with `k`, `m`, `g`, and `t`.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << power)
}

const ADDRESS: &str = "is an address as in https://host:port";

/// The address, without what a server would not be asked for; empty is none.
fn address(value: &str, schemes: &[&str]) -> Option<Option<String>> {
    if value.is_empty() {
        return Some(None);
    }
    let url = url::Url::parse(value).ok()?;
    let plain = schemes.contains(&url.scheme()) && url.has_host() && url.query().is_none();
    plain.then(|| Some(value.trim_end_matches('/').to_owned()))
}

/// What git takes for true and for false.
fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" | "" => Some(false),
        _ => None,
    }
}

impl fmt::Display for Settings {
    /// What tells one server from another: part of the name under which a machine keeps what it knows of the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.endpoint, &self.account].into_iter().flatten() {
            write!(f, " at {part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_git_reads_them() {
        let sizes =
            [("0", 0), ("12", 12), ("3k", 3072), ("2M", 2 << 20), (" 20g", 20 << 30), ("1t", 1 << 40)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "g", "-1", "1.5g", "10gb", "99999999999t", "ä"] {
            assert_eq!(size(text), None, "{text}");
        }
        let mut settings = Settings::default();
        settings.set_kept(CACHE, "metadata").expect("a value");
        settings.set_kept(CACHE_SIZE, "1g").expect("a value");
        assert_eq!((settings.metadata_only, settings.cache_size), (true, Some(1 << 30)));
        for (name, value) in [(CACHE, "nothing"), (CACHE_SIZE, "much")] {
            let refused = settings.set_kept(name, value).expect_err("no value").to_string();
            assert!(refused.contains(name) && refused.contains(value), "{refused}");
        }
    }

    #[test]
    fn every_setting_can_be_set_and_nothing_else() {
        let value = |name: &str| match name {
            "endpoint" | "proxy" => "http://127.0.0.1:9000/",
            "pathStyle" | "requesterPays" | "anonymous" => "Yes",
            "encryption" => "aws:kms",
            _ => "something",
        };
        let mut settings = Settings::default();
        for name in NAMES {
            let before = settings.clone();
            settings.set(&name.to_lowercase(), value(name)).expect(name);
            assert_ne!(settings, before, "{name} had no effect");
        }
        assert_eq!(settings.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        let refused = |name, value| Settings::default().set(name, value).expect_err(name).to_string();
        assert!(refused("endpiont", "x").contains("endpiont"));
        assert!(refused("endpoint", "localhost:9000").contains("https://host:port"));
        assert!(refused("endpoint", "file:///etc/passwd").contains("https://host:port"));
        assert!(refused("pathStyle", "maybe").contains("true or false"));
        assert!(refused("region", "eu\nwest").contains("control"));
        assert!(refused("encryption", "rot13").contains("AES256"));
    }
}

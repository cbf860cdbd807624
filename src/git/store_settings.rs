//! What the user says about stores, in git's configuration of any scope: `datamon.store.<url>.<setting>`, for every store below
//! `<url>`, and `datamon.store.<setting>` for all. As with `http.<url>.*` of git the longest URL counts. Nothing of this is
//! ever read from a file of the repository. What this machine keeps of stores is said in the same way.

use crate::git::config::Config;
use crate::git::mirrors::MIRROR;
use crate::store::{BadSetting, CACHE, CACHE_SIZE, Settings, StoreUrl};

const BEFORE: &str = "datamon.store.";

/// What the user says about a store cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{key} in git's configuration: {source}")]
pub struct SettingError {
    /// The key.
    pub key: String,
    /// What is wrong with it.
    pub source: BadSetting,
}

impl Config {
    /// What this machine keeps of stores that are not directories: `datamon.cache`, `datamon.cacheSize`.
    pub fn kept(&self) -> Result<Settings, SettingError> {
        let mut settings = Settings::default();
        for name in [CACHE, CACHE_SIZE] {
            let key = format!("datamon.{name}");
            if let Some(value) = self.get(&key.to_ascii_lowercase()) {
                let value = String::from_utf8_lossy(value);
                settings.set_kept(name, &value).map_err(|source| SettingError { key, source })?;
            }
        }
        Ok(settings)
    }

    /// What is said about the store at `url`, and about its mirrors.
    pub fn store_settings(&self, url: &StoreUrl) -> Result<Settings, SettingError> {
        let mut settings = self.place_settings(url)?;
        for named in self.mirrors(url) {
            let wrong = |_| {
                let (name, value, allowed) = (MIRROR, named.clone(), "is the URL of a directory or a bucket");
                let key = format!("{BEFORE}{}.{MIRROR}", url.canonical());
                SettingError { key, source: BadSetting::Value { name, value, allowed } }
            };
            let mirror = StoreUrl::parse(&named).map_err(wrong)?;
            let reached = self.place_settings(&mirror)?;
            settings.mirrors.push((mirror, reached));
        }
        Ok(settings)
    }

    fn place_settings(&self, url: &StoreUrl) -> Result<Settings, SettingError> {
        let place = url.canonical();
        let mut said: Vec<(&str, &str)> = Vec::new();
        for key in self.keys() {
            let Some(rest) = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(BEFORE)) else {
                continue;
            };
            let (of, name) = rest.rsplit_once('.').unwrap_or(("", rest));
            if name != MIRROR && !said.contains(&(of, name)) && covers(of, &place) {
                said.push((of, name));
            }
        }
        // What is said of less comes later and counts.
        said.sort_by_key(|(of, _)| of.len());
        let mut settings = self.kept()?;
        for (of, name) in said {
            let key = match of {
                "" => format!("{BEFORE}{name}"),
                of => format!("{BEFORE}{of}.{name}"),
            };
            let value = String::from_utf8_lossy(self.get(&key).unwrap_or_default()).into_owned();
            settings.set(name, &value).map_err(|source| SettingError { key, source })?;
        }
        Ok(settings)
    }
}

/// Whether a place is `of`, or below it; `s3://` alone means every bucket there.
fn covers(of: &str, place: &str) -> bool {
    let whole = of.is_empty() || of.ends_with("://");
    let of = if whole { of } else { of.trim_end_matches('/') };
    place.strip_prefix(of).is_some_and(|rest| whole || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::scratch::{Scratch, said};

    #[test]
    fn the_longest_url_counts() {
        let scratch = Scratch::new();
        let git = scratch.repo().git().clone();
        let set = |key: &str, value: &str| drop(said(&git, &["config", key, value]));
        set("datamon.store.proxy", "http://everywhere:1");
        set("datamon.store.s3://.region", "eu-west-1");
        set("datamon.store.s3://team/data.region", "eu-north-1");
        set("datamon.store.s3://team/data.pathStyle", "true");
        let of = |url: &str| {
            let config = Config::read(&git).unwrap();
            config.store_settings(&StoreUrl::parse(url).unwrap())
        };
        let region = |url: &str| of(url).unwrap().region;
        assert_eq!(region("s3://other").as_deref(), Some("eu-west-1"));
        assert_eq!(region("s3://team/database").as_deref(), Some("eu-west-1"));
        assert_eq!(region("s3://team/data").as_deref(), Some("eu-north-1"));
        let below = of("s3://team/data/sets/").unwrap();
        assert_eq!((below.region.as_deref(), below.path_style), (Some("eu-north-1"), Some(true)));
        assert_eq!(below.proxy.as_deref(), Some("http://everywhere:1"));
        assert_eq!(region("gs://team/data"), None);
        set("datamon.store.gs://team.edpoint", "https://x");
        assert!(of("gs://team").unwrap_err().to_string().contains("datamon.store.gs://team.edpoint"));
        assert!(of("s3://team").is_ok(), "a mistake about another store is no matter here");
    }
}

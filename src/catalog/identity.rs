//! `datamon.json`: what a store is. Created once by `init`, read first by everybody.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::chunk::Sizes;
use crate::id::StoreId;

/// The store format this program reads and writes. 0 was provisional and is refused.
pub const FORMAT: u32 = 1;
/// No honest `datamon.json` is larger, bytes.
const MAX_LEN: usize = 64 << 10;

/// The content of `datamon.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of every layout in the store.
    pub format: u32,
    /// Drawn by `init`; a copy or a restored snapshot draws another before its first write (R6).
    pub store: StoreId,
    /// Raised by a repair that rebuilds the log (R13).
    pub epoch: u64,
    /// Where files are cut.
    pub chunks: Sizes,
    /// Properties a client must know to use the store; none is known yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

/// The object as it is written: what it says, and a check, since JSON has none of its own.
#[derive(Serialize)]
struct Written<'i> {
    #[serde(flatten)]
    identity: &'i Identity,
    check: String,
}

/// A `datamon.json` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadIdentity {
    /// Not what was written.
    #[error(fmt = damaged)]
    Damaged(String),
    /// Written by a later version.
    #[error("it has format {found}, this git-datamon reads format {FORMAT}: upgrade git-datamon")]
    Newer {
        /// The format.
        found: u64,
    },
    /// From before the format was frozen.
    #[error(
        "it has format 0, which was provisional and is read no more: its data is still in the clones that pushed it. In one of them run `git datamon init --store` with a new place, then `git lfs push --all <remote>`; what a clone lacks, the git-datamon that wrote this store still fetches"
    )]
    Provisional,
    /// It needs something this version lacks.
    #[error("it needs {0:?}, which this git-datamon does not know: upgrade git-datamon")]
    Requires(String),
}

/// What is wrong, and what helps; `{:#}` leaves that out, for who says it better.
fn damaged(what: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "its datamon.json is damaged ({what})")?;
    if f.alternate() {
        return Ok(());
    }
    f.write_str(
        "; run `git datamon repair` where the store was used, or restore the file from a backup of the store",
    )
}

impl Identity {
    /// A new store.
    pub fn new() -> Self {
        Identity { format: FORMAT, store: StoreId::new(), epoch: 0, chunks: Sizes::DEFAULT, requires: vec![] }
    }

    /// The bytes of the object: JSON a person can read.
    pub fn encode(&self) -> Vec<u8> {
        pretty(&Written { identity: self, check: self.check() })
    }

    /// Whether these are the bytes that this version, or one from before there was a check, writes.
    pub fn is_written(&self, bytes: &[u8]) -> bool {
        bytes == self.encode() || bytes == pretty(self)
    }

    /// Sixteen hexadecimal digits that another identity has others of.
    fn check(&self) -> String {
        let said = serde_json::to_vec(self).expect("plain values always encode");
        blake3::hash(&said).to_hex()[..16].to_owned()
    }

    /// The identity in the object's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadIdentity> {
        if bytes.len() > MAX_LEN {
            return Err(BadIdentity::Damaged(format!("it has {} bytes", bytes.len())));
        }
        let damaged = |e: serde_json::Error| BadIdentity::Damaged(e.to_string());
        // The version decides what the rest means, so it is looked at alone first.
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
        let found = value.get("format").and_then(serde_json::Value::as_u64);
        let found = found.ok_or_else(|| BadIdentity::Damaged("it has no format".into()))?;
        match found {
            found if found == u64::from(FORMAT) => {}
            _ if is_checked_as_ours(&value) => {
                return Err(BadIdentity::Damaged("its format is not the one of its check".into()));
            }
            0 => return Err(BadIdentity::Provisional),
            found => return Err(BadIdentity::Newer { found }),
        }
        let check = value.get("check").cloned();
        let identity: Identity = serde_json::from_value(value).map_err(damaged)?;
        let check = check.as_ref().map(serde_json::Value::as_str);
        if check.is_some_and(|check| check != Some(&identity.check())) {
            return Err(BadIdentity::Damaged("its check is that of another one".into()));
        }
        if let Some(unknown) = identity.requires.first() {
            return Err(BadIdentity::Requires(unknown.clone()));
        }
        if !identity.chunks.valid() {
            return Err(BadIdentity::Damaged("its chunk sizes are impossible".into()));
        }
        Ok(identity)
    }
}

/// Whether everything but the format is what a store of this one says, by its check: then it is the format that is damaged.
fn is_checked_as_ours(value: &serde_json::Value) -> bool {
    let mut ours = value.clone();
    ours["format"] = FORMAT.into();
    let check = ours.get("check").and_then(serde_json::Value::as_str).map(str::to_owned);
    let identity = serde_json::from_value::<Identity>(ours);
    identity.is_ok_and(|identity| Some(identity.check()) == check)
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain values always encode");
    bytes.push(b'\n');
    bytes
}

impl Default for Identity {
    fn default() -> Self {
        Identity::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_digit_is_noticed_where_there_is_a_check() {
        let identity = Identity::new();
        let text = String::from_utf8(identity.encode()).expect("JSON");
        for (from, to) in [("\"epoch\": 0", "\"epoch\": 1"), ("4096", "4098")] {
            let error = Identity::decode(text.replace(from, to).as_bytes()).expect_err(to).to_string();
            assert!(error.contains("its check"), "{error}");
        }
        // Stores from before there was one are read, and known for what was written then.
        let before = pretty(&identity);
        assert_eq!(Identity::decode(&before).expect("decodes"), identity);
        assert!(identity.is_written(&before) && identity.is_written(&identity.encode()));
        assert!(!identity.is_written(text.replace("check", "chedk").as_bytes()));
    }

    #[test]
    fn the_one_in_the_documentation_is_one() {
        let page = include_str!("../../docs/format.md");
        let json =
            page.split("```json").nth(1).and_then(|rest| rest.split("```").next()).expect("it is shown");
        let changed = json.replace("9a3c7e0e", "9a3c7e0f");
        assert!(Identity::decode(json.as_bytes()).is_ok() && Identity::decode(changed.as_bytes()).is_err());
    }

    #[test]
    fn a_newer_store_asks_for_an_upgrade_and_a_damaged_one_for_a_backup() {
        let identity = Identity::new();
        assert_eq!(Identity::decode(&identity.encode()).expect("decodes"), identity);
        let text = |text: &str| Identity::decode(text.as_bytes()).expect_err(text).to_string();
        assert!(text(r#"{"format": 7, "anything": "else"}"#).contains("upgrade"));
        assert!(text(r#"{"format": 0, "anything": "else"}"#).contains("git datamon init --store"));
        assert!(text("{}").contains("damaged"));
        assert!(text("").contains("damaged"));
        let requires = Identity { requires: vec!["encryption".into()], ..identity.clone() };
        assert!(Identity::decode(&requires.encode()).expect_err("needs").to_string().contains("encryption"));
        let chunks = Sizes { min: 0, average: 3, max: u32::MAX };
        assert!(Identity::decode(&Identity { chunks, ..identity }.encode()).is_err());
    }
}

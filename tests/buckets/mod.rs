//! Buckets: real servers (S3 by moto, Azure by Azurite), doubles for what has none, and what users of them meet.

mod cache;
mod care;
mod collection;
mod conformance;
mod engine;
mod frozen;
mod journey;
mod liars;
mod moving;
mod refusals;
mod weather;

use std::process::Command;

use datamon::id::Nonce;
use datamon::store::{Settings, Store, StoreUrl};
use datamon_test_support::{Hermetic, server};

/// Azurite's account.
const ACCOUNT: &str = "devstoreaccount1";

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in pairs {
        settings.set(name, value).expect("a setting");
    }
    settings
}

fn store(url: &str, pairs: &[(&str, &str)]) -> Store {
    let url = StoreUrl::parse(url).expect("a URL");
    Store::open_with(&url, &settings(pairs)).expect("opens")
}

/// A place of its own in the bucket of all tests.
fn somewhere(scheme: &str) -> String {
    format!("{scheme}://datamon/{}", Nonce::new())
}

/// A new store at the S3 server.
fn s3() -> Store {
    store(&somewhere("s3"), &[("endpoint", &server("DATAMON_TEST_S3"))])
}

/// A new store at the Azure server; the key is in the environment.
fn azure() -> Store {
    let endpoint = format!("{}/{ACCOUNT}", server("DATAMON_TEST_AZURE"));
    store(&somewhere("az"), &[("endpoint", &endpoint), ("account", ACCOUNT)])
}

/// A command with credentials for the S3 server at `endpoint`: `key:secret`.
pub fn with_s3<'c>(command: &'c mut Command, endpoint: &str, key: &str) -> &'c mut Command {
    let (key, secret) = key.split_once(':').expect("key:secret");
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", key)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

/// A machine with git-datamon installed.
fn machine() -> Hermetic {
    crate::cli::machine()
}

//! Buckets: the three providers behind one [`super::Backend`], built from a URL, the user's settings and the provider's own
//! environment variables and files.
//!
//! `object_store` speaks the protocols. Two things are ours: `wire` sits between it and the network, where it says what a
//! server answered and gives up on one that stalls; and nothing below `Store` tries a request a second time, so that
//! requests are counted as they are made.

mod azure;
mod credentials;
mod gcs;
mod rules;
mod s3;
mod wire;

use object_store::client::{Certificate, ClientOptions};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

pub use credentials::NoCredentials;
pub use rules::{Expiry, Rules};
pub use wire::Answered;

use super::backend::{BackendError, Failure};
use super::objects::Objects;
use super::settings::Settings;
use super::url::{Bucket, Provider};

/// The backend that a bucket's URL names. Nothing is asked of it yet, but credentials may be looked for.
pub fn open(bucket: &Bucket, settings: &Settings) -> Result<Objects, BackendError> {
    let client = client(settings)?;
    match bucket.provider {
        Provider::S3 => below(s3::open(bucket, settings, client)?, bucket, settings, true),
        Provider::Gcs => below(gcs::open(bucket, settings, client)?, bucket, settings, true),
        // Its listings begin at the first name, whatever is asked.
        Provider::Azure => below(azure::open(bucket, settings, client)?, bucket, settings, false),
    }
}

/// What the owner of a bucket has set for everything in it; `None` where that is not looked at.
pub fn rules(bucket: &Bucket, settings: &Settings) -> Result<Option<Rules>, BackendError> {
    match bucket.provider {
        Provider::S3 => Ok(Some(rules::of(&s3::Door::of(bucket, settings, client(settings)?)?))),
        Provider::Gcs | Provider::Azure => Ok(None),
    }
}

fn below(
    store: impl ObjectStore,
    bucket: &Bucket,
    settings: &Settings,
    lists_after: bool,
) -> Result<Objects, BackendError> {
    let objects = match bucket.prefix.as_str() {
        "" => Objects::new(store),
        prefix => {
            let path = object_store::path::Path::parse(prefix).map_err(unusable)?;
            Objects::new(PrefixStore::new(store, path))
        }
    };
    Ok(objects.with_class_of_data(settings.storage_class.clone()).with_listing_after(lists_after))
}

fn client(settings: &Settings) -> Result<ClientOptions, BackendError> {
    // Another part of the process may have chosen already, and then that holds.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // `wire` has its own idea of how long a request may take.
    let mut client = ClientOptions::new().with_timeout_disabled().with_connect_timeout(wire::CONNECT);
    if let Some(proxy) = &settings.proxy {
        client = client.with_proxy_url(proxy);
    }
    if settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
        client = client.with_allow_http(true);
    }
    let of_environment = || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(Into::into);
    if let Some(path) = settings.ca.clone().or_else(of_environment) {
        let refused = |why: &dyn std::fmt::Display| BackendError {
            failure: Failure::Credentials,
            message: format!("cannot read certificates from {}: {why}", path.display()),
        };
        let pem = std::fs::read(&path).map_err(|e| refused(&e))?;
        for certificate in Certificate::from_pem_bundle(&pem).map_err(|e| refused(&e))? {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

/// Trying again is the business of `Store`, which counts.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, backoff: BackoffConfig::default(), ..RetryConfig::default() }
}

/// What object_store says of settings that do not fit together, without its own name before it.
fn unusable(error: impl std::error::Error) -> BackendError {
    let message = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    BackendError { failure: Failure::Credentials, message }
}

/// What an answer means for who asked. S3 and those who speak its protocol tell more by their words than by HTTP's numbers.
pub fn meaning(answered: &Answered) -> Failure {
    if is_identity(&answered.host) {
        return Failure::Credentials;
    }
    if answered.page {
        return Failure::Stranger;
    }
    let code = answered.code.as_deref().unwrap_or_default();
    match code {
        _ if wire::NO_BUCKET.contains(&code) => return Failure::NoBucket,
        "RequestTimeTooSkewed" | "RequestExpired" => return Failure::Clock,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidSecurity"
        | "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation" => return Failure::Credentials,
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => return Failure::Region,
        "InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated" => return Failure::Archived,
        "SlowDown" | "RequestLimitExceeded" | "ThrottlingException" | "ServerBusy" => return Failure::Busy,
        "QuotaExceeded" | "XMinioStorageFull" => return Failure::Full,
        "NotImplemented" | wire::OTHER_PART => return Failure::Unsupported,
        _ => {}
    }
    match answered.status {
        301 | 302 | 307 | 308 => Failure::Region,
        401 => Failure::Credentials,
        403 => Failure::Denied,
        429 | 503 => Failure::Busy,
        405 | 501 => Failure::Unsupported,
        507 => Failure::Full,
        _ => Failure::Other,
    }
}

/// Whether a host gives credentials, and is no store: what it refuses is not a right on a bucket.
fn is_identity(host: &str) -> bool {
    const HOSTS: [&str; 5] = [
        "169.254.169.254",
        "169.254.170.2",
        "metadata.google.internal",
        "login.microsoftonline.com",
        "oauth2.googleapis.com",
    ];
    HOSTS.contains(&host) || host.starts_with("sts.")
}

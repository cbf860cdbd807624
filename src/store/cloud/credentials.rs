//! Credentials for S3, by the chain that every AWS program follows: environment, profiles (with their roles, processes and
//! single sign-on), web identity, container, instance. The crate of AWS knows it; here its answers are kept until shortly before
//! they expire, so that a long transfer outlives the ones it began with.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::{Builder, tls};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use crate::store::backend::BackendError;
use crate::store::objects::RUNTIME;
use crate::store::settings::Settings;

/// Credentials are renewed this long before they expire.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// The region of who names none: servers that speak S3's protocol call theirs so, or do not look.
const ANY_REGION: &str = "us-east-1";

/// What the machine says about S3.
pub struct Machine {
    pub region: String,
    pub endpoint: Option<String>,
    pub credentials: Option<SharedCredentialsProvider>,
}

/// What the environment and the files of the user say, where the settings say nothing.
pub fn of_this_machine(settings: &Settings) -> Result<Machine, BackendError> {
    let https = Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(https);
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    // Who names a server needs no region, and the chain would ask the instance for one.
    let region =
        settings.region.clone().or_else(|| settings.endpoint.is_some().then(|| ANY_REGION.to_owned()));
    if let Some(region) = &region {
        loader = loader.region(Region::new(region.clone()));
    }
    if settings.anonymous {
        loader = loader.no_credentials();
    }
    let config = RUNTIME.block_on(loader.load());
    let endpoint = ["AWS_ENDPOINT_URL_S3"].into_iter().find_map(|name| std::env::var(name).ok());
    let endpoint = endpoint.filter(|it| !it.is_empty()).or_else(|| config.endpoint_url().map(str::to_owned));
    Ok(Machine {
        region: config.region().map_or_else(|| ANY_REGION.to_owned(), |region| region.as_ref().to_owned()),
        endpoint,
        credentials: config.credentials_provider(),
    })
}

/// The chain, and what it said last.
#[derive(Debug)]
pub struct Chain {
    chain: Option<SharedCredentialsProvider>,
    kept: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl Chain {
    pub fn new(chain: Option<SharedCredentialsProvider>) -> Chain {
        Chain { chain, kept: Mutex::new(None) }
    }
}

/// There are none, or none that hold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoCredentials(String);

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some((credential, expires)) = &*kept
            && expires.is_none_or(|expires| expires.duration_since(now).is_ok_and(|left| left > EARLY))
        {
            return Ok(credential.clone());
        }
        let none =
            |why: String| object_store::Error::Generic { store: "S3", source: Box::new(NoCredentials(why)) };
        let chain = self.chain.as_ref().ok_or_else(|| none("there are no credentials".to_owned()))?;
        let found = chain.provide_credentials().await.map_err(|error| {
            let mut why = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(at) = cause {
                why = format!("{why}: {at}");
                cause = at.source();
            }
            none(why)
        })?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *kept = Some((credential.clone(), found.expiry()));
        Ok(credential)
    }
}

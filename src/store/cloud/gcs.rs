//! Google Cloud Storage. No emulator speaks the protocol that `object_store` uses (XML), so this is tried against a double of our own
//! only.

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::client::ClientOptions;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};

use super::wire::Wire;
use super::{once, unusable};
use crate::store::backend::BackendError;
use crate::store::settings::Settings;
use crate::store::url::Bucket;

pub fn open(
    bucket: &Bucket,
    settings: &Settings,
    client: ClientOptions,
) -> Result<GoogleCloudStorage, BackendError> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&bucket.name)
        .with_retry(once())
        .with_client_options(client)
        .with_http_connector(Wire)
        .with_skip_signature(settings.anonymous);
    if settings.anonymous {
        // Some requests ask for a token that they do not use.
        let nobody = GcpCredential { bearer: String::new() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody)));
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
    }
    builder.build().map_err(unusable)
}
